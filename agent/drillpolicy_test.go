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

// Copies, tags, rewrites and repairs came after drills: a keeper's file from before means the
// keeper of now, and one that somebody limited, or of a host that keeps nothing, does not.
func TestAKeepersPolicyFromBeforeThereWereRepairsAllowsThem(t *testing.T) {
	drills := verbs(everyday)
	keeper, err := Preset(PolicyKeeper, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, name, kinds string
		want              bool
	}{
		{"a keeper's as it was written before", PolicyKeeper, drills + `,"forget","prune","check"`, true},
		{"a keeper's from before drills", PolicyKeeper, `"backup","init","snapshots","stats","diff","find","restore","unlock","key","locks",` +
			`"forget","prune","check"`, true},
		{"all there was before", PolicyManaged, `"backup","init","forget","prune","check","unlock","snapshots","stats","diff","restore","find",` +
			`"key","locks","drill"`, true},
		{"without prune", PolicyKeeper, drills + `,"forget","check"`, false},
		{"a keeper that only checks", PolicyKeeper, drills + `,"check"`, false},
		{"of a host that keeps nothing", PolicyBackup, drills, false},
		{"of a backup host with no list", PolicyBackup, "", false},
		{"today's keeper", PolicyKeeper, "", true},
		{"today's keeper as it is written", PolicyKeeper, verbs(keeper.Kinds), true},
		{"today's keeper without copies and repairs", PolicyKeeper, drills + `,"forget","prune","check","tag","rewrite"`, false},
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
		for _, k := range []topics.JobKind{topics.CopyJob, topics.RepairJob} {
			if got := slices.Contains(p.Kinds, k); got != c.want {
				t.Errorf("%s: %s is allowed: %t, want %t", c.what, k, got, c.want)
			}
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
