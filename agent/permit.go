package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// A forbidden is an error of the policy: why this host does not do something, in a
// sentence for people.
type forbidden string

func (f forbidden) Error() string { return string(f) }

func forbid(format string, args ...any) error { return forbidden(fmt.Sprintf(format, args...)) }

// refuse returns why this host does not accept a job, nil if it does. It compares
// paths as they are written; prepare follows symbolic links when the job begins.
func (p Policy) refuse(state string, run topics.Run) *protocol.Refusal {
	err := run.Check(run.Kind)
	switch {
	case !slices.Contains(topics.Kinds, run.Kind):
		return &protocol.Refusal{Cause: topics.CauseRefused, Message: fmt.Sprintf("This agent does not know %.40q, update it.", string(run.Kind))}
	case err != nil:
		return &protocol.Refusal{Cause: topics.CauseRefused, Message: fmt.Sprintf("The agent refuses what it was asked: %v.", err)}
	}
	if err := p.decide(state, run); err != nil {
		return &protocol.Refusal{Cause: topics.CausePolicy, Message: err.Error()}
	}
	return nil
}

func (p Policy) decide(state string, run topics.Run) error {
	if !slices.Contains(p.Kinds, run.Kind) && !p.makesFor(run) {
		return forbid("This host's policy %s does not allow %s.", p.Name, run.Kind)
	}
	for _, name := range slices.Concat(run.Group.Hooks.Before, run.Group.Hooks.After, run.Group.Hooks.OnFailure) {
		if _, known := p.Hooks[name]; !known {
			return forbid("This host has no hook called %.60q; only its administrator can name one, with restic-manager-agent policy "+
				"allow-hook.", name)
		}
	}
	if p.managed() {
		return nil
	}
	if err := p.decideRepository(run.Repository); err != nil {
		return err
	}
	if run.Kind == topics.UnlockJob && run.All && !slices.Contains(p.Kinds, topics.PruneJob) {
		return forbid("This host's policy %s does not allow to remove locks of work that goes on.", p.Name)
	}
	for _, path := range run.Group.Paths {
		if run.Kind != topics.BackupJob {
			break
		}
		if real, err := lead(path); !below(path, p.BackupRoots) && (err != nil || !leads(real, p.BackupRoots)) {
			return forbid("This host's policy %s lets backups read below %s only, and %.200q is not there.", p.Name,
				strings.Join(p.BackupRoots, ", "), path)
		}
		if within(path, state) {
			return forbid("%.200q holds the agent's own keys, and no backup reads them.", path)
		}
	}
	if run.Kind == topics.RestoreJob {
		if !below(run.Target, p.RestoreRoots) {
			return forbid("This host's policy %s lets restores write below %s only, and %.200q is not there.", p.Name,
				strings.Join(p.RestoreRoots, ", "), run.Target)
		}
		if within(run.Target, state) && !within(run.Target, filepath.Join(state, quarantine)) || p.Overwrite && within(state, run.Target) {
			return forbid("%.200q reaches the agent's own files, and no restore writes there.", run.Target)
		}
		if run.Overwrite != "" && run.Overwrite != "never" && !p.Overwrite {
			return forbid("This host's policy %s lets no restore write over files that are there.", p.Name)
		}
	}
	return nil
}

// makesFor reports whether a job makes the repository for a backup that waits for it: who
// may back up into a repository may make it for that.
func (p Policy) makesFor(run topics.Run) bool {
	return run.Kind == topics.InitJob && run.Group.ID != "" && !run.Anyway && slices.Contains(p.Kinds, topics.BackupJob)
}

func (p Policy) decideRepository(r topics.Repository) error {
	pin, err := location.Pin(r.URL, r.Env)
	if err != nil {
		return nil // restic is never begun with it, and its words are the better ones
	}
	for _, v := range location.Variables {
		if v.Config && r.Env[v.Name] != "" { // restic would read a file of this host's as its configuration
			return forbid("This host's policy %s does not let the control plane set %s.", p.Name, v.Name)
		}
	}
	switch {
	case slices.ContainsFunc(p.Repositories, func(allowed string) bool { return location.Covers(allowed, pin) }):
		return nil
	case strings.HasPrefix(pin, "rest:http+unix:"):
		return forbid("A socket of this host is no repository unless its administrator says so, with restic-manager-agent policy " +
			"allow-repository.")
	case len(p.Repositories) == 0:
		return nil
	}
	return forbid("This host's data goes to %s only, and not to %.300s. If it shall, run on the host: restic-manager-agent policy "+
		"allow-repository.",
		strings.Join(p.Repositories, ", "), pin)
}

// prepare checks where a job's paths lead through symbolic links, and creates the
// directory a restore writes to.
func (p Policy) prepare(state string, run topics.Run) error {
	if p.managed() {
		return nil
	}
	switch run.Kind {
	case topics.BackupJob:
		_, err := p.sources(state, run.Group.Paths)
		return err
	case topics.RestoreJob:
		return p.makeTarget(state, run.Target)
	}
	return nil
}

// makeTarget creates a restore's directory below one of the roots without following
// links out of it, and refuses one that holds links to elsewhere: restic before
// 0.17 follows the links it finds.
func (p Policy) makeTarget(state, target string) error {
	root := ""
	for _, r := range p.RestoreRoots {
		if within(target, r) && len(r) >= len(root) {
			root = r
		}
	}
	if root == filepath.Join(state, quarantine) {
		if err := os.Mkdir(root, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make the directory for restores: %w", err)
		}
		if info, err := os.Lstat(root); err != nil || !info.IsDir() {
			return forbid("%.200q is not a directory.", root)
		}
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return fmt.Errorf("open the directory for restores: %w", err)
	}
	defer dir.Close()
	rel, err := filepath.Rel(root, target)
	if err != nil {
		return forbid("%.200q is not below %.200q.", target, root)
	}
	// Create one component after the other: a link inside the root might be put there
	// between a check of the whole path and its use.
	for i, part := 0, strings.Split(rel, string(filepath.Separator)); rel != "." && i < len(part); i++ {
		at := filepath.Join(part[:i+1]...)
		if err := dir.Mkdir(at, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return forbid("%.200q cannot be made below %.200q: %v.", target, root, err)
		}
		if info, err := dir.Lstat(at); err != nil || !info.IsDir() {
			return forbid("%.200q is a link or no directory, so nothing is restored through it.", filepath.Join(root, at))
		}
	}
	if p.Overwrite {
		return p.noWayOut(target)
	}
	d, err := dir.Open(rel)
	if err != nil {
		return fmt.Errorf("open the directory for the restore: %w", err)
	}
	defer d.Close()
	if names, err := d.Readdirnames(1); len(names) > 0 {
		return forbid("%.200q is not empty, and this host's policy %s lets no restore write over files that are there.", target, p.Name)
	} else if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("look into the directory for the restore: %w", err)
	}
	return nil
}

// noWayOut finds links in a restore's directory that lead out of the roots.
func (p Policy) noWayOut(target string) error {
	return filepath.WalkDir(target, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		if lead, err := resolve(path); err != nil || !leads(lead, p.RestoreRoots) {
			return forbid("%.200q leads out of where this host lets restores write.", path)
		}
		return nil
	})
}

// below reports whether a path is one of the roots or below one. It compares whole
// components, so /home/anna2 is not below /home/anna.
func below(path string, roots []string) bool {
	return filepath.IsAbs(path) && slices.ContainsFunc(roots, func(root string) bool { return within(path, root) })
}

// leads is below for a path whose links were resolved; it resolves those of the roots.
func leads(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		real, err := resolve(root)
		return err == nil && within(path, real)
	})
}

func within(path, root string) bool {
	rel, err := filepath.Rel(root, path) // cleans both
	return err == nil && (rel == "." || filepath.IsLocal(rel))
}

// resolve follows every link of a path. Of what does not exist yet it keeps the names.
func resolve(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("%s leads nowhere", path)
	}
	parent := filepath.Dir(path)
	if parent == path {
		return "", err
	}
	if real, err = resolve(parent); err != nil {
		return "", err
	}
	return filepath.Join(real, filepath.Base(path)), nil
}

// pin writes the first repository that worked into the policy as the only one that
// is allowed, until somebody on this host allows another. It returns "" if there is
// nothing to write.
func pin(state string, r topics.Repository) (string, error) {
	p, err := LoadPolicy(state)
	if err != nil || !p.unpinned() {
		return "", err
	}
	first, err := location.Pin(r.URL, r.Env)
	if err != nil {
		return "", nil
	}
	p.Repositories = []string{first}
	if i, err := LoadIdentity(state); err == nil {
		p.PinnedAs = i.Host
	}
	return first, p.Save(state)
}
