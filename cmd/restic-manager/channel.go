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

	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/store"
	rows "github.com/restic-manager/restic-manager/store/channels"
)

type channelCmd struct {
	List   channelListCmd   `cmd:"" default:"withargs" help:"List channels: where people are told of alerts."`
	Kinds  channelKindsCmd  `cmd:"" help:"List the kinds of channels with their fields."`
	Add    channelAddCmd    `cmd:"" help:"Add a channel, and print its ID: channel add ops ntfy topic=backups."`
	Set    channelSetCmd    `cmd:"" help:"Change a channel. Only the given fields change."`
	Show   channelShowCmd   `cmd:"" help:"Show a channel, and what was told there last."`
	Test   channelTestCmd   `cmd:"" help:"Tell a channel of an example now, and print the answer."`
	Remove channelRemoveCmd `cmd:"" help:"Remove a channel, with what waits to be told there."`
}

// channelService is the channels' rooms on a database, also without a control plane.
func channelService(s *store.Store) *channels.Service {
	return &channels.Service{Store: s, Now: time.Now, PublicURL: alertService(s).PublicURL}
}

// channelNamed finds a channel by its ID or its name.
func channelNamed(ctx context.Context, s *store.Store, which string) (rows.Channel, error) {
	list, err := channelService(s).List(ctx)
	if err != nil {
		return rows.Channel{}, err
	}
	if c, ok := named(list, which, func(c rows.Channel) (id, name string) { return c.ID, c.Name }); ok {
		return c, nil
	}
	return rows.Channel{}, fmt.Errorf("there is no channel %q; restic-manager channel list shows all", which)
}

type channelListCmd struct{ database }

func (c *channelListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		list, err := channelService(s).List(ctx)
		if err != nil {
			return err
		}
		return columns("NAME\tID\tKIND\tSTATE\tLAST TOLD", len(list), func(i int) string {
			one, state := list[i], "told of alerts"
			switch {
			case !one.Enabled:
				state = "off"
			case one.FailingSince > 0:
				state = "fails since " + moment(one.FailingSince, "")
			}
			return row(one.Name, one.ID, one.Kind, state, ago(s, one.LastOKAt))
		})
	})
}

type channelKindsCmd struct{}

func (channelKindsCmd) Run() error {
	var lines [][]string
	for _, k := range channels.Kinds() {
		for i, f := range k.Fields {
			kind, what := "", f.Label
			if i == 0 {
				kind = k.Name
			}
			switch {
			case f.Secret && f.Required:
				what += "; a secret, needed"
			case f.Secret:
				what += "; a secret"
			case f.Required:
				what += "; needed"
			}
			if f.List {
				what += "; may be given several times"
			}
			if len(f.Options) > 0 {
				what += "; " + strings.Join(f.Options, ", ")
			}
			lines = append(lines, []string{kind, f.Name, what})
		}
	}
	return columns("KIND\tFIELD\tWHAT", len(lines), func(i int) string { return row(lines[i]...) })
}

// channelFields are the fields of a channel on a command line. What is secret comes from
// files or standard input, so that no process list shows it.
type channelFields struct {
	Fields []string `arg:"" optional:"" name:"field=value" help:"See channel kinds. Secrets are read: field=@FILE, or - for standard input."`
}

func (f channelFields) of(kind string) (map[string]string, error) {
	k, _ := channels.KindOf(kind) // what is wrong with it, the service says
	fields := map[string]string{}
	stdin := bufio.NewReader(io.LimitReader(os.Stdin, 64<<10))
	for _, text := range f.Fields {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not FIELD=VALUE, as in topic=backups", name)
		}
		i := slices.IndexFunc(k.Fields, func(f channels.Field) bool { return f.Name == name })
		secret := i >= 0 && k.Fields[i].Secret
		switch file, read := strings.CutPrefix(value, "@"); {
		case secret && value == "-":
			line, err := stdin.ReadString('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("read %s from standard input: %w", name, err)
			}
			value = strings.TrimRight(line, "\r\n")
		case secret && read:
			b, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
			value = strings.TrimRight(string(b), "\r\n")
		case secret && value != "":
			return nil, fmt.Errorf("%s is a secret, which every process of this machine could read here; "+
				"give it as %s=@FILE, or as %s=- and on standard input", name, name, name)
		}
		if was, given := fields[name]; given && i >= 0 && k.Fields[i].List {
			value = was + "\n" + value
		}
		fields[name] = value
	}
	return fields, nil
}

// tellSecret prints a secret that was made for a channel.
func tellSecret(shown string) {
	if shown == "" {
		return
	}
	say(os.Stderr, "Its messages are signed with this secret, which is shown only now:")
	fmt.Println(shown)
}

type channelAddCmd struct {
	Name string `arg:"" help:"Its name."`
	Kind string `arg:"" help:"email, ntfy, gotify, pushover, discord, slack, teams, telegram, matrix, webhook or url."`
	Off  bool   `help:"It is not told of alerts yet."`
	channelFields
	database
}

func (c *channelAddCmd) Run(ctx context.Context) error {
	fields, err := c.of(c.Kind)
	if err != nil {
		return err
	}
	return c.with(ctx, func(s *store.Store) error {
		made, shown, err := channelService(s).Add(ctx, actor,
			channels.Draft{Name: &c.Name, Kind: c.Kind, Fields: fields, Enabled: new(!c.Off)})
		if err != nil {
			return err
		}
		fmt.Println(made.ID)
		tellSecret(shown)
		return nil
	})
}

type channelSetCmd struct {
	Channel string  `arg:"" help:"Name or ID."`
	Name    *string `help:"A new name."`
	On      bool    `xor:"on" help:"It is told of alerts."`
	Off     bool    `xor:"on" help:"It is not told of alerts."`
	channelFields
	database
}

func (c *channelSetCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		was, err := channelNamed(ctx, s, c.Channel)
		if err != nil {
			return err
		}
		fields, err := c.of(was.Kind)
		if err != nil {
			return err
		}
		d := channels.Draft{Name: c.Name, Fields: fields}
		if c.On || c.Off {
			d.Enabled = &c.On
		}
		_, shown, err := channelService(s).Change(ctx, actor, was.ID, d)
		if err == nil {
			tellSecret(shown)
		}
		return err
	})
}

type channelShowCmd struct {
	Channel string `arg:"" help:"Name or ID."`
	Last    int    `default:"10" help:"How many of the last messages are shown."`
	database
}

func (c *channelShowCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		one, err := channelNamed(ctx, s, c.Channel)
		if err != nil {
			return err
		}
		with, err := s.Channels().Read(ctx, one.ID)
		unreadable := errors.As(err, new(*rows.UnreadableError))
		if err != nil && !unreadable {
			return err
		}
		lines := [][2]string{{"Name", one.Name}, {"ID", one.ID}, {"Kind", one.Kind}, {"Told of alerts", yesNo(one.Enabled)}}
		k, _ := channels.KindOf(one.Kind)
		for _, f := range k.Fields {
			value := ""
			if one.Settings.V != nil {
				value = strings.ReplaceAll((*one.Settings.V)[f.Name], "\n", ", ")
			}
			if _, set := with.Secrets[f.Name]; set {
				value = "set; never shown"
			}
			if f.Secret && unreadable {
				value = "cannot be read: enter it again"
			}
			if value != "" {
				lines = append(lines, [2]string{f.Label, value})
			}
		}
		lines = append(lines, [2]string{"Fails since", moment(one.FailingSince, "it does not")},
			[2]string{"Last answer", one.LastAnswer})
		if err := columns("", len(lines), func(i int) string { return row(lines[i][0], lines[i][1]) }); err != nil {
			return err
		}
		list, err := channelService(s).Deliveries(ctx, one.ID, "", min(max(c.Last, 1), 1000))
		if err != nil || len(list) == 0 {
			return err
		}
		fmt.Println()
		return columns("TOLD\tEVENT\tSTATE\tTRIES\tANSWER", len(list), func(i int) string {
			m := list[i]
			return row(moment(m.CreatedAt, ""), string(m.Event), m.State, fmt.Sprint(m.Tries), m.Answer)
		})
	})
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

type channelTestCmd struct {
	Channel   string `arg:"" help:"Name or ID."`
	Condition string `help:"Of what the example is, a name of docs/ALERTS.md; backup-failed if not said."`
	database
}

// Run sends from here: no control plane has to run.
func (c *channelTestCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		one, err := channelNamed(ctx, s, c.Channel)
		if err != nil {
			return err
		}
		answer, err := channelService(s).Test(ctx, actor, one.ID, c.Condition)
		if err != nil {
			return err
		}
		if !answer.OK {
			return fmt.Errorf("the test did not arrive: %s", answer.Text)
		}
		say(os.Stdout, "%s", answer.Text)
		return nil
	})
}

type channelRemoveCmd struct {
	Channel string `arg:"" help:"Name or ID."`
	database
}

func (c *channelRemoveCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		one, err := channelNamed(ctx, s, c.Channel)
		if err != nil {
			return err
		}
		return channelService(s).Remove(ctx, actor, one.ID)
	})
}
