// Package s3server is a server that speaks S3, for tests: in memory, on loopback, with what
// a real one has that clients get wrong. It checks signatures with the secret of the key that
// made them, and refuses as S3 does: by a status and an XML document with a code.
//
// The objects are gofakes3's, which asks nobody who they are; all refusals are made here.
package s3server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// The codes of S3 that a Server answers with; gofakes3 has those of objects.
const (
	InvalidAccessKeyID    = "InvalidAccessKeyId"
	SignatureDoesNotMatch = "SignatureDoesNotMatch"
	AccessDenied          = "AccessDenied"
	NoSuchBucket          = "NoSuchBucket"
	SlowDown              = "SlowDown"
	ServiceUnavailable    = "ServiceUnavailable"
)

var statuses = map[string]int{
	InvalidAccessKeyID:    http.StatusForbidden,
	SignatureDoesNotMatch: http.StatusForbidden,
	AccessDenied:          http.StatusForbidden,
	NoSuchBucket:          http.StatusNotFound,
	SlowDown:              http.StatusServiceUnavailable,
	ServiceUnavailable:    http.StatusServiceUnavailable,
}

var messages = map[string]string{
	InvalidAccessKeyID:    "The AWS Access Key Id you provided does not exist in our records.",
	SignatureDoesNotMatch: "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
	AccessDenied:          "Access Denied",
	NoSuchBucket:          "The specified bucket does not exist",
	SlowDown:              "Please reduce your request rate.",
	ServiceUnavailable:    "Reduce your request rate.",
}

// A Server is one that runs until its test ends. Its methods may be called while it serves.
type Server struct {
	URL string // http://127.0.0.1:PORT or https://…, without a path

	// TLS is the server's own, with its certificate; nil without TLS.
	TLS *httptest.Server

	objects *s3mem.Backend
	inner   http.Handler

	mu   sync.Mutex
	keys map[string]string
	rule func(*http.Request) string
	seen []string
}

// Start starts a server that knows one key, and no bucket.
func Start(t testing.TB, key, secret string) *Server {
	return start(t, key, secret, (*httptest.Server).Start)
}

// StartTLS is Start with a certificate that nobody trusts.
func StartTLS(t testing.TB, key, secret string) *Server {
	return start(t, key, secret, (*httptest.Server).StartTLS)
}

func start(t testing.TB, key, secret string, how func(*httptest.Server)) *Server {
	t.Helper()
	s := &Server{objects: s3mem.New(), keys: map[string]string{key: secret}}
	s.inner = gofakes3.New(s.objects, gofakes3.WithTimeSkewLimit(0)).Server()
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = nil
	how(server)
	t.Cleanup(server.Close)
	if s.URL = server.URL; server.TLS != nil {
		s.TLS = server
	}
	return s
}

// Bucket makes a bucket.
func (s *Server) Bucket(t testing.TB, name string) {
	t.Helper()
	if err := s.objects.CreateBucket(name); err != nil {
		t.Fatalf("make the bucket %s: %v", name, err)
	}
}

// Put puts an object into a bucket.
func (s *Server) Put(t testing.TB, bucket, name, text string) {
	t.Helper()
	meta := map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}
	if _, err := s.objects.PutObject(bucket, name, meta, strings.NewReader(text), int64(len(text)), nil); err != nil {
		t.Fatalf("put %s into %s: %v", name, bucket, err)
	}
}

// Objects lists the names of a bucket's objects, none of one that is not there.
func (s *Server) Objects(bucket string) (names []string) {
	list, err := s.objects.ListBucket(bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		return nil
	}
	for _, o := range list.Contents {
		names = append(names, o.Key)
	}
	return names
}

// Rule has every request that is signed well answered with a code if the function returns
// one; nil takes the rule away. It is called by several goroutines.
func (s *Server) Rule(f func(*http.Request) (code string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rule = f
}

// AppendOnly is a rule of a key that may delete locks alone.
func AppendOnly(r *http.Request) string {
	_, removes := r.URL.Query()["delete"]
	if r.Method == http.MethodDelete && !strings.Contains(r.URL.Path, "/locks/") || r.Method == http.MethodPost && removes {
		return AccessDenied
	}
	return ""
}

// Seen lists the requests so far: method and path, and the code that they were refused with.
func (s *Server) Seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	code := s.judge(r)
	s.mu.Lock()
	s.seen = append(s.seen, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+code))
	s.mu.Unlock()
	if code != "" {
		refuse(w, r, code)
		return
	}
	s.inner.ServeHTTP(w, r)
}

// judge returns the code that a request is refused with, "" for none.
func (s *Server) judge(r *http.Request) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	signed, err := signatureOf(r)
	if err != nil { // nobody signed it: anonymous
		return AccessDenied
	}
	secret, known := s.keys[signed.key]
	switch {
	case !known:
		return InvalidAccessKeyID
	case !hmac.Equal([]byte(signed.expected(r, secret)), []byte(signed.signature)):
		return SignatureDoesNotMatch
	case s.rule != nil:
		return s.rule(r)
	}
	return ""
}

func refuse(w http.ResponseWriter, r *http.Request, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("x-amz-request-id", "TEST")
	w.WriteHeader(statuses[code])
	if r.Method == http.MethodHead {
		return
	}
	_, _ = io.WriteString(w, xml.Header)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName             xml.Name `xml:"Error"`
		Code, Message       string
		Resource, RequestID string
	}{Code: code, Message: messages[code], Resource: r.URL.Path, RequestID: "TEST"})
}

// A signature is what a request's Authorization says, of version 4.
type signature struct {
	key, scope, signature string
	headers               []string // in the order in which they are signed
}

var errUnsigned = errors.New("no signature of version 4")

func signatureOf(r *http.Request) (signature, error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return signature{}, errUnsigned
	}
	var s signature
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			s.key, s.scope, _ = strings.Cut(value, "/")
		case "SignedHeaders":
			s.headers = strings.Split(value, ";")
		case "Signature":
			s.signature = value
		}
	}
	if s.key == "" || len(strings.Split(s.scope, "/")) != 4 || !slices.Contains(s.headers, "host") || s.signature == "" {
		return signature{}, errUnsigned
	}
	return s, nil
}

// expected is the signature that a secret makes of a request, as the documentation of
// Signature Version 4 describes it.
func (s signature) expected(r *http.Request, secret string) string {
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, encoded(r.URL.Path, "/"), queryOf(r.URL.Query()))
	for _, name := range s.headers {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, strings.TrimSpace(value))
	}
	fmt.Fprintf(&canonical, "\n%s\n%s", strings.Join(s.headers, ";"), r.Header.Get("X-Amz-Content-Sha256"))
	sum := sha256.Sum256([]byte(canonical.String()))
	text := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + s.scope + "\n" + hex.EncodeToString(sum[:])
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(s.scope, "/") {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, text))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func queryOf(q url.Values) string {
	var parts []string
	for name, values := range q {
		for _, v := range values {
			parts = append(parts, encoded(name, "")+"="+encoded(v, ""))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}

// encoded is a text in which every byte is escaped but letters, digits, "-._~" and what else
// is said.
func encoded(text, but string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~"+but, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
