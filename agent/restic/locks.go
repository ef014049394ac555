package restic

import (
	"context"
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

// unlock removes stale locks: those of processes of this host that are gone, and
// those older than 30 minutes. With all it removes every lock.
type unlock struct {
	silent
	all   bool
	count int
	said  bool // restic said how many
}

func (u *unlock) args(Version, string) ([]string, error) {
	args := []string{"unlock"} // with --json restic 0.19 does not say how many
	if u.all {
		args = append(args, "--remove-all")
	}
	return args, nil
}

func (u *unlock) words() string {
	if u.all {
		return "unlock --remove-all"
	}
	return "unlock"
}

var removedLocks = regexp.MustCompile(`^successfully removed ([0-9]{1,9}) locks`) // from 0.15, and only if there were any

func (u *unlock) read(_ *output, line []byte) bool {
	if m := removedLocks.FindSubmatch(line); m != nil {
		u.count, _ = strconv.Atoi(string(m[1])) // at most nine digits
		u.said = true
	}
	return false
}

func (u *unlock) found(_ *output, e *Ending) { e.Result = &topics.Result{Unlocked: u.count} }

// Unlock removes stale locks, above all our own after a kill.
func (b Binary) Unlock(ctx context.Context, place Place, repository Repository, sink Sink) Ending {
	return b.run(ctx, place, repository, &unlock{}, sink)
}

// RemoveLocks removes stale locks, or with all every lock, whoever lives by it.
// Ending.Result counts those that are gone: as restic says, and by listing them before
// and after where it does not, as 0.14. Then one that its holder renewed meanwhile, which
// gives it another ID, is not counted, and neither is one if another came.
func (b Binary) RemoveLocks(ctx context.Context, place Place, repository Repository, all bool, sink Sink) Ending {
	before, after, op := &lockIDs{}, &lockIDs{}, &unlock{all: all}
	held := &hold{Sink: sink}
	listed := b.run(ctx, place, repository, before, held)
	e := b.run(ctx, place, repository, op, sink)
	if listed.State != topics.Succeeded || e.State != topics.Succeeded || op.said {
		return e
	}
	if listed = b.run(ctx, place, repository, after, held); listed.State == topics.Succeeded {
		gone := 0
		for _, id := range before.ids {
			if !slices.Contains(after.ids, id) {
				gone++
			}
		}
		for _, id := range after.ids {
			if !slices.Contains(before.ids, id) {
				gone--
			}
		}
		e.Result.Unlocked = max(gone, 0)
	}
	return e
}

// lockIDs lists the locks there are.
type lockIDs struct {
	silent
	ids []string
}

func (*lockIDs) args(Version, string) ([]string, error) {
	return []string{"list", "locks", "--no-lock"}, nil
}
func (*lockIDs) words() string { return "list locks" }
func (l *lockIDs) read(_ *output, line []byte) bool {
	if len(line) != 64 || !hexID.Match(line) {
		return false
	}
	if len(l.ids) <= maxFound {
		l.ids = append(l.ids, string(line))
	}
	return true
}

// lockText reads one lock. It is the one answer that goes over several lines.
type lockText struct {
	silent
	id   string
	text []byte
	lock topics.Lock
}

func (l *lockText) args(Version, string) ([]string, error) {
	if err := checkID(l.id); err != nil {
		return nil, err
	}
	return []string{"cat", "lock", "--no-lock", "--", l.id}, nil
}
func (*lockText) words() string        { return "cat lock" }
func (*lockText) answers(Version) bool { return true }

func (l *lockText) read(o *output, line []byte) bool {
	if len(l.text) == 0 && line[0] != '{' || len(l.text)+len(line) > topics.MaxLine {
		return false
	}
	l.text = append(append(l.text, line...), '\n')
	var one struct {
		Time      text  `json:"time"`
		Exclusive bool  `json:"exclusive"`
		Host      text  `json:"hostname"`
		User      text  `json:"username"`
		PID       count `json:"pid"`
	}
	if line[len(line)-1] != '}' || json.Unmarshal(l.text, &one) != nil {
		return true // there is more to come
	}
	o.answered = true
	l.lock = topics.Lock{
		ID:        l.id,
		Exclusive: one.Exclusive,
		Host:      o.safe(string(one.Host)),
		User:      o.safe(string(one.User)),
		PID:       int(min(one.PID, math.MaxInt32)),
	}
	if at, err := time.Parse(time.RFC3339Nano, string(one.Time)); err == nil {
		l.lock.Time = at.UnixMilli()
	}
	return true
}

// maxLocks is how many locks are read: each takes a run of restic.
const maxLocks = 100

// Locks lists what lies in the repository's locks into Ending.Report, with what
// this host knows of their processes. One that cannot be read is listed by its ID
// alone, and one that has gone meanwhile is not.
func (b Binary) Locks(ctx context.Context, place Place, repository Repository, sink Sink) Ending {
	list := &lockIDs{}
	e := b.run(ctx, place, repository, list, sink)
	if e.State != topics.Succeeded {
		return e
	}
	e.Result = &topics.Result{Count: len(list.ids), Truncated: len(list.ids) > maxLocks}
	for _, id := range list.ids[:min(len(list.ids), maxLocks)] {
		one := &lockText{id: id}
		held := &hold{Sink: sink}
		switch read := b.run(ctx, place, repository, one, held); {
		case read.State == topics.Cancelled:
			return read
		case read.State == topics.Succeeded:
			e.Report.Locks = append(e.Report.Locks, b.look(one.lock))
		default:
			again := &lockIDs{}
			if b.run(ctx, place, repository, again, mute{}).State == topics.Succeeded && !slices.Contains(again.ids, id) {
				e.Result.Count--
				continue
			}
			held.release()
			e.Report.Locks = append(e.Report.Locks, topics.Lock{ID: id})
		}
	}
	return e
}

// mute hears nothing.
type mute struct{}

func (mute) Line(topics.Level, string) {}
func (mute) Started(process.ID)        {}
func (mute) Status(Status)             {}
