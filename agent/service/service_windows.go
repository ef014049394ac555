package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"

	"github.com/restic-manager/restic-manager/private"
)

// ending is how long a running restic may take to end in its own way; see the drain of an
// agent.
const ending = 150 * time.Second

// Install has the service control manager start the agent some time after the machine,
// again when it has ended by itself, and tell it early when the machine is shut down.
// said tells what was done, a sentence each.
func Install(s Service) (said []string, err error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	for _, path := range []string{s.Program, s.Restic} {
		if path == "" {
			continue
		}
		if err := private.Trusted(path); err != nil { // it would be SYSTEM's with the next start
			return nil, fmt.Errorf("%s is not to be run as SYSTEM: %w", path, err)
		}
	}
	m, err := connect()
	if err != nil {
		return nil, err
	}
	defer m.Disconnect()
	config := mgr.Config{
		ServiceType: windows.SERVICE_WIN32_OWN_PROCESS, StartType: mgr.StartAutomatic, ErrorControl: mgr.ErrorNormal,
		DisplayName: DisplayName, Description: Description, DelayedAutoStart: true,
		BinaryPathName: quoted(s.Program, s.Arguments()),
	}
	h, err := m.OpenService(Name)
	if err == nil {
		defer h.Close()
		if err := change(h, config); err != nil {
			return nil, fmt.Errorf("change the service: %w", err)
		}
		said = append(said, "changed the service "+Name)
	} else {
		if h, err = m.CreateService(Name, s.Program, config, s.Arguments()...); err != nil {
			return nil, fmt.Errorf("make the service: %w", err)
		}
		defer h.Close()
		said = append(said, "made the service "+Name+", which runs as SYSTEM and starts some time after the machine")
	}
	again := func(after time.Duration) mgr.RecoveryAction {
		return mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: after}
	}
	if err := h.SetRecoveryActions([]mgr.RecoveryAction{again(5 * time.Second), again(30 * time.Second), again(time.Minute)},
		24*60*60); err != nil {
		said = append(said, "Windows does not start it again when it has ended by itself: "+err.Error())
	}
	if err := h.SetRecoveryActionsOnNonCrashFailures(true); err != nil {
		said = append(said, "Windows does not start it again when it has ended with an error: "+err.Error())
	}
	limit := struct{ milliseconds uint32 }{uint32(ending.Milliseconds())}
	if err := windows.ChangeServiceConfig2(h.Handle, windows.SERVICE_CONFIG_PRESHUTDOWN_INFO, (*byte)(unsafe.Pointer(&limit))); err != nil {
		said = append(said, "Windows does not wait for it when the machine is shut down: "+err.Error())
	}
	if err := eventlog.InstallAsEventCreate(Name, eventlog.Error|eventlog.Warning|eventlog.Info); err != nil &&
		!strings.Contains(err.Error(), "exists") {
		said = append(said, "it has no source in the event log: "+err.Error())
	}
	return append(said, "its log is "+LogPath(s.State)+", and what matters is in Windows' log of applications, too"), nil
}

// change has an existing service run something else, in the way config says.
func change(h *mgr.Service, config mgr.Config) error {
	texts := make([]*uint16, 3)
	for i, text := range []string{config.BinaryPathName, "LocalSystem", config.DisplayName} {
		var err error
		if texts[i], err = windows.UTF16PtrFromString(text); err != nil {
			return err
		}
	}
	if err := windows.ChangeServiceConfig(h.Handle, config.ServiceType, config.StartType, config.ErrorControl, texts[0], nil, nil, nil,
		texts[1], nil, texts[2]); err != nil {
		return err
	}
	delayed := windows.SERVICE_DELAYED_AUTO_START_INFO{IsDelayedAutoStartUp: 1}
	return windows.ChangeServiceConfig2(h.Handle, windows.SERVICE_CONFIG_DELAYED_AUTO_START_INFO, (*byte)(unsafe.Pointer(&delayed)))
}

// Uninstall stops the service and removes it. The state directory stays.
func Uninstall() (said []string, err error) {
	m, h, err := open()
	if err != nil {
		return nil, err
	}
	defer m.Disconnect()
	defer h.Close()
	if err := stop(h); err != nil {
		return nil, err
	}
	if err := h.Delete(); err != nil {
		return nil, fmt.Errorf("remove the service: %w", err)
	}
	_ = eventlog.Remove(Name) // what is in the log stays, without its words
	return []string{"stopped the agent and removed the service " + Name}, nil
}

// Start starts the service.
func Start() error {
	m, h, err := open()
	if err != nil {
		return err
	}
	defer m.Disconnect()
	defer h.Close()
	if err := h.Start(); err != nil && !errors.Is(err, windows.ERROR_SERVICE_ALREADY_RUNNING) {
		return fmt.Errorf("start the service: %w", err)
	}
	return await(h, svc.Running, 30*time.Second)
}

// Stop stops the service, and returns when it has ended.
func Stop() error {
	m, h, err := open()
	if err != nil {
		return err
	}
	defer m.Disconnect()
	defer h.Close()
	return stop(h)
}

func stop(h *mgr.Service) error {
	if _, err := h.Control(svc.Stop); err != nil {
		if errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
			return nil
		}
		return fmt.Errorf("stop the service: %w", err)
	}
	return await(h, svc.Stopped, ending)
}

// await waits for the service to be in a state.
func await(h *mgr.Service, want svc.State, limit time.Duration) error {
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		is, err := h.Query()
		switch {
		case err != nil:
			return fmt.Errorf("ask for the service: %w", err)
		case is.State == want:
			return nil
		case is.State == svc.Stopped:
			return fmt.Errorf("the service has ended by itself; its log says why, which is below the state directory (%s)", logName)
		case time.Now().After(end):
			return fmt.Errorf("the service is still not %s after %v", words[want], limit)
		}
	}
}

var words = map[svc.State]string{svc.Stopped: "stopped", svc.StartPending: "starting", svc.StopPending: "stopping", svc.Running: "running",
	svc.ContinuePending: "continuing", svc.PausePending: "pausing", svc.Paused: "paused"}

// Query asks the service control manager for the service.
func Query() (Status, error) {
	m, h, err := open()
	if errors.Is(err, ErrNotInstalled) {
		return Status{Words: "not installed"}, nil
	}
	if err != nil {
		return Status{}, err
	}
	defer m.Disconnect()
	defer h.Close()
	is, err := h.Query()
	if err != nil {
		return Status{}, fmt.Errorf("ask for the service: %w", err)
	}
	s := Status{Installed: true, Running: is.State == svc.Running, Words: words[is.State]}
	if s.Running {
		s.Words = fmt.Sprintf("running as process %d", is.ProcessId)
	}
	if config, err := h.Config(); err == nil && config.StartType != mgr.StartAutomatic {
		s.Words += "; it does not start with the machine"
	} else if err == nil {
		s.Words += "; it starts with the machine"
	}
	return s, nil
}

func connect() (*mgr.Mgr, error) {
	m, err := mgr.Connect()
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		return nil, errors.New("only an administrator may do this: open the terminal with Run as administrator")
	}
	if err != nil {
		return nil, fmt.Errorf("reach the service control manager: %w", err)
	}
	return m, nil
}

func open() (*mgr.Mgr, *mgr.Service, error) {
	m, err := connect()
	if err != nil {
		return nil, nil, err
	}
	h, err := m.OpenService(Name)
	if err != nil {
		m.Disconnect()
		if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
			return nil, nil, ErrNotInstalled
		}
		return nil, nil, fmt.Errorf("open the service: %w", err)
	}
	return m, h, nil
}

// Run runs the agent for the service control manager, until that stops it, the machine
// is shut down, or run ends by itself, which counts as a failure.
func Run(ctx context.Context, run func(context.Context) error) error {
	h := &handler{ctx: ctx, run: run}
	if err := svc.Run(Name, h); err != nil {
		return fmt.Errorf("this was not started by the service control manager: %w", err)
	}
	return h.err
}

var errDown = errors.New("the machine goes down")

// Down reports whether the context of a service ended since the machine goes down.
func Down(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errDown) }

type handler struct {
	ctx context.Context
	run func(context.Context) error
	err error
}

// Execute is what [svc.Run] calls.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, says chan<- svc.Status) (specific bool, code uint32) {
	ctx, cancel := context.WithCancelCause(h.ctx)
	defer cancel(nil)
	says <- svc.Status{State: svc.StartPending}
	done := make(chan error, 1)
	go func() { done <- h.run(ctx) }()
	now := svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptPreShutdown}
	says <- now
	asked := false
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				says <- now
			case svc.Stop, svc.PreShutdown, svc.Shutdown:
				asked = true
				if r.Cmd == svc.Stop {
					cancel(nil)
				} else {
					cancel(errDown)
				}
				now = svc.Status{State: svc.StopPending, WaitHint: uint32((10 * time.Second).Milliseconds())}
				says <- now
			}
		case <-tick.C:
			if asked { // it is still at work
				now.CheckPoint++
				says <- now
			}
		case h.err = <-done:
			if h.err != nil || !asked && h.ctx.Err() == nil {
				return true, 1
			}
			return false, 0
		}
	}
}

// Settle returns the program as it is to be installed: one that others could change is
// copied to where programs are, which only administrators can.
func Settle(program string) (string, error) {
	if private.Trusted(program) == nil {
		return program, nil
	}
	programs, err := windows.KnownFolderPath(windows.FOLDERID_ProgramFiles, 0)
	if err != nil {
		return "", fmt.Errorf("find the directory of programs: %w", err)
	}
	dir := filepath.Join(programs, "restic-manager-agent")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	to := filepath.Join(dir, Name+".exe")
	if strings.EqualFold(to, program) {
		return to, nil
	}
	return to, replace(program, to)
}

// replace copies a program over one that may be running.
func replace(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), "new-*.exe")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	old := to + ".old"
	_ = os.Remove(old) // of the time before
	if err := os.Rename(to, old); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("put the program aside that is there: %w", err), os.Remove(out.Name()))
	}
	if err := os.Rename(out.Name(), to); err != nil {
		return errors.Join(err, os.Rename(old, to))
	}
	_ = os.Remove(old) // unless it runs
	return nil
}

// Recommend says what else whoever installs should know.
func Recommend(Service) []string { return nil }
