package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/release"
	"github.com/restic-manager/restic-manager/topics"
)

// A Policy is what this host lets its control plane do: a file in the state
// directory that the host's own administrator writes. No message changes it.
// What it leaves out, the preset it names fills in.
type Policy struct {
	Name         string           `json:"policy"`                 // one of Presets
	Kinds        []topics.JobKind `json:"verbs"`                  // operations it runs
	Repositories []string         `json:"repositories,omitempty"` // where data may go, see location.Pin; none yet is the first that works
	PinnedAs     topics.HostID    `json:"pinned_as,omitempty"`    // the host that this was when the agent itself named the first of them
	// As says who we are at each of them, see location.Identity; anybody of those, or
	// whoever is next to succeed if one is location.Anyone. An older agent wrote none, which
	// is the same.
	// With them stand location.Below, and the CA certificates that the control plane may send
	// for it (location.Trusting). An older agent takes these for somebody that it never is.
	As              map[string][]string `json:"repositories_as,omitempty"`
	RepositoryRoots []string            `json:"repository_roots,omitempty"` // while there is none yet, a path has to be below these
	RepositoryFiles []string            `json:"repository_files,omitempty"` // of this host, which a repository may name, such as its CA
	BackupRoots     []string            `json:"backup_roots"`               // it reads below these
	RestoreRoots    []string            `json:"restore_roots"`              // it writes below these
	Overwrite       bool                `json:"overwrite"`                  // a restore may go where files are
	Hooks           map[string]Hook     `json:"hooks,omitempty"`            // programs it may run around a backup, by name
	Updates         *UpdatePolicy       `json:"updates,omitempty"`          // of the agent, by the control plane; nil is as it was built
	Restic          *ResticPolicy       `json:"restic,omitempty"`           // a restic that the control plane has it fetch; nil is none
	// HostKeys is which keys of SSH servers the control plane may have this host trust: none,
	// new or any; "" is new, see hostKeys.
	HostKeys string `json:"host_keys,omitempty"`
}

// An UpdatePolicy is what this host lets its control plane do with the agent itself.
type UpdatePolicy struct {
	Forbid bool     `json:"forbid,omitempty"`
	Keys   []string `json:"keys,omitempty"` // whose signatures count, in place of the one that the program was built with
}

// A ResticPolicy is which restic this host lets its control plane have it fetch.
type ResticPolicy struct {
	Allow  bool     `json:"allow,omitempty"`
	SHA256 []string `json:"sha256,omitempty"` // of the files as they were released: these alone; none is any that the control plane names
}

// A Hook is a program of the host's. It runs only while it is the very file its
// hash was taken of.
type Hook struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// The presets, from the least to whatever the control plane asks for.
const (
	PolicyBackup  = "backup"
	PolicyRestore = "restore"
	PolicyKeeper  = "keeper"
	PolicyManaged = "managed"
)

// Presets lists the names of the presets.
var Presets = []string{PolicyBackup, PolicyRestore, PolicyKeeper, PolicyManaged}

// everyday is what every host does: backups, listings, and a restore to where
// its policy says. Unlock is among it because a stale lock stops it otherwise.
// A drill is, since it writes nowhere but below the state directory. The order is not that
// of older agents, see earlier.
var everyday = []topics.JobKind{topics.InitJob, topics.BackupJob, topics.DrillJob, topics.SnapshotsJob, topics.StatsJob, topics.DiffJob,
	topics.FindJob, topics.RestoreJob, topics.UnlockJob, topics.KeyJob, topics.LocksJob}

const (
	policyFile = "policy.json"
	// quarantine is where a restore goes unless the policy says otherwise: below
	// the state directory, where only the host's administrator looks.
	quarantine = "restored"
)

// Preset is the policy of this name for a state directory, which is absolute.
func Preset(name, state string) (Policy, error) {
	p := Policy{Name: name, Kinds: everyday, BackupRoots: roots(), RestoreRoots: []string{filepath.Join(state, quarantine)}}
	switch name {
	case PolicyBackup, PolicyRestore: // where else a restore may go, its roots say: onto /, a new directory can be a program's configuration
	case PolicyKeeper:
		p.Kinds = slices.Concat(everyday, []topics.JobKind{topics.ForgetJob, topics.PruneJob, topics.CheckJob, topics.CopyJob}, remaking)
	case PolicyManaged:
		p.Kinds, p.RestoreRoots, p.Overwrite = topics.Kinds, roots(), true
	default:
		return p, fmt.Errorf("%.40q is no policy: one of %s", name, strings.Join(Presets, " "))
	}
	return p, nil
}

// younger are the operations that later versions of the agent brought, in the order in which
// they came, with the presets that permit them.
var younger = []struct {
	kinds   []topics.JobKind
	presets []string
}{
	{[]topics.JobKind{topics.DrillJob}, Presets},
	{append([]topics.JobKind{topics.CopyJob}, remaking...), []string{PolicyKeeper, PolicyManaged}},
}

// remaking are the operations that change snapshots or put a repository in order.
var remaking = []topics.JobKind{topics.TagJob, topics.RewriteJob, topics.RepairJob}

// earlier reports whether a list of operations is what an agent of an earlier version wrote
// into the policy file for a preset: such a file has no limits of its own, and means the
// preset as it is now. To forbid the younger operations alone, take their words out of the
// list that today's agents write.
func earlier(name string, kinds, now []topics.JobKind) bool {
	was := slices.Clone(now)
	for i := len(younger) - 1; i >= 0; i-- {
		if !slices.Contains(younger[i].presets, name) {
			continue
		}
		was = slices.DeleteFunc(was, func(k topics.JobKind) bool { return slices.Contains(younger[i].kinds, k) })
		if i == 0 && name != PolicyManaged { // before drills, its order was another
			was = append([]topics.JobKind{topics.BackupJob, topics.InitJob, topics.SnapshotsJob, topics.StatsJob, topics.DiffJob,
				topics.FindJob, topics.RestoreJob, topics.UnlockJob, topics.KeyJob, topics.LocksJob},
				slices.DeleteFunc(was, func(k topics.JobKind) bool { return slices.Contains(everyday, k) })...)
		}
		if slices.Equal(was, kinds) {
			return true
		}
	}
	return false
}

// Narrow limits a preset to these repositories and directories; an empty list
// leaves it as it is.
func (p *Policy) Narrow(repositories, backup, restore []string) error {
	for _, text := range repositories {
		if _, err := p.allowRepository(text); err != nil {
			return err
		}
	}
	if p.managed() && len(p.RepositoryRoots) > 0 {
		return fmt.Errorf("the policy %s has no limits; choose another to set some", p.Name)
	}
	for _, dir := range []struct {
		roots *[]string
		given []string
	}{{&p.BackupRoots, backup}, {&p.RestoreRoots, restore}} {
		if len(dir.given) == 0 {
			continue
		}
		if p.managed() {
			return fmt.Errorf("the policy %s has no limits; choose another to set some", p.Name)
		}
		*dir.roots = nil
		for _, path := range dir.given {
			*dir.roots = append(*dir.roots, plainly(path))
		}
	}
	return p.check()
}

// managed reports whether the control plane decides everything.
func (p Policy) managed() bool { return p.Name == PolicyManaged }

// unpinned reports whether the first repository that works is yet to be written into
// the policy.
func (p Policy) unpinned() bool { return !p.managed() && len(p.Repositories) == 0 }

// LoadPolicy reads a state directory's policy file. A file that others than
// its owner can read or write, or that has unknown fields, is an error that says what
// to do.
func LoadPolicy(state string) (Policy, error) {
	path := filepath.Join(state, policyFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Preset(PolicyBackup, state) // the narrowest
	}
	if err != nil {
		return Policy{}, fmt.Errorf("read the host's policy: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Policy{}, fmt.Errorf("read the host's policy: %w", err)
	}
	if err := ours(path, info); err != nil {
		return Policy{}, fmt.Errorf("%s is not to be trusted: %w", path, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return Policy{}, fmt.Errorf("read the host's policy: %w", err)
	}
	p, err := parsePolicy(b, state)
	if err != nil {
		return Policy{}, fmt.Errorf("%s cannot be used: %w", path, err)
	}
	return p, nil
}

func parsePolicy(b []byte, state string) (Policy, error) {
	var name struct {
		Policy string `json:"policy"`
	}
	if err := json.Unmarshal(b, &name); err != nil {
		return Policy{}, fmt.Errorf("it is damaged (%w): it holds {\"policy\":\"backup\"} or another policy", err)
	}
	p, err := Preset(name.Policy, state)
	if err != nil {
		return p, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields() // a misspelt limit would be none
	p.Kinds, p.BackupRoots, p.RestoreRoots = nil, nil, nil
	preset, _ := Preset(name.Policy, state)
	if err := d.Decode(&p); err != nil {
		return p, err
	}
	if p.Kinds == nil || earlier(p.Name, p.Kinds, preset.Kinds) {
		p.Kinds = preset.Kinds
	}
	if p.BackupRoots == nil {
		p.BackupRoots = preset.BackupRoots
	}
	if p.RestoreRoots == nil {
		p.RestoreRoots = preset.RestoreRoots
	}
	return p, p.check()
}

func (p Policy) check() error {
	for _, k := range p.Kinds {
		if !slices.Contains(topics.Kinds, k) {
			return fmt.Errorf("verbs: %.40q is none this agent knows", string(k))
		}
	}
	for _, root := range slices.Concat(p.BackupRoots, p.RestoreRoots) {
		if !filepath.IsAbs(root) || filepath.Clean(root) != root {
			return fmt.Errorf("backup_roots, restore_roots: %.200q is no absolute path, or not a plain one", root)
		}
	}
	for _, path := range slices.Concat(p.RepositoryRoots, p.RepositoryFiles) {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path {
			return fmt.Errorf("repository_roots, repository_files: %.200q is no absolute path, or not a plain one", path)
		}
	}
	if !slices.Contains([]string{"", topics.HostKeysNone, topics.HostKeysNew, topics.HostKeysAny}, p.HostKeys) {
		return fmt.Errorf("host_keys: %.40q is none of none, new and any", p.HostKeys)
	}
	if p.Updates != nil {
		for _, key := range p.Updates.Keys {
			if _, err := release.KeyID(key); err != nil {
				return fmt.Errorf("updates: %w", err)
			}
		}
	}
	if p.Restic != nil {
		for _, sum := range p.Restic.SHA256 {
			if !topics.IsSHA256(sum) {
				return fmt.Errorf("restic: %.80q is no SHA-256: 64 hexadecimal digits, small letters", sum)
			}
		}
	}
	for name, h := range p.Hooks {
		if sum, err := hex.DecodeString(h.SHA256); err != nil || len(sum) != sha256.Size {
			return fmt.Errorf("hooks: the sha256 of %.60q is not 64 hexadecimal digits", name)
		}
		if !filepath.IsAbs(h.Path) || name == "" {
			return fmt.Errorf("hooks: the path of %.60q is not absolute", name)
		}
	}
	return nil
}

// Save writes the policy.
func (p Policy) Save(state string) error { return writeFile(state, policyFile, p) }

// allowRepository adds a repository to those that data may go to, written as
// location.Described writes it, and returns how it is pinned.
func (p *Policy) allowRepository(text string) (string, error) {
	address, env, err := location.ParseDescribed(text)
	if err != nil {
		return "", err
	}
	pin, err := location.Pin(address, env)
	if err != nil {
		return "", err
	}
	p.admit(pin, location.Identity(address, env))
	p.grant(pin, location.Trusting(location.Prints(env))...)
	return pin, nil
}

// grant adds to what a pin holds besides whom the host is there.
func (p *Policy) grant(pin string, entries ...string) {
	for _, e := range entries {
		p.As[pin] = with(p.As[pin], e)
	}
}

// admit adds a place to the policy with who we are there. One that an older agent pinned
// keeps whoever it is until the next success.
func (p *Policy) admit(pin, who string) {
	as, known := p.As[pin]
	if slices.Contains(p.Repositories, pin) && !known {
		as = []string{location.Anyone}
	}
	p.Repositories, p.As = with(p.Repositories, pin), maps.Clone(p.As)
	if p.As == nil {
		p.As = map[string][]string{}
	}
	p.As[pin] = with(as, who)
}

// AllowRepository adds a repository to those that data may go to, with all that are below it
// if below says so, and answers with how it is pinned.
func AllowRepository(state, text string, below bool) (pin string, err error) {
	p, err := LoadPolicy(state)
	if err != nil {
		return "", err
	}
	if pin, err = p.allowRepository(text); err != nil {
		return "", err
	}
	if below {
		if location.PerHost(pin) {
			return "", fmt.Errorf("%s stands for one host's name each; what is to be allowed with all below it is written without it", location.Host)
		}
		p.grant(pin, location.Below)
	}
	return pin, p.Save(state)
}

// plainly is a path as the policy has it, however an administrator typed it.
func plainly(path string) string { return filepath.Clean(location.Native(runtime.GOOS, path)) }

// AllowRepositoryRoot lets the first repository be a path below a directory.
func AllowRepositoryRoot(state, dir string) error {
	return allow(state, func(p *Policy) { p.RepositoryRoots = with(p.RepositoryRoots, plainly(dir)) })
}

// AllowFile lets a repository name a file of this host: the certificate of its CA, ours,
// or a configuration that may name programs to run.
func AllowFile(state, path string) error {
	return allow(state, func(p *Policy) { p.RepositoryFiles = with(p.RepositoryFiles, plainly(path)) })
}

// AllowBackup lets backups read below a directory, too.
func AllowBackup(state, dir string) error {
	return allow(state, func(p *Policy) { p.BackupRoots = with(p.BackupRoots, plainly(dir)) })
}

// AllowRestore lets restores write below a directory, too, and makes it if it is not there:
// a restore does not, since a disk that is not mounted looks like that.
func AllowRestore(state, dir string) error {
	dir = plainly(dir)
	if err := allow(state, func(p *Policy) { p.RestoreRoots = with(p.RestoreRoots, dir) }); err != nil {
		return err
	}
	_, err := os.Lstat(dir)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return nil // a restore says what is wrong with it
	}
	if err := errors.Join(os.MkdirAll(dir, 0o700), private.Own(dir, state)); err != nil {
		return fmt.Errorf("the policy lets restores write there now, but the directory cannot be made: %w", err)
	}
	return nil
}

// AllowOperation lets the control plane ask for a kind of job, too.
func AllowOperation(state, kind string) error {
	return allow(state, func(p *Policy) { p.Kinds = with(p.Kinds, topics.JobKind(kind)) })
}

// AllowUpdates lets the control plane update the agent to releases that one of these keys
// signed, or the one that the program was built with if none is named.
func AllowUpdates(state string, keys []string) error {
	return allow(state, func(p *Policy) {
		p.Updates = nil
		if len(keys) > 0 {
			p.Updates = &UpdatePolicy{Keys: keys}
		}
	})
}

// ForbidUpdates lets nobody but an administrator of the host update the agent.
func ForbidUpdates(state string) error {
	return allow(state, func(p *Policy) {
		var keys []string
		if p.Updates != nil {
			keys = p.Updates.Keys
		}
		p.Updates = &UpdatePolicy{Forbid: true, Keys: keys}
	})
}

// AllowRestic lets the control plane have the agent fetch a restic from there and use it:
// files with these checksums alone, or any that it names if none is given.
func AllowRestic(state string, sums []string) error {
	return allow(state, func(p *Policy) {
		p.Restic = &ResticPolicy{Allow: true}
		for _, sum := range sums {
			p.Restic.SHA256 = with(p.Restic.SHA256, strings.ToLower(sum))
		}
	})
}

// ForbidRestic has the agent fetch no restic. One that it fetched stays in use, see
// [RollbackRestic].
func ForbidRestic(state string) error {
	return allow(state, func(p *Policy) { p.Restic = nil })
}

func with[T comparable](list []T, one T) []T {
	if slices.Contains(list, one) {
		return list
	}
	return append(slices.Clone(list), one)
}

func allow(state string, change func(*Policy)) error {
	p, err := LoadPolicy(state)
	if err != nil {
		return err
	}
	change(&p)
	if err := p.check(); err != nil {
		return err
	}
	return p.Save(state)
}

// AllowHook adds a program under a name. Its hash is taken now.
func AllowHook(state, name, path string) error {
	p, err := LoadPolicy(state)
	if err != nil {
		return err
	}
	if name == "" || len(name) > 60 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%.60q is no name for a hook: up to 60 letters, digits and signs", name)
	}
	sum, err := hashOf(path)
	if err != nil {
		return fmt.Errorf("read the hook: %w", err)
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%.200q is no full path, and the agent runs in directories of its own", path)
	}
	if err := process.Check(path); err != nil { // as each run would
		return fmt.Errorf("%s would not be run: %w", path, err)
	}
	p.Hooks = maps.Clone(p.Hooks)
	if p.Hooks == nil {
		p.Hooks = map[string]Hook{}
	}
	p.Hooks[name] = Hook{Path: path, SHA256: sum}
	if err := p.check(); err != nil {
		return err
	}
	return p.Save(state)
}

func hashOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// hook is the program of this name, and the digest it has to have.
func (p Policy) hook(name string) (path string, sum [sha256.Size]byte, ok bool) {
	h, ok := p.Hooks[name]
	if b, err := hex.DecodeString(h.SHA256); ok && err == nil && len(b) == len(sum) {
		return h.Path, [sha256.Size]byte(b), true
	}
	return "", sum, false
}

// permits returns what the control plane is told of the policy, so that it only
// offers what the host allows.
func (p Policy) permits(state string) *topics.Permits {
	out := &topics.Permits{Kinds: p.Kinds, Overwrite: p.Overwrite, Hooks: slices.Sorted(maps.Keys(p.Hooks)), Moved: moved(state).told()}
	if own := filepath.Join(state, quarantine); p.managed() || slices.Contains(p.RestoreRoots, own) {
		out.RestoreTo, out.Quarantine = own, own
	} else if len(p.RestoreRoots) > 0 {
		out.RestoreTo = p.RestoreRoots[0]
	}
	if p.managed() {
		out.Anywhere = true
		return out
	}
	out.Repositories, out.BackupRoots, out.RestoreRoots = p.Repositories, p.BackupRoots, p.RestoreRoots
	out.As, out.RepositoryRoots, out.RepositoryFiles, out.BackupPins = p.As, p.RepositoryRoots, p.RepositoryFiles, true
	return out
}

// pinned are the places that data may go to, with what else is held of each.
func (p Policy) pinned() (all []string) {
	for _, pin := range p.Repositories {
		var also []string
		for _, entry := range p.As[pin] {
			if said := location.Entry(entry); said != "" {
				also = append(also, said)
			}
		}
		if len(also) > 0 {
			pin += " (" + strings.Join(also, ", ") + ")"
		}
		all = append(all, pin)
	}
	return all
}

// Words says what the policy means, for people, a sentence a line.
func (p Policy) Words() string {
	var w strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&w, format+"\n", args...) }
	list := func(all []string) string { return strings.Join(all, ", ") }
	var kinds []string
	for _, k := range p.Kinds {
		kinds = append(kinds, string(k))
	}
	say("Policy: %s", p.Name)
	say("The control plane may ask for: %s.", list(kinds))
	switch {
	case p.managed():
		say("Repositories: any.")
		say("It decides what is read and where a restore writes, over existing files too.")
	case len(p.Repositories) == 0:
		say("Repositories: none yet; the first that a backup goes to is the only one from then on. Until then nothing is listed or restored.")
		if len(p.RepositoryRoots) == 0 {
			say("It is none on this host's own disks. To allow one: restic-manager-agent policy allow-repository PATH.")
		} else {
			say("It may be a path below: %s.", list(p.RepositoryRoots))
		}
	default:
		say("Repositories: %s. For another: restic-manager-agent policy allow-repository URL.", list(p.pinned()))
	}
	switch p.hostKeys() {
	case topics.HostKeysNone:
		say("It may have no SSH server trusted. To trust one: restic-manager-agent ssh accept NAME FINGERPRINT.")
	case topics.HostKeysNew:
		say("It may have an SSH server trusted by the first key that it shows, and by no other in its place.")
	}
	if len(p.RepositoryFiles) > 0 && !p.managed() {
		say("Files of this host that a repository may name: %s.", list(p.RepositoryFiles))
	}
	if !p.managed() {
		say("Backups read below: %s, without this agent's own keys.", list(p.BackupRoots))
		say("Restores write below: %s.", list(p.RestoreRoots))
		if p.Overwrite {
			say("A restore may write over files that are there.")
		} else {
			say("A restore goes into a directory that is empty or not there yet; it writes over nothing.")
		}
	}
	switch keys := p.keys(); {
	case p.Updates != nil && p.Updates.Forbid:
		say("Updates of the agent: forbidden. To allow them: restic-manager-agent policy allow-updates.")
	case len(keys) == 0:
		say("Updates of the agent: none. This build has no release key, and refuses every update; policy allow-updates --key names one.")
	default:
		say("Updates of the agent: newer releases that were signed by the key %s. To forbid them: restic-manager-agent policy "+
			"forbid-updates.", release.IDs(keys))
	}
	switch {
	case p.Restic == nil || !p.Restic.Allow:
		say("restic: the host's own. To let its control plane have it fetch another: restic-manager-agent policy allow-restic.")
	case len(p.Restic.SHA256) == 0:
		say("restic: its control plane may have it fetch any restic from there and run it. To forbid that: restic-manager-agent policy " +
			"forbid-restic.")
	default:
		say("restic: its control plane may have it fetch a restic from there whose file has this SHA-256: %s.", list(p.Restic.SHA256))
	}
	if len(p.Hooks) == 0 {
		say("Hooks: none.")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Hooks)) {
		say("Hook %s: %s, as long as its SHA-256 is %s.", name, p.Hooks[name].Path, p.Hooks[name].SHA256)
	}
	return w.String()
}
