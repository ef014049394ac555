package restoring

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/topics"
)

const password = "correct-horse-battery"

// A world is a repository, a source, and a restic, the real one unless the test brings
// another.
type world struct {
	t      testing.TB
	dir    string
	source string
	state  string
	real   string // the path of the restic that backs up
	binary restic.Binary

	mu       sync.Mutex
	lines    []string
	statuses []restic.Status
	onStart  func()
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, source: filepath.Join(dir, "source"), state: filepath.Join(dir, "state")}
	if w.binary, err = restic.Probe(t.Context(), os.Getenv("RESTIC")); err != nil { // another real one can be tried so
		t.Fatal(err)
	}
	w.real = w.binary.Path
	w.binary.Timing.Status = 50 * time.Millisecond
	for _, d := range []string{w.source, w.state} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := resticrepo.Make(filepath.Join(dir, "repo"), password); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, d := range []string{"restores", "tmp"} {
			if left, _ := os.ReadDir(filepath.Join(w.state, d)); len(left) > 0 {
				t.Errorf("%s holds %v", d, left)
			}
		}
		if left, _ := os.ReadDir(filepath.Join(dir, "repo", "locks")); len(left) > 0 {
			t.Errorf("locks are left: %v", left)
		}
	})
	return w
}

func (w *world) write(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.source, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) bare(args ...string) string {
	w.t.Helper()
	cmd := exec.Command(w.real, args...)
	cmd.Env = append(os.Environ(), "RESTIC_REPOSITORY="+filepath.Join(w.dir, "repo"), "RESTIC_PASSWORD="+password,
		"RESTIC_CACHE_DIR="+filepath.Join(w.state, "cache"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("restic %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// backup returns the ID of a new snapshot of the source.
func (w *world) backup() string {
	w.t.Helper()
	w.bare("backup", "--host", "attic", w.source)
	var all []struct{ ID string }
	if err := json.Unmarshal([]byte(w.bare("snapshots", "--json")), &all); err != nil || len(all) == 0 {
		w.t.Fatalf("%v", err)
	}
	return all[len(all)-1].ID
}

func (w *world) job(o topics.Operation) Job {
	return Job{Binary: w.binary, Of: "vault-0001", Operation: o, State: w.state, Sink: w,
		Place: restic.Place{CacheDir: filepath.Join(w.state, "cache"), TempDir: filepath.Join(w.state, "tmp"),
			Job: topics.JobID(topics.NewID(time.Now()))},
		Repository: restic.Repository{URL: topics.Secret(filepath.Join(w.dir, "repo")), Password: password},
	}
}

func (w *world) do(o topics.Operation) restic.Ending {
	w.t.Helper()
	if err := o.Check(topics.RestoreJob); err != nil {
		w.t.Fatal(err)
	}
	return w.job(o).Do(w.t.Context())
}

// want fails unless a job ended so, and with a message that holds the words.
func (w *world) want(e restic.Ending, state topics.JobState, cause topics.Cause, words ...string) topics.Restored {
	w.t.Helper()
	bad := e.State != state || e.Cause != cause
	for _, word := range words {
		bad = bad || !strings.Contains(e.Message, word)
	}
	if bad {
		w.t.Errorf("ended %s %s: %q, want %s %s %q\n%s", e.State, e.Cause, e.Message, state, cause, words, w.text())
	}
	if e.Result == nil || e.Result.Restore == nil {
		return topics.Restored{}
	}
	return *e.Result.Restore
}

func (w *world) Started(process.ID) {
	w.mu.Lock()
	f := w.onStart
	w.mu.Unlock()
	if f != nil {
		f()
	}
}

func (w *world) Line(level topics.Level, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, fmt.Sprintf("%s: %s", level, text))
}

func (w *world) Status(s restic.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.statuses = append(w.statuses, s)
}

func (w *world) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.lines, "\n")
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// through has restic be a script, which is given the real one as $REAL.
func (w *world) through(script string) {
	w.t.Helper()
	path := filepath.Join(w.dir, "restic.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nREAL="+w.real+"\n"+script), 0o700); err != nil {
		w.t.Fatal(err)
	}
	w.binary.Path = path
}
