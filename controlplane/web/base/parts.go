// Package base is what pages and API both stand on: the parts of the server that
// they ask, rows found by the IDs in addresses, streams, and how a problem becomes
// an HTTP answer. It shows nothing itself.
package base

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/controlplane/consumers"
	"github.com/restic-manager/restic-manager/controlplane/discovery"
	"github.com/restic-manager/restic-manager/controlplane/drills"
	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/explorer"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/handout"
	"github.com/restic-manager/restic-manager/controlplane/heartbeat"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/importing"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/maintenance"
	"github.com/restic-manager/restic-manager/controlplane/mirroring"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/controlplane/pause"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/controlplane/reach"
	"github.com/restic-manager/restic-manager/controlplane/rekey"
	"github.com/restic-manager/restic-manager/controlplane/removal"
	"github.com/restic-manager/restic-manager/controlplane/replace"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/restics"
	"github.com/restic-manager/restic-manager/controlplane/rollout"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/controlplane/self"
	"github.com/restic-manager/restic-manager/controlplane/shelf"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/controlplane/space"
	"github.com/restic-manager/restic-manager/controlplane/targets"
	"github.com/restic-manager/restic-manager/controlplane/uplink"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/release"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Jobs is what is asked of the jobs engine.
type Jobs interface {
	Start(ctx context.Context, a jobs.Actor, r jobs.Request) (job store.Job, fresh bool, err error)
	Again(ctx context.Context, a jobs.Actor, j store.Job, elsewhere bool) (jobs.Request, error)
	RunAgain(ctx context.Context, a jobs.Actor, id topics.JobID, elsewhere bool) (job store.Job, fresh bool, err error)
	Cancel(ctx context.Context, actor string, id topics.JobID) error
	Release(ctx context.Context, actor string, repository topics.RepositoryID) (topics.JobID, error)
	Making(ctx context.Context, repository topics.RepositoryID) ([]jobs.Making, error)
	Waits(ctx context.Context, open []store.Job) (map[topics.JobID]protocol.Turn, error)
	targets.Jobs
	rekey.Jobs
}

// Queries is what hosts are asked while a person waits.
type Queries interface {
	Files(ctx context.Context, who jobs.Actor, q queries.FilesQuery) (queries.FilesPage, error)
	Versions(ctx context.Context, who jobs.Actor, q queries.VersionsQuery) ([]queries.Version, error)
	Directories(ctx context.Context, who jobs.Actor, host topics.HostID, path string) (queries.DirectoryPage, error)
	SSH(ctx context.Context, who jobs.Actor, host topics.HostID, what topics.SSHQuery) (topics.SSHState, error)
	Test(ctx context.Context, who jobs.Actor, host topics.HostID, r topics.Repository) (topics.Finding, error)
}

// Maintenance is what is asked of who looks after repositories.
type Maintenance interface {
	Hours(ctx context.Context, repository topics.RepositoryID) (map[topics.JobKind]store.MaintenanceHours, error)
	PutHours(ctx context.Context, by string, repository topics.RepositoryID, in map[topics.JobKind]maintenance.Input) error
	Ask(
		ctx context.Context,
		a jobs.Actor,
		repository topics.RepositoryID,
		kind topics.JobKind,
		host topics.HostID,
		approve string,
		give bool,
	) (topics.JobID, error)
}

// Metrics tells programs that watch how all of it is. To whoever it does not let in there
// is no such page.
type Metrics interface {
	http.Handler
	// Lets reports whether a request is answered. from is whose it is, sure whether that is
	// certain.
	Lets(r *http.Request, from netip.Addr, sure bool) bool
}

// A Bundle writes a support bundle, whose files are in dir, as .tar.gz.
type Bundle func(ctx context.Context, w io.Writer, dir string, at time.Time) error

// Config is what the server works with.
type Config struct {
	Store       *store.Store
	Jobs        Jobs
	Queries     Queries
	Maintenance Maintenance
	Mirrors     *mirroring.Service // nil is one of the server's own, which copies nothing by itself
	Hub         *jobs.Hub
	Presence    *hosts.Presence
	Bell        *hosts.Bell
	Fleet       *fleet.Board       // nil is one of the server's own
	Notices     *notices.List      // nil is an empty one
	Heartbeat   *heartbeat.Service // says elsewhere that the control plane works
	Uplink      *uplink.Service    // speaks with a broker of the user's own
	Discovery   *discovery.Service // tells Home Assistant what there is
	Socket      Socket             // to the public broker
	Self        *self.Service      // nil copies nothing by itself
	Alerts      *alerts.Service    // nil knows none
	Rekey       *rekey.Service     // changes passwords of repositories; nil is one that leaves the steps to another
	Restics     *restics.Service   // has hosts fetch restic; nil is one without any files
	Rollouts    *rollout.Service   // updates agents; nil is one that begins and stops, and leaves the rest to another
	// Short, if set, reports that the control plane's disk is short of space, so that new
	// jobs are held.
	Short func() bool
	// Changed is told once after each change that somebody saved: which hosts it is
	// about, none if it belongs to no host. It must not block. Nil rings the bell.
	Changed func(...topics.HostID)
	Desk    *enroll.Desk
	Log     *slog.Logger
	Now     func() time.Time // nil is time.Now
	Zone    *time.Location   // the server's, by its IANA name; nil is that of Now
	Agents  string           // HOST:PORT where the agents' port listens
	Reach   *reach.Service   // where agents dial; nil is a service of the server's own, by Agents
	Handout *handout.Service // gives hosts their agent; nil has none to give
	Version string
	// Proxies are those whose word about a request is believed: who sent it, to
	// which name, and whether over TLS.
	Proxies []netip.Prefix
	// Consumers are the clients of the public broker.
	Consumers Consumers
	// Explorer knows what consumers can read; nil is one that was told of nothing.
	Explorer *explorer.Explorer
	// Broker says what is wrong with the brokers, nil if they accept connections.
	// A nil function is for a control plane that ends when a broker does.
	Broker func() error
	Timing Timing // the zero value is DefaultTiming
	// Metrics answers at /metrics; nil is that there is no such page.
	Metrics Metrics
	// Bundle writes a support bundle; nil is that none can be had.
	Bundle Bundle
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
	// Use is how long a request waits until the use of a session is written down; then
	// it goes on, and that is written later.
	Use      time.Duration
	Gap      time.Duration // between two messages of a stream, but for log lines that wait
	Progress time.Duration // between two drawings of a list whose jobs only go on
	Beat     time.Duration // a stream says something at least this often
	Poll     time.Duration // how often the add-host stream looks, besides when something happened
	Write    time.Duration // how long one message to a browser may take before it is given up
	Answer   time.Duration // how long an ordinary request may take to be read, and its answer to be written
	Asking   time.Duration // the same of a request for which a host is asked
	Cleanup  time.Duration // how often sessions that are over are removed
	Verify   time.Duration // how often all of the audit log's chain is read
	Stalled  time.Duration // a running job that says nothing for this long is called stalled; 0 is never
}

// DefaultTiming is what runs unless a test says otherwise.
func DefaultTiming() Timing {
	return Timing{
		Idle:       time.Hour,
		Life:       12 * time.Hour,
		Touch:      time.Minute,
		Link:       15 * time.Minute,
		Invitation: 24 * time.Hour,
		Check:      5 * time.Second,
		Hash:       2 * time.Second,
		Use:        time.Second,
		Gap:        250 * time.Millisecond,
		Progress:   time.Second,
		Beat:       10 * time.Second,
		Poll:       time.Second,
		Write:      5 * time.Second,
		Answer:     30 * time.Second,
		Asking:     90 * time.Second,
		Cleanup:    10 * time.Minute,
		Verify:     time.Hour,
		Stalled:    10 * time.Minute,
	}
}

// Consumers is the part of the public broker that web needs.
type Consumers interface {
	// Disconnect closes all connections of a consumer whose rights have changed.
	Disconnect(name string)
	// Connected lists the open connections.
	Connected() []Connected
	// Figures are those of the public broker and of the agents'.
	Figures() (public, agents Figures)
	// Agents lists the open connections of agents to their own broker.
	Agents() []Connected
}

// A Socket is how MQTT over WebSocket, which comes with the pages, gets to the public
// broker.
type Socket struct {
	Attach  func(net.Conn) // serves a client until it is gone; nil takes none
	Largest int64          // bytes of one message of a WebSocket
	Origins []string       // of pages elsewhere that may open one, https://HOST
	Here    bool           // the pages are served on an address of this machine alone
	Clear   bool           // passwords may come in clear from anywhere
}

// Connected is one open connection of a consumer.
type Connected struct {
	Name, ClientID, Remote string
	Transport              string // TCP, TLS or WebSocket
	Version                byte   // of MQTT: 4 is 3.1.1
	Since                  time.Time
	Subscriptions          int    // filters it holds
	In, Out                int64  // messages it has published, and that were sent to it
	Dropped                int64  // messages it did not get because it does not keep up
	Denied                 int64  // what it tried beyond its rights
	Beyond                 string // the last of these, such as "subscribe #"; "" for none
	LostWill               string // the topic of a will that it may not have and that is dropped; "" for none
}

// Figures are what a broker counts since its start, except Connected, Waiting,
// Subscriptions, Retained and RetainedBytes, which are of now.
type Figures struct {
	Connected, Waiting, Subscriptions int64 // Waiting have not proven who they are
	Refused                           int64 // connections that never became a client
	Denied                            int64 // publishes, subscribes and wills beyond a client's rights
	Dropped                           int64 // messages that a client did not get because it does not keep up
	In, Out, BytesIn, BytesOut        int64 // messages that clients published, and that were sent to them
	Retained, RetainedBytes           int64
}

// Settings are the start-up settings that the settings page shows. They have no
// effect in this package.
type Settings struct {
	HTTP      string // where the three listeners are
	TLS       string // file of the pages' certificate; "" is none
	Proxies   []netip.Prefix
	Agents    string
	MQTT      string
	MQTTTLS   string    // file of the certificate for consumers over MQTT; "" is none
	Since     time.Time // when the server was started
	LogLines  int       // of each job's log are kept
	Retention store.Retention
	JobAge    time.Duration // how long jobs are kept after their end; 0 is for ever
	Limits    protocol.Limits

	Connections [3]int         // at once: of agents, of consumers, of those who have signed in
	Shared      []netip.Prefix // whose addresses stand for many hosts
	TCPProxies  []netip.Prefix // that speak the PROXY protocol

	MetricsToken string         // file with the token that Prometheus shows; "" asks for none
	MetricsAllow []netip.Prefix // from where Prometheus may ask; nil is from anywhere
	// Space is when the control plane is short of room on its own disk.
	Space space.Limits
}

// Parts are what pages and API work with: the configuration, and the services that
// change things.
type Parts struct {
	Config
	Sessions *session.Manager
	Streams  *Streams

	Repositories *repositories.Service
	Sources      *sources.Service
	Removal      *removal.Service
	Replacing    *replace.Service
	HostSettings *hosts.Settings
	Imports      *importing.Service // takes in what a repository held before
	Pauses       *pause.Service
	Schedules    *schedule.Service
	Drills       *drills.Service
	People       people.Service    // users and API tokens
	Credentials  consumers.Service // of MQTT consumers
	Channels     *channels.Service // where people are told

	// Walked is that the first steps were over when somebody looked last.
	Walked atomic.Bool
}

// newParts fills in what a configuration leaves out, and makes the services.
func New(c Config) (*Parts, error) {
	if c.Store == nil || c.Jobs == nil || c.Queries == nil ||
		c.Maintenance == nil || c.Hub == nil || c.Presence == nil || c.Bell == nil || c.Desk == nil ||
		c.Log == nil {
		return nil, errors.New("web: a part is missing in the configuration")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if j, can := c.Jobs.(mirroring.Jobs); can && c.Mirrors == nil {
		c.Mirrors = &mirroring.Service{Store: c.Store, Jobs: j, Changed: func(...topics.HostID) {}, Log: c.Log, Now: c.Now}
	}
	if c.Zone == nil {
		c.Zone = c.Now().Location()
	}
	if c.Timing == (Timing{}) {
		c.Timing = DefaultTiming()
	}
	if c.Fleet == nil {
		c.Fleet = fleet.NewBoard(c.Store, c.Presence, c.Now)
	}
	if c.Self == nil {
		c.Self = &self.Service{Store: c.Store, Keep: self.Kept, Now: c.Now, Log: c.Log}
	}
	if c.Explorer == nil {
		c.Explorer = explorer.New(explorer.Config{Now: c.Now})
	}
	if c.Notices == nil {
		c.Notices = &notices.List{}
	}
	if c.Alerts == nil {
		c.Alerts = &alerts.Service{Store: c.Store, Now: c.Now, Log: c.Log}
	}
	if c.Reach == nil {
		c.Reach = &reach.Service{Store: c.Store, Listen: c.Agents}
	}
	if c.Handout == nil {
		c.Handout = handout.New(handout.Config{Reach: c.Reach, Public: c.Alerts.PublicURL, Pin: c.Desk.PinOfPort})
	}
	if c.Heartbeat == nil {
		c.Heartbeat = &heartbeat.Service{Store: c.Store, Now: c.Now, Log: c.Log}
	}
	if c.Uplink == nil {
		c.Uplink = &uplink.Service{Store: c.Store, Now: c.Now, Log: c.Log}
	}
	if c.Discovery == nil {
		c.Discovery = &discovery.Service{Store: c.Store, Fleet: c.Fleet, Now: c.Now, Log: c.Log}
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
	if c.Rollouts == nil {
		c.Rollouts = &rollout.Service{Store: c.Store, Board: c.Fleet, Now: c.Now, Log: c.Log, Changed: c.Changed,
			Release: func() shelf.Release { return c.Handout.Release(release.Pinned()) }}
	}
	if c.Restics == nil {
		c.Restics = &restics.Service{Store: c.Store}
		c.Restics.Jobs, _ = c.Jobs.(restics.Jobs)
	}
	if c.Rekey == nil {
		c.Rekey = rekey.New(rekey.Service{Store: c.Store, Jobs: c.Jobs, Online: c.Presence.Reachable, Changed: c.Changed, Log: c.Log})
	}
	p := &Parts{
		Config:       c,
		Streams:      NewStreams(c.Timing.Check),
		Repositories: &repositories.Service{Store: c.Store, Jobs: c.Jobs, Online: c.Presence.Reachable, Changed: c.Changed},
		Imports:      &importing.Service{Store: c.Store, Changed: c.Changed},
		Sources:      &sources.Service{Store: c.Store, Changed: c.Changed},
		Removal:      &removal.Service{Store: c.Store, Changed: c.Changed},
		Replacing:    &replace.Service{Store: c.Store, Desk: c.Desk, Changed: c.Changed},
		HostSettings: &hosts.Settings{Store: c.Store, Changed: c.Changed},
		Pauses:       &pause.Service{Store: c.Store, Now: c.Now, Changed: c.Changed},
		Drills: &drills.Service{Store: c.Store, Jobs: c.Jobs, Online: c.Presence.Reachable, Changed: c.Changed, Log: c.Log,
			Now: c.Now},
		Channels: &channels.Service{Store: c.Store, Now: c.Now, PublicURL: c.Alerts.PublicURL, Zone: c.Zone, Changed: func() {
			c.Alerts.Stir()
			c.Changed()
		}},
		Schedules: &schedule.Service{Store: c.Store, Changed: c.Changed, Online: c.Presence.Reachable, Now: c.Now},
	}
	p.Sessions = session.New(c.Store, c.Log, c.Now, session.Timing{
		Idle:  c.Timing.Idle,
		Life:  c.Timing.Life,
		Touch: c.Timing.Touch,
		Link:  c.Timing.Link,
		Hash:  c.Timing.Hash,
		Write: c.Timing.Use,
	})
	// Whose rights change, their open streams end before the method returns.
	p.People = people.Service{
		Store:      c.Store,
		Now:        c.Now,
		Hash:       p.Sessions.NewHash,
		Invitation: c.Timing.Invitation,
		Changed:    p.Streams.Recheck,
	}
	// Connections with outdated rights are closed before the method returns.
	p.Credentials = consumers.Service{
		Store: c.Store,
		Now:   c.Now,
		Changed: func(name string) {
			if p.Consumers != nil {
				p.Consumers.Disconnect(name)
			}
		},
	}
	return p, nil
}

// Begin notes a stream of a request's visitor. Its context ends with the request's,
// with the server, and with [ErrOut] when the visitor may not listen any more.
func (p *Parts) Begin(r *http.Request) (ctx context.Context, end func(), err error) {
	v := session.Of(r.Context())
	return p.Streams.Begin(r, v.Key(), func(ctx context.Context) bool { return p.Sessions.Still(ctx, v) })
}

// Connections counts the open connections of a consumer.
func (p *Parts) Connections(name string) (n int) {
	for _, c := range p.Connected() {
		if c.Name == name {
			n++
		}
	}
	return n
}
