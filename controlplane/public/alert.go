package public

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// Alerts is what consumers hear of alerts.
type Alerts interface {
	// Stamp is another number after each change of any alert, by whatever process, and
	// of the address that their links begin with.
	Stamp(ctx context.Context) (int64, error)
	// Standing lists the alerts that have not ended, as they are told now.
	Standing(ctx context.Context) ([]topics.Alert, error)
	// EndedSince lists those that ended at or after a moment, in Unix milliseconds.
	EndedSince(ctx context.Context, since int64) ([]topics.AlertID, error)
}

const (
	endedFor   = 24 * time.Hour // what ended no longer ago than this is cleared after a start
	lookAnyway = time.Minute    // rows that went without a change of any other
)

// alerting is what Run's goroutine knows of alerts.
type alerting struct {
	began  bool      // what ended lately was read
	looked time.Time // when all were read last
	stamp  int64
	known  bool                                 // stamp is that of what was read
	moves  bool                                 // one of them changes by time alone
	there  map[topics.AlertID][sha256.Size]byte // that have a topic, as they were told last but for when they were seen
	ofHost map[topics.HostID]int
}

// AlertsChanged tells the publisher that there may be something new about alerts. It
// never blocks.
func (p *Publisher) AlertsChanged() {
	p.mu.Lock()
	p.alarmed = true
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// alerts publishes what changed of alerts, and clears the topics of those that ended.
func (p *Publisher) alerts(ctx context.Context) {
	if p.Alerts == nil {
		return
	}
	p.mu.Lock()
	p.alarmed = false
	p.mu.Unlock()
	now, a := p.Now(), &p.alerting
	if !a.began {
		ended, err := p.Alerts.EndedSince(ctx, now.Add(-endedFor).UnixMilli())
		if err != nil {
			p.complain(ctx, err)
			return
		}
		a.began = true
		for _, id := range ended { // whoever was connected before is told, and hears it again for a while
			p.say(topics.Topic{Kind: topics.KindAlert, Alert: id}, "")
		}
	}
	stamp, err := p.Alerts.Stamp(ctx) // before the rows: what changes between is read again
	if err != nil {
		p.complain(ctx, err)
		return
	}
	if since := now.Sub(a.looked); !a.known || stamp != a.stamp || a.moves || since >= lookAnyway || since < 0 {
		list, err := p.Alerts.Standing(ctx)
		if err != nil {
			p.complain(ctx, err)
			return
		}
		a.looked, a.stamp, a.known = now, stamp, true
		p.standing(list)
	}
}

// standing publishes the alerts that there are.
func (p *Publisher) standing(list []topics.Alert) {
	a := &p.alerting
	there, ofHost := make(map[topics.AlertID][sha256.Size]byte, len(list)), map[topics.HostID]int{}
	a.moves = false
	for _, one := range list {
		id := topics.AlertID(one.ID)
		if one.Subject.Host != "" {
			ofHost[topics.HostID(one.Subject.Host)]++
		}
		a.moves = a.moves || one.State == "snoozed"
		payload := string(topics.Encode(one))
		one.SeenAt = "" // it alone is no news
		sum := sha256.Sum256(topics.Encode(one))
		if was, told := a.there[id]; !told || was != sum {
			p.say(topics.Topic{Kind: topics.KindAlert, Alert: id}, payload)
		}
		there[id] = sum
	}
	for id := range a.there {
		if _, is := there[id]; !is {
			p.say(topics.Topic{Kind: topics.KindAlert, Alert: id}, "")
		}
	}
	p.mu.Lock()
	for id, n := range ofHost {
		if a.ofHost[id] != n {
			p.dirty[id] = true
		}
	}
	for id := range a.ofHost {
		if ofHost[id] == 0 {
			p.dirty[id] = true
		}
	}
	p.mu.Unlock()
	a.there, a.ofHost = there, ofHost
}
