// Package queries asks agents for what a person waits for: the files of a directory of a
// snapshot, the versions of one path, the directories of a host. It decides who may ask
// which host, has those who ask the same wait together, keeps what snapshots hold in memory,
// and writes down who asked, without names of files.
package queries

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A Node is a file, directory or link of a snapshot.
type Node = topics.Node

// A FilesQuery asks for one page of the entries of a directory.
type FilesQuery struct {
	Repository topics.RepositoryID
	Snapshot   string        // an ID, or the beginning of one with 8 digits at least
	Path       string        // as the snapshot names it, "/" is its root
	After      string        // FilesPage.Next of the page before; "" is the first
	Host       topics.HostID // which is to look; "" chooses one, see [Asker.Files]
}

// A FilesPage is a page of a directory's entries, directories first, then by name.
type FilesPage struct {
	Path      string
	Entries   []Node
	Next      string        // for the page after, "" if there is none
	Cached    bool          // no host was asked for it
	Total     int           // entries of the directory
	Truncated bool          // it has more entries than are read
	Host      topics.HostID // which looked
	Snapshot  string        // its whole ID
}

// Page is how many entries a page has.
const Page = 250

// A VersionsQuery asks in which snapshots a path is.
type VersionsQuery struct {
	Repository topics.RepositoryID
	Path       string
	Host       topics.HostID // whose snapshots; "" are those of all hosts
}

// A Version is a path in one snapshot, the newest snapshot first.
type Version struct {
	Snapshot string
	Time     int64 // of the snapshot, Unix milliseconds
	Size     uint64
	ModTime  int64 // Unix milliseconds
	Type     string
	SameAs   string // the newest snapshot with an equal one: same type, size and mtime; "" is none but this
}

// A DirectoryPage is what a host says of one of its directories.
type DirectoryPage struct {
	Path      string // links resolved; "" is those that its policy names
	Entries   []topics.Directory
	FreeBytes *uint64 // what the agent may still write there; nil is not known
	Truncated bool
}

// Refused says why there is no answer, and what to do.
type Refused struct {
	Cause   topics.Cause  // offline, old-agent, policy, slow, not-found, no-host, too-many, or one of a job
	Title   string        // "The host is offline"
	Say     string        // what happened
	Do      string        // what helps
	Command string        // for the host's administrator, "" if there is none that helps
	Job     topics.JobID  // that goes on in its place, of cause slow
	After   time.Duration // when trying again may help; 0 is not known
}

// Error implements error.
func (r *Refused) Error() string { return r.Title + ": " + r.Say }

// InputError says which field of a question cannot be answered, and why.
type InputError struct{ Field, Say string }

// Error implements error.
func (e *InputError) Error() string { return e.Field + ": " + e.Say }

// Causes of a query without an answer, besides those of topics.
const (
	CauseOffline  topics.Cause = "offline"
	CauseOldAgent topics.Cause = "old-agent"
	CauseNoHost   topics.Cause = "no-host"
)

// Files returns a page of a directory of a snapshot. A host that is named must have the
// repository; without one, the snapshot's own host is asked if it is online, else the
// keeper, else any other that has the repository and is able. It returns a *Refused if
// there is no answer, an *InputError, and the errors of package jobs for what does not
// exist and for a role that is too low.
func (a *Asker) Files(ctx context.Context, who jobs.Actor, q FilesQuery) (page FilesPage, err error) {
	if err := who.Lacks(rights.Browse); err != nil {
		return page, err
	}
	if topics.CheckSnapshotPath(q.Path) != nil || len(q.Path) > topics.MaxQueryPath {
		return page, &InputError{Field: "path", Say: "This is no path as a snapshot names it, as in /home/anna."}
	}
	from, err := offset(q.After)
	if err != nil {
		return page, err
	}
	repository, err := a.repository(ctx, q.Repository)
	if err != nil {
		return page, err
	}
	n, err := a.Store.SnapshotByID(ctx, q.Repository, q.Snapshot)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && len(q.Snapshot) < 8:
		return page, &Refused{Cause: topics.CauseNotFound, Title: "There is no such snapshot",
			Say: "No listing of this repository has shown one of this ID.", Do: "Refresh the repository, or choose another snapshot."}
	case err != nil:
		return page, err
	case n.GoneAt > 0:
		return page, &Refused{Cause: topics.CauseNotFound, Title: "The snapshot is gone",
			Say: "It was in the repository, and is not there any more.", Do: "Choose another snapshot."}
	}
	named, others, err := a.candidates(ctx, repository, n.Where(), n.Host, q.Host)
	if err != nil {
		return page, err
	}
	k := key{kind: topics.FilesQuery, repository: q.Repository, snapshot: n.ID, path: q.Path}
	page = FilesPage{Path: q.Path, Snapshot: n.ID}
	of, cached := a.cache.get(k)
	if !cached {
		host, open, err := a.choose(ctx, repository, named, others, n.Where())
		if err != nil {
			return page, err
		}
		if host.ID != n.Host && host.ID != repository.Keeper {
			k.by = host.ID
			of, cached = a.cache.get(k)
		}
		if !cached {
			of, err = a.ask(ctx, who, host, k, topics.Query{Kind: topics.FilesQuery, Repository: &open, Snapshot: n.ID, Path: q.Path},
				a.Limits.Files)
		}
		if err != nil {
			return page, err
		}
	}
	page.Cached, page.Total, page.Truncated, page.Host = cached, len(of.entries), of.truncated, of.host
	if from > len(of.entries) {
		from = len(of.entries)
	}
	to := min(from+Page, len(of.entries))
	if page.Entries = of.entries[from:to:to]; to < len(of.entries) {
		page.Next = cursor(to)
	}
	return page, nil
}

// cursor is the place after so many entries. A directory of a snapshot never changes, nor
// does the order in which it is shown.
func cursor(n int) string { return "e" + strconv.FormatInt(int64(n), 36) }

// Further is the place so many entries after another, for whoever shows less than a page.
func Further(after string, n int) string {
	from, err := offset(after)
	if err != nil {
		return after
	}
	return cursor(from + n)
}

func offset(after string) (int, error) {
	if after == "" {
		return 0, nil
	}
	digits, ok := strings.CutPrefix(after, "e")
	n, err := strconv.ParseInt(digits, 36, 31)
	if !ok || err != nil || n < 1 || cursor(int(n)) != after {
		return 0, &InputError{Field: "after", Say: "This is no place that an answer named as its next."}
	}
	return int(n), nil
}

// Versions returns in which snapshots a path is, the newest first. The own host of the
// snapshots looks if it is online, else another; see Files.
func (a *Asker) Versions(ctx context.Context, who jobs.Actor, q VersionsQuery) ([]Version, error) {
	if err := who.Lacks(rights.Browse); err != nil {
		return nil, err
	}
	if topics.CheckSnapshotPath(q.Path) != nil || q.Path == "/" || len(q.Path) > topics.MaxQueryPath {
		return nil, &InputError{Field: "path", Say: "This is no path as a snapshot names it, as in /home/anna."}
	}
	repository, err := a.repository(ctx, q.Repository)
	if err != nil {
		return nil, err
	}
	if q.Host != "" {
		if _, err := a.Store.Host(ctx, q.Host); errors.Is(err, store.ErrNotFound) {
			return nil, jobs.ErrNoHost
		} else if err != nil {
			return nil, err
		}
	}
	rows, err := a.Store.SnapshotsOf(ctx, q.Repository, store.SnapshotFilter{Host: q.Host}, store.SnapshotPlace{}, mostVersions+1)
	if err != nil || len(rows) == 0 {
		return []Version{}, err
	}
	place := rows[0].Where()
	for _, n := range rows {
		if n.Where() != place && !shared(repository) {
			return nil, &InputError{Field: "host", Say: "In this repository each host has a place of its own: name one."}
		}
	}
	if shared(repository) {
		place = ""
	}
	named, others, err := a.candidates(ctx, repository, place, q.Host, "")
	if err != nil {
		return nil, err
	}
	in, err := a.look(ctx, who, q, lookup{repository, place, named, others, rows})
	if err != nil {
		return nil, err
	}
	type same struct {
		kind  string
		size  uint64
		mtime int64
	}
	out, newest := []Version{}, map[same]string{}
	for _, n := range rows {
		v, there := in[n.ID]
		if !there {
			continue
		}
		is := same{v.Type, v.Size, v.ModTime}
		out = append(out, Version{Snapshot: n.ID, Time: n.Time, Size: v.Size, ModTime: v.ModTime, Type: v.Type, SameAs: newest[is]})
		if newest[is] == "" {
			newest[is] = n.ID
		}
	}
	return out, nil
}

// mostVersions is in how many snapshots a path is looked for while somebody waits.
const mostVersions = 10_000

// mostAnswered is how many versions one answer holds: of a whole repository, which is asked for
// where at least half of its snapshots are meant, there are as many.
const mostAnswered = 2 * mostVersions

// A lookup is what is known of a question for versions.
type lookup struct {
	repository store.Repository
	place      topics.HostID
	named      *store.Host
	others     []store.Host
	rows       []store.Snapshot
}

// look finds out in which snapshots a path is, in one question if they are most of the
// repository's and else in several: a message has room for so many IDs. What is not found out
// in time a job goes on with.
func (a *Asker) look(ctx context.Context, who jobs.Actor, q VersionsQuery, l lookup) (map[string]topics.Version, error) {
	all := len(l.rows)
	if shared(l.repository) {
		n, err := a.Store.CountSnapshots(ctx, q.Repository, store.SnapshotFilter{})
		if err != nil {
			return nil, err
		}
		all = n
	}
	whole, in, until := 2*len(l.rows) >= all, map[string]topics.Version{}, time.Now().Add(a.Limits.Versions)
	for rest := l.rows; len(rest) > 0; {
		var ids []string
		sum := sha256.New()
		for i, n := range rest {
			if i < topics.MaxQuerySnapshots {
				ids = append(ids, n.ID)
			} else if !whole {
				break
			}
			sum.Write([]byte(n.ID))
		}
		k := key{kind: topics.VersionsQuery, repository: q.Repository, snapshot: hex.EncodeToString(sum.Sum(nil)), path: q.Path}
		of, cached := a.cache.get(k)
		if !cached {
			host, open, err := a.choose(ctx, l.repository, l.named, l.others, l.place)
			if err != nil {
				return nil, err
			}
			if host.ID != q.Host && host.ID != l.repository.Keeper {
				k.by = host.ID
				of, cached = a.cache.get(k)
			}
			if left := time.Until(until); !cached && (left < time.Second && len(rest) < len(l.rows) || len(l.rows) > mostVersions) {
				return nil, a.goOn(ctx, who, host, q, tooSlow(host))
			} else if !cached {
				of, err = a.ask(ctx, who, host, k, topics.Query{Kind: topics.VersionsQuery, Repository: &open, Snapshots: ids, Whole: whole,
					Path: q.Path}, left)
			}
			if slow := (*Refused)(nil); errors.As(err, &slow) && slow.Cause == topics.CauseSlow {
				return nil, a.goOn(ctx, who, host, q, *slow)
			} else if err != nil {
				return nil, err
			}
		}
		for _, v := range of.versions {
			in[v.Snapshot] = v
		}
		if of.whole {
			break
		}
		rest = rest[min(len(rest), topics.MaxQuerySnapshots):]
		whole = false // its agent does not know that
	}
	return in, nil
}

// goOn has a job look for what a query had no time for.
func (a *Asker) goOn(ctx context.Context, who jobs.Actor, host store.Host, q VersionsQuery, slow Refused) error {
	slow.Say = fmt.Sprintf("Within %v it was not found out in which snapshots this is.", a.Limits.Versions)
	j, _, err := a.Jobs.Start(ctx, who, jobs.Request{Host: host.ID, Kind: topics.FindJob, Repository: q.Repository,
		Operation: topics.Operation{Pattern: literal(q.Path, host.OS)}})
	if err != nil {
		slow.Do = "Ask again when the host or its repository has less to do."
		a.Log.Warn("a search that takes long was not begun", "host", host.ID, "err", err)
		return &slow
	}
	slow.Job, slow.Do = j.ID, "A job goes on with the search; its result names the snapshots."
	return &slow
}

// literal is restic's pattern that matches exactly this path on a host's system.
func literal(path, system string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		switch {
		case strings.IndexByte("*?[", c) >= 0:
			b.WriteString("[" + string(c) + "]")
		case c == '\\' && system != "windows":
			b.WriteString(`\\`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Directories returns the directories of a host below one that restores may write to; with
// "" those that its policy names. They change, so none is kept.
func (a *Asker) Directories(ctx context.Context, who jobs.Actor, host topics.HostID, path string) (page DirectoryPage, err error) {
	if err := who.Lacks(rights.Places); err != nil {
		return page, err
	}
	h, err := a.Store.Host(ctx, host)
	if errors.Is(err, store.ErrNotFound) {
		return page, jobs.ErrNoHost
	} else if err != nil {
		return page, err
	}
	if len(path) > topics.MaxQueryPath || strings.Contains(path, "\x00") {
		return page, &InputError{Field: "path", Say: "This is no directory of a host."}
	}
	if err := a.ready(h); err != nil {
		return page, err
	}
	of, err := a.ask(ctx, who, h, key{kind: topics.DirectoriesQuery, snapshot: string(host), path: path},
		topics.Query{Kind: topics.DirectoriesQuery, Path: path}, a.Limits.Files)
	if err != nil {
		return page, err
	}
	return DirectoryPage{Path: of.path, Entries: of.directories, FreeBytes: of.free, Truncated: of.truncated}, nil
}
