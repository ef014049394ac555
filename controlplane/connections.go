package controlplane

import (
	"log/slog"
	"net/netip"
	"slices"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/lobby"
)

// Connections says how many connections there may be at once, and which addresses
// are not what they seem. A number of zero is the default.
type Connections struct {
	Agents    int // of hosts
	Consumers int // of MQTT clients
	Pages     int // of people and programs that have signed in

	// Shared are networks of which each address stands for many hosts, as behind a NAT:
	// no bound per address applies to them.
	Shared []netip.Prefix
	// Proxies are TCP proxies in front of the agents' and the consumers' ports. They say
	// with the PROXY protocol for whom they connect.
	Proxies []netip.Prefix
}

// waiting is how many connections of each port may have proven nothing yet, and how
// many of them one address may have. A real client is through in well under a second.
const (
	agentsWaiting, consumersWaiting, pagesWaiting = 1024, 256, 1024
	waitingPerAddress                             = 32
)

// DefaultConnections is what runs unless somebody says otherwise.
func DefaultConnections() Connections {
	return Connections{Agents: broker.DefaultAgents().Connections, Consumers: broker.DefaultPublic().Connections, Pages: 2048}
}

// ours is this machine. Its addresses stand for many where a proxy runs beside us.
var ours = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// A share is the connections of one port.
type share struct{ waiting, proven int }

// shares divides what the process may open among the ports, so that whoever fills one
// leaves the others, and the database, what they need. Where that is less than was
// asked for, everybody gets less, and enough is how many descriptors would do.
func (c Connections) shares(descriptors int) (agents, consumers, pages share, enough int) {
	d := DefaultConnections()
	asked := func(n, otherwise int) int {
		if n > 0 {
			return n
		}
		return otherwise
	}
	agents = share{agentsWaiting, asked(c.Agents, d.Agents)}
	consumers = share{consumersWaiting, asked(c.Consumers, d.Consumers)}
	pages = share{pagesWaiting, asked(c.Pages, d.Pages)}
	const reserve = 256 // the database's readers, logs, listeners
	waits, all := agents.waiting+consumers.waiting+pages.waiting, agents.proven+consumers.proven+pages.proven
	enough = waits + all + reserve
	if descriptors <= 0 || descriptors >= enough {
		return agents, consumers, pages, enough
	}
	free := descriptors - min(reserve, descriptors/3)
	waiting := min(waits, free/3)
	for _, s := range []*share{&agents, &consumers, &pages} {
		s.waiting = max(1, s.waiting*waiting/waits)
		s.proven = max(1, s.proven*(free-waiting)/all)
	}
	return agents, consumers, pages, enough
}

// Enough is how many files and sockets a control plane with so many connections opens at
// most.
func (c Connections) Enough() int {
	_, _, _, enough := c.shares(0)
	return enough
}

// bound sets the limits of the ports.
func (p *Plane) bound(c Connections, trusted []netip.Prefix, log *slog.Logger) (agents, consumers broker.Limits) {
	n := descriptors()
	a, m, w, enough := c.shares(n)
	if n > 0 && n < enough {
		log.Warn("this process may open few files, so fewer connections are allowed; with systemd, set LimitNOFILE in its unit",
			"may", n, "enough", enough, "agents", a.proven, "consumers", m.proven, "pages", w.proven)
	}
	agents, consumers = broker.DefaultAgents(), broker.DefaultPublic()
	agents.Waiting, agents.Connections, agents.PerAddress = a.waiting, a.proven, waitingPerAddress
	consumers.Waiting, consumers.Connections, consumers.PerAddress = m.waiting, m.proven, waitingPerAddress
	consumers.PerName = max(1, min(consumers.PerName, m.proven/2))
	p.pages = lobby.New(lobby.Limits{Waiting: w.waiting, PerAddress: waitingPerAddress, Proven: w.proven,
		Exempt: slices.Concat(ours, trusted, c.Shared)})
	return agents, consumers
}
