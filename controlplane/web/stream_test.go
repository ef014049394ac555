package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/web/api"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/jobpages"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// running is a world with one host whose backup runs.
func running(t *testing.T, change ...func(*base.Config)) (*world, *agent, topics.JobID) {
	w := newWorld(t, change...)
	attic := w.enrol("attic")
	attic.group("letters")
	id := w.backup(attic)
	attic.connect()
	attic.start(id)
	return w, attic, id
}

var lineNumber = regexp.MustCompile(`<div class="ln [^>]* data-n="(\d+)"`)

func numbers(html string) (out []int) {
	for _, m := range lineNumber.FindAllStringSubmatch(html, -1) {
		out = append(out, must(strconv.Atoi(m[1])))
	}
	return out
}

// continuous reports whether numbers go on from a number by one each.
func continuous(from int, got []int) bool {
	for i, n := range got {
		if n != from+1+i {
			return false
		}
	}
	return true
}

var streamURL = regexp.MustCompile(`hx-sse:connect="([^"]+)"`)

// streamOf is the address of a page's stream, "" if it has none.
func streamOf(page string) string {
	if m := streamURL.FindStringSubmatch(page); m != nil {
		return strings.ReplaceAll(m[1], "&amp;", "&")
	}
	return ""
}

func TestAJobsPageAndItsStreamHaveEveryLineOnce(t *testing.T) {
	w, attic, id := running(t)
	attic.logs(id, 1, 40)
	c := w.person(store.Viewer)
	await(t, "the first lines", func() error {
		if j := must(w.store.Job(t.Context(), id)); j.Lines < 40 {
			return fmt.Errorf("there are %d", j.Lines)
		}
		return nil
	})
	page := c.do("GET", "/jobs/"+string(id), nil)
	seen := numbers(page.text)
	if len(seen) != 40 || !continuous(0, seen) {
		t.Fatalf("the page has lines %v", seen)
	}
	stream := streamOf(page.text)
	if stream != "/events?view=job&id="+string(id)+"&after=40" {
		t.Fatalf("the page's stream is %q", stream)
	}
	attic.logs(id, 41, 60) // between the page and its stream
	const last = 1500
	said := make(chan bool)
	go func() {
		defer close(said)
		for n := 61; n <= last; n += 20 {
			attic.logs(id, n, min(n+19, last))
		}
	}()
	lastID := ""
	for drops := 0; len(seen) < last; drops++ {
		var headers []string
		if lastID != "" {
			headers = []string{"Last-Event-ID", lastID}
		}
		f := c.feed(stream, headers...)
		for i := 0; len(seen) < last && (i < 3 || drops > 4); i++ { // dropped in the middle, five times
			m, ok := f.next()
			if !ok {
				t.Fatal("the stream ended")
			}
			if m.id != "" {
				lastID = m.id
			}
			got := numbers(m.data)
			if len(got) > 0 && lastID != strconv.Itoa(got[len(got)-1]) {
				t.Errorf("a message with lines up to %d has the id %s", got[len(got)-1], lastID)
			}
			seen = append(seen, got...)
		}
		_ = f.body.Close()
	}
	<-said
	if !continuous(0, seen) {
		t.Errorf("lines are missing or doubled: %v", seen)
	}
	f := c.feed(stream, "Last-Event-ID", lastID)
	f.until("job-header")
	attic.logs(id, last+1, last+1)
	attic.finish(id, topics.Finished{State: topics.Succeeded, Lines: last + 1, Summary: &topics.Summary{TotalBytes: 1 << 20, TotalFiles: 3}})
	end := f.until("Succeeded")
	for _, part := range []string{"job-header", "job-figures", "progress", "announce", "job-timeline", "job-facts"} {
		if !strings.Contains(end.data, `hx-target="#`+part+`"`) {
			t.Errorf("the last message leaves %s as it was", part)
		}
	}
	for {
		m, ok := f.next()
		if !ok {
			t.Fatal("the stream was not ended in words")
		}
		if m.event == "end" {
			break
		}
	}
	if _, ok := f.next(); ok {
		t.Error("the stream goes on after its end")
	}
	if s := streamOf(c.do("GET", "/jobs/"+string(id), nil).text); s != "" {
		t.Errorf("the page of an ended job has the stream %s", s)
	}
}

func TestAJobThatEndedWhileNobodyListenedIsToldWhole(t *testing.T) {
	w, attic, id := running(t)
	attic.logs(id, 1, 700)
	attic.finish(id, topics.Finished{State: topics.Failed, Cause: topics.CauseLocked, Message: "locked", Lines: 700})
	f := w.person(store.Viewer).feed("/events?view=job&id=" + string(id) + "&after=10")
	var seen []int
	for ended := false; !ended; {
		m, ok := f.next()
		if !ok {
			t.Fatal("no end")
		}
		seen, ended = append(seen, numbers(m.data)...), m.event == "end"
	}
	if len(seen) != 690 || !continuous(10, seen) {
		t.Errorf("%d lines", len(seen))
	}
}

func TestProgressIsTold(t *testing.T) {
	w, attic, id := running(t)
	c := w.person(store.Operator)
	f := c.feed("/events?view=job&id=" + string(id))
	f.until("restic is starting")
	attic.progress(id, topics.Progress{TotalFiles: 120_000, TotalBytes: 3 << 30})
	f.until("Scanning, 120,000 files")
	attic.progress(id, topics.Progress{
		Scanned:      true,
		Percent:      43.8,
		TotalFiles:   10,
		FilesDone:    4,
		TotalBytes:   1000,
		BytesDone:    438,
		Seconds:      60,
		SecondsLeft:  120,
		CurrentFiles: []string{"/letters/<1>.txt"},
	})
	m := f.until("43.8")
	for _, want := range []string{"2 min left", "/letters/&lt;1&gt;.txt", "40 per cent", "4 of 10 files"} {
		if !strings.Contains(m.data, want) {
			t.Errorf("%q is missing in %s", want, m.data)
		}
	}
	if r := c.do("POST", "/jobs/"+string(id)+"/cancel", nil, "HX-Request", "true"); r.StatusCode != 200 ||
		r.Header.Get("HX-Redirect") != "/jobs/"+string(id) {
		t.Errorf("cancel: %s", r.Status)
	}
	f.until("Cancelling")
}

func TestAnyoneWhoDoesNotReadIsLetGoAndRefilled(t *testing.T) {
	w, attic, id := running(t, func(c *base.Config) { c.Timing.Write = 100 * time.Millisecond })
	c, person := w.program(store.Viewer), w.person(store.Viewer)
	w.narrow.Store(true)
	socket := c.narrow().socket(id, 0)
	f := person.narrow().feed("/events?view=job&id=" + string(id) + "&after=0")
	w.narrow.Store(false)
	await(t, "both to follow the job", func() error {
		if n := w.hub.Watching(); n != 2 {
			return fmt.Errorf("%d do", n)
		}
		return nil
	})
	// Neither reads; the engine is not held up by it, whatever fits into the
	// connections.
	const batches, size = 100, 20
	for b := range batches {
		var l []topics.Line
		for range size {
			l = append(l, topics.Line{Level: topics.Info, Text: strings.Repeat("x", 2000)})
		}
		attic.say(topics.Event{Log: &topics.Log{Job: id, First: b*size + 1, Lines: l}})
	}
	attic.finish(id, topics.Finished{State: topics.Succeeded, Lines: batches * size})
	await(t, "the streams that nobody reads to be over", func() error {
		if n := w.serving.Load(); n > 0 {
			return fmt.Errorf("%d go on", n)
		}
		return nil
	})
	var seen []int
	last := ""
	for {
		m, ok := f.next()
		if !ok {
			break
		}
		seen = append(seen, numbers(m.data)...)
		if m.id != "" {
			last = m.id
		}
	}
	if len(seen) == batches*size {
		t.Fatal("everything fitted into the connection; this test shows nothing")
	}
	for ended := false; !ended; { // as often as it takes
		f = person.feed("/events?view=job&id="+string(id)+"&after=0", "Last-Event-ID", last)
		for m, ok := f.next(); ok && !ended; m, ok = f.next() {
			seen = append(seen, numbers(m.data)...)
			if m.id != "" {
				last = m.id
			}
			ended = m.event == "end"
		}
	}
	if len(seen) != batches*size || !continuous(0, seen) {
		t.Errorf("%d lines of %d, or not each once", len(seen), batches*size)
	}
	n := 0
	for ended := false; !ended; socket = c.socket(id, n) { // the first time, what was on its way
		for {
			e, err := socket.next()
			if err != nil {
				break
			}
			n += len(e.Lines)
			ended = ended || e.Type == "job.finished"
		}
	}
	if n != batches*size {
		t.Errorf("the socket had %d lines, want %d", n, batches*size)
	}
}

// A socket is a WebSocket that is open.
type socket struct {
	t testing.TB
	c *websocket.Conn
}

func (c *client) socket(id topics.JobID, after int) *socket {
	c.w.t.Helper()
	req := c.request("GET", "/api/jobs/"+string(id)+"/stream?after="+strconv.Itoa(after), nil)
	conn, _, err := websocket.Dial(c.w.t.Context(), req.URL.String(), &websocket.DialOptions{HTTPHeader: req.Header, HTTPClient: c.http})
	if err != nil {
		c.w.t.Fatal(err)
	}
	conn.SetReadLimit(64 << 20)
	c.w.t.Cleanup(func() { _ = conn.CloseNow() })
	return &socket{c.w.t, conn}
}

func (s *socket) next() (e api.EnvelopeJSON, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	_, b, err := s.c.Read(ctx)
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	return e, err
}

func TestASocketTellsAJobFromWhereTheClientIs(t *testing.T) {
	w, attic, id := running(t)
	attic.logs(id, 1, 30)
	for name, c := range map[string]*client{"program": w.program(store.Viewer), "person": w.person(store.Viewer)} {
		s := c.socket(id, 12)
		if e, err := s.next(); err != nil || e.Type != "job.started" || e.Job.ID != id || e.Job.State != topics.Running {
			t.Errorf("%s: first %+v, %v", name, e, err)
		}
		at := 12
		for at < 30 {
			e, err := s.next()
			if err != nil || e.Type != "log.stream" && e.Type != "job.progress" {
				t.Fatalf("%s: %+v, %v", name, e, err)
			}
			for _, l := range e.Lines {
				if l.N != at+1 || *l.Text != fmt.Sprintf("line %d", l.N) {
					t.Errorf("%s: line %d follows %d", name, l.N, at)
				}
				at = l.N
			}
		}
	}
	s := w.program(store.Viewer).socket(id, 30)
	attic.progress(id, topics.Progress{Scanned: true, Percent: 50, TotalBytes: 10, BytesDone: 5})
	for {
		e, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == "job.progress" {
			if e.Progress.Percent != 50 {
				t.Errorf("progress %+v", e.Progress)
			}
			break
		}
	}
	attic.finish(id, topics.Finished{State: topics.Succeeded, Lines: 30, Snapshot: &topics.Snapshot{ID: strings.Repeat("ab", 32)}})
	for {
		e, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == "job.finished" {
			if e.Job.State != topics.Succeeded || e.Job.SnapshotID == "" || e.Job.FinishedAt == nil {
				t.Errorf("finished %+v", e.Job)
			}
			break
		}
	}
	if _, err := s.next(); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("after the end: %v", err)
	}
}

func TestASocketIsForThisSiteOnly(t *testing.T) {
	w, _, id := running(t)
	c := w.person(store.Viewer)
	shake := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key",
		"dGhlIHNhbXBsZSBub25jZQ=="}
	path := "/api/jobs/" + string(id) + "/stream"
	for name, c := range map[string]struct {
		r      answer
		status int
	}{
		"another site":   {c.do("GET", path, nil, append(shake, "Origin", "https://evil.example")...), 403},
		"no handshake":   {c.do("GET", path, nil), 426},
		"nobody":         {w.nobody().do("GET", path, nil, shake...), 401},
		"half handshake": {c.do("GET", path, nil, shake[:4]...), 426},
	} {
		if c.r.StatusCode != c.status || c.r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %s", name, c.r.Status, c.r.text)
		}
	}
}

func TestStoppingEndsEveryStream(t *testing.T) {
	w, attic, id := running(t)
	c, p := w.person(store.Admin), w.program(store.Viewer)
	feeds := []*feed{c.feed("/events?view=fleet"), c.feed("/events?view=host&id=" + string(attic.id)),
		c.feed("/events?view=job&id=" + string(id))}
	feeds[0].until("verdict")
	feeds[1].until("host-header")
	feeds[2].until("job-header")
	s := p.socket(id, 0)
	if _, err := s.next(); err != nil {
		t.Fatal(err)
	}
	w.stop()
	for _, f := range feeds {
		for {
			if _, ok := f.next(); !ok {
				break
			}
		}
	}
	for {
		if _, err := s.next(); err != nil {
			if websocket.CloseStatus(err) != websocket.StatusGoingAway {
				t.Errorf("the socket ended with %v", err)
			}
			break
		}
	}
	if r := c.do("GET", "/events?view=fleet", nil); r.StatusCode != 503 {
		t.Errorf("a stream after the stop: %s", r.Status)
	}
}

func TestATokenThatIsGoneEndsItsSocket(t *testing.T) {
	w, _, id := running(t)
	u := store.User{ID: "user-0001", Name: "ada", Role: store.Viewer}
	if err := w.store.AddUser(t.Context(), "test", u); err != nil {
		t.Fatal(err)
	}
	c := w.nobody()
	c.do("GET", must(w.web.SignInLink(t.Context(), u.ID)), nil)
	s := c.socket(id, 0)
	if _, err := s.next(); err != nil {
		t.Fatal(err)
	}
	c.do("POST", "/logout", nil)
	for {
		if _, err := s.next(); err != nil {
			if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
				t.Errorf("the socket ended with %v", err)
			}
			return
		}
	}
}

func TestTheFleetFollowsItsHosts(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	c := w.person(store.Operator)
	page := c.do("GET", "/", nil)
	f := c.feed(streamOf(page.text))
	if m := f.until("verdict"); !strings.Contains(m.data, `hx-target="#host-`+string(attic.id)) ||
		!strings.Contains(m.data, "0 of 1 agent connected") {
		t.Errorf("the first message: %s", m.data)
	}
	attic.connect()
	f.until("Agent connected")
	r := c.do("POST", "/hosts/"+string(attic.id)+"/run/backup", url.Values{"source_group": {"letters"}}, "HX-Request", "true")
	to := r.Header.Get("HX-Redirect")
	if r.StatusCode != 200 || !strings.HasPrefix(to, "/jobs/") || r.Header.Get("Location") != "" {
		t.Fatalf("run for htmx: %s, HX-Redirect %q", r.Status, to)
	}
	if r := c.do("POST", "/hosts/"+string(attic.id)+"/run/backup", url.Values{}); r.StatusCode != 303 || r.Header.Get("Location") != to ||
		r.Header.Get("HX-Redirect") != "" {
		t.Errorf("run for everyone else: %s, Location %q, want the same job", r.Status, r.Header.Get("Location"))
	}
	id := topics.JobID(strings.TrimPrefix(to, "/jobs/"))
	attic.start(id)
	attic.progress(id, topics.Progress{Scanned: true, TotalBytes: 100, BytesDone: 25})
	f.until("25 %")
	attic.finish(id, topics.Finished{State: topics.Failed, Cause: topics.CausePassword, Message: "wrong password"})
	m := f.until("1 host needs attention")
	if !strings.Contains(m.data, "The last backup failed: the password does not open the repository.") {
		t.Errorf("it does not say why: %s", m.data)
	}
	w.enrol("cellar")
	f.until("1 new host")
	if r := c.do("POST", "/hosts/nobody-0001/run/backup", nil, "HX-Request", "true"); r.StatusCode != 404 ||
		strings.Contains(r.text, "<html") || !strings.Contains(r.text, "There is no such host") {
		t.Errorf("a form that fails in place: %s %s", r.Status, r.text)
	}
}

func TestAddHostFollowsTheHostIn(t *testing.T) {
	w := newWorld(t)
	c := w.person(store.Admin)
	if r := c.do("POST", "/hosts/new", url.Values{"name": {strings.Repeat("x", 101)}}); r.StatusCode != 422 {
		t.Errorf("a name too long: %s", r.Status)
	}
	page := c.do("POST", "/hosts/new", url.Values{"name": {"attic"}})
	token := regexp.MustCompile(`rmt1_[A-Za-z0-9_-]+`).FindString(page.text)
	if page.StatusCode != 200 || token == "" || !strings.Contains(page.text, "127.0.0.1:8883") {
		t.Fatalf("the page: %s", page.Status)
	}
	stream := streamOf(page.text)
	if strings.Contains(stream, token) {
		t.Error("the secret is in the stream's address")
	}
	f := c.feed(stream)
	f.until("Waiting for the agent")
	key := must(seal.NewKey())
	attic := w.arrive(password.HashKey(must(topics.ParseEnrollToken(token)).Key.Reveal()), topics.NewID(time.Now()), key)
	f.until("attic has its certificate")
	attic.connect()
	f.until("attic is connected")
	path := "/hosts/" + string(attic.id) + "/source-groups/new"
	form := url.Values{
		"name":                {"letters"},
		"paths":               {"/letters\r\n\r\n/photos"},
		"excludes":            {"*.tmp"},
		"repository":          {"new"},
		"repository_name":     {"vault"},
		"repository_url":      {"sftp:me@nas:/vault"},
		"repository_password": {"hush"},
	}
	bad := url.Values{
		"name":            {""},
		"paths":           {"letters"},
		"repository":      {"new"},
		"repository_url":  {"rest:https://u:topsecret@"},
		"repository_name": {"x"},
	}
	if r := c.do("POST", path, bad); r.StatusCode != 422 || !strings.Contains(r.text, "not a full path") ||
		!strings.Contains(r.text, "Give it a name") || strings.Contains(r.text, "topsecret") {
		t.Errorf("a bad form: %s", r.Status)
	}
	if r := c.do("POST", path, form); r.StatusCode != 303 || r.Header.Get("Location") != "/hosts/"+string(attic.id) {
		t.Fatalf("the form: %s %s", r.Status, r.text)
	}
	f.until("Back up now")
	g := must(w.store.SourceGroups(t.Context(), attic.id))[0]
	if len(g.Paths) != 2 || g.Paths[1] != "/photos" || len(g.Excludes) != 1 {
		t.Errorf("it was saved as %+v", g)
	}
	if r := c.do("POST", path, form); r.StatusCode != 409 || !strings.Contains(r.text, "This host has a source group of this name already.") {
		t.Errorf("the same again: %s", r.Status)
	}
	edit := "/hosts/" + string(attic.id) + "/source-groups/letters/edit"
	if r := c.do("GET", edit, nil); r.StatusCode != 200 || !strings.Contains(r.text, "/letters\n/photos") {
		t.Errorf("the form to change it: %s", r.Status)
	}
	if r := c.do("POST", edit, url.Values{"paths": {"/letters"}, "repository": {string(g.Repository)}}); r.StatusCode != 303 {
		t.Errorf("change it: %s %s", r.Status, r.text)
	}
	if g := must(w.store.SourceGroup(t.Context(), g.ID)); len(g.Paths) != 1 || len(g.Excludes) != 0 {
		t.Errorf("it was changed to %+v", g)
	}
	c.do("POST", "/hosts/"+string(attic.id)+"/run/backup", nil)
	f.until("Open the first backup")
	making := attic.asked(topics.InitJob).ID
	attic.start(making)
	attic.finish(making, topics.Finished{State: topics.Succeeded, RepositoryReady: true, Result: &topics.Result{Made: true}})
	f.until("vault is there and opens")
	job := attic.asked(topics.BackupJob).ID
	attic.start(job)
	f.until("Running, asked for by")
	attic.finish(job, topics.Finished{State: topics.Succeeded, RepositoryReady: true, Summary: &topics.Summary{TotalFiles: 1, TotalBytes: 1}})
	for {
		m, ok := f.next()
		if !ok {
			t.Fatal("the stream was not ended in words")
		}
		if m.event == "end" {
			return
		}
	}
}

// What agents dial is what somebody set, whatever name a browser or a program used.
func TestAgentsAreSentWhereSomebodySaid(t *testing.T) {
	w := newWorld(t)
	admin, program := w.person(store.Admin), w.program(store.Admin)
	forms := url.Values{"name": {""}}
	unset := admin.do("POST", "/hosts/new", forms)
	if !strings.Contains(unset.text, "Agents on other machines cannot reach this server") || !strings.Contains(unset.text, "--agents-public") {
		t.Errorf("the page without an address does not say so: %s", unset.Status)
	}
	if r := program.do("POST", "/api/enroll-tokens", map[string]any{}); !strings.Contains(r.text, `"problem":"Agents on other machines`) {
		t.Errorf("the API without an address: %s", r.text)
	}
	if r := admin.do("POST", "/settings/agents-public", url.Values{"agents_public": {"backup.example.net"}}); r.StatusCode != 303 {
		t.Fatalf("setting the address: %s", r.Status)
	}
	attic := w.enrol("attic")
	for _, page := range []string{"/hosts/new", "/hosts/" + string(attic.id) + "/enrol", "/hosts/" + string(attic.id) + "/replacement"} {
		r := admin.do("POST", page, forms)
		if r.StatusCode != 200 || !strings.Contains(r.text, "backup.example.net:8883") || strings.Contains(r.text, "127.0.0.1:8883") ||
			strings.Contains(r.text, "cannot reach this server") {
			t.Errorf("%s: %s has another address than was set", page, r.Status)
		}
	}
	for _, path := range []string{"/api/enroll-tokens", "/api/hosts/" + string(attic.id) + "/enroll-tokens"} {
		r := program.do("POST", path, map[string]any{})
		if !strings.Contains(r.text, `"server":"backup.example.net:8883"`) ||
			!strings.Contains(r.text, "--server backup.example.net:8883 --token rmt1_") {
			t.Errorf("%s: %s", path, r.text)
		}
	}
}

func TestAHostsPageFollowsIt(t *testing.T) {
	w, attic, id := running(t)
	c := w.person(store.Operator)
	page := c.do("GET", "/hosts/"+string(attic.id), nil)
	if page.StatusCode != 200 || !strings.Contains(page.text, "Open the job") {
		t.Fatalf("the page: %s", page.Status)
	}
	f := c.feed(streamOf(page.text))
	f.until("host-jobs")
	attic.finish(id, topics.Finished{
		State:    topics.Warnings,
		Cause:    topics.CauseUnreadable,
		Message:  "denied",
		Summary:  &topics.Summary{Unreadable: 14, TotalBytes: 1 << 30, TotalFiles: 9},
		Snapshot: &topics.Snapshot{ID: strings.Repeat("cd", 32), Time: time.Now().UnixMilli(), Paths: []string{"/letters"}},
	})
	// A drawing that began while the event was being stored may have only some of it.
	left := []string{"host-header", "host-problem", "host-running", "host-groups", "host-jobs", "host-snapshots"}
	told := false
	late := time.AfterFunc(time.Minute, func() { _ = f.body.Close() })
	defer late.Stop()
	for !told || len(left) > 0 {
		m, ok := f.next()
		if !ok {
			t.Fatalf("the stream ended; left as they were: %q, told of the end: %t", left, told)
		}
		told = told || strings.Contains(m.data, "some items could not be read")
		left = slices.DeleteFunc(left, func(part string) bool { return strings.Contains(m.data, `hx-target="#`+part+`"`) })
	}
}

func TestAJobsPageInEveryState(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	c := w.person(store.Operator)
	page := func(id topics.JobID) string { return c.do("GET", "/jobs/"+string(id), nil).text }
	has := func(what, text string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing", what, want)
			}
		}
	}
	id := w.backup(attic)
	has("queued", page(id), "Queued until attic connects", "Cancel job", "It has not begun")
	attic.connect()
	w.awaitState(id, topics.Dispatched)
	has("dispatched", page(id), "Waiting for the agent to answer")
	attic.start(id)
	has("running", page(id), "restic is starting", "so far", "no snapshot is made")
	if text := w.person(store.Viewer).do("GET", "/jobs/"+string(id), nil).text; strings.Contains(text, "Cancel job") {
		t.Error("a viewer is offered to cancel")
	}
	code := 3
	for _, f := range []struct {
		f     topics.Finished
		wants []string
	}{
		{topics.Finished{State: topics.Succeeded, Summary: &topics.Summary{
			FilesNew:     212,
			FilesChanged: 96,
			TotalFiles:   184_220,
			TotalBytes:   39 << 30,
			DataAdded:    88 << 20,
		}, Snapshot: &topics.Snapshot{ID: strings.Repeat("ab", 32)}},
			[]string{"Succeeded", "39.0", "184,220 files", "96 changed", "abababab", "Run again"}},
		{topics.Finished{
			State:    topics.Warnings,
			Cause:    topics.CauseUnreadable,
			ExitCode: &code,
			Message:  "open /x: denied",
		}, []string{"Some items could not be read", "open /x: denied", "3, some items could not be read"}},
		{topics.Finished{State: topics.Failed, Cause: topics.CauseDiskFull}, []string{"There is no space left", "What to do"}},
		{topics.Finished{State: topics.Cancelled, Cause: topics.CauseCancelled}, []string{"The job was cancelled"}},
		{topics.Finished{State: topics.Interrupted, Cause: topics.CauseAgentDied}, []string{"The agent stopped while the job ran"}},
	} {
		attic.finish(id, f.f)
		has(string(f.f.State), page(id), f.wants...)
		id = w.backup(attic)
		attic.start(id)
	}
	attic.logs(id, 1, 500)
	for n := 501; n < 2500; n += 500 {
		attic.logs(id, n, n+499)
	}
	await(t, "the lines", func() error {
		if j := must(w.store.Job(t.Context(), id)); j.Lines != 2500 {
			return fmt.Errorf("%d", j.Lines)
		}
		return nil
	})
	text := page(id)
	if got := numbers(text); len(got) != jobpages.PageLines || got[0] != 501 {
		t.Errorf("the page shows %d lines from %d", len(got), got[0])
	}
	has("a long log", text, "500 earlier lines", "/jobs/"+string(id)+"/log.txt", "after=2500")
	attic.finish(id, topics.Finished{State: topics.Cancelled, Lines: 2500})
}

func TestTheFleetIsFilteredAndPaged(t *testing.T) {
	w := newWorld(t)
	for n := range 120 {
		w.enrol(fmt.Sprintf("web-%03d", n))
	}
	attic := w.enrol("attic")
	attic.group("letters")
	id := w.backup(attic)
	attic.connect()
	attic.start(id)
	attic.finish(id, topics.Finished{State: topics.Failed, Cause: topics.CauseLocked})
	c := w.person(store.Viewer)
	rows := func(query string) (names []string) {
		for _, m := range regexp.MustCompile(`<a class="name" href="/hosts/[^"]+">([^<]+)</a>`).FindAllStringSubmatch(
			c.do("GET", "/"+query, nil).text, -1) {
			names = append(names, m[1])
		}
		return names
	}
	for _, q := range []struct {
		query, first string
		n            int
	}{
		{"", "attic", 50}, {"?page=2", "web-049", 50}, {"?page=3", "web-099", 21}, {"?page=99", "web-099", 21}, {"?page=x", "attic", 50},
		{"?q=WEB-00", "web-000", 10}, {"?status=failed", "attic", 1},
		{"?status=no-backup&q=attic", "", 0}, {"?status=nonsense", "", 0},
	} {
		got := rows(q.query)
		if len(got) != q.n || q.n > 0 && got[0] != q.first {
			t.Errorf("%q shows %d hosts from %.1v, want %d from %s", q.query, len(got), got, q.n, q.first)
		}
	}
}
