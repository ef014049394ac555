package restics

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/store"
)

// One file that cannot be read, such as root's own, keeps no other from being given.
func TestAFileThatCannotBeReadIsSaidToBeSo(t *testing.T) {
	s := &Service{Dir: t.TempDir()}
	const other = "restic_0.20.0_linux_arm64.bz2"
	s.put(t, linux, "one")
	s.put(t, other, "two")
	for path, mode := range map[string]os.FileMode{filepath.Dir(s.Dir): 0o755, s.Dir: 0o755, filepath.Join(s.Dir, linux): 0o644,
		filepath.Join(s.Dir, other): 0} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 { // who may read everything
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := unix.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Setfsuid(0) }()
		if _, err := os.Stat(s.Dir); err != nil {
			t.Skipf("others than root do not get there: %v", err)
		}
	}
	list, err := s.lies()
	if err != nil || len(list) != 2 || list[0].SHA256 != sumOf("one") || list[0].unread != "" || list[1].SHA256 != "" ||
		!strings.Contains(list[1].unread, "permission denied") {
		t.Fatalf("%+v, %v", list, err)
	}
	list[0].Pin = &store.ResticPin{Name: linux, SHA256: sumOf("one")}
	if why := list[0].why(); why != "" {
		t.Errorf("the other is not given: %s", why)
	}
	if why := list[1].why(); !strings.Contains(why, "cannot be read") {
		t.Errorf("it is said: %s", why)
	}
}
