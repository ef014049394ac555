package jobpages

import (
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// became words what became of a snapshot, and what would.
var became = map[string][2]string{
	topics.BecameChanged:   {"changed", "would be changed"},
	topics.BecameUnchanged: {"is as it was to be", "would stay as it is"},
	topics.BecameRemoved:   {"removed: nothing was left of it", "would be removed: nothing would be left of it"},
	topics.BecameDoubled:   {"there twice: the old one could not be removed", ""},
	topics.BecameLeft:      {"as it was", ""},
	topics.BecameMissing:   {"not there any more", "not there any more"},
	topics.BecameLost:      {"gone, and nothing is in its place", ""},
}

// takenWhat words what was taken out.
var takenWhat = map[string]string{
	topics.TakenOut:     "fits a pattern",
	topics.TakenContent: "content is lost: what is left of it stays",
	topics.TakenFolder:  "cannot be read: stays as an empty folder",
	topics.TakenAll:     "cannot be read at all",
	topics.TakenNode:    "is no valid entry",
	topics.TakenSize:    "nothing is lost: a wrong size is put right",
}

// remadeTables lists what became of each snapshot, and what each has no more.
func remadeTables(v *views.Job, j store.Job, r topics.Result, report topics.Report,
	table func(title string, mono int, head []string, rows [][]string)) {
	which := 0
	if v.DryRun {
		which = 1
	}
	if r.Remade != nil {
		var rows [][]string
		for _, one := range report.Replacements {
			by := ""
			if one.By != nil {
				by = layout.Short(one.By.ID)
			}
			items := ""
			if one.Items > 0 {
				items = words.Number(one.Items)
			}
			rows = append(rows, []string{layout.Short(one.Snapshot), by, became[one.Became][which], items})
		}
		table("Snapshots", 2, []string{"Snapshot", "Now", "What became of it", "Taken out"}, rows)
		if j.Kind != topics.TagJob {
			rows = nil
			for _, t := range report.Taken {
				rows = append(rows, []string{words.Name(t.Path), layout.Short(t.Snapshot), takenWhat[t.What]})
			}
			table(map[bool]string{false: "Taken out", true: "What would be taken out"}[v.DryRun], 2, []string{"Path", "Snapshot", "Why"}, rows)
		}
	}
	switch m := r.Remade; {
	case m == nil || !v.DryRun || m.Changed+m.Removed == 0 || j.State != topics.Succeeded:
	case j.Kind == topics.RewriteJob:
		v.Facts = append(v.Facts, views.Fact{Name: "Nothing was changed", Value: "Go on and take it out",
			URL: views.ChangeURL(string(j.Repository), "dry_run", string(j.ID))})
	case j.Kind == topics.RepairJob:
		v.Facts = append(v.Facts, views.Fact{Name: "Nothing was changed", Value: "Go on with the repair",
			URL: views.RepairURL(string(j.Repository))})
	}
	if p := r.Repair; p != nil {
		var rows [][]string
		for _, id := range p.Dropped {
			rows = append(rows, []string{id, "the index left it out: it is not there"})
		}
		for _, id := range p.Left {
			rows = append(rows, []string{id, "could not be removed"})
		}
		if len(rows) > 0 {
			table("Packs", 1, []string{"Pack", ""}, rows)
		}
	}
}
