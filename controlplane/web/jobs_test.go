package web

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

var jobRowID = regexp.MustCompile(`<tr id="job-([a-z0-9]+)"`)

// listed are the IDs of the jobs a page lists, in their order.
func listed(page string) (ids []topics.JobID) {
	for _, m := range jobRowID.FindAllStringSubmatch(page, -1) {
		ids = append(ids, topics.JobID(m[1]))
	}
	return ids
}

// rowOf is the part of a page about one job.
func rowOf(page string, id topics.JobID) string {
	_, row, _ := strings.Cut(page, `<tr id="job-`+string(id)+`"`)
	row, _, _ = strings.Cut(row, "</tr>")
	return row
}

// tabs are the counts above the list, by their words.
func tabs(page string) map[string]string {
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`(\w+)\s*<b>([0-9,]+)</b></a>`).FindAllStringSubmatch(page, -1) {
		out[m[1]] = m[2]
	}
	return out
}

// cancelled asks for a job and cancels it while it waits: a job that has ended.
func (w *world) cancelled(a *agent) topics.JobID {
	w.t.Helper()
	id := w.backup(a)
	if err := w.engine.Cancel(w.t.Context(), "test", id); err != nil {
		w.t.Fatal(err)
	}
	return id
}

func TestTheJobsPageSaysWhatRunsWhatWaitsForWhatAndWhatEnded(t *testing.T) {
	w := newWorld(t)
	attic, cellar := w.enrol("attic"), w.enrol("cellar")
	attic.group("letters")
	attic.group("photos")
	cellar.group("wine")
	ended := w.cancelled(cellar)
	away := w.backup(cellar)
	attic.connect()
	var first, second topics.JobID
	for _, j := range []*topics.JobID{&first, &second} {
		name := map[*topics.JobID]string{&first: "letters", &second: "photos"}[j]
		job, _, err := w.engine.AskBackup(t.Context(), "test", attic.id, name)
		if err != nil {
			t.Fatal(err)
		}
		*j = job.ID
	}
	attic.start(first)
	attic.progress(first, topics.Progress{Scanned: true, TotalBytes: 1000, BytesDone: 440, TotalFiles: 10, Seconds: 60, SecondsLeft: 120})
	c := w.person(store.Operator)
	var page string
	await(t, "progress to be shown", func() error {
		if page = c.do("GET", "/jobs", nil).text; !strings.Contains(page, "44 %") {
			return fmt.Errorf("%.3000s", page)
		}
		return nil
	})
	if got := listed(page); !slices.Equal(got, []topics.JobID{first, away, second, ended}) {
		t.Errorf("the list is %v, want what runs, what waits by turns, what ended: %v", got, []topics.JobID{first, away, second, ended})
	}
	for id, want := range map[topics.JobID][]string{
		first: {"44 %", "440 of 1000 B, 2 min left", "letters", "/hosts/" + string(attic.id), "Cancel…"},
		second: {"Queued", "host is busy", "Starts when the host has ended one of its jobs: it runs as many as it may, such as the",
			`href="/jobs/` + string(first) + `">backup of attic</a>`},
		away:  {"Queued", "host offline", "Starts when the agent connects", "cellar"},
		ended: {"Cancelled", "Cancelled by test"},
	} {
		for _, text := range want {
			if !strings.Contains(rowOf(page, id), text) {
				t.Errorf("%q is missing in %s", text, rowOf(page, id))
			}
		}
	}
	if strings.Contains(rowOf(page, ended), "Cancel…") {
		t.Error("an ended job can be cancelled")
	}
	if got := tabs(page); got["All"] != "4" || got["Running"] != "1" || got["Queued"] != "2" || got["Cancelled"] != "1" ||
		got["Failed"] != "0" {
		t.Errorf("the tabs count %v", got)
	}
	if !regexp.MustCompile(`id="nav-jobs"><span class="dot dot-live"></span>1<`).MatchString(page) {
		t.Error("the navigation does not say that one runs")
	}
	if page := w.person(store.Viewer).do("GET", "/jobs", nil).text; strings.Contains(page, "Cancel…") || len(listed(page)) != 4 {
		t.Error("who may only look is offered to cancel")
	}
	for query, want := range map[string][]topics.JobID{
		"state=running":                     {first},
		"state=queued":                      {away, second},
		"state=cancelled":                   {ended},
		"state=failed":                      nil,
		"state=nonsense":                    {first, away, second, ended},
		"q=CELL":                            {away, ended},
		"q=photos":                          {second},
		"q=" + string(second):               {second},
		"q=%25":                             nil,
		"q=<script>":                        nil,
		"kind=backup&state=queued&q=cellar": {away},
		"kind=prune":                        nil,
		"period=7d":                         {first, away, second, ended},
		"period=all&state=cancelled":        {ended},
		"after=nonsense":                    {first, away, second, ended},
	} {
		r := c.do("GET", "/jobs?"+query, nil)
		if got := listed(r.text); r.StatusCode != 200 || !slices.Equal(got, want) {
			t.Errorf("%s lists %v, want %v", query, got, want)
		}
		if len(want) == 0 && !strings.Contains(r.text, "No jobs in this period") {
			t.Errorf("%s: nothing says that there are none", query)
		}
		if strings.Contains(r.text, "<script>\"") || strings.Contains(r.text, `value="<script>`) {
			t.Errorf("%s comes back as it was", query)
		}
	}
}

func TestTheJobsPageIsPagedWithoutRepeatingOrSkipping(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	var want []topics.JobID
	for range 119 {
		want = append(want, w.cancelled(attic))
	}
	slices.Reverse(want)
	open := w.backup(attic)
	want = append([]topics.JobID{open}, want...)
	c := w.person(store.Viewer)
	var got []topics.JobID
	path := "/jobs"
	for n := 0; path != ""; n++ {
		page := c.do("GET", path, nil).text
		ids := listed(page)
		if len(ids) > 50 || n > 5 {
			t.Fatalf("page %d has %d rows", n, len(ids))
		}
		got = append(got, ids...)
		if n == 0 {
			// What was on the first page moves on; the second must not lack it.
			if err := w.engine.Cancel(t.Context(), "test", open); err != nil {
				t.Fatal(err)
			}
			w.cancelled(attic)
		} else if !strings.Contains(page, `href="/jobs">Newest</a>`) {
			t.Error("no way back to the newest")
		}
		path = ""
		if m := regexp.MustCompile(`href="([^"]+)" rel="next"`).FindStringSubmatch(page); m != nil {
			path = html.UnescapeString(m[1])
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d jobs on the pages, want %d: %v", len(got), len(want), got)
	}
}

func TestJobsPageStaysTrueWhileItIsOpen(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	id := w.backup(attic)
	c := w.person(store.Operator)
	path := streamOf(c.do("GET", "/jobs", nil).text)
	f := c.feed(path)
	f.until("host offline")
	attic.connect()
	attic.start(id)
	f.untilAll(`hx-target="#nav-jobs"`, `hx-target="#job-`+string(id)+`"`)
	attic.finish(id, topics.Finished{State: topics.Succeeded, Summary: &topics.Summary{TotalFiles: 1, TotalBytes: 2048, DataAdded: 1024}})
	f.until("1.00 KiB new")
	next := w.backup(attic)
	m := f.until("Order changed.")
	if strings.Contains(m.data, string(next)) {
		t.Error("a row that the page does not have was sent")
	}
	// Who loads it again is told of no change.
	f = c.feed(streamOf(c.do("GET", "/jobs", nil).text))
	if m := f.until(`hx-target="#jobs-changed"`); strings.Contains(m.data, "Order changed") {
		t.Error("a page that has just been loaded is called old")
	}
	// Cancelled from the list, the list stays.
	stay := url.Values{"stay": {"1"}}
	if r := c.do("POST", "/jobs/"+string(next)+"/cancel", stay, "HX-Request", "true"); r.StatusCode != http.StatusNoContent ||
		r.Header.Get("HX-Redirect") != "" {
		t.Errorf("cancel in place: %s, to %q", r.Status, r.Header.Get("HX-Redirect"))
	}
	f.until("Cancel")
	if r := c.do("POST", "/jobs/"+string(next)+"/cancel", stay); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/jobs" {
		t.Errorf("cancel without script: %s, to %q", r.Status, r.Header.Get("Location"))
	}
}

func TestARunningJobThatSaysNothingIsCalledStalled(t *testing.T) {
	w := newWorld(t)
	var ahead atomic.Int64
	w.hub.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	attic := w.enrol("attic")
	attic.group("letters")
	id := w.backup(attic)
	attic.connect()
	attic.start(id)
	attic.logs(id, 1, 1)
	attic.heardOut() // also by who counts the silence, which is later than the database
	c := w.person(store.Viewer)
	stalled := func() (m map[string]any) {
		c.do("GET", "/api/jobs/"+string(id), nil).json(t, &m)
		return m
	}
	ahead.Store(int64(9 * time.Minute))
	if m := stalled(); m["stalled"] != false || m["state"] != "running" || m["waiting"] != nil {
		t.Errorf("after 9 minutes: %v", m)
	}
	ahead.Store(int64(12*time.Minute + time.Second))
	if m := stalled(); m["stalled"] != true || m["state"] != "running" {
		t.Errorf("after 12 minutes: %v", m)
	}
	if m := fmt.Sprint(stalled()["silence"]); !strings.Contains(m, "ends_after:0") || !strings.Contains(m, "watched:false") {
		t.Errorf("of an agent that does not look: %s", m)
	}
	f := c.feed("/events?view=job&id=" + string(id))
	f.until("Nothing heard of restic for 12 min")
	for path, want := range map[string][]string{
		"/":                          {"Nothing heard of restic for 12 min", "Stalled"},
		"/jobs":                      {"Nothing heard of restic for 12 min", "Stalled"},
		"/hosts/" + string(attic.id): {"Nothing heard of restic for 12 min", "Stalled"},
		"/jobs/" + string(id):        {"Nothing heard of restic for 12 min", "Stalled", "The agent is connected.", "cancel the job"},
	} {
		page := c.do("GET", path, nil).text
		for _, text := range want {
			if !strings.Contains(page, text) {
				t.Errorf("%s does not say %q", path, text)
			}
		}
	}
	death := topics.Topic{Kind: topics.KindDeath, Host: attic.id}.String()
	w.engine.Received(death, topics.Encode(topics.Death{Session: attic.session, Reason: topics.Lost,
		MAC: attic.channel.Sign(death, attic.session.Signed(topics.Lost))}), true)
	f.until("The agent is not connected.")
	attic.connect()
	attic.logs(id, 2, 2)
	await(t, "the next line to end it", func() error {
		if m := stalled(); m["stalled"] != false {
			return fmt.Errorf("%v", m)
		}
		return nil
	})
}

// TestASilentJobSaysWhenItIsEnded: as its agent tells, on every door, with the words of
// those that are never ended.
func TestASilentJobSaysWhenItIsEnded(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	id := w.backup(attic)
	attic.connect()
	attic.start(id)
	c := w.person(store.Viewer)
	for _, q := range []struct {
		said  topics.Silence
		words string
		note  string
	}{
		{topics.Silence{Job: id, Seconds: 12 * 60, Limit: 1800, Last: "3 of 9 files"}, "Silent for 12 min, is ended after 30 min",
			"The last it said: 3 of 9 files. It ends it after 30 min"},
		{topics.Silence{Job: id, Seconds: 13 * 60}, "Silent for 13 min, is not ended by itself", "so it is never ended for that"},
	} {
		attic.beat(topics.Heartbeat{Silent: []topics.Silence{q.said}})
		await(t, q.words, func() error {
			var m map[string]any
			c.do("GET", "/api/jobs/"+string(id), nil).json(t, &m)
			if s := fmt.Sprint(m["silence"]); m["stalled"] != true || !strings.Contains(s, q.words) {
				return fmt.Errorf("stalled %v, silence %s", m["stalled"], s)
			}
			return nil
		})
		for path, want := range map[string][]string{
			"/":                          {q.words, "Stalled"},
			"/jobs":                      {q.words, "Stalled"},
			"/hosts/" + string(attic.id): {q.words, "Stalled"},
			"/jobs/" + string(id):        {q.words, "Stalled", q.note, "cancel the job"},
		} {
			page := c.do("GET", path, nil).text
			for _, text := range want {
				if !strings.Contains(page, text) {
					t.Errorf("%s does not say %q", path, text)
				}
			}
		}
	}
	attic.beat(topics.Heartbeat{Silent: []topics.Silence{{Job: id, Limit: 1800}}})
	await(t, "it to work", func() error {
		var m map[string]any
		if c.do("GET", "/api/jobs/"+string(id), nil).json(t, &m); m["stalled"] != false || m["silence"] != nil {
			return fmt.Errorf("stalled %v, silence %v", m["stalled"], m["silence"])
		}
		return nil
	})
}

// TestAFullDiskIsSaidWhereverItMatters: fleet, host, its job, and the API of both.
func TestAFullDiskIsSaidWhereverItMatters(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	attic.connect()
	attic.beat(topics.Heartbeat{Disk: &topics.Disk{Total: 1 << 30, Since: time.Now().UnixMilli(),
		Error: "no space left on the disk, 0 KiB are free"}})
	c := w.person(store.Viewer)
	await(t, "its disk to be known", func() error { // else the job may be sent before
		if list := c.do("GET", "/api/hosts", nil).text; !strings.Contains(list, `"full":true`) {
			return errors.New(list)
		}
		return nil
	})
	id := w.backup(attic)
	await(t, "the API to say it", func() error {
		var job map[string]any
		list := c.do("GET", "/api/hosts", nil).text
		c.do("GET", "/api/jobs/"+string(id), nil).json(t, &job)
		if !strings.Contains(list, `"cause":"host-disk"`) || !strings.Contains(list, `"full":true`) ||
			!strings.Contains(fmt.Sprint(job["waiting"]), "no space left") {
			return fmt.Errorf("hosts %s, job waits for %v", list, job["waiting"])
		}
		return nil
	})
	for path, want := range map[string][]string{
		"/":                          {"no job begins there until there is room"},
		"/jobs":                      {"no space on the host"},
		"/hosts/" + string(attic.id): {"no job begins there until there is room", "no space left on the disk, 0 KiB are free", "Make room there"},
		"/jobs/" + string(id):        {"There is no space left on attic", "no space left on the disk, 0 KiB are free", "Make room there"},
	} {
		await(t, path+" to say it", func() error { // each page reads by itself
			page := html.UnescapeString(c.do("GET", path, nil).text)
			for _, text := range want {
				if !strings.Contains(page, text) {
					return fmt.Errorf("%q is not there", text)
				}
			}
			return nil
		})
	}
	attic.beat(topics.Heartbeat{Disk: &topics.Disk{Free: 1 << 40, Total: 1 << 41}})
	w.awaitState(id, topics.Dispatched)
}

func TestAProgramListsJobs(t *testing.T) {
	w := newWorld(t)
	attic, cellar := w.enrol("attic"), w.enrol("cellar")
	attic.group("letters")
	cellar.group("wine")
	var all []topics.JobID
	for range 7 {
		all = append([]topics.JobID{w.cancelled(attic)}, all...)
	}
	waiting := w.backup(cellar)
	all = append([]topics.JobID{waiting}, all...)
	c := w.program(store.Viewer)
	list := func(query string) (ids []topics.JobID, rows []map[string]any) {
		t.Helper()
		r := c.do("GET", "/api/jobs"+query, nil)
		if r.StatusCode != 200 {
			t.Fatalf("%s: %s %s", query, r.Status, r.text)
		}
		r.json(t, &rows)
		for _, j := range rows {
			ids = append(ids, topics.JobID(j["id"].(string)))
		}
		return ids, rows
	}
	for query, want := range map[string][]topics.JobID{
		"":                                 all,
		"?state=queued,running":            {waiting},
		"?state=cancelled":                 all[1:],
		"?host=cellar":                     {waiting},
		"?host=" + string(attic.id):        all[1:],
		"?kind=prune":                      nil,
		"?limit=3":                         all[:3],
		"?limit=3&after=" + string(all[2]): all[3:6],
		"?after=" + string(all[7]):         nil,
		"?state=cancelled&host=attic&kind=backup&limit=2": all[1:3],
	} {
		if got, _ := list(query); !slices.Equal(got, want) {
			t.Errorf("%s lists %v, want %v", query, got, want)
		}
	}
	_, rows := list("?host=cellar")
	const because = "map[job: reason:host text:Its host's agent is not connected.]"
	if got := fmt.Sprint(rows[0]["waiting"]); got != because || rows[0]["source_group"] != "wine" {
		t.Errorf("the one that waits: %v", rows[0])
	}
	var one map[string]any
	c.do("GET", "/api/jobs/"+string(waiting), nil).json(t, &one)
	if got := fmt.Sprint(one["waiting"]); got != because || one["stalled"] != false {
		t.Errorf("by itself: %v", one)
	}
	for query, status := range map[string]int{
		"?state=nonsense": 422,
		"?limit=0":        422,
		"?limit=100000":   422,
		"?host=nobody":    404,
		"?after=NO":       422,
	} {
		if r := c.do("GET", "/api/jobs"+query, nil); r.StatusCode != status {
			t.Errorf("%s: %s, want %d", query, r.Status, status)
		}
	}
}

func TestALogIsDownloadedWhileItGrowsAndSaysWhatItLacks(t *testing.T) {
	w := newWorld(t, func(c *base.Config) { c.Settings.Retention = store.Retention{Age: time.Millisecond} })
	attic := w.enrol("attic")
	attic.group("letters")
	id := w.backup(attic)
	attic.connect()
	attic.start(id)
	c := w.person(store.Viewer)
	at := time.Date(2026, 11, 20, 14, 32, 7, 5e6, time.UTC).UnixMilli()
	attic.say(topics.Event{Log: &topics.Log{Job: id, First: 1, Lines: []topics.Line{{At: at, Level: topics.Info, Text: "one"},
		{At: at, Level: topics.Error, Text: "two\n3  2026-11-20T14:32:07.005Z  info   forged \x1b[31m<b>"}}}})
	attic.say(topics.Event{Log: &topics.Log{Job: id, First: 3, Gap: &topics.Gap{To: 900, Reason: "more than 20,000 lines"}}})
	text := "1  2026-11-20T14:32:07.005Z  info   one\n" +
		`2  2026-11-20T14:32:07.005Z  error  two\n3  2026-11-20T14:32:07.005Z  info   forged <b>` + "\n3-900  not kept: more than 20,000 lines\n"
	path := "/jobs/" + string(id) + "/log."
	await(t, "the log of a running job", func() error {
		if r := c.do("GET", path+"txt", nil); r.text != text {
			return fmt.Errorf("%q, want %q", r.text, text)
		}
		return nil
	})
	for extension, media := range map[string]string{"txt": "text/plain; charset=utf-8", "ndjson": "application/x-ndjson"} {
		r := c.do("GET", path+extension, nil)
		if got := r.Header.Get("Content-Disposition"); r.Header.Get("Content-Type") != media ||
			got != "attachment; filename=job-"+string(id)+"."+extension {
			t.Errorf("%s is %s, %s", extension, r.Header.Get("Content-Type"), got)
		}
		if !strings.Contains(c.do("GET", "/jobs/"+string(id), nil).text, `href="`+path+extension+`" download`) {
			t.Errorf("the job's page does not offer %s", extension)
		}
	}
	if r, api := c.do("GET", path+"ndjson", nil), c.do("GET", "/api/jobs/"+string(id)+"/log", nil); r.text != api.text ||
		strings.Count(r.text, "\n") != 3 {
		t.Errorf("the file %q is not what the API says, %q", r.text, api.text)
	}
	page := c.do("GET", "/jobs/"+string(id), nil).text
	if !strings.Contains(page, "Lines 3–900 not kept: more than 20,000 lines") || strings.Contains(page, "earlier line") {
		t.Error("the page does not show the gap as it is")
	}
	attic.finish(id, topics.Finished{State: topics.Succeeded, Lines: 900})
	await(t, "retention to remove it", func() error {
		if n, err := w.store.SweepLogs(t.Context(), store.Retention{Age: time.Millisecond}); err != nil || n == 0 {
			return fmt.Errorf("%d, %v", n, err)
		}
		return nil
	})
	for path, want := range map[string]string{
		path + "txt":          "1-900  not kept: The log was removed on ",
		path + "ndjson":       `{"n":1,"to":900,"gap":"The log was removed on `,
		"/jobs/" + string(id): "The log was removed on ",
	} {
		if r := c.do("GET", path, nil); r.StatusCode != 200 || !strings.Contains(r.text, want) ||
			!strings.Contains(r.text, "logs are kept for under 1 s after a job has ended.") {
			t.Errorf("%s does not say when and why it went: %s", path, rest(r.text))
		}
	}
	if r := c.do("GET", "/jobs/nobody-0001/log.txt", nil); r.StatusCode != 404 {
		t.Errorf("the log of no job: %s", r.Status)
	}
}

func TestALongLogsPageCountsWhatIsKept(t *testing.T) {
	w, attic, id := running(t)
	attic.logs(id, 1, 500)
	attic.say(topics.Event{Log: &topics.Log{Job: id, First: 501, Gap: &topics.Gap{To: 9000, Reason: "trimmed"}}})
	for first := 9001; first <= 11000; first += 500 {
		attic.logs(id, first, first+499)
	}
	await(t, "the log", func() error {
		if j := must(w.store.Job(t.Context(), id)); j.Lines != 11000 {
			return fmt.Errorf("%d lines", j.Lines)
		}
		return nil
	})
	if page := w.person(store.Viewer).do("GET", "/jobs/"+string(id), nil).text; !strings.Contains(page, "500 earlier lines.") {
		t.Errorf("500 kept lines come before the 2000 that are shown: %.1500s", rest(page))
	}
}

func TestSettingsAreForEverybodyToRead(t *testing.T) {
	w := newWorld(t, func(c *base.Config) {
		c.Settings = base.Settings{HTTP: "127.0.0.1:8080", Agents: "0.0.0.0:8883", MQTT: "127.0.0.1:1883", LogLines: 20000,
			Retention: store.Retention{Age: 365 * 24 * time.Hour, Bytes: 1 << 30}, Limits: protocol.Limits{Fleet: 100}}
	})
	attic := w.enrol("attic")
	attic.group("letters")
	id := w.backup(attic)
	attic.connect()
	attic.start(id)
	attic.logs(id, 1, 10) // "line 1" and so on: 61 bytes, and each its row's
	attic.finish(id, topics.Finished{State: topics.Succeeded, Lines: 10})
	r := w.person(store.Viewer).do("GET", "/settings", nil)
	for _, want := range []string{"127.0.0.1:8080", "--http", "0.0.0.0:8883", "--agents", "127.0.0.1:1883", "--mqtt", "100 jobs",
		"--fleet-jobs", "No bound", "--repo-jobs",
		"20,000 lines", "--log-lines", "365 d", "--log-age", "1.00 GiB", "--log-mib", "701 B of 1 job", "v0", "10 min"} {
		if !strings.Contains(r.text, want) {
			t.Errorf("%q is not there", want)
		}
	}
	if strings.Contains(r.text, "hx-sse:connect") {
		t.Error("a page that does not change has a stream")
	}
}

// rest is a job's page from its log on, or all of what is no page.
func rest(page string) string {
	_, log, found := strings.Cut(page, `id="log"`)
	if !found {
		return page
	}
	return log
}
