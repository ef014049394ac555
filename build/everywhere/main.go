// Command everywhere sees that everything type-checks on systems that nobody here
// builds for every day: on 32 bits, where int is smaller, on macOS and on FreeBSD. That
// takes seconds each, as nothing is compiled. With the word build it builds both programs
// for each of them instead, which takes minutes: make check-all does that.
package main

import (
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/tools/go/packages"
)

// A target is a system, and what has to be right on it.
type target struct {
	system, processor string
	tests             bool // those of Linux alone are not for others
}

var targets = []target{
	{"linux", "386", true},
	{"linux", "arm", false},
	{"darwin", "arm64", false},
	{"freebsd", "amd64", false},
}

// programs are built as make does, each with its tags.
var programs = []struct{ path, tags string }{
	{"./cmd/restic-manager", ""},
	{"./cmd/restic-manager-agent", "nethttpomithttp2"},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "build" {
		build()
		return
	}
	bad := false
	for _, t := range targets {
		config := packages.Config{
			Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedDeps |
				packages.NeedTypes | packages.NeedTypesSizes, // of others' packages no bodies
			Env:   t.environment(),
			Tests: t.tests,
		}
		found, err := packages.Load(&config, "./...")
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s/%s: %v\n", t.system, t.processor, err)
			os.Exit(1)
		}
		packages.Visit(found, nil, func(p *packages.Package) {
			for _, e := range p.Errors {
				bad = true
				fmt.Fprintf(os.Stderr, "%s/%s: %v\n", t.system, t.processor, e)
			}
		})
	}
	if bad {
		os.Exit(1)
	}
}

func (t target) environment() []string {
	return append(os.Environ(), "GOOS="+t.system, "GOARCH="+t.processor, "CGO_ENABLED=0")
}

// build builds everything, and ends with 1 if something did not.
func build() {
	bad := false
	for _, t := range targets {
		for _, p := range programs {
			fmt.Printf("== %s for %s/%s\n", p.path, t.system, t.processor)
			c := exec.Command("go", "build", "-trimpath", "-tags", p.tags, "-o", os.DevNull, p.path)
			c.Env, c.Stderr = t.environment(), os.Stderr
			if err := c.Run(); err != nil {
				bad = true
				fmt.Fprintf(os.Stderr, "%s for %s/%s: %v\n", p.path, t.system, t.processor, err)
			}
		}
	}
	if bad {
		os.Exit(1)
	}
}
