// Package permits says what a host's policy, as the host reported it, forbids, and which
// command on the host permits it. The host decides in the end; looking here first avoids
// jobs that are bound to be refused.
package permits

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Reasons to refuse a job by a host's policy; a [Refusal] is one of them.
var (
	ErrForbidden = errors.New("the host's policy forbids it")
	ErrNotPinned = fmt.Errorf("%w", ErrForbidden) // it goes to other repositories, or to none yet
)

// A Refusal is that a host's policy forbids something.
type Refusal struct {
	Say     string // a sentence without its full stop: "The policy backup of attic does not allow prune"
	Command string // permits it, for the host's administrator to run there; "" if no single command does
	Pinned  bool   // it is about the repository
	instead string // what ends it without the command, as in "Back it up once"; "" if nothing
}

// Error implements error.
func (r *Refusal) Error() string {
	text := ErrForbidden.Error() + ": " + r.Say
	if r.Pinned && r.Command != "" {
		text += r.Command
	}
	return text
}

// Words is the reason as whole sentences, without the command.
func (r *Refusal) Words() string {
	say, _, _ := strings.Cut(r.Say, " If it shall")
	say, _, _ = strings.Cut(say, " "+backUpFirst)
	return strings.TrimSuffix(say, ".") + "."
}

const backUpFirst = "Back up first; or, if it shall, "

// Do is what to do about it: with a command, it leads to that and ends with a colon.
func (r *Refusal) Do() string {
	switch {
	case r.Command == "":
		return "Nothing here can permit it; its administrator changes its policy on the host."
	case r.instead != "":
		return r.instead + ", or have its administrator permit it there:"
	}
	return "To permit it, its administrator runs there:"
}

// Unwrap returns [ErrForbidden] or [ErrNotPinned].
func (r *Refusal) Unwrap() error {
	if r.Pinned {
		return ErrNotPinned
	}
	return ErrForbidden
}

// Kind returns a *Refusal if the host's policy forbids a kind of job altogether.
func Kind(h store.Host, kind topics.JobKind) error {
	if p := h.Permits.V; p != nil && !p.Allows(kind) {
		return refuse(h, Command(h, "allow-operation", string(kind)), "does not allow %s", kind)
	}
	return nil
}

// An OldAgent is the error that a host's agent is of a version that does not know what it
// would be asked for.
type OldAgent struct{ Name, What string }

// Error implements error.
func (o *OldAgent) Error() string {
	return "the agent of " + o.Name + " is of an older version and does not " + o.What
}

// Drill returns an *OldAgent if the host's agent does not know how to prove that its
// backups can be restored.
func Drill(h store.Host) error {
	if !h.Able(topics.RunsDrills) {
		return &OldAgent{Name: h.Name, What: "prove that its backups can be restored"}
	}
	return nil
}

// Find returns an *OldAgent if the host's agent does not know how to search like that.
func Find(h store.Host, o topics.Operation) error {
	if o.Picky() && !h.Able(topics.SearchesSome) {
		return &OldAgent{Name: h.Name, What: "search in some snapshots alone, or without regard to capitals"}
	}
	return nil
}

// Keys returns an *OldAgent if the host's agent does not know how to change keys, and a
// *Refusal if its policy forbids to remove one: that is for those that may prune.
func Keys(h store.Host, o topics.Operation) error {
	if o.Key == nil {
		return nil
	}
	if !h.Able(topics.ChangesKeys) {
		return &OldAgent{Name: h.Name, What: "add or remove keys"}
	}
	if p := h.Permits.V; o.Key.Action == topics.RemoveKey && p != nil && !p.Allows(topics.PruneJob) {
		return refuse(h, Command(h, "allow-operation", string(topics.PruneJob)),
			"does not allow to remove keys of repositories, which is for a keeper")
	}
	return nil
}

// Restore returns a *Refusal if the host's policy forbids this particular restore: where it
// writes, or how. In place it writes everywhere that its paths name, which only the host
// can judge in full.
func Restore(h store.Host, o topics.Operation) error {
	p := h.Permits.V
	switch {
	case p == nil || p.Anywhere:
		return nil
	case o.InPlace && !p.Overwrite:
		return refuse(h, "", "lets no restore go where files are, so none in place")
	case o.InPlace:
		for _, item := range o.Basket() {
			for _, path := range item.Paths {
				if at := OnHost(h.OS, path); !p.Restores(at) {
					return refuse(h, Command(h, "allow-restore", at), "lets restores write below %s only", strings.Join(p.RestoreRoots, ", "))
				}
			}
		}
	case o.Target != "" && !p.Restores(o.Target):
		return refuse(h, Command(h, "allow-restore", o.Target), "lets restores write below %s only", strings.Join(p.RestoreRoots, ", "))
	case !p.Overwrite && o.Replaces():
		return refuse(h, "", "lets no restore write over files that are there")
	}
	return nil
}

// OnHost is where a path of a snapshot was on a host of this system: /C/Data of Windows is
// C:\Data there.
func OnHost(os, path string) string { return location.Native(os, path) }

// Repository returns a *Refusal if the host would refuse a kind of job by what its policy p
// says of repositories, where that is certain. The rules are the agent's own. What only the
// host can tell, such as where a path leads, is left to it.
func Repository(h store.Host, p *topics.Permits, kind topics.JobKind, to topics.Repository) error {
	if p == nil || p.Anywhere || !p.BackupPins {
		return nil
	}
	pin, err := location.Pin(to.URL, to.Env)
	if err != nil || location.Assigns(to.URL.Reveal()) {
		return nil // a path of the host's system, which it compares itself
	}
	known, _, other := location.Match(p.Repositories, p.As, to.URL, to.Env)
	command := Command(h, "allow-repository", location.Described(to.URL, to.Env, to.Files))
	const runs = "its administrator runs on it: "
	pinned := func(format string, args ...any) *Refusal {
		r := refuse(h, command, format+runs, args...)
		r.Pinned = true
		return r
	}
	address, err := location.Parse(to.URL.Reveal())
	switch {
	case known != "" && err == nil && len(location.Strange(p.As[known], location.Trust(to.Files))) > 0 && h.Able(topics.PastesFiles):
		return pinned("does not trust the CA certificate of this repository at %s yet. If it shall, ", known)
	case known != "" || err != nil:
		return nil
	case other:
		return pinned("goes to %s as somebody else than %q. If it shall, ", pin, location.Identity(to.URL, to.Env))
	case len(p.Repositories) > 0:
		return pinned("lets it go to %s only. If it shall go to %s, too, ", strings.Join(p.Repositories, ", "), pin)
	case !p.Opens(kind):
		r := pinned("lets it go to no repository for this before it has backed up to one. " + backUpFirst)
		r.instead = "Have it back up to this repository once"
		return r
	case address.Scheme() == location.Local && !mayTake(p, address.Path()):
		return pinned("lets it take no directory of its own as its first repository, unless below one that its administrator named. "+
			"If it shall go to %s, ", pin)
	}
	return nil
}

// mayTake reports whether a host's first repository may be a path: it may, unless the path
// says for certain that it is not below any of those that its administrator named.
func mayTake(p *topics.Permits, path string) bool {
	odd := func(path string) bool { return slices.Contains(strings.FieldsFunc(path, isSlash), "..") }
	if odd(path) || slices.ContainsFunc(p.RepositoryRoots, odd) {
		return true
	}
	lower := *p // there are systems on which capitals are the same
	lower.RepositoryRoots = nil
	for _, root := range p.RepositoryRoots {
		lower.RepositoryRoots = append(lower.RepositoryRoots, strings.ToLower(root))
	}
	return lower.Takes(strings.ToLower(path))
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

func refuse(h store.Host, command, format string, args ...any) *Refusal {
	policy := "The policy"
	if h.Policy != "" {
		policy += " " + h.Policy
	}
	return &Refusal{Say: policy + " of " + h.Name + " " + fmt.Sprintf(format, args...), Command: command}
}

// Where agents keep their state as they are packaged.
const (
	defaultState        = "/var/lib/restic-manager-agent"
	defaultWindowsState = `C:\ProgramData\restic-manager-agent`
)

// Command is the command by which a host's administrator changes its policy, for the shell
// of the host's system: verb is one of "allow-repository", "allow-restore" and so on, or
// "show", and what is after it.
func Command(h store.Host, verb string, what ...string) string {
	quote := words.Quoted
	if h.OS == "windows" {
		quote = func(word string) string { return `"` + strings.ReplaceAll(word, `"`, "") + `"` }
	}
	said := "restic-manager-agent policy " + verb
	for _, word := range what {
		said += " " + quote(word)
	}
	return said + " --state " + quote(State(h))
}

// State is the directory in which a host's agent keeps its state: as far as is known, and
// else where its package puts it.
func State(h store.Host) string {
	if p := h.Permits.V; p != nil && p.Quarantine != "" {
		if i := strings.LastIndexFunc(p.Quarantine, isSlash); i > 0 {
			return p.Quarantine[:i]
		}
	}
	if h.OS == "windows" {
		return defaultWindowsState
	}
	return defaultState
}
