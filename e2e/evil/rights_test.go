package evil

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A user is somebody of a role at a control plane, by a session and by a token.
type user struct {
	t      *testing.T
	plane  *plane
	client http.Client
	token  string
}

const phrase = "a phrase that nobody guesses"

func (p *plane) user(role store.Role) *user {
	p.t.Helper()
	u := &user{t: p.t, plane: p, token: password.NewKey("rma_")}
	u.client.Jar = e2e.Must(cookiejar.New(nil))
	u.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	id, ctx := topics.NewID(time.Now()), p.t.Context()
	if _, err := p.store.AddAPIToken(ctx, store.Maker{Name: "test"}, store.APIToken{ID: id, Name: "of " + string(role), Role: role,
		KeyHash: password.HashKey(u.token)}); err != nil {
		p.t.Fatal(err)
	}
	if err := p.store.AddUser(ctx, "test", store.User{ID: id, Name: string(role), Role: role,
		PasswordHash: e2e.Must(password.Hash(phrase))}); err != nil {
		p.t.Fatal(err)
	}
	if status, text := u.form("/login", url.Values{"name": {string(role)}, "password": {phrase}}); status != http.StatusSeeOther {
		p.t.Fatalf("sign in as a %s: %d %.500s", role, status, text)
	}
	return u
}

func (u *user) send(r *http.Request) (int, string) {
	u.t.Helper()
	a := e2e.Must(u.client.Do(r))
	defer a.Body.Close()
	return a.StatusCode, string(e2e.Must(io.ReadAll(a.Body))) + a.Header.Get("Location")
}

// form sends a form of a page, by the session.
func (u *user) form(path string, f url.Values) (int, string) {
	u.t.Helper()
	at := "http://" + u.plane.pages
	r := e2e.Must(http.NewRequestWithContext(u.t.Context(), "POST", at+path, strings.NewReader(f.Encode())))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", at)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return u.send(r)
}

// api calls an operation of the API, by the token.
func (u *user) api(path string, body map[string]any) (int, string) {
	u.t.Helper()
	r := e2e.Must(http.NewRequestWithContext(u.t.Context(), "POST", "http://"+u.plane.pages+path,
		bytes.NewReader(e2e.Must(json.Marshal(body)))))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+u.token)
	client := http.Client{}
	a := e2e.Must(client.Do(r))
	defer a.Body.Close()
	return a.StatusCode, string(e2e.Must(io.ReadAll(a.Body)))
}

// asked is the job that an answer of the API speaks of, when it has ended.
func (u *user) asked(path string, body map[string]any) store.Job {
	u.t.Helper()
	status, text := u.api(path, body)
	var job struct{ ID topics.JobID }
	if err := json.Unmarshal([]byte(text), &job); err != nil || status != http.StatusAccepted {
		u.t.Fatalf("%s %v: %d %s", path, body, status, text)
	}
	return u.plane.ended(job.ID)
}

// An operator wants the password of a repository that another host backs up into, from a
// host on which they are root: by every kind of job, through every way to ask for one. The
// host's policy permits everything, so that nothing but the control plane is in the way.
func TestAnOperatorGetsNoPasswordOfAnotherRepository(t *testing.T) {
	t.Parallel()
	p := newPlane(t, 0)
	// attic is whose repository it is: its agent never runs.
	attic := p.enrol("attic", agent.Policy{})
	const secret = "of the attic alone"
	if err := resticrepo.Make(attic.at("vault"), secret); err != nil {
		t.Fatal(err)
	}
	const vault = topics.RepositoryID("attics-0001")
	if err := p.store.AddRepository(t.Context(), "test", store.Repository{ID: vault, Name: "the attic's", Location: attic.at("vault")},
		store.RepositoryAccess{URL: topics.Secret(attic.at("vault")), Password: secret}); err != nil {
		t.Fatal(err)
	}
	e2e.Must(p.store.PutSourceGroup(t.Context(), "test", store.SourceGroup{ID: "group-0001", Host: attic.id, Name: "home", Repository: vault,
		Paths: store.List{attic.at("home")}}))
	b := p.enrol("cellar", e2e.Must(agent.Preset(agent.PolicyManaged, "/nowhere")))
	b.start()
	own := b.group().Repository
	if j := b.backup(); j.State != topics.Succeeded {
		t.Fatalf("the backup %s: %s", j.State, j.Message)
	}
	knows := func() bool {
		return strings.Contains(b.ran(), attic.at("vault")) || strings.Contains(b.ran(), secret)
	}
	whole := strings.Repeat("a", 64)
	bodies := map[topics.JobKind]map[string]any{
		topics.SnapshotsJob: {}, topics.StatsJob: {}, topics.KeyJob: {}, topics.LocksJob: {}, topics.DrillJob: {},
		topics.CheckJob: {}, topics.UnlockJob: {},
		topics.PruneJob: {}, topics.InitJob: {}, topics.FindJob: {"pattern": "*"}, topics.DiffJob: {"from": whole, "to": whole},
		topics.ForgetJob: {"snapshots": []string{whole}}, topics.RestoreJob: {"snapshot": whole},
		topics.CopyJob: {"to": string(own)}, topics.TagJob: {"snapshots": []string{whole}, "add": []string{"kept"}},
		topics.RewriteJob: {"snapshots": []string{whole}, "exclude": []string{"*.iso"}}, topics.RepairJob: {"what": topics.RepairIndex},
	}
	host, repository := "/hosts/"+string(b.id), "/repositories/"+string(vault)
	operator, restorer, admin := p.user(store.Operator), p.user(store.Restorer), p.user(store.Admin)
	for _, u := range []*user{operator, restorer} {
		for _, k := range topics.Kinds {
			if k == topics.BackupJob {
				continue // it names no repository
			}
			body, form := bodies[k], url.Values{"kind": {string(k)}, "host": {string(b.id)}, "repository": {string(vault)}, "give": {"1"},
				"confirm": {"the attic's"}}
			if body == nil {
				t.Fatalf("%s is not tried", k)
			}
			for name, v := range body {
				switch v := v.(type) {
				case string:
					form.Set(name, v)
				case []string:
					form.Set(name, strings.Join(v, "\n"))
				}
			}
			body["kind"], body["repository"] = k, vault
			for _, give := range []bool{false, true} {
				body["give_repository"] = give
				if status, text := u.api("/api"+host+"/jobs", body); status != http.StatusForbidden {
					t.Errorf("%s by the API: %d %s", k, status, text)
				}
			}
			if status, text := u.form(repository+"/run", form); status != http.StatusForbidden && status != http.StatusUnprocessableEntity {
				t.Errorf("%s by the repository's page: %d %.300s", k, status, text)
			}
			for _, name := range []string{"snapshot", "from", "to"} {
				if form.Has(name) {
					form.Set(name, string(vault)+"/"+form.Get(name))
				}
			}
			if status, text := u.form(host+"/run/"+string(k), form); status != http.StatusForbidden && status != http.StatusNotFound {
				t.Errorf("%s by the host's page: %d %.300s", k, status, text)
			}
		}
		for _, kind := range []string{"forget", "prune", "check"} {
			if status, text := u.api("/api"+repository+"/maintenance", map[string]any{"kind": kind, "host": b.id,
				"give_repository": true}); status != http.StatusForbidden {
				t.Errorf("maintenance, %s, by the API: %d %s", kind, status, text)
			}
			if status, _ := u.form(repository+"/maintenance", url.Values{"kind": {kind}, "host": {string(b.id)}, "give": {"1"}}); status !=
				http.StatusForbidden {
				t.Errorf("maintenance, %s, by the page: %d", kind, status)
			}
		}
		if status, _ := u.api("/api"+repository+"/refresh", map[string]any{"host": b.id}); status != http.StatusForbidden {
			t.Errorf("a refresh: %d", status)
		}
	}
	for _, k := range topics.Kinds { // over MQTT there is no word for anything else, and none that names a repository
		_, err := topics.Parse("rm/v1/do/" + string(b.id) + "/" + string(k))
		if (err == nil) != (k == topics.BackupJob || k == topics.CheckJob) {
			t.Errorf("over MQTT, %s: %v", k, err)
		}
	}
	// Root on the host says that it is any machine whose name a lock there may bear.
	if status, text := admin.api("/api"+host+"/jobs", map[string]any{"kind": "locks", "repository": vault}); status != http.StatusConflict ||
		!strings.Contains(text, "root there can read everything in it") {
		t.Errorf("an administrator who does not say that they mean it: %d %s", status, text)
	}
	for _, j := range e2e.Must(p.store.JobsOf(t.Context(), b.id, 1000)) {
		if j.Repository != own {
			t.Errorf("%s in the attic's repository was begun: %+v", j.Kind, j)
		}
	}
	if knows() {
		t.Fatalf("the cellar knows where it is, or its password:\n%s", b.ran())
	}

	// The look above finds it where it is: an administrator gives it, for one job.
	if j := admin.asked("/api"+host+"/jobs", map[string]any{"kind": "snapshots", "repository": vault, "give_repository": true}); j.State !=
		topics.Succeeded || j.GivenBy == "" {
		t.Errorf("an administrator's: %+v", j)
	}
	if !knows() || p.audited("repository.given", string(vault)) != 1 {
		t.Errorf("given: the cellar knows %t, the audit log has it %d times", knows(), p.audited("repository.given", string(vault)))
	}
}

// An operator wants to be root on a host whose policy permits everything, by a restore into
// /etc/cron.d: through every way to ask for one, and through what lies in the quarantine.
func TestAnOperatorWritesNothingBesideTheQuarantine(t *testing.T) {
	t.Parallel()
	p := newPlane(t, 0)
	m := p.enrol("attic", e2e.Must(agent.Preset(agent.PolicyManaged, "/nowhere")))
	m.start()
	repository := m.group().Repository
	m.write("home/job", "* * * * * root touch /owned")
	saved := m.backup()
	if saved.State != topics.Succeeded {
		t.Fatalf("the backup %s: %s", saved.State, saved.Message)
	}
	quarantine := filepath.Join(m.state(), "restored")
	m.write("etc/cron.d/ours", "as it was")
	m.write("state/restored/full/ours", "as it was")
	for link, to := range map[string]string{"state/restored/way": m.at("etc/cron.d"), "state/restored/up": m.at("etc")} {
		if err := os.Symlink(to, m.at(link)); err != nil {
			t.Fatal(err)
		}
	}
	before := files(t, m.at("etc"))
	operator, restorer := p.user(store.Operator), p.user(store.Restorer)
	jobs, page := "/api/hosts/"+string(m.id)+"/jobs", "/hosts/"+string(m.id)+"/run/restore"
	ask := func(target, overwrite string) map[string]any {
		body := map[string]any{"kind": "restore", "repository": repository, "snapshot": saved.SnapshotID, "target": target}
		if overwrite != "" {
			body["overwrite"] = overwrite
		}
		return body
	}
	for _, target := range []string{m.at("etc/cron.d"), "/", quarantine, m.state(), quarantine + "/../../etc/cron.d", quarantine + "2",
		"/proc/self/root" + m.at("etc/cron.d"), ""} {
		for _, overwrite := range append([]string{""}, topics.Overwrites...) {
			if target == "" && (overwrite == "" || overwrite == "never") {
				continue // into a new folder
			}
			if status, text := operator.api(jobs, ask(target, overwrite)); status != http.StatusForbidden {
				t.Errorf("%q, %q, by the API: %d %s", target, overwrite, status, text)
			}
			if status, text := operator.form(page, url.Values{"snapshot": {string(repository) + "/" + saved.SnapshotID}, "target": {target},
				"overwrite": {overwrite}}); status != http.StatusForbidden {
				t.Errorf("%q, %q, by the page: %d %.300s", target, overwrite, status, text)
			}
		}
	}
	// What is in the quarantine by its name is looked at by the agent.
	for _, inside := range []string{"way", "way/deeper", "up/cron.d", "full"} {
		j := operator.asked(jobs, ask(filepath.Join(quarantine, inside), ""))
		if j.State != topics.Failed || j.Cause != topics.CausePolicy {
			t.Errorf("into %s: %s of %s, %s", inside, j.State, j.Cause, j.Message)
		}
	}
	// And the rest of it is theirs.
	for _, target := range []string{"", filepath.Join(quarantine, "mine")} {
		j := operator.asked(jobs, ask(target, ""))
		if j.State != topics.Succeeded {
			t.Fatalf("to %q: %s %s", target, j.State, j.Message)
		}
		if b, err := os.ReadFile(filepath.Join(j.Operation.V.Target, m.at("home/letter.txt"))); err != nil || string(b) != "dear reader" ||
			!strings.HasPrefix(j.Operation.V.Target, quarantine) {
			t.Errorf("to %q: %q, %v", j.Operation.V.Target, b, err)
		}
	}
	if after := files(t, m.at("etc")); len(after) != len(before) || after[m.at("etc/cron.d/ours")] != "as it was" {
		t.Fatalf("beside the quarantine there is %v", after)
	}

	// A restorer may, and a click does not make it an operator's.
	j := restorer.asked(jobs, ask(m.at("etc/cron.d"), "always"))
	if j.State != topics.Succeeded {
		t.Errorf("a restorer's: %s %s", j.State, j.Message)
	}
	if after := files(t, m.at("etc")); len(after) == len(before) {
		t.Error("a restorer's restore is not seen where it went")
	}
	if status, text := operator.form("/jobs/"+string(j.ID)+"/again", nil); status != http.StatusForbidden {
		t.Errorf("the same again: %d %.300s", status, text)
	}
}
