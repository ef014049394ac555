package controlplane

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
)

// TestAnImportOfAProgramThatDiedIsFinished: one was decided and not done when the control plane
// starts, and another while it runs, as a command line that is killed leaves them.
func TestAnImportOfAProgramThatDiedIsFinished(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	timing := DefaultTiming()
	timing.Imports = 20 * time.Millisecond
	p, err := New(t.Context(), Config{
		Data:   data,
		HTTP:   "127.0.0.1:0",
		Agents: "127.0.0.1:0",
		MQTT:   "127.0.0.1:0",
		Log:    slog.New(slog.DiscardHandler),
		Timing: timing,
		Limits: protocol.DefaultLimits(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Store.AddRepository(t.Context(), "test", store.Repository{ID: "vault", Name: "vault"},
		store.RepositoryAccess{URL: "/srv/vault", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	begin := func(n int) (snapshot string) {
		t.Helper()
		db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "restic-manager.db")+"?_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		snapshot = strings.Repeat(fmt.Sprintf("%04x", n), 16)
		id := fmt.Sprintf("import-%d", n)
		for _, s := range []struct {
			query string
			args  []any
		}{
			{`INSERT INTO snapshots (repository, id, host, job, time, hostname, paths, tags, files, bytes)
				VALUES ('vault', $1, '', '', 5, 'attic', '["/letters"]', '[]', 0, 0)`, []any{snapshot}},
			{`INSERT INTO import_rows (import_id, kin, repository, hostname, paths, tags, host, source_group, snapshots)
				VALUES ($1, 'kin', 'vault', 'attic', '[]', '[]', 'attic', 'letters', 1)`, []any{id}},
			{`INSERT INTO import_parts (import_id, part, kin, snapshots) VALUES ($1, 1, 'kin', json_array($2))`, []any{id, snapshot}},
			{`INSERT INTO imports (id, repository, made_at, made_by, doing) VALUES ($1, 'vault', 9, 'anna', 'taking')`, []any{id}},
		} {
			if _, err := db.ExecContext(t.Context(), s.query, s.args...); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return snapshot
	}
	await := func(snapshot string) {
		t.Helper()
		e2e.Await(t, "the import to be finished", func() error {
			n, err := p.Store.SnapshotByID(t.Context(), "vault", snapshot)
			if err == nil && n.SourceGroup != "letters" {
				err = fmt.Errorf("it is %+v", n)
			}
			list, _, errs := p.Store.Imports(t.Context(), "vault")
			for _, i := range list {
				if i.Doing != "" {
					err = fmt.Errorf("%s goes on", i.ID)
				}
			}
			if err == nil {
				err = errs
			}
			return err
		})
	}
	first := begin(1)
	ctx, stop := context.WithCancel(t.Context())
	running := make(chan error, 1)
	go func() { running <- p.Run(ctx) }()
	await(first)
	await(begin(2))
	stop()
	if err := <-running; err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
