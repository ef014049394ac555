package channels

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
)

// maxValue is how many bytes a field may have.
const maxValue = 8 << 10

// Fields are what somebody filled in for a channel, by the names of [Kinds]: each set or
// given its default.
type fields struct {
	kind   Kind
	values map[string]string
}

func (f fields) get(name string) string { return f.values[name] }

// list is a field that has several, one a line.
func (f fields) list(name string) []string {
	var all []string
	for line := range strings.Lines(f.values[name]) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// said collects what is wrong with fields.
type said = field.Errors

// whole fills in the defaults of fields.
func whole(kind string, values map[string]string) fields {
	k, _ := KindOf(kind)
	f := fields{k, map[string]string{}}
	for _, one := range k.Fields {
		v := strings.TrimSpace(values[one.Name])
		if one.Secret && !one.List {
			v = strings.Trim(values[one.Name], "\r\n")
		}
		if v == "" {
			v = one.Default
		}
		if v == "" && len(one.Options) > 0 {
			v = one.Options[0]
		}
		f.values[one.Name] = v
	}
	return f
}

// Check says what is wrong with the fields of a channel of a kind, as [field.Errors] by
// the names of the fields. Where it leads is not asked: it may be anywhere.
func Check(kind string, values map[string]string) error {
	wrong := said{}
	k, ok := KindOf(kind)
	if !ok {
		var names []string
		for _, k := range kinds {
			names = append(names, k.Name)
		}
		wrong.Say("kind", "There is no kind of channel of this name. There are: "+strings.Join(names, ", ")+".")
		return wrong
	}
	for name := range values {
		if !slices.ContainsFunc(k.Fields, func(f Field) bool { return f.Name == name }) {
			wrong.Say(name, "A channel of the kind "+k.Name+" has no such field.")
		}
	}
	f := whole(kind, values)
	for _, one := range k.Fields {
		v := f.get(one.Name)
		switch {
		case v == "" && one.Required:
			wrong.Say(one.Name, "Fill in this field: "+one.Label+".")
		case len(v) > maxValue:
			wrong.Say(one.Name, fmt.Sprintf("%s has at most %d bytes.", one.Label, maxValue))
		case !one.List && !field.Visible(v), one.List && !field.Visible(strings.NewReplacer("\r\n", " ", "\n", " ").Replace(v)):
			wrong.Say(one.Name, one.Label+" has only characters that can be seen, and plain spaces.")
		case len(one.Options) > 0 && !slices.Contains(one.Options, v):
			wrong.Say(one.Name, field.OneOf("choice", v, one.Options...))
		}
	}
	if check := senders[kind].check; len(wrong) == 0 && check != nil {
		check(f, wrong)
	}
	return wrong.Err()
}

// checkServer checks a channel that is nothing but a URL of an HTTP server.
func checkServer(f fields, wrong said) { f.checkURL(wrong, "url") }

// checkURL says what is wrong with the URL of an HTTP server; plain says that it is shown
// to people, and may have no user or password in it.
func (f fields) checkURL(wrong said, name string) {
	text := f.get(name)
	i := slices.IndexFunc(f.kind.Fields, func(one Field) bool { return one.Name == name })
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.ContainsAny(text, " \\"):
		wrong.Say(name, "This is no URL. It looks like https://example.net/path.")
	case u.Scheme != "http" && u.Scheme != "https":
		wrong.Say(name, "The URL begins with https:// or http://.")
	case u.Hostname() == "" || u.Opaque != "":
		wrong.Say(name, "The URL names a server, as in https://example.net/path.")
	case !rightHost(u.Hostname()):
		wrong.Say(name, "The URL's server is no name or address.")
	case u.Fragment != "":
		wrong.Say(name, "The URL has no # in it: what comes after it is never sent.")
	case u.User != nil && !f.kind.Fields[i].Secret:
		wrong.Say(name, "Leave user and password out of the URL, which is shown; there are fields for them.")
	}
}

// rightHost reports whether a text is the name or the address of a server. Names with
// letters beyond ASCII are allowed, and characters that mean something elsewhere are not.
func rightHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return len(host) <= 253 && host != "" && !strings.ContainsAny(host, "/\\@?#%<>\"'`{}|^ \t,;:[]()&=+$!*~")
}
