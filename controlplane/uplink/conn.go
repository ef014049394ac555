package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/restic-manager/restic-manager/store/uplinks"
)

// window is how many messages the broker may have without having confirmed them. Without
// one, paho piles up 65,535 of them. mosquitto collects its confirmations for 40 ms, as TCP
// does unless told otherwise, so that a second has 25 windows; other brokers take no more
// than a hundred.
const window = 100

// A message came over a connection.
type message struct {
	topic    string
	payload  []byte
	retained bool
	again    bool
}

// A will is what the broker says, retained, if a connection ends without a goodbye.
type will struct {
	topic, payload string
}

// A conn is one connection: a clean session with a client ID of its own. Who gets an error
// drops it; nothing is resumed.
type conn struct {
	address address
	timing  Timing
	client  mqtt.Client
	context context.Context
	drop    context.CancelCauseFunc // closes the socket
	lost    chan struct{}           // closed when paho has let go
	why     error                   // of lost
	dialled error                   // why there is no socket, as it was before paho made a text of it

	mu      sync.Mutex
	pending []mqtt.Token // that the broker has not confirmed, the oldest first
}

// dial connects. received is called on the connection's reader: it must not block.
func dial(ctx context.Context, access uplinks.Access, w *will, t Timing, received func(message)) (*conn, error) {
	a, _, wrong := addressOf(access.URL)
	if wrong != "" {
		return nil, &trouble{wrong, "Correct the URL.", errUnfit}
	}
	if access.Unread != nil {
		return nil, &trouble{"The password that is kept cannot be read.", "Enter it again.", access.Unread}
	}
	config, err := tlsOf(a, access)
	if err != nil {
		return nil, err
	}
	c := &conn{address: a, timing: t, lost: make(chan struct{})}
	// The connection outlives ctx, for its last words; until it is made there are none.
	c.context, c.drop = context.WithCancelCause(context.WithoutCancel(ctx))
	release := context.AfterFunc(ctx, func() { c.drop(context.Cause(ctx)) })
	o := mqtt.NewClientOptions().
		AddBroker("tcp://" + a.hostport()). // for the record; our own function dials
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			socket, err := c.open(config)
			c.dialled = err
			return socket, err
		}).
		SetProtocolVersion(4). // otherwise a refused connection is tried again as MQTT 3.1
		SetClientID(fmt.Sprintf("rm%016x", rand.Uint64())).
		SetUsername(access.Account).
		SetPassword(access.Password.Reveal()).
		SetCleanSession(true).
		SetKeepAlive(t.KeepAlive).
		SetPingTimeout(t.Ping).
		SetConnectTimeout(t.Connect).
		SetWriteTimeout(t.Write).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetResumeSubs(false).
		SetOrderMatters(true).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			received(message{m.Topic(), m.Payload(), m.Retained(), m.Duplicate()})
		}).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) {
			c.why = err
			close(c.lost)
		})
	if w != nil {
		o.SetWill(w.topic, w.payload, 1, true)
	}
	client := mqtt.NewClient(o)
	token := client.Connect()
	<-token.Done() // within Timing.Connect, or when the socket is closed
	err = token.Error()
	if c.dialled != nil {
		err = c.dialled
	}
	if err != nil && ctx.Err() != nil && c.dialled == nil {
		err = context.Cause(ctx)
	}
	if !release() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.client = client
		c.close()
		return nil, wordsOf(err, a)
	}
	c.client = client
	return c, nil
}

// tlsOf is how a broker is trusted; nil without TLS.
func tlsOf(a address, access uplinks.Access) (*tls.Config, error) {
	if !a.tls() {
		return nil, nil
	}
	config := &tls.Config{ServerName: a.host, MinVersion: tls.VersionTLS12}
	if access.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(access.CA)) {
			return nil, &trouble{"The CA is no certificate in PEM.", "Enter it again.", errUnfit}
		}
	}
	if access.Certificate != "" {
		pair, err := tls.X509KeyPair([]byte(access.Certificate), []byte(access.Key.Reveal()))
		if err != nil {
			return nil, &trouble{"The client certificate and its key do not fit together.", "Enter both again.", err}
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// open makes the socket.
func (c *conn) open(config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(c.context, c.timing.Connect)
	defer cancel()
	dialer := &net.Dialer{}
	socket, err := dialer.DialContext(ctx, "tcp", c.address.hostport())
	if err != nil {
		return nil, err
	}
	context.AfterFunc(c.context, func() { _ = socket.Close() })
	var out net.Conn = socket
	if config != nil {
		secure := tls.Client(socket, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = socket.Close()
			return nil, err
		}
		out = secure
	}
	if c.address.path != "" {
		if out, err = webSocket(ctx, c.address, out); err != nil {
			_ = socket.Close()
			return nil, err
		}
	}
	return droppable{out, c.context}, nil
}

// A droppable connection says why it was closed. Of one that was closed under its reader
// paho takes no notice, and would keep it until the next ping.
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

// close ends the connection without a goodbye: the broker says the will.
func (c *conn) close() {
	c.drop(errLost)
	c.client.Disconnect(0)
}

// leave says goodbye, so that the broker forgets the will.
func (c *conn) leave() {
	c.client.Disconnect(uint(c.timing.Farewell.Milliseconds()))
	c.drop(errLost)
}

// await waits for a token, at most for the time of an answer.
func (c *conn) await(ctx context.Context, token mqtt.Token) error {
	limit := time.NewTimer(c.timing.Answer)
	defer limit.Stop()
	select {
	case <-token.Done():
		err := token.Error()
		if err != nil && strings.HasPrefix(err.Error(), "connection lost before") { // paho ends tokens before it says that it let go
			return fmt.Errorf("%w: %w", errLost, err)
		}
		return err
	case <-c.lost:
		return errLost
	case <-c.context.Done():
		return context.Cause(c.context)
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-limit.C:
		return errSilent
	}
}

// publish hands a message over. It returns before the broker has confirmed it, unless as
// many as fit into the window are unconfirmed. An error ends the connection.
func (c *conn) publish(ctx context.Context, topic string, payload []byte, qos byte, retain bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) >= window {
		if err := c.await(ctx, c.pending[0]); err != nil {
			return c.failed(err)
		}
		c.pending = c.pending[1:]
	}
	if !c.client.IsConnectionOpen() {
		return c.failed(errLost)
	}
	token := c.client.Publish(topic, qos, retain, payload)
	if qos == 0 {
		return c.failed(c.await(ctx, token))
	}
	c.pending = append(c.pending, token)
	return nil
}

// flush returns when the broker has confirmed everything.
func (c *conn) flush(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > 0 {
		if err := c.await(ctx, c.pending[0]); err != nil {
			return c.failed(err)
		}
		c.pending = c.pending[1:]
	}
	return nil
}

// failed words an error.
func (c *conn) failed(err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-c.lost:
		if c.why != nil && !errors.Is(err, errSilent) {
			err = fmt.Errorf("%w: %w", errLost, c.why)
		}
	default:
	}
	return wordsOf(err, c.address)
}

// subscribe reads what comes at a filter. refused is that the broker does not let us.
func (c *conn) subscribe(ctx context.Context, filter string, qos byte) (refused bool, err error) {
	token := c.client.Subscribe(filter, qos, nil)
	if err := c.await(ctx, token); err != nil {
		// paho makes an error of a refusal only for some brokers: the code is asked in any case
		if code, is := token.(*mqtt.SubscribeToken).Result()[filter]; is && code > 2 {
			return true, nil
		}
		return false, c.failed(err)
	}
	return token.(*mqtt.SubscribeToken).Result()[filter] > 2, nil
}

func (c *conn) unsubscribe(ctx context.Context, filters ...string) error {
	return c.failed(c.await(ctx, c.client.Unsubscribe(filters...)))
}
