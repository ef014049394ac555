package repositorypages

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// shownTags are the first of a snapshot in a list; there may be thousands.
const shownTags = 3

// Filter is what a repository's page was asked for. What it does not
// know narrows nothing.
func Filter(q url.Values) views.RepositoryFilter {
	f := views.RepositoryFilter{Query: strings.TrimSpace(q.Get("q")), Host: q.Get("host"), Period: q.Get("period"), After: q.Get("after")}
	if !slices.ContainsFunc(views.ChartPeriods(), func(o views.Option) bool { return o.Value == f.Period }) {
		f.Period = ""
	}
	return f
}

// SizeChart is how a repository grew within the period of a filter, with its
// prunes. days are those of a year.
func (s *Pages) SizeChart(ctx context.Context, id topics.RepositoryID, days []store.Day, period string) (views.Chart, error) {
	begin := s.Now().AddDate(-1, 0, 0)
	switch period {
	case "30d":
		begin = s.Now().AddDate(0, 0, -30)
	case "90d":
		begin = s.Now().AddDate(0, 0, -90)
	}
	var points []views.Point
	for _, d := range days {
		if p := pointOf(d); !p.At.Before(begin.Add(-24 * time.Hour)) {
			points = append(points, p)
		}
	}
	prunes, err := s.Store.Prunes(ctx, id, begin.UnixMilli())
	var events []views.Event
	for _, j := range prunes {
		if o := j.Operation.V; o == nil || !o.DryRun {
			events = append(events, views.Event{At: base.At(j.FinishedAt), Word: "prune"})
		}
	}
	return views.NewChart(ctx, points, events...), err
}

// snapshotsFound fills in a page of snapshots as the filter has it, and the
// calendar of all of them.
func (s *Pages) snapshotsFound(
	ctx context.Context,
	v *views.Repository,
	id topics.RepositoryID,
	names map[topics.HostID]string,
	groups map[topics.SourceGroupID]string,
) error {
	f := store.SnapshotFilter{Text: v.Filter.Query, Foreign: v.Filter.Host == views.NotOurs}
	if !f.Foreign && names[topics.HostID(v.Filter.Host)] == "" {
		v.Filter.Host = ""
	} else if !f.Foreign {
		f.Host = topics.HostID(v.Filter.Host)
	}
	place, err := s.SnapshotPlace(ctx, id, v.Filter.After)
	if err != nil {
		return err
	}
	rows, err := s.Store.SnapshotsOf(ctx, id, f, place, pageSnapshots+1)
	if err != nil {
		return err
	}
	if v.SnapshotsFound = v.SnapshotsTotal; f != (store.SnapshotFilter{}) {
		if v.SnapshotsFound, err = s.Store.CountSnapshots(ctx, id, f); err != nil {
			return err
		}
	}
	here := v.Filter
	if here.After != "" {
		here.After = ""
		v.Newest = views.RepositoryListURL(v.ID, here) + "#repository-snapshots"
	}
	if len(rows) > pageSnapshots {
		rows = rows[:pageSnapshots]
		here.After = rows[len(rows)-1].ID
		v.Older = views.RepositoryListURL(v.ID, here) + "#repository-snapshots"
	}
	if v.Snapshots, err = s.SnapshotRows(ctx, v, rows, names, groups); err != nil {
		return err
	}
	hosts, err := s.Store.SnapshotHosts(ctx, id)
	if err != nil {
		return err
	}
	for _, h := range hosts {
		v.SnapshotHosts = append(v.SnapshotHosts, views.Option{Value: string(h), Text: names[h]})
	}
	slices.SortFunc(v.SnapshotHosts, func(a, b views.Option) int { return strings.Compare(a.Text, b.Text) })
	if v.ForeignTotal > 0 {
		v.SnapshotHosts = append(v.SnapshotHosts, views.Option{Value: views.NotOurs, Text: "Not ours"})
	}
	v.Calendar, err = s.Calendar(ctx, id)
	return err
}

// SnapshotRows are snapshots with what their backups added, and by which rule
// each is kept.
func (s *Pages) SnapshotRows(
	ctx context.Context,
	v *views.Repository,
	rows []store.Snapshot,
	names map[topics.HostID]string,
	groups map[topics.SourceGroupID]string,
) ([]views.RepositorySnapshot, error) {
	var ids []topics.JobID
	for _, n := range rows {
		if !n.Foreign() {
			ids = append(ids, n.Job)
		}
	}
	made, err := s.Store.JobsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	added := map[topics.JobID]string{}
	for _, j := range made {
		if j.Summary.V != nil {
			added[j.ID] = words.Bytes(j.Summary.V.DataAdded)
		}
	}
	kept, goes := map[string][]string{}, map[string]bool{}
	for _, k := range v.Retention.Keep {
		kept[k.ID] = k.Reasons
	}
	for _, k := range v.Retention.Waiting {
		kept[k.ID] = k.Reasons
	}
	for _, k := range v.Retention.Flagged {
		kept[k.ID] = append([]string{"flagged, kept"}, k.Reasons...)
	}
	for _, k := range v.Retention.Remove {
		goes[k.ID] = true
	}
	out := make([]views.RepositorySnapshot, len(rows))
	for i, n := range rows {
		row := views.RepositorySnapshot{
			ID:      n.ID,
			ShortID: layout.Short(n.ID),
			At:      s.When(n.Time),
			From:    n.Hostname,
			Group:   groups[n.SourceGroup],
			Paths:   n.Paths,
			Foreign: n.Foreign(),
			Kept:    kept[n.ID],
			Goes:    goes[n.ID],
			Lacks:   uint64(max(n.Lacks, 0)),
			Forget:  views.RepositoryURL(v.ID) + "?forget=" + url.QueryEscape(layout.Short(n.ID)) + "#operations",
		}
		for _, t := range n.Tags {
			switch {
			case strings.HasPrefix(t, "plan="): // that one is ours, and told by the source group
			case len(row.Tags) < shownTags:
				row.Tags = append(row.Tags, words.Cut(t, 30))
			default:
				row.MoreTags++
			}
		}
		if !n.Foreign() {
			row.Size, row.Added, row.Job, row.From = words.Bytes(n.Bytes), added[n.Job], views.JobURL(string(n.Job)), names[n.Host]
			if n.Imported != "" { // no job made it, and nobody said how much it holds
				row.Size, row.Job, row.Imported = "", "", true
			}
			row.Operations = views.HostOperationsURL(string(n.Host)) + "?snapshot=" + url.QueryEscape(snapshotValue(n))
		}
		out[i] = row
	}
	return out, nil
}

// Calendar is the year of a repository in days of the zone that is shown.
func (s *Pages) Calendar(ctx context.Context, id topics.RepositoryID) (views.Calendar, error) {
	now := s.Now()
	begin := views.CalendarBegin(ctx, now).UnixMilli()
	kept, err := s.Store.SnapshotQuarters(ctx, id, begin, now.UnixMilli())
	if err != nil {
		return views.Calendar{}, err
	}
	failed, err := s.Store.FailedQuarters(ctx, id, begin)
	byDate := func(quarters []store.Quarter) map[string]int {
		days := map[string]int{}
		for _, q := range quarters {
			days[words.Date(ctx, q.At())] += q.N
		}
		return days
	}
	return views.NewCalendar(ctx, byDate(kept), byDate(failed), now), err
}

// snapshotValue names a snapshot in a form that does not ask for its repository.
func snapshotValue(n store.Snapshot) string { return string(n.Repository) + "/" + n.ID }

func (s *Pages) snapshotOption(
	ctx context.Context,
	n store.Snapshot,
	repositories map[topics.RepositoryID]string,
	groups map[topics.SourceGroupID]string,
) views.Option {
	return views.Option{Value: snapshotValue(n),
		Text: strings.Join(
			[]string{words.Clock(ctx, base.At(n.Time), s.Now()), groups[n.SourceGroup], layout.Short(n.ID), "in " + repositories[n.Repository]},
			"  ·  ",
		)}
}

// choose has a host's operations begin with a snapshot of its own, which may be
// older than those that are offered. One that is not there is not chosen; of one that is
// gone, it says what there is instead.
func (s *Pages) choose(
	ctx context.Context,
	o *views.HostOperations,
	host topics.HostID,
	want string,
	repositories map[topics.RepositoryID]string,
	groups map[topics.SourceGroupID]string,
) error {
	repository, id, _ := strings.Cut(want, "/")
	n, err := s.Store.SnapshotByID(ctx, topics.RepositoryID(repository), id)
	if errors.Is(err, store.ErrNotFound) || err == nil && n.Host != host {
		return nil
	} else if err != nil {
		return err
	}
	if n.GoneAt > 0 {
		near, err := s.Store.Around(ctx, n)
		if err != nil {
			return err
		}
		p := problem.Of(&jobs.GoneError{Host: host, Kind: topics.RestoreJob, Snapshot: n, Near: near})
		o.Gone = &views.Note{Tone: "warn", Title: p.Title, Text: p.Detail(), Links: layout.LinksOf(p.Links)}
		return nil
	}
	option := s.snapshotOption(ctx, n, repositories, groups)
	if !slices.Contains(o.Snapshots, option) {
		o.Snapshots = append(o.Snapshots, option)
	}
	o.Chosen = option.Value
	return nil
}
