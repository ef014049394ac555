package repositorypages

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/mend"
	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/controlplane/plain"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// mendJobs is how many jobs of a repository are looked through for the steps of a repair.
const mendJobs = 200

// way reads how far the repair of a repository is.
func (s *Pages) way(ctx context.Context, id topics.RepositoryID) (mend.Way, error) {
	var all []store.Job
	for _, kind := range []topics.JobKind{topics.CheckJob, topics.RepairJob} {
		list, err := s.Store.JobList(ctx, store.JobFilter{Kind: kind, Search: &store.JobSearch{Repository: id}}, "", mendJobs)
		if err != nil {
			return mend.Way{}, err
		}
		all = append(all, list...)
	}
	slices.SortStableFunc(all, func(a, b store.Job) int { return strings.Compare(string(b.ID), string(a.ID)) })
	return mend.Find(all), nil
}

// mendButtons are what is pressed for each step, by kind and what.
var mendButtons = map[string]string{
	"check": "Check", "repair packs": "Save what is whole", "repair index": "Make the index anew",
	"repair snapshots, dry": "See what is lost", "repair snapshots": "Take it out for good",
}

// MendPage leads through the repair of a repository.
func (s *Pages) MendPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	row, err := s.repositoryView(ctx, base.RepositoryID(r), views.RepositoryFilter{})
	if err != nil {
		return err
	}
	way, err := s.way(ctx, base.RepositoryID(r))
	if err != nil {
		return err
	}
	v := views.Mend{ID: row.ID, Name: row.Name, Whole: way.Whole, Keepers: row.Keepers, Unreadable: way.Unreadable}
	for _, x := range way.Steps {
		step := views.MendStep{Title: x.Title, Text: x.Text, Effect: x.Effect, State: string(x.State), Found: x.Found}
		if x.Job != "" {
			step.JobURL = views.JobURL(string(x.Job))
		}
		if x.State == mend.Now || way.Whole {
			step.Kind = string(x.Kind)
			what := string(x.Kind)
			if x.Ask.What != "" {
				what += " " + x.Ask.What
			}
			if x.Ask.DryRun {
				what += ", dry"
			}
			step.Button = mendButtons[what]
			step.Danger = what == "repair snapshots" || what == "repair packs"
			set := func(name, value string) {
				if value != "" {
					step.Fields = append(step.Fields, [2]string{name, value})
				}
			}
			yes := map[bool]string{true: "1"}
			set("what", x.Ask.What)
			set("packs", strings.Join(x.Ask.Packs, "\n"))
			set("read_data", yes[x.Ask.ReadData])
			set("subset", x.Ask.Subset)
			set("dry_run", yes[x.Ask.DryRun])
			set("dry_run_job", string(x.DryRun))
			if what == "repair snapshots" {
				step.Note = "If the hosts still have what is lost, back them up first and make another dry run: what is written anew is not lost."
			}
		}
		v.Steps = append(v.Steps, step)
	}
	s.Render(w, r, http.StatusOK, views.MendPage(s.Shell(r, "Repair "+row.Name, "repositories", layout.ToRepositories,
		views.Link{Text: row.Name, URL: views.RepositoryURL(row.ID)}, views.Link{Text: "Repair"}), v))
	return nil
}

// mounting is how to look around in a repository with restic alone; nothing where each host
// has a place of its own, which its restores know. None of it holds a secret.
func mounting(r store.Repository, access store.RepositoryAccess) (list []views.PlainCommand) {
	if !places.Shared(r.Location) {
		return nil
	}
	at := plain.Repository{Address: r.Location, Flags: plain.Flags(access.Env, access.Files, r.Options.V)}
	for i, c := range []plain.Command{at.Setup(), at.Mount()} {
		list = append(list, views.PlainCommand{ID: "mount-" + strconv.Itoa(i), Title: c.Title, Text: c.Text, Sh: c.Sh, PowerShell: c.PowerShell})
	}
	return list
}

// ChangePage is where snapshots are tagged, and files are taken out of them. It begins with
// the snapshots that are named, those of a source group, or those of a dry run.
func (s *Pages) ChangePage(w http.ResponseWriter, r *http.Request) error {
	ctx, id, q := r.Context(), base.RepositoryID(r), r.URL.Query()
	row, err := s.repositoryView(ctx, id, views.RepositoryFilter{})
	if err != nil {
		return err
	}
	v := views.ChangeSnapshots{ID: row.ID, Name: row.Name, Keepers: row.Keepers}
	all, err := s.Store.SnapshotsOf(ctx, id, store.SnapshotFilter{}, store.SnapshotPlace{}, 10_000)
	if err != nil {
		return err
	}
	chosen, groups, hosts := []string{}, map[topics.SourceGroupID]string{}, map[topics.HostID]string{}
	var of []topics.SourceGroupID
	whose := map[topics.SourceGroupID]topics.HostID{}
	for _, n := range all {
		if n.SourceGroup != "" && groups[n.SourceGroup] == "" {
			groups[n.SourceGroup], whose[n.SourceGroup] = string(n.SourceGroup), n.Host
			of = append(of, n.SourceGroup)
		}
	}
	if err := s.Store.GroupNames(ctx, of, groups); err != nil {
		return err
	}
	if err := s.Store.HostNames(ctx, slices.Collect(maps.Values(whose)), hosts); err != nil {
		return err
	}
	for _, g := range of { // many hosts call theirs alike
		v.Groups = append(v.Groups, views.Link{Text: hosts[whose[g]] + " · " + groups[g], URL: views.ChangeURL(row.ID, "group", string(g))})
	}
	v.Groups = v.Groups[:min(len(v.Groups), 20)]
	switch job := topics.JobID(q.Get("dry_run")); {
	case job != "":
		j, err := s.Store.Job(ctx, job)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if o := j.Operation.V; err == nil && j.Repository == id && j.Kind == topics.RewriteJob && o != nil && o.DryRun {
			chosen = o.Snapshots
			d := outcome.Of(j)
			v.Seen = &views.ChangeSeen{Job: string(j.ID), JobURL: views.JobURL(string(j.ID)), Text: d.Text,
				Exclude: strings.Join(o.Exclude, "\n"), IgnoreCase: o.IgnoreCase}
			switch {
			case !j.State.Ended():
				v.Seen.Text, v.Seen.Why = "It has not ended yet", "Load this page again when it has."
			case j.State != topics.Succeeded || j.Result.V == nil || j.Result.V.Remade == nil:
				v.Seen.Text, v.Seen.Why = "It did not end well", "Its job says why."
			default:
				v.Seen.Some = j.Result.V.Remade.Changed+j.Result.V.Remade.Removed > 0
			}
		}
	case q.Get("group") != "":
		for _, n := range all {
			if string(n.SourceGroup) == q.Get("group") && len(chosen) < topics.MaxPaths {
				chosen = append(chosen, n.ID)
			}
		}
	default:
		for _, text := range q["snapshot"] {
			if n, err := s.Store.SnapshotByID(ctx, id, text); err == nil {
				chosen = append(chosen, n.ID)
			}
		}
	}
	for _, n := range all {
		if !slices.Contains(chosen, n.ID) {
			continue
		}
		for _, t := range n.Tags {
			if !strings.HasPrefix(t, topics.OwnTag) && !slices.Contains(v.Tags, t) && len(v.Tags) < 20 {
				v.Tags = append(v.Tags, t)
			}
		}
	}
	v.Chosen = strings.Join(chosen, "\n")
	s.Render(w, r, http.StatusOK, views.ChangePage(s.Shell(r, "Change snapshots", "repositories", layout.ToRepositories,
		views.Link{Text: row.Name, URL: views.RepositoryURL(row.ID)}, views.Link{Text: "Change snapshots"}), v))
	return nil
}
