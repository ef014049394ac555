package protocol

import (
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// An AgentSlot is the latest slot of a schedule's source group that an agent
// began, whoever asked for it.
type AgentSlot struct {
	Schedule topics.ScheduleID    `json:"schedule"`
	Group    topics.SourceGroupID `json:"group"`
	At       int64                `json:"at"`
	High     int64                `json:"high"` // the highest ever: above At if the clock was ahead then
	Attempt  int                  `json:"attempt"`
	Job      topics.JobID         `json:"job"`
	State    topics.JobState      `json:"state"` // how that job ended, "" while it has not
}

// An AgentConfig is the config in force, and what of it the agent cannot do.
type AgentConfig struct {
	topics.Config
	Error string `json:"error"`
}

// FarAhead is how far ahead a slot that began may lie. A clock that was set back
// by less is waited for; by more, the schedule would be silent for long.
const FarAhead = 24 * time.Hour

// keepSlots is how long a slot is known after its schedule is gone: longer than
// any command that names it is on its way.
const keepSlots = 30 * 24 * time.Hour

// Floor is the moment up to which the agent fires no slot any more, given the
// config's word on it. What lies far ahead of now says nothing about now.
func (a AgentSlot) Floor(after, now int64) int64 {
	floor := int64(0)
	for _, m := range []int64{after, a.At, a.High} {
		if m <= now+FarAhead.Milliseconds() {
			floor = max(floor, m)
		}
	}
	return floor
}

// refuse says why a commanded job for a slot is not run, "" if it is. A slot is
// repeated only if its job has ended badly, and only by a further attempt.
func (a AgentSlot) refuse(s topics.Slot) string {
	switch {
	case a.Job == "" || s.At > a.At:
		return ""
	case s.At < a.At:
		return fmt.Sprintf("The host has begun a later slot of the schedule since, as job %s.", a.Job)
	case a.State == "":
		return fmt.Sprintf("The host runs this slot already, as job %s.", a.Job)
	case s.Attempt <= a.Attempt || a.State == topics.Succeeded || a.State == topics.Warnings || a.State == topics.Cancelled:
		return fmt.Sprintf("The host has run this slot already, as job %s.", a.Job)
	}
	return ""
}

// began notes that a job runs a slot.
func began(tx AgentTx, s topics.Slot, group topics.SourceGroupID, job topics.JobID) error {
	had, _, err := tx.Slot(s.Schedule, group)
	if err != nil {
		return err
	}
	return tx.PutSlot(AgentSlot{Schedule: s.Schedule, Group: group, At: s.At, High: max(had.High, s.At), Attempt: s.Attempt, Job: job})
}

// ranOut notes what a job's end means for its slots.
func ranOut(tx AgentTx, run topics.Run, f topics.Finished) error {
	if run.Group.ID == "" {
		return nil
	}
	known, err := tx.Slots()
	for _, s := range known {
		if err == nil && s.Job == f.Job {
			s.State = f.State
			err = tx.PutSlot(s)
		}
	}
	return err
}

// configured puts a config in force.
func configured(tx AgentTx, in Configured) error {
	c := AgentConfig{Config: in.Config, Error: in.Error}
	known, err := tx.Slots()
	if err != nil {
		return err
	}
	for _, s := range known {
		if _, planned := c.After(s.Schedule, s.Group); !planned && s.At < in.At-keepSlots.Milliseconds() {
			if err := tx.DropSlot(s.Schedule, s.Group); err != nil {
				return err
			}
		}
	}
	if err := tx.PutConfig(c); err != nil {
		return err
	}
	return tx.Append(topics.Event{At: in.At, Configured: &topics.Configured{Revision: c.Revision, Digest: c.Digest, Error: c.Error}})
}

// fired begins slots by the agent's own schedules: the job and the slots in one
// transaction. Those that began already are left out. A backup of the same group that
// runs serves them, whoever asked for it, but only one slot of each schedule: the next
// needs a run of its own, or what changed since would wait for long. While the host has
// another job in the repository, or as many as it may have at once, nothing happens:
// they are asked for again.
func fired(tx AgentTx, in Fired) ([]AgentEffect, error) {
	c, known, err := tx.Config()
	if err != nil || !known {
		return nil, err
	}
	due, err := unserved(tx, c, in)
	if err != nil || len(due) == 0 {
		return nil, err
	}
	run, whole := c.Run(in.Group, due[0])
	if !whole {
		return nil, nil
	}
	busy, err := tx.Unended()
	if err != nil {
		return nil, err
	}
	event := topics.Fired{Job: in.Job, Slot: due[0], Group: in.Group, Repository: run.Repository.ID, Revision: c.Revision,
		Passed: in.Passed, Also: due[1:]}
	for _, j := range busy {
		if !j.Serves(run) {
			continue
		}
		known, err := tx.Slots()
		if err != nil {
			return nil, err
		}
		due = slices.DeleteFunc(due, func(s topics.Slot) bool {
			return slices.ContainsFunc(known, func(k AgentSlot) bool {
				return k.Schedule == s.Schedule && k.Group == in.Group && k.Job == j.ID
			})
		})
		if len(due) == 0 {
			return nil, nil
		}
		event.Job, event.Slot, event.Also = j.ID, due[0], due[1:]
		return nil, serve(tx, event, in.At)
	}
	if !Free(busy, c.Config, run) || in.Alone && in.Refuse == nil && len(busy) > 0 {
		return nil, nil
	}
	if _, taken, err := tx.Job(in.Job); err != nil || taken {
		return nil, err
	}
	if err := tx.PutJob(AgentJob{ID: in.Job, Run: &run}); err != nil {
		return nil, err
	}
	if err := serve(tx, event, in.At); err != nil {
		return nil, err
	}
	if in.Refuse != nil {
		return nil, end(tx, in.Job, in.At, topics.Finished{State: topics.Failed, Cause: in.Refuse.Cause, Message: in.Refuse.Message})
	}
	return []AgentEffect{Start{Job: in.Job, Run: run}}, nil
}

// Free reports whether a host may begin a job beside those it has in hand: one in each
// repository and of each source group, and as many together as its config says. A job
// counts until nothing of it runs any more, also while it is being cancelled. An update of
// the agent is begun beside all others but another update, and waits for them; nothing is
// begun beside it.
func Free(inHand []AgentJob, c topics.Config, run topics.Run) bool {
	if Updating(inHand) {
		return false
	}
	return run.Kind == topics.UpdateJob || len(inHand) < c.AtOnce() && !slices.ContainsFunc(inHand, func(j AgentJob) bool {
		return j.Run == nil || meet(*j.Run, run) || run.Group.ID != "" && j.Run.Group.ID == run.Group.ID
	})
}

// meet reports whether two jobs work in one repository: a copy in both of its own.
func meet(a, b topics.Run) bool {
	works := func(r topics.Run) []topics.RepositoryID {
		if r.Kind == topics.CopyJob && r.Other != nil {
			return []topics.RepositoryID{r.Repository.ID, r.Other.ID}
		}
		return []topics.RepositoryID{r.Repository.ID}
	}
	return slices.ContainsFunc(works(a), func(id topics.RepositoryID) bool { return slices.Contains(works(b), id) })
}

// Updating reports whether an update of the agent is among the jobs in hand.
func Updating(inHand []AgentJob) bool {
	return slices.ContainsFunc(inHand, func(j AgentJob) bool { return j.Run != nil && j.Run.Kind == topics.UpdateJob })
}

// Serves reports whether a job that has not ended serves the slots of another backup:
// it saves the same group to the same repository.
func (j AgentJob) Serves(other topics.Run) bool {
	return j.Run != nil && j.End == nil && !j.Cancel && j.Run.Kind == topics.BackupJob && other.Kind == topics.BackupJob &&
		j.Run.Group.ID == other.Group.ID && j.Run.Repository.ID == other.Repository.ID
}

// unserved returns the slots that are planned and have not begun.
func unserved(tx AgentTx, c AgentConfig, in Fired) (due []topics.Slot, err error) {
	for _, s := range append([]topics.Slot{in.Slot}, in.Also...) {
		after, planned := c.After(s.Schedule, in.Group)
		if !planned || len(due) > topics.MaxAlso || slices.ContainsFunc(due, func(o topics.Slot) bool { return o.Schedule == s.Schedule }) {
			continue
		}
		had, _, err := tx.Slot(s.Schedule, in.Group)
		if err != nil {
			return nil, err
		}
		if s.At > had.Floor(after, in.At) {
			due = append(due, s)
		}
	}
	return due, nil
}

// serve notes that a job serves slots, and tells the control plane.
func serve(tx AgentTx, f topics.Fired, at int64) error {
	for _, s := range append([]topics.Slot{f.Slot}, f.Also...) {
		if err := began(tx, s, f.Group, f.Job); err != nil {
			return err
		}
	}
	return tx.Append(topics.Event{At: at, Fired: &f})
}
