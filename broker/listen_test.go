package broker

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// nuisances are the ways to keep a connection without being a client: what to
// say, and whether after a TLS handshake or instead of one.
var nuisances = []struct {
	name   string
	secure bool
	says   []byte
}{
	{"silent", false, nil},
	{"half a handshake", false, []byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}},
	{"garbage for a handshake", false, []byte("\xff\xfe\x00garbage that is no TLS")},
	{"MQTT without TLS", false, hello{id: "attic_1"}.packet()},
	{"no CONNECT", true, nil},
	{"half a CONNECT", true, hello{id: "attic_1"}.packet()[:9]},
	{"garbage for a CONNECT", true, []byte("GET / HTTP/1.1\r\n\r\n")},
	{"a length without end", true, []byte{0x10, 0x80, 0x80, 0x80, 0x80, 0x80}},
	{"a PUBLISH to begin with", true, publish("agent/attic/event", "x", 0, 0, false)},
	{"a CONNECT of nothing", true, []byte{0x10, 2, 0, 0}},
}

// sitOut sends in every nuisance at once and checks that each is gone in time
// while a healthy client goes on. Without limits they would stay for ever.
func sitOut(t *testing.T, limits Limits) {
	within := limits.Handshake + limits.Connect + 15*time.Second // and some, for a busy machine
	ca := newAuthority(t, "ours")
	w := start(t, Config{Limits: limits}, ca.server(), nil)
	healthy := w.paho(w.options("healthy_1", ca.client("healthy")))

	var open sync.WaitGroup
	for _, n := range nuisances {
		r, conf := w.dial(), ca.client("mute")
		open.Go(func() {
			if n.secure {
				c := tls.Client(r.Conn, conf)
				if err := c.Handshake(); err != nil {
					t.Errorf("%s: %v", n.name, err)
				}
				r.Conn = c
			}
			_, _ = r.Write(n.says)
			began := time.Now()
			r.expectClosed()
			if took := time.Since(began); took > within {
				t.Errorf("%s: closed after %v, want at most %v", n.name, took, within)
			}
		})
	}
	done := make(chan struct{})
	go func() { open.Wait(); close(done) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for sent := 1; ; sent++ {
		w.must(healthy.Publish("agent/healthy/event", 1, false, fmt.Sprint(sent)))
		select {
		case <-done:
			w.awaitMessage("agent/healthy/event", fmt.Sprint(sent))
			if got := len(w.messages()); got != sent {
				t.Errorf("received %d messages of the healthy client, want %d", got, sent)
			}
			return
		case <-tick.C:
		}
	}
}

func TestNobodyMayKeepAConnectionForNothing(t *testing.T) {
	sitOut(t, quick())
}

func TestTheDefaultsAllowThreeSeconds(t *testing.T) {
	for what, d := range map[string]Limits{"public": DefaultPublic(), "agents'": DefaultAgents()} {
		if d.Handshake != 3*time.Second || d.Connect != 3*time.Second {
			t.Errorf("the %s side allows %v and %v", what, d.Handshake, d.Connect)
		}
	}
	sitOut(t, DefaultAgents())
}

func TestOnlyOurOwnCertificatesPassTheHandshake(t *testing.T) {
	ca, foreign := newAuthority(t, "ours"), newAuthority(t, "theirs")
	names := make(chan string, 1)
	w := start(t, Config{Authorise: func(c Connect) (Rights, error) {
		names <- c.Certificate.Subject.CommonName
		return anyHost(c)
	}}, ca.server(), nil)

	none, other := ca.client("attic"), foreign.client("attic")
	none.Certificates = nil
	other.RootCAs = ca.pool()
	for name, conf := range map[string]*tls.Config{"none": none, "foreign": other} {
		c := tls.Client(w.dial().Conn, conf)
		_, _ = c.Write(hello{id: "attic_1"}.packet())
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: read %d bytes, want a refusal", name, n)
		} else if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: still open", name)
		}
	}
	await(t, func() error {
		if got := w.Stats().Refused; got != 2 {
			return fmt.Errorf("%d refused, want 2", got)
		}
		return nil
	})
	if len(names) != 0 {
		t.Error("a client without our certificate came as far as the gate")
	}
	w.paho(w.options("attic_1", ca.client("attic")))
	if got := <-names; got != "attic" {
		t.Errorf("the gate saw certificate %q, want attic's", got)
	}
}

func TestAnotherProtocolIsHandedOver(t *testing.T) {
	ca := newAuthority(t, "ours")
	limits := quick()
	limits.Waiting = 2
	w := start(t, Config{Limits: limits}, ca.server(), map[string]func(net.Conn){
		"http/1.1": func(c net.Conn) {
			defer c.Close()
			if _, ok := c.(*tls.Conn); !ok {
				t.Errorf("handed over a %T", c)
			}
			b := make([]byte, 1)
			if _, err := c.Read(b); err == nil { // longer than any deadline of ours
				_, _ = c.Write(b)
			}
		},
	})
	conf := ca.client("browser")
	conf.NextProtos = []string{"http/1.1"}
	c := tls.Client(w.dial().Conn, conf)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	// A silent client is cut off by both deadlines meanwhile.
	silent := w.dial()
	silent.expectClosed()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := c.Read(b); err != nil || b[0] != 'x' {
		t.Errorf("read %q, %v from the one it was handed to", b, err)
	}

	mqtt := ca.client("attic")
	mqtt.NextProtos = []string{"mqtt"}
	w.paho(w.options("attic_1", mqtt))
	conf.NextProtos = []string{"smtp"}
	if err := tls.Client(w.dial().Conn, conf).Handshake(); err == nil {
		t.Error("a protocol nobody speaks was accepted")
	}
}

// starved is a listener that has run out of descriptors a few times.
type starved struct {
	net.Listener
	left atomic.Int32
}

func (s *starved) Accept() (net.Conn, error) {
	if s.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept", syscall.EMFILE)}
	}
	return s.Listener.Accept()
}

func TestAcceptingSurvivesDescriptorExhaustion(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &starved{Listener: ln}
	s.left.Store(4)
	w := startOn(t, s, Config{}, nil, nil)
	w.join(hello{id: "attic_1"})
	if got := strings.Count(w.logs.String(), "cannot accept"); got != 4 {
		t.Errorf("%d failures in the log, want 4", got)
	}
}

func TestServeSaysWhenItsListenerIsClosed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := b.Serve(t.Context(), ln, nil, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
}

func TestAThousandSilentConnectionsKeepNobodyOut(t *testing.T) {
	limits := quick()
	limits.Waiting, limits.PerAddress = 20, 0
	w := start(t, Config{Limits: limits}, nil, nil)
	friend := w.join(hello{id: "attic_1"})

	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			nc, err := net.Dial("tcp", w.addr)
			if err != nil {
				return // the kernel's queue was full, which is refusal enough
			}
			defer nc.Close()
			_ = nc.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := nc.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("a connection beyond the cap, or a silent one, stays open")
			}
		})
	}
	all.Wait()
	friend.send(ping)
	friend.expect(0xd0)
	w.join(hello{id: "cellar_1"}) // places are free again
	if got := w.Stats().Refused; got < 500 {
		t.Errorf("%d refused, want most of 1,000", got)
	}
}

func TestSilentConnectionsOfOneAddressPushOutOneAnother(t *testing.T) {
	limits := quick()
	limits.PerAddress, limits.Handshake, limits.Connect = 2, time.Minute, time.Minute
	w := start(t, Config{Limits: limits}, nil, nil)
	one := w.join(hello{id: "attic_1"})
	first, second := w.dial(), w.dial()
	w.join(hello{id: "attic_2"}) // clients do not count among the silent, nor do they stay there
	first.expectClosed()
	w.join(hello{id: "attic_3"})
	second.send(hello{id: "attic_4"}.packet())
	second.expect(0x20)
	one.send(ping)
	one.expect(0xd0)
	w.awaitConnected(4)
	if !strings.Contains(w.logs.String(), "many connections prove nothing") {
		t.Error("nobody is told that connections are pushed out")
	}
}

func TestOneNameCannotTakeEveryPlace(t *testing.T) {
	limits := quick()
	limits.PerName, limits.Connections = 2, 3
	w := start(t, Config{Limits: limits}, nil, nil)
	first, second := w.join(hello{id: "attic_1"}), w.join(hello{id: "attic_2"})
	other := w.join(hello{id: "cellar_1"})
	full := w.dial()
	full.send(hello{id: "barn_1"}.packet())
	if kind, body, err := full.next(); err != nil || kind != 0x20 || len(body) != 2 || body[1] != 3 {
		t.Errorf("one too many was answered %#x %x, %v; want return code 3", kind, body, err)
	}
	second.send(bye)
	w.awaitConnected(2)
	w.join(hello{id: "attic_3"})
	other.send(bye)
	w.awaitConnected(2)
	w.join(hello{id: "attic_4"}) // one too many of that name
	first.expectClosed()
	w.awaitConnected(2)
}

// TestWhoComesAgainTakesItsOwnPlace: where there are as many clients as there may be, one
// whose connection was cut, which the broker has not noticed yet, is let in; nobody else is.
func TestWhoComesAgainTakesItsOwnPlace(t *testing.T) {
	limits := quick()
	limits.PerName, limits.Connections = 2, 2
	w := start(t, Config{Limits: limits}, nil, nil)
	w.join(hello{id: "cellar_1"})
	before := w.join(hello{id: "attic_1"})
	for range 20 {
		again := w.join(hello{id: "attic_1"})
		before.expectClosed()
		before = again
	}
	w.awaitConnected(2)
	for _, id := range []string{"barn_1", "attic_2"} {
		full := w.dial()
		full.send(hello{id: id}.packet())
		if kind, body, err := full.next(); err != nil || kind != 0x20 || len(body) != 2 || body[1] != 3 {
			t.Errorf("%s was answered %#x %x, %v; want return code 3", id, kind, body, err)
		}
	}
	before.send(ping)
	before.expect(0xd0)

	limits.PerName, limits.Connections = 1, 1
	w = start(t, Config{Limits: limits}, nil, nil)
	before = w.join(hello{id: "attic_1"})
	w.join(hello{id: "attic_2"}) // one too many of that name: the other one goes
	before.expectClosed()
	w.awaitConnected(1)
}

// TestAProxySaysForWhomItConnects has four clients come by one address.
func TestAProxySaysForWhomItConnects(t *testing.T) {
	limits := quick()
	limits.PerAddress = 1
	remotes := make(chan string, 8)
	authorise := func(c Connect) (Rights, error) {
		remotes <- c.Remote.String()
		return anyHost(c)
	}
	ca := newAuthority(t, "ours")
	w := start(t, Config{Limits: limits, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Authorise: authorise},
		ca.server(), nil)
	v2 := &proxyproto.Header{Version: 2, Command: proxyproto.PROXY, TransportProtocol: proxyproto.TCPv6,
		SourceAddr:      &net.TCPAddr{IP: net.ParseIP("2001:db8::7"), Port: 77},
		DestinationAddr: &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 8883}}
	binary, err := v2.Format()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		header []byte
		from   string // "" is refused
	}{
		"version 1":    {[]byte("PROXY TCP4 192.0.2.7 192.0.2.1 4711 8883\r\n"), "192.0.2.7:4711"},
		"version 2":    {binary, "[2001:db8::7]:77"},
		"no header":    {nil, ""},
		"half of one":  {[]byte("PROXY TCP4 192.0.2.7"), ""},
		"nonsense":     {[]byte("PROXY TCP9 a b c d\r\n"), ""},
		"of many KiB":  {append([]byte("PROXY TCP4 "), bytes.Repeat([]byte("1"), 5000)...), ""},
		"an HTTP verb": {[]byte("GET / HTTP/1.1\r\n\r\n"), ""},
	} {
		r := w.dial()
		_, _ = r.Write(c.header)
		tc := tls.Client(r.Conn, ca.client("attic"))
		_ = tc.SetDeadline(time.Now().Add(time.Minute))
		_, err := tc.Write(hello{id: "attic_1"}.packet())
		if err == nil {
			_, err = tc.Read(make([]byte, 4))
		}
		switch {
		case c.from == "" && err == nil:
			t.Errorf("%s: it was let in", name)
		case c.from == "" && errors.Is(err, os.ErrDeadlineExceeded):
			t.Errorf("%s: it may stay", name)
		case c.from != "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.from != "":
			if got := <-remotes; got != c.from {
				t.Errorf("%s: it came from %s, want %s", name, got, c.from)
			}
		}
	}

	// From anywhere else a header is garbage.
	w = start(t, Config{Limits: limits, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Authorise: authorise}, nil, nil)
	r := w.dial()
	_, _ = r.Write(append([]byte("PROXY TCP4 192.0.2.7 192.0.2.1 4711 8883\r\n"), hello{id: "attic_1"}.packet()...))
	r.expectClosed()
	if len(remotes) != 0 {
		t.Errorf("a stranger was taken for a proxy, and its client let in from %s", <-remotes)
	}
}
