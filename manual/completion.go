package manual

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Shells are those whose completions can be made.
var Shells = []string{"bash", "zsh", "fish"}

// Completion writes what has a shell complete a program's commands and flags. It is made from
// the command line, as the manual page is, and asks the program nothing while somebody types.
func Completion(w io.Writer, app *kong.Application, shell string) error {
	c := completion{name: app.Name, word: strings.ReplaceAll(app.Name, "-", "_")}
	c.collect(app.Node, "", nil)
	var text string
	switch shell {
	case "bash":
		text = c.bash()
	case "zsh":
		text = c.zsh()
	case "fish":
		text = c.fish()
	default:
		return fmt.Errorf("%s is not one of %s", shell, strings.Join(Shells, ", "))
	}
	_, err := io.WriteString(w, text)
	return err
}

// A completion is a command line as completions see it.
type completion struct {
	name, word string
	nodes      []completed
}

// A completed is what can follow a command.
type completed struct {
	path     string // "/host/list", "" of the program itself
	commands []described
	flags    []flagged
	files    bool // it takes files as arguments
}

type described struct{ word, help string }

// A flagged is a flag. takes is what follows it: "" nothing, "file", "dir", "any", or words
// with blanks between them.
type flagged struct {
	described
	takes string
}

func (c *completion) collect(n *kong.Node, at string, above []flagged) {
	own := slices.Clone(above)
	for _, f := range n.Flags {
		if !f.Hidden {
			own = append(own, flagged{described{"--" + f.Name, plain(f.Help)}, takes(f)})
			if f.Tag != nil && f.Tag.Negatable != "" {
				own = append(own, flagged{described{"--no-" + f.Name, plain(f.Help)}, ""})
			}
		}
	}
	here := completed{path: at, flags: own}
	for _, a := range n.Positional {
		here.files = here.files || files(a.Name) || files(a.Help)
	}
	for _, sub := range n.Children {
		if !sub.Hidden {
			here.commands = append(here.commands, described{sub.Name, plain(sub.Help)})
		}
	}
	c.nodes = append(c.nodes, here)
	for _, sub := range n.Children {
		if !sub.Hidden {
			c.collect(sub, path.Join("/", at, sub.Name), own)
		}
	}
}

func files(text string) bool {
	return strings.EqualFold(text, "file") || strings.EqualFold(text, "copy") || strings.HasPrefix(text, "A new file")
}

func takes(f *kong.Flag) string {
	switch {
	case f.IsBool() || f.IsCounter():
		return ""
	case f.Enum != "":
		return strings.Join(strings.FieldsFunc(f.Enum, func(r rune) bool { return r == ',' || r == ' ' }), " ")
	case strings.Contains(f.PlaceHolder, "DIR"):
		return "dir"
	case strings.Contains(f.PlaceHolder, "FILE"):
		return "file"
	}
	return "any"
}

// plain is a help as completions show it: without what shells give a meaning to.
func plain(help string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("'\"\\$`[]:\n\t", r) {
			return -1
		}
		return r
	}, strings.TrimSuffix(help, "."))
}

// walk is a case for each command that a word leads to.
func (c completion) walk() string {
	var b strings.Builder
	for _, n := range c.nodes {
		for _, sub := range n.commands {
			fmt.Fprintf(&b, "      '%s %s') at='%s' ;;\n", n.path, sub.word, path.Join("/", n.path, sub.word))
		}
	}
	return b.String()
}

// valued lists the flags that take something, each once, as a pattern.
func (c completion) valued() string {
	var all []string
	for _, n := range c.nodes {
		for _, f := range n.flags {
			if f.takes != "" {
				all = append(all, f.word)
			}
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), "|")
}

func (c completion) bash() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Completions of %[1]s for bash: source them, or lay them into\n"+
		"# /usr/share/bash-completion/completions/%[1]s. Made by: %[1]s completion bash\n_%[2]s() {\n", c.name, c.word)
	b.WriteString("  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at='' skip='' i words='' takes=''\n  COMPREPLY=()\n")
	b.WriteString("  [ \"$cur\" != = ] || cur=''\n  [ \"$prev\" != = ] || prev=${COMP_WORDS[COMP_CWORD-2]}\n")
	b.WriteString("  for ((i = 1; i < COMP_CWORD; i++)); do\n    if [ -n \"$skip\" ]; then skip=''; continue; fi\n")
	fmt.Fprintf(&b, "    case \"${COMP_WORDS[i]}\" in\n      %s) [ \"${COMP_WORDS[i+1]}\" = = ] || skip=yes; continue ;;\n    esac\n",
		c.valued())
	fmt.Fprintf(&b, "    case \"$at ${COMP_WORDS[i]}\" in\n%s    esac\n  done\n", c.walk())
	b.WriteString("  case \"$at\" in\n")
	for _, n := range c.nodes {
		fmt.Fprintf(&b, "    '%s')\n      case \"$prev\" in\n", n.path)
		for _, f := range n.flags {
			if f.takes != "" {
				fmt.Fprintf(&b, "        %s) takes='%s' ;;\n", f.word, f.takes)
			}
		}
		b.WriteString("      esac\n")
		var words []string
		for _, s := range n.commands {
			words = append(words, s.word)
		}
		flags := []string{}
		for _, f := range n.flags {
			flags = append(flags, f.word)
		}
		fmt.Fprintf(&b, "      words='%s'\n      case \"$cur\" in -*) words='%s' ;; esac\n", strings.Join(words, " "), strings.Join(flags, " "))
		if n.files {
			b.WriteString("      case \"$cur\" in -*) ;; *) [ -n \"$takes\" ] || takes=file ;; esac\n")
		}
		b.WriteString("      ;;\n")
	}
	b.WriteString("  esac\n  case \"$takes\" in\n    '') ;;\n    dir) compopt -o filenames 2>/dev/null; " +
		"mapfile -t COMPREPLY < <(compgen -d -- \"$cur\"); return ;;\n" +
		"    file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n" +
		"    any) return ;;\n    *) words=$takes ;;\n  esac\n" +
		"  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n")
	fmt.Fprintf(&b, "complete -F _%s %s\n", c.word, c.name)
	return b.String()
}

func (c completion) zsh() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %[1]s\n"+
		"# Completions of %[1]s for zsh, as _%[1]s in a directory of $fpath. Made by: %[1]s completion zsh\n_%[2]s() {\n",
		c.name, c.word)
	b.WriteString("  local at='' skip='' takes='' prev=${words[CURRENT-1]} i\n  local -a list flags\n" +
		"  for ((i = 2; i < CURRENT; i++)); do\n    if [[ -n $skip ]]; then skip=''; continue; fi\n")
	fmt.Fprintf(&b, "    case ${words[i]} in\n      %s) skip=yes; continue ;;\n    esac\n", c.valued())
	fmt.Fprintf(&b, "    case \"$at ${words[i]}\" in\n%s    esac\n  done\n  case $at in\n", c.walk())
	for _, n := range c.nodes {
		fmt.Fprintf(&b, "    '%s')\n      list=(", n.path)
		for _, s := range n.commands {
			fmt.Fprintf(&b, "\n        '%s:%s'", s.word, s.help)
		}
		b.WriteString(")\n      flags=(")
		for _, f := range n.flags {
			fmt.Fprintf(&b, "\n        '%s:%s'", f.word, f.help)
		}
		b.WriteString(")\n      case $prev in\n")
		for _, f := range n.flags {
			if f.takes != "" {
				fmt.Fprintf(&b, "        %s) takes='%s' ;;\n", f.word, f.takes)
			}
		}
		b.WriteString("      esac\n")
		if n.files {
			b.WriteString("      [[ -n $takes || $PREFIX == -* ]] || takes=file\n")
		}
		b.WriteString("      ;;\n")
	}
	b.WriteString("  esac\n  case $takes in\n    '') ;;\n    dir) _files -/; return ;;\n    file) _files; return ;;\n    any) return ;;\n" +
		"    *) compadd -- ${=takes}; return ;;\n  esac\n" +
		"  if [[ $PREFIX == -* ]]; then _describe flag flags; else _describe command list; fi\n}\n")
	fmt.Fprintf(&b, "if [ \"$funcstack[1]\" = \"_%s\" ]; then _%s \"$@\"; else compdef _%s %s; fi\n", c.name, c.word, c.word, c.name)
	return b.String()
}

func (c completion) fish() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Completions of %[1]s for fish, as %[1]s.fish in a directory of $fish_complete_path. Made by: %[1]s completion fish\n"+
		"function __%[2]s_at\n  set -l at ''\n  set -l skip ''\n  for word in (commandline -opc)[2..-1]\n"+
		"    if test -n \"$skip\"\n      set skip ''\n      continue\n    end\n    switch $word\n      case '%[3]s'\n        set skip yes\n"+
		"        continue\n    end\n    switch \"$at $word\"\n", c.name, c.word, strings.ReplaceAll(c.valued(), "|", "' '"))
	for _, n := range c.nodes {
		for _, sub := range n.commands {
			fmt.Fprintf(&b, "      case '%s %s'\n        set at '%s'\n", n.path, sub.word, path.Join("/", n.path, sub.word))
		}
	}
	fmt.Fprintf(&b, "    end\n  end\n  test \"$at\" = \"$argv[1]\"\nend\ncomplete -c %s -f\n", c.name)
	for _, n := range c.nodes {
		when := fmt.Sprintf("complete -c %s -n '__%s_at \"%s\"'", c.name, c.word, n.path)
		for _, s := range n.commands {
			fmt.Fprintf(&b, "%s -a '%s' -d '%s'\n", when, s.word, s.help)
		}
		for _, f := range n.flags {
			how := map[string]string{"": "", "file": " -r -F", "dir": " -x -a '(__fish_complete_directories)'", "any": " -x"}
			follows, known := how[f.takes]
			if !known {
				follows = " -x -a '" + f.takes + "'"
			}
			fmt.Fprintf(&b, "%s -l '%s' -d '%s'%s\n", when, strings.TrimPrefix(f.word, "--"), f.help, follows)
		}
		if n.files {
			fmt.Fprintf(&b, "%s -F\n", when)
		}
	}
	return b.String()
}
