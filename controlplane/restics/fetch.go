package restics

import (
	"context"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// PermitCommand is what the administrator of a host runs there to let its agent fetch restic.
const PermitCommand = "restic-manager-agent policy allow-restic"

// A Want is which restic hosts are to use.
type Want struct {
	Version string // of files that lie here, each host the one for its system
	Older   bool   // it may be older than the one that a host has
	Back    bool   // instead: the one that each used before
}

// Asked is what came of it for a host: a job, or why there is none and what to do.
type Asked struct {
	Host    Host
	Job     store.Job // its ID is "" if there is none
	Why, Do string
}

// MayFetch says why a host's agent cannot be told to fetch restic, and what to do; "" if it can.
func MayFetch(h store.Host) (why, do string) {
	version := words.Visible(h.AgentVersion)
	u := h.Updates.V
	switch {
	case h.RevokedAt > 0:
		return "It is not trusted: it waits for approval, or was revoked.", "Approve it, or make a new token for it."
	case h.RetiredAt > 0:
		return "It is retired.", "Take it back into use on its page, if it is to be kept up to date."
	case h.TwinsSince > 0:
		return "Several machines use its identity.", "Decide on its page which one is the host."
	case u == nil || u.Restic == nil || !h.Able(topics.FetchesRestic):
		return "Its agent (" + version + ") is too old to fetch restic.", "Update the agent, or install restic on the host."
	case !u.Restic.Allowed:
		return "The host’s own policy lets its agent fetch no restic.", "Install restic on the host, or run there: " + PermitCommand
	}
	return "", ""
}

// platform is how restic's files name a host's system and processor.
func platform(h store.Host) (os, arch string) {
	os, arch = h.OS, h.Arch
	if strings.HasPrefix(arch, "arm") && arch != "arm64" {
		arch = "arm"
	}
	return os, arch
}

// For is the file of a version for a host, and why it is not told to fetch it.
func For(h store.Host, files []File, w Want) (f File, why, do string) {
	if why, do = MayFetch(h); why != "" {
		return f, why, do
	}
	os, arch := platform(h)
	i := slices.IndexFunc(files, func(f File) bool { return f.Version == w.Version && f.OS == os && f.Arch == arch && f.Good() })
	if i < 0 {
		return f, "There is no confirmed file with restic " + w.Version + " for " + os + " on " + arch + " here.",
			"Put restic_" + w.Version + "_" + os + "_" + arch + " as it was released beside the others, and confirm its checksum."
	}
	f = files[i]
	now, known := since.Parse(h.ResticVersion)
	to, read := since.Parse(w.Version)
	switch fetching := h.Updates.V.Restic; {
	case fetching.Fetched == f.SHA256:
		return f, "It uses that one already.", ""
	case len(fetching.Sums) > 0 && len(fetching.Sums) < topics.MaxSums && !slices.Contains(fetching.Sums, f.SHA256):
		return f, "The host’s own policy names which files it takes, and this is none of them.",
			"Run there: " + PermitCommand + " --sha256 " + f.SHA256
	case known && read && to.Compare(now) < 0 && !w.Older:
		return f, "It has restic " + h.ResticVersion + ", which is newer.", "Say that it may be older, if that is wanted."
	}
	return f, "", ""
}

// Fetch has hosts use another restic: it asks each for a job. Hosts that cannot are among
// what is returned, with why. The error is [field.Errors], or one of the store.
func (s *Service) Fetch(ctx context.Context, actor string, hosts []store.Host, w Want) (list []Asked, err error) {
	wrong := field.Errors{}
	if w.Back == (w.Version != "") {
		wrong.Say("version", "Say which version hosts are to use, or that they are to go back to the one before.")
	}
	if len(hosts) == 0 {
		wrong.Say("host", "There is no such host.")
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	files, err := s.Files(ctx)
	if err != nil {
		return nil, err
	}
	if !w.Back && !slices.ContainsFunc(files, func(f File) bool { return f.Version == w.Version && f.Good() }) {
		wrong.Say("version", "No confirmed file with restic "+w.Version+" lies here.")
		return nil, wrong
	}
	for _, h := range hosts {
		a, err := s.ask(ctx, actor, h, files, w)
		if err != nil {
			return list, err
		}
		list = append(list, a)
	}
	return list, nil
}

func (s *Service) ask(ctx context.Context, actor string, h store.Host, files []File, w Want) (a Asked, err error) {
	a.Host = Host{ID: h.ID, Name: h.Name}
	u := topics.ResticUpdate{Back: true}
	if w.Back {
		if a.Why, a.Do = MayFetch(h); a.Why == "" && h.Updates.V.Restic.Fetched == "" && h.Updates.V.Restic.Why == "" {
			a.Why = "It uses its own restic, and has nothing to go back from."
		}
	} else {
		var f File
		f, a.Why, a.Do = For(h, files, w)
		u = topics.ResticUpdate{Name: f.Name, Size: f.Size, SHA256: f.SHA256, Older: w.Older}
	}
	if a.Why != "" {
		return a, nil
	}
	a.Job, _, err = s.Jobs.AskUpdate(ctx, actor, h.ID, topics.Update{Restic: &u})
	if err != nil {
		return a, err
	}
	if o := a.Job.Operation.V; !a.Job.OfRestic() || *o.Update.Restic != u {
		return Asked{Host: a.Host, Why: "It is told to use another restic already.", Do: "Wait until that has ended, or cancel it."}, nil
	}
	return a, nil
}

// A Which says which hosts are meant: one by its name or ID, else those in use that have a
// tag, or all in use. Whoever means all says so: to name none is a mistake.
type Which struct {
	Host, Tag string
	All       bool
}

// Wanted lists the hosts that are meant. The error is [field.Errors].
func Wanted(list []store.Host, which Which) (out []store.Host, err error) {
	wrong := field.Errors{}
	switch named := which.Host != "" || which.Tag != ""; {
	case !named && !which.All:
		wrong.Say("all", "Say which hosts: host names one, tag those that have it, and all (true) every host that is in use.")
	case named && which.All:
		wrong.Say("all", "Either all hosts, or those of a name or tag.")
	}
	for _, h := range list {
		if which.Host != "" && (string(h.ID) == which.Host || h.Name == which.Host) || which.Host == "" && h.RetiredAt == 0 &&
			h.AgentVersion != "" && (which.Tag == "" || slices.Contains(h.Tags, which.Tag)) {
			out = append(out, h)
		}
	}
	return out, wrong.Err()
}
