package main

import (
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
	}
	switches := map[string]func(topics.Operation) bool{
		"dry_run":    func(o topics.Operation) bool { return o.DryRun },
		"read_data":  func(o topics.Operation) bool { return o.ReadData },
		"with_cache": func(o topics.Operation) bool { return o.WithCache },
		"all":        func(o topics.Operation) bool { return o.All },
		"anyway":     func(o topics.Operation) bool { return o.Anyway },
	}
	doors := map[string]func(jobs.Request) (taken bool, said string){
		"the form": func(q jobs.Request) (bool, string) {
			form := url.Values{"confirm": {"vault"}, "host": {string(q.Host)}, "kind": {string(q.Kind)}, "source_group": {q.SourceGroup}}
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
			body := map[string]any{"kind": q.Kind, "source_group": q.SourceGroup, "repository": q.Repository}
			for _, f := range fields {
				switch values := f.of(q.Operation); {
				case f.name == "snapshots" || f.name == "paths":
					body[f.name] = append([]string{}, values...)
				case len(values) > 0:
					body[f.name] = values[0]
				}
			}
			for name, on := range switches {
				body[name] = on(q.Operation)
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
	const form = "the form"
	cases := map[string]struct {
		ask jobs.Request
		not []string // doors that have no way to ask for it
		// The API's own description refuses it before anybody looks at it.
		described bool
	}{
		"a backup of all":            {ask: jobs.Request{Host: h.host, Kind: topics.BackupJob}},
		"a backup of one":            {ask: jobs.Request{Host: h.host, Kind: topics.BackupJob, SourceGroup: "photos"}},
		"a backup of nothing known":  {ask: jobs.Request{Host: h.host, Kind: topics.BackupJob, SourceGroup: "wine"}},
		"a backup into a repository": {ask: jobs.Request{Host: h.host, Kind: topics.BackupJob, Repository: h.repository}, not: []string{form}},
		"a check of a source group": {ask: jobs.Request{Host: h.host, Kind: topics.CheckJob, Repository: h.repository, SourceGroup: "photos"},
			not: []string{form}},
		"a check of no repository":  {ask: jobs.Request{Host: h.host, Kind: topics.CheckJob}, not: []string{form}},
		"a field of another kind":   {ask: operation(topics.StatsJob, topics.Operation{All: true}), not: []string{form}},
		"forget of nothing":         {ask: operation(topics.ForgetJob, topics.Operation{})},
		"diff of one":               {ask: operation(topics.DiffJob, topics.Operation{From: whole})},
		"diff":                      {ask: operation(topics.DiffJob, topics.Operation{From: whole, To: whole})},
		"find nothing":              {ask: operation(topics.FindJob, topics.Operation{})},
		"find two lines":            {ask: operation(topics.FindJob, topics.Operation{Pattern: "a\nb"})},
		"find":                      {ask: operation(topics.FindJob, topics.Operation{Pattern: "*.txt"})},
		"check both ways":           {ask: operation(topics.CheckJob, topics.Operation{ReadData: true, Subset: "1/2"})},
		"check half":                {ask: operation(topics.CheckJob, topics.Operation{Subset: "half"})},
		"check a slice":             {ask: operation(topics.CheckJob, topics.Operation{Subset: "1/12"})},
		"check with the cache":      {ask: operation(topics.CheckJob, topics.Operation{WithCache: true, Subset: "1/12"})},
		"prune with the cache":      {ask: operation(topics.PruneJob, topics.Operation{WithCache: true}), not: []string{form}},
		"prune, dry":                {ask: operation(topics.PruneJob, topics.Operation{DryRun: true})},
		"unlock":                    {ask: operation(topics.UnlockJob, topics.Operation{})},
		"init":                      {ask: operation(topics.InitJob, topics.Operation{})},
		"init anyway":               {ask: operation(topics.InitJob, topics.Operation{Anyway: true})},
		"unlock all":                {ask: operation(topics.UnlockJob, topics.Operation{All: true})},
		"restore":                   {ask: restore(func(o *topics.Operation) { o.Paths = []string{"/letters/a,b.txt", "/c"} })},
		"restore nothing":           {ask: restore(func(o *topics.Operation) { o.Snapshot = "" })},
		"restore option-like":       {ask: restore(func(o *topics.Operation) { o.Target = "-x" })},
		"restore upwards":           {ask: restore(func(o *topics.Operation) { o.Target = "/a/../b" })},
		"restore relative paths":    {ask: restore(func(o *topics.Operation) { o.Paths = []string{"letters"} })},
		"restore over all":          {ask: restore(func(o *topics.Operation) { o.Overwrite = "all" }), described: true},
		"restore over what is old":  {ask: restore(func(o *topics.Operation) { o.Overwrite = "if-newer" })},
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
		all = append(all, fmt.Sprintf("%s %s %s %s", j.Kind, j.SourceGroup, j.Repository, topics.Encode(operation)))
		if err := engine.Cancel(t.Context(), "test", j.ID); err != nil && !errors.Is(err, jobs.ErrEnded) {
			t.Fatal(err)
		}
	}
	slices.Sort(all)
	return all
}
