package release

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"aead.dev/minisign"
)

func keyPair(t *testing.T) (string, minisign.PrivateKey) {
	t.Helper()
	public, secret, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public.String(), secret
}

func good() Manifest {
	return Manifest{Format: Format, Number: 1_790_000_000, Version: "1.2.3", Programs: []Program{
		{OS: "linux", Arch: "amd64", Name: "restic-manager-agent_1.2.3_linux_amd64", Size: 5, SHA256: strings.Repeat("ab", 32)},
		{OS: "windows", Arch: "amd64", Name: "restic-manager-agent_1.2.3_windows_amd64.exe", Size: 5, SHA256: strings.Repeat("cd", 32)},
	}}
}

func TestAManifestIsBelievedIfOneOfTheKeysSignedIt(t *testing.T) {
	mine, secret := keyPair(t)
	other, foreign := keyPair(t)
	b := Encode(good())
	signed := minisign.Sign(secret, b)
	for _, c := range []struct {
		name      string
		keys      []string
		manifest  []byte
		signature []byte
		want      error
	}{
		{"signed", []string{mine}, b, signed, nil},
		{"by the second of two", []string{other, mine}, b, signed, nil},
		{"by the key's whole file", []string{"untrusted comment: minisign public key\n" + mine + "\n"}, b, signed, nil},
		{"no key", nil, b, signed, ErrNoKey},
		{"by another", []string{mine}, b, minisign.Sign(foreign, b), ErrSignature},
		{"of other bytes", []string{mine}, append(bytes.Clone(b), '\n'), signed, ErrSignature},
		{"not at all", []string{mine}, b, nil, ErrSignature},
		{"nonsense that is signed", []string{mine}, []byte("{}"), minisign.Sign(secret, []byte("{}")), ErrManifest},
		{"too long", []string{mine}, bytes.Repeat([]byte(" "), MaxManifest+1), signed, ErrManifest},
	} {
		if m, err := Verify(c.keys, c.manifest, c.signature); !errors.Is(err, c.want) || (err == nil) != (m.Number > 0) {
			t.Errorf("%s: %+v, %v, want %v", c.name, m, err, c.want)
		}
	}
	if _, err := Verify([]string{"nonsense"}, b, signed); err == nil {
		t.Error("a key that is none takes something")
	}
}

func TestWhatNoManifestSaysIsRefused(t *testing.T) {
	if m, err := Parse(Encode(good())); err != nil || len(m.Programs) != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	for name, spoil := range map[string]func(*Manifest){
		"format":    func(m *Manifest) { m.Format = 2 },
		"number":    func(m *Manifest) { m.Number = 0 },
		"version":   func(m *Manifest) { m.Version = "1 2" },
		"nothing":   func(m *Manifest) { m.Programs = nil },
		"twice":     func(m *Manifest) { m.Programs = append(m.Programs, m.Programs[0]) },
		"climbs":    func(m *Manifest) { m.Programs[0].Name = "../agent" },
		"slash":     func(m *Manifest) { m.Programs[0].Name = "a/b" },
		"option":    func(m *Manifest) { m.Programs[0].Name = "-x" },
		"empty":     func(m *Manifest) { m.Programs[0].Size = 0 },
		"huge":      func(m *Manifest) { m.Programs[0].Size = MaxProgram + 1 },
		"sum":       func(m *Manifest) { m.Programs[0].SHA256 = "ab" },
		"capitals":  func(m *Manifest) { m.Programs[0].SHA256 = strings.Repeat("AB", 32) },
		"processor": func(m *Manifest) { m.Programs[0].Arch = "amd 64" },
	} {
		m := good()
		spoil(&m)
		if got, err := Parse(Encode(m)); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestProcessorsAndKeysAreNamedAsManifestsDo(t *testing.T) {
	for _, c := range [][3]string{{"amd64", "", "amd64"}, {"arm", "7", "armv7"}, {"arm", "6,softfloat", "armv6"}, {"arm", "", "armv7"},
		{"386", "", "386"}} {
		if got := ArchOf(c[0], c[1]); got != c[2] {
			t.Errorf("%v is %s", c, got)
		}
	}
	public, _ := keyPair(t)
	if id, err := KeyID(public); err != nil || len(id) != 16 {
		t.Errorf("%q, %v", id, err)
	}
	if Newer(2, 1) != 1 || Newer(0, -1) != 0 || Newer(0, 1) != -1 {
		t.Error("numbers are compared wrongly")
	}
}
