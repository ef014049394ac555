package agent

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"aead.dev/minisign"
	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/agent/launcher"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/release"
	"github.com/restic-manager/restic-manager/topics"
)

// The agent itself, built with the public half of a key that this process made, as the
// installed release and as a newer one.
const (
	installed = int64(1_700_000_000)
	newer     = int64(1_800_000_000)
	newest    = int64(1_900_000_000)
)

var built = sync.OnceValues(func() (releases, error) {
	public, secret, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return releases{}, err
	}
	r := releases{secret: secret, dir: releasesDir()}
	for n, name := range map[int64]string{installed: "installed", newer: "newer"} {
		const module = "github.com/restic-manager/restic-manager/"
		flags := "-s -w"
		for _, v := range []string{fmt.Sprintf("release.Number=%d", n), "release.Key=" + public.String(), "agent.Version=" + name,
			"agent/launcher.TrialFor=4s"} {
			flags += " -X " + module + v
		}
		cmd := exec.Command("go", "build", "-ldflags", flags, "-o", filepath.Join(r.dir, name), "../cmd/restic-manager-agent")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return r, fmt.Errorf("build the agent: %w: %s", err, out)
		}
	}
	return r, nil
})

type releases struct {
	secret minisign.PrivateKey
	dir    string
}

// An updated is a host whose agent runs as a process of its own, started by whoever starts
// it again when it has ended.
type updated struct {
	*world
	releases

	mu    sync.Mutex
	cmd   *exec.Cmd
	log   strings.Builder
	point string // of the next start
	ends  bool
	done  chan struct{}
	times int // it was started
}

func newUpdated(t *testing.T, point string) *updated { return newUpdatedOn(t, point, func(*world) {}) }

func newUpdatedOn(t *testing.T, point string, disk func(*world)) *updated {
	t.Helper()
	r, err := built()
	if err != nil {
		t.Fatal(err)
	}
	u := &updated{world: newWorldBeside(t), releases: r, point: point, done: make(chan struct{})}
	u.world.mu.Lock()
	u.files = map[string][]byte{}
	u.world.mu.Unlock()
	disk(u.world)
	u.enroll()
	go u.keep()
	t.Cleanup(func() {
		u.mu.Lock()
		u.ends = true
		if u.cmd != nil {
			_ = u.cmd.Process.Signal(os.Interrupt)
		}
		u.mu.Unlock()
		<-u.done
		if t.Failed() {
			t.Log(u.said())
		}
	})
	return u
}

// Write takes the process's log.
func (u *updated) Write(b []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.log.Write(b)
}

func (u *updated) said() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.log.String()
}

// keep does what a service manager does.
func (u *updated) keep() {
	defer close(u.done)
	for {
		u.mu.Lock()
		if u.ends {
			u.mu.Unlock()
			return
		}
		cmd := exec.Command(filepath.Join(u.dir, "installed"), "run", "--state", u.state, "--restic", u.program)
		cmd.Stderr, cmd.WaitDelay = u, time.Second
		cmd.Env = os.Environ()
		if u.point != "" {
			cmd.Env = append(cmd.Env, failpoint.Variable+"="+u.point)
			u.point = ""
		}
		err := cmd.Start()
		u.cmd, u.times = cmd, u.times+1
		u.mu.Unlock()
		if err != nil {
			return
		}
		_ = cmd.Wait()
	}
}

func (u *updated) starts() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.times
}

// offer has the plane hand out a release with this program, and returns what a job says of it.
func (u *updated) offer(number int64, program []byte) *topics.Update {
	u.t.Helper()
	system, arch := release.Platform()
	sum := sha256.Sum256(program)
	m := release.Manifest{Format: release.Format, Number: number, Version: fmt.Sprintf("2.%d", number), Programs: []release.Program{
		{OS: system, Arch: arch, Name: fmt.Sprintf("agent-%d", number), Size: int64(len(program)), SHA256: hex.EncodeToString(sum[:])}}}
	u.world.mu.Lock()
	u.files[m.Programs[0].Name] = program
	u.world.mu.Unlock()
	return u.signed(m)
}

func (u *updated) signed(m release.Manifest) *topics.Update {
	b := release.Encode(m)
	return &topics.Update{Manifest: b, Signature: minisign.Sign(u.secret, b)}
}

// program is that of the newer release.
func (u *updated) newer() []byte {
	b, err := os.ReadFile(filepath.Join(u.dir, "newer"))
	if err != nil {
		u.t.Fatal(err)
	}
	return b
}

func (u *updated) ask(o *topics.Update) topics.JobID {
	return u.order(topics.Run{Kind: topics.UpdateJob, Operation: topics.Operation{Update: o}})
}

// runs waits until the control plane knows that a release runs, and is not on trial.
func (u *updated) runs(number int64) topics.Updates {
	u.t.Helper()
	var is topics.Updates
	u.seen(fmt.Sprintf("release %d to run", number), func() bool {
		if f := u.plane.Facts[u.host].Updates; f != nil {
			is = *f
		}
		return is.Number == number && !is.Trial && u.online(u.host)
	})
	return is
}

// works sees that there is an agent, and that it makes backups.
func (u *updated) works() {
	u.t.Helper()
	if end := u.awaitEnd(u.order(u.backup())); end.State != topics.Succeeded {
		u.t.Errorf("a backup ends as %s, %s: %s", end.State, end.Cause, end.Message)
	}
}

func TestAnUpdateIsKeptOnceItWasWelcomedAndRolledBackByHand(t *testing.T) {
	t.Parallel()
	u := newUpdated(t, "")
	if is := u.runs(installed); is.Kept || len(is.Keys) != 1 || is.Forbidden {
		t.Errorf("before: %+v", is)
	}
	if _, err := os.Stat(launcher.Dir(u.state)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without an update there is something of one: %v", err)
	}
	u.write("restic.sh.wait", "") // a backup that is at work
	backup := u.order(u.backup())
	await(t, "the backup to be at work", func() error {
		_, err := os.Stat(u.program + ".waiting")
		return err
	})
	u.world.mu.Lock()
	u.cut = 1 << 20 // the first download breaks off
	u.world.mu.Unlock()
	id := u.ask(u.offer(newer, u.newer()))
	later := u.order(topics.Run{Kind: topics.StatsJob, Repository: u.backup().Repository})
	await(t, "the update to wait", func() error {
		_, log, _ := u.job(id)
		if !strings.Contains(strings.Join(log, "\n"), "waiting until what else runs") {
			return fmt.Errorf("it says %q", log)
		}
		return nil
	})
	if j, _, end := u.job(later); j.Accepted || end != nil {
		t.Errorf("what was asked for after the update is begun beside it: %+v", j)
	}
	if err := os.Remove(u.program + ".wait"); err != nil {
		t.Fatal(err)
	}
	if end := u.awaitEnd(backup); end.State != topics.Succeeded {
		t.Errorf("the backup that ran ends as %s: %s", end.State, end.Message)
	}
	if end := u.awaitEnd(id); end.State != topics.Succeeded {
		t.Fatalf("the update ends as %s, %s: %s", end.State, end.Cause, end.Message)
	}
	if is := u.runs(newer); !is.Kept || is.Installed != installed || is.Back != nil {
		t.Errorf("after: %+v", is)
	}
	u.world.mu.Lock()
	if n := len(u.asked); n != 2 || u.asked[1] != fmt.Sprintf("bytes=%d-", 1<<20) {
		t.Errorf("it was downloaded by %q", u.asked)
	}
	u.world.mu.Unlock()
	if end := u.awaitEnd(later); end.State != topics.Succeeded {
		t.Errorf("what was asked for later ends as %s: %s", end.State, end.Message)
	}
	if u.starts() != 1 {
		t.Errorf("the service was started %d times", u.starts())
	}
	if end := u.awaitEnd(u.ask(u.offer(newer, u.newer()))); end.State != topics.Succeeded {
		t.Errorf("the same once more ends as %s, %s: %s", end.State, end.Cause, end.Message)
	}
	if end := u.awaitEnd(u.ask(u.offer(newer-1, u.newer()))); end.Cause != topics.CauseOldManifest {
		t.Errorf("an older one ends as %s, %s: %s", end.State, end.Cause, end.Message)
	}
	u.works()

	u.killed(t) // and what an update brought runs again
	u.runs(newer)

	said, err := Rollback(u.state)
	if err != nil || !strings.Contains(said, "installed") {
		t.Fatalf("%q, %v", said, err)
	}
	if is := u.runs(installed); is.Back == nil || is.Back.Cause != topics.CauseRolledBack || is.Back.From != newer {
		t.Errorf("after going back: %+v, %+v", is, is.Back)
	}
	u.works()
	if end := u.awaitEnd(u.ask(u.offer(newer, u.newer()))); end.Cause != topics.CauseOldManifest {
		t.Errorf("what somebody went back from ends as %s, %s: %s", end.State, end.Cause, end.Message)
	}
	if _, err := Rollback(u.state); err == nil {
		t.Error("it goes back from the installed program")
	}
}

// TestAReleaseWhoseFilesAreLostIsTakenAgain, though it is not newer than what ran before: it
// is the newest that did, and nobody went back from it.
func TestAReleaseWhoseFilesAreLostIsTakenAgain(t *testing.T) {
	t.Parallel()
	u := newUpdated(t, "")
	u.runs(installed)
	if end := u.awaitEnd(u.ask(u.offer(newer, u.newer()))); end.State != topics.Succeeded {
		t.Fatalf("the update ends as %s, %s: %s", end.State, end.Cause, end.Message)
	}
	u.runs(newer)
	if err := os.Remove(launcher.Program(u.state, newer)); err != nil { // as a scanner of viruses does
		t.Fatal(err)
	}
	u.killed(t)
	if is := u.runs(installed); is.Back == nil || is.Back.Cause != topics.CauseChecksum {
		t.Fatalf("it went back: %+v", is.Back)
	}
	u.works()
	if end := u.awaitEnd(u.ask(u.offer(newer, u.newer()))); end.State != topics.Succeeded {
		t.Errorf("the same again ends as %s, %s: %s", end.State, end.Cause, end.Message)
	}
	u.runs(newer)
}

// TestATrialThatCannotBeBegunEndsTheJob: the launcher writes down that it begins one, and
// where nothing can be written the agent works on, and does not leave again and again.
func TestATrialThatCannotBeBegunEndsTheJob(t *testing.T) {
	t.Parallel()
	u := newUpdated(t, "")
	u.runs(installed)
	if _, err := launcher.Change(u.state, func(s *launcher.State) bool {
		s.Trial = &launcher.Trial{Number: newer, Version: "2"}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(launcher.Dir(u.state), "lock")
	if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o700)); err != nil {
		t.Fatal(err)
	}
	if end := u.awaitEnd(u.ask(u.offer(newer, u.newer()))); end.State != topics.Failed || !strings.Contains(end.Message, "cannot be written") {
		t.Errorf("it ends as %s, %s: %s", end.State, end.Cause, end.Message)
	}
	u.works()
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
}

// killed kills the launcher, and sees that nothing of it is left.
func (u *updated) killed(t *testing.T) {
	t.Helper()
	u.mu.Lock()
	pid := u.cmd.Process.Pid
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range threads {
		b, _ := os.ReadFile(path)
		children = append(append(children, ' '), b...)
	}
	_ = u.cmd.Process.Kill()
	u.mu.Unlock()
	if len(strings.Fields(string(children))) == 0 {
		t.Error("the launcher has no child")
	}
	for _, child := range strings.Fields(string(children)) {
		await(t, "the child to end with its launcher", func() error {
			stat, err := os.ReadFile("/proc/" + child + "/cmdline")
			if err == nil && strings.Contains(string(stat), launcher.Dir(u.state)) {
				return errors.New("it runs")
			}
			return nil
		})
	}
}

func TestAnUpdateThatIsNotGoodIsNotRunOrLeftAgain(t *testing.T) {
	t.Parallel()
	script := func(text string) func(*updated) *topics.Update {
		return func(u *updated) *topics.Update {
			text := strings.NewReplacer("NEW", filepath.Join(u.dir, "newer"), "RESTIC", u.program).Replace(text)
			return u.offer(newer, []byte("#!/bin/sh\nif [ \"$1\" = version ]; then echo restic-manager-agent 2; exit; fi\n"+text+"\n"))
		}
	}
	for name, c := range map[string]struct {
		offer func(*updated) *topics.Update
		cause topics.Cause
		says  string
		tried bool // it was on trial
	}{
		"by another key": {func(u *updated) *topics.Update {
			o := u.offer(newer, u.newer())
			_, other, _ := minisign.GenerateKey(rand.Reader)
			o.Signature = minisign.Sign(other, o.Manifest)
			return o
		}, topics.CauseSignature, "not signed", false},
		"a manifest that was changed": {func(u *updated) *topics.Update {
			o := u.offer(newer, u.newer())
			o.Manifest = append(o.Manifest, ' ')
			return o
		}, topics.CauseSignature, "not signed", false},
		"older than what is installed": {func(u *updated) *topics.Update { return u.offer(installed-1, u.newer()) },
			topics.CauseOldManifest, "older one", false},
		"forbidden": {func(u *updated) *topics.Update {
			if err := ForbidUpdates(u.state); err != nil {
				u.t.Error(err)
			}
			return u.offer(newer, u.newer())
		}, topics.CauseUpdateRefused, "policy", false},
		"of another platform": {func(u *updated) *topics.Update {
			return u.signed(release.Manifest{Format: 1, Number: newer, Version: "2", Programs: []release.Program{{OS: "plan9", Arch: "386",
				Name: "a", Size: 1, SHA256: strings.Repeat("ab", 32)}}})
		}, topics.CauseNoProgram, "no program", false},
		"other bytes": {func(u *updated) *topics.Update {
			o := u.offer(newer, u.newer())
			u.world.mu.Lock()
			defer u.world.mu.Unlock()
			b := u.files[fmt.Sprintf("agent-%d", newer)]
			u.files[fmt.Sprintf("agent-%d", newer)] = append(b[:len(b)-1:len(b)-1], b[len(b)-1]^1)
			return o
		}, topics.CauseChecksum, "SHA-256", false},
		"more bytes": {func(u *updated) *topics.Update {
			o := u.offer(newer, u.newer())
			u.world.mu.Lock()
			defer u.world.mu.Unlock()
			u.files[fmt.Sprintf("agent-%d", newer)] = append(u.newer(), 0)
			return o
		}, topics.CauseChecksum, "longer", false},
		"not there": {func(u *updated) *topics.Update {
			o := u.offer(newer, u.newer())
			u.world.mu.Lock()
			defer u.world.mu.Unlock()
			delete(u.files, fmt.Sprintf("agent-%d", newer))
			return o
		}, topics.CauseUnreachable, "404", false},
		"no program at all": {func(u *updated) *topics.Update { return u.offer(newer, []byte("\x00\x01nonsense")) },
			topics.CauseCannotRun, "exec format", false},
		"another processor's": {func(u *updated) *topics.Update { return u.offer(newer, foreign(u.newer())) },
			topics.CauseCannotRun, "exec format", false},
		"another program": {func(u *updated) *topics.Update { return u.offer(newer, []byte("#!/bin/sh\necho hello\n")) },
			topics.CauseCannotRun, "hello", false},
		"it ends at once": {script("exit 3"), topics.CauseCannotRun, "exit status 3", true},
		"it is killed":    {script("kill -9 $$"), topics.CauseCannotRun, "killed", true},
		"it hangs":        {script("exec sleep 300 <&- >&-"), topics.CauseNotWelcomed, "welcomed", true},
		"it is never welcomed": {script(`while [ ! -e RESTIC.go ]; do sleep 0.02; done; exec NEW "$@"`), topics.CauseNotWelcomed, "welcomed",
			true},
		"it finds no restic": {script(`mv RESTIC RESTIC.away; exec NEW "$@"`), topics.CauseLostRestic, "restic", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpdated(t, "")
			u.runs(installed)
			id := u.ask(c.offer(u))
			if strings.HasSuffix(name, "never welcomed") {
				u.deafen()
			}
			end := u.awaitEnd(id)
			if end.State != topics.Failed || end.Cause != c.cause || !strings.Contains(end.Message, c.says) {
				t.Errorf("it ends as %s, %s: %s; want %s, %s", end.State, end.Cause, end.Message, c.cause, c.says)
			}
			_ = os.Rename(u.program+".away", u.program)
			is := u.runs(installed)
			if c.tried != (is.Back != nil) || c.tried && (is.Back.Cause != c.cause || is.Back.From != newer || is.Back.To != installed) {
				t.Errorf("it went back: %+v", is.Back)
			}
			u.works()
			if u.starts() != 1 {
				t.Errorf("the service was started %d times", u.starts())
			}
		})
	}
}

// deafen has the plane answer no birth of the release that is on trial.
func (u *updated) deafen() {
	u.t.Helper()
	known := func(what string, done func(launcher.State) bool) {
		await(u.t, what, func() error {
			if s, err := launcher.Load(u.state); err != nil || !done(s) {
				return fmt.Errorf("%+v, %v", s, err)
			}
			return nil
		})
	}
	deaf := func(n int) {
		u.world.mu.Lock()
		u.world.deaf = n
		u.world.mu.Unlock()
	}
	known("the trial", func(s launcher.State) bool { return s.Trial != nil && s.Trial.Attempts > 0 })
	deaf(1000)
	u.write("restic.sh.go", "")
	known("the trial's end", func(s launcher.State) bool { return s.Back != nil })
	deaf(0)
}

// The disk of the state directory may be full, or mounted so that nothing on it can be run.
func TestAnUpdateThatTheDiskDoesNotTakeIsNotTried(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size  int
		flags uintptr
		fills bool // by something else, while the program is downloaded
		cause topics.Cause
		says  string
	}{
		"full":           {6 << 20, 0, false, topics.CauseHostDisk, "no space left on the host"},
		"full meanwhile": {32 << 20, 0, true, topics.CauseHostDisk, "no space left on device"},
		"mounted noexec": {64 << 20, unix.MS_NOEXEC, false, topics.CauseCannotRun, "noexec"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpdatedOn(t, "", func(w *world) {
				w.small(c.size)
				if err := unix.Mount("", filepath.Dir(w.state), "", unix.MS_REMOUNT|c.flags, fmt.Sprintf("size=%d", c.size)); err != nil {
					t.Fatal(err)
				}
			})
			u.runs(installed)
			free := func() {}
			if c.fills {
				u.world.mu.Lock()
				u.before = func() { free = u.fill() }
				u.world.mu.Unlock()
			}
			id := u.ask(u.offer(newer, u.newer()))
			if c.fills {
				await(t, "the download to be given up", func() error {
					u.world.mu.Lock()
					defer u.world.mu.Unlock()
					if len(u.asked) == 0 {
						return errors.New("nobody asked for it yet")
					}
					if parts, _ := filepath.Glob(filepath.Join(launcher.Dir(u.state), "*"+launcher.Partial)); len(parts) > 0 {
						return fmt.Errorf("there is %v", parts)
					}
					return nil
				})
				free()
			}
			end := u.awaitEnd(id)
			if end.State != topics.Failed || end.Cause != c.cause || !strings.Contains(end.Message, c.says) {
				t.Errorf("it ends as %s, %s: %s; want %s, %s", end.State, end.Cause, end.Message, c.cause, c.says)
			}
			if is := u.runs(installed); is.Back != nil {
				t.Errorf("it was tried: %+v", is.Back)
			}
			await(t, "what was downloaded to be removed", func() error { // once the end is told
				entries, err := os.ReadDir(launcher.Dir(u.state))
				for _, e := range entries {
					if e.IsDir() {
						return fmt.Errorf("%s is left", e.Name())
					}
				}
				return err
			})
			u.works()
		})
	}
}

// foreign is a program for another processor.
func foreign(elf []byte) []byte {
	b := append([]byte(nil), elf...)
	b[18], b[19] = 0x16, 0 // s390
	return b
}

// points are between every two steps of an update. The power fails at each of them once, in
// make soak; those that are worst are tried every time.
var (
	worst = []string{"agent-journalled", "update-staged", "update-state-written:3", "update-proposed", "launcher-chosen", "launcher-welcomed",
		"launcher-kept", "update-kept"}
	points = []string{
		"agent-commanded", "agent-journalled", "update-state-written:1", "update-state-written:2", "update-manifest-written", "update-came",
		"update-downloaded", "update-checked", "update-staged", "update-tested", "update-proposes", "update-state-written:3", "update-proposed",
		"launcher-chosen", "launcher-begins", "launcher-began", "update-trial", "update-welcomed", "launcher-welcomed", "update-state-written:4",
		"update-state-written:5", "launcher-kept", "update-kept", "update-ends",
	}
)

func TestThePowerMayFailBetweenAnyTwoStepsOfAnUpdate(t *testing.T) {
	t.Parallel()
	tried := worst
	if os.Getenv("RESTIC_MANAGER_SOAK") != "" {
		tried = points
	}
	for _, point := range tried {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			u := newUpdated(t, point)
			u.runs(installed)
			id := u.ask(u.offer(newer, u.newer()))
			if end := u.awaitEnd(id); end.State != topics.Succeeded {
				t.Errorf("it ends as %s, %s: %s", end.State, end.Cause, end.Message)
			}
			if u.runs(newer); u.starts() != 2 {
				t.Errorf("the service was started %d times: nobody came by %s", u.starts(), point)
			}
			u.works()
		})
	}
}

// TestThePowerMayFailWhileAnUpdateIsTakenBack: the release ends by itself, and the power fails
// before that is known, or in the middle of going back.
func TestThePowerMayFailWhileAnUpdateIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"launcher-began", "update-state-written:5", "launcher-back", "update-ends"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			u := newUpdated(t, point)
			u.runs(installed)
			id := u.ask(u.offer(newer, []byte("#!/bin/sh\nif [ \"$1\" = version ]; then echo restic-manager-agent 2; exit; fi\nexit 3\n")))
			if end := u.awaitEnd(id); end.State != topics.Failed || end.Cause != topics.CauseCannotRun {
				t.Errorf("it ends as %s, %s: %s", end.State, end.Cause, end.Message)
			}
			if u.runs(installed); u.starts() != 2 {
				t.Errorf("the service was started %d times: nobody came by %s", u.starts(), point)
			}
			u.works()
		})
	}
}

// TestATrialThatIsAlwaysCutShortIsGivenUp: the power fails each time.
func TestATrialThatIsAlwaysCutShortIsGivenUp(t *testing.T) {
	t.Parallel()
	u := newUpdated(t, "")
	u.runs(installed)
	const cuts = "#!/bin/sh\nif [ \"$1\" = version ]; then echo restic-manager-agent 2; exit; fi\nkill -9 $PPID; exec sleep 60\n"
	id := u.ask(u.offer(newer, []byte(cuts)))
	end := u.awaitEnd(id)
	if end.Cause != topics.CauseNotWelcomed || !strings.Contains(end.Message, "3 times") {
		t.Errorf("it ends as %s, %s: %s", end.State, end.Cause, end.Message)
	}
	if u.runs(installed); u.starts() != 1+launcher.Attempts {
		t.Errorf("the service was started %d times", u.starts())
	}
	u.works()
}

// A release that is installed by hand and newer than what an update brought runs, and what is
// not whole any more does not.
func TestWhatAnUpdateBroughtMakesRoom(t *testing.T) {
	t.Parallel()
	u := newUpdated(t, "")
	u.runs(installed)
	u.awaitEnd(u.ask(u.offer(newer, u.newer())))
	u.runs(newer)
	path := launcher.Program(u.state, newer)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.Remove(path); err != nil { // it runs
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o700); err != nil {
		t.Fatal(err)
	}
	u.killed(t)
	if is := u.runs(installed); is.Back == nil || is.Back.Cause != topics.CauseChecksum {
		t.Errorf("a release that was changed: %+v", is.Back)
	}
	u.works()
	end := u.awaitEnd(u.ask(u.offer(newest, u.newer())))
	if u.runs(newest); end.State != topics.Succeeded {
		t.Errorf("%+v", end)
	}
	start := time.Now()
	u.mu.Lock()
	_ = u.cmd.Process.Signal(os.Interrupt)
	u.mu.Unlock()
	await(t, "the service to be started again", func() error {
		if u.starts() < 3 {
			return fmt.Errorf("%d times", u.starts())
		}
		return nil
	})
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v to end", took)
	}
	u.runs(newest)
}
