package problem_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/asking"
	"github.com/restic-manager/restic-manager/controlplane/consumers"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/pause"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/discoveries"
	"github.com/restic-manager/restic-manager/store/uplinks"
)

// worded are the packages whose exported errors all have words, and these errors.
var worded = map[string]map[string]error{
	"controlplane/asking": {"ErrNotAllowed": asking.ErrNotAllowed, "ErrNoTopic": asking.ErrNoTopic, "ErrTooMany": asking.ErrTooMany,
		"ErrPayload": asking.ErrPayload, "Refusal": &asking.Refusal{Class: asking.ErrNoTopic, Cause: "no-host", Text: "There is none."}},
	"controlplane/audience":  {},
	"controlplane/consumers": {"ErrNoConsumer": consumers.ErrNoConsumer, "ErrNameTaken": consumers.ErrNameTaken},
	"controlplane/discovery": {},
	"controlplane/pause":     {"ErrRetired": pause.ErrRetired},
	"controlplane/uplink":    {},
	"store/discoveries":      {"ErrMoved": discoveries.ErrMoved},
	"store/pauses":           {},
	"store/uplinks": {"ErrMoved": uplinks.ErrMoved, "ErrNoPlace": uplinks.ErrNoPlace,
		"FlagsError": &uplinks.FlagsError{Say: "A file cannot be read."}},
	"controlplane/field": {"Errors": field.Errors{"url": "Say which."}},
}

// TestWhateverIsRefusedHasWords: nobody is told that something went wrong and to look into the
// log, of what is none of the control plane's faults.
func TestWhateverIsRefusedHasWords(t *testing.T) {
	for dir, list := range worded {
		for _, name := range exported(t, "../../"+dir) {
			if list[name] == nil {
				t.Errorf("%s.%s has no words: add it here, and to problem.Of", dir, name)
			}
		}
		for name, err := range list {
			p := problem.Of(fmt.Errorf("do something: %w", err))
			if p.Kind == problem.Internal || p.Title == "" || p.Say == "" {
				t.Errorf("%s.%s: %q %q %q", dir, name, p.Kind, p.Title, p.Detail())
			}
		}
	}
	if p := problem.Of(store.ErrRetired); p.Kind != problem.Conflict {
		t.Errorf("a host that is retired: %+v", p)
	}
}

// exported lists the exported errors of a package: variables called Err…, and types with a
// method Error.
func exported(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", dir, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.ValueSpec:
				for _, id := range x.Names {
					if strings.HasPrefix(id.Name, "Err") {
						names = append(names, id.Name)
					}
				}
			case *ast.FuncDecl:
				if x.Recv == nil || x.Name.Name != "Error" {
					return false
				}
				of := x.Recv.List[0].Type
				if star, is := of.(*ast.StarExpr); is {
					of = star.X
				}
				if id := of.(*ast.Ident); id.IsExported() {
					names = append(names, id.Name)
				}
				return false
			}
			return true
		})
	}
	slices.Sort(names)
	return names
}
