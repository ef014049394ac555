// Command meeting says where goroutines meet: which packages make check runs under the
// race detector, and which it leaves to make check-all. The detector makes a test five
// to fifteen times as long, and finds something only where two goroutines have the same
// memory.
//
//	go run ./build/meeting whole   packages that run under it
//	go run ./build/meeting some    packages of which those tests do that start goroutines
//	go run ./build/meeting tests   these tests, as -run takes them
//	go run ./build/meeting rest    packages whose tests run without it: all others
//
// Goroutines meet in a package that starts one, or has a lock: its files, without those
// of tests, have a go statement or import sync.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/restic-manager/restic-manager"

// elsewhere are packages in which goroutines meet and that make check does not run under
// the detector as a whole, and why not.
var elsewhere = map[string]string{
	"cmd/restic-manager": "its goroutine passes signals on; its tests ask one door after the other",
	"controlplane/web":   "a page is a function of the database; its streams and sessions are packages of their own",
}

// A pkg is a package that has tests.
type pkg struct {
	path  string   // within the module, "." for the root
	meet  bool     // goroutines meet in it
	tests []string // those that start goroutines themselves
}

func main() {
	what := ""
	if len(os.Args) == 2 {
		what = os.Args[1]
	}
	all, err := packages()
	if err == nil {
		err = say(os.Stdout, what, all)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "meeting:", err)
		os.Exit(1)
	}
}

func say(to io.Writer, what string, all []pkg) error {
	var words []string
	between := " "
	for _, p := range all {
		whole := p.meet && elsewhere[p.path] == ""
		// Whole systems are slow, and the programs in them would be built for it, too.
		some := !whole && len(p.tests) > 0 && !strings.HasPrefix(p.path, "e2e")
		name := "./" + p.path
		switch {
		case what == "whole" && whole, what == "some" && some, what == "rest" && !whole:
			words = append(words, name)
		case what == "tests" && some:
			words = append(words, p.tests...)
		}
	}
	switch what {
	case "tests":
		between = "|"
		words = []string{"^(" + strings.Join(words, between) + ")$"}
	case "whole", "some", "rest":
	default:
		return errors.New("usage: meeting whole|some|tests|rest")
	}
	_, err := fmt.Fprintln(to, strings.Join(words, between))
	return err
}

// packages lists what has tests.
func packages() (all []pkg, err error) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,TestGoFiles,XTestGoFiles", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	for in := json.NewDecoder(bytes.NewReader(out)); ; {
		var l struct {
			ImportPath, Dir                    string
			GoFiles, TestGoFiles, XTestGoFiles []string
		}
		switch err := in.Decode(&l); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, err
		case len(l.TestGoFiles)+len(l.XTestGoFiles) == 0:
			continue
		}
		p := pkg{path: cmp.Or(strings.TrimPrefix(strings.TrimPrefix(l.ImportPath, module), "/"), ".")}
		for _, name := range l.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(l.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			p.meet = p.meet || starts(f) || locks(f)
		}
		for _, name := range append(l.TestGoFiles, l.XTestGoFiles...) {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(l.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			p.tests = append(p.tests, starting(f)...)
		}
		slices.Sort(p.tests)
		all = append(all, p)
	}
}

// locks reports whether a file imports what goroutines share memory by.
func locks(f *ast.File) bool {
	return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool {
		path, err := strconv.Unquote(i.Path.Value)
		return err == nil && (path == "sync" || path == "sync/atomic" || strings.HasPrefix(path, "golang.org/x/sync/"))
	})
}

// starts reports whether goroutines are started in a part of a file.
func starts(n ast.Node) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = true
		case *ast.CallExpr: // of a sync.WaitGroup, or a group of errors
			method, ok := n.Fun.(*ast.SelectorExpr)
			found = found || ok && method.Sel.Name == "Go" && len(n.Args) == 1
		}
		return !found
	})
	return found
}

// starting lists the tests of a file that start goroutines.
func starting(f *ast.File) (names []string) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") && starts(fn) {
			names = append(names, fn.Name.Name)
		}
	}
	return names
}
