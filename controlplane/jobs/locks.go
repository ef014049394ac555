package jobs

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/progress"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A Verdict says how much is known about the holder of a lock.
type Verdict string

// The verdicts. Only a Dead lock is removed without asking a person.
const (
	Alive   Verdict = "alive"   // its process runs, or one of our jobs there has not ended
	Dead    Verdict = "dead"    // it is ours, and its own host says that the process is gone
	Unsure  Verdict = "unsure"  // its host is ours, but whether the process lives is not proven
	Foreign Verdict = "foreign" // no host of ours has its name, or several do and it is no job's of theirs
)

// restic renews its locks every five minutes, and calls a lock stale that was not
// renewed for half an hour.
const (
	stale = 35 * time.Minute // allows for clocks that differ
	skew  = 2 * time.Minute
)

// A Holder is a lock and its holder, as far as that can be proven.
type Holder struct {
	store.Lock
	Owner   store.Host // our host with the lock's hostname; no ID if there is none
	OfJob   topics.JobID
	Verdict Verdict
}

// Judge decides who holds each lock. jobs are the repository's jobs that were running
// when the locks were made, or later. A lock is a job's if the job had a process of its
// number at that time; of a job whose agent is too old to tell numbers, the time decides
// alone. A lock is Dead if its own host looked and found no such process, and it is that of
// a job of ours which has ended, or left it behind; or if it has not been renewed for
// longer than restic itself waits.
//
// Several hosts may have one name: machines that were copied, or agents beside each other on one.
// Then it is the number of the process that says whose a lock is: that of a job of one of them, and
// of nobody else's. Any other one is Foreign, also if it is a bare restic's on the machine of one.
func Judge(locks []store.Lock, hosts []store.Host, jobs []store.Job, now int64) []Holder {
	out := make([]Holder, len(locks))
	for i, l := range locks {
		h := Holder{Lock: l, OfJob: l.Job}
		owner, alone, known := ownerOf(l, hosts, jobs)
		if h.Owner = owner; !known {
			h.Verdict = Foreign
			out[i] = h
			continue
		}
		_, certain := topics.SameHost(owner.Hostname, l.Hostname)
		open, ours := false, l.Job != ""
		for _, j := range jobs {
			if j.Host != h.Owner.ID || j.Kind == topics.LocksJob || j.Kind == topics.UnlockJob || j.State == topics.Queued {
				continue
			}
			its, sure := made(j, l)
			switch {
			case j.FinishedAt == 0 && (its || !sure):
				open = true
				if its {
					h.OfJob = j.ID
				}
			case j.FinishedAt > 0 && its:
				ours = true
				if h.OfJob == "" {
					h.OfJob = j.ID
				}
			}
		}
		ownLook := l.Alive.Valid && l.LookedBy == h.Owner.ID
		switch {
		case open, l.Alive.Bool && (ownLook || l.Job != ""):
			h.Verdict = Alive
		case ownLook && certain && (alone || ours) && l.Time <= now && (ours || now-l.Time > stale.Milliseconds()):
			h.Verdict = Dead
		default:
			h.Verdict = Unsure
		}
		out[i] = h
	}
	return out
}

// ownerOf returns the host whose lock it is by its hostname, and whether that is known. alone is
// that no other host has the name. If several have it, it is the one of which a job had a process of
// the lock's number, or left it behind, unless a job of another may have had that, too.
func ownerOf(l store.Lock, hosts []store.Host, jobs []store.Job) (owner store.Host, alone, known bool) {
	var named []store.Host
	for _, host := range hosts {
		if same, _ := topics.SameHost(host.Hostname, l.Hostname); same {
			named = append(named, host)
		}
	}
	if len(named) < 2 {
		if len(named) == 0 {
			return owner, false, false
		}
		return named[0], true, true
	}
	others := 0 // of which a job may have had that process, as far as their agents tell
	for _, host := range named {
		// A process that is gone is known as a job's by the agent alone that ran it.
		its, may := l.Job != "" && l.LookedBy == host.ID && l.Alive.Valid && !l.Alive.Bool, false
		for _, j := range jobs {
			if j.Host != host.ID || j.Kind == topics.LocksJob || j.Kind == topics.UnlockJob || j.State == topics.Queued {
				continue
			}
			made, sure := made(j, l)
			its, may = its || made && sure || j.ID == l.Job, may || made && !sure
		}
		if its {
			owner, known = host, !known
		} else if may {
			others++
		}
		if its && !known {
			return store.Host{}, false, false
		}
	}
	if !known || others > 0 {
		return store.Host{}, false, false
	}
	return owner, false, true
}

// made reports whether a lock is that of a restic of a job, and whether that is sure.
func made(j store.Job, l store.Lock) (its, sure bool) {
	during := j.StartedAt > 0 && j.StartedAt-skew.Milliseconds() <= l.Time && (j.FinishedAt == 0 || l.Time <= j.FinishedAt+skew.Milliseconds())
	if pids := j.PIDs.V; pids != nil && len(*pids) > 0 {
		return during && slices.Contains(*pids, int(l.PID)), true
	}
	return during, false
}

// Holders returns the holders of the locks that the last listing found in a
// repository.
func Holders(ctx context.Context, s *store.Store, id topics.RepositoryID) ([]Holder, error) {
	locks, err := s.Locks(ctx, id)
	if err != nil || len(locks) == 0 {
		return nil, err
	}
	hosts, err := s.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	jobs, err := s.JobsSince(ctx, id, locks[0].Time-skew.Milliseconds())
	if err != nil {
		return nil, err
	}
	return Judge(locks, hosts, jobs, s.Now()), nil
}

// lookFirst queues a listing of the locks before a job that needs exclusive access,
// if there may be any: the last listing found some, or a job of ours died since.
func (e *Engine) lookFirst(ctx context.Context, host topics.HostID, r store.Repository) error {
	if location.PerHost(r.Location) { // the locks are at another place; a job that meets one fails of it, and is tried again
		return nil
	}
	locks, err := e.Store.Locks(ctx, r.ID)
	if err != nil {
		return err
	}
	died := len(locks) > 0
	if !died {
		if died, err = e.Store.DiedSince(ctx, r.ID, r.LocksAt); err != nil {
			return err
		}
	}
	if !died {
		return nil
	}
	// Of two jobs asked for in one millisecond either may be sent first.
	return e.own(ctx, host, topics.LocksJob, r.ID, "", e.Now().UnixMilli()-1)
}

// ownTime is how long a job that the control plane itself asks for waits for its
// host.
const ownTime = 10 * time.Minute

// own queues a job on behalf of the control plane, at the place of another host if that is
// not "". at is the time it counts as queued (0 is now), so that it can run before the jobs
// that wait for it. A host that does not have the repository is not asked.
func (e *Engine) own(
	ctx context.Context, host topics.HostID, k topics.JobKind, repository topics.RepositoryID, place topics.HostID, at int64,
) error {
	now := e.Now()
	// Whose a lock is, its hostname says, which whoever made it chose; and so does each agent
	// choose its own. Neither gets anybody a repository.
	if has, err := e.Store.HasRepository(ctx, host, repository, place); err != nil || !has {
		return err
	}
	_, _, err := e.Store.Ask(ctx, store.Plane, store.Job{
		ID:         topics.JobID(topics.NewID(now)),
		Host:       host,
		Kind:       k,
		Repository: repository,
		Place:      place,
		QueuedAt:   at,
		Operation:  store.JSON[topics.Operation]{V: &topics.Operation{}},
		NotAfter:   now.Add(ownTime).UnixMilli(),
	})
	if err == nil {
		e.tell(host)
		e.Stir()
	}
	return err
}

// followUp reacts to the end of a job: it lists the locks if one was in the way, and
// removes those that are provably ours and dead. It runs after the commit; if a crash
// loses it, the next job's end does the same.
func (e *Engine) followUp(ctx context.Context, id topics.JobID) error {
	j, err := e.Store.Job(ctx, id)
	if err != nil {
		return err
	}
	switch {
	case j.Kind == topics.LocksJob && j.State == topics.Succeeded:
		return e.unblock(ctx, j.Repository)
	case j.Kind == topics.UnlockJob && j.State == topics.Succeeded,
		j.Kind != topics.LocksJob && j.State == topics.Failed && j.Cause == topics.CauseLocked:
		at, _, err := e.blocked(ctx, j.Repository)
		if err != nil {
			return err
		}
		return e.own(ctx, j.Host, topics.LocksJob, j.Repository, j.Place, at)
	}
	return nil
}

// blocked reports whether locks are in the way: of a job that waits for exclusive
// access (before is when it was queued), of one that runs and waits for them, or of one
// that failed because of them since the oldest was made.
func (e *Engine) blocked(ctx context.Context, id topics.RepositoryID) (before int64, blocked bool, err error) {
	open, err := e.Store.OpenJobs(ctx, "")
	if err != nil {
		return 0, false, err
	}
	waits := false
	for _, j := range open {
		if j.Repository == id && j.Kind.Exclusive() && j.State == topics.Queued {
			return j.QueuedAt - 1, true, nil
		}
		if p, ok := e.Hub.Progress(j.ID); ok && (j.Repository == id || j.Other == id) {
			waits = waits || p.Waits != nil
		}
	}
	if waits {
		return 0, true, nil
	}
	locks, err := e.Store.Locks(ctx, id)
	if err != nil || len(locks) == 0 {
		return 0, false, err
	}
	blocked, err = e.Store.LockedSince(ctx, id, locks[0].Time)
	return 0, blocked, err
}

// waits takes that a job waits for locks. Hosts of ours whose names they bear are asked to
// look, each once for a lock, so that what is dead is removed while the job still waits. Its
// own host has looked already.
func (e *Engine) waits(ctx context.Context, id topics.JobID, w topics.LockWait) error {
	news := false
	for _, l := range w.Locks {
		ask := l.ID + " " + string(id)
		if !e.looked[ask] {
			if len(e.looked) > 1000 {
				clear(e.looked)
			}
			e.looked[ask], news = true, true
		}
	}
	if !news {
		return nil
	}
	j, err := e.Store.Job(ctx, id)
	if err != nil {
		return err
	}
	holders, err := Waited(ctx, e.Store, j, w)
	if err != nil {
		return err
	}
	for _, id := range locksOf(j) { // in which of two it is, nobody says
		r, err := e.Store.Repository(ctx, id)
		if err != nil {
			return err
		}
		for _, h := range holders {
			place, reaches := lockAt(r, h.Lock, h.Owner.ID)
			if h.Owner.ID == "" || h.Owner.ID == j.Host || h.Verdict == Alive || !reaches || !h.Owner.Permits.V.Allows(topics.LocksJob) ||
				!e.Presence.Reachable(h.Owner.ID) {
				continue
			}
			if err := e.own(ctx, h.Owner.ID, topics.LocksJob, r.ID, place, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// locksOf are the repositories that a job locks.
func locksOf(j store.Job) []topics.RepositoryID {
	if j.Other == "" {
		return []topics.RepositoryID{j.Repository}
	}
	return []topics.RepositoryID{j.Repository, j.Other}
}

// HolderWords says in a sentence or two who has a lock, and what becomes of it. renewed is how
// long ago it was written, "3 min ago".
func HolderWords(h Holder, renewed string) string {
	who := progress.Holder(topics.Lock{Host: h.Hostname, User: h.Username, PID: int(h.PID)})
	text := strings.ToUpper(who[:1]) + who[1:]
	if h.OfJob != "" {
		text += ", a job of ours,"
	}
	has := " has it"
	if h.Exclusive {
		has = " has it alone"
	}
	text += has + "; its lock was last renewed " + renewed + "."
	switch h.Verdict {
	case Dead:
		return text + " That process is gone: what it left is being removed."
	case Foreign:
		return text + " No agent of ours can look whether it runs: if it does not, remove its lock."
	case Unsure:
		if h.Alive.Valid && !h.Alive.Bool {
			return text + " There is no such process any more, but nothing proves that it was ours: remove the lock if you know."
		}
		return text + " Its host is being asked whether it runs."
	}
	return text
}

// Waited returns who holds the locks that a job waits for, as far as that can be proven.
func Waited(ctx context.Context, s *store.Store, j store.Job, w topics.LockWait) ([]Holder, error) {
	if len(w.Locks) == 0 {
		return nil, nil
	}
	locks, first := make([]store.Lock, len(w.Locks)), w.Locks[0].Time
	for i, l := range w.Locks {
		locks[i] = store.Lock{Repository: j.Repository, ID: l.ID, Place: j.Place, Time: l.Time, Exclusive: l.Exclusive, Hostname: l.Host,
			Username: l.User, PID: int64(l.PID), Job: l.Job, LookedBy: j.Host}
		if l.Alive != nil {
			locks[i].Alive.Bool, locks[i].Alive.Valid = *l.Alive, true
		}
		first = min(first, l.Time)
	}
	hosts, err := s.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	var jobs []store.Job
	for _, id := range locksOf(j) {
		some, err := s.JobsSince(ctx, id, first-skew.Milliseconds())
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, some...)
	}
	jobs = slices.DeleteFunc(jobs, func(other store.Job) bool { return other.ID == j.ID }) // it has none of them
	return Judge(locks, hosts, jobs, s.Now()), nil
}

// unblock acts on the last listings of a repository's locks, if they are in the way. Where
// all at a place are provably ours and dead, each host removes its own, and restic checks
// there once more. Otherwise it asks the hosts that may know more to list them.
func (e *Engine) unblock(ctx context.Context, id topics.RepositoryID) error {
	before, blocked, err := e.blocked(ctx, id)
	if err != nil || !blocked {
		return err
	}
	holders, err := Holders(ctx, e.Store, id)
	if err != nil {
		return err
	}
	r, err := e.Store.Repository(ctx, id)
	if err != nil {
		return err
	}
	at := map[topics.HostID][]Holder{} // what lies at one place is in nobody's way at another
	for _, h := range holders {
		at[h.Place] = append(at[h.Place], h)
	}
	for _, place := range slices.Sorted(maps.Keys(at)) {
		if err := e.unblockAt(ctx, r, at[place], before); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) unblockAt(ctx context.Context, r store.Repository, holders []Holder, before int64) error {
	able := func(h store.Host, k topics.JobKind) bool { return h.Permits.V.Allows(k) && e.Presence.Reachable(h.ID) }
	type remover struct{ host, place topics.HostID }
	all, removers := true, make([]remover, len(holders))
	for i, h := range holders {
		place, reaches := lockAt(r, h.Lock, h.Owner.ID)
		switch {
		case h.Verdict != Dead:
			all = false
		case reaches && able(h.Owner, topics.UnlockJob):
			removers[i] = remover{h.Owner.ID, place}
		case r.Keeper != "" && e.Now().UnixMilli()-h.Time > stale.Milliseconds():
			// restic on other hosts calls a lock stale after half an hour
			place, reaches := lockAt(r, h.Lock, r.Keeper)
			tried, err := e.tried(ctx, r, place, h.Time+stale.Milliseconds())
			if err != nil {
				return err
			}
			all = all && reaches && !tried
			removers[i] = remover{r.Keeper, place}
		default:
			all = false
		}
		ask := h.ID + " " + string(h.Owner.ID)
		if h.Owner.ID == "" || h.LookedBy == h.Owner.ID || e.looked[ask] || !reaches || !able(h.Owner, topics.LocksJob) {
			continue
		}
		if len(e.looked) > 1000 {
			clear(e.looked)
		}
		e.looked[ask] = true // once per lock; a renewed lock has another ID
		if err := e.own(ctx, h.Owner.ID, topics.LocksJob, r.ID, place, before); err != nil {
			return err
		}
	}
	if !all {
		return nil
	}
	for i, h := range holders {
		by := removers[i]
		e.Log.Info("removing dead lock of our own", "repository", r.ID, "host", by.host, "lock", h.ID)
		if err := e.own(ctx, by.host, topics.UnlockJob, r.ID, by.place, before); err != nil { // asking twice returns the same job
			return err
		}
	}
	return nil
}

// lockAt returns at whose place a host finds a lock ("" is its own), and whether it goes
// there. By {host} only the keeper goes to the place of another. A path may lead two hosts
// to one folder, which each finds at its own place.
func lockAt(r store.Repository, l store.Lock, host topics.HostID) (place topics.HostID, reaches bool) {
	if !location.PerHost(r.Location) || l.Place == "" || l.Place == host {
		return "", true
	}
	return l.Place, host == r.Keeper
}

// tried reports whether the keeper removed locks at a place since a time. One that is left
// then lies where it does not come.
func (e *Engine) tried(ctx context.Context, r store.Repository, place topics.HostID, since int64) (bool, error) {
	ended, err := e.Store.JobsSince(ctx, r.ID, since)
	return slices.ContainsFunc(ended, func(j store.Job) bool {
		return j.Kind == topics.UnlockJob && j.State == topics.Succeeded && j.Host == r.Keeper && j.Place == place && j.StartedAt >= since
	}), err
}
