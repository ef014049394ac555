// Package controlplane composes the store, the two brokers and the
// capabilities into one Run. It never touches the bytes of a backup.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane/alerts"
	"github.com/restic-manager/restic-manager/controlplane/alerts/delivery"
	"github.com/restic-manager/restic-manager/controlplane/asking"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/controlplane/discovery"
	"github.com/restic-manager/restic-manager/controlplane/drills"
	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/explorer"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/handout"
	"github.com/restic-manager/restic-manager/controlplane/heartbeat"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/maintenance"
	"github.com/restic-manager/restic-manager/controlplane/metrics"
	"github.com/restic-manager/restic-manager/controlplane/mirroring"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/controlplane/pause"
	"github.com/restic-manager/restic-manager/controlplane/public"
	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/controlplane/reach"
	"github.com/restic-manager/restic-manager/controlplane/rekey"
	"github.com/restic-manager/restic-manager/controlplane/removal"
	"github.com/restic-manager/restic-manager/controlplane/replace"
	"github.com/restic-manager/restic-manager/controlplane/restics"
	"github.com/restic-manager/restic-manager/controlplane/rollout"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/controlplane/self"
	"github.com/restic-manager/restic-manager/controlplane/shelf"
	"github.com/restic-manager/restic-manager/controlplane/space"
	"github.com/restic-manager/restic-manager/controlplane/upkeep"
	"github.com/restic-manager/restic-manager/controlplane/uplink"
	"github.com/restic-manager/restic-manager/controlplane/web"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/zone"
	"github.com/restic-manager/restic-manager/lobby"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/release"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/copies"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/sweep"
	"github.com/restic-manager/restic-manager/topics"
)

// Version is the control plane's, set at build time.
var Version = "dev"

// Off, in place of an address, has the control plane not listen there.
const Off = "off"

// Config says where a control plane keeps its data and where it listens.
type Config struct {
	Data   string         // directory of the database
	Key    keyring.Source // of the secrets; the zero value is the file Data.key, beside it
	Mark   string         // file of the database's mark; "" is beside the key's
	HTTP   string         // web pages and API
	Agents string         // agents: MQTT and enrolment over TLS
	MQTT   string         // consumers: the public broker; "" or Off has none
	Log    *slog.Logger
	Timing Timing
	Uplink uplink.Flags // a broker of the user's own, above what somebody set
	// PublicURL is where people find the pages, for links in messages; it wins over what
	// somebody set. "" is not said.
	PublicURL string
	// AgentsPublic is the address that agents dial, HOST:PORT; it wins over what somebody
	// set. "" is not said.
	AgentsPublic string
	// AgentsDir has the programs and packages of agents that are handed out; "" is one
	// of handout.DirsOf.
	AgentsDir string
	Logs      Logs
	Limits    protocol.Limits
	Space     space.Limits // of the data directory's disk; the zero value does not watch it
	Copies    int          // of the database that are kept; 0 is self.Kept

	QueryCache int64 // bytes of answers about snapshots that are kept in memory; 0 is queries.DefaultCache

	// AcceptRollback starts on a database that is behind its mark.
	AcceptRollback bool

	// Now is the clock by which schedules fire and protection is judged; nil is the
	// computer's.
	Now func() time.Time

	// MQTTCert and MQTTKey are the files with which consumers are served over TLS; "" are
	// those of the pages, where MQTT is not an address of this machine alone. MQTTInsecure
	// serves them in clear wherever they are.
	MQTTCert, MQTTKey string
	MQTTInsecure      bool
	MQTTOrigins       []string // of pages elsewhere that may open a WebSocket to the public broker

	Connections     Connections
	TLSCert, TLSKey string         // files; "" serves the pages without TLS
	Proxies         []netip.Prefix // believed about where requests come from

	Metrics metrics.Access // who may read metrics; the zero value is nobody
}

// Logs says how much of the jobs' logs is kept.
type Logs struct {
	Lines     int // of each job
	Retention store.Retention
	JobAge    time.Duration // records of jobs and maintenance that ended longer ago are removed; 0 keeps them
}

// DefaultLogs is what runs unless somebody says otherwise.
func DefaultLogs() Logs {
	return Logs{Lines: store.LogLines, Retention: store.DefaultRetention(), JobAge: sweep.DefaultRecordAge}
}

// Timing gathers the durations of the parts, so that tests can shrink them.
type Timing struct {
	Jobs        jobs.Timing
	Hosts       hosts.Timing
	Outbox      outbox.Timing
	Discovery   discovery.Timing
	Public      public.Timing
	Schedule    schedule.Timing
	Web         base.Timing
	Maintenance maintenance.Timing
	Upkeep      upkeep.Timing
	Self        self.Timing
	Alerts      alerts.Timing
	Delivery    delivery.Timing
	Uplink      uplink.Timing
	Rekey       rekey.Timing
	Sweep       time.Duration // between two looks at what retention removes
	Imports     time.Duration // between two looks at what imports still have in hand
	Guard       time.Duration // between two looks at who is trusted no longer
	HostLife    time.Duration // of the certificates of hosts
	Consumer    time.Duration // between two looks whether connected consumers still may be
}

// DefaultTiming is what runs unless a test says otherwise.
func DefaultTiming() Timing {
	return Timing{Jobs: jobs.DefaultTiming(), Hosts: hosts.DefaultTiming(), Outbox: outbox.DefaultTiming(), Public: public.DefaultTiming(),
		Discovery: discovery.DefaultTiming(),
		Schedule:  schedule.DefaultTiming(), Web: base.DefaultTiming(), Maintenance: maintenance.DefaultTiming(), Self: self.DefaultTiming(),
		Upkeep: upkeep.DefaultTiming(), Alerts: alerts.DefaultTiming(), Delivery: delivery.DefaultTiming(),
		Uplink: uplink.DefaultTiming(), Rekey: rekey.DefaultTiming(), Sweep: time.Hour,
		Imports: 5 * time.Second, Guard: time.Second, HostLife: enroll.HostLife, Consumer: 400 * time.Millisecond}
}

// A Plane is a control plane that is listening and not yet serving.
type Plane struct {
	Store *store.Store
	Desk  *enroll.Desk
	Jobs  *jobs.Engine
	Hub   *jobs.Hub
	Web   *web.Server

	data        string
	claimed     *os.File // ours until it is closed
	log         *slog.Logger
	timing      Timing
	retention   store.Retention
	jobAge      time.Duration
	removal     *removal.Service
	self        *self.Service
	replaced    *replace.Reminder
	presence    *hosts.Presence
	space       *space.Watch
	upkeep      *upkeep.Keeper
	notices     *notices.List // what people should know about the plane itself
	bell        *hosts.Bell
	fleet       *fleet.Board
	box         *outbox.Box        // what is said to brokers that others listen to
	discovery   *discovery.Service // tells Home Assistant what there is
	publisher   *public.Publisher
	schedules   *schedule.Runner
	maintenance *maintenance.Runner
	mirroring   *mirroring.Service
	queries     *queries.Asker
	drills      *drills.Service
	rollouts    *rollout.Service   // updates agents
	rekey       *rekey.Service     // changes passwords of repositories
	heartbeat   *heartbeat.Service // says elsewhere that all of it works
	uplink      *uplink.Service    // a broker of the user's own
	alerts      *alerts.Service
	channels    *channels.Service
	queue       *delivery.Queue
	explorer    *explorer.Explorer // what consumers can read
	restics     *restics.Service   // has hosts fetch restic
	handout     *handout.Service   // gives hosts their agent
	agents      *broker.Broker
	session     topics.Session // of this process, as agents are told
	consumers   *broker.Broker
	admitted    admitted
	hearing     hearing
	credentials credentials
	asking      *asking.Service
	denials     chan asking.Wish // that the public broker refused by itself
	https       *certificate     // nil serves the pages without TLS
	mqtts       *certificate     // nil serves consumers without TLS
	pages       *lobby.Lobby     // who is connected to the pages
	moving      atomic.Pointer[enroll.Succession]
	movingAt    time.Time // when it was noted; guard's

	httpLn, agentsLn, mqttLn net.Listener
}

// New claims the data directory, and opens the database and the ports. A plane
// whose Run is never called must be closed.
func New(ctx context.Context, c Config) (*Plane, error) {
	if c.MQTT == Off {
		c.MQTT = ""
	}
	if err := c.checkMQTT(); err != nil {
		return nil, err
	}
	claimed, err := Claim(c.Data)
	if err != nil {
		return nil, err
	}
	s, err := store.OpenWith(ctx, c.Data, store.Options{Key: c.Key, Mark: c.Mark, Upgrade: true, AcceptRollback: c.AcceptRollback})
	if err != nil {
		return nil, errors.Join(err, claimed.Close())
	}
	for _, said := range s.Mended {
		c.Log.Warn(said)
	}
	if s.Copied != "" {
		c.Log.Info("the database was brought up to date; a copy of before is kept until the next time", "copy", s.Copied)
	}
	s.LogLines = c.Logs.Lines
	p := &Plane{
		Store:     s,
		data:      c.Data,
		claimed:   claimed,
		log:       c.Log,
		timing:    c.Timing,
		retention: c.Logs.Retention,
		jobAge:    c.Logs.JobAge,
		removal:   &removal.Service{Store: s},
		notices:   &notices.List{},
		bell:      &hosts.Bell{},
		Hub:       jobs.NewHub(),
		denials:   make(chan asking.Wish, 64),
	}
	p.notices.Add(misplacedKey(s.KeyMisplaced()))
	p.notices.Add(exposedKey(s))
	p.upkeep = &upkeep.Keeper{Store: s, Log: c.Log, Timing: c.Timing.Upkeep, Version: Version, Accepted: c.AcceptRollback}
	p.notices.Add(p.upkeep.Notices)
	p.notices.Add(p.successionSays)
	if err = p.upkeep.Start(ctx); err == nil {
		err = p.compose(ctx, c)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// misplacedKey is the notice that the key lies beside what it encrypts, if it does. It
// is looked at when the plane starts: moving the key takes a stop.
func misplacedKey(say, remedy string) notices.Source {
	return func(context.Context) []notices.Notice {
		if say == "" {
			return nil
		}
		return []notices.Notice{{ID: "key-in-data", Severity: notices.Warning, Say: say, Remedy: remedy}}
	}
}

// exposedKey is the notice that everybody on the machine can read the key, while that is so.
func exposedKey(s *store.Store) notices.Source {
	return func(context.Context) []notices.Notice {
		say, remedy := s.KeyExposed()
		if say == "" {
			return nil
		}
		return []notices.Notice{{ID: "key-exposed", Severity: notices.Failure, Say: say, Remedy: remedy}}
	}
}

func (p *Plane) compose(ctx context.Context, c Config) error {
	ca, err := enroll.OpenCA(ctx, p.Store, time.Now)
	if err != nil {
		return err
	}
	key, err := SealKey(ctx, p.Store)
	if err != nil {
		return err
	}
	now := c.Now
	if now == nil {
		now = time.Now
	}
	rows, err := p.Store.Hosts(ctx)
	if err != nil {
		return err
	}
	kept := c.Copies
	if kept == 0 {
		kept = self.Kept
	}
	p.self = &self.Service{Store: p.Store, Data: c.Data, Keep: kept, Timing: c.Timing.Self, Log: c.Log,
		Spare: func() uint64 { return p.space.Spare() }, Changed: func() { p.decided() }}
	p.notices.Add(p.self.Notices)
	plane, err := p.Store.PlaneOf(ctx)
	if err != nil {
		return err
	}
	p.credentials.now = now
	p.notices.Add(p.credentials.Notices)
	p.replaced = &replace.Reminder{Store: p.Store}
	p.notices.Add(p.replaced.Notices)
	p.presence = hosts.NewPresence(c.Timing.Hosts, now, rows)
	p.fleet = fleet.NewBoard(p.Store, p.presence, now)
	stopped, err := p.Store.LastTried(ctx)
	if err != nil {
		return err
	}
	for _, h := range rows {
		stopped = max(stopped, h.LastSeen)
	}
	p.watch(c, now, stopped)
	p.Desk = &enroll.Desk{Store: p.Store, CA: ca, SealKey: key.Public(), Log: c.Log, Enrolled: p.enrolled, Changed: p.decided}
	if c.Timing.HostLife > 0 {
		ca.HostLife = c.Timing.HostLife
	}
	if _, err := p.Desk.Load(ctx); err != nil {
		return err
	}
	p.session = topics.Session{Epoch: plane.Epoch, N: uint64(now().UnixMilli())}
	ofAgents, ofConsumers := p.bound(c.Connections, c.Proxies, c.Log)
	p.agents, err = broker.New(broker.Config{Name: "agents", Log: c.Log, Limits: ofAgents, Versions: []byte{broker.MQTT311},
		Shared: c.Connections.Shared, Proxies: c.Connections.Proxies, Authorise: p.admitAgent, Received: p.heard, Denied: p.denied})
	if err != nil {
		return err
	}
	p.consumers, err = broker.New(broker.Config{
		Name:      "public",
		Guests:    true,
		Log:       c.Log,
		Limits:    ofConsumers,
		Shared:    slices.Concat(ours, c.Connections.Shared), // a proxy beside us adds TLS
		Proxies:   c.Connections.Proxies,
		Versions:  []byte{broker.MQTT311, broker.MQTT5},
		Authorise: p.admitConsumer,
		Received:  p.commanded,
		Denied:    p.beyond,
	})
	if err != nil {
		return err
	}
	p.schedules = schedule.NewRunner(schedule.Config{
		Store:   p.Store,
		Online:  p.presence.Reachable,
		Offline: func(h topics.HostID) bool { c, _ := p.presence.Connection(h); return c == hosts.Offline },
		Full:    p.presence.Full,
		Changed: p.changed,
		Stir:    func() { p.Jobs.Stir() },
		Log:     c.Log,
		Timing:  c.Timing.Schedule,
		Now:     now,
	})
	p.Jobs = jobs.New(jobs.Config{
		Store:     p.Store,
		Epoch:     plane.Epoch,
		HearUntil: jobs.HearUntil(plane.RestoredAt, now()),
		Key:       key,
		Keys:      p.Desk.Keys,
		Follows:   p.Desk.Follows,
		Presence:  p.presence,
		Hub:       p.Hub,
		Log:       c.Log,
		Timing:    c.Timing.Jobs,
		Limits:    c.Limits,
		Now:       now,
		Send:      func(topic string, payload []byte) error { return p.agents.Publish(topic, payload, 1, false) },
		Changed:   p.changed,
		Cut:       p.cut,
		Came:      p.schedules.HostCame,
		Short:     func() bool { return p.space.Holds() },
		Refuses:   func() bool { return p.space.Refuses() },
	})
	p.rollouts = &rollout.Service{Store: p.Store, Jobs: p.Jobs, Board: p.fleet, Beyond: p.Jobs.Beyond, Changed: p.decided,
		Log: c.Log, Now: now,
		Release: func() shelf.Release { return p.handout.Release(release.Pinned()) }, Seen: func() { p.publisher.Newer() }}
	p.restics = &restics.Service{Store: p.Store, Jobs: p.Jobs, Dir: restics.DirOf(c.Data)}
	p.notices.Add(p.rollouts.Notices)
	p.rekey = rekey.New(rekey.Service{Store: p.Store, Jobs: p.Jobs, Online: p.presence.Reachable, Changed: p.decided, Log: c.Log,
		Timing: c.Timing.Rekey, Oldest: func() int64 { return copies.Oldest(c.Data) }})
	p.asking = asking.New(asking.Config{Store: p.Store, Jobs: p.Jobs, Say: p.say, Log: c.Log, Now: now,
		Pause: &pause.Service{Store: p.Store, Now: now, Changed: p.decided}})
	p.queries = queries.New(queries.Config{Store: p.Store, Jobs: p.Jobs, Presence: p.presence, Log: c.Log, Cache: c.QueryCache})
	p.Jobs.Answered = p.queries.Answered
	p.self.Online = p.presence.Reachable
	p.self.List = func(ctx context.Context, host topics.HostID, repository topics.RepositoryID, place topics.HostID) error {
		_, _, err := p.Jobs.AskAt(ctx, store.Plane, jobs.Order{Host: host, Kind: topics.SnapshotsJob, Repository: repository, Place: place})
		return err
	}
	p.maintenance = maintenance.NewRunner(maintenance.Config{
		Store:   p.Store,
		Jobs:    p.Jobs,
		Online:  p.presence.Reachable,
		Changed: p.decided,
		Log:     c.Log,
		Timing:  c.Timing.Maintenance,
		Now:     now,
	})
	p.mirroring = &mirroring.Service{Store: p.Store, Jobs: p.Jobs, Online: p.presence.Reachable, Changed: p.decided, Log: c.Log,
		Timing: mirroring.Timing{Tick: c.Timing.Maintenance.Tick, RetryMax: c.Timing.Maintenance.RetryMax}, Now: now}
	p.drills = &drills.Service{Store: p.Store, Jobs: p.Jobs, Online: p.presence.Reachable, Changed: p.decided, Log: c.Log, Now: now}
	p.heartbeat = &heartbeat.Service{Store: p.Store, Parts: p.working(), Log: c.Log, Now: time.Now, Changed: func() { p.decided() }}
	p.notices.Add(p.heartbeat.Notices)
	p.notices.Add(p.alerts.Notices)
	p.space = space.New(ctx, space.Config{
		Dir:    c.Data,
		Limits: c.Space,
		Log:    c.Log,
		Now:    time.Now,
		Try:    p.Store.Try,
		Relieve: func(ctx context.Context) {
			p.sweepOnce(ctx)
			if err := p.Store.Shrink(ctx); err != nil {
				c.Log.Warn("giving back the place of the database's log failed", "err", err)
			}
		},
		Changed: func() { p.decided() },
	})
	p.notices.Add(p.space.Notices)
	if err := p.openBox(ctx, now, c.MQTT != ""); err != nil {
		return err
	}
	if err := p.openUplink(ctx, c); err != nil {
		return err
	}
	p.explorer = explorer.New(explorer.Config{Now: now, Last: p.retainedAt})
	p.assist(now)
	p.publisher = public.New(public.Config{Store: p.Store, Presence: p.presence, Fleet: p.fleet, Hub: p.Hub, Box: p.box,
		Latest: p.rollouts.Latest,
		Alerts: toldAlerts{p.alerts},
		Space: func() (string, uint64) {
			s := p.space.Status()
			return string(s.Level), space.Coarse(s.Free)
		},
		Log: c.Log, Timing: c.Timing.Public, Now: now})

	for _, l := range []struct {
		ln   *net.Listener
		addr string
		flag string
	}{{&p.httpLn, c.HTTP, "--http"}, {&p.agentsLn, c.Agents, "--agents"}, {&p.mqttLn, c.MQTT, "--mqtt"}} {
		if l.addr == "" && l.ln == &p.mqttLn {
			continue
		}
		if *l.ln, err = net.Listen("tcp", l.addr); err != nil {
			return fmt.Errorf("listen on %s: %w; choose another address with %s", l.addr, err, l.flag)
		}
	}
	if p.https, err = openCertificate("the pages", c.TLSCert, c.TLSKey, c.Log); err != nil {
		return err
	}
	if err = p.openMQTT(c); err != nil {
		return err
	}
	if p.https == nil && len(c.Proxies) == 0 && !here(c.HTTP) {
		c.Log.Warn("pages are served in clear: whoever is on the way reads passwords; give --tls-cert and --tls-key, or listen on "+
			"127.0.0.1 behind a TLS proxy named with --trusted-proxy", "http", p.HTTPAddr())
	}
	if err := p.Store.Admission().Told(ctx, c.AgentsPublic); err != nil {
		return err
	}
	p.handout = handout.New(handout.Config{
		Dirs:   handout.DirsOf(c.AgentsDir, c.Data),
		Reach:  &reach.Service{Store: p.Store, Flag: c.AgentsPublic, Listen: p.AgentsAddr(), Pages: p.alerts.PublicURL, Log: c.Log},
		Public: p.alerts.PublicURL,
		Pin:    p.Desk.PinOfPort,
		Restic: func(ctx context.Context, name string) (string, time.Time, io.ReadSeekCloser, error) {
			f, content, err := p.restics.Open(ctx, name)
			if err != nil {
				return "", time.Time{}, nil, err
			}
			return f.SHA256, f.Modified, content, nil
		},
	})
	scraped, err := p.metrics(c, now)
	if err != nil {
		return err
	}
	p.Web, err = web.New(base.Config{
		Store:       p.Store,
		Jobs:        p.Jobs,
		Queries:     p.queries,
		Hub:         p.Hub,
		Presence:    p.presence,
		Fleet:       p.fleet,
		Heartbeat:   p.heartbeat,
		Discovery:   p.discovery,
		Uplink:      p.uplink,
		Notices:     p.notices,
		Self:        p.self,
		Alerts:      p.alerts,
		Rollouts:    p.rollouts,
		Restics:     p.restics,
		Rekey:       p.rekey,
		Short:       p.space.Holds,
		Bell:        p.bell,
		Changed:     p.decided,
		Desk:        p.Desk,
		Maintenance: p.maintenance,
		Mirrors:     p.mirroring,
		Log:         c.Log,
		Timing:      c.Timing.Web,
		Now:         now,
		Zone:        zone.OfServer(),
		Agents:      p.AgentsAddr(),
		Reach:       p.handout.Reach,
		Handout:     p.handout,
		Version:     Version,
		Proxies:     c.Proxies,
		Consumers:   consumers{p},
		Metrics:     scraped,
		Socket:      p.socket(c),
		Explorer:    p.explorer,
		Bundle:      p.bundle(c),
		Settings: base.Settings{
			TLS:       c.TLSCert,
			Proxies:   c.Proxies,
			HTTP:      p.HTTPAddr(),
			Agents:    p.AgentsAddr(),
			MQTT:      p.MQTTAddr(),
			MQTTTLS:   p.mqtts.file(),
			Since:     now(),
			LogLines:  c.Logs.Lines,
			Retention: c.Logs.Retention,
			JobAge:    c.Logs.JobAge,
			Limits:    c.Limits,

			Connections: [3]int{ofAgents.Connections, ofConsumers.Connections, p.pages.Limits().Proven},
			Shared:      c.Connections.Shared,
			TCPProxies:  c.Connections.Proxies,

			MetricsToken: c.Metrics.TokenFile,
			MetricsAllow: c.Metrics.Allow,

			Space: c.Space,
		},
	})
	return err
}

// SealKey is the control plane's own key for what it and its agents say to each
// other, made at the first call.
func SealKey(ctx context.Context, s *store.Store) (seal.Key, error) {
	return enroll.OpenSealKey(ctx, s)
}

// HTTPAddr, AgentsAddr and MQTTAddr are where the plane listens.
func (p *Plane) HTTPAddr() string { return p.httpLn.Addr().String() }

// AgentsAddr is where agents connect.
func (p *Plane) AgentsAddr() string { return p.agentsLn.Addr().String() }

// MQTTAddr is where consumers connect, "" if they cannot.
func (p *Plane) MQTTAddr() string {
	if p.mqttLn == nil {
		return ""
	}
	return p.mqttLn.Addr().String()
}

// Close releases what New opened. Run has ended, or was never called.
func (p *Plane) Close() error {
	var errs []error
	for _, ln := range []net.Listener{p.httpLn, p.agentsLn, p.mqttLn} {
		if ln == nil {
			continue
		}
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, p.Store.Close(), p.claimed.Close())...)
}

// Run serves until ctx ends or a part fails, and returns when every goroutine
// it started has returned. The brokers stop last: what the others say in parting
// still goes out, and the farewell of agents is not taken for their death.
func (p *Plane) Run(ctx context.Context) error {
	tlsConfig, err := p.Desk.ServerTLS()
	if err != nil {
		return err
	}
	brokers, stopBrokers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBrokers()
	enrol := newHandoff(p.agentsLn.Addr())
	p.publisher.There(ctx)

	b, bctx := errgroup.WithContext(brokers)
	b.Go(func() error { return p.agents.Run(bctx) })
	b.Go(func() error { return p.consumers.Run(bctx) })
	b.Go(func() error {
		return p.agents.Serve(bctx, p.agentsLn, tlsConfig, map[string]func(net.Conn){topics.ALPNHTTP: enrol.give})
	})
	outlets, shutOutlets := context.WithCancel(brokers)
	defer shutOutlets()
	if p.mqttLn != nil {
		b.Go(func() error { return p.consumers.Serve(bctx, p.mqttLn, p.mqttTLS(), nil) })
		b.Go(func() error { return p.toConsumers(outlets) })
	}
	b.Go(func() error { return p.uplink.Run(outlets) })

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { // a broker that fails takes the rest down
		select {
		case <-bctx.Done():
			return errors.New("a broker ended")
		case <-gctx.Done():
			return nil
		}
	})
	g.Go(func() error { return p.Jobs.Run(gctx) })
	g.Go(func() error { return p.schedules.Run(gctx) })
	g.Go(func() error { return p.maintenance.Run(gctx) })
	g.Go(func() error { return p.mirroring.Run(gctx) })
	g.Go(func() error { return p.drills.Run(gctx) })
	g.Go(func() error { return p.rollouts.Run(gctx) })
	g.Go(func() error { return p.rekey.Run(gctx) })
	g.Go(func() error { return p.heartbeat.Run(gctx) })
	g.Go(func() error { return p.alerts.Run(gctx) })
	g.Go(func() error { return p.queue.Run(gctx) })
	g.Go(func() error { return p.box.Run(gctx) })
	g.Go(func() error { return p.publisher.Run(gctx) })
	g.Go(func() error { return p.discovery.Run(gctx) })
	g.Go(func() error { return p.Web.Run(gctx) })
	g.Go(func() error { return p.answerDenials(gctx) })
	g.Go(func() error { return p.watchConsumers(gctx) })
	g.Go(func() error { return p.sweep(gctx) })
	g.Go(func() error { return p.finishImports(gctx) })
	g.Go(func() error { return p.space.Run(gctx) })
	g.Go(func() error { return p.upkeep.Run(gctx) })
	g.Go(func() error { return p.guard(gctx) })
	g.Go(func() error { return p.handout.Reach.Run(gctx) })
	g.Go(func() error { return p.self.Run(gctx) })
	g.Go(func() error { return p.queries.ServeLocal(gctx, queries.Socket(p.data)) })
	g.Go(func() error {
		srv := &http.Server{Handler: p.Web.Handler(), ConnContext: lobby.Context,
			ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
			ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug)} // of strangers' handshakes
		if p.https != nil {
			srv.TLSConfig = p.https.config()
		}
		return serve(gctx, lobby.Listener{Listener: p.httpLn, Lobby: p.pages}, srv)
	})
	g.Go(func() error { // on the agents' port, who says nothing has as little time as with the broker
		return serve(gctx, enrol, &http.Server{
			Handler:           p.handing(p.Desk.Handler()),
			ReadHeaderTimeout: 3 * time.Second,
			ReadTimeout:       10 * time.Second,
			IdleTimeout:       3 * time.Second,
		})
	})
	p.born(ctx)
	p.log.Info("serving", "http", p.HTTPAddr(), "agents", p.AgentsAddr(), "mqtt", p.MQTTAddr(), "version", Version)
	err = g.Wait()
	p.settle(ctx)
	shutOutlets()
	p.dies()
	stopBrokers()
	if berr := b.Wait(); berr != nil && ctx.Err() == nil {
		err = errors.Join(berr, err)
	}
	p.Web.EndSockets()
	p.upkeep.End(context.WithoutCancel(ctx))
	return err
}

// serve runs an HTTP server until ctx ends. Streams end with it.
func serve(ctx context.Context, ln net.Listener, srv *http.Server) error {
	srv.MaxHeaderBytes = 64 << 10
	srv.BaseContext = func(net.Listener) context.Context { return ctx }
	ended := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			ended <- srv.ServeTLS(ln, "", "")
		} else {
			ended <- srv.Serve(ln)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if srv.Shutdown(grace) != nil {
		_ = srv.Close()
	}
	<-ended
	return nil
}

// changed tells everybody who follows a host that something about it is another
// now: open pages, MQTT consumers, and the maintenance that waits for it.
func (p *Plane) changed(h topics.HostID) {
	p.bell.Ring(h)
	p.alerts.Stir()
	p.publisher.Changed(h)
	p.maintenance.HostChanged(h)
	p.rollouts.HostChanged()
	p.rekey.Stir()
	p.heartbeat.Stir()
}

// decided tells the same after somebody saved something, and has the jobs engine
// look at once. What belongs to no host names none: every open page is told.
func (p *Plane) decided(hosts ...topics.HostID) {
	if len(hosts) == 0 {
		p.bell.Ring("")
		p.alerts.Stir()
		p.queue.Stir()
	}
	for _, h := range hosts {
		p.changed(h)
	}
	p.discovery.Stir()
	p.Jobs.Stir()
}

// sweepOnce removes what is kept no longer.
func (p *Plane) sweepOnce(ctx context.Context) {
	switch n, err := p.Store.SweepLogs(ctx, p.retention); {
	case err != nil && ctx.Err() == nil:
		p.log.Error("remove old logs", "err", err)
	case n > 0:
		p.log.Info("old logs removed", "jobs", n)
	}
	switch jobs, runs, err := p.Store.SweepRecords(ctx, p.jobAge); {
	case err != nil && ctx.Err() == nil:
		p.log.Error("remove old records of jobs", "err", err)
	case jobs+runs > 0:
		p.log.Info("old records removed", "jobs", jobs, "maintenance", runs)
	}
	switch n, err := p.Store.Drafts().Sweep(ctx); {
	case err != nil && ctx.Err() == nil:
		p.log.Error("remove old drafts of restores", "err", err)
	case n > 0:
		p.log.Info("old drafts of restores removed", "drafts", n)
	}
	switch n, err := p.removal.Purge(ctx); {
	case err != nil && ctx.Err() == nil:
		p.log.Error("erase what was removed long ago", "err", err)
	case n > 0:
		p.log.Info("erased what was removed more than thirty days ago", "rows", n)
	}
}

// finishImports goes on with imports that were interrupted: when this program starts, and when
// another one that began one has died.
func (p *Plane) finishImports(ctx context.Context) error {
	again := time.NewTicker(p.timing.Imports)
	defer again.Stop()
	for {
		switch n, err := p.Store.FinishImports(ctx, ""); {
		case err != nil && ctx.Err() == nil:
			p.log.Error("finish imports", "err", err)
		case n > 0:
			p.decided()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}

// sweep removes what is kept no longer, now and then.
func (p *Plane) sweep(ctx context.Context) error {
	again := time.NewTicker(p.timing.Sweep)
	defer again.Stop()
	for {
		p.sweepOnce(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}
