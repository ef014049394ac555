package targets

import (
	"crypto/sha256"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Every host is listed, the owner first, and each that cannot says why, with the one command
// that its administrator runs, where one helps.
func TestEachHostSaysWhetherItMay(t *testing.T) {
	ctx := t.Context()
	s := storetest.Open(t, store.Open)
	enrol := func(id topics.HostID, name string, permits *topics.Permits) store.Host {
		hash := sha256.Sum256([]byte(id))
		if err := s.AddEnrollToken(ctx, store.EnrollToken{ID: "token-" + string(id), KeyHash: hash[:], CreatedBy: "test",
			ExpiresAt: s.Now() + 60_000}); err != nil {
			t.Fatal(err)
		}
		return must(s.Enroll(ctx, hash[:], store.Host{ID: id, SealKey: must(seal.NewKey()).Public(), Hostname: name,
			Permits: store.JSON[topics.Permits]{V: permits.Digested()}}))
	}
	all := []topics.JobKind{topics.BackupJob, topics.RestoreJob}
	const nas = "rest:https://nas/data"
	for _, h := range []store.Host{
		enrol("web-000001", "web", &topics.Permits{Kinds: all, Repositories: []string{nas}, BackupPins: true, RestoreRoots: []string{"/back"}}),
		enrol("desk-00001", "desk", &topics.Permits{Kinds: all, Anywhere: true, Overwrite: true}),
		enrol("attic-0001", "attic", &topics.Permits{Kinds: all, Repositories: []string{"rest:https://other"}, BackupPins: true,
			RestoreRoots: []string{"/back"}}),
		enrol("mute-00001", "mute", &topics.Permits{Kinds: all[:1], Anywhere: true}),
		enrol("fresh-0001", "fresh", &topics.Permits{Kinds: all, BackupPins: true, RestoreRoots: []string{"/back"}}),
		enrol("none-00001", "none", &topics.Permits{Kinds: all, Repositories: []string{nas}, BackupPins: true}),
		enrol("old-000001", "old", nil),
	} {
		if err := s.Born(ctx, h.ID, topics.Session{Epoch: 1, N: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for id, url := range map[topics.RepositoryID]string{"vault-0001": nas, "disk-0001": "/srv/vault"} {
		if err := s.AddRepository(ctx, "test", store.Repository{ID: id, Name: string(id), Location: url},
			store.RepositoryAccess{URL: topics.Secret(url), Password: "correct horse"}); err != nil {
			t.Fatal(err)
		}
	}
	for i, host := range []topics.HostID{"web-000001", "old-000001"} {
		must(s.PutSourceGroup(ctx, "test", store.SourceGroup{ID: topics.SourceGroupID([]string{"group-0001", "group-0002"}[i]), Host: host,
			Name: "data", Repository: "vault-0001", Paths: store.List{"/data"}}))
	}
	rows := must(s.Hosts(ctx))
	presence := hosts.NewPresence(hosts.DefaultTiming(), time.Now, rows)
	for _, h := range rows {
		presence.Born(h.ID, topics.Session{Epoch: 1, N: 2})
		presence.Greeted(h.ID, topics.Session{Epoch: 1, N: 2})
		if h.Permits.V != nil {
			presence.Permits(h.ID, h.Permits.V.Digest)
		}
	}
	e := jobs.New(jobs.Config{Store: s, Presence: presence, Hub: jobs.NewHub(), Log: slog.New(slog.DiscardHandler),
		Timing: jobs.DefaultTiming(), Now: time.Now})
	d := Desk{Store: s, Presence: presence, Jobs: e}

	list := must(d.List(ctx, "vault-0001", "web-000001", ""))
	var order []string
	of := map[string]Target{}
	for _, x := range list {
		order = append(order, x.Name)
		of[x.Name] = x
	}
	if got := strings.Join(order, " "); got != "web old desk attic fresh mute none" {
		t.Errorf("they are in the order %s", got)
	}
	for _, c := range []struct {
		name, why, command string
		giving             bool
	}{
		{"web", "", "", false},
		{"old", "", "", false},
		{"desk", "", "", true},
		{"attic", "lets it go to rest:https://other only.",
			"restic-manager-agent policy allow-repository rest:https://nas/data --state /var/lib/restic-manager-agent", false},
		{"fresh", "lets it go to no repository for this before it has backed up to one.",
			"restic-manager-agent policy allow-repository rest:https://nas/data --state /var/lib/restic-manager-agent", false},
		{"none", "names no directory that a restore may write to.",
			"restic-manager-agent policy allow-restore /var/lib/restic-manager-agent/restored --state /var/lib/restic-manager-agent", false},
		{"mute", "does not allow restore.",
			"restic-manager-agent policy allow-operation restore --state /var/lib/restic-manager-agent", false},
	} {
		x := of[c.name]
		if !strings.HasSuffix(x.Why, c.why) || (x.Why == "") != (c.why == "") || x.Command != c.command || (x.Giving != nil) != c.giving ||
			x.May() != (c.why == "") || !x.Online {
			t.Errorf("%s: %+v", c.name, x)
		}
		// Whoever may not is told why, what that means and what to do, each once.
		if refused := c.why != ""; refused != (x.Means != "") || refused != (x.Do != "") || strings.HasSuffix(x.Do, ":") != (x.Command != "") ||
			strings.Contains(x.Why, "Back up first") {
			t.Errorf("%s: %q %q %q", c.name, x.Why, x.Means, x.Do)
		}
	}
	if x := of["web"]; !x.Own || x.Overwrite || len(x.Roots) != 1 || x.Root != "/back" {
		t.Errorf("the owner: %+v", x)
	}
	for _, x := range must(d.List(ctx, "disk-0001", "web-000001", "web-000001")) {
		if x.Name == "desk" && !strings.Contains(x.Note, "own disk") || x.Name == "web" && x.Note != "" {
			t.Errorf("a path: %+v", x)
		}
	}
}
