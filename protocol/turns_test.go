package protocol_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

func waiting(id topics.JobID, host topics.HostID, repo topics.RepositoryID, kind topics.JobKind) PlaneJob {
	return PlaneJob{ID: id, Host: host, Repository: repo, Kind: kind, State: topics.Queued}
}

func running(j PlaneJob) PlaneJob {
	j.State = topics.Running
	return j
}

func TestJobsTakeTurns(t *testing.T) {
	const check = topics.JobKind("check")
	backup := topics.BackupJob
	for _, c := range []struct {
		what string
		jobs []PlaneJob // in the order they were asked for
		want []Turn     // of the queued ones
	}{
		{"backups of two hosts into one repository run side by side",
			[]PlaneJob{waiting("a1", "attic", "vault", backup), waiting("c1", "cellar", "vault", backup)}, []Turn{{}, {}}},
		{"a host runs one job at a time",
			[]PlaneJob{waiting("a1", "attic", "vault", backup), waiting("a2", "attic", "other", backup)}, []Turn{{}, {WaitJob, "a1"}}},
		{"a check waits for the backup that runs",
			[]PlaneJob{running(waiting("a1", "attic", "vault", backup)), waiting("k1", "keeper", "vault", check)}, []Turn{{WaitRepository, "a1"}}},
		{"a backup waits for the check that runs",
			[]PlaneJob{running(waiting("k1", "keeper", "vault", check)), waiting("a1", "attic", "vault", backup)}, []Turn{{WaitRepository, "k1"}}},
		{"a backup asked for after a waiting check waits behind it",
			[]PlaneJob{running(waiting("a1", "attic", "vault", backup)), waiting("k1", "keeper", "vault", check),
				waiting("c1", "cellar", "vault", backup)},
			[]Turn{{WaitRepository, "a1"}, {WaitRepository, "k1"}}},
		{"another repository does not care",
			[]PlaneJob{running(waiting("k1", "keeper", "vault", check)), waiting("a1", "attic", "other", backup)}, []Turn{{}}},
		{"an absent host holds nobody back",
			[]PlaneJob{waiting("k1", "absent", "vault", check), waiting("a1", "attic", "vault", backup)}, []Turn{{Wait: WaitHost}, {}}},
		{"no more than the repository's limit",
			[]PlaneJob{waiting("a1", "attic", "vault", backup), waiting("b1", "barn", "vault", backup), waiting("c1", "cellar", "vault", backup)},
			[]Turn{{}, {}, {Wait: WaitLimit}}},
		{"no more than the fleet's limit",
			[]PlaneJob{waiting("a1", "attic", "r1", backup), waiting("b1", "barn", "r2", backup), waiting("c1", "cellar", "r3", backup),
				waiting("d1", "den", "r4", backup)},
			[]Turn{{}, {}, {}, {Wait: WaitLimit}}},
	} {
		turns := NewTurns(Limits{Fleet: 3, Repository: 2}, c.jobs)
		var got []Turn
		for _, j := range c.jobs {
			if j.State == topics.Queued {
				got = append(got, turns.Take(j, j.Host != "absent"))
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

// TestNobodyWaitsForEver runs random fleets: whatever is asked for, rounds of
// turns and endings get everything done, and no repository ever has two jobs of
// which one must be alone.
func TestNobodyWaitsForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var jobs []PlaneJob
		for i := range rapid.IntRange(1, 30).Draw(t, "jobs") {
			kind := rapid.SampledFrom([]topics.JobKind{topics.BackupJob, topics.BackupJob, "check", "prune"}).Draw(t, "kind")
			jobs = append(jobs, waiting(topics.JobID(fmt.Sprintf("job-%04d", i)), topics.HostID(rapid.StringMatching("[a-d]").Draw(t, "host")),
				topics.RepositoryID(rapid.StringMatching("[r-t]").Draw(t, "repository")), kind))
		}
		limits := Limits{Fleet: rapid.IntRange(0, 3).Draw(t, "fleet"), Repository: rapid.IntRange(0, 3).Draw(t, "per repository")}
		for round := 0; len(jobs) > 0; round++ {
			if round > 100 {
				t.Fatalf("still waiting after %d rounds: %v", round, jobs)
			}
			turns := NewTurns(limits, jobs)
			alone, count := map[topics.RepositoryID]bool{}, map[topics.RepositoryID]int{}
			for i, j := range jobs {
				if j.State == topics.Queued && turns.Take(j, true).Wait == "" {
					jobs[i].State = topics.Running
				}
				if jobs[i].State == topics.Running {
					count[j.Repository]++
					alone[j.Repository] = alone[j.Repository] || j.Kind.Exclusive()
				}
			}
			for r, n := range count {
				if alone[r] && n > 1 || limits.Repository > 0 && n > limits.Repository {
					t.Fatalf("%d jobs on %s at once, one must be alone: %t", n, r, alone[r])
				}
			}
			var rest []PlaneJob
			ended := false
			for _, j := range jobs { // the oldest one that runs ends
				if j.State == topics.Running && !ended {
					ended = true
					continue
				}
				rest = append(rest, j)
			}
			if !ended {
				t.Fatalf("nothing runs, and these wait: %v", jobs)
			}
			jobs = rest
		}
	})
}
