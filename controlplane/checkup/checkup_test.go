package checkup

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/space"
	"github.com/restic-manager/restic-manager/doctor"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/keyring"
)

// found runs all checks and lists the states of each, by name.
func found(t *testing.T, c Config) (states map[string]string, says string) {
	t.Helper()
	states = map[string]string{}
	for _, f := range doctor.Run(t.Context(), Checks(c)) {
		states[f.Check] = strings.TrimSpace(states[f.Check] + " " + string(f.State))
		says += f.Check + ": " + f.What + "; " + f.Effect + "; " + f.Remedy + "\n"
		if f.State != doctor.OK && (f.Effect == "" || f.Remedy == "") {
			t.Errorf("not said in full: %+v", f)
		}
	}
	return states, says
}

func TestWhatDoctorSaysOfAControlPlane(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := store.Open(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Admission().SetAddress(t.Context(), "test", "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	base := Config{Files: store.Files(dir, "", ""), HTTP: taken.Addr().String(), Agents: "127.0.0.1:0", MQTT: "off", Descriptors: 16,
		CopyEvery: 24 * time.Hour, Limits: space.DefaultLimits(), PublicURL: "http://127.0.0.1:1"}
	listed := func() (names []string) {
		entries, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return entries
	}
	before := strings.Join(listed(), " ")
	want := func(what string, c Config, rows map[string]string) {
		t.Helper()
		got, says := found(t, c)
		for name, state := range rows {
			if got[name] != state {
				t.Errorf("%s: %s is %q, want %q\n%s", what, name, got[name], state, says)
			}
		}
	}
	want("stopped", base, map[string]string{"key": "ok", "database": "ok", "copies": "warning", "ports": "fail ok", "agents' address": "ok",
		"public URL": "ok", "locks": "ok", "hosts": "ok", "descriptors": "ok"})
	runs := base
	runs.Running = true
	want("running", runs, map[string]string{"ports": "ok fail", "agents' address": "warning", "public URL": "warning"})
	later := base
	later.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	if got, says := found(t, later); !strings.HasSuffix(got["clock"], "fail") || !strings.Contains(says, "gone back") {
		t.Errorf("a clock that went back: %s\n%s", got["clock"], says)
	}
	odd := base
	odd.Certificates = []Certificate{{Whose: "the pages", Cert: filepath.Join(dir, "none.pem"), Key: "x"}}
	want("no certificate", odd, map[string]string{"certificate": "fail"})
	if after := strings.Join(listed(), " "); after != before {
		t.Errorf("doctor leaves %s, and there was %s", after, before)
	}

	other := filepath.Join(t.TempDir(), "other.key")
	if err := keyring.NewFile(other); err != nil {
		t.Fatal(err)
	}
	wrong := base
	wrong.Key = keyring.Source{File: other}
	want("another key", wrong, map[string]string{"key": "fail"})
	if err := os.Chmod(dir+".key", 0o644); err != nil {
		t.Fatal(err)
	}
	want("a key for everybody", base, map[string]string{"key": "fail"})
	if err := os.WriteFile(filepath.Join(dir, "restic-manager.db"), []byte("no database, and long enough to be looked at"),
		0o600); err != nil {
		t.Fatal(err)
	}
	want("no database", base, map[string]string{"database": "fail"})
}
