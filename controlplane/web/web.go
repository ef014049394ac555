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
	"net/netip"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/maintenance"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/controlplane/web/live"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// Jobs is what web asks of the jobs engine.
type Jobs interface {
	Start(ctx context.Context, a jobs.Actor, r jobs.Request) (job store.Job, fresh bool, err error)
	Again(ctx context.Context, a jobs.Actor, j store.Job) (jobs.Request, error)
	RunAgain(ctx context.Context, a jobs.Actor, id topics.JobID) (job store.Job, fresh bool, err error)
	Cancel(ctx context.Context, actor string, id topics.JobID) error
	Waits(open []store.Job) map[topics.JobID]protocol.Turn
}

// Maintenance is what web asks of who looks after repositories.
type Maintenance interface {
	Hours(ctx context.Context, repository topics.RepositoryID) (map[topics.JobKind]store.MaintenanceHours, error)
	PutHours(ctx context.Context, by string, repository topics.RepositoryID, in map[topics.JobKind]maintenance.Input) error
	Ask(ctx context.Context, actor string, repository topics.RepositoryID, kind topics.JobKind, host topics.HostID, approve string) (topics.JobID, error)
}

// Config is what the server works with.
type Config struct {
	Store       *store.Store
	Jobs        Jobs
	Maintenance Maintenance
	Hub         *jobs.Hub
	Presence    *hosts.Presence
	Bell        *hosts.Bell
	Fleet       *fleet.Board // nil is one of the server's own
	// Changed is told once after each change that somebody saved: which hosts it is
	// about, none if it belongs to no host. It must not block. Nil rings the bell.
	Changed func(...topics.HostID)
	Desk    *enroll.Desk
	Log     *slog.Logger
	Now     func() time.Time // nil is time.Now
	Agents  string           // HOST:PORT agents dial; an unspecified or loopback host is shown as the one the browser used
	Version string
	// Proxies are those whose word about a request is believed: who sent it, to
	// which name, and whether over TLS.
	Proxies []netip.Prefix
	// Consumers are the clients of the public broker.
	Consumers Consumers
	// Broker says what is wrong with the brokers, nil if they accept connections.
	// A nil function is for a control plane that ends when a broker does.
	Broker func() error
	Timing Timing // the zero value is DefaultTiming
	// Settings are shown on a page of their own.
	Settings Settings
}

// Timing holds the durations of this package.
type Timing struct {
	Idle  time.Duration // a session unused for this long is over
	Life  time.Duration // so is one that began this long ago
	Touch time.Duration // the use of a session is written down at most this often
	Link  time.Duration // how long a sign-in link is good for
	// Invitation is how long a link to set a password is good for.
	Invitation time.Duration
	Check      time.Duration // how often a stream asks whether its session still holds; what is changed here, it hears of at once
	Hash       time.Duration // how long a password waits to be looked at
	Gap        time.Duration // between two messages of a stream, but for log lines that wait
	Progress   time.Duration // between two drawings of a list whose jobs only go on
	Beat       time.Duration // a stream says something at least this often
	Poll       time.Duration // how often the add-host stream looks, besides when something happened
	Write      time.Duration // how long one message to a browser may take before it is given up
	Answer     time.Duration // how long an ordinary request may take to be read, and its answer to be written
	Cleanup    time.Duration // how often sessions that are over are removed
	Verify     time.Duration // how often all of the audit log's chain is read
	Stalled    time.Duration // a running job that says nothing for this long is called stalled; 0 is never
}

// DefaultTiming is what runs unless a test says otherwise.
func DefaultTiming() Timing {
	return Timing{Idle: time.Hour, Life: 12 * time.Hour, Touch: time.Minute, Link: 15 * time.Minute, Invitation: 24 * time.Hour, Check: 5 * time.Second, Hash: 2 * time.Second,
		Gap: 250 * time.Millisecond, Progress: time.Second, Beat: 10 * time.Second, Poll: time.Second, Write: 5 * time.Second, Answer: 30 * time.Second, Cleanup: 10 * time.Minute,
		Verify: time.Hour, Stalled: 10 * time.Minute}
}

// maxBody bounds every request's body; most routes take less.
const maxBody = 1 << 20

// A Server answers browsers and API clients. Handler may be used without Run;
// Run removes old sessions, and waits for the streams when it ends.
type Server struct {
	Config
	mux      *chi.Mux
	api      huma.API
	sessions *session.Manager
	handler  http.Handler
	chain    chain

	// What pages and API change things with.
	repositories *repositories.Service
	sources      *sources.Service
	hostSettings *hosts.Settings
	schedules    *schedule.Service

	planned         *schedule.Board // every schedule
	sharedAttention live.Recent[attentionKey, []views.Attention]

	mu      sync.Mutex
	closed  bool
	streams sync.WaitGroup
	closing chan struct{}
	changed chan struct{} // closed, and another put in its place, when somebody's rights changed
}

// New builds a server.
func New(c Config) (*Server, error) {
	if c.Store == nil || c.Jobs == nil || c.Maintenance == nil || c.Hub == nil || c.Presence == nil || c.Bell == nil || c.Desk == nil || c.Log == nil {
		return nil, errors.New("web: a part is missing in the configuration")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timing == (Timing{}) {
		c.Timing = DefaultTiming()
	}
	if c.Fleet == nil {
		c.Fleet = fleet.NewBoard(c.Store, c.Presence, c.Now)
	}
	if c.Changed == nil {
		c.Changed = func(hosts ...topics.HostID) {
			if len(hosts) == 0 {
				hosts = []topics.HostID{""}
			}
			for _, h := range hosts {
				c.Bell.Ring(h)
			}
		}
	}
	s := &Server{Config: c, mux: chi.NewMux(),
		closing: make(chan struct{}), changed: make(chan struct{})}
	s.repositories = &repositories.Service{Store: c.Store, Jobs: c.Jobs, Online: c.Presence.Reachable, Changed: c.Changed}
	s.sources = &sources.Service{Store: c.Store, Changed: c.Changed}
	s.hostSettings = &hosts.Settings{Store: c.Store, Changed: c.Changed}
	s.schedules = &schedule.Service{Store: c.Store, Changed: c.Changed, Now: c.Now}
	s.planned = schedule.NewBoard(c.Store, c.Now)
	s.sessions = session.New(c.Store, c.Log, c.Now, session.Timing{
		Idle:  c.Timing.Idle,
		Life:  c.Timing.Life,
		Touch: c.Timing.Touch,
		Link:  c.Timing.Link,
		Hash:  c.Timing.Hash,
	})
	s.api = newAPI(s)
	for _, rt := range s.routes() {
		rt.serve(s, rt)
	}
	describeStream(s.api)
	s.mux.NotFound(s.wrap(func(http.ResponseWriter, *http.Request) error { return problem.NoPage }))
	s.mux.MethodNotAllowed(s.wrap(s.wrongMethod))
	s.handler = s.recovered(session.Proxies(s.Proxies).Unwrap(s.headers(s.bounded(s.mux))))
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
	verified := make(chan struct{})
	go func() {
		defer close(verified)
		s.verifyNowAndThen(ctx)
	}()
	defer func() { <-verified }()
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

// begin notes a stream. Its context ends with the request's, with the server,
// and when whoever opened it may not listen any more: [errOut].
func (s *Server) begin(r *http.Request) (ctx context.Context, end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, problem.Stopping
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	s.streams.Add(2)
	go func() {
		defer s.streams.Done()
		s.watchOver(ctx, session.Of(ctx), cancel)
	}()
	return ctx, func() {
		cancel(nil)
		s.streams.Done()
	}, nil
}

var errOut = errors.New("the visitor may not listen any more")

// watchOver ends a stream with the server, or with its visitor's rights.
func (s *Server) watchOver(ctx context.Context, v *session.Visitor, cancel context.CancelCauseFunc) {
	check := time.NewTicker(s.Timing.Check)
	defer check.Stop()
	for {
		s.mu.Lock()
		changed := s.changed // before the look, so that nothing falls between
		s.mu.Unlock()
		if !s.sessions.Still(ctx, v) {
			cancel(errOut)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-s.closing:
			cancel(problem.Stopping)
			return
		case <-changed:
		case <-check.C:
		}
	}
}

// recheck has every stream look at once whether its visitor may still listen.
func (s *Server) recheck() {
	s.mu.Lock()
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
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
		_ = rc.SetReadDeadline(s.deadline(s.Timing.Answer))
		_ = rc.SetWriteDeadline(s.deadline(s.Timing.Answer))
		if r, ok := s.limited(w, r, maxBody); ok {
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
			s.fail(ww, r, problem.Unknown(nil))
		}()
		next.ServeHTTP(ww, r)
	})
}
