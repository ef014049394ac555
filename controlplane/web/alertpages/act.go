package alertpages

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
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

// errUnticked is the error that a form names no alert.
var errUnticked = errors.New("no alert is ticked")

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
		return d, errUnticked
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
	case errors.As(err, &wrong), errors.Is(err, errUnticked):
		return s.actAgain(w, r, d, wrong)
	}
	return err
}

// actAgain shows the list with what was ticked and typed, and what was wrong with it.
func (s *Pages) actAgain(w http.ResponseWriter, r *http.Request, d deed, wrong field.Errors) error {
	back, err := url.Parse(base.SamePlace(r.PostForm.Get("back")))
	if err != nil {
		back = &url.URL{}
	}
	q := back.Query()
	f := views.AlertFilterOf(q)
	_, page := layout.ListPlace(q)
	m, err := s.Moment(r.Context())
	if err != nil {
		return err
	}
	v, err := s.read(r.Context(), f, page, q.Get("after"), m)
	if err != nil {
		return err
	}
	form := views.AlertBulk{Reason: d.reason, ReasonError: wrong["reason"], Problem: "Nothing was changed."}
	if wrong == nil {
		form.Problem += " Tick the alerts that are meant, and press the button again."
	}
	for name, say := range wrong {
		if name != "reason" {
			form.Problem += " " + say
		}
	}
	at := slices.IndexFunc(v.Sections, func(x views.AlertSection) bool { return x.State == r.PostForm.Get("section") })
	if at < 0 { // what was ticked has another state by now
		at = slices.IndexFunc(v.Sections, func(x views.AlertSection) bool { return x.State != "today" && x.State != "ended" })
	}
	if at < 0 {
		layout.Redirect(w, r, v.Back)
		return nil
	}
	v.Sections[at].Form = form
	for _, x := range v.Sections {
		for _, g := range x.Groups {
			for k := range g.Rows {
				g.Rows[k].Ticked = slices.Contains(d.ids, g.Rows[k].ID)
			}
		}
	}
	// Nothing on the page moves by itself, so that what is ticked stays.
	s.Render(w, r, http.StatusUnprocessableEntity, views.AlertsPage(s.Shell(r, "Alerts", "alerts", views.Link{Text: "Alerts"}), v))
	return nil
}
