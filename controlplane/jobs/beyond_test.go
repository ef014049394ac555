package jobs

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// TestAnAgentOfAnotherProtocolIsRefusedByName, and all others are served. Who comes with a
// protocol of ours is refused no longer.
func TestAnAgentOfAnotherProtocolIsRefusedByName(t *testing.T) {
	told := 0
	e := &Engine{Config: Config{Log: slog.New(slog.DiscardHandler), Changed: func(topics.HostID) { told++ }}}
	last := topics.Protocol[1]
	for _, c := range []struct {
		name    string
		speaks  [2]int
		refused bool
		newer   bool
		says    string
	}{
		{"ours", topics.Protocol, false, false, ""},
		{"ours and a newer one", [2]int{last, last + 1}, false, false, ""},
		{"newer ones alone", [2]int{last + 1, last + 2}, true, true, "Update the control plane"},
		{"older ones alone", [2]int{0, topics.Protocol[0] - 1}, true, false, "Install the agent that came with the control plane"},
		{"ours again", topics.Protocol, false, false, ""},
	} {
		says := e.speaks("attic", Beyond{Version: "9.0", Protocol: c.speaks})
		b, refused := e.Beyond("attic")
		if refused != c.refused || (says != "") != c.refused || !strings.Contains(says, c.says) || refused && b.Newer() != c.newer {
			t.Errorf("%s: refused %t, newer %t: %s", c.name, refused, b.Newer(), says)
		}
		if _, other := e.Beyond("cellar"); other {
			t.Errorf("%s: another host is refused", c.name)
		}
	}
}
