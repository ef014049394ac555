package process

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// An Invocation is how a file is run: what goes into a [Spec].
type Invocation struct {
	Path        string
	Args        []string
	CommandLine string // on Windows, in place of Args
	Files       []*os.File
}

// onWindows is how Windows runs a file, by how its name ends. system is the directory of
// the system's own programs, so that no other of their names is run.
func onWindows(path, system string) (Invocation, error) {
	ends := func(with string) bool { return strings.HasSuffix(strings.ToLower(path), with) }
	switch {
	case ends(".exe"), ends(".com"):
		return Invocation{Path: path}, nil
	case ends(".cmd"), ends(".bat"):
		if strings.ContainsAny(path, `%"`) {
			return Invocation{}, errors.New("its path holds % or a quote, which the command interpreter takes for something else: rename it")
		}
		// Without commands of the registry, and with no variables in exclamation marks.
		// The quotes around all of it are the interpreter's to take away.
		shell := system + `\cmd.exe`
		return Invocation{Path: shell, CommandLine: `"` + shell + `" /d /v:off /s /c ""` + path + `""`}, nil
	case ends(".ps1"):
		return Invocation{Path: system + `\WindowsPowerShell\v1.0\powershell.exe`,
			Args: []string{"-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File", path}}, nil
	}
	return Invocation{}, fmt.Errorf("%.200q is nothing that Windows runs by itself: name a program (.exe), a batch file (.cmd, .bat) "+
		"or a script of PowerShell (.ps1), which may call it", path)
}

// plain are the bytes that no shell, and no program a script may hand a value to, takes
// for more than themselves.
func plain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(" ._-", r)
}

// Harmless is a value that a script may put anywhere, also where a shell reads it again,
// as cmd.exe does with each variable: letters of English, digits, blanks, full stops,
// underscores and hyphens. Anything else is an underscore.
func Harmless(value string) string {
	return strings.Map(func(r rune) rune {
		if plain(r) {
			return r
		}
		return '_'
	}, value)
}
