package pause

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/pauses"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

const attic = topics.HostID("attic-000001")

type world struct {
	*Service
	t       *testing.T
	now     time.Time
	changed []topics.HostID
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)}
	w.Service = &Service{Store: storetest.Open(t, store.Open), Now: func() time.Time { return w.now },
		Changed: func(ids ...topics.HostID) { w.changed = append(w.changed, ids...) }}
	hash := sha256.Sum256([]byte(attic))
	if err := w.Store.AddEnrollToken(t.Context(), store.EnrollToken{ID: string(attic), KeyHash: hash[:], Name: "attic", CreatedBy: "test",
		ExpiresAt: time.Now().Add(time.Hour).UnixMilli()}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Store.Enroll(t.Context(), hash[:], store.Host{ID: attic, SealKey: []byte("k"), Serial: "1"}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) host() store.Host {
	w.t.Helper()
	h, err := w.Store.Host(w.t.Context(), attic)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// audited returns the entries about pauses, the oldest first.
func (w *world) audited() (list []string) {
	w.t.Helper()
	rows, err := w.Store.AuditEntries(w.t.Context(), store.AuditFilter{}, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range rows {
		if e.Action == "host.paused" || e.Action == "host.resumed" {
			list = append([]string{e.Actor + " " + e.Action + " " + e.Detail}, list...)
		}
	}
	return list
}

func TestAPauseHasAnEnd(t *testing.T) {
	for _, c := range []struct {
		what  string
		until time.Duration // from now; 0 is none given
		lasts time.Duration
		wrong string // "" is right
	}{
		{"without an end", 0, 24 * time.Hour, ""},
		{"an hour", time.Hour, time.Hour, ""},
		{"seven days", 7 * 24 * time.Hour, 7 * 24 * time.Hour, ""},
		{"a second more", 7*24*time.Hour + time.Second, 0, "within 7 days"},
		{"until now", -time.Nanosecond, 0, "in the future"},
		{"until yesterday", -24 * time.Hour, 0, "in the future"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t)
			var until time.Time
			if c.until != 0 {
				until = w.now.Add(c.until)
			}
			p, err := w.Pause(t.Context(), "anna", attic, until)
			var fields field.Errors
			if c.wrong != "" {
				if !errors.As(err, &fields) || !strings.Contains(fields["until"], c.wrong) {
					t.Errorf("%v, want %q", err, c.wrong)
				}
				if _, paused := w.host().Paused(w.now.UnixMilli()); paused || w.audited() != nil || w.changed != nil {
					t.Error("it is paused all the same")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := w.now.Add(c.lasts).UnixMilli(); p.From != w.now.UnixMilli() || p.Until != want || p.By != "anna" {
				t.Errorf("%+v, want until %d", p, want)
			}
			for _, at := range []struct {
				after time.Duration
				want  bool
			}{{0, true}, {c.lasts - time.Millisecond, true}, {c.lasts, false}} {
				if _, paused := w.host().Paused(w.now.Add(at.after).UnixMilli()); paused != at.want {
					t.Errorf("%s after its beginning paused is %t", at.after, paused)
				}
			}
		})
	}
}

// A pause that is asked for while one goes on is that one with another end, shorter or
// longer, and whoever's who asked last. It still began when the first did.
func TestToPauseAgainIsAnotherEnd(t *testing.T) {
	w := newWorld(t)
	began := w.now
	for _, step := range []struct {
		by    string
		until time.Duration
	}{{"mqtt:home", 24 * time.Hour}, {"anna", 2 * time.Hour}, {"mqtt:home", 7 * 24 * time.Hour}} {
		p, err := w.Pause(t.Context(), step.by, attic, w.now.Add(step.until))
		if err != nil {
			t.Fatal(err)
		}
		if p.From != began.UnixMilli() || p.Until != w.now.Add(step.until).UnixMilli() || p.By != step.by {
			t.Errorf("%+v", p)
		}
		w.now = w.now.Add(time.Hour)
	}
	if list := w.host().AllPauses(); len(list) != 1 {
		t.Errorf("%+v", list)
	}
	w.now = w.now.Add(30 * 24 * time.Hour)
	if _, err := w.Pause(t.Context(), "anna", attic, time.Time{}); err != nil || len(w.host().AllPauses()) != 2 {
		t.Errorf("a later one is one of its own: %v, %+v", err, w.host().AllPauses())
	}
}

func TestResumingEndsAPauseOnce(t *testing.T) {
	w := newWorld(t)
	if _, ended, err := w.Resume(t.Context(), "anna", attic); ended || err != nil {
		t.Errorf("of a host that is not paused: %t, %v", ended, err)
	}
	if _, err := w.Pause(t.Context(), "mqtt:home", attic, time.Time{}); err != nil {
		t.Fatal(err)
	}
	began := w.now
	w.now = w.now.Add(time.Hour)
	if was, ended, err := w.Resume(t.Context(), "anna", attic); !ended || err != nil || was.By != "mqtt:home" {
		t.Errorf("%+v, %t, %v", was, ended, err)
	}
	if _, ended, err := w.Resume(t.Context(), "anna", attic); ended || err != nil {
		t.Errorf("again: %t, %v", ended, err)
	}
	if h := w.host(); h.PausedUntil != 0 || len(h.AllPauses()) != 1 || h.AllPauses()[0] != (pauses.Pause{From: began.UnixMilli(),
		Until: w.now.UnixMilli(), By: "mqtt:home"}) {
		t.Errorf("%+v", h.AllPauses())
	}
	want := []string{"mqtt:home host.paused attic until 2026-03-03T10:00:00Z",
		"anna host.resumed attic, which mqtt:home had paused until 2026-03-03T10:00:00Z"}
	if got := w.audited(); !slices.Equal(got, want) {
		t.Errorf("audited %q, want %q", got, want)
	}
}

// A pause that has run out is noted once, in the name of the control plane, whenever that
// comes to it.
func TestTheEndOfAPauseIsNoted(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Pause(t.Context(), "anna", attic, w.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	note := func() (hosts []topics.HostID) {
		t.Helper()
		if err := w.Store.SlotStep(t.Context(), func(tx store.Slots) (err error) {
			hosts, err = tx.EndPauses(w.now.UnixMilli())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return hosts
	}
	w.now = w.now.Add(time.Hour - time.Millisecond)
	if got := note(); got != nil {
		t.Errorf("%v have ended before they do", got)
	}
	w.now = w.now.Add(3 * time.Hour)
	if got := note(); !slices.Equal(got, []topics.HostID{attic}) {
		t.Errorf("%v have ended", got)
	}
	if got := note(); got != nil {
		t.Errorf("%v have ended twice", got)
	}
	if got := w.audited(); len(got) != 2 || got[1] != "plane host.resumed attic: its pause has ended" {
		t.Errorf("%q", got)
	}
}

func TestWhichHostsCanBePaused(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Pause(t.Context(), "anna", "nobody-0001", time.Time{}); !errors.Is(err, hosts.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, _, err := w.Resume(t.Context(), "anna", "nobody-0001"); !errors.Is(err, hosts.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := (&hosts.Settings{Store: w.Store}).Put(t.Context(), "anna", attic, hosts.Input{Retired: new(true)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Pause(t.Context(), "anna", attic, time.Time{}); !errors.Is(err, ErrRetired) {
		t.Errorf("%v", err)
	}
}

// However often somebody pauses and resumes, a host's row stays small.
func TestAFewPausesAreKept(t *testing.T) {
	w := newWorld(t)
	for range pauses.Kept + 5 {
		if _, err := w.Pause(t.Context(), "anna", attic, time.Time{}); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(time.Minute)
		if _, _, err := w.Resume(t.Context(), "anna", attic); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(time.Minute)
	}
	list := w.host().AllPauses()
	if len(list) != pauses.Kept || list[len(list)-1].Until != w.now.Add(-time.Minute).UnixMilli() {
		t.Errorf("%d kept, the last %+v", len(list), list[len(list)-1])
	}
}
