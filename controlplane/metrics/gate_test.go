package metrics

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const token = "0123456789abcdef0123456789abcdef"

func tokenFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestATokenThatOthersKnowOrGuessIsToldAtTheStart(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct{ file, says, does string }{
		{none, "cannot be read: no such file", "openssl rand -hex 32 > " + none},
		{t.TempDir(), "is no file", "openssl"},
		{tokenFile(t, "", 0o600), "is empty", "openssl"},
		{tokenFile(t, "\n \n", 0o600), "is empty", "openssl"},
		{tokenFile(t, strings.Repeat("a", 5000), 0o600), "more than the 4096", "openssl"},
		{tokenFile(t, token+"\n"+token, 0o600), "more than one word", "openssl"},
		{tokenFile(t, token, 0o602), "mode 0602", "chmod 640"},
	} {
		_, err := newGate(Access{TokenFile: c.file}, slog.New(slog.DiscardHandler))
		if runtime.GOOS == "windows" && strings.Contains(c.says, "mode") {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.does) ||
			!strings.Contains(err.Error(), "--metrics-token-file "+c.file) {
			t.Errorf("%v, want that it says %q and %q", err, c.says, c.does)
		}
		if err != nil && strings.Contains(err.Error(), token) {
			t.Errorf("it tells the token: %v", err)
		}
	}
	for _, good := range []string{tokenFile(t, token+"\n", 0o600), tokenFile(t, "  "+token+"\r\n", 0o640)} {
		if _, err := newGate(Access{TokenFile: good}, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
	}
}

// Secrets are mounted into containers for everybody to read: such a token counts, and so does
// a short one. Log and notice say what is weak.
func TestAWeakTokenCountsAndIsTold(t *testing.T) {
	for file, says := range map[string]string{
		tokenFile(t, token, 0o444):     "may be used by everybody on this machine (mode 0444)",
		tokenFile(t, "short\n", 0o600): "holds 5 characters, which can be guessed",
	} {
		if runtime.GOOS == "windows" && strings.Contains(says, "mode") {
			continue
		}
		var said strings.Builder
		g, err := newGate(Access{TokenFile: file}, slog.New(slog.NewTextHandler(&said, nil)))
		if err != nil || !strings.Contains(said.String(), says) {
			t.Errorf("%v, the log says %q, want %q", err, said.String(), says)
			continue
		}
		text, _, _ := strings.Cut(string(must(os.ReadFile(file))), "\n")
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Authorization", "Bearer "+text)
		if !g.lets(r, netip.Addr{}, true) {
			t.Errorf("a token that %s is refused", says)
		}
		if told := g.notices(t.Context()); len(told) != 1 || !strings.Contains(told[0].Say, says) || strings.Contains(told[0].Say, text) {
			t.Errorf("told: %+v, want %q", told, says)
		}
	}
}

func TestWhoReadsMetrics(t *testing.T) {
	file := tokenFile(t, token+"\n", 0o600)
	nets := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	byToken, byNet, byBoth := Access{TokenFile: file}, Access{Allow: nets}, Access{TokenFile: file, Allow: nets}
	show := func(lines ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header["Authorization"] = lines }
	}
	good := show("Bearer " + token)
	for _, c := range []struct {
		is     string
		access Access
		from   string
		sure   bool
		with   func(*http.Request)
		want   bool
	}{
		{"the token", byToken, "192.0.2.1", true, good, true},
		{"the token, in small letters", byToken, "192.0.2.1", true, show("bearer " + token), true},
		{"no token", byToken, "192.0.2.1", true, nil, false},
		{"another token", byToken, "192.0.2.1", true, show("Bearer " + token[1:] + "0"), false},
		{"the beginning of the token", byToken, "192.0.2.1", true, show("Bearer " + token[:31]), false},
		{"more than the token", byToken, "192.0.2.1", true, show("Bearer " + token + "0"), false},
		{"an empty token", byToken, "192.0.2.1", true, show("Bearer "), false},
		{"the token by another scheme", byToken, "192.0.2.1", true, show("Basic " + token), false},
		{"the token without a scheme", byToken, "192.0.2.1", true, show(token), false},
		{"two tokens", byToken, "192.0.2.1", true, show("Bearer "+token, "Bearer wrong"), false},
		{"the token in the address", byToken, "192.0.2.1", true, func(r *http.Request) { r.URL.RawQuery = "token=" + token }, false},
		{"the token in the address, too", byToken, "192.0.2.1", true, func(r *http.Request) {
			good(r)
			r.URL.RawQuery = "access_token=" + token
		}, false},
		{"the token and a header of a proxy", byToken, "192.0.2.1", false, good, false},
		{"the token with POST", byToken, "192.0.2.1", true, func(r *http.Request) {
			good(r)
			r.Method = http.MethodPost
		}, false},
		{"HEAD", byToken, "192.0.2.1", true, func(r *http.Request) {
			good(r)
			r.Method = http.MethodHead
		}, true},
		{"the network", byNet, "10.1.2.3", true, nil, true},
		{"the network, over IPv6", byNet, "2001:db8::7", true, nil, true},
		{"the network and any token", byNet, "10.1.2.3", true, show("Bearer other"), true},
		{"another network", byNet, "192.0.2.1", true, nil, false},
		{"another network and a token", byNet, "192.0.2.1", true, good, false},
		{"the network, if a stranger's header is true", byNet, "10.1.2.3", false, nil, false},
		{"both", byBoth, "10.1.2.3", true, good, true},
		{"of both the token alone", byBoth, "192.0.2.1", true, good, false},
		{"of both the network alone", byBoth, "10.1.2.3", true, nil, false},
	} {
		g, err := newGate(c.access, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		if c.with != nil {
			c.with(r)
		}
		if got := g.lets(r, netip.MustParseAddr(c.from), c.sure); got != c.want {
			t.Errorf("%s: let in is %t, want %t", c.is, got, c.want)
		}
	}
}

func TestANewTokenCountsAtOnce(t *testing.T) {
	file := tokenFile(t, token, 0o600)
	var said bytes.Buffer
	g, err := newGate(Access{TokenFile: file}, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	lets := func(shown string) bool {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Authorization", "Bearer "+shown)
		return g.lets(r, netip.MustParseAddr("192.0.2.1"), true)
	}
	other := strings.ToUpper(token)
	if !lets(token) || lets(other) {
		t.Fatal("the token does not count")
	}
	if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if lets(token) || !lets(other) {
		t.Error("after a change the old token counts")
	}
	if n := g.notices(t.Context()); len(n) > 0 {
		t.Errorf("all is well, and it says %+v", n)
	}
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	if lets(other) || lets("") {
		t.Error("an empty file lets somebody in")
	}
	if n := g.notices(t.Context()); len(n) != 1 || !strings.Contains(n[0].Say, "is empty") || !strings.Contains(n[0].Remedy, "openssl") {
		t.Errorf("%+v", n)
	}
	for range 100 {
		lets("wrong")
	}
	if n := strings.Count(said.String(), "\n"); n > 5 || strings.Contains(said.String(), token) || strings.Contains(said.String(), other) {
		t.Errorf("the log has %d lines, some of them secret or too many: %s", n, &said)
	}
}
