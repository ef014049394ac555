package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/topics"
)

func TestExitStatusesAndStreams(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "none")
	wrong := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(wrong, []byte("\ufefft\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args      string
		status    int
		out, errs string // what they hold; "" is nothing at all
	}{
		{"version", success, "restic-manager-agent dev", ""},
		{"--help", success, "enroll --server=HOST:8883", ""},
		{"", usage, "", "expected one of"},
		{"backup", usage, "", "backup"},
		{"run --service=maybe", usage, "", "--service"},
		{"run --help", success, agent.DefaultState(), ""},
		{"run --state " + empty, failure, "", "enroll first"},
		{"enroll --server a:1 --token t --state " + empty + " --policy all", usage, "", "no policy"},
		{"enroll --server a:1 --token t --state " + empty + " --policy restore", usage, "", "--restore-root"},
		{"enroll --server a:1 --token t --state " + empty, failure, "", "no enrolment token"},
		{"enroll --server a:1 --token-file " + wrong + " --state " + empty, failure, "", "no enrolment token"},
		{"enroll --server a:1 --token-file " + wrong + "2 --state " + empty, failure, "", "read the token"},
		{"enroll --server a:1 --token-file f --token t --state " + empty, usage, "", "--token"},
		{"enroll --server a:1 --state " + empty, usage, "", "--token-file"},
		{"doctor --state " + empty, 2, "is not enrolled", ""},
		{"doctor --json --state " + empty, 2, `"state": "fail"`, ""},
	} {
		var out, errs bytes.Buffer
		status := execute(t.Context(), strings.Fields(c.args), &out, &errs, nil)
		if status != c.status || !holds(out.String(), c.out) || !holds(errs.String(), c.errs) {
			t.Errorf("%q ends with %d, says %q and %q; want %d, %q and %q", c.args, status, out.String(), errs.String(), c.status, c.out, c.errs)
		}
	}
}

func holds(text, part string) bool {
	return part == "" && text == "" || part != "" && strings.Contains(text, part)
}

func TestFlagsComeFromTheEnvironmentToo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	t.Setenv("RESTIC_MANAGER_AGENT_STATE", dir)
	var out, errs bytes.Buffer
	if status := execute(t.Context(), []string{"run"}, &out, &errs, nil); status != failure || !strings.Contains(errs.String(), dir) {
		t.Errorf("run ends with %d and %q", status, errs.String())
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// What distributes software upgrades with the command line that it installed with, whose
// token was used and whose file is gone.
func TestAnEnrolledHostNeedsNoEnrolment(t *testing.T) {
	state := t.TempDir()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	id := topics.HostID(topics.NewID(time.Now()))
	identity := agent.Identity{Host: id, Name: "attic", Server: "backup.example.net:8883", Certificate: der, CA: der,
		TLSKey: must(x509.MarshalPKCS8PrivateKey(key)), SealKey: must(seal.NewKey()).Bytes(), PlaneKey: must(seal.NewKey()).Public()}
	before := must(json.Marshal(identity))
	path := filepath.Join(state, "identity.json")
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		server, more string
		status       int
		out, errs    string
	}{
		{"Backup.example.net:8883", " --if-needed", success, string(id), "enrolled as \"attic\" already"},
		{"backup.example.net:8883", "", failure, "", "read the token"},
		{"another.example.net:8883", " --if-needed", failure, "", "read the token"},
	} {
		var out, errs bytes.Buffer
		line := "enroll --server " + c.server + " --token-file " + state + "/gone --state " + state + c.more
		if status := execute(t.Context(), strings.Fields(line), &out, &errs, nil); status != c.status || !holds(out.String(), c.out) ||
			!holds(errs.String(), c.errs) {
			t.Errorf("%s ends with %d and says %q and %q", line, status, out.String(), errs.String())
		}
	}
	if !bytes.Equal(must(os.ReadFile(path)), before) {
		t.Error("the identity changed")
	}
}
