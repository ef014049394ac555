package views

import (
	"net/url"
	"strings"
)

// Audit is a page of what was done, the newest first.
type Audit struct {
	Filter  AuditFilter
	Problem string // with the filter
	Rows    []AuditRow
	Total   int
	Older   string // URL of the next page, "" if there is none
	Newest  string // URL of the first page, "" on it
	Chain   Chain
}

// A Chain is whether the entries are what they were.
type Chain struct {
	Verified When
	Broken   *Note // says where, if it is broken
	Head     string
}

// An AuditRow is one entry.
type AuditRow struct {
	N       string
	At      When
	Icon    string // of who did it
	Actor   string
	By      string // URL of all that they did
	Deed    string // "Asked for the"
	Target  Link   // "backup of attic"
	Detail  string
	Outcome Status
	Remote  string
}

// subjects are what can be chosen, with what was asked for in the URL.
func subjects(asked string) []Option {
	list := AuditSubjects()
	for _, o := range list {
		if o.Value == asked {
			return list
		}
	}
	if asked != "" {
		list = append(list, Option{asked, asked})
	}
	return list
}

// An AuditFilter is what the audit page was asked for, as it was typed. What is
// empty does not narrow it.
type AuditFilter struct {
	Query  string // part of anything
	Who    string // a key of [AuditActors]
	Action string // a key of [AuditSubjects], or one action in full
	Actor  string // in full
	Target string // an ID
	From   string // a day, 2026-11-20
	To     string // a day, included
}

// Empty reports whether nothing was asked for.
func (f AuditFilter) Empty() bool { return f == AuditFilter{} }

// Values are the filter in a URL.
func (f AuditFilter) Values() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{
		"q":      f.Query,
		"who":    f.Who,
		"action": f.Action,
		"actor":  f.Actor,
		"target": f.Target,
		"from":   f.From,
		"to":     f.To,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// AuditURL is the audit page with its filters, from behind an entry on ("" for
// the newest).
func AuditURL(f AuditFilter, before string) string {
	q := f.Values()
	if before != "" {
		q.Set("before", before)
	}
	if len(q) == 0 {
		return "/audit"
	}
	return "/audit?" + q.Encode()
}

// AuditExport is the URL of the same entries as a file for a spreadsheet.
func AuditExport(f AuditFilter) string {
	if q := f.Values(); len(q) > 0 {
		return "/audit/export.csv?" + q.Encode()
	}
	return "/audit/export.csv"
}

// AuditStream is the URL of the audit page's one stream, which tells how many
// entries came after one.
func AuditStream(f AuditFilter, after string) string {
	q := f.Values()
	q.Set("view", "audit")
	q.Set("after", after)
	return "/events?" + q.Encode()
}

// AuditActors are the kinds of those who do something.
func AuditActors() []Option {
	return []Option{{"people", "People"}, {"tokens", "API tokens"}, {"consumers", "MQTT consumers"}, {"schedules", "Schedules"},
		{"server", "This server"}}
}

// AuditSubjects are what something is done to.
func AuditSubjects() []Option {
	return []Option{{"job", "Jobs"}, {"pending_run", "Missed runs"}, {"schedule", "Schedules"}, {"source_group", "Source groups"},
		{"repository", "Repositories"}, {"host", "Hosts"}, {"enroll_token", "Enrolment tokens"}, {"user", "Users"}, {"session", "Sign-ins"},
		{"api_token", "API tokens"},
		{"mqtt_user", "MQTT consumers"}, {"log", "Logs"}, {"master_key", "Keys"}}
}

// auditDeeds are actions in a few words, before the name of what they were done to.
var auditDeeds = map[string]string{
	"api_token.revoked":           "Revoked the API token",
	"host.certificate_renewed":    "Renewed the certificate of",
	"host.intermittent":           "Changed when to expect the host",
	"job.records_removed":         "Removed old records of jobs",
	"maintenance.records_removed": "Removed old records of maintenance",
	"host.changed":                "Changed the host",
	"host.purged":                 "Erased what could bring back the host",
	"host.removed":                "Removed the host",
	"host.restored":               "Brought back the host",
	"source_group.purged":         "Erased what could bring back the source group",
	"source_group.removed":        "Removed the source group",
	"source_group.restored":       "Brought back the source group",
	"repository.purged":           "Erased the secrets of the removed repository",
	"repository.restored":         "Brought back the repository",
	"host.reenrolled":             "Re-enrolled the host",
	"agents_address.set":          "Set the address for agents",
	"first_steps.hidden":          "Hid the first steps on other pages",
	"first_steps.shown":           "Showed the first steps again",
	"support_bundle.taken":        "Took a support bundle",
	"host.revoked":                "Revoked the host",
	"job.refused":                 "Refused the",
	"do.refused":                  "Did not carry out what was asked of",
	"mqtt_user.changed":           "Changed the MQTT consumer",
	"mqtt_user.created":           "Added the MQTT consumer",
	"mqtt_user.revoked":           "Revoked the MQTT consumer",
	"session.began":               "Signed in as",
	"session.ended":               "Ended a session of",
	"session.refused":             "Refused to sign in as",
	"user.password_link_made":     "Created a password link for",
	"user.password_refused":       "Refused a new password of",
	"user.password_set":           "Set the password of",
	"user.removed":                "Removed the user",
	"user.role_changed":           "Changed the role of",
	"user.zone_set":               "Set the time zone of",
	"user.signed_out":             "Signed out everywhere",
	"api_token.created":           "Created the API token",
	"database.checked":            "Looked for damage in the whole database",
	"database.rollback_accepted":  "Started on a database that lost its end",
	"data_key.replaced":           "Re-encrypted every secret with the data key",
	"enroll_token.created":        "Created the enrolment token",
	"enroll_token.refused":        "Refused the enrolment token",
	"host.enrolled":               "Enrolled the host",
	"job.abandoned":               "Abandoned the",
	"job.cancel_asked":            "Cancelled the",
	"job.interrupted":             "Recorded as interrupted the",
	"job.queued":                  "Asked for the",
	"log.removed":                 "Removed old logs",
	"master_key.added":            "Added the master key",
	"master_key.replaced":         "Replaced the master key by",
	"mqtt_user.saved":             "Saved the MQTT consumer",
	"pending_run.abandoned":       "Abandoned a missed run of",
	"repository.created":          "Added the repository",
	"repository.given":            "Gave a host that does not have it the repository",
	"repository.kit_shown":        "Viewed the emergency kit of",
	"repository.kits_shown":       "Viewed the emergency kit of",
	"host.kit_shown":              "Viewed the emergency kit of the host",
	"schedule.deleted":            "Removed the schedule",
	"schedule.resumed":            "Resumed the schedule",
	"schedule.saved":              "Saved the schedule",
	"source_group.saved":          "Saved the source group",
	"user.disabled":               "Disabled the user",
	"user.enabled":                "Enabled the user",
	"user.created":                "Added the user",
	"snapshots.lost":              "Found snapshots lost in",
	"snapshots.acknowledged":      "Acknowledged missing snapshots of",
	"snapshots.imported":          "Took in snapshots of",
	"snapshots.import_undone":     "Gave back snapshots that were taken in, of",
	"source_group.size_accepted":  "Accepted the new size of",
	"channel.created":             "Added the channel",
	"channel.changed":             "Changed the channel",
	"channel.removed":             "Removed the channel",
	"channel.tested":              "Sent a test to the channel",
}

// Deed is an action in a few words. One that has none yet is spelt as it is.
func Deed(action string) string {
	if words, ok := auditDeeds[action]; ok {
		return words
	}
	if action == "" {
		return "Changed"
	}
	words := strings.NewReplacer("_", " ", ".", ": ").Replace(action)
	return strings.ToUpper(words[:1]) + words[1:]
}

// Outcome is how an action ended, by its last part.
func Outcome(action string) Status {
	_, last, _ := strings.Cut(action, ".")
	switch {
	case strings.Contains(last, "refused"), strings.Contains(last, "failed"):
		return Status{Key: "refused", Word: "Refused", Icon: "octagon-x", Tone: "fail", Quiet: true}
	case strings.Contains(last, "abandoned"), strings.Contains(last, "interrupted"):
		return Status{Key: "abandoned", Word: "Abandoned", Icon: "circle-slash", Tone: "idle", Quiet: true}
	}
	return Status{Key: "done", Word: "Done", Icon: "circle-check", Tone: "ok", Quiet: true}
}
