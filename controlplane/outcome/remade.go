package outcome

import (
	"strings"

	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

func snapshotsOf(n int) string { return words.Count(uint64(max(n, 0)), "snapshot", "snapshots") }

// remade words what a tag, rewrite or repair did.
func remade(kind topics.JobKind, o topics.Operation, r topics.Result) (word, text string) {
	if kind == topics.RepairJob && o.What != topics.RepairSnapshots {
		return repaired(o, r)
	}
	if r.Remade == nil {
		return "", ""
	}
	m := *r.Remade
	items := words.Count(m.Items, "file or folder", "files and folders")
	if m.AtLeast {
		items = "at least " + items
	}
	switch {
	case m.Changed+m.Removed == 0 && kind == topics.TagJob:
		return "Nothing changed", "Changed no tag: every snapshot had them already, or is not there any more"
	case m.Changed+m.Removed == 0 && kind == topics.RewriteJob:
		return "Nothing found", "Nothing in these snapshots fits the patterns" + map[bool]string{true: "; nothing would be changed"}[o.DryRun]
	case m.Changed+m.Removed == 0:
		return "Nothing lost", "No snapshot lacks anything that the index knows of"
	case kind == topics.TagJob:
		return "", "Changed the tags of " + snapshotsOf(m.Changed)
	case kind == topics.RewriteJob && o.DryRun:
		text = "Would take " + items + " out of " + snapshotsOf(m.Changed+m.Removed)
	case kind == topics.RewriteJob:
		text = "Took " + items + " out of " + snapshotsOf(m.Changed+m.Removed)
	case o.DryRun:
		verb := map[bool]string{true: "loses ", false: "lose "}[m.Changed+m.Removed == 1]
		text = snapshotsOf(m.Changed+m.Removed) + " would be repaired and " + verb + items
	default:
		text = "Repaired " + snapshotsOf(m.Changed+m.Removed) + ", without " + items + " that are lost"
	}
	if m.Removed > 0 {
		left := " would be removed"
		if !o.DryRun {
			left = map[bool]string{true: " was removed", false: " were removed"}[m.Removed == 1]
		}
		which := words.Number(uint64(m.Removed)) + " of them"
		if m.Changed == 0 {
			which = map[bool]string{true: "it", false: "all of them"}[m.Removed == 1]
		}
		text += "; " + which + left + ", since nothing would be left"
	}
	if kind == topics.RewriteJob && !o.DryRun {
		text += "; prune frees the space"
	}
	return "", text
}

func repaired(o topics.Operation, r topics.Result) (word, text string) {
	if r.Repair == nil {
		return "", ""
	}
	p := *r.Repair
	if o.What == topics.RepairIndex {
		var parts []string
		if p.Added > 0 {
			parts = append(parts, words.Count(uint64(p.Added), "pack", "packs")+" added")
		}
		if n := len(p.Dropped); n > 0 {
			parts = append(parts, words.Count(uint64(n), "pack that is not there", "packs that are not there")+" left out")
		}
		if len(parts) == 0 {
			return "", "Made the index anew; it knows the packs that it knew"
		}
		return "", "Made the index anew: " + strings.Join(parts, ", ")
	}
	if p.Packs == 0 {
		return "Nothing removed", "None of the packs is there any more"
	}
	text = "Saved what was whole in " + words.Count(uint64(p.Packs), "damaged pack", "damaged packs") + " and removed " +
		map[bool]string{true: "it", false: "them"}[p.Packs == 1]
	if p.Blobs > 0 {
		text += "; " + words.Count(uint64(p.Blobs), "piece of data is", "pieces of data are") + " lost"
	} else {
		text += "; nothing is lost"
	}
	return "", text
}
