package restic

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/topics"
)

// A Repository says where restic keeps the data and how to get in. URL is an
// absolute local path or one of restic's schemes, and may hold user and
// password. Env holds credentials of the backend by restic's variable names;
// only the ones in a fixed list are taken.
type Repository struct {
	URL      topics.Secret
	Password topics.Secret
	Env      map[string]topics.Secret
}

// variables are what Repository.Env may set, and whether the value is a secret.
// Nothing is here that names a program to run or a file that may name one:
// no RESTIC_PASSWORD_COMMAND, no AWS_PROFILE (credential_process), no
// RCLONE_PASSWORD_COMMAND, no AZURE_FORCE_CLI_CREDENTIAL.
var variables = map[string]bool{
	"RESTIC_REST_USERNAME":             false,
	"RESTIC_REST_PASSWORD":             true,
	"RESTIC_CACERT":                    false,
	"RESTIC_TLS_CLIENT_CERT":           false,
	"RESTIC_KEY_HINT":                  false,
	"AWS_ACCESS_KEY_ID":                false,
	"AWS_SECRET_ACCESS_KEY":            true,
	"AWS_SESSION_TOKEN":                true,
	"AWS_DEFAULT_REGION":               false,
	"B2_ACCOUNT_ID":                    false,
	"B2_ACCOUNT_KEY":                   true,
	"AZURE_ACCOUNT_NAME":               false,
	"AZURE_ACCOUNT_KEY":                true,
	"AZURE_ACCOUNT_SAS":                true,
	"AZURE_ENDPOINT_SUFFIX":            false,
	"GOOGLE_PROJECT_ID":                false,
	"GOOGLE_ACCESS_TOKEN":              true,
	"GOOGLE_APPLICATION_CREDENTIALS":   false,
	"OS_AUTH_URL":                      false,
	"OS_REGION_NAME":                   false,
	"OS_USERNAME":                      false,
	"OS_USER_ID":                       false,
	"OS_PASSWORD":                      true,
	"OS_TENANT_ID":                     false,
	"OS_TENANT_NAME":                   false,
	"OS_USER_DOMAIN_ID":                false,
	"OS_USER_DOMAIN_NAME":              false,
	"OS_PROJECT_NAME":                  false,
	"OS_PROJECT_DOMAIN_ID":             false,
	"OS_PROJECT_DOMAIN_NAME":           false,
	"OS_TRUST_ID":                      false,
	"OS_APPLICATION_CREDENTIAL_ID":     false,
	"OS_APPLICATION_CREDENTIAL_NAME":   false,
	"OS_APPLICATION_CREDENTIAL_SECRET": true,
	"OS_STORAGE_URL":                   false,
	"OS_AUTH_TOKEN":                    true,
	"ST_AUTH":                          false,
	"ST_USER":                          false,
	"ST_KEY":                           true,
	"RCLONE_CONFIG":                    false,
	"RCLONE_CONFIG_PASS":               true,
}

// access is a repository made ready for one version of restic.
type access struct {
	env     []string // secrets among it
	flags   []string // before every command line; no secrets
	shown   string   // the URL without its password, for people
	bare    []string // forms of the location as they turn up in restic's messages
	secrets []string // to be redacted
}

// access checks the repository and says how to hand it to restic of version v.
func (r Repository) access(v Version) (access, error) {
	if r.Password == "" {
		return access{}, fmt.Errorf("the repository has no password: restic needs one, and asks nobody here")
	}
	if strings.ContainsRune(r.Password.Reveal(), 0) {
		return access{}, fmt.Errorf("the repository's password holds a NUL character, which restic cannot be given")
	}
	a := access{secrets: []string{r.Password.Reveal()}}
	env := map[string]string{}
	for name, secret := range r.Env {
		hidden, known := variables[name]
		value := secret.Reveal()
		switch {
		case !known:
			return access{}, fmt.Errorf("the variable %.60q is not one of the credentials restic may be given", name)
		case strings.ContainsAny(value, "\x00\r\n"):
			return access{}, fmt.Errorf("the value of %s holds a line break or NUL character", name)
		case hidden:
			a.secrets = append(a.secrets, value)
		}
		env[name] = value
	}
	location := r.URL.Reveal()
	if err := checkURL(location); err != nil {
		return access{}, err
	}
	scheme, address := split(location)
	if u := parsed(scheme, address); u != nil {
		if password, ok := u.User.Password(); ok {
			a.secrets = append(a.secrets, password, secretPart(u))
		}
		if scheme == "rest" && u.User == nil && !v.AtLeast(0, 16, 1) && env["RESTIC_REST_USERNAME"] != "" {
			// Up to 0.16.0 restic takes them from nowhere but the URL.
			u.User = url.UserPassword(env["RESTIC_REST_USERNAME"], env["RESTIC_REST_PASSWORD"])
			a.secrets = append(a.secrets, secretPart(u))
			location = "rest:" + u.String()
		}
		bare := *u
		bare.User = nil
		a.bare = append(a.bare, u.Redacted(), strings.ReplaceAll(u.Redacted(), ":xxxxx@", ":***@"), bare.String(), u.Host+u.Path)
		if u.User != nil {
			bare.User = url.User(u.User.Username())
		}
		a.shown = scheme + ":" + bare.String()
	} else {
		a.shown = location
		a.bare = append(a.bare, address)
	}
	if !v.AtLeast(0, 16, 1) {
		delete(env, "RESTIC_REST_USERNAME")
		delete(env, "RESTIC_REST_PASSWORD")
	}
	if !v.AtLeast(0, 16, 0) {
		for _, f := range []struct{ variable, flag string }{{"RESTIC_CACERT", "--cacert"}, {"RESTIC_TLS_CLIENT_CERT", "--tls-client-cert"}} {
			if env[f.variable] != "" {
				a.flags = append(a.flags, f.flag, env[f.variable])
			}
			delete(env, f.variable)
		}
	}
	for _, v := range proxies() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
		if u, err := url.Parse(value); err == nil && u.User != nil {
			password, _ := u.User.Password()
			a.secrets = append(a.secrets, password, secretPart(u))
		}
	}
	env["RESTIC_REPOSITORY"] = location
	env["RESTIC_PASSWORD"] = r.Password.Reveal()
	for name, value := range env {
		a.env = append(a.env, name+"="+value)
	}
	slices.Sort(a.env)
	return a, nil
}

// places are variables that say where a location is, beyond its URL.
var places = []string{"AZURE_ACCOUNT_NAME", "AZURE_ENDPOINT_SUFFIX", "OS_AUTH_URL", "OS_STORAGE_URL", "ST_AUTH"}

// Location is where a repository's data lies, without anybody's name or
// password, spelt one way only: two repositories of one location are one.
func Location(r Repository) (string, error) {
	location := r.URL.Reveal()
	if err := checkURL(location); err != nil {
		return "", err
	}
	scheme, address := split(location)
	pin := ""
	switch scheme {
	case "", "local":
		pin = filepath.Clean(address)
	case "rest", "s3":
		u, err := url.Parse(address)
		if err != nil {
			return "", fmt.Errorf("the repository's URL: %w", err)
		}
		if u.Scheme == "" { // s3:HOST/BUCKET
			host, path, _ := strings.Cut(address, "/")
			u = &url.URL{Scheme: "https", Host: host, Path: "/" + path}
		}
		pin = scheme + ":" + u.Scheme + "://" + strings.ToLower(u.Host) + path.Clean("/"+u.Path)
		if u.RawQuery != "" || u.Fragment != "" {
			pin += "?" + u.RawQuery + "#" + u.Fragment
		}
	case "sftp":
		if u := parsed(scheme, address); u != nil {
			pin = "sftp:" + strings.ToLower(u.Host) + ":" + path.Clean(u.Path)
			break
		}
		if user, rest, ok := strings.Cut(address, "@"); ok && !strings.Contains(user, ":") {
			address = rest
		}
		host, dir, _ := strings.Cut(address, ":")
		pin = "sftp:" + strings.ToLower(host) + ":" + path.Clean(dir)
	default:
		pin = location
	}
	for _, name := range places {
		if value := r.Env[name].Reveal(); value != "" {
			pin += " " + name + "=" + value
		}
	}
	return pin, nil
}

// secretPart is the password of u as it stands in the URL.
func secretPart(u *url.URL) string {
	_, password, _ := strings.Cut(u.User.String(), ":")
	return password
}

// split takes a repository's URL apart at restic's scheme. A local path has none.
func split(location string) (scheme, address string) {
	if filepath.IsAbs(location) {
		return "", location
	}
	scheme, address, found := strings.Cut(location, ":")
	if !found {
		return "", location
	}
	return scheme, address
}

// parsed is the address as a URL, nil for schemes whose address is none.
func parsed(scheme, address string) *url.URL {
	if scheme != "rest" && scheme != "s3" && scheme != "sftp" || !strings.Contains(address, "//") {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	return u
}

var (
	bucket       = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*:.*$`)
	rcloneRemote = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+@ -]*:`)
	sftpPlain    = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9_][A-Za-z0-9_.-]*:.+$`)
	sftpHost     = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_.-]*|\[?[0-9A-Fa-f:.]+\]?)$`)
)

// checkURL refuses what restic would misread. A typo without a known scheme is a
// local path to restic, where init would quietly begin a repository; a host that
// begins with a dash is an option to ssh, and an rclone remote spelt out on the
// spot may name a program to run.
func checkURL(location string) error {
	if location == "" {
		return fmt.Errorf("the repository has no URL")
	}
	if strings.ContainsFunc(location, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("the repository's URL holds a control character")
	}
	scheme, address := split(location)
	ok := false
	switch scheme {
	case "":
		ok = filepath.IsAbs(location)
	case "local":
		ok = filepath.IsAbs(address)
	case "rest":
		u, err := url.Parse(address)
		ok = err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" || err == nil && u.Scheme == "http+unix"
	case "s3":
		u, err := url.Parse(address)
		ok = err == nil && (u.Scheme == "" && !strings.HasPrefix(address, "-") && address != "" || (u.Scheme == "https" || u.Scheme == "http") && u.Host != "")
	case "sftp":
		if strings.HasPrefix(address, "//") {
			u, err := url.Parse("sftp:" + address)
			ok = err == nil && sftpHost.MatchString(u.Hostname()) && !strings.HasPrefix(u.User.Username(), "-") && u.Path != ""
		} else {
			ok = sftpPlain.MatchString(address)
		}
	case "b2", "azure", "gs", "swift":
		ok = bucket.MatchString(address)
	case "rclone":
		ok = rcloneRemote.MatchString(address)
	}
	if !ok {
		return fmt.Errorf("the repository's URL is neither an absolute path on this host nor of a form restic knows: "+
			"rest:https://…, s3:…, sftp:user@host:/path, b2:, azure:, gs:, swift: or rclone:remote:path (its scheme is %.20q)", scheme)
	}
	return nil
}

// inherited is what restic takes over from the agent's own environment: where
// programs are found, where the user lives, and what the system needs to run one.
// Everything else is left behind; a stray RESTIC_* or AWS_* changes what restic
// does without a word.
func inherited() []string {
	names := []string{"PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"}
	if runtime.GOOS == "windows" {
		names = append(names, "SystemRoot", "SystemDrive", "windir", "PATHEXT", "ComSpec", "ProgramData", "USERPROFILE", "APPDATA", "LOCALAPPDATA")
	}
	var env []string
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// proxies is what the agent's environment says about the way to the network.
func proxies() (env []string) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// A redactor takes secrets out of text, in the forms they turn up in.
type redactor struct {
	forms    []string // longest first
	replacer *strings.Replacer
}

// shortest is how long a secret must be to be looked for: below, it is part of
// every other word, and to replace it would tell more than it hides.
const shortest = 4

func newRedactor(secrets []string) *redactor {
	var r redactor
	for _, s := range secrets {
		if len(s) < shortest {
			continue
		}
		quoted, _ := json.Marshal(s) // of a string: never fails
		_, user, _ := strings.Cut(url.UserPassword("", s).String(), ":")
		r.forms = append(r.forms, s, strings.TrimSpace(s), url.QueryEscape(s), url.PathEscape(s), user,
			string(quoted[1:len(quoted)-1]), strings.Trim(strconv.Quote(s), `"`), clean(s))
	}
	r.forms = slices.DeleteFunc(r.forms, func(s string) bool { return len(s) < shortest })
	slices.SortFunc(r.forms, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	r.forms = slices.Compact(r.forms)
	var pairs []string
	for _, f := range r.forms {
		pairs = append(pairs, f, "[redacted]")
	}
	r.replacer = strings.NewReplacer(pairs...)
	return &r
}

func (r *redactor) redact(text string) string { return r.replacer.Replace(text) }

// trim drops from the end of a text that was cut what may be the beginning of a
// secret.
func (r *redactor) trim(text string) string {
	for _, f := range r.forms {
		for n := min(len(f)-1, len(text)); n > 0; n-- {
			if strings.HasSuffix(text, f[:n]) {
				text = text[:len(text)-n]
				break
			}
		}
	}
	return text
}
