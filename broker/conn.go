package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/restic-manager/restic-manager/lobby"
)

const (
	// backlog is how many bytes may wait for a client's socket before whoever has
	// more to say to it waits too.
	backlog = 64 << 10

	// chunk is what a client must take within Limits.Write.
	chunk = 16 << 10

	// parting is how long a connection that we end is still read from.
	parting = time.Second

	// refusalsLogged is how many of one connection's refusals are logged; all are counted.
	refusalsLogged = 8
)

// errNamesake ends a connection in favour of another one with its client ID.
var errNamesake = errors.New("another client with its ID has connected")

// errPanic ends a client whose packet, or whose reader's handling of it, panicked.
var errPanic = errors.New("panic")

// conn is a client's connection as Mochi sees it.
//
// Mochi writes under a lock that its publishers need, so one client that does
// not read would hold up everybody. A Write here never blocks: it queues, and a
// goroutine that lives as long as there is something to write does the writing.
// room, which Mochi reaches before it takes that lock, is where one waits.
type conn struct {
	net.Conn          // what MQTT is spoken over, TLS or not
	raw      net.Conn // the socket beneath
	broker   *Broker
	place    *lobby.Place
	by       Transport
	since    time.Time

	// Written under broker.mu before Mochi knows the client; read freely after.
	rights  *rights
	id      string
	version byte
	expiry  *time.Timer // closes the connection; nil for one that may last
	will    string      // the topic of a will that it may not have
	bridge  bool        // another broker's: it gets the retain flag as it was published

	// Guarded by broker.mu.
	authorising bool
	kicked      []string // names kicked while authorising

	// Of the connection's own goroutine.
	head      []byte // the CONNECT, while it is not read yet
	client    *mqtt.Client
	unnamed   bool   // it wants a session that lasts and names none
	lasting   bool   // it wants a session that lasts
	blank     bool   // its will has no payload
	forbidden bool   // the message for sink being processed is none that it may publish
	ackID     uint16 // of the SUBSCRIBE or UNSUBSCRIBE being processed
	entering  bool   // holds broker.tables on the way in
	entered   bool   // is or was a client
	leaving   bool   // holds broker.tables on the way out
	willed    bool   // its will was due and has been dealt with
	scanning  bool   // shares broker.retained
	retaining bool   // holds broker.retained

	refusals          atomic.Int64
	beyond            atomic.Pointer[string] // the last of them
	heard, told, lost atomic.Int64           // messages

	mu      sync.Mutex
	drained sync.Cond     // on mu: out was taken, or the connection is closed
	out     []byte        // to be written
	writing bool          // the writing goroutine lives
	closed  bool          // nothing more goes in; what is in out still goes out
	muted   bool          // nothing more goes in, and nobody is told
	gone    chan struct{} // closed with the socket
}

// Attach serves one client that came by another way than Serve, such as a
// WebSocket, and returns when it is gone; it closes nc. The same limits apply,
// except the one on the TLS handshake. Closing nc must not wait for the client.
func (b *Broker) Attach(nc net.Conn, by Transport) error {
	place := b.enter(nc)
	if place == nil {
		return ErrClosed
	}
	defer place.Leave()
	return b.attach(nc, nc, place, by)
}

func (b *Broker) attach(nc, raw net.Conn, place *lobby.Place, by Transport) error {
	c := &conn{Conn: nc, raw: raw, broker: b, place: place, by: by, since: time.Now(), gone: make(chan struct{})}
	c.drained.L = &c.mu
	b.mu.Lock()
	if b.closing.Load() {
		b.mu.Unlock()
		raw.Close()
		return ErrClosed
	}
	b.conns[c] = struct{}{}
	b.wg.Add(1)
	b.mu.Unlock()
	defer b.wg.Done()

	if b.cfg.Limits.Connect > 0 {
		_ = nc.SetReadDeadline(c.since.Add(b.cfg.Limits.Connect)) // Mochi sets its own once it has the CONNECT
	}
	// Mochi has a queue and a goroutine for whoever it is given, so it is given nobody
	// before there is a whole CONNECT.
	err := c.listen()
	if err == nil {
		err = c.guard(func() error { return b.server.EstablishConnection("", c) })
	}
	c.Close()
	_ = c.guard(func() error { b.bury(c); return nil })

	b.mu.Lock()
	delete(b.conns, c)
	b.unname(c)
	if c.expiry != nil {
		c.expiry.Stop()
	}
	b.mu.Unlock()
	<-c.gone

	attrs := []any{"remote", nc.RemoteAddr().String()}
	if c.client != nil {
		attrs = append(attrs, "client", c.client.ID)
	}
	if c.rights == nil {
		b.refused.Add(1)
		level := slog.LevelWarn
		if c.client == nil { // not even a CONNECT
			level = slog.LevelDebug
		}
		b.cfg.Log.Log(context.Background(), level, "client refused", append(attrs, "err", err)...)
		return err
	}
	if errors.Is(c.client.StopCause(), packets.ErrSessionTakenOver) {
		err = errNamesake
	}
	b.cfg.Log.Info("client disconnected", append(attrs, "name", c.rights.Name, "err", err)...)
	return err
}

var errNoConnect = errors.New("the first packet is no CONNECT, or too large a one")

// listen reads the CONNECT into head.
func (c *conn) listen() error {
	head := make([]byte, 2, 512)
	if _, err := io.ReadFull(c.Conn, head); err != nil {
		return err
	}
	if head[0] != packets.Connect<<4 {
		return errNoConnect
	}
	size, shift := int(head[1]&0x7f), 7
	for head[len(head)-1]&0x80 != 0 {
		if shift > 21 {
			return errNoConnect
		}
		head = append(head, 0)
		if _, err := io.ReadFull(c.Conn, head[len(head)-1:]); err != nil {
			return err
		}
		size |= int(head[len(head)-1]&0x7f) << shift
		shift += 7
	}
	if most := c.broker.cfg.Limits.ConnectSize; most > 0 && size > most {
		return errNoConnect
	}
	n := len(head)
	// As it comes, so that a length alone takes no memory.
	for len(head) < n+size {
		from := len(head)
		head = append(head, make([]byte, min(n+size-from, 4096))...)
		if _, err := io.ReadFull(c.Conn, head[from:]); err != nil {
			return err
		}
	}
	c.head = head
	c.broker.bytesIn.Add(int64(len(head)))
	return c.glance(head[n:])
}

// Read reads the CONNECT, and then what comes after it.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		if c.head = c.head[n:]; len(c.head) == 0 {
			c.head = nil
		}
		return n, nil
	}
	n, err := c.Conn.Read(p)
	c.broker.bytesIn.Add(int64(n))
	return n, err
}

// describe is the connection as others see it; it is a client's.
func (c *conn) describe() Connection {
	d := Connection{
		Name: c.rights.Name, ClientID: c.id, Remote: c.RemoteAddr().String(), Version: c.version, Transport: c.by, Since: c.since,
		Subscriptions: c.client.State.Subscriptions.Len(), In: c.heard.Load(), Out: c.told.Load(), Dropped: c.lost.Load(),
		Denied: c.refusals.Load(), LostWill: c.will,
	}
	if last := c.beyond.Load(); last != nil {
		d.Beyond = *last
	}
	return d
}

// guard is the wall round a connection. The value of a panic may quote a
// payload, so only the trace is logged.
func (c *conn) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.broker.panics.Add(1)
			c.broker.cfg.Log.Error("recovered a panic; the client is cut off",
				"remote", c.RemoteAddr().String(), "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	return f()
}

// denied counts and logs something outside the client's rights.
func (c *conn) denied(what, topic string) {
	c.broker.deny(Denial{Name: c.rights.Name, ClientID: c.id, What: what, Topic: topic})
	c.beyond.Store(new(what + " " + brief(topic)))
	if c.refusals.Add(1) > refusalsLogged {
		return
	}
	c.broker.cfg.Log.Warn("refused: outside the client's rights", "what", what, "topic", brief(topic), "name", c.rights.Name, "client", c.id)
}

func (c *conn) certificate() *x509.Certificate {
	t, ok := c.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	if chains := t.ConnectionState().VerifiedChains; len(chains) > 0 {
		return chains[0][0]
	}
	return nil
}

// SetDeadline moves the reading deadline. Mochi renews it with every packet a
// client sends, which must not excuse a client that does not read.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return c.Conn.SetReadDeadline(t)
}

// Write takes p without waiting for the client.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.muted {
		return len(p), nil
	}
	if c.closed {
		return 0, net.ErrClosed
	}
	c.out = append(c.out, p...)
	c.wake()
	return len(p), nil
}

// room waits until there is room for another packet, or nobody will read it.
func (c *conn) room() {
	c.mu.Lock()
	for len(c.out) >= backlog && !c.closed && !c.muted {
		c.drained.Wait()
	}
	c.mu.Unlock()
}

// mute discards whatever is written from now on.
func (c *conn) mute() {
	c.mu.Lock()
	c.muted = true
	c.drained.Broadcast()
	c.mu.Unlock()
}

func (c *conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Close ends reading at once and the connection as soon as the client has taken
// what was written. It does not wait for that.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.drained.Broadcast()
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
	c.wake()
	return nil
}

// abort closes the socket without further ado.
func (c *conn) abort() {
	c.Close()
	c.raw.Close()
}

// wake starts the writing goroutine; it ends when there is nothing left to do.
func (c *conn) wake() {
	if !c.writing {
		c.writing = true
		go c.write()
	}
}

func (c *conn) write() {
	var spare []byte
	for {
		c.mu.Lock()
		p := c.out
		c.out = spare[:0]
		c.drained.Broadcast()
		if len(p) == 0 {
			done := c.closed
			if c.out = nil; !done {
				c.writing = false
			}
			c.mu.Unlock()
			if done {
				c.end(true)
			}
			return
		}
		c.mu.Unlock()

		for rest := p; len(rest) > 0; {
			n := min(len(rest), chunk)
			if c.broker.cfg.Limits.Write > 0 {
				_ = c.Conn.SetWriteDeadline(time.Now().Add(c.broker.cfg.Limits.Write))
			}
			if _, err := c.Conn.Write(rest[:n]); err != nil {
				c.end(false)
				return
			}
			c.broker.bytesOut.Add(int64(n))
			rest = rest[n:]
		}
		spare = p
	}
}

// end closes the socket, with a word of goodbye to a client that still listens.
// The writing goroutine ends here and is never started again.
func (c *conn) end(goodbye bool) {
	c.mu.Lock()
	c.closed, c.out = true, nil
	c.drained.Broadcast()
	c.mu.Unlock()
	if goodbye {
		c.linger()
		c.Conn.Close()
	}
	c.raw.Close()
	close(c.gone)
}

// linger waits until the client has read what was written last, and closed its end, or
// for a moment. If the socket were closed while more of the client's is to be read, the
// system would take back what the client has not read yet.
func (c *conn) linger() {
	c.broker.mu.Lock()
	client := c.rights != nil
	c.broker.mu.Unlock()
	ends, ok := c.Conn.(interface{ CloseWrite() error })
	if !client || !ok || ends.CloseWrite() != nil {
		return // a stranger has sent its CONNECT alone, or is not waited for
	}
	c.place.Leave() // somebody else may come meanwhile
	_ = c.Conn.SetReadDeadline(time.Now().Add(parting))
	_, _ = io.CopyN(io.Discard, c.Conn, backlog)
}
