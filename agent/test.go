package agent

import (
	"context"
	"slices"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// tests refuses to look where a repository is to be, if no job of this host would go there. It
// is asked before anything is saved, and so goes by the rules of the first job of a host: a
// backup, or what else the policy lets go to a repository first. It pins nothing.
func (p Policy) tests(state string, r topics.Repository) error {
	i := slices.IndexFunc(topics.Pinning, func(k topics.JobKind) bool { return slices.Contains(p.Kinds, k) })
	if i < 0 {
		if err := p.browses(state, r); err != nil {
			return forbid("This host's policy %s lets nothing go to a repository, so none is looked for.", p.Name)
		}
		return nil
	}
	if p.managed() {
		return nil
	}
	return p.decideRepository(state, topics.Run{Kind: topics.Pinning[i], Repository: r})
}

// test finds out what is where a repository is to be.
func (r *runner) test(ctx context.Context, id topics.QueryID, of topics.Repository) topics.Answer {
	binary, err := r.program.find(ctx)
	if err != nil {
		return topics.Answer{Cause: topics.CauseNoRestic, Message: err.Error()}
	}
	binary.Timing.CancelGrace, binary.Timing.PipeGrace = patience, patience
	place := r.place
	place.Job = topics.JobID(id)
	f := binary.Examine(ctx, place, opened(of))
	if a, err := location.ParseHere(of.URL.Reveal()); err == nil && a.Scheme() == location.Local {
		localFinding(&f, of.URL, a.Path())
	}
	return topics.Answer{Finding: &f}
}

// localFinding adds what only the host itself knows of one of its folders: whether files in it
// may be removed, and whether a disk is to be mounted there and is not.
func localFinding(f *topics.Finding, url topics.Secret, path string) {
	if f.State == topics.FindingOurs || f.State == topics.FindingEmpty || f.Cause == topics.CausePassword {
		f.MayDelete = new(writable(path))
	}
	if f.State != topics.FindingMissing && f.State != topics.FindingEmpty {
		return
	}
	if why := notMounted(url); why != "" {
		f.State, f.Cause, f.Message, f.MayDelete = topics.FindingOther, topics.CauseNotMounted, why, nil
	}
}
