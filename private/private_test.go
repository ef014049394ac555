//go:build unix

package private

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatOthersMayUseIsMendedAndSaid(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a [strange] *name?")
	modes := map[string]os.FileMode{"open.db": 0o644, "closed.db": 0o600, "read-only.db": 0o440, "other.txt": 0o644}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	for path, mode := range map[string]os.FileMode{elsewhere: 0o644} {
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range modes {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, "link.db")); err != nil {
		t.Fatal(err)
	}
	said := Dir(dir, "*.db", "missing")
	if all := strings.Join(said, "\n"); len(said) != 3 || !strings.Contains(all, "open.db could be used by others (mode 0644)") ||
		!strings.Contains(all, "read-only.db") {
		t.Errorf("it says %q", said)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "open.db"): 0o600, filepath.Join(dir, "closed.db"): 0o600,
		filepath.Join(dir, "read-only.db"): 0o400, filepath.Join(dir, "other.txt"): 0o644, elsewhere: 0o644} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s is %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
	if said := Dir(dir, "*.db"); len(said) != 0 {
		t.Errorf("the second time it says %q", said)
	}
}
