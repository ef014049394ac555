package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/store"
)

// A running control plane applies changes made here to the next request. Streams and
// MQTT connections that are no longer allowed end within seconds.

// typed is the flag of every command that takes a password.
type typed struct {
	PasswordStdin bool `required:"" help:"Read the password from standard input, so that it does not show in the process list."`
}

func (typed) read() (string, error) {
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

type userAddCmd struct {
	Name string `arg:"" help:"User name."`
	Role role   `required:"" help:"viewer, operator, restorer or admin."`
	typed
	database
}

func (c *userAddCmd) Run(ctx context.Context) error {
	secret, err := c.read()
	if err != nil {
		return err
	}
	return c.begin(ctx, func(s *store.Store) error {
		_, err := peopleOf(s).Add(ctx, actor, people.Input{Name: &c.Name, Role: (*store.Role)(&c.Role), Password: &secret})
		return err
	})
}

// machine is whoever may read the database: what they make answers to nobody's role.
var machine = store.Maker{Name: actor}

func peopleOf(s *store.Store) people.Service { return people.Service{Store: s} }

// A person is the argument that names a user, and the database.
type person struct {
	Name string `arg:"" help:"User name."`
	database
}

func (c *person) user(ctx context.Context, s *store.Store) (store.User, error) {
	u, err := s.UserByName(ctx, c.Name)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("there is no user %q in %s; restic-manager user list shows all", c.Name, c.Data)
	}
	return u, err
}

func (c *person) change(ctx context.Context, in people.Input) error {
	return c.with(ctx, func(s *store.Store) error {
		u, err := c.user(ctx, s)
		if err != nil {
			return err
		}
		_, left, err := peopleOf(s).Change(ctx, machine, u.ID, in)
		if said := people.Tell(left, machine); err == nil && said != "" {
			say(os.Stderr, "%s", said)
		}
		return err
	})
}

type userPasswdCmd struct {
	typed
	person
}

func (c *userPasswdCmd) Run(ctx context.Context) error {
	secret, err := c.read()
	if err != nil {
		return err
	}
	return c.change(ctx, people.Input{Password: &secret})
}

type userRoleCmd struct {
	person
	Role role `required:"" help:"viewer, operator, restorer or admin."`
}

func (c *userRoleCmd) Run(ctx context.Context) error {
	return c.change(ctx, people.Input{Role: (*store.Role)(&c.Role)})
}

type userZoneCmd struct {
	person
	Zone string `arg:"" help:"In which pages show them moments: an IANA name such as Europe/Berlin, browser, or server."`
}

func (c *userZoneCmd) Run(ctx context.Context) error {
	return c.change(ctx, people.Input{Zone: &c.Zone})
}

type userDisableCmd struct {
	person
	Keep bool `help:"Keep the API tokens and MQTT users they made, with their own roles. By default these are revoked."`
}

func (c *userDisableCmd) Run(ctx context.Context) error {
	return c.change(ctx, people.Input{Disabled: new(true), Keep: &c.Keep})
}

type userEnableCmd struct{ person }

func (c *userEnableCmd) Run(ctx context.Context) error {
	return c.change(ctx, people.Input{Disabled: new(false)})
}

type userListCmd struct{ database }

func (c *userListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		users, err := s.Users(ctx)
		if err != nil {
			return err
		}
		rows := [][]string{{"NAME", "ROLE", "STATE", "LAST SEEN"}}
		for _, u := range users {
			state := "active"
			switch {
			case u.DisabledAt != 0:
				state = "disabled"
			case u.PasswordHash == "":
				state = "no password yet"
			}
			rows = append(rows, []string{u.Name, string(u.Role), state, moment(u.SeenAt, "never")})
		}
		return table(rows)
	})
}
