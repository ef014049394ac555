package jobs

import (
	"fmt"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/pause"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func (w *world) schedule(change func(*store.Schedule)) store.Schedule {
	w.t.Helper()
	return must(w.store.PutSchedule(w.t.Context(), "test", w.host.ID, "nightly", "nightly-0001", func(sc *store.Schedule) error {
		if sc.Cron == "" {
			sc.Cron, sc.Zone, sc.Enabled, sc.RetryMax, sc.Groups = "30 2 * * *", "UTC", true, 3, []topics.SourceGroupID{w.group.ID}
		}
		change(sc)
		return nil
	}))
}

// config waits for one that fits, as the agent puts it together.
func (w *world) config(fits func(topics.Config) bool) (found topics.Config) {
	w.t.Helper()
	w.await("a config", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		var a topics.ConfigAssembly
		ok := false
		for _, s := range w.sent {
			if s.topic.Kind != topics.KindConfig {
				continue
			}
			if c, whole, err := a.Add(must(topics.Decode[topics.ConfigPart](s.plain))); err == nil && whole && fits(c) {
				found, ok = c, true
			}
		}
		return ok
	})
	return found
}

func (w *world) inForce(revision int64) {
	w.t.Helper()
	w.await("the config to be in force", func() bool {
		h := must(w.store.Host(w.t.Context(), w.host.ID))
		return h.ConfigApplied == revision && h.ConfigRevision == revision
	})
}

func TestAConfigIsSentUntilItIsInForceAndAgainWhenItChanges(t *testing.T) {
	w := newWorld(t)
	w.schedule(func(*store.Schedule) {})
	w.connect()
	first := w.config(func(c topics.Config) bool { return len(c.Schedules) == 1 })
	if s := first.Schedules[0]; s.Cron != "30 2 * * *" || len(s.Groups) != 1 || s.Groups[0].Group != w.group.ID || s.Groups[0].After == 0 ||
		len(first.Groups) != 1 || len(first.Repositories) != 1 || first.Repositories[0].Password.Reveal() != "correct horse" ||
		first.Repositories[0].Initialise {
		t.Errorf("the config is %+v", first)
	}
	n := w.count(topics.KindConfig)
	w.await("the config again, as long as nobody answers", func() bool { return w.count(topics.KindConfig) > n })
	w.step(protocol.Configured{Config: first, At: time.Now().UnixMilli()})
	w.inForce(first.Revision)

	w.schedule(func(sc *store.Schedule) { sc.Cron = "0 4 * * *" })
	second := w.config(func(c topics.Config) bool { return len(c.Schedules) == 1 && c.Schedules[0].Cron == "0 4 * * *" })
	if second.Revision <= first.Revision {
		t.Errorf("revision %d after %d", second.Revision, first.Revision)
	}
	w.step(protocol.Configured{Config: second, Error: "schedule nightly: no such zone", At: time.Now().UnixMilli()})
	w.inForce(second.Revision)
	if h := must(w.store.Host(t.Context(), w.host.ID)); h.ConfigError != "schedule nightly: no such zone" {
		t.Errorf("the problem is told as %q", h.ConfigError)
	}

	// One of the same number, given before the database was put back from a backup.
	other := second
	other.Digest = "0123"
	n = w.count(topics.KindConfig)
	w.step(protocol.Configured{Config: other, At: time.Now().UnixMilli()})
	w.await("the config again, as it is another", func() bool { return w.count(topics.KindConfig) > n })
	w.step(protocol.Configured{Config: second, At: time.Now().UnixMilli()})
	w.inForce(second.Revision)

	w.schedule(func(sc *store.Schedule) { sc.Enabled = false })
	w.config(func(c topics.Config) bool {
		return c.Revision > second.Revision && len(c.Schedules)+len(c.Groups)+len(c.Repositories) == 0
	})
}

func TestASlotThatTheHostBeganIsAJobLikeAnyOther(t *testing.T) {
	w := newWorld(t)
	sc := w.schedule(func(sc *store.Schedule) { sc.Cron = "* * * * *" })
	w.connect()
	c := w.config(func(c topics.Config) bool { return len(c.Schedules) == 1 })
	w.step(protocol.Configured{Config: c, At: time.Now().UnixMilli()})
	past := time.Now().Add(-72 * time.Hour).Truncate(time.Minute).UnixMilli()
	c.Schedules[0].Groups[0].After = past - 1
	w.step(protocol.Configured{Config: c, At: past})
	w.step(protocol.Fired{Job: "by-itself-001", Slot: topics.Slot{Schedule: sc.ID, At: past}, Group: w.group.ID, Passed: 2, At: past + 1000})
	w.await("the job", func() bool {
		_, err := w.store.Job(t.Context(), "by-itself-001")
		return err == nil
	})
	j := w.job("by-itself-001")
	if j.State != topics.Dispatched || !j.Fired || !j.Accepted || j.RequestedBy != "schedule:nightly" || j.Slot != past ||
		j.QueuedAt != past+1000 {
		t.Errorf("the row is %+v", j)
	}
	w.step(protocol.Spawned{Job: j.ID, Restic: "0.14.0", At: past + 2000})
	w.step(protocol.Ended{Job: j.ID, End: topics.Finished{State: topics.Failed, Cause: topics.CauseLocked}, At: past + 9000})
	w.await("its end", func() bool { return w.job(j.ID).State == topics.Failed })
	if j = w.job(j.ID); j.StartedAt != past+2000 || j.FinishedAt != past+9000 {
		t.Errorf("it is said to have run from %d to %d, not from %d to %d", j.StartedAt, j.FinishedAt, past+2000, past+9000)
	}
}

// What may delete is in no config, the keeper's own neither: it would lie on its disk.
func TestAConfigHoldsNothingThatMayDelete(t *testing.T) {
	w := newWorld(t)
	r := must(w.store.Repository(t.Context(), w.group.Repository))
	r.Keeper = w.host.ID
	a := must(w.store.RepositoryAccess(t.Context(), r.ID))
	a.Maintenance = &store.Maintenance{URL: "rest:http://nas:8001/all", Env: map[string]topics.Secret{
		"RESTIC_REST_USERNAME": "keeper",
		"RESTIC_REST_PASSWORD": "may delete",
	}}
	if err := w.store.ChangeRepository(t.Context(), "test", r, a); err != nil {
		t.Fatal(err)
	}
	w.schedule(func(*store.Schedule) {})
	w.connect()
	c := w.config(func(c topics.Config) bool { return len(c.Repositories) == 1 })
	if got := c.Repositories[0]; got.URL != a.URL || got.Env["RESTIC_REST_PASSWORD"] != "" {
		t.Errorf("the keeper's config opens the repository at %q with %d variables", got.URL.Reveal(), len(got.Env))
	}
}

// An agent that knows pauses is told of them, and keeps its schedules. One of an older
// version has none until the pause ends, and then nothing of it to catch up with.
func TestAConfigCarriesThePausesOfItsHost(t *testing.T) {
	for _, able := range []bool{true, false} {
		t.Run(fmt.Sprintf("able %t", able), func(t *testing.T) {
			w := newWorld(t)
			w.schedule(func(*store.Schedule) {})
			w.connect()
			w.config(func(c topics.Config) bool { return len(c.Schedules) == 1 && len(c.Pauses) == 0 })
			h := must(w.store.Host(t.Context(), w.host.ID))
			if able {
				can := []topics.Ability{topics.EndsPauses}
				h.Can.V = &can
			}
			service := &pause.Service{Store: w.store, Now: w.engine.Now}
			p, err := service.Pause(t.Context(), "mqtt:home", w.host.ID, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			of := func() topics.Config {
				row := must(w.store.Host(t.Context(), w.host.ID))
				row.Can = h.Can
				sheet := must(w.engine.planSheet(t.Context(), row.ID))
				return must(sheet.config(t.Context(), row, w.engine.Now()))
			}
			paused := of()
			if able && (len(paused.Schedules) != 1 || len(paused.Pauses) != 1 || paused.Pauses[0].Until != p.Until) {
				t.Errorf("the config is %+v", paused)
			}
			if !able && len(paused.Schedules)+len(paused.Groups)+len(paused.Pauses) != 0 {
				t.Errorf("an older agent is sent %+v", paused)
			}
			time.Sleep(2 * time.Millisecond) // the pause has a length
			if _, _, err := service.Resume(t.Context(), "anna", w.host.ID); err != nil {
				t.Fatal(err)
			}
			ended := must(w.store.Host(t.Context(), w.host.ID)).AllPauses()
			resumed := of()
			if len(resumed.Schedules) != 1 || able && len(resumed.Pauses) != 1 || !able && len(resumed.Pauses) != 0 {
				t.Fatalf("resumed, the config is %+v", resumed)
			}
			if after := resumed.Schedules[0].Groups[0].After; !able && after != ended[0].Until || able && after >= ended[0].From {
				t.Errorf("slots count from %d, of a pause from %d until %d", after, ended[0].From, ended[0].Until)
			}
		})
	}
}
