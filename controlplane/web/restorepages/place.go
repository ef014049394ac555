package restorepages

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/restores"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/targets"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drafts"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// shownHosts is how many hosts are offered before one is searched for.
const shownHosts = 12

// origin is whose files a draft brings back: the host that made all of them, "" if several
// did or none of ours; and at whose place in the repository they are.
func (s *Pages) origin(ctx context.Context, d drafts.Draft) (owner, place topics.HostID, err error) {
	r, err := s.Repository(ctx, d.Repository)
	if err != nil {
		return "", "", err
	}
	seen := map[string]bool{}
	for _, i := range d.Body.V.Items {
		if seen[i.Snapshot] {
			continue
		}
		first := len(seen) == 0
		seen[i.Snapshot] = true
		n, err := s.Store.SnapshotByID(ctx, d.Repository, i.Snapshot)
		if errors.Is(err, store.ErrNotFound) {
			continue
		} else if err != nil {
			return "", "", err
		}
		switch {
		case first:
			owner, place = n.Host, places.Key(r.Location, n.Where())
		case owner != n.Host:
			owner = ""
		}
	}
	return owner, place, nil
}

// PlacePage shows where to, and how.
func (s *Pages) PlacePage(w http.ResponseWriter, r *http.Request) error {
	d, err := s.draft(r)
	if err != nil {
		return err
	}
	t := d.Body.V.Target
	if h := topics.HostID(r.URL.Query().Get("host")); h != "" && h != t.Host {
		t = drafts.Target{Host: h, NoOwners: t.NoOwners}
	}
	return s.placePage(w, r, http.StatusOK, d, t, nil, nil)
}

func (s *Pages) placePage(
	w http.ResponseWriter, r *http.Request, status int, d drafts.Draft, t drafts.Target, wrong map[string]string, note *views.Note,
) error {
	ctx := r.Context()
	f, err := s.frame(ctx, d, views.RestoreDestination)
	if err != nil {
		return err
	}
	if note != nil {
		f.Note = note
	}
	v := views.RestorePlace{Restore: f, Errors: wrong, Find: strings.TrimSpace(r.URL.Query().Get("q"))}
	if len(d.Body.V.Items) == 0 {
		v.Note = &views.Note{Tone: "warn", Title: "Nothing is selected yet", Text: "Tick the files and folders that you need first.",
			Link: views.Link{Text: "Choose files", URL: views.DraftURL(d.ID, views.RestoreFiles)}}
	}
	owner, place, err := s.origin(ctx, d)
	if err != nil && v.Note == nil {
		return err
	} else if err != nil { // the repository is gone, and the note says so
		s.Render(w, r, status, views.RestorePlacePage(s.shell(r, "Choose a destination"), v))
		return nil
	}
	list, err := targets.Desk{Store: s.Store, Presence: s.Presence, Jobs: s.Jobs}.List(ctx, d.Repository, owner, place)
	if err != nil {
		return err
	}
	who := session.Of(ctx)
	for i := range list {
		if t := &list[i]; t.Why == "" {
			if t.Why = whyNotThere(who, *t); t.Why != "" {
				t.Means, t.Do = "You cannot restore to it.", "Ask somebody with that role to restore it there."
			}
		}
	}
	if t.Host == "" {
		if i := slices.IndexFunc(list, func(t targets.Target) bool { return t.May() && t.Online }); i >= 0 {
			t.Host = list[i].Host
		}
	}
	if v.Note == nil && !slices.ContainsFunc(list, func(t targets.Target) bool { return t.May() && t.Online }) {
		v.Note = &views.Note{Tone: "warn", Title: "No host can take these files now",
			Text: "Connect one that may, or let another one do so by the command beside it. " +
				"The emergency kit has what plain restic needs to get them back on any other computer.",
			Links: s.otherWays(d.Repository, owner)}
	}
	at := slices.IndexFunc(list, func(x targets.Target) bool { return x.Host == t.Host })
	if t.Host != "" && at < 0 && v.Note == nil {
		v.Note = &views.Note{Tone: "warn", Title: "The host that you chose is not there any more",
			Text: "It was removed meanwhile. Choose another one."}
	}
	for i, x := range list {
		hit := v.Find == "" || strings.Contains(strings.ToLower(x.Name), strings.ToLower(v.Find))
		if i == at || hit && len(v.Hosts) < shownHosts {
			row := views.PlaceHost{ID: string(x.Host), Name: x.Name, Connection: s.Connection(x.Host), Original: x.Own, Why: x.Why,
				Means: x.Means, Do: x.Do, Command: x.Command}
			v.Hosts = append(v.Hosts, row)
		} else if hit {
			v.More++
		}
	}
	if at >= 0 && list[at].May() {
		if err := s.fillPlace(ctx, &v, d, t, list[at]); err != nil {
			return err
		}
	}
	s.Render(w, r, status, views.RestorePlacePage(s.shell(r, "Choose a destination"), v))
	return nil
}

// whyNotThere is why a visitor may not restore to a host that could, "" if they may.
func whyNotThere(who *session.Visitor, t targets.Target) string {
	switch {
	case t.Giving != nil && !who.May(rights.Give):
		return "It does not have this repository. To give it that for a restore, it needs the role " + string(rights.Least(rights.Give)) + "."
	case !t.Own && !who.May(rights.RestoreOver):
		return "What another host saved is restored by the role " + string(rights.Least(rights.RestoreOver)) + "."
	}
	return ""
}

// fillPlace fills in what there is to choose on a host.
func (s *Pages) fillPlace(ctx context.Context, v *views.RestorePlace, d drafts.Draft, t drafts.Target, x targets.Target) error {
	h, err := s.Host(ctx, x.Host)
	if err != nil {
		return err
	}
	who := session.Of(ctx)
	v.Host, v.Folder, v.NoOwners, v.Confirm = string(x.Host), t.Folder, t.NoOwners, h.Name
	v.Overwrite = cmp.Or(t.Overwrite, topics.Overwrites[0])
	v.New = restores.FreshTarget(h, cmp.Or(d.Body.V.Snapshot, "snapshot"), "time", "…")
	switch {
	case t.InPlace:
		v.Where = "original"
	case t.Folder != "":
		v.Where = "folder"
	default:
		v.Where = "new"
	}
	over := who.May(rights.RestoreOver)
	role := "It needs the role " + string(rights.Least(rights.RestoreOver)) + "."
	if !over {
		v.Folders, v.InPlace = role, role
		if own := h.Permits.V; own != nil && own.Quarantine != "" {
			v.Folders, v.FolderHint = "", "One below "+own.Quarantine+", the host's folder for restores. For any other: "+role
		}
	}
	rooted := func(dir string) bool { return restores.Confirm(h, topics.Operation{Target: dir}, "") != nil }
	v.RootToo = over && (len(x.Roots) == 0 || slices.ContainsFunc(x.Roots, rooted)) || rooted(t.Folder)
	switch {
	case v.InPlace != "":
	case !x.Own:
		v.InPlace = "These files come from another host."
	case !x.Able:
		v.InPlace = "The agent there is of an older version. Update it to restore in place."
	case !x.Overwrite:
		v.InPlace = noOver(h)
	}
	if v.Folders == "" && v.FolderHint == "" && len(x.Roots) > 0 {
		v.FolderHint = "Its policy lets restores write below " + strings.Join(x.Roots[:min(len(x.Roots), 5)], ", ") + "."
		if len(x.Roots) > 5 {
			v.FolderHint = "Its policy lets restores write below " + words.Count(uint64(len(x.Roots)), "folder", "folders") + ": browse for them."
		}
	}
	if x.Giving != nil {
		v.Note = &views.Note{Tone: "warn", Title: x.Name + " does not have this repository",
			Text: "For this restore it is given its address and password, and keeps neither."}
	} else if x.Note != "" && v.Note == nil {
		v.Note = &views.Note{Tone: "warn", Title: "Look where it leads", Text: x.Note}
	}
	for _, o := range []views.PlaceOption{
		{Value: "never", Text: "Leave it as it is"},
		{Value: "if-newer", Text: "Replace it if the snapshot’s is newer"},
		{Value: "if-changed", Text: "Replace it if it differs"},
		{Value: "always", Text: "Always replace it"},
	} {
		asked := topics.Operation{Overwrite: o.Value}
		switch {
		case asked.Replaces() && !over:
			o.Why = role
		case asked.Replaces() && !x.Overwrite:
			o.Why = noOver(h)
		default:
			if limits := restores.Limits(h, asked); limits != "" && asked.Replaces() {
				o.Why = limits
			}
		}
		v.Overwrites = append(v.Overwrites, o)
	}
	return nil
}

// noOver says that a host's policy protects what is there, and who changes that.
func noOver(h store.Host) string {
	slash := "/"
	if h.OS == "windows" {
		slash = `\`
	}
	return "Its policy lets no restore write over files that are there. Its administrator can permit it: by \"overwrite\": true in " +
		permits.State(h) + slash + "policy.json."
}

// SavePlace keeps where to and how, and goes on as the button says.
func (s *Pages) SavePlace(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, f := r.Context(), r.PostForm
	then := f.Get("then")
	t := drafts.Target{Host: topics.HostID(f.Get("host")), Overwrite: f.Get("overwrite"), NoOwners: f.Get("owners") == ""}
	wrong := map[string]string{}
	h, err := s.Host(ctx, t.Host)
	if err != nil {
		return err
	}
	switch f.Get("where") {
	case "original":
		t.InPlace, t.Confirm = true, f.Get("confirm")
		if t.Confirm != h.Name && then != "browse" {
			wrong["confirm"] = "Type " + h.Name + " if the files are to go over the original ones."
		}
	case "folder":
		t.Folder = strings.TrimSpace(f.Get("folder"))
		if t.Folder == "" && then != "browse" {
			wrong["folder"] = "Type a folder, or browse for one."
		}
	}
	o := operation(drafts.Body{Items: []drafts.Item{{Snapshot: "00000000", Path: "/"}}, Target: t})
	if err := o.Check(topics.RestoreJob); len(wrong) == 0 && t.Folder != "" && err != nil {
		wrong["folder"] = "It has to be a whole path on the host, such as " + restores.Root(h) + "."
	}
	if t.Overwrite != "" && !slices.Contains(topics.Overwrites, t.Overwrite) {
		wrong["overwrite"] = "Choose one of these."
	}
	if err := restores.Confirm(h, o, h.Name); err == nil && !t.InPlace && restores.Confirm(h, o, "") != nil && f.Get("confirm") != h.Name &&
		then != "browse" {
		wrong["confirm"] = "This is the root of a file system: type " + h.Name + " if it is meant."
	} else if !t.InPlace {
		t.Confirm = f.Get("confirm")
	}
	if len(wrong) > 0 {
		d, err := s.draft(r)
		if err != nil {
			return err
		}
		return s.placePage(w, r, http.StatusUnprocessableEntity, d, t, wrong, nil)
	}
	version, _ := strconv.ParseInt(f.Get("version"), 10, 64)
	var conflict bool
	d, err := s.change(r, func(d *drafts.Draft) ([]drafts.Part, error) {
		b := d.Body.V
		if b.Since(drafts.Place, version) && b.Target != t {
			conflict = true
			return nil, nil
		}
		if b.Target == t {
			return nil, nil
		}
		b.Target = t
		return []drafts.Part{drafts.Place}, nil
	})
	if err != nil {
		return err
	}
	if conflict {
		names := map[topics.HostID]string{}
		if err := s.Store.HostNames(ctx, []topics.HostID{d.Body.V.Target.Host}, names); err != nil {
			return err
		}
		now := goesTo(d.Body.V.Target, names[d.Body.V.Target.Host])
		return s.placePage(w, r, http.StatusConflict, d, t, nil, meanwhile("the destination", now))
	}
	switch then {
	case "browse":
		layout.Redirect(w, r, views.DirectoriesURL(d.ID, string(t.Host), t.Folder))
		return nil
	case "preview":
		err := s.preview(w, r, d)
		if p := base.ProblemOf(err); err != nil && p.Kind != problem.Internal && p.Confirm.Field == "" {
			note := &views.Note{Tone: "fail", Title: p.Title, Text: besideCommand(p), Command: p.Command, Link: views.Link(p.Link),
				Links: layout.LinksOf(p.Links)}
			return s.placePage(w, r, base.StatusOf(p), d, t, nil, note)
		}
		return err
	}
	layout.Redirect(w, r, views.DraftURL(d.ID, views.RestoreDestination))
	return nil
}

// goesTo words a target.
func goesTo(t drafts.Target, host string) string {
	switch {
	case t.InPlace:
		return "the original place on " + host
	case t.Folder != "":
		return t.Folder + " on " + host
	}
	return "a new folder on " + host
}

// FoldersPage shows directories of the target's host.
func (s *Pages) FoldersPage(w http.ResponseWriter, r *http.Request) error {
	d, err := s.draft(r)
	if err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(base.Deadline(patience))
	ctx, q := r.Context(), r.URL.Query()
	h, err := s.Host(ctx, topics.HostID(cmp.Or(q.Get("host"), string(d.Body.V.Target.Host))))
	if err != nil {
		return err
	}
	f, err := s.frame(ctx, d, views.RestoreDestination)
	if err != nil {
		return err
	}
	in := q.Get("path")
	v := views.RestoreFolders{Restore: f, HostID: string(h.ID), Host: h.Name, Path: in, Retry: views.DirectoriesURL(d.ID, string(h.ID), in)}
	page, err := s.Asker.Directories(ctx, session.Of(ctx).Actor(), h.ID, in)
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		if v.Note = refused(err); v.Note == nil {
			return err
		}
		if in != "" {
			v.Up = views.DirectoriesURL(d.ID, string(h.ID), "")
		}
	default:
		v.Path = page.Path
		if page.FreeBytes != nil {
			v.Free = words.Bytes(*page.FreeBytes) + " free"
		}
		windows := h.OS == "windows"
		for _, e := range page.Entries {
			to := e.Name
			if page.Path != "" {
				to = joined(page.Path, e.Name, windows)
			}
			v.Rows = append(v.Rows, views.FolderRow{Name: e.Name, Path: to, Writable: e.Writable,
				URL: views.DirectoriesURL(d.ID, string(h.ID), to)})
		}
		if page.Path != "" {
			v.Up = views.DirectoriesURL(d.ID, string(h.ID), above(page.Path, windows))
		}
	}
	s.Render(w, r, http.StatusOK, views.RestoreFoldersPage(s.shell(r, "Choose a folder"), v))
	return nil
}

// joined is a directory of a host below another.
func joined(dir, name string, windows bool) string {
	if windows {
		return strings.TrimRight(dir, `\/`) + `\` + name
	}
	return path.Join(dir, name)
}

// above is the directory above one; of a root it is "", which are those that the host's
// policy names.
func above(dir string, windows bool) string {
	if windows {
		at := strings.LastIndexAny(strings.TrimRight(dir, `\/`), `\/`)
		if at <= 2 {
			return ""
		}
		return dir[:at]
	}
	if dir == "/" {
		return ""
	}
	return path.Dir(dir)
}

// ChooseFolder has a draft go to a directory that was browsed for.
func (s *Pages) ChooseFolder(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	f := r.PostForm
	host, folder := topics.HostID(f.Get("host")), views.PathOf(f.Get("folder"))
	version, _ := strconv.ParseInt(f.Get("version"), 10, 64)
	conflict := false
	d, err := s.change(r, func(d *drafts.Draft) ([]drafts.Part, error) {
		t := d.Body.V.Target
		t.Host, t.Folder, t.InPlace = host, folder, false
		if conflict = d.Body.V.Since(drafts.Place, version) && d.Body.V.Target != t; conflict || d.Body.V.Target == t {
			return nil, nil
		}
		d.Body.V.Target = t
		return []drafts.Part{drafts.Place}, nil
	})
	if err != nil {
		return err
	}
	if conflict {
		t := d.Body.V.Target
		note := meanwhile("the destination", goesTo(t, ""))
		t.Host, t.Folder, t.InPlace = host, folder, false
		return s.placePage(w, r, http.StatusConflict, d, t, nil, note)
	}
	layout.Redirect(w, r, views.DraftURL(d.ID, views.RestoreDestination))
	return nil
}

// operation is what a draft asks for.
func operation(b drafts.Body) topics.Operation {
	return topics.Operation{Items: b.Basket(), Target: b.Target.Folder, InPlace: b.Target.InPlace, Overwrite: b.Target.Overwrite,
		NoOwners: b.Target.NoOwners}
}
