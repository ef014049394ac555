package fleet

import (
	"cmp"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/protection"
)

// A Trouble is what somebody has to do something about: one cause, and the hosts that
// have it. Each host in trouble is in exactly one.
type Trouble struct {
	Cause  string
	Status protection.Status // the worst of its hosts'
	Hosts  []*Entry          // the most urgent first
}

// Troubles are the hosts in trouble by cause: the worst status first, and of equal ones
// what most hosts have. The list is everybody's: it is only read.
func (m *Moment) Troubles() []Trouble { return m.troubles }

func (m *Moment) byCause() []Trouble {
	var list []Trouble
	at := map[string]int{}
	for _, e := range m.urgent {
		if !e.Status.Trouble() {
			continue
		}
		i, known := at[e.Cause]
		if !known {
			i, at[e.Cause] = len(list), len(list)
			list = append(list, Trouble{Cause: e.Cause, Status: e.Status})
		}
		list[i].Hosts = append(list[i].Hosts, e)
	}
	slices.SortStableFunc(list, func(a, b Trouble) int {
		return cmp.Or(cmp.Compare(a.Status.Rank(), b.Status.Rank()), cmp.Compare(len(b.Hosts), len(a.Hosts)))
	})
	return list
}

// InTrouble counts the hosts for which somebody has to do something.
func (m *Moment) InTrouble() (n int) {
	for st, hosts := range m.Tally {
		if st.Trouble() {
			n += hosts
		}
	}
	return n
}

// A Silence is hosts that were last heard of at about the same time, and are silent
// since: then it is more likely the network, or this machine, than each of them.
type Silence struct {
	Hosts int   // that went silent together
	Of    int   // so many that are to be heard of
	At    int64 // when the last of them was heard of, Unix milliseconds
}

const (
	together    = 5 * time.Minute // hosts that were heard of last within it went silent together
	fewSilent   = 3               // fewer are no pattern
	silentShare = 10              // one of so many is
)

// silence finds the largest number of hosts that went silent together, if that is a
// tenth of the fleet or more. Hosts that come and go, that are retired or whose agents
// are not trusted any more are not expected to be heard of.
func (m *Moment) silence() *Silence {
	of, gone := 0, []int64(nil)
	for _, e := range m.named {
		if e.Intermittent || e.RevokedAt > 0 || e.Status == protection.Retired {
			continue
		}
		of++
		if e.Connection == hosts.Offline && e.Gone > 0 {
			gone = append(gone, e.Gone)
		}
	}
	slices.Sort(gone)
	best := Silence{Of: of}
	for first, last := 0, 0; last < len(gone); last++ {
		for gone[last]-gone[first] > together.Milliseconds() {
			first++
		}
		if n := last - first + 1; n > best.Hosts {
			best.Hosts, best.At = n, gone[last]
		}
	}
	if best.Hosts < fewSilent || best.Hosts*silentShare < of {
		return nil
	}
	return &best
}
