package sftp

import (
	"testing"

	"github.com/restic-manager/restic-manager/location"
)

func TestWhomAnAddressMeans(t *testing.T) {
	for text, want := range map[string]Target{
		"sftp:nas:vault":                {Host: "nas", Dir: "vault"},
		"sftp:me@nas:/vault":            {User: "me", Host: "nas", Dir: "/vault"},
		"sftp:me@example.org@nas:/x":    {User: "me@example.org", Host: "nas", Dir: "/x"},
		`sftp:EXAMPLE\me@nas:/x`:        {User: `EXAMPLE\me`, Host: "nas", Dir: "/x"},
		"sftp:root@nas:2222:/p":         {User: "root", Host: "nas", Dir: "2222:/p"}, // as restic takes it
		"sftp://me@nas:2222//vault":     {User: "me", Host: "nas", Port: "2222", Dir: "/vault"},
		"sftp://me@nas/vault":           {User: "me", Host: "nas", Dir: "vault"},
		"sftp://[fe80::1]:22//vault":    {Host: "fe80::1", Port: "22", Dir: "/vault"},
		"rest:https://nas:8000/attic/":  {},
		"rclone:me@nas:2222":            {},
		"/srv/sftp:me@nas:/x":           {},
		"s3:https://sftp.example/vault": {},
	} {
		at, err := location.Parse(text)
		if err != nil && want != (Target{}) {
			t.Fatal(err)
		}
		if got, ok := TargetOf(at); got != want || ok != (want != Target{}) {
			t.Errorf("%s means %+v (%v), want %+v", text, got, ok, want)
		}
	}
}

func TestWordsReachSSHThroughRestic(t *testing.T) {
	for arg, want := range map[string]string{
		"nas":                           `'nas'`,
		`EXAMPLE\me`:                    `'EXAMPLE\me'`,
		`IdentityFile="/a b/id"`:        `'IdentityFile="/a b/id"'`,
		"/o'brien/known_hosts":          `"/o'brien/known_hosts"`,
		`IdentityFile="/o'brien's a/b"`: "",
		`C:\`:                           "",
	} {
		if got, err := word(arg); got != want || (err == nil) != (want != "") {
			t.Errorf("%s is %s (%v), want %s", arg, got, err, want)
		}
	}
	for path, want := range map[string]string{"/a/b": "/a/b", "/a b": `"/a b"`, "/100%/x": "/100%%/x"} {
		if got := quoted(path); got != want {
			t.Errorf("%s is %s to ssh, want %s", path, got, want)
		}
	}
}
