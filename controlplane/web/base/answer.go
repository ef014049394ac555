package base

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
)

// statuses maps kinds of problems to HTTP statuses.
var statuses = map[problem.Kind]int{
	problem.Internal:         http.StatusInternalServerError,
	problem.BadRequest:       http.StatusBadRequest,
	problem.Unauthenticated:  http.StatusUnauthorized,
	problem.Forbidden:        http.StatusForbidden,
	problem.NotFound:         http.StatusNotFound,
	problem.Method:           http.StatusMethodNotAllowed,
	problem.Timeout:          http.StatusRequestTimeout,
	problem.Conflict:         http.StatusConflict,
	problem.Gone:             http.StatusGone,
	problem.TooLarge:         http.StatusRequestEntityTooLarge,
	problem.UnsupportedMedia: http.StatusUnsupportedMediaType,
	problem.Invalid:          http.StatusUnprocessableEntity,
	problem.UpgradeRequired:  http.StatusUpgradeRequired,
	problem.TooMany:          http.StatusTooManyRequests,
	problem.Unavailable:      http.StatusServiceUnavailable,
}

// StatusOf returns the status a problem is answered with.
func StatusOf(p *problem.Problem) int {
	if status, ok := statuses[p.Kind]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// ProblemOf returns the problem an error is shown as: [problem.Of], plus the errors
// of net/http.
func ProblemOf(err error) *problem.Problem {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return problem.Oversized(large.Limit)
	}
	return problem.Of(err)
}

// ProblemJSON returns a problem as the API tells it.
func ProblemJSON(p *problem.Problem) topics.Problem {
	return topics.Problem{Title: p.Title, Status: StatusOf(p), Detail: p.Detail(), Snapshots: p.Snapshots, Cause: p.Cause,
		Command: p.Command, Job: p.Job}
}

// IsHTMX reports whether a script of our pages sent a request.
func IsHTMX(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

// Forbidden says which role a visitor lacks for a right.
func Forbidden(v *session.Visitor, r rights.Right) *problem.Problem {
	has := v.Name + " has the role " + string(v.Role)
	if why := v.Lowered(); why != "" {
		has += " (" + why + ")"
	}
	return &problem.Problem{Kind: problem.Forbidden, Title: "You may not do this",
		Say: "It needs the role " + string(rights.Least(r)) + "; " + has + ".",
		Do:  "Ask an administrator, or sign in as somebody who may."}
}

// SamePlace is a path on this server, or "".
func SamePlace(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsFunc(next, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) {
		return ""
	}
	return next
}

// Param is a part of the path, as it was before escaping.
func Param(r *http.Request, name string) string {
	v := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return v
	}
	if plain, err := url.PathUnescape(v); err == nil {
		return plain
	}
	return v
}

// HostID and JobID are the ID in an address.
func HostID(r *http.Request) topics.HostID { return topics.HostID(Param(r, "id")) }

// RepositoryID is the repository that an address names.
func RepositoryID(r *http.Request) topics.RepositoryID { return topics.RepositoryID(Param(r, "id")) }

func JobID(r *http.Request) topics.JobID { return topics.JobID(Param(r, "id")) }

// BrokerError says what is wrong with the brokers, nil if nothing is.
func (p *Parts) BrokerError() error {
	if p.Broker == nil {
		return nil
	}
	return p.Broker()
}

// IgnoreGone is for writes: a client that has gone is not our failure.
func IgnoreGone(error) error { return nil }

// MaxBody bounds every request's body; most routes take less.
const MaxBody = 1 << 20

// Deadline is by the wall clock, which connections go by, whatever Now says.
func Deadline(d time.Duration) time.Time { return time.Now().Add(d) }
