package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/importing"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/imports"
	"github.com/restic-manager/restic-manager/topics"
)

type repositoryImportCmd struct {
	Repository string            `arg:"" help:"Name or ID."`
	Proposed   bool              `help:"Choose every row as it is proposed."`
	Assign     map[string]string `placeholder:"KEY=HOST/GROUP" help:"Choose a source group for the row of this key; can be repeated."`
	Leave      []string          `placeholder:"KEY" help:"With --proposed: leave this row as it is."`
	Newer      []string          `placeholder:"KEY" help:"Of this row, also what is newer than the first backup here or backdated."`
	Confirm    string            `placeholder:"DIGEST" help:"Take in what is chosen, as it was shown: what follows is said with the digest."`
	Undo       string            `placeholder:"ID" help:"Give what an import took in back to nobody."`
	database
}

// Run shows what is proposed, says what follows from what is chosen, and takes it in when
// that is confirmed.
func (c *repositoryImportCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		r, err := repositoryNamed(ctx, s, c.Repository)
		if err != nil {
			return err
		}
		service := &importing.Service{Store: s}
		if c.Undo != "" {
			if err := service.Undo(ctx, actor, r.ID, c.Undo); err != nil {
				return told(err)
			}
			say(os.Stdout, "Undone: the snapshots of import %s are nobody's again.", c.Undo)
			return nil
		}
		k, err := service.Look(ctx, r.ID)
		if err != nil {
			return err
		}
		choices, err := c.choices(k)
		if err != nil {
			return err
		}
		if len(choices) == 0 {
			if c.Confirm != "" {
				return errors.New("nothing is chosen; --proposed chooses what is proposed, --assign KEY=HOST/GROUP one row")
			}
			return c.show(k)
		}
		follows, err := service.Weigh(ctx, k, choices, time.Now())
		if err != nil {
			return err
		}
		for _, line := range append(k.Doubts(choices), follows.Words()...) {
			say(os.Stdout, "%s", line)
		}
		if c.Confirm == "" {
			say(os.Stdout, "Nothing is changed yet: with the same choices, --confirm %s takes in %d snapshots.", k.Digest(choices), follows.Taken)
			return nil
		}
		if err := k.Same(choices, c.Confirm); err != nil {
			return told(err)
		}
		id, rows, err := service.Confirm(ctx, actor, r.ID, choices)
		if err != nil {
			return told(err)
		}
		n := 0
		for _, row := range rows {
			n += row.Snapshots
		}
		say(os.Stdout, "Taken in: %d snapshots. restic-manager repository import %s --undo %s gives them back.", n, r.Name, id)
		return nil
	})
}

// told is an error with its cure, if the package has one.
func told(err error) error {
	if title, said, do := importing.Why(err); title != "" {
		return fmt.Errorf("%s: %s %s", strings.ToLower(title[:1])+title[1:], said, do)
	}
	return err
}

// choices are what the flags choose.
func (c *repositoryImportCmd) choices(k importing.Known) (list []imports.Choice, err error) {
	for _, p := range k.Proposals {
		group := p.Group
		if !c.Proposed || slices.Contains(c.Leave, p.Key) {
			group = ""
		}
		if text := c.Assign[p.Key]; text != "" {
			i := slices.IndexFunc(k.Groups, func(g importing.Group) bool { return text == k.Hosts[g.Host]+"/"+g.Name || text == string(g.ID) })
			if group = topics.SourceGroupID(text); i >= 0 {
				group = k.Groups[i].ID
			}
		}
		if group != "" {
			list = append(list, imports.Choice{Kin: p.Key, Group: group, Newer: slices.Contains(c.Newer, p.Key), Seen: p.Seen})
		}
	}
	there := func(key string) bool {
		_, is := k.Proposal(key)
		return is
	}
	for _, key := range keysOf(c.Assign) { // what is not there is refused with all else that is wrong
		if !there(key) {
			list = append(list, imports.Choice{Kin: key, Group: topics.SourceGroupID(c.Assign[key])})
		}
	}
	for _, keys := range [][]string{c.Leave, c.Newer} {
		for _, key := range keys {
			if !there(key) {
				return nil, fmt.Errorf("no row has the key %q", key)
			}
		}
	}
	return list, nil
}

func keysOf(of map[string]string) (keys []string) {
	for key := range of {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// show prints what is proposed, and what was taken in.
func (c *repositoryImportCmd) show(k importing.Known) error {
	name := func(g importing.Group) string { return k.Hosts[g.Host] + "/" + g.Name }
	if err := columns("KEY\tHOST NAME\tPATHS\tTAGS\tSNAPSHOTS\tOLDEST\tNEWEST\tPROPOSED\tWHY", len(k.Proposals), func(i int) string {
		p, group, oldest, newest := k.Proposals[i], "-", "-", "-"
		if g, is := k.Group(p.Group); is {
			group = name(g)
		}
		if n := len(p.List); n > 0 {
			oldest, newest = moment(p.List[n-1].Time, "-"), moment(p.List[0].Time, "-")
		}
		count := strconv.Itoa(p.Given())
		if p.Newer > 0 {
			count += fmt.Sprintf(" (%d newer)", p.Newer)
		}
		tags := strings.Join(p.Tags, ",")
		if p.Varied > 0 {
			tags = strings.TrimPrefix(fmt.Sprintf("%s (%d that vary)", tags, p.Varied), " ")
		}
		return row(p.Key, p.Hostname, strings.Join(p.Paths, ","), tags, count, oldest, newest, group, p.Why)
	}); err != nil {
		return err
	}
	if len(k.Groups) > 0 {
		var names []string
		for _, g := range k.Groups {
			names = append(names, name(g))
		}
		say(os.Stdout, "\nSource groups that can be chosen: %s", strings.Join(names, ", "))
	}
	if len(k.Imports) == 0 {
		return nil
	}
	say(os.Stdout, "")
	return columns("IMPORT\tMADE\tBY\tSNAPSHOTS\tLEFT\tUNDONE", len(k.Imports), func(i int) string {
		n := k.Imports[i]
		return row(n.ID, moment(n.At, "-"), n.By, strconv.Itoa(n.Snapshots), strconv.Itoa(n.Left), moment(n.UndoneAt, "-"))
	})
}
