package layout

import (
	"context"

	"github.com/restic-manager/restic-manager/controlplane/removal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// RemovedRow is something that can be brought back, as pages show it.
func (s *Page) RemovedRow(r store.Removed) views.RemovedRow {
	row := views.RemovedRow{Name: r.Name, At: s.When(r.At), Until: s.When(removal.Until(r).UnixMilli()), By: r.By}
	switch r.Kind {
	case removal.Host:
		row.Kind, row.URL = "Host", views.HostURL(r.ID)+"/restore"
	case removal.Repository:
		row.Kind, row.URL = "Repository", views.RepositoryURL(r.ID)+"/restore"
	default:
		row.Kind, row.URL = "Source group", views.RestoreGroupURL(r.Host, r.ID)
	}
	return row
}

// RemovedGroups are the source groups of a host that can be brought back.
func (s *Page) RemovedGroups(ctx context.Context, host topics.HostID) ([]views.RemovedRow, error) {
	list, err := s.Store.RemovedGroups(ctx, host)
	rows := make([]views.RemovedRow, len(list))
	for i, r := range list {
		rows[i] = s.RemovedRow(r)
	}
	return rows, err
}
