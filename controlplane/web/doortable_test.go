package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Every kind of job, asked for by every role, in a repository that the host has and in one
// that it does not have, through every address that takes it: who is refused is the same
// everywhere, and written down here apart from the table that decides.
func TestEveryAddressAsksTheSameTable(t *testing.T) {
	w := newWorld(t)
	attic, cellar := w.enrol("attic"), w.enrol("cellar")
	own, other := attic.group("letters").Repository, cellar.group("wine").Repository
	id := strings.Repeat("a", 64)
	attic.can = []topics.Ability{topics.RemakesSnapshots, topics.CopiesSnapshots}
	attic.connect()
	attic.ran(w.backup(attic), topics.Finished{State: topics.Succeeded, RepositoryReady: true, Snapshot: &topics.Snapshot{
		ID: id, Time: time.Now().UnixMilli(), Host: "host", Paths: []string{"/letters"}}})
	least := map[topics.JobKind]store.Role{
		topics.SnapshotsJob: store.Operator, topics.StatsJob: store.Operator, topics.FindJob: store.Operator, topics.LocksJob: store.Operator,
		topics.DiffJob: store.Operator, topics.CheckJob: store.Operator, topics.UnlockJob: store.Operator, topics.RestoreJob: store.Operator,
		topics.DrillJob: store.Operator,
		topics.InitJob:  store.Admin, topics.KeyJob: store.Admin, topics.ForgetJob: store.Admin, topics.PruneJob: store.Admin,
		topics.TagJob: store.Admin, topics.RewriteJob: store.Admin, topics.RepairJob: store.Admin, topics.CopyJob: store.Admin,
	}
	fields := map[topics.JobKind]url.Values{topics.FindJob: {"pattern": {"*"}}, topics.DiffJob: {"from": {id}, "to": {id}},
		topics.ForgetJob: {"snapshots": {id}}, topics.RestoreJob: {"snapshot": {id}}, topics.TagJob: {"snapshots": {id}, "add": {"kept"}},
		topics.RewriteJob: {"snapshots": {id}, "exclude": {"*.tmp"}, "dry_run": {"true"}}, topics.RepairJob: {"what": {"index"}},
		topics.CopyJob: {"to": {string(other)}}}
	host, tried := "/hosts/"+string(attic.id), 0
	for _, role := range store.Roles {
		person, program := w.person(role), w.program(role)
		for _, k := range topics.Kinds {
			if k == topics.BackupJob {
				continue // has no repository to choose
			}
			for _, repository := range []topics.RepositoryID{own, other} {
				want := least[k]
				if want == "" {
					t.Fatalf("who may ask for %s is not written down here", k)
				}
				if repository == other {
					want = store.Admin
				}
				form := url.Values{"kind": {string(k)}, "host": {string(attic.id)}, "repository": {string(repository)}}
				body := map[string]any{"kind": k, "repository": repository}
				for name, values := range fields[k] {
					form[name] = values
					switch body[name] = any(values[0]); name {
					case "snapshots", "add", "exclude":
						body[name] = values
					case "dry_run":
						body[name] = true
					}
				}
				doors := map[string]func() answer{
					"the API":               func() answer { return program.do("POST", "/api"+host+"/jobs", body) },
					"the repository's page": func() answer { return person.do("POST", "/repositories/"+string(repository)+"/run", form) },
					"the host's page":       func() answer { return person.do("POST", host+"/run/"+string(k), form) },
				}
				if k == topics.CheckJob || k == topics.PruneJob { // a forget by rules needs some
					upkeep := "/repositories/" + string(repository) + "/maintenance"
					doors["maintenance by the page"] = func() answer {
						return person.do("POST", upkeep, url.Values{"kind": {string(k)}, "host": {string(attic.id)}})
					}
					doors["maintenance by the API"] = func() answer {
						return program.do("POST", "/api"+upkeep, map[string]any{"kind": k, "host": attic.id})
					}
				}
				for door, ask := range doors {
					tried++
					r := ask()
					enough := rankOf(role) >= rankOf(want)
					maintains := slices.Contains([]topics.JobKind{topics.ForgetJob, topics.PruneJob, topics.CheckJob, topics.UnlockJob,
						topics.TagJob, topics.RewriteJob, topics.RepairJob}, k)
					switch {
					case door == "the host's page" && maintains:
						if role != store.Viewer && r.StatusCode != http.StatusNotFound {
							t.Errorf("%s of %s by a %s on %s: %s", k, repository, role, door, r.Status)
						}
					case !enough:
						if r.StatusCode != http.StatusForbidden {
							t.Errorf("%s of %s by a %s through %s: %s", k, repository, role, door, r.Status)
						}
					case repository == other && k == topics.ForgetJob && door == "the repository's page":
						if r.StatusCode != http.StatusUnprocessableEntity { // it looks for the snapshot first
							t.Errorf("%s of %s by a %s through %s: %s", k, repository, role, door, r.Status)
						}
					case repository == other || k == topics.CopyJob: // they have to say that they mean it
						if r.StatusCode != http.StatusConflict || !strings.Contains(r.text, "root there can read everything in it") {
							t.Errorf("%s of %s by a %s through %s: %s %.300s", k, repository, role, door, r.Status, r.text)
						}
					default:
						old := k == topics.RewriteJob && strings.Contains(r.text, "takes 0.15 or newer") // who asks is weighed before
						if r.StatusCode >= 400 && !old {
							t.Errorf("%s of %s by a %s through %s: %s %.300s", k, repository, role, door, r.Status, r.text)
						}
					}
				}
			}
		}
	}
	for _, j := range must(w.store.JobsOf(t.Context(), attic.id, 1000)) {
		if j.Repository != own {
			t.Errorf("asked for in another repository: %+v", j)
		}
	}
	if tried < len(store.Roles)*(len(topics.Kinds)-1)*2*3 {
		t.Errorf("%d requests", tried)
	}
	text := w.nobody().do("GET", "/api/openapi.json", nil).text
	for _, want := range []string{"init, forget, prune, key, tag, rewrite, repair take the role admin or one above it",
		"takes the role restorer", "give_repository"} {
		if !strings.Contains(text, want) {
			t.Errorf("the description of the API does not say %q", want)
		}
	}
	page := w.person(store.Admin).do("GET", "/users", nil).text
	for _, want := range []string{"Restorer", "Give a host the address and password of a repository"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page Users does not say %q", want)
		}
	}
}
