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

// ranOut notes what a job's end means for its slot and its repository.
func ranOut(tx AgentTx, run topics.Run, f topics.Finished) error {
	if s := run.Slot; s != nil {
		had, known, err := tx.Slot(s.Schedule, run.Group.ID)
		if err != nil {
			return err
		}
		if known && had.Job == f.Job {
			had.State = f.State
			if err := tx.PutSlot(had); err != nil {
				return err
			}
		}
	}
	if !f.RepositoryReady || !run.Repository.Initialise {
		return nil
	}
	c, known, err := tx.Config()
	if err != nil || !known {
		return err
	}
	for i, r := range c.Repositories {
		if r.ID == run.Repository.ID && r.URL == run.Repository.URL {
			c.Repositories[i].Initialise = false // from now on one that is gone is missing
		}
	}
	return tx.PutConfig(c)
}

// configured puts a config in force.
func configured(tx AgentTx, in Configured) error {
	was, had, err := tx.Config()
	if err != nil {
		return err
	}
	c := AgentConfig{Config: in.Config, Error: in.Error}
	c.Repositories = slices.Clone(c.Repositories)
	if had {
		for _, old := range was.Repositories {
			for i, r := range c.Repositories {
				if r.ID == old.ID && r.URL == old.URL && !old.Initialise {
					c.Repositories[i].Initialise = false // found here, and the control plane has not heard of it yet
				}
			}
		}
	}
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

// fired begins a slot by the agent's own schedule: the job and the slot in one
// transaction. One that began already starts nothing, and while the host is busy
// nothing happens either: it is asked for again.
func fired(tx AgentTx, in Fired) ([]AgentEffect, error) {
	c, known, err := tx.Config()
	if err != nil || !known {
		return nil, err
	}
	after, planned := c.After(in.Slot.Schedule, in.Group)
	run, whole := c.Run(in.Group, in.Slot)
	if !planned || !whole {
		return nil, nil
	}
	had, _, err := tx.Slot(in.Slot.Schedule, in.Group)
	if err != nil || in.Slot.At <= had.Floor(after, in.At) {
		return nil, err
	}
	if _, taken, err := tx.Job(in.Job); err != nil || taken {
		return nil, err
	}
	if busy, err := tx.Unended(); err != nil || len(busy) > 0 {
		return nil, err
	}
	if err := began(tx, in.Slot, in.Group, in.Job); err != nil {
		return nil, err
	}
	if err := tx.PutJob(AgentJob{ID: in.Job, Run: &run}); err != nil {
		return nil, err
	}
	if err := tx.Append(topics.Event{At: in.At, Fired: &topics.Fired{Job: in.Job, Slot: in.Slot, Group: in.Group,
		Repository: run.Repository.ID, Revision: c.Revision, Passed: in.Passed}}); err != nil {
		return nil, err
	}
	if in.Refuse != nil {
		return nil, end(tx, in.Job, in.At, topics.Finished{State: topics.Failed, Cause: in.Refuse.Cause, Message: in.Refuse.Message})
	}
	return []AgentEffect{Start{Job: in.Job, Run: run}}, nil
}
