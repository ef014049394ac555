package store

import (
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// TestAHostRecoversNoJobThatItNeverHad: after a restore from a copy hosts tell of jobs that
// the copy does not have. A prune that somebody with a host's keys makes up would hold up
// every job of a repository, for it runs alone there.
func TestAHostRecoversNoJobThatItNeverHad(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), t.Context()
	j := dispatched(t, s)
	write := func(query string, args ...any) {
		t.Helper()
		if _, err := s.w.ExecContext(ctx, query, args...); err != nil {
			t.Fatal(err)
		}
	}
	write(`INSERT INTO repositories (id, name, location, url, password, env, created_at)
		VALUES ('other-0001', 'other', '/srv/other', x'00', x'00', x'00', 1)`)
	write(`UPDATE repositories SET keeper = 'somebody' WHERE id = $1`, j.Repository)
	for _, c := range []struct {
		what  string
		a     topics.Accepted
		known bool
	}{
		{"a prune at another's", topics.Accepted{Job: "recover-01", Kind: topics.PruneJob, Repository: "other-0001"}, false},
		{"a listing at another's", topics.Accepted{Job: "recover-02", Kind: topics.SnapshotsJob, Repository: "other-0001"}, false},
		{"a prune that is the keeper's", topics.Accepted{Job: "recover-03", Kind: topics.PruneJob, Repository: j.Repository}, false},
		{"no kind", topics.Accepted{Job: "recover-04", Kind: "evil", Repository: j.Repository}, false},
		{"a listing", topics.Accepted{Job: "recover-05", Kind: topics.SnapshotsJob, Repository: j.Repository}, true},
	} {
		err := s.tx(ctx, func(tx *sqlx.Tx) error {
			if _, known, err := newJournal(ctx, s, tx).Recovered(j.Host, c.a, s.Now()); err != nil || known != c.known {
				t.Errorf("%s: %t, %v", c.what, known, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
