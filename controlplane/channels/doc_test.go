package channels

import (
	"os"
	"strings"
	"testing"
)

// docs/ALERTS.md names every kind of channel, each of its fields, and each field of a
// webhook's body.
func TestTheDocumentNamesKindsAndFields(t *testing.T) {
	text := string(must(os.ReadFile("../../docs/ALERTS.md")))
	_, text, _ = strings.Cut(text, "\n## Channels\n")
	for _, k := range Kinds() {
		row := ""
		for l := range strings.Lines(text) {
			if first, _, _ := strings.Cut(strings.TrimPrefix(l, "|"), "|"); strings.HasPrefix(l, "|") && strings.Contains(first, "`"+k.Name+"`") {
				row = l
			}
		}
		if row == "" {
			t.Errorf("the kind %s is not there", k.Name)
		}
		for _, f := range k.Fields {
			if !strings.Contains(row, "`"+f.Name+"`") {
				t.Errorf("the row of %s does not name %s", k.Name, f.Name)
			}
		}
	}
	for _, name := range []string{"version", "event", "title", "text", "alert", "alerts", "more", "rows", "link", signatureHeader} {
		if !strings.Contains(text, name) {
			t.Errorf("the webhook's %s is not described", name)
		}
	}
}
