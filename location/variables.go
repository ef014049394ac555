package location

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxEnv is how many bytes names and values of a repository's variables may have
// together: they are part of a command, which has to fit one message.
const MaxEnv = 8 << 10

// A Variable is an environment variable that holds a credential of a backend, by
// restic's own name.
type Variable struct {
	Name   string
	Secret bool   // its value is never shown
	Place  bool   // its value is part of where the data lies, see Pin
	Who    bool   // its value says who we are there, and so which of several places it is, see Identity
	File   bool   // its value is the path of a file on the host, whose administrator says which
	Config bool   // that file is a configuration, which may name programs to run
	Flag   string // the flag that takes its place for restic before 0.16
}

// Variables are all that a repository may set. None of them names a program to
// run: there is no RESTIC_PASSWORD_COMMAND, no RCLONE_PASSWORD_COMMAND, no AZURE_FORCE_CLI_CREDENTIAL. Pins list those with
// Place in this order. A profile of AWS may name one (credential_process), so there is one
// only of a file that the host's administrator allows.
//
// Each is one of these: a secret; a part of the place; who we are there, where that
// decides which place it is; a file of the host's; or half of a login that leads to the
// same place whoever has it (names of buckets are unique in all of AWS, B2 and Google, a
// REST server's path is everybody's), which would otherwise keep a key from being changed.
var Variables = []Variable{
	{Name: RESTUser},
	{Name: RESTPassword, Secret: true},
	{Name: "RESTIC_CACERT", File: true, Flag: "--cacert"},
	{Name: "RESTIC_TLS_CLIENT_CERT", File: true, Flag: "--tls-client-cert"},
	{Name: "RESTIC_KEY_HINT"},
	{Name: "AWS_ACCESS_KEY_ID"},
	{Name: "AWS_SECRET_ACCESS_KEY", Secret: true},
	{Name: "AWS_SESSION_TOKEN", Secret: true},
	{Name: "AWS_DEFAULT_REGION", Who: true},
	{Name: awsFile, File: true, Config: true},
	{Name: awsProfile},
	{Name: "B2_ACCOUNT_ID"},
	{Name: "B2_ACCOUNT_KEY", Secret: true},
	{Name: "AZURE_ACCOUNT_NAME", Place: true},
	{Name: "AZURE_ACCOUNT_KEY", Secret: true},
	{Name: "AZURE_ACCOUNT_SAS", Secret: true},
	{Name: "AZURE_ENDPOINT_SUFFIX", Place: true},
	{Name: "GOOGLE_PROJECT_ID"},
	{Name: "GOOGLE_ACCESS_TOKEN", Secret: true},
	{Name: "GOOGLE_APPLICATION_CREDENTIALS", File: true, Config: true},
	{Name: "OS_AUTH_URL", Place: true},
	{Name: "OS_REGION_NAME", Who: true},
	{Name: "OS_USERNAME", Who: true},
	{Name: "OS_USER_ID", Who: true},
	{Name: "OS_PASSWORD", Secret: true},
	{Name: "OS_TENANT_ID", Who: true},
	{Name: "OS_TENANT_NAME", Who: true},
	{Name: "OS_USER_DOMAIN_ID", Who: true},
	{Name: "OS_USER_DOMAIN_NAME", Who: true},
	{Name: "OS_PROJECT_NAME", Who: true},
	{Name: "OS_PROJECT_DOMAIN_ID", Who: true},
	{Name: "OS_PROJECT_DOMAIN_NAME", Who: true},
	{Name: "OS_TRUST_ID", Who: true},
	{Name: "OS_APPLICATION_CREDENTIAL_ID", Who: true},
	{Name: "OS_APPLICATION_CREDENTIAL_NAME", Who: true},
	{Name: "OS_APPLICATION_CREDENTIAL_SECRET", Secret: true},
	{Name: "OS_STORAGE_URL", Place: true},
	{Name: "OS_AUTH_TOKEN", Secret: true},
	{Name: "ST_AUTH", Place: true},
	{Name: "ST_USER", Who: true},
	{Name: "ST_KEY", Secret: true},
	{Name: "RCLONE_CONFIG", File: true, Config: true},
	{Name: "RCLONE_CONFIG_PASS", Secret: true},
}

const (
	awsFile    = "AWS_SHARED_CREDENTIALS_FILE"
	awsProfile = "AWS_PROFILE"
)

// Find returns the variable of a name, and whether there is one.
func Find(name string) (Variable, bool) {
	i := slices.IndexFunc(Variables, func(v Variable) bool { return v.Name == name })
	if i < 0 {
		return Variable{}, false
	}
	return Variables[i], true
}

// Names are the names of all Variables.
func Names() []string {
	names := make([]string, len(Variables))
	for i, v := range Variables {
		names[i] = v.Name
	}
	return names
}

// CheckEnv refuses variables a repository may not set, and values restic cannot be
// given. The error is an Error.
func CheckEnv[S ~string](env map[string]S) error {
	total := 0
	for _, name := range slices.Sorted(maps.Keys(env)) {
		v := string(env[name])
		total += len(name) + len(v)
		if _, ok := Find(name); !ok {
			return Error(fmt.Sprintf("%.60q is not a variable a repository may set. These are: %s.", name, strings.Join(Names(), ", ")))
		}
		if strings.ContainsAny(v, "\x00\r\n") || !utf8.ValidString(v) {
			return Error("The value of " + name + " holds a line break or a NUL character.")
		}
	}
	if env[awsProfile] != "" && env[awsFile] == "" {
		return Error(awsProfile + " is of a file that " + awsFile + " names, and nothing is named there. Name it, such as " +
			"/root/.aws/credentials; the host's administrator allows it there.")
	}
	if total > MaxEnv {
		return Error(fmt.Sprintf("The variables have %d bytes together; at most %d fit into a command.", total, MaxEnv))
	}
	return nil
}
