package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
)

// A buffer is what somebody writes while we read.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// await waits for a condition, and says why it did not come.
func await(t *testing.T, what string, cond func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		if err = cond(); err == nil {
			return
		}
	}
	t.Fatalf("waited for %s: %v", what, err)
}

// running is a whole control plane at work, and what it logs.
func running(t *testing.T, change ...func(*Config)) (*Plane, *buffer) {
	t.Helper()
	log := &buffer{}
	c := Config{Data: filepath.Join(t.TempDir(), "data"), HTTP: "127.0.0.1:0", Agents: "127.0.0.1:0", MQTT: "127.0.0.1:0",
		Log: slog.New(slog.NewTextHandler(log, nil)), Timing: DefaultTiming(), Logs: DefaultLogs(), Limits: protocol.DefaultLimits()}
	c.Timing.Consumer = 20 * time.Millisecond
	for _, f := range change {
		f(&c)
	}
	storetest.Make(t, c.Data, store.Open)
	p, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, log
}

// consumer makes a credential, as the command line does.
func (p *Plane) consumer(t *testing.T, name string, mayDo bool) string {
	t.Helper()
	key := password.NewKey("")
	row := store.MQTTUser{Name: name, KeyHash: password.HashKey(key), MayDo: mayDo}
	if err := p.Store.AddMQTTUser(t.Context(), store.Maker{Name: "test"}, row); err != nil {
		t.Fatal(err)
	}
	return key
}

func (p *Plane) mosquitto(t *testing.T, program, user, secret string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("mosquitto_" + program)
	if err != nil {
		t.Fatalf("%v; make test installs mosquitto's clients, elsewhere they come with your package manager", err)
	}
	host, port, err := net.SplitHostPort(p.MQTTAddr())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, path, append([]string{"-h", host, "-p", port, "-u", user, "-P", secret, "-i", user + "-" + program},
		args...)...)
}

// listens starts a subscriber that stays, and waits until it hears something.
func (p *Plane) listens(t *testing.T, user, secret string) {
	t.Helper()
	cmd := p.mosquitto(t, "sub", user, secret, "-v", "-t", "rm/v1/pub/#")
	out := &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	await(t, user+" to hear something", func() error {
		if !strings.Contains(out.String(), "availability online") {
			return fmt.Errorf("it heard %q", out.String())
		}
		return nil
	})
}

func (p *Plane) awaitConnected(t *testing.T, name string, want bool) {
	t.Helper()
	await(t, fmt.Sprintf("%s to be connected: %t", name, want), func() error {
		if got := p.connectedAs(name); got != want {
			return fmt.Errorf("it is %t", got)
		}
		return nil
	})
}

var subscribed = regexp.MustCompile(`Subscribed \(mid: 1\): [01]\b`)

// What pages show and what consumers are told is of one board: it is kept once, and
// they never differ.
func TestPagesAndTopicsReadOneBoard(t *testing.T) {
	p, _ := running(t)
	if p.Web.Fleet != p.fleet || p.publisher.Fleet != p.fleet {
		t.Error("somebody has a board of their own")
	}
}

func TestAConsumerReadsAndWritesWhatItMayAndEachRefusalIsLogged(t *testing.T) {
	p, log := running(t)
	reader, doer := p.consumer(t, "reader", false), p.consumer(t, "doer", true)
	for _, version := range []string{"mqttv311", "mqttv5"} {
		for filter, want := range map[string]bool{
			"rm/v1/pub/#":                   true,
			"rm/v1/pub/plane/availability":  true,
			"homeassistant/#":               true,
			"homeassistant/sensor/+/config": true,
			"#":                             false,
			"+/#":                           false,
			"rm/#":                          false,
			"rm/v1/#":                       false,
			"rm/v1/+/plane/availability":    false,
			"rm/v1/agent/#":                 false,
			"rm/v1/ctl/#":                   false,
			"rm/v1/do/#":                    false,
			"$SYS/#":                        false,
			"$SYS/broker/version":           false,
			"$share/x/rm/v1/pub/#":          false,
			"homeassistant":                 true,
			"homeassistant2/#":              false,
			"+/sensor/#":                    false,
		} {
			before := strings.Count(log.String(), "refused: outside the client's rights")
			out, _ := p.mosquitto(t, "sub", "doer", doer, "-V", version, "-d", "-t", filter, "-W", "50", "-E").CombinedOutput()
			granted := subscribed.Match(out)
			if granted != want {
				t.Errorf("%s, %s: granted is %t, want %t: %s", version, filter, granted, want, out)
			}
			if logged := strings.Count(log.String(), "refused: outside the client's rights") > before; logged == want {
				t.Errorf("%s, %s: the refusal is logged: %t", version, filter, logged)
			}
		}
	}
	for _, c := range []struct {
		user, secret, topic string
		may                 bool
	}{
		{"doer", doer, "rm/v1/do/host-00001/backup", true},
		{"reader", reader, "rm/v1/do/host-00001/backup", false},
		{"doer", doer, "rm/v1/pub/plane/availability", false},
		{"doer", doer, "rm/v1/ctl/host-00001/welcome", false},
		{"doer", doer, "rm/v1/agent/host-00001/event", false},
		{"doer", doer, "homeassistant/sensor/x/config", false},
		{"doer", doer, "homeassistant/status", true}, // and nobody hears it
		{"reader", reader, "homeassistant/status", true},
	} {
		before := strings.Count(log.String(), `what=publish`)
		out, err := p.mosquitto(t, "pub", c.user, c.secret, "-q", "1", "-t", c.topic, "-m", "x").CombinedOutput()
		if (err == nil) != c.may {
			t.Errorf("%s publishes to %s: %v %s", c.user, c.topic, err, out)
		}
		if logged := strings.Count(log.String(), `what=publish`) > before; logged == c.may {
			t.Errorf("%s publishes to %s: the refusal is logged: %t", c.user, c.topic, logged)
		}
	}
	if !strings.Contains(log.String(), "name=reader") {
		t.Error("the log does not say whose attempt it was")
	}
}

func TestARevokedConsumerIsGoneAtOnce(t *testing.T) {
	p, _ := running(t, func(c *Config) { c.Timing.Consumer = time.Hour }) // nobody looks by himself
	secret := p.consumer(t, "home", false)
	other := p.consumer(t, "other", false)
	p.listens(t, "home", secret)
	p.listens(t, "other", other)
	began := p.consumers.Connections()[0].Since
	if _, err := p.Store.ChangeMQTTUser(t.Context(), store.Maker{Name: "test"}, "home", store.MQTTUserChange{MayDo: new(true)}); err != nil {
		t.Fatal(err)
	}
	p.disconnect("home")
	await(t, "it to come back with its new rights", func() error {
		for _, c := range p.consumers.Connections() {
			if c.Name == "home" && c.Since.After(began) {
				return nil
			}
		}
		return fmt.Errorf("connected are %v", p.consumers.Connections())
	})
	if err := p.Store.RemoveMQTTUser(t.Context(), "test", "home"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	p.disconnect("home")
	p.awaitConnected(t, "home", false)
	t.Logf("a revoked consumer is gone after %v", time.Since(start).Round(time.Millisecond))
	if out, err := p.mosquitto(t, "pub", "home", secret, "-q", "1", "-t", "rm/v1/do/x/backup", "-m", "x").CombinedOutput(); err == nil {
		t.Errorf("it comes back: %s", out)
	}
	p.awaitConnected(t, "other", true)
}

func TestWhatAnotherProcessRevokesEndsConnectionsToo(t *testing.T) {
	p, log := running(t)
	for what, change := range map[string]func(name string) error{
		"revoked": func(name string) error { return p.Store.RemoveMQTTUser(t.Context(), "cli", name) },
		"a new password": func(name string) error {
			change := store.MQTTUserChange{KeyHash: []byte("other"), MayDo: new(false)}
			_, err := p.Store.ChangeMQTTUser(t.Context(), store.Maker{Name: "cli"}, name, change)
			return err
		},
	} {
		name := strings.ReplaceAll(what, " ", "-")
		p.listens(t, name, p.consumer(t, name, false))
		if err := change(name); err != nil {
			t.Fatal(err)
		}
		p.awaitConnected(t, name, false)
	}
	secret := p.consumer(t, "same", false)
	p.listens(t, "same", secret)
	if err := p.recheckConsumers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "consumer=same connections") {
		t.Error("one whose rights did not change was disconnected")
	}
}
