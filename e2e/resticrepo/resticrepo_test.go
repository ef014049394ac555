package resticrepo

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPoly1305 is the example of RFC 8439, 2.5.2.
func TestPoly1305(t *testing.T) {
	key, _ := hex.DecodeString("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
	want, _ := hex.DecodeString("a8061dc1305136c6c22b8baf0c0127a9")
	k := keys{macR: key[:16]}
	k.maskR()
	if got := poly1305(k.macR, key[16:], []byte("Cryptographic Forum Research Group")); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// TestResticTakesItForItsOwn backs up into one, checks it and reads it back.
func TestResticTakesItForItsOwn(t *testing.T) {
	dir := t.TempDir()
	place := filepath.Join(dir, "vault")
	if err := Make(place, "correct horse"); err != nil {
		t.Fatal(err)
	}
	if err := Make(place, "correct horse"); err == nil {
		t.Error("a repository was made over another")
	}
	letter := filepath.Join(dir, "letter.txt")
	if err := os.WriteFile(letter, []byte("dear reader"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(place, "keys", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("its keys are %v, %v", files, err)
	}
	for password, want := range map[string]bool{"correct horse": true, "wrong": false} {
		if opens, err := KeyOpens(files[0], password); opens != want || err != nil {
			t.Errorf("%q opens it: %v, %v", password, opens, err)
		}
	}
	run := func(password string, args ...string) (string, error) {
		cmd := exec.Command("restic", append([]string{"-r", place, "--no-cache"}, args...)...)
		cmd.Env = append(os.Environ(), "RESTIC_PASSWORD="+password)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{{"backup", letter}, {"check", "--read-data"}, {"prune"}} {
		if out, err := run("correct horse", args...); err != nil {
			t.Fatalf("restic %v: %v\n%s", args, err, out)
		}
	}
	if out, err := run("correct horse", "dump", "latest", letter); err != nil || out != "dear reader" {
		t.Errorf("read back %q, %v", out, err)
	}
	if out, err := run("wrong", "snapshots"); err == nil {
		t.Errorf("a wrong password opens it: %s", out)
	}
	var config struct {
		Version int    `json:"version"`
		ID      string `json:"id"`
	}
	if out, err := run("correct horse", "cat", "config"); err != nil || json.Unmarshal([]byte(out), &config) != nil ||
		config.Version != 2 || len(config.ID) != 64 {
		t.Errorf("the config is %s, %v", out, err)
	}
}

func TestARepositoryOfResticsOwnBecomesCheap(t *testing.T) {
	place := filepath.Join(t.TempDir(), "vault")
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("restic", append([]string{"-r", place, "--no-cache"}, args...)...)
		cmd.Env = append(os.Environ(), "RESTIC_PASSWORD=correct horse")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("restic %v: %v\n%s", args, err, out)
		}
	}
	run("init")
	if err := Cheapen(place, "wrong"); err == nil {
		t.Error("a wrong password wraps a key")
	}
	if err := Cheapen(place, "correct horse"); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(place, "keys", "*")) // the pattern is well formed
	if len(files) != 1 {
		t.Fatalf("the keys are %v", files)
	}
	if b, err := os.ReadFile(files[0]); err != nil || !bytes.Contains(b, []byte(`"N":2,"r":1,"p":1`)) {
		t.Errorf("the key is %s, %v", b, err)
	}
	run("check")
}
