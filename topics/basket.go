package topics

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An Item is what a restore brings back of one snapshot.
type Item struct {
	Snapshot string   `json:"snapshot"`
	Paths    []string `json:"paths,omitempty"` // as the snapshot names them, with all that is below; none is all of it
}

// A Preview names the dry run that a person looked at before they asked for a restore. The
// restore writes nothing if it finds anything else.
type Preview struct {
	Job    JobID  `json:"job"`
	Digest string `json:"digest"` // of [Restored]
}

// MaxPathBytes bounds the paths of one operation as JSON has them, so that its command
// fits into a message beside a repository and its variables.
const MaxPathBytes = 40 << 10

// Basket returns what a restore brings back, of either form it is asked for in.
func (o Operation) Basket() []Item {
	if len(o.Items) > 0 || o.Snapshot == "" {
		return o.Items
	}
	return []Item{{Snapshot: o.Snapshot, Paths: o.Paths}}
}

// checkBasket refuses a selection that names nothing, too much, or one place twice from
// different snapshots: which of both would be there in the end, nobody could say.
func (o Operation) checkBasket() error {
	if len(o.Items) > 0 && (o.Snapshot != "" || len(o.Paths) > 0) {
		return errors.New("items: they come without snapshot and paths")
	}
	items, paths := o.Basket(), 0
	if len(items) == 0 {
		return errors.New("snapshot: name one, or items of several")
	}
	for _, item := range items {
		if !snapshotID.MatchString(item.Snapshot) {
			return fmt.Errorf("snapshot: %.80q is no snapshot ID", item.Snapshot)
		}
		if paths += max(1, len(item.Paths)); paths > MaxPaths {
			return fmt.Errorf("paths: at most %d; choose their directory", MaxPaths)
		}
		for _, p := range item.Paths {
			if err := inSnapshot(p); err != nil {
				return fmt.Errorf("paths: %w", err)
			}
		}
	}
	if len(Encode(items)) > MaxPathBytes {
		return fmt.Errorf("paths: together they are longer than %d bytes; choose their directory", MaxPathBytes)
	}
	return overlap(items)
}

// overlap finds a place that two snapshots would be restored to.
func overlap(items []Item) error {
	type chosen struct{ path, snapshot string } // the path ends with a slash
	var all []chosen
	for _, item := range items {
		if len(item.Paths) == 0 {
			all = append(all, chosen{"/", item.Snapshot})
		}
		for _, p := range item.Paths {
			all = append(all, chosen{strings.TrimSuffix(p, "/") + "/", item.Snapshot})
		}
	}
	slices.SortFunc(all, func(a, b chosen) int { return strings.Compare(a.path, b.path) })
	var above []chosen // of the path before, from the top
	for _, c := range all {
		for len(above) > 0 && !strings.HasPrefix(c.path, above[len(above)-1].path) {
			above = above[:len(above)-1]
		}
		for _, a := range above {
			if a.snapshot != c.snapshot {
				return fmt.Errorf("items: %.200q of snapshot %.8s and %.200q of snapshot %.8s would go to the same place; "+
					"restore them one after the other, into two folders", named(a.path), a.snapshot, named(c.path), c.snapshot)
			}
		}
		above = append(above, c)
	}
	return nil
}

func named(path string) string {
	if path == "/" {
		return path
	}
	return strings.TrimSuffix(path, "/")
}

// checkPlace refuses a restore that says neither or both of a target and in place.
func (o Operation) checkPlace() error {
	switch {
	case !o.InPlace:
		if err := absolute(o.Target); err != nil {
			return fmt.Errorf("target: %w", err)
		}
	case o.Target != "" || o.Fresh:
		return errors.New("target: a restore in place has none, each item goes to where it was")
	case o.Confined:
		return errors.New("in_place: who may restore into the quarantine only restores nothing in place")
	}
	return nil
}

// checkPreview refuses a dry run that is none.
func (o Operation) checkPreview() error {
	if o.Preview == nil {
		return nil
	}
	if o.DryRun {
		return errors.New("dry_run_job: a dry run looks for itself")
	}
	if err := checkJob(o.Preview.Job); err != nil {
		return fmt.Errorf("dry_run_job: %w", err)
	}
	if !wholeID.MatchString(o.Preview.Digest) {
		return errors.New("dry_run_job: that dry run has not said what it saw")
	}
	return nil
}

// Restored is what a restore did, or would do. Files are files, links and special files;
// directories are counted apart. Bytes are bytes.
type Restored struct {
	Matched     uint64 `json:"matched"`     // files that the selection holds; 0 from older agents, which count Files alone
	Restored    uint64 `json:"restored"`    // files written where none was
	Overwritten uint64 `json:"overwritten"` // files written over one that was there
	Unchanged   uint64 `json:"unchanged"`   // files that were there already as the snapshot has them
	Skipped     uint64 `json:"skipped"`     // files that were left as they are, though they differ
	Failed      uint64 `json:"failed"`      // files that did not come back, see Report.Failures
	Folders     uint64 `json:"folders,omitempty"`
	Bytes       uint64 `json:"bytes"` // of the files written
	// Files is Restored and Overwritten together, and Errors is Failed: the words that
	// agents of older versions have for them, and that older readers know.
	Files  uint64 `json:"files"`
	Errors uint64 `json:"errors,omitempty"`
	// Target is where the files are on the host, links resolved; "" of a dry run, of a
	// restore in place, and from older agents.
	Target string `json:"target,omitempty"`
	// Estimated says that the agent counted by looking at the disk, since restic does not
	// count.
	Estimated bool `json:"estimated,omitempty"`
	// Unmatched are items that matched nothing, at most [MaxUnmatched] paths of them.
	Unmatched []Item `json:"unmatched,omitempty"`
	// Digest is of what a dry run saw: the selection, the target, and each file there that
	// the restore would meet. See [Preview].
	Digest    string `json:"digest,omitempty"`
	NeedBytes uint64 `json:"need_bytes,omitempty"` // what is to be written takes about that much at the target
	FreeBytes uint64 `json:"free_bytes,omitempty"` // at the target, before; 0 with NeedBytes 0 is not known
}

// MaxUnmatched is how many paths that matched nothing a result names.
const MaxUnmatched = 20

// MaxListed is how many files each list of a restore's report names.
const MaxListed = 10_000

// Actions of a [Planned].
const (
	PlanNew       = "new"       // nothing is there
	PlanOverwrite = "overwrite" // it goes over what is there
	PlanUnchanged = "unchanged" // the same is there
	PlanKeep      = "keep"      // something else is there, and stays
)

// A Planned is what a restore would do with one file.
type Planned struct {
	Action string `json:"action"` // one of the above
	Path   string `json:"path"`   // where it would go on the host
	Size   uint64 `json:"size,omitempty"`
}

// A Failure is a file that a restore did not bring back.
type Failure struct {
	Path string `json:"path"` // as restic names it, most often on the host
	Why  string `json:"why"`
}
