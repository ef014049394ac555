package fleet

import (
	"cmp"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

// A Moment is how all hosts are at one moment. It never changes, and its figures
// add up: each host is in exactly one place of the tally.
type Moment struct {
	Tally      map[protection.Status]int // hosts by status
	Online     int                       // hosts whose agents are connected
	Running    int                       // jobs at work
	Saved      int                       // hosts with a good backup, however old
	Protected  int                       // hosts whose status is protected
	Proven     int                       // hosts that are proven restorable
	Disproved  int                       // hosts of which the last drill failed
	Oldest     *Entry                    // of those saved, the one whose last is the oldest; nil if there is none
	Restorable uint64                    // bytes that would come back from the last good backups
	Day        Day                       // what ended in the last 24 hours, to the minute
	Silent     *Silence                  // hosts that went silent together; nil if they did not
	Offline    int                       // hosts whose agents are known not to be connected
	Waiting    int                       // jobs that wait, or were sent and not begun

	troubles           []Trouble
	urgent, named, ids []*Entry
	began              int64 // the first minute of the day
}

// A Day counts the jobs that ended in some time, and what they added.
type Day struct {
	Runs, Succeeded, Warnings, Cancelled, Failed int
	Added                                        uint64
}

func (d *Day) add(o Day) {
	d.Runs += o.Runs
	d.Succeeded += o.Succeeded
	d.Warnings += o.Warnings
	d.Cancelled += o.Cancelled
	d.Failed += o.Failed
	d.Added += o.Added
}

func byUrgency(a, b *Entry) int { return cmp.Or(cmp.Compare(a.rank, b.rank), byName(a, b)) }
func byName(a, b *Entry) int    { return cmp.Or(strings.Compare(a.Name, b.Name), byID(a, b)) }
func byID(a, b *Entry) int      { return strings.Compare(string(a.ID), string(b.ID)) }

// sum fills in the figures.
func (m *Moment) sum() {
	ranks := make([]int, len(protection.Words)) // faster than to look up words
	for _, e := range m.named {
		ranks[e.rank]++
		switch e.Connection {
		case hosts.Online:
			m.Online++
		case hosts.Offline:
			m.Offline++
		}
		switch e.Proof.Word {
		case drills.Proven:
			m.Proven++
		case drills.Disproved:
			m.Disproved++
		}
		for i := range e.Open {
			if e.Open[i].State == topics.Running {
				m.Running++
			} else {
				m.Waiting++
			}
		}
		if e.LastGood == 0 {
			continue
		}
		m.Saved++
		m.Restorable += e.Restorable
		if m.Oldest == nil || e.LastGood < m.Oldest.LastGood || e.LastGood == m.Oldest.LastGood && byUrgency(e, m.Oldest) < 0 {
			m.Oldest = e
		}
	}
	for rank, n := range ranks {
		if n > 0 {
			m.Tally[protection.Words[rank]] = n
		}
	}
	m.Protected = m.Tally[protection.Protected]
	m.Silent, m.troubles = m.silence(), m.byCause()
}

// Of is how some hosts are together: what a board answers with that has read just them.
func Of(entries ...Entry) *Moment {
	m := &Moment{Tally: map[protection.Status]int{}}
	for _, e := range entries {
		e.words = strings.ToLower(e.Name + "\x00" + e.Hostname + "\x00")
		e.own, e.rank = len(e.words), e.Status.Rank()
		m.ids = append(m.ids, &e)
	}
	slices.SortFunc(m.ids, byID)
	m.named, m.urgent = slices.SortedFunc(slices.Values(m.ids), byName), slices.SortedFunc(slices.Values(m.ids), byUrgency)
	m.sum()
	return m
}

// Len counts the hosts.
func (m *Moment) Len() int { return len(m.named) }

// ByName lists every host by name. The list is everybody's: it is only read.
func (m *Moment) ByName() []*Entry { return m.named }

// ByUrgency lists every host, those that need somebody first. The list is
// everybody's: it is only read.
func (m *Moment) ByUrgency() []*Entry { return m.urgent }

// ByID lists all hosts by their IDs: no rename moves one. The list is everybody's: it is
// only read.
func (m *Moment) ByID() []*Entry { return m.ids }

// Host is one host's entry, nil if there is no such host.
func (m *Moment) Host(id topics.HostID) *Entry {
	i, found := slices.BinarySearchFunc(m.ids, id, func(e *Entry, id topics.HostID) int { return strings.Compare(string(e.ID), string(id)) })
	if !found {
		return nil
	}
	return m.ids[i]
}

// Name is a host's name, "" if there is no such host.
func (m *Moment) Name(id topics.HostID) string {
	if e := m.Host(id); e != nil {
		return e.Name
	}
	return ""
}

// Open lists every job that waits or runs, the oldest first.
func (m *Moment) Open() []store.Job {
	var all []store.Job
	for _, e := range m.named {
		all = append(all, e.Open...)
	}
	slices.SortFunc(all, func(a, b store.Job) int { return cmp.Or(cmp.Compare(a.QueuedAt, b.QueuedAt), cmp.Compare(a.ID, b.ID)) })
	return all
}

// A Filter says which hosts are meant. What is empty does not narrow it.
type Filter struct {
	Status     protection.Status
	Trouble    bool   // those for which somebody has to do something
	Cause      string // those in trouble for this cause
	Connection hosts.Connection
	Tag        string // those that have it
	Proof      drills.Word
	Text       string // part of the name, the hostname or the platform, or of the ID if it is not too short; in capitals or not
}

// idPart is how many characters of an ID find its host. Fewer are in many IDs by chance:
// in a fleet of a thousand, a word of three letters is in one that it has nothing to do with.
const idPart = 8

// called reports whether a text, in small letters, is in the host's name or hostname, or is
// a part of its ID.
func (e *Entry) called(text string) bool {
	return strings.Contains(e.words[:e.own], text) || len(text) >= idPart && strings.Contains(string(e.ID), text)
}

// matcher is the filter as a function.
func (f Filter) matcher() func(*Entry) bool {
	text := strings.ToLower(strings.TrimSpace(f.Text))
	return func(e *Entry) bool {
		if f.Trouble || f.Cause != "" {
			if !e.Status.Trouble() || f.Cause != "" && e.Cause != f.Cause {
				return false
			}
		}
		if f.Connection != "" && e.Connection != f.Connection {
			return false
		}
		if f.Proof != "" && e.Proof.Word != f.Proof {
			return false
		}
		if f.Tag != "" && !slices.Contains(e.Tags, f.Tag) {
			return false
		}
		return (f.Status == "" || e.Status == f.Status) && (text == "" || strings.Contains(e.words, text) || e.called(text))
	}
}

// TallyOf counts the hosts that have a tag and in whose words a text is, by status.
func (m *Moment) TallyOf(tag, text string) map[protection.Status]int {
	if tag == "" && text == "" {
		return m.Tally
	}
	tally, matches := map[protection.Status]int{}, Filter{Tag: tag, Text: text}.matcher()
	for _, e := range m.named {
		if matches(e) {
			tally[e.Status]++
		}
	}
	return tally
}

// Count counts the hosts that a filter finds.
func (m *Moment) Count(f Filter) int {
	if f == (Filter{}) {
		return len(m.named)
	}
	n, matches := 0, f.matcher()
	for _, e := range m.named {
		if matches(e) {
			n++
		}
	}
	return n
}

// Page lists the hosts from one place of a list on, at most so many: those that a
// filter finds, the most urgent first.
func (m *Moment) Page(f Filter, from, most int) []*Entry { return page(m.urgent, f, from, most) }

func page(list []*Entry, f Filter, from, most int) []*Entry {
	if f == (Filter{}) {
		from = min(max(from, 0), len(list))
		return list[from:min(from+most, len(list)):min(from+most, len(list))]
	}
	var out []*Entry
	matches := f.matcher()
	for _, e := range list {
		if len(out) == most {
			break
		}
		if !matches(e) {
			continue
		}
		if from > 0 {
			from--
			continue
		}
		out = append(out, e)
	}
	return out
}

// NamedBehind lists by name the hosts that a filter finds behind one host, at most
// so many; from the first on if there is no such host.
func (m *Moment) NamedBehind(f Filter, after topics.HostID, most int) []*Entry {
	list := m.named
	if e := m.Host(after); e != nil {
		at, _ := slices.BinarySearchFunc(list, e, byName)
		list = list[at+1:]
	}
	return page(list, f, 0, most)
}

// Find is the host with an ID or a name, nil if there is none.
func (m *Moment) Find(what string) *Entry {
	if e := m.Host(topics.HostID(what)); e != nil {
		return e
	}
	at, _ := slices.BinarySearchFunc(m.named, what, func(e *Entry, name string) int { return strings.Compare(e.Name, name) })
	if at < len(m.named) && m.named[at].Name == what {
		return m.named[at]
	}
	return nil
}

// Named lists the hosts in whose name, hostname or ID a text is, at most so many: the one
// of this name first, then those whose names begin with it, then the others; of each, those
// that need somebody first.
func (m *Moment) Named(text string, most int) []*Entry {
	text = strings.ToLower(strings.TrimSpace(text))
	var ranks [3][]*Entry
	for _, e := range m.urgent {
		rank := 2
		switch {
		case strings.HasPrefix(e.words, text+"\x00"):
			rank = 0
		case strings.HasPrefix(e.words, text):
			rank = 1
		case !e.called(text):
			continue
		}
		if len(ranks[rank]) < most {
			ranks[rank] = append(ranks[rank], e)
		}
	}
	all := slices.Concat(ranks[:]...)
	return all[:min(len(all), most)]
}

// Search lists the IDs of the hosts in whose name, hostname or ID a text is.
func (m *Moment) Search(text string) []topics.HostID {
	var ids []topics.HostID
	text = strings.ToLower(text)
	for _, e := range m.named {
		if e.called(text) {
			ids = append(ids, e.ID)
		}
	}
	return ids
}
