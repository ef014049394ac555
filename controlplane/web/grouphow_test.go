package web

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// permits has the host begin a session and say what its policy permits.
func (a *agent) permits(os string, p topics.Permits) {
	a.connect()
	a.session.N++
	a.counter = 0
	birth := topics.Topic{Kind: topics.KindBirth, Host: a.id}.String()
	a.w.engine.Received(birth, topics.Encode(topics.Birth{Session: a.session, Version: "v0", Protocol: topics.Protocol,
		MAC: a.channel.Sign(birth, a.session.Signed(topics.Born))}), true)
	a.say(topics.Event{Hello: &topics.Hello{Session: a.session, Facts: topics.Facts{
		Hostname: a.name,
		OS:       os,
		Arch:     "amd64",
		Agent:    "v0",
		Restic:   "0.14.0",
		Policy:   "narrow",
		Permits:  &p,
	}}})
	await(a.w.t, "what the host permits to be known", func() error {
		if h := must(a.w.store.Host(a.w.t.Context(), a.id)); h.Permits.V == nil || !slices.Equal(h.Permits.V.Hooks, p.Hooks) ||
			!slices.Equal(h.Permits.V.Kinds, p.Kinds) {
			return fmt.Errorf("it is %+v", h.Permits.V)
		}
		return nil
	})
	a.online()
}

func TestASourceGroupsHooksAndLimitsAreSetByPage(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	attic.permits("windows", topics.Permits{Kinds: []topics.JobKind{topics.SnapshotsJob}, Hooks: []string{"dump-db", "notify"}})
	admin := w.person(store.Admin)
	path := "/hosts/" + string(attic.id) + "/source-groups/letters/edit"
	admin.shows(path, "dump-db", "notify", "shadow copy")
	form := url.Values{
		"repository":   {string(g.Repository)},
		"paths":        {`C:\letters`},
		"live_files":   {"1"},
		"low_priority": {"1"},
		"upload_kib":   {"2048"},
		"limits_from":  {"22:00"},
		"hook_before":  {"notify", "dump-db"},
		"hook_after":   {"notify"},
	}
	if r := admin.do("POST", path, form); r.StatusCode != 422 || !strings.Contains(r.text, "Give both hours") ||
		!strings.Contains(r.text, `value="22:00"`) {
		t.Errorf("one hour: %s", r.Status)
	}
	form.Set("limits_to", "06:00")
	form.Set("limits_zone", "Nowhere/At All")
	if r := admin.do("POST", path, form); r.StatusCode != 422 || !strings.Contains(r.text, "no time zone") {
		t.Errorf("no such zone: %s", r.Status)
	}
	form.Set("limits_zone", "Europe/Berlin")
	form.Set("upload_kib", "fast")
	if r := admin.do("POST", path, form); r.StatusCode != 422 || !strings.Contains(r.text, "whole number") {
		t.Errorf("no number: %s", r.Status)
	}
	form.Set("upload_kib", "2048")
	saved := func() topics.SourceGroup {
		t.Helper()
		if r := admin.do("POST", path, form); r.StatusCode != 303 {
			t.Fatalf("save: %s %s", r.Status, r.text)
		}
		return must(w.store.SourceGroups(t.Context(), attic.id))[0].Topic()
	}
	was := saved()
	if want := (topics.Limits{
		UploadKiB:   2048,
		From:        22 * 60,
		To:          6 * 60,
		Zone:        "Europe/Berlin",
		LowPriority: true,
	}); was.Limits != want || !was.LiveFiles {
		t.Errorf("saved %+v, want %+v", was, want)
	}
	if !slices.Equal(was.Hooks.Before, []string{"notify", "dump-db"}) || !slices.Equal(was.Hooks.After, []string{"notify"}) ||
		was.Hooks.OnFailure != nil {
		t.Errorf("saved hooks %+v", was.Hooks)
	}
	form.Set("shadow_copy_only", "1")
	if r := admin.do("POST", path, form); r.StatusCode != 422 ||
		!strings.Contains(r.text, "nothing is saved without a shadow copy. Choose one.") {
		t.Errorf("with and without a shadow copy: %s", r.Status)
	}
	form.Del("live_files")
	if is := saved(); is.LiveFiles || !is.ShadowCopyOnly {
		t.Errorf("only with a shadow copy: %+v", is)
	}
	form.Del("shadow_copy_only")
	if is := saved(); is.ShadowCopyOnly {
		t.Errorf("saved once more %+v", is)
	}
	form["hook_before"] = []string{"dump-db", "notify"} // as the table has them: the order they run in stays
	form.Del("low_priority")
	if is := saved(); !slices.Equal(is.Hooks.Before, was.Hooks.Before) || is.Limits.LowPriority {
		t.Errorf("saved again %+v", is)
	}
	attic.permits("windows", topics.Permits{Kinds: []topics.JobKind{topics.SnapshotsJob}, Hooks: []string{"dump-db"}})
	admin.shows(path, "not in the policy any more")

	// Only Windows makes shadow copies.
	attic.permits("linux", topics.Permits{Kinds: []topics.JobKind{topics.SnapshotsJob}})
	if text := admin.shows(path, "Stay on one file system"); strings.Contains(text, "shadow") {
		t.Error("a host with Linux is asked about shadow copies")
	}
}

func TestWhatAHostForbidsIsGreyEverywhere(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	j, _, err := w.engine.AskBackup(t.Context(), "test", attic.id, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.engine.Cancel(t.Context(), "test", j.ID); err != nil {
		t.Fatal(err)
	}
	attic.permits("linux", topics.Permits{Kinds: []topics.JobKind{topics.SnapshotsJob, topics.RestoreJob},
		RestoreRoots: []string{"/var/restored"}})
	op := w.person(store.Operator)
	host, repository := "/hosts/"+string(attic.id), "/repositories/"+string(g.Repository)
	for _, path := range []string{"/", host, host + "/operations", "/jobs/" + string(j.ID), repository} {
		if text := op.shows(path, "The policy narrow of ", " does not allow it"); strings.Contains(text, `action="`+host+`/run/backup"`) {
			t.Errorf("%s offers a backup", path)
		}
	}
	op.shows(host+"/operations", "/var/restored only", `value="always" disabled`)
}

func TestHoursOfMaintenanceAreSetByPage(t *testing.T) {
	w := newWorld(t)
	g := w.enrol("attic").group("letters")
	admin := w.person(store.Admin)
	path := "/repositories/" + string(g.Repository) + "/maintenance/hours"
	form := url.Values{
		"forget.weekday": {"daily"},
		"forget.hour":    {"23:15"},
		"prune.weekday":  {"monday"},
		"prune.hour":     {"04:00"},
		"check.weekday":  {"sunday"},
		"check.hour":     {"05:00"},
		"check.slices":   {"52"},
		"check.paused":   {"1"},
	}
	for field, bad := range map[string]string{"forget.hour": "1:99", "prune.weekday": "someday", "check.slices": "many"} {
		was := form.Get(field)
		form.Set(field, bad)
		if r := admin.do("POST", path, form); r.StatusCode != 422 {
			t.Errorf("%s %s: %s", field, bad, r.Status)
		}
		form.Set(field, was)
	}
	if d := must(w.store.Hours(t.Context(), g.Repository)); len(d) != 0 {
		t.Errorf("what was refused was saved: %+v", d)
	}
	if r := admin.do("POST", path, form); r.StatusCode != 303 {
		t.Fatalf("save: %s %s", r.Status, r.text)
	}
	for _, d := range must(w.store.Hours(t.Context(), g.Repository)) {
		want := map[topics.JobKind]store.MaintenanceHours{
			topics.ForgetJob: {Weekday: -1, Minute: 23*60 + 15},
			topics.PruneJob:  {Weekday: 1, Minute: 4 * 60},
			topics.CheckJob:  {Weekday: 0, Minute: 5 * 60, Slices: 52, Paused: true},
		}[d.Kind]
		if d.Weekday != want.Weekday || d.Minute != want.Minute || d.Slices != want.Slices || d.Paused != want.Paused {
			t.Errorf("%s is %+v, want %+v", d.Kind, d, want)
		}
	}
	admin.shows("/repositories/"+string(g.Repository)+"/retention", `value="23:15"`)
}

func TestARestoreKeepsToTheLimitsOfTheGroupWhoseSnapshotItIs(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	limits := topics.Limits{UploadKiB: 5, DownloadKiB: 700, From: 60, To: 120, LowPriority: true}
	g.Limits.V = &limits
	if _, err := w.store.PutSourceGroup(t.Context(), "test", g); err != nil {
		t.Fatal(err)
	}
	attic.connect()
	ours, foreign := strings.Repeat("a", 64), strings.Repeat("b", 64)
	attic.ran(w.backup(attic), topics.Finished{State: topics.Succeeded, RepositoryReady: true,
		Snapshot: &topics.Snapshot{ID: ours, Time: time.Now().UnixMilli(), Paths: []string{"/letters"}}})
	attic.lists(g.Repository, topics.Snapshot{ID: ours, Tags: []string{"plan=" + string(g.ID)}}, topics.Snapshot{ID: foreign, Host: "laptop"})
	for snapshot, want := range map[string]topics.Limits{ours: limits, foreign: {}} {
		j, _, err := w.engine.Ask(t.Context(), "test", attic.id, topics.RestoreJob, g.Repository,
			topics.Operation{Snapshot: snapshot, Target: "/var/tmp/back"})
		if err != nil {
			t.Fatal(err)
		}
		if run := attic.told(j.ID); run.Group.Limits != want || run.Group.ID != "" || len(run.Group.Paths) > 0 {
			t.Errorf("the restore of %.4s is sent with %+v, want the limits %+v", snapshot, run.Group, want)
		}
		attic.ran(j.ID, topics.Finished{State: topics.Succeeded})
	}
}

// TestASourceGroupThatSavesNothingIsSavedWithAWarning: by the form, which shows it, and by
// the API, which answers with it.
func TestASourceGroupThatSavesNothingIsSavedWithAWarning(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	admin := w.person(store.Admin)
	path := "/hosts/" + string(attic.id) + "/source-groups/letters/edit"
	const warning = "save nothing"
	form := url.Values{"repository": {string(g.Repository)}, "paths": {"/letters"}, "excludes": {"*"}, "allow_empty": {"1"}}
	if r := admin.do("POST", path, form); r.StatusCode != 303 || r.Header.Get("Location") != path {
		t.Errorf("saved with %s, to %s", r.Status, r.Header.Get("Location"))
	}
	admin.shows(path, warning, "the pattern &#34;*&#34; leaves out all of it")
	admin.shows("/hosts/"+string(attic.id), warning, "It may be empty.")
	form.Set("excludes", "*.tmp")
	if r := admin.do("POST", path, form); r.StatusCode != 303 || r.Header.Get("Location") != "/hosts/"+string(attic.id) {
		t.Errorf("saved with %s, to %s", r.Status, r.Header.Get("Location"))
	}
	if r := admin.do("GET", path, nil); strings.Contains(r.text, warning) {
		t.Error("a pattern that leaves out some of it has a warning")
	}
}
