package restic

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// From 0.16 on restic itself waits for a lock, and with --json says nothing of it. So a
// run that takes a lock and has not said a word for a while is looked after: the locks
// are listed beside it, which takes none, and its status tells who holds them.

// lockOf is how restic locks for a command line: what [topics.JobKind.Lock] says of the
// jobs that consist of it.
func lockOf(args []string) topics.LockMode {
	if slices.Contains(args, "--no-lock") {
		return topics.NoLock
	}
	switch command(args) {
	case "backup", "restore", "copy", "snapshots", "ls", "find", "diff", "stats", "dump", "cat", "key list", "key add":
		return topics.SharedLock
	case "rewrite":
		if !slices.Contains(args, "--forget") {
			return topics.SharedLock
		}
		return topics.ExclusiveLock
	case "check", "forget", "prune", "tag", "repair index", "repair packs", "repair snapshots", "rebuild-index", "key remove",
		"key passwd", "migrate", "recover":
		return topics.ExclusiveLock
	}
	return topics.NoLock // of "list locks" and "unlock" above all, whatever their flags
}

// inTheWay are the locks for which a run has to wait, and whether it has its own: restic
// writes that only once nothing is in its way.
func inTheWay(locks []topics.Lock, mode topics.LockMode, own func(topics.Lock) bool) (others []topics.Lock, has bool) {
	for _, l := range locks {
		switch {
		case own(l):
			has = true
		case mode == topics.ExclusiveLock || l.Exclusive:
			others = append(others, l)
		}
	}
	return others, has
}

// A vigil looks who has the locks that one run waits for.
type vigil struct {
	b          Binary
	place      Place
	repository Repository
	from       *Repository // that the run takes something from, nil for none: it is locked first
	o          *output
	mode       topics.LockMode
	mute       string        // what a command does that tells no progress; "" if it tells some
	limit      time.Duration // for which restic waits
	pid        atomic.Int64  // of the restic that is looked after

	read  map[string]topics.Lock // what is in a lock never changes
	freed map[string]bool        // that were asked to be removed
	told  string

	ofFrom map[string]bool // locks that are in from
}

// keep looks until the run has said something of its work, has its lock, or ctx has ended.
func (v *vigil) keep(ctx context.Context) {
	first := v.b.Timing.orDefault().Look
	begun := time.Now()
	v.read, v.freed = map[string]topics.Lock{}, map[string]bool{}
	for pause := first; ; pause = min(2*pause, 12*first) {
		timer := time.NewTimer(pause)
		select {
		case <-v.o.works:
			timer.Stop()
			v.over()
			return
		case <-ctx.Done():
			timer.Stop()
			return
		case <-v.o.locked: // restic says so itself
			timer.Stop()
		case <-timer.C:
		}
		if v.mode == topics.NoLock || v.limit <= 0 { // it waits for nobody
			v.mutely()
			return
		}
		others, has, err := v.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil: // nobody can tell; the wait that restic may be in counts for the silence as before
		case has:
			v.over()
			v.o.silence.locks(true)
			v.mutely()
			return
		case len(others) > 0:
			v.waits(begun, others)
		default: // it tries again, or never had to wait
			v.over()
			v.mutely()
		}
	}
}

// look lists the locks that are there. Those that processes of ours left which are gone, are
// removed: restic itself looks at them once more.
func (v *vigil) look(ctx context.Context) (others []topics.Lock, has bool, err error) {
	pid, begun := int(v.pid.Load()), v.o.begun.Add(-2*time.Second)
	own := func(l topics.Lock) bool {
		same, _ := topics.SameHost(l.Host, v.b.hostname())
		return same && l.PID == pid && time.UnixMilli(l.Time).After(begun)
	}
	for range 2 {
		var locks, first []topics.Lock
		if v.from != nil { // who cannot look there does not know what is in the way there
			if all, err := v.b.locksBeside(ctx, v.place, *v.from, v.read); err == nil {
				first, _ = inTheWay(all, topics.SharedLock, own)
			}
			v.ofFrom = map[string]bool{}
			for _, l := range first {
				v.ofFrom[l.ID] = true
			}
		}
		locks, err = v.b.locksBeside(ctx, v.place, v.repository, v.read)
		if err != nil && len(first) == 0 {
			return nil, false, err
		}
		others, has = inTheWay(locks, v.mode, own)
		if has {
			return others, true, nil
		}
		freed := v.free(ctx, v.repository, others)
		if v.from != nil {
			freed = v.free(ctx, *v.from, first) || freed
		}
		if others = slices.Concat(first, others); !freed {
			break
		}
	}
	return others, false, nil
}

// free removes the locks of restics of ours that have ended without removing them, and
// reports whether it tried: each is tried once.
func (v *vigil) free(ctx context.Context, repository Repository, locks []topics.Lock) (tried bool) {
	for _, l := range locks {
		if l.Alive == nil || *l.Alive || l.Job == "" || v.freed[l.ID] {
			continue
		}
		v.freed[l.ID], tried = true, true
		v.say(topics.Warn, "the lock of "+holder(l)+" is left over: that was job "+string(l.Job)+" of this host, and its process is gone. "+
			"It is removed")
	}
	if tried {
		v.b.run(ctx, v.place.beside(), repository, &unlock{}, mute{})
	}
	return tried
}

func (v *vigil) waits(begun time.Time, locks []topics.Lock) {
	v.o.silence.waits(true)
	w := waitOf(begun, v.limit, locks)
	text := v.words(*w)
	if text != v.told {
		v.told = text
		v.say(topics.Info, text)
	}
	v.o.mu.Lock()
	defer v.o.mu.Unlock()
	v.o.waited = w
	v.o.hand(Status{Waits: w, Seconds: v.o.seconds()}, true)
}

// words are waitWords, and in which of two repositories it is.
func (v *vigil) words(w topics.LockWait) string {
	text := waitWords(w)
	if v.from == nil || len(w.Locks) == 0 {
		return text
	}
	first := slices.ContainsFunc(w.Locks, func(l topics.Lock) bool { return v.ofFrom[l.ID] })
	second := slices.ContainsFunc(w.Locks, func(l topics.Lock) bool { return !v.ofFrom[l.ID] })
	switch {
	case first && second:
		return text + ", in both repositories"
	case first:
		return text + ", in the repository to copy from"
	}
	return text + ", in the repository to copy to"
}

// over tells that nothing is waited for any more.
func (v *vigil) over() {
	v.o.silence.waits(false)
	if v.told == "" {
		return
	}
	v.say(topics.Info, "the lock is free")
	v.told = ""
	v.o.mu.Lock()
	defer v.o.mu.Unlock()
	s := Status{}
	if v.o.track.number > 0 {
		s = v.o.track.status()
	}
	s.Seconds = v.o.seconds()
	v.o.hand(s, true)
}

// mutely tells of what will tell no progress.
func (v *vigil) mutely() {
	if v.mute == "" {
		return
	}
	s := Status{Mute: true, Doing: v.mute}
	if p, ok := v.o.operation.(parted); ok {
		s.Stage, s.Stages = p.part()
	}
	v.o.mu.Lock()
	defer v.o.mu.Unlock()
	s.Seconds = v.o.seconds()
	v.o.hand(s, true)
}

// A parted operation is one of several that are one to whoever asked.
type parted interface{ part() (n, of int) }

func (v *vigil) say(level topics.Level, text string) {
	v.o.mu.Lock()
	defer v.o.mu.Unlock()
	v.o.sink.Line(level, cut(v.o.safe(text), topics.MaxLine)) // not restic's word: it ends no silence
}

// waitOf puts locks into a status, the first of them.
func waitOf(begun time.Time, limit time.Duration, locks []topics.Lock) *topics.LockWait {
	w := &topics.LockWait{Since: begun.UnixMilli(), Locks: locks[:min(len(locks), topics.MaxLocks)], More: max(0, len(locks)-topics.MaxLocks)}
	if limit > 0 {
		w.Until = begun.Add(limit).UnixMilli()
	}
	return w
}

// waitWords says in a line who has the locks.
func waitWords(w topics.LockWait) string {
	text := "waiting for "
	for i, l := range w.Locks {
		if i > 0 {
			text += ", "
		}
		if l.Host == "" && l.PID == 0 {
			text += "the lock " + cut(l.ID, 8) + ", which cannot be read"
			continue
		}
		text += holder(l)
		if l.Exclusive {
			text += ", alone in the repository"
		}
		text += " (its lock is of " + time.UnixMilli(l.Time).UTC().Format("2006-01-02 15:04:05 UTC") + ")"
	}
	if len(w.Locks) == 0 {
		text += "another's lock"
	}
	if w.More > 0 {
		text += fmt.Sprintf(" and %d more", w.More)
	}
	if w.Until > w.Since {
		text += ", for " + inWords(time.Duration(w.Until-w.Since)*time.Millisecond) + " at most"
	}
	return text
}

// holder is who has a lock: "process 1903 of root on node01".
func holder(l topics.Lock) string {
	text := fmt.Sprintf("process %d", l.PID)
	if l.User != "" {
		text += " of " + l.User
	}
	return text + " on " + or(l.Host, "an unknown host")
}

// locksBeside lists the locks while another restic of the job runs. What it read before it
// takes from read.
func (b Binary) locksBeside(ctx context.Context, place Place, repository Repository, read map[string]topics.Lock) ([]topics.Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, b.Timing.orDefault().Open)
	defer cancel()
	place = place.beside()
	list := &lockIDs{}
	if e := b.run(ctx, place, repository, list, mute{}); e.State != topics.Succeeded {
		return nil, fmt.Errorf("list the locks: %s", e.Message)
	}
	var locks []topics.Lock
	for _, id := range list.ids[:min(len(list.ids), 2*topics.MaxLocks)] {
		l, known := read[id]
		if !known {
			one := &lockText{id: id}
			if e := b.run(ctx, place, repository, one, mute{}); e.State != topics.Succeeded {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				continue // it has gone meanwhile
			}
			l = one.lock
			read[id] = l
		}
		locks = append(locks, b.look(l))
	}
	return locks, nil
}

// beside is the place of a run that another of the same job goes on beside: it ends none of
// the job's other processes.
func (p Place) beside() Place {
	p.aside = true
	return p
}

// hostname is what this machine writes into its locks.
func (b Binary) hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// look says what this host knows of a lock's process. A process of ours is known by its
// number and its time; of a number that was given away since, the process is another one.
func (b Binary) look(l topics.Lock) topics.Lock {
	if host := b.hostname(); host == "" || !strings.EqualFold(host, l.Host) || l.PID <= 0 {
		return l
	}
	alive := process.Alive(l.PID)
	if b.Ours != nil {
		var runs bool
		if l.Job, runs = b.Ours(l.PID, time.UnixMilli(l.Time)); l.Job != "" {
			alive = runs
		}
	}
	if alive && l.Job == "" {
		l.Job = process.JobOf(l.PID)
	}
	l.Alive = &alive
	return l
}

// patient runs an operation again while another has the repository, for as long as limit
// says: what restic does with --retry-lock, which it does not know before 0.16. Meanwhile it
// tells who that is.
func (b Binary) patient(ctx context.Context, place Place, repository Repository, mode topics.LockMode, limit time.Duration, sink Sink,
	run func() Ending,
) Ending {
	return b.patientWith(ctx, place, repository, nil, mode, limit, sink, run)
}

// patientWith is patient for an operation that takes something from another repository, which
// it locks, too.
func (b Binary) patientWith(ctx context.Context, place Place, repository Repository, from *Repository, mode topics.LockMode,
	limit time.Duration, sink Sink, run func() Ending,
) Ending {
	first, begun := b.Timing.orDefault().Lock, time.Now()
	until := begun.Add(limit)
	read, freed, told := map[string]topics.Lock{}, map[string]bool{}, ""
	for wait := first; ; wait = min(2*wait, 12*first) {
		e := run()
		locked := e.State == topics.Failed && e.Cause == topics.CauseLocked
		if b.Version.Has(since.RetryLock) || !locked || limit <= 0 {
			return e
		}
		v := vigil{b: b, place: place, repository: repository, from: from, mode: mode, read: read, freed: freed,
			o: newOutput(&lockIDs{}, newRedactor(nil), sink, b.Timing.orDefault())}
		if others, _, err := v.look(ctx); err == nil && len(others) > 0 {
			w := waitOf(begun, limit, others)
			if text := v.words(*w); text != told {
				told = text
				sink.Line(topics.Info, told)
			}
			sink.Status(Status{Waits: w, Seconds: uint64(time.Since(begun).Seconds())})
			e.Message = cut(waitedWords(*w, time.Since(begun))+": "+e.Message, maxMessage)
		}
		if time.Now().Add(wait).After(until) {
			return e
		}
		sink.Line(topics.Info, "another has the repository to itself: trying again in "+wait.String())
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return Ending{State: topics.Cancelled, Cause: topics.CauseCancelled, Message: cancelledWaiting}
		}
	}
}

const cancelledWaiting = "cancelled while it waited for the repository's lock"

// waitedWords says in vain for whom was waited.
func waitedWords(w topics.LockWait, span time.Duration) string {
	w.Until = 0
	return "waited " + inWords(span) + " in vain" + strings.TrimPrefix(waitWords(w), "waiting")
}
