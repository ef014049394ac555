package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// TestARestoreInPlaceGoesByThePolicy asks for places of each kind.
func TestARestoreInPlaceGoesByThePolicy(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"state/restored", "home/anna", "elsewhere", "home/traps"} {
		if err := os.MkdirAll(at(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"home/out": at("elsewhere"), "home/traps/in": at("elsewhere"), "home/own": at("state")} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	over := preset(t, PolicyRestore, at("state"))
	over.RestoreRoots, over.Overwrite, over.Repositories = []string{at("home")}, true, []string{"/srv/vault"}
	never := over
	never.Overwrite = false
	all := over
	all.RestoreRoots = []string{"/"}
	managed := preset(t, PolicyManaged, at("state"))
	for name, c := range map[string]struct {
		p     Policy
		paths []string
		says  string
	}{
		"a file of home":                    {over, []string{at("home/anna/letter")}, ""},
		"several":                           {over, []string{at("home/anna/letter"), at("home/new/deep")}, ""},
		"where nothing is overwritten":      {never, []string{at("home/anna/letter")}, "none to where they were"},
		"one that is not below":             {over, []string{at("home/anna/letter"), at("elsewhere/x")}, "is not there"},
		"one that begins alike":             {over, []string{at("home2")}, "is not there"},
		"all of the snapshot":               {over, nil, "is not there"},
		"all of it, over the agent's files": {all, nil, "agent's own files"},
		"the agent's files":                 {all, []string{at("state/identity.json")}, "agent's own files"},
		"those, by a link":                  {all, []string{at("home/own/identity.json")}, "agent's own files"},
		"through a link, out":               {over, []string{at("home/out/x")}, "leads out"},
		"a folder with a link out":          {over, []string{at("home/traps")}, "leads out"},
		"managed, all of it":                {managed, nil, ""},
	} {
		run := topics.Run{Kind: topics.RestoreJob, Repository: topics.Repository{ID: "vault-0001", URL: "/srv/vault"},
			Operation: topics.Operation{InPlace: true, Items: []topics.Item{{Snapshot: "0123456789", Paths: c.paths}}}}
		if err := run.Check(run.Kind); err != nil {
			t.Fatal(err)
		}
		err := c.p.decide(at("state"), run)
		if err == nil {
			err = c.p.prepare(at("state"), run)
		}
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// TestABasketThroughTheAgent restores what a dry run said, and keeps its report.
func TestABasketThroughTheAgent(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	w.manage()
	w.run()
	one := w.awaitEnd(w.order(w.backup())).Snapshot.ID
	w.write("home/later.txt", "later")
	two := w.awaitEnd(w.order(w.backup())).Snapshot.ID
	o := topics.Operation{Target: filepath.Join(w.folder, "to"), DryRun: true, Items: []topics.Item{
		{Snapshot: one, Paths: []string{w.home + "/letter.txt"}}, {Snapshot: two, Paths: []string{w.home + "/later.txt"}},
	}}
	dry := w.ask(topics.RestoreJob, o)
	saw := dry.Result.Restore
	if planned := w.found(dry.Job).Planned; saw.Matched != 2 || len(planned) != 2 || planned[0].Action != topics.PlanNew {
		t.Errorf("%+v, planned %+v", saw, planned)
	}
	o.DryRun, o.Preview = false, &topics.Preview{Job: dry.Job, Digest: saw.Digest}
	end := w.ask(topics.RestoreJob, o)
	if r := end.Result.Restore; r.Restored != 2 || r.Failed > 0 || r.Target != o.Target {
		t.Errorf("%+v", r)
	}
	if b, err := os.ReadFile(filepath.Join(o.Target, w.home, "later.txt")); string(b) != "later" {
		t.Errorf("%q, %v", b, err)
	}
	run := w.backup()
	run.Kind, run.Group, run.Operation = topics.RestoreJob, topics.SourceGroup{}, o
	if end := w.awaitEnd(w.order(run)); end.State != topics.Failed || end.Cause != topics.CausePreview {
		t.Errorf("once more, into what is there now: %+v", end)
	}
}

// TestANewTargetBelongsToWhomTheFolderAboveBelongs if owners are left out, and to the agent
// otherwise.
func TestANewTargetBelongsToWhomTheFolderAboveBelongs(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "anna")
	if err := errors.Join(os.Mkdir(home, 0o700), os.Chown(home, 1001, 1005)); err != nil {
		t.Fatal(err)
	}
	p := preset(t, PolicyRestore, filepath.Join(dir, "state"))
	p.RestoreRoots = []string{home}
	for name, leave := range map[string]bool{"left/out": true, "kept/in": false} {
		run := topics.Run{Kind: topics.RestoreJob, Operation: topics.Operation{Target: filepath.Join(home, name), NoOwners: leave}}
		if err := p.prepare(filepath.Join(dir, "state"), run); err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{name, filepath.Dir(name)} {
			info, err := os.Stat(filepath.Join(home, at))
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t).Uid; (owner == 1001) != leave {
				t.Errorf("%s belongs to %d", at, owner)
			}
		}
	}
}
