package web

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/metrics"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
)

// A scraper is a page of metrics whose rules are real and whose figures are not.
type scraper struct{ *metrics.Page }

func (scraper) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "figures\n")
}

const scrapeToken = "0123456789abcdef0123456789abcdef"

// scrapedWorld is a world with metrics for whoever shows the token, from 10.0.0.0/8 if that is
// asked for, behind a proxy that is trusted.
func scrapedWorld(t *testing.T, token bool, allow ...string) *world {
	t.Helper()
	return newWorld(t, func(c *base.Config) {
		a := metrics.Access{}
		if token {
			a.TokenFile = filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(a.TokenFile, []byte(scrapeToken+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, one := range allow {
			a.Allow = append(a.Allow, netip.MustParsePrefix(one))
		}
		c.Proxies = []netip.Prefix{netip.MustParsePrefix("192.168.0.1/32"), netip.MustParsePrefix("10.9.9.9/32")}
		page := must(metrics.New(metrics.Config{Access: a, Store: c.Store, Log: slog.New(slog.DiscardHandler)}))
		c.Metrics = scraper{page}
	})
}

// ask sends a request from an address, with headers as pairs.
func (w *world) ask(method, path, from string, headers ...string) *httptest.ResponseRecorder {
	r, rec := httptest.NewRequest(method, path, nil), httptest.NewRecorder()
	r.RemoteAddr = from + ":4711"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w.web.Handler().ServeHTTP(rec, r)
	return rec
}

var made = regexp.MustCompile(`data-now="[^"]*"`)

// TestToStrangersThereAreNoMetrics: whoever is refused gets, by every method and with
// whatever they send, the answer that an address has that is not there, to the last byte.
func TestToStrangersThereAreNoMetrics(t *testing.T) {
	off := newWorld(t)
	worlds := map[string]*world{"off": off, "token": scrapedWorld(t, true), "network": scrapedWorld(t, false, "10.0.0.0/8"),
		"both": scrapedWorld(t, true, "10.0.0.0/8")}
	bearer := []string{"Authorization", "Bearer wrong-wrong-wrong-wrong"}
	for name, w := range worlds {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"} {
			for what, headers := range map[string][]string{"nothing": nil, "a wrong token": bearer, "gzip": {"Accept-Encoding", "gzip"},
				"a browser": {"Accept", "text/html", "Cookie", "session=x"}, "a program": {"Accept", "application/json"},
				"a large body": {"Content-Length", "9000"}, "another site": {"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}} {
				ask := func(path string) *httptest.ResponseRecorder {
					if what != "a large body" {
						return w.ask(method, path, "192.0.2.1", headers...)
					}
					r, rec := httptest.NewRequest(method, path, strings.NewReader(strings.Repeat("x", 9000))), httptest.NewRecorder()
					r.RemoteAddr = "192.0.2.1:4711"
					w.web.Handler().ServeHTTP(rec, r)
					return rec
				}
				none, got := ask("/metricz"), ask("/metrics")
				same := func(r *httptest.ResponseRecorder) string { // but for its name, and when the page was made
					text := answer{&http.Response{Header: r.Header()}, r.Body.String()}.plain(t)
					return made.ReplaceAllString(strings.ReplaceAll(text, "/metrics", "/metricz"), "")
				}
				if got.Code != none.Code || !maps.EqualFunc(got.Header(), none.Header(), func(a, b []string) bool {
					return strings.ReplaceAll(strings.Join(a, "\n"), "/metrics", "/metricz") == strings.Join(b, "\n")
				}) || same(got) != same(none) {
					t.Errorf("%s, %s with %s: %d %v\n%.300s\nwhere there is nothing: %d %v\n%.300s", name, method, what, got.Code, got.Header(),
						same(got), none.Code, none.Header(), same(none))
				}
				if what == "nothing" && method == "GET" && got.Code != http.StatusNotFound {
					t.Errorf("%s: %d", name, got.Code)
				}
			}
		}
	}
}

// TestWhoseAddressCounts: it is the client's, as trusted proxies tell it; what anybody else
// says of where a request came from is a reason to answer nothing.
func TestWhoseAddressCounts(t *testing.T) {
	w := scrapedWorld(t, false, "10.0.0.0/8")
	for _, c := range []struct {
		is, from string
		headers  []string
		want     int
	}{
		{"from the network", "10.1.2.3", nil, 200},
		{"from elsewhere", "192.0.2.1", nil, 404},
		{"through the proxy, from the network", "192.168.0.1", []string{"X-Forwarded-For", "10.1.2.3", "X-Forwarded-Proto", "https"}, 200},
		{"through two proxies", "192.168.0.1", []string{"X-Forwarded-For", "10.1.2.3, 10.9.9.9"}, 200},
		{"through the proxy, from elsewhere", "192.168.0.1", []string{"X-Forwarded-For", "192.0.2.1"}, 404},
		{"through the proxy, and lies about it", "192.168.0.1", []string{"X-Forwarded-For", "10.1.2.3, 192.0.2.1"}, 404},
		{"the same from the network", "192.168.0.1", []string{"X-Forwarded-For", "192.0.2.1, 10.1.2.3"}, 404},
		{"through a proxy that does not say for whom", "10.9.9.9", []string{"X-Forwarded-Proto", "https"}, 404},
		{"through a proxy that says nonsense", "10.9.9.9", []string{"X-Forwarded-For", "unknown"}, 404},
		{"on the proxy's machine", "10.9.9.9", nil, 200},
		{"X-Forwarded-For of its own", "10.1.2.3", []string{"X-Forwarded-For", "10.1.2.3"}, 404},
		{"X-Forwarded-Proto of its own", "10.1.2.3", []string{"X-Forwarded-Proto", "https"}, 404},
		{"X-Forwarded-Host of its own", "10.1.2.3", []string{"X-Forwarded-Host", "example.org"}, 404},
		{"Forwarded of its own", "10.1.2.3", []string{"Forwarded", "for=10.1.2.3"}, 404},
		{"X-Real-IP of its own", "10.1.2.3", []string{"X-Real-IP", "10.1.2.3"}, 404},
		{"an empty X-Forwarded-For of its own", "10.1.2.3", []string{"X-Forwarded-For", ""}, 404},
		{"X_Forwarded_For of its own", "10.1.2.3", []string{"X_Forwarded_For", "10.1.2.3"}, 404},
		{"Via of its own", "10.1.2.3", []string{"Via", "1.1 somebody"}, 404},
		{"with a query string", "10.1.2.3", nil, 404},
	} {
		path := "/metrics"
		if strings.Contains(c.is, "query") {
			path += "?x=1"
		}
		if r := w.ask("GET", path, c.from, c.headers...); r.Code != c.want {
			t.Errorf("%s: %d, want %d", c.is, r.Code, c.want)
		}
	}
	byBoth := scrapedWorld(t, true, "10.0.0.0/8")
	good := []string{"Authorization", "Bearer " + scrapeToken}
	if r := byBoth.ask("GET", "/metrics", "10.1.2.3", good...); r.Code != 200 || r.Body.String() != "figures\n" {
		t.Errorf("both: %d %s", r.Code, r.Body)
	}
	if r := byBoth.ask("GET", "/metrics", "192.0.2.1", good...); r.Code != 404 {
		t.Errorf("the token from elsewhere: %d", r.Code)
	}
	if r := byBoth.ask("GET", "/metrics", "10.1.2.3"); r.Code != 404 {
		t.Errorf("the network without the token: %d", r.Code)
	}
	// Who is signed in reads pages, not metrics; and an API token is another thing.
	admin := w.person(store.Admin)
	if r := admin.do("GET", "/metrics", nil); r.StatusCode != 404 {
		t.Errorf("an administrator from elsewhere: %s", r.Status)
	}
}
