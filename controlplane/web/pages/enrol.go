package pages

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// stateDir is the agent's state directory in the commands on the add-host page.
const stateDir = "/var/lib/restic-manager-agent"

func (s *Pages) AddHostForm(w http.ResponseWriter, r *http.Request) error {
	return s.addHostPage(w, r, http.StatusOK, views.AddHost{Drill: true}, "")
}

func (s *Pages) addHostPage(w http.ResponseWriter, r *http.Request, status int, a views.AddHost, token string) error {
	sh := s.Shell(r, "Add host", "add", layout.ToFleet, views.Link{Text: "Add host"})
	if a.HostID != "" {
		sh = s.Shell(
			r,
			"Enrol again",
			"fleet",
			layout.ToFleet,
			views.Link{Text: a.Name, URL: views.HostURL(a.HostID)},
			views.Link{Text: "Enrol again"},
		)
	}
	if token != "" {
		sh.Stream = views.EnrolStream(token)
	}
	s.Render(w, r, status, views.AddHostPage(sh, a))
	return nil
}

// AddHost creates an enrolment token and shows it; it cannot be shown again.
func (s *Pages) AddHost(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	a := views.AddHost{Name: strings.TrimSpace(r.PostForm.Get("name")), Drill: r.PostForm.Get("drill") == "true"}
	id, token, err := s.Desk.Offer(r.Context(), session.Of(r.Context()).Name,
		enroll.Input{Name: a.Name, Life: enroll.TokenLife, Drill: a.Drill})
	var wrong field.Errors
	if errors.As(err, &wrong) {
		a.Error = wrong["name"]
		return s.addHostPage(w, r, http.StatusUnprocessableEntity, a, "")
	} else if err != nil {
		return err
	}
	return s.tokenPage(w, r, a, id, token)
}

// tokenPage shows a new token and follows its use.
func (s *Pages) tokenPage(w http.ResponseWriter, r *http.Request, a views.AddHost, id string, token topics.EnrollToken) error {
	row, err := s.Store.EnrollToken(r.Context(), id)
	if err != nil {
		return err
	}
	if a.Status, _, err = s.enrol(r.Context(), row); err != nil {
		return err
	}
	a.Token = &views.Token{Secret: token.Reveal(), Server: AgentsAddress(s.Agents, r), State: stateDir,
		Valid: "Valid for " + words.Duration(enroll.TokenLife) + ", for one host", Expires: s.When(row.ExpiresAt)}
	if a.HostID != "" {
		a.Token.Valid = "Valid for " + words.Duration(enroll.TokenLife) + ", for " + a.Name + " alone"
	}
	return s.addHostPage(w, r, http.StatusOK, a, id)
}

// AgentsAddress returns the address a new agent should dial. A loopback or
// unspecified address means nothing on another machine; then it uses the name by
// which the browser reached this server.
func AgentsAddress(configured string, r *http.Request) string {
	host, port, err := net.SplitHostPort(configured)
	if err != nil {
		return configured
	}
	ip := net.ParseIP(host)
	if host == "" || host == "localhost" || ip != nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		return net.JoinHostPort(strings.Trim(layout.HostOf(r), "[]"), port)
	}
	return configured
}

// enrol returns the progress of an enrolment; over means that nothing more will
// change.
func (s *Pages) enrol(ctx context.Context, t store.EnrollToken) (e views.Enrol, over bool, err error) {
	now := s.Now()
	if t.UsedAt == 0 && now.UnixMilli() > t.ExpiresAt {
		return views.Enrol{
			State:   "expired",
			Title:   "The token has expired",
			Text:    "Nobody used it. Create a new one and run the first command again.",
			Name:    t.Name,
			Drill:   t.Drill,
			ForHost: string(t.ForHost),
		}, true, nil
	}
	if t.UsedAt == 0 {
		return views.Enrol{State: "waiting", Title: "Waiting for the agent…", Name: t.Name,
			Text: "This page changes by itself as soon as the host reports in. You can leave it open."}, false, nil
	}
	h, err := s.Store.Host(ctx, t.Host)
	if err != nil {
		return e, false, err
	}
	e = views.Enrol{HostID: string(h.ID), Host: h.Name, Name: t.Name, ForHost: string(t.ForHost), Steps: []views.Step{
		views.DoneStep("Token accepted", "", s.When(t.UsedAt)),
		views.DoneStep(
			"Keys made and certified",
			"Good until "+words.Clock(ctx, base.At(h.CertifiedUntil), now)+", renewed before",
			s.When(t.UsedAt),
		)}}
	c, _ := s.Presence.Connection(h.ID)
	if c != hosts.Online || !s.Presence.Reachable(h.ID) {
		e.State, e.Title = "connecting", h.Name+" has its certificate"
		e.Text = "Now start the agent with the second command."
		e.Steps = append(e.Steps, views.OpenStep("Agent connected", ""))
		return e, false, nil
	}
	e.State, e.Title = "connected", h.Name+" is connected"
	e.Text = base.System(h) + ", " + h.Arch + ". Agent " + layout.Said(h.AgentVersion) + ", restic " + layout.Said(h.ResticVersion) + "."
	policy := "Policy " + layout.Said(h.Policy) + ": " + views.Allowed(layout.KindNames(h))
	e.Steps = append(e.Steps, views.DoneStep("Agent connected", policy, views.When{}))
	if t.ForHost != "" {
		return e, true, nil
	}
	groups, err := s.Store.SourceGroups(ctx, h.ID)
	if err != nil {
		return e, false, err
	}
	jobs, err := s.Store.JobsOf(ctx, h.ID, 20)
	if err != nil {
		return e, false, err
	}
	backup := slices.IndexFunc(jobs, func(j store.Job) bool { return j.Kind == topics.BackupJob }) // beside what makes its repository
	e.NeedsGroup = len(groups) == 0
	if e.NeedsGroup {
		e.Steps = append(e.Steps, views.OpenStep("Repository", "Choose what to back up, and where to"), views.OpenStep("First backup", ""))
		return e, false, nil
	}
	r, err := s.Store.Repository(ctx, groups[0].Repository)
	if err != nil {
		return e, false, err
	}
	place, err := s.Store.PlaceOf(ctx, r.ID, h.ID)
	if err != nil {
		return e, false, err
	}
	if place.Ready() {
		e.Steps = append(e.Steps, views.DoneStep("Repository", r.Name+" is there and opens", s.When(place.ReadyAt)))
	} else {
		e.Steps = append(e.Steps, views.OpenStep("Repository", r.Name+" is made before the first backup"))
	}
	if backup < 0 {
		e.Steps = append(e.Steps, views.OpenStep("First backup", ""))
		return e, false, nil
	}
	j := jobs[backup]
	e.JobID = string(j.ID)
	switch {
	case j.State == topics.Succeeded || j.State == topics.Warnings:
		e.Steps = append(e.Steps, views.DoneStep("First backup", views.JobStatus(string(j.State)).Word, s.When(j.FinishedAt)))
	case j.State.Ended():
		e.Steps = append(e.Steps, views.OpenStep("First backup", views.JobStatus(string(j.State)).Word+": "+j.Message))
	default:
		e.Steps = append(e.Steps, views.OpenStep("First backup", views.JobStatus(string(j.State)).Word+", asked for by "+layout.AskedBy(j)))
	}
	return e, j.State.Ended(), nil
}

// EnrolStream sends the progress of an enrolment as it changes.
func (s *Pages) EnrolStream(id string) layout.Draw {
	return func(ctx context.Context, p *layout.Painter, _ map[topics.HostID]bool) error {
		row, err := s.Store.EnrollToken(ctx, id)
		if err != nil {
			return err
		}
		e, over, err := s.enrol(ctx, row)
		if err != nil {
			return err
		}
		p.Morph("enrol-status", views.EnrolStatus(e))
		p.End = over
		return nil
	}
}

func (s *Pages) HasToken(ctx context.Context, id string) error {
	_, err := s.Store.EnrollToken(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return &problem.Problem{
			Kind:  problem.NotFound,
			Title: "There is no such token",
			Say:   "It was never made here.",
			Do:    "Make one on the page Add host.",
		}
	}
	return err
}
