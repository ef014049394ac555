package main

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/reach"
)

// An agentsAddress is what agents dial.
type agentsAddress struct{ Address string }

var agentsAddresses = subject[agentsAddress]{
	service: func(t *testing.T, h *house, in agentsAddress) error {
		return (&reach.Service{Store: h.store}).Set(t.Context(), "test", in.Address)
	},
	doors: map[string]func(t *testing.T, h *house, in agentsAddress) (bool, string){
		theForm: func(_ *testing.T, h *house, in agentsAddress) (bool, string) {
			status, text := h.ask("POST", "/settings/agents-public", url.Values{"agents_public": {in.Address}})
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in agentsAddress) (bool, string) {
			status, text := h.ask("PUT", "/api/agents-public", map[string]any{"address": in.Address})
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in agentsAddress) (bool, string) {
			text, code := h.tell("agents-public", in.Address)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) []string {
		was, err := h.store.Admission().Address(t.Context())
		if err == nil {
			err = h.store.Admission().SetAddress(t.Context(), "test", "")
		}
		if err != nil {
			t.Fatal(err)
		}
		return []string{was.Address}
	},
	cases: map[string]doorCase[agentsAddress]{
		"a name":           {in: agentsAddress{"backups.example.net"}},
		"with a port":      {in: agentsAddress{"192.0.2.7:9883"}},
		"none":             {in: agentsAddress{""}},
		"an URL":           {in: agentsAddress{"https://backups.example.net"}, bad: "agents_public"},
		"where it listens": {in: agentsAddress{"0.0.0.0:8883"}, bad: "agents_public"},
		"a line break":     {in: agentsAddress{"example.net\na:1"}, bad: "agents_public"},
		"no port":          {in: agentsAddress{"example.net:x"}, bad: "agents_public"},
	},
}
