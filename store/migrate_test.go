package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/restic-manager/restic-manager/store/migrations"
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
