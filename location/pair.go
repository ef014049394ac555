package location

import "strings"

// ofScheme says with which kind of storage each variable of a repository goes, by how
// its name begins.
var ofScheme = []struct{ prefix, scheme string }{
	{"AWS_", "s3"}, {"B2_", "b2"}, {"AZURE_", "azure"}, {"GOOGLE_", "gs"}, {"OS_", "swift"}, {"ST_", "swift"}, {"RCLONE_", "rclone"},
	{"RESTIC_REST_", "rest"},
}

// The variables that two repositories of one restic each have for themselves.
const (
	keyHint = "RESTIC_KEY_HINT"
	ownCert = "RESTIC_TLS_CLIENT_CERT"
)

// GoesWith reports whether a variable means anything to a kind of storage.
func GoesWith(variable, scheme string) bool {
	for _, v := range ofScheme {
		if strings.HasPrefix(variable, v.prefix) {
			return v.scheme == scheme
		}
	}
	return true
}

// TLS reports whether restic itself speaks TLS with the storage.
func (a Address) TLS() bool {
	switch a.Scheme() {
	case Local, "sftp", "rclone":
		return false
	case "rest", "s3":
		u := a.URL()
		return u == nil || u.Scheme == "https"
	}
	return true
}

// A Login is how a repository is opened: variables, and what is in the files that some name.
type Login[S ~string] struct{ Env, Files map[string]S }

// value is what a variable says; of a file that is pasted, what is in it.
func (l Login[S]) value(variable string) string {
	if file, pasted := l.Files[variable]; pasted && file != "" {
		return "the file " + string(file)
	}
	return string(l.Env[variable])
}

// SharedError says why restic cannot open two repositories at once: it has one variable
// for both, and they need two.
type SharedError struct{ Variable, Scheme string }

// Error implements error.
func (e *SharedError) Error() string {
	what := "one " + e.Variable + " for both"
	switch e.Scheme {
	case "rclone":
		return "restic has " + what + " repositories, and these two need different ones. Put both remotes into one file of rclone's and name " +
			"that in both."
	case "":
		return "restic has " + what + " repositories, and these two need different ones."
	}
	return "restic has " + what + " repositories, and these two of the kind " + e.Scheme + " need different ones. Use credentials that may " +
		"read the one and write the other, or reach one of them another way, as by rclone with its own settings."
}

// Together returns a *SharedError if restic cannot have two repositories open at once, since
// both would have one variable of its environment. A login that is in a URL is each one's own,
// and the authorities that it trusts are those of both.
func Together[S ~string](a, b Address, as, bs Login[S]) error {
	if a.TLS() && b.TLS() {
		if x, y := as.value(ownCert), bs.value(ownCert); x != "" && y != "" && x != y {
			return &SharedError{Variable: ownCert}
		}
	}
	if a.Scheme() != b.Scheme() {
		return nil
	}
	for _, v := range Variables {
		switch v.Name {
		case ownCert, keyHint, CACert, RESTUser, RESTPassword:
			continue
		}
		if GoesWith(v.Name, a.Scheme()) && as.value(v.Name) != bs.value(v.Name) {
			return &SharedError{Variable: v.Name, Scheme: a.Scheme()}
		}
	}
	return nil
}
