package location

import (
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// hidden stands for the types that do not print themselves.
type hidden string

// bad stands for an address that is refused.
const bad = "bad"

func TestAnAddressIsTakenApart(t *testing.T) {
	for _, c := range []struct{ text, scheme, public, shown string }{
		{"/srv/vault", "local", "/srv/vault", "/srv/vault"},
		{"/srv/a:b@c", "local", "/srv/a:b@c", "/srv/a:b@c"},
		{"local:/srv/vault", "local", "local:/srv/vault", "local:/srv/vault"},
		{`D:\vault`, "local", `D:\vault`, `D:\vault`},
		{`d:/vault`, "local", `d:/vault`, `d:/vault`},
		{`\\nas\vault`, "local", `\\nas\vault`, `\\nas\vault`},
		{`local:C:\vault`, "local", `local:C:\vault`, `local:C:\vault`},
		{"local:srv", "local", bad, "local:srv"},
		{"vault", "local", bad, "vault"},
		{"./vault", "local", bad, "./vault"},
		{"D:vault", "local", bad, "D:vault"},

		{"rest:https://nas:8000/attic/", "rest", "rest:https://nas:8000/attic/", "rest:https://nas:8000/attic/"},
		{"rest:http://[::1]:8000/", "rest", "rest:http://[::1]:8000/", "rest:http://[::1]:8000/"},
		{"rest:https://a:b@h:8000/x?y", "rest", "rest:https://h:8000/x", "rest:https://a@h:8000/x?y"},
		{"rest:https://a:p%40s%2Fs%3F@h/x#f", "rest", "rest:https://h/x", "rest:https://a@h/x#f"},
		{"rest:https://h/{host}/", "rest", "rest:https://h/{host}/", "rest:https://h/{host}/"},
		{"rest:https://a:b@h/x-{host}", "rest", "rest:https://h/x-{host}", "rest:https://a@h/x-{host}"},
		{"rest:https://h/%7Bhost%7D/", "rest", "rest:https://h/%7Bhost%7D/", "rest:https://h/%7Bhost%7D/"},
		{"/srv/{host}", "local", "/srv/{host}", "/srv/{host}"},
		{"rest:https://h:8000/a@b", "rest", "rest:https://h:8000/a@b", "rest:https://h:8000/a@b"},
		{"rest:http+unix:///run/rest.sock:/x/", "rest", "rest:http+unix:///run/rest.sock:/x/", "rest:http+unix:///run/rest.sock:/x/"},
		{"rest:h/", "rest", bad, "rest:h/"},
		{"rest:nas:8000/attic", "rest", bad, "rest:nas:8000/attic"},
		{"rest:ftp://h/", "rest", bad, "rest:ftp://h/"},
		{"rest:https://u:topsecret@", "rest", bad, "rest:https://u@"},
		{"rest:https://a:top/secret@h/x", "rest", bad, "rest:https://a@h/x"},
		{"rest:https://a:top?secret@h/x", "rest", bad, "rest:https://a@h/x"},
		{"rest:https://a:top#secret@h/x", "rest", bad, "rest:https://a@h/x"},
		{"rest:https://a:12?secret@h/x", "rest", bad, "rest:https://a@h/x"},
		{"rest:https://a:12#secret@h/x", "rest", bad, "rest:https://a@h/x"},
		{"rest:https://a:%zz@h/x", "rest", bad, "rest:https://a@h/x"},
		{"rest:a:topsecret@h:8000/x", "rest", bad, "rest:a@h:8000/x"},
		{"https://a:topsecret@h/x", "local", bad, "https://a@h/x"},
		{"a:topsecret@h:/x", "local", bad, "a@h:/x"},
		{"rset:https://nas/attic", "local", bad, "rset:https://nas/attic"},

		{"sftp:me@nas:/vault", "sftp", "sftp:nas:/vault", "sftp:me@nas:/vault"},
		{"sftp:nas:vault", "sftp", "sftp:nas:vault", "sftp:nas:vault"},
		{"sftp:me@example.org@nas:/x", "sftp", "sftp:nas:/x", "sftp:me@example.org@nas:/x"},
		{`sftp:EXAMPLE\me@nas:/x`, "sftp", "sftp:nas:/x", `sftp:EXAMPLE\me@nas:/x`},
		{"sftp:a@b@c@nas:/x", "sftp", bad, "sftp:a@b@c@nas:/x"},
		{"sftp:me@-oProxyCommand=x@nas:/x", "sftp", bad, "sftp:me@-oProxyCommand=x@nas:/x"},
		{"sftp:root@nas:2222:/p", "sftp", "sftp:nas:2222:/p", "sftp:root@nas:2222:/p"}, // a folder, where it was saved before
		{"sftp://me@nas//{host}/x", "sftp", "sftp://nas//{host}/x", "sftp://me@nas//{host}/x"},
		{"sftp:nas:/srv//x", "sftp", "sftp:nas:/srv//x", "sftp:nas:/srv//x"},
		{"sftp://me@nas:2222//vault", "sftp", "sftp://nas:2222//vault", "sftp://me@nas:2222//vault"},
		{"sftp://me:hush@nas/vault", "sftp", "sftp://nas/vault", "sftp://me@nas/vault"},
		{"sftp://[fe80::1]:22//vault", "sftp", "sftp://[fe80::1]:22//vault", "sftp://[fe80::1]:22//vault"},
		{"sftp:-oProxyCommand=x:/y", "sftp", bad, "sftp:-oProxyCommand=x:/y"},
		{"sftp:-oProxyCommand=x@h:/y", "sftp", bad, "sftp:-oProxyCommand=x@h:/y"},
		{"sftp://-oProxyCommand=x/y", "sftp", bad, "sftp://-oProxyCommand=x/y"},
		{"sftp://-oProxyCommand=x@h/y", "sftp", bad, "sftp://-oProxyCommand=x@h/y"},
		{"sftp://nas/", "sftp", bad, "sftp://nas/"},
		{"sftp:nas", "sftp", bad, "sftp:nas"},
		{"sftp:me:topsecret@nas:/x", "sftp", bad, "sftp:me@nas:/x"},
		{"sftp:nas:me@home/x", "sftp", "sftp:nas:me@home/x", "sftp:nas:me@home/x"},
		{"sftp:nas:/srv/a@b:c", "sftp", "sftp:nas:/srv/a@b:c", "sftp:nas:/srv/a@b:c"},

		{"s3:s3.amazonaws.com/bucket", "s3", "s3:s3.amazonaws.com/bucket", "s3:s3.amazonaws.com/bucket"},
		{"s3:minio:9000/bucket/a@b", "s3", "s3:minio:9000/bucket/a@b", "s3:minio:9000/bucket/a@b"},
		{"s3://s3.amazonaws.com/bucket", "s3", "s3://s3.amazonaws.com/bucket", "s3://s3.amazonaws.com/bucket"},
		{"s3:https://k:s@minio:9000/b", "s3", "s3:https://minio:9000/b", "s3:https://k@minio:9000/b"},
		{"s3:k@h/b", "s3", bad, "s3:k@h/b"},
		{"s3:k:hush@h/b", "s3", bad, "s3:k@h/b"},
		{"s3:HTTPS://h/b", "s3", bad, "s3:HTTPS://h/b"},
		{"s3:-h/b", "s3", bad, "s3:-h/b"},
		{"s3:", "s3", bad, "s3:"},

		{"b2:bucket:path", "b2", "b2:bucket:path", "b2:bucket:path"},
		{"azure:c:/", "azure", "azure:c:/", "azure:c:/"},
		{"gs:b:/x", "gs", "gs:b:/x", "gs:b:/x"},
		{"swift:c:/x", "swift", "swift:c:/x", "swift:c:/x"},
		{"b2:bucket", "b2", bad, "b2:bucket"},
		{"azure:-c:/", "azure", bad, "azure:-c:/"},

		{"rclone:remote:path", "rclone", "rclone:remote:path", "rclone:remote:path"},
		{"rclone:my remote+1:a@b", "rclone", "rclone:my remote+1:a@b", "rclone:my remote+1:a@b"},
		{"rclone::sftp,ssh=x:path", "rclone", bad, "rclone::sftp,ssh=x:path"},
		{"rclone:remote,ssh=x:path", "rclone", bad, "rclone:remote,ssh=x:path"},
		{"rclone:-x:y", "rclone", bad, "rclone:-x:y"},

		{"", "local", bad, ""},
		{"http://h/", "local", bad, "http://h/"},
		{"nosuch:foo", "local", bad, "nosuch:foo"},
		{"/a\nb", "local", bad, "/a\nb"},
		{"/a\x1b[2Jb", "local", bad, "/a\x1b[2Jb"},
		{"/a\u0085b", "local", bad, "/a\u0085b"},
		{"/a\xffb", "local", bad, "/a\xffb"},
		{"rest:https://h/\x00", "rest", bad, "rest:https://h/\x00"},
		{"/" + strings.Repeat("x", MaxLength), "local", bad, "/" + strings.Repeat("x", MaxLength)},
	} {
		a, err := Parse(c.text)
		var said Error
		if (err != nil) != (c.public == bad) || err != nil && !errors.As(err, &said) {
			t.Errorf("%q: %v, want it %s", c.text, err, c.public)
			continue
		}
		if err == nil && (a.Public() != c.public || a.Scheme() != c.scheme) {
			t.Errorf("%q is public as %q of scheme %q, want %q of %q", c.text, a.Public(), a.Scheme(), c.public, c.scheme)
		}
		if got := Shown(hidden(c.text)); got != c.shown {
			t.Errorf("%q is shown as %q, want %q", c.text, got, c.shown)
		}
		if got := Scheme(c.text); got != c.scheme {
			t.Errorf("%q has the scheme %q, want %q", c.text, got, c.scheme)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}

func TestAnAddressPrintsNoSecret(t *testing.T) {
	a, err := Parse("rest:https://me:topsecret@nas/x")
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, a); strings.Contains(got, "topsecret") || strings.Contains(got, "me@") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	a.URL().User = url.User("another")
	if got, _ := a.URL().User.Password(); got != "topsecret" {
		t.Error("a change to the URL it returns changes the address")
	}
}

func TestAPathBelongsToItsSystem(t *testing.T) {
	ours, theirs := []string{"/srv/vault", "local:/srv/vault"}, []string{`C:\vault`, "C:/vault", `\\nas\vault`, `local:C:\vault`}
	if runtime.GOOS == "windows" {
		ours, theirs = theirs, ours
	}
	for _, text := range ours {
		if _, err := ParseHere(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range theirs {
		if _, err := ParseHere(text); err == nil {
			t.Errorf("%s is taken, and would be a relative path here", text)
		}
	}
	for _, text := range []string{"rest:https://nas/", "sftp:nas:/x", "b2:b:"} {
		if _, err := ParseHere(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAPinIsSpeltOneWay(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"/srv/vault/", "/srv/vault"},
		{"local:/srv/x/../vault", "/srv/vault"},
		{"rest:https://anna:pw@NAS:8000/attic/", "rest:https://nas:8000/attic"},
		{"rest:https://nas:8000", "rest:https://nas:8000/"},
		{"rest:https://nas//my%20attic/./x..y", "rest:https://nas/my attic/x..y"},
		{"rest:http+unix:///run/rest.sock:/x/", "rest:http+unix:///run/rest.sock:/x"},
		{"s3:s3.example.com/bucket/a", "s3:https://s3.example.com/bucket/a"},
		{"s3:https://s3.example.com/bucket/a/", "s3:https://s3.example.com/bucket/a"},
		{"s3:minio:9000/bucket", "s3:https://minio:9000/bucket"},
		{"sftp:anna@nas:/srv/x/", "sftp:nas:/srv/x"},
		{"sftp:anna@example.org@nas:/srv/x/", "sftp:nas:/srv/x"},
		{`sftp:EXAMPLE\anna@nas:/srv/x/`, "sftp:nas:/srv/x"},
		{"sftp://anna@nas:22//srv/x", "sftp:nas:22:/srv/x"},
		{"b2:bucket:path", "b2:bucket:path"},
		{"rclone:remote:path", "rclone:remote:path"},
	} {
		if got, err := Pin[hidden](hidden(c.text), nil); err != nil || got != c.want {
			t.Errorf("%s is %q, %v, want %q", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "vault", "sftp:-oProxyCommand=id:/x", "rclone::sftp,ssh=id:x", "rest:x", `C:\vault`} {
		if got, err := Pin[string](text, nil); err == nil {
			t.Errorf("%q is taken as %q", text, got)
		}
	}
	ours, _ := Pin("azure:box:/", map[string]hidden{"AZURE_ACCOUNT_NAME": "ours", "AZURE_ACCOUNT_KEY": "k"})
	theirs, _ := Pin("azure:box:/", map[string]hidden{"AZURE_ACCOUNT_NAME": "theirs"})
	if ours == theirs || strings.Contains(ours, "KEY") {
		t.Errorf("another account is another place: %s and %s", ours, theirs)
	}
}

// A pin that another server's address could have, too, would let data go there.
func TestNoOtherServerHasThePin(t *testing.T) {
	for _, c := range []struct{ pinned, evil string }{
		{"sftp:nas:/srv/x", "sftp:evil://nas/srv/x"}, // to restic the host is evil, and the path //nas/srv/x
		{"sftp:nas:/srv//x", "sftp:evil:/srv//x"},
		{"sftp://nas//srv/x", "sftp:evil://nas//srv/x"},
		{"rest:https://nas/x", "rest:https://nas@evil/x"},
		{"rest:https://nas:80/x", "rest:https://nas:80@evil/x"},
		{"s3:nas/b", "s3://evil/nas/b"},
		{"s3:https://nas/b", "s3:https://nas:k@evil/b"},
		{"s3:nas/b", "s3:evil/../nas/b"},
		{"s3:nas/b/x", "s3:nas/evil/../b/x"}, // to restic the bucket is evil, and what lies in it begins with ../b/x
		{"s3:https://nas/b/x", "s3:https://nas/evil/a/../../b/x"},
		{"s3:https://nas/b/x", "s3:https://nas/evil/%2e%2e/b/x"},
		{"rest:https://nas/ours/x", "rest:https://nas/evil/../ours/x"}, // restic sends it as it is
		{"rest:https://nas/ours/x", "rest:https://nas/evil/%2E%2E/ours/x"},
		{"rest:https://nas/ours/x", "rest:https://nas/ours%2Fx"}, // one part of a path to some servers
	} {
		want, err := Pin[string](c.pinned, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Pin[string](c.evil, nil); err == nil && got == want {
			t.Errorf("%s has the pin of %s, %s", c.evil, c.pinned, want)
		}
	}
}

func TestALoginMovesBetweenURLAndVariables(t *testing.T) {
	for _, c := range []struct{ text, want, user, password string }{
		{"rest:https://me:p%40s%2Fs@nas/x", "rest:https://nas/x", "me", "p@s/s"},
		{"rest:https://me@nas/x", "rest:https://nas/x", "me", ""},
		{"rest:https://nas/x", "rest:https://nas/x", "was", "before"},
		{"rest:https://me:p@nas/{host}/x", "rest:https://nas/{host}/x", "me", "p"},
		{"rest:https://nas/{host}/x", "rest:https://nas/{host}/x", "was", "before"},
		{"s3:https://k:s@minio/b", "s3:https://k:s@minio/b", "was", "before"},
		{"sftp://me@nas/x", "sftp://me@nas/x", "was", "before"},
	} {
		env := map[string]hidden{RESTUser: "was", RESTPassword: "before", "RESTIC_CACERT": "/ca"}
		got, set := SplitLogin(hidden(c.text), env)
		if string(got) != c.want || string(set[RESTUser]) != c.user || string(set[RESTPassword]) != c.password || set["RESTIC_CACERT"] != "/ca" {
			t.Errorf("%s: %s %v", c.text, got, set)
		}
		if env[RESTUser] != "was" {
			t.Errorf("%s: the map it was given was changed", c.text)
		}
	}
	if _, env := SplitLogin[string]("/srv", nil); env == nil {
		t.Error("no map to write into")
	}
	login := map[string]hidden{RESTUser: "a b", RESTPassword: "p@s/s"}
	for text, want := range map[hidden]hidden{
		"rest:https://nas/x":      "rest:https://a%20b:p%40s%2Fs@nas/x",
		"rest:https://me@nas/x":   "rest:https://me@nas/x",
		"rest:https://nas/{host}": "rest:https://a%20b:p%40s%2Fs@nas/{host}",
		"/srv":                    "/srv",
		"s3:https://nas/x":        "s3:https://nas/x",
	} {
		if got, did := JoinLogin(text, login); got != want || did != (got != text) {
			t.Errorf("%s: %s %v, want %s", text, got, did, want)
		}
	}
	if got, did := JoinLogin[hidden]("rest:https://nas/x", nil); did || got != "rest:https://nas/x" {
		t.Errorf("without a login: %s", got)
	}
}

func TestVariablesAreAnAllowList(t *testing.T) {
	for name, good := range map[string]bool{
		"RESTIC_REST_PASSWORD":    true,
		"ST_KEY":                  true,
		"RCLONE_CONFIG":           true,
		"RESTIC_PASSWORD_COMMAND": false,
		"RESTIC_REPOSITORY":       false,
		"RESTIC_PASSWORD":         false,
		"PATH":                    false,
		"LD_PRELOAD":              false,
		"RCLONE_PASSWORD_COMMAND": false,
		"RCLONE_SFTP_SSH":         false,
		"AWS_PROFILE":             false,
		"aws_access_key_id":       false,
		"":                        false,
	} {
		if err := CheckEnv(map[string]hidden{name: "x"}); (err == nil) != good {
			t.Errorf("%q: %v, want allowed %v", name, err, good)
		}
	}
	for what, env := range map[string]map[string]hidden{
		"a line break":   {"ST_KEY": "topsecret\nb"},
		"a return":       {"ST_KEY": "topsecret\rb"},
		"NUL":            {"ST_KEY": "topsecret\x00"},
		"broken UTF-8":   {"ST_KEY": "topsecret\xff"},
		"more than fits": {"ST_KEY": hidden(strings.Repeat("topsecret", MaxEnv))},
	} {
		err := CheckEnv(env)
		var said Error
		if !errors.As(err, &said) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := CheckEnv[string](nil); err != nil {
		t.Error(err)
	}
	names := Names()
	if slices.Sort(names); len(slices.Compact(names)) != len(Variables) || len(Variables) != 43 {
		t.Errorf("%d variables, some twice", len(Variables))
	}
	for _, v := range Variables {
		if v.Config && !v.File || v.Flag != "" && !v.File || v.Place && v.Secret {
			t.Errorf("%+v", v)
		}
	}
}
