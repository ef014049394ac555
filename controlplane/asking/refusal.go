package asking

import (
	"errors"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/pause"
	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/topics"
)

// Why something was not carried out, as a broker says it. What is none of these is that
// it could not be, or that the host does not allow it.
var (
	ErrNotAllowed error = &problem.Problem{Kind: problem.Forbidden, Title: "This is not allowed to the consumer",
		Say: "Nothing was begun.", Do: "An administrator can give the consumer the right to command, or other tags, on the page MQTT."}
	ErrNoTopic error = &problem.Problem{Kind: problem.NotFound, Title: "There is nothing of this name to command",
		Say: "Nothing was begun.", Do: "Commands are do/HOST/ACTION, with the host's ID."}
	ErrTooMany error = &problem.Problem{Kind: problem.TooMany, Title: "Too much is asked for at once",
		Say: "Nothing was begun.", Do: "Ask again in some seconds."}
	ErrPayload error = &problem.Problem{Kind: problem.Invalid, Title: "The payload is none that the topic takes",
		Say: "Nothing was begun.", Do: "docs/TOPICS.md has what each action takes."}
)

// The causes of an answer that says no. They are stable keys; a job's own causes, as in
// docs/CAUSES.md, may stand there, too.
const (
	CauseNotAllowed = "not-allowed"  // the consumer may not command, or not any more
	CauseNoTopic    = "no-topic"     // no such action, or no host's ID
	CauseNoHost     = "no-host"      // no such host, or none of the consumer's tags
	CauseNoGroup    = "no-group"     // no source group of this name, or none at all
	CauseNothing    = "nothing"      // nothing to check
	CauseRetained   = "retained"     // sent with the retain flag
	CauseBadPayload = "bad-payload"  //
	CauseTooMany    = "too-many"     // asked too often
	CauseQueueFull  = "queue-full"   // too many jobs wait on the host
	CauseKeeper     = "keeper"       // another host looks after the repository
	CausePolicy     = "policy"       // the host's own policy forbids it
	CauseOldAgent   = "old-agent"    // the host's agent does not know how
	CauseNotNow     = "not-possible" // it cannot be at the moment; the text says why
	CauseOurs       = "failed"       // a fault of the control plane's; its log has the reason
)

// A Refusal is that something was not carried out.
type Refusal struct {
	Cause string // a stable key
	Text  string // for people: why, and what to do
	Class error  // ErrNotAllowed, ErrNoTopic, ErrTooMany, ErrPayload, or nil
	Err   error  // for the log

	unknown bool // there is no such consumer, so nobody to answer
}

// Error implements error.
func (r *Refusal) Error() string {
	text := r.Cause + ": " + r.Text
	if r.Err != nil {
		text += ": " + r.Err.Error()
	}
	return text
}

// Unwrap returns what it is and why.
func (r *Refusal) Unwrap() []error {
	var all []error
	for _, err := range []error{r.Class, r.Err} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

func notAllowed() error {
	return &Refusal{Cause: CauseNotAllowed, Class: ErrNotAllowed,
		Text: "This consumer may not command hosts: it was not given the right, or whoever made it has it no more."}
}

// noHost says the same of a host that is not there and of one that the consumer does not
// reach. Of the latter it must not hear that it exists.
func noHost(c caller) error {
	if len(c.tags) > 0 {
		return &Refusal{Cause: CauseNoHost, Class: ErrNotAllowed, Text: "No host of this ID is among those of the consumer's tags."}
	}
	return &Refusal{Cause: CauseNoHost, Class: ErrNoTopic, Text: "There is no host of this ID. Topics have a host's ID, not its name."}
}

// refusalOf words an error.
func refusalOf(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	p := problem.Of(err)
	r = &Refusal{Cause: CauseNotNow, Text: strings.TrimSuffix(p.Title, ".") + ". " + p.Detail(), Err: err}
	var old *permits.OldAgent
	var keeper *jobs.NotKeeperError
	var role *jobs.RoleError
	var fields field.Errors
	switch {
	case errors.As(err, &role):
		r.Cause, r.Class = CauseNotAllowed, ErrNotAllowed
	case errors.Is(err, jobs.ErrNoHost):
		r.Cause, r.Class = CauseNoHost, ErrNoTopic
	case errors.Is(err, jobs.ErrNoGroup), errors.Is(err, jobs.ErrNoGroups):
		r.Cause = CauseNoGroup
	case errors.Is(err, pause.ErrRetired):
		r.Text = "The host is retired: no schedule of its fires."
	case errors.As(err, &fields): // of a pause
		r.Cause, r.Class, r.Text = CauseBadPayload, ErrPayload, fields.Error()
	case errors.Is(err, jobs.ErrQueueFull):
		r.Cause, r.Class = CauseQueueFull, ErrTooMany
	case errors.As(err, &keeper):
		r.Cause = CauseKeeper
	case errors.As(err, &old):
		r.Cause = CauseOldAgent
	case errors.Is(err, jobs.ErrForbidden):
		r.Cause = CausePolicy
	case p.Cause != "" && p.Cause != topics.CausePolicy:
		r.Cause = string(p.Cause)
	case p.Kind == problem.Internal:
		r.Cause = CauseOurs
	}
	return r
}
