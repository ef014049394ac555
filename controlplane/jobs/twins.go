package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Two machines with one identity: protocol.Witness notices them by their births,
// protocol.Lane keeps their streams apart, and a person decides who stays. This file
// drives both. While they are open a host is divided: what is known of its connection is known
// for each machine, and nothing is sent but welcomes and receipts.

// TwinsRefused is what the machine that does not stay has in its log.
const TwinsRefused = "Another machine has this host's identity, and it was decided that the other one stays. " +
	"Nobody hears of the backups that this machine makes. To make it a host of its own: make a token on the page Add host, " +
	"stop this agent, run restic-manager-agent enroll --again --server … --token … here, and start it again. " +
	"If this machine is not needed, stop the agent."

// A machines is what the engine remembers of who uses a host's identity. It belongs to
// Run's goroutine.
type machines struct {
	witness map[topics.HostID]*protocol.Witness
	held    map[topics.HostID]born   // births that wait for a welcome
	births  map[topics.HostID][]born // the latest, to find the connection of a session
	divided map[topics.HostID]bool
	refused map[topics.HostID]map[int64]bool // epochs of machines that do not stay
}

// A born is an authenticated birth, and where it came from.
type born struct {
	topics.Birth
	client, remote string
	at             time.Time
	welcomed       bool
}

func (b born) sighting() protocol.Sighting {
	return protocol.Sighting{Instance: b.Instance, Session: b.Session}
}

// manyBirths is how many births of a host are remembered: more than it can have
// connections.
const manyBirths = 16

func newMachines() machines {
	return machines{witness: map[topics.HostID]*protocol.Witness{}, held: map[topics.HostID]born{}, births: map[topics.HostID][]born{},
		divided: map[topics.HostID]bool{}, refused: map[topics.HostID]map[int64]bool{}}
}

func (m *machines) remember(host topics.HostID, b born) {
	list := append(m.births[host], b)
	m.births[host] = list[max(0, len(list)-manyBirths):]
}

// of returns the last birth of a process in a session. Two machines with one journal
// number their sessions alike.
func (m *machines) of(host topics.HostID, s protocol.Sighting) (born, bool) {
	list := m.births[host]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].sighting() == s {
			return list[i], true
		}
	}
	return born{}, false
}

// welcomes notes that a birth was answered.
func (m *machines) welcomes(host topics.HostID, s protocol.Sighting) {
	for i, b := range m.births[host] {
		if b.sighting() == s {
			m.births[host][i].welcomed = true
		}
	}
}

// in returns the last birth in a session, whichever process's.
func (m *machines) in(host topics.HostID, s topics.Session) (born, bool) {
	list := m.births[host]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Session == s {
			return list[i], true
		}
	}
	return born{}, false
}

// cut closes the connection of a process in a session, and reports whether there was one.
func (e *Engine) cut(host topics.HostID, s protocol.Sighting) bool {
	b, known := e.machines.of(host, s)
	return known && e.Cut != nil && e.Cut(host, b.client) > 0
}

// resume divides the hosts whose machines were noticed before this process began.
func (e *Engine) resume(ctx context.Context) {
	rows, err := e.Store.AllMachines(ctx)
	if err != nil {
		e.complain(ctx, "reading machines with one identity failed", "err", err)
		return
	}
	for _, l := range rows {
		if l.RefusedAt > 0 {
			e.refuses(l.Host, l.Epoch)
		} else if !e.machines.divided[l.Host] {
			e.divide(ctx, l.Host)
		}
	}
}

func (e *Engine) refuses(host topics.HostID, epoch int64) {
	if e.machines.refused[host] == nil {
		e.machines.refused[host] = map[int64]bool{}
	}
	e.machines.refused[host][epoch] = true
}

func (e *Engine) divide(ctx context.Context, host topics.HostID) {
	lanes, err := e.Store.Machines(ctx, host)
	if err != nil {
		e.complain(ctx, "reading machines with one identity failed", "host", host, "err", err)
		return
	}
	e.Presence.Divide(host, lanes)
	e.machines.divided[host] = true
}

// meet decides about an authenticated birth: whether it is welcomed now, later, or in
// a stream of its own.
func (e *Engine) meet(ctx context.Context, host topics.HostID, b born) error {
	e.machines.remember(host, b)
	if e.machines.divided[host] || e.machines.refused[host][b.Session.Epoch] {
		return e.greet(ctx, host, b)
	}
	w := e.machines.witness[host]
	if w == nil {
		w = protocol.NewWitness(e.Timing.Protocol)
		e.machines.witness[host] = w
	}
	switch w.Born(b.sighting(), e.Now().UnixMilli()) {
	case protocol.Hold:
		e.machines.held[host] = b
		return nil
	case protocol.Twins:
		return e.foundTwins(ctx, host, w, b)
	}
	delete(e.machines.held, host)
	return e.welcome(ctx, host, b)
}

// foundTwins flags a host, and welcomes both machines in streams of their own.
func (e *Engine) foundTwins(ctx context.Context, host topics.HostID, w *protocol.Witness, b born) error {
	holder, other := w.Holder(), e.machines.held[host]
	if err := e.plane(ctx, protocol.TwinsFound{Host: host, Sighting: holder}); err != nil {
		return err
	}
	delete(e.machines.witness, host)
	delete(e.machines.held, host)
	if at, known := e.machines.of(host, holder); known {
		if err := e.Store.MachineBorn(ctx, host, holder.Session, at.remote, at.Version); err != nil {
			return err
		}
	}
	e.divide(ctx, host)
	e.Log.Error("two machines use one identity: no commands go to this host until somebody decides on its page which of them stays",
		"host", host, "instance", b.Instance, "address", b.remote, "other_instance", holder.Instance)
	e.tell(host)
	for _, one := range []born{other, b} {
		if one.client == "" { // the holder is connected and not held: it has to say hello in its own stream
			e.cut(host, holder)
			continue
		}
		if err := e.greet(ctx, host, one); err != nil {
			return err
		}
	}
	return nil
}

// plane runs one step and carries out its effects.
func (e *Engine) plane(ctx context.Context, in protocol.PlaneInput) error {
	var effects []protocol.PlaneEffect
	err := e.Store.Steps(ctx, func(tx protocol.PlaneTx) (err error) {
		effects, err = protocol.PlaneStep(e.Timing.Protocol, tx, in)
		return err
	})
	if err == nil {
		e.perform(ctx, effects)
	}
	return err
}

// greet answers the birth of one of several machines.
func (e *Engine) greet(ctx context.Context, host topics.HostID, b born) error {
	last, gone := e.Presence.Machine(host, b.Session.Epoch)
	return e.plane(ctx, protocol.Born{Host: host, Sighting: b.sighting(), Known: e.Presence.Highest(host), Last: last, Gone: gone})
}

// greeted sends the welcome that the protocol decided on.
func (e *Engine) greeted(ctx context.Context, g protocol.Greet) error {
	w := topics.Welcome{Received: g.Received, Clock: e.Now().UnixMilli(), Known: g.Known, Plane: e.Epoch, Broadcasts: true,
		Next: e.tells(g.Host, g.Session)}
	switch {
	case g.Refused:
		w.Refused = TwinsRefused
	case g.Known == (topics.Session{}):
		e.Presence.Born(g.Host, g.Session)
		e.machines.welcomes(g.Host, g.Sighting)
		b, _ := e.machines.of(g.Host, g.Sighting)
		if err := e.Store.MachineBorn(ctx, g.Host, g.Session, b.remote, b.Version); err != nil {
			return err
		}
	}
	e.say(g.Host, g.Session, g.Instance, w)
	return nil
}

// say sends a welcome to one machine's session.
func (e *Engine) say(host topics.HostID, s topics.Session, instance string, w topics.Welcome) {
	e.send(host, topics.Topic{Kind: topics.KindWelcome, Host: host}, func(stamp topics.Stamp) any {
		stamp.Session, stamp.To = s, instance
		w.Stamp = stamp
		return w
	})
}

// look carries out what a witness says it is time for.
func (e *Engine) look(ctx context.Context) {
	for host, b := range e.machines.held {
		w := e.machines.witness[host]
		if w == nil || w.Held() == nil {
			delete(e.machines.held, host)
			continue
		}
		cut, admit := w.Look(e.Now().UnixMilli())
		if cut != nil {
			if e.cut(host, *cut) {
				e.Log.Info("another process has this host's identity; waiting whether the one before comes back", "host", host,
					"instance", b.Instance, "address", b.remote)
			} else {
				w.Vanished(cut.Session)
			}
		}
		if admit == nil {
			continue
		}
		delete(e.machines.held, host)
		if err := e.welcome(ctx, host, b); err != nil && !errors.Is(err, errReplay) {
			e.complain(ctx, "welcoming a host failed", "host", host, "err", err)
		}
	}
}

// ended tells the witness that a session has ended, and notes it of the host, or of one
// of several machines. It reports whether the session counted: that one which was never welcomed
// has ended says nothing of those that were.
func (e *Engine) ended(ctx context.Context, host topics.HostID, s topics.Session) (bool, error) {
	if w := e.machines.witness[host]; w != nil {
		w.Died(s)
	}
	if b, known := e.machines.in(host, s); known && !b.welcomed {
		return false, nil
	}
	if e.machines.refused[host][s.Epoch] {
		return false, nil // it may be above every session of the one that stays
	}
	if e.machines.divided[host] {
		return true, e.Store.MachineDied(ctx, host, s)
	}
	return true, e.Store.Died(ctx, host, s)
}

// overtaken is how long after the birth of a session one that it replaced may still be
// heard; later, another process has it.
const overtaken = 5 * time.Second

// overtakes cuts the connection of a session which another one has replaced and that is
// heard all the same: an agent has one connection at a time. It has to connect anew.
func (e *Engine) overtakes(host topics.HostID, s protocol.Sighting) {
	if e.machines.refused[host][s.Session.Epoch] {
		e.cut(host, s)
		return
	}
	newest := e.Presence.Session(host)
	if e.machines.divided[host] { // of the machine whose session was heard: receipts go to its newest
		newest, _ = e.Presence.Machine(host, s.Session.Epoch)
	}
	current, known := e.machines.in(host, newest)
	if known && current.sighting() != s && e.Now().Sub(current.at) > overtaken && e.cut(host, s) {
		e.Log.Warn("a connection that another one had replaced was still in use; it was cut", "host", host, "session", s.Session.N)
	}
}

// decide looks which machines a person, in whichever process, decided about.
func (e *Engine) decide(ctx context.Context) {
	for host := range e.machines.divided {
		h, err := e.Store.Host(ctx, host)
		switch {
		case errors.Is(err, store.ErrNotFound): // it was removed
		case err != nil:
			e.complain(ctx, "reading machines with one identity failed", "host", host, "err", err)
			continue
		case h.TwinsSince > 0:
			continue
		}
		if err := e.decided(ctx, h, host); err != nil {
			e.complain(ctx, "parting machines with one identity failed", "host", host, "err", err)
		}
	}
}

// decided makes the machine that stays the host, and tells both.
func (e *Engine) decided(ctx context.Context, h store.Host, host topics.HostID) error {
	lanes, err := e.Store.Machines(ctx, host)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		s, _ := e.Presence.Machine(host, l.Epoch)
		e.refuses(host, l.Epoch)
		e.say(host, s, l.Instance, topics.Welcome{Received: topics.Received{Epoch: l.Epoch}, Refused: TwinsRefused})
		if l.Instance == "" {
			e.cut(host, protocol.Sighting{Session: s}) // an older agent listens to nothing but the first welcome
		}
	}
	delete(e.machines.divided, host)
	e.Presence.Unite(host, h.BirthEpoch)
	stays := e.Presence.Session(host)
	e.Log.Info("it was decided which machine stays", "host", host, "instance", h.RenewFor, "refused", len(lanes))
	if h.RenewFor == "" {
		e.cut(host, protocol.Sighting{Session: stays})
	} else {
		e.say(host, stays, h.RenewFor, topics.Welcome{Received: topics.Received{Epoch: h.ReceivedEpoch}, Renew: true})
	}
	delete(e.configs.sent, host)
	e.tell(host)
	e.Stir()
	return nil
}

// heardMachines stores when each of several machines was last heard.
func (e *Engine) heardMachines(ctx context.Context) {
	for host := range e.machines.divided {
		lanes, err := e.Store.Machines(ctx, host)
		for _, l := range lanes {
			if _, seen := e.Presence.MachineConnection(host, l.Epoch); err == nil && !seen.IsZero() {
				err = e.Store.MachineHeard(ctx, host, l.Epoch, seen.UnixMilli())
			}
		}
		if err != nil {
			e.complain(ctx, "storing when machines were last heard failed", "host", host, "err", err)
		}
	}
}
