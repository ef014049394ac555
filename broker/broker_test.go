package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	mqtt "github.com/mochi-mqtt/server/v2"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
)

func TestEveryMessageIsReceivedInOrder(t *testing.T) {
	w := start(t, Config{}, nil, nil)
	const publishers, each = 20, 500
	var all sync.WaitGroup
	for p := range publishers {
		c := w.paho(w.options(fmt.Sprintf("host%d_1", p), nil))
		all.Go(func() {
			var window []paho.Token
			for i := range each {
				window = append(window, c.Publish(fmt.Sprintf("agent/host%d/event", p), 1, false, fmt.Sprint(i)))
				if len(window) == 32 || i == each-1 {
					for _, token := range window {
						if !token.WaitTimeout(20*time.Second) || token.Error() != nil {
							t.Errorf("publisher %d: %v", p, token.Error())
						}
					}
					window = nil
				}
			}
		})
	}
	all.Wait()
	next := map[string]int{}
	for _, m := range w.messages() { // a PUBACK follows Received, so they are all here
		if got, want := string(m.Payload), fmt.Sprint(next[m.Name]); got != want || m.Topic != "agent/"+m.Name+"/event" ||
			m.ClientID != m.Name+"_1" || m.QoS != 1 {
			t.Fatalf("%+v (%s), want message %s", m, m.Payload, want)
		}
		next[m.Name]++
	}
	if len(next) != publishers {
		t.Errorf("heard of %d publishers", len(next))
	}
	for name, n := range next {
		if n != each {
			t.Errorf("%s: %d messages, want %d", name, n, each)
		}
	}
}

func TestPublishReachesSubscribersButNotReceived(t *testing.T) {
	w := start(t, Config{}, nil, nil)
	r := w.join(hello{id: "attic_1"})
	r.send(subscribe(1, 1, "ctl/attic/#"))
	r.expect(0x90)
	if err := w.Publish("ctl/attic/welcome", []byte("hello"), 1, false); err != nil {
		t.Fatal(err)
	}
	if got := r.expect(0x32); !bytes.HasSuffix(got, []byte("hello")) {
		t.Errorf("delivered %q", got)
	}
	if got := w.messages(); len(got) != 0 {
		t.Errorf("our own message came back: %v", got)
	}
	for topic, size := range map[string]int{"": 1, "a/+": 1, "#": 1, "$SYS/x": 1, strings.Repeat("a/", 10) + "a": 1, "a": 256 << 10} {
		if err := w.Publish(topic, make([]byte, size), 0, false); err == nil {
			t.Errorf("published %d bytes to %q", size, topic)
		}
	}
	if err := w.Publish("a", nil, 2, false); err == nil {
		t.Error("published at QoS 2")
	}
}

func TestTheGateIsClosedUnlessItOpens(t *testing.T) {
	closed, err := New(Config{Name: "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	if _, no := (&hook{broker: closed}).authorise(&conn{}, Connect{}); no == nil {
		t.Error("a broker without a gate let somebody in")
	}

	agents := start(t, Config{}, nil, nil)
	pub := start(t, public(), nil, nil)
	home := hello{id: "ha", user: "home", pass: "open sesame"}
	with := func(h hello, change func(*hello)) hello { change(&h); return h }
	for _, c := range []struct {
		why  string
		w    *world
		says hello
		code byte
	}{
		{"right password", pub, home, 0},
		{"right password, MQTT 5", pub, with(home, func(h *hello) { h.version = 5 }), 0},
		{"wrong password", pub, with(home, func(h *hello) { h.pass = "guess" }), 4},
		{"no password", pub, hello{id: "ha"}, 4},
		{"wrong password, MQTT 5", pub, with(home, func(h *hello) { h.version, h.pass = 5, "guess" }), 0x86},
		{"client id of the broker itself", pub, with(home, func(h *hello) { h.id = mqtt.InlineClientId }), 2},
		{"not a host", agents, hello{id: "attic"}, 5},
		{"MQTT 5 where it is not spoken", agents, hello{version: 5, id: "attic_1"}, 0x84},
		{"keep-alive too short", agents, hello{id: "attic_1", keepAlive: 9}, 5},
		{"keep-alive too long", agents, hello{id: "attic_1", keepAlive: 601}, 5},
		{"keep-alive that overflows", pub, with(home, func(h *hello) { h.keepAlive = 43691 }), 5},
		{"own will", agents, hello{id: "attic_1", will: &Will{Topic: "agent/attic/death", Payload: []byte("x"), Retain: true}}, 0},
		{"foreign will", agents, hello{id: "attic_1", will: &Will{Topic: "agent/cellar/death", Payload: []byte("x")}}, 5},
		{"will for an order", agents,
			hello{id: "attic_1", will: &Will{Topic: "ctl/cellar/job/1/command", Payload: []byte("x"), Retain: true}}, 5},
		{"will it may publish, but not leave", agents, hello{id: "attic_1", will: &Will{Topic: "agent/attic/event", Payload: []byte("x")}}, 5},
	} {
		r := c.w.dial()
		r.send(c.says.packet())
		if ack := r.expect(0x20); ack[1] != c.code {
			t.Errorf("%s: CONNACK %#x, want %#x", c.why, ack[1], c.code)
		}
		if c.code != 0 {
			r.expectClosed()
		}
	}

	zero := packet(0x10, append(text("MQTT"), 4, 2, 0, 0), text("attic_1"))
	r := agents.dial()
	r.send(zero)
	if ack := r.expect(0x20); ack[1] != 5 {
		t.Errorf("keep-alive 0: CONNACK %#x, want 5", ack[1])
	}
	if got := agents.Stats().Denied; got != 3 {
		t.Errorf("%d foreign wills counted, want 3", got)
	}
}

func TestNobodySubscribesBeyondTheirRights(t *testing.T) {
	w := start(t, Config{Authorise: func(c Connect) (Rights, error) {
		r, err := anyHost(c)
		r.Subscribe = append(r.Subscribe, "shelf/+/a")
		return r, err
	}}, nil, nil)
	r := w.join(hello{id: "attic_1"})
	for filter, want := range map[string]byte{
		"ctl/attic/#":                           1,
		"ctl/attic/job/+/command":               1,
		"ctl/attic":                             1,
		"bcast/#":                               1,
		"shelf/x/a":                             1,
		"shelf/+/a":                             1,
		"#":                                     0x80,
		"+/attic/#":                             0x80,
		"ctl/#":                                 0x80,
		"ctl/+/x":                               0x80,
		"ctl/cellar/#":                          0x80,
		"ctl/attic2/#":                          0x80,
		"shelf/#":                               0x80,
		"shelf/x/#":                             0x80,
		"$SYS/#":                                0x80,
		"$SYS/broker/version":                   0x80,
		"$share/g/ctl/attic/#":                  0x80,
		"$SHARE/g/ctl/attic/#":                  0x80,
		"agent/attic/#":                         0x80,
		"ctl/attic/a#":                          0x80,
		"ctl/attic/+a":                          0x80,
		"ctl/attic/#/a":                         0x80,
		"ctl/attic/" + strings.Repeat("x/", 10): 0x80,
	} {
		r.send(subscribe(7, 1, filter))
		if got := r.expect(0x90); !bytes.Equal(got, []byte{0, 7, want}) {
			t.Errorf("subscribe %q: SUBACK %x, want code %#x", filter, got, want)
		}
	}
	if w.Stats().Denied == 0 || !strings.Contains(w.logs.String(), "topic=ctl/cellar/#") &&
		!strings.Contains(w.logs.String(), "what=subscribe") {
		t.Error("refusals are not counted and logged")
	}
	if all := w.Connections(); len(all) != 1 || !strings.HasPrefix(all[0].Beyond, "subscribe ") {
		t.Errorf("the last of them is not told: %+v", all)
	}
	if err := w.Publish("ctl/cellar/job/1/command", []byte("secret"), 1, false); err != nil {
		t.Fatal(err)
	}
	r.send(ping)
	r.expect(0xd0) // and not somebody else's order
}

func TestAClientHoldsSoManySubscriptions(t *testing.T) {
	limits := DefaultAgents()
	limits.Subscriptions = 3
	w := start(t, Config{Limits: limits}, nil, nil)
	r := w.join(hello{id: "attic_1"})
	r.send(subscribe(1, 0, "ctl/attic/1", "ctl/attic/2"), subscribe(2, 0, "ctl/attic/3", "ctl/attic/4", "ctl/attic/1"))
	r.expect(0x90)
	if got := r.expect(0x90); !bytes.Equal(got[2:4], []byte{0, 0x80}) {
		t.Errorf("SUBACK %x, want the third granted and the fourth refused", got)
	}
}

func TestNobodyPublishesBeyondTheirRights(t *testing.T) {
	w := start(t, Config{}, nil, nil)
	r := w.join(hello{id: "attic_1", will: &Will{Topic: "agent/attic/death", Payload: []byte("lost")}})
	// QoS 0 is dropped without a word.
	for _, topic := range []string{"agent/cellar/event", "ctl/attic/x", "$SYS/x", "agent/attic/" + strings.Repeat("x/", 10), "agent/attic2"} {
		r.send(publish(topic, "forged", 0, 0, false))
	}
	r.send(publish("agent/attic/event", "honest", 1, 1, false))
	r.expect(0x40)
	if got := w.messages(); len(got) != 1 || string(got[0].Payload) != "honest" {
		t.Errorf("received %v", got)
	}
	// QoS 1 must be answered, and MQTT 3.1.1 knows no other answer than to hang up.
	r.send(publish("agent/cellar/event", "forged", 1, 2, false))
	if first, body, err := r.next(); err == nil {
		t.Errorf("got packet %#x %x, want the connection closed without one", first, body)
	}
	w.awaitMessage("agent/attic/death", "lost")
	if log := w.logs.String(); !strings.Contains(log, "topic=agent/cellar/event") || !strings.Contains(log, "client=attic_1") ||
		strings.Contains(log, "forged") {
		t.Error("the log does not name client and topic, or names the payload")
	}

	// MQTT 5 does have an answer.
	v5 := start(t, public(), nil, nil).join(hello{version: 5, id: "ha", user: "home", pass: "open sesame"})
	v5.send(packet(0x32, text("pub/fake"), []byte{0, 1, 0}, []byte("forged")))
	if ack := v5.expect(0x40); len(ack) < 3 || ack[2] != 0x87 {
		t.Errorf("PUBACK %x, want 0x87", ack)
	}
}

func TestOnlyGrantedTopicsAreRetained(t *testing.T) {
	w := start(t, Config{}, nil, nil)
	r := w.join(hello{id: "attic_1"})
	r.send(publish("agent/attic/birth", "1", 1, 1, true))
	r.expect(0x40)
	r.send(publish("agent/attic/anything", "1", 1, 2, true))
	r.expectClosed()
	if got := w.messages(); len(got) != 1 || !got[0].Retain {
		t.Errorf("received %v, want the birth alone", got)
	}
	if _, ok := w.server.Topics.Retained.Get("agent/attic/birth"); !ok {
		t.Error("the birth is not retained")
	}
	if _, ok := w.server.Topics.Retained.Get("agent/attic/anything"); ok {
		t.Error("something else is retained")
	}
}

func TestRetainedMessagesReachANewSubscriberAndDoNotExpire(t *testing.T) {
	w := start(t, public(), nil, nil)
	const topics = 300
	for i := range topics {
		if err := w.Publish(fmt.Sprintf("pub/host/%d/state", i), []byte("{}"), 1, true); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.server.Options.Capabilities.MaximumMessageExpiryInterval; got != 0 {
		t.Errorf("messages expire after %d s", got)
	}
	r := w.join(hello{id: "ha", user: "home", pass: "open sesame"})
	r.send(subscribe(1, 1, "pub/#"))
	r.expect(0x90)
	for range topics {
		r.expect(0x33)
	}
	// Ids 1 to 300 now await an acknowledgement. That is no reason to refuse ours.
	r.send(subscribe(2, 1, "pub/fleet/state"), packet(0xa2, []byte{0, 3}, text("pub/fleet/state")))
	if got := r.expect(0x90); !bytes.Equal(got, []byte{0, 2, 1}) {
		t.Errorf("SUBACK %x, want id 2 granted", got)
	}
	if got := r.expect(0xb0); !bytes.Equal(got, []byte{0, 3}) {
		t.Errorf("UNSUBACK %x, want id 3", got)
	}
}

func TestRetainingAndSubscribingAtOnce(t *testing.T) {
	w := start(t, public(), nil, nil)
	var all sync.WaitGroup
	all.Go(func() {
		for i := range 2000 {
			payload := []byte("{}")
			if i%3 == 0 {
				payload = nil // deletes it
			}
			if err := w.Publish(fmt.Sprintf("pub/host/%d", i%50), payload, 0, true); err != nil {
				t.Error(err)
			}
		}
	})
	for n := range 4 {
		r := w.join(hello{id: fmt.Sprint("ha", n), user: "home", pass: "open sesame"})
		all.Go(func() {
			for i := range 100 {
				r.send(subscribe(uint16(i+1), 0, "pub/+/+"), publish(fmt.Sprint("do/keep/", n, i%5), "x", 0, 0, true))
				for first := byte(0); first != 0x90; {
					var err error
					if first, _, err = r.next(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
}

func TestAClientThatWantsFlowControlGetsQoS0(t *testing.T) {
	w := start(t, public(), nil, nil)
	r := w.join(hello{version: 5, id: "ha", user: "home", pass: "open sesame", properties: []byte{33, 0, 2}}) // receive maximum 2
	r.send(packet(0x82, []byte{0, 1, 0}, text("pub/#"), []byte{1}))
	if got := r.expect(0x90); got[len(got)-1] != 0 {
		t.Errorf("SUBACK %x, want QoS 0 granted", got)
	}
	for range 5 {
		if err := w.Publish("pub/x", []byte("y"), 1, false); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		r.expect(0x30)
	}
}

// Mochi looks for messages it held back whenever a client with a window says
// something, and can then wait for a publisher that waits for it.
func TestAClientWithAWideWindowDoesNotBlockAPublisher(t *testing.T) {
	w := start(t, public(), nil, nil)
	r := w.join(hello{version: 5, id: "ha", user: "home", pass: "open sesame", properties: []byte{33, 255, 255}})
	r.send(packet(0x82, []byte{0, 1, 0}, text("pub/#"), []byte{1}))
	if got := r.expect(0x90); got[len(got)-1] != 1 {
		t.Errorf("SUBACK %x, want QoS 1 granted", got)
	}
	const messages = 4000
	published := make(chan error, 1)
	go func() {
		var err error
		for range messages {
			err = errors.Join(err, w.Publish("pub/x", []byte("y"), 1, false))
		}
		published <- err
	}()
	go func() {
		for range messages {
			if _, err := r.Write(ping); err != nil {
				return
			}
		}
	}()
	for answers := 0; answers < 2*messages; answers++ {
		if _, _, err := r.next(); err != nil {
			t.Fatalf("after %d packets: %v", answers, err)
		}
	}
	if err := <-published; err != nil {
		t.Error(err)
	}
}

func TestTopicAliasesAreRefused(t *testing.T) {
	w := start(t, public(), nil, nil)
	r := w.join(hello{version: 5, id: "ha", user: "home", pass: "open sesame"})
	r.send(packet(0x30, text("do/x"), []byte{3, 35, 0, 1}, []byte("y")))
	if got := r.expect(0xe0); got[0] != 0x94 {
		t.Errorf("DISCONNECT %x, want 0x94", got)
	}
	r.expectClosed()
	if got := w.messages(); len(got) != 0 {
		t.Errorf("received %v", got)
	}
}

func TestAWillIsCheckedAgainWhenItIsSent(t *testing.T) {
	w := start(t, Config{}, nil, nil)
	ours, theirs := net.Pipe()
	defer ours.Close()
	cl := w.server.NewClient(&conn{Conn: theirs, broker: w.Broker, rights: &rights{will: "agent/attic/death"}}, "", "attic_0", false)
	foreign := mqtt.Will{TopicName: "ctl/cellar/job/1/command", Payload: []byte("delete everything"), Retain: true, Qos: 1, Flag: 1}
	sent, err := (&hook{broker: w.Broker}).OnWill(cl, foreign)
	if err != nil || sent.TopicName == foreign.TopicName || !strings.HasPrefix(sent.TopicName, "$") || sent.Retain || len(sent.Payload) != 0 {
		t.Errorf("the foreign will became %+v, %v", sent, err)
	}

	r := w.join(hello{id: "attic_1", will: &Will{Topic: "agent/attic/death", Payload: []byte("lost"), QoS: 1, Retain: true}})
	r.Close()
	if m := w.awaitMessage("agent/attic/death", "lost"); !m.Will || !m.Retain || m.Name != "attic" {
		t.Errorf("its own will arrived as %+v", m)
	}
	await(t, func() error {
		if _, ok := w.server.Topics.Retained.Get("agent/attic/death"); !ok {
			return fmt.Errorf("the will is not retained")
		}
		return nil
	})

	polite := w.join(hello{id: "cellar_1", will: &Will{Topic: "agent/cellar/death", Payload: []byte("lost")}})
	polite.send(bye)
	polite.expectClosed()
	w.awaitConnected(0)
	for _, m := range w.messages() {
		if m.Name == "cellar" {
			t.Errorf("a client that said goodbye left %+v", m)
		}
	}
}

func TestNoSessionOutlivesItsConnection(t *testing.T) {
	for name, h := range map[string]hello{
		"MQTT 3.1.1": {id: "ha", user: "home", pass: "open sesame", dirty: true},
		"MQTT 5":     {version: 5, id: "ha", user: "home", pass: "open sesame", dirty: true, properties: []byte{17, 0, 0, 255, 255}},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, public(), nil, nil)
			filter := packet(0x82, []byte{0, 1}, text("pub/#"), []byte{1})
			if h.version == 5 {
				filter = packet(0x82, []byte{0, 1, 0}, text("pub/#"), []byte{1})
			}
			r := w.join(h)
			r.send(filter)
			r.expect(0x90)
			r.Close()
			await(t, func() error {
				if n, s := w.server.Clients.Len(), len(w.server.Topics.Subscribers("pub/x").Subscriptions); n != 1 || s != 0 {
					return fmt.Errorf("%d clients and %d subscriptions in the tables", n, s)
				}
				return nil
			})
			again := w.dial()
			again.send(h.packet())
			ack := again.expect(0x20)
			if ack[0] != 0 || ack[1] != 0 {
				t.Errorf("CONNACK %x, want no session present", ack)
			}
			if h.version == 5 && !bytes.Contains(ack, []byte{17, 0, 0, 0, 0}) {
				t.Errorf("CONNACK %x, want a session expiry of 0", ack)
			}
			again.send(filter)
			again.expect(0x90)
			heir := w.dial()
			heir.send(h.packet())
			if ack := heir.expect(0x20); ack[0] != 0 || ack[1] != 0 {
				t.Errorf("CONNACK %x on taking over, want no session present", ack)
			}
			if s := len(w.server.Topics.Subscribers("pub/x").Subscriptions); s != 0 {
				t.Errorf("%d subscriptions were inherited", s)
			}
		})
	}
}

func TestAnotherConnectionOfTheSameNameIsWelcome(t *testing.T) {
	w := start(t, Config{}, nil, nil)
	first, second := w.join(hello{id: "attic_1"}), w.join(hello{id: "attic_2"})
	for _, r := range []*raw{first, second} {
		r.send(subscribe(1, 0, "ctl/attic/#"))
		r.expect(0x90)
	}
	if err := w.Publish("ctl/attic/x", []byte("both"), 0, false); err != nil {
		t.Fatal(err)
	}
	first.expect(0x30)
	second.expect(0x30)
	got := w.Connections()
	if len(got) != 2 || got[0].Name != "attic" || got[0].ClientID != "attic_1" || got[1].ClientID != "attic_2" ||
		got[0].Version != MQTT311 || got[0].Since.IsZero() || got[0].Remote != first.LocalAddr().String() {
		t.Errorf("connections: %+v", got)
	}
}

func TestTheSameClientIDTakesOverAndHears(t *testing.T) {
	w := start(t, Config{}, nil, nil)
	var last *raw
	for i := range 300 {
		h := hello{id: "attic_1", will: &Will{Topic: "agent/attic/death", Payload: fmt.Append(nil, i)}}
		r := w.join(h)
		if last != nil && i%2 == 0 {
			last.expectClosed() // and got no packet 3.1.1 does not know
		}
		r.send(subscribe(1, 0, "ctl/attic/#"))
		r.expect(0x90)
		if err := w.Publish("ctl/attic/x", fmt.Append(nil, i), 0, false); err != nil {
			t.Fatal(err)
		}
		if got := r.expect(0x30); !bytes.HasSuffix(got, fmt.Append(nil, i)) {
			t.Fatalf("connection %d heard %q", i, got)
		}
		if i%2 == 1 {
			r.Close() // reconnect at once, while the broker is still tidying up
		}
		last = r
	}
	w.awaitConnected(0)
}

func TestAClientIDIsNotTakenFromSomebodyElse(t *testing.T) {
	w := start(t, public(), nil, nil)
	home := w.join(hello{id: "shared", user: "home", pass: "open sesame"})
	thief := w.dial()
	thief.send(hello{id: "shared", user: "thief", pass: "open sesame"}.packet())
	if ack := thief.expect(0x20); ack[1] != 2 {
		t.Errorf("CONNACK %#x, want 2", ack[1])
	}
	home.send(ping)
	home.expect(0xd0)
}

func TestKickClosesEveryConnectionOfAName(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	w := start(t, Config{Authorise: func(c Connect) (Rights, error) {
		if c.ClientID == "attic_3" {
			close(asked)
			<-answer
		}
		return anyHost(c)
	}}, nil, nil)
	first, second := w.join(hello{id: "attic_1"}), w.join(hello{id: "attic_2"})
	other := w.join(hello{id: "cellar_1"})
	third := w.dial()
	third.send(hello{id: "attic_3"}.packet())
	<-asked // its rights were looked up before they were withdrawn
	if got := w.Kick("attic"); got != 2 {
		t.Errorf("kicked %d, want 2", got)
	}
	close(answer)
	first.expectClosed()
	second.expectClosed()
	if ack := third.expect(0x20); ack[1] != 5 {
		t.Errorf("CONNACK %#x, want 5", ack[1])
	}
	other.send(ping)
	other.expect(0xd0)
	w.awaitConnected(1)
}

func TestAKickedClientIsNotHeardAnyMore(t *testing.T) {
	var w *world
	heard := make(chan string, 2)
	w = start(t, Config{Received: func(m Message) error {
		heard <- string(m.Payload)
		w.Kick(m.Name)
		return nil
	}}, nil, nil)
	r := w.join(hello{id: "attic_1"})
	r.send(publish("agent/attic/event", "first", 0, 0, false), publish("agent/attic/event", "second", 0, 0, false))
	r.expectClosed()
	w.awaitConnected(0)
	if first := <-heard; first != "first" || len(heard) != 0 {
		t.Errorf("heard %q and %d more, want the first alone", first, len(heard))
	}
}

func TestNothingOfAPacketIsLogged(t *testing.T) {
	cfg := public()
	w := start(t, cfg, nil, nil)
	const payload = "canary-payload"
	r := w.join(hello{id: "ha", user: "home", pass: "open sesame", will: &Will{Topic: "do/will/ha", Payload: []byte(payload)}})
	r.send(publish("pub/forbidden", payload, 0, 0, false), publish("pub/forbidden", payload, 1, 1, false))
	r.expectClosed()
	w.awaitMessage("do/will/ha", payload)
	twice := w.join(hello{version: 5, id: "ha2", user: "home", pass: "open sesame"})
	twice.send(hello{version: 5, id: "ha2", user: "home", pass: "open sesame"}.packet()) // Mochi logs the second CONNECT whole
	twice.expectClosed()
	wrong := w.dial()
	wrong.send(hello{id: "ha", user: "home", pass: "canary-payload"}.packet())
	wrong.expect(0x20)
	wrong.expectClosed()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	log := w.logs.String()
	for _, secret := range []string{payload, "open sesame"} {
		decimal := strings.Trim(fmt.Sprint([]byte(secret)), "[]")
		for _, form := range []string{secret, decimal, fmt.Sprintf("%x", secret)} {
			if strings.Contains(log, form) {
				t.Errorf("the log contains %q", form)
			}
		}
	}
	if !strings.Contains(log, "error processing packet") {
		t.Error("Mochi said nothing, so this proves nothing")
	}
}

func TestTwoHundredClientsDoNotDelayTheEnd(t *testing.T) {
	before := goleak.IgnoreCurrent()
	ca := newAuthority(t, "ours")
	conf := ca.client("host")
	w := start(t, Config{}, ca.server(), nil)
	for i := range 200 {
		w.paho(w.options(fmt.Sprintf("host%d_1", i), conf).SetWill(fmt.Sprintf("agent/host%d/death", i), "lost", 1, true))
	}
	w.awaitConnected(200)
	began := time.Now()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if took > 20*time.Second { // they are let go side by side; one after the other, each may take its time
		t.Errorf("stopping took %v", took)
	}
	t.Logf("stopping took %v", took)
	if got := w.Stats(); got.Connected != 0 {
		t.Errorf("%d clients are still connected", got.Connected)
	}
	goleak.VerifyNone(t, before)
}

// TestWhatIsSaidInPartingArrives publishes and ends the broker at once, as a control
// plane does that stops: everybody who reads hears it, and nobody is waited for who has said so.
func TestWhatIsSaidInPartingArrives(t *testing.T) {
	limits := quick()
	limits.Parting, limits.PerName = time.Hour, 0
	w := start(t, Config{Limits: limits}, nil, nil)
	var listening errgroup.Group
	for i := range 50 {
		r := w.join(hello{id: "attic_" + strconv.Itoa(i+1)})
		r.send(subscribe(1, 1, "ctl/attic/#"))
		r.expect(0x90)
		listening.Go(func() error {
			first, got, err := r.next()
			if err != nil || first != 0x32 || !bytes.HasSuffix(got, []byte("offline")) {
				return fmt.Errorf("delivered %#x %q, %v", first, got, err)
			}
			id := 2 + int(got[0])<<8 + int(got[1])
			r.send([]byte{0x40, 2, got[id], got[id+1]})
			return nil
		})
	}
	if err := w.Publish("ctl/attic/parting", []byte("offline"), 1, false); err != nil {
		t.Fatal(err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	if err := listening.Wait(); err != nil {
		t.Error(err)
	}
	if DefaultAgents().Parting == 0 || DefaultPublic().Parting == 0 {
		t.Error("nobody hears what is said last")
	}
}

func TestRunSaysWhenSomebodyHoldsItUp(t *testing.T) {
	limits := quick()
	limits.Close = 20 * time.Millisecond
	entered, release := make(chan struct{}), make(chan struct{})
	b, err := New(Config{Limits: limits, Authorise: anyHost, Received: func(Message) error { close(entered); <-release; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran, attached := make(chan error, 1), make(chan error, 1)
	go func() { ran <- b.Run(ctx) }()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() { attached <- b.Attach(theirs, WebSocket) }()
	r := &raw{ours, t}
	r.send(hello{id: "attic_1"}.packet())
	r.expect(0x20)
	r.send(publish("agent/attic/event", "x", 0, 0, false))
	<-entered
	cancel()
	if err := <-ran; err == nil || !strings.Contains(err.Error(), "1 connections have not ended") {
		t.Errorf("Run returned %v", err)
	}
	close(release)
	<-attached
}

func TestLimitsThatCannotBeAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Limits){
		"no queue":     func(l *Limits) { l.WriteQueue = 0 },
		"long queue":   func(l *Limits) { l.WriteQueue = math.MaxUint16 + 1 },
		"no inflight":  func(l *Limits) { l.Inflight = 0 },
		"packet size":  func(l *Limits) { l.PacketSize = -1 },
		"keep-alive":   func(l *Limits) { l.MaxKeepAlive = 43691 * time.Second },
		"close at all": nil,
	} {
		l := DefaultPublic()
		if change != nil {
			change(&l)
		}
		if _, err := New(Config{Limits: l}); (err != nil) != (change != nil) {
			t.Errorf("%s: New returned %v", name, err)
		}
	}
}
