package firststeps

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/views"
)

var pictureOf = regexp.MustCompile(`!\[([^\]]*)\]\(([^)]+)\)`)

// TestTheWalkHasEveryStepAndPicture compares docs/FIRST-RUN.md with the steps, and every
// picture that a document names with what is there.
func TestTheWalkHasEveryStepAndPicture(t *testing.T) {
	walk, err := os.ReadFile("../../docs/FIRST-RUN.md")
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for i, key := range Keys {
		heading := fmt.Sprintf("\n## %d. %s\n", i+1, views.StepTitle(string(key)))
		where := strings.Index(string(walk), heading)
		if where < at {
			t.Errorf("%q is not where it belongs in the walk", strings.TrimSpace(heading))
			continue
		}
		at = where
		section, _, _ := strings.Cut(string(walk[where+len(heading):]), "\n## ")
		if !pictureOf.MatchString(section) {
			t.Errorf("step %s has no picture", key)
		}
	}
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named, size := map[string]bool{}, 0
	for _, file := range append(documents, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pictureOf.FindAllStringSubmatch(string(text), -1) {
			path := filepath.Join(filepath.Dir(file), m[2])
			picture, err := os.ReadFile(path)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			if _, err := png.DecodeConfig(bytes.NewReader(picture)); err != nil || m[1] == "" {
				t.Errorf("%s: %s is no picture, or has no words: %v", file, m[2], err)
			}
			named[path] = true
		}
	}
	there, err := filepath.Glob("../../docs/first-run/*.png")
	if err != nil || len(there) == 0 {
		t.Fatalf("no pictures: %v", err)
	}
	for _, path := range there {
		if !named[path] {
			t.Errorf("no document shows %s", path)
		}
		if info, err := os.Stat(path); err == nil {
			size += int(info.Size())
		}
	}
	if size > 1500<<10 {
		t.Errorf("the pictures have %d KiB, and everybody who clones this has them for good", size>>10)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil || !strings.Contains(string(readme), "docs/FIRST-RUN.md") {
		t.Errorf("README.md does not lead to the walk (%v)", err)
	}
}
