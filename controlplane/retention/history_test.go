package retention

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/reviews"
	"github.com/restic-manager/restic-manager/topics"
)

// A history is one source group, or several, with a backup and a forget each day.
type history struct {
	keep    store.Keep
	day     int
	list    []store.Planned
	past    Past
	removed reviews.Size // the most that one held that went, of those made since the last approval
	held    int          // days on which the group was held
	decide  func(h *history) (Verdicts, store.Plan)
}

func (h *history) now() time.Time { return noon.AddDate(0, 0, h.day) }

func byRules(h *history) (Verdicts, store.Plan) {
	v, err := Plan(h.keep, h.list, h.past, h.now())
	if err != nil {
		panic(err)
	}
	return v, PlanOf(&v, h.past, h.now())
}

func (h *history) backup(files, bytes uint64) string {
	s := honest(fmt.Sprintf("%012d", len(h.list)+h.day*1000), h.now().Add(-time.Hour))
	s.Files, s.Bytes, s.Told = files, bytes, 1
	h.list = append(h.list, s)
	return s.ID
}

// forget carries the plan of the day out, as the runner and the store do.
func (h *history) forget() store.Plan {
	_, p := h.decide(h)
	h.remove(p.Remove)
	for g, s := range p.Largest {
		h.measure(g, func(m *reviews.Measure) {
			was := m.Gone().Max(s)
			m.GoneFiles, m.GoneBytes = was.Files, was.Bytes
		})
	}
	h.past.Holds, h.past.Before = p.Held, p.Groups
	if len(p.Held) > 0 {
		h.held++
	}
	h.day++
	return p
}

func (h *history) measure(g topics.SourceGroupID, change func(*reviews.Measure)) {
	if h.past.Measures == nil {
		h.past.Measures = map[topics.SourceGroupID]reviews.Measure{}
	}
	m := h.past.Measures[g]
	change(&m)
	h.past.Measures[g] = m
}

func (h *history) remove(ids []string) {
	h.list = slices.DeleteFunc(h.list, func(s store.Planned) bool {
		gone := slices.Contains(ids, s.ID)
		if gone && s.Time > h.past.Measures[s.SourceGroup].Since {
			h.removed = h.removed.Max(sizeOf(s))
		}
		return gone
	})
}

// approve is a person who approves what is held.
func (h *history) approve() {
	if len(h.past.Holds) == 0 {
		return
	}
	for _, held := range h.past.Holds {
		if !held.Less() {
			h.remove(held.Remove)
			continue
		}
		h.measure(held.Group, func(m *reviews.Measure) {
			*m = reviews.Measure{Group: held.Group, Since: held.NewestAt, Size: held.Newest}
		})
		h.remove(held.Remove)
	}
	if slices.ContainsFunc(h.past.Holds, reviews.Hold.Less) {
		h.removed = reviews.Size{}
	}
	h.past.Holds = nil
}

func (h *history) has(id string) bool {
	return slices.ContainsFunc(h.list, func(s store.Planned) bool { return s.ID == id })
}

// lost says what of the best state is gone without a person's approval, "" if nothing.
func (h *history) lost() string {
	var left reviews.Size
	for _, s := range h.list {
		left = left.Max(sizeOf(s))
	}
	if left.Files*2 < h.removed.Files || left.Bytes*2 < h.removed.Bytes {
		return fmt.Sprintf("on day %d %+v is the most that is left, and one of %+v was removed", h.day, left, h.removed)
	}
	return ""
}

// A course is how large the backups of a source group are, day by day.
type course struct {
	name string
	// next returns the size of a day's backup, and whether it is as good as ever.
	next func(day int) (files, bytes uint64, good bool)
	calm bool // never far less than before
}

func courses(size uint64, at, every int, rate float64, bytesOnly bool) []course {
	both := func(n uint64) (uint64, uint64) {
		if bytesOnly {
			return size, n * 1000
		}
		return n, n * 1000
	}
	course1 := func(name string, calm bool, of func(day int) (n uint64, good bool)) course {
		return course{name, func(day int) (uint64, uint64, bool) {
			n, good := of(day)
			f, b := both(n)
			if n == 0 && !bytesOnly {
				f, b = 0, 0
			}
			return f, b, good
		}, calm}
	}
	return []course{
		course1("constant", true, func(int) (uint64, bool) { return size, true }),
		course1("growing", true, func(day int) (uint64, bool) { return size + size*uint64(day)/20, true }),
		course1("sudden", false, func(day int) (uint64, bool) {
			if day < at {
				return size, true
			}
			return 0, false
		}),
		course1("nearly empty", false, func(day int) (uint64, bool) {
			if day < at {
				return size, true
			}
			return size / 20, false
		}),
		course1("creeping", false, func(day int) (uint64, bool) {
			return uint64(float64(size) * math.Pow(1-rate, float64(day))), true
		}),
		course1("alternating", false, func(day int) (uint64, bool) {
			if day%every == every-1 {
				return 0, false
			}
			return size, true
		}),
		course1("empty for weeks, full for a day", false, func(day int) (uint64, bool) {
			if day >= at && day%(7*every) != 0 {
				return 0, false
			}
			return size, true
		}),
		course1("a single large one", false, func(day int) (uint64, bool) {
			if day == at {
				return size * 10, true
			}
			return size, true
		}),
	}
}

// dailyKeep draws rules as people have them.
func dailyKeep(t *rapid.T) store.Keep {
	return rapid.OneOf(rapid.SampledFrom([]store.Keep{
		{Last: 1}, {Last: 6}, {Last: 7}, {Daily: 7, Weekly: 4}, {Daily: 7, Weekly: 4, Monthly: 12}, {Within: "30d"}, {Within: "7d"},
		{Within: "3d", WithinDaily: "14d", WithinWeekly: "2m"}, {Weekly: 2}, {Yearly: 1}, {Last: 2, Monthly: 3},
	}), rapid.Custom(drawKeep)).Draw(t, "rules")
}

func drawCourse(t *rapid.T) course {
	list := courses(rapid.Uint64Range(20, 100_000).Draw(t, "size"), rapid.IntRange(1, 60).Draw(t, "at"),
		rapid.IntRange(2, 5).Draw(t, "every"), rapid.SampledFrom([]float64{.01, .05, .2}).Draw(t, "rate"), rapid.Bool().Draw(t, "bytes only"))
	return list[rapid.IntRange(0, len(list)-1).Draw(t, "course")]
}

// TestNothingGoodIsLostWithoutApproval: whatever becomes of a source group, and
// whatever the rules are, the best there was can still be restored.
func TestNothingGoodIsLostWithoutApproval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{keep: dailyKeep(t), decide: byRules}
		c := drawCourse(t)
		best, since := "", int64(0)
		for range rapid.IntRange(1, 120).Draw(t, "days") {
			files, bytes, good := c.next(h.day)
			id := h.backup(files, bytes)
			if good {
				best = id
			}
			p := h.forget()
			if text := h.lost(); text != "" {
				t.Fatalf("%s: %s", c.name, text)
			}
			if best != "" && !h.has(best) {
				t.Fatalf("%s: on day %d the newest of the state before it is gone", c.name, h.day)
			}
			if c.calm && len(p.Held) > 0 {
				t.Fatalf("%s: on day %d it is held: %v", c.name, h.day, p.Unusual)
			}
			if len(p.Held) > 0 && since > 0 && p.Held[0].Since != since {
				t.Fatalf("%s: it is told on day %d that it is held since then", c.name, h.day)
			}
			if since = 0; len(p.Held) > 0 {
				since = p.Held[0].Since
			}
		}
	})
}

// TestAnApprovedSizeIsTheMeasureFromThenOn: once a person has approved it, the plans of
// what shrank for good go through, until it collapses anew.
func TestAnApprovedSizeIsTheMeasureFromThenOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{keep: dailyKeep(t), decide: byRules}
		size, small := uint64(1000), rapid.Uint64Range(1, 400).Draw(t, "small")
		days := func(n int, of uint64) (last string) {
			for range n {
				last = h.backup(of, of*1000)
				h.forget()
			}
			return last
		}
		good := days(rapid.IntRange(5, 60).Draw(t, "good days"), size)
		days(rapid.IntRange(1, 60).Draw(t, "small days"), small)
		approved := len(h.past.Holds) > 0
		h.approve()
		h.held = 0
		last := days(90, small)
		if approved && h.held > 0 {
			t.Fatalf("%d days after the approval it is held again: %+v", h.held, h.past.Holds)
		}
		if text := h.lost(); text != "" {
			t.Fatal(text)
		}
		days(60, small/10)
		if !approved { // all that is one collapse, of what there was at first
			last = good
		}
		if !h.has(last) {
			t.Fatal("after it collapsed anew, the newest of the state before that is gone")
		}
		if text := h.lost(); text != "" {
			t.Fatal(text)
		}
	})
}

// TestACreepingLossIsHeld, however slow it is, before less than half is left.
func TestACreepingLossIsHeld(t *testing.T) {
	for _, rate := range []float64{.01, .02, .05, .1} {
		for _, keep := range []store.Keep{{Last: 1}, {Last: 7}, {Daily: 7, Weekly: 4}, {Within: "30d"}} {
			h := &history{keep: keep, decide: byRules}
			size := 1e6
			for h.held == 0 && h.day < 365 {
				h.backup(uint64(size), uint64(size)*1000)
				h.forget()
				size *= 1 - rate
			}
			if text := h.lost(); h.held == 0 || text != "" {
				t.Errorf("%v a day, %+v: held on %d days; %s", rate, keep, h.held, text)
			}
			h.approve()
			h.held = 0
			for range 3 {
				h.backup(uint64(size), uint64(size)*1000)
				h.forget()
			}
			if h.held > 0 {
				t.Errorf("%v a day, %+v: held again after the approval: %+v", rate, keep, h.past.Holds)
			}
		}
	}
}

// TestTheHistoriesWouldNoticeAWorseRule plays each history by rules that lose
// something: the review of earlier versions, and what is there now without one of its
// parts.
func TestTheHistoriesWouldNoticeAWorseRule(t *testing.T) {
	for _, c := range []struct {
		name   string
		decide func(*history) (Verdicts, store.Plan)
	}{
		{"the median of the last ten, which the empty ones become", func(h *history) (Verdicts, store.Plan) {
			bare := slices.Clone(h.list)
			for i := range bare {
				bare[i].Files, bare[i].Bytes, bare[i].Told = 0, 0, 0
			}
			v, _ := Plan(h.keep, bare, Past{}, h.now())
			var older []reviews.Size
			for _, s := range h.list[max(0, len(h.list)-11):max(0, len(h.list)-1)] {
				older = append(older, sizeOf(s))
			}
			if len(older) >= 3 && less(sizeOf(h.list[len(h.list)-1]), median(older)) {
				v.Remove = nil
			}
			return v, planOf(&v, nil)
		}},
		{"nothing is held", func(h *history) (Verdicts, store.Plan) {
			v, _ := Plan(h.keep, h.list, h.past, h.now())
			return v, planOf(&v, nil)
		}},
		{"nothing is pinned", func(h *history) (Verdicts, store.Plan) {
			v, p := byRules(h)
			for _, s := range v.Keep {
				if s.Pinned {
					p.Remove = append(p.Remove, s.ID)
				}
			}
			return v, p
		}},
		{"what was removed before does not count", func(h *history) (Verdicts, store.Plan) {
			h.past.Measures = nil
			v, p := byRules(h)
			return v, p
		}},
	} {
		noticed := ""
		for _, keep := range []store.Keep{{Last: 7}, {Daily: 7, Weekly: 4}, {Within: "30d"}} {
			for _, course := range courses(1000, 40, 2, .05, false) {
				h := &history{keep: keep, decide: c.decide}
				best := ""
				for h.day < 120 && noticed == "" {
					files, bytes, good := course.next(h.day)
					if id := h.backup(files, bytes); good {
						best = id
					}
					h.forget()
					if noticed = h.lost(); noticed == "" && !h.has(best) {
						noticed = course.name + ": the newest good one is gone"
					}
				}
			}
		}
		if noticed == "" {
			t.Errorf("%s: no history loses anything by it", c.name)
		}
	}
}

// TestWhatIsHeldAndWhatIsPinned, one circumstance a line, each with the neighbour that
// is not held.
func TestWhatIsHeldAndWhatIsPinned(t *testing.T) {
	type sizes []int // the oldest first; -1 is not known
	for _, c := range []struct {
		name  string
		keep  store.Keep
		sizes sizes
		more  func(*store.Planned)
		held  bool
		stays []int // which of them stay as pinned
	}{
		{"all as large as ever", store.Keep{Last: 3}, sizes{100, 100, 100, 100, 100}, nil, false, nil},
		{"the newest is empty", store.Keep{Last: 3}, sizes{100, 100, 100, 100, 100, 0}, nil, true, []int{4}},
		{"the newest holds half", store.Keep{Last: 3}, sizes{100, 100, 100, 100, 100, 50}, nil, false, nil},
		{"the newest holds less than half", store.Keep{Last: 3}, sizes{100, 100, 100, 100, 100, 49}, nil, true, []int{4}},
		{"the last seven are empty", store.Keep{Last: 7}, sizes{100, 100, 100, 0, 0, 0, 0, 0, 0, 0}, nil, true, []int{2}},
		{"they are empty, and hold as much again", store.Keep{Last: 3}, sizes{100, 100, 0, 0, 0, 100}, nil, false, nil},
		{"every other one is empty", store.Keep{Last: 4}, sizes{100, 0, 100, 0, 100, 0, 100, 0}, nil, false, []int{6}},
		{"every other one is empty, and two of late", store.Keep{Last: 4}, sizes{100, 0, 100, 0, 100, 0, 100, 0, 0}, nil, true, []int{6}},
		{"only one ever held anything", store.Keep{Last: 2}, sizes{100, 0, 0, 0, 0}, nil, false, []int{0}},
		{"nothing to remove", store.Keep{Last: 30}, sizes{100, 100, 0}, nil, false, []int{1}},
		{"sizes are not known", store.Keep{Last: 2}, sizes{-1, -1, -1, -1, -1}, nil, false, nil},
		{"sizes came to be known", store.Keep{Last: 2}, sizes{-1, -1, -1, 100, 100}, nil, false, nil},
		{"sizes are not known any more", store.Keep{Last: 2}, sizes{100, 100, 100, -1, -1, -1}, nil, false, []int{2}},
		{"some are not known, and then it is empty", store.Keep{Last: 2}, sizes{100, 100, 100, -1, -1, 0, 0}, nil, true, []int{2}},
		{"it may be empty, and is", store.Keep{Last: 2}, sizes{100, 100, 100, 0, 0, 0},
			func(s *store.Planned) { s.MayBeEmpty = true }, false, []int{2}},
		{"it may be empty, and shrank", store.Keep{Last: 2}, sizes{100, 100, 100, 10, 10, 10},
			func(s *store.Planned) { s.MayBeEmpty = true }, true, []int{2}},
		{"its group was removed, and the rules go on", store.Keep{Last: 2}, sizes{100, 100, 100, 0, 0, 0},
			func(s *store.Planned) { s.Group = "" }, true, []int{2}},
		{"its group was removed, and all stays", store.Keep{Last: 2}, sizes{100, 100, 100, 0, 0, 0},
			func(s *store.Planned) { s.GroupThere, s.GroupKept = false, true }, false, nil},
		{"a single one was ten times as large", store.Keep{Last: 3}, sizes{100, 100, 1000, 100, 100, 100}, nil, false, []int{2}},
		{"a single one was ten times as large, and one is said to be that is not listed", store.Keep{Last: 3},
			sizes{100, 100, 1000, 100, 100, 100, 1000}, func(s *store.Planned) { s.Seen = s.ID != "000000000006" }, false, []int{2}},
		{"two were ten times as large", store.Keep{Last: 3}, sizes{100, 1000, 1000, 100, 100, 100}, nil, true, []int{2}},
		{"many fewer bytes in as many files", store.Keep{Last: 2}, sizes{100, 100, 100, 100, 100},
			func(s *store.Planned) {
				if s.ID >= "000000000003" {
					s.Bytes = 100
				}
			}, true, []int{2}},
		{"many fewer files with as many bytes", store.Keep{Last: 2}, sizes{100, 100, 100, 100, 100},
			func(s *store.Planned) {
				if s.ID >= "000000000003" {
					s.Files = 1
				}
			}, true, []int{2}},
	} {
		var list []store.Planned
		for n, size := range c.sizes {
			s := honest(fmt.Sprintf("%012d", n), noon.AddDate(0, 0, n-len(c.sizes)))
			if size >= 0 {
				s.Files, s.Bytes, s.Told = uint64(size), uint64(size)*1000, 1
			}
			if c.more != nil {
				c.more(&s)
			}
			list = append(list, s)
		}
		v, err := Plan(c.keep, list, Past{}, noon)
		if err != nil {
			t.Fatal(err)
		}
		var pinned []int
		for _, s := range v.Keep {
			if s.Pinned {
				var n int
				_, _ = fmt.Sscanf(s.ID, "%d", &n)
				pinned = append(pinned, n)
			}
		}
		p := PlanOf(&v, Past{}, noon)
		if len(p.Held) > 0 != c.held || !slices.Equal(pinned, c.stays) {
			t.Errorf("%s: pinned are %v, and it is held because %q; want %v, and held: %v", c.name, pinned, p.Unusual, c.stays, c.held)
		}
		if c.held && (len(p.Remove) > 0 || len(v.Remove) > 0 || len(v.Held) == 0) {
			t.Errorf("%s: it is held, and %v go", c.name, p.Remove)
		}
	}
}

// TestOnlyWhatCollapsedIsHeld: the other source groups of a plan go on.
func TestOnlyWhatCollapsedIsHeld(t *testing.T) {
	h := &history{keep: store.Keep{Last: 3}, decide: byRules}
	var want []string
	for n := range 8 {
		for _, g := range []topics.SourceGroupID{"group001", "group002", "group003"} {
			s := honest(fmt.Sprintf("%s%04d", g, n), noon.AddDate(0, 0, n-10))
			s.SourceGroup, s.Group, s.Files, s.Bytes, s.Told = g, string(g), 100, 1000, 1
			if g == "group002" && n > 4 {
				s.Files, s.Bytes = 0, 0
			}
			if g != "group002" && n < 5 {
				want = append(want, s.ID)
			}
			h.list = append(h.list, s)
		}
	}
	v, p := byRules(h)
	slices.Sort(want)
	if !slices.Equal(p.Remove, want) || len(p.Held) != 1 || p.Held[0].Group != "group002" || len(v.Held) != len(p.Held[0].Remove) {
		t.Errorf("it removes %v and holds %+v, want %v and group002", p.Remove, p.Held, want)
	}
	if w := HeldPlan(p); len(w.Remove) != len(v.Held) || w.Hash == p.Hash || w.Hash != hash(w.Remove) {
		t.Errorf("what waits is %+v", w)
	}
}

// TestWhoApprovesThatManyGoHasNotApprovedThatThereIsLess: a plan that removes many empty
// snapshots and none of the others says nothing of these.
func TestWhoApprovesThatManyGoHasNotApprovedThatThereIsLess(t *testing.T) {
	h := &history{keep: store.Keep{Daily: 40}, decide: byRules}
	for range 30 {
		h.backup(100, 100_000)
		h.forget()
	}
	for hour := range 20 { // nobody looked for a day
		s := honest(fmt.Sprintf("hourly-%05d", hour), h.now().Add(-time.Duration(hour)*time.Minute))
		s.Told = 1
		h.list = append(h.list, s)
	}
	if p := h.forget(); len(p.Held) != 1 || p.Held[0].Less() || len(p.Held[0].Remove) != 19 {
		t.Fatalf("held is %+v, want the many that are empty", p.Held)
	}
	h.approve()
	for h.day < 120 {
		h.backup(0, 0)
		h.forget()
		if lost := h.lost(); lost != "" {
			t.Fatal(lost)
		}
	}
	good := func(s store.Planned) bool { return s.Files == 100 }
	if !slices.ContainsFunc(h.list, good) || len(h.past.Holds) != 1 || !h.past.Holds[0].Less() {
		t.Errorf("%d are left, held is %+v", len(h.list), h.past.Holds)
	}
}
