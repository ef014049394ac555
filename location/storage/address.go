package storage

import (
	"cmp"
	"maps"
	"net/url"
	"regexp"
	"strings"

	"github.com/restic-manager/restic-manager/location"
)

// Values are what is in the fields of an address, by their names.
type Values map[string]string

// A Wrong says in a sentence what is wrong with each field.
type Wrong map[string]string

const awsEndpoint = "s3.amazonaws.com"

// tidied are the values as an address has them: what is left out by everybody is filled in,
// and spaces around them are none.
func tidied(kind Kind, v Values) Values {
	d, _ := Find(kind)
	out := Values{}
	for _, f := range d.Place {
		out[f.Name] = strings.TrimSpace(v[f.Name])
	}
	switch kind {
	case REST:
		server, _ := strings.CutPrefix(out[Address], "rest:")
		if server = strings.TrimRight(server, "/"); server != "" && !strings.Contains(server, "://") {
			server = "https://" + server
		}
		out[Address] = server
		if p := out[Path]; len(p) > 1 {
			out[Path] = strings.TrimPrefix(p, "/")
		}
	case S3:
		endpoint := strings.TrimPrefix(out[Endpoint], "s3:")
		out[Endpoint] = cmp.Or(strings.TrimRight(endpoint, "/"), awsEndpoint)
		if p := out[Path]; len(p) > 1 {
			out[Path] = strings.TrimPrefix(p, "/")
		}
	case Azure, GCS, Swift:
		if out[Path] == "/" {
			out[Path] = ""
		}
	case SFTP:
		out[Host] = strings.Trim(out[Host], "[]")
	case Rclone:
		out[Remote] = strings.TrimSuffix(out[Remote], ":")
	}
	return out
}

// Compose returns the address that the fields of a kind make, or what is wrong with them. Who
// saves it looks at the whole address besides, with location.ParseNew.
func Compose(kind Kind, v Values) (address string, wrong Wrong) {
	d, known := Find(kind)
	if !known {
		return "", Wrong{Address: "There is no such kind of storage."}
	}
	v, wrong = tidied(kind, v), Wrong{}
	for _, f := range d.Place {
		if v[f.Name] == "" && !f.Optional {
			wrong[f.Name] = "Fill this in: without it nobody knows where the repository is."
		}
	}
	if len(wrong) > 0 {
		return "", wrong
	}
	address = compose(kind, v)
	if kind == Other {
		return address, nil
	}
	if !keeps(kind, v) {
		name := culprit(d, v)
		wrong[name] = cmp.Or(misread(kind, name, v[name]), "This does not go into an address as it is.")
		return "", wrong
	}
	return address, nil
}

// keeps reports whether what each field holds means the same in the address: a slash in the
// name of a bucket would be the path's.
func keeps(kind Kind, v Values) bool {
	at, back := TakeApart(compose(kind, v))
	return at == kind && maps.Equal(back, v)
}

// culprit is the field with whose example the address would be a good one.
func culprit(d Description, v Values) string {
	for _, f := range d.Place {
		other := maps.Clone(v)
		other[f.Name] = f.Example
		if keeps(d.Kind, tidied(d.Kind, other)) {
			return f.Name
		}
	}
	return d.Place[0].Name
}

// misread says why a field means something else in an address, as far as it is known.
func misread(kind Kind, name, value string) string {
	switch {
	case (name == Address || name == Path) && kind == REST && strings.ContainsAny(value, "?#"):
		return "In an address ? is written as %3F and # as %23."
	case name == Address && kind == REST:
		return "This is the server alone, as in https://nas.example.net:8000; path, user and password have fields of their own."
	case name == Endpoint:
		return "This is the server alone, as in s3.example.net or https://minio.example.net:9000."
	case name == Bucket:
		return "This is the name alone, without slashes and colons; what follows it belongs into the path."
	case name == Host:
		return "This is the server's name or address alone, without user and port."
	case name == Port:
		return "A port is a number."
	case name == User:
		return "This is no name of a user as ssh takes it."
	case name == Remote:
		return "This is the name of a remote alone, as rclone listremotes shows it."
	case kind == Local:
		return "This is no full path. It begins with /, or on Windows with a drive, as in D:\\backups."
	}
	return ""
}

func compose(kind Kind, v Values) string {
	switch kind {
	case Local:
		return v[Path]
	case Other:
		return v[Address]
	case REST:
		return "rest:" + v[Address] + below(v[Path])
	case S3:
		return "s3:" + v[Endpoint] + "/" + v[Bucket] + below(v[Path])
	case B2:
		return "b2:" + v[Bucket] + ":" + v[Path]
	case Azure, GCS, Swift:
		return string(kind) + ":" + v[Bucket] + ":" + cmp.Or(v[Path], "/")
	case Rclone:
		return "rclone:" + v[Remote] + ":" + v[Path]
	case SFTP:
		if v[Port] == "" && !strings.Contains(v[Host], ":") {
			login := ""
			if v[User] != "" {
				login = v[User] + "@"
			}
			return "sftp:" + login + v[Host] + ":" + v[Path]
		}
		host := v[Host]
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if v[Port] != "" {
			host += ":" + v[Port]
		}
		u := url.URL{Host: host, Path: "/" + v[Path]}
		if v[User] != "" {
			u.User = url.User(v[User])
		}
		return "sftp:" + location.URLText(&u)
	}
	return ""
}

// below is a path behind something it is below of. "/" is a slash alone.
func below(path string) string {
	if path == "" || path == "/" {
		return path
	}
	return "/" + path
}

var (
	restForm  = regexp.MustCompile(`^(https?://[^/?#@\s]+)(?:(/)([^?#]*))?$`)
	s3Form    = regexp.MustCompile(`^((?:https?://)?[^/?#@]+)/([^/?#]+)(?:(/)([^?#]*))?$`)
	twoForm   = regexp.MustCompile(`^([^/:]+):(.*)$`)
	sftpForm  = regexp.MustCompile(`^(?:(.+)@)?([^@:/\[\]]+):(.+)$`)
	sftpPort  = regexp.MustCompile(`^[0-9]{1,5}$`)
	wantPath  = map[Kind]bool{Azure: true, GCS: true, Swift: true}
	oneColons = []Kind{B2, Azure, GCS, Swift, Rclone}
)

// TakeApart returns the kind of an address and its fields. One that they would not make again
// as it is, or that restic would not take, is Other.
func TakeApart(address string) (Kind, Values) {
	other := Values{Address: address}
	if _, err := location.Parse(address); err != nil {
		return Other, other
	}
	kind := Kind(location.Scheme(address))
	v := takeApart(kind, address)
	if v == nil || compose(kind, v) != address {
		return Other, other
	}
	for name, value := range tidied(kind, v) { // or it would be another when it is saved
		if v[name] != value {
			return Other, other
		}
	}
	return kind, v
}

func takeApart(kind Kind, address string) Values {
	_, rest, _ := strings.Cut(address, ":")
	for _, k := range oneColons {
		if kind != k {
			continue
		}
		m := twoForm.FindStringSubmatch(rest)
		switch {
		case m == nil:
			return nil
		case kind == Rclone:
			return Values{Remote: m[1], Path: m[2]}
		case wantPath[kind] && m[2] == "/":
			return Values{Bucket: m[1], Path: ""}
		}
		return Values{Bucket: m[1], Path: m[2]}
	}
	switch kind {
	case Local:
		if location.Absolute(address) {
			return Values{Path: address}
		}
	case REST:
		if m := restForm.FindStringSubmatch(rest); m != nil {
			return Values{Address: m[1], Path: orSlash(m[2], m[3])}
		}
	case S3:
		if m := s3Form.FindStringSubmatch(rest); m != nil {
			return Values{Endpoint: m[1], Bucket: m[2], Path: orSlash(m[3], m[4])}
		}
	case SFTP:
		if !strings.HasPrefix(rest, "//") {
			if m := sftpForm.FindStringSubmatch(rest); m != nil {
				return Values{User: m[1], Host: m[2], Port: "", Path: m[3]}
			}
			return nil
		}
		u, err := url.Parse(rest)
		if err != nil || u.RawQuery != "" || u.Fragment != "" || u.Port() != "" && !sftpPort.MatchString(u.Port()) {
			return nil
		}
		if _, has := u.User.Password(); has {
			return nil
		}
		return Values{User: u.User.Username(), Host: u.Hostname(), Port: u.Port(), Path: strings.TrimPrefix(u.Path, "/")}
	}
	return nil
}

// orSlash is a path, or the slash before it if there is nothing behind it.
func orSlash(slash, path string) string { return cmp.Or(path, slash) }
