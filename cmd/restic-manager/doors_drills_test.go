package main

import (
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/drills"
	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/store"
	drillstore "github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

// A hostToken is what may be said of a token for a new host at any door.
type hostToken struct {
	Name  string
	Life  time.Duration // 0 is the usual
	Drill bool
}

var hostTokens = subject[hostToken]{
	service: func(t *testing.T, h *house, in hostToken) error {
		ca, err := enroll.OpenCA(t.Context(), h.store, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if in.Life == 0 {
			in.Life = enroll.TokenLife
		}
		_, _, err = (&enroll.Desk{Store: h.store, CA: ca}).Offer(t.Context(), "test",
			enroll.Input{Name: in.Name, Life: in.Life, Drill: in.Drill})
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in hostToken) (bool, string){
		theForm: func(_ *testing.T, h *house, in hostToken) (bool, string) {
			form := url.Values{"name": {in.Name}}
			if in.Drill {
				form.Set("drill", "true")
			}
			status, text := h.ask("POST", "/hosts/new", form)
			return status == http.StatusOK, text
		},
		theAPI: func(t *testing.T, h *house, in hostToken) (bool, string) {
			status, text := h.ask("POST", "/api/enroll-tokens", map[string]any{"name": in.Name, "drill": in.Drill})
			return status == http.StatusCreated, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in hostToken) (bool, string) {
			args := []string{"enroll-token", "create", "--name=" + in.Name}
			if in.Life != 0 {
				args = append(args, "--ttl="+in.Life.String())
			}
			if !in.Drill {
				args = append(args, "--no-drill")
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(h.data, "restic-manager.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		rows, err := db.QueryContext(t.Context(), `SELECT name, (expires_at - created_at) / 1000, drill FROM enroll_tokens WHERE used_at = 0`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			var life, drill int64
			if err := rows.Scan(&name, &life, &drill); err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("%q for %d s, drill %d", name, life, drill))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), `DELETE FROM enroll_tokens WHERE used_at = 0`); err != nil {
			t.Fatal(err)
		}
		return all
	},
	cases: map[string]doorCase[hostToken]{
		"with drills":           {in: hostToken{Name: "cellar", Drill: true}},
		"without":               {in: hostToken{Name: "cellar"}},
		"under its own name":    {in: hostToken{Drill: true}},
		"a name that is taken":  {in: hostToken{Name: "attic", Drill: true}, bad: "name"},
		"a name with an escape": {in: hostToken{Name: "a\x1bb", Drill: true}, bad: "name"},
		"for an hour":           {in: hostToken{Name: "cellar", Life: time.Hour}, not: []string{theForm, theAPI}},
		"for two days":          {in: hostToken{Name: "cellar", Life: 48 * time.Hour}, bad: "ttl", not: []string{theForm, theAPI}},
	},
}

// What is not said of drills in the API and on the command line is as the page offers it.
func TestANewHostIsOfferedDrills(t *testing.T) {
	h := newHouse(t)
	if _, text := h.ask("GET", "/hosts/new", nil); !strings.Contains(text, `name="drill" value="true" checked`) {
		t.Errorf("the page does not offer them:\n%s", text)
	}
	if status, text := h.ask("POST", "/api/enroll-tokens", map[string]any{}); status != http.StatusCreated {
		t.Errorf("the API: %d %s", status, text)
	}
	if text, code := h.tell("enroll-token", "create"); code != 0 {
		t.Errorf("the command line: %s", text)
	}
	if got := hostTokens.saved(t, h); len(got) != 2 || got[0] != `"" for 900 s, drill 1` || got[1] != got[0] {
		t.Errorf("they made the tokens %q", got)
	}
}

// A drillPlan is what may be said of a plan of drills at any door. What is nil is not said.
type drillPlan struct {
	Kind    drillstore.Kind
	Tag     string // of kind tag
	Cron    *string
	Zone    *string
	Files   *int
	Bytes   *int64
	Enabled *bool
}

func mebi(n int64) *int64 { return new(n << 20) }

func (p drillPlan) subject(h *house) string {
	if p.Kind == drillstore.OfHost {
		return string(h.host)
	}
	return p.Tag
}

var drillPlans = subject[drillPlan]{
	before: func(t *testing.T, h *house) {
		t.Helper()
		tags := []string{"web", "site=berlin"}
		if _, err := (&hosts.Settings{Store: h.store}).Put(t.Context(), "test", h.host, hosts.Input{Tags: &tags}); err != nil {
			t.Fatal(err)
		}
	},
	service: func(t *testing.T, h *house, in drillPlan) error {
		_, err := drillService(h.store).Put(t.Context(), "test", in.Kind, in.subject(h),
			drills.Input{Cron: in.Cron, Zone: in.Zone, Files: in.Files, Bytes: in.Bytes, Enabled: in.Enabled})
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in drillPlan) (bool, string){
		theForm: func(_ *testing.T, h *house, in drillPlan) (bool, string) {
			form, at := url.Values{"cron": {drillstore.Cron}, "zone": {drillstore.Zone}, "files": {strconv.Itoa(topics.DrillFiles)},
				"mib": {strconv.Itoa(topics.DrillBytes >> 20)}}, "/settings/drills" // as the form shows them
			switch in.Kind {
			case drillstore.OfHost:
				at = "/hosts/" + string(h.host) + "/drill"
			case drillstore.OfTag:
				form.Set("tag", in.Tag)
			case drillstore.OfFleet:
			}
			if in.Cron != nil {
				form.Set("cron", *in.Cron)
			}
			if in.Zone != nil {
				form.Set("zone", *in.Zone)
			}
			if in.Files != nil {
				form.Set("files", strconv.Itoa(*in.Files))
			}
			if in.Bytes != nil {
				form.Set("mib", strconv.FormatInt(*in.Bytes>>20, 10))
			}
			if in.Enabled != nil && *in.Enabled {
				form.Set("enabled", "true")
			}
			status, text := h.ask("POST", at, form)
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in drillPlan) (bool, string) {
			body, at := map[string]any{}, "/api/drill"
			switch in.Kind {
			case drillstore.OfHost:
				at = "/api/hosts/" + string(h.host) + "/drill"
			case drillstore.OfTag:
				at = "/api/tags/" + url.PathEscape(in.Tag) + "/drill"
			case drillstore.OfFleet:
			}
			if in.Cron != nil {
				body["cron"] = *in.Cron
			}
			if in.Zone != nil {
				body["zone"] = *in.Zone
			}
			if in.Files != nil {
				body["files"] = *in.Files
			}
			if in.Bytes != nil {
				body["bytes"] = *in.Bytes
			}
			if in.Enabled != nil {
				body["enabled"] = *in.Enabled
			}
			status, text := h.ask("PUT", at, body)
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in drillPlan) (bool, string) {
			args := []string{"drill", "set", map[drillstore.Kind]string{drillstore.OfHost: "--host=attic", drillstore.OfTag: "--tag=" + in.Tag,
				drillstore.OfFleet: "--all"}[in.Kind]}
			if in.Cron != nil {
				args = append(args, "--cron="+*in.Cron)
			}
			if in.Zone != nil {
				args = append(args, "--zone="+*in.Zone)
			}
			if in.Files != nil {
				args = append(args, "--files="+strconv.Itoa(*in.Files))
			}
			if in.Bytes != nil {
				args = append(args, "--bytes="+strconv.FormatInt(*in.Bytes, 10))
			}
			if in.Enabled != nil {
				args = append(args, map[bool]string{true: "--on", false: "--off"}[*in.Enabled])
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		rows, err := h.store.DrillPlans(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range rows {
			all = append(all, fmt.Sprint(p.Subject == string(h.host), p))
			if err := h.store.DropDrillPlan(t.Context(), "test", p.Kind, p.Subject); err != nil {
				t.Fatal(err)
			}
		}
		return all
	},
	cases: map[string]doorCase[drillPlan]{
		"all of a host's":        {in: drillPlan{drillstore.OfHost, "", new("15 4 1 * *"), new("Europe/Berlin"), new(7), mebi(3), new(true)}},
		"a word, of the fleet":   {in: drillPlan{Kind: drillstore.OfFleet, Cron: new("@daily"), Enabled: new(true)}},
		"nothing":                {in: drillPlan{Kind: drillstore.OfHost}},
		"off, of a tag":          {in: drillPlan{Kind: drillstore.OfTag, Tag: "web", Enabled: new(false)}},
		"of a pair, in capitals": {in: drillPlan{Kind: drillstore.OfTag, Tag: "Site=Berlin", Enabled: new(true)}},
		"the most":               {in: drillPlan{Kind: drillstore.OfFleet, Files: new(topics.MaxDrillFiles), Bytes: mebi(1 << 20)}},
		"the least":              {in: drillPlan{Kind: drillstore.OfFleet, Files: new(1), Bytes: new(int64(1 << 20))}},
		"one byte":               {in: drillPlan{Kind: drillstore.OfFleet, Bytes: new(int64(1))}, not: []string{theForm}},
		"no cron line":           {in: drillPlan{Kind: drillstore.OfHost, Cron: new("every night")}, bad: "cron"},
		"an empty one":           {in: drillPlan{Kind: drillstore.OfHost, Cron: new("")}, bad: "cron"},
		"a day that never comes": {in: drillPlan{Kind: drillstore.OfFleet, Cron: new("0 0 31 2 *")}, bad: "cron"},
		"no zone":                {in: drillPlan{Kind: drillstore.OfTag, Tag: "web", Zone: new("Berlin")}, bad: "zone"},
		"no files":               {in: drillPlan{Kind: drillstore.OfHost, Files: new(0)}, bad: "files"},
		"fewer than none":        {in: drillPlan{Kind: drillstore.OfFleet, Files: new(-1)}, bad: "files"},
		"too many files":         {in: drillPlan{Kind: drillstore.OfFleet, Files: new(topics.MaxDrillFiles + 1)}, bad: "files"},
		"no bytes":               {in: drillPlan{Kind: drillstore.OfFleet, Bytes: new(int64(0))}, bad: "bytes"},
		"too many bytes":         {in: drillPlan{Kind: drillstore.OfHost, Bytes: new(int64(topics.MaxDrillBytes + 1<<20))}, bad: "bytes"},
		"bytes beyond counting":  {in: drillPlan{Kind: drillstore.OfHost, Bytes: new(int64(1<<63 - 1))}, bad: "bytes"},
		"a tag that nobody has":  {in: drillPlan{Kind: drillstore.OfTag, Tag: "wbe"}, bad: "tag"},
		"two tags":               {in: drillPlan{Kind: drillstore.OfTag, Tag: "web db"}, bad: "tag"},
		"a tag with an escape":   {in: drillPlan{Kind: drillstore.OfTag, Tag: "a\x1bb"}, bad: "tag"},
		"no tag":                 {in: drillPlan{Kind: drillstore.OfTag}, bad: "tag", not: []string{theAPI}}, // it has no address
	},
}

// What was not planned cannot be taken back, which each door says; a page that was pressed
// twice has what it wants.
func TestAPlanIsTakenBack(t *testing.T) {
	h := newHouse(t)
	drillPlans.before(t, h)
	host := "/hosts/" + string(h.host)
	for _, c := range []struct {
		kind          drillstore.Kind
		subject       string
		at, path, arg string
		form          url.Values
	}{
		{drillstore.OfHost, string(h.host), host + "/drill/inherit", "/api" + host + "/drill", "--host=attic", nil},
		{drillstore.OfTag, "web", "/settings/drills/remove", "/api/tags/web/drill", "--tag=web", url.Values{"tag": {"web"}}},
		{drillstore.OfFleet, "", "/settings/drills/remove", "/api/drill", "--all", url.Values{"tag": {""}}},
	} {
		for door, drop := range map[string]func() (int, string){
			theForm: func() (int, string) { return h.ask("POST", c.at, c.form) },
			theAPI:  func() (int, string) { return h.ask("DELETE", c.path, nil) },
			theCommandLine: func() (int, string) {
				text, code := h.tell("drill", "set", c.arg, "--drop")
				return code, text
			},
		} {
			if _, err := drillService(h.store).Put(t.Context(), "test", c.kind, c.subject, drills.Input{}); err != nil {
				t.Fatal(err)
			}
			first, text := drop()
			if rows, err := h.store.DrillPlans(t.Context()); err != nil || len(rows) > 0 {
				t.Errorf("%s of %s: %v stay, %v; %s", door, c.kind, rows, err, text)
			}
			second, text := drop()
			want := map[string][2]int{theForm: {303, 303}, theAPI: {204, 404}, theCommandLine: {0, 1}}[door]
			if got := [2]int{first, second}; got != want || door != theForm && !strings.Contains(text, "plan") {
				t.Errorf("%s of %s: %v, want %v; %s", door, c.kind, got, want, text)
			}
		}
	}
	entries, err := h.store.AuditEntries(t.Context(), store.AuditFilter{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]int{"drill.saved": 9, "drill.removed": 9} {
		n := 0
		for _, e := range entries {
			if e.Action == action {
				n++
			}
		}
		if n != want {
			t.Errorf("%d entries %s, want %d", n, action, want)
		}
	}
	if !slices.ContainsFunc(entries, func(e store.AuditEntry) bool {
		return strings.Contains(e.Detail, "off of tag 0 3 * * 0, UTC, 20 files")
	}) {
		t.Errorf("none says what was planned: %+v", entries)
	}
}
