package agent

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// facts are what the agent knows of its host. The name is the one the host was
// enrolled under: restic finds the parent of a backup by it, so it stays when the
// host is renamed. An error is that the policy cannot be used; then it permits nothing.
func (r *runner) facts() (topics.Facts, error) {
	policy, err := r.policy()
	facts := hostFacts(r.identity.Hostname, r.program.version(), policy, r.state)
	if r.launched {
		facts.Can, facts.Updates = append(facts.Can, topics.UpdatesItself, topics.FetchesRestic), r.updates(policy)
	}
	return facts, err
}

func hostFacts(hostname, restic string, policy Policy, state string) topics.Facts {
	return topics.Facts{
		Hostname: hostname, OS: runtime.GOOS, Arch: runtime.GOARCH, Platform: platform(),
		Agent: Version, Restic: restic, Policy: policy.Name, Permits: told(policy.permits(state)), Jobs: topics.MaxJobsAtOnce,
		Makes: true, Can: []topics.Ability{topics.AnswersQueries, topics.SearchesSome, topics.RunsDrills, topics.RestoresBaskets,
			topics.EndsPauses, topics.RemakesSnapshots, topics.PastesFiles, topics.TakesOptions, topics.CopiesSnapshots,
			topics.ChangesKeys, topics.KeepsSSHKeys, topics.TestsPlaces},
	}
}

// windowsName is what a Windows calls itself. In the registry, Windows 11 still has the
// product name of Windows 10.
func windowsName(product, version, build string) string {
	if n, err := strconv.Atoi(build); err == nil && n >= 22000 {
		product = strings.Replace(product, "Windows 10", "Windows 11", 1)
	}
	name := strings.TrimSpace(product + " " + version)
	if product == "" {
		name = "Windows"
	}
	return name[:min(len(name), 100)]
}

// mostPermits is how many bytes of a policy are told, so that one message holds it with
// all else that a hello has.
const mostPermits = 32 << 10

// told returns what the control plane is told of a policy, with its digest. One that is
// too long for a message is not told; the host decides by it all the same.
func told(p *topics.Permits) *topics.Permits {
	if p = p.Digested(); len(topics.Encode(p)) > mostPermits {
		return nil
	}
	return p
}

// What the agent knows of its host may change while it is connected: somebody edits the
// policy or allows something, a job pins a repository, restic is updated. A watch has the
// control plane told soon, and not more often than it looks. The fields belong to the loop.
type watch struct {
	said   topics.Facts // in the hello or since
	now    string       // the digest of what the host permits, told or not
	times  int          // how often something was said
	goes   bool         // a look is under way
	broken bool         // at the last look the policy could not be used
}

// A look is what the host was found to be.
type look struct {
	facts topics.Facts
	err   error
	times int // of the watch when it began
}

// lookAgain finds out what the host is now. It is not called by the loop, because restic
// may have to be run.
func (r *runner) lookAgain(ctx context.Context, times int) look {
	r.program.refresh(ctx)
	facts, err := r.facts()
	return look{facts, err, times}
}

// looked tells the control plane what has changed. A policy that cannot be used may be in
// the midst of being written: it counts when it is found so twice.
func (r *runner) looked(l look) {
	was := r.watch.broken
	r.watch.broken = l.err != nil
	switch {
	case r.conn == nil || l.times != r.watch.times || l.err != nil && !was:
		return // the next hello says it, or something else was said since
	case bytes.Equal(topics.Encode(l.facts), topics.Encode(r.watch.said)):
		return
	}
	if l.err != nil {
		r.log.Error("the host's policy cannot be used; no job is taken", "err", l.err)
	}
	r.log.Info("this host has changed; the control plane is told", "policy", l.facts.Policy, "restic", l.facts.Restic)
	if err := r.step(protocol.Told{Facts: l.facts, At: now()}); err != nil {
		r.saw(l.facts) // so that nothing is refused by what was said before
	}
}

// says notes what the control plane is told of the host.
func (r *runner) says(f topics.Facts) {
	r.watch.said = f
	r.watch.times++
	r.saw(f)
}

// saw has heartbeats say what the host permits, at once if that is news.
func (r *runner) saw(f topics.Facts) {
	if digest := digestOf(f); digest != r.watch.now {
		r.watch.now = digest
		r.heartbeat()
	}
}

func digestOf(f topics.Facts) string {
	if f.Permits == nil {
		return ""
	}
	return f.Permits.Digest
}
