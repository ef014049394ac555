package schedule

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

func TestBackoffDoublesUpToHalfAnHour(t *testing.T) {
	var got []time.Duration
	for attempt := range 8 {
		got = append(got, Backoff(attempt)/time.Minute)
	}
	if want := []time.Duration{1, 2, 4, 8, 16, 30, 30, 30}; !slices.Equal(got, want) {
		t.Errorf("minutes %d, want %d", got, want)
	}
	if Backoff(math.MaxInt) != 30*time.Minute || Backoff(-1) != time.Minute {
		t.Errorf("at the edges %s and %s", Backoff(math.MaxInt), Backoff(-1))
	}
}

func TestOnlyWhatPassesIsTriedAgain(t *testing.T) {
	for cause, r := range retries {
		if r.because == "" {
			t.Errorf("%q has no reason", cause)
		}
		for state, want := range map[topics.JobState]bool{topics.Failed: r.again, topics.Interrupted: r.again, topics.Abandoned: r.again,
			topics.Succeeded: false, topics.Warnings: false, topics.Cancelled: false, topics.Running: false} {
			if got := Retry(state, cause); got != want {
				t.Errorf("%s of %q: %t, want %t", state, cause, got, want)
			}
		}
	}
	for _, cause := range []topics.Cause{topics.CauseLocked, topics.CauseUnreachable, topics.CauseAgentDied, topics.CauseStalled,
		topics.CauseHostDisk, topics.CauseUnknown} {
		if !Retry(topics.Failed, cause) {
			t.Errorf("%s is not tried again", cause)
		}
	}
	for _, cause := range []topics.Cause{topics.CausePassword, topics.CausePolicy, topics.CauseCancelled, topics.CauseCredentials,
		topics.CauseDiskFull, topics.CauseUsage, "of a later version"} {
		if Retry(topics.Failed, cause) {
			t.Errorf("%s is tried again", cause)
		}
	}
}

// Every cause has a row, so that a new one is decided about.
func TestEveryCauseIsDecidedAbout(t *testing.T) {
	for _, c := range topics.Causes {
		if _, ok := retries[c]; !ok {
			t.Errorf("nobody said whether %s is tried again", c)
		}
	}
}

func TestHowOftenASlotIsTriedAgain(t *testing.T) {
	for _, c := range []struct {
		cause         topics.Cause
		allowed, want int
	}{
		{topics.CauseStalled, 20, 2},
		{topics.CauseStalled, 1, 1},
		{topics.CauseStalled, 0, 0},
		{topics.CauseUnknown, 20, 3},
		{topics.CauseUnknown, 1, 1},
		{topics.CauseUnreachable, 20, 20},
		{ReasonHost, 5, 5},
	} {
		if got := Retries(c.cause, c.allowed); got != c.want {
			t.Errorf("%s, %d allowed: %d, want %d", c.cause, c.allowed, got, c.want)
		}
	}
}
