package repositorypages

import (
	"context"
	"net/http"
	"net/url"

	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

func (s *Pages) RepositoriesPage(w http.ResponseWriter, r *http.Request) error {
	text, page := layout.ListPlace(r.URL.Query())
	l, err := s.repositoryList(r.Context(), text, page)
	if err != nil {
		return err
	}
	sh := s.Shell(r, "Repositories", "repositories", views.Link{Text: "Repositories"})
	sh.Stream = views.RepositoriesStream(text, page)
	s.Render(w, r, http.StatusOK, views.RepositoriesPage(sh, l))
	return nil
}

// repositoryList is a page of the list: what it costs depends on what it shows.
func (s *Pages) repositoryList(ctx context.Context, text string, page int) (l views.RepositoryList, err error) {
	from := (max(page, 1) - 1) * views.PageSize
	rows, total, err := s.Store.RepositoryPage(ctx, text, from, views.PageSize)
	if err == nil && len(rows) == 0 && from > 0 { // behind the end, which is nearer than it was
		page = (total + views.PageSize - 1) / views.PageSize
		rows, total, err = s.Store.RepositoryPage(ctx, text, (max(page, 1)-1)*views.PageSize, views.PageSize)
	}
	if err != nil {
		return l, err
	}
	l = views.RepositoryList{Query: text, Paging: views.RepositoryPaging(total, page, text), Rows: make([]views.RepositoryRow, len(rows))}
	ids := make([]topics.RepositoryID, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	k, err := s.Known(ctx, ids...)
	if err != nil {
		return l, err
	}
	said, err := s.Health(ctx, ids...)
	if err != nil {
		return l, err
	}
	hosts, err := s.Store.HostCounts(ctx, ids)
	if err != nil {
		return l, err
	}
	days, err := s.Store.DaysOf(ctx, ids, s.Now().AddDate(0, 0, -90).UnixMilli())
	if err != nil {
		return l, err
	}
	points := map[topics.RepositoryID][]views.Point{}
	for _, d := range days {
		points[d.Repository] = append(points[d.Repository], pointOf(d))
	}
	for i, r := range rows {
		row := views.RepositoryRow{
			ID:         string(r.ID),
			Name:       r.Name,
			Location:   r.Location,
			Health:     status(said[r.ID]),
			MeasuredAt: s.When(r.MeasuredAt),
			Chart:      views.NewChart(ctx, points[r.ID]),
			Ratio:      views.Times(r.Ratio()),
			Snapshots:  words.Number(uint64(k.Tallies[r.ID].Count)),
			ListedAt: s.When(
				r.ListedAt,
			),
			CheckedAt:   s.When(r.CheckedAt),
			CheckErrors: checkErrors(r),
			Hosts:       words.Number(uint64(hosts[r.ID])),
		}
		if r.MeasuredAt > 0 {
			row.Stored = words.Bytes(uint64(r.StoredBytes))
		}
		l.Rows[i] = row
	}
	return l, nil
}

func (s *Pages) RepositoriesStream(q url.Values) layout.Draw {
	text, page := layout.ListPlace(q)
	return func(ctx context.Context, p *layout.Painter, rang map[topics.HostID]bool) error {
		if !p.Full && len(rang) == 0 {
			return nil
		}
		l, err := s.repositoryList(ctx, text, page)
		if err != nil {
			return err
		}
		p.Morph("repositories", views.RepositoriesList(l))
		return nil
	}
}
