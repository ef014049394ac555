package store

import (
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

// drill ends a drill that this host says restored snapshot n of the group.
func (p *past) drill(host topics.HostID, n int, failed uint64) {
	p.t.Helper()
	state := topics.Succeeded
	if failed > 0 {
		state = topics.Failed
	}
	ran(p.t, p.s, Job{Host: host, Kind: topics.DrillJob, Repository: p.g.Repository}, p.tick(), topics.Finished{State: state,
		Result: &topics.Result{Drill: &topics.Drilled{Complete: true, Snapshots: []topics.DrilledSnapshot{
			{Group: p.g.ID, Snapshot: id64(n), Files: 1, Proven: 1, Failed: failed}}}}})
}

// What is proven is what the group backs up now, out of the repository that it backs up to.
// Each row has a neighbour that is judged otherwise.
func TestAProofStaysOnlyWhileItProvesTheGroup(t *testing.T) {
	paths := func(p *past, paths ...string) {
		p.tick()
		p.g.Paths = paths
		p.g = must(p.s.PutSourceGroup(t.Context(), "test", p.g))
	}
	const tried, proven, failed = drills.Unproven, drills.Proven, drills.Disproved
	for name, c := range map[string]struct {
		then func(p *past, other topics.HostID)
		want drills.Word
	}{
		"nothing":                  {func(*past, topics.HostID) {}, proven},
		"another path":             {func(p *past, _ topics.HostID) { paths(p, "/letters", "/music") }, tried},
		"a path below":             {func(p *past, _ topics.HostID) { paths(p, "/letters", "/letters/old") }, proven},
		"a path that begins alike": {func(p *past, _ topics.HostID) { paths(p, "/letters2") }, tried},
		"the same path once more":  {func(p *past, _ topics.HostID) { paths(p, "/letters") }, proven},
		"another path after one failed": {func(p *past, _ topics.HostID) {
			p.drill(p.g.Host, 2, 1)
			paths(p, "/", "/x")
		}, failed},
		"another path, an old snapshot":   {func(p *past, _ topics.HostID) { paths(p, "/"); p.drill(p.g.Host, 2, 0) }, tried},
		"another path, an old one failed": {func(p *past, _ topics.HostID) { paths(p, "/"); p.drill(p.g.Host, 2, 1) }, failed},
		"another path, a new snapshot": {func(p *past, _ topics.HostID) {
			paths(p, "/")
			p.backup(topics.Succeeded, 3, 5, 500)
			p.drill(p.g.Host, 3, 0)
		}, proven},
		"made anew": {func(p *past, _ topics.HostID) {
			p.backup(topics.Succeeded, 3, 5, 500)
			p.list(of(p.g, 3)...)
		}, tried},
		"one of two is lost": {func(p *past, _ topics.HostID) {
			p.backup(topics.Succeeded, 3, 5, 500)
			p.list(of(p.g, 2, 3)...)
		}, proven},
		"made anew, and the next failed":  {func(p *past, _ topics.HostID) { p.drill(p.g.Host, 2, 1); p.list() }, failed},
		"made anew while a drill was run": {func(p *past, _ topics.HostID) { p.list(); p.drill(p.g.Host, 2, 0) }, tried},
		"all forgotten by us": {func(p *past, _ topics.HostID) {
			p.backup(topics.Succeeded, 3, 5, 500)
			p.forget(topics.Succeeded, wholeIDs(1, 2), wholeIDs(1, 2))
			p.list(of(p.g, 3)...)
		}, proven},
		"another host says it failed": {func(p *past, other topics.HostID) { p.drill(other, 2, 1) }, proven},
	} {
		t.Run(name, func(t *testing.T) {
			p := began(t)
			other := enrolled(t, p.s, "other").ID
			p.backup(topics.Succeeded, 1, 5, 500)
			p.backup(topics.Succeeded, 2, 5, 500)
			p.drill(other, 2, 0)
			judge := func() drills.Word {
				t.Helper()
				verdicts := must(p.s.DrillVerdicts(t.Context(), p.g.Host))
				is := drills.Judge([]topics.SourceGroupID{p.g.ID}, verdicts, time.UnixMilli(p.now)).Word
				var seen []drills.Verdict
				if g := promised(t, p.s, p.g); g.Drill != nil {
					seen = append(seen, *g.Drill)
				}
				if !slices.Equal(seen, verdicts) {
					t.Errorf("the fleet sees %+v, and the host %+v", seen, verdicts)
				}
				return is
			}
			if is := judge(); is != drills.Unproven {
				t.Fatalf("what another host says of it makes it %s", is)
			}
			p.drill(p.g.Host, 2, 0)
			if is := judge(); is != drills.Proven {
				t.Fatalf("after a drill it is %s", is)
			}
			c.then(p, other)
			if is := judge(); is != c.want {
				t.Errorf("it is %s, want %s", is, c.want)
			}
		})
	}
}

// A drill takes the snapshot that was made last, whatever the host's clock said.
func TestADrillTakesTheNewestByOurClock(t *testing.T) {
	p := began(t)
	for _, n := range []int{9_000_000, 1, 2} { // the first by a clock that was far ahead
		p.backup(topics.Succeeded, n, 5, 500)
	}
	for seed := range int64(4) {
		d := must(p.s.DrillOf(t.Context(), Job{Host: p.g.Host, Repository: p.g.Repository,
			Operation: JSON[topics.Operation]{V: &topics.Operation{Drill: &topics.Drill{Seed: seed}}}}))
		if ids := d.Groups[0].Snapshots; len(ids) != 2 || ids[0] != id64(2) {
			t.Errorf("with seed %d it takes %v", seed, ids)
		}
	}
}
