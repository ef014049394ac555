package store

import (
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// TestWhatACopyTakesIsGivenWithIt: the repository that it goes to is made first, by a job of
// its own. A host that was given both for the copy alone gets that job, too.
func TestWhatACopyTakesIsGivenWithIt(t *testing.T) {
	s, ctx := open(t), t.Context()
	g := grouped(t, s, enrolled(t, s, "attic"))
	second := topics.RepositoryID("mirror-0001")
	if err := s.AddRepository(ctx, "test", Repository{ID: second, Name: "mirror", Location: "rest:https://mirror/"},
		RepositoryAccess{URL: "rest:https://mirror/", Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	for _, by := range []string{"anna", ""} {
		ask := Job{ID: topics.JobID(topics.NewID(time.Now())), Host: g.Host, Kind: topics.CopyJob, Repository: g.Repository, Other: second,
			NotAfter: 1 << 50, GivenBy: by, Operation: JSON[topics.Operation]{V: &topics.Operation{To: string(second)}}}
		asked, _, err := s.Ask(ctx, "anna", ask)
		if err != nil {
			t.Fatal(err)
		}
		var init topics.JobID
		err = s.tx(ctx, func(tx *sqlx.Tx) error {
			j := newJournal(ctx, s, tx)
			p, _, err := j.Job(asked.ID)
			if err != nil {
				return err
			}
			p.Repository, p.Other = p.Other, p.Repository // as the copy is in the repository that it goes to
			made, err := j.AddInit(p, s.Now())
			init = made.ID
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := must(s.Job(ctx, init)); got.GivenBy != by || must(s.Stray(ctx, init)) != (by == "") {
			t.Errorf("given by %q, its init job is %+v", by, got)
		}
		must(s.w.ExecContext(ctx, `UPDATE jobs SET state = 'failed', finished_at = 1`))
	}
}
