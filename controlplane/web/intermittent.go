package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

type putHostIn struct {
	ID   topics.HostID `path:"id"`
	Body struct {
		Intermittent *bool  `json:"intermittent,omitempty" doc:"it comes and goes, as laptops do"`
		OverdueDays  *int64 `json:"overdue_days,omitempty" doc:"without a good backup, until it is overdue, 0 to 365; 0 is never"`
	}
}

type putHostOut struct {
	Body struct {
		Intermittent bool  `json:"intermittent"`
		OverdueDays  int64 `json:"overdue_days"`
	}
}

// putHost changes a host's settings; what is left out stays as it is.
func (s *Server) putHost(ctx context.Context, in *putHostIn) (*putHostOut, error) {
	h, err := s.hostSettings.Put(ctx, session.Of(ctx).Name, in.ID, hosts.Input{Intermittent: in.Body.Intermittent, OverdueDays: in.Body.OverdueDays})
	if err != nil {
		return nil, problem.Saving("host", err)
	}
	out := &putHostOut{}
	out.Body.Intermittent, out.Body.OverdueDays = h.Intermittent, h.OverdueDays
	return out, nil
}

// saveIntermittent takes the form on a host's page.
func (s *Server) saveIntermittent(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	days, err := strconv.ParseInt(strings.TrimSpace(r.PostForm.Get("overdue_days")), 10, 64)
	if err != nil {
		days = -1 // what is no number is refused like one that is out of range
	}
	in := hosts.Input{Intermittent: new(r.PostForm.Get("intermittent") == "true"), OverdueDays: &days}
	if _, err := s.hostSettings.Put(r.Context(), session.Of(r.Context()).Name, hostID(r), in); err != nil {
		return notSavedHere("host", err)
	}
	redirect(w, r, views.HostURL(string(hostID(r))))
	return nil
}
