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

	"github.com/restic-manager/restic-manager/e2e/world"
)

// TestALostControlPlaneComesBackFromItsCopy is the drill: a copy is made, life goes on,
// the machine with the control plane is destroyed, another is made from the copy, and
// everything is counted.
func TestALostControlPlaneComesBackFromItsCopy(t *testing.T) {
	w := NewWorld(t)
	w.addPerson()
	if r := w.typed(passphrase, "user", "add", "bob", "--role", "operator", "--password-stdin"); r.code != 0 {
		t.Fatal(r.errs)
	}
	attic, shed := w.StartAgent("attic"), w.StartAgent("shed")
	attic.Write("letter.txt", "dear reader")
	repository := attic.Group("letters")
	before := attic.Backup("letters")
	w.AwaitState(before, "succeeded")

	copied := w.CLI("backup", filepath.Join(w.Dir, "copy.db"), "--data", w.Data)
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the copy: %v, %v, want mode 0600", info, err)
	}

	// What the copy does not know.
	var since []string
	for range 3 {
		id := attic.Backup("letters")
		w.AwaitState(id, "succeeded")
		since = append(since, id)
	}
	w.CLI("host", "revoke", "shed", "--data", w.Data)
	if r := w.typed("", "user", "disable", "bob"); r.code != 0 {
		t.Fatal(r.errs)
	}
	late := w.StartAgent("late")
	snapshots := map[string]string{}
	for _, id := range since {
		snapshots[id] = w.Job(id).SnapshotID
	}

	w.KillPlane()
	key, err := os.ReadFile(w.Data + ".key")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(w.Data)); err != nil {
		t.Fatal(err)
	}
	w.Data = filepath.Join(w.Dir, "second", "data")
	restore := func() result {
		return command(t, exec.Command(program("restic-manager"), "restore-self", copied, "--data", w.Data))
	}
	if r := restore(); r.code != 3 || !strings.Contains(r.errs, w.Data+".key") {
		t.Errorf("without the key: exit status %d, %s", r.code, r.errs)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(w.Data), 0o700), os.WriteFile(w.Data+".key", key, 0o600)); err != nil {
		t.Fatal(err)
	}
	r := restore()
	if r.code != 0 || !strings.Contains(r.out, "/set-password?key=") {
		t.Fatalf("restore-self: exit status %d, %s %s", r.code, r.out, r.errs)
	} else if !strings.Contains(r.errs, "has another identity") || !strings.Contains(r.errs, "enroll-token create --for HOST") {
		t.Errorf("restore-self does not say what to do about hosts that have left the copy's identity: %s", r.errs)
	}
	if again := restore(); again.code != 1 || !strings.Contains(again.errs, "already") {
		t.Errorf("over a database: exit status %d, %s", again.code, again.errs)
	}
	w.StartPlane()
	began := time.Now()

	// Nobody is trusted unasked: not the program's token, nor a person who was disabled since.
	if got := w.request("GET", "/api/hosts", nil); got.StatusCode != http.StatusForbidden || !strings.Contains(string(got.body), "confirm") {
		t.Errorf("the token that the copy trusts: %s %s", got.Status, got.body)
	}
	if _, in := w.signInAs("bob", passphrase); in {
		t.Error("bob, who was disabled after the copy, is let in")
	}
	w.CLI("confirm", "token", "e2e", "--data", w.Data)
	attic.AwaitOnline()
	t.Logf("the agent was back after %v", time.Since(began).Round(100*time.Millisecond))
	if took := time.Since(began); took > time.Minute {
		t.Errorf("the agent was back after %v, want a minute at most", took)
	}

	// Every job that was done is known, with its end and its snapshot, and once.
	for _, id := range append([]string{before}, since...) {
		world.Await(t, "job "+id+" to be told again", func() error {
			got := w.request("GET", "/api/jobs/"+id, nil)
			if got.StatusCode != http.StatusOK || !strings.Contains(string(got.body), `"succeeded"`) {
				return fmt.Errorf("%s %s", got.Status, got.body)
			}
			return nil
		})
		if want := snapshots[id]; want != "" && w.Job(id).SnapshotID != want {
			t.Errorf("job %s has the snapshot %s, want %s", id, w.Job(id).SnapshotID, want)
		}
		w.mustBeComplete(id, 0)
	}
	if n := len(strings.Fields(restic(t, repository, "list", "snapshots", "-q", "--no-lock"))); n != 4 || len(attic.Snapshots()) != n {
		t.Errorf("there are %d snapshots, want 4: something ran twice or never", n)
	}

	// Nothing is sent to a host before somebody has confirmed it.
	held := attic.Backup("letters")
	if reason := w.waitsFor(held); reason != "unconfirmed" {
		t.Errorf("the job of a host that nobody confirmed waits for %q", reason)
	}
	w.CLI("confirm", "host", "attic", "--data", w.Data)
	w.AwaitState(held, "succeeded")

	// The host that was revoked after the copy is refused by an administrator, and stays out.
	w.CLI("confirm", "--refuse", "host", "shed", "--data", w.Data)
	shed.AwaitOffline()

	// The host that the copy never heard of hears what to do, and is a host again with one token.
	late.process.Await(`older than this host`)
	late.MustStop()
	token := w.CLI("enroll-token", "create", "--name", "late", "--data", w.Data)
	if r := command(t, exec.Command(program("restic-manager-agent"), "enroll", "--again", "--server", w.Agents, "--token", token, "--state",
		late.State, "--repository-root", w.Dir)); r.code != 0 {
		t.Fatalf("enrolling again: %s", r.errs)
	} else {
		late.ID = strings.TrimSpace(r.out)
	}
	late.Start()
	late.AwaitOnline()
	w.MustStopCleanly()
}
