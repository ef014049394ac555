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

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/live"
	"github.com/restic-manager/restic-manager/views"
)

// Pages holds the handlers of pages.
type Pages struct {
	*layout.Page
	chain           *base.Chain
	planned         *schedule.Board // every schedule
	sharedAttention live.Recent[attentionKey, []views.Attention]
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

// statusKey is the pages' key of a status.
func statusKey(st hosts.Status) string {
	if st == hosts.NoBackupYet {
		return "no-backup"
	}
	return string(st)
}

// hostStatusOf is the status whose key a page names.
func hostStatusOf(key string) hosts.Status {
	if key == statusKey(hosts.NoBackupYet) {
		return hosts.NoBackupYet
	}
	return hosts.Status(key)
}

// attentionKey is what the list of hosts in trouble depends on: it says how long
// ago things happened, to the minute.
type attentionKey struct {
	m      *fleet.Moment
	minute int64
}
