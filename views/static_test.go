package views_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/views"
)

func fetch(method, url string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, url, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	views.StaticHandler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(in)
		if err != nil {
			t.Fatal(err)
		}
		in = z
	}
	b, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStaticFilesAreKeptForEverUnderTheirHashedNames(t *testing.T) {
	const ever, ask = "public, max-age=31536000, immutable", "public, no-cache"
	for url, want := range map[string]string{
		views.Asset("app.js"):              ever,
		views.Asset("icons.svg"):           ever,
		views.Asset("restic-manager.css"):  ever,
		views.Asset("geist-latin.woff2"):   ever,
		"/static/app.js":                   ask,
		"/static/geist-mono-latin.woff2":   ask,
		"/static/OFL-Geist.txt":            ask,
		views.Asset("app.js") + "?v=other": ever,
	} {
		r := fetch("GET", url)
		if got := r.Header.Get("Cache-Control"); r.StatusCode != 200 || got != want {
			t.Errorf("%s: got %d %q, want %q", url, r.StatusCode, got, want)
		}
		if r.Header.Get("Content-Type") == "" {
			t.Errorf("%s: no content type", url)
		}
	}
	for _, url := range []string{"/static/", "/static/nope", "/static/../words.go", "/static/app.0000000000.js"} {
		if r := fetch("GET", url); r.StatusCode != 404 {
			t.Errorf("%s: got %d, want 404", url, r.StatusCode)
		}
	}
}

func TestTheStyleSheetNamesEverythingByItsHashAndFetchesNothingFromElsewhere(t *testing.T) {
	css := body(t, fetch("GET", views.Asset("restic-manager.css")))
	if strings.Contains(css, "@import") || strings.Count(css, "http://") != strings.Count(css, "http://www.w3.org") {
		t.Error("the style sheet fetches something from elsewhere")
	}
	fonts := 0
	for _, m := range regexp.MustCompile(`url\("([^"]*)"\)`).FindAllStringSubmatch(css, -1) {
		if strings.HasPrefix(m[1], "data:") {
			continue
		}
		fonts++
		if !hashed.MatchString(m[1]) || !views.HasAsset("/static/"+m[1]) {
			t.Errorf("the style sheet names %s", m[1])
		}
	}
	if fonts != 2 {
		t.Errorf("the style sheet names %d fonts, want 2", fonts)
	}
}

func TestStaticFilesAreGzippedForWhoTakesIt(t *testing.T) {
	url := views.Asset("restic-manager.css")
	plain := fetch("GET", url)
	text := body(t, plain)
	for accept, zipped := range map[string]bool{
		"":                           false,
		"gzip":                       true,
		"GZIP":                       true,
		"br, gzip;q=0.5":             true,
		"deflate, gzip ; q=1.0":      true,
		"*":                          true,
		"br":                         false,
		"gzip;q=0":                   false,
		"gzip;q=0.000":               false,
		"gzip;q=none":                false,
		"gzip;q=0, *":                false,
		"*;q=0":                      false,
		"identity, gzip;q=0.5":       false,
		"identity;q=0.5, gzip;q=0.5": true,
		"xgzip":                      false,
	} {
		r := fetch("GET", url, "Accept-Encoding", accept)
		if got := r.Header.Get("Content-Encoding") == "gzip"; got != zipped || r.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: gzipped is %v, Vary %q", accept, got, r.Header.Get("Vary"))
		}
		if got := body(t, r); got != text {
			t.Errorf("Accept-Encoding %q: %d bytes, want the same %d", accept, len(got), len(text))
		}
	}
	zipped := fetch("GET", url, "Accept-Encoding", "gzip")
	if zipped.Header.Get("ETag") == plain.Header.Get("ETag") {
		t.Error("two representations have the same ETag")
	}
	if n, err := strconv.Atoi(zipped.Header.Get("Content-Length")); err != nil || n > len(text)/3 {
		t.Errorf("the gzipped style sheet has a length of %q", zipped.Header.Get("Content-Length"))
	}
	if !strings.HasPrefix(zipped.Header.Get("Content-Type"), "text/css") {
		t.Errorf("its type is %q", zipped.Header.Get("Content-Type"))
	}
	// What does not shrink is sent as it is.
	if r := fetch("GET", views.Asset("geist-latin.woff2"), "Accept-Encoding", "gzip"); r.Header.Get("Content-Encoding") != "" ||
		r.Header.Get("Vary") != "" {
		t.Error("a font was gzipped")
	}
}

func TestStaticFilesAreSentAgainOnlyWhenTheyChanged(t *testing.T) {
	url := "/static/app.js"
	for _, accept := range []string{"", "gzip"} {
		whole := fetch("GET", url, "Accept-Encoding", accept)
		raw, err := io.ReadAll(whole.Body)
		if err != nil {
			t.Fatal(err)
		}
		tag := whole.Header.Get("ETag")
		for name, c := range map[string]struct {
			headers []string
			status  int
			body    []byte
		}{
			"same tag":                  {[]string{"If-None-Match", tag}, 304, nil},
			"one of several tags":       {[]string{"If-None-Match", `"x", ` + tag}, 304, nil},
			"other tag":                 {[]string{"If-None-Match", `"0000000000"`}, 200, raw},
			"part":                      {[]string{"Range", "bytes=10-19"}, 206, raw[10:20]},
			"part of the same":          {[]string{"Range", "bytes=-5", "If-Range", tag}, 206, raw[len(raw)-5:]},
			"part of another":           {[]string{"Range", "bytes=-5", "If-Range", `"0000000000"`}, 200, raw},
			"part beyond the end":       {[]string{"Range", "bytes=9999999-"}, 416, nil},
			"only if it is another one": {[]string{"If-Match", `"0000000000"`}, 412, nil},
		} {
			r := fetch("GET", url, append(c.headers, "Accept-Encoding", accept)...)
			got, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			if r.StatusCode != c.status || c.body != nil && !bytes.Equal(got, c.body) {
				t.Errorf("%s, Accept-Encoding %q: got %d with %d bytes, want %d with %d", name, accept, r.StatusCode, len(got), c.status, len(c.body))
			}
			if n := r.Header.Get("Content-Length"); n != "" && n != strconv.Itoa(len(got)) {
				t.Errorf("%s, Accept-Encoding %q: %d bytes with a Content-Length of %s", name, accept, len(got), n)
			}
		}
		head := fetch("HEAD", url, "Accept-Encoding", accept)
		for _, h := range []string{"ETag", "Content-Length", "Content-Encoding", "Content-Type", "Cache-Control", "Vary"} {
			if got, want := head.Header.Get(h), whole.Header.Get(h); got != want {
				t.Errorf("HEAD, Accept-Encoding %q: %s is %q, want %q", accept, h, got, want)
			}
		}
		if b, err := io.ReadAll(head.Body); err != nil || len(b) > 0 {
			t.Errorf("HEAD has a body of %d bytes", len(b))
		}
	}
}

// What is compiled in is what the directory holds.
func TestEveryStaticFileIsServed(t *testing.T) {
	if err := fs.WalkDir(views.Static, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		want, err := fs.ReadFile(views.Static, name)
		if err != nil {
			return err
		}
		r := fetch("GET", views.Asset(name), "Accept-Encoding", "gzip")
		if got := body(t, r); r.StatusCode != 200 || got != string(want) && !strings.HasSuffix(name, ".css") {
			t.Errorf("%s: %d with %d bytes, want %d", name, r.StatusCode, len(got), len(want))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
