package rollout

import (
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/controlplane/shelf"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Number is that of the build that a host's agent is; 0 is not known, or has none.
func Number(h store.Host) int64 {
	if u := h.Updates.V; u != nil {
		return u.Number
	}
	return 0
}

// Behind reports whether a host's agent is older than a release.
func Behind(h store.Host, r shelf.Release) bool { return r.Number > 0 && Number(h) < r.Number }

// Cannot says why a host's agent cannot be updated from here, and what to do; "" if it can.
// A release that hosts may not be given is nobody's fault: it is not looked at here.
func Cannot(h store.Host, r shelf.Release) (why, do string) {
	version := words.Visible(h.AgentVersion)
	switch u := h.Updates.V; {
	case h.RevokedAt > 0:
		return "It is not trusted: it waits for approval, or was revoked.", "Approve it, or make a new token for it."
	case h.RetiredAt > 0:
		return "It is retired.", "Take it back into use on its page, if it is to be kept up to date."
	case h.TwinsSince > 0:
		return "Several machines use its identity.", "Decide on its page which one is the host."
	case u == nil || !h.Able(topics.UpdatesItself):
		return "Its agent (" + version + ") is too old to be updated from here.",
			"Install the package of a newer version on the host once; later ones come from here."
	case len(u.Keys) == 0:
		return "Its agent was built without a release key, and refuses every update.",
			"Install a package of it that was built with one, or name the key in the host’s policy: " + PermitCommand + " --key KEY"
	case u.Forbidden:
		return "The host’s own policy forbids updates.", "Install the new package on the host, or run there: " + PermitCommand
	case r.Number == 0:
		return "", ""
	case r.SignedBy != "" && !slices.Contains(u.Keys, r.SignedBy):
		return "Its agent takes releases of the key " + strings.Join(u.Keys, ", ") + " alone, and this one was signed by " + r.SignedBy + ".",
			"Put a release of its key here, or install the new package on the host."
	}
	if u := h.Updates.V; Behind(h, r) {
		if _, there := r.For(u.OS, u.Arch); !there {
			return "There is no program for " + u.OS + " on " + u.Arch + " in the release that lies here.",
				"Put it beside the others, or install the new package on the host."
		}
	}
	return "", ""
}

// Cannot is [Cannot], and says so too if a host's agent is refused for the protocol that it speaks.
func (s *Service) Cannot(h store.Host, r shelf.Release) (why, do string) {
	b, refused := s.refused(h.ID)
	switch {
	case !refused:
		return Cannot(h, r)
	case b.Newer():
		return "Its agent (" + words.Visible(b.Version) + ") speaks a newer protocol than this server, so it is refused. " +
				"Its own schedules go on; what they did is told when it is let in.",
			"Update this server, or install the agent that came with it on the host."
	}
	return "Its agent (" + words.Visible(b.Version) + ") speaks an older protocol than this server, so it is refused. " +
			"Its own schedules go on.",
		"Install the package of a newer version on the host."
}

func (s *Service) refused(host topics.HostID) (b jobs.Beyond, is bool) {
	if s.Beyond == nil {
		return b, false
	}
	return s.Beyond(host)
}

// PermitCommand is what the administrator of a host runs there to permit updates.
const PermitCommand = "restic-manager-agent policy allow-updates"

// wentBack reports whether the agent has left a release for the one before.
func wentBack(h store.Host, number int64) bool {
	u := h.Updates.V
	return u != nil && u.Back != nil && u.Back.From == number && u.Number < number
}

// hostOf is a host as a rollout to a release sees it. failed is whether its update to that
// failed before, or it did not take it lately.
func hostOf(e *fleet.Entry, r shelf.Release, number int64, failed bool, now int64) Host {
	h := Host{ID: e.ID, Name: e.Name, Online: e.Connection == hosts.Online, Gone: e.Gone, Keeper: e.Keeper, Number: Number(e.Host),
		Version: e.AgentVersion, Failed: failed || wentBack(e.Host, number)}
	h.Healthy = e.ResticVersion != "" && e.Status != protection.Failed && e.Status != protection.Lost
	h.Cannot, _ = Cannot(e.Host, r)
	if _, paused := e.Paused(now); paused {
		h.Waits = "It is paused."
	}
	if j := updateOf(e); j != nil {
		h.Open = j.ID
	}
	return h
}

// updateOf is the update of a host that has not ended, nil if there is none.
func updateOf(e *fleet.Entry) *store.Job {
	for i := range e.Open {
		if e.Open[i].Kind == topics.UpdateJob && !e.Open[i].OfRestic() {
			return &e.Open[i]
		}
	}
	return nil
}
