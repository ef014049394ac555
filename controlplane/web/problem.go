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

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// A Problem is a failure worded for whoever sent the request.
type Problem struct {
	Status int
	Title  string     // "There is no such job"
	Say    string     // what happened
	Do     string     // what they can do
	Link   views.Link // where to, on a page
	Err    error      // for the log, and no further
}

// Error implements error.
func (p *Problem) Error() string {
	if p.Err != nil {
		return p.Title + ": " + p.Err.Error()
	}
	return p.Title
}

// Unwrap gives the cause.
func (p *Problem) Unwrap() error { return p.Err }

// GetStatus is for huma.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is for huma: the media type of RFC 9457.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func (p *Problem) json() topics.Problem {
	return topics.Problem{Title: p.Title, Status: p.Status, Detail: strings.TrimSpace(p.Say + " " + p.Do)}
}

var (
	errNoPage = &Problem{Status: http.StatusNotFound, Title: "There is nothing here",
		Say: "No page and no operation has this address.", Do: "Check how it is spelled. GET /api/openapi.json lists every operation of the API."}
	errNoHost = &Problem{Status: http.StatusNotFound, Title: "There is no such host",
		Say: "It was never there, or it has been removed.", Do: "Look for it among all hosts."}
	errNoJob = &Problem{Status: http.StatusNotFound, Title: "There is no such job",
		Say: "It was never there, or it has been removed.", Do: "Look for it on its host's page."}
	errStopping = &Problem{Status: http.StatusServiceUnavailable, Title: "The server is being stopped",
		Say: "It lets nothing new begin.", Do: "Try again in a moment."}
)

func tooLarge(most int64) *Problem {
	bound := fmt.Sprintf("%d MiB", most>>20)
	if most < 1<<20 {
		bound = fmt.Sprintf("%d KiB", most>>10)
	}
	return &Problem{Status: http.StatusRequestEntityTooLarge, Title: "The request is too large",
		Say: "What is sent to this address may have at most " + bound + ".", Do: "Send less at once."}
}

func errInternal(err error) *Problem {
	return &Problem{Status: http.StatusInternalServerError, Title: "Something went wrong here",
		Say: "The server could not do this; the reason is in its log.", Do: "Try again. If it stays, look into the log of restic-manager.", Err: err}
}

// problem gives an error its words. What it does not know stays in the log.
func problem(err error) *Problem {
	var p *Problem
	var large *http.MaxBytesError
	var keeper *jobs.NotKeeperError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &large):
		return tooLarge(large.Limit)
	case errors.Is(err, jobs.ErrNoHost):
		return errNoHost
	case errors.Is(err, jobs.ErrNoJob):
		return errNoJob
	case errors.Is(err, jobs.ErrNoRepository):
		return &Problem{Status: http.StatusNotFound, Title: "There is no such repository",
			Say: "None has this ID.", Do: "Use an ID that GET /api/repositories lists.", Err: err}
	case errors.As(err, &keeper):
		return &Problem{Status: http.StatusConflict, Title: "Another host looks after this repository",
			Say: "Its keeper, the host " + keeper.Name + ", alone may " + string(keeper.Kind) + ": what can delete is kept from every other host.",
			Do:  "Ask the keeper for it.", Err: err}
	case errors.Is(err, topics.ErrOperation):
		return &Problem{Status: http.StatusUnprocessableEntity, Title: "This job cannot be asked for like that",
			Say: err.Error() + ".", Do: "Correct it and ask again; nothing was begun."}
	case errors.Is(err, jobs.ErrForbidden):
		return &Problem{Status: http.StatusConflict, Title: "The host does not allow this",
			Say: sentence(err, jobs.ErrForbidden), Do: "Only its own administrator can change that, in the policy file on the host; nothing was begun.", Err: err}
	case errors.Is(err, jobs.ErrNoGroups):
		return &Problem{Status: http.StatusConflict, Title: "It is not known yet what to back up",
			Say: "The host has no source group, so there is nothing to run.", Do: "Say what to back up, and where to, then run it again.", Err: err}
	case errors.Is(err, jobs.ErrNoGroup):
		return &Problem{Status: http.StatusNotFound, Title: "There is no such source group",
			Say: "The host has none of this name.", Do: "Use a name the host's page shows, or add the group first.", Err: err}
	case errors.Is(err, jobs.ErrEnded):
		return &Problem{Status: http.StatusConflict, Title: "This job has already ended",
			Say: "There is nothing to cancel.", Do: "Look at its result.", Err: err}
	case errors.Is(err, retention.ErrRules):
		return &Problem{Status: http.StatusUnprocessableEntity, Title: "These retention rules cannot be",
			Say: rulesProblem(err), Do: "Correct them and try again; nothing was removed."}
	case errors.Is(err, retention.ErrNoKeeper):
		return &Problem{Status: http.StatusConflict, Title: "This repository has no keeper",
			Say: "No host was chosen to look after it, so nothing was begun. Forget and prune delete: wherever they run, the right to delete lives, and who takes that host over can delete the backups.",
			Do:  "Choose a keeper, best one beside the storage that backs up nothing here. Or name a host for this once, and let it have that right.", Err: err}
	case errors.Is(err, retention.ErrNotKeeper):
		return &Problem{Status: http.StatusConflict, Title: "Another host is this repository's keeper",
			Say: "Only its keeper deletes and checks, so nothing was begun.", Do: "Leave the host out, or choose another keeper first.", Err: err}
	case errors.Is(err, retention.ErrNoPlan):
		return &Problem{Status: http.StatusConflict, Title: "This plan does not wait for approval",
			Say: "It expired, was carried out, or another one took its place. Nothing was removed.", Do: "Look at the plan that waits now, if one does, and approve that.", Err: err}
	case errors.Is(err, retention.ErrKind):
		return &Problem{Status: http.StatusUnprocessableEntity, Title: "This is no maintenance",
			Say: "A repository's maintenance is forget, prune or check; only a forget has a plan.", Do: "Ask for one of these.", Err: err}
	case errors.Is(err, store.ErrNotFound):
		return errNoPage
	}
	return errInternal(err)
}

// sentence is what an error says after the words of the one it wraps.
func sentence(err, wrapped error) string {
	return strings.TrimPrefix(err.Error(), wrapped.Error()+": ")
}

// rulesProblem says what is wrong with retention rules.
func rulesProblem(err error) string {
	return strings.ReplaceAll(sentence(err, retention.ErrRules), "\n", "; ") + "."
}

func isAPI(r *http.Request) bool {
	return r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/")
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

// fail answers with a problem: JSON below /api, a notice where a form acted in
// place, a page otherwise.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problem(err)
	s.note(r, p)
	switch {
	case isAPI(r):
		if p.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="restic-manager"`)
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p.json())
	case isHTMX(r) && r.Method != http.MethodGet:
		s.render(w, r, p.Status, views.Notice(views.Note{Tone: "fail", Title: p.Title, Text: strings.TrimSpace(p.Say + " " + p.Do), Link: p.Link}))
	default:
		shell := s.shell(r, p.Title, "", views.Link{Text: p.Title})
		s.render(w, r, p.Status, views.ProblemPage(shell, views.Problem{Status: p.Status, Title: p.Title, Say: p.Say, Do: p.Do, Link: p.Link}))
	}
}

// note logs what the operator of the server should know of: our own failures.
func (s *Server) note(r *http.Request, p *Problem) {
	if p.Status >= 500 && p.Err != nil && r.Context().Err() == nil {
		s.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", p.Err)
	}
}

// render writes a page that is whole, or a plain sentence.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	var b bytes.Buffer
	if err := c.Render(r.Context(), &b); err != nil {
		s.Log.Error("render", "path", r.URL.Path, "err", err)
		http.Error(w, "The page could not be made; the reason is in the server's log.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a browser that has gone is not our failure
}

// wrongMethod says which methods the address has.
func (s *Server) wrongMethod(w http.ResponseWriter, r *http.Request) error {
	allowed := strings.Join(s.methods(r), ", ")
	w.Header().Set("Allow", allowed)
	return &Problem{Status: http.StatusMethodNotAllowed, Title: "This address does not take " + r.Method,
		Say: fmt.Sprintf("%s takes %s.", r.URL.Path, allowed), Do: "Use one of these methods."}
}
