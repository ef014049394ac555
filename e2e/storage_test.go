package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/e2e/s3server"
	"github.com/restic-manager/restic-manager/location/storage"
)

// finding is what POST /api/repositories/test answers with.
type finding struct {
	State       string `json:"state"`
	Cause       string `json:"cause"`
	Message     string `json:"message"`
	MayDelete   *bool  `json:"may_delete"`
	Certificate *struct {
		Trusted bool   `json:"trusted"`
		PEM     string `json:"pem"`
	} `json:"certificate"`
}

// TestWhereARepositoryIsToBeIsLookedAtFirst tests every outcome by the API, with a real host,
// and that nothing is saved, pinned or left behind.
func TestWhereARepositoryIsToBeIsLookedAtFirst(t *testing.T) {
	w := NewWorld(t)
	rest := NewRestServer(t)
	s3 := s3server.Start(t, "AKIATEST", everydaySecret)
	s3.Bucket(t, "bucket")
	attic, shed := w.StartAgent("attic", "--policy", "managed"), w.StartAgent("shed", "--policy", "backup")
	ours, photos := filepath.Join(attic.Dir, "vault"), filepath.Join(attic.Dir, "photos")
	elsewhere := filepath.Join(t.TempDir(), "vault") // not below the root that shed's policy names
	if err := resticrepo.Make(ours, password); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(photos, "2024"), 0o700); err != nil {
		t.Fatal(err)
	}
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	login := map[string]any{"username": "attic", "password": everydaySecret}
	keys := func(secret string) map[string]any {
		return map[string]any{"env": map[string]any{"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": secret}}
	}
	for _, c := range []struct {
		what, host, url string
		everyday        map[string]any
		state, cause    string
		may             string // "yes", "no", or "" for not known
	}{
		{"a folder that is not there", "attic", filepath.Join(attic.Dir, "none"), nil, "missing", "", ""},
		{"a repository", "attic", ours, nil, "ours", "", "yes"},
		{"other data", "attic", photos, nil, "other", "repository-missing", ""},
		{"what the host's policy forbids", "shed", elsewhere, nil, "other", "policy", ""},
		{"an append-only server", "shed", "rest:http://" + rest.Everyday + "/attic/", login, "empty", "", "no"},
		{"a wrong login", "shed", "rest:http://" + rest.Everyday + "/attic/", map[string]any{"username": "attic", "password": "x"}, "other",
			"credentials", ""},
		{"nobody there", "attic", "rest:http://127.0.0.1:1/x", nil, "other", "unreachable", ""},
		{"a certificate of its own", "attic", "rest:" + tls.URL + "/x", nil, "other", "certificate", ""},
		{"an empty bucket", "attic", "s3:" + s3.URL + "/bucket/x/{host}", keys(everydaySecret), "empty", "", "yes"},
		{"no bucket", "attic", "s3:" + s3.URL + "/none", keys(everydaySecret), "missing", "", ""},
		{"a wrong key", "attic", "s3:" + s3.URL + "/bucket", keys("x"), "other", "credentials", ""},
	} {
		var f finding
		w.API("POST", "/api/repositories/test", map[string]any{"host": c.host, "url": c.url, "password": password, "everyday": c.everyday},
			http.StatusOK, &f)
		may := ""
		if f.MayDelete != nil {
			may = map[bool]string{true: "yes", false: "no"}[*f.MayDelete]
		}
		if f.State != c.state || f.Cause != c.cause || may != c.may || f.Message == "" {
			t.Errorf("%s: %+v, may delete %q", c.what, f, may)
		}
		if c.cause == "certificate" && (f.Certificate == nil || !strings.Contains(f.Certificate.PEM, "BEGIN CERTIFICATE")) {
			t.Errorf("%s: no certificate is offered: %+v", c.what, f.Certificate)
		}
	}
	w.API("POST", "/api/repositories/test", map[string]any{"host": "nobody", "url": ours}, 404, nil)
	w.API("POST", "/api/repositories/test", map[string]any{"host": "attic", "url": "htp:/x"}, 422, nil)
	var list []struct{}
	w.API("GET", "/api/repositories", nil, 200, &list)
	policy, err := os.ReadFile(filepath.Join(shed.State, "policy.json"))
	if err != nil || len(list) > 0 || strings.Contains(string(policy), rest.Everyday) || len(s3.Objects("bucket")) > 0 {
		t.Errorf("a test left something: %d repositories, %q at S3, the policy %s, %v", len(list), s3.Objects("bucket"), policy, err)
	}
}

// TestEachKindOfStorageHasItsForm fills in every kind and opens it again.
func TestEachKindOfStorageHasItsForm(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic", "--policy", "managed")
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	for _, d := range storage.Kinds() {
		b.Open("/repositories/new")
		b.set("#backend", string(d.Kind))
		v, name := storage.Values{}, "of-"+string(d.Kind)
		for _, f := range d.Place {
			at := "#place-" + string(d.Kind) + "-" + f.Name
			if d.Kind == storage.Other {
				at = "#place-url"
			}
			v[f.Name] = f.Example
			if d.Kind == storage.Local {
				v[f.Name] = filepath.Join(attic.Dir, "vault")
			}
			b.Fill(at, v[f.Name])
		}
		made, wrong := storage.Compose(d.Kind, v)
		if len(wrong) > 0 {
			t.Fatal(wrong)
		}
		b.AwaitText("#made-url", made)
		secret := ""
		for _, f := range d.Access {
			if f.Secret && !f.Rare && secret == "" {
				secret = f.Name
				b.Fill("#everyday-"+f.Name, "a-secret-of-its-own")
			}
		}
		if d.Kind == storage.Local {
			b.Click("[formtarget=_blank]")
			b.AwaitText("#trial", "no such folder")
		}
		b.Fill("#name", name)
		b.Fill("#password", password)
		if slices.Contains([]storage.Kind{storage.S3, storage.Other}, d.Kind) || os.Getenv("RM_SHOTS") != "" {
			b.Inspect("repository-" + string(d.Kind))
		}
		b.Press("Add repository")
		b.AwaitText("h1", name)
		b.Open(b.Path() + "/edit")
		kind := string(d.Kind)
		if d.Kind == storage.Other { // a REST server's address, which that form has fields for
			kind = string(storage.REST)
		}
		if got := Eval[string](b, `document.querySelector("#backend").value`); got != kind {
			t.Errorf("%s is opened as %s", made, got)
		}
		b.AwaitText("#made-url", made)
		if strings.Contains(Eval[string](b, `document.documentElement.outerHTML`), "a-secret-of-its-own") {
			t.Errorf("the form of %s holds a secret", d.Name)
		}
	}
}
