package web

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
)

// What programs outside rely on: the words of these documents, what may be left out, and what
// is never told.
func TestHowABrokerOfOnesOwnIsSetByTheAPI(t *testing.T) {
	w := newWorld(t)
	admin := w.program(store.Admin)
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	url := "mqtt://" + l.Addr().String()
	if err := l.Close(); err != nil { // nobody listens there
		t.Fatal(err)
	}
	r := admin.do("POST", "/api/uplink/test", nil)
	if r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(r.text, "which broker") {
		t.Errorf("a test of nothing: %s %s", r.Status, r.text)
	}
	var set struct {
		URL, User, CA, Certificate, Prefix, Root, Commands string
		Has                                                bool `json:"has_password"`
	}
	r = admin.do("PUT", "/api/uplink", map[string]any{"url": url, "user": "plane", "password": "what nobody is told", "ca": "",
		"certificate": "", "key": "", "prefix": "ha", "root": "site/rm", "commands": "external"})
	if r.json(t, &set); r.StatusCode != http.StatusOK || set.URL != url || set.User != "plane" || set.Prefix != "ha" ||
		set.Root != "site/rm" || set.Commands != "external" || !set.Has {
		t.Errorf("it was set: %s %s", r.Status, r.text)
	}
	for _, body := range []any{nil, map[string]any{}, map[string]any{"root": "other"}} {
		var found struct {
			OK    bool
			Steps []struct{ Name, Text, Remedy string }
		}
		r := admin.do("POST", "/api/uplink/test", body)
		if r.json(t, &found); r.StatusCode != http.StatusOK || found.OK || len(found.Steps) != 1 || found.Steps[0].Name != "connect" ||
			found.Steps[0].Remedy == "" || strings.Contains(r.text, "what nobody is told") {
			t.Errorf("a test with %v: %s %s", body, r.Status, r.text)
		}
	}
	if r := admin.do("PUT", "/api/uplink", map[string]any{"commands": "off"}); !strings.Contains(r.text, `"has_password":true`) {
		t.Errorf("what was left out did not stay: %s", r.text)
	}
	r = admin.do("GET", "/api/uplink", nil)
	if strings.Contains(r.text, "what nobody is told") || !strings.Contains(r.text, `"root":"site/rm"`) {
		t.Errorf("it is told as %s", r.text)
	}
	if r := admin.do("PUT", "/api/uplink", map[string]any{"url": "mqtt://localhost:1"}); !strings.Contains(r.text, `"has_password":false`) {
		t.Errorf("another host is given the password: %s", r.text)
	}
}

func TestWhatHomeAssistantIsToldIsSetByTheAPI(t *testing.T) {
	w := newWorld(t)
	admin := w.program(store.Admin)
	w.enrol("attic")
	type settings struct {
		Enabled, Buttons bool
		Prefix           string
		Tags             []string
		Devices          int
	}
	is := func(r answer, want settings) {
		t.Helper()
		var got settings
		if r.json(t, &got); r.StatusCode != http.StatusOK || got.Enabled != want.Enabled || got.Buttons != want.Buttons ||
			got.Prefix != want.Prefix || strings.Join(got.Tags, " ") != strings.Join(want.Tags, " ") || got.Devices != want.Devices ||
			got.Tags == nil {
			t.Errorf("%s %s, want %+v", r.Status, r.text, want)
		}
	}
	is(admin.do("GET", "/api/home-assistant", nil), settings{Buttons: true, Prefix: "homeassistant", Devices: 2})
	is(admin.do("PUT", "/api/home-assistant", map[string]any{"enabled": true, "prefix": "ha", "tags": []string{"web"}, "buttons": false}),
		settings{Enabled: true, Prefix: "ha", Tags: []string{"web"}, Devices: 1})
	is(admin.do("PUT", "/api/home-assistant", map[string]any{"tags": []string{}}), settings{Enabled: true, Prefix: "ha", Devices: 2})
	is(admin.do("PUT", "/api/home-assistant", map[string]any{"prefix": ""}), settings{Enabled: true, Prefix: "homeassistant", Devices: 2})
	is(admin.do("PUT", "/api/home-assistant", map[string]any{"enabled": false}), settings{Prefix: "homeassistant", Devices: 2})
	for _, bad := range []map[string]any{{"prefix": "a/"}, {"prefix": "+"}, {"prefix": "rm/v1"}, {"tags": []string{"not a tag!"}},
		{"enable": true}, {"enabled": "yes"}} {
		if r := admin.do("PUT", "/api/home-assistant", bad); r.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%v: %s %s", bad, r.Status, r.text)
		}
	}
	for _, role := range []store.Role{store.Viewer, store.Operator} {
		if r := w.program(role).do("GET", "/api/home-assistant", nil); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", role, r.Status)
		}
	}
}
