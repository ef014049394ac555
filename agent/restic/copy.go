package restic

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// Copy copies snapshots from another repository. What is there already is not copied
// again.
type Copy struct {
	From      Repository
	IDs       []string      // of the snapshots, 64 digits each; none is all that From holds
	RetryLock time.Duration // how long to wait for a lock
}

// copying is one restic that copies.
type copying struct {
	silent
	from      *Repository
	ids       []string
	retryLock time.Duration
	done, all int // snapshots of the whole job: copied by those before it, and to be copied
	begun     int
	cause     topics.Cause // what was said, even if restic thinks nothing of it
	line      string
}

func (c *copying) other() *Repository { return c.from }

func (c *copying) args(v Version, _ string) ([]string, error) {
	if len(c.ids) == 0 {
		return nil, errors.New("there is no snapshot to copy") // without one restic would copy all
	}
	for _, id := range c.ids {
		if len(id) != 64 || !hexID.MatchString(id) {
			return nil, fmt.Errorf("%.80q is no whole snapshot ID", id)
		}
	}
	return slices.Concat([]string{"copy"}, retry(v, c.retryLock), []string{"--"}, c.ids), nil // with --json 0.14 says nothing
}

func (c *copying) words() string { return "copy, " + several(len(c.ids), "snapshot") }

var copyBegins = regexp.MustCompile(`^snapshot [0-9a-f]{8,64} of `)

func (c *copying) read(_ *output, line []byte) bool {
	if copyBegins.Match(line) {
		c.begun++
	}
	return false // it is for the log, too
}

// snapshot is the number of the one that is copied, from 1, and how many there are in the
// whole job: each is a stage.
func (c *copying) snapshot() (number, all int) {
	if c.all == 0 {
		return max(c.begun, 1), 0
	}
	return min(c.done+max(c.begun, 1), c.all), c.all
}

func (c *copying) found(o *output, _ *Ending) { c.cause, c.line = o.evidence.judge(o.bounds) }

// A held repository is what a copy needs to know of one of the two.
type held struct {
	id, cuts   string // restic's ID of it, and how it cuts files
	snapshots  []topics.Snapshot
	unreadable []string
}

// inside lists a repository of a copy.
func (b Binary) inside(ctx context.Context, place Place, r Repository, sink Sink) (h held, e Ending) {
	list := b.Snapshots(ctx, place, r, Snapshots{}, sink)
	if list.State != topics.Succeeded {
		return h, list
	}
	if list.Result.Truncated {
		return h, failed(topics.CauseDamaged, errors.New("more of its snapshots cannot be read than can be named"))
	}
	h = held{snapshots: list.Report.Snapshots, unreadable: list.Result.Unreadable}
	op := &config{}
	if e = b.run(ctx, place, r, op, &hold{Sink: sink}); e.State == topics.Succeeded {
		h.id, h.cuts = op.id, op.cuts
	}
	return h, e
}

// Copy copies snapshots into a repository and looks which of them are there then, into
// Ending.Result.Copy: it succeeds if all are, and what restic says of itself is not enough.
// Cancelled or failed, it says how far it came; the next one goes on from there.
func (b Binary) Copy(ctx context.Context, place Place, to Repository, how Copy, sink Sink) Ending {
	if _, err := together(to, how.From, b.Version); err != nil {
		sink.Line(topics.Error, err.Error())
		return failed(topics.CauseUsage, err)
	}
	result := &topics.Copied{}
	of := func(side, words string, e Ending) Ending {
		result.Side = side
		e.Report, e.Result = topics.Report{}, &topics.Result{Copy: result}
		if e.Message != "" && e.State == topics.Failed {
			e.Message = cut(words+": "+e.Message, maxMessage)
		}
		return e
	}
	from, e := b.inside(ctx, place, how.From, sink)
	if e.State != topics.Succeeded {
		return of(topics.CopyFrom, "the repository to copy from", e)
	}
	into, e := b.inside(ctx, place, to, sink)
	if e.State != topics.Succeeded {
		return of(topics.CopyTo, "the repository to copy to", e)
	}
	result.Of, result.Into = from.id, into.id
	if from.id != "" && from.id == into.id {
		return of("", "", failed(topics.CauseRefused, errors.New("both are one and the same repository, so there is nothing to copy")))
	}
	if result.OtherCuts = from.cuts != "" && into.cuts != "" && from.cuts != into.cuts; result.OtherCuts {
		sink.Line(topics.Warn, "the two repositories cut files at other places: what is copied shares no data with what was backed up into "+
			"the second one directly")
	}
	asked, gone := chosen(from.snapshots, how.IDs)
	result.Asked, result.Gone = len(asked), gone
	todo := lacking(asked, into.snapshots)
	result.Already = len(asked) - len(todo)
	sink.Line(topics.Info, fmt.Sprintf("%s to copy, %d of %d there already", several(len(todo), "snapshot"), result.Already, len(asked)))
	e = Ending{State: topics.Succeeded}
	var op *copying
	for ids := range slices.Chunk(idsOf(todo), perForget) {
		e = b.patientWith(ctx, place, to, &how.From, topics.SharedLock, how.RetryLock, sink, func() Ending {
			op = &copying{from: &how.From, ids: ids, retryLock: how.RetryLock, all: len(todo), done: result.Copied}
			return b.run(ctx, place, to, op, sink)
		})
		if e.State != topics.Succeeded {
			break
		}
		result.Copied += len(ids)
	}
	began := op != nil && (e.ExitCode != nil || e.Signal != "")
	result.Copied, result.Left = 0, len(todo)
	if began {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.Timing.orDefault().Confirm)
		defer cancel()
		quiet := &hold{Sink: sink}
		list := b.Snapshots(after, place, to, Snapshots{}, quiet)
		if list.State != topics.Succeeded {
			quiet.release()
			if e.State == topics.Succeeded {
				return of(topics.CopyTo, "restic says that the snapshots are copied, but they could not be looked for", list)
			}
			return of(sideBy(e.Cause), "", e)
		}
		into.snapshots = list.Report.Snapshots
	}
	left := lacking(asked, into.snapshots)
	result.Left, result.Copied = len(left), len(todo)-len(left)
	for _, s := range left[:min(len(left), topics.MaxLacking)] {
		result.Missing = append(result.Missing, topics.Lack{Snapshot: s.ID, Time: s.Time, Differs: differs(s, into.snapshots)})
	}
	if op != nil {
		sink.Line(topics.Info, fmt.Sprintf("%s copied, %d left", several(max(result.Copied, 0), "snapshot"), result.Left))
	}
	switch {
	case e.State == topics.Succeeded && len(left) > 0:
		e.State, e.Cause = topics.Failed, topics.CauseUnknown
		said := ""
		if op != nil && op.line != "" {
			e.Cause, said = op.cause, "; restic said: "+op.line
		}
		e.Message = fmt.Sprintf("restic says that it is done, but %s of %d %s not in the second repository as %s in the first, the first of "+
			"them %s%s", several(len(left), "snapshot"), len(asked), isOrAre(len(left)), itIs(len(left)), lackInWords(result.Missing[0]), said)
	case e.State == topics.Succeeded && len(how.IDs) == 0 && len(from.unreadable) > 0:
		e.State, e.Cause = topics.Warnings, topics.CauseDamaged
		e.Message = fmt.Sprintf("%s of the repository to copy from cannot be read, so %s not copied: %s",
			several(len(from.unreadable), "snapshot"), isOrAre(len(from.unreadable)), strings.Join(from.unreadable, ", "))
		return of(topics.CopyFrom, "", e)
	}
	return of(sideBy(e.Cause), "", e)
}

func itIs(n int) string {
	if n == 1 {
		return "it is"
	}
	return "they are"
}

func lackInWords(l topics.Lack) string {
	at := l.Snapshot[:8] + " of " + time.UnixMilli(l.Time).UTC().Format("2 January 2006 15:04 MST")
	if l.Differs != "" {
		at += ", whose copy has another " + strings.TrimSuffix(l.Differs, "s")
	}
	return at
}

// sideBy says which repository a failure of restic's copy is about, where its cause says it.
func sideBy(c topics.Cause) string {
	switch c {
	case topics.CauseDiskFull, topics.CauseAppendOnly:
		return topics.CopyTo
	}
	return ""
}

// chosen returns the snapshots that are to be copied, and how many of those that were named
// are not there any more.
func chosen(all []topics.Snapshot, ids []string) (list []topics.Snapshot, gone int) {
	if len(ids) == 0 {
		return all, 0
	}
	for _, s := range all {
		if slices.Contains(ids, s.ID) {
			list = append(list, s)
		}
	}
	named := slices.Clone(ids)
	slices.Sort(named)
	return list, len(slices.Compact(named)) - len(list)
}

// persistent is the ID that a snapshot keeps when it is copied: that of the one that all
// its copies were made of.
func persistent(s topics.Snapshot) string { return or(s.Original, s.ID) }

// alike reports whether a snapshot holds what another does, and when.
func alike(a, b topics.Snapshot) bool {
	return a.Tree == b.Tree && a.Tree != "" && a.Time == b.Time && slices.Equal(a.Paths, b.Paths)
}

// pairsOf finds snapshots that were made of the same one.
func pairsOf(list []topics.Snapshot) func(topics.Snapshot) []topics.Snapshot {
	by := map[string][]topics.Snapshot{}
	for _, s := range list {
		by[persistent(s)] = append(by[persistent(s)], s)
		if persistent(s) != s.ID {
			by[s.ID] = append(by[s.ID], s)
		}
	}
	return func(s topics.Snapshot) []topics.Snapshot { return by[persistent(s)] }
}

// lacking returns those of the snapshots of one repository that another does not hold.
func lacking(of, in []topics.Snapshot) (list []topics.Snapshot) {
	pairs := pairsOf(in)
	for _, s := range of {
		if !slices.ContainsFunc(pairs(s), func(o topics.Snapshot) bool { return alike(s, o) }) {
			list = append(list, s)
		}
	}
	return list
}

// differs says what is another in the snapshots that were made of one, "" if there are none.
func differs(s topics.Snapshot, in []topics.Snapshot) string {
	for _, o := range pairsOf(in)(s) {
		switch {
		case o.Tree != s.Tree:
			return "tree"
		case o.Time != s.Time:
			return "time"
		default:
			return "paths"
		}
	}
	return ""
}

func idsOf(list []topics.Snapshot) (ids []string) {
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}
