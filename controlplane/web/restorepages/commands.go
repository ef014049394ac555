package restorepages

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/plain"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drafts"
	"github.com/restic-manager/restic-manager/views"
)

// Commands shows how to bring back what a draft holds with restic alone, when no agent can.
func (s *Pages) Commands(w http.ResponseWriter, r *http.Request) error {
	d, err := s.draft(r)
	if err != nil {
		return err
	}
	ctx := r.Context()
	f, err := s.frame(ctx, d, views.RestoreFiles)
	if err != nil {
		return err
	}
	v := views.RestoreCommands{Restore: f}
	if v.Commands, err = s.commands(ctx, d); err != nil {
		return err
	}
	s.Render(w, r, http.StatusOK, views.RestoreCommandsPage(s.shell(r, "With restic alone"), v))
	return nil
}

// commands are what brings a draft's basket back with restic alone; none if the repository
// is gone, which the page says, or what it needs cannot be read, which its own page says. They hold no secret.
func (s *Pages) commands(ctx context.Context, d drafts.Draft) ([]views.PlainCommand, error) {
	b := d.Body.V
	if len(b.Items) == 0 {
		return nil, nil
	}
	r, err := s.Repository(ctx, d.Repository)
	if err != nil {
		if problem.Of(err).Kind == problem.Internal {
			return nil, err
		}
		return nil, nil
	}
	access, err := s.Store.RepositoryAccess(ctx, r.ID)
	if errors.As(err, new(*store.UnreadableError)) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	at := plain.Repository{Address: r.Location, Flags: plain.Flags(access.Env, access.Files, r.Options.V)}
	if strings.Contains(at.Address, location.Host) {
		_, place, err := s.origin(ctx, d)
		if err != nil {
			return nil, err
		}
		name, err := s.Store.PlaceName(ctx, r.ID, place)
		if err != nil {
			return nil, err
		}
		if name != "" {
			at.Address = strings.ReplaceAll(at.Address, location.Host, name)
		}
	}
	var out []views.PlainCommand
	file := len(b.Items) == 1 && b.Items[0].Type == "file"
	for i, c := range append([]plain.Command{at.Setup()}, at.Commands(b.Basket(), file)...) {
		out = append(out, views.PlainCommand{ID: "plain-" + strconv.Itoa(i), Title: c.Title, Text: c.Text, Sh: c.Sh, PowerShell: c.PowerShell})
	}
	return out, nil
}
