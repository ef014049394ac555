// Package rights says who may do what: one table that the routes, the services, the
// pages and the list on the page Users all go by. What a right is to may depend on the
// kind of a job, on where it writes and how; never on the person, only on their role.
package rights

import (
	"path"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A Right is something that a role may do or not. The right to ask for a job of a
// kind is the kind's name; [OfJob] tells which right a particular job takes.
type Right string

// Rights that are not the name of a job's kind.
const (
	See          Right = "see"          // every page and list but those that name another right
	Self         Right = "self"         // one's own password and sessions
	Run          Right = "run"          // some kind of job; which ones, the right of each says
	Cancel       Right = "cancel"       // end a job, whoever asked for it
	RestoreOver  Right = "restore-over" // restore in place, or over files that are there
	UnlockAll    Right = "unlock-all"   // remove locks of live processes, too
	Approve      Right = "approve"      // carry out a plan that was held for review
	Hosts        Right = "hosts"        // add, change, enrol and revoke hosts
	Sources      Right = "sources"      // say what is backed up
	Schedules    Right = "schedules"    // say when
	Repositories Right = "repositories" // add, change and remove repositories, their keys and rules
	Hours        Right = "hours"        // say when repositories are looked after
	Kit          Right = "kit"          // see the secrets that open a repository
	Audit        Right = "audit"        // read and verify the audit log
	People       Right = "people"       // accounts, everybody's sessions and API tokens
	Consumers    Right = "consumers"    // accounts of MQTT clients
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
)

// A Row is what the page Users says of some rights that the same roles have.
type Row struct {
	Least  store.Role // the weakest role that has them; those above have them, too
	Text   string     // "Cancel jobs"
	Rights []Right
}

// table has every right once, in the order of the page Users. What takes away what
// nobody can put back, and what writes over files, is for administrators.
var table = []Row{
	{store.Viewer, "See hosts, repositories, jobs and their logs", []Right{See}},
	{store.Viewer, "Change their own password, end their own sessions", []Right{Self}},
	{store.Operator, "Ask for backups, cancel jobs", []Right{Run, Backup, Cancel}},
	{store.Operator, "List, measure, compare and search repositories", []Right{Snapshots, Stats, Diff, Find, Key, Locks}},
	{store.Operator, "Set up and check repositories, remove stale locks", []Right{Init, Check, Unlock}},
	{store.Operator, "Restore to another directory, over no file", []Right{Restore}},
	{store.Admin, "Restore in place, or over files that are there", []Right{RestoreOver}},
	{store.Admin, "Forget snapshots, prune, approve a plan that was held, remove all locks", []Right{Forget, Prune, Approve, UnlockAll}},
	{store.Admin, "Add, change, enrol, revoke and remove hosts; change what is backed up, and when", []Right{Hosts, Sources, Schedules}},
	{store.Admin, "Add, change and remove repositories; change retention and when it runs; see emergency kits",
		[]Right{Repositories, Hours, Kit}},
	{store.Admin, "Manage people, API tokens and MQTT consumers; read the audit log", []Right{People, Consumers, Audit}},
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

// OfJob returns the right that asking for a job takes. A dry run takes the right of
// what it tries.
func OfJob(k topics.JobKind, o topics.Operation) Right {
	switch {
	case k == topics.RestoreJob && (InPlace(o.Target) || o.Overwrite != "" && o.Overwrite != topics.Overwrites[0]):
		return RestoreOver
	case k == topics.UnlockJob && o.All:
		return UnlockAll
	case k == topics.InitJob && o.Anyway:
		return Repositories
	}
	return Right(k)
}

// InPlace reports whether a restore to this directory writes files back to where
// they were: restic puts /home/anna below the target by its whole name, so the root
// of a file system is the place they came from. It knows the root's other names, but
// not where symbolic links of the host lead.
func InPlace(target string) bool {
	if target == "" {
		return false // nowhere; asking for it is refused
	}
	t := strings.ReplaceAll(target, `\`, "/")
	for _, device := range []string{"//?/", "//./"} { // \\?\C:\ is C:\
		t = strings.TrimPrefix(t, device)
	}
	if len(t) >= 2 && t[1] == ':' { // a drive
		t = t[2:]
		if t == "" {
			return true
		}
	}
	t = path.Clean("/" + t)
	if t == "/" {
		return true
	}
	parts := strings.Split(strings.Trim(t, "/"), "/")
	last := parts[len(parts)-1]
	return parts[0] == "proc" && (last == "root" || last == "cwd") // links to a process's own root
}
