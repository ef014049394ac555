package fault

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	e2e "github.com/restic-manager/restic-manager/e2e/world"
)

// A proxy is the network between agents and the control plane, and as bad as it
// is told to be. Its chance is seeded; what meets it when is the machine's.
type proxy struct {
	target string
	ln     net.Listener
	ctx    context.Context

	mu    sync.Mutex
	dice  *rand.Rand
	conns map[*carried]bool
	rough bool // new connections may be slow, or chopped into bytes
	down  bool // and are refused
}

// carried is one connection through the proxy.
type carried struct {
	near, far net.Conn
	manner    manner
	frozen    chan struct{} // closed when nothing passes any more, though both ends look open
	freeze    func()
}

type manner int

const (
	plain   manner = iota
	chopped        // single bytes at first, then bits of any size
	late           // every piece waits a moment
)

// newProxy listens on loopback until the test is over.
func newProxy(t *testing.T, target string, seed uint64) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &proxy{target: target, ln: ln, ctx: ctx, dice: rand.New(rand.NewPCG(seed, 1)), conns: map[*carried]bool{}}
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
		cancel()
		ln.Close()
		p.cut(1)
		all.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.ln.Addr().String() }

// cut resets a share of all connections, 1 is every one.
func (p *proxy) cut(share float64) (n int) {
	for _, c := range p.pick(share) {
		e2e.Reset(c.near)
		e2e.Reset(c.far)
		n++
	}
	return n
}

// freeze stops a share of all connections: what is sent vanishes while both ends
// look open, as after a router's restart. After a while they are reset, unless
// the ends have noticed first.
func (p *proxy) freeze(share float64, while time.Duration) {
	for _, c := range p.pick(share) {
		c.freeze()
		time.AfterFunc(while, func() {
			e2e.Reset(c.near)
			e2e.Reset(c.far)
		})
	}
}

func (p *proxy) set(rough, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rough, p.down = rough, down
}

func (p *proxy) pick(share float64) (picked []*carried) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if p.dice.Float64() < share {
			picked = append(picked, c)
		}
	}
	return picked
}

// halfOpen is how long a connection that was stopped looks open: in make soak so
// long that the agent's own ping finds it out.
var halfOpen = time.Second

// storm makes the network bad until stop is called: connections are chopped and
// late from the start, and now and then some are cut or stopped.
func (p *proxy) storm(every time.Duration) (stop func()) {
	p.set(true, false)
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-over:
				p.set(false, false)
				p.cut(1) // what is stopped takes its time to end
				return
			case <-tick.C:
				p.mu.Lock()
				n := p.dice.IntN(4)
				p.mu.Unlock()
				switch n {
				case 0:
					p.cut(1)
				case 1:
					p.freeze(0.3, halfOpen)
				default:
					p.cut(0.3)
				}
			}
		}
	}()
	return func() {
		close(over)
		<-done
	}
}

func (p *proxy) carry(near net.Conn) {
	defer e2e.Reset(near)
	far, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer e2e.Reset(far)
	c := &carried{near: near, far: far, frozen: make(chan struct{})}
	c.freeze = sync.OnceFunc(func() { close(c.frozen) })
	p.mu.Lock()
	if p.down || p.ctx.Err() != nil {
		p.mu.Unlock()
		return
	}
	if p.rough {
		c.manner = manner(p.dice.IntN(3))
	}
	seeds := [2]uint64{p.dice.Uint64(), p.dice.Uint64()}
	p.conns[c] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	var both sync.WaitGroup
	both.Go(func() {
		p.pump(c, far, near, rand.New(rand.NewPCG(seeds[0], 2)))
		far.Close()
	})
	p.pump(c, near, far, rand.New(rand.NewPCG(seeds[1], 3)))
	near.Close()
	both.Wait()
}

// pump carries one direction until an end closes.
func (p *proxy) pump(c *carried, to io.Writer, from io.Reader, dice *rand.Rand) {
	buffer, sent := make([]byte, 16<<10), 0
	for {
		n, err := from.Read(buffer)
		select {
		case <-c.frozen:
			if err != nil {
				return
			}
			continue // read, and never heard of again
		default:
		}
		for rest := buffer[:n]; len(rest) > 0; {
			piece := len(rest)
			switch {
			case c.manner == chopped && sent < 600:
				piece = 1
			case c.manner == chopped:
				piece = 1 + dice.IntN(len(rest))
			case c.manner == late:
				wait := time.NewTimer(time.Duration(dice.IntN(20)) * time.Millisecond)
				select {
				case <-wait.C:
				case <-p.ctx.Done():
					wait.Stop()
					return
				}
			}
			if _, err := to.Write(rest[:piece]); err != nil {
				return
			}
			rest, sent = rest[piece:], sent+piece
		}
		if err != nil {
			return
		}
	}
}
