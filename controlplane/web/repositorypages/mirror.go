package repositorypages

import (
	"context"
	"errors"
	"net/http"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/mirroring"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// mirrorView is where a repository is copied to, how that goes, and of which it is the
// mirror.
func (s *Pages) mirrorView(ctx context.Context, r store.Repository) (views.Mirror, error) {
	v := views.Mirror{RepositoryID: string(r.ID), Cron: mirroring.UsualCron}
	all, err := s.Store.Repositories(ctx)
	if err != nil {
		return v, err
	}
	names := map[topics.RepositoryID]string{}
	for _, other := range all {
		names[other.ID] = other.Name
		if other.ID != r.ID && !location.PerHost(other.Location) {
			v.Targets = append(v.Targets, views.Option{Value: string(other.ID), Text: other.Name})
		}
	}
	into, err := s.Store.MirrorsInto(ctx, r.ID)
	if err != nil {
		return v, err
	}
	for _, m := range into {
		v.Of = append(v.Of, views.Link{Text: names[m.Repository], URL: views.RepositoryURL(string(m.Repository))})
	}
	hosts, err := s.Store.Hosts(ctx)
	if err != nil {
		return v, err
	}
	v.Hosts = []views.Option{{Text: "The keeper of the mirror"}}
	for _, h := range hosts {
		v.Hosts = append(v.Hosts, views.Option{Value: string(h.ID), Text: h.Name})
	}
	m, err := mirroring.Of(ctx, s.Store, r.ID, s.Now())
	if errors.Is(err, mirroring.ErrNone) {
		return v, nil
	} else if err != nil {
		return v, err
	}
	v.To = views.Link{Text: m.TargetName, URL: views.RepositoryURL(string(m.Target))}
	v.Target, v.Host, v.Cron, v.Zone, v.HostName = string(m.Target), string(m.Host), m.Cron, m.Zone, m.HostName
	v.GoodAt, v.OtherCuts, v.Running, v.Held = s.When(m.GoodAt), m.OtherCuts, m.Open, m.Held
	if !m.Next.IsZero() {
		v.Next = s.When(m.Next.UnixMilli())
	}
	switch {
	case m.Snapshots > 0:
		v.Behind = words.Count(uint64(m.Snapshots), "snapshot", "snapshots") + " behind"
		v.BehindSince = s.When(m.Oldest)
	case m.GoodAt > 0:
		v.Behind = "up to date"
	default:
		v.Behind = "nothing copied yet"
	}
	if m.Last != nil {
		v.JobURL = views.JobURL(string(m.Last.ID))
		if m.Last.State.Ended() && m.Last.State != topics.Succeeded {
			v.Failed = jobs.Explain(m.Last.Kind, m.Last.Cause, m.Last.State).Cause
		}
	}
	return v, nil
}

// SaveMirror has a repository copied into another.
func (s *Pages) SaveMirror(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	in := mirroring.Input{To: new(r.PostForm.Get("to")), Cron: new(r.PostForm.Get("cron"))}
	if r.PostForm.Has("host") { // the empty one is the keeper
		in.Host = new(r.PostForm.Get("host"))
	}
	if zone := r.PostForm.Get("zone"); zone != "" {
		in.Zone = &zone
	}
	if err := s.Mirrors.Put(r.Context(), session.Of(r.Context()).Name, base.RepositoryID(r), in); err != nil {
		return layout.NotSavedHere("mirror", err)
	}
	layout.Redirect(w, r, views.RepositoryURL(base.Param(r, "id"))+"#mirror")
	return nil
}

// RemoveMirror has a repository not copied any more.
func (s *Pages) RemoveMirror(w http.ResponseWriter, r *http.Request) error {
	if err := s.Mirrors.Drop(r.Context(), session.Of(r.Context()).Name, base.RepositoryID(r)); err != nil {
		return err
	}
	layout.Redirect(w, r, views.RepositoryURL(base.Param(r, "id"))+"#mirror")
	return nil
}

// CopyNow copies into the mirror of a repository.
func (s *Pages) CopyNow(w http.ResponseWriter, r *http.Request) error {
	id := base.RepositoryID(r)
	m, err := mirroring.Of(r.Context(), s.Store, id, s.Now())
	if err != nil {
		return err
	}
	j, _, err := s.Jobs.Start(r.Context(), session.Of(r.Context()).Actor(), jobs.Request{Host: m.Host, Kind: topics.CopyJob, Repository: id,
		Operation: topics.Operation{To: string(m.Target)}})
	if err != nil {
		return err
	}
	layout.Redirect(w, r, views.JobURL(string(j.ID)))
	return nil
}
