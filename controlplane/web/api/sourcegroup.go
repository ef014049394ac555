package api

import (
	"context"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type groupJSON struct {
	ID            topics.SourceGroupID `json:"id"`
	Host          topics.HostID        `json:"host"`
	Name          string               `json:"name"`
	Repository    topics.RepositoryID  `json:"repository"`
	Paths         []string             `json:"paths" nullable:"false"`
	Excludes      []string             `json:"excludes" nullable:"false"`
	OneFileSystem bool                 `json:"one_file_system"`
	LiveFiles     bool                 `json:"live_files"`
	ShadowOnly    bool                 `json:"shadow_copy_only"`
	AllowEmpty    bool                 `json:"allow_empty"`
	Hooks         topics.Hooks         `json:"hooks"`
	Limits        topics.Limits        `json:"limits"`
	Tuning        topics.Tuning        `json:"tuning"`
	Warnings      []string             `json:"warnings" nullable:"false" doc:"what was saved and is most likely not meant, in sentences"`
}

type putSourceGroupIn struct {
	ID   topics.HostID `path:"id"`
	Name string        `path:"name" doc:"1 to 100 characters, the host's own"`
	Body struct {
		Repository    string   `json:"repository" doc:"ID or name"`
		Paths         []string `json:"paths" doc:"in full"`
		Excludes      []string `json:"excludes,omitempty" doc:"patterns, as restic's --exclude takes them"`
		OneFileSystem bool     `json:"one_file_system,omitempty"`

		LiveFiles  *bool          `json:"live_files,omitempty" doc:"on Windows: no shadow copy; left out, it stays as it is"`
		ShadowOnly *bool          `json:"shadow_copy_only,omitempty" doc:"without a shadow copy the backup fails; left out, it stays as it is"`
		AllowEmpty *bool          `json:"allow_empty,omitempty" doc:"a backup of no files is a good one; left out, it stays as it is"`
		Hooks      *topics.Hooks  `json:"hooks,omitempty" doc:"names in the host's own policy; left out, they stay as they are"`
		Limits     *topics.Limits `json:"limits,omitempty" doc:"KiB a second, minutes of the day; left out, they stay as they are"`
		Tuning     *topics.Tuning `json:"tuning,omitempty" doc:"how restic makes the backups; left out, it stays as it is"`
	}
}

type putSourceGroupOut struct{ Body groupJSON }

func (a *API) PutSourceGroup(ctx context.Context, in *putSourceGroupIn) (*putSourceGroupOut, error) {
	row, err := a.Sources.Put(ctx, session.Of(ctx).Name, in.ID, in.Name, sources.Input{
		Repository:    &in.Body.Repository,
		Paths:         &in.Body.Paths,
		Excludes:      &in.Body.Excludes,
		OneFileSystem: &in.Body.OneFileSystem,
		LiveFiles:     in.Body.LiveFiles,
		ShadowOnly:    in.Body.ShadowOnly,
		AllowEmpty:    in.Body.AllowEmpty,
		Hooks:         in.Body.Hooks,
		Limits:        in.Body.Limits,
		Tuning:        in.Body.Tuning,
	})
	if err != nil {
		return nil, problem.Saving("source group", err)
	}
	return &putSourceGroupOut{groupOf(row)}, nil
}

type patchSourceGroupIn struct {
	ID   topics.HostID `path:"id"`
	Name string        `path:"name"`
	Body struct {
		Name          *string        `json:"name,omitempty" doc:"a new name"`
		Repository    *string        `json:"repository,omitempty" doc:"ID or name"`
		Paths         *[]string      `json:"paths,omitempty" doc:"in full"`
		Excludes      *[]string      `json:"excludes,omitempty" doc:"patterns, as restic's --exclude takes them"`
		OneFileSystem *bool          `json:"one_file_system,omitempty"`
		LiveFiles     *bool          `json:"live_files,omitempty" doc:"on Windows: no shadow copy"`
		ShadowOnly    *bool          `json:"shadow_copy_only,omitempty" doc:"on Windows: without a shadow copy the backup fails"`
		AllowEmpty    *bool          `json:"allow_empty,omitempty" doc:"a backup of no files is a good one"`
		Hooks         *topics.Hooks  `json:"hooks,omitempty" doc:"names in the host's own policy"`
		Limits        *topics.Limits `json:"limits,omitempty" doc:"KiB a second, minutes of the day"`
		Tuning        *topics.Tuning `json:"tuning,omitempty" doc:"how restic makes the backups, all of it"`
	}
}

// PatchSourceGroup changes a source group that is there; what is left out stays.
func (a *API) PatchSourceGroup(ctx context.Context, in *patchSourceGroupIn) (*putSourceGroupOut, error) {
	row, err := a.Sources.Change(ctx, session.Of(ctx).Name, in.ID, in.Name, sources.Input{
		Name:          in.Body.Name,
		Repository:    in.Body.Repository,
		Paths:         in.Body.Paths,
		Excludes:      in.Body.Excludes,
		OneFileSystem: in.Body.OneFileSystem,
		LiveFiles:     in.Body.LiveFiles,
		ShadowOnly:    in.Body.ShadowOnly,
		AllowEmpty:    in.Body.AllowEmpty,
		Hooks:         in.Body.Hooks,
		Limits:        in.Body.Limits,
		Tuning:        in.Body.Tuning,
	})
	if err != nil {
		return nil, problem.Saving("source group", err)
	}
	return &putSourceGroupOut{groupOf(row)}, nil
}

func groupOf(row store.SourceGroup) groupJSON {
	t := row.Topic()
	return groupJSON{
		ID:            row.ID,
		Host:          row.Host,
		Name:          row.Name,
		Repository:    row.Repository,
		Paths:         filled(row.Paths),
		Excludes:      filled(row.Excludes),
		OneFileSystem: row.OneFileSystem,
		LiveFiles:     t.LiveFiles,
		ShadowOnly:    t.ShadowCopyOnly,
		AllowEmpty:    t.AllowEmpty,
		Hooks:         t.Hooks,
		Limits:        t.Limits,
		Tuning:        t.Tuning,
		Warnings:      filled(sources.Warnings(row)),
	}
}
