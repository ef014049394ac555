package topics

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestAnOperationIsHeldToWhatItsKindTakes(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	restic := func(r ResticUpdate) Operation { return Operation{Update: &Update{Restic: &r}} }
	id, other, job := strings.Repeat("ab", 32), strings.Repeat("cd", 32), JobID("20260101-preview-1")
	long := "/" + strings.Repeat("x", 3999)
	many := slices.Repeat([]string{"/etc"}, MaxPaths)
	for _, c := range []struct {
		name string
		kind JobKind
		o    Operation
		ok   bool
	}{
		{"a backup takes nothing", BackupJob, Operation{}, true},
		{"nor a path", BackupJob, Operation{Paths: []string{"/etc"}}, false},
		{"stats", StatsJob, Operation{}, true},
		{"an unknown kind", "copy", Operation{}, false},
		{"no kind", "", Operation{}, false},
		{"forget by ID", ForgetJob, Operation{Snapshots: []string{id}}, true},
		{"forget nothing", ForgetJob, Operation{}, false},
		{"forget by a short ID", ForgetJob, Operation{Snapshots: []string{id[:8]}}, false},
		{"forget the latest", ForgetJob, Operation{Snapshots: []string{"latest"}}, false},
		{"forget by an option", ForgetJob, Operation{Snapshots: []string{"--password-command=" + id}}, false},
		{"diff", DiffJob, Operation{From: id[:8], To: id}, true},
		{"diff of one", DiffJob, Operation{From: id}, false},
		{"restore", RestoreJob, Operation{
			Snapshot:  id,
			Target:    "/tmp/back",
			Paths:     []string{"/home/anna"},
			Overwrite: "never",
			DryRun:    true,
		}, true},
		{"restore to Windows", RestoreJob, Operation{Snapshot: id, Target: `C:\back`}, true},
		{"restore to nowhere", RestoreJob, Operation{Snapshot: id}, false},
		{"restore to a relative place", RestoreJob, Operation{Snapshot: id, Target: "back"}, false},
		{"restore upwards", RestoreJob, Operation{Snapshot: id, Target: "/srv/back/../../etc"}, false},
		{"restore an option", RestoreJob, Operation{Snapshot: id, Target: "/back", Paths: []string{"--password-command=id"}}, false},
		{"restore a path that climbs", RestoreJob, Operation{Snapshot: id, Target: "/back", Paths: []string{"/home/../etc"}}, false},
		{"restore with another word", RestoreJob, Operation{Snapshot: id, Target: "/back", Overwrite: "maybe"}, false},
		{"restore more than fits", RestoreJob, Operation{Snapshot: id, Target: "/back", Paths: make([]string, MaxPaths+1)}, false},
		{"restore of the same path twice", RestoreJob, Operation{Snapshot: id, Target: "/b", Paths: []string{"/a", "/a"}}, true},
		{"a basket", RestoreJob, Operation{Target: "/back", NoOwners: true, Items: []Item{
			{Snapshot: id, Paths: []string{"/etc/hosts", "/etc"}}, {Snapshot: other, Paths: []string{"/etc2", "/etcetera/x"}},
		}}, true},
		{"a basket of one whole snapshot", RestoreJob, Operation{Target: "/back", Items: []Item{{Snapshot: id}}}, true},
		{"an empty basket", RestoreJob, Operation{Target: "/back", Items: []Item{}}, false},
		{"a basket of nothing", RestoreJob, Operation{Target: "/back", Items: []Item{{}}}, false},
		{"a basket beside a snapshot", RestoreJob, Operation{Target: "/back", Snapshot: id, Items: []Item{{Snapshot: id}}}, false},
		{"a basket beside paths", RestoreJob, Operation{Target: "/back", Paths: []string{"/etc"}, Items: []Item{{Snapshot: id}}}, false},
		{"a basket with one place of two snapshots", RestoreJob, Operation{Target: "/back", Items: []Item{
			{Snapshot: id, Paths: []string{"/etc"}}, {Snapshot: other, Paths: []string{"/etc"}},
		}}, false},
		{"a basket with a place below another's", RestoreJob, Operation{Target: "/back", Items: []Item{
			{Snapshot: id, Paths: []string{"/etc/ssh/keys", "/etc-2"}}, {Snapshot: other, Paths: []string{"/etc"}},
		}}, false},
		{"a basket with a place below another's, named below another of its own", RestoreJob, Operation{
			Target: "/back", Items: []Item{
				{Snapshot: id, Paths: []string{"/etc", "/etc/ssh"}}, {Snapshot: other, Paths: []string{"/etc/zz"}},
			}}, false},
		{"a basket with all of a snapshot and something of another", RestoreJob, Operation{Target: "/back", Items: []Item{
			{Snapshot: id}, {Snapshot: other, Paths: []string{"/etc"}},
		}}, false},
		{"a basket of more than fits", RestoreJob, Operation{Target: "/back", Items: []Item{
			{Snapshot: id, Paths: many[:MaxPaths-1]}, {Snapshot: id}, {Snapshot: id, Paths: many[:1]},
		}}, false},
		{"a basket of as many as fit", RestoreJob, Operation{Target: "/back", Items: []Item{
			{Snapshot: id, Paths: many[:MaxPaths-2]}, {Snapshot: id}, {Snapshot: id, Paths: many[:1]},
		}}, true},
		{"paths too long for a message", RestoreJob, Operation{
			Target: "/b", Snapshot: id, Paths: slices.Repeat([]string{long}, 11)}, false},
		{"long paths", RestoreJob, Operation{Target: "/back", Snapshot: id, Paths: slices.Repeat([]string{long}, 9)}, true},
		{"in place", RestoreJob, Operation{InPlace: true, Snapshot: id, Paths: []string{"/etc/hosts"}}, true},
		{"in place, into a target", RestoreJob, Operation{InPlace: true, Snapshot: id, Target: "/back"}, false},
		{"in place, into a new directory", RestoreJob, Operation{InPlace: true, Snapshot: id, Fresh: true}, false},
		{"in place, held to the quarantine", RestoreJob, Operation{InPlace: true, Snapshot: id, Confined: true}, false},
		{"neither in place nor into a target", RestoreJob, Operation{Snapshot: id}, false},
		{"with a dry run", RestoreJob, Operation{Snapshot: id, Target: "/b", Preview: &Preview{Job: job, Digest: id}}, true},
		{"with a dry run that saw nothing", RestoreJob, Operation{Snapshot: id, Target: "/b", Preview: &Preview{Job: job}}, false},
		{"with a dry run of no job", RestoreJob, Operation{Snapshot: id, Target: "/b", Preview: &Preview{Digest: id}}, false},
		{"a dry run with a dry run", RestoreJob, Operation{Snapshot: id, Target: "/b", DryRun: true,
			Preview: &Preview{Job: job, Digest: id}}, false},
		{"check in place", CheckJob, Operation{InPlace: true}, false},
		{"check without owners", CheckJob, Operation{NoOwners: true}, false},
		{"check of items", CheckJob, Operation{Items: []Item{{Snapshot: id}}}, false},
		{"check with a dry run", CheckJob, Operation{Preview: &Preview{Job: job, Digest: id}}, false},
		{"find", FindJob, Operation{Pattern: "*.txt"}, true},
		{"find two lines", FindJob, Operation{Pattern: "a\nb"}, false},
		{"find in some", FindJob, Operation{Pattern: "a", Snapshots: []string{"0a1b2c3d"}, IgnoreCase: true}, true},
		{"find of groups", FindJob, Operation{Pattern: "a", Groups: []SourceGroupID{"letters-0001"}}, true},
		{"find of both", FindJob, Operation{Pattern: "a", Snapshots: []string{"0a1b2c3d"}, Groups: []SourceGroupID{"letters-0001"}}, false},
		{"find in an option", FindJob, Operation{Pattern: "a", Snapshots: []string{"--all"}}, false},
		{"find of no group", FindJob, Operation{Pattern: "a", Groups: []SourceGroupID{"a,plan=b"}}, false},
		{"groups of a diff", DiffJob, Operation{From: "0a1b2c3d", To: "0a1b2c3d", Groups: []SourceGroupID{"letters-0001"}}, false},
		{"find nothing", FindJob, Operation{}, false},
		{"check", CheckJob, Operation{}, true},
		{"check a slice", CheckJob, Operation{Subset: "12/12"}, true},
		{"check a slice that is none", CheckJob, Operation{Subset: "13/12"}, false},
		{"check no slice", CheckJob, Operation{Subset: "0/12"}, false},
		{"check half of everything", CheckJob, Operation{Subset: "1/2", ReadData: true}, false},
		{"check with the cache", CheckJob, Operation{WithCache: true, Subset: "1/12"}, true},
		{"tags", TagJob, Operation{Snapshots: []string{id}, Add: []string{"gold", "-x", "of 2026"}, Remove: []string{"silver"}}, true},
		{"all tags", TagJob, Operation{Snapshots: []string{id}, Set: []string{"gold"}}, true},
		{"no tags", TagJob, Operation{Snapshots: []string{id}, NoTags: true}, true},
		{"tags of nothing", TagJob, Operation{Add: []string{"gold"}}, false},
		{"tags, and none said", TagJob, Operation{Snapshots: []string{id}}, false},
		{"tags with a comma", TagJob, Operation{Snapshots: []string{id}, Add: []string{"a,b"}}, false},
		{"our own tag", TagJob, Operation{Snapshots: []string{id}, Add: []string{"plan=letters"}}, false},
		{"our own tag in capitals", TagJob, Operation{Snapshots: []string{id}, Set: []string{"Plan=letters"}}, false},
		{"without our own tag", TagJob, Operation{Snapshots: []string{id}, Remove: []string{"plan=letters"}}, false},
		{"a tag like ours", TagJob, Operation{Snapshots: []string{id}, Add: []string{"planned=letters"}}, true},
		{"tags added and set", TagJob, Operation{Snapshots: []string{id}, Add: []string{"a"}, Set: []string{"b"}}, false},
		{"a tag added and removed", TagJob, Operation{Snapshots: []string{id}, Add: []string{"a"}, Remove: []string{"a"}}, false},
		{"a snapshot named twice", TagJob, Operation{Snapshots: []string{id, id}, Add: []string{"a"}}, false},
		{"a rewrite", RewriteJob, Operation{Snapshots: []string{id}, Exclude: []string{"*.key"}, DryRun: true}, true},
		{"a rewrite of nothing", RewriteJob, Operation{Exclude: []string{"*.key"}, DryRun: true}, false},
		{"a rewrite without patterns", RewriteJob, Operation{Snapshots: []string{id}, DryRun: true}, false},
		{"a rewrite that takes back in", RewriteJob, Operation{Snapshots: []string{id}, Exclude: []string{"*", "!keep"}, DryRun: true}, false},
		{"a repair of nothing said", RepairJob, Operation{}, false},
		{"a repair of the index", RepairJob, Operation{What: RepairIndex, ReadData: true}, true},
		{"a dry run of the index", RepairJob, Operation{What: RepairIndex, DryRun: true}, false},
		{"a repair of packs", RepairJob, Operation{What: RepairPacks, Packs: []string{id}}, true},
		{"a repair of no packs", RepairJob, Operation{What: RepairPacks}, false},
		{"a dry run of all snapshots", RepairJob, Operation{What: RepairSnapshots, DryRun: true}, true},
		{"a repair of all snapshots", RepairJob, Operation{What: RepairSnapshots}, false},
		{"prune", PruneJob, Operation{DryRun: true}, true},
		{"copy", CopyJob, Operation{To: "vault-00001"}, true},
		{"copy of some", CopyJob, Operation{To: "vault-00001", Snapshots: []string{id, id}}, true},
		{"copy to nowhere", CopyJob, Operation{}, false},
		{"copy to an option", CopyJob, Operation{To: "--repo=/x"}, false},
		{"copy of a short ID", CopyJob, Operation{To: "vault-00001", Snapshots: []string{id[:8]}}, false},
		{"copy from a snapshot", CopyJob, Operation{To: "vault-00001", From: id}, false},
		{"init like another", InitJob, Operation{From: "vault-00001"}, true},
		{"init like an option", InitJob, Operation{From: "--from-repo=/x"}, false},
		{"init to another", InitJob, Operation{To: "vault-00001"}, false},
		{"prune with the cache", PruneJob, Operation{WithCache: true}, false},
		{"unlock", UnlockJob, Operation{All: true}, true},
		{"update", UpdateJob, Operation{Update: &Update{Manifest: []byte("{}"), Signature: []byte("s")}}, true},
		{"update of nothing", UpdateJob, Operation{}, false},
		{"update without a signature", UpdateJob, Operation{Update: &Update{Manifest: []byte("{}")}}, false},
		{"update by more than fits", UpdateJob, Operation{Update: &Update{Manifest: make([]byte, MaxManifest+1), Signature: []byte("s")}}, false},
		{"update of restic", UpdateJob, restic(ResticUpdate{Name: "restic_0.18.1_linux_amd64.bz2", Size: 9, SHA256: sum}), true},
		{"older restic for Windows", UpdateJob, restic(ResticUpdate{Name: "restic_0.18.1_windows_amd64.zip", Size: 9, SHA256: sum,
			Older: true}), true},
		{"back to the restic before", UpdateJob, restic(ResticUpdate{Back: true}), true},
		{"back to a file", UpdateJob, restic(ResticUpdate{Back: true, Name: "restic_0.18.1_linux_amd64"}), false},
		{"restic by a path", UpdateJob, restic(ResticUpdate{Name: "../restic_0.18.1_linux_amd64", Size: 9, SHA256: sum}), false},
		{"another program", UpdateJob, restic(ResticUpdate{Name: "bash", Size: 9, SHA256: sum}), false},
		{"restic without a checksum", UpdateJob, restic(ResticUpdate{Name: "restic_0.18.1_linux_amd64", Size: 9}), false},
		{"restic with half a checksum", UpdateJob, restic(ResticUpdate{Name: "restic_0.18.1_linux_amd64", Size: 9, SHA256: sum[:32]}), false},
		{"restic of no size", UpdateJob, restic(ResticUpdate{Name: "restic_0.18.1_linux_amd64", SHA256: sum}), false},
		{"restic that is too large", UpdateJob, restic(ResticUpdate{Name: "restic_0.18.1_linux_amd64", Size: MaxRestic + 1, SHA256: sum}), false},
		{"restic with a manifest", UpdateJob, Operation{Update: &Update{Manifest: []byte("{}"), Signature: []byte("s"),
			Restic: &ResticUpdate{Back: true}}}, false},
		{"update with a path", UpdateJob, Operation{Paths: []string{"/a"},
			Update: &Update{Manifest: []byte("{}"), Signature: []byte("s")}}, false},
		{"backup with an update", BackupJob, Operation{Update: &Update{Manifest: []byte("{}"), Signature: []byte("s")}}, false},
		{"prune with a pattern", PruneJob, Operation{Pattern: "x"}, false},
	} {
		if err := c.o.Check(c.kind); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrOperation) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, k := range AllKinds {
		if err := (Operation{Subset: "1/2", Target: "/x"}).Check(k); err == nil {
			t.Errorf("%s takes a subset and a target at once", k)
		}
	}
}

// TestOldFormsOfARestoreMeanTheSame decodes what control planes and agents of older
// versions send, and sees that older ones find in ours what they look for.
func TestOldFormsOfARestoreMeanTheSame(t *testing.T) {
	id := strings.Repeat("ab", 32)
	var o Operation
	if err := json.Unmarshal([]byte(`{"snapshot":"`+id+`","paths":["/etc"],"target":"/back","overwrite":"always"}`), &o); err != nil {
		t.Fatal(err)
	}
	if got := o.Basket(); len(got) != 1 || got[0].Snapshot != id || !slices.Equal(got[0].Paths, []string{"/etc"}) ||
		o.Check(RestoreJob) != nil {
		t.Errorf("the old form is the basket %+v, and its check says %v", got, o.Check(RestoreJob))
	}
	for _, word := range []string{"items", "no_owners", "in_place", "preview"} {
		if strings.Contains(string(Encode(o)), word) {
			t.Errorf("the old form is sent with %s: %s", word, Encode(o))
		}
	}
	if got := (Operation{}).Basket(); got != nil {
		t.Errorf("an operation that restores nothing has the basket %+v", got)
	}
	var r Restored
	if err := json.Unmarshal([]byte(`{"files":3,"bytes":10,"skipped":2,"errors":1}`), &r); err != nil || r.Files != 3 || r.Bytes != 10 ||
		r.Skipped != 2 || r.Errors != 1 || r.Matched != 0 {
		t.Errorf("an old result is %+v, %v", r, err)
	}
	var old struct{ Files, Bytes, Skipped, Errors uint64 }
	if err := json.Unmarshal(Encode(Restored{Files: 3, Bytes: 10, Skipped: 2, Errors: 1, Restored: 3}), &old); err != nil ||
		old.Files != 3 || old.Bytes != 10 || old.Skipped != 2 || old.Errors != 1 {
		t.Errorf("an old reader finds %+v, %v", old, err)
	}
}
