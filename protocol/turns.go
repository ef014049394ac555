package protocol

import "github.com/restic-manager/restic-manager/topics"

// Limits bound what runs at once; 0 is no limit.
type Limits struct {
	Fleet      int // jobs in all
	Repository int // jobs on one repository
}

// DefaultLimits lets a fleet run a hundred jobs, eight of them into one
// repository.
func DefaultLimits() Limits { return Limits{Fleet: 100, Repository: 8} }

// A Turn says what a queued job waits for, and with whom.
type Turn struct {
	Wait Wait
	For  topics.JobID // the job it waits for, if it is one
}

// Wait is why a queued job is not sent; "" is that it is its turn.
type Wait string

// What a job waits for.
const (
	WaitHost       Wait = "host"       // it cannot be reached
	WaitJob        Wait = "job"        // another job of the host
	WaitRepository Wait = "repository" // a job that has to be alone there, or those that run before one
	WaitLimit      Wait = "limit"      // as many as may run are running
	WaitPlan       Wait = "plan"       // what it is to do is being worked out
)

// Turns decides who is next. A host runs one job at a time. On a repository
// backups run side by side, and a job that locks it exclusively runs alone; one
// that waits for that holds back the jobs asked for after it, or it would wait
// for ever.
type Turns struct {
	limits  Limits
	running int
	hosts   map[topics.HostID]topics.JobID
	repos   map[topics.RepositoryID]*repoTurn
}

type repoTurn struct {
	running   int
	one       topics.JobID // one that runs
	exclusive topics.JobID // runs alone, or waits to
}

// NewTurns begins with what is under way among the open jobs.
func NewTurns(l Limits, open []PlaneJob) *Turns {
	t := &Turns{limits: l, hosts: map[topics.HostID]topics.JobID{}, repos: map[topics.RepositoryID]*repoTurn{}}
	for _, j := range open {
		if j.State != topics.Queued {
			t.begin(j)
		}
	}
	return t
}

func (t *Turns) repo(id topics.RepositoryID) *repoTurn {
	r := t.repos[id]
	if r == nil {
		r = &repoTurn{}
		t.repos[id] = r
	}
	return r
}

func (t *Turns) begin(j PlaneJob) {
	t.running++
	t.hosts[j.Host] = j.ID
	r := t.repo(j.Repository)
	r.running++
	r.one = j.ID
	if j.Kind.Exclusive() {
		r.exclusive = j.ID
	}
}

// Take says what a queued job waits for. If nothing, the turn is taken. Jobs
// are to be given in the order they were asked for.
func (t *Turns) Take(j PlaneJob, online bool) Turn {
	r := t.repo(j.Repository)
	switch other, busy := t.hosts[j.Host]; {
	case !online:
		return Turn{Wait: WaitHost}
	case busy:
		return Turn{WaitJob, other}
	case r.exclusive != "":
		return Turn{WaitRepository, r.exclusive}
	case j.Kind.Exclusive() && r.running > 0:
		r.exclusive = j.ID
		return Turn{WaitRepository, r.one}
	case t.limits.Fleet > 0 && t.running >= t.limits.Fleet, t.limits.Repository > 0 && r.running >= t.limits.Repository:
		return Turn{Wait: WaitLimit}
	}
	t.begin(j)
	return Turn{}
}
