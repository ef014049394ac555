package schedule

import (
	"errors"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/slots"
)

func service(w *world) *Service {
	return &Service{Store: w.store.Store, Now: func() time.Time { return w.now }}
}

func TestAPauseWithAnEndGoesOnByItself(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	sc := w.nightly(attic, "nightly", w.group(attic, "letters"))
	sc2 := w.nightly(attic, "other", w.group(attic, "photos"))
	end := w.now.Add(3*day + time.Hour)
	for name, until := range map[string]*time.Time{"nightly": &end, "other": nil} {
		got, err := service(w).Change(ctx, "test", attic, name, Input{Enabled: new(false), PausedUntil: until})
		if err != nil || got.Enabled || got.PausedAt == 0 || (got.PausedUntil != 0) != (until != nil) {
			t.Fatalf("paused: %+v, %v", got, err)
		}
	}
	again, err := service(w).Enable(ctx, "test", attic, "nightly", false)
	if err != nil || again.PausedUntil != end.UnixMilli() || again.PausedAt > w.store.Now() {
		t.Errorf("pausing what is paused changes %+v, %v", again, err)
	}
	w.tick(3*day + time.Hour - time.Second)
	if got := must(w.store.ScheduleNamed(ctx, attic, "nightly")); got.Enabled {
		t.Fatal("it goes on before its pause ends")
	}
	w.tick(time.Second)
	got := must(w.store.ScheduleNamed(ctx, attic, "nightly"))
	if !got.Enabled || got.PausedAt != 0 || got.PausedUntil != 0 || got.Since != end.UnixMilli() || got.PausedFrom != again.PausedAt {
		t.Errorf("after its pause it is %+v", got)
	}
	if n, _ := w.audited("schedule.resumed", sc.ID); n != 1 {
		t.Errorf("%d entries about it in the audit log", n)
	}
	if n, _ := w.audited("schedule.resumed", sc2.ID); n != 0 || must(w.store.ScheduleNamed(ctx, attic, "other")).Enabled {
		t.Error("a pause without an end has ended")
	}
	if n := len(w.jobs(attic)); n != 0 {
		t.Errorf("%d slots of the pause were run", n)
	}
	got = must(service(w).Enable(ctx, "test", attic, "other", true))
	if got.PausedAt != 0 || got.PausedUntil != 0 {
		t.Errorf("resumed by a person it is %+v", got)
	}
}

// TestANameMeansTheSameEverywhere: a name with spaces around it is the name without,
// unless an older version saved one with them.
func TestANameMeansTheSameEverywhere(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	group := w.group(attic, "letters")
	s := service(w)
	in := Input{Cron: new("@daily"), SourceGroups: &[]string{"letters"}}
	if sc := must(s.Put(ctx, "test", attic, " x ", in)); sc.Name != "x" {
		t.Fatalf("saved as %q", sc.Name)
	}
	if sc := must(s.Named(ctx, attic, " x ")); sc.Name != "x" {
		t.Errorf("found as %q", sc.Name)
	}
	must(s.Change(ctx, "test", attic, "x ", Input{RetryMax: new(1)}))
	if err := s.Remove(ctx, "test", attic, " x "); err != nil {
		t.Errorf("it cannot be removed: %v", err)
	}
	w.nightly(attic, " x ", group) // of before names were cleaned
	must(s.Put(ctx, "test", attic, "x", in))
	must(s.Change(ctx, "test", attic, " x ", Input{RetryMax: new(7)}))
	if sc := must(s.Named(ctx, attic, "x")); sc.RetryMax == 7 {
		t.Error("the wrong one of two was changed")
	}
	if err := errors.Join(s.Remove(ctx, "test", attic, " x "), s.Remove(ctx, "test", attic, "x")); err != nil {
		t.Error(err)
	}
	if err := s.Remove(ctx, "test", attic, "x"); !errors.Is(err, ErrNoSchedule) {
		t.Errorf("removing what is gone: %v", err)
	}
}

// TestAChangedPlanKeepsWhatWasOwed: a plan that is changed, once or several times, says
// which slot had begun before.
func TestAChangedPlanKeepsWhatWasOwed(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	made := w.nightly(attic, "nightly", w.group(attic, "letters"))
	slot := slots.Next(must(Of(made)), w.now)
	since := w.now.UnixMilli()
	w.exec(`UPDATE schedules SET since = ?`, since)
	change := func(in Input) int64 {
		t.Helper()
		row := must(service(w).Change(ctx, "test", attic, "nightly", in))
		if row.Since != since { // the store has a clock of its own
			since = w.now.UnixMilli()
			w.exec(`UPDATE schedules SET since = ?`, since)
		}
		return row.Owed
	}
	if got := change(Input{Cron: new("1 0 * * *")}); got != 0 {
		t.Errorf("before any slot %s is owed", time.UnixMilli(got))
	}
	change(Input{Cron: &made.Cron})
	w.now = slot.Add(time.Minute)
	if got := change(Input{JitterSeconds: new(60)}); got != 0 {
		t.Errorf("the plan is as it was, and %s is owed", time.UnixMilli(got))
	}
	w.now = slot.Add(time.Hour)
	for _, cron := range []string{"0 5 * * 0", "0 6 * * 0"} {
		if got := change(Input{Cron: &cron}); got != slot.UnixMilli() {
			t.Errorf("owed is %s, want %s", time.UnixMilli(got), slot)
		}
	}
}
