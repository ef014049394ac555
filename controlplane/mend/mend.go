// Package mend says how a damaged repository is put in order: which steps there are, which
// are done, what each found, and what comes next. It reads ended jobs and nothing else, so
// that the pages, the API and whoever asks a day later are told the same.
package mend

import (
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// A State is how far a step is.
type State string

// The states.
const (
	Done     State = "done"
	Now      State = "now"     // it is what comes next
	Running  State = "running" // a job of it waits or runs
	Later    State = "later"
	Needless State = "needless" // there is nothing for it to do
)

// A Step is one of the way.
type Step struct {
	Title  string
	State  State
	Text   string       // what it does
	Effect string       // what that means for the data
	Found  string       // what its job found, "" before
	Job    topics.JobID // that job
	Kind   topics.JobKind
	Ask    topics.Operation // what is to be asked for
	DryRun topics.JobID     // the dry run it goes by
}

// A Way is the way from a check to a repository that is whole.
type Way struct {
	Whole bool // the last check found nothing, and nothing is to be done
	Steps []Step
	// Unreadable are snapshots whose own file cannot be read: no step mends those.
	Unreadable []string
}

// Find returns the way for a repository from its jobs, the newest first: those that check or
// repair; others are passed over.
func Find(list []store.Job) Way {
	check, n := telling(list)
	var after []store.Job // what was done since, the newest first
	for _, j := range list[:n] {
		if j.Kind == topics.CheckJob && !j.State.Ended() || j.Kind == topics.RepairJob && (!j.State.Ended() || j.State == topics.Succeeded) {
			after = append(after, j)
		}
	}
	first := Step{Title: "Find what is damaged", Kind: topics.CheckJob, Ask: topics.Operation{ReadData: true},
		Text:   "A check that reads all data says which packs, index files and snapshots are damaged. It takes as long as a full restore.",
		Effect: "It only reads."}
	if check.ID == "" {
		first.State = Now
		if j := open(after, topics.CheckJob, ""); j.ID != "" {
			first.State, first.Job = Running, j.ID
		}
		return Way{Steps: []Step{first}}
	}
	c := *check.Result.V.Check
	first.State, first.Job = Done, check.ID
	if c.Errors == 0 {
		first.Found = outcome.Of(check).Text + "."
		return Way{Whole: true, Steps: []Step{first}}
	}
	first.Found = foundBy(c)
	way := Way{Steps: []Step{first}, Unreadable: c.Snapshots}
	present := slices.DeleteFunc(slices.Clone(c.Broken), func(id string) bool { return slices.Contains(c.Missing, id) })

	packs := Step{Title: "Save what is whole in damaged packs", Kind: topics.RepairJob,
		Ask:    topics.Operation{What: topics.RepairPacks, Packs: present},
		Text:   "restic writes what it can still read of the damaged packs into new ones, and removes the damaged ones. restic 0.17 or newer.",
		Effect: "What cannot be read any more was lost before; nothing else is."}
	index := Step{Title: "Make the index anew", Kind: topics.RepairJob, Ask: topics.Operation{What: topics.RepairIndex},
		Text: "The index says which pack holds what. It is made from the packs that are there, without those that are not.",
		Effect: "No data is touched. Afterwards, a backup of each host writes again what is lost and still on the host: that heals " +
			"snapshots, too."}
	look := Step{Title: "See what each snapshot loses", Kind: topics.RepairJob,
		Ask: topics.Operation{What: topics.RepairSnapshots, DryRun: true},
		Text: "A dry run lists, for each snapshot, the files and folders whose data is lost. Back up the hosts first: what they still " +
			"have heals.",
		Effect: "It only reads."}
	mending := Step{Title: "Take out of the snapshots what is lost", Kind: topics.RepairJob,
		Text: "Each snapshot that lacks something is replaced by one without it, which keeps its place in all lists and rules, and is " +
			"marked as incomplete.",
		Effect: "What the dry run lists is gone from these snapshots for good; the rest of each can be restored again."}
	last := Step{Title: "Check again", Kind: topics.CheckJob,
		Text: "Only a check that reads as much as the one that found the damage shows that the repository is whole. Until then it stays " +
			"marked as damaged.",
		Effect: "It only reads."}
	if o := check.Operation.V; o != nil {
		last.Ask = topics.Operation{ReadData: o.ReadData, Subset: o.Subset}
	}

	steps := []*Step{&packs, &index, &look, &mending, &last}
	if len(present) == 0 {
		packs.State, packs.Found = Needless, "No pack is damaged and there."
	} else {
		packs.settle(after, topics.RepairPacks, 0)
	}
	if len(present) > 0 && len(c.Missing) == 0 && !slices.Contains(c.Suggest, "repair index") {
		index.State, index.Found = Needless, "Saving the packs makes it anew, too."
	} else {
		index.settle(after, topics.RepairIndex, 0)
	}
	var begun int64
	for _, s := range []*Step{&packs, &index} {
		if j := find(after, s.Job); s.State == Done {
			begun = max(begun, j.FinishedAt)
		}
	}
	look.settle(after, topics.RepairSnapshots, begun)
	if look.State == Done {
		seen := find(after, look.Job)
		m := seen.Result.V.Remade
		if m.Changed+m.Removed == 0 {
			mending.State, mending.Found = Needless, "No snapshot lacks anything."
		} else {
			mending.Ask, mending.DryRun = topics.Operation{What: topics.RepairSnapshots, Snapshots: nil}, seen.ID
			mending.settle(after, "", seen.FinishedAt)
		}
	}
	if j := open(after, topics.CheckJob, ""); j.ID != "" {
		last.State, last.Job = Running, j.ID
	}
	next := true
	for _, s := range steps {
		if s.State == "" {
			if s.State = Later; next {
				s.State = Now
			}
		}
		next = next && (s.State == Done || s.State == Needless)
		way.Steps = append(way.Steps, *s)
	}
	return way
}

// telling returns the check that says how the repository is, and how many jobs came after it:
// the last that found damage, unless later ones looked at all that it had looked at and found
// none; else the last. Without a check all jobs count.
func telling(list []store.Job) (check store.Job, after int) {
	after = len(list)
	var clean []looks.Scope
	for i, j := range list {
		if j.Kind != topics.CheckJob || !j.State.Ended() || j.Result.V == nil || j.Result.V.Check == nil {
			continue
		}
		if check.ID == "" {
			check, after = j, i
		}
		e := looks.Ended{Kind: j.Kind, Operation: j.Operation.V, State: j.State, Cause: j.Cause, Result: j.Result.V}
		if whole, good := looks.Cleared(e); good {
			clean = append(clean, whole)
		}
		if found, bad := looks.Found(e); bad && !found.Covered(clean) {
			return j, i
		}
	}
	return check, after
}

// settle says how far a step is by the jobs since the check: a repair of what, or one of
// snapshots that was no dry run where that is "".
func (s *Step) settle(after []store.Job, what string, since int64) {
	for _, j := range after {
		o := j.Operation.V
		if j.Kind != topics.RepairJob || o == nil {
			continue
		}
		fits := o.What == what && o.DryRun == (what == topics.RepairSnapshots)
		if what == "" {
			fits = o.What == topics.RepairSnapshots && !o.DryRun
		}
		switch {
		case !fits:
		case !j.State.Ended():
			s.State, s.Job = Running, j.ID
			return
		case j.FinishedAt >= since && j.Result.V != nil && (j.Result.V.Remade != nil || j.Result.V.Repair != nil):
			s.State, s.Job, s.Found = Done, j.ID, outcome.Of(j).Text+"."
			return
		}
	}
}

func open(list []store.Job, kind topics.JobKind, what string) store.Job {
	for _, j := range list {
		if j.Kind == kind && !j.State.Ended() && (what == "" || j.Operation.V != nil && j.Operation.V.What == what) {
			return j
		}
	}
	return store.Job{}
}

func find(list []store.Job, id topics.JobID) store.Job {
	if i := slices.IndexFunc(list, func(j store.Job) bool { return j.ID == id }); i >= 0 {
		return list[i]
	}
	return store.Job{}
}

// foundBy words what a check found.
func foundBy(c topics.Checked) string {
	parts := []string{words.Count(c.Errors, "error", "errors")}
	if n := len(c.Broken) - len(c.Missing); n > 0 {
		parts = append(parts, words.Count(uint64(n), "damaged pack", "damaged packs"))
	}
	if n := len(c.Missing); n > 0 {
		parts = append(parts, words.Count(uint64(n), "pack that is not there", "packs that are not there"))
	}
	if slices.Contains(c.Suggest, "repair index") {
		parts = append(parts, "a damaged index")
	}
	if n := len(c.Snapshots); n > 0 {
		parts = append(parts, words.Count(uint64(n), "snapshot whose own file cannot be read", "snapshots whose own files cannot be read"))
	}
	return "Found " + strings.Join(parts, ", ") + "."
}
