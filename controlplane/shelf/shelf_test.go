package shelf

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/restic-manager/restic-manager/release"
)

func TestWhatLiesThereIsSaid(t *testing.T) {
	public, secret, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sum := strings.Repeat("ab", 32)
	manifest := release.Encode(release.Manifest{Format: 1, Number: 7, Version: "v1", Programs: []release.Program{
		{OS: "linux", Arch: "amd64", Name: "agent-amd64", Size: 1, SHA256: sum},
		{OS: "linux", Arch: "arm64", Name: "agent-arm64", Size: 1, SHA256: sum}}})
	signature := minisign.Sign(secret, manifest)
	own, foreign := []string{public.String()}, []string{other.String()}
	for name, c := range map[string]struct {
		manifest, signature []byte
		keys                []string
		there               string // names of what is there
		says                string // "" is a release that is good
		believed            bool
	}{
		"all of it":                      {manifest, signature, own, "agent-amd64 agent-arm64", "", true},
		"one program is missing":         {manifest, signature, own, "agent-amd64", "", true},
		"no program is there":            {manifest, signature, own, "", "None of the programs", true},
		"a server without a key":         {manifest, signature, nil, "agent-amd64", "", false},
		"the same, and no program":       {manifest, signature, nil, "", "None of the programs", false},
		"somebody else signed it":        {manifest, signature, foreign, "agent-amd64", "not signed by the key", false},
		"one byte is another":            {append([]byte(" "), manifest...), signature, own, "agent-amd64", "not signed by the key", false},
		"no signature":                   {manifest, nil, own, "agent-amd64", "has no signature", false},
		"nothing":                        {nil, nil, own, "agent-amd64", "come without a manifest", false},
		"a signature alone":              {nil, signature, own, "agent-amd64", "come without a manifest", false},
		"no manifest that is understood": {[]byte("{"), signature, own, "agent-amd64", "not one that this version understands", false},
		"more than is read":              {make([]byte, release.MaxManifest+1), signature, own, "", "too large", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, b := range map[string][]byte{release.ManifestFile: c.manifest, release.SignatureFile: c.signature} {
				if b == nil {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := Read(dir, c.keys, func(p release.Program) bool { return strings.Contains(c.there, p.Name) })
			if r.Good() != (c.says == "") || !strings.Contains(r.Say, c.says) || (r.Say == "") != (r.Remedy == "") || r.Believed != c.believed {
				t.Errorf("good: %v, believed: %v; %q, %q", r.Good(), r.Believed, r.Say, r.Remedy)
			}
			_, amd := r.For("linux", "amd64")
			if _, arm := r.For("linux", "arm64"); c.says == "" && (!amd || arm != strings.Contains(c.there, "arm64")) {
				t.Errorf("amd64 is there: %v, arm64: %v", amd, arm)
			}
		})
	}
}
