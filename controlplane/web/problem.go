package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/a-h/templ"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// statuses maps kinds of problems to HTTP statuses.
var statuses = map[problem.Kind]int{
	problem.Internal:         http.StatusInternalServerError,
	problem.BadRequest:       http.StatusBadRequest,
	problem.Unauthenticated:  http.StatusUnauthorized,
	problem.Forbidden:        http.StatusForbidden,
	problem.NotFound:         http.StatusNotFound,
	problem.Method:           http.StatusMethodNotAllowed,
	problem.Timeout:          http.StatusRequestTimeout,
	problem.Conflict:         http.StatusConflict,
	problem.Gone:             http.StatusGone,
	problem.TooLarge:         http.StatusRequestEntityTooLarge,
	problem.UnsupportedMedia: http.StatusUnsupportedMediaType,
	problem.Invalid:          http.StatusUnprocessableEntity,
	problem.UpgradeRequired:  http.StatusUpgradeRequired,
	problem.TooMany:          http.StatusTooManyRequests,
	problem.Unavailable:      http.StatusServiceUnavailable,
}

// statusOf returns the status a problem is answered with.
func statusOf(p *problem.Problem) int {
	if status, ok := statuses[p.Kind]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// problemOf returns the problem an error is shown as: [problem.Of], plus the errors
// of net/http.
func problemOf(err error) *problem.Problem {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return problem.Oversized(large.Limit)
	}
	return problem.Of(err)
}

// An apiProblem is a problem in the shape huma needs for an error.
type apiProblem struct{ *problem.Problem }

// GetStatus is for huma.
func (p apiProblem) GetStatus() int { return statusOf(p.Problem) }

// ContentType is for huma: the media type of RFC 9457.
func (p apiProblem) ContentType(string) string { return "application/problem+json" }

func problemJSON(p *problem.Problem) topics.Problem {
	return topics.Problem{Title: p.Title, Status: statusOf(p), Detail: p.Detail()}
}

func isJSON(r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && media == "application/json"
}

func isHTMX(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

func stack() string { return string(debug.Stack()) }

// wrap turns a handler's error into an answer.
func (s *Server) wrap(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

// fail answers with a problem: JSON below /api, a notice for a form sent by htmx,
// a page otherwise.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	s.note(r, p)
	switch {
	case session.IsAPI(r):
		if statusOf(p) == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="restic-manager"`)
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(statusOf(p))
		_ = json.NewEncoder(w).Encode(problemJSON(p))
	case isHTMX(r) && r.Method != http.MethodGet:
		s.render(w, r, statusOf(p), views.Notice(views.Note{Tone: "fail", Title: p.Title, Text: p.Detail(), Link: views.Link(p.Link)}))
	default:
		shell := s.shell(r, p.Title, "", views.Link{Text: p.Title})
		s.render(w, r, statusOf(p), views.ProblemPage(shell, views.Problem{Status: statusOf(p), Title: p.Title, Say: p.Say,
			Do: p.Do, Link: views.Link(p.Link)}))
	}
}

// note logs internal failures; problems of the request are not logged.
func (s *Server) note(r *http.Request, p *problem.Problem) {
	if statusOf(p) >= 500 && p.Err != nil && r.Context().Err() == nil {
		s.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", p.Err)
	}
}

// render writes a complete page, or one plain sentence if rendering fails.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
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

// wrongMethod answers with the methods that the address allows.
func (s *Server) wrongMethod(w http.ResponseWriter, r *http.Request) error {
	allowed := strings.Join(s.methods(r), ", ")
	w.Header().Set("Allow", allowed)
	return &problem.Problem{Kind: problem.Method, Title: "This address does not take " + r.Method,
		Say: fmt.Sprintf("%s takes %s.", r.URL.Path, allowed), Do: "Use one of these methods."}
}
