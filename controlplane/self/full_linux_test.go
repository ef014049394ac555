package self

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/store"
)

// TestADatabaseOnAFullDiskIsCopiedElsewhere: that is when somebody wants a copy.
func TestADatabaseOnAFullDiskIsCopiedElsewhere(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=8388608"); err != nil {
		t.Fatalf("this test mounts a disk, for which it has to be root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	data := filepath.Join(disk, "data")
	s, err := store.Open(t.Context(), data, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Log(err) // its disk is full
		}
	})
	f, err := os.Create(filepath.Join(disk, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 512); err == nil; {
		_, err = f.Write(block)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	service := &Service{Store: s, Data: data, Timing: DefaultTiming()}
	full := false
	for range 200 { // until what was free inside of its files is used up, too
		if err := s.Copying(t.Context(), "test", "x"); err != nil {
			full = true
			break
		}
	}
	if !full {
		t.Fatal("the disk is full, and the database can be written")
	}
	path, err := service.CopyTo(t.Context(), "test", t.TempDir())
	if err != nil {
		t.Fatalf("no copy was made: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy is %+v, %v", info, err)
	}
	if _, err := service.CopyTo(t.Context(), "test", path); !errors.Is(err, ErrThere) {
		t.Errorf("over the copy: %v", err)
	}
}
