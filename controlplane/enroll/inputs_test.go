package enroll

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// letsIn reports whether the port with the real TLS configuration shakes hands with a
// certificate, and a chain behind it.
func letsIn(t *testing.T, d *Desk, chain [][]byte, key crypto.Signer) bool {
	t.Helper()
	ln := tls.NewListener(must(net.Listen("tcp", "127.0.0.1:0")), must(d.ServerTLS()))
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if c.(*tls.Conn).Handshake() == nil {
			_, _ = c.Write([]byte("in"))
		}
	}()
	pool := x509.NewCertPool()
	pool.AddCert(d.CA.Certificate)
	conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{
		RootCAs:      pool,
		ServerName:   topics.ServerName,
		NextProtos:   []string{topics.ALPNMQTT},
		Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: key}},
	})
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	n, _ := conn.Read(make([]byte, 2))
	return n == 2
}

// TestCertificatesThatAreNotOursAreRefused shows the port certificates that our CA
// never made, and some that it made and nobody was given.
func TestCertificatesThatAreNotOursAreRefused(t *testing.T) {
	d := newDesk(t)
	req, key := request(d.token(t, ""))
	w, _ := d.post(t, req)
	var answer topics.EnrollResponse
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	good := must(x509.ParseCertificate(answer.Certificate))
	if !letsIn(t, d, [][]byte{answer.Certificate}, key) {
		t.Fatal("the host's own certificate is refused")
	}

	type made struct {
		template x509.Certificate
		parent   *x509.Certificate
		signer   crypto.Signer
		key      crypto.Signer
	}
	like := func(change func(*made)) ([][]byte, crypto.Signer) {
		m := made{template: x509.Certificate{
			SerialNumber: good.SerialNumber,
			Subject:      pkix.Name{CommonName: string(answer.Host)},
			NotBefore:    good.NotBefore,
			NotAfter:     good.NotAfter,
			KeyUsage:     good.KeyUsage,
			ExtKeyUsage:  good.ExtKeyUsage,
		}, parent: d.CA.Certificate, signer: d.CA.key, key: key}
		change(&m)
		return [][]byte{must(x509.CreateCertificate(rand.Reader, &m.template, m.parent, m.key.Public(), m.signer))}, m.key
	}
	if chain, k := like(func(*made) {}); !letsIn(t, d, chain, k) {
		t.Fatal("a certificate like the host's own is refused: the others say nothing then")
	}
	now := time.Now()
	for what, change := range map[string]func(*made){
		"it has run out": func(m *made) {
			m.template.NotBefore, m.template.NotAfter = now.Add(-2*time.Hour),
				now.Add(-time.Hour)
		},
		"it is of the future":  func(m *made) { m.template.NotBefore = now.Add(time.Hour) },
		"it signed itself":     func(m *made) { m.parent, m.signer = &m.template, m.key },
		"another CA signed it": func(m *made) { other := newDesk(t).CA; m.parent, m.signer = other.Certificate, other.key },
		"a CA of the same name did": func(m *made) {
			k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
			like := *d.CA.Certificate
			like.PublicKey = k.Public()
			m.parent, m.signer = &like, k
		},
		"it is for servers":           func(m *made) { m.template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
		"another number":              func(m *made) { m.template.SerialNumber = big.NewInt(7) },
		"a host nobody knows":         func(m *made) { m.template.Subject.CommonName = "0123456789abcdef" },
		"no name":                     func(m *made) { m.template.Subject.CommonName = "" },
		"a name that is none":         func(m *made) { m.template.Subject.CommonName = "../" + string(answer.Host) },
		"a name of 10,000 bytes":      func(m *made) { m.template.Subject.CommonName = strings.Repeat(string(answer.Host), 600) },
		"the name where none belongs": func(m *made) { m.template.Subject = pkix.Name{Organization: []string{string(answer.Host)}} },
		"the name in capitals":        func(m *made) { m.template.Subject.CommonName = strings.ToUpper(string(answer.Host)) },
		"a wildcard":                  func(m *made) { m.template.Subject.CommonName, m.template.DNSNames = "*", []string{"*"} },
		"names of DNS in its place": func(m *made) {
			m.template.Subject.CommonName, m.template.DNSNames = "", []string{string(answer.Host), topics.ServerName}
		},
	} {
		if chain, k := like(change); letsIn(t, d, chain, k) {
			t.Errorf("%s: let in", what)
		}
	}
	// A host that takes itself for a CA.
	for what, n := range map[string]int{"a chain of two": 1, "a chain of many": 30} {
		chain, signer, parent := [][]byte{answer.Certificate}, crypto.Signer(key), good
		for range n {
			next := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
			der := must(x509.CreateCertificate(rand.Reader, &x509.Certificate{
				SerialNumber:          good.SerialNumber,
				Subject:               pkix.Name{CommonName: string(answer.Host)},
				NotBefore:             good.NotBefore,
				NotAfter:              good.NotAfter,
				ExtKeyUsage:           good.ExtKeyUsage,
				IsCA:                  true,
				BasicConstraintsValid: true,
			}, parent, next.Public(), signer))
			chain, signer, parent = append([][]byte{der}, chain...), next, must(x509.ParseCertificate(der))
		}
		if letsIn(t, d, chain, signer) {
			t.Errorf("%s: let in", what)
		}
	}
}

// TestRequestsForMoreThanACertificateGetOne asks for what a host's certificate does not
// have. The request gives its key and nothing else.
func TestRequestsForMoreThanACertificateGetOne(t *testing.T) {
	d := newDesk(t)
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ca := must(pkixCA())
	csr := func(template x509.CertificateRequest, k crypto.Signer) []byte {
		return must(x509.CreateCertificateRequest(rand.Reader, &template, k))
	}
	plain := csr(x509.CertificateRequest{}, key)
	broken := append([]byte{}, plain...)
	broken[len(broken)-1] ^= 1
	for what, c := range map[string]struct {
		csr    []byte
		status int
	}{
		"a CA": {csr(x509.CertificateRequest{ExtraExtensions: []pkix.Extension{ca}}, key), http.StatusOK},
		"more names": {csr(x509.CertificateRequest{
			Subject:  pkix.Name{CommonName: topics.ServerName},
			DNSNames: []string{topics.ServerName, "*"},
			URIs:     []*url.URL{{Scheme: "https", Host: "evil.example"}},
		}, key), http.StatusOK},
		"a signature that is none": {broken, http.StatusBadRequest},
		"a request of 1 MiB":       {append(append([]byte{}, plain...), make([]byte, 1<<20)...), http.StatusBadRequest},
		"a key on another curve": {csr(x509.CertificateRequest{}, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))),
			http.StatusBadRequest},
		"an RSA key":              {csr(x509.CertificateRequest{}, must(rsa.GenerateKey(rand.Reader, 2048))), http.StatusBadRequest},
		"an Ed25519 key":          {csr(x509.CertificateRequest{}, must(edKey())), http.StatusBadRequest},
		"somebody else's request": {newDesk(t).CA.Certificate.Raw, http.StatusBadRequest},
		"nothing":                 {nil, http.StatusBadRequest},
		"a name that is very long": {csr(x509.CertificateRequest{Subject: pkix.Name{CommonName: strings.Repeat("x",
			10_000)}}, key), http.StatusOK},
		"a request and more behind": {append(append([]byte{}, plain...), 1, 2, 3), http.StatusBadRequest},
	} {
		req, _ := request(d.token(t, ""))
		req.CSR = c.csr
		w, _ := d.post(t, req)
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d", what, w.Code, c.status)
		}
		if w.Code != http.StatusOK {
			continue
		}
		var answer topics.EnrollResponse
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		got := must(x509.ParseCertificate(answer.Certificate))
		if got.IsCA || got.BasicConstraintsValid || len(got.DNSNames)+len(got.URIs)+len(got.IPAddresses)+len(got.EmailAddresses) > 0 ||
			got.Subject.String() != "CN="+string(answer.Host) || len(got.ExtKeyUsage) != 1 || got.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
			t.Errorf("%s: the certificate is for %s, a CA: %t, names %v", what, got.Subject, got.IsCA, got.DNSNames)
		}
	}
}

// pkixCA is the extension that makes a certificate one of a CA.
func pkixCA() (pkix.Extension, error) {
	return pkix.Extension{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}, nil
}

func edKey() (crypto.Signer, error) {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	return k, err
}

// TestWhatAHostSaysAtItsEnrolmentIsCleaned has a host enrol that has not said hello yet: its
// page shows what it said of itself and of its policy.
func TestWhatAHostSaysAtItsEnrolmentIsCleaned(t *testing.T) {
	const hostile = "a\u202eb\x1b[31mc\u200bd\r\ne"
	d := newDesk(t)
	req, _ := request(d.token(t, ""))
	req.Facts = topics.Facts{Hostname: hostile, OS: hostile, Arch: hostile, Platform: hostile, Agent: hostile, Restic: hostile,
		Policy: hostile,
		Permits: &topics.Permits{Kinds: []topics.JobKind{hostile}, Repositories: []string{hostile}, RestoreTo: hostile,
			As: map[string][]string{hostile: {hostile}}, Hooks: []string{hostile}}}
	w, _ := d.post(t, req)
	var answer topics.EnrollResponse
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	h := must(d.Store.Host(t.Context(), answer.Host))
	said := string(must(json.Marshal([]any{h.Name, h.Hostname, h.OS, h.Arch, h.Platform, h.AgentVersion, h.ResticVersion, h.Policy,
		h.Permits.V})))
	for _, odd := range []string{"\u202e", "\u200b", `\u001b`, `\r`, `\n`} {
		if strings.Contains(said, odd) {
			t.Errorf("%q is kept: %s", odd, said)
		}
	}
	if !strings.Contains(said, "bcd") && !strings.Contains(said, "b[31mcd") {
		t.Errorf("what could be seen of it is lost: %s", said)
	}
}
