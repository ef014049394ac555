package e2e

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// A Proxy is the network between a browser and the control plane, which we can cut.
type Proxy struct {
	t      *testing.T
	target string
	ln     net.Listener

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]bool
}

// NewProxy listens on loopback and passes on to target.
func NewProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{t: t, target: target, ln: ln, conns: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.carry(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.Cut()
		all.Wait()
	})
	return p
}

// Address is where it listens.
func (p *Proxy) Address() string { return p.ln.Addr().String() }

// Cut resets every connection and refuses new ones until Mend.
func (p *Proxy) Cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	n := len(p.conns)
	for c := range p.conns {
		world.Reset(c)
	}
	return n
}

// Mend lets connections through again.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

func (p *Proxy) carry(near net.Conn) {
	defer world.Reset(near)
	far, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer far.Close()
	p.mu.Lock()
	if p.down {
		p.mu.Unlock()
		return
	}
	p.conns[near] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, near)
		p.mu.Unlock()
	}()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(far, near)
		far.Close()
	})
	_, _ = io.Copy(near, far)
	near.Close()
	both.Wait()
}
