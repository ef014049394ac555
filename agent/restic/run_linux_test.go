package restic

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

const (
	password     = "correct-horse-battery"
	restPassword = "staple/of&the+server"
)

// A world is a real restic, a repository that is not there yet, and some files.
type world struct {
	t      *testing.T
	b      Binary
	place  Place
	repo   Repository
	source string
	sink   *recorder
}

func newWorld(t *testing.T) *world {
	t.Helper()
	b, err := Probe(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := &world{t: t, b: b, source: filepath.Join(dir, "source"), sink: &recorder{},
		place: Place{CacheDir: filepath.Join(dir, "cache"), TempDir: filepath.Join(dir, "tmp"), Job: topics.JobID(topics.NewID(time.Now()))},
		repo:  Repository{URL: topics.Secret(filepath.Join(dir, "repo")), Password: password},
	}
	for _, d := range []string{w.place.TempDir, w.source} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.write("letters/1.txt", "dear reader")
	t.Cleanup(func() {
		if left := process.Of(w.place.Job, process.ID{}); len(left) > 0 {
			t.Errorf("processes %v are left", left)
		}
		if left, _ := os.ReadDir(w.place.TempDir); len(left) > 0 {
			t.Errorf("%v is left in the temporary directory", left)
		}
		for _, secret := range []string{password, restPassword} {
			if strings.Contains(w.sink.text(), secret) {
				t.Errorf("the log holds a password:\n%s", w.sink.text())
			}
		}
	})
	return w
}

// standIn is a world whose restic is a shell script.
func standIn(t *testing.T, script string) *world {
	t.Helper()
	w := newWorld(t)
	w.b.Path = filepath.Join(t.TempDir(), "restic")
	w.b.Timing = Timing{CancelGrace: 300 * time.Millisecond, PipeGrace: 300 * time.Millisecond}
	if err := os.WriteFile(w.b.Path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) write(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.source, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// vault makes the repository ready, so that restic opens it cheaply.
func (w *world) vault() {
	w.t.Helper()
	if err := resticrepo.Make(w.repo.URL.Reveal(), password); err != nil {
		w.t.Fatal(err)
	}
	w.ensure()
}

// ensure has our own code make the repository if it is not there.
func (w *world) ensure() {
	w.t.Helper()
	w.want(w.b.Ensure(w.t.Context(), w.place, w.repo, may, w.sink), topics.Succeeded, topics.CauseNone)
}

func may() Ending { return Ending{State: topics.Succeeded} }

func mayNot() Ending {
	return Ending{State: topics.Failed, Cause: topics.CauseNoRepository, Message: "there was one before"}
}

func (w *world) backup(paths ...string) Ending {
	return w.b.Backup(w.t.Context(), w.place, w.repo, Backup{Host: "attic", Tags: []string{"plan=letters"},
		Paths: append(paths, w.source)}, w.sink)
}

func (w *world) want(e Ending, state topics.JobState, cause topics.Cause) {
	w.t.Helper()
	if e.State != state || e.Cause != cause || (e.Message == "") != (state == topics.Succeeded) || strings.Contains(e.Message, password) {
		w.t.Fatalf("ended %s/%s with %q, want %s/%s\n%s", e.State, e.Cause, e.Message, state, cause, w.sink.text())
	}
}

// plain runs restic without us.
func (w *world) plain(args ...string) *exec.Cmd {
	cmd := exec.Command(w.b.Path, args...)
	cmd.Env = append(process.Inherited(), "RESTIC_REPOSITORY="+w.repo.URL.Reveal(), "RESTIC_PASSWORD="+password,
		"RESTIC_CACHE_DIR="+w.place.CacheDir)
	return cmd
}

// await tries until the deadline and fails with the last reason.
func await(t *testing.T, ready func() error) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for {
		err := ready()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal(err)
		}
	}
}

func TestABackupLeavesASnapshotThatPlainResticLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("größe 日本/ leading space", "unicode")
	w.write("empty", "")
	w.write("line\nbreak/file", "odd")
	for _, name := range []string{"$RECYCLE.BIN", "#notes", "trailing ", "a.tmp"} {
		w.write(name, "left out")
	}
	if err := os.Symlink("letters/1.txt", filepath.Join(w.source, "link")); err != nil {
		t.Fatal(err)
	}
	var arguments []string
	w.sink.onStart = func(p process.ID) {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/cmdline")
		if err != nil {
			t.Error(err)
		}
		// On a busy machine a short command may have ended by now. Nobody has waited
		// for it yet, so it is a zombie, or about to be one, which shows no arguments any more.
		if len(b) == 0 {
			e2e.Await(t, "the end of a restic without arguments", func() error {
				state, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/stat")
				if err == nil && !strings.Contains(string(state), ") Z ") {
					err = fmt.Errorf("it is %.60s", state)
				}
				return err
			})
			b = []byte("ended")
		}
		arguments = append(arguments, string(b))
		if p.Start == "" || process.StartOf(p.PID) != p.Start {
			t.Errorf("process %+v", p)
		}
	}
	w.ensure()
	e := w.b.Backup(t.Context(), w.place, w.repo, Backup{
		Host:     "attic",
		Tags:     []string{"plan=letters"},
		Paths:    []string{w.source, filepath.Join(w.source, "line\nbreak")},
		Excludes: []string{"$RECYCLE.BIN", "#notes", "trailing ", "*.tmp"},
	}, w.sink)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if e.ExitCode == nil || *e.ExitCode != 0 || e.Summary == nil || e.Summary.FilesNew != 4 || e.LeavesLock() {
		t.Errorf("%+v, summary %+v", e, e.Summary)
	}
	s := e.Snapshot
	if s == nil || len(s.ID) != 64 || !strings.HasPrefix(s.ID, e.SnapshotID) || s.Host != "attic" ||
		!slices.Equal(s.Tags, []string{"plan=letters"}) || !slices.Contains(s.Paths, w.source) ||
		time.Since(time.UnixMilli(s.Time)) > time.Minute {
		t.Fatalf("snapshot %+v", s)
	}
	ls, err := w.plain("ls", "--json", s.ID).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, ls)
	}
	for name, kept := range map[string]bool{
		`größe 日本/ leading space"`: true,
		`/empty"`:                  true,
		`/link"`:                   true,
		`/letters/1.txt"`:          true,
		`line\nbreak/file"`:        true,
		"RECYCLE":                  false,
		"#notes":                   false,
		`/trailing "`:              false,
		"a.tmp":                    false,
	} {
		if strings.Contains(string(ls), name) != kept {
			t.Errorf("%s is in the snapshot: %v\n%s", name, !kept, ls)
		}
	}
	shown := strings.Contains(strings.Join(arguments, "\n"), "\x00backup\x00")
	hides := func(a string) bool { return a == "" || strings.Contains(a, password) }
	if len(arguments) < 4 || !shown || slices.ContainsFunc(arguments, hides) {
		t.Errorf("restic was called as %q", arguments)
	}
	for _, line := range []string{"there is no repository yet", "backup --json --host attic --tag plan=letters 2 paths, 4 excludes",
		"4 files new", "snapshot " + s.ID[:8] + " saved"} {
		if !strings.Contains(w.sink.text(), line) {
			t.Errorf("the log lacks %q:\n%s", line, w.sink.text())
		}
	}
	list := w.b.Snapshots(t.Context(), w.place, w.repo, Snapshots{Tags: []string{"plan=letters"}}, w.sink)
	if list.State != topics.Succeeded || len(list.Report.Snapshots) != 1 || list.Report.Snapshots[0].ID != s.ID {
		t.Errorf("listed %+v", list)
	}
	if list = w.b.Snapshots(t.Context(), w.place, w.repo, Snapshots{ID: "deadbeef"}, w.sink); list.State != topics.Succeeded ||
		len(list.Report.Snapshots) != 0 {
		t.Errorf("an unknown ID: %+v", list)
	}
}

func TestWhatEvenRootCannotReadIsAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	e := w.backup("/proc/self/mem")
	w.want(e, topics.Warnings, topics.CauseUnreadable)
	if *e.ExitCode != 3 || e.Snapshot == nil || e.Summary.Unreadable != 1 || !strings.Contains(e.Message, "/mem") {
		t.Errorf("%+v, summary %+v", e, e.Summary)
	}
}

func TestAPathThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	e := w.backup("/no/such/path")
	w.want(e, topics.Warnings, topics.CauseUnreadable)
	if e.Snapshot == nil || !strings.Contains(e.Message, "/no/such/path does not exist") {
		t.Errorf("%+v", e)
	}
	w.source = "/no/such/either"
	e = w.backup("/no/such/path")
	w.want(e, topics.Failed, topics.CauseSourceMissing)
	if e.Snapshot != nil || e.SnapshotID != "" {
		t.Errorf("%+v", e)
	}
}

func TestARepositoryThatIsNotThereIsMadeOnlyOnRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(w.b.Exists(t.Context(), w.place, w.repo, w.sink), topics.Failed, topics.CauseNoRepository)
	w.want(w.b.Ensure(t.Context(), w.place, w.repo, mayNot, w.sink), topics.Failed, topics.CauseNoRepository)
	w.want(w.backup(), topics.Failed, topics.CauseNoRepository)
	if _, err := os.Stat(w.repo.URL.Reveal()); err == nil {
		t.Fatal("something was made")
	}
	w.ensure()
	w.want(w.b.Exists(t.Context(), w.place, w.repo, w.sink), topics.Succeeded, topics.CauseNone)
	w.ensure()
	if e := w.b.Init(t.Context(), w.place, w.repo, nil, w.sink); e.State != topics.Failed ||
		!strings.Contains(e.Message, "config file already exists") {
		t.Errorf("made it twice: %+v", e)
	}
	w.repo.Password = "not-the-password"
	w.want(w.b.Exists(t.Context(), w.place, w.repo, w.sink), topics.Failed, topics.CausePassword)
	w.want(w.b.Ensure(t.Context(), w.place, w.repo, may, w.sink), topics.Failed, topics.CausePassword)
	w.want(w.backup(), topics.Failed, topics.CausePassword)
	w.repo.URL = "/proc/nowhere/repo"
	w.want(w.b.Init(t.Context(), w.place, w.repo, nil, w.sink), topics.Failed, topics.CauseUnknown) // no permission can help
}

// TestALockedRepository holds the lock with a real check, stopped in the middle.
func TestALockedRepository(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	check := w.plain("check")
	if err := check.Start(); err != nil {
		t.Fatal(err)
	}
	locks := filepath.Join(w.repo.URL.Reveal(), "locks")
	await(t, func() error { // it waits 0.2 s after writing its lock
		if found, err := os.ReadDir(locks); err != nil || len(found) == 0 || len(found[0].Name()) != 64 {
			return fmt.Errorf("no lock yet (%v)", err)
		}
		return check.Process.Signal(unix.SIGSTOP)
	})
	w.want(w.b.Unlock(t.Context(), w.place, w.repo, w.sink), topics.Succeeded, topics.CauseNone)
	e := w.backup()
	w.want(e, topics.Failed, topics.CauseLocked)
	if !strings.Contains(e.Message, "already locked exclusively by PID "+strconv.Itoa(check.Process.Pid)) {
		t.Errorf("%q does not name the holder", e.Message)
	}
	w.want(w.b.Exists(t.Context(), w.place, w.repo, w.sink), topics.Succeeded, topics.CauseNone)
	if err := check.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = check.Wait()
	w.want(w.backup(), topics.Failed, topics.CauseLocked)
	w.want(w.b.Unlock(t.Context(), w.place, w.repo, w.sink), topics.Succeeded, topics.CauseNone)
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
}

// TestTheRepositorysDiskIsFull uses a file system of 2 MiB, or where none may be
// mounted what restic said on one.
func TestTheRepositorysDiskIsFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=2m"); err != nil {
		t.Logf("no file system of our own (%v): restic's recorded words stand in", err)
		w = standIn(t, `echo 'Fatal: unable to save snapshot: write /r/data/0a/0a16-tmp-37: no space left on device' >&2; exit 1`)
	} else {
		t.Cleanup(func() { _ = unix.Unmount(small, 0) })
		w.repo.URL = topics.Secret(filepath.Join(small, "repo"))
		w.ensure()
		noise := make([]byte, 8<<20)
		x := uint32(1)
		for i := range noise { // nothing restic could compress
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			noise[i] = byte(x)
		}
		w.write("big", string(noise))
	}
	w.want(w.backup(), topics.Failed, topics.CauseDiskFull)
}

func TestABackupToARealServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address := e2e.FreeAddress(t)
	server := exec.Command("rclone", "serve", "restic", "--addr", address, "--user", "attic", "--pass", restPassword, t.TempDir())
	server.Env = append(process.Inherited(), "RCLONE_CONFIG=/dev/null")
	if err := server.Start(); err != nil {
		t.Fatalf("%v: install rclone", err)
	}
	stop := func() { _ = server.Process.Kill(); _ = server.Wait() }
	defer stop()
	await(t, func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err
	})
	w.sink.onStart = func(p process.ID) {
		if b, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/cmdline"); err != nil || strings.Contains(string(b), "staple") ||
			strings.Contains(string(b), password) {
			t.Errorf("called as %q (%v)", b, err)
		}
	}
	w.repo.URL = topics.Secret("rest:http://" + address + "/attic/")
	w.want(w.b.Exists(t.Context(), w.place, w.repo, w.sink), topics.Failed, topics.CauseCredentials)
	w.repo.Env = map[string]topics.Secret{"RESTIC_REST_USERNAME": "attic", "RESTIC_REST_PASSWORD": restPassword}
	w.want(w.b.Exists(t.Context(), w.place, w.repo, w.sink), topics.Failed, topics.CauseNoRepository)
	w.ensure()
	e := w.backup()
	w.want(e, topics.Succeeded, topics.CauseNone)
	if e.Snapshot == nil {
		t.Errorf("%+v", e)
	}
	stop()
	w.b.Timing.Open = 10 * time.Second // 0.18 and newer go on trying
	w.want(w.b.Exists(t.Context(), w.place, w.repo, w.sink), topics.Failed, topics.CauseUnreachable)
}

func TestCancellingRealResticLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	ctx, cancel := context.WithCancel(t.Context())
	w.sink.onStart = func(process.ID) { cancel() }
	e := w.b.Backup(ctx, w.place, w.repo, Backup{Host: "attic", Paths: []string{w.source}}, w.sink)
	w.want(e, topics.Cancelled, topics.CauseCancelled)
	if e.Killed {
		t.Error("it had to be killed")
	}
	w.sink.onStart = nil
	if e = w.b.Unlock(ctx, w.place, w.repo, w.sink); e.State != topics.Cancelled || e.ExitCode != nil {
		t.Errorf("ran with a context that had ended: %+v", e)
	}
	w.want(w.b.Unlock(t.Context(), w.place, w.repo, w.sink), topics.Succeeded, topics.CauseNone)
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
}

func TestAProgramThatIsNoLongerThere(t *testing.T) {
	w := newWorld(t)
	w.b.Path = "/no/such/restic"
	w.want(w.backup(), topics.Failed, topics.CauseNoRestic)
}

// summary is what a stand-in says in the end. The listing that follows a backup
// answers with the same, which is no listing.
const summary = `echo '{"message_type":"summary","total_files_processed":1,"snapshot_id":"` + full + `"}'
[ "$1" = snapshots ] && echo '[{"id":"` + full + `","time":"2026-01-01T00:00:00Z"}]'
exit 0`

const full = "6b778991a1cea82cbfdcf9a73f0ea4a672a63212eee5f74adc4debe739d06e74"

func TestOutputNobodyWouldExpect(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		state  topics.JobState
		log    []string // what must be in it
		lines  int      // at least
	}{
		"very many lines": {"yes 'a line of a log' | head -n 100000\n" + summary, topics.Succeeded, nil, 100000},
		"a line of a mebibyte": {"head -c 1048576 /dev/zero | tr '\\0' x; echo\n" + summary, topics.Succeeded,
			[]string{"x… [cut, 1048576 bytes]\n"}, 1},
		"no line end": {"head -c 67108864 /dev/zero | tr '\\0' x >&2\n" + summary, topics.Succeeded,
			[]string{"x… [cut, 67108864 bytes]\n"}, 1},
		"JSON without an end": {"echo \"{\\\"a\\\":\\\"$(head -c 100000 /dev/zero | tr '\\0' x)\"; (printf '{'; head -c 33554432 " +
			"/dev/zero | tr '\\0' x; echo)\n" + summary, topics.Succeeded, []string{"x… [cut, 100006 bytes]\n"}, 1},
		"NULs":          {"printf 'a\\000b\\n'\n" + summary, topics.Succeeded, []string{"info: a␀b\n"}, 1},
		"invalid UTF-8": {"printf 'a\\377b\\n'\n" + summary, topics.Succeeded, []string{"info: a\ufffdb\n"}, 1},
		"colours":       {"printf '\\033[31ma\\033[0mb\\n' >&2\n" + summary, topics.Succeeded, []string{"warn: ab\n"}, 1},
		"progress by CR": {"printf '[0:01] 10%%\\r[0:02] 20%%\\r\\n'\n" + summary, topics.Succeeded,
			[]string{"info: [0:01] 10%\ninfo: [0:02] 20%\n"}, 1},
		"half a JSON object": {`printf '{"message_type":"summary","snapshot_'`, topics.Failed,
			[]string{`info: {"message_type":"summary","snapshot_`}, 1},
		"an unknown message": {`echo '{"message_type":"hello","x":1}'` + "\n" + summary, topics.Succeeded,
			[]string{`info: {"message_type":"hello","x":1}`}, 1},
		"the password": {"echo \"$RESTIC_PASSWORD\" >&2; echo \"$RESTIC_PASSWORD\"; exit 1", topics.Failed,
			[]string{"info: [redacted]\n", "warn: [redacted]\n"}, 1},
		"stdout closed early":      {"exec >&-; echo still here >&2; exit 0", topics.Failed, []string{"warn: still here\n"}, 1},
		"both closed early":        {"exec >&- 2>&-; exit 0", topics.Failed, nil, 0},
		"a child with the pipe":    {"sleep 1000 &\n" + summary, topics.Succeeded, nil, 0},
		"a child of another group": {"setsid sleep 1000 &\n" + summary, topics.Succeeded, nil, 0},
		"an unknown exit code":     {"exit 77", topics.Failed, nil, 0},
		"a signal":                 {"kill -9 $$", topics.Failed, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := standIn(t, c.script)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begun := time.Now()
			e := w.backup()
			runtime.ReadMemStats(&after)
			if e.State != c.state || c.state == topics.Succeeded && (e.Snapshot == nil || e.Snapshot.ID != full) ||
				c.state != topics.Succeeded && e.Message == "" {
				t.Errorf("ended %+v", e)
			}
			for _, l := range c.log {
				if !strings.Contains(w.sink.text(), l) {
					t.Errorf("the log lacks %.60q:\n%.500s", l, w.sink.text())
				}
			}
			if len(w.sink.lines) < c.lines {
				t.Errorf("%d lines, want %d", len(w.sink.lines), c.lines)
			}
			for _, l := range w.sink.lines {
				if len(l.Text) > topics.MaxLine {
					t.Errorf("a line of %d bytes", len(l.Text))
				}
			}
			// Two runs, of up to 64 MiB each, and not even all they ever allocated is near that.
			if used := after.TotalAlloc - before.TotalAlloc; strings.Contains(c.script, "/dev/zero") && used > 40<<20 {
				t.Errorf("it took %d MiB", used>>20)
			}
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestASlowReaderHearsItAll: the sink takes nothing until restic is gone, and for
// longer than a stray child would be waited for.
func TestASlowReaderHearsItAll(t *testing.T) {
	w := standIn(t, "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo \"word $i\" >&2; done\n"+summary)
	slow := sync.OnceFunc(func() {
		await(t, func() error {
			if left := process.Of(w.place.Job, process.ID{}); len(left) > 0 {
				return fmt.Errorf("%v runs", left)
			}
			return nil
		})
		<-time.After(3 * w.b.Timing.PipeGrace)
	})
	w.sink.onLine = func(line string) {
		if strings.HasPrefix(line, "word") {
			slow()
		}
	}
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
	if n := strings.Count(w.sink.text(), "word "); n != 1000 {
		t.Errorf("%d words of 1000", n)
	}
}

func TestAStrayChildThatNeverStopsTalkingIsEnded(t *testing.T) {
	for name, child := range map[string]string{
		"with its mark": "setsid sh -c 'while :; do echo noise; done' >&2 &\n",
		"without":       "setsid env -i /bin/sh -c 'while :; do echo noise; done' >&2 &\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := standIn(t, child+summary)
			begun := time.Now()
			w.want(w.backup(), topics.Succeeded, topics.CauseNone)
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestCancelEndsWhatDoesNotWantToEnd: each prints a word once it is ready. A shell
// that is just starting a command can lose a SIGINT (Debian's sh does in one of
// twenty), so none of them is doing that then.
func TestCancelEndsWhatDoesNotWantToEnd(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		killed bool
	}{
		"hangs":                         {"(until grep -q '^sleep' /proc/$$/comm; do sleep 0.01; done; echo ready) & exec sleep 1000", false},
		"ignores SIGINT":                {"trap '' INT; echo ready; sleep 1000 & wait; sleep 1000", true},
		"ignores it with a child apart": {"trap '' INT; setsid sleep 1000 & echo ready; sleep 1000", true},
		"never ends its line":           {"yes a | { read x; echo ready; exec tr -d '\\n'; }", false},
		"closed its output": {"(until grep -q '^sleep' /proc/$$/comm; do sleep 0.01; done; echo ready) & exec 2>&-; exec " +
			"sleep 1000 >&-", false},
		"is stopped": {"(while ! grep -q '^State:.*T' /proc/$$/status; do sleep 0.01; done; echo ready) & kill -STOP $$", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := standIn(t, c.script)
			if !c.killed {
				w.b.Timing.CancelGrace = time.Minute
			}
			ctx, cancel := context.WithCancel(t.Context())
			w.sink.onLine = func(l string) {
				if l == "ready" {
					cancel()
				}
			}
			e := w.b.Backup(ctx, w.place, w.repo, Backup{Host: "attic", Paths: []string{w.source}}, w.sink)
			w.want(e, topics.Cancelled, topics.CauseCancelled)
			if e.Killed != c.killed || !e.LeavesLock() {
				t.Errorf("killed %v, want %v; signal %q", e.Killed, c.killed, e.Signal)
			}
		})
	}
}
