package agent

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/fetched"
	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/release"
	"github.com/restic-manager/restic-manager/topics"
)

// resticFile has the plane hand out a file with restic, and returns what a job says of it.
func (u *updated) resticFile(version, end string, content []byte) *topics.Update {
	u.t.Helper()
	system, arch := release.Platform()
	sum := sha256.Sum256(content)
	r := &topics.ResticUpdate{Name: "restic_" + version + "_" + system + "_" + arch + end,
		Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
	u.world.mu.Lock()
	u.files[r.Name] = content
	u.world.mu.Unlock()
	return &topics.Update{Restic: r}
}

// saying is a restic that says which version it is, and is the host's own otherwise.
func (u *updated) saying(version string) []byte {
	return fmt.Appendf(nil, "#!/bin/sh\nif [ \"$1\" = version ]; then echo restic %s compiled with go1.25 on linux/amd64; exit; fi\n"+
		"echo \"$1\" >> %s.fetched\nexec %s \"$@\"\n", version, u.program, u.program)
}

// TestAResticOfTheControlPlaneIsUsedOnlyIfItIsTheOne that was named, the host's policy takes it,
// and it runs. Whatever else comes replaces nothing.
func TestAResticOfTheControlPlaneIsUsedOnlyIfItIsTheOne(t *testing.T) {
	t.Parallel()
	u := newUpdated(t, "")
	if is := u.runs(installed); is.Restic == nil || is.Restic.Allowed || is.Restic.Fetched != "" {
		t.Fatalf("before: %+v", is.Restic)
	}
	u.works()
	own, err := restic.Probe(t.Context(), u.program)
	if err != nil {
		t.Fatal(err)
	}
	at := func(patch int) string { // which takes the same flags
		v := own.Version
		v.Patch += patch
		return v.String()
	}
	ends := func(what string, o *topics.Update, state topics.JobState, cause topics.Cause, says string) {
		t.Helper()
		if end := u.awaitEnd(u.ask(o)); end.State != state || end.Cause != cause || !strings.Contains(end.Message, says) {
			t.Errorf("%s ends as %s, %s: %s", what, end.State, end.Cause, end.Message)
		}
	}
	refused := func(what string, o *topics.Update, cause topics.Cause, says string) {
		t.Helper()
		ends(what, o, topics.Failed, cause, says)
		if s, err := fetched.Load(u.state); err != nil || s.Current != nil {
			t.Errorf("%s: %+v is used, %v", what, s.Current, err)
		}
		entries, err := os.ReadDir(fetched.Dir(u.state))
		if err != nil && !errors.Is(err, os.ErrNotExist) || len(entries) > 0 {
			t.Errorf("%s leaves %v, %v", what, entries, err)
		}
	}
	good := u.resticFile(at(1), "", u.saying(at(1)))
	refused("one that the policy does not take", good, topics.CauseUpdateRefused, "policy")
	if err := AllowRestic(u.state, []string{strings.Repeat("ab", 32)}); err != nil {
		t.Fatal(err)
	}
	refused("one that the policy does not name", good, topics.CauseUpdateRefused, "none of them")
	if err := AllowRestic(u.state, []string{"abc"}); err == nil {
		t.Error("half a checksum is taken")
	}
	if err := AllowRestic(u.state, nil); err != nil {
		t.Fatal(err)
	}

	other := u.resticFile(at(2), "", u.saying(at(2)))
	u.world.mu.Lock()
	u.files[other.Restic.Name] = bytes.Replace(u.files[other.Restic.Name], []byte(at(2)), []byte(at(3)), 1) // as long
	u.world.mu.Unlock()
	refused("other bytes", other, topics.CauseChecksum, "It was not run")
	longer := u.resticFile(at(4), "", u.saying(at(4)))
	u.world.mu.Lock()
	u.files[longer.Restic.Name] = append(u.files[longer.Restic.Name], '\n')
	u.world.mu.Unlock()
	refused("more bytes", longer, topics.CauseChecksum, "longer")
	gone := u.resticFile(at(5), "", u.saying(at(5)))
	u.world.mu.Lock()
	delete(u.files, gone.Restic.Name)
	u.world.mu.Unlock()
	refused("one that is not there", gone, topics.CauseUnreachable, "404")
	refused("a text", u.resticFile(at(6), "", []byte("hello\n")), topics.CauseCannotRun, "Nothing was replaced")
	refused("another program", u.resticFile(at(6), "", []byte("#!/bin/sh\necho hello\n")), topics.CauseCannotRun, "is not restic")
	refused("another processor's", u.resticFile(at(6), "", foreign(u.newer())), topics.CauseCannotRun, "exec format")
	refused("a text that is called packed", u.resticFile(at(6), ".bz2", []byte("hello\n")), topics.CauseCannotRun, "unpacked")
	refused("one for another system", &topics.Update{Restic: &topics.ResticUpdate{Name: "restic_0.99.6_plan9_386", Size: 1,
		SHA256: strings.Repeat("ab", 32)}}, topics.CauseNoProgram, "plan9")
	refused("one that is too old", u.resticFile("0.13.0", "", u.saying("0.13.0")), topics.CauseOldManifest, "too old")
	u.works()

	waits := func() (backup, id topics.JobID) {
		t.Helper()
		u.write("restic.sh.wait", "")
		if err := os.Remove(u.program + ".waiting"); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		backup = u.order(u.backup())
		await(t, "the backup to be at work", func() error { _, err := os.Stat(u.program + ".waiting"); return err })
		id = u.ask(good)
		await(t, "the fetch to wait", func() error {
			if _, log, _ := u.job(id); !strings.Contains(strings.Join(log, "\n"), "waiting until what else runs") {
				return fmt.Errorf("it says %q", log)
			}
			return nil
		})
		return backup, id
	}

	// What the host's administrator forbids while it waits is not used.
	backup, id := waits()
	if err := errors.Join(ForbidRestic(u.state), os.Remove(u.program+".wait")); err != nil {
		t.Fatal(err)
	}
	if end := u.awaitEnd(backup); end.State != topics.Succeeded {
		t.Errorf("the backup that ran ends as %s: %s", end.State, end.Message)
	}
	if end := u.awaitEnd(id); end.State != topics.Failed || end.Cause != topics.CauseUpdateRefused {
		t.Errorf("one that was forbidden meanwhile ends as %s, %s: %s", end.State, end.Cause, end.Message)
	}
	if s, err := fetched.Load(u.state); err != nil || s.Current != nil {
		t.Errorf("one that was forbidden meanwhile is used: %+v, %v", s, err)
	}
	if err := AllowRestic(u.state, nil); err != nil {
		t.Fatal(err)
	}

	// A backup that runs goes on with the restic that it began with.
	backup, id = waits()
	if s, err := fetched.Load(u.state); err != nil || s.Current != nil {
		t.Errorf("it is used beside what runs: %+v, %v", s, err)
	}
	if err := os.Remove(u.program + ".wait"); err != nil {
		t.Fatal(err)
	}
	if end := u.awaitEnd(backup); end.State != topics.Succeeded {
		t.Errorf("the backup that ran ends as %s: %s", end.State, end.Message)
	}
	if end := u.awaitEnd(id); end.State != topics.Succeeded {
		t.Fatalf("the good one ends as %s, %s: %s", end.State, end.Cause, end.Message)
	}
	is := func(version, file string) {
		t.Helper()
		u.seen("restic "+version+" to be told", func() bool {
			f := u.plane.Facts[u.host]
			return f.Restic == version && f.Updates != nil && f.Updates.Restic != nil && f.Updates.Restic.Name == file
		})
	}
	is(at(1), good.Restic.Name)
	u.works()
	if b, err := os.ReadFile(u.program + ".fetched"); err != nil || !strings.Contains(string(b), "backup") {
		t.Errorf("the next backup did not use it: %q, %v", b, err)
	}
	ends("the same once more", good, topics.Succeeded, topics.CauseNone, "")

	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	w, err := z.Create("restic")
	if err == nil {
		_, err = w.Write(u.saying(at(7)))
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	zipped := u.resticFile(at(7), ".zip", packed.Bytes())
	ends("one in a zip file", zipped, topics.Succeeded, topics.CauseNone, "")
	is(at(7), zipped.Restic.Name)
	ends("an older one", good, topics.Failed, topics.CauseOldManifest, "only if that is asked for")
	is(at(7), zipped.Restic.Name)
	older := *good.Restic
	older.Older = true
	ends("an older one that was asked for", &topics.Update{Restic: &older}, topics.Succeeded, topics.CauseNone, "")
	is(at(1), good.Restic.Name)
	ends("back", &topics.Update{Restic: &topics.ResticUpdate{Back: true}}, topics.Succeeded, topics.CauseNone, "")
	is(at(7), zipped.Restic.Name)

	// What was changed on the host is not run, and the host's own is used meanwhile.
	s, err := fetched.Load(u.state)
	if err != nil || s.Current == nil {
		t.Fatal(s, err)
	}
	if err := os.WriteFile(filepath.Join(u.state, "fetched", s.Current.SHA256, "restic"), u.saying("0.66.6"), 0o700); err != nil {
		t.Fatal(err)
	}
	u.works()
	u.seen("the host's own to be told", func() bool {
		f := u.plane.Facts[u.host]
		return f.Restic != "0.66.6" && f.Restic != at(7) && f.Updates.Restic.Fetched == "" &&
			strings.Contains(f.Updates.Restic.Why, "not what it was")
	})
	// Whole again, it is used once it is asked for, and that is not said before.
	if err := os.WriteFile(fetched.Path(u.state, *s.Current), u.saying(at(7)), 0o700); err != nil {
		t.Fatal(err)
	}
	ends("the same, which is whole again", zipped, topics.Succeeded, topics.CauseNone, "")
	is(at(7), zipped.Restic.Name)
	if said, err := RollbackRestic(u.state); err != nil || !strings.Contains(said, "own") {
		t.Errorf("%q, %v", said, err)
	}
	if err := ForbidRestic(u.state); err != nil {
		t.Fatal(err)
	}
	ends("one that is forbidden again", good, topics.Failed, topics.CauseUpdateRefused, "policy")
	u.works()
}

// TestAFetchedResticIsTriedAgain: what keeps it from being used may pass.
func TestAFetchedResticIsTriedAgain(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	says := func(version string) []byte {
		return []byte("#!/bin/sh\necho restic " + version + " compiled with go1.25 on linux/amd64\n")
	}
	own := filepath.Join(t.TempDir(), "restic")
	use := fetched.Program{Name: "restic_0.18.1_linux_amd64", SHA256: strings.Repeat("ab", 32), Version: "0.18.1"}
	sum := sha256.Sum256(says("0.18.1"))
	use.Program = hex.EncodeToString(sum[:])
	path := fetched.Path(state, use)
	put := func(path string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), fetched.Use(state, use)); err != nil {
		t.Fatal(err)
	}
	put(own, says("0.17.3"))
	put(path, says("0.66.6"))
	p := &program{path: own, state: state}
	is := func(version string) {
		t.Helper()
		if b, err := p.find(t.Context()); err != nil || b.Version.String() != version {
			t.Errorf("it is %s, %v, want %s", b.Version, err, version)
		}
	}
	is("0.17.3")
	put(path, says("0.18.1"))
	is("0.17.3") // for a while
	p.again = time.Now().Add(-time.Second)
	is("0.18.1")
	if _, why := p.used(); why != "" {
		t.Errorf("it is not used: %s", why)
	}
	put(filepath.Join(fetched.Dir(state), "state.json"), []byte("{"))
	is("0.17.3")
	if _, why := p.used(); !strings.Contains(why, "which restic is used") {
		t.Errorf("of a file that is damaged it says %q", why)
	}
}
