package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// What is changed here, a control plane that runs beside it sees at the next
// request; streams and MQTT connections that may not go on end within seconds.

// typed is the flag of every command that takes a password.
type typed struct {
	PasswordStdin bool `required:"" help:"Read the password from standard input, so that no process list shows it."`
}

func (typed) hash() (string, error) {
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return password.Hash(strings.TrimRight(line, "\r\n"))
}

type userAddCmd struct {
	Name string `arg:"" help:"The name to sign in with."`
	Role role   `required:"" help:"viewer, operator or admin."`
	typed
	database
}

func (c *userAddCmd) Run(ctx context.Context) error {
	if err := store.CheckUserName(c.Name); err != nil {
		return err
	}
	hash, err := c.hash()
	if err != nil {
		return err
	}
	return c.begin(ctx, func(s *store.Store) error {
		err := s.AddUser(ctx, actor, store.User{ID: topics.NewID(time.Now()), Name: c.Name, Role: store.Role(c.Role), PasswordHash: hash, CreatedAt: s.Now()})
		if errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("there is a user %q already; choose another name", c.Name)
		}
		return err
	})
}

// A person is somebody who has an account.
type person struct {
	Name string `arg:"" help:"The name they sign in with."`
	database
}

func (c *person) change(ctx context.Context, change func(*store.Store, store.User) error) error {
	return c.with(ctx, func(s *store.Store) error {
		u, err := s.UserByName(ctx, c.Name)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("there is no user %q in %s; restic-manager user list shows all", c.Name, c.Data)
		} else if err != nil {
			return err
		}
		if err := change(s, u); errors.Is(err, store.ErrLastAdmin) {
			return fmt.Errorf("%s was not changed: %w; make another administrator first", c.Name, err)
		} else if err != nil {
			return err
		}
		return nil
	})
}

type userPasswdCmd struct {
	typed
	person
}

func (c *userPasswdCmd) Run(ctx context.Context) error {
	hash, err := c.hash()
	if err != nil {
		return err
	}
	return c.change(ctx, func(s *store.Store, u store.User) error { return s.SetPassword(ctx, actor, u.ID, hash) })
}

type userRoleCmd struct {
	person
	Role role `required:"" help:"viewer, operator or admin."`
}

func (c *userRoleCmd) Run(ctx context.Context) error {
	return c.change(ctx, func(s *store.Store, u store.User) error { return s.SetRole(ctx, actor, u.ID, store.Role(c.Role)) })
}

type userDisableCmd struct{ person }

func (c *userDisableCmd) Run(ctx context.Context) error {
	return c.change(ctx, func(s *store.Store, u store.User) error {
		if err := s.DisableUser(ctx, actor, u.ID, true); err != nil {
			return err
		}
		tokens, err := s.APITokens(ctx)
		if err != nil {
			return err
		}
		for _, t := range tokens {
			if t.CreatedBy == u.Name {
				fmt.Fprintf(os.Stderr, "%s made the API token %q, which still holds. To end it: restic-manager api-token revoke %s\n", u.Name, t.Name, t.ID)
			}
		}
		return nil
	})
}

type userEnableCmd struct{ person }

func (c *userEnableCmd) Run(ctx context.Context) error {
	return c.change(ctx, func(s *store.Store, u store.User) error { return s.DisableUser(ctx, actor, u.ID, false) })
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

// table prints rows for people and scripts alike.
func table(rows [][]string) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}

func moment(ms int64, none string) string {
	if ms == 0 {
		return none
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}
