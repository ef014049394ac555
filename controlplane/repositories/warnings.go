package repositories

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Warnings says in sentences what of a repository's settings will not work, or not for long:
// certificates that end, and hosts whose agents pass over what is set.
func Warnings(ctx context.Context, s *store.Store, r store.Repository, a store.RepositoryAccess) ([]string, error) {
	all := []string{}
	for _, d := range Certificates(a) {
		if said := d.Ending(time.UnixMilli(s.Now())); said != "" && !slices.Contains(all, said) {
			all = append(all, said)
		}
	}
	pasted := len(a.Files) > 0 || a.Maintenance != nil && len(a.Maintenance.Files) > 0
	if !pasted && r.Options.V == nil {
		return all, nil
	}
	var noFiles, noOptions []string
	for _, id := range Users(ctx, s, r.ID) {
		h, err := s.Host(ctx, id)
		if err != nil {
			return all, fmt.Errorf("warnings of repository %s: %w", r.ID, err)
		}
		if h.AgentVersion == "" { // it has not said yet what it is
			continue
		}
		if pasted && !h.Able(topics.PastesFiles) {
			noFiles = append(noFiles, h.Name)
		}
		if r.Options.V != nil && !h.Able(topics.TakesOptions) {
			noOptions = append(noOptions, h.Name)
		}
	}
	if len(noFiles) > 0 {
		all = append(all, "The agent of "+few(noFiles)+" is too old for pasted certificates and keys: it passes over them, and its jobs are "+
			"refused by the server or do not trust it. Update it, or put the files on the host and name them.")
	}
	if len(noOptions) > 0 {
		all = append(all, "The agent of "+few(noOptions)+" is too old for the options: its jobs run without them. Update it.")
	}
	return all, nil
}

// Certificates are those that were pasted for a repository, of both of its credentials.
func Certificates(a store.RepositoryAccess) []location.Dated {
	all := location.Certificates(a.Files)
	if a.Maintenance != nil {
		all = append(all, location.Certificates(a.Maintenance.Files)...)
	}
	return all
}

// few are names, the first three of many.
func few(names []string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%s and %d others", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}

// OlderAgent says that a host's agent passes over what is set for a source group, "" if it
// does not.
func OlderAgent(h store.Host, t topics.Tuning) string {
	if t.IsZero() || h.AgentVersion == "" || h.Able(topics.TakesOptions) {
		return ""
	}
	return "The agent of this host is too old for how restic is to make these backups: they go on, as restic makes them by itself, and " +
		"leave out nothing but what the patterns say. Update it."
}
