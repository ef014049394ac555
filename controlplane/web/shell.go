package web

import (
	"net/http"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
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
	v, _ := r.Context().Value(visitorKey{}).(*visitor)
	if v == nil && !isAPI(r) {
		v, _ = s.identify(r) // the page stands alone without them
	}
	if v == nil {
		return sh
	}
	n, err := s.Store.HostCount(r.Context())
	if err != nil {
		return sh
	}
	if sh.Running, err = s.Store.RunningCount(r.Context()); err != nil {
		return sh
	}
	sh.User, sh.May = v.name, v.rights()
	sh.Hosts, sh.Connected, sh.BrokerUp = n, s.Presence.Online(), s.broker() == nil
	return sh
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

// statusKey is the views' key of a status.
func statusKey(st hosts.Status) string {
	if st == hosts.NoBackupYet {
		return "no-backup"
	}
	return string(st)
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
