package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"unicode/utf8"

	"golang.org/x/sys/windows"

	"github.com/restic-manager/restic-manager/private"
)

// openTrusted opens a file that only the system, its administrators or our own user can
// write to, and keeps everybody from writing to it or replacing it while it is open.
func openTrusted(path string) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING,
		windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(h), path)
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errors.New("it is no regular file"), file.Close())
	}
	if err := private.Trusted(path); err != nil {
		file.Close()
		return nil, fmt.Errorf("it is not to be trusted: %w", err)
	}
	return file, nil
}

// runnable is how an open file is run.
func runnable(path string, _ *os.File) (Invocation, error) {
	system, err := windows.GetSystemDirectory()
	if err != nil {
		return Invocation{}, fmt.Errorf("find the system's programs: %w", err)
	}
	return onWindows(path, system)
}

// spell gives a program a command line in place of arguments.
func spell(cmd *exec.Cmd, line string) {
	if line != "" {
		cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: line}
	}
}

var (
	kernel32         = windows.NewLazySystemDLL("kernel32.dll")
	allocConsole     = kernel32.NewProc("AllocConsole")
	getConsoleWindow = kernel32.NewProc("GetConsoleWindow")
	getOEMCP         = kernel32.NewProc("GetOEMCP")
	showWindow       = windows.NewLazySystemDLL("user32.dll").NewProc("ShowWindow")
)

// Console gives this process a console, hidden, if it has none, as a service has not:
// restic is asked to end through it.
func Console() error {
	switch ok, _, err := allocConsole.Call(); {
	case ok != 0:
	case errors.Is(err, windows.ERROR_ACCESS_DENIED): // there is one
		return nil
	default:
		return fmt.Errorf("allocate a console: %w", err)
	}
	if window, _, _ := getConsoleWindow.Call(); window != 0 {
		_, _, _ = showWindow.Call(window, windows.SW_HIDE)
	}
	return nil
}

// Decode returns what a program wrote as UTF-8: what is none was written in the code page
// of the command interpreter.
func Decode(line []byte) []byte {
	if utf8.Valid(line) || len(line) == 0 {
		return line
	}
	page, _, _ := getOEMCP.Call()
	return decode(uint32(page), line)
}

func decode(page uint32, line []byte) []byte {
	n, err := windows.MultiByteToWideChar(page, 0, &line[0], int32(len(line)), nil, 0)
	if err != nil {
		return line
	}
	wide := make([]uint16, n)
	if _, err = windows.MultiByteToWideChar(page, 0, &line[0], int32(len(line)), &wide[0], n); err != nil {
		return line
	}
	return []byte(windows.UTF16ToString(wide))
}
