package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/e2e/s3server"
	"github.com/restic-manager/restic-manager/e2e/world"
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
	// The keeper looks with its own credential, and nobody else gets it.
	var both struct {
		finding
		Maintenance *finding `json:"maintenance"`
	}
	keeping := map[string]any{"host": "shed", "url": "rest:http://" + rest.Everyday + "/attic/", "password": password, "everyday": login,
		"options": map[string]any{"rest.connections": "3"}, "maintenance": map[string]any{"url": "rest:http://" + rest.Full + "/attic/",
			"username": "keeper", "password": maintenanceSecret}, "keeper": "attic"}
	w.API("POST", "/api/repositories/test", keeping, http.StatusOK, &both)
	is := func(f *finding, may bool) bool {
		return f != nil && f.State == "empty" && f.MayDelete != nil && *f.MayDelete == may
	}
	if m := both.Maintenance; !is(&both.finding, false) || !is(m, true) {
		t.Errorf("with both credentials: %+v, %+v", both.finding, m)
	}
	delete(keeping, "keeper")
	w.API("POST", "/api/repositories/test", keeping, http.StatusOK, &both)
	if m := both.Maintenance; m == nil || m.State != "other" || m.Cause != "usage" || !strings.Contains(m.Message, "no keeper") {
		t.Errorf("without a keeper: %+v", m)
	}
	keeping["options"] = map[string]any{"sftp.args": "x"}
	w.API("POST", "/api/repositories/test", keeping, 422, nil)
	secret := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	byHand := func(args ...string) result {
		return command(t, exec.Command(program("restic-manager"), append([]string{"repository", "test", "--data", w.Data}, args...)...))
	}
	login2 := "RESTIC_REST_USERNAME=attic\nRESTIC_REST_PASSWORD=" + everydaySecret + "\n"
	said := byHand("shed", "--url", "rest:http://"+rest.Everyday+"/attic/", "--env-file", secret("env", login2), "--password-file",
		secret("password", password), "--keeper", "attic", "--maintenance-url", "rest:http://"+rest.Full+"/attic/", "--maintenance-env-file",
		secret("keeper", "RESTIC_REST_USERNAME=keeper\nRESTIC_REST_PASSWORD="+maintenanceSecret+"\n"))
	may := regexp.MustCompile(`May delete +(\w+)`).FindAllStringSubmatch(said.out, -1)
	if said.code != 0 || len(may) != 2 || may[0][1] != "no" || may[1][1] != "yes" || strings.Count(said.out, "empty") != 2 {
		t.Errorf("the command line says %d, %s, %s", said.code, said.out, said.errs)
	}
	if said := byHand("attic", "--url", photos); said.code != 1 || !strings.Contains(said.out, "other: repository-missing") {
		t.Errorf("of a place that is none, the command line says %d, %s, %s", said.code, said.out, said.errs)
	}
	var away finding
	shed.MustStop()
	world.Await(t, "the host to be offline", func() error {
		w.API("POST", "/api/repositories/test", map[string]any{"host": "shed", "url": ours}, http.StatusOK, &away)
		if away.Cause != "unreachable" {
			return fmt.Errorf("it says %+v", away)
		}
		return nil
	})
	if away.State != "other" || !strings.Contains(away.Message, "the host is offline") || !strings.Contains(away.Message, "shed") {
		t.Errorf("of a host that is offline: %+v", away)
	}
	if said := byHand("shed", "--url", ours); said.code != 1 || !strings.Contains(said.out, "the host is offline") {
		t.Errorf("of a host that is offline, the command line says %d, %s, %s", said.code, said.out, said.errs)
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
