package views

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed static
var embedded embed.FS

// Static holds the files the pages need, as they are in the static directory.
var Static = func() fs.FS {
	sub, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // the directory is compiled in
	}
	return sub
}()

// An asset is one static file as it is served.
type asset struct {
	name   string // "app.js"
	hashed string // "app.0123456789.js": the name carries a hash of the content
	hash   string
	body   []byte
	zipped func() []byte // the body gzipped, nil if that is not worth it; compressed at the first request for it
}

// assets are the static files by both of their names. The style sheets are last,
// because they name the fonts: each url("font.woff2") becomes the hashed name.
var assets = func() map[string]*asset {
	m := map[string]*asset{}
	var sheets []*asset
	err := fs.WalkDir(Static, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(Static, name)
		if err != nil {
			return err
		}
		a := &asset{name: name, body: b}
		if path.Ext(name) == ".css" {
			sheets = append(sheets, a)
			return nil
		}
		a.seal(m)
		return nil
	})
	if err != nil {
		panic(err) // the files are compiled in
	}
	for _, sheet := range sheets {
		var names []string
		for name, a := range m {
			if name == a.name {
				names = append(names, `url("`+name+`")`, `url("`+a.hashed+`")`)
			}
		}
		sheet.body = []byte(strings.NewReplacer(names...).Replace(string(sheet.body)))
		sheet.seal(m)
	}
	return m
}()

// seal computes what depends on the content and enters the asset under its names.
func (a *asset) seal(m map[string]*asset) {
	sum := sha256.Sum256(a.body)
	a.hash = hex.EncodeToString(sum[:5])
	ext := path.Ext(a.name)
	a.hashed = strings.TrimSuffix(a.name, ext) + "." + a.hash + ext
	a.zipped = sync.OnceValue(a.zip)
	m[a.name], m[a.hashed] = a, a
}

func (a *asset) zip() []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	_, err = z.Write(a.body)
	if err := z.Close(); err != nil {
		panic(err) // a buffer takes everything
	}
	if err != nil || b.Len() > len(a.body)*9/10 {
		return nil
	}
	return b.Bytes()
}

// Asset is the URL of a static file. Its name carries a hash of the content, so
// that a browser may keep it for ever. It panics on a name that is not there.
func Asset(name string) string {
	a, ok := assets[name]
	if !ok {
		panic(fmt.Sprintf("views: no static file %q", name))
	}
	return "/static/" + a.hashed
}

// HasAsset reports whether there is a static file at the path of a URL.
func HasAsset(path string) bool {
	_, ok := assets[strings.TrimPrefix(path, "/static/")]
	return ok
}

// StaticHandler serves the static files below /static/, gzipped to whoever takes
// that. Under their hashed names they are immutable; under their plain names a
// browser asks each time whether its copy is still the present one.
func StaticHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/static/")
		a, ok := assets[name]
		if !ok {
			http.NotFound(w, r) // directories too: they are not for reading
			return
		}
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "public, no-cache")
		if name == a.hashed {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		// The system's MIME table may not know it, and nosniff would then refuse it.
		if path.Ext(name) == ".woff2" {
			h.Set("Content-Type", "font/woff2")
		}
		body, tag := a.body, a.hash
		if zipped := a.zipped(); zipped != nil {
			h.Add("Vary", "Accept-Encoding")
			if AcceptsGzip(r) {
				body, tag = zipped, a.hash+"-gz" // another representation, another tag
				h.Set("Content-Encoding", "gzip")
				// ServeContent leaves the length of encoded content out. It takes it
				// away again where it answers without the content, except after these.
				if r.Header.Get("If-Match") == "" && r.Header.Get("If-Unmodified-Since") == "" {
					h.Set("Content-Length", strconv.Itoa(len(body)))
				}
			}
		}
		h.Set("ETag", `"`+tag+`"`)
		http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(body))
	})
}

// AcceptsGzip reports whether the request's Accept-Encoding takes gzip, and
// likes it no less than an answer that is not encoded.
func AcceptsGzip(r *http.Request) bool {
	weights := map[string]float64{}
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, parameters, _ := strings.Cut(part, ";")
		weight := 1.0
		if key, value, ok := strings.Cut(strings.TrimSpace(parameters), "="); ok && strings.EqualFold(strings.TrimSpace(key), "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil || !(q >= 0 && q <= 1) {
				q = 0
			}
			weight = q
		}
		weights[strings.ToLower(strings.TrimSpace(coding))] = weight
	}
	gzip, named := weights["gzip"]
	if !named {
		gzip = weights["*"]
	}
	return gzip > 0 && gzip >= weights["identity"]
}
