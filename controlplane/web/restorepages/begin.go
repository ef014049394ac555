package restorepages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/moments"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drafts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// pageMoments is how many snapshots one page lists.
const pageMoments = 20

// List shows the visitor's drafts.
func (s *Pages) List(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	user, err := owner(ctx)
	if err != nil {
		return err
	}
	rows, err := s.Store.Drafts().List(ctx, user)
	if err != nil {
		return err
	}
	names, hosts := map[topics.RepositoryID]string{}, map[topics.HostID]string{}
	var ids []topics.RepositoryID
	var to []topics.HostID
	for _, d := range rows {
		ids, to = append(ids, d.Repository), append(to, d.Body.V.Target.Host)
	}
	if err := s.Store.RepositoryNames(ctx, ids, names); err != nil {
		return err
	}
	if err := s.Store.HostNames(ctx, to, hosts); err != nil {
		return err
	}
	var v views.Drafts
	for _, d := range rows {
		b := d.Body.V
		row := views.Drafted{ID: d.ID, Repository: names[d.Repository], To: hosts[b.Target.Host], Touched: s.When(d.TouchedAt), Text: said(*b)}
		if b.Ran != "" {
			row.Ran = views.Link{Text: "Open the job", URL: views.JobURL(string(b.Ran))}
		}
		v.Rows = append(v.Rows, row)
	}
	s.Render(w, r, http.StatusOK, views.DraftsPage(s.Shell(r, "Restore", "restore", views.Link{Text: "Restore"}), v))
	return nil
}

// said is what a draft holds, in a few words.
func said(b drafts.Body) string {
	if len(b.Items) == 0 {
		return "Nothing chosen yet"
	}
	text := words.Cut(b.Items[0].Path, 60)
	if n := len(b.Items) - 1; n > 0 {
		text += " and " + words.Count(uint64(n), "other", "others")
	}
	return text
}

// Open leads to the page on which a draft goes on.
func (s *Pages) Open(w http.ResponseWriter, r *http.Request) error {
	d, err := s.draft(r)
	if err != nil {
		return err
	}
	page, b := views.RestoreSnapshot, d.Body.V
	switch {
	case len(b.Items) > 0 && b.Target.Host != "" && b.DryRun != "":
		page = views.RestoreReview
	case len(b.Items) > 0 && b.Target.Host != "":
		page = views.RestoreDestination
	case b.Snapshot != "":
		page = views.RestoreFiles
	}
	layout.Redirect(w, r, views.DraftURL(d.ID, page))
	return nil
}

// NewForm shows the snapshots to begin with. Nothing is kept before one is chosen.
func (s *Pages) NewForm(w http.ResponseWriter, r *http.Request) error {
	v := views.RestoreMoments{Restore: views.Restore{Page: views.RestoreSnapshot}, Action: views.RestoreNewURL("", "", "", "")}
	q := r.URL.Query()
	if snapshot := q.Get("snapshot"); snapshot != "" {
		v.ChosenSnapshot = q.Get("repository") + "/" + snapshot
	}
	return s.moments(w, r, http.StatusOK, v, drafts.Draft{Body: store.JSON[drafts.Body]{V: &drafts.Body{}}}, q)
}

// MomentPage shows the snapshots to go on with.
func (s *Pages) MomentPage(w http.ResponseWriter, r *http.Request) error {
	d, err := s.draft(r)
	if err != nil {
		return err
	}
	return s.momentPage(w, r, http.StatusOK, d, nil, r.URL.Query())
}

func (s *Pages) momentPage(w http.ResponseWriter, r *http.Request, status int, d drafts.Draft, note *views.Note, q url.Values) error {
	f, err := s.frame(r.Context(), d, views.RestoreSnapshot)
	if err != nil {
		return err
	}
	if note != nil {
		f.Note = note
	}
	v := views.RestoreMoments{Restore: f, Action: views.DraftURL(d.ID, views.RestoreSnapshot)}
	if d.Body.V.Snapshot != "" {
		v.ChosenSnapshot = string(d.Repository) + "/" + d.Body.V.Snapshot
	}
	if kept := q.Get("chosen"); kept != "" {
		v.ChosenSnapshot = kept
	}
	return s.moments(w, r, status, v, d, q)
}

// moments fills in a page of snapshots and shows it.
func (s *Pages) moments(w http.ResponseWriter, r *http.Request, status int, v views.RestoreMoments, d drafts.Draft, q url.Values) error {
	ctx := r.Context()
	m, err := s.Moment(ctx)
	if err != nil {
		return err
	}
	f := moments.Filter{Host: topics.HostID(q.Get("host")), Group: topics.SourceGroupID(q.Get("group")),
		Cursor: q.Get("after"), Limit: pageMoments}
	if !q.Has("host") && d.Body.V.Host != "" {
		f.Host = d.Body.V.Host
	}
	which := s.hostOf(&v, m, &f)
	if f.Repository, err = s.ChosenRepository(ctx, q.Get("repository")); err != nil {
		return err
	}
	if len(d.Body.V.Items) > 0 { // everything in a basket is of one repository
		f.Repository = d.Repository
	}
	if before, err := words.ParseTyped(ctx, q.Get("before")); err == nil {
		v.Before, f.Before = q.Get("before"), before.UnixMilli()
	}
	v.Host, v.Group, v.RepositoryID, v.Path = string(f.Host), string(f.Group), string(f.Repository), views.PathOf(q.Get("path"))
	if f.Host != "" {
		groups, err := s.Store.SourceGroups(ctx, f.Host)
		if err != nil {
			return err
		}
		for _, g := range groups {
			v.Groups = append(v.Groups, views.Option{Value: string(g.ID), Text: g.Name})
		}
	} else {
		f.Group, v.Group = "", ""
	}
	list, next, err := moments.List(ctx, s.Store, f)
	if err != nil {
		return err
	}
	names := map[topics.RepositoryID]string{}
	if len(d.Body.V.Items) == 0 {
		if err := s.repositoriesOf(ctx, &v, f.Repository, list, names); err != nil {
			return err
		}
	}
	here := url.Values{}
	for _, name := range []string{"host", "group", "repository", "before", "path", "chosen"} {
		if q.Get(name) != "" {
			here.Set(name, q.Get(name))
		}
	}
	if v.ID == "" && q.Get("snapshot") != "" {
		here.Set("snapshot", q.Get("snapshot"))
	}
	at := func(changes ...string) string {
		c := url.Values{}
		for name, values := range here {
			c[name] = values
		}
		for i := 0; i+1 < len(changes); i += 2 {
			if c.Del(changes[i]); changes[i+1] != "" {
				c.Set(changes[i], changes[i+1])
			}
		}
		if len(c) == 0 {
			return v.Action
		}
		return v.Action + "?" + c.Encode()
	}
	if next != "" {
		v.Older = at("after", next)
	}
	if f.Cursor != "" {
		v.Newest = at()
	}
	for _, h := range which {
		v.Which = append(v.Which, views.Link{Text: h.Name, URL: at("host", string(h.ID))})
	}
	windows := false
	for _, x := range list {
		row := views.MomentRow{Value: string(x.Repository) + "/" + x.Snapshot, ShortID: layout.Short(x.Snapshot), At: s.When(x.Time),
			Host: x.HostName, Group: x.GroupName, Drop: x.Drop}
		if len(v.Repositories) > 0 {
			row.Repository = names[x.Repository]
		}
		if x.Sized {
			row.Size, row.Files = words.Bytes(x.Bytes), words.Count(x.Files, "file", "files")
		}
		if x.Added != nil {
			row.Added = words.Bytes(*x.Added)
		}
		if x.New != nil && x.Changed != nil {
			row.Files = words.Number(*x.New) + " new, " + words.Number(*x.Changed) + " changed"
			if x.Removed != nil && *x.Removed > 0 {
				row.Files += ", " + words.Number(*x.Removed) + " removed"
			}
		}
		if x.Foreign {
			row.Group = "not a job of ours"
		}
		if v.ChosenSnapshot != "" && strings.HasPrefix(row.Value, v.ChosenSnapshot) {
			v.ChosenSnapshot = row.Value
		}
		windows = windows || ofWindows(x.Paths)
		v.Rows = append(v.Rows, row)
	}
	v.Search = session.Of(ctx).May(rights.Find)
	v.PathName = views.HostPath(v.Path, windows)
	if v.Month, err = s.month(ctx, f, q.Get("month"), list, at); err != nil {
		return err
	}
	v.Shown, v.Total = len(v.Rows), len(v.Rows)
	if f.Cursor != "" || next != "" {
		if v.Total, err = s.count(ctx, f); err != nil {
			return err
		}
	}
	if v.ID == "" {
		if v.Into, err = s.into(ctx, f.Repository, v.Path); err != nil {
			return err
		}
	}
	s.Render(w, r, status, views.RestoreMomentsPage(s.shell(r, "Choose a snapshot"), v))
	return nil
}

// hostOf reads which host's snapshots are asked for: one that was chosen, or a part of a
// name that was typed. If it is in the names of several, the first of them are returned.
func (s *Pages) hostOf(v *views.RestoreMoments, m *fleet.Moment, f *moments.Filter) (which []*fleet.Entry) {
	text := strings.TrimSpace(string(f.Host))
	if h := m.Find(text); h != nil {
		f.Host, v.HostName = h.ID, h.Name
	} else if text != "" {
		v.HostName = text
		found := m.Search(text)
		if len(found) == 1 {
			f.Host, v.HostName = found[0], m.Name(found[0])
		} else if len(found) == 0 {
			v.NoHost = text
		} else {
			v.WhichOf, which = len(found), m.Named(text, views.MostRunners)
		}
	}
	if m.Len() <= views.MostRunners {
		for _, h := range m.ByName() {
			v.Hosts = append(v.Hosts, views.Option{Value: string(h.ID), Text: h.Name})
		}
		return which
	}
	for _, h := range m.Page(fleet.Filter{}, 0, views.MostRunners+1) {
		v.HostsSome = append(v.HostsSome, s.Runner(h))
	}
	return which
}

// repositoriesOf fills in the repositories to choose from, and the names of those that are
// listed.
func (s *Pages) repositoriesOf(ctx context.Context, v *views.RestoreMoments, chosen topics.RepositoryID, list []moments.Moment,
	names map[topics.RepositoryID]string) error {
	var first, listed []topics.RepositoryID
	if chosen != "" {
		first = append(first, chosen)
	}
	all, err := s.RepositoryChoice(ctx, first)
	if err != nil {
		return err
	}
	if len(all) > 1 {
		v.Repositories, v.ManyRepositories = layout.RepositoryOptions(all, func(r store.Repository) string { return r.Name })
	}
	for _, x := range list {
		listed = append(listed, x.Repository)
	}
	if err := s.Store.RepositoryNames(ctx, append(listed, first...), names); err != nil {
		return err
	}
	v.RepositoryName = cmp.Or(names[chosen], string(chosen))
	return nil
}

// count counts the snapshots that a filter selects; 0 is that it is not worth counting.
func (s *Pages) count(ctx context.Context, f moments.Filter) (int, error) {
	switch {
	case f.Group != "" || f.Before > 0:
		return 0, nil
	case f.Repository != "":
		return s.Store.CountSnapshots(ctx, f.Repository, store.SnapshotFilter{Host: f.Host})
	case f.Host != "":
		return s.Store.SnapshotCount(ctx, f.Host)
	}
	return 0, nil
}

// month is the calendar of the month that is asked for, or else of the newest snapshot that
// is listed.
func (s *Pages) month(
	ctx context.Context, f moments.Filter, want string, list []moments.Moment, at func(...string) string,
) (views.Month, error) {
	zone := words.Zone(ctx)
	first := s.Now().In(zone)
	if len(list) > 0 && list[0].Time < s.Now().UnixMilli() { // a clock may have been wrong
		first = time.UnixMilli(list[0].Time).In(zone)
	}
	if t, err := words.ParseDate(ctx, want+"-01"); err == nil && t.Year() > 1969 && t.Year() < 10000 {
		first = t.In(zone)
	}
	first = time.Date(first.Year(), first.Month(), 1, 12, 0, 0, 0, zone) // there is a noon on every day
	days, err := moments.Days(ctx, s.Store, f, first)
	if err != nil {
		return views.Month{}, err
	}
	counts := map[string]moments.Day{}
	for _, d := range days {
		counts[d.Date] = d
	}
	named := func(t time.Time) string { return words.Date(ctx, t)[:len("2006-01")] }
	v := views.Month{Title: words.MonthOfYear(ctx, first)}
	older := f
	older.Before, older.Cursor, older.Limit = time.Date(first.Year(), first.Month(), 1, 0, 0, 0, 0, zone).UnixMilli(), "", 1
	switch rest, _, err := moments.List(ctx, s.Store, older); {
	case err != nil:
		return v, err
	case len(rest) > 0: // or nobody finds an end
		v.Prev = at("month", named(first.AddDate(0, -1, 0)))
	}
	if next := first.AddDate(0, 1, 0); !next.After(s.Now().AddDate(0, 1, 0)) {
		v.Next = at("month", named(next))
	}
	week := make([]views.MonthDay, (int(first.Weekday())+6)%7)
	for day := first; day.Month() == first.Month(); day = day.AddDate(0, 0, 1) {
		d := views.MonthDay{Day: day.Day()}
		if c := counts[words.Date(ctx, day)]; c.Count > 0 {
			after := time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, zone)
			d.N, d.URL = c.Count, at("before", words.Typed(ctx, after), "month", named(first))
			d.Here = f.Before == after.UnixMilli()
			d.Label = words.Day(ctx, day) + ": " + words.Count(uint64(c.Count), "snapshot", "snapshots")
			if c.Drops > 0 {
				d.Label += ", " + words.Count(uint64(c.Drops), "large drop", "large drops")
			}
		}
		if week = append(week, d); len(week) == 7 {
			v.Weeks, week = append(v.Weeks, week), nil
		}
	}
	if len(week) > 0 {
		v.Weeks = append(v.Weeks, append(week, make([]views.MonthDay, 7-len(week))...))
	}
	return v, nil
}

// into are the visitor's drafts that a path may be added to.
func (s *Pages) into(ctx context.Context, repository topics.RepositoryID, path string) ([]views.Option, error) {
	user, err := owner(ctx)
	if err != nil || repository == "" || path == "" {
		return nil, err
	}
	rows, err := s.Store.Drafts().List(ctx, user)
	if err != nil {
		return nil, err
	}
	var out []views.Option
	for _, d := range rows {
		if d.Repository == repository && d.Body.V.Ran == "" {
			out = append(out, views.Option{Value: d.ID, Text: "Add to: " + said(*d.Body.V)})
		}
	}
	if len(out) > 0 {
		out = append([]views.Option{{Value: "", Text: "A new restore"}}, out...)
	}
	return out, nil
}

// chosen is the snapshot that a form names.
func (s *Pages) chosen(r *http.Request) (store.Snapshot, error) {
	value := cmp.Or(r.PostForm.Get("snapshot"), r.PostForm.Get("kept"))
	repository, id, _ := strings.Cut(value, "/")
	if id == "" { // of a link that names both
		repository, id = r.PostForm.Get("repository"), value
	}
	n, err := s.Store.SnapshotByID(r.Context(), topics.RepositoryID(repository), id)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && n.GoneAt > 0:
		return n, &problem.Problem{Kind: problem.Conflict, Title: "This snapshot is not there any more",
			Say: "The repository holds none with this ID: it was forgotten meanwhile. Nothing was changed.",
			Do:  "Choose another moment.", Link: problem.Link{Text: "Choose a snapshot", URL: views.RestoreNewURL(repository, "", "", "")}}
	case err != nil:
		return n, err
	}
	_, err = s.Repository(r.Context(), n.Repository)
	return n, err
}

// New begins a draft with a snapshot, or adds to one.
func (s *Pages) New(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx := r.Context()
	user, err := owner(ctx)
	if err != nil {
		return err
	}
	n, err := s.chosen(r)
	if err != nil {
		return err
	}
	item, err := s.first(r, n)
	if err != nil {
		return err
	}
	if into := r.PostForm.Get("into"); into != "" {
		d, err := s.Store.Drafts().Change(ctx, user, into, func(d *drafts.Draft) ([]drafts.Part, error) {
			if d.Repository != n.Repository {
				return nil, otherRepository
			}
			parts := []drafts.Part{drafts.Moment}
			d.Body.V.Snapshot, d.Body.V.Host = n.ID, n.Host
			if item != nil {
				d.Body.V.Choose(*item)
				parts = append(parts, drafts.Basket)
			}
			return parts, fits(*d.Body.V)
		})
		if err != nil {
			return worded(err)
		}
		layout.Redirect(w, r, views.DraftURL(d.ID, views.RestoreFiles))
		return nil
	}
	b := &drafts.Body{Host: n.Host, Snapshot: n.ID}
	if item != nil {
		b.Put(*item)
	}
	d, err := s.Store.Drafts().Add(ctx, drafts.Draft{ID: topics.NewID(s.Now()), User: user, Repository: n.Repository,
		Body: store.JSON[drafts.Body]{V: b}})
	if err != nil {
		return worded(err)
	}
	layout.Redirect(w, r, views.DraftURL(d.ID, views.RestoreFiles))
	return nil
}

var otherRepository = &problem.Problem{Kind: problem.Conflict, Title: "This snapshot is in another repository",
	Say: "Everything in one restore comes from one repository. Nothing was changed.",
	Do:  "Clear what is selected, or begin another restore with this snapshot."}

// first is what a form asks to begin with, nil for nothing. What it is, the first listing
// of its folder shows.
func (s *Pages) first(r *http.Request, n store.Snapshot) (*drafts.Item, error) {
	path := views.PathOf(r.PostForm.Get("path"))
	if path == "" {
		return nil, nil
	}
	item := &drafts.Item{Snapshot: n.ID, Path: path, Type: r.PostForm.Get("type")}
	item.Size, _ = strconv.ParseUint(r.PostForm.Get("size"), 10, 64)
	return item, fits(drafts.Body{Items: []drafts.Item{*item}})
}

// ChooseMoment has a draft go on with another snapshot. What was ticked stays.
func (s *Pages) ChooseMoment(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	n, err := s.chosen(r)
	if err != nil {
		return err
	}
	version, _ := strconv.ParseInt(r.PostForm.Get("version"), 10, 64)
	var conflict bool
	d, err := s.change(r, func(d *drafts.Draft) ([]drafts.Part, error) {
		b := d.Body.V
		switch {
		case len(b.Items) > 0 && d.Repository != n.Repository:
			return nil, otherRepository
		case d.Repository == n.Repository && b.Snapshot == n.ID:
			return nil, nil
		case b.Since(drafts.Moment, version):
			conflict = true
			return nil, nil
		}
		d.Repository, b.Snapshot, b.Host, b.Reader = n.Repository, n.ID, n.Host, ""
		return []drafts.Part{drafts.Moment}, nil
	})
	if err != nil {
		return err
	}
	if conflict {
		q := url.Values{"chosen": {string(n.Repository) + "/" + n.ID}}
		return s.momentPage(w, r, http.StatusConflict, d, meanwhile("the moment", "snapshot "+layout.Short(d.Body.V.Snapshot)), q)
	}
	layout.Redirect(w, r, views.DraftURL(d.ID, views.RestoreFiles))
	return nil
}

// fits returns why a basket could not be asked for in one job, nil if it could.
func fits(b drafts.Body) error {
	if len(b.Items) == 0 {
		return nil
	}
	o := topics.Operation{Items: b.Basket(), Target: "/x"}
	if err := o.Check(topics.RestoreJob); err != nil {
		text := strings.TrimPrefix(err.Error(), topics.ErrOperation.Error()+": ")
		for _, name := range []string{"items: ", "paths: ", "snapshot: "} {
			text = strings.TrimPrefix(text, name)
		}
		return &problem.Problem{Kind: problem.Conflict, Title: "It does not fit into this restore",
			Say: strings.ToUpper(text[:1]) + text[1:] + ".", Do: "Nothing was added. Remove what is in the way, or begin another restore.",
			Err: fmt.Errorf("basket: %w", err)}
	}
	return nil
}

// common is the deepest directory that holds all paths of a snapshot, as the snapshot
// names it.
func common(paths []string) string {
	var dir []string
	for i, p := range paths {
		if ofWindows([]string{p}) {
			p = "/" + strings.ReplaceAll(strings.Replace(p, ":", "", 1), `\`, "/")
		}
		names := strings.FieldsFunc(p, func(c rune) bool { return c == '/' })
		names = names[:max(0, len(names)-1)] // it may be a file
		if i == 0 {
			dir = names
			continue
		}
		n := 0
		for n < len(dir) && n < len(names) && dir[n] == names[n] {
			n++
		}
		dir = dir[:n]
	}
	return "/" + strings.Join(slices.Clone(dir), "/")
}
