package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestALongListOfSchedulesHasPages: fifty on each, in the order of the whole list; a
// search looks at names of schedules, hosts and groups.
func TestALongListOfSchedulesHasPages(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	groups := must(w.store.SourceGroups(t.Context(), attic.id))
	for i := range 120 {
		id := topics.ScheduleID(fmt.Sprintf("%026d", i))
		must(w.store.PutSchedule(t.Context(), "test", attic.id, fmt.Sprintf("Nightly-%03d", i), id, func(sc *store.Schedule) error {
			sc.Cron, sc.Zone, sc.Enabled, sc.Groups = "0 2 * * *", "UTC", true, []topics.SourceGroupID{groups[0].ID}
			return nil
		}))
	}
	c := w.person(store.Viewer)
	for _, q := range []struct {
		query string
		shown int
		first string
	}{{"", 50, "Nightly-000"}, {"?page=2", 50, "Nightly-050"}, {"?page=3", 20, "Nightly-100"}, {"?page=9", 20, "Nightly-100"},
		{"?page=-1", 50, "Nightly-000"}, {"?q=nightly-07", 10, "Nightly-070"}, {"?q=LETTERS&page=3", 20, "Nightly-100"},
		{"?q=attic", 50, "Nightly-000"}, {"?q=nobody", 0, ""}} {
		text := c.shows("/schedules" + q.query)
		rows := strings.Split(text, `<a class="name"`)[1:]
		for i, r := range rows {
			_, rows[i], _ = strings.Cut(r, ">")
		}
		if len(rows) != q.shown || q.shown > 0 && !strings.HasPrefix(rows[0], q.first) {
			t.Errorf("%q: %d rows from %.20q", q.query, len(rows), strings.Join(rows[:min(len(rows), 1)], ""))
		}
	}
}
