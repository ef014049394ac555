package web

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/web/api"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// known adds somebody with the passphrase.
func (w *world) known(name string, role store.Role) store.User {
	w.t.Helper()
	u := store.User{ID: topics.NewID(time.Now()), Name: name, Role: role, PasswordHash: hashed()}
	if err := w.store.AddUser(w.t.Context(), "test", u); err != nil {
		w.t.Fatal(err)
	}
	return u
}

// as is a browser that a user signed in with, by a link.
func (w *world) as(u store.User) *client {
	w.t.Helper()
	c := w.nobody()
	if r := c.do("GET", must(w.web.SignInLink(w.t.Context(), u.ID)), nil); r.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("sign in: %s", r.Status)
	}
	return c
}

func (c *client) signedIn() bool { return c.do("GET", "/account", nil).StatusCode == http.StatusOK }

var linkOnPage = regexp.MustCompile(`/set-password\?key=rmp_[A-Z0-9]+`)

func TestSomebodyIsAddedAndChoosesTheirPassword(t *testing.T) {
	w := newWorld(t)
	admin := w.as(w.known("ada", store.Admin))
	for what, f := range map[string]struct {
		form   url.Values
		status int
	}{
		"no name":          {url.Values{"name": {""}, "role": {"viewer"}}, 422},
		"the audit's name": {url.Values{"name": {"api:x"}, "role": {"viewer"}}, 422},
		"no such role":     {url.Values{"name": {"bob"}, "role": {"king"}}, 422},
		"nobody's name":    {url.Values{"name": {"Nobody"}, "role": {"viewer"}}, 422},
		"taken, nearly":    {url.Values{"name": {"aDA"}, "role": {"viewer"}}, 409},
		"taken":            {url.Values{"name": {"ada"}, "role": {"viewer"}}, 409},
	} {
		if r := admin.do("POST", "/users/new", f.form); r.StatusCode != f.status {
			t.Errorf("%s: %s", what, r.Status)
		}
	}
	r := admin.do("POST", "/users/new", url.Values{"name": {"bob"}, "role": {"operator"}})
	link := linkOnPage.FindString(r.text)
	if r.StatusCode != 200 || link == "" {
		t.Fatalf("add bob: %s\n%s", r.Status, r.text)
	}
	if again := admin.do("GET", "/users", nil).text; linkOnPage.MatchString(again) || !strings.Contains(again, "No password yet") {
		t.Error("the link is shown again, or bob is not said to have no password yet")
	}
	if r := w.nobody().do("POST", "/login", url.Values{"name": {"bob"}, "password": {passphrase}}); r.StatusCode != 422 {
		t.Errorf("sign in without a password: %s", r.Status)
	}
	bob := w.nobody()
	key := strings.TrimPrefix(link, "/set-password?key=")
	if r := bob.do("GET", link, nil); r.StatusCode != 200 || !strings.Contains(r.text, "bob") {
		t.Fatalf("the link: %s", r.Status)
	}
	if r := bob.do("POST", "/set-password", url.Values{"key": {key}, "password": {"short"}, "again": {"short"}}); r.StatusCode != 422 {
		t.Errorf("a short password: %s", r.Status)
	}
	if r := bob.do("POST", "/set-password", url.Values{"key": {key}, "password": {"another long one"},
		"again": {"another long one"}}); r.StatusCode != 303 || !bob.signedIn() {
		t.Fatalf("set it: %s", r.Status)
	}
	for what, r := range map[string]answer{
		"GET":  w.nobody().do("GET", link, nil),
		"POST": w.nobody().do("POST", "/set-password", url.Values{"key": {key}, "password": {passphrase}, "again": {passphrase}}),
	} {
		if r.StatusCode != 410 || len(r.Cookies()) > 0 {
			t.Errorf("the link again with %s: %s", what, r.Status)
		}
	}
	if r := w.nobody().do("POST", "/login", url.Values{"name": {"bob"}, "password": {"another long one"}}); r.StatusCode != 303 {
		t.Errorf("sign in with it: %s", r.Status)
	}

	// A reset leaves the old password until the link is used, and ends all else then.
	id := must(w.store.UserByName(t.Context(), "bob")).ID
	reset := linkOnPage.FindString(admin.do("POST", "/users/"+id+"/link", nil).text)
	if reset == "" || !bob.signedIn() {
		t.Fatal("no link was made, or it ended bob's session")
	}
	if r := w.nobody().do("POST", "/set-password", url.Values{"key": {strings.TrimPrefix(reset, "/set-password?key=")},
		"password": {passphrase}, "again": {passphrase}}); r.StatusCode != 303 {
		t.Errorf("reset: %s", r.Status)
	}
	if bob.signedIn() {
		t.Error("a session from before the reset still holds")
	}
}

func TestAPasswordLinkEndsWithItsDayAndWithItsUser(t *testing.T) {
	w := newWorld(t, func(c *base.Config) { c.Timing.Invitation = 50 * time.Millisecond })
	w.known("ada", store.Admin)
	u := w.known("bob", store.Viewer)
	link := func() string {
		made, err := w.web.People.NewLink(t.Context(), "test", u.ID)
		if err != nil {
			t.Fatal(err)
		}
		return base.LinkPath(made)
	}
	late := link()
	await(t, "the link to be over", func() error {
		if r := w.nobody().do("GET", late, nil); r.StatusCode != 410 {
			return fmt.Errorf("%s", r.Status)
		}
		return nil
	})
	w.web.Timing.Invitation = time.Hour
	first, second := link(), link()
	if r := w.nobody().do("GET", first, nil); r.StatusCode != 410 {
		t.Errorf("a link that was replaced: %s", r.Status)
	}
	if _, _, err := w.store.ChangeUser(t.Context(), "test", u.ID, store.UserChange{Disabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	if r := w.nobody().do("GET", second, nil); r.StatusCode != 410 {
		t.Errorf("a disabled user's link: %s", r.Status)
	}
	if _, _, err := w.store.ChangeUser(t.Context(), "test", u.ID, store.UserChange{Disabled: new(false)}); err != nil {
		t.Fatal(err)
	}
	if r := w.nobody().do("GET", second, nil); r.StatusCode != 410 {
		t.Errorf("the link comes back with its user: %s", r.Status)
	}
}

// TestWhoGoesTakesTheirLinksAlong has an administrator make a link for another's
// password and a token for a host, and then go: with the link they could come back
// as somebody else.
func TestWhoGoesTakesTheirLinksAlong(t *testing.T) {
	for what, leave := range map[string]func(w *world, mallory store.User) error{
		"disabled": func(w *world, m store.User) error {
			_, _, err := w.store.ChangeUser(t.Context(), "test", m.ID, store.UserChange{Disabled: new(true)})
			return err
		},
		"removed": func(w *world, m store.User) error {
			_, err := w.store.RemoveUser(t.Context(), "test", m.ID, nil)
			return err
		},
		"demoted": func(w *world, m store.User) error {
			_, _, err := w.store.ChangeUser(t.Context(), "test", m.ID, store.UserChange{Role: new(store.Viewer)})
			return err
		},
	} {
		w := newWorld(t)
		ada, mallory := w.known("ada", store.Admin), w.known("mallory", store.Admin)
		bob := w.known("bob", store.Viewer)
		evil := w.as(mallory)
		link := linkOnPage.FindString(evil.do("POST", "/users/"+ada.ID+"/link", nil).text)
		kept := linkOnPage.FindString(w.as(ada).do("POST", "/users/"+bob.ID+"/link", nil).text)
		id, _, err := w.web.Desk.Issue(t.Context(), "mallory", "", time.Hour)
		if err != nil || link == "" || kept == "" {
			t.Fatal(err, link, kept)
		}
		if r := w.nobody().do("GET", link, nil); r.StatusCode != 200 {
			t.Fatalf("%s: the link before: %s", what, r.Status)
		}
		if err := leave(w, mallory); err != nil {
			t.Fatal(err)
		}
		if r := w.nobody().do("GET", link, nil); r.StatusCode != http.StatusGone {
			t.Errorf("%s: the link after: %s", what, r.Status)
		}
		if r := w.nobody().do("GET", kept, nil); r.StatusCode != 200 {
			t.Errorf("%s: somebody else's link: %s", what, r.Status)
		}
		if token := must(w.store.EnrollToken(t.Context(), id)); token.ExpiresAt > time.Now().UnixMilli() {
			t.Errorf("%s: the enrolment token is good until %v", what, time.UnixMilli(token.ExpiresAt))
		}
	}
}

func TestWhateverEndsASessionEndsItsStreamsAtOnce(t *testing.T) {
	w := newWorld(t, func(c *base.Config) { c.Timing.Check = time.Hour }) // nobody looks by himself
	attic := w.enrol("attic")
	attic.group("letters")
	attic.connect()
	job := w.backup(attic)
	attic.start(job)
	admin := w.as(w.known("ada", store.Admin))
	for what, deed := range map[string]func(u store.User, c *client) answer{
		"disable": func(u store.User, _ *client) answer { return admin.do("POST", "/users/"+u.ID+"/disable", nil) },
		"disable by API": func(u store.User, _ *client) answer {
			return admin.do("PATCH", "/api/users/"+u.ID, `{"disabled":true}`)
		},
		"another role": func(u store.User, _ *client) answer {
			return admin.do("POST", "/users/"+u.ID+"/role", url.Values{"role": {"viewer"}})
		},
		"another role by API": func(u store.User, _ *client) answer { return admin.do("PATCH", "/api/users/"+u.ID, `{"role":"admin"}`) },
		"a password": func(u store.User, _ *client) answer {
			return admin.do("POST", "/users/"+u.ID+"/password", url.Values{"password": {passphrase}, "again": {passphrase}})
		},
		"signed out":        func(u store.User, _ *client) answer { return admin.do("POST", "/users/"+u.ID+"/sign-out", nil) },
		"signed out by API": func(u store.User, _ *client) answer { return admin.do("DELETE", "/api/users/"+u.ID+"/sessions", nil) },
		"removed":           func(u store.User, _ *client) answer { return admin.do("POST", "/users/"+u.ID+"/remove", nil) },
		"one session": func(u store.User, _ *client) answer {
			return admin.do("DELETE", "/api/sessions/"+must(w.store.SessionList(t.Context(), u.ID))[0].ID, nil)
		},
		"own sign-out everywhere": func(_ store.User, c *client) answer { return c.do("POST", "/account/sign-out", nil) },
	} {
		u := w.known("bob "+what, store.Operator)
		c := w.as(u)
		f := c.feed("/events?view=host&id=" + string(attic.id))
		f.until("host-header")
		s := c.socket(job, 0)
		if _, err := s.next(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if r := deed(u, c); r.StatusCode >= 400 {
			t.Errorf("%s: %s %s", what, r.Status, r.text)
			continue
		}
		for {
			if _, ok := f.next(); !ok {
				break
			}
		}
		for {
			if _, err := s.next(); err != nil {
				if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
					t.Errorf("%s: the socket ended with %v", what, err)
				}
				break
			}
		}
		t.Logf("%s: both ended within %v", what, time.Since(start).Round(time.Millisecond))
		if c.signedIn() {
			t.Errorf("%s: the session still holds", what)
		}
	}
	// A revoked token's socket too.
	p := w.program(store.Viewer)
	s := p.socket(job, 0)
	if _, err := s.next(); err != nil {
		t.Fatal(err)
	}
	if r := admin.do("DELETE", "/api/tokens/"+must(w.store.APITokens(t.Context()))[0].ID, nil); r.StatusCode != 204 {
		t.Fatalf("revoke: %s", r.Status)
	}
	for {
		if _, err := s.next(); err != nil {
			break
		}
	}
}

func TestASessionThatWasEndedDoesNotComeBackByBeingUsed(t *testing.T) {
	w := newWorld(t, func(c *base.Config) { c.Timing.Touch = 0 }) // each request writes its session
	u := w.known("bob", store.Viewer)
	c := w.as(u)
	stop := make(chan struct{})
	var using sync.WaitGroup
	for range 4 {
		using.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					c.do("GET", "/healthz", nil)
					c.do("GET", "/account", nil)
				}
			}
		})
	}
	await(t, "it to be used", func() error {
		if must(w.store.User(t.Context(), u.ID)).SeenAt == 0 {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	if err := w.store.EndSessions(t.Context(), "test", u.ID); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		c.do("GET", "/account", nil)
	}
	close(stop)
	using.Wait()
	if n := must(w.store.SessionList(t.Context(), u.ID)); len(n) > 0 {
		t.Errorf("it is back: %v", n)
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.known("ada", store.Admin), w.known("bob", store.Operator)
	w.person(store.Admin) // without a password, as good as none
	c := w.program(store.Admin)
	page := w.as(ada)
	for what, r := range map[string]answer{
		"another role": c.do("PATCH", "/api/users/"+ada.ID, `{"role":"viewer"}`),
		"disable":      c.do("PATCH", "/api/users/"+ada.ID, `{"disabled":true}`),
		"remove":       c.do("DELETE", "/api/users/"+ada.ID, nil),
		"by form":      page.do("POST", "/users/"+ada.ID+"/disable", nil),
		"gone by form": page.do("POST", "/users/"+ada.ID+"/remove", nil),
	} {
		if r.StatusCode != 409 || !strings.Contains(r.text, "last administrator") {
			t.Errorf("%s: %s %s", what, r.Status, r.text)
		}
	}
	if u := must(w.store.User(t.Context(), ada.ID)); u.Role != store.Admin || u.DisabledAt != 0 || !page.signedIn() {
		t.Errorf("ada is %+v", u)
	}
	if r := c.do("PATCH", "/api/users/"+bob.ID, `{"role":"admin"}`); r.StatusCode != 200 {
		t.Fatalf("bob: %s %s", r.Status, r.text)
	}
	if r := c.do("DELETE", "/api/users/"+ada.ID, nil); r.StatusCode != 200 || page.signedIn() {
		t.Errorf("the last but one: %s", r.Status)
	}
	if r := c.do("DELETE", "/api/users/"+ada.ID, nil); r.StatusCode != 404 {
		t.Errorf("twice: %s", r.Status)
	}
}

func TestOnesOwnPasswordNeedsTheOldOne(t *testing.T) {
	w := newWorld(t)
	u := w.known("bob", store.Viewer)
	here, elsewhere := w.as(u), w.as(u)
	form := func(old, secret, again string) url.Values {
		return url.Values{"old": {old}, "password": {secret}, "again": {again}}
	}
	const other = "an entirely new one"
	for what, f := range map[string]url.Values{
		"a wrong old one": form("wrong", other, other),
		"a short one":     form(passphrase, "short", "short"),
		"two different":   form(passphrase, other, other+"x"),
	} {
		if r := here.do("POST", "/account/password", f); r.StatusCode != 422 ||
			must(w.store.User(t.Context(), u.ID)).PasswordHash != u.PasswordHash {
			t.Errorf("%s: %s", what, r.Status)
		}
	}
	if r := here.do("POST", "/account/password", form(passphrase, other, other)); r.StatusCode != 303 {
		t.Fatalf("change it: %s %s", r.Status, r.text)
	}
	if !here.signedIn() || elsewhere.signedIn() {
		t.Errorf("signed in here: %t, elsewhere: %t", here.signedIn(), elsewhere.signedIn())
	}
	if ok := must(password.Check(must(w.store.User(t.Context(), u.ID)).PasswordHash, other)); !ok {
		t.Error("the new password does not fit")
	}
}

func TestOneSeesAndEndsOnesOwnSessionsAndAnAdminEverybodys(t *testing.T) {
	w := newWorld(t)
	bob, cid := w.known("bob", store.Viewer), w.known("cid marlowe", store.Operator)
	b, c, admin := w.as(bob), w.as(cid), w.as(w.known("ada", store.Admin))
	var list []api.SessionJSON
	b.do("GET", "/api/sessions", nil).json(t, &list)
	if len(list) != 1 || list[0].User != bob.ID || list[0].Remote != "127.0.0.1" {
		t.Errorf("bob sees %+v", list)
	}
	cids := must(w.store.SessionList(t.Context(), cid.ID))[0].ID
	for _, r := range []answer{b.do("DELETE", "/api/sessions/"+cids, nil), b.do("POST", "/sessions/"+cids+"/end", nil),
		w.program(store.Viewer).do("DELETE", "/api/sessions/"+cids, nil)} {
		if r.StatusCode != 404 || !c.signedIn() {
			t.Errorf("bob ends cid's session: %s", r.Status)
		}
	}
	admin.do("GET", "/api/sessions", nil).json(t, &list)
	if len(list) != 3 {
		t.Errorf("an administrator sees %d sessions", len(list))
	}
	if text := admin.do("GET", "/account", nil).text; !strings.Contains(text, "bob") || !strings.Contains(text, "Everybody else") {
		t.Error("an administrator's page does not show the others")
	}
	if text := b.do("GET", "/account", nil).text; strings.Contains(text, "marlowe") || strings.Contains(text, "Everybody else") {
		t.Error("bob's page shows cid")
	}
	if r := b.do("POST", "/sessions/"+must(w.store.SessionList(t.Context(), bob.ID))[0].ID+"/end", nil); r.StatusCode != 303 || b.signedIn() {
		t.Errorf("bob ends his own: %s", r.Status)
	}
	if r := admin.do("POST", "/sessions/"+cids+"/end", nil); r.StatusCode != 303 || c.signedIn() {
		t.Errorf("an administrator ends cid's: %s", r.Status)
	}
}

func TestTokensAndConsumersAreMadeAndRevoked(t *testing.T) {
	w := newWorld(t)
	admin := w.as(w.known("ada", store.Admin))
	r := admin.do("POST", "/tokens/new", url.Values{"name": {"nightly"}, "role": {"operator"}, "days": {"30"}})
	key := regexp.MustCompile(`rma_[A-Z0-9]+`).FindString(r.text)
	k := must(w.store.APITokens(t.Context()))
	if r.StatusCode != 200 || key == "" || len(k) != 1 || k[0].CreatedBy != "ada" ||
		time.Until(time.UnixMilli(k[0].ExpiresAt)).Round(time.Hour) != 30*24*time.Hour {
		t.Fatalf("make a token: %s, %+v", r.Status, k)
	}
	program := w.nobody()
	program.token = key
	if r := program.do("GET", "/api/hosts", nil); r.StatusCode != 200 {
		t.Errorf("use it: %s", r.Status)
	}
	if text := admin.do("GET", "/users", nil).text; strings.Contains(text, key) || !strings.Contains(text, "nightly") {
		t.Error("the page shows the key, or not the token")
	}
	for _, days := range []string{"7000", "-1", "x", ""} {
		if r := admin.do("POST", "/tokens/new", url.Values{"name": {"x"}, "role": {"viewer"}, "days": {days}}); r.StatusCode != 422 {
			t.Errorf("for %q days: %s", days, r.Status)
		}
	}
	if r := admin.do("POST", "/tokens/"+k[0].ID+"/revoke", nil); r.StatusCode != 303 {
		t.Errorf("revoke: %s", r.Status)
	}
	if r := program.do("GET", "/api/hosts", nil); r.StatusCode != 401 {
		t.Errorf("use it then: %s", r.Status)
	}

	told := &toldConsumers{}
	w.web.Consumers = told
	if r := admin.do("POST", "/mqtt/new", url.Values{"name": {"home assistant"}, "do": {"1"}}); r.StatusCode != 200 ||
		!strings.Contains(r.text, "Its password") {
		t.Fatalf("make a consumer: %s", r.Status)
	}
	u := must(w.store.MQTTUser(t.Context(), "home assistant"))
	if !u.MayDo || u.CreatedBy != "ada" {
		t.Errorf("it is %+v", u)
	}
	if r := admin.do("POST", "/mqtt/new", url.Values{"name": {"home assistant"}}); r.StatusCode != 409 {
		t.Errorf("again: %s", r.Status)
	}
	if r := admin.do("POST", "/mqtt/new", url.Values{"name": {"a/#"}}); r.StatusCode != 422 {
		t.Errorf("a wildcard for a name: %s", r.Status)
	}
	path := "/mqtt/consumers/home%20assistant"
	if r := admin.do("POST", path+"/rights", nil); r.StatusCode != 200 || must(w.store.MQTTUser(t.Context(), "home assistant")).MayDo {
		t.Errorf("take the right away: %s", r.Status)
	}
	if r := admin.do("POST", path+"/password", nil); r.StatusCode != 200 ||
		slices.Equal(must(w.store.MQTTUser(t.Context(), "home assistant")).KeyHash, u.KeyHash) {
		t.Errorf("a new password: %s", r.Status)
	}
	if r := admin.do("POST", path+"/revoke", nil); r.StatusCode != 303 {
		t.Errorf("revoke: %s", r.Status)
	}
	if r := admin.do("GET", path, nil); r.StatusCode != 404 {
		t.Errorf("look at it then: %s", r.Status)
	}
	if want := []string{"home assistant", "home assistant", "home assistant"}; !slices.Equal(told.names, want) {
		t.Errorf("disconnected were %v", told.names)
	}
	var out struct{ Password string }
	c := w.program(store.Admin)
	c.do("POST", "/api/consumers", `{"name":"x","do":true}`).json(t, &out)
	if !slices.Equal(must(w.store.MQTTUser(t.Context(), "x")).KeyHash, password.HashKey(out.Password)) {
		t.Error("the API's password does not fit")
	}
	for _, call := range [][3]string{
		{"PATCH", "/api/consumers/x", `{"do":false}`},
		{"POST", "/api/consumers/x/password", ""},
		{"DELETE", "/api/consumers/x", ""},
	} {
		var body any
		if call[2] != "" {
			body = call[2]
		}
		if r := c.do(call[0], call[1], body); r.StatusCode >= 300 {
			t.Errorf("%v: %s %s", call, r.Status, r.text)
		}
		if last := told.names[len(told.names)-1]; last != "x" {
			t.Errorf("%v disconnected %q", call, last)
		}
	}
}

// toldConsumers notes who was to be disconnected.
type toldConsumers struct{ names []string }

func (c *toldConsumers) Disconnect(name string)      { c.names = append(c.names, name) }
func (c *toldConsumers) Agents() []base.Connected    { return nil }
func (c *toldConsumers) Connected() []base.Connected { return nil }

func (c *toldConsumers) Figures() (public, agents base.Figures) { return }
