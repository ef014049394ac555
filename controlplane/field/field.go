// Package field checks what people type: the same rule for a form, the API and
// the command line.
//
// It knows no subject. A subject's package says which check a field of its Input
// needs and collects what is wrong in [Errors].
package field

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/words"
)

// Errors says what is wrong with an input: a whole sentence by the field's name,
// which is the one the API has for it. What concerns no single field is under "".
type Errors map[string]string

// Error implements error: "field: sentence", in the order of the fields' names.
func (e Errors) Error() string {
	said := make([]string, 0, len(e))
	for _, name := range slices.Sorted(maps.Keys(e)) {
		if name == "" {
			said = append(said, e[name])
			continue
		}
		said = append(said, name+": "+e[name])
	}
	return strings.Join(said, " ")
}

// Say notes what is wrong with a field. An empty text says nothing, so the answer
// of a check can be passed on as it is. The first text of a field stays.
func (e Errors) Say(name, text string) {
	if _, said := e[name]; text != "" && !said {
		e[name] = text
	}
}

// Err returns e as an error, nil if nothing is wrong.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Clean takes the spaces off both ends, which nobody types on purpose. Whoever
// takes a name from outside stores what Clean returns.
func Clean(text string) string { return strings.TrimSpace(text) }

// Visible reports whether all of a text can be seen as it is: no control
// characters, no line breaks, nothing that changes the direction of writing, no
// broken UTF-8.
func Visible(text string) bool { return words.Printable(text) }

// MaxName is how many characters the name of a thing may have.
const MaxName = 100

// Name says what is wrong with the name of something, "" if nothing is. A "what"
// is how the sentence calls it: "name", mostly. Characters are counted, not bytes.
func Name(what, name string) string { return NameUpTo(what, name, MaxName) }

// NameUpTo is Name with another limit.
func NameUpTo(what, name string, most int) string {
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		return "Give it a " + what + "."
	case n > most:
		return fmt.Sprintf("A %s has 1 to %d characters; this one has %d.", what, most, n)
	case !Visible(name):
		return "A " + what + " has only characters that can be seen, and plain spaces."
	case Clean(name) != name:
		return "A " + what + " neither begins nor ends with a space."
	case name == "." || name == "..":
		return "A " + what + " cannot be a dot or two: it is part of an address."
	}
	return ""
}

// Secret says what is wrong with a password or a key that is handed on as a line
// of text, "" if nothing is. The limit is in bytes, since it has to fit a message.
func Secret(text string, most int) string {
	switch {
	case len(text) > most:
		return fmt.Sprintf("A password has at most %d bytes.", most)
	case strings.ContainsAny(text, "\x00\r\n") || !utf8.ValidString(text):
		return "A password has no line break and no NUL character."
	}
	return ""
}

// OneOf says that a value is none of those there are, "" if it is one.
func OneOf[T ~string](what string, v T, known ...T) string {
	if slices.Contains(known, v) {
		return ""
	}
	text := "A " + what + " is "
	for i, k := range known {
		switch {
		case i > 0 && i == len(known)-1:
			text += " or "
		case i > 0:
			text += ", "
		}
		text += string(k)
	}
	return text + "."
}
