// Package location knows the address of a restic repository: which forms there
// are, what of one may be shown, and which environment variables go with it.
//
// Both sides use it, so that the control plane accepts exactly what an agent will
// run. It imports only the standard library. Addresses and variables hold secrets;
// functions that hand them on are generic over string types, so that a type that
// hides itself when printed stays one.
package location

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxLength is how many bytes an address may have.
const MaxLength = 2000

// An Error says in a sentence for people what is wrong with an address or a
// variable. It never holds a value that may be secret.
type Error string

// Error implements error.
func (e Error) Error() string { return string(e) }

// Local is the scheme of an address that is a path.
const Local = "local"

// schemes are restic's, in no order. A path has none and counts as Local.
var schemes = []string{"rest", "s3", "sftp", "b2", "azure", "gs", "swift", "rclone", Local}

// An Address is where a repository is. Printed, it shows what Public returns.
type Address struct {
	text   string   // as it was given, with whatever secrets it holds
	scheme string   // one of schemes
	rest   string   // what follows "scheme:"; all of a path
	url    *url.URL // rest as a URL, nil for the forms that are none
}

// Absolute reports whether a path is a full one on Linux or on Windows: /etc,
// C:\Users, \\server\share.
func Absolute(p string) bool {
	if strings.HasPrefix(p, "/") || strings.HasPrefix(p, `\\`) {
		return true
	}
	return len(p) >= 3 && (p[0]|0x20 >= 'a' && p[0]|0x20 <= 'z') && p[1] == ':' && (p[2] == '\\' || p[2] == '/')
}

// Scheme returns the kind of storage an address names, Local for everything that
// begins with no scheme of restic's. The address need not be a valid one.
func Scheme(text string) string {
	if scheme, _, ok := strings.Cut(text, ":"); ok && !Absolute(text) && slices.Contains(schemes, scheme) {
		return scheme
	}
	return Local
}

// sftpUser is a user, who may be one of a domain: anna@example.org or EXAMPLE\anna.
const sftpUser = `(?:[A-Za-z0-9_]|\{host\})(?:[A-Za-z0-9_.+\\-]|\{host\})*`

var (
	bucketForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*:`)
	rcloneForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+@ -]*:`)
	s3Form     = regexp.MustCompile(`^(//)?([A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?(/|$)`)
	sftpForm   = regexp.MustCompile(`^(?:` + sftpUser + `(?:@` + sftpUser + `)?@)?([A-Za-z0-9_][A-Za-z0-9_.-]*):(.+)$`)
	sftpLogin  = regexp.MustCompile(`^[^/]*@[A-Za-z0-9_.-]+:`) // of a path: what was meant is user:password@host:/path
	sftpHost   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$|^[0-9A-Fa-f:.]+$`)
)

const forms = "The repository's URL is neither a full path on the host nor of a form restic knows: rest:https://…, s3:…, " +
	"sftp:user@host:/path, " +
	"b2:, azure:, gs:, swift:, rclone:remote:path or local:/path."

// Parse takes an address apart. It refuses what restic would misread: a typo
// without a known scheme is a relative path to restic, where init would quietly
// create a repository; a host that begins with a dash is an option to ssh; and an
// rclone remote with options may name a program to run. Every error is an Error.
func Parse(text string) (Address, error) {
	switch {
	case text == "":
		return Address{}, Error("Say where the repository is.")
	case len(text) > MaxLength:
		return Address{}, Error(fmt.Sprintf("A repository's URL has at most %d bytes.", MaxLength))
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return Address{}, Error("A repository's URL has no control characters and no line breaks.")
	case Absolute(text):
		return Address{text: text, scheme: Local, rest: text}, nil
	}
	scheme, rest, _ := strings.Cut(text, ":")
	a, ok := Address{text: text, scheme: scheme, rest: rest}, false
	switch scheme {
	case Local:
		ok = Absolute(rest)
	case "rest":
		if a.url = parseURL(rest); a.url != nil {
			ok = (a.url.Scheme == "https" || a.url.Scheme == "http") && a.url.Host != "" || a.url.Scheme == "http+unix"
		}
	case "s3":
		if !strings.HasPrefix(rest, "https://") && !strings.HasPrefix(rest, "http://") { // restic sees no URL in anything else
			ok = s3Form.MatchString(rest)
		} else if a.url = parseURL(rest); a.url != nil {
			ok = a.url.Host != ""
		}
	case "sftp":
		if !strings.HasPrefix(rest, "//") {
			m := sftpForm.FindStringSubmatch(rest)
			if m != nil && sftpLogin.MatchString(m[2]) {
				return Address{}, Error("An sftp address holds no password; ssh logs in with a key. Write sftp:user@host:/path.")
			}
			ok = m != nil
		} else if a.url = parseURL(rest); a.url != nil {
			ok = sftpHost.MatchString(a.url.Hostname()) && !strings.HasPrefix(a.url.User.Username(), "-") && strings.Trim(a.url.Path, "/") != ""
		}
	case "b2", "azure", "gs", "swift":
		ok = bucketForm.MatchString(rest)
	case "rclone":
		ok = rcloneForm.MatchString(rest)
	}
	if !ok {
		return Address{}, Error(forms)
	}
	// A "/", "?" or "#" in a password ends the host for every parser of URLs, and
	// what follows up to the @ would be shown as if it were no secret.
	if u := a.url; u != nil && strings.Contains(u.RawQuery+u.Fragment, "@") {
		return Address{}, Error(encode)
	}
	return a, nil
}

// ParseHere is Parse on the machine that will use the address: a path has to be a
// full one on this system.
func ParseHere(text string) (Address, error) {
	a, err := Parse(text)
	if err == nil && a.scheme == Local && !filepath.IsAbs(a.Path()) {
		return Address{}, Error("The repository's URL is a path of another operating system than this host's.")
	}
	return a, err
}

// textOf is a URL as text. A {host} in the text it is from stays as it is.
func textOf(u *url.URL, from string) string {
	if !PerHost(from) {
		return u.String()
	}
	v := *u
	v.Path, v.RawPath = strings.ReplaceAll(u.Path, Host, mark), strings.ReplaceAll(u.RawPath, Host, mark)
	return strings.ReplaceAll(strings.ReplaceAll(v.String(), mark, Host), "%7Bhost%7D", Host)
}

// mark stands for Host while a path is written as a URL has it: braces belong into no URL, and
// with one in it, package url forgets how the rest of the path was escaped.
const mark = "-restic-manager.host-"

// escapedPath is the path of a URL as it was written, but for Host.
func escapedPath(u *url.URL) string {
	v := url.URL{Path: u.Path, RawPath: u.RawPath}
	return textOf(&v, Host)
}

// parseURL takes a URL apart. A {host} in its user or password is read as it stands there.
func parseURL(text string) *url.URL {
	if before, rest, ok := strings.Cut(text, "//"); ok && PerHost(rest) {
		authority, path := rest, ""
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			authority, path = rest[:i], rest[i:]
		}
		if at := strings.LastIndex(authority, "@"); at >= 0 {
			text = before + "//" + strings.ReplaceAll(authority[:at], Host, "%7Bhost%7D") + authority[at:] + path
		}
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil
	}
	return u
}

// Scheme returns restic's name of the kind of storage, Local for a path.
func (a Address) Scheme() string { return a.scheme }

// Path returns the path of a Local address.
func (a Address) Path() string { return a.rest }

// Rest returns what follows the scheme, which may hold secrets.
func (a Address) Rest() string { return a.rest }

// URL returns a copy of the address behind the scheme as a URL, nil for the forms
// that are none. It may hold a password.
func (a Address) URL() *url.URL {
	if a.url == nil {
		return nil
	}
	u := *a.url
	return &u
}

// Public returns the address without whatever may be a credential: user, password,
// query and fragment. It is what lists, pages and logs show.
func (a Address) Public() string {
	if u := a.URL(); u != nil {
		u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
		return a.scheme + ":" + textOf(u, a.text)
	}
	if m := sftpForm.FindStringSubmatch(a.rest); a.scheme == "sftp" && m != nil {
		return "sftp:" + m[1] + ":" + m[2]
	}
	return a.text
}

// String is Public, so that an address that is printed by mistake tells no secret.
func (a Address) String() string { return a.Public() }

// GoString is Public, too.
func (a Address) GoString() string { return a.Public() }

// login finds what may be a user and password in an address that is not valid.
var login = regexp.MustCompile(`^((?:(?:rest|s3|sftp|b2|azure|gs|swift|rclone):)?(?:https?:)?(?://)?)(.*)@`)

// Shown returns an address without its password, to be shown to whoever typed or
// may change it. The user stays. The text need not be a valid address: what may be
// a password in it is left out, too.
func Shown[S ~string](text S) string {
	a, err := Parse(string(text))
	if err == nil {
		if u := a.URL(); u != nil && u.User != nil {
			u.User = url.User(u.User.Username())
			return a.scheme + ":" + textOf(u, a.text)
		}
		return a.text
	}
	m := login.FindStringSubmatch(string(text))
	if m == nil {
		return string(text)
	}
	user, _, _ := strings.Cut(m[2], ":")
	return m[1] + user + string(text)[len(m[0])-1:]
}

// Pin returns where the data lies, without user and password and spelt in one way
// only, so that an agent's policy can compare it. Variables that say where the data
// lies are part of it. It is made on the host whose policy it is: paths are cleaned
// by that system's rules.
func Pin[S ~string](text S, env map[string]S) (string, error) {
	a, err := ParseHere(string(text))
	if err != nil {
		return "", err
	}
	pin := a.text
	switch a.scheme {
	case Local:
		pin = filepath.Clean(a.rest)
	case "rest", "s3":
		u := a.url
		if u == nil { // s3:HOST/BUCKET
			host, path, _ := strings.Cut(a.rest, "/")
			u = &url.URL{Scheme: "https", Host: host, Path: "/" + path}
		}
		pin = a.scheme + ":" + u.Scheme + "://" + strings.ToLower(u.Host) + remotePath(a.scheme, u)
		if u.RawQuery != "" || u.Fragment != "" {
			pin += "?" + u.RawQuery + "#" + u.Fragment
		}
	case "sftp":
		host, dir := "", ""
		if a.url != nil {
			host, dir = a.url.Host, a.url.Path
		} else {
			m := sftpForm.FindStringSubmatch(a.rest)
			host, dir = m[1], m[2]
		}
		pin = "sftp:" + strings.ToLower(host) + ":" + path.Clean(dir)
	}
	for _, v := range Variables {
		if value := string(env[v.Name]); v.Place && value != "" {
			pin += " " + v.Name + "=" + strings.ReplaceAll(value, " ", "%20") // a space ends a value
		}
	}
	return pin, nil
}

// remotePath returns the path of a URL in one spelling for what is one place. What a ".."
// leads to, or a "/" that is written as %2F, is the server's business: a bucket is the
// path's first part whatever follows, and not every server leaves out what ".." takes back.
// Such a path is another place than the one without.
func remotePath(scheme string, u *url.URL) string {
	p := u.Path
	if scheme == "rest" && strings.Contains(strings.ToLower(escapedPath(u)), "%2f") {
		p = escapedPath(u)
	}
	if slices.Contains(strings.Split(p, "/"), "..") {
		return "/" + strings.TrimPrefix(p, "/")
	}
	return path.Clean("/" + p)
}

// The variables that hold the login of a REST server.
const (
	RESTUser     = "RESTIC_REST_USERNAME"
	RESTPassword = "RESTIC_REST_PASSWORD"
)

// SplitLogin moves the user and password in a REST server's URL to their
// variables, where they stay when the URL is changed. It returns any other address
// as it is. The map is not changed but copied; it is never nil afterwards.
func SplitLogin[S ~string](text S, env map[string]S) (S, map[string]S) {
	env = maps.Clone(env)
	if env == nil {
		env = map[string]S{}
	}
	address, isREST := strings.CutPrefix(string(text), "rest:")
	u := parseURL(address)
	if !isREST || u == nil || u.User == nil {
		return text, env
	}
	password, _ := u.User.Password()
	env[RESTUser], env[RESTPassword] = S(u.User.Username()), S(password)
	u.User = nil
	return S("rest:" + textOf(u, address)), env
}

// JoinLogin is SplitLogin's opposite: restic up to 0.16.0 takes the login of a REST
// server from nowhere but the URL. A URL that has a user keeps it.
func JoinLogin[S ~string](text S, env map[string]S) (joined S, did bool) {
	address, isREST := strings.CutPrefix(string(text), "rest:")
	u := parseURL(address)
	if !isREST || u == nil || u.User != nil || env[RESTUser] == "" {
		return text, false
	}
	u.User = url.UserPassword(string(env[RESTUser]), string(env[RESTPassword]))
	return S("rest:" + textOf(u, address)), true
}

// URLText is a URL as text, in which Host is written with its braces.
func URLText(u *url.URL) string { return textOf(u, Host) }
