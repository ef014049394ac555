package jobs

import (
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// TroubleWords says what restic tries again, as it is now: in a few words, and in some more.
func TroubleWords(t topics.Trouble, now time.Time) (title, text string) {
	passed := max(0, now.Sub(time.UnixMilli(t.Heard)))
	switch {
	case t.Mute:
		title = "The storage does not answer"
	case t.Code > 0:
		title = fmt.Sprintf("The storage answers %d", t.Code)
	default:
		title = "The storage did not do what restic asked"
	}
	title += ", restic tries again"
	if again := time.Duration(t.Again)*time.Second - passed; again >= time.Second {
		title += " in " + words.Duration(again)
	}
	since := time.Duration(t.Seconds)*time.Second + passed
	text = words.Count(uint64(max(t.Times, 1)), "try", "tries") + " in vain"
	if since >= time.Second {
		text += " in " + words.Duration(since)
	}
	text += ". Nothing is lost by it: restic goes on where it is as soon as the storage does. If nothing but this happens, the job is ended " +
		"as one in which nothing moves. The storage's words: " + strings.TrimSpace(t.Words)
	return title, text
}
