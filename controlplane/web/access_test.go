package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
)

func TestASessionIsACookieNobodyElseCanRead(t *testing.T) {
	for _, secure := range []bool{false, true} {
		w := newWorld(t, throughProxy)
		u := store.User{ID: "user-0001", Name: "ada", Role: store.Admin, PasswordHash: hashed()}
		if err := w.store.AddUser(t.Context(), "test", u); err != nil {
			t.Fatal(err)
		}
		r := w.nobody().do("POST", "/login", url.Values{"name": {"ada"}, "password": {passphrase}, "next": {"/hosts/new"}},
			"X-Forwarded-Proto", map[bool]string{
				false: "http",
				true:  "https",
			}[secure])
		c := r.Cookies()[0]
		name := map[bool]string{false: "restic-manager", true: "__Host-restic-manager"}[secure]
		if c.Name != name || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure != secure || c.Path != "/" || c.Domain != "" {
			t.Errorf("the cookie is %v", c)
		}
		if r.Header.Get("Location") != "/hosts/new" {
			t.Errorf("it leads to %q", r.Header.Get("Location"))
		}
		if hsts := r.Header.Get("Strict-Transport-Security"); (hsts != "") != secure {
			t.Errorf("HSTS is %q", hsts)
		}
		if b, found, err := w.store.Sessions().Find(c.Value); found || err != nil {
			t.Errorf("the database holds the token itself: %q", b)
		}
	}
}

func TestSigningInMakesANewTokenAndSigningOutEndsIt(t *testing.T) {
	w := newWorld(t)
	c := w.person(store.Viewer)
	here := must(url.Parse(w.http.URL))
	first := c.http.Jar.Cookies(here)[0]
	again := w.person(store.Admin)
	again.http.Jar.SetCookies(here, []*http.Cookie{first}) // as if somebody had planted it
	u := store.User{ID: "user-0001", Name: "ada", Role: store.Admin, PasswordHash: hashed()}
	if err := w.store.AddUser(t.Context(), "test", u); err != nil {
		t.Fatal(err)
	}
	if r := again.do("POST", "/login", url.Values{"name": {"ada"}, "password": {passphrase}}); r.StatusCode != 303 {
		t.Fatalf("sign in: %s", r.Status)
	}
	second := again.http.Jar.Cookies(here)[0]
	if second.Value == first.Value {
		t.Error("signing in kept the token")
	}
	if r := c.do("GET", "/", nil); r.StatusCode != 303 {
		t.Errorf("the old token still holds: %s", r.Status)
	}
	if r := again.do("POST", "/logout", nil); r.StatusCode != 303 || r.Header.Get("Location") != "/login" {
		t.Errorf("sign out: %s", r.Status)
	}
	again.http.Jar.SetCookies(here, []*http.Cookie{second})
	if r := again.do("GET", "/", nil); r.StatusCode != 303 {
		t.Errorf("after signing out the token still holds: %s", r.Status)
	}
}

func TestASessionEndsUnusedAndAfterItsTime(t *testing.T) {
	for name, change := range map[string]func(*base.Timing){
		"unused":         func(tm *base.Timing) { tm.Idle = 10 * time.Second },
		"after its time": func(tm *base.Timing) { tm.Life, tm.Touch = 10*time.Second, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *base.Config) { change(&c.Timing) })
			c := w.person(store.Viewer)
			kept := c.http.Jar.Cookies(must(url.Parse(w.http.URL)))[0].String()
			attic := w.enrol("attic")
			f := c.feed("/events?view=host&id=" + string(attic.id))
			f.until("attic")
			for {
				if _, ok := f.next(); !ok {
					break // it ended with the session; a stream is no use of one
				}
			}
			await(t, name+": the session to be over", func() error {
				if r := w.nobody().do("GET", "/", nil, "Cookie", kept); r.StatusCode != 303 {
					return fmt.Errorf("it still holds: %s", r.Status)
				}
				return nil
			})
		})
	}
}

func TestSigningOutEndsTheStream(t *testing.T) {
	w := newWorld(t)
	c := w.person(store.Viewer)
	f := c.feed("/events?view=fleet")
	f.until("verdict")
	c.do("POST", "/logout", nil)
	for {
		if _, ok := f.next(); !ok {
			return
		}
	}
}

func TestNextLeadsNowhereElse(t *testing.T) {
	for next, want := range map[string]string{
		"/jobs/1?x=1":          "/jobs/1?x=1",
		"/":                    "/",
		"":                     "",
		"//evil.example":       "",
		"https://evil.example": "",
		`/\evil.example`:       "",
		"/\t/evil.example":     "",
		"jobs":                 "",
		"/a\nb":                "",
		"javascript:alert(1)":  "",
		"///evil":              "",
	} {
		if got := base.SamePlace(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
	w := newWorld(t)
	w.person(store.Viewer)
	if r := w.nobody().do("GET", "/hosts/abc?x=1", nil); r.Header.Get("Location") != "/login?next=%2Fhosts%2Fabc%3Fx%3D1" {
		t.Errorf("a page asked for by nobody leads to %q", r.Header.Get("Location"))
	}
	if r := w.nobody().do("POST", "/hosts/abc/run/backup", nil, "HX-Request", "true", "HX-Current-URL",
		w.http.URL+"/hosts/abc"); r.StatusCode != 401 || r.Header.Get("HX-Redirect") != "/login?next=%2Fhosts%2Fabc" {
		t.Errorf("a form acting in place leads to %q with %s", r.Header.Get("HX-Redirect"), r.Status)
	}
}

func TestGuessingIsSlowAndTellsNothing(t *testing.T) {
	w := newWorld(t)
	w.person(store.Viewer)
	u := store.User{ID: "user-0001", Name: "ada", Role: store.Admin, PasswordHash: hashed()}
	if err := w.store.AddUser(t.Context(), "test", u); err != nil {
		t.Fatal(err)
	}
	now := time.Now() // no time goes by, in which tries come back
	w.web.Sessions.Tries = session.NewLimiter(func() time.Time { return now })
	try := func(name, secret string) answer {
		return w.nobody().do("POST", "/login", url.Values{"name": {name}, "password": {secret}})
	}
	known, unknown := try("ada", "wrong"), try("bob", "wrong")
	if known.StatusCode != 422 || strings.ReplaceAll(known.text, "ada", "bob") != unknown.text && len(known.text) != len(unknown.text) {
		t.Errorf("the answers for a known and an unknown name differ:\n%s\n%s", known.text, unknown.text)
	}
	var r answer
	for range 12 {
		r = try("ada", "wrong")
	}
	if r.StatusCode != 429 || r.Header.Get("Retry-After") == "" {
		t.Errorf("the fourteenth try: %s", r.Status)
	}
	if r := try("ada", strings.Repeat("x", 5000)); r.StatusCode != 429 {
		t.Errorf("a try while paused: %s", r.Status)
	}
}

func TestTheFirstAccountNeedsTheCodeAndThereIsOneFirst(t *testing.T) {
	w := newWorld(t)
	c := w.nobody()
	if r := c.do("GET", "/", nil); r.Header.Get("Location") != "/login" {
		t.Errorf("a fresh server leads to %q", r.Header.Get("Location"))
	}
	if r := c.do("GET", "/login", nil); r.Header.Get("Location") != "/setup" {
		t.Errorf("and from there to %q", r.Header.Get("Location"))
	}
	path := must(w.web.SetupPath(t.Context()))
	form := func(name, secret, again string) url.Values {
		return url.Values{"name": {name}, "password": {secret}, "again": {again}}
	}
	for what, f := range map[string]struct {
		path   string
		form   url.Values
		status int
	}{
		"no code":            {"/setup", form("ada", passphrase, passphrase), 403},
		"wrong code":         {"/setup?code=guess", form("ada", passphrase, passphrase), 403},
		"short password":     {path, form("ada", "short", "short"), 422},
		"different password": {path, form("ada", passphrase, passphrase+"x"), 422},
		"no name":            {path, form("", passphrase, passphrase), 422},
	} {
		if r := c.do("POST", f.path, f.form); r.StatusCode != f.status || must(w.store.UserCount(t.Context())) != 0 {
			t.Errorf("%s: %s, want %d", what, r.Status, f.status)
		}
	}
	if r := c.do("GET", path, nil); r.StatusCode != 200 || !strings.Contains(r.text, "Create account") {
		t.Errorf("the page: %s", r.Status)
	}
	if r := c.do("POST", path, form("ada", passphrase, passphrase)); r.StatusCode != 303 || r.Header.Get("Location") != "/start" {
		t.Fatalf("the first account: %s\n%s", r.Status, r.text)
	}
	if r := c.do("GET", "/", nil); r.StatusCode != 200 || !strings.Contains(r.text, "Signed in as ada") {
		t.Errorf("signed in after it: %s", r.Status)
	}
	if r := w.nobody().do("POST", path, form("eve", passphrase, passphrase)); r.StatusCode != 409 {
		t.Errorf("a second first account: %s", r.Status)
	}
	if p := must(w.web.SetupPath(t.Context())); p != "" {
		t.Errorf("the code is offered again: %s", p)
	}
}

func TestASignInLinkWorksOnceAndNotForLong(t *testing.T) {
	now := time.Now()
	var ahead atomic.Int64 // the server looks at its clock by itself, too
	w := newWorld(t, func(c *base.Config) { c.Now = func() time.Time { return now.Add(time.Duration(ahead.Load())) } })
	u := store.User{ID: "user-0001", Name: "demo", Role: store.Admin, PasswordHash: hashed()}
	if err := w.store.AddUser(t.Context(), "test", u); err != nil {
		t.Fatal(err)
	}
	path := must(w.web.SignInLink(t.Context(), u.ID))
	if r := w.nobody().do("HEAD", path, nil); len(r.Cookies()) > 0 {
		t.Error("somebody who only looked is signed in")
	}
	c := w.nobody()
	if r := c.do("GET", path, nil); r.StatusCode != 303 || r.Header.Get("Location") != "/" {
		t.Fatalf("the link: %s", r.Status)
	}
	if r := c.do("GET", "/", nil); !strings.Contains(r.text, "Signed in as demo") {
		t.Errorf("after it: %s", r.Status)
	}
	if r := w.nobody().do("GET", path, nil); r.StatusCode != 410 || len(r.Cookies()) > 0 {
		t.Errorf("the link again: %s", r.Status)
	}
	late := must(w.web.SignInLink(t.Context(), u.ID))
	ahead.Store(int64(16 * time.Minute))
	if r := w.nobody().do("GET", late, nil); r.StatusCode != 410 {
		t.Errorf("the link after 16 minutes: %s", r.Status)
	}
	if _, err := w.web.SignInLink(t.Context(), "nobody-0001"); err == nil {
		t.Error("a link for nobody was made")
	}
}

func TestAnotherSiteCannotAct(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	c, p := w.person(store.Admin), w.program(store.Admin)
	path := "/hosts/" + string(attic.id) + "/run/backup"
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		for _, to := range []string{path, "/logout", "/login", "/hosts/new"} {
			if r := c.do("POST", to, url.Values{}, headers...); r.StatusCode != 403 {
				t.Errorf("POST %s with %v: %s", to, headers, r.Status)
			}
		}
		if r := c.do("POST", "/api/hosts/"+string(attic.id)+"/jobs", `{"kind":"backup"}`, headers...); r.StatusCode != 403 ||
			r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("the API with %v and a session: %s", headers, r.Status)
		}
	}
	if open := must(w.store.OpenJobs(t.Context(), "")); len(open) > 0 {
		t.Fatalf("%d jobs were asked for", len(open))
	}
	if r := p.do("POST", "/api/hosts/"+string(attic.id)+"/jobs", `{"kind":"backup"}`, "Sec-Fetch-Site", "cross-site"); r.StatusCode != 202 {
		t.Errorf("the API with a token: %s %s", r.Status, r.text)
	}
	if r := c.do("POST", path, url.Values{}, "Sec-Fetch-Site", "same-origin"); r.StatusCode != 303 {
		t.Errorf("the server's own page: %s", r.Status)
	}
}

func TestReadyMeansDatabaseAndBrokers(t *testing.T) {
	w := newWorld(t)
	c := w.nobody()
	if r := c.do("GET", "/healthz", nil); r.StatusCode != 200 || r.text != "ok\n" {
		t.Errorf("healthz: %s %s", r.Status, r.text)
	}
	if r := c.do("GET", "/readyz", nil); r.StatusCode != 200 || r.text != "database: ok\nbrokers: ok\n" {
		t.Errorf("readyz: %s %s", r.Status, r.text)
	}
}
