package pages

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/alerts"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/firststeps"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/knock"
	"github.com/restic-manager/restic-manager/controlplane/reach"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// StartPage is the road from an empty control plane to a host that is proven restorable.
func (s *Pages) StartPage(w http.ResponseWriter, r *http.Request) error {
	m, err := s.Moment(r.Context())
	if err != nil {
		return err
	}
	v, err := s.startView(r.Context(), m)
	if err != nil {
		return err
	}
	sh := s.Shell(r, "First steps", "start", views.Link{Text: "First steps"})
	sh.Stream = views.StartStream
	s.Render(w, r, http.StatusOK, views.StartPage(sh, v))
	return nil
}

// StartStream draws the steps again as they are done, wherever that is.
func (s *Pages) StartStream() layout.Draw {
	return func(ctx context.Context, p *layout.Painter, _ map[topics.HostID]bool) error {
		v, err := s.startView(ctx, p.Moment)
		if err != nil {
			return err
		}
		p.Morph("first-steps", views.FirstStepsList(v))
		return nil
	}
}

func (s *Pages) startView(ctx context.Context, m *fleet.Moment) (v views.FirstSteps, err error) {
	road, facts, err := s.Road(ctx, m)
	if err != nil {
		return v, err
	}
	v = views.FirstSteps{Over: road.Over(), Hidden: road.Hidden, HiddenBy: road.HiddenBy,
		Done: words.Number(uint64(road.Done)) + " of " + words.Number(uint64(len(road.Steps))) + " done"}
	next := road.Next()
	for i := range road.Steps {
		st := &road.Steps[i]
		x := views.FirstStep{Key: string(st.Key), Say: st.Say, State: string(st.State), Doubt: st.Doubt, Next: st == next}
		stepDoor(&x, *st, m.Host(st.Host), facts)
		v.Steps = append(v.Steps, x)
	}
	return v, nil
}

// stepDoor says where a step is done, or looked at.
func stepDoor(x *views.FirstStep, st firststeps.Step, h *fleet.Entry, f firststeps.Facts) {
	done := st.State == firststeps.Done
	if st.State == firststeps.Later {
		return
	}
	link := func(text, to string) { x.Link = views.Link{Text: text, URL: to} }
	host := views.HostURL(string(st.Host))
	switch st.Key {
	case firststeps.Account:
		link("Users", "/users")
	case firststeps.Address:
		link(map[bool]string{true: "Change", false: "Set the address"}[done], views.FromStartURL(views.AddressURL))
	case firststeps.Repository:
		if link("Choose where", views.FromStartURL("/repositories/new")); done {
			link("Open", views.RepositoryURL(string(f.Repository)))
		}
	case firststeps.Host:
		switch {
		case done:
			link("Open", host)
		case st.State == firststeps.Works:
			link("Open "+h.Name, host)
			x.Other = views.Link{Text: "Add another", URL: "/hosts/new"}
		default:
			if link("Add host", "/hosts/new"); st.Host != "" {
				x.Other = views.Link{Text: "Hosts that wait", URL: views.KeysURL}
			}
		}
	case firststeps.Plan:
		switch {
		case done:
			link("Open", host)
		case st.Group != "":
			link("Choose when", views.FromStartURL(views.ScheduleURL(string(st.Host), "")))
		default:
			link("Choose folders", views.FromStartURL(views.GroupURL(string(st.Host), "")+"?fits="+sources.Fits(h.OS, h.Intermittent)[0].Value))
		}
	case firststeps.Backup:
		switch {
		case done && st.Job == "":
			link("Open", host)
		case done || st.State == firststeps.Works:
			link(map[bool]string{true: "Open", false: "Watch it"}[done], views.JobURL(string(st.Job)))
		default:
			x.Post, x.Text = host+"/run/backup", "Back up now"
			if st.State == firststeps.Failed {
				x.Text, x.Other = "Try again", views.Link{Text: "See why", URL: views.JobURL(string(st.Job))}
			}
		}
	case firststeps.Proof:
		switch {
		case done && st.Job == "":
			link("Open", host)
		case done || st.State == firststeps.Works:
			link(map[bool]string{true: "Open", false: "Watch it"}[done], views.JobURL(string(st.Job)))
		default:
			x.Post, x.Text = host+"/drill/run", "Restore a sample"
			if st.State == firststeps.Failed {
				x.Text, x.Other = "Try again", views.Link{Text: "See why", URL: views.JobURL(string(st.Job))}
			}
		}
	case firststeps.Kit:
		link(map[bool]string{true: "Show it again", false: "Show the kit"}[done], views.AllKitsURL)
	}
}

// HideStart says whether other pages name the next step.
func (s *Pages) HideStart(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	if err := s.Store.FirstSteps().Hide(r.Context(), session.Of(r.Context()).Name, r.PostForm.Get("hidden") != "false"); err != nil {
		return err
	}
	s.Walked.Store(false)
	s.Changed()
	layout.Redirect(w, r, views.StartURL)
	return nil
}

// AddressPage shows both addresses and where they lead.
func (s *Pages) AddressPage(w http.ResponseWriter, r *http.Request) error {
	f := views.AddressForm{From: r.URL.Query().Get(views.FromStart), Pages: s.publicAddress(r)}
	at, err := s.Reach.Of(r.Context())
	if err != nil {
		return err
	}
	f.Agents = views.PublicAddress{URL: at.Set, Flag: at.Flag}
	if from := s.suggested(r); !at.Known || f.Pages.URL == "" {
		f.Agents.URL, f.Pages.URL = either(f.Agents.URL, from.Agents), either(f.Pages.URL, from.Pages)
	}
	return s.addressPage(w, r, http.StatusOK, f)
}

func either(is, suggested string) string {
	if is != "" {
		return is
	}
	return suggested
}

// suggested is what the request's own address lets us guess. It is kept only as somebody
// sends it.
func (s *Pages) suggested(r *http.Request) (out struct{ Agents, Pages string }) {
	host := strings.Trim(layout.HostOf(r), "[]")
	if layout.Loopback(host) {
		return out
	}
	out.Pages, _ = alerts.CleanURL(session.URLOf(r, ""))
	out.Agents = s.Reach.At(host)
	return out
}

func (s *Pages) addressPage(w http.ResponseWriter, r *http.Request, status int, f views.AddressForm) error {
	at, err := s.Reach.Of(r.Context())
	if err != nil {
		return err
	}
	looks, err := s.Reach.Looked(r.Context())
	if err != nil {
		return err
	}
	f.Agents.Unreached = views.Unreached(at.Say, at.Do)
	f.OfAgents, f.OfPages = s.lookedView(looks.Agents), s.lookedView(looks.Pages)
	crumbs := []views.Link{{Text: "Settings", URL: "/settings"}, {Text: "Address"}}
	if f.From != "" {
		crumbs[0] = views.Link{Text: "First steps", URL: views.StartURL}
	}
	s.Render(w, r, status, views.AddressesPage(s.Shell(r, "Address", "settings", crumbs...), f))
	return nil
}

// tones are how pages show where an address leads.
var tones = map[knock.Verdict]string{knock.Here: "ok", knock.Alone: "warn", knock.Unreached: "warn", knock.Mistrust: "fail",
	knock.Another: "fail"}

func (s *Pages) lookedView(l reach.Look) views.Looked {
	if l.Verdict == "" {
		return views.Looked{}
	}
	return views.Looked{Tone: tones[l.Verdict], Say: l.Say, Do: l.Do, At: views.NewWhen(l.At, s.Now())}
}

// SaveAddresses takes both addresses, and dials them.
func (s *Pages) SaveAddresses(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, by, p := r.Context(), session.Of(r.Context()).Name, r.PostForm
	at, err := s.Reach.Of(ctx)
	if err != nil {
		return err
	}
	f := views.AddressForm{From: p.Get(views.FromStart), Pages: s.publicAddress(r), Agents: views.PublicAddress{URL: at.Set, Flag: at.Flag}}
	if !f.Agents.Flag {
		f.Agents.URL = strings.TrimSpace(p.Get("agents_public"))
	}
	if !f.Pages.Flag {
		f.Pages.URL = strings.TrimSpace(p.Get("public_url"))
	}
	_, f.Agents.Error = reach.Clean(f.Agents.URL)
	_, f.Pages.Error = alerts.CleanURL(f.Pages.URL)
	var wrong field.Errors
	if f.Agents.Error == "" && f.Pages.Error == "" {
		if !f.Agents.Flag {
			err = s.Reach.Set(ctx, by, f.Agents.URL)
		}
		if err == nil && !f.Pages.Flag {
			err = s.Alerts.SetPublicURL(ctx, by, f.Pages.URL)
		}
		if errors.As(err, &wrong) {
			f.Agents.Error, f.Pages.Error = wrong["agents_public"], wrong["public_url"]
		} else if err != nil {
			return err
		}
	}
	if f.Agents.Error != "" || f.Pages.Error != "" {
		f.Problem = "It was not saved; look at what is marked below."
		return s.addressPage(w, r, http.StatusUnprocessableEntity, f)
	}
	looks, err := s.Reach.Look(ctx)
	if err != nil {
		return err
	}
	to := views.AddressURL
	if f.From == "start" {
		to = views.FromStartURL(to)
		if good(looks.Agents) && good(looks.Pages) {
			to = views.StartURL
		}
	}
	s.Changed()
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// good reports whether nothing is to be said of an address.
func good(l reach.Look) bool { return l.Verdict == "" || l.Verdict == knock.Here }

// from is where somebody goes who has saved a form: back to the first steps, if they came
// from there.
func from(p url.Values, to string) string {
	if p.Get(views.FromStart) == "start" {
		return views.StartURL
	}
	return to
}
