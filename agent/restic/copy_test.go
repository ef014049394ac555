package restic

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

func TestTwoRepositoriesKeepTheirCredentialsApart(t *testing.T) {
	type env = map[string]topics.Secret
	repo := func(url string, e env) Repository {
		return Repository{URL: topics.Secret(url), Password: "to's", Env: e}
	}
	login := func(user string) env {
		return env{"RESTIC_REST_USERNAME": topics.Secret(user), "RESTIC_REST_PASSWORD": topics.Secret(user + "s secret")}
	}
	s3 := func(id string) env {
		return env{"AWS_ACCESS_KEY_ID": topics.Secret(id), "AWS_SECRET_ACCESS_KEY": topics.Secret(id + "-secret")}
	}
	for name, c := range map[string]struct {
		to, from Repository
		has, not []string // of the environment
		shared   string   // the variable that both need
	}{
		"two users of REST servers": {
			to: repo("rest:http://a.example/", login("anna")), from: repo("rest:http://b.example/x/", login("bob")),
			has: []string{"RESTIC_REPOSITORY=rest:http://anna:annas%20secret@a.example/",
				"RESTIC_FROM_REPOSITORY=rest:http://bob:bobs%20secret@b.example/x/"},
			not: []string{"RESTIC_REST_"},
		},
		"a user of one alone": {
			to: repo("rest:http://a.example/", nil), from: repo("rest:http://b.example/", login("bob")),
			has: []string{"RESTIC_REPOSITORY=rest:http://a.example/", "RESTIC_FROM_REPOSITORY=rest:http://bob:bobs%20secret@b.example/"},
			not: []string{"RESTIC_REST_"},
		},
		"keys of both are hints of their own": {
			to: repo("/srv/a", env{"RESTIC_KEY_HINT": "aaaa"}), from: repo("/srv/b", env{"RESTIC_KEY_HINT": "bbbb"}),
			has: []string{"RESTIC_KEY_HINT=aaaa", "RESTIC_FROM_KEY_HINT=bbbb"},
		},
		"a hint of the first alone": {
			to: repo("/srv/a", nil), from: repo("/srv/b", env{"RESTIC_KEY_HINT": "bbbb"}),
			has: []string{"RESTIC_FROM_KEY_HINT=bbbb"}, not: []string{"RESTIC_KEY_HINT="},
		},
		"S3 and a folder": {
			to: repo("/srv/a", s3("stray")), from: repo("s3:https://s3.example/b", s3("mine")),
			has: []string{"AWS_ACCESS_KEY_ID=mine", "AWS_SECRET_ACCESS_KEY=mine-secret"}, not: []string{"AWS_ACCESS_KEY_ID=stray"},
		},
		"S3 and B2": {
			to: repo("b2:bucket:x", env{"B2_ACCOUNT_ID": "one", "B2_ACCOUNT_KEY": "key"}), from: repo("s3:https://s3.example/b", s3("mine")),
			has: []string{"AWS_ACCESS_KEY_ID=mine", "B2_ACCOUNT_ID=one"},
		},
		"one key for two buckets": {
			to: repo("s3:https://s3.example/a", s3("mine")), from: repo("s3:https://s3.example/b", s3("mine")),
			has: []string{"AWS_ACCESS_KEY_ID=mine"},
		},
		"two keys of S3": {to: repo("s3:https://s3.example/a", s3("mine")), from: repo("s3:https://s3.other/b", s3("yours")),
			shared: "AWS_ACCESS_KEY_ID"},
		"a key and a machine role": {to: repo("s3:https://s3.example/a", s3("mine")), from: repo("s3:https://s3.other/b", nil),
			shared: "AWS_ACCESS_KEY_ID"},
		"two files of rclone's": {to: repo("rclone:a:x", env{"RCLONE_CONFIG": "/etc/a"}),
			from: repo("rclone:b:x", env{"RCLONE_CONFIG": "/etc/b"}), shared: "RCLONE_CONFIG"},
		"two certificates of ours": {to: repo("rest:https://a/", env{"RESTIC_TLS_CLIENT_CERT": "/etc/a"}),
			from: repo("rest:https://b/", env{"RESTIC_TLS_CLIENT_CERT": "/etc/b"}), shared: "RESTIC_TLS_CLIENT_CERT"},
		"a certificate and a folder": {to: repo("/srv/a", env{"RESTIC_TLS_CLIENT_CERT": "/etc/a"}),
			from: repo("rest:https://b/", env{"RESTIC_TLS_CLIENT_CERT": "/etc/b"}), has: []string{"RESTIC_TLS_CLIENT_CERT=/etc/b"}},
	} {
		c.from.Password = "from's"
		a, err := together(c.to, c.from, Version{Minor: 19})
		var shared *SharedError
		if errors.As(err, &shared) != (c.shared != "") || shared != nil && shared.Variable != c.shared || err != nil && shared == nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.shared != "" {
			continue
		}
		c.has = append(c.has, "RESTIC_PASSWORD=to's", "RESTIC_FROM_PASSWORD=from's")
		for _, want := range c.has {
			if !slices.Contains(a.env, want) {
				t.Errorf("%s: %s is not in %q", name, want, a.env)
			}
		}
		for _, no := range c.not {
			if slices.ContainsFunc(a.env, func(v string) bool { return strings.HasPrefix(v, no) }) {
				t.Errorf("%s: %s is in %q", name, no, a.env)
			}
		}
		if !slices.Contains(a.secrets, "from's") || !slices.Contains(a.secrets, "to's") {
			t.Errorf("%s: its secrets are %q", name, a.secrets)
		}
	}
}

func TestTwoRepositoriesTrustTheCertificatesOfBoth(t *testing.T) {
	https := func(url, ca string) Repository {
		r := Repository{URL: topics.Secret(url), Password: "secret", Env: map[string]topics.Secret{}}
		if ca != "" {
			r.Env["RESTIC_CACERT"] = topics.Secret(ca)
		}
		return r
	}
	system := systemRoots()
	for name, c := range map[string]struct {
		to, from Repository
		want     []string
	}{
		"one of each":             {https("rest:https://a/", "/a.pem"), https("rest:https://b/", "/b.pem"), []string{"/a.pem", "/b.pem"}},
		"the same":                {https("rest:https://a/", "/a.pem"), https("rest:https://b/", "/a.pem"), []string{"/a.pem"}},
		"one and a folder":        {https("rest:https://a/", "/a.pem"), https("/srv/b", ""), []string{"/a.pem"}},
		"one and a plain server":  {https("rest:http://a/", ""), https("rest:https://b/", "/b.pem"), []string{"/b.pem"}},
		"one and the system's":    {https("rest:https://a/", "/a.pem"), https("s3:https://b/c", ""), []string{"/a.pem", system}},
		"the system's and one":    {https("s3:b.example/c", ""), https("rest:https://b/", "/b.pem"), []string{"/b.pem", system}},
		"the system's for both":   {https("s3:b.example/c", ""), https("rest:https://b/", ""), nil},
		"a stray one of a folder": {https("s3:b.example/c", ""), https("/srv/b", "/b.pem"), nil},
	} {
		for _, v := range []Version{{Minor: 14}, {Minor: 19}} {
			a, err := together(c.to, c.from, v)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			var want []string
			for _, file := range c.want {
				if file != "" {
					want = append(want, "--cacert", file)
				}
			}
			if !slices.Equal(a.flags, want) || slices.ContainsFunc(a.env, func(e string) bool { return strings.HasPrefix(e, "RESTIC_CACERT") }) {
				t.Errorf("%s with %s: %q, want %q", name, v, a.flags, want)
			}
		}
	}
}

func TestASnapshotIsFoundInTheSecondRepository(t *testing.T) {
	id := func(c string) string { return strings.Repeat(c, 64) }
	one := topics.Snapshot{ID: id("a"), Time: 7, Tree: id("7"), Paths: []string{"/srv", "/etc"}}
	with := func(edit func(*topics.Snapshot)) []topics.Snapshot {
		s := one
		s.ID, s.Original = id("b"), one.ID
		edit(&s)
		return []topics.Snapshot{s}
	}
	for name, c := range map[string]struct {
		of      topics.Snapshot
		in      []topics.Snapshot
		there   bool
		differs string
	}{
		"nothing":             {of: one},
		"its copy":            {of: one, in: with(func(*topics.Snapshot) {}), there: true},
		"itself":              {of: one, in: []topics.Snapshot{one}, there: true},
		"another of the same": {of: one, in: with(func(s *topics.Snapshot) { s.Original = id("c") })},
		"another tree":        {of: one, in: with(func(s *topics.Snapshot) { s.Tree = id("8") }), differs: "tree"},
		"another time":        {of: one, in: with(func(s *topics.Snapshot) { s.Time++ }), differs: "time"},
		"other paths":         {of: one, in: with(func(s *topics.Snapshot) { s.Paths = s.Paths[:1] }), differs: "paths"},
		"a changed and a true copy": {of: one, in: append(with(func(s *topics.Snapshot) { s.ID, s.Tree = id("d"), id("8") }),
			with(func(*topics.Snapshot) {})...), there: true},
		"the copy of what it was tagged from": {of: with(func(s *topics.Snapshot) { s.ID = id("e") })[0],
			in: with(func(*topics.Snapshot) {}), there: true},
		"what it is a copy of": {of: with(func(*topics.Snapshot) {})[0], in: []topics.Snapshot{one}, there: true},
		"no tree at all": {of: topics.Snapshot{ID: one.ID, Time: 7, Paths: one.Paths}, in: with(func(s *topics.Snapshot) { s.Tree = "" }),
			differs: "paths"},
	} {
		if left := lacking([]topics.Snapshot{c.of}, c.in); (len(left) == 0) != c.there {
			t.Errorf("%s: left are %v", name, left)
		}
		if got := differs(c.of, c.in); !c.there && got != c.differs {
			t.Errorf("%s differs in %q, want %q", name, got, c.differs)
		}
	}
}

// TestACopysProgressIsOfAllItsSnapshots reads what each version prints.
func TestACopysProgressIsOfAllItsSnapshots(t *testing.T) {
	recordings, err := filepath.Glob("testdata/copy/*.stdout")
	if err != nil || len(recordings) != 5 {
		t.Fatalf("%v: no recordings", err)
	}
	for _, file := range recordings {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		op := &copying{all: strings.Count(string(text), "] at ")}
		s := &recorder{}
		o := newOutput(op, newRedactor(nil), s, Timing{})
		last := -1.0
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimRight(line, "\n"); line != "" {
				o.read([]byte(line), 0, false)
			}
			if p := op.whole(100); p < last || p > 100 {
				t.Errorf("%s: after %q it is at %v, before at %v", file, line, p, last)
			} else {
				last = p
			}
		}
		if last != 100 || op.begun != op.all {
			t.Errorf("%s ends at %v with %d of %d begun", file, last, op.begun, op.all)
		}
	}
}
