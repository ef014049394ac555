package broker

import (
	"errors"
	"strings"
	"sync/atomic"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// bridged is set in the version byte of a CONNECT by another broker that bridges.
const bridged = 0x80

// sink is the topic of a message that is acknowledged and goes to nobody. No client can
// name it, since no packet may hold a NUL.
const sink = "\x00"

// awake is the keep-alive, in seconds, that a guest of MQTT 5 is asked for which would be
// silent for longer: what is between us may forget a silent connection. One that goes on
// as it meant to is not cut off before its own is over.
const awake = 60

var errVersion = errors.New("MQTT version is not accepted")

// glance looks at the body of a CONNECT before Mochi does, which takes no bridge for
// what it is, and reads what another version says as if it were ours.
func (c *conn) glance(body []byte) error {
	if len(body) < 2 {
		return nil
	}
	size := int(body[0])<<8 | int(body[1])
	if len(body) < 2+size+1 {
		return nil
	}
	name, version := string(body[2:2+size]), &body[2+size]
	if name != "MQTT" && name != "MQIsdp" {
		return nil
	}
	if name == "MQTT" && *version == MQTT311|bridged && c.broker.cfg.Guests {
		*version, c.bridge = MQTT311, true
	}
	if name == "MQTT" && (*version == MQTT311 || *version == MQTT5) {
		return nil
	}
	_, _ = c.Write([]byte{packets.Connack << 4, 2, 0, badVersion})
	return errVersion
}

// connectionState reports whether a topic is where a bridge says to the broker it
// connects to that it does: $SYS/broker/connection/NAME/state.
func connectionState(topic string) bool {
	name, ok := strings.CutPrefix(topic, "$SYS/broker/connection/")
	name, end := strings.CutSuffix(name, "/state")
	return ok && end && name != "" && !strings.Contains(name, "/")
}

// invited settles what becomes of the will that a client comes with, and whether the
// client is another broker.
func (h *hook) invited(c *conn, cl *mqtt.Client, who Connect, granted *rights) *refusal {
	b, w := h.broker, who.Will
	// Not every bridge says so: one that does not has at least such a will, or wants a
	// session that lasts, which hardly anybody else does.
	if b.cfg.Guests && who.Version == MQTT311 && (c.lasting || w != nil && connectionState(w.Topic)) {
		c.bridge = true
	}
	if w == nil {
		return nil
	}
	ours := plain(w.Topic, b.cfg.Limits.Levels)
	if ours && w.Topic == granted.will {
		return nil
	}
	cl.Properties.Will = mqtt.Will{}
	if ours && within(w.Topic, granted.aside) {
		return nil
	}
	if b.cfg.Guests && connectionState(w.Topic) { // every bridge has one unless told otherwise: it is no attempt at anything
		return nil
	}
	b.deny(Denial{Name: granted.Name, ClientID: who.ClientID, What: "will", Topic: w.Topic})
	if !b.cfg.Guests {
		return refuse(notAuthorised, 0x87, "will is for a topic of somebody else")
	}
	c.refusals.Add(1)
	c.will = brief(w.Topic)
	b.cfg.Log.Warn("a will is not published: outside the client's rights", "topic", c.will, "name", granted.Name, "client", who.ClientID)
	return nil
}

// brief is a topic as logs and pages show it.
func brief(topic string) string {
	if len(topic) > 256 {
		topic = topic[:256]
	}
	return strings.ToValidUTF8(topic, "")
}

// own handles what a client publishes to a topic of the broker's own, and answers with
// the topic that takes its place. A guest's goes nowhere; anybody else's connection ends
// if it waits for an answer, for Mochi has none.
func (c *conn) own(pk packets.Packet) (topic string, err error) {
	guest := c.broker.cfg.Guests
	c.forbidden = !guest || !connectionState(pk.TopicName)
	if c.forbidden {
		c.denied("publish", pk.TopicName)
	}
	if guest {
		return sink, nil
	}
	if pk.FixedHeader.Qos > 0 {
		c.Close()
		return pk.TopicName, packets.ErrRejectPacket
	}
	return pk.TopicName, nil
}

// unanswered is what Mochi is told of a message that is not carried out.
func unanswered(cl *mqtt.Client, pk packets.Packet, why error) error {
	if cl.Properties.ProtocolVersion < MQTT5 || pk.FixedHeader.Qos == 0 {
		return packets.CodeSuccessIgnore // acknowledged, and given to nobody
	}
	code := reasonOf(why)
	if pk.FixedHeader.Qos == 1 {
		return code
	}
	_ = cl.WritePacket(packets.Packet{ // Mochi would send a PUBACK
		FixedHeader: packets.FixedHeader{Type: packets.Pubrec}, PacketID: pk.PacketID, ReasonCode: code.Code,
		Properties: packets.Properties{ReasonString: code.Reason},
	})
	return packets.ErrRejectPacket
}

// OnSubscribed comes between a subscription and its answer. Mochi has refused a topic
// that is not visible now; it is subscribed to all the same, and asked about at delivery.
func (h *hook) OnSubscribed(cl *mqtt.Client, pk packets.Packet, codes []byte) {
	c := connOf(cl)
	if c == nil || c.rights == nil {
		return
	}
	for i, sub := range pk.Filters {
		if sub.Identifier > 0 { // what is retained comes with it, too: Mochi forgets that
			pk.Filters[i].Identifiers = map[string]int{sub.Filter: sub.Identifier}
		}
		if c.rights.visible == nil || codes[i] < packets.ErrUnspecifiedError.Code || strings.ContainsAny(sub.Filter, "+#") ||
			!valid(sub.Filter, h.broker.cfg.Limits.Levels) || !within(sub.Filter, c.rights.subscribe) {
			continue
		}
		if h.broker.server.Topics.Subscribe(cl.ID, sub) {
			atomic.AddInt64(&h.broker.server.Info.Subscriptions, 1)
		}
		cl.State.Subscriptions.Add(sub.Filter, sub)
		codes[i] = sub.Qos
	}
}
