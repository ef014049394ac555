package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/uplink"
	"github.com/restic-manager/restic-manager/store"
)

// A broker elsewhere: Debian's mosquitto on loopback, which lets everybody in.
func elsewhere(t *testing.T) (port string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port = strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	ln.Close()
	cmd := exec.Command("mosquitto", "-p", port) // without a file it listens on loopback alone
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	await(t, "mosquitto to listen", func() error {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
	return port
}

// Without the public broker, all of it is at the user's own, and commands are heard there.
func TestEverythingIsAtTheUsersBrokerAlone(t *testing.T) {
	port := elsewhere(t)
	p, _ := running(t, func(c *Config) {
		c.MQTT = Off
		c.Uplink = uplink.Flags{URL: "mqtt://127.0.0.1:" + port}
	})
	if at := p.MQTTAddr(); at != "" {
		t.Errorf("consumers connect at %s", at)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.HTTPAddr()+"/mqtt", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "mqtt"} {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Body.Close(); answer.StatusCode != http.StatusSeeOther { // it is a page, for whoever has signed in
		t.Errorf("a WebSocket for a broker that is off is answered with %s", answer.Status)
	}
	p.enrols(t, "attic-0001")
	external := uplink.External
	if err := p.uplink.Put(t.Context(), "anna", uplink.Input{Commands: &external}); err != nil {
		t.Fatal(err)
	}
	await(t, "commands to be heard", func() error {
		if s := p.uplink.Status(); !s.Connected || !s.Heard || s.Behind || s.Commands != external {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	heard := p.heardBy(t, exec.CommandContext(ctx, "mosquitto_sub", "-h", "127.0.0.1", "-p", port, "-t", "rm/v1/pub/#", "-v", "-q", "1"))
	await(t, "the host to be there", func() error {
		if text := heard.String(); !strings.Contains(text, "rm/v1/pub/host/attic-0001/state {") ||
			!strings.Contains(text, "rm/v1/pub/plane/availability online") {
			return errors.New(text)
		}
		return nil
	})
	out, err := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", port, "-t", "rm/v1/do/attic-0001/pause", "-m", "ON", "-q",
		"1").CombinedOutput()
	if err != nil {
		t.Fatalf("mosquitto_pub: %v: %s", err, out)
	}
	await(t, "the answer", func() error {
		if text := heard.String(); !strings.Contains(text, "rm/v1/pub/do/external {") || !strings.Contains(text, `"action":"pause"`) {
			return errors.New(text)
		}
		return nil
	})
	stop()
	entries, err := p.Store.AuditEntries(t.Context(), store.AuditFilter{}, 50)
	if err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprint(entries)
	if !strings.Contains(said, "mqtt:external") {
		t.Errorf("the audit log does not say who asked: %s", said)
	}
}
