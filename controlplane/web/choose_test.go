package web

import (
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// In a large fleet no page lists every host: some are suggested, and any other is
// found by a part of its name, without JavaScript too.
func TestHostsOfALargeFleetAreFoundByName(t *testing.T) {
	w := newWorld(t)
	var agents []*agent
	for n := range views.MostRunners + 10 {
		agents = append(agents, w.enrol(fmt.Sprintf("web-%03d", n)))
	}
	last := agents[len(agents)-1]
	g := last.group("letters")
	c := w.person(store.Admin)
	repository := views.RepositoryURL(string(g.Repository))
	for _, path := range []string{repository, repository + "/edit", "/repositories/new"} {
		text := c.do("GET", path, nil).text
		if n := strings.Count(text, `<option value="web-`); n == 0 || n%views.MostRunners != 0 ||
			strings.Contains(text, `<option value="`+string(agents[0].id)+`"`) {
			t.Errorf("%s suggests %d hosts, not %d at a time", path, n, views.MostRunners)
		}
	}
	if text := c.do("GET", "/hosts/choose?host=WEB-059", nil).text; strings.Count(text, "<option") != 1 || !strings.Contains(text, "web-059") {
		t.Errorf("what is suggested: %s", text)
	}
	for text, want := range map[string]int{"web-059": 303, "b-059": 303, string(last.id): 303, "web-05": 422, "nobody": 404} {
		r := c.do("POST", repository+"/run", url.Values{"kind": {"check"}, "host": {text}})
		if r.StatusCode != want {
			t.Errorf("a check by %q: %s, want %d", text, r.Status, want)
		}
		for _, j := range must(w.store.OpenJobs(t.Context(), "")) {
			if j.Host != last.id {
				t.Errorf("%q is taken for another host", text)
			}
		}
	}
	r := c.do("POST", repository+"/edit", url.Values{"name": {"vault"}, "backend": {"local"}, "local.path": {"/srv/vault"},
		"keeper": {"web-007"}})
	if row := must(w.store.Repository(t.Context(), g.Repository)); r.StatusCode != 303 || row.Keeper != agents[7].id {
		t.Errorf("the keeper is %q: %s %s", row.Keeper, r.Status, r.text)
	}
}

func TestAScheduleOfALargeFleetFindsItsHost(t *testing.T) {
	w := newWorld(t)
	for n := range views.PageSize + 3 {
		w.enrol(fmt.Sprintf("web-%03d", n)).group("letters")
	}
	c := w.person(store.Admin)
	text := c.do("GET", "/schedules/new", nil).text
	if n := strings.Count(text, `<a class="mi" href="/hosts/`); n != views.PageSize || !strings.Contains(text, "50 of 53 hosts") {
		t.Errorf("the page lists %d hosts", n)
	}
	if text := c.do("GET", "/schedules/new?q=WEB-052", nil).text; !strings.Contains(text, "web-052") || strings.Contains(text, "web-051") {
		t.Error("a host is not found by its name")
	}
}

// Where there are many repositories no form lists them all: a name is typed, and a part
// of it is enough, without JavaScript too.
func TestRepositoriesOfALargeFleetAreFoundByName(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	for n := range views.MostRunners + 10 {
		name := fmt.Sprintf("vault-%03d", n)
		id := topics.RepositoryID(topics.NewID(time.Now()))
		if err := w.store.AddRepository(t.Context(), "test", store.Repository{ID: id, Name: name, Location: "/srv/" + name},
			store.RepositoryAccess{URL: topics.Secret("/srv/" + name), Password: "secret"}); err != nil {
			t.Fatal(err)
		}
	}
	own := must(w.store.Repository(t.Context(), g.Repository))
	c := w.person(store.Admin)
	at := "/hosts/" + string(attic.id)
	for path, preset := range map[string]string{
		at + "/operations":                 own.Name,
		at + "/source-groups/new":          "",
		at + "/source-groups/letters/edit": own.Name,
	} {
		text := c.do("GET", path, nil).text
		n := strings.Count(text, `<option value="vault-`)
		if n == 0 || strings.Contains(text, "vault-059") || !strings.Contains(text, `name="repository" value="`+preset+`"`) {
			t.Errorf("%s suggests %d repositories", path, n)
		}
	}
	text := c.do("GET", "/repositories/choose?repository=VAULT-059", nil).text
	if strings.Count(text, "<option") != 1 || !strings.Contains(text, "vault-059") {
		t.Errorf("what is suggested: %s", text)
	}
	for text, want := range map[string]int{"vault-059": 303, "t-059": 303, "vault-05": 422} {
		r := c.do("POST", at+"/source-groups/letters/edit", url.Values{"repository": {text}, "paths": {"/srv"}})
		if is := must(w.store.SourceGroupNamed(t.Context(), attic.id, "letters")); r.StatusCode != want ||
			want == 303 && must(w.store.Repository(t.Context(), is.Repository)).Name != "vault-059" {
			t.Errorf("a group into %q: %s, want %d", text, r.Status, want)
		}
		if r := c.do("POST", at+"/run/stats", url.Values{"repository": {text}}); r.StatusCode != want {
			t.Errorf("a job on %q: %s, want %d: %s", text, r.Status, want, r.text)
		}
	}
	if r := c.do("POST", at+"/source-groups/new", url.Values{"name": {"photos"}, "repository": {""}, "paths": {"/srv"},
		"repository_name": {"cellar"},
		"repository_url":  {"/srv/cellar"}, "repository_password": {"secret of the cellar"}}); r.StatusCode != 303 {
		t.Errorf("a group into a new repository: %s %s", r.Status, r.text)
	}
	kits := c.do("GET", "/settings", nil).text
	listed := func(text string) int {
		return strings.Count(text, "/kit\"") - strings.Count(text, `"/repositories/kit"`)
	} // the last is all of them
	if n := listed(kits); n != views.PageSize || !strings.Contains(kits, "/settings?page=2#kits") {
		t.Errorf("settings list %d kits", n)
	}
	if n := listed(c.do("GET", "/settings?page=2", nil).text); n != 12 {
		t.Errorf("the second page of settings lists %d kits, want 12", n)
	}
}

// Whoever types a few letters is led to hosts, repositories, pages and what can be done with
// them, as far as their role goes: as a page, and as the list of the dialog.
func TestThePaletteLeadsWhereARoleMayGo(t *testing.T) {
	w := newWorld(t)
	var hosts []string
	for n := range 30 {
		a := w.enrol(fmt.Sprintf("web-%d", n))
		hosts = append(hosts, string(a.id))
	}
	attic := w.enrol("attic")
	g := attic.group("letters")
	vault := string(g.Repository)
	name := must(w.store.Repository(t.Context(), g.Repository)).Name
	link := func(url string) string { return `href="` + html.EscapeString(url) + `"` }
	restore := func(host string) string { return link(views.RestoreNewURL("", "", host, "")) }
	for _, c := range []struct {
		role store.Role
		text string
		has  []string // links, in their order
		not  []string
	}{
		{store.Operator, "", []string{link("/restore/new"), link("/search"), link("/versions"), link("/jobs")}, []string{link("/users")}},
		{store.Viewer, "", []string{link("/"), link("/jobs")}, []string{link("/restore/new"), link("/search"), link("/versions")}},
		{store.Admin, "", []string{link("/restore/new"), link("/hosts/new")}, nil},
		{store.Operator, "ATTIC", []string{link("/hosts/" + string(attic.id)), restore(string(attic.id)),
			link(views.SearchURL("", string(attic.id))), link(views.VersionsFormURL("", string(attic.id), ""))}, []string{restore(hosts[1])}},
		{store.Viewer, "attic", []string{link("/hosts/" + string(attic.id))}, []string{"/restore/new", "/search", "/versions"}},
		{store.Operator, "web-1", []string{link("/hosts/" + hosts[1]), restore(hosts[1])}, []string{link("/hosts/" + hosts[2])}},
		{store.Operator, "restore files of web-2", []string{restore(hosts[2])}, []string{restore(hosts[1]), link("/hosts/" + hosts[2])}},
		{store.Viewer, "restore web-2", nil, []string{"/restore/new"}},
		{store.Operator, "open web-2", []string{link("/hosts/" + hosts[2])}, []string{restore(hosts[2])}},
		{store.Operator, "vers of attic", []string{link(views.VersionsFormURL("", string(attic.id), ""))}, nil},
		{store.Operator, name, []string{link("/repositories/" + vault), link(views.RestoreNewURL(vault, "", "", ""))}, nil},
		{store.Operator, "restore from " + name, []string{link(views.RestoreNewURL(vault, "", "", ""))}, nil},
		{store.Operator, `C:\Users\anna`, []string{link(views.RestoreNewURL("", "", "", "/C/Users/anna")),
			link(views.VersionsFormURL("", "", `C:\Users\anna`)), link(views.PatternURL(`C:\Users\anna`))}, nil},
		{store.Operator, "letter.txt", []string{link(views.PatternURL("letter.txt"))}, []string{restore(string(attic.id))}},
		{store.Viewer, "nothing of the kind", nil, []string{`<a class="mi"`}},
	} {
		t.Run(string(c.role)+" "+c.text, func(t *testing.T) {
			who := w.person(c.role)
			address := "/go?" + url.Values{"q": {c.text}}.Encode()
			page, part := who.do("GET", address, nil), who.do("GET", address, nil, "HX-Request", "true")
			if page.StatusCode != 200 || part.StatusCode != 200 || !strings.HasPrefix(part.text, `<div class="cmdk-list" id="palette-list"`) {
				t.Fatalf("%s, %s: %.200s", page.Status, part.Status, part.text)
			}
			_, main, _ := strings.Cut(page.text, "<main")
			main, _, _ = strings.Cut(main, "</main>")
			for what, text := range map[string]string{"page": main, "dialog": part.text} {
				if n := strings.Count(text, `<a class="mi"`); n > 20 {
					t.Errorf("the %s lists %d", what, n)
				}
				rest := text
				for _, want := range c.has {
					_, behind, found := strings.Cut(rest, want)
					if !found {
						t.Errorf("the %s lacks %s at its place in %s", what, want, text)
					}
					rest = behind
				}
				for _, bad := range c.not {
					if strings.Contains(text, bad) {
						t.Errorf("the %s offers %s", what, bad)
					}
				}
			}
		})
	}
}
