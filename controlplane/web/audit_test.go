package web

import (
	"database/sql"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/pages"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestTheAuditPageSaysWhoDidWhat(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	c := w.person(store.Admin)
	if r := c.do("POST", "/hosts/"+string(attic.id)+"/run/backup", nil); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("run: %s", r.Status)
	}
	page := c.do("GET", "/audit", nil)
	for _, want := range []string{"Asked for the", "backup of attic", "Enrolled the host", "Saved the source group", "127.0.0.1",
		"Chain verified", "/audit/export.csv"} {
		if !strings.Contains(page.text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for query, want := range map[string]int{
		"":                        1,
		"?who=people":             1,
		"?who=tokens":             0,
		"?action=job":             1,
		"?action=job.queued":      1,
		"?action=user":            0,
		"?q=ATTIC":                0,
		"?q=queued":               1,
		"?target=" + string(g.ID): 0,
		"?from=" + time.Now().Format(time.DateOnly):                 1,
		"?to=" + time.Now().AddDate(0, 0, -1).Format(time.DateOnly): 0,
		"?from=nonsense":        1,
		"?q=%22%3E%3Cscript%3E": 0,
	} {
		r := c.do("GET", "/audit"+query, nil)
		if got := strings.Count(r.text, "Asked for the"); r.StatusCode != 200 || got != want {
			t.Errorf("%s: %s, %d jobs asked for, want %d", query, r.Status, got, want)
		}
	}
	if r := c.do("GET", "/audit?q=attic", nil); !strings.Contains(r.text, "Enrolled the host") {
		t.Error("what was done to a host is not found by its name")
	}
	if r := c.do("GET", "/audit?from=nonsense", nil); !strings.Contains(r.text, "A day is written as 2026-11-20.") {
		t.Error("a day that is none is not named")
	}
	// Who may not see it is not shown it, and not where it is.
	for _, role := range []store.Role{store.Viewer, store.Operator, store.Restorer} {
		p := w.person(role)
		for _, path := range []string{"/audit", "/audit/export.csv", "/events?view=audit", "/api/audit"} {
			if r := p.do("GET", path, nil); r.StatusCode != http.StatusForbidden {
				t.Errorf("GET %s as %s: %s", path, role, r.Status)
			}
		}
		if r := p.do("GET", "/", nil); strings.Contains(r.text, "/audit") {
			t.Errorf("the navigation of a %s names the audit log", role)
		}
	}
}

func TestAuditEntriesComeInPagesAndNewOnesAreAnnounced(t *testing.T) {
	w := newWorld(t)
	c := w.person(store.Admin)
	for i := range 120 {
		if err := w.store.Audit(t.Context(), "anna", "schedule.saved", fmt.Sprintf("s-%08d", i), fmt.Sprintf("schedule %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	path := "/audit?action=schedule"
	first := ""
	for pages := 0; path != "" && pages < 5; pages++ {
		r := c.do("GET", path, nil)
		if first == "" {
			first = r.text
		}
		if !strings.Contains(r.text, " of 120 entries") {
			t.Errorf("page %d does not say how many there are", pages)
		}
		for _, part := range strings.Split(r.text, `id="entry-`)[1:] {
			n, _, _ := strings.Cut(part, `"`)
			seen = append(seen, n)
		}
		path = ""
		if _, after, ok := strings.Cut(r.text, `rel="next"`); ok {
			before := r.text[:len(r.text)-len(after)]
			i := strings.LastIndex(before, `href="`)
			path, _, _ = strings.Cut(before[i+6:], `"`)
			path = strings.ReplaceAll(path, "&amp;", "&")
		}
	}
	if len(seen) != 120 || seen[0] == seen[119] {
		t.Errorf("%d entries on all pages", len(seen))
	}
	for i := 1; i < len(seen); i++ {
		if len(seen[i]) > len(seen[i-1]) || len(seen[i]) == len(seen[i-1]) && seen[i] >= seen[i-1] {
			t.Fatalf("entry %s comes after %s", seen[i], seen[i-1])
		}
	}
	stream := streamOf(first)
	if stream == "" {
		t.Fatal("the page has no stream")
	}
	f := c.feed(stream)
	for i := range 3 {
		if err := w.store.Audit(t.Context(), "anna", "schedule.saved", "s-9", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.store.Audit(t.Context(), "anna", "user.created", "u-9", "not meant"); err != nil {
		t.Fatal(err)
	}
	if m := f.until("3 new"); !strings.Contains(m.data, `href="/audit?action=schedule"`) {
		t.Errorf("the way to them is lost: %s", m.data)
	}
}

func TestABrokenChainIsShownAtItsFirstBadEntry(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	w := newWorld(t, func(c *base.Config) { c.Store = must(store.Open(t.Context(), dir, "")) })
	t.Cleanup(func() { _ = w.web.Store.Close() })
	s := w.web.Store
	u := store.User{ID: topics.NewID(time.Now()), Name: "anna", Role: store.Admin}
	if err := s.AddUser(t.Context(), "test", u); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := s.Audit(t.Context(), "anna", "schedule.saved", fmt.Sprint(i), ""); err != nil {
			t.Fatal(err)
		}
	}
	c := w.nobody()
	c.do("GET", must(w.web.SignInLink(t.Context(), u.ID)), nil)
	if r := c.do("GET", "/audit", nil); !strings.Contains(r.text, "Chain verified") {
		t.Fatal("the chain is not verified")
	}
	raw := must(sql.Open("sqlite", "file:"+filepath.Join(dir, "restic-manager.db")+"?_pragma=busy_timeout(5000)"))
	defer raw.Close()
	for _, statement := range []string{`DROP TRIGGER audit_keeps_update`, `UPDATE audit SET actor = 'eve' WHERE n = 3`} {
		if _, err := raw.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if r := c.do("POST", "/audit/verify", nil); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("verify: %s", r.Status)
	}
	for range 2 {
		r := c.do("GET", "/audit", nil)
		if !strings.Contains(r.text, "The audit log is broken at entry 3") || !strings.Contains(r.text, "note-fail") ||
			strings.Contains(r.text, "Chain verified") {
			t.Error("the page does not say that entry 3 is bad")
		}
	}
	if !strings.Contains(w.log.String(), "msg=\"audit log is broken\"") {
		t.Error("the log does not say so")
	}
	if _, err := raw.Exec(`UPDATE audit SET actor = 'anna' WHERE n = 3`); err != nil {
		t.Fatal(err)
	}
	c.do("POST", "/audit/verify", nil)
	if r := c.do("GET", "/audit", nil); !strings.Contains(r.text, "Chain verified") {
		t.Error("the page does not say that all is well again")
	}
	w.log.clear() // an error was asked for
}

func (l *lockedBuffer) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

// TestTheAuditLogSaysWhoCameInAndWhoDidNot also types a password where the name
// belongs: that must not be in the log for ever.
func TestTheAuditLogSaysWhoCameInAndWhoDidNot(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	w := newWorld(t, func(c *base.Config) {
		c.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		}
	})
	ada := w.known("ada", store.Admin)
	const typed = "my secret, in the wrong field"
	try := func(name, secret string) *client {
		w.web.Sessions.Tries = session.NewLimiter(time.Now)
		c := w.nobody()
		c.do("POST", "/login", url.Values{"name": {name}, "password": {secret}})
		return c
	}
	newest := func(action string) (e store.AuditEntry) {
		for _, e := range must(w.store.AuditEntries(t.Context(), store.AuditFilter{Action: action}, 1)) {
			return e
		}
		return e
	}
	c := try("ada", passphrase)
	if e := newest("session.began"); e.Actor != "ada" || e.Detail != "ada" || e.Remote != "127.0.0.1" {
		t.Errorf("of a sign-in it says %+v", e)
	}
	c.do("POST", "/account/password", url.Values{"old": {"a guess"}, "password": {passphrase}, "again": {passphrase}})
	if e := newest("user.password_refused"); e.Target != ada.ID || e.Detail != "ada" {
		t.Errorf("of a guess at the old password it says %+v", e)
	}
	if page := c.do("GET", "/audit", nil).text; !strings.Contains(page, "Signed in as") {
		t.Error("the page does not show the sign-in")
	}
	c.do("POST", "/logout", nil)
	if e := newest("session.ended"); e.Actor != "ada" || e.Detail != "ada" {
		t.Errorf("of signing out it says %+v", e)
	}
	try("ada", "wrong")
	if e := newest("session.refused"); e.Actor != "plane" || e.Target != ada.ID || e.Detail != "ada" || e.Remote != "127.0.0.1" {
		t.Errorf("of a wrong password it says %+v", e)
	}
	try(typed, "wrong")
	if e := newest("session.refused"); e.Target != "" || e.Detail != "somebody who is not known here" {
		t.Errorf("of an unknown name it says %+v", e)
	}
	if n := must(w.store.AuditCount(t.Context(), store.AuditFilter{Text: typed})); n != 0 {
		t.Errorf("what was typed stands in %d entries", n)
	}
	for range 100 {
		try("bob", "wrong")
	}
	if n := must(w.store.AuditCount(t.Context(), store.AuditFilter{Action: "session.refused"})); n > 60 {
		t.Errorf("a storm leaves %d entries", n)
	}
	mu.Lock()
	now = now.Add(10 * time.Second)
	mu.Unlock()
	try("ada", "wrong")
	if e := newest("session.refused"); e.Detail != "ada; 43 refusals before it are not in this log" {
		t.Errorf("after a storm it says %q", e.Detail)
	}
}

func TestAnExportIsNoFormula(t *testing.T) {
	w := newWorld(t)
	c := w.person(store.Admin)
	hostile := []string{`=cmd|' /C calc'!A0`, `+1+1`, `-2+3`, `@SUM(1)`, "\t=1+1", " =1+1", "\r\n=1+1", `"=1+1`, "\u202e=1+1", "＝1+1",
		"\u00a0=1+1", "\ufeff=1+1", "a,b\"c\nd", `'=1`, "harmless"}
	for _, h := range hostile {
		if err := w.store.Audit(t.Context(), h, "schedule.saved", h, h); err != nil {
			t.Fatal(err)
		}
	}
	r := c.do("GET", "/audit/export.csv?action=schedule", nil)
	if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Disposition"), "attachment") ||
		r.Header.Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Fatalf("%s, %v", r.Status, r.Header)
	}
	rows := must(csv.NewReader(strings.NewReader(r.text)).ReadAll())
	if len(rows) != len(hostile)+1 || strings.Count(r.text, "\n") != len(rows) {
		t.Fatalf("%d rows on %d lines", len(rows), strings.Count(r.text, "\n"))
	}
	for i, row := range rows[1:] {
		for _, cell := range []string{row[2], row[4], row[6]} {
			bare := strings.TrimLeft(cell, " \t\u00a0\ufeff\"")
			if bare != "" && strings.ContainsAny(bare[:1], "=+-@") || strings.HasPrefix(bare, "＝") || strings.ContainsAny(cell, "\t\r\n\u202e") {
				t.Errorf("%q becomes the cell %q", hostile[len(hostile)-1-i], cell)
			}
		}
	}
	if rows[1][4] != "harmless" {
		t.Errorf("what is harmless becomes %q", rows[1][4])
	}
	// More than one chunk, all of it.
	for range pages.ExportChunk {
		if err := w.store.Audit(t.Context(), "anna", "log.removed", "", ""); err != nil {
			t.Fatal(err)
		}
	}
	if rows := must(csv.NewReader(strings.NewReader(c.do("GET", "/audit/export.csv", nil).text)).ReadAll()); len(rows)-1 != must(
		w.store.AuditCount(t.Context(), store.AuditFilter{})) {
		t.Errorf("%d rows of %d entries", len(rows)-1, must(w.store.AuditCount(t.Context(), store.AuditFilter{})))
	}
}

func TestTheAPIListsTheAuditLog(t *testing.T) {
	w := newWorld(t)
	c := w.program(store.Admin)
	for i := range 5 {
		if err := w.store.Audit(t.Context(), "anna", "schedule.saved", fmt.Sprint("s", i), ""); err != nil {
			t.Fatal(err)
		}
	}
	type entry struct {
		N      int64  `json:"n"`
		Actor  string `json:"actor"`
		Target string `json:"target"`
		Hash   string `json:"hash"`
	}
	var first, second []entry
	c.do("GET", "/api/audit?action=schedule&limit=3", nil).json(t, &first)
	if len(first) != 3 || first[0].Target != "s4" || len(first[0].Hash) != 64 {
		t.Fatalf("the first page: %v", first)
	}
	c.do("GET", fmt.Sprintf("/api/audit?action=schedule&limit=3&before=%d", first[2].N), nil).json(t, &second)
	if len(second) != 2 || second[0].Target != "s1" {
		t.Errorf("the second page: %v", second)
	}
	if r := c.do("GET", "/api/audit?action=nothing", nil); r.text != "[]\n" {
		t.Errorf("nothing is %q", r.text)
	}
	for _, bad := range []string{"?limit=0", "?from=x", "?who=kings", "?before=0"} {
		if r := c.do("GET", "/api/audit"+bad, nil); r.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %s", bad, r.Status)
		}
	}
}

func TestAKitIsForAdministratorsAndLeavesATrace(t *testing.T) {
	w := newWorld(t)
	g := w.enrol("attic").group("letters")
	path := "/repositories/" + string(g.Repository) + "/kit"
	kits := func() int {
		return must(w.store.AuditCount(t.Context(), store.AuditFilter{Action: "repository.kit_shown"}))
	}
	for _, role := range []store.Role{store.Viewer, store.Operator, store.Restorer} {
		p := w.person(role)
		if r := p.do("GET", path, nil); r.StatusCode != http.StatusForbidden || strings.Contains(r.text, "secret of the vault") {
			t.Errorf("as %s: %s", role, r.Status)
		}
		if r := p.do("GET", "/settings", nil); strings.Contains(r.text, "/kit") {
			t.Errorf("the settings of a %s lead to kits", role)
		}
	}
	c := w.person(store.Admin)
	if r := c.do("HEAD", path, nil); r.StatusCode != 200 || kits() != 0 {
		t.Errorf("HEAD: %s, %d entries", r.Status, kits())
	}
	r := c.do("GET", path, nil)
	if r.StatusCode != 200 || !strings.Contains(r.text, "export RESTIC_PASSWORD=&#39;secret of the vault&#39;") ||
		r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s, %v: %s", r.Status, r.Header, r.text)
	}
	if kits() != 1 {
		t.Errorf("%d entries", kits())
	}
	if r := c.do("GET", "/settings", nil); !strings.Contains(r.text, path) {
		t.Error("the settings do not lead to it")
	}
	if r := c.do("GET", "/repositories/nobody-knows/kit", nil); r.StatusCode != http.StatusNotFound || kits() != 1 {
		t.Errorf("an unknown one: %s, %d entries", r.Status, kits())
	}
}

// The kits of a host and of all repositories are as secret as one, leave an entry for each
// repository, and say when they were shown before.
func TestKitsOfAHostAndOfAllLeaveATraceForEachRepository(t *testing.T) {
	w := newWorld(t)
	attic, barn := w.enrol("attic"), w.enrol("barn")
	near, far := attic.group("letters"), barn.group("photos")
	entries := func(action, target string) int {
		return must(w.store.AuditCount(t.Context(), store.AuditFilter{Action: action, Target: target}))
	}
	count := func() [4]int {
		return [4]int{entries("repository.kit_shown", string(near.Repository)), entries("repository.kit_shown", string(far.Repository)),
			entries("host.kit_shown", string(attic.id)), entries("repository.kits_shown", "")}
	}
	host, all := "/hosts/"+string(attic.id)+"/kit", "/repositories/kit"
	for _, role := range []store.Role{store.Viewer, store.Operator, store.Restorer} {
		p := w.person(role)
		for _, path := range []string{host, all} {
			if r := p.do("GET", path, nil); r.StatusCode != http.StatusForbidden || strings.Contains(r.text, "secret of the vault") {
				t.Errorf("%s as %s: %s", path, role, r.Status)
			}
		}
		if text := p.shows("/hosts/" + string(attic.id)); strings.Contains(text, host) {
			t.Errorf("the page of the host leads a %s to its kit", role)
		}
	}
	c := w.person(store.Admin)
	c.do("HEAD", all, nil)
	if got := count(); got != [4]int{} {
		t.Errorf("entries of those who saw nothing: %v", got)
	}
	c.shows("/settings", "All repositories", all, "Never printed.")
	c.shows("/hosts/"+string(attic.id), host)
	if r := c.do("GET", host, nil); r.StatusCode != 200 || r.Header.Get("Cache-Control") != "no-store" ||
		!strings.Contains(r.text, "It was never shown before.") || strings.Count(r.text, "export RESTIC_PASSWORD=") != 1 ||
		!strings.Contains(r.text, "latest --host &#39;host&#39;") {
		t.Errorf("the host's: %s, %v: %s", r.Status, r.Header, r.text)
	}
	if got := count(); got != [4]int{1, 0, 1, 0} {
		t.Errorf("entries after the host's: %v", got)
	}
	r := c.do("GET", all, nil)
	if r.StatusCode != 200 || r.Header.Get("Cache-Control") != "no-store" || strings.Count(r.text, "export RESTIC_PASSWORD=") != 2 {
		t.Errorf("all: %s, %v: %s", r.Status, r.Header, r.text)
	}
	if got := count(); got != [4]int{2, 1, 1, 1} {
		t.Errorf("entries after all: %v", got)
	}
	c.shows(host, "Last printed", "by ")
	if text := c.shows("/settings", "Last printed"); strings.Contains(text, "Never printed.") {
		t.Error("the settings do not say that all were printed")
	}
	if r := c.do("GET", "/hosts/nobody/kit", nil); r.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown host: %s", r.Status)
	}
}
