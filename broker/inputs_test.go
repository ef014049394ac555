package broker

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// What becomes of a client that sent something odd.
const (
	closed   = "closed"  // its connection ends
	refused  = "refused" // it gets a CONNACK with a code, then its connection ends
	stays    = "stays"   // it goes on: its next PING is answered
	filtered = "no"      // it goes on, and the filter it asked for is refused
)

// An odd is one way to say what no client should.
type odd struct {
	what  string
	first bool // it is what is said first, in place of a CONNECT
	five  bool // by a client of MQTT 5, where that is spoken
	says  []byte
	then  string // one of the above
}

// five is a packet of MQTT 5 that has properties after its first bytes.
func five(first byte, before []byte, properties []byte, after ...[]byte) []byte {
	return packet(first, append([][]byte{before, {byte(len(properties))}, properties}, after...)...)
}

// connectWith is a CONNECT of its parts, which may contradict each other.
func connectWith(protocol string, level, flags byte, keepAlive uint16, rest ...[]byte) []byte {
	head := append(text(protocol), level, flags, byte(keepAlive>>8), byte(keepAlive))
	return packet(0x10, append([][]byte{head}, rest...)...)
}

func user() []byte { return append(text("home"), text("open sesame")...) }

// oddities are packets beside the standard, or at its edge. Where the standard wants a
// connection to end and Mochi lets it go on, going on is what stands here, if it harms nobody.
func oddities() []odd {
	good := hello{id: "odd", user: "home", pass: "open sesame"}
	goodFive := good
	goodFive.version = 5
	will := func(topic string, v byte, w Will) []byte {
		h := good
		w.Topic, h.will, h.version = topic, &w, v
		return h.packet()
	}
	id := func(id string) []byte { h := good; h.id = id; return h.packet() }
	alive := func(s uint16) []byte {
		return connectWith("MQTT", 4, 0xc2, s, text("odd"), user())
	}
	all := []odd{
		{"one byte", true, false, []byte{0x10}, closed},
		{"HTTP", true, false, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), closed},
		{"the protocol name of MQTT 3.1", true, false, connectWith("MQIsdp", 3, 0xc2, 30, text("odd"), user()), refused},
		{"a wrong protocol name", true, false, connectWith("MQTX", 4, 0xc2, 30, text("odd"), user()), closed},
		{"an empty protocol name", true, false, connectWith("", 4, 0xc2, 30, text("odd"), user()), closed},
		{"a protocol name of 60,000 bytes", true, false, connectWith(strings.Repeat("M", 60_000), 4, 0xc2, 30, text("odd"),
			user()), closed},
		{"level 0", true, false, connectWith("MQTT", 0, 0xc2, 30, text("odd"), user()), refused},
		{"level 3", true, false, connectWith("MQTT", 3, 0xc2, 30, text("odd"), user()), refused},
		{"level 6", true, false, connectWith("MQTT", 6, 0xc2, 30, []byte{0}, text("odd"), user()), refused},
		{"level 255", true, false, connectWith("MQTT", 255, 0xc2, 30, []byte{0}, text("odd"), user()), refused},
		{"the reserved flag of a CONNECT", true, false, connectWith("MQTT", 4, 0xc3, 30, text("odd"), user()), closed},
		{"a password without a user name", true, false, connectWith("MQTT", 4, 0x42, 30, text("odd"), text("open sesame")), stays},
		{"a user name that no flag announces", true, false, connectWith("MQTT", 4, 0x02, 30, text("odd"), user()), refused},
		{"a will's QoS without a will", true, false, connectWith("MQTT", 4, 0xca, 30, text("odd"), user()), stays},
		{"a will of QoS 3", true, false, connectWith("MQTT", 4, 0xde, 30, text("odd"), text("do/will/odd"), text("x"), user()), closed},
		{"a will without what it says", true, false, connectWith("MQTT", 4, 0xc6, 30, text("odd"), text("do/will/odd")), closed},
		{"a remaining length of five bytes", true, false, []byte{0x10, 0x80, 0x80, 0x80, 0x80, 0x01}, closed},
		{"a remaining length of 268,435,455", true, false, []byte{0x10, 0xff, 0xff, 0xff, 0x7f}, closed},
		{"a length beyond its body", true, false, append([]byte{0x10, byte(len(good.packet()) + 50)}, good.packet()[2:]...), closed},
		{"a length that ends before its body", true, false, append([]byte{0x10, 12}, good.packet()[2:]...), closed},
		{"flags of a CONNECT's first byte", true, false, append([]byte{0x1f}, good.packet()[1:]...), closed},
		{"a keep-alive of 0, which is none", true, false, alive(0), stays},
		{"a keep-alive of 1", true, false, alive(1), stays},
		{"a keep-alive of 65,535", true, false, alive(65535), refused},
		{"an empty client ID", true, false, id(""), stays},
		{"a client ID of 65,000 bytes", true, false, id(strings.Repeat("x", 65_000)), stays},
		{"a client ID with NUL", true, false, id("a\x00b"), closed},
		{"a client ID that is no UTF-8", true, false, id("a\xff"), closed},
		{"a will to a foreign topic", true, false, will("pub/fleet", 4, Will{Payload: []byte("x"), QoS: 1}), stays},
		{"a retained will to a foreign topic", true, false, will("pub/fleet", 4, Will{Payload: []byte("x"), Retain: true}), stays},
		{"a will of no bytes", true, false, will("do/will/odd", 4, Will{}), stays},
		{"a will with wildcards", true, false, will("do/will/#", 4, Will{Payload: []byte("x")}), stays},

		{"a second CONNECT", false, false, good.packet(), closed},
		{"a SUBSCRIBE of no filters", false, false, []byte{0x82, 2, 0, 1}, closed},
		{"a SUBSCRIBE with flags that are not its own", false, false, append([]byte{0x80}, subscribe(1, 0, "pub/#")[1:]...), closed},
		{"a SUBSCRIBE of packet ID 0", false, false, subscribe(0, 0, "pub/#"), closed},
		{"a filter of QoS 3", false, false, subscribe(1, 3, "pub/#"), closed},
		{"a PUBLISH of QoS 3", false, false, append([]byte{0x36}, publish("do/x", "y", 1, 1, false)[1:]...), closed},
		{"a PUBLISH of packet ID 0", false, false, publish("do/x", "y", 1, 0, false), closed},
		{"a PUBLISH of QoS 0 that says it is a duplicate", false, false, append([]byte{0x38}, publish("do/x", "y", 0, 0,
			false)[1:]...), closed},
		{"a PUBACK nobody waits for", false, false, packet(0x40, []byte{0, 9}), stays},
		{"a PUBREC nobody waits for", false, false, packet(0x50, []byte{0, 9}), stays},
		{"a PUBREL nobody waits for", false, false, packet(0x62, []byte{0, 9}), stays},
		{"a PUBCOMP nobody waits for", false, false, packet(0x70, []byte{0, 9}), stays},
		{"a flood of PUBRELs", false, false, bytes.Repeat(packet(0x62, []byte{0, 9}), 5000), stays},
		{"a flood of PINGs", false, false, bytes.Repeat(ping, 5000), stays},
		{"a CONNACK from a client", false, false, []byte{0x20, 2, 0, 0}, closed},
		{"a SUBACK from a client", false, false, []byte{0x90, 3, 0, 1, 0}, closed},
		{"a packet of type 0", false, false, []byte{0x00, 0}, closed},
		{"an AUTH in MQTT 3.1.1", false, false, []byte{0xf0, 0}, closed},
		{"10,000 filters, of which a client holds so many", false, false, subscribe(1, 0,
			strings.Fields(strings.Repeat("pub/# ", 10_000))...), filtered},
		{"the same packet ID twice", false, false, append(publish("do/x", "y", 1, 5, false), publish("do/x", "y", 1, 5, false)...), stays},
		{"everything one byte at a time", true, false, nil, stays},

		{"a SUBSCRIBE whose last filter lacks its options", false, true, truncated, closed},
		{"properties that are longer than their packet", false, true, packet(0x82, []byte{0, 1, 200, 11, 1}, text("pub/#"),
			[]byte{1}), closed},
		{"a property twice", false, true, five(0x82, []byte{0, 1}, []byte{11, 1, 11, 2}, text("pub/#"), []byte{1}), stays},
		{"a property nobody knows", false, true, five(0x82, []byte{0, 1}, []byte{0x7f, 1}, text("pub/#"), []byte{1}), closed},
		{"a property of another packet", false, true, five(0x82, []byte{0, 1}, []byte{17, 0, 0, 0, 1}, text("pub/#"), []byte{1}), closed},
		{"subscription identifier 0", false, true, five(0x82, []byte{0, 1}, []byte{11, 0}, text("pub/#"), []byte{1}), stays},
		{"a topic alias of 0", false, true, five(0x30, text("do/x"), []byte{35, 0, 0}, []byte("y")), closed},
		{"a topic alias beyond the most", false, true, five(0x30, text("do/x"), []byte{35, 0xff, 0xff}, []byte("y")), closed},
		{"a topic alias that stands for nothing", false, true, five(0x30, text(""), []byte{35, 0, 1}, []byte("y")), closed},
		{"an AUTH nobody asked for", false, true, packet(0xf0, []byte{0x18, 0}), stays},
		{"user properties without end", false, true,
			five5(0x30, text("do/x"), bytes.Repeat(append([]byte{38}, append(text("a"), text("b")...)...), 10_000), []byte("y")), stays},
		{"a response topic of somebody else's", false, true, five(0x30, text("do/x"), append([]byte{8},
			text("pub/fleet")...), []byte("y")), stays},
		{"a session that lasts for ever", true, true, func() []byte {
			h := goodFive
			h.properties = []byte{17, 255, 255, 255, 255}
			return h.packet()
		}(), stays},
		{"a receive maximum of 0", true, true, func() []byte {
			h := goodFive
			h.properties = []byte{33, 0, 0}
			return h.packet()
		}(), stays},
		{"a maximum packet size of 0", true, true, func() []byte {
			h := goodFive
			h.properties = []byte{39, 0, 0, 0, 0}
			return h.packet()
		}(), stays},
		{"a maximum packet size of 1", true, true, func() []byte {
			h := goodFive
			h.properties = []byte{39, 0, 0, 0, 1}
			return h.packet()
		}(), closed},
	}
	for name, topic := range map[string]string{
		"empty": "", "with a plus": "do/+", "with a hash": "do/#", "of the broker's own": "$SYS/x", "shared": "$share/g/do/x",
		"with NUL": "do/\x00", "that is no UTF-8": "do/\xff", "in overlong UTF-8": "do/\xc0\xaf", "of somebody else's": "pub/fleet",
		"that begins like ours": "dox/y", "in capitals": "DO/x", "percent-encoded": "%64o/x", "with a slash before": "/do/x",
		"of too many levels": "do" + strings.Repeat("/a", 20_000), "written with a look-alike": "dо/x", "that is a slash": "/",
		"composed otherwise": "do\u0301/x",
	} {
		then := closed
		if strings.HasPrefix(topic, "$") { // acknowledged, and given to nobody
			then = stays
		}
		all = append(all, odd{"a PUBLISH to a topic " + name, false, false, publish(topic, "y", 1, 7, false), then})
	}
	for name, filter := range map[string]string{
		"empty": "", "with a hash in its middle": "pub/#/x", "with a plus beside a letter": "pub/a+", "of the broker's own": "$SYS/#",
		"shared": "$share/g/pub/#", "shared in capitals": "$SHARE/g/pub/#", "with NUL": "pub/\x00", "that is no UTF-8": "pub/\xff",
		"of somebody else's": "do/#", "of all": "#", "of 60,000 levels": strings.Repeat("/", 60_000), "in capitals": "PUB/#",
		"that is a slash": "/",
		"percent-encoded": "pub%2f#", "with a slash after": "pub/#/", "that begins like ours": "pub1/#",
		"written with a look-alike": "рub/#",
	} {
		then := filtered
		if strings.ContainsRune(filter, 0) || !utf8.ValidString(filter) { // which no packet may hold
			then = closed
		}
		all = append(all, odd{"a filter " + name, false, false, subscribe(1, 1, filter), then})
	}
	return all
}

// five5 is five with properties of more than 127 bytes.
func five5(first byte, before, properties []byte, after ...[]byte) []byte {
	n := len(properties)
	length := []byte{byte(n&127) | 128, byte(n>>7&127) | 128, byte(n >> 14)}
	return packet(first, append([][]byte{before, length, properties}, after...)...)
}

func TestWhatNoClientShouldSayCostsNobodyElse(t *testing.T) {
	cfg := public()
	cfg.Limits.Connect = 5 * time.Second // and none of those that are good is late on a machine that is at work
	w := start(t, cfg, nil, nil)
	witness := w.join(hello{id: "witness", user: "witness", pass: "open sesame"})
	for _, o := range oddities() {
		t.Run(o.what, func(t *testing.T) {
			_ = witness.SetReadDeadline(time.Now().Add(time.Minute))
			r := w.dial()
			r.t = t
			if !o.first {
				h := hello{id: "odd", user: "home", pass: "open sesame"}
				if o.five {
					h.version = 5
				}
				r.send(h.packet())
				r.expect(0x20)
			}
			says := o.says
			if says == nil { // one byte at a time
				for _, b := range (hello{id: "odd", user: "home", pass: "open sesame"}).packet() {
					r.send([]byte{b})
				}
			}
			got, err := fate(r, says)
			if err != nil || got != o.then {
				t.Errorf("it is %s, %v; want %s", cmp.Or(got, "neither let go nor answered"), err, o.then)
			}
			r.Close()
			witness.send(publish("do/x", "y", 1, 1, false))
			witness.expect(0x40)
		})
	}
	w.awaitConnected(1)
	for _, m := range w.messages() {
		if !strings.HasPrefix(m.Topic, "do/") {
			t.Errorf("a message on %q came through", m.Topic)
		}
	}
}

// fate says something and then pings, and tells what becomes of the client.
func fate(r *raw, says []byte) (string, error) {
	_, _ = r.Write(says)
	_, _ = r.Write(ping)
	code, no := byte(0), false
	for {
		first, body, err := r.next()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return "", err
		case errors.Is(err, io.EOF), err != nil:
			if code != 0 {
				return refused, nil
			}
			return closed, nil
		case first == 0x20 && body[1] != 0:
			code = body[1]
		case first == 0x90:
			no = bytes.Contains(body[2:], []byte{0x80})
		case first == 0xd0 && no:
			return filtered, nil
		case first == 0xd0:
			return stays, nil
		case first == 0xe0:
			if len(body) == 0 {
				return "", fmt.Errorf("a DISCONNECT without a reason")
			}
		}
	}
}

func TestAWillIsNotPutOff(t *testing.T) {
	w := start(t, public(), nil, nil)
	r := w.dial()
	late := []byte{5, 24, 255, 255, 255, 255} // a delay of 136 years
	r.send(connectWith("MQTT", 5, 0xc6, 30, []byte{0}, text("odd"), late, text("do/will/odd"), text("gone"), user()))
	if ack := r.expect(0x20); ack[1] != 0 {
		t.Fatalf("CONNACK code %#x", ack[1])
	}
	r.Close()
	w.awaitMessage("do/will/odd", "gone")
}
