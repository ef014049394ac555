package restic

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// The failures of these tests are real ones: restic, rclone and ssh meet them.

// soon has a restic that repeats for 15 minutes (0.17 and newer) be ended by the limit on
// silence, whose cause is the storage's own words.
func (w *world) soon() {
	if w.b.Version.Minor >= 17 {
		w.b.Timing.Silence = 3 * time.Second
	}
}

func TestWhatAServerAnswersIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var answer atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		if status, err := strconv.Atoi(answer.Load().(string)); err == nil {
			out.WriteHeader(status)
			return
		}
		if answer.Load() == "cut" {
			panic(http.ErrAbortHandler)
		}
		out.Header().Set("Content-Type", "text/html") // a proxy's page, whatever was asked
		_, _ = out.Write([]byte("<html><body>Please log in</body></html>"))
	}))
	defer server.Close()
	server.Config.ErrorLog = nil
	w.repo.URL = topics.Secret("rest:" + server.URL + "/503 service unavailable/")
	w.soon()
	teapot := topics.CauseUnknown // nobody knows it
	if w.b.Version.Has(since.Retries) {
		teapot = topics.CauseUnreachable // and restic repeats until it is ended
	}
	ends := map[string]topics.Cause{"401": topics.CauseCredentials, "403": topics.CauseCredentials, "407": topics.CauseCredentials,
		"507": topics.CauseDiskFull, "400": topics.CauseUsage, "413": topics.CauseUsage, "418": teapot,
		"cut": topics.CauseUnreachable, "page": topics.CauseUnreachable}
	for code := range strings.FieldsSeq(passing) {
		ends[code] = topics.CauseUnreachable
	}
	for code, cause := range ends {
		answer.Store(code)
		if e := w.backup(); e.State != topics.Failed || e.Cause != cause {
			t.Errorf("%s ended %s/%s with %q, want %s", code, e.State, e.Cause, e.Message, cause)
		}
	}
}

// A connection that is closed in the middle of TLS's handshake is nobody's lack of trust.
func TestAHandshakeThatIsCutIsNoBadCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 16))
			_ = c.Close()
		}
	}()
	w.repo.URL = topics.Secret("rest:https://" + listener.Addr().String() + "/r/")
	w.soon()
	w.want(w.backup(), topics.Failed, topics.CauseUnreachable)
}

// A full disk is the one whose path restic names.
func TestTheHostsOwnDiskIsFull(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 8<<20)
	x := uint32(7)
	for i := range noise {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		noise[i] = byte(x)
	}
	w := newWorld(t)
	w.vault()
	full := filepath.Join(w.place.TempDir, "full")
	if err := os.Mkdir(full, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", full, "tmpfs", 0, "size=1m"); err != nil {
		t.Logf("no file system of our own (%v): restic's recorded words stand in", err)
		_ = os.Remove(full)
		s := standIn(t, `echo "Fatal: unable to save snapshot: write $TMPDIR/restic-temp-pack-37: no space left on device" >&2; exit 1`)
		s.want(s.backup(), topics.Failed, topics.CauseHostDisk)
		return
	}
	outer := w.place.TempDir
	t.Cleanup(func() { _ = unix.Unmount(full, 0); _ = os.Remove(full) })
	w.place.TempDir = full
	w.write("big", string(noise))
	w.want(w.backup(), topics.Failed, topics.CauseHostDisk)
	w.place.TempDir = outer
	w.place.CacheDir = filepath.Join(full, "cache") // a cache that cannot be written is done without
	if err := os.WriteFile(filepath.Join(full, "filler"), noise, 0o600); err == nil {
		t.Fatal("the file system is larger than it should be")
	}
	if e := w.backup(); e.State != topics.Succeeded && (e.State != topics.Failed || e.Cause != topics.CauseHostDisk) {
		t.Errorf("with a full cache it ended %s/%s: %s", e.State, e.Cause, e.Message)
	}
}

func TestWhatIsMissingBesideResticIsNamed(t *testing.T) {
	here := os.Getenv("PATH")
	ssh, _ := exec.LookPath("ssh")
	shut, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := shut.Addr().(*net.TCPAddr).Port
	shut.Close()
	for _, c := range []struct {
		is, url, path string
		cause         topics.Cause
		says          string
	}{
		{"no ssh", "sftp:u@127.0.0.1:/r", t.TempDir(), topics.CauseUsage, `exec: "ssh"`},
		{"no rclone", "rclone:drive:a", t.TempDir(), topics.CauseUsage, `exec: "rclone"`},
		{"no remote", "rclone:drive:access denied", here, topics.CauseUsage, "didn't find section in config file"},
		// restic may be gone before it has passed on what ssh says.
		{"no server", fmt.Sprintf("sftp://u@127.0.0.1:%d/access denied", port), here, topics.CauseUnreachable, ""},
	} {
		t.Setenv("PATH", here)
		w := newWorld(t)
		if c.is == "no server" && ssh == "" {
			w = standIn(t, `echo "subprocess ssh: ssh: connect to host 127.0.0.1 port 1: Connection refused" >&2
				echo "Fatal: unable to open repository at sftp:u@127.0.0.1:/r: unable to start the sftp session, error: EOF" >&2; exit 1`)
		}
		t.Setenv("PATH", c.path)
		w.repo.URL = topics.Secret(c.url)
		e := w.backup()
		if e.State != topics.Failed || e.Cause != c.cause || !strings.Contains(e.Message, c.says) {
			t.Errorf("%s: ended %s/%s with %q", c.is, e.State, e.Cause, e.Message)
		}
	}
}

// What rclone says of its own disk is the repository's: its answer is a mere 500.
// restic 0.14 tries for most of a minute before it gives up, 0.17 for 15.
func TestWhatRcloneSaysComesBeforeItsAnswer(t *testing.T) {
	t.Parallel()
	small := t.TempDir()
	w := newWorld(t)
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=2m"); err != nil {
		t.Logf("no file system of our own (%v): rclone's recorded words stand in", err)
		w = standIn(t, `echo 'rclone: x ERROR : data/aa: Post request rcat error: write /r/data/aa: no space left on device' >&2
			echo 'Fatal: unable to save snapshot: server response unexpected: 500 Internal Server Error (500)' >&2; exit 1`)
	} else {
		t.Cleanup(func() { _ = unix.Unmount(small, 0) })
		conf := filepath.Join(t.TempDir(), "rclone.conf")
		if err := os.WriteFile(conf, []byte("[attic]\ntype = local\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.repo.Env = map[string]topics.Secret{"RCLONE_CONFIG": topics.Secret(conf)}
		w.repo.URL = topics.Secret("rclone:attic:" + small + "/repo")
		w.ensure()
		for i := range 6 {
			b := make([]byte, 1<<20)
			x := uint32(i + 1)
			for j := range b {
				x ^= x << 13
				x ^= x >> 17
				x ^= x << 5
				b[j] = byte(x)
			}
			w.write(fmt.Sprintf("big%d", i), string(b))
		}
		w.soon()
	}
	w.want(w.backup(), topics.Failed, topics.CauseDiskFull)
	if left := process.Of(w.place.Job, process.ID{}); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}
