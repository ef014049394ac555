package agent

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/topics"
)

// TestWhoEndedAJobIsTold is what a cancelled restic came to, by who had it cancelled.
func TestWhoEndedAJobIsTold(t *testing.T) {
	for what, c := range map[string]struct {
		by    error
		is    topics.JobState
		state topics.JobState
		cause topics.Cause
		says  string
	}{
		"a person":       {errCancelled, topics.Cancelled, topics.Cancelled, topics.CauseCancelled, "by restic"},
		"a stop":         {errStopping, topics.Cancelled, topics.Interrupted, topics.CauseAgentStopped, "The agent was stopped"},
		"a signal":       {errors.New("terminated"), topics.Cancelled, topics.Interrupted, topics.CauseAgentStopped, "The agent was stopped"},
		"a shutdown":     {ErrShutdown, topics.Cancelled, topics.Interrupted, topics.CauseAgentStopped, "The machine was shut down"},
		"it was quicker": {ErrShutdown, topics.Succeeded, topics.Succeeded, topics.CauseNone, ""},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(c.by)
		e := restic.Ending{State: c.is}
		if c.is == topics.Cancelled {
			e.Cause, e.Message = topics.CauseCancelled, "by restic"
		}
		f := (&runner{}).finished(ctx, e, false)
		if f.State != c.state || f.Cause != c.cause || !strings.HasPrefix(f.Message, c.says) {
			t.Errorf("%s: it ended %+v", what, f)
		}
	}
}
