package protocol_test

import (
	"fmt"
	"testing"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAHostRunsOneJobInARepositoryAndNoMoreTogetherThanItMay: whether it was told or
// fires by itself, and whatever the others are doing.
func TestAHostRunsOneJobInARepositoryAndNoMoreTogetherThanItMay(t *testing.T) {
	const minute = int64(60_000)
	planned := func(n int) (c topics.Config) { // group g1 goes to repository r1, and so on; g1b to r1, too
		for i := range n {
			r, g := topics.RepositoryID(fmt.Sprintf("r%d", i+1)), topics.SourceGroupID(fmt.Sprintf("g%d", i+1))
			c.Repositories = append(c.Repositories, topics.Repository{ID: r})
			for _, g := range []topics.SourceGroupID{g, g + "b"} {
				c.Groups = append(c.Groups, topics.PlannedGroup{SourceGroup: topics.SourceGroup{ID: g}, Repository: r})
				c.Schedules = append(c.Schedules, topics.Schedule{ID: topics.ScheduleID("s-" + g),
					Groups: []topics.ScheduledGroup{{Group: g, After: 1}}})
			}
		}
		return c
	}
	tell := func(id topics.JobID, kind topics.JobKind, g topics.SourceGroupID, r topics.RepositoryID) AgentInput {
		return Commanded{Command: topics.Command{Job: id, Run: &topics.Run{Kind: kind, Group: topics.SourceGroup{ID: g},
			Repository: topics.Repository{ID: r}}}}
	}
	fire := func(g topics.SourceGroupID) AgentInput {
		slot := topics.Slot{Schedule: topics.ScheduleID("s-" + g), At: 5 * minute}
		return Fired{Job: topics.JobID("f-" + g), Slot: slot, Group: g, At: 5 * minute}
	}
	alone := func(in AgentInput) AgentInput {
		switch in := in.(type) {
		case Commanded:
			in.Alone = true
			return in
		case Fired:
			in.Alone = true
			return in
		}
		return in
	}
	cancel := func(id topics.JobID) AgentInput { return Commanded{Command: topics.Command{Job: id, Cancel: true}} }
	end := func(id topics.JobID) AgentInput { return Ended{Job: id, End: topics.Finished{State: topics.Succeeded}} }
	backup, check := topics.BackupJob, topics.CheckJob
	for name, c := range map[string]struct {
		atOnce int // 0: the default
		in     []AgentInput
		want   string // the jobs that were started, in order
	}{
		"other repositories, told":             {0, []AgentInput{tell("a", backup, "g1", "r1"), tell("b", backup, "g2", "r2")}, "[a b]"},
		"other repositories, by itself":        {0, []AgentInput{fire("g1"), fire("g2")}, "[f-g1 f-g2]"},
		"told beside what it fired":            {0, []AgentInput{fire("g1"), tell("b", check, "", "r2")}, "[f-g1 b]"},
		"the same repository, told":            {0, []AgentInput{tell("a", backup, "g1", "r1"), tell("b", check, "", "r1")}, "[a]"},
		"the same repository, by itself":       {0, []AgentInput{fire("g1"), fire("g1b")}, "[f-g1]"},
		"told in the repository it fired into": {0, []AgentInput{fire("g1"), tell("b", backup, "g1b", "r1")}, "[f-g1]"},
		"fired into the repository of a check": {0, []AgentInput{tell("a", check, "", "r1"), fire("g1")}, "[a]"},
		"the default is three":                 {0, []AgentInput{fire("g1"), fire("g2"), fire("g3"), fire("g4")}, "[f-g1 f-g2 f-g3]"},
		"three, and then told": {0, []AgentInput{fire("g1"), fire("g2"), fire("g3"), tell("d", check, "", "r4")},
			"[f-g1 f-g2 f-g3]"},
		"one is one": {1, []AgentInput{fire("g1"), fire("g2"), tell("c", backup, "g3", "r3")}, "[f-g1]"},
		"five are five": {5, []AgentInput{fire("g1"), fire("g2"), fire("g3"), fire("g4"), fire("g5"), fire("g6")},
			"[f-g1 f-g2 f-g3 f-g4 f-g5]"},
		"the next one once one has ended":    {1, []AgentInput{fire("g1"), fire("g2"), end("f-g1"), fire("g2")}, "[f-g1 f-g2]"},
		"cancelled and not ended, told":      {0, []AgentInput{fire("g1"), cancel("f-g1"), tell("b", check, "", "r1")}, "[f-g1]"},
		"cancelled and not ended, by itself": {0, []AgentInput{fire("g1"), cancel("f-g1"), fire("g1b"), fire("g2")}, "[f-g1 f-g2]"},
		"cancelled counts in the limit":      {1, []AgentInput{fire("g1"), cancel("f-g1"), fire("g2")}, "[f-g1]"},
		"after a crash what is to be reaped counts": {0, []AgentInput{fire("g1"), Woke{}, fire("g1b"), tell("b", check, "", "r1"), fire("g2"),
			Reaped{Job: "f-g1"}, fire("g1b")}, "[f-g1 f-g2 f-g1b]"},
		"a group whose backup runs into the repository it went to before": {0, []AgentInput{tell("a", backup, "g1", "r9"), fire("g1"),
			fire("g2")}, "[a f-g2]"},
		"an update beside what runs, and nothing beside it": {0, []AgentInput{fire("g1"), tell("u", topics.UpdateJob, "", ""), fire("g2"),
			tell("b", check, "", "r3"), tell("v", topics.UpdateJob, "", ""), end("f-g1"), fire("g2"), tell("b", check, "", "r3"), end("u"),
			fire("g2"), tell("b", check, "", "r3")}, "[f-g1 u f-g2 b]"},
		"an update goes on after the agent's process ended": {0, []AgentInput{tell("u", topics.UpdateJob, "", ""), Woke{}, fire("g1"),
			Reaped{Job: "none"}, end("u"), fire("g1")}, "[u f-g1]"},
		"an update is not for what is to be alone": {0, []AgentInput{fire("g1"), alone(tell("u", topics.UpdateJob, "", ""))}, "[f-g1 u]"},
		"a backup that is fired into one that runs does not count as begun while an update waits": {0, []AgentInput{fire("g1"),
			tell("u", topics.UpdateJob, "", ""), fire("g1b")}, "[f-g1 u]"},
		"alone means beside none, told":      {0, []AgentInput{fire("g1"), alone(tell("b", check, "", "r2"))}, "[f-g1]"},
		"alone means beside none, by itself": {0, []AgentInput{fire("g1"), alone(fire("g2"))}, "[f-g1]"},
		"alone where nothing runs":           {0, []AgentInput{alone(fire("g1")), alone(tell("b", check, "", "r2"))}, "[f-g1]"},
	} {
		t.Run(name, func(t *testing.T) {
			a := protocoltest.NewAgent(1)
			config := planned(6)
			config.JobsAtOnce = c.atOnce
			started := []topics.JobID{}
			for _, in := range append([]AgentInput{Configured{Config: config}}, c.in...) {
				effects, err := a.Step(in)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range effects {
					if s, ok := e.(Start); ok {
						started = append(started, s.Job)
					}
				}
			}
			if got := fmt.Sprint(started); got != c.want {
				t.Errorf("started %s, want %s", got, c.want)
			}
		})
	}
}
