package problem

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/heartbeats"
	"github.com/restic-manager/restic-manager/store/uplinks"
)

// Whatever is wrong with alerts, channels and heartbeats has a cause, an effect and a
// remedy, and nothing in it that a terminal obeys.
func TestWhatIsWrongWithAlertsIsSaid(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind Kind
		says string
	}{
		{alerts.ErrNone, NotFound, "no such alert"},
		{alerts.ErrEnded, Conflict, "has ended"},
		{alerts.ErrNotSnoozed, Conflict, "cannot be snoozed"},
		{alerts.ErrMoved, Conflict, "Somebody else"},
		{channels.ErrMoved, Conflict, "Somebody else"},
		{uplinks.ErrMoved, Conflict, "Somebody else"},
		{heartbeats.ErrMoved, Conflict, "Somebody else"},
		{channels.ErrNone, NotFound, "no such channel"},
		{channels.ErrNameTaken, Conflict, "of this name already"},
		{heartbeats.ErrNone, NotFound, "no such heartbeat"},
		{&channels.UnreadableError{Channel: "0mk3a7q2chan01", Name: "o\x1bps", Err: errors.New("x")}, Conflict, "Enter them again"},
		{&conditions.WrongLimit{At: 2, Say: "It has to be more than nothing."}, Invalid, "in place 3: It has to be more"},
		{&alerts.RefusedError{Unknown: []string{"a"}}, NotFound, "no such alert"},
		{&alerts.RefusedError{Ended: []string{"a"}}, Conflict, "has ended"},
		{&alerts.RefusedError{Unknown: []string{"a\x1b[2J"}, Ended: []string{"b"}}, NotFound, "Leave these out"},
	} {
		p := Of(fmt.Errorf("do something: %w", c.err))
		text := p.Title + " " + p.Detail()
		if p.Kind != c.kind || !strings.Contains(text, c.says) || p.Say == "" || p.Do == "" || strings.Contains(text, "\x1b") {
			t.Errorf("%v: %q, %q", c.err, p.Kind, text)
		}
	}
}
