package views_test

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/a-h/templ"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/restic-manager/restic-manager/views"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var everyRight = views.Rights{Why: func(string) string { return "" }}

func render(t *testing.T, c templ.Component) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Render(views.WithRights(t.Context(), everyRight), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEveryPageIsSoundHTML(t *testing.T) {
	for _, s := range everySample() {
		t.Run(s.name, func(t *testing.T) {
			text := render(t, s.page)
			doc, err := html.Parse(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			for _, complaint := range check(t, doc) {
				t.Error(complaint)
			}
			if n := strings.Count(text, "hx-sse:connect"); n > 1 {
				t.Errorf("%d streams on one page", n)
			}
			for _, bad := range []string{"javascript:", "<script>alert"} {
				if strings.Contains(text, bad) {
					t.Errorf("page contains %q", bad)
				}
			}
		})
	}
}

const deceiving = "\x1b\x07\x00\u202e\u202c\u2066\u2069\u200b\u2060\ufeff\u3164\u115f"

// check walks a page for what the content-security policy or a person with other
// senses would stumble over.
func check(t *testing.T, doc *html.Node) []string {
	t.Helper()
	var bad []string
	say := func(n *html.Node, why string) { bad = append(bad, "<"+n.Data+"> "+why) }
	ids := map[string]bool{}
	walk(doc, func(n *html.Node) {
		if id := attr(n, "id"); id != "" {
			if ids[id] {
				say(n, "has the id "+id+" a second time")
			}
			ids[id] = true
			if strings.ContainsAny(id, " \t\n#.:,") {
				say(n, "has an id that is no selector: "+id)
			}
		}
	})
	labelled := map[string]bool{}
	walk(doc, func(n *html.Node) {
		if n.Data == "label" && attr(n, "for") != "" {
			labelled[attr(n, "for")] = true
			if !ids[attr(n, "for")] {
				say(n, "is for a field that is not there: "+attr(n, "for"))
			}
		}
	})
	walk(doc, func(n *html.Node) {
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			// What a field holds is the person's own, to the letter.
			if c.Type == html.TextNode && n.Data != "textarea" && strings.ContainsAny(c.Data, deceiving) {
				say(n, "shows deceiving text: "+strconv.QuoteToASCII(c.Data))
			}
		}
		for _, a := range n.Attr {
			if a.Key != "value" && strings.ContainsAny(a.Val, deceiving) {
				say(n, "has deceiving text in "+a.Key+": "+strconv.QuoteToASCII(a.Val))
			}
			switch {
			case a.Key == "style":
				say(n, "has a style attribute")
			case strings.HasPrefix(a.Key, "on"), strings.HasPrefix(a.Key, "hx-on"):
				say(n, "has the event attribute "+a.Key)
			case strings.Contains(a.Val, "js:"):
				say(n, "wants code to be evaluated: "+a.Key)
			case a.Key == "aria-labelledby" || a.Key == "aria-describedby":
				for id := range strings.FieldsSeq(a.Val) {
					if !ids[id] {
						say(n, a.Key+" names what is not there: "+id)
					}
				}
			case strings.HasPrefix(a.Val, "/static/"):
				checkAsset(a.Val, n, say)
			case a.Key == "data-copy" || a.Key == "hx-target" || a.Key == "hx-select":
				if strings.HasPrefix(a.Val, "#") && !ids[a.Val[1:]] {
					say(n, a.Key+" names what is not there: "+a.Val)
				}
			}
		}
		switch n.Data {
		case "style":
			say(n, "is an inline style sheet")
		case "script":
			if attr(n, "src") == "" {
				say(n, "is an inline script")
			}
		case "img":
			if !has(n, "alt") {
				say(n, "has no alt")
			}
		case "button", "a", "summary":
			if name(n) == "" {
				say(n, "has no name")
			}
			if n.Data == "a" && strings.Contains(attr(n, "href"), "/hosts//") {
				say(n, "leads to a host without an id")
			}
		case "input", "select", "textarea":
			inside := n.Parent // a label around it is as good as one that names it
			for inside != nil && inside.Data != "label" {
				inside = inside.Parent
			}
			if attr(n, "type") != "hidden" && !labelled[attr(n, "id")] && attr(n, "aria-label") == "" && (inside == nil || name(inside) == "") {
				say(n, "has no label: "+attr(n, "name"))
			}
		case "form":
			if !has(n, "action") || !has(n, "method") {
				say(n, "does not work without script")
			}
			if p := attr(n, "hx-post"); p != "" && p != attr(n, "action") {
				say(n, "goes elsewhere with script: "+p)
			}
		case "svg":
			if attr(n, "aria-hidden") != "true" && (attr(n, "role") != "img" || attr(n, "aria-label") == "") {
				say(n, "is neither hidden nor named")
			}
		}
	})
	return bad
}

var symbol = regexp.MustCompile(`<symbol id="([a-z0-9-]+)"`)

func sprite() map[string]bool {
	b, err := fs.ReadFile(views.Static, "icons.svg")
	if err != nil {
		panic(err)
	}
	m := map[string]bool{}
	for _, s := range symbol.FindAllSubmatch(b, -1) {
		m[string(s[1])] = true
	}
	return m
}

// hashed is the part of a static file's name that changes with its content.
var hashed = regexp.MustCompile(`\.[0-9a-f]{10}\.`)

func checkAsset(url string, n *html.Node, say func(*html.Node, string)) {
	url, frag, _ := strings.Cut(strings.TrimPrefix(url, "/static/"), "#")
	if !views.HasAsset("/static/" + url) {
		say(n, "links to a file that is not there: "+url)
	} else if !hashed.MatchString(url) {
		say(n, "links to a file by a name that a browser may not keep: "+url)
	}
	if n.Data == "use" && !sprite()[frag] {
		say(n, "shows an icon that is not there: "+frag)
	}
}

func TestTheSpriteHoldsOnlyIconsInUse(t *testing.T) {
	var pages strings.Builder
	for _, s := range everySample() {
		pages.WriteString(render(t, s.page))
	}
	for _, s := range append(views.HostStatuses(), views.JobStatus("stalled"), views.JobStatus("?")) {
		if !sprite()[s.Icon] {
			t.Errorf("status %s has the icon %s, which is not there", s.Key, s.Icon)
		}
		pages.WriteString("#" + s.Icon + `"`)
	}
	for icon := range sprite() {
		// Verdicts of other fleets, and jobs of other kinds.
		if other := map[string]bool{
			"shield-check": true,
			"calendar-x":   true,
			"info":         true,
			"circle-pause": true,
			"hourglass":    true,
		}; other[icon] {
			continue
		}
		if !strings.Contains(pages.String(), "#"+icon+`"`) {
			t.Errorf("icon %s is in the sprite and on no page", icon)
		}
	}
}

func walk(n *html.Node, f func(*html.Node)) {
	if n.Type == html.ElementNode {
		f(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, f)
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	for _, a := range n.Attr {
		if a.Key == key {
			return true
		}
	}
	return false
}

func name(n *html.Node) string {
	if l := attr(n, "aria-label"); l != "" {
		return l
	}
	var b strings.Builder
	var text func(*html.Node)
	text = func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			text(c)
		}
	}
	text(n)
	return strings.TrimSpace(b.String())
}

func TestGolden(t *testing.T) {
	f := fleet()
	offline := f.Hosts.Rows[5]
	for name, c := range map[string]templ.Component{
		"fleet_one_host_offline.html": views.FleetRow(offline),
		"fleet_first_lines.html":      templ.Join(views.FleetVerdict(f.Verdict), views.FleetFigures(f.Figures), views.FleetRunning(f.Work)),
		"banners.html":                views.Banners(views.Shell{Banners: banners()}),
		"host_groups.html":            views.HostGroups(host()),
		"job_scanning.html":           views.JobProgress(job("scanning")),
		"jobs_rows.html": func() templ.Component {
			rows := jobsPage().Rows
			return templ.Join(views.JobsRow(rows[0]), views.JobsRow(rows[5]), views.JobsRow(rows[6]))
		}(),
		"job_locked.html":      views.JobEnding(job("failed")),
		"log_with_a_gap.html":  views.LogLines(lines()),
		"enrol_connected.html": views.EnrolStatus(addHost("connected").Status),
		"group_form_with_errors.html": views.GroupPage(shell("What to back up", ""), func() views.GroupForm {
			f := groupForm()
			f.Name, f.Errors = "a b", map[string]string{"name": "No spaces, please."}
			return f
		}()),
	} {
		t.Run(name, func(t *testing.T) {
			got := render(t, c)
			got = strings.ReplaceAll(hashed.ReplaceAllString(got, ".HASH."), "><", ">\n<") + "\n"
			file := filepath.Join("testdata", name)
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("differs from %s; got:\n%s", file, got)
			}
		})
	}
}

// A fragment can replace itself for ever only if it carries its own id, alone
// at its root.
func TestFragmentsCarryTheirID(t *testing.T) {
	f, h, j := fleet(), host(), job("running")
	ended := job("failed")
	row := jobsPage().Rows[0]
	for id, list := range map[string][]templ.Component{
		"verdict":                {views.FleetVerdict(f.Verdict)},
		"figures":                {views.FleetFigures(f.Figures), views.FleetFigures(views.Figures{})},
		"attention":              {views.FleetAttention(f.Attention, 30), views.FleetAttention(nil, 0)},
		"running":                {views.FleetRunning(f.Work), views.FleetRunning(views.Work{})},
		"hosts":                  {views.FleetHosts(f.Hosts), views.FleetHosts(views.Hosts{})},
		"hosts-changed":          {views.FleetChanged(""), views.FleetChanged("2 new hosts")},
		"host-header":            {views.HostHeader(h)},
		"host-problem":           {views.HostProblem(h), views.HostProblem(views.Host{})},
		"host-running":           {views.HostRunning(h), views.HostRunning(views.Host{Running: f.Work.Running})},
		"host-groups":            {views.HostGroups(h), views.HostGroups(views.Host{})},
		"host-pause":             {views.HostPaused(h), views.HostPaused(views.Host{})},
		"host-jobs":              {views.HostJobs(h), views.HostJobs(views.Host{})},
		"host-snapshots":         {views.HostSnapshots(h), views.HostSnapshots(views.Host{})},
		"host-protection":        {views.HostProtection(h)},
		"host-proof":             {views.HostProof(h), views.HostProof(views.Host{})},
		"host-agent":             {views.HostAgent(h)},
		"jobs-tabs":              {views.JobsTabs(jobsPage().Tabs)},
		"jobs-changed":           {views.JobsChanged(false), views.JobsChanged(true)},
		"nav-hosts":              {views.NavHosts(shell("x", "")), views.NavHosts(views.Shell{Hosts: 3})},
		"nav-jobs":               {views.NavJobs(shell("x", "")), views.NavJobs(views.Shell{Running: 3})},
		"job-0b9e-0001":          {views.JobsRow(row)},
		"job-header":             {views.JobHeader(j), views.JobHeader(ended)},
		"announce":               {views.JobAnnounce("")},
		"progress":               {views.JobProgress(j), views.JobProgress(ended)},
		"job-ending":             {views.JobEnding(j), views.JobEnding(ended)},
		"job-figures":            {views.JobFigures(j), views.JobFigures(job("succeeded"))},
		"current-files":          {views.JobFiles(j), views.JobFiles(ended)},
		"job-facts":              {views.JobFacts(j)},
		"job-timeline":           {views.JobTimeline(j), views.JobTimeline(views.Job{})},
		"repositories":           {views.RepositoriesList(views.RepositoryList{})},
		"repository-header":      {views.RepositoryHeader(repository()), views.RepositoryHeader(bareRepository())},
		"repository-making":      {views.RepositoryMaking(repository()), views.RepositoryMaking(bareRepository())},
		"repository-notes":       {views.RepositoryNotes(repository()), views.RepositoryNotes(bareRepository())},
		"repository-figures":     {views.RepositoryFigures(repository()), views.RepositoryFigures(bareRepository())},
		"repository-chart":       {views.RepositoryChart(repository()), views.RepositoryChart(bareRepository())},
		"repository-access":      {views.RepositoryAccess(repository()), views.RepositoryAccess(bareRepository())},
		"repository-locks":       {views.RepositoryLocks(repository()), views.RepositoryLocks(bareRepository())},
		"repository-keys":        {views.RepositoryKeys(repository()), views.RepositoryKeys(bareRepository())},
		"repository-maintenance": {views.RepositoryMaintenance(repository())},
		"repository-jobs":        {views.RepositoryJobs(repository()), views.RepositoryJobs(bareRepository())},
		"snapshot-count":         {views.SnapshotCount(repository()), views.SnapshotCount(bareRepository())},
		"snapshot-list":          {views.SnapshotList(repository()), views.SnapshotList(bareRepository())},
		"snapshot-calendar":      {views.SnapshotCalendar(repository().Calendar), views.SnapshotCalendar(views.Calendar{})},
		"job-result":             {views.JobResult(resultJob()), views.JobResult(j)},
		"schedules": {views.SchedulesList(views.Schedules{}),
			views.SchedulesList(views.Schedules{Rows: []views.ScheduleRow{{HostID: "h-1", Name: "nightly"}}})},
		"schedules-aside": {views.SchedulesAside(views.Schedules{}),
			views.SchedulesAside(views.Schedules{Without: []views.Without{{HostID: "h-1"}}})},
		views.ScheduleElement(views.ScheduleRow{HostID: "h-1", Name: "every night"}): {views.ScheduleTableRow(views.ScheduleRow{HostID: "h-1",
			Name: "every night", On: true})},
		"enrol-status":         {views.EnrolStatus(views.Enrol{}), views.EnrolStatus(addHost("connected").Status)},
		"replacement-state":    {views.ReplacementState(replacement("before")), views.ReplacementState(replacement("waits"))},
		"replacement-enrol":    {views.ReplacementEnrol(replacement("before")), views.ReplacementEnrol(replacement("waits"))},
		"replacement-enrolled": {views.ReplacementEnrolled(replacement("token")), views.ReplacementEnrolled(replacement("waits"))},
		"replacement-machines": {views.ReplacementMachines(replacement("before")), views.ReplacementMachines(replacement("waits"))},
		"replacement-groups":   {views.ReplacementGroups(replacement("waits")), views.ReplacementGroups(views.Replacement{})},
		"replacement-call-off": {views.ReplacementCallOff(replacement("token")), views.ReplacementCallOff(replacement("waits"))},
		"plane-notices":        {views.Banners(views.Shell{}), views.Banners(views.Shell{Banners: banners()})},
		"first-steps":          {views.FirstStepsList(firstSteps("done")), views.FirstStepsList(firstSteps("later"))},
		"first-steps-strip": {views.Road(views.Shell{}),
			views.Road(views.Shell{Road: &views.RoadStrip{Done: "3", Of: "8", Next: "Add host"}})},
		"trial": {views.Trial(nil), views.Trial([]views.TestResult{{Key: "everyday", Note: views.Note{Tone: "ok", Title: "It answers."}}}),
			views.Trial([]views.TestResult{
				{Key: "everyday", Title: "Everyday", Note: views.Note{Tone: "fail", Title: "Not trusted."}, URL: "rest:https://nas/x",
					PEM: "-----BEGIN", SHA: "ab", Into: "field",
					Rows: []views.TestRow{{Tone: "fail", Icon: "octagon-x", Name: "Certificate", Text: "not trusted"}}},
				{Key: "maintenance", Title: "Maintenance", Note: views.Note{Tone: "warn", Title: "Not tried."}, PEM: "-----BEGIN"}}),
			views.Trial([]views.TestResult{{Key: "everyday", Note: views.Note{Tone: "ok", Title: "It holds snapshots."}, TakeIn: true,
				Import: views.Link{Text: "Take in 3 snapshots that no job here made", URL: views.RepositoryImportURL("vault-01")}}})},
		"made-url":  {views.MadeURL("", ""), views.MadeURL("rest:https://nas/x", "No.")},
		"side-foot": {views.Foot(shell("x", ""))},
	} {
		for _, c := range list {
			text := render(t, c)
			around := &html.Node{Type: html.ElementNode, Data: "body", DataAtom: atom.Body}
			if strings.HasPrefix(text, "<tr") {
				around = &html.Node{Type: html.ElementNode, Data: "tbody", DataAtom: atom.Tbody}
			}
			nodes, err := html.ParseFragment(strings.NewReader(text), around)
			if err != nil {
				t.Fatal(err)
			}
			if len(nodes) != 1 || attr(nodes[0], "id") != id {
				t.Errorf("%s: not one element with this id: %.200s", id, text)
			}
		}
	}
}

func TestAStreamMessageKeepsEveryLineOfItsPartials(t *testing.T) {
	var b bytes.Buffer
	line := views.NewLogLine(7, now, "info", "one\ntwo\r\nthree")
	raw := templ.Raw("<p>a\r\nb\rc\nd</p>")
	if err := views.WriteMessage(t.Context(), &b, 7, views.Partial("log-stream", views.Append, views.LogLines([]views.LogLine{line})),
		views.Partial("x", views.Morph, raw)); err != nil {
		t.Fatal(err)
	}
	want := "id: 7\n" + `data: <hx-partial hx-target="#log-stream" hx-swap="beforeend">` +
		`<div class="ln ln-info" id="L7" data-n="7"><a class="no" href="#L7" tabindex="-1">7</a>` +
		`<time class="ts" datetime="2026-11-20T14:32:07.000Z" data-f="seconds">14:32:07</time><span class="lv">info</span>` +
		`<span class="tx">one\ntwo\r\nthree</span></div></hx-partial>` +
		`<hx-partial hx-target="#x" hx-swap="outerMorph"><p>a` + "\ndata: b\ndata: c\ndata: d</p></hx-partial>\n\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	if err := views.WriteBeat(&b, now); err != nil {
		t.Fatal(err)
	}
	if err := views.WriteEnd(&b); err != nil {
		t.Fatal(err)
	}
	if want := "event: beat\ndata: 2026-11-20T14:32:07.000Z\n\nevent: end\ndata: \n\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// everySample is every page with something to show.
func everySample() []sample {
	return append(append(samples(), restoreSamples()...), alertSamples()...)
}
