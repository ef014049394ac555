package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestReadyAsksWhereServeIs asks a server that is ready, one that is not, one with TLS and
// none.
func TestReadyAsksWhereServeIs(t *testing.T) {
	status := http.StatusOK
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("it asks for %s", r.URL.Path)
		}
		http.Error(w, "the database is away", status)
	})
	plain, tls := httptest.NewServer(answer), httptest.NewTLSServer(answer)
	defer plain.Close()
	defer tls.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(plain.URL, "http://"), ":")
	for _, ask := range []readyCmd{{HTTP: "127.0.0.1:" + port}, {HTTP: "0.0.0.0:" + port}, {HTTP: ":" + port},
		{HTTP: strings.TrimPrefix(tls.URL, "https://"), TLSCert: "pem"}} {
		if err := ask.Run(t.Context()); err != nil {
			t.Errorf("%+v: %v", ask, err)
		}
	}
	status = http.StatusServiceUnavailable
	if err := (&readyCmd{HTTP: "127.0.0.1:" + port}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the database is away") {
		t.Errorf("one that is not ready: %v", err)
	}
	plain.Close()
	if err := (&readyCmd{HTTP: "127.0.0.1:" + port}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("nobody there: %v", err)
	}
}
