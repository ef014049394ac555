package explorer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A desk is an explorer whose clock is set by hand.
type desk struct {
	*Explorer
	now  time.Time
	last map[string]string
}

func newDesk(l Limits) *desk {
	d := &desk{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), last: map[string]string{}}
	d.Explorer = New(Config{Limits: l, Now: func() time.Time { return d.now }, Last: func(_ context.Context, topic string) ([]byte, error) {
		if text, is := d.last[topic]; is {
			return []byte(text), nil
		}
		return nil, nil
	}})
	return d
}

func (d *desk) retain(topic, payload string) {
	d.last[topic] = payload
	d.Said(topic, []byte(payload), 1, true)
}

func names(list []Branch) string {
	var out []string
	for _, b := range list {
		out = append(out, fmt.Sprintf("%s:%d", b.Name, b.Count))
	}
	return strings.Join(out, " ")
}

func TestTopicsAreListedLevelByLevel(t *testing.T) {
	d := newDesk(DefaultLimits())
	for _, host := range []string{"attic", "cellar", "garage"} {
		d.retain("rm/v1/pub/host/"+host+"/state", "{}")
		d.retain("rm/v1/pub/host/"+host+"/availability", "online")
	}
	d.Said("rm/v1/pub/host/attic/job/j1", []byte("{}"), 0, false)
	d.retain("rm/v1/pub/fleet/state", "{}")
	for _, c := range []struct{ path, after, want string }{
		{"", "", "rm/v1/pub:8"},
		{"rm/v1/pub", "", "fleet/state:1 host:7"},
		{"rm/v1/pub/host", "", "attic:3 cellar:2"},
		{"rm/v1/pub/host", "cellar", "garage:2"},
		{"rm/v1/pub/host/attic", "", "availability:1 job/j1:1"},
		{"rm/v1/pub/nowhere", "", ""},
	} {
		list, _ := d.Level(c.path, c.after, 2, nil)
		if got := names(list); got != c.want {
			t.Errorf("below %q after %q: %q; want %q", c.path, c.after, got, c.want)
		}
	}
	if _, more := d.Level("rm/v1/pub/host", "", 2, nil); more != 1 {
		t.Errorf("%d more hosts; want 1", more)
	}
	list, _ := d.Level("rm/v1/pub/host/attic", "availability", 9, nil)
	if !list[0].Live || list[0].Below || !list[0].Topic {
		t.Errorf("what nobody retains is %+v", list[0])
	}
	hidden := func(topic string) bool { return !strings.HasPrefix(topic, "rm/v1/pub/host/attic") }
	if list, _ := d.Level("rm/v1/pub/host", "", 9, hidden); names(list) != "cellar:2 garage:2" {
		t.Errorf("who may not see one of them sees %s", names(list))
	}
}

func TestWhatIsClearedIsGone(t *testing.T) {
	d := newDesk(DefaultLimits())
	d.retain("a/b/c", "four")
	d.retain("a/b", "seven77")
	d.retain("a/b/c", "fifteen")
	if got := d.Retained(); got != (Retained{2, 14}) {
		t.Errorf("retained: %+v", got)
	}
	d.Said("a/b/c", nil, 1, true)
	d.Said("x/y", nil, 1, true) // of what never was
	if list, _ := d.Level("", "", 9, nil); names(list) != "a/b:1" || list[0].Below {
		t.Errorf("left are %+v", list)
	}
	d.Said("a/b", nil, 1, true)
	list, _ := d.Level("", "", 9, nil)
	if got := d.Retained(); len(list) > 0 || got != (Retained{}) {
		t.Errorf("in the end there are %v, %+v", list, got)
	}
}

func TestTopicsWhereNothingIsRetainedAreForgotten(t *testing.T) {
	l := DefaultLimits()
	l.Fleeting = 3
	d := newDesk(l)
	d.retain("job/0", "stays")
	for i := range 10 {
		d.Said(fmt.Sprintf("job/%d", i), []byte("{}"), 0, false)
		d.Said("job/1", []byte("again"), 0, false)
	}
	if list, _ := d.Level("job", "", 99, nil); names(list) != "0:1 1:1 8:1 9:1" {
		t.Errorf("remembered are %s", names(list))
	}
	if m, is, err := d.Topic(t.Context(), "job/1"); !is || err != nil || m.Payload != "again" || m.Retain {
		t.Errorf("the last message there is %+v, %v", m, err)
	}
	if m, is, err := d.Topic(t.Context(), "job/0"); !is || err != nil || m.Payload != "stays" || !m.Retain {
		t.Errorf("what is retained is %+v, %v", m, err)
	}
}

func TestTenMessagesASecondAreShownAndTheOthersCounted(t *testing.T) {
	d := newDesk(DefaultLimits())
	ear := d.Listen("rm/+/state", 0, nil)
	for i := range 52 {
		d.Said("rm/attic/state", []byte{byte(i)}, 0, false)
		d.Said("rm/attic/other", nil, 0, false)
	}
	list, left := ear.Take()
	if len(list) != 10 || left != 42 || list[9].Payload != "\x33" {
		t.Fatalf("%d are shown and %d are not; want 10, the last of them, and 42", len(list), left)
	}
	d.Said("rm/attic/state", []byte("next"), 0, false)
	if list, left = ear.Take(); len(list) > 0 || left > 0 {
		t.Errorf("within the same moment %d more are shown", len(list))
	}
	d.now = d.now.Add(100 * time.Millisecond)
	if list, left = ear.Take(); len(list) != 1 || list[0].Payload != "next" || left != 0 {
		t.Errorf("a tenth of a second later: %+v, %d left out", list, left)
	}
	total := 0
	for range 40 { // ten seconds
		for range 20 {
			d.Said("rm/attic/state", []byte("x"), 0, false)
		}
		d.now = d.now.Add(250 * time.Millisecond)
		list, n := ear.Take()
		total += len(list) + n
		if len(list) > 3 {
			t.Fatalf("%d messages in a quarter of a second", len(list))
		}
	}
	if total < 790 || total > 800 {
		t.Errorf("%d of 800 messages were shown or counted", total)
	}
	ear.Close()
	if len(d.ears) > 0 {
		t.Error("it still listens")
	}
}

func TestAnEarGoesOnWhereThePageEnded(t *testing.T) {
	l := DefaultLimits()
	l.Payload = 4
	d := newDesk(l)
	for i := range 3 {
		d.Said("a", fmt.Appendf(nil, "%d", i), 0, false)
	}
	list, last := d.Recent("#", 2, nil)
	if len(list) != 2 || list[0].Payload != "2" || last != 3 {
		t.Errorf("the last are %+v", list)
	}
	d.Said("a", []byte("äää"), 0, false)
	got, left := d.Listen("a", last, nil).Take()
	if len(got) != 1 || left != 0 || got[0].Payload != "ää" || got[0].Size != 6 {
		t.Errorf("after that: %+v", got)
	}
	hidden := func(string) bool { return false }
	if got, _ := d.Listen("a", 0, hidden).Take(); len(got) > 0 {
		t.Error("who may not see them hears them")
	}
	if got, _ := d.Recent("#", 9, hidden); len(got) > 0 {
		t.Error("who may not see them reads them")
	}
}

func TestFilters(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"#", "a/b", true}, {"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/#", "ab", false},
		{"a/+", "a/b", true}, {"a/+", "a", false}, {"a/+", "a/b/c", false}, {"+/b", "a/b", true},
		{"a/b", "a/b", true}, {"a/b", "a/b/", false}, {"a/b/", "a/b", false}, {"a/+/#", "a", false}, {"a/+/#", "a/b", true},
		{"+", "", true}, {"a//c", "a//c", true}, {"a/+/c", "a//c", true},
	} {
		f, wrong := ParseFilter(c.filter)
		if wrong != "" || f.Matches(c.topic) != c.want {
			t.Errorf("%q matches %q: %v; want %v (%s)", c.filter, c.topic, f.Matches(c.topic), c.want, wrong)
		}
	}
	for _, bad := range []string{"", "a#", "#/a", "a/#/b", "a+", "a/+b/c", "$SYS/#", "$share/x/a", "a\x00", "\xff", strings.Repeat("a", 513)} {
		if _, wrong := ParseFilter(bad); wrong == "" {
			t.Errorf("%q is taken for a filter", bad)
		}
	}
}

func TestThePaceOfTheLastMinutes(t *testing.T) {
	d := newDesk(DefaultLimits())
	for range 120 {
		for range 3 {
			d.Said("a", []byte("123"), 0, false)
		}
		d.now = d.now.Add(time.Second)
	}
	p := d.Pace()
	if p.PerSecond < 2.9 || p.PerSecond > 3.1 || p.Bytes < 11.6 || p.Bytes > 12.4 {
		t.Errorf("three messages a second are %.2f, and %.2f bytes", p.PerSecond, p.Bytes)
	}
	if len(p.Points) != 6 || slices.Max(p.Points) != 60 || slices.Min(p.Points) != 60 {
		t.Errorf("the spans before are %v", p.Points)
	}
	d.now = d.now.Add(time.Hour)
	if p := d.Pace(); p.PerSecond != 0 || slices.Max(p.Points) != 0 || len(p.Points) != spans-1 {
		t.Errorf("an hour later it is %+v", p)
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("rm/v1/pub/+/state", "rm/v1/pub/x/state")
	f.Add("#", "a")
	f.Fuzz(func(t *testing.T, filter, topic string) {
		p, wrong := ParseFilter(filter)
		if wrong != "" {
			return
		}
		if !strings.ContainsAny(filter, "+#") && p.Matches(topic) != (filter == topic) {
			t.Errorf("%q matches %q: %v", filter, topic, p.Matches(topic))
		}
	})
}
