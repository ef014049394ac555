package alerts

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// ends has a desk judge the end of a job, in a transaction that goes on with then.
func (d *desk) ends(job store.Job, then error) error {
	return d.Store.SlotStep(d.t.Context(), func(slots store.Slots) error {
		return errors.Join(d.JobEnded(slots, job), then)
	})
}

// decides has the ends of jobs decide about one key: that it holds, or that it is over.
func (d *desk) decides(f conditions.Finding, holds bool) {
	d.Ended = func(store.Slots, store.Job) (conditions.Facts, error) { return conditions.Facts{}, nil }
	d.OfJob = func(conditions.Facts, conditions.Limits, time.Time) ([]conditions.Finding, []alerts.Key) {
		if holds {
			return []conditions.Finding{f}, []alerts.Key{f.Key}
		}
		return nil, []alerts.Key{f.Key}
	}
}

func failure(job topics.JobID, at time.Time) conditions.Finding {
	f := of(conditions.BackupFailed, alerts.OnGroup, "letters", alerts.Critical)
	f.Host, f.Repository, f.Job, f.Since = "attic", "vault", job, at.UnixMilli()
	return f
}

func TestTheEndOfAJobOpensAndEndsWithIt(t *testing.T) {
	d := newDesk(t)
	d.decides(failure("job-1", d.now), true)
	if err := d.ends(store.Job{ID: "job-1"}, errors.New("the end cannot be written")); err == nil {
		t.Fatal("it was written")
	}
	d.said = nil
	if n := len(d.ids()); n != 0 {
		t.Errorf("%d alerts are of a job that has not ended", n)
	}
	if err := d.ends(store.Job{ID: "job-1"}, nil); err != nil {
		t.Fatal(err)
	}
	d.told("opened letters")
	d.after(time.Minute, failure("job-1", d.now)) // the sweep finds the same
	d.told()
	d.decides(failure("job-1", d.now), false)
	if err := d.ends(store.Job{ID: "job-2"}, nil); err != nil {
		t.Fatal(err)
	}
	d.told("recovered letters")
	d.after(time.Minute)
	d.told()
}

func TestWhatTheRepositoryMayExplainIsLeftToTheSweep(t *testing.T) {
	d := newDesk(t)
	d.decides(failure("job-1", d.now), true)
	if err := d.ends(store.Job{ID: "job-1", Cause: topics.CauseUnreachable}, nil); err != nil {
		t.Fatal(err)
	}
	d.told()
	vault := of(conditions.RepositoryUnreachable, alerts.OnRepository, "vault", alerts.Critical)
	d.after(0, failure("job-1", d.now), vault)
	d.told("opened vault")
}

// TestAJobEndsWhateverBecomesOfAlerts: who cannot judge must not keep the end of a job
// from being written, and leaves nothing half done.
func TestAJobEndsWhateverBecomesOfAlerts(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	d.decides(failure("job-1", d.now), true)
	note := d.Note
	d.Note = func(context.Context, alerts.Tx, []routing.Change) error { return errors.New("a slip of ours") }
	if err := d.ends(store.Job{ID: "job-1"}, nil); err != nil {
		t.Errorf("the end is not written: %v", err)
	}
	if n := len(must(d.Live(ctx))); n != 0 {
		t.Errorf("%d alerts are there of which nobody will be told", n)
	}
	d.Note = func(context.Context, alerts.Tx, []routing.Change) error {
		return fmt.Errorf("note: %w", context.Canceled)
	}
	if err := d.ends(store.Job{ID: "job-1"}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("what may go well the next time is written without: %v", err)
	}
	d.Note = note
	d.after(0, failure("job-1", d.now))
	d.told("opened letters")
}

func TestQueriesOfAlertsUseIndexes(t *testing.T) {
	d := newDesk(t)
	for name, query := range map[string]string{
		"those that are not over": `SELECT * FROM alerts WHERE ended_at = 0 ORDER BY id`,
		"those that ended lately": `SELECT * FROM alerts WHERE ended_at > 0 AND ended_at >= $1 ORDER BY ended_at, id`,
		"those ended by hand": `SELECT * FROM alerts WHERE ended_at > 0 AND ended_at < $1 AND ended_by <> 'plane' AND quiet_at = 0
			ORDER BY ended_at, id`,
		"the latest of a key": `SELECT * FROM alerts WHERE condition = $1 AND on_kind = $1 AND subject = $1 AND ended_at > 0
			ORDER BY ended_at DESC, id DESC LIMIT 1`,
		"the mark": `SELECT coalesce(max(changed), 0) FROM alerts`,
		"a page":   `SELECT * FROM alerts WHERE ended_at > 0 AND changed < $1 ORDER BY changed DESC LIMIT 50`,
	} {
		rows, err := d.rows().R.QueryxContext(t.Context(), `EXPLAIN QUERY PLAN `+query, "1")
		if err != nil {
			t.Fatal(name, err)
		}
		for rows.Next() {
			row := map[string]any{}
			if err := rows.MapScan(row); err != nil {
				t.Fatal(err)
			}
			if say := fmt.Sprint(row["detail"]); say == "SCAN alerts" {
				t.Errorf("%s: %s", name, say)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkSweep(b *testing.B) {
	for _, n := range []int{0, 1000} {
		b.Run(fmt.Sprintf("%d-open", n), func(b *testing.B) {
			d := newDesk(b)
			for i := range n {
				d.holds = append(d.holds, offline(fmt.Sprintf("host-%04d", i)))
			}
			for b.Loop() {
				if err := d.Sweep(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
