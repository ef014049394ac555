package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// Two hosts back up into one repository whose address has {host}: each gets a place of
// its own, which it keeps when it is renamed. The keeper looks after both, and what it
// does at one leaves the other alone. A restore finds the place of its snapshot.
func TestEachHostHasItsOwnPlaceByHost(t *testing.T) {
	w := NewWorld(t)
	server := NewRestServer(t)
	attic, cellar := w.StartAgent("attic"), w.StartAgent("cellar")
	keeper := w.StartKeeper("keeper")
	base := "http://" + server.Full + "/fleet/"
	if r := command(t, exec.Command(program("restic-manager-agent"), "policy", "allow-repository", "rest:"+base+"{host}/",
		"--state", keeper.State)); r.code != 0 {
		t.Fatalf("policy allow-repository: %s", r.errs)
	}
	url := "rest:http://keeper:" + maintenanceSecret + "@" + server.Full + "/fleet/{host}/"
	id := w.AddRepository("fleet", url, password)
	w.API("PUT", "/api/repositories/"+id, map[string]any{"keeper": keeper.ID, "retention": map[string]any{"keep_last": 1}}, 200, nil)
	at := func(name string) Repository {
		return Repository{ID: id, URL: "rest:http://keeper:" + maintenanceSecret + "@" + server.Full + "/fleet/" + name + "/", Password: password}
	}

	var made [2][]string
	for i, a := range []*Agent{attic, cellar} {
		a.Write("letter", "dear reader of "+a.Name)
		a.PutGroup("all", id)
		for range 2 {
			made[i] = append(made[i], w.AwaitState(a.Backup("all"), "succeeded").SnapshotID)
		}
	}
	w.API("PATCH", "/api/hosts/"+attic.ID, map[string]any{"name": "loft"}, http.StatusOK, nil)
	made[0] = append(made[0], w.AwaitState(attic.Backup("all"), "succeeded").SnapshotID)
	if entries, err := os.ReadDir(filepath.Join(server.Dir, "fleet")); err != nil || len(entries) != 2 {
		t.Errorf("the server has the places %v, %v, want those of two hosts", entries, err)
	}
	for i, name := range []string{"attic", "cellar"} {
		if got := snapshotIDs(t, at(name)); !slices.Equal(got, sortedIDs(made[i])) {
			t.Errorf("the place of %s holds %v, want %v", name, got, made[i])
		}
	}
	var places []struct {
		Host     string `json:"host"`
		Name     string `json:"name"`
		Location string `json:"location"`
		Ready    bool   `json:"ready"`
	}
	w.API("GET", "/api/repositories/"+id+"/places", nil, http.StatusOK, &places)
	if len(places) != 2 || places[1].Host != attic.ID || places[1].Name != "attic" || places[1].Location != "rest:"+base+"attic/" ||
		!places[1].Ready {
		t.Errorf("places are %+v", places)
	}
	if r := w.request("PUT", "/api/repositories/"+id+"/places/loft", map[string]any{"name": "loft"}); r.StatusCode != 422 {
		t.Errorf("a place that was used is renamed: %s %s", r.Status, r.body)
	}

	// Listings of one place make nothing of the other's missing.
	for _, a := range []*Agent{attic, cellar} {
		a.Ask(map[string]any{"kind": "snapshots", "repository": id})
	}
	var lost []any
	w.API("GET", "/api/repositories/"+id+"/missing", nil, http.StatusOK, &lost)
	if len(lost) != 0 || len(attic.Snapshots()) != 3 || len(cellar.Snapshots()) != 2 {
		t.Errorf("after both listings %d are missing, and there are %v and %v", len(lost), attic.Snapshots(), cellar.Snapshots())
	}

	w.AwaitState(w.Maintain(id, "forget"), "succeeded")
	for i, name := range []string{"attic", "cellar"} {
		world.Await(t, "the last snapshot to be left at the place of "+name, func() error {
			if got := snapshotIDs(t, at(name)); !slices.Equal(got, made[i][len(made[i])-1:]) {
				return fmt.Errorf("there are %v", got)
			}
			return nil
		})
	}
	w.API("GET", "/api/repositories/"+id+"/missing", nil, http.StatusOK, &lost)
	if len(lost) != 0 {
		t.Errorf("after the forgets are missing: %v", lost)
	}

	// A check goes to every place, and a restore to that of its snapshot.
	w.AwaitState(w.Maintain(id, "check"), "succeeded")
	cellar.Ask(map[string]any{"kind": "restore", "repository": id, "snapshot": made[1][1],
		"target": filepath.Join(cellar.State, "restored", "x")})
	w.MustStopCleanly()
}
