package alerts_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	service "github.com/restic-manager/restic-manager/controlplane/alerts"
	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/delivery"
	said "github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// A lived year is one whose alerts are kept by the real service in a database, and told by the
// real queue, as they run in a control plane.
type lived struct {
	*year
	t     *testing.T
	store *store.Store
	stop  func()
	stir  func()

	mu    sync.Mutex // of the fleet, which the service reads
	heard []heard
}

// A heard message is one that arrived.
type heard struct {
	at    int64
	event channels.Event
	alert alerts.Alert
}

func (l *lived) facts(context.Context) (conditions.Facts, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = time.Now().UnixMilli()
	l.looks++
	f := conditions.Facts{Stopped: l.stopped, Began: l.began, Channels: l.channels, Plane: l.plane}
	for _, m := range l.machines {
		f.Hosts = append(f.Hosts, l.factsOf(m))
	}
	for _, v := range l.vaults {
		f.Repositories = append(f.Repositories, l.factsOfVault(v))
	}
	return f, nil
}

func (l *lived) send(_ context.Context, _ string, m said.Message) said.Answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range m.Alerts {
		l.heard = append(l.heard, heard{time.Now().UnixMilli(), channels.Event(m.Event), alerts.Alert{Host: topics.HostID(a.Subject.Host),
			Key:  alerts.Key{Condition: a.Condition, On: alerts.On(a.Subject.Kind), Subject: a.Subject.ID},
			Body: column.JSON[alerts.Body]{V: &alerts.Body{Cause: a.Cause}}}})
	}
	return said.Answer{OK: true, Text: "200 OK"}
}

// start begins the service and the queue, as a new process would. They have to know when time
// alone changes something: they do not come round by themselves.
func (l *lived) start() {
	s := &service.Service{Store: l.store, Facts: l.facts, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Timing: service.Timing{Gap: 2 * time.Second, Every: 24 * time.Hour}}
	queue := &delivery.Queue{Store: l.store, Said: service.Said, PublicURL: s.PublicURL, Send: l.send, Log: s.Log,
		Timing: delivery.DefaultTiming()}
	queue.Timing.Tick = 24 * time.Hour
	s.Note, s.Changed = queue.Note, queue.Stir
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- s.Run(ctx) }()
	go func() { ended <- queue.Run(ctx) }()
	l.stir = s.Stir
	l.stop = func() {
		stop()
		if err := errors.Join(<-ended, <-ended); err != nil {
			l.t.Error(err)
		}
		l.stop = nil
	}
}

// passes lets so many days pass.
func (l *lived) passes(days int) {
	end := l.now + (time.Duration(days) * day).Milliseconds()
	l.start()
	for n := 0; ; n++ {
		l.mu.Lock()
		at := end
		if len(l.events) > 0 {
			at = min(at, l.events[0].at)
		}
		l.mu.Unlock()
		time.Sleep(time.Until(time.UnixMilli(at)))
		synctest.Wait()
		l.listen()
		if at == end {
			break
		}
		l.mu.Lock()
		l.now = at
		for len(l.events) > 0 && l.events[0].at <= l.now {
			l.pop().do()
		}
		hears := l.hears
		l.mu.Unlock()
		switch {
		case !hears && l.stop != nil:
			l.stop()
		case hears && l.stop == nil:
			l.start()
		case hears && n%101 == 100: // it is started anew
			l.stop()
			l.start()
		case hears:
			l.stir()
		}
	}
	l.stop()
	l.missed(end)
}

// listen looks at what arrived.
func (l *lived) listen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now
	for _, h := range l.heard {
		l.now = h.at
		l.message(h.event, h.alert)
	}
	l.heard, l.now = nil, now
}

// TestDaysOfAFleetAreToldWithADatabase is the year with the database, the service and the
// queue that a control plane has: some days, or with RESTIC_MANAGER_SOAK months, and then
// also those faults that hosts have none beside.
func TestDaysOfAFleetAreToldWithADatabase(t *testing.T) {
	size, days, all := 8, 45, false
	if n, err := strconv.Atoi(os.Getenv("RESTIC_MANAGER_SOAK")); err == nil && n > 0 {
		size, days, all = 32, 80, true
	} else if underRace || testing.Short() {
		t.Skip("the year in memory is played")
	}
	t.Run("hosts", func(t *testing.T) { live(t, size, days) })
	if !all {
		return
	}
	t.Run("repositories and the plane", func(t *testing.T) {
		was := reserved
		defer func() { reserved = was }()
		reserved = []time.Duration{3 * day, 18 * day, 33 * day, 48 * day}
		live(t, size, 64)
	})
}

func live(t *testing.T, size, days int) {
	synctest.Test(t, func(t *testing.T) {
		began := newYear(1, 1, right()).now
		time.Sleep(time.Until(time.UnixMilli(began)))
		s := storetest.Open(t, store.Open)
		if err := s.Channels().Add(t.Context(), "test", channels.Channel{ID: "phone", Name: "phone", Kind: "webhook", Enabled: true, Version: 1,
			CreatedAt: began, CreatedBy: "test", Settings: column.JSON[map[string]string]{V: &map[string]string{}}}); err != nil {
			t.Fatal(err)
		}
		l := &lived{year: newYear(size, 3, right()), t: t, store: s}
		l.pauses = func(p alerts.Pause) {
			p.ID, p.CreatedAt, p.CreatedBy, p.Reason = topics.NewID(time.UnixMilli(p.From)), p.From, "test", "works"
			if err := s.Alerts().AddPause(t.Context(), p, "test"); err != nil {
				t.Error(err)
			}
		}
		l.plans(days)
		l.passes(days)
		for _, w := range l.wrong {
			t.Error(w)
		}
		t.Logf("%d hosts, %d days, %d looks, %d messages of %d kinds", size, days, l.looks, l.messages, len(l.kinds))
	})
}
