package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/restics"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/store"
)

type resticCmd struct {
	Show  resticShowCmd  `cmd:"" default:"withargs" help:"Show which versions of restic run, and what each lacks of what is used."`
	Hosts resticHostsCmd `cmd:"" help:"List the restic of each host, how much it lacks, and why its agent cannot fetch another."`
	Files resticFilesCmd `cmd:"" help:"List the files with restic in DATA/restic, and whether hosts may be told to fetch them."`
	Pin   resticPinCmd   `cmd:"" help:"Confirm the checksum of a file, so that hosts may be told to fetch it."`
	Unpin resticUnpinCmd `cmd:"" help:"Have hosts be told to fetch a file no more; those that have it keep it."`
	Fetch resticFetchCmd `cmd:"" help:"Have agents fetch a version that lies here, and use it."`
	Back  resticBackCmd  `cmd:"" help:"Have agents go back to the restic that they used before."`
}

var weights = map[since.Weight]string{since.Less: "goes on without", since.Refused: "refused", since.Fault: "done wrong"}

type resticShowCmd struct{ database }

// Run prints each version with what it lacks.
func (c *resticShowCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		rows, err := s.Hosts(ctx)
		if err != nil {
			return err
		}
		m, err := fleet.NewBoard(s, hosts.NewPresence(hosts.DefaultTiming(), time.Now, rows), time.Now).Now(ctx)
		if err != nil {
			return err
		}
		o := restics.Of(m)
		out := [][]string{{"Lacks nothing from", o.Newest}}
		for _, v := range o.Versions {
			out = append(out, []string{"restic " + v.Version, fmt.Sprintf("%d hosts", len(v.Hosts))})
			for _, f := range v.Lacks {
				out = append(out, []string{"", fmt.Sprintf("%s takes %s (%s). %s", f.What, f.Since.Short(), weights[f.Weight], f.Else)})
			}
		}
		for _, h := range o.None {
			out = append(out, []string{"No restic on " + h.Name, restics.NoneRemedy})
		}
		return table(out)
	})
}

type resticHostsCmd struct{ database }

// Run prints a line for each host.
func (c *resticHostsCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		list, err := s.Hosts(ctx)
		if err != nil {
			return err
		}
		return columns("HOST\tRESTIC\tLACKS\tMOST OF ALL\tFETCHED\tCANNOT FETCH", len(list), func(i int) string {
			lacks, known := restics.Lacks(list[i])
			count, worst := "", ""
			if known {
				count = strconv.Itoa(len(lacks))
			}
			if len(lacks) > 0 {
				worst = lacks[0].What + ": " + lacks[0].Since.Short()
			}
			fetched := ""
			if u := list[i].Updates.V; u != nil && u.Restic != nil {
				fetched = u.Restic.Name
			}
			why, _ := restics.MayFetch(list[i])
			return row(list[i].Name, list[i].ResticVersion, count, worst, fetched, why)
		})
	})
}

// resticsOf works in the database and the directory; a control plane that runs beside it goes
// on, and tells hosts.
func resticsOf(s *store.Store, data string) *restics.Service {
	return &restics.Service{Store: s, Dir: restics.DirOf(data), Jobs: engine(s)}
}

type resticFilesCmd struct{ database }

// Run prints a line for each file.
func (c *resticFilesCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		list, err := resticsOf(s, c.Data).Files(ctx)
		if err != nil {
			return err
		}
		return columns("FILE\tVERSION\tSHA256\tIN SHA256SUMS\tCONFIRMED BY\tNOT GIVEN SINCE", len(list), func(i int) string {
			f := list[i]
			listed, by := "", ""
			if f.Listed != "" {
				listed = map[bool]string{true: "the same", false: "ANOTHER"}[f.Listed == f.SHA256]
			}
			if f.Pin != nil {
				by = f.Pin.PinnedBy
			}
			return row(f.Name, f.Version, f.SHA256, listed, by, f.Say)
		})
	})
}

type resticPinCmd struct {
	File string `arg:"" help:"Its name in DATA/restic, as restic releases it."`
	Sum  string `arg:"" help:"Its SHA-256, as restic's SHA256SUMS has it."`
	database
}

// Run confirms a checksum.
func (c *resticPinCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		f, err := resticsOf(s, c.Data).Pin(ctx, actor, c.File, c.Sum)
		if err == nil {
			say(os.Stdout, "Hosts may be told to fetch restic %s for %s on %s.", f.Version, f.OS, f.Arch)
		}
		return err
	})
}

type resticUnpinCmd struct {
	File string `arg:"" help:"Its name."`
	database
}

// Run takes a confirmation back.
func (c *resticUnpinCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		err := resticsOf(s, c.Data).Unpin(ctx, actor, c.File)
		if err == nil {
			say(os.Stdout, "Hosts are told to fetch it no more; those that have it keep it.")
		}
		return err
	})
}

// whichHosts are those that are to use another restic.
type whichHosts struct {
	Host string `xor:"which" required:"" help:"One host alone: name or ID."`
	Tag  string `xor:"which" required:"" help:"Hosts with this tag."`
	All  bool   `xor:"which" required:"" help:"Every host that is in use."`
}

type resticFetchCmd struct {
	Version string `arg:"" help:"Such as 0.20.0; each host gets the file for its system."`
	Older   bool   `help:"It may be older than the one that a host has."`
	whichHosts
	database
}

// Run asks for the jobs, and prints a line for each host.
func (c *resticFetchCmd) Run(ctx context.Context) error {
	return fetchRestic(ctx, c.database, c.whichHosts, restics.Want{Version: c.Version, Older: c.Older})
}

type resticBackCmd struct {
	whichHosts
	database
}

// Run asks for the jobs, and prints a line for each host.
func (c *resticBackCmd) Run(ctx context.Context) error {
	return fetchRestic(ctx, c.database, c.whichHosts, restics.Want{Back: true})
}

func fetchRestic(ctx context.Context, d database, which whichHosts, w restics.Want) error {
	return d.with(ctx, func(s *store.Store) error {
		rows, err := s.Hosts(ctx)
		if err != nil {
			return err
		}
		hosts, err := restics.Wanted(rows, restics.Which{Host: which.Host, Tag: which.Tag, All: which.All})
		if err != nil {
			return err
		}
		list, err := resticsOf(s, d.Data).Fetch(ctx, actor, hosts, w)
		if err != nil {
			return err
		}
		return columns("HOST\tJOB\tWHY NOT\tREMEDY", len(list), func(i int) string {
			x := list[i]
			return row(x.Host.Name, string(x.Job.ID), x.Why, x.Do)
		})
	})
}
