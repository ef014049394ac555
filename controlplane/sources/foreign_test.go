package sources

import (
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/field"
)

func TestAPathIsOfTheHostsOwnSystem(t *testing.T) {
	for _, c := range []struct {
		os, path string
		fits     bool
	}{
		{"windows", `C:\Data`, true}, {"windows", "c:/Data", true}, {"windows", `\\server\share`, true}, {"windows", "//server/share", true},
		{"windows", "/srv/data", false}, {"windows", "/", false},
		{"linux", "/srv/data", true}, {"linux", `C:\Data`, false}, {"linux", `\\server\share`, false}, {"darwin", "/Users", true},
		{"", `C:\Data`, true}, {"", "/srv", true}, // of a host that has not come yet
	} {
		said := foreign(c.os, []string{c.path})
		if (said == "") != c.fits || said != "" && !strings.Contains(said, "Begin with") {
			t.Errorf("%s on %q: %q", c.path, c.os, said)
		}
	}
	in := Input{Paths: &[]string{"/C/Data", "c:/x"}, Excludes: &[]string{"/C/Data/*.tmp", "!c:\\Data\\keep.tmp", "*.bak"}}.spelt("windows")
	if got := *in.Paths; !slices.Equal(got, []string{`C:\Data`, `C:\x`}) {
		t.Errorf("paths are spelt %q", got)
	}
	if got := *in.Excludes; !slices.Equal(got, []string{`C:\Data\*.tmp`, `!C:\Data\keep.tmp`, "*.bak"}) {
		t.Errorf("patterns are spelt %q", got)
	}
	if said := checkPaths([]string{`%USERPROFILE%\Documents`}); !strings.Contains(said, "variable") {
		t.Errorf("a variable: %q", said)
	}
	stays, wrong := true, field.Errors{}
	Input{OneFileSystem: &stays}.misfits("windows", wrong)
	if wrong["one_file_system"] == "" {
		t.Error("a host of Windows stays on one file system")
	}
	wrong = field.Errors{}
	Input{OneFileSystem: &stays, Paths: &[]string{"/srv"}}.misfits("linux", wrong)
	Input{ShadowOnly: &stays}.misfits("windows", wrong)
	Input{ShadowOnly: &stays}.misfits("", wrong) // it has not said what it is
	Input{ShadowOnly: new(false)}.misfits("linux", wrong)
	if len(wrong) > 0 {
		t.Errorf("on Linux: %v", wrong)
	}
	Input{ShadowOnly: &stays}.misfits("linux", wrong)
	if wrong["shadow_copy_only"] == "" {
		t.Error("a host of Linux makes shadow copies")
	}
	if said := Usual("windows"); len(said) == 0 || len(Usual("linux")) > 0 {
		t.Errorf("a new group begins with %q", said)
	}
}
