package web

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// disk has everything that the test puts into temporary directories on a disk of its
// own of so many bytes.
func disk(t *testing.T, size int) (dir string) {
	t.Helper()
	dir = must(os.MkdirTemp("", "disk")) // t.TempDir would keep to where it was asked for first
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("this test mounts a disk, for which it has to be root: %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(unix.Unmount(dir, unix.MNT_DETACH), os.Remove(dir)); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("TMPDIR", dir)
	return dir
}

// fill takes all there is left on a disk; free gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "fill")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// lock has another connection hold the database for writing.
func lock(t *testing.T, dir string) (release func()) { return other(t, dir, "immediate") }

// look has another connection read the database for a long time, so that its log grows.
func look(t *testing.T, dir string) (release func()) { return other(t, dir, "deferred") }

// beside opens the database below a directory once more.
func beside(t *testing.T, dir, how string) *sql.DB {
	t.Helper()
	var path string
	if err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if filepath.Base(p) == "restic-manager.db" {
			path = p
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return must(sql.Open("sqlite", "file:"+path+"?_txlock="+how+"&_pragma=busy_timeout(5000)"))
}

func other(t *testing.T, dir, how string) (release func()) {
	t.Helper()
	db := beside(t, dir, how)
	tx := must(db.BeginTx(context.Background(), nil))
	if _, err := tx.Exec(`SELECT count(*) FROM users`); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(tx.Rollback(), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// furnished is a world with something to see on every page.
func furnished(t *testing.T, change ...func(*base.Config)) (w *world, attic *agent, done topics.JobID) {
	w = newWorld(t, change...)
	attic = w.enrol("attic")
	group := attic.group("letters")
	attic.connect()
	api := w.program(store.Admin)
	if r := api.do("PUT", "/api/hosts/"+string(attic.id)+"/schedules/nightly",
		`{"cron":"30 2 * * *","zone":"UTC","source_groups":["letters"]}`); r.StatusCode/100 != 2 {
		t.Fatalf("%s %s", r.Status, r.text)
	}
	attic.lists(group.Repository, topics.Snapshot{ID: strings.Repeat("a", 64), Time: time.Now().UnixMilli(), Host: "attic",
		Paths: []string{"/letters"}, Tags: []string{"plan=" + string(group.ID)}})
	done = w.backup(attic)
	attic.start(done)
	attic.logs(done, 1, 5)
	attic.finish(done, topics.Finished{State: topics.Succeeded, Snapshot: &topics.Snapshot{ID: strings.Repeat("c", 64),
		Time: time.Now().UnixMilli(), Host: "attic", Paths: []string{"/letters"}}, Summary: &topics.Summary{TotalFiles: 1, TotalBytes: 1}})
	return w, attic, done
}

// addresses are those of the API that can be read, for one host, repository and job.
func (w *world) addresses(host topics.HostID, repository topics.RepositoryID, job topics.JobID) (paths []string) {
	for _, path := range w.web.Addresses("GET") {
		if !strings.HasPrefix(path, "/api/") || strings.HasSuffix(path, "/stream") {
			continue
		}
		id := map[string]string{"hosts": string(host), "repositories": string(repository), "jobs": string(job)}[strings.Split(path, "/")[2]]
		paths = append(paths, strings.NewReplacer("{id}", id, "{name}", "nightly").Replace(path))
	}
	return paths
}

// While the database cannot be written, for whatever reason, everything can be read by
// whoever is signed in, people sign in and out, and what cannot be done says why.
// Afterwards everything goes on by itself, and what was kept in memory is written.
func TestWhoeverLooksGoesOnWhileTheDatabaseCannotBeWritten(t *testing.T) {
	dir := disk(t, 24<<20)
	timing := quick()
	timing.Touch, timing.Use, timing.Check = 0, 50*time.Millisecond, time.Hour // nothing settles but by hand
	w, attic, done := furnished(t, func(c *base.Config) { c.Timing = timing })
	w.web.writes.every, w.faulty = 0, true
	w.known("ada", store.Operator)
	repository := must(w.store.Repositories(t.Context()))[0].ID
	admin, program, leaving := w.person(store.Admin), w.program(store.Admin), w.person(store.Viewer)
	pages := admin.crawl("/", "/account", "/users", "/jobs/"+string(done))
	if len(pages) < 20 {
		t.Fatalf("only %d pages: %q", len(pages), pages)
	}
	read := func() time.Duration {
		began := time.Now()
		for _, path := range pages {
			if strings.HasSuffix(path, "/kit") { // that a secret is shown has to be written down
				continue
			}
			if r := admin.do("GET", path, nil); r.StatusCode != http.StatusOK {
				t.Errorf("GET %s: %s", path, r.Status)
			}
		}
		for _, path := range w.addresses(attic.id, repository, done) {
			if r := program.do("GET", path, nil); r.StatusCode >= 500 {
				t.Errorf("GET %s: %s %s", path, r.Status, r.text)
			}
		}
		return time.Since(began)
	}
	usual := read()
	for _, c := range []struct {
		why   string
		spoil func() (mend func())
		said  string // in the answer to who wants to change something
		ready string
	}{
		{"a full disk", func() func() {
			release, free := look(t, dir), fill(t, dir)
			// What the log has of pages already is written over first, and two writes within a millisecond are one.
			for began := time.Now(); time.Since(began) < time.Minute; {
				if err := w.store.Try(t.Context()); err != nil {
					return func() { free(); release() }
				}
			}
			t.Fatal("the database can be written on a full disk")
			return nil
		}, "The disk of the control plane is full", "the disk is full"},
		{"a locked database", func() func() { return lock(t, dir) }, "database is busy", "the database is locked or busy"},
	} {
		t.Run(c.why, func(t *testing.T) {
			before := len(must(w.store.SessionList(t.Context(), "")))
			mend := c.spoil()
			// As long as ever, or as nobody waits for longer than one may; SQLite would each time for seconds.
			if took := read(); took > 5*usual+time.Duration(len(pages))*timing.Use*4 {
				t.Errorf("it took %s, and %s before", took, usual)
			}
			f := leaving.feed("/events?view=fleet")
			f.next()
			if r := w.nobody().do("GET", "/readyz", nil); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(r.text, c.ready) {
				t.Errorf("readyz: %s %s", r.Status, r.text)
			}
			if r := w.nobody().do("GET", "/healthz", nil); r.StatusCode != http.StatusOK {
				t.Errorf("healthz: %s", r.Status)
			}
			if c.why != "a locked database" { // there it takes as long as SQLite waits
				if r := program.do("POST", "/api/hosts/"+string(attic.id)+"/jobs", `{"kind":"backup"}`); r.StatusCode != 503 ||
					!strings.Contains(r.text, c.said) {
					t.Errorf("a job: %s %s", r.Status, r.text)
				}
			}
			// Whoever signs in now is in, and out again when they say so.
			late := w.nobody()
			if r := late.do("POST", "/login", url.Values{"name": {"ada"}, "password": {passphrase}}); r.StatusCode != http.StatusSeeOther {
				t.Fatalf("signing in: %s %s", r.Status, r.text)
			}
			if !late.signedIn() {
				t.Error("who signed in is not signed in")
			}
			brief := w.nobody()
			brief.do("POST", "/login", url.Values{"name": {"ada"}, "password": {passphrase}})
			if r := brief.do("POST", "/logout", nil); r.StatusCode != http.StatusSeeOther || brief.signedIn() {
				t.Errorf("signing out: %s", r.Status)
			}
			mend()
			if !late.signedIn() || !admin.signedIn() {
				t.Error("a session is over")
			}
			if r := w.nobody().do("GET", "/readyz", nil); r.StatusCode != http.StatusOK {
				t.Errorf("readyz afterwards: %s %s", r.Status, r.text)
			}
			// A write from before may still be at it, and make a row of the one that is over.
			await(t, "the session that is not over to be written down, and no other", func() error {
				if err := w.web.Sessions.Settle(t.Context()); err != nil {
					return err
				}
				w.web.Sessions.Wait()
				if n := len(must(w.store.SessionList(t.Context(), ""))) - before; n != 1 {
					return fmt.Errorf("%d are", n)
				}
				return nil
			})
			if brief.signedIn() || !late.signedIn() {
				t.Error("who signed out is signed in, or who did not is not")
			}
		})
	}
	leaving.do("POST", "/logout", nil)
	if leaving.signedIn() {
		t.Error("who signed out is signed in")
	}
}
