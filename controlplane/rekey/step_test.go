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
		if !slices.Contains(at, m.row) {
			m.t.Fatalf("the row's password %s opens nothing of %s: %v", m.row, h, at)
		}
		if !slices.Contains(at, held) && m.said[h].WaivedBy == "" {
			m.t.Fatalf("in state %s %s holds %s, which opens nothing of %v", m.rows.State, h, held, at)
		}
		if w := m.works[h]; w != "" && !slices.Contains(at, w) && m.said[h].WaivedBy == "" {
			m.t.Fatalf("in state %s a job of %s works with %s, which opens nothing of %v", m.rows.State, h, w, at)
		}
	}
}

// TestEverybodyAlwaysHasAPasswordThatOpens: whatever dies at whatever moment, however long a
// host is away, and whenever the change is called off; and it comes to an end.
func TestEverybodyAlwaysHasAPasswordThatOpens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, said: map[topics.HostID]passwords.Host{}, jobs: map[topics.JobID]store.Job{},
			does:  map[topics.JobID]passwords.Place{},
			opens: map[topics.HostID][]string{}, holds: map[topics.HostID]string{}, works: map[topics.HostID]string{},
			old: map[topics.HostID]bool{},
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
			"ends": func() { delete(m.works, rapid.SampledFrom([]topics.HostID{"attic", "barn"}).Draw(t, "who")) },
			"time": func() { m.now += time.Hour.Milliseconds() },
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
				if s, err := GoOn(m.look(), "ada", []topics.HostID{"barn"}); err == nil {
					m.write(s.PasswordStep)
				}
			},
		}
		names := []string{"step", "work", "configured", "begins", "ends", "time", "call off", "go on"}
		for range rapid.IntRange(1, 80).Draw(t, "deeds") {
			deeds[rapid.SampledFrom(names).Draw(t, "deed")]()
			m.check()
		}
		// Then everybody comes back, and it is left alone.
		clear(m.works)
		for range 2000 {
			if m.rows.Ended() {
				break
			}
			m.holds["attic"], m.holds["barn"] = m.row, m.row
			m.step()
			m.work()
			m.now += time.Hour.Milliseconds()
			m.check()
		}
		if !m.rows.Ended() {
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
	over := at(passwords.Done, func(l *Look) { l.EndedAt, l.Oldest = 7000, 6000 })
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
