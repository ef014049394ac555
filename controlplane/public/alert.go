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

// What ended lately is cleared again and again for a while after the start, ever more
// seldom: whoever was connected before, and is back within that time, hears of what ended
// between.
const (
	repeated    = 5 * time.Minute
	soonest     = 2 * time.Second
	repeatedFor = 24 * time.Hour // ended no longer ago than this
	lookAnyway  = time.Minute    // rows that went without a change of any other
)

// alerting is what Run's goroutine knows of alerts.
type alerting struct {
	began  time.Time // the first look
	looked time.Time // when all were read last
	stamp  int64
	known  bool                                 // stamp is that of what was read
	moves  bool                                 // one of them changes by time alone
	there  map[topics.AlertID][sha256.Size]byte // that have a topic, as they were told last but for when they were seen
	ofHost map[topics.HostID]int
	again  map[topics.AlertID]bool // to be cleared again while it is the beginning
	told   time.Time               // when they were cleared last
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
	if a.began.IsZero() {
		if err := p.endedBefore(ctx, now); err != nil {
			p.complain(ctx, err)
			return
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
		a.looked, a.stamp = now, stamp
		a.known = p.standing(list)
	}
	p.clearAgain(now)
}

// standing publishes the alerts that there are, and reports whether all of it was taken.
func (p *Publisher) standing(list []topics.Alert) bool {
	a := &p.alerting
	there, ofHost := make(map[topics.AlertID][sha256.Size]byte, len(list)), map[topics.HostID]int{}
	p.lost, a.moves = false, false
	for _, one := range list {
		id := topics.AlertID(one.ID)
		delete(a.again, id)
		if one.Subject.Host != "" {
			ofHost[topics.HostID(one.Subject.Host)]++
		}
		a.moves = a.moves || one.State == "snoozed"
		payload := string(topics.Encode(one))
		one.SeenAt = "" // it alone is no news
		sum := sha256.Sum256(topics.Encode(one))
		if was, told := a.there[id]; !told || was != sum {
			before := p.lost
			p.lost = false
			p.say(topics.Topic{Kind: topics.KindAlert, Alert: id}, payload, 1, true)
			if p.lost {
				sum = was
			}
			p.lost = p.lost || before
		}
		there[id] = sum
	}
	for id, was := range a.there {
		if _, is := there[id]; is {
			continue
		}
		t := topics.Topic{Kind: topics.KindAlert, Alert: id}
		if p.say(t, "", 1, true) {
			p.forget(t)
		} else {
			there[id] = was // it is cleared at the next look
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
	return !p.lost
}

// endedBefore reads at the start what ended lately.
func (p *Publisher) endedBefore(ctx context.Context, now time.Time) error {
	ended, err := p.Alerts.EndedSince(ctx, now.Add(-repeatedFor).UnixMilli())
	if err != nil {
		return err
	}
	p.alerting.began, p.alerting.again = now, make(map[topics.AlertID]bool, len(ended))
	for _, id := range ended {
		p.alerting.again[id] = true
	}
	return nil
}

// clearAgain clears the topics of what ended before the start.
func (p *Publisher) clearAgain(now time.Time) {
	a := &p.alerting
	if pause := max(soonest, now.Sub(a.began)/2); a.again == nil || now.Sub(a.told) < pause && !a.told.IsZero() {
		return
	}
	a.told = now
	for id := range a.again {
		t := topics.Topic{Kind: topics.KindAlert, Alert: id}
		p.say(t, "", 1, true)
		p.forget(t)
	}
	if since := now.Sub(a.began); since >= repeated || since < 0 {
		a.again = nil
	}
}
