package channels

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/words"
)

// Example is a message of a test: a made-up alert of a condition, "" for backup-failed.
func (s *Service) Example(ctx context.Context, condition string) (Message, error) {
	now := s.now()
	a := Alert{ID: "example", Condition: condition, Severity: "warning",
		Subject: Subject{Kind: "host", Name: "example-host"}, Title: "example-host: an example",
		State: "open", OpenedAt: words.ISO(now.Add(-time.Minute)), SeenAt: words.ISO(now), Count: 1}
	_ = conditions.Name(condition)
	_ = ctx
	return Message{Event: "test", Title: "Test: " + a.Title, Alerts: []Alert{a}, At: now.UnixMilli()}, nil
}
