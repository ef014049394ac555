package resticmanager

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Moments that people see are put into words by words/moment.go alone, in the zone of
// whoever looks. So nothing that makes a page may format a time, or ask what zone this
// machine is in: it would be another zone than the rest of the page.
func TestMomentsAreToldInOnePlace(t *testing.T) {
	// What may look at a zone, and why.
	known := map[string]string{
		"controlplane/web/base/parts.go Location":   "the server's zone, where the configuration names none",
		"controlplane/web/pages/settings.go Format": "the name of a support bundle, in UTC as its entry in the audit log",
		"controlplane/retention/plan.go Location":   "the days by which rules count",
		"views/calendar.go Location":                "the noons of a calendar's days, in the zone that its caller set",
	}
	files, found := 0, map[string]bool{}
	look := func(path string, f *ast.File) {
		files++
		ast.Inspect(f, func(n ast.Node) bool {
			asked := false // Location(): a field or a type of that name is no zone
			if call, ok := n.(*ast.CallExpr); ok {
				s, is := call.Fun.(*ast.SelectorExpr)
				asked = is && s.Sel.Name == "Location" && len(call.Args) == 0
				n = call.Fun
			}
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, _ := selector.X.(*ast.Ident)
			name := selector.Sel.Name
			switch {
			case name == "AppendFormat", name == "Format", asked:
			case of != nil && of.Name == "time" && (name == "Local" || name == "LoadLocation" || name == "ParseInLocation" || name == "RFC3339" ||
				strings.HasPrefix(name, "Date") && name != "Date" || name == "Kitchen" || name == "Stamp"):
			default:
				return true
			}
			if place := path + " " + name; known[place] != "" {
				found[place] = true
			} else if !(name == "RFC3339" && path == "controlplane/web/base/audit.go") { // it reads what a program wrote
				t.Errorf("%s: %s: words/moment.go puts moments into words, in the zone of the context", path, name)
			}
			return true
		})
	}
	for _, dir := range []string{"controlplane/web", "views", "controlplane/retention", "controlplane/protection", "controlplane/fleet",
		"controlplane/health", "controlplane/hosts", "controlplane/kit"} {
		if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err == nil {
				look(filepath.ToSlash(path), f)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for place := range known {
		if !found[place] {
			t.Errorf("%s is allowed, and not there any more", place)
		}
	}
	if files < 60 {
		t.Errorf("only %d files were looked at", files)
	}
}
