package main

import (
	"context"
	"os"

	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type hostSSHCmd struct {
	Host string `arg:"" help:"The host's name or ID."`
	Make bool   `help:"Have the agent make a key pair first, if it has none."`
	database
}

// Run prints the public half of a host's SSH key, and the servers it trusts or was shown a
// key of.
func (c *hostSSHCmd) Run(ctx context.Context) error {
	now, err := askSSH(ctx, c.database, c.Host, topics.SSHQuery{MakeKey: c.Make})
	if err != nil {
		return err
	}
	if now.PublicKey == "" {
		say(os.Stderr, "The agent has no SSH key of its own; --make has it make one.")
	} else {
		say(os.Stdout, "%s", now.PublicKey)
	}
	if len(now.Keys) == 0 {
		return nil
	}
	return columns("SERVER\tFINGERPRINT\tTYPE\tSTATE", len(now.Keys), func(i int) string {
		k := now.Keys[i]
		state := "not known yet"
		switch {
		case k.Accepted:
			state = "trusted"
		case k.Changed:
			state = "another key is known"
		}
		return row(k.Name, k.Fingerprint, k.Type, state)
	})
}

type hostAcceptCmd struct {
	Host        string `arg:"" help:"The host's name or ID."`
	Name        string `arg:"" help:"The server, as known_hosts names it: nas, or [nas]:2222."`
	Fingerprint string `arg:"" help:"SHA256: and 43 letters, compared with the server's own."`
	Changed     bool   `help:"Take it in the place of another key of the server that is known."`
	database
}

// Run has a host trust a server.
func (c *hostAcceptCmd) Run(ctx context.Context) error {
	if _, err := askSSH(ctx, c.database, c.Host, topics.SSHQuery{
		Accept: &topics.AcceptKey{Name: c.Name, Fingerprint: c.Fingerprint, Changed: c.Changed},
	}); err != nil {
		return err
	}
	say(os.Stdout, "%s trusts %s by its key %s from now on", c.Host, c.Name, c.Fingerprint)
	return nil
}

func askSSH(ctx context.Context, d database, host string, what topics.SSHQuery) (now topics.SSHState, err error) {
	var h store.Host
	if err := d.with(ctx, func(s *store.Store) (err error) {
		h, err = hostNamed(ctx, s, host)
		return err
	}); err != nil {
		return now, err
	}
	return queries.Client{Data: d.Data}.SSH(ctx, h.ID, what)
}
