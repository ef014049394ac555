package outbox

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	rows "github.com/restic-manager/restic-manager/store/outbox"
	"github.com/restic-manager/restic-manager/topics"
)

// Timing holds the durations of a box.
type Timing struct {
	Look    time.Duration // between two looks for what nobody announced, and two tries to write what could not be written
	Return  time.Duration // what waited for somebody to listen is said so long after somebody does,
	Nobody  time.Duration // and so long after the start although nobody does
	Soonest time.Duration // what was cleared is cleared again ever more seldom, beginning so long after the start,
	Again   time.Duration // until so long after it
	Cleared time.Duration // what was cleared is remembered at least so long, for whoever is away,
	Longest time.Duration // and no longer than this, though an outlet has been away
}

// DefaultTiming is what runs unless a test says otherwise.
func DefaultTiming() Timing {
	return Timing{Look: time.Second, Return: 2 * time.Second, Nobody: 30 * time.Second, Soonest: 2 * time.Second, Again: 5 * time.Minute,
		Cleared: 24 * time.Hour, Longest: 7 * 24 * time.Hour}
}

// Config holds what a box needs.
type Config struct {
	Rows   rows.Rows
	Log    *slog.Logger
	Timing Timing
	Now    func() time.Time
}

// A key is a topic of an outlet.
type key struct {
	outlet Outlet
	topic  string
}

// A fact is what is known of what was put at a topic.
type fact struct {
	sum     [sha256.Size]byte
	n       int64
	at      int64 // Unix milliseconds
	cleared bool
	heard   map[Outlet]bool // that confirmed that it is cleared
}

// An outlet is one that is used.
type outlet struct {
	dialect Dialect
	reached int64         // how far it has come in what is said once
	shut    chan struct{} // closed when it is not used any more
}

// A Box holds what is said. It is safe for concurrent use; Run looks after it.
type Box struct {
	Config
	began time.Time

	writing sync.Mutex // held by whoever puts something, so that rows come in the order of their numbers
	failed  time.Time  // when it was last complained that the database cannot be written; under writing

	mu        sync.Mutex
	n         int64 // the number of the last change,
	done      int64 // and of the last one that outlets may be given
	index     map[key]*fact
	unwritten map[key]rows.Retained // that the database did not take
	outlets   map[Outlet]*outlet
	followers map[*follower]bool
	over      map[string]bool // topics of jobs whose ends were sent lately: no progress follows
	overs     []string        // the same, the oldest first
	changed   func()          // see OnDialects
	end       func(context.Context, topics.JobID) (Message, bool, error)
}

// New reads what is retained. The caller goes on to Run.
func New(ctx context.Context, c Config) (*Box, error) {
	b := &Box{Config: c, began: c.Now(), index: map[key]*fact{}, unwritten: map[key]rows.Retained{}, outlets: map[Outlet]*outlet{},
		followers: map[*follower]bool{}, over: map[string]bool{}}
	err := c.Rows.Each(ctx, func(r rows.Retained) {
		b.n = max(b.n, r.N)
		b.index[key{Outlet(r.Outlet), r.Topic}] = &fact{sum: sha256.Sum256([]byte(r.Payload)), n: r.N, at: r.At, cleared: r.Cleared()}
	})
	b.done = b.n
	return b, err
}

// Open has an outlet be used: what it retains is kept up to date from now on, though it may
// be away. Of one that is used already it changes how it is spoken to: whoever follows it
// is stopped with ErrShut, and follows again. What is to be used is opened before Run.
func (b *Box) Open(ctx context.Context, d Dialect) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	n, err := b.Rows.Use(ctx, string(d.Outlet))
	if err != nil {
		return err
	}
	b.mu.Lock()
	if o := b.outlets[d.Outlet]; o != nil {
		close(o.shut)
		n = max(n, o.reached)
	}
	b.outlets[d.Outlet] = &outlet{dialect: d, reached: n, shut: make(chan struct{})}
	changed := b.changed
	b.mu.Unlock()
	if changed != nil {
		changed()
	}
	return nil
}

// Shut has an outlet not be used any more. What is to be cleared there is cleared before.
func (b *Box) Shut(ctx context.Context, name Outlet) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	if o := b.outlets[name]; o != nil {
		close(o.shut)
		delete(b.outlets, name)
	}
	changed := b.changed
	b.mu.Unlock()
	err := b.only(ctx)
	if changed != nil {
		changed()
	}
	return err
}

// only forgets outlets that are not used.
func (b *Box) only(ctx context.Context) error {
	names := []string{}
	for _, d := range b.Dialects() {
		names = append(names, string(d.Outlet))
	}
	return b.Rows.Only(ctx, names)
}

// Dialects lists how the outlets that are used are spoken to, by name.
func (b *Box) Dialects() []Dialect {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []Dialect{}
	for _, o := range b.outlets {
		list = append(list, o.dialect)
	}
	slices.SortFunc(list, func(x, y Dialect) int { return strings.Compare(string(x.Outlet), string(y.Outlet)) })
	return list
}

// OnDialects has f be called after what Dialects returns has changed. It must not block.
func (b *Box) OnDialects(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed = f
}

// OnEnded has f say what is said of the end of a job; false is nothing. Until it is called
// no end is said.
func (b *Box) OnEnded(f func(context.Context, topics.JobID) (Message, bool, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end = f
}

// most is how many rows are written in a transaction, and read at a time: others want to
// write between, too.
const most = 256

// Put says messages at every outlet: what is retained unless it is what was said there
// last, anything else of QoS 1 once, and what is of QoS 0 to those that are connected now.
// It returns when they are in the database. One that cannot be written is sent all the
// same, and written when that is possible again.
func (b *Box) Put(ctx context.Context, messages ...Message) {
	b.writing.Lock()
	defer b.writing.Unlock()
	for len(messages) > 0 {
		n := min(most, len(messages))
		b.put(ctx, messages[:n])
		messages = messages[n:]
	}
}

func (b *Box) put(ctx context.Context, messages []Message) {
	now := b.Now().UnixMilli()
	var onces []rows.Once
	fleeting, put := []Message{}, map[key]rows.Retained{}
	b.mu.Lock()
	for _, m := range messages {
		k := key{m.Outlet, m.Topic}
		switch {
		case !m.Retain && m.QoS == 0:
			fleeting = append(fleeting, m)
			continue
		case !m.Retain:
			onces = append(onces, rows.Once{Outlet: string(m.Outlet), Topic: m.Topic, Payload: string(m.Payload), At: now})
			continue
		}
		_, twice := put[k]
		if f := b.index[k]; !twice && f != nil && f.sum == sha256.Sum256(m.Payload) {
			continue
		}
		b.n++
		put[k] = rows.Retained{Outlet: string(m.Outlet), Topic: m.Topic, Payload: string(m.Payload), N: b.n, At: now}
	}
	b.mu.Unlock()
	if len(put)+len(onces) > 0 && !b.write(ctx, put, onces) {
		for _, o := range onces {
			fleeting = append(fleeting, Message{Outlet: Outlet(o.Outlet), Topic: o.Topic, Payload: []byte(o.Payload), QoS: 1})
		}
	}
	b.mu.Lock()
	for k, r := range put {
		b.index[k] = &fact{sum: sha256.Sum256([]byte(r.Payload)), n: r.N, at: r.At, cleared: r.Cleared()}
	}
	b.done = b.n
	for _, m := range fleeting {
		b.say(m)
	}
	b.mu.Unlock()
	b.Stir()
}

// write writes rows, with those that could not be written before. It reports whether it
// did; rows that could not be written are kept.
func (b *Box) write(ctx context.Context, put map[key]rows.Retained, onces []rows.Once) bool {
	b.mu.Lock()
	left := maps.Clone(b.unwritten)
	b.mu.Unlock()
	late := len(left) > 0
	maps.Copy(left, put)
	all := slices.SortedFunc(maps.Values(left), byN)
	ok := true
	for first := true; ok && (first || len(all) > 0); first = false {
		some := all[:min(most, len(all))]
		all = all[len(some):]
		var once []rows.Once
		if len(all) == 0 {
			once = onces
		}
		if err := b.Rows.Put(ctx, some, once); err != nil {
			if now := b.Now(); ctx.Err() == nil && (b.failed.IsZero() || now.Sub(b.failed) >= time.Minute) {
				b.failed = now
				b.Log.Error("what is said to brokers cannot be written, and is kept in memory", "err", err)
			}
			ok = false
			break
		}
		for _, r := range some {
			delete(left, key{Outlet(r.Outlet), r.Topic})
		}
	}
	b.mu.Lock()
	b.unwritten = left
	b.mu.Unlock()
	if ok && late {
		b.failed = time.Time{}
		b.Log.Info("what is said to brokers can be written again")
	}
	return ok
}

// Say gives the outlets that are connected a message that nobody misses: progress. What an
// outlet does not take in time is dropped. It never blocks.
func (b *Box) Say(m Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.say(m)
}

func (b *Box) say(m Message) {
	if m.QoS == 0 && b.over[m.Topic] {
		return
	}
	for f := range b.followers {
		if m.Outlet == Both || m.Outlet == f.name {
			select {
			case f.fleeting <- m:
			default:
			}
		}
	}
}

// Stir has the outlets look for what there is to be said. It never blocks.
func (b *Box) Stir() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for f := range b.followers {
		f.stir()
	}
}

// Retained lists the topics with something retained, of all outlets and of this one, for
// which match returns true; those that were cleared are not among them.
func (b *Box) Retained(name Outlet, match func(topic string) bool) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []string{}
	for k, f := range b.index {
		if (k.outlet == name || k.outlet == Both) && !f.cleared && match(k.topic) {
			list = append(list, k.topic)
		}
	}
	return list
}

// Has reports whether an outlet retains something at a topic.
func (b *Box) Has(name Outlet, topic string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range []Outlet{name, Both} {
		if f := b.index[key{o, topic}]; f != nil && !f.cleared {
			return true
		}
	}
	return false
}

// Last returns what is retained at a topic, nil for nothing.
func (b *Box) Last(ctx context.Context, name Outlet, topic string) ([]byte, error) {
	k := key{name, topic}
	b.mu.Lock()
	r, unwritten := b.unwritten[k]
	f := b.index[k]
	b.mu.Unlock()
	switch {
	case unwritten:
		return []byte(r.Payload), nil
	case f == nil || f.cleared:
		return nil, nil
	}
	r, _, err := b.Rows.At(ctx, string(name), topic)
	return []byte(r.Payload), err
}

// Run looks after what was written until ctx ends.
func (b *Box) Run(ctx context.Context) error {
	look, tidy := time.NewTicker(b.Timing.Look), time.NewTicker(max(b.Timing.Look, time.Minute))
	defer look.Stop()
	defer tidy.Stop()
	b.writing.Lock()
	if err := b.only(ctx); err != nil && ctx.Err() == nil {
		b.Log.Warn("forgetting brokers that are not used failed", "err", err)
	}
	b.writing.Unlock()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			b.retry(ctx)
			b.Stir()
		case <-tidy.C:
			b.tidy(ctx)
		}
	}
}

// retry writes what could not be written.
func (b *Box) retry(ctx context.Context) {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	waits := len(b.unwritten) > 0
	b.mu.Unlock()
	if waits {
		b.write(ctx, nil, nil)
	}
}

// tidy removes rows that nobody needs any more.
func (b *Box) tidy(ctx context.Context) {
	b.writing.Lock()
	defer b.writing.Unlock()
	now := b.Now().UnixMilli()
	drop := []rows.Retained{}
	b.mu.Lock()
	for k, f := range b.index {
		if !f.cleared {
			continue
		}
		age := now - f.at
		if age < 0 { // the clock was set back: it is counted from now on
			f.at, age = now, 0
		}
		heard := true
		for name := range b.outlets {
			heard = heard && (f.heard[name] || k.outlet != Both && k.outlet != name)
		}
		if age >= b.Timing.Longest.Milliseconds() || heard && age >= b.Timing.Cleared.Milliseconds() {
			drop = append(drop, rows.Retained{Outlet: string(k.outlet), Topic: k.topic, N: f.n})
		}
	}
	b.mu.Unlock()
	for len(drop) > 0 && ctx.Err() == nil {
		some := drop[:min(most, len(drop))]
		drop = drop[len(some):]
		if err := b.Rows.Drop(ctx, some); err != nil {
			b.Log.Warn("removing what was cleared at brokers failed", "err", err)
			return
		}
		b.mu.Lock()
		for _, r := range some {
			delete(b.index, key{Outlet(r.Outlet), r.Topic})
			delete(b.unwritten, key{Outlet(r.Outlet), r.Topic})
		}
		b.mu.Unlock()
	}
	if n, err := b.Rows.Trim(ctx); err != nil && ctx.Err() == nil {
		b.Log.Warn("removing what waited too long to be said failed", "err", err)
	} else if n > 0 {
		b.Log.Warn("ends of jobs were not said: too many waited for a broker, or for too long", "messages", n)
	}
}

// Settle waits until every outlet that is connected has what was put, or ctx ends.
func (b *Box) Settle(ctx context.Context) {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !b.settled() {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

func (b *Box) settled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for f := range b.followers {
		if f.at < b.done || len(f.fleeting) > 0 {
			return false
		}
	}
	return true
}
