package api

import (
	"context"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/importing"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store/imports"
	"github.com/restic-manager/restic-manager/topics"
)

// A choiceIn gives the snapshots of one line of a proposal to a source group.
type choiceIn struct {
	Key       string               `json:"key" doc:"of the proposal"`
	Group     topics.SourceGroupID `json:"source_group" doc:"ID of the source group that they are of from then on"`
	Newer     bool                 `json:"newer,omitempty" doc:"those too that are newer than our first backup of it, or backdated"`
	Snapshots *int                 `json:"snapshots,omitempty" doc:"as many as were shown; if there are others by now, nothing is done"`
	Digest    string               `json:"digest,omitempty" doc:"of the proposal that was shown; if it has changed, nothing is done"`
}

type importIn struct {
	Body struct {
		RepositoryBody
		Repository *string     `json:"repository,omitempty" doc:"ID or name of one that is there; left out, the other fields register one"`
		Confirm    *[]choiceIn `json:"confirm,omitempty" doc:"what a person confirmed; left out, nothing is taken in"`
		DryRun     *bool       `json:"dry_run,omitempty" doc:"with confirm: only say what the rules would do then"`
		Limit      *int        `json:"limit,omitempty" minimum:"0" maximum:"1000" doc:"at most so many proposals; 200 if it is left out"`
		Offset     *int        `json:"offset,omitempty" minimum:"0" doc:"leave out so many of them first"`
	}
}

// A proposalJSON is snapshots that are alike, with the source group that they may be of.
type proposalJSON struct {
	Key         string               `json:"key"`
	Hostname    string               `json:"hostname"`
	Paths       []string             `json:"paths" nullable:"false"`
	Tags        []string             `json:"tags" nullable:"false" doc:"plan=… stands for any that are as of our backups"`
	Varied      int                  `json:"varied" doc:"how many other tags they have, which vary from one to the next, or 0"`
	Place       topics.HostID        `json:"place" doc:"the host at whose place they are, or empty"`
	Snapshots   int                  `json:"snapshots" doc:"how many are taken in if source_group is confirmed"`
	Newer       int                  `json:"newer" doc:"others that are newer than our first backup of it, or backdated, which are not"`
	Backdated   int                  `json:"backdated" doc:"of all, those that say they are older than a listing that had them not"`
	Copies      int                  `json:"copies" doc:"of all, those that are copies of snapshots in other repositories here"`
	Counted     int                  `json:"counted" doc:"others: copies of what counts there, which the next listing counts here"`
	Ahead       int                  `json:"ahead" doc:"others of the future, which cannot be"`
	Oldest      *time.Time           `json:"oldest"`
	Newest      *time.Time           `json:"newest"`
	Host        topics.HostID        `json:"host" doc:"that seems to have made them, or empty"`
	HostName    string               `json:"host_name" doc:"what that is called here, or empty"`
	Machine     string               `json:"machine" doc:"what its machine calls itself, or empty"`
	SourceGroup topics.SourceGroupID `json:"source_group" doc:"that they seem to be of, or empty if that is in doubt"`
	Why         string               `json:"why"`
	Doubt       string               `json:"doubt" doc:"what to make sure of before it is confirmed, or empty: its machine has another name"`
	Digest      string               `json:"digest" doc:"of what is shown here, to be sent with what is confirmed"`
	TakenBefore *time.Time           `json:"taken_before" doc:"when some of these were last taken in, or null"`
}

// A choosableJSON is a source group that snapshots can be given to.
type choosableJSON struct {
	ID       topics.SourceGroupID `json:"id"`
	Name     string               `json:"name"`
	Host     topics.HostID        `json:"host"`
	HostName string               `json:"host_name"`
	Paths    []string             `json:"paths" nullable:"false"`
	Here     bool                 `json:"here" doc:"it is backed up into this repository"`
}

// A consequenceJSON is what the rules do with snapshots that are taken in.
type consequenceJSON struct {
	Snapshots int  `json:"snapshots" doc:"that are taken in"`
	Stay      int  `json:"stay" doc:"of them, those that the repository's rules keep"`
	Go        int  `json:"go" doc:"of them, those that the next forget removes"`
	Held      int  `json:"held" doc:"of them, those that a forget removes once an administrator approves"`
	Ours      int  `json:"ours" doc:"snapshots of our own jobs that go besides, as these stand for their time"`
	Keeper    bool `json:"keeper" doc:"there is a keeper that carries the rules out"`
}

type importOut struct {
	Body struct {
		Repository topics.RepositoryID `json:"repository"`
		ListedAt   *time.Time          `json:"listed_at" doc:"null: no host has listed it yet, and nothing can be proposed"`
		Jobs       []topics.JobID      `json:"jobs" nullable:"false" doc:"that were asked for to list it; look again after they ended"`
		Waits      string              `json:"waits" doc:"why no host could be asked to list it, or empty"`
		Proposals  []proposalJSON      `json:"proposals" nullable:"false"`
		More       int                 `json:"more" doc:"how many proposals come after these; offset leads to them"`
		Groups     []choosableJSON     `json:"groups" nullable:"false" doc:"that can be chosen"`
		Result     *consequenceJSON    `json:"result" doc:"of what was confirmed, else null"`
		Import     string              `json:"import" doc:"ID of what was taken in, by which it is undone, or empty"`
	}
}

// ImportRepository registers a repository with what it holds, proposes whose that is, and
// takes in what a person confirmed.
func (a *API) ImportRepository(ctx context.Context, in *importIn) (*importOut, error) {
	b, by, out := in.Body, session.Of(ctx), &importOut{}
	dry := b.DryRun != nil && *b.DryRun
	bad := field.Errors{}
	if b.Repository != nil && (b.URL != nil || b.Name != nil) {
		bad.Say("repository", "Name one that is there, or register one by its name and URL; not both.")
	}
	if b.Repository == nil && b.Confirm != nil {
		bad.Say("confirm", "Name the repository: there is nothing to confirm before a host has listed it.")
	}
	if dry && b.Confirm == nil {
		bad.Say("dry_run", "Only together with confirm.")
	}
	if err := bad.Err(); err != nil {
		return nil, problem.Saving("import", err)
	}
	var id topics.RepositoryID
	if b.Repository == nil {
		input := b.input()
		input.Exists = true
		r, err := a.Repositories.Add(ctx, by.Name, input)
		if err != nil {
			return nil, problem.Saving("repository", err)
		}
		id = r.ID
	} else {
		r, err := a.Store.FindRepository(ctx, *b.Repository)
		if err != nil {
			return nil, problem.NoRepository
		}
		id = r.ID
	}
	known, err := a.Imports.Look(ctx, id)
	if err != nil {
		return nil, err
	}
	out.Body.Jobs = []topics.JobID{}
	if known.Repository.ListedAt == 0 {
		jobs, err := a.Repositories.Refresh(ctx, by.Actor(), id, "")
		if err != nil && len(jobs) == 0 {
			p := problem.Of(err)
			out.Body.Waits = strings.TrimSpace(p.Title + ". " + p.Say + " " + p.Do)
		}
		out.Body.Jobs = append(out.Body.Jobs, jobs...)
	}
	if b.Confirm != nil {
		var choices []imports.Choice
		for _, c := range *b.Confirm {
			choices = append(choices, imports.Choice{Kin: c.Key, Group: c.Group, Newer: c.Newer, Shown: c.Snapshots, Seen: c.Digest})
		}
		c, err := a.Imports.Weigh(ctx, known, choices, a.Now())
		if err != nil {
			return nil, problem.Saving("import", err)
		}
		out.Body.Result = &consequenceJSON{Snapshots: c.Taken, Stay: c.Stay, Go: c.Go, Held: c.Held, Ours: c.Ours, Keeper: c.Keeper}
		if !dry {
			if out.Body.Import, _, err = a.Imports.Confirm(ctx, by.Name, id, choices); err != nil {
				return nil, problem.Saving("import", err)
			}
			if known, err = a.Imports.Look(ctx, id); err != nil {
				return nil, err
			}
		}
	}
	out.Body.Repository, out.Body.ListedAt = id, base.JSONTime(known.Repository.ListedAt)
	shown := known.Proposals[min(valueOf(b.Offset, 0), len(known.Proposals)):]
	out.Body.More = max(0, len(shown)-valueOf(b.Limit, shownProposals))
	shown = shown[:len(shown)-out.Body.More]
	out.Body.Proposals, out.Body.Groups = make([]proposalJSON, len(shown)), make([]choosableJSON, len(known.Groups))
	for i, p := range shown {
		out.Body.Proposals[i] = proposalOf(p)
	}
	for i, g := range known.Groups {
		out.Body.Groups[i] = choosableJSON{ID: g.ID, Name: g.Name, Host: g.Host, HostName: known.Hosts[g.Host],
			Paths: filled(g.Paths), Here: g.Here}
	}
	return out, nil
}

// shownProposals is how many proposals an answer has unless more or fewer are asked for.
const shownProposals = 200

func valueOf(n *int, otherwise int) int {
	if n == nil {
		return otherwise
	}
	return *n
}

func proposalOf(p importing.Proposal) proposalJSON {
	j := proposalJSON{
		Key:         p.Key,
		Hostname:    p.Hostname,
		Paths:       filled(p.Paths),
		Tags:        filled(p.Tags),
		Varied:      p.Varied,
		Place:       p.Place,
		Snapshots:   p.Given(),
		Newer:       p.Newer,
		Backdated:   p.Backdated(),
		Copies:      p.Copies(),
		Counted:     p.Counted,
		Ahead:       p.Ahead,
		Host:        p.Host,
		HostName:    p.Name,
		Machine:     p.Machine,
		SourceGroup: p.Group,
		Why:         p.Why,
		Doubt:       p.Doubt,
		Digest:      p.Seen,
		TakenBefore: base.JSONTime(p.Earlier),
	}
	if n := len(p.List); n > 0 {
		j.Newest, j.Oldest = base.JSONTime(p.List[0].Time), base.JSONTime(p.List[n-1].Time)
	}
	return j
}

// An importJSON is what a person took in at once.
type importJSON struct {
	ID        string          `json:"id"`
	At        *time.Time      `json:"at"`
	By        string          `json:"by"`
	Snapshots int             `json:"snapshots" doc:"how many were taken in"`
	Left      int             `json:"left" doc:"of them, those that exist; 0 once it was undone"`
	UndoneAt  *time.Time      `json:"undone_at" doc:"or null"`
	UndoneBy  string          `json:"undone_by" doc:"or empty"`
	Rows      []importRowJSON `json:"rows" nullable:"false"`
}

type importRowJSON struct {
	Hostname    string               `json:"hostname"`
	Paths       []string             `json:"paths" nullable:"false"`
	Tags        []string             `json:"tags" nullable:"false"`
	Host        topics.HostID        `json:"host"`
	SourceGroup topics.SourceGroupID `json:"source_group"`
	Snapshots   int                  `json:"snapshots"`
}

// ListImports lists what was taken in to a repository.
func (a *API) ListImports(ctx context.Context, in *repositoryIn) (*list1[importJSON], error) {
	if _, err := repositories.Find(ctx, a.Store, in.ID); err != nil {
		return nil, err
	}
	list, rows, err := a.Store.Imports(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := make([]importJSON, len(list))
	for i, n := range list {
		out[i] = importJSON{ID: n.ID, At: base.JSONTime(n.At), By: n.By, Snapshots: n.Snapshots, Left: n.Left,
			UndoneAt: base.JSONTime(n.UndoneAt), UndoneBy: n.UndoneBy, Rows: []importRowJSON{}}
		for _, r := range rows {
			if r.Import == n.ID {
				out[i].Rows = append(out[i].Rows, importRowJSON{Hostname: r.Hostname, Paths: filled(r.Paths), Tags: filled(r.Tags), Host: r.Host,
					SourceGroup: r.Group, Snapshots: r.Snapshots})
			}
		}
	}
	return &list1[importJSON]{out}, nil
}

type undoImportIn struct {
	ID     topics.RepositoryID `path:"id"`
	Import string              `path:"import"`
}

// UndoImport gives what an import took in back to nobody.
func (a *API) UndoImport(ctx context.Context, in *undoImportIn) (*struct{}, error) {
	return nil, a.Imports.Undo(ctx, session.Of(ctx).Name, in.ID, in.Import)
}
