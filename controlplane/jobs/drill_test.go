package jobs

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A drill waits its turn like every other job, says for what, and is sent with the strictest
// limits of the source groups that it reads, and their hours.
func TestADrillObeysTheTurnsAndLimitsOfItsHost(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	hours := topics.Limits{UploadKiB: 900, DownloadKiB: 300, From: 8 * 60, To: 18 * 60, Zone: "Europe/Berlin"}
	for name, l := range map[string]topics.Limits{"letters": hours, "photos": {UploadKiB: 500, DownloadKiB: 400, From: hours.From,
		To: hours.To, Zone: hours.Zone, LowPriority: true}} {
		g := store.SourceGroup{ID: topics.SourceGroupID("group-" + name), Host: w.host.ID, Name: name, Repository: "vault-0001",
			Paths: store.List{"/" + name}, Limits: store.JSON[topics.Limits]{V: &l}}
		if name == w.group.Name {
			g.ID = w.group.ID
		}
		must(w.store.PutSourceGroup(ctx, "test", g))
	}
	able := func() { w.exec(`UPDATE hosts SET can = '["drills"]'`) }
	wait := func(id topics.JobID) protocol.Turn {
		return must(w.engine.Waits(ctx, must(w.store.OpenJobs(ctx, ""))))[id]
	}
	expect := func(id topics.JobID, want protocol.Turn, words string) {
		t.Helper()
		if got := wait(id); got != want || !strings.Contains(WaitWords(got.Wait), words) {
			t.Errorf("it waits for %+v, want %+v: %s", got, want, WaitWords(got.Wait))
		}
	}
	drill := func() topics.JobID {
		t.Helper()
		j, _, err := w.engine.Start(ctx, Actor{Name: "test", Role: store.Operator},
			Request{Host: w.host.ID, Kind: topics.DrillJob, Repository: "vault-0001"})
		if err != nil {
			t.Fatal(err)
		}
		return j.ID
	}
	able()
	away := drill()
	expect(away, protocol.Turn{Wait: protocol.WaitHost}, "not connected")
	if err := w.engine.Cancel(ctx, "test", away); err != nil {
		t.Fatal(err)
	}

	w.connect()
	able()
	backup := w.running()
	id := drill()
	expect(id, protocol.Turn{Wait: protocol.WaitJob, For: backup.ID}, "same repository")
	w.step(protocol.Ended{Job: backup.ID, End: topics.Finished{State: topics.Succeeded, RepositoryReady: true}})
	run := received(w, topics.KindCommand, func(c topics.Command) bool { return c.Job == id && c.Run != nil }).Run
	want := hours
	want.UploadKiB, want.LowPriority = 500, true
	if run.Kind != topics.DrillJob || run.Group.Limits != want || len(run.Drill.Groups) != 2 || run.Drill.Seed == 0 {
		t.Errorf("sent was %s with the limits %+v, %+v", run.Kind, run.Group.Limits, run.Drill)
	}
	after, _, err := w.engine.AskBackup(ctx, "test", w.host.ID, "letters")
	if err != nil {
		t.Fatal(err)
	}
	expect(after.ID, protocol.Turn{Wait: protocol.WaitJob, For: id}, "same repository")
}
