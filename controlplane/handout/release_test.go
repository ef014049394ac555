package handout

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/restic-manager/restic-manager/release"
)

// lay puts a release of some programs into a directory, signed by a key.
func lay(t *testing.T, dir string, number int64, version string, key minisign.PrivateKey, names ...string) {
	t.Helper()
	m := release.Manifest{Format: release.Format, Number: number, Version: version}
	for _, name := range names {
		f, ok := fileOf(name)
		if !ok {
			t.Fatalf("%s is no file that is handed out", name)
		}
		content := []byte(name + version)
		write(t, dir, name, string(content))
		sum := sha256.Sum256(content)
		m.Programs = append(m.Programs, release.Program{OS: f.OS, Arch: f.Arch, Name: name, Size: int64(len(content)),
			SHA256: hex.EncodeToString(sum[:])})
	}
	b := release.Encode(m)
	write(t, dir, release.ManifestFile, string(b))
	write(t, dir, release.SignatureFile, string(minisign.Sign(key, b)))
}

// TestTheReleaseThatLiesThere: what hosts may be given, and otherwise why not.
func TestTheReleaseThatLiesThere(t *testing.T) {
	pub, key, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	const amd, arm = "restic-manager-agent_1.2.0_linux_amd64", "restic-manager-agent_1.2.0_linux_arm64"
	own, strange := []string{pub.String()}, []string{other.String()}
	for _, c := range []struct {
		name  string
		keys  []string
		after func(dir string)
		say   string
		lacks int
	}{
		{"all is well", own, func(string) {}, "", 0},
		{"this server has no key", nil, func(string) {}, "", 0},
		{"it was signed by another", strange, func(string) {}, "is not signed by the key", 0},
		{"no manifest", own, func(dir string) { os.Remove(filepath.Join(dir, release.ManifestFile)) }, "without a manifest", 0},
		{"no signature", own, func(dir string) { os.Remove(filepath.Join(dir, release.SignatureFile)) }, "has no signature", 0},
		{"a manifest of a later format", nil, func(dir string) { write(t, dir, release.ManifestFile, `{"format":9}`) },
			"not one that this version understands", 0},
		{"a manifest that was changed", own, func(dir string) {
			b, _ := os.ReadFile(filepath.Join(dir, release.ManifestFile))
			write(t, dir, release.ManifestFile, strings.Replace(string(b), "1700", "1800", 1))
		}, "is not signed by the key", 0},
		{"one program is not there", own, func(dir string) { os.Remove(filepath.Join(dir, arm)) }, "", 1},
		{"one program is another", own, func(dir string) { write(t, dir, arm, "another") }, "", 1},
		{"none is there", own, func(dir string) { write(t, dir, arm, ""); write(t, dir, amd, "x") }, "None of the programs", 2},
		{"a newer program that no manifest names", own, func(dir string) {
			write(t, dir, "restic-manager-agent_1.3.0_linux_amd64", "unsigned")
		}, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			lay(t, dir, 1700, "1.2.0", key, amd, arm)
			c.after(dir)
			r := New(Config{Dirs: []string{dir}}).Release(c.keys)
			if c.say == "" && (!r.Good() || r.Number != 1700 || r.Version != "1.2.0" || r.Believed != (c.keys != nil)) ||
				c.say != "" && (r.Good() || !strings.Contains(r.Say, c.say) || r.Remedy == "") || len(r.Lacks) != c.lacks {
				t.Fatalf("good %t, number %d, lacks %d: %s %s", r.Good(), r.Number, len(r.Lacks), r.Say, r.Remedy)
			}
			if p, there := r.For("linux", "amd64"); c.say == "" && (p.Name != amd || !there) {
				t.Errorf("for this platform %s, %t", p.Name, there)
			}
			if _, there := r.For("linux", "arm64"); there != (c.say == "" && c.lacks == 0) && c.say == "" {
				t.Errorf("for another platform %t", there)
			}
			if id, _ := release.KeyID(pub.String()); c.say == "" && r.SignedBy != id {
				t.Errorf("signed by %s", r.SignedBy)
			}
		})
	}
}

// TestANewReleaseIsSeenWithoutARestart, once the second is over for which a look holds.
func TestANewReleaseIsSeenWithoutARestart(t *testing.T) {
	_, key, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := New(Config{Dirs: []string{dir}})
	if r := s.Release(nil); r.Good() || r.Say == "" {
		t.Fatalf("of an empty directory: %+v", r)
	}
	for number, version := range map[int64]string{1700: "1.2.0", 1800: "1.3.0"} {
		lay(t, dir, number, version, key, "restic-manager-agent_"+version+"_linux_amd64")
		s.Fresh()
		if r := s.Release(nil); !r.Good() || r.Number != number || len(r.Lacks) > 0 {
			t.Errorf("of %s: %+v", version, r)
		}
	}
}
