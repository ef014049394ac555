package agent

import (
	"slices"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

// restics remembers which restics were started here and when, so that a lock can be told
// to be that of one: since the agent was started, and those that it found left behind then.
type restics struct {
	mu  sync.Mutex
	ran []ran
}

type ran struct {
	process.ID
	job         topics.JobID
	from, until time.Time // until is zero while the job goes on
}

const (
	maxRestics = 2000
	lockSkew   = 2 * time.Second // between what restic writes into a lock and what we see of its start
)

func (r *restics) started(job topics.JobID, p process.ID, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ran) >= maxRestics {
		r.ran = slices.Delete(r.ran, 0, maxRestics/2)
	}
	r.ran = append(r.ran, ran{ID: p, job: job, from: at})
}

// ended notes that nothing of a job runs any more.
func (r *restics) ended(job topics.JobID, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.ran {
		if r.ran[i].job == job && r.ran[i].until.IsZero() {
			r.ran[i].until = at
		}
	}
}

// of is the job of which a process of this number was a restic at that time, "" if none is
// known; and whether that process runs.
func (r *restics) of(pid int, at time.Time) (job topics.JobID, runs bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.ran) - 1; i >= 0; i-- {
		p := r.ran[i]
		if p.PID != pid || at.Before(p.from.Add(-lockSkew)) || !p.until.IsZero() && at.After(p.until.Add(lockSkew)) {
			continue
		}
		return p.job, p.Start != "" && process.Alive(pid) && process.StartOf(pid) == p.Start
	}
	return "", false
}
