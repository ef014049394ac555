package alertpages

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	core "github.com/restic-manager/restic-manager/controlplane/alerts"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// PausesPage shows when nobody is told.
func (s *Pages) PausesPage(w http.ResponseWriter, r *http.Request) error {
	f := views.PauseForm{Kind: core.PauseHost, Until: words.Typed(r.Context(), s.Now().Add(2*time.Hour).Truncate(time.Minute))}
	if host := r.URL.Query().Get("host"); host != "" {
		m, err := s.Moment(r.Context())
		if err != nil {
			return err
		}
		if e := m.Find(host); e != nil {
			f.Subject = e.Name
		}
	}
	return s.pausesPage(w, r, http.StatusOK, f)
}

func (s *Pages) pausesPage(w http.ResponseWriter, r *http.Request, status int, f views.PauseForm) error {
	ctx := r.Context()
	m, err := s.Moment(ctx)
	if err != nil {
		return err
	}
	list, err := s.Alerts.Pauses(ctx)
	if err != nil {
		return err
	}
	v := views.Pauses{Tabs: s.tabs(ctx, "pauses"), Form: f}
	for _, p := range list {
		v.List = append(v.List, s.PauseOf(p, m))
	}
	sh := s.Shell(r, "Pauses", "alerts", toAlerts, views.Link{Text: "Pauses"})
	s.Render(w, r, status, views.PausesPage(sh, v))
	return nil
}

// AddPause pauses being told.
func (s *Pages) AddPause(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, form := r.Context(), r.PostForm
	f := views.PauseForm{Kind: form.Get("kind"), Subject: strings.TrimSpace(form.Get("subject")),
		Reason: strings.TrimSpace(form.Get("reason")),
		From:   form.Get("from"), Until: form.Get("until")}
	p, wrong := alerts.Pause{Kind: f.Kind, Reason: f.Reason}, field.Errors{}
	switch f.Kind {
	case core.PauseTag:
		p.Subject, _ = hosts.Tag(f.Subject) // one that is none is refused below
	case core.PauseHost:
		m, err := s.Moment(ctx)
		if err != nil {
			return err
		}
		p.Subject = f.Subject // one that is none is refused below
		if e := m.Find(f.Subject); e != nil {
			p.Subject = string(e.ID)
		}
	}
	moment := func(name, text string) int64 {
		t, err := words.ParseTyped(ctx, text)
		if err != nil {
			wrong.Say(name, "Give a day and a time.")
			return 0
		}
		return t.UnixMilli()
	}
	if f.From != "" {
		p.From = moment("from", f.From)
	}
	p.Until = moment("until", f.Until)
	err := wrong.Err()
	if err == nil {
		_, err = s.Alerts.Pause(ctx, s.actor(ctx), p)
	}
	if err == nil {
		layout.Redirect(w, r, views.AlertPausesURL)
		return nil
	}
	if !errors.As(err, &wrong) {
		return err
	}
	f.Errors, f.Problem = wrong, "Nothing was paused."
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		if !slices.Contains([]string{"subject", "reason", "from", "until"}, name) {
			f.Problem += " " + wrong[name]
		}
	}
	return s.pausesPage(w, r, http.StatusUnprocessableEntity, f)
}

// EndPause ends a pause now.
func (s *Pages) EndPause(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	_, err := s.Alerts.Unpause(r.Context(), s.actor(r.Context()), r.PostForm.Get("id"))
	if err != nil && !errors.Is(err, alerts.ErrNone) { // pressed twice
		return err
	}
	layout.Redirect(w, r, views.AlertPausesURL)
	return nil
}
