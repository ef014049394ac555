// Package process runs programs for the agent: each in a process group of its own (a
// job object on Windows) that ends with it, marked with its job, so that what a
// crash left behind is found and ended after the next start.
//
// It knows nothing of restic. Hooks and restic are run by it alike.
package process

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// Variable marks every process of a job in its environment, children included.
const Variable = "RESTIC_MANAGER_JOB"

// Mark is the environment's entry for a job.
func Mark(job topics.JobID) string { return Variable + "=" + string(job) }

// markIn is the job that an environment names.
func markIn(environ [][]byte) topics.JobID {
	for _, v := range environ {
		if name, value, _ := bytes.Cut(v, []byte{'='}); string(name) == Variable {
			if id, err := topics.ParseJobID(string(value)); err == nil {
				return id
			}
		}
	}
	return ""
}

// An ID tells a process from a later one with the same pid. It may be written to a
// journal and handed to [Reap] after a crash.
type ID struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // opaque; equal for the same process only
}

// A Spec is one program to be run. Job, Started and Files are optional.
type Spec struct {
	Path           string
	Args, Env      []string
	CommandLine    string // on Windows, in place of Args: as the program itself takes it apart
	Dir            string
	Stdin          *os.File // nil is empty
	Stdout, Stderr io.Writer
	CancelGrace    time.Duration // from the interrupt to the kill
	PipeGrace      time.Duration // how long a stray child may hold the output open after the end, before it is ended, too
	Job            topics.JobID  // whose marked processes are ended with the program
	Started        func(ID)      // comes once, right after it was started
	Loose          func(error)   // on Windows: what it starts may outlive it, and an agent that is killed
	LowPriority    bool
	Files          []*os.File // open in the program from descriptor 3 on; not on Windows

	// Used is told what the program has done, once in Every, until its end. It may end
	// ctx. Optional.
	Used  func(Usage)
	Every time.Duration
}

// An Exit is how a program ended.
type Exit struct {
	Err       error // it could not be started
	Code      int   // -1 after a signal
	Signal    string
	Cancelled bool // ctx ended first, and we interrupted it
	Killed    bool // it outlived the grace

	// Left names the processes that still ran when the program had ended by itself,
	// and were ended for that. The names are the system's, and may hold anything.
	Left []string
}

// Run runs a program in a process group of its own and returns when it and
// the rest of its group are gone and nothing more will be written.
func Run(ctx context.Context, x Spec) Exit {
	if ctx.Err() != nil {
		return Exit{Code: -1, Cancelled: true, Err: context.Cause(ctx)}
	}
	cmd := exec.Command(x.Path, x.Args...)
	cmd.Env, cmd.Dir, cmd.ExtraFiles = x.Env, x.Dir, x.Files
	if x.Stdin != nil {
		cmd.Stdin = x.Stdin
	}
	spell(cmd, x.CommandLine)
	streams, err := newPumps(cmd, x.Stdout, x.Stderr)
	if err != nil {
		return Exit{Code: -1, Err: err}
	}
	g, err := start(cmd, x.LowPriority)
	if err != nil {
		return Exit{Code: -1, Err: err}
	}
	streams.start()
	if err := g.unenclosed(); err != nil && x.Loose != nil {
		x.Loose(err)
	}
	if x.Started != nil {
		x.Started(ID{PID: cmd.Process.Pid, Start: StartOf(cmd.Process.Pid)})
	}
	// The watcher is the only one to signal the group, and stops before the
	// group's number can belong to anybody else.
	var end Exit
	gone, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-gone:
			return
		case <-ctx.Done():
		}
		end.Cancelled = true
		if err := g.interrupt(); err != nil { // it will never hear of it
			end.Killed = true
			g.kill()
			return
		}
		grace := time.NewTimer(x.CancelGrace)
		defer grace.Stop()
		select {
		case <-gone:
		case <-grace.C:
			end.Killed = true
			g.kill()
		}
	}()
	var measured sync.WaitGroup
	if x.Used != nil && x.Every > 0 {
		measured.Go(func() { watch(g, x, streams.carried, gone) })
	}
	g.await() // the leader is a zombie now, or gone
	close(gone)
	<-watched
	measured.Wait()
	if !end.Cancelled {
		end.Left = g.left()
	}
	g.kill()         // what it left behind
	reap := func() { // some of its children have groups of their own
		if x.Job != "" {
			if !end.Cancelled {
				end.Left = append(end.Left, strays(x.Job)...)
			}
			_ = Reap(context.WithoutCancel(ctx), x.Job, ID{}, time.Second) // best effort; the agent does it again at its start
		}
	}
	streams.finish(x.PipeGrace, reap)
	_ = cmd.Wait() // how it ended, ProcessState says
	g.close()
	if end.Killed {
		reap()
		vanish(cmd.Process.Pid)
	}
	end.Code, end.Signal = cmd.ProcessState.ExitCode(), signalOf(cmd.ProcessState)
	return end
}

// A Program is a file to be run. It is run only if it is the very file whose digest
// is given, and nobody but the administrator and the agent's own user could have
// written to it.
type Program struct {
	Path   string // absolute
	SHA256 [32]byte
}

// Open checks the program and makes it ready: how goes into a [Spec], and whoever opened
// it closes the file after the run. What is run is what was read here.
func (p Program) Open() (how Invocation, opened io.Closer, err error) {
	file, err := openTrusted(p.Path)
	if err != nil {
		return Invocation{}, nil, err
	}
	digest := sha256.New()
	if _, err = io.Copy(digest, file); err == nil && [32]byte(digest.Sum(nil)) != p.SHA256 {
		err = errors.New("it is not the file that the host's policy allows: its SHA-256 is another. If you changed it, write the new one " +
			"into the policy file")
	}
	if err != nil {
		return Invocation{}, nil, errors.Join(err, file.Close())
	}
	if how, err = runnable(p.Path, file); err != nil {
		return Invocation{}, nil, errors.Join(err, file.Close())
	}
	return how, file, nil
}

// Check says why the program at a path would not be run whatever its digest, and what to
// do about that.
func Check(path string) error {
	file, err := openTrusted(path)
	if err != nil {
		return err
	}
	_, err = runnable(path, file)
	return errors.Join(err, file.Close())
}

// Inherited is what a program takes over from the agent's own environment: where
// programs are found, where the user lives, and what the system needs to run one.
// Everything else is left behind; a stray RESTIC_* or AWS_* changes what restic
// does and says nothing of it.
func Inherited() []string {
	names := []string{"PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"}
	if runtime.GOOS == "windows" {
		names = append(names, "SystemRoot", "SystemDrive", "windir", "PATHEXT", "ComSpec",
			"ProgramData", "USERPROFILE", "APPDATA", "LOCALAPPDATA")
	}
	var env []string
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}
