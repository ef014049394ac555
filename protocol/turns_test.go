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

func cancelled(j PlaneJob) PlaneJob {
	j.CancelAsked = true
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
		{"a host runs one job at a time in a repository",
			[]PlaneJob{waiting("a1", "attic", "vault", backup), waiting("a2", "attic", "vault", backup)}, []Turn{{}, {WaitJob, "a1"}}},
		{"a host runs jobs in other repositories beside it, up to its limit",
			[]PlaneJob{waiting("a1", "attic", "vault", backup), waiting("a2", "attic", "other", backup), waiting("a3", "attic", "third", backup)},
			[]Turn{{}, {}, {WaitBusy, "a1"}}},
		{"of two in one repository, one of which the host began by itself, only one counts",
			[]PlaneJob{running(waiting("a1", "attic", "vault", backup)), running(waiting("a2", "attic", "vault", check)),
				waiting("a3", "attic", "other", backup)}, []Turn{{}}},
		{"the same repository comes before the limit",
			[]PlaneJob{running(waiting("a1", "attic", "vault", backup)), running(waiting("a2", "attic", "other", backup)),
				waiting("a3", "attic", "other", backup)}, []Turn{{WaitJob, "a2"}}},
		{"a job that is being cancelled counts until it has ended",
			[]PlaneJob{cancelled(running(waiting("a1", "attic", "vault", backup))), waiting("a2", "attic", "vault", backup)},
			[]Turn{{WaitJob, "a1"}}},
		{"the agent of an older version runs one",
			[]PlaneJob{waiting("o1", "old", "vault", backup), waiting("o2", "old", "other", backup)}, []Turn{{}, {WaitBusy, "o1"}}},
		{"one host's limit is none of another's",
			[]PlaneJob{running(waiting("o1", "old", "vault", backup)), waiting("a1", "attic", "other", backup)}, []Turn{{}}},
		{"a job that waits for its host's limit holds back nobody in the repository",
			[]PlaneJob{running(waiting("o1", "old", "other", backup)), waiting("o2", "old", "vault", check),
				waiting("a1", "attic", "vault", backup)}, []Turn{{WaitBusy, "o1"}, {}}},
		{"a check waits for the backup that runs",
			[]PlaneJob{running(waiting("a1", "attic", "vault", backup)), waiting("k1", "keeper", "vault", check)}, []Turn{{WaitRepository, "a1"}}},
		{"a backup waits for the check that runs",
			[]PlaneJob{running(waiting("k1", "keeper", "vault", check)), waiting("a1", "attic", "vault", backup)}, []Turn{{WaitRepository, "k1"}}},
		{"a backup asked for after a waiting check waits behind it",
			[]PlaneJob{running(waiting("a1", "attic", "vault", backup)), waiting("k1", "keeper", "vault", check),
				waiting("c1", "cellar", "vault", backup)},
			[]Turn{{WaitRepository, "a1"}, {WaitRepository, "k1"}}},
		{"who looks at the locks goes beside what is alone there, which may wait for one",
			[]PlaneJob{running(waiting("k1", "keeper", "vault", check)), waiting("a1", "attic", "vault", topics.LocksJob)}, []Turn{{}}},
		{"who removes dead locks does, too, also before one that waits to be alone",
			[]PlaneJob{running(waiting("b1", "barn", "vault", backup)), waiting("k1", "keeper", "vault", check),
				waiting("a1", "attic", "vault", topics.UnlockJob)}, []Turn{{WaitRepository, "b1"}, {}}},
		{"who removes the locks of the living does not",
			[]PlaneJob{running(waiting("k1", "keeper", "vault", check)),
				{ID: "a1", Host: "attic", Repository: "vault", Kind: topics.UnlockJob, State: topics.Queued, All: true}},
			[]Turn{{WaitRepository, "k1"}}},
		{"on its own host a job that waits for a lock is in the way of both",
			[]PlaneJob{running(waiting("a1", "attic", "vault", check)), waiting("a2", "attic", "vault", topics.UnlockJob)},
			[]Turn{{WaitJob, "a1"}}},
		{"another repository does not care",
			[]PlaneJob{running(waiting("k1", "keeper", "vault", check)), waiting("a1", "attic", "other", backup)}, []Turn{{}}},
		{"an absent host holds nobody back",
			[]PlaneJob{waiting("k1", "absent", "vault", check), waiting("a1", "attic", "vault", backup)}, []Turn{{Wait: WaitHost}, {}}},
		{"an update goes out beside what runs, and nothing after it",
			[]PlaneJob{running(waiting("a1", "attic", "vault", backup)), waiting("u1", "attic", "", topics.UpdateJob),
				waiting("a2", "attic", "other", backup), waiting("b1", "barn", "vault", backup)}, []Turn{{}, {WaitUpdate, "u1"}, {}}},
		{"one update at a time",
			[]PlaneJob{running(waiting("u1", "attic", "", topics.UpdateJob)), waiting("u2", "attic", "", topics.UpdateJob)},
			[]Turn{{WaitUpdate, "u1"}}},
		{"updates of many hosts are in no repository together",
			[]PlaneJob{waiting("u1", "attic", "", topics.UpdateJob), waiting("u2", "barn", "", topics.UpdateJob),
				waiting("u3", "cellar", "", topics.UpdateJob), waiting("u4", "den", "", topics.UpdateJob)}, []Turn{{}, {}, {}, {}}},
		{"no more than the repository's limit",
			[]PlaneJob{waiting("a1", "attic", "vault", backup), waiting("b1", "barn", "vault", backup), waiting("c1", "cellar", "vault", backup)},
			[]Turn{{}, {}, {Wait: WaitLimit}}},
		{"no more than the fleet's limit",
			[]PlaneJob{waiting("a1", "attic", "r1", backup), waiting("b1", "barn", "r2", backup), waiting("c1", "cellar", "r3", backup),
				waiting("d1", "den", "r4", backup)},
			[]Turn{{}, {}, {}, {Wait: WaitLimit}}},
	} {
		turns := NewTurns(Limits{Fleet: 3, Repository: 2}, map[topics.HostID]int{"attic": 2, "barn": 3}, c.jobs)
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
// turns and endings get everything done, no repository ever has two jobs of which one
// must be alone, but for looks at its locks, and no host more than it may, or two in one repository.
func TestNobodyWaitsForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var jobs []PlaneJob
		for i := range rapid.IntRange(1, 30).Draw(t, "jobs") {
			kind := rapid.SampledFrom([]topics.JobKind{topics.BackupJob, topics.BackupJob, "check", "prune", topics.LocksJob}).Draw(t, "kind")
			jobs = append(jobs, waiting(topics.JobID(fmt.Sprintf("job-%04d", i)), topics.HostID(rapid.StringMatching("[a-d]").Draw(t, "host")),
				topics.RepositoryID(rapid.StringMatching("[r-t]").Draw(t, "repository")), kind))
		}
		limits := Limits{Fleet: rapid.IntRange(0, 3).Draw(t, "fleet"), Repository: rapid.IntRange(0, 3).Draw(t, "per repository")}
		atOnce := map[topics.HostID]int{"a": 1, "b": rapid.IntRange(1, 4).Draw(t, "at once"), "c": 3} // "d" is not in it
		for round := 0; len(jobs) > 0; round++ {
			if round > 100 {
				t.Fatalf("still waiting after %d rounds: %v", round, jobs)
			}
			turns := NewTurns(limits, atOnce, jobs)
			alone, count, beside := map[topics.RepositoryID]bool{}, map[topics.RepositoryID]int{}, map[topics.RepositoryID]int{}
			here, there := map[topics.HostID]int{}, map[string]int{}
			for i, j := range jobs {
				if j.State == topics.Queued && turns.Take(j, true).Wait == "" {
					jobs[i].State = topics.Running
				}
				if jobs[i].State == topics.Running {
					if count[j.Repository]++; j.Kind == topics.LocksJob {
						beside[j.Repository]++
					}
					alone[j.Repository] = alone[j.Repository] || j.Kind.Exclusive()
					here[j.Host]++
					there[string(j.Host+" in "+topics.HostID(j.Repository))]++
				}
			}
			for r, n := range count {
				if alone[r] && n-beside[r] > 1 || limits.Repository > 0 && n > limits.Repository {
					t.Fatalf("%d jobs on %s at once, one must be alone: %t", n, r, alone[r])
				}
			}
			for h, n := range here {
				if n > max(atOnce[h], 1) {
					t.Fatalf("%d jobs of %s at once", n, h)
				}
			}
			for where, n := range there {
				if n > 1 {
					t.Fatalf("%d jobs of %s at once", n, where)
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
