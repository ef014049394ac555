package outbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/failpoint"
	rows "github.com/restic-manager/restic-manager/store/outbox"
)

// A follower is one connection of an outlet.
type follower struct {
	box  *Box
	name Outlet
	root string
	link Link

	wake     chan struct{}
	fleeting chan Message // progress; what does not fit is dropped
	at       int64        // how far it has come in what is retained; under the box's mu

	began   time.Time
	cleared time.Time // when what was cleared was cleared again last
	heard   time.Time // when it was first known that somebody listens
	stuck   time.Time // when it was last complained that the database cannot be read
}

// fleetingMost is how much progress waits for an outlet.
const fleetingMost = 1024

// Follow gives an outlet everything that is retained and then whatever is put, until ctx
// ends, the link does, which is its error, or the outlet is not used any more, which is
// ErrShut.
func (b *Box) Follow(ctx context.Context, name Outlet, link Link) error {
	f := &follower{box: b, name: name, link: link, wake: make(chan struct{}, 1), fleeting: make(chan Message, fleetingMost), began: b.Now()}
	b.mu.Lock()
	o := b.outlets[name]
	if o == nil {
		b.mu.Unlock()
		return ErrShut
	}
	f.root = o.dialect.Root
	b.followers[f] = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.followers, f)
		b.mu.Unlock()
	}()
	again := time.NewTicker(b.Timing.Look)
	defer again.Stop()
	for {
		select {
		case <-o.shut:
			return ErrShut
		default:
		}
		if err := f.catchUp(ctx); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it was told to stop
			}
			return fmt.Errorf("say to %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.shut:
			return ErrShut
		case <-f.wake:
		case <-again.C:
		case m := <-f.fleeting:
			if err := f.send(ctx, m); err != nil {
				return fmt.Errorf("say to %s: %w", name, err)
			}
		}
	}
}

func (f *follower) stir() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *follower) send(ctx context.Context, m Message) error {
	return f.link.Send(ctx, m.Name(f.root), m.Payload, m.QoS, m.Retain)
}

func (f *follower) flush(ctx context.Context) error {
	if f.link.Flush == nil {
		return nil
	}
	return f.link.Flush(ctx)
}

// catchUp says whatever there is to be said: progress first, since the end of a job is the
// last thing that is said of it.
func (f *follower) catchUp(ctx context.Context) error {
	for more := true; more; {
		if err := f.progress(ctx); err != nil {
			return err
		}
		var err error
		if more, err = f.retained(ctx); err != nil {
			return err
		}
	}
	if err := f.clearAgain(ctx); err != nil {
		return err
	}
	return f.once(ctx)
}

func (f *follower) progress(ctx context.Context) error {
	for range cap(f.fleeting) {
		select {
		case m := <-f.fleeting:
			if err := f.send(ctx, m); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// retained says the next that changed of what is retained, and reports whether there may
// be more.
func (f *follower) retained(ctx context.Context) (more bool, err error) {
	b := f.box
	b.mu.Lock()
	at, done := f.at, b.done
	b.mu.Unlock()
	if at >= done {
		return false, nil
	}
	list, err := b.Rows.After(ctx, string(f.name), at, most)
	if err != nil {
		f.complain(ctx, err)
		return false, nil // it is tried again
	}
	more = len(list) == most
	upTo := done
	if more {
		upTo = min(done, list[most-1].N)
	}
	b.mu.Lock()
	list = slices.DeleteFunc(list, func(r rows.Retained) bool {
		newer, is := b.unwritten[key{Outlet(r.Outlet), r.Topic}]
		return r.N > upTo || is && newer.N > r.N
	})
	for k, r := range b.unwritten {
		if r.N > at && r.N <= upTo && (k.outlet == Both || k.outlet == f.name) {
			list = append(list, r)
		}
	}
	b.mu.Unlock()
	slices.SortFunc(list, byN)
	if err := f.give(ctx, list); err != nil {
		return false, err
	}
	b.mu.Lock()
	f.at = upTo
	b.mu.Unlock()
	return more, nil
}

func byN(x, y rows.Retained) int { return cmp.Compare(x.N, y.N) }

// give says rows, and notes which of them were cleared there.
func (f *follower) give(ctx context.Context, list []rows.Retained) error {
	for _, r := range list {
		m := Message{Topic: r.Topic, Payload: []byte(r.Payload), QoS: 1, Retain: true}
		if err := f.send(ctx, m); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		return nil
	}
	if err := f.flush(ctx); err != nil {
		return err
	}
	b := f.box
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range list {
		if known := b.index[key{Outlet(r.Outlet), r.Topic}]; known != nil && known.n == r.N && known.cleared {
			if known.heard == nil {
				known.heard = map[Outlet]bool{}
			}
			known.heard[f.name] = true
		}
	}
	return nil
}

// clearAgain clears at the beginning, ever more seldom, what was cleared: whoever was
// connected before the control plane was started, and is back within that time, hears of
// what went between.
func (f *follower) clearAgain(ctx context.Context) error {
	b := f.box
	if f.link.Heard == nil { // a broker that was there meanwhile
		return nil
	}
	now := b.Now()
	since := now.Sub(b.began)
	if since > b.Timing.Again || since < 0 {
		return nil
	}
	if f.cleared.IsZero() {
		f.cleared = now // they were just cleared
	}
	if passed := now.Sub(f.cleared); passed < max(b.Timing.Soonest, since/2) && passed >= 0 {
		return nil
	}
	f.cleared = now
	list := []rows.Retained{}
	b.mu.Lock()
	for k, known := range b.index {
		if known.cleared && (k.outlet == Both || k.outlet == f.name) {
			list = append(list, rows.Retained{Outlet: string(k.outlet), Topic: k.topic, N: known.n})
		}
	}
	b.mu.Unlock()
	slices.SortFunc(list, byN)
	return f.give(ctx, list)
}

// once says what is said once, such as how a job ended. It is noted after each that it was:
// whatever happens, at most the last one is said again.
func (f *follower) once(ctx context.Context) error {
	b := f.box
	for {
		b.mu.Lock()
		o := b.outlets[f.name]
		if o == nil {
			b.mu.Unlock()
			return nil
		}
		at, ready := o.reached, b.end != nil
		b.mu.Unlock()
		if !ready || !f.somebody() {
			return nil
		}
		list, err := b.Rows.Waiting(ctx, string(f.name), at, most)
		if err != nil {
			f.complain(ctx, err)
			return nil
		}
		for _, r := range list {
			m, is, err := f.message(ctx, r)
			if err != nil {
				f.complain(ctx, err)
				return nil // it is tried again
			}
			if is {
				if r.Job != "" {
					b.ended(m.Topic)
				}
				if err := f.progress(ctx); err != nil {
					return err
				}
				if err := f.send(ctx, m); err != nil {
					return err
				}
				if err := f.flush(ctx); err != nil {
					return err
				}
				failpoint.Here("plane-end-said")
			}
			b.reach(ctx, f.name, r.N)
		}
		if len(list) < most {
			return nil
		}
	}
}

// message is what is said of a row; false is nothing.
func (f *follower) message(ctx context.Context, r rows.Once) (Message, bool, error) {
	if r.Job == "" {
		return Message{Topic: r.Topic, Payload: []byte(r.Payload), QoS: 1}, true, nil
	}
	f.box.mu.Lock()
	end := f.box.end
	f.box.mu.Unlock()
	return end(ctx, r.Job)
}

// somebody reports whether after a start somebody listens, and others had a moment to, or
// nobody does within half a minute: what is said once before is heard by none of those who
// were connected before.
func (f *follower) somebody() bool {
	if f.link.Heard == nil {
		return true
	}
	now, t := f.box.Now(), f.box.Timing
	if f.heard.IsZero() && f.link.Heard() {
		f.heard = now
	}
	within := func(since time.Time, limit time.Duration) bool { d := now.Sub(since); return d < limit && d >= 0 }
	return !within(f.began, t.Nobody) || !f.heard.IsZero() && !within(f.heard, t.Return)
}

// complain says, once a minute, that the database cannot be read.
func (f *follower) complain(ctx context.Context, err error) {
	if now := time.Now(); ctx.Err() == nil && now.Sub(f.stuck) > time.Minute {
		f.stuck = now
		f.box.Log.Error("what is to be said to a broker cannot be read", "outlet", f.name, "err", err)
	}
}

// reach notes how far an outlet has come in what is said once. If that cannot be written,
// it is noted in memory, and written with the next.
func (b *Box) reach(ctx context.Context, name Outlet, n int64) {
	b.mu.Lock()
	if o := b.outlets[name]; o != nil {
		o.reached = max(o.reached, n)
	}
	b.mu.Unlock()
	if err := b.Rows.Reached(context.WithoutCancel(ctx), string(name), n); err != nil && ctx.Err() == nil {
		b.Log.Warn("how far a broker has come cannot be written", "outlet", name, "err", err)
	}
}

// overMost is how many jobs are remembered whose ends were sent.
const overMost = 4096

// ended notes that the end of a job is sent: no progress follows.
func (b *Box) ended(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over[topic] {
		return
	}
	if len(b.overs) >= overMost {
		delete(b.over, b.overs[0])
		b.overs = b.overs[1:]
	}
	b.over[topic] = true
	b.overs = append(b.overs, topic)
}
