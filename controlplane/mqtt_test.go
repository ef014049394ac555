package controlplane

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/restic-manager/restic-manager/topics"
)

func TestWhereConsumersMayBeServed(t *testing.T) {
	for _, c := range []struct {
		why  string
		c    Config
		want string // of the refusal, "" for none
	}{
		{"off", Config{MQTT: Off}, ""},
		{"none", Config{}, ""},
		{"loopback", Config{MQTT: "127.0.0.1:1883"}, ""},
		{"loopback by name", Config{MQTT: "localhost:1883"}, ""},
		{"everywhere, in clear", Config{MQTT: "0.0.0.0:1883"}, "passwords in clear"},
		{"every address", Config{MQTT: ":1883"}, "passwords in clear"},
		{"IPv6", Config{MQTT: "[::]:1883"}, "passwords in clear"},
		{"a name", Config{MQTT: "backup.example:1883"}, "passwords in clear"},
		{"everywhere with the pages' certificate", Config{MQTT: ":8883", TLSCert: "c", TLSKey: "k"}, ""},
		{"everywhere with its own", Config{MQTT: ":8883", MQTTCert: "c", MQTTKey: "k"}, ""},
		{"everywhere, as somebody wants it", Config{MQTT: ":1883", MQTTInsecure: true}, ""},
		{"a certificate without a key", Config{MQTT: "127.0.0.1:1883", MQTTCert: "c"}, "belong together"},
		{"a key without a certificate", Config{MQTT: "127.0.0.1:1883", MQTTKey: "k"}, "belong together"},
		{"both", Config{MQTT: ":1883", MQTTCert: "c", MQTTKey: "k", MQTTInsecure: true}, "one of the two"},
		{"no address", Config{MQTT: "1883"}, "HOST:PORT"},
		{"a site", Config{MQTT: "127.0.0.1:1883", MQTTOrigins: []string{"https://panel.example:8443"}}, ""},
		{"no site", Config{MQTT: "127.0.0.1:1883", MQTTOrigins: []string{"*"}}, "--mqtt-origin"},
		{"a page of a site", Config{MQTT: "127.0.0.1:1883", MQTTOrigins: []string{"https://panel.example/"}}, "--mqtt-origin"},
	} {
		err := c.c.checkMQTT()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.why, err, c.want)
		}
	}
}

// subscribes runs mosquitto_sub with a credential and answers with what it says.
func (p *Plane) subscribes(t *testing.T, secret string, args ...string) string {
	t.Helper()
	args = append([]string{"-t", "rm/v1/pub/plane/availability", "-C", "1", "-W", "30"}, args...)
	out, _ := p.mosquitto(t, "sub", "home", secret, args...).CombinedOutput()
	return string(out)
}

func TestConsumersOverTLS(t *testing.T) {
	if _, err := exec.LookPath("mosquitto_sub"); err != nil {
		t.Fatal(err)
	}
	cert, key, _ := selfSigned(t, t.TempDir(), 1)
	own, ownKey, _ := selfSigned(t, t.TempDir(), 2)
	for _, c := range []struct {
		why    string
		change func(*Config)
		ca     string // "" is in clear
	}{
		{"its own certificate", func(c *Config) { c.MQTTCert, c.MQTTKey, c.TLSCert, c.TLSKey = own, ownKey, cert, key }, own},
		{"that of the pages", func(c *Config) { c.TLSCert, c.TLSKey, c.MQTT = cert, key, "0.0.0.0:0" }, cert},
		{"loopback, whatever the pages have", func(c *Config) { c.TLSCert, c.TLSKey = cert, key }, ""},
		{"in clear, as somebody wants it", func(c *Config) { c.MQTT, c.MQTTInsecure = "0.0.0.0:0", true }, ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			p, _ := running(t, c.change)
			secret := p.consumer(t, "home", false)
			var args []string
			if c.ca != "" {
				args = []string{"--cafile", c.ca, "-h", "127.0.0.1"}
				if out := p.subscribes(t, secret, "-W", "3"); strings.Contains(out, topics.Online) {
					t.Errorf("in clear it hears %q", out)
				}
			}
			if out := p.subscribes(t, secret, args...); !strings.Contains(out, topics.Online) {
				t.Errorf("it hears %q", out)
			}
			told := false
			for _, n := range p.notices.Now(t.Context(), true) {
				told = told || n.ID == "mqtt-in-clear"
			}
			if want := c.why == "in clear, as somebody wants it"; told != want {
				t.Errorf("a notice says that it is in clear: %t", told)
			}
		})
	}
}

// overSocket connects as browsers and Home Assistant do over WebSocket.
func overSocket(t *testing.T, url, secret string, conf *tls.Config, headers http.Header) (paho.Client, error) {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetTLSConfig(conf).SetClientID("socket").SetUsername("home").
		SetPassword(secret).SetAutoReconnect(false).SetConnectTimeout(30 * time.Second).SetHTTPHeaders(headers))
	token := c.Connect()
	if !token.WaitTimeout(time.Minute) {
		t.Fatal("no answer")
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c, token.Error()
}

func TestMQTTOverWebSocket(t *testing.T) {
	cert, key, pool := selfSigned(t, t.TempDir(), 1)
	for name, change := range map[string]func(*Config){
		"ws":  func(*Config) {},
		"wss": func(c *Config) { c.TLSCert, c.TLSKey, c.HTTP = cert, key, "0.0.0.0:0" },
	} {
		t.Run(name, func(t *testing.T) {
			p, log := running(t, change)
			secret := p.consumer(t, "home", true)
			address := "127.0.0.1" + p.HTTPAddr()[strings.LastIndex(p.HTTPAddr(), ":"):]
			url := name + "://" + address + "/mqtt"
			conf := &tls.Config{RootCAs: pool}
			if _, err := overSocket(t, url, "guess", conf, nil); err == nil {
				t.Error("a wrong password is let in")
			}
			c, err := overSocket(t, url, secret, conf, http.Header{"Cookie": {"restic-manager=x"}})
			if err != nil {
				t.Fatal(err)
			}
			heard := make(chan string, 100)
			if token := c.Subscribe("rm/v1/pub/#", 1, func(_ paho.Client, m paho.Message) {
				heard <- m.Topic() + " " +
					string(m.Payload())
			}); !token.WaitTimeout(time.Minute) {
				t.Fatal("no SUBACK")
			}
			for {
				select {
				case m := <-heard:
					if m != "rm/v1/pub/plane/availability online" {
						continue
					}
				case <-time.After(time.Minute):
					t.Fatal("it does not hear that the control plane is there")
				}
				break
			}
			all := p.consumers.Connections()
			if len(all) != 1 || all[0].Transport != "WebSocket" || !strings.HasPrefix(all[0].Remote, "127.0.0.1:") {
				t.Errorf("connected is %+v", all)
			}
			if s := p.pages.Stats(); s.Proven != 0 {
				t.Errorf("it has a place among the pages' connections, too: %+v", s)
			}
			p.disconnect("home")
			await(t, "it to be cut off", func() error {
				if c.IsConnectionOpen() {
					return fmt.Errorf("it is connected; %s", log)
				}
				return nil
			})
		})
	}
}

// What comes to the pages in clear from elsewhere has no password taken from it, and no
// page of another site may use one.
func TestWhoMayOpenAWebSocket(t *testing.T) {
	for _, c := range []struct {
		why     string
		change  func(*Config)
		headers http.Header
		mqtt    string // the subprotocol
		status  int
	}{
		{"a program", nil, nil, "mqtt", 101},
		{"our own page", nil, http.Header{"Origin": {"http://HOST"}}, "mqtt", 101},
		{"another site's page", nil, http.Header{"Origin": {"https://evil.example"}}, "mqtt", 403},
		{"a page of no site", nil, http.Header{"Origin": {"null"}}, "mqtt", 403},
		{"a site in the list", func(c *Config) { c.MQTTOrigins = []string{"https://panel.example"} },
			http.Header{"Origin": {"https://panel.example"}}, "mqtt", 101},
		{"a site that is like one", func(c *Config) { c.MQTTOrigins = []string{"https://panel.example"} },
			http.Header{"Origin": {"https://panel.example.evil.example"}}, "mqtt", 403},
		{"MQTT 3.1", nil, nil, "mqttv3.1", 422},
		{"something else is the page", nil, nil, "chat", 303},
		{"no subprotocol is the page", nil, nil, "", 303},
		{"pages in clear for everybody", func(c *Config) { c.HTTP = "0.0.0.0:0" }, nil, "mqtt", 403},
		{"and consumers, too", func(c *Config) { c.HTTP, c.MQTTInsecure = "0.0.0.0:0", true }, nil, "mqtt", 101},
		{"a proxy with TLS", func(c *Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} },
			http.Header{"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Proto": {"https"}}, "mqtt", 101},
		{"a proxy without", func(c *Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} },
			http.Header{"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Proto": {"http"}}, "mqtt", 403},
	} {
		t.Run(c.why, func(t *testing.T) {
			p, _ := running(t, func(cfg *Config) {
				if c.change != nil {
					c.change(cfg)
				}
			})
			address := "127.0.0.1" + p.HTTPAddr()[strings.LastIndex(p.HTTPAddr(), ":"):]
			headers := c.headers.Clone()
			if headers.Get("Origin") == "http://HOST" {
				headers.Set("Origin", "http://"+address)
			}
			o := &websocket.DialOptions{HTTPHeader: headers, HTTPClient: &http.Client{
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
			if c.mqtt != "" {
				o.Subprotocols = []string{c.mqtt}
			}
			conn, r, err := websocket.Dial(t.Context(), "ws://"+address+"/mqtt", o)
			if conn != nil {
				defer conn.CloseNow()
				if got := conn.Subprotocol(); got != "mqtt" {
					t.Errorf("the subprotocol is %q", got)
				}
			}
			if r == nil || r.StatusCode != c.status {
				t.Errorf("answered %v, %v; want %d", r, err, c.status)
			}
		})
	}
}

// A reverse proxy that does not know of WebSockets takes the header Upgrade away. Whoever looks why
// gets an answer that says so, instead of the page to sign in.
func TestAProxyThatDropsTheUpgradeIsNamed(t *testing.T) {
	p, _ := running(t)
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+p.HTTPAddr()+"/mqtt", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-WebSocket-Protocol", "mqtt")
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 422 || !strings.Contains(string(text), "proxy_set_header Upgrade") {
		t.Errorf("answered %d, %v: %s", answer.StatusCode, err, text)
	}
}

// A WebSocket that says nothing, or too much, is closed as a connection to the broker
// itself is, and one that stays silent after its CONNECT is not cut by the web server.
func TestAWebSocketHasTheBrokersDeadlines(t *testing.T) {
	p, _ := running(t)
	url := "ws://" + p.HTTPAddr() + "/mqtt"
	for what, says := range map[string][]byte{
		"nothing":        nil,
		"no CONNECT":     []byte("GET / HTTP/1.1\r\n\r\n"),
		"half of it":     {0x10, 40, 0, 4, 'M', 'Q'},
		"an endless one": make([]byte, 1<<20),
	} {
		c, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
		if err != nil {
			t.Fatal(err)
		}
		if says != nil {
			_ = c.Write(t.Context(), websocket.MessageBinary, says)
		}
		if _, _, err := c.Read(t.Context()); err == nil {
			t.Errorf("%s: answered", what)
		}
		_ = c.CloseNow()
	}
	await(t, "nobody to be left", func() error {
		if s := p.consumers.Stats(); s.Connected+s.Waiting > 0 || s.Refused < 4 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}
