package controlplane

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// admitAgent lets a host into its own subtree, for as long as its certificate
// lasts. Who it is, the certificate says; the client ID, the user name and the
// will have to agree.
func (p *Plane) admitAgent(c broker.Connect) (broker.Rights, error) {
	if c.Certificate == nil {
		return broker.Rights{}, errors.New("no certificate")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := topics.ParseHostID(c.Certificate.Subject.CommonName); err != nil {
		return broker.Rights{}, err
	}
	h, err := p.Desk.Trusted(ctx, c.Certificate)
	if err != nil {
		return broker.Rights{}, known(err)
	}
	prefix, n, ok := strings.Cut(c.ClientID, "_")
	if _, err := strconv.ParseUint(n, 10, 64); !ok || err != nil || prefix != string(h.ID) || c.User != string(h.ID) {
		p.Jobs.Refused(h.ID, "", "a connection under another client ID or user name")
		return broker.Rights{}, fmt.Errorf("%w: client ID %.60q and user %.60q do not fit the certificate of %s", broker.ErrClientID,
			c.ClientID, c.User, h.ID)
	}
	moved, err := p.Desk.Used(ctx, h, c.Certificate)
	if err != nil {
		return broker.Rights{}, known(fmt.Errorf("host %s: %w", h.ID, err))
	}
	failpoint.Here("plane-certificate-used")
	if moved {
		p.Jobs.Forget(h.ID) // it seals for another key from now on
		p.log.Info("host uses another identity of the control plane", "host", h.ID)
	}
	death := topics.Topic{Kind: topics.KindDeath, Host: h.ID}.String()
	return broker.Rights{Name: string(h.ID), Publish: []string{topics.AgentWrites(h.ID)},
		Subscribe: []string{topics.AgentReads(h.ID), topics.AllAgentsRead},
		Retain:    []string{death, topics.Topic{Kind: topics.KindBirth, Host: h.ID}.String()}, Will: death, Until: c.Certificate.NotAfter}, nil
}

// born tells agents that this control plane is there, and dies that it stops: those that
// have heard so come back as soon as the next one listens, each at a moment of its own.
func (p *Plane) born(ctx context.Context) {
	n, err := p.Store.HostCount(ctx)
	if err != nil && ctx.Err() == nil {
		p.log.Error("counting hosts failed", "err", err)
	}
	p.toAll(topics.KindPlaneBirth, topics.PlaneBirth{Session: p.session, Version: Version, Spread: topics.SpreadOf(n).Milliseconds()})
}

func (p *Plane) dies() {
	p.toAll(topics.KindPlaneDeath, topics.PlaneDeath{Session: p.session, Reason: topics.Stopped,
		Spread: topics.SpreadOf(len(p.agents.Connections())).Milliseconds()})
}

func (p *Plane) toAll(kind topics.Kind, payload any) {
	t := topics.Topic{Kind: kind}
	if err := p.agents.Publish(t.String(), topics.Encode(payload), t.Entry().QoS, t.Entry().Retained); err != nil {
		p.log.Warn("agents are not told of the control plane itself", "topic", t, "err", err)
	}
}

// known marks an error as [broker.ErrUnavailable] unless it says that the host is not
// trusted: one that is, and hears otherwise because the disk is full, would give up
// for long.
func known(err error) error {
	for _, no := range []error{store.ErrNotFound, store.ErrRevoked, store.ErrSuperseded} {
		if errors.Is(err, no) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
}

// heard takes what an agent published. The broker's gate has seen to it that the
// topic is its own; the seal has to prove it all the same.
func (p *Plane) heard(m broker.Message) error {
	if t, err := topics.Parse(m.Topic); err != nil || string(t.Host) != m.Name {
		p.Jobs.Refused(topics.HostID(m.Name), m.Topic, "published to a topic that is none of its own")
		return nil
	}
	remote, _, err := net.SplitHostPort(m.Remote)
	if err != nil {
		remote = m.Remote
	}
	p.Jobs.ReceivedFrom(m.ClientID, remote, m.Topic, m.Payload, m.Retain)
	return nil
}

// cut closes the connections of a host's client, or all of the host's.
func (p *Plane) cut(host topics.HostID, client string) int {
	if client == "" {
		return p.agents.Kick(string(host))
	}
	return p.agents.Cut(string(host), client)
}

// denied counts what an agent tried beyond its rights.
func (p *Plane) denied(d broker.Denial) {
	p.Jobs.Refused(topics.HostID(d.Name), d.Topic, "a "+d.What+" beyond its rights")
}

// enrolled is called when a host was let in, perhaps again: what speaks under
// its old keys is nobody now, so its session is over: the will that the broker publishes
// for it cannot say so, as nothing sealed with these keys counts any more.
func (p *Plane) enrolled(h store.Host) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.Jobs.Expel(ctx, h.ID); err != nil {
		p.log.Error("end the session of a host that was enrolled again", "host", h.ID, "err", err)
	}
	p.agents.Kick(string(h.ID))
	p.changed(h.ID)
}

// guard ends the sessions of hosts that are trusted no longer, whoever withdrew
// the trust: a page, a program, or the command line beside us. New connections
// ask the database themselves.
func (p *Plane) guard(ctx context.Context) error {
	again := time.NewTicker(p.timing.Guard)
	defer again.Stop()
	expelled := map[topics.HostID]int64{}
	accepted, err := p.Desk.Load(ctx)
	if err != nil && ctx.Err() == nil { // then everybody is told once more
		p.log.Error("look which identity is accepted", "err", err)
	}
	var looked time.Time
	for {
		if time.Since(looked) > lookReplacedEvery {
			looked = time.Now()
			if err := p.replaced.Look(ctx); err != nil && ctx.Err() == nil {
				p.log.Error("look for replacements that wait", "err", err)
			}
		}
		if err := p.succeed(ctx, &accepted); err != nil && ctx.Err() == nil {
			p.log.Error("look which identity is accepted", "err", err)
		}
		revoked, err := p.Store.Revoked(ctx)
		if err != nil && ctx.Err() == nil {
			p.log.Error("look for revoked hosts", "err", err)
		}
		for id, since := range revoked {
			if expelled[id] == since {
				continue
			}
			n := p.agents.Kick(string(id))
			if err := p.Jobs.Expel(ctx, id); err != nil && ctx.Err() == nil {
				p.log.Error("end the session of a revoked host", "host", id, "err", err)
				continue // until it is
			}
			expelled[id] = since
			p.log.Info("host revoked", "host", id, "connections_closed", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}

// lookReplacedEvery is how often it is looked which replacements of machines wait for long.
const lookReplacedEvery = time.Minute

// lookMovingEvery is how old what a notice says of a change of the identity may be: it
// counts all hosts.
const lookMovingEvery = 15 * time.Second

// succeed looks whether another identity of ours is accepted now, whoever decided it,
// and tells everybody whom that concerns.
func (p *Plane) succeed(ctx context.Context, accepted *[sha256.Size]byte) error {
	if err := p.Desk.Overdue(ctx); err != nil {
		return err
	}
	if m := p.moving.Load(); m == nil || (m.Plan != nil || len(m.Left) > 0) && time.Since(p.movingAt) > lookMovingEvery {
		if err := p.lookMoving(ctx); err != nil {
			return err
		}
		p.movingAt = time.Now()
	}
	now, err := p.Desk.Load(ctx)
	if err != nil || now == *accepted {
		return err
	}
	s, err := p.Desk.Succession(ctx, nil)
	if err != nil {
		return err
	}
	p.log.Info("the identity of the control plane has changed, or is to", "generation", s.Generation, "moved", s.Moved, "hosts", s.All)
	if s.Plan == nil { // who was left behind is nobody any more
		for _, h := range s.Left {
			p.agents.Kick(h.ID)
			if err := p.Jobs.Expel(ctx, topics.HostID(h.ID)); err != nil {
				return err
			}
		}
	}
	if err := p.Jobs.Succeed(ctx); err != nil {
		return err
	}
	*accepted = now
	if err := p.lookMoving(ctx); err != nil {
		return err
	}
	p.decided()
	return nil
}

// successionSays tells administrators how far a change of the identity has come, and
// whom its end leaves behind. It is asked for every page, so it says what was so when
// somebody last looked.
func (p *Plane) successionSays(context.Context) []notices.Notice {
	s := p.moving.Load()
	if s == nil || s.Plan == nil && len(s.Left) == 0 {
		return nil
	}
	var names []string
	for _, h := range s.Left {
		if len(names) == 5 {
			names = append(names, fmt.Sprintf("and %d more", len(s.Left)-5))
			break
		}
		names = append(names, words.Visible(h.Name))
	}
	left := strings.Join(names, ", ")
	const again = "make a token for it on its page, and run restic-manager-agent enroll --again there"
	if s.Plan == nil {
		return []notices.Notice{{ID: "identity-left", Severity: notices.Failure,
			Say: fmt.Sprintf("The control plane has another identity, and %d of %d hosts know the one from before alone: %s. They are "+
				"refused. Their schedules go on, and nothing can be asked of them.", len(s.Left), s.All, left),
			Remedy: "Enrol each again: " + again + ".", Link: notices.Link{Text: "Look who is left", URL: enroll.Page}}}
	}
	until := time.UnixMilli(s.Plan.Until)
	n := notices.Notice{ID: "identity-changing", Severity: notices.Info,
		Say: fmt.Sprintf("The control plane's identity is being changed: %d of %d hosts have moved. The other one is accepted until %s.",
			s.Moved, s.All, words.ISO(until)),
		Remedy: "The page Identity, or restic-manager key identity, shows the rest; there the end is put off, reached, or the change called off.",
		Link:   notices.Link{Text: "Look at the identity", URL: enroll.Page}}
	if len(s.Left) > 0 {
		n.Say += " Left are " + left + "."
		n.Remedy = "Have them connected, with agents of this version: update older ones first. After the end, " + again + ". " + n.Remedy
		if time.Until(until) < 7*24*time.Hour {
			n.Severity = notices.Warning
		}
	}
	return []notices.Notice{n}
}

// lookMoving notes how far a change of the identity has come.
func (p *Plane) lookMoving(ctx context.Context) error {
	s, err := p.Desk.Succession(ctx, p.presence.Reachable)
	if err == nil {
		p.moving.Store(&s)
	}
	return err
}
