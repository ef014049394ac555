package queries

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/tidy"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// AcceptThere is the command with which a host's own administrator has it trust a server.
func AcceptThere(k topics.KnownServer) string {
	command := "restic-manager-agent ssh accept '" + k.Name + "' " + k.Fingerprint
	if k.Changed {
		command += " --changed"
	}
	return command
}

// SSH asks a host how it reaches servers by SFTP, or has it make a key pair or trust a server
// by a key that it was shown. What was asked is in the audit log before the host hears of it.
// The host's own policy decides; its word is a *Refused.
func (a *Asker) SSH(ctx context.Context, who jobs.Actor, host topics.HostID, what topics.SSHQuery) (now topics.SSHState, err error) {
	if err := who.Lacks(rights.Hosts); err != nil {
		return now, err
	}
	asked := "look"
	switch {
	case what.Accept != nil:
		if err := topics.CheckHostKey(what.Accept.Name, what.Accept.Fingerprint); err != nil {
			return now, &InputError{Field: "fingerprint", Say: err.Error()}
		}
		asked = "accept " + what.Accept.Name + " " + what.Accept.Fingerprint
		if what.Accept.Changed {
			asked += " in the place of another"
		}
	case what.MakeKey:
		asked = "make a key pair"
	}
	h, err := a.Store.Host(ctx, host)
	if errors.Is(err, store.ErrNotFound) || err == nil && h.RemovedAt > 0 {
		return now, jobs.ErrNoHost
	} else if err != nil {
		return now, err
	}
	if err := a.ready(h); err != nil {
		return now, err
	}
	if !h.Able(topics.KeepsSSHKeys) {
		return now, &Refused{Cause: CauseOldAgent, Title: "The host's agent is too old for this",
			Say: "The agent of " + h.Name + " is of version " + h.AgentVersion + " and has no SSH keys of its own.",
			Do: "Update the agent there. Until then, ssh goes by the files of the agent's user: on the host, ssh-keygen makes a key and ssh " +
				"asks whether a server is to be trusted."}
	}
	k := key{kind: topics.SSHLook, by: host, path: asked, snapshot: strconv.FormatInt(time.Now().UnixNano(), 36)} // nobody else asks the same
	of, err := a.ask(ctx, who, h, k, topics.Query{Kind: topics.SSHLook, SSH: &what}, a.Limits.Files)
	if err != nil {
		return now, err
	}
	if of.ssh == nil {
		return now, &Refused{Cause: topics.CauseUnknown, Title: "The host's answer cannot be read",
			Say: "What " + h.Name + " answered is not about SSH.", Do: "Ask again."}
	}
	now = *of.ssh
	now.PublicKey = tidy.Clean(now.PublicKey, tidy.MostSaid)
	for i := range now.Keys {
		now.Keys[i].Known = tidy.Clean(now.Keys[i].Known, tidy.MostSaid)
	}
	return now, nil
}
