package public

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/topics"
)

// What was published is remembered for what is there, and not for all that ever was:
// ended jobs, removed repositories, a host that goes while its job runs.
func TestNothingIsRememberedOfWhatIsGone(t *testing.T) {
	s, _, host := attic(t)
	e := &ear{}
	p := New(Config{Store: s, Presence: hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil), Hub: jobs.NewHub(), Box: e.box(t, s),
		Log: slog.New(slog.DiscardHandler), Timing: Timing{}, Now: time.Now})
	number := uint64(0)
	event := func(of topics.Event) {
		t.Helper()
		number++
		if err := s.Steps(t.Context(), func(tx protocol.PlaneTx) error {
			_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.Arrived{Host: host, Now: 100,
				Events: topics.Events{Epoch: 1, First: number, Events: []topics.Event{of}}})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	event(topics.Event{Hello: &topics.Hello{Session: topics.Session{Epoch: 1, N: 1}, Facts: topics.Facts{Hostname: "attic"}}})
	begin := func(n int) topics.JobID {
		t.Helper()
		repo := topics.RepositoryID(fmt.Sprintf("vault-%04d", n))
		row := store.Repository{ID: repo, Name: fmt.Sprint("vault ", n)}
		if err := s.AddRepository(t.Context(), "test", row, store.RepositoryAccess{}); err != nil {
			t.Fatal(err)
		}
		j, _, err := s.Ask(t.Context(), "test", store.Job{ID: topics.JobID(fmt.Sprintf("job-%06d", n)), Host: host, Kind: topics.CheckJob,
			Repository: repo, NotAfter: 1 << 50})
		if err == nil {
			err = s.Steps(t.Context(), func(tx protocol.PlaneTx) error {
				_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.Tick{Now: 50, Online: func(topics.HostID) bool { return true }})
				return err
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		event(topics.Event{Started: &topics.Started{Job: j.ID}})
		p.everything(t.Context())
		return j.ID
	}
	most := 0
	for n := range 20 {
		id := begin(n)
		most = max(most, len(p.said))
		await(t, "the job to go by", func() bool { return len(e.about("job/"+string(id))) > 0 })
		event(topics.Event{Finished: &topics.Finished{Job: id, State: topics.Succeeded}})
		if err := s.RemoveRepository(t.Context(), "test", topics.RepositoryID(fmt.Sprintf("vault-%04d", n)), true); err != nil {
			t.Fatal(err)
		}
		p.everything(t.Context())
	}
	if most != 1 || len(p.said)+len(p.open)+len(p.repositories) > 0 {
		t.Errorf("%d jobs are remembered at a time, and in the end %v, %v, %v", most, p.said, p.open, p.repositories)
	}
	begin(20)
	if err := s.RemoveHost(t.Context(), "test", host, removal.Keep); err != nil {
		t.Fatal(err)
	}
	p.everything(t.Context())
	if len(p.said)+len(p.open)+len(p.at)+len(p.seen)+len(p.next)+len(p.up) > 0 {
		t.Errorf("of a host that is gone is remembered %v, %v, %v", p.said, p.open, p.seen)
	}
}
