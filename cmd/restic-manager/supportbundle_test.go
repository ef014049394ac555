package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/doctor"
	"github.com/restic-manager/restic-manager/store"
)

// Secrets are wherever a control plane may have some, and in no bundle; and doctor says how
// it is without one.
func TestABundleTellsNoSecret(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	s, err := store.Open(t.Context(), data, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ran := func(want int, args ...string) string {
		t.Helper()
		text, code := said(t, append(args, "--data", data)...)
		if code != want {
			t.Fatalf("%v: exit status %d, want %d: %s", args, code, want, text)
		}
		return text
	}
	ran(0, "repository", "add", "nas", "--url", "rest:http://ada:canary-1@nas:8000/a", "--password-file", file("password", "canary-2\n"),
		"--env-file", file("env", "RESTIC_REST_PASSWORD=canary-3\n"))
	token := strings.Fields(ran(0, "api-token", "create", "--name", "canary", "--role", "admin"))
	ran(0, "public-url", "https://backups.example.net")
	t.Setenv("RESTIC_MANAGER_MQTT_UPLINK", "mqtts://ada:canary-4@broker.example")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "canary-5")
	settings := file("environment", "# canary-6\n"+
		"RESTIC_MANAGER_HTTP=127.0.0.1:1\nRESTIC_MANAGER_MQTT_UPLINK=mqtts://ada:canary-7@b\nOTHER=canary-8\n")
	key, err := os.ReadFile(data + ".key")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "bundle.tar.gz")
	ran(0, "support-bundle", path, "--environment", settings, "--metrics-token-file", file("metrics", "canary-9-canary-9-canary-9\n"))
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"versions.txt", "doctor.txt", "settings.txt", "database.json",
		`"repositories": 2`, // rows: the one, and that which stands for none
		"http: 127.0.0.1:1", "sets OTHER",
		"backups.example.net"} {
		if !strings.Contains(string(all), part) {
			t.Errorf("the bundle has no %s", part)
		}
	}
	for _, secret := range append(token, "canary-", strings.TrimSpace(string(key))) {
		if len(secret) > 6 && strings.Contains(string(all), secret) {
			t.Errorf("the bundle tells %q", secret)
		}
	}

	text, code := said(t, "doctor", "--json", "--data", data, "--environment", settings, "--agents", "127.0.0.1:0", "--mqtt", "off")
	var r doctor.Report
	if err := json.Unmarshal([]byte(text), &r); err != nil || code != r.Exit() || code == 0 || strings.Contains(text, "canary-") {
		t.Errorf("exit status %d, %v: %s", code, err, text)
	}
	found := map[string]doctor.State{}
	for _, f := range r.Findings {
		found[f.Check] = f.State
	}
	if found["key"] != doctor.OK || found["database"] != doctor.OK || found["copies"] != doctor.Warning {
		t.Errorf("%+v", r.Findings)
	}
}

// The page that packages have is the one that the command line makes.
func TestTheManualPageIsThatOfTheCommandLine(t *testing.T) {
	page, err := os.ReadFile("../../docs/man/restic-manager.1")
	if err != nil {
		t.Fatal(err)
	}
	if text, code := said(t, "man"); code != 0 || text != string(page) || !strings.Contains(text, `support\-bundle`) {
		t.Errorf("docs/man/restic-manager.1 is of another command line (%d): run make man", code)
	}
}
