package jobs

import (
	"errors"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestWhatAResticIsTooOldForIsRefusedAtTheDoor(t *testing.T) {
	in := topics.Operation{InPlace: true}
	for name, c := range map[string]struct {
		os, restic string
		kind       topics.JobKind
		o          topics.Operation
		since      string // "" is that it may
	}{
		"rewrite by 0.14":                {"linux", "0.14.0", topics.RewriteJob, topics.Operation{}, "0.15"},
		"rewrite by 0.15":                {"linux", "0.15.0", topics.RewriteJob, topics.Operation{}, ""},
		"rewrite by what is not known":   {"linux", "", topics.RewriteJob, topics.Operation{}, ""},
		"the index by 0.14":              {"linux", "0.14.0", topics.RepairJob, topics.Operation{What: topics.RepairIndex}, ""},
		"snapshots by 0.15":              {"linux", "0.15.2", topics.RepairJob, topics.Operation{What: topics.RepairSnapshots}, "0.16"},
		"packs by 0.16":                  {"linux", "0.16.5", topics.RepairJob, topics.Operation{What: topics.RepairPacks}, "0.17"},
		"packs by 0.17":                  {"linux", "0.17.3", topics.RepairJob, topics.Operation{What: topics.RepairPacks}, ""},
		"in place by 0.14":               {"linux", "0.14.0", topics.RestoreJob, in, ""},
		"in place by 0.14 on Windows":    {"windows", "0.14.0", topics.RestoreJob, in, "0.16"},
		"into a folder there":            {"windows", "0.14.0", topics.RestoreJob, topics.Operation{}, ""},
		"a backup by whatever there is":  {"linux", "0.14.0", topics.BackupJob, topics.Operation{}, ""},
		"a restore by what is not known": {"windows", "", topics.RestoreJob, in, ""},
	} {
		h := store.Host{Name: "attic", OS: c.os, ResticVersion: c.restic}
		h.Can.V = &[]topics.Ability{topics.RemakesSnapshots}
		err := Able(h, c.kind, c.o)
		var old *TooOldError
		if (c.since != "") != errors.As(err, &old) || err != nil && old == nil {
			t.Errorf("%s: %v", name, err)
		} else if old != nil && (old.Since != c.since || old.Restic != c.restic || old.What == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACopyBetweenTwoSSHServersTakesANewerRestic(t *testing.T) {
	w := newWorld(t)
	for id, at := range map[topics.RepositoryID]string{"sftp-0001": "sftp:anna@one:/srv/a", "sftp-0002": "sftp://anna@two:2222//srv/b",
		"sftp-0003": "sftp:anna@one:/srv/c", "rest-0001": "rest:https://three/"} {
		if err := w.store.AddRepository(t.Context(), "test", store.Repository{ID: id, Name: string(id), Location: at},
			store.RepositoryAccess{URL: topics.Secret(at), Password: "p"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		restic   string
		from, to topics.RepositoryID
		refused  bool
	}{
		{"0.14.0", "sftp-0001", "sftp-0002", true},
		{"0.16.4", "sftp-0002", "sftp-0001", true},
		{"0.16.5", "sftp-0001", "sftp-0002", false},
		{"0.14.0", "sftp-0001", "sftp-0003", false},
		{"0.14.0", "rest-0001", "sftp-0001", false},
		{"0.14.0", "sftp-0001", "rest-0001", false},
		{"", "sftp-0001", "sftp-0002", false},
	} {
		to := must(w.store.Repository(t.Context(), c.to))
		err := w.engine.bothSFTP(t.Context(), store.Host{Name: "attic", ResticVersion: c.restic}, Order{Repository: c.from}, to.Location)
		var old *TooOldError
		if errors.As(err, &old) != c.refused || err != nil && old == nil {
			t.Errorf("%s from %s to %s: %v", c.restic, c.from, c.to, err)
		}
	}
}
