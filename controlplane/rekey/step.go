// Package rekey changes the password of a repository, and adds and removes single keys.
//
// A change goes in an order in which everybody always has a password that opens: the new
// key comes to each place of the repository and is proven there by opening with it; then the
// repository's row gets the new password, and with it every command and every host's config;
// only when each host with the repository has confirmed its config, and what worked with the
// password of before has ended, the old key is removed, place by place. What comes next is a
// function of rows ([Next]), and each step is one transaction, so a change goes on after a
// crash wherever it was. restic's master key is not changed by any of this: who has had it, or
// a password that opened it, can read what they have copied, and what they still reach.
package rekey

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/passwords"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// ErrLastPlace is that a change is to go on without every place: the new key would be nowhere.
var ErrLastPlace = errors.New("the new key would be at no place of the repository")

// A Worker is the host that changes keys at a place, or why nobody can.
type Worker struct {
	Host topics.HostID
	Why  string // "" if Host can
	Away bool   // Host is not connected, so its job waits for it
}

// A Look is all that the next step of a change depends on. Moments are in Unix milliseconds.
type Look struct {
	store.PasswordLook
	Workers map[topics.HostID]Worker // by place, for what is to be done now
	Oldest  int64                    // when the oldest kept copy of the database was made; 0 if there is none
	Now     int64
	Retry   time.Duration // after the first failure; twice as long after each, up to mostRetry
}

// mostRetry is the longest time between two attempts.
const mostRetry = 30 * time.Minute

// leftRetry is that at a place without which a change has gone on.
const leftRetry = 24 * time.Hour

// A Step is what is to be written now, and for which places a job is to be asked for then.
type Step struct {
	store.PasswordStep
	Ask []passwords.Place
}

// Next says what the next step of a change is.
func Next(l Look) Step {
	s := Step{PasswordStep: store.PasswordStep{Change: l.Change}}
	busy := false
	for i, p := range l.Places {
		was := p
		if p.Job != "" {
			if j, known := l.Jobs[p.Job]; !known || j.State.Ended() {
				if p = settle(l, p, j, known); p.AddedAt > 0 && was.AddedAt == 0 && l.SwitchedAt > 0 && !l.Back {
					s.Fresh = append(s.Fresh, p.Host)
				}
			}
		} else if p.Doing != "" {
			s.Ask = append(s.Ask, p) // whoever was to ask for it has died
		}
		busy = busy || p.Doing != "" && !p.Left()
		if p != was {
			s.Places = append(s.Places, p)
		}
		l.Places[i] = p
	}
	begin := func(action string) {
		for i, p := range l.Places {
			if p.Doing != "" || p.NextAt > l.Now || l.todo(p) != action {
				continue
			}
			w := l.Workers[p.Host]
			if w.Why != "" || w.Host == "" || w.Away && p.Left() {
				continue
			}
			p.Doing, p.Worker, p.Tried = action, w.Host, p.Tried || action == topics.RemoveKey
			l.Places[i] = p
			s.Places, s.Ask = put(s.Places, p), append(s.Ask, p)
		}
	}
	if l.Ended() {
		// A place without which it went on, or that was seen since, is seen to as soon as somebody is there.
		begin(topics.AddKey)
		begin(topics.RemoveKey)
		// A copy that is older than the end may be put back, and goes on with the change.
		s.Erase = l.Former != "" && (l.Oldest == 0 || l.Oldest > l.EndedAt) && !l.Unseen &&
			all(l.Places, func(p passwords.Place) bool { return p.RemovedAt > 0 })
		return s
	}
	switch l.State {
	case passwords.Adding:
		// Before a job has opened the repository anywhere, nobody knows whether there is one, with the old key alone.
		proven := func(p passwords.Place) bool { return p.AddedAt > 0 }
		if slices.ContainsFunc(l.Places, proven) && all(l.Places, func(p passwords.Place) bool { return proven(p) || p.Left() }) && !busy &&
			!l.Making {
			s.Switch, s.Change.State = true, passwords.Switching
			break
		}
		begin(topics.AddKey)
	case passwords.Switching:
		waits := false
		for _, h := range l.Hosts {
			if !h.Settled() && h.Has {
				h.ConfirmedAt = l.Now
				s.Hosts = append(s.Hosts, h.Host)
			}
			waits = waits || !h.Settled()
		}
		begin(topics.AddKey)
		// What a host began before it confirmed is known once its confirmation is in the rows.
		if !waits && len(s.Hosts) == 0 && len(l.Busy) == 0 {
			s.Change.State = passwords.Removing
		}
	case passwords.Removing:
		if all(l.Places, passwords.Place.Over) && !busy {
			s.Change.State, s.Change.EndedAt = passwords.Done, l.Now
			s.Action, s.Says = "repository.password_done", "the keys of the former password are removed"
			if l.Back {
				s.Change.State, s.Action, s.Says = passwords.Undone, "repository.password_undone",
					"the keys of the password that was to come are removed"
			}
			if n := left(l.Places); n > 0 {
				s.Says += ", except at " + words.Count(uint64(n), "place", "places") + " without which it went on"
			}
			break
		}
		begin(topics.AddKey)
		if !l.waitsForCopies() {
			begin(topics.RemoveKey)
		}
	}
	return s
}

// todo is what is to be done next at a place: topics.AddKey, topics.RemoveKey, or "".
func (l Look) todo(p passwords.Place) string {
	switch {
	case p.AddedAt == 0 && (l.State == passwords.Adding || l.SwitchedAt > 0 && p.RemovedAt == 0):
		return topics.AddKey
	case p.RemovedAt == 0 && (l.State == passwords.Removing || l.Ended()):
		return topics.RemoveKey
	}
	return ""
}

// left counts the places without which a change has gone on.
func left(list []passwords.Place) (n int) {
	for _, p := range list {
		if p.Left() {
			n++
		}
	}
	return n
}

// waitsForCopies reports whether the old key stays for the sake of a kept copy of the
// database, which knows the old password alone.
func (l Look) waitsForCopies() bool {
	return l.Patient && !l.Back && l.Oldest > 0 && l.Oldest <= l.SwitchedAt
}

func all(list []passwords.Place, is func(passwords.Place) bool) bool {
	for _, p := range list {
		if !is(p) {
			return false
		}
	}
	return true
}

// put adds a place to what is written, in place of what was to be written of it.
func put(list []passwords.Place, p passwords.Place) []passwords.Place {
	for i := range list {
		if list[i].Host == p.Host {
			list[i] = p
			return list
		}
	}
	return append(list, p)
}

// settle is what a place has become by the end of its job.
func settle(l Look, p passwords.Place, j store.Job, known bool) passwords.Place {
	action := p.Doing
	p.Doing, p.Job = "", ""
	switch {
	case known && j.State == topics.Succeeded && action == topics.AddKey && j.Result.V != nil && j.Result.V.Key != "":
		p.AddedAt, p.KeyID, p.Attempts, p.Why, p.NextAt = cmp.Or(j.FinishedAt, l.Now), j.Result.V.Key, 0, "", 0
		if !l.Ended() { // else it is left until the old key is gone, too
			p.LeftBy, p.LeftAt, p.LeftWhy = "", 0, ""
		}
		return p
	case known && j.State == topics.Succeeded && action == topics.RemoveKey && j.Result.V != nil:
		p.RemovedAt, p.Why, p.NextAt = cmp.Or(j.FinishedAt, l.Now), "", 0
		return p
	case !known:
		p.Why = "Its job is not known any more."
	case j.State == topics.Succeeded:
		p.Why = "The agent did not say that the new password opens the repository."
	default:
		p.Why = strings.TrimSuffix(jobs.Explain(j.Kind, j.Cause, j.State).Cause, ".") + "."
		if j.Message != "" {
			p.Why += " " + j.Message
		}
	}
	wait, most := l.Retry<<min(p.Attempts, 12), mostRetry
	if p.Left() || l.Ended() {
		most = leftRetry // nobody waits for it
	}
	p.Attempts++
	p.NextAt = l.Now + min(wait, most).Milliseconds()
	return p
}

// Back says how a change is called off: what was new goes the way of what was old. It
// returns passwords.ErrLate once a removal was asked for, and passwords.ErrNone if there is
// nothing to call off.
func Back(l Look, actor string) (Step, error) {
	s := Step{PasswordStep: store.PasswordStep{Change: l.Change, Actor: actor, Action: "repository.password_called_off", Says: l.Row.Name}}
	if l.Ended() || l.Back {
		return s, passwords.ErrNone
	}
	c := &s.Change
	c.Lasting, c.Former, c.Back = l.Former, l.Lasting, true
	if l.State == passwords.Adding {
		c.State = passwords.Removing
		for _, p := range l.Places {
			p.LeftBy, p.LeftAt, p.LeftWhy = "", 0, ""
			if p.AddedAt == 0 && p.Doing == "" && p.Attempts == 0 { // nobody has been there
				p.RemovedAt = l.Now
			}
			p.NextAt = 0
			s.Places = append(s.Places, p)
		}
		return s, nil
	}
	for _, p := range l.Places {
		if p.Tried {
			return s, passwords.ErrLate
		}
	}
	c.State, s.Switch = passwords.Switching, true
	for _, h := range l.Hosts {
		h.ConfirmedAt, h.WaivedBy = 0, ""
		s.Hosts = append(s.Hosts, h.Host)
	}
	return s, nil
}

// Without says without what a change is to go on.
type Without struct {
	Hosts  []topics.HostID // that have not confirmed
	Places []topics.HostID // the hosts whose places are not reached
}

// GoOn says how a change goes on without hosts that have not confirmed, or without places that
// nobody reaches: those that are named, or all that it waits for if none is. It returns
// passwords.ErrNone if the change waits for none of them, and ErrLastPlace if nothing would
// be left.
func GoOn(l Look, actor string, without Without, name func(topics.HostID) string) (Step, error) {
	s := Step{PasswordStep: store.PasswordStep{Change: l.Change, Actor: actor, Action: "repository.password_waived"}}
	if l.Ended() {
		return s, passwords.ErrNone
	}
	all := len(without.Hosts)+len(without.Places) == 0
	names := leavePlaces(&s, l, actor, without.Places, all, name)
	if l.State == passwords.Adding && len(names) > 0 {
		stays := slices.ContainsFunc(l.Places, func(p passwords.Place) bool {
			return !p.Left() && !slices.ContainsFunc(s.Places, func(q passwords.Place) bool { return q.Host == p.Host })
		})
		if !stays {
			return s, ErrLastPlace
		}
	}
	if l.State == passwords.Switching && (all || len(without.Hosts) > 0) {
		names = append(waive(&s, l, actor, without.Hosts), names...)
	}
	if len(names) == 0 {
		return s, passwords.ErrNone
	}
	s.Says = "without " + strings.Join(names, ", ")
	return s, nil
}

// Stuck says why a change does not get on at a place, "" if it does, or has no business there.
func Stuck(l Look, p passwords.Place, name func(topics.HostID) string) string {
	if p.Host == "" || p.Over() || l.todo(p) == "" || l.State == passwords.Switching && p.AddedAt > 0 ||
		l.State == passwords.Removing && l.waitsForCopies() {
		return "" // a place that all share is the repository itself
	}
	switch w := l.Workers[p.Host]; {
	case w.Why != "":
		return w.Why
	case p.Why != "":
		return p.Why
	case w.Away:
		return name(w.Host) + " is not connected."
	}
	return ""
}

// leavePlaces has a change go on without places at which it does not get on, and names them.
func leavePlaces(s *Step, l Look, actor string, named []topics.HostID, all bool, name func(topics.HostID) string) (names []string) {
	for _, p := range l.Places {
		why := Stuck(l, p, name)
		if why == "" || !all && !slices.Contains(named, p.Host) {
			continue
		}
		p.LeftBy, p.LeftAt, p.LeftWhy = actor, l.Now, why
		s.Places, names = append(s.Places, p), append(names, "the place of "+name(p.Host)+" ("+strings.TrimSuffix(why, ".")+")")
	}
	return names
}

// waive has a change go on without hosts that have not confirmed: those named, or all for none.
func waive(s *Step, l Look, actor string, without []topics.HostID) (names []string) {
	works := map[topics.HostID]bool{}
	for _, j := range l.Busy {
		works[j.Host] = true
	}
	for _, h := range l.Hosts {
		named := len(without) == 0
		for _, w := range without {
			named = named || w == h.Host.Host
		}
		if h.WaivedBy == "" && (h.ConfirmedAt == 0 || works[h.Host.Host]) && named {
			h.WaivedBy = actor
			s.Hosts, names = append(s.Hosts, h.Host), append(names, h.Name)
		}
	}
	return names
}

// What says of a place without which a change went on, in sentences, which password opens it.
func What(c passwords.Change, p passwords.Place) string {
	switch {
	case c.Back:
		return "The password of before opens it. The one that was to come may open it, too, until somebody is there."
	case p.AddedAt > 0:
		return "The new password opens it, and so does the old one, which is kept here until somebody is there and removes its key."
	case c.SwitchedAt == 0:
		return "Only the old password opens it."
	}
	return "Only the old password opens it, which is kept here. As soon as a host that reaches it is connected, the new key comes there and " +
		"the old one goes, by themselves; until then its jobs fail."
}

// Waits says what a change waits for, a sentence each; none if it is at work or over.
func Waits(l Look, name func(topics.HostID) string) (said []string) {
	at := func(p passwords.Place) string {
		if p.Host == "" {
			return ""
		}
		return " of " + name(p.Host)
	}
	places := func(left func(passwords.Place) bool) {
		for _, p := range l.Places {
			w := l.Workers[p.Host]
			switch {
			case !left(p) || p.Left():
			case p.Doing == "" && w.Why != "":
				said = append(said, w.Why)
			case p.Doing != "" && p.Why == "":
				said = append(said, fmt.Sprintf("%s is at work at the place%s.", name(p.Worker), at(p)))
			case p.Why != "":
				said = append(said, fmt.Sprintf("The last attempt at the place%s failed: %s It is tried again by itself.", at(p), p.Why))
			}
		}
	}
	switch l.State {
	case passwords.Done, passwords.Undone:
		if l.Former != "" {
			places(func(p passwords.Place) bool { return p.RemovedAt == 0 })
		}
	case passwords.Adding:
		if len(l.Places) == 0 && !l.Making {
			said = append(said, "No job has found or made the repository yet, so nobody knows its keys; the change goes on once one has.")
		}
		if l.Making {
			said = append(said, "A host is making the repository at its place; the change goes on after that.")
		}
		places(func(p passwords.Place) bool { return p.AddedAt == 0 })
	case passwords.Switching:
		places(func(p passwords.Place) bool { return p.AddedAt == 0 })
		for _, h := range l.Hosts {
			if !h.Settled() {
				said = append(said, h.Name+" has not confirmed yet that it has the password that stays.")
			}
		}
		for _, j := range l.Busy {
			said = append(said, fmt.Sprintf("A job of %s works with the password of before: %s, since %s.", name(j.Host), j.Kind,
				words.Span(words.Between(cmp.Or(j.StartedAt, j.QueuedAt), l.Now))))
		}
	case passwords.Removing:
		if l.waitsForCopies() {
			said = append(said, "A copy of the control plane's database that is kept knows the old password alone. The old key stays until that "+
				"copy is gone.")
			break
		}
		places(func(p passwords.Place) bool { return p.RemovedAt == 0 })
	}
	return said
}
