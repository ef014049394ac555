package enroll

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newDesk(t *testing.T) *Desk {
	s := storetest.Open(t, store.Open)
	return &Desk{
		Store:   s,
		CA:      must(OpenCA(t.Context(), s, time.Now)),
		SealKey: must(seal.NewKey()).Public(),
		Log:     slog.New(slog.DiscardHandler),
	}
}

func (d *Desk) token(t *testing.T, name string) topics.EnrollToken {
	_, token, err := d.Issue(t.Context(), "test", name, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// request is what an honest agent asks with, and the key of its certificate.
func request(token topics.EnrollToken) (topics.EnrollRequest, *ecdsa.PrivateKey) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	csr := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "somebody-else"}}, key))
	return topics.EnrollRequest{
		Key:      token.Key,
		CSR:      csr,
		SealKey:  must(seal.NewKey()).Public(),
		Facts:    topics.Facts{Hostname: "attic"},
		Protocol: topics.Protocol,
	}, key
}

func (d *Desk) post(t *testing.T, body any) (*httptest.ResponseRecorder, topics.Problem) {
	t.Helper()
	b, ok := body.([]byte)
	if !ok {
		b = must(json.Marshal(body))
	}
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, httptest.NewRequest("POST", topics.EnrollPath, bytes.NewReader(b)))
	var p topics.Problem
	if w.Code != http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Title == "" || p.Detail == "" || p.Status != w.Code {
			t.Errorf("not a problem answer: %d %s", w.Code, w.Body)
		}
	}
	return w, p
}

func TestATokenLetsOneHostInOnceUnderAnIdentityWeChoose(t *testing.T) {
	d := newDesk(t)
	token, second := d.token(t, ""), d.token(t, "attic")
	req, _ := request(token)
	w, _ := d.post(t, req)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var answer topics.EnrollResponse
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	cert := must(x509.ParseCertificate(answer.Certificate))
	if cert.Subject.CommonName != string(answer.Host) || answer.Name != "attic" || cert.IsCA {
		t.Errorf("the certificate is for %q, the host %q", cert.Subject, answer.Host)
	}
	if life := time.Until(cert.NotAfter); life > 90*24*time.Hour || life < 89*24*time.Hour {
		t.Errorf("it lives %s", life)
	}
	if topics.Fingerprint(must(x509.ParseCertificate(answer.CA))) != token.CA {
		t.Error("the token names another CA")
	}
	if w, p := d.post(t, req); w.Code != http.StatusForbidden || !strings.Contains(p.Title, "used") {
		t.Errorf("the second use: %d %+v", w.Code, p)
	}
	d.post(t, req)
	said := must(d.Store.AuditEntries(t.Context(), store.AuditFilter{Action: "enroll_token.refused"}, 10))
	if len(said) != 1 || said[0].Target != string(answer.Host) || said[0].Remote != "192.0.2.1" || said[0].Detail != "it has been used" {
		t.Errorf("the audit log says of further uses: %+v", said)
	}
	if in := must(d.Store.AuditEntries(t.Context(), store.AuditFilter{Action: "host.enrolled"}, 10)); len(in) != 1 ||
		in[0].Remote != "192.0.2.1" {
		t.Errorf("and of the first: %+v", in)
	}
	named, _ := request(second)
	w, _ = d.post(t, named)
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Name != "attic-2" {
		t.Errorf("a second host of that name is called %q, %v", answer.Name, err)
	}
	for name, says := range map[string]string{
		"attic":                  "a host of this name already",
		"at\x1b[31mtic":          "can be seen",
		"..":                     "a dot or two",
		strings.Repeat("ü", 101): "1 to 100 characters",
	} {
		_, _, err := d.Issue(t.Context(), "test", name, time.Minute)
		var wrong field.Errors
		if !errors.As(err, &wrong) || !strings.Contains(wrong["name"], says) {
			t.Errorf("a token for a host named %q: %v; want a word about %q", name, err, says)
		}
	}
	if _, _, err := d.Issue(t.Context(), "test", strings.Repeat("ü", 100), time.Minute); err != nil {
		t.Errorf("a name of 100 characters: %v", err)
	}
}

func TestRequestsThatDoNotFitAreRefusedAndTheTokenStaysGood(t *testing.T) {
	d := newDesk(t)
	token := d.token(t, "")
	for what, c := range map[string]struct {
		change func(*topics.EnrollRequest)
		status int
	}{
		"unknown token":   {func(r *topics.EnrollRequest) { r.Key = "nonsense" }, http.StatusForbidden},
		"damaged request": {func(r *topics.EnrollRequest) { r.CSR = r.CSR[:20] }, http.StatusBadRequest},
		"no seal key":     {func(r *topics.EnrollRequest) { r.SealKey = nil }, http.StatusBadRequest},
		"weak seal key":   {func(r *topics.EnrollRequest) { r.SealKey = make([]byte, 32) }, http.StatusBadRequest},
		"later protocol":  {func(r *topics.EnrollRequest) { r.Protocol = [2]int{7, 9} }, http.StatusBadRequest},
	} {
		req, _ := request(token)
		c.change(&req)
		if w, _ := d.post(t, req); w.Code != c.status {
			t.Errorf("%s: %d, want %d", what, w.Code, c.status)
		}
	}
	for _, body := range []string{"", "{", "[]", `{"csr":` + strings.Repeat("9", 70_000)} {
		if w, _ := d.post(t, []byte(body)); w.Code != http.StatusBadRequest {
			t.Errorf("%.20q: %d", body, w.Code)
		}
	}
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "for agents") {
		t.Errorf("a browser on the agents' port: %d %s", w.Code, w.Body)
	}
	req, _ := request(token)
	if w, _ := d.post(t, req); w.Code != http.StatusOK {
		t.Errorf("the token was spoilt: %d %s", w.Code, w.Body)
	}
}

func TestATokenLivesNoLongerThanADay(t *testing.T) {
	d := newDesk(t)
	for _, life := range []time.Duration{0, -time.Second, 25 * time.Hour} {
		if _, _, err := d.Issue(t.Context(), "test", "", life); err == nil {
			t.Errorf("a token for %s was made", life)
		}
	}
}

func TestWhatAHostSaysOfItselfIsFitForAName(t *testing.T) {
	if got := printable("at\x1b[31mtic\u202e\n" + strings.Repeat("x", 500)); len(got) != 100 || strings.ContainsAny(got, "\x1b\n\u202e") {
		t.Errorf("%q", got)
	}
}

// TestMQTTNeedsACertificateOfOursAndHTTPDoesNot talks to a port with the real
// TLS configuration.
func TestMQTTNeedsACertificateOfOursAndHTTPDoesNot(t *testing.T) {
	d := newDesk(t)
	req, key := request(d.token(t, ""))
	w, _ := d.post(t, req)
	var answer topics.EnrollResponse
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	ours := tls.Certificate{Certificate: [][]byte{answer.Certificate}, PrivateKey: key}
	other := newDesk(t)
	foreignDER, _, err := other.CA.sign(answer.Host, req.CSR)
	if err != nil {
		t.Fatal(err)
	}
	foreign := tls.Certificate{Certificate: [][]byte{foreignDER}, PrivateKey: key}

	ln := tls.NewListener(must(net.Listen("tcp", "127.0.0.1:0")), must(d.ServerTLS()))
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if c.(*tls.Conn).Handshake() == nil {
					_, _ = c.Write([]byte("in"))
				}
			}()
		}
	}()
	pool := x509.NewCertPool()
	pool.AddCert(d.CA.Certificate)
	for _, c := range []struct {
		what string
		alpn []string
		cert *tls.Certificate
		in   bool
	}{
		{"an agent", []string{topics.ALPNMQTT}, &ours, true},
		{"an agent without ALPN", nil, &ours, true},
		{"no certificate", []string{topics.ALPNMQTT}, nil, false},
		{"no certificate, no ALPN", nil, nil, false},
		{"a foreign certificate", []string{topics.ALPNMQTT}, &foreign, false},
		{"HTTP without a certificate", []string{topics.ALPNHTTP}, nil, true},
		{"both protocols without a certificate", []string{topics.ALPNHTTP, topics.ALPNMQTT}, nil, false},
	} {
		conf := &tls.Config{RootCAs: pool, ServerName: topics.ServerName, NextProtos: c.alpn}
		if c.cert != nil {
			conf.Certificates = []tls.Certificate{*c.cert}
		}
		conn, err := tls.Dial("tcp", ln.Addr().String(), conf)
		in := false
		if err == nil {
			b := make([]byte, 2)
			n, _ := conn.Read(b)
			in = n == 2
			_ = conn.Close()
		}
		if in != c.in {
			t.Errorf("%s: let in %t, want %t (%v)", c.what, in, c.in, err)
		}
	}
}

func TestTheServersCertificateIsRenewedWhileItRuns(t *testing.T) {
	d := newDesk(t)
	now := time.Now()
	d.CA.now = func() time.Time { return now }
	conf := must(d.ServerTLS())
	before := must(conf.GetCertificate(nil))
	if again := must(conf.GetCertificate(nil)); again != before {
		t.Error("every connection gets a certificate of its own")
	}
	now = now.Add(300 * 24 * time.Hour)
	after := must(x509.ParseCertificate(must(conf.GetCertificate(nil)).Certificate[0]))
	if left := after.NotAfter.Sub(now); left < serverLife/2 {
		t.Errorf("after 300 days the certificate is good for another %s", left)
	}
}

func TestTheCAIsMadeOnce(t *testing.T) {
	d := newDesk(t)
	again := must(OpenCA(t.Context(), d.Store, time.Now))
	if !again.Certificate.Equal(d.CA.Certificate) {
		t.Error("the second opening made another CA")
	}
}

// A host that comes with drills has the usual plan at once, unless the fleet has one that
// is on; and no plan of a host that is there changes.
func TestANewHostProvesWhatItSavedIfItsTokenSaysSo(t *testing.T) {
	d := newDesk(t)
	enrol := func(token topics.EnrollToken) topics.HostID {
		t.Helper()
		req, _ := request(token)
		w, p := d.post(t, req)
		var answer topics.EnrollResponse
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Host == "" {
			t.Fatalf("%v %+v", err, p)
		}
		return answer.Host
	}
	offer := func(drill bool) topics.HostID {
		t.Helper()
		_, token, err := d.Offer(t.Context(), "anna", Input{Life: time.Minute, Drill: drill})
		if err != nil {
			t.Fatal(err)
		}
		return enrol(token)
	}
	fleet := func(enabled bool) {
		t.Helper()
		must(d.Store.PutDrillPlan(t.Context(), "test", drills.OfFleet, "", func(p *drills.Plan) error {
			*p = drills.Usual(drills.OfFleet, "")
			p.Enabled = enabled
			return nil
		}))
	}
	has := func(what string, host topics.HostID, want bool) {
		t.Helper()
		for _, p := range must(d.Store.DrillPlans(t.Context())) {
			if p.Kind != drills.OfHost || p.Subject != string(host) {
				continue
			}
			usual := drills.Usual(drills.OfHost, string(host))
			usual.Enabled, usual.Since = true, p.Since
			if !want || p != usual || p.Since == 0 {
				t.Errorf("%s: it has the plan %+v", what, p)
			}
			return
		}
		if want {
			t.Errorf("%s: it has no plan", what)
		}
	}
	without, with := offer(false), offer(true)
	has("not ticked", without, false)
	has("ticked", with, true)
	_, token, err := d.Reissue(t.Context(), "anna", without, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	has("enrolled again", enrol(token), false)
	fleet(true)
	has("ticked, and the fleet's plan is on", offer(true), false)
	fleet(false)
	has("ticked, and the fleet's plan is off", offer(true), true)
	entries := must(d.Store.AuditEntries(t.Context(), store.AuditFilter{}, 100))
	if !slices.ContainsFunc(entries, func(e store.AuditEntry) bool {
		return e.Action == "drill.saved" && e.Target == string(with) && e.Actor == "anna"
	}) {
		t.Errorf("nobody has planned its drills: %+v", entries)
	}
}

// Hosts that fetch their agent from the agents' port know it by its key, which has to be
// the same after a restart, and another one with another CA.
func TestTheKeyOfTheAgentsPortStays(t *testing.T) {
	d := newDesk(t)
	again := &Desk{Store: d.Store, CA: must(OpenCA(t.Context(), d.Store, time.Now)), SealKey: d.SealKey, Log: d.Log}
	other := newDesk(t)
	if d.PinOfPort() == "" || d.PinOfPort() != again.PinOfPort() || d.PinOfPort() == other.PinOfPort() {
		t.Errorf("pins are %q, after a restart %q, and with another CA %q", d.PinOfPort(), again.PinOfPort(), other.PinOfPort())
	}
	certificate := must(x509.ParseCertificate(must(d.known().shown.server.get(nil)).Certificate[0]))
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	if got := base64.StdEncoding.EncodeToString(sum[:]); got != d.PinOfPort() {
		t.Errorf("the port has the key %s, and says %s", got, d.PinOfPort())
	}
}
