package web

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// TestEveryOutcomeHasItsWords: each has a word, an icon and a tone of its own words.
func TestEveryOutcomeHasItsWords(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range slotlog.Outcomes {
		s := views.SlotStatus(string(o))
		if s.Word == "Unknown" || s.Icon == "" || s.Tone == "" || seen[s.Word] {
			t.Errorf("%s is shown as %+v", o, s)
		}
		seen[s.Word] = true
	}
}

func TestTheSlotsOfAScheduleAreListed(t *testing.T) {
	w := newWorld(t)
	c := w.program(store.Viewer)
	attic := w.enrol("attic")
	attic.group("letters")
	service := &schedule.Service{Store: w.store, Now: time.Now}
	sc, err := service.Put(t.Context(), "test", attic.id, "nightly", schedule.Input{Cron: new("@daily"), SourceGroups: &[]string{"letters"}})
	if err != nil {
		t.Fatal(err)
	}
	first := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	if err := w.store.SlotStep(t.Context(), func(tx store.Slots) error {
		ctx, x := tx.Tx()
		for n := range 30 {
			r := slotlog.Row{Schedule: sc.ID, Group: sc.Groups[0], Host: attic.id, Slot: first.AddDate(0, 0, n).UnixMilli(),
				Outcome: slotlog.Ran, Job: "a-job-000001", At: 1}
			if n == 10 {
				r.Outcome, r.Cause = slotlog.Failed, topics.CauseLocked
			}
			if n == 29 {
				r.Outcome, r.Job, r.Reason = slotlog.MissedOffline, "", "Its host was not connected."
			}
			if err := slotlog.Put(ctx, x, r); err != nil {
				return err
			}
		}
		return slotlog.Serve(ctx, x, slotlog.Row{Schedule: sc.ID, Group: sc.Groups[0], Host: attic.id,
			Slot: first.AddDate(0, 0, 30).UnixMilli(), Job: "a-job-000002"}) // in hand: it has no outcome yet
	}); err != nil {
		t.Fatal(err)
	}
	at := "/api/hosts/" + string(attic.id) + "/schedules/nightly/slots"
	type row struct {
		Slot        time.Time `json:"slot"`
		SourceGroup string    `json:"source_group"`
		Outcome     string    `json:"outcome"`
		Job         *string   `json:"job"`
		Reason      string    `json:"reason"`
	}
	day := func(n int) string { return first.AddDate(0, 0, n).Format(time.RFC3339) }
	for _, c2 := range []struct {
		query string
		from  int
		to    int
		n     int
	}{
		{"", 29, 0, 30},
		{"?limit=3", 29, 27, 3},
		{"?limit=3&before=" + day(27), 26, 24, 3},
		{"?after=" + day(9), 10, 29, 20},
		{"?limit=2&after=" + day(27), 28, 29, 2},
		{"?after=" + day(29), 0, 0, 0},
	} {
		var rows []row
		c.do("GET", at+c2.query, nil).json(t, &rows)
		if len(rows) != c2.n || c2.n > 0 && (!rows[0].Slot.Equal(first.AddDate(0, 0, c2.from)) ||
			!rows[len(rows)-1].Slot.Equal(first.AddDate(0, 0, c2.to))) {
			t.Errorf("%q: %d rows, %+v", c2.query, len(rows), rows)
		}
	}
	var rows []row
	c.do("GET", at+"?limit=1", nil).json(t, &rows)
	if r := rows[0]; r.Outcome != "missed-offline" || r.Job != nil || r.Reason != "Its host was not connected." || r.SourceGroup != "letters" {
		t.Errorf("a missed one: %+v", r)
	}
	c.do("GET", at+"?limit=1&after="+day(9), nil).json(t, &rows)
	if r := rows[0]; r.Outcome != "failed" || r.Job == nil || !strings.Contains(r.Reason, "locked") {
		t.Errorf("a failed one: %+v", r)
	}
	for query, status := range map[string]int{"?limit=0": 422, "?after=yesterday": 422, "?limit=1001": 422} {
		if r := c.do("GET", at+query, nil); r.StatusCode != status {
			t.Errorf("%s: %s", query, r.Status)
		}
	}
	if r := c.do("GET", strings.Replace(at, "nightly", "nothing", 1), nil); r.StatusCode != 404 {
		t.Errorf("of no schedule: %s", r.Status)
	}

	admin, viewer := w.person(store.Admin), w.person(store.Viewer)
	form, page := views.ScheduleURL(string(attic.id), "nightly"), views.SlotsURL(string(attic.id), "nightly")
	for _, seen := range []struct {
		who *client
		url string
	}{{admin, form}, {admin, page}, {viewer, page}} {
		older := fmt.Sprintf("%s?before=%d#slots", seen.url, first.AddDate(0, 0, 10).UnixMilli())
		text := seen.who.shows(seen.url, "Missed: host offline", "Its host was not connected.", "/jobs/a-job-000001", older)
		if offered := strings.Contains(text, `href="`+form+`"`); seen.url == page && offered != (seen.who == admin) {
			t.Errorf("to change it is offered: %t", offered)
		}
	}
	for _, leads := range []string{"/schedules", "/hosts/" + string(attic.id)} {
		viewer.shows(leads, `href="`+page+`"`)
	}
	if r := viewer.do("GET", strings.Replace(page, "nightly", "nothing", 1), nil); r.StatusCode != 404 {
		t.Errorf("the page of no schedule: %s", r.Status)
	}
}
