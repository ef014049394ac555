package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/controlplane/search"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// lsCmd lists a directory of a snapshot. Hosts are asked by the control plane that runs on
// the database, as it alone is connected with them.
type lsCmd struct {
	Where string `arg:"" name:"host[:snapshot]" help:"Host, by name or ID, and its snapshot; without, the newest that holds the path."`
	Path  string `arg:"" help:"The directory, as the snapshot names it: with slashes on every system."`
	By    string `placeholder:"HOST" help:"Host that is to look; it must have the repository."`
	database
}

// Run prints the directory, directories first.
func (c *lsCmd) Run(ctx context.Context) error {
	var q queries.FilesQuery
	if err := c.with(ctx, func(s *store.Store) error {
		h, n, err := snapshotNamed(ctx, s, c.Where, c.Path)
		if err != nil {
			return err
		}
		q = queries.FilesQuery{Repository: n.Repository, Snapshot: n.ID, Path: c.Path}
		if c.By != "" {
			if h, err = hostNamed(ctx, s, c.By); err != nil {
				return err
			}
			q.Host = h.ID
		}
		return nil
	}); err != nil {
		return err
	}
	var entries []queries.Node
	for {
		page, err := queries.Client{Data: c.Data}.Files(ctx, q)
		if err != nil {
			return err
		}
		entries = append(entries, page.Entries...)
		if q.After = page.Next; q.After == "" {
			if page.Truncated {
				say(os.Stderr, "The directory has more entries than are read.")
			}
			break
		}
	}
	return columns("MODE\tOWNER\tSIZE\tCHANGED\tNAME", len(entries), func(i int) string {
		e := entries[i]
		name := e.Name
		if e.Target != "" {
			name += " -> " + e.Target
		}
		return row(modeOf(e), ownerOf(e.User, e.UID)+":"+ownerOf(e.Group, e.GID), strconv.FormatUint(e.Size, 10), moment(e.ModTime, ""), name)
	})
}

// snapshotNamed finds a host and one of its snapshots: the one that follows a colon, else
// the newest of those that were made of this path, else the newest.
func snapshotNamed(ctx context.Context, s *store.Store, where, path string) (store.Host, store.Snapshot, error) {
	name, id := where, ""
	h, err := hostNamed(ctx, s, name)
	if i := strings.LastIndexByte(where, ':'); err != nil && i >= 0 {
		name, id = where[:i], where[i+1:]
		h, err = hostNamed(ctx, s, name)
	}
	if id == "latest" {
		id = ""
	}
	if err != nil {
		return h, store.Snapshot{}, err
	}
	rows, err := s.Snapshots(ctx, h.ID, mostSnapshots)
	if err != nil {
		return h, store.Snapshot{}, err
	}
	for _, n := range rows {
		if id == "" && holds(n, []string{path}) || len(id) >= 8 && strings.HasPrefix(n.ID, id) {
			return h, n, nil
		}
	}
	switch {
	case id == "" && len(rows) > 0:
		return h, rows[0], nil
	case id == "":
		return h, store.Snapshot{}, fmt.Errorf("the host %q has no snapshot yet", h.Name)
	}
	return h, store.Snapshot{}, fmt.Errorf("the host %q has no snapshot %q; name at least 8 digits of its ID", h.Name, id)
}

// mostSnapshots is among how many snapshots of a host one is looked for.
const mostSnapshots = 100_000

// modeOf is an entry's type and rights as ls -l writes them.
func modeOf(e queries.Node) string {
	first := map[string]byte{"dir": 'd', "symlink": 'l', "dev": 'b', "chardev": 'c', "fifo": 'p', "socket": 's'}[e.Type]
	if first == 0 {
		first = '-'
	}
	text := []byte{first}
	for i, c := range []byte("rwxrwxrwx") {
		if e.Mode&(1<<(8-i)) == 0 {
			c = '-'
		}
		text = append(text, c)
	}
	for _, special := range []struct {
		bit  uint32
		at   int
		is   byte
		bare byte
	}{{0o4000, 3, 's', 'S'}, {0o2000, 6, 's', 'S'}, {0o1000, 9, 't', 'T'}} {
		if e.Mode&special.bit != 0 {
			if text[special.at] == 'x' {
				text[special.at] = special.is
			} else {
				text[special.at] = special.bare
			}
		}
	}
	return string(text)
}

func ownerOf(name string, id uint32) string {
	if name != "" {
		return name
	}
	return strconv.FormatUint(uint64(id), 10)
}

// versionsCmd lists in which snapshots of a host a path is.
type versionsCmd struct {
	Host       string `arg:"" help:"Host, by name or ID."`
	Path       string `arg:"" help:"A file or directory, as snapshots name it."`
	Repository string `help:"Only in this one: name or ID."`
	database
}

// Run prints the versions, the newest first.
func (c *versionsCmd) Run(ctx context.Context) error {
	var host store.Host
	var in []topics.RepositoryID
	if err := c.with(ctx, func(s *store.Store) (err error) {
		if host, err = hostNamed(ctx, s, c.Host); err != nil {
			return err
		}
		if c.Repository != "" {
			r, err := repositoryNamed(ctx, s, c.Repository)
			in = []topics.RepositoryID{r.ID}
			return err
		}
		rows, err := s.Snapshots(ctx, host.ID, mostSnapshots)
		for _, n := range rows {
			if !slices.Contains(in, n.Repository) {
				in = append(in, n.Repository)
			}
		}
		if err == nil && len(in) == 0 {
			err = fmt.Errorf("the host %q has no snapshot yet", host.Name)
		}
		return err
	}); err != nil {
		return err
	}
	var all []queries.Version
	for _, id := range in {
		rows, err := queries.Client{Data: c.Data}.Versions(ctx, queries.VersionsQuery{Repository: id, Path: search.PathOf(c.Path), Host: host.ID})
		if err != nil {
			return err
		}
		all = append(all, rows...)
	}
	if len(all) == 0 {
		return errors.New("no snapshot of the host holds this path")
	}
	return columns("SNAPSHOT\tTAKEN\tTYPE\tSIZE\tCHANGED\tSAME AS", len(all), func(i int) string {
		v := all[i]
		return row(v.Snapshot[:16], moment(v.Time, ""), v.Type, words.Bytes(v.Size), moment(v.ModTime, ""), v.SameAs[:min(len(v.SameAs), 16)])
	})
}
