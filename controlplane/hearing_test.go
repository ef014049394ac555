package controlplane

import (
	"crypto/sha256"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/discovery"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// enrols has a host there, with tags; its agent never comes.
func (p *Plane) enrols(t *testing.T, id topics.HostID, tags ...string) {
	t.Helper()
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(id))
	if err := p.Store.AddEnrollToken(t.Context(), store.EnrollToken{ID: "token-" + string(id), KeyHash: hash[:], CreatedBy: "test",
		ExpiresAt: time.Now().Add(time.Hour).UnixMilli()}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Store.Enroll(t.Context(), hash[:], store.Host{ID: id, SealKey: key.Public(), Hostname: string(id)}); err != nil {
		t.Fatal(err)
	}
	p.tags(t, id, tags...)
}

func (p *Plane) tags(t *testing.T, id topics.HostID, tags ...string) {
	t.Helper()
	if _, err := (&hosts.Settings{Store: p.Store}).Put(t.Context(), "test", id, hosts.Input{Tags: &tags}); err != nil {
		t.Fatal(err)
	}
}

func (p *Plane) tagged(t *testing.T, name string, mayDo bool, tags ...string) string {
	t.Helper()
	key := password.NewKey("")
	if err := p.Store.AddMQTTUser(t.Context(), store.Maker{Name: "test"}, store.MQTTUser{Name: name, KeyHash: password.HashKey(key),
		MayDo: mayDo, Tags: tags}); err != nil {
		t.Fatal(err)
	}
	return key
}

// heardBy starts a subscriber that stays, and returns what it has heard.
func (p *Plane) heardBy(t *testing.T, cmd *exec.Cmd) *buffer {
	t.Helper()
	out := &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return out
}

func TestAConsumerOfTagsHearsOfItsHostsAlone(t *testing.T) {
	p, _ := running(t)
	const ours, theirs = topics.HostID("attic-0001"), topics.HostID("cellar-001")
	p.enrols(t, ours, "home")
	p.enrols(t, theirs, "office")
	for _, version := range []string{"mqttv311", "mqttv5"} {
		for _, qos := range []string{"0", "1", "2"} {
			name := "tagged-" + version + "-" + qos
			secret := p.tagged(t, name, true, "home", "nobody")
			p.tags(t, theirs, "office")
			out := p.heardBy(t, p.mosquitto(t, "sub", name, secret, "-V", version, "-q", qos, "-F", "%t %p", "-t", "rm/v1/pub/#",
				"-t", "homeassistant/#"))
			await(t, name+" to hear of its host", func() error {
				if !strings.Contains(out.String(), "rm/v1/pub/host/"+string(ours)+"/state {") {
					return fmt.Errorf("it heard %q", out.String())
				}
				return nil
			})
			began := time.Now()
			p.tags(t, theirs, "office", "home")
			await(t, name+" to hear of a host that it gained", func() error {
				if !strings.Contains(out.String(), "rm/v1/pub/host/"+string(theirs)+"/state {") {
					return fmt.Errorf("it heard %q", out.String())
				}
				return nil
			})
			gained := time.Since(began)
			began = time.Now()
			p.tags(t, theirs, "office")
			await(t, name+" to hear that it lost it", func() error {
				if !strings.Contains(out.String(), "rm/v1/pub/host/"+string(theirs)+"/state \n") {
					return fmt.Errorf("it heard %q", out.String())
				}
				return nil
			})
			t.Logf("%s: gained after %v, lost after %v", name, gained.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
			if heard := out.String(); strings.Contains(heard, "pub/fleet") || strings.Contains(heard, "pub/repository") ||
				!strings.Contains(heard, "rm/v1/pub/plane/availability online") {
				t.Errorf("%s hears %q", name, heard)
			}
			if n := len(p.consumers.Connections()); n == 0 {
				t.Errorf("%s was disconnected", name)
			}
		}
	}
}

// A consumer's own tags are what it is let in with: changed, it comes back with those.
func TestAConsumerWhoseTagsChangeHearsOfOthers(t *testing.T) {
	p, _ := running(t)
	const ours, theirs = topics.HostID("attic-0001"), topics.HostID("cellar-001")
	p.enrols(t, ours, "home")
	p.enrols(t, theirs, "office")
	secret := p.tagged(t, "some", false, "home")
	out := p.heardBy(t, p.mosquitto(t, "sub", "some", secret, "-F", "%t %p", "-t", "rm/v1/pub/#"))
	of := func(host topics.HostID) func() error {
		return func() error {
			if !strings.Contains(out.String(), "rm/v1/pub/host/"+string(host)+"/state {") {
				return fmt.Errorf("it heard %q", out.String())
			}
			return nil
		}
	}
	await(t, "it to hear of its host", of(ours))
	if of(theirs)() == nil {
		t.Fatal("it hears of another host")
	}
	if _, err := p.Store.ChangeMQTTUser(t.Context(), store.Maker{Name: "cli"}, "some",
		store.MQTTUserChange{Tags: &[]string{"office"}}); err != nil {
		t.Fatal(err)
	}
	await(t, "it to hear of the other host", of(theirs))
}

// The acknowledgement, the answer and the audit log say the same of a command.
func TestACommandIsAnswered(t *testing.T) {
	p, _ := running(t)
	const ours, theirs = topics.HostID("attic-0001"), topics.HostID("cellar-001")
	p.enrols(t, ours, "home")
	p.enrols(t, theirs, "office")
	secrets := map[string]string{"doer": p.tagged(t, "doer", true), "some": p.tagged(t, "some", true, "home"),
		"reader": p.tagged(t, "reader", false)}
	heard := map[string]*buffer{}
	for name, secret := range secrets {
		cmd := p.mosquitto(t, "sub", name, secret, "-v", "-t", "rm/v1/pub/do/#", "-t", "rm/v1/pub/plane/availability")
		heard[name] = p.heardBy(t, cmd)
		await(t, name+" to listen", func() error {
			if !strings.Contains(heard[name].String(), "online") {
				return fmt.Errorf("it heard %q", heard[name].String())
			}
			return nil
		})
	}
	paused := func(host topics.HostID) bool {
		h, err := p.Store.Host(t.Context(), host)
		if err != nil {
			t.Fatal(err)
		}
		_, is := h.Paused(time.Now().UnixMilli())
		return is
	}
	for i, c := range []struct {
		who, topic, payload string
		retained            bool
		code                string // what mosquitto_pub says of the reason code, "" for success
		cause               string
	}{
		{"doer", "do/attic-0001/pause", "ON", false, "", ""},
		{"doer", "do/attic-0001/resume", "", false, "", ""},
		{"some", "do/attic-0001/pause", `{"until":"2001-01-01T00:00:00Z"}`, false, "Payload format invalid", "bad-payload"},
		{"some", "do/cellar-001/pause", "ON", false, "Not authorized", "no-host"},
		{"doer", "do/nowhere-01/pause", "ON", false, "topic name invalid", "no-host"},
		{"doer", "do/attic-0001/restore", "", false, "topic name invalid", "no-topic"},
		{"doer", "do/attic-0001/pause", "ON", true, "Not authorized", "retained"},
		{"reader", "do/attic-0001/cancel", "", false, "Not authorized", "not-allowed"},
	} {
		args := []string{"-V", "mqttv5", "-q", "1", "-t", "rm/v1/" + c.topic, "-m", c.payload}
		if c.retained {
			args = append(args, "-r")
		}
		out, _ := p.mosquitto(t, "pub", c.who, secrets[c.who], args...).CombinedOutput()
		if said := strings.TrimSpace(string(out)); c.code == "" && said != "" || !strings.Contains(said, c.code) {
			t.Errorf("%d: %s %s: the acknowledgement says %q, want %q", i, c.who, c.topic, said, c.code)
		}
		want := fmt.Sprintf(`"ok":%t`, c.cause == "")
		if c.cause != "" {
			want += `,"cause":"` + c.cause + `"`
		}
		await(t, "the answer to "+c.topic, func() error {
			if got := heard[c.who].String(); !strings.Contains(got, "rm/v1/pub/do/"+c.who+" {") || !strings.Contains(got, want) {
				return fmt.Errorf("%s heard %q, not %s", c.who, got, want)
			}
			return nil
		})
		if c.cause == "" {
			continue
		}
		await(t, "the entry of "+c.topic, func() error {
			entries, err := p.Store.AuditEntries(t.Context(), store.AuditFilter{}, 20)
			for _, e := range entries {
				if e.Action == "do.refused" && e.Actor == "mqtt:"+c.who && strings.Contains(e.Detail, ": "+c.cause+": ") {
					return nil
				}
			}
			return fmt.Errorf("there is none: %w", err)
		})
	}
	if paused(ours) || paused(theirs) {
		t.Error("a host is paused all the same")
	}
	for name, b := range heard {
		for other := range secrets {
			if other != name && strings.Contains(b.String(), "pub/do/"+other+" ") {
				t.Errorf("%s hears the answers to %s", name, other)
			}
		}
	}
}

// What a consumer of tags hears of alerts and of Home Assistant's devices is what is about its
// hosts, at the QoS that it has asked for; a changed tag takes effect within a second.
func TestAConsumerOfTagsHearsOfAlertsAndDevicesOfItsHosts(t *testing.T) {
	p, _ := running(t, func(c *Config) { c.Timing.Consumer = DefaultTiming().Consumer })
	const ours, theirs = topics.HostID("attic-0001"), topics.HostID("cellar-001")
	p.enrols(t, ours, "home")
	p.enrols(t, theirs, "office")
	if err := p.discovery.Put(t.Context(), "test", discovery.Settings{Enabled: true, Prefix: "homeassistant", Buttons: true}, 0); err != nil {
		t.Fatal(err)
	}
	for _, host := range []topics.HostID{ours, theirs} { // both have a full disk, of which there is an alert each
		at := topics.Session{Epoch: 1, N: 1}
		p.presence.Born(host, at)
		p.presence.Greeted(host, at)
		p.presence.Disk(host, &topics.Disk{Free: 1, Total: 100 << 30}, 0)
	}
	alertOf := func(host topics.HostID) (id topics.AlertID) {
		await(t, "an alert of "+string(host), func() error {
			live, err := p.alerts.Live(t.Context())
			for _, a := range live {
				if a.Host == host && a.Condition == string(conditions.HostDisk) {
					id = topics.AlertID(a.ID)
					return err
				}
			}
			return fmt.Errorf("there are %v: %w", live, err)
		})
		return id
	}
	ourAlert, theirAlert := alertOf(ours), alertOf(theirs)
	names := func(host topics.HostID, alert topics.AlertID) []string {
		return []string{"rm/v1/pub/host/" + string(host) + "/state", "rm/v1/pub/host/" + string(host) + "/availability",
			"rm/v1/pub/alert/" + string(alert), "homeassistant/device/rm_" + string(host) + "/config"}
	}
	all := p.heardBy(t, p.mosquitto(t, "sub", "all", p.tagged(t, "all", false), "-q", "1", "-F", "%t %q %r %p", "-t", "rm/v1/pub/#",
		"-t", "homeassistant/#"))
	for _, topic := range append(names(ours, ourAlert), names(theirs, theirAlert)...) {
		await(t, "one without tags to hear of "+topic, func() error {
			if !strings.Contains(all.String(), topic+" 1 1 ") && !strings.Contains(all.String(), topic+" 1 0 ") {
				return fmt.Errorf("it heard %.2000q", all.String())
			}
			return nil
		})
	}
	out := p.heardBy(t, p.mosquitto(t, "sub", "some", p.tagged(t, "some", false, "home"), "-q", "1", "-F", "%t %q %r %p",
		"-t", "rm/v1/pub/#", "-t", "homeassistant/#"))
	has := func(topic, flags string, cleared bool) bool {
		for line := range strings.Lines(out.String()) {
			if rest, is := strings.CutPrefix(line, topic+" "+flags+" "); is && (rest == "\n") == cleared {
				return true
			}
		}
		return false
	}
	hears := func(what string, list []string, flags string, cleared bool) time.Duration {
		t.Helper()
		began := time.Now()
		for _, topic := range list {
			await(t, what+": "+topic, func() error {
				if !has(topic, flags, cleared) {
					return fmt.Errorf("it heard %.2000q", out.String())
				}
				return nil
			})
		}
		return time.Since(began)
	}
	hears("it comes", names(ours, ourAlert), "1 1", false)
	for _, other := range []string{string(theirs), string(theirAlert), "pub/fleet/", "pub/repository/", "rm_fleet", "rm_plane"} {
		if strings.Contains(out.String(), other) {
			t.Errorf("it hears of %s: %.2000q", other, out.String())
		}
	}
	p.tags(t, theirs, "home")
	gained := hears("it gains a host", names(theirs, theirAlert), "1 1", false)
	p.tags(t, theirs, "office")
	lost := hears("it loses a host", names(theirs, theirAlert), "1 0", true)
	t.Logf("gained within %v, lost within %v", gained.Round(time.Millisecond), lost.Round(time.Millisecond))
	if gained > 2*time.Second || lost > 2*time.Second { // a second, and what a busy machine adds
		t.Errorf("a changed tag takes effect after %v and %v", gained, lost)
	}
}

// What changes is said within a second after it, in the order in which it changed.
func TestAChangeIsSaidWithinASecond(t *testing.T) {
	p, _ := running(t)
	const host = topics.HostID("attic-0001")
	p.enrols(t, host)
	heard := make(chan string, 1000)
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.MQTTAddr()).SetClientID("quick").SetUsername("quick").
		SetPassword(p.consumer(t, "quick", false)).SetOrderMatters(true))
	if k := c.Connect(); !k.WaitTimeout(time.Minute) || k.Error() != nil {
		t.Fatal(k.Error())
	}
	defer c.Disconnect(0)
	topic := topics.Topic{Kind: topics.KindHostState, Host: host}.String()
	if k := c.Subscribe(topic, 1, func(_ mqtt.Client, m mqtt.Message) { heard <- string(m.Payload()) }); !k.WaitTimeout(time.Minute) ||
		k.Error() != nil {
		t.Fatal(k.Error())
	}
	<-heard
	for what, change := range map[string]func(i int) (part string){
		"a name": func(i int) string {
			name := fmt.Sprintf("attic %d", i)
			settings := hosts.Settings{Store: p.Store, Changed: func(...topics.HostID) { p.publisher.Changed(host) }}
			if _, err := settings.Put(t.Context(), "test", host, hosts.Input{Name: &name}); err != nil {
				t.Fatal(err)
			}
			return `"name":"` + name + `"`
		},
		"a pause, by another process": func(i int) string {
			until := time.Now().Add(time.Duration(i+1) * time.Hour)
			if _, err := p.Store.PauseHost(t.Context(), "cli", host, time.Now().UnixMilli(), until.UnixMilli()); err != nil {
				t.Fatal(err)
			}
			return `"paused_until":"` + until.UTC().Format(time.RFC3339)
		},
	} {
		took := make([]time.Duration, 9)
		for i := range took { // each right after the one before was said
			began, part := time.Now(), change(i)
			for !strings.Contains(<-heard, part) {
			}
			took[i] = time.Since(began)
		}
		slices.Sort(took)
		t.Logf("%s is said after %v", what, took)
		if took[len(took)/2] > time.Second { // the middle one: a busy machine may hold up some
			t.Errorf("%s is said after %v", what, took)
		}
	}
}
