package location

import (
	"maps"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// Host stands in the path of an address for the name of the host that uses it.
const Host = "{host}"

// PerHost reports whether an address names another place to each host by Host. A path
// does, too, without it.
func PerHost[S ~string](text S) bool { return strings.Contains(string(text), Host) }

// Meant returns an address as whoever typed it meant it: what writes URLs in their strict form
// makes %7Bhost%7D of Host, which would be a folder of that name.
func Meant[S ~string](text S) S { return S(escapedHost.ReplaceAllString(string(text), Host)) }

var escapedHost = regexp.MustCompile(`(?i)%7Bhost%7D`)

// Expand puts a host's name where an address has Host. A name that CheckName takes means
// itself in a path as in a user.
func Expand[S ~string](text S, name string) S {
	return S(strings.ReplaceAll(string(text), Host, name))
}

// LoginPerHost reports whether some of a repository's variables name each host by Host.
func LoginPerHost[S ~string](env map[string]S) bool {
	for name, value := range env {
		if v, known := Find(name); known && !v.File && PerHost(value) {
			return true
		}
	}
	return false
}

// ExpandLogin puts a host's name where variables have Host. A path of a file on the host
// stays as it is. The map is not changed but copied.
func ExpandLogin[S ~string](env map[string]S, name string) map[string]S {
	env = maps.Clone(env)
	for key, value := range env {
		if v, known := Find(key); known && !v.File {
			env[key] = Expand(value, name)
		}
	}
	return env
}

// Covers reports whether an allowed pin is the one of an address, or has Host where that
// has a name: whoever looks after the places of all hosts allows them all at once.
func Covers(allowed, pin string) bool {
	if allowed == pin || !PerHost(allowed) {
		return allowed == pin
	}
	before, after, _ := strings.Cut(allowed, Host)
	rest, ok := strings.CutPrefix(pin, before)
	for n := 1; ok && n <= len(rest) && n <= maxPlaceName; n++ {
		if name := rest[:n]; CheckName(name) == "" && rest[n:] == Expand(after, name) {
			return true
		}
	}
	return false
}

// Coarse returns the same text for all spellings that may name the same place, and now
// and then for two that do not: of one server however it is reached, in capitals or not.
// It is for what must not be done twice at once, not for what is allowed.
func Coarse(text string) string {
	pin, err := Pin[string](text, nil)
	if err != nil {
		pin = text
	}
	pin = strings.ToLower(strings.ReplaceAll(pin, `\`, "/"))
	scheme := Scheme(pin)
	rest := strings.TrimPrefix(pin, scheme+":")
	server := ""
	switch scheme {
	case Local:
	case "rest", "s3":
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, "https://"), "http://")
		server, rest, _ = strings.Cut(rest, "/")
		server = strings.TrimSuffix(strings.TrimSuffix(server, ":443"), ":80")
	default:
		server, rest, _ = strings.Cut(strings.Replace(rest, ":22:", ":", 1), ":")
	}
	return scheme + ":" + strings.TrimSuffix(server, ".") + path.Clean("/"+rest)
}

// maxPlaceName is how many bytes a name may have that stands for Host: a name of a file.
const maxPlaceName = 100

var placeName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// CheckName says in a sentence why a name cannot stand for Host, "" if it can. It becomes
// part of a path, and nothing in it may lead elsewhere.
func CheckName(name string) string {
	switch {
	case name == "":
		return "Give the host a name that stands for {host} in the repository's address."
	case len(name) > maxPlaceName || !placeName.MatchString(name) || name == "." || name == "..":
		return "What stands for {host} in an address has 1 to 100 of the characters A-Z, a-z, 0-9, dot, underscore and hyphen, " +
			"and is not one dot or two."
	}
	return ""
}

const inPath = Host + " stands for the host's name in the path of an address and in its user and password only: not in the name of a " +
	"server or a bucket, or in what follows a ? or #."

// encode is said of a login that no parser of URLs reads as it is meant.
const encode = "Encode the special characters of user and password in the URL (%2F for /, %3F for ?, %23 for #, %25 for %, %40 for @, " +
	"%20 for a space), or leave both out of the URL and use the fields for user and password."

var (
	scpForm      = regexp.MustCompile(`^(?:[A-Za-z0-9_][A-Za-z0-9_.+\\-]*@)+[A-Za-z0-9_][A-Za-z0-9_.-]*:[^:@]*$`)
	bareREST     = regexp.MustCompile(`^(//)?[A-Za-z0-9_][A-Za-z0-9_.-]*(:[0-9]+)?(/[^@]*)?$`)
	schemeless   = regexp.MustCompile(`^(?:https?)?/+`) // two slashes, and a scheme that lacks its colon
	sftpPort     = regexp.MustCompile(`^(?:(.+)@)?([A-Za-z0-9_][A-Za-z0-9_.-]*):([0-9]{1,5}):(.*)$`)
	sftpAddress6 = regexp.MustCompile(`^(?:(.+)@)?(\[[0-9A-Fa-f:.]+\]):(?:([0-9]{1,5}):)?([^:]*)$`)
	s3Port       = regexp.MustCompile(`^(?://)?([A-Za-z0-9_][A-Za-z0-9_.-]*):([0-9]{1,5}):/?([^:@]*)$`)
	meantHost    = regexp.MustCompile(`(?i)\$?\{+ *[.$%]?(host|host[_-]?name|host[_-]?id|name|client|agent|node|machine) *\}+`)
)

// ParseNew is Parse for an address that somebody types now: it refuses, too, what restic
// takes and what is most likely not meant, and says how it is written instead. An address
// that was saved goes on being used as it is. Every error is an Error.
func ParseNew(text string) (Address, error) {
	a, err := Parse(text)
	if said := misspelt(text, err == nil); said != "" {
		return Address{}, Error(said)
	}
	if err != nil {
		if _, elsewhere := Parse(Expand(text, "x")); PerHost(text) && elsewhere == nil {
			return Address{}, Error(inPath)
		}
		return Address{}, err
	}
	if err := a.braces(); err != nil {
		return Address{}, err
	}
	return a, nil
}

// misspelt says how an address is written that looks like one of another form, "" if it
// does not. valid is whether Parse takes it. It repeats users, and no password.
func misspelt(text string, valid bool) string {
	if Absolute(text) {
		return ""
	}
	scheme, rest, _ := strings.Cut(text, ":")
	switch scheme {
	case "http", "https":
		if u := parseURL(text); u != nil && u.Host != "" && u.User == nil {
			return "An address of a REST server begins with rest: and goes on with the URL, as in rest:" + textOf(u, text) + "."
		}
		return "An address of a REST server begins with rest: and goes on with the URL, as in rest:https://nas:8000/."
	case "ssh", "scp":
		return "An address of a server that is reached by ssh begins with sftp:, as in sftp:user@host:/path or sftp://user@host:2222//path."
	case "file":
		return "A folder on the host is written as its full path, without file:."
	case "rest":
		switch {
		case valid:
			return ofURL(rest, "rest:", true)
		case bareREST.MatchString(rest):
			return "An address of a REST server has the whole URL: rest:https://" + schemeless.ReplaceAllString(rest, "") +
				", or with http: if the server has no certificate."
		}
		return ofURL(rest, "rest:", false)
	case "s3":
		if m := s3Port.FindStringSubmatch(rest); m != nil {
			return "No colon follows a port: s3:" + m[1] + ":" + m[2] + "/" + m[3] + ", or s3:http://" + m[1] + ":" + m[2] + "/" + m[3] +
				" if the server has no certificate."
		}
		if strings.HasPrefix(rest, "http://") || strings.HasPrefix(rest, "https://") {
			if said := ofURL(rest, "s3:", valid); said != "" || !valid {
				return said
			}
			if u := parseURL(rest); strings.Trim(u.Path, "/") == "" {
				return "An address of S3 names the bucket, as in s3:https://minio:9000/bucket."
			}
		} else if _, bucket, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "/"); valid && strings.Trim(bucket, "/") == "" {
			return "An address of S3 names server and bucket, as in s3:s3.amazonaws.com/bucket or s3:https://minio:9000/bucket."
		}
	case "sftp":
		return ofSFTP(rest, valid)
	default:
		if !valid && scpForm.MatchString(text) {
			return "An address of a server that is reached by ssh begins with sftp:, as in sftp:" + text + "."
		}
	}
	return ""
}

// ofURL says what is wrong with an address that is a URL, without what comes before it.
func ofURL(rest, prefix string, valid bool) string {
	u := parseURL(rest)
	_, authority, isURL := strings.Cut(rest, "://")
	if m := urlPort.FindStringSubmatch(rest); m != nil {
		return "No colon follows a port or a server in a URL: " + prefix + m[1] + m[2] + "/" + m[3] + "."
	}
	switch {
	case u == nil && isURL && strings.Contains(authority, "@"):
		return encode
	case u == nil || !valid || u.Scheme == "http+unix":
		return ""
	case u.User == nil && loginInPath.MatchString(u.EscapedPath()): // a user with a / in it
		return encode
	}
	return ""
}

// urlPort is a URL whose server and port are followed by a colon, as in sftp's other form.
var urlPort = regexp.MustCompile(`^(https?://)(?:[^/]*@)?([A-Za-z0-9_][A-Za-z0-9_.-]*(?::[0-9]{1,5})?):(?:/([^@]*))?$`)

// loginInPath is the path of a URL that has a password in it, since the user before it
// has a / in its name.
var loginInPath = regexp.MustCompile(`^/[^/]*:[^/]*@[A-Za-z0-9_.-]+([:/]|$)`)

// ofSFTP says what is wrong with what follows "sftp:".
func ofSFTP(rest string, valid bool) string {
	if strings.HasPrefix(rest, "//") {
		u := parseURL(rest)
		switch {
		case u == nil:
			return ""
		case strings.HasSuffix(u.Host, ":") || strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "["):
			host, port, _ := strings.Cut(u.Host, ":")
			return "No colon follows a port or a server in a URL: " + sftpURL(u.User.Username(), host, strings.Trim(port, ":"), u.Path) + "."
		}
		return ""
	}
	m := sftpPort.FindStringSubmatch(rest)
	if m == nil {
		m = sftpAddress6.FindStringSubmatch(rest)
	}
	if m == nil || strings.ContainsAny(m[1], ":/") || sftpLogin.MatchString(m[4]) { // Parse says what it says of passwords
		return ""
	}
	if m[3] != "" && valid {
		return "restic takes what follows the host as a path, and would make a folder named " + m[3] + ": there. A port is written as in " +
			sftpURL(m[1], m[2], m[3], m[4]) + "."
	}
	return "A port, or an address in brackets, is written as in " + sftpURL(m[1], m[2], m[3], m[4]) + "."
}

// sftpURL is the form of an address that has a place for a port. There a path of its own
// begins with two slashes; one leads below the user's home.
func sftpURL(user, host, port, dir string) string {
	u := url.URL{Host: host, Path: "/" + dir}
	if user != "" {
		u.User = url.User(user)
	}
	if port != "" {
		u.Host += ":" + port
	}
	return "sftp:" + textOf(&u, dir)
}

// braces refuses every brace but those of Host in a path.
func (a Address) braces() error {
	text := a.text
	if !strings.ContainsAny(text, "{}") {
		return nil
	}
	where := a.rest
	switch {
	case a.url != nil && strings.ContainsAny(a.url.RawQuery+a.url.Fragment, "{}"):
		return Error(inPath)
	case a.url != nil:
		where = a.url.Path
	}
	if user, relative := "", false; a.scheme == "sftp" {
		if user, relative = sftpHome(a); relative && PerHost(user) && !PerHost(strings.TrimPrefix(where, user)) {
			return Error("With " + Host + " as the user, a path that begins in that user's home is another place for each host: write " + Host +
				" into the path, too, or a path from the root, as in sftp:{host}@nas:/srv/{host}.")
		}
	}
	left := strings.ReplaceAll(where, Host, "")
	switch {
	case !strings.ContainsAny(left, "{}") && !strings.Contains(where, "$"+Host):
		return nil
	case meantHost.MatchString(left) || strings.Contains(where, "$"+Host) || strings.Contains(where, "{"+Host):
		return Error("The name of the host is written " + Host + " in an address, with one brace on each side and in small letters.")
	case a.url != nil:
		return Error("In braces only " + Host + " means something in an address: the host's name. Write %7B and %7D for braces that " +
			"belong to a name.")
	}
	return Error("In braces only " + Host + " means something in an address: the host's name. Choose a folder without other braces " +
		"in its name.")
}
