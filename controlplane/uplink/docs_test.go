package uplink

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// example is a block of docs/UPLINK.md.
func example(t *testing.T, language string) string {
	t.Helper()
	text := string(must(os.ReadFile("../../docs/UPLINK.md")))
	_, block, is := strings.Cut(text, "\n```"+language+"\n")
	block, _, ends := strings.Cut(block, "\n```\n")
	if !is || !ends {
		t.Fatalf("docs/UPLINK.md has no example in %s", language)
	}
	return block + "\n"
}

// What docs/UPLINK.md says of mosquitto lets us do everything, and consumers nothing else.
func TestTheDocumentedRulesOfMosquitto(t *testing.T) {
	t.Parallel()
	ca := newAuthority("ours")
	cert, key := ca.sign("127.0.0.1", time.Now().Add(time.Hour))
	config := strings.NewReplacer("listener 8883", "listener %PORT% 127.0.0.1", "/etc/mosquitto/certs/", "%DIR%/",
		"/etc/mosquitto/", "%DIR%/").
		Replace(example(t, "mosquitto"))
	m := startMosquitto(t, config, map[string]string{"server.crt": cert, "server.key": key, "acl": example(t, "mosquitto-acl"),
		"passwords": "restic-manager:secret\nhomeassistant:second\n", "ca.pem": ca.pem})
	w := newWorld(t)
	in := Input{URL: ptr("mqtts://" + m.address()), User: ptr("restic-manager"), Password: secret("secret"), CA: &ca.pem,
		Commands: ptr(ByConsumer)}
	r := w.try(in, &Account{"homeassistant", "second"})
	if !r.OK || !r.Proven {
		t.Fatalf("%+v", r)
	}
	for _, s := range r.Steps {
		// Our own user writes no commands there, so whether it hears them shows with the consumer's.
		if !s.OK && s.Name != "commands" {
			t.Errorf("%+v", s)
		}
	}
	w.say("pub/fleet/state", "one host")
	w.put(in)
	w.up()
	as := []string{"-u", "homeassistant", "-P", "second", "--cafile", filepath.Join(m.dir, "ca.pem")}
	m.say("rm/v1/pub/fleet/state", "forged", append(as, "-r")...)
	if got := m.retained("rm/v1/pub/fleet/state", as...); len(got) != 1 || got[0] != "rm/v1/pub/fleet/state one host" {
		t.Errorf("a consumer reads %q", got)
	}
}

// The same of NATS, Debian's.
func TestTheDocumentedRulesOfNATS(t *testing.T) {
	t.Parallel()
	ca, dir := newAuthority("ours"), t.TempDir()
	cert, key := ca.sign("127.0.0.1", time.Now().Add(time.Hour))
	for name, text := range map[string]string{"server.crt": cert, "server.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port := freePort()
	config := strings.NewReplacer(`"0.0.0.0", port: 8883`, fmt.Sprintf(`"127.0.0.1", port: %d`, port), "/etc/nats/", dir+"/",
		"/var/lib/nats", dir+"/store").Replace(example(t, "nats")) + "host: 127.0.0.1\nport: -1\n"
	file := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, out := exec.Command("nats-server", "-c", file), &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("nats-server said:\n%s", out)
		}
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	await(t, "NATS listens", func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	w := newWorld(t)
	in := Input{URL: ptr("mqtts://" + address), User: ptr("restic-manager"), Password: secret("secret"), CA: &ca.pem,
		Commands: ptr(ByConsumer)}
	r := w.try(in, &Account{"homeassistant", "second"})
	if !r.OK || !r.Proven {
		t.Fatalf("%+v", r)
	}
	w.say("pub/fleet/state", "one host", "/homeassistant/device/rm_fleet/config", "{}")
	w.put(in)
	w.up()
	w.put(Input{Root: ptr("site/rm"), Commands: ptr(Off)}) // that its rules do not allow
	await(t, "it is noticed that NATS drops what is not allowed", func() bool {
		s := w.service.Status()
		return s.Connected && !s.Heard && len(s.Warnings) > 0
	})
}
