package topics

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// An Operation is what a job asks of restic besides the repository and, for a
// backup, the source group. Which fields count, the kind decides; see Check.
// Nothing in it is an option: restic's command line is built from these fields
// and constants alone.
type Operation struct {
	// Snapshots are the IDs that a forget removes, 64 digits each; those that a find looks in
	// alone; and those that a copy copies, of 64 digits: none is all that it finds.
	Snapshots []string `json:"snapshots,omitempty"`
	From      string   `json:"from,omitempty"`      // diff; init: ID of the repository that files are to be cut like in
	To        string   `json:"to,omitempty"`        // diff; copy: ID of the repository that the snapshots go to
	Snapshot  string   `json:"snapshot,omitempty"`  // restore
	Paths     []string `json:"paths,omitempty"`     // restore: what to bring back, as the snapshot names it; none is all
	Target    string   `json:"target,omitempty"`    // restore: a directory of the host
	Fresh     bool     `json:"fresh,omitempty"`     // restore: Target is a new directory that was named for this job alone
	Overwrite string   `json:"overwrite,omitempty"` // restore: one of Overwrites; "" is never
	// Confined has the agent hold a restore to the host's quarantine, and to a directory that
	// is empty or not there yet, even where the host's policy permits more: who asked for it
	// may not do more. Agents of older versions do not know it.
	Confined bool   `json:"confined,omitempty"`
	DryRun   bool   `json:"dry_run,omitempty"` // restore, prune: say what would happen
	Pattern  string `json:"pattern,omitempty"` // find: restic's pattern of file names
	// Groups has a find look in snapshots of these source groups alone, and IgnoreCase takes
	// capitals for small letters. Agents without [SearchesSome] know neither, nor Snapshots.
	Groups     []SourceGroupID `json:"groups,omitempty"`
	IgnoreCase bool            `json:"ignore_case,omitempty"`

	ReadData bool   `json:"read_data,omitempty"` // check: every pack
	Subset   string `json:"subset,omitempty"`    // check: "n/t", the nth of t slices of the packs
	All      bool   `json:"all,omitempty"`       // unlock: locks of live processes, too
	Anyway   bool   `json:"anyway,omitempty"`    // init: also in a directory that looks like a mount point without its disk

	// Items are what a restore brings back of several snapshots of one repository, in place
	// of Snapshot and Paths. NoOwners has what was restored belong to the owner of the folder
	// it is in, without set-user-ID, set-group-ID and capabilities. InPlace puts each item
	// where it was; there is no Target then. Preview is what the restore has to find. Agents
	// without [RestoresBaskets] know none of the four.
	Items    []Item   `json:"items,omitempty"`
	NoOwners bool     `json:"no_owners,omitempty"`
	InPlace  bool     `json:"in_place,omitempty"`
	Preview  *Preview `json:"preview,omitempty"`

	// WithCache has a check take what the host's cache holds of the repository for what
	// the repository holds, which is faster, and does not see damage to that part: the
	// index, the snapshots and the trees. Agents of older versions always do so.
	WithCache bool `json:"with_cache,omitempty"`

	Drill  *Drill  `json:"drill,omitempty"`  // drill
	Update *Update `json:"update,omitempty"` // update
}

// Overwrites are what a restore may do to a file that is there already.
var Overwrites = []string{"never", "if-newer", "if-changed", "always"}

// MaxPaths bounds lists of paths and snapshots in one operation, so that its
// command fits into a message.
const MaxPaths = 500

// ErrOperation says that an operation is not what its kind takes.
var ErrOperation = errors.New("the operation is not understood")

var (
	snapshotID = regexp.MustCompile(`^[0-9a-f]{8,64}$`)
	wholeID    = regexp.MustCompile(`^[0-9a-f]{64}$`)
	slice      = regexp.MustCompile(`^([1-9][0-9]{0,3})/([1-9][0-9]{0,3})$`)
)

// Check refuses what a job of this kind cannot be asked for. The error says
// which field, and what it wants.
func (o Operation) Check(kind JobKind) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrOperation, fmt.Sprintf(format, args...))
	}
	rest := o // what no rule has looked at has no business here
	switch kind {
	case ForgetJob:
		if n := len(o.Snapshots); n == 0 || n > MaxPaths {
			return bad("snapshots: name 1 to %d of them", MaxPaths)
		}
		for _, id := range o.Snapshots {
			if !wholeID.MatchString(id) {
				return bad("snapshots: %.80q is no whole snapshot ID of 64 digits", id)
			}
		}
		rest.Snapshots = nil
	case DiffJob:
		for _, id := range []string{o.From, o.To} {
			if !snapshotID.MatchString(id) {
				return bad("from, to: %.80q is no snapshot ID", id)
			}
		}
		rest.From, rest.To = "", ""
	case RestoreJob:
		for _, check := range []func() error{o.checkBasket, o.checkPlace, o.checkPreview} {
			if err := check(); err != nil {
				return bad("%v", err)
			}
		}
		if o.Overwrite != "" && !slices.Contains(Overwrites, o.Overwrite) {
			return bad("overwrite: one of %s", strings.Join(Overwrites, ", "))
		}
		if o.Confined && o.Replaces() {
			return bad("overwrite: what goes into the quarantine goes over no file")
		}
		rest.Snapshot, rest.Target, rest.Fresh, rest.Confined, rest.Paths, rest.Overwrite, rest.DryRun = "", "", false, false, nil, "", false
		rest.Items, rest.NoOwners, rest.InPlace, rest.Preview = nil, false, false, nil
	case FindJob:
		if o.Pattern == "" || len(o.Pattern) > 1000 || strings.ContainsAny(o.Pattern, "\x00\r\n") {
			return bad("pattern: Say what to look for, one line of at most 1,000 bytes: a name such as letter.txt, or a pattern such as *.txt")
		}
		if len(o.Snapshots)+len(o.Groups) > MaxPaths || len(o.Snapshots) > 0 && len(o.Groups) > 0 {
			return bad("snapshots, groups: name up to %d of either", MaxPaths)
		}
		for _, id := range o.Snapshots {
			if !snapshotID.MatchString(id) {
				return bad("snapshots: %.80q is no snapshot ID", id)
			}
		}
		for _, id := range o.Groups {
			if !validID(string(id)) {
				return bad("groups: %.80q is no ID of a source group", string(id))
			}
		}
		rest.Pattern, rest.Snapshots, rest.Groups, rest.IgnoreCase = "", nil, nil, false
	case CheckJob:
		if o.ReadData && o.Subset != "" {
			return bad("read_data and subset exclude each other")
		}
		if m := slice.FindStringSubmatch(o.Subset); o.Subset != "" && (m == nil || len(m[1]) > len(m[2]) ||
			len(m[1]) == len(m[2]) && m[1] > m[2]) {
			return bad("subset: %.20q is not n/t, as in 1/12", o.Subset)
		}
		rest.ReadData, rest.Subset, rest.WithCache = false, "", false
	case PruneJob:
		rest.DryRun = false
	case UnlockJob:
		rest.All = false
	case InitJob:
		if o.From != "" && !validID(o.From) {
			return bad("from: %.80q is no repository ID", o.From)
		}
		rest.Anyway, rest.From = false, ""
	case CopyJob:
		if !validID(o.To) {
			return bad("to: name the repository that the snapshots go to, by its ID; %.80q is none", o.To)
		}
		if len(o.Snapshots) > MaxPaths {
			return bad("snapshots: name up to %d of them; none is all", MaxPaths)
		}
		for _, id := range o.Snapshots {
			if !wholeID.MatchString(id) {
				return bad("snapshots: %.80q is no whole snapshot ID of 64 digits", id)
			}
		}
		rest.To, rest.Snapshots = "", nil
	case DrillJob:
		if o.Drill != nil {
			if err := o.Drill.check(); err != nil {
				return bad("%v", err)
			}
		}
		rest.Drill = nil
	case UpdateJob:
		if err := o.Update.check(); err != nil {
			return bad("%v", err)
		}
		rest.Update = nil
	case BackupJob, SnapshotsJob, StatsJob, KeyJob, LocksJob:
	default:
		return bad("kind: %.40q is none of %s", string(kind), kinds())
	}
	if !rest.empty() {
		return bad("it holds fields that mean nothing to a job of kind %s", kind)
	}
	return nil
}

// Replaces reports whether a restore may write over a file that is there.
func (o Operation) Replaces() bool { return o.Overwrite != "" && o.Overwrite != Overwrites[0] }

// Picky reports whether a find asks for more than an agent without [SearchesSome] knows.
func (o Operation) Picky() bool { return len(o.Snapshots)+len(o.Groups) > 0 || o.IgnoreCase }

func (o Operation) empty() bool {
	return len(o.Snapshots) == 0 && len(o.Groups) == 0 && !o.IgnoreCase && len(o.Paths) == 0 && len(o.Items) == 0 && o.Preview == nil &&
		o.From+o.To+o.Snapshot+o.Target+o.Overwrite+o.Pattern+o.Subset == "" &&
		!o.NoOwners && !o.InPlace && !o.Fresh && !o.Confined && !o.DryRun && !o.ReadData && !o.All && !o.WithCache && !o.Anyway &&
		o.Drill == nil && o.Update == nil
}

func kinds() string {
	var names []string
	for _, k := range Kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// inSnapshot accepts a path as snapshots hold them: with slashes on every
// system, from the root.
func inSnapshot(p string) error {
	if !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "\x00") || path.Clean(p) != p {
		return fmt.Errorf("%.200q is no path as a snapshot names it, as in /home/anna", p)
	}
	return nil
}

// absolute accepts a directory that is absolute on Linux or on Windows.
func absolute(p string) error {
	windows := len(p) >= 3 && (p[0]|0x20 >= 'a' && p[0]|0x20 <= 'z') && p[1] == ':' && (p[2] == '\\' || p[2] == '/')
	if share, ok := strings.CutPrefix(p, `\\`); ok { // as a source may be one
		server, name, _ := strings.Cut(share, `\`)
		windows = server != "" && server != "?" && server != "." && strings.Trim(name, `\`) != ""
	}
	if !strings.HasPrefix(p, "/") && !windows || strings.ContainsAny(p, "\x00\r\n") || len(p) > 4000 {
		return fmt.Errorf("%.200q is no absolute directory of the host", p)
	}
	for _, part := range strings.FieldsFunc(p, func(r rune) bool { return r == '/' || r == '\\' }) {
		if part == ".." {
			return fmt.Errorf("%.200q climbs up with ..; write where it leads", p)
		}
	}
	return nil
}

// A Report is what a job found out, in numbered parts that all come before its
// end. Each part fits into a message.
type Report struct {
	Job       JobID      `json:"job"`
	Part      int        `json:"part"` // from 1, without holes
	Snapshots []Snapshot `json:"snapshots,omitempty"`
	Keys      []Key      `json:"keys,omitempty"`
	Locks     []Lock     `json:"locks,omitempty"`
	Matches   []Match    `json:"matches,omitempty"`
	Changes   []Change   `json:"changes,omitempty"`
	Planned   []Planned  `json:"planned,omitempty"`  // of a restore's dry run, at most MaxListed
	Failures  []Failure  `json:"failures,omitempty"` // of a restore, at most MaxListed
	Proofs    []Proof    `json:"proofs,omitempty"`
}

// A Key opens a repository.
type Key struct {
	ID      string `json:"id"`
	Current bool   `json:"current"` // the one that was used to look
	User    string `json:"user"`
	Host    string `json:"host"`
	Created int64  `json:"created,omitempty"` // Unix milliseconds, 0 if restic's answer was not understood
}

// A Lock is one that lies in a repository.
type Lock struct {
	ID        string `json:"id"`
	Time      int64  `json:"time"` // Unix milliseconds; restic renews a lock every five minutes
	Exclusive bool   `json:"exclusive"`
	Host      string `json:"host"`
	User      string `json:"user"`
	PID       int    `json:"pid"`
	// Alive says whether a process of that number runs on the host that looked;
	// nil if the lock is of another host.
	Alive *bool `json:"alive,omitempty"`
	// Job is the job of that process, if the host that looked knows it as its own.
	Job JobID `json:"job,omitempty"`
}

// A Match is something find found in a snapshot.
type Match struct {
	Snapshot string `json:"snapshot"`
	Path     string `json:"path"`
	Type     string `json:"type"` // file, dir, symlink, …
	Size     uint64 `json:"size,omitempty"`
	ModTime  int64  `json:"mtime,omitempty"` // Unix milliseconds
}

// A Change is one difference between two snapshots.
type Change struct {
	Path     string `json:"path"`
	Modifier string `json:"modifier"` // restic's: + added, - removed, M content, U metadata, T type, ? bit rot
}

// A Result is what a job that is no backup found out, in short.
type Result struct {
	Parts     int       `json:"parts,omitempty"`     // of the report
	Truncated bool      `json:"truncated,omitempty"` // there was more than the report holds
	Stats     *Stats    `json:"stats,omitempty"`
	Check     *Checked  `json:"check,omitempty"`
	Restore   *Restored `json:"restore,omitempty"`
	Diff      *Diffed   `json:"diff,omitempty"`
	Prune     *Pruned   `json:"prune,omitempty"`
	Drill     *Drilled  `json:"drill,omitempty"`
	Copy      *Copied   `json:"copy,omitempty"`
	Removed   []string  `json:"removed,omitempty"` // forget: the snapshots that are gone
	// Unreadable has the beginnings of the IDs of snapshots that are there and could not
	// be read; a listing lacks them.
	Unreadable []string `json:"unreadable,omitempty"`
	Place      string   `json:"place,omitempty"` // restic's ID of the repository that was listed; "" from older agents
	Unlocked   int      `json:"unlocked,omitempty"`
	// NoLock says why a restore or check took no lock: none could be written, in
	// restic's words. A prune at the same time could have removed what it read.
	NoLock string `json:"no_lock,omitempty"`
	Made   bool   `json:"made,omitempty"`  // init: there was no repository before
	Count  int    `json:"count,omitempty"` // of snapshots, keys, locks, matches or changes
}

// Stats is how much a repository holds. Bytes are bytes.
type Stats struct {
	Snapshots    uint64 `json:"snapshots"`
	RestoreBytes uint64 `json:"restore_bytes"`         // of all snapshots, each counted whole
	StoredBytes  uint64 `json:"stored_bytes"`          // what the blobs take in the repository
	PlainBytes   uint64 `json:"plain_bytes,omitempty"` // the blobs before compression; 0 if restic does not say (before 0.15)
	Blobs        uint64 `json:"blobs"`                 // number of them
	Files        uint64 `json:"files"`                 // of all snapshots
}

// Checked is what check found.
type Checked struct {
	Errors  uint64   `json:"errors"`
	Broken  []string `json:"broken,omitempty"`  // IDs of damaged packs, at most 100
	Suggest []string `json:"suggest,omitempty"` // "repair index", "prune"
}

// Diffed is the difference between two snapshots in numbers.
type Diffed struct {
	ChangedFiles uint64 `json:"changed_files"`
	AddedFiles   uint64 `json:"added_files"`
	RemovedFiles uint64 `json:"removed_files"`
	AddedBytes   uint64 `json:"added_bytes"`
	RemovedBytes uint64 `json:"removed_bytes"`
}

// Copied is what a copy found in both repositories. A snapshot is in the second one if that
// holds one of the same tree, time and paths which restic says was made of it.
type Copied struct {
	// Of and Into are restic's own IDs of the repository it copied from and to; "" where
	// that was not read.
	Of   string `json:"of,omitempty"`
	Into string `json:"into,omitempty"`
	// Side says which of the two a failure is about, CopyFrom or CopyTo; "" for neither, or both.
	Side    string `json:"side,omitempty"`
	Asked   int    `json:"asked"`             // snapshots that were to be there in the end
	Already int    `json:"already"`           // of them, those that were before
	Copied  int    `json:"copied"`            // of them, those that came
	Gone    int    `json:"gone"`              // that were named, and are not in the first repository any more
	Left    int    `json:"left"`              // that are not in the second one, or are there as something else
	Missing []Lack `json:"missing,omitempty"` // of those left, at most [MaxLacking]
	// OtherCuts says that the two repositories cut files at other places: data that was
	// backed up into the second one is not shared with what is copied there. Only when a
	// repository is made can it take that from another.
	OtherCuts bool `json:"other_cuts,omitempty"`
}

// The repositories of a copy, for Copied.Side.
const (
	CopyFrom = "from"
	CopyTo   = "to"
)

// MaxLacking is how many snapshots a [Copied] names.
const MaxLacking = 50

// A Lack is a snapshot of the first repository that is not in the second one after a copy.
type Lack struct {
	Snapshot string `json:"snapshot"`
	Time     int64  `json:"time"` // Unix milliseconds
	// Differs says what of it is another in the snapshot that was made of it: "tree", "time"
	// or "paths"; "" if there is none.
	Differs string `json:"differs,omitempty"`
}

// Pruned is what prune freed, as far as restic's text says.
type Pruned struct {
	FreedBytes uint64 `json:"freed_bytes"`
	LeftBytes  uint64 `json:"left_bytes"`
}
