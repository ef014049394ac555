package schedule

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A Load counts the backups that begin in the next 24 hours, by the quarter of an hour
// of the day in UTC: all zones are ahead of it by whole quarters, so that the hours of
// any can be counted from these.
type Load [24 * 4]int

func quarterOf(t time.Time) int { return (t.UTC().Hour()*60 + t.UTC().Minute()) / 15 }

func (l *Load) add(o Load, times int) {
	for quarter, n := range o {
		l[quarter] += times * n
	}
}

// Hours is the load by the hours of a zone's clock.
func (l *Load) Hours(now time.Time, zone *time.Location) (hours [24]int) {
	midnight, first := now.UTC().Truncate(24*time.Hour), quarterOf(now)
	for quarter, n := range l {
		at := midnight.Add(time.Duration(quarter) * 15 * time.Minute)
		if quarter < first {
			at = at.Add(24 * time.Hour) // it comes tomorrow
		}
		hours[at.In(zone).Hour()] += n
	}
	return hours
}

// LoadOf returns a schedule's share of the load, and when it changes next as time
// passes; the zero time is never. A schedule that is paused or cannot be parsed has
// none.
func LoadOf(sc store.Schedule, now time.Time) (l Load, until time.Time) {
	starts, err := Starts(sc, now)
	if err != nil || !sc.Enabled {
		return l, until
	}
	const window = 24 * time.Hour
	for start := range starts {
		if until.IsZero() {
			until = start // then this run has begun
		}
		if !start.Before(now.Add(window)) {
			if enters := start.Add(1 - window); enters.Before(until) {
				until = enters
			}
			break
		}
		l[quarterOf(start)] += max(len(sc.Groups), 1)
	}
	return l, until
}

// A Listed is a schedule in the list of all schedules. It is immutable.
type Listed struct {
	store.Schedule
	HostName   string
	GroupNames []string // of what it backs up, by name

	order string // sort key of the list
	words string // text that a search looks in, in lower case
	load  Load
}

// Unplanned is a source group that no enabled schedule backs up.
type Unplanned struct {
	Host     topics.HostID
	HostName string
	Group    string
	Paused   string // the name of a paused schedule that names it, "" for none
}

// A Moment holds all schedules at one moment. It is immutable.
type Moment struct {
	Load      Load
	Unplanned []Unplanned // by group and host

	rows []*Listed // by name and host
}

// Search lists the schedules whose name, host or groups contain a text, ignoring
// case. The list is shared; do not change it.
func (m *Moment) Search(text string) []*Listed {
	if text == "" {
		return m.rows
	}
	text = strings.ToLower(text)
	var found []*Listed
	for _, r := range m.rows {
		if strings.Contains(r.words, text) {
			found = append(found, r)
		}
	}
	return found
}

// LoadWith returns the load if a schedule were changed to this one.
func (m *Moment) LoadWith(sc store.Schedule, now time.Time) Load {
	l := m.Load
	for _, r := range m.rows {
		if r.ID == sc.ID {
			l.add(r.load, -1)
		}
	}
	own, _ := LoadOf(sc, now)
	l.add(own, 1)
	return l
}

// A ListSource is what a board reads from the database.
type ListSource interface {
	ScheduleMark(ctx context.Context) (int64, error)
	SchedulesSince(ctx context.Context, mark int64) (store.ScheduleChange, error)
}

// A Board caches the list of all schedules. It reads the database once, and
// afterwards only hosts that changed, and recounts the load only of schedules whose
// next run has begun. It is safe for concurrent use.
type Board struct {
	source ListSource
	now    func() time.Time

	mu     sync.Mutex
	asked  time.Time // when Now was last called, by the wall clock
	mark   int64     // negative until the first read
	hosts  map[topics.HostID]kept
	rows   map[topics.ScheduleID]*Listed
	until  map[topics.ScheduleID]time.Time // when a schedule's load changes as time passes
	due    dues
	added  []*Listed // not in the latest moment yet
	load   Load
	latest *Moment
}

// kept is what the board holds of a host.
type kept struct {
	schedules []topics.ScheduleID
	unplanned []Unplanned
}

// NewBoard returns a board that reads the database on first use.
func NewBoard(source ListSource, now func() time.Time) *Board {
	return &Board{
		source: source,
		now:    now,
		mark:   -1,
		hosts:  map[topics.HostID]kept{},
		rows:   map[topics.ScheduleID]*Listed{},
		until:  map[topics.ScheduleID]time.Time{},
	}
}

// Now returns the current state of all schedules: the same value until something
// changes.
func (b *Board) Now(ctx context.Context) (*Moment, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if wall := now.Round(0); wall.Before(b.asked) {
		b.forget() // the clock was set back: runs that had begun are to come again
	}
	b.asked = now.Round(0)
	mark, err := int64(-1), error(nil)
	if b.mark >= 0 {
		mark, err = b.source.ScheduleMark(ctx)
	}
	var c store.ScheduleChange
	news := err == nil && (b.mark < 0 || mark != b.mark)
	if news {
		c, err = b.source.SchedulesSince(ctx, b.mark)
	}
	if err != nil {
		return nil, fmt.Errorf("read the schedules: %w", err)
	}
	if news {
		b.take(c, now)
	}
	passed := false
	for len(b.due) > 0 && !b.due[0].at.After(now) {
		d := heap.Pop(&b.due).(due) //nolint:forcetypeassert // it holds nothing else
		if r := b.rows[d.id]; r != nil && b.until[d.id].Equal(d.at) {
			again := *r
			b.put(&again, now)
			passed = true
		}
	}
	if b.latest == nil || news || passed {
		b.latest = b.next(news)
	}
	return b.latest, nil
}

// forget drops everything, so that it is read again.
func (b *Board) forget() {
	b.mark, b.load, b.latest, b.due, b.added = -1, Load{}, nil, nil, nil
	clear(b.hosts)
	clear(b.rows)
	clear(b.until)
}

// put replaces a schedule.
func (b *Board) put(r *Listed, now time.Time) {
	if was := b.rows[r.ID]; was != nil {
		b.load.add(was.load, -1)
	} else {
		b.added = append(b.added, r)
	}
	var until time.Time
	r.load, until = LoadOf(r.Schedule, now)
	b.load.add(r.load, 1)
	b.rows[r.ID], b.until[r.ID] = r, until
	if !until.IsZero() {
		heap.Push(&b.due, due{until, r.ID})
	}
}

// take stores what changed.
func (b *Board) take(c store.ScheduleChange, now time.Time) {
	b.mark = c.Mark
	old := c.Changed
	if c.All {
		b.due = nil
		for id := range b.hosts {
			old = append(old, id)
		}
	}
	gone := map[topics.ScheduleID]bool{}
	for _, id := range old {
		for _, sc := range b.hosts[id].schedules {
			gone[sc] = true
		}
		delete(b.hosts, id)
	}
	names, planned, paused := map[topics.SourceGroupID]string{}, map[topics.SourceGroupID]bool{}, map[topics.SourceGroupID]string{}
	for _, g := range c.Groups {
		names[g.ID] = g.Name
	}
	fresh := map[topics.HostID]kept{}
	for _, sc := range c.Schedules {
		r := &Listed{Schedule: sc, HostName: c.Names[sc.Host], GroupNames: []string{}}
		for _, g := range sc.Groups {
			r.GroupNames = append(r.GroupNames, names[g])
			if planned[g] = planned[g] || sc.Enabled; !sc.Enabled {
				paused[g] = sc.Name
			}
		}
		r.order = sc.Name + "\x00" + r.HostName + "\x00" + string(sc.ID)
		r.words = strings.ToLower(sc.Name + "\x00" + r.HostName + "\x00" + strings.Join(r.GroupNames, ", "))
		delete(gone, sc.ID)
		b.put(r, now)
		h := fresh[sc.Host]
		h.schedules = append(h.schedules, sc.ID)
		fresh[sc.Host] = h
	}
	for _, g := range c.Groups {
		if !planned[g.ID] {
			h := fresh[g.Host]
			h.unplanned = append(h.unplanned, Unplanned{Host: g.Host, HostName: c.Names[g.Host], Group: g.Name, Paused: paused[g.ID]})
			fresh[g.Host] = h
		}
	}
	for id, h := range fresh {
		b.hosts[id] = h
	}
	for id := range gone {
		b.load.add(b.rows[id].load, -1)
		delete(b.rows, id)
		delete(b.until, id)
	}
}

// next returns the moment that follows the latest one. Without changes, only time has
// passed.
func (b *Board) next(news bool) *Moment {
	m := &Moment{Load: b.load, rows: make([]*Listed, 0, len(b.rows))}
	if b.latest != nil {
		m.Unplanned = b.latest.Unplanned
		for _, was := range b.latest.rows {
			if is := b.rows[was.ID]; is != nil {
				m.rows = append(m.rows, is)
			}
		}
	}
	if !news {
		return m
	}
	for _, r := range b.added {
		if is := b.rows[r.ID]; is != nil {
			m.rows = append(m.rows, is)
		}
	}
	b.added, m.Unplanned = nil, nil
	for _, h := range b.hosts {
		m.Unplanned = append(m.Unplanned, h.unplanned...)
	}
	slices.SortFunc(m.rows, func(x, y *Listed) int { return strings.Compare(x.order, y.order) })
	slices.SortFunc(m.Unplanned, func(x, y Unplanned) int {
		return cmp.Or(strings.Compare(x.Group, y.Group), strings.Compare(x.HostName, y.HostName), cmp.Compare(x.Host, y.Host))
	})
	return m
}

// A due is when a schedule's load has to be recounted.
type due struct {
	at time.Time
	id topics.ScheduleID
}

// dues is a heap of all schedules, earliest first. Entries that do not match until
// are outdated and skipped.
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
