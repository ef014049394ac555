package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// Ask has the host run an operation, and awaits that it succeeds.
func (a *Agent) Ask(request map[string]any) (id string, result topics.Result) {
	a.w.t.Helper()
	var made struct {
		ID string `json:"id"`
	}
	a.w.API("POST", "/api/hosts/"+a.ID+"/jobs", request, http.StatusAccepted, &made)
	a.w.AwaitState(made.ID, "succeeded")
	var job struct {
		Result *topics.Result `json:"result"`
	}
	a.w.API("GET", "/api/jobs/"+made.ID, nil, http.StatusOK, &job)
	if job.Result != nil {
		result = *job.Result
	}
	return made.ID, result
}

// Report is what a job found out.
func (w *World) Report(id string) (r topics.Report) {
	w.t.Helper()
	w.API("GET", "/api/jobs/"+id+"/report", nil, http.StatusOK, &r)
	return r
}

// Bare runs restic itself on a repository.
func (a *Agent) Bare(r Repository, args ...string) string {
	a.w.t.Helper()
	cmd := exec.Command("restic", args...)
	cmd.Env = append(os.Environ(), "RESTIC_REPOSITORY="+r.URL, "RESTIC_PASSWORD="+r.Password,
		"RESTIC_CACHE_DIR="+filepath.Join(a.Dir, "bare-cache"))
	out, err := cmd.Output()
	if err != nil {
		a.w.t.Fatalf("restic %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// TestEveryOperationDoesWhatBareResticSees asks for each kind by the API, and has
// restic itself say what came of it.
func TestEveryOperationDoesWhatBareResticSees(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic", "--policy", "managed")
	attic.Write("letters/1.txt", "dear reader")
	attic.Write("letters/[2].txt", "a name like a pattern")
	vault := attic.GroupToBegin("all")
	on := func(kind string, more ...any) map[string]any {
		m := map[string]any{"kind": kind, "repository": vault.ID}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	attic.Ask(on("init"))
	if config := attic.Bare(vault, "cat", "config"); !strings.Contains(config, `"version": 2`) {
		t.Errorf("init made %s", config)
	}
	if err := resticrepo.Cheapen(vault.URL, vault.Password); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.AwaitState(attic.Backup("all"), "succeeded")
		attic.Write("letters/3.txt", "a new one")
		attic.Noise("photo.raw", 1)
	}
	w.AwaitState(attic.Backup("all"), "succeeded")

	var bare []struct{ ID, Tree, Hostname string }
	listing := func() []string {
		t.Helper()
		bare = nil
		if err := json.Unmarshal([]byte(attic.Bare(vault, "snapshots", "--json")), &bare); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, s := range bare {
			ids = append(ids, s.ID)
		}
		return ids
	}
	ids := listing()
	if len(ids) != 3 {
		t.Fatalf("restic lists %v", ids)
	}
	job, result := attic.Ask(on("snapshots"))
	for i, s := range w.Report(job).Snapshots {
		if s.ID != bare[i].ID || s.Tree != bare[i].Tree || s.Host != bare[i].Hostname {
			t.Errorf("snapshot %d is %+v, restic says %+v", i, s, bare[i])
		}
	}
	if result.Count != 3 {
		t.Errorf("snapshots: %+v", result)
	}

	var size struct {
		Total uint64 `json:"total_size"`
		Files uint64 `json:"total_file_count"`
		Blobs uint64 `json:"total_blob_count"`
	}
	_, result = attic.Ask(on("stats"))
	if err := json.Unmarshal([]byte(attic.Bare(vault, "stats", "--json")), &size); err != nil || result.Stats == nil ||
		result.Stats.RestoreBytes != size.Total || result.Stats.Files != size.Files {
		t.Errorf("stats: %+v, restic says %+v (%v)", result.Stats, size, err)
	}
	if err := json.Unmarshal([]byte(attic.Bare(vault, "stats", "--json", "--mode", "raw-data")), &size); err != nil ||
		result.Stats.StoredBytes != size.Total || result.Stats.Blobs != size.Blobs {
		t.Errorf("stats: %+v, restic says %+v (%v)", result.Stats, size, err)
	}

	job, result = attic.Ask(on("diff", "from", ids[0], "to", ids[1]))
	changes := w.Report(job).Changes
	if text := attic.Bare(vault, "diff", ids[0], ids[1]); result.Diff == nil || result.Diff.AddedFiles != 2 || len(changes) != 2 ||
		strings.Count(text, "\n+ ") != 2 {
		t.Errorf("diff: %+v, %+v, restic says %s", result.Diff, changes, text)
	}
	job, result = attic.Ask(on("find", "pattern", "3.*"))
	if m := w.Report(job).Matches; result.Count != 2 || len(m) != 2 || m[0].Path != filepath.Join(attic.Home, "letters/3.txt") ||
		m[0].Size != 9 {
		t.Errorf("find: %+v, %+v", result, m)
	}
	job, _ = attic.Ask(on("key"))
	if k := w.Report(job).Keys; len(k) != 1 || !k[0].Current || !strings.Contains(attic.Bare(vault, "key", "list", "--json"), k[0].ID) {
		t.Errorf("keys: %+v", k)
	}

	target := filepath.Join(attic.Dir, "restored")
	path := filepath.Join(attic.Home, "letters/[2].txt")
	_, result = attic.Ask(on("restore", "snapshot", ids[2], "target", target, "paths", []string{path}, "dry_run", true))
	if _, err := os.Stat(target); err == nil || result.Restore == nil || result.Restore.Files != 1 {
		t.Errorf("restore, dry run: %+v, target %v", result.Restore, err)
	}
	attic.Ask(on("restore", "snapshot", ids[2], "target", target, "paths", []string{path}))
	if b, err := os.ReadFile(filepath.Join(target, path)); err != nil || string(b) != "a name like a pattern" {
		t.Errorf("restored %q, %v", b, err)
	}
	attic.Ask(on("restore", "snapshot", ids[2], "target", target, "overwrite", "always"))
	mustBeEqualTrees(t, attic.Home, filepath.Join(target, attic.Home))

	for _, how := range [][]any{{}, {"subset", "1/1"}, {"read_data", true}} {
		if _, result = attic.Ask(on("check", how...)); result.Check == nil || result.Check.Errors != 0 {
			t.Errorf("check %v: %+v", how, result.Check)
		}
	}
	_, result = attic.Ask(on("forget", "snapshots", ids[:2]))
	if left := listing(); !slices.Equal(result.Removed, ids[:2]) || !slices.Equal(left, ids[2:]) {
		t.Errorf("forget removed %v and left %v", result.Removed, left)
	}
	before := sizeOf(t, filepath.Join(vault.URL, "data"))
	_, dry := attic.Ask(on("prune", "dry_run", true))
	if now := sizeOf(t, filepath.Join(vault.URL, "data")); now != before {
		t.Errorf("a dry run changed the repository from %d to %d bytes", before, now)
	}
	_, result = attic.Ask(on("prune"))
	if now := sizeOf(t, filepath.Join(vault.URL, "data")); result.Prune == nil || dry.Prune == nil ||
		*result.Prune != *dry.Prune || now >= before {
		t.Errorf("prune: %+v, dry run %+v, from %d to %d bytes", result.Prune, dry.Prune, before, now)
	}

	// A lock whose process is gone: told of, and removed.
	holder := exec.Command("restic", "--limit-download", "1", "dump", "latest", filepath.Join(attic.Home, "photo.raw"))
	holder.Env = append(os.Environ(), "RESTIC_REPOSITORY="+vault.URL, "RESTIC_PASSWORD="+vault.Password,
		"RESTIC_CACHE_DIR="+filepath.Join(attic.Dir, "bare-cache"))
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	world.Await(t, "its lock", func() error { _, err := lockOf(vault.URL); return err })
	_ = holder.Process.Kill()
	_ = holder.Wait()
	id, err := lockOf(vault.URL)
	if err != nil {
		t.Fatal(err)
	}
	job, _ = attic.Ask(on("locks"))
	if l := w.Report(job).Locks; len(l) != 1 || l[0].ID != id || l[0].PID != holder.Process.Pid ||
		l[0].Alive == nil || *l[0].Alive || l[0].Exclusive {
		t.Errorf("locks: %+v, want %s of process %d", l, id, holder.Process.Pid)
	}
	if _, result = attic.Ask(on("unlock")); result.Unlocked != 1 || attic.Bare(vault, "list", "locks", "--no-lock") != "" {
		t.Errorf("unlock: %+v", result)
	}
	if text := attic.Bare(vault, "check", "--read-data"); !strings.Contains(text, "no errors were found") {
		t.Errorf("in the end restic says %s", text)
	}
	w.MustStopCleanly()
}

// lockOf is the one finished lock of a repository.
func lockOf(repository string) (string, error) {
	entries, err := os.ReadDir(filepath.Join(repository, "locks"))
	for _, e := range entries {
		if len(e.Name()) == 64 {
			return e.Name(), nil
		}
	}
	if err == nil {
		err = os.ErrNotExist
	}
	return "", err
}

func sizeOf(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// TestAHookOfTheHostRunsAroundABackup: named on the host, asked for by the API.
func TestAHookOfTheHostRunsAroundABackup(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic")
	attic.Write("letters/1.txt", "dear reader")
	vault := attic.Group("all")
	script := filepath.Join(attic.Dir, "dump.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho dumping for $RESTIC_MANAGER_GROUP\necho rows > "+attic.Home+"/dump.sql\n"),
		0o700); err != nil {
		t.Fatal(err)
	}
	put := func(hooks map[string][]string) {
		t.Helper()
		w.API("PUT", "/api/hosts/"+attic.ID+"/source-groups/all", map[string]any{
			"repository": vault.ID,
			"paths":      []string{attic.Home},
			"hooks":      hooks,
		}, http.StatusOK, nil)
	}
	put(map[string][]string{"before": {"dump"}})
	if j := w.AwaitState(attic.Backup("all"), "failed"); j.Cause != "policy" || !strings.Contains(j.Message, "no hook called") {
		t.Errorf("a hook that the host does not know: %+v", j)
	}
	if r := command(t, exec.Command(program("restic-manager-agent"), "policy", "allow-hook", "dump", script, "--state",
		attic.State)); r.code != 0 {
		t.Fatalf("allow-hook: %s", r.errs)
	}
	job := attic.Backup("all")
	w.AwaitState(job, "succeeded")
	if text := w.logText(job); !strings.Contains(text, "[dump] dumping for all") {
		t.Errorf("the hook is not heard:\n%s", text)
	}
	if ls := attic.Bare(vault, "ls", "latest"); !strings.Contains(ls, "/dump.sql") {
		t.Errorf("what the hook made is not in the snapshot:\n%s", ls)
	}
	attic.PutGroup("all", vault.ID) // knows nothing of hooks, and leaves them
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntrue\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if j := w.AwaitState(attic.Backup("all"), "failed"); j.Cause != "hook" || !strings.Contains(j.Message, "its SHA-256 is another") {
		t.Errorf("a hook that was changed: %+v", j)
	}
	w.API("PUT", "/api/hosts/"+attic.ID+"/source-groups/all", map[string]any{
		"repository": vault.ID,
		"paths":      []string{attic.Home},
		"hooks":      map[string][]string{"before": {"rm -rf /"}},
	}, http.StatusUnprocessableEntity, nil)
}
