package patterns

import (
	"path"
	"strings"
	"unicode/utf8"
)

// Check says in a sentence what is wrong with an exclude pattern, "" if restic takes it
// as it is meant. restic refuses a whole backup for one pattern that it cannot read.
// windows says of which system the paths are.
func Check(text string, windows bool) string {
	glob, takesIn := strings.CutPrefix(text, "!")
	switch {
	case !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\r\n"):
		return "it holds a line break, a NUL character or broken UTF-8. One pattern stands on one line."
	case strings.HasPrefix(text, "\ufeff"):
		return "it begins with a byte order mark, which is no part of a name. Delete that invisible character; it comes from a text file."
	case strings.TrimSpace(text) == "":
		return "it is blank. Leave out the line."
	case takesIn && strings.TrimSpace(glob) == "":
		return "after ! stands what is to be saved in spite of an earlier pattern, and nothing does. Write such as !*.keep, " +
			"or leave out the line."
	}
	for _, part := range (List{windows: windows}).split(glob) {
		if _, err := path.Match(part, part); err == nil {
			continue
		}
		if open(part) {
			if windows {
				return "[ begins a set of characters such as [a-z] that does not end as one. Write [[] for a bracket in a name."
			}
			return `[ begins a set of characters such as [a-z] that does not end as one. Write \[ for a bracket in a name.`
		}
		return `a \ takes the meaning of the character after it, and nothing comes after this one. ` +
			`Write \\ for a backslash in a name, and leave it out after a folder's name.`
	}
	return ""
}

// open reports whether a part of a pattern that is malformed has a bracket that counts.
func open(part string) bool {
	for i := 0; i < len(part); i++ {
		switch part[i] {
		case '\\':
			i++
		case '[':
			return true
		}
	}
	return false
}
