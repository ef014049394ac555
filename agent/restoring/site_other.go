//go:build !linux

package restoring

import (
	"io/fs"
	"os"
	"syscall"
)

// A site is where restic writes: the target itself. Only on Linux there is a stage.
type site struct {
	target string
	head   header
}

func (r *restoring) open() (*site, error) {
	if r.target != "" {
		if err := os.MkdirAll(r.target, 0o700); err != nil {
			return nil, err
		}
	}
	return &site{target: r.target, head: header{Target: r.target}}, nil
}

func reopen(h header) (*site, error) { return &site{target: h.Target, head: h}, nil }

func (s *site) path() string                   { return s.target }
func (s *site) files() []*os.File              { return nil }
func (s *site) base() string                   { return s.target }
func (s *site) header() header                 { return s.head }
func (s *site) settle(*restoring) (_, _ error) { return nil, nil }
func (s *site) give(*record, header) error     { return nil }
func (s *site) finish() error                  { return nil }
func (s *site) close()                         {}

func hasProc() bool { return false }

func writable(string) error { return nil }

// removeEmpty removes an empty directory.
func removeEmpty(dir string) error { return syscall.Rmdir(dir) }

// Inherit gives a new directory to whom the one above belongs, where that can be.
func Inherit(*os.Root, string) error { return nil }

// An ownership is what a folder had before.
type ownership struct{}

func ownershipAt(string, fs.FileInfo) *ownership { return nil }

func namesOf(fs.FileInfo) uint64 { return 1 }
func changed(fs.FileInfo) int64  { return 0 }
