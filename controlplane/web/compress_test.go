package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// Every route is asked, with an input that pages reflect: no compressed answer
// holds a secret of this world, and what is large and holds none is compressed.
func TestNoSecretIsCompressed(t *testing.T) {
	w := newWorld(t)
	setup := must(w.web.SetupPath(t.Context()))
	if r := w.nobody().do("GET", setup, nil, "Accept-Encoding", "gzip"); r.StatusCode != 200 || r.Header.Get("Content-Encoding") != "" {
		t.Errorf("the page of the first account: %s, Content-Encoding %q", r.Status, r.Header.Get("Content-Encoding"))
	}
	attic := w.enrol("attic")
	g := attic.group("letters")
	job := w.backup(attic)
	u := w.known("bob", store.Viewer)
	if err := w.store.AddMQTTUser(t.Context(), store.Maker{Name: "test"}, store.MQTTUser{Name: "letters", KeyHash: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	made, err := w.web.People.NewLink(t.Context(), "test", u.ID)
	if err != nil {
		t.Fatal(err)
	}
	key, link := made.Key, base.LinkPath(made)
	secrets := map[string]string{
		"a repository's password":     "secret of the vault",
		"a link to set a password":    key,
		"the code of the first setup": must(url.Parse(setup)).Query().Get("code"),
	}
	for what, s := range secrets {
		if len(s) < 10 {
			t.Fatalf("%s is %q", what, s)
		}
	}
	admin, program := w.person(store.Admin), w.program(store.Admin)
	seen, compressed := map[string]bool{}, 0
	secret := func(path string) bool { // it is a secretPage, whatever it shows this time
		return strings.HasPrefix(path, "/set-password") || strings.HasPrefix(path, "/setup") || strings.HasSuffix(path, "/kit")
	}
	look := func(c *client, path string) {
		r := c.do("GET", path, nil, "Accept-Encoding", "gzip")
		text, zipped := r.plain(t), r.Header.Get("Content-Encoding") == "gzip"
		if zipped {
			compressed++
		}
		holds := false
		for what, s := range secrets {
			if strings.Contains(text, s) {
				holds, seen[what] = true, true
				if zipped {
					t.Errorf("GET %s is compressed and holds %s", path, what)
				}
			}
		}
		if media := r.Header.Get("Content-Type"); !zipped && !holds && !secret(r.Request.URL.Path) && len(text) >= 4<<10 &&
			(strings.HasPrefix(media, "text/html") || strings.HasPrefix(media, "application/json")) {
			t.Errorf("GET %s is not compressed: %s, %d bytes", path, media, len(text))
		}
	}
	for _, rt := range w.web.routes() {
		if rt.method != http.MethodGet || rt.path == "/events" || strings.HasSuffix(rt.path, "/stream") || rt.path == "/sign-in" {
			continue
		}
		path := rt.at(attic.id, job)
		switch {
		case strings.Contains(path, "/repositories/"):
			path = strings.Replace(path, "nobody-0001", string(g.Repository), 1)
		case strings.Contains(path, "/users/"):
			path = strings.Replace(path, "nobody-0001", u.ID, 1)
		}
		c := admin
		if strings.HasPrefix(path, "/api/") {
			c = program
		}
		look(c, path)
		look(c, path+"?q=reflected&name=reflected&next=/reflected")
	}
	look(admin, "/there/is/no/such/page")
	look(w.nobody(), link)
	if !seen["a repository's password"] || !seen["a link to set a password"] {
		t.Errorf("the secrets were not on their pages: %v", seen)
	}
	if compressed < 40 {
		t.Errorf("only %d answers were compressed", compressed)
	}
}

// What is shown once, and what a form sends back, comes in answers to POST.
func TestAnswersToFormsAreNotCompressed(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	admin := w.person(store.Admin)
	for path, form := range map[string]url.Values{
		"/hosts/new":                             {"name": {"cellar"}},
		"/hosts/" + string(attic.id) + "/enrol":  {},
		"/hosts/keys":                            {"name": {"rack 7"}, "uses": {"5"}, "days": {"5"}, "policy": {"backup"}},
		"/users/new":                             {"name": {"eve"}, "role": {"viewer"}},
		"/tokens/new":                            {"name": {"nightly"}, "role": {"viewer"}, "days": {"30"}},
		"/mqtt/new":                              {"name": {"home"}, "rights": {"read"}},
		"/repositories/new":                      {"name": {""}, "password": {"typed by somebody"}},
		"/account/password":                      {"password": {"typed by somebody"}},
		"/hosts/" + string(attic.id) + "/revoke": {},
	} {
		r := admin.do("POST", path, form, "Accept-Encoding", "gzip")
		if r.StatusCode >= 500 || r.Header.Get("Content-Encoding") != "" {
			t.Errorf("POST %s: %s, Content-Encoding %q", path, r.Status, r.Header.Get("Content-Encoding"))
		}
	}
}

func TestAPageSaysTheSameCompressedAndPlain(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	c := w.person(store.Admin)
	path := views.HostURL(string(attic.id)) + "/source-groups/new" // without a time
	plain := c.do("GET", path, nil, "Accept-Encoding", "identity")
	zipped := c.do("GET", path, nil, "Accept-Encoding", "gzip;q=0.3, identity;q=0.1")
	if plain.Header.Get("Content-Encoding") != "" || zipped.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("encodings %q and %q", plain.Header.Get("Content-Encoding"), zipped.Header.Get("Content-Encoding"))
	}
	now := func(s string) string { // the page tells when it was made
		before, after, _ := strings.Cut(s, `data-now="`)
		_, after, _ = strings.Cut(after, `"`)
		return before + after
	}
	if now(zipped.plain(t)) != now(plain.text) {
		t.Error("the two differ")
	}
	for name, r := range map[string]answer{"plain": plain, "gzipped": zipped,
		"head": c.do("HEAD", path, nil, "Accept-Encoding", "gzip"), "refused": c.do("GET", "/jobs/nobody-0001", nil, "Accept-Encoding", "gzip")} {
		if !strings.Contains(strings.Join(r.Header.Values("Vary"), ","), "Accept-Encoding") {
			t.Errorf("%s: Vary is %q", name, r.Header.Values("Vary"))
		}
		if name == "head" && (r.Header.Get("Content-Encoding") != "gzip" || r.text != "" || r.StatusCode != 200) {
			t.Errorf("HEAD: %s, Content-Encoding %q, a body of %d bytes", r.Status, r.Header.Get("Content-Encoding"), len(r.text))
		}
		if name == "refused" && r.StatusCode != http.StatusNotFound {
			t.Errorf("a page that is not there: %s", r.Status)
		}
	}
	// Small answers, other methods and streams are sent as they are.
	for _, path := range []string{"/healthz", "/readyz"} {
		if r := c.do("GET", path, nil, "Accept-Encoding", "gzip"); r.Header.Get("Content-Encoding") != "" || r.StatusCode != 200 {
			t.Errorf("%s: %s, Content-Encoding %q", path, r.Status, r.Header.Get("Content-Encoding"))
		}
	}
	r, err := c.http.Do(c.request("GET", "/events?view=fleet", nil, "Accept-Encoding", "gzip"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != 200 || r.Header.Get("Content-Encoding") != "" {
		t.Errorf("a stream: %s, Content-Encoding %q", r.Status, r.Header.Get("Content-Encoding"))
	}
}

// A handler that fails half-way leaves an answer that is recognised as such.
func TestHalfACompressedAnswerDoesNotLookWhole(t *testing.T) {
	for name, half := range map[string]http.HandlerFunc{
		"after a part": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = w.Write(make([]byte, 64<<10))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"before anything": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(compressed(half))
			defer s.Close()
			req := must(http.NewRequestWithContext(t.Context(), "GET", s.URL, nil))
			req.Header.Set("Accept-Encoding", "gzip")
			r, err := s.Client().Do(req)
			if err != nil {
				return
			}
			defer r.Body.Close()
			var b strings.Builder
			if err := r.Write(&b); err == nil {
				t.Error("the answer looks whole")
			}
		})
	}
}

func TestWhatIsFlushedArrivesBeforeTheEnd(t *testing.T) {
	more := make(chan struct{})
	s := httptest.NewServer(compressed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte(strings.Repeat("first ", 500)))
		_ = http.NewResponseController(w).Flush()
		<-more
	})))
	defer s.Close()
	defer close(more)
	r, err := s.Client().Get(s.URL) // this client asks for gzip by itself, and reads it
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b := make([]byte, len("first "))
	if _, err := r.Body.Read(b); err != nil || string(b) != "first " || !r.Uncompressed {
		t.Errorf("read %q, %v; it was gzipped: %t", b, err, r.Uncompressed)
	}
}

func TestLogsAndTheAPIAreCompressed(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	attic.connect()
	job := w.backup(attic)
	attic.start(job)
	attic.logs(job, 1, 200)
	attic.finish(job, topics.Finished{State: topics.Succeeded, Lines: 200})
	c := w.program(store.Viewer)
	for _, path := range []string{"/jobs/" + string(job) + "/log.txt", "/jobs/" + string(job) + "/log.ndjson",
		"/api/jobs/" + string(job) + "/log", "/api/openapi.json"} {
		if strings.HasPrefix(path, "/jobs/") {
			c = w.person(store.Viewer)
		}
		r := c.do("GET", path, nil, "Accept-Encoding", "gzip")
		if r.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(path, "openapi") && !strings.Contains(r.plain(t), "line 200") {
			t.Errorf("%s: %s, Content-Encoding %q", path, r.Status, r.Header.Get("Content-Encoding"))
		}
	}
}
