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

// Anyone stands among the identities of a pin while the agent has yet to write down who
// succeeded there.
const Anyone = "?"

// Match finds which of a policy's pins holds an address, "" if none does. as has the
// identities of each pin, none for one that an older agent wrote. open says that whoever
// succeeds there next is written down, and other that a pin would hold the address but for
// who we would be there.
func Match[S ~string](pins []string, as map[string][]string, text S, env map[string]S) (pin string, open, other bool) {
	place, err := Pin(text, env)
	if err != nil || Assigns(string(text)) {
		return "", false, false
	}
	who := Identity(text, env)
	for _, allowed := range pins {
		if !Covers(allowed, place) {
			continue
		}
		known, written := as[allowed]
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
// behind it NAME=VALUE of each variable. ParseDescribed reads it.
func Described[S ~string](text S, env map[string]S) string {
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
	return said
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
