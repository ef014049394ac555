package store

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// What changed stands in the audit log, from what to what, for every subject that
// people change; of a secret, only that it has changed.
func TestTheAuditLogSaysWhatChanged(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	nas, attic := enrolled(t, s, "nas"), enrolled(t, s, "attic")
	r := Repository{ID: "vault-0001", Name: "vault", Location: "/srv/vault"}
	a := RepositoryAccess{URL: "rest:http://u:canary-1@nas/", Password: "canary-2",
		Env: map[string]topics.Secret{"A": "canary-3", "B": "canary-4"}}
	other := Repository{ID: "other-0001", Name: "cellar", Location: "/srv/cellar"}
	for _, x := range []NewRepository{{r, a}, {other, a}} {
		if err := s.AddRepository(ctx, "test", x.Repository, x.RepositoryAccess); err != nil {
			t.Fatal(err)
		}
	}
	must(s.PutSourceGroup(ctx, "test", SourceGroup{ID: "group-0001", Host: attic.ID, Name: "letters", Repository: r.ID,
		Paths: List{"/a", "/b"}, Hooks: JSON[topics.Hooks]{V: &topics.Hooks{Before: []string{"dump"}}}}))
	must(s.PutSchedule(ctx, "test", attic.ID, "nightly", "sched-0001", func(sc *Schedule) error {
		sc.Cron, sc.Zone, sc.Enabled, sc.Groups = "30 2 * * *", "UTC", true, []topics.SourceGroupID{"group-0001"}
		return nil
	}))
	if err := s.AddUser(ctx, "test", User{ID: "ada-00001", Name: "ada", Role: Viewer}); err != nil {
		t.Fatal(err)
	}
	if err := s.AddMQTTUser(ctx, Maker{Name: "test"}, MQTTUser{Name: "home", KeyHash: []byte("canary-5")}); err != nil {
		t.Fatal(err)
	}

	last := func() string {
		t.Helper()
		return must(get[string](ctx, s.r, `SELECT detail FROM audit ORDER BY n DESC LIMIT 1`))
	}
	for _, c := range []struct {
		subject string
		change  func() error
		want    string
	}{
		{"repository", func() error {
			_, err := s.EditRepository(ctx, "anna", r.ID, func(r *Repository, a *RepositoryAccess) error {
				r.Keeper, r.AppendOnly, r.Keep.V = nas.ID, true, &Keep{Within: "30d"}
				a.Password, a.Env["A"], a.Env["C"] = "canary-6", "canary-7", "canary-8"
				delete(a.Env, "B")
				return nil
			})
			return err
		}, "vault: append_only: false → true, keep_within: none → 30d, keeper: none → nas, password: changed, A: changed, B: removed, C: set"},
		{"retention alone, changed in place", func() error {
			_, err := s.EditRepository(ctx, "anna", r.ID, func(r *Repository, _ *RepositoryAccess) error {
				r.Keep.V.Within, r.Keep.V.WithinMonthly = "60d", "1y"
				return nil
			})
			return err
		}, "vault: keep_within: 30d → 60d, keep_within_monthly: none → 1y"},
		{"nothing", func() error {
			_, err := s.EditRepository(ctx, "anna", r.ID, func(*Repository, *RepositoryAccess) error { return nil })
			return err
		}, "vault"},
		{"source group", func() error {
			_, err := s.EditSourceGroup(ctx, "anna", attic.ID, "letters", nil, func(g *SourceGroup, _ bool) error {
				g.Paths[0], g.Hooks.V.Before = "/c", []string{"dump", "stop"} // in place
				g.Repository, g.Name = other.ID, "mail"
				return nil
			})
			return err
		}, "mail: name: letters → mail, paths: added /c; removed /a, before: dump → dump, stop, repository: vault → cellar"},
		{"schedule", func() error {
			_, err := s.PutSchedule(ctx, "anna", attic.ID, "nightly", "", func(sc *Schedule) error {
				sc.Cron, sc.Zone, sc.RetryMax, sc.Groups = "0 3 * * *", "Europe/Berlin", 3, nil
				return nil
			})
			return err
		}, "nightly: cron: 30 2 * * * → 0 3 * * *, zone: UTC → Europe/Berlin, retry_max: 0 → 3, source_groups: removed mail"},
		{"schedule, paused", func() error {
			_, err := s.PutSchedule(ctx, "anna", attic.ID, "nightly", "", func(sc *Schedule) error {
				sc.Enabled, sc.PausedUntil = false, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC).UnixMilli()
				return nil
			})
			return err
		}, "nightly: enabled: true → false, paused_until: none → 2030-01-02T03:04:05Z"},
		{"hours", func() error {
			return s.PutHours(ctx, "anna", r.ID, func([]MaintenanceHours) ([]MaintenanceHours, error) {
				return []MaintenanceHours{{Repository: r.ID, Kind: topics.ForgetJob, Weekday: -1, Minute: 4 * 60}}, nil
			})
		}, "forget: due: none → daily 04:00"},
		{"hours, again", func() error {
			return s.PutHours(ctx, "anna", r.ID, func(rows []MaintenanceHours) ([]MaintenanceHours, error) {
				rows[0].Weekday, rows[0].Paused = 1, true
				return rows, nil
			})
		}, "forget: paused: false → true, due: daily 04:00 → monday 04:00"},
		{"user", func() error {
			role := Admin
			_, _, err := s.ChangeUser(ctx, "anna", "ada-00001", UserChange{Role: &role})
			return err
		}, "ada: viewer to admin"},
		{"consumer", func() error {
			yes := true
			_, err := s.ChangeMQTTUser(ctx, Maker{Name: "anna"}, "home", MQTTUserChange{MayDo: &yes, KeyHash: []byte("canary-9")})
			return err
		}, "home: may_do: false → true, made by: test → anna, password: changed"},
	} {
		if err := c.change(); err != nil {
			t.Fatalf("%s: %v", c.subject, err)
		}
		if got := last(); got != c.want || strings.Contains(got, "canary") {
			t.Errorf("%s:\n got %q\nwant %q", c.subject, got, c.want)
		}
	}
}
