package jobs

import (
	"errors"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// An update is a job like any other, in no repository: it is sent beside what runs on its
// host, nothing is sent after it until it has ended, and what it says is kept.
func TestAnUpdateIsAJobInNoRepository(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	u := topics.Update{Manifest: []byte(`{"format":1}`), Signature: []byte("signed")}
	var old *permits.OldAgent
	if _, _, err := w.engine.AskUpdate(ctx, "anna", w.host.ID, u); !errors.As(err, &old) {
		t.Fatalf("an agent that cannot be updated: %v", err)
	}
	if _, _, err := w.engine.AskUpdate(ctx, "anna", w.host.ID, topics.Update{}); !errors.Is(err, topics.ErrOperation) {
		t.Errorf("an update to nothing: %v", err)
	}
	w.connect()
	facts := topics.Facts{Hostname: "attic", Can: []topics.Ability{topics.UpdatesItself}, Updates: &topics.Updates{OS: "linux", Arch: "amd64",
		Number: 7, Keys: []string{"0123456789ABCDEF"}, Back: &topics.WentBack{From: 9, To: 7, At: 5, Cause: topics.CauseNotWelcomed,
			Version: "1.2", Message: "nobody\nanswered"}}}
	w.step(protocol.Told{Facts: facts})
	w.await("what the agent says of updates", func() bool { return must(w.store.Host(ctx, w.host.ID)).Updates.V != nil })
	if got := must(w.store.Host(ctx, w.host.ID)).Updates.V; got.Number != 7 || got.Back.Cause != topics.CauseNotWelcomed ||
		strings.Contains(got.Back.Message, "\n") {
		t.Errorf("%+v, %+v", got, got.Back)
	}
	backup := w.running()
	j, fresh, err := w.engine.AskUpdate(ctx, "anna", w.host.ID, u)
	if err != nil || !fresh || j.Repository != "" || j.RequestedBy != "anna" {
		t.Fatalf("%+v, %v, %v", j, fresh, err)
	}
	other := topics.Update{Manifest: []byte("other"), Signature: []byte("s")}
	if again, fresh, err := w.engine.AskUpdate(ctx, "bob", w.host.ID, other); err != nil || fresh || again.ID != j.ID {
		t.Errorf("a second one is %s, %v, %v", again.ID, fresh, err)
	}
	c := received(w, topics.KindCommand, func(c topics.Command) bool { return c.Job == j.ID && c.Run != nil })
	if c.Run.Kind != topics.UpdateJob || string(c.Run.Update.Manifest) != string(u.Manifest) || string(c.Run.Update.Signature) != "signed" ||
		c.Run.Repository.ID != "" {
		t.Errorf("it is sent as %+v", c.Run)
	}
	w.step(protocol.Commanded{Command: c})
	later, _, err := w.engine.Ask(ctx, "anna", w.host.ID, topics.StatsJob, "vault-0001", topics.Operation{})
	if err != nil {
		t.Fatal(err)
	}
	want := protocol.Turn{Wait: protocol.WaitUpdate, For: j.ID}
	if got := must(w.engine.Waits(ctx, must(w.store.OpenJobs(ctx, ""))))[later.ID]; got != want ||
		!strings.Contains(WaitWords(got.Wait), "updated") {
		t.Errorf("what was asked for later waits for %+v", got)
	}
	w.step(protocol.Ended{Job: backup.ID, End: topics.Finished{State: topics.Succeeded, RepositoryReady: true}})
	w.step(protocol.Spawned{Job: j.ID})
	w.print(j.ID, "downloading")
	w.step(protocol.Woke{})
	w.connect()
	w.step(protocol.Ended{Job: j.ID, End: topics.Finished{State: topics.Failed, Cause: topics.CauseNotWelcomed, Message: "not in 90 s"}})
	w.await("its end", func() bool { return w.job(j.ID).State == topics.Failed })
	if got := w.job(j.ID); got.Cause != topics.CauseNotWelcomed || got.Lines != 1 {
		t.Errorf("%+v", got)
	}
	if h := must(w.store.Host(ctx, w.host.ID)); h.LastJob != backup.ID {
		t.Errorf("the host's last job is %s: an update is none of its work", h.LastJob)
	}
	received(w, topics.KindCommand, func(c topics.Command) bool { return c.Job == later.ID && c.Run != nil })
	admin := Actor{Name: "anna", Role: store.Admin}
	if _, _, err := w.engine.RunAgain(ctx, admin, j.ID, false); !errors.Is(err, ErrRollout) {
		t.Errorf("it is run again: %v", err)
	}
	if _, _, err := w.engine.Start(ctx, admin, Request{Host: w.host.ID, Kind: topics.UpdateJob,
		Operation: topics.Operation{Update: &u}}); err == nil {
		t.Error("somebody starts one by itself")
	}
}
