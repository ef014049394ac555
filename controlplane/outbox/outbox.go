// Package outbox is what the control plane says to brokers that others listen to: the
// embedded public one, and one of the user's own. Whoever has something to say puts it
// into a [Box]; what is retained is in the database before it is sent. An outlet is one
// broker. It follows the box: after each connection it gets everything that is retained,
// and then what changes, in the order in which it was put.
package outbox

import (
	"context"
	"errors"

	"github.com/restic-manager/restic-manager/topics"
)

// An Outlet is a broker that something is said to.
type Outlet string

// The outlets.
const (
	Both   Outlet = ""       // what is the same for all
	Public Outlet = "public" // the embedded broker
	Uplink Outlet = "uplink" // the user's own
)

// ErrShut is returned by Follow if the outlet is not used, or is not any more.
var ErrShut = errors.New("the outlet is not used")

// A Message is something to be said. Topic is below the outlet's root; one that begins
// with a slash is taken as it is, without the slash: Home Assistant's discovery.
type Message struct {
	Outlet  Outlet
	Topic   string
	Payload []byte // empty and retained clears the topic
	QoS     byte
	Retain  bool
}

// Of is a message on one of our topics.
func Of(t topics.Topic, payload []byte, qos byte, retain bool) Message {
	return Message{Topic: t.Below(), Payload: payload, QoS: qos, Retain: retain}
}

// Cleared is a message that clears a topic.
func Cleared(outlet Outlet, topic string) Message {
	return Message{Outlet: outlet, Topic: topic, QoS: 1, Retain: true}
}

// Name is the topic's full name at a broker with that root.
func (m Message) Name(root string) string {
	if m.Topic != "" && m.Topic[0] == '/' {
		return m.Topic[1:]
	}
	return root + "/" + m.Topic
}

// A Dialect is how an outlet is spoken to: what differs between brokers in what is said.
type Dialect struct {
	Outlet Outlet
	Root   string // "rm/v1" unless somebody chose another
	// Command is the full name of the topic that asks for an action on a host there; nil if
	// nothing can be asked for there.
	Command func(topics.HostID, topics.Action) string
}

// A Sender gives a message to a broker. It returns an error if the connection is over.
type Sender func(ctx context.Context, topic string, payload []byte, qos byte, retain bool) error

// A Link is a connection to an outlet's broker.
type Link struct {
	// Send hands a message over. It may return before the broker has acknowledged it.
	Send Sender
	// Flush returns when the broker has acknowledged everything that Send was given; nil if
	// it has when Send returns.
	Flush func(context.Context) error
	// Heard, if set, reports whether anybody has subscribed there: it is a broker that ends with the
	// control plane. What is said once waits after a start until somebody does, for half a
	// minute at most, and what was cleared is cleared again for a while.
	Heard func() bool
}
