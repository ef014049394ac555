package restic

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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
// nothing is made, nor is it where somebody else's files lie under the name of the keys.
// It ends Succeeded if there is nothing in the way. For an address that is no path of this
// host it knows nothing.
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
		if err == nil && !left(dir, key) {
			return failed(topics.CauseUsage, fmt.Errorf("%s is no key of a repository, and there is no config file: somebody keeps other files "+
				"there. Make the repository in a directory of its own", filepath.Join(dir, key.Name())))
		}
	}
	for _, key := range keys {
		if info, err := key.Info(); err == nil && now.Sub(info.ModTime()) < settled {
			return failed(topics.CauseLocked, errors.New("a key was written there moments ago and there is no config file: somebody else may "+
				"be making the repository"))
		}
	}
	for _, key := range keys {
		if err == nil && wholeKey.MatchString(key.Name()) {
			sink.Line(topics.Warn, "removing a key that an init left which was cut short: "+key.Name())
			err = os.Remove(filepath.Join(dir, key.Name()))
		}
	}
	if err != nil {
		return failed(causeOf(err), fmt.Errorf("remove what an init left that was cut short: %w", err))
	}
	return Ending{State: topics.Succeeded}
}

// wholeKey and partOfKey are the names of a key, and of one while restic writes it, which
// it takes for none.
var (
	wholeKey  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	partOfKey = regexp.MustCompile(`^[0-9a-f]{64}-tmp-[0-9]+$`)
)

// left reports whether a file is a key of restic's: it has the name of what it holds, or
// holds nothing, as after a power failure.
func left(dir string, key fs.DirEntry) bool {
	if !key.Type().IsRegular() || partOfKey.MatchString(key.Name()) {
		return key.Type().IsRegular()
	}
	if !wholeKey.MatchString(key.Name()) {
		return false
	}
	f, err := os.Open(filepath.Join(dir, key.Name()))
	if err != nil {
		return false
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f, 1<<20))
	return err == nil && (n == 0 || hex.EncodeToString(sum.Sum(nil)) == key.Name())
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
