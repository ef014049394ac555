package words

import "strings"

// Beside is what a text says that a title does not say already: without its first sentence
// if the title ends with that one. A text of one sentence stays, so that something is said.
func Beside(title, text string) string {
	first, rest, more := strings.Cut(text, ". ")
	if rest = strings.TrimSpace(rest); !more || first == "" || rest == "" {
		return text
	}
	before, ends := strings.CutSuffix(strings.ToLower(strings.TrimRight(title, ".")), strings.ToLower(first))
	if ends && (before == "" || strings.HasSuffix(before, ": ")) {
		return rest
	}
	return text
}
