package world

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDifferencesAreSeen changes what there is to change in a copy of a tree.
func TestDifferencesAreSeen(t *testing.T) {
	tree := Tree{Files: 400, Root: os.Geteuid() == 0}
	want, got := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	tree.Plant(t, want)
	if out, err := exec.Command("cp", "-a", want, got).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if d := Differences(want, got, Leave{}); len(d) > 0 {
		t.Fatalf("a copy differs: %q", d)
	}
	var words []string
	at := func(name string) string { return filepath.Join(got, name) }
	for name, change := range map[string]func() error{
		"other bytes":    func() error { return os.WriteFile(at("odd/--help"), []byte("odd XX"), 0o644) },
		"is missing":     func() error { return os.Remove(at("odd/" + Invalid[0])) },
		"is too much":    func() error { return os.WriteFile(at("odd/more"), nil, 0o644) },
		"has the rights": func() error { return os.Chmod(at("kinds/setuid"), 0o755) },
		"is of":          func() error { return os.Chtimes(at("kinds/large"), time.Time{}, time.Unix(1, 0)) },
		"leads to": func() error {
			_ = os.Remove(at("kinds/link"))
			return os.Symlink("elsewhere", at("kinds/link"))
		},
		"not one file": func() error {
			_ = os.Remove(at("kinds/hard-2"))
			return os.WriteFile(at("kinds/hard-2"), []byte("one file of two names"), 0o644)
		},
		"attributes": func() error { return unix.Removexattr(at("kinds/attributes"), "user.comment") },
	} {
		if err := change(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		words = append(words, name)
	}
	d := strings.Join(Differences(want, got, Leave{}), "\n")
	for _, word := range words {
		if !strings.Contains(d, word) {
			t.Errorf("%s is not seen: %s", word, d)
		}
	}
}
