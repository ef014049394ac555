package restic

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/e2e/s3server"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// look examines a place with a minute for it.
func (w *world) look(address string, env map[string]topics.Secret) topics.Finding {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	return w.b.Examine(ctx, w.place, Repository{URL: topics.Secret(address), Password: w.repo.Password, Env: env})
}

// is compares a finding; may is "yes", "no" or "" for not known.
func is(t *testing.T, what string, f topics.Finding, state topics.FindingState, cause topics.Cause, may, words string) {
	t.Helper()
	got := ""
	if f.MayDelete != nil {
		got = map[bool]string{true: "yes", false: "no"}[*f.MayDelete]
	}
	if f.State != state || f.Cause != cause || got != may || !strings.Contains(f.Message, words) || f.Message == "" {
		t.Errorf("%s: %s, cause %q, may delete %q: %s", what, f.State, f.Cause, got, f.Message)
	}
	if strings.Contains(fmt.Sprint(f), password) || strings.Contains(fmt.Sprint(f), restPassword) {
		t.Errorf("%s: it says a secret: %v", what, f)
	}
}

func TestAFolderIsExamined(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"empty", "photos"} {
		if err := os.Mkdir(at(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"photos/1.jpg", "file"} {
		if err := os.WriteFile(at(name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, p := range map[string]string{"ours": password, "theirs": "another password"} {
		if err := resticrepo.Make(at(name), p); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		state topics.FindingState
		cause topics.Cause
		words string
	}{
		{"none", topics.FindingMissing, topics.CauseNone, "no such folder"},
		{"empty", topics.FindingEmpty, topics.CauseNone, "nothing is in it"},
		{"photos", topics.FindingOther, topics.CauseNoRepository, "1.jpg"},
		{"file", topics.FindingOther, topics.CauseUnknown, "no folder"},
		{"ours", topics.FindingOurs, topics.CauseNone, "opens it"},
		{"theirs", topics.FindingOther, topics.CausePassword, "does not open"},
	} {
		is(t, c.name, w.look(at(c.name), nil), c.state, c.cause, "", c.words)
	}
	for n := range 3 { // how many snapshots it holds: restic lists them by their names
		if f := w.look(at("ours"), nil); f.Snapshots == nil || *f.Snapshots != n {
			t.Errorf("with %d snapshots: %+v", n, f)
		}
		name := filepath.Join(at("ours"), "snapshots", strings.Repeat(strconv.Itoa(n), 64))
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if f := w.look(at("theirs"), nil); f.Snapshots != nil {
		t.Errorf("of one that does not open: %+v", f)
	}
	w.repo.Password = ""
	is(t, "without a password", w.look(at("ours"), nil), topics.FindingOther, topics.CausePassword, "", "Type its password")
	if left, err := os.ReadDir(at("none")); err == nil {
		t.Errorf("looking made a folder: %v", left)
	}
	if left, _ := os.ReadDir(filepath.Join(at("ours"), "locks")); len(left) > 0 {
		t.Errorf("looking left a lock: %v", left)
	}
}

func TestARESTServerIsExamined(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	if err := resticrepo.Make(filepath.Join(dir, "ours"), password); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "lost", "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lost", "keys", strings.Repeat("a", 64)), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	full, added := serve(t, dir).Reveal(), serve(t, dir, "--append-only").Reveal()
	login := map[string]topics.Secret{"RESTIC_REST_USERNAME": "attic", "RESTIC_REST_PASSWORD": restPassword}
	is(t, "ours", w.look(full+"ours", login), topics.FindingOurs, topics.CauseNone, "yes", "opens it")
	is(t, "append only", w.look(added+"ours", login), topics.FindingOurs, topics.CauseNone, "no", "opens it")
	is(t, "nothing", w.look(added+"new", login), topics.FindingEmpty, topics.CauseNone, "no", "nothing is in it")
	is(t, "no config", w.look(full+"lost", login), topics.FindingOther, topics.CauseDamaged, "yes", "no config file")
	is(t, "nobody", w.look(full+"ours", nil), topics.FindingOther, topics.CauseCredentials, "", "asks for a user")
	is(t, "another", w.look(full+"ours", map[string]topics.Secret{"RESTIC_REST_USERNAME": "attic", "RESTIC_REST_PASSWORD": "wrong one"}),
		topics.FindingOther, topics.CauseCredentials, "", "does not let this user")
	free := "rest:http://" + e2e.FreeAddress(t) + "/"
	if f := w.look(free, nil); f.State != topics.FindingOther || f.Cause != topics.CauseUnreachable || f.Reached {
		t.Errorf("nobody listens, and it found %+v", f)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("looking made a folder at the server")
	}
}

// restServer answers as rest-server does where there is no repository: 404 for a folder that is
// not there, and in append-only mode 403 for any object but a lock before it looks.
func restServer(appendOnly bool, status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case status != 0:
			w.WriteHeader(status)
		case r.Method == http.MethodDelete && appendOnly && !strings.Contains(r.URL.Path, "/locks/"):
			w.WriteHeader(http.StatusForbidden)
		case r.Method == http.MethodDelete:
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

func TestAPlaceAtARESTServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		what       string
		appendOnly bool
		status     int
		state      topics.FindingState
		cause      topics.Cause
		may, words string
	}{
		{"not there", false, 0, topics.FindingMissing, topics.CauseNone, "yes", "Nothing is at this path"},
		{"not there, append only", true, 0, topics.FindingMissing, topics.CauseNone, "no", "Nothing is at this path"},
		{"not this path", false, 403, topics.FindingOther, topics.CauseCredentials, "", "not to this path"},
		{"a proxy", false, 502, topics.FindingOther, topics.CauseUnreachable, "", "502"},
		{"a page", false, 301, topics.FindingOther, topics.CauseUnknown, "", "not as a REST server"},
	} {
		s := httptest.NewServer(restServer(c.appendOnly, c.status))
		is(t, c.what, w.look("rest:"+s.URL+"/x/", nil), c.state, c.cause, c.may, c.words)
		s.Close()
	}
}

func TestWhoeverAnswersInsteadOfTheStorageIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!DOCTYPE html><title>Sign in</title>")
	}))
	defer page.Close()
	nginx := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, "<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>")
	}))
	defer nginx.Close()
	secure := httptest.NewUnstartedServer(restServer(false, 0))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	key := map[string]topics.Secret{"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": restPassword}
	plain := "http" + strings.TrimPrefix(secure.URL, "https")
	for _, c := range []struct {
		what, address string
		cause         topics.Cause
		words         string
	}{
		{"a login page for a REST server", "rest:" + page.URL + "/x/", topics.CauseUnreachable, "web page"},
		{"a login page for S3", "s3:" + page.URL + "/bucket/x", topics.CauseUnreachable, "web page"},
		{"a REST server with TLS, asked without", "rest:" + plain + "/x/", topics.CauseUnreachable, "begins with https://"},
		{"nginx with TLS, asked without", "rest:" + nginx.URL + "/x/", topics.CauseUnreachable, "begins with https://"},
		{"S3 with TLS, asked without", "s3:" + plain + "/bucket/x", topics.CauseUnreachable, "begins with https://"},
	} {
		is(t, c.what, w.look(c.address, key), topics.FindingOther, c.cause, "", c.words)
	}
}

func TestACertificateThatNobodyTrustsIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	var logins []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if user, _, said := r.BasicAuth(); said {
			logins = append(logins, user)
		}
		restServer(false, 0).ServeHTTP(w, r)
	}))
	s.StartTLS()
	defer s.Close()
	login := map[string]topics.Secret{"RESTIC_REST_USERNAME": "attic", "RESTIC_REST_PASSWORD": restPassword}
	f := w.look("rest:"+s.URL+"/x/", login)
	is(t, "not trusted", f, topics.FindingOther, topics.CauseCertificate, "", "not trusted")
	c := f.Certificate
	if c == nil || c.Trusted || c.PEM == "" || c.PEMSHA256 != c.SHA256 || c.Issuer == "" ||
		c.NotAfter != s.Certificate().NotAfter.UnixMilli() {
		t.Fatalf("its certificate is %+v", c)
	}
	mu.Lock()
	if len(logins) > 0 {
		t.Errorf("who is not trusted got the login of %q", logins)
	}
	mu.Unlock()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(c.PEM), 0o600); err != nil {
		t.Fatal(err)
	}
	login["RESTIC_CACERT"] = topics.Secret(file)
	f = w.look("rest:"+s.URL+"/x/", login)
	is(t, "trusted", f, topics.FindingMissing, topics.CauseNone, "yes", "")
	if f.Certificate == nil || !f.Certificate.Trusted || f.Certificate.PEM != "" {
		t.Errorf("with what was offered, the certificate is %+v", f.Certificate)
	}
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	f = w.look("rest:https://localhost:"+port+"/x/", login)
	is(t, "another name", f, topics.FindingOther, topics.CauseCertificate, "", "localhost")
	if f.Certificate == nil || f.Certificate.PEM != "" {
		t.Errorf("for another name, something to trust is offered: %+v", f.Certificate)
	}
}

func TestABucketIsExamined(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := s3server.Start(t, "AKIATEST", restPassword)
	s.Bucket(t, "bucket")
	s.Put(t, "bucket", "photos/1 and 2.jpg", "x")
	dir := t.TempDir()
	if err := resticrepo.Make(dir, password); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config", "keys"} {
		found, _ := filepath.Glob(filepath.Join(dir, name, "*"))
		for _, path := range append(found, filepath.Join(dir, "config")) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			rel, _ := filepath.Rel(dir, path)
			s.Put(t, "bucket", "ours/"+rel, string(b))
		}
	}
	before := strings.Join(s.Objects("bucket"), "\n")
	login := func(key, secret string) map[string]topics.Secret {
		return map[string]topics.Secret{"AWS_ACCESS_KEY_ID": topics.Secret(key), "AWS_SECRET_ACCESS_KEY": topics.Secret(secret)}
	}
	mine := login("AKIATEST", restPassword)
	at := "s3:" + s.URL + "/"
	is(t, "ours", w.look(at+"bucket/ours", mine), topics.FindingOurs, topics.CauseNone, "yes", "opens it")
	is(t, "empty", w.look(at+"bucket/new one", mine), topics.FindingEmpty, topics.CauseNone, "yes", "nothing is at this path")
	is(t, "no bucket", w.look(at+"none/ours", mine), topics.FindingMissing, topics.CauseNone, "", "no such bucket")
	is(t, "photos", w.look(at+"bucket/photos", mine), topics.FindingOther, topics.CauseNoRepository, "yes", "1 and 2.jpg")
	is(t, "a stranger", w.look(at+"bucket/ours", login("AKIAOTHER", restPassword)), topics.FindingOther, topics.CauseCredentials, "",
		"does not know this access key")
	is(t, "a wrong secret", w.look(at+"bucket/ours", login("AKIATEST", "x")), topics.FindingOther, topics.CauseCredentials, "",
		"secret access key is not the one")
	s.Rule(s3server.AppendOnly)
	is(t, "no deleting", w.look(at+"bucket/ours", mine), topics.FindingOurs, topics.CauseNone, "no", "opens it")
	s.Rule(func(r *http.Request) string {
		if strings.Contains(r.URL.RawQuery, "list-type") {
			return s3server.AccessDenied
		}
		return ""
	})
	is(t, "no listing", w.look(at+"bucket/new", mine), topics.FindingOther, topics.CauseCredentials, "", "AccessDenied")
	is(t, "listing by version 1", w.b.Examine(t.Context(), w.place, Repository{URL: topics.Secret(at + "bucket/new"), Env: mine,
		Password: password, Options: map[string]string{"s3.list-objects-v1": "true"}}), topics.FindingEmpty, topics.CauseNone, "yes",
		"nothing is at this path")
	s.Rule(func(*http.Request) string { return s3server.SlowDown })
	is(t, "trouble", w.look(at+"bucket/ours", mine), topics.FindingOther, topics.CauseUnreachable, "", "SlowDown")
	if after := strings.Join(s.Objects("bucket"), "\n"); after != before {
		t.Errorf("looking changed the bucket from\n%s\nto\n%s", before, after)
	}
}

func TestARemoteOfRcloneIsExamined(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	conf := filepath.Join(dir, "rclone.conf")
	if err := os.WriteFile(conf, []byte("[attic]\ntype = alias\nremote = "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := resticrepo.Make(filepath.Join(dir, "ours"), password); err != nil {
		t.Fatal(err)
	}
	env := map[string]topics.Secret{"RCLONE_CONFIG": topics.Secret(conf)}
	is(t, "ours", w.look("rclone:attic:ours", env), topics.FindingOurs, topics.CauseNone, "", "opens it")
	is(t, "empty", w.look("rclone:attic:empty", env), topics.FindingEmpty, topics.CauseNone, "", "Nothing is there")
	is(t, "missing", w.look("rclone:attic:none", env), topics.FindingMissing, topics.CauseNone, "", "no such folder")
	is(t, "other data", w.look("rclone:attic:", env), topics.FindingOther, topics.CauseNoRepository, "", "other data")
	is(t, "no remote", w.look("rclone:cellar:x", env), topics.FindingOther, topics.CauseUsage, "", "find section")
}

// TestAMuteServerIsNotWaitedForLongerThanAsked is about a server that takes the connection and
// says nothing: it is given the time that the question has, and no more.
func TestAMuteServerIsNotWaitedForLongerThanAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, address := range []string{"rest:http://", "rest:https://", "s3:http://"} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		f := w.b.Examine(ctx, w.place, Repository{URL: topics.Secret(address + l.Addr().String() + "/x"), Password: password,
			Env: map[string]topics.Secret{"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}})
		if ctx.Err() != nil {
			t.Errorf("%s: the time was over before it said so", address)
		}
		cancel()
		is(t, address, f, topics.FindingOther, topics.CauseUnreachable, "", "")
	}
}
