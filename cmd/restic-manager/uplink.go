package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/uplink"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// uplinkCmd is about a broker of the user's own.
type uplinkCmd struct {
	Show   uplinkShowCmd   `cmd:"" default:"withargs" help:"Show how it is reached, and which brokers are still to be cleared."`
	Set    uplinkSetCmd    `cmd:"" help:"Say how it is reached. Only the given settings change."`
	Test   uplinkTestCmd   `cmd:"" help:"Try what the settings, with these changes, would be good for. Nothing is saved."`
	Off    uplinkOffCmd    `cmd:"" help:"Publish to it no longer, and clear what is retained there."`
	Forget uplinkForgetCmd `cmd:"" help:"Give up clearing a broker that was left and is gone for good."`
}

func uplinkService(s *store.Store) *uplink.Service {
	return &uplink.Service{Store: s, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

type uplinkShowCmd struct{ database }

// Run prints the settings, a line for each. Secrets are not told.
func (c *uplinkShowCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		set, err := uplinkService(s).Settings(ctx)
		if err != nil {
			return err
		}
		is := func(has bool, yes, no string) string {
			if has {
				return yes
			}
			return no
		}
		rows := [][2]string{{"URL", is(set.URL != "", set.URL, "none")}, {"User", set.User},
			{"Password", is(set.HasPassword, "set", "none")}, {"CA", is(set.CA != "", "its own", "the system's")},
			{"Client certificate", is(set.Certificate != "", "set", "none")}, {"In clear", is(set.Insecure, "allowed", "not beyond this machine")},
			{"Discovery prefix", is(set.Prefix != "", set.Prefix, "as in the settings of Home Assistant")}, {"Root", set.Root},
			{"Commands", string(set.Commands)}, {"Consumers kept apart", is(set.Tested, "a test showed it", "no test has shown it")}}
		if err := columns("SETTING\tVALUE", len(rows), func(i int) string { return row(rows[i][0], rows[i][1]) }); err != nil {
			return err
		}
		places, err := s.UplinkPlaces(ctx)
		if err != nil {
			return err
		}
		for _, p := range places {
			if p.LeftAt != 0 {
				say(os.Stderr, fmt.Sprintf("%s is to be cleared at %s, which was left: ID %s. %s", words.Count(uint64(p.Topics), "topic", "topics"),
					p.URL, p.ID, p.Said))
			}
		}
		return nil
	})
}

// uplinkFlags are settings of a command line; nil stays as it is.
type uplinkFlags struct {
	URL          *string `name:"url" placeholder:"URL" help:"mqtts://HOST:PORT, mqtt://, wss:// or ws://."`
	User         *string `placeholder:"NAME" help:"Our user there."`
	PasswordFile string  `placeholder:"FILE" help:"File with its password; - is standard input."`
	CAFile       string  `name:"ca-file" placeholder:"FILE" help:"The CA of its certificate, PEM; an empty file is the system's."`
	CertFile     string  `name:"client-cert-file" placeholder:"FILE" help:"Our client certificate, PEM; an empty file is none."`
	KeyFile      string  `name:"client-key-file" placeholder:"FILE" help:"Its key, PEM."`
	Insecure     *bool   `negatable:"" help:"Have mqtt:// and ws:// lead to other machines, in clear."`
	Prefix       *string `placeholder:"TOPIC" help:"Of Home Assistant's discovery there; empty is the one of its settings."`
	Root         *string `placeholder:"TOPIC" help:"Of our topics there; empty is rm/v1."`
	Commands     *string `placeholder:"WHOSE" help:"Commands that are heard there: off, external or by-consumer."`
}

func (f uplinkFlags) input() (in uplink.Input, err error) {
	in = uplink.Input{URL: f.URL, User: f.User, Insecure: f.Insecure, Prefix: f.Prefix, Root: f.Root}
	if f.Commands != nil {
		commands := uplink.Commands(*f.Commands)
		in.Commands = &commands
	}
	for _, file := range []struct {
		name string
		put  func(text string)
	}{
		{f.PasswordFile, func(t string) { p := topics.Secret(strings.TrimRight(t, "\r\n")); in.Password = &p }},
		{f.CAFile, func(t string) { in.CA = &t }},
		{f.CertFile, func(t string) { in.Certificate = &t }},
		{f.KeyFile, func(t string) { k := topics.Secret(t); in.Key = &k }},
	} {
		if file.name == "" {
			continue
		}
		text, err := readSecret(file.name)
		if err != nil {
			return in, fmt.Errorf("read a file of the uplink: %w", err)
		}
		file.put(text)
	}
	return in, nil
}

type uplinkSetCmd struct {
	uplinkFlags
	database
}

func (c *uplinkSetCmd) Run(ctx context.Context) error {
	in, err := c.input()
	if err != nil {
		return err
	}
	return c.with(ctx, func(s *store.Store) error {
		if err := uplinkService(s).Put(ctx, actor, in); err != nil {
			return err
		}
		say(os.Stderr, "A control plane that runs follows within seconds.")
		return nil
	})
}

type uplinkTestCmd struct {
	uplinkFlags
	SecondUser         string `placeholder:"NAME" help:"A consumer's user there: is it kept from writing for others?"`
	SecondPasswordFile string `placeholder:"FILE" help:"File with its password, which is not kept."`
	database
}

// Run prints a line for each step, and fails if one that is needed did.
func (c *uplinkTestCmd) Run(ctx context.Context) error {
	in, err := c.input()
	if err != nil {
		return err
	}
	var second *uplink.Account
	if c.SecondUser != "" {
		second = &uplink.Account{User: c.SecondUser}
		if c.SecondPasswordFile != "" {
			text, err := readSecret(c.SecondPasswordFile)
			if err != nil {
				return fmt.Errorf("read the second password: %w", err)
			}
			second.Password = topics.Secret(strings.TrimRight(text, "\r\n"))
		}
	}
	return c.with(ctx, func(s *store.Store) error {
		r, err := uplinkService(s).Test(ctx, actor, in, second)
		if err != nil {
			return err
		}
		err = columns("STEP\tIS\tFOUND\tWHAT TO DO", len(r.Steps), func(i int) string {
			step, is := r.Steps[i], "not well"
			if step.OK {
				is = "well"
			} else if step.Warn {
				is = "lacking"
			}
			return row(step.Name, is, step.Text, step.Remedy)
		})
		if err == nil && !r.OK {
			err = errors.New("the broker cannot be used like that")
		}
		return err
	})
}

type uplinkOffCmd struct{ database }

func (c *uplinkOffCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		none := ""
		if err := uplinkService(s).Put(ctx, actor, uplink.Input{URL: &none}); err != nil {
			return err
		}
		say(os.Stderr, "A control plane that runs clears what is retained there; uplink show says what is left.")
		return nil
	})
}

type uplinkForgetCmd struct {
	ID string `arg:"" help:"Of the broker, as uplink show has it."`
	database
}

func (c *uplinkForgetCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error { return uplinkService(s).GiveUp(ctx, actor, c.ID) })
}
