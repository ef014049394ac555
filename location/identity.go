package location

import (
	"regexp"
	"slices"
	"strings"
)

// Identity returns who an address and its variables say we are at the place that Pin
// names, as far as one of another name would be at another place: the user of an sftp
// address whose path begins in that user's home, the tenant and user of swift, and the
// part of AWS whose buckets are its own. It is "" where nothing depends on it.
func Identity[S ~string](text S, env map[string]S) string {
	a, err := ParseHere(string(text))
	if err != nil {
		return ""
	}
	if a.scheme == "sftp" {
		user, relative := sftpHome(a)
		if !relative {
			return ""
		}
		return "user=" + escaped(user)
	}
	prefixes := map[string][]string{"swift": {"OS_", "ST_"}, "s3": {"AWS_"}}[a.scheme]
	var who []string
	for _, v := range Variables {
		value := string(env[v.Name])
		if v.Name == "AWS_DEFAULT_REGION" {
			value = partition(value)
		}
		for _, prefix := range prefixes {
			if v.Who && value != "" && strings.HasPrefix(v.Name, prefix) {
				who = append(who, v.Name+"="+escaped(value))
			}
		}
	}
	return strings.Join(who, " ")
}

// sftpHome returns the user of an sftp address, and whether its path begins in that
// user's home.
func sftpHome(a Address) (user string, relative bool) {
	if a.url != nil {
		return a.url.User.Username(), !strings.HasPrefix(a.url.Path, "//") // the first slash parts it from the host
	}
	m := sftpForm.FindStringSubmatch(a.rest)
	login := strings.TrimSuffix(strings.TrimSuffix(a.rest, m[2]), ":")
	if i := strings.LastIndex(login, "@"); i >= 0 {
		user = login[:i]
	}
	return user, !strings.HasPrefix(m[2], "/")
}

// partition returns the region of AWS if its buckets are not those of everywhere else: a
// bucket of the same name in China is another one.
func partition(region string) string {
	for _, own := range []string{"cn-", "us-gov-", "us-iso"} {
		if strings.HasPrefix(strings.ToLower(region), own) {
			return region
		}
	}
	return ""
}

// escaped is a value in the text of a pin, where a space ends it.
func escaped(value string) string {
	return strings.NewReplacer("%", "%25", " ", "%20").Replace(value)
}

func unescaped(value string) string {
	return strings.NewReplacer("%25", "%", "%20", " ").Replace(value)
}

// What stands among the identities of a pin besides whom the host is there. An agent that
// does not know one of them takes it for somebody it never is.
const (
	// Anyone is there while the agent has yet to write down who succeeded there.
	Anyone = "?"
	// Below says that the pin holds every place below it, too.
	Below = "below="
	// trusting begins the fingerprint of a certificate that may be pasted for it.
	trusting = "ca="
)

// Trusting are the entries for certificates with these fingerprints, as Trust returns them.
func Trusting(prints []string) (entries []string) {
	for _, p := range prints {
		entries = append(entries, trusting+p)
	}
	return entries
}

// Strange are the fingerprints among those of pasted certificates that the entries of a pin
// do not have. Whoever issues the server's certificate can stand in for the server.
func Strange(entries, prints []string) (all []string) {
	for _, p := range prints {
		if !slices.Contains(entries, trusting+p) {
			all = append(all, p)
		}
	}
	return all
}

// Entry says for people what an entry of a pin holds, "" for nothing worth a word.
func Entry(entry string) string {
	switch print, ca := strings.CutPrefix(entry, trusting); {
	case entry == Anyone:
		return ""
	case entry == Below:
		return "and everything below"
	case ca:
		return "CA certificate " + print[:min(len(print), 16)] + "…"
	}
	return entry
}

// Match finds which of a policy's pins holds an address, "" if none does. as has the
// identities of each pin, none for one that an older agent wrote; with Below among them a
// pin holds what is below it. open says that whoever
// succeeds there next is written down, and other that a pin would hold the address but for
// who we would be there.
func Match[S ~string](pins []string, as map[string][]string, text S, env map[string]S) (pin string, open, other bool) {
	place, err := Pin(text, env)
	if err != nil || Assigns(string(text)) {
		return "", false, false
	}
	who := Identity(text, env)
	for _, allowed := range pins {
		known, written := as[allowed]
		if !Covers(allowed, place) && !(slices.Contains(known, Below) && under(allowed, place)) {
			continue
		}
		switch {
		case slices.Contains(known, who):
			return allowed, false, false
		case !written || slices.Contains(known, Anyone):
			pin, open = allowed, true
		default:
			other = true
		}
	}
	return pin, open, other && pin == ""
}

// under reports whether a pinned place is below another: of the same server and kind, with
// the same variables, by whole names of the path. A path that may lead elsewhere than it
// says is below nothing.
func under(allowed, place string) bool {
	allowed, with := apart(allowed)
	place, theirs := apart(place)
	if with != theirs || PerHost(allowed) {
		return false
	}
	if !strings.HasSuffix(allowed, "/") && !strings.HasSuffix(allowed, `\`) && !strings.HasSuffix(allowed, ":") {
		separator := "/"
		if len(place) > len(allowed) && place[len(allowed)] == '\\' && Scheme(place) == Local {
			separator = `\`
		}
		allowed += separator
	}
	rest, ok := strings.CutPrefix(place, allowed)
	if !ok || rest == "" || strings.ContainsAny(rest, "%?#") || Scheme(place) != Local && strings.Contains(rest, `\`) {
		return false
	}
	for part := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == '/' || r == '\\' }) {
		if part == ".." {
			return false
		}
	}
	return true
}

// apart is a pin without its variables, and these.
func apart(pin string) (address, variables string) {
	if at := assignment.FindStringIndex(pin); at != nil {
		return pin[:at[0]], pin[at[0]:]
	}
	return pin, ""
}

var assignment = regexp.MustCompile(` ([A-Z][A-Z0-9_]*)=`)

// Assigns reports whether an address continues with variables as Described writes them. No
// repository has such an address.
func Assigns(text string) bool {
	for _, m := range assignment.FindAllStringSubmatch(text, -1) {
		if _, known := Find(m[1]); known {
			return true
		}
	}
	return false
}

// Described is an address with what else a pin holds of it, as an administrator types it
// on a host: the address without a login, but for the user that its place depends on, and
// behind it NAME=VALUE of each variable. Of pasted CA certificates it has the fingerprints.
// ParseDescribed reads it.
func Described[S ~string](text S, env, files map[string]S) string {
	a, err := Parse(string(text))
	if err != nil {
		return ""
	}
	said := a.Public()
	if a.scheme == "sftp" {
		if user, relative := sftpHome(a); relative && user != "" {
			if rest, ok := strings.CutPrefix(said, "sftp://"); ok {
				said = "sftp://" + user + "@" + rest
			} else {
				said = "sftp:" + user + "@" + strings.TrimPrefix(said, "sftp:")
			}
		}
	}
	for _, v := range Variables {
		if value := string(env[v.Name]); value != "" && v.Place {
			said += " " + v.Name + "=" + strings.ReplaceAll(value, " ", "%20")
		}
	}
	if who := Identity(text, env); who != "" && a.scheme != "sftp" {
		said += " " + who
	}
	if prints := Trust(files); len(prints) > 0 {
		said += " " + CACert + "=" + printForm + strings.Join(prints, ","+printForm)
	}
	return said
}

// printForm begins a fingerprint where a file could be named as well.
const printForm = "sha256:"

var prints = regexp.MustCompile(`^sha256:[0-9a-f]{64}(,sha256:[0-9a-f]{64})*$`)

// Prints are the fingerprints of CA certificates among the variables that ParseDescribed
// returned.
func Prints(env map[string]string) []string {
	if !prints.MatchString(env[CACert]) {
		return nil
	}
	return strings.Split(strings.ReplaceAll(env[CACert], printForm, ""), ",")
}

// ParseDescribed takes an address with variables behind it apart. The error is an Error.
func ParseDescribed(text string) (address string, env map[string]string, err error) {
	env = map[string]string{}
	address, rest := text, ""
	if at := assignment.FindStringIndex(text); at != nil {
		address, rest = text[:at[0]], text[at[0]:]
	}
	for rest != "" {
		m := assignment.FindStringSubmatchIndex(rest)
		if m == nil || m[0] != 0 {
			break
		}
		name, value := rest[m[2]:m[3]], rest[m[1]:]
		rest = ""
		if next := assignment.FindStringIndex(value); next != nil {
			value, rest = value[:next[0]], value[next[0]:]
		}
		v, known := Find(name)
		switch {
		case name == CACert && prints.MatchString(value):
		case !known || !v.Place && !v.Who:
			return "", nil, Error(name + " is no part of where a repository is. These are: " + strings.Join(placing(), ", ") + ".")
		case v.Who:
			value = unescaped(value)
		default:
			value = strings.ReplaceAll(value, "%20", " ")
		}
		env[name] = value
	}
	return address, env, nil
}

// placing are the variables that a pin holds.
func placing() (names []string) {
	for _, v := range Variables {
		if v.Place || v.Who {
			names = append(names, v.Name)
		}
	}
	return names
}
