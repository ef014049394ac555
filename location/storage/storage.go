// Package storage knows the kinds of storage as people have them: the fields that each has,
// by their usual names, the address that restic takes which they make, and which kind an
// address is of.
//
// An address is taken apart only if the fields make the same one again, byte for byte. What
// does not fit is of the kind Other, whose one field is the address itself, so nothing that
// is known of a repository is lost by opening its form.
package storage

import (
	"maps"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/location"
)

// A Kind is a kind of storage. But for Other, it is restic's scheme.
type Kind string

// The kinds.
const (
	Local  Kind = location.Local
	REST   Kind = "rest"
	S3     Kind = "s3"
	B2     Kind = "b2"
	Azure  Kind = "azure"
	GCS    Kind = "gs"
	Swift  Kind = "swift"
	SFTP   Kind = "sftp"
	Rclone Kind = "rclone"
	Other  Kind = "other" // anything: an address and variables
)

// Names of fields that several kinds have.
const (
	Address  = "address"
	Path     = "path"
	Endpoint = "endpoint"
	Bucket   = "bucket"
	User     = "user"
	Host     = "host"
	Port     = "port"
	Remote   = "remote"
)

// A Field is a part of an address, or a variable of restic's that goes with it.
type Field struct {
	Name     string // a name of above, or the variable's
	Label    string
	Hint     string // what a person has to know to fill it in, "" for nothing
	Example  string
	Optional bool
	Secret   bool // it is never shown
	Rare     bool // most people have no use for it
}

// A Description is a kind with its fields.
type Description struct {
	Kind   Kind
	Name   string // as people call it
	Note   string // "" for none
	Place  []Field
	Access []Field // variables of restic's
}

// OverHTTP reports whether its server may show a certificate, and ask for one.
func (d Description) OverHTTP() bool { return !slices.Contains([]Kind{Local, SFTP, Rclone}, d.Kind) }

// Kinds are all there are, in the order in which they are offered.
func Kinds() []Description { return slices.Clone(kinds) }

const (
	inPath = "{host} in it stands for the host's name, and gives each host its own repository."
	aFile  = "Its path on the host, whose administrator allows it there."
)

var kinds = []Description{
	{REST, "REST server", "rest-server, or rclone serve restic. Best with --append-only for the everyday credential.",
		[]Field{
			{Name: Address, Label: "Server", Example: "https://nas.example.net:8000", Hint: "With http:// if it has no certificate."},
			{Name: Path, Label: "Path", Example: "attic/{host}", Optional: true,
				Hint: "With private repositories it begins with the user. " + inPath},
		},
		[]Field{
			{Name: location.RESTUser, Label: "User", Optional: true},
			{Name: location.RESTPassword, Label: "Password", Optional: true, Secret: true},
		}},
	{S3, "S3 and compatible", "Amazon S3, MinIO, Ceph, Wasabi, Garage, Hetzner, Cloudflare R2 and others.",
		[]Field{
			{Name: Endpoint, Label: "Endpoint", Example: "s3.eu-central-1.amazonaws.com", Optional: true,
				Hint: "Empty is Amazon's. With http:// if it has no certificate, as in http://minio:9000."},
			{Name: Bucket, Label: "Bucket", Example: "backups"},
			{Name: Path, Label: "Path in the bucket", Example: "attic/{host}", Optional: true, Hint: inPath},
		},
		[]Field{
			{Name: "AWS_DEFAULT_REGION", Label: "Region", Example: "eu-central-1", Optional: true},
			{Name: "AWS_ACCESS_KEY_ID", Label: "Access key ID", Optional: true,
				Hint: "Leave both keys empty if the host has a role of its own (an instance role) or a profile."},
			{Name: "AWS_SECRET_ACCESS_KEY", Label: "Secret access key", Optional: true, Secret: true},
			{Name: "AWS_SESSION_TOKEN", Label: "Session token", Optional: true, Secret: true, Rare: true},
			{Name: "AWS_SHARED_CREDENTIALS_FILE", Label: "Credentials file on the host", Example: "/root/.aws/credentials", Optional: true,
				Rare: true, Hint: "In place of the keys. " + aFile},
			{Name: "AWS_PROFILE", Label: "Profile in that file", Example: "backup", Optional: true, Rare: true},
		}},
	{B2, "Backblaze B2", "An application key of its own for this bucket, without deleteFiles for the everyday credential.",
		[]Field{
			{Name: Bucket, Label: "Bucket", Example: "backups"},
			{Name: Path, Label: "Path in the bucket", Example: "attic/{host}", Optional: true, Hint: inPath},
		},
		[]Field{
			{Name: "B2_ACCOUNT_ID", Label: "Key ID", Optional: true},
			{Name: "B2_ACCOUNT_KEY", Label: "Application key", Optional: true, Secret: true},
		}},
	{Azure, "Azure Blob Storage", "",
		[]Field{
			{Name: Bucket, Label: "Container", Example: "backups"},
			{Name: Path, Label: "Path in the container", Example: "/attic/{host}", Optional: true, Hint: inPath},
		},
		[]Field{
			{Name: "AZURE_ACCOUNT_NAME", Label: "Account name", Optional: true},
			{Name: "AZURE_ACCOUNT_KEY", Label: "Account key", Optional: true, Secret: true},
			{Name: "AZURE_ACCOUNT_SAS", Label: "SAS token", Optional: true, Secret: true,
				Hint: "In place of the account key; it may leave out deleting."},
			{Name: "AZURE_ENDPOINT_SUFFIX", Label: "Endpoint suffix", Example: "core.windows.net", Optional: true, Rare: true},
		}},
	{GCS, "Google Cloud Storage", "",
		[]Field{
			{Name: Bucket, Label: "Bucket", Example: "backups"},
			{Name: Path, Label: "Path in the bucket", Example: "/attic/{host}", Optional: true, Hint: inPath},
		},
		[]Field{
			{Name: "GOOGLE_PROJECT_ID", Label: "Project ID", Optional: true, Hint: "Needed only to make a bucket that is not there yet."},
			{Name: "GOOGLE_APPLICATION_CREDENTIALS", Label: "Service account file on the host", Example: "/etc/restic/gcs.json", Optional: true,
				Rare: true, Hint: aFile},
			{Name: "GOOGLE_ACCESS_TOKEN", Label: "Access token", Optional: true, Secret: true, Rare: true},
		}},
	{SFTP, "SFTP", "The agent logs in with a key of its host, never with a password; nothing is stored here.",
		[]Field{
			{Name: User, Label: "User", Example: "backup", Optional: true},
			{Name: Host, Label: "Server", Example: "nas.example.net", Hint: "Or a name from the ssh_config of the agent's user."},
			{Name: Port, Label: "Port", Example: "22", Optional: true},
			{Name: Path, Label: "Path", Example: "/srv/backups/{host}",
				Hint: "Without a / at its beginning it is below the user's home. " + inPath},
		}, nil},
	{Swift, "OpenStack Swift", "",
		[]Field{
			{Name: Bucket, Label: "Container", Example: "backups"},
			{Name: Path, Label: "Path in the container", Example: "/attic/{host}", Optional: true, Hint: inPath},
		},
		[]Field{
			{Name: "OS_AUTH_URL", Label: "Auth URL", Optional: true},
			{Name: "OS_REGION_NAME", Label: "Region", Optional: true},
			{Name: "OS_USERNAME", Label: "User", Optional: true},
			{Name: "OS_PASSWORD", Label: "Password", Optional: true, Secret: true},
			{Name: "OS_USER_DOMAIN_NAME", Label: "User's domain", Optional: true},
			{Name: "OS_PROJECT_NAME", Label: "Project", Optional: true},
			{Name: "OS_PROJECT_DOMAIN_NAME", Label: "Project's domain", Optional: true},
			{Name: "OS_APPLICATION_CREDENTIAL_ID", Label: "Application credential ID", Optional: true, Rare: true},
			{Name: "OS_APPLICATION_CREDENTIAL_SECRET", Label: "Application credential secret", Optional: true, Secret: true, Rare: true},
		}},
	{Rclone, "rclone", "The remote is one that rclone on the host knows: rclone listremotes shows them.",
		[]Field{
			{Name: Remote, Label: "Remote", Example: "drive"},
			{Name: Path, Label: "Path", Example: "backups/{host}", Optional: true, Hint: inPath},
		},
		[]Field{
			{Name: "RCLONE_CONFIG", Label: "Configuration file", Example: "/root/.config/rclone/rclone.conf", Optional: true, Rare: true,
				Hint: aFile},
			{Name: "RCLONE_CONFIG_PASS", Label: "Password of the configuration", Optional: true, Secret: true, Rare: true},
		}},
	{Local, "Local disk", "A folder on the host, or a disk that is mounted there. Whoever can write there can delete there; what stays in " +
		"the machine is lost with it.",
		[]Field{
			{Name: Path, Label: "Folder", Example: "/srv/backups",
				Hint: "Its full path on the host. Each host has its own disk, so this is another " +
					"repository on each."},
		}, nil},
	{Other, "Other: URL and variables", "What restic takes in --repo and in its environment.",
		[]Field{{Name: Address, Label: "URL", Example: "rest:https://nas.example.net:8000/attic", Hint: "A full path on the host, " +
			"or what restic's --repo takes, seen from the hosts. " + inPath}}, nil},
}

// common are the variables that a repository of any kind may have beside its own: they say
// nothing of who we are there, and have a place of their own where they are asked for.
var common = []string{"RESTIC_CACERT", "RESTIC_TLS_CLIENT_CERT", "RESTIC_KEY_HINT"}

// Find returns a kind with its fields, and whether there is one of this name.
func Find(k Kind) (Description, bool) {
	i := slices.IndexFunc(kinds, func(d Description) bool { return d.Kind == k })
	if i < 0 {
		return Description{}, false
	}
	return kinds[i], true
}

// Has reports whether a variable is one of a kind's fields. Other has all that there are.
func (d Description) Has(variable string) bool {
	if d.Kind == Other {
		_, known := location.Find(variable)
		return known
	}
	return slices.ContainsFunc(d.Access, func(f Field) bool { return f.Name == variable })
}

// Fits reports whether a kind has a field for each of the variables.
func (d Description) Fits(variables ...string) bool {
	return !slices.ContainsFunc(variables, func(name string) bool { return !d.Has(name) && !slices.Contains(common, name) })
}

// Of returns the kind of a repository and the fields of its address: of the address and all
// variables that go with it.
func Of[S ~string](address S, env ...map[string]S) (Kind, Values) {
	kind, v := TakeApart(string(address))
	d, _ := Find(kind)
	for _, e := range env {
		if !d.Fits(slices.Collect(maps.Keys(e))...) {
			return Other, Values{Address: string(address)}
		}
	}
	return kind, v
}

// Lines are the variables of a credential as a person writes them, one a line. Of a secret
// there is nothing behind its name.
func Lines[S ~string](env map[string]S) string {
	var b strings.Builder
	for _, v := range location.Variables {
		value, there := env[v.Name]
		switch {
		case !there || slices.Contains(common, v.Name):
		case v.Secret:
			b.WriteString(v.Name + "=\n")
		default:
			b.WriteString(v.Name + "=" + string(value) + "\n")
		}
	}
	return b.String()
}

// ParseLines reads what Lines writes. kept are the secrets with nothing behind their names:
// they stay as they are. The error is a location.Error.
func ParseLines(text string) (env map[string]string, kept []string, err error) {
	env = map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		name, value = strings.TrimSpace(name), unquoted(strings.TrimSpace(value))
		v, known := location.Find(name)
		switch {
		case !ok:
			return nil, nil, location.Error("Each line is a variable: NAME=VALUE.")
		case !known:
			return nil, nil, location.CheckEnv(map[string]string{name: ""})
		case value == "" && v.Secret:
			kept = append(kept, name)
		default:
			env[name] = value
		}
	}
	return env, kept, nil
}

// unquoted is a value as a shell would take it that is quoted as a whole.
func unquoted(value string) string {
	if n := len(value); n >= 2 && (value[0] == '\'' || value[0] == '"') && value[n-1] == value[0] &&
		!strings.ContainsAny(value[1:n-1], `'"\$`) {
		return value[1 : n-1]
	}
	return value
}
