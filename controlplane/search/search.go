// Package search looks for files in snapshots: it says which job asks which host for it,
// and puts together what such a job found, by path.
package search

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// Input says what is looked for, and where.
type Input struct {
	Repository topics.RepositoryID
	Host       topics.HostID // whose snapshots; "" is everybody's
	Snapshots  []string      // these alone; none is all
	Pattern    string        // restic's; a Windows path is understood, too
	IgnoreCase bool
	On         topics.HostID // which looks; "" chooses one
}

// A Desk turns searches into jobs.
type Desk struct {
	Store  *store.Store
	Online func(topics.HostID) bool // nil: nobody is known to be
}

// Request is the job for a search. It returns field.Errors for what cannot be searched
// for, and store.ErrNotFound for a repository that is not there.
func (d Desk) Request(ctx context.Context, in Input) (r jobs.Request, err error) {
	wrong := field.Errors{}
	o := topics.Operation{Pattern: Pattern(in.Pattern), Snapshots: in.Snapshots, IgnoreCase: in.IgnoreCase}
	repository, err := d.Store.Repository(ctx, in.Repository)
	if err != nil {
		return r, err
	}
	if in.Host != "" && len(in.Snapshots) == 0 {
		o.Groups, err = Groups(ctx, d.Store, in.Repository, in.Host)
		if said := (field.Errors{}); errors.As(err, &said) {
			wrong = said
		} else if err != nil {
			return r, err
		}
	}
	if err := o.Check(topics.FindJob); err != nil { // in the words in which the API says it
		said := strings.TrimPrefix(err.Error(), topics.ErrOperation.Error()+": ")
		wrong.Say("pattern", strings.TrimPrefix(said, "pattern: ")+".")
	}
	if err := wrong.Err(); err != nil {
		return r, err
	}
	on := in.On
	if on == "" {
		if on, err = d.runner(ctx, repository, in.Host, o.Picky()); err != nil {
			return r, err
		}
	}
	return jobs.Request{Host: on, Kind: topics.FindJob, Repository: in.Repository, Operation: o}, nil
}

// Groups are the source groups to whose snapshots a search of a host's is held. It returns
// field.Errors if the host has none in the repository.
func Groups(ctx context.Context, s *store.Store, repository topics.RepositoryID, host topics.HostID) ([]topics.SourceGroupID, error) {
	groups, err := s.GroupsWithSnapshots(ctx, repository, host)
	if err == nil && len(groups) == 0 {
		err = field.Errors{"host": "There is no snapshot of this host in the repository."}
	}
	return groups, err
}

// runner is the host that looks: the one whose snapshots are searched, else the keeper,
// else any that backs up into the repository; first one that can be reached and knows how.
func (d Desk) runner(ctx context.Context, r store.Repository, owner topics.HostID, picky bool) (topics.HostID, error) {
	var list []topics.HostID
	add := func(id topics.HostID) {
		if id != "" && !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	groups, err := d.Store.SourceGroupsInto(ctx, r.ID)
	if err != nil {
		return "", err
	}
	has := func(h topics.HostID) bool {
		return slices.ContainsFunc(groups, func(g store.SourceGroup) bool { return g.Host == h })
	}
	if has(owner) {
		add(owner)
	}
	if places.Shared(r.Location) || owner == "" { // else nobody else has the owner's place
		add(r.Keeper)
		for _, g := range groups {
			add(g.Host)
		}
	}
	for _, ready := range []bool{true, false} {
		for _, id := range list {
			h, err := d.Store.Host(ctx, id)
			if err != nil || h.RevokedAt > 0 {
				continue
			}
			if !ready || d.Online != nil && d.Online(id) && (!picky || h.Able(topics.SearchesSome)) {
				return id, nil
			}
		}
	}
	return "", field.Errors{"host": fmt.Sprintf("No host has the repository %s, so nobody can look there.", r.Name)}
}

var windows = regexp.MustCompile(`^[A-Za-z]:\\`)

// Pattern is a pattern as restic takes it, without the blanks around it; see PathOf.
func Pattern(text string) string { return PathOf(strings.TrimSpace(text)) }

// PathOf is a path as snapshots name it: those of Windows with slashes, so C:\Users\anna is
// /C/Users/anna. A blank at its end may be part of a name.
func PathOf(text string) string {
	if windows.MatchString(text) {
		return "/" + strings.ToUpper(text[:1]) + strings.ReplaceAll(text[2:], `\`, "/")
	}
	return text
}

// A Version is a file as it is in one or several snapshots.
type Version struct {
	Snapshot  string   // the newest that has it like this
	Time      int64    // of that; Unix milliseconds, 0 is not known
	Snapshots []string // all that have it like this, the newest first
	Type      string
	Size      uint64
	ModTime   int64 // Unix milliseconds
}

// A Path is what was found under one path.
type Path struct {
	Path     string
	Versions []Version // the newest first; equal ones are one
}

// ByPath puts matches together: by path, in order, with the versions of each. at says when
// snapshots were taken; text, if any, has to be part of the path, in capitals or not.
func ByPath(matches []topics.Match, at map[string]int64, text string) []Path {
	type look struct {
		typ   string
		size  uint64
		mtime int64
	}
	text = strings.ToLower(text)
	paths, order := map[string][]topics.Match{}, []string{}
	for _, m := range matches {
		if text != "" && !strings.Contains(strings.ToLower(m.Path), text) {
			continue
		}
		if paths[m.Path] == nil {
			order = append(order, m.Path)
		}
		paths[m.Path] = append(paths[m.Path], m)
	}
	slices.Sort(order)
	out := make([]Path, 0, len(order))
	for _, p := range order {
		list := paths[p]
		slices.SortStableFunc(list, func(a, b topics.Match) int { return int(sign(at[b.Snapshot] - at[a.Snapshot])) })
		one, where := Path{Path: p}, map[look]int{}
		for _, m := range list {
			key := look{m.Type, m.Size, m.ModTime}
			i, seen := where[key]
			if !seen {
				i = len(one.Versions)
				where[key] = i
				one.Versions = append(one.Versions, Version{Snapshot: m.Snapshot, Time: at[m.Snapshot], Type: m.Type, Size: m.Size,
					ModTime: m.ModTime})
			}
			if v := &one.Versions[i]; !slices.Contains(v.Snapshots, m.Snapshot) {
				v.Snapshots = append(v.Snapshots, m.Snapshot)
			}
		}
		out = append(out, one)
	}
	return out
}

// Folded are the versions that a host answered with, the newest first; equal ones are one.
func Folded(rows []queries.Version) []Version {
	matches, at := make([]topics.Match, len(rows)), map[string]int64{}
	for i, r := range rows {
		matches[i] = topics.Match{Snapshot: r.Snapshot, Path: "/", Type: r.Type, Size: r.Size, ModTime: r.ModTime}
		at[r.Snapshot] = r.Time
	}
	if paths := ByPath(matches, at, ""); len(paths) > 0 {
		return paths[0].Versions
	}
	return nil
}

func sign(n int64) int64 {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// Matches are what a search has found so far, in the order in which it was found.
func Matches(ctx context.Context, s *store.Store, job topics.JobID) ([]topics.Match, error) {
	parts, err := s.Reports(ctx, job)
	if err != nil {
		return nil, fmt.Errorf("read what was found: %w", err)
	}
	var all []topics.Match
	for _, p := range parts {
		all = append(all, p.Matches...)
	}
	return all, nil
}

// Kept says until when is kept what a search found that has so many matches still, in Unix
// milliseconds: 0 while it goes on, and where nothing is kept. gone is that it was removed.
func Kept(j store.Job, matches int) (until int64, gone bool) {
	if matches > 0 && j.FinishedAt > 0 {
		until = j.FinishedAt + store.SearchAge.Milliseconds()
	}
	return until, matches == 0 && j.LogDroppedAt > 0 && (j.Result.V == nil || j.Result.V.Count > 0)
}

// Owner is the host to whose snapshots a search is held, "" if it is to none's.
func Owner(ctx context.Context, s *store.Store, o topics.Operation) (topics.HostID, error) {
	for _, id := range o.Groups {
		if g, err := s.SourceGroup(ctx, id); err == nil {
			return g.Host, nil
		} else if !errors.Is(err, store.ErrNotFound) {
			return "", err
		}
	}
	return "", nil
}

// Found are the paths that a search has found so far; see ByPath.
func Found(ctx context.Context, s *store.Store, j store.Job, text string) (paths []Path, matches int, err error) {
	all, err := Matches(ctx, s, j.ID)
	if err != nil {
		return nil, 0, err
	}
	seen := map[string]bool{}
	var ids []string
	for _, m := range all {
		if !seen[m.Snapshot] {
			seen[m.Snapshot], ids = true, append(ids, m.Snapshot)
		}
	}
	at, err := s.SnapshotTimes(ctx, j.Repository, ids)
	if err != nil {
		return nil, 0, fmt.Errorf("read when snapshots were taken: %w", err)
	}
	return ByPath(all, at, text), len(all), nil
}
