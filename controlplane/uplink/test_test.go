package uplink

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/topics"
)

// step finds a step of a result.
func step(t *testing.T, r TestResult, name string) Step {
	t.Helper()
	i := slices.IndexFunc(r.Steps, func(s Step) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("there is no step %q in %+v", name, r.Steps)
	}
	return r.Steps[i]
}

// try runs a test of an input.
func (w *world) try(in Input, second *Account) TestResult {
	w.t.Helper()
	r, err := w.service.Test(w.t.Context(), "anna", in, second)
	if err != nil {
		w.t.Fatalf("test: %v", err)
	}
	return r
}

func TestATestOfABrokerThatIsWell(t *testing.T) {
	t.Parallel()
	m, w := startMosquitto(t, "", nil), newWorld(t)
	r := w.try(Input{URL: ptr(m.url()), Commands: ptr(External)}, nil)
	if !r.OK || r.Proven {
		t.Errorf("the result: %+v", r)
	}
	for _, name := range []string{"connect", "write", "retain", "size", "discovery", "will", "commands"} {
		if s := step(t, r, name); !s.OK || s.Remedy != "" {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if got := m.retained("#"); len(got) != 0 {
		t.Errorf("the test left %q", got)
	}
	if s := must(w.service.Settings(t.Context())); s.URL != "" {
		t.Errorf("the test saved %+v", s)
	}
}

// acl is a mosquitto with passwords and rules.
const acl = "listener %PORT% 127.0.0.1\nallow_anonymous false\npassword_file %DIR%/passwords\nacl_file %DIR%/acl\n"

const passwords = "plane:secret\nha:second\nother:third\n"

func TestWhatABrokerForbidsIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, config, acl, step string
		warn                    bool
		text                    string
	}{
		{"nothing may be written", acl, "user plane\ntopic read #\n", "write", false, "did not pass it on"},
		{"nothing may be read", acl, "user plane\ntopic write #\n", "write", false, "did not pass it on"},
		{"no discovery", acl, "user plane\ntopic readwrite rm/v1/#\n", "discovery", true, "told of no device"},
		{"no commands", acl, "user plane\ntopic readwrite rm/v1/pub/#\ntopic readwrite homeassistant/#\n", "commands", true, "was not heard"},
		{"nothing is retained", acl + "retain_available false\n", "user plane\ntopic readwrite #\n", "retain", false, "does not keep any"},
		{"small messages alone", acl + "message_size_limit 10000\n", "user plane\ntopic readwrite #\n", "size", false, "64 KiB"},
		{"small packets alone", acl + "max_packet_size 20000\n", "user plane\ntopic readwrite #\n", "size", false, "64 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, w := startMosquitto(t, c.config, map[string]string{"passwords": passwords, "acl": c.acl}), newWorld(t)
			r := w.try(Input{URL: ptr(m.url()), User: ptr("plane"), Password: secret("secret"), Commands: ptr(External)}, nil)
			s := step(t, r, c.step)
			if s.OK || s.Warn != c.warn || !strings.Contains(s.Text, c.text) || s.Remedy == "" || r.OK != c.warn {
				t.Errorf("%+v, of %+v", s, r)
			}
		})
	}
}

func TestConsumersThatCanWriteForOneAnotherAreFound(t *testing.T) {
	t.Parallel()
	loose := "user plane\ntopic readwrite #\nuser ha\ntopic write rm/v1/do/#\n"
	strict := "user plane\ntopic readwrite #\npattern write rm/v1/do/%u/#\n"
	m, w := startMosquitto(t, acl, map[string]string{"passwords": passwords, "acl": loose}), newWorld(t)
	in := Input{URL: ptr(m.url()), User: ptr("plane"), Password: secret("secret")}
	second := &Account{"ha", "second"}
	r := w.try(in, second)
	if s := step(t, r, "consumers"); s.OK || r.Proven || r.OK || !strings.Contains(s.Text, "can write") {
		t.Errorf("with loose rules: %+v", s)
	}
	in.Commands = ptr(ByConsumer)
	var wrong field.Errors
	if err := w.service.Put(t.Context(), "anna", in); !errors.As(err, &wrong) || wrong["commands"] == "" {
		t.Fatalf("commands by consumer without a test: %v", err)
	}
	if r := w.try(in, &Account{"ha", "wrong"}); step(t, r, "consumers").OK || !strings.Contains(step(t, r, "consumers").Text,
		"let this user in") {
		t.Errorf("with a wrong password: %+v", r)
	}

	m2 := startMosquitto(t, acl, map[string]string{"passwords": passwords, "acl": strict})
	in.URL = ptr(m2.url())
	if r = w.try(in, second); !r.OK || !r.Proven {
		t.Fatalf("with strict rules: %+v", r)
	}
	w.put(in)
	if s := w.up(); s.Commands != ByConsumer {
		t.Errorf("commands are heard: %s", s.Commands)
	}
	// Of another root nothing is known.
	if err := w.service.Put(t.Context(), "anna", Input{Root: ptr("other")}); !errors.As(err, &wrong) || wrong["commands"] == "" {
		t.Errorf("another root with commands by consumer: %v", err)
	}
	// A silent account proves nothing.
	mute := startMosquitto(t, acl, map[string]string{"passwords": passwords, "acl": "user plane\ntopic readwrite #\n"})
	in.URL = ptr(mute.url())
	if r = w.try(in, second); r.Proven || step(t, r, "consumers").OK || !strings.Contains(step(t, r, "consumers").Text, "not passed on") {
		t.Errorf("an account that may write nothing: %+v", r)
	}
}

func TestCommandsAreHeard(t *testing.T) {
	t.Parallel()
	rules := "user plane\ntopic readwrite #\npattern write rm/v1/do/%u/#\nuser other\ntopic write rm/v1/do/+/+\n"
	m, w := startMosquitto(t, acl, map[string]string{"passwords": passwords, "acl": rules}), newWorld(t)
	var mu sync.Mutex
	wishes := []string{}
	w.service.Do = func(_ context.Context, x Wish) error {
		mu.Lock()
		defer mu.Unlock()
		wishes = append(wishes, fmt.Sprintf("mqtt:%s %s %q %v", cmp.Or(x.Consumer, "external"), x.Below, x.Payload, x.Retained))
		return nil
	}
	heard := func(want ...string) {
		t.Helper()
		await(t, fmt.Sprintf("heard %q", want), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Equal(wishes, want)
		})
	}
	other := []string{"-u", "other", "-P", "third"}
	ha := []string{"-u", "ha", "-P", "second"}
	w.put(Input{URL: ptr(m.url()), User: ptr("plane"), Password: secret("secret")})
	w.up()
	m.say("rm/v1/do/attic-0001/backup", "", other...) // off: nobody listens
	m.say("rm/v1/do/attic-0001/check", "kept", append(other, "-r")...)
	w.put(Input{Commands: ptr(External)})
	await(t, "commands are heard", func() bool { s := w.service.Status(); return s.Connected && s.Heard && s.Commands == External })
	heard(`mqtt:external do/attic-0001/check "kept" true`)
	m.say("rm/v1/do/attic-0001/backup", `{"groups":["all"]}`, other...)
	m.say("rm/v1/do/attic-0001/prune", "", other...)
	m.say("rm/v1/do/ha/attic-0001/backup", "", ha...)
	m.say("rm/v1/do/attic-0001/pause", "ON", other...)
	heard(`mqtt:external do/attic-0001/check "kept" true`, `mqtt:external do/attic-0001/backup "{\"groups\":[\"all\"]}" false`,
		`mqtt:external do/attic-0001/prune "" false`, // which whoever carries commands out refuses, and answers
		`mqtt:external do/attic-0001/pause "ON" false`)

	if r := w.try(Input{}, &Account{"ha", "second"}); !r.Proven {
		t.Fatalf("%+v", r)
	}
	w.put(Input{Commands: ptr(ByConsumer)})
	await(t, "commands of consumers are heard", func() bool {
		s := w.service.Status()
		return s.Connected && s.Heard &&
			s.Commands == ByConsumer
	})
	m.say("rm/v1/do/attic-0001/backup", "", other...)
	m.say("rm/v1/do/other/attic-0001/backup", "", ha...)
	m.say("rm/v1/do/ha/attic-0001/cancel", "", ha...)
	await(t, "it is heard as the consumer's", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(wishes) == 5 && wishes[4] == `mqtt:ha do/ha/attic-0001/cancel "" false`
	})
}

func TestCommandsAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	b := newBucket(func() time.Time { return now })
	taken := 0
	for range 100 {
		if b.take() {
			taken++
		}
	}
	if taken != burst || b.take() {
		t.Errorf("%d at once", taken)
	}
	now = now.Add(4 * time.Second)
	if first, second, third := b.take(), b.take(), b.take(); !first || !second || third {
		t.Error("after four seconds there are two")
	}
	now = now.Add(-time.Hour) // the clock is set back
	b.take()
	now = now.Add(2 * time.Second)
	if !b.take() {
		t.Error("a clock that was set back stops commands for ever")
	}
}

func TestWhyThereIsNoConnectionIsSaid(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority("ours"), newAuthority("a stranger")
	files := func(cert, key string) map[string]string {
		return map[string]string{"cert": cert, "key": key, "ca": ca.pem, "passwords": passwords}
	}
	const secure = "listener %PORT% 127.0.0.1\nallow_anonymous true\ncertfile %DIR%/cert\nkeyfile %DIR%/key\n"
	good := func() map[string]string { return files(ca.sign("127.0.0.1", time.Now().Add(time.Hour))) }
	start := func(config string, files map[string]string) string { return startMosquitto(t, config, files).address() }
	silent := must(net.Listen("tcp", "127.0.0.1:0")) // takes connections and says nothing
	t.Cleanup(func() { silent.Close() })
	page := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(page.Close)
	liar := brokerThatSaysNothing(t)
	clientCert, clientKey := stranger.sign("client", time.Now().Add(time.Hour))
	plain, refusing := start("", nil), start(acl, map[string]string{"passwords": passwords, "acl": "user plane\ntopic readwrite #\n"})
	sound := start(secure, good())

	for _, c := range []struct {
		name string
		in   Input
		text string
	}{
		{"no such name", Input{URL: ptr("mqtts://no-such-host.invalid")}, "no address for the name no-such-host.invalid"},
		{"nobody listens", Input{URL: ptr(fmt.Sprintf("mqtt://127.0.0.1:%d", freePort()))}, "Nothing listens"},
		{"nobody answers", Input{URL: ptr("mqtt://" + silent.Addr().String())}, "Nothing answered"},
		{"unknown CA", Input{URL: ptr("mqtts://" + sound)}, "not trusted"},
		{"another CA", Input{URL: ptr("mqtts://" + sound), CA: &stranger.pem}, "not trusted"},
		{"another name", Input{URL: ptr("mqtts://" + start(secure, files(ca.sign("broker.example", time.Now().Add(time.Hour))))), CA: &ca.pem},
			"not for 127.0.0.1 but for broker.example"},
		{"expired", Input{URL: ptr("mqtts://" + start(secure, files(ca.sign("127.0.0.1", time.Now().Add(-time.Hour))))),
			CA: &ca.pem}, "not valid now"},
		{"in clear to TLS", Input{URL: ptr("mqtt://" + sound)}, "expects TLS"},
		{"TLS to a port in clear", Input{URL: ptr("mqtts://" + plain), CA: &ca.pem}, ""},
		{"no client certificate", Input{URL: ptr("mqtts://" + start(secure+"cafile %DIR%/ca\nrequire_certificate true\n", good())),
			CA: &ca.pem}, ""},
		{"a stranger's client certificate", Input{URL: ptr("mqtts://" + start(secure+"cafile %DIR%/ca\nrequire_certificate true\n",
			good())), CA: &ca.pem,
			Certificate: &clientCert, Key: secret(clientKey)}, ""},
		{"a wrong password", Input{URL: ptr("mqtt://" + refusing), User: ptr("plane"), Password: secret("wrong")}, "does not let this user in"},
		{"no user", Input{URL: ptr("mqtt://" + refusing)}, "does not let this user in"},
		{"no WebSocket", Input{URL: ptr("ws://" + plain)}, ""},
		{"a page and no WebSocket", Input{URL: ptr("ws://" + page.Listener.Addr().String() + "/mqtt")}, "is no WebSocket for MQTT"},
		{"confirms nothing", Input{URL: ptr("mqtt://" + liar)}, "did not confirm"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			began := time.Now()
			r := w.try(c.in, nil)
			last := r.Steps[len(r.Steps)-1]
			t.Logf("%s %s", last.Text, last.Remedy)
			if r.OK || last.OK || !strings.Contains(last.Text+last.Remedy, c.text) || last.Remedy == "" {
				t.Errorf("%+v, want %q", r, c.text)
			}
			if strings.Contains(last.Text, "failed:") {
				t.Errorf("nobody has words for it: %s", last.Text)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			// The same is told of a connection that is to last.
			if c.name == "confirms nothing" {
				return
			}
			w.put(c.in)
			await(t, "it is told", func() bool { s := w.service.Status(); return s.Error == last.Text && s.Remedy == last.Remedy })
		})
	}
}

// brokerThatSaysNothing lets clients in and confirms subscriptions, and nothing else.
func brokerThatSaysNothing(t *testing.T) string {
	t.Helper()
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				head := make([]byte, 2)
				for {
					if _, err := io.ReadFull(c, head); err != nil {
						return
					}
					n, shift := int(head[1]&0x7f), 7
					for b := head[1:]; b[0]&0x80 != 0; shift += 7 {
						b = make([]byte, 1)
						if _, err := io.ReadFull(c, b); err != nil {
							return
						}
						n |= int(b[0]&0x7f) << shift
						head[1] = b[0]
					}
					body := make([]byte, n)
					if _, err := io.ReadFull(c, body); err != nil {
						return
					}
					switch head[0] >> 4 {
					case 1:
						_, _ = c.Write([]byte{0x20, 2, 0, 0})
					case 8:
						_, _ = c.Write([]byte{0x90, 3, body[0], body[1], 1})
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

func TestTLSAndClientCertificatesAndWebSockets(t *testing.T) {
	t.Parallel()
	ca := newAuthority("ours")
	cert, key := ca.sign("127.0.0.1", time.Now().Add(time.Hour))
	clientCert, clientKey := ca.sign("plane", time.Now().Add(time.Hour))
	files := map[string]string{"cert": cert, "key": key, "ca": ca.pem}
	const secure = "listener %PORT% 127.0.0.1\ncertfile %DIR%/cert\nkeyfile %DIR%/key\n"
	mutual := startMosquitto(t, secure+"cafile %DIR%/ca\nrequire_certificate true\nuse_identity_as_username true\n", files)
	plain := startMosquitto(t, "", nil)
	// Debian's mosquitto cannot listen for WebSockets: it stands behind a server that can.
	gate := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" && r.URL.Path != "/mqtt" {
			http.NotFound(w, r)
			return
		}
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"mqtt"}})
		if err != nil || ws.Subprotocol() != "mqtt" {
			return
		}
		ws.SetReadLimit(1 << 20)
		in := websocket.NetConn(r.Context(), ws, websocket.MessageBinary)
		out := must(net.Dial("tcp", plain.address()))
		go func() { _, _ = io.Copy(out, in); out.Close() }()
		_, _ = io.Copy(in, out)
		in.Close()
	})
	sockets, secureSockets := httptest.NewServer(gate), httptest.NewUnstartedServer(gate)
	secureSockets.TLS = &tls.Config{Certificates: []tls.Certificate{must(tls.X509KeyPair([]byte(cert), []byte(key)))}}
	secureSockets.StartTLS()
	t.Cleanup(func() { sockets.Close(); secureSockets.Close() })
	for _, c := range []struct {
		name string
		in   Input
	}{
		{"a client certificate", Input{URL: ptr("mqtts://" + mutual.address()), CA: &ca.pem, Certificate: &clientCert, Key: secret(clientKey)}},
		{"a WebSocket", Input{URL: ptr("ws://" + sockets.Listener.Addr().String() + "/mqtt")}},
		{"a WebSocket over TLS", Input{URL: ptr("wss://" + secureSockets.Listener.Addr().String() + "/mqtt"), CA: &ca.pem}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if r := w.try(c.in, nil); !r.OK {
				t.Errorf("%+v", r)
			}
			w.say("pub/fleet/state", strings.Repeat("x", topics.MaxPayload))
			w.put(c.in)
			w.up()
		})
	}
}
