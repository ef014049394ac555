package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/discovery"
	"github.com/restic-manager/restic-manager/store/discoveries"
)

// A homeAssistant is what may be said of what Home Assistant is told.
type homeAssistant struct {
	Enabled, Buttons bool
	Prefix           string
	Tags             []string
}

var homeAssistants = subject[homeAssistant]{
	service: func(t *testing.T, h *house, in homeAssistant) error {
		_, version, err := discoveryOf(h.store).Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return discoveryOf(h.store).Put(t.Context(), "test",
			discovery.Settings{Enabled: in.Enabled, Prefix: in.Prefix, Tags: in.Tags, Buttons: in.Buttons}, version)
	},
	doors: map[string]func(t *testing.T, h *house, in homeAssistant) (bool, string){
		theAPI: func(t *testing.T, h *house, in homeAssistant) (bool, string) {
			status, text := h.ask("PUT", "/api/home-assistant", map[string]any{"enabled": in.Enabled, "prefix": in.Prefix,
				"tags": append([]string{}, in.Tags...), "buttons": in.Buttons})
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(t *testing.T, h *house, in homeAssistant) (bool, string) {
			args := []string{"home-assistant", "set", "--prefix=" + in.Prefix, fmt.Sprintf("--on=%t", in.Enabled),
				fmt.Sprintf("--buttons=%t", in.Buttons)}
			for _, tag := range append([]string{""}, in.Tags...) {
				args = append(args, "--tag="+tag)
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) []string {
		set, err := h.store.HomeAssistant(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.store.PutHomeAssistant(t.Context(), "test", discoveries.Settings{Version: set.Version}); err != nil {
			t.Fatal(err)
		}
		return []string{fmt.Sprint(set.Enabled, set.Prefix, set.Tags, set.Buttons)}
	},
	cases: map[string]doorCase[homeAssistant]{
		"all hosts":         {in: homeAssistant{Enabled: true, Buttons: true}},
		"two tags":          {in: homeAssistant{Enabled: true, Prefix: "homeassistant", Tags: []string{"web", "site=berlin"}}},
		"another prefix":    {in: homeAssistant{Prefix: "house/discovery-2"}},
		"off":               {in: homeAssistant{}},
		"a wildcard":        {in: homeAssistant{Prefix: "home/#"}, bad: "prefix"},
		"an empty level":    {in: homeAssistant{Prefix: "home//x"}, bad: "prefix"},
		"a broker's own":    {in: homeAssistant{Prefix: "$SYS"}, bad: "prefix"},
		"our own":           {in: homeAssistant{Prefix: "rm/v1"}, bad: "prefix"},
		"too long a prefix": {in: homeAssistant{Prefix: strings.Repeat("x", 101)}, bad: "prefix"},
		"an escape":         {in: homeAssistant{Prefix: "x\x1by"}, bad: "prefix"},
		"not a tag":         {in: homeAssistant{Tags: []string{"-web"}}, bad: "tags"},
		"a tag with a hash": {in: homeAssistant{Tags: []string{"web#"}}, bad: "tags"},
	},
}

// What somebody saved from what is there no more is refused.
func TestHomeAssistantIsNotSetFromWhatIsOld(t *testing.T) {
	h := newHouse(t)
	service := discoveryOf(h.store)
	if err := service.Put(t.Context(), "anna", discovery.Settings{Enabled: true}, 0); err != nil {
		t.Fatal(err)
	}
	if err := service.Put(t.Context(), "ben", discovery.Settings{}, 0); !errors.Is(err, discoveries.ErrMoved) {
		t.Errorf("it is taken: %v", err)
	}
	if status, text := h.ask("PUT", "/api/home-assistant", map[string]any{"enabled": false, "version": 7}); status != http.StatusConflict {
		t.Errorf("the API takes it: %d %s", status, text)
	}
	if status, text := h.ask("GET", "/api/home-assistant", nil); status != http.StatusOK || !strings.Contains(text, `"devices":3`) {
		t.Errorf("it is told of a host, a repository and all together: %d %s", status, text)
	}
	if text, code := h.tell("home-assistant", "show"); code != 0 || !strings.Contains(text, "3 devices with") {
		t.Errorf("the command line shows %q", text)
	}
}
