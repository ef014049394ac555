package sources

import (
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/field"
)

// What is suggested has to be accepted as it stands, whoever looks through it or not.
func TestWhatIsSuggestedIsAccepted(t *testing.T) {
	seen := map[string]bool{}
	for system, first := range map[string][2]string{"linux": {"server", "laptop"}, "windows": {"pc", "pc"}} {
		for i, comes := range []bool{false, true} {
			list := Fits(system, comes)
			if list[0].Value != first[i] {
				t.Errorf("%s, comes and goes %t: %s first", system, comes, list[0].Value)
			}
			for _, f := range list {
				seen[f.Value] = true
				if wrong := field.Name("name", f.Name); wrong != "" || len(f.Paths) == 0 || len(f.Excludes) == 0 || f.Title == "" ||
					checkPaths(f.Paths) != "" || checkExcludes(f.Paths, f.Excludes) != "" {
					t.Errorf("%s: %q %+v", f.Value, wrong, f)
				}
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("kinds of machines: %v", seen)
	}
}
