package public

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/controlplane/progress"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// ofHost are the kinds of topics that are retained of a host.
var ofHost = []topics.Kind{topics.KindHostAvailability, topics.KindHostState, topics.KindHostUpdate}

// shown reports whether consumers hear of a host: not of one that was removed, whose agent
// may not come in any more, or that is out of use.
func shown(h *fleet.Entry) bool { return h != nil && h.RevokedAt == 0 && h.RetiredAt == 0 }

// gone clears the retained topics of a host: consumers see it disappear, and nothing of it
// stays in a broker. Its entry is nil if it was removed.
func (p *Publisher) gone(id topics.HostID, h *fleet.Entry) {
	for _, kind := range ofHost {
		if t := (topics.Topic{Kind: kind, Host: id}); p.Box.Has(outbox.Both, t.Below()) {
			p.say(t, "")
		}
	}
	for _, job := range p.open[id] {
		delete(p.said, job)
	}
	delete(p.at, id)
	delete(p.next, id)
	delete(p.up, id)
	delete(p.added, id)
	delete(p.open, id)
	if delete(p.seen, id); h != nil {
		p.seen[id] = h
	}
}

// connected returns whether a host is said to be connected, and whether that is known.
// While it is not, after a start, it is what was said last; of one that was never here it is not.
func (p *Publisher) connected(ctx context.Context, h *fleet.Entry) (online, known bool, err error) {
	if h.Never {
		return false, false, nil
	}
	if h.Connection != hosts.Unknown {
		p.up[h.ID] = h.Connection == hosts.Online
		return p.up[h.ID], true, nil
	}
	if online, known = p.up[h.ID]; known {
		return online, false, nil
	}
	last, err := p.Box.Last(ctx, outbox.Both, topics.Topic{Kind: topics.KindHostAvailability, Host: h.ID}.Below())
	if err != nil {
		return false, false, err
	}
	p.up[h.ID] = string(last) == topics.Online
	return p.up[h.ID], false, nil
}

// host publishes one host's topics. It returns how long its state has to wait, 0 if not at all.
func (p *Publisher) host(ctx context.Context, h *fleet.Entry) (wait time.Duration, err error) {
	id := h.ID
	online, known, err := p.connected(ctx, h)
	if err != nil {
		return 0, err
	}
	availability := topics.Topic{Kind: topics.KindHostAvailability, Host: id}
	switch {
	case known && online:
		p.say(availability, topics.Online)
	case known:
		p.say(availability, topics.Offline)
	case h.Never && p.Box.Has(outbox.Both, availability.Below()): // a version before this one said that it is offline
		p.say(availability, "")
	}
	p.progress(h)
	running := h.Busy()
	if running != nil && running.State == topics.Queued {
		running = nil
	}
	pause := p.Timing.Quiet
	if running != nil {
		pause = p.Timing.Running
	}
	now := p.Now()
	if last, ok := p.at[id]; ok {
		if since := now.Sub(last); since < pause && since >= 0 {
			return pause - since, nil
		}
	}
	s := p.state(h, online)
	if s.AddedBytes, err = p.addedBy(ctx, h); err != nil {
		return 0, err
	}
	next := h.NextRun(now)
	s.NextRun = rfc3339(next)
	if pause, is := h.Paused(now.UnixMilli()); is {
		s.PausedUntil = rfc3339(pause.Until)
		if next == 0 || pause.Until < next {
			next = pause.Until
		}
	}
	if running != nil {
		s.RunningJob, s.RunningMore = running.ID, h.Beside()
		if progress, ok := p.Hub.Progress(running.ID); ok {
			s.Percent = progress.Percent
		}
	}
	p.say(topics.Topic{Kind: topics.KindHostState, Host: id}, string(topics.Encode(s)))
	p.at[id], p.next[id], p.seen[id] = now, next, h
	update := topics.Topic{Kind: topics.KindHostUpdate, Host: id}
	switch {
	case h.AgentVersion != "":
		p.say(update, string(topics.Encode(p.update(h))))
	case p.Box.Has(outbox.Both, update.Below()):
		p.say(update, "")
	}
	return 0, nil
}

// update is which version of the agent a host has and may have, and how far an update is.
func (p *Publisher) update(h *fleet.Entry) topics.HostUpdate {
	u := topics.HostUpdate{InstalledVersion: h.AgentVersion, LatestVersion: h.AgentVersion, Title: "restic-manager-agent"}
	if p.Latest != nil {
		u.LatestVersion = p.Latest(h.Host)
	}
	for _, j := range h.Open {
		if j.Kind != topics.UpdateJob || j.OfRestic() || j.State == topics.Queued {
			continue
		}
		u.InProgress = true
		if progress, ok := p.Hub.Progress(j.ID); ok {
			u.UpdatePercentage = new(min(max(int(progress.Percent), 0), 100))
		}
	}
	return u
}

// An added is how many bytes a backup added to its repository.
type added struct {
	job   topics.JobID
	bytes uint64
}

// addedBy is how many bytes the last backup of a host that ended added.
func (p *Publisher) addedBy(ctx context.Context, h *fleet.Entry) (uint64, error) {
	last := h.LastBackup.Job
	if last == "" {
		return 0, nil
	}
	if was := p.added[h.ID]; was.job == last {
		return was.bytes, nil
	}
	j, err := p.Store.Job(ctx, last)
	if err != nil && !errors.Is(err, store.ErrNotFound) { // its record may be removed
		return 0, err
	}
	now := added{job: last}
	if j.Summary.V != nil {
		now.bytes = j.Summary.V.DataAdded
	}
	p.added[h.ID] = now
	return now.bytes, nil
}

// state is what is said of a host, but for what runs there and comes next.
func (p *Publisher) state(h *fleet.Entry, online bool) topics.HostState {
	s := topics.HostState{
		ID:             h.ID,
		Name:           h.Name,
		Online:         online,
		Status:         string(h.Status),
		Reason:         h.Reason,
		Cause:          h.Cause,
		Since:          rfc3339(h.Since),
		PromisedBy:     h.PromisedBy,
		LastGoodBackup: rfc3339(h.LastGood),
		LastTook:       h.LastTook,
		LastJob:        h.LastBackup.Job,
		LastResult:     h.LastBackup.State,
		LastEnded:      rfc3339(h.LastBackup.EndedAt),
		Snapshots:      h.Snapshots,
		ProtectedBytes: h.Restorable,
		Proven:         string(h.Proof.Word),
		ProvenAt:       rfc3339(h.Proof.At),
		Alerts:         p.alerting.ofHost[h.ID],
		Problem:        h.Status.Trouble(),
		AgentVersion:   h.AgentVersion,
		ResticVersion:  h.ResticVersion,
	}
	overdue, drilled, into := int64(0), int64(0), map[topics.RepositoryID]bool{}
	for _, g := range h.Groups {
		for _, v := range append(g.Also, g.Verdict) {
			if v.Status == protection.Overdue && (overdue == 0 || v.Since < overdue) {
				overdue = v.Since
			}
		}
		if g.Drill != nil {
			drilled = max(drilled, g.Drill.At)
		}
		if r := g.Facts.Repository; r != "" && !into[r] {
			into[r] = true
			s.StoredBytes += p.repositories[r].figures.StoredBytes
		}
	}
	s.Overdue = h.Status == protection.Overdue || overdue > 0
	s.OverdueSince, s.DrilledAt = rfc3339(overdue), rfc3339(drilled)
	return s
}

// progress says how far the jobs are that were sent and have not ended. How one ends is
// said by the outbox: see Ended.
func (p *Publisher) progress(h *fleet.Entry) {
	open := []topics.JobID{}
	for _, j := range h.Open {
		if j.State == topics.Queued {
			continue
		}
		open = append(open, j.ID)
		payload := p.job(j)
		if sum := sha256.Sum256(payload); p.said[j.ID] != sum {
			p.said[j.ID] = sum
			p.Box.Say(outbox.Of(topics.Topic{Kind: topics.KindHostJob, Host: j.Host, Job: j.ID}, payload, 0, false))
		}
	}
	was := p.open[h.ID]
	if p.open[h.ID] = open; len(open) == 0 {
		delete(p.open, h.ID)
	}
	still := map[topics.JobID]bool{}
	for _, id := range open {
		still[id] = true
	}
	for _, id := range was {
		if !still[id] {
			delete(p.said, id)
		}
	}
}

// Ended is what is said of the end of a job; false if its host is not in care any more. It
// may be called on any goroutine.
func (p *Publisher) Ended(ctx context.Context, id topics.JobID) (outbox.Message, bool, error) {
	j, err := p.Store.Job(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return outbox.Message{}, false, nil
	}
	if err != nil {
		return outbox.Message{}, false, err
	}
	if _, err := p.Store.Host(ctx, j.Host); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return outbox.Message{}, false, err
	}
	return outbox.Of(topics.Topic{Kind: topics.KindHostJob, Host: j.Host, Job: j.ID}, p.job(j), 1, false), j.State.Ended(), nil
}

// job is what is said of a job.
func (p *Publisher) job(j store.Job) []byte {
	s := topics.JobPublic{ID: j.ID, Kind: j.Kind, State: j.State, Cause: j.Cause, SnapshotID: j.SnapshotID}
	did := outcome.Of(j)
	s.DryRun, s.Did, s.SavedFiles = did.DryRun, did.Text, outcome.SavedFiles(j)
	if said, ok := p.Hub.Progress(j.ID); ok {
		far := progress.Of(j, said, ok, p.Now())
		s.Percent, s.BytesDone, s.TotalBytes = said.Percent, said.BytesDone, said.TotalBytes
		s.FilesDone, s.TotalFiles, s.SecondsLeft = said.FilesDone, said.TotalFiles, said.SecondsLeft
		s.Stage, s.Stages, s.Text, s.Locked = said.Stage, said.Stages, far.Line(), far.Waits
		if said.Trouble != nil {
			s.Trouble = said.Trouble.Words
		}
	}
	if !j.State.Ended() {
		s.LastTook = j.LastTook / 1000
	}
	if silence := p.Hub.Silence(j); silence.For >= time.Minute {
		s.Silent, s.EndsAfter = int64(silence.For.Seconds()), int64(silence.Limit.Seconds())
	}
	if sum := j.Summary.V; sum != nil {
		s.Percent, s.BytesDone, s.TotalBytes, s.FilesDone, s.TotalFiles = 100, sum.TotalBytes, sum.TotalBytes, sum.TotalFiles,
			sum.TotalFiles
		s.DataAdded = sum.DataAdded
	}
	return topics.Encode(s)
}
