package problem

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
)

// A host whose agent does not know drills is refused one at once, with what to do.
func TestAnOldAgentIsRefusedADrillWithWhatToDo(t *testing.T) {
	for _, c := range []struct {
		what string
		can  []topics.Ability
		old  bool
	}{
		{"an agent from before there were abilities", nil, true},
		{"one that answers queries", []topics.Ability{topics.AnswersQueries, topics.RestoresBaskets}, true},
		{"one that knows drills", []topics.Ability{topics.RunsDrills}, false},
		{"a newer one", []topics.Ability{"whatever", topics.RunsDrills}, false},
	} {
		err := permits.Drill(store.Host{Name: "attic", Can: column.JSON[[]topics.Ability]{V: &c.can}})
		if (err != nil) != c.old {
			t.Errorf("%s: %v", c.what, err)
		}
		if p := Of(err); err != nil && (p.Cause != CauseOldAgent || p.Kind != Conflict || !strings.Contains(p.Title, "attic") ||
			!strings.Contains(p.Do, "Update the agent")) {
			t.Errorf("%s: it says %+v", c.what, p)
		}
	}
}
