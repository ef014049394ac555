package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/doctor"
	"github.com/restic-manager/restic-manager/topics"
)

// states are the findings' in order, and says what was found as text.
func states(list []doctor.Finding) (states, says string) {
	for _, f := range list {
		states += " " + string(f.State)
		says += f.What + "; " + f.Effect + "; " + f.Remedy + "\n"
		if f.State != doctor.OK && (f.Effect == "" || f.Remedy == "") {
			says += "(not said in full!)\n"
		}
	}
	return strings.TrimSpace(states), says
}

func TestWhatDoctorSaysOfAPolicy(t *testing.T) {
	state := t.TempDir()
	hook := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := l.Addr().String()
	defer l.Close()
	shut, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := shut.Addr().String()
	shut.Close()

	p, err := Preset(PolicyRestore, state)
	if err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(state, "gone")
	if err := p.Narrow([]string{"rest:http://ada:canary@" + open + "/a", "rest:http://" + closed + "/b", gone, state, "b2:bucket:x"},
		[]string{"/etc", gone}, []string{gone}); err != nil {
		t.Fatal(err)
	}
	if err := p.Save(state); err != nil {
		t.Fatal(err)
	}
	if err := AllowHook(state, "docs", hook); err != nil {
		t.Fatal(err)
	}
	got, says := states(checkRepositories(t.Context(), state))
	if got != "ok fail fail ok ok" || strings.Contains(says, "canary") || strings.Contains(says, "not said") {
		t.Errorf("repositories: %s\n%s", got, says)
	}
	if got, says := states(checkHooks(state)); got != "ok" {
		t.Errorf("a hook as it was allowed: %s\n%s", got, says)
	}
	if err := os.WriteFile(hook, []byte("#!/bin/sh\nrm -rf /\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got, says := states(checkHooks(state)); got != "fail" || !strings.Contains(says, "allow-hook docs") {
		t.Errorf("another hook: %s\n%s", got, says)
	}
	if got, says := states(checkPolicy(state)); strings.Count(got, "warning") != 2 || !strings.Contains(says, "Policy: restore") {
		t.Errorf("the policy: %s\n%s", got, says)
	}
	a := Access(state)
	if strings.Join(a.Read, " ") != "/etc "+gone || len(a.Write) != 4 {
		t.Errorf("the service is to %+v", a)
	}
	if err := os.Chmod(filepath.Join(state, policyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, _ := states(checkPolicy(state)); got != "fail" {
		t.Errorf("a policy that others read: %s", got)
	}
	if got, says := states(checkIdentity(state, time.Now())); got != "fail" || !strings.Contains(says, "enroll") {
		t.Errorf("no identity: %s %s", got, says)
	}
}

// A host tells the control plane it was enrolled at from another one, and from nobody.
func TestWhatDoctorSaysOfTheControlPlane(t *testing.T) {
	issue := func(name string, ca *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{topics.ServerName},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: ca == nil, BasicConstraintsValid: true}
		if ca == nil {
			ca, by = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		c, err = x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c, key
	}
	ca, caKey := issue("ca", nil, nil)
	leaf, key := issue("plane", ca, caKey)
	at := time.Now()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", at.UTC().Format(http.TimeFormat))
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS13}
	s.StartTLS()
	defer s.Close()
	pool := func(c *x509.Certificate) *tls.Config {
		roots := x509.NewCertPool()
		roots.AddCert(c)
		return &tls.Config{RootCAs: roots, ServerName: topics.ServerName, MinVersion: tls.VersionTLS13}
	}
	address := s.Listener.Addr().String()
	other, _ := issue("other", nil, nil)
	ask := func(address string, conf *tls.Config) (string, string) {
		return states(planeFindings(t.Context(), address, conf))
	}
	if got, says := ask(address, pool(ca)); got != "ok ok" {
		t.Errorf("the control plane: %s\n%s", got, says)
	}
	at = time.Now().Add(-time.Hour)
	if got, says := ask(address, pool(ca)); got != "ok fail" || !strings.Contains(says, "ahead of") {
		t.Errorf("a clock that is an hour ahead: %s\n%s", got, says)
	}
	if got, says := ask(address, pool(other)); got != "fail" || !strings.Contains(says, "is not the control plane") {
		t.Errorf("another one: %s\n%s", got, says)
	}
	s.Close()
	if got, says := ask(address, pool(ca)); got != "fail" || !strings.Contains(says, "refuses connections") {
		t.Errorf("nobody: %s\n%s", got, says)
	}
}

func TestWhereRepositoriesAreDialled(t *testing.T) {
	for pin, want := range map[string]string{
		"rest:https://nas.example/a":           "nas.example:443 ",
		"rest:http://nas:8000/a RESTIC_X=y":    "nas:8000 ",
		"s3:https://s3.amazonaws.com/bucket/a": "s3.amazonaws.com:443 ",
		"sftp:nas.example:/srv/a":              "nas.example:22 ",
		"sftp:nas.example:2222:/srv/a":         "nas.example:2222 ",
		"sftp:alias:/srv/a":                    " ",
		"b2:bucket:a":                          " ",
		"/srv/restic":                          " /srv/restic",
		"/srv/my backups/x A=b":                " /srv/my backups/x A=b",
		"/srv/my backups AWS_DEFAULT_REGION=x": " /srv/my backups",
	} {
		address, local := addressOf(pin)
		if address+" "+local != want {
			t.Errorf("%s: %q and %q, want %q", pin, address, local, want)
		}
	}
}
