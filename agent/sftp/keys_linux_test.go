package sftp

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/restic-manager/restic-manager/topics"
)

// shown is a key that a server of this name could show.
func shown(t *testing.T, name string) offered {
	t.Helper()
	line, err := Home{Dir: t.TempDir()}.Make("x")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(line)
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return offered{HostKey: topics.HostKey{Name: name, Type: f[0], Fingerprint: ssh.FingerprintSHA256(key)}, Key: f[1], At: time.Now().Unix()}
}

func TestOnlyAKeyThatWasShownIsAccepted(t *testing.T) {
	h := Home{Dir: filepath.Join(t.TempDir(), "ssh")}
	nas, other, attic := shown(t, "nas"), shown(t, "nas"), shown(t, "[attic]:2222")
	late := shown(t, "late")
	late.At = time.Now().Add(-offeredAge - time.Hour).Unix()
	if err := h.note([]offered{nas, attic, late}); err != nil {
		t.Fatal(err)
	}
	known := func() string {
		b, _ := os.ReadFile(h.file(knownFile))
		return strings.ReplaceAll(strings.ReplaceAll(string(b), nas.Key, "NAS"), other.Key, "OTHER")
	}
	accept := func(o offered, changed bool, want error) {
		t.Helper()
		if _, err := h.Accept(o.Name, o.Fingerprint, changed); !errors.Is(err, want) {
			t.Errorf("accepting %s of %s: %v, want %v", o.Fingerprint, o.Name, err, want)
		}
	}
	accept(other, false, ErrNotOffered) // never shown
	accept(late, false, ErrNotOffered)  // too long ago
	elsewhere := nas
	elsewhere.Name = "[attic]:2222" // shown by another server
	accept(elsewhere, false, ErrNotOffered)
	if known() != "" {
		t.Errorf("refused, and yet known: %s", known())
	}
	accept(nas, false, nil)
	if err := h.note([]offered{other}); err != nil {
		t.Fatal(err)
	}
	accept(other, false, ErrChanged) // although nobody had noted that one is known
	if known() != "nas ssh-ed25519 NAS\n" {
		t.Errorf("known is %s", known())
	}
	accept(other, true, nil)
	if known() != "nas ssh-ed25519 OTHER\n" { // in the place of the first
		t.Errorf("known is %s", known())
	}
	forged := attic
	forged.Key = nas.Key // the file was changed under us
	if err := h.writeOffered([]offered{forged}); err != nil {
		t.Fatal(err)
	}
	accept(attic, false, ErrNotOffered)
	now, err := h.State()
	if err != nil || len(now.Keys) != 2 || !now.Keys[0].Accepted || now.Keys[1].Accepted || now.PublicKey != "" {
		t.Errorf("the state is %+v (%v)", now, err)
	}
	for _, name := range []string{knownFile, offeredFile} {
		if info, err := os.Stat(h.file(name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestAKeyPairIsMadeOnce(t *testing.T) {
	h := Home{Dir: filepath.Join(t.TempDir(), "ssh")}
	first, err := h.Make("restic-manager@attic\nssh-rsa evil")
	if err != nil || strings.Contains(first, "\n") || !strings.HasPrefix(first, "ssh-ed25519 ") ||
		!strings.HasSuffix(first, " restic-manager@attic-ssh-rsa-evil") {
		t.Fatalf("made %q (%v)", first, err)
	}
	again, err := h.Make("other")
	if public, e := h.Public(); err != nil || e != nil || again != first || public != first {
		t.Errorf("made again %q, there is %q (%v, %v)", again, public, err, e)
	}
	if info, err := os.Stat(h.file(keyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private half: %v, %v", info, err)
	}
	if err := os.WriteFile(h.file(keyFile), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Make("other"); err == nil { // never over what is there
		t.Error("a key was made in the place of a file that is none")
	}
	if line, err := (Home{}).Public(); line != "" || err != nil {
		t.Errorf("without a directory: %q, %v", line, err)
	}
}
