package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// A policy file that an older agent wrote names the operations of its preset, and no
// drill. It means the preset. One that somebody limited stays as it is.
func TestAPolicyFromBeforeThereWereDrillsAllowsThem(t *testing.T) {
	const old = `"backup","init","snapshots","stats","diff","find","restore","unlock","key","locks"`
	for _, c := range []struct {
		what, name, kinds string
		want              bool
	}{
		{"backup as an older agent wrote it", PolicyBackup, old, true},
		{"restore as an older agent wrote it", PolicyRestore, old, true},
		{"keeper as an older agent wrote it", PolicyKeeper, old + `,"forget","prune","check"`, true},
		{"managed as an older agent wrote it", PolicyManaged, `"backup","init","forget","prune","check","unlock","snapshots","stats","diff",` +
			`"restore","find","key","locks"`, true},
		{"without restores", PolicyBackup, strings.Replace(old, `"restore",`, "", 1), false},
		{"with one more", PolicyBackup, old + `,"check"`, false},
		{"a keeper with the operations of a backup host", PolicyKeeper, old, false},
		{"today's without drills", PolicyBackup, verbs(slices.DeleteFunc(slices.Clone(everyday), func(k topics.JobKind) bool {
			return k == topics.DrillJob
		})), false},
		{"today's", PolicyBackup, verbs(everyday), true},
		{"none named", PolicyBackup, "", true},
	} {
		state := t.TempDir()
		text := `{"policy":"` + c.name + `"`
		if c.kinds != "" {
			text += `,"verbs":[` + c.kinds + `]`
		}
		if err := os.WriteFile(filepath.Join(state, policyFile), []byte(text+"}"), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := LoadPolicy(state)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if got := slices.Contains(p.Kinds, topics.DrillJob); got != c.want {
			t.Errorf("%s: drills are allowed: %t, want %t", c.what, got, c.want)
		}
	}
}

// So does one from before there were copies, of those presets that copy.
func TestAPolicyFromBeforeThereWereCopiesAllowsThemToKeepers(t *testing.T) {
	const old = `"backup","init","snapshots","stats","diff","find","restore","unlock","key","locks"`
	keeper, err := Preset(PolicyKeeper, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	without := func(kinds []topics.JobKind) string {
		return verbs(slices.DeleteFunc(slices.Clone(kinds), func(k topics.JobKind) bool { return k == topics.CopyJob }))
	}
	for _, c := range []struct {
		what, name, kinds string
		want              bool
	}{
		{"a keeper from before drills", PolicyKeeper, old + `,"forget","prune","check"`, true},
		{"a keeper from before copies", PolicyKeeper, verbs(everyday) + `,"forget","prune","check"`, true},
		{"managed from before copies", PolicyManaged, without(topics.Kinds), true},
		{"today's keeper", PolicyKeeper, verbs(keeper.Kinds), true},
		{"today's keeper without copies", PolicyKeeper, without(keeper.Kinds), false},
		{"a keeper that only checks", PolicyKeeper, verbs(everyday) + `,"check"`, false},
		{"a backup host", PolicyBackup, verbs(everyday), false},
		{"a backup host with no list", PolicyBackup, "", false},
	} {
		text := `{"policy":"` + c.name + `"`
		if c.kinds != "" {
			text += `,"verbs":[` + c.kinds + `]`
		}
		p, err := parsePolicy([]byte(text+"}"), "/var/lib/x")
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if got := slices.Contains(p.Kinds, topics.CopyJob); got != c.want {
			t.Errorf("%s: copies are allowed: %t, want %t", c.what, got, c.want)
		}
	}
}

func verbs(kinds []topics.JobKind) string {
	var out []string
	for _, k := range kinds {
		out = append(out, `"`+string(k)+`"`)
	}
	return strings.Join(out, ",")
}

// Before its first backup a host has pinned no repository. A drill then ends as one that has
// nothing to prove; one that would read something is refused, as any other place is.
func TestADrillOfNothingNeedsNoRepository(t *testing.T) {
	state := t.TempDir()
	p := preset(t, PolicyBackup, state)
	none := topics.DrillGroup{Group: "g1", Name: "etc"}
	some := topics.DrillGroup{Group: "g2", Name: "www", Snapshots: []string{strings.Repeat("a", 64)}}
	for _, c := range []struct {
		what string
		run  topics.Run
		may  bool
	}{
		{"groups without snapshots", topics.Run{Kind: topics.DrillJob,
			Operation: topics.Operation{Drill: &topics.Drill{Groups: []topics.DrillGroup{none, none}}}}, true},
		{"no group", topics.Run{Kind: topics.DrillJob, Operation: topics.Operation{Drill: &topics.Drill{}}}, true},
		{"one with a snapshot", topics.Run{Kind: topics.DrillJob,
			Operation: topics.Operation{Drill: &topics.Drill{Groups: []topics.DrillGroup{none, some}}}}, false},
		{"none, to a place that is not allowed", topics.Run{Kind: topics.DrillJob,
			Operation: topics.Operation{Drill: &topics.Drill{Groups: []topics.DrillGroup{none}, Full: true, Target: "/elsewhere"}}}, false},
		{"another kind", topics.Run{Kind: topics.SnapshotsJob}, false},
	} {
		c.run.Repository = repositoryAt("/srv/vault")
		if err := p.decide(state, c.run); (err == nil) != c.may {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}
