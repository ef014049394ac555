package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// What a control plane may look at on a host, whatever it asks: repositories as for jobs,
// directories where restores may write, and nothing that is the agent's own.
func TestQueriesSeeNoMoreThanThePolicyAllows(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	for _, path := range []string{"state/restored/job-1", "state/cache", "back/a/deep", "back/b", "elsewhere/secret", "vault"} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"back/out": "elsewhere", "back/in": "back/a", "back/own": "state"} {
		if err := os.Symlink(filepath.Join(dir, to), filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "back/file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := preset(t, PolicyRestore, state)
	p.RestoreRoots = []string{filepath.Join(state, quarantine), filepath.Join(dir, "back")}
	wide := p
	wide.RestoreRoots = []string{dir}
	managed := preset(t, PolicyManaged, state)
	none := p
	none.Kinds = []topics.JobKind{topics.BackupJob}
	for _, c := range []struct {
		what, path string
		policy     Policy
		cause      topics.Cause
		want       string
	}{
		{"the roots", "", p, "", state + "/restored " + dir + "/back"},
		{"a root", "back", p, "", "a b in"},
		{"below one", "back/a", p, "", "deep"},
		{"its own place for restores", "state/restored", p, "", "job-1"},
		{"a link out", "back/out", p, topics.CausePolicy, ""},
		{"below a link out", "back/out/secret", p, topics.CausePolicy, ""},
		{"a link to the agent's own files", "back/own", p, topics.CausePolicy, ""},
		{"beside", "elsewhere", p, topics.CausePolicy, ""},
		{"the agent's own files", "state", p, topics.CausePolicy, ""},
		{"a name that begins alike", "back2", p, topics.CausePolicy, ""},
		{"up and out", "back/../elsewhere", p, topics.CauseNotFound, ""},
		{"what is not there", "back/none", p, topics.CauseNotFound, ""},
		{"a file", "back/file", p, topics.CauseNotFound, ""},
		{"all but the agent's own files", ".", wide, "", "back elsewhere vault"},
		{"the agent's own files, from above", "state/cache", wide, topics.CausePolicy, ""},
		{"a policy without limits", ".", managed, "", "back elsewhere vault"},
		{"and the agent's own files", "state", managed, topics.CausePolicy, ""},
		{"a policy without restores", "back", none, topics.CausePolicy, ""},
	} {
		path := c.path
		switch {
		case path == ".":
			path = dir
		case path != "":
			path = dir + "/" + path
		}
		a := c.policy.directories(state, path)
		var names []string
		for _, d := range a.Directories {
			if !d.Writable {
				t.Errorf("%s: %s is not writable", c.what, d.Name)
			}
			names = append(names, d.Name)
		}
		if a.Cause != c.cause || strings.Join(names, " ") != c.want || c.cause != "" && a.Message == "" {
			t.Errorf("%s: %v, %s: %s", c.what, names, a.Cause, a.Message)
		}
		if c.cause == "" && path != "" && (a.FreeBytes == nil || *a.FreeBytes == 0 || a.Path == "") {
			t.Errorf("%s: %+v", c.what, a)
		}
	}

	vault, other := filepath.Join(dir, "vault"), filepath.Join(dir, "elsewhere")
	if _, err := p.allowRepository(vault); err != nil {
		t.Fatal(err)
	}
	of := func(url string, env ...string) topics.Repository {
		r := topics.Repository{ID: "vault-0001", URL: topics.Secret(url), Password: "x", Env: map[string]topics.Secret{}}
		for i := 0; i < len(env); i += 2 {
			r.Env[env[i]] = topics.Secret(env[i+1])
		}
		return r
	}
	only := func(kinds ...topics.JobKind) Policy {
		q := p
		q.Kinds = kinds
		return q
	}
	unpinned := p
	unpinned.Repositories, unpinned.As = nil, nil
	for _, c := range []struct {
		what   string
		policy Policy
		r      topics.Repository
		may    bool
	}{
		{"its own repository", p, of(vault), true},
		{"another", p, of(other), false},
		{"its own with a file of the host", p, of(vault, "RESTIC_CACERT", "/etc/shadow"), false},
		{"none yet", unpinned, of(vault), false},
		{"where find is allowed", only(topics.FindJob), of(vault), true},
		{"where restore is allowed", only(topics.RestoreJob), of(vault), true},
		{"where snapshots are allowed", only(topics.SnapshotsJob), of(vault), true},
		{"where only backups are allowed", only(topics.BackupJob, topics.StatsJob), of(vault), false},
		{"without limits", managed, of(other), true},
	} {
		if err := c.policy.browses(state, c.r); (err == nil) != c.may {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestPartsOfAnAnswerFitIntoMessages(t *testing.T) {
	var a topics.Answer
	for i := range 3000 {
		a.Entries = append(a.Entries, topics.Node{Name: strings.Repeat("\x01", i%100), Path: "/x", Type: "file"})
	}
	a.Entries = append(a.Entries, topics.Node{Name: strings.Repeat("x", 60_000)})
	free := uint64(7)
	a.FreeBytes = &free
	partsOfAnswer := func(a topics.Answer) (parts []topics.Answer) {
		out := &answerParts{send: func(p topics.Answer) bool { parts = append(parts, p); return true }}
		out.end(a)
		return parts
	}
	parts, n := partsOfAnswer(a), 0
	for i, p := range parts {
		if size := len(topics.Encode(p)); size > maxEvent || p.Part != i+1 || p.Last != (i == len(parts)-1) {
			t.Errorf("part %d of %d: number %d, last %t, %d bytes", i+1, len(parts), p.Part, p.Last, size)
		}
		n += len(p.Entries)
	}
	if last := parts[len(parts)-1]; n != 3000 || !last.Truncated || last.FreeBytes == nil {
		t.Errorf("%d entries, %+v", n, last)
	}
	parts = partsOfAnswer(topics.Answer{Cause: topics.CauseSlow, Message: "x"})
	if len(parts) != 1 || !parts[0].Last || parts[0].Cause == "" {
		t.Errorf("%+v", parts)
	}
}
