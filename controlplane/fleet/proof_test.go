package fleet

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

// What a drill came to is seen at once, also if another process noted it, and only of the
// repository that a group is backed up to now.
func TestTheFleetKnowsWhatDrillsProved(t *testing.T) {
	w := newWorld(t)
	host, other := w.enroll(w.here), w.enroll(w.here)
	w.group(w.here, host)
	w.group(w.here, other)
	g := must(w.here.SourceGroups(t.Context(), host))[0]
	b := w.board()
	since := w.now.UnixMilli()
	note := func(repository topics.RepositoryID, job topics.JobID, failed uint64, at int64) {
		t.Helper()
		state := topics.Succeeded
		if failed > 0 {
			state = topics.Failed
		}
		check(w.there.SlotStep(t.Context(), func(tx store.Slots) error {
			ctx, x := tx.Tx()
			return drills.Note(ctx, x, host, repository, job, state, "it differs", &topics.Drilled{Complete: true,
				Snapshots: []topics.DrilledSnapshot{{Group: g.ID, Snapshot: "aa", Files: 1 + failed, Proven: 1, Failed: failed}}}, since+at)
		}))
	}
	expect := func(what string, word drills.Word, at int64, proven, disproved int) {
		t.Helper()
		m := must(b.Now(t.Context()))
		if at > 0 {
			at += since
		}
		if p := m.Host(host).Proof; p.Word != word || p.At != at || m.Proven != proven || m.Disproved != disproved {
			t.Errorf("%s: %+v, and %d proven, %d disproved", what, p, m.Proven, m.Disproved)
		}
		if got := m.Count(Filter{Proof: word}); got != 1+map[drills.Word]int{drills.Unproven: 1}[word] {
			t.Errorf("%s: the filter finds %d", what, got)
		}
		if is := m.Host(other).Proof.Word; is != drills.Unproven {
			t.Errorf("%s: the other host is %s", what, is)
		}
	}
	expect("no drill yet", drills.Unproven, 0, 0, 0)
	note("elsewhere-0001", "d0", 0, 50)
	expect("of the repository before", drills.Unproven, 0, 0, 0)
	note(g.Repository, "d1", 0, 100)
	expect("proven", drills.Proven, 100, 1, 0)
	note(g.Repository, "d2", 1, 200)
	expect("the next one failed", drills.Disproved, 100, 0, 1)
	note(g.Repository, "d3", 0, 300)
	expect("proven again", drills.Proven, 300, 1, 0)
	w.now = time.UnixMilli(since).Add(drills.MaxAge - time.Minute)
	expect("a minute before it is too old", drills.Proven, 300, 1, 0)
	w.now = w.now.Add(2 * time.Minute)
	expect("a minute after", drills.Unproven, 300, 0, 0)
}
