package restic

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// A Repository says where restic keeps the data and how to get in. URL is an
// address as package location parses it, and may hold user and password. Env
// holds credentials of the backend; only location.Variables are taken. Files are contents of
// files that such variables name; each run has them in its own directory, and nothing else
// writes them. Options are some of location.Options.
type Repository struct {
	URL      topics.Secret
	Password topics.Secret
	Env      map[string]topics.Secret
	Files    map[string]topics.Secret
	Options  map[string]string
	Hide     []topics.Secret // what else no log may show: passwords of other keys
}

// access is a repository prepared for one version of restic.
type access struct {
	env     []string // secrets among it
	flags   []string // before every command line; no secrets
	shown   string   // the URL without its password, for people
	bare    []string // forms of the location as they turn up in restic's and its helpers' messages
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
	for _, hidden := range r.Hide {
		a.secrets = append(a.secrets, hidden.Reveal())
	}
	if err := errors.Join(location.CheckEnv(r.Env), location.CheckPasted(r.Files, r.Env)); err != nil {
		return access{}, err
	}
	address, err := location.ParseHere(r.URL.Reveal())
	if err != nil {
		return access{}, err
	}
	at := r.URL
	if joined, did := location.JoinLogin(at, r.Env); did && !v.Has(since.LoginByVariable) { // these take the login from nowhere but the URL
		if address, err = location.ParseHere(joined.Reveal()); err != nil {
			return access{}, err
		}
		at = joined
	}
	env := map[string]string{}
	for _, variable := range location.Variables {
		secret, ok := r.Env[variable.Name]
		if !ok {
			continue
		}
		value := secret.Reveal()
		if variable.Secret {
			a.secrets = append(a.secrets, value)
		}
		switch {
		case variable.Flag != "" && !v.Has(since.FilesByVariable):
			if value != "" {
				a.flags = append(a.flags, variable.Flag, value)
			}
		case (variable.Name == location.RESTUser || variable.Name == location.RESTPassword) && !v.Has(since.LoginByVariable):
		default:
			env[variable.Name] = value
		}
	}
	for name, file := range r.Files {
		if name == location.CACert {
			continue // everybody may see it
		}
		for line := range strings.Lines(file.Reveal()) { // that is how one would turn up
			if line = strings.TrimSpace(line); len(line) > 30 && !strings.HasPrefix(line, "-----") {
				a.secrets = append(a.secrets, line)
			}
		}
	}
	options, _ := r.options(v, address.Scheme())
	a.flags = append(a.flags, options...)
	if address.Scheme() == "s3" && r.Env["AWS_ACCESS_KEY_ID"] == "" { // a role that the machine has by itself
		for _, name := range awsRole {
			if value := os.Getenv(name); value != "" {
				env[name] = value
			}
		}
	}
	a.shown = location.Shown(at)
	if u := address.URL(); u != nil {
		if password, ok := u.User.Password(); ok {
			a.secrets = append(a.secrets, password, secretPart(u))
		}
		redacted, at := u.Redacted(), u.Host+u.Path
		u.User = nil
		a.bare = append(a.bare, redacted, strings.ReplaceAll(redacted, ":xxxxx@", ":***@"), u.String(), at, u.Path, strings.TrimLeft(u.Path, "/"))
	} else {
		a.bare = append(a.bare, address.Rest())
		if _, path, ok := strings.Cut(address.Rest(), ":"); ok && address.Scheme() != location.Local { // after a host, remote or bucket
			a.bare = append(a.bare, path, strings.TrimLeft(path, "/"))
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
	env["RESTIC_REPOSITORY"] = at.Reveal()
	env["RESTIC_PASSWORD"] = r.Password.Reveal()
	for name, value := range env {
		a.env = append(a.env, name+"="+value)
	}
	slices.Sort(a.env)
	return a, nil
}

// awsRole are the variables by which AWS tells a container or a pod of its role. The agent
// has them of its host; no repository sets them.
var awsRole = []string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_REGION",
	"AWS_EC2_METADATA_DISABLED"}

// options are the flags for the repository's options that restic of version v knows, and
// sentences about those that it is not given.
func (r Repository) options(v Version, scheme string) (flags, without []string) {
	for _, name := range slices.Sorted(maps.Keys(r.Options)) {
		o, known := location.FindOption(name)
		value := r.Options[name]
		switch {
		case !known:
			without = append(without, fmt.Sprintf("this agent does not know the option %.60q of the repository and leaves it out: update the agent",
				name))
		case o.SSH != "": // ssh is told, not restic
		case o.Scheme() != scheme: // from before its address was changed
		case o.Takes(value) != "":
			without = append(without, "an option of the repository is left out: "+o.Takes(value))
		case !v.Has(o.Since):
			without = append(without, fmt.Sprintf("restic %s does not know the option %s=%s of the repository and goes on without it: "+
				"restic %s does", v, name, value, o.Since.Since))
		default:
			flags = append(flags, "-o", name+"="+value)
		}
	}
	return flags, without
}

// Foregone says in sentences what of a repository's options and of how a group is backed up
// restic of version v is not told, because it does not know it.
func Foregone(v Version, r Repository, t topics.Tuning) []string {
	address, err := location.ParseHere(r.URL.Reveal())
	if err != nil {
		return nil
	}
	_, without := r.options(v, address.Scheme())
	_, left := tuning(v, t)
	return append(without, left...)
}

// paste writes the repository's files into a run's own directory and says how restic of
// version v is told of them.
func (r Repository) paste(v Version, dir string) (env, flags []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		path := filepath.Join(dir, strings.ToLower(name))
		if err := os.WriteFile(path, []byte(r.Files[name].Reveal()), 0o600); err != nil {
			return nil, nil, fmt.Errorf("write a file of the repository's for restic: %w", err)
		}
		variable, _ := location.Find(name)
		if variable.Flag != "" && !v.Has(since.FilesByVariable) {
			flags = append(flags, variable.Flag, path)
		} else {
			env = append(env, name+"="+path)
		}
	}
	return env, flags, nil
}

// secretPart returns the password of u as it is written in the URL.
func secretPart(u *url.URL) string {
	_, password, _ := strings.Cut(u.User.String(), ":")
	return password
}

// proxies returns the proxy variables of the agent's environment.
func proxies() (env []string) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// A redactor removes secrets from text, in all the encodings they may appear in.
type redactor struct {
	forms    []string // longest first
	replacer *strings.Replacer
}

// shortest is the minimum length of a secret to look for: a shorter one is part of
// many words, and replacing those would reveal it.
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

// trim removes what may be the beginning of a secret from the end of a text that was
// cut.
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
