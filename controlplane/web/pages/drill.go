package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/drills"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	drillstore "github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// proofOf is whether a host is proven restorable, as pages show it.
func (s *Pages) proofOf(e *fleet.Entry) views.Proof {
	return views.Proof{Word: string(e.Proof.Word), Old: e.Proof.TooOld(), At: s.When(e.Proof.At), Job: string(e.Proof.Job), Why: e.Proof.Why}
}

// drillOf is what a host's page says of its drills.
func (s *Pages) drillOf(ctx context.Context, h store.Host, e *fleet.Entry) (views.HostDrill, error) {
	plan, said, err := s.Drills.Plan(ctx, h)
	if err != nil {
		return views.HostDrill{}, err
	}
	d := views.HostDrill{Proof: s.proofOf(e), Own: said && plan.Kind == drillstore.OfHost, Counts: drills.Why(h, plan, said),
		NoRun: s.WhyNot(h, topics.DrillJob), Form: drillForm(plan, "own", views.DrillURL(string(h.ID)), "Try restores of this host")}
	if d.NoRun == "" && !h.Able(topics.RunsDrills) {
		d.NoRun = "Its agent is of an older version that runs no drills: update it."
	}
	if next := drills.Next(h, plan, s.Now()); !next.IsZero() {
		d.Next = s.When(next.UnixMilli())
	}
	for _, g := range e.Groups {
		row := views.DrillGroup{Name: g.Name}
		if v := g.Drill; v != nil {
			row = views.DrillGroup{Name: g.Name, Tried: true, Proven: v.Proven, Why: v.Why, At: s.When(v.At), Job: string(v.Job),
				ProvenAt: s.When(v.ProvenAt)}
		}
		d.Groups = append(d.Groups, row)
	}
	return d, nil
}

const mib = 1 << 20

// drillForm is a plan in a form; what it shows in MiB is rounded up.
func drillForm(p drillstore.Plan, id, action, label string) views.DrillForm {
	return views.DrillForm{Enabled: p.Enabled, Cron: p.Cron, Zone: p.Zone, Files: strconv.Itoa(p.Files),
		MiB: strconv.FormatInt((p.Bytes+mib-1)/mib, 10), ID: id, Action: action, Label: label}
}

// drillInput reads a posted form of a plan; was is the plan as the form showed it.
func drillInput(form url.Values, was drillstore.Plan) drills.Input {
	in := drills.Input{Enabled: new(form.Get("enabled") == "true")}
	if form.Has("cron") {
		in.Cron = new(strings.TrimSpace(form.Get("cron")))
	}
	if form.Has("zone") {
		in.Zone = new(strings.TrimSpace(form.Get("zone")))
	}
	if form.Has("files") {
		n, err := strconv.Atoi(strings.TrimSpace(form.Get("files")))
		if err != nil {
			n = 0 // what is no number is refused like one that is out of range
		}
		in.Files = &n
	}
	if form.Has("mib") {
		n, err := strconv.ParseInt(strings.TrimSpace(form.Get("mib")), 10, 64)
		switch {
		case err != nil || n < 1: // what is no number is refused like one that is out of range
			in.Bytes = new(int64(0))
		case n > topics.MaxDrillBytes/mib: // and what overflows
			in.Bytes = new(int64(topics.MaxDrillBytes + 1))
		case n != (was.Bytes+mib-1)/mib: // bytes that the API set stay
			in.Bytes = new(n * mib)
		}
	}
	return in
}

// SaveDrill takes the plan on a host's page. What counted before is where it begins.
func (s *Pages) SaveDrill(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	h, err := s.Host(r.Context(), base.HostID(r))
	if err != nil {
		return err
	}
	was, _, err := s.Drills.Plan(r.Context(), h)
	if err != nil {
		return err
	}
	in := drillInput(r.PostForm, was)
	if in.Bytes == nil && was.Kind != drillstore.OfHost {
		in.Bytes = &was.Bytes
	}
	if _, err := s.Drills.Put(r.Context(), session.Of(r.Context()).Name, drillstore.OfHost, string(h.ID), in); err != nil {
		return layout.NotSavedHere("drill", err)
	}
	layout.Redirect(w, r, views.HostURL(string(h.ID))+"#drill")
	return nil
}

// InheritDrill takes a host's own plan back.
func (s *Pages) InheritDrill(w http.ResponseWriter, r *http.Request) error {
	h, err := s.Host(r.Context(), base.HostID(r))
	if err != nil {
		return err
	}
	err = s.Drills.Drop(r.Context(), session.Of(r.Context()).Name, drillstore.OfHost, string(h.ID))
	if err != nil && !errors.Is(err, drills.ErrNoPlan) { // pressed twice
		return err
	}
	layout.Redirect(w, r, views.HostURL(string(h.ID))+"#drill")
	return nil
}

// RunDrill asks a host for a drill of all its source groups, of a sample or full, and follows
// the first job.
func (s *Pages) RunDrill(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	id, f := base.HostID(r), r.PostForm
	q := jobs.Request{Host: id, Operation: topics.Operation{Drill: &topics.Drill{Full: f.Get("full") == "true",
		Target: strings.TrimSpace(f.Get("target")), Keep: f.Get("keep") == "true"}}}
	all, _, err := s.Drills.Ask(r.Context(), session.Of(r.Context()).Actor(), q)
	if len(all) > 0 { // what could not be asked for besides, its page says by what it lacks
		layout.Redirect(w, r, views.JobURL(string(all[0].ID)))
		return nil
	}
	p := base.ProblemOf(err)
	if errors.Is(err, jobs.ErrNoGroups) {
		p = p.With(problem.Link{Text: "Choose what to back up", URL: views.GroupURL(string(id), "")})
	}
	return p
}

// DrillsPage shows the plans of the fleet and of tags.
func (s *Pages) DrillsPage(w http.ResponseWriter, r *http.Request) error {
	plans, err := s.Store.DrillPlans(r.Context())
	if err != nil {
		return err
	}
	m, err := s.Moment(r.Context())
	if err != nil {
		return err
	}
	const every, tagged = "Try restores of every host", "Try restores of every host with the tag"
	all := views.DrillPlan{Form: drillForm(drillstore.Usual(drillstore.OfFleet, ""), "fleet", views.DrillsURL, every)}
	var tags []views.DrillPlan
	for _, p := range plans {
		switch p.Kind {
		case drillstore.OfFleet:
			all = views.DrillPlan{Planned: true, Form: drillForm(p, "fleet", views.DrillsURL, every)}
		case drillstore.OfTag:
			f := drillForm(p, fmt.Sprint("tag", len(tags)), views.DrillsURL, tagged+" "+p.Subject)
			f.Tag = p.Subject
			tags = append(tags, views.DrillPlan{Tag: p.Subject, Planned: true, Form: f})
		}
	}
	add := drillForm(drillstore.Usual(drillstore.OfTag, ""), "add", views.DrillsURL, tagged)
	add.AskTag, add.Enabled = true, true
	sh := s.Shell(r, "Restore drills", "settings", views.Link{Text: "Settings", URL: "/settings"}, views.Link{Text: "Restore drills"})
	s.Render(w, r, http.StatusOK, views.DrillsPage(sh, all, tags, add, m.Proven, m.Disproved, m.Len()))
	return nil
}

// planOf is whose plan a form is about: a tag's, else the fleet's.
func planOf(form url.Values) (drillstore.Kind, string) {
	if form.Has("tag") && form.Get("tag") != "" {
		tag, _ := hosts.Tag(form.Get("tag")) // one that is none is refused when it is saved
		return drillstore.OfTag, tag
	}
	if form.Has("tag") && form.Has("cron") { // the form asked for one, and nothing was typed
		return drillstore.OfTag, ""
	}
	return drillstore.OfFleet, ""
}

// SaveDrillPlan takes the plan of the fleet or of a tag.
func (s *Pages) SaveDrillPlan(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	kind, subject := planOf(r.PostForm)
	was := drillstore.Usual(kind, subject)
	plans, err := s.Store.DrillPlans(r.Context())
	if err != nil {
		return err
	}
	for _, p := range plans {
		if p.Kind == kind && p.Subject == subject {
			was = p
		}
	}
	if _, err := s.Drills.Put(r.Context(), session.Of(r.Context()).Name, kind, subject, drillInput(r.PostForm, was)); err != nil {
		return layout.NotSavedHere("drill", err)
	}
	layout.Redirect(w, r, views.DrillsURL)
	return nil
}

// DropDrillPlan takes the plan of the fleet or of a tag back.
func (s *Pages) DropDrillPlan(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	kind, subject := planOf(r.PostForm)
	err := s.Drills.Drop(r.Context(), session.Of(r.Context()).Name, kind, subject)
	if err != nil && !errors.Is(err, drills.ErrNoPlan) { // pressed twice
		return err
	}
	layout.Redirect(w, r, views.DrillsURL)
	return nil
}
