package views

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
)

//go:embed static
var embedded embed.FS

// Static holds the files the pages need, named as in the static directory.
var Static = func() fs.FS {
	sub, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // the directory is compiled in
	}
	return sub
}()

var versions = func() map[string]string {
	m := map[string]string{}
	err := fs.WalkDir(Static, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(Static, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		m[name] = hex.EncodeToString(sum[:5])
		return nil
	})
	if err != nil {
		panic(err) // the files are compiled in
	}
	return m
}()

// Asset is the URL of a static file, with a version from its content, so that a
// browser may keep it for ever. It panics on a name that is not there.
func Asset(name string) string {
	v, ok := versions[name]
	if !ok {
		panic(fmt.Sprintf("views: no static file %q", name))
	}
	return "/static/" + name + "?v=" + v
}

// StaticHandler serves the static files below /static/. Files asked for by
// their present version are immutable; others (the fonts, which the stylesheet
// names plainly) are kept for a day.
func StaticHandler() http.Handler {
	files := http.FileServerFS(Static)
	return http.StripPrefix("/static/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, ok := versions[r.URL.Path]
		if !ok {
			http.NotFound(w, r) // directories too: they are not for reading
			return
		}
		w.Header().Set("ETag", `"`+v+`"`)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.URL.Query().Get("v") == v {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		} else {
			w.Header().Set("Cache-Control", "public, max-age=86400")
		}
		// The system's MIME table may not know it, and nosniff would then refuse it.
		if strings.HasSuffix(r.URL.Path, ".woff2") {
			w.Header().Set("Content-Type", "font/woff2")
		}
		files.ServeHTTP(w, r)
	}))
}
