package pages

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
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

func said(v string) string {
	if v == "" {
		return "not known"
	}
	return v
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

var toUsers = views.Link{Text: "Users", URL: "/users"}

func (s *Pages) until(ms int64) string {
	if ms == 0 {
		return "No expiry"
	}
	return "Good until " + words.Clock(base.At(ms), s.Now())
}

// listPlace is the text that a list is searched for, and its page, as a URL has
// them.
func listPlace(q url.Values) (text string, page int) {
	page, err := strconv.Atoi(q.Get("page"))
	if err != nil {
		page = 1
	}
	return strings.TrimSpace(q.Get("q")), page
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

// forbids are the kinds of job a host's policy does not allow.
func forbids(h store.Host) map[string]bool {
	no := map[string]bool{}
	for _, k := range topics.Kinds {
		no[string(k)] = !h.Permits.V.Allows(k)
	}
	return no
}

// whyNot is why a host takes no job of a kind, "" if it does.
func whyNot(h store.Host, k topics.JobKind) string {
	if errors.Is(jobs.MayAsk(jobs.Actor{Role: store.Admin}, h, k, nil), jobs.ErrForbidden) {
		return views.Forbidden(h.Name, h.Policy)
	}
	return ""
}
