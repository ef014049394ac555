package store

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/store/migrations"
	"github.com/restic-manager/restic-manager/store/sweep"
	"github.com/restic-manager/restic-manager/topics"
)

// figures are what is kept, or the same counted, one row a line.
type figures struct {
	Hours, Ended, Held, Groups []string
	Logs                       string
}

func read(q sqlx.QueryerContext, hours, ended, held, groups, logs string) figures {
	ctx := context.Background()
	return figures{must(all[string](ctx, q, hours)), must(all[string](ctx, q, ended)), must(all[string](ctx, q, held)),
		must(all[string](ctx, q, groups)), must(get[string](ctx, q, logs))}
}

func keptFigures(q sqlx.QueryerContext) figures {
	return read(q, `SELECT hour || ' ' || state || ' ' || kind || ' ' || jobs FROM job_tallies WHERE hour >= 0 AND jobs <> 0
		ORDER BY 1`,
		`SELECT state || ' ' || kind || ' ' || jobs FROM job_tallies WHERE hour < 0 AND jobs <> 0 ORDER BY 1`,
		`SELECT repository || ' ' || snapshots || ' ' || foreign_n FROM snapshot_tallies WHERE snapshots <> 0 OR foreign_n <> 0
			ORDER BY 1`,
		`SELECT source_group || ' ' || repository || ' ' || snapshots FROM group_tallies WHERE snapshots <> 0 ORDER BY 1`,
		`SELECT bytes || ' in ' || jobs FROM log_tally`)
}

func countedFigures(q sqlx.QueryerContext) figures {
	return read(q, `SELECT (finished_at / 3600000) || ' ' || state || ' ' || kind || ' ' || count(*) FROM jobs WHERE finished_at > 0
			GROUP BY finished_at / 3600000, state, kind ORDER BY 1`,
		`SELECT state || ' ' || kind || ' ' || count(*) FROM jobs WHERE finished_at > 0 GROUP BY state, kind ORDER BY 1`,
		`SELECT repository || ' ' || count(*) || ' ' || sum(job = '') FROM snapshots WHERE gone_at = 0 GROUP BY repository ORDER BY 1`,
		`SELECT source_group || ' ' || repository || ' ' || count(*) FROM snapshots WHERE gone_at = 0 AND replaced_by = '' AND job <> ''
			AND source_group <> '' GROUP BY source_group, repository ORDER BY 1`,
		`SELECT coalesce(sum(log_bytes), 0) || ' in ' || coalesce(sum(log_bytes > 0), 0) FROM jobs`)
}

// TestWhatIsKeptIsWhatIsCounted: whatever happens, in whatever order, every kept
// figure is what counting would have given.
func TestWhatIsKeptIsWhatIsCounted(t *testing.T) {
	s := open(t)
	attic := enrolled(t, s, "attic")
	groups := []SourceGroup{grouped(t, s, attic), grouped(t, s, attic)}
	now := int64(1_790_000_000_000)
	s.now = func() time.Time { return time.UnixMilli(now) }
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 6).Draw(t, "deeds") {
			now += rapid.Int64Range(1, 3*hourMillis).Draw(t, "time")
			g := rapid.SampledFrom(groups).Draw(t, "group")
			some := rapid.SliceOfNDistinct(rapid.IntRange(0, 30), 0, 6, rapid.ID).Draw(t, "snapshots")
			switch rapid.IntRange(0, 4).Draw(t, "deed") {
			case 0: // a backup that says something and may leave a snapshot
				j := asked(t, s, g)
				end := topics.Finished{State: rapid.SampledFrom([]topics.JobState{topics.Succeeded, topics.Failed,
					topics.Warnings}).Draw(t, "end")}
				if end.State != topics.Failed && len(some) > 0 {
					end.Snapshot = &of(g, some[0])[0]
				}
				finish(t, s, j, now, end, topics.Report{})
			case 1: // a listing
				ran(t, s, Job{Host: attic.ID, Kind: topics.SnapshotsJob, Repository: g.Repository}, now, whole(1, len(some)),
					topics.Report{Snapshots: append(of(g, some...), snaps(rapid.IntRange(31, 33).Draw(t, "foreign"))...)[:len(some)]})
			case 2: // a forget
				ran(t, s, Job{Host: attic.ID, Kind: topics.ForgetJob, Repository: g.Repository,
					Operation: JSON[topics.Operation]{V: &topics.Operation{Snapshots: wholeIDs(some...)}}}, now,
					topics.Finished{Result: &topics.Result{Removed: wholeIDs(some...)}})
			case 3:
				must(s.SweepLogs(context.Background(), Retention{Age: time.Duration(rapid.IntRange(1, 10).Draw(t,
					"hours")) * time.Hour}))
			case 4:
				must(s.SweepLogs(context.Background(), Retention{Bytes: rapid.Int64Range(1, 500).Draw(t, "bytes")}))
			}
		}
		if kept, counted := keptFigures(s.r), countedFigures(s.r); !reflect.DeepEqual(kept, counted) {
			t.Fatalf("kept    %+v\ncounted %+v", kept, counted)
		}
		since := now - rapid.Int64Range(0, 5*hourMillis).Draw(t, "since")
		want := must(all[JobCount](context.Background(), s.r, `SELECT state, kind, count(*) AS jobs FROM jobs WHERE finished_at >= $1
			AND finished_at > 0
			GROUP BY state, kind ORDER BY state, kind`, since))
		if got := must(s.CountEnded(context.Background(), JobFilter{Since: since})); !reflect.DeepEqual(got, want) {
			t.Fatalf("since %d: %v, want %v", since, got, want)
		}
	})
	before := keptFigures(s.r)
	if err := s.Recount(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := keptFigures(s.r); !reflect.DeepEqual(before, after) {
		t.Errorf("counted anew %+v, it was %+v", after, before)
	}
}

// TestAnOlderDatabaseIsCountedOnce: a database from before there were tallies gets
// them as it is brought up to date.
func TestAnOlderDatabaseIsCountedOnce(t *testing.T) {
	db := must(dial(filepath.Join(t.TempDir(), fileName), 1))
	defer db.Close()
	p := must(goose.NewProvider(goose.DialectSQLite3, db.DB, migrations.Files))
	must(p.UpTo(t.Context(), 90))
	must(db.Exec(`INSERT INTO hosts (id, name, created_at, seal_key, serial, hostname, os, arch, platform, agent_version,
		restic_version, policy)
		VALUES ('host-0001', 'attic', 1, x'00', '', '', '', '', '', '', '', '')`))
	for r := range 3 {
		must(db.Exec(`INSERT INTO repositories (id, name, url, location, password, env, created_at) VALUES ($1, $1, x'00', '/r',
			x'00', x'00', 1)`, fmt.Sprintf("repo-%04d", r)))
	}
	for i := range 200 {
		state, finished := []string{"succeeded", "failed", "cancelled", "running"}[i%4], int64(i)*1_000_000
		if state == "running" {
			finished = 0
		}
		must(db.Exec(`INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at, not_after,
			finished_at, log_bytes)
			VALUES ($1, 'host-0001', $2, '', $3, $4, 'anna', 5, 9, $5, $6)`, fmt.Sprintf("job-%05d", i), []string{"backup",
			"check"}[i%2],
			fmt.Sprintf("repo-%04d", i%2), state, finished, i%5*100))
		must(db.Exec(`INSERT INTO snapshots (repository, id, host, job, time, hostname, paths, tags, files, bytes, gone_at, source_group)
			VALUES ($1, $2, 'host-0001', $3, 1, '', '[]', '[]', 1, 1, $4, 'group-0001')`, fmt.Sprintf("repo-%04d", i%2), id64(i), []string{"",
			"job-00001"}[min(i%3, 1)], i%7/6))
	}
	must(p.UpTo(t.Context(), 200)) // an older program had triggers that name columns which go
	must(db.Exec(`CREATE TRIGGER host_changes_host AFTER UPDATE OF standing, good_at ON hosts WHEN OLD.standing IS NOT NEW.standing
		BEGIN INSERT INTO host_changes (host, n) VALUES (NEW.id, NEW.good_at); END`))
	must(p.Up(t.Context()))
	kept, counted := keptFigures(db), countedFigures(db)
	if !reflect.DeepEqual(kept, counted) || len(kept.Hours) == 0 || len(kept.Held) != 2 || len(kept.Groups) != 2 || len(kept.Ended) == 0 {
		t.Errorf("kept    %+v\ncounted %+v", kept, counted)
	}
}

// stored writes a job that ended, with so many lines of a log.
func stored(t testing.TB, s *Store, g SourceGroup, lines int) topics.JobID {
	t.Helper()
	id := topics.JobID(topics.NewID(time.Now()))
	must(s.w.Exec(`INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at, not_after, finished_at,
		lines, log_bytes)
		VALUES ($1, $2, 'backup', $3, $4, 'succeeded', 'anna', 1, 9, 2, $5, 4 * $5)`, id, g.Host, g.ID, g.Repository, lines))
	must(s.w.Exec(`INSERT INTO job_lines (job, n, at, level, text) WITH RECURSIVE l(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM l
		WHERE n < $2)
		SELECT $1, n, 1, 'info', 'word' FROM l`, id, lines))
	return id
}

// TestWhatASearchFoundIsKeptForADay: whatever logs are kept for, what a search found goes a
// day after its end; other jobs, searches that go on and younger ones keep theirs.
func TestWhatASearchFoundIsKeptForADay(t *testing.T) {
	s, ctx := open(t), t.Context()
	g := grouped(t, s, enrolled(t, s, "attic"))
	end := time.UnixMilli(1_790_000_000_000)
	now := end
	s.now = func() time.Time { return now }
	search := func(kind topics.JobKind, finished int64) topics.JobID {
		id := stored(t, s, g, 0)
		must(s.w.Exec(`UPDATE jobs SET kind = $1, finished_at = $2, log_bytes = 5, state = $3 WHERE id = $4`, kind, finished,
			map[bool]string{true: "running", false: "succeeded"}[finished == 0], id))
		must(s.w.Exec(`INSERT INTO job_reports (job, part, body) VALUES ($1, 1, '{}')`, id))
		return id
	}
	at := end.UnixMilli()
	old, younger, open, diff := search(topics.FindJob, at), search(topics.FindJob, at+1), search(topics.FindJob, 0), search(topics.DiffJob, at)
	for _, c := range []struct {
		after time.Duration
		gone  []topics.JobID
	}{
		{SearchAge, nil},
		{SearchAge + time.Millisecond, []topics.JobID{old}},
		{SearchAge + time.Hour, []topics.JobID{old, younger}},
	} {
		now = end.Add(c.after)
		if _, err := s.SweepLogs(ctx, Retention{}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []topics.JobID{old, younger, open, diff} {
			left := must(get[int](ctx, s.r, `SELECT count(*) FROM job_reports WHERE job = $1`, id))
			if gone := slices.Contains(c.gone, id); gone != (left == 0) || gone != (must(s.Job(ctx, id)).LogDroppedAt > 0) {
				t.Errorf("after %v: of job %s %d parts are left, want it gone: %t", c.after, id, left, gone)
			}
		}
	}
	if n := must(get[int](ctx, s.r, `SELECT count(*) FROM audit WHERE action = 'log.removed'
		AND detail LIKE 'what 1 searches found%'`)); n != 2 {
		t.Errorf("%d entries in the audit log", n)
	}
	var plan []string
	rows := must(s.w.Query(`EXPLAIN QUERY PLAN `+sweep.OldSearches, at, 100))
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, step)
	}
	if rows.Err() != nil || len(plan) != 1 || !strings.Contains(plan[0], "jobs_searches") {
		t.Errorf("old searches are looked for by %q", plan)
	}
}

// TestWhoWritesGetsBetweenTheStepsOfASweep: while a sweep removes long logs, others
// write all the time.
func TestWhoWritesGetsBetweenTheStepsOfASweep(t *testing.T) {
	s, ctx := open(t), t.Context()
	g := grouped(t, s, enrolled(t, s, "attic"))
	const logs, lines = 4, 20_000
	for range logs {
		stored(t, s, g, lines)
	}
	swept := make(chan error, 1)
	written := 0
	if err := s.Audit(ctx, "anna", "test", "", ""); err != nil {
		t.Fatal(err)
	}
	go func() {
		n, err := s.SweepLogs(ctx, Retention{Age: time.Millisecond})
		if err == nil && n != logs {
			err = fmt.Errorf("%d logs were removed", n)
		}
		swept <- err
	}()
	for {
		select {
		case err := <-swept:
			if err != nil {
				t.Fatal(err)
			}
			if steps := logs * lines / sweep.Rows; written < steps/2 {
				t.Errorf("in %d steps of the sweep, others wrote %d times", steps, written)
			}
			if n := must(get[int](ctx, s.r, `SELECT count(*) FROM job_lines`)); n != 0 {
				t.Errorf("%d lines are left", n)
			}
			if kept, counted := keptFigures(s.r), countedFigures(s.r); !reflect.DeepEqual(kept, counted) {
				t.Errorf("kept %+v, counted %+v", kept, counted)
			}
			return
		default:
			if err := s.Audit(ctx, "anna", "test", "", ""); err != nil {
				t.Fatal(err)
			}
			written++
		}
	}
}

// TestASweepThatEndedInTheMiddleIsEndedByTheNext: what was marked and not deleted
// goes, although nothing is too old or too much any more.
func TestASweepThatEndedInTheMiddleIsEndedByTheNext(t *testing.T) {
	s, ctx := open(t), t.Context()
	g := grouped(t, s, enrolled(t, s, "attic"))
	id := stored(t, s, g, sweep.Rows+10)
	if n, err := s.sweeper().MarkLogs(ctx, Retention{Age: time.Millisecond}); err != nil || n != 1 {
		t.Fatalf("%d are marked, %v", n, err)
	}
	if err := s.tx(ctx, func(tx *sqlx.Tx) error {
		done, err := sweep.RemoveSome(ctx, tx, []topics.JobID{id})
		if done != 0 {
			t.Errorf("one transaction removed more than %d lines", sweep.Rows)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if n := must(get[int](ctx, s.r, `SELECT count(*) FROM job_lines`)); n != 10 {
		t.Fatalf("%d lines are left", n)
	}
	if n, err := s.SweepLogs(ctx, Retention{}); err != nil || n != 0 {
		t.Errorf("%d more were removed, %v", n, err)
	}
	bytes, jobs, err := s.LogSize(ctx)
	if n := must(get[int](ctx, s.r, `SELECT count(*) FROM job_lines`)); err != nil || n+int(bytes)+jobs != 0 || must(s.Job(ctx,
		id)).LogDroppedAt == 0 {
		t.Errorf("%d lines are left, %d bytes of %d jobs, %v", n, bytes, jobs, err)
	}
}
