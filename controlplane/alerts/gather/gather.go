// Package gather reads the facts that conditions are found in: from the database, from what
// is judged already of hosts and repositories, and from who is connected.
package gather

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/drills"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/endings"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// A Reader reads facts. What is nil is not known. It is safe for concurrent use, and keeps
// what it read: only what somebody changed since is read again, in whichever process that
// was.
type Reader struct {
	Store    *store.Store
	Fleet    *fleet.Board
	Presence *hosts.Presence
	Notices  *notices.List
	Now      func() time.Time
	// Stopped is when the control plane was last known to work before it was started, in
	// Unix milliseconds; 0 is not known.
	Stopped int64

	mu     sync.Mutex
	memory *memory
}

// Facts reads all facts as they are now. It writes nothing.
func (r *Reader) Facts(ctx context.Context) (f conditions.Facts, err error) {
	now := r.Now()
	f.Stopped = r.Stopped
	if r.Presence != nil {
		f.Began = r.Presence.Began().UnixMilli()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known, err := r.remember(ctx, now)
	if err != nil {
		return f, err
	}
	moment, err := r.Fleet.Now(ctx)
	if err != nil {
		return f, err
	}
	f.Hosts = make([]conditions.Host, 0, moment.Len())
	for _, e := range moment.ByName() {
		f.Hosts = append(f.Hosts, r.host(e, known))
	}
	if f.Repositories, err = r.repositories(ctx, now, known); err != nil {
		return f, err
	}
	list, err := r.Store.Channels().List(ctx)
	if err != nil {
		return f, fmt.Errorf("channels: %w", err)
	}
	for _, c := range list {
		if c.Enabled {
			f.Channels = append(f.Channels, conditions.Channel{ID: c.ID, Name: c.Name, FailingSince: c.FailingSince, Answer: c.LastAnswer})
		}
	}
	f.Plane = r.plane(ctx)
	return f, nil
}

// of returns the row of a subject and kind, of several places the worst; nil if there is
// none.
func (k kept) of(subject string, kind endings.Kind) (worst *endings.Row) {
	for i := range k[subject] {
		r := &k[subject][i]
		switch {
		case r.Kind != kind:
		case worst == nil, r.Failed() && !worst.Failed(), r.Failed() == worst.Failed() && r.At > worst.At:
			worst = r
		}
	}
	return worst
}

// host puts together what is known of a host.
func (r *Reader) host(e *fleet.Entry, known *memory) conditions.Host {
	h := e.Host
	plan, _ := drills.Nearest(h, known.plans)
	out := conditions.Host{ID: h.ID, Name: h.Name, Tags: h.Tags, EnrolledAt: h.CreatedAt, Retired: h.RetiredAt > 0,
		Revoked: h.RevokedAt > 0, Keeper: e.Keeper, Intermittent: h.Intermittent, OverdueDays: h.OverdueDays,
		Offline: e.Connection == hosts.Offline, Unknown: e.Connection == hosts.Unknown, SeenAt: e.Gone, BackAt: e.BackAt(),
		DiskFull: e.Disk.Full, DiskLow: e.Disk.Low, DiskSince: e.Disk.Since, DiskSays: e.Disk.Error,
		CertifiedUntil: h.CertifiedUntil, TooOld: tooOld(h), TwinsSince: h.TwinsSince, Proof: e.Proof, DrillPlanned: plan.Enabled,
		Pauses: h.AllPauses()}
	if r.Presence != nil {
		if _, seen := r.Presence.Connection(h.ID); out.Unknown {
			out.SeenAt = max(0, seen.UnixMilli())
		}
		out.Clock = r.Presence.Ahead(h.ID).Milliseconds()
	}
	if a, is := known.refused[h.ID]; is {
		out.RefusedAt = a.LastAt
		out.RefusedSays = "Messages in its name, or ours there, were refused, " + words.Count(a.N, "time", "times") + " so far: " +
			words.Visible(a.Reason) + "."
	}
	if row := known.rows.of(string(h.ID), endings.Restore); row != nil {
		out.Restore = new(runOf(*row))
	}
	for _, g := range e.Groups {
		out.Groups = append(out.Groups, groupOf(g, e, known.groups[g.ID], known.rows))
	}
	return out
}

// tooOld says what a host's agent cannot do because of its age, "" if nothing.
func tooOld(h store.Host) string {
	switch {
	case h.AgentVersion == "": // it has not connected yet
	case h.ConfigApplied < 0:
		return "It cannot run schedules by itself: this server starts its backups, and none begins while it cannot be reached."
	case h.ConfigError != "":
		return "It cannot do a part of what it is to do by itself: " + words.Visible(h.ConfigError) + "."
	}
	return ""
}

// groupOf puts together what is known of a source group.
func groupOf(g fleet.Group, e *fleet.Entry, row endings.Group, kept kept) conditions.Group {
	out := conditions.Group{ID: g.ID, Name: g.Name, Repository: g.Repository, CreatedAt: g.CreatedAt, Said: g.Also,
		LastGood: g.LastGood(), Schedules: len(g.Schedules), Replacing: g.ReplacedAt > 0, Drill: g.Drill,
		Lost: g.Facts.LostUnacknowledged}
	for _, s := range g.Schedules {
		if s.Enabled {
			out.Enabled++
		}
	}
	out.Retrying = row.Retrying
	for _, j := range e.Open {
		if j.Kind == topics.BackupJob && j.SourceGroup == g.ID && j.Schedule != "" && j.Attempt > 0 {
			out.Retrying = true
		}
	}
	last, end := g.Facts.Last, kept.of(string(g.ID), endings.Backup)
	for _, v := range g.Also { // what was failed before a good backup came is none any more
		if fails(v) {
			out.FailedSince = g.Facts.FailedSince
		}
	}
	switch {
	case end != nil && end.Job == last.Job:
		out.Last, out.GaveUp = runOf(*end), end.GaveUp
	case last.Job != "": // it ended before this was kept
		out.Last = runOfFacts(last)
	}
	if w := kept.of(string(g.ID), endings.Warned); w != nil && last.State != topics.Succeeded {
		out.Warned = streakOf(*w)
	}
	sizes(&out, row, kept)
	return out
}

// sizes fills in how the group's backups compare, as far as nobody has accepted what they
// hold since.
func sizes(out *conditions.Group, row endings.Group, kept kept) {
	if row.AllowEmpty {
		return
	}
	for kind, into := range map[endings.Kind]**conditions.Size{endings.Size: &out.Size, endings.Unusual: &out.Unusual} {
		r := kept.of(string(out.ID), kind)
		if r != nil && r.Repository == out.Repository && r.Begun > row.MeasureSince {
			*into = sizeOf(*r)
		}
	}
}
