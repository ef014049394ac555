package gather

import (
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/maintenance"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/endings"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// Ended notes how a job ended and reads what its end decides: the facts about the host,
// the group and the repository of the job, for conditions.OfJob. It is called in the
// transaction of the end, after what its schedule owes was decided. The same end twice
// is noted once.
func (r *Reader) Ended(slots store.Slots, j store.Job) (f conditions.Facts, err error) {
	if j.State == topics.Cancelled || j.FinishedAt == 0 {
		return f, nil // a person wanted it to end: that says nothing
	}
	h, err := slots.Host(j.Host)
	if errors.Is(err, store.ErrNotFound) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	host := conditions.Host{ID: h.ID, Name: h.Name, Tags: h.Tags, EnrolledAt: h.CreatedAt, Retired: h.RetiredAt > 0,
		Intermittent: h.Intermittent}
	e := end{Reader: r, slots: slots, job: j, host: &host}
	switch j.Kind {
	case topics.BackupJob:
		err = e.backup()
	case topics.ForgetJob, topics.PruneJob, topics.CheckJob:
		err = e.upkeep(&f)
	case topics.RestoreJob:
		err = e.restore()
	case topics.DrillJob:
		err = e.drill()
	}
	if err != nil {
		return f, err
	}
	if len(host.Groups) > 0 || host.Restore != nil {
		f.Hosts = append(f.Hosts, host)
	}
	// A check, or damage that another job met, decides how the repository is. What else keeps
	// jobs out of it is left to the next look at everything: a thousand hosts may meet it at
	// once, and each end would read what all of them found.
	if j.Kind == topics.CheckJob || j.Cause == topics.CauseDamaged && j.Kind != topics.InitJob {
		err = e.health(&f)
	}
	return f, err
}

func failed(j store.Job) bool { return endings.Row{State: j.State}.Failed() }

// end is the end of one job.
type end struct {
	*Reader
	slots store.Slots
	job   store.Job
	host  *conditions.Host
}

// row is how the job ended, without what went before.
func (e end) row(subject string, kind endings.Kind) endings.Row {
	j := e.job
	return endings.Row{Subject: subject, Kind: kind, Host: j.Host, Repository: j.Repository, Job: j.ID, State: j.State, Cause: j.Cause,
		At: j.FinishedAt, Begun: j.StartedAt, Since: j.FinishedAt, Times: 1, Body: column.JSON[endings.Body]{V: new(bodyOf(j))}}
}

// later reports whether a row is of a job that ended after this one, by a clock that can
// be believed.
func (e end) later(was *endings.Row) bool {
	return was != nil && was.Job != e.job.ID && was.At > e.job.FinishedAt && was.At <= e.Now().UnixMilli()+facts.FarAhead
}

// backup notes the end of a backup.
func (e end) backup() error {
	ctx, tx := e.slots.Tx()
	if e.job.Cause == topics.CauseUnmade {
		return nil // it waits for its repository
	}
	g, there, err := endings.GroupOf(ctx, tx, e.job.SourceGroup)
	if err != nil || !there || g.Host != e.job.Host {
		return err
	}
	rows, err := endings.Of(ctx, tx, string(g.ID))
	if err != nil {
		return err
	}
	kept := keptOf(rows)
	was := kept.of(string(g.ID), endings.Backup)
	if e.later(was) {
		return nil
	}
	row := e.row(string(g.ID), endings.Backup)
	switch {
	case was != nil && was.Job == row.Job:
		row = *was
	case row.Failed():
		row.GaveUp = !g.Retrying
		switch {
		case was != nil && was.Failed():
			row.Since, row.Times, row.GaveUp = was.Since, was.Times+1, was.GaveUp || row.GaveUp
		case was == nil && g.FailedSince > 0:
			row.Since, row.GaveUp = g.FailedSince, true
		}
	}
	if err := endings.Put(ctx, tx, row); err != nil {
		return err
	}
	kept.put(row)
	if err := e.warned(row, kept); err != nil {
		return err
	}
	if err := e.sizes(g, kept); err != nil {
		return err
	}
	out := conditions.Group{ID: g.ID, Name: g.Name, Repository: g.Repository, CreatedAt: g.CreatedAt, Last: runOf(row),
		Retrying: g.Retrying, GaveUp: row.GaveUp}
	if w := kept.of(string(g.ID), endings.Warned); w != nil {
		out.Warned = streakOf(*w)
	}
	if row.Failed() {
		out.FailedSince = row.Since
	}
	sizes(&out, g, kept)
	e.host.Groups = append(e.host.Groups, out)
	return nil
}

// warned notes how often in a row a backup made its snapshot with the same warnings. One
// that made none in between says nothing of that.
func (e end) warned(row endings.Row, kept kept) error {
	was := kept.of(row.Subject, endings.Warned)
	if row.Failed() || was != nil && was.Job == row.Job || was == nil && row.State != topics.Warnings {
		return nil
	}
	row.Kind, row.Since, row.Times = endings.Warned, e.job.FinishedAt, 1
	if was != nil && row.State == topics.Warnings && was.State == topics.Warnings && was.Cause == row.Cause {
		row.Since, row.Times = was.Since, was.Times+1
	}
	ctx, tx := e.slots.Tx()
	if err := endings.Put(ctx, tx, row); err != nil {
		return err
	}
	kept.put(row)
	return nil
}

// put has a row among those that are kept.
func (k kept) put(r endings.Row) {
	for i, was := range k[r.Subject] {
		if was.Kind == r.Kind && was.Place == r.Place {
			k[r.Subject][i] = r
			return
		}
	}
	k[r.Subject] = append(k[r.Subject], r)
}

// sizes compares what the backup made with what those before it made. One of other paths
// than now, or in another repository, is no measure and is not measured.
func (e end) sizes(g endings.Group, kept kept) error {
	j := e.job
	if failed(j) || j.SnapshotID == "" || j.Summary.V == nil || j.Repository != g.Repository || j.StartedAt < g.MeasureSince {
		return nil
	}
	ctx, tx := e.slots.Tx()
	before, err := endings.Before(ctx, tx, g, j.ID, e.Now().UnixMilli(), conditions.Window)
	if err != nil {
		return err
	}
	var files, bytes, added, changed []float64
	for _, m := range before {
		if s := m.Summary.V; s != nil && s.TotalFiles > 0 {
			files, bytes = append(files, float64(s.TotalFiles)), append(bytes, float64(s.TotalBytes))
			added, changed = append(added, float64(s.DataAdded)), append(changed, float64(s.FilesNew+s.FilesChanged))
		}
	}
	if n := len(added); n > 0 && n < conditions.Window { // the first of all adds all there is, which is not usual
		added, changed = added[:n-1], changed[:n-1]
	}
	s := j.Summary.V
	compare := func(is uint64, before []float64) *endings.Compared {
		return new(endings.Compared(conditions.Compare(float64(is), before)))
	}
	row := e.row(string(g.ID), endings.Size)
	row.Body.V = &endings.Body{Files: compare(s.TotalFiles, files), Bytes: compare(s.TotalBytes, bytes),
		Added: compare(s.DataAdded, added), Changed: compare(s.FilesNew+s.FilesChanged, changed)}
	list := []endings.Row{row}
	if sizeOf(row).Odd() {
		row.Kind = endings.Unusual
		list = append(list, row)
	}
	for _, row := range list {
		if err := endings.Put(ctx, tx, row); err != nil {
			return err
		}
		kept.put(row)
	}
	return nil
}

// upkeep notes the end of a forget, a prune or a check. One that is held for a review has
// not failed, and a check that finds damage has done what it is for.
func (e end) upkeep(f *conditions.Facts) error {
	j := e.job
	ctx, tx := e.slots.Tx()
	name, location, there, err := endings.LocationOf(ctx, tx, j.Repository)
	if err != nil || !there || j.Cause == topics.CauseReview || j.Operation.V != nil && j.Operation.V.DryRun {
		return err
	}
	rows, err := endings.Of(ctx, tx, string(j.Repository))
	if err != nil {
		return err
	}
	kept := keptOf(rows)
	row := e.row(string(j.Repository), endings.Kind(j.Kind))
	row.Place = places.Key(location, j.Where())
	if j.Kind == topics.CheckJob && j.Cause == topics.CauseDamaged {
		row.State = topics.Succeeded
	}
	var was *endings.Row
	for i := range rows {
		if rows[i].Kind == row.Kind && rows[i].Place == row.Place {
			was = &rows[i]
		}
	}
	if e.later(was) {
		return nil
	}
	switch {
	case was != nil && was.Job == row.Job:
		row = *was
	case row.Failed():
		again, err := e.again()
		if err != nil {
			return err
		}
		if row.GaveUp = !again; was != nil && was.Failed() {
			row.Since, row.Times, row.GaveUp = was.Since, was.Times+1, was.GaveUp || row.GaveUp
		}
	}
	if err := endings.Put(ctx, tx, row); err != nil {
		return err
	}
	kept.put(row)
	out := conditions.Repository{ID: j.Repository, Name: name}
	upkeep(&out, kept, location)
	f.Repositories = append(f.Repositories, out)
	return nil
}

// again reports whether the hours of maintenance will have the job tried again, as package
// maintenance decides when it learns of the end.
func (e end) again() (bool, error) {
	if !schedule.Retry(e.job.State, e.job.Cause) {
		return false, nil
	}
	ctx, tx := e.slots.Tx()
	ordered, attempt, err := endings.Tried(ctx, tx, e.job.ID)
	return ordered && attempt < schedule.Retries(e.job.Cause, maintenance.DefaultTiming().RetryMax), err
}

// restore notes the end of a restore. A dry run restores nothing.
func (e end) restore() error {
	if o := e.job.Operation.V; o != nil && o.DryRun {
		return nil
	}
	ctx, tx := e.slots.Tx()
	rows, err := endings.Of(ctx, tx, string(e.job.Host))
	if err != nil {
		return err
	}
	row, was := e.row(string(e.job.Host), endings.Restore), keptOf(rows).of(string(e.job.Host), endings.Restore)
	if e.later(was) {
		return nil
	}
	if err := endings.Put(ctx, tx, row); err != nil {
		return err
	}
	e.host.Restore = new(runOf(row))
	return nil
}

// drill reads what the drill came to, which its end has noted.
func (e end) drill() error {
	ctx, tx := e.slots.Tx()
	list, err := drills.Verdicts(ctx, tx, e.job.Host)
	if err != nil {
		return err
	}
	for _, v := range list {
		if v.Job != e.job.ID {
			continue
		}
		g, there, err := endings.GroupOf(ctx, tx, v.Group)
		if err != nil {
			return err
		}
		if there {
			e.host.Groups = append(e.host.Groups, conditions.Group{ID: g.ID, Name: g.Name, Repository: g.Repository, CreatedAt: g.CreatedAt,
				Drill: &v})
		}
	}
	return nil
}

// health reads how the repository is now.
func (e end) health(f *conditions.Facts) error {
	known, there, err := e.slots.Looks(e.job.Repository)
	if err != nil || !there {
		return err
	}
	said := healthOf(known, time.UnixMilli(e.Now().UnixMilli()))
	for i := range f.Repositories {
		if f.Repositories[i].ID == said.ID {
			f.Repositories[i].Said, f.Repositories[i].Planted, f.Repositories[i].Keys = said.Said, said.Planted, said.Keys
			return nil
		}
	}
	f.Repositories = append(f.Repositories, said)
	return nil
}
