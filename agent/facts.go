package agent

import (
	"runtime"

	"github.com/restic-manager/restic-manager/topics"
)

// facts are what the agent knows of its host. The name is the one the host was
// enrolled under: restic finds the parent of a backup by it, so it stays when the
// host is renamed.
func (r *runner) facts() topics.Facts {
	return hostFacts(r.identity.Hostname, r.program.version(), r.policy)
}

func hostFacts(hostname, restic string, policy Policy) topics.Facts {
	return topics.Facts{
		Hostname: hostname, OS: runtime.GOOS, Arch: runtime.GOARCH, Platform: platform(),
		Agent: Version, Restic: restic, Policy: string(policy),
	}
}
