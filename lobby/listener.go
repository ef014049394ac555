package lobby

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// A Listener gives each connection a place until it is closed. When the process has
// no descriptors left, it closes some of those that have proven nothing.
type Listener struct {
	net.Listener
	Lobby *Lobby
}

// pause is how long a listener that has no descriptors waits for those it has closed.
const pause = 5 * time.Millisecond

// Accept implements net.Listener.
func (l Listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if Exhausted(err) && l.Lobby.Thin() > 0 {
			time.Sleep(pause) // their goroutines close them
			continue
		}
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: nc}
		if c.place = l.Lobby.Enter(nc.RemoteAddr(), func() { nc.Close() }); c.place == nil {
			nc.Close()
			continue
		}
		return c, nil
	}
}

// Exhausted reports whether an error says that there are no descriptors left.
func Exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

type conn struct {
	net.Conn
	place *Place
	once  sync.Once
}

func (c *conn) Close() error {
	c.once.Do(c.place.Leave)
	return c.Conn.Close()
}

type key struct{}

// Context is for http.Server.ConnContext: requests on a connection of a Listener know
// its place.
func Context(ctx context.Context, nc net.Conn) context.Context {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if c, ok := nc.(*conn); ok {
		return context.WithValue(ctx, key{}, c.place)
	}
	return ctx
}

// Prove says that whoever sent a request has proven to be somebody. Where there is no
// room for its connection, it stays among those that have not.
func Prove(ctx context.Context) {
	if p, ok := ctx.Value(key{}).(*Place); ok {
		p.Prove()
	}
}

// Leave gives back the place of the connection that a request came on: it is another
// lobby's from now on.
func Leave(ctx context.Context) {
	if p, ok := ctx.Value(key{}).(*Place); ok {
		p.Leave()
	}
}
