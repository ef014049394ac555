package alerts_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/topics"
)

// The spans of the simulated fleet.
const (
	minute = time.Minute
	hour   = time.Hour
	day    = 24 * hour

	backupTakes = 10 * minute
	catchesUp   = 3 * minute // a host that is back begins what it missed
)

// A machine is one host of the simulated fleet: what the control plane knows of it, and what
// its agent does.
type machine struct {
	fact   conditions.Host
	groups []*source
	off    bool   // it is switched off
	cut    bool   // its connection is cut, and its agent goes on by itself
	asleep int64  // it does not wake before
	woke   func() // what follows from that, once

	fault  string // the last one, for who reads what went wrong
	backAt int64  // when it last came back

	holds []conditions.Finding // as it was judged last
	next  int64                // when time alone may make that another
	dirty bool
}

// A source is one source group, with one schedule.
type source struct {
	of    *machine
	at    *vault
	id    string
	facts protection.Facts
	fact  conditions.Group
	plan  protection.Plan

	next    int64    // the slot it waits for
	owed    bool     // it missed one
	slot    int64    // the latest that began
	how     ending   // its next backups
	stuck   bool     // its host does not begin slots
	running bool     // a backup
	tries   int      // of the slot
	removed bool     // its schedule
	before  []figure // of its last good backups
	n       int
}

// A figure is what one good backup was like.
type figure struct{ files, bytes, added, changed float64 }

// A vault is one repository.
type vault struct {
	fact  conditions.Repository
	said  []health.Verdict // what is wrong with it as a job found it
	away  bool             // nobody can open it
	holds []conditions.Finding
	next  int64
	dirty bool
}

// An ending is how backups end: the zero value is well.
type ending struct {
	state topics.JobState
	cause topics.Cause
	again int     // how often one that failed is tried again
	helps bool    // the last of these tries is well
	size  float64 // of what is usual, 0 is all of it
	added float64 // part of it that is new, 0 is what is usual
}

// A fleet is all of it, at one moment.
type fleet struct {
	now      int64
	rnd      *rand.Rand
	machines []*machine
	vaults   []*vault
	channels []conditions.Channel
	plane    []conditions.Notice
	stopped  int64
	began    int64
	hears    bool // the control plane runs

	events events
	rest   bool // channels or the plane are another
	n      int
}

// An event is something that happens.
type event struct {
	at int64
	n  int // in order of their making, of the same moment
	do func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].n < e[j].n
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}

// at has something happen at a moment.
func (f *fleet) at(ms int64, do func()) {
	f.n++
	heap.Push(&f.events, event{ms, f.n, do})
}

func (f *fleet) pop() event { return heap.Pop(&f.events).(event) }

func (f *fleet) after(d time.Duration, do func()) { f.at(f.now+d.Milliseconds(), do) }

// zones are where hosts are: with summer time in both halves of the year, with one of half an
// hour, and without.
var zones = []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"}

// newFleet makes a fleet of hosts that were backed up the night before.
func newFleet(size int, from time.Time, seed uint64) *fleet {
	f := &fleet{now: from.UnixMilli(), rnd: rand.New(rand.NewPCG(seed, 14)), hears: true}
	for i := range max(size/16, 2) {
		f.vaults = append(f.vaults, &vault{dirty: true, fact: conditions.Repository{ID: topics.RepositoryID(fmt.Sprintf("vault-%02d", i)),
			Name: fmt.Sprintf("vault %d", i)}})
	}
	for i := range size {
		m := &machine{dirty: true, fact: conditions.Host{ID: topics.HostID(fmt.Sprintf("host-%03d", i)), Name: fmt.Sprintf("host %d", i),
			EnrolledAt: f.now - (40 * day).Milliseconds(), SeenAt: f.now, Clock: 40, CertifiedUntil: f.now + (400 * day).Milliseconds()}}
		if m.fact.Tags = []string{"servers"}; i%4 == 3 {
			m.fact.Intermittent, m.fact.Tags = true, []string{"laptops"}
		}
		f.machines = append(f.machines, m)
		for k := range 1 + i%2 {
			f.source(m, f.vaults[i%len(f.vaults)], k)
		}
	}
	return f
}

// source gives a host a source group with a schedule that has worked for a while.
func (f *fleet) source(m *machine, v *vault, k int) *source {
	zone := zones[f.rnd.IntN(len(zones))]
	line := fmt.Sprintf("%d %d * * *", f.rnd.IntN(60), f.rnd.IntN(5)) // around the hours that a change of the clock skips and repeats
	if m.fact.Intermittent {
		line = fmt.Sprintf("%d %d * * *", f.rnd.IntN(60), 10+f.rnd.IntN(5))
	}
	id := fmt.Sprintf("%s-%d", m.fact.ID, k)
	policy, err := slots.Parse(line, zone, 10*minute, id)
	if err != nil {
		panic(err)
	}
	s := &source{of: m, at: v, id: id}
	made := f.now - (30 * day).Milliseconds()
	s.plan = protection.Plan{ID: topics.ScheduleID(id), Name: "nightly", Policy: policy, Enabled: true, Made: made, Since: made}
	s.fact = conditions.Group{ID: topics.SourceGroupID(id), Name: fmt.Sprintf("group %d", k), Repository: v.fact.ID, CreatedAt: made}
	s.facts = protection.Facts{Group: facts.Group{Group: s.fact.ID, Host: m.fact.ID, Repository: v.fact.ID, MeasureFiles: 10_000,
		MeasureBytes: 10 << 30, UsualSeconds: int64(backupTakes.Seconds())}, Name: s.fact.Name, CreatedAt: made}
	for range 10 {
		s.before = append(s.before, f.usual())
	}
	s.saved(f, f.now, f.now, f.now, s.before[0], topics.Succeeded)
	m.groups = append(m.groups, s)
	f.plan(s)
	return s
}

// usual is what a backup is like: a little other each time.
func (f *fleet) usual() figure {
	n := 1 + f.rnd.Float64()/50
	return figure{files: 10_000 * n, bytes: 10 * (1 << 30) * n, added: (80 + 40*f.rnd.Float64()) * (1 << 20), changed: 100 +
		50*f.rnd.Float64()}
}

// plan waits for the next slot of a source group.
func (f *fleet) plan(s *source) {
	next := slots.Next(s.plan.Policy, time.UnixMilli(max(f.now, s.plan.Since)))
	s.next = next.UnixMilli()
	f.at(s.plan.Policy.Start(next).UnixMilli(), func() {
		if s.next == next.UnixMilli() {
			f.slot(s, s.next)
		}
	})
}

// slot is that one begins.
func (f *fleet) slot(s *source, slot int64) {
	f.plan(s)
	if !s.plan.Enabled || s.removed {
		return
	}
	if s.slot = slot; s.of.off || s.stuck {
		s.owed = true
		return
	}
	f.backup(s)
}

// backup begins one for the latest slot.
func (f *fleet) backup(s *source) {
	if s.owed = s.running; s.running { // it follows
		return
	}
	s.running = true
	s.facts.RunningSince = f.now
	s.of.dirty = true
	began, slot := f.now, s.slot
	f.after(backupTakes, func() {
		s.running, s.facts.RunningSince, s.of.dirty = false, 0, true
		if s.of.off { // it was cut off meanwhile: its agent says so when it is back
			s.owed = true
			return
		}
		f.ended(s, began, slot)
		if s.owed && !s.stuck {
			f.backup(s)
		}
	})
}

// ended is that a backup ended.
func (f *fleet) ended(s *source, began, slot int64) {
	how := s.how
	if s.at.away {
		how = ending{state: topics.Failed, cause: topics.CauseUnreachable, again: 3}
		f.finds(s.at, health.Verdict{Word: health.Unreachable, Cause: "repository-unreachable", Since: f.now,
			Reason: "Its server does not answer."})
	} else {
		f.opens(s.at)
	}
	if how.state == topics.Failed {
		f.failed(s, how)
		return
	}
	s.tries = 0
	is := f.usual()
	state, cause := topics.Succeeded, topics.Cause("")
	switch {
	case how.cause == topics.CauseEmptySource:
		is, state, cause = figure{}, topics.Warnings, how.cause
	case how.state == topics.Warnings:
		state, cause = topics.Warnings, how.cause
	}
	if how.size > 0 {
		is.files, is.bytes = is.files*how.size, is.bytes*how.size
	}
	if how.added > 0 {
		is.added, is.changed = is.bytes*how.added, is.files*how.added
	}
	s.saved(f, slot, began, f.now, is, state)
	s.facts.Last.Cause = cause
	if state == topics.Warnings && cause != topics.CauseEmptySource {
		if s.fact.Warned.Times++; s.fact.Warned.Times == 1 {
			s.fact.Warned.Since = f.now
		}
		s.fact.Warned.Run = s.fact.Last
		s.fact.Warned.Why = "Some files could not be read."
	} else {
		s.fact.Warned = conditions.Streak{}
	}
}

// failed is that a backup made no snapshot.
func (f *fleet) failed(s *source, how ending) {
	s.n++
	job := topics.JobID(fmt.Sprintf("%s-job-%d", s.id, s.n))
	if s.facts.FailedSince == 0 {
		s.facts.FailedSince = f.now
	}
	s.facts.Last = facts.Run{Job: job, State: topics.Failed, Cause: how.cause, EndedAt: f.now}
	s.fact.Last = conditions.Run{Job: job, State: topics.Failed, At: f.now, Why: "It failed."}
	s.tries++
	again := s.tries <= how.again
	s.fact.Retrying = again
	if s.fact.GaveUp = s.fact.GaveUp || !again; !again {
		s.tries = 0
		return
	}
	if s.tries == how.again && how.helps {
		s.how = ending{}
	}
	f.after(minute<<s.tries, func() {
		if s.tries > 0 && !s.of.off && s.fact.Retrying {
			f.backup(s)
		}
	})
}

// saved is that a backup made a snapshot.
func (s *source) saved(f *fleet, slot, began, ended int64, is figure, state topics.JobState) {
	s.n++
	job := topics.JobID(fmt.Sprintf("%s-job-%d", s.id, s.n))
	snapshot := facts.Snapshot{ID: string(job), Job: job, Begun: began, Ended: ended, Files: uint64(is.files), Bytes: uint64(is.bytes),
		State: state}
	s.facts.Snapshots++
	s.facts.Newest = snapshot
	if is.files > 0 {
		s.facts.Whole, s.facts.ServedBy, s.facts.ServedSlot = snapshot, s.plan.ID, slot
	}
	s.facts.Last = facts.Run{Job: job, State: state, EndedAt: ended}
	s.facts.FailedSince = 0
	s.fact.Last = conditions.Run{Job: job, State: state, At: ended}
	s.fact.Retrying, s.fact.GaveUp = false, false
	if state != topics.Succeeded || is.files == 0 {
		return
	}
	s.facts.Good, s.fact.LastGood = snapshot, ended
	size := &conditions.Size{Job: job, At: ended}
	for _, one := range []struct {
		to *conditions.Compared
		of func(figure) float64
	}{{&size.Files, func(x figure) float64 { return x.files }}, {&size.Bytes, func(x figure) float64 { return x.bytes }},
		{&size.Added, func(x figure) float64 { return x.added }}, {&size.Changed, func(x figure) float64 { return x.changed }}} {
		before := make([]float64, len(s.before))
		for i, b := range s.before {
			before[i] = one.of(b)
		}
		*one.to = conditions.Compare(one.of(is), before)
	}
	s.fact.Size = size
	if size.Odd() {
		s.fact.Unusual = size
	}
	if s.before = append(s.before, is); len(s.before) > conditions.Window {
		s.before = s.before[1:]
	}
}

// finds is that a job found something wrong with a repository.
func (f *fleet) finds(v *vault, wrong health.Verdict) {
	for _, is := range v.said {
		if is.Word == wrong.Word {
			return
		}
	}
	v.said = append(v.said, wrong)
	f.vaultChanged(v)
}

// opens is that a job opened a repository: what kept jobs out is over.
func (f *fleet) opens(v *vault) { f.mended(v, health.Unreachable) }

func (f *fleet) mended(v *vault, word health.Word) {
	for i, is := range v.said {
		if is.Word == word {
			v.said = append(v.said[:i:i], v.said[i+1:]...)
			f.vaultChanged(v)
			return
		}
	}
}

func (f *fleet) vaultChanged(v *vault) {
	v.dirty = true
	for _, m := range f.machines {
		for _, s := range m.groups {
			if s.at == v {
				m.dirty = true
			}
		}
	}
}

// loses and regains are about a connection; what the agent does meanwhile goes on.
func (f *fleet) loses(m *machine) {
	m.cut, m.fact.Offline, m.fact.SeenAt, m.dirty = true, f.hears, f.now, true
}

func (f *fleet) regains(m *machine) {
	m.cut, m.fact.Offline, m.fact.Unknown, m.fact.SeenAt, m.backAt, m.dirty = false, false, false, f.now, f.now, true
}

// leaves is that a host is not heard of any more, and returns that it is.
func (f *fleet) leaves(m *machine) {
	m.off, m.fact.SeenAt, m.dirty = true, f.now, true
	m.fact.Offline = f.hears
}

func (f *fleet) returns(m *machine) {
	m.off, m.fact.Offline, m.fact.Unknown, m.fact.SeenAt, m.dirty = false, false, false, f.now, true
	m.backAt = f.now
	if woke := m.woke; woke != nil {
		m.woke = nil
		woke()
	}
	f.after(catchesUp, func() {
		for _, s := range m.groups {
			if s.owed && !m.off && !s.stuck && s.plan.Enabled {
				f.backup(s)
			}
		}
	})
}

// factsOf are those of a host, as the control plane has them at this moment.
func (f *fleet) factsOf(m *machine) conditions.Host {
	h := m.fact
	h.BackAt = m.backAt
	if !m.off && !m.cut && !h.Unknown && f.hears {
		h.SeenAt = f.now
	}
	h.Groups = make([]conditions.Group, len(m.groups))
	now := time.UnixMilli(f.now)
	for i, s := range m.groups {
		p := s.facts
		p.Host = protection.Host{Intermittent: h.Intermittent, OverdueDays: int(h.OverdueDays), Offline: h.Offline, Unknown: h.Unknown,
			SeenAt: h.SeenAt, AwayUntil: m.backAt, TwinsSince: h.TwinsSince, DiskFull: h.DiskFull, DiskLow: h.DiskLow, DiskSince: h.DiskSince}
		for _, v := range s.at.said {
			if v.Word == health.Damaged || v.Word == health.Missing || v.Word == health.Unreadable {
				p.Repository = protection.Repository{Health: v.Word, Since: v.Since}
			}
		}
		g := s.fact
		if !s.removed {
			p.Plans, g.Schedules = []protection.Plan{s.plan}, 1
			if s.plan.Enabled {
				g.Enabled = 1
			}
		}
		g.FailedSince = s.facts.FailedSince
		g.Said = protection.All(p, now)
		h.Groups[i] = g
	}
	return h
}

// factsOfVault are those of a repository.
func (f *fleet) factsOfVault(v *vault) conditions.Repository {
	r := v.fact
	if r.Said = v.said; len(r.Said) == 0 {
		r.Said = []health.Verdict{{Word: health.Healthy}}
	}
	return r
}
