package broker

import (
	"errors"
	"slices"
	"strings"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// hook is where Mochi asks us. Methods run on the goroutine of the client they
// are given, except where they say otherwise.
type hook struct {
	mqtt.HookBase
	broker *Broker
}

func (h *hook) ID() string { return "broker" }

func (h *hook) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnSessionEstablished, mqtt.OnDisconnect, mqtt.OnACLCheck,
		mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnPacketSent, mqtt.OnPacketProcessed,
		mqtt.OnSubscribe, mqtt.OnSubscribed, mqtt.OnPublish, mqtt.OnPublishDropped, mqtt.OnRetainMessage,
		mqtt.OnWill, mqtt.OnWillSent:
		return true
	}
	return false
}

// connOf returns the connection under a client, nil for Mochi's inline one.
func connOf(cl *mqtt.Client) *conn {
	c, _ := cl.Net.Conn.(*conn)
	return c
}

// A refusal is the answer to a CONNECT: its code in MQTT 3.1.1 and 5, and what the log says.
type refusal struct {
	v4, v5 byte
	error
}

func refuse(v4, v5 byte, why string) *refusal { return &refusal{v4, v5, errors.New(why)} }

// Return codes of a CONNACK in MQTT 3.1.1, par. 3.2.2.3. There are no others.
const (
	badVersion    = 1
	badClientID   = 2
	unavailable   = 3
	badPassword   = 4
	notAuthorised = 5
)

// refusals are the codes for what an Authorise may return; anything else is
// notAuthorised.
var refusals = []struct {
	err    error
	v4, v5 byte
}{
	{ErrBadPassword, badPassword, 0x86},
	{ErrClientID, badClientID, 0x85},
	{ErrUnavailable, unavailable, 0x88},
}

// reasons are the codes for what Received may return; anything else is unspecified.
var reasons = []struct {
	err  error
	code packets.Code
}{
	{ErrNotAllowed, packets.ErrNotAuthorized},
	{ErrNoSuchTopic, packets.ErrTopicNameInvalid},
	{ErrQuota, packets.ErrQuotaExceeded},
	{ErrPayload, packets.ErrPayloadFormatInvalid},
}

func reasonOf(err error) packets.Code {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.code
		}
	}
	return packets.ErrUnspecifiedError
}

func refusalOf(err error) *refusal {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return &refusal{r.v4, r.v5, err}
		}
	}
	return &refusal{notAuthorised, 0x87, err}
}

// OnConnect decides over a CONNECT. Mochi would drop a refused client without a
// word, so the answer is written here.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c := connOf(cl)
	no := h.admit(c, cl, pk)
	if no == nil {
		return nil
	}
	code := no.v4
	if cl.Properties.ProtocolVersion == MQTT5 {
		code = no.v5
	}
	_ = cl.WritePacket(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connack}, ReasonCode: code})
	return no
}

// admit lets a client in. It then holds tables until the client has entered
// Mochi's, which is when its CONNACK is written.
func (h *hook) admit(c *conn, cl *mqtt.Client, pk packets.Packet) *refusal {
	b, limits := h.broker, h.broker.cfg.Limits
	if !slices.Contains(b.cfg.Versions, pk.ProtocolVersion) {
		return refuse(badVersion, 0x84, "MQTT version is not accepted")
	}
	if c.unnamed && pk.ProtocolVersion < MQTT5 {
		return refuse(badClientID, 0x85, "a session that lasts needs a client id")
	}
	keepAlive := time.Duration(pk.Connect.Keepalive) * time.Second
	if keepAlive < limits.MinKeepAlive || limits.MaxKeepAlive > 0 && keepAlive > limits.MaxKeepAlive {
		return refuse(notAuthorised, 0x87, "keep-alive is out of bounds")
	}
	who := Connect{
		ClientID: pk.Connect.ClientIdentifier, User: string(pk.Connect.Username), Password: pk.Connect.Password,
		Certificate: c.certificate(), Remote: c.RemoteAddr(), Version: pk.ProtocolVersion,
	}
	if pk.Connect.WillFlag {
		who.Will = &Will{pk.Connect.WillTopic, pk.Connect.WillPayload, pk.Connect.WillQos, pk.Connect.WillRetain}
	}
	if c.blank {
		who.Will.Payload, cl.Properties.Will.Payload = nil, nil
	}
	granted, no := h.authorise(c, who)
	if no == nil {
		no = h.invited(c, cl, who, granted)
	}
	if no != nil {
		return no
	}

	// A session that ends with its connection sends its will there and then.
	cl.Properties.Will.WillDelayInterval = 0
	// An alias is lost with the message that introduced it when a queue overflows.
	cl.Properties.Props.TopicAliasMaximum = 0
	// Mochi's flow control can deadlock with a publisher. A client that asks for it
	// is served with QoS 0 instead, see OnSubscribe.
	cl.State.Inflight.ResetSendQuota(0)

	b.tables.Lock()
	if no := h.enter(c, cl, pk.ProtocolVersion, granted); no != nil {
		b.tables.Unlock()
		return no
	}
	c.entering = true
	return nil
}

// enter decides whose connection this is. The caller holds tables.
func (h *hook) enter(c *conn, cl *mqtt.Client, version byte, granted *rights) *refusal {
	b := h.broker
	var rival *conn // its own from before, which ends when it is let in
	if other, ok := b.server.Clients.Get(cl.ID); ok {
		if rival = connOf(other); rival == nil || rival.rights.Name != granted.Name { // nil is the broker's own
			return refuse(badClientID, 0x85, "client id is in use under another name")
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c.authorising = false
	if b.closing.Load() {
		return refuse(unavailable, 0x8b, "the broker is being stopped")
	}
	if slices.Contains(c.kicked, granted.Name) {
		return refuse(notAuthorised, 0x87, "rights were withdrawn meanwhile")
	}
	if oldest := b.oldest(granted.Name); rival == nil && oldest != nil {
		rival = oldest
	}
	// Who comes again after its connection was cut does not stand in its own way, when
	// there are as many as there may be.
	if !c.place.Prove() && (rival == nil || !c.place.Succeed(rival.place) && !c.place.Prove()) {
		return refuse(unavailable, 0x97, "there are as many clients as there may be")
	}
	b.crowded(granted.Name)
	if b.names[granted.Name] == nil {
		b.names[granted.Name] = map[*conn]struct{}{}
	}
	b.names[granted.Name][c] = struct{}{}
	c.rights, c.id, c.version = granted, cl.ID, version
	if !granted.until.IsZero() {
		c.expiry = time.AfterFunc(time.Until(granted.until), func() {
			b.cfg.Log.Info("client's time is over", "name", granted.Name, "client", c.id)
			c.Close()
		})
	}
	return nil
}

// oldest is the connection that ends if there is one more under its name, nil if none
// does. The caller holds mu.
func (b *Broker) oldest(name string) (oldest *conn) {
	most := b.cfg.Limits.PerName
	if most == 0 || len(b.names[name]) < most {
		return nil
	}
	for c := range b.names[name] {
		if oldest == nil || c.since.Before(oldest.since) {
			oldest = c
		}
	}
	return oldest
}

// crowded makes room for one more connection under a name. The caller holds mu.
func (b *Broker) crowded(name string) {
	oldest := b.oldest(name)
	if oldest == nil {
		return
	}
	b.cfg.Log.Warn("too many connections under one name; the oldest is closed", "name", name, "client", oldest.id)
	b.unname(oldest)
	oldest.Close()
}

// unname forgets under which name a connection is. The caller holds mu.
func (b *Broker) unname(c *conn) {
	if c.rights == nil {
		return
	}
	name := c.rights.Name
	if delete(b.names[name], c); len(b.names[name]) == 0 {
		delete(b.names, name)
	}
}

func (h *hook) authorise(c *conn, who Connect) (*rights, *refusal) {
	b := h.broker
	b.mu.Lock()
	c.authorising = true // until admit has either taken or refused the rights
	b.mu.Unlock()
	if b.cfg.Authorise == nil {
		return nil, refuse(notAuthorised, 0x87, "nobody is allowed in")
	}
	r, err := b.cfg.Authorise(who)
	if err != nil {
		return nil, refusalOf(err)
	}
	granted, err := r.seal()
	if err != nil {
		return nil, refusalOf(err)
	}
	return granted, nil
}

// plain reports whether topic is one a client may ever publish to.
func plain(topic string, levels int) bool {
	return valid(topic, levels) && topic[0] != '$' && !strings.ContainsAny(topic, "+#")
}

// OnConnectAuthenticate returns what OnConnect has decided.
func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, _ packets.Packet) bool {
	c := connOf(cl)
	return c != nil && c.rights != nil
}

// OnACLCheck is asked about the topic of a publish, the filter of a subscribe,
// and the topic of every message about to be delivered, the last on the
// publisher's goroutine; so it takes no lock.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	c := connOf(cl)
	if c == nil || c.rights == nil {
		return false
	}
	if write {
		if topic == sink || plain(topic, h.broker.cfg.Limits.Levels) && (within(topic, c.rights.publish) || within(topic, c.rights.aside)) {
			return true
		}
		c.denied("publish", topic)
		return false
	}
	if valid(topic, h.broker.cfg.Limits.Levels) && within(topic, c.rights.subscribe) {
		return c.rights.visible == nil || strings.ContainsAny(topic, "+#") || c.rights.visible(topic)
	}
	c.denied("subscribe", topic)
	return false
}

func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	if c.isClosed() {
		return pk, packets.ErrRejectPacket // the rest of a kicked client's buffer
	}
	switch pk.FixedHeader.Type {
	case packets.Connect:
		if c.client == nil {
			c.client = cl
		}
		c.lasting = !pk.Connect.Clean
		c.unnamed = pk.Connect.ClientIdentifier == "" && c.lasting
		pk.Connect.Clean = true
		if c.blank = pk.Connect.WillFlag && pk.Connect.WillTopic != "" && len(pk.Connect.WillPayload) == 0; c.blank {
			pk.Connect.WillPayload = []byte{0} // Mochi takes no will without one
		}
	case packets.Publish:
		c.heard.Add(1)
		h.broker.in.Add(1)
		if c.rights != nil && strings.HasPrefix(pk.TopicName, "$") { // Mochi passes over most of them without a word
			topic, err := c.own(pk)
			if pk.TopicName = topic; err != nil {
				return pk, err
			}
		}
	case packets.Subscribe, packets.Unsubscribe:
		// Mochi keeps the packet ids of both directions in one table and refuses a
		// SUBSCRIBE whose id happens to be that of a message it awaits an
		// acknowledgement for. Id 0 is never in the table; the answer gets the real one.
		if pk.PacketID > 0 {
			c.ackID, pk.PacketID, pk.FixedHeader.Qos = pk.PacketID, 0, 0
		}
	}
	return pk, nil
}

// OnPacketEncode comes before a packet is written: for a message on the client's
// writing goroutine, for a DISCONNECT on whichever ends the client.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	c := connOf(cl)
	if c == nil {
		return pk
	}
	switch pk.FixedHeader.Type {
	case packets.Connack:
		if pk.ReasonCode > notAuthorised && cl.Properties.ProtocolVersion != MQTT5 {
			// Mochi refuses what breaks the protocol with codes that MQTT 3.1.1 does not
			// have. That says to close without a word, but for a version nobody speaks.
			if cl.Properties.ProtocolVersion == MQTT311 {
				c.mute()
			}
			pk.ReasonCode = badVersion
		}
		if pk.ReasonCode == 0 && cl.Properties.ProtocolVersion == MQTT5 {
			pk.Properties.MaximumPacketSize = uint32(h.broker.cfg.Limits.PacketSize)
			pk.Properties.SharedSubAvailableFlag = true // and it is not
			if quiet := cl.State.Keepalive; h.broker.cfg.Guests && (quiet == 0 || quiet > awake) {
				pk.Properties.ServerKeepAlive, pk.Properties.ServerKeepAliveFlag = awake, true
			}
		}
		if c.entering {
			c.entering, c.entered = false, true
			h.broker.tables.Unlock()
		}
	case packets.Suback, packets.Unsuback:
		pk.PacketID, pk.Properties.User = c.ackID, nil
		c.room()
	case packets.Disconnect:
		if cl.Properties.ProtocolVersion < MQTT5 {
			c.mute() // MQTT 3.1.1 has no such packet from a server
		}
	default:
		c.room()
	}
	return pk
}

// OnPacketSent comes after a packet was written. Between the answer to a
// SUBSCRIBE and the end of its processing Mochi looks for retained messages.
func (h *hook) OnPacketSent(cl *mqtt.Client, pk packets.Packet, _ []byte) {
	switch pk.FixedHeader.Type {
	case packets.Suback:
		h.broker.retained.RLock()
		connOf(cl).scanning = true
	case packets.Publish:
		connOf(cl).told.Add(1)
		h.broker.out.Add(1)
	}
}

func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	c := connOf(cl)
	h.broker.cfg.Log.Info("client connected", "name", c.rights.Name, "client", c.id, "remote", cl.Net.Remote)
}

func (h *hook) OnPacketProcessed(cl *mqtt.Client, pk packets.Packet, _ error) {
	if c := connOf(cl); c != nil && c.scanning {
		c.scanning = false
		h.broker.retained.RUnlock()
	}
}

// OnSubscribe caps how many filters a client holds, and the QoS of one that
// wants flow control. A filter that is too many becomes an invalid one.
func (h *hook) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	c := connOf(cl)
	held := cl.State.Subscriptions.Len()
	window := int(cl.Properties.Props.ReceiveMaximum) // 0: as many as we like
	paced := window > 0 && window < h.broker.cfg.Limits.Inflight
	for i := range pk.Filters {
		s := &pk.Filters[i]
		if _, again := cl.State.Subscriptions.Get(s.Filter); !again {
			held++
		}
		if most := h.broker.cfg.Limits.Subscriptions; most > 0 && held > most {
			c.denied("subscribe", s.Filter)
			s.Filter = ""
		}
		if paced {
			s.Qos = 0
		}
		s.FwdRetainedFlag = c.bridge
	}
	return pk
}

// OnPublish comes after the rights were checked and before the message is
// acknowledged, retained or delivered.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	if c == nil { // our own
		if pk.FixedHeader.Retain {
			h.broker.keep(pk.TopicName)
		}
		return pk, nil
	}
	switch {
	case pk.TopicName == sink && c.forbidden:
		return pk, unanswered(cl, pk, ErrNotAllowed)
	case pk.TopicName == sink, !within(pk.TopicName, c.rights.publish): // the latter is said aside
		return pk, packets.CodeSuccessIgnore
	}
	homeless := pk.FixedHeader.Retain && !within(pk.TopicName, c.rights.retain)
	if homeless {
		c.denied("retain", pk.TopicName)
		if !h.broker.cfg.Guests {
			c.Close()
			return pk, packets.ErrRejectPacket
		}
	}
	err := h.broker.received(Message{
		Name: c.rights.Name, ClientID: c.id, Remote: c.RemoteAddr().String(), Topic: pk.TopicName, Payload: pk.Payload,
		QoS: pk.FixedHeader.Qos, Retain: pk.FixedHeader.Retain, Again: pk.FixedHeader.Dup,
	})
	if err != nil {
		return pk, unanswered(cl, pk, err)
	}
	if homeless {
		return pk, packets.CodeSuccessIgnore
	}
	if pk.FixedHeader.Retain {
		h.broker.keep(pk.TopicName)
		c.retaining = true
	}
	return pk, nil
}

// OnRetainMessage follows OnPublish and OnWill as soon as the message is stored.
func (h *hook) OnRetainMessage(cl *mqtt.Client, pk packets.Packet, _ int64) {
	if c := connOf(cl); c != nil {
		c.retaining = false
	}
	h.broker.stored(pk.TopicName)
}

// OnPublishDropped runs on the publisher's goroutine.
func (h *hook) OnPublishDropped(cl *mqtt.Client, _ packets.Packet) {
	h.broker.dropped.Add(1)
	if c := connOf(cl); c != nil && c.lost.Add(1) == 1 {
		h.broker.cfg.Log.Warn("messages dropped: client does not keep up", "name", c.rights.Name, "client", c.id)
	}
}

// OnWill checks a will once more when it is due. It cannot refuse one, so a
// foreign will goes where nobody can listen.
func (h *hook) OnWill(cl *mqtt.Client, w mqtt.Will) (mqtt.Will, error) {
	c := connOf(cl)
	c.willed = true
	if w.TopicName != c.rights.will {
		c.denied("will", w.TopicName)
		return mqtt.Will{TopicName: "$refused"}, nil
	}
	if w.Retain {
		h.broker.keep(w.TopicName)
		c.retaining = true
	}
	return w, nil
}

func (h *hook) OnWillSent(cl *mqtt.Client, pk packets.Packet) {
	if c := connOf(cl); c != nil {
		_ = h.broker.received(Message{ // there is nobody to answer
			Name: c.rights.Name, ClientID: c.id, Remote: c.RemoteAddr().String(), Topic: pk.TopicName, Payload: pk.Payload,
			QoS: pk.FixedHeader.Qos, Retain: pk.FixedHeader.Retain, Will: true,
		})
	}
}

// OnDisconnect is called just before a client leaves Mochi's tables; bury removes it
// from ours.
func (h *hook) OnDisconnect(cl *mqtt.Client, _ error, _ bool) {
	h.broker.tables.Lock()
	connOf(cl).leaving = true
}
