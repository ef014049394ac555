// Package agent is one host's side: it stays connected to its control plane,
// runs restic when told to, and reports what came of it.
//
// Every step is in its journal (package spool), on disk before it is acted on.
// [protocol.AgentStep] decides what happens; this package drives it: one loop
// handles one input after the other and carries out the effects.
package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/agent/launcher"
	"github.com/restic-manager/restic-manager/agent/link"
	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/agent/spool"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/topics"
)

// Version is the agent's own; a release sets it when it is linked.
var Version = "dev"

// Timing holds every duration of an agent.
type Timing struct {
	Link     link.Timing
	Protocol protocol.Timing
	Restic   restic.Timing

	Heartbeat time.Duration
	Flush     time.Duration // how long lines are gathered while others are on their way
	Reap      time.Duration // for what an earlier agent left running, from SIGINT to SIGKILL
	Init      time.Duration // for an init that an earlier agent left running, before it is ended, too
	Unlock    time.Duration // for our own lock to be removed after a kill
	Hook      time.Duration // for one hook to end
	HookLate  time.Duration // for all that are run after a job was cancelled; less than Drain
	Retry     time.Duration // before what failed for a local reason (a full disk) is tried again
	Drain     time.Duration // for running jobs to end when the agent is stopped
	Receipts  time.Duration // for their ends to be confirmed after that
	Renew     time.Duration // between two looks at the certificate, and two attempts to renew it
	TokenFile time.Duration // between two looks for a file to enrol by
	Look      time.Duration // between two looks at the policy and at restic, while there is a connection
	Turn      time.Duration // between two looks of an update whether anything else runs
	Try       time.Duration // for the program of an update to say its version
	Again     time.Duration // before a download is tried again, the longer the more often
	Tries     int           // of a download
}

// DefaultTiming is what an agent uses unless a test says otherwise.
func DefaultTiming() Timing {
	return Timing{
		Link: link.DefaultTiming(), Protocol: protocol.DefaultTiming(), Restic: restic.DefaultTiming,
		Heartbeat: 30 * time.Second, Flush: 25 * time.Millisecond,
		Reap: 30 * time.Second, Init: time.Minute, Unlock: 20 * time.Second, Hook: time.Hour, HookLate: 20 * time.Second, Retry: 5 * time.Second,
		Drain: 2 * time.Minute, Receipts: 3 * time.Second, Renew: time.Hour, Look: 2 * time.Second,
		Turn: 500 * time.Millisecond, Try: 30 * time.Second, Again: 2 * time.Second, Tries: 30,
	}
}

// ErrShutdown is the cause of a context that ends since the machine goes down.
var ErrShutdown = errors.New("the machine is shut down")

// An Agent runs with what Enroll left in State.
type Agent struct {
	State  string // directory: identity, policy, journal, restic's cache
	Restic string // path of the program; "" finds it on PATH
	Log    *slog.Logger
	Timing Timing // DefaultTiming when zero
	Waits  bool   // without an identity, until the host is enrolled by a file or beside it, see TokenFile
	// Child is this process's side where a launcher started it, and Launched that one runs the
	// agent here or there: without it, the agent cannot be updated.
	Child    *launcher.Child
	Launched bool
	// Installed is the number of the installed program, where another release runs.
	Installed int64
	Room      uint64 // bytes of events the journal keeps for a control plane that is away; 64 MiB when 0
}

// Run serves until ctx ends. Jobs that run then are interrupted and reported so.
// When it returns, every goroutine and every restic it started has ended, unless
// the error says which one would not. The error says what to do.
func (a *Agent) Run(ctx context.Context) (err error) {
	if a.Timing.Heartbeat == 0 {
		a.Timing = DefaultTiming()
	}
	if usual := DefaultTiming(); a.Timing.Tries == 0 {
		a.Timing.Turn, a.Timing.Try, a.Timing.Again, a.Timing.Tries = usual.Turn, usual.Try, usual.Again, usual.Tries
	}
	if a.Log == nil {
		a.Log = slog.New(slog.DiscardHandler)
	}
	if a.Room == 0 {
		a.Room = full
	}
	state, err := filepath.Abs(a.State) // restic is run in directories of its own
	if err != nil {
		return fmt.Errorf("find the state directory: %w", err)
	}
	identity, err := a.enrolled(ctx, state)
	if err != nil {
		if ctx.Err() != nil { // it was told to stop while it waited for an identity
			return nil
		}
		return err
	}
	for _, said := range private.Dir(state, kept()...) {
		a.Log.Warn(said)
	}
	if _, err := LoadPolicy(state); err != nil {
		return err
	}
	shown, err := identity.credentials()
	if err != nil {
		return err
	}
	key, err := identity.journalKey()
	if err != nil {
		return err
	}
	journal, err := spool.Open(state, key, time.Now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	if err := process.Console(); err != nil { // jobs are ended the hard way
		a.Log.Warn("restic cannot be asked to end, and is ended at once when a job is cancelled; its lock is removed after that", "err", err)
	}

	if _, err := mark(state); err != nil {
		a.Log.Warn("the agent's own files are not marked", "err", err)
	}
	place := restic.Place{CacheDir: filepath.Join(state, "cache"), TempDir: filepath.Join(state, "tmp")}
	if err := os.RemoveAll(place.TempDir); err != nil { // what an earlier agent left when it was killed
		a.Log.Warn("what an earlier agent left among temporary files cannot be removed yet; every job has a directory of its own there",
			"err", err)
	}
	if err := clearDrills(state); err != nil {
		a.Log.Error("what a drill restored before the agent was killed cannot be removed", "err", err)
	}
	if err := restic.ClearChecks(place); err != nil {
		a.Log.Warn("caches of checks that were killed stay", "err", err)
	}
	for _, dir := range []string{place.CacheDir, place.TempDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
	}

	r := &runner{
		Timing: a.Timing, log: a.Log.With("host", identity.Host), identity: identity,
		journal: journal, room: a.Room, place: place,
		program: &program{path: a.Restic, state: a.State, timing: a.Timing.Restic, ssh: sshOf(a.State)},
		state:   state, shown: shown, renewed: make(chan struct{}, 1), replace: make(chan struct{}, 1),
		wall: time.Now, steps: make(chan step), progress: make(chan progress, 8), jobs: map[topics.JobID]context.CancelCauseFunc{},
		queries: newQueries(), child: a.Child, launched: a.Launched, number: a.running(), installed: a.Installed,
		welcomed: make(chan struct{}), leaves: make(chan struct{}, 1),
	}
	if s, err := launcher.Load(state); err == nil && a.Child != nil {
		r.trial = s.Trial != nil && s.Trial.Number == a.Child.Number
	}
	r.home, _ = idOf(state)
	r.instance.Store(new(newInstance()))
	if _, err := r.program.find(ctx); err != nil && ctx.Err() == nil {
		r.log.Warn("backups will fail until this is mended", "err", err)
	}
	return r.run(ctx, link.Config{
		Server: identity.Server, Host: identity.Host, Version: Version,
		Credentials: func() (*tls.Config, *seal.Channel) {
			now := shown.current.Load()
			return now.tls(topics.ALPNMQTT), now.channel
		},
		Timing: a.Timing.Link, Log: r.log, Next: journal.NextSession, Instance: func() string { return *r.instance.Load() },
	})
}

// A runner is one Run. Fields below the line belong to the loop.
type runner struct {
	Timing
	log       *slog.Logger
	identity  *Identity
	state     string       // directory
	home      fileID       // which one that was at the start
	pins      sync.Mutex   // jobs that end write the policy one after the other
	shown     *credentials // to the control plane
	renewed   chan struct{}
	replace   chan struct{}          // the certificate is to be renewed at once
	instance  atomic.Pointer[string] // this process, see topics.Birth
	journal   *spool.Spool
	place     restic.Place
	program   *program
	steps     chan step
	progress  chan progress
	work      sync.WaitGroup   // jobs and what is being reaped
	silent    silences         // of running jobs that do nothing
	restics   restics          // that were started here
	child     *launcher.Child  // nil if no launcher started this process
	trial     bool             // it was started on trial
	launched  bool             // it can be replaced
	number    int64            // of the release that it is
	installed int64            // of the installed program
	welcomed  chan struct{}    // closed when the control plane has welcomed it
	leaves    chan struct{}    // it is to end, so that another release runs
	room      uint64           // bytes the journal may hold before lines are skipped
	quit      context.Context  // ends when nobody waits for the work any more
	wall      func() time.Time // the clock that schedules go by

	begin     func(protocol.Start) // start, but for tests of the clock
	scheduler scheduler
	clock     *time.Timer // when to look at it
	assembly  topics.ConfigAssembly
	jobs      map[topics.JobID]context.CancelCauseFunc
	conn      *link.Conn // nil while there is none
	outbox    *protocol.Outbox
	stopping  bool
	leaving   bool         // it ends, so that another release runs
	updating  topics.JobID // the update that is in hand
	greeted   bool         // it was welcomed
	trouble   trouble
	watch     watch
	queries   queries
}

// A step is an input for the loop, and the channel that says how writing it went.
type step struct {
	in   protocol.AgentInput
	done chan error
}

type progress struct {
	job    topics.JobID
	status restic.Status
}

var (
	errCancelled = errors.New("the job was cancelled")
	errStopping  = errors.New("the agent was stopped")
)

func (r *runner) run(ctx context.Context, config link.Config) error {
	var abandon context.CancelFunc
	r.quit, abandon = context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	linked, cut := context.WithCancel(r.quit)
	defer cut()

	if r.begin == nil {
		r.begin = r.start
	}
	r.clock = time.NewTimer(0)
	defer r.clock.Stop()
	if err := r.step(protocol.Woke{}); err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	r.replan()
	events, unlinked := make(chan link.Event), make(chan struct{})
	go func() {
		defer close(unlinked)
		link.Keep(linked, config, events)
	}()
	var renewing sync.WaitGroup
	defer renewing.Wait()
	defer cut()
	renewing.Go(func() { r.renew(linked) })
	renewing.Go(func() { r.finishLeft(linked) })
	if r.onTrial() {
		renewing.Go(func() { r.prove(linked) })
	} else if err := r.journal.Raise(); err != nil {
		r.log.Warn("the journal stays of an older format", "err", err)
	}

	beat := time.NewTicker(r.Heartbeat)
	defer beat.Stop()
	resend := time.NewTimer(time.Hour)
	defer resend.Stop()
	glance := time.NewTimer(time.Hour)
	defer glance.Stop()
	looks := make(chan look)
	stop := ctx.Done()
	var idle chan struct{}             // closed when a stopping agent has no work left
	var drained, late <-chan time.Time // when it gives up on work, and on receipts

	for {
		select {
		case e := <-events:
			r.linkEvent(e)
			if _, up := e.(link.Up); up && !r.watch.goes {
				glance.Reset(r.Look)
			}
		case <-glance.C:
			if r.watch.goes = r.conn != nil; r.watch.goes {
				times := r.watch.times
				renewing.Go(func() {
					select {
					case looks <- r.lookAgain(linked, times):
					case <-linked.Done():
					}
				})
			}
		case l := <-looks:
			r.looked(l)
			r.watch.goes = false
			glance.Reset(r.Look)
		case s := <-r.steps:
			s.done <- r.step(s.in)
		case p := <-r.progress:
			r.sendProgress(p)
		case a := <-r.queries.parts:
			r.sendAnswer(a)
		case id := <-r.queries.over:
			delete(r.queries.running, id)
		case <-r.renewed: // the new certificate is shown while the old one still counts
			r.disconnect(link.ErrRenewed)
		case <-beat.C:
			r.roomy()
			r.heartbeat()
		case <-r.clock.C:
			r.fire()
		case <-resend.C:
		case <-r.leaves:
			if stop == nil {
				break // it is stopping anyway
			}
			r.leaving = true
			leaves, ends := context.WithCancel(context.Background())
			ends()
			stop = leaves.Done()
		case <-stop:
			r.log.Info("stopping", "jobs", len(r.jobs))
			stop, r.stopping = nil, true
			why := errStopping
			if errors.Is(context.Cause(ctx), ErrShutdown) {
				why = ErrShutdown
			}
			for _, cancel := range r.jobs {
				cancel(why)
			}
			r.unasked()
			drained, idle = time.After(r.Drain), make(chan struct{})
			go func() {
				r.work.Wait()
				close(idle)
			}()
		case <-idle:
			idle, late = nil, time.After(r.Receipts)
		case <-drained:
			cut()
			<-unlinked
			return fmt.Errorf("restic of %d jobs has not ended within %v; it is looked after at the next start", len(r.jobs), r.Drain)
		case <-late:
			cut()
			<-unlinked
			return r.left(nil)
		}
		r.send(resend)
		if late != nil {
			if n, err := r.journal.Pending(); err != nil || n == 0 || r.conn == nil {
				cut()
				<-unlinked
				return r.left(err)
			}
		}
	}
}

// left is what the agent ends with, when all that it had begun has ended.
func (r *runner) left(err error) error {
	if r.leaving && err == nil {
		return launcher.ErrReplace
	}
	return err
}

// do hands an input to the loop and returns when it is on disk. While the journal
// cannot be written it waits, and restic with it, so that nothing is lost.
func (r *runner) do(in protocol.AgentInput) {
	for said := false; ; said = true {
		s := step{in, make(chan error, 1)}
		select {
		case r.steps <- s:
		case <-r.quit.Done():
			return
		}
		err := <-s.done
		if err == nil {
			return
		}
		if !said {
			r.log.Error("a job waits until the journal can be written", "err", err)
		}
		select {
		case <-time.After(r.Retry):
		case <-r.quit.Done():
			return
		}
	}
}

// step writes an input to the journal and carries out its effects.
func (r *runner) step(in protocol.AgentInput) error {
	effects, err := r.journal.Step(in)
	if err != nil || begins(in) {
		r.journalled(err)
	}
	if err != nil {
		return err
	}
	switch in := in.(type) {
	case protocol.Ended:
		delete(r.jobs, in.Job)
		if r.updating == in.Job {
			r.updating = ""
		}
		r.replan()
	case protocol.Configured, protocol.Fired, protocol.Commanded, protocol.Reaped:
		r.replan()
	case protocol.Told:
		r.says(in.Facts)
	}
	for _, e := range effects {
		switch e := e.(type) {
		case protocol.Start:
			failpoint.Here("agent-journalled")
			if e.Run.Kind == topics.UpdateJob {
				r.update(e.Job, e.Run)
			} else {
				r.begin(e)
			}
		case protocol.Resume:
			r.update(e.Job.ID, *e.Job.Run)
		case protocol.Stop:
			if cancel := r.jobs[e.Job]; cancel != nil {
				r.log.Info("cancelling", "job", e.Job)
				cancel(errCancelled)
			}
		case protocol.Reap:
			r.work.Go(func() { r.reap(e.Job) })
		case protocol.Reconnect:
			r.log.Warn("the control plane knows more than this journal, which must be an older copy, or there is another copy of it; " +
				"a new epoch begins")
			r.instance.Store(new(newInstance()))
			r.disconnect(errors.New("a new epoch begins"))
		case protocol.Leave:
			r.log.Error("this control plane was replaced: another one, which was restored from a copy of it, has welcomed this host since; "+
				"nothing is told to this one. If the other one is not to be used, run restic-manager restore-self with a copy of this one",
				"epoch", e.Epoch, "newer", e.Newer)
			r.disconnect(link.Refuse("it was replaced by one that was restored from a copy of it later"))
		}
	}
	return nil
}

func (r *runner) disconnect(why error) {
	r.unasked()
	if r.conn != nil {
		r.conn.Drop(why)
		r.conn, r.outbox = nil, nil
	}
}

func now() int64 { return time.Now().UnixMilli() }

func (r *runner) linkEvent(e link.Event) {
	switch e := e.(type) {
	case link.Up:
		r.conn, r.assembly = e.Conn, topics.ConfigAssembly{}
		facts, err := r.facts()
		if err != nil {
			r.log.Error("the host's policy cannot be used; no job is taken", "err", err)
		}
		in := protocol.Welcomed{Received: e.Welcome.Received, Session: e.Conn.Session, Known: e.Welcome.Known, Facts: facts, At: now(),
			Plane:    e.Welcome.Plane,
			Instance: e.Conn.Instance, Machine: machineOf(r.state)}
		if err := r.step(in); err != nil {
			r.log.Error("the journal cannot be written", "err", err)
			r.disconnect(err)
		}
		if r.conn != nil {
			r.outbox = protocol.NewOutbox(r.Protocol, e.Conn.Session.Epoch, e.Welcome.Received, time.Now())
			r.watch.now = digestOf(facts)
			r.says(facts)
			r.heartbeat()
			if !r.greeted {
				r.greeted = true
				close(r.welcomed)
			}
		}
		if r.follow(e.Welcome.Next); e.Welcome.Renew {
			r.renewAtOnce()
		}
	case link.Renewal:
		if e.Next == nil {
			r.renewAtOnce()
		} else {
			r.follow(e.Next)
		}
	case link.Down:
		if r.conn == e.Conn {
			r.unasked()
			r.conn, r.outbox = nil, nil
		}
	case link.Queried:
		if r.conn == e.Conn {
			r.queried(e.Conn, e.ID, e.Query)
		}
	case link.Received:
		if r.conn != e.Conn {
			return
		}
		failpoint.Here("agent-receipt")
		if err := r.step(protocol.Receipted{Received: e.Receipt.Received}); err != nil {
			r.log.Error("the journal cannot be written", "err", err)
			return
		}
		r.outbox.Receipt(e.Receipt.Received, time.Now())
	case link.Configured:
		if r.conn == e.Conn {
			r.configured(e.Part)
		}
	case link.Commanded:
		if r.conn != e.Conn || (r.stopping || r.onTrial()) && !e.Command.Cancel {
			return // it is sent again
		}
		in := protocol.Commanded{Command: e.Command, At: now()}
		if e.Command.Run != nil {
			in.Refuse, in.Alone = r.refuse(*e.Command.Run)
		}
		failpoint.Here("agent-commanded")
		if err := r.step(in); err != nil && !errors.Is(err, spool.ErrFull) { // that was said, and heartbeats say it
			r.log.Error("a command cannot be accepted, the journal cannot be written", "job", e.Command.Job, "err", err)
		}
	}
}

// refuse checks a job against the policy. It reads the file each time, because the
// host's administrator may have changed it. While no repository is pinned, a job is to
// run alone: the first that works pins its own, and none goes to another beside it.
func (r *runner) refuse(run topics.Run) (no *protocol.Refusal, alone bool) {
	if run.Kind == topics.UpdateJob { // it goes by rules of its own, when it runs
		if err := run.Check(run.Kind); err != nil {
			return &protocol.Refusal{Cause: topics.CauseRefused, Message: fmt.Sprintf("The agent refuses what it was asked: %v.", err)}, false
		}
		return nil, false
	}
	policy, err := r.policy()
	if err != nil {
		return &protocol.Refusal{Cause: topics.CausePolicy, Message: err.Error()}, true
	}
	if no = policy.refuse(r.state, run); no != nil {
		r.log.Warn("job refused", "kind", run.Kind, "cause", no.Cause, "why", no.Message)
	}
	return no, policy.unpinned()
}

// send publishes the events that the outbox allows now, and sets the timer for when
// it may allow more.
func (r *runner) send(resend *time.Timer) {
	for r.outbox != nil {
		after, ok := r.outbox.After(time.Now())
		if !ok {
			break
		}
		batch, err := r.journal.Batch(after)
		if err != nil {
			r.log.Error("the journal cannot be read", "err", err)
			r.disconnect(err)
			return
		}
		n := len(batch.Events)
		if n == 0 || !r.conn.Send(r.topic(topics.KindEvent), batch) {
			break
		}
		r.outbox.Sent(batch.First+uint64(n)-1, time.Now())
		failpoint.Here("agent-sent")
	}
	if r.outbox != nil {
		if due := r.outbox.Due(); !due.IsZero() {
			resend.Reset(max(time.Until(due), time.Millisecond))
		}
	}
}

func (r *runner) topic(k topics.Kind) topics.Topic {
	return topics.Topic{Kind: k, Host: r.identity.Host}
}

func (r *runner) heartbeat() {
	if r.conn == nil {
		return
	}
	pending, err := r.journal.Pending()
	if err != nil {
		r.log.Error("the journal cannot be read", "err", err)
		return
	}
	r.conn.Send(r.topic(topics.KindHeartbeat), topics.Heartbeat{
		Stamp:   r.conn.Stamp(),
		Clock:   now(),
		Spool:   pending,
		Refused: r.conn.Refused(),
		Silent:  r.silent.list(),
		Disk:    r.disk(),

		Instance: r.conn.Instance,
		Permits:  r.watch.now,
	})
}

func (r *runner) sendProgress(p progress) {
	if r.conn == nil {
		return
	}
	t, s := r.topic(topics.KindProgress), p.status
	t.Job = p.job
	var trouble *topics.Trouble
	if x := s.Trouble; x != nil {
		trouble = &topics.Trouble{Words: x.Words, Code: x.Code, Mute: x.Mute, Times: x.Times,
			Seconds: int64(time.Since(x.Since).Seconds()), Again: max(0, int64(time.Until(x.Again).Seconds()))}
	}
	r.conn.Send(t, topics.Progress{
		Stamp: r.conn.Stamp(), Scanned: s.Scanned, Percent: s.Percent,
		TotalFiles: s.TotalFiles, FilesDone: s.FilesDone, TotalBytes: s.TotalBytes, BytesDone: s.BytesDone,
		Errors: s.Errors, Seconds: s.Seconds, SecondsLeft: s.SecondsLeft, CurrentFiles: s.CurrentFiles, Trouble: trouble,
		Stage: s.Stage, Stages: s.Stages, Doing: s.Doing, Done: s.Done, Total: s.Total, Unit: s.Unit, Mute: s.Mute, Waits: s.Waits,
	})
}
