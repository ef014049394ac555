package web

import (
	"net/http"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/live"
	"github.com/restic-manager/restic-manager/controlplane/web/repositorypages"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// events is the one stream of a browser's tab. It ends with the session, with
// the server, and when the browser goes; none of these is an error any more.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	q, v := r.URL.Query(), session.Of(r.Context())
	var d layout.Draw
	switch q.Get("view") {
	case "fleet":
		d = s.pages.FleetStream(q)
	case "start":
		if !v.May(rights.Hosts) {
			return base.Forbidden(v, rights.Hosts)
		}
		d = s.pages.StartStream()
	case "jobs":
		d = s.jobs.JobsStream(q, v)
	case "host":
		if _, err := s.Host(r.Context(), topics.HostID(q.Get("id"))); err != nil {
			return err
		}
		d = s.pages.HostStream(topics.HostID(q.Get("id")))
	case "audit":
		if !v.May(rights.Audit) {
			return base.Forbidden(v, rights.Audit)
		}
		var err error
		if d, err = s.pages.AuditStream(r.Context(), q); err != nil {
			return err
		}
	case "alerts":
		d = s.alerts.ListStream(q)
	case "alert":
		var err error
		if d, err = s.alerts.AlertStream(r.Context(), q.Get("id")); err != nil {
			return err
		}
	case "mqtt":
		d = s.mqtt.Stream(r)
	case "updates":
		d = s.updates.Stream()
	case "restics":
		d = s.updates.ResticsStream()
	case "rollout":
		var err error
		if d, err = s.updates.RolloutStream(r.Context(), q); err != nil {
			return err
		}
	case "schedules":
		d = s.pages.SchedulesStream(q)
	case "repositories":
		d = s.repos.RepositoriesStream(q)
	case "repository":
		id, f := topics.RepositoryID(q.Get("id")), repositorypages.Filter(q)
		if _, err := s.Repository(r.Context(), id); err != nil {
			return err
		}
		if _, err := s.repos.SnapshotPlace(r.Context(), id, f.After); err != nil {
			return err
		}
		d = s.repos.RepositoryStream(id, f)
	case "restore":
		if !v.May(rights.Restore) {
			return base.Forbidden(v, rights.Restore)
		}
		var err error
		if d, err = s.restores.ReviewStream(r, q.Get("id")); err != nil {
			return err
		}
	case "enrol":
		if !v.May(rights.Hosts) {
			return base.Forbidden(v, rights.Hosts)
		}
		if err := s.pages.HasToken(r.Context(), q.Get("token")); err != nil {
			return err
		}
		d = s.pages.EnrolStream(q.Get("token"), func(e views.Enrol) views.Enrol { return e })
	case "replacement":
		id, token := topics.HostID(q.Get("id")), q.Get("token")
		if _, err := s.Host(r.Context(), id); err != nil {
			return err
		}
		var enrol layout.Draw
		if token != "" {
			if !v.May(rights.Hosts) {
				return base.Forbidden(v, rights.Hosts)
			}
			if err := s.pages.HasToken(r.Context(), token); err != nil {
				return err
			}
			enrol = s.pages.EnrolStream(token, views.OfReplacement)
		}
		d = s.replacements.Stream(id, enrol)
	case "job":
		j, err := s.Job(r.Context(), topics.JobID(q.Get("id")))
		if err != nil {
			return err
		}
		return s.jobs.Events(w, r, j)
	default:
		return problem.NoPage
	}
	ctx, end, err := s.Begin(r)
	if err != nil {
		return err
	}
	defer end()
	t := s.layout.Open(w, q.Get("view"))
	err = live.Watch(ctx, s.Bell, t, s.layout.Drawing(r, d))
	s.LogEnd(r, layout.Parting(ctx, t, err))
	return nil
}
