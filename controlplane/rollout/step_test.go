package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store/rollouts"
	"github.com/restic-manager/restic-manager/topics"
)

// A world is a fleet of which nothing is real but the rule: each update ends as ends says,
// a step after it was begun.
type world struct {
	t     *testing.T
	look  Look
	ends  map[topics.HostID]Job // how updates end; succeeded unless said
	slow  map[topics.HostID]bool
	begun []topics.HostID
	last  Step
	most  int // updates at work together, at the most
}

const number = 1800

func newWorld(t *testing.T, hosts int) *world {
	w := &world{t: t, ends: map[topics.HostID]Job{}, slow: map[topics.HostID]bool{}, look: Look{
		Rollout: rollouts.Rollout{ID: "r1", Number: number, Version: "1.3.0", Plan: rollouts.Plan{Zone: "UTC", Most: 10}, Wave: Canary,
			BeganAt: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC).UnixMilli()},
		Jobs: map[topics.JobID]Job{}, Lies: number, LiesWas: "1.3.0", Now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}}
	for i := range hosts {
		w.look.Hosts = append(w.look.Hosts, Host{ID: topics.HostID(fmt.Sprintf("host-%03d", i)), Name: fmt.Sprintf("h%03d", i), Online: true,
			Healthy: true, Number: 1700})
	}
	return w
}

func (w *world) host(i int) *Host { return &w.look.Hosts[i] }

func (w *world) of(id topics.HostID) *Host {
	return w.host(slices.IndexFunc(w.look.Hosts, func(h Host) bool { return h.ID == id }))
}

func failed(cause topics.Cause) Job {
	return Job{State: topics.Failed, Cause: cause, Why: "It failed of " + string(cause) + "."}
}

// step takes one, and does what it says.
func (w *world) step() Step {
	s := Next(w.look)
	again := Next(w.look)
	if !slices.Equal(s.Begin, again.Begin) || s.Outcome != again.Outcome {
		w.t.Fatalf("asked twice it says %+v and %+v", s, again)
	}
	for _, m := range s.Changed {
		w.put(m)
	}
	w.look.Rollout.Wave = s.Wave
	for _, id := range s.Cancel {
		j := w.look.Jobs[id]
		j.State, j.CancelsBy = topics.Cancelled, "ada"
		w.look.Jobs[id] = j
	}
	if s.Outcome != "" {
		w.look.Rollout.EndedAt, w.look.Rollout.Outcome, w.look.Rollout.Why = w.look.Now.UnixMilli(), s.Outcome, s.Why
	}
	for _, id := range s.Begin {
		if w.look.Rollout.EndedAt > 0 {
			w.t.Fatalf("it ended, and begins %s", id)
		}
		job := topics.JobID(fmt.Sprintf("%s-%d", id, len(w.begun)))
		w.put(rollouts.Member{Rollout: "r1", Host: id, Wave: s.Wave, Job: job, State: rollouts.Updating, BeganAt: w.look.Now.UnixMilli()})
		w.look.Jobs[job] = Job{ID: job, State: topics.Running, Accepted: true}
		w.begun = append(w.begun, id)
	}
	open := 0
	for _, j := range w.look.Jobs {
		if !j.State.Ended() {
			open++
		}
	}
	w.most, w.last = max(w.most, open), s
	return s
}

func (w *world) put(m rollouts.Member) {
	if i := slices.IndexFunc(w.look.Members, func(x rollouts.Member) bool { return x.Host == m.Host }); i >= 0 {
		w.look.Members[i] = m
		return
	}
	w.look.Members = append(w.look.Members, m)
}

// finish ends what is at work.
func (w *world) finish() {
	for _, m := range w.look.Members {
		j := w.look.Jobs[m.Job]
		if j.State.Ended() || w.slow[m.Host] {
			continue
		}
		end, said := w.ends[m.Host]
		if !said {
			end.State = topics.Succeeded
			w.of(m.Host).Number = number
		}
		end.ID, end.EndedAt, end.Accepted = j.ID, w.look.Now.UnixMilli(), true
		w.look.Jobs[m.Job] = end
	}
}

// run takes steps until nothing changes any more, and returns what was said last.
func (w *world) run() Step {
	for range 1000 {
		s := w.step()
		w.look.Now = w.look.Now.Add(time.Second)
		w.finish()
		if len(s.Begin) == 0 && len(s.Changed) == 0 && s.Outcome == "" && (s.Count.Updating == 0 || len(w.slow) > 0) {
			return s
		}
		if w.look.Rollout.EndedAt > 0 && s.Count.Updating == 0 {
			return s
		}
	}
	w.t.Fatal("it does not come to rest")
	return Step{}
}

// order is that in which hosts are begun if none fails.
func order(t *testing.T, hosts int) []topics.HostID {
	w := newWorld(t, hosts)
	if w.run(); w.look.Rollout.Outcome != rollouts.Done || len(w.begun) != hosts {
		t.Fatalf("%d of %d were begun, and it is %q", len(w.begun), hosts, w.look.Rollout.Outcome)
	}
	return w.begun
}

func TestOneHostThenATenthThenTheRest(t *testing.T) {
	w := newWorld(t, 40)
	if s := w.step(); len(s.Begin) != 1 || s.Wave != Canary {
		t.Fatalf("first %v, wave %d", s.Begin, s.Wave)
	}
	if s := w.step(); len(s.Begin) != 0 {
		t.Fatalf("while the first is at work %v are begun", s.Begin)
	}
	w.finish()
	if s := w.step(); len(s.Begin) != 4 || s.Wave != Tenth {
		t.Fatalf("then %v, wave %d", s.Begin, s.Wave)
	}
	w.finish()
	if s := w.step(); len(s.Begin) != 10 || s.Wave != Rest {
		t.Fatalf("then %v, wave %d", s.Begin, s.Wave)
	}
	if w.run(); w.most != 10 || w.look.Rollout.Outcome != rollouts.Done || len(w.begun) != 40 {
		t.Errorf("%d at once, %d in all, %q", w.most, len(w.begun), w.look.Rollout.Outcome)
	}
}

// TestWhatStopsARollout: what fails, and how many are updated then. Beside each row that
// stops stands the neighbour that does not.
func TestWhatStopsARollout(t *testing.T) {
	for _, c := range []struct {
		name            string
		hosts           int
		fails           []int // places in the order in which hosts are begun
		outcome         rollouts.Outcome
		updated, failed int
	}{
		{"none fails", 200, nil, rollouts.Done, 200, 0},
		{"the canary", 200, []int{0}, rollouts.Failed, 0, 1},
		{"the second", 200, []int{1}, rollouts.Done, 199, 1},                // 1 of 21 when its wave ends
		{"two of the second wave", 200, []int{1, 2}, rollouts.Failed, 9, 2}, // of the ten at work together; 2 of 21 would be too many
		{"one of two hosts", 2, []int{1}, rollouts.Failed, 1, 1},
		{"one of nineteen, the last", 19, []int{18}, rollouts.Failed, 18, 1},
		{"one of twenty, the last", 20, []int{19}, rollouts.Done, 19, 1},
		{"two of thirty-nine, the last", 39, []int{37, 38}, rollouts.Failed, 37, 2},
		{"two of forty, the last", 40, []int{38, 39}, rollouts.Done, 38, 2},
		{"seven of two hundred, spread", 200, []int{25, 50, 75, 100, 125, 150, 175}, rollouts.Done, 193, 7},
		{"seven of two hundred, the last", 200, []int{193, 194, 195, 196, 197, 198, 199}, rollouts.Done, 193, 7},
		{"seven of two hundred, together", 200, []int{21, 22, 23, 24, 25, 26, 27}, rollouts.Failed, 24, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := order(t, c.hosts)
			w := newWorld(t, c.hosts)
			for _, i := range c.fails {
				w.ends[in[i]] = failed("not-welcomed")
			}
			s := w.run()
			if is := w.look.Rollout; is.Outcome != c.outcome || s.Count.Updated != c.updated || s.Count.Failed != c.failed || is.Why == "" {
				t.Errorf("%s after %d updated and %d failed, want %s after %d and %d: %s", is.Outcome, s.Count.Updated, s.Count.Failed,
					c.outcome, c.updated, c.failed, is.Why)
			}
			if len(w.begun) != c.updated+c.failed || w.most > 10 {
				t.Errorf("%d were begun, %d at once", len(w.begun), w.most)
			}
		})
	}
}

// TestWhatIsNoFailure: hosts that cannot, and hosts that are left out for now.
func TestWhatIsNoFailure(t *testing.T) {
	for _, c := range []struct {
		name  string
		job   Job
		state rollouts.State
	}{
		{"its policy forbids it", failed("update-refused"), rollouts.Cannot},
		{"there is no program for it", failed("no-program"), rollouts.Cannot},
		{"somebody on it went back from it", failed("old-manifest"), rollouts.Cannot},
		{"its job was cancelled", Job{State: topics.Cancelled, CancelsBy: "ada"}, rollouts.Cancelled},
		{"it was removed", Job{State: topics.Interrupted, Cause: topics.CauseHostRemoved}, rollouts.Cancelled},
		{"it is another machine now", Job{State: topics.Interrupted, Cause: topics.CauseReplaced}, rollouts.Cancelled},
		{"a signature that none of its keys made", failed("bad-signature"), rollouts.Refused},
		{"a program that does not run", failed("cannot-run"), rollouts.Refused},
		{"it broke off", Job{State: topics.Interrupted}, rollouts.Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 3)
			w.step()
			canary := w.begun[0]
			w.ends[canary] = c.job
			w.run()
			if got := w.look.Members[0].State; got != c.state {
				t.Errorf("it is %s", got)
			}
			if is, want := w.look.Rollout.Outcome == rollouts.Failed, c.state == rollouts.Refused; is != want {
				t.Errorf("the rollout: %s, %s", w.look.Rollout.Outcome, w.look.Rollout.Why)
			}
			if c.state != rollouts.Refused && len(w.begun) != 3 {
				t.Errorf("%d were begun", len(w.begun))
			}
		})
	}
}

func TestHostsThatAreLeftOut(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Host)
		waits  bool
		says   string
	}{
		{"offline", func(h *Host) { h.Online = false }, true, "offline"},
		{"paused", func(h *Host) { h.Waits = "It is paused." }, true, "paused"},
		{"held, retired, or with no key", func(h *Host) { h.Cannot = "It is retired." }, false, ""},
		{"updated by its package", func(h *Host) { h.Number = number + 1 }, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 5)
			was := *w.host(3)
			c.change(w.host(3))
			s := w.run()
			if len(w.begun) != 4 || slices.Contains(w.begun, was.ID) {
				t.Fatalf("%v were begun", w.begun)
			}
			if going := w.look.Rollout.EndedAt == 0; going != c.waits || !strings.Contains(s.Waits, c.says) {
				t.Fatalf("it goes on: %t, and says %q", going, s.Waits)
			}
			if c.waits { // and it is served when it can
				*w.host(3) = was
				if w.run(); len(w.begun) != 5 || w.look.Rollout.Outcome != rollouts.Done {
					t.Errorf("back, %v were begun, and it is %q", w.begun, w.look.Rollout.Outcome)
				}
			}
		})
	}
	w := newWorld(t, 5)
	w.host(3).Online = false
	w.run()
	w.look.Now = w.look.Now.Add(Longest)
	if w.run(); w.look.Rollout.Outcome != rollouts.Done || !strings.Contains(w.look.Rollout.Why, "1 host could not be begun") {
		t.Errorf("after a month it is %q: %s", w.look.Rollout.Outcome, w.look.Rollout.Why)
	}
	w = newWorld(t, 5)
	w.step()
	w.look.Hosts = slices.DeleteFunc(w.look.Hosts, func(h Host) bool { return h.ID == w.begun[0] }) // it was removed, or lost its tag
	w.ends = map[topics.HostID]Job{w.begun[0]: {State: topics.Interrupted, Cause: topics.CauseHostRemoved}}
	if w.run(); w.look.Rollout.Outcome != rollouts.Done || len(w.begun) != 5 {
		t.Errorf("without the first it is %q, %v", w.look.Rollout.Outcome, w.begun)
	}
}

// TestWhoGoesFirst: one that is connected and healthy, and no keeper if there is another; where
// none is healthy, any that is connected.
func TestWhoGoesFirst(t *testing.T) {
	w := newWorld(t, 4)
	for i := range 4 {
		w.host(i).Healthy = i == 2
		w.host(i).Online = i != 2
	}
	if s := w.step(); len(s.Begin) != 0 || !strings.Contains(s.Waits, "healthy host goes first") {
		t.Errorf("without a healthy one that is there: %+v", s)
	}
	w.host(2).Online = true
	if s := w.step(); !slices.Equal(s.Begin, []topics.HostID{"host-002"}) {
		t.Errorf("%v goes first", s.Begin)
	}
	w = newWorld(t, 3)
	for i := range 3 {
		w.host(i).Keeper, w.host(i).Failed = i == 0, i == 1
	}
	if s := w.step(); !slices.Equal(s.Begin, []topics.HostID{"host-002"}) {
		t.Errorf("before a keeper, and one whose update failed before, goes %v", s.Begin)
	}
	w = newWorld(t, 2)
	w.host(0).Healthy, w.host(1).Healthy = false, false
	if s := w.step(); len(s.Begin) != 1 {
		t.Errorf("where none is healthy: %+v", s)
	}
}

// TestHours: none begins outside of them, and what is at work then goes on.
func TestHours(t *testing.T) {
	w := newWorld(t, 40)
	w.look.Rollout.Plan = rollouts.Plan{From: 22 * 60, Until: 2 * 60, Zone: "Europe/Berlin", Most: 10}
	if s := w.step(); len(s.Begin) != 0 || !strings.Contains(s.Waits, "22:00 (Europe/Berlin)") {
		t.Fatalf("at noon: %+v", s)
	}
	w.look.Now = time.Date(2026, 12, 1, 0, 59, 50, 0, time.UTC) // 01:59:50 in Berlin
	w.step()
	w.finish()
	if s := w.step(); len(s.Begin) != 4 {
		t.Fatalf("shortly before two: %+v", s)
	}
	w.look.Now = w.look.Now.Add(time.Minute)
	if s := w.step(); s.Count.Updating != 4 || len(s.Begin)+len(s.Cancel) != 0 || s.Outcome != "" {
		t.Fatalf("when the hours end: %+v", s)
	}
	w.finish()
	if s := w.step(); s.Count.Updated != 5 || len(s.Begin) != 0 || s.Waits == "" {
		t.Fatalf("after them: %+v", s)
	}
	w.look.Now = time.Date(2026, 12, 1, 21, 0, 0, 0, time.UTC)
	if s := w.step(); len(s.Begin) != 10 {
		t.Fatalf("the next night: %+v", s)
	}
}

func TestANewerReleaseEndsARollout(t *testing.T) {
	w := newWorld(t, 40)
	w.step()
	w.look.Lies, w.look.LiesWas = number+1, "1.4.0"
	s := w.step()
	if s.Outcome != rollouts.Superseded || !strings.Contains(s.Why, "1.4.0") || len(s.Begin) != 0 {
		t.Fatalf("%+v", s)
	}
	if w.run(); w.look.Members[0].State != rollouts.Updated || len(w.begun) != 1 {
		t.Errorf("what was at work then: %+v", w.look.Members)
	}
	w = newWorld(t, 40)
	w.look.Lies, w.look.NoLie = 0, "There is no manifest."
	if s := w.step(); len(s.Begin) != 0 || s.Outcome != "" || s.Waits != "There is no manifest." {
		t.Errorf("without a manifest: %+v", s)
	}
}

// TestStopped: who is at work goes on, what no agent has yet is taken back.
func TestStopped(t *testing.T) {
	w := newWorld(t, 40)
	w.step()
	w.finish()
	w.step()
	queued := w.look.Members[1].Job
	w.look.Jobs[queued] = Job{ID: queued, State: topics.Queued}
	w.look.Rollout.EndedAt, w.look.Rollout.Outcome = 1, rollouts.Stopped
	if s := w.step(); !slices.Equal(s.Cancel, []topics.JobID{queued}) || len(s.Begin) != 0 {
		t.Fatalf("%+v", s)
	}
	s := w.run()
	if s.Count.Updated != 4 || s.Count.Failed != 0 || s.Count.Updating != 0 || w.look.Members[1].State != rollouts.Cancelled {
		t.Errorf("in the end: %+v %+v", s.Count, w.look.Members)
	}
}

// TestAHostThatStaysAway in the middle of its update has failed after an hour, and has not if
// it comes back with the news that all went well.
func TestAHostThatStaysAway(t *testing.T) {
	w := newWorld(t, 200)
	w.step()
	w.finish()
	w.step()
	away := w.look.Members[2].Host
	w.slow[away] = true
	w.of(away).Online, w.of(away).Gone = false, w.look.Now.UnixMilli()
	w.look.Now = w.look.Now.Add(Lost - time.Minute)
	if s := w.step(); s.Count.Failed != 0 {
		t.Fatalf("after less than an hour: %+v", s)
	}
	w.look.Now = w.look.Now.Add(2 * time.Minute)
	if s := w.step(); len(s.Changed) == 0 || s.Count.Failed != 1 || s.Outcome != "" {
		t.Fatalf("after an hour: %+v", s)
	}
	w.slow = map[topics.HostID]bool{}
	w.of(away).Online = true
	w.finish()
	if s := w.run(); s.Count.Failed != 0 || s.Count.Updated != 200 || w.look.Rollout.Outcome != rollouts.Done {
		t.Errorf("in the end: %+v, %s", s.Count, w.look.Rollout.Why)
	}
}

// TestATurnThatPassed comes again: nobody had begun.
func TestATurnThatPassed(t *testing.T) {
	w := newWorld(t, 3)
	w.step()
	w.ends[w.begun[0]] = Job{State: topics.Abandoned, Cause: topics.CauseExpired}
	w.finish()
	delete(w.ends, w.begun[0])
	w.step()
	w.look.Now = w.look.Now.Add(2 * time.Minute)
	if w.run(); w.look.Rollout.Outcome != rollouts.Done || w.last.Count.Updated != 3 || w.last.Count.Failed != 0 {
		t.Errorf("%+v", w.last)
	}
}

// TestAutomaticallyNothingIsTriedTwice: a host whose update to the release failed is left out.
func TestAutomaticallyNothingIsTriedTwice(t *testing.T) {
	for _, automatic := range []bool{true, false} {
		w := newWorld(t, 30)
		w.look.Rollout.Automatic = automatic
		w.host(7).Failed = true
		w.run()
		if tried := slices.Contains(w.begun, "host-007"); tried == automatic || w.look.Rollout.Outcome != rollouts.Done {
			t.Errorf("automatic %t: it was tried: %t, %q", automatic, tried, w.look.Rollout.Outcome)
		}
	}
}
