package restic

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// settled is how long nothing was written to what is left of an init that was cut short:
// longer than one takes.
const settled = 2 * time.Minute

// tidy makes sure that a directory in which there is no repository may become one.
// restic looks for a configuration alone, and makes a second key beside one that is left:
// then neither opens the repository for sure. Keys that an init left which was cut short
// open nothing and are removed; where there is data, a configuration was lost, and
// nothing is made. It ends Succeeded if there is nothing in the way. For an address that
// is no path of this host it knows nothing.
func tidy(repository Repository, now time.Time, sink Sink) Ending {
	a, err := location.ParseHere(repository.URL.Reveal())
	if err != nil || a.Scheme() != location.Local {
		return Ending{State: topics.Succeeded}
	}
	for _, kind := range []string{"snapshots", "index", "data"} {
		if name, err := firstFile(filepath.Join(a.Path(), kind)); err != nil {
			return failed(causeOf(err), fmt.Errorf("look for what is in the directory already: %w", err))
		} else if name != "" {
			return failed(topics.CauseDamaged, fmt.Errorf("there is data of a repository but no config file, for one %s: a new repository "+
				"would bury it. Bring the config file back, or make the repository elsewhere", name))
		}
	}
	dir := filepath.Join(a.Path(), "keys")
	keys, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for _, key := range keys {
		if info, err := key.Info(); err == nil && now.Sub(info.ModTime()) < settled {
			return failed(topics.CauseLocked, errors.New("a key was written there moments ago and there is no config file: somebody else may "+
				"be making the repository"))
		}
	}
	for _, key := range keys {
		if err == nil {
			sink.Line(topics.Warn, "removing a key that an init left which was cut short: "+key.Name())
			err = os.Remove(filepath.Join(dir, key.Name()))
		}
	}
	if err != nil {
		return failed(causeOf(err), fmt.Errorf("remove what an init left that was cut short: %w", err))
	}
	return Ending{State: topics.Succeeded}
}

// firstFile returns one regular file below a directory, "" if there is none.
func firstFile(dir string) (found string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !d.IsDir():
			found = path
			return fs.SkipAll
		}
		return nil
	})
	return found, err
}
