package topics

import (
	"errors"
	"strings"
	"testing"
)

func TestAnOperationIsHeldToWhatItsKindTakes(t *testing.T) {
	id := strings.Repeat("ab", 32)
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
		{"find", FindJob, Operation{Pattern: "*.txt"}, true},
		{"find two lines", FindJob, Operation{Pattern: "a\nb"}, false},
		{"find nothing", FindJob, Operation{}, false},
		{"check", CheckJob, Operation{}, true},
		{"check a slice", CheckJob, Operation{Subset: "12/12"}, true},
		{"check a slice that is none", CheckJob, Operation{Subset: "13/12"}, false},
		{"check no slice", CheckJob, Operation{Subset: "0/12"}, false},
		{"check half of everything", CheckJob, Operation{Subset: "1/2", ReadData: true}, false},
		{"check with the cache", CheckJob, Operation{WithCache: true, Subset: "1/12"}, true},
		{"prune", PruneJob, Operation{DryRun: true}, true},
		{"prune with the cache", PruneJob, Operation{WithCache: true}, false},
		{"unlock", UnlockJob, Operation{All: true}, true},
		{"prune with a pattern", PruneJob, Operation{Pattern: "x"}, false},
	} {
		if err := c.o.Check(c.kind); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrOperation) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, k := range Kinds {
		if err := (Operation{Subset: "1/2", Target: "/x"}).Check(k); err == nil {
			t.Errorf("%s takes a subset and a target at once", k)
		}
	}
}
