// Package fleet is what is known of all hosts together, at one moment: pages, the
// API and the public topics read it here and nowhere else, so that they agree.
//
// A Board keeps a small entry of each host in memory. It is built from the
// database in one pass; afterwards only what changed is read again: hosts whose
// rows any process changed, whose agents came or went, and those whose status
// becomes another by time alone. Reading applies all of that first, so whoever
// changes something and then reads sees the change.
package fleet

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/topics"
)

// Source is what a board asks of the database.
type Source interface {
	FleetMark(ctx context.Context) (int64, error)
	FleetSince(ctx context.Context, mark, ended int64) (store.FleetChange, error)
}

// Presence is what a board asks about connections.
type Presence interface {
	Look(id topics.HostID) hosts.Look
	Watch() *hosts.Watch
}

// A Board knows how every host is. It is safe for concurrent use.
type Board struct {
	source   Source
	presence Presence
	now      func() time.Time

	mu      sync.Mutex
	asked   time.Time // when Now was asked last, by the wall clock
	moved   *hosts.Watch
	waiting map[topics.HostID]bool // moved, and not looked at yet
	mark    int64                  // below zero: nothing has been read
	entries map[topics.HostID]*Entry
	until   map[topics.HostID]time.Time // when an entry's verdicts or connection may be others by time alone
	again   map[topics.HostID]int64     // when its verdicts may be, in Unix milliseconds; 0 is never
	due     dues
	days    map[int64]Day // by the minute since 1970 in which jobs ended
	latest  *Moment

	plans map[topics.ScheduleID]plan // as they were read last
}

// NewBoard returns a board that is filled when it is first read.
func NewBoard(source Source, presence Presence, now func() time.Time) *Board {
	return &Board{source: source, presence: presence, now: now, moved: presence.Watch(), waiting: map[topics.HostID]bool{}, mark: -1,
		entries: map[topics.HostID]*Entry{}, until: map[topics.HostID]time.Time{}, again: map[topics.HostID]int64{},
		days: map[int64]Day{}, plans: map[topics.ScheduleID]plan{}}
}

// An Entry is what is kept of a host. Nobody changes it: what changed is another
// entry.
type Entry struct {
	store.Host         // without what an agent's every message changes: see store.FleetSince
	protection.Verdict // the worst of its groups'

	Connection hosts.Connection
	Disk       hosts.Disk  // what is wrong with the disk of its agent's state, while it is connected
	Gone       int64       // when it was last heard of, while it is offline; Unix milliseconds
	Never      bool        // it was not here yet since it was enrolled
	Groups     []Group     // what of it is backed up, by name
	Keeper     bool        // it looks after repositories
	Open       []store.Job // what waits and runs there, the oldest first

	LastGood   int64     // when the newest backup ended that can be restored whole, 0 if there is none
	LastTook   int64     // seconds that it took
	Restorable uint64    // bytes that restoring the last good backup of each group would write
	Snapshots  int       // how many there are of its groups, in the repositories they are backed up to now
	LastBackup facts.Run // the backup that ended last, whichever group's

	Proof drills.State // whether it is proven that it can be restored, another thing than the verdict

	words string // what a search looks in, in lower case
	own   int    // how much of words is about this host alone
	rank  int
	back  time.Time // see hosts.Look
	ended []ended   // in the last day
}

type ended struct {
	minute int64
	state  topics.JobState
	added  uint64
}

// BackAt is when the host was last heard of again after some minutes of silence, in Unix
// milliseconds; 0 is not since the control plane was started.
func (e *Entry) BackAt() int64 {
	if e.back.IsZero() {
		return 0
	}
	return e.back.UnixMilli()
}

// Busy is the job that has been at work the longest; else one that was sent, or that
// waits longest; nil if there is none.
func (e *Entry) Busy() (busy *store.Job) {
	places := map[topics.JobState]int{topics.Running: 2, topics.Dispatched: 1}
	for i := range e.Open {
		j := &e.Open[i]
		if busy == nil || places[j.State] > places[busy.State] ||
			j.State == topics.Running && busy.State == topics.Running && j.StartedAt < busy.StartedAt {
			busy = j
		}
	}
	return busy
}

// Beside counts the jobs at work beside the one that Busy returns.
func (e *Entry) Beside() (n int) {
	for i := range e.Open {
		if e.Open[i].State == topics.Running {
			n++
		}
	}
	return max(n-1, 0)
}

// GroupName is the name of one of the host's source groups, "" if it has no such group.
func (e *Entry) GroupName(id topics.SourceGroupID) string {
	if e == nil {
		return ""
	}
	for _, g := range e.Groups {
		if g.ID == id {
			return g.Name
		}
	}
	return ""
}

// Running reports whether a job is at work.
func (e *Entry) Running() bool {
	j := e.Busy()
	return j != nil && j.State == topics.Running
}

// Worst is the group by which the host is judged; its zero value if there is none.
func (e *Entry) Worst() Group {
	for _, g := range e.Groups {
		if g.Status == e.Status && g.Cause == e.Cause && g.Since == e.Since {
			return g
		}
	}
	return Group{}
}

// Now is how all hosts are now. The answer never changes; as long as nothing
// about any host does, it is the same one.
func (b *Board) Now(ctx context.Context) (*Moment, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.moved.Take() {
		b.waiting[id] = true
	}
	now := b.now()
	if wall := now.Round(0); wall.Before(b.asked) {
		b.forget() // the clock was set back: what time alone has changed did not happen yet
	}
	b.asked = now.Round(0)
	began := firstMinute(now)
	edits := edits{}
	mark, err := int64(-1), error(nil)
	if b.mark >= 0 {
		mark, err = b.source.FleetMark(ctx)
	}
	if err == nil && (b.mark < 0 || mark != b.mark) {
		err = b.read(ctx, began, now, edits)
	}
	if err != nil {
		return nil, fmt.Errorf("read the fleet: %w", err)
	}
	for id := range b.waiting {
		b.judge(id, now, edits)
	}
	clear(b.waiting)
	for len(b.due) > 0 && !b.due[0].at.After(now) {
		d := heap.Pop(&b.due).(due) //nolint:forcetypeassert // it holds nothing else
		if b.until[d.host].Equal(d.at) {
			b.judge(d.host, now, edits)
		}
	}
	if b.latest == nil || len(edits) > 0 || b.latest.began != began {
		b.latest = b.next(began, edits)
	}
	return b.latest, nil
}

// forget has everything read anew.
func (b *Board) forget() {
	b.mark, b.latest, b.due = -1, nil, nil
	clear(b.entries)
	clear(b.until)
	clear(b.again)
	clear(b.days)
	clear(b.plans)
}

// edits are the entries that were replaced since the latest moment, as they were
// then; nil is one that is new.
type edits map[topics.HostID]*Entry

// put replaces a host's entry; nil removes it.
func (b *Board) put(id topics.HostID, e *Entry, edits edits) {
	if _, noted := edits[id]; !noted {
		edits[id] = b.entries[id]
	}
	if e != nil {
		b.entries[id] = e
		return
	}
	delete(b.entries, id)
	delete(b.until, id)
	delete(b.again, id)
}

// wait has a host looked at again, once, when its connection or its verdicts may be
// others by time alone.
func (b *Board) wait(id topics.HostID, until time.Time, again int64) {
	b.again[id] = again
	if at := time.UnixMilli(again); again > 0 && (until.IsZero() || at.Before(until)) {
		until = at
	}
	if b.until[id].Equal(until) {
		return
	}
	b.until[id] = until
	if !until.IsZero() {
		heap.Push(&b.due, due{until, id})
	}
}

// judge looks again at a host about which no row changed.
func (b *Board) judge(id topics.HostID, now time.Time, edits edits) {
	was := b.entries[id]
	if was == nil {
		return
	}
	look := b.presence.Look(id)
	if again := b.again[id]; look.Connection == was.Connection && gone(look) == was.Gone && look.Back.Equal(was.back) &&
		look.Disk == was.Disk && look.Never == was.Never && (again == 0 || now.UnixMilli() < again) {
		b.wait(id, look.Until, again) // it beats on
		return
	}
	e := was.judged(look, now)
	b.wait(id, look.Until, e.Until)
	if e.Connection != was.Connection || e.Gone != was.Gone || !e.back.Equal(was.back) || e.Disk != was.Disk || e.Never != was.Never ||
		!e.same(was) {
		b.put(id, e, edits)
	}
}

// read takes what changed in the database.
func (b *Board) read(ctx context.Context, began int64, now time.Time, edits edits) error {
	c, err := b.source.FleetSince(ctx, b.mark, began*minuteMillis)
	if err != nil {
		return err
	}
	b.mark = c.Mark
	gone := map[topics.HostID]bool{}
	for _, id := range c.Changed {
		gone[id] = true
	}
	if c.All {
		for id := range b.entries {
			gone[id] = true
		}
	}
	open, over := map[topics.HostID][]store.Job{}, map[topics.HostID][]ended{}
	for _, j := range c.Open {
		open[j.Host] = append(open[j.Host], j)
	}
	for _, o := range c.Ended {
		e := ended{minute: o.FinishedAt / minuteMillis, state: o.State}
		if o.Summary.V != nil {
			e.added = o.Summary.V.DataAdded
		}
		over[o.Host] = append(over[o.Host], e)
	}
	for _, h := range c.Hosts {
		delete(gone, h.ID)
		own := strings.ToLower(h.Name + "\x00" + h.Hostname + "\x00")
		look := b.presence.Look(h.ID)
		e := Entry{Host: h, Open: open[h.ID], Groups: b.groups(c.Groups[h.ID]), Keeper: c.Keepers[h.ID], ended: over[h.ID],
			words: own + strings.ToLower(h.Platform), own: len(own)}.judged(look, now)
		if was := b.entries[h.ID]; was != nil {
			b.count(was.ended, -1)
		}
		b.count(e.ended, 1)
		b.put(h.ID, e, edits)
		b.wait(h.ID, look.Until, e.Until)
	}
	for id := range gone {
		if was := b.entries[id]; was != nil {
			b.count(was.ended, -1)
			b.put(id, nil, edits)
		}
	}
	return nil
}

const minuteMillis = 60_000

// firstMinute is the minute with which the last day begins.
func firstMinute(now time.Time) int64 { return now.Add(-24*time.Hour).UnixMilli() / minuteMillis }

// count adds jobs to the minutes in which they ended, or takes them away again.
func (b *Board) count(list []ended, times int) {
	for _, e := range list {
		if b.latest != nil && e.minute < b.latest.began {
			continue // its minute is no more
		}
		d := b.days[e.minute]
		d.Runs += times
		switch e.state {
		case topics.Succeeded:
			d.Succeeded += times
		case topics.Warnings:
			d.Warnings += times
		case topics.Cancelled:
			d.Cancelled += times
		default:
			d.Failed += times
		}
		d.Added += uint64(times) * e.added // of two's complement: taking away is adding what is below zero
		b.days[e.minute] = d
	}
}

// next is the moment after the latest one.
func (b *Board) next(began int64, edits edits) *Moment {
	m := &Moment{began: began, Tally: map[protection.Status]int{}}
	for minute, d := range b.days {
		if minute < began || d.Runs == 0 {
			delete(b.days, minute)
			continue
		}
		m.Day.add(d)
	}
	was := b.latest
	if was == nil {
		was = &Moment{}
	}
	var old, fresh []*Entry
	for id, e := range edits {
		if e != nil {
			old = append(old, e)
		}
		if e := b.entries[id]; e != nil {
			fresh = append(fresh, e)
		}
	}
	m.urgent = patched(was.urgent, old, fresh, byUrgency)
	m.named = patched(was.named, old, fresh, byName)
	m.ids = patched(was.ids, old, fresh, byID)
	m.sum()
	return m
}

// patched is a sorted list with some entries out and others in.
func patched(list, out, in []*Entry, compare func(a, b *Entry) int) []*Entry {
	if len(out) == 0 && len(in) == 0 {
		return list
	}
	slices.SortFunc(out, compare)
	slices.SortFunc(in, compare)
	kept, from := make([]*Entry, 0, len(list)-len(out)), 0
	for _, e := range out {
		at, _ := slices.BinarySearchFunc(list, e, compare)
		kept = append(kept, list[from:at]...)
		from = at + 1
	}
	kept = append(kept, list[from:]...)
	if len(in) == 0 {
		return kept
	}
	all, from := make([]*Entry, 0, len(kept)+len(in)), 0
	for _, e := range in {
		at, _ := slices.BinarySearchFunc(kept, e, compare)
		all = append(append(all, kept[from:at]...), e)
		from = at
	}
	return append(all, kept[from:]...)
}

// A due is when a host is to be looked at again.
type due struct {
	at   time.Time
	host topics.HostID
}

// dues are those of all hosts, the first on top. One that its entry does not
// name any more is passed over.
type dues []due

func (d dues) Len() int           { return len(d) }
func (d dues) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d dues) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }

// Push implements heap.Interface.
func (d *dues) Push(v any) { *d = append(*d, v.(due)) } //nolint:forcetypeassert // of ourselves

// Pop implements heap.Interface.
func (d *dues) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}
