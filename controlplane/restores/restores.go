// Package restores holds the rules of asking for a restore, which pages, API and command
// line share: what is brought back, to where, and what has to be said or seen first.
package restores

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A Basket is what a restore brings back, as far as it is known here.
type Basket struct {
	Operation topics.Operation // with whole IDs, and each snapshot once
	Snapshots []store.Snapshot // those of them that are known
	Unknown   bool             // there is one that is not known
	Place     topics.HostID    // the host at whose place in the repository they are, "" for the asking host's own
}

// Another reports whether any of it is not what a job of the host saved: whose a snapshot is
// that nobody knows, nobody knows.
func (b Basket) Another(host topics.HostID) bool {
	return b.Unknown || slices.ContainsFunc(b.Snapshots, func(n store.Snapshot) bool { return n.Host != host })
}

// A PlacesError refuses a restore of snapshots that lie at several places.
type PlacesError struct{ A, B store.Snapshot }

// Error implements error.
func (e *PlacesError) Error() string {
	return fmt.Sprintf("snapshots %.8s and %.8s are in two repositories, since {host} in the address gives each host its own", e.A.ID, e.B.ID)
}

// Resolve reads what is asked for: it puts the whole IDs of known snapshots in place of
// their beginnings, joins what is of the same snapshot, writes one snapshot in the form that
// every agent knows, and paths of Windows as snapshots hold them. A snapshot that nobody
// knows may be there; topics.Operation.Check has judged none of it yet. It returns a
// *PlacesError if one job cannot reach all of it.
func Resolve(ctx context.Context, s *store.Store, host topics.HostID, repository topics.RepositoryID, o topics.Operation) (Basket, error) {
	b := Basket{Operation: o}
	if len(o.Target) > 1 {
		h, err := s.Host(ctx, host)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return b, err
		}
		b.Operation.Target = location.Native(h.OS, o.Target) // one that is not there has no system
	}
	r, err := s.Repository(ctx, repository)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return b, err
	}
	apart := err == nil && location.PerHost(r.Location)
	if len(o.Items) > 0 && (o.Snapshot != "" || len(o.Paths) > 0) {
		return b, nil // it is refused as it is
	}
	var items []topics.Item
	for _, item := range o.Basket() {
		n, err := s.SnapshotByID(ctx, repository, item.Snapshot)
		known := err == nil
		switch {
		case known:
			item.Snapshot = n.ID
		case !errors.Is(err, store.ErrNotFound):
			return b, err
		default:
			b.Unknown = true
		}
		var paths []string
		for _, p := range item.Paths {
			paths = append(paths, InSnapshot(p, n.Paths))
		}
		at := slices.IndexFunc(items, func(i topics.Item) bool { return i.Snapshot == item.Snapshot })
		switch {
		case at < 0:
			items = append(items, topics.Item{Snapshot: item.Snapshot, Paths: unique(paths)})
			if known {
				b.Snapshots = append(b.Snapshots, n)
			}
		case len(items[at].Paths) == 0 || len(paths) == 0:
			items[at].Paths = nil // all of it
		default:
			items[at].Paths = unique(append(items[at].Paths, paths...))
		}
	}
	switch len(items) {
	case 0:
	case 1:
		b.Operation.Items, b.Operation.Snapshot, b.Operation.Paths = nil, items[0].Snapshot, items[0].Paths
	default:
		b.Operation.Items = items
	}
	if !apart {
		return b, nil
	}
	for i, n := range b.Snapshots {
		if i > 0 && n.Where() != b.Snapshots[0].Where() {
			return b, &PlacesError{b.Snapshots[0], n}
		}
	}
	if len(b.Snapshots) > 0 && b.Snapshots[0].Where() != host {
		b.Place = b.Snapshots[0].Where()
	}
	return b, nil
}

// unique drops what comes again, and keeps the order.
func unique(paths []string) (out []string) {
	for _, p := range paths {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// InSnapshot writes a path of a host as snapshots hold it: C:\Data is /C/Data there. sources
// are the snapshot's, which tell how the letter of a drive is written; any other path is left
// as it is.
func InSnapshot(p string, sources []string) string {
	if !drive(p) {
		return p
	}
	letter := strings.ToUpper(p[:1])
	for _, s := range sources {
		if drive(s) && strings.EqualFold(s[:1], letter) {
			letter = s[:1]
			break
		}
	}
	return path.Clean("/" + letter + "/" + strings.ReplaceAll(p[2:], `\`, "/"))
}

// drive reports whether a path is of Windows, as in C:\Data or C:.
func drive(p string) bool {
	return len(p) >= 2 && p[1] == ':' && (p[0]|0x20 >= 'a' && p[0]|0x20 <= 'z') && (len(p) == 2 || p[2] == '\\' || p[2] == '/')
}

// A ConfirmError refuses a restore that has to be confirmed by the host's name.
type ConfirmError struct {
	Host    topics.HostID
	Name    string // what to type
	InPlace bool   // else it goes to the root of a file system
	Typed   string // what was typed instead, "" if nothing
}

// Error implements error.
func (e *ConfirmError) Error() string {
	return "it needs the name of the host, " + e.Name + ", as confirmation"
}

// Confirm returns a *ConfirmError if a restore can replace a system and the host's name was
// not typed. A dry run writes nothing.
func Confirm(h store.Host, o topics.Operation, typed string) error {
	if o.DryRun || !o.InPlace && !isRoot(o.Target) || typed == h.Name {
		return nil
	}
	return &ConfirmError{Host: h.ID, Name: h.Name, InPlace: o.InPlace, Typed: typed}
}

// isRoot reports whether a directory is the root of a file system: / or C:\, however it is
// written.
func isRoot(target string) bool {
	rest := target
	if strings.IndexAny(rest, `/\`) == 0 && len(rest) > 3 && strings.Contains(`//?/ //./ \\?\ \\.\`, rest[:4]) {
		rest = rest[4:] // as Windows names its devices
	}
	if drive(rest) {
		rest = rest[2:]
	}
	return target != "" && strings.Trim(rest, `/\.`) == ""
}

// An OldAgentError refuses a restore that the host's agent is too old for.
type OldAgentError struct {
	Host    topics.HostID
	Name    string
	Version string // of the agent
	What    string // what it cannot do: "restore from several snapshots at once"
	Instead string // what it can do, a sentence
}

// Error implements error.
func (e *OldAgentError) Error() string {
	return "the agent of " + e.Name + " is too old to " + e.What
}

// Able returns an *OldAgentError if the host's agent does not know what a restore asks of it.
func Able(h store.Host, o topics.Operation) error {
	if h.Able(topics.RestoresBaskets) {
		return nil
	}
	e := &OldAgentError{Host: h.ID, Name: h.Name, Version: h.AgentVersion}
	switch {
	case len(o.Items) > 0:
		e.What, e.Instead = "restore from several snapshots at once", "Or restore what is of each snapshot by a job of its own."
	case o.InPlace:
		e.What, e.Instead = "restore in place", "Or restore into a new folder, and move the files there."
	case o.NoOwners:
		e.What, e.Instead = "leave out owners", "Or restore into a new folder, and change the owners there."
	case o.Preview != nil:
		e.What, e.Instead = "hold a restore to what a dry run saw", "Or restore into a new folder without it: there nothing can be in the way."
	default:
		return nil
	}
	return e
}

// Limits says beforehand what the restic that a host reported does with a restore that goes
// where files may be; "" if there is nothing to say, or the version is not known. The agent
// decides when it has looked.
func Limits(h store.Host, o topics.Operation) string {
	if v, ok := since.Parse(h.ResticVersion); !ok || v.Has(since.Overwrite) || o.Fresh || o.Overwrite == "always" {
		return ""
	}
	how := o.Overwrite
	if how == "" {
		how = topics.Overwrites[0]
	}
	return fmt.Sprintf("%s has restic %s, which always writes over files that are there, so it cannot keep to %q: if the target holds files, "+
		"nothing is restored. Choose a new or empty folder, or update restic there to %s or newer.", h.Name, h.ResticVersion, how,
		since.Overwrite.Since.Short())
}

// Warnings are [Limits] and what is wrong with restores of the restic that a host reported,
// a line each; "" if there is nothing to say.
func Warnings(h store.Host, o topics.Operation) string {
	list := []string{Limits(h, o), since.Restoring(h.Name, h.ResticVersion)}
	return strings.Join(slices.DeleteFunc(list, func(s string) bool { return s == "" }), "\n")
}
