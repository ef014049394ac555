package service_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows/registry"
	"golang.org/x/sys/windows/svc/mgr"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/agent/service"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/topics"
)

// enrolled makes a state directory of a host whose control plane is not there.
func enrolled(t *testing.T) (state string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	certificate := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, certificate, certificate, &key.PublicKey, key)
	must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	own, err := seal.NewKey()
	must(err)
	plane, err := seal.NewKey()
	must(err)
	b, err := json.Marshal(agent.Identity{Host: topics.HostID("attic-0001"), Name: "attic", Hostname: "attic", Server: "127.0.0.1:1",
		Certificate: der, CA: der, TLSKey: private, SealKey: own.Bytes(), PlaneKey: plane.Public()})
	must(err)
	state = filepath.Join(t.TempDir(), "state")
	must(os.MkdirAll(state, 0o700))
	must(os.WriteFile(filepath.Join(state, "identity.json"), b, 0o600))
	return state
}

func TestTheServiceIsMadeStartedStoppedAndRemoved(t *testing.T) {
	own, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program, state := filepath.Join(filepath.Dir(own), "restic-manager-agent.exe"), enrolled(t)
	run := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if out, err := run("status"); err == nil || !strings.HasPrefix(out, "not installed") {
		t.Fatalf("before: %v: %s", err, out)
	}
	if out, err := run("start"); err == nil || !strings.Contains(out, "restic-manager-agent install") {
		t.Errorf("start before install: %v: %s", err, out)
	}
	t.Cleanup(func() { _, _ = service.Uninstall() })
	for range 2 { // the second time it is changed
		out, err := run("install", "--state", state, "--restic", program)
		if err != nil || !strings.Contains(out, "Next: restic-manager-agent start") {
			t.Fatalf("install: %v: %s", err, out)
		}
	}
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, `SYSTEM\CurrentControlSet\Services\`+service.Name, registry.QUERY_VALUE)
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	image, _, err := key.GetStringValue("ImagePath")
	begins, _, err2 := key.GetIntegerValue("Start")
	want := `"` + program + `" "run" "--service" "--state" "` + state + `" "--restic" "` + program + `"`
	if err := errors.Join(err, err2); err != nil || image != want || begins != 2 {
		t.Errorf("the service runs %s, start %d, %v; want %s", image, begins, err, want)
	}
	asked(t)
	if out, err := run("start"); err != nil {
		t.Fatalf("start: %v: %s", err, out)
	}
	if out, err := run("status"); err != nil || !strings.HasPrefix(out, "running as process") {
		t.Errorf("status: %v: %s", err, out)
	}
	await(t, "its log", func() error {
		b, err := os.ReadFile(service.LogPath(state))
		if err == nil && !strings.Contains(string(b), "level=") {
			return errors.New(string(b))
		}
		return err
	})
	began := time.Now()
	if out, err := run("stop"); err != nil || time.Since(began) > 30*time.Second {
		t.Errorf("stop: after %v, %v: %s", time.Since(began), err, out)
	}
	if b, err := os.ReadFile(service.LogPath(state)); err != nil || !strings.Contains(string(b), "stopping") {
		t.Errorf("the log says %s, %v", b, err)
	}
	if out, err := run("status"); err == nil || !strings.HasPrefix(out, "stopped") {
		t.Errorf("after that: %v: %s", err, out)
	}
	if out, err := run("uninstall"); err != nil {
		t.Errorf("uninstall: %v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(state, "identity.json")); err != nil {
		t.Errorf("the host's identity went with it: %v", err)
	}
}

func await(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Errorf("%s: %v", what, err)
}

// asked looks at what else the service manager was told, as far as this one tells it.
func asked(t *testing.T) {
	t.Helper()
	m, err := mgr.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Disconnect()
	h, err := m.OpenService(service.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if config, err := h.Config(); err != nil {
		t.Logf("this system does not tell how the service starts: %v", err)
	} else if !config.DelayedAutoStart {
		t.Error("it starts with everything else")
	}
	if again, err := h.RecoveryActions(); err != nil {
		t.Logf("this system does not tell what follows a failure: %v", err)
	} else if len(again) != 3 || again[0].Type != mgr.ServiceRestart {
		t.Errorf("after a failure it does %+v", again)
	}
}
