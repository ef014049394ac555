package launcher

import (
	"testing"

	"golang.org/x/sys/windows"
)

// TestTheLauncherOnWindows has build/wine run what is the same everywhere, and is made of
// other parts here: pipes, the job object, the lock.
func TestTheLauncherOnWindows(t *testing.T) {
	t.Run("kept", TestAReleaseThatProvesItselfIsKeptAndToldToEnd)
	t.Run("left", TestAReleaseThatDoesNotProveItselfIsLeft)
	t.Run("rollback", TestRollbackGoesBackOneRelease)
	t.Run("killed", TestNothingIsLeftOfALauncherThatIsKilled)
}

// lives reports whether a process runs.
func lives(pid int) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return false
	}
	defer windows.CloseHandle(h)
	is, err := windows.WaitForSingleObject(h, 0)
	return err == nil && is == uint32(windows.WAIT_TIMEOUT)
}
