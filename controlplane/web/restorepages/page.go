// Package restorepages holds the handlers of the four pages that put a restore together:
// which snapshot, which files, where to, and what would happen. Between them stands a
// draft in the database; what is looked at is in the address.
package restorepages

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drafts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// An Asker asks hosts for what a person waits for, as [queries.Asker] does.
type Asker interface {
	Files(ctx context.Context, who jobs.Actor, q queries.FilesQuery) (queries.FilesPage, error)
	Directories(ctx context.Context, who jobs.Actor, host topics.HostID, path string) (queries.DirectoryPage, error)
}

// Pages holds the handlers of a restore's pages.
type Pages struct {
	*layout.Page
	Asker Asker
}

// New returns the handlers of a restore's pages.
func New(p *layout.Page, a Asker) *Pages { return &Pages{p, a} }

// noDraft is said of a draft that is not there, or somebody else's.
var noDraft = &problem.Problem{Kind: problem.NotFound, Title: "This draft is not there",
	Say: "Drafts of restores go a week after their last change, or when they are discarded. Nothing was restored by it.",
	Do:  "Begin a new one, or go on with another of yours.", Link: problem.Link{Text: "Your drafts", URL: views.RestoreURL}}

// worded returns an error of drafts in words.
func worded(err error) error {
	switch {
	case errors.Is(err, drafts.ErrNone):
		return noDraft
	case errors.Is(err, drafts.ErrFull):
		return &problem.Problem{Kind: problem.Conflict, Title: "You have too many drafts", Say: "Nothing was changed.",
			Do: "Discard one that you do not need.", Link: problem.Link{Text: "Your drafts", URL: views.RestoreURL}, Err: err}
	}
	return err
}

// owner is whose drafts a request is about: a person's. A program has none.
func owner(ctx context.Context) (string, error) {
	if id := session.Of(ctx).UserID; id != "" {
		return id, nil
	}
	return "", noDraft
}

// draft returns the draft that an address names, if it is the visitor's.
func (s *Pages) draft(r *http.Request) (drafts.Draft, error) {
	user, err := owner(r.Context())
	if err != nil {
		return drafts.Draft{}, err
	}
	d, err := s.Store.Drafts().Get(r.Context(), user, base.Param(r, "draft"))
	return d, worded(err)
}

// change changes the draft that an address names.
func (s *Pages) change(r *http.Request, change func(*drafts.Draft) ([]drafts.Part, error)) (drafts.Draft, error) {
	user, err := owner(r.Context())
	if err != nil {
		return drafts.Draft{}, err
	}
	d, err := s.Store.Drafts().Change(r.Context(), user, base.Param(r, "draft"), change)
	return d, worded(err)
}

// shell is what surrounds a page of a draft.
func (s *Pages) shell(r *http.Request, title string) views.Shell {
	return s.Shell(r, title, "restore", views.Link{Text: "Restore", URL: views.RestoreURL}, views.Link{Text: title})
}

// frame is what every page of a draft shows.
func (s *Pages) frame(ctx context.Context, d drafts.Draft, page string) (views.Restore, error) {
	b := d.Body.V
	v := views.Restore{ID: d.ID, Page: page, Version: d.Version}
	if d.Repository != "" {
		names := map[topics.RepositoryID]string{}
		if err := s.Store.RepositoryNames(ctx, []topics.RepositoryID{d.Repository}, names); err != nil {
			return v, err
		}
		v.Repository = views.Link{Text: names[d.Repository], URL: views.RepositoryURL(string(d.Repository))}
		if _, err := s.Repository(ctx, d.Repository); err != nil {
			p := problem.Of(err)
			v.Note = &views.Note{Tone: "fail", Title: p.Title, Text: p.Detail(), Link: views.Link(p.Link)}
		}
	}
	v.Reached = map[string]bool{views.RestoreSnapshot: true, views.RestoreFiles: b.Snapshot != "", views.RestoreDestination: len(b.Items) > 0,
		views.RestoreReview: len(b.Items) > 0 && b.Target.Host != ""}
	if b.Ran != "" {
		v.Ran = views.Link{Text: "Open the job", URL: views.JobURL(string(b.Ran))}
	}
	basket, err := s.basket(ctx, d)
	v.Basket = basket
	return v, err
}

// basket is what was chosen, by snapshot.
func (s *Pages) basket(ctx context.Context, d drafts.Draft) (out views.Basket, err error) {
	b := d.Body.V
	at, windows := map[string]int{}, map[string]bool{}
	var files, folders int
	var bytes uint64
	for _, i := range b.Items {
		k, seen := at[i.Snapshot]
		if !seen {
			k = len(out.Groups)
			at[i.Snapshot] = k
			g := views.BasketGroup{Snapshot: i.Snapshot, ShortID: layout.Short(i.Snapshot)}
			n, err := s.Store.SnapshotByID(ctx, d.Repository, i.Snapshot)
			switch {
			case errors.Is(err, store.ErrNotFound):
				g.Gone = true
			case err != nil:
				return out, err
			default:
				g.At, g.Gone, windows[i.Snapshot] = s.When(n.Time), n.GoneAt > 0, ofWindows(n.Paths)
			}
			out.Groups = append(out.Groups, g)
		}
		item := views.BasketItem{Path: i.Path, Name: views.HostPath(i.Path, windows[i.Snapshot]), Folder: i.IsWhole()}
		if item.Folder {
			folders++
		} else {
			files++
			bytes += i.Size
			item.Size = words.Bytes(i.Size)
		}
		out.Groups[k].Items = append(out.Groups[k].Items, item)
	}
	out.Items = len(b.Items)
	var parts []string
	if files > 0 {
		parts = append(parts, words.Count(uint64(files), "file", "files")+", "+words.Bytes(bytes))
	}
	if folders > 0 {
		parts = append(parts, words.Count(uint64(folders), "folder", "folders")+" with all that is below")
	}
	if out.Text = strings.Join(parts, ", and "); out.Text == "" {
		out.Text = "Nothing yet. Tick what you need."
	}
	return out, nil
}

// ofWindows reports whether a snapshot with these paths is of a Windows host.
func ofWindows(paths []string) bool {
	for _, p := range paths {
		if len(p) > 1 && p[1] == ':' || strings.HasPrefix(p, `\\`) {
			return true
		}
	}
	return false
}

// refused is why a host gave no answer, for the place where its answer would be.
func refused(err error) *views.Note {
	n := &views.Note{Tone: "warn"}
	var q *queries.Refused
	if errors.As(err, &q) {
		n.Title, n.Text, n.Command = q.Title, strings.TrimSpace(q.Say+" "+q.Do), q.Command
		if q.Command != "" {
			n.Text += " To permit it, its administrator runs there:"
		}
		if q.Job != "" {
			n.Link = views.Link{Text: "Open the job", URL: views.JobURL(string(q.Job))}
		}
		return n
	}
	p := problem.Of(err)
	if p.Kind == problem.Internal {
		return nil
	}
	n.Title, n.Text, n.Command, n.Link = p.Title, besideCommand(p), p.Command, views.Link(p.Link)
	return n
}

// besideCommand is what a problem says where its command is shown apart, ready to copy.
func besideCommand(p *problem.Problem) string {
	if p.Command == "" {
		return p.Detail()
	}
	return strings.ReplaceAll(p.Detail(), p.Command, "the command below")
}

// otherWays are the places that lead on where no host can read a repository or take its
// files, if the host that they come from is gone or no other one may.
func (s *Pages) otherWays(r topics.RepositoryID, from topics.HostID) []views.Link {
	out := []views.Link{{Text: "Emergency kit", URL: views.KitURL(string(r))}}
	if from != "" && !s.Presence.Reachable(from) {
		out = append(out, views.Link{Text: "Replace its machine", URL: views.ReplacementURL(string(from))})
	}
	return out
}

// meanwhile is the note about a part that another tab changed since a form was made.
func meanwhile(what, now string) *views.Note {
	return &views.Note{Tone: "warn", Title: "Another tab changed " + what + " meanwhile",
		Text: "There it is now: " + now + ". Nothing was saved. What you chose is still in the form; send it again if it is to count."}
}

// DiscardPage asks whether a draft is to be removed.
func (s *Pages) DiscardPage(w http.ResponseWriter, r *http.Request) error {
	d, err := s.draft(r)
	if err != nil {
		return err
	}
	f, err := s.frame(r.Context(), d, "")
	if err != nil {
		return err
	}
	s.Render(w, r, http.StatusOK, views.RestoreDiscardPage(s.shell(r, "Discard a draft"), f))
	return nil
}

// Discard removes a draft.
func (s *Pages) Discard(w http.ResponseWriter, r *http.Request) error {
	user, err := owner(r.Context())
	if err != nil {
		return err
	}
	if err := s.Store.Drafts().Remove(r.Context(), user, base.Param(r, "draft")); err != nil {
		return err
	}
	layout.Redirect(w, r, views.RestoreURL)
	return nil
}
