package store

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/restic-manager/restic-manager/store/migrations"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// After an upgrade no host begins a repository anew where one was found before.
func TestAnOlderDatabaseKnowsWhereItsRepositoriesLie(t *testing.T) {
	db := must(dial(filepath.Join(t.TempDir(), fileName), 1))
	p := must(goose.NewProvider(goose.DialectSQLite3, db.DB, migrations.Files))
	must(p.UpTo(t.Context(), 239))
	must(db.Exec(`INSERT INTO hosts (id, name, created_at, seal_key, serial, hostname, os, arch, platform, agent_version, restic_version,
		policy)
		SELECT 'host-000' || value, 'h' || value, 1, x'00', '', '', '', '', '', '', '', '' FROM json_each('[1,2,3,4]')`))
	for id, r := range map[string]struct {
		location string
		ready    int
	}{
		"remote-ready": {"rest:https://nas/r", 50},
		"remote-new":   {"sftp:nas:/r", 0},
		"path-ready":   {"/r", 50},
		"path-new":     {`C:\r`, 0},
		"socket":       {"rest:http+unix:///run/r.sock:/", 50},
	} {
		must(db.Exec(`INSERT INTO repositories (id, name, url, location, password, env, created_at, ready_at)
			VALUES ($1, $1, x'00', $2, x'00', x'00', 1, $3)`, id, r.location, r.ready))
		must(db.Exec(`INSERT INTO repository_looks (repository, host, kind, good_at, bad_since)
			VALUES ($1, 'host-0001', 'open', $2, 0), ($1, 'host-0002', 'open', 0, 70)`, id, r.ready))
	}
	for host, job := range map[string]string{"host-0003": "j1", "host-0004": ""} { // the second is somebody else's of that name
		must(db.Exec(`INSERT INTO snapshots (repository, id, host, job, source_group, time, hostname, paths, tags, files, bytes)
			VALUES ('path-ready', $1, $1, $2, '', 40, '', '[]', '[]', 1, 1)`, host, job))
	}
	must(p.Up(t.Context()))
	got := must(all[places.Place](t.Context(), db, `SELECT * FROM places ORDER BY repository, host`))
	want := []places.Place{
		{Repository: "path-ready", Host: "host-0001", ReadyAt: 50},
		{Repository: "path-ready", Host: "host-0003", ReadyAt: 40},
		{Repository: "remote-ready", ReadyAt: 50},
		{Repository: "socket", Host: "host-0001", ReadyAt: 50},
	}
	if !slices.Equal(got, want) {
		t.Errorf("places are %+v\nwant %+v", got, want)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// Whoever had a repository before its address changed, has one to miss at the new one.
func TestAnotherAddressIsNoPlaceToBegin(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic, barn := enrolled(t, s, "attic"), enrolled(t, s, "barn")
	g := grouped(t, s, attic)
	ready := func(what string, attics, barns bool) {
		t.Helper()
		for host, want := range map[topics.HostID]bool{attic.ID: attics, barn.ID: barns} {
			if p := must(places.At(ctx, s.r, g.Repository, host)); p.Ready() != want {
				t.Errorf("%s: ready is %v, want %v", what, p.Ready(), want)
			}
		}
	}
	move := func(to string) {
		t.Helper()
		must(s.EditRepository(ctx, "anna", g.Repository, func(r *Repository, a *RepositoryAccess) error {
			r.Location, a.URL = to, topics.Secret(to)
			return nil
		}))
	}
	ready("new", false, false)
	move("rest:https://nas/r")
	ready("new and shared", false, false)
	move("/srv/vault")
	ran(t, s, Job{Host: attic.ID, Kind: topics.BackupJob, Repository: g.Repository, SourceGroup: g.ID}, 100,
		topics.Finished{State: topics.Failed, Cause: topics.CauseUnreachable})
	ready("after a failure", false, false)
	ran(t, s, Job{Host: attic.ID, Kind: topics.InitJob, Repository: g.Repository}, 200, topics.Finished{State: topics.Succeeded,
		RepositoryReady: true, Result: &topics.Result{Made: true}})
	ready("made at a path", true, false)
	if p := must(places.At(ctx, s.r, g.Repository, attic.ID)); p.MadeJob == "" || p.ReadyAt != 200 {
		t.Errorf("the place is %+v", p)
	}
	move("/srv/other")
	ready("another path", true, false)
	move("rest:https://nas/r")
	ready("shared", true, true)
	move("/srv/vault")
	ready("a path again", true, false)
}
