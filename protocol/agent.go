package protocol

import (
	"fmt"

	"github.com/restic-manager/restic-manager/topics"
)

// An AgentJob is a job in an agent's journal. It is kept after the job's end, so that
// a repeated command is answered and starts nothing.
type AgentJob struct {
	ID       topics.JobID     `json:"id"`
	Run      *topics.Run      `json:"run,omitempty"` // nil once ended: the secrets in it are not needed any more
	NotAfter int64            `json:"not_after,omitempty"`
	Started  bool             `json:"started,omitempty"`
	Cancel   bool             `json:"cancel,omitempty"`
	Process  Process          `json:"process,omitzero"` // of the restic that runs, or ran last
	Lines    int              `json:"lines,omitempty"`  // how many there are so far
	Parts    int              `json:"parts,omitempty"`  // of its report, so far
	End      *topics.Finished `json:"end,omitempty"`
}

// A Process identifies a process of this host, even if its number is given to another
// one later.
type Process struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // opaque; what tells it from a later one
}

// AgentTx is one transaction on an agent's journal and spool. All of it is on disk
// after the commit, or none.
type AgentTx interface {
	// Last is the place of the newest event: its epoch, and 0 if there is none yet.
	Last() (topics.Received, error)
	// Append adds an event to the spool, under the next number and a mark of its
	// own.
	Append(topics.Event) error
	// Received is the number up to which the control plane has the events. They stay for
	// a while, to be given again to one that was restored from a copy.
	Received() (uint64, error)
	// SetReceived changes that number, and forgets of what is received what there is
	// neither time nor room to keep, the oldest first. The number falls if the control
	// plane has lost what it had.
	SetReceived(seq uint64) error
	// First is the number of the oldest event in the spool; the next one's if there is none.
	First() (uint64, error)
	// Mark is that of an event in the spool, or of the last that was forgotten.
	Mark(seq uint64) (string, bool, error)
	// Renew begins a new epoch, forgets the events before a number, and numbers the
	// others from 1. None of them is received.
	Renew(epoch int64, from uint64) error
	// Plane is the highest epoch of a control plane that welcomed this host; 0 is none.
	Plane() (int64, error)
	SetPlane(epoch int64) error

	Job(topics.JobID) (AgentJob, bool, error)
	PutJob(AgentJob) error
	// Unended lists the jobs without an end, in the order they were accepted.
	Unended() ([]AgentJob, error)

	// Config is what the host does by itself.
	Config() (AgentConfig, bool, error)
	PutConfig(AgentConfig) error
	// Slot is the latest of a schedule's source group that began.
	Slot(topics.ScheduleID, topics.SourceGroupID) (AgentSlot, bool, error)
	PutSlot(AgentSlot) error
	DropSlot(topics.ScheduleID, topics.SourceGroupID) error
	// Slots lists what PutSlot wrote, in the order of schedules and groups.
	Slots() ([]AgentSlot, error)
}

// An AgentInput is an event that an agent handles.
type AgentInput interface{ agentInput() }

// The inputs of an agent.
type (
	// Woke: the agent's process has started. No job of the journal runs under it yet.
	Woke struct{}
	// Reaped: no process of this job is left on the host.
	Reaped struct {
		Job topics.JobID
		At  int64
	}
	// Welcomed: the control plane answered the birth of this session.
	Welcomed struct {
		Received topics.Received
		Session  topics.Session
		Known    topics.Session // see topics.Welcome
		Plane    int64          // the control plane's epoch; 0 of an older version
		Facts    topics.Facts
		At       int64

		Instance string          // this process, see topics.Birth
		Machine  *topics.Machine // where it runs
	}
	// Told: what the host is, or permits, is not what the last hello of this session said.
	Told struct {
		Facts topics.Facts
		At    int64
	}
	// Receipted: the control plane has committed events.
	Receipted struct{ Received topics.Received }
	// Commanded: a command came. Refuse, if set, is why this host will not run it;
	// Alone is that it runs it beside no other job.
	Commanded struct {
		Command topics.Command
		Refuse  *Refusal
		Alone   bool
		At      int64
	}
	// Configured: a config came. Error is what of it this host cannot do.
	Configured struct {
		Config topics.Config
		Error  string
		At     int64
	}
	// Fired: a slot is due by the host's own clock, and Also those of other schedules
	// of the same group: one job serves them all. Refuse and Alone are as in Commanded.
	Fired struct {
		Job    topics.JobID
		Slot   topics.Slot
		Also   []topics.Slot
		Group  topics.SourceGroupID
		Passed int // missed slots it stands for
		Refuse *Refusal
		Alone  bool
		At     int64
	}
	// Spawned: restic runs for a job, for the first time or for a further step of it.
	Spawned struct {
		Job     topics.JobID
		Process Process
		Restic  string
		At      int64
	}
	// Printed: a running job has new lines of log. Before them came Skipped ones
	// that the agent had no room for.
	Printed struct {
		Job     topics.JobID
		Skipped int
		Lines   []topics.Line
		At      int64
	}
	// Reported: a running job has a result to report. Job and Part are filled in
	// here.
	Reported struct {
		Job    topics.JobID
		Report topics.Report
		At     int64
	}
	// Ended: nothing of the job runs any more. Job and Lines of the end, and the
	// Parts of its result, are filled in here.
	Ended struct {
		Job topics.JobID
		End topics.Finished
		At  int64
	}
)

func (Woke) agentInput()       {}
func (Reaped) agentInput()     {}
func (Welcomed) agentInput()   {}
func (Told) agentInput()       {}
func (Receipted) agentInput()  {}
func (Commanded) agentInput()  {}
func (Configured) agentInput() {}
func (Fired) agentInput()      {}
func (Spawned) agentInput()    {}
func (Printed) agentInput()    {}
func (Reported) agentInput()   {}
func (Ended) agentInput()      {}

// A Refusal is a reason why a host will not run a job.
type Refusal struct {
	Cause   topics.Cause
	Message string
}

// An AgentEffect is something the agent has to do after the commit.
type AgentEffect interface{ agentEffect() }

// The effects on an agent's side.
type (
	// Start restic for a job, or begin an update. It is asked for exactly once per job, ever.
	Start struct {
		Job topics.JobID
		Run topics.Run
	}
	// Stop a job that was started.
	Stop struct{ Job topics.JobID }
	// Resume an update: the agent's process has ended, as an update has it, and another one
	// has begun.
	Resume struct{ Job AgentJob }
	// Reap what an earlier process of the agent may have left running, then say Reaped.
	Reap struct{ Job AgentJob }
	// Reconnect with a new session: the epoch changed.
	Reconnect struct{}
	// Leave a control plane that was replaced: another one, of a later epoch, was restored
	// from a copy of it and has welcomed this host since.
	Leave struct{ Epoch, Newer int64 }
)

func (Start) agentEffect()     {}
func (Stop) agentEffect()      {}
func (Resume) agentEffect()    {}
func (Reap) agentEffect()      {}
func (Reconnect) agentEffect() {}
func (Leave) agentEffect()     {}

// AgentStep applies one input to an agent's journal.
func AgentStep(tx AgentTx, in AgentInput) ([]AgentEffect, error) {
	switch in := in.(type) {
	case Woke:
		jobs, err := tx.Unended()
		var effects []AgentEffect
		for _, j := range jobs {
			if Updating([]AgentJob{j}) {
				effects = append(effects, Resume{j})
			} else {
				effects = append(effects, Reap{j})
			}
		}
		return effects, err
	case Reaped:
		return nil, end(tx, in.Job, in.At, topics.Finished{
			State: topics.Interrupted, Cause: topics.CauseAgentDied,
			Message: "The agent stopped while the job ran; what was left of restic has been ended.",
		})
	case Welcomed:
		return welcomed(tx, in)
	case Told:
		return nil, tx.Append(topics.Event{At: in.At, Facts: &in.Facts})
	case Receipted:
		last, err := tx.Last()
		if err != nil || in.Received.Epoch != last.Epoch || in.Received.Seq > last.Seq {
			return nil, err
		}
		if mark, known, err := tx.Mark(in.Received.Seq); err != nil || known && in.Received.Mark != "" && mark != in.Received.Mark {
			return []AgentEffect{Reconnect{}}, err // it is for a copy of this journal that went another way; the welcome tells them apart
		}
		had, err := tx.Received()
		if err != nil || in.Received.Seq <= had {
			return nil, err // a welcome alone says that there is less than was received
		}
		return nil, tx.SetReceived(in.Received.Seq)
	case Commanded:
		if in.Command.Cancel {
			return cancel(tx, in)
		}
		return run(tx, in)
	case Configured:
		return nil, configured(tx, in)
	case Fired:
		return fired(tx, in)
	case Spawned:
		return nil, open(tx, in.Job, func(j *AgentJob) error {
			j.Process = in.Process
			if j.Started && (j.Run == nil || j.Run.Kind.Lock() == topics.NoLock) {
				return nil
			}
			j.Started = true
			return tx.Append(topics.Event{At: in.At, Started: &topics.Started{Job: j.ID, Restic: in.Restic, PID: in.Process.PID}})
		})
	case Printed:
		return nil, open(tx, in.Job, func(j *AgentJob) error {
			first := j.Lines + 1
			if j.Lines += in.Skipped; in.Skipped > 0 {
				gap := topics.Gap{To: j.Lines, Reason: "the host's journal was full"}
				if err := tx.Append(topics.Event{At: in.At, Log: &topics.Log{Job: j.ID, First: first, Gap: &gap}}); err != nil {
					return err
				}
			}
			if len(in.Lines) == 0 {
				return nil
			}
			first = j.Lines + 1
			j.Lines += len(in.Lines)
			return tx.Append(topics.Event{At: in.At, Log: &topics.Log{Job: j.ID, First: first, Lines: in.Lines}})
		})
	case Reported:
		return nil, open(tx, in.Job, func(j *AgentJob) error {
			j.Parts++
			r := in.Report
			r.Job, r.Part = j.ID, j.Parts
			return tx.Append(topics.Event{At: in.At, Report: &r})
		})
	case Ended:
		return nil, end(tx, in.Job, in.At, in.End)
	}
	return nil, fmt.Errorf("agent: unknown input %T", in)
}

// welcomed compares what the control plane has received with the journal. What it has
// less of than it had once, because it was restored from a copy, it gets again from its
// own place on, as long as that is kept here; if not, what is kept is all there is, and
// goes into a new epoch.
//
// A new epoch begins, too, if the two do not belong together. If the control plane has
// more of this epoch, the journal is an older copy, restored from a backup or a snapshot
// of the machine, and its new events would look old. If it has another event at its
// place, such a copy has gone on since.
func welcomed(tx AgentTx, in Welcomed) ([]AgentEffect, error) {
	newest, err := tx.Plane()
	switch {
	case err != nil:
		return nil, err
	case in.Plane > 0 && in.Plane < newest:
		return []AgentEffect{Leave{Epoch: in.Plane, Newer: newest}}, nil
	case in.Plane > newest:
		if err := tx.SetPlane(in.Plane); err != nil {
			return nil, err
		}
	}
	last, err := tx.Last()
	if err != nil {
		return nil, err
	}
	first, err := tx.First()
	if err != nil {
		return nil, err
	}
	r := in.Received
	place := uint64(0) // in this epoch
	if r.Epoch == last.Epoch {
		place = r.Seq
	}
	other := r.Epoch > last.Epoch || place > last.Seq || in.Known.After(in.Session)
	gone := place+1 < first && r.Epoch <= last.Epoch
	if !other && !gone && r.Epoch == last.Epoch && r.Mark != "" {
		mark, known, err := tx.Mark(place)
		if err != nil {
			return nil, err
		}
		other = !known || mark != r.Mark
	}
	if other || gone {
		from := first
		if other { // the rest is received, whoever said so
			if from, err = tx.Received(); err != nil {
				return nil, err
			}
			from++
		}
		return []AgentEffect{Reconnect{}}, tx.Renew(max(r.Epoch+1, in.Known.Epoch+1, last.Epoch+1, in.At), from)
	}
	if err := tx.SetReceived(place); err != nil {
		return nil, err
	}
	jobs, err := tx.Unended()
	if err != nil {
		return nil, err
	}
	hello := topics.Hello{Session: in.Session, Facts: in.Facts, Jobs: []topics.JobID{}, Instance: in.Instance, Machine: in.Machine,
		Plane: in.Plane}
	for _, j := range jobs {
		hello.Jobs = append(hello.Jobs, j.ID)
	}
	c, _, err := tx.Config()
	if err != nil {
		return nil, err
	}
	hello.Configured = &topics.Configured{Revision: c.Revision, Digest: c.Digest, Error: c.Error}
	return nil, tx.Append(topics.Event{At: in.At, Hello: &hello})
}

// run accepts a job, or answers for one that is known. While the host has another in
// the same repository, or as many as it may have at once, of which the control plane
// may not know yet, it leaves the command unanswered, and the control plane sends it
// again.
func run(tx AgentTx, in Commanded) ([]AgentEffect, error) {
	c := in.Command
	j, known, err := tx.Job(c.Job)
	switch {
	case err != nil:
		return nil, err
	case known:
		return nil, answer(tx, j, in.At)
	case in.Refuse != nil:
		return nil, bury(tx, c.Job, in.At, topics.Failed, in.Refuse.Cause, in.Refuse.Message)
	case c.NotAfter > 0 && in.At > c.NotAfter:
		return nil, bury(tx, c.Job, in.At, topics.Abandoned, topics.CauseExpired,
			"The command reached the agent after the time by which the job had to start.")
	}
	if s := c.Run.Slot; s != nil {
		had, _, err := tx.Slot(s.Schedule, c.Run.Group.ID)
		if err != nil {
			return nil, err
		}
		if why := had.refuse(*s); why != "" {
			return nil, bury(tx, c.Job, in.At, topics.Cancelled, topics.CauseServed, why)
		}
	}
	inHand, err := tx.Unended()
	if err != nil {
		return nil, err
	}
	conf, _, err := tx.Config()
	if err != nil || !Free(inHand, conf.Config, *c.Run) || in.Alone && c.Run.Kind != topics.UpdateJob && len(inHand) > 0 {
		return nil, err
	}
	if s := c.Run.Slot; s != nil {
		if err := began(tx, *s, c.Run.Group.ID, c.Job); err != nil {
			return nil, err
		}
	}
	if err := tx.PutJob(AgentJob{ID: c.Job, Run: c.Run, NotAfter: c.NotAfter}); err != nil {
		return nil, err
	}
	accepted := topics.Accepted{Job: c.Job, Kind: c.Run.Kind, Repository: c.Run.Repository.ID, Group: c.Run.Group.ID, Slot: c.Run.Slot}
	if err := tx.Append(topics.Event{At: in.At, Accepted: &accepted}); err != nil {
		return nil, err
	}
	return []AgentEffect{Start{Job: c.Job, Run: *c.Run}}, nil
}

// cancel stops a job. A job that is not known yet ends at once, so that a run command
// that arrives late starts nothing.
func cancel(tx AgentTx, in Commanded) ([]AgentEffect, error) {
	j, known, err := tx.Job(in.Command.Job)
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, bury(tx, in.Command.Job, in.At, topics.Cancelled, topics.CauseCancelled, NeverStarted)
	case j.End != nil:
		return nil, answer(tx, j, in.At)
	}
	j.Cancel = true
	return []AgentEffect{Stop{j.ID}}, tx.PutJob(j)
}

// NeverStarted is what an agent says of a job that it is to cancel and never heard of.
const NeverStarted = "Cancelled before it was started."

// answer repeats what is known of a job. Its lines are in the spool or confirmed, so
// only the short events are sent again.
func answer(tx AgentTx, j AgentJob, at int64) error {
	if j.End != nil {
		return tx.Append(topics.Event{At: at, Finished: j.End})
	}
	return tx.Append(topics.Event{At: at, Accepted: &topics.Accepted{Job: j.ID}})
}

// bury ends a job that was never started here.
func bury(tx AgentTx, id topics.JobID, at int64, state topics.JobState, cause topics.Cause, message string) error {
	f := topics.Finished{Job: id, State: state, Cause: cause, Message: message}
	if err := tx.PutJob(AgentJob{ID: id, End: &f}); err != nil {
		return err
	}
	return tx.Append(topics.Event{At: at, Finished: &f})
}

// open changes a job that has not ended; it does nothing for others.
func open(tx AgentTx, id topics.JobID, change func(*AgentJob) error) error {
	j, known, err := tx.Job(id)
	if err != nil || !known || j.End != nil {
		return err
	}
	if err := change(&j); err != nil {
		return err
	}
	return tx.PutJob(j)
}

// end ends a job. A job that was being cancelled and did not succeed first counts as
// cancelled, whatever restic reported after the signal.
func end(tx AgentTx, id topics.JobID, at int64, f topics.Finished) error {
	return open(tx, id, func(j *AgentJob) error {
		f.Job, f.Lines = j.ID, j.Lines
		if j.Parts > 0 && f.Result == nil {
			f.Result = &topics.Result{}
		}
		if f.Result != nil {
			r := *f.Result
			r.Parts, f.Result = j.Parts, &r
		}
		if j.Cancel && f.State == topics.Failed {
			f.State, f.Cause = topics.Cancelled, topics.CauseCancelled
		}
		f = clean(f)
		if j.Run != nil {
			if err := ranOut(tx, *j.Run, f); err != nil {
				return err
			}
		}
		j.End, j.Run = &f, nil
		return tx.Append(topics.Event{At: at, Finished: &f})
	})
}
