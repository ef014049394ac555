package repositorypages

import (
	"context"
	"net/http"
	"strconv"

	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// shownMissing is how many missing snapshots the page lists; those that nobody
// acknowledged come first.
const shownMissing = 50

// missing are the snapshots that a repository has lost. names has those of the hosts in
// care.
func (s *Pages) missing(ctx context.Context, id topics.RepositoryID, names map[topics.HostID]string) (v views.Missing, err error) {
	list, err := s.Store.MissingSnapshots(ctx, id)
	if err != nil || len(list) == 0 {
		return v, err
	}
	hosts, groups := map[topics.HostID]string{}, map[topics.SourceGroupID]string{}
	var hostIDs []topics.HostID
	var groupIDs []topics.SourceGroupID
	var until int64
	for _, n := range list {
		if hosts[n.Host] == "" {
			hosts[n.Host], hostIDs = string(n.Host), append(hostIDs, n.Host)
		}
		if groups[n.SourceGroup] == "" {
			groups[n.SourceGroup], groupIDs = string(n.SourceGroup), append(groupIDs, n.SourceGroup)
		}
		if until = max(until, n.GoneAt); n.AcknowledgedAt > 0 {
			v.Known++
		} else {
			v.News++
		}
	}
	v.Until = strconv.FormatInt(until, 10)
	if err := s.Store.HostNames(ctx, hostIDs, hosts); err != nil {
		return v, err
	}
	if err := s.Store.GroupNames(ctx, groupIDs, groups); err != nil {
		return v, err
	}
	for _, known := range []bool{false, true} {
		for _, n := range list {
			if (n.AcknowledgedAt > 0) != known {
				continue
			}
			if len(v.Rows) == shownMissing {
				v.More++
				continue
			}
			row := views.MissingRow{
				ShortID: layout.Short(n.ID),
				Host:    views.Link{Text: hosts[n.Host]},
				Group:   groups[n.SourceGroup],
				Made:    s.When(n.Time),
				Since:   s.When(n.GoneAt),
				Size:    words.Bytes(n.Bytes),
				Known:   s.When(n.AcknowledgedAt),
			}
			if names[n.Host] != "" {
				row.Host.URL = views.HostURL(string(n.Host))
			}
			v.Rows = append(v.Rows, row)
		}
	}
	return v, nil
}

// AcknowledgeMissingPage says that the snapshots are known to be missing which the page
// showed.
func (s *Pages) AcknowledgeMissingPage(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	until, err := strconv.ParseInt(r.PostForm.Get("until"), 10, 64)
	if err != nil {
		return layout.BadForm(err)
	}
	if _, err := s.Repositories.AcknowledgeMissing(r.Context(), session.Of(r.Context()).Name, base.RepositoryID(r),
		repositories.Known{All: new(true), Until: &until}); err != nil {
		return err
	}
	layout.Redirect(w, r, views.RepositoryURL(base.Param(r, "id")))
	return nil
}
