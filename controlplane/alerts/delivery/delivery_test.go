package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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
		n := w.tried("mail")
		w.pass(48 * time.Hour)
		if w.tried("mail") != n {
			w.Errorf("it was tried %d times more", w.tried("mail")-n)
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
