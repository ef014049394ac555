//go:build unix

package store

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/restic-manager/restic-manager/store/copies"
	"github.com/restic-manager/restic-manager/store/keyring"
)

// TestWhatRootMakesBelongsToTheUserOfTheDirectory: the unit of deploy/ runs the control
// plane as a user of its own, and root's commands beside it leave nothing that it
// cannot read.
func TestWhatRootMakesBelongsToTheUserOfTheDirectory(t *testing.T) {
	user := os.Geteuid()
	above := t.TempDir()
	if user == 0 {
		user = 54321
		if err := os.Chown(above, user, user); err != nil {
			t.Fatal(err)
		}
	}
	_, key, file := copied(t)
	data := filepath.Join(above, "data")
	if _, err := RestoreFrom(t.Context(), Restoring{Copy: file, Data: data, Key: keyring.Source{File: key}}); err != nil {
		t.Fatal(err)
	}
	s, err := OpenWith(t.Context(), data, Options{Key: keyring.Source{File: key}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Copy(t.Context(), copies.Daily, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{data, filepath.Join(data, fileName), copies.Dir(data), c.Path} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != user {
			t.Errorf("%s belongs to user %d, want %d", path, st.Uid, user)
		}
	}
}
