package jobs

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	columns "github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
)

// What cannot be read of one repository ends its own jobs, which say so, and leaves it out
// of its host's config; the host's other repositories go on. Entering it again mends it.
func TestSecretsThatCannotBeReadEndJobsOfTheirRepositoryAlone(t *testing.T) {
	for _, part := range columns.Parts {
		t.Run(part.Column, func(t *testing.T) {
			w := newWorld(t)
			w.strangers()
			ctx := t.Context()
			w.schedule(func(sc *store.Schedule) { sc.Groups = append(sc.Groups, "group-0004") })
			access := must(w.store.RepositoryAccess(ctx, "vault-0001"))
			access.Maintenance = &store.Maintenance{Env: map[string]topics.Secret{"RESTIC_REST_PASSWORD": "keeps"}}
			if err := w.store.ChangeRepository(ctx, "test", store.Repository{ID: "vault-0001", Name: "vault", Keeper: w.host.ID},
				access); err != nil {
				t.Fatal(err)
			}
			w.exec(`UPDATE repositories SET ` + part.Column + ` = X'00' WHERE id = 'vault-0001'`)
			everyday := part.Column != "maintenance"
			groups := map[bool]int{true: 1, false: 2}[everyday]
			admin := Actor{"anna", store.Admin}
			ask := func(r Request) topics.JobID {
				t.Helper()
				r.Host = w.host.ID
				j, _, err := w.engine.Start(ctx, admin, r)
				if err != nil {
					t.Fatal(r, err)
				}
				return j.ID
			}
			prune := ask(Request{Kind: topics.PruneJob, Repository: "vault-0001"})
			backup := ask(Request{Kind: topics.BackupJob, SourceGroup: w.group.Name})
			other := ask(Request{Kind: topics.SnapshotsJob, Repository: "each-0001"})
			w.connect()
			fails := func(id topics.JobID) {
				t.Helper()
				w.await("the end of "+string(id), func() bool {
					j := must(w.store.Job(ctx, id))
					return j.State == topics.Failed && j.Cause == topics.CauseSecrets &&
						strings.Contains(j.Message, part.Words+" of the repository vault cannot be read")
				})
			}
			sent := func(id topics.JobID) {
				t.Helper()
				w.await("the command of "+string(id), func() bool {
					w.mu.Lock()
					defer w.mu.Unlock()
					for _, s := range w.sent {
						if s.topic.Job == id {
							return true
						}
					}
					return false
				})
			}
			fails(prune)
			goes := func(id topics.JobID) {
				t.Helper()
				if _, err := w.engine.run(ctx, id); err != nil {
					t.Error(err)
				}
				if err := w.engine.unread(ctx); err != nil || must(w.store.Job(ctx, id)).State.Ended() {
					t.Errorf("job %s does not go: %v", id, err)
				}
			}
			if everyday {
				fails(backup)
				sent(other)
			} else {
				goes(backup)
				goes(other)
			}
			w.config(func(c topics.Config) bool { return len(c.Groups) == groups && len(c.Repositories) == groups })

			if _, err := w.store.EditRepository(ctx, "anna", "vault-0001", func(_ *store.Repository, a *store.RepositoryAccess) error {
				*a = access
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			w.config(func(c topics.Config) bool { return len(c.Groups) == 2 && len(c.Repositories) == 2 })
			if everyday {
				goes(ask(Request{Kind: topics.BackupJob, SourceGroup: w.group.Name}))
			}
		})
	}
}
