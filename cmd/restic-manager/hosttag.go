package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/store"
)

type hostListCmd struct {
	Tag string `env:"-" placeholder:"TAG" help:"Of this tag alone."`
	database
}

// Run prints a line for each host.
func (c *hostListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		list, err := s.Hosts(ctx)
		if c.Tag != "" {
			list, err = s.HostsTagged(ctx, c.Tag)
		}
		if err != nil {
			return err
		}
		return columns("HOST\tID\tTAGS\tAGENT\tRESTIC\tLAST SEEN", len(list), func(i int) string {
			h := list[i]
			return row(h.Name, string(h.ID), strings.Join(h.Tags, " "), h.AgentVersion, h.ResticVersion, ago(s, h.LastSeen))
		})
	})
}

type hostTagCmd struct {
	Host string   `arg:"" help:"The host's name or ID."`
	Tags []string `arg:"" optional:"" help:"+tag or tag gives it one, -tag takes one away; none prints those it has."`
	database
}

// Run gives and takes tags, and prints those that the host has then.
func (c *hostTagCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		if len(c.Tags) > 0 {
			tags := slices.Clone([]string(h.Tags))
			for _, t := range c.Tags {
				if off, ok := strings.CutPrefix(t, taken); ok {
					tags = slices.DeleteFunc(tags, func(has string) bool { return strings.EqualFold(has, off) })
				} else {
					tags = append(tags, strings.TrimPrefix(t, "+"))
				}
			}
			if h, err = (&hosts.Settings{Store: s}).Put(ctx, actor, h.ID, hosts.Input{Tags: &tags}); err != nil {
				return err
			}
		}
		for _, t := range h.Tags {
			if _, err := fmt.Fprintln(os.Stdout, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// taken marks a tag that is taken away, once the command line was read: no tag can begin so.
const taken = "="

// withTaken rewrites the -tag of host tag, which would be read as a flag.
func withTaken(args []string) []string {
	if len(args) < 2 || args[0] != "host" || args[1] != "tag" {
		return args
	}
	args = slices.Clone(args)
	for i, a := range args {
		if len(a) > 1 && a[0] == '-' && a[1] != '-' && a != "-h" {
			args[i] = taken + a[1:]
		}
	}
	return args
}
