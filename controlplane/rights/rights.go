// Package rights says who may do what: one table that the routes, the services, the
// pages, the API's descriptions and the list on the page Users all go by. What a right is to
// may depend on the kind of a job, on where it works and writes, and how; never on the
// person, only on their role.
package rights

import (
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A Right is something that a role may do or not. The right to ask for a job of a
// kind is the kind's name; [Of] tells which right a particular job takes.
type Right string

// Rights that are not the name of a job's kind.
const (
	See          Right = "see"          // every page and list but those that name another right
	Self         Right = "self"         // one's own password and sessions
	Run          Right = "run"          // some kind of job; which ones, the right of each says
	Cancel       Right = "cancel"       // end a job, whoever asked for it
	RestoreOver  Right = "restore-over" // restore outside the quarantine, over files, or what another host saved
	UnlockAll    Right = "unlock-all"   // remove locks of live processes, too
	Give         Right = "give"         // have a host work in a repository that it does not have
	Browse       Right = "browse"       // names in snapshots of a repository, by a host that has it
	Places       Right = "places"       // directories of a host that restores may write to
	Approve      Right = "approve"      // carry out a plan that was held for review
	Decide       Right = "decide"       // say of a replaced machine that its files are back, or to start without
	Hosts        Right = "hosts"        // add, change, enrol and revoke hosts
	Sources      Right = "sources"      // say what is backed up
	Schedules    Right = "schedules"    // say when
	Repositories Right = "repositories" // add, change and remove repositories, their keys and rules
	Hours        Right = "hours"        // say when repositories are looked after
	Kit          Right = "kit"          // see the secrets that open a repository
	Audit        Right = "audit"        // read and verify the audit log
	People       Right = "people"       // accounts, everybody's sessions and API tokens
	Consumers    Right = "consumers"    // accounts of MQTT clients
	Pause        Right = "pause"        // pause all schedules of a host for a while, and resume them
	Alerts       Right = "alerts"       // acknowledge, snooze and end alerts; pause being told
	Telling      Right = "telling"      // say who is told of what: channels, rules, thresholds, heartbeats, the public address
	Identity     Right = "identity"     // change the CA and the sealing key that hosts know
)

// Job rights, by the kinds' names.
const (
	Backup    = Right(topics.BackupJob)
	Init      = Right(topics.InitJob)
	Forget    = Right(topics.ForgetJob)
	Prune     = Right(topics.PruneJob)
	Check     = Right(topics.CheckJob)
	Unlock    = Right(topics.UnlockJob)
	Snapshots = Right(topics.SnapshotsJob)
	Stats     = Right(topics.StatsJob)
	Diff      = Right(topics.DiffJob)
	Restore   = Right(topics.RestoreJob)
	Find      = Right(topics.FindJob)
	Key       = Right(topics.KeyJob)
	Locks     = Right(topics.LocksJob)
	Drill     = Right(topics.DrillJob)
	Copy      = Right(topics.CopyJob)   // from a repository into its mirror
	Update    = Right(topics.UpdateJob) // and say when newer versions begin by themselves
)

// A Row is what the page Users says of some rights that the same roles have.
type Row struct {
	Least  store.Role // the weakest role that has them; those above have them, too
	Text   string     // "Cancel jobs"
	Rights []Right
}

// table has every right once, in the order of the page Users. What takes away what
// nobody can put back, and what gives a host secrets it does not have, is for
// administrators; what could make somebody root on a host, for restorers.
var table = []Row{
	{store.Viewer, "See hosts, repositories, jobs and their logs", []Right{See}},
	{store.Viewer, "Change their own password, end their own sessions", []Right{Self}},
	{store.Operator, "Ask for backups, cancel jobs", []Right{Run, Backup, Cancel}},
	{store.Operator, "List, measure, compare and search the repositories that a host backs up into",
		[]Right{Snapshots, Stats, Diff, Find, Locks}},
	{store.Operator, "Browse the snapshots of a repository, by a host that has it", []Right{Browse}},
	{store.Operator, "Check repositories, remove stale locks", []Right{Check, Unlock}},
	{store.Operator, "Copy snapshots of a repository into its mirror", []Right{Copy}},
	{store.Operator, "Prove by a drill that what a host saved can be restored: a sample comes back, is compared and removed", []Right{Drill}},
	{store.Operator, "Restore what a host saved itself into its folder for restores, over no file", []Right{Restore}},
	{store.Operator, "Pause all schedules of a host for a while, and resume them", []Right{Pause}},
	{store.Operator, "Acknowledge, snooze and end alerts; pause them for a while", []Right{Alerts}},
	{store.Restorer, "Restore to any other place, over files that are there, and what another host saved", []Right{RestoreOver}},
	{store.Restorer, "Say of a replaced machine that its files are restored, or to start without them", []Right{Decide}},
	{store.Restorer, "Look for a directory of a host to restore to", []Right{Places}},
	{store.Admin, "Make repositories before their first backup, list their keys", []Right{Init, Key}},
	{store.Admin, "Forget snapshots, prune, approve a plan that was held, remove all locks", []Right{Forget, Prune, Approve, UnlockAll}},
	{store.Admin, "Give a host the address and password of a repository that it does not back up into, for one job", []Right{Give}},
	{store.Admin, "Add, change, enrol, revoke and remove hosts; change what is backed up, and when", []Right{Hosts, Sources, Schedules}},
	{store.Admin, "Add, change and remove repositories; change retention and when it runs; see emergency kits",
		[]Right{Repositories, Hours, Kit}},
	{store.Admin, "Manage people, API tokens and MQTT consumers; read the audit log", []Right{People, Consumers, Audit}},
	{store.Admin, "Update agents to the release that lies here, stop that, and say whether it begins by itself", []Right{Update}},
	{store.Admin, "Say who is told of what: channels, rules, thresholds and heartbeats", []Right{Telling}},
	{store.Admin, "Change the identity by which hosts know the control plane", []Right{Identity}},
}

// Consumer is the role that an MQTT consumer has that may publish to do/ topics.
const Consumer = store.Operator

// Table lists every right once, those that most roles have first.
func Table() []Row { return slices.Clone(table) }

// Least returns the weakest role that has a right. What the table does not know is
// for administrators.
func Least(r Right) store.Role {
	for _, row := range table {
		if slices.Contains(row.Rights, r) {
			return row.Least
		}
	}
	return store.Admin
}

// May reports whether a role has a right. No role, and one of a later version, has
// none.
func May(role store.Role, r Right) bool {
	i := slices.Index(store.Roles, role)
	return i >= 0 && i >= slices.Index(store.Roles, Least(r))
}

// A Job is what the right to ask for one depends on: its kind, where it works and
// writes, and how.
type Job struct {
	Kind      topics.JobKind
	Operation topics.Operation
	Strange   bool // its host has neither a source group in the repository, at this place, nor is it the keeper
	Another   bool // a restore of a snapshot that no job of the same host made
	Unasked   bool // a copy into a repository that is not the mirror of the one it copies from
	Outside   bool // a restore to a place that is neither in the host's quarantine nor a new folder of its own
}

// Of returns the right that asking for a job takes. A dry run takes the right of
// what it tries.
func Of(j Job) Right {
	o := j.Operation
	switch {
	case j.Strange:
		return Give
	case j.Kind == topics.RestoreJob && (j.Outside || j.Another || o.InPlace || o.Replaces()):
		return RestoreOver
	case j.Kind == topics.DrillJob && o.Drill != nil && o.Drill.Target != "":
		return RestoreOver
	case j.Kind == topics.UnlockJob && o.All:
		return UnlockAll
	case j.Kind == topics.CopyJob && j.Unasked: // whoever reads that repository reads all that is copied into it
		return Repositories
	case j.Kind == topics.InitJob && o.Anyway:
		return Repositories
	}
	return Right(j.Kind)
}

// Stays reports whether somebody with a role may still have a job that they asked for
// and that was not sent yet. What a restore was weighed by when it was asked for is not
// looked at again: one that its agent does not hold to the quarantine takes what any
// such takes.
func Stays(role store.Role, j store.Job) bool {
	var o topics.Operation
	if j.Operation.V != nil {
		o = *j.Operation.V
	}
	return May(role, Of(Job{Kind: j.Kind, Operation: o, Strange: j.GivenBy != "", Outside: !o.Confined}))
}

// Asked says which role each kind of job takes, and what takes more: for the
// description of an operation of the API.
func Asked() string {
	var roles []string
	for _, role := range store.Roles {
		var kinds []string
		for _, k := range topics.Kinds {
			if Least(Right(k)) == role {
				kinds = append(kinds, string(k))
			}
		}
		if len(kinds) > 0 {
			roles = append(roles, strings.Join(kinds, ", ")+" take the role "+string(role)+" or one above it")
		}
	}
	return strings.Join(roles, "; ") + ". A restore that goes anywhere but into a new folder or the host's quarantine, over files, or of " +
		"what another host saved, and a full drill to a target, takes the role " + string(Least(RestoreOver)) +
		"; an unlock of all locks " + string(Least(UnlockAll)) + "; a copy into a repository that is not the mirror of the other one " +
		string(Least(Repositories)) +
		". Any job in a repository that its host neither backs up into nor is the keeper of takes the role " + string(Least(Give)) +
		", and give_repository."
}
