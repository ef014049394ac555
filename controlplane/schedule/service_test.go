package schedule

import (
	"errors"
	"testing"
	"time"
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
	if !got.Enabled || got.PausedAt != 0 || got.PausedUntil != 0 || got.Since != end.UnixMilli() {
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
