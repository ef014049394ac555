package heartbeat

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/heartbeats"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/topics"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// host adds a host with source groups in a repository of its own.
func (w *world) host(t *testing.T, name string, groups ...string) (topics.HostID, []store.SourceGroup) {
	t.Helper()
	ctx, id := t.Context(), topics.NewID(time.Now())
	hash := sha256.Sum256([]byte(id))
	if err := w.Store.AddEnrollToken(ctx, store.EnrollToken{ID: id, KeyHash: hash[:], Name: name, CreatedBy: "test",
		ExpiresAt: w.Store.Now() + 60_000}); err != nil {
		t.Fatal(err)
	}
	h := must(w.Store.Enroll(ctx, hash[:], store.Host{ID: topics.HostID(id), SealKey: []byte("k"), Serial: "1"})).ID
	if err := w.Store.AddRepository(ctx, "test", store.Repository{ID: topics.RepositoryID(id), Name: name},
		store.RepositoryAccess{URL: "/srv/vault", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	rows := []store.SourceGroup{}
	for _, name := range groups {
		rows = append(rows, must(w.Store.PutSourceGroup(ctx, "test", store.SourceGroup{ID: topics.SourceGroupID(topics.NewID(time.Now())),
			Host: h, Name: name, Repository: topics.RepositoryID(id), Paths: store.List{"/" + name}})))
	}
	return h, rows
}

// backup runs one of a source group, and returns its job.
func (w *world) backup(t *testing.T, g store.SourceGroup, state topics.JobState, cause topics.Cause) string {
	t.Helper()
	ctx := t.Context()
	j, _, err := w.Store.Ask(ctx, "anna", store.Job{ID: topics.JobID(topics.NewID(time.Now())), Host: g.Host, Kind: topics.BackupJob,
		SourceGroup: g.ID, Repository: g.Repository, QueuedAt: w.Store.Now(), NotAfter: w.Store.Now() + 3_600_000})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Store.Steps(ctx, func(tx protocol.PlaneTx) error {
		p, _, err := tx.Job(j.ID)
		for _, next := range []topics.JobState{topics.Dispatched, topics.Running} {
			if p.State = next; err == nil {
				err = tx.PutJob(p)
			}
		}
		if err == nil {
			err = tx.Started(p, topics.Started{}, w.Store.Now())
		}
		if p.State = state; err == nil {
			err = tx.PutJob(p)
		}
		f := topics.Finished{Job: j.ID, State: state, Cause: cause}
		if err == nil {
			err = tx.Finished(p, f, w.Store.Now())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return string(j.ID)
}

func (w *world) step(t *testing.T) time.Time {
	t.Helper()
	w.at = time.Now()
	next, err := w.Step(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if next == 0 {
		return time.Time{}
	}
	return time.UnixMilli(next)
}

func (w *world) told(t *testing.T, p Ping) {
	t.Helper()
	if err := w.SetPing(t.Context(), "anna", p); err != nil {
		t.Fatal(err)
	}
}

func TestGoodBackupsOfAHostAreToldElsewhere(t *testing.T) {
	w, l := serve(t), listen(t)
	attic, groups := w.host(t, "attic", "home", "mail")
	_, others := w.host(t, "barn", "home")
	w.told(t, Ping{Scope: heartbeats.OfHost, Subject: string(attic), URL: l.URL + "/ping/uuid"})
	home, mail := groups[0], groups[1]

	w.backup(t, others[0], topics.Failed, topics.CausePassword)
	w.step(t)
	expect(t, "another host", l.took())

	job := w.backup(t, home, topics.Succeeded, "")
	w.step(t)
	expect(t, "a good backup", l.took(), "/ping/uuid/start: Backup began, job "+job, "/ping/uuid: Backup done, job "+job)

	job = w.backup(t, home, topics.Warnings, topics.CauseUnreadable)
	w.step(t)
	expect(t, "one with warnings", l.took(), "/ping/uuid/start: Backup began, job "+job, "/ping/uuid: Backup done, job "+job)

	job = w.backup(t, home, topics.Warnings, topics.CauseEmptySource)
	w.step(t)
	expect(t, "one of nothing", l.took(), "/ping/uuid/start: Backup began, job "+job, "/ping/uuid/fail: Backup failed, job "+job)

	job = w.backup(t, mail, topics.Succeeded, "")
	w.step(t)
	expect(t, "a good one of another group while this one's last was bad", l.took(), "/ping/uuid/start: Backup began, job "+job)

	job = w.backup(t, home, topics.Cancelled, topics.CauseCancelled)
	w.step(t)
	expect(t, "a cancelled one", l.took(), "/ping/uuid/start: Backup began, job "+job)

	job = w.backup(t, home, topics.Succeeded, "")
	w.step(t)
	expect(t, "all is well again", l.took(), "/ping/uuid/start: Backup began, job "+job, "/ping/uuid: Backup done, job "+job)
}

func TestABackupThatIsTriedAgainHasNotFailedYet(t *testing.T) {
	w, l := serve(t), listen(t)
	ctx := t.Context()
	attic, groups := w.host(t, "attic", "home")
	sc, err := w.Store.PutSchedule(ctx, "anna", attic, "nightly", store.ScheduleID(topics.NewID(time.Now())), func(sc *store.Schedule) error {
		sc.Cron, sc.Zone, sc.Enabled, sc.RetryMax, sc.Groups = "0 0 * * *", "UTC", true, 3, []topics.SourceGroupID{groups[0].ID}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.told(t, Ping{Scope: heartbeats.OfSchedule, Subject: string(sc.ID), URL: l.URL + "/api/push/tok"})
	pend := func(there bool) {
		t.Helper()
		if err := w.Store.SlotStep(ctx, func(tx store.Slots) error {
			if !there {
				return tx.RemovePending(sc.ID)
			}
			at := w.Store.Now() + 60_000
			return tx.PutPending(store.PendingRun{Schedule: sc.ID, Host: attic, Slot: at, NextAttemptAt: at, Reason: "unreachable"})
		}); err != nil {
			t.Fatal(err)
		}
	}
	pend(true)
	w.backup(t, groups[0], topics.Failed, topics.CauseUnreachable)
	w.step(t)
	expect(t, "it is tried again", l.took())
	pend(false)
	job := w.backup(t, groups[0], topics.Failed, topics.CauseUnreachable)
	w.step(t)
	expect(t, "it was the last try", l.took(), "/api/push/tok?msg=Backup+failed%2C+job+"+job+"&ping=&status=down")
}

func TestWhatWasNotHeardIsSaidAgainAndInOrder(t *testing.T) {
	w, l := serve(t), listen(t)
	_, groups := w.host(t, "attic", "home")
	must(w.Store.PutHostSettings(t.Context(), "anna", groups[0].Host, removal.HostSettings{Tags: &[]string{"servers"}}))
	w.told(t, Ping{Scope: heartbeats.OfTag, Subject: "servers", URL: l.URL + "/beat"})
	l.answers(status(http.StatusBadGateway, ""))
	w.backup(t, groups[0], topics.Succeeded, "")
	w.backup(t, groups[0], topics.Succeeded, "")
	next := w.step(t)
	expect(t, "nobody is there", l.took(), "/beat") // the second waits for the first
	if p := must(w.Pings(t.Context())); len(p) != 1 || p[0].Waiting < 2 || p[0].Status.Failures != 1 ||
		p[0].Status.Answer != "502 Bad Gateway" {
		t.Errorf("the page shows %+v", p)
	}
	if next.Before(w.at.Add(first-time.Second)) || next.After(w.at.Add(first+time.Second)) {
		t.Errorf("tried again at %v, now is %v", next, w.at)
	}
	l.answers(nil)

	again := &world{Service: &Service{Store: w.Store, Log: w.Log}, at: next} // after a restart
	again.Now = func() time.Time { return again.at }
	must(again.Step(t.Context()))
	expect(t, "somebody is there again", l.took(), "/beat", "/beat")
	if p := must(w.Pings(t.Context())); len(p) != 1 || p[0].Waiting != 0 || p[0].Status.FailingSince != 0 {
		t.Errorf("the page shows %+v", p)
	}
	again.at = again.at.Add(life + time.Hour)
	must(again.Step(t.Context()))
	expect(t, "all was said", l.took())

	w.backup(t, groups[0], topics.Succeeded, "")
	must(again.Step(t.Context()))
	expect(t, "a day later it is no news", l.took())
}

func TestAnAddressOfBackupsIsOfSomething(t *testing.T) {
	w := serve(t)
	for _, bad := range []struct {
		Ping
		field string
	}{
		{Ping{Scope: heartbeats.OfPlane, URL: "https://x/"}, "scope"},
		{Ping{Scope: heartbeats.OfHost, URL: "https://x/"}, "subject"},
		{Ping{Scope: heartbeats.OfTag, Subject: "a\nb", URL: "https://x/"}, "subject"},
		{Ping{Scope: heartbeats.OfTag, Subject: "servers", URL: "x"}, "url"},
	} {
		var wrong field.Errors
		if err := w.SetPing(t.Context(), "anna", bad.Ping); !errors.As(err, &wrong) || wrong[bad.field] == "" {
			t.Errorf("%+v: %v, want something about %s", bad.Ping, err, bad.field)
		}
	}
	for _, scope := range []heartbeats.Scope{heartbeats.OfHost, heartbeats.OfSchedule} {
		if err := w.SetPing(t.Context(), "anna", Ping{Scope: scope, Subject: "nobody", URL: "https://x/"}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("of no %s: %v", scope, err)
		}
	}
	p := Ping{Scope: heartbeats.OfTag, Subject: "servers", URL: "https://x/"}
	w.told(t, p)
	if err := w.SetPing(t.Context(), "anna", p); !errors.Is(err, heartbeats.ErrMoved) {
		t.Errorf("who did not see that there is one: %v", err)
	}
	p.URL, p.Version = "", 1
	w.told(t, p)
	if list := must(w.Pings(t.Context())); len(list) != 0 {
		t.Errorf("after its end there is %+v", list)
	}
}
