package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/topics"
)

// DefaultState is where an agent keeps its state unless it is told otherwise.
func DefaultState() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(programData(), "restic-manager-agent")
	}
	return "/var/lib/restic-manager-agent"
}

// kept are patterns of what an agent keeps for itself in its state directory. On Linux the
// policy file may be another administrator's, who is asked to mend it.
func kept() []string {
	all := []string{identityFile, "*.db", "cache", "tmp"}
	if runtime.GOOS == "windows" {
		all = append(all, policyFile, "log")
	}
	return all
}

// formerState is what people were once told to name as the state directory on Windows
// too, where it is below the root of a drive, whose files every user may read.
const formerState = `:\var\lib\restic-manager-agent`

// former reports whether a full path of Windows is that directory.
func former(path string) bool {
	path = strings.TrimRight(strings.ReplaceAll(ordinary(path), "/", `\`), `\`)
	return len(path) == 1+len(formerState) && strings.EqualFold(path[1:], formerState)
}

// movedFile says in a state directory that it was moved there from where others could
// read it.
const movedFile = "moved.json"

// A removal is where a state directory was before, and when it was moved.
type removal struct {
	From string    `json:"from"`
	At   time.Time `json:"at"`
	Keys time.Time `json:"keys,omitzero"` // when its keys were replaced for that
}

// Home is the state directory to use where somebody names this one. On Windows a state
// below C:\var\lib is moved to where nobody but the administrators can read it; what was
// done is said, a sentence each. On an error it is where it was.
func Home(state string) (dir string, said []string, err error) {
	if dir, err = filepath.Abs(state); err != nil {
		return "", nil, fmt.Errorf("find the state directory: %w", err)
	}
	if runtime.GOOS != "windows" || !former(dir) {
		return dir, nil, nil
	}
	return move(dir, DefaultState())
}

// Located is the state directory that Home would answer with, or the one that it would
// move. It moves none.
func Located(state string) (string, error) {
	dir, err := filepath.Abs(state)
	if err != nil {
		return "", fmt.Errorf("find the state directory: %w", err)
	}
	if runtime.GOOS == "windows" && former(dir) {
		if _, err := os.Lstat(filepath.Join(DefaultState(), identityFile)); err == nil {
			return DefaultState(), nil
		}
	}
	return dir, nil
}

// planted returns an error if somebody else than the administrators has made the state
// directory, the identity or the policy in it: on Windows everybody may make a directory
// where the agent's will be, and what stands in it would be obeyed with all rights.
func planted(state string) error {
	return private.Ours(state, filepath.Join(state, identityFile), filepath.Join(state, policyFile))
}

// move moves a state directory with an identity, unless there is one where it is to go.
func move(from, to string) (dir string, said []string, err error) {
	if _, err := os.Lstat(filepath.Join(to, identityFile)); err == nil {
		return to, nil, nil
	}
	if _, err := os.Lstat(filepath.Join(from, identityFile)); errors.Is(err, fs.ErrNotExist) {
		return to, nil, nil // keys are never made there
	}
	if entries, err := os.ReadDir(to); err == nil && len(entries) > 0 {
		return from, []string{fmt.Sprintf("%s is not moved to %s, because there are files there: remove them, or move them", from, to)}, nil
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return from, nil, fmt.Errorf("make room for the state directory: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return from, nil, err
	}
	if err := planted(from); err != nil { // the agent does not start with it, and has a log to say so
		return from, []string{fmt.Sprintf("%s is not moved to %s: %v", from, to, err)}, nil
	}
	// Whoever could read it is shut out first, and it goes as a whole.
	said = private.Dir(from, "*")
	if err := remember(from, removal{From: from, At: time.Now().UTC()}); err != nil {
		return from, said, err
	}
	if err := os.Rename(from, to); err != nil {
		return from, append(said, fmt.Sprintf("%s is not moved to %s, and works on where it is: %v; stop what uses it, and start the agent again",
			from, to, err)), nil
	}
	if err := movePolicy(from, to); err != nil {
		return to, said, err
	}
	return to, append(said, fmt.Sprintf("the state directory was moved from %s, where every user of this machine could read it, to %s",
		from, to)), nil
}

// movePolicy has a policy name what was below a directory where it is now.
func movePolicy(from, to string) error {
	b, err := os.ReadFile(filepath.Join(to, policyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	p, err := parsePolicy(b, from)
	if err != nil {
		return nil //nolint:nilerr // whoever loads it says so
	}
	for _, roots := range []*[]string{&p.BackupRoots, &p.RestoreRoots, &p.RepositoryRoots, &p.RepositoryFiles} {
		*roots = slices.Clone(*roots)
		for i, path := range *roots {
			if rest, below := cutFold(path, from); below && (rest == "" || rest[0] == filepath.Separator) {
				(*roots)[i] = to + rest
			}
		}
	}
	return p.Save(to)
}

// cutFold cuts a beginning off, in capitals or not.
func cutFold(path, begins string) (rest string, ok bool) {
	if len(path) < len(begins) || !strings.EqualFold(path[:len(begins)], begins) {
		return path, false
	}
	return path[len(begins):], true
}

// pending reports whether keys that others could read are still in use.
func (r *removal) pending() bool { return r != nil && r.Keys.IsZero() }

// told is what the control plane is told of it, for a month after the keys were replaced.
func (r *removal) told() *topics.Moved {
	const month = 30 * 24 * time.Hour
	if r == nil || !r.Keys.IsZero() && time.Since(r.Keys) > month {
		return nil
	}
	m := &topics.Moved{From: r.From, At: r.At.UnixMilli()}
	if !r.Keys.IsZero() {
		m.Keys = r.Keys.UnixMilli()
	}
	return m
}

func remember(state string, r removal) error { return writeFile(state, movedFile, r) }

// moved is where a state directory was before; nil if it was always here.
func moved(state string) *removal {
	b, err := os.ReadFile(filepath.Join(state, movedFile))
	if err != nil {
		return nil
	}
	r := new(removal)
	if json.Unmarshal(b, r) != nil || r.From == "" {
		return nil
	}
	return r
}
