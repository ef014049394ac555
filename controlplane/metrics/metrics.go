// Package metrics tells Prometheus how the fleet, the repositories and the control plane
// are: one page of text, made when somebody asks for it, from what pages and topics read.
// It starts no job, asks no host, and reads a fixed number of rows of the database.
//
// Of each host and repository it writes the lines itself and keeps them while they stay
// true; what there is once is told by Prometheus' own library. All families stand in one
// table, see [Families].
package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/controlplane/space"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// Config is what a page of metrics needs. None of the functions may wait for a host.
type Config struct {
	Access  Access
	Store   *store.Store
	Fleet   *fleet.Board
	Live    func(context.Context) ([]alerts.Alert, error) // alerts that are not over
	Brokers func() map[string]broker.Stats                // by name
	Inflow  func() jobs.Inflow
	Turns   func() map[string]time.Time // when parts last came round
	Space   func() space.Status
	Outbox  func() []Outlet
	Uplink  func() Uplink
	Version string
	Log     *slog.Logger
	Now     func() time.Time
}

// atOnce is how many answers are sent at once. Those who ask beyond that are to ask again.
const atOnce = 8

// longest is how long an answer may be in the making.
const longest = 30 * time.Second

// A Page is /metrics. Its methods may be called from any goroutine.
type Page struct {
	Config
	gate    *gate
	runtime *prometheus.Registry
	sending chan struct{}

	mu     sync.Mutex
	making *making // the scrape that is in the making, nil if none is

	// Used by whoever makes a scrape, one after the other.
	blocks blocks
	repos  repositories
	last   moment // what was read last
}

// A making is a scrape that is made. Those who ask meanwhile wait for it.
type making struct {
	done   chan struct{}
	scrape scrape
	err    error
}

// New returns a page. It is an error if the token's file is of no use.
func New(c Config) (*Page, error) {
	g, err := newGate(c.Access, c.Log)
	if err != nil {
		return nil, err
	}
	p := &Page{Config: c, gate: g, runtime: prometheus.NewRegistry(), sending: make(chan struct{}, atOnce)}
	p.repos = repositories{since: c.Store.RepositoriesSince, mark: -1}
	return p, errors.Join(p.runtime.Register(collectors.NewGoCollector()),
		p.runtime.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})))
}

// Lets reports whether a request is answered; else there is no such page. from is whose it
// is, vouched whether all that it says about where it came from was said by proxies that
// are trusted.
func (p *Page) Lets(r *http.Request, from netip.Addr, vouched bool) bool {
	return p.gate.lets(r, from, vouched)
}

// Notices says what keeps Prometheus from reading metrics.
func (p *Page) Notices(ctx context.Context) []notices.Notice { return p.gate.notices(ctx) }

// ServeHTTP answers with all metrics, in Prometheus' text format.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case p.sending <- struct{}{}:
		defer func() { <-p.sending }()
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, "Too many scrapes at once.", http.StatusServiceUnavailable)
		return
	}
	s, err := p.scraped(r.Context())
	if err != nil {
		if r.Context().Err() == nil {
			p.Log.Error("telling metrics failed", "err", err)
			http.Error(w, "The metrics cannot be told now; the log of the control plane says why.", http.StatusInternalServerError)
		}
		return
	}
	zipped := acceptsGzip(r)
	h := w.Header()
	h.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	h.Add("Vary", "Accept-Encoding")
	if zipped {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", length(s.size(zipped)))
	if r.Method == http.MethodHead {
		return
	}
	_ = s.write(w, zipped) // a client that has gone is not our failure
}

func acceptsGzip(r *http.Request) bool {
	for _, one := range strings.Split(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, q, _ := strings.Cut(one, ";")
		q = strings.ReplaceAll(q, " ", "")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") && q != "q=0" && q != "q=0.0" {
			return true
		}
	}
	return false
}

// scraped is the scrape that is in the making, or a new one.
func (p *Page) scraped(ctx context.Context) (scrape, error) {
	p.mu.Lock()
	m := p.making
	if m == nil {
		m = &making{done: make(chan struct{})}
		p.making = m
		go func() {
			// It is not only whoever asked first that waits for it.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longest)
			defer cancel()
			defer func() {
				if r := recover(); r != nil {
					m.err = fmt.Errorf("writing metrics panicked: %v", r)
				}
				p.mu.Lock()
				p.making = nil
				p.mu.Unlock()
				close(m.done)
			}()
			m.scrape, m.err = p.make(ctx)
		}()
	}
	p.mu.Unlock()
	select {
	case <-m.done:
		return m.scrape, m.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// parts are what is read for a scrape, as restic_manager_read_success has them.
var parts = []string{"fleet", "repositories", "alerts", "jobs", "notifications"}

// make reads everything and writes it. What cannot be read is told as it was before, and
// said to be so: that the database does not answer is no reason to end alerts.
func (p *Page) make(ctx context.Context) (scrape, error) {
	was, now := p.last, p.Now()
	m := moment{version: p.Version, now: now, wrong: map[string]bool{}, fleet: was.fleet, alerts: was.alerts, ended: was.ended,
		waiting: was.waiting, sizes: was.sizes, overview: was.overview}
	tried := func(part string, err error) bool {
		if err != nil {
			m.wrong[part] = true
			p.Log.Warn("reading what metrics tell failed", "part", part, "err", err)
		}
		return err == nil
	}
	if f, err := p.Fleet.Now(ctx); tried("fleet", err) {
		m.fleet, m.overview = f, counted(f)
	}
	if list, err := p.Live(ctx); tried("alerts", err) {
		m.alerts = list
	}
	tried("repositories", p.repos.update(ctx, now))
	g := p.Store.Gauges()
	if list, err := g.Ended(ctx); tried("jobs", err) {
		m.ended = list
	}
	if w, err := g.Waiting(ctx); tried("notifications", err) {
		m.waiting = &w
	}
	m.outlets, m.uplink = p.Outbox(), p.Uplink()
	if database, log, err := g.Sizes(); err == nil {
		m.sizes = map[string]int64{"database": database, "wal": log}
	}
	m.brokers, m.inflow, m.turns, m.space, m.taken = p.Brokers(), p.Inflow(), p.Turns(), p.Space(), g.Writes.Taken()
	p.last = m

	var s scrape
	if m.fleet != nil {
		alerting := map[topics.HostID]int{}
		for _, a := range m.alerts {
			alerting[a.Host]++
		}
		for i, list := range p.blocks.update(m.fleet.ByID(), alerting, now) {
			if len(list) > 0 {
				s = append(append(s, hostHeads[i]), list...)
			}
		}
	}
	for i, one := range p.repos.write(now) {
		if len(one.text) > 0 {
			s = append(s, repositoryHeads[i], one)
		}
	}
	rest, err := encode(&m, p.runtime)
	return append(s, &part{text: rest}), err
}

var hostHeads, repositoryHeads = func() (a, b []*part) {
	for _, f := range hostFamilies {
		a = append(a, &part{text: []byte(head(f.Family))})
	}
	for _, f := range repositoryFamilies {
		b = append(b, &part{text: []byte(head(f.Family))})
	}
	return a, b
}()

// encode writes what the library tells.
func encode(m *moment, runtime prometheus.Gatherer) ([]byte, error) {
	own := prometheus.NewRegistry()
	if err := own.Register(m); err != nil {
		return nil, err
	}
	families, err := prometheus.Gatherers{own, runtime}.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			return nil, fmt.Errorf("write metrics: %w", err)
		}
	}
	return b.Bytes(), nil
}
