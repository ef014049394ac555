package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/restic-manager/restic-manager/topics"
)

// A group is a started program in a job object of its own, which ends with its
// last handle: if the agent dies, restic and its children do.
type group struct {
	pid     int
	process windows.Handle
	job     windows.Handle // 0 if the system would not give one
}

// start starts cmd in a process group of its own. The agent's service must have
// a console, hidden or not, for CTRL_BREAK to reach restic.
func start(cmd *exec.Cmd, low bool) (group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP, HideWindow: true}
	if low {
		cmd.SysProcAttr.CreationFlags |= windows.BELOW_NORMAL_PRIORITY_CLASS
	}
	if err := cmd.Start(); err != nil {
		return group{}, err
	}
	// cmd holds the process open, so the pid is its own.
	pid := cmd.Process.Pid
	h, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(pid))
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return group{}, fmt.Errorf("open the new process: %w", err)
	}
	return group{pid: pid, process: h, job: enclose(h)}, nil
}

func enclose(process windows.Handle) windows.Handle {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return 0
	}
	info := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE},
	}
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&info)),
		uint32(unsafe.Sizeof(info))); err == nil {
		if windows.AssignProcessToJobObject(job, process) == nil {
			return job
		}
	}
	_ = windows.CloseHandle(job)
	return 0
}

func (g group) interrupt() {
	_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(g.pid)) // what does not arrive ends in kill
}

func (g group) kill() {
	if g.job != 0 {
		_ = windows.TerminateJobObject(g.job, killedCode)
		return
	}
	_ = windows.TerminateProcess(g.process, killedCode)
}

// killedCode is what a process that we ended exits with; restic has no such code.
const killedCode = 0x4b494c4c

func (g group) await() { _, _ = windows.WaitForSingleObject(g.process, windows.INFINITE) }

func (g group) close() {
	_ = windows.CloseHandle(g.process)
	if g.job != 0 {
		_ = windows.CloseHandle(g.job)
	}
}

// left names the processes of the job object beside its first. What the system adds for
// a console is none of the program's.
func (g group) left() (names []string) {
	var list struct {
		assigned, listed uint32
		pids             [256]uintptr
	}
	if g.job == 0 {
		return nil
	}
	err := windows.QueryInformationJobObject(g.job, windows.JobObjectBasicProcessIdList, uintptr(unsafe.Pointer(&list)),
		uint32(unsafe.Sizeof(list)), nil)
	if err != nil && !errors.Is(err, windows.ERROR_MORE_DATA) {
		return nil
	}
	for _, pid := range list.pids[:min(int(list.listed), len(list.pids))] {
		if int(pid) == g.pid {
			continue
		}
		if name := nameOf(uint32(pid)); !strings.EqualFold(name, "conhost.exe") {
			names = append(names, name)
		}
	}
	return names
}

// strays are none here: a job object has all.
func strays(topics.JobID) []string { return nil }

// nameOf is the name of a process's program.
func nameOf(pid uint32) string {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err == nil {
		defer windows.CloseHandle(h)
		path := make([]uint16, windows.MAX_LONG_PATH)
		n := uint32(len(path))
		if windows.QueryFullProcessImageName(h, 0, &path[0], &n) == nil {
			return filepath.Base(windows.UTF16ToString(path[:n]))
		}
	}
	return "process " + strconv.Itoa(int(pid))
}

func signalOf(s *os.ProcessState) string {
	if uint32(s.ExitCode()) == killedCode {
		return "killed"
	}
	return ""
}

// FullDisk reports whether an error says that a disk or a quota is full.
func FullDisk(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

// Temporary points the program at dir for its temporary files.
func Temporary(dir string) []string { return []string{"TMP=" + dir, "TEMP=" + dir} }

// StartOf tells when a process was started, "" if there is none.
func StartOf(pid int) string {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return ""
	}
	defer windows.CloseHandle(h)
	return created(h)
}

func created(process windows.Handle) string {
	var creation, exit, kernel, user windows.Filetime
	if windows.GetProcessTimes(process, &creation, &exit, &kernel, &user) != nil {
		return ""
	}
	return strconv.FormatInt(creation.Nanoseconds(), 10)
}

// Reap ends the recorded process if it is still the same one, and waits until it
// is gone. Its children have gone with the agent, by their job object. A process
// that has the recorded pid but another start is not touched. p may be zero.
func Reap(ctx context.Context, job topics.JobID, p ID, grace time.Duration) error {
	if _, err := topics.ParseJobID(string(job)); err != nil {
		return err
	}
	if p.PID == 0 || p.Start == "" {
		return nil
	}
	h, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_TERMINATE|windows.PROCESS_QUERY_LIMITED_INFORMATION,
		false, uint32(p.PID))
	if err != nil {
		return nil // gone
	}
	defer windows.CloseHandle(h)
	if created(h) != p.Start {
		return nil
	}
	_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(p.PID))
	if gone, err := within(ctx, h, grace); gone || err != nil {
		return err
	}
	_ = windows.TerminateProcess(h, killedCode)
	gone, err := within(ctx, h, 10*time.Second)
	if err == nil && !gone {
		err = fmt.Errorf("process %d of job %s cannot be ended", p.PID, job)
	}
	return err
}

// within waits for a process to end.
func within(ctx context.Context, process windows.Handle, limit time.Duration) (bool, error) {
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if event, _ := windows.WaitForSingleObject(process, 50); event == windows.WAIT_OBJECT_0 {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	return false, nil
}

// Alive reports whether there is a process of this number.
func Alive(pid int) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return errors.Is(err, windows.ERROR_ACCESS_DENIED)
	}
	defer windows.CloseHandle(h)
	event, _ := windows.WaitForSingleObject(h, 0)
	return event != windows.WAIT_OBJECT_0
}

// JobOf cannot look into another process's environment here.
func JobOf(int) topics.JobID { return "" }

// Space is how many bytes of the disk of a path are free for us, and how many it has.
func Space(path string) (free, total uint64, err error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, 0, err
	}
	err = windows.GetDiskFreeSpaceEx(name, &free, &total, nil)
	return free, total, err
}
