// Package kit makes an emergency kit: what somebody needs to restore a repository's
// data with restic alone, on any machine, without the control plane.
package kit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// A Kit is the kit of one repository. It holds the secrets in plain text.
type Kit struct {
	Name      string
	Location  string // the URL without user and password
	Variables []Variable
	Files     []Variable // variables that name a file on a host; the file belongs in the kit, too
	Pasted    []Variable // contents of files that variables name, which the commands write beside them
	Hosts     []string   // those that back up into it, in words
	Local     bool       // a directory on a host, to be restored there
	flags     string     // for every command
	latest    string     // the hostname whose newest snapshot is meant; "" if there is one host only
	parts     []part     // the source groups, if there are several: each has snapshots of its own
}

// A part is what one source group saves; restic alone finds its snapshots by their tag.
type part struct {
	words string // the group and its host
	tag   string
}

// mostParts is for how many source groups a kit has a command each; beyond, it says how.
const mostParts = 40

// A Host is one that backs up into a repository.
type Host struct {
	Hostname string // as restic knows it
	Name     string // as people call it
}

// A Variable is an environment variable of restic.
type Variable struct {
	Name  string
	Value topics.Secret
}

// New makes a kit. of is the hostname of the host it is for, "" for all of them.
func New(r store.Repository, a store.RepositoryAccess, hosts []Host, of string) Kit {
	k := Kit{Name: r.Name, Location: r.Location}
	hosts = slices.Compact(slices.SortedFunc(slices.Values(hosts), func(a, b Host) int {
		return cmp.Or(order(b.Hostname == of, a.Hostname == of), strings.Compare(a.Hostname, b.Hostname), strings.Compare(a.Name, b.Name))
	}))
	for _, h := range hosts {
		name := h.Hostname
		if h.Name != name {
			name += " (the host " + h.Name + ")"
		}
		k.Hosts = append(k.Hosts, name)
	}
	if k.latest = of; of == "" && len(hosts) > 1 {
		k.latest = hosts[0].Hostname
	}
	k.Local = location.Scheme(a.URL.Reveal()) == location.Local
	at, inURL := location.JoinLogin(a.URL, a.Env) // up to 0.16.0 restic reads the login only from the URL
	k.Variables = []Variable{{"RESTIC_REPOSITORY", at}, {"RESTIC_PASSWORD", a.Password}}
	names := make([]string, 0, len(a.Env))
	for name := range a.Env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		variable, _ := location.Find(name)
		switch {
		case inURL && (name == location.RESTUser || name == location.RESTPassword):
			continue
		case variable.File:
			k.Files = append(k.Files, Variable{name, a.Env[name]})
		}
		if variable.Flag != "" {
			k.flags += " " + variable.Flag + " " + Quote(a.Env[name].Reveal())
		} else {
			k.Variables = append(k.Variables, Variable{name, a.Env[name]})
		}
	}
	for _, p := range location.Pastes {
		if text := a.Files[p.Name]; text != "" {
			k.Pasted = append(k.Pasted, Variable{p.Name, text})
			if v, _ := location.Find(p.Name); v.Flag != "" {
				k.flags += " " + v.Flag + " " + FileOf(p.Name)
			}
		}
	}
	if o := r.Options.V; o != nil {
		for _, name := range slices.Sorted(maps.Keys(*o)) {
			k.flags += " -o " + Quote(name+"="+(*o)[name])
		}
	}
	return k
}

// FileOf is what the file is called that a kit's commands write for a variable.
func FileOf(variable string) string { return strings.ToLower(variable) + ".txt" }

// order sorts what holds before what does not.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// A Step is one instruction.
type Step struct{ Title, Text, Command string }

// Exports returns commands that set the environment in a POSIX shell.
func (k Kit) Exports() []string {
	lines := make([]string, len(k.Variables))
	for i, v := range k.Variables {
		lines[i] = "export " + v.Name + "=" + Quote(v.Value.Reveal())
	}
	for _, v := range k.Pasted {
		lines = append(lines, "(umask 077; printf '%s\\n' "+strings.Join(quoteLines(v.Value.Reveal(), Quote), " ")+" > "+FileOf(v.Name)+")")
		if flagged, _ := location.Find(v.Name); flagged.Flag == "" {
			lines = append(lines, "export "+v.Name+"=\"$PWD/"+FileOf(v.Name)+"\"")
		}
	}
	return lines
}

// PowerShell returns commands that set the environment in PowerShell.
func (k Kit) PowerShell() []string {
	lines := make([]string, len(k.Variables))
	for i, v := range k.Variables {
		lines[i] = "$env:" + v.Name + " = " + QuotePowerShell(v.Value.Reveal())
	}
	for _, v := range k.Pasted {
		lines = append(lines, "Set-Content -Encoding ascii "+FileOf(v.Name)+" -Value "+
			strings.Join(quoteLines(v.Value.Reveal(), QuotePowerShell), ", "))
		if flagged, _ := location.Find(v.Name); flagged.Flag == "" {
			lines = append(lines, "$env:"+v.Name+" = \"$PWD\\"+FileOf(v.Name)+"\"")
		}
	}
	return lines
}

// quoteLines are the lines of a text as words of a shell.
func quoteLines(text string, quote func(string) string) (all []string) {
	for line := range strings.Lines(text) {
		all = append(all, quote(strings.TrimRight(line, "\r\n")))
	}
	return all
}

// Steps returns the instructions that follow. Every restic since 0.14 understands
// them.
func (k Kit) Steps() []Step {
	latest := "latest"
	among := ""
	if k.latest != "" {
		latest += " --host " + Quote(k.latest)
	}
	if len(k.parts) > 1 {
		latest = "latest --tag " + Quote(k.parts[0].tag)
		among = " Each source group has snapshots of its own, and latest is one of them: --tag chooses whose. This is " + k.parts[0].words + "."
	} else if len(k.Hosts) > 1 {
		among = " Several hosts back up into this repository; --host chooses one: " + strings.Join(k.Hosts, ", ") + "."
	}
	all := []Step{{"Restore everything", "Into the new folder restored. Nothing that exists is overwritten there." + among,
		"restic" + k.flags + " restore " + latest + " --target restored"}}
	if len(k.parts) > 1 {
		all[0].Title = "Restore everything of each source group"
		if len(k.parts) > mostParts {
			all[0].Text += " There are " + words.Number(uint64(len(k.parts))) +
				": do the same with the tag of each, as the list of snapshots has it."
		}
		for i, p := range k.parts[1:min(len(k.parts), mostParts)] {
			all = append(all, Step{"And of " + p.words, "Into a folder of its own.",
				fmt.Sprintf("restic%s restore latest --tag %s --target restored-%d", k.flags, Quote(p.tag), i+2)})
		}
	}
	return slices.Concat([]Step{
		{"See what there is", "The first column is the snapshot's ID, which can stand wherever a command below says latest.",
			"restic" + k.flags + " snapshots"},
		{"List the files of the newest snapshot", "Nothing is written." + among, "restic" + k.flags + " ls " + latest},
	}, all, []Step{
		{"Restore one folder or file", "Put its path in place of /etc, as the list shows it.",
			"restic" + k.flags + " restore " + latest + " --target restored-part --include /etc"},
		{"Or look around first", "Linux and macOS with FUSE only: the snapshots appear as folders below look until Ctrl-C.",
			"mkdir -p look && restic" + k.flags + " mount look"},
	})
}

// Text returns the kit for a terminal or a file.
func (k Kit) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Emergency kit of the repository %s (%s).\n# It holds the repository's secrets: whoever has it can read every "+
		"backup in there.\n", plainly(k.Name), plainly(k.Location))
	b.WriteString("# Needed: restic 0.14 or newer, https://restic.net, and nothing else.\n")
	for _, note := range k.Notes() {
		b.WriteString("# " + plainly(note) + "\n")
	}
	b.WriteString("\n# In a POSIX shell:\n")
	for _, line := range k.Exports() {
		b.WriteString(line + "\n")
	}
	b.WriteString("\n# In PowerShell, instead:\n")
	for _, line := range k.PowerShell() {
		b.WriteString("# " + line + "\n")
	}
	for _, s := range k.Steps() {
		fmt.Fprintf(&b, "\n# %s\n# %s\n", plainly(s.Title+". "+s.Text), s.Command)
	}
	return b.String()
}

// Notes returns what the kit cannot contain.
func (k Kit) Notes() (notes []string) {
	if k.Local {
		where := "the host that backs up into it"
		if len(k.Hosts) > 0 {
			where = strings.Join(k.Hosts, ", ")
		}
		notes = append(notes, "This repository is a folder on "+where+". If that machine is gone, so is the repository: keep a copy of "+
			"the folder elsewhere.")
	}
	for _, f := range k.Files {
		notes = append(notes, f.Name+" names the file "+f.Value.Reveal()+" on the host. It is not in this kit: keep a copy with it.")
	}
	return notes
}

// Plain reports whether a text can be printed, read and typed as it is: no invisible
// characters, none that reorder others, no repeated spaces.
func Plain(s string) bool {
	return words.Printable(s) && !strings.Contains(s, "  ") && !strings.ContainsRune(s, utf8.RuneError)
}

func plainly(s string) string {
	if Plain(s) {
		return s
	}
	return fmt.Sprintf("%+q", s)
}

// Quote returns a text as one word of a POSIX shell. Characters that are not plain
// are escaped in octal.
func Quote(s string) string {
	if Plain(s) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, `\%03o`, s[i])
	}
	return `"$(printf '` + b.String() + `')"`
}

// QuotePowerShell returns a text as one word of PowerShell, in the same way.
func QuotePowerShell(s string) string {
	if Plain(s) {
		for _, q := range []string{"'", "‘", "’", "‚", "‛"} { // all of them end a string in PowerShell
			s = strings.ReplaceAll(s, q, q+q)
		}
		return "'" + s + "'"
	}
	var b strings.Builder
	for i, c := range []byte(s) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d", c)
	}
	return "[Text.Encoding]::UTF8.GetString([byte[]](" + b.String() + "))"
}
