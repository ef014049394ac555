package main

import (
	"cmp"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestEveryDoorHasTheSameRulesForJobs: what the forms, the API and the command line
// take when somebody asks for a job is what the engine takes, and what they refuse is
// refused in the same sentence.
func TestEveryDoorHasTheSameRulesForJobs(t *testing.T) {
	h := newHouse(t)
	engine := jobs.New(jobs.Config{
		Store:  h.store,
		Hub:    jobs.NewHub(),
		Log:    slog.New(slog.DiscardHandler),
		Timing: jobs.DefaultTiming(),
		Now:    time.Now,
	})
	fields := []struct {
		name string
		of   func(topics.Operation) []string
	}{
		{"snapshots", func(o topics.Operation) []string { return o.Snapshots }},
		{"from", func(o topics.Operation) []string { return some(o.From) }},
		{"to", func(o topics.Operation) []string { return some(o.To) }},
		{"snapshot", func(o topics.Operation) []string { return some(o.Snapshot) }},
		{"paths", func(o topics.Operation) []string { return o.Paths }},
		{"target", func(o topics.Operation) []string { return some(o.Target) }},
		{"overwrite", func(o topics.Operation) []string { return some(o.Overwrite) }},
		{"pattern", func(o topics.Operation) []string { return some(o.Pattern) }},
		{"subset", func(o topics.Operation) []string { return some(o.Subset) }},
		{"add", func(o topics.Operation) []string { return o.Add }},
		{"remove", func(o topics.Operation) []string { return o.Remove }},
		{"set", func(o topics.Operation) []string { return o.Set }},
		{"exclude", func(o topics.Operation) []string { return o.Exclude }},
		{"what", func(o topics.Operation) []string { return some(o.What) }},
		{"packs", func(o topics.Operation) []string { return o.Packs }},
	}
	switches := map[string]func(topics.Operation) bool{
		"dry_run":     func(o topics.Operation) bool { return o.DryRun },
		"ignore_case": func(o topics.Operation) bool { return o.IgnoreCase },
		"read_data":   func(o topics.Operation) bool { return o.ReadData },
		"with_cache":  func(o topics.Operation) bool { return o.WithCache },
		"all":         func(o topics.Operation) bool { return o.All },
		"anyway":      func(o topics.Operation) bool { return o.Anyway },
		"no_owners":   func(o topics.Operation) bool { return o.NoOwners },
		"in_place":    func(o topics.Operation) bool { return o.InPlace },
		"no_tags":     func(o topics.Operation) bool { return o.NoTags },
	}
	const others = topics.RepositoryID("others-0001")
	if err := h.store.AddRepository(t.Context(), "test", store.Repository{ID: others, Name: "others", ReadyAt: 1},
		store.RepositoryAccess{URL: "/srv/others", Password: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := h.store.SlotStep(t.Context(), func(tx store.Slots) error {
		ctx, x := tx.Tx()
		_, err := x.ExecContext(ctx, `UPDATE hosts SET can = '["baskets","remakes"]'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	doors := map[string]func(jobs.Request) (taken bool, said string){
		"the form": func(q jobs.Request) (bool, string) {
			form := url.Values{"confirm": {cmp.Or(q.Confirm, "vault")}, "dry_run_job": {string(q.DryRunJob)},
				"give": some(map[bool]string{true: "1"}[q.Give]),
				"host": {string(q.Host)}, "kind": {string(q.Kind)}, "source_group": {q.SourceGroup}}
			for _, f := range fields {
				form.Set(f.name, strings.Join(f.of(q.Operation), "\n"))
			}
			for name, on := range switches {
				if on(q.Operation) {
					form.Set(name, "true")
				}
			}
			at := "/repositories/" + string(q.Repository) + "/run"
			if q.Kind == topics.BackupJob {
				at = "/hosts/" + string(q.Host) + "/run/backup"
			}
			status, text := h.ask("POST", at, form)
			return status == http.StatusSeeOther, html.UnescapeString(text)
		},
		"the API": func(q jobs.Request) (bool, string) {
			body := map[string]any{"kind": q.Kind, "source_group": q.SourceGroup, "repository": q.Repository, "give_repository": q.Give,
				"confirm": q.Confirm, "dry_run_job": q.DryRunJob}
			if len(q.Operation.Items) > 0 {
				body["items"] = q.Operation.Items
			}
			for _, f := range fields {
				switch values := f.of(q.Operation); {
				case f.name == "snapshots" || f.name == "paths":
					body[f.name] = append([]string{}, values...)
				case slices.Contains([]string{"add", "remove", "set", "exclude", "packs"}, f.name):
					if len(values) > 0 {
						body[f.name] = values
					}
				case len(values) > 0:
					body[f.name] = values[0]
				}
			}
			for name, on := range switches {
				if name == "no_owners" {
					body["owners"] = !on(q.Operation)
				} else if name == "no_tags" {
					if on(q.Operation) {
						body["set"] = []string{}
					}
				} else {
					body[name] = on(q.Operation)
				}
			}
			status, text := h.ask("POST", "/api/hosts/"+string(q.Host)+"/jobs", body)
			var p struct{ Detail string }
			decode(t, text, &p)
			return status == http.StatusAccepted, p.Detail
		},
		"the command line": func(q jobs.Request) (bool, string) {
			args := []string{"job", "start", "--host=" + string(q.Host), "--kind=" + string(q.Kind)}
			add := func(name string, values ...string) {
				for _, v := range values {
					args = append(args, "--"+strings.ReplaceAll(strings.Replace(name, "paths", "path", 1), "_", "-")+"="+v)
				}
			}
			add("repository", some(string(q.Repository))...)
			add("source-group", some(q.SourceGroup)...)
			add("confirm", some(q.Confirm)...)
			add("dry-run-job", some(string(q.DryRunJob))...)
			for _, i := range q.Operation.Items {
				for _, p := range i.Paths {
					add("item", i.Snapshot+":"+p)
				}
				if len(i.Paths) == 0 {
					add("item", i.Snapshot)
				}
			}
			if q.Give {
				args = append(args, "--give-repository")
			}
			for _, f := range fields {
				add(f.name, f.of(q.Operation)...)
			}
			for name, on := range switches {
				if on(q.Operation) {
					add(name, "true")
				}
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	}
	whole := strings.Repeat("a", 64)
	operation := func(kind topics.JobKind, o topics.Operation) jobs.Request {
		return jobs.Request{Host: h.host, Kind: kind, Repository: h.repository, Operation: o}
	}
	restore := func(edit func(*topics.Operation)) jobs.Request {
		o := topics.Operation{Snapshot: whole, Target: "/var/tmp/back"}
		edit(&o)
		return operation(topics.RestoreJob, o)
	}
	other := strings.Repeat("b", 64)
	confirmed := func(q jobs.Request, name string) jobs.Request {
		q.Confirm = name
		return q
	}
	previewed := func(q jobs.Request, job topics.JobID) jobs.Request {
		q.DryRunJob = job
		return q
	}
	basket := func(target string, items ...topics.Item) jobs.Request {
		return operation(topics.RestoreJob, topics.Operation{Target: target, Items: items})
	}
	const form = "the form"
	cases := map[string]struct {
		ask jobs.Request
		not []string // doors that have no way to ask for it
		// The API's own description refuses it before anybody looks at it.
		described bool
	}{
		"a backup of all":           {ask: jobs.Request{Host: h.host, Kind: topics.BackupJob}},
		"a backup of one":           {ask: jobs.Request{Host: h.host, Kind: topics.BackupJob, SourceGroup: "photos"}},
		"a backup of nothing known": {ask: jobs.Request{Host: h.host, Kind: topics.BackupJob, SourceGroup: "wine"}},
		"a backup into a repository": {
			ask: jobs.Request{Host: h.host, Kind: topics.BackupJob, Repository: h.repository}, not: []string{form}},
		"a check of a source group": {
			ask: jobs.Request{Host: h.host, Kind: topics.CheckJob, Repository: h.repository, SourceGroup: "photos"},
			not: []string{form}},
		"a check of no repository": {ask: jobs.Request{Host: h.host, Kind: topics.CheckJob}, not: []string{form}},
		"a field of another kind":  {ask: operation(topics.StatsJob, topics.Operation{All: true}), not: []string{form}},
		"forget of nothing":        {ask: operation(topics.ForgetJob, topics.Operation{})},
		"diff of one":              {ask: operation(topics.DiffJob, topics.Operation{From: whole})},
		"diff":                     {ask: operation(topics.DiffJob, topics.Operation{From: whole, To: whole})},
		"copy to nowhere":          {ask: operation(topics.CopyJob, topics.Operation{})},
		"copy into itself":         {ask: operation(topics.CopyJob, topics.Operation{To: string(h.repository)})},
		"find nothing":             {ask: operation(topics.FindJob, topics.Operation{})},
		"find two lines":           {ask: operation(topics.FindJob, topics.Operation{Pattern: "a\nb"})},
		"find in capitals or not":  {ask: operation(topics.FindJob, topics.Operation{Pattern: "*.txt", IgnoreCase: true})},
		"find":                     {ask: operation(topics.FindJob, topics.Operation{Pattern: "*.txt"})},
		"check both ways":          {ask: operation(topics.CheckJob, topics.Operation{ReadData: true, Subset: "1/2"})},
		"check half":               {ask: operation(topics.CheckJob, topics.Operation{Subset: "half"})},
		"check a slice":            {ask: operation(topics.CheckJob, topics.Operation{Subset: "1/12"})},
		"check with the cache":     {ask: operation(topics.CheckJob, topics.Operation{WithCache: true, Subset: "1/12"})},
		"prune with the cache": {
			ask: operation(topics.PruneJob, topics.Operation{WithCache: true}), not: []string{form}},
		"prune, dry":  {ask: operation(topics.PruneJob, topics.Operation{DryRun: true})},
		"unlock":      {ask: operation(topics.UnlockJob, topics.Operation{})},
		"init":        {ask: operation(topics.InitJob, topics.Operation{})},
		"init anyway": {ask: operation(topics.InitJob, topics.Operation{Anyway: true})},
		"unlock all":  {ask: operation(topics.UnlockJob, topics.Operation{All: true})},
		"restore": {
			ask: restore(func(o *topics.Operation) { o.Paths = []string{"/letters/a,b.txt", "/c"} })},
		"restore nothing":                        {ask: restore(func(o *topics.Operation) { o.Snapshot = "" })},
		"restore option-like":                    {ask: restore(func(o *topics.Operation) { o.Target = "-x" })},
		"restore upwards":                        {ask: restore(func(o *topics.Operation) { o.Target = "/a/../b" })},
		"restore relative paths":                 {ask: restore(func(o *topics.Operation) { o.Paths = []string{"letters"} })},
		"restore over all":                       {ask: restore(func(o *topics.Operation) { o.Overwrite = "all" }), described: true},
		"restore over what is old":               {ask: restore(func(o *topics.Operation) { o.Overwrite = "if-newer" })},
		"restore without owners":                 {ask: restore(func(o *topics.Operation) { o.NoOwners = true })},
		"restore to the root":                    {ask: restore(func(o *topics.Operation) { o.Target = "/" })},
		"restore to the root, confirmed":         {ask: confirmed(restore(func(o *topics.Operation) { o.Target = "/" }), "attic")},
		"restore to the root, by another's name": {ask: confirmed(restore(func(o *topics.Operation) { o.Target = "/." }), "Attic")},
		"restore to the root, dry":               {ask: restore(func(o *topics.Operation) { o.Target, o.DryRun = "/", true })},
		"restore in place":                       {ask: restore(func(o *topics.Operation) { o.Target, o.InPlace = "", true })},
		"restore in place, confirmed": {
			ask: confirmed(restore(func(o *topics.Operation) { o.Target, o.InPlace = "", true }), "attic")},
		"restore in place, to a target":     {ask: confirmed(restore(func(o *topics.Operation) { o.InPlace = true }), "attic")},
		"restore by a dry run that is none": {ask: previewed(restore(func(*topics.Operation) {}), "20260101-none-0001")},
		"a dry run by a dry run": {
			ask: previewed(restore(func(o *topics.Operation) { o.DryRun = true }), "20260101-none-0001")},
		"stats by a dry run": {
			ask: previewed(operation(topics.StatsJob, topics.Operation{}), "20260101-none-0001"), not: []string{form}},
		"stats, confirmed": {
			ask: confirmed(operation(topics.StatsJob, topics.Operation{}), "attic"), not: []string{form}},
		"stats without owners": {
			ask: operation(topics.StatsJob, topics.Operation{NoOwners: true}), not: []string{form}},
		"a basket": {ask: basket("/var/tmp/back", topics.Item{Snapshot: whole, Paths: []string{"/a"}},
			topics.Item{Snapshot: other, Paths: []string{"/b", `C:\c`}}), not: []string{form}},
		"a basket of one snapshot": {ask: basket("/var/tmp/back", topics.Item{Snapshot: whole, Paths: []string{"/a"}},
			topics.Item{Snapshot: whole, Paths: []string{"/b"}}), not: []string{form}},
		"a basket with all of one": {ask: basket("/var/tmp/back", topics.Item{Snapshot: whole}), not: []string{form}},
		"a basket that overlaps": {ask: basket("/var/tmp/back", topics.Item{Snapshot: whole, Paths: []string{"/a"}},
			topics.Item{Snapshot: other, Paths: []string{"/a/b"}}), not: []string{form}},
		"a basket beside a snapshot": {ask: restore(func(o *topics.Operation) { o.Items = []topics.Item{{Snapshot: other}} }),
			not: []string{form}},
		"tag": {ask: operation(topics.TagJob,
			topics.Operation{Snapshots: []string{whole, other}, Add: []string{"gold", "of 2026"}})},
		"tag, set":          {ask: operation(topics.TagJob, topics.Operation{Snapshots: []string{whole}, Set: []string{"gold"}})},
		"tag, none":         {ask: operation(topics.TagJob, topics.Operation{Snapshots: []string{whole}, NoTags: true})},
		"tag of nothing":    {ask: operation(topics.TagJob, topics.Operation{Add: []string{"gold"}})},
		"tag as ours":       {ask: operation(topics.TagJob, topics.Operation{Snapshots: []string{whole}, Add: []string{"plan=letters"}})},
		"tag, ours removed": {ask: operation(topics.TagJob, topics.Operation{Snapshots: []string{whole}, Remove: []string{"plan=letters"}})},
		"rewrite, dry": {ask: operation(topics.RewriteJob,
			topics.Operation{Snapshots: []string{whole}, Exclude: []string{"*.key", "/srv/a b"}, DryRun: true})},
		"rewrite by no dry run": {ask: operation(topics.RewriteJob, topics.Operation{Snapshots: []string{whole}, Exclude: []string{"*.key"}})},
		"rewrite by a dry run that is none": {ask: previewed(operation(topics.RewriteJob,
			topics.Operation{Snapshots: []string{whole}, Exclude: []string{"*.key"}}), "20260101-none-0001")},
		"repair the index": {ask: operation(topics.RepairJob, topics.Operation{What: topics.RepairIndex, ReadData: true})},
		"repair packs": {ask: operation(topics.RepairJob,
			topics.Operation{What: topics.RepairPacks, Packs: []string{whole, other}})},
		"repair snapshots, dry": {ask: operation(topics.RepairJob, topics.Operation{What: topics.RepairSnapshots, DryRun: true})},
		"repair snapshots, unseen": {ask: operation(topics.RepairJob,
			topics.Operation{What: topics.RepairSnapshots, Snapshots: []string{whole}})},
		"repair everything":      {ask: operation(topics.RepairJob, topics.Operation{What: "everything"}), described: true},
		"a repository of others": {ask: jobs.Request{Host: h.host, Kind: topics.StatsJob, Repository: others}},
		"that is given":          {ask: jobs.Request{Host: h.host, Kind: topics.StatsJob, Repository: others, Give: true}},
		"what need not be given": {ask: jobs.Request{Host: h.host, Kind: topics.StatsJob, Repository: h.repository, Give: true}},
		"a restore of others": {ask: jobs.Request{Host: h.host, Kind: topics.RestoreJob, Repository: others,
			Operation: topics.Operation{Snapshot: whole, Target: "/back"}}},
		"an escape in what is said": {ask: restore(func(o *topics.Operation) { o.Target = "/a\x1b[2J/../b" })},
	}
	for _, kind := range []topics.JobKind{topics.InitJob, topics.SnapshotsJob, topics.StatsJob, topics.KeyJob, topics.LocksJob} {
		c := cases["find"]
		c.ask = operation(kind, topics.Operation{})
		cases[string(kind)] = c
	}
	for what, c := range cases {
		t.Run(what, func(t *testing.T) {
			_, _, err := engine.Start(t.Context(), jobs.Actor{Name: "test", Role: store.Admin}, c.ask)
			rows := h.cancelJobs(t, engine)
			if (len(rows) > 0) != (err == nil) {
				t.Fatalf("the engine recorded %v and answered %v", rows, err)
			}
			for door, ask := range doors {
				if slices.Contains(c.not, door) {
					continue
				}
				taken, said := ask(c.ask)
				got := h.cancelJobs(t, engine)
				if taken != (err == nil) || !slices.Equal(got, rows) {
					t.Errorf("%s: taken %t, recorded %v; want %v, %v\n%.2000s", door, taken, got, rows, err, said)
				}
				if c.described && door == "the API" {
					continue
				}
				if err != nil && !strings.Contains(said, strings.ReplaceAll(problem.Of(err).Say, "\x1b", "")) {
					t.Errorf("%s does not say %q:\n%.2000s", door, problem.Of(err).Say, said)
				}
			}
		})
	}
}

func some(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// cancelJobs ends every job that waits, and returns what they were.
func (h *house) cancelJobs(t *testing.T, engine *jobs.Engine) (all []string) {
	t.Helper()
	open, err := h.store.OpenJobs(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range open {
		operation := topics.Operation{}
		if j.Operation.V != nil {
			operation = *j.Operation.V
		}
		all = append(all, fmt.Sprintf("%s %s %s %s given %t", j.Kind, j.SourceGroup, j.Repository, topics.Encode(operation), j.GivenBy != ""))
		if err := engine.Cancel(t.Context(), "test", j.ID); err != nil && !errors.Is(err, jobs.ErrEnded) {
			t.Fatal(err)
		}
	}
	slices.Sort(all)
	return all
}

// A host gets a repository that it does not have for maintenance, too, only if whoever asks
// says so, in the same words at every door; and what it gets is one run.
func TestEveryDoorSaysWhatMaintenanceGivesAHost(t *testing.T) {
	h := newHouse(t)
	engine := jobs.New(jobs.Config{Store: h.store, Hub: jobs.NewHub(), Log: slog.New(slog.DiscardHandler), Timing: jobs.DefaultTiming(),
		Now: time.Now})
	const others = topics.RepositoryID("others-0001")
	if err := h.store.AddRepository(t.Context(), "test", store.Repository{ID: others, Name: "others"},
		store.RepositoryAccess{URL: "/srv/others", Password: "x"}); err != nil {
		t.Fatal(err)
	}
	for door, ask := range map[string]func(give bool) (bool, string){
		"the form": func(give bool) (bool, string) {
			status, text := h.ask("POST", "/repositories/"+string(others)+"/maintenance", url.Values{"kind": {"prune"}, "host": {string(h.host)},
				"give": some(map[bool]string{true: "1"}[give])})
			return status == http.StatusSeeOther, html.UnescapeString(text)
		},
		"the API": func(give bool) (bool, string) {
			status, text := h.ask("POST", "/api/repositories/"+string(others)+"/maintenance",
				map[string]any{"kind": "prune", "host": h.host, "give_repository": give})
			return status == http.StatusAccepted, text
		},
		"the command line": func(give bool) (bool, string) {
			args := []string{"repository", "maintain", "others", "--kind=prune", "--host=" + string(h.host)}
			if give {
				args = append(args, "--give-repository")
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	} {
		taken, said := ask(false)
		if rows := h.cancelJobs(t, engine); taken || len(rows) > 0 || !strings.Contains(said, "root there can read everything in it") {
			t.Errorf("%s, without a word: taken %t, recorded %v\n%.1000s", door, taken, rows, said)
		}
		taken, said = ask(true)
		if rows := h.cancelJobs(t, engine); !taken || len(rows) != 1 || !strings.HasSuffix(rows[0], "given true") {
			t.Errorf("%s: taken %t, recorded %v\n%.1000s", door, taken, rows, said)
		}
		for _, run := range h.runs(t) {
			if err := h.store.EndRun(t.Context(), run, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (h *house) runs(t *testing.T) []store.MaintenanceRun {
	t.Helper()
	runs, err := h.store.OpenRuns(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return runs
}
