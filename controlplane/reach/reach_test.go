package reach

import (
	"context"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/knock"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
)

func TestAddressesOfAgents(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		" backup.example.net ":       "backup.example.net:8883",
		"Backup.Example.net:9000":    "backup.example.net:9000",
		"192.0.2.7":                  "192.0.2.7:8883",
		"[2001:db8::1]":              "[2001:db8::1]:8883",
		"2001:db8::1":                "[2001:db8::1]:8883",
		"[2001:db8::1]:1":            "[2001:db8::1]:1",
		"127.0.0.1:8883":             "127.0.0.1:8883",
		"https://backup.example.net": "!", "0.0.0.0:8883": "!", "[::]:8883": "!", "a b:1": "!", "a:0": "!", "a:65536": "!", "a:+1": "!",
		":8883": "!", "192.168.1.300:8883": "!", "192.168.1": "!", "nas.:1": "nas.:1", "nas2:1": "nas2:1",
		"a'b:1": "!", "$(x):1": "!", "-x:1": "!", "a:1:2": "!", "a:08": "!", "fe80::1%eth0": "!", "bücher.example:1": "!", "a\n:1": "!",
	} {
		got, wrong := Clean(text)
		if (wrong != "") != (want == "!") || wrong == "" && got != want {
			t.Errorf("%q: got %q and %q, want %q", text, got, wrong, want)
		}
		if again, _ := Clean(got); again != got {
			t.Errorf("%q becomes %q, and that %q", text, got, again)
		}
	}
}

func TestWhichAddressCounts(t *testing.T) {
	ctx, s := t.Context(), storetest.Open(t, store.Open)
	of := func(in *Service) Address {
		t.Helper()
		in.Store = s
		a, err := in.Of(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := of(&Service{Listen: "127.0.0.1:9"}); a.Known || a.Dial != "127.0.0.1:9" || !strings.Contains(a.Say, "this machine alone") ||
		!strings.Contains(a.Do, "--agents-public") {
		t.Errorf("on loopback: %+v", a)
	}
	if a := of(&Service{Listen: "[::]:9"}); a.Known || a.Dial != "SERVER:9" || a.Do == "" {
		t.Errorf("anywhere: %+v", a)
	}
	if a := of(&Service{Listen: "192.0.2.1:9"}); !a.Known || a.Dial != "192.0.2.1:9" || a.Set != "" {
		t.Errorf("on an address: %+v", a)
	}
	if a := of(&Service{}); a.Known || a.Dial != "SERVER:8883" {
		t.Errorf("on the command line: %+v", a)
	}
	service := &Service{Store: s, Listen: "127.0.0.1:9"}
	if err := service.Set(ctx, "ada", "backup.example.net"); err != nil {
		t.Fatal(err)
	}
	if a := of(service); !a.Known || a.Flag || a.Dial != "backup.example.net:8883" || a.Say != "" {
		t.Errorf("set: %+v", a)
	}
	for range 2 { // the second changes nothing
		if err := s.Admission().Told(ctx, "flag.example.net:1"); err != nil {
			t.Fatal(err)
		}
	}
	if a := of(&Service{}); a.Dial != "flag.example.net:1" || !a.Flag {
		t.Errorf("on the command line beside a control plane with a flag: %+v", a)
	}
	if a := of(&Service{Listen: "127.0.0.1:9", Flag: "now.example.net:2"}); a.Dial != "now.example.net:2" || !a.Flag {
		t.Errorf("a flag of now: %+v", a)
	}
	if a := of(service); a.Dial != "backup.example.net:8883" {
		t.Errorf("started without the flag: %+v", a)
	}
	for _, alone := range []string{"127.0.0.1:9", "[::1]:9", "localhost:9", "127.1.2.3:9"} {
		if a := of(&Service{Listen: "0.0.0.0:9", Flag: alone}); !a.Known || a.Dial != alone || !strings.Contains(a.Say, "this machine alone") ||
			!strings.Contains(a.Do, "HOST:9") {
			t.Errorf("said to be on loopback: %+v", a)
		}
	}
	if err := service.Set(ctx, "ada", "0.0.0.0:1"); err == nil {
		t.Error("a listener's address was taken")
	}
}

// What was found counts for the addresses that were looked at, and a nonce that nobody sent
// is not kept.
func TestALookCountsForItsAddress(t *testing.T) {
	ctx, s := t.Context(), storetest.Open(t, store.Open)
	page := "http://127.0.0.1:1"
	service := &Service{Store: s, Listen: "127.0.0.1:1", Pages: func(context.Context) string { return page }}
	if err := service.Set(ctx, "ada", "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	found, err := service.Look(ctx)
	if err != nil || found.Agents.Verdict != knock.Unreached || found.Pages.Verdict != knock.Unreached || found.Agents.At.IsZero() {
		t.Fatalf("%+v, %v", found, err)
	}
	if again, err := service.Looked(ctx); err != nil || again != found {
		t.Errorf("%+v, %v", again, err)
	}
	page = "http://127.0.0.1:2"
	if again, err := service.Looked(ctx); err != nil || again.Pages != (Look{}) || again.Agents != found.Agents {
		t.Errorf("at another address: %+v, %v", again, err)
	}
	service.Heard("somebody's")
	if len(service.looking.known) != 0 {
		t.Errorf("kept: %v", service.looking.known)
	}
	if found, err := (&Service{Store: storetest.Open(t, store.Open), Listen: "127.0.0.1:1"}).Look(ctx); err != nil || found != (Looks{}) {
		t.Errorf("without addresses: %+v, %v", found, err)
	}
}
