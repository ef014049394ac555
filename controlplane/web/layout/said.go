package layout

import (
	"net/http"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// Left is how much longer a job takes, once restic has seen enough to tell.
func Left(p topics.Progress) string {
	if p.Seconds < 10 || !p.Scanned {
		return ""
	}
	return words.Left(time.Duration(p.SecondsLeft) * time.Second)
}

// KindNames are the operations a host allows, nil if it does not say.
func KindNames(h store.Host) []string {
	if h.Permits.V == nil {
		return nil
	}
	var names []string
	for _, k := range h.Permits.V.Kinds {
		names = append(names, string(k))
	}
	return names
}

func Offline(since views.When) string {
	if since.Never() {
		return "Its agent has not connected yet."
	}
	return "Its agent was last heard of " + since.Ago() + "."
}

// Apart splits "39.1 GiB" at its space.
func Apart(size string) (value, unit string) {
	value, unit, _ = strings.Cut(size, " ")
	return value, unit
}

// Where a page's crumbs begin.
var (
	ToFleet        = views.Link{Text: "Fleet", URL: "/"}
	ToRepositories = views.Link{Text: "Repositories", URL: "/repositories"}
)

// Stay answers an action whose page changes by itself.
func (s *Page) Stay(w http.ResponseWriter, r *http.Request, page string) error {
	if base.IsHTMX(r) {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	Redirect(w, r, page)
	return nil
}

// Give is the field of a form that says that a host is to get a repository it does not have.
const Give = "give"

func NotConfirmed(r store.Repository) error {
	return &problem.Problem{
		Kind:  problem.Invalid,
		Title: "Nothing was done",
		Say:   "What was typed is not the repository's name.",
		Do:    "Type " + r.Name + " if you mean it.",
	}
}
