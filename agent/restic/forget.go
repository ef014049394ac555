package restic

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// Forget removes snapshots by their IDs, 64 digits each. What they hold stays in
// the repository until it is pruned.
type Forget struct {
	IDs       []string
	RetryLock time.Duration // how long to wait for a lock; 0.14 cannot wait
}

type forget struct {
	silent
	Forget
	cause topics.Cause // what was said, even if restic thinks nothing of it
	line  string
}

func (f *forget) args(v Version, _ string) ([]string, error) {
	if len(f.IDs) == 0 {
		return nil, errors.New("there is no snapshot to forget") // without one restic would apply a policy
	}
	for _, id := range f.IDs {
		if len(id) != 64 || !hexID.MatchString(id) {
			return nil, fmt.Errorf("%.80q is no whole snapshot ID", id)
		}
	}
	// Of IDs there is no JSON, and the text tells how many are removed.
	return slices.Concat([]string{"forget"}, retry(v, f.RetryLock), []string{"--"}, f.IDs), nil
}

func (f *forget) words() string { return "forget, " + several(len(f.IDs), "snapshot") }

func (f *forget) found(o *output, _ *Ending) { f.cause, f.line = o.evidence.judge(o.bounds) }

// perForget is how many IDs one command line names: Windows has no longer ones.
const perForget = 200

// Forget removes snapshots and looks which are gone, into Ending.Result.Removed:
// restic's exit code proves nothing before 0.19. It succeeds if all are gone, those
// that were not there among them.
func (b Binary) Forget(ctx context.Context, place Place, repository Repository, which Forget, sink Sink) Ending {
	var e Ending
	var op *forget
	for ids := range slices.Chunk(which.IDs, perForget) {
		e = b.patient(ctx, place, repository, topics.ExclusiveLock, which.RetryLock, sink, func() Ending {
			op = &forget{Forget: Forget{IDs: ids, RetryLock: which.RetryLock}}
			return b.run(ctx, place, repository, op, sink)
		})
		if e.State != topics.Succeeded {
			break
		}
	}
	if op == nil {
		return failed(topics.CauseUsage, errors.New("there is no snapshot to forget"))
	}
	if e.ExitCode == nil && e.Signal == "" {
		return e // nothing was begun
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.Timing.orDefault().Confirm)
	defer cancel()
	held := &hold{Sink: sink}
	list := b.Snapshots(ctx, place, repository, Snapshots{}, held)
	if list.State != topics.Succeeded {
		held.release()
		if e.State == topics.Succeeded {
			e.State, e.Cause, e.Message = topics.Failed, list.Cause, "restic says that the snapshots are forgotten, but they could not be "+
				"looked for: "+list.Message
		}
		return e
	}
	there := map[string]bool{}
	for _, s := range list.Report.Snapshots {
		there[s.ID] = true
	}
	e.Result = &topics.Result{}
	left := 0
	unreadable := func(id string) bool {
		return slices.ContainsFunc(list.Result.Unreadable, func(start string) bool { return strings.HasPrefix(id, start) })
	}
	for _, id := range which.IDs {
		if there[id] || unreadable(id) || list.Result.Truncated {
			left++
		} else {
			e.Result.Removed = append(e.Result.Removed, id)
		}
	}
	e.Result.Count = len(e.Result.Removed)
	if left > 0 && e.State == topics.Succeeded {
		e.State, e.Cause = topics.Failed, op.cause
		e.Message = cut(or(op.line, fmt.Sprintf("restic says that it is done, but %s of %d %s still there", several(left, "snapshot"),
			len(which.IDs), isOrAre(left))), maxMessage)
	}
	sink.Line(topics.Info, several(e.Result.Count, "snapshot")+" gone, "+strconv.Itoa(left)+" left")
	return e
}

func isOrAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// Prune removes what no snapshot needs.
type Prune struct {
	DryRun    bool
	RetryLock time.Duration // how long to wait for a lock; 0.14 cannot wait
}

type prune struct {
	silent
	Prune
	freed, left uint64
	summed      bool
}

func (p *prune) args(v Version, _ string) ([]string, error) {
	args := []string{"prune", "--max-unused", "5%"}
	if p.DryRun {
		return append(args, "--dry-run", "--no-lock"), nil // it would lock everybody else out for nothing
	}
	return append(args, retry(v, p.RetryLock)...), nil
}

func (p *prune) words() string {
	if p.DryRun {
		return "prune --dry-run"
	}
	return "prune"
}

var pruneSum = regexp.MustCompile(`^(total prune|remaining): +[0-9]+ blobs / ([0-9.]+) ([KMGTPE]?i?B)\s*$`)

func (p *prune) read(_ *output, line []byte) bool {
	m := pruneSum.FindSubmatch(line)
	if m == nil {
		return false
	}
	n, err := strconv.ParseFloat(string(m[2]), 64)
	if err != nil {
		return false
	}
	if unit := string(m[3]); unit != "B" {
		for range strings.IndexByte("KMGTPE", unit[0]) + 1 {
			n *= 1024
		}
	}
	if size := uint64(min(n, 1<<62)); m[1][0] == 't' {
		p.freed = size
	} else {
		p.left = size
	}
	p.summed = true
	return false // it is for the log, too
}

func (p *prune) found(_ *output, e *Ending) {
	if e.State == topics.Succeeded && p.summed {
		e.Result = &topics.Result{Prune: &topics.Pruned{FreedBytes: p.freed, LeftBytes: p.left}}
	}
}

// Prune frees what no snapshot needs, or says what that would be. What an
// interrupted one leaves behind the next one finds.
func (b Binary) Prune(ctx context.Context, place Place, repository Repository, how Prune, sink Sink) Ending {
	limit := how.RetryLock
	if how.DryRun {
		limit = 0 // it takes no lock
	}
	return b.patient(ctx, place, repository, topics.ExclusiveLock, limit, sink, func() Ending {
		return b.run(ctx, place, repository, &prune{Prune: how}, sink)
	})
}
