package pages

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/handout"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

func (s *Pages) AddHostForm(w http.ResponseWriter, r *http.Request) error {
	a := views.AddHost{Drill: true, System: r.URL.Query().Get("for"), Policy: handout.Policies[0].Name}
	if err := s.choices(r.Context(), &a); err != nil {
		return err
	}
	return s.addHostPage(w, r, http.StatusOK, a, "")
}

// choices fills in what the form offers.
func (s *Pages) choices(ctx context.Context, a *views.AddHost) error {
	at, err := s.Reach.Of(ctx)
	if err != nil {
		return err
	}
	a.Unreached = views.Unreached(at.Say, at.Do)
	if a.System != handout.Windows {
		a.System = handout.Linux
	}
	for _, p := range handout.Policies {
		a.Policies = append(a.Policies, views.PolicyChoice{Name: p.Name, Title: p.Title, Text: p.Text})
	}
	return nil
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
	p := r.PostForm
	a := views.AddHost{Name: strings.TrimSpace(p.Get("name")), Drill: p.Get("drill") == "true", System: p.Get("system"),
		Policy: cmp.Or(p.Get("policy"), handout.Policies[0].Name), Roots: p.Get("restore_root")}
	want := handout.Want{System: a.System, Policy: a.Policy, RestoreRoots: layout.Lines(a.Roots)}
	var amiss field.Errors
	if err := want.Check(); errors.As(err, &amiss) {
		a.Errors = amiss
		if err := s.choices(r.Context(), &a); err != nil {
			return err
		}
		return s.addHostPage(w, r, http.StatusUnprocessableEntity, a, "")
	}
	id, token, err := s.Desk.Offer(r.Context(), session.Of(r.Context()).Name,
		enroll.Input{Name: a.Name, Life: enroll.TokenLife, Drill: a.Drill})
	var wrong field.Errors
	if errors.As(err, &wrong) {
		a.Error = wrong["name"]
		if err := s.choices(r.Context(), &a); err != nil {
			return err
		}
		return s.addHostPage(w, r, http.StatusUnprocessableEntity, a, "")
	} else if err != nil {
		return err
	}
	return s.tokenPage(w, r, a, want, id, token)
}

// tokenPage shows a new token with the commands for a host that somebody wants, and follows
// its use.
func (s *Pages) tokenPage(w http.ResponseWriter, r *http.Request, a views.AddHost, want handout.Want, id string,
	token topics.EnrollToken,
) error {
	row, err := s.Store.EnrollToken(r.Context(), id)
	if err != nil {
		return err
	}
	if a.Status, _, err = s.enrol(r.Context(), row); err != nil {
		return err
	}
	c, err := s.Handout.Commands(r.Context(), token.Reveal(), want)
	if err != nil {
		return err
	}
	a.Unreached = views.Unreached(c.Say, c.Remedy)
	a.System = want.System
	again := a.HostID != "" || a.CopyOf != ""
	if again { // the agent is there already, and its policy stays
		c.Install, c.Why, c.Files, c.Enrol = "", "", nil, c.Enrol+" --again"
	}
	a.Token = &views.Token{Secret: token.Reveal(), Server: c.Server, State: handout.StateOf(want.System),
		Install: c.Install, Pinned: c.Pinned, Enrol: c.Enrol, Start: c.Start, Files: handedFiles(c.Files),
		Valid: "Valid for " + words.Duration(enroll.TokenLife) + ", for one host", Expires: s.When(row.ExpiresAt)}
	if c.Why != "" {
		a.Token.Why = &views.Note{Tone: "info", Title: c.Why, Text: c.Do}
		if len(c.Files) == 0 {
			a.Token.Why.Tone = "warn"
		}
	}
	if a.HostID != "" {
		a.Token.Valid = "Valid for " + words.Duration(enroll.TokenLife) + ", for " + a.Name + " alone"
	}
	return s.addHostPage(w, r, http.StatusOK, a, id)
}

// handedFiles are files to download by hand.
func handedFiles(list []handout.File) (out []views.HandedFile) {
	for _, f := range list {
		out = append(out, views.HandedFile{Name: f.Name, URL: handout.FilesPath + f.Name, SHA256: f.SHA256,
			What: f.Arch + ", " + words.Bytes(uint64(f.Size))})
	}
	return out
}

// enrol returns the progress of an enrolment; over means that nothing more will
// change.
func (s *Pages) enrol(ctx context.Context, t store.EnrollToken) (e views.Enrol, over bool, err error) {
	now := s.Now()
	if t.UsedAt == 0 && now.UnixMilli() > t.ExpiresAt {
		return views.Enrol{
			State:   "expired",
			Title:   "The token has expired",
			Text:    "Nobody used it. Create a new one and run the command again.",
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
		e.Text = "Now start the agent, unless the command on the host does so."
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
		e.Fits = sources.Fits(h.OS, h.Intermittent)[0].Value
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

// EnrolStream sends the progress of an enrolment as it changes, in the words of the page
// that shows it.
func (s *Pages) EnrolStream(id string, as func(views.Enrol) views.Enrol) layout.Draw {
	return func(ctx context.Context, p *layout.Painter, _ map[topics.HostID]bool) error {
		row, err := s.Store.EnrollToken(ctx, id)
		if err != nil {
			return err
		}
		e, over, err := s.enrol(ctx, row)
		if err != nil {
			return err
		}
		p.Morph("enrol-status", views.EnrolStatus(as(e)))
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
