// Package jobpages holds the handlers of pages about jobs: the list of all, one
// job with its log and its result, and the forms that ask for a job, ask again or
// cancel.
package jobpages

import (
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/views"
)

// Pages holds the handlers of pages about jobs.
type Pages struct{ *layout.Page }

// New returns the handlers of pages about jobs.
func New(p *layout.Page) *Pages { return &Pages{p} }

var toJobs = views.Link{Text: "Jobs", URL: "/jobs"}
