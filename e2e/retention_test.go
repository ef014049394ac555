package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/e2e/world"
)

// An Intruder has an endpoint's credential and the repository's password, and
// nothing else.
type Intruder struct {
	t      *testing.T
	server RestServer
	repo   Repository
}

func (i Intruder) restic(args ...string) result {
	cmd := exec.Command("restic", append([]string{"--no-cache", "-q"}, args...)...)
	cmd.Env = append(os.Environ(), "RESTIC_REPOSITORY="+i.repo.URL, "RESTIC_PASSWORD="+i.repo.Password)
	return command(i.t, cmd)
}

// plant adds a snapshot that looks like one of ours, of any time.
func (i Intruder) plant(at time.Time, hostname, tag, path string) {
	i.t.Helper()
	if got := i.restic("backup", "--host", hostname, "--tag", tag, "--time", at.Format("2006-01-02 15:04:05"), path); got.code != 0 {
		i.t.Fatalf("plant a snapshot: %s", got.errs)
	}
}

// put uploads a file, named as the server wants it.
func (i Intruder) put(kind string, content []byte) string {
	i.t.Helper()
	name := fmt.Sprintf("%x", sha256.Sum256(content))
	r, err := http.NewRequest("POST", "http://"+i.server.Everyday+"/attic/"+kind+"/"+name, strings.NewReader(string(content)))
	if err != nil {
		i.t.Fatal(err)
	}
	r.SetBasicAuth("attic", everydaySecret)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		i.t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		i.t.Fatalf("put %s: %s", kind, answer.Status)
	}
	return name
}

// key is a key file that no password of ours opens, and that costs restic nearly
// nothing to try.
func (i Intruder) key(n int) string {
	b, err := json.Marshal(map[string]any{
		"created":  "2026-01-01T00:00:00Z",
		"username": "mallory",
		"hostname": fmt.Sprintf("host-%d", n),
		"kdf":      "scrypt",
		"N":        32768,
		"r":        8,
		"p":        1,
		"salt":     base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 64))),
		"data":     base64.StdEncoding.EncodeToString([]byte(strings.Repeat("d", 160))),
	})
	if err != nil {
		i.t.Fatal(err)
	}
	return i.put("keys", b)
}

// TestWhatIsPlantedNeitherPushesOutNorIsRemoved is the attack on retention by
// somebody who has taken an endpoint over.
func TestWhatIsPlantedNeitherPushesOutNorIsRemoved(t *testing.T) {
	w := NewWorld(t)
	server := NewRestServer(t)
	attic, keeper := w.StartAgent("attic"), w.StartKeeper("keeper")
	repo := Repository{URL: server.URL(server.Everyday, "attic", everydaySecret), Password: password}
	if err := resticrepo.Make(filepath.Join(server.Dir, "attic"), repo.Password); err != nil {
		t.Fatal(err)
	}
	repo.ID = w.AddRepository("vault", repo.URL, repo.Password)
	w.API("PUT", "/api/repositories/"+repo.ID, map[string]any{
		"append_only": true,
		"keeper":      keeper.ID,
		"retention":   map[string]any{"keep_within": "30d", "keep_within_daily": "1y"},
		"maintenance": map[string]any{"url": "rest:http://" + server.Full + "/attic/", "username": "keeper", "password": maintenanceSecret},
	}, http.StatusOK, nil)
	attic.Write("letter", "dear reader")
	attic.PutGroup("all", repo.ID)
	var honest []string
	for i := range 3 {
		attic.Write("letter", fmt.Sprint("dear reader, ", i))
		honest = append(honest, w.AwaitState(attic.Backup("all"), "succeeded").SnapshotID)
	}
	honest = sortedIDs(honest)
	w.AwaitState(w.Maintain(repo.ID, "forget"), "succeeded") // the first listing: this key is ours

	full := Repository{ID: repo.ID, URL: server.URL(server.Full, "keeper", maintenanceSecret), Password: password}
	var ours []struct {
		Tags     []string `json:"tags"`
		Hostname string   `json:"hostname"`
	}
	if err := json.Unmarshal([]byte(restic(t, full, "snapshots", "--json")), &ours); err != nil || len(ours) != 3 || len(ours[0].Tags) != 1 {
		t.Fatalf("snapshots are %+v (%v)", ours, err)
	}
	mallory := Intruder{t, server, repo}
	now := time.Now()
	for _, p := range []struct {
		at        time.Time
		host, tag string
	}{
		{now.Add(-time.Hour), ours[0].Hostname, ours[0].Tags[0]},                                                     // as if an hour ago
		{time.Date(now.Year(), now.Month(), now.Day(), 23, 59, 0, 0, time.Local), ours[0].Hostname, ours[0].Tags[0]}, // the last of today
		{now.AddDate(0, 0, -3), ours[0].Hostname, ours[0].Tags[0]},
		{now.AddDate(-2, 0, 0), ours[0].Hostname, ours[0].Tags[0]}, // far outside the window
		{time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), ours[0].Hostname, ours[0].Tags[0]},
		{now, "elsewhere", "plan=other"},
	} {
		mallory.plant(p.at, p.host, p.tag, attic.Home)
	}
	// Keys come in the order of their names; with more than twenty before ours
	// restic gives up, unless it was told which to try first.
	var foreign []string
	for n := range 30 {
		foreign = append(foreign, mallory.key(n))
	}
	mallory.put("keys", []byte("garbage"))

	w.AwaitState(w.Maintain(repo.ID, "forget"), "succeeded")
	plan := w.RetentionPlan(repo.ID)
	if !slices.Equal(idsOf(plan.Keep), honest) || len(plan.Remove) != 0 {
		t.Errorf("the plan keeps %v and removes %v, want the honest %v and none", idsOf(plan.Keep), idsOf(plan.Remove), honest)
	}
	snapshots, keys := 0, 0
	var said strings.Builder
	for _, f := range plan.Flagged {
		switch fmt.Fprintln(&said, f.Kind, f.Reasons); f.Kind {
		case "snapshot":
			snapshots++
		case "key":
			keys++
		}
	}
	if snapshots != 6 || keys < len(foreign) || !strings.Contains(said.String(), "future") ||
		!strings.Contains(said.String(), "as if it were a backup of ours") {
		t.Errorf("flagged are %d snapshots and %d keys, want 6 and at least %d:\n%s", snapshots, keys, len(foreign), said.String())
	}
	// Bare restic, which nobody told the key, may stumble over the garbage.
	if left, err := os.ReadDir(filepath.Join(server.Dir, "attic", "snapshots")); err != nil || len(left) != 9 {
		t.Errorf("%d snapshots are left (%v), want all nine", len(left), err)
	}
	if !strings.Contains(said.String(), "mallory") || !strings.Contains(said.String(), "no job of ours made it") {
		t.Errorf("it is not said who made the keys, or that no job made the snapshots:\n%s", said.String())
	}

	// Counts, once somebody allows them, count what our jobs made and nothing else.
	w.API("PUT", "/api/repositories/"+repo.ID, map[string]any{
		"append_only": false,
		"retention":   map[string]any{"keep_last": 2, "keep_daily": 1}, // with more days to keep, the oldest would stay, too
	}, http.StatusOK, nil)
	w.AwaitState(w.Maintain(repo.ID, "forget"), "succeeded")
	if plan := w.RetentionPlan(repo.ID); len(plan.Keep) != 2 || len(plan.Remove) != 0 {
		t.Errorf("with counts the plan is %+v", plan)
	}

	// Garbage among the snapshots and in the index makes restic fail loudly: then
	// so does maintenance, in words, and nothing is removed.
	w.API("PUT", "/api/repositories/"+repo.ID, map[string]any{"retention": map[string]any{"keep_last": 1}}, http.StatusOK, nil)
	for _, kind := range []string{"snapshots", "index"} {
		name := mallory.put(kind, []byte("garbage in "+kind))
		var failed Job
		kinds := map[string]string{"snapshots": "forget", "index": "prune"}
		id := w.Maintain(repo.ID, kinds[kind])
		world.AwaitWithin(t, 2*time.Minute, kinds[kind]+" to end", func() error {
			if failed = w.Job(id); !failed.ended() {
				return fmt.Errorf("it is %s", failed.State)
			}
			return nil
		})
		if failed.State == "succeeded" && kind == "snapshots" { // restic 0.14 skips what it cannot read
			t.Logf("with garbage in snapshots/ forget %s", failed.State)
		} else if failed.State != "failed" || failed.Message == "" {
			t.Errorf("with garbage in %s/ the %s is %s, cause %q: %s", kind, kinds[kind], failed.State, failed.Cause, failed.Message)
		}
		if err := os.Remove(filepath.Join(server.Dir, "attic", kind, name)); err != nil {
			t.Fatal(err)
		}
	}
	w.MustStopCleanly()
}

// TestRetentionOfALocalRepository is the same flow without a server, by page, API
// and command line.
func TestRetentionOfALocalRepository(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartKeeper("attic")
	repo := attic.Group("all")
	var ids []string
	for i := range 4 {
		attic.Write("letter", fmt.Sprint("dear reader, ", i))
		ids = append(ids, w.AwaitState(attic.Backup("all"), "succeeded").SnapshotID)
	}
	if r := w.request("POST", "/api/repositories/"+repo.ID+"/maintenance",
		map[string]any{"kind": "prune"}); r.StatusCode != http.StatusConflict || !strings.Contains(string(r.body), "right to delete") {
		t.Errorf("maintenance without a keeper: %s %s", r.Status, r.body)
	}
	var tried RetentionPlan
	w.API("POST", "/api/repositories/"+repo.ID+"/retention-plan", map[string]any{"retention": map[string]any{"keep_last": 1}},
		http.StatusOK, &tried)
	if !slices.Equal(idsOf(tried.Remove), sortedIDs(ids[:3])) || len(tried.Remove[0].Reasons) == 0 {
		t.Errorf("tried, the rules remove %+v, want %v", tried.Remove, ids[:3])
	}
	if plan := w.RetentionPlan(repo.ID); len(plan.Keep) != 4 {
		t.Errorf("trying rules saved them: %+v", plan)
	}
	w.API("PUT", "/api/repositories/"+repo.ID, map[string]any{
		"keeper":    attic.ID,
		"retention": map[string]any{"keep_last": 2},
	}, http.StatusOK, nil)
	r := command(t, exec.Command(program("restic-manager"), "repository", "plan", "attic-all", "--data", w.Data))
	if r.code != 0 || strings.Count(r.out, "remove  ") != 2 || !strings.Contains(r.out, "The next forget removes 2 and keeps 2") {
		t.Errorf("repository plan ended with %d:\n%s%s", r.code, r.out, r.errs)
	}
	job := w.AwaitState(w.CLI("repository", "maintain", "attic-all", "--kind", "forget", "--data", w.Data), "succeeded")
	if job.Kind != "forget" || job.Host != attic.ID {
		t.Errorf("the job is %+v", job)
	}
	if got := snapshotIDs(t, repo); !slices.Equal(got, sortedIDs(ids[2:])) {
		t.Errorf("left are %v, want %v", got, ids[2:])
	}
	w.MustStopCleanly()
}

// TestAHeldPlanIsApprovedInTheBrowser has a plan that is unusual, and a snapshot
// that nobody ordered.
func TestAHeldPlanIsApprovedInTheBrowser(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	attic := w.StartKeeper("attic")
	repo := attic.Group("all")
	attic.Write("letter", "dear reader")
	var ids []string
	for range 13 {
		ids = append(ids, w.AwaitState(attic.Backup("all"), "succeeded").SnapshotID)
	}
	restic(t, repo, "backup", "-q", "--host", "attic", "--tag", "plan=all", "--time", "2040-01-01 12:00:00", attic.Home)
	w.API("PUT", "/api/repositories/"+repo.ID, map[string]any{
		"keeper":    attic.ID,
		"retention": map[string]any{"keep_last": 2, "keep_hourly": 1},
	}, http.StatusOK, nil)
	id := w.Maintain(repo.ID, "forget")
	world.Await(t, "the plan to be held", func() error {
		if j := w.Job(id); j.State != "failed" || j.Cause != "review" {
			return fmt.Errorf("the job is %s, cause %q: %s", j.State, j.Cause, j.Message)
		}
		return nil
	})
	world.Await(t, "the plan to be on the page", func() error {
		if w.RetentionPlan(repo.ID).Held == nil {
			return fmt.Errorf("none waits")
		}
		return nil
	})
	b.signIn(w)
	b.Open("/repositories/" + repo.ID + "/retention")
	b.Inspect("retention-held")
	b.AwaitText("main", "no job of ours made it")
	b.Press("Approve and remove 11")
	b.AwaitPath("/jobs/")
	done := w.AwaitState(strings.TrimPrefix(b.Path(), "/jobs/"), "succeeded")
	if got := snapshotIDs(t, repo); done.Kind != "forget" || len(got) != 3 || !slices.Contains(got, ids[12]) ||
		!slices.Contains(got, ids[11]) {
		t.Errorf("left are %v, want the last two of ours and the planted one", got)
	}
	world.Await(t, "the page to say what was removed", func() error { // which is noted once the job has ended
		b.Open("/repositories/" + repo.ID + "/retention")
		if s := b.Text("main"); !strings.Contains(s, "11 snapshots removed") {
			return fmt.Errorf("it says %.600q", s)
		}
		return nil
	})
	w.MustStopCleanly()
}
