package restic

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

// serve has rclone serve a directory to restic, and returns the address.
func serve(t *testing.T, dir string, flags ...string) topics.Secret {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	server := exec.Command("rclone", append([]string{"serve", "restic", "--addr", address, "--user", "attic", "--pass", restPassword,
		dir}, flags...)...)
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
	return topics.Secret("rest:http://" + address + "/")
}

// The power failed in the middle of an init: there is a key, and nothing else. Where we
// can look and delete, the key goes, and the next init makes a repository with one key
// that opens; else it is said what to remove. Nothing is made over data.
func TestWhatAnInitThatWasCutShortLeaves(t *testing.T) {
	t.Parallel()
	cut := func(t *testing.T, dir string) { // what plain restic makes, without its config file
		w := newWorld(t)
		if out, err := w.plain("-r", dir, "init").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := os.Remove(filepath.Join(dir, "config")); err != nil {
			t.Fatal(err)
		}
	}
	login := map[string]topics.Secret{"RESTIC_REST_USERNAME": "attic", "RESTIC_REST_PASSWORD": restPassword}
	for _, c := range []struct {
		name    string
		rest    bool
		flags   []string
		spoil   func(t *testing.T, dir string)
		settled time.Duration
		cause   topics.Cause
		says    string
	}{
		{"nothing was there", false, nil, func(*testing.T, string) {}, time.Hour, topics.CauseNone, "there is no repository yet"},
		{"a key at a path", false, nil, cut, time.Second, topics.CauseNone, "removing a key"},
		{"a key on a server", true, nil, cut, time.Second, topics.CauseNone, "removing a key"},
		{"a key on a server that removes nothing", true, []string{"--append-only"}, cut, time.Second, topics.CauseDamaged,
			"Remove the folder keys"},
		{"somebody else goes on with it", true, nil, func(t *testing.T, dir string) {
			cut(t, dir)
			made := t.TempDir()
			w := newWorld(t)
			if out, err := w.plain("-r", made, "init").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			go func() {
				<-time.After(time.Second)
				_ = os.RemoveAll(filepath.Join(dir, keysFolder)) // the test fails if it did not
				_ = os.CopyFS(dir, os.DirFS(made))
			}()
		}, 4 * time.Second, topics.CauseNone, "looking again"},
		{"another key comes meanwhile", false, nil, func(t *testing.T, dir string) {
			cut(t, dir)
			go func() {
				<-time.After(time.Second)
				_ = os.WriteFile(filepath.Join(dir, keysFolder, strings.Repeat("a", 64)), nil, 0o600)
			}()
		}, 4 * time.Second, topics.CauseUnmade, "somebody else is making"},
		{"a config file was lost", true, nil, func(t *testing.T, dir string) {
			cut(t, dir)
			if err := os.WriteFile(filepath.Join(dir, "snapshots", strings.Repeat("b", 64)), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, time.Second, topics.CauseDamaged, "would bury it"},
		{"somebody keeps other keys there", false, nil, func(t *testing.T, dir string) {
			cut(t, dir)
			if err := os.WriteFile(filepath.Join(dir, keysFolder, "id_ed25519"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, time.Second, topics.CauseUsage, "is no key of a repository"},
		{"the server keeps something else there", true, nil, func(t *testing.T, dir string) {
			cut(t, dir)
			if err := os.WriteFile(filepath.Join(dir, keysFolder, strings.Repeat("c", 64)), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, time.Second, topics.CauseUsage, "is no key of a repository"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.b.Timing.Settled = c.settled
			served := t.TempDir()
			dir := filepath.Join(served, "attic")
			if w.repo.URL = topics.Secret(dir); c.rest {
				w.repo.URL, w.repo.Env = serve(t, served, c.flags...)+"attic/", login
			}
			c.spoil(t, dir)
			e := w.b.Ensure(t.Context(), w.place, w.repo, may, w.sink)
			state := topics.Succeeded
			if c.cause != topics.CauseNone {
				state = topics.Failed
			}
			w.want(e, state, c.cause)
			if !strings.Contains(w.sink.text(), c.says) {
				t.Errorf("it does not say %q:\n%s", c.says, w.sink.text())
			}
			if c.cause != topics.CauseNone {
				if _, err := os.Stat(filepath.Join(dir, "config")); err == nil {
					t.Error("a repository was made")
				}
				if keys, err := os.ReadDir(filepath.Join(dir, keysFolder)); err != nil || len(keys) == 0 {
					t.Errorf("what was there is gone: %v", err)
				}
				return
			}
			w.want(w.b.Exists(t.Context(), w.place, w.repo, w.sink), topics.Succeeded, topics.CauseNone)
			if keys, err := os.ReadDir(filepath.Join(dir, keysFolder)); err != nil || len(keys) != 1 {
				t.Errorf("the keys are %v, %v", keys, err)
			}
		})
	}
}

// What restic says where we cannot look ourselves.
func TestARepositoryThatIsMadeOverRemainsIsNotCalledGood(t *testing.T) {
	t.Parallel()
	missing := `echo 'Fatal: unable to open config file: stat: object does not exist' >&2
echo 'Is there a repository at the following location?' >&2; exit 1`
	for _, c := range []struct {
		name, init, after string
		state             topics.JobState
		cause             topics.Cause
		says              string
	}{
		{"it opens", "exit 0", `echo '{"id":"` + strings.Repeat("a", 64) + `"}'`, topics.Succeeded, topics.CauseNone, ""},
		{"an old restic made a second key", "exit 0", "echo 'Fatal: config or key 0123 is damaged: ciphertext verification failed' >&2; exit 1",
			topics.Failed, topics.CauseDamaged, "Remove all of it at the storage"},
		{"a new restic refuses", "echo 'Fatal: create repository at s3:x failed: repository already contains keys' >&2; exit 1", "exit 1",
			topics.Failed, topics.CauseDamaged, "remove the folder keys"},
		{"another host was quicker",
			"echo 'Fatal: create repository at s3:x failed: repository master key and config already initialized' >&2; exit 1",
			`echo '{"id":"` + strings.Repeat("a", 64) + `"}'`, topics.Succeeded, topics.CauseNone, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := standIn(t, `case " $* " in *" init "*) : >"$0.made"; `+c.init+`;; *" cat config "*) if [ -e "$0.made" ]; then `+c.after+
				"; else "+missing+"\nfi;; esac")
			w.repo.URL = "s3:https://s3.example.com/attic"
			e := w.b.Ensure(t.Context(), w.place, w.repo, may, w.sink)
			w.want(e, c.state, c.cause)
			if !strings.Contains(e.Message, c.says) {
				t.Errorf("it says %q, not %q", e.Message, c.says)
			}
		})
	}
}
