package asking

import (
	"context"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Refused is the audit log's word for what was not carried out.
const Refused = "do.refused"

// mostNoted is how many entries one consumer gets within a minute, each of another host,
// action and cause; mostActors is of how many consumers that is known.
const (
	mostNoted  = 20
	mostActors = 1000
)

// A minute is what is in the audit log of what one consumer asked for in vain since it
// began, and how much is not.
type minute struct {
	began time.Time
	seen  map[string]bool
	more  int
}

// refused writes down that a wish was not carried out: in the audit log once a minute for
// each consumer, host, action and cause.
func (s *Service) refused(ctx context.Context, w Wish, a topics.DoAnswer, r *Refusal) {
	host := ""
	if r.Cause != CauseTooMany && r.Cause != CauseNoTopic && !r.unknown {
		if _, err := s.Store.Host(ctx, a.Host); err == nil { // others are whatever somebody makes up
			host = string(a.Host)
		}
	}
	more, first := s.note(Actor(w.Consumer), host+"\x00"+a.Action+"\x00"+r.Cause)
	if !first {
		return
	}
	s.Log.Warn("what a consumer asked for was not carried out", "consumer", w.Consumer, "topic", words.Line(short(w.Below)),
		"cause", r.Cause, "err", r.Err)
	target, detail := host, a.Action+": "+r.Cause+": "+a.Text
	if host == "" {
		detail = words.Line(short(w.Below)) + ": " + r.Cause + ": " + a.Text
	}
	if w.Outlet != "" {
		detail += fmt.Sprintf(" It came by the broker %q.", string(w.Outlet))
	}
	if more > 0 {
		detail += fmt.Sprintf(" Before that, %d more were not carried out and have no entry of their own.", more)
	}
	if err := s.Store.Audit(ctx, Actor(w.Consumer), Refused, target, detail); err != nil {
		s.Log.Error("note that a consumer's command was not carried out", "consumer", w.Consumer, "err", err)
	}
}

func short(text string) string {
	r := []rune(text)
	return string(r[:min(len(r), 120)])
}

// note reports whether something is the first of its kind within a minute, and how many
// were passed over since the last entry.
func (s *Service) note(actor, key string) (more int, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	m := s.noted[actor]
	if m == nil || now.Sub(m.began) >= time.Minute || now.Before(m.began) {
		if m == nil && len(s.noted) >= mostActors {
			for name, old := range s.noted {
				if now.Sub(old.began) >= time.Minute {
					delete(s.noted, name)
				}
			}
			if len(s.noted) >= mostActors {
				return 0, false
			}
		}
		if m != nil {
			more = m.more
		}
		m = &minute{began: now, seen: map[string]bool{}, more: more}
		s.noted[actor] = m
	}
	if m.seen[key] || len(m.seen) >= mostNoted {
		m.more++
		return 0, false
	}
	m.seen[key] = true
	more, m.more = m.more, 0
	return more, true
}
