package protocol

import (
	"slices"

	"github.com/restic-manager/restic-manager/topics"
)

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
	WaitJob        Wait = "job"        // another job of the host in the same repository
	WaitBusy       Wait = "busy"       // as many jobs as the host may run at once are running there
	WaitRepository Wait = "repository" // a job that has to be alone there, or those that run before one
	WaitLimit      Wait = "limit"      // as many as may run are running
	WaitDisk       Wait = "host-disk"  // its host's disk is full, and its agent begins nothing
	WaitPlane      Wait = "plane-disk" // the control plane's disk is short of space, and new jobs are held
	WaitPlan       Wait = "plan"       // what it is to do is being worked out
	// WaitUnconfirmed is that the control plane was restored from a copy, and nobody has
	// confirmed the host since.
	WaitUnconfirmed Wait = "unconfirmed"
	WaitUpdate      Wait = "update" // an update of its host's agent waits there for its turn, or goes on
	WaitLock        Wait = "lock"   // it was sent and runs, and somebody else has the repository's lock
	WaitTwins       Wait = "twins"  // two machines have the host's identity; a person has to say which one stays
)

// HeldWhenShort reports whether a job of a kind is held while the control plane's disk
// is short of space. A prune goes on: its repository may be on the same disk, and it
// is what makes room there.
func HeldWhenShort(k topics.JobKind) bool { return k != topics.PruneJob }

// works returns the repositories that a job works in: a copy in both of its own.
func (j PlaneJob) works() []topics.RepositoryID {
	if j.Kind == topics.CopyJob && j.Other != "" && j.Other != j.Repository {
		return []topics.RepositoryID{j.Repository, j.Other}
	}
	return []topics.RepositoryID{j.Repository}
}

// meets reports whether two jobs work in one repository.
func (j PlaneJob) meets(o PlaneJob) bool {
	return slices.ContainsFunc(j.works(), func(id topics.RepositoryID) bool { return slices.Contains(o.works(), id) })
}

// beside reports whether a job does no harm to one that has to be alone, and takes no lock
// from it: a look at the locks, and restic's removal of those whose processes are gone. A
// job that has to be alone may be waiting for just that.
func (j PlaneJob) beside() bool {
	return j.Kind == topics.LocksJob || j.Kind == topics.UnlockJob && !j.All
}

// Turns decides who is next. An update of a host's agent is sent beside what runs there,
// and the agent lets that end; nothing else is sent to that host until the update has
// ended. It is in no repository, and no limit counts it. A host runs one job at a time in each repository, and
// no more together than its limit says. On a repository backups of several hosts run
// side by side, and a job that locks it exclusively runs alone; one that waits for
// that holds back the jobs asked for after it, or it would wait for ever. What looks at
// the locks, or removes dead ones, passes both: see beside.
type Turns struct {
	Twins   map[topics.HostID]bool // hosts whose identity several machines have: nothing is sent there
	limits  Limits
	atOnce  map[topics.HostID]int
	running int
	updates map[topics.HostID]topics.JobID // that were sent and have not ended
	// Of the jobs that are under way on a host, one in each repository: of two the host
	// runs one, and left the other unanswered when it had begun that by itself.
	hosts map[topics.HostID][]PlaneJob
	repos map[topics.RepositoryID]*repoTurn
}

type repoTurn struct {
	running   int
	one       topics.JobID // one that runs
	exclusive topics.JobID // runs alone, or waits to
}

// NewTurns begins with what is under way among the open jobs. atOnce is how many jobs
// a host runs at once; one that is not in it runs a single one.
func NewTurns(l Limits, atOnce map[topics.HostID]int, open []PlaneJob) *Turns {
	t := &Turns{limits: l, atOnce: atOnce, updates: map[topics.HostID]topics.JobID{},
		hosts: map[topics.HostID][]PlaneJob{}, repos: map[topics.RepositoryID]*repoTurn{}}
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
	if j.Kind == topics.UpdateJob {
		t.updates[j.Host] = j.ID
		return
	}
	t.running++
	if here := t.hosts[j.Host]; !slices.ContainsFunc(here, j.meets) {
		t.hosts[j.Host] = append(here, j)
	}
	for _, id := range j.works() {
		r := t.repo(id)
		r.running++
		r.one = j.ID
		if j.Kind.Exclusive() {
			r.exclusive = j.ID
		}
	}
}

// Take says what a queued job waits for. If nothing, the turn is taken. Jobs
// are to be given in the order they were asked for.
func (t *Turns) Take(j PlaneJob, online bool) Turn {
	update, updates := t.updates[j.Host]
	r, here := t.repo(j.Repository), t.hosts[j.Host]
	same := slices.IndexFunc(here, j.meets)
	for _, id := range j.works()[1:] { // of the second one what is in the way there counts as of the first
		if o := t.repo(id); r.exclusive == "" && (o.exclusive != "" || o.running > r.running) {
			r = o
		}
	}
	switch {
	case t.Twins[j.Host]:
		return Turn{Wait: WaitTwins}
	case !online:
		return Turn{Wait: WaitHost}
	case updates:
		return Turn{WaitUpdate, update}
	case j.Kind == topics.UpdateJob:
		t.begin(j)
		return Turn{}
	case same >= 0:
		return Turn{WaitJob, here[same].ID}
	case len(here) >= max(t.atOnce[j.Host], 1):
		return Turn{WaitBusy, here[0].ID}
	case r.exclusive != "" && !j.beside():
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
