package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// What a host permits is asked for in vain nowhere: what its pins refuse is refused before
// it is sent, with the command that allows it, and within seconds after somebody ran that
// on the host, edited its policy, or a backup pinned a repository, it may be asked for. The
// agent stays connected the while.
func TestWhatAHostPermitsIsKnownWhileItIsConnected(t *testing.T) {
	w := NewWorld(t)
	a := w.StartAgent("attic")
	a.Write("letter", "dear reader")
	first, second := a.GroupToBegin("first"), a.GroupToBegin("second")
	jobs := "/api/hosts/" + a.ID + "/jobs"
	ask := func(kind, group, repository string) (int, topics.Problem, Job) {
		t.Helper()
		body := map[string]any{"kind": kind}
		if group != "" {
			body["source_group"] = group
		} else {
			body["repository"] = repository
		}
		r := w.request("POST", jobs, body)
		if r.StatusCode >= 300 {
			return r.StatusCode, decoded[topics.Problem](t, r), Job{}
		}
		return r.StatusCode, topics.Problem{}, decoded[Job](t, r)
	}
	refused := func(kind, group, repository string) (command string) {
		t.Helper()
		world.Await(t, "the "+kind+" to be refused", func() error {
			status, p, _ := ask(kind, group, repository)
			if status != http.StatusConflict || p.Cause != topics.CausePolicy || !strings.Contains(p.Detail, "policy allow-repository ") {
				return fmt.Errorf("%d %+v", status, p)
			}
			_, command, _ = strings.Cut(p.Detail, "restic-manager-agent policy allow-repository ")
			command, _, _ = strings.Cut(command, " --state ")
			command = strings.Trim(command, "'") // as a shell does
			return nil
		})
		return command
	}
	permitted := func(kind, group, repository string) (j Job) {
		t.Helper()
		world.Await(t, "the "+kind+" to be permitted", func() error {
			status, p, job := ask(kind, group, repository)
			if j = job; status >= 300 {
				return fmt.Errorf("%d %+v", status, p)
			}
			return nil
		})
		return w.AwaitState(j.ID, "succeeded")
	}
	person := w.SignIn()
	const not = "goes to no repository for this before it has backed up to one"
	shown := func(want bool) {
		t.Helper()
		world.Await(t, fmt.Sprintf("the host's page to say %v that it lists nothing", want), func() error {
			if page := person.Page("/hosts/" + a.ID + "/operations"); strings.Contains(page.HTML, not) != want {
				return errors.New("it does not")
			}
			return nil
		})
	}

	refused("snapshots", "", first.ID)
	shown(true)
	if s := w.AwaitState(a.Backup("first"), "succeeded"); s.SnapshotID == "" {
		t.Fatal("no snapshot was made")
	}
	if status, p, j := ask("snapshots", "", first.ID); status >= 300 { // at once: it was pinned before the end was told
		t.Errorf("after the first backup a listing is answered with %d %+v", status, p)
	} else {
		w.AwaitState(j.ID, "succeeded")
	}
	shown(false)

	refused("backup", "second", "")
	if r := command(t, exec.Command(program("restic-manager-agent"), "policy", "allow-repository", refused("snapshots", "", second.ID),
		"--state", a.State)); r.code != 0 {
		t.Fatalf("policy allow-repository: %s", r.errs)
	}
	permitted("backup", "second", "")
	permitted("snapshots", "", second.ID)

	if status, _, _ := ask("stats", "", first.ID); status >= 300 {
		t.Errorf("stats are answered with %d", status)
	}
	path := filepath.Join(a.State, "policy.json")
	policy, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(policy), `"stats",`, "", 1)
	if edited == string(policy) {
		t.Fatalf("the policy is %s", policy)
	}
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	world.Await(t, "stats to be refused", func() error {
		if status, p, _ := ask("stats", "", first.ID); status != http.StatusConflict || p.Cause != topics.CausePolicy {
			return fmt.Errorf("%d %+v", status, p)
		}
		return nil
	})
	if err := os.WriteFile(path, policy, 0o600); err != nil {
		t.Fatal(err)
	}
	permitted("stats", "", first.ID)
	if said := a.process.Errs.Tail(1 << 20); strings.Count(said, "msg=connected") != 1 {
		t.Errorf("the agent did not stay connected:\n%s", said)
	}
}

func decoded[T any](t *testing.T, r response) (v T) {
	t.Helper()
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
	return v
}
