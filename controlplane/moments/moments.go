// Package moments lists the moments that a person may want to go back to: the snapshots
// of a host, a source group or a repository, with what each holds, what it added and
// whether it holds far less than the one before; and the days of a month that have some.
//
// Snapshots that are gone are left out.
package moments

import (
	"context"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/moments"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Most is how many moments one call of List answers with.
const Most = 1000

// A Filter selects moments. What is empty does not narrow it.
type Filter struct {
	Repository topics.RepositoryID
	Host       topics.HostID
	Group      topics.SourceGroupID
	Since      int64 // taken at this moment or later; Unix milliseconds
	Before     int64 // taken before this moment

	Limit  int    // how many at most, from 1 to Most; 0 is Most
	Cursor string // what the call before answered as next; "" begins
}

func (f Filter) stored() moments.Filter {
	return moments.Filter{Repository: f.Repository, Host: f.Host, Group: f.Group, Since: f.Since, Before: f.Before}
}

// A Moment is one snapshot.
type Moment struct {
	Snapshot   string // its whole ID
	Repository topics.RepositoryID
	Host       topics.HostID // that made it; "" if it is foreign
	HostName   string        // the host's, or what restic says of a foreign one
	Group      topics.SourceGroupID
	GroupName  string
	Paths      []string
	Time       int64 // by the clock of the host that made it; Unix milliseconds

	Foreign bool            // no job of ours made it
	Known   bool            // a foreign one that somebody took note of
	State   topics.JobState // how its backup ended: with warnings it is incomplete

	Sized        bool   // Files and Bytes are known
	Files, Bytes uint64 // what restoring it writes
	Added        *uint64
	New, Changed *uint64 // files that its backup saw as that; nil is not known
	Removed      *uint64 // files that the one before had besides
	Drop         string  // how far less than the one before it holds, in a sentence; "" if it does not
}

// List lists moments, the newest first, and how the next call goes on: "" at the end.
func List(ctx context.Context, s *store.Store, f Filter) (out []Moment, next string, err error) {
	limit := f.Limit
	if limit <= 0 || limit > Most {
		limit = Most
	}
	rows, err := s.Moments(ctx, f.stored(), moments.PlaceOf(f.Cursor), limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list moments: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		last := rows[limit-1]
		next = moments.Place{Time: last.Time, ID: last.ID}.String()
	}
	hosts, groups := map[topics.HostID]string{}, map[topics.SourceGroupID]string{}
	var hostIDs []topics.HostID
	var groupIDs []topics.SourceGroupID
	for _, r := range rows {
		if _, seen := hosts[r.Host]; r.Host != "" && !seen {
			hosts[r.Host], hostIDs = "", append(hostIDs, r.Host)
		}
		if _, seen := groups[r.SourceGroup]; r.SourceGroup != "" && !seen {
			groups[r.SourceGroup], groupIDs = "", append(groupIDs, r.SourceGroup)
		}
	}
	if err := s.HostNames(ctx, hostIDs, hosts); err != nil {
		return nil, "", err
	}
	if err := s.GroupNames(ctx, groupIDs, groups); err != nil {
		return nil, "", err
	}
	out = make([]Moment, len(rows))
	for i, r := range rows {
		out[i] = momentOf(r)
		if r.Host != "" {
			out[i].HostName = hosts[r.Host]
		}
		out[i].GroupName = groups[r.SourceGroup]
	}
	return out, next, nil
}

// momentOf is a row without the names that it refers to.
func momentOf(r moments.Row) Moment {
	m := Moment{Snapshot: r.ID, Repository: r.Repository, Host: r.Host, HostName: r.Hostname, Group: r.SourceGroup, Paths: r.Paths,
		Time: r.Time, Foreign: r.Foreign(), Known: r.KnownAt > 0, State: r.State, Sized: r.Told == 1, Files: r.Files, Bytes: r.Bytes}
	if m.Sized {
		m.Drop = drop(r.Files, r.Bytes, r.BeforeFiles, r.BeforeBytes, r.Collapsed)
	}
	if sum := r.Summary.V; sum != nil {
		m.Added, m.New, m.Changed = &sum.DataAdded, &sum.FilesNew, &sum.FilesChanged
		// restic counts files as new where it found no snapshot to compare with.
		compared := sum.FilesUnmodified+sum.FilesChanged > 0
		if gone := r.BeforeFiles + int64(sum.FilesNew) - int64(sum.TotalFiles); r.BeforeFiles >= 0 && compared && gone >= 0 {
			m.Removed = new(uint64(gone))
		}
	}
	return m
}

// drop says how far less than the one before a snapshot holds, by the rule by which a
// source group is judged; what is below zero is not known.
func drop(files, bytes uint64, beforeFiles, beforeBytes int64, collapsed int) string {
	cause := ""
	if beforeFiles >= 0 && beforeBytes >= 0 {
		cause = protection.DefaultTiming().Shrunk(files, bytes, uint64(beforeFiles), uint64(beforeBytes))
	}
	was := func() string { return words.Count(uint64(max(beforeFiles, 0)), "file", "files") }
	switch {
	case cause == protection.CauseEmpty:
		return "It holds no file; the one before held " + was() + "."
	case cause == protection.CauseCollapsed:
		return "It holds next to nothing of what the one before held: " + words.Count(files, "file", "files") + " and " +
			words.Bytes(bytes) + ", where there were " + was() + " and " + words.Bytes(uint64(beforeBytes)) + "."
	case cause == protection.CauseFewFiles:
		return "It holds far fewer files than the one before: " + words.Number(files) + ", where there were " +
			words.Number(uint64(beforeFiles)) + "."
	case collapsed == 1:
		return "It holds next to nothing of what was usual before it."
	}
	return ""
}

// A Day is a day of a month that has snapshots.
type Day struct {
	Date  string // "2026-11-29", in the zone of the month
	Count int
	Drops int // snapshots that hold far less than the one before
}

// Days lists the days of the month in which a moment is, in its zone, that have
// snapshots; the times of the filter do not count.
func Days(ctx context.Context, s *store.Store, f Filter, month time.Time) ([]Day, error) {
	first := time.Date(month.Year(), month.Month(), 1, 0, 0, 0, 0, month.Location())
	x := f.stored()
	x.Since, x.Before = max(1, first.UnixMilli()), max(1, first.AddDate(0, 1, 0).UnixMilli())
	rows, err := s.MomentSizes(ctx, x)
	if err != nil {
		return nil, fmt.Errorf("list days: %w", err)
	}
	var out []Day
	for _, r := range rows {
		date := time.UnixMilli(r.Time).In(month.Location()).Format(time.DateOnly)
		if len(out) == 0 || out[len(out)-1].Date != date {
			out = append(out, Day{Date: date})
		}
		d := &out[len(out)-1]
		d.Count++
		if r.Told == 1 && drop(r.Files, r.Bytes, r.BeforeFiles, r.BeforeBytes, r.Collapsed) != "" {
			d.Drops++
		}
	}
	return out, nil
}
