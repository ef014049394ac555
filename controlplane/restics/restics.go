// Package restics knows which restic runs on which host, and what each lacks of what we use.
package restics

import (
	"cmp"
	"slices"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// An Overview is which restic runs where.
type Overview struct {
	Versions []Version // the newest first; what is not understood comes last
	None     []Host    // on which no restic is found or runs, by name
	Newest   string    // the version that lacks nothing; newer ones do neither
	Lacking  int       // hosts whose restic lacks something
	Faulty   int       // of those, hosts whose restic does something wrong
	Hosts    int       // that have connected once
}

// A Version is one that some hosts run.
type Version struct {
	Version string
	Hosts   []Host // by name
	Online  int
	Lacks   []since.Feature // see since.Lacks; of Windows, if a host has it
}

// A Host is one by name.
type Host struct {
	ID   topics.HostID
	Name string
}

// None is what is said of a host on which no restic was found.
const (
	None       = "No restic is found there, or it does not run: nothing is backed up."
	NoneRemedy = "Run restic-manager-agent doctor on the host: it says what is wrong. Install restic there, or have the agent fetch one."
)

// Lacks is what a host's restic lacks, what weighs most first. known is false if nobody knows
// its version, or there is none.
func Lacks(h store.Host) (list []since.Feature, known bool) {
	v, known := since.Parse(h.ResticVersion)
	if !known {
		return nil, false
	}
	return since.Lacks(v, h.OS == "windows"), true
}

// Of looks at all hosts of a moment that have connected once and are not retired.
func Of(m *fleet.Moment) Overview { return of(m.ByName()) }

func of(list []*fleet.Entry) Overview {
	o := Overview{Newest: since.Newest().String()}
	by := map[string]*Version{}
	windows := map[string]bool{}
	for _, e := range list {
		if e.AgentVersion == "" || e.RetiredAt > 0 {
			continue
		}
		o.Hosts++
		h := Host{ID: e.ID, Name: e.Name}
		if e.ResticVersion == "" {
			o.None = append(o.None, h)
			continue
		}
		v := by[e.ResticVersion]
		if v == nil {
			v = &Version{Version: e.ResticVersion}
			by[e.ResticVersion] = v
		}
		v.Hosts = append(v.Hosts, h)
		if e.Connection == hosts.Online {
			v.Online++
		}
		if e.OS == "windows" {
			windows[e.ResticVersion] = true
		}
		if list, _ := Lacks(e.Host); len(list) > 0 {
			o.Lacking++
			if list[0].Weight == since.Fault {
				o.Faulty++
			}
		}
	}
	for text, v := range by {
		if parsed, ok := since.Parse(text); ok {
			v.Lacks = since.Lacks(parsed, windows[text])
		}
		o.Versions = append(o.Versions, *v)
	}
	slices.SortFunc(o.Versions, func(a, b Version) int {
		x, _ := since.Parse(a.Version)
		y, _ := since.Parse(b.Version)
		return cmp.Or(y.Compare(x), cmp.Compare(a.Version, b.Version))
	})
	return o
}
