// Command rules checks what no linter knows of: that lines of Go end before column
// 140, and that values which become JSON are written with the names of their
// fields, so that a field that is added shifts nothing. It prints each place, and
// with -count how many there are of each kind. It does not look at types: a struct
// is one that becomes JSON if a field of it has a json tag.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

const widest = 140

func main() {
	count := flag.Bool("count", false, "print how many places there are, and succeed")
	long := flag.Bool("long", true, "look for long lines")
	unkeyed := flag.Bool("unkeyed", true, "look for JSON values without the names of their fields")
	flag.Parse()
	out, err := exec.Command("git", "ls-files", "-z", "*.go").Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rules: git ls-files:", err)
		os.Exit(2)
	}
	r := rules{set: token.NewFileSet(), json: map[string]bool{}}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if strings.HasSuffix(name, "_templ.go") {
			continue
		}
		if err := r.read(name); err != nil {
			fmt.Fprintln(os.Stderr, "rules:", err)
			os.Exit(2)
		}
	}
	bad := 0
	report := func(kind string, places []string) {
		bad += len(places)
		if *count {
			fmt.Printf("%d %s\n", len(places), kind)
			return
		}
		for _, p := range places {
			fmt.Println(p)
		}
	}
	if *long {
		report("long lines", r.long)
	}
	if *unkeyed {
		report("JSON values without field names", r.unkeyed())
	}
	if bad > 0 && !*count {
		os.Exit(1)
	}
}

type rules struct {
	set   *token.FileSet
	files []*ast.File
	json  map[string]bool // structs that become JSON, as package.Name
	long  []string
}

func (r *rules) read(name string) error {
	b, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil // removed and not committed yet
	} else if err != nil {
		return err
	}
	n := 0
	for line := range bytes.Lines(b) {
		n++
		if width := utf8.RuneCount(bytes.TrimRight(line, "\n")); width > widest {
			r.long = append(r.long, fmt.Sprintf("%s:%d: the line has %d columns", name, n, width))
		}
	}
	f, err := parser.ParseFile(r.set, name, b, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	r.files = append(r.files, f)
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok && tagged(s) {
			r.json[f.Name.Name+"."+spec.Name.Name] = true
		}
		return true
	})
	return nil
}

func tagged(s *ast.StructType) bool {
	for _, f := range s.Fields.List {
		if f.Tag != nil && strings.Contains(f.Tag.Value, `json:"`) {
			return true
		}
	}
	return false
}

// unkeyed are the literals of structs that become JSON and name no fields.
func (r *rules) unkeyed() (places []string) {
	for _, f := range r.files {
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if lit.Type != nil && r.json[name(f, lit.Type)] {
				places = append(places, r.check(lit)...)
			}
			if of := element(lit.Type); of != nil && r.json[name(f, of)] {
				for _, e := range lit.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						e = kv.Value
					}
					if inner, ok := e.(*ast.CompositeLit); ok && inner.Type == nil {
						places = append(places, r.check(inner)...)
					}
				}
			}
			return true
		})
	}
	return places
}

func (r *rules) check(lit *ast.CompositeLit) []string {
	for _, e := range lit.Elts {
		if _, ok := e.(*ast.KeyValueExpr); !ok {
			at := r.set.Position(lit.Pos())
			return []string{fmt.Sprintf("%s:%d: a JSON value without the names of its fields", filepath.ToSlash(at.Filename), at.Line)}
		}
	}
	return nil
}

// element is what a slice, an array or a map holds, nil for anything else.
func element(t ast.Expr) ast.Expr {
	switch t := t.(type) {
	case *ast.ArrayType:
		return t.Elt
	case *ast.MapType:
		return t.Value
	}
	return nil
}

// name is a type as package.Name.
func name(f *ast.File, t ast.Expr) string {
	switch t := t.(type) {
	case *ast.Ident:
		return strings.TrimSuffix(f.Name.Name, "_test") + "." + t.Name
	case *ast.SelectorExpr:
		if x, ok := t.X.(*ast.Ident); ok {
			return x.Name + "." + t.Sel.Name
		}
	case *ast.StarExpr:
		return name(f, t.X)
	}
	return ""
}
