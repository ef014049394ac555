package store

import (
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// TestTheDispatcherKnowsWhoseLocksAnUnlockRemoves: what removes those of the living waits for
// whoever has to be alone, what removes those of the dead does not.
func TestTheDispatcherKnowsWhoseLocksAnUnlockRemoves(t *testing.T) {
	b := theBefore(t)
	for _, c := range []struct {
		kind topics.JobKind
		o    topics.Operation
		all  bool
	}{
		{topics.UnlockJob, topics.Operation{}, false},
		{topics.UnlockJob, topics.Operation{All: true}, true},
		{topics.LocksJob, topics.Operation{}, false},
	} {
		j := Job{ID: topics.JobID(topics.NewID(time.Now())), Host: b.attic.ID, Kind: c.kind, Repository: b.g.Repository, NotAfter: 1 << 50,
			Operation: JSON[topics.Operation]{V: &c.o}}
		asked, _, err := b.s.Ask(t.Context(), "anna", j)
		if err != nil {
			t.Fatal(err)
		}
		err = b.s.tx(t.Context(), func(tx *sqlx.Tx) error {
			p, known, err := newJournal(t.Context(), b.s, tx).Job(asked.ID)
			if err != nil || !known || p.All != c.all {
				t.Errorf("%s %+v: %+v, %t, %v", c.kind, c.o, p, known, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.s.w.ExecContext(t.Context(), `UPDATE jobs SET state = 'failed', finished_at = 1 WHERE id = $1`, asked.ID); err != nil {
			t.Fatal(err)
		}
	}
}
