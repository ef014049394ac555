// Package patterns says which paths restic's exclude patterns leave out, as restic
// has done since 0.14. On Windows capitals are the same as small letters, since they are
// in the names of its files.
package patterns

import (
	"path"
	"slices"
	"strings"
)

// A List holds patterns in the order in which restic reads them: of those that fit a
// path the last one counts, and one that begins with ! takes the path in again. Its
// zero value leaves nothing out.
type List struct {
	all     []pattern
	windows bool
}

type pattern struct {
	text    string
	parts   []string
	takesIn bool
}

// Parse reads a list of excludes. windows says of which system the paths are.
func Parse(texts []string, windows bool) List {
	l := List{windows: windows}
	for _, text := range texts {
		glob, takesIn := strings.CutPrefix(text, "!")
		if glob != "" {
			l.all = append(l.all, pattern{text: text, parts: l.fold(l.split(glob)), takesIn: takesIn})
		}
	}
	return l
}

// Excludes returns the pattern that leaves out a path, whether it fits the path itself
// or something above it; "" if none does. The path is absolute.
func (l List) Excludes(name string) string {
	parts, by := l.fold(l.split(name)), ""
	for _, p := range l.all {
		if fits(p.parts, parts) {
			if by = p.text; p.takesIn {
				by = ""
			}
		}
	}
	return by
}

// All returns a pattern that leaves out everything of a path, as far as that can be
// said without looking: the path itself, or whatever is in it; "" if there is none.
func (l List) All(name string) (by string) {
	if by = l.Excludes(name); by != "" {
		return by
	}
	if slices.ContainsFunc(l.all, func(p pattern) bool { return p.takesIn }) {
		return "" // it may take in something
	}
	for _, child := range []string{"x", ".y.z", "Something longer, 42"} { // names that have nothing in common
		if by = l.Excludes(name + "/" + child); by == "" {
			return ""
		}
	}
	return by
}

// A Lead is a source that is read at another path than its own.
type Lead struct{ From, To string }

// Led returns a list of excludes for sources that are read elsewhere, since restic
// compares with the path it reads: after each pattern that fits below a source's own
// path follow those that fit as much below the other. One that fits anywhere needs no
// other.
func Led(texts []string, windows bool, leads []Lead) (all []string) {
	for _, text := range texts {
		all = append(all, text)
		l := Parse([]string{text}, windows)
		for _, lead := range leads {
			to := strings.TrimRight(l.escape(lead.To), "/")
			for _, p := range l.all {
				if p.takesIn {
					to = "!" + to
				}
				for _, rest := range below(p.parts, l.fold(l.split(lead.From))) {
					if one := strings.Join(append([]string{to}, rest...), "/"); !slices.Contains(all, one) {
						all = append(all, one)
					}
				}
			}
		}
	}
	return all
}

// below returns what is left of a pattern below a path, once for each way in which its
// beginning fits the path.
func below(glob, from []string) (rests [][]string) {
	if !rooted(glob) {
		return nil
	}
	n := min(len(glob), len(from))
	at := slices.Index(glob[:n], "**")
	switch {
	case at < 0 && fits(glob[:n], from):
		return [][]string{glob[n:]}
	case at < 0 || !fits(glob[:at], from):
		return nil
	}
	for i := range len(from) - at { // it stands for i parts of the path, or for the rest of it and more
		rests = append(rests, below(slices.Concat(glob[:at], slices.Repeat([]string{"*"}, i), glob[at+1:]), from)...)
	}
	return append(rests, glob[at:])
}

// Literal returns the pattern that fits one path and what is below it.
func Literal(name string, windows bool) string { return List{windows: windows}.escape(name) }

// escape makes a pattern that fits one path alone. On Windows no character escapes another:
// a bracket is written as a class of its own, and the others are no part of a name.
func (l List) escape(name string) string {
	if l.windows {
		return strings.NewReplacer(`\`, "/", "[", "[[]").Replace(name)
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

// fold makes small letters of capitals where they are the same.
func (l List) fold(parts []string) []string {
	if l.windows {
		for i, p := range parts {
			parts[i] = strings.ToLower(p)
		}
	}
	return parts
}

func (l List) split(name string) []string {
	if l.windows {
		name = strings.ReplaceAll(name, `\`, "/")
	}
	if name = path.Clean(name); name == "/" {
		return []string{"/"}
	}
	parts := strings.Split(name, "/")
	if parts[0] == "" {
		parts[0] = "/"
	}
	return parts
}

// rooted reports whether a pattern fits from the beginning of a path only.
func rooted(parts []string) bool {
	return len(parts) > 0 && (parts[0] == "/" || strings.HasSuffix(parts[0], ":"))
}

// fits reports whether a pattern fits a path or something above it.
func fits(glob, name []string) bool {
	if at := slices.Index(glob, "**"); at >= 0 {
		for i := range len(name) - len(glob) + 2 { // it stands for i parts
			if fits(slices.Concat(glob[:at], slices.Repeat([]string{"*"}, i), glob[at+1:]), name) {
				return true
			}
		}
		return false
	}
	first, last := 0, len(name)-len(glob)
	switch {
	case len(glob) == 0:
		return len(name) == 0
	case rooted(glob):
		last = min(last, 0)
	case name[0] == "/":
		first = 1
	}
	for offset := first; offset <= last; offset++ {
		if slices.EqualFunc(glob, name[offset:offset+len(glob)], func(g, n string) bool {
			ok, err := path.Match(g, n)
			return ok && err == nil
		}) {
			return true
		}
	}
	return false
}
