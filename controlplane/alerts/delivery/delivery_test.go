package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/store/alerts"
	rows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/topics"
)

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

func TestWhatSomebodyEndedIsNotToldAsRecovered(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.open(failed("a", alerts.Critical), failed("b", alerts.Critical))
		w.pass(time.Minute)
		w.told("mail")
		for _, id := range []string{"a", "b"} {
			a, err := w.store.Alerts().Get(w.Context(), id)
			if err != nil {
				w.Fatal(err)
			}
			a.EndedAt, a.EndedBy, a.EndedWhy = w.ms(), "anna", "it is known"
			w.change(rows.Recovered, a)
		}
		w.pass(time.Minute)
		got := w.sent["mail"]
		if len(got) != 1 || got[0].Title != "Ended by hand: 2 alerts: 2 × backups fail" ||
			!strings.Contains(got[0].Text, "a was ended by anna: it is known") {
			t.Errorf("it was told %+v", got)
		}
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
		w.pass(4 * time.Hour)
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
				w.pass(3 * time.Hour)
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
			!strings.Contains(got[1].Text, "1 alert came and went") || got[2].Event != "recovered" ||
			got[2].Title != "Recovered: 2 alerts: 2 × backups fail" {
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
		for i := range 48 { // once in a while it is tried anew, which holds up nothing that is critical
			id := fmt.Sprint("b", i)
			w.open(failed(id, alerts.Critical))
			w.pass(5 * time.Minute)
			w.want("mail", "opened "+id)
			w.edit(id, func(a *alerts.Alert) { a.AckedAt, a.AckedBy = w.ms(), "anna" })
			w.pass(55 * time.Minute)
		}
		n := 0
		for _, d := range w.deliveries("mail") {
			if strings.Contains(d.Body, "poison") {
				n++
			}
		}
		if n > 52 {
			w.Errorf("it was tried anew %d times", n)
		}
	})
}

// Nobody is silent for good because a channel was out of reach for more than a day and
// nothing else happens that would show that it works again.
func TestWhatWasGivenUpIsTriedAnewByItself(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.answers(fail("no route to host"))
		w.open(failed("a", alerts.Critical), failed("b", alerts.Warning))
		w.pass(25 * time.Hour)
		w.answers(fine)
		w.pass(6 * time.Hour)
		if got := w.heard("mail"); len(got) != 1 || !strings.Contains(got[0].Text, "1 message before this one") {
			w.Errorf("it was told %+v", got)
		}
		w.want("mail", "opened a b")
		w.end("a", "b")
		w.pass(48 * time.Hour)
		w.want("mail", "recovered a b")
	})
}

// Something critical does not wait half an hour behind a message that could not be sent,
// and does not keep trying where the other side asked to be left alone.
func TestSomethingCriticalHasAChannelTriedSooner(t *testing.T) {
	for _, c := range []struct {
		severity alerts.Severity
		after    time.Duration
		sooner   bool
	}{{alerts.Critical, 0, true}, {alerts.Warning, 0, false}, {alerts.Critical, time.Hour, false}} {
		inWorld(t, []string{"mail"}, func(w *world) {
			w.answers(func(context.Context, string, channels.Message) channels.Answer {
				return channels.Answer{Text: "503 Service Unavailable", After: c.after.Milliseconds()}
			})
			w.open(failed("a", alerts.Warning))
			w.pass(6*time.Hour + 5*time.Minute)
			n := w.tried("mail")
			for i := range 60 {
				w.open(failed(fmt.Sprint("b", i), c.severity))
				w.pass(time.Second)
			}
			if more := w.tried("mail") - n; more > 3 || more > 0 != c.sooner {
				w.Errorf("%s, asked to wait %s: it was tried %d times within a minute", c.severity, c.after, more)
			}
			w.answers(fine)
			w.open(failed("c", c.severity))
			w.pass(time.Minute)
			if got := w.told("mail"); (len(got) == 2) != c.sooner {
				w.Errorf("%s, asked to wait %s: it was told %q", c.severity, c.after, got)
			}
		})
	}
}

// A clock that was a year ahead and is set back keeps nothing back for a year.
func TestAClockThatIsSetBackKeepsNothingBack(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		ahead := 365 * 24 * time.Hour
		at := func(off time.Duration) {
			w.stop()
			w.queue = &Queue{Store: w.store, Send: w.send, Said: said, Log: slog.New(slog.DiscardHandler), Timing: DefaultTiming(),
				Now: func() time.Time { return time.Now().Add(off) },
				Summary: func(context.Context, routing.Digest, time.Time, time.Time) (channels.Message, error) {
					return channels.Message{Title: "digest"}, nil
				}}
			w.run()
		}
		rules := rule(routing.Rule{RepeatEvery: 3600 * 4, Recovered: true})
		rules.Digests = []routing.Digest{{Channels: []string{"mail"}, Every: routing.Daily, At: "06:00", Zone: "UTC"}}
		w.rules(rules)
		at(ahead)
		w.ahead = ahead
		w.open(failed("told", alerts.Critical))
		w.pass(time.Minute)
		w.want("mail", "opened told")
		w.answers(fail("503"))
		w.open(failed("waits", alerts.Critical))
		w.pass(3 * time.Hour)
		w.open(failed("noted", alerts.Critical))
		w.pass(time.Second)
		w.answers(fine)
		w.ahead = 0
		at(0)
		w.pass(2 * time.Minute)
		if got := strings.Join(w.told("mail"), ", "); !strings.Contains(got, "waits") || !strings.Contains(got, "noted") ||
			!strings.Contains(got, "reminded told") {
			w.Errorf("it was told %q", got)
		}
		w.pass(24 * time.Hour)
		if got := strings.Join(w.told("mail"), ", "); strings.Count(got, "digest") != 1 || strings.Count(got, "reminded") > 7 {
			w.Errorf("it was told %q", got)
		}
		w.end("told", "waits", "noted")
		w.pass(time.Minute)
		if got := w.told("mail"); len(got) != 1 || !strings.HasPrefix(got[0], "recovered ") {
			w.Errorf("it was told %q", got)
		}
	})
}

func TestADisabledChannelHearsNothing(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.open(failed("known", alerts.Critical))
		w.pass(time.Minute)
		w.want("mail", "opened known")
		w.answers(fail("503"))
		w.open(failed("a", alerts.Critical))
		w.pass(time.Minute)
		w.channel("mail", func(c *rows.Channel) { c.Enabled = false })
		w.answers(fine)
		w.open(failed("b", alerts.Critical))
		w.end("known")
		w.pass(10 * time.Hour)
		w.want("mail")
		if list := w.deliveries("mail"); len(list) != 2 || list[0].State != rows.GivenUp || !strings.Contains(list[0].Answer, "disabled") {
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

// Who is told that something is over hears why, where nobody mended anything.
func TestWhatIsOverForAnotherReasonSaysSo(t *testing.T) {
	inWorld(t, []string{"ops"}, func(w *world) {
		w.open(failed("a", alerts.Critical))
		w.pass(time.Minute)
		const why = "Nobody is to be told of it any more: it was switched off for the fleet."
		w.edit("a", func(a *alerts.Alert) { a.EndedWhy = why })
		w.end("a")
		w.pass(time.Minute)
		list := w.heard("ops")
		if last := list[len(list)-1]; last.Event != string(rows.Recovered) || !strings.Contains(last.Text, why) {
			t.Errorf("it heard %+v", last)
		}
	})
}
