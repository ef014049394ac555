package main

import (
	"errors"
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/search"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestEveryDoorHasTheSameRulesForSearches: the form, the API and the command line ask for the
// same job, whatever the pattern looks like, and refuse the same.
func TestEveryDoorHasTheSameRulesForSearches(t *testing.T) {
	h := newHouse(t)
	engine := jobs.New(jobs.Config{Store: h.store, Hub: jobs.NewHub(), Log: slog.New(slog.DiscardHandler), Timing: jobs.DefaultTiming(),
		Now: time.Now})
	if err := h.store.SlotStep(t.Context(), func(tx store.Slots) error {
		ctx, x := tx.Tx()
		if _, err := x.ExecContext(ctx, `UPDATE hosts SET can = $1`, `["`+string(topics.SearchesSome)+`"]`); err != nil {
			return err
		}
		_, err := x.ExecContext(ctx, `INSERT INTO snapshots (repository, id, host, hostname, job, source_group, time, paths, tags, username,
			tree, original, files, bytes, place) VALUES ($1, $2, $3, 'x', 'job', 'letters-0001', 1, '["/letters"]', '[]', '', '', '', 1, 1, '')`,
			h.repository, strings.Repeat("a", 64), h.host)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	doors := map[string]func(in search.Input) (taken bool, said string){
		theForm: func(in search.Input) (bool, string) {
			form := url.Values{"repository": {string(in.Repository)}, "host": {string(in.Host)}, "pattern": {in.Pattern},
				"snapshots": {strings.Join(in.Snapshots, "\n")}}
			if in.IgnoreCase {
				form.Set("ignore_case", "1")
			}
			status, text := h.ask("POST", "/search", form)
			return status == http.StatusSeeOther, html.UnescapeString(text)
		},
		theAPI: func(in search.Input) (bool, string) {
			body := map[string]any{"kind": "find", "repository": in.Repository, "pattern": in.Pattern, "ignore_case": in.IgnoreCase}
			if len(in.Snapshots) > 0 {
				body["snapshots"] = in.Snapshots
			} else {
				body["host"] = in.Host
			}
			status, text := h.ask("POST", "/api/hosts/"+string(h.host)+"/jobs", body)
			return status == http.StatusAccepted, detail(t, text)
		},
		theCommandLine: func(in search.Input) (bool, string) {
			args := []string{"find", "--data", h.data}
			if in.IgnoreCase {
				args = append(args, "-i")
			}
			for _, id := range in.Snapshots {
				args = append(args, "--snapshot="+id)
			}
			text, code := said(t, append(args, "--", "attic", in.Pattern)...)
			return code == 0, text
		},
	}
	for what, c := range map[string]struct {
		in  search.Input
		bad bool
	}{
		"a pattern":                 {in: search.Input{Pattern: "*.txt"}},
		"a word of help":            {in: search.Input{Pattern: "--help"}},
		"what looks like an option": {in: search.Input{Pattern: "-i"}},
		"a path of Windows":         {in: search.Input{Pattern: `c:\Users\*.odt`}},
		"markup":                    {in: search.Input{Pattern: `<img src=x> "'$(x)`}},
		"what is no UTF-8, as told": {in: search.Input{Pattern: "caf\uFFFD"}},
		"in capitals or not":        {in: search.Input{Pattern: "a", IgnoreCase: true}},
		"in one snapshot":           {in: search.Input{Pattern: "a", Snapshots: []string{strings.Repeat("a", 64)}}},
		"1,000 bytes":               {in: search.Input{Pattern: strings.Repeat("x", 1000)}},
		"1,001 bytes":               {in: search.Input{Pattern: strings.Repeat("x", 1001)}, bad: true},
		"nothing":                   {in: search.Input{}, bad: true},
		"blanks":                    {in: search.Input{Pattern: "  "}, bad: true},
		"two lines":                 {in: search.Input{Pattern: "a\nb"}, bad: true},
		"no snapshot's ID":          {in: search.Input{Pattern: "a", Snapshots: []string{"--help"}}, bad: true},
	} {
		t.Run(what, func(t *testing.T) {
			c.in.Repository, c.in.Host = h.repository, h.host
			q, err := search.Desk{Store: h.store}.Request(t.Context(), c.in)
			if wrong := (field.Errors{}); errors.As(err, &wrong) != c.bad || err != nil && !c.bad {
				t.Fatalf("the service answers %v", err)
			}
			var want []string
			sentence := ""
			if err == nil {
				if _, _, err := engine.Start(t.Context(), jobs.Actor{Name: "test", Role: store.Admin}, q); err != nil {
					t.Fatal(err)
				}
				want = h.cancelJobs(t, engine)
			} else {
				wrong := field.Errors{}
				errors.As(err, &wrong)
				sentence = wrong["pattern"]
			}
			for door, ask := range doors {
				taken, said := ask(c.in)
				if got := h.cancelJobs(t, engine); taken == c.bad || !slices.Equal(got, want) {
					t.Errorf("%s: taken %t, recorded %q; want %q\n%.1000s", door, taken, got, want, said)
				}
				if !strings.Contains(said, sentence) {
					t.Errorf("%s does not say %q:\n%.1000s", door, sentence, said)
				}
			}
		})
	}
}
