// Package layout is what all pages share: what surrounds a page, how it is rendered,
// how its forms are read, and how it is drawn again while it is open. It has no
// page of its own.
package layout

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/a-h/templ"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/controlplane/zone"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// A Page is what every page needs: what it shows comes from its parts.
type Page struct{ *base.Parts }

// newPage returns what the handlers of pages share.
func New(p *base.Parts) *Page { return &Page{p} }

// Shell is what surrounds a page. For nobody, and where the database does not
// answer, it is the bare page.
func (s *Page) Shell(r *http.Request, title, current string, crumbs ...views.Link) views.Shell {
	sh := views.Shell{Title: title, Current: current, Crumbs: crumbs, Now: s.Now(), Version: s.Version}
	v := s.visitor(r)
	if v == nil {
		return sh
	}
	m, err := s.Moment(r.Context())
	if err != nil {
		return sh
	}
	s.around(r.Context(), &sh, v, m)
	sh.OwnZone = v.Zone == zone.Browser && r.Method == http.MethodGet
	return sh
}

// InZone returns a request whose context holds the zone in which its visitor, nil for
// nobody, sees moments. What a page asks for later is in the zone of the page.
func (s *Page) InZone(r *http.Request, v *session.Visitor) *http.Request {
	setting, browser := zone.Browser, ""
	if v != nil {
		setting = v.Zone
	}
	if c, err := r.Cookie(zone.Cookie); err == nil {
		browser, _ = url.QueryUnescape(c.Value)
	}
	its := zone.Choose(setting, browser, s.Zone)
	if of := r.Header.Get(zone.Header); of != "" {
		its = zone.Choose(of, of, its)
	}
	return r.WithContext(words.WithZone(r.Context(), its))
}

// visitor is who sent a request for a page, which stands alone without them.
func (s *Page) visitor(r *http.Request) *session.Visitor {
	v := session.In(r.Context())
	if v == nil && !session.IsAPI(r) {
		v, _ = s.Sessions.Identify(r)
	}
	return v
}

// around fills in what every page shows of the fleet, and who looks.
func (s *Page) around(ctx context.Context, sh *views.Shell, v *session.Visitor, m *fleet.Moment) {
	sh.User, sh.May = v.Name, RightsOf(v)
	sh.Banners = s.banners(ctx, v)
	sh.Hosts, sh.Connected, sh.Running, sh.BrokerUp = m.Len(), m.Online, m.Running, s.BrokerError() == nil
	open := s.Alerts.Counts(ctx)
	sh.Road = s.strip(ctx, v, m)
	sh.Alerts, sh.AlertsCritical = open.Open, open.Worst == alerts.Critical
}

// tones are how a page shows the severities of notices.
var tones = map[notices.Severity]string{notices.Info: "info", notices.Warning: "warn", notices.Failure: "fail"}

// banners are the notices for who looks.
func (s *Page) banners(ctx context.Context, v *session.Visitor) (out []views.Banner) {
	for _, n := range s.Notices.Now(ctx, v.Role == store.Admin) {
		out = append(out, views.Banner{ID: n.ID, Tone: tones[n.Severity], Say: n.Say, Remedy: n.Remedy, Link: views.Link(n.Link)})
	}
	return out
}

// RightsOf is what a visitor may do, as templates ask for it.
func RightsOf(v *session.Visitor) views.Rights {
	return views.Rights{Why: func(right string) string { return lacks(v, rights.Right(right)) }}
}

// Lacks is why whoever sent a request has not a right, "" if they have it.
func (s *Page) Lacks(ctx context.Context, r rights.Right) string { return lacks(session.Of(ctx), r) }

func lacks(v *session.Visitor, r rights.Right) string {
	if v.May(r) {
		return ""
	}
	return "It needs the role " + string(rights.Least(r)) + "."
}

// When words a moment that a row holds.
func (s *Page) When(ms int64) views.When { return views.NewWhen(base.At(ms), s.Now()) }

// Short is the beginning of an ID, as people use it.
func Short(id string) string {
	if len(id) > 8 {
		return id[:8]
	}
	return id
}

// Render writes a complete page, or one plain sentence if rendering fails.
func (s *Page) Render(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	var b bytes.Buffer
	if err := c.Render(r.Context(), &b); err != nil {
		if r.Context().Err() != nil {
			return // the browser has gone
		}
		s.Log.Error("rendering a page failed", "path", r.URL.Path, "err", err)
		http.Error(w, "The page could not be made; the reason is in the server's log.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a browser that has gone is not our failure
}

// Refuse shows a problem: as a notice to a script of our pages, as a page otherwise.
func (s *Page) Refuse(w http.ResponseWriter, r *http.Request, p *problem.Problem) {
	r = s.InZone(r, s.visitor(r))
	if base.IsHTMX(r) {
		// Whatever was to be replaced stays as it is: the page may hold what somebody types.
		h := w.Header()
		h.Set("HX-Retarget", "#notice")
		h.Set("HX-Reswap", "innerHTML show:top")
		h.Set("HX-Reselect", ".note")
		s.Render(w, r, base.StatusOf(p), views.Notice(views.Note{
			Tone: "fail", Title: p.Title, Text: p.Detail(), Link: views.Link(p.Link), Links: LinksOf(p.Links),
			Again: again(r, p.Confirm),
		}))
		return
	}
	s.Render(w, r, base.StatusOf(p), views.ProblemPage(s.Shell(r, p.Title, "", views.Link{Text: p.Title}), views.Problem{
		Status: base.StatusOf(p),
		Title:  p.Title,
		Say:    p.Say,
		Do:     p.Do,
		Link:   views.Link(p.Link),
		Links:  LinksOf(p.Links),
		Again:  again(r, p.Confirm),
	}))
}

// again is the form that sends a request once more and says that it is meant, the zero
// value where nothing can be said.
func again(r *http.Request, c problem.Confirm) (a views.Again) {
	if c.Field == "" || r.Method != http.MethodPost {
		return a
	}
	a = views.Again{Action: r.URL.RequestURI(), Button: c.Text, Fields: []views.Option{{Value: c.Field, Text: "1"}}}
	for _, name := range slices.Sorted(maps.Keys(r.PostForm)) {
		for _, value := range r.PostForm[name] {
			if name != c.Field {
				a.Fields = append(a.Fields, views.Option{Value: name, Text: value})
			}
		}
	}
	return a
}

// LinksOf returns the places that a problem leads to, as a page shows them.
func LinksOf(all []problem.Link) (links []views.Link) {
	for _, l := range all {
		links = append(links, views.Link(l))
	}
	return links
}

// Connection words whether a host's agent can be reached.
func (s *Page) Connection(id topics.HostID) views.Connection {
	c, seen := s.Presence.Connection(id)
	return views.HostConnection(string(c), views.NewWhen(seen, s.Now()))
}

// Said is a word that a host may not have said.
func Said(v string) string {
	if v == "" {
		return "not known"
	}
	return v
}
