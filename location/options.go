package location

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/since"
)

// An Option is one of restic's extended options (-o NAME=VALUE) that a repository may have.
type Option struct {
	Name   string   // as restic has it: "s3.connections"
	Label  string   // as a form says it
	Words  string   // what it does
	Values []string // what it may be; none is a number from Min to Max, or a time
	Min    int
	Max    int
	Time   bool          // of a number that is followed by s or m
	Since  since.Feature // the first restic that knows it; zero is any that we run
	SSH    string        // ssh's own name of what is told ssh and not restic
}

// Options are all that a repository may have. Each is a number, a word of a list or a time:
// none names a program, a file, a place, or whom we are there. So sftp.command, sftp.args,
// rclone.program and rclone.args are none, and neither are the regions (AWS_DEFAULT_REGION
// says that of S3, which pins know) or the layouts, which restic finds by itself.
var Options = slices.Concat(
	connections("rest", "s3", "sftp", "b2", "azure", "gs", "swift", "rclone", Local),
	[]Option{
		{Name: "s3.storage-class", Label: "Storage class", Words: "of what is written from now on; classes from which nothing is read at once " +
			"are none of these, since restic reads what it wrote",
			Values: []string{"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "REDUCED_REDUNDANCY", "GLACIER_IR"}},
		{Name: "s3.bucket-lookup", Label: "How the bucket is named", Words: "dns as part of the server's name, path as part of the path",
			Values: []string{"auto", "dns", "path"}},
		{Name: "s3.list-objects-v1", Label: "List objects by version 1", Words: "for servers that know no other",
			Values: []string{"true", "false"}},
		{Name: "s3.retries", Label: "Retries", Words: "how often a request is tried again", Min: 1, Max: 20},
		{Name: "s3.unsafe-anonymous-auth", Label: "Without any login", Words: "for a bucket that everybody may read",
			Values: []string{"true", "false"}, Since: since.Anonymous},
		{Name: "azure.access-tier", Label: "Access tier", Words: "of what is written from now on", Values: []string{"Hot", "Cool", "Cold"},
			Since: since.AccessTier},
		{Name: "sftp.server-alive-interval", Label: "Seconds until the server is asked", Words: "after so many without a word ssh " +
			"asks whether it is still there, and gives up when that is not answered", Min: 5, Max: 3600, SSH: "ServerAliveInterval"},
		{Name: "sftp.server-alive-count", Label: "Questions without an answer", Words: "after so many ssh gives up", Min: 1, Max: 240,
			SSH: "ServerAliveCountMax"},
		{Name: "sftp.connect-timeout", Label: "Seconds to connect", Words: "as long as a server may take that has to wake up", Min: 1, Max: 600,
			SSH: "ConnectTimeout"},
		{Name: "sftp.ip", Label: "Addresses", Words: "inet is IPv4 alone, inet6 IPv6 alone", Values: []string{"any", "inet", "inet6"},
			SSH: "AddressFamily"},
		{Name: "rclone.timeout", Label: "Time that rclone has to begin", Words: "as in 90s or 5m", Min: 1, Max: 999, Time: true},
	},
)

func connections(schemes ...string) (all []Option) {
	for _, scheme := range schemes {
		all = append(all, Option{Name: scheme + ".connections", Label: "Connections", Words: "at once, at most", Min: 1, Max: 100})
	}
	return all
}

// Scheme is the kind of storage that an option is of.
func (o Option) Scheme() string {
	scheme, _, _ := strings.Cut(o.Name, ".")
	return scheme
}

// FindOption returns the option of a name, and whether there is one.
func FindOption(name string) (Option, bool) {
	i := slices.IndexFunc(Options, func(o Option) bool { return o.Name == name })
	if i < 0 {
		return Option{}, false
	}
	return Options[i], true
}

// OptionsOf are the options of a kind of storage.
func OptionsOf(scheme string) (all []Option) {
	for _, o := range Options {
		if o.Scheme() == scheme {
			all = append(all, o)
		}
	}
	return all
}

var number = regexp.MustCompile(`^[1-9][0-9]{0,3}$`)

// Takes says in a sentence why an option cannot have a value, "" if it can.
func (o Option) Takes(value string) string {
	if len(o.Values) > 0 {
		if slices.Contains(o.Values, value) {
			return ""
		}
		return fmt.Sprintf("%s is one of %s.", o.Name, strings.Join(o.Values, ", "))
	}
	digits, unit := value, ""
	if o.Time && value != "" {
		digits, unit = value[:len(value)-1], value[len(value)-1:]
	}
	n, err := strconv.Atoi(digits)
	if err == nil && number.MatchString(digits) && n >= o.Min && n <= o.Max && (!o.Time || unit == "s" || unit == "m") {
		return ""
	}
	if o.Time {
		return fmt.Sprintf("%s is a time from %ds to %dm.", o.Name, o.Min, o.Max)
	}
	return fmt.Sprintf("%s is a whole number from %d to %d.", o.Name, o.Min, o.Max)
}

// meant are options of restic's for which something else stands here.
var meant = map[string]string{
	"s3.region": "s3.region is said by the variable AWS_DEFAULT_REGION of the credential.",
	"sftp.command": "sftp.command would be a program that the control plane has hosts run, and there is none such. What ssh is told " +
		"stands in the host's own ssh_config.",
	"sftp.args": "sftp.args may name a program to run. What ssh is told stands in the host's own ssh_config.",
	"rclone.program": "rclone.program would be a program that the control plane has hosts run, and there is none such: rclone is found on " +
		"the host's PATH.",
	"rclone.args": "rclone.args may name a program to run. What rclone is told stands in its configuration on the host.",
}

// CheckOptions refuses what is no option of a kind of storage, or has no such value. The
// error is an Error.
func CheckOptions(scheme string, options map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(options)) {
		o, known := FindOption(name)
		switch {
		case meant[name] != "":
			return Error(meant[name])
		case !known || o.Scheme() != scheme:
			var names []string
			for _, o := range OptionsOf(scheme) {
				names = append(names, o.Name)
			}
			return Error(fmt.Sprintf("%.60q is no option of this kind of storage. These are: %s.", name, strings.Join(names, ", ")))
		}
		if said := o.Takes(options[name]); said != "" {
			return Error(said)
		}
	}
	return nil
}
