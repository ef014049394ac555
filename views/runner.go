package views

import (
	"context"
	"slices"

	"github.com/restic-manager/restic-manager/words"
)

// A Runner is a host that may be asked for a job, and what its own policy forbids.
type Runner struct {
	ID, Name string          // "nas", "attic (not connected)"
	Host     string          // its name alone
	Policy   string          // the host's own, by name
	Forbids  map[string]bool // by kind of job; what is not known is allowed
}

func (r Runner) forbids(kinds ...string) bool {
	for _, k := range kinds {
		if !r.Forbids[k] {
			return false
		}
	}
	return len(kinds) > 0
}

// text names a host in a choice, with why it cannot be chosen.
func (r Runner) text(kinds ...string) string {
	if r.forbids(kinds...) {
		return words.Visible(r.Name) + ": its policy does not allow it"
	}
	return words.Visible(r.Name)
}

// noneMay is why nobody of a list can be asked for any of the kinds by whoever looks,
// "" if somebody can.
func noneMay(ctx context.Context, list []Runner, kinds ...string) string {
	if why := lacks(ctx, kinds...); why != "" {
		return why
	}
	kinds = slices.DeleteFunc(slices.Clone(kinds), func(k string) bool { return !may(ctx).To(k) })
	for _, r := range list {
		if !r.forbids(kinds...) {
			return ""
		}
	}
	switch len(list) {
	case 0:
		return "There is no host to ask."
	case 1:
		return Forbidden(list[0].Name, list[0].Policy)
	}
	return "No host's policy allows it; only a host's own administrator can change that, on the host."
}

// Forbidden says that a host's policy does not allow something.
func Forbidden(host, policy string) string {
	if policy != "" {
		policy += " "
	}
	return "The policy " + policy + "of " + host + " does not allow it; only its own administrator can change that, on the host."
}

// NotBefore says why a host does nothing of a kind in a repository before its first backup.
func NotBefore(host string) string {
	return host + " goes to no repository for this before it has backed up to one. Back up first, or have its administrator name " +
		"the repository on the host: restic-manager-agent policy allow-repository URL."
}

// MostRunners is how many hosts a choice lists. In a list of more, these are
// suggested, and any other is found by its name.
const MostRunners = 50
