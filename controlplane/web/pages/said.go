package pages

import (
	"net/http"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// left is how much longer a job takes, once restic has seen enough to tell.
func left(p topics.Progress) string {
	if p.Seconds < 10 || !p.Scanned {
		return ""
	}
	return words.Left(time.Duration(p.SecondsLeft) * time.Second)
}

// kindNames are the operations a host allows, nil if it does not say.
func kindNames(h store.Host) []string {
	if h.Permits.V == nil {
		return nil
	}
	var names []string
	for _, k := range h.Permits.V.Kinds {
		names = append(names, string(k))
	}
	return names
}

func offline(since views.When) string {
	if since.Never() {
		return "Its agent has not connected yet."
	}
	return "Its agent was last heard of " + since.Ago + "."
}

// apart splits "39.1 GiB" at its space.
func apart(size string) (value, unit string) {
	value, unit, _ = strings.Cut(size, " ")
	return value, unit
}

var toRepositories = views.Link{Text: "Repositories", URL: "/repositories"}

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

func repositoryID(r *http.Request) topics.RepositoryID {
	return topics.RepositoryID(base.Param(r, "id"))
}

// stay answers an action whose page changes by itself.
func (s *Pages) stay(w http.ResponseWriter, r *http.Request, page string) error {
	if base.IsHTMX(r) {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	layout.Redirect(w, r, page)
	return nil
}

func notConfirmed(r store.Repository) error {
	return &problem.Problem{
		Kind:  problem.Invalid,
		Title: "Nothing was done",
		Say:   "What was typed is not the repository's name.",
		Do:    "Type " + r.Name + " if you mean it.",
	}
}
