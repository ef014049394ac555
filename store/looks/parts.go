package looks

import (
	"slices"
	"strings"
)

// Parts are what a repository is opened with, each sealed by itself, as columns and in
// words.
var Parts = []struct{ Column, Words string }{
	{"url", "address"}, {"password", "password"}, {"env", "everyday credential"}, {"maintenance", "maintenance credential"},
	{"files", "certificates and keys"},
}

// PartWords names some of them to people.
func PartWords(columns []string) string {
	var said []string
	for _, p := range Parts {
		if slices.Contains(columns, p.Column) {
			said = append(said, p.Words)
		}
	}
	if n := len(said) - 1; n > 0 {
		return strings.Join(said[:n], ", ") + " and " + said[n]
	}
	return strings.Join(said, "")
}
