package fleet

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/promise"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// must is for what cannot fail unless the test is over anyway.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

type storeJob = store.Job

// A world is a database that two processes have open, and a clock.
type world struct {
	here, there *store.Store
	presence    *hosts.Presence
	gone        []topics.HostID // removed
	now         time.Time
	hosts       []topics.HostID
	open        []store.Job
	sessions    map[topics.HostID]topics.Session
	beats       uint64
	made        int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	storetest.Make(t, dir, store.Open)
	w := &world{here: must(store.Open(t.Context(), dir, "")), now: time.Now(), sessions: map[topics.HostID]topics.Session{}}
	w.there = must(store.Open(t.Context(), dir, ""))
	t.Cleanup(func() {
		check(w.there.Close())
		check(w.here.Close())
	})
	w.presence = hosts.NewPresence(hosts.DefaultTiming(), w.clock, nil)
	return w
}

func (w *world) clock() time.Time { return w.now }

func (w *world) board() *Board { return NewBoard(w.here, w.presence, w.clock) }

func (w *world) enroll(s *store.Store) topics.HostID {
	ctx := context.Background()
	w.made++
	id := fmt.Sprintf("%026d", w.made)
	check(s.AddEnrollToken(ctx, store.EnrollToken{
		ID:        id,
		KeyHash:   []byte(id),
		Name:      fmt.Sprintf("web-%d", w.made*7%10),
		CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000,
	}))
	must(s.Enroll(ctx, []byte(id), store.Host{
		ID:       topics.HostID(id),
		SealKey:  []byte{1},
		Serial:   "1",
		Hostname: "Host",
		OS:       "linux",
		Platform: "Debian",
	}))
	w.hosts = append(w.hosts, topics.HostID(id))
	return topics.HostID(id)
}

func (w *world) group(s *store.Store, host topics.HostID) {
	ctx := context.Background()
	w.made++
	id := fmt.Sprintf("%026d", w.made)
	check(s.AddRepository(ctx, "test", store.Repository{ID: topics.RepositoryID(id), Name: id, Location: "/srv"},
		store.RepositoryAccess{URL: "/srv", Password: "secret"}))
	must(s.PutSourceGroup(ctx, "test", store.SourceGroup{
		ID:         topics.SourceGroupID(id),
		Host:       host,
		Name:       id,
		Repository: topics.RepositoryID(id),
		Paths:      store.List{"/"},
	}))
}

type dbSchedule = store.Schedule

// schedule has a host's groups backed up at some times.
func (w *world) schedule(s *store.Store, host topics.HostID, edit func(*dbSchedule)) {
	ctx := context.Background()
	w.made++
	var groups []topics.SourceGroupID
	for _, g := range must(s.SourceGroups(ctx, host)) {
		groups = append(groups, g.ID)
	}
	must(s.PutSchedule(ctx, "test", host, "nightly", store.ScheduleID(fmt.Sprintf("%026d", w.made)), func(row *store.Schedule) error {
		row.Zone, row.Groups = "Europe/Berlin", groups
		edit(row)
		return nil
	}))
}

func (w *world) ask(s *store.Store, host topics.HostID) {
	ctx := context.Background()
	groups := must(s.SourceGroups(ctx, host))
	if len(groups) == 0 {
		w.group(s, host)
		groups = must(s.SourceGroups(ctx, host))
	}
	w.made++
	g := groups[w.made%len(groups)]
	j, added, err := s.Ask(ctx, "test", store.Job{
		ID:          topics.JobID(fmt.Sprintf("%026d", w.made)),
		Host:        host,
		Kind:        topics.BackupJob,
		SourceGroup: g.ID,
		Repository:  g.Repository,
		NotAfter:    1 << 50,
	})
	check(err)
	if added {
		w.open = append(w.open, j)
	}
}

// step takes a job one state further.
func (w *world) step(s *store.Store, n int, end topics.JobState, at time.Time) {
	j := &w.open[n]
	next := map[topics.JobState]topics.JobState{
		topics.Queued:     topics.Dispatched,
		topics.Dispatched: topics.Running,
		topics.Running:    end,
	}[j.State]
	check(s.Steps(context.Background(), func(tx protocol.PlaneTx) error {
		p := protocol.PlaneJob{ID: j.ID, Host: j.Host, State: next, Accepted: next != topics.Dispatched}
		if err := tx.PutJob(p); err != nil {
			return err
		}
		switch {
		case next == topics.Running:
			return tx.Started(p, topics.Started{Job: j.ID}, at.UnixMilli())
		case next.Ended():
			return tx.Finished(p, topics.Finished{Job: j.ID, State: next,
				Summary: &topics.Summary{TotalBytes: 1 << 30, DataAdded: uint64(w.made)}}, at.UnixMilli())
		}
		return nil
	}))
	if j.State = next; next.Ended() {
		w.open = slices.Delete(w.open, n, n+1)
	}
}

// flat is what of a moment can be compared: how many ended when is in its day.
func flat(m *Moment) any {
	list := func(entries []*Entry) (out []Entry) {
		for _, e := range entries {
			plain := *e
			plain.ended = nil
			plain.Verdict = shown(plain.Verdict) // the next look may be noted apart
			plain.Groups = slices.Clone(e.Groups)
			for i, g := range plain.Groups {
				plain.Groups[i].Verdict = shown(g.Verdict)
				if plain.Groups[i].Also = slices.Clone(g.Also); g.Also == nil {
					continue
				}
				for k, v := range g.Also {
					plain.Groups[i].Also[k] = shown(v)
				}
			}
			out = append(out, plain)
		}
		return out
	}
	oldest := topics.HostID("")
	if m.Oldest != nil {
		oldest = m.Oldest.ID
	}
	return []any{list(m.urgent), list(m.named), list(m.ids), m.Tally, m.Online, m.Running,
		m.Saved, m.Protected, oldest, m.Restorable, m.Day, m.began}
}

// difference names the parts in which two moments are not the same, and the hosts
// of the lists that are not.
func difference(got, want []any) string {
	var b strings.Builder
	for i, part := range []string{"by urgency", "by name", "by ID", "tally", "online", "running", "saved", "protected", "oldest", "restorable",
		"day", "began"} {
		a, z := got[i], want[i]
		if reflect.DeepEqual(a, z) {
			continue
		}
		if as, ok := a.([]Entry); ok && len(as) == len(z.([]Entry)) {
			for n, e := range as {
				if o := z.([]Entry)[n]; !reflect.DeepEqual(e, o) {
					fmt.Fprintf(&b, "\n%s %d: %+v\nnot %+v", part, n, e, o)
				}
			}
			continue
		}
		fmt.Fprintf(&b, "\n%s: %+v, not %+v", part, a, z)
	}
	return b.String()
}

// Whatever happens in whatever order, in this process or in another: what the
// board keeps is what the database says, and its figures add up.
func TestTheBoardIsWhatTheDatabaseSays(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		b := w.board()
		one := func() topics.HostID { return rapid.SampledFrom(w.hosts).Draw(t, "host") }
		store := func() *store.Store {
			if rapid.Bool().Draw(t, "another process") {
				return w.there
			}
			return w.here
		}
		if len(w.hosts) == 0 {
			w.enroll(w.here)
		}
		t.Repeat(map[string]func(*rapid.T){
			"enroll": func(t *rapid.T) {
				if len(w.hosts) >= 12 {
					t.Skip("enough")
				}
				w.enroll(store())
			},
			"group": func(*rapid.T) { w.group(store(), one()) },
			"ask":   func(*rapid.T) { w.ask(store(), one()) },
			"step": func(t *rapid.T) {
				if len(w.open) == 0 {
					t.Skip("nothing is open")
				}
				end := rapid.SampledFrom([]topics.JobState{topics.Succeeded, topics.Failed, topics.Warnings, topics.Cancelled}).Draw(t, "end")
				age := time.Duration(rapid.IntRange(0, 30*60).Draw(t, "minutes ago")) * time.Minute
				w.step(store(), rapid.IntRange(0, len(w.open)-1).Draw(t, "job"), end, w.now.Add(-age))
			},
			"intermittent": func(t *rapid.T) {
				_, err := store().PutHostSettings(context.Background(), "test", one(), removal.HostSettings{
					Intermittent: new(rapid.Bool().Draw(t, "is")),
					OverdueDays:  new(rapid.Int64Range(0, 2).Draw(t, "days")),
					Retired:      new(rapid.Bool().Draw(t, "retired")),
				})
				check(err)
			},
			"remove": func(t *rapid.T) {
				if len(w.hosts) < 2 {
					t.Skip("the last one stays")
				}
				id := one()
				check(store().RemoveHost(context.Background(), "test", id, removal.Keep))
				w.hosts = slices.DeleteFunc(w.hosts, func(h topics.HostID) bool { return h == id })
				w.open = slices.DeleteFunc(w.open, func(j storeJob) bool { return j.Host == id })
				w.gone = append(w.gone, id)
			},
			"bring back": func(t *rapid.T) {
				if len(w.gone) == 0 {
					t.Skip("nothing is removed")
				}
				id := w.gone[0]
				must(store().Restore(context.Background(), "test", removal.Host, string(id), "back "+string(id)))
				w.gone, w.hosts = w.gone[1:], append(w.hosts, id)
			},
			"schedule": func(t *rapid.T) {
				id := one()
				cron := rapid.SampledFrom([]string{"*/10 * * * *", "30 2 * * *", "0 0 1 * *"}).Draw(t, "cron")
				w.schedule(store(), id, func(row *dbSchedule) {
					row.Cron, row.Enabled, row.Since = cron, rapid.Bool().Draw(t, "enabled"), w.now.Add(-90*24*time.Hour).UnixMilli()
				})
			},
			"unschedule": func(t *rapid.T) {
				_ = store().DeleteSchedule(context.Background(), "test", one(), "nightly")
			},
			"revoke": func(*rapid.T) { _, _ = store().Revoke(context.Background(), "test", one()) },
			"seen": func(*rapid.T) {
				check(store().Seen(context.Background(), map[topics.HostID]int64{one(): w.now.UnixMilli()}))
			},
			"connect": func(*rapid.T) {
				id := one()
				s := w.sessions[id]
				s.N++
				w.sessions[id] = s
				w.presence.Born(id, s)
				if rapid.Bool().Draw(t, "and greets") {
					w.presence.Greeted(id, s)
				}
			},
			"beat": func(*rapid.T) {
				id := one()
				w.beats++
				w.presence.Heard(id, topics.Stamp{Session: w.sessions[id], N: w.beats})
			},
			"die": func(*rapid.T) {
				id := one()
				w.presence.Died(id, w.sessions[id])
			},
			"time": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.Int64Range(1, int64(36*time.Hour)).Draw(t, "passes")))
			},
			"moment": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "seconds")) * time.Second)
			},
			"the clock is set back": func(t *rapid.T) {
				w.now = w.now.Add(-time.Duration(rapid.Int64Range(1, int64(36*time.Hour)).Draw(t, "back")))
				// Somebody looks several times a second: nobody promises anything about a
				// clock that goes back and forth between two looks.
				must(b.Now(context.Background()))
			},
			"": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "look") > 0 {
					return // several things happen between two looks
				}
				got, want := must(b.Now(context.Background())), must(w.board().Now(context.Background()))
				if !reflect.DeepEqual(flat(got), flat(want)) {
					t.Fatalf("the board says something else than the database: %s", difference(flat(got).([]any), flat(want).([]any)))
				}
				if again := must(b.Now(context.Background())); again != got {
					t.Fatal("nothing happened, and it is another moment")
				}
				hosts, runs := 0, 0
				for st, n := range got.Tally {
					hosts += n
					if found := got.Count(Filter{Status: st}); found != n || len(got.Page(Filter{Status: st}, 0, 100)) != n {
						t.Fatalf("%d hosts are %s, a filter finds %d", n, st, found)
					}
				}
				d := got.Day
				if runs = d.Succeeded + d.Warnings + d.Cancelled + d.Failed; hosts != got.Len() || runs != d.Runs {
					t.Fatalf("%d of %d hosts have a status, %d of %d runs an end", hosts, got.Len(), runs, d.Runs)
				}
			},
		})
	})
}

func TestAMomentStaysAsItIs(t *testing.T) {
	w := newWorld(t)
	id := w.enroll(w.here)
	b := w.board()
	before := must(b.Now(t.Context()))
	was := flat(before)
	w.ask(w.there, id) // as the command line does
	after := must(b.Now(t.Context()))
	if before == after || len(after.Host(id).Open) != 1 || len(after.Host(id).Groups) == 0 {
		t.Errorf("what another process asked for is not seen: %+v", after.Host(id))
	}
	if !reflect.DeepEqual(flat(before), was) {
		t.Error("a moment became another one")
	}
}

func TestManyReadTheBoardAtOnce(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.enroll(w.here)
	}
	b := w.board()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				m, err := b.Now(t.Context())
				if err != nil || m.Count(Filter{Text: "WEB"}) != 3 {
					t.Errorf("%d hosts: %v", m.Len(), err)
					return
				}
				_ = flat(m)
			}
		})
	}
	all.Go(func() {
		for n := range 20 {
			w.ask(w.here, w.hosts[n%3])
			s := topics.Session{Epoch: 1, N: uint64(n + 1)}
			w.presence.Born(w.hosts[n%3], s)
			w.presence.Greeted(w.hosts[n%3], s)
		}
	})
	all.Wait()
}

func TestPagesOfTheBoardFollowEachOther(t *testing.T) {
	w := newWorld(t)
	for range 12 {
		w.enroll(w.here)
	}
	m := must(w.board().Now(t.Context()))
	for _, f := range []Filter{{}, {Text: "WEB"}, {Text: "debian", Status: protection.NoBackupYet}} {
		var ids []topics.HostID
		for from := 0; ; from += 5 {
			page := m.Page(f, from, 5)
			for _, e := range page {
				ids = append(ids, e.ID)
			}
			if len(page) < 5 {
				break
			}
		}
		slices.Sort(ids)
		if ids = slices.Compact(ids); len(ids) != 12 || m.Count(f) != 12 {
			t.Errorf("%+v: the pages show %d hosts of %d", f, len(ids), m.Count(f))
		}
	}
	first := m.NamedBehind(Filter{}, "", 1)[0]
	if rest := m.NamedBehind(Filter{Text: "web"}, first.ID, 100); len(rest) != 11 || rest[0] != m.ByName()[1] {
		t.Errorf("behind the first of the list are %d hosts", len(rest))
	}
	if m.Find(first.Name) != first || m.Find(string(first.ID)) != first || m.Find("web") != nil {
		t.Error("a host is not found by its name or its ID")
	}
	if n := len(m.Search("debian")); n != 0 || len(m.Search("host")) != 12 {
		t.Errorf("a platform's name finds the jobs of %d hosts", n)
	}
	// What a person types is no part of an ID by chance; what they paste of one finds its host.
	new := protection.Verdict{Status: protection.NoBackupYet}
	part := Of(Entry{Host: store.Host{ID: "0tic7vb2k9", Name: "web"}, Verdict: new},
		Entry{Host: store.Host{ID: "0mk3a7q2no", Name: "attic"}, Verdict: new})
	for text, want := range map[string]topics.HostID{"TIC": "0mk3a7q2no", "tic7vb2k": "0tic7vb2k9"} {
		if got := part.Search(text); len(got) != 1 || got[0] != want || part.Count(Filter{Text: text}) != 1 ||
			len(part.Named(text, 5)) != 1 {
			t.Errorf("%s finds %v, want %s", text, got, want)
		}
	}
}

// A large fleet that is only made up.
type madeUp struct {
	store.FleetChange
	now time.Time
}

func newMadeUp(hosts int) *madeUp {
	m := &madeUp{now: time.Now()}
	m.Mark, m.All, m.Groups = 1, true, map[topics.HostID][]promise.Group{}
	for n := range hosts {
		id := topics.HostID(fmt.Sprintf("%026d", n))
		m.Hosts = append(m.Hosts, store.Host{
			ID:       id,
			Name:     fmt.Sprintf("web-%05d", n),
			Hostname: fmt.Sprintf("web-%05d.example", n),
			Platform: "Debian",
		})
		begun := m.now.Add(-10*time.Minute).UnixMilli() - int64(n)
		s := facts.Snapshot{ID: string(id), Begun: begun, Ended: begun + 60_000, Files: 100, Bytes: 1 << 30, State: topics.Succeeded}
		g := promise.Group{ID: topics.SourceGroupID(id), Host: id, Name: "home",
			Facts: facts.Group{Snapshots: 7, Newest: s, Whole: s, Good: s, MeasureFiles: 100,
				Last: facts.Run{State: topics.Succeeded, EndedAt: s.Ended}},
			Schedules: []promise.Schedule{{ID: topics.ScheduleID(id), Host: id, Name: "nightly", Cron: fmt.Sprintf("%d 2 * * *", n%60),
				Zone: "Europe/Berlin", JitterSeconds: 600, Enabled: true}}}
		switch n % 4 {
		case 1:
			g.Facts.Last.State, g.Facts.Last.Cause = topics.Failed, topics.CauseLocked
		case 2:
			g.Facts.Newest.Files = 10
		case 3:
			g.Facts = facts.Group{}
		}
		m.Groups[id] = []promise.Group{g}
		m.Ended = append(m.Ended, store.Outcome{Host: id, State: topics.Succeeded, FinishedAt: m.now.UnixMilli() - int64(n)*1000})
		if n%100 == 0 {
			m.Open = append(m.Open, store.Job{ID: topics.JobID(id), Host: id, State: topics.Running})
		}
	}
	return m
}

func (m *madeUp) FleetMark(context.Context) (int64, error) { return m.Mark, nil }
func (m *madeUp) FleetSince(context.Context, int64, int64) (store.FleetChange, error) {
	return m.FleetChange, nil
}

func (m *madeUp) board() *Board {
	now := func() time.Time { return m.now }
	return NewBoard(m, hosts.NewPresence(hosts.DefaultTiming(), now, nil), now)
}

func TestAPageOfALargeFleetCostsWhatItShows(t *testing.T) {
	b := newMadeUp(10_000).board()
	m := must(b.Now(t.Context()))
	if m.Len() != 10_000 || m.Day.Runs != 10_000 || m.Running != 100 {
		t.Fatalf("%d hosts, %d runs, %d at work", m.Len(), m.Day.Runs, m.Running)
	}
	for _, f := range []Filter{{}, {Status: protection.Failed}, {Text: "WEB-099"}, {Text: "nobody"}} {
		n := testing.AllocsPerRun(10, func() {
			m := must(b.Now(t.Context()))
			if page := m.Page(f, 0, 50); len(page) > min(50, m.Count(f)) {
				t.Errorf("%d on a page", len(page))
			}
		})
		if n > 20 {
			t.Errorf("%+v: a page allocates %v times", f, n)
		}
	}
}

// BenchmarkBoard is a fleet of ten thousand: built, read by a page, and read after
// one host became another.
func BenchmarkBoard(b *testing.B) {
	made := newMadeUp(10_000)
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			must(made.board().Now(b.Context()))
		}
	})
	b.Run("page", func(b *testing.B) {
		board := made.board()
		for b.Loop() {
			m, f := must(board.Now(b.Context())), Filter{Text: "web-09"}
			_, _ = m.Count(f), m.Page(f, 50, 50)
		}
	})
	b.Run("beats", func(b *testing.B) { // all hosts, once
		p := hosts.NewPresence(hosts.DefaultTiming(), func() time.Time { return made.now }, nil)
		board := NewBoard(made, p, func() time.Time { return made.now })
		beat := uint64(0)
		for _, h := range made.Hosts {
			p.Born(h.ID, topics.Session{Epoch: 1, N: 1})
		}
		for b.Loop() {
			beat++
			for _, h := range made.Hosts {
				p.Heard(h.ID, topics.Stamp{Session: topics.Session{Epoch: 1, N: 1}, N: beat})
			}
			made.now = made.now.Add(30 * time.Second)
			must(board.Now(b.Context()))
		}
	})
	b.Run("change", func(b *testing.B) {
		board, all := made.board(), made.FleetChange
		defer func() { made.FleetChange = all }()
		must(board.Now(b.Context()))
		for n := 0; b.Loop(); n++ {
			h := all.Hosts[n%len(all.Hosts)]
			made.FleetChange = store.FleetChange{Mark: int64(n) + 2, Changed: []topics.HostID{h.ID}, Hosts: []store.Host{h},
				Promises: promise.Promises{Groups: map[topics.HostID][]promise.Group{h.ID: all.Groups[h.ID]}}}
			must(board.Now(b.Context()))
		}
	})
}
