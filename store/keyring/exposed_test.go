package keyring

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestAKeyThatEverybodyReadsIsExposed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files there have no such bits")
	}
	m := Master{File: filepath.Join(t.TempDir(), "the key")}
	if say, _ := m.Exposed(); say != "" {
		t.Errorf("of no file: %s", say)
	}
	if err := os.WriteFile(m.File, []byte("k"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, exposed := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: false, 0o644: true, 0o602: true} {
		if err := os.Chmod(m.File, mode); err != nil {
			t.Fatal(err)
		}
		if say, remedy := m.Exposed(); (say != "") != exposed || exposed && !strings.Contains(remedy, "chmod 600 '") {
			t.Errorf("%o: %q, %q", mode, say, remedy)
		}
	}
}
