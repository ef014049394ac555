package agent

import (
	"errors"
	"path/filepath"

	"github.com/restic-manager/restic-manager/agent/sftp"
	"github.com/restic-manager/restic-manager/topics"
)

// sshOf is the directory below the agent's state with its own SSH key and the keys of the
// servers that were accepted.
func sshOf(state string) sftp.Home { return sftp.Home{Dir: filepath.Join(state, "ssh")} }

// hostKeys is which keys of servers the control plane may have this host trust: without a
// word of the policy's, the first of a server, as the first repository is taken. Another in
// the place of one that is known could lead the backups elsewhere, which is the host's own to
// say.
func (p Policy) hostKeys() string {
	switch {
	case p.managed():
		return topics.HostKeysAny
	case p.HostKeys == "":
		return topics.HostKeysNew
	}
	return p.HostKeys
}

// ssh looks what there is for servers that are reached by SFTP, makes a key pair, or has a
// server trusted.
func (p Policy) ssh(state, hostname string, q topics.SSHQuery) topics.Answer {
	home := sshOf(state)
	failed := func(cause topics.Cause, err error) topics.Answer {
		return topics.Answer{Cause: cause, Message: err.Error()}
	}
	switch {
	case q.MakeKey:
		if _, err := home.Make("restic-manager@" + hostname); err != nil {
			return failed(topics.CausePermission, err)
		}
	case q.Accept != nil:
		command := "restic-manager-agent ssh accept '" + q.Accept.Name + "' " + q.Accept.Fingerprint
		if p.hostKeys() == topics.HostKeysNone {
			return failed(topics.CausePolicy, forbid("This host's policy %s lets nobody but its own administrator trust an SSH server; "+
				"run on the host: %s.", p.Name, command))
		}
		_, err := home.Accept(q.Accept.Name, q.Accept.Fingerprint, q.Accept.Changed && p.hostKeys() == topics.HostKeysAny)
		switch {
		case errors.Is(err, sftp.ErrChanged) && q.Accept.Changed:
			return failed(topics.CausePolicy, forbid("This host's policy %s lets its control plane trust a server's first key alone, and "+
				"another one of this server is known. Once it is certain that the server's key was replaced, run on the host: %s --changed.",
				p.Name, command))
		case errors.Is(err, sftp.ErrChanged):
			return failed(topics.CauseHostKeyOther, err)
		case errors.Is(err, sftp.ErrNotOffered):
			return failed(topics.CauseNotFound, err)
		case err != nil:
			return failed(topics.CausePermission, err)
		}
	}
	now, err := home.State()
	if err != nil {
		return failed(topics.CausePermission, err)
	}
	for len(topics.Encode(now)) > mostPart-1<<10 { // long names of files
		now.Keys = now.Keys[1:]
	}
	now.Accepts = p.hostKeys()
	return topics.Answer{SSH: &now}
}

// SSH is what the agent of a state directory has for servers that are reached by SFTP.
func SSH(state string) (topics.SSHState, error) { return sshOf(state).State() }

// MakeSSHKey makes the agent's own key pair if there is none, and returns its public half.
func MakeSSHKey(state, hostname string) (string, error) {
	return sshOf(state).Make("restic-manager@" + hostname)
}

// AcceptHostKey has the agent trust a server by a key that it has shown this host.
func AcceptHostKey(state, name, fingerprint string, changed bool) error {
	if err := topics.CheckHostKey(name, fingerprint); err != nil {
		return err
	}
	_, err := sshOf(state).Accept(name, fingerprint, changed)
	return err
}

// AllowHostKeys says which keys of servers the control plane may have this host trust.
func AllowHostKeys(state, which string) error {
	return allow(state, func(p *Policy) { p.HostKeys = which })
}
