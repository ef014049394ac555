package restic

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Where restic has no JSON it tells its progress in text: a heading begins a stage, and
// lines such as
//
//	[0:04] 50.00%  7 / 14 snapshots
//
// count what is done of it. The next stage counts from nothing again, which is no step
// back. Which stages a command has is the table below, from recordings of 0.14 to 0.19;
// some are left out where there is nothing to do, and then the number jumps.

// A stage is one part of what a command does.
type stage struct {
	heading string   // how the line begins that begins it; "" if none does
	doing   string   // in words
	units   []string // what it counts, as restic calls it; none is whatever comes
	each    bool     // it comes once for each snapshot, and nobody knows of how many
}

var (
	loadIndexes  = stage{heading: "loading indexes", doing: "loading the index", units: []string{"index files loaded"}}
	rebuildIndex = stage{heading: "rebuilding index", doing: "rebuilding the index", units: []string{"packs processed", "indexes processed"}}
	oldIndexes   = stage{heading: "deleting obsolete index files", doing: "deleting old index files",
		units: []string{"files deleted", "old indexes deleted"}}
)

var (
	checkStages = []stage{
		{heading: "load indexes", doing: "loading the index", units: []string{"index files loaded"}},
		{heading: "check all packs", doing: "looking whether all packs are there"},
		{heading: "check snapshots, trees and blobs", doing: "checking snapshots, trees and blobs", units: []string{"snapshots"}},
	}
	readStage   = stage{heading: "read ", doing: "reading the data", units: []string{"packs"}}
	pruneStages = []stage{
		loadIndexes,
		{heading: "loading all snapshots", doing: "loading the snapshots"},
		{heading: "finding data that is still in use", doing: "finding what snapshots still need", units: []string{"snapshots"}},
		{heading: "searching used packs", doing: "finding the packs that hold it"},
		{heading: "collecting packs for deletion and repacking", doing: "deciding which packs to remove or rewrite",
			units: []string{"packs processed"}},
	}
	removeStages = []stage{
		{heading: "deleting unreferenced packs", doing: "deleting packs that no index knows", units: []string{"files deleted"}},
		{heading: "repacking packs", doing: "rewriting packs", units: []string{"packs repacked"}},
		rebuildIndex,
		oldIndexes,
		{heading: "removing ", doing: "deleting packs that nothing needs", units: []string{"files deleted"}},
	}
	indexStages = []stage{
		loadIndexes,
		{heading: "getting pack files to read", doing: "looking which packs to read"},
		{heading: "reading pack files", doing: "reading packs", units: []string{"packs"}},
		rebuildIndex,
		oldIndexes,
	}
	copyStages    = []stage{{heading: "snapshot ", doing: "copying a snapshot", units: []string{"packs copied"}, each: true}}
	rewriteStages = []stage{{heading: "snapshot ", doing: "rewriting a snapshot", each: true}}
	forgetStages  = []stage{{doing: "removing snapshots", units: []string{"files deleted"}}}
)

// stagesOf are the stages of a command line in the text of restic, nil if it has none.
func stagesOf(args []string) []stage {
	has := func(start string) bool {
		return slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, start) })
	}
	switch command(args) {
	case "check":
		if has("--read-data") {
			return append(slices.Clone(checkStages), readStage)
		}
		return checkStages
	case "prune":
		if has("--dry-run") {
			return pruneStages
		}
		return slices.Concat(pruneStages, removeStages)
	case "forget":
		return forgetStages
	case "copy":
		return copyStages
	case "rewrite", "repair snapshots":
		return rewriteStages
	case "repair index", "rebuild-index":
		return indexStages
	}
	return nil
}

// command is what a command line, without restic's own flags, has restic do: "check",
// "repair index", "key remove".
func command(args []string) string {
	if len(args) == 0 {
		return ""
	}
	switch args[0] {
	case "repair", "key":
		if len(args) > 1 {
			return args[0] + " " + args[1]
		}
	}
	return args[0]
}

// untold is what the commands do that tell no progress in the form we need, which is that
// of their answer.
var untold = map[string]string{
	"stats":     "counting what the snapshots hold",
	"snapshots": "listing the snapshots",
	"ls":        "listing what the snapshot holds",
	"find":      "looking through the snapshots",
	"diff":      "comparing two snapshots",
	"key list":  "listing the keys",
	"dump":      "reading a file of the snapshot",
	"tag":       "changing tags of snapshots",
	"unlock":    "removing locks",
	"init":      "making the repository",
}

// A track follows the stages of one run. It is pure.
type track struct {
	table  []stage
	at     int // in the table; -1 is before the first
	number int // of the stage, from 1; it only rises
	open   bool
	doing  string

	done, total uint64 // of this stage
	unit        string
	percent     float64 // of this stage; it only rises
}

func newTrack(table []stage) *track {
	return &track{table: table, at: -1, open: slices.ContainsFunc(table, func(s stage) bool { return s.each })}
}

// begin goes on to another stage: one of the table, or with -1 one that it does not know,
// from which on nobody can tell how many there are.
func (t *track) begin(i int, doing string) {
	if i > t.at {
		t.number += i - t.at
		t.at = i
	} else {
		t.number++
		t.open = true
		t.at = max(t.at, i)
	}
	t.doing, t.unit, t.done, t.total, t.percent = doing, "", 0, 0, 0
}

// heard takes a line of text and reports whether it begins a stage.
func (t *track) heard(line string) bool {
	for i, s := range t.table {
		if s.heading == "" || !strings.HasPrefix(line, s.heading) {
			continue
		}
		if i > t.at && !s.each || s.each && strings.Contains(line, " of [") { // and not "snapshot … saved"
			t.begin(i, s.doing)
			return true
		}
	}
	return false
}

var progressText = regexp.MustCompile(`^\s*\[[0-9:]+\] +(?:([0-9.]+)% +)?([0-9]+)(?: / ([0-9]+))? ([a-z][a-z ]*[a-z])(?:, .*)?$`)

// counted takes a line of text and reports whether it counts the progress of a stage, and
// whether that is at its end.
func (t *track) counted(line string) (is, whole bool) {
	m := progressText.FindStringSubmatch(line)
	if m == nil {
		return false, false
	}
	done, err := strconv.ParseUint(m[2], 10, 64)
	total := uint64(0)
	if err == nil && m[3] != "" {
		total, err = strconv.ParseUint(m[3], 10, 64)
	}
	if err != nil {
		return false, false
	}
	unit := m[4]
	takes := func(s stage) bool { return len(s.units) == 0 || slices.Contains(s.units, unit) }
	fresh := t.unit == "" // it has counted nothing yet
	switch {
	case t.at >= 0 && fresh && takes(t.table[t.at]), unit == t.unit && done >= t.done:
	default:
		next := -1
		for i := t.at + 1; i < len(t.table) && next < 0; i++ {
			if slices.Contains(t.table[i].units, unit) {
				next = i
			}
		}
		if next >= 0 {
			t.begin(next, t.table[next].doing)
		} else {
			t.begin(-1, unit)
		}
	}
	t.unit, t.done, t.total = unit, done, total
	if total > 0 {
		percent := min(float64(done)/float64(total), 1) * 100
		t.percent = max(t.percent, percent)
	}
	return true, total > 0 && done >= total // without a total nobody knows where the end is
}

// status is how far it is.
func (t *track) status() Status {
	s := Status{Scanned: true, Stage: t.number, Doing: t.doing, Unit: t.unit, Done: t.done, Total: t.total, Percent: t.percent}
	if !t.open {
		s.Stages = len(t.table)
	}
	return s
}
