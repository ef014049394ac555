package protocol

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// TestWhatAnEventHoldsCountsForTheHour: rows of jobs hold how they ended and by which
// restic, and stay for years.
func TestWhatAnEventHoldsCountsForTheHour(t *testing.T) {
	for what, e := range map[string]topics.Event{
		"an end": {Finished: &topics.Finished{Job: "j", Summary: &topics.Summary{Items: []string{strings.Repeat("x", 40<<10)}}}},
		"restic": {Started: &topics.Started{Job: "j", Restic: strings.Repeat("x", 40<<10)}},
		"slots":  {Fired: &topics.Fired{Job: "j", Also: make([]topics.Slot, 1000)}},
	} {
		if got := weight(e); got < 20<<10 {
			t.Errorf("%s of 40 KiB counts as %d bytes", what, got)
		}
	}
	if got := weight(topics.Event{Log: &topics.Log{Lines: make([]topics.Line, 1000)}}); got < 50_000 {
		t.Errorf("a thousand empty lines count as %d bytes", got)
	}
}
