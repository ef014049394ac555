package replace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// A Command is what the administrator of the new machine runs, for the shell of the old
// one's system: it enrols it with the old machine's policy, and names the repositories of
// its source groups. Without them its policy would let it restore from nowhere before its first
// backup, which waits for the restore.
func (s *Service) Command(ctx context.Context, st Status, server string, token topics.EnrollToken) (string, error) {
	repositories, err := s.addresses(ctx, st)
	if err != nil {
		return "", err
	}
	return Command(st, server, token.Reveal(), repositories), nil
}

// Command words the command.
func Command(st Status, server, token string, repositories []string) string {
	old := store.Host{OS: st.Machine.OS, Policy: st.Machine.Policy, Permits: store.JSON[topics.Permits]{V: st.Machine.Permits}}
	quote := words.Quoted
	if old.OS == "windows" {
		quote = func(word string) string { return `"` + strings.ReplaceAll(word, `"`, "") + `"` }
	}
	c := "restic-manager-agent enroll --server " + quote(server) + " --token " + token + " --state " + quote(permits.State(old))
	add := func(flag string, values []string) {
		for _, v := range values {
			c += " --" + flag + " " + quote(v)
		}
	}
	if old.Policy != "" {
		c += " --policy " + quote(old.Policy)
	}
	p := st.Machine.Permits
	if p != nil && p.Anywhere { // the policy managed has no limits
		return c
	}
	add("repository", repositories)
	if p == nil {
		return c
	}
	add("repository-root", p.RepositoryRoots)
	if !slices.Equal(p.BackupRoots, []string{"/"}) { // which is everywhere
		add("backup-root", p.BackupRoots)
	}
	if len(p.RestoreRoots) != 1 || p.RestoreRoots[0] != p.Quarantine { // that one is there without being named
		add("restore-root", p.RestoreRoots)
	}
	return c
}

// addresses are the repositories that the host's source groups back up into, as an
// administrator names them. Nothing in them is secret.
func (s *Service) addresses(ctx context.Context, st Status) (list []string, err error) {
	seen := map[topics.RepositoryID]bool{}
	for _, g := range st.Groups {
		id := g.Repository.ID
		if seen[id] {
			continue
		}
		seen[id] = true
		a, err := s.Store.RepositoryAccess(ctx, id)
		if errors.As(err, new(*store.UnreadableError)) {
			continue // nobody can restore from it either, which stands on its page
		} else if err != nil {
			return nil, fmt.Errorf("repository %s: %w", id, err)
		}
		url := a.URL
		if location.PerHost(g.Repository.Location) {
			name, err := s.Store.PlaceName(ctx, id, st.New.ID)
			if errors.As(err, new(*places.NameError)) {
				continue
			} else if err != nil {
				return nil, err
			}
			url = location.Expand(url, name)
		}
		if said := location.Described(url, a.Env, a.Files); said != "" {
			list = append(list, said)
		}
	}
	return list, nil
}

// Warnings are sentences about what is another on the new machine, or will not come back.
func (s Status) Warnings(keeps []string) (list []string) {
	now := s.New
	if s.EnrolledAt > 0 && s.Machine.OS != "" && now.OS != "" && s.Machine.OS != now.OS {
		list = append(list, fmt.Sprintf("The old machine ran %s, the new one runs %s: paths differ. Restore into a new folder, and correct the "+
			"paths of the source groups before the first backup.", system(s.Machine.OS), system(now.OS)))
	}
	for _, g := range s.Groups {
		switch {
		case g.Local:
			list = append(list, fmt.Sprintf("The repository %s of %s is a directory of the host itself: it was on the lost machine. If its disk "+
				"is still there, connect it to the new one at the same path; otherwise what was saved in it is gone.", g.Repository.Name, g.Name))
		case g.Snapshot == "":
			list = append(list, fmt.Sprintf("Nothing was ever saved of %s: there is nothing to restore.", g.Name))
		}
	}
	if len(keeps) > 0 {
		list = append(list, fmt.Sprintf("This host is the keeper of %s: nothing is forgotten, pruned or checked there until the new machine is "+
			"enrolled. It gets the maintenance credential again with its first job; if the old machine was stolen, change that "+
			"credential first.", strings.Join(keeps, ", ")))
	}
	return list
}

func system(os string) string {
	switch os {
	case "windows":
		return "Windows"
	case "linux":
		return "Linux"
	case "darwin":
		return "macOS"
	}
	return os
}
