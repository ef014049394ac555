package private

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func listOf(t *testing.T, path string) descriptor {
	t.Helper()
	d, err := described(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestADirectoryForKeysIsNobodyElsesFromTheFirstMoment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "above", "state")
	said, err := Claim(dir)
	if err != nil || len(said) != 0 {
		t.Fatalf("it says %q, %v", said, err)
	}
	if d := listOf(t, dir); d.open || len(d.others(uses, who())) > 0 {
		t.Errorf("the directory is for %+v", d)
	}
	keeps(t)
	key := filepath.Join(dir, "identity.json")
	if err := os.WriteFile(key, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Secret(key); err != nil {
		t.Errorf("what is made in it: %v, %+v", err, listOf(t, key))
	}
}

func TestWhatEverybodyCouldReadIsMendedAndSaid(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "identity.json")
	if err := os.WriteFile(key, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	keeps(t)
	for _, path := range []string{dir, key} {
		everybody(t, path)
		if err := Secret(path); err == nil || !strings.Contains(err.Error(), "Everyone") {
			t.Fatalf("everybody may read %s, and it is taken for secret: %v, %+v", path, err, listOf(t, path))
		}
	}
	if err := Trusted(key); err == nil || !strings.Contains(err.Error(), "icacls") {
		t.Errorf("everybody may write it, and it is trusted: %v", err)
	}
	said := strings.Join(Dir(dir, "*.json"), "\n")
	if !strings.Contains(said, "state could be used by others (Everyone)") || strings.Contains(said, "cannot") {
		t.Errorf("it says %q", said)
	}
	for _, path := range []string{dir, key} {
		if err := Secret(path); err != nil {
			t.Errorf("%s is still %+v", path, listOf(t, path))
		}
	}
	if said := Dir(dir, "*.json"); len(said) != 0 {
		t.Errorf("the second time it says %q", said)
	}
	if b, err := os.ReadFile(key); err != nil || string(b) != "{}" {
		t.Errorf("we cannot read it ourselves: %q, %v", b, err)
	}
}

// Everybody may make a directory where programs keep their data, before there is one.
func TestADirectoryOfSomebodyElsesMakingIsNotOurs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := Ours(dir); err != nil {
		t.Errorf("what is not there: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Ours(dir); err != nil {
		t.Errorf("our own directory: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Skipf("this user makes no links: %v", err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().IsDir() {
		t.Skipf("this system shows links as what they lead to: %v", err)
	}
	if said, err := Claim(link); err == nil || !strings.Contains(err.Error(), "is a link") {
		t.Errorf("a link is claimed: %q, %v", said, err)
	}
}
