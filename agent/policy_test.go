package agent

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

func preset(t *testing.T, name, state string) Policy {
	t.Helper()
	p, err := Preset(name, state)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPolicyFileIsReadAsItIsOrNotAtAll(t *testing.T) {
	state := t.TempDir()
	path := filepath.Join(state, policyFile)
	if p, err := LoadPolicy(state); err != nil || p.Name != PolicyBackup {
		t.Errorf("without a file the policy is %+v, %v; want the narrowest", p, err)
	}
	for _, name := range Presets {
		want := preset(t, name, state)
		if err := want.Save(state); err != nil {
			t.Fatal(err)
		}
		if got, err := LoadPolicy(state); err != nil || got.Words() != want.Words() {
			t.Errorf("%s was read as %+v, %v", name, got, err)
		}
	}
	for what, c := range map[string]struct{ text, says string }{
		"an older file":           {`{"policy":"keeper"}`, ""},
		"its own words":           {`{"policy":"backup","verbs":["backup"],"backup_roots":["/home"],"restore_roots":[]}`, ""},
		"a misspelt limit":        {`{"policy":"backup","backup_root":["/home"]}`, "backup_root"},
		"an unknown verb":         {`{"policy":"backup","verbs":["sing"]}`, "sing"},
		"an unknown policy":       {`{"policy":"generous"}`, "one of"},
		"a root that is not one":  {`{"policy":"backup","restore_roots":["home"]}`, "absolute"},
		"a root that climbs":      {`{"policy":"backup","backup_roots":["/home/../etc"]}`, "plain"},
		"a hook without its hash": {`{"policy":"backup","hooks":{"dump":{"path":"/bin/true","sha256":"00"}}}`, "sha256"},
		"a hook that is no path": {`{"policy":"backup","hooks":{"dump":{"path":"true","sha256":"` + strings.Repeat("0", 64) + `"}}}`,
			"absolute"},
		"half a file":               {`{"policy":"ba`, "damaged"},
		"nothing":                   {``, "damaged"},
		"a list where a text stood": {`["backup"]`, "damaged"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadPolicy(state)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", what, err, c.says)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadPolicy(state); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("with the mode %v: %v", mode, err)
		}
	}
	if os.Getuid() == 0 {
		_ = os.Chmod(path, 0o600)
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadPolicy(state); err == nil || !strings.Contains(err.Error(), "make it root's") {
			t.Errorf("with another owner: %v", err)
		}
	}
}

func TestWhatThePresetsAllow(t *testing.T) {
	const state = "/var/lib/agent"
	id := strings.Repeat("a", 64)
	backup := func(paths ...string) topics.Run {
		return topics.Run{Kind: topics.BackupJob, Group: topics.SourceGroup{Paths: paths}}
	}
	restore := func(target, overwrite string) topics.Run {
		return topics.Run{Kind: topics.RestoreJob, Operation: topics.Operation{Snapshot: id, Target: target, Overwrite: overwrite}}
	}
	forget := topics.Run{Kind: topics.ForgetJob, Operation: topics.Operation{Snapshots: []string{id}}}
	narrow := preset(t, PolicyBackup, state)
	if err := narrow.Narrow([]string{"rest:https://anna:pw@NAS:8000/attic/"}, []string{"/home"}, []string{"/srv/back"}); err != nil {
		t.Fatal(err)
	}
	anywhere := preset(t, PolicyRestore, state)
	if err := anywhere.Narrow(nil, nil, []string{"/"}); err != nil {
		t.Fatal(err)
	}
	at := func(run topics.Run, url string, env ...string) topics.Run {
		run.Repository.URL = topics.Secret(url)
		for i := 0; i < len(env); i += 2 {
			run.Repository.Env = map[string]topics.Secret{env[i]: topics.Secret(env[i+1])}
		}
		return run
	}
	const nas = "rest:https://nas:8000/attic"
	for what, c := range map[string]struct {
		policy Policy
		run    topics.Run
		says   string // "" is yes
	}{
		"backup: a backup of anything":           {preset(t, PolicyBackup, state), at(backup("/etc/shadow"), nas), ""},
		"backup: all there is":                   {preset(t, PolicyBackup, state), at(backup("/"), nas), ""},
		"backup: the agent's keys":               {preset(t, PolicyBackup, state), at(backup("/var/lib/agent/identity.json"), nas), "keys"},
		"backup: the agent's keys, the long way": {preset(t, PolicyBackup, state), at(backup("/var/lib/x/../agent"), nas), "keys"},
		"backup: into the quarantine":            {preset(t, PolicyBackup, state), restore(state+"/restored/monday", ""), ""},
		"backup: onto /etc":                      {preset(t, PolicyBackup, state), restore("/etc", ""), "write below"},
		"backup: beside the quarantine":          {preset(t, PolicyBackup, state), restore(state+"/restored-not", ""), "write below"},
		"backup: over files":                     {preset(t, PolicyBackup, state), restore(state+"/restored/x", "always"), "write over"},
		"backup: forget":                         {preset(t, PolicyBackup, state), forget, "does not allow forget"},
		"backup: prune":                          {preset(t, PolicyBackup, state), topics.Run{Kind: topics.PruneJob}, "does not allow prune"},
		"backup: everybody's locks": {preset(t, PolicyBackup, state),
			topics.Run{Kind: topics.UnlockJob, Operation: topics.Operation{All: true}}, "locks"},
		"backup: stale locks": {preset(t, PolicyBackup, state), topics.Run{Kind: topics.UnlockJob}, ""},
		"backup: a socket as a repository": {preset(t, PolicyBackup, state),
			at(backup("/home"), "rest:http+unix:///run/docker.sock:/x"), "socket"},
		"backup: rclone's settings": {preset(t, PolicyBackup, state),
			at(backup("/home"), "rclone:r:x", "RCLONE_CONFIG", "/var/lib/agent/restored/evil"), "RCLONE_CONFIG"},
		"backup: credentials that are a program": {preset(t, PolicyBackup, state),
			at(backup("/home"), "gs:b:/", "GOOGLE_APPLICATION_CREDENTIALS", "/tmp/x"), "GOOGLE_APPLICATION_CREDENTIALS"},
		"backup: a hook nobody named": {preset(t, PolicyBackup, state),
			topics.Run{Kind: topics.BackupJob,
				Group: topics.SourceGroup{Paths: []string{"/home"}, Hooks: topics.Hooks{Before: []string{"rm -rf /"}}}}, "no hook"},
		"restore: where nobody said": {preset(t, PolicyRestore, state), restore("/etc/systemd/system/ssh.service.d", ""),
			"write below"},
		"restore: into the quarantine":        {preset(t, PolicyRestore, state), restore(state+"/restored/monday", ""), ""},
		"restore: below its root":             {anywhere, restore("/srv/x", "never"), ""},
		"restore: over files":                 {anywhere, restore("/srv/x", "if-newer"), "write over"},
		"restore: into the agent's own files": {anywhere, restore(state+"/tmp", ""), "own files"},
		"restore: forget":                     {preset(t, PolicyRestore, state), forget, "does not allow forget"},
		"keeper: forget":                      {preset(t, PolicyKeeper, state), forget, ""},
		"keeper: onto /etc":                   {preset(t, PolicyKeeper, state), restore("/etc", ""), "write below"},
		"managed: onto /etc, over files":      {preset(t, PolicyManaged, state), restore("/etc", "always"), ""},
		"managed: a hook nobody named": {preset(t, PolicyManaged, state),
			topics.Run{Kind: topics.BackupJob, Group: topics.SourceGroup{Hooks: topics.Hooks{After: []string{"x"}}}}, "no hook"},
		"narrowed: its repository":             {narrow, at(backup("/home/anna"), "rest:https://other:x@nas:8000/attic"), ""},
		"narrowed: another path there":         {narrow, at(backup("/home/anna"), "rest:https://nas:8000/attic/x"), "goes to"},
		"narrowed: the path of a prefix":       {narrow, at(backup("/home/anna"), "rest:https://nas:8000/attic2"), "goes to"},
		"narrowed: another host":               {narrow, at(backup("/home/anna"), "rest:https://nas.evil:8000/attic"), "goes to"},
		"narrowed: a host in the user's place": {narrow, at(backup("/home/anna"), "rest:https://nas:8000@evil/attic"), "goes to"},
		"narrowed: without TLS":                {narrow, at(backup("/home/anna"), "rest:http://nas:8000/attic"), "goes to"},
		"narrowed: a path that climbs":         {narrow, at(backup("/home/../etc"), nas), "read below"},
		"narrowed: a name that begins alike":   {narrow, at(backup("/home2"), nas), "read below"},
		"narrowed: one of two paths":           {narrow, at(backup("/home", "/etc"), nas), "read below"},
		"narrowed: a relative path":            {narrow, at(backup("home"), nas), "read below"},
		"narrowed: listing another":            {narrow, at(topics.Run{Kind: topics.SnapshotsJob}, "/srv/other"), "goes to"},
		"any: what its kind does not take": {preset(t, PolicyManaged, state),
			topics.Run{Kind: topics.PruneJob, Operation: topics.Operation{Target: "/"}}, "mean nothing"},
		"any: an option as a snapshot": {preset(t, PolicyManaged, state), topics.Run{Kind: topics.RestoreJob,
			Operation: topics.Operation{Snapshot: "--password-command=id", Target: "/x"}}, "no snapshot ID"},
	} {
		no := c.policy.refuse(state, c.run)
		if (no == nil) != (c.says == "") || no != nil && !strings.Contains(no.Message, c.says) {
			t.Errorf("%s: %+v, want %q", what, no, c.says)
		}
		if no != nil && no.Cause != topics.CausePolicy && !strings.HasPrefix(what, "any") {
			t.Errorf("%s: the cause is %s", what, no.Cause)
		}
	}
}

// TestLinksLeadNobodyOut looks at the file system: what a path says and where it
// leads are two things.
func TestLinksLeadNobodyOut(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	for _, d := range []string{"state/restored", "home/anna", "secret", "back/full", "back/empty", "back/over"} {
		if err := os.MkdirAll(at(d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"home/out":       "secret",
		"home/in":        "home/anna",
		"home/root":      "/",
		"back/out":       "secret",
		"back/over/trap": "secret",
		"rooted":         "home",
		"back/nowhere":   "gone",
		"tostate":        "state",
		"alias":          ".",
	} {
		if !filepath.IsAbs(to) {
			to = at(to)
		}
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("back/full/letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := preset(t, PolicyBackup, at("state"))
	if err := p.Narrow(nil, []string{at("home")}, []string{at("back"), at("state/restored")}); err != nil {
		t.Fatal(err)
	}
	linked, over := p, p
	linked.BackupRoots, over.Overwrite = []string{at("rooted")}, true
	ours, everywhere := over, over
	ours.RestoreRoots, everywhere.RestoreRoots = []string{at("tostate")}, []string{at("alias")}
	for what, c := range map[string]struct {
		policy Policy
		path   string // of a backup
		target string // of a restore
		says   string
	}{
		"a plain path":                   {p, at("home/anna"), "", ""},
		"a link that leads out":          {p, at("home/out"), "", "leads to"},
		"a link that leads inside":       {p, at("home/in"), "", ""},
		"through a link, out":            {p, at("home/out/x"), "", "leads to"},
		"through a link, out, to a file": {p, at("home/root/etc/passwd"), "", "leads to"},
		"through a link, inside":         {p, at("home/in/letters"), "", ""},
		"a root that is a link":          {linked, at("rooted/anna"), "", ""},
		"out of a root that is a link":   {linked, at("rooted/root/etc"), "", "leads to"},
		"a new directory":                {p, "", at("back/new/deep"), ""},
		"an empty one":                   {p, "", at("back/empty"), ""},
		"one with files":                 {p, "", at("back/full"), "not empty"},
		"a link":                         {p, "", at("back/out"), "a link"},
		"through a link, out, new":       {p, "", at("back/out/new"), "a link"},
		"a root that leads to our files": {ours, "", at("tostate/new"), "agent's own files"},
		"our files by a link, over them": {ours, "", at("tostate"), "agent's own files"},
		"what holds them, over files":    {everywhere, "", at("alias"), "agent's own files"},
		"a link to nowhere":              {p, "", at("back/nowhere"), "a link"},
		"the quarantine":                 {p, "", at("state/restored/monday"), ""},
		"over files":                     {over, "", at("back/full"), ""},
		"over files, with a trap inside": {over, "", at("back/over"), "leads out"},
	} {
		run := topics.Run{Kind: topics.BackupJob, Group: topics.SourceGroup{Paths: []string{c.path}}}
		if c.target != "" {
			run = topics.Run{Kind: topics.RestoreJob, Operation: topics.Operation{Target: c.target}}
		}
		err := c.policy.prepare(at("state"), run)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", what, err, c.says)
		}
	}
	if left, _ := filepath.Glob(at("secret/*")); len(left) > 0 {
		t.Errorf("outside of the roots there is now %v", left)
	}
	for _, made := range []string{"back/new/deep", "state/restored/monday"} {
		if info, err := os.Stat(at(made)); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", made, info, err)
		}
	}
}

func TestAQuarantineThatIsALinkIsRefused(t *testing.T) {
	state, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(state, quarantine)); err != nil {
		t.Fatal(err)
	}
	err := preset(t, PolicyBackup, state).prepare(state, topics.Run{Kind: topics.RestoreJob,
		Operation: topics.Operation{Target: filepath.Join(state, quarantine, "x")}})
	if left, _ := os.ReadDir(outside); err == nil || len(left) > 0 {
		t.Errorf("%v, and outside there is %v", err, left)
	}
}

func TestTheFirstRepositoryThatWorkedIsTheOnlyOne(t *testing.T) {
	state := t.TempDir()
	if err := preset(t, PolicyBackup, state).Save(state); err != nil {
		t.Fatal(err)
	}
	first := topics.Repository{URL: "rest:https://anna:pw@nas/attic/"}
	if got, err := pin(state, topics.BackupJob, first); err != nil || got != "rest:https://nas/attic" {
		t.Fatalf("pinned %q, %v", got, err)
	}
	if got, err := pin(state, topics.BackupJob, topics.Repository{URL: "/srv/other"}); err != nil || got != "" {
		t.Errorf("pinned %q as well, %v", got, err)
	}
	other := topics.Run{Kind: topics.SnapshotsJob, Repository: topics.Repository{URL: "/srv/other"}}
	p, err := LoadPolicy(state)
	if err != nil || p.refuse(state, other) == nil {
		t.Errorf("another repository is allowed, %v", err)
	}
	if got, err := AllowRepository(state, "/srv/other/", false); err != nil || got != "/srv/other" {
		t.Errorf("allowed %q, %v", got, err)
	}
	if p, err = LoadPolicy(state); err != nil || p.refuse(state, other) != nil || len(p.Repositories) != 2 {
		t.Errorf("after it was allowed: %+v, %v", p, err)
	}
}
