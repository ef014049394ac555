package e2e

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// typed runs a command with a line on its standard input.
func (w *World) typed(line string, args ...string) result {
	w.t.Helper()
	cmd := exec.Command(program("restic-manager"), append(args, "--data", w.Data)...)
	cmd.Stdin = strings.NewReader(line + "\n")
	return command(w.t, cmd)
}

// signInAs signs somebody in through the form; false if the server would not.
func (w *World) signInAs(name, secret string) (*Session, bool) {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &Session{w, &http.Client{Jar: jar}}
	p := s.Submit("/login", url.Values{"name": {name}, "password": {secret}})
	return s, p.URL.Path == "/"
}

func TestTheCommandLineLetsPeopleInAndOut(t *testing.T) {
	w := NewWorld(t)
	ok := func(r result) string {
		t.Helper()
		if r.code != 0 {
			t.Fatalf("exit status %d: %s", r.code, r.errs)
		}
		return r.out
	}
	refused := func(says string, r result) {
		t.Helper()
		if r.code != 1 || !strings.Contains(r.errs, says) {
			t.Errorf("exit status %d, says %q, want 1 and a word about %q", r.code, r.errs, says)
		}
	}
	s := w.SignIn() // ada, the administrator
	ok(w.typed(passphrase, "user", "add", "bob", "--role", "operator", "--password-stdin"))
	bob, in := w.signInAs("bob", passphrase)
	if !in {
		t.Fatal("bob cannot sign in")
	}
	list := ok(w.typed("", "user", "list"))
	for _, want := range []string{"ada", "admin", "bob", "operator", "active"} {
		if !strings.Contains(list, want) {
			t.Errorf("user list does not say %q:\n%s", want, list)
		}
	}
	stream := bob.Stream("/events?view=fleet")
	stream.AwaitSomething()
	ok(w.typed("", "user", "disable", "bob"))
	stream.AwaitClosed() // in seconds: the control plane looks
	if p := bob.Page("/"); p.URL.Path != "/login" {
		t.Errorf("a disabled user is at %s", p.URL)
	}
	if _, in := w.signInAs("bob", passphrase); in {
		t.Error("a disabled user signs in")
	}
	ok(w.typed("", "user", "enable", "bob"))
	ok(w.typed("an entirely new one", "user", "passwd", "bob", "--password-stdin"))
	if _, in := w.signInAs("bob", passphrase); in {
		t.Error("the old password is still good")
	}
	if _, in := w.signInAs("bob", "an entirely new one"); !in {
		t.Error("the new password is not good")
	}
	refused("last administrator", w.typed("", "user", "disable", "ada"))
	refused("last administrator", w.typed("", "user", "role", "ada", "--role", "viewer"))
	refused("no user", w.typed("", "user", "disable", "cid"))
	refused("12 to 200", w.typed("short", "user", "passwd", "bob", "--password-stdin"))
	if p := s.Page("/users"); p.Missing("bob", "Operator", "ada", "You") {
		t.Errorf("the page says %s", p.Text)
	}

	key := w.CLI("api-token", "create", "--name", "nightly", "--role", "viewer", "--expires", "1d", "--data", w.Data)
	call := func() int { return w.request("GET", "/api/jobs", nil, "Authorization", "Bearer "+key).StatusCode }
	if code := call(); code != http.StatusOK {
		t.Errorf("a fresh token: %d", code)
	}
	id := ""
	for line := range strings.Lines(ok(w.typed("", "api-token", "list"))) {
		if f := strings.Fields(line); len(f) > 4 && f[1] == "nightly" {
			id = f[0]
			if f[4] == "never" {
				t.Errorf("it does not expire: %s", line)
			}
		}
	}
	ok(w.typed("", "api-token", "revoke", id))
	if code := call(); code != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d", code)
	}
	refused("no API token", w.typed("", "api-token", "revoke", id))

	secret := w.CLI("mqtt-user", "create", "home", "--data", w.Data)
	sub := world.Start(t, "mosquitto_sub", w.mosquitto("sub", "home", secret, "-v", "-t", "rm/v1/pub/#"))
	awaitSaid(t, sub, "pub/plane/availability", "online")
	if p := s.Page("/mqtt"); p.Missing("home", "1 connection", "Reads only") {
		t.Errorf("the page says %s", p.Text)
	}
	ok(w.typed("", "mqtt-user", "revoke", "home"))
	world.Await(t, "the consumer to be disconnected", func() error {
		if p := s.Page("/mqtt"); p.Missing("Nobody is connected") {
			return fmt.Errorf("the page says %s", p.Text)
		}
		return nil
	})
	refused("no consumer", w.typed("", "mqtt-user", "revoke", "home"))
	w.MustStopCleanly()
}

func TestPeopleTokensAndConsumersInTheBrowser(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	b.Open("/users")
	b.Inspect("users")
	b.Press("Add user")
	b.AwaitPath("/users/new")
	b.Inspect("user-new")
	b.Fill("#name", "helpdesk")
	b.Press("Add user")
	b.AwaitText("#cmd-link", "/set-password?key=")
	b.Inspect("user-added")
	link := b.Text("#cmd-link")

	b.Open("/tokens/new")
	b.Inspect("token-new")
	b.Fill("#name", "nightly")
	b.Press("Create token")
	b.AwaitText("#cmd-key", "rma_")
	b.Inspect("token-made")
	b.Open("/users")
	b.AwaitText("#tk", "API tokens")
	b.Click(`summary[aria-label="Revoke nightly…"]`)
	b.Inspect("token-revoke")
	b.Press("Revoke")
	world.Await(t, "the token to be gone", func() error {
		if text := b.Text("main"); strings.Contains(text, "nightly") {
			return fmt.Errorf("the page says %.500s", text)
		}
		return nil
	})

	b.Open("/mqtt")
	b.Inspect("mqtt-first")
	b.Open("/mqtt/new")
	b.Inspect("mqtt-new")
	b.Fill("#name", "home-assistant")
	b.Click("#do")
	b.Press("Create credential")
	b.AwaitText("main", "Shown only here")
	b.Inspect("mqtt-made")
	sub := world.Start(t, "mosquitto_sub", w.mosquitto("sub", "home-assistant", b.Text("#cmd-password"), "-v", "-t", "rm/v1/pub/#"))
	awaitSaid(t, sub, "pub/plane/availability", "online")
	b.Open("/mqtt")
	b.AwaitText("main", "1 connection")
	b.Inspect("mqtt")
	b.Click(`a[aria-label="Change home-assistant"]`)
	b.AwaitPath("/mqtt/consumers/home-assistant")
	b.Click(`summary[aria-label="Revoke home-assistant…"]`)
	b.Press("Revoke")
	b.AwaitText("main", "No consumers yet")

	b.Open("/account")
	b.Inspect("account")
	b.Press("Sign out everywhere")
	b.AwaitPath("/login")
	b.Open(strings.TrimPrefix(strings.TrimSpace(link), "http://"+w.HTTP))
	b.Inspect("set-password")
	b.Fill("#password", passphrase)
	b.Fill("#again", passphrase)
	b.Press("Set password")
	world.Await(t, "to be signed in", func() error {
		if p := b.Path(); p != "/" {
			return fmt.Errorf("at %s", p)
		}
		return nil
	})
	b.Inspect("fleet-viewer")
	b.Open("/users")
	b.Refused("/users", 403)
	b.Inspect("users-refused")
	w.MustStopCleanly()
}
