package web

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
)

// Every host that the first line counts is found below it.
func TestAnOverdueHostNeedsAttentionByName(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	settings := hosts.Settings{Store: w.store}
	if _, err := settings.Put(t.Context(), "test", attic.id, hosts.Input{Intermittent: new(true), OverdueDays: new(int64(3))}); err != nil {
		t.Fatal(err)
	}
	ended := time.Now().AddDate(0, 0, -4).UnixMilli()
	if err := w.store.AddPast(t.Context(), []store.Past{{
		Job: store.Job{ID: "job-000001", Host: attic.id, Kind: topics.BackupJob, SourceGroup: g.ID, Repository: g.Repository,
			State: topics.Succeeded, QueuedAt: ended - 60_000, StartedAt: ended - 60_000, FinishedAt: ended,
			Summary: column.JSON[topics.Summary]{V: &topics.Summary{TotalFiles: 3, TotalBytes: 7}}},
		Snapshot: &topics.Snapshot{ID: strings.Repeat("ab", 32), Time: ended, Tags: []string{"plan=" + string(g.ID)}},
	}}, nil); err != nil {
		t.Fatal(err)
	}
	text := w.person(store.Viewer).do("GET", "/", nil).text
	_, card, _ := strings.Cut(text, `id="attention"`)
	card, _, _ = strings.Cut(card, "</section>")
	for _, want := range []string{`<span class="count" title="1 host">1</span>`, ">attic</a>", "no good backup within the limit of 3 days",
		"The last good backup was 4 d", "View host"} {
		if !strings.Contains(card, want) {
			t.Errorf("no %q in what needs attention: %s", want, card)
		}
	}
	if !strings.Contains(text, "1 host needs attention") {
		t.Error("the first line counts another number")
	}
	// Once its agent is trusted no longer, it does not come back by itself.
	admin := w.person(store.Admin)
	const retire, remove = `">Retire…<`, `/remove">Remove…<`
	offers := func(who *client, want bool) {
		t.Helper()
		_, card, _ := strings.Cut(who.do("GET", "/", nil).text, `id="attention"`)
		card, _, _ = strings.Cut(card, "</section>")
		if strings.Contains(card, retire) != want || strings.Contains(card, remove) != want {
			t.Errorf("to retire and to remove it is offered: not %t: %s", want, card)
		}
	}
	offers(admin, false)
	if r := admin.do("POST", "/hosts/"+string(attic.id)+"/revoke", nil); r.StatusCode >= 400 {
		t.Fatalf("revoke: %s", r.Status)
	}
	offers(admin, true)
	offers(w.person(store.Operator), false)
	admin.shows("/", "It is revoked: nothing is backed up until it is enrolled again.")
	admin.shows("/hosts/"+string(attic.id), `id="care-h"`)
	admin.shows("/hosts/"+string(attic.id)+"/remove", "Remove attic?")
	if r := admin.do("POST", "/hosts/"+string(attic.id)+"/retired", url.Values{"on": {"true"}}); r.StatusCode >= 400 {
		t.Fatalf("retire: %s", r.Status)
	}
	offers(admin, false)
}
