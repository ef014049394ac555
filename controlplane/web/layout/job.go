package layout

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/controlplane/progress"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// NoRoom is what a job waits for whose host has a full disk.
const NoRoom = "Starts when there is space again on the host's disk"

// NoRoomHere is what a job waits for while the control plane's own disk is short of space.
const NoRoomHere = "Starts when there is space again on the control plane's disk"

// Running is an open job in a list.
func (s *Page) Running(j store.Job, host, group string) views.RunningJob {
	r := views.RunningJob{ID: string(j.ID), Host: host, Kind: string(j.Kind), Group: group, Percent: -1}
	p, ok := s.Hub.Progress(j.ID)
	switch {
	case j.State == topics.Queued:
		r.Waits, r.Amount = true, "Queued"
		if c, _ := s.Presence.Connection(j.Host); c != hosts.Online {
			r.Amount = "Queued until it connects"
		} else if s.Presence.Divided(j.Host) {
			r.Amount = "Queued until somebody says which of two machines stays"
		} else if s.Presence.Full(j.Host) {
			r.Amount = NoRoom
		} else if s.Short != nil && s.Short() && protocol.HeldWhenShort(j.Kind) {
			r.Amount = NoRoomHere
		}
	case j.State == topics.Dispatched:
		r.Amount = "Waiting for the agent to answer"
		if !j.Accepted && s.Presence.Full(j.Host) {
			r.Amount = NoRoom
		}
	default:
		far := progress.Of(j, p, ok, s.Now())
		r.Percent, r.Amount, r.Locked = far.Percent, far.Line(), far.Waits
		if far.Percent >= 0 {
			r.Left = Left(p)
		}
	}
	if ok && p.Trouble != nil && !r.Locked {
		r.Left = ""
		r.Amount, _ = jobs.TroubleWords(*p.Trouble, s.Now())
	}
	if silence, stalled := s.Silent(j); stalled && !r.Locked {
		r.Stalled, r.Left, r.Amount = true, "", silence.Words()
	}
	return r
}

// JobRow is a job in a host's list.
func (s *Page) JobRow(j store.Job, groups map[topics.SourceGroupID]string) views.JobRow {
	row := views.JobRow{ID: string(j.ID), Kind: string(j.Kind), Group: groups[j.SourceGroup], Status: JobStatus(j),
		At: s.When(max(j.StartedAt, j.QueuedAt)), By: Asker(j), DryRun: outcome.Of(j).DryRun}
	if _, stalled := s.Silent(j); stalled {
		row.Status = views.JobStatus("stalled")
	}
	if j.FinishedAt > 0 && j.StartedAt > 0 {
		row.Took = words.Duration(time.Duration(j.FinishedAt-j.StartedAt) * time.Millisecond)
	}
	if j.Summary.V != nil {
		row.Added = words.Bytes(j.Summary.V.DataAdded)
	}
	return row
}

// JobStatus is how a job's state is shown: a success that did less than its kind says is
// not called one.
func JobStatus(j store.Job) views.Status {
	st := views.JobStatus(string(j.State))
	did := outcome.Of(j)
	switch {
	case did.Word != "" && j.Kind == topics.DrillJob: // it did all of it, under another word
		return st.As(did.Word)
	case did.Word != "":
		return st.Instead(did.Word)
	}
	return st
}

// AskedBy is who wanted a job, in a sentence: "anna", "the schedule nightly".
func AskedBy(j store.Job) string {
	name, scheduled := strings.CutPrefix(j.RequestedBy, "schedule:")
	switch {
	case j.RequestedBy == store.Plane:
		return "this server"
	case scheduled && j.Attempt > 0:
		return "the schedule " + name + ", retry " + strconv.Itoa(j.Attempt)
	case scheduled:
		return "the schedule " + name
	}
	return program(j.RequestedBy, "the ")
}

// program words the name the audit log has for a program: "the API token nightly". A
// person's name stays as it is.
func program(name, article string) string {
	if token, ok := strings.CutPrefix(name, "api:"); ok {
		return article + "API token " + token
	}
	if consumer, ok := strings.CutPrefix(name, "mqtt:"); ok {
		return article + "MQTT consumer " + consumer
	}
	return name
}

// Asker is who wanted a job.
func Asker(j store.Job) string {
	switch {
	case j.RequestedBy == store.Plane:
		return "This server"
	case j.Schedule == "":
		return program(j.RequestedBy, "")
	case j.Attempt > 0:
		return "Retry " + strconv.Itoa(j.Attempt)
	}
	return "Schedule"
}

// JobsInAll counts the jobs that a search finds, of which so many have not ended.
func (s *Page) JobsInAll(ctx context.Context, x store.JobSearch, open int) (int, error) {
	counts, err := s.Store.CountEnded(ctx, store.JobFilter{Search: &x})
	for _, c := range counts {
		open += c.Jobs
	}
	return open, err
}

// SnapshotsIn counts the snapshots of a host in some repositories, and leads to them.
func (s *Page) SnapshotsIn(ctx context.Context, host topics.HostID, ids []topics.RepositoryID) (in []views.Link, total int, err error) {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	names := map[topics.RepositoryID]string{}
	if err := s.Store.RepositoryNames(ctx, ids, names); err != nil {
		return nil, 0, err
	}
	for _, id := range ids {
		n, err := s.Store.CountSnapshots(ctx, id, store.SnapshotFilter{Host: host})
		if err != nil {
			return nil, 0, err
		}
		if total += n; n > 0 {
			in = append(in, views.Link{Text: names[id] + ", " + words.Number(uint64(n)),
				URL: views.RepositoryListURL(string(id), views.RepositoryFilter{Host: string(host)}) + "#repository-snapshots"})
		}
	}
	return in, total, nil
}
