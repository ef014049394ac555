package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/e2e/world"
)

// Health is how a repository is, as the API tells it.
type Health struct {
	Health string     `json:"health"`
	Reason string     `json:"reason"`
	Since  *time.Time `json:"since"`
	Locks  int        `json:"locks"`
	Keys   int        `json:"unknown_keys"`
}

// AwaitHealth waits until a repository is called this.
func (w *World) AwaitHealth(id, want string) (h Health) {
	w.t.Helper()
	world.Await(w.t, "the repository to be "+want, func() error {
		w.API("GET", "/api/repositories/"+id, nil, http.StatusOK, &h)
		if h.Health != want {
			return fmt.Errorf("it is %s: %s", h.Health, h.Reason)
		}
		return nil
	})
	if h.Reason == "" || h.Since == nil {
		w.t.Errorf("a repository that is %s says why in %q, and since when in %v", h.Health, h.Reason, h.Since)
	}
	return h
}

// Fails asks for an operation and awaits that it fails with a cause.
func (a *Agent) Fails(cause string, request map[string]any) {
	a.w.t.Helper()
	var made struct {
		ID string `json:"id"`
	}
	a.w.API("POST", "/api/hosts/"+a.ID+"/jobs", request, http.StatusAccepted, &made)
	if j := a.w.AwaitState(made.ID, "failed"); j.Cause != cause {
		a.w.t.Fatalf("the %s failed of %q (%s), want %q", j.Kind, j.Cause, j.Message, cause)
	}
}

// TestARepositoryIsAsHostsFindIt does to repositories what happens to them beside the
// product, with restic itself, and has the agent look.
func TestARepositoryIsAsHostsFindIt(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic", "--policy", "managed")
	attic.Restic = filepath.Join(attic.Dir, "restic")
	real, err := exec.LookPath("restic")
	if err != nil {
		t.Fatal(err)
	}
	// It is restic, but for a backup while a file says what comes of it.
	if err := os.WriteFile(attic.Restic, []byte(`#!/bin/sh
case " $* " in *" backup "*) [ -e "$0.says" ] && { cat "$0.says" >&2; exit 1; };; esac
exec `+real+` "$@"
`), 0o700); err != nil {
		t.Fatal(err)
	}
	attic.Start()
	attic.AwaitOnline()
	attic.Write("letters/1.txt", "dear reader")
	attic.Noise("photo.raw", 1)

	on := func(r Repository, kind string, more ...any) map[string]any {
		m := map[string]any{"kind": kind, "repository": r.ID}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	backup := func(group string) map[string]any { return map[string]any{"kind": "backup", "source_group": group} }
	saved := func(name string) Repository {
		r := attic.Group(name)
		w.AwaitHealth(r.ID, "never-looked-at")
		w.AwaitState(attic.Backup(name), "succeeded")
		w.AwaitHealth(r.ID, "healthy")
		return r
	}

	t.Run("its directory is gone", func(t *testing.T) {
		w.t = t
		r := saved("gone")
		if err := os.RemoveAll(r.URL); err != nil {
			t.Fatal(err)
		}
		attic.Fails("repository-missing", backup("gone"))
		w.AwaitHealth(r.ID, "missing")
		if err := resticrepo.Make(r.URL, r.Password); err != nil {
			t.Fatal(err)
		}
		attic.Ask(on(r, "snapshots"))
		w.AwaitHealth(r.ID, "foreign") // it opens, and its snapshot was removed by somebody else
	})

	t.Run("its password was changed", func(t *testing.T) {
		w.t = t
		r := saved("secret")
		attic.Ask(on(r, "key"))
		file := filepath.Join(attic.Dir, "new-password")
		if err := os.WriteFile(file, []byte("another\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		attic.Bare(r, "key", "passwd", "--new-password-file", file)
		attic.Fails("wrong-password", on(r, "snapshots"))
		w.AwaitHealth(r.ID, "unreadable")
		w.API("PUT", "/api/repositories/"+r.ID, map[string]any{"password": "another"}, http.StatusOK, nil)
		attic.Ask(on(r, "key"))
		if h := w.AwaitHealth(r.ID, "healthy"); h.Keys != 0 {
			t.Errorf("the key that our password opens is foreign: %+v", h)
		}
		// Another key is somebody else's.
		r.Password = "another"
		if err := os.WriteFile(file, []byte("theirs\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		attic.Bare(r, "key", "add", "--new-password-file", file)
		attic.Ask(on(r, "key"))
		w.AwaitHealth(r.ID, "foreign")
	})

	t.Run("its data is damaged", func(t *testing.T) {
		w.t = t
		r := saved("rotten")
		pack := largest(t, filepath.Join(r.URL, "data"))
		whole, err := os.ReadFile(pack)
		if err != nil {
			t.Fatal(err)
		}
		rotten := append([]byte(nil), whole...)
		rotten[len(rotten)/3] ^= 0xff
		replace(t, pack, rotten)
		attic.Fails("damaged", on(r, "check", "read_data", true))
		w.AwaitHealth(r.ID, "damaged")
		attic.Ask(on(r, "check"))
		w.AwaitHealth(r.ID, "damaged") // a check that reads no data does not see it
		w.AwaitState(attic.Backup("rotten"), "succeeded")
		w.AwaitHealth(r.ID, "damaged")
		replace(t, pack, whole)
		attic.Ask(on(r, "check", "subset", "1/2"))
		w.AwaitHealth(r.ID, "damaged")
		attic.Ask(on(r, "check", "subset", "2/2"))
		w.AwaitHealth(r.ID, "healthy")
	})

	t.Run("a lock was left behind", func(t *testing.T) {
		w.t = t
		r := saved("locked")
		cmd := exec.Command("restic", "--no-cache", "backup", "--stdin")
		cmd.Env = append(os.Environ(), "RESTIC_REPOSITORY="+r.URL, "RESTIC_PASSWORD="+r.Password)
		stdin, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		world.Await(t, "restic to lock the repository", func() error {
			// One that is still being written has a longer name, and is none to restic.
			if locks, err := filepath.Glob(filepath.Join(r.URL, "locks", strings.Repeat("?", 64))); err != nil || len(locks) == 0 {
				return errors.New("there is no lock")
			}
			return nil
		})
		attic.Ask(on(r, "locks"))
		w.AwaitHealth(r.ID, "healthy") // somebody is at work, and backups share
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		attic.Ask(on(r, "locks"))
		w.AwaitHealth(r.ID, "locked")
		attic.Ask(on(r, "unlock"))
		attic.Ask(on(r, "locks"))
		w.AwaitHealth(r.ID, "healthy")
	})

	t.Run("restic says so", func(t *testing.T) {
		w.t = t
		r := saved("said")
		for _, c := range []struct{ says, cause, is string }{
			{"Fatal: unable to open repository at R: ReadDir: open R/keys: permission denied", "permission", "unreachable"},
			{`Fatal: unable to save snapshot: Save(<data/0a1b2c3d4e>) failed: write R/data/0a-tmp-1: no space left on device`, "disk-full",
				"full"},
			{"Fatal: unable to open config file: Head \"https://nas/config\": dial tcp: lookup nas: no such host", "unreachable", "unreachable"},
		} {
			if err := os.WriteFile(attic.Restic+".says", []byte(strings.ReplaceAll(c.says, "R", r.URL)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			attic.Fails(c.cause, backup("said"))
			w.AwaitHealth(r.ID, c.is)
			if err := os.Remove(attic.Restic + ".says"); err != nil {
				t.Fatal(err)
			}
			w.AwaitState(attic.Backup("said"), "succeeded")
			w.AwaitHealth(r.ID, "healthy")
		}
	})

	w.t = t
	w.MustStopCleanly()
}

// largest returns the largest file below a directory.
func largest(t *testing.T, dir string) (path string) {
	t.Helper()
	var size int64
	if err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			path, size = p, info.Size()
		}
		return err
	}); err != nil || path == "" {
		t.Fatalf("no file below %s: %v", dir, err)
	}
	return path
}

// replace writes a file that restic made read-only.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
}
