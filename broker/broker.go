// Package broker is an embedded MQTT broker behind a listener of our own.
//
// Mochi routes messages. This package handles everything that untrusted clients can
// reach: deadlines for the TLS handshake, the CONNECT and writes, limits on packets,
// connections, topics and subscriptions, recovery from panics caused by a client's
// packet, which end only that client, and Authorise, which decides once per
// connection what it may do. Everything else is refused.
//
// The broker only passes messages on. Sessions are always clean, nothing is stored,
// and every queue is bounded: a slow subscriber loses messages, including QoS 1.
// Whoever needs reliable delivery has to record and resend messages.
//
// Nothing outside this package knows which broker is inside it. It starts and
// stops with Run, takes connections from Serve or Attach, drops them with Kick,
// and talks through Publish and Received.
package broker

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/restic-manager/restic-manager/lobby"
)

// The MQTT versions a broker may speak, as they stand in a CONNECT.
const (
	MQTT311 byte = 4
	MQTT5   byte = 5
)

var (
	// ErrClosed is returned by a broker whose Run has ended or is ending.
	ErrClosed = errors.New("broker is closed")

	// ErrBadPassword is what Authorise returns, wrapped or not, for a wrong user
	// name or password. The client is told so (CONNACK 4); every other error says
	// "not authorised" (CONNACK 5).
	ErrBadPassword = errors.New("bad user name or password")

	// ErrClientID is the same for a client ID that whoever connects may not have
	// (CONNACK 2).
	ErrClientID = errors.New("client ID is not accepted")

	// ErrUnavailable is the same where nobody can tell at the moment whether the
	// client may come in (CONNACK 3): it should try again as it is.
	ErrUnavailable = errors.New("not available at the moment")

	// ErrTopic refuses a topic that cannot be published to: empty, with
	// wildcards, beginning with "$", of too many levels or too long.
	ErrTopic = errors.New("not a topic to publish to")

	// ErrNotAllowed, ErrNoSuchTopic, ErrQuota and ErrPayload are what Received returns,
	// wrapped or not, for a message that is not carried out (MQTT 5: 0x87, 0x90, 0x97, 0x99).
	// Any other error is an unspecified one (0x80).
	ErrNotAllowed  = errors.New("not allowed")
	ErrNoSuchTopic = errors.New("nothing is done with this topic")
	ErrQuota       = errors.New("too much at once")
	ErrPayload     = errors.New("the payload cannot be read")

	// ErrTooLarge refuses a message larger than Limits.PacketSize.
	ErrTooLarge = errors.New("message is larger than the packet limit")
)

// Config configures a broker. Only Authorise has no useful default: without it every
// client is refused.
type Config struct {
	Name     string // "agents" or "public", for logs
	Log      *slog.Logger
	Limits   Limits // DefaultAgents when zero
	Versions []byte // accepted MQTT versions; MQTT311 alone when empty

	// Guests says that clients are programs of other people, which ask for more than they
	// may have and are of use without it. A will beyond their rights is dropped, and what
	// they publish to topics of the broker itself, or want retained without the right, is
	// acknowledged; all of it goes to nobody. Bridges are taken for what they are: they get
	// the retain flag as it was published. Without it, such clients are refused or cut off.
	Guests bool

	// Shared are networks whose addresses many clients share: Limits.PerAddress does not
	// apply to them.
	Shared []netip.Prefix
	// Proxies are the addresses of TCP proxies. A connection from there begins with a
	// header of the PROXY protocol, version 1 or 2, and counts for whom that names. From
	// anywhere else such a header is garbage.
	Proxies []netip.Prefix

	// Authorise decides what a connection may do. It is called once per connection,
	// on that connection's goroutine, and may block. An error refuses the client.
	Authorise func(Connect) (Rights, error)

	// Received is given every message a client publishes, wills included, before
	// the client's acknowledgement is written. Messages of one client arrive in
	// order; those of different clients arrive at once. It runs on the publishing
	// client's goroutine and may block, which holds up that client and nobody
	// else; it must return when the broker's context ends. The payload is shared
	// with the broker and must not be changed.
	//
	// What Publish sends does not come back here.
	//
	// A message with Retain may be one of a guest that has no right to leave it: it is not
	// retained, and goes to nobody.
	//
	// An error says that the message is not carried out: a client of MQTT 5 that waits for
	// an acknowledgement gets its code, see Reason; to one of MQTT 3.1.1, and of what it
	// sent without waiting, nothing is said. Either way the message goes to nobody.
	Received func(Message) error

	// Denied, if set, is called with everything a client tried beyond its rights. It
	// runs on the same goroutine as Received and must not block.
	Denied func(Denial)
}

// Denial is an attempt beyond a client's rights.
type Denial struct {
	Name, ClientID string
	What           string // "publish", "subscribe", "retain" or "will"
	Topic          string // or filter, as the client spelled it
}

// Limits are all the numbers of a broker. A limit of zero means none, unless it says otherwise.
type Limits struct {
	Handshake time.Duration // for the whole TLS handshake
	Connect   time.Duration // from there to the end of the CONNECT packet
	Write     time.Duration // for every 16 KiB the client takes off our hands
	Close     time.Duration // for Run to end once its context has
	// Parting is how long clients may take what was published last before Run closes
	// their connections; at 0 it does so at once.
	Parting time.Duration

	PacketSize  int // bytes, checked before anything is allocated for the packet
	ConnectSize int // the same of a CONNECT, whose sender nobody knows yet
	Levels      int // in a topic or filter

	// Waiting is how many connections there may be that have not proven yet who they are,
	// from the TCP handshake to an accepted CONNECT, and PerAddress how many of them from
	// one IPv4 address or IPv6 /64. One more closes the oldest; see package lobby.
	Waiting, PerAddress int

	Connections int // of clients
	// PerName is how many connections may have the same Rights.Name; one more closes the
	// oldest.
	PerName int

	// WriteQueue is how many messages wait for one client, Inflight how many QoS 1
	// messages it may leave unacknowledged; at most 65,535 each. Beyond either,
	// messages to that client are dropped. A queue costs 8 bytes per place from the
	// CONNECT on, so a long one wants few Connections.
	WriteQueue, Inflight int

	// Subscriptions is how many filters one client may hold.
	Subscriptions int

	// Keep-alive intervals a client may ask for. A MinKeepAlive of zero also
	// admits the client that asks for none; the system's TCP keep-alive must then
	// find the dead ones.
	MinKeepAlive, MaxKeepAlive time.Duration
}

// DefaultAgents are the limits for a fleet: many connections, short queues.
func DefaultAgents() Limits {
	return Limits{
		Handshake: 3 * time.Second, Connect: 3 * time.Second, Write: 5 * time.Second, Close: 5 * time.Second,
		PacketSize: 256 << 10, ConnectSize: 16 << 10, Levels: 10, Waiting: 1024, PerAddress: 32,
		// 10,000 agents, and a fifth that lost their connection before we noticed.
		Connections: 12_000, PerName: 8,
		WriteQueue: 128, Inflight: 1024, Subscriptions: 32,
		MinKeepAlive: 10 * time.Second, MaxKeepAlive: 600 * time.Second,
		Parting: 2 * time.Second, // they hear that the control plane stops, and come back sooner
	}
}

// DefaultPublic are the limits for consumers such as Home Assistant: some hundreds of
// them, half of which may have the same name, each with room for every retained message one
// filter can match.
func DefaultPublic() Limits {
	l := DefaultAgents()
	l.Waiting, l.Connections, l.PerName = 256, 500, 250
	l.ConnectSize = 128 << 10 // a client ID and a user name may have 64 KiB each
	l.WriteQueue, l.Inflight, l.Subscriptions = math.MaxUint16, math.MaxUint16, 1024
	l.MinKeepAlive, l.MaxKeepAlive = 0, 1800*time.Second
	l.Parting = 500 * time.Millisecond
	return l
}

// Connect is what a client's CONNECT and certificate say.
type Connect struct {
	ClientID string // "" when the client leaves the choice to us
	User     string
	Password []byte

	// Certificate is the client's, verified by the listener's TLS configuration;
	// nil when it has shown none.
	Certificate *x509.Certificate

	Remote  net.Addr
	Version byte  // MQTT311 or MQTT5
	Will    *Will // nil for none
}

// Will is what a client asks us to publish when its connection breaks.
type Will struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
}

// Message is one message a client has published.
type Message struct {
	Name     string // the publisher's Rights.Name
	ClientID string // and its client id
	Remote   string // and where it connected from, HOST:PORT
	Topic    string
	Payload  []byte
	QoS      byte
	Retain   bool
	Again    bool // it may have been received before: its sender has no acknowledgement
	Will     bool // published by us, on behalf of a client whose connection broke
}

// A Transport is what MQTT comes over.
type Transport string

// The transports there are.
const (
	TCP       Transport = "TCP" // in clear
	TLS       Transport = "TLS"
	WebSocket Transport = "WebSocket"
)

// Connection describes a client that is connected now.
type Connection struct {
	Name, ClientID, Remote string
	Version                byte
	Transport              Transport
	Since                  time.Time

	Subscriptions int    // filters it holds
	In, Out       int64  // messages it has published, and that were sent to it
	Dropped       int64  // messages it did not get because it does not keep up
	Denied        int64  // what it tried beyond its rights
	Beyond        string // the last of these, such as "subscribe #"; "" for none
	LostWill      string // the topic of a will that it may not have: it is not published; "" for none
}

// Stats count since New, except Connected, Waiting, Subscriptions, Retained and RetainedBytes.
type Stats struct {
	Connected     int64 // now
	Waiting       int64 // now: connections that have not proven who they are
	Subscriptions int64 // now
	Refused       int64 // connections that never became a client: pushed out, over a cap, failed handshake, no rights
	Denied        int64 // publishes and subscribes outside a client's rights
	Dropped       int64 // messages not delivered because a client's queue or inflight window was full
	Panics        int64 // recovered; each cost one client its connection

	In, Out           int64 // messages that clients have published, and that were sent to them
	BytesIn, BytesOut int64 // of all MQTT that went over the connections
	Retained          int64 // messages that are retained now
	RetainedBytes     int64 // of their topics and payloads
}

// Broker is one embedded broker. Its methods may be called from any goroutine.
type Broker struct {
	cfg    Config
	server *mqtt.Server

	refused, denied, dropped, panics atomic.Int64
	in, out, bytesIn, bytesOut       atomic.Int64
	kept, keptBytes                  atomic.Int64 // what is retained

	lobby *lobby.Lobby

	mu      sync.Mutex
	conns   map[*conn]struct{}
	names   map[string]map[*conn]struct{} // of clients, by Rights.Name
	pushed  time.Time                     // when it was last logged that connections are pushed out
	closing atomic.Bool                   // set under mu
	running atomic.Bool                   // Run goes on
	serving atomic.Int32                  // calls of Serve that go on
	deaf    atomic.Bool                   // the last connection could not be accepted
	wg      sync.WaitGroup                // one for every conn; nothing is added once closing

	// tables is held while a client enters or leaves Mochi's tables. Without it,
	// one that leaves can delete its successor of the same client id, which then
	// stays connected and hears nothing.
	tables sync.Mutex

	// retained is held while a retained message is stored, and shared by those
	// that look for retained messages on behalf of a new subscription. Mochi leaves
	// that to chance.
	retained sync.RWMutex
	before   int // bytes of what is retained on the topic that is stored next; under retained
}

// New builds a broker. It owns no goroutine until Run.
func New(cfg Config) (*Broker, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = cfg.Log.With("broker", cfg.Name)
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultAgents()
	}
	if len(cfg.Versions) == 0 {
		cfg.Versions = []byte{MQTT311}
	}
	for _, n := range []int{cfg.Limits.WriteQueue, cfg.Limits.Inflight} {
		if n < 1 || n > math.MaxUint16 {
			return nil, fmt.Errorf("broker %s: write queue and inflight must be between 1 and 65535, not %d", cfg.Name, n)
		}
	}
	if cfg.Limits.PacketSize < 0 || cfg.Limits.PacketSize > math.MaxInt32 {
		return nil, fmt.Errorf("broker %s: packet size %d is out of range", cfg.Name, cfg.Limits.PacketSize)
	}
	if cfg.Limits.MaxKeepAlive > 43690*time.Second {
		return nil, fmt.Errorf("broker %s: a keep-alive above 43690 s overflows", cfg.Name) // Mochi takes half of it more, in 16 bits
	}

	caps := mqtt.NewDefaultServerCapabilities()
	caps.MinimumProtocolVersion = MQTT311
	caps.MaximumMessageExpiryInterval = 0 // otherwise retained messages vanish after a day
	caps.MaximumSessionExpiryInterval = 0
	caps.MaximumClientWritesPending = int32(cfg.Limits.WriteQueue)
	caps.MaximumInflight = uint16(cfg.Limits.Inflight)
	caps.MaximumPacketSize = uint32(cfg.Limits.PacketSize)
	caps.TopicAliasMaximum = 0 // rights are checked on topics, not on their aliases
	caps.SharedSubAvailable = 0
	caps.Compatibilities.NoInheritedPropertiesOnAck = true // a client's own words come back to nobody

	b := &Broker{
		cfg: cfg,
		server: mqtt.New(&mqtt.Options{
			Capabilities:           caps,
			InlineClient:           true,
			SysTopicResendInterval: 60, // each time stops the world to count memory
			Logger:                 slog.New(&quiet{cfg.Log.Handler()}),
		}),
		conns: map[*conn]struct{}{},
		names: map[string]map[*conn]struct{}{},
		lobby: lobby.New(lobby.Limits{Waiting: cfg.Limits.Waiting, PerAddress: cfg.Limits.PerAddress, Proven: cfg.Limits.Connections,
			Exempt: slices.Concat(cfg.Shared, cfg.Proxies)}),
	}
	// One hook only: Mochi asks all of them and is content with a single yes.
	if err := b.server.AddHook(&hook{broker: b}, nil); err != nil {
		return nil, fmt.Errorf("broker %s: %w", cfg.Name, err)
	}
	return b, nil
}

// Run keeps the broker going until ctx ends, then closes every connection and
// returns when the last goroutine of the broker has. It returns an error if that
// takes longer than Limits.Close. A broker runs once.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.server.Serve(); err != nil {
		return fmt.Errorf("start broker %s: %w", b.cfg.Name, err)
	}
	b.running.Store(true)
	defer b.running.Store(false)
	<-ctx.Done()
	b.settle()

	b.mu.Lock()
	b.closing.Store(true)
	b.lobby.Close()
	last := slices.Collect(maps.Keys(b.conns))
	b.mu.Unlock()
	for _, c := range last {
		c.abort()
	}

	closed := make(chan error, 1)
	go func() {
		b.wg.Wait() // Mochi must not be closed under its clients: it can wait for them for ever
		closed <- b.server.Close()
	}()
	limit := time.NewTimer(b.cfg.Limits.Close)
	defer limit.Stop()
	select {
	case err := <-closed:
		return err
	case <-limit.C:
		return fmt.Errorf("broker %s: %d connections have not ended within %v", b.cfg.Name, b.Stats().Connected, b.cfg.Limits.Close)
	}
}

// Up reports whether the broker runs and takes connections from a listener.
func (b *Broker) Up() bool {
	return b.running.Load() && !b.closing.Load() && b.serving.Load() > 0 && !b.deaf.Load()
}

// settle lets what was published last reach the clients that read: Mochi hands a
// message to a goroutine of each client. It returns after 100 ms and once they have
// taken what was written to them, and acknowledged what asks for it, after
// Limits.Parting at the latest.
func (b *Broker) settle() {
	const step, least = 10 * time.Millisecond, 100 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	for waited := time.Duration(0); waited < b.cfg.Limits.Parting; waited += step {
		if len(b.everybody()) == 0 || waited >= least && !b.delivering() {
			return
		}
		<-tick.C
	}
}

// delivering reports whether a client has not taken yet what was written to it, or not
// acknowledged what it was sent.
func (b *Broker) delivering() bool {
	for _, c := range b.everybody() {
		c.mu.Lock()
		busy := c.writing
		c.mu.Unlock()
		if busy {
			return true
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		if !c.authorising && c.client != nil && c.client.State.Inflight.Len() > 0 {
			return true
		}
	}
	return false
}

func (b *Broker) everybody() []*conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.conns))
}

// Publish sends a message to everyone subscribed. It does not wait for anybody:
// a subscriber whose queue is full does not get it, and nil means no more than
// that the broker took it.
func (b *Broker) Publish(topic string, payload []byte, qos byte, retain bool) error {
	if strings.HasPrefix(topic, "$") || strings.ContainsAny(topic, "+#") || !valid(topic, b.cfg.Limits.Levels) {
		return fmt.Errorf("publish to %q: %w", topic, ErrTopic)
	}
	if b.cfg.Limits.PacketSize > 0 && len(topic)+len(payload)+16 > b.cfg.Limits.PacketSize {
		return fmt.Errorf("publish %d bytes to %s: %w", len(payload), topic, ErrTooLarge)
	}
	if qos > 1 {
		return fmt.Errorf("publish to %s: QoS %d is not 0 or 1", topic, qos)
	}
	if b.closing.Load() {
		return ErrClosed
	}
	return b.server.Publish(topic, payload, retain, qos)
}

// Kick closes every connection whose Rights.Name is name, without telling it
// why, and returns how many there were. A connection that is being authorised
// meanwhile is refused, so withdraw the right first and kick after. Wills of
// kicked clients are published.
func (b *Broker) Kick(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for c := range b.conns {
		switch {
		case c.authorising:
			c.kicked = append(c.kicked, name)
		case c.rights != nil && c.rights.Name == name:
			c.Close()
			n++
		}
	}
	return n
}

// Cut closes the connection of one client, as Kick does, and returns how many there
// were.
func (b *Broker) Cut(name, clientID string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for c := range b.conns {
		if c.rights != nil && c.rights.Name == name && c.id == clientID {
			c.Close()
			n++
		}
	}
	return n
}

// Connections lists the connected clients by name and client id.
func (b *Broker) Connections() []Connection {
	b.mu.Lock()
	var all []Connection
	for c := range b.conns {
		if c.rights != nil {
			all = append(all, c.describe())
		}
	}
	b.mu.Unlock()
	slices.SortFunc(all, func(x, y Connection) int {
		if n := strings.Compare(x.Name, y.Name); n != 0 {
			return n
		}
		return strings.Compare(x.ClientID, y.ClientID)
	})
	return all
}

// Stats returns the counters.
func (b *Broker) Stats() Stats {
	b.mu.Lock()
	connected := int64(0)
	for c := range b.conns {
		if c.rights != nil {
			connected++
		}
	}
	b.mu.Unlock()
	return Stats{
		Connected:     connected,
		Waiting:       int64(b.lobby.Stats().Waiting),
		Subscriptions: atomic.LoadInt64(&b.server.Info.Subscriptions),
		Refused:       b.refused.Load(),
		Denied:        b.denied.Load(),
		Dropped:       b.dropped.Load() + atomic.LoadInt64(&b.server.Info.InflightDropped),
		Panics:        b.panics.Load(),
		In:            b.in.Load(),
		Out:           b.out.Load(),
		BytesIn:       b.bytesIn.Load(),
		BytesOut:      b.bytesOut.Load(),
		Retained:      b.kept.Load(),
		RetainedBytes: b.keptBytes.Load(),
	}
}

// keep is called before a retained message is stored, and holds retained until it is.
func (b *Broker) keep(topic string) {
	b.retained.Lock()
	b.before = b.weight(topic)
}

// stored follows keep.
func (b *Broker) stored(topic string) {
	after := b.weight(topic)
	b.keptBytes.Add(int64(after - b.before))
	switch {
	case b.before == 0 && after > 0:
		b.kept.Add(1)
	case b.before > 0 && after == 0:
		b.kept.Add(-1)
	}
	b.retained.Unlock()
}

// weight is how many bytes are retained on a topic, 0 for nothing.
func (b *Broker) weight(topic string) int {
	pk, ok := b.server.Topics.Retained.Get(topic)
	if !ok {
		return 0
	}
	return len(topic) + len(pk.Payload)
}

// received hands a client's message to its reader. While the broker is closing
// there is none any more.
func (b *Broker) received(m Message) error {
	if b.cfg.Received != nil && !strings.HasPrefix(m.Topic, "$") && !b.closing.Load() {
		return b.cfg.Received(m)
	}
	return nil
}

func (b *Broker) deny(d Denial) {
	b.denied.Add(1)
	if b.cfg.Denied != nil {
		b.cfg.Denied(d)
	}
}

// bury finishes what Mochi leaves undone when a connection ends by a panic, or
// while its CONNACK is written: the client leaves the tables and its will is
// published.
func (b *Broker) bury(c *conn) {
	b.strike(c)
	if !c.entered || c.leaving || c.willed {
		return
	}
	w := c.client.Properties.Will
	if w.Flag == 0 || w.TopicName != c.rights.will {
		return
	}
	// An inline client of the same id: it needs no rights, and whoever receives the
	// message sees it come from where it did.
	sender := b.server.NewClient(nil, "", c.id, true)
	err := b.server.InjectPacket(sender, packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: w.Qos, Retain: w.Retain},
		TopicName:   w.TopicName,
		Payload:     w.Payload,
		PacketID:    uint16(w.Qos), // Mochi wants one if and only if the QoS is above 0
		Properties:  packets.Properties{User: w.User},
	})
	if err != nil {
		b.cfg.Log.Error("will not published", "name", c.rights.Name, "client", c.id, "err", err)
	}
	_ = b.received(Message{ // whose will it was is gone
		Name: c.rights.Name, ClientID: c.id, Remote: c.RemoteAddr().String(), Topic: w.TopicName, Payload: w.Payload,
		QoS: w.Qos, Retain: w.Retain, Will: true,
	})
}

// strike releases what c holds and takes its client out of Mochi's tables.
func (b *Broker) strike(c *conn) {
	if c.scanning {
		b.retained.RUnlock()
	}
	if c.retaining {
		b.retained.Unlock()
	}
	if !c.entering && !c.leaving {
		b.tables.Lock()
	}
	defer b.tables.Unlock()
	cl := c.client
	if cl == nil {
		return
	}
	if current, ok := b.server.Clients.Get(cl.ID); ok && current == cl {
		b.server.UnsubscribeClient(cl)
		cl.ClearInflights()
		b.server.Clients.Delete(cl.ID)
	}
}
