package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// actor is who the audit log names for what is done on the command line.
const actor = "cli"

// database is the flags of every command that works beside a running control plane.
type database struct {
	Data    string `required:"" placeholder:"DIR" help:"Directory of the database."`
	KeyFile string `placeholder:"FILE" help:"File with the key of the database's secrets. Without it: the systemd credential restic-manager-key, the environment variable RESTIC_MANAGER_KEY, or DIR.key."`
}

func (d database) with(ctx context.Context, do func(*store.Store) error) error {
	key, err := d.key()
	if err != nil {
		return err
	}
	s, err := store.OpenWith(ctx, d.Data, key)
	if err != nil {
		return err
	}
	for _, said := range s.Mended {
		fmt.Fprintf(os.Stderr, "restic-manager: %s\n", said)
	}
	return errors.Join(do(s), s.Close())
}

type enrollTokenCmd struct {
	Name string        `placeholder:"HOST" help:"Name for the host; its own hostname by default."`
	TTL  time.Duration `name:"ttl" default:"15m" help:"How long the token is good for, at most 24h."`
	database
}

func (c *enrollTokenCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		ca, err := enroll.OpenCA(ctx, s, time.Now)
		if err != nil {
			return err
		}
		desk := enroll.Desk{Store: s, CA: ca}
		_, token, err := desk.Issue(ctx, actor, c.Name, c.TTL)
		if err != nil {
			return err
		}
		fmt.Println(token.Reveal())
		return nil
	})
}

// A role is one of store.Roles.
type role store.Role

// UnmarshalText implements encoding.TextUnmarshaler, for the command line.
func (r *role) UnmarshalText(b []byte) error {
	*r = role(b)
	if !slices.Contains(store.Roles, store.Role(*r)) {
		return fmt.Errorf("%q is no role; choose viewer, operator or admin", b)
	}
	return nil
}

type apiTokenCmd struct {
	Name string `required:"" help:"What the token is for; the audit log names it."`
	Role role   `required:"" help:"viewer, operator or admin."`
	database
}

func (c *apiTokenCmd) Run(ctx context.Context) error {
	if c.Name == "" || len(c.Name) > 100 {
		return errors.New("a token's name has 1 to 100 characters")
	}
	return c.with(ctx, func(s *store.Store) error {
		key := password.NewKey("rma_")
		err := s.AddAPIToken(ctx, actor, store.APIToken{ID: topics.NewID(time.Now()), Name: c.Name, Role: store.Role(c.Role), KeyHash: password.HashKey(key), CreatedAt: s.Now()})
		if err == nil {
			fmt.Println(key)
		}
		return err
	})
}

type userAddCmd struct {
	Name          string `arg:"" help:"The name to sign in with."`
	Role          role   `required:"" help:"viewer, operator or admin."`
	PasswordStdin bool   `required:"" help:"Read the password from standard input, so that no process list shows it."`
	database
}

func (c *userAddCmd) Run(ctx context.Context) error {
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the password: %w", err)
	}
	hash, err := password.Hash(strings.TrimRight(line, "\r\n"))
	if err != nil {
		return err
	}
	name := strings.TrimSpace(c.Name)
	if name == "" || len(name) > 100 {
		return errors.New("a user's name has 1 to 100 characters")
	}
	return c.with(ctx, func(s *store.Store) error {
		err := s.AddUser(ctx, actor, store.User{ID: topics.NewID(time.Now()), Name: name, Role: store.Role(c.Role), PasswordHash: hash, CreatedAt: s.Now()})
		if errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("there is a user %q already; choose another name", name)
		}
		return err
	})
}

type mqttUserCmd struct {
	Name string `arg:"" help:"The user name; an existing one gets a new password."`
	Do   bool   `help:"Let it also ask for backups and cancel them."`
	database
}

func (c *mqttUserCmd) Run(ctx context.Context) error {
	if c.Name == "" || len(c.Name) > 100 || strings.ContainsAny(c.Name, "+#/\x00") {
		return errors.New("a consumer's name has 1 to 100 characters, without + # and /")
	}
	return c.with(ctx, func(s *store.Store) error {
		key := password.NewKey("")
		err := s.PutMQTTUser(ctx, actor, store.MQTTUser{Name: c.Name, KeyHash: password.HashKey(key), MayDo: c.Do, CreatedAt: s.Now()})
		if err == nil {
			fmt.Println(key)
		}
		return err
	})
}
