package restic

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/topics"
)

// TestWhatAFailedLockMeans has the reasons as restic 0.14 to 0.19 gives them, and beside
// each kind its neighbours, for which nothing is read without a lock.
func TestWhatAFailedLockMeans(t *testing.T) {
	for _, test := range []struct {
		want verdict
		why  string
	}{
		{lockRefused, "open /srv/repo/locks/ec3a914d06-tmp-2991208959: read-only file system"},
		{lockRefused, "open /srv/repo/locks/35e8c76f34-tmp-2037262507: permission denied"},
		{lockRefused, "open /srv/repo/locks/35e8c76f34-tmp-2037262507: operation not permitted"},
		{lockRefused, "write /srv/repo/locks/2352102437-tmp-2655554348: no space left on device"},
		{lockRefused, "write /srv/repo/locks/2352102437-tmp-2655554348: disk quota exceeded"},
		{lockRefused, "sftp: no space left on device"},
		{lockRefused, `OpenFile: sftp: "Permission denied" (SSH_FX_PERMISSION_DENIED)`},
		{lockRefused, `open D:\repo\locks\ec3a914d06-tmp-29: The media is write protected.`},
		{lockRefused, `open D:\repo\locks\ec3a914d06-tmp-29: Access is denied.`},
		{lockRefused, `write D:\repo\locks\ec3a914d06-tmp-29: There is not enough space on the disk.`},
		{lockRefused, "server response unexpected: 403 Forbidden (403)"},
		{lockRefused, "unexpected HTTP response (403): 403 Forbidden"},
		{lockRefused, "server response unexpected: 507 Insufficient Storage (507)"},
		{lockRefused, "unexpected HTTP response (507): 507 Insufficient Storage"},
		{lockRefused, "unexpected HTTP response (405): 405 Method Not Allowed"},
		{lockRefused, "unexpected HTTP response (401): 401 Unauthorized"},
		{lockRefused, "client.PutObject: Access Denied."},
		{lockRefused, "client.PutObject: Bucket quota exceeded"},
		{lockRefused, "b2_upload_file: 403: Cannot upload files, storage cap exceeded. See the Caps & Alerts page to increase your cap."},

		{lockDoubtful, `OpenFile: sftp: "Failure" (SSH_FX_FAILURE)`}, // a full disk without statvfs, and much else
		{lockDoubtful, "server response unexpected: 500 Internal Server Error (500)"},
		{lockDoubtful, "open /srv/repo/locks/ec3a-tmp-29: input/output error"},
		{lockDoubtful, "open /srv/403 forbidden: read-only file system/locks/ec3a-tmp-29: input/output error"}, // a name

		{lockHeld, "repository is already locked exclusively by PID 1023 on node01 by root (UID 0, GID 0)"},
		{lockHeld, "repository is already locked by PID 1217 on node01 by root (UID 0, GID 0)"},
		{lockHeld, "invalid lock file: ciphertext verification failed"},
		{lockHeld, "context canceled"},
		{lockHeld, `Post "http://10.0.0.7:8000/locks/ec3a": dial tcp 10.0.0.7:8000: connect: connection refused`},
		{lockHeld, `Post "http://nas:8000/locks/ec3a": dial tcp: lookup nas: no such host`},
		{lockHeld, `Post "http://nas:8000/locks/ec3a": read tcp 10.0.0.7:40118->10.0.0.8:8000: i/o timeout`},
		{lockHeld, `Post "http://nas:8000/locks/ec3a": EOF`},
		{lockHeld, "connection lost"},
		{lockHeld, "unexpected HTTP response (503): 503 Service Unavailable"},
		{lockHeld, "unexpected HTTP response (429): 429 Too Many Requests"},
		{lockHeld, "client.PutObject: Please reduce your request rate."},
	} {
		if got := verdictOf(test.why); got != test.want {
			t.Errorf("%q is %d, want %d", test.why, got, test.want)
		}
	}
}

// TestALockIsNotedAsRefusedInEveryVersionsWords has whole outputs.
func TestALockIsNotedAsRefusedInEveryVersionsWords(t *testing.T) {
	const full = "write /r/locks/ab-tmp-1: no space left on device"
	for name, test := range map[string]struct {
		lines []string
		want  string
	}{
		"0.14": {[]string{full, "github.com/restic/restic/internal/backend/local.(*Local).Save", "\tgithub.com/restic/restic/local.go:170",
			"main.main", "runtime.main", "\truntime/proc.go:250", "unable to create lock in backend"}, full},
		"0.16": {[]string{"unable to create lock in backend: " + full}, full},
		"0.17": {[]string{"Save(<lock/ab12cd34ef>) failed: " + full, "Fatal: unable to create lock in backend: " + full}, full},
		"held, 0.14": {[]string{"unable to create lock in backend: repository is already locked exclusively by PID 1 on a by root (UID 0, GID 0)",
			"lock was created at 2026-11-22 04:41:16 (3.76s ago)", "storage ID 163d9ce8"}, ""},
		"another file": {[]string{"Save(<data/e46b21e12b>) returned error, retrying after 552.330144ms: " + full,
			"Fatal: unable to save snapshot: " + full}, ""},
	} {
		l := &lockless{}
		for _, line := range test.lines {
			l.listen(line)
		}
		if l.refused != test.want {
			t.Errorf("%s: noted %q, want %q", name, l.refused, test.want)
		}
	}
}

// refusing serves a repository that a client can read. What is to be written gets the
// status.
func refusing(t *testing.T, dir string, status int) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		path := filepath.Join(dir, filepath.FromSlash(r.URL.Path))
		if kind, name := filepath.Split(r.URL.Path); strings.HasPrefix(kind, "/data/") && len(name) > 2 {
			path = filepath.Join(dir, "data", name[:2], name)
		}
		info, err := os.Stat(path)
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			http.Error(rw, http.StatusText(status), status)
		case err != nil:
			http.NotFound(rw, r)
		case !info.IsDir():
			http.ServeFile(rw, r, path)
		default:
			names := []string{}
			_ = filepath.WalkDir(path, func(_ string, d os.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					names = append(names, d.Name())
				}
				return nil
			})
			rw.Header().Set("Content-Type", "application/vnd.x.restic.rest.v1")
			_ = json.NewEncoder(rw).Encode(names)
		}
	}))
	t.Cleanup(server.Close)
	return "rest:" + server.URL + "/"
}

// TestWhatTakesNoWritesIsReadAllTheSame restores from, and checks, repositories in which
// no lock can be written.
func TestWhatTakesNoWritesIsReadAllTheSame(t *testing.T) {
	t.Parallel()
	mounted := func(t *testing.T, options string) string {
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
			t.Logf("no file system of our own (%v): a server that refuses stands in", err)
			return ""
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
		return dir
	}
	for name, test := range map[string]struct {
		why   string
		close func(t *testing.T, w *world)
	}{
		"full": {"no space left", func(t *testing.T, w *world) {
			dir := mounted(t, "size=1m")
			if dir == "" {
				w.repo.URL = topics.Secret(refusing(t, w.repo.URL.Reveal(), http.StatusInsufficientStorage))
				return
			}
			if err := os.CopyFS(filepath.Join(dir, "repo"), os.DirFS(w.repo.URL.Reveal())); err != nil {
				t.Fatal(err)
			}
			w.repo.URL = topics.Secret(filepath.Join(dir, "repo"))
			if err := os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 2<<20), 0o600); err == nil {
				t.Fatal("the disk is not full")
			}
		}},
		"read-only": {"read-only file system", func(t *testing.T, w *world) {
			dir := mounted(t, "size=8m")
			if dir == "" {
				w.repo.URL = topics.Secret(refusing(t, w.repo.URL.Reveal(), http.StatusForbidden))
				return
			}
			if err := os.CopyFS(filepath.Join(dir, "repo"), os.DirFS(w.repo.URL.Reveal())); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
			w.repo.URL = topics.Secret(filepath.Join(dir, "repo"))
		}},
		"403": {"403", func(t *testing.T, w *world) {
			w.repo.URL = topics.Secret(refusing(t, w.repo.URL.Reveal(), http.StatusForbidden))
		}},
		"507": {"507", func(t *testing.T, w *world) {
			w.repo.URL = topics.Secret(refusing(t, w.repo.URL.Reveal(), http.StatusInsufficientStorage))
		}},
		"500, again and again": {"500", func(t *testing.T, w *world) {
			w.repo.URL = topics.Secret(refusing(t, w.repo.URL.Reveal(), http.StatusInternalServerError))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.vault()
			e := w.backup()
			w.want(e, topics.Succeeded, topics.CauseNone)
			id := e.Snapshot.ID
			test.close(t, w)
			to := filepath.Join(t.TempDir(), "to")
			e = w.b.Restore(t.Context(), w.place, w.repo, Restore{Snapshot: id, Target: to}, w.sink)
			w.want(e, topics.Succeeded, topics.CauseNone)
			if b, err := os.ReadFile(filepath.Join(to, w.source, "letters/1.txt")); err != nil || string(b) != "dear reader" {
				t.Errorf("restored %q, %v", b, err)
			}
			if e.Result == nil || e.Result.NoLock == "" {
				t.Errorf("the result does not say that there was no lock: %+v", e.Result)
			}
			if !strings.Contains(w.sink.text(), "restored without a lock, since none could be written: ") {
				t.Errorf("the log does not say it:\n%s", w.sink.text())
			}
			e = w.b.Check(t.Context(), w.place, w.repo, Check{}, w.sink)
			w.want(e, topics.Succeeded, topics.CauseNone)
			if e.Result == nil || e.Result.Check == nil || e.Result.NoLock == "" || e.Result.Check.Errors > 0 {
				t.Errorf("%+v", e.Result)
			}
		})
	}
}

// TestAHeldRepositoryIsNotReadWithoutALock is the neighbour: somebody else's lock, and
// one more on a disk that takes no writes.
func TestAHeldRepositoryIsNotReadWithoutALock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	e := w.backup()
	w.want(e, topics.Succeeded, topics.CauseNone)
	id := e.Snapshot.ID
	check := w.plain("check")
	if err := check.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = check.Process.Kill(); _ = check.Wait() }()
	await(t, func() error {
		if found, err := os.ReadDir(filepath.Join(w.repo.URL.Reveal(), "locks")); err != nil || len(found) == 0 || len(found[0].Name()) != 64 {
			return fmt.Errorf("no lock yet (%v)", err)
		}
		return check.Process.Signal(unix.SIGSTOP)
	})
	local := w.repo.URL
	for _, url := range []topics.Secret{local, topics.Secret(refusing(t, local.Reveal(), http.StatusForbidden))} {
		w.repo.URL = url
		e = w.b.Restore(t.Context(), w.place, w.repo, Restore{Snapshot: id, Target: filepath.Join(t.TempDir(), "to")}, w.sink)
		w.want(e, topics.Failed, topics.CauseLocked)
		w.want(w.b.Check(t.Context(), w.place, w.repo, Check{}, w.sink), topics.Failed, topics.CauseLocked)
	}
	if strings.Contains(w.sink.text(), "without a lock") {
		t.Error(w.sink.text())
	}
	w.repo.URL = local
	// What only reads and takes no lock goes on.
	w.want(w.b.Snapshots(t.Context(), w.place, w.repo, Snapshots{}, w.sink), topics.Succeeded, topics.CauseNone)
}
