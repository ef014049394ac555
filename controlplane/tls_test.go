package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// selfSigned writes a certificate for 127.0.0.1 with a serial, and its key.
func selfSigned(t *testing.T, dir string, serial int64) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber:          big.NewInt(serial),
		Subject:               pkix.Name{CommonName: "pages"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool.AppendCertsFromPEM(text)
	for name, b := range map[string][]byte{cert: text, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(serial) * time.Minute) // so that each has a time of its own
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, pool
}

func TestPagesOverTLSHaveACookieOfTheirOwn(t *testing.T) {
	cert, key, pool := selfSigned(t, t.TempDir(), 1)
	p, _ := running(t, func(c *Config) { c.TLSCert, c.TLSKey = cert, key })
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	c := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	link, err := p.SetupLink(t.Context())
	if err != nil || !strings.HasPrefix(link, "https://") {
		t.Fatalf("the first link is %q, %v", link, err)
	}
	r, err := c.PostForm(link, url.Values{"name": {"ada"}, "password": {"correct horse battery"}, "again": {"correct horse battery"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusSeeOther || r.ProtoMajor != 2 || len(r.Cookies()) != 1 {
		t.Fatalf("the first account: %s over %s, %v", r.Status, r.Proto, r.Cookies())
	}
	k := r.Cookies()[0]
	if k.Name != "__Host-restic-manager" || !k.Secure || !k.HttpOnly || k.SameSite != http.SameSiteLaxMode || k.Path != "/" || k.Domain != "" {
		t.Errorf("the cookie is %v", k)
	}
	if h := r.Header.Get("Strict-Transport-Security"); h == "" {
		t.Error("HSTS is not said")
	}
	if _, err := http.Get("http://" + p.HTTPAddr() + "/healthz"); err != nil {
		t.Logf("in clear: %v", err)
	}
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}}}
	if _, err := old.Get("https://" + p.HTTPAddr() + "/healthz"); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestARenewedCertificateIsServedWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	cert, key, _ := selfSigned(t, dir, 1)
	c, err := openCertificate("the pages", cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serial := func(now time.Time) int64 { return c.current(now).Leaf.SerialNumber.Int64() }
	now := time.Now()
	if n := serial(now); n != 1 {
		t.Fatalf("serial %d", n)
	}
	selfSigned(t, dir, 2)
	if n := serial(now.Add(time.Second)); n != 1 {
		t.Errorf("the files are looked at with each handshake")
	}
	if n := serial(now.Add(lookEvery)); n != 2 {
		t.Errorf("serial %d after the files changed", n)
	}
	if err := os.WriteFile(key, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := serial(now.Add(2 * lookEvery)); n != 2 {
		t.Errorf("serial %d while the key is being written", n)
	}
	selfSigned(t, dir, 3)
	if n := serial(now.Add(3 * lookEvery)); n != 3 {
		t.Errorf("serial %d in the end", n)
	}
	for _, f := range [][2]string{{cert, ""}, {"", key}, {cert, filepath.Join(dir, "none")}} {
		if _, err := openCertificate("the pages", f[0], f[1], nil); err == nil {
			t.Errorf("%q is accepted", f)
		}
	}
}
