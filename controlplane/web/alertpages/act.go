package alertpages

import (
	"errors"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// A deed is what a form asks to be done with alerts.
type deed struct {
	do     string // "acknowledge", "snooze", "wake" or "end"
	ids    []string
	until  int64
	typed  string // the moment until when, as typed
	reason string
}

var nothingTicked = &problem.Problem{Kind: problem.Invalid, Title: "No alert is ticked",
	Say: "Nothing was changed.", Do: "Tick those that are meant, and press the button again."}

// asked reads what a form asks for. A button of one alert names it, whatever else is ticked.
func (s *Pages) asked(r *http.Request) (d deed, err error) {
	f := r.PostForm
	d = deed{do: f.Get("do"), ids: f["id"], reason: strings.TrimSpace(f.Get("reason")), typed: f.Get("until")}
	snooze := f.Get("for")
	if one := strings.Fields(f.Get("one")); len(one) >= 2 {
		d.do, d.ids = one[0], one[1:2]
		if len(one) > 2 {
			snooze = one[2]
		}
	}
	if len(d.ids) == 0 {
		return d, nothingTicked
	}
	if d.do != "snooze" {
		return d, nil
	}
	if d.until = s.until(r.Context(), snooze); d.until == 0 {
		t, err := words.ParseTyped(r.Context(), d.typed)
		if err != nil {
			return d, field.Errors{"until": "Say until when, as a day and a time."}
		}
		d.until = t.UnixMilli()
	}
	return d, nil
}

// Act does something with one alert or with several.
func (s *Pages) Act(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx := r.Context()
	d, err := s.asked(r)
	if err == nil {
		switch d.do {
		case "acknowledge":
			_, err = s.Alerts.Acknowledge(ctx, s.actor(ctx), d.ids...)
		case "snooze":
			_, err = s.Alerts.Snooze(ctx, s.actor(ctx), d.until, d.ids...)
		case "wake":
			_, err = s.Alerts.Wake(ctx, s.actor(ctx), d.ids...)
		case "end":
			_, err = s.Alerts.End(ctx, s.actor(ctx), d.reason, d.ids...)
		default:
			err = problem.NoPage
		}
	}
	one := r.PostForm.Get("page") == "alert" && len(d.ids) == 1
	var wrong field.Errors
	switch {
	case err == nil && one:
		layout.Redirect(w, r, views.AlertURL(d.ids[0]))
		return nil
	case err == nil:
		back := base.SamePlace(r.PostForm.Get("back"))
		if !strings.HasPrefix(back, views.AlertsURL) {
			back = views.AlertsURL
		}
		layout.Redirect(w, r, back)
		return nil
	case errors.As(err, &wrong) && one:
		return s.alertPage(w, r, base.StatusOf(base.ProblemOf(err)), d.ids[0], views.AlertForm{Until: d.typed, UntilError: wrong["until"],
			Reason: d.reason, ReasonError: wrong["reason"], Problem: "Nothing was changed."})
	case errors.As(err, &wrong):
		return layout.NotSavedHere("alert", err)
	}
	return err
}
