package hosts

import (
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Status is how well a host is protected, in one word.
type Status string

// The statuses that are known without alerts. docs/TOPICS.md lists all.
const (
	Protected   Status = "protected"
	Running     Status = "running"
	Warning     Status = "warning"
	Failed      Status = "failed"
	NoBackupYet Status = "no-backup-yet"
	Overdue     Status = "overdue"
	Asleep      Status = "asleep"
)

// Facts determine a host's status, together with the time.
type Facts struct {
	Standing     topics.JobState // see store.Host
	GoodAt       int64
	CreatedAt    int64
	Intermittent bool
	OverdueDays  int64
	Running      bool // a job runs there
	Connection   Connection
}

// FactsOf returns the facts about a host.
func FactsOf(h store.Host, running bool, c Connection) Facts {
	return Facts{Standing: h.Standing, GoodAt: h.GoodAt, CreatedAt: h.CreatedAt, Intermittent: h.Intermittent, OverdueDays: h.OverdueDays,
		Running: running, Connection: c}
}

// Status returns how well a host is protected, with its current connection.
func (p *Presence) Status(h store.Host, running bool) Status {
	c, _ := p.Connection(h.ID)
	st, _ := Judge(FactsOf(h, running, c), p.now())
	return st
}

// Judge returns how well a host is protected, and when that may change although no
// fact changes; the zero time is never. An intermittent host that is offline is
// asleep, which is no failure, until its backup is overdue.
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

// StatusOf returns how well a host is protected. A running job does not hide a
// failure of the last backup; neither does the success of another source group or a
// cancelled job.
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
