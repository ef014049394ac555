package web

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/topics"
)

// Limits of what a person may save. A command carries a whole source group and
// a whole repository, and has to fit one message of 64 KiB.
const (
	maxPaths    = 1000
	maxPathsLen = 32 << 10 // of paths and patterns together, as JSON
	maxURL      = 2000
	maxPassword = 1000
	maxEnvLen   = 8 << 10
)

// checkName says what is wrong with a name, "" if nothing is.
func checkName(what, name string, _, most int) string { return field.NameUpTo(what, name, most) }

// absolute reports whether a path is a full one on some system: /etc, C:\Users,
// \\server\share.
func absolute(p string) bool {
	if strings.HasPrefix(p, "/") || strings.HasPrefix(p, `\\`) {
		return true
	}
	return len(p) >= 3 && (p[0]|0x20 >= 'a' && p[0]|0x20 <= 'z') && p[1] == ':' && (p[2] == '\\' || p[2] == '/')
}

func checkPaths(paths []string) string {
	if len(paths) == 0 {
		return "Name at least one path to back up."
	}
	if len(paths) > maxPaths {
		return fmt.Sprintf("A source group has at most %d paths; these are %d. Name folders instead of files, or make a second group.", maxPaths, len(paths))
	}
	for _, p := range paths {
		switch {
		case strings.ContainsAny(p, "\x00\r\n") || !utf8.ValidString(p):
			return fmt.Sprintf("%.100q holds a line break, a NUL character or broken UTF-8. One path stands on one line.", p)
		case !absolute(p):
			return fmt.Sprintf(`%.100q is not a full path. Begin with / or, on Windows, with a drive such as C:\.`, p)
		}
	}
	return ""
}

func checkExcludes(paths, excludes []string) string {
	if len(excludes) > maxPaths {
		return fmt.Sprintf("A source group has at most %d patterns; these are %d.", maxPaths, len(excludes))
	}
	for _, p := range excludes {
		if strings.ContainsAny(p, "\x00\r\n") || !utf8.ValidString(p) || p == "" {
			return fmt.Sprintf("%.100q is empty, or holds a line break, a NUL character or broken UTF-8. One pattern stands on one line.", p)
		}
	}
	b, err := json.Marshal([][]string{paths, excludes})
	if err != nil || len(b) > maxPathsLen {
		return fmt.Sprintf("Paths and patterns have %d bytes together, and at most %d fit into a command. Name folders instead of files, or make a second group.", len(b), maxPathsLen)
	}
	return ""
}

// The forms of a repository's URL. They are the agent's own rules: a host that
// begins with a dash would be an option to ssh, and an rclone remote spelt out
// on the spot may name a program to run.
var (
	bucketForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*:`)
	rcloneForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+@ -]*:`)
	sftpForm   = regexp.MustCompile(`^(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?([A-Za-z0-9_][A-Za-z0-9_.-]*:.+)$`)
	hostForm   = regexp.MustCompile(`^[A-Za-z0-9_.-]*[A-Za-z0-9_.]$|^[0-9A-Fa-f:.]+$`)
)

const urlForms = "It is neither a full path on the host nor of a form restic knows: rest:https://…, s3:…, sftp:user@host:/path, b2:, azure:, gs:, swift:, rclone:remote:path or local:/path."

// checkURL says where a repository is, in a form without user and password, or
// what is wrong with its URL.
func checkURL(text string) (location, wrong string) {
	switch {
	case text == "":
		return "", "Say where the repository is."
	case len(text) > maxURL:
		return "", fmt.Sprintf("A repository's URL has at most %d characters.", maxURL)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return "", "A repository's URL has no control characters and no line breaks."
	case absolute(text):
		return text, ""
	}
	scheme, address, _ := strings.Cut(text, ":")
	ok := false
	switch scheme {
	case "local":
		ok = absolute(address)
		location = text
	case "rest", "s3":
		if scheme == "s3" && !strings.Contains(address, "://") {
			ok = address != "" && !strings.HasPrefix(address, "-") && !strings.ContainsAny(address, "@")
			location = text
			break
		}
		if u, err := url.Parse(address); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
			ok = true
			location = scheme + ":" + bare(u)
		}
	case "sftp":
		if !strings.HasPrefix(address, "//") {
			m := sftpForm.FindStringSubmatch(address)
			if ok = m != nil; ok {
				location = "sftp:" + m[1]
			}
			break
		}
		u, err := url.Parse(text)
		if ok = err == nil && hostForm.MatchString(u.Hostname()) && !strings.HasPrefix(u.Hostname(), "-") &&
			!strings.HasPrefix(u.User.Username(), "-") && strings.Trim(u.Path, "/") != ""; ok {
			location = bare(u)
		}
	case "b2", "azure", "gs", "swift":
		ok, location = bucketForm.MatchString(address), text
	case "rclone":
		ok, location = rcloneForm.MatchString(address), text
	}
	if !ok {
		return "", urlForms
	}
	return location, ""
}

// bare is a URL without whatever may be a credential.
func bare(u *url.URL) string {
	b := *u
	b.User, b.RawQuery, b.Fragment = nil, "", ""
	return b.String()
}

func checkPassword(p string) string {
	switch {
	case p == "":
		return "A repository has a password. Choose a new one for a new repository, or give the one it was made with."
	case len(p) > maxPassword:
		return fmt.Sprintf("A password has at most %d bytes.", maxPassword)
	case strings.ContainsAny(p, "\x00\r\n") || !utf8.ValidString(p):
		return "A password has no line break and no NUL character."
	}
	return ""
}

// variables are the credentials of backends, by restic's own names, that an
// agent takes. Nothing is here that names a program to run.
var variables = strings.Fields(`
	RESTIC_REST_USERNAME RESTIC_REST_PASSWORD RESTIC_CACERT RESTIC_TLS_CLIENT_CERT RESTIC_KEY_HINT
	AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_DEFAULT_REGION
	B2_ACCOUNT_ID B2_ACCOUNT_KEY
	AZURE_ACCOUNT_NAME AZURE_ACCOUNT_KEY AZURE_ACCOUNT_SAS AZURE_ENDPOINT_SUFFIX
	GOOGLE_PROJECT_ID GOOGLE_ACCESS_TOKEN GOOGLE_APPLICATION_CREDENTIALS
	OS_AUTH_URL OS_REGION_NAME OS_USERNAME OS_USER_ID OS_PASSWORD OS_TENANT_ID OS_TENANT_NAME OS_USER_DOMAIN_ID
	OS_USER_DOMAIN_NAME OS_PROJECT_NAME OS_PROJECT_DOMAIN_ID OS_PROJECT_DOMAIN_NAME OS_TRUST_ID
	OS_APPLICATION_CREDENTIAL_ID OS_APPLICATION_CREDENTIAL_NAME OS_APPLICATION_CREDENTIAL_SECRET OS_STORAGE_URL OS_AUTH_TOKEN
	ST_AUTH ST_USER ST_KEY RCLONE_CONFIG RCLONE_CONFIG_PASS`)

func checkEnv(env map[string]topics.Secret) string {
	total := 0
	for name, value := range env {
		v := value.Reveal()
		total += len(name) + len(v)
		switch {
		case !slices.Contains(variables, name):
			return fmt.Sprintf("%.60q is not a variable a repository may set. These are: %s.", name, strings.Join(variables, ", "))
		case strings.ContainsAny(v, "\x00\r\n") || !utf8.ValidString(v):
			return "The value of " + name + " holds a line break or a NUL character."
		}
	}
	if total > maxEnvLen {
		return fmt.Sprintf("The variables have %d bytes together; at most %d fit into a command.", total, maxEnvLen)
	}
	return ""
}
