package channels

import (
	"context"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/words"
)

// Example is a message of a test: an alert as the condition would open it, "" for
// backup-failed. It is an error of the field "condition" if there is none of this name.
func (s *Service) Example(ctx context.Context, condition string) (Message, error) {
	if condition == "" {
		condition = string(conditions.BackupFailed)
	}
	now, link := s.now(), "/alerts"
	f, ok := conditions.Example(conditions.Name(condition), now)
	if !ok {
		return Message{}, said{"condition": "There is no condition of this name. docs/ALERTS.md lists them."}
	}
	if s.PublicURL != nil {
		link = strings.TrimRight(s.PublicURL(ctx), "/") + link
	}
	a := Alert{ID: "example", Condition: condition, Severity: string(f.Severity),
		Subject: Subject{Kind: string(f.On), ID: "example", Name: f.Body.Name},
		Title:   f.Body.Name + ": " + f.Body.Title, Cause: f.Body.Cause, Do: f.Body.Do,
		State: "open", OpenedAt: words.ISO(now.Add(-time.Minute)), Since: words.ISO(now.Add(-time.Minute)), SeenAt: words.ISO(now),
		Count: 1, Link: link}
	return Message{Event: "test", Title: a.Title, Text: "This is a test of this channel, with a made-up alert. Nothing is wrong.",
		Alerts: []Alert{a}, Link: link, At: now.UnixMilli()}, nil
}
