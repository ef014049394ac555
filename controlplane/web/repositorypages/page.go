// Package repositorypages holds the handlers of pages about repositories: the
// list, one repository and its snapshots, the form, retention, maintenance hours,
// the emergency kit, and the operations a host can be asked for on its snapshots.
package repositorypages

import (
	"time"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// Pages holds the handlers of pages about repositories.
type Pages struct{ *layout.Page }

// New returns the handlers of pages about repositories.
func New(p *layout.Page) *Pages { return &Pages{p} }

const (
	pageSnapshots = 20                  // of one page of a repository's list
	shownJobs     = 6                   // the last of a repository
	checkEvery    = 35 * 24 * time.Hour // a repository that was not checked for longer is overdue
)

func pointOf(d store.Day) views.Point {
	return views.Point{At: base.DayOf(d), Value: uint64(max(d.StoredBytes, 0))}
}

func checkErrors(r store.Repository) string {
	if r.CheckErrors == 0 {
		return ""
	}
	return words.Count(uint64(r.CheckErrors), "error", "errors")
}
