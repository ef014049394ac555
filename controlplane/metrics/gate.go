package metrics

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/notices"
)

// Access says who may read the metrics. The zero value is nobody; with both, both must
// hold.
type Access struct {
	TokenFile string         // holds the token that is shown; "" asks for none
	Allow     []netip.Prefix // from where; nil is from anywhere
}

// Any reports whether anybody may read the metrics at all.
func (a Access) Any() bool { return a.TokenFile != "" || len(a.Allow) > 0 }

// Bounds of a token, in characters. A shorter one counts, and is told.
const (
	goodToken = 16
	maxToken  = 4096
)

// saidEvery is how often it is logged at most, for each reason, that somebody was refused.
const saidEvery = time.Minute

// A gate decides about each request for itself. The file is read each time, so that a new
// token counts at once, and the old one no longer.
type gate struct {
	Access
	log *slog.Logger

	mu   sync.Mutex
	said map[string]time.Time // when a reason was logged last
}

// newGate looks at the token once, so that a slip is told at the start.
func newGate(a Access, log *slog.Logger) (*gate, error) {
	if a.TokenFile != "" {
		_, weak, err := readToken(a.TokenFile)
		if err != nil {
			return nil, err
		}
		if weak != nil {
			log.Warn("others may read the metrics", "why", weak.what, "remedy", weak.remedy)
		}
	}
	return &gate{Access: a, log: log, said: map[string]time.Time{}}, nil
}

// lets reports whether a request is answered. from is whose it is, vouched whether all
// that it says about where it came from was said by proxies that are trusted.
func (g *gate) lets(r *http.Request, from netip.Addr, vouched bool) bool {
	why := g.refuses(r, from, vouched)
	if why == "" {
		return true
	}
	g.mu.Lock()
	last, known := g.said[why]
	say := !known || time.Since(last) >= saidEvery
	if say {
		g.said[why] = time.Now()
	}
	g.mu.Unlock()
	if say { // what was sent is not logged: it may be the token
		g.log.Info("a request for /metrics was answered as if there were no such page", "reason", why, "remote", from.String())
	}
	return false
}

// refuses is why a request is not answered, "" if it is.
func (g *gate) refuses(r *http.Request, from netip.Addr, vouched bool) string {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return "only GET and HEAD read metrics"
	case r.URL.RawQuery != "" || r.URL.ForceQuery:
		return "it has a query string: addresses are written to logs, so no token is taken from there"
	case !vouched:
		return "it has forwarding headers that no trusted proxy answers for; see --trusted-proxy"
	case len(g.Allow) > 0 && !slices.ContainsFunc(g.Allow, func(p netip.Prefix) bool { return p.Contains(from) }):
		return "its address is not in --metrics-allow"
	case g.TokenFile == "":
		return ""
	}
	want, _, err := readToken(g.TokenFile)
	if err != nil {
		return err.Error()
	}
	lines := r.Header.Values("Authorization")
	if len(lines) != 1 {
		return "it does not show the token: Authorization: Bearer TOKEN"
	}
	scheme, shown, _ := strings.Cut(lines[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "it does not show the token: Authorization: Bearer TOKEN"
	}
	// Of their hashes: how long the token is, the time does not tell either.
	a, b := sha256.Sum256([]byte(strings.TrimSpace(shown))), sha256.Sum256(want)
	if subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
		return "it shows another token than the one in --metrics-token-file"
	}
	return ""
}

// Notices says it while the token cannot be read, since then nobody reads metrics, and
// while others may know or guess it.
func (g *gate) notices(context.Context) []notices.Notice {
	if g.TokenFile == "" {
		return nil
	}
	_, weak, err := readToken(g.TokenFile)
	var bad *tokenError
	if !errors.As(err, &bad) {
		if weak == nil {
			return nil
		}
		return []notices.Notice{{ID: "metrics-token", Severity: notices.Warning,
			Say:    "Others may read the metrics, which name all hosts: " + weak.what + ". Backups are not affected.",
			Remedy: weak.remedy}}
	}
	return []notices.Notice{{ID: "metrics-token", Severity: notices.Warning,
		Say:    "Prometheus gets no metrics: " + bad.what + ". Backups are not affected.",
		Remedy: bad.remedy}}
}

// A tokenError is what is wrong with a token's file.
type tokenError struct {
	what, remedy string
	err          error
}

// Error implements error.
func (e *tokenError) Error() string { return e.what + "; " + e.remedy }

// Unwrap is for errors.Is.
func (e *tokenError) Unwrap() error { return e.err }

// readToken reads the token of a file. What is weak about one that counts is that others may
// know or guess it: secrets are often mounted into containers for everybody to read.
func readToken(file string) (token []byte, weak *tokenError, err error) {
	anew := "make one with: openssl rand -hex 32 > " + file + " && chmod 640 " + file
	bad := func(what, remedy string, err error) *tokenError {
		return &tokenError{what: fmt.Sprintf("--metrics-token-file %s %s", file, what), remedy: remedy, err: err}
	}
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		why := err
		var p *os.PathError
		if errors.As(err, &p) {
			why = p.Err
		}
		remedy := "let the user that runs the control plane read it"
		if errors.Is(err, os.ErrNotExist) {
			remedy = anew
		}
		return nil, nil, bad("cannot be read: "+why.Error(), remedy, err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, bad("cannot be read", "see that it is a file", err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, bad("is no file", anew, nil)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o007 != 0 { // there, others are kept out by its folder
		weak = bad(fmt.Sprintf("may be used by everybody on this machine (mode %04o)", mode), "make a new token, and: chmod 640 "+file, nil)
		if mode&0o002 != 0 {
			return nil, nil, weak
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxToken+3))
	if err != nil {
		return nil, nil, bad("cannot be read", "see that its disk works", err)
	}
	b = bytes.TrimSpace(b)
	switch {
	case len(b) == 0:
		return nil, nil, bad("is empty", anew, nil)
	case len(b) > maxToken:
		return nil, nil, bad(fmt.Sprintf("holds more than the %d characters of a token", maxToken), anew, nil)
	case bytes.ContainsFunc(b, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, nil, bad("holds more than one word of letters, digits and signs", anew, nil)
	}
	if len(b) < goodToken {
		weak = bad(fmt.Sprintf("holds %d characters, which can be guessed; take %d or more", len(b), goodToken), anew, nil)
	}
	return b, weak, nil
}
