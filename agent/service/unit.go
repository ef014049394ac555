package service

import (
	"fmt"
	"strings"
)

// written marks a unit that install wrote: only such a one is written over.
const written = "# Written by restic-manager-agent install; change it by systemctl edit restic-manager-agent."

// unitOf is the unit of a service: the packaged one, with another command line.
func unitOf(packaged string, s Service) (string, error) {
	var lines []string
	found := 0
	for line := range strings.Lines(packaged) {
		if strings.HasPrefix(line, "ExecStart=") {
			found++
			line = "ExecStart=" + unitArgument(s.Program)
			for _, arg := range s.Arguments() {
				line += " " + unitArgument(arg)
			}
			line += "\n"
		}
		lines = append(lines, line)
	}
	if found != 1 {
		return "", fmt.Errorf("the unit has %d lines that say what is run", found)
	}
	return written + "\n" + strings.Join(lines, ""), nil
}

// unitArgument is an argument in a unit's command line.
func unitArgument(arg string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+=:,@", r)
	}
	if arg != "" && !strings.ContainsFunc(arg, func(r rune) bool { return !plain(r) }) {
		return arg
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(arg) + `"`
}
