package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// chatty is a restic that talks for a while and makes a snapshot. It can be told
// to die on the way.
const chatty = `die started
ledger backup
die entered
words 1 10
die mid-log
sleep 0.1
words 11 40
die before-summary
summary
die after-summary`

const talk = 40 // words of chatty

// beforeLedger is the one point at which a restic that runs has not said so.
const beforeLedger = "started"

// hostsAtOnce share the rounds, each its own after the other.
const hostsAtOnce = 4

var (
	unharmed = []topics.JobState{topics.Succeeded}
	broken   = []topics.JobState{topics.Interrupted}
	either   = []topics.JobState{topics.Succeeded, topics.Interrupted}
)

// A kill is a point at which a process dies, and how a job may end that was
// under way then.
type kill struct {
	point string
	most  int // it dies the first time, or any later one up to this
	ends  []topics.JobState
}

func (k kill) String() string { return k.point }

// armed is what the process is started with.
func (k kill) armed(dice *rand.Rand) string {
	return fmt.Sprintf("%s:%d", k.point, 1+dice.IntN(k.most))
}

// deal gives every round its point: each comes equally often, in any order.
func deal[T any](dice *rand.Rand, from []T, n int) (all []T) {
	for len(all) < n {
		for _, i := range dice.Perm(len(from)) {
			all = append(all, from[i])
		}
	}
	return all[:n]
}

// eachHost has some hosts play all rounds, on a bad network.
func eachHost(w *world, play func(h *host, round int)) {
	w.t.Helper()
	var hosts []*host
	for i := range hostsAtOnce {
		h := w.enrol(fmt.Sprintf("host%d", i))
		h.standIn(chatty)
		hosts = append(hosts, h)
	}
	calm := w.proxy.storm(700 * time.Millisecond)
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() {
			for round := i; round < rounds && !w.t.Failed(); round += hostsAtOnce {
				play(h, round)
			}
		})
	}
	all.Wait()
	calm()
	for _, h := range hosts {
		h.refusedNothing()
	}
}

// refusedNothing insists that no message of the host, or to it, was refused: honest processes
// that are killed, and networks that are cut, make none, so that one is worth an alert.
func (h *host) refusedNothing() {
	h.w.t.Helper()
	asides, err := h.w.store.Asides(h.w.t.Context(), h.id)
	if err != nil {
		h.w.t.Error(err)
	}
	for _, a := range asides {
		if strings.Contains(a.Reason, " ") { // the others are words for what was asked in vain
			h.w.t.Errorf("host %s: %s, %d times", h.id, a.Reason, a.N)
		}
	}
}

// judge holds what the control plane knows of a job in the end against the
// ledger of the restic that ran.
func (h *host) judge(id topics.JobID, ends []topics.JobState, what string) {
	h.w.t.Helper()
	j := h.w.awaitEnd(id)
	if !slices.Contains(ends, j.State) {
		h.w.t.Errorf("%s: job %s ended as %s (%s: %s), want one of %v", what, id, j.State, j.Cause, j.Message, ends)
	}
	started := h.ledger()[id]
	switch {
	case started.backups > 1:
		h.w.t.Errorf("%s: job %s was started %d times", what, id, started.backups)
	case j.State == topics.Succeeded && started.backups == 0, started.all == 0 && j.StartedAt > 0 && what != beforeLedger:
		h.w.t.Errorf("%s: job %s is %s with %d lines, and was never started", what, id, j.State, j.Lines)
	}
	n := -1
	if j.State == topics.Succeeded {
		n = talk
	}
	h.w.mustCount(id, n)
	await(h.w.t, "restic of "+string(id)+" to be gone", func() error {
		if left := running(id); len(left) > 0 {
			return fmt.Errorf("%s: processes %v are left", what, left)
		}
		return nil
	})
}

// noStranger insists that restic was only ever started for jobs that were asked for.
func (h *host) noStranger(asked []topics.JobID) {
	h.w.t.Helper()
	for id := range h.ledger() {
		if !slices.Contains(asked, id) {
			h.w.t.Errorf("restic was started for job %s, which nobody was promised", id)
		}
	}
}

// awaitLedger returns when the restic of a killed agent is in the ledger, or
// there is none. The restart must not find it before it got there: it would be
// ended, and the ledger be wrong. A process shows no environment while it is
// being made, so that one look is not enough.
func (h *host) awaitLedger(id topics.JobID) {
	h.w.t.Helper()
	quiet := 0
	await(h.w.t, "the ledger to have "+string(id), func() error {
		if len(running(id)) > 0 {
			quiet = 0
		}
		if quiet++; h.ledger()[id].all > 0 || quiet > 25 {
			return nil
		}
		return errors.New("restic is not in the ledger")
	})
}

func TestAKilledAgentLosesNoJob(t *testing.T) {
	const seed = 1
	dice := rand.New(rand.NewPCG(seed, 0))
	kills := deal(dice, []kill{
		{"agent-commanded", 1, unharmed},      // the command came; it is not in the journal
		{"agent-journalled", 1, broken},       // accepted, restic not started
		{"agent-spawned", 1, broken},          // restic runs, and the journal does not know
		{"agent-spawn-journalled", 1, broken}, // it does now
		{"agent-lines", 3, broken},            // lines were printed, and are not in the journal
		{"agent-lines-journalled", 3, broken}, // not sent
		{"agent-sent", 5, either},             // not received
		{"agent-restic-ended", 1, broken},     // and the journal does not know
		{"agent-end-journalled", 1, unharmed}, // the control plane does not
		{"agent-receipt", 3, either},          // received, and the journal still has it
	}, rounds)
	w := newWorld(t, seed)
	counts := make([]string, rounds)
	for i, k := range kills {
		counts[i] = k.armed(dice)
	}
	var mu sync.Mutex
	asked := map[*host][]topics.JobID{}
	eachHost(w, func(h *host, round int) {
		h.start(counts[round])
		id := h.ask()
		mu.Lock()
		asked[h] = append(asked[h], id)
		mu.Unlock()
		h.process.AwaitDeath()
		h.awaitLedger(id)
		again := ""
		if round%3 == 0 && slices.Equal(kills[round].ends, broken) {
			again = "agent-reaped" // what was left of restic is ended, and nobody was told
		}
		h.start(again)
		if again != "" {
			h.process.AwaitDeath()
			h.start("")
		}
		h.judge(id, kills[round].ends, counts[round])
		h.process.Await("msg=connected") // its job may have ended long before it was back
		h.process.MustStop(time.Minute)
	})
	for h, ids := range asked {
		h.noStranger(ids)
	}
	w.plane.MustStop(time.Minute)
}

func TestAKilledControlPlaneHarmsNoJob(t *testing.T) {
	const seed = 2
	dice := rand.New(rand.NewPCG(seed, 0))
	kills := deal(dice, []kill{
		{"plane-asked", 2, unharmed},        // the job is noted, who asked for it has no answer
		{"plane-dispatched", 2, unharmed},   // noted as sent, and not sent
		{"plane-command-sent", 2, unharmed}, // sent, and no answer
		{"plane-received", 8, unharmed},     // events came, and are not stored
		{"plane-uncommitted", 8, unharmed},  // stored, and not committed
		{"plane-committed", 8, unharmed},    // committed, and no receipt
		{"plane-receipt-sent", 6, unharmed}, // the agent may know now
		{"plane-end-said", 2, unharmed},     // consumers heard of an end, and it is not noted that they did
	}, rounds)
	w := newWorld(t, seed)
	heard := w.hearEnds()
	var hosts []*host
	asked := map[*host][]topics.JobID{}
	for i := range hostsAtOnce {
		h := w.enrol(fmt.Sprintf("host%d", i))
		h.standIn(chatty)
		h.start("")
		hosts = append(hosts, h)
	}
	w.plane.MustStop(time.Minute)
	calm := w.proxy.storm(1500 * time.Millisecond)
	for _, k := range kills {
		point := k.armed(dice)
		w.startPlane(point)
		died := make(chan struct{})
		go func() { // what dies with the control plane's first answer has to be started again
			defer close(died)
			w.plane.AwaitDeath()
		}()
		<-askAll(w, hosts, died, asked)
		<-died
	}
	w.startPlane("")
	for _, h := range hosts {
		asked[h] = append(asked[h], h.ask())
	}
	for _, h := range hosts {
		for _, id := range asked[h] {
			h.judge(id, unharmed, "killed control planes")
		}
	}
	calm()
	all := []store.Job{}
	for _, h := range hosts {
		jobs, err := w.store.JobsOf(t.Context(), h.id, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, jobs...)
		for _, j := range jobs { // those whose answer was lost as well
			h.judge(j.ID, unharmed, "killed control planes")
			asked[h] = append(asked[h], j.ID)
		}
		h.noStranger(asked[h])
		h.process.MustStop(time.Minute)
	}
	heard.mustHave(t, all, len(kills))
	w.plane.MustStop(time.Minute)
}

// askAll keeps every host busy until the control plane has died.
func askAll(w *world, hosts []*host, died <-chan struct{}, asked map[*host][]topics.JobID) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			for _, h := range hosts {
				var made struct {
					ID topics.JobID `json:"id"`
				}
				if w.api("POST", "/api/hosts/"+string(h.id)+"/jobs", map[string]any{
					"kind":         "backup",
					"source_group": "all",
				}, &made) == nil && !slices.Contains(asked[h], made.ID) {
					asked[h] = append(asked[h], made.ID)
				}
			}
			select {
			case <-died:
				return
			case <-tick.C:
			}
		}
	}()
	return done
}

func TestAKilledControlPlaneForgetsNoCancel(t *testing.T) {
	const seed = 8
	w := newWorld(t, seed)
	h := w.enrol("host")
	h.standIn("ledger backup; words 1 5; sleep 1000")
	h.start("")
	for range max(rounds/4, 5) {
		w.plane.MustStop(time.Minute)
		w.startPlane("plane-cancel-noted") // and nobody was told
		id := h.ask()
		await(t, "restic to run", func() error {
			if h.ledger()[id].backups == 0 {
				return errors.New("it does not")
			}
			return nil
		})
		if err := w.api("POST", "/api/jobs/"+string(id)+"/cancel", nil, nil); err == nil {
			t.Error("a control plane that is dead has answered")
		}
		w.plane.AwaitDeath()
		w.startPlane("")
		h.judge(id, []topics.JobState{topics.Cancelled}, "cancelled")
	}
	h.process.MustStop(time.Minute)
	w.plane.MustStop(time.Minute)
}

func TestAKilledResticEndsItsJob(t *testing.T) {
	const seed = 3
	dice := rand.New(rand.NewPCG(seed, 0))
	failed := []topics.JobState{topics.Failed}
	points := deal(dice, []kill{
		{beforeLedger, 1, failed},
		{"entered", 1, failed},
		{"mid-log", 1, failed},
		{"before-summary", 1, failed},
		{"after-summary", 1, failed}, // it may have saved its snapshot; nobody can say
	}, rounds)
	w := newWorld(t, seed)
	var mu sync.Mutex
	asked, on := map[*host][]topics.JobID{}, map[*host]bool{}
	eachHost(w, func(h *host, round int) {
		mu.Lock()
		first := !on[h]
		on[h] = true
		mu.Unlock()
		if first {
			h.start("")
		}
		if err := os.WriteFile(h.restic+".die", []byte(points[round].point), 0o600); err != nil {
			t.Error(err)
			return
		}
		id := h.ask()
		h.judge(id, points[round].ends, points[round].point)
		if j := w.job(id); j.Cause != topics.CauseKilled {
			t.Errorf("%s: the cause is %s, want %s", points[round].point, j.Cause, topics.CauseKilled)
		}
		next := h.ask()
		h.judge(next, unharmed, "after "+points[round].point)
		mu.Lock()
		asked[h] = append(asked[h], id, next)
		mu.Unlock()
	})
	for h, ids := range asked {
		h.noStranger(ids)
		h.process.MustStop(time.Minute)
	}
	w.plane.MustStop(time.Minute)
}
