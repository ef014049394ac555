package broker

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is one broker on a loopback port, stopped and checked when the test ends.
type world struct {
	*Broker
	t    testing.TB
	addr string
	stop func() error // ends it early; safe to call twice
	logs *logs

	mu  sync.Mutex
	got []Message
}

// anyHost lets in every client id "host_n" with the rights of that host.
func anyHost(c Connect) (Rights, error) {
	host, _, ok := strings.Cut(c.ClientID, "_")
	if !ok {
		return Rights{}, errors.New("client id is not host_n")
	}
	return Rights{
		Name: host, Publish: []string{"agent/" + host + "/#"}, Subscribe: []string{"ctl/" + host + "/#", "bcast/#"},
		Retain: []string{"agent/" + host + "/birth", "agent/" + host + "/job/+/state"}, Will: "agent/" + host + "/death",
	}, nil
}

// quick are the agents' limits with short deadlines.
func quick() Limits {
	l := DefaultAgents()
	l.Handshake, l.Connect, l.Write = 2*time.Second, 2*time.Second, 2*time.Second // which an honest client keeps on a busy machine, too
	l.Parting = 0                                                                 // most of them acknowledge nothing
	return l
}

// start runs a broker that remembers what it received, unless cfg has its own Received.
func start(t testing.TB, cfg Config, tlsConf *tls.Config, other map[string]func(net.Conn)) *world {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, ln, cfg, tlsConf, other)
}

func startOn(t testing.TB, ln net.Listener, cfg Config, tlsConf *tls.Config, other map[string]func(net.Conn)) *world {
	t.Helper()
	w := &world{t: t, addr: ln.Addr().String(), logs: &logs{}}
	if cfg.Name == "" {
		cfg.Name = "agents"
	}
	cfg.Log = slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if cfg.Authorise == nil {
		cfg.Authorise = anyHost
	}
	if cfg.Received == nil {
		cfg.Received = func(m Message) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.got = append(w.got, m)
			return nil
		}
	}
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.Broker = b
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- b.Run(ctx) }()
	go func() { ended <- b.Serve(ctx, ln, tlsConf, other) }()
	w.stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-ended, <-ended)
	})
	t.Cleanup(func() {
		if err := w.stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return w
}

func (w *world) messages() []Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.got)
}

// await retries until look returns nil, and fails with its last word.
func await(t testing.TB, look func() error) {
	t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-limit:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

func (w *world) awaitConnected(n int64) {
	w.t.Helper()
	await(w.t, func() error {
		if got := w.Stats().Connected; got != n {
			return fmt.Errorf("%d clients connected, want %d", got, n)
		}
		return nil
	})
}

// awaitMessage waits for a message on topic.
func (w *world) awaitMessage(topic, payload string) (found Message) {
	w.t.Helper()
	await(w.t, func() error {
		for _, m := range w.messages() {
			if m.Topic == topic && string(m.Payload) == payload {
				found = m
				return nil
			}
		}
		return fmt.Errorf("%q has not arrived on %s", payload, topic)
	})
	return found
}

// logs is a log one can look into while it is written.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// authority signs certificates for a test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key}
}

func (a *authority) issue(name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (a *authority) server() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{a.issue("broker")}, ClientCAs: a.pool(),
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}
}

func (a *authority) client(name string) *tls.Config {
	return &tls.Config{RootCAs: a.pool(), Certificates: []tls.Certificate{a.issue(name)}, ServerName: "127.0.0.1"}
}

// options are for a paho client that gives up rather than reconnects.
func (w *world) options(id string, tlsConf *tls.Config) *paho.ClientOptions {
	scheme := "tcp://"
	if tlsConf != nil {
		scheme = "ssl://"
	}
	return paho.NewClientOptions().AddBroker(scheme + w.addr).SetTLSConfig(tlsConf).SetClientID(id).
		SetProtocolVersion(4).SetKeepAlive(30 * time.Second).SetAutoReconnect(false).SetConnectTimeout(10 * time.Second)
}

func (w *world) paho(o *paho.ClientOptions) paho.Client {
	w.t.Helper()
	c := paho.NewClient(o)
	w.must(c.Connect())
	w.t.Cleanup(func() { c.Disconnect(0) })
	return c
}

func (w *world) must(token paho.Token) {
	w.t.Helper()
	if !token.WaitTimeout(20 * time.Second) {
		w.t.Fatal("no answer from the broker")
	}
	if err := token.Error(); err != nil {
		w.t.Fatal(err)
	}
}

// raw is a client that says exactly what it is told to.
type raw struct {
	net.Conn
	t testing.TB
}

func (w *world) dial() *raw {
	w.t.Helper()
	nc, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { nc.Close() })
	_ = nc.SetReadDeadline(time.Now().Add(time.Minute))
	return &raw{nc, w.t}
}

func (r *raw) send(packets ...[]byte) {
	r.t.Helper()
	if _, err := r.Write(bytes.Join(packets, nil)); err != nil {
		r.t.Fatal(err)
	}
}

// next reads one packet: its first byte and its body.
func (r *raw) next() (byte, []byte, error) {
	var first [1]byte
	if _, err := io.ReadFull(r, first[:]); err != nil {
		return 0, nil, err
	}
	var b [1]byte
	size := 0
	for shift := 0; ; shift += 7 {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return 0, nil, err
		}
		size |= int(b[0]&127) << shift
		if b[0] < 128 {
			break
		}
	}
	body := make([]byte, size)
	_, err := io.ReadFull(r, body)
	return first[0], body, err
}

// expect reads one packet of that first byte and returns its body.
func (r *raw) expect(first byte) []byte {
	r.t.Helper()
	got, body, err := r.next()
	if err != nil || got != first {
		r.t.Fatalf("read packet %#x %x, %v; want %#x", got, body, err, first)
	}
	return body
}

// expectClosed reads until the broker closes the connection.
func (r *raw) expectClosed() {
	r.t.Helper()
	_, err := io.Copy(io.Discard, r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.t.Error("the connection is still open")
	}
}

// join connects and expects to be let in.
func (w *world) join(p hello) *raw {
	w.t.Helper()
	r := w.dial()
	r.send(p.packet())
	if ack := r.expect(0x20); ack[1] != 0 {
		w.t.Fatalf("CONNACK code %#x, want 0", ack[1])
	}
	return r
}

// hello is a CONNECT.
type hello struct {
	version        byte // 4 when zero
	id, user, pass string
	will           *Will
	keepAlive      uint16 // 30 when zero
	dirty          bool   // asks for a session that lasts
	properties     []byte // MQTT 5
}

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// packet puts a fixed header before a body.
func packet(first byte, body ...[]byte) []byte {
	b := bytes.Join(body, nil)
	out := []byte{first}
	n := len(b)
	for {
		d := byte(n & 127)
		if n >>= 7; n > 0 {
			out = append(out, d|128)
			continue
		}
		return append(append(out, d), b...)
	}
}

func (h hello) packet() []byte {
	if h.version == 0 {
		h.version = 4
	}
	if h.keepAlive == 0 {
		h.keepAlive = 30
	}
	flags := byte(2)
	if h.dirty {
		flags = 0
	}
	v5 := func(properties []byte) []byte {
		if h.version < 5 {
			return nil
		}
		return append([]byte{byte(len(properties))}, properties...)
	}
	body := [][]byte{v5(h.properties), text(h.id)}
	if h.will != nil {
		flags |= 4 | h.will.QoS<<3
		if h.will.Retain {
			flags |= 32
		}
		body = append(body, v5(nil), text(h.will.Topic), text(string(h.will.Payload)))
	}
	if h.user != "" {
		flags |= 128
		body = append(body, text(h.user))
	}
	if h.pass != "" {
		flags |= 64
		body = append(body, text(h.pass))
	}
	head := append(text("MQTT"), h.version, flags, byte(h.keepAlive>>8), byte(h.keepAlive))
	return packet(0x10, append([][]byte{head}, body...)...)
}

func publish(topic, payload string, qos byte, id uint16, retain bool) []byte {
	first := 0x30 | qos<<1
	if retain {
		first |= 1
	}
	var number []byte
	if qos > 0 {
		number = binary.BigEndian.AppendUint16(nil, id)
	}
	return packet(first, text(topic), number, []byte(payload))
}

func subscribe(id uint16, qos byte, filters ...string) []byte {
	body := [][]byte{binary.BigEndian.AppendUint16(nil, id)}
	for _, f := range filters {
		body = append(body, text(f), []byte{qos})
	}
	return packet(0x82, body...)
}

var (
	ping = []byte{0xc0, 0}
	bye  = []byte{0xe0, 0}

	// truncated is an MQTT 5 SUBSCRIBE whose last filter lacks its options.
	truncated = []byte{0x82, 6, 0, 1, 0, 0, 1, 'x'}
)
