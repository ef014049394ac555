package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/store"
)

// A hostTag is all tags that a host gets.
type hostTag struct{ Tags []string }

var hostTags = subject[hostTag]{
	service: func(t *testing.T, h *house, in hostTag) error {
		_, err := (&hosts.Settings{Store: h.store}).Put(t.Context(), "test", h.host, hosts.Input{Tags: &in.Tags})
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in hostTag) (bool, string){
		theForm: func(_ *testing.T, h *house, in hostTag) (bool, string) {
			status, text := h.ask("POST", "/hosts/"+string(h.host)+"/tags", url.Values{"tags": {strings.Join(in.Tags, " ")}})
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in hostTag) (bool, string) {
			status, text := h.ask("PATCH", "/api/hosts/"+string(h.host), map[string]any{"tags": in.Tags})
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in hostTag) (bool, string) {
			args := []string{"host", "tag", string(h.host)}
			for _, tag := range in.Tags {
				args = append(args, "+"+tag)
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) []string {
		row, err := h.store.Host(t.Context(), h.host)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (&hosts.Settings{Store: h.store}).Put(t.Context(), "test", h.host, hosts.Input{Tags: new([]string{})}); err != nil {
			t.Fatal(err)
		}
		return row.Tags
	},
	cases: map[string]doorCase[hostTag]{
		"words and pairs":            {in: hostTag{[]string{"web", "site=berlin", "büro.2", "a/b_c-d"}}},
		"none":                       {in: hostTag{[]string{}}},
		"twice, and capitals":        {in: hostTag{[]string{"Web", "web", "WEB"}}},
		"64 bytes":                   {in: hostTag{[]string{strings.Repeat("x", 64)}}},
		"65 bytes":                   {in: hostTag{[]string{strings.Repeat("x", 65)}}, bad: "tags"},
		"32":                         {in: hostTag{manyTags(32)}},
		"33":                         {in: hostTag{manyTags(33)}, bad: "tags"},
		"33, one of them twice":      {in: hostTag{append(manyTags(32), "t1")}},
		"two =":                      {in: hostTag{[]string{"a=b=c"}}, bad: "tags"},
		"no key":                     {in: hostTag{[]string{"=b"}}, bad: "tags"},
		"no value":                   {in: hostTag{[]string{"a="}}, bad: "tags"},
		"a minus":                    {in: hostTag{[]string{"-a"}}, bad: "tags"},
		"an escape":                  {in: hostTag{[]string{"a\x1bb"}}, bad: "tags"},
		"what changes the direction": {in: hostTag{[]string{"a\u202eb"}}, bad: "tags"},
		"a quotation mark":           {in: hostTag{[]string{`a"b`}}, bad: "tags"},
		"a space":                    {in: hostTag{[]string{"a b"}}, bad: "tags", not: []string{theForm}}, // two, in the form
		"an empty one":               {in: hostTag{[]string{"a", ""}}, bad: "tags", not: []string{theForm}},
	},
}

func manyTags(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("t%d", i))
	}
	return out
}

func TestTagsAreGivenTakenAndFound(t *testing.T) {
	h := newHouse(t)
	host := string(h.host)
	for _, step := range []struct{ args, want string }{
		{"+web site=berlin", "site=berlin\nweb\n"},
		{"-WEB +db", "db\nsite=berlin\n"},
		{"", "db\nsite=berlin\n"},
		{"-never", "db\nsite=berlin\n"},
		{"-db -site=berlin +d_b", "d_b\n"},
	} {
		if text, code := h.tell(append([]string{"host", "tag", host}, strings.Fields(step.args)...)...); code != 0 || text != step.want {
			t.Errorf("host tag %s: %q, %d; want %q", step.args, text, code, step.want)
		}
	}
	for tag, want := range map[string]bool{"d_b": true, "D_B": true, "db": false, "dxb": false, "d": false, "%": false} {
		list, err := h.store.HostsTagged(t.Context(), tag)
		if err != nil || (len(list) == 1) != want {
			t.Errorf("tagged %q: %d, %v", tag, len(list), err)
		}
		text, code := h.tell("host", "list", "--tag", tag)
		if strings.Contains(text, host) != want || code != 0 {
			t.Errorf("host list --tag %s:\n%s", tag, text)
		}
		_, text = h.ask("GET", "/api/hosts?tag="+url.QueryEscape(tag), nil)
		if strings.Contains(text, host) != want {
			t.Errorf("GET /api/hosts?tag=%s:\n%s", tag, text)
		}
	}
	entries, err := h.store.AuditEntries(t.Context(), store.AuditFilter{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(entries, func(e store.AuditEntry) bool { return e.Detail == "tags: site=berlin web → db site=berlin" }) {
		t.Errorf("the audit log does not say what became of the tags: %+v", entries)
	}
}
