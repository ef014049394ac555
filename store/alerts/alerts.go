// Package alerts keeps what somebody should be told of: one row for a condition and its
// subject, from when it began until it is over; and what people set about being told.
package alerts

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
)

// Errors.
var (
	// ErrNone is the error that there is no such alert or pause.
	ErrNone = errors.New("there is no such alert")
	// ErrEnded is the error that an alert is over, and nothing can be done about it.
	ErrEnded = errors.New("the alert has ended")
	// ErrNotSnoozed is the error that an alert says what cannot be left for later.
	ErrNotSnoozed = errors.New("an alert of damage cannot be snoozed")
	// ErrMoved is the error that somebody changed a setting since it was read.
	ErrMoved = errors.New("somebody else changed it meanwhile")
)

// A Severity is how urgent an alert is.
type Severity string

// The severities, the least first.
const (
	Info     Severity = "info"     // worth knowing
	Warning  Severity = "warning"  // somebody should look in the next days
	Critical Severity = "critical" // data is lost, damaged or not saved: somebody should look now
)

// Severities lists them, the least first.
var Severities = []Severity{Info, Warning, Critical}

// On is what kind of thing an alert is about.
type On string

// What alerts are about.
const (
	OnHost       On = "host"
	OnGroup      On = "group" // a source group
	OnRepository On = "repository"
	OnChannel    On = "channel"
	OnPlane      On = "plane" // the control plane itself
)

// A State is where an alert stands in its life.
type State string

// The states.
const (
	Open         State = "open"         // nobody has said anything of it
	Acknowledged State = "acknowledged" // somebody looks after it: nobody is reminded
	Snoozed      State = "snoozed"      // it is to be quiet until some moment
	Ended        State = "ended"        // the condition is over, or somebody ended it
)

// States lists them in the order of a life.
var States = []State{Open, Acknowledged, Snoozed, Ended}

// A Key is what there is one alert of that is not over.
type Key struct {
	Condition string `db:"condition"`
	On        On     `db:"on_kind"`
	Subject   string `db:"subject"`
}

// An Alert is a condition that held for a subject, from when it began until it was over.
// Moments are in Unix milliseconds; 0 is none.
type Alert struct {
	ID string `db:"id"`
	Key
	Host       topics.HostID       `db:"host"`
	Repository topics.RepositoryID `db:"repository"`
	Job        topics.JobID        `db:"job"` // that proves it
	Severity   Severity            `db:"severity"`
	OpenedAt   int64               `db:"opened_at"`
	Since      int64               `db:"since"`     // since when it holds, as far as that is known
	SeenAt     int64               `db:"seen_at"`   // when it was last found to hold
	Count      int64               `db:"count"`     // how often it began
	BeganAt    int64               `db:"began_at"`  // when it began last
	BeforeAt   int64               `db:"before_at"` // when it began before that
	Flaps      bool                `db:"flaps"`     // it began so often within a while that its swings are not told
	// QuietAt is since when one that flaps does not hold. Of one that somebody ended while
	// the condition held, it is when the condition was gone at last.
	QuietAt      int64             `db:"quiet_at"`
	AckedAt      int64             `db:"acked_at"`
	AckedBy      string            `db:"acked_by"`
	SnoozedUntil int64             `db:"snoozed_until"`
	SnoozedBy    string            `db:"snoozed_by"`
	EndedAt      int64             `db:"ended_at"`
	EndedBy      string            `db:"ended_by"` // "plane" if the condition was over
	EndedWhy     string            `db:"ended_why"`
	Changed      int64             `db:"changed"`
	Body         column.JSON[Body] `db:"body"`
}

// A Body is what an alert says, as it was when it was last found to hold.
type Body struct {
	Name  string `json:"name"`            // of the subject, for people: "db-prod-02", "db-prod-02 · postgres"
	Title string `json:"title"`           // what is so, beside the name: "backups fail, repository locked"
	Cause string `json:"cause"`           // why, in a sentence or two
	Do    string `json:"do"`              // what to do about it
	Limit string `json:"limit,omitempty"` // which threshold counted, and from where: "26 h, of the tag servers"
	Path  string `json:"path,omitempty"`  // the page where it is done or proven: "/jobs/…"
	Link  string `json:"link,omitempty"`  // what that page is called: "Open the job"
	// Reason is why, as a stable key: the cause of the job that proves it. "" is not known.
	Reason string `json:"reason,omitempty"`
	// Much is how much of it there is, where more is another thing to look at. 0 is not known.
	Much int64 `json:"much,omitempty"`
	// Worst is the worst that it was since it began, if it is not as bad any more.
	Worst Severity `json:"worst,omitempty"`
	// Swallows names alerts that this one explains and that were not opened.
	Swallows []string `json:"swallows,omitempty"`
}

// State is where the alert stands at a moment.
func (a Alert) State(now int64) State {
	switch {
	case a.EndedAt > 0:
		return Ended
	case a.SnoozedUntil > now:
		return Snoozed
	case a.AckedAt > 0:
		return Acknowledged
	}
	return Open
}

// HoldsSince is since when it is so without a break, as far as that is known: before it
// was opened, or after it, if it came back. One that flaps is so since it began first.
func (a Alert) HoldsSince() int64 {
	began := max(a.OpenedAt, a.BeganAt)
	if a.Flaps {
		began = a.OpenedAt
	}
	if a.Since > 0 && a.Since < began {
		return a.Since
	}
	return began
}

// A Pause is a time in which nobody is told of what it covers.
type Pause struct {
	ID        string `db:"id"`
	Kind      string `db:"kind"`    // "all", "tag" or "host"
	Subject   string `db:"subject"` // the tag or the host's ID
	Reason    string `db:"reason"`
	From      int64  `db:"from_at"`
	Until     int64  `db:"until_at"`
	CreatedAt int64  `db:"created_at"`
	CreatedBy string `db:"created_by"`
}

// A Setting is what people set as a whole, under a name. Version counts its changes; 0 is
// that nobody set it.
type Setting struct {
	Name      string `db:"name"`
	Version   int64  `db:"version"`
	Body      string `db:"body"` // JSON
	ChangedAt int64  `db:"changed_at"`
	ChangedBy string `db:"changed_by"`
}

// Plane ends alerts whose condition is over.
const Plane = "plane"

// The names of settings.
const (
	Thresholds = "thresholds"
	Rules      = "rules"
	Heartbeat  = "heartbeat"
	PublicURL  = "public-url"
)

// Audit writes an entry of the audit log in a transaction.
type Audit func(ctx context.Context, tx *sqlx.Tx, actor, action, object, detail string) error

// Alerts reads and changes alerts in a database.
type Alerts struct {
	R     sqlx.QueryerContext
	Tx    func(context.Context, func(*sqlx.Tx) error) error
	Now   func() int64
	Audit Audit
}
