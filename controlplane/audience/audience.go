// Package audience says which of the public topics a consumer hears of: all of them, or
// what is about the hosts of its tags; and never what is an answer to somebody else.
package audience

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/store/access"
	"github.com/restic-manager/restic-manager/topics"
)

// Facts are what that depends on, at one moment. Nobody changes them.
type Facts struct {
	tags   map[topics.HostID][]string
	alerts map[topics.AlertID]alert
}

type alert struct {
	host topics.HostID
	seen time.Time // when it was told last that there is one
}

// remembered is how long an alert is known that is not there any more: that it is over is
// said to who heard of it.
const remembered = 7 * 24 * time.Hour

// Next is the facts after f, which may be nil. Of a host that is not there any more its
// tags stay known: that it is gone is said to who heard of it.
func (f *Facts) Next(hosts map[topics.HostID][]string, alerts map[topics.AlertID]topics.HostID, now time.Time) *Facts {
	n := &Facts{tags: map[topics.HostID][]string{}, alerts: map[topics.AlertID]alert{}}
	if f != nil {
		maps.Copy(n.tags, f.tags)
		for id, a := range f.alerts {
			if now.Sub(a.seen) < remembered {
				n.alerts[id] = a
			}
		}
	}
	for id, tags := range hosts {
		if len(tags) == 0 {
			delete(n.tags, id)
			continue
		}
		n.tags[id] = tags
	}
	for id, host := range alerts {
		n.alerts[id] = alert{host, now}
	}
	return n
}

// Same reports whether nobody hears of anything else by these facts.
func (f *Facts) Same(other *Facts) bool {
	if f == nil || other == nil {
		return f == other
	}
	return maps.EqualFunc(f.tags, other.tags, slices.Equal) &&
		maps.EqualFunc(f.alerts, other.alerts, func(a, b alert) bool { return a.host == b.host })
}

// Hears reports whether a consumer hears of a topic, by its full name. What is none of our
// topics, nor a discovery of Home Assistant's, it does if it hears of all hosts.
func (f *Facts) Hears(c access.Consumer, topic string) bool {
	below, ours := strings.CutPrefix(topic, topics.Root+"/")
	if ours {
		if to, answer := strings.CutPrefix(below, "pub/do/"); answer {
			return to == c.Name
		}
	}
	if len(c.Tags) == 0 {
		return true
	}
	if !ours {
		host, found := discovered(topic)
		return found && c.Reaches(f.tagsOf(host))
	}
	t, err := topics.ParseBelow(below)
	switch {
	case err != nil:
		return false
	case t.Kind == topics.KindPlaneAvailability:
		return true
	case t.Kind == topics.KindAlert:
		if f == nil {
			return false
		}
		a, known := f.alerts[t.Alert]
		return known && c.Reaches(f.tagsOf(a.host))
	case t.Host != "":
		return c.Reaches(f.tagsOf(t.Host))
	}
	return false
}

func (f *Facts) tagsOf(host topics.HostID) []string {
	if f == nil {
		return nil
	}
	return f.tags[host]
}

// discovered is the host whose device Home Assistant's discovery is about. A device of a
// repository or of the fleet is of none.
func discovered(topic string) (topics.HostID, bool) {
	parts := strings.Split(topic, "/")
	for _, p := range parts[1:] {
		if id, ok := strings.CutPrefix(p, "rm_"); ok {
			host, err := topics.ParseHostID(id)
			return host, err == nil
		}
	}
	return "", false
}
