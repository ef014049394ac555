package delivery

import (
	"context"
	"encoding/json"
	"fmt"
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

func (w *world) ms() int64 { return time.Now().UnixMilli() }

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

func TestEveryChannelHearsOnceThatItBeganAndOnceThatItIsOver(t *testing.T) {
	inWorld(t, []string{"mail", "phone"}, func(w *world) {
		w.open(failed("a", alerts.Critical), failed("b", alerts.Warning), failed("c", alerts.Info))
		w.pass(29 * time.Second)
		w.want("mail")
		w.pass(2 * time.Second)
		w.want("mail", "opened a b")
		w.want("phone", "opened a b")
		w.pass(100 * time.Hour)
		w.end("a", "c")
		w.pass(time.Minute)
		w.want("mail", "recovered a")
		w.want("phone", "recovered a")
		w.open(failed("a", alerts.Critical))
		w.pass(time.Minute)
		w.want("mail", "opened a")
		w.stop()
		w.start()
		w.pass(100 * time.Hour)
		w.want("mail")
	})
}

func TestWhatComesAndGoesWhileItIsGatheredIsNotTold(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.open(failed("a", alerts.Critical), failed("b", alerts.Critical))
		w.pass(10 * time.Second)
		w.end("a")
		w.pass(time.Hour)
		w.want("mail", "opened b")
		w.end("b")
		w.pass(10 * time.Second)
		w.open(failed("b", alerts.Critical))
		w.pass(time.Hour)
		w.want("mail")
	})
}

func TestAMessageIsTriedForADayAndThenGivenUp(t *testing.T) {
	inWorld(t, []string{"mail", "phone"}, func(w *world) {
		var at []time.Duration
		begun := time.Time{}
		w.answers(func(ctx context.Context, channel string, m channels.Message) channels.Answer {
			if channel == "phone" {
				return fine(ctx, channel, m)
			}
			if begun.IsZero() {
				begun = time.Now()
			}
			at = append(at, time.Since(begun))
			return channels.Answer{Text: "503 Service Unavailable"}
		})
		w.open(failed("a", alerts.Critical))
		w.pass(time.Minute)
		w.want("phone", "opened a")
		w.pass(23 * time.Hour)
		want := []time.Duration{0, 5, 20, 65, 155, 335, 695, 1415, 2855, 4655}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(at[:len(want)], want) {
			w.Errorf("it was tried at %v, want %v", at[:len(want)], want)
		}
		if row, err := w.store.Channels().Get(w.Context(), "mail"); err != nil || row.FailingSince == 0 || row.LastOKAt != 0 ||
			row.LastAnswer != "503 Service Unavailable" {
			w.Errorf("the channel is %+v, %v", row, err)
		}
		w.pass(2 * time.Hour)
		list := w.deliveries("mail")
		if len(list) != 1 || list[0].State != rows.GivenUp || int(list[0].Tries) != len(at) || len(list[0].Tried) != len(at) {
			w.Fatalf("after %d tries the channel has %+v", len(at), list)
		}
		n := len(at)
		w.pass(30 * time.Hour)
		if len(at) != n {
			w.Errorf("it was tried %d times after it was given up", len(at)-n)
		}
		w.end("a")
		w.open(failed("b", alerts.Critical))
		w.answers(fine)
		w.pass(time.Minute)
		got := w.heard("mail")
		if len(got) != 1 || !strings.Contains(got[0].Text, "1 message before this one") || got[0].Title != "b: backups fail" {
			w.Errorf("then it was told %+v", got)
		}
	})
}

// What was given up is told once the channel works again, if it is still so.
func TestWhatWasGivenUpIsToldOnceTheChannelWorks(t *testing.T) {
	for what, mend := range map[string]func(w *world){
		"another address": func(w *world) { w.channel("mail", func(c *rows.Channel) { c.Name = "mail2" }) },
		"a test that went well": func(w *world) {
			if err := w.store.Channels().Tested(w.Context(), "test", rows.Message{ID: topics.NewID(time.Now()), Channel: "mail"},
				rows.Try{At: w.ms(), OK: true}); err != nil {
				w.Fatal(err)
			}
			w.queue.Stir()
		},
	} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, []string{"mail"}, func(w *world) {
				w.answers(fail("connection refused"))
				w.open(failed("a", alerts.Critical), failed("b", alerts.Critical))
				w.pass(26 * time.Hour)
				w.end("b")
				w.answers(fine)
				w.pass(10 * time.Hour)
				w.want("mail")
				mend(w)
				w.pass(time.Minute)
				w.want("mail", "opened a")
			})
		})
	}
}

func TestAChangedChannelIsTriedAtOnce(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.answers(fail("404 Not Found"))
		w.open(failed("a", alerts.Critical))
		w.pass(3 * time.Hour)
		w.answers(fine)
		w.pass(time.Second)
		w.want("mail")
		w.channel("mail", func(c *rows.Channel) { c.Name = "mail2" })
		w.pass(time.Second)
		w.want("mail", "opened a")
	})
}

func TestWhatComesWhileAMessageWaitsIsMerged(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.answers(fail("503"))
		w.open(failed("first", alerts.Critical))
		w.pass(time.Minute)
		w.open(failed("stays", alerts.Warning), failed("goes", alerts.Critical), failed("went", alerts.Warning), failed("short", alerts.Critical))
		w.pass(20 * time.Second)
		w.end("short")
		w.pass(time.Hour)
		w.end("goes", "went", "first")
		for i := range 50 {
			w.open(failed(fmt.Sprint("later", i), alerts.Warning))
			w.pass(time.Minute)
		}
		if list := w.deliveries("mail"); len(list) != 1 {
			w.Errorf("%d messages wait", len(list))
		}
		w.answers(fine)
		w.pass(time.Hour)
		got := w.heard("mail")
		if len(got) != 3 || got[0].Title != "first: backups fail" || len(got[1].Alerts) != MostNamed || got[1].More != 41 ||
			!strings.Contains(got[1].Text, "1 alert came and went") || got[2].Event != "recovered" || got[2].Title != "Recovered: 2 alerts: 2 × backups fail" {
			w.Errorf("the channel was told %+v", got)
		}
	})
}

func TestAChannelThatHangsHoldsUpNoOther(t *testing.T) {
	inWorld(t, []string{"hangs", "works"}, func(w *world) {
		w.answers(func(ctx context.Context, channel string, m channels.Message) channels.Answer {
			if channel == "works" {
				return fine(ctx, channel, m)
			}
			<-ctx.Done()
			return channels.Answer{Text: "no answer came within 15 seconds"}
		})
		for _, id := range []string{"a", "b", "c"} {
			w.open(failed(id, alerts.Critical))
			w.pass(31 * time.Second)
			w.want("works", "opened "+id)
		}
		list := w.deliveries("hangs")
		if len(list) != 1 || len(list[0].Tried) < 2 || list[0].Tried[0].TookMS != 15_000 {
			w.Errorf("the other one has %+v", list)
		}
	})
}

func TestTheOtherSideMaySayWhenToTryAgain(t *testing.T) {
	for _, c := range []struct {
		after, want time.Duration
	}{{0, 5 * time.Second}, {40 * time.Second, 40 * time.Second}, {100 * time.Hour, time.Hour}, {-time.Hour, 5 * time.Second}} {
		inWorld(t, []string{"mail"}, func(w *world) {
			var at []time.Time
			w.answers(func(context.Context, string, channels.Message) channels.Answer {
				at = append(at, time.Now())
				return channels.Answer{OK: len(at) > 1, Text: "429 Too Many Requests", After: c.after.Milliseconds()}
			})
			w.open(failed("a", alerts.Critical))
			w.pass(3 * time.Hour)
			if len(at) != 2 || at[1].Sub(at[0]) != c.want {
				w.Errorf("asked to wait %s, it was tried at %v", c.after, at)
			}
		})
	}
}

func TestWhatIsRefusedForGoodBlocksNoOther(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.answers(func(_ context.Context, _ string, m channels.Message) channels.Answer {
			return channels.Answer{OK: !strings.Contains(m.Title, "poison"), Text: "413 Content Too Large", Hopeless: true}
		})
		w.open(failed("poison", alerts.Critical))
		w.pass(40 * time.Second)
		w.open(failed("a", alerts.Critical))
		w.pass(3 * time.Hour) // it is tried once more, since the channel works
		w.want("mail", "opened a")
		n := w.tried("mail")
		w.pass(48 * time.Hour)
		if w.tried("mail") != n {
			w.Errorf("it was tried %d times more", w.tried("mail")-n)
		}
	})
}

func TestADisabledChannelHearsNothing(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.answers(fail("503"))
		w.open(failed("a", alerts.Critical))
		w.pass(time.Minute)
		w.channel("mail", func(c *rows.Channel) { c.Enabled = false })
		w.answers(fine)
		w.open(failed("b", alerts.Critical))
		w.pass(10 * time.Hour)
		w.want("mail")
		if list := w.deliveries("mail"); len(list) != 1 || list[0].State != rows.GivenUp || !strings.Contains(list[0].Answer, "disabled") {
			w.Errorf("the channel has %+v", list)
		}
		w.channel("mail", func(c *rows.Channel) { c.Enabled = true })
		w.pass(time.Minute)
		w.want("mail", "opened a b")
	})
}

func TestAThousandFailuresAreAtMostThreeMessages(t *testing.T) {
	inWorld(t, []string{"mail", "phone"}, func(w *world) {
		names := map[string]bool{}
		for i := range 100 {
			var list []alerts.Alert
			for j := range 10 {
				a := failed(fmt.Sprintf("host-%03d", i*10+j), alerts.Critical)
				names[a.ID] = true
				list = append(list, a)
			}
			w.open(list...)
			w.pass(600 * time.Millisecond)
		}
		w.pass(time.Hour)
		for _, channel := range []string{"mail", "phone"} {
			named := map[string]bool{}
			list := w.deliveries(channel)
			for _, d := range list {
				for _, id := range d.Alerts {
					named[id] = true
				}
				var m channels.Message
				if err := json.Unmarshal([]byte(d.Body), &m); err != nil || len(m.Alerts) != MostNamed || m.More+MostNamed != len(d.Alerts) ||
					m.Link != "https://backups.example/alerts?state=open" || !strings.Contains(m.Text, "× backups fail") {
					w.Errorf("a message is %.300q, %v", d.Body, err)
				}
			}
			if len(list) > 3 || len(named) != len(names) {
				w.Errorf("%s was told of %d alerts in %d messages", channel, len(named), len(list))
			}
		}
	})
}
