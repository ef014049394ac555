package controlplane

import (
	"context"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/topics"
)

// publish gives a message to the public broker, and tells the explorer of it.
func (p *Plane) publish(topic string, payload []byte, qos byte, retain bool) error {
	err := p.consumers.Publish(topic, payload, qos, retain)
	if err == nil {
		p.explorer.Said(topic, payload, qos, retain)
	}
	return err
}

// retainedAt is what the public broker retains at a topic, by its full name; nil for nothing.
func (p *Plane) retainedAt(ctx context.Context, name string) ([]byte, error) {
	below, ours := strings.CutPrefix(name, topics.Root+"/")
	if !ours {
		below = "/" + name
	}
	for _, outlet := range []outbox.Outlet{outbox.Public, outbox.Both} {
		if payload, err := p.box.Last(ctx, outlet, below); payload != nil || err != nil {
			return payload, err
		}
	}
	return nil, nil
}
