// Package delivery tells channels what they are to hear: at least once, in order for each
// channel, and not again what was answered with success. All of it is in the database, so
// that a restart loses nothing.
//
// A note says that a channel is to hear of an alert, and is written in the transaction of
// the alert's change. Notes of a channel are gathered into one message, at most one of
// which waits at a time: what comes while it is tried is gathered into the next one. What a
// channel knows of an alert is kept, so that only what it does not know yet is told.
package delivery

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	rows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/topics"
)

// Timing holds the durations of this package.
type Timing struct {
	Gather time.Duration // what comes within it goes out together
	Gap    time.Duration // between two looks, however much happens
	Tick   time.Duration // between two looks, however little happens
	Limit  time.Duration // of one try
	First  time.Duration // after the first try that failed; see Wait
	Last   time.Duration // between two tries at most, unless the other side asks for more
	Day    time.Duration // after which a message is given up
	Refuse time.Duration // after which one is given up that the other side would refuse again
	Urgent time.Duration // after which such a one is given up if something critical waits behind it
	Keep   time.Duration // for which messages and their tries are kept
	Known  time.Duration // for which it is kept what channels know of an alert that is over
	Prune  time.Duration // between two looks for what is older
}

// DefaultTiming is what runs unless a test says otherwise.
func DefaultTiming() Timing {
	return Timing{Gather: 30 * time.Second, Gap: time.Second, Tick: 10 * time.Second, Limit: channels.Limit,
		First: 5 * time.Second, Last: 30 * time.Minute, Day: 24 * time.Hour, Refuse: time.Hour,
		Urgent: 2 * time.Minute,
		Keep:   30 * 24 * time.Hour, Known: 48 * time.Hour, Prune: time.Hour}
}

// Bounds.
const (
	MostNamed  = 10        // alerts that a message names; one of more is a summary that leads to the list
	MostPast   = 1000      // alerts that are over and that a channel is still to hear of; beyond it they are counted
	mostKept   = 1000      // messages of a channel that are kept
	mostPruned = 500       // that are removed in one transaction
	longest    = time.Hour // that the other side may ask to be left alone
)

// A Queue sends what is to be told. Fill in the fields before its first use.
type Queue struct {
	Store *store.Store
	// Send tells a channel, by its ID, and says what the other side answered.
	Send func(ctx context.Context, channel string, m channels.Message) channels.Answer
	// Said is an alert as messages have it, for a public address.
	Said func(a alerts.Alert, publicURL string, now time.Time) channels.Alert
	// PublicURL is the address at which people find the control plane, "" for none.
	PublicURL func(ctx context.Context) string
	// Summary makes a digest of what was since a moment. Nil sends none.
	Summary func(ctx context.Context, d routing.Digest, since, now time.Time) (channels.Message, error)
	// Changed is told after what a channel was told changed. It must not block. Nil tells nobody.
	Changed func()
	Now     func() time.Time
	Log     *slog.Logger
	Timing  Timing // the zero value is DefaultTiming

	bellOnce sync.Once
	bell     chan struct{}
	mu       sync.Mutex
	busy     map[string]bool // channels that are being told
	sending  sync.WaitGroup
	pruned   time.Time
	turned   atomic.Pointer[time.Time] // when Run last looked and could
}

func (q *Queue) now() time.Time {
	if q.Now != nil {
		return q.Now()
	}
	return time.Now()
}

func (q *Queue) timing() Timing {
	if q.Timing == (Timing{}) {
		return DefaultTiming()
	}
	return q.Timing
}

func (q *Queue) rang() chan struct{} {
	q.bellOnce.Do(func() { q.bell = make(chan struct{}, 1) })
	return q.bell
}

// Stir has the queue look soon whether there is something to tell. It never blocks.
func (q *Queue) Stir() {
	select {
	case q.rang() <- struct{}{}:
	default:
	}
}

// Note notes who is to hear of changes, within their transaction. The same change again
// notes nothing new.
func (q *Queue) Note(ctx context.Context, tx alerts.Tx, changes []routing.Change) error {
	if len(changes) == 0 {
		return nil
	}
	in := rows.Within(tx)
	w, err := worldOf(ctx, in, 0)
	if err != nil {
		return err
	}
	notes := routing.Plan(changes, w)
	for i := range notes {
		notes[i].ID = topics.NewID(q.now())
	}
	q.Stir()
	return in.Note(ctx, notes)
}

// worldOf reads what decides who hears of what; pauses that ended before a moment are not in
// it.
func worldOf(ctx context.Context, in rows.Queue, since int64) (w *routing.World, err error) {
	w = &routing.World{Tags: map[topics.HostID][]string{}, Users: map[topics.RepositoryID][]topics.HostID{}}
	if w.Channels, err = in.Channels(ctx); err != nil {
		return nil, err
	}
	text, err := in.Rules(ctx)
	if err != nil {
		return nil, err
	}
	if text != "" && json.Unmarshal([]byte(text), &w.Rules) != nil {
		w.Rules = routing.Rules{} // of a later version, or damaged: then everybody is told, rather than nobody
	}
	if w.Pauses, err = in.Pauses(ctx, since); err != nil {
		return nil, err
	}
	tags, err := in.Tags(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range tags {
		var list []string
		if json.Unmarshal([]byte(t.Tags), &list) == nil {
			w.Tags[t.Host] = list
		}
	}
	for _, r := range w.Rules.Rules {
		if len(r.Tags)+len(r.Hosts) > 0 && len(w.Users) == 0 {
			users, err := in.Users(ctx)
			if err != nil {
				return nil, err
			}
			for _, u := range users {
				w.Users[u.Repository] = append(w.Users[u.Repository], u.Host)
			}
		}
	}
	return w, nil
}

// Run tells channels until ctx ends, and returns when every try has ended.
func (q *Queue) Run(ctx context.Context) error {
	defer q.sending.Wait()
	for {
		begun := q.now()
		next, err := q.Step(ctx)
		if err != nil && ctx.Err() == nil {
			q.Log.Error("looking for what is to be told failed", "err", err)
		}
		if err == nil {
			now := time.Now()
			q.turned.Store(&now)
		}
		wait := q.timing().Tick
		if !next.IsZero() {
			wait = min(wait, max(next.Sub(q.now()), 0))
		}
		if err != nil {
			wait = q.timing().Tick
		}
		if !q.wait(ctx, wait, q.rang()) || !q.wait(ctx, q.timing().Gap-q.now().Sub(begun), nil) {
			return nil
		}
	}
}

// Turned is when Run last looked for what is to be told and could, the zero time if it has
// not yet.
func (q *Queue) Turned() time.Time {
	if t := q.turned.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// wait waits for a while or until a bell rings, and reports whether ctx has not ended.
func (q *Queue) wait(ctx context.Context, d time.Duration, bell <-chan struct{}) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-bell:
	case <-timer.C:
	}
	return true
}

// Step gathers what is due into messages and begins to send those whose time has come,
// each channel for itself. It does not wait for them, and returns when there is something
// to do next by time alone; the zero time is never.
func (q *Queue) Step(ctx context.Context) (next time.Time, err error) {
	now := q.now()
	if t := q.timing(); q.pruned.IsZero() || now.Sub(q.pruned) >= t.Prune {
		removed, err := q.Store.Channels().Prune(ctx, now.Add(-t.Keep).UnixMilli(), now.Add(-t.Known).UnixMilli(), mostKept, mostPruned)
		if err != nil {
			return time.Time{}, err
		}
		if removed < mostPruned {
			q.pruned = now
		}
	}
	p, err := q.pass(ctx, now)
	if err != nil {
		return time.Time{}, err
	}
	if len(p.digests) > 0 {
		if err := q.putDigests(ctx, p); err != nil && ctx.Err() == nil {
			q.Log.Error("a digest could not be sent; it is tried again", "err", err)
		}
	}
	for channel, at := range p.heads {
		if at <= now.UnixMilli() {
			q.begin(ctx, channel)
		} else {
			p.at(at)
		}
	}
	if p.next == 0 {
		return time.Time{}, nil
	}
	return time.UnixMilli(p.next), nil
}

// begin sends what waits for a channel, unless that is under way.
func (q *Queue) begin(ctx context.Context, channel string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy[channel] {
		return
	}
	if q.busy == nil {
		q.busy = map[string]bool{}
	}
	q.busy[channel] = true
	q.sending.Go(func() {
		err := q.send(ctx, channel)
		if err != nil && ctx.Err() == nil {
			q.Log.Error("a message could not be recorded; it may come twice", "channel", channel, "err", err)
		}
		q.mu.Lock()
		delete(q.busy, channel)
		q.mu.Unlock()
		if err == nil {
			q.Stir()
		}
	})
}

// send tries the messages of a channel, one after the other, until one has to wait. How a
// try went is recorded before the next is begun.
func (q *Queue) send(ctx context.Context, channel string) error {
	for {
		m, version, waits, err := q.Store.Channels().Head(ctx, channel)
		if err != nil || !waits || m.NextAt > q.now().UnixMilli() {
			return err
		}
		begun := q.now()
		a := q.try(ctx, m)
		failpoint.Here("channel-answered")
		if ctx.Err() != nil && !a.OK {
			return ctx.Err() // it was not the other side that failed
		}
		done := q.now()
		m.Answer, m.Version = a.Text, version
		m = q.judged(m, a, done)
		if m.State == rows.Waiting && a.Hopeless && done.UnixMilli()-m.CreatedAt >= q.timing().Urgent.Milliseconds() {
			urgent, err := q.Store.Channels().Urgent(ctx, channel, m.ID, done.UnixMilli())
			if err != nil {
				return err
			}
			if urgent { // which is not held up by what would be refused again; that is tried anew once the channel works
				m.State, m.EndedAt = rows.GivenUp, done.UnixMilli()
			}
		}
		t := rows.Try{At: begun.UnixMilli(), TookMS: max(done.Sub(begun).Milliseconds(), 0), OK: a.OK, Answer: a.Text}
		if err := q.Store.Channels().Tried(context.WithoutCancel(ctx), m, t); err != nil {
			return err
		}
		if m.State == rows.GivenUp {
			q.Log.Warn("a message was given up", "channel", channel, "tries", m.Tries+1, "err", a.Text)
		}
		if q.Changed != nil {
			q.Changed()
		}
		if ctx.Err() != nil || m.State != rows.Waiting {
			return nil // what comes next is gathered first
		}
	}
}

func (q *Queue) try(ctx context.Context, m rows.Message) channels.Answer {
	var said channels.Message
	if err := json.Unmarshal([]byte(m.Body), &said); err != nil {
		return channels.Answer{Text: "The message cannot be read from the database: " + err.Error(), Hopeless: true}
	}
	ctx, cancel := context.WithTimeout(ctx, q.timing().Limit)
	defer cancel()
	return q.Send(ctx, m.Channel, said)
}

// judged is a message after a try.
func (q *Queue) judged(m rows.Message, a channels.Answer, now time.Time) rows.Message {
	at := now.UnixMilli()
	if a.OK {
		m.State, m.EndedAt, m.NextAt = rows.Sent, at, at
		return m
	}
	t := q.timing()
	wait := max(t.Wait(m.Tries+1), min(time.Duration(max(a.After, 0))*time.Millisecond, longest))
	m.NextAt = now.Add(wait).UnixMilli()
	limit := t.Day
	if a.Hopeless {
		limit = t.Refuse
	}
	if m.NextAt-m.CreatedAt > limit.Milliseconds() {
		m.State, m.EndedAt = rows.GivenUp, at
	}
	return m
}

// Wait is how long to wait after so many tries failed: 5, 15 and 45 seconds, then twice as
// long each time, at most half an hour.
func (t Timing) Wait(tries int64) time.Duration {
	switch {
	case tries <= 1:
		return t.First
	case tries == 2:
		return 3 * t.First
	}
	wait := 9 * t.First
	for n := int64(3); n < tries && wait < t.Last; n++ {
		wait *= 2
	}
	return min(wait, t.Last)
}
