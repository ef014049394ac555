package web

import (
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

// ends has every session be over; whoever signs in after that is in.
func endingWorld(t *testing.T) (w *world, end func()) {
	var ahead atomic.Int64
	w = newWorld(t, func(c *base.Config) { c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
	return w, func() {
		for _, s := range must(w.store.SessionList(t.Context(), "")) {
			if err := w.store.EndSession(t.Context(), "test", s.ID, ""); err != nil {
				t.Fatal(err)
			}
		}
		w.web.Streams.Recheck()
	}
}

func (c *client) signIn(login string, name string) answer {
	c.w.t.Helper()
	q := must(url.Parse(login)).Query()
	page := c.shows(login, "Sign in")
	for _, field := range []string{"next", "form"} {
		if v := q.Get(field); v != "" && !strings.Contains(page, `name="`+field+`" value="`+v) {
			c.w.t.Errorf("the form to sign in forgets %s", field)
		}
	}
	return c.do("POST", "/login", url.Values{"name": {name}, "password": {passphrase}, "next": {q.Get("next")}, "form": {q.Get("form")}})
}

func TestAFormSurvivesTheEndOfItsSession(t *testing.T) {
	w, end := endingWorld(t)
	attic := w.enrol("attic")
	ada, bob := w.known("ada", store.Admin), w.known("bob", store.Admin)
	host := "/hosts/" + string(attic.id)
	form := url.Values{"name": {"letters"}, "paths": {"/letters"}, "repository": {"new"}, "repository_name": {"vault"},
		"repository_url": {"/srv/vault"}, "repository_password": {"canary-7"}}
	c := w.as(ada)
	c.shows(host, "attic")
	end()
	r := c.do("POST", host+"/source-groups/new", form, "Referer", w.http.URL+host+"/source-groups/new")
	login := r.Header.Get("Location")
	if r.StatusCode != 303 || !strings.HasPrefix(login, "/login?") || strings.Contains(login, "canary") {
		t.Fatalf("a form of a session that has ended: %s to %q", r.Status, login)
	}
	c.shows(login, "Your session has ended", "kept for an hour")

	// Somebody else in the same browser is neither shown it nor can send it.
	other := w.as(bob)
	key := must(url.Parse(login)).Query().Get("form")
	for _, r := range []answer{other.do("GET", "/resume?form="+key, nil), other.do("POST", "/resume", url.Values{"form": {key}})} {
		if r.StatusCode != http.StatusGone || strings.Contains(r.text, "/letters") {
			t.Errorf("somebody else: %s", r.Status)
		}
	}

	r = c.signIn(login, "ada")
	resume := r.Header.Get("Location")
	if r.StatusCode != 303 || !strings.HasPrefix(resume, "/resume?") {
		t.Fatalf("after signing in: %s to %q", r.Status, resume)
	}
	if text := c.shows(resume, "/letters", "vault", "not shown", host+"/source-groups/new"); strings.Contains(text, "canary") {
		t.Error("the page shows the password that was typed")
	}
	if groups := must(w.store.SourceGroups(t.Context(), attic.id)); len(groups) != 0 {
		t.Error("it was sent without being asked")
	}
	// Another site cannot have it sent.
	if r := c.do("POST", "/resume", url.Values{"form": {key}}, "Sec-Fetch-Site", "cross-site"); r.StatusCode != 403 {
		t.Errorf("sent by another site: %s", r.Status)
	}
	if r = c.do("POST", "/resume", url.Values{"form": {key}}); r.StatusCode != 303 || r.Header.Get("Location") != host {
		t.Fatalf("sent: %s to %q %s", r.Status, r.Header.Get("Location"), r.text)
	}
	groups := must(w.store.SourceGroups(t.Context(), attic.id))
	if len(groups) != 1 || groups[0].Name != "letters" {
		t.Fatalf("the groups are %+v", groups)
	}
	if a := must(w.store.RepositoryAccess(t.Context(), groups[0].Repository)); a.Password != "canary-7" {
		t.Error("the password did not survive")
	}
	if r = c.do("POST", "/resume", url.Values{"form": {key}}); r.StatusCode != http.StatusGone {
		t.Errorf("sent twice: %s", r.Status)
	}
}

func TestWhatIsWrongWithAKeptFormIsShownInIt(t *testing.T) {
	w, end := endingWorld(t)
	attic := w.enrol("attic")
	c := w.as(w.known("ada", store.Admin))
	end()
	r := c.do("POST", "/hosts/"+string(attic.id)+"/source-groups/new", url.Values{"name": {"letters"}, "repository": {"new"}})
	r = c.signIn(r.Header.Get("Location"), "ada")
	key := must(url.Parse(r.Header.Get("Location"))).Query().Get("form")
	if r = c.do("POST", "/resume", url.Values{"form": {key}}); r.StatusCode != 422 || !strings.Contains(r.text, `value="letters"`) {
		t.Errorf("%s %s", r.Status, r.text)
	}
	end()
	r = c.do("POST", "/hosts/"+string(attic.id)+"/revoke", nil, "HX-Request", "true", "HX-Current-URL", w.http.URL+"/hosts/"+string(attic.id))
	if r.StatusCode != 401 || r.text != "" {
		t.Errorf("a form acting in place: %s %s", r.Status, r.text)
	}
	r = c.signIn(r.Header.Get("HX-Redirect"), "ada")
	key = must(url.Parse(r.Header.Get("Location"))).Query().Get("form")
	if r = c.do("POST", "/resume", url.Values{"form": {key}, "drop": {"1"}}); r.StatusCode != 303 ||
		r.Header.Get("Location") != "/hosts/"+string(attic.id) {
		t.Errorf("dropped: %s to %q", r.Status, r.Header.Get("Location"))
	}
	if h := must(w.store.Host(t.Context(), attic.id)); h.RevokedAt != 0 {
		t.Error("what was dropped was done")
	}
}

// What must not be kept is not, and the page says so.
func TestNotEveryFormIsKept(t *testing.T) {
	w, end := endingWorld(t)
	ada := w.known("ada", store.Admin)
	c := w.as(ada)
	end()
	stranger := w.nobody()
	for what, r := range map[string]struct {
		answer
		want string
	}{
		"of nobody":                  {stranger.do("POST", "/users/new", url.Values{"name": {"eve"}}), "/login"},
		"of a session nobody had":    {stranger.do("POST", "/users/new", nil, "Cookie", session.CookieName+"=invented"), "/login?ended=1&lost=1"},
		"of one's own account":       {c.do("POST", "/account/password", url.Values{"old": {passphrase}}), "/login?ended=1"},
		"that is no form":            {c.do("POST", "/users/new", `{}`), "/login?ended=1&lost=1"},
		"a page that was looked for": {c.do("GET", "/users", nil), "/login?ended=1&next=%2Fusers"},
	} {
		if to := r.Header.Get("Location"); r.StatusCode != 303 || to != r.want {
			t.Errorf("%s: %s to %q, want %q", what, r.Status, to, r.want)
		}
	}
	stranger.shows("/login?ended=1&lost=1", "could not be kept")

	// Of many, the last are kept.
	var keys []string
	for range 6 {
		r := c.do("POST", "/users/new", url.Values{"name": {"eve"}})
		keys = append(keys, must(url.Parse(r.Header.Get("Location"))).Query().Get("form"))
	}
	in := w.as(ada)
	for i, key := range keys {
		if r := in.do("GET", "/resume?form="+key, nil); (r.StatusCode == http.StatusGone) != (i < 2) {
			t.Errorf("form %d of 6: %s", i, r.Status)
		}
	}
}

// Parts of a page say it where actions that fail do, and the page stays as it is.
func TestAPartOfAPageSaysThatTheSessionHasEnded(t *testing.T) {
	w, end := endingWorld(t)
	attic := w.enrol("attic")
	c := w.person(store.Admin)
	f := c.feed("/events?view=fleet")
	f.until("verdict")
	end()
	for {
		m, ok := f.next()
		if !ok {
			t.Fatal("the stream ends without a word")
		}
		if m.event == "out" {
			break
		}
	}
	at := []string{"HX-Request", "true", "HX-Current-URL", w.http.URL + "/jobs?q=attic"}
	for what, r := range map[string]answer{
		"a filter":  c.do("GET", "/jobs?q=attic", nil, at...),
		"a choice":  c.do("GET", "/hosts/choose?host=at", nil, at...),
		"a preview": c.do("POST", "/hosts/"+string(attic.id)+"/schedules/preview", url.Values{"name": {"x"}}, at...),
	} {
		if r.StatusCode != 401 || r.Header.Get("HX-Retarget") != "#notice" || r.Header.Get("HX-Redirect") != "" ||
			!strings.Contains(r.text, "Your session has ended") || !strings.Contains(r.text, "/login?ended=1&amp;next=%2Fjobs%3Fq%3Dattic") ||
			strings.Contains(r.text, "<html") {
			t.Errorf("%s: %s %v %s", what, r.Status, r.Header, r.text)
		}
	}
}

// A browser keeps the cookie for longer than the session lasts: it then hears that
// the session has ended, and its form is kept. The cookie lets nobody in.
func TestTheCookieOutlivesItsSession(t *testing.T) {
	w := newWorld(t)
	w.known("ada", store.Admin)
	r := w.nobody().do("POST", "/login", url.Values{"name": {"ada"}, "password": {passphrase}})
	var c *http.Cookie
	for _, x := range r.Cookies() {
		c = x
	}
	if c == nil || time.Until(c.Expires) < base.DefaultTiming().Life {
		t.Fatalf("the cookie is %v", c)
	}
	if s := must(w.store.SessionList(t.Context(), "")); len(s) != 1 || time.Until(time.UnixMilli(s[0].ExpiresAt)) > base.DefaultTiming().Idle {
		t.Errorf("the sessions are %+v", s)
	}
}
