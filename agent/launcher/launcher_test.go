package launcher

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/release"
	"github.com/restic-manager/restic-manager/topics"
)

// TestMain is also the release that a launcher runs, and a launcher of its own.
func TestMain(m *testing.M) {
	if c := Attach(os.Stdin, os.Stdout); c != nil {
		played(c, os.Args[1:])
	}
	if len(os.Args) == 4 && os.Args[1] == "launch" {
		key := os.Args[3]
		l := Launcher{State: os.Args[2], Own: 1, Keys: func() ([]string, error) { return []string{key}, nil }, Args: []string{"stay"},
			Errs: os.Stderr, Log: slog.New(slog.DiscardHandler), Installed: func(context.Context) error { return errors.New("installed") }}
		fmt.Fprintln(os.Stderr, l.Run(context.Background()))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// played is a release: what it does, its first argument says. It writes its number to the
// file that is its second one.
func played(c *Child, args []string) {
	note := func(text string) {
		if len(args) > 1 {
			_ = os.WriteFile(args[1], []byte(text), 0o600)
		}
	}
	switch args[0] {
	case "good":
		c.Welcomed()
		<-c.Kept
		note(fmt.Sprint(c.Number, " of ", c.Installed))
		<-c.Told
		note("told to end")
		os.Exit(0)
	case "ends":
		note("ends")
		os.Exit(3)
	case "restic":
		c.LostRestic("there is\nnone")
	case "stay":
		if exe, err := os.Executable(); err == nil {
			_ = os.WriteFile(filepath.Join(filepath.Dir(exe), "pid"), []byte(strconv.Itoa(os.Getpid())), 0o600)
		}
	}
	time.Sleep(time.Minute) // it does not look whether it is to end
	os.Exit(0)
}

// A held is a state directory with releases in it.
type held struct {
	t      *testing.T
	state  string
	key    string
	secret minisign.PrivateKey
}

func newHeld(t *testing.T) *held {
	t.Helper()
	public, secret, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &held{t: t, state: filepath.Join(t.TempDir(), "state"), key: public.String(), secret: secret}
}

func (h *held) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// put has a release be there: this very program.
func (h *held) put(number int64) {
	h.t.Helper()
	self, err := os.Executable()
	h.must(err)
	program, err := os.ReadFile(self)
	h.must(err)
	sum := sha256.Sum256(program)
	system, arch := release.Platform()
	b := release.Encode(release.Manifest{Format: 1, Number: number, Version: fmt.Sprint(number), Programs: []release.Program{
		{OS: system, Arch: arch, Name: "agent", Size: int64(len(program)), SHA256: hex.EncodeToString(sum[:])}}})
	dir := Held(h.state, number)
	h.must(private.MakeDir(h.state))
	h.must(private.MakeDir(Dir(h.state)))
	h.must(private.MakeDir(dir))
	h.must(os.WriteFile(filepath.Join(dir, release.ManifestFile), b, 0o600))
	h.must(os.WriteFile(filepath.Join(dir, release.SignatureFile), minisign.Sign(h.secret, b), 0o600))
	h.must(os.WriteFile(Program(h.state, number), program, 0o700))
}

func (h *held) set(s State) {
	h.t.Helper()
	_, err := Change(h.state, func(is *State) bool {
		*is = s
		return true
	})
	h.must(err)
}

func (h *held) is() State {
	h.t.Helper()
	s, err := Load(h.state)
	h.must(err)
	return s
}

// run runs a launcher; installed tells when the installed program is run, which ends it.
func (h *held) run(ctx context.Context, args ...string) (ran bool, err error) {
	h.t.Helper()
	l := Launcher{State: h.state, Own: 10, Keys: func() ([]string, error) { return []string{h.key}, nil }, Args: args, Errs: os.Stderr,
		Log:    slog.New(slog.NewTextHandler(h.t.Output(), nil)),
		Timing: Timing{Trial: 5 * time.Second, Stop: 20 * time.Second, Hang: 100 * time.Millisecond, Look: 20 * time.Millisecond},
		Installed: func(context.Context) error {
			ran = true
			return nil
		}}
	if args[0] == "stays" {
		l.Timing.Trial = 500 * time.Millisecond
	}
	return ran, l.Run(ctx)
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestWithoutAnUpdateTheInstalledProgramRunsHere(t *testing.T) {
	h := newHeld(t)
	if ran, err := h.run(t.Context(), "good"); !ran || err != nil {
		t.Errorf("%v, %v", ran, err)
	}
	if _, err := os.Stat(h.state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
}

func TestAReleaseThatProvesItselfIsKeptAndToldToEnd(t *testing.T) {
	h := newHeld(t)
	h.put(20)
	h.set(State{Trial: &Trial{Number: 20, Version: "2", Job: "job-000001"}})
	note := filepath.Join(t.TempDir(), "note")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		await(t, "it to be kept", func() bool {
			b, _ := os.ReadFile(note)
			return string(b) == "20 of 10"
		})
		stop()
	}()
	if ran, err := h.run(ctx, "good", note); ran || err != nil {
		t.Errorf("%v, %v", ran, err)
	}
	if b, _ := os.ReadFile(note); string(b) != "told to end" {
		t.Errorf("it was ended otherwise: %q", b)
	}
	if s := h.is(); s.Kept != 20 || s.Highest != 20 || s.Trial != nil || s.Back != nil {
		t.Errorf("%+v", s)
	}
}

func TestAReleaseThatDoesNotProveItselfIsLeft(t *testing.T) {
	for how, want := range map[string]topics.Cause{"ends": topics.CauseCannotRun, "stays": topics.CauseNotWelcomed,
		"restic": topics.CauseLostRestic} {
		t.Run(how, func(t *testing.T) {
			h := newHeld(t)
			h.put(20)
			h.set(State{Trial: &Trial{Number: 20, Version: "2", Job: "job-000001"}})
			if ran, err := h.run(t.Context(), how); !ran || err != nil {
				t.Errorf("%v, %v", ran, err)
			}
			if s := h.is(); s.Kept != 0 || s.Trial != nil || s.Back == nil || s.Back.Cause != want || s.Back.To != 10 || s.BackJob != "job-000001" ||
				strings.Contains(s.Back.Message, "\n") {
				t.Errorf("%+v, %+v", s, s.Back)
			}
		})
	}
}

// TestASignalThatEndsBothIsNoFaultOfTheRelease: it is tried again at the next start.
func TestASignalThatEndsBothIsNoFaultOfTheRelease(t *testing.T) {
	h := newHeld(t)
	h.put(20)
	h.set(State{Trial: &Trial{Number: 20, Version: "2", Job: "job-000001"}})
	note := filepath.Join(t.TempDir(), "note")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		await(t, "it to end", func() bool {
			_, err := os.Stat(note)
			return err == nil
		})
		time.Sleep(50 * time.Millisecond) // the child ends first
		stop()
	}()
	if ran, err := h.run(ctx, "ends", note); ran || err != nil {
		t.Errorf("%v, %v", ran, err)
	}
	if s := h.is(); s.Trial == nil || s.Trial.Attempts != 1 || s.Back != nil {
		t.Errorf("%+v, %+v", s, s.Back)
	}
}

// What is run is what is newest of what can be believed, whatever the state says.
func TestWhatIsRunIsBelieved(t *testing.T) {
	spoil := func(name string) func(*held) {
		return func(h *held) {
			path := filepath.Join(Held(h.state, 20), name)
			if name == "" {
				path = Program(h.state, 20)
			}
			b, err := os.ReadFile(path)
			h.must(err)
			b[len(b)/2] ^= 1
			h.must(os.WriteFile(path, b, 0o700))
		}
	}
	for name, c := range map[string]struct {
		state State
		spoil func(*held)
		kept  int64 // afterwards
		want  int64 // what is run; 0 is the installed program
	}{
		"kept":                            {State{Kept: 20}, nil, 20, 20},
		"older than what is installed":    {State{Kept: 5}, nil, 0, 0},
		"as new as what is installed":     {State{Kept: 10}, nil, 0, 0},
		"another program":                 {State{Kept: 20}, spoil(""), 0, 0},
		"another manifest":                {State{Kept: 20}, spoil(release.ManifestFile), 0, 0},
		"another program, and one before": {State{Kept: 20, Before: 15}, spoil(""), 15, 15},
		"a trial that is not newer":       {State{Kept: 15, Trial: &Trial{Number: 9}}, nil, 15, 15},
		"a trial that is another program": {State{Kept: 15, Trial: &Trial{Number: 20}}, spoil(""), 15, 15},
		"a trial that was begun often":    {State{Kept: 15, Trial: &Trial{Number: 20, Attempts: 3}}, nil, 15, 15},
		"what is not there":               {State{Kept: 99}, nil, 0, 0},
		"a state that cannot be understood": {State{}, func(h *held) {
			h.must(os.WriteFile(filepath.Join(Dir(h.state), stateFile), []byte("{"), 0o600))
		}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHeld(t)
			h.put(20)
			h.put(15)
			h.set(c.state)
			if c.spoil != nil {
				c.spoil(h)
			}
			l := Launcher{State: h.state, Own: 10, Keys: func() ([]string, error) { return []string{h.key}, nil },
				Log: slog.New(slog.DiscardHandler), Now: time.Now}
			if got, trial := l.choose(); got != c.want || trial != nil {
				t.Errorf("%d is run, %+v", got, trial)
			}
			if s := h.is(); s.Kept != c.kept || s.Trial != nil {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestRollbackGoesBackOneRelease(t *testing.T) {
	h := newHeld(t)
	h.put(20)
	h.put(30)
	h.set(State{Kept: 30, Before: 20, Highest: 30})
	keys := []string{h.key}
	if from, to, err := Rollback(h.state, keys, 10, time.Now()); from != 30 || to != 20 || err != nil {
		t.Fatalf("%d, %d, %v", from, to, err)
	}
	if s := h.is(); s.Kept != 20 || s.Highest != 30 || s.Back.From != 30 || s.Back.Cause != topics.CauseRolledBack {
		t.Errorf("%+v", s)
	}
	if from, to, err := Rollback(h.state, keys, 10, time.Now()); from != 20 || to != 0 || err != nil {
		t.Fatalf("%d, %d, %v", from, to, err)
	}
	if _, _, err := Rollback(h.state, keys, 10, time.Now()); err == nil {
		t.Error("it goes back from nothing")
	}
	if err := Tidy(h.state); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(Dir(h.state), "[0-9]*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestNothingIsLeftOfALauncherThatIsKilled(t *testing.T) {
	h := newHeld(t)
	h.put(20)
	h.set(State{Kept: 20, Highest: 20})
	cmd := exec.Command(os.Args[0], "launch", h.state, h.key)
	cmd.Stderr = t.Output()
	h.must(cmd.Start())
	pid := 0
	await(t, "the child", func() bool {
		b, _ := os.ReadFile(filepath.Join(Held(h.state, 20), "pid"))
		pid, _ = strconv.Atoi(string(b))
		return pid > 0
	})
	if !lives(pid) {
		t.Fatal("the child does not run, so this shows nothing")
	}
	h.must(cmd.Process.Kill())
	_ = cmd.Wait()
	await(t, "the child to end", func() bool { return !lives(pid) })
}
