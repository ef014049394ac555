package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/topics"
)

// fork starts cmd. A child has the priorities of the thread that made it, and most
// users may not raise their own again: so a thread is made for it, lowered, and
// ends with its goroutine.
func fork(cmd *exec.Cmd, low bool) error {
	if !low {
		return cmd.Start()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever
		const (
			nice     = 10
			ofThread = 1          // IOPRIO_WHO_PROCESS
			lowest   = 2<<13 | 7  // best effort, the last of its levels
			self     = uintptr(0) // this thread
		)
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, nice) // what the system does not allow stays as it is
		_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ofThread, self, lowest)
		done <- cmd.Start()
	}()
	return <-done
}

// await returns when the leader has ended and leaves it a zombie: until cmd.Wait
// takes it, its number and its group's can belong to nobody else.
func (g group) await() {
	for {
		if err := unix.Waitid(unix.P_PID, g.pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			return
		}
	}
}

// left names the living processes of the group beside its leader.
func (g group) left() (names []string) {
	entries, _ := filepath.Glob("/proc/[0-9]*") // of a fixed pattern, it does not fail
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err != nil || pid == g.pid {
			continue
		}
		if s, there := stat(pid); there && s.living() && s.group == g.pid {
			names = append(names, nameOf(pid))
		}
	}
	return names
}

// strays names the living processes that carry a job's mark.
func strays(job topics.JobID) (names []string) {
	for _, pid := range Of(job, ID{}) {
		names = append(names, nameOf(pid))
	}
	return names
}

// nameOf is what the system calls a process.
func nameOf(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if name := strings.TrimSuffix(string(b), "\n"); err == nil && name != "" {
		return name
	}
	return "process " + strconv.Itoa(pid)
}

// StartOf tells when a process was started: this boot's ID and the clock ticks
// since. It is "" if there is no such process.
func StartOf(pid int) string {
	s, ok := stat(pid)
	if !ok {
		return ""
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + "/" + s.start
}

type procStat struct {
	state, start  string
	parent, group int
	ticks         uint64 // of processor time, with those of collected children
}

// living is false for a zombie, which is somebody else's to collect.
func (s procStat) living() bool { return s.state != "Z" && s.state != "X" }

// Alive reports whether there is a process of this number, other than a zombie.
func Alive(pid int) bool {
	s, there := stat(pid)
	return there && s.living()
}

// stat reads /proc/PID/stat; false if there is no such process any more.
func stat(pid int) (procStat, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, false
	}
	// The second field is the name in parentheses, and may hold anything.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 20 {
		return procStat{}, false
	}
	s := procStat{state: f[0], start: f[19]}
	s.parent, _ = strconv.Atoi(f[1])
	s.group, _ = strconv.Atoi(f[2])
	for _, v := range f[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.ParseUint(v, 10, 64)
		s.ticks += n
	}
	return s, true
}

// Reap ends every process of a job whose agent is gone: the recorded one, its
// process group, and whatever carries the job's mark in its environment, so that
// one that was never recorded is found as well. Each gets SIGINT, and SIGKILL if
// it is still there after the grace. It returns when all are gone; the error says
// which are not. A process that has the recorded pid but another start is not
// touched. p may be zero.
func Reap(ctx context.Context, job topics.JobID, p ID, grace time.Duration) error {
	if _, err := topics.ParseJobID(string(job)); err != nil {
		return err
	}
	ended := func(limit time.Duration, signal os.Signal) ([]int, error) {
		asked := map[ID]bool{} // each is asked once
		timer, tick := time.NewTimer(limit), time.NewTicker(20*time.Millisecond)
		defer timer.Stop()
		defer tick.Stop()
		var left []int
		for n := 0; ; n++ {
			left = slices.DeleteFunc(left, func(pid int) bool { return !Alive(pid) })
			if len(left) == 0 || n%25 == 0 { // look at all processes again, new ones may have come
				left = Of(job, p)
			}
			if len(left) == 0 {
				return nil, nil
			}
			for _, pid := range left {
				if one := (ID{PID: pid, Start: StartOf(pid)}); !asked[one] {
					asked[one] = true
					signalTo(one, signal)
				}
			}
			select {
			case <-ctx.Done():
				return left, ctx.Err()
			case <-timer.C:
				return left, nil
			case <-tick.C:
			}
		}
	}
	if left, err := ended(grace, os.Interrupt); err != nil || len(left) == 0 {
		return err
	}
	left, err := ended(10*time.Second, os.Kill)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("processes %v of job %s outlive SIGKILL", left, job)
	}
	return err
}

// signalTo signals this very process. The handle that FindProcess opens stays
// with one process, so checking the start after opening it leaves no gap in which
// the pid may pass to another.
func signalTo(p ID, signal os.Signal) {
	process, err := os.FindProcess(p.PID)
	if err != nil {
		return
	}
	defer process.Release()
	if p.Start != "" && StartOf(p.PID) == p.Start {
		_ = process.Signal(signal) // fails if it has just ended
	}
}

// Of lists the living processes that belong to a job.
func Of(job topics.JobID, p ID) []int {
	ours := p.PID > 1 && p.Start != "" && StartOf(p.PID) == p.Start
	mark := []byte(Variable + "=" + string(job))
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err != nil || pid == os.Getpid() {
			continue
		}
		s, there := stat(pid)
		if !there || !s.living() {
			continue
		}
		env, _ := os.ReadFile(entry + "/environ") // unreadable: another user's, not ours
		if ours && (pid == p.PID || s.group == p.PID) || slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool {
			return bytes.Equal(v, mark)
		}) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// JobOf is the job whose mark a process carries, "" if it carries none or is
// another user's.
func JobOf(pid int) topics.JobID {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	return markIn(bytes.Split(env, []byte{0}))
}
