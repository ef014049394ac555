package web

import (
	"compress/gzip"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/restic-manager/restic-manager/views"
)

// Which answers are compressed is decided here and in the list of routes only.
//
// The length of a compressed answer tells something of its content: whoever can
// have a browser send text of their choice, and see how long the answers are,
// finds a secret that stands beside that text letter by letter (BREACH). So
//
//   - only GET is compressed: what forms send, passwords too, comes back in
//     answers to POST, and so do the secrets that are shown once;
//   - a route whose page shows a secret that lasts is a secretPage;
//   - streams are not compressed: a compressor for each open tab would hold the
//     better part of a megabyte, for messages that are small.
//
// A session cookie is in no page, and forms carry no token against forgery: the
// server looks at Origin and Sec-Fetch-Site instead.

// smallest is the length, in bytes, from which compressing is worth its work.
const smallest = 1 << 10

// compressible are the media types that are sent gzipped.
var compressible = map[string]bool{
	"text/html":                true,
	"text/plain":               true,
	"text/csv":                 true,
	"application/json":         true,
	"application/openapi+json": true,
	"application/problem+json": true,
	"application/x-ndjson":     true,
}

var zippers = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(nil, 5)
	if err != nil {
		panic(err) // the level is a constant
	}
	return z
}}

// compressed gzips the answers to GET that are large enough, for clients that
// accept it.
func compressed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.ServeHTTP(w, r)
			return
		}
		z := &zipped{ResponseWriter: w, accepted: views.AcceptsGzip(r)}
		h.ServeHTTP(z, r)
		z.end() // not after a panic: half an answer must not look whole
	})
}

// A zipped writer decides at the first byte of the body whether to compress it.
type zipped struct {
	http.ResponseWriter
	accepted bool
	status   int // that the handler set, until it is written
	decided  bool
	zip      *gzip.Writer // nil if the answer is not compressed
}

// WriteHeader keeps the status until the body begins: whether there is an
// encoding must be known before.
func (z *zipped) WriteHeader(status int) {
	switch {
	case z.decided || status < http.StatusOK:
		z.ResponseWriter.WriteHeader(status)
	case z.status == 0:
		z.status = status
	}
}

func (z *zipped) Write(b []byte) (int, error) {
	z.decide(len(b))
	if z.zip != nil {
		return z.zip.Write(b)
	}
	return z.ResponseWriter.Write(b)
}

// decide sends the header. The body's first part has n bytes; pages and the API's
// answers are written in one.
func (z *zipped) decide(n int) {
	if z.decided {
		return
	}
	z.decided = true
	h := z.Header()
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if length, err := strconv.Atoi(h.Get("Content-Length")); err == nil {
		n = length
	}
	if compressible[media] && h.Get("Content-Encoding") == "" && z.status != http.StatusPartialContent {
		if !strings.Contains(strings.Join(h.Values("Vary"), ","), "Accept-Encoding") {
			h.Add("Vary", "Accept-Encoding")
		}
		if z.accepted && n >= smallest {
			h.Set("Content-Encoding", "gzip")
			h.Del("Content-Length")
			z.zip = zippers.Get().(*gzip.Writer)
			z.zip.Reset(z.ResponseWriter)
		}
	}
	if z.status != 0 {
		z.ResponseWriter.WriteHeader(z.status)
	}
}

// end writes what is still held back.
func (z *zipped) end() {
	z.decide(0)
	if z.zip == nil {
		return
	}
	_ = z.zip.Close() // a client that has gone is not our failure
	z.zip.Reset(nil)
	zippers.Put(z.zip)
	z.zip = nil
}

// FlushError is for http.ResponseController: what was written so far is sent.
func (z *zipped) FlushError() error {
	z.decide(0)
	if z.zip != nil {
		if err := z.zip.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(z.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (z *zipped) Unwrap() http.ResponseWriter { return z.ResponseWriter }
