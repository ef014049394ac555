package uplink

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// long is how long a test waits for what takes a moment.
const long = 60 * time.Second

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(long); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, long)
		}
	}
}

// A mosquitto is Debian's, started for the test on loopback.
type mosquitto struct {
	t      testing.TB
	dir    string
	port   int
	config string
	cmd    *exec.Cmd
	out    *bytes.Buffer
}

// freePort is one that nobody listens on now.
func freePort() int {
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// startMosquitto starts a broker whose configuration is what of makes of its port; "" lets
// everybody in. %DIR% in it is its directory, where files are.
func startMosquitto(t testing.TB, config string, files map[string]string) *mosquitto {
	t.Helper()
	m := &mosquitto{t: t, dir: t.TempDir(), port: freePort(), config: config}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, is := files["passwords"]; is { // hashed in place
		if out, err := exec.Command("mosquitto_passwd", "-U", filepath.Join(m.dir, "passwords")).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_passwd: %v: %s", err, out)
		}
	}
	m.start()
	t.Cleanup(m.stop)
	return m
}

func (m *mosquitto) start() {
	m.t.Helper()
	text := m.config
	if text == "" {
		text = "listener %PORT% 127.0.0.1\nallow_anonymous true\n"
	}
	text = "user root\n" + strings.NewReplacer("%PORT%", fmt.Sprint(m.port), "%DIR%", m.dir).Replace(text)
	file := filepath.Join(m.dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.out = &bytes.Buffer{}
	m.cmd = exec.Command("mosquitto", "-c", file)
	m.cmd.Stdout, m.cmd.Stderr = m.out, m.out
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	await(m.t, "mosquitto listens", func() bool {
		c, err := net.DialTimeout("tcp", m.address(), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (m *mosquitto) stop() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	m.cmd = nil
	if m.t.Failed() {
		m.t.Logf("mosquitto said:\n%s", m.out)
	}
}

// stopGently has the broker write what is retained.
func (m *mosquitto) stopGently() {
	_ = m.cmd.Process.Signal(os.Interrupt)
	_ = m.cmd.Wait()
	m.cmd = nil
}

func (m *mosquitto) address() string { return fmt.Sprintf("127.0.0.1:%d", m.port) }
func (m *mosquitto) url() string     { return "mqtt://" + m.address() }

// A watcher is a client of mosquitto's own that notes what is said.
type watcher struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	all []string
}

// retained lists what a client that comes now is given at a filter, as "topic payload".
func (m *mosquitto) retained(filter string, more ...string) []string {
	m.t.Helper()
	args := append([]string{"-h", "127.0.0.1", "-p", fmt.Sprint(m.port), "-t", filter, "-v", "--retained-only", "-W", "1"}, more...)
	out, err := exec.Command("mosquitto_sub", args...).Output()
	if e := (&exec.ExitError{}); err != nil && (!asExit(err, &e) || e.ExitCode() != 27) {
		m.t.Fatalf("mosquitto_sub: %v: %s", err, e.Stderr)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return nil
	}
	return lines
}

func asExit(err error, e **exec.ExitError) bool {
	x, is := err.(*exec.ExitError)
	if is {
		*e = x
	}
	return is
}

// say publishes as mosquitto's own client does.
func (m *mosquitto) say(topic, payload string, more ...string) {
	m.t.Helper()
	args := append([]string{"-h", "127.0.0.1", "-p", fmt.Sprint(m.port), "-t", topic, "-m", payload, "-q", "1"}, more...)
	if out, err := exec.Command("mosquitto_pub", args...).CombinedOutput(); err != nil {
		m.t.Fatalf("mosquitto_pub: %v: %s", err, out)
	}
}

// watch notes what is said from now on below a filter.
func (m *mosquitto) watch(filter string, more ...string) *watcher {
	m.t.Helper()
	w := &watcher{}
	marker := "marker/" + randomID()
	args := append([]string{"-h", "127.0.0.1", "-p", fmt.Sprint(m.port), "-t", filter, "-t", marker, "-v", "-q", "1"}, more...)
	w.cmd = exec.Command("mosquitto_sub", args...)
	out := must(w.cmd.StdoutPipe())
	if err := w.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 1<<16)
		rest := ""
		for {
			n, err := out.Read(buf)
			rest += string(buf[:n])
			for {
				line, after, is := strings.Cut(rest, "\n")
				if !is {
					break
				}
				rest = after
				w.mu.Lock()
				w.all = append(w.all, line)
				w.mu.Unlock()
			}
			if err != nil {
				return
			}
		}
	}()
	m.t.Cleanup(func() { _ = w.cmd.Process.Kill(); _ = w.cmd.Wait() })
	await(m.t, "mosquitto_sub is subscribed", func() bool {
		m.say(marker, "there", more...)
		return w.has(marker + " there")
	})
	return w
}

func (w *watcher) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.all...)
}

func (w *watcher) has(line string) bool {
	for _, l := range w.lines() {
		if l == line {
			return true
		}
	}
	return false
}

// A world is a service with a real database and a real outbox.
type world struct {
	t       testing.TB
	store   *store.Store
	box     *outbox.Box
	service *Service
	log     *bytes.Buffer

	stop func()
}

// quick are the durations of tests.
func quick() Timing {
	t := DefaultTiming()
	t.Backoff, t.BackoffCap, t.Look, t.Clear = 50*time.Millisecond, 300*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond
	t.Will, t.Settle = 0, 300*time.Millisecond
	return t
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, store: storetest.Open(t, store.Open), log: &bytes.Buffer{}}
	w.start(quick(), Flags{})
	return w
}

// start runs the service, as a control plane that starts does.
func (w *world) start(timing Timing, flags Flags) {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	w.box = must(outbox.New(w.t.Context(), outbox.Config{Rows: w.store.Outbox(), Log: log, Timing: outbox.DefaultTiming(), Now: time.Now}))
	w.box.OnEnded(func(context.Context, topics.JobID) (outbox.Message, bool, error) { return outbox.Message{}, false, nil })
	w.service = &Service{Store: w.store, Source: w.box, Log: log, Timing: timing, Flags: flags}
	if err := w.service.Open(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.box.Run(ctx) })
	running.Go(func() { _ = w.service.Run(ctx) })
	w.stop = func() { cancel(); running.Wait() }
	w.t.Cleanup(func() { w.stop() })
}

// put sets the broker.
func (w *world) put(in Input) {
	w.t.Helper()
	if err := w.service.Put(w.t.Context(), "test", in); err != nil {
		w.t.Fatalf("put: %v", err)
	}
}

// up waits until everything was said.
func (w *world) up() Status {
	w.t.Helper()
	await(w.t, "the uplink is up", func() bool {
		s := w.service.Status()
		return s.Connected && !s.Behind && s.Heard
	})
	return w.service.Status()
}

// say puts what is retained: pairs of topic and payload.
func (w *world) say(pairs ...string) {
	list := []outbox.Message{}
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, outbox.Message{Topic: pairs[i], Payload: []byte(pairs[i+1]), QoS: 1, Retain: true})
	}
	w.box.Put(w.t.Context(), list...)
}

func ptr[T any](v T) *T { return &v }

func secret(text string) *topics.Secret { return ptr(topics.Secret(text)) }

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(name string) authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der := must(x509.CreateCertificate(rand.Reader, c, c, key.Public(), key))
	return authority{must(x509.ParseCertificate(der)), key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// sign makes a certificate for a name or an address that is good until then, and its key.
func (a authority) sign(name string, until time.Time) (cert, key string) {
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if ip := net.ParseIP(name); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{name}
	}
	der := must(x509.CreateCertificate(rand.Reader, c, a.cert, k.Public(), a.key))
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(k))}))
}
