package controlplane

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/discovery"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/store"
)

func (p *Plane) assistant(t *testing.T, name string, is bool) string {
	t.Helper()
	key := password.NewKey("")
	if err := p.Store.AddMQTTUser(t.Context(), store.Maker{Name: "test"}, store.MQTTUser{Name: name, KeyHash: password.HashKey(key),
		HomeAssistant: is}); err != nil {
		t.Fatal(err)
	}
	return key
}

func (p *Plane) assists(t *testing.T, set discovery.Settings) {
	t.Helper()
	_, version, err := p.discovery.Get(t.Context())
	if err == nil {
		err = p.discovery.Put(t.Context(), "test", set, version)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// bornBy awaits that a birth of a consumer was noted at a moment or after it.
func (p *Plane) bornBy(t *testing.T, name string, since int64) {
	t.Helper()
	await(t, name+" to be born", func() error {
		s, err := p.discovery.Status(context.Background())
		for _, b := range s.Births {
			if b.Name == name && b.At >= since {
				return nil
			}
		}
		return fmt.Errorf("%+v, %w", s.Births, err)
	})
}

// Whoever is connected while Home Assistant's discovery gets another prefix hears of devices
// there, and is heard there and where a Home Assistant says unless told otherwise that it is
// there.
func TestConsumersFollowThePrefixOfDiscovery(t *testing.T) {
	p, _ := running(t)
	p.enrols(t, "attic-0001")
	home, other := p.assistant(t, "home", true), p.assistant(t, "other", false)
	heard := map[string]*buffer{}
	for name, secret := range map[string]string{"home": home, "other": other} {
		heard[name] = p.heardBy(t, p.mosquitto(t, "sub", name, secret, "-F", "%t", "-t", "rm/v1/pub/plane/#", "-t", "house/ha/#"))
		p.awaitConnected(t, name, true)
	}
	p.assists(t, discovery.Settings{Enabled: true, Prefix: "house/ha"})
	for name, out := range heard {
		await(t, name+" to hear of devices", func() error {
			if !strings.Contains(out.String(), "house/ha/device/rm_attic-0001/config") {
				return fmt.Errorf("it heard %q", out.String())
			}
			return nil
		})
	}
	say := func(name, secret, topic string) {
		t.Helper()
		cmd := p.mosquitto(t, "pub", name, secret, "-V", "mqttv5", "-q", "1", "-t", topic, "-m", "online",
			"--will-topic", topic, "--will-payload", "offline")
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s says on %s that it is there: %v, %s", name, topic, err, out)
		}
	}
	for _, topic := range []string{"house/ha/status", "homeassistant/status"} {
		since := time.Now().UnixMilli()
		say("other", other, topic)
		say("home", home, topic)
		p.bornBy(t, "home", since)
	}
	p.assists(t, discovery.Settings{Enabled: true})
	await(t, "what may be read to be as before", func() error {
		out, err := p.mosquitto(t, "sub", "other", other, "-V", "mqttv5", "-W", "1", "-t", "house/ha/#").CombinedOutput()
		if !strings.Contains(string(out), "denied") {
			return fmt.Errorf("%q, %w", out, err)
		}
		return nil
	})
	if s, err := p.discovery.Status(t.Context()); err != nil || len(s.Births) != 1 {
		t.Errorf("born were %+v, %v", s.Births, err)
	}
}

// Buttons are there for a Home Assistant that may press them.
func TestButtonsComeWithTheRight(t *testing.T) {
	p, _ := running(t)
	p.enrols(t, "attic-0001")
	p.consumer(t, "doer", true)
	p.assists(t, discovery.Settings{Enabled: true, Buttons: true})
	secret := p.assistant(t, "home", false)
	out := p.heardBy(t, p.mosquitto(t, "sub", "home", secret, "-F", "%p", "-t", "homeassistant/device/rm_attic-0001/config"))
	last := func() string {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return lines[len(lines)-1]
	}
	awaitButton := func(want bool) {
		t.Helper()
		await(t, fmt.Sprintf("a button to be there: %t", want), func() error {
			if text := last(); text == "" || strings.Contains(text, "rm/v1/do/attic-0001/backup") != want {
				return fmt.Errorf("it heard %s", text)
			}
			return nil
		})
	}
	awaitButton(true) // of a consumer that may do so, while none was said to be Home Assistant
	yes := true
	change := func(c store.MQTTUserChange) {
		t.Helper()
		if _, err := p.Store.ChangeMQTTUser(t.Context(), store.Maker{Name: "cli"}, "home", c); err != nil {
			t.Fatal(err)
		}
	}
	change(store.MQTTUserChange{HomeAssistant: &yes})
	awaitButton(false)
	change(store.MQTTUserChange{MayDo: &yes})
	awaitButton(true)
}
