package controlplane

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane/asking"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// commanded takes a message of a consumer: it is carried out on that consumer's own
// goroutine in the broker, so that its acknowledgement says what became of it.
func (p *Plane) commanded(m broker.Message) error {
	below, ours := strings.CutPrefix(m.Topic, topics.Root+"/")
	if !ours { // beside commands, all that a consumer may say is that it is there
		p.greeted(m)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := p.asking.Ask(store.WithRemote(ctx, remoteOf(m.Remote)), asking.Wish{Consumer: m.Name, Outlet: outbox.Public, Below: below,
		Payload: m.Payload, Retained: m.Retain, Again: m.Again})
	return reason(err)
}

// reason is an error as the broker tells it.
func reason(err error) error {
	for _, r := range []struct{ is, says error }{{asking.ErrNotAllowed, broker.ErrNotAllowed}, {asking.ErrNoTopic, broker.ErrNoSuchTopic},
		{asking.ErrTooMany, broker.ErrQuota}, {asking.ErrPayload, broker.ErrPayload}} {
		if errors.Is(err, r.is) {
			return r.says
		}
	}
	return err
}

// beyond notes what a consumer tried beyond its rights. It runs on the broker's
// goroutines and does not wait.
func (p *Plane) beyond(d broker.Denial) {
	below, ours := strings.CutPrefix(d.Topic, topics.Root+"/do/")
	if d.What != "publish" || !ours { // what is retained comes as a command, too
		return
	}
	select {
	case p.denials <- asking.Wish{Consumer: d.Name, Outlet: outbox.Public, Below: "do/" + below, Denied: true}:
	default: // it is in the log
	}
}

// answerDenials answers what the broker refused by itself.
func (p *Plane) answerDenials(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case w := <-p.denials:
			_, _ = p.asking.Ask(ctx, w) // it says itself why not
		}
	}
}

// say gives an answer to the broker that the command came by. On the public one whoever
// asked is connected, or will not hear it.
func (p *Plane) say(ctx context.Context, m outbox.Message) {
	if m.Outlet != outbox.Public {
		p.box.Put(ctx, m)
		return
	}
	if err := p.publish(m.Name(topics.Root), m.Payload, m.QoS, m.Retain); err != nil {
		p.log.Warn("answer a consumer", "topic", m.Topic, "err", err)
	}
}

// remoteOf is the address of HOST:PORT.
func remoteOf(at string) string {
	if host, _, err := net.SplitHostPort(at); err == nil {
		return host
	}
	return at
}
