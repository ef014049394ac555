package storage

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/location"
)

// TestFieldsMakeAddressesAndAddressesFields names each form that people have.
func TestFieldsMakeAddressesAndAddressesFields(t *testing.T) {
	for _, c := range []struct {
		kind    Kind
		v       Values
		address string
	}{
		{Local, Values{Path: "/srv/backups"}, "/srv/backups"},
		{Local, Values{Path: "/srv/{host}"}, "/srv/{host}"},
		{Local, Values{Path: `D:\backups`}, `D:\backups`},
		{Local, Values{Path: `\\nas\share\x`}, `\\nas\share\x`},
		{REST, Values{Address: "https://nas:8000", Path: "attic"}, "rest:https://nas:8000/attic"},
		{REST, Values{Address: "https://nas:8000", Path: "anna/{host}/"}, "rest:https://nas:8000/anna/{host}/"},
		{REST, Values{Address: "https://nas", Path: ""}, "rest:https://nas"},
		{REST, Values{Address: "http://[fd00::1]:8000", Path: "/"}, "rest:http://[fd00::1]:8000/"},
		{REST, Values{Address: "https://nas", Path: "a%2Fb/{host}"}, "rest:https://nas/a%2Fb/{host}"},
		{REST, Values{Address: "https://nas", Path: "my photos/é"}, "rest:https://nas/my photos/é"},
		{S3, Values{Endpoint: "s3.amazonaws.com", Bucket: "b", Path: ""}, "s3:s3.amazonaws.com/b"},
		{S3, Values{Endpoint: "http://minio:9000", Bucket: "b", Path: "a/{host}"}, "s3:http://minio:9000/b/a/{host}"},
		{S3, Values{Endpoint: "minio:9000", Bucket: "b.c", Path: "/"}, "s3:minio:9000/b.c/"},
		{B2, Values{Bucket: "b", Path: "attic/{host}"}, "b2:b:attic/{host}"},
		{B2, Values{Bucket: "b", Path: ""}, "b2:b:"},
		{Azure, Values{Bucket: "c", Path: "/attic"}, "azure:c:/attic"},
		{GCS, Values{Bucket: "c", Path: ""}, "gs:c:/"},
		{Swift, Values{Bucket: "c", Path: "attic"}, "swift:c:attic"},
		{SFTP, Values{User: "backup", Host: "nas", Port: "", Path: "/srv/attic"}, "sftp:backup@nas:/srv/attic"},
		{SFTP, Values{User: "", Host: "nas", Port: "", Path: "attic"}, "sftp:nas:attic"},
		{SFTP, Values{User: "backup", Host: "nas", Port: "2222", Path: "/srv/{host}"}, "sftp://backup@nas:2222//srv/{host}"},
		{SFTP, Values{User: "backup", Host: "nas", Port: "2222", Path: "attic"}, "sftp://backup@nas:2222/attic"},
		{SFTP, Values{User: "", Host: "fd00::1", Port: "", Path: "/srv/a b"}, "sftp://[fd00::1]//srv/a%20b"},
		{SFTP, Values{User: "anna@example.org", Host: "nas", Port: "", Path: "/x"}, "sftp:anna@example.org@nas:/x"},
		{Rclone, Values{Remote: "drive", Path: "backups/{host}"}, "rclone:drive:backups/{host}"},
		{Rclone, Values{Remote: "drive", Path: ""}, "rclone:drive:"},
		{Other, Values{Address: "local:/srv/x"}, "local:/srv/x"},
		{Other, Values{Address: "rest:http+unix:/run/rest.sock:/x"}, "rest:http+unix:/run/rest.sock:/x"},
		{Other, Values{Address: "rest:https://anna:secret@nas/x"}, "rest:https://anna:secret@nas/x"},
		{Other, Values{Address: "rest:https://nas/x?y=1"}, "rest:https://nas/x?y=1"},
		{Other, Values{Address: "rest:https://nas//x"}, "rest:https://nas//x"},
		{Other, Values{Address: "s3://minio/b/x"}, "s3://minio/b/x"},
		{Other, Values{Address: "sftp://nas//srv"}, "sftp://nas//srv"}, // the other form of sftp:nas:/srv
		{Other, Values{Address: "azure:c:"}, "azure:c:"},
	} {
		if got, wrong := Compose(c.kind, c.v); got != c.address || len(wrong) > 0 {
			t.Errorf("%v of %s make %q, %v, want %q", c.v, c.kind, got, wrong, c.address)
		}
		if kind, v := TakeApart(c.address); kind != c.kind || !maps.Equal(v, c.v) {
			t.Errorf("%s is of %s with %v, want %s with %v", c.address, kind, v, c.kind, c.v)
		}
	}
}

func TestWhatIsTypedIsTidied(t *testing.T) {
	for _, c := range []struct {
		kind    Kind
		v       Values
		address string
	}{
		{REST, Values{Address: " nas:8000/ ", Path: "/attic"}, "rest:https://nas:8000/attic"},
		{REST, Values{Address: "rest:http://nas:8000"}, "rest:http://nas:8000"},
		{S3, Values{Bucket: "b"}, "s3:s3.amazonaws.com/b"},
		{S3, Values{Endpoint: "s3:http://minio/", Bucket: "b", Path: "/x"}, "s3:http://minio/b/x"},
		{GCS, Values{Bucket: "b", Path: "/"}, "gs:b:/"},
		{SFTP, Values{Host: "[fd00::1]", Path: "/x"}, "sftp://[fd00::1]//x"},
		{Rclone, Values{Remote: "drive:", Path: "x"}, "rclone:drive:x"},
	} {
		if got, wrong := Compose(c.kind, c.v); got != c.address || len(wrong) > 0 {
			t.Errorf("%v of %s make %q, %v, want %q", c.v, c.kind, got, wrong, c.address)
		}
	}
}

func TestAFieldThatMeansSomethingElseIsRefused(t *testing.T) {
	for _, c := range []struct {
		kind  Kind
		v     Values
		field string
	}{
		{Local, Values{Path: ""}, Path},
		{Local, Values{Path: "srv/x"}, Path},
		{Local, Values{Path: "sftp:nas:/x"}, Path},
		{REST, Values{Address: ""}, Address},
		{REST, Values{Address: "https://nas:8000/base", Path: "x"}, Address},
		{REST, Values{Address: "https://anna:secret@nas"}, Address},
		{REST, Values{Address: "https://nas", Path: "what?"}, Path},
		{S3, Values{Endpoint: "minio", Bucket: ""}, Bucket},
		{S3, Values{Endpoint: "minio", Bucket: "a/b"}, Bucket},
		{S3, Values{Endpoint: "minio/a", Bucket: "b"}, Endpoint},
		{B2, Values{Bucket: "a:b"}, Bucket},
		{GCS, Values{Bucket: "a/b"}, Bucket},
		{SFTP, Values{Host: "nas", Path: ""}, Path},
		{SFTP, Values{User: "backup", Host: "root@nas", Path: "/x"}, Host},
		{SFTP, Values{Host: "nas:22", Path: "/x"}, Host},
		{SFTP, Values{Host: "nas", Port: "ssh", Path: "/x"}, Port},
		{SFTP, Values{Host: "-oProxyCommand=x", Path: "/x"}, Host},
		{Rclone, Values{Remote: "drive,x=y:", Path: "x"}, Remote},
		{Other, Values{}, Address},
		{Kind("ftp"), Values{}, Address},
	} {
		if got, wrong := Compose(c.kind, c.v); len(wrong) != 1 || wrong[c.field] == "" {
			t.Errorf("%v of %s make %q, wrong is %v and not %s alone", c.v, c.kind, got, wrong, c.field)
		}
	}
}

// TestNothingIsLostOnTheWayThroughTheForm is about fields of any kind with anything in them.
func TestNothingIsLostOnTheWayThroughTheForm(t *testing.T) {
	for _, d := range Kinds() {
		if address, wrong := Compose(d.Kind, examples(d)); len(wrong) > 0 {
			t.Errorf("the examples of %s make %q, wrong is %v", d.Kind, address, wrong)
		}
		rapid.Check(t, func(t *rapid.T) {
			v := Values{}
			for _, f := range d.Place {
				text := rapid.SampledFrom([]string{f.Example, "nas", "x/y", "/srv/x", "", "{host}", "https://nas:1", "2222", "fd00::1", "a b"})
				v[f.Name] = rapid.OneOf(text, text, text, rapid.StringMatching(`[ -~é]{0,12}`)).Draw(t, f.Name)
			}
			address, wrong := Compose(d.Kind, v)
			if len(wrong) > 0 {
				return
			}
			kind, back := TakeApart(address)
			if d.Kind != Other && (kind != d.Kind || !maps.Equal(back, tidied(d.Kind, v))) {
				t.Fatalf("%v make %q, which is of %s with %v", v, address, kind, back)
			}
			if again, wrong := Compose(kind, back); again != address || len(wrong) > 0 {
				t.Fatalf("%q is of %s with %v, which make %q, %v", address, kind, back, again, wrong)
			}
		})
	}
}

// FuzzTakeApart takes any text for an address.
func FuzzTakeApart(f *testing.F) {
	for _, d := range Kinds() {
		v := Values{}
		for _, x := range d.Place {
			v[x.Name] = x.Example
		}
		address, _ := Compose(d.Kind, v)
		f.Add(address)
	}
	for _, text := range []string{"rest:https://h//", "sftp://u@h:22", "s3:h/b//", "b2:::", "sftp:a@b@c:d:e",
		"rest:https://h/%zz", "gs:b://"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		kind, v := TakeApart(text)
		if kind == Other && v[Address] != text {
			t.Fatalf("%q becomes %q", text, v[Address])
		}
		if got, wrong := Compose(kind, v); kind != Other && (got != text || len(wrong) > 0) {
			t.Fatalf("%q is of %s with %q, which make %q, %v", text, kind, v, got, wrong)
		}
	})
}

// TestEveryKindIsOneOfRestics compares with what package location knows.
func TestEveryKindIsOneOfRestics(t *testing.T) {
	for _, d := range Kinds() {
		v := Values{}
		for _, f := range d.Place {
			v[f.Name] = f.Example
		}
		address, wrong := Compose(d.Kind, v)
		if _, err := location.ParseNew(address); err != nil || len(wrong) > 0 {
			t.Errorf("the example of %s, %s: %v, %v", d.Name, address, err, wrong)
		}
		if d.Kind != Other && Kind(location.Scheme(address)) != d.Kind {
			t.Errorf("%s is not of the kind %s", address, d.Kind)
		}
		for _, f := range d.Access {
			if known, ok := location.Find(f.Name); !ok || known.Secret != f.Secret {
				t.Errorf("%s of %s: known %v, secret %v, the form says %v", f.Name, d.Kind, ok, known.Secret, f.Secret)
			}
		}
	}
}

func TestVariablesThatAKindDoesNotHaveMakeItOther(t *testing.T) {
	for _, c := range []struct {
		address string
		env     []string
		kind    Kind
	}{
		{"rest:https://nas/x", []string{location.RESTUser, location.RESTPassword, "RESTIC_CACERT"}, REST},
		{"rest:https://nas/x", []string{"AWS_ACCESS_KEY_ID"}, Other},
		{"swift:c:/x", []string{"OS_TRUST_ID"}, Other},
		{"/srv/x", nil, Local},
	} {
		env := map[string]string{}
		for _, name := range c.env {
			env[name] = "x"
		}
		if kind, v := Of(c.address, map[string]string{}, env); kind != c.kind || c.kind == Other && v[Address] != c.address {
			t.Errorf("%s with %q is of %s, %v", c.address, c.env, kind, v)
		}
	}
}

func TestVariablesAsLines(t *testing.T) {
	env := map[string]string{"OS_USERNAME": "anna", "OS_PASSWORD": "secret", "OS_TRUST_ID": "a b", "RESTIC_CACERT": "/x"}
	text := Lines(env)
	if text != "OS_USERNAME=anna\nOS_PASSWORD=\nOS_TRUST_ID=a b\n" {
		t.Errorf("%v is shown as %q", env, text)
	}
	got, kept, err := ParseLines("# of the cloud\n\nexport OS_USERNAME='bert'\n OS_PASSWORD=\nOS_TRUST_ID = a b \nST_KEY=\"it's\"\n")
	want := map[string]string{"OS_USERNAME": "bert", "OS_TRUST_ID": "a b", "ST_KEY": `"it's"`}
	if err != nil || !maps.Equal(got, want) || !slices.Equal(kept, []string{"OS_PASSWORD"}) {
		t.Errorf("it is read as %q, %q, %v", got, kept, err)
	}
	for _, text := range []string{"OS_USERNAME", "RESTIC_PASSWORD_COMMAND=rm", "LD_PRELOAD=/x"} {
		if _, _, err := ParseLines(text); err == nil || strings.Contains(err.Error(), "/x") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// examples are those that the fields of a kind show.
func examples(d Description) Values {
	v := Values{}
	for _, f := range d.Place {
		v[f.Name] = f.Example
	}
	return v
}
