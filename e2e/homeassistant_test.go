package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/homeassistant"
	"github.com/restic-manager/restic-manager/e2e/world"
)

// A broker of Debian's, with an account for the control plane and one for Home Assistant.
type mosquitto struct {
	t       *testing.T
	address string
	config  string
	process *world.Process
}

func newMosquitto(t *testing.T) *mosquitto {
	t.Helper()
	dir := t.TempDir()
	m := &mosquitto{t: t, address: world.FreeAddress(t), config: filepath.Join(dir, "mosquitto.conf")}
	port := m.address[strings.LastIndex(m.address, ":")+1:]
	passwords := filepath.Join(dir, "passwords")
	for i, user := range []string{"plane", "home"} {
		args := []string{"-b", passwords, user, "secret of " + user}
		if i == 0 {
			args = append([]string{"-c"}, args...)
		}
		if r := command(t, exec.Command("mosquitto_passwd", args...)); r.code != 0 {
			t.Fatal(r.errs)
		}
	}
	text := "listener " + port + " 127.0.0.1\nallow_anonymous false\npassword_file " + passwords + "\npersistence false\nuser root\n" +
		"max_queued_messages 0\n"
	if err := os.WriteFile(m.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
	return m
}

func (m *mosquitto) start() {
	m.t.Helper()
	m.process = world.Start(m.t, "mosquitto", exec.Command("mosquitto", "-c", m.config))
}

// A household is a world with a Home Assistant.
type household struct {
	*World
	home  *homeassistant.Home
	hosts map[string]*Agent // in care, by ID
}

type shownHost struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Status     string `json:"status"`
	Connection string `json:"connection"`
}

// picture awaits that Home Assistant shows what the API says, and nothing else, and that
// nothing it was told was wrong.
func (h *household) picture(after string) {
	h.t.Helper()
	world.Await(h.t, "after "+after+" Home Assistant to show what the API says", func() error {
		var hosts []shownHost
		h.API("GET", "/api/hosts", nil, http.StatusOK, &hosts)
		var repositories []struct {
			ID     string `json:"id"`
			Name   string `json:"name"`
			Health string `json:"health"`
		}
		h.API("GET", "/api/repositories", nil, http.StatusOK, &repositories)
		want, got := map[string]string{}, h.home.Devices()
		for _, one := range hosts {
			if one.Status == "retired" {
				continue
			}
			want["rm_"+one.ID] = one.Name
			is := h.home.Of("rm_" + one.ID)
			connected := map[string]string{"online": "on", "offline": "off"}[one.Connection]
			if one.Connection == "online" && is["status"] != one.Status || connected != "" && is["connectivity"] != connected {
				return fmt.Errorf("%s is %s and %s, and shows %v", one.Name, one.Status, one.Connection, is)
			}
		}
		for _, one := range repositories {
			want["rm_"+one.ID] = one.Name
			if is := h.home.Of("rm_" + one.ID); is["health"] != one.Health {
				return fmt.Errorf("%s is %s, and shows %v", one.Name, one.Health, is)
			}
		}
		for id, name := range got {
			if name == "Backups" {
				want[id] = name
				if n := h.home.Of(id)["hosts"]; n != fmt.Sprint(len(hosts)) {
					return fmt.Errorf("there are %d hosts, and it shows %s", len(hosts), n)
				}
			}
		}
		if len(got) > 0 && len(got) == len(want) && !slices.Contains(slices.Collect(maps.Values(got)), "Backups") {
			return errors.New("the device of all is missing")
		}
		if !reflect.DeepEqual(got, want) {
			return fmt.Errorf("there are the devices %v, want %v", got, want)
		}
		return nil
	})
	if wrong := h.home.Wrong(); len(wrong) > 0 {
		h.t.Fatalf("after %s:\n%s", after, strings.Join(wrong, "\n"))
	}
}

// neverOffline insists that nobody was told that a host is offline.
func (h *household) neverOffline(after string) {
	h.t.Helper()
	for _, topic := range h.home.Offline() {
		if strings.Contains(topic, "/pub/host/") {
			h.t.Errorf("after %s it was told that %s says offline", after, topic)
		}
	}
}

// What Home Assistant shows is what there is, whatever becomes of hosts, the control plane,
// the broker and Home Assistant itself.
func TestHomeAssistantShowsWhatThereIs(t *testing.T) {
	for _, road := range []string{"the public broker", "a broker of one's own"} {
		t.Run(road, func(t *testing.T) { testHomeAssistant(t, road == "a broker of one's own") })
	}
}

func testHomeAssistant(t *testing.T, uplink bool) {
	w := NewWorld(t)
	h := &household{World: w, hosts: map[string]*Agent{}}
	secret := w.CLI("mqtt-user", "create", "home", "--do", "--home-assistant", "--data", w.Data)
	h.home = &homeassistant.Home{Broker: "tcp://" + w.MQTT, User: "home", Password: secret}
	var own *mosquitto
	root := "rm/v1"
	if uplink {
		own = newMosquitto(t)
		root = "house/backups"
		w.API("PUT", "/api/uplink", map[string]any{"url": "mqtt://" + own.address, "user": "plane", "password": "secret of plane",
			"root": root, "commands": "external"}, http.StatusOK, nil)
		h.home.Broker, h.home.User, h.home.Password = "tcp://"+own.address, "home", "secret of home"
	}
	if err := h.home.Start(); err != nil {
		t.Fatal(err)
	}
	attic := w.StartAgent("attic")
	attic.Write("letters/1.txt", "dear reader")
	attic.Group("letters")
	w.API("PUT", "/api/home-assistant", map[string]any{"enabled": true}, http.StatusOK, nil)
	h.picture("it was switched on")
	ids := h.home.IDs("rm_" + attic.ID)
	if ids["status"] != "sensor.backup_attic_status" || ids["backup"] != "button.backup_attic_backup" {
		t.Errorf("its entities are %v", ids)
	}

	awaitState := func(key, want string) {
		t.Helper()
		world.Await(t, key+" to be "+want, func() error {
			if is := h.home.Of("rm_" + attic.ID); is[key] != want {
				return fmt.Errorf("it shows %v, and wrong is %v", is, h.home.Wrong())
			}
			return nil
		})
	}
	press := func(f func() error) {
		t.Helper()
		world.Await(t, "a command to be sent", f)
	}
	press(func() error { return h.home.Press(ids["backup"]) })
	awaitState("snapshots", "1")
	world.Await(t, "the last good backup to be a moment", func() error {
		_, err := time.Parse(time.RFC3339, h.home.Of("rm_" + attic.ID)["last_good_backup"])
		return err
	})

	press(func() error { return h.home.Switch(ids["pause"], true) })
	awaitState("pause", "on")
	press(func() error { return h.home.Switch(ids["pause"], false) })
	awaitState("pause", "off")

	h.picture("a backup and a pause")
	h.neverOffline("a backup and a pause")

	cellar := w.StartAgent("cellar")
	h.picture("a host was enrolled")
	h.home.Offline() // as it was until its agent came
	w.API("PATCH", "/api/hosts/"+attic.ID, map[string]any{"name": `loft "{{ x }}" 🦊`}, http.StatusOK, nil)
	h.picture("a host got another name")
	if now := h.home.IDs("rm_" + attic.ID); !reflect.DeepEqual(now, ids) {
		t.Errorf("its entities are now %v, and were %v", now, ids)
	}
	w.API("PATCH", "/api/hosts/"+attic.ID, map[string]any{"name": "attic"}, http.StatusOK, nil)
	h.picture("it got its name back")

	h.home.Stop()
	h.neverOffline("Home Assistant was stopped")
	h.home.Lose()
	if err := h.home.Start(); err != nil {
		t.Fatal(err)
	}
	h.picture("Home Assistant was set up anew")
	before := h.home.Found()
	world.Await(t, "all of it to be said again", func() error {
		if n := h.home.Found(); n < before+len(h.home.Devices()) {
			return fmt.Errorf("%d messages", n)
		}
		return nil
	})
	h.picture("all of it was said again")
	if now := h.home.IDs("rm_" + attic.ID); !reflect.DeepEqual(now, ids) {
		t.Errorf("its entities are now %v, and were %v", now, ids)
	}

	w.plane.MustStop(time.Minute)
	if uplink {
		world.Await(t, "Home Assistant to hear that the control plane is gone", func() error {
			if is := h.home.Picture()["binary_sensor.backups_connectivity"]; is != "off" {
				return errors.New(is)
			}
			return nil
		})
		h.neverOffline("the control plane was stopped")
	}
	w.StartPlane()
	h.picture("the control plane was started again")
	w.KillPlane()
	w.StartPlane()
	h.picture("the control plane was killed")
	if own != nil {
		own.process.Kill9()
		own.start()
		h.picture("the broker lost all that it had")
	}
	h.neverOffline("restarts")

	h.home.Stop() // its birth stays where it usually is
	w.API("PUT", "/api/home-assistant", map[string]any{"prefix": "house/ha"}, http.StatusOK, nil)
	h.home.Prefix = "house/ha"
	if err := h.home.Start(); err != nil {
		t.Fatal(err)
	}
	h.picture("discovery got another prefix")

	cellar.MustStop()
	h.picture("an agent was stopped")
	ofCellar := h.home.IDs("rm_" + cellar.ID)
	retire := func(retired bool) {
		t.Helper()
		w.API("PATCH", "/api/hosts/"+cellar.ID, map[string]any{"retired": retired}, http.StatusOK, nil)
		h.picture(fmt.Sprintf("retired was %t", retired))
	}
	retire(true)
	if now := h.home.IDs("rm_" + cellar.ID); len(now) > 0 {
		t.Errorf("of a host that is retired there is %v", now)
	}
	retire(false)
	if now := h.home.IDs("rm_" + cellar.ID); len(now) == 0 || !reflect.DeepEqual(now, ofCellar) {
		t.Errorf("its entities are now %v, and were %v", now, ofCellar)
	}
	retire(true)
	w.API("DELETE", "/api/hosts/"+cellar.ID, nil, http.StatusNoContent, nil)
	h.picture("a host was removed")

	w.API("PUT", "/api/home-assistant", map[string]any{"buttons": false}, http.StatusOK, nil)
	world.Await(t, "the buttons to go", func() error {
		if is := h.home.Of("rm_" + attic.ID); is["backup"] != "" || is["pause"] != "" {
			return fmt.Errorf("it shows %v", is)
		}
		return nil
	})
	h.picture("the buttons went")
	w.API("PUT", "/api/home-assistant", map[string]any{"enabled": false}, http.StatusOK, nil)
	world.Await(t, "all devices to go", func() error {
		if left := h.home.Devices(); len(left) > 0 {
			return fmt.Errorf("%v is left", left)
		}
		return nil
	})
	if wrong := h.home.Wrong(); len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"))
	}
	h.home.Stop()
	w.MustStopCleanly()
}
