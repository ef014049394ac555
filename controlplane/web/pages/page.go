// Package pages holds the handlers of pages about the fleet and its hosts, what they
// back up and when, the audit log and the settings, and the streams that keep them
// true.
// A handler reads the request, asks one capability, and answers with one page or
// one redirect; rows become view-models here, in the words of package views. Pages
// never start restic: what they show comes from the database.
//
// Pages about jobs are in package jobpages, pages about repositories in
// repositorypages, and what all of them share in layout.
// No handler calls another file's handler.
package pages

import (
	"context"

	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/views"
)

// Pages holds the handlers of pages.
type Pages struct {
	*layout.Page
	chain   *base.Chain
	planned *schedule.Board // every schedule
}

// New returns the handlers of pages.
func New(p *layout.Page) *Pages {
	return &Pages{
		Page:    p,
		chain:   base.NewChain(p.Store, p.Log, p.Now),
		planned: schedule.NewBoard(p.Store, p.Now),
	}
}

// WatchAudit reads all of the audit log's chain once in a while until ctx ends.
func (s *Pages) WatchAudit(ctx context.Context) { s.chain.Keep(ctx, s.Timing.Verify) }

// hostStatusOf is the status that a page's address names.
func hostStatusOf(key string) protection.Status {
	if key == "no-backup" { // as it was called in links of former versions
		return protection.NoBackupYet
	}
	return protection.Status(key)
}

// statusOf is a status as pages show it.
func statusOf(st protection.Status) views.Status { return views.HostStatus(string(st)) }
