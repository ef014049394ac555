package jobs

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

func TestTroubleIsWordedAsItIsNow(t *testing.T) {
	heard := time.UnixMilli(1_700_000_000_000)
	of := func(x topics.Trouble) topics.Trouble { x.Heard = heard.UnixMilli(); return x }
	for _, c := range []struct {
		t           topics.Trouble
		after       time.Duration
		title, text string
	}{
		{of(topics.Trouble{Words: "503 Service Unavailable", Code: 503, Seconds: 90, Times: 3, Again: 14}), 2 * time.Second,
			"The storage answers 503, restic tries again in 12 s", "3 tries in vain in 1 min 32 s. "},
		{of(topics.Trouble{Words: "request timeout", Mute: true, Times: 1, Again: 14}), time.Minute,
			"The storage does not answer, restic tries again", "1 try in vain in 1 min. "},
		{of(topics.Trouble{Words: "EOF", Times: 1}), 0, "The storage did not do what restic asked, restic tries again", "1 try in vain. "},
	} {
		title, text := TroubleWords(c.t, heard.Add(c.after))
		if title != c.title || !strings.HasPrefix(text, c.text) || !strings.HasSuffix(text, c.t.Words) {
			t.Errorf("%+v: %q, %q", c.t, title, text)
		}
	}
}

// To try again is no progress: the job is stalled all the same.
func TestTryingAgainIsNoMovement(t *testing.T) {
	a, b := topics.Progress{BytesDone: 1}, topics.Progress{BytesDone: 1, Trouble: &topics.Trouble{Times: 3}}
	if !still(a, b) {
		t.Error("it moved")
	}
	if b.BytesDone++; still(a, b) {
		t.Error("it did not move")
	}
}
