package web

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/heartbeats"
	"github.com/restic-manager/restic-manager/topics"
)

// alert opens an alert of a host.
func (w *world) alert(host topics.HostID, condition string, severity alerts.Severity, name, title string) string {
	w.t.Helper()
	a := alerts.Alert{ID: topics.NewID(time.Now()), Key: alerts.Key{Condition: condition, On: alerts.OnHost, Subject: string(host) + title},
		Host:     host,
		Severity: severity, OpenedAt: w.store.Now(), SeenAt: w.store.Now(), BeganAt: w.store.Now(), Count: 1,
		Body: column.JSON[alerts.Body]{V: &alerts.Body{Name: name, Title: title, Cause: "The cause of " + title, Do: "Look at " + name}}}
	if err := w.store.Alerts().Tx(w.t.Context(), func(tx alerts.Tx) error {
		return alerts.Put(w.t.Context(), tx, []*alerts.Alert{&a})
	}); err != nil {
		w.t.Fatal(err)
	}
	return a.ID
}

// What somebody does about alerts shows at once, and a form that was refused keeps what
// was typed.
func TestAlertsAreActedOn(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	page := w.person(store.Operator)
	if r := page.do("GET", "/alerts", nil); !strings.Contains(r.text, "Nothing needs attention") ||
		!strings.Contains(r.text, "There has been no alert yet") {
		t.Errorf("a new server's alerts: %s", r.text)
	}
	hostile := "<script>alert(1)</script>\u202e"
	one := w.alert(attic.id, "host-offline", alerts.Warning, "attic", "offline")
	two := w.alert(attic.id, "overdue", alerts.Critical, "attic", hostile)
	three := w.alert(attic.id, "repository-damaged", alerts.Critical, "vault", "damaged")
	r := page.do("GET", "/alerts", nil)
	for _, want := range []string{"offline", "&lt;script&gt;", `id="nav-alerts"`, "damaged", "Nobody is told: there is no channel"} {
		if !strings.Contains(r.text, want) {
			t.Errorf("the list lacks %q", want)
		}
	}
	if strings.Contains(r.text, "<script>alert") || strings.Contains(r.text, "\u202e") {
		t.Error("a hostile title comes through")
	}
	if r := page.do("GET", "/alerts?severity=warning&q=OFF", nil); strings.Contains(r.text, "The cause of damaged") ||
		!strings.Contains(r.text, "The cause of offline") {
		t.Error("the filter does not narrow the list")
	}
	if r := page.do("GET", "/alerts?by=cause", nil); r.StatusCode != http.StatusOK {
		t.Errorf("by cause: %s", r.Status)
	}
	post := func(path string, f url.Values, status int) answer {
		t.Helper()
		r := page.do("POST", path, f)
		if r.StatusCode != status {
			t.Errorf("POST %s %v: %s %.300s", path, f, r.Status, r.text)
		}
		return r
	}
	post("/alerts/act", url.Values{"one": {"acknowledge " + one}, "id": {two, three}, "do": {"end"}}, http.StatusSeeOther)
	state := func(id string) alerts.State {
		return must(w.store.Alerts().Get(t.Context(), id)).State(w.store.Now())
	}
	if state(one) != alerts.Acknowledged || state(two) != alerts.Open {
		t.Errorf("a button of one alert made them %s and %s", state(one), state(two))
	}
	post("/alerts/act", url.Values{"do": {"snooze"}, "for": {"1h"}, "id": {one, two}, "back": {"/alerts?by=cause"}}, http.StatusSeeOther)
	if state(one) != alerts.Snoozed || state(two) != alerts.Snoozed {
		t.Error("two that were ticked are not snoozed")
	}
	post("/alerts/act", url.Values{"do": {"snooze"}, "for": {"1h"}, "id": {three}}, http.StatusConflict)
	if r := post("/alerts/act", url.Values{"do": {"acknowledge"}}, http.StatusUnprocessableEntity); !strings.Contains(r.text,
		"Tick the alerts that are meant") {
		t.Error("nothing ticked does not lead back to the list")
	}
	// Several cannot be ended without a reason: the form comes again as it was.
	r = post("/alerts/act", url.Values{"do": {"end"}, "id": {three}, "section": {"open"}, "back": {"/alerts?q=damaged"}},
		http.StatusUnprocessableEntity)
	if !strings.Contains(r.text, `value="`+three+`" checked`) || !strings.Contains(r.text, `id="bulk-err-open"`) ||
		!strings.Contains(r.text, `value="damaged"`) {
		t.Errorf("ending without a reason loses what was ticked: %.300s", r.text)
	}
	post("/alerts/act", url.Values{"do": {"wake"}, "id": {two}}, http.StatusSeeOther)
	if r := post("/alerts/act", url.Values{"page": {"alert"}, "do": {"snooze"}, "until": {"2001-02-03T04:05"}, "id": {two}},
		http.StatusUnprocessableEntity); !strings.Contains(r.text, "2001-02-03T04:05") {
		t.Error("the form lost the moment that was typed")
	}
	post("/alerts/act", url.Values{"page": {"alert"}, "do": {"end"}, "id": {two}}, http.StatusUnprocessableEntity)
	post("/alerts/act", url.Values{"page": {"alert"}, "do": {"end"}, "reason": {"replaced " + "by hand"}, "id": {two}}, http.StatusSeeOther)
	if r := page.do("GET", "/alerts/"+two, nil); !strings.Contains(r.text, "replaced by hand") || !strings.Contains(r.text, "Ended") {
		t.Error("the page of an alert that was ended does not say why")
	}
	if r := page.do("GET", "/alerts?state=ended", nil); !strings.Contains(r.text, "replaced by hand") {
		t.Error("the list of ended alerts does not say why")
	}
	if r := page.do("GET", "/hosts/"+string(attic.id), nil); !strings.Contains(r.text, "/alerts/"+three) {
		t.Error("the host's page does not show its alerts")
	}
	for _, path := range []string{"/alerts/nobody", "/alerts/channels"} {
		if r := page.do("GET", path, nil); r.StatusCode != http.StatusNotFound && r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
}

// A channel's secrets stay where they are: no page shows them again, and an empty field keeps them.
func TestChannelsAreSetUp(t *testing.T) {
	w := newWorld(t)
	said := make(chan string, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		said <- r.Header.Get("X-Team")
		_, _ = rw.Write([]byte("taken"))
	}))
	t.Cleanup(hook.Close)
	attic := w.enrol("attic")
	page := w.person(store.Admin)
	f := url.Values{"kind": {"webhook"}, "name": {"ops"}, "f.url": {hook.URL}, "f.headers": {"X-Team: night-watch"}}
	r := page.do("POST", "/alerts/channels/new", f)
	if r.StatusCode != http.StatusOK || !strings.Contains(r.text, "rmw_") {
		t.Fatalf("adding a channel: %s %.300s", r.Status, r.text)
	}
	list := must(w.store.Channels().List(t.Context()))
	if len(list) != 1 {
		t.Fatalf("%d channels", len(list))
	}
	at := "/alerts/channels/" + list[0].ID
	if r := page.do("POST", "/alerts/channels/new", f); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(r.text, hook.URL) {
		t.Errorf("the same name again: %s", r.Status)
	}
	if r := page.do("POST", at, url.Values{"name": {"ops team"}, "f.url": {hook.URL}}); r.StatusCode != http.StatusOK {
		t.Errorf("saving a channel: %s %.300s", r.Status, r.text)
	}
	if r := page.do("GET", at, nil); strings.Contains(r.text, "rmw_") || strings.Contains(r.text, "night-watch") ||
		!strings.Contains(r.text, "ops team") {
		t.Error("the channel's page shows a secret, or another name")
	}
	if r := page.do("POST", at+"/test", url.Values{"condition": {"overdue"}}); !strings.Contains(r.text, "It was taken") ||
		!strings.Contains(r.text, "taken") {
		t.Errorf("a test: %s %.300s", r.Status, r.text)
	}
	if got := <-said; got != "night-watch" {
		t.Errorf("the header that an empty field keeps is %q", got)
	}
	rule := url.Values{"name": {"nights"}, "severity": {"critical"}, "hosts": {"attic"}, "channel": {list[0].ID}, "quiet_from": {"22:00"},
		"quiet_to": {"7"}, "zone": {"Europe/Berlin"}, "delay": {"15"}, "version": {"0"}}
	if r := page.do("POST", "/alerts/rules/new", rule); r.StatusCode != http.StatusUnprocessableEntity ||
		!strings.Contains(r.text, `value="15"`) {
		t.Errorf("a rule with half a time: %s", r.Status)
	}
	rule.Set("quiet_to", "07:00")
	if r := page.do("POST", "/alerts/rules/new", rule); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("a rule: %s %.400s", r.Status, r.text)
	}
	if r := page.do("POST", "/alerts/rules/new", rule); r.StatusCode != http.StatusConflict {
		t.Errorf("a rule from a page that somebody else overtook: %s", r.Status)
	}
	if r := page.do("GET", "/alerts/rules?host=attic", nil); !strings.Contains(r.text, "told to ops team") ||
		!strings.Contains(r.text, "not 22:00–07:00") {
		t.Errorf("the preview does not say who hears of what: %s", r.Status)
	}
	for _, c := range []struct {
		condition, value, unit string
		status                 int
	}{{"host-offline", "2", "h", 303}, {"host-offline", "2", "%", 422}, {"twins", "", "h", 422}, {"host-offline", "x", "h", 422}} {
		version := must(w.store.Alerts().Setting(t.Context(), alerts.Thresholds)).Version
		r := page.do("POST", "/alerts/conditions", url.Values{"condition": {c.condition}, "scope": {"host"}, "subject": {"attic"},
			"value": {c.value},
			"unit":  {c.unit}, "version": {fmt.Sprint(version)}})
		if r.StatusCode != c.status {
			t.Errorf("%v: %s %.300s", c, r.Status, r.text)
		}
	}
	if r := page.do("GET", "/alerts/conditions?host=attic", nil); !strings.Contains(r.text, "set for this host") {
		t.Error("the page does not say whose threshold counts")
	}
	pause := url.Values{"kind": {"host"}, "subject": {"attic"}, "until": {"2001-01-01T00:00"}, "reason": {"disks"}}
	if r := page.do("POST", "/alerts/pauses", pause); r.StatusCode != http.StatusUnprocessableEntity ||
		!strings.Contains(r.text, `value="disks"`) {
		t.Errorf("a pause that is over: %s", r.Status)
	}
	pause.Set("until", time.Now().AddDate(0, 0, 2).UTC().Format("2006-01-02T15:04"))
	if r := page.do("POST", "/alerts/pauses", pause); r.StatusCode != http.StatusSeeOther {
		t.Errorf("a pause: %s %.300s", r.Status, r.text)
	}
	if r := page.do("GET", "/hosts/"+string(attic.id), nil); !strings.Contains(r.text, "Alerts are paused until") {
		t.Error("the host's page does not say that it is paused")
	}
	if r := page.do("POST", "/settings/public-url", url.Values{"public_url": {"backup"}}); r.StatusCode != http.StatusUnprocessableEntity ||
		!strings.Contains(r.text, `value="backup"`) {
		t.Errorf("an address that is none: %s", r.Status)
	}
	if r := page.do("POST", "/settings/public-url", url.Values{"public_url": {"https://backup.example.net/"}}); r.
		StatusCode != http.StatusSeeOther {
		t.Errorf("an address: %s", r.Status)
	}
	if r := page.do("POST", at+"/remove", nil); r.StatusCode != http.StatusSeeOther || len(must(w.store.Channels().List(t.Context()))) != 0 {
		t.Errorf("removing: %s", r.Status)
	}
}

// Where it is told elsewhere that backups are made is said, changed and taken away on the
// watchdog's page, and its address is not shown again.
func TestBackupsAreWatchedFromOutside(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	page := w.person(store.Admin)
	post := func(f url.Values, status int) answer {
		t.Helper()
		r := page.do("POST", "/alerts/heartbeat/pings", f)
		if r.StatusCode != status {
			t.Errorf("%v: %s %.300s", f, r.Status, r.text)
		}
		return r
	}
	of := func() []heartbeats.Heartbeat { return must(w.store.Heartbeats(t.Context())) }
	if r := page.do("GET", "/alerts/heartbeat?scope=host&subject="+string(attic.id), nil); !strings.Contains(r.text, `value="attic"`) {
		t.Error("a link from the host does not fill the form in")
	}
	for _, bad := range []url.Values{
		{"scope": {"host"}, "subject": {"nobody"}, "url": {"https://hc.example.net/ping/1"}},
		{"scope": {"schedule"}, "subject": {"nobody"}, "url": {"https://hc.example.net/ping/1"}},
		{"scope": {"tag"}, "subject": {""}, "url": {"https://hc.example.net/ping/1"}},
		{"scope": {"host"}, "subject": {"attic"}},
		{"scope": {"host"}, "subject": {"attic"}, "url": {"nowhere"}},
		{"scope": {"elsewhere"}, "subject": {"attic"}, "url": {"https://hc.example.net/ping/1"}},
	} {
		if r := post(bad, http.StatusUnprocessableEntity); !strings.Contains(r.text, "Nothing was saved.") ||
			bad.Get("url") != "" && !strings.Contains(r.text, bad.Get("url")) {
			t.Errorf("%v: the form lost what was typed", bad)
		}
	}
	post(url.Values{"scope": {"host"}, "subject": {"attic"}, "url": {"https://hc.example.net/ping/a-secret"}}, http.StatusSeeOther)
	if list := of(); len(list) != 1 || list[0].Subject != string(attic.id) {
		t.Fatalf("there are %v", list)
	}
	r := page.do("GET", "/alerts/heartbeat", nil)
	if !strings.Contains(r.text, "Host attic") || !strings.Contains(r.text, "hc.example.net") || strings.Contains(r.text, "a-secret") {
		t.Error("the page does not say what is watched, or shows its secret")
	}
	post(url.Values{"scope": {"host"}, "subject": {"attic"}, "url": {"https://hc.example.net/ping/other"}}, http.StatusUnprocessableEntity)
	same := url.Values{"scope": {"host"}, "subject": {string(attic.id)}, "version": {fmt.Sprint(of()[0].Version)}}
	kept := url.Values{"kind": {"plain"}, "url": {""}}
	maps.Copy(kept, same)
	post(kept, http.StatusSeeOther)
	if got := of()[0]; got.Kind != "plain" || got.URL != "https://hc.example.net/ping/a-secret" {
		t.Errorf("an empty field made it %s, %s", got.Kind, string(got.URL))
	}
	post(kept, http.StatusConflict) // another tab changed it
	same.Set("version", fmt.Sprint(of()[0].Version))
	same.Set("remove", "1")
	post(same, http.StatusSeeOther)
	post(same, http.StatusNotFound) // pressed twice
	if list := of(); len(list) != 0 {
		t.Errorf("there are still %v", list)
	}
}

// Summaries are changed where they are, rules moved both ways, and the page of an alert says
// why nobody hears of it.
func TestSummariesAndRulesAreChanged(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	page := w.person(store.Admin)
	hook := url.Values{"kind": {"webhook"}, "name": {"ops"}, "f.url": {"http://127.0.0.1:9/"}}
	if r := page.do("POST", "/alerts/channels/new", hook); r.StatusCode != http.StatusOK {
		t.Fatal(r.Status)
	}
	ops := must(w.store.Channels().List(t.Context()))[0].ID
	post := func(path string, f url.Values, status int) answer {
		t.Helper()
		f.Set("version", fmt.Sprint(must(w.store.Alerts().Setting(t.Context(), alerts.Rules)).Version))
		r := page.do("POST", path, f)
		if r.StatusCode != status {
			t.Errorf("%s %v: %s %.300s", path, f, r.Status, r.text)
		}
		return r
	}
	digest := url.Values{"every": {"daily"}, "at": {"07:00"}, "zone": {"Europe/Berlin"}}
	if r := post("/alerts/rules/digests", digest, http.StatusUnprocessableEntity); !strings.Contains(r.text, "at least one channel") ||
		!strings.Contains(r.text, `value="Europe/Berlin"`) || !strings.Contains(r.text, "<details class=\"card-b ruled\" open") {
		t.Error("a summary for nobody is not given back")
	}
	digest.Set("channel", ops)
	post("/alerts/rules/digests", digest, http.StatusSeeOther)
	digest.Set("n", "0")
	digest.Set("zone", "Nowhere")
	if r := post("/alerts/rules/digests", digest, http.StatusUnprocessableEntity); !strings.Contains(r.text, `id="digest-0-zone-err"`) {
		t.Error("the zone of a changed summary is not refused beside it")
	}
	digest.Set("zone", "UTC")
	digest.Set("every", "weekly")
	digest.Set("weekday", "friday")
	post("/alerts/rules/digests", digest, http.StatusSeeOther)
	if r := page.do("GET", "/alerts/rules", nil); !strings.Contains(r.text, "Every Friday at 07:00 (UTC) to ops") ||
		strings.Contains(r.text, "Every day at 07:00") {
		t.Error("the summary was not changed in its place")
	}
	digest.Set("n", "7")
	post("/alerts/rules/digests", digest, http.StatusNotFound)

	one := w.alert(attic.id, "host-offline", alerts.Warning, "attic", "offline")
	for _, name := range []string{"first rule", "second rule"} {
		post("/alerts/rules/new", url.Values{"name": {name}, "severity": {"critical"}, "channel": {ops}}, http.StatusSeeOther)
	}
	if r := page.do("GET", "/alerts/"+one, nil); !strings.Contains(r.text, "Nobody was told: no rule covers it") {
		t.Error("the alert does not say why nobody was told")
	}
	above := func() bool {
		text := page.do("GET", "/alerts/rules", nil).text
		return strings.Index(text, "first rule") < strings.Index(text, "second rule")
	}
	id := regexp.MustCompile(`/alerts/rules/edit/([^"]+)"`).FindStringSubmatch(page.do("GET", "/alerts/rules", nil).text)[1]
	post("/alerts/rules/move", url.Values{"rule": {id}, "down": {"1"}}, http.StatusSeeOther)
	if above() {
		t.Error("the first rule did not move down")
	}
	post("/alerts/rules/move", url.Values{"rule": {id}}, http.StatusSeeOther)
	if !above() {
		t.Error("it did not move up again")
	}
}

// A thousand alerts are a page like any other.
func TestAThousandAlertsAreOnePage(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	var all []*alerts.Alert
	for i := range 1000 {
		all = append(all, &alerts.Alert{ID: topics.NewID(time.Now()),
			Key:      alerts.Key{Condition: "host-offline", On: alerts.OnHost, Subject: fmt.Sprint(i)},
			Severity: alerts.Warning, Host: topics.HostID(fmt.Sprintf("h%03d", i/2)), OpenedAt: w.store.Now(), Count: 1,
			Body: column.JSON[alerts.Body]{V: &alerts.Body{Name: fmt.Sprint("host ", i/2), Title: "offline"}}})
	}
	if err := w.store.Alerts().Tx(t.Context(), func(tx alerts.Tx) error { return alerts.Put(t.Context(), tx, all) }); err != nil {
		t.Fatal(err)
	}
	_ = attic
	page := w.person(store.Viewer)
	for path, want := range map[string]string{"/alerts": "1 to 50 of 500 subjects", "/alerts?page=10": "451 to 500 of 500 subjects",
		"/alerts?by=cause": "1,000", "/alerts?condition=host-offline&by=cause": "1 to 50 of 1,000 alerts"} {
		begun := time.Now()
		r := page.do("GET", path, nil)
		t.Logf("%s: %d bytes in %s", path, len(r.text), time.Since(begun))
		if len(r.text) > 400_000 {
			t.Errorf("%s is %d bytes", path, len(r.text))
		}
		if r.StatusCode != http.StatusOK || !strings.Contains(r.text, want) {
			t.Errorf("%s: %s lacks %q", path, r.Status, want)
		}
	}
}
