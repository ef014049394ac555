package web

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/zone"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A clocked page is what stands on a page of moments.
type clocked struct {
	times []*html.Node
	loose []string // times of day that are in no time element, with the words around them
	zone  string
}

var timeOfDay = regexp.MustCompile(`\b([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?\b`)

func clocksOf(t *testing.T, page string) (c clocked) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	// How far a zone is ahead is no time of day, and the hours of the load are rounded.
	noise := regexp.MustCompile(`UTC[+-]\d\d:\d\d|begins? between \d\d:\d\d and \d\d:\d\d, by the clock of |` +
		`^(00|06|12|18):00$|, or 12:00, 19:00`)
	look := func(name, text string) {
		text = noise.ReplaceAllString(text, "…")
		for _, at := range timeOfDay.FindAllStringIndex(text, -1) {
			c.loose = append(c.loose, name+text[max(0, at[0]-30):min(len(text), at[1]+30)])
		}
	}
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		switch {
		case n.Type == html.TextNode:
			look("", n.Data)
		case n.Type == html.ElementNode && n.Data == "time":
			c.times = append(c.times, n)
			return
		case n.Type == html.ElementNode && n.Data == "html":
			c.zone = attrOf(n, "data-zone")
		}
		for _, a := range n.Attr {
			switch a.Key {
			case "title", "aria-label", "value", "alt", "placeholder":
				look(a.Key+"=", a.Val)
			}
		}
		for child := range n.ChildNodes() {
			walk(child)
		}
	}
	walk(doc)
	return c
}

func attrOf(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// sameEverywhere are times of day that are no moments, by the words around them: they
// are settings, by a clock that the page names beside them.
var sameEverywhere = []string{
	"Every day at ", "30 2 * * *", "value=02:30", "placeholder=02:30", "such as 02:30", "value=04:00", "value=05:00", "value=06:00", "02:30…",
	"value=08:00", "tomorrow 08:00",
}

// crawl visits every page that links lead to from the first.
func (c *client) crawl(from ...string) (paths []string) {
	c.w.t.Helper()
	seen := map[string]bool{}
	for queue := from; len(queue) > 0; queue = queue[1:] {
		path := queue[0]
		if seen[path] || len(paths) > 400 {
			continue
		}
		seen[path] = true
		r := c.do("GET", path, nil)
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") || r.StatusCode != http.StatusOK {
			continue
		}
		paths = append(paths, path)
		for _, m := range regexp.MustCompile(`href="(/[^"#]*)`).FindAllStringSubmatch(r.text, -1) {
			if next := html.UnescapeString(m[1]); !strings.HasPrefix(next, "/static/") {
				queue = append(queue, next)
			}
		}
	}
	return paths
}

// Every page is drawn for somebody at UTC and for somebody whose clock is 5 h 45 min
// ahead: whatever stands on it of moments is of the one or of the other.
func TestNoPageShowsTwoZones(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	w := newWorld(t, func(c *base.Config) {
		c.Now = func() time.Time { return now }
		c.Zone = time.UTC
	})
	attic, nas := w.enrol("attic"), w.enrol("nas")
	attic.name, nas.name = "attic", "nas"
	group := attic.group("letters")
	w.kept(group, nas.id)
	attic.connect()
	nas.connect()
	attic.leftLock(w)
	api := w.program(store.Admin)
	for path, body := range map[string]string{
		"/api/repositories/" + string(group.Repository):         `{"retention":{"keep_within":"30d"}}`,
		"/api/hosts/" + string(attic.id) + "/schedules/nightly": `{"cron":"30 2 * * *","zone":"Europe/Berlin","source_groups":["letters"]}`,
	} {
		if r := api.do("PUT", path, body); r.StatusCode/100 != 2 {
			t.Fatalf("%s: %s %s", path, r.Status, r.text)
		}
	}
	snapshot := topics.Snapshot{ID: strings.Repeat("a", 64), Time: now.Add(-26 * time.Hour).UnixMilli(), Host: "attic",
		Paths: []string{"/letters"}, Tags: []string{"plan=" + string(group.ID)}}
	planted := topics.Snapshot{ID: strings.Repeat("b", 64), Time: now.AddDate(1, 0, 0).UnixMilli(), Host: "x"}
	attic.lists(group.Repository, snapshot, planted)
	done := w.backup(attic)
	attic.start(done)
	attic.logs(done, 1, 5)
	attic.finish(done, topics.Finished{State: topics.Succeeded, Snapshot: &topics.Snapshot{ID: strings.Repeat("c", 64),
		Time: now.UnixMilli(), Host: "attic", Paths: []string{"/letters"}}, Summary: &topics.Summary{TotalFiles: 1, TotalBytes: 1}})
	failed := w.backup(attic)
	attic.start(failed)
	attic.finish(failed, topics.Finished{State: topics.Failed, Cause: topics.CauseLocked, Message: "it is locked"})
	w.backup(attic)
	admin := w.person(store.Admin)
	if r := admin.do("POST", "/tokens/new", url.Values{"name": {"ci"}, "role": {"viewer"}, "days": {"30"}}); r.StatusCode != http.StatusOK {
		t.Fatalf("make a token: %s", r.Status)
	}
	paths := admin.crawl("/", "/account", "/users", "/jobs/"+string(done), "/jobs/"+string(failed))
	if len(paths) < 30 {
		t.Fatalf("only %d pages: %q", len(paths), paths)
	}
	kathmandu, err := zone.Named("Asia/Kathmandu")
	if err != nil {
		t.Fatal(err)
	}
	moments, told := 0, 0
	for _, path := range paths {
		here := clocksOf(t, admin.do("GET", path, nil, zone.Header, "UTC").text)
		there := clocksOf(t, admin.do("GET", path, nil, zone.Header, "Asia/Kathmandu").text)
		if here.zone != "UTC" || there.zone != "Asia/Kathmandu" {
			t.Errorf("%s is in %s and %s", path, here.zone, there.zone)
		}
		for _, n := range there.times {
			at, err := time.Parse(time.RFC3339, attrOf(n, "datetime"))
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			moments++
			text := n.FirstChild.Data
			if title := attrOf(n, "title"); !strings.Contains(title, at.In(kathmandu).Format("15:04:05 Asia/Kathmandu, UTC-07:00")) &&
				attrOf(n, "data-f") != "seconds" {
				t.Errorf("%s: %q has %q on hover, at %s", path, text, title, at)
			}
			for _, clock := range timeOfDay.FindAllString(text, -1) {
				its := kathmandu
				if of := attrOf(n, "data-zone"); of != "" {
					its, _ = zone.Named(of)
				}
				if told++; !strings.HasPrefix(at.In(its).Format("15:04:05"), clock) {
					t.Errorf("%s: %s is told as %q", path, at, text)
				}
			}
		}
		if len(here.loose) != len(there.loose) {
			t.Errorf("%s: in UTC it has %q, in Kathmandu %q", path, here.loose, there.loose)
			continue
		}
	loose:
		for i, text := range there.loose {
			for _, known := range sameEverywhere {
				if strings.Contains(text, known) {
					continue loose
				}
			}
			a, _ := time.Parse("15:04", timeOfDay.FindString(here.loose[i])[:5])
			b, _ := time.Parse("15:04", timeOfDay.FindString(text)[:5])
			told++
			if d := (b.Sub(a) + 24*time.Hour) % (24 * time.Hour); d != 5*time.Hour+45*time.Minute {
				t.Errorf("%s: %q in UTC is %q in Kathmandu, %s ahead", path, here.loose[i], text, d)
			}
		}
	}
	t.Logf("%d pages, %d moments, %d times of day", len(paths), moments, told)
	if moments < 100 || told < 50 {
		t.Errorf("%d moments and %d times of day were looked at, which proves little", moments, told)
	}
}

// Which zone a page is in: what the page says that asks, else what the user chose, else
// what the browser says, else the server's.
func TestAPageIsInTheViewersZone(t *testing.T) {
	berlin, err := zone.Named("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *base.Config) { c.Zone = berlin })
	for i, c := range []struct {
		setting, cookie, header string
		want                    string
		asks                    bool // whether the browser may ask for the page in its own zone
	}{
		{zone.Browser, "", "", "Europe/Berlin", true},
		{zone.Browser, "Asia/Kathmandu", "", "Asia/Kathmandu", true},
		{zone.Browser, "Asia%2FKathmandu", "", "Asia/Kathmandu", true},
		{zone.Browser, "Mars/Olympus", "", "Europe/Berlin", true},
		{zone.Browser, "Local", "", "Europe/Berlin", true},
		{zone.Browser, "../../etc/passwd", "", "Europe/Berlin", true},
		{zone.Browser, strings.Repeat("A", 4000), "", "Europe/Berlin", true},
		{zone.Browser, "Asia/Kathmandu", "Asia/Tokyo", "Asia/Tokyo", true},
		{zone.Browser, "Asia/Kathmandu", "Mars/Olympus", "Asia/Kathmandu", true},
		{zone.Server, "Asia/Kathmandu", "", "Europe/Berlin", false},
		{"America/Santiago", "Asia/Kathmandu", "", "America/Santiago", false},
		{"America/Santiago", "", "Asia/Tokyo", "Asia/Tokyo", false},
	} {
		u := w.known(fmt.Sprintf("user%d", i), store.Viewer)
		client := w.as(u)
		if r := client.do("POST", "/account/zone", url.Values{"zone": {"named"}, "named": {c.setting}}); r.StatusCode != http.StatusSeeOther {
			t.Fatalf("choose %s: %s %s", c.setting, r.Status, r.text)
		}
		headers := []string{}
		if c.cookie != "" {
			at, _ := url.Parse(w.http.URL)
			client.http.Jar.SetCookies(at, []*http.Cookie{{Name: zone.Cookie, Value: c.cookie}})
		}
		if c.header != "" {
			headers = append(headers, zone.Header, c.header)
		}
		for _, path := range []string{"/", "/jobs", "/no-such-page"} {
			r := client.do("GET", path, nil, headers...)
			if got := clocksOf(t, r.text).zone; got != c.want {
				t.Errorf("set to %s, the browser says %.20q, the page %q: %s is in %s, want %s", c.setting, c.cookie, c.header, path, got, c.want)
			}
			if got := strings.Contains(r.text, "data-own-zone"); got != c.asks {
				t.Errorf("set to %s: %s says that it may be asked for again: %t", c.setting, path, got)
			}
		}
	}
}

func TestAZoneThatIsNoneIsRefused(t *testing.T) {
	w := newWorld(t)
	c := w.as(w.known("ada", store.Viewer))
	for _, name := range []string{"", "Mars/Olympus", "Local", "../UTC", strings.Repeat("x", 5000)} {
		if r := c.do("POST", "/account/zone", url.Values{"zone": {"named"}, "named": {name}}); r.StatusCode != http.StatusUnprocessableEntity ||
			!strings.Contains(r.text, "This is no time zone") {
			t.Errorf("%.20q: %s", name, r.Status)
		}
	}
	if !c.signedIn() {
		t.Error("whoever looks at zones is signed out")
	}
	if r := c.do("POST", "/account/zone", url.Values{"zone": {"named"}, "named": {" Asia/Kathmandu "}}); r.StatusCode != http.StatusSeeOther {
		t.Errorf("a good one: %s", r.Status)
	}
	if got := must(w.store.UserByName(t.Context(), "ada")).Zone; got != "Asia/Kathmandu" {
		t.Errorf("it is saved as %q", got)
	}
	entries := must(w.store.AuditEntries(t.Context(), store.AuditFilter{Action: "user.zone_set"}, 9))
	if len(entries) != 1 || entries[0].Detail != "ada: browser to Asia/Kathmandu" {
		t.Errorf("the audit log has %+v", entries)
	}
	if !c.signedIn() {
		t.Error("a zone signs somebody out")
	}
}
