package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"aead.dev/minisign"

	"github.com/restic-manager/restic-manager/release"
)

func TestAManifestNamesTheProgramsAndTakesTheirSignatureAlone(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	dir := t.TempDir()
	for _, name := range []string{"restic-manager-agent_1.2.3_linux_amd64", "restic-manager-agent_1.2.3_linux_armv7",
		"restic-manager-agent_1.2.3_windows_amd64.exe", "restic-manager-agent_1.2.3_windows_amd64.zip",
		"restic-manager-agent_1.2.3_windows_amd64.msi", "restic-manager-agent_1.2.3_amd64.deb", "restic-manager_1.2.3_linux_amd64"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	must(t, manifest(dir, "1.2.3"))
	b, err := os.ReadFile(filepath.Join(dir, release.ManifestFile))
	must(t, err)
	m, err := release.Parse(b)
	if err != nil || m.Number != 1_700_000_000 || m.Version != "1.2.3" || len(m.Programs) != 3 {
		t.Fatalf("%+v, %v", m, err)
	}
	for _, platform := range [][2]string{{"linux", "amd64"}, {"linux", "armv7"}, {"windows", "amd64"}} {
		if p, ok := m.For(platform[0], platform[1]); !ok || p.Size != int64(len(p.Name)) {
			t.Errorf("%v: %+v", platform, p)
		}
	}
	public, secret, err := minisign.GenerateKey(rand.Reader)
	must(t, err)
	by := filepath.Join(t.TempDir(), "by")
	must(t, os.WriteFile(by, minisign.Sign(secret, b), 0o600))
	must(t, manifestSigned(dir, by, public.String()))
	if _, err := os.Stat(filepath.Join(dir, release.SignatureFile)); err != nil {
		t.Error(err)
	}
	must(t, os.WriteFile(by, minisign.Sign(secret, []byte("other")), 0o600))
	if err := manifestSigned(dir, by, public.String()); err == nil {
		t.Error("the signature of another manifest is taken")
	}
}
