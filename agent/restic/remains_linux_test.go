package restic

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// serve has rclone serve a directory to restic, and returns the address.
func serve(t *testing.T, dir string, flags ...string) topics.Secret {
	t.Helper()
	address := e2e.FreeAddress(t)
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
		begun   func(t *testing.T, dir string) // what happens while it waits, nil for nothing
	}{
		{"nothing was there", false, nil, func(*testing.T, string) {}, time.Hour, topics.CauseNone, "there is no repository yet", nil},
		{"a key at a path", false, nil, cut, time.Second, topics.CauseNone, "removing a key", nil},
		{"a key on a server", true, nil, cut, time.Second, topics.CauseNone, "removing a key", nil},
		{"a key on a server that removes nothing", true, []string{"--append-only"}, cut, time.Second, topics.CauseDamaged,
			"Remove the folder keys", nil},
		{"somebody else goes on with it", true, nil, cut, time.Second, topics.CauseNone, "looking again", func(t *testing.T, dir string) {
			made := t.TempDir()
			w := newWorld(t)
			if out, err := w.plain("-r", made, "init").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if err := errors.Join(os.RemoveAll(filepath.Join(dir, keysFolder)), os.CopyFS(dir, os.DirFS(made))); err != nil {
				t.Fatal(err)
			}
		}},
		{"another key comes meanwhile", false, nil, func(t *testing.T, dir string) {
			cut(t, dir)
			keys, _ := filepath.Glob(filepath.Join(dir, keysFolder, "*")) // the pattern is well formed
			soon := time.Now().Add(time.Hour)                             // they are new for as long as this takes
			for _, key := range keys {
				if err := os.Chtimes(key, soon, soon); err != nil {
					t.Fatal(err)
				}
			}
		}, time.Second, topics.CauseUnmade, "somebody else is making", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, keysFolder, strings.Repeat("a", 64)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"a config file was lost", true, nil, func(t *testing.T, dir string) {
			cut(t, dir)
			if err := os.WriteFile(filepath.Join(dir, "snapshots", strings.Repeat("b", 64)), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, time.Second, topics.CauseDamaged, "would bury it", nil},
		{"somebody keeps other keys there", false, nil, func(t *testing.T, dir string) {
			cut(t, dir)
			if err := os.WriteFile(filepath.Join(dir, keysFolder, "id_ed25519"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, time.Second, topics.CauseUsage, "is no key of a repository", nil},
		{"the server keeps something else there", true, nil, func(t *testing.T, dir string) {
			cut(t, dir)
			if err := os.WriteFile(filepath.Join(dir, keysFolder, strings.Repeat("c", 64)), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, time.Second, topics.CauseUsage, "is no key of a repository", nil},
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
			if c.begun != nil {
				w.sink.onLine = func(line string) {
					if strings.Contains(line, "looking again") { // and only then does it wait
						c.begun(t, dir)
					}
				}
			}
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
