package delivery

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/store/alerts"
	rows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/topics"
)

// later is how long an alert that another one explained is left alone once that is over:
// mostly the next run puts it right.
const later = time.Hour

// What was given up is tried anew after as long as it had been open by then, within these.
const (
	lostFirst = time.Hour
	lostLast  = 6 * time.Hour
)

// A pass looks once at all that is to be told, within one transaction.
type pass struct {
	*Queue
	in      rows.Queue
	w       *routing.World
	now     int64
	alerts  map[string]alerts.Alert
	hearers map[string]map[string]routing.Rule // by alert, then channel
	told    map[string]map[string]rows.Told    // by channel, then alert
	notes   map[string][]rows.Note             // by channel
	unsaid  map[string]rows.Unsaid
	waiting map[string][]rows.Message
	heads   map[string]int64 // when a channel's message is to be tried
	next    int64            // when there is something to do by time alone; 0 is never
	base    string           // the public address
	digests []digest         // that are due
}

// at notes that there is something to do at a moment.
func (p *pass) at(ms int64) {
	if p.next == 0 || ms < p.next {
		p.next = ms
	}
}

// pass gathers what is due into messages, and finds out which digests are.
func (q *Queue) pass(ctx context.Context, now time.Time) (*pass, error) {
	p := &pass{Queue: q, now: now.UnixMilli(), heads: map[string]int64{}}
	if q.PublicURL != nil {
		p.base = q.PublicURL(ctx)
	}
	err := q.Store.Channels().Do(ctx, func(in rows.Queue) error {
		p.in = in
		if err := p.read(ctx); err != nil {
			return err
		}
		if err := p.findDigests(ctx); err != nil {
			return err
		}
		for _, c := range p.w.Channels {
			if err := p.channel(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
	return p, err
}

func (p *pass) read(ctx context.Context) (err error) {
	if p.w, err = worldOf(ctx, p.in, p.now-p.timing().Day.Milliseconds()); err != nil {
		return err
	}
	all, err := p.in.Alerts(ctx)
	if err != nil {
		return err
	}
	p.alerts, p.hearers = map[string]alerts.Alert{}, map[string]map[string]routing.Rule{}
	for _, a := range all {
		p.alerts[a.ID], p.hearers[a.ID] = a, p.w.Hearers(a)
	}
	told, err := p.in.ToldOf(ctx)
	if err != nil {
		return err
	}
	p.told = map[string]map[string]rows.Told{}
	for _, c := range p.w.Channels {
		p.told[c.ID] = map[string]rows.Told{}
	}
	for _, t := range told {
		if p.told[t.Channel] != nil {
			p.told[t.Channel][t.Alert] = t
		}
	}
	notes, err := p.in.Notes(ctx)
	if err != nil {
		return err
	}
	p.notes = map[string][]rows.Note{}
	for _, n := range notes {
		p.notes[n.Channel] = append(p.notes[n.Channel], n)
	}
	unsaid, err := p.in.UnsaidOf(ctx)
	if err != nil {
		return err
	}
	p.unsaid = map[string]rows.Unsaid{}
	for _, u := range unsaid {
		p.unsaid[u.Channel] = u
	}
	waiting, err := p.in.Waiting(ctx)
	p.waiting = map[string][]rows.Message{}
	for _, m := range waiting {
		p.waiting[m.Channel] = append(p.waiting[m.Channel], m)
	}
	return err
}

// channel gathers what one channel is to hear.
func (p *pass) channel(ctx context.Context, c rows.Channel) error {
	if !c.Enabled {
		return p.off(ctx, c)
	}
	if err := p.level(ctx, c); err != nil {
		return err
	}
	due, err := p.settle(ctx, c)
	if err != nil {
		return err
	}
	if waiting := p.waiting[c.ID]; len(waiting) > 0 {
		head := waiting[0]
		if next := p.sooner(c, head, due); next != head.NextAt {
			head.NextAt = next
			if err := p.in.Hurry(ctx, head.ID, next); err != nil {
				return err
			}
		}
		p.heads[c.ID] = head.NextAt
		return nil
	}
	return p.gather(ctx, c, due)
}

// sooner is when to try a message that waits, in the light of what came since.
func (p *pass) sooner(c rows.Channel, head rows.Message, due []due) int64 {
	t := p.timing()
	wait := t.Wait(head.Tries)
	switch {
	case head.NextAt <= p.now:
		return head.NextAt
	case head.Version != 0 && head.Version != c.Version: // what kept it from being sent may be mended
		return p.now
	case head.NextAt > p.now+max(longest, wait).Milliseconds(): // the clock was set back since
		return p.now
	case head.Tries == 0 || head.NextAt > c.LastAt+(wait+2*t.Limit).Milliseconds(): // the other side asked to be left alone
		return head.NextAt
	}
	// Something critical that waits behind it has it tried once more.
	for _, d := range due {
		if d.event == rows.Opened && !d.lost && d.alert.Severity == alerts.Critical && d.since >= c.LastAt {
			return min(head.NextAt, max(p.now, c.LastAt+t.Gather.Milliseconds()))
		}
	}
	return head.NextAt
}

// ahead reports whether a moment of before lies in the future: the clock was set back.
func (p *pass) ahead(ms int64) bool { return ms > p.now+time.Minute.Milliseconds() }

// off ends what waits for a channel that is disabled. What is over by now it is not told
// later either.
func (p *pass) off(ctx context.Context, c rows.Channel) error {
	var learned []rows.Told
	for id, t := range p.told[c.ID] {
		if a, there := p.alerts[id]; there && a.EndedAt > 0 && t.State == rows.Known {
			t.State = rows.Over
			learned = append(learned, t)
		}
	}
	if err := p.in.Tell(ctx, learned); err != nil {
		return err
	}
	if len(p.notes[c.ID])+len(p.waiting[c.ID]) == 0 && p.unsaid[c.ID].Since == 0 {
		return nil
	}
	return p.in.End(ctx, c.ID, "The channel was disabled before this was sent.", p.now)
}

// level notes what a channel is to hear by now and that no change says: again after a
// while, at the end of a time of quiet, and what it did not learn although it is to.
func (p *pass) level(ctx context.Context, c rows.Channel) error {
	noted := map[string]bool{}
	for _, n := range p.notes[c.ID] {
		noted[n.Alert+string(n.Event)] = true
	}
	var fresh []rows.Note
	note := func(a alerts.Alert, event rows.Event, at, due int64) {
		if !noted[a.ID+string(event)] {
			fresh = append(fresh, rows.Note{ID: topics.NewID(time.UnixMilli(p.now)), Channel: c.ID, Alert: a.ID, Event: event, At: at, DueAt: due})
		}
	}
	for id, a := range p.alerts {
		rule, hears := p.hearers[id][c.ID]
		t, knows := p.told[c.ID][id]
		switch {
		case a.EndedAt > 0:
			if knows && t.State == rows.Known {
				note(a, rows.Recovered, a.EndedAt, p.now)
			}
			continue
		case !hears || a.QuietAt > 0:
			continue
		case a.State(p.now) != alerts.Open:
			if a.SnoozedUntil > p.now {
				p.at(a.SnoozedUntil)
			}
			continue
		}
		switch {
		case !knows || t.State == rows.Over:
			note(a, rows.Opened, a.BeganAt, max(a.BeganAt, min(a.SnoozedUntil, p.now))+rule.Delay*1000)
		case t.State == rows.Lost:
			again := t.At + min(max(time.Duration(t.At-a.BeganAt)*time.Millisecond, lostFirst), lostLast).Milliseconds()
			if c.Version != t.Version || c.FailingSince == 0 || again <= p.now || p.ahead(t.At) { // it works again, or may
				note(a, rows.Opened, p.now, p.now)
			} else { // nothing else might ever be told there that shows that it works
				p.at(again)
			}
		case t.State == rows.Swallowed:
			by, there := p.alerts[t.Instead]
			if ended := min(by.EndedAt, p.now); !there || ended > 0 {
				if !there {
					ended = t.At // long ago
				}
				note(a, rows.Opened, p.now, ended+later.Milliseconds())
			}
		case t.State != rows.Known:
		case routing.Worse(a.Severity, t.Severity):
			note(a, rows.Opened, p.now, p.now)
		case a.AckedAt == 0 && rule.RepeatEvery > 0:
			if again := t.At + rule.RepeatEvery*1000; again <= p.now || p.ahead(t.At) {
				note(a, rows.Reminded, min(again, p.now), min(again, p.now))
			} else {
				p.at(again)
			}
		}
	}
	p.notes[c.ID] = append(p.notes[c.ID], fresh...)
	return p.in.Note(ctx, fresh)
}

// gather makes a message of what is due, once the time to gather is over.
func (p *pass) gather(ctx context.Context, c rows.Channel, all []due) error {
	if len(all) == 0 {
		return nil
	}
	first := all[0].since
	for _, d := range all {
		first = min(first, d.since)
	}
	if at := first + p.timing().Gather.Milliseconds(); at > p.now {
		p.at(at)
		return nil
	}
	for _, kind := range []due{{event: rows.Opened}, {event: rows.Recovered}, {event: rows.Reminded},
		{event: rows.Opened, lost: true}} { // by itself, since it may be given up again
		var list []due
		for _, d := range all {
			if d.event == kind.event && d.lost == kind.lost {
				list = append(list, d)
			}
		}
		if len(list) > 0 {
			return p.put(ctx, c, kind.event, list) // the rest is gathered when this one is told
		}
	}
	return nil
}

// put makes a message.
func (p *pass) put(ctx context.Context, c rows.Channel, event rows.Event, list []due) error {
	var ids, done []string
	for _, d := range list {
		ids, done = append(ids, d.alert.ID), append(done, d.notes...)
	}
	whole, err := p.in.Whole(ctx, ids)
	if err != nil {
		return err
	}
	m := rows.Message{ID: topics.NewID(time.UnixMilli(p.now)), Channel: c.ID, Event: event, State: rows.Waiting, CreatedAt: p.now,
		NextAt: p.now}
	var swallowed map[string][]alerts.Alert
	told := map[string]string{} // by alert, what explains it
	if event == rows.Opened {
		whole, swallowed = p.swallow(c, whole)
		for by, list := range swallowed {
			for _, a := range list {
				told[a.ID] = by
			}
		}
	}
	var learned []rows.Told
	learn := func(a alerts.Alert, state, instead string) {
		t := rows.Told{Channel: c.ID, Alert: a.ID, State: state, Message: m.ID, At: p.now, BeganAt: a.BeganAt, Severity: a.Severity,
			Instead: instead}
		learned = append(learned, t)
	}
	state := map[rows.Event]string{rows.Opened: rows.Telling, rows.Recovered: rows.Closing, rows.Reminded: rows.Known}[event]
	for _, a := range whole {
		learn(a, state, "")
		m.Alerts = append(m.Alerts, a.ID)
	}
	for by, list := range swallowed {
		for _, a := range list {
			learn(a, rows.Swallowed, by)
			m.Alerts = append(m.Alerts, a.ID)
		}
	}
	if err := p.in.Tell(ctx, learned); err != nil {
		return err
	}
	if err := p.in.Drop(ctx, done); err != nil {
		return err
	}
	if len(whole) == 0 {
		return nil // all is explained by what the channel knows
	}
	if m.Body, err = body(p.message(event, whole, swallowed, p.unsaid[c.ID])); err != nil {
		return err
	}
	if err := p.in.Say(ctx, c.ID); err != nil {
		return err
	}
	p.heads[c.ID] = m.NextAt
	return p.in.Put(ctx, m)
}
