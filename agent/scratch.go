package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/restic-manager/restic-manager/topics"
)

// scratch is the directory below the state directory in which drills restore, each in one
// of its own.
const scratch = "drills"

// clearDrills removes what drills restored and left behind when the agent was killed. No
// drill may run, nor restic for one.
func clearDrills(state string) error { return removeTree(filepath.Join(state, scratch)) }

// drillDir is what a drill restores into: a directory for it alone.
func drillDir(state string, run topics.Run, job topics.JobID) string {
	own := filepath.Join(state, scratch)
	if run.Drill != nil && run.Drill.Target != "" {
		own = run.Drill.Target
	}
	return filepath.Join(own, "drill-"+string(job))
}

// A scratchFolder is the directory that one drill restores into. It stays open: whoever may
// write in a folder above can put another in its place, and nothing is read, written or
// removed in that one.
type scratchFolder struct {
	path string   // for what is said
	own  *os.Root // what it lies in
	root *os.Root // itself
	file *os.File // itself, where restic can be given it open
}

// makeScratch makes the directory, which must not be there yet.
func makeScratch(path string) (_ *scratchFolder, err error) {
	s := &scratchFolder{path: path}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	above := filepath.Dir(path)
	if err := os.MkdirAll(above, 0o700); err != nil {
		return nil, err
	}
	if s.own, err = openOwn(above); err != nil {
		return nil, err
	}
	name := filepath.Base(path)
	if err := s.own.Mkdir(name, 0o700); err != nil {
		return nil, err
	}
	if s.root, err = s.own.OpenRoot(name); err != nil {
		return nil, err
	}
	info, err := s.root.Stat(".")
	if err != nil {
		return nil, err
	}
	if err := ours(path, info); err != nil {
		return nil, fmt.Errorf("another directory was put in the place of %s: %w", path, err)
	}
	s.file, err = openForRestic(s.root)
	return s, err
}

// openOwn opens a directory that is one itself, and no link to one.
func openOwn(dir string) (*os.Root, error) {
	is, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if !is.IsDir() {
		return nil, fmt.Errorf("%s is no directory but leads elsewhere (%v), and no drill restores there: remove it", dir, is.Mode().Type())
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if now, err := root.Stat("."); err != nil || !os.SameFile(is, now) {
		root.Close()
		return nil, errors.Join(fmt.Errorf("another directory was put in the place of %s", dir), err)
	}
	return root, nil
}

// target is what restic is given to restore into the directory of this name in the folder,
// with the files that have to be open in restic for it.
func (s *scratchFolder) target(name string) (string, []*os.File) {
	if s.file == nil {
		return filepath.Join(s.path, name), nil
	}
	return "/proc/self/fd/3/" + name, []*os.File{s.file}
}

// remove removes the directory with all below it.
func (s *scratchFolder) remove() error {
	if err := emptyRoot(s.root); err != nil {
		return err
	}
	err := s.own.Remove(filepath.Base(s.path))
	if errors.Is(err, fs.ErrNotExist) { // it was moved away, and is empty
		return nil
	}
	return err
}

func (s *scratchFolder) close() {
	if s.file != nil {
		s.file.Close()
	}
	if s.root != nil {
		s.root.Close()
	}
	if s.own != nil {
		s.own.Close()
	}
}

// removeTree removes a directory with all below it, whatever rights were restored.
func removeTree(dir string) error {
	above, err := os.OpenRoot(filepath.Dir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer above.Close()
	return removeIn(above, filepath.Base(dir))
}

func emptyRoot(root *os.Root) error {
	names, err := namesAt(root, ".")
	for _, name := range names {
		err = errors.Join(err, removeIn(root, name))
	}
	return err
}

// removeIn removes what has this name with all below it, and follows no link.
func removeIn(root *os.Root, name string) error {
	if err := root.RemoveAll(name); err == nil {
		return nil
	}
	loosen(root, name)
	return root.RemoveAll(name)
}

// loosen gives a directory and all below it the rights without which nobody but root can
// remove what is in them.
func loosen(root *os.Root, dir string) {
	info, err := root.Lstat(dir)
	if err != nil || !info.IsDir() {
		return
	}
	_ = root.Chmod(dir, 0o700)
	names, _ := namesAt(root, dir)
	for _, name := range names {
		loosen(root, filepath.Join(dir, name))
	}
}

func namesAt(root *os.Root, dir string) ([]string, error) {
	f, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}
