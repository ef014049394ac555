package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/topics"
)

// A past is one source group's history, told moment by moment.
type past struct {
	t   fataler
	s   *Store
	g   SourceGroup
	now int64
}

func (p *past) tick() int64 {
	p.now += 1000
	p.s.now = func() time.Time { return time.UnixMilli(p.now) }
	return p.now
}

// backup ends a backup that took half of a second, with snapshot n unless n is 0.
func (p *past) backup(state topics.JobState, n int, files, bytes uint64) Job {
	p.t.Helper()
	p.tick()
	j := asked(p.t, p.s, p.g)
	if err := p.s.Steps(context.Background(), func(tx protocol.PlaneTx) error {
		return tx.Started(protocol.PlaneJob{ID: j.ID}, topics.Started{}, p.now+500)
	}); err != nil {
		p.t.Fatal(err)
	}
	f := topics.Finished{State: state}
	if n > 0 {
		f.Snapshot = &of(p.g, n)[0]
		f.Summary = &topics.Summary{TotalFiles: files, TotalBytes: bytes}
	}
	finish(p.t, p.s, j, p.tick(), f)
	return j
}

// list lists exactly some snapshots, completely.
func (p *past) list(listed ...topics.Snapshot) {
	p.t.Helper()
	p.listBy(p.g.Host, topics.Result{}, listed...)
}

func (p *past) listBy(host topics.HostID, r topics.Result, listed ...topics.Snapshot) {
	p.t.Helper()
	at := p.tick()
	r.Parts, r.Count = 1, len(listed)
	ran(p.t, p.s, Job{Host: host, Kind: topics.SnapshotsJob, Repository: p.g.Repository, QueuedAt: at}, p.tick(),
		topics.Finished{Result: &r}, topics.Report{Snapshots: listed})
}

// forget asks for snapshots to be removed, and ends that in a state with what it
// removed; it goes on if the state is "".
func (p *past) forget(state topics.JobState, asked, gone []string) {
	p.t.Helper()
	p.tick()
	j := Job{Host: p.g.Host, Kind: topics.ForgetJob, Repository: p.g.Repository,
		Operation: JSON[topics.Operation]{V: &topics.Operation{Snapshots: asked}}}
	if state == "" {
		j.ID, j.NotAfter = topics.JobID(topics.NewID(time.Now())), 1<<50
		if _, _, err := p.s.Ask(context.Background(), "test", j); err != nil {
			p.t.Fatal(err)
		}
		return
	}
	ran(p.t, p.s, j, p.tick(), topics.Finished{State: state, Result: &topics.Result{Removed: gone}})
}

// remake asks for snapshots to be made anew, and ends that in a state with what it says
// became of which.
func (p *past) remake(kind topics.JobKind, state topics.JobState, said []topics.Replacement, asked ...int) {
	p.t.Helper()
	p.tick()
	o := topics.Operation{Snapshots: wholeIDs(asked...)}
	f := topics.Finished{State: state}
	var parts []topics.Report
	if len(said) > 0 {
		f.Result = &topics.Result{Remade: &topics.Remade{}, Parts: 1, Count: len(said)}
		parts = append(parts, topics.Report{Replacements: said})
	}
	ran(p.t, p.s, Job{Host: p.g.Host, Kind: kind, Repository: p.g.Repository, Operation: JSON[topics.Operation]{V: &o}}, p.tick(), f, parts...)
}

func (p *past) facts() facts.Group {
	p.t.Helper()
	for _, f := range must(p.s.Facts(context.Background(), p.g.Host)) {
		if f.Group == p.g.ID {
			return f
		}
	}
	p.t.Fatalf("there are no facts of group %s", p.g.ID)
	return facts.Group{}
}

func began(t testing.TB) *past {
	s := open(t)
	return &past{t: t, s: s, g: grouped(t, s, enrolled(t, s, "attic")), now: 1_700_000_000_000}
}

// TestAClockThatWasFarAheadIsNotBelieved: what was written meanwhile does not stay the
// newest for years.
func TestAClockThatWasFarAheadIsNotBelieved(t *testing.T) {
	p := began(t)
	right := p.now
	p.now += 10 * 365 * 24 * 60 * 60 * 1000
	p.backup(topics.Succeeded, 1, 10, 100)
	if f := p.facts(); f.Good.ID != id64(1) || f.Last.State != topics.Succeeded {
		t.Errorf("while it is ahead there are %+v", f)
	}
	p.now = right
	p.backup(topics.Failed, 0, 0, 0)
	if f := p.facts(); f.Last.State != topics.Failed || f.FailedSince != p.now || f.Good.ID != id64(1) {
		t.Errorf("after a failure by the right time there are %+v", f)
	}
	p.backup(topics.Succeeded, 2, 10, 100)
	if f := p.facts(); f.Good.ID != id64(2) || f.Newest.ID != id64(2) || f.Last.EndedAt != p.now || f.Snapshots != 2 {
		t.Errorf("after a backup by the right time there are %+v", f)
	}
}

func TestFactsFollowABackup(t *testing.T) {
	p := began(t)
	if f := p.facts(); f.Snapshots != 0 || f.Newest.ID != "" || f.Last.Job != "" || f.Host != p.g.Host || f.Repository != p.g.Repository {
		t.Errorf("a new group has %+v", f)
	}
	first := p.backup(topics.Succeeded, 1, 10, 100)
	f := p.facts()
	if f.Snapshots != 1 || f.Good.ID != id64(1) || f.Good != f.Newest || f.Good != f.Whole || f.Good.Job != first.ID || f.Good.Files != 10 ||
		f.Good.Bytes != 100 || f.Good.Ended != p.now || f.Good.Begun != p.now-500 {
		t.Errorf("a good backup makes %+v", f)
	}
	p.backup(topics.Warnings, 2, 9, 90)
	if f := p.facts(); f.Good.ID != id64(1) || f.Whole.ID != id64(2) || f.Newest.ID != id64(2) || f.Last.State != topics.Warnings {
		t.Errorf("an incomplete one makes %+v", f)
	}
	p.backup(topics.Warnings, 3, 0, 0)
	if f := p.facts(); f.Good.ID != id64(1) || f.Whole.ID != id64(2) || f.Newest.ID != id64(3) || !f.Collapsed || f.Snapshots != 3 {
		t.Errorf("an empty one makes %+v", f)
	}
	p.backup(topics.Failed, 0, 0, 0)
	failed := p.now
	last := p.backup(topics.Interrupted, 0, 0, 0)
	p.backup(topics.Cancelled, 0, 0, 0)
	if f := p.facts(); f.FailedSince != failed || f.Last.Job != last.ID || f.Last.State != topics.Interrupted || f.Snapshots != 3 {
		t.Errorf("failures make %+v", f)
	}
	p.backup(topics.Succeeded, 4, 10, 100)
	if f := p.facts(); f.FailedSince != 0 || f.Good.ID != id64(4) || f.Collapsed {
		t.Errorf("a good one after failures makes %+v", f)
	}
	p.g.AllowEmpty = true
	p.g = must(p.s.PutSourceGroup(t.Context(), "test", p.g))
	p.backup(topics.Succeeded, 5, 0, 0)
	if f := p.facts(); f.Good.ID != id64(5) || f.Whole.ID != id64(4) {
		t.Errorf("an empty one that may be makes %+v", f)
	}
}

// TestWhatIsLost tells each circumstance after three good backups.
func TestWhatIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		then         func(p *past)
		lost, exists int
		good         int // the number of the good snapshot, 0 for none
	}{
		"all are listed":     {func(p *past) { p.list(of(p.g, 1, 2, 3)...) }, 0, 3, 3},
		"one of three":       {func(p *past) { p.list(of(p.g, 1, 2)...) }, 1, 2, 2},
		"the oldest":         {func(p *past) { p.list(of(p.g, 2, 3)...) }, 1, 2, 3},
		"all":                {func(p *past) { p.list() }, 3, 0, 0},
		"all, and then back": {func(p *past) { p.list(); p.list(of(p.g, 1, 2, 3)...) }, 0, 3, 3},
		"all, and one back":  {func(p *past) { p.list(); p.list(of(p.g, 2)...) }, 2, 1, 2},
		"a listing that was asked for before the last backup ended": {func(p *past) {
			at := p.now - 1
			ran(p.t, p.s, Job{Host: p.g.Host, Kind: topics.SnapshotsJob, Repository: p.g.Repository, QueuedAt: at}, p.tick(), whole(1, 2),
				topics.Report{Snapshots: of(p.g, 1, 2)})
		}, 0, 3, 3},
		"an incomplete listing": {func(p *past) {
			ran(p.t, p.s, Job{Host: p.g.Host, Kind: topics.SnapshotsJob, Repository: p.g.Repository, QueuedAt: p.tick()}, p.tick(), whole(2, 3),
				topics.Report{Snapshots: of(p.g, 1)})
		}, 0, 3, 3},
		"a listing that failed": {func(p *past) {
			f := whole(1, 0)
			f.State, f.Cause = topics.Failed, topics.CausePassword
			ran(p.t, p.s, Job{Host: p.g.Host, Kind: topics.SnapshotsJob, Repository: p.g.Repository, QueuedAt: p.tick()}, p.tick(), f)
		}, 0, 3, 3},
		"what could not be read": {func(p *past) {
			p.listBy(p.g.Host, topics.Result{Unreadable: []string{id64(3)}}, of(p.g, 1)...)
		}, 1, 2, 3},
		"what we removed": {func(p *past) {
			p.forget(topics.Succeeded, wholeIDs(1), wholeIDs(1))
			p.list(of(p.g, 2, 3)...)
		}, 0, 2, 3},
		"what a failed forget named": {func(p *past) {
			p.forget(topics.Failed, wholeIDs(1), nil)
			p.list(of(p.g, 2, 3)...)
		}, 0, 2, 3},
		"what an abandoned forget named": {func(p *past) {
			p.forget(topics.Abandoned, wholeIDs(1), nil)
			p.list(of(p.g, 2, 3)...)
		}, 0, 2, 3},
		"what a running forget names": {func(p *past) { p.forget("", wholeIDs(1), nil); p.list(of(p.g, 2, 3)...) }, 0, 2, 3},
		"what a forget did not name": {func(p *past) {
			p.forget(topics.Succeeded, wholeIDs(1), wholeIDs(1, 2))
			p.list(of(p.g, 3)...)
		}, 1, 1, 3},
		"a forget that came after the loss": {func(p *past) {
			p.list(of(p.g, 2, 3)...)
			p.forget(topics.Succeeded, wholeIDs(1), wholeIDs(1))
		}, 1, 2, 3},
		"tagged beside us": {func(p *past) { p.list(append(of(p.g, 1, 2), remade(of(p.g, 13)[0], 3))...) }, 0, 3, 13},
		"tagged twice": {func(p *past) {
			p.list(append(of(p.g, 1, 2), remade(of(p.g, 13)[0], 3))...)
			p.list(append(of(p.g, 1, 2), remade(of(p.g, 23)[0], 3))...)
		}, 0, 3, 23},
		"tagged twice, each of the one before": {func(p *past) {
			p.list(append(of(p.g, 1, 2), remade(of(p.g, 13)[0], 3))...)
			again := remade(of(p.g, 23)[0], 3)
			again.Original = id64(13)
			p.list(append(of(p.g, 1, 2), again)...)
		}, 0, 3, 23},
		"rewritten beside us": {func(p *past) { p.list(append(of(p.g, 1, 2), reworked(of(p.g, 13)[0], 3))...) }, 1, 2, 2},
		"rewritten by a job that was cut off": {func(p *past) {
			p.remake(topics.RewriteJob, topics.Interrupted, nil, 3)
			p.list(append(of(p.g, 1, 2), reworked(of(p.g, 13)[0], 3))...)
		}, 0, 3, 13},
		"planted while a job was to rewrite it": {func(p *past) {
			p.remake(topics.RewriteJob, topics.Interrupted, nil, 3)
			p.list(append(of(p.g, 1, 2, 3), reworked(of(p.g, 13)[0], 3))...)
			p.list(append(of(p.g, 1, 2), reworked(of(p.g, 13)[0], 3))...)
		}, 1, 2, 2},
		"rewritten by a job": {func(p *past) {
			by := reworked(of(p.g, 13)[0], 3)
			p.remake(topics.RewriteJob, topics.Succeeded, []topics.Replacement{{Snapshot: id64(3), Became: topics.BecameChanged, By: &by}}, 3)
			p.list(append(of(p.g, 1, 2), by)...)
		}, 0, 3, 13},
		"rewritten by a job, told of another than it was asked for": {func(p *past) {
			by := reworked(of(p.g, 13)[0], 2)
			p.remake(topics.RewriteJob, topics.Succeeded, []topics.Replacement{{Snapshot: id64(2), Became: topics.BecameChanged, By: &by}}, 3)
			p.list(append(of(p.g, 1, 3), by)...)
		}, 1, 2, 3},
		"tagged by a job, and there twice": {func(p *past) {
			by := remade(of(p.g, 13)[0], 3)
			p.remake(topics.TagJob, topics.Failed, []topics.Replacement{{Snapshot: id64(3), Became: topics.BecameDoubled, By: &by}}, 3)
			p.list(append(of(p.g, 1, 2, 3), by)...)
		}, 0, 3, 3},
		"not tagged by a job, and gone then": {func(p *past) {
			p.remake(topics.TagJob, topics.Failed, []topics.Replacement{{Snapshot: id64(3), Became: topics.BecameLeft}}, 3)
			p.list(of(p.g, 1, 2)...)
		}, 1, 2, 2},
		"repaired by a job, and nothing was left": {func(p *past) {
			p.remake(topics.RepairJob, topics.Succeeded, []topics.Replacement{{Snapshot: id64(3), Became: topics.BecameRemoved}}, 3)
			p.list(of(p.g, 1, 2)...)
		}, 0, 2, 2},
		"what a failed forget named, there afterwards, and gone then": {func(p *past) {
			p.forget(topics.Failed, wholeIDs(1), nil)
			p.list(of(p.g, 1, 2, 3)...)
			p.list(of(p.g, 2, 3)...)
		}, 1, 2, 3},
		"tagged without our mark": {func(p *past) { p.list(append(of(p.g, 1, 2), remade(snaps(13)[0], 3))...) }, 0, 3, 13},
		"tagged, and lost then": {func(p *past) {
			p.list(append(of(p.g, 1, 2), remade(of(p.g, 13)[0], 3))...)
			p.list(of(p.g, 1, 2)...)
		}, 1, 2, 2},
		"rewritten, and the old one stays": {func(p *past) { p.list(append(of(p.g, 1, 2, 3), remade(of(p.g, 13)[0], 3))...) }, 0, 3,
			3},
		"rewritten, and the old one goes later": {func(p *past) {
			p.list(append(of(p.g, 1, 2, 3), remade(of(p.g, 13)[0], 3))...)
			p.list(append(of(p.g, 1, 2), remade(of(p.g, 13)[0], 3))...)
		}, 0, 3, 13},
		"planted, made of one we removed": {func(p *past) {
			p.forget(topics.Succeeded, wholeIDs(1), wholeIDs(1))
			p.list(append(of(p.g, 2, 3), remade(snaps(13)[0], 1))...)
		}, 0, 2, 3},
		"planted, made of nothing we know": {func(p *past) { p.list(append(of(p.g, 1, 2, 3), remade(snaps(13)[0], 99))...) }, 0, 3, 3},
		"planted, made of itself":          {func(p *past) { p.list(append(of(p.g, 1, 2), remade(snaps(13)[0], 13))...) }, 1, 2, 2},
		"two were made of one": {func(p *past) {
			p.list(append(of(p.g, 1, 2), remade(snaps(13)[0], 3), remade(of(p.g, 14)[0], 3))...)
		}, 0, 3, 14},
		"the old one comes back": {func(p *past) {
			p.list(append(of(p.g, 1, 2), remade(of(p.g, 13)[0], 3))...)
			p.list(append(of(p.g, 1, 2, 3), remade(of(p.g, 13)[0], 3))...)
		}, 0, 3, 3},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			p := began(t)
			for n := 1; n <= 3; n++ {
				p.backup(topics.Succeeded, n, 10, 100)
			}
			c.then(p)
			f := p.facts()
			want := ""
			if c.good > 0 {
				want = id64(c.good)
			}
			if f.Lost != c.lost || f.LostUnacknowledged != c.lost || (f.LostAt > 0) != (c.lost > 0) || f.Snapshots != c.exists || f.Good.ID != want {
				t.Errorf("%d lost (since %d), %d exist, the good one is %.8s; want %d, %d and %.8s", f.Lost, f.LostAt, f.Snapshots, f.Good.ID,
					c.lost, c.exists, want)
			}
			if got := len(must(p.s.MissingSnapshots(t.Context(), p.g.Repository))); got != c.lost {
				t.Errorf("%d are listed as missing, want %d", got, c.lost)
			}
			if got := must(p.s.MissingCounts(t.Context(), []topics.RepositoryID{p.g.Repository}))[p.g.Repository]; got.Lost != c.lost ||
				got.Unacknowledged != c.lost {
				t.Errorf("the repository counts %+v, want %d lost", got, c.lost)
			}
		})
	}
}

// remade is a snapshot that was made of another by changing its tags.
func remade(n topics.Snapshot, of int) topics.Snapshot {
	n.Original, n.Time, n.Tree = id64(of), int64(of), id64(of+1000)
	return n
}

// reworked is a snapshot that was made of another and holds something else.
func reworked(n topics.Snapshot, of int) topics.Snapshot {
	n = remade(n, of)
	n.Tree = id64(of + 2000)
	return n
}

func TestALossIsSaidOnceAndAcknowledgedByName(t *testing.T) {
	p, ctx := began(t), t.Context()
	for n := 1; n <= 3; n++ {
		p.backup(topics.Succeeded, n, 10, 100)
	}
	entries := func(action string) (n int) {
		for _, e := range must(p.s.AuditEntries(ctx, AuditFilter{}, 100)) {
			if e.Action == action {
				n++
			}
		}
		return n
	}
	p.list(of(p.g, 1)...)
	since := p.now
	p.list(of(p.g, 1)...)
	if n := entries("snapshots.lost"); n != 1 {
		t.Errorf("the loss was said %d times", n)
	}
	if n := must(p.s.AcknowledgeMissing(ctx, "anna", p.g.Repository, append(wholeIDs(1, 2, 77), id64(2)))); n != 1 {
		t.Errorf("acknowledged %d, want the second alone: the first exists", n)
	}
	if f := p.facts(); f.Lost != 2 || f.LostUnacknowledged != 1 || f.LostAt != since {
		t.Errorf("with one acknowledged of two it is %+v", f)
	}
	p.tick()
	if n := must(p.s.AcknowledgeMissing(ctx, "anna", p.g.Repository, wholeIDs(2, 3))); n != 1 {
		t.Errorf("acknowledged %d, want the third alone", n)
	}
	if f := p.facts(); f.Lost != 2 || f.LostUnacknowledged != 0 || f.LostAt != since {
		t.Errorf("with both acknowledged it is %+v", f)
	}
	if n := entries("snapshots.acknowledged"); n != 2 {
		t.Errorf("%d entries of acknowledging", n)
	}
	p.list()
	if f := p.facts(); f.Lost != 3 || f.LostUnacknowledged != 1 || f.LostAt != p.now {
		t.Errorf("when the last one is lost it is %+v", f)
	}
	p.list(of(p.g, 2)...) // it was acknowledged, comes back, and is lost again
	p.list()
	if f := p.facts(); f.Lost != 3 || f.LostUnacknowledged != 2 {
		t.Errorf("when one is lost again it is %+v", f)
	}
}

func TestAHostThatIsElsewhereSaysNothingOfOthers(t *testing.T) {
	p := began(t)
	cellar := enrolled(t, p.s, "cellar")
	p.backup(topics.Succeeded, 1, 10, 100)
	here, there := strings.Repeat("a", 64), strings.Repeat("b", 64)
	p.listBy(p.g.Host, topics.Result{Place: here}, of(p.g, 1)...)
	p.listBy(cellar.ID, topics.Result{Place: there})
	if f := p.facts(); f.Lost != 0 || f.Snapshots != 1 {
		t.Errorf("the cellar's path leads elsewhere: %+v", f)
	}
	p.listBy(cellar.ID, topics.Result{Place: here}, of(p.g, 1)...)
	p.listBy(cellar.ID, topics.Result{Place: there})
	if f := p.facts(); f.Lost != 1 {
		t.Errorf("the cellar was in the same repository before, and another is there now: %+v", f)
	}
	p.listBy(p.g.Host, topics.Result{Place: here}, of(p.g, 1)...)
	if f := p.facts(); f.Lost != 0 {
		t.Errorf("the host itself finds it: %+v", f)
	}
	p.listBy(p.g.Host, topics.Result{Place: strings.Repeat("c", 64)})
	if f := p.facts(); f.Lost != 1 {
		t.Errorf("a repository was made anew in its place: %+v", f)
	}
}

func TestSizesAreMeasuredByThoseBefore(t *testing.T) {
	p, ctx := began(t), t.Context()
	n := 0
	backup := func(files, bytes uint64) facts.Group {
		n++
		p.backup(topics.Succeeded, n, files, bytes)
		return p.facts()
	}
	if f := backup(1000, 100_000); f.MeasureFiles != 0 || f.Collapsed {
		t.Errorf("nothing is known before the first: %+v", f)
	}
	for i := range uint64(12) {
		backup(1000+i, 100_000+i)
	}
	f := backup(20, 2000)
	if f.MeasureFiles != 1006 || f.MeasureBytes != 100_006 || !f.Collapsed {
		t.Errorf("the median of 1002 to 1011 is %d files and %d bytes, collapsed %t", f.MeasureFiles, f.MeasureBytes, f.Collapsed)
	}
	if f := backup(20, 2000); f.MeasureFiles != 1006 || !f.Collapsed {
		t.Errorf("one that collapsed is no measure: %+v", f)
	}
	if f := backup(1000, 1999); f.MeasureFiles != 1006 || !f.Collapsed {
		t.Errorf("its bytes collapsed: %+v", f)
	}
	if f := backup(21, 2001); f.Collapsed {
		t.Errorf("a fiftieth is none: %+v", f)
	}
	backup(20, 2000)
	if s := must(p.s.AcceptSize(ctx, "anna", p.g.ID, "")); s.Files != 20 {
		t.Errorf("accepted %+v", s)
	}
	if f := p.facts(); f.Collapsed || f.MeasureFiles != 0 {
		t.Errorf("its new size was accepted: %+v", f)
	}
	if f := backup(10, 1000); f.Collapsed || f.MeasureFiles != 20 {
		t.Errorf("the next one is measured by what was accepted: %+v", f)
	}
	p.g.Excludes = List{"*.iso"}
	p.tick()
	p.g = must(p.s.PutSourceGroup(ctx, "test", p.g))
	if f := p.facts(); f.MeasureFiles != 0 {
		t.Errorf("another exclude makes another measure: %+v", f)
	}
	if f := backup(1, 1); f.Collapsed {
		t.Errorf("the first with other excludes has no measure: %+v", f)
	}
}

// TestASnapshotInTwoRepositoriesIsNoMeasureOfItself has one end at the same moment in both.
func TestASnapshotInTwoRepositoriesIsNoMeasureOfItself(t *testing.T) {
	p := began(t)
	other := grouped(t, p.s, must(p.s.Host(t.Context(), p.g.Host)))
	p.backup(topics.Succeeded, 1, 100, 1000)
	p.g.Repository = other.Repository
	p.g = must(p.s.PutSourceGroup(t.Context(), "test", p.g))
	p.now -= 2000
	p.backup(topics.Succeeded, 1, 50, 1000)
	if f, want := p.facts(), scratch(p.s, p.g.ID); f != want || f.MeasureFiles != 0 {
		t.Errorf("kept is\n%+v, the rows say\n%+v", f, want)
	}
}

// TestFactsStayWhenJobsAreSwept removes every row of a job.
func TestFactsStayWhenJobsAreSwept(t *testing.T) {
	p := began(t)
	for n := 1; n <= 4; n++ {
		p.backup(topics.Succeeded, n, uint64(100*n), 1000)
	}
	p.forget(topics.Succeeded, wholeIDs(1), wholeIDs(1))
	p.list(of(p.g, 3, 4)...)
	p.backup(topics.Failed, 0, 0, 0)
	p.backup(topics.Failed, 0, 0, 0)
	want, plan := p.facts(), must(p.s.PlannedSnapshots(t.Context(), p.g.Repository))
	if want.Lost != 1 || want.Snapshots != 2 || want.FailedSince == 0 || want.UsualSeconds != 0 && want.UsualSeconds > 1 {
		t.Fatalf("before the sweep it is %+v", want)
	}
	if err := p.s.tx(t.Context(), func(tx *sqlx.Tx) error {
		if _, err := tx.Exec(`DELETE FROM jobs`); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO group_facts_due (source_group) VALUES ($1)`, p.g.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got := p.facts(); got != want {
		t.Errorf("after the sweep it is\n%+v, before\n%+v", got, want)
	}
	if got := must(p.s.PlannedSnapshots(t.Context(), p.g.Repository)); fmt.Sprint(got) != fmt.Sprint(plan) {
		t.Errorf("after the sweep retention reads\n%+v, before\n%+v", got, plan)
	}
	p.list(of(p.g, 3)...)
	if got := p.facts(); got.Lost != 2 {
		t.Errorf("what is lost after the sweep is not: %+v", got)
	}
}

// scratch computes the facts of a group from all rows, without any index or kept row.
// When its measure began and which sizes collapsed is known from the rows alone.
func scratch(s *Store, id topics.SourceGroupID) (f facts.Group) {
	ctx := context.Background()
	g := must(get[SourceGroup](ctx, s.w, `SELECT * FROM source_groups WHERE id = $1`, id))
	since := must(get[int64](ctx, s.w, `SELECT measure_since FROM group_facts WHERE source_group = $1`, id))
	f = facts.Group{Group: id, Host: g.Host, Repository: g.Repository}
	list := must(all[Snapshot](ctx, s.w, `SELECT * FROM snapshots`))
	slices.SortFunc(list, func(a, b Snapshot) int { return cmp.Or(cmp.Compare(a.EndedAt, b.EndedAt), cmp.Compare(a.ID, b.ID)) })
	short := func(n Snapshot) facts.Snapshot {
		return facts.Snapshot{ID: n.ID, Job: n.Job, Begun: n.BegunAt, Ended: n.EndedAt, Files: n.Files, Bytes: n.Bytes, State: n.State}
	}
	var sizes []Snapshot
	var seconds []int64
	last10 := func(list []uint64) uint64 {
		list = slices.Clone(list[max(0, len(list)-10):])
		slices.Sort(list)
		if len(list) == 0 {
			return 0
		}
		return list[(len(list)-1)/2]
	}
	measure := func(of Snapshot) (files, bytes uint64) {
		var a, b []uint64
		for _, n := range sizes {
			if n.EndedAt < of.EndedAt || n.ID < of.ID { // the same one in another repository is no measure of itself
				a, b = append(a, n.Files), append(b, n.Bytes)
			}
		}
		return last10(a), last10(b)
	}
	for _, n := range list {
		if n.SourceGroup != id || n.Job == "" {
			continue
		}
		if n.Lost() && n.Repository == g.Repository {
			f.Lost++
			if n.AcknowledgedAt == 0 {
				f.LostUnacknowledged++
			}
		}
		if n.ReplacedBy != "" {
			continue
		}
		if n.GoneAt == 0 && n.Repository == g.Repository {
			f.Snapshots++
			f.Newest, f.Collapsed = short(n), n.Collapsed > 0
			if n.Files > 0 {
				f.Whole = short(n)
			}
			if n.State == topics.Succeeded && (n.Files > 0 || g.AllowEmpty) {
				f.Good = short(n)
			}
			f.MeasureFiles, f.MeasureBytes = measure(n)
		}
		if n.Collapsed == 0 && n.BegunAt >= since {
			sizes = append(sizes, n)
		}
		if n.BegunAt > 0 && n.EndedAt >= n.BegunAt {
			seconds = append(seconds, (n.EndedAt-n.BegunAt)/1000)
		}
	}
	var took []uint64
	for _, s := range seconds {
		took = append(took, uint64(s))
	}
	f.UsualSeconds = int64(last10(took))
	var first, latest int64
	for _, n := range list {
		if n.SourceGroup == id && n.Lost() && n.Repository == g.Repository {
			latest = max(latest, n.GoneAt)
			if n.AcknowledgedAt == 0 && (first == 0 || n.GoneAt < first) {
				first = n.GoneAt
			}
		}
	}
	f.LostAt = cmp.Or(first, latest)
	jobs := must(all[Job](ctx, s.w, `SELECT * FROM jobs WHERE source_group = $1 AND finished_at > 0 AND state <> 'cancelled'`, id))
	slices.SortFunc(jobs, func(a, b Job) int { return cmp.Or(cmp.Compare(a.FinishedAt, b.FinishedAt), cmp.Compare(a.ID, b.ID)) })
	for _, j := range jobs {
		f.Last = facts.Run{Job: j.ID, State: j.State, Cause: j.Cause, EndedAt: j.FinishedAt}
		switch {
		case j.State == topics.Succeeded || j.State == topics.Warnings:
			f.FailedSince = 0
		case f.FailedSince == 0:
			f.FailedSince = j.FinishedAt
		}
	}
	return f
}

// Whatever happens in whatever order, what is kept of a group is what its rows say.
func TestFactsAreWhatTheRowsSay(t *testing.T) {
	s := open(t)
	attic, cellar := enrolled(t, s, "attic"), enrolled(t, s, "cellar")
	rapid.Check(t, func(r *rapid.T) {
		p := &past{t: r, s: s, g: grouped(r, s, attic), now: 1_700_000_000_000}
		other := grouped(r, s, cellar)
		home := p.g.Repository
		some := rapid.SliceOfNDistinct(rapid.IntRange(1, 8), 0, 8, rapid.ID[int])
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			switch step := rapid.SampledFrom([]string{"backup", "backup", "late backup", "failure", "list", "list", "forget", "acknowledge",
				"change", "move", "accept", "remove"}).Draw(r, "step"); step {
			case "backup", "late backup":
				state := rapid.SampledFrom([]topics.JobState{topics.Succeeded, topics.Succeeded, topics.Warnings}).Draw(r, "state")
				files := rapid.SampledFrom([]uint64{0, 1, 49, 50, 100, 5000}).Draw(r, "files")
				was := p.now
				if step == "late backup" {
					p.now -= int64(rapid.IntRange(0, 9).Draw(r, "earlier")) * 1000
				}
				n := rapid.IntRange(1, 8).Draw(r, "made")
				p.backup(state, n, files, files*rapid.Uint64Range(0, 3).Draw(r, "size"))
				p.now = max(was, p.now)
			case "failure":
				p.backup(rapid.SampledFrom([]topics.JobState{topics.Failed, topics.Interrupted, topics.Abandoned,
					topics.Cancelled}).Draw(r, "state"), 0, 0, 0)
			case "list":
				var listed []topics.Snapshot
				for _, n := range some.Draw(r, "listed") {
					x := of(p.g, n)[0]
					switch rapid.IntRange(0, 5).Draw(r, "kind") {
					case 0:
						x = snaps(n)[0]
					case 1:
						x = remade(x, rapid.IntRange(1, 8).Draw(r, "of"))
					case 2:
						x = of(other, n)[0]
					}
					listed = append(listed, x)
				}
				p.list(listed...)
			case "forget":
				ns := some.Draw(r, "asked")
				if len(ns) > 0 {
					p.forget(rapid.SampledFrom([]topics.JobState{topics.Succeeded, topics.Failed, topics.Abandoned}).Draw(r, "state"),
						wholeIDs(ns...), wholeIDs(ns[:len(ns)/2]...))
				}
			case "acknowledge":
				p.tick()
				must(s.AcknowledgeMissing(context.Background(), "anna", p.g.Repository, wholeIDs(some.Draw(r, "known")...)))
			case "change":
				p.tick()
				p.g.Excludes = List{rapid.SampledFrom([]string{"*.iso", "*.tmp"}).Draw(r, "excludes")}
				p.g.AllowEmpty = rapid.Bool().Draw(r, "may be empty")
				p.g = must(s.PutSourceGroup(context.Background(), "test", p.g))
			case "move":
				p.tick()
				p.g.Repository = rapid.SampledFrom([]topics.RepositoryID{home, other.Repository}).Draw(r, "repository")
				p.g = must(s.PutSourceGroup(context.Background(), "test", p.g))
			case "accept":
				must(s.AcceptSize(context.Background(), "anna", p.g.ID, ""))
			case "remove":
				p.tick()
				must(s.RemoveSourceGroup(context.Background(), "anna", p.g.ID, "keep"))
				if n := len(must(s.Facts(context.Background(), attic.ID))); slices.ContainsFunc(must(s.Facts(context.Background(), attic.ID)),
					func(f facts.Group) bool { return f.Group == p.g.ID }) {
					r.Fatalf("a removed group is among %d that have facts", n)
				}
				must(s.Restore(context.Background(), "anna", "group", string(p.g.ID), ""))
			}
			for _, id := range []topics.SourceGroupID{p.g.ID, other.ID} {
				var kept facts.Group
				for _, f := range must(s.Facts(context.Background())) {
					if f.Group == id {
						kept = f
					}
				}
				if want := scratch(s, id); kept != want {
					r.Fatalf("kept is\n%+v, the rows say\n%+v", kept, want)
				}
			}
		}
		if n := must(get[int](context.Background(), s.w, `SELECT count(*) FROM group_facts_due`)); n != 0 {
			r.Fatalf("the facts of %d groups are out of date", n)
		}
	})
}
