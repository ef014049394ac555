package delivery

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	generated "github.com/restic-manager/restic-manager/e2e/fleet"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/storetest"
)

func summaryOf(t *testing.T, s *store.Store, d routing.Digest) channels.Message {
	t.Helper()
	presence := hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil)
	sum := &Summary{Store: s, Fleet: fleet.NewBoard(s, presence, time.Now), Said: said,
		PublicURL: func(context.Context) string { return "https://backups.example/" }}
	m, err := sum.Of(t.Context(), d, time.Now().Add(-d.Span()), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func row(t *testing.T, m channels.Message, name string) channels.Row {
	t.Helper()
	for _, r := range m.Rows {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("%q has no row %q", m.Title, name)
	return channels.Row{}
}

func TestADigestSaysHowEverythingIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := generated.Make(t.Context(), dir, generated.Size{Hosts: 60, Days: 40}); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &world{T: t, store: s, queue: &Queue{Store: s}}
	w.open(failed("a", alerts.Critical), failed("b", alerts.Warning))
	for _, d := range []routing.Digest{{Every: routing.Daily}, {Every: routing.Weekly}} {
		m := summaryOf(t, s, d)
		if m.Event != "digest" || m.Link != "https://backups.example/alerts?state=open" || len(m.Alerts) != 2 || m.Alerts[0].ID != "a" ||
			!strings.Contains(m.Title, "of 60 hosts not protected") {
			t.Errorf("it says %+v", m)
		}
		for name, want := range map[string]string{"Protected": "of 60 hosts", "Not protected": "host", "Backups": "ended", "Missed": "",
			"Growth": "stored", "Proven restorable": "of 60 hosts", "Open alerts": "2"} {
			if r := row(t, m, name); !strings.Contains(r.Value, want) || len(r.Lines) > mostLines+1 {
				t.Errorf("%s: %s is %+v", d.Every, name, r)
			}
		}
		if r := row(t, m, "Not protected"); len(r.Lines) == 0 || !strings.Contains(r.Lines[0], ": ") {
			t.Errorf("who is not protected: %+v", r)
		}
		t.Log(m.Title, m.Text)
		for _, r := range m.Rows {
			t.Log(r.Name, ":", r.Value, r.Lines)
		}
	}
}

func TestADigestOfAFreshServer(t *testing.T) {
	m := summaryOf(t, storetest.Open(t, store.Open), routing.Digest{Every: routing.Daily})
	if m.Title != "No host yet" || m.Link != "https://backups.example/" || row(t, m, "Open alerts").Value != "none" {
		t.Errorf("it says %+v", m)
	}
}
