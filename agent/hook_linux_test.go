package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/topics"
)

// name makes a script that the host's policy knows as a hook.
func (w *world) name(hooks map[string]string) {
	w.t.Helper()
	p, err := LoadPolicy(w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	p.Hooks = map[string]Hook{}
	for name, script := range hooks {
		path := filepath.Join(w.folder, name+".sh")
		script = "#!/bin/sh\n" + script + "\n"
		if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
			w.t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(script))
		p.Hooks[name] = Hook{Path: path, SHA256: hex.EncodeToString(sum[:])}
	}
	if err := p.Save(w.state); err != nil {
		w.t.Fatal(err)
	}
}

// hooked is a backup with these hooks.
func (w *world) hooked(h topics.Hooks) topics.Run {
	run := w.backup()
	run.Group.Hooks = h
	return run
}

func (w *world) log(id topics.JobID) string {
	_, log, _ := w.job(id)
	return strings.Join(log, "\n")
}

func TestHooksAroundABackup(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	told := filepath.Join(w.folder, "told")
	w.name(map[string]string{
		"dump":  "echo dumping; echo careful >&2; env > " + told + ".before; echo dumped > " + w.home + "/dump.sql",
		"start": "env > " + told + ".after",
		"call":  "env > " + told + ".failure",
		"fail":  "echo it is broken >&2; exit 3",
	})
	w.run()
	env := func(when string) string {
		b, err := os.ReadFile(told + "." + when)
		if err != nil {
			t.Error(err)
		}
		os.Remove(told + "." + when)
		return "\n" + string(b)
	}
	id := w.order(w.hooked(topics.Hooks{Before: []string{"dump"}, After: []string{"start"}, OnFailure: []string{"call"}}))
	end := w.awaitEnd(id)
	if end.State != topics.Succeeded {
		t.Fatalf("it ended %+v\n%s", end, w.log(id))
	}
	if ls := w.bare("ls", end.Snapshot.ID); !strings.Contains(ls, "/dump.sql") {
		t.Errorf("what the hook made before is not in the snapshot:\n%s", ls)
	}
	for _, line := range []string{"[dump] dumping", "[dump] careful", "hook start, after"} {
		if !strings.Contains(w.log(id), line) {
			t.Errorf("the log lacks %q:\n%s", line, w.log(id))
		}
	}
	before, after := env("before"), env("after")
	for _, v := range []string{"RESTIC_MANAGER_JOB=" + string(id), "RESTIC_MANAGER_KIND=backup", "RESTIC_MANAGER_HOOK=before",
		"RESTIC_MANAGER_STATE=", "RESTIC_MANAGER_GROUP=letters", "RESTIC_MANAGER_REPOSITORY=repository-1"} {
		if !strings.Contains(before, "\n"+v+"\n") {
			t.Errorf("the hook before was not told %s:%s", v, before)
		}
	}
	for _, v := range []string{"RESTIC_MANAGER_STATE=succeeded", "RESTIC_MANAGER_CAUSE=", "RESTIC_MANAGER_SNAPSHOT=" + end.Snapshot.ID} {
		if !strings.Contains(after, "\n"+v+"\n") {
			t.Errorf("the hook after was not told %s:%s", v, after)
		}
	}
	if strings.Contains(before+after, "hunter2") || strings.Contains(before+after, "RESTIC_PASSWORD") {
		t.Errorf("a hook was told a secret: %s%s", before, after)
	}
	if _, err := os.Stat(told + ".failure"); err == nil {
		t.Error("the hook for failures ran after a success")
	}

	backups := w.backups()
	id = w.order(w.hooked(topics.Hooks{Before: []string{"fail", "dump"}, After: []string{"start"}, OnFailure: []string{"call"}}))
	end = w.awaitEnd(id)
	if end.State != topics.Failed || end.Cause != topics.CauseHook ||
		!strings.Contains(end.Message, "hook fail failed: it ended with exit code 3") || end.ExitCode != nil {
		t.Errorf("a failing hook before: %+v", end)
	}
	if w.backups() != backups || !strings.Contains(w.log(id), "[fail] it is broken") {
		t.Errorf("restic was started after a hook had failed, or the hook is not heard:\n%s", w.log(id))
	}
	if _, err := os.Stat(told + ".before"); err == nil {
		t.Error("the next hook ran after the first had failed")
	}
	if failure, after := env("failure"), env("after"); !strings.Contains(failure, "RESTIC_MANAGER_STATE=failed\n") ||
		!strings.Contains(after, "RESTIC_MANAGER_CAUSE=hook\n") {
		t.Errorf("told of the failure: %s%s", failure, after)
	}

	end = w.awaitEnd(w.order(w.hooked(topics.Hooks{After: []string{"fail", "start"}})))
	if end.State != topics.Warnings || end.Cause != topics.CauseHook || end.Snapshot == nil ||
		end.Message != "The snapshot is there, but hook fail failed: it ended with exit code 3" {
		t.Errorf("a failing hook after: %+v", end)
	}
	if !strings.Contains(env("after"), "RESTIC_MANAGER_STATE=warnings\n") {
		t.Error("the hook that follows a failing one was not run, or not told")
	}
	if end = w.awaitEnd(w.order(w.hooked(topics.Hooks{Before: []string{"nosuch"}}))); end.State != topics.Failed ||
		end.Cause != topics.CausePolicy {
		t.Errorf("a hook that the host does not know: %+v", end)
	}
}

func TestAHookThatIsAnotherFileIsNotRun(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	ran := filepath.Join(w.folder, "ran")
	w.name(map[string]string{"h": "touch " + ran})
	path := filepath.Join(w.folder, "h.sh")
	w.run()
	for name, spoil := range map[string]func() error{
		"it was changed":              func() error { return os.WriteFile(path, []byte("#!/bin/sh\ntouch "+ran+"; id\n"), 0o700) },
		"others may write to it":      func() error { return os.Chmod(path, 0o722) },
		"it is somebody else's":       func() error { return os.Chown(path, 4711, -1) },
		"it is no program":            func() error { return os.Chmod(path, 0o600) },
		"it is a directory":           func() error { return os.Mkdir(path, 0o700) },
		"it is a pipe nobody writes":  func() error { return unix.Mkfifo(path, 0o700) },
		"it is gone":                  func() error { return nil },
		"it is a link to another one": func() error { return os.Symlink("/bin/true", path) },
	} {
		w.name(map[string]string{"h": "touch " + ran})
		if strings.HasPrefix(name, "it is a ") || name == "it is gone" {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
		if err := spoil(); err != nil {
			t.Logf("%s: left out, %v", name, err)
			continue
		}
		end := w.awaitEnd(w.order(w.hooked(topics.Hooks{Before: []string{"h"}})))
		if end.State != topics.Failed || end.Cause != topics.CauseHook || !strings.HasPrefix(end.Message, "hook h failed: ") {
			t.Errorf("%s: %+v", name, end)
		}
		t.Logf("%s: %s", name, end.Message)
		if _, err := os.Stat(ran); err == nil {
			t.Fatalf("%s, and it was run", name)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCancellingAJobEndsItsHook(t *testing.T) {
	w := newWorld(t)
	w.grace = 300 * time.Millisecond
	w.vault()
	w.enroll()
	ready, told := filepath.Join(w.folder, "ready"), filepath.Join(w.folder, "told")
	w.name(map[string]string{
		"hang": "trap '' INT; touch " + ready + "; sleep 1000 & wait; sleep 1000",
		"tell": "echo $RESTIC_MANAGER_STATE > " + told,
	})
	w.run()
	id := w.order(w.hooked(topics.Hooks{Before: []string{"hang"}, After: []string{"tell"}, OnFailure: []string{"tell"}}))
	await(t, "the hook to run", func() error { _, err := os.Stat(ready); return err })
	w.cancel(id)
	if end := w.awaitEnd(id); end.State != topics.Cancelled || w.backups() != 0 {
		t.Errorf("it ended %+v after %v", end, w.ledger())
	}
	if err := left(id); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(told); string(b) != "cancelled\n" {
		t.Errorf("the hook after was told %q", b)
	}
}

func TestAHookThatTakesTooLongIsEnded(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	w.hookLimit = 300 * time.Millisecond
	w.name(map[string]string{"hang": "sleep 1000"})
	w.run()
	id := w.order(w.hooked(topics.Hooks{After: []string{"hang"}}))
	if end := w.awaitEnd(id); end.State != topics.Warnings || !strings.Contains(end.Message, "did not end within 300ms") {
		t.Errorf("it ended %+v", end)
	}
	if err := left(id); err != nil {
		t.Error(err)
	}
}

// TestWhatAHookLeftRunningIsSaid: it is ended with the hook, which nobody would notice
// otherwise.
func TestWhatAHookLeftRunningIsSaid(t *testing.T) {
	const ended = "still running, and ended with it: "
	const begun = `begun() { until grep -qxE 'sleep|tail' /proc/$1/comm; do :; done; }; ` // it has its name
	for is, c := range map[string]struct{ script, said string }{
		"one": {begun + "sleep 1000 >/dev/null 2>&1 & begun $!", "1 process it had started was " + ended + "sleep. "},
		"two alike, and another": {begun + "exec >/dev/null 2>&1; sleep 1000 & begun $!; sleep 1000 & begun $!; tail -f /dev/null & begun $!",
			"3 processes it had started were " + ended + "sleep (2), tail. "},
		"one that holds the output, in a group of its own": {begun + "setsid sleep 1000 & begun $!",
			"1 process it had started was " + ended + "sleep. "},
		"none": {"sleep 0.01 & wait; echo done | cat", ""},
		"a hook that fails leaves one": {begun + "sleep 1000 >/dev/null 2>&1 & begun $!; exit 3",
			"1 process it had started was " + ended + "sleep. "},
	} {
		t.Run(is, func(t *testing.T) {
			w := newWorld(t)
			w.vault()
			w.enroll()
			w.name(map[string]string{"mount": c.script})
			w.run()
			id := w.order(w.hooked(topics.Hooks{Before: []string{"mount"}}))
			w.awaitEnd(id)
			log := w.log(id)
			if strings.Contains(log, ended) != (c.said != "") || c.said != "" && !strings.Contains(log, "[mount] "+c.said) {
				t.Errorf("the log says\n%s", log)
			}
			if err := left(id); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAJobIsHeldBack(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	w.manage()
	w.run()
	run := w.backup()
	run.Group.Limits = topics.Limits{UploadKiB: 5000, DownloadKiB: 6000, LowPriority: true}
	script := "#!/bin/sh\ncat /proc/$$/stat >> $0.stat; ionice >> $0.io; echo \"$@\" >> $0.args\nexec restic \"$@\"\n"
	if err := os.WriteFile(w.program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	id := w.order(run)
	if end := w.awaitEnd(id); end.State != topics.Succeeded {
		t.Errorf("it ended %+v", end)
	}
	read := func(ext string) string {
		b, err := os.ReadFile(w.program + ext)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	nice := 0
	for line := range strings.Lines(read(".stat")) {
		if f := strings.Fields(line[strings.LastIndexByte(line, ')')+1:]); f[16] == "10" {
			nice++
		}
	}
	if nice < 2 { // all but the question for its version
		t.Errorf("it ran with\n%s", read(".stat"))
	}
	if io := read(".io"); !strings.Contains(io, "best-effort: prio 7") {
		t.Errorf("its disk priorities are %s", io)
	}
	if args := read(".args"); strings.Count(args, "--limit-upload 5000 --limit-download 6000 ") < 2 {
		t.Errorf("it ran as %s", args)
	}
	run.Group.Limits.From, run.Group.Limits.To, run.Group.Limits.Zone = 60, 61, "Nowhere/Atlantis"
	if id = w.order(run); w.awaitEnd(id).State != topics.Succeeded || !strings.Contains(w.log(id), "they hold all day") {
		t.Errorf("an unknown zone:\n%s", w.log(id))
	}
}
