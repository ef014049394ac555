package schedule

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A board that follows changes and the clock says what one says that is read anew.
func TestABoardFollowsWhatChanges(t *testing.T) {
	w := newWorld(t, open(t))
	var hosts []topics.HostID
	groups := map[topics.HostID][]topics.SourceGroupID{}
	add := func() {
		h := w.host(fmt.Sprintf("web-%d", len(hosts)))
		hosts = append(hosts, h)
		groups[h] = append(groups[h], w.group(h, "letters"), w.group(h, "photos"))
	}
	add()
	rapid.Check(t, func(r *rapid.T) {
		b := NewBoard(w.store, func() time.Time { return w.now })
		some := func(r *rapid.T) topics.HostID { return rapid.SampledFrom(hosts).Draw(r, "host") }
		r.Repeat(map[string]func(*rapid.T){
			"host": func(r *rapid.T) {
				if len(hosts) > 2 {
					r.Skip()
				}
				add()
			},
			"put": func(r *rapid.T) {
				h := some(r)
				w.put(h, rapid.SampledFrom([]string{"nightly", "hourly"}).Draw(r, "name"), func(sc *store.Schedule) {
					sc.Cron = rapid.SampledFrom([]string{"0 0 * * *", "*/20 * * * *", "0 12 1 * *", "nonsense"}).Draw(r, "cron")
					sc.Zone, sc.Enabled, sc.RetryMax = "Europe/Berlin", rapid.Bool().Draw(r, "enabled"), 3
					sc.JitterSeconds = rapid.SampledFrom([]int{0, 7200}).Draw(r, "jitter")
					sc.Groups = groups[h][:rapid.IntRange(0, 2).Draw(r, "groups")]
				})
			},
			"remove": func(r *rapid.T) {
				if err := w.store.DeleteSchedule(ctx, "test", some(r), "nightly"); err != nil && !errors.Is(err, store.ErrNotFound) {
					r.Fatal(err)
				}
			},
			"rename": func(r *rapid.T) {
				w.exec(`UPDATE hosts SET name = ? WHERE id = ?`, topics.NewID(w.now), some(r))
			},
			"group goes": func(r *rapid.T) {
				h := some(r)
				w.exec(`DELETE FROM source_groups WHERE id = ?`, groups[h][1])
				groups[h][1] = w.group(h, "letters "+topics.NewID(w.now))
			},
			"fire": func(r *rapid.T) {
				w.exec(`UPDATE schedules SET last_slot = ? WHERE host = ?`, w.now.UnixMilli(), some(r))
			},
			"wait": func(r *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 30*60).Draw(r, "minutes")) * time.Minute)
			},
			"the clock is set back": func(r *rapid.T) {
				w.now = w.now.Add(-time.Duration(rapid.IntRange(1, 30*60).Draw(r, "minutes")) * time.Minute)
				// Somebody looks several times a second: a board cannot know of a clock
				// that goes back and forth between two looks.
				must(b.Now(ctx))
			},
			"": func(r *rapid.T) {
				got := must(b.Now(ctx))
				want := must(NewBoard(w.store, func() time.Time { return w.now }).Now(ctx))
				if got.Load != want.Load {
					r.Fatalf("the load is %v, read anew %v", got.Load, want.Load)
				}
				if !reflect.DeepEqual(got.Unplanned, want.Unplanned) {
					r.Fatalf("not planned are %v, read anew %v", got.Unplanned, want.Unplanned)
				}
				if !reflect.DeepEqual(got.rows, want.rows) {
					r.Fatalf("the list is\n%+v, read anew\n%+v", got.rows, want.rows)
				}
				if must(b.Now(ctx)) != got {
					r.Fatal("nothing changed, and it is another moment")
				}
			},
		})
	})
}

// A reading that fails loses nothing, and leaves the board to be read again.
func TestABoardOutlivesAReadingThatFails(t *testing.T) {
	w := newWorld(t, open(t))
	h := w.host("attic")
	w.nightly(h, "nightly", w.group(h, "letters"))
	b := NewBoard(w.store, func() time.Time { return w.now })
	gone, leave := context.WithCancel(ctx)
	leave()
	if _, err := b.Now(gone); err == nil {
		t.Error("a reading that was cut off is no failure")
	}
	if m := must(b.Now(ctx)); len(m.Search("NIGHT")) != 1 || len(m.Unplanned) != 0 {
		t.Errorf("the list is %+v", m)
	}
	w.group(h, "photos")
	if _, err := b.Now(gone); err == nil {
		t.Error("a reading that was cut off is no failure")
	}
	if m := must(b.Now(ctx)); len(m.Unplanned) != 1 || m.Unplanned[0].Group != "photos" {
		t.Errorf("not planned are %+v", m.Unplanned)
	}
}

// A search looks at names of schedules, hosts and groups; the list is by name.
func TestSchedulesAreFound(t *testing.T) {
	w := newWorld(t, open(t))
	for i := range 3 {
		h := w.host(fmt.Sprintf("Web-%d-", 2-i))
		w.nightly(h, "nightly", w.group(h, "letters"))
	}
	h := w.host("attic")
	w.nightly(h, "evening", w.group(h, "photos"))
	m := must(NewBoard(w.store, func() time.Time { return w.now }).Now(ctx))
	for text, want := range map[string][]string{
		"":        {"evening", "Web-0", "Web-1", "Web-2"},
		"web-1":   {"Web-1"},
		"LETTERS": {"Web-0", "Web-1", "Web-2"},
		"even":    {"evening"},
		"nobody":  {},
	} {
		found := m.Search(text)
		if len(found) != len(want) {
			t.Errorf("%q finds %d schedules, want %d", text, len(found), len(want))
			continue
		}
		for i, r := range found {
			if !strings.HasPrefix(r.HostName, want[i]) && r.Name != want[i] {
				t.Errorf("%q finds %s of %s at place %d, want %s", text, r.Name, r.HostName, i, want[i])
			}
		}
	}
}

// The load counts the runs that begin, not slots that lie before a schedule was made
// or that have fired already, and says when it is another one.
func TestTheLoadCountsTheRunsThatBegin(t *testing.T) {
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	daily := store.Schedule{ID: "nightly-0001", Cron: "0 9 * * *", Zone: "UTC", JitterSeconds: 86400, Enabled: true}
	inside := func() bool { // the day: the run of today's slot has not begun, that of tomorrow's is more than a day away
		late := Offset(must(Of(daily)))
		return late > 2*time.Hour && late < 22*time.Hour
	}
	for n := 2; !inside(); n++ {
		daily.ID = topics.ScheduleID(fmt.Sprintf("nightly-%04d", n))
	}
	begins := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC).Add(Offset(must(Of(daily))))
	count := func(sc store.Schedule, now time.Time) (n int, until time.Time) {
		l, until := LoadOf(sc, now)
		for _, runs := range l {
			n += runs
		}
		return n, until
	}
	if n, until := count(daily, now); n != 1 || !until.Equal(begins) {
		t.Errorf("%d runs in a day, until %s; want today's, until %s", n, until, begins)
	}
	daily.Since = now.UnixMilli() // tomorrow's slot begins after the day's end
	n, until := count(daily, now)
	if n != 0 {
		t.Errorf("made just now, %d runs in a day", n)
	}
	if n, _ := count(daily, until.Add(-1)); n != 0 {
		t.Errorf("%d runs before the moment at which it is another load", n)
	}
	if n, _ := count(daily, until); n != 1 {
		t.Errorf("%d runs from the moment on at which it is another load", n)
	}
	daily.Since, daily.Enabled = 0, false
	if n, until := count(daily, now); n != 0 || !until.IsZero() {
		t.Errorf("paused, %d runs, until %s", n, until)
	}
}
