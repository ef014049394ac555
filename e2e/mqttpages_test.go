package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// ownBroker starts Debian's mosquitto on a port of its own, and returns its address.
func ownBroker(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(address, ":")
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(file, []byte("listener "+port+" 127.0.0.1\nallow_anonymous true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto"
	}
	p := exec.Command(path, "-c", file)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	world.Await(t, "mosquitto to listen", func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	return address
}

// wallboard is a script that speaks MQTT 3.1.1 over a WebSocket: it says what is retained about
// hosts.
const wallboard = `new Promise((done) => {
	const text = (s) => { const b = [...new TextEncoder().encode(s)]; return [b.length >> 8, b.length & 255, ...b] };
	const packet = (type, ...body) => new Uint8Array([type, body.length, ...body]);
	const socket = new WebSocket(location.origin.replace("http", "ws") + "/mqtt", "mqtt");
	let all = "";
	socket.binaryType = "arraybuffer";
	socket.onopen = () => {
		socket.send(packet(0x10, ...text("MQTT"), 4, 0xc2, 0, 60, ...text("hall"), ...text("wallboard"), ...text(%q)));
		socket.send(packet(0x82, 0, 1, ...text("rm/v1/pub/host/+/state"), 0));
	};
	socket.onmessage = (m) => {
		all += new TextDecoder().decode(m.data);
		if (all.includes("restic_version")) { socket.close(); done(all) }
	};
	socket.onclose = (e) => done(all + " closed with " + e.code);
})`

// TestMQTTPage goes through the page as somebody does who looks what is published, and
// then has it published at a broker of their own.
func TestMQTTPage(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	b.Open("/mqtt")
	b.AwaitText("main", "No consumers yet")
	b.AwaitText("#topic-tree", "fleet/state")
	b.AwaitText("#mqtt-uplink", "Connect your broker")
	b.AwaitText("#mqtt-assistant", "Switch on")
	b.Inspect("mqtt-first")

	attic := w.StartAgent("attic")
	attic.Write("letters/1.txt", "dear reader")
	attic.GroupToBegin("letters")
	w.AwaitState(attic.Backup("letters"), "succeeded")
	b.AwaitText("#topic-messages", "/host/"+attic.ID+"/state") // it came by itself
	b.AwaitText("#mqtt-clients", "attic")
	b.AwaitText("#mqtt-brokers", "Agents")

	// A topic is found by the keyboard, its value is shown, and goes on to be.
	state := "rm/v1/pub/host/" + attic.ID + "/state"
	b.Open("/mqtt")
	b.TabTo("the only host", `e.matches("#topic-tree [data-unfold]") && e.innerText.includes("attic")`)
	b.Keys(kb.Enter)
	b.AwaitText("#topic-tree ul ul", "update") // it has only this host's topics
	b.TabTo("its state", `e.matches("#topic-tree [data-topic]") && e.innerText.trim() === "state"`)
	b.Keys(kb.Enter)
	b.AwaitText("#topic-value", `"status": "unscheduled"`)
	b.AwaitText("#topic-value", "mosquitto_sub -h 127.0.0.1 -p")
	if got := Eval[string](b, `new URL(location.href).searchParams.get("topic")`); got != state {
		t.Errorf("the address names the topic %q", got)
	}
	b.AwaitText(`#topic-tree [aria-current="true"]`, "state")
	w.API("PATCH", "/api/hosts/"+attic.ID, map[string]any{"name": "loft"}, http.StatusOK, nil)
	b.AwaitText("#topic-value", `"name": "loft"`)
	b.Inspect("mqtt")

	// A page of this server speaks MQTT with a consumer's password.
	var made struct{ Password string }
	w.API("POST", "/api/consumers", map[string]any{"name": "wallboard"}, http.StatusCreated, &made)
	if got := Eval[string](b, fmt.Sprintf(wallboard, made.Password)); !strings.Contains(got, `"name":"loft"`) {
		t.Errorf("a wallboard in the browser gets %q", got)
	}

	// A filter narrows what goes by, and one that is wrong says why.
	b.Fill("[name=filter]", "rm/v1/pub/host/+/availability")
	b.AwaitText("#topic", "host/+/availability")
	world.Await(t, "only what matches to be listed", func() error {
		if n := Eval[int](b, `[...document.querySelectorAll("#topic-messages .msg > .mono")]
			.filter((e) => !e.innerText.endsWith("/availability")).length`); n > 0 {
			return fmt.Errorf("%d others are", n)
		}
		return nil
	})
	b.Fill("[name=filter]", "rm/#/state")
	b.Refused("/mqtt?filter=rm%2F%23%2Fstate", 422)
	b.AwaitText("#filter-err", "# stands alone")
	b.Inspect("mqtt-wrong-filter")
	b.Open("/mqtt")
	b.Click("[data-pause]")
	before := Eval[int](b, `document.querySelectorAll("#topic-messages .msg").length`)
	w.API("PATCH", "/api/hosts/"+attic.ID, map[string]any{"name": "attic"}, http.StatusOK, nil)
	b.AwaitText("[data-paused]", "gone by since")
	if now := Eval[int](b, `document.querySelectorAll("#topic-messages .msg").length`); now != before {
		t.Errorf("%d messages are shown, and then %d although it is paused", before, now)
	}

	// A broker of one's own.
	address := ownBroker(t)
	b.Open("/mqtt/uplink")
	b.Inspect("uplink")
	b.Fill("#url", "mqtt://127.0.0.1:1")
	b.Press("Test")
	b.AwaitText("#uplink-result", "It does not work yet")
	b.Fill("#url", "http://nowhere")
	b.Press("Save")
	b.Refused("/mqtt/uplink", 422)
	b.AwaitText("#url-err", "It begins with mqtts://")
	b.Open("/mqtt/uplink")
	b.set("#url", "mqtt://"+address)
	b.set("#root", "a/#") // in what is folded away
	b.Press("Save")
	b.Refused("/mqtt/uplink", 422)
	b.AwaitText("#root-err", "Without + and #")
	if !Eval[bool](b, `document.querySelector("#root-err").checkVisibility()`) {
		t.Error("what is wrong is folded away")
	}
	b.Inspect("uplink-wrong")
	b.set("#root", "rm/v1")
	b.Press("Test")
	b.AwaitText("#uplink-result", "It works")
	b.Inspect("uplink-tested")
	b.Press("Save")
	b.AwaitPath("/mqtt")
	b.AwaitText("#mqtt-uplink", "Connected")
	b.AwaitText("#mqtt-uplink", address)

	// Home Assistant: how many devices it makes is told before it does.
	b.Open("/mqtt/home-assistant")
	b.AwaitText("#assistant-preview", "Nothing is published")
	b.Click("#enabled")
	b.AwaitText("#assistant-preview", "This will make 3 devices")
	b.Fill("#prefix", "a/#")
	b.AwaitText("#assistant-preview", "once this is right")
	b.Inspect("home-assistant")
	b.Fill("#prefix", "homeassistant")
	b.AwaitText("#assistant-preview", "This will make 3 devices")
	b.Press("Save")
	b.AwaitText("#mqtt-assistant", "On")
	b.Open("/mqtt?filter=homeassistant/%23&open=homeassistant")
	b.AwaitText("#topic-messages", "homeassistant/device/")
	b.Inspect("mqtt-all")
	b.Open("/mqtt/clients?kind=agents")
	b.AwaitText("table", "attic")
	b.Inspect("mqtt-clients")

	// Whoever may only look sees neither credentials nor who is connected, and changes nothing.
	if r := w.typed(passphrase, "user", "add", "eve", "--role", "viewer", "--password-stdin"); r.code != 0 {
		t.Fatal(r.errs)
	}
	eve, in := w.signInAs("eve", passphrase)
	if !in {
		t.Fatal("eve cannot sign in")
	}
	p := eve.Page("/mqtt")
	if p.Missing("Topic explorer", "Your own broker") {
		t.Errorf("a viewer's page says %s", p.Text)
	}
	for _, secret := range []string{address, "Consumer credentials", "New credential", "Change or test", "MQTT clients"} {
		if strings.Contains(p.Text, secret) {
			t.Errorf("a viewer's page says %q", secret)
		}
	}
	for _, path := range []string{"/mqtt/uplink", "/mqtt/home-assistant", "/mqtt/clients", "/mqtt/new"} {
		if p := eve.Page(path); p.Status != 403 {
			t.Errorf("a viewer is answered %d at %s", p.Status, path)
		}
	}
}
