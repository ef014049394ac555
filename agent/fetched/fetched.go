// Package fetched keeps the restic that the control plane had the agent fetch: below the
// agent's state directory, where nobody else writes, each in a directory that is named by the
// checksum of the file as it was released. What is kept here is run only while it is the very
// program that came out of that file.
package fetched

import (
	"archive/zip"
	"compress/bzip2"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/restic-manager/restic-manager/agent/launcher"
	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/topics"
)

const (
	directory = "fetched"
	stateFile = "state.json"
	// Partial ends the name of a directory that is not whole yet.
	Partial = ".partial"
	// MaxProgram is how many bytes a restic has at most, unpacked; those of today have 30 MB.
	MaxProgram = 256 << 20
)

// A Program is a restic that was fetched.
type Program struct {
	Name    string       `json:"name"`    // of the file, as it was released
	SHA256  string       `json:"sha256"`  // of that file: what was pinned
	Program string       `json:"program"` // SHA-256 of what was in it
	Version string       `json:"version"` // as it says itself
	Job     topics.JobID `json:"job"`     // that fetched it
	At      int64        `json:"at"`      // Unix milliseconds by the host's clock
}

// A State is what is used.
type State struct {
	Current *Program `json:"current,omitempty"` // nil is the host's own
	Before  *Program `json:"before,omitempty"`  // what rollback goes back to; nil is the host's own
}

// Dir is where it is kept, below the agent's state directory.
func Dir(state string) string { return filepath.Join(state, directory) }

// Held is the directory of what came out of a file with this SHA-256.
func Held(state, sha256 string) string { return filepath.Join(Dir(state), sha256) }

// Name is the program's own.
func Name() string {
	if runtime.GOOS == "windows" {
		return "restic.exe"
	}
	return "restic"
}

// Path is the program.
func Path(state string, p Program) string { return filepath.Join(Held(state, p.SHA256), Name()) }

// Load reads what is used; nothing is, where none was fetched yet.
func Load(state string) (s State, err error) {
	b, err := os.ReadFile(filepath.Join(Dir(state), stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return State{}, fmt.Errorf("read which restic is used: %w", err)
	}
	return s, nil
}

func save(state string, s State) error {
	if err := private.MakeDir(Dir(state)); err != nil {
		return err
	}
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return launcher.WriteFile(filepath.Join(Dir(state), stateFile), append(b, '\n'), 0o600)
}

// Use has a program that is held be the one from now on.
func Use(state string, p Program) error {
	s, err := Load(state)
	if err != nil {
		s = State{} // it is damaged, and what is in it is gone anyhow
	}
	if s.Current == nil || s.Current.SHA256 != p.SHA256 {
		s.Before = s.Current
	}
	s.Current = &p
	if err := save(state, s); err != nil {
		return fmt.Errorf("write down which restic is used: %w", err)
	}
	return nil
}

// ErrNone is that there is nothing to go back from.
var ErrNone = errors.New("no restic was fetched: the host's own is used")

// Back goes back to the restic that was used before the last, or to the host's own if there
// was none, it is not whole any more, or what was written down of it is damaged.
func Back(state string) (from Program, to *Program, err error) {
	s, err := Load(state)
	if err != nil {
		return from, nil, save(state, State{})
	}
	if s.Current == nil {
		return from, nil, ErrNone
	}
	from, to = *s.Current, s.Before
	if to != nil && Whole(state, *to) != nil {
		to = nil
	}
	return from, to, save(state, State{Current: to})
}

// Whole returns why a program is not run: it is not there, or not what was fetched.
func Whole(state string, p Program) error {
	sum, _, err := Sum(Path(state, p))
	if err != nil {
		return fmt.Errorf("the restic that was fetched (%s) cannot be read: %w", p.Name, err)
	}
	if sum != p.Program {
		return fmt.Errorf("the restic that was fetched (%s) is not what it was: its SHA-256 is %s, and was %s", p.Name, sum, p.Program)
	}
	return nil
}

// Sum is the SHA-256 of a file, in hexadecimal digits, and its length.
func Sum(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// Unpack writes the program that is in a file as restic is released, by its name: .bz2 and
// .zip are unpacked, anything else is the program itself. What it returns is the SHA-256 of
// the program, which is on disk then.
func Unpack(file, name, to string) (sum string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var in io.Reader = f
	switch {
	case strings.HasSuffix(name, ".bz2"):
		in = bzip2.NewReader(f)
	case strings.HasSuffix(name, ".zip"):
		inside, err := only(f)
		if err != nil {
			return "", err
		}
		defer inside.Close()
		in = inside
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o700)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, h), io.LimitReader(in, MaxProgram+1))
	if n > MaxProgram {
		err = fmt.Errorf("what is in %s is longer than %d bytes", name, MaxProgram)
	}
	if err = errors.Join(err, out.Chmod(0o700), out.Sync(), out.Close()); err != nil {
		return "", errors.Join(err, os.Remove(to))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// only opens the one file of a zip file.
func only(f *os.File) (io.ReadCloser, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		return nil, err
	}
	var found *zip.File
	for _, one := range z.File {
		if !one.Mode().IsRegular() {
			continue
		}
		if found != nil {
			return nil, errors.New("there is more than one file in it")
		}
		found = one
	}
	if found == nil {
		return nil, errors.New("there is no file in it")
	}
	return found.Open()
}

// Tidy removes what is neither used nor what rollback goes back to, and what is not whole,
// except the parts of one that is being fetched.
func Tidy(state, fetching string) error {
	s, err := Load(state)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(Dir(state))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	keep := map[string]bool{stateFile: true}
	for _, p := range []*Program{s.Current, s.Before} {
		if p != nil {
			keep[p.SHA256] = true
		}
	}
	if fetching != "" {
		keep[fetching+Partial] = true
	}
	var errs []error
	for _, e := range entries {
		if !keep[e.Name()] {
			errs = append(errs, os.RemoveAll(filepath.Join(Dir(state), e.Name())))
		}
	}
	return errors.Join(errs...)
}
