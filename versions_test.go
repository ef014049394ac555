package resticmanager

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestVersionsOfResticAreComparedByOneTable has everything that depends on a version of
// restic stand in package since, with its name and what older ones do.
func TestVersionsOfResticAreComparedByOneTable(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "-z", "*.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "since/") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			continue // removed, and not committed yet
		}
		files++
		if bytes.Contains(b, []byte(".AtLeast(0,")) {
			t.Errorf("%s compares a version of restic by itself: put what it asks for into package since", name)
		}
	}
	if files == 0 {
		t.Fatal("there are no files to look at")
	}
}
