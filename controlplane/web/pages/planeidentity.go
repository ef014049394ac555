package pages

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/views"
)

// mostLeft is how many of the hosts that have not moved the page names.
const mostLeft = 200

// IdentityPage shows by which identity hosts know the control plane, and how far a
// change of it has come.
func (s *Pages) IdentityPage(w http.ResponseWriter, r *http.Request) error {
	return s.showIdentity(w, r, http.StatusOK, views.PlaneIdentity{})
}

func (s *Pages) showIdentity(w http.ResponseWriter, r *http.Request, status int, v views.PlaneIdentity) error {
	now, err := s.Desk.Succession(r.Context(), s.Presence.Reachable)
	if err != nil {
		return err
	}
	v.Moved, v.All, v.Phrase = now.Moved, now.All, enroll.ReplacePhrase
	if p := now.Plan; p != nil {
		v.Changing, v.Back, v.Began, v.Until = true, p.Back, s.When(p.Began), s.When(p.Until)
	}
	for i, h := range now.Left {
		if i == mostLeft {
			break
		}
		v.Left = append(v.Left, views.LeftHost{Host: views.Link{Text: h.Name, URL: views.HostURL(h.ID)}, Agent: layout.Said(h.Agent),
			Online: h.Online})
	}
	v.More = len(now.Left) - len(v.Left)
	s.Render(w, r, status, views.IdentityPage(s.Shell(r, "Identity", "settings",
		views.Link{Text: "Settings", URL: "/settings"}, views.Link{Text: "Identity"}), v))
	return nil
}

// TakeStep takes every form of the page.
func (s *Pages) TakeStep(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	f := r.PostForm
	days, err := strconv.ParseInt(strings.TrimSpace(f.Get("days")), 10, 32)
	if err != nil || days > 10_000 {
		days = 0 // what is no number is refused like one that is out of bounds
	}
	step := enroll.Step{Do: f.Get("do"), For: time.Duration(days) * 24 * time.Hour, Leave: f.Get("leave_behind") != "",
		Confirm: f.Get("confirm")}
	err = s.Desk.Take(r.Context(), session.Of(r.Context()).Name, step)
	var wrong field.Errors
	if errors.As(err, &wrong) {
		return s.showIdentity(w, r, http.StatusUnprocessableEntity, views.PlaneIdentity{Errors: wrong, Days: f.Get("days"),
			Confirm: f.Get("confirm"), Asked: step.Do, Problem: "Nothing was changed."})
	} else if err != nil {
		return err
	}
	layout.Redirect(w, r, enroll.Page)
	return nil
}
