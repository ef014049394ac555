package web

import (
	"context"
	"net/http"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

var (
	toFleet = views.Link{Text: "Fleet", URL: "/"}
	toJobs  = views.Link{Text: "Jobs", URL: "/jobs"}
)

// shell is what surrounds a page. For nobody, and where the database does not
// answer, it is the bare page.
func (s *Server) shell(r *http.Request, title, current string, crumbs ...views.Link) views.Shell {
	sh := views.Shell{Title: title, Current: current, Crumbs: crumbs, Now: s.Now(), Version: s.Version}
	v := session.In(r.Context())
	if v == nil && !session.IsAPI(r) {
		v, _ = s.sessions.Identify(r) // the page stands alone without them
	}
	if v == nil {
		return sh
	}
	m, err := s.moment(r.Context())
	if err != nil {
		return sh
	}
	s.around(&sh, v, m)
	return sh
}

// around fills in what every page shows of the fleet, and who looks.
func (s *Server) around(sh *views.Shell, v *session.Visitor, m *fleet.Moment) {
	sh.User, sh.May = v.Name, rightsOf(v)
	sh.Hosts, sh.Connected, sh.Running, sh.BrokerUp = m.Len(), m.Online, m.Running, s.broker() == nil
}

func rightsOf(v *session.Visitor) views.Rights {
	return views.Rights{Operate: v.May(store.Operator), Administer: v.May(store.Admin)}
}

type heldKey struct{}

// A held keeps how the fleet was when a request first asked.
type held struct{ moment *fleet.Moment }

// moment is how the fleet is, for a request: all of its page is of one moment. A
// stream has no such context, and asks for each drawing.
func (s *Server) moment(ctx context.Context) (*fleet.Moment, error) {
	h, _ := ctx.Value(heldKey{}).(*held)
	if h != nil && h.moment != nil {
		return h.moment, nil
	}
	m, err := s.Fleet.Now(ctx)
	if err == nil && h != nil {
		h.moment = m
	}
	return m, err
}

// at is a moment that a row holds, none for zero.
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// when words a moment that a row holds.
func (s *Server) when(ms int64) views.When { return views.NewWhen(at(ms), s.Now()) }

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
func (s *Server) connection(id topics.HostID) views.Connection {
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
