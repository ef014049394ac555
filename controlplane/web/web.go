// Package web is the control plane's face: the pages, the one live stream of
// each browser tab, the API, and who may use them.
//
// All routes stand in one list, each with the role it needs, in routes.go. What
// answers them is in the packages below: pages (about hosts), jobpages,
// repositorypages, mqttpages, accounts (the pages about who may sign in) and api, which know
// neither each other nor this package. Pages stand on
// layout and on live, which draws an open page again; all of them on base, and on
// session, which says who sent a request.
package web

import (
	"context"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/accounts"
	"github.com/restic-manager/restic-manager/controlplane/web/alertpages"
	"github.com/restic-manager/restic-manager/controlplane/web/api"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/jobpages"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/mqttpages"
	"github.com/restic-manager/restic-manager/controlplane/web/pages"
	"github.com/restic-manager/restic-manager/controlplane/web/removalpages"
	"github.com/restic-manager/restic-manager/controlplane/web/replacepages"
	"github.com/restic-manager/restic-manager/controlplane/web/repositorypages"
	"github.com/restic-manager/restic-manager/controlplane/web/restorepages"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/controlplane/web/updatepages"
	"github.com/restic-manager/restic-manager/store/room"
)

// A Server answers browsers and API clients. Handler may be used without Run;
// Run removes old sessions, and waits for the streams when it ends.
type Server struct {
	*base.Parts
	api      *api.API
	layout   *layout.Page
	pages    *pages.Pages
	jobs     *jobpages.Pages
	repos    *repositorypages.Pages
	accounts *accounts.Accounts
	removals *removalpages.Pages

	replacements *replacepages.Pages
	restores     *restorepages.Pages
	alerts       *alertpages.Pages
	mqtt         *mqttpages.Pages
	updates      *updatepages.Pages
	mux          *chi.Mux
	rights       map[string]rights.Right // that opening a page takes, by its route
	handler      http.Handler
	writes       writes
	sockets      sockets
}

// New builds a server.
func New(c base.Config) (*Server, error) {
	p, err := base.New(c)
	if err != nil {
		return nil, err
	}
	page := layout.New(p)
	s := &Server{Parts: p, mux: chi.NewMux(), layout: page, pages: pages.New(page),
		jobs: jobpages.New(page), repos: repositorypages.New(page), accounts: accounts.New(page), removals: removalpages.New(page),
		replacements: replacepages.New(page),
		restores:     restorepages.New(page, p.Queries),
		alerts:       alertpages.New(page),
		mqtt:         mqttpages.New(page),
		updates:      updatepages.New(page),
		writes:       writes{gate: room.NewGate(), every: tryEvery}}
	s.api = api.New(p, adapter{s})
	s.rights = map[string]rights.Right{}
	for _, rt := range s.routes() {
		if rt.method == http.MethodGet {
			s.rights[rt.path] = rt.right
		}
		rt.serve(s, rt)
	}
	s.mux.NotFound(s.nowhere().ServeHTTP)
	s.mux.MethodNotAllowed(compressed(s.wrap(s.wrongMethod)).ServeHTTP)
	s.handler = s.recovered(session.Proxies(p.Proxies).Unwrap(s.headers(s.bounded(s.upgrades(s.mux)))))
	return s, nil
}

// SetupPath returns the path of the page that creates the first account, with the
// setup code in it. It returns "" once there is an account.
func (s *Server) SetupPath(ctx context.Context) (string, error) { return s.accounts.SetupPath(ctx) }

// SignInLink creates a path that signs a user in, once, within Timing.Link. It is
// kept in memory only and does not survive a restart.
func (s *Server) SignInLink(ctx context.Context, userID string) (string, error) {
	key, err := s.Sessions.SignInLink(ctx, userID)
	return "/sign-in?key=" + key, err
}

// Handler serves the pages and the API. Streams end when their request's
// context does.
func (s *Server) Handler() http.Handler { return s.handler }

// Run removes sessions that are over until ctx ends. Then it ends every stream,
// lets no new one begin, and returns when the last has gone.
func (s *Server) Run(ctx context.Context) error {
	tick, settle := time.NewTicker(s.Timing.Cleanup), time.NewTicker(s.Timing.Check)
	defer tick.Stop()
	defer settle.Stop()
	defer s.Sessions.Wait()
	defer s.writes.gate.Wait()
	verified := make(chan struct{})
	go func() {
		defer close(verified)
		s.pages.WatchAudit(ctx)
	}()
	defer func() { <-verified }()
	for {
		select {
		case <-tick.C:
			_ = s.Sessions.Settle(ctx) // before what seems to be over is removed
			if err := s.Store.Sessions().Expire(ctx); err != nil && ctx.Err() == nil {
				s.Log.Error("remove old sessions", "err", err)
			}
		case <-settle.C:
			_ = s.Sessions.Settle(ctx) // fails only when ctx ends
		case <-ctx.Done():
			s.Streams.Close()
			return nil
		}
	}
}

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (s *Server) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		if session.Secure(r) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// bounded refuses what no route should have to look at: foreign sites' forms,
// bodies that are too large or of the wrong type. Every request gets its time;
// streams give themselves more.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		// Both fail only on writers that are no connection.
		_ = rc.SetReadDeadline(base.Deadline(s.Timing.Answer))
		_ = rc.SetWriteDeadline(base.Deadline(s.Timing.Answer))
		if r, ok := s.limited(w, r, base.MaxBody); ok {
			s.checked(w, r, next)
		}
	})
}

// limited bounds a request's body, or refuses one that says it is larger.
func (s *Server) limited(w http.ResponseWriter, r *http.Request, most int64) (*http.Request, bool) {
	if r.ContentLength > most {
		s.fail(w, r, problem.Oversized(most))
		return nil, false
	}
	// The server looks at its own request and writer to learn that a body was
	// not read to its end; otherwise it takes the rest for the next request.
	if ww, ok := w.(*written); ok {
		w = ww.ResponseWriter
	}
	r = r.WithContext(r.Context())
	r.Body = http.MaxBytesReader(w, r.Body, most)
	return r, true
}

func (s *Server) checked(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if err := session.CheckOrigin(r); err != nil {
		s.fail(w, r, err)
		return
	}
	if session.IsAPI(r) && r.ContentLength != 0 && r.Header.Get("Content-Type") != "" && !isJSON(r) {
		s.fail(w, r, &problem.Problem{Kind: problem.UnsupportedMedia, Title: "The body is not declared as JSON",
			Say: "The request's Content-Type is one the API does not read.", Do: "Send JSON, with the header Content-Type: application/json."})
		return
	}
	next.ServeHTTP(w, r)
}

// A written writer remembers whether an answer has begun.
type written struct {
	http.ResponseWriter
	begun bool
}

func (w *written) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *written) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *written) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// recovered keeps a handler's panic from being more than one failed request.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ww := &written{ResponseWriter: w}
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler { //nolint:errorlint // a sentinel by identity, as net/http compares it
				panic(v)
			}
			s.Log.Error("a handler panicked", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", stack())
			if ww.begun {
				panic(http.ErrAbortHandler) // half an answer must not look whole
			}
			s.fail(ww, r, problem.Unknown(nil))
		}()
		next.ServeHTTP(ww, r)
	})
}
