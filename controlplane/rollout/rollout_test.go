package rollout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/shelf"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/release"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/rollouts"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A plane is a service over a real database, board and protocol. Its agents are simulated:
// what they say goes through the protocol.
type plane struct {
	*Service
	t        *testing.T
	now      time.Time
	presence *hosts.Presence
	lies     shelf.Release
	agents   map[topics.HostID]*agent
	most     int // updates under way together, at the most
}

// An agent is what a simulated host does with an update.
type agent struct {
	id      topics.HostID
	n       uint64 // events it has told
	session uint64
	facts   topics.Facts
	fails   topics.Cause // "" takes every update
	stuck   bool         // goes on for ever
	jobs    []topics.JobID
	done    map[topics.JobID]bool
}

const keyID = "0123456789ABCDEF"

// lying is a release for linux on amd64, as it lies there.
func lying(number int64, version string) shelf.Release {
	m := release.Manifest{Format: release.Format, Number: number, Version: version, Programs: []release.Program{{OS: "linux", Arch: "amd64",
		Name: "restic-manager-agent_" + version + "_linux_amd64", Size: 1, SHA256: strings.Repeat("0", 64)}}}
	return shelf.Release{Manifest: m, Bytes: release.Encode(m), Signature: []byte("signed"), SignedBy: keyID, Believed: true, Dir: "/agents"}
}

func newPlane(t *testing.T, n int) *plane {
	t.Helper()
	p := &plane{t: t, now: time.Now().UTC().Truncate(time.Hour), lies: lying(number, "1.3.0"), agents: map[topics.HostID]*agent{}}
	s := storetest.Open(t, store.Open)
	p.presence = hosts.NewPresence(hosts.DefaultTiming(), func() time.Time { return p.now }, nil)
	p.Service = p.service(s)
	for i := range n {
		p.add(fmt.Sprintf("host-%03d", i))
	}
	return p
}

// service is what a control plane that was started on a database has.
func (p *plane) service(s *store.Store) *Service {
	now := func() time.Time { return p.now }
	engine := jobs.New(jobs.Config{Store: s, Presence: p.presence, Hub: jobs.NewHub(), Log: slog.New(slog.DiscardHandler),
		Timing: jobs.DefaultTiming(), Now: now, Changed: func(topics.HostID) {}})
	return &Service{Store: s, Jobs: engine, Board: fleet.NewBoard(s, p.presence, now), Now: now, Log: slog.New(slog.DiscardHandler),
		Release: func() shelf.Release { return p.lies }}
}

// add adds a host that is connected, and whose agent can be updated.
func (p *plane) add(name string, tags ...string) *agent {
	p.t.Helper()
	ctx, key := p.t.Context(), []byte(name)
	if err := p.Store.AddEnrollToken(ctx, store.EnrollToken{ID: "token-" + name, KeyHash: key, CreatedBy: "test",
		ExpiresAt: p.Store.Now() + 60_000}); err != nil {
		p.t.Fatal(err)
	}
	h := must(p.Store.Enroll(ctx, key, store.Host{ID: topics.HostID(name + "-0001"), SealKey: key, Serial: name, Hostname: name}))
	if len(tags) > 0 {
		must((&hosts.Settings{Store: p.Store}).Put(ctx, "test", h.ID, hosts.Input{Tags: &tags}))
	}
	a := &agent{id: h.ID, done: map[topics.JobID]bool{}, facts: topics.Facts{Hostname: name, OS: "linux", Arch: "amd64", Agent: "1.2.0",
		Restic: "0.18.0", Can: []topics.Ability{topics.UpdatesItself},
		Updates: &topics.Updates{OS: "linux", Arch: "amd64", Number: 1700, Keys: []string{keyID}}}}
	p.agents[h.ID] = a
	p.hello(a)
	return a
}

// hello has an agent come with what it is.
func (p *plane) hello(a *agent) {
	p.t.Helper()
	a.session++
	session := topics.Session{Epoch: 1, N: a.session}
	p.presence.Born(a.id, session)
	p.presence.Greeted(a.id, session)
	p.presence.Heard(a.id, topics.Stamp{Session: session, N: 1})
	p.tell(a, topics.Event{Hello: &topics.Hello{Session: session, Facts: a.facts, Jobs: a.jobs}})
}

func (p *plane) gone(a *agent) { p.presence.Died(a.id, topics.Session{Epoch: 1, N: a.session}) }

func (p *plane) tell(a *agent, events ...topics.Event) {
	p.t.Helper()
	first := a.n + 1
	a.n += uint64(len(events))
	p.steps(protocol.Arrived{Host: a.id, Now: p.now.UnixMilli(), Events: topics.Events{Epoch: 1, First: first, Events: events}})
}

func (p *plane) steps(in protocol.PlaneInput) {
	p.t.Helper()
	if err := p.Store.Steps(p.t.Context(), func(tx protocol.PlaneTx) error {
		_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, in)
		return err
	}); err != nil {
		p.t.Fatal(err)
	}
}

// deliver sends what waits, and has the agents begin and end it.
func (p *plane) deliver() {
	p.t.Helper()
	p.steps(protocol.Tick{Now: p.now.UnixMilli(), Online: p.presence.Reachable, Full: func(topics.HostID) bool { return false }})
	m := must(p.Board.Now(p.t.Context()))
	open := 0
	for id, a := range p.agents {
		e := m.Host(id)
		if e == nil {
			continue
		}
		for _, j := range e.Open {
			if j.Kind != topics.UpdateJob {
				continue
			}
			open++
			if j.State == topics.Queued || a.done[j.ID] || a.stuck || e.Connection != hosts.Online {
				continue
			}
			a.done[j.ID] = true
			p.tell(a, topics.Event{Accepted: &topics.Accepted{Job: j.ID}}, topics.Event{Started: &topics.Started{Job: j.ID}})
			if a.fails != "" {
				p.tell(a, topics.Event{Finished: &topics.Finished{Job: j.ID, State: topics.Failed, Cause: a.fails}})
				continue
			}
			to := numberOf(must(p.Store.Job(p.t.Context(), j.ID)))
			a.facts.Agent, a.facts.Updates = "1.3.0", &topics.Updates{OS: "linux", Arch: "amd64", Number: to, Keys: []string{keyID}}
			p.hello2(a, j.ID)
			p.tell(a, topics.Event{Finished: &topics.Finished{Job: j.ID, State: topics.Succeeded}})
		}
	}
	p.most = max(p.most, open)
}

// hello2 has an agent come back in the middle of its update.
func (p *plane) hello2(a *agent, j topics.JobID) {
	a.jobs = []topics.JobID{j}
	p.hello(a)
	a.jobs = nil
}

func (p *plane) turn() {
	p.t.Helper()
	if err := p.Turn(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	p.now = p.now.Add(time.Second)
	for id, a := range p.agents { // who is connected says so
		if c, _ := p.presence.Connection(id); c == hosts.Online {
			p.presence.Heard(id, topics.Stamp{Session: topics.Session{Epoch: 1, N: a.session}, N: uint64(p.now.UnixMilli())})
		}
	}
}

// until turns and delivers until a rollout has come to rest.
func (p *plane) until(id string) Progress {
	p.t.Helper()
	last := ""
	for range 400 {
		p.turn()
		p.deliver()
		x := must(p.Service.Progress(p.t.Context(), id))
		is := fmt.Sprint(x.Count, x.Outcome)
		if is == last && (x.EndedAt > 0 && x.Count.Updating == 0 || x.EndedAt == 0) {
			return x
		}
		last = is
	}
	p.t.Fatal("it does not come to rest")
	return Progress{}
}

func (p *plane) begin(in Input) rollouts.Rollout {
	p.t.Helper()
	x, fresh, err := p.Begin(p.t.Context(), "ada", in)
	if err != nil || !fresh {
		p.t.Fatalf("beginning: fresh %t, %v", fresh, err)
	}
	return x
}

// TestTwoHundredAgentsOfWhichSevenFail: 3.5 % is less than one in twenty, so whether it ends or
// stops depends on when they come. Either way it does what the rule says of their order, and
// everybody else has what they had.
func TestTwoHundredAgentsOfWhichSevenFail(t *testing.T) {
	for _, c := range []struct {
		name    string
		fails   func(i int) bool // by the order in which they are begun
		outcome rollouts.Outcome
		updated int
		failed  int
	}{
		{"spread", func(i int) bool { return i >= 25 && (i-25)%25 == 0 && i < 200 }, rollouts.Done, 193, 7},
		{"the first of them is the canary", func(i int) bool { return i == 0 || i >= 194 }, rollouts.Failed, 0, 1},
		{"two of the second wave", func(i int) bool { return i == 5 || i == 6 || i >= 195 }, rollouts.Failed, 9, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlane(t, 200)
			x := p.begin(Input{})
			order := make([]topics.HostID, 0, len(p.agents))
			for id := range p.agents {
				order = append(order, id)
			}
			slices.SortFunc(order, func(a, b topics.HostID) int {
				if x, y := draw(x.ID, a), draw(x.ID, b); x < y {
					return -1
				}
				return 1
			})
			seven := 0
			for i, id := range order {
				if c.fails(i) {
					p.agents[id].fails = topics.CauseNotWelcomed
					seven++
				}
			}
			if seven != 7 {
				t.Fatalf("%d are to fail", seven)
			}
			got := p.until(x.ID)
			if got.Outcome != c.outcome || got.Count.Updated != c.updated || got.Count.Failed != c.failed ||
				len(got.Members) != c.updated+c.failed || p.most > UsualAtOnce {
				t.Errorf("%s (%s) after %+v of %d, %d at once", got.Outcome, got.Why, got.Count, len(got.Members), p.most)
			}
			runs := map[int64]int{}
			for _, h := range must(p.Store.Hosts(t.Context())) {
				runs[Number(h)]++
			}
			if runs[number] != c.updated || runs[1700] != 200-c.updated {
				t.Errorf("hosts run %v", runs)
			}
			said := p.Notices(t.Context())
			if stopped := len(said) == 1 && said[0].ID == "rollout-failed" && said[0].Remedy != ""; stopped != (c.outcome == rollouts.Failed) {
				t.Errorf("and the notices are %+v", said)
			}
		})
	}
}

// TestARestartAtAnyStep: whatever call breaks off, and whichever process goes on, each host is
// updated once.
func TestARestartAtAnyStep(t *testing.T) {
	const hosts = 5
	for breaks := range 2 * hosts { // before and after each is asked for

		p := newPlane(t, hosts)
		x := p.begin(Input{})
		broken := &breaking{Jobs: p.Jobs, after: breaks}
		p.Service.Jobs = broken
		crashed := false
		for range 12 {
			func() {
				defer func() {
					if r := recover(); r != nil && r != errCrash {
						panic(r)
					}
				}()
				p.turn()
			}()
			if broken.over {
				crashed = true
				p.Service = p.service(p.Store)
				broken = &breaking{Jobs: p.Jobs, after: 1000}
				p.Service.Jobs = broken
			}
			p.deliver()
		}
		got := p.until(x.ID)
		if got.Outcome != rollouts.Done || got.Count.Updated != hosts {
			t.Fatalf("broken off after %d: %s, %+v", breaks, got.Outcome, got.Count)
		}
		for id := range p.agents {
			if of := must(p.Store.JobsOf(t.Context(), id, 10)); len(of) != 1 {
				t.Fatalf("broken off after %d: %d jobs of %s", breaks, len(of), id)
			}
		}
		if !crashed {
			t.Errorf("nothing was broken off after %d", breaks)
		}
	}
}

// breaking is an engine whose process ends before or after a job was asked for.
type breaking struct {
	Jobs
	after int
	over  bool
}

var errCrash = errors.New("crash")

func (b *breaking) AskUpdateUntil(ctx context.Context, actor string, host topics.HostID, u topics.Update, until time.Time) (
	store.Job, bool, error) {
	if b.after--; b.after < 0 && !b.over {
		b.over = true
		panic(errCrash)
	}
	j, fresh, err := b.Jobs.AskUpdateUntil(ctx, actor, host, u, until)
	if b.after--; b.after < 0 && !b.over {
		b.over = true
		panic(errCrash)
	}
	return j, fresh, err
}

func TestStopping(t *testing.T) {
	p := newPlane(t, 30)
	x := p.begin(Input{AtOnce: new(5)})
	p.turn()
	p.deliver()
	p.turn() // of the second wave some wait, and one is at work
	slow := must(p.Service.Progress(t.Context(), x.ID)).Members[1].Host
	p.agents[slow].stuck = true
	if err := p.Stop(t.Context(), "ada", x.ID); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context(), "bob", x.ID); err != nil {
		t.Errorf("again: %v", err)
	}
	p.turn()
	got := p.until(x.ID)
	if got.Outcome != rollouts.Stopped || got.Count.Updated != 1 || got.Count.Failed != 0 || got.Count.Updating != 0 {
		t.Errorf("%s %+v: %s", got.Outcome, got.Count, got.Why)
	}
	for id := range p.agents {
		for _, j := range must(p.Store.JobsOf(t.Context(), id, 10)) {
			if !j.State.Ended() {
				t.Errorf("a job of %s is %s", id, j.State)
			}
		}
	}
	said := must(p.Store.AuditEntries(t.Context(), store.AuditFilter{Action: "rollout.stopped"}, 10))
	if len(said) != 1 || said[0].Actor != "ada" {
		t.Errorf("the audit log says %+v", said)
	}
}

func TestTwoRolloutsAtOnce(t *testing.T) {
	p := newPlane(t, 0)
	for _, h := range []struct {
		name string
		tags []string
	}{{"web-1", []string{"web"}}, {"web-2", []string{"web", "db"}}, {"db-1", []string{"db"}}, {"mail-1", []string{"mail"}}} {
		p.add(h.name, h.tags...).stuck = true
	}
	web := p.begin(Input{Tag: new("web")})
	if x, fresh, err := p.Begin(t.Context(), "bob", Input{Tag: new("web")}); err != nil || fresh || x.ID != web.ID {
		t.Errorf("the same again: %s, fresh %t, %v", x.ID, fresh, err)
	}
	for _, tag := range []string{"db", ""} {
		var overlap *OverlapError
		if _, _, err := p.Begin(t.Context(), "bob", Input{Tag: &tag}); !errors.As(err, &overlap) || overlap.Other.ID != web.ID {
			t.Errorf("of %q, which has a host in common: %v", tag, err)
		}
	}
	p.begin(Input{Tag: new("mail")})
	if _, _, err := p.Begin(t.Context(), "bob", Input{Tag: new("nobody")}); !errors.Is(err, ErrNobody) {
		t.Errorf("of a tag that nobody has: %v", err)
	}
	one := p.begin(Input{Host: "web-1"}) // goes before: its host is left to it
	p.turn()
	p.turn()
	for _, c := range []struct {
		id   string
		want []topics.HostID
	}{{one.ID, []topics.HostID{"web-1-0001"}}, {web.ID, []topics.HostID{"web-2-0001"}}} {
		var got []topics.HostID
		for _, m := range must(p.Service.Progress(t.Context(), c.id)).Members {
			got = append(got, m.Host)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v were begun, want %v", got, c.want)
		}
	}
}

func TestAHostThatCannotIsNoFailure(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*plane, *agent)
		why    string
	}{
		{"an old agent", func(_ *plane, a *agent) { a.facts.Updates, a.facts.Can = nil, nil }, "too old"},
		{"no key", func(_ *plane, a *agent) { a.facts.Updates.Keys = nil }, "without a release key"},
		{"another key", func(_ *plane, a *agent) { a.facts.Updates.Keys = []string{"FEDCBA9876543210"} }, "takes releases of the key"},
		{"its policy", func(_ *plane, a *agent) { a.facts.Updates.Forbidden = true }, "policy forbids"},
		{"its platform", func(_ *plane, a *agent) { a.facts.Updates.Arch = "armv7" }, "no program for linux on armv7"},
		{"retired", func(p *plane, a *agent) {
			must((&hosts.Settings{Store: p.Store}).Put(p.t.Context(), "test", a.id, hosts.Input{Retired: new(true)}))
		}, "retired"},
		{"revoked, or not approved yet", func(p *plane, a *agent) {
			must(p.Store.Revoke(p.t.Context(), "test", a.id))
		}, "not trusted"},
		{"says so when it is asked", func(_ *plane, a *agent) { a.fails = topics.CauseUpdateRefused }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlane(t, 3)
			a := p.agents["host-001-0001"]
			c.change(p, a)
			p.hello(a)
			x := p.begin(Input{})
			got := p.until(x.ID)
			if got.Outcome != rollouts.Done || got.Count.Updated != 2 || got.Count.Failed != 0 || got.Count.Cannot != 1 {
				t.Fatalf("%s %+v: %s", got.Outcome, got.Count, got.Why)
			}
			o := must(p.Overview(t.Context()))
			if c.why == "" {
				return
			}
			if len(o.Cannot) != 1 || !strings.Contains(o.Cannot[0].Why, c.why) || o.Cannot[0].Do == "" {
				t.Errorf("it says %+v", o.Cannot)
			}
			if latest := p.Latest(must(p.Store.Host(t.Context(), a.id))); latest != "1.2.0" {
				t.Errorf("it may run %s", latest)
			}
			var nobody *NobodyError
			if _, _, err := p.Begin(t.Context(), "ada", Input{Host: "host-001"}); !errors.As(err, &nobody) || nobody.Cannot != 1 {
				t.Errorf("asked for alone: %v", err)
			}
		})
	}
}

// TestAutomatically: a release begins by itself if that is wanted, once it is all there; one
// that stopped is not begun again, and the next one is.
func TestAutomatically(t *testing.T) {
	p := newPlane(t, 3)
	p.turn()
	if said := p.Notices(t.Context()); len(said) != 1 || said[0].ID != "newer-agent" || !strings.Contains(said[0].Say, "3 hosts run") {
		t.Errorf("by hand it says %+v", said)
	}
	if _, err := p.Put(t.Context(), "ada", new(true), Input{AtOnce: new(2)}); err != nil {
		t.Fatal(err)
	}
	p.lies.Lacks = p.lies.Programs
	p.turn()
	if list := must(p.Store.Rollouts().Latest(t.Context(), 10)); len(list) != 0 {
		t.Fatalf("a release that is not all there: %+v", list)
	}
	p.lies.Lacks = nil
	for _, a := range p.agents {
		a.fails = topics.CauseCannotRun
	}
	p.turn()
	list := must(p.Store.Rollouts().Latest(t.Context(), 10))
	if len(list) != 1 || !list[0].Automatic || list[0].Most != 2 {
		t.Fatalf("there are %+v", list)
	}
	if got := p.until(list[0].ID); got.Outcome != rollouts.Failed || got.Count.Failed != 1 {
		t.Fatalf("%+v", got)
	}
	for range 5 {
		p.turn()
		p.deliver()
	}
	if list = must(p.Store.Rollouts().Latest(t.Context(), 10)); len(list) != 1 {
		t.Errorf("what stopped was begun again: %+v", list)
	}
	for _, a := range p.agents {
		a.fails = ""
	}
	p.lies = lying(number+1, "1.4.0")
	p.turn()
	if list = must(p.Store.Rollouts().Latest(t.Context(), 10)); len(list) != 2 || list[0].Version != "1.4.0" {
		t.Fatalf("of the next release there are %+v", list)
	}
	if got := p.until(list[0].ID); got.Outcome != rollouts.Done || got.Count.Updated != 3 {
		t.Errorf("%s %+v", got.Outcome, got.Count)
	}
	p.add("late") // comes with an older agent
	p.turn()
	if list = must(p.Store.Rollouts().Latest(t.Context(), 10)); len(list) != 3 {
		t.Fatalf("for a host that came later there are %+v", list)
	}
	if got := p.until(list[0].ID); got.Outcome != rollouts.Done || got.Count.Updated != 1 || got.Count.Has != 3 {
		t.Errorf("%s %+v", got.Outcome, got.Count)
	}
}

// TestWhoDoesNotTakeItIsNotAskedAgainAndAgain: a rollout that begins by itself, and ends as
// nobody is left, is not begun anew at once for the same hosts.
func TestWhoDoesNotTakeItIsNotAskedAgainAndAgain(t *testing.T) {
	for _, cause := range []topics.Cause{topics.CauseUpdateRefused, topics.CauseOldManifest, topics.CauseCancelled} {
		t.Run(string(cause), func(t *testing.T) {
			p := newPlane(t, 1)
			a := p.agents["host-000-0001"]
			if _, err := p.Put(t.Context(), "ada", new(true), Input{}); err != nil {
				t.Fatal(err)
			}
			a.fails = cause
			if cause == topics.CauseCancelled {
				a.fails, a.stuck = "", true
			}
			asked := func() []store.Job {
				for range 10 {
					p.turn()
					p.deliver()
					for _, j := range must(p.Store.JobsOf(t.Context(), a.id, 50)) {
						if a.stuck && !j.State.Ended() && j.CancelledBy == "" {
							if err := p.Jobs.Cancel(t.Context(), "ada", j.ID); err != nil {
								t.Fatal(err)
							}
							p.tell(a, topics.Event{Finished: &topics.Finished{Job: j.ID, State: topics.Cancelled, Cause: cause}})
						}
					}
				}
				return must(p.Store.JobsOf(t.Context(), a.id, 50))
			}
			if jobs := asked(); len(jobs) != 1 {
				t.Errorf("it was asked %d times", len(jobs))
			}
			for _, x := range must(p.Store.Rollouts().Latest(t.Context(), 10)) {
				if m := must(p.Store.Rollouts().Members(t.Context(), x.ID)); len(m) != 1 || m[0].State == rollouts.Updated {
					t.Errorf("its hosts are %+v", m)
				}
			}
			p.now = p.now.Add(Respite)
			p.hello(a)
			if jobs := asked(); len(jobs) != 2 {
				t.Errorf("and a day later %d times", len(jobs))
			}
		})
	}
}

// TestAHostThatLosesItsTagInTheMiddle is waited for no longer than any other.
func TestAHostThatLosesItsTagInTheMiddle(t *testing.T) {
	p := newPlane(t, 0)
	a := p.add("web-1", "web")
	a.stuck = true
	x := p.begin(Input{Tag: new("web")})
	p.turn()
	p.deliver()
	p.tell(a, topics.Event{Accepted: &topics.Accepted{Job: must(p.Store.JobsOf(t.Context(), a.id, 1))[0].ID}})
	must((&hosts.Settings{Store: p.Store}).Put(t.Context(), "test", a.id, hosts.Input{Tags: &[]string{}}))
	p.gone(a)
	p.turn()
	p.now = p.now.Add(Lost + time.Minute)
	p.turn()
	if got := must(p.Service.Progress(t.Context(), x.ID)); got.Outcome != rollouts.Failed {
		t.Errorf("it is %q, %+v", got.Outcome, got.Count)
	}
}

// TestAServerThatWasAwayForHours takes no host for lost that has had no time to come back.
func TestAServerThatWasAwayForHours(t *testing.T) {
	p := newPlane(t, 1)
	a := p.agents["host-000-0001"]
	a.stuck = true
	x := p.begin(Input{})
	p.turn()
	p.deliver()
	p.tell(a, topics.Event{Accepted: &topics.Accepted{Job: must(p.Store.JobsOf(t.Context(), a.id, 1))[0].ID}})
	p.gone(a) // as the broker says of everybody when it ends
	p.now = p.now.Add(3 * Lost)
	p.Service = p.service(p.Store)
	p.turn()
	if got := must(p.Service.Progress(t.Context(), x.ID)); got.Outcome != "" || got.Count.Updating != 1 {
		t.Fatalf("when it is back: %q, %+v", got.Outcome, got.Count)
	}
	p.now = p.now.Add(Lost + time.Minute)
	p.turn()
	if got := must(p.Service.Progress(t.Context(), x.ID)); got.Outcome != rollouts.Failed {
		t.Errorf("an hour later: %q, %+v", got.Outcome, got.Count)
	}
}

// TestAnAgentThatBecameTooOld between the look and the job keeps no rollout from ending.
func TestAnAgentThatBecameTooOld(t *testing.T) {
	p := newPlane(t, 1)
	a := p.agents["host-000-0001"]
	x := p.begin(Input{})
	p.Service.Jobs = &before{Jobs: p.Jobs, do: func() {
		a.facts.Updates, a.facts.Can = nil, nil
		p.hello(a)
	}}
	if got := p.until(x.ID); got.Outcome != rollouts.Done || got.Count.Cannot != 1 {
		t.Errorf("%q, %+v", got.Outcome, got.Count)
	}
}

// before does something before a job is asked for.
type before struct {
	Jobs
	do func()
}

func (b *before) AskUpdateUntil(ctx context.Context, actor string, host topics.HostID, u topics.Update, until time.Time) (
	store.Job, bool, error) {
	b.do()
	return b.Jobs.AskUpdateUntil(ctx, actor, host, u, until)
}

// TestANewerReleaseSupersedesByHand: the old one ends and says so, and the new one is told.
func TestANewerReleaseSupersedesByHand(t *testing.T) {
	p := newPlane(t, 5)
	x := p.begin(Input{})
	p.turn()
	p.lies = lying(number+1, "1.4.0")
	p.turn()
	got := p.until(x.ID)
	if got.Outcome != rollouts.Superseded || !strings.Contains(got.Why, "1.4.0") || len(got.Members) != 1 {
		t.Errorf("%s, %s, %d begun", got.Outcome, got.Why, len(got.Members))
	}
	if said := p.Notices(t.Context()); len(said) != 1 || said[0].ID != "newer-agent" {
		t.Errorf("it says %+v", said)
	}
}

// TestAHostThatIsUpdatedByItsPackageMeanwhile has what it was to get.
func TestAHostThatIsUpdatedByItsPackageMeanwhile(t *testing.T) {
	p := newPlane(t, 4)
	a := p.agents["host-002-0001"]
	a.stuck = true
	x := p.begin(Input{})
	a.facts.Agent, a.facts.Updates = "1.3.0", &topics.Updates{OS: "linux", Arch: "amd64", Number: number, Keys: []string{keyID}}
	p.hello(a)
	if got := p.until(x.ID); got.Outcome != rollouts.Done || got.Count.Updated != 3 || got.Count.Has != 1 {
		t.Errorf("%s %+v", got.Outcome, got.Count)
	}
}

func TestWhatIsNoPlan(t *testing.T) {
	p := newPlane(t, 1)
	for name, in := range map[string]Input{
		"tag":     {Tag: new("a=b=c")},
		"from":    {From: new("25:00"), Until: new("02:00")},
		"until":   {From: new("22:00"), Until: new("")},
		"zone":    {Zone: new("Mars/Olympus")},
		"at_once": {AtOnce: new(0)},
	} {
		var wrong field.Errors
		if _, _, err := p.Begin(t.Context(), "ada", in); !errors.As(err, &wrong) || wrong[name] == "" {
			t.Errorf("%s: beginning says %v", name, err)
		}
		if _, err := p.Put(t.Context(), "ada", nil, in); !errors.As(err, &wrong) || wrong[name] == "" {
			t.Errorf("%s: setting says %v", name, err)
		}
	}
	p.lies = shelf.Release{Say: "There is none."}
	if _, _, err := p.Begin(t.Context(), "ada", Input{}); !errors.Is(err, ErrRelease) {
		t.Errorf("without a release: %v", err)
	}
}
