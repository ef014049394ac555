package repositories

import (
	"strings"
	"testing"
)

// TestOneCommandForAllHosts leaves out those of Windows, which have another shell, and says
// nothing for one host alone.
func TestOneCommandForAllHosts(t *testing.T) {
	attic, cellar := Pinned{Name: "attic", Command: "allow"}, Pinned{Name: "cellar", Hostname: "cellar.lan", Command: "allow"}
	office := Pinned{Name: "office", Command: `allow --state "C:\ProgramData"`, windows: true}
	if got := ForAll([]Pinned{attic, cellar, office}); !strings.Contains(got, "attic cellar.lan") || strings.Contains(got, "office") {
		t.Errorf("it is %s", got)
	}
	if got := ForAll([]Pinned{attic, office}); got != "" {
		t.Errorf("for one host it is %s", got)
	}
}
