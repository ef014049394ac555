package topics

import (
	"errors"
	"fmt"
	"slices"
)

// A Drill is what a job of kind drill has to prove: that snapshots can be restored. Each
// source group is taken in turn. Without Full, a sample of each snapshot is restored into
// a scratch folder of the agent's own, compared, and removed again.
type Drill struct {
	Groups []DrillGroup `json:"groups,omitempty"` // filled in by the control plane just before it is sent
	Files  int          `json:"files,omitempty"`  // at most so many files of each group, besides directories; 0 is [DrillFiles]
	Bytes  int64        `json:"bytes,omitempty"`  // at most so much of each group; 0 is [DrillBytes]
	// Seed chooses the sample. The same seed chooses the same files of the same snapshot.
	Seed int64 `json:"seed,omitempty"`
	// Full restores and proves all of the first snapshot of each group.
	Full bool `json:"full,omitempty"`
	// Target is where a full drill restores to, by the rules of a restore; "" is the
	// scratch folder.
	Target string `json:"target,omitempty"`
	Keep   bool   `json:"keep,omitempty"` // what a full drill restored to Target stays there
}

// WithDrill returns an operation with what somebody asked of a drill; the target that they
// named is the drill's then. Of any other kind it is left as it is if they asked nothing,
// else Check refuses it.
func (o Operation) WithDrill(kind JobKind, d Drill) Operation {
	if kind == DrillJob {
		d.Target, o.Target = o.Target, ""
		o.Drill = &d
	} else if d.Files != 0 || d.Bytes != 0 || d.Seed != 0 || d.Full || d.Keep {
		o.Drill = &d
	}
	return o
}

// A DrillGroup is a source group and the snapshots of it that are to be proven: the newest
// one and an older one, as far as there are any.
type DrillGroup struct {
	Group     SourceGroupID `json:"group,omitempty"`
	Name      string        `json:"name,omitempty"` // for what is said of it
	Snapshots []string      `json:"snapshots,omitempty"`
}

// The sample of a drill that does not name another, and the most one can name.
const (
	DrillFiles    = 20
	DrillBytes    = 100 << 20
	MaxDrillFiles = 5000
	MaxDrillBytes = 1 << 40
)

// MaxProofs bounds the files of one drill that its report names: what was not proven comes
// first.
const MaxProofs = 10_000

func (d Drill) check() error {
	switch {
	case d.Files < 0 || d.Files > MaxDrillFiles:
		return fmt.Errorf("drill: files: 1 to %d", MaxDrillFiles)
	case d.Bytes < 0 || d.Bytes > MaxDrillBytes:
		return fmt.Errorf("drill: bytes: 1 to %d", int64(MaxDrillBytes))
	case d.Target != "" && !d.Full:
		return errors.New("drill: target: only a full drill has one; a sample goes into the agent's own scratch folder")
	case d.Keep && d.Target == "":
		return errors.New("drill: keep: name a target; the agent's own scratch folder is always removed")
	case len(d.Groups) > MaxPaths:
		return fmt.Errorf("drill: groups: at most %d", MaxPaths)
	}
	if d.Target != "" {
		if err := absolute(d.Target); err != nil {
			return fmt.Errorf("drill: target: %w", err)
		}
	}
	for _, g := range d.Groups {
		if len(g.Snapshots) > 2 {
			return errors.New("drill: groups: at most two snapshots of each")
		}
		for _, id := range g.Snapshots {
			if !wholeID.MatchString(id) {
				return fmt.Errorf("drill: groups: %.80q is no whole snapshot ID of 64 digits", id)
			}
		}
	}
	return nil
}

// A Verdict is what a drill says of one file or directory.
type Verdict string

// The verdicts. The first three are proof.
const (
	SameAsSource Verdict = "same-as-source" // it has the hash of the source, whose size and time have not changed since the snapshot
	SameAsSaved  Verdict = "same-as-saved"  // it has the content that the snapshot holds, by restic's own hashes
	ThereAsSaved Verdict = "there"          // a directory, link or special file that came back as the snapshot names it
	Differs      Verdict = "differs"        // it came back with other content
	NotRestored  Verdict = "not-restored"   // it did not come back
)

// Verdicts lists every verdict.
var Verdicts = []Verdict{SameAsSource, SameAsSaved, ThereAsSaved, Differs, NotRestored}

// Proves reports whether the verdict is that what came back is what was saved.
func (v Verdict) Proves() bool { return v == SameAsSource || v == SameAsSaved || v == ThereAsSaved }

// A Proof is what a drill found out about one file or directory.
type Proof struct {
	Snapshot string  `json:"snapshot"`
	Path     string  `json:"path"` // as the snapshot names it
	Type     string  `json:"type"` // file, dir, symlink, …
	Bytes    uint64  `json:"bytes,omitempty"`
	Hash     string  `json:"hash,omitempty"` // SHA-256 of the restored content, 64 hexadecimal digits; files only
	Verdict  Verdict `json:"verdict"`
	Why      string  `json:"why,omitempty"` // of one that was not proven, for people
}

// ProofsOf returns what the parts of a drill's report say of its files, what was not proven
// first, whatever the order in which an agent names them.
func ProofsOf(parts []Report) []Proof {
	all := []Proof{}
	for _, r := range parts {
		all = append(all, r.Proofs...)
	}
	slices.SortStableFunc(all, func(a, b Proof) int {
		switch x, y := a.Verdict.Proves(), b.Verdict.Proves(); {
		case x == y:
			return 0
		case y:
			return -1
		}
		return 1
	})
	return all
}

// Drilled is what a drill proved, in numbers. Bytes are bytes.
type Drilled struct {
	Seed     int64  `json:"seed"`
	Files    uint64 `json:"files"`              // files, links and specials that were restored or should have been
	Folders  uint64 `json:"folders"`            // directories, likewise
	Bytes    uint64 `json:"bytes"`              // of what came back
	Proven   uint64 `json:"proven"`             // of files and folders
	Compared uint64 `json:"compared"`           // of those, with the source
	Verified uint64 `json:"verified"`           // of those, by restic's own hashes
	Failed   uint64 `json:"failed"`             // not proven
	Skipped  uint64 `json:"skipped,omitempty"`  // names that cannot be asked for one by one, such as those that are not UTF-8
	Seconds  int64  `json:"seconds"`            // that it took
	Full     bool   `json:"full,omitempty"`     // all of each snapshot, not a sample
	Target   string `json:"target,omitempty"`   // where what was restored was kept; "" if it was removed
	Complete bool   `json:"complete,omitempty"` // every snapshot was looked at to its end

	Snapshots []DrilledSnapshot `json:"snapshots,omitempty"`
}

// A DrilledSnapshot is what a drill proved of one snapshot. A group without any has one
// without an ID.
type DrilledSnapshot struct {
	Snapshot string        `json:"snapshot,omitempty"`
	Group    SourceGroupID `json:"group,omitempty"`
	Name     string        `json:"name,omitempty"` // of the group
	Holds    uint64        `json:"holds"`          // entries that it holds
	Files    uint64        `json:"files"`          // chosen, as in Drilled
	Proven   uint64        `json:"proven"`
	Failed   uint64        `json:"failed"`
	Bytes    uint64        `json:"bytes"`
	Why      string        `json:"why,omitempty"` // it could not be proven as a whole
}

// Proves reports whether a group was proven: all that was chosen of its snapshots came
// back as it was saved, and there was something.
func (d Drilled) Proves(group SourceGroupID) bool {
	n := uint64(0)
	for _, s := range d.Snapshots {
		if s.Group != group {
			continue
		}
		if s.Snapshot == "" || s.Failed > 0 || s.Why != "" {
			return false
		}
		n += s.Proven
	}
	return n > 0
}
