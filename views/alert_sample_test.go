package views_test

import (
	"time"

	"github.com/restic-manager/restic-manager/views"
)

func ahead(d time.Duration) views.When { return views.NewWhen(now.Add(d), now) }

// alertRows are alerts of every state, one of them about something with a hostile name.
func alertRows() []views.AlertRow {
	return []views.AlertRow{
		{ID: "a1", State: "open", Severity: "critical", Icon: views.AlertIcon("backup-failed", "critical"), Name: "db-prod-02 · postgres",
			NameURL: views.HostURL("db-prod-02"), Title: "backups fail, repository locked",
			Cause: "5 runs of group postgres failed with exit code 11. A stale exclusive lock blocks vault-a/db-prod.",
			Since: past(25 * time.Hour), Count: 3, Flaps: true, Told: "Told to Ops mail and ntfy",
			Link: views.Link{Text: "Open the job", URL: views.JobURL("77c2")}, CanSnooze: true},
		{ID: "a2", State: "open", Severity: "critical", Icon: views.AlertIcon("overdue", "critical"), Name: "win-cad-02",
			NameURL: views.HostURL("win-cad-02"), Title: "no good backup for 3 d 4 h",
			Cause: "The limit is 26 h. The agent went offline and three runs were missed.", Since: past(50 * time.Hour), Count: 1,
			Told: "Told to Ops mail", CanSnooze: true},
		{ID: "a3", State: "open", Severity: "warning", Icon: views.AlertIcon("backup-warnings", "warning"), Name: hostile,
			NameURL: views.HostURL(hostile), Title: hostile, Cause: hostile, Since: past(26 * time.Hour), Count: 1, Told: hostile,
			Link: views.Link{Text: hostile, URL: "/jobs/1"}},
		{ID: "a4", State: "acknowledged", Severity: "warning", Icon: views.AlertIcon("host-offline", "warning"), Name: "edge-berlin-01",
			NameURL: views.HostURL("edge-berlin-01"), Title: "offline", Cause: "Its agent was last heard of 3 h ago.", Since: past(3 * time.Hour),
			Count: 1, By: "helpdesk", At: past(time.Hour), CanSnooze: true},
		{ID: "a5", State: "snoozed", Severity: "warning", Icon: views.AlertIcon("check-overdue", "warning"), Name: "vault-b/media",
			NameURL: views.RepositoryURL("vault-b"), Title: "last check was 41 d ago", Cause: "A check is promised every 30 d.",
			Since: past(11 * 24 * time.Hour), Count: 1, By: "admin", At: past(time.Hour), Until: ahead(90 * time.Hour), CanSnooze: true},
		{ID: "a6", State: "ended", Severity: "critical", Icon: "octagon-x", Name: "k3s-node-1", Title: "backup failed, network unreachable",
			Since: past(13 * time.Hour), At: past(12 * time.Hour), Lasted: "38 min", Count: 1},
		{ID: "a7", State: "ended", Severity: "info", Icon: "info", Name: "plane", Title: hostile,
			Since: past(13 * time.Hour), At: past(5 * time.Hour), Lasted: "8 h", Count: 1, By: hostile, Why: hostile},
	}
}

func alertPauses() []views.AlertPause {
	return []views.AlertPause{
		{ID: "p1", Of: "Everything", Reason: "The rack moves", By: "admin", From: past(time.Hour), Until: ahead(3 * time.Hour), Current: true},
		{ID: "p2", Of: "Host " + hostile, URL: views.HostURL(hostile), Reason: hostile, By: hostile, From: ahead(time.Hour),
			Until: ahead(9 * time.Hour)},
	}
}

func channelLines() []views.ChannelLine {
	return []views.ChannelLine{
		{ID: "c1", Name: "Ops mail", Kind: "Mail", Icon: "mail", To: "ops@example.net", Enabled: true, LastOK: past(17 * time.Minute), Waits: 2},
		{ID: "c2", Name: "ntfy", Kind: "ntfy", Icon: "smartphone", To: "ntfy.example.net", Enabled: true},
		{ID: "c3", Name: "Team chat", Kind: "Slack", Icon: "message-square", Enabled: true, FailingSince: past(70 * time.Hour),
			Answer: "404 Not Found: no_service"},
		{ID: "c4", Name: hostile, Kind: "Webhook", Icon: "webhook", To: hostile, Enabled: false},
		{ID: "c5", Name: "Other", Kind: "Another service", Icon: "link", Enabled: true, FailingSince: past(time.Hour), Answer: hostile},
	}
}

func heartbeat() views.HeartbeatLine {
	return views.HeartbeatLine{On: true, Every: "5 min", Target: "hc.example.net", LastOK: past(2 * time.Minute)}
}

func alertsList() views.Alerts {
	rows := alertRows()
	return views.Alerts{
		Tabs:       views.AlertTabs{Current: "open", Open: 5, Pauses: 1},
		Conditions: []views.Option{{Value: "backup-failed", Text: "backups fail"}, {Value: "overdue", Text: "no good backup"}},
		Sections: []views.AlertSection{
			{State: "open", Title: "Open", Total: 104, All: "/alerts?state=open", Groups: []views.AlertGroup{
				{Rows: rows[:1], Total: 1},
				{Title: "win-cad-02", Total: 9, Rows: rows[1:3], URL: "/alerts?host=win-cad-02"},
			}},
			{State: "acknowledged", Title: "Acknowledged", Total: 1, Groups: []views.AlertGroup{{Rows: rows[3:4], Total: 1}}},
			{State: "snoozed", Title: "Snoozed", Total: 1, Groups: []views.AlertGroup{{Rows: rows[4:5], Total: 1}}},
			{State: "today", Title: "Ended lately", Total: 2, All: "/alerts?state=ended", Groups: []views.AlertGroup{{Rows: rows[5:], Total: 2}}},
		},
		Paging:    views.Paging{Text: "1 to 50 of 104", Next: "/alerts?page=2"},
		Pauses:    alertPauses()[:1],
		Snoozes:   snoozes(),
		Delivery:  channelLines(),
		Channels:  true,
		Heartbeat: heartbeat(),
	}
}

func snoozes() []views.Option {
	return []views.Option{{Value: "1h", Text: "for 1 hour"}, {Value: "morning", Text: "until tomorrow 08:00"},
		{Value: "1w", Text: "for 1 week"}}
}

func anAlert(row views.AlertRow) views.Alert {
	tries := []views.Try{{At: past(time.Hour), Answer: "503 Service Unavailable: " + hostile, Took: "15 s"},
		{At: past(time.Hour - 5*time.Second), OK: true, Answer: "200 OK", Took: "120 ms"}}
	return views.Alert{AlertRow: row, Condition: "backup-failed", About: "Source group",
		Do:   "Remove the stale lock, then run the backup again.",
		When: "The last backup of a source group failed after its retries.", Limit: "26 h, of the tag servers", Ends: "With the next good " +
			"backup.",
		Effect: "Nothing was saved by this run.", Evidence: "repo already locked by " + hostile,
		Job: views.Link{Text: "Backup of db-prod-02", URL: views.JobURL("77c2")}, Swallows: []string{"db-prod-02: no good backup", hostile},
		Opened: past(25 * time.Hour), Seen: past(time.Minute), Host: views.Link{Text: hostile, URL: views.HostURL("h")},
		Repo: views.Link{Text: "vault-a/db-prod", URL: views.RepositoryURL("r")}, Pauses: alertPauses()[:1],
		Told: []views.AlertTold{
			{Event: "opened", Channel: views.Link{Text: "Ops mail", URL: views.ChannelURL("c1")}, State: "sent", At: past(time.Hour),
				Answer: "250 ok", Tries: tries},
			{Event: "opened", Channel: views.Link{Text: hostile, URL: views.ChannelURL("c4")}, State: "given-up", At: past(time.Hour),
				Answer: hostile, Tries: tries[:1]},
			{Event: "reminded", Channel: views.Link{Text: "ntfy"}, State: "waiting", At: ahead(time.Hour)},
		},
		History: []views.Step{views.BadStep("It began", "", past(25*time.Hour)),
			{Icon: "user", Tone: "idle", Text: "Acknowledged by " + hostile, At: past(time.Hour)}},
		Snoozes: snoozes()}
}

func heard() views.HeardTable {
	return views.HeardTable{Host: views.Link{Text: hostile, URL: views.HostURL("h")}, Channels: []string{"Ops mail", hostile},
		Rows: []views.HeardRow{
			{Condition: "backup-failed", Title: "backups fail", Severity: "critical",
				Cells: []views.HeardCell{{Hears: true, Why: "rule nights", Note: "after 15 min"}, {Why: hostile}}},
			{Condition: "certificate-ending", Title: "certificate is about to end", Severity: "warning",
				Cells: []views.HeardCell{{Hears: true}, {Hears: true, Note: hostile}}},
		}}
}

func channelForm() views.ChannelForm {
	return views.ChannelForm{ID: "c1", Version: 3, Name: hostile,
		Kind:   views.ChannelKind{Name: "email", Label: "Mail", Icon: "mail", Help: "The mail server."},
		Errors: map[string]string{"name": "There is one of this name."}, Problem: "The channel was not saved.",
		Fields: []views.ChannelField{
			{Name: "host", Label: "Mail server", Example: "smtp.example.net", Required: true, Value: hostile, Error: "It is no name of a host."},
			{Name: "security", Label: "Encryption", Options: []views.Option{{Value: "starttls", Text: "STARTTLS"}, {Value: "none", Text: "none"}},
				Value: "none"},
			{Name: "password", Label: "Password", Secret: true, Kept: true},
			{Name: "to", Label: "To", Help: "One address a line.", Required: true, List: true, Value: "ops@example.net\n" + hostile},
			{Name: "headers", Label: "Headers", Secret: true, List: true, Kept: true},
		}}
}

// alertSamples are the pages of alerts, each with something to show.
func alertSamples() []sample {
	sh := func(title string) views.Shell {
		s := shell(title, "", views.Link{Text: "Alerts", URL: views.AlertsURL})
		s.Current, s.Alerts, s.AlertsCritical = "alerts", 104, true
		return s
	}
	rows := alertRows()
	none := alertsList()
	none.Sections, none.LastEnded, none.Channels, none.Delivery, none.Heartbeat, none.Pauses =
		nil, past(time.Hour), false, nil, views.HeartbeatLine{}, nil
	never := none
	never.LastEnded = views.When{}
	nothing := none
	nothing.Filter = views.AlertFilter{Host: "h", Tag: hostile, Query: hostile, Severity: "critical"}
	nothing.HostName = hostile
	ended := none
	ended.Filter, ended.Tabs.Current = views.AlertFilter{State: "ended"}, "ended"
	old := ended
	old.Sections = []views.AlertSection{{State: "ended", Title: "Ended", Total: 2, Groups: []views.AlertGroup{{Rows: rows[5:], Total: 2}}}}
	old.Older, old.Newest, old.Heartbeat = "/alerts?after=x", "/alerts", views.HeartbeatLine{On: true, FailingSince: past(time.Hour),
		Answer: hostile, Every: "1 min"}
	open, wrong, snoozed, over := anAlert(rows[0]), anAlert(rows[2]), anAlert(rows[4]), anAlert(rows[6])
	wrong.Form = views.AlertForm{Until: hostile, UntilError: "That is no moment to come.", Reason: hostile, ReasonError: "Say why.",
		Problem: "Nothing was changed."}
	over.Told = nil
	kinds := []views.ChannelKind{{Name: "email", Label: "Mail", Icon: "mail", Help: "By a mail server."},
		{Name: "webhook", Label: "Webhook", Icon: "webhook", Help: "JSON."}}
	added := channelForm()
	added.ID, added.Problem, added.Errors = "", "", nil
	view := views.ChannelView{ChannelLine: channelLines()[2], Form: channelForm(), Secret: "s3cret", Done: "The channel is added",
		Conditions: none.Conditions,
		Tested:     "overdue", HasTest: true, TestAnswer: "404 Not Found: " + hostile, Older: "?after=1", Newest: "?",
		Deliveries: []views.Delivery{
			{ID: "m1", Event: "opened", State: "sent", Title: hostile,
				Alerts: []views.Link{{Text: hostile, URL: views.AlertURL("a1")}, {Text: "b", URL: views.AlertURL("a2")}},
				More:   990, At: past(time.Hour), Answer: "200 OK", Tries: open.Told[0].Tries},
			{ID: "m2", Event: "recovered", State: "waiting", Title: "x", Alerts: []views.Link{{Text: "c", URL: views.AlertURL("a3")}},
				At: ahead(time.Minute)},
			{ID: "m3", Event: "digest", State: "given-up", Title: "y", At: past(time.Hour), Answer: hostile},
		}}
	off := view
	off.ChannelLine, off.HasTest, off.Deliveries, off.Secret = channelLines()[3], false, nil, ""
	checks := []views.Check{{Value: "c1", Text: "Ops mail", On: true}, {Value: "c4", Text: hostile, Sub: hostile}}
	digest := views.DigestForm{N: "", Channels: checks, Every: "weekly", At: "08:00", Weekday: "1", Zone: "Europe/Berlin", Version: 2}
	said := digest
	said.N, said.Says = "0", "Every Monday at 08:00 to "+hostile
	refused := said
	refused.N, refused.Problem, refused.Errors = "1", "The summary was not saved.", map[string]string{"channels": "x", "every": "x",
		"at": "x", "weekday": "x", "zone": hostile}
	rules := views.AlertRules{Tabs: views.AlertTabs{Current: "channels"}, Version: 2, Host: hostile, HostErr: "There is no such host.",
		Rules: []views.RuleLine{{ID: "r1", Name: "nights", Says: "Critical alerts go to Ops mail.", First: true},
			{ID: "r2", Name: hostile, Says: hostile, Notes: []string{"Only if still open after 15 min.", hostile}, Last: true}},
		Digests: []views.DigestForm{said, refused}, Add: digest, Heard: heard()}
	rule := views.RuleForm{ID: "r1", Version: 2, Name: hostile, Severities: []views.Check{{Value: "critical", Text: "Critical", On: true}},
		Conditions: checks[1:], Channels: checks, Tags: hostile, Hosts: hostile, Repeat: "24", Delay: "15", QuietFrom: "22:00", QuietTo: "07:00",
		Zone: hostile, CriticalWaits: true, Recovered: true, Stop: true, Problem: "The rule was not saved.",
		Errors: map[string]string{"name": "x", "tags": "x", "hosts": hostile, "zone": "x",
			"delay": "x", "repeat_every": "x", "quiet_from": "x", "quiet_to": "x", "channels": "x", "conditions": "x", "severities": "x"}}
	conditions := views.AlertConditions{Tabs: views.AlertTabs{Current: "conditions"},
		Host: views.Link{Text: hostile, URL: views.HostURL("h")}, Asked: hostile, HostErr: "None.",
		Rows: []views.ConditionRow{
			{Name: "overdue", Title: "no good backup", About: "Source group", Severity: "critical",
				Says: "No good backup within 26 h of when one was due.",
				Do:   "Look why.", Ends: "With a good backup.", Limit: "26 h", From: "of the tag " + hostile},
			{Name: "host-offline", Title: "offline", About: "Host", Severity: "warning", Says: "x", Do: "y", Ends: "z", Off: true,
				From: "of the host"},
			{Name: "slot-missed", Title: "slot missed", About: "Source group", Severity: "info", Says: "x", Do: "y", Ends: "z"}},
		Limits: []views.LimitLine{{Condition: "overdue", Title: "no good backup", Of: "Hosts with the tag " + hostile, Scope: "tag",
			Subject: hostile, Value: "26 h"}},
		Form: views.LimitForm{Condition: "overdue", Options: none.Conditions, Scope: "tag", Subject: hostile, Value: "x", Unit: "h",
			Problem: "Not set.",
			Errors:  map[string]string{"value": "x", "subject": "x", "condition": "x"}}}
	return []sample{
		{"alerts", views.AlertsPage(sh("Alerts"), alertsList())},
		{"alerts none", views.AlertsPage(sh("Alerts"), none)},
		{"alerts never", views.AlertsPage(sh("Alerts"), never)},
		{"alerts no match", views.AlertsPage(sh("Alerts"), nothing)},
		{"alerts none ended", views.AlertsPage(sh("Alerts"), ended)},
		{"alerts ended", views.AlertsPage(sh("Alerts"), old)},
		{"alert", views.AlertPage(sh(hostile), open)},
		{"alert wrong", views.AlertPage(sh(hostile), wrong)},
		{"alert snoozed", views.AlertPage(sh("a"), snoozed)},
		{"alert over", views.AlertPage(sh("a"), over)},
		{"alerts of a host", views.AlertsOf(views.AlertsPanel{Rows: rows[:4], Total: 9, URL: "/alerts?host=h", Pauses: alertPauses()})},
		{"channels", views.ChannelsPage(sh("Channels"), views.Channels{Tabs: rules.Tabs, List: channelLines(), Heard: heard(),
			Heartbeat: heartbeat(),
			PublicURL: hostile})},
		{"channels none", views.ChannelsPage(sh("Channels"), views.Channels{})},
		{"channel kinds", views.NewChannelPage(sh("Add"), kinds, views.ChannelForm{})},
		{"channel new", views.NewChannelPage(sh("Add"), nil, added)},
		{"channel", views.ChannelPage(sh(hostile), view)},
		{"channel off", views.ChannelPage(sh(hostile), off)},
		{"heartbeat", views.HeartbeatPage(sh("Watchdog"), views.HeartbeatForm{Kept: true, Kind: "b",
			Kinds: []views.Option{{Value: "a", Text: "A"}, {Value: "b", Text: "B"}},
			Every: "5", Problem: "Not saved.", Errors: map[string]string{"url": "x", "every": "x", "kind": "x"},
			Pings: []views.PingLine{
				{Scope: "host", Subject: "h", Of: "Host " + hostile, Target: hostile, Kind: "Healthchecks", LastOK: past(time.Hour), Version: 2},
				{Scope: "tag", Subject: hostile, Of: "Hosts with the tag " + hostile, Kind: "Cronitor", FailingSince: past(time.Hour),
					Answer: hostile, Waits: 3},
				{Scope: "schedule", Subject: "s", Of: "Schedule nightly", Target: "hc.example.net", Kind: "Another service"}},
			Ping: views.PingForm{Scope: "tag", Subject: hostile, URL: hostile, Problem: "Nothing was saved.",
				Errors: map[string]string{"url": "x", "subject": hostile, "kind": "x"}}})},
		{"heartbeat of a host", views.HeartbeatPage(sh("Watchdog"), views.HeartbeatForm{Every: "1",
			Ping: views.PingForm{Scope: "host", Subject: "h", Of: "Host " + hostile, Version: 3}})},
		{"rules", views.AlertRulesPage(sh("Rules"), rules)},
		{"rules none", views.AlertRulesPage(sh("Rules"), views.AlertRules{Add: digest})},
		{"rule", views.RulePage(sh("Rule"), rule)},
		{"rule new", views.RulePage(sh("Rule"), views.RuleForm{Channels: checks})},
		{"conditions", views.AlertConditionsPage(sh("Conditions"), conditions)},
		{"conditions plain", views.AlertConditionsPage(sh("Conditions"), views.AlertConditions{Rows: conditions.Rows})},
		{"pauses", views.PausesPage(sh("Pauses"), views.Pauses{List: alertPauses(),
			Form: views.PauseForm{Kind: "tag", Subject: hostile, Reason: hostile,
				Until: hostile, Problem: "Not paused.", Errors: map[string]string{"subject": hostile, "until": "x", "from": "x", "reason": "x"}}})},
		{"pauses none", views.PausesPage(sh("Pauses"), views.Pauses{})},
	}
}
