package broker

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

// guest is what a consumer with a greeting that nobody hears may do.
func guest(c Connect) (Rights, error) {
	r, err := consumer(c)
	r.Aside = []string{"greet/status"}
	r.Subscribe = append(r.Subscribe, "greet/#")
	return r, err
}

func guests() Config {
	cfg := public()
	cfg.Authorise = guest
	return cfg
}

// A will that a guest may not have is dropped and noted, and its connection goes on.
func TestAForeignWillIsDroppedAndTheClientStays(t *testing.T) {
	w := start(t, guests(), nil, nil)
	var denied atomic.Int64
	w.cfg.Denied = func(d Denial) {
		if d.What == "will" {
			denied.Add(1)
		}
	}
	listens := w.join(hello{id: "listens", user: "other", pass: "open sesame"})
	listens.send(subscribe(1, 0, "pub/#", "greet/#"))
	listens.expect(0x90)
	for i, c := range []struct {
		topic string
		noted bool
	}{
		{"pub/fake", true},
		{"pub/#", true},
		{"do/x", true}, // it may publish there, but not leave it behind
		{"$SYS/broker/connection/attic.rm/state", false}, // a bridge's, unless told otherwise: no attempt at anything
		{"greet/status", false},
		{"do/will/c5", false}, // its own
		{"$SYS/broker/version", true},
	} {
		for _, version := range []byte{MQTT311, MQTT5} {
			before := denied.Load()
			id := fmt.Sprintf("c%d", i)
			r := w.join(hello{version: version, id: id, user: "home", pass: "open sesame",
				will: &Will{Topic: c.topic, Payload: []byte("gone"), QoS: 1, Retain: c.topic != "do/will/c5"}})
			if got := denied.Load() > before; got != c.noted {
				t.Errorf("will on %s, MQTT %d: noted is %t", c.topic, version, got)
			}
			lost := ""
			for _, x := range w.Connections() {
				if x.ClientID == id {
					lost = x.LostWill
				}
			}
			if want := map[bool]string{true: c.topic}[c.noted]; lost != want {
				t.Errorf("will on %s, MQTT %d: the connection's lost will is %q", c.topic, version, lost)
			}
			r.Close()
			w.awaitConnected(1)
		}
	}
	if got := strings.Count(w.logs.String(), "a will is not published"); got != 8 {
		t.Errorf("%d wills are logged, want 8", got)
	}
	w.awaitMessage("do/will/c5", "gone")
	for _, m := range w.messages() {
		if m.Topic != "do/will/c5" {
			t.Errorf("received %q on %s", m.Payload, m.Topic)
		}
	}
	listens.send(ping)
	listens.expect(0xd0) // and nobody's will
	if s := w.Stats(); s.Retained != 0 {
		t.Errorf("%d messages are retained", s.Retained)
	}
}

// A will may be of no bytes.
func TestAWillMayBeEmpty(t *testing.T) {
	w := start(t, public(), nil, nil)
	r := w.join(hello{id: "ha", user: "home", pass: "open sesame", will: &Will{Topic: "do/will/ha"}})
	r.Close()
	w.awaitMessage("do/will/ha", "")
}

// What a guest says aside is acknowledged at every QoS and heard by nobody.
func TestWhatIsSaidAsideIsKeptToItself(t *testing.T) {
	w := start(t, guests(), nil, nil)
	r := w.join(hello{id: "ha", user: "home", pass: "open sesame"})
	r.send(subscribe(1, 2, "greet/#"))
	r.expect(0x90)
	r.send(publish("greet/status", "online", 0, 0, true), publish("greet/status", "online", 1, 1, true), publish("greet/status",
		"online", 2, 2, false))
	r.expect(0x40)
	r.expect(0x50)
	r.send(packet(0x62, []byte{0, 2}))
	r.expect(0x70)
	r.send(ping)
	r.expect(0xd0)
	if s := w.Stats(); len(w.messages()) > 0 || s.Retained > 0 || s.Denied > 0 {
		t.Errorf("received %v, %d retained, %d denied; want none", w.messages(), s.Retained, s.Denied)
	}
}

// A broker that bridges says so in its version, and gets the retain flag as it was
// published. So does one that does not say so, by its will or its lasting session.
func TestABridgeGetsTheRetainFlag(t *testing.T) {
	w := start(t, guests(), nil, nil)
	state := &Will{Topic: "$SYS/broker/connection/attic.rm/state", Payload: []byte("0"), QoS: 1, Retain: true}
	said := func(h hello) []byte {
		p := h.packet()
		p[bytes.Index(p, text("MQTT"))+6] |= 0x80
		return p
	}
	plain := hello{id: "attic.rm", user: "home", pass: "open sesame"}
	with := func(change func(*hello)) hello { h := plain; change(&h); return h }
	for _, c := range []struct {
		why  string
		says []byte
		kept bool
	}{
		{"it says so", said(plain), true},
		{"it says so, with all of a default bridge", said(with(func(h *hello) { h.will, h.dirty = state, true })), true},
		{"its will", with(func(h *hello) { h.will = state }).packet(), true},
		{"its session", with(func(h *hello) { h.dirty = true }).packet(), true},
		{"an ordinary client", plain.packet(), false},
	} {
		r := w.dial()
		r.send(c.says)
		if ack := r.expect(0x20); ack[0] != 0 || ack[1] != 0 {
			t.Fatalf("%s: CONNACK %x", c.why, ack)
		}
		// This is how a bridge tells that it is connected.
		r.send(publish(state.Topic, "1", 1, 1, true), publish(state.Topic, "1", 0, 0, true), publish(state.Topic, "1", 2, 2, true))
		r.expect(0x40)
		r.expect(0x50)
		r.send(packet(0x62, []byte{0, 2}))
		r.expect(0x70)
		r.send(subscribe(3, 1, "pub/#"))
		r.expect(0x90)
		if err := w.Publish("pub/state", []byte("x"), 0, true); err != nil {
			t.Fatal(err)
		}
		if first, _, err := r.next(); err != nil || first&1 == 1 != c.kept {
			t.Errorf("%s: a PUBLISH of %#x, %v; want the retain flag kept: %t", c.why, first, err, c.kept)
		}
		if err := w.Publish("pub/state", nil, 0, true); err != nil {
			t.Fatal(err)
		}
		r.expect(0x30 | map[bool]byte{true: 1}[c.kept])
		r.Close()
		w.awaitConnected(0)
	}
	if got := w.Stats().Denied; got != 0 {
		t.Errorf("%d denied, want none: what a bridge says of its connection, and its will, is no attempt at anything", got)
	}
	if len(w.messages()) > 0 {
		t.Errorf("received %v", w.messages())
	}

	// Agents' broker has no bridges.
	agents := start(t, Config{}, nil, nil).dial()
	agents.send(said(hello{id: "attic_1"}))
	if ack := agents.expect(0x20); ack[1] != 1 {
		t.Errorf("the agents' broker answers %x, want code 1", ack)
	}
	agents.expectClosed()
}

func TestAWrongVersionIsAnswered(t *testing.T) {
	w := start(t, guests(), nil, nil)
	for version := range 256 {
		switch byte(version) {
		case MQTT311, MQTT5, MQTT311 | bridged:
			continue
		}
		for _, name := range []string{"MQTT", "MQIsdp"} {
			r := w.dial()
			r.send(connectWith(name, byte(version), 0xc2, 30, []byte{0}, text("odd"), user()))
			if first, body, err := r.next(); err != nil || first != 0x20 || !bytes.Equal(body, []byte{0, 1}) {
				t.Errorf("%s, version %d: %#x %x, %v; want CONNACK 1", name, version, first, body, err)
			}
			r.expectClosed()
		}
	}
}

func TestAnAnswerToMQTT5SaysWhatTheBrokerCannot(t *testing.T) {
	w := start(t, guests(), nil, nil)
	r := w.dial()
	r.send(hello{version: 5, id: "ha", user: "home", pass: "open sesame"}.packet())
	ack := r.expect(0x20)
	if !bytes.Contains(ack, []byte{39, 0, 4, 0, 0}) || !bytes.Contains(ack, []byte{42, 0}) {
		t.Errorf("CONNACK %x, want the largest packet, 256 KiB, and that there are no shared subscriptions", ack)
	}
	if bytes.Contains(ack, []byte{19, 0, awake}) {
		t.Errorf("CONNACK %x asks for a shorter keep-alive than 30 s", ack)
	}
	slow := w.dial()
	slow.send(hello{version: 5, id: "slow", user: "home", pass: "open sesame", keepAlive: 120}.packet())
	if ack := slow.expect(0x20); !bytes.Contains(ack, []byte{19, 0, awake}) {
		t.Errorf("CONNACK %x, want a keep-alive of a minute", ack)
	}
	// What it adds to a message comes back to nobody.
	own := append([]byte{38}, append(text("key"), text("value")...)...)
	id := []byte{0, 1}
	r.send(packet(0x32, text("do/x"), id, []byte{byte(len(own))}, own, []byte("y")))
	if got := r.expect(0x40); bytes.Contains(got, []byte("value")) {
		t.Errorf("PUBACK %x has the user's property", got)
	}
	r.send(packet(0x34, text("do/x"), id, []byte{byte(len(own))}, own, []byte("y")))
	if got := r.expect(0x50); bytes.Contains(got, []byte("value")) {
		t.Errorf("PUBREC %x has the user's property", got)
	}
	r.send(packet(0x62, id))
	if got := r.expect(0x70); bytes.Contains(got, []byte("value")) {
		t.Errorf("PUBCOMP %x has the user's property", got)
	}
	r.send(packet(0x82, id, []byte{byte(len(own))}, own, text("pub/#"), []byte{1}))
	if got := r.expect(0x90); bytes.Contains(got, []byte("value")) {
		t.Errorf("SUBACK %x has the user's property", got)
	}
	r.send(packet(0xa2, id, []byte{byte(len(own))}, own, text("pub/#")))
	if got := r.expect(0xb0); bytes.Contains(got, []byte("value")) {
		t.Errorf("UNSUBACK %x has the user's property", got)
	}
}

// A command that is retained is told to whoever carries it out, acknowledged, and left
// nowhere. Its client stays: cut off, it would send it again for ever.
func TestARetainedCommandIsAcknowledgedAndLeftNowhere(t *testing.T) {
	w := start(t, guests(), nil, nil)
	r := w.join(hello{id: "ha", user: "home", pass: "open sesame"})
	for id := range uint16(20) {
		r.send(publish("do/x", "ON", 1, id+1, true))
		r.expect(0x40)
	}
	r.send(publish("do/x", "ON", 2, 100, true))
	r.expect(0x50)
	r.send(packet(0x62, []byte{0, 100}))
	r.expect(0x70)
	for _, m := range w.messages() {
		if !m.Retain {
			t.Error("it was received as one that is not retained")
		}
	}
	if got, s := len(w.messages()), w.Stats(); got != 21 || s.Retained != 0 {
		t.Errorf("received %d, want 21, and %d are retained", got, s.Retained)
	}
}

// At every QoS a client of MQTT 5 is told why its message is not carried out, in the
// packet that belongs to that QoS, and one of MQTT 3.1.1 has its acknowledgement.
func TestARefusedMessageIsAnswered(t *testing.T) {
	cfg := guests()
	cfg.Received = func(m Message) error {
		return map[string]error{"do/may": ErrNotAllowed, "do/what": ErrNoSuchTopic, "do/much": fmt.Errorf("full: %w", ErrQuota)}[m.Topic]
	}
	w := start(t, cfg, nil, nil)
	old := w.join(hello{id: "old", user: "home", pass: "open sesame"})
	r := w.join(hello{version: 5, id: "ha", user: "home", pass: "open sesame"})
	for topic, code := range map[string]byte{"do/may": 0x87, "do/what": 0x90, "do/much": 0x97, "$SYS/x": 0x87, "$else": 0x87, "pub/x": 0x87} {
		r.send(packet(0x32, text(topic), []byte{0, 1, 0}, []byte("y")))
		if got := r.expect(0x40); len(got) < 3 || got[2] != code {
			t.Errorf("%s: PUBACK %x, want %#x", topic, got, code)
		}
		r.send(packet(0x34, text(topic), []byte{0, 2, 0}, []byte("y")))
		if got := r.expect(0x50); len(got) < 3 || got[2] != code {
			t.Errorf("%s: PUBREC %x, want %#x", topic, got, code)
		}
		if topic == "pub/x" {
			continue // which MQTT 3.1.1 answers by hanging up
		}
		old.send(publish(topic, "y", 1, 1, false), publish(topic, "y", 2, 2, false))
		old.expect(0x40)
		old.expect(0x50)
		old.send(packet(0x62, []byte{0, 2}))
		old.expect(0x70)
	}
	r.send(packet(0x34, text("do/fine"), []byte{0, 2, 0}, []byte("y")))
	if got := r.expect(0x50); len(got) > 2 && got[2] != 0 {
		t.Errorf("one that is carried out: PUBREC %x", got)
	}
}

// A topic may be subscribed to before it is visible, and is heard from then on.
func TestASubscriptionOutlivesWhatIsVisible(t *testing.T) {
	var open atomic.Bool
	cfg := public()
	cfg.Authorise = func(c Connect) (Rights, error) {
		r, err := consumer(c)
		r.Visible = func(topic string) bool { return topic == "pub/mine" || open.Load() }
		return r, err
	}
	w := start(t, cfg, nil, nil)
	if err := w.Publish("pub/kept", []byte("secret"), 1, true); err != nil {
		t.Fatal(err)
	}
	for _, version := range []byte{MQTT311, MQTT5} {
		open.Store(false)
		r := w.join(hello{version: version, id: "ha", user: "home", pass: "open sesame"})
		var none []byte
		if version == MQTT5 {
			none = []byte{0}
		}
		r.send(packet(0x82, []byte{0, 1}, none, text("pub/kept"), []byte{0}, text("pub/mine"), []byte{0}, text("do/x"), []byte{0}))
		if got := r.expect(0x90); got[len(got)-3] != 0 || got[len(got)-2] != 0 || got[len(got)-1] < 0x80 {
			t.Errorf("MQTT %d: SUBACK %x, want two granted and the third refused", version, got)
		}
		if s := w.Stats().Subscriptions; s != 2 {
			t.Errorf("MQTT %d: %d subscriptions, want 2", version, s)
		}
		for _, topic := range []string{"pub/kept", "pub/mine"} {
			if err := w.Publish(topic, []byte("closed"), 0, false); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.expect(0x30); !bytes.Contains(got, []byte("pub/mine")) {
			t.Errorf("MQTT %d: delivered %q", version, got)
		}
		open.Store(true)
		if err := w.Publish("pub/kept", []byte("open"), 0, false); err != nil {
			t.Fatal(err)
		}
		if got := r.expect(0x30); !bytes.Contains(got, []byte("pub/kept")) {
			t.Errorf("MQTT %d: delivered %q", version, got)
		}
		r.send(packet(0xa2, []byte{0, 2}, none, text("pub/kept")))
		r.expect(0xb0)
		if s := w.Stats().Subscriptions; s != 1 {
			t.Errorf("MQTT %d: %d subscriptions after one is given up, want 1", version, s)
		}
		r.Close()
		w.awaitConnected(0)
		if s := w.Stats().Subscriptions; s != 0 {
			t.Errorf("MQTT %d: %d subscriptions of nobody", version, s)
		}
	}
}

// Whoever is cut off for what it sent hears why, whatever else it has sent meanwhile.
func TestWhoIsCutOffHearsWhy(t *testing.T) {
	w := start(t, guests(), nil, nil)
	r := w.join(hello{version: 5, id: "ha", user: "home", pass: "open sesame"})
	var all [][]byte
	for id := range uint16(3000) { // 1024 may be under way
		all = append(all, packet(0x34, text("do/x"), []byte{byte((id + 1) >> 8), byte(id + 1), 0}, []byte("y")))
	}
	_, _ = r.Write(bytes.Join(all, nil))
	for n := 0; ; n++ {
		first, body, err := r.next()
		if err != nil {
			t.Fatalf("after %d answers: %v", n, err)
		}
		if first == 0xe0 {
			if len(body) == 0 || body[0] != 0x93 {
				t.Errorf("DISCONNECT %x, want 0x93", body)
			}
			return
		}
	}
}

// What a client of MQTT 5 numbers its subscription with comes with each message, those
// included that were retained before it came.
func TestASubscriptionIdentifierComesWithWhatIsRetained(t *testing.T) {
	w := start(t, guests(), nil, nil)
	if err := w.Publish("pub/a", []byte("x"), 1, true); err != nil {
		t.Fatal(err)
	}
	r := w.join(hello{version: MQTT5, id: "c", user: "home", pass: "open sesame"})
	r.send(packet(0x82, []byte{0, 1, 2, 0x0b, 7}, text("pub/#"), []byte{1}))
	r.expect(0x90)
	number := []byte{2, 0x0b, 7}
	if b := r.expect(0x33); !bytes.Contains(b, number) {
		t.Errorf("what was retained comes as %x", b)
	}
	if err := w.Publish("pub/a", []byte("y"), 1, true); err != nil {
		t.Fatal(err)
	}
	if b := r.expect(0x32); !bytes.Contains(b, number) {
		t.Errorf("what is said comes as %x", b)
	}
}
