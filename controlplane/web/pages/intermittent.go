package pages

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/views"
)

// SaveIntermittent takes the form on a host's page.
func (s *Pages) SaveIntermittent(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	days, err := strconv.ParseInt(strings.TrimSpace(r.PostForm.Get("overdue_days")), 10, 64)
	if err != nil {
		days = -1 // what is no number is refused like one that is out of range
	}
	in := hosts.Input{Intermittent: new(r.PostForm.Get("intermittent") == "true"), OverdueDays: &days}
	if r.PostForm.Has("jobs_at_once") {
		n, err := strconv.Atoi(strings.TrimSpace(r.PostForm.Get("jobs_at_once")))
		if err != nil {
			n = 0
		}
		in.JobsAtOnce = &n
	}
	if _, err := s.HostSettings.Put(r.Context(), session.Of(r.Context()).Name, base.HostID(r), in); err != nil {
		return layout.NotSavedHere("host", err)
	}
	layout.Redirect(w, r, views.HostURL(string(base.HostID(r))))
	return nil
}
