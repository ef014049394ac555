package alerts

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/words"
)

// A turn is when Run looked at everything last, or began, and what was in its way since.
type turn struct {
	at  time.Time
	err error
}

// Late is after what time without a look that went well Run says that alerts are not looked
// after.
func (t Timing) Late() time.Duration { return 3*t.Every + time.Minute }

// Notices is a [notices.Source]: it says when nobody can find out any more what people should
// be told of, because that fails again and again, or does not end.
func (s *Service) Notices(context.Context) []notices.Notice {
	last := s.last.Load()
	if last == nil {
		return nil
	}
	late := time.Since(last.at)
	if late < s.timing().Late() {
		return nil
	}
	n := notices.Notice{ID: "alerts-not-judged", Severity: notices.Failure, Link: notices.Link{Text: "Alerts", URL: "/alerts"},
		Say: "For " + words.Span(late) + " nobody has looked whether something is wrong: new alerts other than those of failed jobs are not " +
			"opened, and none of those shown ends. Backups go on.",
		Remedy: "Look into the server's log, and start the control plane again."}
	if last.err != nil {
		n.Say += " What is in the way: " + words.Visible(last.err.Error()) + "."
	}
	return []notices.Notice{n}
}
