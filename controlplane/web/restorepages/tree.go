package restorepages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drafts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// patience is how long a page waits for a host; the host is asked for less.
const patience = 45 * time.Second

// mostFiltered is how many pages of a directory are read to filter its names.
const mostFiltered = 800

// mostRows is how many bytes the rows of a directory may take in a page.
const mostRows = 160 << 10

// mostPicked is how many items a basket may have while it is put together: what comes later
// may cover some of them.
const mostPicked = 2 * topics.MaxPaths

// mostAbove is how many of the directories above one a page names.
const mostAbove = 12

// FilesPage shows a directory of a snapshot: as a page, or to a script its rows alone.
func (s *Pages) FilesPage(w http.ResponseWriter, r *http.Request) error {
	d, err := s.draft(r)
	if err != nil {
		return err
	}
	ctx, q := r.Context(), r.URL.Query()
	if of := q.Get("versions"); of != "" {
		layout.Redirect(w, r, views.VersionsURL(string(d.Repository), string(d.Body.V.Host), of))
		return nil
	}
	id := cmp.Or(q.Get("snapshot"), d.Body.V.Snapshot)
	if id == "" {
		layout.Redirect(w, r, views.DraftURL(d.ID, views.RestoreSnapshot))
		return nil
	}
	_ = http.NewResponseController(w).SetWriteDeadline(base.Deadline(patience))
	n, err := s.Store.SnapshotByID(ctx, d.Repository, id)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
		n.ID, n.GoneAt = id, 1
	}
	if err != nil {
		return err
	}
	in := cmp.Or(q.Get("path"), common(n.Paths))
	l := s.list(ctx, d, n, in, q.Get("after"), strings.TrimSpace(q.Get("q")))
	if err := ctx.Err(); err != nil {
		return err // nobody waits any more
	}
	if base.IsHTMX(r) {
		s.Render(w, r, http.StatusOK, views.TreeEntries(l))
		return nil
	}
	f, err := s.frame(ctx, d, views.RestoreFiles)
	if err != nil {
		return err
	}
	f.Reached[views.RestoreFiles] = true
	v := views.RestoreTree{Restore: f, Snapshot: n.ID, ShortID: layout.Short(n.ID), At: s.When(n.Time), From: n.Hostname, List: l,
		Filter: l.Filter, Reader: string(d.Body.V.Reader)}
	if m, err := s.Moment(ctx); err == nil {
		if h := m.Host(n.Host); h != nil {
			v.From = h.Name
		}
	}
	if topics.CheckSnapshotPath(in) == nil && len(in) <= topics.MaxQueryPath { // anything else has nothing above it
		for at := in; at != "/"; {
			at = path.Dir(at)
			v.Up = append(v.Up, views.Link{Text: views.HostName(at, l.Windows), URL: views.FolderURL(d.ID, n.ID, at, "", "")})
		}
		slices.Reverse(v.Up)
	}
	if len(v.Up) > mostAbove { // of a deep one, the ends
		middle := v.Up[len(v.Up)-mostAbove+3]
		middle.Text = "…"
		v.Up = slices.Concat(v.Up[:2], []views.Link{middle}, v.Up[len(v.Up)-mostAbove+4:])
	}
	if v.Readers, err = s.readers(ctx, d); err != nil {
		return err
	}
	s.Render(w, r, http.StatusOK, views.RestoreTreePage(s.shell(r, "Choose files"), v))
	return nil
}

// readers are the hosts that may list the repository's snapshots.
func (s *Pages) readers(ctx context.Context, d drafts.Draft) ([]views.Option, error) {
	ids, err := s.Store.SnapshotHosts(ctx, d.Repository)
	if err != nil {
		return nil, err
	}
	if r, err := s.Repository(ctx, d.Repository); err == nil && r.Keeper != "" && !slices.Contains(ids, r.Keeper) {
		ids = append(ids, r.Keeper)
	}
	m, err := s.Moment(ctx)
	if err != nil {
		return nil, err
	}
	out := []views.Option{{Value: "", Text: "Whichever is connected"}}
	for _, id := range ids {
		if h := m.Host(id); h != nil && len(out) <= views.MostRunners {
			name := h.Name
			if !s.Presence.Reachable(id) {
				name += " (not connected)"
			}
			out = append(out, views.Option{Value: string(id), Text: name})
		}
	}
	return out, nil
}

// list is a page of a directory as it is shown, or why there is none.
func (s *Pages) list(ctx context.Context, d drafts.Draft, n store.Snapshot, in, after, filter string) views.TreeList {
	b, windows := d.Body.V, ofWindows(n.Paths)
	l := views.TreeList{Draft: d.ID, Snapshot: n.ID, Path: in, Name: views.HostPath(in, windows), Windows: windows, Filter: filter,
		Versions: session.Of(ctx).May(rights.Browse),
		Retry:    views.FolderURL(d.ID, n.ID, in, after, filter)}
	if item, has := b.Covering(n.ID, in); has {
		l.Ticked, l.Included = item.Path == in, item.Path != in
	}
	if n.GoneAt > 0 {
		l.Note = &views.Note{Tone: "warn", Title: "This snapshot is not there any more",
			Text: "It was forgotten meanwhile, so its files cannot be brought back from it. What you chose in other snapshots stays.",
			Link: views.Link{Text: "Choose another moment", URL: views.DraftURL(d.ID, views.RestoreSnapshot)}}
		l.Retry = ""
		return l
	}
	page, err := s.entries(ctx, d, n, in, after, filter)
	if err != nil {
		if l.Note = refused(err); l.Note == nil {
			s.Log.Error("listing a directory of a snapshot failed", "repository", d.Repository, "err", err)
			l.Note = &views.Note{Tone: "fail", Title: "The folder could not be listed",
				Text: "The reason is in the server's log. Nothing was changed."}
		}
		var q *queries.Refused
		if errors.As(err, &q) && (q.Cause == queries.CauseNoHost || q.Cause == queries.CauseOffline) {
			l.Note.Text += " What is in it can be chosen unseen, all of it together. " +
				"The emergency kit has what plain restic needs to look on any other computer."
			l.Note.Links = s.otherWays(d.Repository, n.Host)
		}
		return l
	}
	if page.Total > 0 {
		l.Total = words.Count(uint64(page.Total), "entry", "entries")
	}
	if page.Truncated {
		l.Total += " are shown; there are more"
	}
	weight := 0
	for i, e := range page.Entries {
		row := entryOf(e, windows)
		row.At = s.When(e.ModTime)
		if weight += row.Weight(); weight > mostRows && i > 0 { // names can be long
			if page.Next = queries.Further(after, i); filter != "" {
				from, _ := strconv.Atoi(after)
				page.Next = strconv.Itoa(from + i)
			}
			break
		}
		if item, has := b.Covering(n.ID, e.Path); has {
			row.Ticked, row.Included = item.Path == e.Path, item.Path != e.Path
		}
		l.Odd = l.Odd || row.Odd
		l.Entries = append(l.Entries, row)
	}
	if page.Next != "" {
		l.More = views.FolderURL(d.ID, n.ID, in, page.Next, filter)
	}
	return l
}

// entries asks for a page of a directory. With a filter, all of it is read, which the
// control plane remembers once a host has told it.
func (s *Pages) entries(ctx context.Context, d drafts.Draft, n store.Snapshot, in, after, filter string) (queries.FilesPage, error) {
	who := session.Of(ctx).Actor()
	q := queries.FilesQuery{Repository: d.Repository, Snapshot: n.ID, Path: in, After: after, Host: d.Body.V.Reader}
	if filter == "" {
		return s.Asker.Files(ctx, who, q)
	}
	var out queries.FilesPage
	q.After = ""
	for range mostFiltered {
		page, err := s.Asker.Files(ctx, who, q)
		if err != nil {
			return out, err
		}
		for _, e := range page.Entries {
			if strings.Contains(strings.ToLower(e.Name), strings.ToLower(filter)) {
				out.Entries = append(out.Entries, e)
			}
		}
		out.Path, out.Truncated, out.Host = page.Path, page.Truncated, page.Host
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	from, _ := strconv.Atoi(after) // of what the filter leaves, a number is enough
	from = min(max(from, 0), len(out.Entries))
	to := min(from+250, len(out.Entries))
	out.Total = len(out.Entries)
	if to < len(out.Entries) {
		out.Next = strconv.Itoa(to)
	}
	out.Entries = out.Entries[from:to]
	return out, nil
}

// entryOf is a row of a directory.
func entryOf(e topics.Node, windows bool) views.TreeEntry {
	v := views.TreeEntry{Path: e.Path, Name: e.Name, Folder: e.Type == "dir", Icon: "file", Mode: modeOf(e), Owner: ownerOf(e),
		Target: e.Target, Odd: e.Broken}
	if windows {
		v.Mode, v.Owner = "", ""
		if path.Dir(e.Path) == "/" && len(e.Name) == 1 {
			v.Name += `:\`
		}
	}
	switch e.Type {
	case "dir":
		v.Icon = "folder"
	case "symlink":
		v.Icon = "link"
	case "file":
		v.Size, v.Bytes = words.Bytes(e.Size), strconv.FormatUint(e.Size, 10)
	default:
		v.Icon, v.Size = "hard-drive", e.Type
	}
	return v
}

// modeOf is an entry's mode as ls writes it: "-rwsr-xr-x".
func modeOf(e topics.Node) string {
	kind, known := map[string]byte{"dir": 'd', "symlink": 'l', "file": '-', "fifo": 'p', "socket": 's', "chardev": 'c', "dev": 'b'}[e.Type]
	if !known {
		kind = '?'
	}
	text := []byte("?rwxrwxrwx")
	text[0] = kind
	for i := range 9 {
		if e.Mode&(1<<(8-i)) == 0 {
			text[i+1] = '-'
		}
	}
	for _, special := range []struct {
		bit   uint32
		at    int
		x, no byte
	}{{0o4000, 3, 's', 'S'}, {0o2000, 6, 's', 'S'}, {0o1000, 9, 't', 'T'}} {
		if e.Mode&special.bit != 0 {
			if text[special.at] == 'x' {
				text[special.at] = special.x
			} else {
				text[special.at] = special.no
			}
		}
	}
	return string(text)
}

func ownerOf(e topics.Node) string {
	return cmp.Or(e.User, fmt.Sprint(e.UID)) + ":" + cmp.Or(e.Group, fmt.Sprint(e.GID))
}

// pickOf reads what a form says of an entry: "d PATH", or "fSIZE PATH".
func pickOf(snapshot, value string) (drafts.Item, bool) {
	head, code, ok := strings.Cut(value, " ")
	if !ok || head == "" || code == "" {
		return drafts.Item{}, false
	}
	i := drafts.Item{Snapshot: snapshot, Path: views.PathOf(code), Type: "file"}
	if head[0] == 'd' {
		i.Type = "dir"
	} else {
		i.Size, _ = strconv.ParseUint(head[1:], 10, 64)
	}
	return i, true
}

// Basket adds what was ticked and removes what was not any more. A form says only what was
// changed in it, so what another tab chose stays. With instead, what is ticked is a version
// of its path, and takes the place of the one that the draft holds.
func (s *Pages) Basket(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	f := r.PostForm
	snapshot := f.Get("snapshot")
	if f.Get("clear") == "" {
		// In a basket are whole IDs, which the draft's own repository knows.
		d, err := s.draft(r)
		if err != nil {
			return err
		}
		n, err := s.Store.SnapshotByID(r.Context(), d.Repository, snapshot)
		if err == nil {
			snapshot = n.ID
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	d, err := s.change(r, func(d *drafts.Draft) ([]drafts.Part, error) {
		b := d.Body.V
		if f.Get("clear") != "" {
			b.Items = nil
			return []drafts.Part{drafts.Basket}, nil
		}
		put := b.Put
		if f.Get("instead") != "" {
			put = b.Choose
		}
		was := map[string]bool{}
		for _, v := range f["was"] {
			was[v] = true
		}
		for _, v := range f["tick"] {
			if i, ok := pickOf(snapshot, v); ok && !was[v] {
				put(i)
			}
			if len(b.Items) > mostPicked {
				return nil, fits(*b)
			}
			delete(was, v)
		}
		for v := range was {
			if i, ok := pickOf(snapshot, v); ok {
				b.Drop(snapshot, i.Path)
			}
		}
		for _, code := range f["remove"] {
			b.Drop(snapshot, views.PathOf(code))
		}
		if len(f["tick"]) > 0 {
			if err := fits(*b); err != nil {
				return nil, err
			}
		}
		return []drafts.Part{drafts.Basket}, nil
	})
	if err != nil {
		return err
	}
	if !base.IsHTMX(r) {
		back := base.SamePlace(f.Get("back"))
		if back == "" {
			back = cmp.Or(pageBefore(r, d.ID), views.DraftURL(d.ID, views.RestoreFiles))
		}
		layout.Redirect(w, r, back)
		return nil
	}
	v, err := s.frame(r.Context(), d, views.RestoreFiles)
	if err != nil {
		return err
	}
	s.Render(w, r, http.StatusOK, views.RestoreBasket(v))
	return nil
}

// pageBefore is the page of the draft from which a form was sent, "" if it was none.
func pageBefore(r *http.Request, id string) string {
	u, err := url.Parse(r.Referer())
	if err != nil || u.Host != r.Host || !strings.HasPrefix(u.Path, views.DraftURL(id, "")+"/") {
		return ""
	}
	return u.RequestURI()
}

// Reader says which host lists the files.
func (s *Pages) Reader(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	d, err := s.change(r, func(d *drafts.Draft) ([]drafts.Part, error) {
		d.Body.V.Reader = topics.HostID(r.PostForm.Get("reader"))
		return nil, nil
	})
	if err != nil {
		return err
	}
	layout.Redirect(w, r, cmp.Or(base.SamePlace(r.PostForm.Get("back")), views.DraftURL(d.ID, views.RestoreFiles)))
	return nil
}
