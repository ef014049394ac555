package web

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
)

func TestSigningInDoesTheSameWorkForAnyName(t *testing.T) {
	w := newWorld(t)
	ada := store.User{ID: "user-0001", Name: "ada", Role: store.Admin, PasswordHash: must(password.Hash(passphrase))}
	if err := w.store.AddUser(t.Context(), "test", ada); err != nil {
		t.Fatal(err)
	}
	out := w.known("out", store.Viewer)
	if _, _, err := w.store.ChangeUser(t.Context(), "test", out.ID, store.UserChange{Disabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	if err := w.store.AddUser(t.Context(), "test", store.User{ID: "user-invited", Name: "invited", Role: store.Viewer}); err != nil {
		t.Fatal(err)
	}
	var checked []string
	took := map[string][]time.Duration{}
	w.web.Sessions.Compare = func(hash, secret string) (bool, error) {
		checked = append(checked, hash)
		return password.Check(hash, secret)
	}
	var pages []string
	for range 3 {
		for _, name := range []string{"ada", "nobody", "out", "invited"} {
			w.web.Sessions.Tries = session.NewLimiter(time.Now)
			start := time.Now()
			r := w.nobody().do("POST", "/login", url.Values{"name": {name}, "password": {"a wrong password"}})
			took[name] = append(took[name], time.Since(start))
			if r.StatusCode != 422 || len(r.Cookies()) > 0 {
				t.Fatalf("%s: %s", name, r.Status)
			}
			if page := regexp.MustCompile(`data-now="[^"]*"|value="`+name+`"`).ReplaceAllString(r.text, ""); !slices.Contains(pages, page) {
				pages = append(pages, page)
			}
		}
	}
	if len(pages) != 1 {
		t.Errorf("there are %d different answers to a wrong password:\n%s", len(pages), strings.Join(pages, "\n"))
	}
	// One check each time; what password.Check does for "" is the work of a true
	// hash, which the password package's own test counts.
	want := []string{ada.PasswordHash, "", "", ""}
	for i, hash := range checked {
		if hash != want[i%4] {
			t.Errorf("check %d was of %.20q, want %.20q", i, hash, want[i%4])
		}
	}
	if len(checked) != 12 {
		t.Errorf("%d checks for 12 tries", len(checked))
	}
	median := func(d []time.Duration) time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }
	for _, name := range []string{"nobody", "out", "invited"} {
		t.Logf("signing in as %q takes %.2f of what it takes as somebody (%v)", name,
			float64(median(took[name]))/float64(median(took["ada"])), median(took["ada"]).Round(time.Millisecond))
	}
}

func TestARightPasswordRenewsAnOldHash(t *testing.T) {
	w := newWorld(t)
	w.web.Sessions.Compare, w.web.Sessions.Make = password.Check, password.Hash
	u := store.User{ID: "user-0001", Name: "ada", Role: store.Admin, PasswordHash: hashed()}
	if err := w.store.AddUser(t.Context(), "test", u); err != nil {
		t.Fatal(err)
	}
	sign := func(secret string) int {
		return w.nobody().do("POST", "/login", url.Values{"name": {"ada"}, "password": {secret}}).StatusCode
	}
	if s := sign("a wrong password"); s != 422 || must(w.store.User(t.Context(), u.ID)).PasswordHash != u.PasswordHash {
		t.Errorf("a wrong password: %d", s)
	}
	if s := sign(passphrase); s != 303 {
		t.Fatalf("the right one: %d", s)
	}
	if now := must(w.store.User(t.Context(), u.ID)).PasswordHash; now == u.PasswordHash || password.Stale(now) {
		t.Errorf("the hash is still %s", now)
	}
	if s := sign(passphrase); s != 303 {
		t.Errorf("with the new hash: %d", s)
	}
}

// As many passwords are worked on as there are cores, few wait, and everybody else
// is told at once to come again: nobody's sign-in costs 64 MiB while another's does.
func TestOnlyAFewPasswordsAreLookedAtAtOnce(t *testing.T) {
	w := newWorld(t, func(c *base.Config) { c.Timing.Hash = time.Hour })
	w.known("ada", store.Admin)
	slots := session.HashSlots()
	const more = 10 // than are worked on or wait
	all := slots + session.HashQueue + more
	release, at, answers := make(chan struct{}), make(chan struct{}, all), make(chan answer, all)
	w.web.Sessions.Compare = func(string, string) (bool, error) {
		at <- struct{}{}
		<-release
		return false, nil
	}
	for i := range all {
		go func() {
			answers <- w.nobody().do("POST", "/login", url.Values{"name": {fmt.Sprint("n", i)}, "password": {"a wrong password"}})
		}()
	}
	for range slots {
		<-at
	}
	for range more {
		r := <-answers
		if r.StatusCode != 429 || r.Header.Get("Retry-After") != "3600" || !strings.Contains(r.text, "Too many people sign in at once") {
			t.Errorf("one too many: %s, Retry-After %q", r.Status, r.Header.Get("Retry-After"))
		}
	}
	if len(at) > 0 || len(answers) > 0 {
		t.Errorf("%d more than %d are worked on, %d were answered", len(at), slots, len(answers))
	}
	close(release)
	for range slots + session.HashQueue {
		if r := <-answers; r.StatusCode != 422 {
			t.Errorf("one that waited: %s", r.Status)
		}
	}
}

func TestWhoWaitsTooLongToSignInIsToldToComeAgain(t *testing.T) {
	w := newWorld(t, func(c *base.Config) { c.Timing.Hash = 50 * time.Millisecond })
	slots := session.HashSlots()
	release, at, answers := make(chan struct{}), make(chan struct{}, slots), make(chan answer, slots)
	w.web.Sessions.Compare = func(string, string) (bool, error) {
		at <- struct{}{}
		<-release
		return false, nil
	}
	try := func(i int) answer {
		return w.nobody().do("POST", "/login", url.Values{"name": {fmt.Sprint("n", i)}, "password": {"a wrong password"}})
	}
	for i := range slots {
		go func() { answers <- try(i) }()
	}
	for range slots {
		<-at
	}
	if r := try(slots); r.StatusCode != 429 || r.Header.Get("Retry-After") != "1" {
		t.Errorf("one that waited too long: %s, Retry-After %q", r.Status, r.Header.Get("Retry-After"))
	}
	close(release)
	for range slots {
		if r := <-answers; r.StatusCode != 422 {
			t.Errorf("one that was worked on: %s", r.Status)
		}
	}
}

func TestAStormOfGuessesLocksNobodyOut(t *testing.T) {
	now := time.Now() // no time goes by, in which tries come back
	tries := func() *session.Limiter { return session.NewLimiter(func() time.Time { return now }) }
	w := newWorld(t, throughProxy)
	w.web.Sessions.Tries = tries()
	w.known("ada", store.Admin)
	var last answer
	w.web.Sessions.Compare = func(hash, secret string) (bool, error) { return hash != "" && secret == passphrase, nil }
	try := func(from, secret string) answer {
		return w.nobody().do("POST", "/login", url.Values{"name": {"ada"}, "password": {secret}}, "X-Forwarded-For", from)
	}
	for i := range 60 {
		last = try(fmt.Sprintf("198.51.100.%d", i%20), "a wrong password")
	}
	said := regexp.MustCompile(`Wait (\d+) seconds?`).FindStringSubmatch(last.text)
	if last.StatusCode != 429 || said == nil || last.Header.Get("Retry-After") != said[1] {
		t.Errorf("the storm hears %s, Retry-After %q, %q", last.Status, last.Header.Get("Retry-After"), said)
	}
	if r := try("198.51.100.3", passphrase); r.StatusCode != 429 {
		t.Errorf("the right password out of the storm: %s", r.Status)
	}
	if r := try("203.0.113.5", passphrase); r.StatusCode != 303 {
		t.Errorf("the right password from elsewhere: %s", r.Status)
	}
	// Without a trusted proxy the header changes nothing.
	w = newWorld(t)
	w.web.Sessions.Tries = tries()
	w.known("ada", store.Admin)
	for i := range 12 {
		w.web.Sessions.Compare = func(string, string) (bool, error) { return false, nil }
		last = try(fmt.Sprintf("203.0.113.%d", i), "a wrong password")
	}
	if last.StatusCode != 429 {
		t.Errorf("whoever makes up addresses has all the tries there are: %s", last.Status)
	}
}

// foreignness are what a browser says of where a request comes from, and
// whether that is here.
var foreignness = []struct {
	headers []string
	here    bool
}{
	{nil, true}, // a program, or an old browser that does not say
	{[]string{"Sec-Fetch-Site", "same-origin"}, true},
	{[]string{"Sec-Fetch-Site", "none"}, true},
	{[]string{"Origin", "HERE"}, true},
	{[]string{"Sec-Fetch-Site", "same-origin", "Origin", "HERE"}, true},
	{[]string{"Sec-Fetch-Site", "cross-site"}, false},
	{[]string{"Sec-Fetch-Site", "same-site"}, false},
	{[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, false},
	{[]string{"Origin", "https://evil.example"}, false},
	{[]string{"Origin", "null"}, false},
	{[]string{"Origin", "HERE.evil.example"}, false},
	{[]string{"Origin", "http://127.0.0.1:1"}, false}, // another port is another origin
}

func TestAnotherSiteReachesNoRouteThatActsOrStreams(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	job := w.backup(attic)
	c, p := w.person(store.Admin), w.program(store.Admin)
	tried := 0
	for _, rt := range w.web.routes() {
		acts, streams := rt.method != "GET", rt.path == "/events" || rt.path == "/api/jobs/{id}/stream" || rt.path == "/api/hosts/{id}/ssh" ||
			rt.right == rights.Browse || rt.right == rights.Places // a host works while it waits
		if rt.leaves() {
			c = w.person(store.Admin)
		}
		for _, f := range foreignness {
			headers := slices.Clone(f.headers)
			for i := range headers {
				headers[i] = strings.Replace(headers[i], "HERE", w.http.URL, 1)
			}
			if rt.path == "/api/jobs/{id}/stream" { // a whole handshake would be answered
				headers = append(headers, "Connection", "Upgrade", "Upgrade", "websocket")
			}
			r := c.do(rt.method, rt.at(attic.id, job), nil, headers...)
			tried++
			refused := r.StatusCode == 403 && strings.Contains(r.text, "came from another site")
			if want := (acts || streams) && !f.here; refused != want {
				t.Errorf("%s %s with %v: %s; refused is %t, want %t", rt.method, rt.path, f.headers, r.Status, refused, want)
			}
			if rt.leaves() && f.here {
				c = w.person(store.Admin)
			}
			// A program's token is no cookie that a browser sends by itself.
			if strings.HasPrefix(rt.path, "/api/") {
				if r := p.do(rt.method, rt.at(attic.id, job), nil, headers...); strings.Contains(r.text, "came from another site") {
					t.Errorf("%s %s with %v and a token: %s", rt.method, rt.path, f.headers, r.Status)
				}
			}
		}
	}
	t.Logf("%d requests", tried)
}

func TestEveryAnswerCarriesTheHeadersAndNoPageHasAnythingInline(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	job := w.backup(attic)
	u := w.known("bob", store.Viewer)
	if err := w.store.AddMQTTUser(t.Context(), store.Maker{Name: "test"}, store.MQTTUser{Name: "letters", KeyHash: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	link, err := w.web.People.NewLink(t.Context(), "test", u.ID)
	if err != nil {
		t.Fatal(err)
	}
	admin, nobody := w.person(store.Admin), w.nobody()
	type ask struct {
		c            *client
		method, path string
	}
	asks := []ask{
		{admin, "GET", "/users/" + u.ID},
		{nobody, "GET", base.LinkPath(link)},
		{admin, "GET", "/nonsense"},
		{admin, "GET", "/api/nonsense"},
		{nobody, "GET", "/login"},
		{admin, "DELETE", "/"},
	}
	for _, rt := range w.web.routes() {
		for _, c := range []*client{admin, nobody} {
			if !rt.leaves() {
				asks = append(asks, ask{c, rt.method, rt.at(attic.id, job)})
			}
		}
	}
	pages := 0
	for _, a := range asks {
		r := a.c.do(a.method, a.path, nil)
		name := a.method + " " + a.path
		for header, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
				"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "same-origin",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Strict-Transport-Security":    "", // these answers come in clear
		} {
			if got := r.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
		cache := "no-store"
		if strings.HasPrefix(a.path, "/static/") {
			cache = "public, no-cache"
		}
		if got := r.Header.Get("Cache-Control"); got != cache {
			t.Errorf("%s may be kept: %q, want %q", name, got, cache)
		}
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
			continue
		}
		pages++
		z := html.NewTokenizer(bytes.NewReader([]byte(r.text)))
		for k := z.Next(); k != html.ErrorToken; k = z.Next() {
			tok := z.Token()
			if k != html.StartTagToken && k != html.SelfClosingTagToken {
				continue
			}
			src := false
			for _, at := range tok.Attr {
				src = src || at.Key == "src"
				if at.Key == "style" || strings.HasPrefix(at.Key, "on") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(at.Val)),
					"javascript:") {
					t.Errorf("%s: <%s %s=%q>", name, tok.Data, at.Key, at.Val)
				}
			}
			if tok.Data == "style" || tok.Data == "script" && !src {
				t.Errorf("%s: an inline <%s>", name, tok.Data)
			}
		}
	}
	if pages < 60 {
		t.Errorf("only %d pages were looked at", pages)
	}
	t.Logf("%d answers, %d of them pages", len(asks), pages)
}

func TestABodyIsBoundedByItsRoute(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	c := w.person(store.Admin)
	for _, rt := range w.web.routes() {
		if rt.method == "GET" || rt.leaves() {
			continue
		}
		most := int(rt.most())
		if want := map[bool]int{true: 16 << 10, false: base.MaxBody}[rt.right == anybody]; most > want {
			t.Errorf("%s %s takes %d bytes", rt.method, rt.path, most)
		}
		path := rt.at(attic.id, "nobody-0001")
		headers := []string{}
		if !strings.HasPrefix(rt.path, "/api/") {
			headers = []string{"Content-Type", "application/x-www-form-urlencoded"}
		}
		if r := c.do(rt.method, path, strings.Repeat(" ", most+1), headers...); r.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s %s with a body that is too large: %s", rt.method, rt.path, r.Status)
		}
		// Whoever looks at a body whose length was not said, looks no further.
		switch rt.path {
		case "/login", "/setup", "/set-password", "/users/new", "/mqtt/new", "/api/users", "/api/tokens", "/api/repositories":
			if r := c.do(rt.method, path, unsized{strings.NewReader(`{"x":"` + strings.Repeat(" ", most) + `"}`)},
				headers...); r.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("%s %s with a body that is too large, unsaid: %s", rt.method, rt.path, r.Status)
			}
		}
	}
}

// unsized hides a body's length.
type unsized struct{ r *strings.Reader }

func (u unsized) Read(b []byte) (int, error) { return u.r.Read(b) }
