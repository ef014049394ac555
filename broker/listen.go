package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// place reserves a connection for addr within the limits; release returns it.
func (b *Broker) place(addr net.Addr) (release func(), ok bool) {
	key := neighbourhood(addr)
	b.mu.Lock()
	defer b.mu.Unlock()
	if most := b.cfg.Limits.Connections; b.closing.Load() || most > 0 && b.admitted >= most {
		b.refused.Add(1)
		return nil, false
	}
	if most := b.cfg.Limits.PerAddress; most > 0 && b.places[key] >= most {
		b.refused.Add(1)
		return nil, false
	}
	b.admitted++
	b.places[key]++
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.admitted--
		if b.places[key]--; b.places[key] == 0 {
			delete(b.places, key)
		}
	}), true
}

// neighbourhood returns the network that one party is likely to own: an IPv4 address,
// or an IPv6 /64.
func neighbourhood(addr net.Addr) string {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return addr.String()
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// socket is an accepted connection; its place is free again when it is closed.
type socket struct {
	net.Conn
	release func()
}

func (s *socket) Close() error {
	err := s.Conn.Close()
	s.release()
	return err
}

// Serve accepts clients from ln until ctx ends; it closes ln. It returns when
// every goroutine it started has returned, those of its clients included, or
// with an error if ln was closed by somebody else.
//
// With a tlsConf, which is not modified, a connection is TLS or nothing. Its
// ALPN protocol decides: "mqtt" or none is a client of ours; a name in other has
// its function called with the *tls.Conn, free of deadlines, and owns it from
// there, but keeps its place among Limits.Connections until it is closed.
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
			// Usually out of file descriptors, which passes when somebody leaves.
			b.cfg.Log.Error("cannot accept a connection; trying again", "err", err, "pause", pause)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, longest)
			continue
		}
		pause = shortest
		release, ok := b.place(nc.RemoteAddr())
		if !ok {
			nc.Close()
			continue
		}
		s := &socket{nc, release}
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
	if tlsConf == nil {
		_ = b.attach(s, s)
		return
	}
	if b.cfg.Limits.Handshake > 0 {
		_ = s.SetDeadline(time.Now().Add(b.cfg.Limits.Handshake))
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
	_ = b.attach(t, s)
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
