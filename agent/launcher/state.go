// Package launcher has the agent's service run the release that an update brought, without
// touching the program that a package or an installer owns: it starts that release as a
// child, and goes back to what ran before if it does not prove itself.
//
// What an update brings is below the state directory, in update/NUMBER: a manifest, its
// signature and the program. Each time it is to be run, all three are verified. One small
// file, update/state.json, says what runs and what is on trial; it is replaced as a whole
// and is on disk before what it says is done. So whoever is cut short anywhere finds, at
// the next start, what to do.
package launcher

import (
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
	"strconv"
	"time"

	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/release"
	"github.com/restic-manager/restic-manager/topics"
)

// A State is what is known of updates in a state directory. Numbers are those of
// manifests; 0 is the installed program.
type State struct {
	Kept   int64 `json:"kept,omitempty"`   // what runs
	Before int64 `json:"before,omitempty"` // what ran before, to which rollback goes back
	// Highest is the highest number that was ever kept. Numbers only rise: nothing that is
	// not higher is taken any more, so that an old release with a fault cannot be brought back.
	Highest int64            `json:"highest,omitempty"`
	Trial   *Trial           `json:"trial,omitempty"`
	Back    *topics.WentBack `json:"back,omitempty"`     // when it last went back, and why
	BackJob topics.JobID     `json:"back_job,omitempty"` // the update that ended with that
}

// A Trial is a release that has not proved itself yet.
type Trial struct {
	Number   int64        `json:"number"`
	Version  string       `json:"version"`
	Job      topics.JobID `json:"job,omitempty"`
	Restic   bool         `json:"restic,omitempty"`   // the program before it found one
	Attempts int          `json:"attempts,omitempty"` // how often it was begun
	Since    int64        `json:"since,omitempty"`    // Unix milliseconds
}

// Attempts is how often a trial is begun that is cut short.
const Attempts = 3

const (
	directory = "update"
	stateFile = "state.json"
)

// Dir is where updates are, below the agent's state directory.
func Dir(state string) string { return filepath.Join(state, directory) }

// Held is the directory of a release.
func Held(state string, number int64) string {
	return filepath.Join(Dir(state), strconv.FormatInt(number, 10))
}

// Program is the program of a release.
func Program(state string, number int64) string {
	name := "restic-manager-agent"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(Held(state, number), name)
}

// Load reads what is known; nothing is, where there was no update yet.
func Load(state string) (s State, err error) {
	b, err := os.ReadFile(filepath.Join(Dir(state), stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return State{}, fmt.Errorf("read what is known of updates: %w", err)
	}
	return s, nil
}

// Change changes what is known, by one process at a time. Nothing is written if change
// returns false.
func Change(state string, change func(*State) bool) (s State, err error) {
	dir := Dir(state)
	if err := private.MakeDir(dir); err != nil {
		return s, fmt.Errorf("make the directory for updates: %w", err)
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return s, fmt.Errorf("lock what is known of updates: %w", err)
	}
	defer unlock()
	s, damaged := Load(state)
	if !change(&s) && damaged == nil {
		return s, nil
	}
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return s, err
	}
	return s, WriteFile(filepath.Join(dir, stateFile), append(b, '\n'), 0o600)
}

// WriteFile writes a file that is the old or the new one after a crash, and on disk when
// it returns. It belongs to the user of the directory if root writes it, see [private.Own].
func WriteFile(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close(), private.Own(f.Name(), filepath.Dir(path)))
	if err == nil {
		failpoint.Here("update-state-written")
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir has the names in a directory be on disk.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" { // it has no such call
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Verify returns the manifest of a release that is held, if it is what one of the keys
// signed, to the last byte of its program. The error has the cause.
func Verify(state string, number int64, keys []string) (m release.Manifest, err error) {
	dir := Held(state, number)
	manifest, err := read(filepath.Join(dir, release.ManifestFile), release.MaxManifest)
	if err != nil {
		return m, fail(topics.CauseChecksum, "the manifest of release %d cannot be read: %v", number, err)
	}
	signature, err := read(filepath.Join(dir, release.SignatureFile), release.MaxSignature)
	if err != nil {
		return m, fail(topics.CauseSignature, "the signature of release %d cannot be read: %v", number, err)
	}
	if m, err = release.Verify(keys, manifest, signature); err != nil {
		return m, fail(causeOf(err), "release %d is not run: %v", number, err)
	}
	system, arch := release.Platform()
	p, ok := m.For(system, arch)
	if m.Number != number || !ok {
		return m, fail(topics.CauseNoProgram, "what is kept as release %d is another", number)
	}
	return m, Matches(Program(state, number), p)
}

func causeOf(err error) topics.Cause {
	if errors.Is(err, release.ErrNoKey) {
		return topics.CauseUpdateRefused
	}
	return topics.CauseSignature
}

// Matches returns an error if a file is not the program that a manifest names.
func Matches(path string, p release.Program) error {
	f, err := os.Open(path)
	if err != nil {
		return fail(topics.CauseChecksum, "the program cannot be read: %v", err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, p.Size+1))
	switch sum := hex.EncodeToString(h.Sum(nil)); {
	case err != nil:
		return fail(topics.CauseChecksum, "the program cannot be read: %v", err)
	case n != p.Size:
		return fail(topics.CauseChecksum, "%s has another length than the %d bytes that were signed", p.Name, p.Size)
	case sum != p.SHA256:
		return fail(topics.CauseChecksum, "%s has the SHA-256 %s, and the one that was signed %s", p.Name, sum, p.SHA256)
	}
	return nil
}

// A Failure is why a release is not run.
type Failure struct {
	Cause   topics.Cause
	Message string
}

// Error implements error.
func (f *Failure) Error() string { return f.Message }

func fail(cause topics.Cause, format string, args ...any) error {
	return &Failure{Cause: cause, Message: fmt.Sprintf(format, args...)}
}

// Failed is the failure in an error; of another error it is that the program cannot be run.
func Failed(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{Cause: topics.CauseCannotRun, Message: err.Error()}
}

func read(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most+1))
}

// back notes that a trial, or what was kept, is not run any more.
func (s *State) back(from int64, version string, to int64, job topics.JobID, why *Failure, now time.Time) {
	s.Back = &topics.WentBack{From: from, Version: version, To: to, At: now.UnixMilli(), Cause: why.Cause, Message: why.Message}
	s.BackJob, s.Trial = job, nil
}

// Rollback goes back to the release before the one that runs, or to the installed program.
// The launcher sees it, and has the agent end first. It returns what was left and what runs
// then.
func Rollback(state string, keys []string, own int64, now time.Time) (from, to int64, err error) {
	var none error
	_, err = Change(state, func(s *State) bool {
		switch {
		case s.Trial != nil:
			from, to = s.Trial.Number, s.Kept
			s.back(from, s.Trial.Version, max(to, own*b2i(to == 0)), s.Trial.Job, rolledBack, now)
			return true
		case s.Kept == 0 || s.Kept <= own:
			none = errors.New("the installed program runs, and no update is kept: there is nothing to go back from. " +
				"To install an older one, install its package")
			return false
		}
		from, to = s.Kept, s.Before
		if to <= own {
			to = 0
		} else if _, err := Verify(state, to, keys); err != nil {
			to = 0
		}
		version := ""
		if m, err := Verify(state, from, keys); err == nil {
			version = m.Version
		}
		s.Kept, s.Before = to, 0
		s.back(from, version, max(to, own*b2i(to == 0)), "", rolledBack, now)
		return true
	})
	return from, to, errors.Join(none, err)
}

var rolledBack = &Failure{Cause: topics.CauseRolledBack, Message: "somebody on the host went back to the release before"}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Tidy removes releases that are not needed any more, and what is left of downloads of
// others than keep.
func Tidy(state string, keep ...int64) error {
	s, err := Load(state)
	if err != nil {
		return err
	}
	need := map[string]bool{}
	for _, n := range append(keep, s.Kept, s.Before) {
		need[strconv.FormatInt(n, 10)] = true
	}
	if s.Trial != nil {
		need[strconv.FormatInt(s.Trial.Number, 10)] = true
	}
	entries, err := os.ReadDir(Dir(state))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		name := e.Name()
		if len(name) > len(Partial) && name[len(name)-len(Partial):] == Partial {
			name = name[:len(name)-len(Partial)]
		}
		if _, number := strconv.ParseInt(name, 10, 64); e.IsDir() && number == nil && !need[name] {
			err = errors.Join(err, os.RemoveAll(filepath.Join(Dir(state), e.Name())))
		}
	}
	return err
}

// Partial ends the name of the directory of a release that is not whole yet.
const Partial = ".part"
