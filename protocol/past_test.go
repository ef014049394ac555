package protocol_test

import (
	"slices"
	"testing"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
)

// filled is a journal with ten events, the first received ones of which are kept.
func filled(t *testing.T, received uint64) *protocoltest.Agent {
	t.Helper()
	a := protocoltest.NewAgent(1000)
	if _, err := a.Step(Commanded{At: 5, Command: topics.Command{Job: "job-000001", Run: &topics.Run{Kind: topics.BackupJob}}}); err != nil {
		t.Fatal(err)
	}
	for range 9 {
		if _, err := a.Step(Printed{Job: "job-000001", Lines: []topics.Line{{Text: "a line"}}, At: 6}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.SetReceived(received); err != nil {
		t.Fatal(err)
	}
	return a
}

func welcomeOf(received topics.Received) Welcomed {
	return Welcomed{Received: received, Session: topics.Session{Epoch: 1000, N: 9}, At: 2000}
}

// TestAWelcomeSaysFromWhereAnAgentTellsAgain: by what the control plane has, and by what
// the agent still keeps.
func TestAWelcomeSaysFromWhereAnAgentTellsAgain(t *testing.T) {
	for what, c := range map[string]struct {
		forgotten bool            // nothing that is received is kept
		received  topics.Received // by the welcome
		renews    bool
		pending   int // of the ten events, and the hello if there is one
	}{
		"nothing was lost":                        {received: topics.Received{Epoch: 1000, Seq: 6, Mark: "m6"}, pending: 5},
		"nothing was lost, and nothing kept":      {forgotten: true, received: topics.Received{Epoch: 1000, Seq: 6, Mark: "m6"}, pending: 5},
		"more is received than was known":         {received: topics.Received{Epoch: 1000, Seq: 8, Mark: "m8"}, pending: 3},
		"it was restored, all is kept":            {received: topics.Received{Epoch: 1000, Seq: 2, Mark: "m2"}, pending: 9},
		"it was restored, nothing kept":           {true, topics.Received{Epoch: 1000, Seq: 2, Mark: "m2"}, true, 4},
		"it never heard of the host, all is kept": {pending: 11},
		"it never heard of it, nothing kept":      {forgotten: true, renews: true, pending: 4},
		"it knows an epoch before, nothing kept":  {true, topics.Received{Epoch: 900, Seq: 50, Mark: "x"}, true, 4},
		"it has more than there is":               {received: topics.Received{Epoch: 1000, Seq: 11, Mark: "m11"}, renews: true, pending: 4},
		"it has another event there":              {received: topics.Received{Epoch: 1000, Seq: 5, Mark: "another"}, renews: true, pending: 4},
		"it knows a later epoch":                  {received: topics.Received{Epoch: 1001, Seq: 1, Mark: "x"}, renews: true, pending: 4},
	} {
		t.Run(what, func(t *testing.T) {
			a := filled(t, 6)
			if c.forgotten {
				a.Forget()
			}
			effects, err := a.Step(welcomeOf(c.received))
			if err != nil {
				t.Fatal(err)
			}
			if renews := slices.Contains(effects, AgentEffect(Reconnect{})); renews != c.renews || renews != (a.LastPlace.Epoch > 1000) {
				t.Errorf("a new epoch: %v, %d, want %v", renews, a.LastPlace.Epoch, c.renews)
			}
			if got := a.Pending(); got != c.pending {
				t.Errorf("%d events are to be sent, want %d", got, c.pending)
			}
		})
	}
}

// TestAnAgentLeavesAControlPlaneThatWasReplaced: the one that was thought lost may come
// back, and both would send jobs.
func TestAnAgentLeavesAControlPlaneThatWasReplaced(t *testing.T) {
	a := filled(t, 6)
	in := welcomeOf(topics.Received{Epoch: 1000, Seq: 6, Mark: "m6"})
	for _, c := range []struct {
		plane  int64
		leaves bool
	}{{0, false}, {7, false}, {9, false}, {7, true}, {9, false}, {0, false}, {8, true}, {10, false}} {
		in.Plane = c.plane
		before := a.LastPlace.Seq
		effects, err := a.Step(in)
		if err != nil {
			t.Fatal(err)
		}
		if left := len(effects) > 0; left != c.leaves || left == (a.LastPlace.Seq > before) {
			t.Errorf("of the epoch %d: %v, and event %d is the last; leaves should be %v", c.plane, effects, a.LastPlace.Seq, c.leaves)
		}
	}
}
