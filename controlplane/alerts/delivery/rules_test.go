package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/store/alerts"
	rows "github.com/restic-manager/restic-manager/store/channels"
)

func rule(r routing.Rule) routing.Rules {
	r.ID, r.Name = "one", "one"
	if len(r.Channels) == 0 {
		r.Channels = []string{"mail"}
	}
	return routing.Rules{Rules: []routing.Rule{r}}
}

func TestOnlyWhatIsStillOpenAfterADelayIsTold(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.rules(rule(routing.Rule{Delay: 900, Recovered: true}))
		w.open(failed("a", alerts.Critical), failed("b", alerts.Critical), failed("c", alerts.Critical))
		w.pass(10 * time.Minute)
		w.end("a")
		w.edit("c", func(a *alerts.Alert) { a.AckedAt, a.AckedBy = w.ms(), "anna" })
		w.pass(4 * time.Minute)
		w.want("mail")
		w.pass(2 * time.Minute)
		w.want("mail", "opened b")
		w.end("b", "c")
		w.pass(time.Hour)
		w.want("mail", "recovered b")
	})
}

func TestQuietHoursHoldWhatIsNotCritical(t *testing.T) {
	for _, c := range []struct {
		waits bool
		night []string
		day   []string
	}{
		{false, []string{"opened c", "recovered c"}, []string{"opened w"}},
		{true, nil, []string{"opened w", "recovered c"}}, // c began and was over: it is not lost
	} {
		inWorld(t, []string{"mail"}, func(w *world) {
			w.rules(rule(routing.Rule{QuietFrom: "22:00", QuietTo: "07:00", Zone: "UTC", CriticalWaits: c.waits, Recovered: true}))
			w.pass(11 * time.Hour) // 23:00
			w.open(failed("w", alerts.Warning), failed("gone", alerts.Warning), failed("c", alerts.Critical))
			w.pass(time.Hour)
			w.end("gone", "c")
			w.pass(6 * time.Hour)
			text := ""
			for _, m := range w.heard("mail") {
				text += m.Text
			}
			w.want("mail", c.night...)
			w.pass(time.Hour + time.Minute)
			for _, m := range w.heard("mail") {
				text += m.Text
			}
			if strings.Count(text, "1 alert came and went") != 1 {
				w.Errorf("it was told %q", text)
			}
			w.want("mail", c.day...)
		})
	}
}

func TestRemindersComeAsOftenAsARuleSaysAndNeverInABurst(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.rules(rule(routing.Rule{RepeatEvery: 3600 * 4}))
		w.open(failed("a", alerts.Critical))
		w.pass(time.Minute)
		w.want("mail", "opened a")
		w.pass(12*time.Hour + 5*time.Minute)
		w.want("mail", "reminded a", "reminded a", "reminded a")
		w.stop()
		w.pass(400 * time.Hour)
		w.start()
		w.pass(time.Hour)
		w.want("mail", "reminded a")
		w.answers(fail("503"))
		w.pass(20 * time.Hour)
		w.answers(fine)
		w.pass(time.Hour)
		w.want("mail", "reminded a")
		w.edit("a", func(a *alerts.Alert) { a.AckedAt, a.AckedBy = w.ms(), "anna" })
		w.pass(100 * time.Hour)
		w.want("mail")
		w.end("a")
		w.pass(time.Minute)
		w.want("mail") // the rule does not want to hear that it is over
	})
}

func TestASnoozedAlertIsQuietUntilItsMoment(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.open(failed("told", alerts.Critical))
		w.pass(time.Minute)
		w.want("mail", "opened told")
		w.open(failed("early", alerts.Critical))
		until := w.ms() + (8 * time.Hour).Milliseconds()
		for _, id := range []string{"told", "early"} {
			w.edit(id, func(a *alerts.Alert) { a.SnoozedUntil, a.SnoozedBy = until, "anna" })
		}
		w.pass(7 * time.Hour)
		w.want("mail")
		w.pass(time.Hour)
		for _, id := range []string{"told", "early"} {
			a, err := w.store.Alerts().Get(w.Context(), id)
			if err != nil {
				w.Fatal(err)
			}
			a.SnoozedUntil = 0
			w.change(rows.Reminded, a)
			w.change(rows.Reminded, a)
		}
		w.pass(time.Minute)
		w.want("mail", "opened early", "reminded told")
		w.pass(100 * time.Hour)
		w.want("mail")
	})
}

func TestInAPauseNothingIsToldAndAfterItWhatIsStillOpen(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.open(failed("before", alerts.Critical))
		w.pass(time.Minute)
		w.want("mail", "opened before")
		for _, host := range []string{"host-stays", "host-goes", "host-before"} {
			if err := w.store.Alerts().AddPause(w.Context(), alerts.Pause{ID: "p" + host, Kind: "host", Subject: host, From: w.ms(),
				Until: w.ms() + (2 * time.Hour).Milliseconds(), CreatedBy: "test"}, "pause"); err != nil {
				w.Fatal(err)
			}
		}
		w.pass(time.Minute)
		w.open(failed("stays", alerts.Critical), failed("goes", alerts.Critical), failed("another", alerts.Critical))
		w.pass(time.Hour)
		w.end("goes", "before")
		w.want("mail", "opened another")
		w.pass(time.Hour)
		w.want("mail", "opened stays", "recovered before")
	})
}

// An alert that became worse is told again, and one that flaps is not.
func TestWhatBecomesWorseIsToldAgain(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.open(failed("a", alerts.Warning), failed("flaps", alerts.Warning))
		w.pass(time.Minute)
		w.want("mail", "opened a flaps")
		w.edit("flaps", func(a *alerts.Alert) { a.QuietAt, a.Count = w.ms(), 3 })
		w.edit("a", func(a *alerts.Alert) { a.Severity = alerts.Critical })
		w.queue.Stir()
		w.pass(time.Minute)
		w.want("mail", "opened a")
		w.edit("flaps", func(a *alerts.Alert) { a.QuietAt, a.BeganAt, a.Count = 0, w.ms(), 4 })
		w.edit("a", func(a *alerts.Alert) { a.Severity = alerts.Warning })
		w.queue.Stir()
		w.pass(time.Hour)
		w.want("mail")
	})
}

func TestANewChannelHearsWhatIsOpen(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(failed("a", alerts.Critical))
		w.pass(100 * time.Hour)
		if err := w.store.Channels().Add(w.Context(), "test", rows.Channel{ID: "mail", Name: "mail", Kind: "webhook", Enabled: true,
			Version: 1}); err != nil {
			w.Fatal(err)
		}
		w.queue.Stir()
		w.pass(time.Second)
		w.want("mail", "opened a")
	})
}

func TestAChannelIsNotToldThatItFailsItself(t *testing.T) {
	inWorld(t, []string{"mail", "phone"}, func(w *world) {
		w.open(alerts.Alert{ID: "silent", Key: alerts.Key{Condition: "channel-failing", On: alerts.OnChannel, Subject: "mail"},
			Severity: alerts.Warning, Body: failed("mail", "").Body})
		w.pass(time.Minute)
		w.want("mail")
		w.want("phone", "opened silent")
		w.end("silent")
		w.pass(time.Minute)
		w.want("mail")
		w.want("phone", "recovered silent")
	})
}

func TestARepositoryThatCannotBeReachedSwallowsWhatItExplains(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		attic := alerts.Alert{ID: "attic", Key: alerts.Key{Condition: "repository-unreachable", On: alerts.OnRepository, Subject: "attic"},
			Repository: "attic", Severity: alerts.Critical, Body: failed("attic", "").Body}
		attic.Body.V.Swallows = []string{"never opened"}
		var list []alerts.Alert
		for i := range 5 {
			list = append(list, failed(fmt.Sprint("h", i), alerts.Critical))
		}
		other := failed("other", alerts.Critical)
		other.Repository = "cellar"
		w.open(append(list, other)...)
		w.pass(5 * time.Second)
		w.open(attic)
		w.pass(time.Minute)
		got := w.heard("mail")
		if len(got) != 1 || !strings.Contains(got[0].Text, "attic: this explains h0, h1, h2, h3, h4, never opened") {
			w.Errorf("it was told %+v", got)
		}
		w.want("mail", "opened other attic")
		w.end("h0", "h1")
		w.pass(time.Hour)
		w.want("mail")
		w.end("attic")
		w.pass(time.Minute)
		w.want("mail", "recovered attic")
		w.end("h2")
		w.pass(2 * time.Hour)
		w.want("mail", "opened h3 h4") // the next backups did not put them right
		w.end("h3", "h4")
		w.pass(time.Hour)
		w.want("mail", "recovered h3 h4")
	})
}

func TestADigestComesOnceADayAlsoWhenAllIsWell(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		made := 0
		w.stop()
		w.queue.Summary = func(_ context.Context, d routing.Digest, since, now time.Time) (channels.Message, error) {
			if made++; made == 2 {
				return channels.Message{}, errors.New("the database is busy")
			}
			return channels.Message{Title: d.Every + " from " + since.UTC().Format(time.DateTime)}, nil
		}
		w.queue.Timing.Tick = 10 * time.Minute // until one that could not be made is tried again
		w.queue.bell = nil
		w.run()
		w.rules(routing.Rules{Digests: []routing.Digest{{Channels: []string{"mail"}, Every: routing.Daily, At: "02:30", Zone: "Europe/Berlin"}}})
		titles := func() (all []string) {
			for _, m := range w.heard("mail") {
				all = append(all, m.Title+" at "+time.UnixMilli(m.At).UTC().Format(time.DateTime))
			}
			w.told("mail")
			return all
		}
		w.pass(48 * time.Hour)
		if got := titles(); len(got) != 2 || got[0] != "daily from 2026-03-02 01:30:00 at 2026-03-03 01:30:00" {
			w.Errorf("it was told %q", got)
		}
		w.stop()
		time.Sleep(time.Until(time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC)))
		w.queue.bell = nil
		w.run()
		w.pass(time.Hour)
		if got := titles(); len(got) != 1 || got[0] != "daily from 2026-03-26 01:30:00 at 2026-03-27 12:00:00" {
			w.Errorf("after a downtime it was told %q", got)
		}
		w.pass(72 * time.Hour) // spring's gap is at 01:00 UTC on the 29th
		if got := titles(); len(got) != 3 || !strings.HasSuffix(got[1], "at 2026-03-29 01:00:00") ||
			!strings.HasSuffix(got[2], "at 2026-03-30 00:30:00") {
			w.Errorf("around the change of the clock it was told %q", got)
		}
		w.rules(routing.Rules{})
		w.pass(72 * time.Hour)
		if got := titles(); len(got) != 0 {
			w.Errorf("without digests it was told %q", got)
		}
	})
}

// What was answered is not sent again, and what was not recorded once more.
func TestAStopRepeatsNothingThatWasAnswered(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.answers(func(ctx context.Context, _ string, _ channels.Message) channels.Answer {
			select { // the answer comes while the process ends
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			return channels.Answer{OK: true}
		})
		w.open(failed("a", alerts.Critical))
		w.pass(30*time.Second + 500*time.Millisecond)
		w.stop()
		w.want("mail", "opened a")
		w.start()
		w.pass(time.Hour)
		w.want("mail")
		w.answers(func(ctx context.Context, _ string, _ channels.Message) channels.Answer {
			<-ctx.Done()
			return channels.Answer{Text: "context canceled"}
		})
		w.open(failed("b", alerts.Critical))
		w.pass(35 * time.Second)
		w.stop()
		w.answers(fine)
		w.start()
		w.pass(time.Second)
		w.want("mail", "opened b")
		if list := w.deliveries("mail"); len(list[0].Tried) != 1 {
			w.Errorf("a try that we broke off counts: %+v", list[0])
		}
	})
}

func TestOldMessagesAreRemoved(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.open(failed("a", alerts.Critical))
		w.pass(time.Hour)
		w.pass(29 * 24 * time.Hour)
		if list := w.deliveries("mail"); len(list) != 1 {
			w.Errorf("after 29 days there are %d messages", len(list))
		}
		w.queue.Stir()
		w.pass(48 * time.Hour)
		w.queue.Stir()
		w.pass(time.Minute)
		if list := w.deliveries("mail"); len(list) != 0 {
			w.Errorf("after 31 days there are %d messages", len(list))
		}
		w.end("a")
		w.pass(time.Minute)
		w.want("mail", "opened a", "recovered a")
	})
}

// While a channel does not answer, what waits for it is bounded, and what is left out said.
func TestWhatWaitsForAChannelIsBounded(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.answers(fail("503"))
		w.open(failed("first", alerts.Critical))
		w.pass(time.Minute)
		for round := range 6 {
			var list []alerts.Alert
			var ids []string
			for i := range 300 {
				a := failed(fmt.Sprintf("r%d-%d", round, i), alerts.Critical)
				list, ids = append(list, a), append(ids, a.ID)
			}
			w.open(list...)
			w.pass(time.Hour)
			w.end(ids...)
		}
		w.pass(time.Minute)
		w.queue.Stir()
		w.pass(time.Minute)
		kept := map[string]bool{}
		err := w.store.Channels().Do(w.Context(), func(in rows.Queue) error {
			notes, err := in.Notes(w.Context())
			for _, n := range notes {
				kept[n.Alert] = true
			}
			return err
		})
		if err != nil || len(kept) != MostPast {
			w.Errorf("%d alerts wait, %v", len(kept), err)
		}
		w.answers(fine)
		w.pass(time.Hour)
		got := w.heard("mail")
		if len(got) != 2 || len(got[1].Alerts)+got[1].More != MostPast || !strings.Contains(got[1].Text, "800 alerts came and went") {
			w.Errorf("it was told %+v", got)
		}
	})
}

// What was told is taken back, whatever rules, tags and severities are by then.
func TestWhatWasToldIsTakenBackAlsoUnderOtherRules(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		w.rules(rule(routing.Rule{Hosts: []string{"host-a", "host-b"}, Recovered: true}))
		w.open(failed("a", alerts.Critical), failed("b", alerts.Critical))
		w.pass(time.Minute)
		w.want("mail", "opened a b")
		w.rules(rule(routing.Rule{Hosts: []string{"host-b"}}))
		w.end("a", "b")
		w.pass(time.Minute)
		w.want("mail", "recovered a")
	})
}

// Rules that cannot be read keep nobody from being told.
func TestRulesThatCannotBeReadCountAsNone(t *testing.T) {
	inWorld(t, []string{"mail"}, func(w *world) {
		if _, err := w.store.Alerts().Set(w.Context(), "test", alerts.Rules, `{"rules":[{"id":7}]}`, 0, "rules"); err != nil {
			w.Fatal(err)
		}
		w.open(failed("a", alerts.Critical))
		w.pass(time.Minute)
		w.want("mail", "opened a")
	})
}
