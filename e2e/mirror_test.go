package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// A mirrorState is how a mirror is as the API tells it.
type mirrorState struct {
	To      string     `json:"to"`
	Host    string     `json:"host"`
	Job     string     `json:"job"`
	State   string     `json:"state"`
	Cause   string     `json:"cause"`
	GoodAt  *time.Time `json:"good_at"`
	GoodJob string     `json:"good_job"`
	Behind  int        `json:"behind"`
}

// serveWithoutLock has rclone serve a directory to whoever comes, and returns the address as
// restic takes it.
func serveWithoutLock(t *testing.T, dir string) string {
	t.Helper()
	address := world.FreeAddress(t)
	world.Start(t, "rclone", exec.Command("rclone", "serve", "restic", "--config", filepath.Join(t.TempDir(), "none"), "--addr", address, dir))
	world.Await(t, "rclone to listen", func() error {
		r, err := http.Get("http://" + address + "/")
		if err != nil {
			return err
		}
		return r.Body.Close()
	})
	return "rest:http://" + address + "/"
}

// TestAMirrorGivesBackWhatTheFirstRepositoryLost: a repository on the host's disk is copied
// over REST into another that the first copy makes; then the disk loses the first one, which
// is said and not made anew, and all comes back from the mirror; and again once the first one
// is out of care.
func TestAMirrorGivesBackWhatTheFirstRepositoryLost(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	served := filepath.Join(w.Dir, "served")
	if err := os.Mkdir(served, 0o700); err != nil {
		t.Fatal(err)
	}
	attic := w.StartAgent("attic", "--policy", "managed")
	was := filepath.Join(w.Dir, "was")
	world.Tree{Files: 200, Seed: 5, Root: os.Getuid() == 0}.Plant(t, filepath.Join(attic.Home, "tree"))
	attic.Noise("photo.raw", 3)
	attic.Write("letter.txt", "as it was first")
	first := attic.Group("all")
	w.AwaitState(attic.Backup("all"), "succeeded")
	attic.Write("letter.txt", "as it was then")
	w.AwaitState(attic.Backup("all"), "succeeded")
	copied(t, attic.Home, was)
	mirror := Repository{URL: serveWithoutLock(t, served) + "mirror/", Password: "another one for the mirror"}
	var made struct{ ID string }
	w.API("POST", "/api/repositories", map[string]any{"name": "mirror", "url": mirror.URL, "password": mirror.Password, "keeper": "attic"},
		http.StatusCreated, &made)
	mirror.ID = made.ID

	// The mirror is set: its keeper copies, and the first copy makes it.
	path := "/api/repositories/" + first.ID + "/mirror"
	var m mirrorState
	w.API("PUT", path, map[string]any{"to": "mirror", "cron": "* * * * *", "zone": "UTC"}, http.StatusOK, &m)
	if m.To != mirror.ID || m.Host != attic.ID || m.Behind != 2 || m.GoodAt != nil {
		t.Errorf("a mirror that has nothing yet is %+v", m)
	}
	look := func() mirrorState {
		var m mirrorState
		w.API("GET", path, nil, http.StatusOK, &m)
		return m
	}
	world.AwaitWithin(t, 3*time.Minute, "the clock to have it copied", func() error {
		if m = look(); m.GoodAt == nil || m.Behind > 0 {
			return fmt.Errorf("it is %+v", m)
		}
		return nil
	})
	copied := w.Job(m.GoodJob)
	if copied.Kind != "copy" || copied.State != "succeeded" {
		t.Errorf("the copy is %+v", copied)
	}
	type saved struct {
		ID, Original, Tree string
		Time               time.Time
		Paths              []string
	}
	list := func(r Repository) (all []saved) {
		if err := json.Unmarshal([]byte(restic(t, r, "snapshots", "--json")), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	have, there := list(first), list(mirror)
	if len(have) != 2 || len(there) != 2 {
		t.Fatalf("the first repository has %d snapshots, the mirror %d", len(have), len(there))
	}
	for i, s := range have {
		c := there[i]
		if c.Original != s.ID || c.Tree != s.Tree || !c.Time.Equal(s.Time) || !slices.Equal(c.Paths, s.Paths) {
			t.Errorf("the copy of %+v is %+v", s, c)
		}
	}
	older, newer := there[0].ID, there[1].ID

	// The disk loses the first one.
	if err := os.RemoveAll(first.URL); err != nil {
		t.Fatal(err)
	}
	lost := w.AwaitState(attic.Backup("all"), "failed")
	if lost.Cause != string(topics.CauseNoRepository) {
		t.Errorf("a backup into a repository that is gone fails of %q: %s", lost.Cause, lost.Message)
	}
	world.AwaitWithin(t, 3*time.Minute, "a copy to fail", func() error {
		if m = look(); m.State != "failed" {
			return fmt.Errorf("it is %+v", m)
		}
		return nil
	})
	if m.Cause != string(topics.CauseNoRepository) || m.GoodJob != copied.ID {
		t.Errorf("the mirror of what is gone is %+v", m)
	}
	if j := w.Job(m.Job); !strings.Contains(j.Message, "to copy from") {
		t.Errorf("the copy does not say which of the two is gone: %s", j.Message)
	}
	if _, err := os.Lstat(first.URL); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was lost is made anew: %v", err)
	}
	type state struct {
		Health, Reason string
		Ready          bool
		Snapshots      int
	}
	health := func(id string) (s state) {
		w.API("GET", "/api/repositories/"+id, nil, http.StatusOK, &s)
		return s
	}
	world.Await(t, "the first repository to be told of", func() error {
		if s := health(first.ID); s.Health != "missing" || s.Reason == "" {
			return fmt.Errorf("it is %+v", s)
		}
		return nil
	})
	if s := health(mirror.ID); s.Health != "healthy" || !s.Ready || s.Snapshots != 2 {
		t.Errorf("the mirror is %+v", s)
	}
	b.signIn(w)
	b.Open("/repositories/" + first.ID)
	b.AwaitText("main", "finds nothing in its place any more. What it held cannot be restored")
	b.AwaitText("#repository-mirror", "The last copy did not succeed")
	b.Inspect("repository-lost-with-mirror")

	// All comes back from the mirror: by the API …
	whole := func(snapshot, letter string, leave world.Leave) {
		t.Helper()
		target := filepath.Join(w.Dir, "back-"+snapshot[:8]+"-"+fmt.Sprint(time.Now().UnixNano()))
		job := attic.AskRestore(map[string]any{"repository": mirror.ID, "target": target,
			"items": []map[string]any{{"snapshot": snapshot, "paths": []string{attic.Home}}}})
		done := w.AwaitRestore(job).must(t, topics.Succeeded, "")
		if done.Failed > 0 || done.Restored != done.Matched {
			t.Errorf("the restore came to %+v", done)
		}
		back := filepath.Join(target, attic.Home)
		if got, err := os.ReadFile(filepath.Join(back, "letter.txt")); err != nil || string(got) != letter {
			t.Errorf("the letter says %q, %v, want %q", got, err, letter)
		}
		mustBe(t, filepath.Join(was, "tree"), filepath.Join(back, "tree"), leave)
		mustBe(t, filepath.Join(was, "photo.raw"), filepath.Join(back, "photo.raw"), leave)
	}
	whole(newer, "as it was then", world.Leave{})
	whole(older, "as it was first", world.Leave{})

	// … and by the pages, which begin at the host.
	b.Open("/hosts/" + attic.ID)
	b.Press("Restore files")
	b.AwaitPath("/restore/new")
	b.AwaitText("main", "mirror")
	b.Inspect("restore-1-with-mirror")
	b.Click("[name=snapshot][value='" + mirror.ID + "/" + newer + "']")
	b.Press("Choose files")
	b.AwaitText("h2", "What to bring back?")
	draft := strings.TrimSuffix(b.Path(), "/files")
	b.Tick("home", "1 folder")
	b.Press("Choose destination")
	b.AwaitPath(draft + "/destination")
	target := filepath.Join(w.Dir, "by-pages")
	b.Click("#where-folder")
	b.Fill("#folder", target)
	b.Press("Preview changes")
	b.AwaitPath(draft + "/review")
	b.AwaitText("#restore-dry", "Dry run finished")
	b.Click("#restore-go button")
	b.AwaitPath("/jobs/")
	w.AwaitState(filepath.Base(b.Path()), "succeeded")
	mustBe(t, was, filepath.Join(target, attic.Home), world.Leave{})

	// The first one is taken out of care, and the mirror is as good as before.
	w.API("DELETE", "/api/repositories/"+first.ID, nil, http.StatusConflict, nil) // it has a source group
	w.API("DELETE", "/api/repositories/"+first.ID+"?groups=remove", nil, http.StatusNoContent, nil)
	w.API("GET", path, nil, http.StatusNotFound, nil)
	if s := health(mirror.ID); s.Health != "healthy" || s.Snapshots != 2 {
		t.Errorf("without the first, the mirror is %+v", s)
	}
	if ids := attic.Snapshots(); !slices.Equal(ids, []string{newer, older}) {
		t.Errorf("the host's snapshots are %v, want those of the mirror, %s and %s", ids, newer, older)
	}
	b.Open("/hosts/" + attic.ID)
	b.Press("Restore files")
	b.AwaitPath("/restore/new")
	b.AwaitText("main", "From which moment?")
	b.awaitTrue(`document.querySelector("[name=snapshot][value='`+mirror.ID+"/"+newer+`']") !== null`, "the mirror's snapshot")
	if n := Eval[int](b, `document.querySelectorAll("[name=snapshot][value^='`+first.ID+`/']").length`); n > 0 {
		t.Errorf("%d snapshots of a repository that is out of care can be chosen", n)
	}
	b.Open("/repositories/" + mirror.ID)
	b.Inspect("mirror-alone")
	whole(older, "as it was first", world.Leave{})
	if out := restic(t, mirror, "check", "--read-data"); !strings.Contains(out, "no errors were found") {
		t.Errorf("check of the mirror: %s", out)
	}
	w.MustStopCleanly()
}

// TestAMirrorThatResticCannotOpenIsRefused: it takes one key of S3 for both buckets.
func TestAMirrorThatResticCannotOpenIsRefused(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic", "--policy", "managed")
	made := map[string]string{}
	for name, key := range map[string]string{"first": "AKIAONE", "second": "AKIATWO", "third": "AKIAONE"} {
		var row struct{ ID string }
		w.API("POST", "/api/repositories", map[string]any{"name": name, "url": "s3:https://127.0.0.1:1/" + name, "password": password,
			"everyday": map[string]any{"env": map[string]any{"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "x"}}, "keeper": "attic"}, 201, &row)
		made[name] = row.ID
	}
	path := "/api/repositories/" + made["first"] + "/mirror"
	var p struct {
		Detail string
		Fields map[string]string
	}
	w.API("PUT", path, map[string]any{"to": "second"}, http.StatusUnprocessableEntity, &p)
	if said := fmt.Sprint(p); !strings.Contains(said, "AWS_ACCESS_KEY_ID") || !strings.Contains(said, "Use credentials that may") {
		t.Errorf("the refusal says %s", said)
	}
	w.API("PUT", path, map[string]any{"to": "third"}, http.StatusOK, nil)
	var refused struct{ Title string }
	w.API("POST", "/api/hosts/"+attic.ID+"/jobs", map[string]any{"kind": "copy", "repository": made["first"], "to": made["second"]},
		http.StatusConflict, &refused)
	if !strings.Contains(refused.Title, "two repositories at once") {
		t.Errorf("a copy is refused as %q", refused.Title)
	}
	// Who may not read both is refused, whoever that is.
	w.StartAgent("shed", "--policy", "backup")
	w.API("PUT", path, map[string]any{"to": "third", "host": "shed"}, http.StatusUnprocessableEntity, &p)
}
