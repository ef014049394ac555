package agent

import (
	"runtime"

	"github.com/restic-manager/restic-manager/topics"
)

// facts are what the agent knows of its host. The name is the one the host was
// enrolled under: restic finds the parent of a backup by it, so it stays when the
// host is renamed.
func (r *runner) facts() topics.Facts {
	policy, err := LoadPolicy(r.state)
	if err != nil {
		r.log.Error("the host's policy cannot be used; no job is taken", "err", err)
	}
	return hostFacts(r.identity.Hostname, r.program.version(), policy, r.state)
}

func hostFacts(hostname, restic string, policy Policy, state string) topics.Facts {
	return topics.Facts{
		Hostname: hostname, OS: runtime.GOOS, Arch: runtime.GOARCH, Platform: platform(),
		Agent: Version, Restic: restic, Policy: policy.Name, Permits: policy.permits(state), Jobs: topics.MaxJobsAtOnce,
		Makes: true,
	}
}
