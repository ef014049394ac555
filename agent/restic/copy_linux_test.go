package restic

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/agent/process"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// serveREST has rclone serve a directory to one user alone, and returns a repository there.
func serveREST(t *testing.T, user, secret string) (Repository, string) {
	t.Helper()
	dir, address := t.TempDir(), e2e.FreeAddress(t)
	server := exec.Command("rclone", "serve", "restic", "--addr", address, "--user", user, "--pass", secret, dir)
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
	return Repository{URL: topics.Secret("rest:http://" + address + "/"), Password: password,
		Env: map[string]topics.Secret{"RESTIC_REST_USERNAME": topics.Secret(user), "RESTIC_REST_PASSWORD": topics.Secret(secret)}}, dir
}

// copied runs a copy and returns what it found.
func (w *world) copied(to, from Repository, ids ...string) (Ending, topics.Copied) {
	w.t.Helper()
	e := w.b.Copy(w.t.Context(), w.place, to, Copy{From: from, IDs: ids}, w.sink)
	if e.Result == nil || e.Result.Copy == nil {
		w.t.Fatalf("a copy found nothing: %+v\n%s", e, w.sink.text())
	}
	return e, *e.Result.Copy
}

// TestACopyIsInTheSecondRepository copies between two servers that know different users,
// each with a password of its own, into a repository that is made for it.
func TestACopyIsInTheSecondRepository(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	from, _ := serveREST(t, "anna", restPassword)
	to, _ := serveREST(t, "mirror", "other/secret:"+restPassword)
	to.Password = "the mirror's own " + password
	w.repo = from
	w.ensure()
	var ids []string
	for i := range 3 {
		w.write("n", fmt.Sprint("content ", i))
		e := w.backup()
		w.want(e, topics.Succeeded, topics.CauseNone)
		ids = append(ids, e.Snapshot.ID)
	}
	e := w.b.EnsureLike(t.Context(), w.place, to, &from, may, w.sink)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if e.Result == nil || !e.Result.Made {
		t.Errorf("the second repository was not made: %+v", e.Result)
	}
	e, got := w.copied(to, from, ids[0], strings.Repeat("ab", 32))
	w.want(e, topics.Succeeded, topics.CauseNone)
	if got.Asked != 1 || got.Copied != 1 || got.Gone != 1 || got.Left != 0 || got.OtherCuts || got.Of == "" || got.Into == "" ||
		got.Of == got.Into {
		t.Errorf("one of three: %+v", got)
	}
	e, got = w.copied(to, from)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if got.Asked != 3 || got.Already != 1 || got.Copied != 2 {
		t.Errorf("the others: %+v", got)
	}
	began := len(w.sink.lines)
	e, got = w.copied(to, from)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if got.Already != 3 || got.Copied != 0 || slices.ContainsFunc(w.sink.lines[began:], func(l topics.Line) bool {
		return strings.Contains(l.Text, "copy started")
	}) {
		t.Errorf("again: %+v", got)
	}
	list := w.b.Snapshots(t.Context(), w.place, to, Snapshots{}, w.sink)
	w.want(list, topics.Succeeded, topics.CauseNone)
	for _, s := range list.Report.Snapshots {
		if !slices.Contains(ids, s.Original) || s.Host != "attic" || !slices.Equal(s.Tags, []string{"plan=letters"}) {
			t.Errorf("a copy is %+v", s)
		}
	}
	// What was copied can be copied on, and back: it is known by the first of them.
	third := Repository{URL: topics.Secret(filepath.Join(t.TempDir(), "third")), Password: password}
	w.want(w.b.Ensure(t.Context(), w.place, third, may, w.sink), topics.Succeeded, topics.CauseNone)
	e, got = w.copied(third, to)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if got.Copied != 3 || !got.OtherCuts {
		t.Errorf("on into one that was not made for it: %+v", got)
	}
	e, got = w.copied(from, third)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if got.Already != 3 || got.Copied != 0 {
		t.Errorf("back to where they came from: %+v", got)
	}
	if e, _ = w.copied(from, from); e.State != topics.Failed || e.Cause != topics.CauseRefused {
		t.Errorf("into itself: %+v", e)
	}
	if strings.Contains(w.sink.text(), "other/secret") {
		t.Errorf("the log holds a password:\n%s", w.sink.text())
	}
}

// TestACopySaysOfWhichRepositoryItFails.
func TestACopySaysOfWhichRepositoryItFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
	to := Repository{URL: topics.Secret(filepath.Join(t.TempDir(), "second")), Password: password}
	w.want(w.b.Ensure(t.Context(), w.place, to, may, w.sink), topics.Succeeded, topics.CauseNone)
	none := Repository{URL: topics.Secret(filepath.Join(t.TempDir(), "none")), Password: password}
	wrong := func(r Repository) Repository { r.Password = "of another"; return r }
	for name, c := range map[string]struct {
		to, from Repository
		side     string
		cause    topics.Cause
	}{
		"the first has another password":  {to, wrong(w.repo), topics.CopyFrom, topics.CausePassword},
		"the second has another password": {wrong(to), w.repo, topics.CopyTo, topics.CausePassword},
		"the first is not there":          {to, none, topics.CopyFrom, topics.CauseNoRepository},
		"the second is not there":         {none, w.repo, topics.CopyTo, topics.CauseNoRepository},
	} {
		e, got := w.copied(c.to, c.from)
		if e.State != topics.Failed || e.Cause != c.cause || got.Side != c.side {
			t.Errorf("%s: %s/%s of %q: %s", name, e.State, e.Cause, got.Side, e.Message)
		}
	}
	if _, err := os.Stat(none.URL.Reveal()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a copy made a repository: %v", err)
	}
}

// TestACopyGoesOnWhereItWasCutOff cancels one in the middle, and fills the disk of another.
func TestACopyGoesOnWhereItWasCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	noise := rand.NewChaCha8([32]byte{1})
	for i := range 4 {
		block := make([]byte, 700<<10)
		_, _ = noise.Read(block)
		w.write(fmt.Sprint("noise", i), string(block))
		w.want(w.backup(), topics.Succeeded, topics.CauseNone)
	}
	to := Repository{URL: topics.Secret(filepath.Join(t.TempDir(), "second")), Password: password}
	w.want(w.b.EnsureLike(t.Context(), w.place, to, &w.repo, may, w.sink), topics.Succeeded, topics.CauseNone)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	saved := 0
	w.sink.onLine = func(line string) {
		if strings.HasPrefix(line, "snapshot ") && strings.Contains(line, " saved") {
			if saved++; saved == 2 {
				stop()
			}
		}
	}
	e := w.b.Copy(ctx, w.place, to, Copy{From: w.repo}, w.sink)
	w.sink.onLine = nil
	if got := e.Result.Copy; got.Asked != 4 || got.Copied+got.Left != 4 || got.Copied < 2 ||
		e.State != topics.Cancelled && got.Left > 0 || len(got.Missing) != got.Left {
		t.Errorf("cut off it is %s: %+v", e.State, e.Result.Copy)
	}
	w.want(w.b.Unlock(t.Context(), w.place, to, w.sink), topics.Succeeded, topics.CauseNone)
	w.want(w.b.Unlock(t.Context(), w.place, w.repo, w.sink), topics.Succeeded, topics.CauseNone)
	e, again := w.copied(to, w.repo)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if again.Already < 2 || again.Already+again.Copied != 4 || again.Left != 0 {
		t.Errorf("then it goes on: %+v", again)
	}

	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=2m"); err != nil {
		t.Logf("no full disk: %v", err)
		return
	}
	t.Cleanup(func() { _ = unix.Unmount(small, 0) })
	full := Repository{URL: topics.Secret(filepath.Join(small, "second")), Password: password}
	w.want(w.b.EnsureLike(t.Context(), w.place, full, &w.repo, may, w.sink), topics.Succeeded, topics.CauseNone)
	e, got := w.copied(full, w.repo)
	if e.State != topics.Failed || e.Cause != topics.CauseDiskFull || got.Side != topics.CopyTo || got.Left == 0 ||
		len(got.Missing) != got.Left {
		t.Errorf("on a full disk: %s/%s %q, %+v", e.State, e.Cause, e.Message, got)
	}
}

// TestACopyIsNotBelievedForItsWord has a restic that says it is done and copied nothing.
func TestACopyIsNotBelievedForItsWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
	to := Repository{URL: topics.Secret(filepath.Join(t.TempDir(), "second")), Password: password}
	w.want(w.b.EnsureLike(t.Context(), w.place, to, &w.repo, may, w.sink), topics.Succeeded, topics.CauseNone)
	liar := filepath.Join(t.TempDir(), "restic")
	if err := os.WriteFile(liar, []byte("#!/bin/sh\nif [ \"$1\" = copy ]; then\n echo 'unable to load blob' >&2; exit 0\nfi\nexec "+w.b.Path+
		" \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.b.Path = liar
	e, got := w.copied(to, w.repo)
	if e.State != topics.Failed || got.Left != 1 || len(got.Missing) != 1 || got.Copied != 0 ||
		!strings.Contains(e.Message, got.Missing[0].Snapshot[:8]) {
		t.Errorf("%s/%s %q, %+v", e.State, e.Cause, e.Message, got)
	}
}

// TestALockIsWaitedForWhereResticCannot: of a copy, of a change of tags, and of a new index.
func TestALockIsWaitedForWhereResticCannot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if w.b.Version.Has(since.RetryLock) {
		t.Skip("this restic waits itself")
	}
	w.vault()
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
	to := Repository{URL: topics.Secret(filepath.Join(t.TempDir(), "second")), Password: password}
	w.want(w.b.EnsureLike(t.Context(), w.place, to, &w.repo, may, w.sink), topics.Succeeded, topics.CauseNone)
	list := w.b.Snapshots(t.Context(), w.place, w.repo, Snapshots{}, w.sink)
	w.want(list, topics.Succeeded, topics.CauseNone)
	id := list.Report.Snapshots[0].ID
	path, dir := w.b.Path, t.TempDir()
	w.b.Timing.Lock = time.Millisecond
	for what, do := range map[string]func() Ending{
		"copy": func() Ending {
			return w.b.Copy(t.Context(), w.place, to, Copy{From: w.repo, RetryLock: time.Minute}, w.sink)
		},
		"tag": func() Ending {
			return w.b.Tag(t.Context(), w.place, w.repo, Tag{IDs: []string{id}, Add: []string{"gold"}, RetryLock: time.Minute,
				To: func(tags []string) []string { return append(slices.Clone(tags), "gold") }}, w.sink)
		},
		"rebuild-index": func() Ending {
			return w.b.RepairIndex(t.Context(), w.place, w.repo, RepairIndex{RetryLock: time.Minute}, w.sink)
		},
	} {
		w.b.Path = filepath.Join(dir, what)
		once := w.b.Path + ".was"
		if err := os.WriteFile(w.b.Path, []byte("#!/bin/sh\nif [ \"$1\" = "+what+" ] && [ ! -e "+once+" ]; then\n : > "+once+
			"\n echo 'unable to create lock in backend: repository is already locked by PID 1 on nas by root (UID 0, GID 0)' >&2\n exit 1\n"+
			"fi\nexec "+path+" \"$@\"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if e := do(); e.State != topics.Succeeded {
			t.Errorf("%s ended %s/%s %q", what, e.State, e.Cause, e.Message)
		}
		if _, err := os.Stat(once); err != nil {
			t.Errorf("%s did not find the lock: %v", what, err)
		}
	}
}
