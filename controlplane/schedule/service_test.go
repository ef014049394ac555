package schedule

import (
	"errors"
	"fmt"
	"slices"
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

// TestAChangedPlanKeepsWhatWasPromised: a plan that is changed, once or several times, or
// paused, says what was promised until then.
func TestAChangedPlanKeepsWhatWasPromised(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.nightly(attic, "nightly", w.group(attic, "letters"))
	change := func(in Input) (all []string) {
		t.Helper()
		row := must(service(w).Change(ctx, "test", attic, "nightly", in))
		if row.Earlier.V == nil {
			return nil
		}
		for _, e := range *row.Earlier.V {
			word := e.Cron
			if e.Paused {
				word = "paused"
			}
			if e.Since >= e.Until {
				t.Errorf("%s is from %d to %d, and the plan since %d", word, e.Since, e.Until, row.Since)
			}
			all = append(all, word)
		}
		return all
	}
	w.exec(`UPDATE schedules SET since = 1000`)
	if got := change(Input{JitterSeconds: new(60), RetryMax: new(1)}); got != nil {
		t.Errorf("the plan is as it was, and before it stands %v", got)
	}
	want := []string{"0 0 * * *"}
	for _, step := range []struct {
		in   Input
		more []string
	}{
		{Input{Cron: new("0 5 * * 0")}, nil},
		{Input{Zone: new("Asia/Tokyo")}, []string{"0 5 * * 0"}},
		{Input{Enabled: new(false)}, nil},
		{Input{Enabled: new(true)}, []string{"0 5 * * 0", "paused"}},
	} {
		want = append(want, step.more...)
		if got := change(step.in); !slices.Equal(got, want) {
			t.Errorf("before it stand %v, want %v", got, want)
		}
		w.exec(`UPDATE schedules SET since = since - 5000, paused_at = CASE WHEN paused_at > 0 THEN since - 2000 ELSE 0 END`)
	}
	for i := range 50 { // each within the moment of the one before, some
		change(Input{Cron: new(fmt.Sprintf("%d 1 * * *", i))})
		w.exec(`UPDATE schedules SET since = since - 10`)
	}
	if got := change(Input{Cron: new("0 7 * * *")}); len(got) != 32 || got[31] != "49 1 * * *" {
		t.Errorf("of very many %d are kept, the last is %s", len(got), got[len(got)-1])
	}
}
