package location

import (
	"errors"
	"testing"
)

// TestWhatTwoRepositoriesOfOneResticShare: one variable for both, unless it means nothing to one
// of them, or each has its own in its address.
func TestWhatTwoRepositoriesOfOneResticShare(t *testing.T) {
	type (
		env   = map[string]string
		login = Login[string]
	)
	s3 := func(key string) login { return login{Env: env{"AWS_ACCESS_KEY_ID": key}} }
	pasted := func(name, text string) login {
		return login{Env: env{}, Files: env{name: text}}
	}
	for _, c := range []struct {
		name, a, b string
		as, bs     login
		variable   string
	}{
		{"two keys", "s3:https://s3.example/a", "s3:https://s3.other/b", s3("mine"), s3("yours"), "AWS_ACCESS_KEY_ID"},
		{"one key", "s3:https://s3.example/a", "s3:https://s3.example/b", s3("mine"), s3("mine"), ""},
		{"a key and none", "s3:https://s3.example/a", "s3:https://s3.example/b", s3("mine"), login{}, "AWS_ACCESS_KEY_ID"},
		{"a key that a folder does not use", "s3:https://s3.example/a", "/srv/b", s3("mine"), s3("yours"), ""},
		{"two logins of REST servers", "rest:https://a/", "rest:https://b/", login{Env: env{RESTUser: "a", RESTPassword: "a"}},
			login{Env: env{RESTUser: "b", RESTPassword: "b"}}, ""},
		{"two certificates of ours", "rest:https://a/", "rest:https://b/", pasted(ownCert, "one"), pasted(ownCert, "other"), ownCert},
		{"the same one", "rest:https://a/", "rest:https://b/", pasted(ownCert, "one"), pasted(ownCert, "one"), ""},
		{"one in clear", "rest:https://a/", "rest:http://b/", pasted(ownCert, "one"), pasted(ownCert, "other"), ""},
		{"two authorities", "rest:https://a/", "rest:https://b/", pasted(CACert, "one"), pasted(CACert, "other"), ""},
		{"two key hints", "rest:https://a/", "rest:https://b/", login{Env: env{keyHint: "aaaa"}}, login{Env: env{keyHint: "bbbb"}}, ""},
		{"two accounts of Google", "gs:a:/", "gs:b:/", pasted("GOOGLE_APPLICATION_CREDENTIALS", "one"),
			pasted("GOOGLE_APPLICATION_CREDENTIALS", "other"), "GOOGLE_APPLICATION_CREDENTIALS"},
	} {
		a, err := ParseHere(c.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ParseHere(c.b)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // whichever comes first
			var shared *SharedError
			err := Together(a, b, c.as, c.bs)
			if errors.As(err, &shared); (c.variable != "") != (shared != nil) || shared != nil && shared.Variable != c.variable {
				t.Errorf("%s: %v, want %q", c.name, err, c.variable)
			}
			a, b, c.as, c.bs = b, a, c.bs, c.as
		}
	}
}
