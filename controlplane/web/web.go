// Package web is the control plane's face: the pages, the one live stream of
// each browser tab, the API, and who may use them.
//
// A handler reads the request, asks one capability, and answers with one page,
// one redirect or one JSON value; rows become view-models here, in the words of
// package views. All routes stand in one list, each with the role it needs, in
// routes.go. Pages never start restic: what they show comes from the database.
package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Jobs is what web asks of the jobs engine.
type Jobs interface {
	AskBackup(ctx context.Context, actor string, host topics.HostID, group string) (job store.Job, fresh bool, err error)
	Ask(ctx context.Context, actor string, host topics.HostID, kind topics.JobKind, repository topics.RepositoryID, o topics.Operation) (job store.Job, fresh bool, err error)
	Cancel(ctx context.Context, actor string, id topics.JobID) error
	Waits(open []store.Job) map[topics.JobID]protocol.Turn
}

// Config is what the server works with.
type Config struct {
	Store    *store.Store
	Jobs     Jobs
	Hub      *jobs.Hub
	Presence *hosts.Presence
	Bell     *hosts.Bell
	Desk     *enroll.Desk
	Log      *slog.Logger
	Now      func() time.Time // nil is time.Now
	Agents   string           // HOST:PORT agents dial; an unspecified or loopback host is shown as the one the browser used
	Version  string
	Secure   bool // the browser's side of the connection is TLS: cookies and headers say so
	// Broker says what is wrong with the brokers, nil if they accept connections.
	// A nil function is for a control plane that ends when a broker does.
	Broker func() error
	Timing Timing // the zero value is DefaultTiming
	// Settings are shown on a page of their own.
	Settings Settings
}

// Timing holds the durations of this package.
type Timing struct {
	Idle    time.Duration // a session unused for this long is over
	Life    time.Duration // so is one that began this long ago
	Touch   time.Duration // the use of a session is written down at most this often
	Link    time.Duration // how long a sign-in link is good for
	Check   time.Duration // how often a stream asks whether its session still holds
	Gap     time.Duration // between two messages of a stream, but for log lines that wait
	Beat    time.Duration // a stream says something at least this often
	Poll    time.Duration // how often the add-host stream looks, besides when something happened
	Write   time.Duration // how long one message to a browser may take before it is given up
	Answer  time.Duration // how long an ordinary request may take to be read, and its answer to be written
	Cleanup time.Duration // how often sessions that are over are removed
	Stalled time.Duration // a running job that says nothing for this long is called stalled; 0 is never
}

// DefaultTiming is what runs unless a test says otherwise.
func DefaultTiming() Timing {
	return Timing{Idle: time.Hour, Life: 12 * time.Hour, Touch: time.Minute, Link: 15 * time.Minute, Check: time.Minute,
		Gap: 250 * time.Millisecond, Beat: 10 * time.Second, Poll: time.Second, Write: 5 * time.Second, Answer: 30 * time.Second, Cleanup: 10 * time.Minute,
		Stalled: 10 * time.Minute}
}

// maxBody bounds every request's body.
const maxBody = 1 << 20

// A Server answers browsers and API clients. Handler may be used without Run;
// Run removes old sessions, and waits for the streams when it ends.
type Server struct {
	Config
	mux      *chi.Mux
	api      huma.API
	sessions *scs.SessionManager
	origin   *http.CrossOriginProtection
	handler  http.Handler
	tries    *limiter      // of signing in
	hashing  chan struct{} // holds a place for each password being checked: each takes 19 MiB
	links    links
	lately   lately

	latelyQueued queued

	mu      sync.Mutex
	closed  bool
	streams sync.WaitGroup
	closing chan struct{}
}

// New builds a server.
func New(c Config) (*Server, error) {
	if c.Store == nil || c.Jobs == nil || c.Hub == nil || c.Presence == nil || c.Bell == nil || c.Desk == nil || c.Log == nil {
		return nil, errors.New("web: a part is missing in the configuration")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timing == (Timing{}) {
		c.Timing = DefaultTiming()
	}
	s := &Server{Config: c, mux: chi.NewMux(), origin: http.NewCrossOriginProtection(), tries: newLimiter(c.Now), hashing: make(chan struct{}, 4),
		closing: make(chan struct{}), links: links{now: c.Now}}
	s.sessions = newSessions(c)
	s.api = newAPI(s)
	for _, rt := range s.routes() {
		rt.serve(s, rt)
	}
	describeStream(s.api)
	s.mux.NotFound(s.wrap(func(http.ResponseWriter, *http.Request) error { return errNoPage }))
	s.mux.MethodNotAllowed(s.wrap(s.wrongMethod))
	s.handler = s.recovered(s.headers(s.bounded(s.mux)))
	return s, nil
}

// Handler serves the pages and the API. Streams end when their request's
// context does.
func (s *Server) Handler() http.Handler { return s.handler }

// Run removes sessions that are over until ctx ends. Then it ends every stream,
// lets no new one begin, and returns when the last has gone.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(s.Timing.Cleanup)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.Store.Sessions().Expire(ctx); err != nil && ctx.Err() == nil {
				s.Log.Error("remove old sessions", "err", err)
			}
		case <-ctx.Done():
			s.mu.Lock()
			if !s.closed {
				s.closed = true
				close(s.closing)
			}
			s.mu.Unlock()
			s.streams.Wait()
			return nil
		}
	}
}

// begin notes a stream. Its context ends with the request's and with the server.
func (s *Server) begin(r *http.Request) (ctx context.Context, end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errStopping
	}
	s.streams.Add(1)
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := make(chan struct{})
	s.streams.Add(1)
	go func() {
		defer s.streams.Done()
		select {
		case <-s.closing:
			cancel(errStopping)
		case <-stop:
		}
	}()
	return ctx, func() {
		close(stop)
		cancel(nil)
		s.streams.Done()
	}, nil
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
		if s.Secure {
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
		_ = rc.SetReadDeadline(s.deadline(s.Timing.Answer))
		_ = rc.SetWriteDeadline(s.deadline(s.Timing.Answer))
		if r.ContentLength > maxBody {
			s.fail(w, r, errTooLarge)
			return
		}
		// The server looks at its own request and writer to learn that a body was
		// not read to its end; otherwise it takes the rest for the next request.
		own := w
		if ww, ok := w.(*written); ok {
			own = ww.ResponseWriter
		}
		r = r.WithContext(r.Context())
		r.Body = http.MaxBytesReader(own, r.Body, maxBody)
		if !bearer(r) {
			if err := s.origin.Check(r); err != nil {
				s.fail(w, r, &Problem{Status: http.StatusForbidden, Title: "This request came from another site",
					Say: "Your browser says that a page elsewhere sent it, so nothing was done.", Do: "Open this server's own page and do it there.", Err: err})
				return
			}
		}
		if isAPI(r) && r.ContentLength != 0 && r.Header.Get("Content-Type") != "" && !isJSON(r) {
			s.fail(w, r, &Problem{Status: http.StatusUnsupportedMediaType, Title: "The body is not declared as JSON",
				Say: "The request's Content-Type is one the API does not read.", Do: "Send JSON, with the header Content-Type: application/json."})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// deadline is by the wall clock, which connections go by, whatever Now says.
func (s *Server) deadline(d time.Duration) time.Time { return time.Now().Add(d) }

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
			s.fail(ww, r, errInternal(nil))
		}()
		next.ServeHTTP(ww, r)
	})
}
