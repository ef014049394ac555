package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/restic-manager/restic-manager/lobby"
)

// socket is an accepted connection; its place is free again when it is closed.
type socket struct {
	net.Conn
	place *lobby.Place
}

func (s *socket) Close() error {
	err := s.Conn.Close()
	s.place.Leave()
	return err
}

// CloseWrite ends what we say; what the client says still comes.
func (s *socket) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// enter gives a connection a place in the lobby.
func (b *Broker) enter(nc net.Conn) *lobby.Place {
	p := b.lobby.Enter(nc.RemoteAddr(), func() {
		nc.Close() // whoever has it counts it as refused
		b.crush(nc.RemoteAddr())
	})
	if p == nil {
		b.refused.Add(1)
		nc.Close()
	}
	return p
}

// crush logs, at most once a minute, that silent connections make room for others.
func (b *Broker) crush(last net.Addr) {
	b.mu.Lock()
	said := time.Since(b.pushed) < time.Minute
	if !said {
		b.pushed = time.Now()
	}
	b.mu.Unlock()
	if !said {
		s := b.lobby.Stats()
		b.cfg.Log.Warn("many connections prove nothing; the oldest are closed to let others in", "remote", last.String(),
			"waiting", s.Waiting, "closed", s.Pushed)
	}
}

// Serve accepts clients from ln until ctx ends; it closes ln. It returns when
// every goroutine it started has returned, those of its clients included, or
// with an error if ln was closed by somebody else.
//
// With a tlsConf, which is not modified, a connection is TLS or nothing. Its
// ALPN protocol decides: "mqtt" or none is a client of ours; a name in other has
// its function called with the *tls.Conn, free of deadlines, and owns it from
// there, but keeps its place among Limits.Waiting until it is closed.
// A GetConfigForClient that asks some clients for no certificate must set
// NextProtos so that they cannot end up here.
func (b *Broker) Serve(ctx context.Context, ln net.Listener, tlsConf *tls.Config, other map[string]func(net.Conn)) error {
	if tlsConf != nil {
		tlsConf = tlsConf.Clone()
		tlsConf.NextProtos = append([]string{"mqtt"}, slices.Sorted(maps.Keys(other))...)
	}
	ctx, cancel := context.WithCancel(ctx)
	open := &sockets{all: map[*socket]struct{}{}}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		<-ctx.Done()
		ln.Close()
		b.settle()
		open.close()
	})

	b.serving.Add(1)
	defer b.serving.Add(-1)
	const shortest, longest = 5 * time.Millisecond, time.Second
	pause := shortest
	for {
		nc, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			if lobby.Exhausted(err) && b.lobby.Thin() > 0 { // their goroutines close them within the pause
				pause = shortest
			}
			b.deaf.Store(true)
			b.cfg.Log.Error("cannot accept a connection; trying again", "err", err, "pause", pause)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, longest)
			continue
		}
		pause = shortest
		b.deaf.Store(false)
		place := b.enter(nc)
		if place == nil {
			continue
		}
		s := &socket{nc, place}
		if !open.add(s) {
			s.Close()
			continue
		}
		wg.Go(func() {
			defer open.remove(s)
			b.greet(s, tlsConf, other, open)
		})
	}
}

// greet detects the protocol of a connection and passes it to its handler.
func (b *Broker) greet(s *socket, tlsConf *tls.Config, other map[string]func(net.Conn), open *sockets) {
	if b.cfg.Limits.Handshake > 0 {
		_ = s.SetDeadline(time.Now().Add(b.cfg.Limits.Handshake))
	}
	if !b.introduced(s) {
		s.Close()
		return
	}
	if tlsConf == nil {
		_ = s.SetDeadline(time.Time{})
		_ = b.attach(s, s, s.place, TCP)
		return
	}
	t := tls.Server(s, tlsConf)
	if err := t.Handshake(); err != nil {
		b.refused.Add(1)
		b.cfg.Log.Debug("no TLS handshake", "remote", s.RemoteAddr().String(), "err", err)
		s.Close()
		return
	}
	_ = s.SetDeadline(time.Time{})
	protocol := t.ConnectionState().NegotiatedProtocol
	if take, ok := other[protocol]; ok && open.remove(s) {
		take(t)
		return
	}
	if protocol != "" && protocol != "mqtt" {
		s.Close()
		return
	}
	_ = b.attach(t, s, s.place, TLS)
}

// introduced has a proxy say for whom it connects. A connection from anywhere else says
// nothing of the kind, and is what it is.
func (b *Broker) introduced(s *socket) bool {
	if !lobby.Contains(b.cfg.Proxies, s.RemoteAddr()) {
		return true
	}
	// The library would set a deadline of its own, and take it away afterwards.
	p := proxyproto.NewConn(s.Conn, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(0))
	from := p.RemoteAddr() // reads the header
	if p.ProxyHeader() == nil {
		b.refused.Add(1)
		b.cfg.Log.Warn("a proxy did not say for whom it connects: it has to send the PROXY protocol", "remote", s.Conn.RemoteAddr().String())
		return false
	}
	s.Conn = p
	s.place.From(from)
	return true
}

// sockets are the open connections of Serve.
type sockets struct {
	mu     sync.Mutex
	all    map[*socket]struct{}
	closed bool
}

func (o *sockets) add(s *socket) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.all[s] = struct{}{}
	}
	return !o.closed
}

func (o *sockets) remove(s *socket) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.all, s)
	return !o.closed
}

func (o *sockets) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for s := range o.all {
		s.Close()
	}
}
