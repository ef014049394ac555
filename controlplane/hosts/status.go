package hosts

import (
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Status is how well a host is protected, in one word.
type Status string

// The statuses that can be known without alerts. docs/TOPICS.md
// lists the whole vocabulary.
const (
	Protected   Status = "protected"
	Running     Status = "running"
	Warning     Status = "warning"
	Failed      Status = "failed"
	NoBackupYet Status = "no-backup-yet"
	Overdue     Status = "overdue"
	Asleep      Status = "asleep"
)

// Facts are what a host's status follows from, besides the time.
type Facts struct {
	Standing     topics.JobState // see store.Host
	GoodAt       int64
	CreatedAt    int64
	Intermittent bool
	OverdueDays  int64
	Running      bool // a job runs there
	Connection   Connection
}

// FactsOf are the facts about a host.
func FactsOf(h store.Host, running bool, c Connection) Facts {
	return Facts{Standing: h.Standing, GoodAt: h.GoodAt, CreatedAt: h.CreatedAt, Intermittent: h.Intermittent, OverdueDays: h.OverdueDays,
		Running: running, Connection: c}
}

// Status says how well a host is protected, as it is connected now.
func (p *Presence) Status(h store.Host, running bool) Status {
	c, _ := p.Connection(h.ID)
	st, _ := Judge(FactsOf(h, running, c), p.now())
	return st
}

// Judge says how well a host is protected, and from when on that is to be asked
// again although no fact has changed; the zero time is never. A host that comes
// and goes is asleep while it is away, which is no trouble, until it is overdue.
func Judge(f Facts, now time.Time) (st Status, until time.Time) {
	st = f.status()
	if !f.Intermittent || st != Protected && st != NoBackupYet {
		return st, time.Time{}
	}
	if f.OverdueDays > 0 {
		// The last moment at which it is not overdue yet.
		limit := time.UnixMilli(max(f.GoodAt, f.CreatedAt)).Add(time.Duration(f.OverdueDays) * 24 * time.Hour)
		if now.After(limit) {
			return Overdue, time.Time{}
		}
		until = limit.Add(1)
	}
	if f.Connection == Offline {
		st = Asleep
	}
	return st, until
}

// StatusOf says how well a host is protected. Running never hides a failure of
// the last backup, nor does another source group's success or a cancelled job.
func StatusOf(h store.Host, running bool) Status {
	return FactsOf(h, running, Unknown).status()
}

func (f Facts) status() Status {
	switch f.Standing {
	case topics.Failed, topics.Interrupted, topics.Abandoned:
		return Failed
	case topics.Warnings:
		return Warning
	}
	switch {
	case f.Running:
		return Running
	case f.GoodAt > 0:
		return Protected
	}
	return NoBackupYet
}
