package rekey

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/passwords"
	"github.com/restic-manager/restic-manager/topics"
)

// A model is a fleet with one repository: what opens it at each place, what each host holds,
// and the rows of a change of its password.
type model struct {
	t       *rapid.T
	rows    passwords.Change
	places  []passwords.Place
	said    map[topics.HostID]passwords.Host
	jobs    map[topics.JobID]store.Job
	does    map[topics.JobID]passwords.Place // what each job is to do
	row     string                           // the password that the repository's row has
	opens   map[topics.HostID][]string       // at each place
	holds   map[topics.HostID]string         // in the config that a host has
	works   map[topics.HostID]string         // a job of the host that goes on, with this password
	old     map[topics.HostID]bool           // that job began before the row changed or the host confirmed
	appends bool                             // nobody can remove
	gone    map[topics.HostID]bool           // places that nobody reaches
	left    map[topics.HostID]bool           // places without which it went on at some time: what hosts hold may open nothing there
	now     int64
	n       int
	shared  bool
}

func (m *model) place(h topics.HostID) topics.HostID {
	if m.shared {
		return ""
	}
	return h
}

func (m *model) look() Look {
	l := Look{Now: m.now, Retry: time.Minute, Workers: map[topics.HostID]Worker{}}
	l.Change, l.Places, l.Jobs = m.rows, slices.Clone(m.places), m.jobs
	for _, p := range m.places {
		l.Workers[p.Host] = Worker{Host: "keeper"}
		if m.appends && m.rows.State == passwords.Removing {
			l.Workers[p.Host] = Worker{Why: "nobody can"}
		}
		if m.gone[p.Host] {
			l.Workers[p.Host] = Worker{Why: "nobody reaches it"}
		}
	}
	for _, h := range []topics.HostID{"attic", "barn"} {
		s := m.said[h]
		s.Host = h
		l.Hosts = append(l.Hosts, store.PasswordHost{Host: s, Name: string(h), Has: m.holds[h] == m.row})
		if m.works[h] != "" && m.old[h] && s.WaivedBy == "" {
			l.Busy = append(l.Busy, store.Job{Host: h, Kind: topics.BackupJob})
		}
	}
	return l
}

// write commits a step, as the store does.
func (m *model) write(s store.PasswordStep) {
	m.rows = s.Change
	for _, p := range s.Places {
		m.places = put(m.places, p)
		m.left[p.Host] = m.left[p.Host] || p.Left()
	}
	for _, h := range s.Hosts {
		m.said[h.Host] = h
	}
	if s.Switch {
		m.row, m.rows.SwitchedAt = m.rows.Lasting, m.now
		for h := range m.works {
			m.old[h] = true
		}
	}
}

// step takes the next step, unless the process dies before it asks for the jobs, or before it
// writes down which ones they are.
func (m *model) step() {
	s := Next(m.look())
	m.write(s.PasswordStep)
	for _, p := range s.Ask {
		if rapid.Bool().Draw(m.t, "dies before it asks") {
			return
		}
		id := topics.JobID("")
		for open, q := range m.does { // asked again, it is the same job
			if q.Host == p.Host && q.Doing == p.Doing && !m.jobs[open].State.Ended() {
				id = open
			}
		}
		if id == "" {
			m.n++
			id = topics.JobID(fmt.Sprint(m.n))
			m.jobs[id], m.does[id] = store.Job{ID: id, Kind: topics.KeyJob, State: topics.Running}, p
		}
		if rapid.Bool().Draw(m.t, "dies before it writes") {
			return
		}
		p.Job = id
		m.places = put(m.places, p)
	}
}

// work has an agent do what a job says, whole, or not, or whole and killed before it tells.
func (m *model) work() {
	for id, p := range m.does {
		j := m.jobs[id]
		if j.State.Ended() {
			continue
		}
		how := rapid.SampledFrom([]string{"done", "fails", "done and killed"}).Draw(m.t, "the agent")
		j.State, j.FinishedAt = topics.Failed, m.now
		if how != "fails" {
			lasting, former := m.rows.Lasting, m.rows.Former
			if p.Doing == topics.AddKey && !slices.Contains(m.opens[p.Host], lasting) {
				opener := m.row
				if m.rows.SwitchedAt > 0 { // as jobs.Engine has it
					opener = former
				}
				if !slices.Contains(m.opens[p.Host], opener) {
					m.t.Fatalf("%s, with which a key is to be added at the place %q, opens nothing of %v", opener, p.Host, m.opens[p.Host])
				}
				m.opens[p.Host] = append(m.opens[p.Host], lasting)
			} else if p.Doing == topics.RemoveKey && slices.Contains(m.opens[p.Host], m.row) && m.row != former {
				m.opens[p.Host] = slices.DeleteFunc(m.opens[p.Host], func(s string) bool { return s == former })
			}
		}
		if how == "done" {
			j.State, j.Result.V = topics.Succeeded, &topics.Result{Key: "abcd0123"}
		}
		m.jobs[id] = j
		return
	}
}

// check insists that everybody has a password that opens.
func (m *model) check() {
	for h, held := range m.holds {
		at := m.opens[m.place(h)]
		if i := slices.IndexFunc(m.places, func(p passwords.Place) bool { return p.Host == m.place(h) }); m.places[i].Left() || m.late(i) {
			if !slices.Contains(at, m.rows.Lasting) && !slices.Contains(at, m.rows.Former) {
				m.t.Fatalf("neither password opens the place of %s that was left: %v", h, at)
			}
			continue
		}
		if !slices.Contains(at, m.row) {
			m.t.Fatalf("the row's password %s opens nothing of %s: %v", m.row, h, at)
		}
		if m.left[m.place(h)] {
			continue
		}
		if !slices.Contains(at, held) && m.said[h].WaivedBy == "" {
			m.t.Fatalf("in state %s %s holds %s, which opens nothing of %v", m.rows.State, h, held, at)
		}
		if w := m.works[h]; w != "" && !slices.Contains(at, w) && m.said[h].WaivedBy == "" {
			m.t.Fatalf("in state %s a job of %s works with %s, which opens nothing of %v", m.rows.State, h, w, at)
		}
	}
}

// late reports whether a place is met again after the change is over, or the row has changed.
func (m *model) late(i int) bool { return m.rows.SwitchedAt > 0 && m.places[i].AddedAt == 0 }

// TestEverybodyAlwaysHasAPasswordThatOpens: whatever dies at whatever moment, however long a
// host is away, and whenever the change is called off; and it comes to an end.
func TestEverybodyAlwaysHasAPasswordThatOpens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, said: map[topics.HostID]passwords.Host{}, jobs: map[topics.JobID]store.Job{},
			does:  map[topics.JobID]passwords.Place{},
			opens: map[topics.HostID][]string{}, holds: map[topics.HostID]string{}, works: map[topics.HostID]string{},
			old: map[topics.HostID]bool{}, gone: map[topics.HostID]bool{}, left: map[topics.HostID]bool{},
			row: "old", shared: rapid.Bool().Draw(t, "shared"), now: 1000,
			rows: passwords.Change{ID: "c", State: passwords.Adding, Lasting: "new", Former: "old"}}
		for _, h := range []topics.HostID{"attic", "barn"} {
			m.holds[h], m.opens[m.place(h)] = "old", []string{"old"}
			m.places = put(m.places, passwords.Place{Host: m.place(h)})
		}
		deeds := map[string]func(){
			"step": m.step,
			"work": m.work,
			"configured": func() {
				m.holds[rapid.SampledFrom([]topics.HostID{"attic", "barn"}).Draw(t, "who")] = m.row
			},
			"begins": func() { // by its own schedule, with the config it has
				h := rapid.SampledFrom([]topics.HostID{"attic", "barn"}).Draw(t, "who")
				m.works[h], m.old[h] = m.holds[h], m.said[h].ConfirmedAt == 0
			},
			"ends":                   func() { delete(m.works, rapid.SampledFrom([]topics.HostID{"attic", "barn"}).Draw(t, "who")) },
			"time":                   func() { m.now += time.Hour.Milliseconds() },
			"nobody reaches a place": func() { m.gone["barn"] = !m.shared },
			"it is reached again":    func() { m.gone["barn"] = false },
			"go on without a place": func() {
				if s, err := GoOn(m.look(), "ada", Without{Places: []topics.HostID{"barn"}}, naming); err == nil {
					m.write(s.PasswordStep)
				}
			},
			"call off": func() {
				if rapid.IntRange(0, 9).Draw(t, "rarely") > 0 {
					return
				}
				s, err := Back(m.look(), "ada")
				if err == nil {
					m.write(s.PasswordStep)
				}
			},
			"go on": func() {
				if rapid.IntRange(0, 19).Draw(t, "rarely") > 0 {
					return
				}
				if s, err := GoOn(m.look(), "ada", Without{Hosts: []topics.HostID{"barn"}}, naming); err == nil {
					m.write(s.PasswordStep)
				}
			},
		}
		names := []string{"step", "work", "configured", "begins", "ends", "time", "call off", "go on",
			"nobody reaches a place", "it is reached again", "go on without a place"}
		for range rapid.IntRange(1, 80).Draw(t, "deeds") {
			deeds[rapid.SampledFrom(names).Draw(t, "deed")]()
			m.check()
		}
		// Then everybody comes back, and it is left alone.
		clear(m.works)
		clear(m.gone)
		for range 2000 {
			if m.rows.Ended() && Next(m.look()).Erase {
				break
			}
			m.holds["attic"], m.holds["barn"] = m.row, m.row
			m.step()
			m.work()
			m.now += time.Hour.Milliseconds()
			m.check()
		}
		if !m.rows.Ended() || !Next(m.look()).Erase {
			t.Fatalf("it comes to no end: %+v %+v", m.rows, m.places)
		}
		for at, opens := range m.opens {
			if !slices.Equal(opens, []string{m.rows.Lasting}) {
				t.Errorf("in the end %v opens the place %q, want %s alone", opens, at, m.rows.Lasting)
			}
		}
		if want := map[bool]string{false: "new", true: "old"}[m.rows.Back]; m.row != want {
			t.Errorf("in the end the row has %s, want %s", m.row, want)
		}
	})
}

func naming(h topics.HostID) string { return string(h) }

// TestAPlaceThatNobodyReaches: the change goes on without it when somebody says so, but not
// without the last one, nor without a place that all share, and not while it gets on there.
func TestAPlaceThatNobodyReaches(t *testing.T) {
	at := func(state passwords.State, more func(*Look)) Look {
		l := Look{Now: 10_000, Retry: time.Minute, Workers: map[topics.HostID]Worker{"attic": {Host: "attic"}, "barn": {Why: "No host."}}}
		l.Change = passwords.Change{State: state, Lasting: "n", Former: "o"}
		l.Places = []passwords.Place{{Host: "attic", AddedAt: 1}, {Host: "barn"}}
		if state != passwords.Adding {
			l.SwitchedAt = 5000
		}
		more(&l)
		return l
	}
	none := func(*Look) {}
	for _, c := range []struct {
		name    string
		look    Look
		without Without
		err     error
	}{
		{"it is named", at(passwords.Adding, none), Without{Places: []topics.HostID{"barn"}}, nil},
		{"nothing is named", at(passwords.Adding, none), Without{}, nil},
		{"only hosts are named", at(passwords.Adding, none), Without{Hosts: []topics.HostID{"barn"}}, passwords.ErrNone},
		{"another is named", at(passwords.Adding, none), Without{Places: []topics.HostID{"attic"}}, passwords.ErrNone},
		{"its host is away", at(passwords.Adding, func(l *Look) { l.Workers["barn"] = Worker{Host: "barn", Away: true} }), Without{}, nil},
		{"its host is there", at(passwords.Adding, func(l *Look) { l.Workers["barn"] = Worker{Host: "barn"} }), Without{}, passwords.ErrNone},
		{"it failed there", at(passwords.Adding, func(l *Look) { l.Workers["barn"], l.Places[1].Why = Worker{Host: "barn"}, "It burns." }),
			Without{}, nil},
		{"there is no other", at(passwords.Adding, func(l *Look) { l.Places = l.Places[1:] }), Without{}, ErrLastPlace},
		{"all share it", at(passwords.Adding, func(l *Look) { l.Places[1].Host, l.Workers[""] = "", Worker{Why: "No host."} }), Without{},
			passwords.ErrNone},
		{"its old key cannot go", at(passwords.Removing, func(l *Look) { l.Places[1].AddedAt = 1 }), Without{}, nil},
		{"the old key stays for a copy", at(passwords.Removing, func(l *Look) { l.Places[1].AddedAt, l.Patient, l.Oldest = 1, true, 1 }),
			Without{}, passwords.ErrNone},
		{"it is over", at(passwords.Done, none), Without{}, passwords.ErrNone},
	} {
		s, err := GoOn(c.look, "ada", c.without, naming)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if c.err == nil && (len(s.Places) != 1 || s.Places[0].LeftBy != "ada" || s.Places[0].LeftWhy == "" ||
			!strings.HasPrefix(s.Says, "without the place of barn (")) {
			t.Errorf("%s: it says %q and writes %+v", c.name, s.Says, s.Places)
		}
	}
	l := at(passwords.Adding, func(l *Look) { l.Places[1].LeftBy = "ada" })
	if s := Next(l); s.Change.State != passwords.Switching {
		t.Errorf("without the place, it is %s", s.Change.State)
	}
	over := func(l *Look) { l.Places[0].RemovedAt, l.Places[1].LeftBy, l.EndedAt = 1, "ada", 9000 }
	if s := Next(at(passwords.Removing, over)); s.Change.State != passwords.Done || !strings.Contains(s.Says, "except at 1 place ") {
		t.Errorf("without the place, it is %s and says %q", s.Change.State, s.Says)
	}
	if s := Next(at(passwords.Done, over)); s.Erase || len(s.Ask) > 0 {
		t.Errorf("while nobody reaches the place: %+v", s)
	}
	if s := Next(at(passwords.Done, func(l *Look) { over(l); l.Workers["barn"] = Worker{Host: "keeper"} })); len(s.Ask) != 1 ||
		s.Ask[0].Doing != topics.AddKey || s.Erase {
		t.Errorf("when somebody reaches the place: %+v", s)
	}
	reached := func(l *Look) { over(l); l.Places[1].AddedAt, l.Workers["barn"] = 1, Worker{Host: "keeper"} }
	if s := Next(at(passwords.Done, reached)); len(s.Ask) != 1 || s.Ask[0].Doing != topics.RemoveKey || s.Erase {
		t.Errorf("when the new key is there: %+v", s)
	}
	if s := Next(at(passwords.Done, func(l *Look) { over(l); l.Places[1].RemovedAt, l.Unseen = 1, true })); s.Erase {
		t.Error("the former password is erased though a place was never seen")
	}
	if s := Next(at(passwords.Done, func(l *Look) { over(l); l.Places[1].RemovedAt = 1 })); !s.Erase {
		t.Error("the former password is kept though nothing needs it")
	}
}

// TestAKeyThatAChangeNeeds, and its neighbours that somebody may remove.
func TestAKeyThatAChangeNeeds(t *testing.T) {
	c := passwords.Change{SwitchedAt: 5000}
	for _, k := range []struct {
		name  string
		place passwords.Place
		key   string
		needs bool
	}{
		{"the new one", passwords.Place{AddedAt: 1, KeyID: "aaaa0000", FormerKey: "bbbb0000"}, "aaaa0000ffff", true},
		{"the old one", passwords.Place{AddedAt: 1, KeyID: "aaaa0000", FormerKey: "bbbb0000"}, "bbbb0000", true},
		{"another", passwords.Place{AddedAt: 1, KeyID: "aaaa0000", FormerKey: "bbbb0000"}, "cccc0000", false},
		{"nobody knows the old one", passwords.Place{AddedAt: 1, KeyID: "aaaa0000"}, "cccc0000", true},
		{"the new one is not there", passwords.Place{}, "cccc0000", true},
		{"it is over there", passwords.Place{AddedAt: 1, KeyID: "aaaa0000", RemovedAt: 2}, "cccc0000", false},
	} {
		if needs(c, k.place, k.key) != k.needs {
			t.Errorf("%s: it is needed: %v", k.name, !k.needs)
		}
	}
	if needs(passwords.Change{}, passwords.Place{AddedAt: 1, KeyID: "aaaa0000"}, "cccc0000") {
		t.Error("before the switch the old key is the one in use, and another is taken for it")
	}
}

// TestWhatAChangeWaitsFor, one circumstance a line, each with its neighbour.
func TestWhatAChangeWaitsFor(t *testing.T) {
	at := func(state passwords.State, more func(*Look)) Look {
		l := Look{Now: 10_000, Retry: time.Minute, Workers: map[topics.HostID]Worker{"": {Host: "keeper"}}}
		l.Change = passwords.Change{State: state, Lasting: "n", Former: "o", SwitchedAt: 5000}
		l.Places = []passwords.Place{{AddedAt: 1}}
		l.Hosts = []store.PasswordHost{{Host: passwords.Host{Host: "attic", ConfirmedAt: 6000}, Name: "attic"}}
		more(&l)
		return l
	}
	for _, c := range []struct {
		name  string
		look  Look
		state passwords.State
		waits string // a part of what it says; "" for nothing
	}{
		{"every place is proven", at(passwords.Adding, func(l *Look) {}), passwords.Switching, ""},
		{"one is not", at(passwords.Adding, func(l *Look) { l.Places[0].AddedAt = 0 }), passwords.Adding, ""},
		{"nobody can", at(passwords.Adding, func(l *Look) { l.Places[0].AddedAt, l.Workers[""] = 0, Worker{Why: "Nobody can."} }),
			passwords.Adding,
			"Nobody can."},
		{"nobody has seen it", at(passwords.Adding, func(l *Look) { l.Places = nil }), passwords.Adding, "No job has found or made"},
		{"it was never seen, and the change is called off", at(passwords.Removing, func(l *Look) { l.Places, l.Back = nil, true }),
			passwords.Undone, ""},
		{"a host makes it", at(passwords.Adding, func(l *Look) { l.Making = true }), passwords.Adding, "is making the repository"},
		{"all have confirmed", at(passwords.Switching, func(l *Look) {}), passwords.Removing, ""},
		{"one has not", at(passwords.Switching, func(l *Look) { l.Hosts[0].ConfirmedAt = 0 }), passwords.Switching, "attic has not confirmed"},
		{"one is waived", at(passwords.Switching, func(l *Look) { l.Hosts[0].ConfirmedAt, l.Hosts[0].WaivedBy = 0, "ada" }),
			passwords.Removing, ""},
		{"a job works with the old one", at(passwords.Switching, func(l *Look) {
			l.Busy = []store.Job{{Host: "attic",
				Kind: topics.BackupJob}}
		}),
			passwords.Switching, "A job of attic"},
		{"it is gone", at(passwords.Removing, func(l *Look) { l.Places[0].RemovedAt = 1 }), passwords.Done, ""},
		{"an old copy, and nobody is patient", at(passwords.Removing, func(l *Look) { l.Oldest = 1; l.Places[0].RemovedAt = 1 }),
			passwords.Done, ""},
		{"an old copy", at(passwords.Removing, func(l *Look) { l.Oldest, l.Patient = 1, true }), passwords.Removing,
			"knows the old password alone"},
		{"no copy is old", at(passwords.Removing, func(l *Look) { l.Oldest, l.Patient, l.Places[0].RemovedAt = 6000, true, 1 }),
			passwords.Done, ""},
		{"it cannot be removed", at(passwords.Removing, func(l *Look) { l.Workers[""] = Worker{Why: "The old key is still there."} }),
			passwords.Removing,
			"still there"},
	} {
		said := strings.Join(Waits(c.look, func(h topics.HostID) string { return string(h) }), " ")
		s := Next(c.look)
		if s.Change.State != c.state || (said == "") != (c.waits == "") || !strings.Contains(said, c.waits) {
			t.Errorf("%s: it is %s and waits for %q, want %s and %q", c.name, s.Change.State, said, c.state, c.waits)
		}
	}
	over := at(passwords.Done, func(l *Look) { l.EndedAt, l.Oldest, l.Places[0].RemovedAt = 7000, 6000, 1 })
	if Next(over).Erase {
		t.Error("a copy from before the end is kept, and the former password is erased")
	}
	if over.Oldest = 8000; !Next(over).Erase {
		t.Error("no copy is from before the end, and the former password is kept")
	}
	late := at(passwords.Removing, func(l *Look) { l.Places[0].Tried = true })
	if _, err := Back(late, "ada"); !errors.Is(err, passwords.ErrLate) {
		t.Errorf("called off after a removal was asked for: %v", err)
	}
}
