package fault

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAKilledRestoreLeavesNothingHalfDone kills the agent at each step of a restore without
// owners, and looks whether what came belongs to whom it has to and is where it has to be
// when the agent is back, also if it is killed once more while it sees to that.
func TestAKilledRestoreLeavesNothingHalfDone(t *testing.T) {
	points := []string{
		"agent-restore-recorded", // the target has its stage, restic was not started
		"agent-restore-came",     // all is in the stage, as it was in the snapshot
		"agent-restore-given",    // its owners are right
		"agent-restore-moved",    // some of it is in the target
	}
	w := newWorld(t, 7)
	var all sync.WaitGroup
	for _, point := range points {
		h := w.enrol(point)
		all.Go(func() { h.killedRestore(t, point) })
	}
	all.Wait()
}

func (h *host) killedRestore(t *testing.T, point string) {
	real, err := exec.LookPath("restic")
	source := filepath.Join(h.dir, "source")
	for _, name := range []string{"a/one", "a/two"} {
		at := filepath.Join(source, name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(name), 0o600), os.Chown(at, 1001, 1002),
			os.Chmod(at, 0o755|fs.ModeSetuid))
	}
	repository := filepath.Join(h.dir, "repository")
	if err = errors.Join(err, os.Symlink(real, h.restic), resticrepo.Make(repository, "correct horse")); err != nil {
		t.Error(err)
		return
	}
	restic := func(args ...string) []byte {
		cmd := exec.Command(real, args...)
		cmd.Env = append(os.Environ(), "RESTIC_REPOSITORY="+repository, "RESTIC_PASSWORD=correct horse", "RESTIC_CACHE_DIR="+h.dir+"/cache")
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("restic %v: %v", args, err)
		}
		return out
	}
	restic("backup", source)
	var list []struct{ ID string }
	if err := json.Unmarshal(restic("snapshots", "--json"), &list); err != nil || len(list) != 1 {
		t.Errorf("%v: %v", list, err)
		return
	}
	policy, err := agent.LoadPolicy(h.state())
	policy.Repositories = []string{repository} // it never backs up here, which would pin it
	if err = errors.Join(err, policy.Save(h.state())); err != nil {
		t.Error(err)
		return
	}
	target := filepath.Join(h.state(), "restored", "back")
	h.start(point)
	var job struct {
		ID topics.JobID `json:"id"`
	}
	await(t, "a restore to be accepted", func() error {
		group, err := h.w.store.SourceGroups(t.Context(), h.id)
		if err != nil {
			return err
		}
		err = h.w.api("POST", "/api/hosts/"+string(h.id)+"/jobs", map[string]any{"kind": "restore", "repository": group[0].Repository,
			"snapshot": list[0].ID, "target": target, "owners": false}, &job)
		return err
	})
	h.process.AwaitDeath()
	if point != "agent-restore-recorded" { // while the first of it is moved, or the rest of it is
		h.start("agent-restore-moved")
		if point != "agent-restore-moved" {
			h.process.AwaitDeath()
			h.start("")
		}
	} else {
		h.start("")
	}
	if j := h.w.awaitEnd(job.ID); j.State != topics.Interrupted {
		t.Errorf("%s: it ended as %s: %s", point, j.State, j.Message)
	}
	h.process.MustStop(time.Minute)
	for _, dir := range []string{filepath.Join(h.state(), "restores"), target} {
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			if dir != target || e.Name()[0] == '.' {
				t.Errorf("%s: %s is left in %s", point, e.Name(), dir)
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"a/one", "a/two"} {
		info, err := os.Lstat(filepath.Join(target, source, name))
		switch {
		case err != nil && point == "agent-restore-recorded":
		case err != nil:
			t.Errorf("%s: %v", point, err)
		case info.Mode()&fs.ModeSetuid != 0 || info.Sys().(*syscall.Stat_t).Uid != 0 || info.Sys().(*syscall.Stat_t).Gid != 0:
			t.Errorf("%s: %s is %v of %d", point, name, info.Mode(), info.Sys().(*syscall.Stat_t).Uid)
		}
	}
}

// TestAKilledRestoreOverFilesIsSaidAndDoneAgain kills the agent while restic writes into a
// target with files in it: it is said to be interrupted, its restic writes no more, and the
// next dry run and restore meet what it left, a file of half its length too.
func TestAKilledRestoreOverFilesIsSaidAndDoneAgain(t *testing.T) {
	w := newWorld(t, 8)
	h := w.enrol("over")
	real, err := exec.LookPath("restic")
	source := filepath.Join(h.dir, "source")
	for _, name := range []string{"one", "two"} {
		err = errors.Join(err, os.MkdirAll(source, 0o755), os.WriteFile(filepath.Join(source, name), []byte("content of "+name), 0o600))
	}
	repository := filepath.Join(h.dir, "repository")
	target := filepath.Join(h.state(), "restored", "back")
	at := filepath.Join(target, source)
	once := filepath.Join(h.dir, "once")
	script := "#!/bin/sh\ncase \" $* \" in *\" restore \"*) if mkdir " + once + "; then\n" + real + ` "$@"` +
		"\nprintf cont > " + at + "/two\nkill -9 $PPID\nsleep 600; printf late > " + at + "/one\nfi;; esac\nexec " + real + ` "$@"` + "\n"
	policy, perr := agent.LoadPolicy(h.state())
	policy.Repositories, policy.Overwrite = []string{repository}, true
	if err = errors.Join(err, perr, os.WriteFile(h.restic, []byte(script), 0o700), resticrepo.Make(repository, "correct horse"),
		policy.Save(h.state()), os.MkdirAll(at, 0o700), os.WriteFile(filepath.Join(at, "one"), []byte("mine"), 0o600),
		os.WriteFile(filepath.Join(at, "beside"), []byte("mine"), 0o600)); err != nil {
		t.Fatal(err)
	}
	restic := func(args ...string) []byte {
		cmd := exec.Command(real, args...)
		cmd.Env = append(os.Environ(), "RESTIC_REPOSITORY="+repository, "RESTIC_PASSWORD=correct horse", "RESTIC_CACHE_DIR="+h.dir+"/cache")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("restic %v: %v", args, err)
		}
		return out
	}
	restic("backup", source)
	var list []struct{ ID string }
	if err := json.Unmarshal(restic("snapshots", "--json"), &list); err != nil || len(list) != 1 {
		t.Fatalf("%v: %v", list, err)
	}
	h.start("")
	ask := func(dry bool) (id topics.JobID) {
		await(t, "a restore to be accepted", func() error {
			group, err := w.store.SourceGroups(t.Context(), h.id)
			if err != nil {
				return err
			}
			var job struct {
				ID topics.JobID `json:"id"`
			}
			err = w.api("POST", "/api/hosts/"+string(h.id)+"/jobs", map[string]any{"kind": "restore", "repository": group[0].Repository,
				"snapshot": list[0].ID, "target": target, "overwrite": "always", "dry_run": dry}, &job)
			id = job.ID
			return err
		})
		return id
	}
	killed := ask(false)
	h.process.AwaitDeath()
	h.start("")
	if j := w.awaitEnd(killed); j.State != topics.Interrupted {
		t.Errorf("the restore that was killed ended as %s: %s", j.State, j.Message)
	}
	if b, _ := os.ReadFile(filepath.Join(at, "two")); string(b) != "cont" {
		t.Fatalf("the stand-in left %q", b)
	}
	for _, dry := range []bool{true, false} {
		j := w.awaitEnd(ask(dry))
		if j.State != topics.Succeeded || j.Result.V == nil || j.Result.V.Restore == nil || j.Result.V.Restore.Overwritten != 2 ||
			j.Result.V.Restore.Restored+j.Result.V.Restore.Failed > 0 {
			t.Errorf("dry run %t: it ended as %s: %s, %+v", dry, j.State, j.Message, j.Result.V)
		}
	}
	h.process.MustStop(time.Minute)
	for name, want := range map[string]string{"one": "content of one", "two": "content of two", "beside": "mine"} {
		if b, err := os.ReadFile(filepath.Join(at, name)); string(b) != want {
			t.Errorf("%s is %q, %v", name, b, err)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(h.state(), "restores")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	if left, _ := filepath.Glob(filepath.Join(target, ".restic-manager-*")); len(left) > 0 {
		t.Errorf("%v is left in the target", left)
	}
}
