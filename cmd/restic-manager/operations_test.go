package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// said runs a command line and answers with what it printed for people and
// machines together, and its exit status.
func said(t *testing.T, args ...string) (string, int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, errs := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = w, w
	read := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, r)
		read <- b.String()
	}()
	code := run(t.Context(), args)
	os.Stdout, os.Stderr = out, errs
	_ = w.Close()
	return <-read, code
}

func TestRepositoriesAndJobsByCommandLine(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ctx := context.Background()
	open := func() *store.Store {
		s, err := store.Open(ctx, data, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	s := open()
	hosts := map[string]topics.HostID{}
	for _, name := range []string{"attic", "nas"} {
		id := topics.NewID(time.Now())
		hash := sha256.Sum256([]byte(id))
		if err := s.AddEnrollToken(ctx, store.EnrollToken{
			ID:        id,
			KeyHash:   hash[:],
			Name:      name,
			CreatedBy: "test",
			ExpiresAt: s.Now() + 60_000,
		}); err != nil {
			t.Fatal(err)
		}
		h, err := s.Enroll(ctx, hash[:], store.Host{ID: topics.HostID(id), SealKey: []byte("k"), Serial: "1", Hostname: name})
		if err != nil {
			t.Fatal(err)
		}
		hosts[name] = h.ID
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "restic-manager.db"))
	if err == nil { // as its agent says
		_, err = db.Exec(`UPDATE hosts SET can = '["drills"]' WHERE name = 'nas'`)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	did := func(want int, args ...string) string {
		t.Helper()
		text, code := said(t, append(args, "--data", data)...)
		if code != want {
			t.Fatalf("%v: exit status %d, want %d: %s", args, code, want, text)
		}
		if strings.Contains(text, "canary") {
			t.Errorf("%v tells a secret: %s", args, text)
		}
		return strings.TrimSpace(text)
	}

	id := did(0, "repository", "add", "nas", "--url", "rest:http://nas:8000/attic", "--password-file", file("password", "canary-1\n"),
		"--env-file", file("env", "# everyday\nRESTIC_REST_USERNAME=attic\nRESTIC_REST_PASSWORD=canary-2\n"))
	did(0, "repository", "set", "nas", "--keeper", "nas", "--append-only", "--keep", "within=30d;within-daily=1y",
		"--maintenance-env-file", file("maintenance", "RESTIC_REST_USERNAME=keeper\nRESTIC_REST_PASSWORD=canary-3"), "--maintenance-url",
		"rest:http://nas:8001/attic")
	r, err := s.Repository(ctx, topics.RepositoryID(id))
	if err != nil || r.Keeper != hosts["nas"] || !r.AppendOnly || r.Keep.V == nil || r.Keep.V.WithinDaily != "1y" {
		t.Fatalf("saved %+v, %v", r, err)
	}
	a, err := s.RepositoryAccess(ctx, r.ID)
	if err != nil || a.Password != "canary-1" || a.Env["RESTIC_REST_PASSWORD"] != "canary-2" ||
		a.Maintenance.Env["RESTIC_REST_PASSWORD"] != "canary-3" {
		t.Errorf("the secrets are not what the files hold: %v", err)
	}
	if text := did(0, "repository", "show", "nas"); !strings.Contains(text, "Keeper") ||
		!strings.Contains(text, "rest:http://nas:8000/attic") {
		t.Error(text)
	}
	if text := did(0, "repository", "list"); !strings.Contains(text, id) {
		t.Error(text)
	}
	if text := did(1, "repository", "set", "nas", "--keep", "daily=7"); !strings.Contains(text, "append-only") {
		t.Errorf("counts on an append-only repository: %s", text)
	}
	if text := did(1, "repository", "add", "nas", "--url", "/srv/x", "--password-file", file("other", "hush")); !strings.Contains(text,
		"of this name already") {
		t.Errorf("a name twice: %s", text)
	}

	g, err := s.PutSourceGroup(ctx, "test", store.SourceGroup{
		ID:         "group-0001",
		Host:       hosts["attic"],
		Name:       "letters",
		Repository: r.ID,
		Paths:      store.List{"/letters"},
	})
	if err != nil {
		t.Fatal(err)
	}
	whole := strings.Repeat("a", 64)
	for kind, args := range map[topics.JobKind][]string{
		topics.BackupJob:    {"--host", "attic", "--source-group", g.Name},
		topics.InitJob:      nil,
		topics.SnapshotsJob: nil,
		topics.StatsJob:     nil,
		topics.KeyJob:       nil,
		topics.LocksJob:     nil,
		topics.DrillJob:     {"--files", "5", "--bytes", "1000"},
		topics.ForgetJob:    {"--snapshots", whole},
		topics.PruneJob:     {"--dry-run"},
		topics.CheckJob:     {"--subset", "1/12"},
		topics.UnlockJob:    nil,
		topics.DiffJob:      {"--from", whole, "--to", whole},
		topics.FindJob:      {"--pattern", "*.txt"},
		topics.RestoreJob:   {"--snapshot", whole, "--target", "/var/tmp/back", "--path", "/letters/a,b.txt", "--path", "/letters/c.txt"},
	} {
		args = append([]string{"job", "start", "--kind", string(kind)}, args...)
		if kind != topics.BackupJob {
			args = append(args, "--host", "nas", "--repository", "nas")
		}
		job := did(0, args...)
		j, err := s.Job(ctx, topics.JobID(job))
		if err != nil || j.Kind != kind || j.State != topics.Queued || j.RequestedBy != actor {
			t.Errorf("%s: %+v, %v", kind, j, err)
		}
		if kind == topics.RestoreJob && (len(j.Operation.V.Paths) != 2 || j.Operation.V.Paths[0] != "/letters/a,b.txt") {
			t.Errorf("restore asks for %+v", j.Operation.V)
		}
		if text := did(0, "job", "show", job); !strings.Contains(text, string(kind)) {
			t.Error(text)
		}
		did(0, "job", "log", job)
	}
	if text := did(0, "job", "list", "--host", "nas"); strings.Count(text, "queued") != 13 {
		t.Errorf("the list of nas:\n%s", text)
	}
	for says, args := range map[string][]string{
		"Its keeper, the host nas, alone may prune": {"--host", "attic", "--kind", "prune", "--repository", "nas"},
		"is not n/t":                  {"--host", "nas", "--kind", "check", "--repository", "nas", "--subset", "half"},
		"no host":                     {"--host", "cellar", "--kind", "check", "--repository", "nas"},
		"there is no repository":      {"--host", "nas", "--kind", "check", "--repository", "vault"},
		"check needs one":             {"--host", "nas", "--kind", "check"},
		"climbs up":                   {"--host", "nas", "--kind", "restore", "--repository", "nas", "--snapshot", whole, "--target", "/a/../b"},
		"mean nothing to a job":       {"--host", "nas", "--kind", "stats", "--repository", "nas", "--all"},
		"goes where its source group": {"--host", "attic", "--kind", "backup", "--repository", "nas"},
	} {
		if text := did(1, append([]string{"job", "start"}, args...)...); !strings.Contains(text, says) {
			t.Errorf("%v: %s; want %q", args, text, says)
		}
	}
	if text := did(1, "repository", "remove", "nas"); !strings.Contains(text, "in use") {
		t.Error(text)
	}
}
