package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/tidy"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// open1 handles a message that holds no durable events, and returns those of one that
// does. A message that makes us panic is refused like one that is invalid.
func (e *Engine) open1(ctx context.Context, a arrival) (in *protocol.Arrived, err error) {
	defer func() {
		if r := recover(); r != nil {
			e.Log.Error("a message could not be handled", "host", a.topic.Host, "topic", a.name, "err", r, "stack", string(debug.Stack()))
			in, err = nil, errBroken
		}
	}()
	ch, err := e.channel(ctx, a.topic.Host)
	if err != nil {
		e.Log.Warn("message from unknown host", "host", a.topic.Host, "err", err)
		return nil, nil
	}
	switch a.topic.Kind {
	case topics.KindBirth:
		return nil, e.birth(ctx, ch, a)
	case topics.KindDeath:
		return nil, e.death(ctx, ch, a)
	case topics.KindHeartbeat:
		return nil, e.heartbeat(ch, a)
	case topics.KindProgress:
		return nil, e.progress(ctx, ch, a)
	case topics.KindAnswer:
		return nil, e.answer(ch, a)
	case topics.KindEvent:
		ev, err := unseal[topics.Events](ch, a)
		if err == nil && e.replays.again(a.payload) {
			err = errReplay
		}
		if err != nil {
			return nil, err
		}
		fit := e.fitting(ev.Events)
		if len(fit) == 0 && len(ev.Events) > 0 {
			return nil, nil // without a receipt: it comes again
		}
		ev.Events = fit
		tidy.Events(ev)
		return &protocol.Arrived{Host: a.topic.Host, Key: ch.peer, Events: ev}, nil
	}
	return nil, errTopic
}

// wall keeps what panics from ending the process. Call it deferred.
func (e *Engine) wall(doing string) {
	if r := recover(); r != nil {
		e.Log.Error(doing+" failed", "err", r, "stack", string(debug.Stack()))
	}
}

// steps takes events in one transaction, for as long as that may take. What is left for
// another one it returns.
func (e *Engine) steps(ctx context.Context, list []arrival) (left []arrival, err error) {
	var effects []protocol.PlaneEffect
	failpoint.Here("plane-received")
	clock, now, took := e.inbox.clock(list), e.Now().UnixMilli(), map[topics.HostID]time.Duration{}
	err = e.Store.Steps(ctx, func(tx protocol.PlaneTx) error {
		waits := map[topics.HostID]bool{}
		for i, a := range list {
			if i > 0 && clock.over() {
				left = append(left, list[i:]...)
				break
			}
			if waits[a.topic.Host] {
				left = append(left, a)
				continue
			}
			clock.next()
			in := *a.events
			in.Now, in.Enough = now, clock.enough
			more, err := e.step(tx, in)
			took[a.topic.Host] += time.Since(clock.this)
			if err != nil {
				return err
			}
			effects = append(effects, more...)
			if slices.ContainsFunc(more, func(m protocol.PlaneEffect) bool { _, is := m.(protocol.Left); return is }) {
				waits[a.topic.Host] = true
				left = append(left, a)
			}
		}
		failpoint.Here("plane-uncommitted")
		return nil
	})
	if err != nil {
		return nil, err
	}
	failpoint.Here("plane-committed")
	e.inbox.rest(took)
	e.perform(ctx, effects)
	return left, nil
}

// apart takes events that failed together, each message in a transaction of its own.
func (e *Engine) apart(ctx context.Context, list []arrival, err error) (left []arrival) {
	waits := map[topics.HostID]bool{}
	for _, a := range list {
		if ctx.Err() != nil {
			return nil
		}
		if waits[a.topic.Host] {
			left = append(left, a)
			continue
		}
		var more []arrival
		if len(list) > 1 {
			more, err = e.steps(ctx, []arrival{a})
		}
		if err != nil {
			more = e.alone(ctx, a, err)
		}
		if len(more) > 0 {
			waits[a.topic.Host] = true
			left = append(left, more...)
		}
	}
	return left
}

// step is protocol.PlaneStep; what panics beside a single event is an error, too.
func (e *Engine) step(tx protocol.PlaneTx, in protocol.Arrived) (effects []protocol.PlaneEffect, err error) {
	defer func() {
		if r := recover(); r != nil {
			effects, err = nil, fmt.Errorf("events of %s: panic: %v\n%s", in.Host, r, debug.Stack())
		}
	}()
	return protocol.PlaneStep(e.Timing.Protocol, tx, in)
}

// alone takes a message that failed, without the event that could not be handled: that
// one is receipted, or its host would send it for ever, and nothing after it. What the
// database could not write is not receipted, and comes again.
func (e *Engine) alone(ctx context.Context, a arrival, err error) (left []arrival) {
	var bad *protocol.EventError
	if ctx.Err() != nil {
		return nil
	}
	if !errors.As(err, &bad) || !bad.Panic && !store.Hopeless(err) {
		e.complain(ctx, "storing events failed", "host", a.topic.Host, "err", err)
		return nil
	}
	e.Log.Error("an event could not be handled, and is set aside", "host", bad.Host, "event", bad.Seq, "err", err)
	in := *a.events
	n := bad.Seq - in.Events.First + 1
	if bad.Seq < in.Events.First || n > uint64(len(in.Events.Events)) {
		return nil
	}
	until := in
	until.Skip, until.Events.Events = bad.Seq, in.Events.Events[:n]
	left, err = e.steps(ctx, []arrival{a.opened(until)})
	if err != nil {
		e.complain(ctx, "storing events failed", "host", a.topic.Host, "err", err)
		return nil
	}
	if len(left) > 0 { // its time was over before
		return []arrival{a}
	}
	if rest := in.Events.Events[n:]; len(rest) > 0 {
		in.Events.First, in.Events.Events = bad.Seq+1, rest
		left = append(left, a.opened(in))
	}
	return left
}

// latest leaves out effects that later ones stand for: of a host that says hello again
// and again, only the last one counts.
func latest(effects []protocol.PlaneEffect) []protocol.PlaneEffect {
	seen := map[any]bool{}
	out := make([]protocol.PlaneEffect, 0, len(effects))
	for _, effect := range slices.Backward(effects) {
		var key any
		switch effect := effect.(type) {
		case protocol.HelloCame:
			key = [2]string{"hello", string(effect.Host)}
		case protocol.FactsCame:
			key = [2]string{"facts", string(effect.Host)}
		case protocol.ConfigCame:
			key = [2]string{"config", string(effect.Host)}
		case protocol.Stir:
			key = "stir"
		case protocol.Changed:
			if key = effect.Job.ID; effect.Job.State.Ended() {
				seen[key], key = true, nil
			}
		}
		if key != nil && seen[key] {
			continue
		}
		if key != nil {
			seen[key] = true
		}
		out = append(out, effect)
	}
	slices.Reverse(out)
	return out
}
