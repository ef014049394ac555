package topics

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a repair puts in order, in restic's own words.
const (
	RepairIndex     = "index"     // which pack holds what, read anew from the packs
	RepairSnapshots = "snapshots" // takes out of snapshots what is lost for good
	RepairPacks     = "packs"     // saves what is whole in damaged packs, and removes them
)

// Repairs lists what a repair may put in order.
var Repairs = []string{RepairIndex, RepairSnapshots, RepairPacks}

// OwnTag is how the tags begin by which we know our own snapshots. Nobody adds, removes or
// sets one: a snapshot would be of another source group, or of none.
const OwnTag = "plan="

// Bounds of the tags of an operation.
const (
	MaxTag  = 200 // bytes of one
	MaxTags = 50
)

// MaxExcludes is how many patterns a rewrite takes.
const MaxExcludes = 100

// Remakes reports whether a job of this kind makes new snapshots of those that are there,
// and removes those: tags change, files are taken out, what is damaged is left out.
func (k JobKind) Remakes() bool { return k == TagJob || k == RewriteJob || k == RepairJob }

// CheckTag says what is wrong with a tag, nil if nothing is. The first error is restic's
// own: to it a comma ends a tag.
func CheckTag(tag string) error {
	switch {
	case tag == "" || strings.TrimSpace(tag) != tag ||
		strings.ContainsFunc(tag, func(r rune) bool { return r == ',' || unicode.IsControl(r) }):
		return fmt.Errorf("%.80q is no tag: not empty, no comma, no line break, no space at its ends", tag)
	case len(tag) > MaxTag || !utf8.ValidString(tag):
		return fmt.Errorf("%.80q is no tag: at most %d bytes of text", tag, MaxTag)
	case strings.HasPrefix(strings.ToLower(tag), OwnTag):
		return fmt.Errorf("%.80q begins with %s, by which the control plane knows its own snapshots; such tags stay as they are", tag, OwnTag)
	}
	return nil
}

// checkTags refuses tags that no snapshot may get, and a change that changes nothing.
func (o Operation) checkTags() error {
	if err := o.checkChosen(MaxPaths, false); err != nil {
		return err
	}
	for _, list := range []struct {
		name string
		tags []string
	}{{"add", o.Add}, {"remove", o.Remove}, {"set", o.Set}} {
		if len(list.tags) > MaxTags {
			return fmt.Errorf("%s: at most %d tags", list.name, MaxTags)
		}
		for _, t := range list.tags {
			if err := CheckTag(t); err != nil {
				return fmt.Errorf("%s: %w", list.name, err)
			}
			if list.name == "remove" && slices.Contains(o.Add, t) {
				return fmt.Errorf("remove: %.80q is to be added, too", t)
			}
		}
	}
	switch sets := len(o.Set) > 0 || o.NoTags; {
	case o.NoTags && len(o.Set) > 0:
		return errors.New("set: it is to be no tag at all, or these")
	case sets && len(o.Add)+len(o.Remove) > 0:
		return errors.New("set: it says what all tags are to be, so nothing is added or removed beside it")
	case !sets && len(o.Add)+len(o.Remove) == 0:
		return errors.New("add, remove, set: say which tags")
	}
	return nil
}

// Tagged returns the tags that a snapshot has after a tag job that has these now. Our own
// stay in any case.
func (o Operation) Tagged(tags []string) (to []string) {
	for _, t := range tags {
		own := strings.HasPrefix(t, OwnTag)
		if own || !o.NoTags && len(o.Set) == 0 && !slices.Contains(o.Remove, t) {
			to = append(to, t)
		}
	}
	for _, t := range slices.Concat(o.Set, o.Add) {
		if !slices.Contains(to, t) {
			to = append(to, t)
		}
	}
	return to
}

// checkRewrite refuses a rewrite that names nothing to take out, and one that writes and
// goes by no preview.
func (o Operation) checkRewrite() error {
	if err := o.checkChosen(MaxPaths, false); err != nil {
		return err
	}
	if n := len(o.Exclude); n == 0 || n > MaxExcludes {
		return fmt.Errorf("exclude: 1 to %d patterns of what is to go", MaxExcludes)
	}
	for _, p := range o.Exclude {
		if strings.TrimSpace(p) == "" || len(p) > 1000 || strings.ContainsAny(p, "\x00\r\n") || !utf8.ValidString(p) {
			return fmt.Errorf("exclude: %.80q is no pattern: one line of at most 1,000 bytes", p)
		}
		if strings.HasPrefix(strings.TrimSpace(p), "!") {
			return fmt.Errorf("exclude: %.80q would take something back in; name what is to go alone", p)
		}
	}
	return o.checkPreview()
}

func (o Operation) checkRepair() error {
	switch o.What {
	case RepairIndex:
		if len(o.Snapshots)+len(o.Packs) > 0 || o.DryRun || o.Preview != nil {
			return errors.New("what: an index is repaired as a whole, and without a dry run")
		}
	case RepairPacks:
		if len(o.Snapshots) > 0 || o.DryRun || o.ReadData || o.Preview != nil {
			return errors.New("what: packs are repaired by their IDs alone, and without a dry run")
		}
		if n := len(o.Packs); n == 0 || n > MaxPaths {
			return fmt.Errorf("packs: name 1 to %d of them", MaxPaths)
		}
		for _, id := range o.Packs {
			if !wholeID.MatchString(id) {
				return fmt.Errorf("packs: %.80q is no whole ID of 64 digits", id)
			}
		}
	case RepairSnapshots:
		if len(o.Packs) > 0 || o.ReadData {
			return errors.New("what: snapshots are repaired by their own IDs alone")
		}
		if err := o.checkChosen(MaxPaths, o.DryRun); err != nil {
			return err
		}
		return o.checkPreview()
	default:
		return fmt.Errorf("what: one of %s", strings.Join(Repairs, ", "))
	}
	return nil
}

// checkChosen refuses more snapshots than there may be, and none unless none means all.
func (o Operation) checkChosen(most int, none bool) error {
	if n := len(o.Snapshots); n > most || n == 0 && !none {
		return fmt.Errorf("snapshots: name 1 to %d of them", most)
	}
	for i, id := range o.Snapshots {
		if !wholeID.MatchString(id) {
			return fmt.Errorf("snapshots: %.80q is no whole snapshot ID of 64 digits", id)
		}
		if slices.Contains(o.Snapshots[:i], id) {
			return fmt.Errorf("snapshots: %.8s is named twice", id)
		}
	}
	return nil
}

// What became of a snapshot that was to be made anew.
const (
	BecameChanged   = "changed"   // another is in its place
	BecameUnchanged = "unchanged" // it is as it was to be
	BecameRemoved   = "removed"   // nothing was left of it
	BecameDoubled   = "doubled"   // another was made, and it is still there itself
	BecameLeft      = "left"      // it is as it was, and was to be another
	BecameMissing   = "missing"   // it was not there before
	BecameLost      = "lost"      // it is not there, and nothing is in its place
)

// A Replacement is what became of one snapshot in a job that makes new ones, or what would.
type Replacement struct {
	Snapshot string    `json:"snapshot"`
	Became   string    `json:"became"`          // one of the above
	By       *Snapshot `json:"by,omitempty"`    // what was made of it; nil of a dry run
	Items    uint64    `json:"items,omitempty"` // files and folders that it has no more, or not whole
}

// Taken is something that a snapshot has no more, or not whole.
type Taken struct {
	Snapshot string `json:"snapshot"` // that it was in
	Path     string `json:"path"`     // as the snapshot names it
	What     string `json:"what"`     // one of the below
}

// What was, or would be, taken out of a snapshot.
const (
	TakenOut     = "excluded"   // it fits a pattern, with all that is below it
	TakenContent = "content"    // a file without what of its content is lost
	TakenFolder  = "folder"     // a folder that cannot be read, and so is empty
	TakenAll     = "unreadable" // the snapshot's root
	TakenNode    = "invalid"    // an entry that says not what it is
	TakenSize    = "size"       // nothing is lost: a wrong size is put right
)

// Remade is what a job that makes new snapshots did, or would do. Each snapshot counts in
// one of the first seven.
type Remade struct {
	Changed   int    `json:"changed"`
	Unchanged int    `json:"unchanged"`
	Removed   int    `json:"removed,omitempty"`
	Doubled   int    `json:"doubled,omitempty"`
	Left      int    `json:"left,omitempty"`
	Missing   int    `json:"missing,omitempty"`
	Lost      int    `json:"lost,omitempty"`
	Items     uint64 `json:"items,omitempty"` // in all snapshots together
	// AtLeast says that what several snapshots have in common is counted once.
	AtLeast bool `json:"at_least,omitempty"`
	// Digest is of what a dry run saw, see [Preview].
	Digest string `json:"digest,omitempty"`
}

// Count adds a snapshot.
func (r *Remade) Count(one Replacement) {
	switch one.Became {
	case BecameChanged:
		r.Changed++
	case BecameUnchanged:
		r.Unchanged++
	case BecameRemoved:
		r.Removed++
	case BecameDoubled:
		r.Doubled++
	case BecameLeft:
		r.Left++
	case BecameMissing:
		r.Missing++
	default:
		r.Lost++
	}
	r.Items += one.Items
}

// Repaired is what a repair of an index or of packs did.
type Repaired struct {
	Added   int      `json:"added,omitempty"`   // packs that the index did not know, and now does
	Dropped []string `json:"dropped,omitempty"` // packs that the index knew and that are not there, at most 100
	Packs   int      `json:"packs,omitempty"`   // damaged packs that are gone, with what was whole in them saved
	Left    []string `json:"left,omitempty"`    // packs that were to go, and are there
	Blobs   int      `json:"blobs,omitempty"`   // pieces of data that could not be saved
}
