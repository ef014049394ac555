// Package plain writes down how somebody brings files back with restic alone, on any
// machine, past the control plane: commands that are ready to copy, for a POSIX shell and
// for PowerShell.
package plain

import (
	"path"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/kit"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/patterns"
	"github.com/restic-manager/restic-manager/topics"
)

// Into is the folder, below where the commands are run, into which they restore.
const Into = "restored"

// A Repository is where the commands find the files.
type Repository struct {
	Address string   // without user and password, {host} replaced by the name it stands for
	Flags   []string // see Flags
}

// Flags returns what each command says of a repository beside its address: variables that
// hosts get and restic takes as options only, which name files of the host; files that are
// pasted, by the names under which the emergency kit writes them; and restic's extended
// options, nil for none.
func Flags(env, files map[string]topics.Secret, options *map[string]string) (flags []string) {
	for name := range files {
		if v, _ := location.Find(name); v.Flag != "" {
			flags = append(flags, v.Flag+"="+kit.FileOf(name))
		}
	}
	if options != nil {
		for name, value := range *options {
			flags = append(flags, "--option="+name+"="+value)
		}
	}
	for name, value := range env {
		if v, _ := location.Find(name); v.Flag != "" {
			flags = append(flags, v.Flag+"="+value.Reveal())
		}
	}
	slices.Sort(flags)
	return flags
}

// A Command brings files back, or shows them. None holds a secret: those are in the
// environment, which the emergency kit sets.
type Command struct {
	Title      string // "Restore it into a folder"
	Text       string // what it does, in a sentence or two
	Sh         string // "" if there is none for a POSIX shell
	PowerShell string // "" if there is none for PowerShell
}

// Setup returns what comes first in each shell: where the repository is, and how restic gets
// to know the password without it being part of a command, which others on that machine
// could see.
func (r Repository) Setup() Command {
	return Command{
		Title: "Say which repository",
		Text: "Instead of this line, take all lines of the emergency kit if the repository needs a login or other variables. restic asks for " +
			"the password unless RESTIC_PASSWORD is set, as the kit does. Never write it into a command: others on that machine could read it.",
		Sh:         "export RESTIC_REPOSITORY=" + Sh(r.Address),
		PowerShell: "$env:RESTIC_REPOSITORY = " + kit.QuotePowerShell(r.Address),
	}
}

// Mount returns what shows all snapshots as folders.
func (r Repository) Mount() Command {
	return Command{
		Title: "Look around",
		Text:  "Linux and macOS with FUSE only: the snapshots appear as folders below look, until Ctrl-C. Copy from there in another terminal.",
		Sh:    "mkdir -p look && " + sh(slices.Concat([]string{"restic"}, r.Flags, []string{"mount", "look"})...),
	}
}

// Commands returns what brings items back. file says that it is one regular file, which can
// be written to a place of its own, too.
func (r Repository) Commands(items []topics.Item, file bool) (all []Command) {
	restic := append([]string{"restic"}, r.Flags...)
	if file && len(items) == 1 && len(items[0].Paths) == 1 {
		id, name := items[0].Snapshot, items[0].Paths[0]
		to := path.Base(name)
		all = append(all, Command{
			Title: "Write this file alone",
			Text: "To a file of the same name in the current directory, replacing one that is there. Only the content comes: no owner, mode or " +
				"time. PowerShell changes what it redirects, so there restic writes it itself, which takes restic 0.17 or newer.",
			Sh:         sh(slices.Concat(restic, []string{"dump", id, name})...) + " > " + Sh("./"+to),
			PowerShell: powerShell(slices.Concat(restic, []string{"dump", "--target=" + windowsName(to), id, name})...),
		})
	}
	restore := Command{
		Title: "Restore it into a new folder",
		Text: "Below " + Into + " in the current directory, with the folders above it, modes and times, and as root with owners. Nothing " +
			"outside that folder is written to.",
	}
	var unix, windows []string // no argument looks like an option: an ID is hexadecimal, a path begins with a slash
	for _, item := range items {
		args := slices.Concat(restic, []string{"restore", "--target=" + Into})
		w := slices.Clone(args)
		for _, p := range item.Paths {
			args = append(args, "--include="+patterns.Literal(p, false))
			w = append(w, "--include="+windowsPattern(p))
		}
		unix = append(unix, sh(append(args, item.Snapshot)...))
		windows = append(windows, powerShell(append(w, item.Snapshot)...))
	}
	restore.Sh, restore.PowerShell = strings.Join(unix, "\n"), strings.Join(windows, "\n")
	if len(items) > 1 {
		restore.Text += " One command for each snapshot."
	}
	all = append(all, restore)
	look := r.Mount()
	look.Title = "Or look around first"
	for _, item := range items {
		short := item.Snapshot[:min(len(item.Snapshot), 8)]
		look.Text += " Snapshot " + short + " is in look/ids/" + short + "."
	}
	return append(all, look)
}

func sh(words ...string) string {
	for i, w := range words {
		words[i] = Sh(w)
	}
	return strings.Join(words, " ")
}

func powerShell(words ...string) string {
	for i, w := range words {
		words[i] = PowerShell(w)
	}
	return strings.Join(words, " ")
}

// Sh is a text as one word of a POSIX shell, in quotes if it has to be. What cannot be seen
// or typed is written as escapes, and stays exactly what it is.
func Sh(word string) string {
	if bare(word) {
		return word
	}
	name := strings.TrimRight(word, "\n") // a shell drops those of what a command prints
	quoted := kit.Quote(name)
	if len(name) < len(word) {
		quoted += "'" + word[len(name):] + "'"
	}
	return quoted
}

// PowerShell is a text as one argument of a program in PowerShell, in quotes if it has to
// be. Versions before 7.3 hand a double quote on to programs only behind a backslash; the
// commands here avoid it where they can.
func PowerShell(word string) string {
	if bare(word) && !strings.ContainsAny(word, "@%") {
		return word
	}
	return kit.QuotePowerShell(word)
}

// bare reports whether every shell takes a word as it is.
func bare(word string) bool {
	return word != "" && strings.TrimFunc(word, func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-=:+", r)
	}) == ""
}

// windowsPattern is the pattern that fits one path for restic on Windows, where nothing
// escapes. What no name there may hold, and a double quote, which PowerShell may lose,
// stands for any one character.
func windowsPattern(p string) string {
	return strings.NewReplacer("[", "[[]", "*", "?", `\`, "?", `"`, "?").Replace(p)
}

// windowsName is a name that a file on Windows may have.
func windowsName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < 0x20 || strings.ContainsRune(`<>:"/\|?*`, r) {
			return '_'
		}
		return r
	}, name)
	if name = strings.TrimRight(name, ". "); name == "" {
		return "restored-file"
	}
	return name
}
