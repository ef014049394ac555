package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/agent/restoring"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
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
	case (run.Kind == topics.CopyJob || run.Kind == topics.InitJob && run.From != "") != (run.Other != nil):
		return &protocol.Refusal{Cause: topics.CauseRefused, Message: "The agent refuses what it was asked: a copy is between two " +
			"repositories, and nothing else is but the making of one like another."}
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
	if own := filepath.Join(state, quarantine); run.Confined && (!within(run.Target, own) || within(own, run.Target)) {
		return forbid("Who asked for this may restore below %s only, and %.200q is not there.", own, run.Target)
	}
	if p.managed() {
		return nil
	}
	if err := p.decideRepository(state, run); err != nil && !idle(run) {
		return err
	}
	if run.Other != nil { // each by itself: what may be read may not be written by that
		other := run
		other.Repository = *run.Other
		if err := p.decideRepository(state, other); err != nil {
			return err
		}
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
	if d := run.Drill; run.Kind == topics.DrillJob && d != nil && d.Target != "" {
		run.Kind, run.Target = topics.RestoreJob, d.Target // it goes by the rules of a restore
	}
	if run.Kind == topics.RestoreJob && run.InPlace {
		return p.decideInPlace(state, run)
	}
	if run.Kind == topics.RestoreJob {
		if !below(run.Target, p.RestoreRoots) {
			return forbid("This host's policy %s lets restores write below %s only, and %.200q is not there.", p.Name,
				strings.Join(p.RestoreRoots, ", "), run.Target)
		}
		if why := misspelt(run.Target); runtime.GOOS == "windows" && why != "" {
			return forbid("%.200q cannot be restored to: %s.", run.Target, why)
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

// idle reports whether a run is a drill of source groups none of which has a snapshot: it
// goes to no repository and ends saying so, which tells more than that none is allowed yet.
func idle(run topics.Run) bool {
	return run.Kind == topics.DrillJob && run.Drill != nil &&
		!slices.ContainsFunc(run.Drill.Groups, func(g topics.DrillGroup) bool { return len(g.Snapshots) > 0 })
}

// decideInPlace refuses a restore to where files were, unless all of its places are such that
// a restore may go over files there.
func (p Policy) decideInPlace(state string, run topics.Run) error {
	if !p.Overwrite {
		return forbid("This host's policy %s lets no restore go where files are, and so none to where they were. Restore into a new folder.",
			p.Name)
	}
	for _, path := range placesOf(run) {
		if !below(path, p.RestoreRoots) {
			return forbid("This host's policy %s lets restores write below %s only, and %.200q is not there.", p.Name,
				strings.Join(p.RestoreRoots, ", "), path)
		}
		if why := misspelt(path); runtime.GOOS == "windows" && why != "" {
			return forbid("%.200q cannot be restored to: %s.", path, why)
		}
		if within(path, state) || within(state, path) {
			return forbid("%.200q reaches the agent's own files, and no restore writes there.", path)
		}
	}
	return nil
}

// placesOf lists where the items of a restore in place were.
func placesOf(run topics.Run) (paths []string) {
	for _, item := range run.Basket() {
		if len(item.Paths) == 0 {
			paths = append(paths, restoring.InPlace("/"))
		}
		for _, p := range item.Paths {
			paths = append(paths, restoring.InPlace(p))
		}
	}
	return paths
}

// makesFor reports whether a job makes the repository for a backup that waits for it: who
// may back up into a repository may make it for that.
func (p Policy) makesFor(run topics.Run) bool {
	return run.Kind == topics.InitJob && run.Group.ID != "" && !run.Anyway && slices.Contains(p.Kinds, topics.BackupJob)
}

func (p Policy) decideRepository(state string, run topics.Run) error {
	r := run.Repository
	place, err := location.Pin(r.URL, r.Env)
	if err != nil {
		return nil // restic is never begun with it, and its words are the better ones
	}
	pin, open, who := location.Match(p.Repositories, p.As, r.URL, r.Env)
	for _, v := range location.Variables {
		path := r.Env[v.Name].Reveal()
		if !v.File || path == "" || slices.Contains(p.RepositoryFiles, plainPath(path)) {
			continue
		}
		if _, named := p.As[pin]; pin != "" && open && !named && !v.Config {
			continue // an older agent pinned it with the files it had
		}
		return forbid("This host's policy %s does not let the control plane set %s to %.200q, a file of this host. "+
			"If it shall, run on the host: restic-manager-agent policy allow-file %s --state %s", p.Name, v.Name, path, quoted(path), quoted(state))
	}
	command := "restic-manager-agent policy allow-repository " + quoted(location.Described(r.URL, r.Env, r.Files)) + " --state " +
		quoted(state)
	address, err := location.ParseHere(r.URL.Reveal())
	switch strange := location.Strange(p.As[pin], location.Trust(r.Files)); {
	case pin != "" && len(strange) > 0:
		return forbid("The control plane sends a CA certificate for %.300s that this host was never told to trust there (SHA-256 %s): "+
			"whoever has its key could stand in for the server. If it shall be trusted, run on the host: %s",
			place, strings.Join(strange, ", "), command)
	case pin != "" && address.Scheme() == location.Local && !location.Covers(pin, place) && !leadsBelow(pin, address.Path()):
		return forbid("%.200q leads out of %.200q, below which this host's data may go.", address.Path(), pin)
	case pin != "":
		return nil
	case err != nil || location.Assigns(r.URL.Reveal()):
		return forbid("This repository's address continues with variables, and no data goes there.")
	case who:
		return forbid("This host's data goes to %.300s as somebody else than %q: another user, tenant or region has another place there. "+
			"If it shall, run on the host: %s", place, location.Identity(r.URL, r.Env), command)
	case strings.HasPrefix(place, "rest:http+unix:"):
		return forbid("A socket of this host is no repository unless its administrator says so. If it shall be one, run on the host: %s", command)
	case len(p.Repositories) > 0:
		return forbid("This host's data goes to %s only, and not to %.300s. If it shall, run on the host: %s",
			strings.Join(p.Repositories, ", "), place, command)
	case !p.permits(state).Opens(run.Kind):
		return forbid("This host has backed up to no repository yet, and until it has, no %s goes to one its administrator did not name: "+
			"back up first, or run on the host: %s", run.Kind, command)
	}
	if path := localPath(address); path != "" && !p.takes(path) {
		return forbid("%.200q is on this host's own disks, and its administrator has named no directory for repositories that it is below. "+
			"If the first repository shall be there, run on the host: %s", path, command)
	}
	return nil
}

// leadsBelow reports whether a path that is to be below a pinned one leads there, too.
func leadsBelow(pin, path string) bool {
	real, err := lead(path)
	return (err == nil || errors.Is(err, fs.ErrNotExist)) && leads(real, []string{pin})
}

// plainPath returns a full path spelt as the policy has it, and "" for one with "..",
// which leads elsewhere than it says if there is a link before it.
func plainPath(path string) string {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == filepath.Separator })
	if !filepath.IsAbs(path) || slices.Contains(parts, "..") {
		return ""
	}
	return filepath.Clean(path)
}

// quoted is an argument as the shell of this system takes it.
func quoted(text string) string {
	if runtime.GOOS == "windows" {
		return `"` + strings.ReplaceAll(text, `"`, "") + `"`
	}
	return words.Quoted(text)
}

// takes reports whether a path may be the first repository, by its name and by where it
// leads.
func (p Policy) takes(path string) bool {
	real, err := lead(path)
	return below(path, p.RepositoryRoots) && (err == nil || errors.Is(err, fs.ErrNotExist)) && leads(real, p.RepositoryRoots)
}

// prepare checks where a job's paths lead through symbolic links, and creates the
// directory a restore writes to.
func (p Policy) prepare(state string, run topics.Run) error {
	if run.Confined {
		p.RestoreRoots, p.Overwrite = []string{filepath.Join(state, quarantine)}, false
		return p.makeTarget(state, run.Operation, "who asked for this may not")
	}
	if p.managed() {
		return nil
	}
	if d := run.Drill; run.Kind == topics.DrillJob && d != nil && d.Target != "" {
		run.Kind, run.Target = topics.RestoreJob, d.Target
	}
	switch run.Kind {
	case topics.BackupJob:
		_, err := p.sources(state, run.Group.Paths)
		return err
	case topics.RestoreJob:
		if run.InPlace {
			for _, path := range placesOf(run) {
				if err := p.inPlace(state, path); err != nil {
					return err
				}
			}
			return nil
		}
		if err := p.notOurs(state, run.Target); err != nil {
			return err
		}
		return p.makeTarget(state, run.Operation, "this host's policy "+p.Name+" lets no restore")
	}
	return nil
}

// notOurs finds that a restore's directory is among the agent's own files, however it is
// spelt, or holds them where it may write over files.
func (p Policy) notOurs(state, target string) error {
	real, err := resolve(target)
	if err != nil {
		real = target // it leads nowhere, which is refused where it is made
	}
	safe, err := resolve(filepath.Join(state, quarantine)) // it need not be there yet
	if _, quarantined := here.beneath(real, safe); err == nil && (quarantined || within(real, safe)) {
		return nil
	}
	all := ownDirectories(state, nil, location.Address{})
	if _, ours := holds(all, real); ours || within(real, filepath.Clean(state)) || p.Overwrite && reaches(all, real) {
		return forbid("%.200q reaches the agent's own files, and no restore writes there.", target)
	}
	return nil
}

// makeTarget creates a restore's directory below one of the roots without following
// links out of it, and refuses one that holds links to elsewhere: restic before
// 0.17 follows the links it finds. lets begins the sentence that files are there. Without
// owners, what it makes belongs to whom the folder above belongs. For a dry run it makes
// nothing, and looks at what is there.
func (p Policy) makeTarget(state string, o topics.Operation, lets string) error {
	root, target := "", o.Target
	for _, r := range p.RestoreRoots {
		if within(target, r) && len(r) >= len(root) {
			root = r
		}
	}
	if root == filepath.Join(state, quarantine) {
		if _, err := os.Lstat(root); o.DryRun && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
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
		if _, err := dir.Lstat(at); o.DryRun && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err := dir.Mkdir(at, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			if cause := restoring.CauseOf(err); cause == topics.CauseHostDisk || cause == topics.CausePermission {
				return fmt.Errorf("the target cannot be written: %w", err)
			}
			return forbid("%.200q cannot be made below %.200q: %v.", target, root, err)
		} else if err == nil && o.NoOwners {
			if err := restoring.Inherit(dir, at); err != nil {
				return fmt.Errorf("give the directory for the restore to its owner: %w", err)
			}
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
		return forbid("%.200q is not empty, and %s write over files that are there.", target, lets)
	} else if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("look into the directory for the restore: %w", err)
	}
	return nil
}

// inPlace finds that a place leads out of where a restore may write, itself or by what is
// in it.
func (p Policy) inPlace(state, path string) error {
	if err := p.notOurs(state, path); err != nil {
		return err
	}
	real, err := resolve(filepath.Dir(path)) // what is there itself is replaced, and not followed
	if err != nil || !leads(filepath.Join(real, filepath.Base(path)), p.RestoreRoots) {
		return forbid("%.200q leads out of where this host lets restores write.", path)
	}
	if err := p.noWayOut(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// noWayOut finds links in a restore's directory that lead out of the roots.
func (p Policy) noWayOut(target string) error {
	return filepath.WalkDir(target, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&(fs.ModeSymlink|fs.ModeIrregular) == 0 { // a junction of Windows is of no other type
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
	if err == nil {
		return junction(real)
	}
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
// is allowed, until somebody on this host allows another; and of one that is there, who
// we are at it, which an older agent did not write down. It returns "" if there is
// nothing to write.
func pin(state string, kind topics.JobKind, r topics.Repository) (string, error) {
	p, err := LoadPolicy(state)
	if err != nil || p.managed() || !slices.Contains(topics.Pinning, kind) || location.Assigns(r.URL.Reveal()) {
		return "", err
	}
	identity := location.Identity(r.URL, r.Env)
	if len(p.Repositories) > 0 {
		place, open, _ := location.Match(p.Repositories, p.As, r.URL, r.Env)
		if !open {
			return "", nil
		}
		if _, known := p.As[place]; !known { // with the files that an older agent took
			for _, v := range location.Variables {
				if path := plainPath(r.Env[v.Name].Reveal()); v.File && !v.Config && path != "" {
					p.RepositoryFiles = with(p.RepositoryFiles, path)
				}
			}
		}
		as := slices.DeleteFunc(slices.Clone(p.As[place]), func(who string) bool { return who == location.Anyone })
		p.As = maps.Clone(p.As)
		if p.As == nil {
			p.As = map[string][]string{}
		}
		p.As[place] = with(as, identity)
		return place, p.Save(state)
	}
	first, err := location.Pin(r.URL, r.Env)
	if err != nil {
		return "", nil
	}
	p.admit(first, identity)
	p.grant(first, location.Trusting(location.Trust(r.Files))...)
	if i, err := LoadIdentity(state); err == nil {
		p.PinnedAs = i.Host
	}
	return first, p.Save(state)
}
