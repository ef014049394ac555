// Package since knows which version of restic brought what of all that we use: the one table
// that agents and the control plane go by. What an older restic does instead is said in it,
// too, so that pages and refusals use the same words.
package since

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Version is restic's own, three numbers. What follows them is left out.
type Version struct{ Major, Minor, Patch int }

// Oldest is the first restic that is used at all: it has repositories of format 2.
var Oldest = Version{Minor: 14}

var version = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?`)

// Parse reads a version as hosts report it, "0.14.0". ok is false of one that is not
// understood, or empty: nothing is known then.
func Parse(text string) (v Version, ok bool) {
	m := version.FindStringSubmatch(text)
	if m == nil {
		return v, false
	}
	for i, n := range []*int{&v.Major, &v.Minor, &v.Patch} {
		*n, _ = strconv.Atoi(m[i+1]) // at most four digits
	}
	return v, true
}

// Compare is negative if v is older than o, positive if it is newer.
func (v Version) Compare(o Version) int {
	return slices.Compare([]int{v.Major, v.Minor, v.Patch}, []int{o.Major, o.Minor, o.Patch})
}

// AtLeast reports whether v is major.minor.patch or newer.
func (v Version) AtLeast(major, minor, patch int) bool {
	return v.Compare(Version{major, minor, patch}) >= 0
}

// Has reports whether this restic has what a version of the table brought.
func (v Version) Has(f Feature) bool { return v.Compare(f.Since) >= 0 }

// String is all three numbers.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Short leaves out a last number that is 0, as people do: "0.17".
func (v Version) Short() string { return strings.TrimSuffix(v.String(), ".0") }

// A Weight is how much it matters that a restic does not have something.
type Weight int

// From what nobody has to know to what is wrong without it.
const (
	// Inner is that we get by, and nobody sees a difference worth telling.
	Inner Weight = iota
	// Less is that it goes on without: slower, or saying less.
	Less
	// Refused is that it is not done: the door refuses, or the job.
	Refused
	// Fault is that older ones do it wrong.
	Fault
)

// A Feature is what a version of restic brought, or mended.
type Feature struct {
	Since Version
	What  string // in words that go on after "restic 0.14.0 is too old for"
	Else  string // a sentence: what older ones do; "" if Weight is Inner
	Weight
	Windows bool // it matters on Windows alone
}

// What we use, by version.
var (
	Rewrite = Feature{Version{0, 15, 0}, "taking files out of snapshots", "Nothing is taken out: such a job is refused.", Refused, false}
	Sparse  = Feature{Version{0, 15, 0}, "restoring files with holes as such",
		"A restore writes zeros where a file had holes, which takes more room.", Less, false}
	ReadConcurrency = Feature{Version{0, 15, 0}, "saying how many files a backup reads at once", "A backup reads two at once.", Less, false}
	NoScan          = Feature{Version{0, 15, 0}, "beginning a backup without counting first", "A backup counts first.", Less, false}

	RepairSnapshots = Feature{Version{0, 16, 0}, "repairing snapshots",
		"Damaged snapshots stay as they are: such a job is refused.", Refused, false}
	RestoreAnywhere = Feature{Version{0, 16, 0}, "restoring to where files were",
		"It is refused: restore into a folder.", Refused, true}
	FolderOf    = Feature{Version{0, 16, 0}, "restoring what is in a folder without the folder", "", Inner, false}
	RepairIndex = Feature{Version{0, 16, 0}, "calling it repair index", "", Inner, false}
	OverLinks   = Feature{Version{0, 16, 0}, "restoring links over links",
		"Links that are there stay, whatever the restore says.", Less, false}
	RetryLock   = Feature{Version{0, 16, 0}, "waiting for a lock itself", "The agent begins anew until the lock is gone.", Less, false}
	RestoreJSON = Feature{Version{0, 16, 0}, "telling how far a restore is",
		"The agent estimates it from what lies at the target.", Less, false}
	TellsAlways = Feature{Version{0, 16, 0}, "telling its progress whatever happens", "", Inner, false}
	GroupBy     = Feature{Version{0, 16, 0}, "knowing what was read before when the folders of a group change",
		"After such a change the first backup reads everything again.", Less, false}
	FilesByVariable = Feature{Version{0, 16, 0}, "reading where certificates are from its environment", "", Inner, false}
	LoginByVariable = Feature{Version{0, 16, 1}, "reading a REST server's login from its environment", "", Inner, false}
	SSHArgs         = Feature{Version{0, 16, 5}, "copying between two SFTP servers",
		"A copy between two SFTP servers is refused, unless it is one server and one user.", Refused, false}

	RepairPacks = Feature{Version{0, 17, 0}, "repairing packs", "Damaged packs stay as they are: such a job is refused.", Refused, false}
	Overwrite   = Feature{Version{0, 17, 0}, "leaving alone what a restore finds at its target",
		"A restore into a folder with files is refused, unless it may always write over them.", Refused, false}
	IncludeFile = Feature{Version{0, 17, 0}, "reading what to restore from a file", "", Inner, false}
	OverPipes   = Feature{Version{0, 17, 0}, "restoring pipes and devices over such", "Those that are there stay.", Less, false}
	Exits       = Feature{Version{0, 17, 0}, "telling by its exit code why it failed",
		"The cause is read from what restic prints.", Less, false}
	OwnersAlways = Feature{Version{0, 17, 0}, "restoring owners on Windows", "A restore on Windows leaves owners and rights out.", Less, true}
	Anonymous    = Feature{Version{0, 17, 0}, "reading a bucket without any login", "It goes on without the option, and fails.", Less, false}

	CheckJSON  = Feature{Version{0, 18, 0}, "telling what a check found as data", "It is read from what restic prints.", Less, false}
	TagJSON    = Feature{Version{0, 18, 0}, "telling which snapshots tags changed", "", Inner, false}
	Retries    = Feature{Version{0, 18, 0}, "trying again for minutes when a server is away", "", Inner, false}
	CloudFiles = Feature{Version{0, 18, 0}, "leaving out files that are in the cloud alone",
		"A backup reads them, which fetches them, or warns that it cannot.", Less, true}
	AccessTier = Feature{Version{0, 18, 0}, "choosing Azure's access tier", "It goes on without the option.", Less, false}

	MoreCompression = Feature{Version{0, 19, 0}, "the compression fastest or better", "It goes on with its own.", Less, false}
	SaysExcluded    = Feature{Version{0, 19, 0}, "saying what it takes out only when asked", "", Inner, false}

	// RestoreNames is of restic 0.20.0, #22180: entries of a folder whose name stands twice
	// or out of order are refused. A repository that somebody else can write to may hold such.
	RestoreNames = Feature{Version{0, 20, 0}, "refusing names that a forged or damaged snapshot has twice in a folder",
		"A restore takes such a snapshot, and one entry may be written over or through the other.", Fault, false}
	// RestoreOwners is of restic 0.20.0, #22178. We restore by numbers, so nothing that is
	// restored from here has it; who types restic's commands on the host may.
	RestoreOwners = Feature{Version{0, 20, 0}, "the right owners with --ownership-by-name",
		"Owners may be wrong where a name is not known on the host. Restores from here go by numbers and do not have it.", Inner, false}
)

// All is the table, by version.
var All = []Feature{Rewrite, Sparse, ReadConcurrency, NoScan, RepairSnapshots, RestoreAnywhere, FolderOf, RepairIndex, OverLinks, RetryLock,
	RestoreJSON, TellsAlways, GroupBy, FilesByVariable, LoginByVariable, SSHArgs, RepairPacks, Overwrite, IncludeFile, OverPipes, Exits,
	OwnersAlways, Anonymous, CheckJSON, TagJSON, Retries, CloudFiles, AccessTier, MoreCompression, SaysExcluded, RestoreNames, RestoreOwners}

// Newest is the youngest version of the table: one that is as new lacks nothing.
func Newest() (v Version) {
	for _, f := range All {
		if f.Since.Compare(v) > 0 {
			v = f.Since
		}
	}
	return v
}

// Lacks is what a restic on a host of a system lacks, what weighs most first; what nobody
// has to know is left out.
func Lacks(v Version, windows bool) (list []Feature) {
	for _, f := range All {
		if f.Weight > Inner && !v.Has(f) && (windows || !f.Windows) {
			list = append(list, f)
		}
	}
	slices.SortStableFunc(list, func(a, b Feature) int { return int(b.Weight) - int(a.Weight) })
	return list
}

// Restoring warns of a restore by a restic as the host name reports it: "" if there is
// nothing to say. One that is not known says nothing: without a restic nothing is restored,
// and the job tells which it was.
func Restoring(name, text string) string {
	v, ok := Parse(text)
	if !ok || v.Has(RestoreNames) {
		return ""
	}
	return fmt.Sprintf("%s has restic %s. Restores of restic before %s have two faults. Names: a forged or damaged snapshot in which a name "+
		"stands twice in a folder is not refused, and one entry may be written over or through the other. Ownership: with "+
		"--ownership-by-name, which is never used from here, owners may be wrong. If others can write to this repository, update restic "+
		"there first.", name, text, RestoreNames.Since.Short())
}
