package e2e

import (
	"bytes"
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

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// A Restore is a job of that kind as the API tells it.
type Restore struct {
	Job
	Restore *topics.Restored `json:"restore"`
}

// AwaitRestore waits until a restore has ended, well or not.
func (w *World) AwaitRestore(id string) (r Restore) {
	w.t.Helper()
	world.AwaitWithin(w.t, 2*time.Minute, "restore "+id+" to end", func() error {
		r = Restore{}
		if w.API("GET", "/api/jobs/"+id, nil, http.StatusOK, &r); !r.ended() {
			return fmt.Errorf("it is %s\n%s", r.State, w.logText(id))
		}
		return nil
	})
	return r
}

// AskRestore asks for one, with more than the kind said by request.
func (a *Agent) AskRestore(request map[string]any) string {
	a.w.t.Helper()
	request["kind"] = "restore"
	var made struct{ ID string }
	a.w.API("POST", "/api/hosts/"+a.ID+"/jobs", request, http.StatusAccepted, &made)
	return made.ID
}

// RefusedRestore asks for one that has to be refused with a cause.
func (a *Agent) RefusedRestore(request map[string]any, cause topics.Cause, texts ...string) (p topics.Problem) {
	a.w.t.Helper()
	request["kind"] = "restore"
	a.w.API("POST", "/api/hosts/"+a.ID+"/jobs", request, http.StatusConflict, &p)
	if p.Cause != cause {
		a.w.t.Errorf("a restore is refused by the cause %q, want %q: %s", p.Cause, cause, p.Detail)
	}
	for _, text := range texts {
		if !strings.Contains(p.Detail, text) {
			a.w.t.Errorf("the refusal %q does not say %q", p.Detail, text)
		}
	}
	return p
}

// must insists on how a restore ended.
func (r Restore) must(t *testing.T, state topics.JobState, cause topics.Cause) topics.Restored {
	t.Helper()
	if r.State != string(state) || r.Cause != string(cause) || r.Restore == nil {
		t.Fatalf("the restore is %s, cause %q: %s; it came to %+v", r.State, r.Cause, r.Message, r.Restore)
	}
	return *r.Restore
}

// permit runs the command that is shown to a host's administrator, on the host.
func (a *Agent) permit(line string) {
	a.w.t.Helper()
	if !strings.HasPrefix(line, "restic-manager-agent policy ") || !strings.Contains(line, " --state "+a.State) {
		a.w.t.Fatalf("the command is %q", line)
	}
	r := command(a.w.t, exec.Command("sh", "-c", strings.Replace(line, "restic-manager-agent", program("restic-manager-agent"), 1)))
	if r.code != 0 {
		a.w.t.Fatalf("%s: %s", line, r.errs)
	}
}

// holding writes a restic for an agent that waits before a restore if the file .hold is
// there, until .go is, and that is slow if .slow is there.
func (a *Agent) holding() StandIn {
	a.w.t.Helper()
	s := NewStandIn(a.w.t, filepath.Join(a.Dir, "bin"), ":")
	b := world.Must(os.ReadFile(s.Path))
	script := bytes.Replace(b, []byte("exec "), []byte(`case " $* " in *" restore "*)
  if [ -e "$0.hold" ]; then rm "$0.hold"; gate go; rm "$0.go" "$0.at-go"; fi
  if [ -e "$0.slow" ]; then set -- --limit-download 6000 "$@"; fi
esac
exec `), 1)
	if err := os.WriteFile(s.Path, script, 0o700); err != nil {
		a.w.t.Fatal(err)
	}
	a.Restic = s.Path
	return s
}

// mustBe compares what was restored with what was saved.
func mustBe(t *testing.T, want, got string, leave world.Leave) {
	t.Helper()
	for _, d := range world.Differences(want, got, leave) {
		t.Errorf("%s: %s", got, d)
	}
}

// smallDisk mounts a disk of so many MiB.
func smallDisk(t *testing.T, dir string, mebibytes int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mebibytes)); err != nil {
		t.Fatalf("this test mounts a disk, for which it has to be root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// TestPeopleGetTheirFilesBack puts a basket together from two snapshots of a tree with
// everything that is odd, and brings it back: to the host it is of and to another, by API
// and command line, and through all that goes wrong on the way. RESTIC_MANAGER_SOAK plants
// the large tree.
func TestPeopleGetTheirFilesBack(t *testing.T) {
	w := NewWorld(t)
	tree := world.Tree{Files: 400, Root: true}
	if os.Getenv("RESTIC_MANAGER_SOAK") != "" {
		tree = world.Big
	}
	back := filepath.Join(w.Dir, "back")
	attic := w.Enrol("attic", "--policy", "managed")
	restics := attic.holding()
	attic.Start()
	attic.AwaitOnline()
	cellar := w.StartAgent("cellar")
	began := time.Now()
	lap := func(what string) {
		t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
		began = time.Now()
	}

	tree.Plant(t, attic.Home)
	for i := range 4 {
		attic.Noise(fmt.Sprintf("noise/%d", i), 6)
	}
	vault := attic.Group("all")
	lap("planted")
	w.AwaitState(attic.Backup("all"), "succeeded")
	lap("backed up")
	was := filepath.Join(attic.Dir, "was")
	if out, err := exec.Command("cp", "-a", filepath.Join(attic.Home, "odd"), was).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	attic.Write("odd/two words", "changed between the snapshots")
	attic.Write("deep/level-00/new", "only in the second")
	w.AwaitState(attic.Backup("all"), "succeeded")
	saved := attic.Snapshots()
	if len(saved) != 2 {
		t.Fatalf("the snapshots are %v", saved)
	}
	one, two := saved[1], saved[0]
	at := func(name string) string { return filepath.Join(attic.Home, name) }
	lap("backed up again")

	basket := func(target string, more ...any) map[string]any {
		m := map[string]any{"repository": vault.ID, "target": target, "items": []map[string]any{
			{"snapshot": one, "paths": []string{at("kinds"), at("odd")}},
			{"snapshot": two[:10], "paths": []string{at("deep")}},
		}}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	whole := func(t *testing.T, target string, leave world.Leave) {
		t.Helper()
		mustBe(t, at("kinds"), filepath.Join(target, at("kinds")), leave)
		mustBe(t, was, filepath.Join(target, at("odd")), leave)
		mustBe(t, at("deep"), filepath.Join(target, at("deep")), leave)
	}
	same := func(t *testing.T, dry, run topics.Restored) {
		t.Helper()
		if run.Matched != dry.Matched || run.Restored != dry.Restored || run.Bytes != dry.Bytes || run.Failed > 0 || run.Matched < 80 {
			t.Errorf("the dry run said %+v, and the restore did %+v", dry, run)
		}
	}
	// nothing insists that a target was not written to.
	nothing := func(t *testing.T, target string, but ...string) {
		t.Helper()
		entries, err := os.ReadDir(target)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !slices.Contains(but, e.Name()) {
				t.Errorf("%s holds %s", target, e.Name())
			}
		}
	}

	var noted struct{ Note string }
	w.API("POST", "/api/hosts/"+attic.ID+"/jobs", basket(filepath.Join(back, "noted"), "kind", "restore", "dry_run", true),
		http.StatusAccepted, &noted)
	if old := strings.HasPrefix(restic(t, vault, "version"), "restic 0.14"); old != strings.Contains(noted.Note, "restic 0.14") {
		t.Errorf("of a restore where files may be it says %q", noted.Note)
	}
	to := filepath.Join(back, "first")
	dryJob := attic.AskRestore(basket(to, "dry_run", true))
	dry := w.AwaitRestore(dryJob).must(t, topics.Succeeded, "")
	if _, err := os.Lstat(back); err == nil {
		t.Error("a dry run made the target")
	}
	if dry.Restored != dry.Matched || dry.NeedBytes < dry.Bytes || dry.FreeBytes == 0 || len(w.Report(dryJob).Planned) == 0 {
		t.Errorf("the dry run saw %+v", dry)
	}
	lap("dry run")
	run := w.AwaitRestore(attic.AskRestore(basket(to, "dry_run_job", dryJob))).must(t, topics.Succeeded, "")
	same(t, dry, run)
	whole(t, to, world.Leave{})
	if run.Target != to {
		t.Errorf("it says that the files are in %q", run.Target)
	}
	lap("run")

	t.Run("what changed since its dry run is not written", func(t *testing.T) {
		w, attic := w.In(t), *attic
		attic.w = w
		for _, c := range []struct {
			what   string
			name   string
			change func(target string) error
		}{
			{"a file came into the target", "came", func(target string) error {
				return errors.Join(os.MkdirAll(target+at("deep"), 0o700), os.WriteFile(target+at("deep/stranger"), []byte("x"), 0o600))
			}},
			{"a file that it would meet changed", "met", func(target string) error {
				return os.WriteFile(target+at("odd/two words"), []byte("somebody's work"), 0o600)
			}},
		} {
			target := filepath.Join(back, c.name)
			mine := filepath.Join(target, at("odd/two words"))
			if c.name == "met" {
				if err := errors.Join(os.MkdirAll(filepath.Dir(mine), 0o700), os.WriteFile(mine, []byte("mine"), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			job := attic.AskRestore(basket(target, "dry_run", true, "overwrite", "always"))
			w.AwaitRestore(job).must(t, topics.Succeeded, "")
			if err := c.change(target); err != nil {
				t.Fatal(err)
			}
			before := listed(t, target)
			r := w.AwaitRestore(attic.AskRestore(basket(target, "dry_run_job", job, "overwrite", "always")))
			r.must(t, topics.Failed, topics.CausePreview)
			if after := listed(t, target); after != before {
				t.Errorf("%s, and the target has %s, had %s", c.what, after, before)
			}
			// What is asked for otherwise than the dry run was is refused at once.
			attic.RefusedRestore(basket(target+"-else", "dry_run_job", job, "overwrite", "always"), "stale-preview", "target was changed")
			attic.RefusedRestore(basket(target, "dry_run_job", job), "stale-preview", "files that are there")
		}
		// In place the source itself is what it would meet.
		place := func(more ...any) map[string]any {
			m := basket("", append(more, "in_place", true, "overwrite", "always")...)
			m["items"] = []map[string]any{{"snapshot": one, "paths": []string{at("odd/two words")}}}
			delete(m, "target")
			return m
		}
		job := attic.AskRestore(place("dry_run", true))
		if saw := w.AwaitRestore(job).must(t, topics.Succeeded, ""); saw.Overwritten != 1 || saw.Restored > 0 {
			t.Errorf("in place the dry run saw %+v", saw)
		}
		attic.Write("odd/two words", "written meanwhile")
		attic.RefusedRestore(place("dry_run_job", job), "confirm-needed", "attic")
		w.AwaitRestore(attic.AskRestore(place("dry_run_job", job, "confirm", "attic"))).must(t, topics.Failed, topics.CausePreview)
		if b, err := os.ReadFile(at("odd/two words")); err != nil || string(b) != "written meanwhile" {
			t.Errorf("the source is %q, %v", b, err)
		}
		w.AwaitRestore(attic.AskRestore(place("confirm", "attic"))).must(t, topics.Succeeded, "")
		if b := world.Must(os.ReadFile(at("odd/two words"))); string(b) != string(world.Must(os.ReadFile(filepath.Join(was, "two words")))) {
			t.Errorf("in place came %q", b)
		}
	})
	lap("changed since")

	t.Run("to another host", func(t *testing.T) {
		w, cellar := w.In(t), *cellar
		cellar.w = w
		request := basket("")
		delete(request, "target")
		p := cellar.RefusedRestore(request, "", "will get the address and password")
		if p.Command != "" {
			t.Errorf("%+v", p)
		}
		request["give_repository"] = true
		cellar.permit(cellar.RefusedRestore(request, topics.CausePolicy, "to no repository for this before it has backed up").Command)
		var id string
		world.Await(t, "the restore to be permitted", func() error {
			request["kind"] = "restore"
			r := w.request("POST", "/api/hosts/"+cellar.ID+"/jobs", request)
			if r.StatusCode != http.StatusAccepted {
				return fmt.Errorf("%s: %s", r.Status, r.body)
			}
			id = decoded[Job](t, r).ID
			return nil
		})
		run := w.AwaitRestore(id).must(t, topics.Succeeded, "")
		same(t, dry, run)
		if !strings.HasPrefix(run.Target, filepath.Join(cellar.State, "restored")+"/") {
			t.Errorf("they are in %q", run.Target)
		}
		whole(t, run.Target, world.Leave{})

		outside := filepath.Join(w.Dir, "outside")
		p = cellar.RefusedRestore(basket(outside, "give_repository", true), topics.CausePolicy, "lets restores write below")
		nothing(t, outside)
		cellar.permit(p.Command)
		world.Await(t, "the place to be permitted", func() error {
			r := w.request("POST", "/api/hosts/"+cellar.ID+"/jobs", basket(outside, "kind", "restore", "give_repository", true, "owners", false))
			if r.StatusCode != http.StatusAccepted {
				return fmt.Errorf("%s: %s", r.Status, r.body)
			}
			id = decoded[Job](t, r).ID
			return nil
		})
		same(t, dry, w.AwaitRestore(id).must(t, topics.Succeeded, ""))
		whole(t, outside, world.Leave{Owners: true})
	})
	lap("to another host")

	t.Run("two into one target, and a backup beside them", func(t *testing.T) {
		w, attic := w.In(t), *attic
		attic.w = w
		world.Must(0, os.WriteFile(restics.Path+".hold", nil, 0o600))
		target := filepath.Join(back, "shared")
		some := func(name string) map[string]any {
			return basket(target, "items", []map[string]any{{"snapshot": one, "paths": []string{at(name)}}})
		}
		first := attic.AskRestore(some("kinds"))
		restics.AwaitAt("go")
		second, backup := attic.AskRestore(some("odd")), attic.Backup("all")
		if again := attic.AskRestore(some("kinds")); again != first {
			t.Errorf("the same restore is asked for twice as %s and %s", first, again)
		}
		restics.Open("go")
		w.AwaitRestore(first).must(t, topics.Succeeded, "")
		w.AwaitRestore(second).must(t, topics.Succeeded, "")
		w.AwaitState(backup, "succeeded")
		mustBe(t, at("kinds"), filepath.Join(target, at("kinds")), world.Leave{})
		mustBe(t, was, filepath.Join(target, at("odd")), world.Leave{})
	})
	lap("two at once")

	t.Run("half way", func(t *testing.T) {
		w, attic := w.In(t), *attic
		attic.w = w
		person := w.SignIn()
		world.Must(0, os.WriteFile(restics.Path+".slow", nil, 0o600))
		target := filepath.Join(back, "half")
		id := attic.AskRestore(basket(target, "items", []map[string]any{{"snapshot": one, "paths": []string{at("noise")}}}))
		f := w.Follow(id, 0)
		var progress struct {
			Progress *struct {
				TotalBytes   uint64   `json:"total_bytes"`
				BytesDone    uint64   `json:"bytes_done"`
				SecondsLeft  uint64   `json:"seconds_left"`
				CurrentFiles []string `json:"current_files"`
			}
		}
		world.Await(t, "it to be half way", func() error {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, e := range f.story {
				if err := json.Unmarshal(e.Raw, &progress); err != nil {
					return err
				}
			}
			if p := progress.Progress; p == nil || p.BytesDone == 0 || p.BytesDone >= p.TotalBytes || len(p.CurrentFiles) == 0 {
				return fmt.Errorf("it is at %+v", p)
			}
			return nil
		})
		page := person.Page("/jobs/" + id)
		if page.Missing("Cancel", " of 24.0 MiB written", "/noise/") {
			t.Errorf("the page of a running restore is %s", page.HTML)
		}
		w.API("POST", "/api/jobs/"+id+"/cancel", nil, http.StatusAccepted, nil)
		r := w.AwaitRestore(id)
		if err := os.Remove(restics.Path + ".slow"); err != nil {
			t.Fatal(err)
		}
		if p := progress.Progress; p.TotalBytes != 24<<20 || p.SecondsLeft == 0 {
			t.Errorf("it was at %+v", p)
		}
		if r.State != "cancelled" || r.Restore == nil || r.Restore.Bytes >= 24<<20 {
			t.Errorf("it is %s: %s, %+v", r.State, r.Message, r.Restore)
		}
		if page := person.Page("/jobs/" + id); page.Missing("Cancelled") || !page.Missing("4 new") {
			t.Errorf("the page of a cancelled restore is %s", page.HTML)
		}
		if left, _ := filepath.Glob(filepath.Join(target, ".restic-manager-*")); len(left) > 0 {
			t.Errorf("%v is left", left)
		}
	})
	lap("half way")

	t.Run("no room", func(t *testing.T) {
		w, attic := w.In(t), *attic
		attic.w = w
		disk := filepath.Join(w.Dir, "small")
		smallDisk(t, disk, 2)
		target := filepath.Join(disk, "to")
		job := attic.AskRestore(basket(target, "dry_run", true))
		small := w.AwaitRestore(job).must(t, topics.Succeeded, "")
		if small.FreeBytes >= small.NeedBytes || small.FreeBytes == 0 {
			t.Errorf("the dry run says of room %+v", small)
		}
		w.AwaitRestore(attic.AskRestore(basket(target, "dry_run_job", job))).must(t, topics.Failed, topics.CauseHostDisk)
		nothing(t, target)
	})
	t.Run("the disk fills up", func(t *testing.T) {
		w, attic := w.In(t), *attic
		attic.w = w
		disk := filepath.Join(w.Dir, "small")
		smallDisk(t, disk, 64)
		world.Must(0, os.WriteFile(restics.Path+".hold", nil, 0o600))
		id := attic.AskRestore(basket(filepath.Join(disk, "to"), "items",
			[]map[string]any{{"snapshot": one, "paths": []string{at("kinds/large")}}}))
		restics.AwaitAt("go")
		f := world.Must(os.Create(filepath.Join(disk, "fill")))
		var s unix.Statfs_t
		err := unix.Statfs(disk, &s)
		if err = errors.Join(err, unix.Fallocate(int(f.Fd()), 0, 0, int64(s.Bfree)*int64(s.Bsize)-1<<20), f.Close()); err != nil {
			t.Fatal(err)
		}
		restics.Open("go")
		r := w.AwaitRestore(id)
		r.must(t, topics.Failed, topics.CauseHostDisk)
		if b, err := os.ReadFile(filepath.Join(disk, "to", at("kinds/large"))); err == nil && len(b) == 3<<20 {
			t.Error("a file that does not fit is whole")
		}
		lap("the disk fills up")
	})

	t.Run("a link is put in the way", func(t *testing.T) {
		w, attic := w.In(t), *attic
		attic.w = w
		target, aside, victim := filepath.Join(back, "swapped"), filepath.Join(back, "aside"), filepath.Join(w.Dir, "victim")
		world.Must(0, errors.Join(os.MkdirAll(filepath.Dir(target), 0o700), os.Mkdir(victim, 0o700)))
		world.Must(0, os.WriteFile(restics.Path+".hold", nil, 0o600))
		id := attic.AskRestore(basket(target, "items", []map[string]any{{"snapshot": one, "paths": []string{at("kinds")}}}))
		restics.AwaitAt("go")
		if err := errors.Join(os.Rename(target, aside), os.Symlink(victim, target)); err != nil {
			t.Fatal(err)
		}
		restics.Open("go")
		w.AwaitRestore(id).must(t, topics.Failed, topics.CauseTargetMoved)
		nothing(t, victim)
		// One that is there beforehand leads out of what the policy allows.
		cellar := *cellar
		cellar.w = w
		link := filepath.Join(cellar.State, "restored", "link")
		if err := os.Symlink(victim, link); err != nil {
			t.Fatal(err)
		}
		id = cellar.AskRestore(basket(filepath.Join(link, "below"), "give_repository", true))
		if r := w.AwaitRestore(id); r.State != "failed" || r.Cause != "policy" {
			t.Errorf("through a link it is %s, %q: %s", r.State, r.Cause, r.Message)
		}
		nothing(t, victim)
	})
	lap("a link")

	t.Run("its host is gone", func(t *testing.T) {
		w, cellar := w.In(t), *cellar
		cellar.w = w
		attic.Kill9()
		attic.AwaitOffline()
		(&Agent{w: w, ID: attic.ID}).RefusedRestore(basket(to, "dry_run_job", dryJob), "stale-preview", "went offline")
		target := filepath.Join(w.Dir, "outside", "gone")
		r := command(t, exec.Command(program("restic-manager"), "restore", "attic:"+one[:10], at("kinds"), at("odd"),
			"--item", two[:10]+":"+at("deep"), "--to", "cellar:"+target, "--give-repository", "--wait", "--data", w.Data))
		if r.code != 0 || !strings.Contains(r.errs, "The files are in "+target) {
			t.Fatalf("restore ended with %d: %s%s", r.code, r.out, r.errs)
		}
		same(t, dry, w.AwaitRestore(strings.TrimSpace(r.out)).must(t, topics.Succeeded, ""))
		whole(t, target, world.Leave{})
	})
	lap("its host is gone")
	w.MustStopCleanly()
}

// listed tells what is in a directory, with sizes and times.
func listed(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("find", dir, "-printf", `%P %y %s %T@\n`).Output()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
