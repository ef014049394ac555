// Package evil plays everybody who may turn against us: a stolen agent with a
// valid certificate, a broker that records, replays, alters and reorders, a
// control plane that holds every key of the server, and strangers at the port.
// Each attack is tried for real; afterwards it looks at what was to be kept: the
// file system, a ledger of what was run, the database, and the audit log.
//
// The package holds nothing but tests.
package evil

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/agent/link"
	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// soak is whether everything is played in its full size.
var soak = false

// raced is whether the race detector watches, which makes all slower and larger.
var raced = false

func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv("RESTIC_MANAGER_SOAK")); err == nil && n > 0 {
		soak = true
	}
	if len(os.Args) > 1 {
		if role := roles[os.Args[1]]; role != nil {
			if err := role(context.Background(), os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(m.Run())
}

// roles are what this program does as a process of its own.
var roles = map[string]func(context.Context, []string) error{"plane": runPlane, "agent": runAgent}

// planeTiming is a control plane that notices within a second.
func planeTiming() controlplane.Timing {
	t := controlplane.DefaultTiming()
	t.Jobs.Protocol.Resend, t.Jobs.Protocol.Retry = []time.Duration{time.Second}, time.Second
	t.Jobs.Tick, t.Jobs.Settle, t.Guard = 50*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond
	return t
}

func agentTiming() agent.Timing {
	t := agent.DefaultTiming()
	t.Link = link.Timing{
		Connect:    10 * time.Second,
		Write:      10 * time.Second,
		Ping:       10 * time.Second,
		KeepAlive:  10 * time.Second,
		Welcome:    10 * time.Second,
		Farewell:   time.Second,
		Backoff:    50 * time.Millisecond,
		BackoffCap: 200 * time.Millisecond,
		Refused:    time.Second,
	}
	t.Protocol.Retry = time.Second
	t.Restic = restic.Timing{CancelGrace: time.Second, PipeGrace: time.Second}
	t.Heartbeat, t.Reap, t.Retry, t.Renew = 200*time.Millisecond, time.Second, 100*time.Millisecond, 200*time.Millisecond
	return t
}

// A plane is a control plane as a test needs it: the real one, or one taken apart.
type plane struct {
	t      *testing.T
	dir    string
	store  *store.Store
	desk   *enroll.Desk
	engine *jobs.Engine
	agents string // HOST:PORT
	pages  string // the same, of pages and API
	log    *e2e.Text
}

// newPlane runs the real control plane in this process.
func newPlane(t *testing.T, life time.Duration) *plane {
	t.Helper()
	p := &plane{t: t, dir: t.TempDir(), log: &e2e.Text{}}
	timing := planeTiming()
	timing.HostLife = life
	storetest.Make(t, filepath.Join(p.dir, "data"), store.Open)
	c := e2e.Must(controlplane.New(t.Context(), controlplane.Config{
		Data:   filepath.Join(p.dir, "data"),
		HTTP:   "127.0.0.1:0",
		Agents: "127.0.0.1:0",
		MQTT:   "127.0.0.1:0",
		Log:    slog.New(slog.NewTextHandler(p.log, nil)),
		Timing: timing,
		Logs:   controlplane.DefaultLogs(),
		Limits: protocol.DefaultLimits(),
	}))
	p.store, p.desk, p.engine, p.agents = c.Store, c.Desk, c.Jobs, c.AgentsAddr()
	p.pages = c.HTTPAddr()
	p.run(c.Run, c.Close)
	return p
}

func (p *plane) run(run func(context.Context) error, done func() error) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	p.t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, done()); err != nil {
			p.t.Error(err)
		}
		if p.t.Failed() {
			p.t.Logf("the control plane's log:\n%.8000s", p.log.String())
		}
	})
}

func (p *plane) host(id topics.HostID) store.Host {
	return e2e.Must(p.store.Host(context.Background(), id))
}

// audited counts entries of the audit log.
func (p *plane) audited(action, target string) (n int) {
	for _, e := range e2e.Must(p.store.AuditEntries(context.Background(), store.AuditFilter{}, 10_000)) {
		if e.Action == action && e.Target == target {
			n++
		}
	}
	return n
}

// A machine is a host whose agent runs in this process, with real restic behind
// a ledger.
type machine struct {
	t      *testing.T
	plane  *plane
	dir    string
	id     topics.HostID
	ledger string
	log    *e2e.Text
	stop   func()
}

func (m *machine) at(parts ...string) string {
	return filepath.Join(append([]string{m.dir}, parts...)...)
}
func (m *machine) state() string { return m.at("state") }

func (m *machine) write(name, content string) {
	m.t.Helper()
	path := m.at(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// enrol lets a machine in under a policy. The agent is not started.
func (p *plane) enrol(name string, policy agent.Policy) *machine {
	p.t.Helper()
	dir := e2e.Must(filepath.EvalSymlinks(p.t.TempDir()))
	m := &machine{t: p.t, plane: p, dir: dir, ledger: filepath.Join(dir, "ledger"), log: &e2e.Text{}}
	m.write("home/letter.txt", "dear reader")
	real, err := exec.LookPath("restic")
	if err != nil {
		p.t.Fatal("these tests need restic on PATH")
	}
	// Each argument on a line of its own, and what the environment adds.
	m.write("restic.sh", "#!/bin/sh\nfor a in \"$@\"; do echo \"arg $a\"; done >> "+m.ledger+
		"\nenv | grep -i '^restic\\|^rclone' | sed 's/^/env /' >> "+m.ledger+"\nexec "+real+" \"$@\"\n")
	if err := os.Chmod(m.at("restic.sh"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	_, token, err := p.desk.Issue(p.t.Context(), "test", name, time.Hour)
	if err != nil {
		p.t.Fatal(err)
	}
	if policy.Name == "" {
		policy = e2e.Must(agent.Preset(agent.PolicyBackup, m.state()))
	}
	if policy.Name != agent.PolicyManaged {
		policy.RepositoryRoots = append(slices.Clone(policy.RepositoryRoots), dir)
	}
	identity, err := agent.Enrolment{Server: p.agents, Token: token.Reveal(), State: m.state(), Policy: policy}.Run(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	m.id = identity.Host
	return m
}

// start runs the agent until the test ends or stop is called, and waits until it is
// connected.
func (m *machine) start() {
	m.t.Helper()
	m.run()
	m.awaitOnline()
}

// run runs the agent until the test ends or stop is called.
func (m *machine) run() {
	m.t.Helper()
	a := agent.Agent{State: m.state(), Restic: m.at("restic.sh"), Timing: agentTiming(), Log: slog.New(slog.NewTextHandler(m.log, nil))}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			m.t.Errorf("the agent ended with %v", err)
		}
		e2e.Await(m.t, "the control plane to know that it ended", func() error {
			if m.plane.engine.Presence.Reachable(m.id) {
				return errors.New("it is reachable")
			}
			return nil
		})
	})
	m.t.Cleanup(func() {
		m.stop()
		if m.t.Failed() {
			m.t.Logf("the log of the agent of %s:\n%.8000s", m.id, m.log.String())
		}
	})
}

func (m *machine) awaitOnline() {
	m.t.Helper()
	e2e.Await(m.t, "the host to be online", func() error {
		if !m.plane.engine.Presence.Reachable(m.id) {
			return errors.New("it is not reachable")
		}
		return nil
	})
}

// ran is every argument restic was run with so far.
func (m *machine) ran() string {
	b, err := os.ReadFile(m.ledger)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(b)
}

// group gives the host something to back up, into an empty repository of its own.
func (m *machine) group() store.SourceGroup {
	m.t.Helper()
	if err := resticrepo.Make(m.at("vault"), "correct horse"); err != nil {
		m.t.Fatal(err)
	}
	id := topics.NewID(time.Now())
	if err := m.plane.store.AddRepository(m.t.Context(), "test", store.Repository{ID: topics.RepositoryID(id), Name: "of " + string(m.id),
		Location: m.at("vault")},
		store.RepositoryAccess{URL: topics.Secret(m.at("vault")), Password: "correct horse"}); err != nil {
		m.t.Fatal(err)
	}
	return e2e.Must(m.plane.store.PutSourceGroup(m.t.Context(), "test", store.SourceGroup{
		ID:         topics.SourceGroupID(id),
		Host:       m.id,
		Name:       "home",
		Repository: topics.RepositoryID(id),
		Paths:      store.List{m.at("home")},
	}))
}

// backup asks for one and waits for its end.
func (m *machine) backup() store.Job {
	m.t.Helper()
	j, _, err := m.plane.engine.AskBackup(m.t.Context(), "test", m.id, "")
	if err != nil {
		m.t.Fatal(err)
	}
	return m.plane.ended(j.ID)
}

func (p *plane) ended(id topics.JobID) (j store.Job) {
	p.t.Helper()
	e2e.Await(p.t, "the job to end", func() error {
		if j = e2e.Must(p.store.Job(context.Background(), id)); !j.State.Ended() {
			return fmt.Errorf("it is %s", j.State)
		}
		return nil
	})
	return j
}

// identity is what a thief finds in a state directory.
func (m *machine) identity() (i agent.Identity) {
	if err := json.Unmarshal(e2e.Must(os.ReadFile(filepath.Join(m.state(), "identity.json"))), &i); err != nil {
		m.t.Fatal(err)
	}
	return i
}

// A hostile plane is the control plane taken apart, with a broker that lets
// everybody do everything and a hand on every message in both directions.
type hostile struct {
	*plane
	key      seal.Key
	presence *hosts.Presence
	broker   *broker.Broker

	mu   sync.Mutex
	up   func(topic string, payload []byte, pass func(string, []byte)) // what agents say
	down func(topic string, payload []byte, pass func(string, []byte)) // what we say
	seen []message
	n    uint64
}

type message struct {
	topic   string
	payload []byte
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	ctx := t.Context()
	p := &plane{t: t, dir: t.TempDir(), log: &e2e.Text{}}
	log := slog.New(slog.NewTextHandler(p.log, nil))
	p.store = e2e.Must(store.Open(ctx, filepath.Join(p.dir, "data"), ""))
	h := &hostile{plane: p, key: e2e.Must(controlplane.SealKey(ctx, p.store))}
	p.desk = &enroll.Desk{Store: p.store, CA: e2e.Must(enroll.OpenCA(ctx, p.store, time.Now)), SealKey: h.key.Public(), Log: log}
	h.presence = hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil)
	timing := planeTiming()
	p.engine = jobs.New(jobs.Config{
		Store:    p.store,
		Key:      h.key,
		Presence: h.presence,
		Hub:      jobs.NewHub(),
		Log:      log,
		Timing:   timing.Jobs,
		Now:      time.Now,
		Send:     h.send,
	})
	h.broker = e2e.Must(broker.New(broker.Config{Name: "hostile", Log: log, Limits: broker.DefaultAgents(), Received: h.received,
		Authorise: func(c broker.Connect) (broker.Rights, error) {
			r := broker.Rights{Name: c.ClientID, Publish: []string{"#"}, Subscribe: []string{"#"}, Retain: []string{"#"}}
			if c.Will != nil {
				r.Will = c.Will.Topic
			}
			return r, nil
		}}))
	ln := e2e.Must(net.Listen("tcp", "127.0.0.1:0"))
	p.agents = ln.Addr().String()
	web := newDoor(ln.Addr(), p.desk.Handler())
	p.run(func(ctx context.Context) error {
		ended := make(chan error, 4)
		go func() { ended <- h.broker.Run(ctx) }()
		go func() { ended <- p.engine.Run(ctx) }()
		go func() { ended <- web.run(ctx) }()
		go func() {
			conf, err := p.desk.ServerTLS()
			if err == nil {
				err = h.broker.Serve(ctx, ln, conf, map[string]func(net.Conn){topics.ALPNHTTP: web.give})
			}
			ended <- err
		}()
		return errors.Join(<-ended, <-ended, <-ended, <-ended)
	}, p.store.Close)
	return h
}

func (h *hostile) received(m broker.Message) error {
	pass := func(topic string, payload []byte) {
		t, err := topics.Parse(topic)
		h.engine.Received(topic, payload, err == nil && t.Entry().Retained)
	}
	h.mu.Lock()
	h.seen = append(h.seen, message{m.Topic, m.Payload})
	act := h.up
	h.mu.Unlock()
	if act == nil {
		pass(m.Topic, m.Payload)
		return nil
	}
	act(m.Topic, m.Payload, pass)
	return nil
}

func (h *hostile) send(topic string, payload []byte) error {
	pass := func(topic string, payload []byte) { _ = h.broker.Publish(topic, payload, 1, false) }
	h.mu.Lock()
	h.seen = append(h.seen, message{topic, payload})
	act := h.down
	h.mu.Unlock()
	if act == nil {
		pass(topic, payload)
		return nil
	}
	act(topic, payload, pass)
	return nil
}

func (h *hostile) recorded() []message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]message(nil), h.seen...)
}

// dial opens a connection to the agents' port as the holder of an identity.
func (m *machine) dial(i agent.Identity) (*tls.Conn, error) { return dialAs(m.plane.agents, i) }
