package web

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
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
	r := c.do("POST", repository+"/edit", url.Values{"name": {"vault"}, "backend": {"local"}, "url": {"/srv/vault"}, "keeper": {"web-007"}})
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
