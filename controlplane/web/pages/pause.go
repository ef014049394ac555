package pages

import (
	"net/http"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// PauseHost takes the form on a host's page: for one of the usual spans, or until a moment
// by the viewer's clock.
func (s *Pages) PauseHost(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	var until time.Time
	if text := r.PostForm.Get("until"); text != "" {
		at, err := words.ParseTyped(r.Context(), text)
		if err != nil {
			return layout.NotSavedHere("pause", field.Errors{"until": "Give a moment, such as 2026-11-30 07:00."})
		}
		until = at
	} else if text := r.PostForm.Get("for"); text != "" {
		span, err := time.ParseDuration(text)
		if err != nil {
			return layout.NotSavedHere("pause", field.Errors{"until": "Choose for how long."})
		}
		until = s.Now().Add(span)
	}
	if _, err := s.Pauses.Pause(r.Context(), session.Of(r.Context()).Name, base.HostID(r), until); err != nil {
		return layout.NotSavedHere("pause", err)
	}
	layout.Redirect(w, r, views.HostURL(string(base.HostID(r))))
	return nil
}

// ResumeHost has a host's schedules go on.
func (s *Pages) ResumeHost(w http.ResponseWriter, r *http.Request) error {
	if _, _, err := s.Pauses.Resume(r.Context(), session.Of(r.Context()).Name, base.HostID(r)); err != nil {
		return layout.NotSavedHere("pause", err)
	}
	layout.Redirect(w, r, views.HostURL(string(base.HostID(r))))
	return nil
}

// pauseOf is what a host's page shows of its pause.
func (s *Pages) pauseOf(h store.Host) views.HostPause {
	p, paused := h.Paused(s.Now().UnixMilli())
	if !paused {
		return views.HostPause{}
	}
	return views.HostPause{By: p.By, From: s.When(p.From), Until: s.When(p.Until)}
}
