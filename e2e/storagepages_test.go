package e2e

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/restic/standin"
	"github.com/restic-manager/restic-manager/agent/sftp/sshd"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/e2e/s3server"
	"github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/location/storage"
)

// WithTLS is an address of the server behind a certificate that nobody trusts, and that
// certificate.
func (s RestServer) WithTLS(t *testing.T, address string) (at, certificate string) {
	t.Helper()
	front := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address}))
	front.EnableHTTP2 = false
	front.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	front.StartTLS()
	t.Cleanup(front.Close)
	return front.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))
}

// visible lists the names of the fields that a person sees, of those whose names begin so.
func (b *Browser) visible(prefix string) []string {
	b.t.Helper()
	return Eval[[]string](b, fmt.Sprintf(`[...document.querySelectorAll("form [name]")].filter((e) =>
		e.name.startsWith(%q) && e.checkVisibility()).map((e) => e.name)`, prefix))
}

// TestAnotherKindOfStorageHasOtherFields changes the kind back and forth: its own fields are
// there and no other's, what was typed stays, and what is missing is said at the field.
func TestAnotherKindOfStorageHasOtherFields(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	b.Open("/repositories/new")
	for _, d := range storage.Kinds() {
		b.set("#backend", string(d.Kind))
		for _, other := range storage.Kinds() {
			if other.Kind == storage.Other {
				continue
			}
			want := []string{}
			for _, f := range other.Place {
				if other.Kind == d.Kind {
					want = append(want, string(d.Kind)+"."+f.Name)
				}
			}
			if got := b.visible(string(other.Kind) + "."); !slices.Equal(got, want) {
				t.Errorf("%s shows the fields %q of %s, want %q", d.Name, got, other.Name, want)
			}
		}
		if got := slices.Contains(b.visible("url"), "url"); got != (d.Kind == storage.Other) {
			t.Errorf("%s shows a field for an address: %t", d.Name, got)
		}
		for _, f := range d.Access {
			if got := slices.Contains(b.visible("everyday."), "everyday."+f.Name); got == f.Rare {
				t.Errorf("%s shows %s: %t", d.Name, f.Label, got)
			}
		}
	}

	// What is missing is said where it is, and what was typed stays through other kinds.
	b.set("#backend", "s3")
	b.Fill("#place-s3-path", "attic")
	b.set("#backend", "sftp")
	b.Fill("#place-sftp-host", "nas")
	b.Fill("#name", "vault")
	b.Fill("#password", password)
	b.Press("Add repository")
	b.Refused("/repositories/new", 422)
	b.AwaitText("#place-sftp-path-err", "Fill this in")
	if got := Eval[string](b, `["#backend", "#place-sftp-host", "#place-s3-path", "#password"].map((x) =>
		document.querySelector(x).value).join("|")`); got != "sftp|nas|attic|" {
		t.Errorf("what was typed is %q", got)
	}
	b.Inspect("repository-wrong")

	// One from before there were these forms has its address in fields, and its login beside it.
	var made struct{ ID string }
	w.API("POST", "/api/repositories", map[string]any{"name": "old", "url": "rest:https://ada:canary-1@nas.example.net:8000/a%20b/{host}",
		"password": password}, http.StatusCreated, &made)
	b.Open("/repositories/" + made.ID + "/edit")
	if got := Eval[string](b, `["#backend", "#place-rest-address", "#place-rest-path", "#everyday-RESTIC_REST_USERNAME"].map((x) =>
		document.querySelector(x).value).join("|")`); got != "rest|https://nas.example.net:8000|a%20b/{host}|ada" {
		t.Errorf("an old one is opened as %q", got)
	}
	if strings.Contains(Eval[string](b, `document.documentElement.outerHTML`), "canary-1") {
		t.Error("the form holds a secret")
	}
	b.set("#backend", "s3")
	b.Fill("#place-s3-bucket", "backups")
	b.Press("Save changes")
	b.AwaitPath("/repositories/" + made.ID)
	var now struct {
		Location string
		Everyday struct{ Username string }
	}
	w.API("GET", "/api/repositories/"+made.ID, nil, http.StatusOK, &now)
	if now.Location != "s3:s3.amazonaws.com/backups" || now.Everyday.Username != "" {
		t.Errorf("it was moved to %+v", now)
	}
	w.MustStopCleanly()
}

// TestAFormOfStorageWorksWithoutScript tests and saves by forms alone.
func TestAFormOfStorageWorksWithoutScript(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic", "--policy", "managed")
	s := w.SignIn()
	at := filepath.Join(attic.Dir, "vault")
	fill := map[string]string{"name": "vault", "backend": "local", "local.path": at, "password": password, "append_only": "",
		"test_host": attic.ID}
	p := s.Page("/repositories/new")
	found := s.PressAt(p, "Test, in a new tab", "/repositories/try", fill)
	if found.Status != 200 || found.Missing("Test of a repository", "no such folder", "Close this tab") {
		t.Errorf("the test says %d %s", found.Status, found.Text)
	}
	fill["local.path"] = ""
	wrong := s.Press(p, "Add repository", fill)
	if wrong.Status != 422 || wrong.Missing("Fill this in") {
		t.Errorf("without a folder: %d %s", wrong.Status, wrong.Text)
	}
	fill["local.path"] = at
	if saved := s.Press(wrong, "Add repository", fill); saved.Status != 200 || saved.Missing("vault") {
		t.Errorf("not saved: %d %s", saved.Status, saved.Text)
	}
	var list []struct{ Location string }
	if w.API("GET", "/api/repositories", nil, 200, &list); len(list) != 1 || !strings.HasSuffix(list[0].Location, at) {
		t.Errorf("saved were %+v", list)
	}
	w.MustStopCleanly()
}

// TestACertificateOfItsOwnIsTrustedByAButton: a server whose certificate no host knows is
// tested, trusted for both credentials, saved and used.
func TestACertificateOfItsOwnIsTrustedByAButton(t *testing.T) {
	w := NewWorld(t)
	rest := NewRestServer(t)
	front, certificate := rest.WithTLS(t, rest.Everyday)
	back, theirs := rest.WithTLS(t, rest.Full)
	attic, nas := w.StartAgent("attic", "--policy", "managed"), w.StartAgent("nas", "--policy", "managed")
	attic.Write("letters/1.txt", "dear reader")
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	b.Open("/repositories/new")
	b.Fill("#name", "vault")
	b.Fill("#place-rest-address", front)
	b.Fill("#place-rest-path", "attic")
	b.Fill("#password", password)
	b.Fill("#everyday-RESTIC_REST_USERNAME", "attic")
	b.Fill("#everyday-RESTIC_REST_PASSWORD", everydaySecret)
	b.Click("#chk-append_only")
	b.set("#test_host", attic.ID)
	b.Click("#test")
	b.AwaitText("#trial", "is not trusted on attic")
	b.Inspect("repository-untrusted")
	b.Press("Trust this certificate")
	b.AwaitText("#trial", "nothing is in it")
	b.AwaitText("#trial", "the credential may not delete")
	got := Eval[string](b, `document.querySelector("#everyday-file-RESTIC_CACERT").value`)
	if strings.TrimSpace(got) != strings.TrimSpace(certificate) {
		t.Errorf("the field holds %q, want the server's certificate", got)
	}

	// The credential of maintenance is for the keeper, and is looked at by it alone.
	b.Fill("#maintenance-url", "rest:"+back+"/attic")
	b.Fill("#maintenance-RESTIC_REST_USERNAME", "keeper")
	b.Fill("#maintenance-RESTIC_REST_PASSWORD", "wrong")
	b.Click("#test")
	b.AwaitText("#trial", "With the maintenance credential Not tried: the repository has no keeper.")
	b.set("#keeper", nas.ID)
	b.Click("#test")
	if certificate != theirs {
		b.AwaitText("#trial", "is not trusted on nas")
		b.Press("Trust this certificate")
	}
	b.AwaitText("#trial", "With the maintenance credential")
	b.AwaitText("#trial", "Credential is refused")
	b.Fill("#maintenance-RESTIC_REST_PASSWORD", maintenanceSecret)
	b.Click("#test")
	b.AwaitText("#trial", "the credential may delete, as the keeper has to")
	b.Inspect("repository-both-tested")
	b.Press("Add repository")
	b.AwaitText("h1", "vault")
	vault := filepath.Base(b.Path())

	// What is saved is what was tested.
	b.Open("/repositories/" + vault + "/edit")
	b.AwaitText("#everyday-file-RESTIC_CACERT-hint", "Kept:")
	b.Inspect("repository-with-certificate")
	attic.PutGroup("letters", vault)
	w.AwaitState(attic.Backup("letters"), "succeeded")
	w.AwaitState(w.Maintain(vault, "check"), "succeeded")
	w.MustStopCleanly()
}

// TestABucketIsTestedAndFilled goes to a server of S3: a wrong key, a key that deletes, one
// that does not, and a backup.
func TestABucketIsTestedAndFilled(t *testing.T) {
	w := NewWorld(t)
	s3 := s3server.Start(t, "AKIATEST", everydaySecret)
	s3.Bucket(t, "bucket")
	attic := w.StartAgent("attic", "--policy", "managed")
	attic.Write("letters/1.txt", "dear reader")
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	b.Open("/repositories/new")
	b.Fill("#name", "vault")
	b.set("#backend", "s3")
	b.Fill("#place-s3-endpoint", s3.URL)
	b.Fill("#place-s3-bucket", "bucket")
	b.Fill("#place-s3-path", "of/{host}")
	b.AwaitText("#made-url", "s3:"+s3.URL+"/bucket/of/{host}")
	b.Fill("#password", password)
	b.Fill("#everyday-AWS_ACCESS_KEY_ID", "AKIATEST")
	b.Fill("#everyday-AWS_SECRET_ACCESS_KEY", "wrong")
	b.Click("#test")
	b.AwaitText("#trial", "Credential is refused")
	b.Fill("#everyday-AWS_SECRET_ACCESS_KEY", everydaySecret)
	b.Click("#test")
	b.AwaitText("#trial", "the credential may delete: whoever takes over the host")
	b.AwaitText("#trial", "/bucket/of/attic")
	b.Press("How restic talks to S3 and compatible")
	b.Fill("#option-s3-connections", "3")
	b.Inspect("repository-s3-tested")
	b.Press("Add repository")
	b.AwaitText("h1", "vault")
	vault := filepath.Base(b.Path())
	b.Open("/repositories/" + vault + "/edit")
	if got := Eval[string](b, `["#backend", "#place-s3-endpoint", "#place-s3-path", "#option-s3-connections"].map((x) =>
		document.querySelector(x).value).join("|")`); got != "s3|"+s3.URL+"|of/{host}|3" {
		t.Errorf("it is opened as %q", got)
	}
	attic.PutGroup("letters", vault)
	w.AwaitState(attic.Backup("letters"), "succeeded")
	if len(s3.Objects("bucket")) == 0 {
		t.Error("nothing is in the bucket")
	}
	w.MustStopCleanly()
}

// TestATestShowsTheKeyOfAnSFTPServer, which is then accepted on the page of the host's keys.
func TestATestShowsTheKeyOfAnSFTPServer(t *testing.T) {
	w := NewWorld(t)
	attic, s := w.StartAgent("attic", "--policy", "managed"), sshd.Start(t)
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	far := filepath.Join(w.Dir, "far")
	if err := resticrepo.Make(far, password); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.URL(far))
	if err != nil {
		t.Fatal(err)
	}
	test := func() {
		t.Helper()
		b.Open("/repositories/new")
		b.Fill("#name", "far")
		b.set("#backend", "sftp")
		b.Fill("#place-sftp-user", u.User.Username())
		b.Fill("#place-sftp-host", u.Hostname())
		b.Fill("#place-sftp-port", u.Port())
		b.Fill("#place-sftp-path", far)
		b.Fill("#password", password)
		b.set("#test_host", attic.ID)
		b.Click("#test")
	}
	test()
	b.AwaitText("#trial", "is not known to attic")
	b.AwaitText("#trial", s.Fingerprint())
	b.Inspect("repository-sftp-unknown")
	to := Eval[string](b, `document.querySelector("#trial a").getAttribute("href")`) // a tab of its own
	b.Open(to)
	b.Press("Trust this server " + s.Name())
	b.AwaitText("main", "Trusted")
	test()
	b.AwaitText("#trial", "none of the host's SSH keys is let in")
	b.Open(to)
	b.Press("Make a key pair")
	b.AwaitText("#public-key", "ssh-ed25519 ")
	s.Authorize(Eval[string](b, `document.querySelector("#public-key").textContent.trim()`))
	test()
	b.AwaitText("#trial", "holds a repository that this password opens")
	b.Press("Add repository")
	b.AwaitText("h1", "far")
	w.MustStopCleanly()
}

// TestAMirrorIsSetUpByItsPage, copied into, and said to be behind when it is.
func TestAMirrorIsSetUpByItsPage(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic", "--policy", "managed")
	attic.Write("letters/1.txt", "dear reader")
	vault := attic.Group("letters")
	second := w.AddRepository("second", filepath.Join(attic.Dir, "second"), password)
	w.API("PUT", "/api/repositories/"+second, map[string]any{"keeper": attic.ID}, http.StatusOK, nil)
	w.AwaitState(attic.Backup("letters"), "succeeded")
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	page := "/repositories/" + vault.ID
	b.Open(page)
	b.AwaitText("#repository-mirror", "A second copy of every snapshot")
	b.Press("Copy it to another repository…")
	b.set("#mirror-to", second)
	b.set("#mirror-host", attic.ID)
	b.Inspect("mirror-form")
	b.Click("#repository-mirror form button")
	b.AwaitText("#repository-mirror", "1 snapshot behind")
	b.AwaitText("#repository-mirror", "Last good copy none yet")
	b.Press("Copy now")
	b.AwaitPath("/jobs/")
	first := strings.TrimPrefix(b.Path(), "/jobs/")
	w.AwaitState(first, "succeeded")
	b.AwaitText("#job-header", "Succeeded")
	b.Inspect("job-copy")
	b.Open(page)
	b.AwaitText("#repository-mirror", "up to date")
	b.Inspect("mirror")
	w.AwaitState(attic.Backup("letters"), "succeeded")
	b.AwaitText("#repository-mirror", "1 snapshot behind") // the page is live
	b.AwaitText("#repository-mirror", "Behind since")
	b.Open("/repositories/" + second)
	b.AwaitText("#repository-mirror", "Mirror of attic-letters")
	if got := len(snapshotIDs(t, Repository{URL: filepath.Join(attic.Dir, "second"), Password: password})); got != 1 {
		t.Errorf("the mirror holds %d snapshots, want 1", got)
	}
	b.Open(page)
	b.Press("Change the mirror…")
	b.Press("Stop copying")
	b.AwaitText("#repository-mirror", "A second copy of every snapshot")
	w.MustStopCleanly()
}

// TestARepositoryIsRepairedStepByStep: a pack is lost, a check finds it, and each step is
// begun by its button.
func TestARepositoryIsRepairedStepByStep(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic", "--policy", "managed")
	attic.Noise("photo.raw", 1)
	vault := attic.Group("photos")
	w.AwaitState(attic.Backup("photos"), "succeeded")
	packs, err := filepath.Glob(filepath.Join(vault.URL, "data", "*", "*"))
	if err != nil || len(packs) == 0 {
		t.Fatalf("no packs: %v", err)
	}
	size := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	data := slices.MaxFunc(packs, func(a, b string) int { return int(size(a) - size(b)) }) // without the tree nothing would be left
	if err := os.Remove(data); err != nil {
		t.Fatal(err)
	}
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	page := "/repositories/" + vault.ID + "/repair"
	step := func(n int, button string) (job string) {
		t.Helper()
		b.Open(page)
		b.Click(fmt.Sprintf("#step-%d form button", n))
		b.AwaitPath("/jobs/")
		job = strings.TrimPrefix(b.Path(), "/jobs/")
		// Restic 0.14 asks ten times for each thing that is not there, with longer and longer pauses.
		world.AwaitWithin(t, 8*time.Minute, "the job of "+button+" to end", func() error {
			if !w.Job(job).ended() {
				return errors.New("it goes on")
			}
			return nil
		})
		return job
	}
	b.Open(page)
	b.AwaitText("#step-1", "Find what is damaged")
	b.Inspect("repair-begin")
	w.AwaitState(step(1, "Check"), "failed")
	b.Open(page)
	b.AwaitText("#step-1", "1 pack that is not there")
	b.AwaitText("#step-3", "Make the index anew")
	b.Inspect("repair-found")
	w.AwaitState(step(3, "Make the index anew"), "succeeded")
	b.Open(page)
	b.AwaitText("#step-4", "See what is lost")
	b.Inspect("repair-look")
	if strings.HasPrefix(restic(t, vault, "version"), "restic 0.14") { // which repairs no snapshot, and is refused
		w.MustStopCleanly()
		return
	}
	before := snapshotIDs(t, vault)
	w.AwaitState(step(4, "See what is lost"), "succeeded")
	b.AwaitText("main", "photo.raw")
	if after := snapshotIDs(t, vault); !slices.Equal(before, after) {
		t.Errorf("a dry run made %v of %v", after, before)
	}
	b.Open(page)
	b.AwaitText("#step-5", "Take it out for good")
	b.Inspect("repair-lost")
	w.AwaitState(step(5, "Take it out for good"), "succeeded")
	if after := snapshotIDs(t, vault); len(after) != 1 || slices.Equal(before, after) {
		t.Errorf("the repair made %v of %v", after, before)
	}
	b.Open(page)
	b.AwaitText("#step-6", "Check")
	w.AwaitState(step(6, "Check"), "succeeded")
	b.Open(page)
	b.AwaitText("main", "The last check found no errors")
	b.Inspect("repair-done")
	w.MustStopCleanly()
}

// TestFilesAreTakenOutOfSnapshotsByTheirPage: what would go is seen first, and where this restic
// cannot do it, that is said.
func TestFilesAreTakenOutOfSnapshotsByTheirPage(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic", "--policy", "managed")
	attic.Write("letters/1.txt", "dear reader")
	attic.Write("letters/secret.key", "0xdeadbeef")
	vault := attic.Group("letters")
	w.AwaitState(attic.Backup("letters"), "succeeded")
	before := snapshotIDs(t, vault)
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	page := "/repositories/" + vault.ID + "/change"
	b.Open(page)
	b.Fill("#rewrite-snapshots", before[0])
	b.Fill("#rewrite-exclude", "*.key")
	if strings.HasPrefix(restic(t, vault, "version"), "restic 0.14") {
		b.Click("#files form button")
		b.AwaitText("body", "restic 0.15 or newer")
		b.Refused("/repositories/"+vault.ID+"/run", http.StatusConflict)
		w.MustStopCleanly()
		return
	}
	b.Click("#files form button")
	b.AwaitPath("/jobs/")
	w.AwaitState(strings.TrimPrefix(b.Path(), "/jobs/"), "succeeded")
	b.AwaitText("main", "secret.key")
	b.Inspect("job-rewrite")
	if after := snapshotIDs(t, vault); !slices.Equal(before, after) {
		t.Errorf("a dry run made %v of %v", after, before)
	}
	b.Open(page + "?dry_run=" + strings.TrimPrefix(b.Path(), "/jobs/"))
	b.AwaitText("#seen", "Take them out for good")
	b.Inspect("change-seen")
	b.Click("#seen form button")
	b.AwaitPath("/jobs/")
	w.AwaitState(strings.TrimPrefix(b.Path(), "/jobs/"), "succeeded")
	after := snapshotIDs(t, vault)
	if len(after) != 1 || slices.Equal(before, after) {
		t.Fatalf("it made %v of %v", after, before)
	}
	if held := restic(t, vault, "ls", after[0]); strings.Contains(held, "secret.key") || !strings.Contains(held, "1.txt") {
		t.Errorf("it holds\n%s", held)
	}
	w.MustStopCleanly()
}

// TestSnapshotsAreTaggedByTheirPage; what this restic cannot do is said before it is asked for.
func TestSnapshotsAreTaggedByTheirPage(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic", "--policy", "managed")
	attic.Write("letters/1.txt", "dear reader")
	vault := attic.Group("letters")
	w.AwaitState(attic.Backup("letters"), "succeeded")
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	page := "/repositories/" + vault.ID + "/change"
	b.Open(page)
	b.Press("attic · letters")
	b.AwaitPath(page)
	if got := Eval[string](b, `document.querySelector("#tag-snapshots").value`); got != snapshotIDs(t, vault)[0] {
		t.Errorf("chosen are %q, want the only snapshot", got)
	}
	b.Fill("#tag-add", "year-end, legal")
	b.Inspect("change")
	b.Press("Change tags")
	b.AwaitPath("/jobs/")
	w.AwaitState(strings.TrimPrefix(b.Path(), "/jobs/"), "succeeded")
	b.AwaitText("#job-header", "Succeeded")
	b.Inspect("job-tag")
	if got := restic(t, vault, "snapshots", "--json", "--tag", "year-end,legal"); !strings.Contains(got, `"year-end"`) {
		t.Errorf("restic finds %s", got)
	}
	b.Open(page)
	b.Press("attic · letters")
	b.AwaitText("#tags", "They have")
	b.AwaitText("#tags", "year-end")
	w.MustStopCleanly()
}

// TestAPasswordIsChangedByItsPage: a key for somebody else is made and removed, and the
// password is changed, shown once, and opens.
func TestAPasswordIsChangedByItsPage(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic", "--policy", "managed")
	attic.Write("letters/1.txt", "dear reader")
	vault := attic.Group("letters")
	w.AwaitState(attic.Backup("letters"), "succeeded")
	w.API("PUT", "/api/repositories/"+vault.ID, map[string]any{"keeper": attic.ID}, http.StatusOK, nil)
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	page := "/repositories/" + vault.ID + "/keys"
	b.Open(page)
	b.Inspect("keys")
	b.Fill("#user", "ada")
	b.Press("Add key")
	b.AwaitText("#cmd-password", "")
	theirs := vault
	theirs.Password = Eval[string](b, `document.querySelector("#cmd-password").textContent.trim()`)
	opens := func(r Repository) error {
		cmd := exec.Command("restic", "--no-cache", "--no-lock", "cat", "config")
		cmd.Env = append(os.Environ(), "RESTIC_REPOSITORY="+r.URL, "RESTIC_PASSWORD="+r.Password)
		if got := command(t, cmd); got.code != 0 {
			return errors.New(got.errs)
		}
		return nil
	}
	world.Await(t, "the key of ada to open", func() error { return opens(theirs) })

	b.Open(page)
	b.Press("Change the password")
	b.AwaitText("#cmd-password", "")
	b.Inspect("keys-changing")
	now := vault
	now.Password = Eval[string](b, `document.querySelector("#cmd-password").textContent.trim()`)
	if now.Password == password || now.Password == theirs.Password {
		t.Errorf("the new password is %q", now.Password)
	}
	world.AwaitWithin(t, 3*time.Minute, "the old key to be removed", func() error {
		if opens(vault) == nil {
			return errors.New("the old password still opens")
		}
		return nil
	})
	if err := opens(now); err != nil {
		t.Errorf("the new password does not open: %v", err)
	}
	w.AwaitState(attic.Backup("letters"), "succeeded")
	b.Open(page)
	b.AwaitText("#password-change", "The old key is removed")
	b.Inspect("keys-changed")
	w.MustStopCleanly()
}

// TestAJobSaysWhatItWaitsFor: for its lock, and who has it; and what the storage answers, in
// which stage it is.
func TestAJobSaysWhatItWaitsFor(t *testing.T) {
	w := NewWorld(t)
	go503 := make(chan struct{})
	r := standin.New(t, "0.17.3", func(run *standin.Run) {
		if !run.Is("check") {
			run.Become("restic")
			return
		}
		stop := run.Interrupted()
		run.Out("using temporary cache in /tmp/x")
		run.Out("create exclusive lock for repository")
		run.Out("load indexes")
		run.Out("check all packs")
		run.Out("check snapshots, trees and blobs")
		for at := range 600 { // as restic does, once a second
			run.Out(fmt.Sprintf("[%d:%02d] 25.00%%  1 / 4 snapshots", at/60, at%60))
			select {
			case <-go503:
			case <-time.After(time.Second):
				continue
			}
			break
		}
		run.Err("Load(<data/61a0b3>, 0, 0) returned error, retrying after 12s: server response unexpected: 503 Service Unavailable (503)")
		<-stop
		run.Exit(130)
	})
	attic := w.Enrol("attic", "--policy", "managed")
	attic.Start()
	attic.AwaitOnline()
	attic.Noise("photo.raw", 4)
	vault := attic.Group("photos")
	w.AwaitState(attic.Backup("photos"), "succeeded")
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)

	holder := exec.Command("restic", "--no-cache", "--limit-download", "1", "dump", "latest", filepath.Join(attic.Home, "photo.raw"))
	holder.Env = append(os.Environ(), "RESTIC_REPOSITORY="+vault.URL, "RESTIC_PASSWORD="+vault.Password)
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Process.Kill(); _ = holder.Wait() }()
	world.Await(t, "its lock", func() error { _, err := lockOf(vault.URL); return err })
	ask := func() (job string) {
		var made struct{ ID string }
		w.API("POST", "/api/hosts/"+attic.ID+"/jobs", map[string]any{"kind": "check", "repository": vault.ID}, http.StatusAccepted, &made)
		return made.ID
	}
	first := ask()
	b.Open("/jobs/" + first)
	b.AwaitText("#progress", "Waiting for the repository's lock")
	b.AwaitText("#progress", fmt.Sprint(holder.Process.Pid))
	b.AwaitText("#progress", "It can be cancelled at once")
	b.Inspect("job-locked")
	b.Press("Cancel job…")
	b.Press("Cancel check")
	b.AwaitText("#job-header", "Cancelled")
	w.AwaitState(first, "cancelled")
	_ = holder.Process.Kill()

	attic.MustStop()
	attic.Restic = r.Path
	attic.Start()
	attic.AwaitOnline()
	w.AwaitState(func() string {
		var made struct{ ID string }
		w.API("POST", "/api/hosts/"+attic.ID+"/jobs", map[string]any{"kind": "unlock", "repository": vault.ID}, http.StatusAccepted, &made)
		return made.ID
	}(), "succeeded")
	second := ask()
	b.Open("/jobs/" + second)
	b.AwaitText("#progress", "Stage 3 of 3: checking snapshots, trees and blobs")
	b.AwaitText("#progress", "25 %")
	b.Inspect("job-stage")
	close(go503)
	b.AwaitText("#progress", "The storage answers 503, restic tries again in")
	b.Inspect("job-trouble")
	b.Press("Cancel job…")
	b.Press("Cancel check")
	w.AwaitState(second, "cancelled")
	w.MustStopCleanly()
}
