package broker

import (
	"errors"
	"fmt"
	"testing"
)

// MQTT 3.1.1 knows the return codes 0 to 5 and no others; what breaks the protocol is
// closed without an answer. Both brokers keep to that, whoever refuses: we, or Mochi
// before it asks us.
func TestRefusalsHaveTheCodesOfTheClientsOwnVersion(t *testing.T) {
	const silent = 0xff // closed without a word
	head := func(name string, version, flags byte, rest ...string) []byte {
		body := append(text(name), version, flags, 0, 30)
		for _, s := range rest {
			body = append(body, text(s)...)
		}
		return packet(0x10, body)
	}
	with := func(h hello, change func(*hello)) hello { change(&h); return h }
	for name, b := range map[string]struct {
		w    *world
		good hello
		v5   byte // the answer to MQTT 5
	}{
		"agents": {start(t, Config{}, nil, nil), hello{id: "attic_1"}, 0x84},
		"public": {start(t, public(), nil, nil), hello{id: "ha", user: "home", pass: "open sesame"}, 0},
	} {
		for _, c := range []struct {
			why  string
			says []byte
			code byte
		}{
			{"all is well", b.good.packet(), 0},
			{"MQTT 5", with(b.good, func(h *hello) { h.version = 5 }).packet(), b.v5},
			{"MQTT 3.1", head("MQIsdp", 3, 2, "attic_1"), 1},
			{"MQTT 3.1 under the later name", head("MQTT", 3, 2, "attic_1"), 1},
			{"MQTT 6", head("MQTT", 6, 2, "attic_1"), 1},
			{"MQTT 255", head("MQTT", 255, 2, "attic_1"), 1},
			{"another protocol", head("MQXX", 4, 2, "attic_1"), silent},
			{"no name, a session that lasts", head("MQTT", 4, 0, ""), 2},
			{"a reserved flag", head("MQTT", 4, 3, "attic_1"), silent},
			{"a password without its flag's user", head("MQTT", 4, 2|64, "attic_1", ""), silent},
			{"a will at QoS 3", head("MQTT", 4, 2|4|24, "attic_1", "agent/attic/death", "x"), silent},
			{"a will retained that is none", head("MQTT", 4, 2|32, "attic_1"), silent},
			{"the keep-alive is too long", with(b.good, func(h *hello) { h.keepAlive = 65535 }).packet(), 5},
		} {
			r := b.w.dial()
			r.send(c.says)
			first, body, err := r.next()
			switch {
			case c.code == silent && err == nil:
				t.Errorf("%s, %s: answered with %#x %x, want none", name, c.why, first, body)
			case c.code != silent && (err != nil || first != 0x20 || len(body) < 2 || body[1] != c.code || c.code < 6 && body[0]|body[1] != c.code):
				t.Errorf("%s, %s: %#x %x, %v; want CONNACK %#x", name, c.why, first, body, err, c.code)
			case c.code < 6 && c.why != "MQTT 5" && len(body) != 2:
				t.Errorf("%s, %s: a CONNACK of %d bytes", name, c.why, len(body))
			}
			if c.code != 0 {
				r.expectClosed()
			}
		}
	}
}

func TestWhatAuthoriseReturnsHasACode(t *testing.T) {
	w := start(t, Config{Versions: []byte{MQTT311, MQTT5}, Authorise: func(c Connect) (Rights, error) {
		return Rights{}, map[string]error{
			"password": ErrBadPassword,
			"id":       fmt.Errorf("%w: %q", ErrClientID, c.ClientID),
			"disk":     fmt.Errorf("%w: %w", ErrUnavailable, errors.New("disk full")),
			"revoked":  errors.New("revoked"),
		}[c.User]
	}}, nil, nil)
	for user, want := range map[string][2]byte{"password": {4, 0x86}, "id": {2, 0x85}, "disk": {3, 0x88}, "revoked": {5, 0x87}} {
		for i, version := range []byte{MQTT311, MQTT5} {
			r := w.dial()
			r.send(hello{version: version, id: "x", user: user}.packet())
			if ack := r.expect(0x20); ack[1] != want[i] {
				t.Errorf("%s, MQTT %d: CONNACK %#x, want %#x", user, version, ack[1], want[i])
			}
			r.expectClosed()
		}
	}
}
