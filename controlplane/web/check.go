package web

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/location"
)

// Limits of what a person may save. A command carries a whole source group and
// a whole repository, and has to fit one message of 64 KiB.
const (
	maxPaths    = 1000
	maxPathsLen = 32 << 10 // of paths and patterns together, as JSON
	maxPassword = 1000
)

// checkName says what is wrong with a name, "" if nothing is.
func checkName(what, name string, _, most int) string { return field.NameUpTo(what, name, most) }

func checkPaths(paths []string) string {
	if len(paths) == 0 {
		return "Name at least one path to back up."
	}
	if len(paths) > maxPaths {
		return fmt.Sprintf("A source group has at most %d paths; these are %d. Name folders instead of files, or make a second group.", maxPaths, len(paths))
	}
	for _, p := range paths {
		switch {
		case strings.ContainsAny(p, "\x00\r\n") || !utf8.ValidString(p):
			return fmt.Sprintf("%.100q holds a line break, a NUL character or broken UTF-8. One path stands on one line.", p)
		case !location.Absolute(p):
			return fmt.Sprintf(`%.100q is not a full path. Begin with / or, on Windows, with a drive such as C:\.`, p)
		}
	}
	return ""
}

func checkExcludes(paths, excludes []string) string {
	if len(excludes) > maxPaths {
		return fmt.Sprintf("A source group has at most %d patterns; these are %d.", maxPaths, len(excludes))
	}
	for _, p := range excludes {
		if strings.ContainsAny(p, "\x00\r\n") || !utf8.ValidString(p) || p == "" {
			return fmt.Sprintf("%.100q is empty, or holds a line break, a NUL character or broken UTF-8. One pattern stands on one line.", p)
		}
	}
	b, err := json.Marshal([][]string{paths, excludes})
	if err != nil || len(b) > maxPathsLen {
		return fmt.Sprintf("Paths and patterns have %d bytes together, and at most %d fit into a command. Name folders instead of files, or make a second group.", len(b), maxPathsLen)
	}
	return ""
}

func checkPassword(p string) string {
	switch {
	case p == "":
		return "A repository has a password. Choose a new one for a new repository, or give the one it was made with."
	case len(p) > maxPassword:
		return fmt.Sprintf("A password has at most %d bytes.", maxPassword)
	case strings.ContainsAny(p, "\x00\r\n") || !utf8.ValidString(p):
		return "A password has no line break and no NUL character."
	}
	return ""
}
