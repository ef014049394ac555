// Package lobby counts the connections of a port, and keeps those whose peer has not
// proven yet who it is apart from the rest.
//
// Whoever connects is in a small pool at first. When it is full, the next one closes
// the oldest of the address that has most there, and of one address there are only a
// few: silent connections push out one another and keep nobody else out. Who has proven
// to be somebody leaves the pool for the many places of its own.
//
// It imports only the standard library.
package lobby

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

// Limits are how many connections there may be at once. A limit of zero means none.
type Limits struct {
	Waiting    int // that have proven nothing
	PerAddress int // of these, from one IPv4 address or IPv6 /64
	Proven     int // that have

	// Exempt are networks whose addresses stand for many: those of a NAT, or of a proxy.
	// PerAddress does not apply to them.
	Exempt []netip.Prefix
}

// A Lobby counts the connections of one port. Its methods may be called from any
// goroutine.
type Lobby struct {
	limits Limits

	mu      sync.Mutex
	closed  bool
	order   uint64
	waiting int
	proven  int
	pushed  int64
	crowd   map[string]*list.List // of *Place by address, oldest first
}

// New returns an empty lobby.
func New(l Limits) *Lobby { return &Lobby{limits: l, crowd: map[string]*list.List{}} }

// Limits are those the lobby was made with.
func (l *Lobby) Limits() Limits { return l.limits }

// A Place is a connection's. It is left once.
type Place struct {
	lobby   *Lobby
	end     func()
	key     string
	exempt  bool
	order   uint64
	element *list.Element // nil for one that is proven or gone
	proven  bool
}

// Stats are counts of now, but for Pushed, which is of all time.
type Stats struct {
	Waiting, Proven int
	Pushed          int64 // closed to make room for others
}

// Enter gives a connection a place among those that wait. If the pool is full, another
// one's end is called, which closes it; it must not wait. Enter answers nil once the
// lobby is closed.
func (l *Lobby) Enter(addr net.Addr, end func()) *Place {
	p := &Place{lobby: l, end: end}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.order++
	p.order = l.order
	out := l.stand(p, addr)
	l.mu.Unlock()
	finish(out)
	return p
}

// From says whose connection it is: a proxy has told. It counts for that address from
// now on.
func (p *Place) From(addr net.Addr) {
	l := p.lobby
	l.mu.Lock()
	var out []*Place
	if p.element != nil {
		l.remove(p)
		out = l.stand(p, addr)
	}
	l.mu.Unlock()
	finish(out)
}

// stand puts a place into the pool, and answers with those that have to go for it.
func (l *Lobby) stand(p *Place, addr net.Addr) (out []*Place) {
	ip, known := address(addr)
	p.key = neighbourhood(addr)
	p.exempt = known && contains(l.limits.Exempt, ip)
	if own := l.crowd[p.key]; own != nil && !p.exempt && l.limits.PerAddress > 0 && own.Len() >= l.limits.PerAddress {
		out = append(out, l.push(own))
	}
	if l.limits.Waiting > 0 && l.waiting >= l.limits.Waiting {
		out = append(out, l.push(l.busiest()))
	}
	own := l.crowd[p.key]
	if own == nil {
		own = list.New()
		l.crowd[p.key] = own
	}
	p.element = own.PushBack(p)
	l.waiting++
	return out
}

// push takes the oldest of an address out of the pool.
func (l *Lobby) push(from *list.List) *Place {
	p := from.Front().Value.(*Place)
	l.remove(p)
	l.pushed++
	return p
}

// busiest is the address with most in the pool; of several the one that has the oldest.
func (l *Lobby) busiest() (most *list.List) {
	for _, of := range l.crowd {
		if most == nil || of.Len() > most.Len() ||
			of.Len() == most.Len() && of.Front().Value.(*Place).order < most.Front().Value.(*Place).order {
			most = of
		}
	}
	return most
}

func (l *Lobby) remove(p *Place) {
	of := l.crowd[p.key]
	of.Remove(p.element)
	p.element = nil
	l.waiting--
	if of.Len() == 0 {
		delete(l.crowd, p.key)
	}
}

func finish(out []*Place) {
	for _, p := range out {
		p.end()
	}
}

// Prove moves a place to those of known peers. It answers false if there is no room
// there, or if the connection was pushed out meanwhile; the place is left in the pool,
// or gone.
func (p *Place) Prove() bool {
	l := p.lobby
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.proven {
		return true
	}
	if p.element == nil || l.limits.Proven > 0 && l.proven >= l.limits.Proven {
		return false
	}
	l.remove(p)
	p.proven = true
	l.proven++
	return true
}

// Succeed is Prove for whoever comes in the place of another that is about to be closed:
// there is room if that one has any. It answers false if it has none, any more.
func (p *Place) Succeed(other *Place) bool {
	l := p.lobby
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.element == nil || other.lobby != l || !other.proven {
		return false
	}
	l.remove(p)
	p.proven, other.proven = true, false
	return true
}

// Leave gives a place back; further calls do nothing.
func (p *Place) Leave() {
	l := p.lobby
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.element != nil {
		l.remove(p)
	}
	if p.proven {
		p.proven = false
		l.proven--
	}
}

// Thin closes the older half of those that wait, and answers how many these are. It
// is for a process that has no descriptors left.
func (l *Lobby) Thin() int {
	l.mu.Lock()
	var out []*Place
	for n := (l.waiting + 1) / 2; n > 0; n-- {
		out = append(out, l.push(l.busiest()))
	}
	l.mu.Unlock()
	finish(out)
	return len(out)
}

// Close lets nobody in any more. Who is in stays.
func (l *Lobby) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
}

// Stats counts.
func (l *Lobby) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{Waiting: l.waiting, Proven: l.proven, Pushed: l.pushed}
}

func address(addr net.Addr) (netip.Addr, bool) {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		ip := tcp.AddrPort().Addr()
		return ip.Unmap().WithZone(""), ip.IsValid()
	}
	ap, err := netip.ParseAddrPort(addr.String())
	return ap.Addr().Unmap().WithZone(""), err == nil
}

// neighbourhood is the network that one party is likely to own: an IPv4 address, or an
// IPv6 /64.
func neighbourhood(addr net.Addr) string {
	ip, ok := address(addr)
	if !ok {
		return addr.String()
	}
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

func contains(nets []netip.Prefix, ip netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// Contains reports whether an address is in one of the networks.
func Contains(nets []netip.Prefix, addr net.Addr) bool {
	ip, ok := address(addr)
	return ok && contains(nets, ip)
}
