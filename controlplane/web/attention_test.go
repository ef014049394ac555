package web

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/store"
)

// Every host that the first line counts is found below it.
func TestAnOverdueHostNeedsAttentionByName(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	settings := hosts.Settings{Store: w.store}
	if _, err := settings.Put(t.Context(), "test", attic.id, hosts.Input{Intermittent: new(true), OverdueDays: new(int64(3))}); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Backdate(t.Context(), attic.id, time.Now().AddDate(0, 0, -10).UnixMilli(), 0, 0); err != nil {
		t.Fatal(err)
	}
	text := w.person(store.Viewer).do("GET", "/", nil).text
	_, card, _ := strings.Cut(text, `id="attention"`)
	card, _, _ = strings.Cut(card, "</section>")
	for _, want := range []string{`<span class="count">1</span>`, ">attic</a>", "No good backup for 3 days",
		"There is no good backup yet.", "View host"} {
		if !strings.Contains(card, want) {
			t.Errorf("no %q in what needs attention: %s", want, card)
		}
	}
	if !strings.Contains(text, "1 host needs attention") {
		t.Error("the first line counts another number")
	}
}
