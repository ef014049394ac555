package web

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Every address of a job takes a beginning of its ID; more than one that fits is a
// conflict that names them.
func TestAJobIsMeantByABeginningOfItsID(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	ids := []topics.JobID{"06h2760t37ipii0cle2oi7vlig", "06h2760t99ipii0cle2oaaaaaa"}
	for i, id := range ids {
		kind := []topics.JobKind{topics.StatsJob, topics.KeyJob}[i]
		j := store.Job{ID: id, Host: attic.id, Kind: kind, Repository: g.Repository, NotAfter: time.Now().Add(time.Hour).UnixMilli()}
		if _, _, err := w.store.Ask(t.Context(), "test", j); err != nil {
			t.Fatal(err)
		}
	}
	c, p := w.person(store.Operator), w.program(store.Operator)
	for _, part := range []string{"", "/log", "/report"} {
		if r := p.do("GET", "/api/jobs/06h2760t3"+part, nil); r.StatusCode != 200 || part == "" && !strings.Contains(r.text, string(ids[0])) {
			t.Errorf("%s by a beginning: %s %s", part, r.Status, r.text)
		}
		if r := p.do("GET", "/api/jobs/06h2760t"+part, nil); r.StatusCode != 409 || !strings.Contains(r.text, string(ids[0])) ||
			!strings.Contains(r.text, string(ids[1])) {
			t.Errorf("%s that two have: %s %s", part, r.Status, r.text)
		}
		if r := p.do("GET", "/api/jobs/zzz"+part, nil); r.StatusCode != 404 {
			t.Errorf("%s that none has: %s", part, r.Status)
		}
	}
	whole := "/jobs/" + string(ids[0])
	if r := c.do("GET", "/jobs/06h2760t3", nil); r.StatusCode != 303 || r.Header.Get("Location") != whole {
		t.Errorf("a page by a beginning: %s to %q", r.Status, r.Header.Get("Location"))
	}
	if r := c.do("GET", "/jobs/06h2760t", nil); r.StatusCode != 409 || !strings.Contains(r.text, string(ids[1])) {
		t.Errorf("a page that two could be: %s", r.Status)
	}
	c.shows(whole, "06h2760t…2oi7vlig")
	if r := p.do("POST", "/api/jobs/06h2760t9/cancel", nil); r.StatusCode != 202 || !strings.Contains(r.text, string(ids[1])) {
		t.Errorf("cancel: %s %s", r.Status, r.text)
	}
	if r := c.do("POST", "/jobs/06h2760t3/cancel", nil); r.StatusCode != 303 || r.Header.Get("Location") != whole {
		t.Errorf("cancel by page: %s to %q", r.Status, r.Header.Get("Location"))
	}
}
