package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/handout"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
)

// handsOut answers with a script that installs the agent, or with a file of the agent. It
// is for hosts that nobody has let in yet: there is no secret in any of it.
func (s *Server) handsOut(w http.ResponseWriter, r *http.Request) error {
	err := s.Handout.Serve(w, r, handout.PagesDoor, session.Network(r))
	var busy handout.Busy
	switch {
	case errors.As(err, &busy):
		return &problem.Problem{Kind: problem.TooMany, Title: "Too many downloads", After: busy.Wait,
			Say: "Your network has asked for too much at once, or too many download now.", Do: "Wait a moment, then try again."}
	case errors.Is(err, handout.ErrNone) && strings.HasPrefix(r.URL.Path, handout.FilesPath):
		return &problem.Problem{Kind: problem.NotFound, Title: "There is no such file",
			Say: "This server hands out agents and their checksums, and no file of this name is one of them.",
			Do:  "Another version may have taken its place: " + handout.FilesPath + handout.SumsName + " names what there is."}
	case errors.Is(err, handout.ErrNone):
		return problem.NoPage
	}
	return err
}
