package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/restic-manager/restic-manager/private"
)

// ErrClaimed says that another control plane runs on this data directory.
var ErrClaimed = errors.New("another control plane runs on this data directory")

// Running reports whether a control plane runs on a data directory. It makes nothing there.
func Running(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, "serving.lock"), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	err = lock(f)
	_ = f.Close() // which gives a lock up that was free
	return errors.Is(err, errLocked)
}

// Claim makes a data directory ours until the file is closed, or the process
// ends, however it does. Two control planes on one database would each take the
// other's hosts for offline, and send every job twice.
func Claim(dir string) (*os.File, error) {
	if err := private.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "serving.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim the data directory: %w", err)
	}
	if err := errors.Join(private.Own(f.Name(), dir), lock(f)); err != nil {
		err = errors.Join(err, f.Close())
		if errors.Is(err, errLocked) {
			return nil, fmt.Errorf("%w, %s: stop it first, or give this one a directory of its own", ErrClaimed, dir)
		}
		return nil, fmt.Errorf("claim the data directory: %w", err)
	}
	return f, nil
}
