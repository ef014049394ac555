package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// drilled asks for a drill and awaits its end.
func (a *Agent) drilled(more map[string]any, state string) (drilled topics.Drilled, proofs []topics.Proof, cause string) {
	a.w.t.Helper()
	request := map[string]any{"kind": "drill"}
	for k, v := range more {
		request[k] = v
	}
	var made struct {
		ID string `json:"id"`
	}
	a.w.API("POST", "/api/hosts/"+a.ID+"/jobs", request, http.StatusAccepted, &made)
	a.w.AwaitState(made.ID, state)
	var job struct {
		Cause  string         `json:"cause"`
		Result *topics.Result `json:"result"`
	}
	a.w.API("GET", "/api/jobs/"+made.ID, nil, http.StatusOK, &job)
	if job.Result == nil || job.Result.Drill == nil {
		a.w.t.Fatalf("the drill ended without a word of what it proved: %s", a.w.logText(made.ID))
	}
	if left, err := os.ReadDir(filepath.Join(a.State, "drills")); err == nil {
		a.w.t.Errorf("the drill left %v", left)
	}
	return *job.Result.Drill, a.w.Report(made.ID).Proofs, job.Cause
}

// restorable is what the host says of it: its word, and why not.
func (a *Agent) restorable() (word, why string) {
	a.w.t.Helper()
	var is struct {
		Proven string
		Last   []struct{ Why string }
	}
	a.w.API("GET", "/api/hosts/"+a.ID+"/drill", nil, http.StatusOK, &is)
	for _, g := range is.Last {
		why += g.Why
	}
	return is.Proven, why
}

// TestADrillProvesThatAHostCanBeRestored goes from the first backup to a repository that
// was damaged, with restic itself: what is proven, and what is found out.
func TestADrillProvesThatAHostCanBeRestored(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	real, err := exec.LookPath("restic")
	if err != nil {
		t.Fatal(err)
	}
	attic.Restic = filepath.Join(attic.Dir, "restic")
	if err := os.WriteFile(attic.Restic, []byte(`#!/bin/sh
case "$*" in *-again*) ;; *--verify*) if [ -e "$0.flip" ]; then
"`+real+`" "$@" || exit
find "`+attic.State+`/drills" -name large -exec sh -c 'printf X | dd of="$1" bs=1 seek=1000 conv=notrunc 2>/dev/null' - {} \;
exit
fi;; esac
exec "`+real+`" "$@"
`), 0o700); err != nil {
		t.Fatal(err)
	}
	attic.Start()
	attic.AwaitOnline()
	for i := range 60 {
		attic.Write(fmt.Sprintf("letters/%02d.txt", i), strings.Repeat(fmt.Sprintf("letter %d\n", i), 40+i))
	}
	attic.Write("empty", "")
	attic.Write("too-large", strings.Repeat("x", 400_000))
	attic.Noise("noise.raw", 3)
	if err := os.Mkdir(filepath.Join(attic.Home, "bare"), 0o700); err != nil {
		t.Fatal(err)
	}
	vault := attic.Group("all")
	for i := range 3 {
		attic.Write("large", strings.Repeat(fmt.Sprintf("large %d\n", i), 10_000))
		w.AwaitState(attic.Backup("all"), "succeeded")
	}
	listed := attic.Snapshots()
	if word, _ := attic.restorable(); word != "not-proven" {
		t.Errorf("before the first drill the host is %s", word)
	}

	// Directories, an empty file and the largest one that fits are in, of the newest
	// snapshot and an older one.
	sample := map[string]any{"files": 8, "bytes": 200_000}
	d, proofs, _ := attic.drilled(sample, "succeeded")
	if d.Seed == 0 || d.Failed > 0 || !d.Complete || d.Files != 8 || len(d.Snapshots) != 2 || d.Bytes > 200_000 ||
		!slices.Contains(listed, d.Snapshots[0].Snapshot) || d.Snapshots[0].Snapshot == d.Snapshots[1].Snapshot {
		t.Errorf("it proved %+v", d)
	}
	verdict := func(name string) topics.Verdict {
		for _, p := range proofs {
			if p.Snapshot == d.Snapshots[0].Snapshot && p.Path == filepath.Join(attic.Home, name) {
				return p.Verdict
			}
		}
		return ""
	}
	if verdict("large") != topics.SameAsSource || verdict("empty") != topics.SameAsSource || verdict("bare") != topics.ThereAsSaved ||
		verdict("too-large") != "" {
		t.Errorf("it chose %+v", proofs)
	}
	if word, why := attic.restorable(); word != "proven" || why != "" {
		t.Errorf("the host is %s: %s", word, why)
	}

	// The same seed is the same sample, another time is another.
	sample["seed"] = d.Seed
	again, same, _ := attic.drilled(sample, "succeeded")
	delete(sample, "seed")
	other, chosen, _ := attic.drilled(sample, "succeeded")
	if again.Seed != d.Seed || !slices.Equal(same, proofs) {
		t.Errorf("with the seed %d it chose %+v, before %+v", d.Seed, same, proofs)
	}
	if other.Seed == d.Seed || slices.Equal(chosen, proofs) {
		t.Errorf("another time, with the seed %d, it chose the same", other.Seed)
	}

	// What changed or went since the backup is proven by restic's own hashes.
	sample["seed"] = d.Seed
	attic.Write("large", "other")
	if err := os.RemoveAll(filepath.Join(attic.Home, "letters")); err != nil {
		t.Fatal(err)
	}
	changed, proofs, _ := attic.drilled(sample, "succeeded")
	if changed.Failed > 0 || changed.Verified < 3 || verdict("large") != topics.SameAsSaved || verdict("empty") != topics.SameAsSource {
		t.Errorf("with other sources it proved %+v: %+v", changed, proofs)
	}

	// A byte that changed on its way is found, and so is a pack that was damaged.
	if err := os.WriteFile(attic.Restic+".flip", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	flipped, proofs, cause := attic.drilled(sample, "failed")
	if cause != string(topics.CauseProof) || flipped.Failed != 2 || verdict("large") != topics.Differs ||
		proofs[0].Verdict != topics.Differs || proofs[0].Why == "" || verdict("empty") != topics.SameAsSource { // of both snapshots
		t.Errorf("with a byte flipped it said %s, %+v: %+v", cause, flipped, proofs)
	}
	if word, why := attic.restorable(); word != "failed" || !strings.Contains(why, "large") {
		t.Errorf("the host is %s: %s", word, why)
	}
	if err := os.Remove(attic.Restic + ".flip"); err != nil {
		t.Fatal(err)
	}
	if r := w.typed("", "drill", "attic", "--files", "8", "--wait"); r.code != 0 || !strings.Contains(r.errs, "Proved 8 files") {
		t.Errorf("the command line: exit status %d: %s", r.code, r.errs)
	}
	if word, why := attic.restorable(); word != "proven" || why != "" {
		t.Errorf("with the byte as it was the host is %s: %s", word, why)
	}
	packs, err := filepath.Glob(filepath.Join(vault.URL, "data/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	hit := 0
	for _, pack := range packs {
		b, err := os.ReadFile(pack)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 500_000 { // what does not compress fills them
			hit++
			b[len(b)/2] ^= 1
			if err := os.Remove(pack); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(pack, b, 0o400); err != nil {
				t.Fatal(err)
			}
		}
	}
	damaged, proofs, cause := attic.drilled(map[string]any{"full": true}, "failed")
	if hit == 0 || damaged.Failed != 1 || cause != string(topics.CauseDamaged) || filepath.Base(proofs[0].Path) != "noise.raw" ||
		proofs[0].Verdict.Proves() || !strings.Contains(proofs[0].Why, "ciphertext verification failed") {
		t.Errorf("with %d damaged packs it said %s, %+v: %+v", hit, cause, damaged, proofs)
	}
	if word, why := attic.restorable(); word != "failed" || why == "" {
		t.Errorf("with damaged packs the host is %s: %s", word, why)
	}
	if r := w.typed("", "drill", "attic", "--full", "--wait"); r.code != 1 {
		t.Errorf("the command line: exit status %d: %s", r.code, r.errs)
	}
	w.MustStopCleanly()
}
