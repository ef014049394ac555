package alerts_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/life"
	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/topics"
)

// Laws are the rules by which the year is judged. Mutants have one of them wrong.
type laws struct {
	judge  func(conditions.Facts, time.Time) ([]conditions.Finding, time.Time)
	told   func([]routing.Change) []routing.Change // what reaches who tells people
	paused func(alert string, until int64) int64
	timely bool                        // it is looked when time alone may have changed something
	kept   func(*life.Book) *life.Book // what is known of alerts at the next look
}

func right() laws {
	return laws{
		judge: func(f conditions.Facts, now time.Time) ([]conditions.Finding, time.Time) {
			return conditions.Judge(f, nil, now)
		},
		told: func(c []routing.Change) []routing.Change { return c }, paused: func(_ string, until int64) int64 { return until }, timely: true,
		kept: func(b *life.Book) *life.Book { return b },
	}
}

// A year is a fleet whose faults are known, and what people are told of them.
type year struct {
	*fleet
	laws
	book    *life.Book
	until   int64 // when the alerts themselves change by time alone
	ids     int
	world   routing.World
	pending map[string]alerts.Key // alerts that are to be told, and not yet
	knows   map[string]bool       // alerts that were told

	ofRest   []conditions.Finding
	nextRest int64

	expected []*expected
	awaited  map[alerts.Key][]*expected
	kinds    map[string]int
	kind     string // of the latest fault
	wrong    []string
	messages int
	looks    int

	pauses func(alerts.Pause) // hears of pauses, too
}

func newYear(size int, seed uint64, l laws) *year {
	from := time.Date(2026, 1, 5, 6, 0, 0, 0, time.UTC)
	y := &year{fleet: newFleet(size, from, seed), laws: l, book: life.NewBook(nil, nil), pending: map[string]alerts.Key{},
		knows: map[string]bool{}, awaited: map[alerts.Key][]*expected{}, kinds: map[string]int{}}
	y.rest = true
	y.world = routing.World{Channels: []channels.Channel{{ID: "phone", Enabled: true}}, Tags: map[topics.HostID][]string{}}
	for _, m := range y.machines {
		y.world.Tags[m.fact.ID] = m.fact.Tags
	}
	return y
}

// Times in which hosts have no faults of their own, so that each message has one fault: from
// when on repositories have theirs, and at last the control plane.
var reserved = []time.Duration{100 * day, 200 * day, 250 * day, 320 * day}

const (
	reservedFor = 14 * day
	settles     = 16 * day // the longest fault of a host
)

// plans spreads faults over so many days.
func (y *year) plans(days int) {
	began, end := y.now, y.now+(time.Duration(days)*day).Milliseconds()
	for i, m := range y.machines {
		list := slices.Clone(ofServers)
		if m.fact.Intermittent {
			list = ofLaptops
			y.sleeps(m)
		}
		y.rnd.Shuffle(len(list), func(a, b int) { list[a], list[b] = list[b], list[a] })
		n := i
		var next func()
		next = func() {
			into := time.Duration(y.now-began) * time.Millisecond
			for _, r := range reserved {
				if into > r-settles && into < r+reservedFor {
					y.after(r+reservedFor-into+time.Duration(y.rnd.IntN(72))*hour, next)
					return
				}
			}
			if y.now+(settles+4*day).Milliseconds() > end {
				return
			}
			began := clock(y.now)
			y.kind = ""
			lasts := list[n%len(list)](y, m, m.groups[y.rnd.IntN(len(m.groups))])
			n++
			m.fault = y.kind + " at " + began
			y.after(lasts+time.Duration(24+y.rnd.IntN(240))*hour, next)
		}
		y.after(2*day+time.Duration(y.rnd.IntN(20*24*60))*minute, next)
	}
	for k, r := range reserved {
		if k == len(reserved)-1 {
			y.after(r+day, func() { ofPlane(y) })
			break
		}
		for i, v := range y.vaults {
			of := ofVaults[(4+i+k*3)%len(ofVaults)]
			if slices.ContainsFunc(y.machines, func(m *machine) bool { return m.fact.Intermittent && m.groups[0].at == v }) {
				of = ofVaults[(i+k)%4] // without those that hosts have to be there for
			}
			y.after(r+day+time.Duration(y.rnd.IntN(48*60))*minute, func() { of(y, v) })
		}
	}
}

// sleeps has a laptop be away at night and on most weekends.
func (y *year) sleeps(m *machine) {
	t := time.UnixMilli(y.now).UTC()
	evening := time.Date(t.Year(), t.Month(), t.Day(), 18, y.rnd.IntN(60), 0, 0, time.UTC)
	morning := time.Date(t.Year(), t.Month(), t.Day(), 8, y.rnd.IntN(60), 0, 0, time.UTC)
	var goes, comes func()
	goes = func() {
		if !m.off && y.rnd.IntN(10) > 0 {
			y.leaves(m)
		}
		y.after(day, goes)
	}
	comes = func() {
		weekday := time.UnixMilli(y.now).UTC().Weekday()
		if m.off && y.now >= m.asleep && weekday != time.Saturday && weekday != time.Sunday {
			y.returns(m)
		}
		y.after(day, comes)
	}
	y.at(evening.UnixMilli(), goes)
	y.at(morning.Add(day).UnixMilli(), comes)
}

func (y *year) hush(p alerts.Pause) {
	y.world.Pauses = append(y.world.Pauses, p)
	if y.pauses != nil {
		y.pauses(p)
	}
	y.at(p.Until, func() {})
}

// complain writes down what is wrong; a mutant may do so much that only the first count.
func (y *year) complain(format string, args ...any) {
	if len(y.wrong) < 50 {
		y.wrong = append(y.wrong, fmt.Sprintf(format, args...))
	}
}

func clock(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateTime) }

// message is that people are told.
func (y *year) message(event channels.Event, a alerts.Alert) {
	y.messages++
	for _, x := range y.awaited[a.Key] {
		if !x.came && x.event == event && x.from <= y.now+slack.Milliseconds() && y.now <= x.by {
			x.came = true
			return
		}
	}
	y.complain("%s: nobody waits for %s %s of %s (%s)%s", clock(y.now), event, a.Condition, a.Subject, a.Body.V.Cause, y.before(a))
}

// before says what was last wrong with the host that an alert is about, for who looks why it
// was told.
func (y *year) before(a alerts.Alert) string {
	for _, m := range y.machines {
		if m.fact.ID == a.Host && m.fault != "" {
			return ", after: " + m.fault
		}
	}
	return ""
}

// tell has people hear of changes, as far as nothing keeps them from it.
func (y *year) tell(changes []routing.Change) {
	byID := map[string]alerts.Alert{}
	for _, c := range changes {
		byID[c.Alert.ID] = c.Alert
	}
	for _, n := range routing.Plan(changes, &y.world) {
		a := byID[n.Alert]
		switch {
		case n.Event != channels.Recovered:
			y.pending[a.ID] = a.Key
		case y.knows[a.ID]:
			delete(y.knows, a.ID)
			y.message(n.Event, a)
		default:
			delete(y.pending, a.ID)
		}
	}
	for id, key := range y.pending {
		a := y.book.Live[key]
		if a == nil || a.ID != id {
			delete(y.pending, id)
		} else if y.paused(id, y.world.Paused(*a, y.now)) <= y.now {
			delete(y.pending, id)
			y.knows[id] = true
			y.message(channels.Opened, *a)
		}
	}
}

func next(t time.Time) int64 {
	if t.IsZero() {
		return 1 << 62
	}
	return t.UnixMilli()
}

// found judges what may be another than it was, and returns all that holds.
func (y *year) found() []conditions.Finding {
	now := time.UnixMilli(y.now)
	facts := conditions.Facts{Stopped: y.stopped, Began: y.began}
	var all []conditions.Finding
	for _, m := range y.machines {
		if m.dirty || y.timely && m.next <= y.now {
			facts.Hosts = []conditions.Host{y.factsOf(m)}
			holds, at := y.judge(facts, now)
			m.holds, m.next, m.dirty = holds, next(at), false
		}
		all = append(all, m.holds...)
	}
	facts.Hosts = nil
	for _, v := range y.vaults {
		if v.dirty || y.timely && v.next <= y.now {
			facts.Repositories = []conditions.Repository{y.factsOfVault(v)}
			holds, at := y.judge(facts, now)
			v.holds, v.next, v.dirty = holds, next(at), false
		}
		all = append(all, v.holds...)
	}
	facts.Repositories = nil
	if y.rest || y.timely && y.nextRest <= y.now {
		facts.Channels, facts.Plane = y.channels, y.plane
		holds, at := y.judge(facts, now)
		y.ofRest, y.nextRest, y.rest = holds, next(at), false
	}
	return append(all, y.ofRest...)
}

// whole judges everything anew: what was found in parts has to be all.
func (y *year) whole() []conditions.Finding {
	facts := conditions.Facts{Stopped: y.stopped, Began: y.began, Channels: y.channels, Plane: y.plane}
	for _, m := range y.machines {
		facts.Hosts = append(facts.Hosts, y.factsOf(m))
	}
	for _, v := range y.vaults {
		facts.Repositories = append(facts.Repositories, y.factsOfVault(v))
	}
	holds, _ := y.judge(facts, time.UnixMilli(y.now))
	return holds
}

// look is one sweep.
func (y *year) look() {
	y.looks++
	y.book = y.kept(y.book)
	holds := y.found()
	look := life.Look{Holds: holds, Now: y.now, NewID: func() string { y.ids++; return fmt.Sprintf("%08d", y.ids) }}
	out := y.book.Step(look)
	y.until = out.Next
	if y.looks%997 == 0 {
		if again := y.book.Step(look); len(again.Rows)+len(again.Changes) > 0 {
			y.complain("%s: a second look changes %d alerts and tells %d", clock(y.now), len(again.Rows), len(again.Changes))
		}
		y.compare(holds)
	}
	for k, a := range y.book.Late { // as the database is asked
		if a.EndedBy == alerts.Plane && a.EndedAt < y.now-life.Late.Milliseconds() {
			delete(y.book.Late, k)
		}
	}
	y.tell(y.told(out.Changes))
}

func (y *year) compare(holds []conditions.Finding) {
	of := func(list []conditions.Finding) []string {
		var keys []string
		for _, f := range list {
			keys = append(keys, fmt.Sprint(f.Key))
		}
		slices.Sort(keys)
		return keys
	}
	if a, b := of(holds), of(y.whole()); !slices.Equal(a, b) {
		y.complain("%s: in parts %v holds, of all %v", clock(y.now), a, b)
	}
}

// lasts lets so many days pass.
func (y *year) lasts(days int) {
	end := y.now + (time.Duration(days) * day).Milliseconds()
	y.look()
	for {
		at := end + 1
		if len(y.events) > 0 {
			at = y.events[0].at
		}
		if y.timely && y.hears {
			at = min(at, y.soonest())
		}
		if at > end {
			break
		}
		y.now = max(y.now, at)
		for len(y.events) > 0 && y.events[0].at <= y.now {
			y.pop().do()
		}
		if y.hears {
			y.look()
		}
	}
	y.now = end
	y.missed(end)
}

// missed complains of what was not told.
func (y *year) missed(end int64) {
	for _, x := range y.expected {
		if !x.came && !x.may && x.by <= end {
			y.complain("%s: %s %s was not told by %s", x.fault, x.event, x.key.Condition, clock(x.by))
		}
	}
}

// soonest is when time alone may change something.
func (y *year) soonest() int64 {
	at := y.nextRest
	for _, m := range y.machines {
		at = min(at, m.next)
	}
	for _, v := range y.vaults {
		at = min(at, v.next)
	}
	if y.until > y.now {
		at = min(at, y.until)
	}
	return at
}

// play has a year pass.
func play(size, days int, seed uint64, l laws) *year {
	y := newYear(size, seed, l)
	y.plans(days)
	y.lasts(days)
	return y
}

func TestAYearOfAFleetIsToldInTimeAndOnlyThen(t *testing.T) {
	size, days := 200, 365
	if underRace || testing.Short() {
		size = 24
	}
	began := time.Now()
	y := play(size, days, 1, right())
	for _, w := range y.wrong {
		t.Error(w)
	}
	var kinds []string
	for k, n := range y.kinds {
		kinds = append(kinds, fmt.Sprintf("%s: %d", k, n))
	}
	slices.Sort(kinds)
	t.Logf("%d hosts, %d days, %d looks, %d messages in %v\n%s", size, days, y.looks, y.messages, time.Since(began).Round(time.Millisecond),
		strings.Join(kinds, "\n"))
}

// TestTheYearNoticesRulesThatAreWrong plays years by rules with one mistake each.
func TestTheYearNoticesRulesThatAreWrong(t *testing.T) {
	judging := func(change func(*conditions.Facts, *conditions.Limits)) func(*laws) {
		return func(l *laws) {
			l.judge = func(f conditions.Facts, now time.Time) ([]conditions.Finding, time.Time) {
				limits := conditions.Limits{}
				change(&f, &limits)
				return conditions.Judge(f, limits, now)
			}
		}
	}
	finding := func(change func([]conditions.Finding) []conditions.Finding) func(*laws) {
		return func(l *laws) {
			judge := l.judge
			l.judge = func(f conditions.Facts, now time.Time) ([]conditions.Finding, time.Time) {
				holds, next := judge(f, now)
				return change(holds), next
			}
		}
	}
	without := func(name conditions.Name) func(*laws) {
		return finding(func(holds []conditions.Finding) []conditions.Finding {
			return slices.DeleteFunc(holds, func(f conditions.Finding) bool { return f.Condition == string(name) })
		})
	}
	limit := func(name conditions.Name, value int64) func(*laws) {
		return judging(func(_ *conditions.Facts, l *conditions.Limits) {
			*l = append(*l, conditions.Limit{Condition: name, Scope: conditions.ScopeFleet, Value: value})
		})
	}
	mutants := []struct {
		name  string
		wrong func(*laws)
	}{
		{"an empty source is nothing", without(conditions.SourceEmpty)},
		{"a repository that does not answer is nothing", without(conditions.RepositoryUnreachable)},
		{"a change of nearly all files is nothing", without(conditions.ChangeAnomaly)},
		{"a restart is told", limit(conditions.HostOffline, 20*60)},
		{"a server is told of late", limit(conditions.HostOffline, 45*60)},
		{"warnings are told of too early", limit(conditions.BackupWarnings, 2)},
		{"a lock is told of at once", limit(conditions.RepositoryLocked, 60)},
		{"laptops are servers", judging(func(f *conditions.Facts, _ *conditions.Limits) {
			for i := range f.Hosts {
				f.Hosts[i].Intermittent = false
			}
		})},
		{"who is tried again has failed", judging(func(f *conditions.Facts, _ *conditions.Limits) {
			for _, h := range f.Hosts {
				for i := range h.Groups {
					h.Groups[i].Retrying = false
				}
			}
		})},
		{"who is back has to be done at once", judging(func(f *conditions.Facts, _ *conditions.Limits) {
			for i := range f.Hosts {
				f.Hosts[i].BackAt = 0
			}
		})},
		{"hosts are silent while nobody listens", judging(func(f *conditions.Facts, _ *conditions.Limits) { f.Stopped, f.Began = 0, 0 })},
		{"nothing explains anything elsewhere", finding(func(holds []conditions.Finding) []conditions.Finding {
			for i := range holds {
				holds[i].Host, holds[i].Repository = "", ""
			}
			return holds
		})},
		{"nobody is told that it is over", func(l *laws) {
			l.told = func(list []routing.Change) []routing.Change {
				return slices.DeleteFunc(list, func(c routing.Change) bool { return c.Event == channels.Recovered })
			}
		}},
		{"everything is told at each look", func(l *laws) {
			var last []routing.Change
			l.told = func(list []routing.Change) []routing.Change {
				all := slices.Concat(last, list)
				last = list
				return all
			}
		}},
		{"pauses do not count", func(l *laws) { l.paused = func(string, int64) int64 { return 0 } }},
		{"what was in a pause is never told", func(l *laws) {
			was := map[string]bool{}
			l.paused = func(alert string, until int64) int64 {
				if was[alert] = was[alert] || until > 0; was[alert] {
					return 1 << 62
				}
				return 0
			}
		}},
		{"time alone changes nothing", func(l *laws) { l.timely = false }},
		{"a restart forgets what is open", func(l *laws) {
			n := 0
			l.kept = func(b *life.Book) *life.Book {
				if n++; n == 10_000 {
					return life.NewBook(nil, nil)
				}
				return b
			}
		}},
		{"who comes and goes is told each time", func(l *laws) {
			l.kept = func(b *life.Book) *life.Book {
				for _, a := range b.Live {
					a.Flaps = false
				}
				return b
			}
		}},
		{"what is over explains nothing", func(l *laws) {
			l.kept = func(b *life.Book) *life.Book {
				clear(b.Late)
				return b
			}
		}},
	}
	if underRace || testing.Short() {
		mutants = mutants[:2]
	}
	const size, days = 24, 365
	if y := play(size, days, 2, right()); len(y.wrong) > 0 {
		t.Fatalf("by the right rules: %q", y.wrong)
	}
	for _, m := range mutants {
		l := right()
		m.wrong(&l)
		if y := play(size, days, 2, l); len(y.wrong) == 0 {
			t.Errorf("nobody notices that %s", m.name)
		}
	}
}

// underRace is whether the race detector watches, which leaves time for a part of the fleet.
var underRace bool
