package main

import (
	"fmt"
	"os"
	"time"

	"github.com/restic-manager/restic-manager/agent"
)

// sshCommands are about how the agent reaches servers by SFTP.
type sshCommands struct {
	Show   sshShow   `cmd:"" default:"withargs" help:"Show the public half of the agent's key, and the servers it trusts or has met."`
	Key    sshKey    `cmd:"" help:"Make a key pair if there is none, and print its public half for the server's authorized_keys."`
	Accept sshAccept `cmd:"" help:"Trust a server by a key that it has shown this host; compare the fingerprint first."`
}

type sshShow struct{ stateDir }

func (c *sshShow) Run(s streams) error {
	state, err := c.path()
	if err != nil {
		return err
	}
	now, err := agent.SSH(state)
	if err != nil {
		return err
	}
	if now.PublicKey == "" {
		fmt.Fprintln(s.out, "This agent has no key of its own: restic-manager-agent ssh key makes one.")
	} else {
		fmt.Fprintln(s.out, now.PublicKey)
	}
	for _, k := range now.Keys {
		said := "trusted"
		switch {
		case !k.Accepted && k.Changed:
			said = "shown " + time.UnixMilli(k.At).Format(time.DateTime) + ", another one is known"
		case !k.Accepted:
			said = "shown " + time.UnixMilli(k.At).Format(time.DateTime)
		}
		fmt.Fprintf(s.out, "%s %s %s (%s)\n", k.Name, k.Fingerprint, k.Type, said)
	}
	return nil
}

type sshKey struct{ stateDir }

func (c *sshKey) Run(s streams) error {
	state, err := c.path()
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	line, err := agent.MakeSSHKey(state, host)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, line)
	return err
}

type sshAccept struct {
	Name        string `arg:"" help:"The server, as known_hosts names it: nas, or [nas]:2222."`
	Fingerprint string `arg:"" help:"SHA256: and 43 letters."`
	Changed     bool   `help:"Take it in the place of another key of the server that is known."`
	stateDir
}

func (c *sshAccept) Run(s streams) error {
	state, err := c.path()
	if err != nil {
		return err
	}
	if err := agent.AcceptHostKey(state, c.Name, c.Fingerprint, c.Changed); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s is trusted by its key %s from now on\n", c.Name, c.Fingerprint)
	return err
}
