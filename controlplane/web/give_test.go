package web

import (
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A page that is asked for a job in a repository which its host does not have says what that
// gives the host, and has the button that means it; the audit log has both that and who.
func TestAHostGetsARepositoryByASecondButton(t *testing.T) {
	w := newWorld(t)
	attic, cellar := w.enrol("attic"), w.enrol("cellar")
	attic.group("letters")
	other := cellar.group("wine").Repository
	name := must(w.store.Repository(t.Context(), other)).Name
	admin := w.person(store.Admin)
	at := "/repositories/" + string(other) + "/run"
	form := url.Values{"kind": {"find"}, "host": {string(attic.id)}, "pattern": {`"*.odt" & <b>`}}
	for what, head := range map[string][]string{"a page": nil, "a part of one": {"HX-Request", "true"}} {
		r := admin.do("POST", at, form, head...)
		if r.StatusCode != 409 || !strings.Contains(r.text, "root there can read everything in it") ||
			!strings.Contains(r.text, "password of "+name) {
			t.Errorf("%s: %s %.2000s", what, r.Status, r.text)
		}
		sent, to := url.Values{}, ""
		for n := range must(html.Parse(strings.NewReader(r.text))).Descendants() {
			if n.Type == html.ElementNode && n.Data == "form" {
				if action, _ := attr(n, "action"); action == at {
					to = action
					for d := range n.Descendants() {
						if d.Type == html.ElementNode && d.Data == "input" {
							field, _ := attr(d, "name")
							value, _ := attr(d, "value")
							sent.Add(field, value)
						}
					}
				}
			}
		}
		if to == "" || sent.Get("pattern") != form.Get("pattern") || sent.Get("host") != form.Get("host") || sent.Get("give") == "" {
			t.Fatalf("%s: the button sends %v to %q", what, sent, to)
		}
		if open := must(w.store.OpenJobs(t.Context(), "")); len(open) > 0 {
			t.Fatalf("%s: begun before anybody said so: %+v", what, open)
		}
		if r := admin.do("POST", to, sent); r.StatusCode != 303 {
			t.Fatalf("%s: %s %s", what, r.Status, r.text)
		}
		j := attic.asked(topics.FindJob)
		if j.GivenBy == "" || j.Repository != other {
			t.Errorf("%s: %+v", what, j)
		}
		admin.shows("/jobs/"+string(j.ID), "Repository given for this job by")
		admin.shows("/audit", "Gave a host that does not have it the repository", "its address and password to attic")
		if err := w.engine.Cancel(t.Context(), "test", j.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, role := range []store.Role{store.Operator, store.Restorer} {
		form.Set("give", "1")
		if r := w.person(role).do("POST", at, form); r.StatusCode != 403 || strings.Contains(r.text, `name="give"`) {
			t.Errorf("a %s: %s %.1000s", role, r.Status, r.text)
		}
		for _, path := range []string{"/repositories/" + string(other), "/repositories/" + string(other) + "/retention",
			"/hosts/" + string(attic.id) + "/operations"} {
			text := w.person(role).do("GET", path, nil).text
			if strings.Contains(path, string(other)) && strings.Contains(text, `<option value="`+string(attic.id)+`"`) {
				t.Errorf("%s offers a %s a host that does not have the repository", path, role)
			}
			if strings.Contains(path, string(attic.id)) && strings.Contains(text, `<option value="`+string(other)+`"`) {
				t.Errorf("%s offers a %s a repository that the host does not have", path, role)
			}
		}
	}
}

// Whatever a role below administrators sends, nobody gets more rights by it, and no host more
// repositories: who may sign in, with which role, what programs may, and what is backed up
// where is refused at each of its addresses, by session and by token.
func TestNobodyRaisesThemselves(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	w.known("ada", store.Admin)
	for _, role := range []store.Role{store.Viewer, store.Operator, store.Restorer} {
		u := w.known("eve the "+string(role), role)
		eve, program := w.as(u), w.program(role)
		before := must(w.store.Users(t.Context()))
		for what, r := range map[string]answer{
			"another role, by form":  eve.do("POST", "/users/"+u.ID+"/role", url.Values{"role": {"admin"}}),
			"another role, by API":   eve.do("PATCH", "/api/users/"+u.ID, `{"role":"admin"}`),
			"another role, by token": program.do("PATCH", "/api/users/"+u.ID, `{"role":"admin"}`),
			"a new person":           program.do("POST", "/api/users", `{"name":"mallory","role":"admin"}`),
			"a link for somebody":    program.do("POST", "/api/users/"+before[0].ID+"/password-link", nil),
			"a token":                program.do("POST", "/api/tokens", `{"name":"x","role":"admin"}`),
			"a token, by form":       eve.do("POST", "/tokens/new", url.Values{"name": {"x"}, "role": {"admin"}, "days": {"0"}}),
			"a consumer":             program.do("POST", "/api/consumers", `{"name":"x","commands":true}`),
			"a keeper": program.do("PATCH", "/api/repositories/"+string(g.Repository),
				`{"keeper":"`+string(attic.id)+`"}`),
			"a source group": program.do("PUT", "/api/hosts/"+string(attic.id)+"/source-groups/x",
				`{"repository":"`+string(g.Repository)+`","paths":["/x"]}`),
			"a schedule":       program.do("PUT", "/api/hosts/"+string(attic.id)+"/schedules/x", `{"cron":"* * * * *","source_groups":["letters"]}`),
			"an emergency kit": eve.do("GET", "/repositories/"+string(g.Repository)+"/kit", nil),
			"a host":           program.do("POST", "/api/hosts/"+string(attic.id)+"/enroll-tokens", nil),
		} {
			if r.StatusCode != 403 {
				t.Errorf("%s by a %s: %s %.500s", what, role, r.Status, r.text)
			}
		}
		// What is theirs to change says nothing of their role, whatever it is sent along with.
		eve.do("POST", "/account/zone", url.Values{"zone": {"server"}, "role": {"admin"}})
		eve.do("POST", "/account/password", url.Values{"role": {"admin"}, "password": {"a much longer passphrase"}})
		if is := must(w.store.User(t.Context(), u.ID)); is.Role != role {
			t.Errorf("a %s is a %s now", role, is.Role)
		}
	}
	if tokens := must(w.store.APITokens(t.Context())); len(tokens) != 3 {
		t.Errorf("%d tokens, want the three of the test", len(tokens))
	}
}
