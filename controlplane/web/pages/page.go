// Package pages holds the handlers of pages, and the streams that keep them true.
// A handler reads the request, asks one capability, and answers with one page or
// one redirect; rows become view-models here, in the words of package views. Pages
// never start restic: what they show comes from the database.
//
// What several pages need stands low: page.go (the page itself), form.go (forms),
// said.go (words), stream.go (streams). No handler calls another file's handler.
package pages

import (
	"bytes"
	"context"
	"net/http"

	"github.com/a-h/templ"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/live"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// Pages holds the handlers of pages.
type Pages struct {
	*base.Parts
	chain           auditChain
	planned         *schedule.Board // every schedule
	sharedAttention live.Recent[attentionKey, []views.Attention]
}

// newPages returns the handlers of pages.
func New(p *base.Parts) *Pages {
	return &Pages{
		Parts:   p,
		chain:   auditChain{store: p.Store, log: p.Log, now: p.Now},
		planned: schedule.NewBoard(p.Store, p.Now),
	}
}

// WatchAudit reads all of the audit log's chain once in a while until ctx ends.
func (s *Pages) WatchAudit(ctx context.Context) { s.chain.keep(ctx, s.Timing.Verify) }

var (
	toFleet = views.Link{Text: "Fleet", URL: "/"}
	toJobs  = views.Link{Text: "Jobs", URL: "/jobs"}
)

// shell is what surrounds a page. For nobody, and where the database does not
// answer, it is the bare page.
func (s *Pages) shell(r *http.Request, title, current string, crumbs ...views.Link) views.Shell {
	sh := views.Shell{Title: title, Current: current, Crumbs: crumbs, Now: s.Now(), Version: s.Version}
	v := session.In(r.Context())
	if v == nil && !session.IsAPI(r) {
		v, _ = s.Sessions.Identify(r) // the page stands alone without them
	}
	if v == nil {
		return sh
	}
	m, err := s.Moment(r.Context())
	if err != nil {
		return sh
	}
	s.around(&sh, v, m)
	return sh
}

// around fills in what every page shows of the fleet, and who looks.
func (s *Pages) around(sh *views.Shell, v *session.Visitor, m *fleet.Moment) {
	sh.User, sh.May = v.Name, RightsOf(v)
	sh.Hosts, sh.Connected, sh.Running, sh.BrokerUp = m.Len(), m.Online, m.Running, s.BrokerError() == nil
}

func RightsOf(v *session.Visitor) views.Rights {
	return views.Rights{Operate: v.May(store.Operator), Administer: v.May(store.Admin)}
}

// when words a moment that a row holds.
func (s *Pages) when(ms int64) views.When { return views.NewWhen(base.At(ms), s.Now()) }

// statusKey is the pages' key of a status.
func statusKey(st hosts.Status) string {
	if st == hosts.NoBackupYet {
		return "no-backup"
	}
	return string(st)
}

// hostStatusOf is the status whose key a page names.
func hostStatusOf(key string) hosts.Status {
	if key == statusKey(hosts.NoBackupYet) {
		return hosts.NoBackupYet
	}
	return hosts.Status(key)
}

// connection words whether a host's agent can be reached.
func (s *Pages) connection(id topics.HostID) views.Connection {
	c, seen := s.Presence.Connection(id)
	return views.HostConnection(string(c), views.NewWhen(seen, s.Now()))
}

// short is the beginning of an ID, as people use it.
func short(id string) string {
	if len(id) > 8 {
		return id[:8]
	}
	return id
}

// render writes a complete page, or one plain sentence if rendering fails.
func (s *Pages) render(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	var b bytes.Buffer
	if err := c.Render(r.Context(), &b); err != nil {
		s.Log.Error("rendering a page failed", "path", r.URL.Path, "err", err)
		http.Error(w, "The page could not be made; the reason is in the server's log.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a browser that has gone is not our failure
}

// problem shows a problem: as a notice for a form sent by htmx, as a page otherwise.
func (s *Pages) Refuse(w http.ResponseWriter, r *http.Request, p *problem.Problem) {
	if base.IsHTMX(r) && r.Method != http.MethodGet {
		s.render(w, r, base.StatusOf(p), views.Notice(views.Note{Tone: "fail", Title: p.Title, Text: p.Detail(), Link: views.Link(p.Link)}))
		return
	}
	s.render(w, r, base.StatusOf(p), views.ProblemPage(s.shell(r, p.Title, "", views.Link{Text: p.Title}), views.Problem{
		Status: base.StatusOf(p),
		Title:  p.Title,
		Say:    p.Say,
		Do:     p.Do,
		Link:   views.Link(p.Link),
	}))
}

// attentionKey is what the list of hosts in trouble depends on: it says how long
// ago things happened, to the minute.
type attentionKey struct {
	m      *fleet.Moment
	minute int64
}
