package restic

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A stack is what Go prints of the calls that led to an error: two lines for each, of which
// a person needs one for all. The words of the error, and of a panic, stand before it and
// stay lines of their own.
type stack struct {
	first string // the function that was called last
	at    string // its file and line
	calls int
}

var (
	frameFunction = regexp.MustCompile(`^(?:created by )?[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.~-]+)*` +
		`\.[A-Za-z0-9_.()*\[\]]+(?:\(.*\))?(?: in goroutine \d+)?$`)
	frameFile = regexp.MustCompile(`^\s*(\S+\.(?:go|s):\d+)(?: \+0x[0-9a-f]+)?$`)
)

// take takes a line if it is of a stack: a place in a file, or a function of one of the
// packages that restic is made of.
func (s *stack) take(line string) bool {
	// The patterns take their time, and a restic may print millions of lines.
	if strings.Contains(line, ".go:") || strings.Contains(line, ".s:") {
		if m := frameFile.FindStringSubmatch(line); m != nil && strings.Contains(m[1], "/") {
			if s.calls++; s.at == "" {
				s.at = m[1]
			}
			return true
		}
	}
	if !ofPackages(line) || !frameFunction.MatchString(line) {
		return false
	}
	if s.first == "" {
		s.first = line
	}
	return true
}

// packages are those that restic is made of.
var packages = []string{"github.com/", "golang.org/", "main.", "runtime.", "net/", "io.", "os.", "sync.", "cloud.google.com/",
	"google.golang.org/"}

// end is one line for the stack that was taken, "" if there was none.
func (s *stack) end() string {
	was := *s
	*s = stack{}
	switch {
	case was.first == "" && was.calls == 0:
		return ""
	case was.first == "":
		was.first = was.at
	case was.at != "":
		was.first += " (" + was.at[strings.LastIndexByte(was.at, '/')+1:] + ")"
	}
	if was.calls > 1 {
		return fmt.Sprintf("in %s, and %s above it", was.first, several(was.calls-1, "call"))
	}
	return "in " + was.first
}

func ofPackages(line string) bool {
	line = strings.TrimPrefix(line, "created by ")
	return slices.ContainsFunc(packages, func(p string) bool { return strings.HasPrefix(line, p) })
}
