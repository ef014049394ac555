package location

import (
	"maps"
	"testing"
)

// Each variable that a repository may set is classed once: whoever adds one decides.
func TestEachVariableIsOfOneClass(t *testing.T) {
	login := map[string]bool{RESTUser: true, "RESTIC_KEY_HINT": true, "AWS_ACCESS_KEY_ID": true, "B2_ACCOUNT_ID": true,
		"GOOGLE_PROJECT_ID": true, awsProfile: true}
	for _, v := range Variables {
		n := 0
		for _, is := range []bool{v.Secret, v.Place, v.Who, v.File, login[v.Name]} {
			if is {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is of %d classes", v.Name, n)
		}
	}
}

func TestWhatAPinHoldsIsTypedAndRead(t *testing.T) {
	for _, c := range []struct {
		url       string
		env       map[string]hidden
		described string
		who       string
	}{
		{"sftp:anna@nas:dir", nil, "sftp:anna@nas:dir", "user=anna"},
		{"sftp:nas:dir", nil, "sftp:nas:dir", "user="},
		{"sftp:anna@example.org@nas:dir", nil, "sftp:anna@example.org@nas:dir", "user=anna@example.org"},
		{"sftp:anna@nas:/dir", nil, "sftp:nas:/dir", ""},
		{"sftp://anna@nas:22/dir", nil, "sftp://anna@nas:22/dir", "user=anna"},
		{"sftp://anna@nas:22//dir", nil, "sftp://nas:22//dir", ""},
		{"rest:https://anna:pw@nas/x", map[string]hidden{RESTUser: "a"}, "rest:https://nas/x", ""},
		{"/srv/vault", nil, "/srv/vault", ""},
		{"swift:c:/x", map[string]hidden{"OS_AUTH_URL": "https://id", "OS_TENANT_NAME": "our 100% tenant", "OS_PASSWORD": "topsecret",
			"AWS_DEFAULT_REGION": "cn-north-1"},
			"swift:c:/x OS_AUTH_URL=https://id OS_TENANT_NAME=our%20100%25%20tenant", "OS_TENANT_NAME=our%20100%25%20tenant"},
		{"azure:c:/x", map[string]hidden{"AZURE_ACCOUNT_NAME": "ours", "AZURE_ACCOUNT_KEY": "topsecret"},
			"azure:c:/x AZURE_ACCOUNT_NAME=ours", ""},
		{"s3:s3.amazonaws.com/b", map[string]hidden{"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "k"}, "s3:s3.amazonaws.com/b", ""},
		{"s3:s3.amazonaws.com/b", map[string]hidden{"AWS_DEFAULT_REGION": "cn-north-1"}, "s3:s3.amazonaws.com/b AWS_DEFAULT_REGION=cn-north-1",
			"AWS_DEFAULT_REGION=cn-north-1"},
		{"b2:b:x", map[string]hidden{"B2_ACCOUNT_ID": "k"}, "b2:b:x", ""},
	} {
		if got := Identity(hidden(c.url), c.env); got != c.who {
			t.Errorf("at %s we are %q, want %q", c.url, got, c.who)
		}
		if got := Described(hidden(c.url), c.env, nil); got != c.described {
			t.Errorf("%s is described as %q, want %q", c.url, got, c.described)
		}
		url, env, err := ParseDescribed(c.described)
		if err != nil {
			t.Errorf("%s: %v", c.described, err)
			continue
		}
		want, _ := Pin(hidden(c.url), c.env)
		if got, err := Pin(url, env); err != nil || got != want || Identity(url, env) != c.who {
			t.Errorf("%s is read as %q %q, %v; want %q %q", c.described, got, Identity(url, env), err, want, c.who)
		}
	}
	for _, text := range []string{"swift:c:/x OS_PASSWORD=x", "rest:https://nas/ RESTIC_CACERT=/x", "b2:b:x NO_SUCH=1"} {
		if _, env, err := ParseDescribed(text); err == nil {
			t.Errorf("%q is read as %v", text, maps.Clone(env))
		}
	}
	for text, want := range map[string]bool{"swift:c:/x OS_AUTH_URL=x": true, "/srv/a b=c": false, "/srv/A=b": false,
		"/srv/x NO_SUCH=1": false, "/srv/x ST_USER=": true, "swift:c:/x": false} {
		if got := Assigns(text); got != want {
			t.Errorf("%q assigns: %t", text, got)
		}
	}
}
