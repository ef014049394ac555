package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/consumers"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/store"
)

// A life is how long something is valid: "90d", "12h" or "never".
type life time.Duration

// UnmarshalText implements encoding.TextUnmarshaler, for the command line.
func (l *life) UnmarshalText(b []byte) error {
	text := string(b)
	if text == "never" {
		*l = 0
		return nil
	}
	d, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		n, aerr := strconv.Atoi(days)
		d, err = people.Days(n), aerr
	}
	if err != nil || d == 0 {
		return fmt.Errorf("%q is no time span; write 90d, 12h or never", text)
	}
	*l = life(d)
	return nil
}

type apiTokenCreateCmd struct {
	Name    string `required:"" help:"What the token is for. The audit log shows this name."`
	Role    role   `required:"" help:"viewer, operator, restorer or admin."`
	Expires life   `default:"365d" placeholder:"TIME" help:"How long the token is valid: 365d (the default), 12h, or never."`
	database
}

func (c *apiTokenCreateCmd) Run(ctx context.Context) error {
	return c.begin(ctx, func(s *store.Store) error {
		_, key, err := peopleOf(s).AddToken(ctx, machine, people.TokenInput{
			Name: &c.Name,
			Role: (*store.Role)(&c.Role),
			Life: (*time.Duration)(&c.Expires),
		})
		if err == nil {
			fmt.Println(key)
		}
		return err
	})
}

type apiTokenListCmd struct{ database }

func (c *apiTokenListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		tokens, err := s.APITokens(ctx)
		if err != nil {
			return err
		}
		rows := [][]string{{"ID", "NAME", "ROLE", "ACTS AS", "MADE BY", "EXPIRES", "LAST USED"}}
		for _, t := range tokens {
			acts := cmp.Or(string(t.Acts()), "refused")
			rows = append(rows, []string{t.ID, t.Name, string(t.Role), acts, t.CreatedBy, moment(t.ExpiresAt, "never"), moment(t.UsedAt, "never")})
		}
		return table(rows)
	})
}

type apiTokenRevokeCmd struct {
	ID string `arg:"" help:"ID of the token, as shown by api-token list."`
	database
}

func (c *apiTokenRevokeCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		left, err := peopleOf(s).RevokeToken(ctx, actor, c.ID)
		switch {
		case errors.Is(err, people.ErrNoToken):
			return fmt.Errorf("there is no API token %q in %s; restic-manager api-token list shows all", c.ID, c.Data)
		case err == nil && (len(left.Tokens)+len(left.Consumers) > 1 || len(left.Jobs) > 0):
			say(os.Stderr, "%s", people.Tell(left, machine))
		}
		return err
	})
}

type mqttUserCreateCmd struct {
	Name string   `arg:"" help:"User name. An existing user gets a new password, and its connections are closed."`
	Do   bool     `help:"Also allow starting and cancelling backups and checks, and pausing schedules."`
	Tag  []string `sep:"none" placeholder:"TAG" help:"Only the hosts that have this tag; may be given again for more."`
	// HomeAssistant says whose birth and death are Home Assistant's.
	HomeAssistant bool `help:"It is the Home Assistant whose birth counts."`
	database
}

func (c *mqttUserCreateCmd) Run(ctx context.Context) error {
	return c.begin(ctx, func(s *store.Store) error {
		in := consumers.Input{Name: &c.Name, MayDo: &c.Do, Tags: &c.Tag, HomeAssistant: &c.HomeAssistant}
		u, key, err := consumersOf(s).Add(ctx, machine, in)
		if errors.Is(err, consumers.ErrNameTaken) {
			if in.Name = nil; len(c.Tag) == 0 {
				in.Tags = nil // that of all hosts is not given by leaving something out
			}
			if !c.HomeAssistant {
				in.HomeAssistant = nil
			}
			u, key, err = consumersOf(s).NewPassword(ctx, machine, field.Clean(c.Name), in)
		}
		if err != nil {
			return err
		}
		fmt.Println(key)
		return unusedTags(ctx, s, u)
	})
}

// unusedTags says which of a consumer's tags no host has.
func unusedTags(ctx context.Context, s *store.Store, u store.MQTTUser) error {
	none, err := consumersOf(s).Unused(ctx, u.Tags)
	if len(none) > 0 {
		say(os.Stderr, "No host has the tag %s yet. The consumer hears of each that gets it.", strings.Join(none, " or "))
	}
	return err
}

type mqttUserChangeCmd struct {
	Name          string   `arg:"" help:"The user name. Its connections are closed, and it keeps its password."`
	Do            *bool    `negatable:"" help:"Allow starting and cancelling backups and checks, and pausing schedules, or not."`
	Tag           []string `sep:"none" placeholder:"TAG" help:"Only the hosts that have this tag; may be given again for more." xor:"hosts"`
	AllHosts      bool     `help:"All hosts, whatever their tags." xor:"hosts"`
	HomeAssistant *bool    `negatable:"" help:"It is the Home Assistant whose birth counts, or not."`
	database
}

func (c *mqttUserChangeCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		in := consumers.Input{MayDo: c.Do, HomeAssistant: c.HomeAssistant}
		if len(c.Tag) > 0 || c.AllHosts {
			in.Tags = &c.Tag
		}
		u, err := consumersOf(s).Change(ctx, machine, c.Name, in)
		if errors.Is(err, consumers.ErrNoConsumer) {
			return fmt.Errorf("there is no consumer %q in %s; restic-manager mqtt-user list shows all", c.Name, c.Data)
		}
		if err != nil {
			return err
		}
		return unusedTags(ctx, s, u)
	})
}

func consumersOf(s *store.Store) consumers.Service { return consumers.Service{Store: s} }

type mqttUserListCmd struct{ database }

func (c *mqttUserListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		users, err := s.MQTTUsers(ctx)
		if err != nil {
			return err
		}
		rows := [][]string{{"NAME", "MAY", "HOSTS", "MADE BY", "LAST CONNECTED"}}
		for _, u := range users {
			may := cmp.Or(map[store.Role]string{store.Viewer: "read", store.Operator: "read, do"}[u.Acts()], "refused")
			if u.HomeAssistant {
				may += ", is Home Assistant"
			}
			rows = append(rows, []string{u.Name, may, cmp.Or(strings.Join(u.Tags, ", "), "all"), u.CreatedBy, moment(u.SeenAt, "never")})
		}
		return table(rows)
	})
}

type mqttUserRevokeCmd struct {
	Name string `arg:"" help:"The user name."`
	database
}

func (c *mqttUserRevokeCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		err := consumersOf(s).Revoke(ctx, actor, c.Name)
		if errors.Is(err, consumers.ErrNoConsumer) {
			return fmt.Errorf("there is no consumer %q in %s; restic-manager mqtt-user list shows all", c.Name, c.Data)
		}
		return err
	})
}
