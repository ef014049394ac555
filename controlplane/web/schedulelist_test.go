package web

import (
	"fmt"
	"testing"

	"github.com/restic-manager/restic-manager/views"
)

// TestALongListOfSchedulesHasPages: fifty on each, in the order of the whole list; a
// search looks at names of schedules, hosts and groups.
func TestALongListOfSchedulesHasPages(t *testing.T) {
	all := &views.Schedules{}
	for i := range 120 {
		all.Rows = append(all.Rows, views.ScheduleRow{Name: "nightly", Host: fmt.Sprintf("Web-%03d", i), Groups: "letters"})
	}
	for _, c := range []struct {
		text        string
		page, shown int
		first       string
	}{{"", 1, 50, "Web-000"}, {"", 2, 50, "Web-050"}, {"", 3, 20, "Web-100"}, {"", 9, 20, "Web-100"}, {"", -1, 50, "Web-000"},
		{"web-07", 1, 10, "Web-070"}, {"LETTERS", 3, 20, "Web-100"}, {"nobody", 1, 0, ""}} {
		l := schedulesShown(all, c.text, c.page)
		if len(l.Rows) != c.shown || c.shown > 0 && l.Rows[0].Host != c.first {
			t.Errorf("%q, page %d: %d rows from %+v", c.text, c.page, len(l.Rows), l.Rows[:min(len(l.Rows), 1)])
		}
	}
	if len(all.Rows) != 120 {
		t.Error("the whole list was changed")
	}
}
