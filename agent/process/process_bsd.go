//go:build darwin || freebsd

package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/topics"
)

// fork starts cmd, with a lower priority at once if that is wanted.
func fork(cmd *exec.Cmd, low bool) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	if low {
		_ = unix.Setpriority(unix.PRIO_PROCESS, cmd.Process.Pid, 10) // what the system does not allow stays as it is
	}
	return nil
}

// await returns when the leader has ended and leaves it a zombie: until cmd.Wait
// takes it, its number and its group's can belong to nobody else.
func (g group) await() {
	queue, err := unix.Kqueue()
	if err != nil {
		g.poll()
		return
	}
	defer unix.Close(queue)
	var end unix.Kevent_t
	unix.SetKevent(&end, g.pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	end.Fflags = unix.NOTE_EXIT
	for events := make([]unix.Kevent_t, 1); ; {
		n, err := unix.Kevent(queue, []unix.Kevent_t{end}, events, nil)
		switch {
		case err == unix.ESRCH: // it has ended already
			return
		case err != nil && err != unix.EINTR:
			g.poll()
			return
		case n > 0:
			return
		}
	}
}

// poll is await where the system gives us no queue.
func (g group) poll() {
	for Alive(g.pid) {
		time.Sleep(100 * time.Millisecond)
	}
}

// left names the living processes of the group beside its leader.
func (g group) left() (names []string) {
	for _, p := range processes("-ax") {
		if p.group == g.pid && p.pid != g.pid {
			names = append(names, p.name)
		}
	}
	return names
}

// strays is not known here: only on Linux the agent looks into environments.
func strays(topics.JobID) []string { return nil }

// StartOf tells when a process was started, to the second. It is "" if there is no such
// process.
func StartOf(pid int) string {
	for _, p := range processes("-p", strconv.Itoa(pid)) {
		return p.start
	}
	return ""
}

// Alive reports whether there is a process of this number, other than a zombie.
func Alive(pid int) bool { return len(processes("-p", strconv.Itoa(pid))) > 0 }

// JobOf cannot look into another process's environment here.
func JobOf(int) topics.JobID { return "" }

// Of lists the living processes that belong to a job: here, the recorded one.
func Of(_ topics.JobID, p ID) []int {
	if p.PID <= 1 || p.Start == "" || StartOf(p.PID) != p.Start {
		return nil
	}
	return []int{p.PID}
}

// Reap ends the recorded process, if it is still the same one, and its group, and waits
// until it is gone: SIGINT, and SIGKILL if it is still there after the grace. p may be zero.
func Reap(ctx context.Context, job topics.JobID, p ID, grace time.Duration) error {
	if _, err := topics.ParseJobID(string(job)); err != nil {
		return err
	}
	if p.PID <= 1 || p.Start == "" || StartOf(p.PID) != p.Start {
		return nil
	}
	g := group{p.PID}
	_ = g.interrupt()
	if gone, err := within(ctx, p, grace); gone || err != nil {
		g.kill() // what it left behind
		return err
	}
	g.kill()
	gone, err := within(ctx, p, 10*time.Second)
	if err == nil && !gone {
		err = fmt.Errorf("process %d of job %s outlives SIGKILL", p.PID, job)
	}
	return err
}

// within waits for a process to end.
func within(ctx context.Context, p ID, limit time.Duration) (bool, error) {
	timer, tick := time.NewTimer(limit), time.NewTicker(100*time.Millisecond)
	defer timer.Stop()
	defer tick.Stop()
	for StartOf(p.PID) == p.Start {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-timer.C:
			return false, nil
		case <-tick.C:
		}
	}
	return true, nil
}

// A listed process is a living one, as ps says.
type listed struct {
	pid, group  int
	start, name string
}

// processes asks ps, which is alike on these systems; their tables in memory are not.
func processes(which ...string) (all []listed) {
	cmd := exec.Command("ps", append(which, "-o", "pid=", "-o", "pgid=", "-o", "state=", "-o", "lstart=", "-o", "comm=")...)
	cmd.Env = []string{"PATH=/bin:/usr/bin", "LC_ALL=C"}
	out, _ := cmd.Output() // it fails where there is none
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line) // the start has five: Mon Jan 2 15:04:05 2006
		if len(f) < 9 || strings.HasPrefix(f[2], "Z") {
			continue
		}
		p := listed{start: strings.Join(f[3:8], " "), name: strings.Join(f[8:], " ")}
		var err error
		if p.pid, err = strconv.Atoi(f[0]); err != nil {
			continue
		}
		if p.group, err = strconv.Atoi(f[1]); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// A meter is told nothing by these systems.
type meter struct{ group group }

func (*meter) usage() Usage { return Usage{} }

// runnable: what was opened cannot be run by its descriptor here.
func runnable(path string, _ *os.File) (Invocation, error) { return Invocation{Path: path}, nil }
