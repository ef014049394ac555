package retention

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// drawKeep draws rules; none at all is among them.
func drawKeep(t *rapid.T) (k store.Keep) {
	spans := rapid.SampledFrom([]string{"", "", "5h", "3d", "30d", "2m", "1y2m3d4h"})
	counts := rapid.SampledFrom([]int{0, 0, 1, 2, 7, 30})
	k.Within, k.WithinHourly, k.WithinDaily = spans.Draw(t, "within"), spans.Draw(t, "within hourly"), spans.Draw(t, "within daily")
	k.WithinWeekly, k.WithinMonthly, k.WithinYearly = spans.Draw(t, "within weekly"), spans.Draw(t,
		"within monthly"), spans.Draw(t, "within yearly")
	k.Last, k.Hourly, k.Daily = counts.Draw(t, "last"), counts.Draw(t, "hourly"), counts.Draw(t, "daily")
	k.Weekly, k.Monthly, k.Yearly = counts.Draw(t, "weekly"), counts.Draw(t, "monthly"), counts.Draw(t, "yearly")
	return k
}

func drawAge(t *rapid.T) time.Duration {
	unit := rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, day, 7 * day}).Draw(t, "unit")
	return time.Duration(rapid.IntRange(0, 120).Draw(t, "age")) * unit
}

func drawID(t *rapid.T) string { return rapid.StringMatching(`[0-9a-f]{12}`).Draw(t, "id") }

// drawHonest draws what our jobs made, of a few source groups.
func drawHonest(t *rapid.T) (list []store.Planned) {
	for i := range rapid.IntRange(0, 40).Draw(t, "honest") {
		s := honest(fmt.Sprintf("%02d%s", i, drawID(t)), noon.Add(-drawAge(t)))
		s.SourceGroup = rapid.SampledFrom([]topics.SourceGroupID{"group001", "group002", "group003"}).Draw(t, "group")
		s.Tags = store.List{"plan=" + string(s.SourceGroup)}
		drawSize(t, &s)
		list = append(list, s)
	}
	return list
}

// drawSize draws what a snapshot is said to hold, as far as that is known.
func drawSize(t *rapid.T, s *store.Planned) {
	s.Files = rapid.SampledFrom([]uint64{100, 100, 90, 49, 3, 0, 0, 1e6}).Draw(t, "files")
	s.Bytes = s.Files * 1000
	s.Told = rapid.IntRange(0, 1).Draw(t, "told")
}

// drawHostile draws what somebody with the everyday credential, or with the
// whole host, can bring into the list: always with the same tags, hosts and paths.
func drawHostile(t *rapid.T) (list []store.Planned) {
	for i := range rapid.IntRange(0, 40).Draw(t, "hostile") {
		at := noon.Add(-drawAge(t))
		if rapid.Bool().Draw(t, "future") {
			at = noon.Add(3*time.Hour + drawAge(t)*100)
		}
		s := honest(fmt.Sprintf("f%02d%s", i, drawID(t)), at)
		s.SourceGroup = rapid.SampledFrom([]topics.SourceGroupID{"group001", "group002", "group003", "gone0001", ""}).Draw(t, "group")
		s.Tags = store.List{"plan=" + string(s.SourceGroup)}
		s.GroupThere = s.SourceGroup != "gone0001"
		drawSize(t, &s)
		switch kind := rapid.SampledFrom([]string{"planted", "lying", "late", "invented", "missing", "no job", "gone", "rewritten"}).Draw(t,
			"kind"); kind {
		case "planted":
			s.Job, s.QueuedAt, s.BegunAt, s.EndedAt, s.GroupThere = "", 0, 0, 0, false
		case "lying": // a job ran, at another time
			shift := rapid.SampledFrom([]int64{-1, 1}).Draw(t, "sign") * (Slack + time.Hour + drawAge(t)).Milliseconds()
			s.QueuedAt, s.BegunAt, s.EndedAt = s.QueuedAt+shift, s.BegunAt+shift, s.EndedAt+shift
		case "late": // told afterwards, as if a schedule had planned it
			s.Time = noon.Add(-Slack - time.Minute - drawAge(t)).UnixMilli()
			s.Slot = s.Time
			s.QueuedAt, s.BegunAt, s.EndedAt = noon.UnixMilli(), noon.UnixMilli(), noon.UnixMilli()
		case "invented":
			s.Seen = false
		case "missing":
			s.Seen, s.Missing = false, true
		case "no job":
			s.QueuedAt, s.BegunAt, s.EndedAt = 0, 0, 0
		case "gone":
			s.SourceGroup, s.GroupThere = "gone0001", false
		case "rewritten":
			s.Original = "0123456789ab"
			s.Job, s.QueuedAt, s.BegunAt, s.EndedAt = "", 0, 0, 0
		}
		list = append(list, s)
	}
	return list
}

func of(list []Verdict, prefix string) (out []string) {
	for _, v := range list {
		if strings.HasPrefix(v.ID, "f") == (prefix == "f") {
			out = append(out, v.ID+" "+strings.Join(v.Reasons, "; "))
		}
	}
	return out
}

func TestNothingPlantedChangesWhatBecomesOfOurs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, ours, theirs := drawKeep(t), drawHonest(t), drawHostile(t)
		all := slices.Concat(ours, theirs)
		all = rapid.Permutation(all).Draw(t, "order")
		got, err := Plan(k, all, Past{}, noon)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(got.Keep) + len(got.Remove) + len(got.Flagged); n != len(all) {
			t.Fatalf("%d snapshots have a verdict, want %d", n, len(all))
		}
		alone, err := Plan(k, ours, Past{}, noon)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name       string
			got, alone []Verdict
		}{{"kept", got.Keep, alone.Keep}, {"removed", got.Remove, alone.Remove}, {"flagged", got.Flagged, alone.Flagged}} {
			if a, b := of(c.got, ""), of(c.alone, ""); !slices.Equal(a, b) {
				t.Fatalf("%s of ours: %q, and %q without theirs", c.name, a, b)
			}
		}
		if len(alone.Flagged) > 0 {
			t.Fatalf("honest ones are flagged: %v", of(alone.Flagged, ""))
		}
		// Inside the window, by a reckoning of its own: nothing of ours goes.
		r, err := parse(k)
		if err != nil {
			t.Fatal(err)
		}
		newest := map[topics.SourceGroupID]time.Time{}
		for _, s := range ours {
			if at := time.UnixMilli(s.Time); at.After(newest[s.SourceGroup]) {
				newest[s.SourceGroup] = at
			}
		}
		for _, v := range got.Remove {
			at := time.UnixMilli(v.Time).UTC()
			if strings.HasPrefix(v.ID, "f") {
				if v.Slot == 0 { // only what a job made, told late, is ever removed
					t.Fatalf("%s is removed, and nobody may say that our jobs made it: %+v", v.ID, v)
				}
				continue
			}
			if top := newest[v.SourceGroup].UTC(); at.Equal(top) && slices.IndexFunc(got.Keep, func(o Verdict) bool {
				return o.SourceGroup == v.SourceGroup && o.Time == v.Time
			}) < 0 || !r.window.zero() && at.After(r.window.before(top)) {
				t.Fatalf("%s of %s is removed, inside the window of %s or the newest", v.ID, at, k.Within)
			}
			if r.none() {
				t.Fatalf("%s is removed, and no rule was given", v.ID)
			}
		}
		again, err := Plan(k, rapid.Permutation(all).Draw(t, "other order"), Past{}, noon)
		if err != nil || !slices.Equal(ids(again.Remove), ids(got.Remove)) || !slices.Equal(ids(again.Keep), ids(got.Keep)) {
			t.Fatalf("the order of the list matters (%v)", err)
		}
	})
}

// A snapshot that took another's place is kept as long as that would be.
func TestWhatTookAPlaceCountsLikeWhatWasThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, was := drawKeep(t), drawHonest(t)
		is := slices.Clone(was)
		for i := range is {
			if rapid.Bool().Draw(t, "remade") {
				is[i].Original = "0123456789ab"
			}
		}
		want, err := Plan(k, was, Past{}, noon)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Plan(k, is, Past{}, noon)
		if err != nil || !slices.Equal(ids(got.Keep), ids(want.Keep)) || !slices.Equal(ids(got.Remove), ids(want.Remove)) {
			t.Fatalf("kept %v and removed %v (%v), want %v and %v", ids(got.Keep), ids(got.Remove), err, ids(want.Keep), ids(want.Remove))
		}
	})
}

func TestEachOddityHasItsWords(t *testing.T) {
	ago := func(d time.Duration) store.Planned { return honest("a", noon.Add(-d)) }
	for _, c := range []struct {
		name string
		s    func() store.Planned
		want string
	}{
		{"nobody's", func() store.Planned { s := ago(day); s.Job = ""; return s }, "no job of ours"},
		{"nobody's with our tag", func() store.Planned {
			s := ago(day)
			s.Job, s.Tags = "", store.List{"plan=group001"}
			return s
		}, "as if it were a backup of ours"},
		{"of the future", func() store.Planned { return ago(-20 * 365 * day) }, "in the future"},
		{"with another time than its job", func() store.Planned { s := ago(day); s.Time -= (5 * day).Milliseconds(); return s }, "by our clock"},
		{"rewritten", func() store.Planned { s := ago(day); s.Job, s.Original = "", "abcdef0123"; return s }, "rewritten from snapshot abcdef01"},
		{"of a group that is gone", func() store.Planned { s := ago(day); s.GroupThere = false; return s }, "source group is gone"},
		{"that is not there", func() store.Planned { s := ago(day); s.Seen, s.Missing = false, true; return s }, "does not list it"},
	} {
		v, err := Plan(store.Keep{Last: 1}, []store.Planned{c.s(), honest("b", noon)}, Past{}, noon)
		if err != nil || len(v.Flagged) != 1 || !strings.Contains(strings.Join(v.Flagged[0].Reasons, "; "), c.want) {
			t.Errorf("one %s: %+v (%v), want it flagged with %q", c.name, v, err, c.want)
		}
	}
}

// TestARemovedGroupKeepsItsSnapshotsOrItsRules, as was chosen when it was removed.
func TestARemovedGroupKeepsItsSnapshotsOrItsRules(t *testing.T) {
	for _, c := range []struct {
		name                    string
		there, kept             bool
		keeps, removes, flagged int
	}{
		{"in use", true, false, 1, 2, 0},
		{"removed, and the rules go on", true, false, 1, 2, 0},
		{"removed, and all stays", false, true, 3, 0, 0},
		{"gone, and nobody said what becomes of them", false, false, 0, 0, 3},
	} {
		var list []store.Planned
		for n := range 3 {
			s := honest(strings.Repeat("abc"[n:n+1], 12), noon.Add(-time.Duration(n)*day))
			s.GroupThere, s.GroupKept = c.there, c.kept
			list = append(list, s)
		}
		v, err := Plan(store.Keep{Last: 1}, list, Past{}, noon)
		if err != nil || len(v.Keep) != c.keeps || len(v.Remove) != c.removes || len(v.Flagged) != c.flagged {
			t.Errorf("%s: %d stay, %d go, %d are flagged (%v)", c.name, len(v.Keep), len(v.Remove), len(v.Flagged), err)
		}
		if odd := Oddities(v, nil); len(odd) != c.flagged {
			t.Errorf("%s: odd is %+v", c.name, odd)
		}
	}
}

// Nobody knows what was taken in holds, and so it is no measure of what comes after it. But
// empty backups do not have it removed.
func TestEmptyBackupsDoNotReplaceWhatWasTakenIn(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   uint64
		told    int
		empty   bool // the group may be empty
		removes []string
	}{
		{"empty", 0, 1, false, []string{"old-2"}},
		{"full", 5, 1, false, []string{"old-1", "old-2"}},
		{"not known", 0, 0, false, []string{"old-1", "old-2"}},
		{"empty as it may be", 0, 1, true, []string{"old-1", "old-2"}},
	} {
		var list []store.Planned
		for n, id := range []string{"new-1", "new-2", "old-1", "old-2"} {
			s := honest(id, noon.Add(-time.Duration(n)*day))
			if s.MayBeEmpty = c.empty; n < 2 {
				s.Files, s.Told = c.files, c.told
			} else {
				s.Imported, s.QueuedAt, s.BegunAt, s.EndedAt = "import-1", s.Time, s.Time, s.Time
			}
			list = append(list, s)
		}
		v, err := Plan(store.Keep{Last: 2}, list, Past{}, noon)
		if removed := ids(v.Remove); err != nil || !slices.Equal(removed, c.removes) {
			t.Errorf("%s: %v go, want %v (%v)", c.name, removed, c.removes, err)
		}
	}
}

// TestAReviewNamesTheHostAsPeopleDo, not the machine.
func TestAReviewNamesTheHostAsPeopleDo(t *testing.T) {
	var list []store.Planned
	for n := range 30 {
		s := honest(fmt.Sprintf("%012x", n), noon.Add(-time.Duration(n)*time.Hour))
		s.Group, s.HostName, s.Hostname = "letters", "attic", "vm-17"
		list = append(list, s)
	}
	v, err := Plan(store.Keep{Last: 1}, list, Past{}, noon)
	text := strings.Join(PlanOf(&v, Past{}, noon).Unusual, " ")
	if err != nil || !strings.Contains(text, `"letters" on attic`) || strings.Contains(text, "vm-17") {
		t.Errorf("it says %q (%v)", text, err)
	}
}

func TestCountsAreRefusedWhereAnybodyCanAdd(t *testing.T) {
	for _, c := range []struct {
		keep             store.Keep
		anywhere, append bool // accepted
	}{
		{store.Keep{}, true, true},
		{store.Keep{Within: "30d", WithinDaily: "1y"}, true, true},
		{store.Keep{Last: 3}, true, false},
		{store.Keep{Within: "30d", Monthly: 12}, true, false},
		{store.Keep{Within: "30"}, false, false},
		{store.Keep{Within: "0d"}, false, false},
		{store.Keep{Within: "-3d"}, false, false},
		{store.Keep{Within: "1d1d"}, false, false},
		{store.Keep{Within: "99999y"}, false, false},
		{store.Keep{WithinDaily: "3 days"}, false, false},
		{store.Keep{Daily: -1}, false, false},
	} {
		if err := Check(c.keep, false); (err == nil) != c.anywhere {
			t.Errorf("%+v: %v", c.keep, err)
		}
		if err := Check(c.keep, true); (err == nil) != c.append {
			t.Errorf("%+v on an append-only repository: %v", c.keep, err)
		}
	}
}

func TestContradictionsAreNamed(t *testing.T) {
	for _, c := range []struct {
		keep  store.Keep
		every time.Duration
		want  []string
	}{
		{store.Keep{Within: "30d", WithinDaily: "1y"}, day, nil},
		{store.Keep{Within: "30d", WithinDaily: "1y"}, 0, nil},
		{store.Keep{WithinHourly: "7d"}, day, []string{"keep_within_hourly 7d"}},
		{store.Keep{WithinHourly: "7d"}, time.Hour, nil},
		{store.Keep{Within: "30d", WithinDaily: "7d"}, day, []string{"keep_within_daily 7d"}},
		{store.Keep{Hourly: 24}, day, []string{"reaches back 24 days"}},
		{store.Keep{Within: "5h"}, day, []string{"keep_within 5h is shorter"}},
	} {
		got := Contradictions(c.keep, c.every)
		if len(got) != len(c.want) {
			t.Errorf("%+v every %v: %q", c.keep, c.every, got)
			continue
		}
		for i, w := range c.want {
			if !strings.Contains(got[i], w) {
				t.Errorf("%+v every %v: %q, want %q", c.keep, c.every, got[i], w)
			}
		}
	}
}
