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
	loose   error          // why there is no job object
}

// start starts cmd in a process group of its own. CTRL_BREAK reaches it through the
// console of the agent, which [Console] gives it. Low priority is of the disk, too.
func start(cmd *exec.Cmd, low bool) (group, error) {
	attr := cmd.SysProcAttr // a command line that is spelt out
	if attr == nil {
		attr = &syscall.SysProcAttr{}
	}
	attr.CreationFlags |= windows.CREATE_NEW_PROCESS_GROUP
	attr.HideWindow = true
	if low {
		attr.CreationFlags |= windows.BELOW_NORMAL_PRIORITY_CLASS
	}
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		return group{}, err
	}
	// cmd holds the process open, so the pid is its own.
	pid := cmd.Process.Pid
	h, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE|
		windows.PROCESS_SET_INFORMATION, false, uint32(pid))
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return group{}, fmt.Errorf("open the new process: %w", err)
	}
	if low {
		slowDisk(h)
	}
	job, err := enclose(h)
	return group{pid: pid, process: h, job: job, loose: err}, nil
}

// slowDisk has a process read and write after others.
func slowDisk(process windows.Handle) {
	const (
		ioPriority = 33 // ProcessIoPriority
		low        = 1  // IoPriorityLow
	)
	priority := uint32(low)
	// What the system does not allow stays as it is.
	_ = windows.NtSetInformationProcess(process, ioPriority, unsafe.Pointer(&priority), uint32(unsafe.Sizeof(priority)))
}

// newJob makes a job object; a test has it fail.
var newJob = func() (windows.Handle, error) { return windows.CreateJobObject(nil, nil) }

// enclose puts a process into a job object of its own.
func enclose(process windows.Handle) (windows.Handle, error) {
	job, err := newJob()
	if err != nil {
		return 0, fmt.Errorf("make a job object: %w", err)
	}
	info := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE},
	}
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&info)),
		uint32(unsafe.Sizeof(info)))
	if err == nil {
		err = windows.AssignProcessToJobObject(job, process)
	}
	if err != nil {
		_ = windows.CloseHandle(job)
		return 0, fmt.Errorf("put the process into a job object: %w", err)
	}
	return job, nil
}

// sendBreak sends CTRL_BREAK to a process group; a test has it fail.
var sendBreak = func(pid uint32) error { return windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, pid) }

// interrupt asks the group to end. The error is that it cannot be asked: without a
// console, nobody hears it.
func (g group) interrupt() error { return sendBreak(uint32(g.pid)) }

// unenclosed is why the group is no job object, nil if it is one.
func (g group) unenclosed() error { return g.loose }

// kill ends the program and what it started. Without a job object it ends whom it finds
// to descend from it.
func (g group) kill() {
	if g.job != 0 {
		_ = windows.TerminateJobObject(g.job, killedCode)
		return
	}
	for _, pid := range descendants(uint32(g.pid), snapshotOf()) {
		terminate(pid)
	}
	_ = windows.TerminateProcess(g.process, killedCode)
}

// terminate ends a process that began after the agent asked, whoever it is.
func terminate(pid uint32) {
	h, err := windows.OpenProcess(windows.PROCESS_TERMINATE, false, pid)
	if err != nil {
		return
	}
	defer windows.CloseHandle(h)
	_ = windows.TerminateProcess(h, killedCode)
}

// snapshotOf lists all processes with who started them, and when they began.
func snapshotOf() (all []parented) {
	h, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return nil
	}
	defer windows.CloseHandle(h)
	e := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(h, &e); err == nil; err = windows.Process32Next(h, &e) {
		begun, _ := strconv.ParseInt(StartOf(int(e.ProcessID)), 10, 64)
		all = append(all, parented{pid: e.ProcessID, parent: e.ParentProcessID, begun: begun})
	}
	return all
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

// Of lists the living processes that belong to a job: here, the recorded one.
func Of(_ topics.JobID, p ID) []int {
	if p.PID <= 1 || p.Start == "" || StartOf(p.PID) != p.Start {
		return nil
	}
	return []int{p.PID}
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
	if sendBreak(uint32(p.PID)) == nil { // of another agent's console, it is not
		if gone, err := within(ctx, h, grace); gone || err != nil {
			return err
		}
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

// vanish waits until the system has forgotten a process that was ended: while anybody has
// it open, restic takes a lock of its for one in use.
func vanish(pid int) {
	for end := time.Now().Add(2 * time.Second); Exists(pid) && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
}

// Exists reports whether the system knows a process of this number, even one that has
// ended, so that others take what belongs to it for in use.
func Exists(pid int) bool {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return errors.Is(err, windows.ERROR_ACCESS_DENIED)
	}
	_ = windows.CloseHandle(h)
	return true
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
