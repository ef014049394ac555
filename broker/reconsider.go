package broker

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Reconsider tells the clients of this name that what they hear of has changed: what is
// retained on a topic that is visible to them now and was not before is sent to those that
// have subscribed to it, and an empty message for what was and is not any more, as if it
// had been cleared. It comes with the QoS that their subscription has, and like any other
// message that is sent to it; Reconsider returns when it is sent to them or they are gone.
//
// Rights.Visible must answer as now does already.
func (b *Broker) Reconsider(name string, before, now func(topic string) bool) {
	var gained, lost []string
	for topic := range b.server.Topics.Retained.GetAll() {
		switch was, is := before(topic), now(topic); {
		case is && !was:
			gained = append(gained, topic)
		case was && !is:
			lost = append(lost, topic)
		}
	}
	if len(gained)+len(lost) == 0 {
		return
	}
	slices.Sort(gained)
	slices.Sort(lost)
	var all sync.WaitGroup
	for _, cl := range b.clientsOf(name) {
		all.Go(func() {
			for _, topic := range lost {
				if sub, ok := subscribed(cl, topic); ok {
					b.forget(cl, topic, sub)
				}
			}
			for _, topic := range gained {
				if sub, ok := subscribed(cl, topic); ok {
					b.remind(cl, topic, sub)
				}
			}
		})
	}
	all.Wait()
}

// remind sends what is retained on a topic. Something newer may be on its way at the same
// time, and arrive first: so it looks again after that, until nothing changes.
func (b *Broker) remind(cl *mqtt.Client, topic string, sub packets.Subscription) {
	last, ok := b.server.Topics.Retained.Get(topic)
	for ok {
		b.send(cl, topic, last.Payload, min(last.FixedHeader.Qos, sub.Qos), true, sub)
		again, still := b.server.Topics.Retained.Get(topic)
		if still && string(again.Payload) == string(last.Payload) {
			return
		}
		if !still {
			b.forget(cl, topic, sub)
		}
		last, ok = again, still
	}
}

// forget says that nothing is retained on a topic any more. Another broker, whose
// subscription gets messages as they were published, is to retain nothing, too.
func (b *Broker) forget(cl *mqtt.Client, topic string, sub packets.Subscription) {
	b.send(cl, topic, nil, min(1, sub.Qos), sub.FwdRetainedFlag || sub.RetainAsPublished && cl.Properties.ProtocolVersion == MQTT5, sub)
}

func (b *Broker) clientsOf(name string) (list []*mqtt.Client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		if !c.authorising && c.rights != nil && c.rights.Name == name && c.client != nil {
			list = append(list, c.client)
		}
	}
	return list
}

// subscribed is what a client has subscribed to a topic with, false if nothing.
func subscribed(cl *mqtt.Client, topic string) (sub packets.Subscription, ok bool) {
	for filter, s := range cl.State.Subscriptions.GetAll() {
		switch {
		case !contains(filter, topic):
		case ok:
			sub = sub.Merge(s)
		default:
			sub, ok = s, true
		}
	}
	return sub, ok
}

// send sends one client a message. It comes at QoS 0 if too many of the client's wait for
// their acknowledgement. One that is gone hears it when it is back.
func (b *Broker) send(cl *mqtt.Client, topic string, payload []byte, qos byte, retained bool, sub packets.Subscription) {
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Retain: retained}, TopicName: topic, Payload: payload,
		Created: time.Now().Unix()}
	for _, id := range sub.Identifiers {
		if id > 0 {
			pk.Properties.SubscriptionIdentifier = append(pk.Properties.SubscriptionIdentifier, id)
		}
	}
	if sub.Identifiers == nil && sub.Identifier > 0 {
		pk.Properties.SubscriptionIdentifier = []int{sub.Identifier}
	}
	slices.Sort(pk.Properties.SubscriptionIdentifier)
	if qos > 0 && cl.State.Inflight.Len() < b.cfg.Limits.Inflight {
		if id, err := cl.NextPacketID(); err == nil {
			pk.FixedHeader.Qos, pk.PacketID = qos, uint16(id)
			if cl.State.Inflight.Set(pk) {
				atomic.AddInt64(&b.server.Info.Inflight, 1)
			}
		}
	}
	_ = cl.WritePacket(pk)
}
