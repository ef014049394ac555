package repositorypages

import (
	"context"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// making shows who makes a repository that is not there yet, and who could not.
func (s *Pages) making(ctx context.Context, id topics.RepositoryID) ([]views.MakingRow, error) {
	list, err := s.Jobs.Making(ctx, id)
	rows := make([]views.MakingRow, 0, len(list))
	for _, m := range list {
		row := views.MakingRow{
			Status:   makingStatus(m.State),
			Host:     views.Link{Text: m.HostName, URL: views.HostURL(string(m.Host))},
			HostID:   string(m.Host),
			Text:     m.Words(),
			Evidence: m.Message,
			Since:    s.When(m.Since),
			Job:      views.Link{Text: "Open the job", URL: views.JobURL(string(m.Job))},
			Release:  m.Held,
			Anyway:   m.State == jobs.MakingFailed && m.Cause == topics.CauseNotMounted,
		}
		if m.Tries > 0 {
			row.Tries = words.Count(uint64(m.Tries), "try", "tries") + " so far"
		}
		if m.NextAt > s.Now().UnixMilli() {
			row.Next = s.When(m.NextAt)
		}
		rows = append(rows, row)
	}
	return rows, err
}

func makingStatus(state string) views.Status {
	switch state {
	case jobs.MakingFailed:
		return views.JobStatus(string(topics.Failed))
	case jobs.MakingRuns:
		return views.JobStatus(string(topics.Running)).As("Making it")
	case jobs.MakingLost:
		return views.JobStatus("stalled").As("Not connected")
	case jobs.MakingAsked:
		return views.JobStatus(string(topics.Dispatched)).As("Asked")
	}
	return views.JobStatus(string(topics.Queued)).As("Waiting")
}
