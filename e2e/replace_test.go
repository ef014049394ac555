package e2e

import (
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

	"github.com/chromedp/chromedp/kb"

	"github.com/restic-manager/restic-manager/e2e/world"
)

type replacement struct {
	EnrolledAt *string `json:"enrolled_at"`
	EndedAt    *string `json:"ended_at"`
	Groups     []struct {
		Name, Snapshot string
		Waits          bool
		Restores       []string
	}
	Warnings []string
}

func (a *Agent) replacement() (r replacement) {
	a.w.t.Helper()
	a.w.API("GET", "/api/hosts/"+a.ID+"/replacement", nil, http.StatusOK, &r)
	return r
}

// replace makes a token for another machine and enrols that with the command that is
// shown, in a state directory of its own. The old agent goes on if it runs.
func (a *Agent) replace(name string) *Agent {
	a.w.t.Helper()
	var made struct{ Token, Command string }
	a.w.API("POST", "/api/hosts/"+a.ID+"/replacement", map[string]any{}, http.StatusCreated, &made)
	n := &Agent{w: a.w, Name: name, Dir: filepath.Join(a.w.Dir, name), Home: a.Home, Restic: a.Restic}
	n.State = filepath.Join(n.Dir, "state")
	if err := os.MkdirAll(n.Dir, 0o700); err != nil {
		a.w.t.Fatal(err)
	}
	line := strings.ReplaceAll(strings.Replace(made.Command, "restic-manager-agent", program("restic-manager-agent"), 1), a.State, n.State)
	r := command(a.w.t, exec.Command("sh", "-c", line))
	if r.code != 0 {
		a.w.t.Fatalf("%s: %s", line, r.errs)
	}
	if n.ID = strings.TrimSpace(r.out); n.ID != a.ID {
		a.w.t.Fatalf("the new machine is the host %s, want %s", n.ID, a.ID)
	}
	return n
}

// TestTheChecklistOfAReplacementIsForEverybody goes through its page as a person does.
func TestTheChecklistOfAReplacementIsForEverybody(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	old := w.StartAgent("attic")
	old.Write("letters.txt", "dear reader")
	vault := old.Group("letters")
	w.AwaitState(old.Backup("letters"), "succeeded")
	b.signIn(w)
	page := "/hosts/" + old.ID + "/replacement"
	old.Kill9()
	old.AwaitOffline()
	b.Open("/hosts/" + old.ID)
	b.AwaitText("#away-h", "Not connected since")
	b.Inspect("host-away")
	b.Open(page)
	b.Press("Make a token")
	b.AwaitText("#enrol-status", "Waiting for the new machine")
	b.Inspect("replacement-token")
	// What happens on the way is seen without a reload, beside the token as well as in another tab.
	b.Mark()
	fresh := old.replace("attic-2")
	b.AwaitText("#replacement-groups", "Until each is decided")
	b.AwaitText("#replacement-enrolled", "Enrolled")
	b.MustBeUnmoved()
	fresh.Start()
	fresh.AwaitOnline()
	b.Open(page)
	b.Mark()
	p := fresh.replacement()
	var made struct{ ID string }
	w.API("POST", "/api/hosts/"+old.ID+"/jobs", map[string]any{"kind": "restore", "repository": vault.ID,
		"snapshot": p.Groups[0].Snapshot}, http.StatusAccepted, &made)
	w.AwaitState(made.ID, "succeeded")
	b.AwaitText("#replacement-groups", "Succeeded")
	b.MustBeUnmoved()
	b.Inspect("replacement-waits")
	// The decision by the keyboard alone.
	b.Open(page)
	b.TabTo("the decision", says("All restored"))
	b.Keys(kb.Enter)
	b.AwaitText("main", "All is decided")
}

// TestAReplacedMachineComesBackWithWhatItHasToTell: what it did while nobody heard it, under
// keys that are another's now, is nobody's. An empty machine's first backup is not called well.
func TestAReplacedMachineComesBackWithWhatItHasToTell(t *testing.T) {
	w := NewWorld(t)
	real, err := exec.LookPath("restic")
	if err != nil {
		t.Fatal(err)
	}
	old := w.Enrol("attic")
	old.Restic = filepath.Join(w.Dir, "slow")
	hold := filepath.Join(w.Dir, "hold") // while it is there, backups begin and wait
	script := "#!/bin/sh\ncase \" $* \" in *\" backup \"*) while [ -e " + hold + " ]; do touch " + hold + ".met; sleep 0.1; done;; esac\n" +
		"exec " + real + " \"$@\"\n"
	if err := os.WriteFile(old.Restic, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		old.Write(fmt.Sprintf("letters/%d.txt", i), "dear reader")
	}
	old.Start()
	old.AwaitOnline()
	old.Group("letters")
	w.AwaitState(old.Backup("letters"), "succeeded")
	saved := old.Snapshots()

	if err := os.WriteFile(hold, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	late := old.Backup("letters")
	world.Await(t, "the backup to begin", func() error { _, err := os.Stat(hold + ".met"); return err })
	w.AwaitState(late, "running")
	w.KillPlane()
	if err := os.Remove(hold); err != nil {
		t.Fatal(err)
	}
	world.Await(t, "the backup to end where nobody hears it", func() error {
		if left := ofQueries(w.Dir); len(left) > 0 {
			return fmt.Errorf("processes %v", left)
		}
		return nil
	})
	old.MustStop() // its spool holds the end
	w.StartPlane()
	fresh := old.replace("attic-2")
	fresh.Restic = ""
	fresh.Start()
	fresh.AwaitOnline()
	old.Start()
	world.AwaitWithin(t, time.Minute, "the old machine to hear that it is refused", func() error {
		if text := old.process.Errs.Tail(8000); !strings.Contains(text, "refuses this host") {
			return fmt.Errorf("it says %s", text)
		}
		return nil
	})
	if j := w.Job(late); j.State != "interrupted" || j.Cause != "host-replaced" {
		t.Errorf("the job in the hands of the old machine is %s of %q", j.State, j.Cause)
	}
	if p := fresh.replacement(); p.EnrolledAt == nil || !p.Groups[0].Waits || p.Groups[0].Snapshot != saved[0] {
		t.Errorf("the replacement is %+v, the newest snapshot %s", p, saved[0])
	}
	letters := filepath.Join(old.Home, "letters")
	if err := errors.Join(os.RemoveAll(letters), os.MkdirAll(letters, 0o700)); err != nil {
		t.Fatal(err)
	}
	var p replacement
	w.API("POST", "/api/hosts/"+old.ID+"/replacement/decide", map[string]any{"decision": "start-without"}, http.StatusOK, &p)
	if p.EndedAt == nil || p.Groups[0].Waits {
		t.Errorf("after the decision it is %+v", p)
	}
	first := fresh.Backup("letters")
	world.AwaitWithin(t, 2*time.Minute, "the first backup of the empty machine", func() error {
		if j := w.Job(first); !j.ended() {
			return errors.New(j.State)
		}
		return nil
	})
	if j := w.Job(first); j.State != "warnings" || j.Cause != "empty-source" {
		t.Errorf("the backup of an empty machine is called %s, cause %q: %s", j.State, j.Cause, j.Message)
	}
}

// TestAnotherMachineTakesTheHostsPlace: the old one is cut off, nothing is backed up or
// forgotten before somebody has decided, and what was saved comes back on the new one.
func TestAnotherMachineTakesTheHostsPlace(t *testing.T) {
	w := NewWorld(t)
	old := w.StartAgent("attic")
	old.Write("letters.txt", "dear reader")
	r := old.Group("letters")
	w.API("PUT", "/api/repositories/"+r.ID, map[string]any{"retention": map[string]any{"keep_last": 1}}, http.StatusOK, nil)
	w.API("PUT", "/api/hosts/"+old.ID+"/schedules/yearly", map[string]any{"cron": "0 3 1 1 *", "zone": "UTC",
		"source_groups": []string{"letters"}, "enabled": true}, http.StatusOK, nil)
	for range 2 {
		w.AwaitState(old.Backup("letters"), "succeeded")
	}
	saved := old.Snapshots()
	if len(saved) != 2 {
		t.Fatalf("saved are %v", saved)
	}
	newest := saved[0]

	began := time.Now()
	fresh := old.replace("attic-2") // while the old one is alive
	world.Await(t, "the old machine to be cut off", func() error {
		for _, h := range w.Hosts() {
			if h.ID == old.ID && h.Online {
				return errors.New("it is connected")
			}
		}
		return nil
	})
	t.Logf("cut off after %v", time.Since(began).Round(time.Millisecond))
	world.Await(t, "the old machine to hear that it is refused", func() error {
		if text := old.process.Errs.Tail(8000); !strings.Contains(text, "refuses this host") {
			return fmt.Errorf("it says %s", text)
		}
		return nil
	})
	enabled := func() bool {
		var s struct{ Enabled bool }
		w.API("GET", "/api/hosts/"+old.ID+"/schedules/yearly", nil, http.StatusOK, &s)
		return s.Enabled
	}
	if enabled() {
		t.Error("its schedule goes on before anybody has decided")
	}
	fresh.Start()
	fresh.AwaitOnline()
	p := fresh.replacement()
	if p.EnrolledAt == nil || len(p.Groups) != 1 || !p.Groups[0].Waits || p.Groups[0].Snapshot != newest {
		t.Fatalf("the replacement is %+v", p)
	}
	if answer := w.request("POST", "/api/hosts/"+old.ID+"/jobs", map[string]any{"kind": "backup"}); answer.StatusCode != http.StatusConflict {
		t.Errorf("a backup of the empty machine: %s %s", answer.Status, answer.body)
	}
	w.API("POST", "/api/repositories/"+r.ID+"/refresh", map[string]any{"host": old.ID}, http.StatusAccepted, nil)
	plan := w.RetentionPlan(r.ID)
	if len(plan.Remove) > 0 || len(plan.Keep) != 2 || !strings.Contains(fmt.Sprint(plan.Keep[1].Reasons), "machine was replaced") {
		t.Errorf("before the decision the plan is %+v", plan)
	}

	var made struct{ ID string }
	w.API("POST", "/api/hosts/"+old.ID+"/jobs", map[string]any{"kind": "restore", "repository": r.ID, "snapshot": newest},
		http.StatusAccepted, &made)
	w.AwaitState(made.ID, "succeeded")
	back := false
	err := filepath.WalkDir(filepath.Join(fresh.State, "restored"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "letters.txt" {
			b, err := os.ReadFile(path)
			back = string(b) == "dear reader"
			return err
		}
		return err
	})
	if err != nil || !back {
		t.Errorf("the letters are not on the new machine: %v", err)
	}
	if p = fresh.replacement(); !slices.Equal(p.Groups[0].Restores, []string{made.ID}) {
		t.Errorf("its restores are %v, want %s", p.Groups[0].Restores, made.ID)
	}

	w.API("POST", "/api/hosts/"+old.ID+"/replacement/decide", map[string]any{"decision": "restored"}, http.StatusOK, &p)
	if p.EndedAt == nil || p.Groups[0].Waits || !enabled() {
		t.Errorf("after the decision it is %+v, the schedule is enabled: %v", p, enabled())
	}
	w.AwaitState(fresh.Backup("letters"), "succeeded")
	world.Await(t, "the first backup of the new machine to displace nothing", func() error {
		plan := w.RetentionPlan(r.ID)
		kept := idsOf(plan.Keep)
		if len(kept) != 2 || !slices.Contains(kept, newest) || !strings.Contains(fmt.Sprint(plan.Keep), "pinned") {
			return fmt.Errorf("the plan is %+v", plan)
		}
		return nil
	})
	if !old.process.Running() {
		t.Error("the old agent has ended")
	}
	old.process.Kill9()
	if answer := w.request("DELETE", "/api/hosts/"+old.ID+"/replacement", nil); answer.StatusCode != http.StatusNotFound {
		t.Error(errors.New(answer.Status))
	}
}
