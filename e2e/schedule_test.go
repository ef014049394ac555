package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// awaitInForce waits until a host goes by its schedule as it is now.
func (a *Agent) awaitInForce(schedule string) {
	a.w.t.Helper()
	world.Await(a.w.t, "the schedule to be in force", func() error {
		var s struct {
			Current bool            `json:"current"`
			Config  json.RawMessage `json:"config"`
		}
		a.w.API("GET", "/api/hosts/"+a.ID+"/schedules/"+schedule, nil, http.StatusOK, &s)
		if !s.Current {
			return fmt.Errorf("%s", s.Config)
		}
		return nil
	})
}

// TestAHostBacksUpByTheClockWithoutItsControlPlane takes the control plane away
// once the host has its schedule, and waits for the clock.
func TestAHostBacksUpByTheClockWithoutItsControlPlane(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic")
	attic.Write("letters/1.txt", "dear reader")
	repository := attic.Group("all")
	w.API("PUT", "/api/hosts/"+attic.ID+"/schedules/minutely", map[string]any{
		"cron":          "* * * * *",
		"source_groups": []string{"all"},
	}, http.StatusOK, nil)
	attic.awaitInForce("minutely")
	w.KillPlane()
	world.AwaitWithin(t, 4*time.Minute, "two snapshots by the clock", func() error {
		if found, err := filepath.Glob(repository.URL + "/snapshots/*"); err != nil || len(found) < 2 {
			return fmt.Errorf("%d snapshots, %v", len(found), err)
		}
		return nil
	})
	w.StartPlane()
	world.Await(t, "the control plane to hear of it", func() error {
		var rows struct {
			Jobs []struct {
				State       string    `json:"state"`
				RequestedBy string    `json:"requested_by"`
				SnapshotID  string    `json:"snapshot_id"`
				QueuedAt    time.Time `json:"queued_at"`
			} `json:"jobs"`
		}
		var raw json.RawMessage
		w.API("GET", "/api/jobs?host="+attic.ID, nil, http.StatusOK, &raw)
		if err := json.Unmarshal(raw, &rows); err != nil {
			if err := json.Unmarshal(raw, &rows.Jobs); err != nil {
				return err
			}
		}
		slots, good := map[string]int{}, 0
		for _, j := range rows.Jobs {
			if j.RequestedBy != "schedule:minutely" {
				t.Fatalf("a job nobody asked for: %+v", j)
			}
			minute := j.QueuedAt.Format("15:04")
			if slots[minute]++; slots[minute] > 1 {
				t.Fatalf("%s has two jobs", minute)
			}
			if j.State == "succeeded" && j.SnapshotID != "" {
				good++
			}
		}
		if good < 2 {
			return fmt.Errorf("%d good jobs in %s", good, raw)
		}
		return nil
	})
	w.MustStopCleanly()
}

func TestSchedulesOnTheCommandLine(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic")
	attic.Group("all")
	cli := func(code int, says string, args ...string) result {
		t.Helper()
		r := command(t, exec.Command(program("restic-manager"), append(append([]string{"schedule"}, args...), "--data", w.Data)...))
		if r.code != code || !strings.Contains(r.out+r.errs, says) {
			t.Errorf("%v: exit status %d, %s%s; want %d and %q", args, r.code, r.out, r.errs, code, says)
		}
		return r
	}
	cli(0, "Every day at 02:30, in Europe/Berlin", "set", "attic", "nightly", "--cron",
		"30 2 * * *", "--zone", "Europe/Berlin", "--group", "all")
	attic.awaitInForce("nightly") // beside the control plane, which notices
	cli(1, "IANA", "set", "attic", "nightly", "--zone", "Europe/Atlantis")
	cli(1, "no source group", "set", "attic", "nightly", "--group", "photos")
	cli(1, "Choose at least one of", "set", "attic", "other", "--cron", "@daily")
	if r := cli(0, "T02:30:00", "next", "attic", "nightly", "-n", "3"); strings.Count(r.out, "T02:30:00") != 3 {
		t.Errorf("the next three are %s", r.out)
	}
	cli(0, "on the host", "list")
	if r := cli(0, "nightly", "list"); strings.Contains(r.out, "waits") || strings.Contains(r.out, "changed") {
		t.Errorf("in force, it is listed as %s", r.out)
	}
	cli(0, "Every day at 02:30", "set", "attic", "nightly", "--no-enabled")
	attic.awaitInForce("nightly")
	cli(0, "paused", "list", "--host", "attic")
	cli(1, `no schedule "weekly"`, "next", "attic", "weekly")
	w.MustStopCleanly()
}
