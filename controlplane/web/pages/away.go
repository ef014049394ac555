package pages

import (
	"context"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/controlplane/replace"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
)

// away is what a host's page says while its machine is gone, or while another one has taken
// its place and nobody has decided; nil if neither is so. One that comes and goes is asleep
// until it is over its own limit.
func (s *Pages) away(ctx context.Context, e *fleet.Entry, newest []store.Snapshot) (*views.Away, error) {
	r, _, err := s.Store.Replacement(ctx, e.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	a := &views.Away{HostID: string(e.ID), Since: s.When(e.Gone), Replacing: err == nil && r.Open()}
	a.Waits, a.Late = a.Replacing && r.EnrolledAt > 0, a.Replacing && replace.Late(r, s.Now().UnixMilli())
	if len(newest) > 0 {
		a.SavedAt = s.When(newest[0].Time)
	}
	if !a.Replacing && (e.Connection != hosts.Offline || e.Intermittent && !s.overdue(e)) {
		return nil, nil
	}
	return a, nil
}

// overdue reports whether a host that comes and goes has been gone for longer than it may be
// without a backup.
func (s *Pages) overdue(e *fleet.Entry) bool {
	limit := protection.DefaultTiming().Intermittent
	if e.OverdueDays > 0 {
		limit = time.Duration(e.OverdueDays) * 24 * time.Hour
	}
	return e.Gone > 0 && s.Now().Sub(time.UnixMilli(e.Gone)) > limit
}
