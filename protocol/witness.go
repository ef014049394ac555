package protocol

import (
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// A Sighting is an authenticated birth: which process of an agent began which session.
type Sighting struct {
	Instance string // "" of an agent of an older version
	Session  topics.Session
}

// A Witness notices that two machines use one host's identity. It follows the births
// of one host, in memory alone: it is pure, and not safe for concurrent use.
//
// A process that begins while another one is not known to have ended is not answered
// yet. First the other's connection is cut: a process that lives comes back within
// the link's first back-off. If it does, the new one's connection is cut, too. Two that
// both came back (A, B, A, B) are two machines. Whoever stays away has ended: an agent that was
// restarted or upgraded, a machine that lost its power or was put back to a snapshot.
// Until that is known nothing of the new one counts, so its hello ends no job of
// the other.
//
// Agents of older versions do not say which process they are, and a machine that was
// copied with its memory says it wrongly until its journal begins a new epoch. There
// new epochs are the sign: there is one when a machine was put back to a snapshot, and
// one after the other while two machines take turns.
type Witness struct {
	timing Timing
	holder Sighting // the last one that was admitted, or that may be: see held
	known  bool     // there is a holder
	gone   bool     // it has ended, by its own last word or because its connection broke by itself
	admits Sighting // the last one that was admitted
	held   *Sighting
	cut    bool  // the holder's connection was cut, so it has to come back
	until  int64 // the moment to cut it, and after that the moment to stop waiting for it
	trail  []trace
	signs  []int64
}

type trace struct {
	instance string
	at       int64
}

// A Verdict is what a birth is answered with.
type Verdict int

// The verdicts.
const (
	Admit Verdict = iota // welcome it
	Hold                 // not yet: Witness.Look says when
	Twins                // two machines have one identity
)

const (
	// So many new epochs of an older agent within signsIn are two machines.
	signs, signsIn = 3, 2 * time.Minute
	// A, B, A, B within together are two machines.
	together = 10 * time.Minute
)

// NewWitness returns a witness that has seen nobody yet.
func NewWitness(t Timing) *Witness { return &Witness{timing: t} }

// Holder is the last one that was admitted; its instance owns the host's journal.
func (w *Witness) Holder() Sighting { return w.admits }

// Held is the one that waits for its welcome, nil if nobody does.
func (w *Witness) Held() *Sighting { return w.held }

// Born takes a birth and says what to do.
func (w *Witness) Born(s Sighting, now int64) Verdict {
	w.trail = slices.DeleteFunc(w.trail, func(t trace) bool { return t.at < now-together.Milliseconds() })
	switch {
	case w.held != nil && s.Instance == w.held.Instance:
		w.held = &s // it tried again
		return Hold
	case !w.known:
		w.note(s.Instance, now)
		return w.admit(s)
	case s.Instance == w.holder.Instance && w.held == nil:
		if w.contradicts(s, now) {
			return Twins
		}
		if !s.Session.After(w.holder.Session) {
			return Admit // an older copy of the journal; its next birth will be of a new epoch
		}
		w.note(s.Instance, now)
		return w.admit(s)
	}
	if !w.gone && len(w.trail) == 0 {
		w.note(w.holder.Instance, now) // it was there until now, since when ever
	}
	if w.note(s.Instance, now); w.bothCameBack() {
		return Twins
	}
	switch {
	case w.held != nil && s.Instance == w.holder.Instance: // it lives; now the other one has to show that it does
		w.holder, w.held, w.gone = *w.held, &s, false
		w.cut, w.until = false, now+w.timing.Yield.Milliseconds()
	case w.held != nil:
		w.held = &s // a third one: the agent that waited was started anew
	case w.gone:
		return w.admit(s)
	default:
		w.held, w.cut, w.until = &s, false, now+w.timing.Yield.Milliseconds()
	}
	return Hold
}

func (w *Witness) admit(s Sighting) Verdict {
	w.holder, w.admits, w.known, w.gone, w.held, w.cut = s, s, true, false, nil, false
	return Admit
}

func (w *Witness) note(instance string, now int64) {
	if n := len(w.trail); n == 0 || w.trail[n-1].instance != instance {
		w.trail = append(w.trail, trace{instance, now})
	}
}

// bothCameBack reports whether the last four in a row are A, B, A, B.
func (w *Witness) bothCameBack() bool {
	n := len(w.trail)
	return n >= 4 && w.trail[n-1].instance == w.trail[n-3].instance && w.trail[n-2].instance == w.trail[n-4].instance
}

// contradicts counts a birth that one process alone has no reason for.
func (w *Witness) contradicts(s Sighting, now int64) bool {
	if s.Session.Epoch <= w.holder.Session.Epoch {
		return false
	}
	w.signs = slices.DeleteFunc(w.signs, func(at int64) bool { return at < now-signsIn.Milliseconds() })
	w.signs = append(w.signs, now)
	return len(w.signs) >= signs
}

// Died takes the authenticated end of a session.
func (w *Witness) Died(s topics.Session) {
	switch {
	case w.held != nil && s == w.held.Session: // it left while it waited; it may come again
	case w.known && s == w.holder.Session && !w.cut:
		w.gone = true
	}
}

// Vanished says that there was no connection of this session to cut.
func (w *Witness) Vanished(s topics.Session) {
	if w.known && s == w.holder.Session {
		w.gone = true
	}
}

// Look says what it is time for: whose connection to cut, and whom to welcome after all.
func (w *Witness) Look(now int64) (cut, admit *Sighting) {
	switch {
	case w.held == nil:
	case w.gone || w.cut && now >= w.until:
		s := *w.held
		w.admit(s)
		return nil, &s
	case !w.cut && now >= w.until:
		w.cut, w.until = true, now+w.timing.Probe.Milliseconds()
		s := w.holder
		return &s, nil
	}
	return nil, nil
}
