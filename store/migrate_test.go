package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/restic-manager/restic-manager/store/migrations"
	"github.com/restic-manager/restic-manager/topics"
)

// A database of the first releases keeps its jobs when it is brought up to date.
func TestAnOlderDatabaseKeepsItsJobs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	db := must(dial(path, 1))
	p := must(goose.NewProvider(goose.DialectSQLite3, db.DB, migrations.Files))
	must(p.UpTo(context.Background(), 6))
	for _, q := range []string{
		`INSERT INTO hosts (id, name, created_at, seal_key, serial, hostname, os, arch, platform, agent_version, restic_version, policy)
			VALUES ('host-0001', 'attic', 1, x'00', '', '', '', '', '', '', '', '')`,
		`INSERT INTO repositories (id, name, url, location, password, env, created_at) VALUES ('repo-0001', 'r', x'00', '/r', x'00', x'00', 1)`,
		`INSERT INTO source_groups (id, host, name, repository, paths, excludes, one_file_system, created_at)
			VALUES ('grp-00001', 'host-0001', 'letters', 'repo-0001', '[]', '[]', 0, 1)`,
		`INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at, not_after, lines, log_bytes,
			schedule, slot, summary)
			VALUES ('job-00001', 'host-0001', 'backup', 'grp-00001', 'repo-0001', 'running', 'anna', 5, 9, 3, 77, 's', 4, '{"total_bytes":7}')`,
	} {
		must(db.Exec(q))
	}
	must(p.Up(context.Background()))
	j := must(get[Job](t.Context(), db, `SELECT * FROM jobs WHERE id = 'job-00001'`))
	if j.SourceGroup != "grp-00001" || j.Lines != 3 || j.LogBytes != 77 || j.Schedule != "s" || j.Slot != 4 || j.Summary.V == nil ||
		j.Summary.V.TotalBytes != 7 || j.RequestedBy != "anna" {
		t.Errorf("the job became %+v", j)
	}
	must(db.Exec(`INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at, not_after)
		VALUES ('job-00002', 'host-0001', 'check', '', 'repo-0001', 'queued', 'anna', 5, 9)`))
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// What vanished before the upgrade is nobody's news, and what a forget named was not
// lost.
func TestAnUpgradeKnowsWhatCanBeRestored(t *testing.T) {
	dir := old(t, 1)
	db := must(dial(filepath.Join(dir, fileName), 1))
	p := must(goose.NewProvider(goose.DialectSQLite3, db.DB, migrations.Files))
	must(p.UpTo(t.Context(), 120))
	must(db.Exec(`INSERT INTO hosts (id, name, created_at, seal_key, serial, hostname, os, arch, platform, agent_version, restic_version,
			policy)
		VALUES ('host-0001', 'attic', 1, x'00', '', '', '', '', '', '', '', '')`))
	must(db.Exec(`INSERT INTO source_groups (id, host, name, repository, paths, excludes, one_file_system, created_at)
		VALUES ('grp-00001', 'host-0001', 'letters', 'vault-0000', '["/letters"]', '[]', 0, 1)`))
	for n := 1; n <= 6; n++ {
		job, files, gone := fmt.Sprintf("job-%05d", n), 1000, 0
		if n == 6 {
			files = 3
		}
		if n <= 2 { // the first was forgotten, the second vanished
			gone = 10_000
		}
		must(db.Exec(`INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at, started_at, finished_at,
				not_after, snapshot_id, schedule, slot, fired, heard_at)
			VALUES ($1, 'host-0001', 'backup', 'grp-00001', 'vault-0000', 'succeeded', 'anna', $2, $3, $4, 9, $5, '', 0, $6, $7)`,
			job, n*1000, n*1000+100, n*1000+2100, id64(n), n == 3, n*1000+50))
		must(db.Exec(`INSERT INTO snapshots (repository, id, host, job, source_group, time, hostname, paths, tags, files, bytes, gone_at,
				seen_at)
			VALUES ('vault-0000', $1, 'host-0001', $2, 'grp-00001', $3, 'attic', '[]', '["plan=grp-00001"]', $4, $5, $6, 1)`,
			id64(n), job, n*1000, files, files*1000, gone))
	}
	for _, n := range []int{1, 3} { // the second of these failed
		must(db.Exec(`INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at, finished_at, not_after,
				operation)
			VALUES ($1, 'host-0001', 'forget', '', 'vault-0000', 'failed', 'anna', 9000, 9500, 9, $2)`,
			fmt.Sprintf("for-%05d", n), `{"snapshots":["`+id64(n)+`"]}`))
	}
	must(db.Exec(`INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at, finished_at, not_after)
		VALUES ('job-00009', 'host-0001', 'backup', 'grp-00001', 'vault-0000', 'failed', 'anna', 9000, 9500, 9)`))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := must(Open(t.Context(), dir, ""))
	defer func() { _ = s.Close() }()
	f := must(s.Facts(t.Context(), "host-0001"))[0]
	if f.Snapshots != 4 || f.Good.ID != id64(6) || f.Good.Job != "job-00006" || f.Good.Begun != 6100 || f.Good.Ended != 8100 ||
		f.Good.Files != 3 || !f.Collapsed || f.MeasureFiles != 1000 || f.UsualSeconds != 2 || f.Last.Job != "job-00009" || f.FailedSince != 9500 {
		t.Errorf("after the upgrade it is %+v", f)
	}
	if f.Lost != 1 || f.LostUnacknowledged != 0 {
		t.Errorf("%d are lost, %d of them news; want one that is none", f.Lost, f.LostUnacknowledged)
	}
	if n := must(s.SnapshotByID(t.Context(), "vault-0000", id64(3))); n.QueuedAt != 3050 || n.BegunAt != 3100 || n.RequestedBy != "anna" ||
		n.State != "succeeded" || n.NamedBy != "for-00003" {
		t.Errorf("one that its host began by itself became %+v", n)
	}
	g := must(s.SourceGroups(t.Context(), "host-0001"))[0]
	now := s.Now()
	ran(t, s, Job{Host: "host-0001", Kind: topics.SnapshotsJob, Repository: "vault-0000", QueuedAt: now}, now+10, whole(1, 2),
		topics.Report{Snapshots: of(g, 5, 6)})
	if f := must(s.Facts(t.Context(), "host-0001"))[0]; f.Lost != 2 || f.LostUnacknowledged != 1 || f.Snapshots != 2 {
		t.Errorf("without what was named, and without another, it is %+v", f)
	}
}

// Whoever goes back to an older version is told, before it writes anything.
func TestADatabaseOfANewerVersionIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := must(Open(t.Context(), dir, ""))
	must(s.w.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), dir, ""); !errors.Is(err, migrations.ErrNewer) {
		t.Errorf("it is opened: %v", err)
		if err == nil {
			_ = s.Close()
		}
	}
}
