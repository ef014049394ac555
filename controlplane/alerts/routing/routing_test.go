package routing

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/topics"
)

var list = []channels.Channel{{ID: "mail", Name: "Mail", Enabled: true}, {ID: "phone", Name: "Phone", Enabled: true},
	{ID: "off", Name: "Off"}}

func about(condition string, on alerts.On, host topics.HostID, severity alerts.Severity) alerts.Alert {
	return alerts.Alert{ID: "a", Key: alerts.Key{Condition: condition, On: on}, Host: host, Severity: severity}
}

func TestWhoHearsOfWhat(t *testing.T) {
	servers := Rule{ID: "1", Tags: []string{"server"}, Severities: []string{"critical"}, Channels: []string{"phone", "off"}, Delay: 60}
	laptop := Rule{ID: "2", Hosts: []string{"laptop"}, Channels: []string{"mail"}, Stop: true}
	rest := Rule{ID: "3", Severities: []string{"critical", "warning"}, Channels: []string{"mail", "phone"}}
	drills := Rule{ID: "4", Conditions: []string{"drill-failed"}, Channels: []string{"phone"}}
	mute := Rule{ID: "5", Conditions: []string{"clock-off"}, Stop: true}
	world := func(rules ...Rule) *World {
		return &World{Rules: Rules{Rules: rules}, Channels: list, Tags: map[topics.HostID][]string{"db": {"server"}},
			Users: map[topics.RepositoryID][]topics.HostID{"attic": {"laptop", "db"}, "cellar": {"laptop"}}}
	}
	of := func(a alerts.Alert, id topics.RepositoryID) alerts.Alert {
		a.Repository = id
		return a
	}
	failed := func(host topics.HostID) alerts.Alert {
		return about("backup-failed", alerts.OnGroup, host, alerts.Critical)
	}
	gone := Rule{ID: "8", Channels: []string{"off", "removed"}, Stop: true}
	fails := func(channel string) alerts.Alert {
		return alerts.Alert{Key: alerts.Key{Condition: "channel-failing", On: alerts.OnChannel, Subject: channel}, Severity: alerts.Warning}
	}
	for _, c := range []struct {
		what  string
		world *World
		alert alerts.Alert
		want  map[string]string // the rule by the channel
	}{
		{"without rules, all that is enabled", world(), failed("db"), map[string]string{"mail": "", "phone": ""}},
		{"without rules, a warning", world(), about("x", alerts.OnHost, "db", alerts.Warning), map[string]string{"mail": "", "phone": ""}},
		{"without rules, not what is only worth knowing", world(), about("x", alerts.OnHost, "db", alerts.Info), nil},
		{"without rules, not over the channel itself", world(),
			alerts.Alert{Key: alerts.Key{On: alerts.OnChannel, Subject: "mail"}, Severity: alerts.Warning}, map[string]string{"phone": ""}},
		{"by a tag", world(servers), failed("db"), map[string]string{"phone": "1"}},
		{"not of a host without the tag", world(servers), failed("laptop"), nil},
		{"not below the severity", world(servers), about("x", alerts.OnHost, "db", alerts.Warning), nil},
		{"by a host", world(laptop), failed("laptop"), map[string]string{"mail": "2"}},
		{"not of another host", world(laptop), failed("db"), nil},
		{"the first rule of a channel counts", world(servers, rest), failed("db"), map[string]string{"mail": "3", "phone": "1"}},
		{"a rule stops", world(laptop, rest), failed("laptop"), map[string]string{"mail": "2"}},
		{"a rule that only stops", world(mute, rest), about("clock-off", alerts.OnHost, "db", alerts.Warning), nil},
		{"by the condition", world(drills), about("drill-failed", alerts.OnGroup, "db", alerts.Critical), map[string]string{"phone": "4"}},
		{"not of another condition", world(drills), failed("db"), nil},
		{"of a repository, by a host that uses it", world(servers),
			of(about("repository-damaged", alerts.OnRepository, "", alerts.Critical), "attic"), map[string]string{"phone": "1"}},
		{"not of a repository of others", world(servers),
			of(about("repository-damaged", alerts.OnRepository, "", alerts.Critical), "cellar"), nil},
		{"a rule whose channels are all gone stops nothing", world(gone, rest), failed("db"), map[string]string{"mail": "3", "phone": "3"}},
		{"a channel that fails is told where no rule leads", world(servers), fails("mail"), map[string]string{"phone": ""}},
		{"but not where nobody is to hear it", world(Rule{ID: "6", Conditions: []string{"channel-failing"}, Stop: true}), fails("mail"), nil},
		{"nor beside those who are", world(rest), fails("phone"), map[string]string{"mail": "3"}},
		{"the one that is to hear it fails itself", world(Rule{ID: "7", Channels: []string{"mail"}, Stop: true}), fails("mail"),
			map[string]string{"phone": ""}},
		{"the control plane has no host", world(servers), about("plane-disk", alerts.OnPlane, "", alerts.Critical), nil},
	} {
		got := map[string]string{}
		for id, rule := range c.world.Hearers(c.alert) {
			got[id] = rule.ID
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	notes := Plan([]Change{{failed("db"), channels.Opened, 1000}, {failed("laptop"), channels.Recovered, 5000}}, world(servers, rest))
	if len(notes) != 4 || notes[0] != (channels.Note{Channel: "mail", Alert: "a", Event: channels.Opened, At: 1000, DueAt: 1000}) ||
		notes[3] != (channels.Note{Channel: "phone", Alert: "a", Event: channels.Opened, At: 1000, DueAt: 61_000}) {
		t.Errorf("the notes are %+v", notes)
	}
}

func TestWhomAPauseCovers(t *testing.T) {
	w := &World{Tags: map[topics.HostID][]string{"db": {"server"}}}
	for _, c := range []struct {
		kind, subject string
		host          topics.HostID
		at            int64
		want          int64
	}{
		{"all", "", "db", 15, 20},
		{"all", "", "", 15, 20},
		{"all", "", "", 20, 0}, // it ended then
		{"all", "", "", 9, 0},
		{"host", "db", "db", 10, 20},
		{"host", "db", "laptop", 15, 0},
		{"host", "db", "", 15, 0},
		{"tag", "server", "db", 15, 20},
		{"tag", "server", "laptop", 15, 0},
		{"of a later version", "", "db", 15, 0},
	} {
		w.Pauses = []alerts.Pause{{Kind: c.kind, Subject: c.subject, From: 10, Until: 20}}
		if got := w.Paused(about("x", alerts.OnHost, c.host, alerts.Warning), c.at); got != c.want {
			t.Errorf("%s %s at %d of %q: until %d, want %d", c.kind, c.subject, c.at, c.host, got, c.want)
		}
	}
}

// Times are read on the clock on the wall, over midnight and over changes of the clock.
func TestQuietHours(t *testing.T) {
	at := func(text string) int64 {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when.UnixMilli()
	}
	w := &World{}
	for _, c := range []struct {
		what, from, to, zone string
		now, until           string // "" is not quiet
	}{
		{"in the evening", "22:00", "07:00", "UTC", "2026-03-02T22:00:00Z", "2026-03-03T07:00:00Z"},
		{"over midnight", "22:00", "07:00", "UTC", "2026-03-03T06:59:59Z", "2026-03-03T07:00:00Z"},
		{"in the morning", "22:00", "07:00", "UTC", "2026-03-03T07:00:00Z", ""},
		{"by day", "22:00", "07:00", "UTC", "2026-03-03T21:59:59Z", ""},
		{"at noon", "12:00", "13:30", "UTC", "2026-03-03T13:29:00Z", "2026-03-03T13:30:00Z"},
		{"after noon", "12:00", "13:30", "UTC", "2026-03-03T13:30:00Z", ""},
		{"elsewhere", "22:00", "07:00", "America/New_York", "2026-01-10T04:00:00Z", "2026-01-10T12:00:00Z"},
		{"in the night of spring's gap", "22:00", "07:00", "Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T05:00:00Z"},
		{"to a time in the gap", "22:00", "02:30", "Europe/Berlin", "2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z"},
		{"after the gap", "22:00", "02:30", "Europe/Berlin", "2026-03-29T01:00:00Z", ""},
		{"both in the gap", "02:10", "02:50", "Europe/Berlin", "2026-03-29T01:00:00Z", ""},
		{"to a time that comes twice", "22:00", "02:30", "Europe/Berlin", "2026-10-25T00:29:00Z", "2026-10-25T00:30:00Z"},
		{"while it comes the second time", "22:00", "02:30", "Europe/Berlin", "2026-10-25T01:15:00Z", ""},
		{"in the longer night", "22:00", "07:00", "Europe/Berlin", "2026-10-25T05:59:00Z", "2026-10-25T06:00:00Z"},
		{"no zone that anybody knows", "22:00", "07:00", "Mars/Olympus", "2026-03-02T23:00:00Z", ""},
		{"no quiet hours", "", "", "", "2026-03-02T23:00:00Z", ""},
	} {
		want := int64(0)
		if c.until != "" {
			want = at(c.until)
		}
		r := Rule{QuietFrom: c.from, QuietTo: c.to, Zone: c.zone}
		if got := w.Quiet(r, alerts.Warning, at(c.now)); got != want {
			t.Errorf("%s, %s to %s (%s) at %s: quiet until %s, want %q", c.what, c.from, c.to, c.zone, c.now, time.UnixMilli(got).UTC(), c.until)
		}
		if got := w.Quiet(r, alerts.Critical, at(c.now)); got != 0 {
			t.Errorf("%s: something critical waits", c.what)
		}
		if r.CriticalWaits = true; w.Quiet(r, alerts.Critical, at(c.now)) != want {
			t.Errorf("%s: something critical does not wait as chosen", c.what)
		}
	}
}

// In a whole year each day and week has one digest, whatever the clock does.
func TestEachDayHasOneDigest(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []Digest{{Every: Daily, At: "07:00"}, {Every: Daily, At: "02:30"}, {Every: Daily, At: "00:00"},
		{Every: Daily, At: "23:59"},
		{Every: Weekly, At: "02:30", Weekday: "sunday"}, {Every: Weekly, At: "07:00", Weekday: "monday"}} {
		d.Zone = "Europe/Berlin"
		days := map[string]bool{}
		last := time.Date(2026, 1, 1, 0, 0, 0, 0, zone).Add(-time.Second)
		for now := last; now.Year() < 2027; now = now.Add(10 * time.Minute) {
			slot := d.Due(last, now)
			if slot.IsZero() {
				continue
			}
			last = slot
			day := slot.In(zone).Format(time.DateOnly)
			if days[day] || d.Weekday != "" && strings.ToLower(slot.In(zone).Weekday().String()) != d.Weekday {
				t.Errorf("%s: one comes at %s", d.Key(), slot.In(zone))
			}
			days[day] = true
		}
		want := 365
		if d.Every == Weekly {
			want = 52
		}
		if len(days) != want {
			t.Errorf("%s: %d in a year, want %d", d.Key(), len(days), want)
		}
	}
}

func TestAPreviewSaysWhoHearsAndWhy(t *testing.T) {
	rules := Rules{Rules: []Rule{
		{ID: "1", Name: "mute\u202e", Conditions: []string{"clock-off"}, Stop: true},
		{ID: "2", Name: "servers", Tags: []string{"server"}, Channels: []string{"phone"}, Delay: 900, RepeatEvery: 14400,
			QuietFrom: "22:00", QuietTo: "07:00", Zone: "UTC", Recovered: true},
	}}
	why := func(rules Rules, host topics.HostID, tags []string, condition conditions.Name) (all []string) {
		for _, h := range Preview(conditions.Table(), rules, list, host, tags) {
			if h.Condition == condition {
				all = append(all, h.Channel+": "+h.Why)
			}
		}
		return all
	}
	for _, c := range []struct {
		rules     Rules
		host      topics.HostID
		tags      []string
		condition conditions.Name
		want      []string
	}{
		{rules, "db", []string{"server"}, conditions.BackupFailed, []string{
			"phone: The rule “servers” leads here, if it is still open after 15 min," +
				" also in its quiet hours, again every 4 h, and when it is over."}},
		{rules, "db", []string{"server"}, conditions.HostOffline, []string{
			"phone: The rule “servers” leads here, if it is still open after 15 min," +
				" but not from 22:00 to 07:00 (UTC), again every 4 h, and when it is over."}},
		{rules, "db", []string{"server"}, conditions.RepositoryDamaged, []string{
			"phone: The rule “servers” leads here, if it is still open after" +
				" 15 min, also in its quiet hours, again every 4 h, and when it is over."}},
		{rules, "db", []string{"server"}, conditions.ClockOff, []string{
			": The rule “mute\\u202e” stops here, and no channel before it hears of this."}},
		{rules, "laptop", nil, conditions.BackupFailed, []string{": No rule covers it."}},
		{rules, "", nil, conditions.PlaneDisk, []string{": No rule covers it."}},
		{rules, "", nil, conditions.ChannelFailing, []string{
			"mail: No rule covers it, so every other channel hears that one fails, and when it works again.",
			"phone: No rule covers it, so every other channel hears that one fails, and when it works again."}},
		{rules, "", nil, conditions.BackupFailed, nil}, // it is about a host
		{Rules{}, "laptop", nil, conditions.BackupFailed, []string{
			"mail: There are no rules, so every channel hears of warnings and of what is critical, and when it is over.",
			"phone: There are no rules, so every channel hears of warnings and of what is critical, and when it is over."}},
	} {
		if got := why(c.rules, c.host, c.tags, c.condition); !slices.Equal(got, c.want) {
			t.Errorf("%s of %q: %q, want %q", c.condition, c.host, got, c.want)
		}
	}
	if got := Preview(conditions.Table(), Rules{}, nil, "laptop", nil); got[0].Why != "There is no channel." {
		t.Errorf("without channels: %+v", got[0])
	}
}

func TestWhatRulesMaySay(t *testing.T) {
	known := Known{Conditions: []string{"overdue"}, Channels: []string{"mail"}, Hosts: []string{"db"}}
	good := `{"rules":[{"id":"1","name":"one","severities":["critical"],"conditions":["overdue"],"tags":["any"],"hosts":["db"],
		"channels":["mail"],"repeat_every":14400,"delay":900,"quiet_from":"22:00","quiet_to":"07:00","zone":"Europe/Berlin","recovered":true},
		{"id":"2","name":"nobody","channels":[],"recovered":false,"stop":true}],
		"digests":[{"channels":["mail"],"every":"weekly","at":"07:00","weekday":"monday","zone":"UTC"}]}`
	read := func() (r Rules) {
		if err := json.Unmarshal([]byte(good), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if err := read().Check(known); err != nil {
		t.Errorf("good rules: %v", err)
	}
	for at, change := range map[string]func(*Rules){
		"rules.0.name":         func(r *Rules) { r.Rules[0].Name = " " },
		"rules.1.id":           func(r *Rules) { r.Rules[1].ID = "1" },
		"rules.0.severities":   func(r *Rules) { r.Rules[0].Severities = []string{"fatal"} },
		"rules.0.conditions":   func(r *Rules) { r.Rules[0].Conditions = []string{"later"} },
		"rules.0.hosts":        func(r *Rules) { r.Rules[0].Hosts = []string{"gone"} },
		"rules.0.channels":     func(r *Rules) { r.Rules[0].Channels = nil },
		"rules.1.channels":     func(r *Rules) { r.Rules[1].Channels = []string{"gone"} },
		"rules.0.repeat_every": func(r *Rules) { r.Rules[0].RepeatEvery = 1 },
		"rules.0.delay":        func(r *Rules) { r.Rules[0].Delay = -1 },
		"rules.0.quiet_from":   func(r *Rules) { r.Rules[0].QuietFrom = "24:00" },
		"rules.0.quiet_to":     func(r *Rules) { r.Rules[0].QuietTo = "22:00" },
		"rules.0.zone":         func(r *Rules) { r.Rules[0].Zone = "Local" },
		"digests.0.channels":   func(r *Rules) { r.Digests[0].Channels = nil },
		"digests.0.every":      func(r *Rules) { r.Digests[0].Every = "hourly" },
		"digests.0.at":         func(r *Rules) { r.Digests[0].At = "7:00" },
		"digests.0.weekday":    func(r *Rules) { r.Digests[0].Weekday = "" },
		"digests.0.zone":       func(r *Rules) { r.Digests[0].Zone = "" },
		"rules":                func(r *Rules) { r.Rules = make([]Rule, MaxRules+1) },
		"digests":              func(r *Rules) { r.Digests = make([]Digest, MaxDigests+1) },
	} {
		r := read()
		change(&r)
		var wrong field.Errors
		if err := r.Check(known); !errors.As(err, &wrong) || wrong[at] == "" || len(wrong) != 1 {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func TestWhyNobodyWasTold(t *testing.T) {
	now := time.Date(2026, 3, 2, 23, 30, 0, 0, time.UTC).UnixMilli()
	late := Rule{ID: "1", Name: "Late", Channels: []string{"mail"}, Delay: 900}
	night := Rule{ID: "2", Name: "Night", Channels: []string{"mail"}, QuietFrom: "22:00", QuietTo: "07:00", Zone: "UTC"}
	phones := Rule{ID: "3", Name: "Phones", Tags: []string{"server"}, Channels: []string{"phone"}}
	off := Rule{ID: "4", Name: "Old", Channels: []string{"off"}}
	for _, c := range []struct {
		what  string
		w     World
		since time.Duration
		want  string
	}{
		{"no rules", World{}, 0, ""},
		{"no channel", World{Channels: list[:0:0]}, 0, "There is no channel."},
		{"a delay", World{Rules: Rules{Rules: []Rule{late}}}, time.Minute, "The rule “Late” tells only of what is still open after 15 min."},
		{"a delay that is over", World{Rules: Rules{Rules: []Rule{late}}}, time.Hour, ""},
		{"quiet hours", World{Rules: Rules{Rules: []Rule{night}}}, time.Hour, "The rule “Night” keeps quiet from 22:00 to 07:00 (UTC)."},
		{"quiet hours of one of two", World{Rules: Rules{Rules: []Rule{night, phones}},
			Tags: map[topics.HostID][]string{"db": {"server"}}}, time.Hour, ""},
		{"no rule for it", World{Rules: Rules{Rules: []Rule{phones}}}, 0, "No rule covers it."},
		{"a channel that is off", World{Rules: Rules{Rules: []Rule{off}}}, 0, "The rule “Old” leads to channels that are disabled or removed."},
		{"a pause", World{Pauses: []alerts.Pause{{Kind: "host", Subject: "db", Until: now + 1}}}, 0, "Alerts are paused for it now."},
	} {
		if c.w.Channels == nil {
			c.w.Channels = list
		}
		a := about("host-offline", alerts.OnHost, "db", alerts.Warning)
		a.OpenedAt = now - c.since.Milliseconds()
		if got := c.w.Silent(a, now); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
