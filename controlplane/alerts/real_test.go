package alerts

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/gather"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// whole is a desk that judges by the facts in its database.
func whole(t *testing.T, s *store.Store, now time.Time) *desk {
	t.Helper()
	d := deskOn(t, s, now)
	presence := hosts.NewPresence(hosts.DefaultTiming(), d.Now, must(s.Hosts(t.Context())))
	r := &gather.Reader{Store: s, Fleet: fleet.NewBoard(s, presence, d.Now), Presence: presence, Notices: &notices.List{}, Now: d.Now}
	d.Facts, d.Ended, d.Judge = r.Facts, r.Ended, nil
	s.OnJudge(d.JobEnded)
	return d
}

// open lists what is not over, as "condition of name".
func (d *desk) open() (list []string) {
	d.t.Helper()
	for _, a := range must(d.Live(d.t.Context())) {
		list = append(list, a.Condition+" of "+a.Body.V.Name)
	}
	return list
}

// enrolled is a host that has not connected yet.
func enrolled(t *testing.T, s *store.Store, name string) topics.HostID {
	t.Helper()
	id := topics.NewID(time.Now())
	hash := sha256.Sum256([]byte(id))
	if err := s.AddEnrollToken(t.Context(), store.EnrollToken{ID: id, KeyHash: hash[:], Name: name, CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000}); err != nil {
		t.Fatal(err)
	}
	return must(s.Enroll(t.Context(), hash[:], store.Host{ID: topics.HostID(id), SealKey: []byte("k"), Serial: "1", Hostname: name})).ID
}

// host is one whose agent has connected once.
func host(t *testing.T, s *store.Store, name string) topics.HostID {
	t.Helper()
	h := enrolled(t, s, name)
	if err := s.Steps(t.Context(), func(tx protocol.PlaneTx) error {
		return tx.Greeted(h, topics.Hello{Facts: topics.Facts{Hostname: name, Agent: "1.0.0"}, Configured: &topics.Configured{Revision: 1}},
			s.Now())
	}); err != nil {
		t.Fatal(err)
	}
	return h
}

func group(t *testing.T, s *store.Store, h topics.HostID, name string) store.SourceGroup {
	t.Helper()
	id := topics.NewID(time.Now())
	if err := s.AddRepository(t.Context(), "test", store.Repository{ID: topics.RepositoryID(id), Name: "vault of " + name, CreatedAt: s.Now()},
		store.RepositoryAccess{URL: "/srv/vault", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	return must(s.PutSourceGroup(t.Context(), "test", store.SourceGroup{ID: topics.SourceGroupID(id), Host: h, Name: name,
		Repository: topics.RepositoryID(id), Paths: store.List{"/x"}}))
}

// backup has a backup of a group end now.
func (d *desk) backup(g store.SourceGroup, state topics.JobState, cause topics.Cause) topics.JobID {
	d.t.Helper()
	id := topics.JobID(topics.NewID(time.Now()))
	j, _, err := d.Store.Ask(d.t.Context(), "anna", store.Job{ID: id, Host: g.Host, Kind: topics.BackupJob, SourceGroup: g.ID,
		Repository: g.Repository, NotAfter: 1 << 50})
	if err != nil {
		d.t.Fatal(err)
	}
	f := topics.Finished{Job: j.ID, State: state, Cause: cause, Message: "as the test wants"}
	if state == topics.Succeeded {
		f.Summary = &topics.Summary{TotalFiles: 10, TotalBytes: 1000, FilesNew: 10, DataAdded: 1000}
		sum := fmt.Sprintf("%x", sha256.Sum256([]byte(id)))
		f.Snapshot = &topics.Snapshot{ID: sum, Time: d.Now().UnixMilli(), Host: "attic", Paths: []string{"/x"}}
	}
	if err := d.Store.Steps(context.Background(), func(tx protocol.PlaneTx) error {
		p := protocol.PlaneJob{ID: j.ID, Host: j.Host, State: topics.Dispatched}
		if err := tx.PutJob(p); err != nil {
			return err
		}
		p.State = state
		if err := tx.PutJob(p); err != nil {
			return err
		}
		return tx.Finished(p, f, d.Now().UnixMilli())
	}); err != nil {
		d.t.Fatal(err)
	}
	return id
}

func TestAFreshServerHasNoOpenAlert(t *testing.T) {
	s := storetest.Open(t, store.Open)
	d := whole(t, s, time.Now())
	for range 3 {
		d.after(time.Minute)
	}
	group(t, s, enrolled(t, s, "attic"), "letters")
	group(t, s, host(t, s, "barn"), "hay")
	host(t, s, "cellar")
	for range 10 {
		d.after(time.Minute)
	}
	d.told()
	if list := d.open(); len(list) > 0 {
		t.Errorf("open are %q", list)
	}
}

func TestABackupThatFailsIsToldWithItsEndAndTakenBack(t *testing.T) {
	s := storetest.Open(t, store.Open)
	h := host(t, s, "attic")
	letters := group(t, s, h, "letters")
	d := whole(t, s, time.Now())
	d.backup(letters, topics.Succeeded, "")
	d.after(time.Second)
	d.told()
	job := d.backup(letters, topics.Failed, topics.CauseHook)
	d.told("opened " + string(letters.ID)) // no sweep has come
	if a := must(d.Live(t.Context()))[0]; a.Job != job || a.Host != h || a.Repository != letters.Repository ||
		a.Condition != string(conditions.BackupFailed) || a.Severity != alerts.Critical {
		t.Errorf("it is %+v %+v", a, a.Body.V)
	}
	mark := must(d.rows().Mark(t.Context()))
	for range 3 {
		d.after(time.Minute)
	}
	d.told()
	if now := must(d.rows().Mark(t.Context())); now != mark {
		t.Errorf("sweeps write %d changes of what the end of the job has said", now-mark)
	}
	d.backup(letters, topics.Succeeded, "")
	d.told("recovered " + string(letters.ID))
	d.after(time.Minute)
	d.told()
}

func TestWhatFailedBeforeAnUpgradeIsToldOnce(t *testing.T) {
	s := storetest.Open(t, store.Open)
	letters := group(t, s, host(t, s, "attic"), "letters")
	before := whole(t, s, time.Now())
	s.OnJudge(nil) // as a release before there were alerts
	before.backup(letters, topics.Succeeded, "")
	before.backup(letters, topics.Failed, topics.CauseHook)
	d := whole(t, s, time.Now().Add(time.Minute))
	d.after(0)
	d.told("opened " + string(letters.ID))
	d.after(time.Minute)
	d.told()
	again := whole(t, s, d.Now())
	again.after(time.Minute)
	again.told()
	again.backup(letters, topics.Succeeded, "")
	again.told("recovered " + string(letters.ID))
}

func TestDatabasesOfReleasesAreToldOnce(t *testing.T) {
	some := 0
	for _, name := range storetest.Releases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			storetest.Release(t, name, dir)
			s, err := store.OpenWith(t.Context(), dir, store.Options{Upgrade: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			d := whole(t, s, time.Now())
			d.after(0)
			first := d.open()
			if len(first) != len(d.said) {
				t.Errorf("open are %q, and it told %q", first, d.said)
			}
			some += len(first)
			d.said = nil
			d.after(time.Minute)
			again := whole(t, s, d.Now())
			again.after(time.Minute)
			d.told()
			again.told()
		})
	}
	if some == 0 {
		t.Error("nothing was wrong in any of them")
	}
}

func TestAlertsOfWhatIsRemovedAreOver(t *testing.T) {
	s, ctx := storetest.Open(t, store.Open), t.Context()
	h, other := host(t, s, "attic"), host(t, s, "barn")
	letters, photos, hay := group(t, s, h, "letters"), group(t, s, h, "photos"), group(t, s, other, "hay")
	d := whole(t, s, time.Now())
	for _, g := range []store.SourceGroup{letters, photos, hay} {
		d.backup(g, topics.Failed, topics.CauseHook)
	}
	d.said = nil
	if _, err := s.RemoveSourceGroup(ctx, "anna", photos.ID, removal.Keep); err != nil {
		t.Fatal(err)
	}
	d.after(time.Second)
	d.told("recovered " + string(photos.ID))
	if err := s.RemoveHost(ctx, "anna", h, removal.Keep); err != nil {
		t.Fatal(err)
	}
	d.after(time.Second)
	d.told("recovered " + string(letters.ID))
	for _, a := range must(d.List(ctx, Filter{State: alerts.Ended})).Alerts {
		if !strings.HasSuffix(a.EndedWhy, "was removed.") || a.EndedBy != alerts.Plane {
			t.Errorf("it ended as %+v", a)
		}
	}
	if list := d.open(); len(list) != 1 {
		t.Errorf("open are %q", list)
	}
}
