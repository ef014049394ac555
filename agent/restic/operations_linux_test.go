package restic

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/agent/process"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// TestForgettingIsBelievedWhenTheSnapshotsAreGone asks a server that deletes nothing.
func TestForgettingIsBelievedWhenTheSnapshotsAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := t.TempDir()
	serve := func(args ...string) string {
		address := e2e.FreeAddress(t)
		server := exec.Command("rclone", append([]string{"serve", "restic", "--addr", address, store}, args...)...)
		server.Env = append(process.Inherited(), "RCLONE_CONFIG=/dev/null")
		if err := server.Start(); err != nil {
			t.Fatalf("%v: install rclone", err)
		}
		t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
		await(t, func() error {
			c, err := net.Dial("tcp", address)
			if err == nil {
				c.Close()
			}
			return err
		})
		return "rest:http://" + address + "/attic/"
	}
	keeper := serve()
	w.repo.URL = topics.Secret(serve("--append-only"))
	w.ensure()
	var ids []string
	for i := range 3 {
		w.write("n", fmt.Sprint(i))
		e := w.backup()
		w.want(e, topics.Succeeded, topics.CauseNone)
		ids = append(ids, e.Snapshot.ID)
	}
	ctx, over := context.WithCancelCause(t.Context())
	defer over(nil)
	w.sink.onLine = func(line string) {
		if strings.Contains(line, "403") { // 0.14 would try for a minute: its time is over
			over(context.DeadlineExceeded)
		}
	}
	e := w.b.Forget(ctx, w.place, w.repo, Forget{IDs: ids[:1]}, w.sink)
	if e.State != topics.Failed || e.Cause != topics.CauseAppendOnly || e.Result == nil || len(e.Result.Removed) != 0 {
		t.Errorf("on an append-only server: %+v, %+v", e, e.Result)
	}
	w.sink.onLine = nil
	w.want(w.b.Unlock(t.Context(), w.place, w.repo, w.sink), topics.Succeeded, topics.CauseNone)
	w.repo.URL = topics.Secret(keeper)
	gone := strings.Repeat("cd", 32)
	e = w.b.Forget(t.Context(), w.place, w.repo, Forget{IDs: []string{ids[0], gone, ids[1]}}, w.sink)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if !slices.Equal(e.Result.Removed, []string{ids[0], gone, ids[1]}) {
		t.Errorf("removed %v", e.Result.Removed)
	}
	if e = w.b.Forget(t.Context(), w.place, w.repo, Forget{}, w.sink); e.State != topics.Failed {
		t.Errorf("forgot nothing: %+v", e)
	}
}

// TestAListingNamesWhatItLeavesOut damages the file of one of two snapshots: restic
// lists the other one, and calls that a success.
func TestAListingNamesWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
	lost := w.backup()
	w.want(lost, topics.Succeeded, topics.CauseNone)
	e := w.b.List(t.Context(), w.place, w.repo, w.sink)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if e.Result.Count != 2 || e.Result.Unreadable != nil || e.Result.Truncated {
		t.Errorf("a listing of all: %+v", e.Result)
	}
	var config struct {
		ID string `json:"id"`
	}
	if out, err := w.plain("cat", "config").Output(); err != nil || json.Unmarshal(out, &config) != nil || config.ID != e.Result.Place {
		t.Errorf("the repository is %q, restic says %s, %v", e.Result.Place, out, err)
	}

	file := filepath.Join(w.repo.URL.Reveal(), "snapshots", lost.Snapshot.ID)
	if err := errors.Join(os.Chmod(file, 0o600), os.WriteFile(file, []byte("this is no snapshot, and long enough to be one"), 0o600),
		os.RemoveAll(w.place.CacheDir)); err != nil {
		t.Fatal(err)
	}
	e = w.b.List(t.Context(), w.place, w.repo, w.sink)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if e.Result.Count != 1 || len(e.Result.Unreadable) != 1 || !strings.HasPrefix(lost.Snapshot.ID, e.Result.Unreadable[0]) {
		t.Errorf("a listing that leaves one out: %+v", e.Result)
	}
	if e = w.b.Forget(t.Context(), w.place, w.repo, Forget{IDs: []string{strings.Repeat("cd", 32)}}, w.sink); e.Result == nil ||
		!slices.Equal(e.Result.Removed, []string{strings.Repeat("cd", 32)}) {
		t.Errorf("one that is not there: %+v, %+v", e, e.Result)
	}
}

// TestWhatIsLeftOutIsReadInEveryVersion has a stand-in say it as versions do.
func TestWhatIsLeftOutIsReadInEveryVersion(t *testing.T) {
	for _, line := range []string{
		"could not load snapshot " + full[:8] + ": load <snapshot/" + full[:10] + ">: invalid data returned",
		`Ignoring "` + full + `": failed to load snapshot ` + full[:8] + `: LoadRaw(<snapshot/` + full[:10] + `>): invalid data returned`,
	} {
		w := standIn(t, `[ $1 = forget ] && exit 0
echo '`+line+`' >&2
echo '[]'`)
		w.b.Version = Version{Minor: 16, Patch: 5}
		e := w.b.List(t.Context(), w.place, w.repo, w.sink)
		w.want(e, topics.Succeeded, topics.CauseNone)
		if len(e.Result.Unreadable) != 1 || !strings.HasPrefix(full, e.Result.Unreadable[0]) || e.Result.Place != "" {
			t.Errorf("%s: %+v", line, e.Result)
		}
		if e = w.b.Forget(t.Context(), w.place, w.repo, Forget{IDs: []string{full}}, w.sink); e.State != topics.Failed ||
			len(e.Result.Removed) != 0 {
			t.Errorf("%s: it counts as removed: %+v, %+v", line, e, e.Result)
		}
	}
}

// TestForgettingThatResticOnlyClaims has a stand-in succeed and remove nothing, as
// 0.17 and 0.18 do on an append-only server.
func TestForgettingThatResticOnlyClaims(t *testing.T) {
	w := standIn(t, `[ $1 = forget ] && {
	echo "Remove(<snapshot/6b778991a1>) failed: unexpected HTTP response (403): 403 Forbidden" >&2
	exit 0
}
echo '[{"id":"`+full+`","time":"2026-01-01T00:00:00Z"}]'`)
	w.b.Version = Version{Minor: 18, Patch: 1}
	e := w.b.Forget(t.Context(), w.place, w.repo, Forget{IDs: []string{full, strings.Repeat("ab", 32)}}, w.sink)
	w.want(e, topics.Failed, topics.CauseAppendOnly)
	if !slices.Equal(e.Result.Removed, []string{strings.Repeat("ab", 32)}) {
		t.Errorf("removed %v", e.Result.Removed)
	}
}

// TestLocksAreToldWithWhatIsKnownOfThem holds two with real checks, stopped in the
// middle; one of them is killed.
func TestLocksAreToldWithWhatIsKnownOfThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
	locks := filepath.Join(w.repo.URL.Reveal(), "locks")
	hold := func(mark string, n int) *exec.Cmd {
		ls := w.plain("mount", "--no-such") // only for its environment
		ls.Args = []string{"restic", "--limit-download", "1", "dump", "latest", w.source + "/big"}
		ls.Env = append(ls.Env, mark)
		ls.Stdout = nil
		if err := ls.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ls.Process.Kill(); _ = ls.Wait() })
		await(t, func() error {
			found, err := os.ReadDir(locks)
			done := 0
			for _, f := range found {
				if len(f.Name()) == 64 {
					done++
				}
			}
			if err != nil || done < n {
				return fmt.Errorf("%d of %d locks (%v)", done, n, err)
			}
			return ls.Process.Signal(unix.SIGSTOP)
		})
		return ls
	}
	w.write("big", strings.Repeat("x", 1<<20))
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
	job := topics.JobID(topics.NewID(time.Now()))
	ours := hold(process.Mark(job), 1)
	dead := hold("X=1", 2)
	if err := dead.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = dead.Wait()
	if err := os.WriteFile(filepath.Join(locks, full), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := w.b.Locks(t.Context(), w.place, w.repo, w.sink)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if len(e.Report.Locks) != 3 || e.Result.Count != 3 {
		t.Fatalf("%+v", e.Report.Locks)
	}
	for _, l := range e.Report.Locks {
		alive := l.Alive != nil && *l.Alive
		switch {
		case l.ID == full && l == (topics.Lock{ID: full}):
		case l.PID == ours.Process.Pid && alive && l.Job == job && !l.Exclusive && l.User != "" && time.Since(time.UnixMilli(l.Time)) < time.Hour:
		case l.PID == dead.Process.Pid && l.Alive != nil && !alive && l.Job == "":
		default:
			t.Errorf("lock %+v; ours is %d, the dead one %d", l, ours.Process.Pid, dead.Process.Pid)
		}
	}
	if err := os.Remove(filepath.Join(locks, full)); err != nil {
		t.Fatal(err)
	}
	if e = w.b.RemoveLocks(t.Context(), w.place, w.repo, false, w.sink); e.State != topics.Succeeded || e.Result.Unlocked != 1 {
		t.Errorf("unlock: %+v, %+v", e, e.Result)
	}
	if e = w.b.RemoveLocks(t.Context(), w.place, w.repo, true, w.sink); e.State != topics.Succeeded || e.Result.Unlocked != 1 {
		t.Errorf("unlock, all: %+v, %+v", e, e.Result)
	}
}

func TestWhatACheckFinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	big := make([]byte, 1<<19) // no compression makes it smaller than the trees
	if _, err := rand.Read(big); err != nil {
		t.Fatal(err)
	}
	w.write("big", string(big))
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
	e := w.b.Check(t.Context(), w.place, w.repo, Check{ReadData: true}, w.sink)
	w.want(e, topics.Succeeded, topics.CauseNone)
	packs, err := filepath.Glob(filepath.Join(w.repo.URL.Reveal(), "data", "*", "*"))
	if err != nil || len(packs) == 0 {
		t.Fatalf("%v, %v", packs, err)
	}
	sizeOf := func(path string) int64 {
		i, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return i.Size()
	}
	slices.SortFunc(packs, func(a, b string) int { return cmp.Compare(sizeOf(b), sizeOf(a)) }) // data, not trees
	if err := os.Remove(packs[0]); err != nil {
		t.Fatal(err)
	}
	e = w.b.Check(t.Context(), w.place, w.repo, Check{}, w.sink)
	w.want(e, topics.Failed, topics.CauseDamaged)
	if c := e.Result.Check; c.Errors != 1 || !slices.Equal(c.Broken, []string{filepath.Base(packs[0])}) ||
		!strings.Contains(e.Message, "1 error found") {
		t.Errorf("%s: %+v", e.Message, c)
	}
}

// TestACheckReadsWhatTheCacheHolds: a flipped byte in what the host's cache holds of
// the repository is found, and only what was asked to take the cache for it does not.
func TestACheckReadsWhatTheCacheHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	w.write("big", strings.Repeat("all work and no play", 1<<15))
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
	w.want(w.b.Check(t.Context(), w.place, w.repo, Check{WithCache: true}, w.sink), topics.Succeeded, topics.CauseNone)
	vault, inCache := w.repo.URL.Reveal(), map[string]bool{}
	if err := filepath.WalkDir(w.place.CacheDir, func(path string, _ fs.DirEntry, err error) error {
		inCache[filepath.Base(path)] = true
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"index", "snapshots", "data/*"} {
		files, err := filepath.Glob(filepath.Join(vault, kind, "*"))
		if err != nil {
			t.Fatal(err)
		}
		files = slices.DeleteFunc(files, func(path string) bool { return !inCache[filepath.Base(path)] })
		if len(files) == 0 {
			t.Fatalf("nothing of %s is in the cache, so that nothing is tried", kind)
		}
		whole, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		flipped := slices.Clone(whole)
		flipped[len(flipped)/2] ^= 1
		if err := errors.Join(os.Chmod(files[0], 0o600), os.WriteFile(files[0], flipped, 0o600)); err != nil {
			t.Fatal(err)
		}
		if e := w.b.Check(t.Context(), w.place, w.repo, Check{}, w.sink); e.State != topics.Failed || e.Cause != topics.CauseDamaged {
			t.Errorf("%s, flipped: a check is %s %q: %s", kind, e.State, e.Cause, e.Message)
		}
		if e := w.b.Check(t.Context(), w.place, w.repo, Check{WithCache: true}, w.sink); e.State != topics.Succeeded {
			t.Errorf("%s, flipped: with the cache a check is %s: %s; its description says that it does not see it", kind, e.State, e.Message)
		}
		if err := os.WriteFile(files[0], whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	checks := filepath.Join(w.place.CacheDir, "restic-check-cache-")
	if left, err := filepath.Glob(checks + "*"); err != nil || len(left) > 0 {
		t.Errorf("checks leave their own caches behind: %v (%v)", left, err)
	}
	if err := errors.Join(os.MkdirAll(checks+"killed/data", 0o700), ClearChecks(w.place)); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(checks + "*"); err != nil || len(left) > 0 {
		t.Errorf("the cache of a check that was killed stays: %v (%v)", left, err)
	}
}

// certificate signs itself, for 127.0.0.1 or a name.
func certificate(t *testing.T, name string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "t"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestAServerThatCannotBeReachedIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	status := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	serve := func(name string) (url, ca string) {
		s := httptest.NewUnstartedServer(status)
		pair, ca := certificate(t, name)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL, ca
	}
	good, ca := serve("127.0.0.1")
	other, otherCA := serve("elsewhere.example")
	plain := httptest.NewServer(status)
	t.Cleanup(plain.Close)
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mute.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	refused := closed.Addr().String()
	for name, c := range map[string]struct {
		url, ca string
		cause   topics.Cause
	}{
		"it answers":                      {"rest:" + good + "/attic/", ca, ""},
		"it answers in clear":             {"rest:" + plain.URL + "/attic/", "", ""},
		"an S3 server":                    {"s3:" + good + "/bucket/dir", ca, ""},
		"nobody knows its CA":             {"rest:" + good + "/attic/", "", topics.CauseCertificate},
		"its CA is another":               {"rest:" + good + "/attic/", otherCA, topics.CauseCertificate},
		"its name is another":             {"rest:" + other + "/attic/", otherCA, topics.CauseCertificate},
		"an S3 server nobody knows":       {"s3:" + good + "/bucket", "", topics.CauseCertificate},
		"it speaks no TLS":                {"rest:" + strings.Replace(plain.URL, "http:", "https:", 1) + "/", "", topics.CauseUnreachable},
		"nobody listens":                  {"rest:http://" + refused + "/attic/", "", topics.CauseUnreachable},
		"nobody listens for S3":           {"s3:https://" + refused + "/bucket", "", topics.CauseUnreachable},
		"its name is none":                {"rest:https://nosuchhost.invalid/attic/", "", topics.CauseUnreachable},
		"it says nothing":                 {"rest:http://" + mute.Addr().String() + "/", "", ""},
		"the CA's file is not there":      {"rest:" + good + "/attic/", "/no/such/ca.pem", ""}, // restic says so better
		"a local path":                    {"/srv/repo", "", ""},
		"over ssh":                        {"sftp://user@" + refused + "//srv/repo", "", topics.CauseUnreachable},
		"what is no repository's address": {"rest:nowhere", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Repository{URL: topics.Secret(c.url), Password: password, Env: map[string]topics.Secret{}}
			if c.ca != "" {
				r.Env["RESTIC_CACERT"] = topics.Secret(c.ca)
			}
			sink := &recorder{}
			b := Binary{Version: Version{Minor: 19, Patch: 1}, Timing: Timing{Reach: 5 * time.Second}}
			begun := time.Now()
			e := b.Reach(t.Context(), r, sink)
			if (e.State == topics.Succeeded) != (c.cause == "") || e.Cause != c.cause || (e.Message == "") != (c.cause == "") {
				t.Errorf("%+v\n%s", e, sink.text())
			}
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("it took %v", took)
			}
			b.Version = Version{Minor: 17, Patch: 3} // says so itself, but for what ssh says
			if e := b.Reach(t.Context(), r, sink); e.State != topics.Succeeded && !strings.HasPrefix(c.url, "sftp:") {
				t.Errorf("%+v of 0.17.3", e)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if e := (Binary{Version: Version{Minor: 19, Patch: 1}}).Reach(ctx, Repository{URL: topics.Secret("rest:http://" + refused + "/")},
		&recorder{}); e.State != topics.Cancelled {
		t.Errorf("cancelled: %+v", e)
	}
}

// TestAServerThatComesBackInTimeIsReached is what looking again is for.
func TestAServerThatComesBackInTimeIsReached(t *testing.T) {
	t.Parallel()
	address := e2e.FreeAddress(t)
	sink := &recorder{onLine: func(string) { // it was refused once
		if l, err := net.Listen("tcp", address); err == nil {
			s := &http.Server{}
			go func() { _ = s.Serve(l) }()
			t.Cleanup(func() { s.Close() })
		}
	}}
	b := Binary{Version: Version{Minor: 18, Patch: 1}, Timing: Timing{Reach: time.Minute}}
	if e := b.Reach(t.Context(), Repository{URL: topics.Secret("rest:http://" + address + "/")}, sink); e.State != topics.Succeeded ||
		!strings.Contains(sink.text(), "trying again") {
		t.Errorf("%+v\n%s", e, sink.text())
	}
}

func TestEndpoints(t *testing.T) {
	env := map[string]topics.Secret{
		"AZURE_ACCOUNT_NAME": "acct",
		"OS_AUTH_URL":        "https://keystone.example:5000/v3",
		"RESTIC_KEY_HINT":    topics.Secret(strconv.Itoa(1)),
	}
	for url, want := range map[string]string{
		"rest:https://user:pw@nas:8000/attic/": "https://nas:8000/attic/config",
		"rest:http://nas:8000/":                "http://nas:8000/config",
		"s3:s3.amazonaws.com/bucket/dir":       "https://s3.amazonaws.com/",
		"s3:http://minio:9000/bucket":          "http://minio:9000/",
		"b2:bucket:dir":                        "https://api.backblazeb2.com/",
		"gs:bucket:/dir":                       "https://storage.googleapis.com/",
		"azure:container:/dir":                 "https://acct.blob.core.windows.net/",
		"swift:container:/dir":                 "https://keystone.example:5000/",
		"rest:http+unix:///run/rest.sock:/a":   "",
		"rclone:remote:dir":                    "",
		"/srv/backup":                          "",
	} {
		if got := (Repository{URL: topics.Secret(url), Env: env}).endpoint(); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

// TestARestoreSaysWhichFileItIsAt has a stand-in print what 0.17 and newer do with
// --verbose=2, and a status after it.
func TestARestoreSaysWhichFileItIsAt(t *testing.T) {
	w := standIn(t, `echo '{"message_type":"verbose_status","action":"restored","item":"/srv/data/docs/café/日本語.txt","size":8}'
echo '{"message_type":"status","percent_done":0.5,"total_files":2,"files_restored":1,"total_bytes":16,"bytes_restored":8}'
echo '{"message_type":"verbose_status","action":"updated","item":"/srv/data/docs","size":0}'
echo '{"message_type":"summary","total_files":2,"files_restored":2,"total_bytes":16,"bytes_restored":16}'
echo "mkdir $4: no more than words" >&2`)
	w.b.Version = Version{Minor: 17, Patch: 3}
	what := Restore{Snapshot: strings.Repeat("ab", 32), Target: "/proc/self/fd/3/x", Shown: "/srv/back"}
	e := w.b.Restore(t.Context(), w.place, w.repo, what, w.sink)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if s := w.sink.statuses; len(s) != 1 || !slices.Equal(s[0].CurrentFiles, []string{"/srv/data/docs/café/日本語.txt"}) || s[0].BytesDone != 8 ||
		!s[0].Scanned {
		t.Errorf("%+v", s)
	}
	if text := w.sink.text(); strings.Contains(text, "/proc/self") || !strings.Contains(text, "mkdir /srv/back: no more") ||
		strings.Contains(text, "verbose_status") {
		t.Error(text)
	}
}
