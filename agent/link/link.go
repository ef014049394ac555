// Package link keeps an agent connected to the agents' broker, one session
// after the other. Nothing else knows paho.
//
// Every attempt is a new session with a client id and a last will of its own; it
// counts as connected once the control plane's sealed welcome arrived, which proves
// that messages travel both ways. A connection without a welcome is dropped, and the
// next session begins. A published message may be lost: only a receipt proves that
// it arrived.
package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/topics"
)

// ErrDeaf says that a connection was made and no welcome came over it.
var ErrDeaf = errors.New("connected, but the control plane did not answer")

// ErrRenewed ends a connection that is to be followed by one with the new
// certificate, at once.
var ErrRenewed = errors.New("the certificate was renewed")

// Timing holds the durations of a connection.
type Timing struct {
	Connect   time.Duration // to dial, shake hands and be let in; and to be subscribed
	Write     time.Duration // for a packet to be taken off our hands
	Ping      time.Duration // for the broker to answer a ping
	KeepAlive time.Duration
	Welcome   time.Duration // for the control plane to answer a birth
	Farewell  time.Duration // for the last words of a session

	// Backoff is the longest wait before the second attempt; it doubles with
	// every further one up to BackoffCap. The wait itself is random.
	Backoff, BackoffCap time.Duration
	// Return is for how long an agent tries to come back quickly after it was told that the
	// control plane stops, which mostly means that it begins anew.
	Return time.Duration
	// Refused is the wait after the control plane said that it cannot speak with
	// this version.
	Refused time.Duration
}

// DefaultTiming is what an agent uses unless a test says otherwise.
func DefaultTiming() Timing {
	return Timing{
		Connect: 10 * time.Second, Write: 10 * time.Second, Ping: 10 * time.Second, KeepAlive: 30 * time.Second,
		Welcome: 15 * time.Second, Farewell: 3 * time.Second,
		Backoff: 10 * time.Second, BackoffCap: time.Minute, Return: 2 * time.Minute, Refused: 10 * time.Minute,
	}
}

// Config says whom to connect to, and as whom.
type Config struct {
	Server string // HOST:PORT
	Host   topics.HostID
	// Credentials are asked for at each attempt, because a renewal changes them: with the
	// client certificate, the pinned CA, the name and the ALPN protocol, and how to seal.
	Credentials func() (*tls.Config, *seal.Channel)
	Version     string // of the agent
	Timing      Timing
	Log         *slog.Logger
	// Next names the next session; it is on disk before Next returns.
	Next func() (topics.Session, error)
	// Instance names the process, see topics.Birth; nil or "" says nothing.
	Instance func() string
}

// An Event is what Keep tells. The events of a connection come between its Up
// and its Down.
type Event interface{ linkEvent() }

// The events.
type (
	// Up: the control plane has welcomed a new session.
	Up struct {
		Conn    *Conn
		Welcome topics.Welcome
	}
	// Received: a receipt of this session came.
	Received struct {
		Conn    *Conn
		Receipt topics.Receipt
	}
	// Commanded: a command of this session came.
	Commanded struct {
		Conn    *Conn
		Command topics.Command
	}
	// Queried: a query of this session came, or its end.
	Queried struct {
		Conn  *Conn
		ID    topics.QueryID
		Query topics.Query
	}
	// Configured: a part of a config came, in this session.
	Configured struct {
		Conn *Conn
		Part topics.ConfigPart
	}
	// Renewal: the control plane asks for the certificate to be renewed at once, or tells
	// the identity that is to follow its own.
	Renewal struct {
		Conn *Conn
		Next *topics.Succession
	}
	// Down: the session is over.
	Down struct{ Conn *Conn }
)

func (Up) linkEvent()         {}
func (Received) linkEvent()   {}
func (Commanded) linkEvent()  {}
func (Queried) linkEvent()    {}
func (Configured) linkEvent() {}
func (Renewal) linkEvent()    {}
func (Down) linkEvent()       {}

// refusal is that this agent and this control plane cannot work together, as the welcome
// of one says, or [Refuse].
type refusal struct{ why string }

func (r refusal) Error() string {
	return "the control plane cannot work with this agent: " + r.why
}

// Refuse returns why a connection is dropped that is not to be tried again soon.
func Refuse(why string) error { return refusal{why} }

// Keep stays connected until ctx ends; then it says goodbye, and returns when
// everything it started has ended. Whoever reads events may stop when ctx ends.
func Keep(ctx context.Context, c Config, events chan<- Event) {
	said := ""
	var next pace
	for ctx.Err() == nil {
		conn, welcome, err := begin(ctx, c)
		began := err == nil
		if began {
			said = ""
			next.began()
			c.Log.Info("connected", "server", c.Server, "session", conn.Session.N)
			if emit(ctx, events, Up{conn, welcome}) {
				err = conn.serve(ctx, events)
				emit(ctx, events, Down{conn})
			}
			conn.end(ctx.Err() != nil)
			next.stopped(c.Timing, time.Now(), conn.spread)
		}
		if ctx.Err() != nil {
			return
		}
		wait := next.wait(c.Timing, time.Now(), began, err)
		if errors.Is(err, ErrRenewed) {
			continue
		}
		if err.Error() != said {
			said = err.Error()
			c.Log.Warn("not connected", "server", c.Server, "err", err, "again_in", wait.Round(time.Second))
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// A pace is how soon the next attempt is made.
type pace struct {
	attempts int           // in vain, since the last connection
	quick    time.Time     // until when it tries to come back quickly,
	spread   time.Duration // each attempt after at most this, then
}

// began notes that a connection was made.
func (p *pace) began() { p.attempts = 0 }

// stopped notes that a connection ended, and over how long agents are to come back, 0 if its
// control plane had not said that it stops: then the one before may still be to come back to.
func (p *pace) stopped(t Timing, now time.Time, spread time.Duration) {
	if spread > 0 {
		p.quick, p.spread = now.Add(t.Return), spread
	}
}

// wait is how long to wait after an attempt, which began a connection or did not.
func (p *pace) wait(t Timing, now time.Time, began bool, err error) time.Duration {
	if r := (refusal{}); errors.As(err, &r) {
		p.attempts++
		return t.Refused
	}
	if !now.Before(p.quick) {
		p.attempts++
		return jitter(t, p.attempts-1)
	}
	if !began && !nobody(err) { // it is there, and has its hands full
		p.spread = topics.Spreads(2 * p.spread.Milliseconds())
	}
	return rand.N(p.spread)
}

// nobody reports whether an attempt failed because nobody listens, which costs nobody
// anything.
func nobody(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "dial" && !network.Timeout()
}

// begin makes one attempt under a new session. It fails if the session's number
// cannot be written to disk, most likely because that is full.
func begin(ctx context.Context, c Config) (*Conn, topics.Welcome, error) {
	session, err := c.Next()
	if err != nil {
		return nil, topics.Welcome{}, fmt.Errorf("number the session: %w", err)
	}
	return dial(ctx, c, session)
}

// jitter is anything up to the back-off, so that a fleet does not come back in
// one moment.
func jitter(t Timing, attempts int) time.Duration {
	return rand.N(min(t.Backoff<<min(attempts, 10), t.BackoffCap) + 1)
}

func emit(ctx context.Context, events chan<- Event, e Event) bool {
	select {
	case events <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// errRestarted ends a connection to a broker that outlived the control plane which
// welcomed the agent: another has begun.
var errRestarted = errors.New("the control plane has begun anew")

// A Conn is one welcomed session.
type Conn struct {
	Session  topics.Session
	Instance string // the process, as its birth says

	config  Config
	tls     *tls.Config
	channel *seal.Channel
	id      uint64 // of the client: a copy of this machine must not have the same, or the broker would end one of the two for it
	client  mqtt.Client
	inbox   chan mqtt.Message
	outbox  chan outgoing
	lost    chan struct{} // closed when paho has let go
	why     error         // of lost
	context context.Context
	drop    context.CancelCauseFunc // closes the socket
	writer  sync.WaitGroup
	seen    uint64 // the number of the control plane's last message; its reader's
	written uint64 // of ours; its caller's

	welcomed bool // its reader's
	// Of the control plane, as it told all agents; its reader's.
	plane   topics.Session // which one this is, the zero value until it is known
	spread  time.Duration  // over how long agents come back to the one after it, 0 while it goes on
	refused atomic.Uint64
}

// Bounds of the queues between paho and us. Both are full only if the other side
// floods us or has stopped reading: what does not fit is dropped, and sent again
// by whoever still needs it.
const (
	inboxSize  = 128
	outboxSize = 2 * protocol.Window
)

type outgoing struct {
	topic   topics.Topic
	payload []byte
	done    chan struct{} // of the last words
}

func dial(ctx context.Context, config Config, session topics.Session) (*Conn, topics.Welcome, error) {
	c := &Conn{
		Session: session, config: config, id: rand.Uint64(),
		inbox: make(chan mqtt.Message, inboxSize), outbox: make(chan outgoing, outboxSize), lost: make(chan struct{}),
	}
	c.tls, c.channel = config.Credentials()
	if config.Instance != nil {
		c.Instance = config.Instance()
	}
	// The connection outlives ctx, for its last words; until it is welcomed there are none.
	c.context, c.drop = context.WithCancelCause(context.WithoutCancel(ctx))
	release := context.AfterFunc(ctx, func() { c.drop(ctx.Err()) })
	welcome, err := c.connect()
	if !release() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.end(false)
		return nil, topics.Welcome{}, err
	}
	c.writer.Go(c.write)
	return c, welcome, nil
}

func (c *Conn) topic(k topics.Kind) topics.Topic { return topics.Topic{Kind: k, Host: c.config.Host} }

func (c *Conn) options() *mqtt.ClientOptions {
	t, host := c.config.Timing, string(c.config.Host)
	death := c.topic(topics.KindDeath)
	return mqtt.NewClientOptions().
		AddBroker("tls://"+c.config.Server). // for the record; our own function dials
		SetCustomOpenConnectionFn(c.open).
		SetProtocolVersion(4). // otherwise a refused connection is tried again as MQTT 3.1
		SetClientID(fmt.Sprintf("%s_%d", host, c.id)).
		SetUsername(host).
		SetCleanSession(true).
		SetBinaryWill(death.String(), c.death(topics.Lost), death.Entry().QoS, death.Entry().Retained).
		SetKeepAlive(t.KeepAlive).
		SetPingTimeout(t.Ping).
		SetConnectTimeout(t.Connect).
		SetWriteTimeout(t.Write).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetOrderMatters(true).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			select { // on paho's reader: to wait here would hold up everything else
			case c.inbox <- m:
			default:
			}
		}).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) {
			c.why = err
			close(c.lost)
		})
}

func (c *Conn) death(reason string) []byte {
	return topics.Encode(topics.Death{Session: c.Session, Reason: reason,
		MAC: c.channel.Sign(c.topic(topics.KindDeath).String(), c.Session.Signed(reason))})
}

func (c *Conn) open(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(c.context, c.config.Timing.Connect)
	defer cancel()
	dialer := tls.Dialer{Config: c.tls}
	socket, err := dialer.DialContext(ctx, "tcp", c.config.Server)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(c.context, func() { socket.(*tls.Conn).NetConn().Close() })
	return droppable{socket, c.context}, nil
}

// A droppable connection says why it was closed. Of one that was closed under
// its reader paho takes no notice, and would keep it until the next ping.
type droppable struct {
	net.Conn
	context context.Context
}

func (d droppable) Read(b []byte) (int, error) {
	n, err := d.Conn.Read(b)
	if err != nil && d.context.Err() != nil {
		err = context.Cause(d.context)
	}
	return n, err
}

// connect connects, subscribes and waits for the welcome.
func (c *Conn) connect() (topics.Welcome, error) {
	t := c.config.Timing
	client := mqtt.NewClient(c.options())
	token := client.Connect()
	<-token.Done() // within Timing.Connect, or when the socket is closed
	if err := token.Error(); err != nil {
		if cause := context.Cause(c.context); cause != nil {
			err = cause
		}
		return topics.Welcome{}, c.explain(err)
	}
	c.client = client

	filter := topics.AgentReads(c.config.Host)
	subscribed := client.Subscribe(filter, 1, nil)
	select {
	case <-subscribed.Done():
	case <-time.After(t.Connect):
		return topics.Welcome{}, fmt.Errorf("subscribe: no answer within %v", t.Connect)
	}
	if err := subscribed.Error(); err != nil {
		return topics.Welcome{}, fmt.Errorf("subscribe: %w", err)
	}
	if code := subscribed.(*mqtt.SubscribeToken).Result()[filter]; code > 1 {
		return topics.Welcome{}, fmt.Errorf("the broker refuses this host its topics (SUBACK %#x)", code)
	}
	birth := c.topic(topics.KindBirth)
	born := topics.Birth{Session: c.Session, Version: c.config.Version, Protocol: topics.Protocol, Instance: c.Instance,
		MAC: c.channel.Sign(birth.String(), c.Session.Signed(topics.Born))}
	if c.Instance != "" {
		born.Proof = c.channel.Sign(birth.String(), c.Session.Signed(topics.BornAs(c.Instance)))
	}
	client.Publish(birth.String(), birth.Entry().QoS, birth.Entry().Retained, topics.Encode(born))
	limit := time.NewTimer(t.Welcome)
	defer limit.Stop()
	for {
		select {
		case m := <-c.inbox:
			if w, ok := c.read(m).(topics.Welcome); ok {
				if w.Refused != "" {
					return w, refusal{w.Refused}
				}
				if w.Broadcasts { // whether that is granted does not matter
					client.Subscribe(topics.AllAgentsRead, 1, nil)
				}
				return w, nil
			}
		case <-c.lost:
			return topics.Welcome{}, fmt.Errorf("connection lost before the welcome: %w", c.why)
		case <-c.context.Done():
			return topics.Welcome{}, context.Cause(c.context)
		case <-limit.C:
			return topics.Welcome{}, fmt.Errorf("%w within %v", ErrDeaf, t.Welcome)
		}
	}
}

// explain says what to do about a connection that failed.
func (c *Conn) explain(err error) error {
	var unknown *tls.CertificateVerificationError
	var network *net.OpError
	switch {
	case errors.As(err, &network) && network.Op == "remote error": // an alert, after our certificate was seen
		return fmt.Errorf("the control plane refuses this host's certificate: it was revoked there or waits for approval, has run out, "+
			"or another machine has taken this one's place; make a token for this host on its page and enrol it with --again; if this "+
			"machine is a copy of another one that stays this host, or if the control plane was restored from a copy older than this "+
			"host, make a token on the page Add host instead (%w)", err)
	case errors.Is(err, packets.ErrorRefusedNotAuthorised), errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword):
		return fmt.Errorf("the control plane refuses this host: it was removed or revoked there, or its certificate has run out; make a "+
			"token for it on its page and enrol it with --again (%w)", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("%s is not the control plane this host was enrolled at, or has another identity since, and this host was away "+
			"or too old to follow; make a token for this host on its page and enrol it with --again (%w)", c.config.Server, err)
	}
	return fmt.Errorf("connect: %w", err)
}

// refusalsLogged is how many refused messages of a session are logged; all are
// counted.
const refusalsLogged = 20

// Refused counts the messages of this session that were not what they claimed
// to be. It may be called from any goroutine.
func (c *Conn) Refused() uint64 { return c.refused.Load() }

func (c *Conn) refuse(m mqtt.Message, why error) {
	if n := c.refused.Add(1); n <= refusalsLogged {
		c.config.Log.Warn("message refused", "topic", m.Topic(), "err", why)
	}
}

// read opens a message of the control plane: a Welcome, Receipt, Command, Queried or
// ConfigPart of this session which is newer than the last. Anything else is nil.
func (c *Conn) read(m mqtt.Message) any {
	if t, err := topics.Parse(m.Topic()); err == nil && (t.Kind == topics.KindPlaneBirth || t.Kind == topics.KindPlaneDeath) {
		return c.broadcast(t.Kind, m)
	}
	payload, stamp, err := c.unseal(m)
	switch {
	case err == nil && payload == nil:
		return nil
	case err == nil && stamp.To != "" && c.Instance != "" && stamp.To != c.Instance:
		return nil // for another machine that has this identity
	case err == nil && stamp.Session.After(c.Session):
		err = errors.New("it is of a session that has not begun")
	case err == nil && stamp.Session != c.Session && !c.welcomed:
		return nil // for the session before, still on its way; none is, behind the welcome
	case err == nil && stamp.Session != c.Session:
		err = errors.New("it is of a session that is over")
	case err == nil && stamp.N <= c.seen:
		err = errors.New("it came before")
	}
	if err != nil {
		c.refuse(m, err)
		return nil
	}
	c.seen = stamp.N
	if _, ok := payload.(topics.Welcome); ok {
		c.welcomed = true
	}
	return payload
}

// broadcast reads what the control plane tells all agents, nil if it cannot be read. It is
// not sealed: whoever forged it would have the agent come back sooner, and no more.
func (c *Conn) broadcast(kind topics.Kind, m mqtt.Message) any {
	if kind == topics.KindPlaneBirth {
		if b, err := topics.Decode[topics.PlaneBirth](m.Payload()); err == nil {
			return b
		}
		return nil
	}
	if d, err := topics.Decode[topics.PlaneDeath](m.Payload()); err == nil {
		if c.plane == (topics.Session{}) && !m.Retained() { // said just now, before its birth came here
			c.plane = d.Session
		}
		return d
	}
	return nil
}

// hears takes what the control plane tells all agents: errRestarted if the one that welcomed
// this session is gone and another is there. What one of before it said is retained, maybe.
func (c *Conn) hears(told any) error {
	switch p := told.(type) {
	case topics.PlaneBirth:
		if c.plane == (topics.Session{}) {
			c.plane = p.Session
			c.config.Log.Info("the control plane is there", "version", p.Version, "begun", p.Session.N)
		}
		if p.Session != c.plane {
			c.spread = topics.Spreads(p.Spread)
			return errRestarted
		}
	case topics.PlaneDeath:
		if p.Session == c.plane {
			c.spread = topics.Spreads(p.Spread)
			c.config.Log.Info("the control plane stops", "back_within", c.spread)
		}
	}
	return nil
}

// unseal opens a message as the type that its topic names.
func (c *Conn) unseal(m mqtt.Message) (payload any, stamp topics.Stamp, err error) {
	topic, err := topics.Parse(m.Topic())
	if err != nil || topic.Host != c.config.Host {
		return nil, stamp, errors.New("not a topic for this host")
	}
	if m.Retained() {
		return nil, stamp, errors.New("it was retained, so it may be of any age")
	}
	plain, err := c.channel.Open(m.Topic(), m.Payload())
	if err != nil {
		return nil, stamp, err
	}
	switch topic.Kind {
	case topics.KindWelcome:
		w, err := topics.Decode[topics.Welcome](plain)
		return w, w.Stamp, err
	case topics.KindReceipt:
		r, err := topics.Decode[topics.Receipt](plain)
		return r, r.Stamp, err
	case topics.KindCommand:
		command, err := topics.Decode[topics.Command](plain)
		if err == nil && command.Job != topic.Job {
			err = fmt.Errorf("%w: it names another job", topics.ErrPayload)
		}
		return command, command.Stamp, err
	case topics.KindQuery:
		q, err := topics.Decode[topics.Query](plain)
		return Queried{c, topic.Query, q}, q.Stamp, err
	case topics.KindConfig:
		p, err := topics.Decode[topics.ConfigPart](plain)
		return p, p.Stamp, err
	}
	return nil, stamp, nil // a newer control plane's
}

// serve passes received messages on until the connection ends, those included that came
// just before its end: the last of them says, maybe, that the control plane stops.
func (c *Conn) serve(ctx context.Context, events chan<- Event) error {
	for {
		select {
		case m := <-c.inbox:
			if err := c.pass(ctx, m, events); err != nil {
				return err
			}
		case <-c.lost:
			for len(c.inbox) > 0 { // paho adds none any more
				if err := c.pass(ctx, <-c.inbox, events); err != nil {
					return err
				}
			}
			return fmt.Errorf("connection lost: %w", c.why)
		case <-c.context.Done():
			return context.Cause(c.context)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pass passes one message on. An error ends the connection.
func (c *Conn) pass(ctx context.Context, m mqtt.Message, events chan<- Event) error {
	switch p := c.read(m).(type) {
	case topics.Receipt:
		emit(ctx, events, Received{c, p})
	case topics.Command:
		emit(ctx, events, Commanded{c, p})
	case Queried:
		emit(ctx, events, p)
	case topics.ConfigPart:
		emit(ctx, events, Configured{c, p})
	case topics.PlaneBirth, topics.PlaneDeath:
		return c.hears(p)
	case topics.Welcome:
		if p.Refused != "" {
			return refusal{p.Refused}
		}
		if p.Renew || p.Next != nil {
			emit(ctx, events, Renewal{c, p.Next})
		}
	}
	return nil
}

// Stamp numbers our next message. It belongs to one goroutine.
func (c *Conn) Stamp() topics.Stamp {
	c.written++
	return topics.Stamp{Session: c.Session, N: c.written}
}

// Send seals a payload and queues it. It never waits; false says that the queue
// is full or the connection gone.
func (c *Conn) Send(topic topics.Topic, payload any) bool {
	b := c.channel.Seal(topic.String(), topics.Encode(payload))
	select {
	case c.outbox <- outgoing{topic: topic, payload: b}:
		return true
	default:
		return false
	}
}

// Busy reports whether so much waits to be sent that what nobody needs for certain should
// wait.
func (c *Conn) Busy() bool { return len(c.outbox) > protocol.Window/2 }

// Drop ends the connection without a goodbye; a new session follows.
func (c *Conn) Drop(why error) { c.drop(why) }

// write publishes what was queued. A token proves nothing, but an old one that
// is never completed shows that the broker has stopped listening.
func (c *Conn) write() {
	var window []mqtt.Token
	for {
		select {
		case <-c.lost:
			return
		case <-c.context.Done():
			return
		case m := <-c.outbox:
			e := m.topic.Entry()
			token := c.client.Publish(m.topic.String(), e.QoS, e.Retained, m.payload)
			if m.done != nil {
				token.WaitTimeout(c.config.Timing.Farewell)
				close(m.done)
				return
			}
			if window = append(window, token); len(window) <= protocol.Window {
				continue
			}
			if !window[0].WaitTimeout(c.config.Timing.Write) {
				c.drop(fmt.Errorf("the broker has not acknowledged anything for %v", c.config.Timing.Write))
				return
			}
			window = window[1:]
		}
	}
}

// end closes the connection and returns when its goroutines have ended. With goodbye
// it first tells the control plane that this is intended; without, the broker
// publishes the will.
func (c *Conn) end(goodbye bool) {
	defer c.writer.Wait()
	defer c.drop(errors.New("connection closed"))
	if c.client == nil {
		return
	}
	if !goodbye {
		c.drop(errors.New("connection closed"))
		<-c.lost // paho's reader fails on the closed socket
		return
	}
	done := make(chan struct{})
	limit := time.NewTimer(c.config.Timing.Farewell)
	defer limit.Stop()
	select {
	case c.outbox <- outgoing{c.topic(topics.KindDeath), c.death(topics.Stopped), done}:
		select {
		case <-done:
			c.client.Disconnect(uint(c.config.Timing.Farewell.Milliseconds()))
			return
		case <-c.lost:
		case <-limit.C:
		}
	case <-c.lost:
	case <-limit.C:
	}
	c.drop(errors.New("connection closed"))
	<-c.lost
}
