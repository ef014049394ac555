package api

import (
	"context"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type filesIn struct {
	ID       topics.RepositoryID `path:"id"`
	Snapshot string              `path:"snapshot" pattern:"^[0-9a-f]{8,64}$" doc:"its ID, or the beginning of it"`
	Path     string              `query:"path" default:"/" doc:"the directory, as the snapshot names it: with slashes on every system"`
	After    string              `query:"after" doc:"next of the page before; without it, the first page"`
	Host     string              `query:"host" doc:"which is to look, by ID or name; without it one that has the repository"`
}

type filesOut struct {
	Body struct {
		Path      string        `json:"path"`
		Entries   []nodeJSON    `json:"entries" nullable:"false" doc:"directories first, then by name; 250 at most"`
		Next      string        `json:"next" doc:"what to pass as after for the next page; empty: there is none"`
		Cached    bool          `json:"cached" doc:"no host was asked for this page"`
		Total     int           `json:"total" doc:"entries of the directory"`
		Truncated bool          `json:"truncated" doc:"it has more than are read"`
		Host      topics.HostID `json:"host" doc:"which looked"`
		Snapshot  string        `json:"snapshot" doc:"its whole ID"`
	}
}

type nodeJSON struct {
	Name   string     `json:"name"`
	Path   string     `json:"path"`
	Type   string     `json:"type" doc:"file, dir, symlink, dev, chardev, fifo or socket"`
	Size   uint64     `json:"size" doc:"bytes; 0 of what is no file"`
	Mode   uint32     `json:"mode" doc:"the twelve bits of POSIX, as a number"`
	MTime  *time.Time `json:"mtime"`
	UID    uint32     `json:"uid"`
	GID    uint32     `json:"gid"`
	User   string     `json:"user" doc:"empty where restic does not say it: only in folders that hold a link"`
	Group  string     `json:"group" doc:"empty where restic does not say it"`
	Target string     `json:"target" doc:"of a symbolic link"`
	Broken bool       `json:"broken" doc:"no valid UTF-8, shown with U+FFFD: only its directory can be asked for"`
}

// hostIn is a host that a query names by its ID or name, "" if it names none.
func (a *API) hostIn(ctx context.Context, text string) (topics.HostID, error) {
	if text == "" {
		return "", nil
	}
	h, err := a.Store.FindHost(ctx, text)
	if errors.Is(err, store.ErrNotFound) {
		return "", jobs.ErrNoHost
	}
	return h.ID, err
}

// Files lists a directory of a snapshot.
func (a *API) Files(ctx context.Context, in *filesIn) (*filesOut, error) {
	host, err := a.hostIn(ctx, in.Host)
	if err != nil {
		return nil, err
	}
	page, err := a.Queries.Files(ctx, session.Of(ctx).Actor(), queries.FilesQuery{Repository: in.ID, Snapshot: in.Snapshot, Path: in.Path,
		After: in.After, Host: host})
	if err != nil {
		return nil, err
	}
	out := &filesOut{}
	b := &out.Body
	b.Path, b.Next, b.Cached, b.Total, b.Truncated, b.Host, b.Snapshot = page.Path, page.Next, page.Cached, page.Total, page.Truncated,
		page.Host, page.Snapshot
	b.Entries = make([]nodeJSON, len(page.Entries))
	for i, e := range page.Entries {
		b.Entries[i] = nodeJSON{
			Name:   e.Name,
			Path:   e.Path,
			Type:   e.Type,
			Size:   e.Size,
			Mode:   e.Mode,
			MTime:  base.JSONTime(e.ModTime),
			UID:    e.UID,
			GID:    e.GID,
			User:   e.User,
			Group:  e.Group,
			Target: e.Target,
			Broken: e.Broken,
		}
	}
	return out, nil
}

type versionsIn struct {
	ID   topics.RepositoryID `path:"id"`
	Path string              `query:"path" required:"true" doc:"a file or directory, as snapshots name it"`
	Host string              `query:"host" doc:"whose snapshots, by ID or name; without it those of all hosts"`
}

type versionJSON struct {
	Snapshot string     `json:"snapshot"`
	Time     *time.Time `json:"time" doc:"of the snapshot"`
	Size     uint64     `json:"size"`
	MTime    *time.Time `json:"mtime"`
	Type     string     `json:"type"`
	SameAs   string     `json:"same_as" doc:"the newest snapshot with an equal one: same type, size and mtime; empty: this is the newest"`
}

// Versions lists in which snapshots a path is.
func (a *API) Versions(ctx context.Context, in *versionsIn) (*list1[versionJSON], error) {
	host, err := a.hostIn(ctx, in.Host)
	if err != nil {
		return nil, err
	}
	rows, err := a.Queries.Versions(ctx, session.Of(ctx).Actor(), queries.VersionsQuery{Repository: in.ID, Path: in.Path, Host: host})
	if err != nil {
		return nil, err
	}
	out := make([]versionJSON, len(rows))
	for i, v := range rows {
		out[i] = versionJSON{Snapshot: v.Snapshot, Time: base.JSONTime(v.Time), Size: v.Size, MTime: base.JSONTime(v.ModTime), Type: v.Type,
			SameAs: v.SameAs}
	}
	return &list1[versionJSON]{out}, nil
}

type directoriesIn struct {
	ID   topics.HostID `path:"id"`
	Path string        `query:"path" doc:"of the host; without it, the directories that its policy lets restores write below"`
}

type directoriesOut struct {
	Body struct {
		Path      string          `json:"path" doc:"links resolved"`
		Entries   []directoryJSON `json:"entries" nullable:"false"`
		FreeBytes *uint64         `json:"free_bytes" doc:"what the agent may still write there; null: not known"`
		Truncated bool            `json:"truncated" doc:"there are more than are listed"`
	}
}

type directoryJSON struct {
	Name     string `json:"name"`
	Writable bool   `json:"writable" doc:"the agent may make files there"`
}

// Directories lists directories of a host.
func (a *API) Directories(ctx context.Context, in *directoriesIn) (*directoriesOut, error) {
	page, err := a.Queries.Directories(ctx, session.Of(ctx).Actor(), in.ID, in.Path)
	if err != nil {
		return nil, err
	}
	out := &directoriesOut{}
	out.Body.Path, out.Body.FreeBytes, out.Body.Truncated = page.Path, page.FreeBytes, page.Truncated
	out.Body.Entries = make([]directoryJSON, len(page.Entries))
	for i, d := range page.Entries {
		out.Body.Entries[i] = directoryJSON{Name: d.Name, Writable: d.Writable}
	}
	return out, nil
}
