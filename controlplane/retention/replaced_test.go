package retention

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Of a replaced machine everything stays until there is a decision; then rules go on, but
// for what was newest before, for as long as that is pinned.
func TestOfAReplacedMachineEverythingStaysUntilItIsDecided(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	list := func(edit func(i int, s *store.Planned)) (out []store.Planned) {
		for i := range 4 {
			at := now.Add(-time.Duration(i+1) * 24 * time.Hour).UnixMilli()
			s := store.Planned{Group: "letters", GroupThere: true, Seen: true}
			s.ID, s.Time, s.Job, s.SourceGroup = string(rune('a'+i)), at, topics.JobID("job-"+string(rune('a'+i))), "group001"
			s.QueuedAt, s.BegunAt, s.EndedAt, s.Files, s.Bytes, s.Told = at, at, at+1000, 100, 1000, 1
			edit(i, &s)
			out = append(out, s)
		}
		return out
	}
	for _, c := range []struct {
		name         string
		edit         func(int, *store.Planned)
		keep, remove string
		says         string
	}{
		{"no replacement", func(int, *store.Planned) {}, "a", "bcd", ""},
		{"nobody has decided", func(_ int, s *store.Planned) { s.Replaced = true }, "abcd", "", "it is not decided yet"},
		{"decided, and pinned", func(i int, s *store.Planned) {
			if i == 2 {
				s.PinUntil = now.Add(time.Hour).UnixMilli()
			}
		}, "ac", "bd", "pinned: the newest from before"},
		{"pinned until now", func(i int, s *store.Planned) {
			if i == 2 {
				s.PinUntil = now.UnixMilli()
			}
		}, "a", "bcd", ""},
	} {
		v, err := Plan(store.Keep{Last: 1}, list(c.edit), Past{}, now)
		if err != nil {
			t.Fatal(err)
		}
		ids := func(list []Verdict) string {
			var ids []string
			for _, s := range list {
				ids = append(ids, s.ID)
			}
			slices.Sort(ids)
			return strings.Join(ids, "")
		}
		said := ""
		for _, s := range v.Keep {
			said += strings.Join(s.Reasons, "; ")
		}
		if ids(v.Keep) != c.keep || ids(v.Remove) != c.remove || !strings.Contains(said, c.says) {
			t.Errorf("%s: kept %q and removed %q because %q", c.name, ids(v.Keep), ids(v.Remove), said)
		}
	}
}
