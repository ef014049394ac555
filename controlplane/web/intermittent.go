package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

const mostOverdueDays = 365

func checkOverdueDays(n int64) string {
	if n < 0 || n > mostOverdueDays {
		return fmt.Sprintf("overdue_days: %d is not between 0 and %d.", n, mostOverdueDays)
	}
	return ""
}

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

// putHost says what kind of host one is; what is left out stays as it is.
func (s *Server) putHost(ctx context.Context, in *putHostIn) (*putHostOut, error) {
	h, err := s.host(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	set(&h.Intermittent, in.Body.Intermittent)
	set(&h.OverdueDays, in.Body.OverdueDays)
	if err := invalid("host", checkOverdueDays(h.OverdueDays)); err != nil {
		return nil, err
	}
	if err := s.setIntermittent(ctx, h); err != nil {
		return nil, err
	}
	out := &putHostOut{}
	out.Body.Intermittent, out.Body.OverdueDays = h.Intermittent, h.OverdueDays
	return out, nil
}

func (s *Server) setIntermittent(ctx context.Context, h store.Host) error {
	err := s.Store.SetIntermittent(ctx, visitorOf(ctx).name, h.ID, h.Intermittent, h.OverdueDays)
	if err == nil {
		s.Changed(h.ID)
	}
	return err
}

// saveIntermittent takes the form on a host's page.
func (s *Server) saveIntermittent(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	h, err := s.host(r.Context(), hostID(r))
	if err != nil {
		return err
	}
	h.Intermittent = r.PostForm.Get("intermittent") == "true"
	if h.OverdueDays, err = strconv.ParseInt(strings.TrimSpace(r.PostForm.Get("overdue_days")), 10, 64); err != nil || checkOverdueDays(h.OverdueDays) != "" {
		return &problem.Problem{Kind: problem.Invalid, Title: "It was not saved", Say: fmt.Sprintf("Overdue after days is a number from 0 to %d; 0 is never.", mostOverdueDays), Do: "Change it and save again."}
	}
	if err := s.setIntermittent(r.Context(), h); err != nil {
		return err
	}
	redirect(w, r, views.HostURL(string(h.ID)))
	return nil
}
