package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/uplink"
	"github.com/restic-manager/restic-manager/topics"
)

// An elsewhere is what may be said of a broker of the user's own.
type elsewhere struct {
	URL, User, Password, CA, Certificate, Key, Prefix, Root, Commands string
	Insecure                                                          bool
}

func (e elsewhere) input() uplink.Input {
	password, key, commands := topics.Secret(e.Password), topics.Secret(e.Key), uplink.Commands(e.Commands)
	return uplink.Input{URL: &e.URL, User: &e.User, Password: &password, CA: &e.CA, Certificate: &e.Certificate, Key: &key,
		Insecure: &e.Insecure,
		Prefix:   &e.Prefix, Root: &e.Root, Commands: &commands}
}

var uplinkSettings = subject[elsewhere]{
	before: func(t *testing.T, h *house) { // none: the first attempt finds what the others find
		if err := uplinkService(h.store).Put(t.Context(), "test", elsewhere{Commands: "off"}.input()); err != nil {
			t.Fatal(err)
		}
	},
	service: func(t *testing.T, h *house, in elsewhere) error {
		return uplinkService(h.store).Put(t.Context(), "test", in.input())
	},
	doors: map[string]func(t *testing.T, h *house, in elsewhere) (bool, string){
		theAPI: func(t *testing.T, h *house, in elsewhere) (bool, string) {
			status, text := h.ask("PUT", "/api/uplink", map[string]any{"url": in.URL, "user": in.User, "password": in.Password, "ca": in.CA,
				"certificate": in.Certificate, "key": in.Key, "insecure": in.Insecure, "prefix": in.Prefix, "root": in.Root,
				"commands": in.Commands})
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(t *testing.T, h *house, in elsewhere) (bool, string) {
			args := []string{"uplink", "set", "--url=" + in.URL, "--user=" + in.User, "--prefix=" + in.Prefix, "--root=" + in.Root,
				"--commands=" + in.Commands, fmt.Sprintf("--insecure=%t", in.Insecure)}
			for flag, text := range map[string]string{"password": in.Password, "ca": in.CA, "client-cert": in.Certificate, "client-key": in.Key} {
				file := filepath.Join(t.TempDir(), flag)
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--"+flag+"-file="+file)
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) []string {
		u, err := h.store.Uplink(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return []string{fmt.Sprint(u.URL, u.Account, u.Password.Reveal(), u.CA, u.Certificate, u.Key.Reveal(), u.Insecure, u.Prefix, u.Root,
			u.Commands)}
	},
	cases: map[string]doorCase[elsewhere]{
		"over TLS":            {in: elsewhere{URL: "mqtts://broker.example.net", User: "plane", Password: "secret", Commands: "off"}},
		"here in clear":       {in: elsewhere{URL: "mqtt://127.0.0.1:1884", Prefix: "ha", Root: "site/rm", Commands: "external"}},
		"in clear on purpose": {in: elsewhere{URL: "ws://broker.example.net/mqtt", Insecure: true, Commands: "off"}},
		"in clear":            {in: elsewhere{URL: "mqtt://broker.example.net", Commands: "off"}, bad: "url"},
		"no scheme":           {in: elsewhere{URL: "broker.example.net:1883", Commands: "off"}, bad: "url"},
		"another scheme":      {in: elsewhere{URL: "https://broker.example.net", Commands: "off"}, bad: "url"},
		"a password in it":    {in: elsewhere{URL: "mqtts://a:b@broker.example.net", Commands: "off"}, bad: "url"},
		"a path":              {in: elsewhere{URL: "mqtts://broker.example.net/rm", Commands: "off"}, bad: "url"},
		"a user alone":        {in: elsewhere{User: "plane", Commands: "off"}, bad: "url"},
		"a password alone":    {in: elsewhere{URL: "mqtts://broker.example.net", Password: "secret", Commands: "off"}, bad: "user"},
		"no CA":               {in: elsewhere{URL: "mqtts://broker.example.net", CA: "what", Commands: "off"}, bad: "ca"},
		"no key":              {in: elsewhere{URL: "mqtts://broker.example.net", Certificate: "what", Commands: "off"}, bad: "key"},
		"no certificate":      {in: elsewhere{URL: "mqtts://broker.example.net", Key: "what", Commands: "off"}, bad: "certificate"},
		"a filter as root":    {in: elsewhere{URL: "mqtts://broker.example.net", Root: "rm/#", Commands: "off"}, bad: "root"},
		"a slash at the end":  {in: elsewhere{URL: "mqtts://broker.example.net", Root: "rm/", Commands: "off"}, bad: "root"},
		"the broker's own":    {in: elsewhere{URL: "mqtts://broker.example.net", Prefix: "$SYS", Commands: "off"}, bad: "prefix"},
		"one in the other": {in: elsewhere{URL: "mqtts://broker.example.net", Prefix: "rm/v1/ha", Root: "rm/v1",
			Commands: "off"}, bad: "prefix"},
		"an untested way": {in: elsewhere{URL: "mqtts://broker.example.net", Commands: "by-consumer"}, bad: "commands"},
		"no way there is": {in: elsewhere{URL: "mqtts://broker.example.net", Commands: "all"}, bad: "commands"},
	},
}
