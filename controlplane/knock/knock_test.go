package knock

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

func certificate(t *testing.T, from, until time.Time, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	row := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "a test"}, NotBefore: from,
		NotAfter: until, DNSNames: names, IsCA: true, BasicConstraintsValid: true}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			row.IPAddresses = append(row.IPAddresses, ip)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, row, row, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// agentsPort listens as a port for agents does, as far as a handshake goes.
func agentsPort(t *testing.T, version uint16) string {
	t.Helper()
	c, _ := certificate(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), topics.ServerName)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c}, NextProtos: []string{topics.ALPNHTTP},
		MinVersion: version, MaxVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	return served(t, ln, func(c net.Conn) { _ = c.(*tls.Conn).Handshake() })
}

func served(t *testing.T, ln net.Listener, serve func(net.Conn)) string {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-ended })
	return ln.Addr().String()
}

func closed(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestWhereTheAddressOfAgentsLeads(t *testing.T) {
	here := agentsPort(t, tls.VersionTLS13)
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	deaf := served(t, ln, func(net.Conn) {})
	for what, c := range map[string]struct {
		at      string
		verdict Verdict
		say, do string
	}{
		"our own port":                {here, Alone, "on this machine alone", "--agents 0.0.0.0:"},
		"another control plane":       {agentsPort(t, tls.VersionTLS13), Another, "not of this control plane", "pass TCP on"},
		"a web server without TLS":    {strings.TrimPrefix(web.URL, "http://"), Another, "does not speak TLS", "pass TCP on"},
		"a proxy of an older TLS":     {agentsPort(t, tls.VersionTLS12), Another, "not the port for agents", "pass TCP on"},
		"one that hangs up":           {deaf, Another, "not the port for agents", "pass TCP on"},
		"a port where nobody listens": {closed(t), Unreached, "refuses connections", "forwarded to this machine"},
	} {
		got := Agents(t.Context(), c.at, here)
		if got.Verdict != c.verdict || !strings.Contains(got.Say, c.say) || !strings.Contains(got.Do, c.do) {
			t.Errorf("%s: %+v", what, got)
		}
	}
	if got := Agents(t.Context(), here, closed(t)); got.Verdict != Unreached || !strings.Contains(got.Say, "own port for agents") {
		t.Errorf("our own port is closed: %+v", got)
	}
}

func TestWhereTheAddressOfThePagesLeads(t *testing.T) {
	seen := map[string]bool{}
	heard := func(n string) bool { return seen[n] }
	ours := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen[r.URL.Query().Get("look")] = true })
	quiet := log.New(io.Discard, "", 0) // of handshakes that were meant to fail
	start := func(h http.Handler, from, until time.Duration, names ...string) (string, *x509.CertPool) {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = quiet
		t.Cleanup(s.Close)
		if len(names) == 0 {
			s.Start()
			return s.URL, nil
		}
		c, pool := certificate(t, time.Now().Add(from), time.Now().Add(until), names...)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
		s.StartTLS()
		return s.URL, pool
	}
	plain, _ := start(ours, 0, 0)
	good, trusted := start(ours, -time.Hour, time.Hour, "127.0.0.1")
	named, ofNamed := start(ours, -time.Hour, time.Hour, "elsewhere.example.net")
	old, ofOld := start(ours, -2*time.Hour, -time.Hour, "127.0.0.1")
	other, _ := start(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") }), 0, 0)
	away, _ := start(http.RedirectHandler("https://b.example.net/login", http.StatusFound), 0, 0)
	for what, c := range map[string]struct {
		at      string
		roots   *x509.CertPool
		verdict Verdict
		say     string
	}{
		"ours, in clear":         {plain, nil, Alone, "on this machine alone"},
		"ours, with TLS":         {good, trusted, Alone, "on this machine alone"},
		"an unknown authority":   {good, x509.NewCertPool(), Mistrust, "does not know who issued"},
		"another name":           {named, ofNamed, Mistrust, "for another name than 127.0.0.1"},
		"expired":                {old, ofOld, Mistrust, "has expired"},
		"another server":         {other, nil, Another, "Somebody else answers"},
		"sent on":                {away, nil, Another, "https://b.example.net/login"},
		"https where http is":    {strings.Replace(plain, "http:", "https:", 1), nil, Another, "does not speak TLS"},
		"nobody listens":         {"https://" + closed(t), nil, Unreached, "refuses connections"},
		"no address that is one": {"https://[::1", nil, Another, "is no address"},
	} {
		got := Pages(t.Context(), c.at, strings.ReplaceAll(what, " ", "-"), heard, c.roots)
		if got.Verdict != c.verdict || !strings.Contains(got.Say, c.say) || got.Do == "" {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

func TestWhyNobodyAnswers(t *testing.T) {
	for want, err := range map[string]error{
		"leads nowhere":          &net.DNSError{Err: "no such host", Name: "b.example.net", IsNotFound: true},
		"could not be looked up": &net.DNSError{Err: "server misbehaving", Name: "b.example.net", IsTemporary: true},
		"refuses connections":    &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"Nobody answers":         fmt.Errorf("dial: %w", context.DeadlineExceeded),
		"is not reached":         errors.New("no route to host"),
	} {
		got := unreached("b.example.net:8883", err, "it listens here")
		if got.Verdict != Unreached || !strings.Contains(got.Say, want) || got.Do == "" {
			t.Errorf("%v: %+v, want %q", err, got, want)
		}
	}
}
