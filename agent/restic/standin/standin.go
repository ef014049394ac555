// Package standin is a restic for tests that says what a test has it say, when the test
// says so: for versions of restic that are not installed, and for what a real one does
// once in a year.
//
// The program is the test's own binary, started again: it connects to the test, tells
// with what it was run, and from then on does what the test's function says. So a
// test has no pause in it and no file to wait for, and a stand-in that has nothing to
// say does nothing, to the system as well: no line, no processor time, no bytes.
//
//	r := standin.New(t, "0.18.1", func(run *standin.Run) {
//		run.Err("Stat(<config/>) returned error, retrying after 1.2s: Access Denied.")
//		<-run.Interrupted() // as restic does, after which it cleans up
//		run.Exit(1)
//	})
//	binary, err := restic.Probe(ctx, r.Path)
//
// Tests alone import it: its init takes the process over if it is the stand-in. It is
// for systems where a script is a program.
package standin

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// variable holds where the test listens.
const variable = "RESTIC_MANAGER_STANDIN"

// A Restic is a program that takes restic's place.
type Restic struct {
	Path string // of the program, absolute

	t    testing.TB
	does func(*Run)
	mu   sync.Mutex
	runs []*Run
}

// A Run is one start of the program. Its methods are the test's to call in the function
// it gave to [New], on whose goroutine they are; that the process was killed makes them
// do nothing.
type Run struct {
	Args []string // without the program
	Env  []string
	PID  int

	conn    net.Conn
	mu      sync.Mutex // of what is written
	ended   bool       // it was told to
	trapped chan struct{}
	signals chan struct{}
	gone    chan struct{}
}

// told is what either side says to the other, one a line.
type told struct {
	Args []string `json:"args,omitempty"`
	Env  []string `json:"env,omitempty"`
	PID  int      `json:"pid,omitempty"`
	// Interrupted is a signal that came, Trapped that one will be told.
	Interrupted bool `json:"interrupted,omitempty"`
	Trapped     bool `json:"trapped,omitempty"`

	Out  []byte `json:"out,omitempty"`
	Err  []byte `json:"err,omitempty"`
	Trap bool   `json:"trap,omitempty"`
	Real string `json:"real,omitempty"` // a program to become
	Exit *int   `json:"exit,omitempty"`
}

// New makes a program that says it is this version of restic, as in "0.18.1", and for
// every other command does what does says; when does returns without an Exit it ends
// with code 0. Runs that go on when the test is over are ended.
func New(t testing.TB, version string, does func(*Run)) *Restic {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &Restic{Path: filepath.Join(t.TempDir(), "restic"), t: t, does: does}
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	script := "#!/bin/sh\nif [ \"$1\" = version ]; then\n\techo " + quote("restic "+version+" compiled with go1.25.0 on linux/amd64") +
		"\n\texit\nfi\n" + variable + "=" + listener.Addr().String() + " exec " + quote(self) + " \"$@\"\n"
	if err := os.WriteFile(r.Path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		for _, run := range r.Runs() {
			run.conn.Close()
		}
		all.Wait()
	})
	return r
}

// Runs are the starts of the program so far, but for those that asked for its version.
func (r *Restic) Runs() []*Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.runs)
}

func (r *Restic) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewReader(conn)
	first, err := hear(lines)
	if err != nil {
		return
	}
	run := &Run{Args: first.Args, Env: first.Env, PID: first.PID, conn: conn,
		trapped: make(chan struct{}, 1), signals: make(chan struct{}, 16), gone: make(chan struct{})}
	r.mu.Lock()
	r.runs = append(r.runs, run)
	r.mu.Unlock()
	go func() {
		defer close(run.gone)
		for {
			switch m, err := hear(lines); {
			case err != nil:
				return
			case m.Trapped:
				run.trapped <- struct{}{}
			case m.Interrupted:
				select {
				case run.signals <- struct{}{}:
				default:
				}
			}
		}
	}()
	r.does(run)
	run.Exit(0)
	<-run.gone // it has ended, whatever the test closes
}

// Is reports whether the run's command line has these words in this order, whatever
// stands between them.
func (r *Run) Is(words ...string) bool {
	rest := r.Args
	for _, w := range words {
		i := slices.Index(rest, w)
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
	}
	return true
}

// Out prints a line on its standard output.
func (r *Run) Out(line string) { r.say(told{Out: []byte(line + "\n")}) }

// Err prints a line on its standard error.
func (r *Run) Err(line string) { r.say(told{Err: []byte(line + "\n")}) }

// Interrupted gives a value for each SIGINT or SIGTERM from now on, none of which ends
// the program any more.
func (r *Run) Interrupted() <-chan struct{} {
	r.say(told{Trap: true})
	select {
	case <-r.trapped:
	case <-r.gone:
	}
	return r.signals
}

// Gone is closed when the program has ended, by whatever.
func (r *Run) Gone() <-chan struct{} { return r.gone }

// Exit ends the program.
func (r *Run) Exit(code int) {
	r.last(told{Exit: &code})
}

// Become has another program, as the real restic, go on with the same arguments and
// environment. The test has nothing to say to it any more.
func (r *Run) Become(program string) {
	path, err := exec.LookPath(program)
	if err != nil {
		r.Err(err.Error())
		r.Exit(127)
		return
	}
	r.last(told{Real: path})
}

func (r *Run) say(m told) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		_ = speak(r.conn, m) // a killed program hears nothing
	}
}

// last says what ends the conversation.
func (r *Run) last(m told) {
	r.say(m)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

func speak(w io.Writer, m told) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

func hear(r *bufio.Reader) (m told, err error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(line, &m)
}

func init() {
	if address := os.Getenv(variable); address != "" {
		if err := play(address); err != nil {
			fmt.Fprintln(os.Stderr, "the stand-in:", err)
			os.Exit(125)
		}
		os.Exit(0)
	}
}

// play is the program itself. It ends when the test is gone.
func play(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, variable+"=") })
	if err := speak(conn, told{Args: os.Args[1:], Env: env, PID: os.Getpid()}); err != nil {
		return err
	}
	for lines := bufio.NewReader(conn); ; {
		m, err := hear(lines)
		switch {
		case err != nil:
			return errors.New("the test is over")
		case m.Trap:
			signals := make(chan os.Signal, 16)
			signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
			go func() {
				for range signals {
					_ = speak(conn, told{Interrupted: true})
				}
			}()
			if err := speak(conn, told{Trapped: true}); err != nil {
				return err
			}
		case m.Out != nil:
			_, _ = os.Stdout.Write(m.Out)
		case m.Err != nil:
			_, _ = os.Stderr.Write(m.Err)
		case m.Real != "":
			return become(m.Real, append([]string{m.Real}, os.Args[1:]...), env)
		case m.Exit != nil:
			os.Exit(*m.Exit)
		}
	}
}
