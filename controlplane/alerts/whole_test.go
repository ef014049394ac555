package alerts

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/delivery"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	rows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/storetest"
)

// A room is a desk whose service and queue run, in a bubble, and a channel that hears.
type room struct {
	*desk
	stop func()
	mu   sync.Mutex
	sent []string
}

// start begins the service and the queue, as a new process would.
func (r *room) start(s *store.Store) {
	r.desk = deskOn(r.t, s, time.Time{})
	r.Service.Now = time.Now
	queue := &delivery.Queue{Store: s, Said: Said, PublicURL: r.PublicURL, Log: slog.New(slog.DiscardHandler),
		Send: func(_ context.Context, _ string, m channels.Message) channels.Answer {
			r.mu.Lock()
			defer r.mu.Unlock()
			said := []string{m.Event}
			for _, a := range m.Alerts {
				said = append(said, a.Subject.Name)
			}
			r.sent = append(r.sent, strings.Join(said, " "))
			return channels.Answer{OK: true, Text: "200 OK"}
		}}
	r.Note, r.Changed = queue.Note, queue.Stir
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- r.Run(ctx) }()
	go func() { ended <- queue.Run(ctx) }()
	r.stop = func() {
		stop()
		if err := errors.Join(<-ended, <-ended); err != nil {
			r.t.Error(err)
		}
	}
}

// pass lets time pass with what holds from now on, and returns what was sent meanwhile.
func (r *room) pass(span time.Duration, holds ...conditions.Finding) (sent []string) {
	r.desk.mu.Lock()
	r.holds = holds
	r.desk.mu.Unlock()
	r.Stir()
	time.Sleep(span)
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	sent, r.sent = r.sent, nil
	return sent
}

func TestWhatIsFoundIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storetest.Open(t, store.Open)
		if err := s.Channels().Add(t.Context(), "test", rows.Channel{ID: "ops", Name: "ops", Kind: "webhook", Enabled: true, Version: 1,
			CreatedAt: 1, CreatedBy: "test", Settings: column.JSON[map[string]string]{V: &map[string]string{}}}); err != nil {
			t.Fatal(err)
		}
		r := &room{desk: &desk{t: t}}
		r.start(s)
		defer func() { r.stop() }()
		is := func(what string, got []string, want ...string) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Fatalf("%s: sent was %q, want %q", what, got, want)
			}
		}
		ctx := t.Context()

		is("a minute", r.pass(2*time.Minute, offline("attic")), "opened attic")
		is("over", r.pass(2*time.Minute), "recovered attic")

		// A pause over the beginning: it is told when the pause ends.
		in := func(span time.Duration) int64 { return time.Now().Add(span).UnixMilli() }
		must(r.Pause(ctx, "anna", alerts.Pause{Kind: PauseAll, Reason: "works", Until: in(time.Hour)}))
		is("paused", r.pass(50*time.Minute, offline("barn"), offline("cellar")))
		if c := r.Counts(ctx); c.Open != 2 {
			t.Errorf("meanwhile there are %+v", c)
		}
		is("paused, one is over", r.pass(5*time.Minute, offline("barn")))
		is("the pause is over", r.pass(10*time.Minute, offline("barn")), "opened barn")

		// A snooze, and a restart in the middle.
		must(r.Snooze(ctx, "anna", in(time.Hour), r.ids()...))
		is("snoozed", r.pass(30*time.Minute, offline("barn")))
		r.stop()
		r.start(s)
		is("restarted", r.pass(29*time.Minute, offline("barn")))
		is("snoozed no longer", r.pass(5*time.Minute, offline("barn")), "reminded barn")
		is("and once", r.pass(3*time.Hour, offline("barn")))

		// Ended by hand while it holds.
		must(r.End(ctx, "anna", "it is known", r.ids()...))
		is("ended by hand", r.pass(5*time.Minute, offline("barn")), "recovered barn")
		is("and holds on", r.pass(24*time.Hour, offline("barn")))
		is("until it was over", r.pass(5*time.Minute))
		is("once", r.pass(5*time.Minute, offline("barn")), "opened barn")
		is("over", r.pass(5*time.Minute), "recovered barn")

		// One that flaps: told as it begins and when it is over at last.
		var sent []string
		for range 10 {
			sent = append(sent, r.pass(10*time.Minute, offline("den"))...)
			sent = append(sent, r.pass(10*time.Minute)...)
		}
		sent = append(sent, r.pass(2*time.Hour)...)
		is("it flaps", sent, "opened den", "recovered den", "opened den", "recovered den", "opened den", "recovered den")
	})
}
