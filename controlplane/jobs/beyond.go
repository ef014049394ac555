package jobs

import (
	"fmt"
	"sync"

	"github.com/restic-manager/restic-manager/topics"
)

// beyond are the hosts whose agents speak no protocol that this control plane does. They
// are refused when they come, which they go on to try, so nobody has to write them down.
type beyond struct {
	mu    sync.Mutex
	hosts map[topics.HostID]Beyond
}

// A Beyond is what such an agent says of itself.
type Beyond struct {
	Version  string
	Protocol [2]int // the range that it speaks
}

// Newer reports whether it speaks newer ones than this control plane.
func (b Beyond) Newer() bool { return b.Protocol[0] > topics.Protocol[1] }

// refusal is what the agent hears, "" if it speaks a protocol of ours.
func (b Beyond) refusal() string {
	if b.Protocol[1] >= topics.Protocol[0] && b.Protocol[0] <= topics.Protocol[1] {
		return ""
	}
	said := fmt.Sprintf("This control plane speaks protocol %d to %d, the agent %d to %d. ", topics.Protocol[0], topics.Protocol[1],
		b.Protocol[0], b.Protocol[1])
	if b.Newer() {
		return said + "Update the control plane, or install the agent that came with it. Schedules go on meanwhile."
	}
	return said + "Install the agent that came with the control plane. Schedules go on meanwhile."
}

// Beyond says whether a host's agent was refused for the protocol that it speaks when it came
// last.
func (e *Engine) Beyond(host topics.HostID) (b Beyond, refused bool) {
	e.beyond.mu.Lock()
	defer e.beyond.mu.Unlock()
	b, refused = e.beyond.hosts[host]
	return b, refused
}

// speaks notes what a host's agent speaks, and returns why it is refused, "" if it is not.
func (e *Engine) speaks(host topics.HostID, b Beyond) string {
	refusal := b.refusal()
	e.beyond.mu.Lock()
	was, known := e.beyond.hosts[host]
	switch {
	case refusal == "":
		delete(e.beyond.hosts, host)
	case e.beyond.hosts == nil:
		e.beyond.hosts = map[topics.HostID]Beyond{host: b}
	default:
		e.beyond.hosts[host] = b
	}
	e.beyond.mu.Unlock()
	if refusal != "" && (!known || was != b) {
		e.Log.Warn("an agent speaks another protocol and is refused", "host", host, "agent", b.Version,
			"from", b.Protocol[0], "to", b.Protocol[1])
	}
	if known != (refusal != "") {
		e.tell(host)
	}
	return refusal
}
