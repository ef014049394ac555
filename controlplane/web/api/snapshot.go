package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

type snapshotJSON struct {
	ID         string              `json:"id"`
	Repository topics.RepositoryID `json:"repository"`
	Job        topics.JobID        `json:"job" doc:"that made it, or empty"`
	Time       *time.Time          `json:"time" doc:"by the clock of the host that made it"`
	TimeOdd    bool                `json:"time_out_of_range" doc:"its time is before 1970 or after 9999; time is the nearest that is not"`
	Hostname   string              `json:"hostname"`
	Paths      []string            `json:"paths" nullable:"false"`
	Tags       []string            `json:"tags" nullable:"false"`
	Files      uint64              `json:"files"`
	Bytes      uint64              `json:"bytes"`
	Host       topics.HostID       `json:"host" doc:"whose job made it, or empty"`
	Foreign    bool                `json:"foreign" doc:"no job of ours made it, and nobody took it in"`
	Import     string              `json:"import" doc:"ID of the import that it was taken in with, or empty"`
}

func snapshotOf(n store.Snapshot) snapshotJSON {
	if n.Imported != "" {
		n.Job = "" // none of ours made it
	}
	return snapshotJSON{
		Import:     n.Imported,
		ID:         n.ID,
		Repository: n.Repository,
		Job:        n.Job,
		Time:       base.JSONTime(n.Time),
		TimeOdd:    !words.Believed(n.Time),
		Hostname:   n.Hostname,
		Paths:      filled(n.Paths),
		Tags:       filled(n.Tags),
		Files:      n.Files,
		Bytes:      n.Bytes,
		Host:       n.Host,
		Foreign:    n.Foreign(),
	}
}

type listSnapshotsIn struct {
	ID    topics.HostID `path:"id"`
	Limit int           `query:"limit" default:"1000" minimum:"1" maximum:"10000" doc:"how many at most"`
}

func (a *API) ListSnapshots(ctx context.Context, in *listSnapshotsIn) (*list1[snapshotJSON], error) {
	if _, err := a.Host(ctx, in.ID); err != nil {
		return nil, err
	}
	rows, err := a.Store.Snapshots(ctx, in.ID, in.Limit)
	if err != nil {
		return nil, err
	}
	out := make([]snapshotJSON, len(rows))
	for i, n := range rows {
		out[i] = snapshotOf(n)
	}
	return &list1[snapshotJSON]{out}, nil
}
