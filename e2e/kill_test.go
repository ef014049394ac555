package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// slow makes a real backup last for a while, and end soon once it is asked to.
const slow = `set -- --limit-upload 2048 "$@" --pack-size 4`

// awaitRunningRestic waits until restic runs for the agent.
func (a *Agent) awaitRunningRestic() {
	a.w.t.Helper()
	world.Await(a.w.t, "restic to run", func() error {
		if len(resticsBelow(a.State)) == 0 {
			return fmt.Errorf("it does not; the agent says %s", a.process.Errs.Tail(500))
		}
		return nil
	})
}

func TestAJobOfAKilledAgentEndsInterruptedAndTheNextOneWorks(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	attic.Restic = NewStandIn(t, attic.Dir, slow).Path
	attic.Noise("photo.raw", 40)
	repository := attic.Group("all")
	attic.Start()
	id := attic.Backup("all")
	w.AwaitState(id, "running")
	awaitFiles(t, repository.URL+"/data/*/*", 2)

	attic.Kill9()
	attic.AwaitOffline() // by its last will
	if j := w.Job(id); j.ended() {
		t.Errorf("the job is %s before anybody can know", j.State)
	}
	attic.Start()
	job := w.AwaitState(id, "interrupted")
	if job.Cause == "" || job.SnapshotID != "" {
		t.Errorf("the job is %+v", job)
	}
	if left := resticsBelow(w.Dir); len(left) > 0 {
		t.Errorf("restic is left behind: processes %v", left)
	}
	w.mustBeComplete(id, 0)

	NewStandIn(t, attic.Dir, "") // as quick as ever
	if next := w.AwaitState(attic.Backup("all"), "succeeded"); next.SnapshotID == "" {
		t.Errorf("the next job is %+v", next)
	}
	restic(t, repository, "check")
	if job := w.Job(id); job.State != "interrupted" {
		t.Errorf("the interrupted job became %s", job.State)
	}
	w.MustStopCleanly()
}

func TestAKilledAgentsDeafResticIsEndedAtItsRestart(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	standIn := NewStandIn(t, attic.Dir, "trap '' INT HUP TERM PIPE; words 1 10; gate never")
	attic.Restic = standIn.Path
	attic.Write("a", "a")
	attic.Group("all")
	attic.Start()
	id := attic.Backup("all")
	standIn.AwaitAt("never")
	world.Await(t, "its lines", func() error {
		if n := w.Job(id).Lines; n < 10 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	attic.Kill9()
	if len(resticsBelow(w.Dir)) == 0 {
		t.Fatal("restic ended with the agent; this proves nothing")
	}
	attic.Start()
	w.AwaitState(id, "interrupted")
	if left := resticsBelow(w.Dir); len(left) > 0 {
		t.Errorf("restic is left behind: processes %v", left)
	}
	w.mustBeComplete(id, 10)
	w.MustStopCleanly()
}

func TestABackupGoesOnWithoutItsControlPlane(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	standIn := NewStandIn(t, attic.Dir, "words 1 500; gate killed; words 501 3000; gate alone; words 3001 4000; gate back; words 4001 4500")
	attic.Restic = standIn.Path
	attic.Noise("photo.raw", 8)
	repository := attic.Group("all")
	attic.Start()
	id := attic.Backup("all")
	standIn.AwaitAt("killed")
	w.KillPlane()
	standIn.Open("killed")
	standIn.AwaitAt("alone") // 2500 lines while nobody listens
	w.StartPlane()
	standIn.Open("alone")
	standIn.AwaitAt("back")
	w.KillPlane() // once more, whatever it is doing
	standIn.Open("back")
	awaitFiles(t, repository.URL+"/snapshots/*", 1) // the backup has ended, alone
	w.StartPlane()
	job := w.AwaitState(id, "succeeded")
	w.mustBeComplete(id, 4500)
	if ids := attic.Snapshots(); len(ids) != 1 || ids[0] != job.SnapshotID {
		t.Errorf("the control plane knows snapshots %v, want %s", ids, job.SnapshotID)
	}
	if page := w.SignIn().Page("/jobs/" + id); page.Missing("Succeeded") {
		t.Errorf("the page does not say so: %s", page.Text)
	}
	w.MustStopCleanly()
}

func TestAControlPlaneStopsWhileEverybodyListens(t *testing.T) {
	w := NewQuietWorld(t)
	attic := w.Enrol("attic")
	standIn := NewStandIn(t, attic.Dir, "words 1 10; gate stopped")
	attic.Restic = standIn.Path
	attic.Write("a", "a")
	attic.Group("all")
	attic.Start()
	w.StartAgent("cellar")
	id := attic.Backup("all")
	session := w.SignIn()
	fleet, host, job := session.Stream("/events?view=fleet"), session.Stream("/events?view=host&id="+attic.ID), session.Stream(
		"/events?view=job&id="+id)
	follower := w.Follow(id, 0)
	follower.AwaitWord(10)
	for _, s := range []*Stream{fleet, host, job} {
		s.AwaitSomething()
	}
	if took := w.plane.MustStop(time.Minute); took > 30*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	for _, s := range []*Stream{fleet, host, job} {
		s.AwaitClosed()
	}
	<-follower.done
	w.StartPlane()
	standIn.Open("stopped")
	w.AwaitState(id, "succeeded")
	w.mustBeComplete(id, 10)
	w.MustStopCleanly()
}

func TestAJobIsCancelled(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	attic.Restic = NewStandIn(t, attic.Dir, slow).Path
	attic.Noise("photo.raw", 40)
	repository := attic.Group("all")

	waiting := attic.Backup("all")
	w.AwaitState(waiting, "queued")
	w.API("POST", "/api/jobs/"+waiting+"/cancel", nil, 202, nil)
	if j := w.AwaitState(waiting, "cancelled"); j.Lines != 0 || j.SnapshotID != "" {
		t.Errorf("a job that never ran is %+v", j)
	}

	attic.Start()
	running := attic.Backup("all")
	w.AwaitState(running, "running")
	awaitFiles(t, repository.URL+"/data/*/*", 2)
	attic.awaitRunningRestic()
	w.API("POST", "/api/jobs/"+running+"/cancel", nil, 202, nil)
	if j := w.AwaitState(running, "cancelled"); j.SnapshotID != "" {
		t.Errorf("the cancelled job is %+v", j)
	}
	if left := resticsBelow(w.Dir); len(left) > 0 {
		t.Errorf("restic is left behind: processes %v", left)
	}
	if r := w.request("POST", "/api/jobs/"+running+"/cancel", nil); r.StatusCode != 409 {
		t.Errorf("cancelling an ended job: %s, want 409: %s", r.Status, r.body)
	}
	if locks := restic(t, repository, "list", "locks", "--no-lock"); locks != "" {
		t.Errorf("a lock is left: %s", locks)
	}
	if n := len(attic.Snapshots()); n != 0 {
		t.Errorf("there are %d snapshots", n)
	}
	w.MustStopCleanly()
}

// TestWhoeverCancelsIsToldWhatHappens asks in all three ways about jobs of every kind.
func TestWhoeverCancelsIsToldWhatHappens(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	standIn := NewStandIn(t, attic.Dir, "words 1 10; gate never")
	attic.Restic = standIn.Path
	attic.Write("a", "a")
	attic.Group("all")
	cli := func(id string, code int, says string) {
		t.Helper()
		r := command(t, exec.Command(program("restic-manager"), "job", "cancel", id, "--data", w.Data))
		if r.code != code || r.out != "" || !strings.Contains(r.errs, says) {
			t.Errorf("exit status %d, %q, want %d and a word about %q", r.code, r.errs, code, says)
		}
	}
	api := func(id string, status int, says string) {
		t.Helper()
		if r := w.request("POST", "/api/jobs/"+id+"/cancel", nil); r.StatusCode != status || !strings.Contains(string(r.body), says) {
			t.Errorf("%s: %s, want %d and a word about %q", r.Status, r.body, status, says)
		}
	}
	cli("0123456789abcdef", 1, "there is no job")
	api("0123456789abcdef", 404, "no such job")

	for _, cancel := range []func(id string){ // the host is away, so they wait
		func(id string) { cli(id, 0, "it is cancelled") },
		func(id string) { api(id, 202, "it is cancelled") },
	} {
		id := attic.Backup("all")
		w.AwaitState(id, "queued")
		cancel(id)
		w.AwaitState(id, "cancelled")
		cli(id, 1, "already ended")
		api(id, 409, "already ended")
	}

	attic.Start()
	id := attic.Backup("all")
	standIn.AwaitAt("never")
	w.AwaitState(id, "running")
	attic.Kill9()
	attic.AwaitOffline()
	api(id, 202, "as soon as it is back")
	cli(id, 0, "until it is back")
	if page := w.SignIn().Page("/jobs/" + id); page.Missing("Cancelling") || page.Missing("attic cannot be asked yet") ||
		page.Missing("as soon as it is back") {
		t.Errorf("the page says %s", page.Text)
	}
	attic.Start()
	w.AwaitState(id, "interrupted") // there is nothing left to cancel
	cli(id, 1, "already ended")

	id = attic.Backup("all")
	w.AwaitState(id, "running")
	cli(id, 0, "has been asked to end it")
	w.AwaitState(id, "cancelled")
	w.MustStopCleanly()
}

func TestAJobWaitsForItsHost(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic")
	attic.Write("a", "a")
	attic.Group("all")
	attic.MustStop()
	attic.AwaitOffline()
	id := attic.Backup("all")
	if again := attic.Backup("all"); again != id {
		t.Errorf("asking twice made jobs %s and %s, want one that waits", id, again)
	}
	w.plane.MustStop(time.Minute) // it waits in the database, not in memory
	w.StartPlane()
	if j := w.Job(id); j.State != "queued" {
		t.Errorf("the job is %s, want queued", j.State)
	}
	attic.Start()
	w.AwaitState(id, "succeeded")
	w.MustStopCleanly()
}
