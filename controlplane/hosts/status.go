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

// Status says how well a host is protected, as it is connected now. One that comes
// and goes is asleep while it is away, which is no trouble, until it is overdue.
func (p *Presence) Status(h store.Host, running bool) Status {
	c, _ := p.Connection(h.ID)
	return statusAt(h, running, c, p.now())
}

func statusAt(h store.Host, running bool, c Connection, now time.Time) Status {
	st := StatusOf(h, running)
	if !h.Intermittent || st != Protected && st != NoBackupYet {
		return st
	}
	limit := time.Duration(h.OverdueDays) * 24 * time.Hour
	switch since := time.UnixMilli(max(h.GoodAt, h.CreatedAt)); {
	case limit > 0 && now.Sub(since) > limit:
		return Overdue
	case c == Offline:
		return Asleep
	}
	return st
}

// StatusOf says how well a host is protected. Running never hides a failure of
// the last backup, nor does another source group's success or a cancelled job.
func StatusOf(h store.Host, running bool) Status {
	switch h.Standing {
	case topics.Failed, topics.Interrupted, topics.Abandoned:
		return Failed
	case topics.Warnings:
		return Warning
	}
	switch {
	case running:
		return Running
	case h.GoodAt > 0:
		return Protected
	}
	return NoBackupYet
}
