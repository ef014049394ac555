package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
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
	h, err := p.Desk.Trusted(ctx, c.Certificate)
	if err != nil {
		return broker.Rights{}, err
	}
	prefix, n, ok := strings.Cut(c.ClientID, "_")
	if _, err := strconv.ParseUint(n, 10, 64); !ok || err != nil || prefix != string(h.ID) || c.User != string(h.ID) {
		p.Jobs.Refused(h.ID, "", "a connection under another client ID or user name")
		return broker.Rights{}, fmt.Errorf("client ID %.60q and user %.60q do not fit the certificate of %s", c.ClientID, c.User, h.ID)
	}
	if err := p.Desk.Used(ctx, h, c.Certificate); err != nil {
		return broker.Rights{}, fmt.Errorf("host %s: %w", h.ID, err)
	}
	failpoint.Here("plane-certificate-used")
	death := topics.Topic{Kind: topics.KindDeath, Host: h.ID}.String()
	return broker.Rights{Name: string(h.ID), Publish: []string{topics.AgentWrites(h.ID)}, Subscribe: []string{topics.AgentReads(h.ID)},
		Retain: []string{death, topics.Topic{Kind: topics.KindBirth, Host: h.ID}.String()}, Will: death, Until: c.Certificate.NotAfter}, nil
}

// heard takes what an agent published. The broker's gate has seen to it that the
// topic is its own; the seal has to prove it all the same.
func (p *Plane) heard(m broker.Message) {
	if t, err := topics.Parse(m.Topic); err != nil || string(t.Host) != m.Name {
		p.Jobs.Refused(topics.HostID(m.Name), m.Topic, "published to a topic that is none of its own")
		return
	}
	remote, _, err := net.SplitHostPort(m.Remote)
	if err != nil {
		remote = m.Remote
	}
	p.Jobs.ReceivedFrom(m.ClientID, remote, m.Topic, m.Payload, m.Retain)
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
// its old keys is nobody now.
func (p *Plane) enrolled(h store.Host) {
	p.Jobs.Forget(h.ID)
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
	for {
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
