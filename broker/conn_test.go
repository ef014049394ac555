package broker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// consumer lets in who has the password, with rights to everything public.
func consumer(c Connect) (Rights, error) {
	if string(c.Password) != "open sesame" {
		return Rights{}, fmt.Errorf("user %s: %w", c.User, ErrBadPassword)
	}
	return Rights{
		Name: c.User, Publish: []string{"do/#"}, Subscribe: []string{"pub/#"}, Retain: []string{"do/keep/#"}, Will: "do/will/" + c.ClientID,
	}, nil
}

func public() Config {
	return Config{Name: "public", Guests: true, Limits: DefaultPublic(), Versions: []byte{MQTT311, MQTT5}, Authorise: consumer}
}

func TestAHugeLengthIsRefusedBeforeMemoryIsTaken(t *testing.T) {
	const huge = "\xff\xff\xff\x7f" // 256 MiB
	for name, cfg := range map[string]Config{"agents": {}, "public": public()} {
		t.Run(name, func(t *testing.T) {
			w := start(t, cfg, nil, nil)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range 20 {
				r := w.dial()
				r.send([]byte("\x10"+huge), make([]byte, 1024))
				r.expectClosed()
			}
			runtime.ReadMemStats(&after)
			grown := after.TotalAlloc - before.TotalAlloc
			if grown >= 16<<20 {
				t.Errorf("20 headers made us allocate %d MiB", grown>>20)
			}
			t.Logf("20 headers made us allocate %d KiB", grown>>10)
		})
	}
	w := start(t, Config{}, nil, nil)
	r := w.join(hello{id: "attic_1"})
	r.send([]byte("\x30" + huge))
	r.expectClosed()
}

func TestAPacketThatPanicsCostsItsSenderOnly(t *testing.T) {
	w := start(t, public(), nil, nil)
	witness := w.paho(w.options("witness", nil).SetUsername("home").SetPassword("open sesame"))
	const times = 100
	for i := range times {
		id := fmt.Sprint("victim", i)
		r := w.join(hello{version: 5, id: id, user: "home", pass: "open sesame",
			will: &Will{Topic: "do/will/" + id, Payload: []byte("gone"), QoS: 1}})
		r.send(packet(0x82, []byte{0, 1, 0}, text("pub/#"), []byte{1}))
		r.expect(0x90)
		r.send(truncated)
		r.expectClosed()
		if m := w.awaitMessage("do/will/"+id, "gone"); !m.Will || m.Name != "home" || m.ClientID != id || m.QoS != 1 {
			t.Fatalf("the will arrived as %+v", m)
		}
	}
	w.must(witness.Publish("do/still", 1, false, "here"))
	w.awaitMessage("do/still", "here")
	w.awaitConnected(1)
	if got := w.Stats().Panics; got != times {
		t.Errorf("%d panics counted, want %d", got, times)
	}
	if got := len(w.messages()); got != times+1 {
		t.Errorf("%d messages, want each will once and one more", got)
	}
	// Mochi keeps its inline client besides the witness.
	if clients, subs := w.server.Clients.Len(), len(w.server.Topics.Subscribers("pub/x").Subscriptions); clients != 2 || subs != 0 {
		t.Errorf("%d clients and %d subscriptions are left in the tables, want 2 and 0", clients, subs)
	}
	await(t, func() error {
		if got := w.lobby.Stats(); got.Waiting != 0 || got.Proven != 1 {
			return fmt.Errorf("%+v places are taken, want ours alone", got)
		}
		return nil
	})
}

func TestAReceiverThatPanicsCostsTheSenderOnly(t *testing.T) {
	w := start(t, Config{Received: func(m Message) error {
		if string(m.Payload) == "boom" {
			panic(m)
		}
		return nil
	}}, nil, nil)
	r := w.join(hello{id: "attic_1"})
	r.send(publish("agent/attic/event", "boom", 1, 1, false))
	r.expectClosed()
	w.awaitConnected(0)
	w.join(hello{id: "attic_2"})
	if got := w.Stats().Panics; got != 1 {
		t.Errorf("%d panics counted", got)
	}
	if strings.Contains(w.logs.String(), "boom") {
		t.Error("the log shows the payload")
	}
}

// hoard is how many bytes wait for the socket that has most to come.
func (w *world) hoard() (most int) {
	w.Broker.mu.Lock()
	defer w.Broker.mu.Unlock()
	for c := range w.conns {
		c.mu.Lock()
		most = max(most, len(c.out))
		c.mu.Unlock()
	}
	return most
}

func TestAClientThatNeverReadsHoldsUpNobody(t *testing.T) {
	limits := quick()
	limits.Write, limits.WriteQueue = 5*time.Second, 8
	w := start(t, Config{Limits: limits}, nil, nil)
	lazy := w.dial()
	_ = lazy.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	lazy.send(hello{id: "lazy_1", will: &Will{Topic: "agent/lazy/death", Payload: []byte("lost")}}.packet(), subscribe(1, 1, "bcast/#"))
	lazy.expect(0x20)
	lazy.expect(0x90)
	attentive := w.join(hello{id: "good_1"})
	attentive.send(subscribe(1, 0, "ctl/good/#"))
	attentive.expect(0x90)

	gone := make(chan struct{})
	go func() { // pings for as long as it can
		defer close(gone)
		for {
			if _, err := lazy.Write(ping); err != nil {
				return
			}
		}
	}()
	big := strings.Repeat("x", 60<<10)
	var slowest time.Duration
	var hoard int
	alive := func() bool { return w.Stats().Connected == 2 }
	began := time.Now()
	for i := 0; alive(); i++ {
		at := time.Now()
		if err := w.Publish("bcast/news", []byte(big), 1, false); err != nil {
			t.Fatal(err)
		}
		if err := w.Publish("ctl/good/x", []byte("y"), 0, false); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(at))
		hoard = max(hoard, w.hoard())
		attentive.expect(0x30)
		if time.Since(began) > time.Minute {
			t.Fatal("the client that never reads is still there")
		}
	}
	<-gone
	if hoard > backlog+2*len(big) {
		t.Errorf("%d bytes waited for one client's socket", hoard)
	}
	t.Logf("the slowest publish took %v", slowest)
	if slowest > limits.Write {
		t.Errorf("a publish waited %v", slowest)
	}
	w.awaitMessage("agent/lazy/death", "lost")
	if w.Stats().Dropped == 0 {
		t.Error("nothing was dropped, so the queue was not full")
	}
	if got := strings.Count(w.logs.String(), "does not keep up"); got != 1 {
		t.Errorf("said %d times that the client does not keep up", got)
	}
}

func TestReceivedHoldsUpItsPublisherOnly(t *testing.T) {
	release := make(chan struct{})
	var w *world
	w = start(t, Config{Received: func(m Message) error {
		if m.Name == "slow" {
			<-release
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.got = append(w.got, m)
		return nil
	}}, nil, nil)
	slow, fast := w.join(hello{id: "slow_1"}), w.join(hello{id: "fast_1"})
	slow.send(publish("agent/slow/event", "1", 1, 1, false), publish("agent/slow/event", "2", 1, 2, false))
	fast.send(publish("agent/fast/event", "1", 1, 1, false))
	fast.expect(0x40)
	w.awaitMessage("agent/fast/event", "1")
	_ = slow.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, _, err := slow.next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a message was acknowledged before it was received: %v", err)
	}
	_ = slow.SetReadDeadline(time.Now().Add(20 * time.Second))
	close(release)
	slow.expect(0x40)
	slow.expect(0x40)
	if got := len(w.messages()); got != 3 {
		t.Errorf("%d messages, want 3", got)
	}
}

func TestAttachServesAConnectionFromElsewhere(t *testing.T) {
	w := start(t, Config{}, nil, nil)
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- w.Attach(theirs, WebSocket) }()
	r := &raw{ours, t}
	r.send(hello{id: "attic_1"}.packet())
	r.expect(0x20)
	r.send(publish("agent/attic/event", "hello", 1, 1, false))
	r.expect(0x40)
	w.awaitMessage("agent/attic/event", "hello")
	r.send(bye)
	if err := <-ended; err != nil {
		t.Errorf("Attach returned %v after a polite end", err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	late, theirs := net.Pipe()
	defer late.Close()
	if err := w.Attach(theirs, WebSocket); err == nil {
		t.Error("a closed broker took another connection")
	}
	if err := w.Publish("bcast/x", nil, 0, false); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed broker's Publish returned %v", err)
	}
}

// Two clients with one ID close each other's connection again and again: the log names it.
func TestTheLogNamesWhoeverGivesWayToANamesake(t *testing.T) {
	w := start(t, Config{}, nil, nil)
	w.join(hello{id: "attic_1"})
	w.join(hello{id: "attic_1"})
	await(t, func() error {
		if !strings.Contains(w.logs.String(), errNamesake.Error()) {
			return errors.New(w.logs.String())
		}
		return nil
	})
}
