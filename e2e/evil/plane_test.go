package evil

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// order sends a command the way a control plane does that is somebody else's
// now: with every key there is, and past all that our own code would check.
func (h *hostile) order(m *machine, run topics.Run) (id topics.JobID) {
	h.t.Helper()
	id = topics.JobID(topics.NewID(time.Now()))
	// The row is there, as it would be: only then is there a story to tell.
	if _, _, err := h.store.Ask(h.t.Context(), "mallory", store.Job{
		ID:         id,
		Host:       m.id,
		Kind:       topics.SnapshotsJob,
		Repository: e2e.Must(h.store.SourceGroups(h.t.Context(), m.id))[0].Repository,
		NotAfter:   h.store.Now() + 3_600_000,
	}); err != nil {
		h.t.Fatal(err)
	}
	channel := e2e.Must(seal.NewChannel(h.key, h.host(m.id).SealKey, seal.Plane, string(m.id)))
	topic := topics.Topic{Kind: topics.KindCommand, Host: m.id, Job: id}.String()
	h.mu.Lock()
	h.down = func(topic string, payload []byte, pass func(string, []byte)) {
		if !strings.HasSuffix(topic, "/command") { // our own commands stay away
			pass(topic, payload)
		}
	}
	h.mu.Unlock()
	awaitDispatch := func() error {
		if j := e2e.Must(h.store.Job(context.Background(), id)); j.State == topics.Queued {
			return fmt.Errorf("it is %s", j.State)
		}
		return nil
	}
	e2e.Await(h.t, "the job to be sent", awaitDispatch)
	h.n++
	c := topics.Command{
		Stamp:    topics.Stamp{Session: h.presence.Session(m.id), N: uint64(time.Now().UnixMilli())<<21 + h.n},
		Job:      id,
		NotAfter: h.store.Now() + 3_600_000,
		Run:      &run,
	}
	if err := h.broker.Publish(topic, channel.Seal(topic, topics.Encode(c)), 1, false); err != nil {
		h.t.Fatal(err)
	}
	return id
}

// files is everything below a directory, with its content.
func files(t *testing.T, root string) map[string]string {
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			all[path] = "dir"
			return err
		}
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			all[path] = string(b)
			return err
		}
		all[path] = d.Type().String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestAnEvilControlPlaneGetsNothingBeyondThePolicy asks a host under the everyday
// policy for everything that a control plane in the wrong hands would want.
func TestAnEvilControlPlaneGetsNothingBeyondThePolicy(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	m := h.enrol("attic", agent.Policy{})
	m.start()
	m.group()
	good := m.backup()
	if good.State != topics.Succeeded {
		t.Fatalf("the backup %s: %s", good.State, good.Message)
	}
	// An administrator of the host lets backups read home and nothing else, and
	// restores go to two places. One of them is a link, and one holds links.
	policy := e2e.Must(agent.LoadPolicy(m.state()))
	if len(policy.Repositories) != 1 || policy.Repositories[0] != m.at("vault") {
		t.Fatalf("after the first backup the repositories are %v", policy.Repositories)
	}
	if err := policy.Narrow(nil, []string{m.at("home")}, []string{filepath.Join(m.state(), "restored"), m.at("back")}); err != nil {
		t.Fatal(err)
	}
	if err := policy.Save(m.state()); err != nil {
		t.Fatal(err)
	}
	m.write("elsewhere/secret.txt", "nobody's business")
	m.write("back/full/letter.txt", "keep me")
	m.write("bin/canary.sh", "#!/bin/sh\ntouch "+m.at("canary")+"\n")
	if err := os.Chmod(m.at("bin/canary.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"home/out": m.at("elsewhere"), "back/out": m.at("elsewhere"), "home/root": "/"} {
		if err := os.Symlink(to, m.at(link)); err != nil {
			t.Fatal(err)
		}
	}
	canary := m.at("bin/canary.sh")
	before := files(t, m.at("elsewhere"))
	full := files(t, m.at("back"))
	vault := files(t, m.at("vault"))
	policyBefore := string(e2e.Must(os.ReadFile(filepath.Join(m.state(), "policy.json"))))

	ours := topics.Repository{ID: "vault-0001", URL: topics.Secret(m.at("vault")), Password: "correct horse"}
	at := func(url string) topics.Repository {
		return topics.Repository{ID: "vault-0002", URL: topics.Secret(url), Password: "correct horse", Initialise: true}
	}
	with := func(env ...string) topics.Repository {
		r := ours
		r.Env = map[string]topics.Secret{env[0]: topics.Secret(env[1])}
		return r
	}
	backup := func(r topics.Repository, paths ...string) topics.Run {
		return topics.Run{Kind: topics.BackupJob, Repository: r, Group: topics.SourceGroup{ID: "group-0001", Name: "x", Paths: paths}}
	}
	restore := func(target string, change func(*topics.Operation)) topics.Run {
		run := topics.Run{Kind: topics.RestoreJob, Repository: ours, Operation: topics.Operation{Snapshot: good.SnapshotID, Target: target}}
		if change != nil {
			change(&run.Operation)
		}
		return run
	}
	second := func(kind topics.JobKind, o topics.Operation, other topics.Repository) topics.Run {
		return topics.Run{Kind: kind, Repository: ours, Operation: o, Other: &other}
	}
	id := strings.Repeat("a", 64)
	option := "--password-command=" + canary
	hooks := func(h topics.Hooks) topics.Run {
		run := backup(ours, m.at("home"))
		run.Group.Hooks = h
		return run
	}
	tagged := backup(ours, m.at("home"))
	tagged.Group.ID = topics.SourceGroupID(option)
	excluded := backup(ours, m.at("home"))
	excluded.Group.Excludes = []string{option}

	for _, c := range []struct {
		what string
		run  topics.Run
		may  bool // it may be tried: what matters is that nothing comes of it
	}{
		{"a hook by its path", hooks(topics.Hooks{Before: []string{canary}}), false},
		{"a hook by another name", hooks(topics.Hooks{After: []string{"dump"}}), false},
		{"a hook when something failed", hooks(topics.Hooks{OnFailure: []string{"../../bin/canary.sh"}}), false},

		{"another repository", backup(at(m.at("stolen")), m.at("home")), false},
		{"another repository, only to look", topics.Run{Kind: topics.SnapshotsJob, Repository: at("rest:http://127.0.0.1:1/x")}, false},
		{"a repository that begins alike", backup(at(m.at("vault2")), m.at("home")), false},
		{"a repository that climbs out", backup(at(m.at("vault/../stolen")), m.at("home")), false},
		{"a repository whose host is an option", backup(at("sftp:-oProxyCommand="+canary+":/x"), m.at("home")), false},
		{"a repository whose URL's host is an option", backup(at("sftp://-oProxyCommand="+canary+"/x"), m.at("home")), false},
		{"a repository whose user is an option", backup(at("sftp:-oProxyCommand="+canary+"@host:/x"), m.at("home")), false},
		{"an rclone remote that is a program", backup(at("rclone::sftp,ssh='"+canary+"':x"), m.at("home")), false},
		{"a repository that is an option", backup(at(option), m.at("home")), false},
		{"a socket", backup(at("rest:http+unix:///run/docker.sock:/x"), m.at("home")), false},
		{"a variable that is a program", backup(with("RESTIC_PASSWORD_COMMAND", canary), m.at("home")), false},
		{"rclone's program as a variable", backup(with("RCLONE_PASSWORD_COMMAND", canary), m.at("home")), false},
		{"rclone's settings from elsewhere", backup(with("RCLONE_CONFIG", canary), m.at("home")), false},
		{"a library to load", backup(with("LD_PRELOAD", canary), m.at("home")), false},
		{"another path to look for programs", backup(with("PATH", m.at("bin")), m.at("home")), false},

		{"a path outside", backup(ours, m.at("elsewhere")), false},
		{"a path outside among others", backup(ours, m.at("home"), "/etc/shadow"), false},
		{"a path that climbs out", backup(ours, m.at("home/../elsewhere")), false},
		{"a path through a link", backup(ours, m.at("home/out/secret.txt")), false},
		{"a path through a link to the root", backup(ours, m.at("home/root/etc/shadow")), false},
		{"the agent's own keys", backup(ours, m.at("state/identity.json")), false},
		{"an option as a path", backup(ours, option), false},
		{"a list of files as a path", backup(ours, "--files-from=/etc/shadow"), false},
		{"an option as a tag", tagged, true},
		{"an option as an exclude", excluded, true},

		{"forget", topics.Run{Kind: topics.ForgetJob, Repository: ours, Operation: topics.Operation{Snapshots: []string{good.SnapshotID}}},
			false},
		{"prune", topics.Run{Kind: topics.PruneJob, Repository: ours}, false},
		{"check", topics.Run{Kind: topics.CheckJob, Repository: ours}, false},
		{"a copy to somewhere else", second(topics.CopyJob, topics.Operation{To: "vault-0002"}, at(m.at("stolen"))), false},
		{"a copy into the host's own repository", second(topics.CopyJob, topics.Operation{To: "vault-0001"}, ours), false},
		{"a copy to no second repository", topics.Run{Kind: topics.CopyJob, Repository: ours,
			Operation: topics.Operation{To: "vault-0002"}}, false},
		{"a repository made like one elsewhere", second(topics.InitJob, topics.Operation{From: "vault-0002"}, at("rest:http://127.0.0.1:1/x")),
			false},
		{"a second repository of a listing", second(topics.SnapshotsJob, topics.Operation{}, ours), false},
		{"everybody's locks", topics.Run{Kind: topics.UnlockJob, Repository: ours, Operation: topics.Operation{All: true}}, false},
		{"a key that others open it with", topics.Run{Kind: topics.KeyJob, Repository: ours,
			Operation: topics.Operation{Key: &topics.KeyChange{Action: topics.RemoveKey, ID: "abcd0123"}}}, false},
		{"an option as a key", topics.Run{Kind: topics.KeyJob, Repository: ours,
			Operation: topics.Operation{Key: &topics.KeyChange{Action: topics.RemoveKey, ID: option}}}, false},
		{"an operation there is none of", topics.Run{Kind: "rewrite", Repository: ours}, false},
		{"an option as an operation", topics.Run{Kind: topics.JobKind(option), Repository: ours}, false},
		{"an option as a snapshot", topics.Run{Kind: topics.ForgetJob, Repository: ours,
			Operation: topics.Operation{Snapshots: []string{option}}}, false},
		{"an option as a snapshot to compare", topics.Run{Kind: topics.DiffJob, Repository: ours,
			Operation: topics.Operation{From: option, To: id}}, false},
		{"an option as a pattern", topics.Run{Kind: topics.FindJob, Repository: ours, Operation: topics.Operation{Pattern: option}}, true},
		{"an option as a slice", topics.Run{Kind: topics.CheckJob, Repository: ours, Operation: topics.Operation{Subset: option}}, false},

		{"a restore onto /etc", restore("/etc", nil), false},
		{"a restore onto /", restore("/", func(o *topics.Operation) { o.Overwrite = "always" }), false},
		{"a restore into the agent's own files", restore(m.state(), nil), false},
		{"a restore that climbs out", restore(m.at("back/../elsewhere"), nil), false},
		{"a restore through a link", restore(m.at("back/out"), nil), false},
		{"a restore through a link into something new", restore(m.at("back/out/new"), nil), false},
		{"a restore where files are", restore(m.at("back/full"), nil), false},
		{"a restore over files", restore(m.at("back/full"), func(o *topics.Operation) { o.Overwrite = "always" }), false},
		{"an option as a target", restore(option, nil), false},
		{"an option as a snapshot to restore", restore(m.at("back/new"), func(o *topics.Operation) { o.Snapshot = option }), false},
		{"an option as a path to restore", restore(m.at("back/new"), func(o *topics.Operation) { o.Paths = []string{option} }), false},
		{"no target at all", restore("", nil), false},
		{"a restore in place", restore("", func(o *topics.Operation) { o.InPlace = true }), false},
		{"a restore in place over files", restore("", func(o *topics.Operation) {
			o.InPlace, o.Paths, o.Overwrite = true, []string{m.at("back/full/letter.txt")}, "always"
		}), false},
		{"a dry run in place", restore("", func(o *topics.Operation) {
			o.InPlace, o.DryRun, o.Paths = true, true, []string{"/etc/shadow"}
		}), false},
		{"a restore in place with a target", restore(m.at("back/new"), func(o *topics.Operation) { o.InPlace = true }), false},
		{"a basket onto /etc", restore("/etc", func(o *topics.Operation) {
			o.Snapshot, o.Items = "", []topics.Item{{Snapshot: good.SnapshotID}, {Snapshot: id, Paths: []string{"/b"}}}
		}), false},
		{"an option as a snapshot of a basket", restore(m.at("back/new"), func(o *topics.Operation) {
			o.Snapshot, o.Items = "", []topics.Item{{Snapshot: option}}
		}), false},
		{"an option as a path of a basket", restore(m.at("back/new"), func(o *topics.Operation) {
			o.Snapshot, o.Items = "", []topics.Item{{Snapshot: good.SnapshotID, Paths: []string{option}}}
		}), false},
		{"a restore without owners through a link", restore(m.at("back/out/new"), func(o *topics.Operation) { o.NoOwners = true }), false},
		{"the name of a dry run that is a path", restore(m.at("back/new"), func(o *topics.Operation) {
			o.Preview = &topics.Preview{Job: "../../../etc/cron.d/x", Digest: id}
		}), false},
		{"the digest of a dry run that is a path", restore(m.at("back/new"), func(o *topics.Operation) {
			o.Preview = &topics.Preview{Job: "job-00000001", Digest: "../../identity"}
		}), false},
		{"a full drill onto /etc", topics.Run{Kind: topics.DrillJob, Repository: ours, Operation: topics.Operation{
			Drill: &topics.Drill{Full: true, Seed: 1, Target: "/etc", Groups: []topics.DrillGroup{{Snapshots: []string{good.SnapshotID}}}}}}, false},
		{"a program that nobody signed, as an update", topics.Run{Kind: topics.UpdateJob, Operation: topics.Operation{
			Update: &topics.Update{Manifest: []byte(`{"format":1,"number":9999999999,"version":"9","programs":[{"os":"linux","arch":"amd64",` +
				`"name":"canary.sh","size":1,"sha256":"` + id + `"}]}`), Signature: []byte("signed")}}}, false},
		{"a restic that the host's policy lets nobody bring", topics.Run{Kind: topics.UpdateJob, Operation: topics.Operation{
			Update: &topics.Update{Restic: &topics.ResticUpdate{Name: "restic_9.9.9_linux_amd64", Size: 1, SHA256: id}}}}, false},
		{"a restic by a path", topics.Run{Kind: topics.UpdateJob, Operation: topics.Operation{
			Update: &topics.Update{Restic: &topics.ResticUpdate{Name: "../restic_9.9.9_linux_amd64", Size: 1, SHA256: id}}}}, false},
		{"an update that names a path", topics.Run{Kind: topics.UpdateJob, Operation: topics.Operation{Paths: []string{canary},
			Update: &topics.Update{Manifest: []byte("{}"), Signature: []byte("signed")}}}, false},
		{"a search in an option", topics.Run{Kind: topics.FindJob, Repository: ours,
			Operation: topics.Operation{Pattern: "x", Snapshots: []string{option}}}, false},
	} {
		ran := m.ran()
		job := h.ended(h.order(m, c.run))
		if !c.may && job.State != topics.Failed {
			t.Errorf("%s: the job %s", c.what, job.State)
		}
		if !c.may && !slices.Contains([]topics.Cause{topics.CausePolicy, topics.CauseRefused, topics.CauseUsage, topics.CauseHook,
			topics.CauseUnknown, topics.CauseUpdateRefused}, job.Cause) {
			t.Errorf("%s: it failed of %s, %s", c.what, job.Cause, job.Message)
		}
		if !c.may && job.Message == "" {
			t.Errorf("%s: nobody is told why", c.what)
		}
		if more := strings.TrimPrefix(m.ran(), ran); !c.may && more != "" {
			t.Errorf("%s: restic was run:\n%s", c.what, more)
		}
		if job.Cause == topics.CausePolicy && h.audited("job.refused", string(job.ID)) != 1 {
			t.Errorf("%s: it is not in the audit log", c.what)
		}
		if _, err := os.Lstat(m.at("canary")); err == nil {
			t.Fatalf("%s: a program was run", c.what)
		}
	}

	options := true
	for _, line := range strings.Split(m.ran(), "\n") {
		arg, ok := strings.CutPrefix(line, "arg ")
		options = !ok || options && arg != "--" // behind it nothing is one
		if ok && options && (strings.HasPrefix(arg, "--password-command") || strings.HasPrefix(arg, "--files-from=") ||
			strings.HasPrefix(arg, "-o")) {
			t.Errorf("restic was given %q", arg)
		}
		if name, _, _ := strings.Cut(strings.TrimPrefix(line, "env "), "="); strings.HasPrefix(line, "env ") &&
			!slices.Contains([]string{"RESTIC_REPOSITORY", "RESTIC_PASSWORD", "RESTIC_CACHE_DIR", "RESTIC_PROGRESS_FPS"}, name) &&
			!strings.HasPrefix(name, "RESTIC_MANAGER") {
			t.Errorf("restic was given the variable %s", name)
		}
	}
	same := func(what string, before, after map[string]string) {
		for path, content := range after {
			if before[path] != content {
				t.Errorf("%s: %s is new or another", what, path)
			}
		}
		for path := range before {
			if _, there := after[path]; !there {
				t.Errorf("%s: %s is gone", what, path)
			}
		}
	}
	same("outside", before, files(t, m.at("elsewhere")))
	same("where restores go", full, files(t, m.at("back")))
	for path := range vault { // nothing was taken from the repository
		if _, err := os.Stat(path); err != nil && !strings.Contains(path, "/locks/") {
			t.Errorf("the repository lost %s", path)
		}
	}
	for _, made := range []string{"stolen", "vault2"} {
		if _, err := os.Lstat(m.at(made)); err == nil {
			t.Errorf("%s was made", made)
		}
	}
	if after := string(e2e.Must(os.ReadFile(filepath.Join(m.state(), "policy.json")))); after != policyBefore {
		t.Errorf("the policy was changed to %s", after)
	}

	// What the policy does allow goes on.
	h.mu.Lock()
	h.down = nil
	h.mu.Unlock()
	m.stop() // the forged numbers were higher than ours will be in this session
	m.start()
	if j := m.backup(); j.State != topics.Succeeded {
		t.Errorf("an honest backup after it: %s: %s", j.State, j.Message)
	}
	// The rows of the orders lied about their kinds, so a search that found nothing counts as a
	// list without snapshots. The next honest list says what is there.
	repository := e2e.Must(h.store.SourceGroups(t.Context(), m.id))[0].Repository
	j, _, err := h.engine.Ask(t.Context(), "test", m.id, topics.SnapshotsJob, repository, topics.Operation{})
	if err != nil {
		t.Fatal(err)
	}
	if j = h.ended(j.ID); j.State != topics.Succeeded {
		t.Errorf("a list of the snapshots: %s: %s", j.State, j.Message)
	}
	target := filepath.Join(m.state(), "restored", "monday")
	j, _, err = h.engine.Ask(t.Context(), "test", m.id, topics.RestoreJob, repository,
		topics.Operation{Snapshot: good.SnapshotID, Target: target})
	if err != nil {
		t.Fatal(err)
	}
	if j = h.ended(j.ID); j.State != topics.Succeeded {
		t.Errorf("a restore into the quarantine: %s: %s", j.State, j.Message)
	}
	if b, err := os.ReadFile(filepath.Join(target, m.at("home/letter.txt"))); err != nil || string(b) != "dear reader" {
		t.Errorf("it brought back %q, %v", b, err)
	}
	// And what it does not is answered before there is a job.
	if _, _, err := h.engine.Ask(t.Context(), "test", m.id, topics.PruneJob, j.Repository, topics.Operation{}); err == nil ||
		!strings.Contains(err.Error(), "does not allow prune") {
		t.Errorf("asked for prune: %v", err)
	}
	if _, _, err := h.engine.Ask(t.Context(), "test", m.id, topics.RestoreJob, j.Repository,
		topics.Operation{Snapshot: good.SnapshotID, Target: "/etc"}); err == nil || !strings.Contains(err.Error(), "write below") {
		t.Errorf("asked to restore onto /etc: %v", err)
	}
}
