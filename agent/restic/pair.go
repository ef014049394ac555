package restic

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// The variables that are no storage's own.
const (
	caCert     = "RESTIC_CACERT"
	clientCert = "RESTIC_TLS_CLIENT_CERT"
	keyHint    = "RESTIC_KEY_HINT"
)

// A side is one of two repositories of a restic, which has a variable of the environment
// once for both.
type side struct {
	Repository
	address location.Address
}

// sideOf prepares a repository that shares its restic: its login is in its URL, the one
// place where each has its own, and what means nothing to its kind of storage is left out.
func sideOf(r Repository) (side, error) {
	if err := location.CheckEnv(r.Env); err != nil {
		return side{}, err
	}
	r.URL, _ = location.JoinLogin(r.URL, r.Env)
	address, err := location.ParseHere(r.URL.Reveal())
	if err != nil {
		return side{}, err
	}
	env := map[string]topics.Secret{}
	for name, value := range r.Env {
		if value != "" && name != location.RESTUser && name != location.RESTPassword && location.GoesWith(name, address.Scheme()) {
			env[name] = value
		}
	}
	r.Env = env
	return side{Repository: r, address: address}, nil
}

// A SharedError says why restic cannot open two repositories at once.
type SharedError = location.SharedError

// both is together for repositories with files that are to be written, into a run's own
// directory. ssh are those whose servers are reached by ssh, one for each server.
func both(to, from Repository, v Version, dir string) (a access, ssh []Repository, err error) {
	var secrets []string
	sides := []Repository{to, from}
	for i, r := range sides {
		one, err := r.access(v)
		if err != nil {
			return a, ssh, err
		}
		secrets = append(secrets, one.secrets...)
		if sides[i], err = r.written(dir); err != nil {
			return a, ssh, err
		}
	}
	if a, err = together(sides[0], sides[1], v); err != nil {
		return a, ssh, err
	}
	a.secrets = append(a.secrets, secrets...)
	first, is := to.sftp()
	second, too := from.sftp()
	first.Dir, second.Dir = "", ""
	if is {
		ssh = append(ssh, to)
	}
	if too && !(is && first == second) {
		ssh = append(ssh, from)
	}
	if len(ssh) > 1 && !v.Has(since.SSHArgs) {
		return a, nil, &SharedError{Variable: "ssh command", Scheme: "sftp"}
	}
	return a, ssh, nil
}

// written is the repository with its files in a directory, named by what is in them: two that
// have the same one name the same file.
func (r Repository) written(dir string) (Repository, error) {
	env := maps.Clone(r.Env)
	if env == nil {
		env = map[string]topics.Secret{}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		content := []byte(r.Files[name].Reveal())
		sum := sha256.Sum256(content)
		path := filepath.Join(dir, fmt.Sprintf("%s-%x", strings.ToLower(name), sum[:8]))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return r, fmt.Errorf("write a file of the repository's for restic: %w", err)
		}
		env[name] = topics.Secret(path)
	}
	r.Env, r.Files = env, nil
	return r, nil
}

// together says how to hand two repositories to one restic of version v: to is the one it
// works in, from the one it takes something from. It returns a *SharedError if restic
// cannot have the credentials of both.
func together(to, from Repository, v Version) (access, error) {
	t, err := sideOf(to)
	if err != nil {
		return access{}, err
	}
	f, err := sideOf(from)
	if err != nil {
		return access{}, err
	}
	hint := f.Env[keyHint]
	delete(f.Env, keyHint)
	var roots []string
	for _, s := range []side{t, f} {
		if files := s.Env[caCert].Reveal(); files != "" && s.address.TLS() {
			roots = append(roots, strings.Split(files, ",")...)
		}
	}
	if len(roots) > 0 && (t.address.TLS() && t.Env[caCert] == "" || f.address.TLS() && f.Env[caCert] == "") {
		if system := systemRoots(); system != "" { // with a file of its own restic trusts nobody else
			roots = append(roots, system)
		}
	}
	for _, s := range []side{t, f} {
		delete(s.Env, caCert)
		if !s.address.TLS() {
			delete(s.Env, clientCert)
		}
	}
	type login = location.Login[topics.Secret]
	if err := location.Together(t.address, f.address, login{Env: t.Env}, login{Env: f.Env}); err != nil {
		return access{}, err
	}
	a, err := t.access(v)
	if err != nil {
		return access{}, err
	}
	b, err := f.access(v)
	if err != nil {
		return access{}, fmt.Errorf("the repository it copies from: %w", err)
	}
	for _, flag := range slices.Compact(roots) {
		a.flags = append(a.flags, "--cacert", flag)
	}
	for i := 0; i+1 < len(b.flags); i += 2 { // of an option that both have, that of the one it works in counts
		name := flagName(b.flags[i], b.flags[i+1])
		had := false
		for k := 0; k+1 < len(a.flags); k += 2 {
			had = had || flagName(a.flags[k], a.flags[k+1]) == name
		}
		if !had {
			a.flags = append(a.flags, b.flags[i], b.flags[i+1])
		}
	}
	for _, v := range b.env {
		name, value, _ := strings.Cut(v, "=")
		switch name {
		case "RESTIC_REPOSITORY", "RESTIC_PASSWORD":
			a.env = append(a.env, strings.Replace(name, "RESTIC_", "RESTIC_FROM_", 1)+"="+value)
		default:
			a.env = append(a.env, v)
		}
	}
	if hint != "" {
		a.env = append(a.env, "RESTIC_FROM_KEY_HINT="+hint.Reveal())
	}
	slices.Sort(a.env)
	a.env = slices.Compact(a.env)
	a.shown = cmp.Or(b.shown, "?") + " to " + a.shown
	a.bare, a.secrets = append(a.bare, b.bare...), append(a.secrets, b.secrets...)
	return a, nil
}

// flagName tells flags apart: options by their own names.
func flagName(flag, value string) string {
	if flag == "-o" {
		option, _, _ := strings.Cut(value, "=")
		return option
	}
	return flag
}

// systemRoots is the file with the certificates that this system trusts, "" if it is none
// of the usual ones.
func systemRoots() string {
	for _, path := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
		"/etc/ssl/cert.pem"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}
