package repositories

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Missing lists the snapshots of ours that are gone from a repository although no job
// of ours removed them, the newest first; also those that were acknowledged.
func (s *Service) Missing(ctx context.Context, id topics.RepositoryID) ([]store.Snapshot, error) {
	if _, err := Find(ctx, s.Store, id); err != nil {
		return nil, err
	}
	return s.Store.MissingSnapshots(ctx, id)
}

// A Known says which missing snapshots somebody knows of: some by their IDs, or all.
type Known struct {
	Snapshots *[]string // whole IDs, or beginnings that fit one of the missing alone
	All       *bool
	Until     *int64 // with All: only those found missing up to then; nil is now
}

// AcknowledgeMissing notes that an administrator knows of missing snapshots, so that
// what is lost later can be told from them. It returns how many were not acknowledged
// before.
func (s *Service) AcknowledgeMissing(ctx context.Context, by string, id topics.RepositoryID, in Known) (int, error) {
	until := s.Store.Now()
	list, err := s.Missing(ctx, id)
	if err != nil {
		return 0, err
	}
	bad, all := field.Errors{}, in.All != nil && *in.All
	switch {
	case all && in.Snapshots != nil:
		bad.Say("all", "Name snapshots, or say all of them; not both.")
	case !all && (in.Snapshots == nil || len(*in.Snapshots) == 0):
		bad.Say("snapshots", "Name the snapshots that you know are missing, or say all of them.")
	case in.Until != nil && !all:
		bad.Say("until", "Only together with all.")
	}
	if in.Until != nil {
		until = *in.Until
	}
	var ids []string
	for _, n := range list {
		if all && n.AcknowledgedAt == 0 && n.GoneAt <= until {
			ids = append(ids, n.ID)
		}
	}
	if !all && in.Snapshots != nil {
		for _, start := range *in.Snapshots {
			fits := slices.Collect(func(yield func(string) bool) {
				for _, n := range list {
					if start != "" && strings.HasPrefix(n.ID, strings.ToLower(start)) && !yield(n.ID) {
						return
					}
				}
			})
			switch len(fits) {
			case 0:
				bad.Say("snapshots", "No missing snapshot has the ID "+quoted(start)+".")
			case 1:
				ids = append(ids, fits[0])
			default:
				bad.Say("snapshots", "The IDs of several missing snapshots begin with "+quoted(start)+"; write more of it.")
			}
		}
	}
	if err := bad.Err(); err != nil {
		return 0, err
	}
	n, err := s.Store.AcknowledgeMissing(ctx, by, id, ids)
	if err == nil && n > 0 {
		hosts := []topics.HostID{}
		for _, n := range list {
			if !slices.Contains(hosts, n.Host) {
				hosts = append(hosts, n.Host)
			}
		}
		s.changed(ctx, id, hosts...)
	}
	return n, err
}

// quoted is a text that somebody typed, cut to what an ID may have.
func quoted(text string) string { return fmt.Sprintf("%.64q", text) }
