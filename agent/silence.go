package agent

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/topics"
)

// silences are the running jobs whose restic does nothing. Those who run it write them,
// the loop tells of them in its heartbeats.
type silences struct {
	mu   sync.Mutex
	jobs map[topics.JobID]restic.Quiet
}

func (s *silences) tell(job topics.JobID, q restic.Quiet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs == nil {
		s.jobs = map[topics.JobID]restic.Quiet{}
	}
	s.jobs[job] = q
}

func (s *silences) forget(job topics.JobID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.jobs, job)
}

// list also has the jobs that work, at 0. It is never nil: that would be an agent that does not look.
func (s *silences) list() []topics.Silence {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []topics.Silence{}
	for job, q := range s.jobs {
		out = append(out, topics.Silence{
			Job:     job,
			Seconds: int64((q.For + time.Second - 1) / time.Second),
			Limit:   int64((q.Limit + time.Second - 1) / time.Second),
			Last:    q.Last,
		})
	}
	slices.SortFunc(out, func(a, b topics.Silence) int { return cmp.Compare(a.Job, b.Job) })
	return out
}
