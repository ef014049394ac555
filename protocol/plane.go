package protocol

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/topics"
)

// A PlaneJob is what the protocol needs of a job's row. Times are Unix
// milliseconds by the control plane's clock.
type PlaneJob struct {
	ID          topics.JobID         `db:"id"`
	Host        topics.HostID        `db:"host"`
	Kind        topics.JobKind       `db:"kind"`
	Repository  topics.RepositoryID  `db:"repository"`
	Group       topics.SourceGroupID `db:"source_group"` // of a backup
	Schedule    topics.ScheduleID    `db:"schedule"`     // of a slot's job, with the slot
	Slot        int64                `db:"slot"`
	State       topics.JobState      `db:"state"`
	NotAfter    int64                `db:"not_after"`
	Accepted    bool                 `db:"accepted"` // the agent has it in its journal
	CancelAsked bool                 `db:"cancel_asked"`
	Attempts    int                  `db:"attempts"`
	NextSend    int64                `db:"next_send"`
	Lines       int                  `db:"lines"` // 1..Lines are stored, or recorded as gaps
	QueuedAt    int64                `db:"queued_at"`
	SentAt      int64                `db:"sent_at"`  // when it was sent first; 0 is not yet, or by the host itself
	Behalf      topics.SourceGroupID `db:"behalf"`   // of an init job: whose backup waits for it, "" if a person asked
	ReadyAt     int64                `db:"ready_at"` // when a repository was first found or made at its place; 0 is never
	// Other is the second repository: of a copy where it goes, of an init job whose chunker
	// parameters the new one takes; "" is none. OtherReadyAt is ReadyAt of that one.
	Other        topics.RepositoryID `db:"other"`
	OtherReadyAt int64               `db:"other_ready_at"`
	Fired        bool                `db:"fired"` // its host began it by itself, maybe long before we heard of it
	Bytes        int64               `db:"log_bytes"`
	Cut          bool                `db:"cut"`       // parts of its report were dropped
	Recalled     bool                `db:"recalled"`  // its host is asked how it ended: see hello
	All          bool                `db:"all_locks"` // of an unlock: those of live processes, too
}

// PlaneTx is one transaction on the control plane's journal, which is its
// database. All of it is on disk when it commits, or none.
type PlaneTx interface {
	// Key is the key of a host's machine that counts now, nil if none is known.
	Key(topics.HostID) ([]byte, error)
	// Received is how much of a host's stream is committed.
	Received(topics.HostID) (topics.Received, error)
	SetReceived(topics.HostID, topics.Received) error
	// Restoring is the control plane's epoch, if it was restored from a copy and this host
	// has not yet told to the end how it went on since the copy was made; else 0.
	Restoring(topics.HostID) (int64, error)
	// Behind are the hosts of which Restoring says so; nil is none.
	Behind() (map[topics.HostID]bool, error)
	// CaughtUp notes that the host has told it.
	CaughtUp(host topics.HostID, at int64) error
	// Missing notes that the host cannot tell all of it: what happened between the copy
	// and this moment may be known in part only.
	Missing(host topics.HostID, at int64) error
	// Recovered adds a job that a host accepted after the copy was made, dispatched and
	// accepted. It is false if it cannot be told what job that was.
	Recovered(host topics.HostID, a topics.Accepted, at int64) (PlaneJob, bool, error)
	// Lanes are the streams of a host whose identity several machines have, and of
	// those that were refused since; nil if there never were any.
	Lanes(topics.HostID) ([]Lane, error)
	// PutLane writes the lane of an epoch; DropLane removes it.
	PutLane(topics.HostID, Lane) error
	DropLane(host topics.HostID, epoch int64) error

	Job(topics.JobID) (PlaneJob, bool, error)
	// PutJob writes the columns of a PlaneJob. It refuses a change of state that
	// is not in the table of allowed ones.
	PutJob(PlaneJob) error
	// Open lists jobs that have not ended, the oldest first; of one host, or of
	// all with "".
	Open(topics.HostID) ([]PlaneJob, error)
	// Begun lists the open jobs that a host began by itself, and Waiting those of a source
	// group that were not sent yet; the oldest first.
	Begun(topics.HostID) ([]PlaneJob, error)
	Waiting(topics.HostID, topics.SourceGroupID) ([]PlaneJob, error)

	AddLines(id topics.JobID, first int, lines []topics.Line) error
	AddGap(id topics.JobID, from int, gap topics.Gap) error
	// AddReport keeps a part of what a job found out. The same part may come twice.
	AddReport(topics.Report) error

	// Fired adds the job of a slot that a host began by itself, dispatched and
	// accepted. It is false if there is no such source group or repository (any
	// more), or they are not this host's.
	Fired(topics.HostID, topics.Fired, int64) (PlaneJob, bool, error)
	// Fits says whether a host may have begun a slot at a moment, and SameSlot how many
	// jobs it has begun by itself for it and a source group.
	Fits(topics.HostID, topics.Slot, topics.SourceGroupID, int64) (Fit, error)
	SameSlot(topics.Slot, topics.SourceGroupID) (int, error)
	// Served notes that a job of a host serves further slots of its group, too.
	Served(PlaneJob, []topics.Slot, int64) error
	// Configured notes which config is in force on a host.
	Configured(topics.HostID, topics.Configured, int64) error

	// AtOnce is how many jobs hosts run at once, of all that have more than one open job.
	AtOnce() (map[topics.HostID]int, error)

	Sites
	// AddInit adds a queued init job to the host of a backup, on its behalf; or of a copy, as
	// it is in the repository it goes to: the new one cuts files where Other does.
	AddInit(PlaneJob, int64) (PlaneJob, error)
	PutTry(Try) error

	// Hour is what was stored of a host in the hour that something last was.
	Hour(topics.HostID) (Hour, error)
	PutHour(topics.HostID, Hour) error

	// Ahead does part of what the end of a job has to do, in as many steps as it takes:
	// enough says that a step has taken long enough, nil is never. It is called before the
	// job ends, until it is true.
	Ahead(j PlaneJob, f topics.Finished, at int64, enough func() bool) (done bool, err error)

	// Standard is what a backup that ends now is judged by.
	Standard(PlaneJob) (Standard, error)

	// The rest is for people; the protocol never reads it back.

	// SetAside counts what a host said and what counts for nothing.
	SetAside(topics.HostID, Aside, int, int64) error
	Greeted(topics.HostID, topics.Hello, int64) error
	Told(topics.HostID, topics.Facts) error
	Started(PlaneJob, topics.Started, int64) error
	// Ran notes the number of a process of a job, by which locks of it are known.
	Ran(job PlaneJob, pid int) error
	// Finished is called with the job in its final state, after PutJob.
	Finished(PlaneJob, topics.Finished, int64) error
	// Saved is called with a backup whose end was not known, and how its host says that
	// it ended after all: with a snapshot. That may be said again.
	Saved(PlaneJob, topics.Finished, int64) error
}

// A PlaneInput is an event that the control plane handles.
type PlaneInput interface{ planeInput() }

// The inputs of the control plane.
type (
	// Arrived: a host sent a batch of its durable stream. Enough, if it is set, is asked
	// before each event but the first: if it is true, the rest is left for another step.
	// Skip, if it is not 0, is the number of an event that cannot be handled. Key is the
	// host's key that opened it; nil is not looked at.
	Arrived struct {
		Host   topics.HostID
		Key    []byte
		Events topics.Events
		Now    int64
		Enough func() bool
		Skip   uint64
	}
	// Tick: it is time to look at what is due. Online says which hosts can be reached,
	// and Full which of them begin nothing for want of room; nil is none.
	Tick struct {
		Now    int64
		Online func(topics.HostID) bool
		Full   func(topics.HostID) bool
		Limits Limits
		// Short says that the control plane has too little room for what new jobs tell: they
		// are held, see [HeldWhenShort].
		Short bool
		// Twins are the hosts whose identity several machines have: nothing is sent there.
		Twins map[topics.HostID]bool
		// HearUntil is that of Making.
		HearUntil int64
	}
	// Settled: a job that was not sent has ended without being sent.
	Settled struct {
		End topics.Finished
		Now int64
	}
	// CancelAsked: a person wants a job to end.
	CancelAsked struct {
		Job topics.JobID
		By  string
		Now int64
	}
	// HostReplaced: another machine has taken a host's place. What the one before it had in
	// hand, nobody will hear the end of.
	HostReplaced struct {
		Host topics.HostID
		Now  int64
	}
	// HostRemoved: a person took a host out of care. Nothing is sent to it any more, and
	// what it says is not heard until it is brought back.
	HostRemoved struct {
		Host topics.HostID
		By   string
		Now  int64
	}
)

func (Arrived) planeInput()      {}
func (HostRemoved) planeInput()  {}
func (HostReplaced) planeInput() {}
func (Settled) planeInput()      {}
func (Tick) planeInput()         {}
func (CancelAsked) planeInput()  {}

// A PlaneEffect is something the control plane has to do after the commit.
type PlaneEffect interface{ planeEffect() }

// The effects on the control plane's side.
type (
	// SendRun sends a job to its host.
	SendRun struct{ Job PlaneJob }
	// SendCancel asks a job's host to end it.
	SendCancel struct{ Job PlaneJob }
	// SendReceipt tells a host what is committed.
	SendReceipt struct {
		Host     topics.HostID
		Received topics.Received
	}
	// Changed: a job's row changed; notify watchers.
	Changed struct{ Job PlaneJob }
	// Logged: a job has new log lines; notify watchers.
	Logged struct {
		Job   topics.JobID
		First int
		Lines []topics.Line
		Gap   *topics.Gap
	}
	// HelloCame: a host's session is authenticated.
	HelloCame struct {
		Host    topics.HostID
		Session topics.Session
	}
	// ConfigCame: a host reported which config is in force.
	ConfigCame struct{ Host topics.HostID }
	// FactsCame: a host that is connected has become another, or permits something else.
	FactsCame struct{ Host topics.HostID }
	// Stir asks for a Tick now: something may have become due.
	Stir struct{}
	// Forked: another journal than the host's stream so far sends its events. Its
	// connection is to be cut, so that it is welcomed anew.
	Forked struct{ Host topics.HostID }
	// Left: there was enough, and the rest of the events is to be given again, also one
	// of which a part is done.
	Left struct{ Host topics.HostID }
	// Held: as much of the host was stored as may be within an hour. What comes after
	// that is not received until the next one begins.
	Held struct {
		Host  topics.HostID
		Until int64
	}
	// Stranded: a host goes on in an epoch of which the control plane, restored from an
	// older copy, has not the beginning, and neither has the host any more. Its connection
	// is to be cut, and the next welcome has to ask for a new epoch.
	Stranded struct {
		Host  topics.HostID
		Epoch int64
	}
	// Odd reports what should not happen, for the log.
	Odd struct {
		Host topics.HostID
		Job  topics.JobID
		What string
		// Foreign: the host spoke about a job of another.
		Foreign bool
	}
)

func (SendRun) planeEffect()     {}
func (SendCancel) planeEffect()  {}
func (SendReceipt) planeEffect() {}
func (Changed) planeEffect()     {}
func (Logged) planeEffect()      {}
func (HelloCame) planeEffect()   {}
func (ConfigCame) planeEffect()  {}
func (FactsCame) planeEffect()   {}
func (Stir) planeEffect()        {}
func (Forked) planeEffect()      {}
func (Stranded) planeEffect()    {}
func (Odd) planeEffect()         {}
func (Left) planeEffect()        {}
func (Held) planeEffect()        {}

// PlaneStep applies one input to the control plane's journal.
func PlaneStep(t Timing, tx PlaneTx, in PlaneInput) ([]PlaneEffect, error) {
	s := planeStep{Timing: t, tx: tx, bounds: t.Bounds.or(DefaultBounds())}
	var err error
	switch in := in.(type) {
	case Arrived:
		err = s.arrived(in)
	case Tick:
		err = s.tick(in)
	case CancelAsked:
		err = s.cancel(in)
	case Settled:
		err = s.settle(in)
	case HostRemoved:
		err = s.hostRemoved(in)
	case HostReplaced:
		err = s.hostReplaced(in)
	case TwinsFound:
		err = s.twinsFound(in)
	case Born:
		err = s.born(in)
	case TwinsDecided:
		err = s.twinsDecided(in)
	case Released:
		err = s.release(in)
	default:
		err = fmt.Errorf("plane: unknown input %T", in)
	}
	return s.effects, err
}

type planeStep struct {
	Timing
	tx      PlaneTx
	effects []PlaneEffect
	// While events of one of several machines are handled: its lane, and the others'.
	lane   *Lane
	others []Lane
	// While events of a host are handled: what was stored of it in this hour before and now,
	// and what was set aside.
	bounds    Bounds
	had, hour Hour
	asides    map[Aside]int
	enough    func() bool // see Arrived
	more      bool        // the event that was handled needs another step
	// While events of a host are handled: what PlaneTx.Restoring says of it.
	restoring int64
}

func (s *planeStep) do(e PlaneEffect) { s.effects = append(s.effects, e) }

// arrived handles the events that come next and returns the place reached. If a
// number is missing it keeps nothing after the gap, and the agent sends again from
// the receipt.
func (s *planeStep) arrived(in Arrived) error {
	if in.Key != nil { // another machine may have taken the host's place since it was opened
		key, err := s.tx.Key(in.Host)
		if err != nil {
			return err
		}
		if !bytes.Equal(key, in.Key) {
			s.do(Odd{Host: in.Host, What: "events of a machine that was replaced", Foreign: true})
			return nil
		}
	}
	lanes, err := s.tx.Lanes(in.Host)
	if err != nil {
		return err
	}
	if s.restoring, err = s.tx.Restoring(in.Host); err != nil {
		return err
	}
	if _, there := InLane(lanes, in.Events.Epoch); there || Open(lanes) {
		return s.inLane(in, lanes)
	}
	had, err := s.tx.Received(in.Host)
	if err != nil {
		return err
	}
	got := had
	if in.Events.Epoch > got.Epoch && in.Events.First == 1 {
		if err := s.renewed(in.Host, got); err != nil {
			return err
		}
		got = topics.Received{Epoch: in.Events.Epoch}
		if s.restoring != 0 {
			if err := s.tx.Missing(in.Host, moment(in.Events.Events[0], in.Now)); err != nil {
				return err
			}
		}
	} else if in.Events.Epoch > got.Epoch && s.restoring != 0 {
		s.do(Stranded{in.Host, in.Events.Epoch})
		return nil
	}
	if got, err = s.events(in, got); err != nil {
		return err
	}
	if got != had {
		if err := s.tx.SetReceived(in.Host, got); err != nil {
			return err
		}
	}
	s.do(SendReceipt{in.Host, got})
	return nil
}

// events handles what comes next in a stream. Of another journal, which has another
// event at the place that was reached, nothing counts: some of it would be taken for
// what was received. It has to connect anew, and to begin an epoch of its own.
func (s *planeStep) events(in Arrived, got topics.Received) (topics.Received, error) {
	if in.Events.Epoch != got.Epoch || in.Events.First > got.Seq+1 {
		return got, nil
	}
	if i := got.Seq - in.Events.First; got.Seq >= in.Events.First && i < uint64(len(in.Events.Events)) {
		if mark := in.Events.Events[i].Mark; mark != "" && got.Mark != "" && mark != got.Mark {
			s.do(Forked{in.Host})
			return got, nil
		}
	}
	if err := s.opens(in.Host, in.Now); err != nil {
		return got, err
	}
	s.enough = in.Enough
	began := got.Seq
	for i, e := range in.Events.Events {
		if in.Events.First+uint64(i) != got.Seq+1 {
			continue // received before
		}
		if got.Seq > began && in.Enough != nil && in.Enough() {
			s.do(Left{in.Host})
			break
		}
		weighs := weight(e)
		if s.hour.Bytes > 0 && s.hour.Bytes+weighs > s.bounds.Hour {
			s.aside(AsideWait)
			s.do(Held{in.Host, (s.hour.Hour + 1) * hourMs})
			break
		}
		s.hour.Bytes += weighs
		if in.Skip == got.Seq+1 {
			s.aside(AsideBroken)
		} else if err := s.handle(in.Host, e, got.Seq+1, in.Now); err != nil {
			return got, err
		}
		if s.more {
			s.more = false
			s.hour.Bytes -= weighs
			s.do(Left{in.Host})
			break
		}
		got.Seq++
		got.Mark = e.Mark
	}
	return got, s.closes(in.Host, in.Now)
}

// renewed records that a host has a new journal. What was sent to the old one may
// have been started and forgotten, so it is not sent again; the hello decides about
// it, as about every job the host had accepted.
func (s *planeStep) renewed(host topics.HostID, old topics.Received) error {
	if old.Epoch == 0 {
		return nil
	}
	jobs, err := s.tx.Open(host)
	for _, j := range jobs {
		if err == nil && j.State != topics.Queued && !j.Accepted {
			j.Accepted = true
			err = s.tx.PutJob(j)
		}
	}
	return err
}

func (s *planeStep) event(host topics.HostID, e topics.Event, now int64) error {
	switch {
	case e.Hello != nil:
		return s.hello(host, *e.Hello, now)
	case e.Facts != nil:
		if s.lane != nil {
			return nil // the host's row is of no machine until it is decided which one stays, which then says hello
		}
		s.do(FactsCame{host})
		return s.tx.Told(host, *e.Facts)
	case e.Configured != nil:
		s.do(ConfigCame{host})
		return s.tx.Configured(host, *e.Configured, now)
	case e.Fired != nil:
		return s.fired(host, *e.Fired, moment(e, now))
	case e.Accepted != nil:
		if err := s.recover(host, *e.Accepted, moment(e, now)); err != nil {
			return err
		}
		return s.of(host, e.Accepted.Job, func(j PlaneJob) error {
			s.takes(j.ID, !j.State.Ended())
			if j.Accepted || j.State != topics.Dispatched {
				return nil
			}
			j.Accepted = true
			return s.put(j)
		})
	case e.Started != nil:
		return s.of(host, e.Started.Job, func(j PlaneJob) error {
			s.takes(j.ID, !j.State.Ended())
			if e.Started.PID > 0 { // however the job ended meanwhile: a lock may be left of it
				if err := s.tx.Ran(j, e.Started.PID); err != nil {
					return err
				}
			}
			if !j.State.CanBecome(topics.Running) {
				return nil
			}
			j.State, j.Accepted = topics.Running, true
			if err := s.put(j); err != nil {
				return err
			}
			if j.Fired {
				now = moment(e, now)
			}
			return s.tx.Started(j, *e.Started, now)
		})
	case e.Log != nil:
		return s.of(host, e.Log.Job, func(j PlaneJob) error { return s.log(j, *e.Log) })
	case e.Report != nil:
		return s.of(host, e.Report.Job, func(j PlaneJob) error { return s.report(j, *e.Report) })
	case e.Finished != nil:
		return s.of(host, e.Finished.Job, func(j PlaneJob) error {
			if !j.State.Ended() && !j.Cut {
				if done, err := s.tx.Ahead(j, *e.Finished, now, s.enough); err != nil || !done {
					s.more = err == nil
					return err
				}
			}
			if j.Fired {
				now = moment(e, now)
			}
			s.takes(j.ID, false)
			if e.Finished.Cause == topics.CauseAgentDied && s.elsewhere(j.ID) {
				return nil // a copy of the journal says so; its original may well run it
			}
			return s.finish(j, *e.Finished, now)
		})
	}
	return nil
}

// moment returns when something happened on a host by itself: perhaps weeks before it
// was reported, but not later.
func moment(e topics.Event, now int64) int64 {
	if e.At <= 0 {
		return now
	}
	return min(e.At, now)
}

// fired adds the job of a slot that its host began by itself, or notes that a job
// which is known serves further slots. A job of ours that waits for the same slot is
// not needed any more; one that was sent, the host refuses.
func (s *planeStep) fired(host topics.HostID, f topics.Fired, at int64) error {
	j, known, err := s.tx.Job(f.Job)
	if err != nil {
		return err
	}
	switch {
	case known && j.Host != host:
		s.aside(AsideJob)
		s.do(Odd{Host: host, Job: f.Job, What: "an event about a job this host does not have", Foreign: true})
		return nil
	case known && (j.Group != f.Group || j.Group == ""):
		s.odd(AsideSlot, host, f.Job, "it serves a slot of another source group")
		return nil
	}
	all, err := s.fitting(host, f, at)
	if err != nil || len(all) == 0 {
		return err
	}
	if f.Slot, f.Also = all[0], all[1:]; len(f.Also) == 0 {
		f.Also = nil
	}
	if known {
		s.do(Changed{j})
		if err := s.tx.Served(j, all, at); err != nil {
			return err
		}
		return s.served(j, f.Slot, f.Also, at)
	}
	if n, err := s.tx.SameSlot(f.Slot, f.Group); err != nil {
		return err
	} else if n >= s.bounds.Same {
		s.odd(AsideSame, host, f.Job, "it began one slot too often; the job is not recorded")
		return nil
	}
	if err := s.supersede(f, host, at); err != nil {
		return err
	}
	if j, known, err = s.tx.Fired(host, f, at); err != nil {
		return err
	}
	if known {
		s.takes(j.ID, true)
		s.do(Changed{j})
		return s.served(j, f.Slot, f.Also, at)
	}
	s.odd(AsideGroup, host, f.Job, "it began a slot of a source group or repository that is not there any more; the job is not recorded")
	return nil
}

// served ends jobs that wait for slots which another one runs.
func (s *planeStep) served(by PlaneJob, slot topics.Slot, also []topics.Slot, now int64) error {
	jobs, err := s.tx.Waiting(by.Host, by.Group)
	all := append([]topics.Slot{slot}, also...)
	for _, j := range jobs {
		if err == nil && j.ID != by.ID && slices.ContainsFunc(all, func(o topics.Slot) bool {
			return o.Schedule == j.Schedule && o.At == j.Slot
		}) {
			err = s.finish(j, topics.Finished{Job: j.ID, State: topics.Cancelled, Cause: topics.CauseServed, Lines: j.Lines,
				Message: fmt.Sprintf("The host has begun this slot by itself, as job %s.", by.ID)}, now)
		}
	}
	return err
}

// of finds a job of this host. An agent can only speak about its own.
func (s *planeStep) of(host topics.HostID, id topics.JobID, then func(PlaneJob) error) error {
	j, known, err := s.tx.Job(id)
	if err != nil {
		return err
	}
	if !known || j.Host != host {
		s.aside(AsideJob)
		s.do(Odd{Host: host, Job: id, What: "an event about a job this host does not have", Foreign: known})
		return nil
	}
	if s.restoring != 0 && j.State == topics.Queued { // it was sent after the copy was made
		j.State, j.Accepted = topics.Dispatched, true
		if err := s.put(j); err != nil {
			return err
		}
	}
	return then(j)
}

// recover adds a job that was asked for after the copy was made from which the control
// plane was restored. Its host says what it is; who asked is lost.
func (s *planeStep) recover(host topics.HostID, a topics.Accepted, at int64) error {
	if s.restoring == 0 || a.Kind == "" {
		return nil
	}
	if _, known, err := s.tx.Job(a.Job); err != nil || known {
		return err
	}
	j, known, err := s.tx.Recovered(host, a, at)
	if err == nil && known {
		s.takes(j.ID, true)
		s.do(Changed{j})
	}
	return err
}

func (s *planeStep) put(j PlaneJob) error {
	s.do(Changed{j})
	return s.tx.PutJob(j)
}

// hello reconciles. The stream is in order: whatever the host said about its
// jobs before this hello has been received. So a job it has accepted, and does
// not name, is one it knows nothing of any more.
//
// That is not so while the control plane, which was restored from a copy, gets again
// what it was told since: some of it may be lost. Then the host is told to cancel the
// job. It does not run, or it would be named; an agent answers with how it ended, or,
// if it never heard of it, that it was not started and will not be.
func (s *planeStep) hello(host topics.HostID, h topics.Hello, now int64) error {
	if err := s.tx.Greeted(host, h, now); err != nil {
		return err
	}
	lagging := s.restoring != 0 && h.Plane != 0 && h.Plane != s.restoring // it was said to the one that was lost
	if !lagging {
		s.do(HelloCame{host, h.Session})
	}
	inHand := map[topics.JobID]bool{}
	for _, id := range h.Jobs {
		inHand[id] = true
	}
	jobs, err := s.tx.Open(host)
	if err != nil {
		return err
	}
	if s.lane != nil {
		s.lane.Greeted, s.lane.Jobs = true, slices.Clone(h.Jobs)
	}
	for _, j := range jobs {
		switch {
		case j.State == topics.Queued && inHand[j.ID] && s.restoring != 0:
			j.State, j.Accepted = topics.Dispatched, true
			err = s.put(j)
		case j.State == topics.Queued || inHand[j.ID]:
		case j.Accepted && s.elsewhere(j.ID):
		case s.restoring != 0 && (j.Accepted || j.NotAfter < now):
			if !j.Recalled {
				j.Recalled, j.CancelAsked, j.Attempts, j.NextSend = true, true, 0, 0
				err = s.put(j)
			}
		case j.Recalled: // it is asked for
		case j.Accepted:
			err = s.finish(j, topics.Finished{Job: j.ID, State: topics.Interrupted, Cause: topics.CauseAgentDied, Lines: j.Lines,
				Message: "The agent came back and knows nothing of this job."}, now)
		case j.NotAfter < now:
			err = s.abandon(j, now)
		case j.NextSend != 0:
			j.NextSend = 0 // it never heard of it: send at the next tick
			err = s.tx.PutJob(j)
		}
		if err != nil {
			return err
		}
	}
	s.do(Stir{})
	if s.restoring == 0 || lagging {
		return nil
	}
	s.restoring = 0
	return s.tx.CaughtUp(host, now)
}

// log stores lines that are new. Lines nobody can send any more, because the
// agent lost its spool, are recorded as a gap.
func (s *planeStep) log(j PlaneJob, l topics.Log) error {
	if j.State.Ended() {
		return nil // of an older copy of the journal: the story was closed without it
	}
	if l.First > j.Lines+1 {
		if err := s.gap(&j, l.First-1, "lost with the agent's spool"); err != nil {
			return err
		}
	}
	if l.Gap != nil {
		if l.Gap.To <= j.Lines {
			return nil
		}
		if err := s.gap(&j, l.Gap.To, l.Gap.Reason); err != nil {
			return err
		}
		return s.tx.PutJob(j)
	}
	fresh := l.Lines[min(j.Lines+1-l.First, len(l.Lines)):]
	if len(fresh) == 0 {
		return nil
	}
	if s.tooLarge(j, fresh) {
		if err := s.gap(&j, j.Lines+len(fresh), LogFull); err != nil {
			return err
		}
		return s.tx.PutJob(j)
	}
	first := j.Lines + 1
	if err := s.tx.AddLines(j.ID, first, fresh); err != nil {
		return err
	}
	j.Lines += len(fresh)
	s.do(Logged{Job: j.ID, First: first, Lines: fresh})
	return s.tx.PutJob(j)
}

func (s *planeStep) gap(j *PlaneJob, to int, reason string) error {
	if len(reason) > 200 {
		reason = strings.ToValidUTF8(reason[:200], "")
	}
	g := topics.Gap{To: to, Reason: reason}
	if err := s.tx.AddGap(j.ID, j.Lines+1, g); err != nil {
		return err
	}
	s.do(Logged{Job: j.ID, First: j.Lines + 1, Gap: &g})
	j.Lines = to
	return nil
}

// finish gives a job its end: the first one counts.
func (s *planeStep) finish(j PlaneJob, f topics.Finished, now int64) error {
	// Its end was not known, see hostRemoved and hello; a snapshot is one all the same.
	saved := j.State == topics.Interrupted && j.Kind == topics.BackupJob && f.Snapshot != nil
	if j.State.Ended() && !saved {
		return nil
	}
	if f = unmade(j, f); j.Recalled && f.State == topics.Cancelled && f.Message == NeverStarted {
		f.State, f.Cause, f.Message = topics.Interrupted, topics.CauseAgentDied,
			"The control plane was restored from a copy that was made while this job was open, and its host knows nothing of it any more."
	}
	if j.Kind == topics.BackupJob {
		by, err := s.tx.Standard(j)
		if err != nil {
			return err
		}
		f = Judge(f, by)
	}
	if saved {
		return s.tx.Saved(j, clean(f), now)
	}
	if !j.State.CanBecome(f.State) {
		s.do(Odd{Host: j.Host, Job: j.ID, What: fmt.Sprintf("it is %s and cannot become %s", j.State, f.State)})
		return nil
	}
	if f.Lines > j.Lines {
		if err := s.gap(&j, f.Lines, "lost with the agent's spool"); err != nil {
			return err
		}
	}
	f.Lines = j.Lines // what an older copy of the journal forgot is here
	if j.Cut {
		r := topics.Result{}
		if f.Result != nil {
			r = *f.Result
		}
		r.Truncated = true
		f.Result = &r
	}
	j.State = f.State
	if err := s.put(j); err != nil {
		return err
	}
	s.do(Stir{})
	if err := s.tx.Finished(j, clean(f), now); err != nil {
		return err
	}
	return s.failed(j, f, now)
}

// tick sends what is due, in the order it was asked for.
func (s *planeStep) tick(in Tick) error {
	jobs, err := s.tx.Open("")
	if err != nil {
		return err
	}
	atOnce, err := s.tx.AtOnce()
	if err != nil {
		return err
	}
	turns := NewTurns(in.Limits, atOnce, jobs)
	turns.Twins = in.Twins
	making, err := NewMaking(s.tx, in.Now, turns, jobs)
	if err != nil {
		return err
	}
	making.HearUntil = in.HearUntil
	behind, err := s.tx.Behind()
	if err != nil {
		return err
	}
	for _, j := range jobs {
		online := in.Online(j.Host) && !in.Twins[j.Host]
		switch {
		case behind[j.Host] && in.Now <= j.NotAfter+s.Forsake.Milliseconds(): // what became of it since the copy, its host will say
		case j.State == topics.Queued && in.Now > j.NotAfter && online && j.Kind == topics.BackupJob && !j.ready():
			err = s.finish(j, topics.Finished{Job: j.ID, State: topics.Abandoned, Cause: topics.CauseUnmade, Lines: j.Lines,
				Message: "Its repository was not made in time."}, in.Now)
		case j.State == topics.Queued && in.Now > j.NotAfter:
			err = s.abandon(j, in.Now)
		case j.State == topics.Queued:
			if in.Short && HeldWhenShort(j.Kind) || in.Full != nil && in.Full(j.Host) {
				continue
			}
			var turn Turn
			var init bool
			switch turn, init, err = making.Take(j, online); {
			case err != nil:
			case init:
				err = s.make(making, j, in.Now)
			case turn.Wait == "":
				j.State = topics.Dispatched
				err = s.send(j, in.Now)
			}
		case s.silent(j, in.Now):
			j.CancelAsked, j.Attempts, j.NextSend = true, 0, 0
			s.do(Stir{})
			err = s.put(j)
		case j.State == topics.Dispatched && !j.Accepted && !j.keeps() && in.Now > j.NotAfter+s.Forsake.Milliseconds():
			err = s.abandon(j, in.Now)
		case online && in.Now >= j.NextSend && (j.CancelAsked || !j.Accepted):
			err = s.send(j, in.Now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *planeStep) send(j PlaneJob, now int64) error {
	if j.Attempts++; j.SentAt == 0 {
		j.SentAt = now
	}
	j.NextSend = now + s.resend(j.Attempts)
	if j.CancelAsked {
		s.do(SendCancel{j})
	} else {
		s.do(SendRun{j})
	}
	return s.put(j)
}

func (s *planeStep) abandon(j PlaneJob, now int64) error {
	return s.finish(j, topics.Finished{Job: j.ID, State: topics.Abandoned, Cause: topics.CauseExpired, Lines: j.Lines,
		Message: "The host could not be reached in time."}, now)
}

// settle ends a job that was not sent; any other is left to its agent.
func (s *planeStep) settle(in Settled) error {
	j, known, err := s.tx.Job(in.End.Job)
	if err != nil || !known || j.State != topics.Queued {
		return err
	}
	in.End.Lines = j.Lines
	return s.finish(j, in.End, in.Now)
}

// cancel ends a job that was not sent, and asks its host to end any other. For
// one that has ended nothing happens.
func (s *planeStep) cancel(in CancelAsked) error {
	j, known, err := s.tx.Job(in.Job)
	if err != nil || !known || j.State.Ended() || j.CancelAsked {
		return err
	}
	j.CancelAsked = true
	restoring, err := s.tx.Restoring(j.Host)
	switch {
	case err != nil:
		return err
	case j.State == topics.Queued && restoring != 0: // it may have been sent after the copy was made: its host is asked
		j.State, j.Accepted = topics.Dispatched, true
	case j.State == topics.Queued:
		return s.finish(j, topics.Finished{Job: j.ID, State: topics.Cancelled, Cause: topics.CauseCancelled, Lines: j.Lines,
			Message: "Cancelled by " + in.By + " before it was sent."}, in.Now)
	}
	j.Attempts, j.NextSend = 0, 0
	s.do(Stir{})
	return s.put(j)
}

// hostRemoved ends every job of a host: one that was not sent is cancelled; of any
// other it will not be known how it ends. If the host is brought back, what it says
// about them does not change how they ended, but a snapshot that a backup made is its.
func (s *planeStep) hostRemoved(in HostRemoved) error {
	jobs, err := s.tx.Open(in.Host)
	for _, j := range jobs {
		end := topics.Finished{Job: j.ID, State: topics.Interrupted, Cause: topics.CauseHostRemoved, Lines: j.Lines,
			Message: "The host was removed by " + in.By + " before the job's end was known."}
		if j.State == topics.Queued {
			end.State, end.Message = topics.Cancelled, "The host was removed by "+in.By+" before the job was sent."
		}
		if err == nil {
			err = s.finish(j, end, in.Now)
		}
	}
	return err
}

// Why jobs end when another machine takes their host's place.
const (
	ReplacedInHand = "Another machine has taken the place of the one that had this job in hand."
	ReplacedQueued = "Another machine has taken the host's place, and what is backed up may not be on it yet."
)

// hostReplaced ends the jobs that the machine before had in hand, and the backups that
// wait: the new machine may be empty. What else waits is for the host, whichever machine that is.
func (s *planeStep) hostReplaced(in HostReplaced) error {
	jobs, err := s.tx.Open(in.Host)
	for _, j := range jobs {
		end := topics.Finished{Job: j.ID, State: topics.Interrupted, Cause: topics.CauseReplaced, Lines: j.Lines, Message: ReplacedInHand}
		if j.State == topics.Queued {
			end.State, end.Message = topics.Cancelled, ReplacedQueued
		}
		if err == nil && (j.State != topics.Queued || j.Kind == topics.BackupJob) {
			err = s.finish(j, end, in.Now)
		}
	}
	return err
}
