package repositorypages

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/importing"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store/imports"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// The page of an import has at most so many rows, and fewer where each has many source groups
// to choose from: so many in all, as long as some rows are left.
const shownKins, fewKins, shownGroups = 100, 10, 20_000

// shownTaken is how many rows of an import that was made are shown.
const shownTaken = 50

// rowsOf is how many rows the page has where so many source groups can be chosen.
func rowsOf(groups int) int {
	return max(fewKins, min(shownKins, shownGroups/max(1, groups)))
}

// ImportPage proposes whose the snapshots are that no job of ours made. With what somebody
// chose, it says what follows; nothing is changed.
func (s *Pages) ImportPage(w http.ResponseWriter, r *http.Request) error {
	id := base.RepositoryID(r)
	k, err := s.Imports.Look(r.Context(), id)
	if err != nil {
		return err
	}
	asked := r.URL.Query()
	v := s.importView(k, asked)
	status := http.StatusOK
	if asked.Has("review") {
		choices := chosen(k, asked)
		c, err := s.Imports.Weigh(r.Context(), k, choices, s.Now())
		var wrong field.Errors
		switch {
		case errors.As(err, &wrong):
			status, v.Wrong = http.StatusUnprocessableEntity, layout.Besides("", wrong)
		case err != nil:
			return err
		default:
			v.Review = reviewOf(k, choices, c)
		}
	}
	sh := s.Shell(r, "Take in what "+v.Repository+" holds", "repositories", layout.ToRepositories,
		views.Link{Text: v.Repository, URL: views.RepositoryURL(string(id))}, views.Link{Text: "Take in"})
	s.Render(w, r, status, views.ImportPage(sh, v))
	return nil
}

// TakeIn takes in what a person confirmed.
func (s *Pages) TakeIn(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	id, ctx := base.RepositoryID(r), r.Context()
	var choices []imports.Choice
	for name := range r.PostForm { // also of rows that are gone meanwhile
		key, is := strings.CutPrefix(name, "g.")
		if !is {
			continue
		}
		n, err := strconv.Atoi(r.PostForm.Get("c." + key))
		if err != nil {
			return layout.BadForm(err)
		}
		c := imports.Choice{Kin: key, Group: topics.SourceGroupID(r.PostForm.Get(name)), Newer: r.PostForm.Get("n."+key) != "", Shown: &n,
			Seen: r.PostForm.Get("d." + key)}
		if c.Seen == "" {
			return layout.BadForm(errors.New("a row without its digest"))
		}
		choices = append(choices, c)
	}
	slices.SortFunc(choices, func(a, b imports.Choice) int { return strings.Compare(a.Kin, b.Kin) })
	if _, _, err := s.Imports.Confirm(ctx, session.Of(ctx).Name, id, choices); err != nil {
		return layout.NotSavedHere("import", err)
	}
	layout.Redirect(w, r, views.RepositoryImportURL(string(id)))
	return nil
}

// UndoImport gives what was taken in back to nobody.
func (s *Pages) UndoImport(w http.ResponseWriter, r *http.Request) error {
	id := base.RepositoryID(r)
	if err := s.Imports.Undo(r.Context(), session.Of(r.Context()).Name, id, base.Param(r, "import")); err != nil {
		return err
	}
	layout.Redirect(w, r, views.RepositoryImportURL(string(id)))
	return nil
}

// chosen are the choices of a form, in the order of the proposals.
func chosen(k importing.Known, f url.Values) (list []imports.Choice) {
	for _, p := range k.Proposals {
		if g := f.Get("g." + p.Key); g != "" {
			list = append(list, imports.Choice{Kin: p.Key, Group: topics.SourceGroupID(g), Newer: f.Get("n."+p.Key) != ""})
		}
	}
	return list
}

func (s *Pages) importView(k importing.Known, f url.Values) views.Import {
	v := views.Import{RepositoryID: string(k.Repository.ID), Repository: k.Repository.Name, Listed: s.When(k.Repository.ListedAt)}
	for _, p := range k.Proposals {
		if len(v.Rows) == rowsOf(len(k.Groups)) {
			v.More++
			continue
		}
		row := views.ImportRow{Key: p.Key, Hostname: p.Hostname, Place: k.Hosts[p.Place], Paths: p.Paths, Tags: p.Tags, Varied: p.Varied,
			Count: len(p.List), Ahead: p.Ahead, Backdated: p.Backdated() > 0, Why: p.Why, Earlier: s.When(p.Earlier), Chosen: string(p.Group),
			TakeNewer: f.Get("n."+p.Key) != ""}
		if f.Has("g." + p.Key) {
			row.Chosen = f.Get("g." + p.Key)
		}
		if n := len(p.List); n > 0 {
			row.Newest, row.Oldest = s.When(p.List[0].Time), s.When(p.List[n-1].Time)
		}
		for _, g := range k.Groups {
			if p.Place == "" || p.Place == g.Host {
				row.Groups = append(row.Groups, views.Option{Value: string(g.ID), Text: k.Hosts[g.Host] + " · " + g.Name})
			}
		}
		// What the repository's own hosts have comes as they do; what fits comes first.
		slices.SortStableFunc(row.Groups, func(a, b views.Option) int { return strings.Compare(a.Text, b.Text) })
		row.Newer = k.Newer(p.Key, topics.SourceGroupID(row.Chosen))
		if p.Host != "" && p.Group == "" && len(p.List) > 0 {
			row.NewGroup = views.NewGroupURL(string(p.Host), string(k.Repository.ID), p.Paths)
		}
		v.Rows = append(v.Rows, row)
	}
	for _, i := range k.Imports {
		d := views.ImportDone{Doing: i.Doing, ID: i.ID, At: s.When(i.At), By: i.By, Left: i.Left, Snapshots: i.Snapshots,
			UndoneAt: s.When(i.UndoneAt), UndoneBy: i.UndoneBy}
		n := 0
		for _, r := range k.Rows {
			if r.Import == i.ID {
				if n++; n > shownTaken {
					continue
				}
				d.Rows = append(d.Rows, taken(r.Snapshots, r.Hostname, r.Paths, nameOf(k.Names, r.Group), nameOf(k.Hosts, r.Host)))
			}
		}
		if n > shownTaken {
			d.Rows = append(d.Rows, words.Count(uint64(n-shownTaken), "more row", "more rows"))
		}
		v.Done = append(v.Done, d)
	}
	return v
}

// nameOf is what something is called; its ID if it was removed.
func nameOf[K ~string](names map[K]string, id K) string {
	if names[id] != "" {
		return names[id]
	}
	return string(id)
}

// taken says how many of which snapshots are whose.
func taken(n int, hostname string, paths []string, group, host string) string {
	return words.Count(uint64(n), "snapshot", "snapshots") + " of " + hostname + ", " + strings.Join(paths, ", ") + ": to the source group " +
		group + " of " + host
}

// reviewOf is what follows from choices.
func reviewOf(k importing.Known, choices []imports.Choice, c importing.Consequence) *views.ImportReview {
	v := &views.ImportReview{Count: c.Taken, Doubts: k.Doubts(choices), Effect: c.Words(), Goes: c.Go+c.Held+c.Ours > 0}
	for _, choice := range choices {
		p, _ := k.Proposal(choice.Kin)
		g, _ := k.Group(choice.Group)
		n := k.Given(choice)
		v.Rows = append(v.Rows, views.ImportChoice{Key: choice.Kin, Group: string(choice.Group), Newer: choice.Newer, Count: n, Digest: p.Seen,
			Text: taken(n, p.Hostname, p.Paths, g.Name, k.Hosts[g.Host])})
	}
	return v
}
