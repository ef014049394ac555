// Package jobs is the control plane's side of a job: it queues, sends and follows it
// until it has ended, and tells whoever watches.
//
// protocol.PlaneStep holds the rules; this package drives it. It decrypts what agents
// sent, runs the steps in batches with one commit each, and sends receipts and
// commands and notifies watchers only after the commit.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/tidy"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Timing holds the durations of this package.
type Timing struct {
	Protocol protocol.Timing
	NotAfter time.Duration // how long a person's request waits for its host
	Tick     time.Duration // how often due work is looked for, besides after events
	Receipt  time.Duration // receipts to one host are sent no closer than this
	Revise   time.Duration // minimum between two computations of configs, once something changed
	Seen     time.Duration // how often the hosts' last-seen times are stored
	Settle   time.Duration // how often counts of refused messages are stored
}

// DefaultTiming is what production uses.
func DefaultTiming() Timing {
	return Timing{
		Protocol: protocol.DefaultTiming(),
		NotAfter: 24 * time.Hour,
		Tick:     time.Second,
		Receipt:  100 * time.Millisecond,
		Revise:   2 * time.Second,
		Seen:     time.Minute,
		Settle:   time.Second,
	}
}

// Config holds what an engine needs.
type Config struct {
	Store *store.Store
	Epoch int64 // of this control plane: agents leave one of a lower epoch than they have met
	Key   seal.Key
	// Keys, if set, are the sealing keys with a host that uses an identity of ours of this
	// generation, in place of Key: the first seals what is said to it, any may open what it says.
	Keys func(generation int64) []seal.Key
	// Follows, if set, says which identity of ours hosts are to move to, nil if there is one
	// alone.
	Follows  func() *topics.Succession
	Presence *hosts.Presence
	Hub      *Hub
	// Send gives a message to the agents' broker. It must not wait for an agent.
	Send func(topic string, payload []byte) error
	// Changed, if set, is called with each host about which something changed. It
	// must not block.
	Changed func(topics.HostID)
	// Cut, if set, closes the connections of a host's client, or all of the host's with
	// "", and returns how many there were. It must not wait.
	Cut func(host topics.HostID, client string) int
	// Came, if set, is called with each host whose hello is committed; everything the
	// host reported before it is committed by then, too. It must not block.
	Came func(topics.HostID)
	// Answered, if set, is called with each part of an answer to a query. It must not block.
	// false is that the host was not asked.
	Answered func(topics.HostID, topics.QueryID, topics.Answer) bool
	// HearUntil, in Unix milliseconds, is until when no repository is made while hosts have
	// not told what they did since the copy that this control plane was restored from.
	HearUntil int64
	// Short, if set, reports that the control plane's disk is short of space, so that new
	// jobs are held; Refuses, that logs and reports are not taken: agents keep them.
	Short, Refuses func() bool

	Log    *slog.Logger
	Timing Timing
	Limits protocol.Limits
	Intake Intake // the zero value is the default
	Now    func() time.Time
}

// An Engine handles the agents' messages and sends what is due. Run does the work;
// the other methods may be called from any goroutine.
type Engine struct {
	Config
	inbox   *inbox
	stir    chan struct{}
	done    chan struct{}
	counter atomic.Uint64 // numbers messages sent; keeps rising across restarts

	sending  sync.Mutex // from a message's number until it is given to the broker
	mu       sync.Mutex
	channels map[topics.HostID]*line
	follows  map[topics.HostID]heardNext

	beyond     beyond
	refusals   refusals
	turnedAway atomic.Uint64             // messages that were refused since the start
	turned     atomic.Pointer[time.Time] // when a tick that did its work ended last

	// Used by Run's goroutine only.
	owners   map[topics.JobID]topics.HostID
	open     map[topics.JobID]topics.HostID // jobs that had not ended at the last tick
	receipts map[journal]topics.Received
	machines machines
	stranded map[topics.HostID]int64 // epochs in which hosts cannot go on
	looked   map[string]bool         // locks whose hosts were already asked to look
	configs  configs
	replays  replays
	ticked   time.Time             // when the last tick ended
	ticking  time.Duration         // how long it took
	said     map[topics.HostID]int // oddities that were logged since the last settle
}

type arrival struct {
	topic   topics.Topic
	name    string
	payload []byte
	client  string            // the connection's
	remote  string            // its address, without the port
	events  *protocol.Arrived // what it holds, if it was opened and put back
}

// A journal is the one of an agent, by its epoch.
type journal struct {
	host  topics.HostID
	epoch int64
}

// New returns an engine; Run starts it.
func New(c Config) *Engine {
	if c.Intake == (Intake{}) {
		c.Intake = DefaultIntake()
	}
	e := &Engine{
		Config:   c,
		inbox:    newInbox(c.Intake),
		stir:     make(chan struct{}, 1),
		done:     make(chan struct{}),
		channels: map[topics.HostID]*line{}, follows: map[topics.HostID]heardNext{},
		owners:   map[topics.JobID]topics.HostID{},
		receipts: map[journal]topics.Received{},
		machines: newMachines(),
		stranded: map[topics.HostID]int64{},
		refusals: refusals{new: map[topics.HostID]*refused{}, all: map[topics.HostID]*refused{}, at: map[topics.HostID]time.Time{}},
		looked:   map[string]bool{},
		said:     map[topics.HostID]int{},
	}
	e.counter.Store(uint64(c.Now().UnixMilli()) << 20)
	return e
}

// Received queues a message from the agents' broker. The broker calls it on the
// sending agent's own goroutine; while that agent has too much waiting it blocks, which
// delays only that agent.
func (e *Engine) Received(name string, payload []byte, retained bool) {
	e.ReceivedFrom("", "", name, payload, retained)
}

// ReceivedFrom is Received with the client ID of the connection, and its address.
func (e *Engine) ReceivedFrom(client, remote, name string, payload []byte, retained bool) {
	t, err := topics.Parse(name)
	if err != nil {
		e.Log.Warn("message on unknown topic", "topic", name)
		return
	}
	if retained != t.Entry().Retained {
		e.Refused(t.Host, name, errRetained.Error())
		return
	}
	e.inbox.put(arrival{topic: t, name: name, payload: payload, client: client, remote: remote})
}

// Stir makes Run look for due work at once.
func (e *Engine) Stir() {
	select {
	case e.stir <- struct{}{}:
	default:
	}
}

// Run handles messages and due work until ctx ends. It returns an error only if the
// database fails in a way that makes continuing pointless.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.done)
	defer e.inbox.close()
	tick, receipts := time.NewTicker(e.Timing.Tick), time.NewTicker(e.Timing.Receipt)
	seen, settle := time.NewTicker(e.Timing.Seen), time.NewTicker(e.Timing.Settle)
	defer tick.Stop()
	defer settle.Stop()
	defer receipts.Stop()
	defer seen.Stop()
	e.resume(ctx)
	e.hold(ctx)
	for {
		select {
		case <-ctx.Done():
			e.flush()
			e.settle(context.WithoutCancel(ctx))
			return nil
		case <-e.inbox.ready:
			e.take(ctx, e.inbox.take())
		case <-e.stir:
			if wait := e.ticking - time.Since(e.ticked); wait > 0 { // however often it is asked for, half of the time is for others
				time.AfterFunc(wait, e.Stir)
				continue
			}
			e.tick(ctx)
		case <-tick.C:
			e.tick(ctx)
		case <-receipts.C:
			e.flush()
			e.look(ctx)
		case <-settle.C:
			e.settle(ctx)
		case <-seen.C:
			if err := e.Store.Seen(ctx, e.Presence.LastSeen()); err != nil {
				e.complain(ctx, "storing when hosts were last seen failed", "err", err)
			}
			e.heardMachines(ctx)
		}
	}
}

// take handles a batch of messages: durable events in one commit, everything else one
// by one.
func (e *Engine) take(ctx context.Context, batch []arrival) {
	var inputs []arrival
	for _, a := range batch {
		if a.events != nil {
			inputs = append(inputs, a)
			continue
		}
		in, err := e.open1(ctx, a)
		if err != nil && ctx.Err() == nil { // when stopping, errors say nothing about the sender
			e.refuse(ctx, a, err)
		}
		if in != nil {
			inputs = append(inputs, a.opened(*in))
		}
	}
	if len(inputs) == 0 {
		return
	}
	left, err := e.steps(ctx, inputs)
	if err != nil { // one message is invalid; store the others one by one
		left = e.apart(ctx, inputs, err)
	}
	e.inbox.back(left)
}

// refuse counts a message that is invalid or not authentic. Errors of our own, such
// as those of the database, are logged as ours.
func (e *Engine) refuse(ctx context.Context, a arrival, err error) {
	for _, reason := range []error{errUnsealed, errMAC, errReplay, errForeign, errTopic, errShape, errBroken} {
		if errors.Is(err, reason) {
			e.Refused(a.topic.Host, a.name, reason.Error())
			return
		}
	}
	e.complain(ctx, "processing message failed", "host", a.topic.Host, "topic", a.name, "err", err)
}

// complain logs an error, unless the control plane is stopping, when errors are
// expected.
func (e *Engine) complain(ctx context.Context, what string, args ...any) {
	if ctx.Err() == nil {
		e.Log.Error(what, args...)
	}
}

func (e *Engine) tick(ctx context.Context) {
	began := time.Now()
	defer func() { e.ticked, e.ticking = time.Now(), time.Since(began) }()
	e.decide(ctx)
	e.hold(ctx)
	if err := e.disown(ctx); err != nil {
		e.complain(ctx, "ending jobs of hosts that lost their repository failed", "err", err)
	}
	if err := e.unread(ctx); err != nil {
		e.complain(ctx, "ending jobs whose repository has secrets that cannot be read failed", "err", err)
	}
	var effects []protocol.PlaneEffect
	err := e.Store.Steps(ctx, func(tx protocol.PlaneTx) (err error) {
		effects, err = protocol.PlaneStep(e.Timing.Protocol, tx, protocol.Tick{Now: e.Now().UnixMilli(),
			Online: e.Presence.Reachable, Full: e.Presence.Full, Limits: e.Limits, Short: e.short(), Twins: e.machines.divided,
			HearUntil: e.HearUntil})
		return err
	})
	if err != nil {
		e.complain(ctx, "dispatching jobs failed", "err", err)
		return
	}
	e.perform(ctx, effects)
	e.configure(ctx)
	e.notice(ctx)
	now := time.Now()
	e.turned.Store(&now)
}

// Turned is when the engine last looked for due work and could do it, the zero time if it
// has not yet.
func (e *Engine) Turned() time.Time {
	if t := e.turned.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// notice tells watchers about jobs that another process changed in the database, such
// as the command line beside a running control plane. Such a job may have been queued
// and ended since the last tick, so watchers of any job that is not open are told.
func (e *Engine) notice(ctx context.Context) {
	jobs, err := e.Store.OpenJobs(ctx, "")
	if err != nil {
		return // try again at the next tick
	}
	open := make(map[topics.JobID]topics.HostID, len(jobs))
	for _, j := range jobs {
		open[j.ID] = j.Host
	}
	for id, host := range e.open {
		if _, still := open[id]; !still {
			e.tell(host)
		}
	}
	e.open = open
	for _, id := range e.Hub.watched() {
		if _, still := open[id]; !still {
			e.Hub.publish(id, news{}) // watchers read the row again
		}
	}
}

// perform carries out the effects of a committed step. Each is repeated by a later
// step if it fails here.
func (e *Engine) perform(ctx context.Context, effects []protocol.PlaneEffect) {
	for _, effect := range latest(effects) {
		e.effect(ctx, effect)
	}
}

func (e *Engine) effect(ctx context.Context, effect protocol.PlaneEffect) {
	defer e.wall("following up a step")
	switch effect := effect.(type) {
	case protocol.SendReceipt:
		e.receipts[journal{effect.Host, effect.Received.Epoch}] = effect.Received
	case protocol.Greet:
		if err := e.greeted(ctx, effect); err != nil {
			e.complain(ctx, "welcoming a host failed", "host", effect.Host, "err", err)
		}
	case protocol.Forked:
		e.Log.Warn("a copy of this host's journal was in use; its connections were cut", "host", effect.Host)
		if e.Cut != nil {
			e.Cut(effect.Host, "")
		}
	case protocol.Stranded:
		e.strand(effect)
	case protocol.SendRun:
		failpoint.Here("plane-dispatched")
		e.sendRun(ctx, effect.Job)
		failpoint.Here("plane-command-sent")
	case protocol.SendCancel:
		e.command(effect.Job.Host, topics.Command{Job: effect.Job.ID, Cancel: true})
	case protocol.Changed:
		if effect.Job.State.Ended() {
			e.owners[effect.Job.ID] = "" // ignore progress that arrives late
		}
		e.changed(effect.Job)
		if effect.Job.State.Ended() {
			if err := e.followUp(ctx, effect.Job.ID); err != nil {
				e.complain(ctx, "following up the end of a job failed", "host", effect.Job.Host, "job", effect.Job.ID, "err", err)
			}
		}
	case protocol.Logged:
		e.Hub.publish(effect.Job, news{lines: entries(effect)})
	case protocol.HelloCame:
		e.Presence.Greeted(effect.Host, effect.Session)
		e.configs.greeted = true
		delete(e.configs.sent, effect.Host)
		e.Log.Info("host connected", "host", effect.Host)
		e.tell(effect.Host)
		if !e.machines.divided[effect.Host] {
			e.tellNext(effect.Host, effect.Session)
			if e.Came != nil {
				e.Came(effect.Host)
			}
		}
	case protocol.ConfigCame:
		e.tell(effect.Host)
	case protocol.FactsCame:
		e.tell(effect.Host)
		e.Stir()
	case protocol.Stir:
		e.Stir()
	case protocol.Held:
		e.Presence.Held(effect.Host, time.UnixMilli(effect.Until))
		e.tell(effect.Host)
	case protocol.Odd:
		if e.said[effect.Host]++; e.said[effect.Host] <= refusalsLogged {
			e.Log.Warn("event does not fit", "host", effect.Host, "job", effect.Job, "err", effect.What)
		}
		if effect.Foreign {
			e.Refused(effect.Host, "", errForeign.Error())
		}
	}
}

func entries(l protocol.Logged) []store.LogEntry {
	if l.Gap != nil {
		return []store.LogEntry{{N: l.First, GapTo: l.Gap.To, Text: l.Gap.Reason}}
	}
	rows := make([]store.LogEntry, len(l.Lines))
	for i, line := range l.Lines {
		rows[i] = store.LogEntry{N: l.First + i, At: line.At, Level: line.Level, Text: line.Text}
	}
	return rows
}

func (e *Engine) changed(j protocol.PlaneJob) {
	if j.State.Ended() {
		e.Hub.forget(j.ID)
		e.Log.Info("job ended", "host", j.Host, "job", j.ID, "state", j.State)
	}
	e.Hub.publish(j.ID, news{})
	e.tell(j.Host)
}

func (e *Engine) tell(h topics.HostID) {
	if e.Changed != nil {
		e.Changed(h)
	}
}

// flush sends the receipts that are due, one per host.
func (e *Engine) flush() {
	for of, r := range e.receipts {
		e.send(of.host, topics.Topic{Kind: topics.KindReceipt, Host: of.host}, func(s topics.Stamp) any {
			if e.machines.divided[of.host] {
				s.Session, _ = e.Presence.Machine(of.host, of.epoch)
				if b, known := e.machines.in(of.host, s.Session); known {
					s.To = b.Instance
				}
			}
			return topics.Receipt{Stamp: s, Received: r}
		})
		failpoint.Here("plane-receipt-sent")
	}
	clear(e.receipts)
}

func (e *Engine) sendRun(ctx context.Context, p protocol.PlaneJob) {
	if stop, err := e.unsaid(ctx, p); stop || err != nil {
		if err != nil {
			e.complain(ctx, "looking whether a host still has a job's repository failed", "host", p.Host, "job", p.ID, "err", err)
		}
		return
	}
	run, err := e.run(ctx, p.ID)
	if err != nil {
		e.complain(ctx, "building command failed", "host", p.Host, "job", p.ID, "err", err)
		return
	}
	e.command(p.Host, topics.Command{Job: p.ID, NotAfter: p.NotAfter, Run: &run})
}

func (e *Engine) run(ctx context.Context, id topics.JobID) (topics.Run, error) {
	j, err := e.Store.Job(ctx, id)
	if err != nil {
		return topics.Run{}, err
	}
	if j.Kind == topics.UpdateJob { // it is in no repository
		if j.Operation.V == nil {
			return topics.Run{}, errors.New("the job does not say to which release")
		}
		return topics.Run{Kind: j.Kind, Operation: *j.Operation.V}, nil
	}
	r, a, err := e.at(ctx, j.Repository, j.Where())
	if err != nil {
		return topics.Run{}, err
	}
	if len(a.Unread) > 0 && keeps(r, j.Host, j.Kind) {
		return topics.Run{}, &store.UnreadableError{Repository: r.ID, Name: r.Name, Parts: a.Unread, Err: keyring.ErrKey}
	}
	run := topics.Run{Kind: j.Kind, Repository: accessOf(r, a, j)}
	if j.Schedule != "" {
		run.Slot = &topics.Slot{Schedule: j.Schedule, At: j.Slot, Attempt: j.Attempt}
	}
	if j.Operation.V != nil {
		run.Operation = *j.Operation.V
	}
	switch j.Kind {
	case topics.KeyJob:
		if k := run.Key; k != nil && k.Of != "" {
			if run.KeyPassword, err = e.Store.KeyPassword(ctx, j.Repository, k.Of); err != nil {
				return topics.Run{}, fmt.Errorf("the password of a key: %w", err)
			}
			if err := e.opener(ctx, j, k, &run); err != nil {
				return topics.Run{}, err
			}
		}
	case topics.BackupJob:
		g, err := e.Store.SourceGroup(ctx, j.SourceGroup)
		if err != nil {
			return topics.Run{}, fmt.Errorf("its source group: %w", err)
		}
		run.Group = g.Topic()
	case topics.InitJob:
		if run.Repository.Initialise, run.Group, err = e.making(ctx, j); err != nil {
			return topics.Run{}, err
		}
	case topics.CopyJob:
		if run.Group.Limits, err = e.limitsOfCopy(ctx, j); err != nil {
			return topics.Run{}, err
		}
	case topics.DrillJob:
		if run.Drill, err = e.Store.DrillOf(ctx, j); err != nil {
			return topics.Run{}, err
		}
		if run.Group.Limits, err = e.limitsOfDrill(ctx, run.Drill); err != nil {
			return topics.Run{}, err
		}
	case topics.RestoreJob:
		if run.Group.Limits, err = e.limitsOf(ctx, j.Repository, run.Snapshot); err != nil {
			return topics.Run{}, err
		}
	}
	if j.Other != "" {
		other, err := e.other(ctx, j)
		if err != nil {
			return topics.Run{}, err
		}
		run.Other = &other
	}
	return run, nil
}

// opener has a key be added with the former password, where that of the repository's row is the
// one which is still to come to a place.
func (e *Engine) opener(ctx context.Context, j store.Job, k *topics.KeyChange, run *topics.Run) error {
	if k.Action != topics.AddKey {
		return nil
	}
	p, err := e.Store.Opener(ctx, j.Repository, k.Of)
	if err != nil {
		return fmt.Errorf("the former password: %w", err)
	}
	if p != "" {
		run.Repository.Password = p
	}
	return nil
}

// limitsOfDrill returns the strictest limits of all source groups that a drill proves: it
// reads what belongs to each of them, in one job.
func (e *Engine) limitsOfDrill(ctx context.Context, d *topics.Drill) (l topics.Limits, err error) {
	for _, of := range d.Groups {
		g, err := e.Store.SourceGroup(ctx, of.Group)
		if errors.Is(err, store.ErrNotFound) {
			continue // removed since: it limits nothing any more
		} else if err != nil {
			return l, fmt.Errorf("limits of a drill: %w", err)
		}
		l = l.Strictest(g.Topic().Limits)
	}
	return l, nil
}

// limitsOf returns the limits of the source group that the snapshot belongs to, and
// none if the snapshot is unknown or belongs to no group.
func (e *Engine) limitsOf(ctx context.Context, id topics.RepositoryID, snapshot string) (topics.Limits, error) {
	n, err := e.Store.SnapshotByID(ctx, id, snapshot)
	var g store.SourceGroup
	if err == nil {
		g, err = e.Store.SourceGroup(ctx, n.SourceGroup)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return topics.Limits{}, fmt.Errorf("limits of snapshot %s: %w", snapshot, err)
	}
	return g.Topic().Limits, nil
}

// repository reads a repository and its secrets. It returns a *store.UnreadableError if
// those that every job needs cannot be read; without the maintenance credential it goes on.
func (e *Engine) repository(ctx context.Context, id topics.RepositoryID) (store.Repository, store.RepositoryAccess, error) {
	r, err := e.Store.Repository(ctx, id)
	if err != nil {
		return r, store.RepositoryAccess{}, fmt.Errorf("repository %s: %w", id, err)
	}
	a, err := e.Store.RepositoryAccess(ctx, id)
	if bad := (*store.UnreadableError)(nil); errors.As(err, &bad) && !bad.Everyday() {
		err = nil
	}
	if err != nil {
		return r, a, fmt.Errorf("repository %s: %w", id, err)
	}
	return r, a, nil
}

// at is repository as it is at a host's place: whether there is one yet, and at which
// addresses; agents see no {host}. It returns a *places.NameError if that has no name, and
// a *store.UnreadableError as repository does.
func (e *Engine) at(ctx context.Context, id topics.RepositoryID, host topics.HostID) (store.Repository, store.RepositoryAccess, error) {
	r, a, err := e.repository(ctx, id)
	if err != nil || places.Shared(r.Location) && !a.PerHost() {
		return r, a, err
	}
	if places.Shared(r.Location) {
		return e.expanded(ctx, r, a, host)
	}
	rows, err := e.Store.Places(ctx, id)
	if err != nil {
		return r, a, err
	}
	r.ReadyAt = 0 // of the place
	if i := slices.IndexFunc(rows, func(p places.Place) bool { return p.Host == host }); i >= 0 {
		r.ReadyAt = rows[i].ReadyAt
	}
	if r.KeyHint, err = e.Store.KeyAt(ctx, id, host); err != nil || !a.PerHost() {
		return r, a, err
	}
	return e.expanded(ctx, r, a, host)
}

// shared reports whether all hosts open a repository alike.
func (e *Engine) shared(ctx context.Context, r store.Repository) (bool, error) {
	if !places.Shared(r.Location) {
		return false, nil
	}
	_, a, err := e.repository(ctx, r.ID)
	return !a.PerHost(), err
}

// expanded puts the name that a host has at its place where addresses and logins have {host}.
func (e *Engine) expanded(ctx context.Context, r store.Repository, a store.RepositoryAccess, host topics.HostID) (
	store.Repository, store.RepositoryAccess, error) {
	name, err := e.Store.PlaceName(ctx, r.ID, host)
	if err != nil {
		return r, a, fmt.Errorf("place of %s in repository %s: %w", host, r.ID, err)
	}
	a.URL, a.Env = location.Expand(a.URL, name), location.ExpandLogin(a.Env, name)
	if a.Maintenance != nil {
		m := *a.Maintenance
		m.URL, m.Env = location.Expand(m.URL, name), location.ExpandLogin(m.Env, name)
		a.Maintenance = &m
	}
	return r, a, nil
}

func (e *Engine) command(host topics.HostID, c topics.Command) {
	e.send(host, topics.Topic{Kind: topics.KindCommand, Host: host, Job: c.Job}, func(s topics.Stamp) any {
		c.Stamp = s
		return c
	})
}

// send seals a message for the host's current session. false is that it did not go out. One
// follows the other in the order of their numbers, whoever sends: an agent refuses what
// does not rise.
func (e *Engine) send(host topics.HostID, t topics.Topic, build func(topics.Stamp) any) bool {
	e.mu.Lock()
	ch := e.channels[host]
	e.mu.Unlock()
	if ch == nil {
		return false // no birth since the start, so it is not connected
	}
	e.sending.Lock()
	defer e.sending.Unlock()
	name := t.String()
	payload := ch.Seal(name, topics.Encode(build(topics.Stamp{Session: e.Presence.Session(host), N: e.counter.Add(1)})))
	if err := e.Send(name, payload); err != nil {
		e.Log.Warn("sending message failed", "host", host, "topic", name, "err", err)
		return false
	}
	return true
}

// channel returns the channel that seals and opens a trusted host's messages.
func (e *Engine) channel(ctx context.Context, host topics.HostID) (*line, error) {
	e.mu.Lock()
	defer e.mu.Unlock() // hold the lock while reading, so that keys dropped by Forget meanwhile do not come back
	if ch := e.channels[host]; ch != nil {
		return ch, nil
	}
	h, err := e.Store.Host(ctx, host)
	if err != nil {
		return nil, err
	}
	if h.RevokedAt > 0 {
		return nil, store.ErrRevoked
	}
	keys := []seal.Key{e.Key}
	if e.Keys != nil {
		keys = e.Keys(h.Generation)
	}
	ch := &line{peer: h.SealKey}
	for _, key := range keys {
		c, err := seal.NewChannel(key, h.SealKey, seal.Plane, string(host))
		if err != nil {
			return nil, err
		}
		if ch.Channel == nil {
			ch.Channel = c
		} else {
			ch.others = append(ch.others, c)
		}
	}
	e.channels[host] = ch
	return ch, nil
}

// A line is the channel with a host. While it moves to another identity of ours, what
// it said before is still on its way.
type line struct {
	*seal.Channel
	peer   []byte // the host's key
	others []*seal.Channel
}

// Open returns what the host sealed, for whichever of our keys.
func (l *line) Open(topic string, sealed []byte) ([]byte, error) {
	plain, err := l.Channel.Open(topic, sealed)
	for _, c := range l.others {
		if err == nil {
			break
		}
		plain, err = c.Open(topic, sealed)
	}
	return plain, err
}

// Verify reports whether the host signed this, with whichever of our keys.
func (l *line) Verify(topic string, payload, sum []byte) bool {
	return l.Channel.Verify(topic, payload, sum) ||
		slices.ContainsFunc(l.others, func(c *seal.Channel) bool { return c.Verify(topic, payload, sum) })
}

// Forget drops a host's cached keys. It is called when they were replaced or revoked.
func (e *Engine) Forget(host topics.HostID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.channels, host)
}

// Expel ends a host's session; later messages of that session are refused.
func (e *Engine) Expel(ctx context.Context, host topics.HostID) error {
	e.Forget(host)
	session := e.Presence.Session(host)
	e.Presence.Died(host, session)
	e.tell(host)
	return e.Store.Died(ctx, host, session)
}

func unseal[T any](ch *line, a arrival) (T, error) {
	var none T
	plain, err := ch.Open(a.name, a.payload)
	if err != nil {
		return none, errUnsealed
	}
	return decode[T](plain)
}

func decode[T any](plain []byte) (T, error) {
	v, err := topics.Decode[T](plain)
	if err != nil {
		return v, fmt.Errorf("%w: %w", errShape, err)
	}
	return v, nil
}

// birth answers an authenticated birth with a welcome. The session becomes current
// only when a sealed message of it has arrived.
func (e *Engine) birth(ctx context.Context, ch *line, a arrival) error {
	b, err := decode[topics.Birth](a.payload)
	if err != nil {
		return err
	}
	host := a.topic.Host
	if !ch.Verify(a.name, b.Signed(topics.Born), b.MAC) {
		return errMAC
	}
	if b.Instance != "" && (len(b.Instance) > tidy.MostInstance || !ch.Verify(a.name, b.Signed(topics.BornAs(b.Instance)), b.Proof)) {
		return errMAC
	}
	return e.meet(ctx, host, born{Birth: b, client: a.client, remote: a.remote, at: e.Now()})
}

// welcome answers a birth that is the host's.
func (e *Engine) welcome(ctx context.Context, host topics.HostID, b born) error {
	known := e.Presence.Session(host)
	if !e.Presence.Born(host, b.Session) {
		if known.After(b.Session) {
			return errors.Join(errReplay, e.outlived(ctx, host, b.Session, known))
		}
		return errReplay // repeated after the session's death
	}
	if err := e.Store.Born(ctx, host, b.Session); err != nil {
		return err
	}
	h, err := e.Store.Host(ctx, host)
	if err != nil {
		return err
	}
	w := topics.Welcome{Received: h.Received(), Clock: e.Now().UnixMilli(), Known: e.afresh(host, b.Session), Plane: e.Epoch,
		Broadcasts: true, Next: e.tells(host, b.Session)}
	w.Refused = e.speaks(host, Beyond{Version: words.Line(b.Version), Protocol: b.Protocol})
	if h.RenewFor != "" && b.Instance != "" {
		if w.Renew = true; h.RenewFor != b.Instance { // the agent that stays was started anew
			if err := e.Store.RenewsFor(ctx, host, b.Instance); err != nil {
				return err
			}
		}
	}
	e.machines.welcomes(host, b.sighting())
	e.say(host, b.Session, b.Instance, w)
	return nil
}

// outlived answers an authenticated birth that is older than the newest one. Either
// it arrives late, and nobody reads the answer, or the agent's journal was restored
// from a backup or a snapshot of its machine.
func (e *Engine) outlived(ctx context.Context, host topics.HostID, s, known topics.Session) error {
	h, err := e.Store.Host(ctx, host)
	if err != nil {
		return err
	}
	e.send(host, topics.Topic{Kind: topics.KindWelcome, Host: host}, func(stamp topics.Stamp) any {
		stamp.Session = s
		return topics.Welcome{Stamp: stamp, Received: h.Received(), Clock: e.Now().UnixMilli(), Known: known, Plane: e.Epoch,
			Next: e.tells(host, s)}
	})
	return nil
}

func (e *Engine) death(ctx context.Context, ch *line, a arrival) error {
	d, err := decode[topics.Death](a.payload)
	if err != nil {
		return err
	}
	if !ch.Verify(a.name, d.Signed(d.Reason), d.MAC) {
		return errMAC
	}
	if counts, err := e.ended(ctx, a.topic.Host, d.Session); err != nil || !counts {
		return err
	}
	if e.Presence.Died(a.topic.Host, d.Session) {
		e.Log.Info("host disconnected", "host", a.topic.Host, "reason", d.Reason)
		e.tell(a.topic.Host)
	}
	return nil
}

func (e *Engine) heartbeat(ch *line, a arrival) error {
	b, err := unseal[topics.Heartbeat](ch, a)
	if err != nil {
		return err
	}
	tidy.Beat(&b)
	was, _ := e.Presence.Connection(a.topic.Host)
	if !e.Presence.Heard(a.topic.Host, b.Stamp) {
		e.overtakes(a.topic.Host, protocol.Sighting{Instance: b.Instance, Session: b.Session})
		return e.stale(a.topic.Host, b.Stamp)
	}
	if !e.machines.divided[a.topic.Host] { // each machine refuses what is for the other
		e.tellNext(a.topic.Host, b.Stamp.Session)
		e.told(a.topic.Host, e.Presence.RefusedThere(a.topic.Host, b.Refused))
	}
	e.Presence.Clock(a.topic.Host, time.UnixMilli(b.Clock).Sub(e.Now()))
	e.Presence.Permits(a.topic.Host, b.Permits)
	changed := e.Presence.Disk(a.topic.Host, b.Disk, time.UnixMilli(b.Clock).Sub(e.Now()))
	if changed && e.Presence.Full(a.topic.Host) {
		e.Log.Warn("a host has no room for its journal and begins nothing", "host", a.topic.Host, "err", b.Disk.Error)
	}
	e.Hub.silences(a.topic.Host, b.Silent)
	if was != hosts.Online || changed {
		e.tell(a.topic.Host)
		e.Stir()
	}
	if slices.ContainsFunc(b.Silent, func(s topics.Silence) bool { return s.Seconds >= 60 }) {
		e.tell(a.topic.Host) // nothing else would say that nothing happens
	}
	return nil
}

func (e *Engine) progress(ctx context.Context, ch *line, a arrival) error {
	p, err := unseal[topics.Progress](ch, a)
	if err != nil {
		return err
	}
	if !e.Presence.Heard(a.topic.Host, p.Stamp) {
		return e.stale(a.topic.Host, p.Stamp)
	}
	owner, known := e.owners[a.topic.Job]
	if !known {
		j, err := e.Store.Job(ctx, a.topic.Job)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		owner = j.Host
		if len(e.owners) > 10_000 {
			clear(e.owners) // only a cache of the database
		}
		e.owners[a.topic.Job] = owner
	}
	if owner == "" {
		return nil // arrives after the job's end
	}
	if owner != a.topic.Host {
		return errForeign
	}
	tidy.Progress(&p)
	e.Hub.publish(a.topic.Job, news{progress: &p})
	e.tell(a.topic.Host)
	if p.Waits != nil {
		return e.waits(ctx, a.topic.Job, *p.Waits)
	}
	return nil
}

// stale returns the error for a message that is not of the current session: a replay,
// unless that session was replaced a moment ago and the message may have been on its
// way.
func (e *Engine) stale(host topics.HostID, s topics.Stamp) error {
	if e.Presence.Late(host, s) {
		return nil
	}
	return errReplay
}
