// Package problem words failures for people: what happened and what they can do.
//
// It is the one place that does, for pages, API and command line alike. It knows
// no HTTP: package web translates a [Kind] to a status.
package problem

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/drills"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/importing"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/maintenance"
	"github.com/restic-manager/restic-manager/controlplane/mirroring"
	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/restics"
	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/controlplane/succession"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/admission"
	"github.com/restic-manager/restic-manager/store/imports"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/room"
	"github.com/restic-manager/restic-manager/topics"
)

// Kind is what sort of failure it is. The zero Kind is an internal one.
type Kind string

// The kinds of failures.
const (
	Internal         Kind = ""                  // ours, the reason is in the log
	BadRequest       Kind = "bad request"       // it could not be read
	Unauthenticated  Kind = "unauthenticated"   // who asks is not known
	Forbidden        Kind = "forbidden"         // who asks may not
	NotFound         Kind = "not found"         //
	Method           Kind = "method"            // the address does not take it
	Timeout          Kind = "timeout"           // the request did not arrive in time
	Conflict         Kind = "conflict"          // what is there does not allow it
	Gone             Kind = "gone"              // it was there once
	TooLarge         Kind = "too large"         //
	UnsupportedMedia Kind = "unsupported media" // it is in a format that is not read
	Invalid          Kind = "invalid"           // it was read, and does not fit
	UpgradeRequired  Kind = "upgrade required"  // the address speaks another protocol
	TooMany          Kind = "too many"          // too many tries
	Unavailable      Kind = "unavailable"       // not at the moment
)

// A Problem is a failure worded for whoever asked.
type Problem struct {
	Kind  Kind
	Title string       // "There is no such job"
	Say   string       // what happened
	Do    string       // what they can do
	Cause topics.Cause // why a job is not begun, of those in docs/CAUSES.md; "" if none of them
	Link  Link         // where to, on a page
	Links []Link       // further places, each an answer to it
	// Command is what the host's administrator runs there to permit it, "" if none does.
	Command string
	Job     topics.JobID // that goes on with what was asked, "" if none does
	// Snapshots are whole IDs of those that could be asked for in place of one that is
	// gone, the likeliest first.
	Snapshots []string
	// Confirm is what carries the request out all the same, if whoever asked says so.
	Confirm Confirm
	Fields  field.Errors // what is wrong with which field of the input
	// After is when trying again may help, 0 if nobody knows.
	After time.Duration
	Err   error // for the log, and no further
}

// A Confirm is a field by which a request says that it is meant, and the words of the button
// that sends it so; the zero value is that nothing can be said.
type Confirm struct{ Field, Text string }

// A Link is a word that leads somewhere.
type Link struct{ Text, URL string }

// Error implements error.
func (p *Problem) Error() string {
	if p.Err != nil {
		return p.Title + ": " + p.Err.Error()
	}
	return p.Title
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Detail is what happened and what to do, in one text.
func (p *Problem) Detail() string { return strings.TrimSpace(p.Say + " " + p.Do) }

// With returns a copy that leads somewhere else.
func (p *Problem) With(link Link) *Problem {
	q := *p
	q.Link = link
	return &q
}

// because returns a copy with the error it is about.
func (p Problem) because(err error) *Problem {
	p.Err = err
	return &p
}

// Failures that more than one place answers with.
var (
	NoPage = &Problem{Kind: NotFound, Title: "There is nothing here",
		Say: "No page and no operation has this address.",
		Do:  "Check how it is spelled. GET /api/openapi.json lists every operation of the API."}
	NoHost = &Problem{Kind: NotFound, Title: "There is no such host",
		Say: "It was never there, or it has been removed.", Do: "Look for it among all hosts."}
	NoJob = &Problem{Kind: NotFound, Title: "There is no such job",
		Say: "It was never there, or it has been removed.", Do: "Look for it on its host's page."}
	NoRepository = &Problem{Kind: NotFound, Title: "There is no such repository",
		Say: "It was never registered, or it has been removed.", Do: "Look for it among all repositories."}
	Stopping = &Problem{Kind: Unavailable, Title: "The server is being stopped",
		Say: "It lets nothing new begin.", Do: "Try again in a moment."}
)

// Oversized is a request of more than the given number of bytes.
func Oversized(most int64) *Problem {
	bound := fmt.Sprintf("%d MiB", most>>20)
	if most < 1<<20 {
		bound = fmt.Sprintf("%d KiB", most>>10)
	}
	return &Problem{Kind: TooLarge, Title: "The request is too large",
		Say: "What is sent to this address may have at most " + bound + ".", Do: "Send less at once."}
}

// Unknown is a failure of ours; err is for the log.
func Unknown(err error) *Problem {
	return &Problem{Title: "Something went wrong here", Say: "The server could not do this; the reason is in its log.",
		Do: "Try again. If it stays, look into the log of restic-manager.", Err: err}
}

// NotSaved is an input with bad fields. The title names what was to be saved:
// "repository", "source group".
func NotSaved(what string, fields field.Errors) *Problem {
	return &Problem{Kind: Invalid, Title: "The " + what + " was not saved", Say: fields.Error(), Fields: fields}
}

// Saving words an error as [Of] does; bad fields as [NotSaved] does.
func Saving(what string, err error) error {
	var fields field.Errors
	switch {
	case err == nil:
		return nil
	case errors.As(err, &fields):
		return NotSaved(what, fields)
	}
	return Of(err)
}

// Of words an error. What it does not know becomes an internal problem.
func Of(err error) *Problem {
	var p *Problem
	var fields field.Errors
	var keeper *jobs.NotKeeperError
	var role *jobs.RoleError
	var giving *jobs.GivingError
	var old *permits.OldAgent
	var several *jobs.AmbiguousError
	var unnamed *places.NameError
	var unread *store.UnreadableError
	var gone *jobs.GoneError
	switch cause := room.Why(err); {
	case errors.As(err, &p):
		return p
	case cause != "":
		return ofRoom(cause, err)
	case ofPeople(err) != nil:
		return ofPeople(err)
	case ofAlerts(err) != nil:
		return ofAlerts(err)
	case ofQuery(err) != nil:
		return ofQuery(err)
	case ofRemoval(err) != nil:
		return ofRemoval(err)
	case ofPause(err) != nil:
		return ofPause(err)
	case ofRekey(err) != nil:
		return ofRekey(err)
	case errors.Is(err, restics.ErrNoFile):
		return &Problem{Kind: NotFound, Title: "There is no such file with restic",
			Say:  "None of this name lies in the directory for restic on this server, or it was never confirmed. Nothing was changed.",
			Do:   "Put it there as restic releases it, such as restic_0.20.0_linux_amd64.bz2.",
			Link: Link{"Which restic runs where", "/updates/restic"},
			Err:  err}
	case ofRollout(err) != nil:
		return ofRollout(err)
	case ofUplink(err) != nil:
		return ofUplink(err)
	case ofRestore(err) != nil:
		return ofRestore(err)
	case ofReplacement(err) != nil:
		return ofReplacement(err)
	case ofRemake(err) != nil:
		return ofRemake(err)
	case errors.As(err, &fields):
		return &Problem{Kind: Invalid, Title: "Nothing was saved", Say: fields.Error(), Fields: fields}
	case errors.Is(err, jobs.ErrNoHost), errors.Is(err, schedule.ErrNoHost):
		return NoHost
	case errors.Is(err, store.ErrNoTwins):
		return &Problem{Kind: Conflict, Title: "One machine uses this host's identity",
			Say: "There are not two to choose from: it was decided already, or the other one went away when the host was enrolled again. " +
				"Nothing was changed.",
			Do: "Look at the host's page.", Err: err}
	case errors.Is(err, schedule.ErrNoSchedule):
		return &Problem{Kind: NotFound, Title: "There is no such schedule",
			Say: "The host has none of this name.", Do: "Look for it among the host's schedules.", Err: err}
	case errors.Is(err, jobs.ErrNoJob):
		return NoJob
	case errors.As(err, &unread):
		return &Problem{Kind: Conflict, Title: "Secrets of this repository cannot be read", Say: unread.Say() + " Nothing was begun.",
			Do:   "PUT /api/repositories/" + string(unread.Repository) + " does that, too.",
			Link: Link{Text: "Enter it again", URL: "/repositories/" + string(unread.Repository) + "/edit"}, Err: err}
	case errors.As(err, &unnamed):
		return &Problem{Kind: Conflict, Title: "No name stands for the host in the repository's address", Say: repositories.Unfit(unnamed) +
			" Nothing was begun.", Do: "Or PUT /api/repositories/" + string(unnamed.Repository) + "/places/" + string(unnamed.Host) + ".", Err: err}
	case errors.Is(err, jobs.ErrNotHeld):
		return &Problem{Kind: Conflict, Title: "No host holds this repository",
			Say: "No init job of it was sent to a host and has not ended.", Do: "There is nothing to release.", Err: err}
	case errors.As(err, &several):
		return &Problem{Kind: Conflict, Title: "More than one job is meant", Say: several.Error() + ".", Do: "Give more of its ID.", Err: err}
	case errors.Is(err, jobs.ErrNoRepository):
		return &Problem{Kind: NotFound, Title: "There is no such repository",
			Say: "None has this ID.", Do: "Use an ID that GET /api/repositories lists.", Err: err}
	case errors.As(err, &giving):
		return &Problem{Kind: Conflict, Title: "This host does not have the repository",
			Say: giving.Consequence() + " Nothing was begun.",
			Do: "Better ask a host that backs up into the repository. If you mean it, ask again and say so: by the button here, with " +
				"give_repository in the API, with --give-repository on the command line. The audit log keeps who did.",
			Confirm: Confirm{Field: "give", Text: "Give " + giving.Name + " the repository for this job"}, Err: err}
	case errors.As(err, &role):
		return &Problem{Kind: Forbidden, Title: "You may not do this",
			Say: strings.TrimSpace(role.Because + " It needs the role " + string(role.Needs) + "; " + role.Actor.Name + " has the role " +
				string(role.Actor.Role) + "."),
			Do: "Ask an administrator, or sign in as somebody who may.", Err: err}
	case errors.As(err, &gone):
		return ofGone(gone)
	case errors.Is(err, jobs.ErrNotAgain):
		return &Problem{Kind: Conflict, Title: "This is not asked for twice by a click",
			Say: "It removes the locks of live jobs, too.", Do: "Ask for it on the repository's page.", Err: err}
	case errors.Is(err, jobs.ErrRollout):
		return &Problem{Kind: Conflict, Title: "Agents are updated by a rollout",
			Say: "An update is not asked for by itself: one host is tried first, and the others follow if it goes well. Nothing was begun.",
			Do:  "Begin a rollout, on the page Updates.", Err: err}
	case errors.As(err, &keeper):
		return &Problem{Kind: Conflict, Title: "Another host looks after this repository",
			Say: "Its keeper, the host " + keeper.Name + ", alone may " + string(keeper.Kind) + ": what can delete is kept from every other host.",
			Do:  "Ask the keeper for it.", Err: err}
	case errors.As(err, &old):
		return &Problem{Kind: Conflict, Cause: "old-agent", Title: "The agent of " + old.Name + " is too old for this",
			Say: "It is of an older version and does not " + old.What + ". Nothing was begun.",
			Do:  "Update the agent on the host, or ask another host.", Err: err}
	case errors.Is(err, topics.ErrOperation):
		return &Problem{Kind: Invalid, Title: "This job cannot be asked for like that",
			Say: sentence(err, topics.ErrOperation) + ".", Do: "Correct it and ask again; nothing was begun."}
	case errors.Is(err, jobs.ErrNotPinned):
		return &Problem{Kind: Conflict, Cause: topics.CausePolicy, Title: "The host does not go to this repository",
			Say:     sentence(err, jobs.ErrForbidden) + ".",
			Do:      "Within seconds after that command it can be asked for here. Nothing was begun.",
			Command: permitting(err), Err: err}
	case errors.Is(err, jobs.ErrForbidden):
		do := "Only its own administrator can change that, in the policy file on the host; nothing was begun."
		if command := permitting(err); command != "" {
			do = "Only its own administrator can change that, on the host: " + command + ". Nothing was begun."
		}
		return &Problem{Kind: Conflict, Cause: topics.CausePolicy, Title: "The host does not allow this",
			Say: sentence(err, jobs.ErrForbidden) + ".", Do: do, Command: permitting(err), Err: err}
	case errors.Is(err, jobs.ErrQueueFull):
		return &Problem{Kind: TooMany, Title: "Too many jobs wait on this host",
			Say: fmt.Sprintf("%d jobs wait there already, and nothing was begun. They go on as they are.", jobs.MostQueued),
			Do:  "Look whether its agent is connected. Cancel what is not needed any more, or ask again when some have run.", Err: err}
	case errors.Is(err, jobs.ErrNoGroups):
		return &Problem{Kind: Conflict, Title: "It is not known yet what to back up",
			Say: "The host has no source group, so there is nothing to run.", Do: "Say what to back up, and where to, then run it again.", Err: err}
	case errors.Is(err, jobs.ErrNoGroup):
		return &Problem{Kind: NotFound, Title: "There is no such source group",
			Say: "The host has none of this name.", Do: "Use a name the host's page shows, or add the group first.", Err: err}
	case errors.Is(err, jobs.ErrEnded):
		return &Problem{Kind: Conflict, Title: "This job has already ended",
			Say: "There is nothing to cancel.", Do: "Look at its result.", Err: err}
	case errors.Is(err, retention.ErrRules):
		return &Problem{Kind: Invalid, Title: "These retention rules cannot be",
			Say: rulesProblem(err), Do: "Correct them and try again; nothing was removed."}
	case errors.Is(err, jobs.ErrNoPlace):
		return &Problem{Kind: Conflict, Title: "This host has no place in the repository yet",
			Say: "{host} in its address gives each host a repository of its own, and no job has found or made one for this host. Nothing was begun.",
			Do:  "Ask a host that has one, see Places on the repository's page, or run a backup first.", Err: err}
	case errors.Is(err, succession.ErrUnderWay):
		return &Problem{Kind: Conflict, Title: "The identity is being changed already",
			Say: "Hosts are moving to the one that was made last. Nothing was changed.",
			Do:  "Wait for its end, finish it or call it off, on the page Identity or with restic-manager key identity.", Err: err}
	case errors.Is(err, succession.ErrNone):
		return &Problem{Kind: Conflict, Title: "The identity is not being changed",
			Say: "There is one alone, so there is no end to put off, to reach or to call off.",
			Do:  "Begin on the page Identity, or with restic-manager key rotate --identity.", Err: err}
	case errors.Is(err, succession.ErrTurned):
		return &Problem{Kind: Conflict, Title: "This was decided already",
			Say: "A change of the identity is called off once, and goes on once after that. Nothing was changed.",
			Do:  "Look at the page Identity, or restic-manager key identity, for which way hosts move.", Err: err}
	case errors.Is(err, jobs.ErrItself):
		return &Problem{Kind: Invalid, Title: "These are one and the same repository",
			Say: "A repository is not copied into itself, so nothing was begun.", Do: "Choose another repository to copy to.", Err: err}
	case errors.Is(err, jobs.ErrNoSecond):
		return &Problem{Kind: NotFound, Title: "There is no such repository to copy to",
			Say: "It is not registered here, or was removed. Nothing was begun.", Do: "Name one that the page Repositories shows.", Err: err}
	case errors.Is(err, jobs.ErrManyWays):
		return &Problem{Kind: Conflict, Title: "The second repository is one for each host",
			Say: "Its address has {host}, so it names no single place to copy to. Nothing was begun.",
			Do:  "Choose a repository that is the same for all hosts.", Err: err}
	case errors.As(err, new(*jobs.SharedError)):
		return &Problem{Kind: Conflict, Title: "restic cannot open these two repositories at once",
			Say: "It takes one " + sharedBy(err) + " for both, and they have different ones. Nothing was begun.",
			Do: "Give both a credential that may read the one and write the other, or reach one of them another way, as by rclone with its " +
				"own settings.", Err: err}
	case errors.Is(err, jobs.ErrHollow):
		return &Problem{Kind: Conflict, Title: "What is to be copied counts as damaged",
			Say: "restic copies a snapshot without the data that the repository has lost, and the copy would be taken for whole. " +
				"Nothing was begun.",
			Do: "Repair the repository first, on its page, up to the check that finds it whole; or name snapshots by their whole IDs, and " +
				"check the copy.", Err: err}
	case errors.Is(err, jobs.ErrNothingToCopy):
		return &Problem{Kind: Conflict, Title: "There is nothing to copy",
			Say: "Every snapshot was copied there before, and removed there by the second repository's rules; a copy would undo that.",
			Do:  "Back up first, or name the snapshots that shall be copied again by their whole IDs.", Err: err}
	case ofImport(err) != nil:
		return ofImport(err)
	case errors.Is(err, mirroring.ErrNone):
		return &Problem{Kind: NotFound, Title: "This repository has no mirror",
			Say: "Its snapshots are not copied anywhere.", Do: "Say on its page where they shall be copied to.", Err: err}
	case errors.Is(err, maintenance.ErrNoPlace):
		return &Problem{Kind: Conflict, Title: "There is nothing to look after yet",
			Say: "No host has made its repository at this address.", Do: "Run a backup: the first one of each host makes its own.", Err: err}
	case errors.Is(err, maintenance.ErrNoKeeper):
		return &Problem{Kind: Conflict, Title: "This repository has no keeper",
			Say: "No host was chosen to look after it, so nothing was begun. Forget and prune delete: wherever they run, " +
				"the right to delete lives, and who takes that host over can delete the backups.",
			Do: "Choose a keeper, best one beside the storage that backs up nothing here. " +
				"Or name a host for this once, and let it have that right.",
			Err: err}
	case errors.Is(err, maintenance.ErrNotKeeper):
		return &Problem{Kind: Conflict, Title: "Another host is this repository's keeper",
			Say: "Only its keeper deletes and checks, so nothing was begun.", Do: "Leave the host out, or choose another keeper first.", Err: err}
	case errors.Is(err, maintenance.ErrNoPlan):
		return &Problem{Kind: Conflict, Title: "This plan does not wait for approval",
			Say: "It expired, was carried out, or another one took its place. Nothing was removed.",
			Do:  "Look at the plan that waits now, if one does, and approve that.", Err: err}
	case errors.Is(err, maintenance.ErrKind):
		return &Problem{Kind: Invalid, Title: "This is no maintenance",
			Say: "A repository's maintenance is forget, prune or check; only a forget has a plan.", Do: "Ask for one of these.", Err: err}
	case errors.Is(err, repositories.ErrNotFound):
		return NoRepository
	case errors.Is(err, repositories.ErrNameTaken):
		return &Problem{Kind: Conflict, Title: "There is a repository of this name already",
			Say: "Names of repositories are their own.", Do: "Choose another name, or use the one that is there.",
			Fields: field.Errors{"name": "There is a repository of this name already."}, Err: err}
	case errors.Is(err, repositories.ErrNoKey):
		return &Problem{Kind: NotFound, Title: "There is no such key",
			Say: "The last listing did not find it.", Do: "Refresh the repository and look again.", Err: err}
	case errors.Is(err, repositories.ErrNoHost):
		return &Problem{Kind: Conflict, Title: "No host looks after this repository",
			Say: "It has no keeper, and no host backs up into it.", Do: "Say which host shall look.", Err: err}
	case errors.Is(err, admission.ErrNone):
		return &Problem{Kind: NotFound, Title: "There is no such enrolment key",
			Say: "It was never made here.", Do: "Look at the list of enrolment keys.", Err: err}
	case errors.Is(err, admission.ErrNotHeld):
		return &Problem{Kind: Conflict, Title: "This host does not wait for approval",
			Say: "Somebody has approved it already, or it never waited. Nothing was changed.", Do: "Look at the host's page.", Err: err}
	case errors.Is(err, sources.ErrNoHost), errors.Is(err, hosts.ErrNotFound):
		return NoHost
	case errors.Is(err, sources.ErrNotFound):
		return &Problem{Kind: NotFound, Title: "There is no such source group",
			Say: "The host has none of this name.", Do: "Look for it on the host's page.", Err: err}
	case errors.Is(err, sources.ErrNoSnapshot):
		return &Problem{Kind: Conflict, Title: "The source group has no snapshot",
			Say: "There is no size that could be accepted.", Do: "Back it up first.", Err: err}
	case errors.Is(err, sources.ErrNewer):
		return &Problem{Kind: Conflict, Title: "There is a newer snapshot of this source group",
			Say: "The page showed what an older one holds, and nothing was accepted.", Do: "Look at the page again.", Err: err}
	case errors.Is(err, sources.ErrNameTaken):
		return &Problem{Kind: Conflict, Title: "The host has a source group of this name already",
			Say: "A source group's name is its host's own.", Do: "Choose another name, or change the group that is there.",
			Fields: field.Errors{"name": "This host has a source group of this name already."}, Err: err}
	case errors.Is(err, drills.ErrNoPlan):
		return &Problem{Kind: NotFound, Title: "There is no such plan of drills", Err: err,
			Say: "Nothing was changed: no plan was made for this host, tag or fleet, or it was taken back already.",
			Do:  "Look at the plans that there are.", Link: Link{Text: "Restore drills", URL: "/settings/drills"}}
	case errors.Is(err, store.ErrNotFound):
		return NoPage
	}
	return Unknown(err)
}

// ofImport words why snapshots were not taken in.
func ofImport(err error) *Problem {
	title, say, do := importing.Why(err)
	if title == "" {
		return nil
	}
	kind := Conflict
	if errors.Is(err, imports.ErrNone) {
		kind = NotFound
	}
	return &Problem{Kind: kind, Title: title, Say: say, Do: do, Err: err}
}

// permitting is the command that permits what a host's policy forbids, "" if none does.
func permitting(err error) string {
	if r := new(permits.Refusal); errors.As(err, &r) {
		return r.Command
	}
	return ""
}

// sentence is what an error says after the words of the one it wraps.
func sentence(err, wrapped error) string {
	return strings.TrimPrefix(err.Error(), wrapped.Error()+": ")
}

// rulesProblem says what is wrong with retention rules.
func rulesProblem(err error) string {
	return strings.ReplaceAll(sentence(err, retention.ErrRules), "\n", "; ") + "."
}

// sharedBy is the variable that two repositories cannot share.
func sharedBy(err error) string {
	var shared *jobs.SharedError
	if errors.As(err, &shared) {
		return shared.Variable
	}
	return "credential"
}
