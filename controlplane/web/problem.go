package web

import (
	"fmt"
	"math"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/api"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
)

func isJSON(r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && media == "application/json"
}

func stack() string { return string(debug.Stack()) }

// wrap turns a handler's error into an answer.
func (s *Server) wrap(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

// fail answers with a problem: JSON below /api, else what a page shows.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := base.ProblemOf(err)
	s.note(r, p)
	if p.After > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.After.Seconds()))))
	}
	if session.IsAPI(r) {
		api.Refuse(w, p)
		return
	}
	s.layout.Refuse(w, r, p)
}

// note logs internal failures; problems of the request are not logged.
func (s *Server) note(r *http.Request, p *problem.Problem) {
	if base.StatusOf(p) >= 500 && p.Err != nil && r.Context().Err() == nil {
		s.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", p.Err)
	}
}

// wrongMethod answers with the methods that the address allows.
func (s *Server) wrongMethod(w http.ResponseWriter, r *http.Request) error {
	allowed := strings.Join(s.methods(r), ", ")
	w.Header().Set("Allow", allowed)
	return &problem.Problem{Kind: problem.Method, Title: "This address does not take " + r.Method,
		Say: fmt.Sprintf("%s takes %s.", r.URL.Path, allowed), Do: "Use one of these methods."}
}
