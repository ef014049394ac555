package delivery

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	rows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// A world is a real database, a queue, and other sides that answer as the test says.
type world struct {
	*testing.T
	store *store.Store
	queue *Queue
	stop  func()
	ahead time.Duration // of the clock of those who write alerts

	mu     sync.Mutex
	sent   map[string][]channels.Message // by channel, what was answered with success
	tries  map[string]int
	answer func(ctx context.Context, channel string, m channels.Message) channels.Answer
}

// inWorld runs a test in a bubble, where waiting takes no time, with channels of some IDs.
func inWorld(t *testing.T, ids []string, do func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC))) // a Monday
		w := &world{T: t, store: storetest.Open(t, store.Open), sent: map[string][]channels.Message{}, tries: map[string]int{}}
		w.answer = func(context.Context, string, channels.Message) channels.Answer {
			return channels.Answer{OK: true, Text: "200 OK"}
		}
		for _, id := range ids {
			if err := w.store.Channels().Add(t.Context(), "test", rows.Channel{ID: id, Name: id, Kind: "webhook", Enabled: true, Version: 1,
				CreatedAt: w.ms(), CreatedBy: "test", Settings: column.JSON[map[string]string]{V: &map[string]string{}}}); err != nil {
				t.Fatal(err)
			}
		}
		w.start()
		do(w)
		w.stop()
	})
}

func (w *world) ms() int64 { return time.Now().Add(w.ahead).UnixMilli() }

// start starts a queue, as a new process would.
func (w *world) start() {
	w.queue = &Queue{Store: w.store, Send: w.send, Said: said, Log: slog.New(slog.DiscardHandler),
		PublicURL: func(context.Context) string { return "https://backups.example" }, Timing: DefaultTiming()}
	w.queue.Timing.Tick = 24 * time.Hour // so that it has to know when there is something to do
	w.run()
}

func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func(q *Queue) {
		defer close(ended)
		if err := q.Run(ctx); err != nil {
			w.Error(err)
		}
	}(w.queue)
	w.stop = func() {
		cancel()
		<-ended
	}
}

func said(a alerts.Alert, url string, _ time.Time) channels.Alert {
	return channels.Alert{ID: a.ID, Condition: a.Condition, Severity: string(a.Severity), Title: a.Body.V.Name + ": " + a.Body.V.Title,
		Link: url + "/alerts/" + a.ID}
}

func (w *world) send(ctx context.Context, channel string, m channels.Message) channels.Answer {
	w.mu.Lock()
	answer := w.answer
	w.mu.Unlock()
	a := answer(ctx, channel, m)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries[channel]++
	if a.OK {
		w.sent[channel] = append(w.sent[channel], m)
	}
	return a
}

// answers has the other sides answer in another way from now on.
func (w *world) answers(f func(ctx context.Context, channel string, m channels.Message) channels.Answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

// heard is what a channel was told and that was not looked at.
func (w *world) heard(channel string) []channels.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sent[channel])
}

func (w *world) tried(channel string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tries[channel]
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// told is what a channel was told, a line for each message: "opened a b", and forgets it.
func (w *world) told(channel string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for _, m := range w.sent[channel] {
		ids := []string{m.Event}
		for _, a := range m.Alerts {
			ids = append(ids, a.ID)
		}
		lines = append(lines, strings.Join(ids, " "))
	}
	delete(w.sent, channel)
	return lines
}

func (w *world) want(channel string, want ...string) {
	w.Helper()
	if got := w.told(channel); !slices.Equal(got, want) {
		w.Errorf("%s was told %q, want %q", channel, got, want)
	}
}

// an alert of a source group of a host, by an ID of its own.
func failed(id string, severity alerts.Severity) alerts.Alert {
	return alerts.Alert{ID: id, Key: alerts.Key{Condition: "backup-failed", On: alerts.OnGroup, Subject: "group-" + id},
		Host: topics.HostID("host-" + id), Repository: "attic", Severity: severity, Count: 1,
		Body: column.JSON[alerts.Body]{V: &alerts.Body{Name: id, Title: "backups fail"}}}
}

// change writes alerts and tells the queue in one transaction, as the service does.
func (w *world) change(event rows.Event, list ...alerts.Alert) {
	w.Helper()
	err := w.store.Alerts().Tx(w.Context(), func(tx alerts.Tx) error {
		var changes []routing.Change
		var put []*alerts.Alert
		for _, a := range list {
			put = append(put, &a)
			changes = append(changes, routing.Change{Alert: a, Event: event, At: w.ms()})
		}
		if err := alerts.Put(w.Context(), tx, put); err != nil {
			return err
		}
		if event == "" {
			return nil
		}
		return w.queue.Note(w.Context(), tx, changes)
	})
	if err != nil {
		w.Fatal(err)
	}
}

// open opens alerts now.
func (w *world) open(list ...alerts.Alert) {
	w.Helper()
	for i := range list {
		list[i].OpenedAt, list[i].BeganAt, list[i].SeenAt, list[i].EndedAt = w.ms(), w.ms(), w.ms(), 0
	}
	w.change(rows.Opened, list...)
}

// end ends alerts, whose condition is over.
func (w *world) end(ids ...string) {
	w.Helper()
	var list []alerts.Alert
	for _, id := range ids {
		a, err := w.store.Alerts().Get(w.Context(), id)
		if err != nil {
			w.Fatal(err)
		}
		a.EndedAt, a.EndedBy = w.ms(), "plane"
		list = append(list, a)
	}
	w.change(rows.Recovered, list...)
}

// edit changes an alert without telling the queue of it.
func (w *world) edit(id string, edit func(*alerts.Alert)) {
	w.Helper()
	a, err := w.store.Alerts().Get(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	edit(&a)
	w.change("", a)
}

// rules sets rules and digests.
func (w *world) rules(r routing.Rules) {
	w.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		w.Fatal(err)
	}
	now, err := w.store.Alerts().Setting(w.Context(), alerts.Rules)
	if err == nil {
		_, err = w.store.Alerts().Set(w.Context(), "test", alerts.Rules, string(b), now.Version, "rules")
	}
	if err != nil {
		w.Fatal(err)
	}
	w.queue.Stir()
}

// channel changes a channel.
func (w *world) channel(id string, edit func(*rows.Channel)) {
	w.Helper()
	if _, err := w.store.Channels().Edit(w.Context(), "test", id, func(c *rows.Channel) error { edit(c); return nil }); err != nil {
		w.Fatal(err)
	}
	w.queue.Stir()
}

func (w *world) deliveries(channel string) []rows.Delivery {
	w.Helper()
	list, err := w.store.Channels().Deliveries(w.Context(), channel, "", 1000)
	if err != nil {
		w.Fatal(err)
	}
	return list
}

func fail(text string) func(context.Context, string, channels.Message) channels.Answer {
	return func(context.Context, string, channels.Message) channels.Answer { return channels.Answer{Text: text} }
}

func fine(context.Context, string, channels.Message) channels.Answer {
	return channels.Answer{OK: true, Text: "200 OK"}
}
