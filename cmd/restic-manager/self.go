package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/controlplane/self"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/copies"
	"github.com/restic-manager/restic-manager/store/keyring"
)

type backupCmd struct {
	Where string `arg:"" optional:"" placeholder:"FILE|DIR" help:"A new file, or a directory; by default DIR/copies of --data."`
	To    string `placeholder:"REPOSITORY" help:"Have a host back up the copies there daily, by a source group named control plane."`
	Host  string `placeholder:"HOST" help:"With --to: the host whose agent runs on this machine and reads the copies."`
	Keep  int    `default:"14" help:"How many copies are kept in DIR/copies."`
	database
}

// Run copies the database, also while a control plane runs.
func (c *backupCmd) Run(ctx context.Context) error {
	if (c.To == "") != (c.Host == "") {
		return errors.New("--to and --host belong together: the repository, and the host whose agent runs on this machine")
	}
	return c.with(ctx, func(s *store.Store) error {
		service := &self.Service{Store: s, Data: c.Data, Keep: c.Keep}
		path := ""
		if c.Where != "" {
			var err error
			if path, err = service.CopyTo(ctx, actor, c.Where); err != nil {
				return err
			}
		} else {
			made, err := service.Copy(ctx, actor)
			if err != nil {
				return err
			}
			path = made.Path
		}
		say(os.Stdout, "%s", path)
		say(os.Stderr, "The key is not in it, and without the key no password in it can be read. Save the key apart from the copy, "+
			"once and after each restic-manager key rotate:\n    %s", c.saveKey())
		if c.To == "" {
			return nil
		}
		return c.group(ctx, s)
	})
}

// saveKey is the command that copies the key, or says where it is.
func (d database) saveKey() string {
	file := d.KeyFile
	if file == "" {
		file = keyring.Beside(d.Data)
	}
	if _, err := os.Stat(file); err != nil {
		return "(it is in no file: save what systemd's " + keyCredential + " or " + keyVariable + " holds)"
	}
	return "install -m 600 " + file + " /media/somewhere-else/"
}

// group has a host back up the copies: restic reads them, and the control plane touches
// no byte of the backup. What is in them is sealed as in the database.
func (c *backupCmd) group(ctx context.Context, s *store.Store) error {
	h, err := hostNamed(ctx, s, c.Host)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(copies.Dir(c.Data))
	if err != nil {
		return err
	}
	in := sources.Input{Repository: &c.To, Paths: &[]string{dir}}
	g, err := (&sources.Service{Store: s}).Put(ctx, actor, h.ID, copiesGroup, in)
	if err != nil {
		return err
	}
	if err := c.schedule(ctx, s, g); err != nil {
		return err
	}
	say(os.Stderr, "The source group \"control plane\" of %s backs up %s. Its agent must be "+
		"allowed to read that directory: who can is able to read the names of hosts, people and files, and no password.", h.Name, dir)
	return nil
}

// copiesGroup is what the source group with the copies, and its schedule, are called.
const copiesGroup = "control plane"

// schedule has the group backed up daily, unless a schedule does so already, or somebody
// gave one that name. It is an hour after this time of day, as copies are a day apart from
// the one that was just made.
func (c *backupCmd) schedule(ctx context.Context, s *store.Store, g store.SourceGroup) error {
	there, err := s.Schedules(ctx, g.Host)
	if err != nil {
		return err
	}
	for _, row := range there {
		if row.Name == copiesGroup || slices.Contains(row.Groups, g.ID) {
			return nil
		}
	}
	at := time.Now().UTC().Add(time.Hour)
	cron := fmt.Sprintf("%d %d * * *", at.Minute(), at.Hour())
	if _, err := schedules(s).Add(ctx, actor, g.Host, copiesGroup, schedule.Input{Cron: &cron, SourceGroups: &[]string{g.Name}}); err != nil {
		return err
	}
	say(os.Stderr, "The schedule \"%s\" backs it up daily at %s UTC.", copiesGroup, at.Format("15:04"))
	return nil
}

type restoreSelfCmd struct {
	File    string `arg:"" help:"The copy, as restic-manager backup made it."`
	Admin   string `placeholder:"USER" help:"Who gets the link to sign in, and confirms the others; by default the only one."`
	Replace bool   `help:"Put a database that is there aside, as restic-manager.db.replaced-TIME."`
	database
}

// Run makes a data directory from a copy.
func (c *restoreSelfCmd) Run(ctx context.Context) error {
	key, err := c.key()
	if err != nil {
		return err
	}
	claimed, err := controlplane.Claim(c.Data)
	if err != nil {
		return err
	}
	return errors.Join(c.restore(ctx, key), claimed.Close())
}

func (c *restoreSelfCmd) restore(ctx context.Context, key keyring.Source) error {
	admin := c.Admin
	secret := password.NewKey("rmp_")
	now := time.Now()
	link := store.PasswordLink{KeyHash: password.HashKey(secret), CreatedAt: now.UnixMilli(), ExpiresAt: now.Add(linkLife).UnixMilli()}
	p, err := store.RestoreFrom(ctx, store.Restoring{Copy: c.File, Data: c.Data, Key: key, Mark: c.Mark, Replace: c.Replace, Admin: admin,
		Link: link, Actor: actor})
	if err != nil {
		return err
	}
	say(os.Stdout, "Restored from a copy of %s.", time.UnixMilli(p.LostFrom).UTC().Format(time.RFC3339))
	say(os.Stderr, "Start restic-manager serve with --data %s, at the address that the agents know. They come back by themselves and tell "+
		"again what happened since.", c.Data)
	say(os.Stderr, "%s", self.OlderIdentity)
	if p.Admin != "" {
		say(os.Stderr, "Then %s opens this link on it within a day, sets a new password, and confirms hosts, people, tokens and consumers: "+
			"nobody else is trusted before that.", p.Admin)
		say(os.Stdout, "/set-password?key=%s", secret)
	}
	return nil
}

// linkLife is how long the link of restore-self is good.
const linkLife = 24 * time.Hour

type confirmCmd struct {
	Kind   string   `arg:"" optional:"" help:"host, user, token or consumer; without one, everybody who is asked about is listed."`
	Names  []string `arg:"" optional:"" help:"Names or IDs; none are all of that kind."`
	Refuse bool     `help:"Refuse them: hosts are revoked, users stay disabled, tokens and consumers are removed."`
	database
}

// Run answers for those whom a restored control plane asks about.
func (c *confirmCmd) Run(ctx context.Context) error {
	if c.Kind != "" && !slices.Contains(self.Kinds, c.Kind) {
		return fmt.Errorf("%q is none of %s", c.Kind, strings.Join(self.Kinds, ", "))
	}
	return c.with(ctx, func(s *store.Store) error {
		service := &self.Service{Store: s, Data: c.Data}
		if c.Kind == "" {
			open, err := service.Open(ctx)
			for _, q := range open {
				say(os.Stdout, "%s\t%s\t%s", q.Kind, q.ID, q.Name)
			}
			return err
		}
		n, err := service.Answer(ctx, actor, c.Kind, c.Names, !c.Refuse)
		if err == nil {
			say(os.Stdout, "%d answered", n)
		}
		return err
	})
}
