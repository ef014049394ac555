package public

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// told is alerts as their service would tell them.
type told struct {
	mu       sync.Mutex
	stamp    int64
	standing []topics.Alert
	ended    []topics.AlertID
	fails    error
	refused  int // how often it failed
}

func (t *told) set(list ...topics.Alert) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stamp++
	t.standing = list
}

func (t *told) Stamp(context.Context) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fails != nil {
		t.refused++
	}
	return t.stamp, t.fails
}

func (t *told) Standing(context.Context) ([]topics.Alert, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.standing, t.fails
}

func (t *told) EndedSince(context.Context, int64) ([]topics.AlertID, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended, t.fails
}

func alertOf(id, state string, host topics.HostID) topics.Alert {
	return topics.Alert{ID: id, Condition: "backup-failed", Severity: "critical", State: state, Count: 1,
		Subject: topics.Subject{Kind: "group", ID: "letters-0001", Name: "attic · letters", Host: string(host)}}
}

// alertDesk runs a publisher that hears of alerts from told.
func alertDesk(t *testing.T, s *store.Store, alerts *told, e *ear) *Publisher {
	t.Helper()
	p := New(Config{Store: s, Presence: hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil), Hub: jobs.NewHub(), Box: e.box(t, s),
		Alerts: alerts, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Timing: Timing{Quiet: time.Millisecond, Running: time.Millisecond, Look: 5 * time.Millisecond}})
	run, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return p
}

func enrolled(t *testing.T, s *store.Store, id topics.HostID) topics.HostID {
	t.Helper()
	hash := sha256.Sum256([]byte(id))
	err := s.AddEnrollToken(t.Context(), store.EnrollToken{ID: "token-" + string(id), KeyHash: hash[:], CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000})
	if err != nil {
		t.Fatal(err)
	}
	return must(s.Enroll(t.Context(), hash[:], store.Host{ID: id, SealKey: []byte("k"), Hostname: string(id)})).ID
}

// last is the last message of an alert's topic.
func (e *ear) last(id string) message {
	name := topics.Topic{Kind: topics.KindAlert, Alert: topics.AlertID(id)}.String()
	var m message
	for _, one := range e.about(name) {
		m = one
	}
	return m
}

func (e *ear) alert(id string) (a topics.Alert) {
	_ = json.Unmarshal([]byte(e.last(id).payload), &a) // none yet is no alert
	return a
}

func TestAnAlertIsRetainedWhileItGoesOn(t *testing.T) {
	s := storetest.Open(t, store.Open)
	host := enrolled(t, s, "attic-0001")
	alerts, e := &told{}, &ear{}
	p := alertDesk(t, s, alerts, e)
	count := func(want int) func() bool {
		return func() bool {
			list := e.about(topics.Topic{Kind: topics.KindHostState, Host: host}.String())
			var v topics.HostState
			return len(list) > 0 && json.Unmarshal([]byte(list[len(list)-1].payload), &v) == nil && v.Alerts == want
		}
	}
	await(t, "a host without alerts", count(0))

	alerts.set(alertOf("alert-0001", "open", host), alertOf("alert-0002", "snoozed", ""))
	p.AlertsChanged()
	await(t, "the alert's topic", func() bool { return e.alert("alert-0001").State == "open" })
	if m := e.last("alert-0001"); !m.retain || m.qos != 1 {
		t.Errorf("it is published as %+v; want it retained, QoS 1", m)
	}
	await(t, "the host to have one", count(1))
	await(t, "the other's", func() bool { return e.alert("alert-0002").State == "snoozed" })

	alerts.set(alertOf("alert-0001", "open", host), alertOf("alert-0002", "open", "")) // by time alone: no row changed
	await(t, "the snoozed one to be open", func() bool { return e.alert("alert-0002").State == "open" })

	alerts.set(alertOf("alert-0002", "open", "")) // by another process: nobody says so
	await(t, "the ended one's topic to be cleared", func() bool { return e.last("alert-0001").payload == "" })
	if m := e.last("alert-0001"); !m.retain {
		t.Errorf("it is cleared by %+v, which is not retained", m)
	}
	await(t, "the host to have none", count(0))
	if n := len(e.about("alert/alert-0001")); n != 2 {
		t.Errorf("%d messages of one alert; want that it is there, and that it is over", n)
	}
}

func TestWhatEndedWhileNothingRanIsClearedAtTheStart(t *testing.T) {
	alerts, e := &told{ended: []topics.AlertID{"alert-0001", "alert-0002"}}, &ear{}
	alerts.set(alertOf("alert-0002", "open", "")) // it came back between the two looks
	alertDesk(t, storetest.Open(t, store.Open), alerts, e)
	await(t, "the ended one to be cleared", func() bool { m := e.last("alert-0001"); return m.retain && m.payload == "" })
	await(t, "the other to be there", func() bool { return e.alert("alert-0002").State == "open" })
	for _, m := range e.about("alert-0002") {
		if m.payload == "" {
			t.Error("an alert that goes on was cleared")
		}
	}
}

func TestAlertsThatCannotBeReadStayAsTheyAre(t *testing.T) {
	alerts, e := &told{}, &ear{}
	alerts.set(alertOf("alert-0001", "open", ""))
	p := alertDesk(t, storetest.Open(t, store.Open), alerts, e)
	await(t, "the alert's topic", func() bool { return e.alert("alert-0001").State == "open" })
	alerts.mu.Lock()
	alerts.fails = errors.New("the disk is full")
	alerts.mu.Unlock()
	p.AlertsChanged()
	await(t, "it to be asked in vain", func() bool {
		alerts.mu.Lock()
		defer alerts.mu.Unlock()
		return alerts.refused > 0
	})
	if m := e.last("alert-0001"); m.payload == "" {
		t.Error("an alert was cleared because nobody could say whether it goes on")
	}
	alerts.mu.Lock()
	alerts.fails = nil
	alerts.mu.Unlock()
	alerts.set()
	await(t, "its end", func() bool { return e.last("alert-0001").payload == "" })
}
