// Package manual makes a program's manual page from its command line, so that the page
// says of every command and flag what --help says.
package manual

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// A Page is what a manual page says beside commands and flags.
type Page struct {
	Exit  []string // what each exit status means, from 0 on
	Files [][2]string
	See   []string // other pages, such as restic(1)
}

// Write writes a page of section 1 in roff.
func (p Page) Write(w io.Writer, app *kong.Application) error {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	name := app.Name
	say(".TH %s 1 \"\" %s", strings.ToUpper(escape(name)), quoted(name))
	say(".SH NAME\n%s \\- %s", escape(name), escape(strings.TrimSuffix(lowerFirst(app.Help), ".")))
	say(".SH SYNOPSIS\n.B %s\n.I COMMAND\n.RI [ FLAGS ]", escape(name))
	say(".SH FLAGS OF EVERY COMMAND")
	flags(say, app.Flags)
	say(".SH COMMANDS")
	commands(say, app.Node, nil)
	if len(p.Exit) > 0 {
		say(".SH EXIT STATUS")
		for i, means := range p.Exit {
			say(".TP\n.B %d\n%s", i, escape(means))
		}
	}
	if len(p.Files) > 0 {
		say(".SH FILES")
		for _, f := range p.Files {
			say(".TP\n.I %s\n%s", escape(f[0]), escape(f[1]))
		}
	}
	if len(p.See) > 0 {
		say(".SH SEE ALSO\n%s", escape(strings.Join(p.See, ", ")))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func commands(say func(string, ...any), n *kong.Node, above []string) {
	for _, c := range n.Children {
		if c.Hidden {
			continue
		}
		path := append(above[:len(above):len(above)], c.Name)
		if c.Leaf() || len(c.Positional) > 0 || c.DefaultCmd != nil {
			line := strings.Join(path, " ")
			for _, a := range c.Positional {
				line += " " + a.Summary()
			}
			say(".SS %s\n%s", quoted(line), escape(c.Help))
			if c.Detail != "" {
				say(".PP\n%s", escape(c.Detail))
			}
			for _, a := range c.Positional {
				say(".TP\n.I %s\n%s", escape(a.Summary()), help(a))
			}
			flags(say, c.Flags)
		}
		commands(say, c, path)
	}
}

func flags(say func(string, ...any), list []*kong.Flag) {
	for _, f := range list {
		if f.Hidden {
			continue
		}
		text := `\-\-` + escape(f.Name)
		if f.Short != 0 {
			text = `\-` + string(f.Short) + ", " + text
		}
		if f.Tag.Negatable != "" {
			text = `\-\-[no\-]` + escape(f.Name)
		}
		if !f.IsBool() && !f.IsCounter() {
			text += "=" + escape(f.FormatPlaceHolder())
		}
		say(".TP\n.B %s\n%s", text, help(f.Value))
		if len(f.Envs) > 0 {
			say("(%s)", escape(strings.Join(f.Envs, ", ")))
		}
	}
}

var marks = regexp.MustCompile(`\$\{(default|env|enum)\}`)

func help(v *kong.Value) string {
	text := marks.ReplaceAllStringFunc(v.Help, func(m string) string {
		switch m {
		case "${default}":
			return v.Default
		case "${enum}":
			return v.Enum
		}
		return strings.Join(v.Tag.Envs, ", ")
	})
	return escape(text)
}

// escape writes text so that roff shows it as it is.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(text)
	text = strings.Map(func(r rune) rune { // roff takes ASCII alone
		if r > '~' {
			return -1
		}
		return r
	}, strings.NewReplacer("…", "...", "–", `\-`, "’", "'", "“", `"`, "”", `"`).Replace(text))
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

func quoted(text string) string { return `"` + strings.ReplaceAll(escape(text), `"`, `\(dq`) + `"` }

func lowerFirst(text string) string {
	if text == "" {
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}
