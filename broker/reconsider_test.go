package broker

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// A client that hears of another part of what is retained is told so, and nothing else.
func TestWhatAClientHearsOfCanChange(t *testing.T) {
	var part atomic.Value
	part.Store("a")
	seen := func(topic string) bool { return strings.HasPrefix(topic, "pub/"+part.Load().(string)) }
	w := start(t, Config{Name: "public", Limits: DefaultPublic(), Authorise: func(c Connect) (Rights, error) {
		r := Rights{Name: c.ClientID, Subscribe: []string{"pub/#"}}
		if c.ClientID == "some" {
			r.Visible = seen
		}
		return r, nil
	}}, nil, nil)
	for _, topic := range []string{"pub/a/1", "pub/b/1", "pub/b/2"} {
		if err := w.Publish(topic, []byte("x"), 1, true); err != nil {
			t.Fatal(err)
		}
	}
	listen := func(id, filter string) chan string {
		heard := make(chan string, 100)
		c := w.paho(w.options(id, nil))
		w.must(c.Subscribe(filter, 1, func(_ paho.Client, m paho.Message) {
			heard <- fmt.Sprintf("%s=%s %t %d", m.Topic(), m.Payload(), m.Retained(), m.Qos())
		}))
		return heard
	}
	some, all := listen("some", "pub/+/1"), listen("all", "pub/#")
	next := func(c chan string, want string) {
		t.Helper()
		if got := <-c; got != want {
			t.Errorf("it hears %q, want %q", got, want)
		}
	}
	next(some, "pub/a/1=x true 1")
	for range 3 {
		<-all
	}
	before, now := func(topic string) bool { return strings.HasPrefix(topic, "pub/a") }, func(topic string) bool {
		return strings.HasPrefix(topic, "pub/b")
	}
	if err := w.Publish("pub/b/1", []byte("y"), 1, true); err != nil { // not for it yet
		t.Fatal(err)
	}
	next(all, "pub/b/1=y false 1")
	part.Store("b")
	w.Reconsider("some", before, now)
	next(some, "pub/a/1= false 1")
	next(some, "pub/b/1=y true 1")
	if err := w.Publish("pub/b/1", []byte("z"), 1, true); err != nil {
		t.Fatal(err)
	}
	next(some, "pub/b/1=z false 1")
	next(all, "pub/b/1=z false 1")
	w.Reconsider("nobody", before, now)
	w.Reconsider("some", now, now)
	if err := w.Publish("pub/b/1", []byte("end"), 1, true); err != nil {
		t.Fatal(err)
	}
	next(some, "pub/b/1=end false 1")
	next(all, "pub/b/1=end false 1")
}

// A bridge that does not hear of a topic any more is told so that the other broker retains
// nothing of it, and whoever asked for QoS 0 gets it.
func TestABridgeIsToldWhatItDoesNotHearOfAnyMore(t *testing.T) {
	cfg := guests()
	cfg.Authorise = func(c Connect) (Rights, error) {
		return Rights{Name: c.ClientID, Subscribe: []string{"pub/#"}, Visible: func(string) bool { return true }}, nil
	}
	w := start(t, cfg, nil, nil)
	if err := w.Publish("pub/a", []byte("x"), 1, true); err != nil {
		t.Fatal(err)
	}
	all, none := func(string) bool { return true }, func(string) bool { return false }
	for _, c := range []struct {
		id           string
		qos          byte
		lost, gained byte // the first byte of the packet
	}{{"attic.rm", 1, 0x33, 0x33}, {"attic.rm", 0, 0x31, 0x31}, {"attic", 1, 0x32, 0x33}, {"attic", 0, 0x30, 0x31}} {
		r := w.dial()
		r.send(hello{id: c.id, user: "home", pass: "open sesame", dirty: c.id == "attic.rm"}.packet())
		r.expect(0x20)
		r.send(subscribe(1, c.qos, "pub/#"))
		r.expect(0x90)
		r.expect(0x31 | c.qos<<1)
		w.Reconsider(c.id, all, none)
		if b := r.expect(c.lost); c.qos > 0 && (len(b) != 2+len("pub/a")+2 || b[len(b)-1] == 0 && b[len(b)-2] == 0) {
			t.Errorf("%s: it is told %x", c.id, b)
		} else if c.qos > 0 {
			r.send(packet(0x40, b[len(b)-2:]))
		}
		w.Reconsider(c.id, none, all)
		if b := r.expect(c.gained); !bytes.HasSuffix(b, []byte("x")) {
			t.Errorf("%s: it gets %x", c.id, b)
		}
		r.Close()
		w.awaitConnected(0)
	}
}
