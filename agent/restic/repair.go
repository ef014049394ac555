package restic

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// RepairIndex makes the index anew from what the packs hold. With ReadData it believes
// nothing of what is in the index now, and reads the head of every pack.
type RepairIndex struct {
	ReadData  bool
	RetryLock time.Duration // how long to wait for a lock; 0.14 cannot wait
}

type reindexing struct {
	silent
	RepairIndex
	old    bool
	result topics.Repaired
}

func (r *reindexing) args(v Version, _ string) ([]string, error) {
	args := []string{"repair", "index"}
	if r.old = !v.Has(since.RepairIndex); r.old {
		args = []string{"rebuild-index"}
	}
	if r.ReadData {
		args = append(args, "--read-all-packs")
	}
	return append(args, retry(v, r.RetryLock)...), nil
}

func (r *reindexing) words() string {
	if r.old {
		return "rebuild-index"
	}
	return "repair index"
}

var (
	packAdded   = regexp.MustCompile(`^adding pack file to index [0-9a-f]{64}`)
	packDropped = regexp.MustCompile(`^removing not found pack file ([0-9a-f]{64})`)
	blobLost    = regexp.MustCompile(`^failed to load blob [0-9a-f]{64}: `)
	wholeLine   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func (r *reindexing) hear(line string) {
	if packAdded.MatchString(line) {
		r.result.Added++
	}
	if m := packDropped.FindStringSubmatch(line); m != nil && len(r.result.Dropped) < 100 {
		r.result.Dropped = append(r.result.Dropped, m[1])
	}
}

// read looks at stdout as well: which of the two restic writes to is another from version
// to version.
func (r *reindexing) read(_ *output, line []byte) bool {
	r.hear(string(line))
	return false
}

func (r *reindexing) found(_ *output, e *Ending) {
	if e.State == topics.Succeeded {
		e.Result = &topics.Result{Repair: &r.result}
	}
}

// RepairIndex makes the index anew. Whether everything is well then, a check says.
func (b Binary) RepairIndex(ctx context.Context, place Place, repository Repository, how RepairIndex, sink Sink) Ending {
	return b.patient(ctx, place, repository, topics.ExclusiveLock, how.RetryLock, sink, func() Ending {
		return b.run(ctx, place, repository, &reindexing{RepairIndex: how}, sink)
	})
}

// RepairPacks saves what is whole in damaged packs and removes them. What of them is lost
// is in no snapshot any more only when those are repaired, too.
type RepairPacks struct {
	IDs       []string
	RetryLock time.Duration
}

type salvaging struct {
	silent
	heard
	RepairPacks
	blobs int
}

func (s *salvaging) args(v Version, _ string) ([]string, error) {
	if err := whole(s.IDs); err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "snapshot", "pack"))
	}
	return slices.Concat([]string{"repair", "packs"}, retry(v, s.RetryLock), []string{"--"}, s.IDs), nil
}

func (s *salvaging) words() string { return "repair packs, " + several(len(s.IDs), "pack") }

func (s *salvaging) hear(line string) {
	if blobLost.MatchString(line) {
		s.blobs++
	}
}

func (s *salvaging) found(o *output, e *Ending) { s.heard.found(o, e) }

// packs lists which of some packs are there.
type packs struct {
	silent
	of    []string
	there []string
}

func (*packs) args(Version, string) ([]string, error) {
	return []string{"list", "packs", "--no-lock"}, nil
}
func (*packs) words() string { return "list packs" }

func (p *packs) read(_ *output, line []byte) bool {
	if !wholeLine.Match(line) {
		return false
	}
	if id := string(line); slices.Contains(p.of, id) && !slices.Contains(p.there, id) {
		p.there = append(p.there, id)
	}
	return true
}

// RepairPacks saves what is whole in damaged packs, and looks whether they are gone then.
func (b Binary) RepairPacks(ctx context.Context, place Place, repository Repository, how RepairPacks, sink Sink) Ending {
	if e, old := b.lacks(since.RepairPacks); old {
		return e
	}
	which := &packs{of: how.IDs}
	if e := b.run(ctx, place, repository, which, sink); e.State != topics.Succeeded {
		return e
	}
	result := topics.Repaired{}
	if len(which.there) == 0 {
		sink.Line(topics.Info, "none of the packs is there any more")
		return Ending{State: topics.Succeeded, Result: &topics.Result{Repair: &result}}
	}
	op := &salvaging{RepairPacks: RepairPacks{IDs: which.there, RetryLock: how.RetryLock}}
	e := b.run(ctx, place, repository, op, sink)
	if e.ExitCode == nil && e.Signal == "" {
		return e
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.Timing.orDefault().Confirm)
	defer cancel()
	quiet := &hold{Sink: sink}
	after := &packs{of: which.there}
	if look := b.run(ctx, place, repository, after, quiet); look.State != topics.Succeeded {
		quiet.release()
		if e.State == topics.Succeeded {
			e.State, e.Cause, e.Message = topics.Failed, look.Cause, "restic says that the packs are repaired, but they could not be looked for: "+
				look.Message
		}
		return e
	}
	result.Packs, result.Left, result.Blobs = len(which.there)-len(after.there), after.there, op.blobs
	e.Result = &topics.Result{Repair: &result}
	if len(after.there) > 0 && e.State == topics.Succeeded {
		e.State, e.Cause = topics.Failed, op.cause
		e.Message = cut(or(op.line, fmt.Sprintf("restic says that it is done, but %s of %d %s still there", several(len(after.there), "pack"),
			len(which.there), isOrAre(len(after.there)))), maxMessage)
	}
	return e
}
