package hosts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of a host's tags.
const (
	MaxTags = 32 // of one host
	MaxTag  = 64 // bytes of one
)

// TagsOf splits what somebody typed into tags: at spaces, line breaks and commas.
func TagsOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

// cleanTags returns tags as they are stored, in lower case, each once, in order, or what
// is wrong with them. Capitals are not refused, because a tag that differs from another in
// them alone is nobody's intention.
func cleanTags(in []string) (out []string, wrong string) {
	for _, t := range in {
		t = strings.ToLower(strings.TrimSpace(t))
		if wrong := wrongTag(t); wrong != "" {
			return nil, wrong
		}
		out = append(out, t)
	}
	slices.Sort(out)
	if out = slices.Compact(out); len(out) > MaxTags {
		return nil, fmt.Sprintf("A host has at most %d tags; these are %d.", MaxTags, len(out))
	}
	return out, ""
}

// Tags returns tags as hosts have them, in order, or what is wrong with them.
func Tags(list []string) (tags []string, wrong string) { return cleanTags(list) }

// wrongTag says what is wrong with one tag, "" if nothing is.
func wrongTag(t string) string {
	letter := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	key, _, pair := strings.Cut(t, "=")
	switch {
	case t == "":
		return "A tag is a word, such as web, or a key and its value, such as site=berlin."
	case len(t) > MaxTag:
		return fmt.Sprintf("A tag has at most %d bytes.", MaxTag)
	case !utf8.ValidString(t) || strings.ContainsFunc(t, func(r rune) bool { return !letter(r) && !strings.ContainsRune("._-/=", r) }):
		return "A tag has letters, digits and . _ - / in it, and one = between a key and its value."
	case strings.Count(t, "=") > 1 || pair && (key == "" || strings.HasSuffix(t, "=")):
		return "A tag has at most one =, with a key before it and a value behind it."
	case strings.HasPrefix(t, "-"):
		return "A tag does not begin with -, which takes one away on the command line."
	}
	return ""
}

// Tag returns a tag as hosts have it, and what is wrong with it, "" if nothing is.
func Tag(text string) (tag, wrong string) {
	tags, wrong := cleanTags([]string{text})
	if wrong != "" || len(tags) != 1 {
		return text, cmp.Or(wrong, "Name a tag.")
	}
	return tags[0], ""
}
