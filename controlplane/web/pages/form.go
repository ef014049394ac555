package pages

import (
	"context"
	"errors"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// notSavedHere is notSaved for a page whose form is not shown again. It leaves out
// the names of the fields, which a page does not show.
func notSavedHere(what string, err error) error {
	var wrong field.Errors
	if !errors.As(err, &wrong) {
		return err
	}
	p, said := problem.NotSaved(what, wrong), []string{}
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		said = append(said, wrong[name])
	}
	p.Say, p.Do = strings.Join(said, " "), "Change it and save again."
	return p
}

// lines are the lines of a text field that say something.
func lines(text string) []string {
	var out []string
	for line := range strings.Lines(strings.ReplaceAll(text, "\r\n", "\n")) {
		// Spaces may belong to a file's name; a line of nothing else says nothing.
		if line = strings.TrimSuffix(line, "\n"); strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	return out
}

// redirect leads to a page, in the way the one who asked understands.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	if base.IsHTMX(r) {
		w.Header().Set("HX-Redirect", to)
		w.WriteHeader(http.StatusOK)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// slow sets Retry-After and returns the sentence that says how long to wait.
func slow(w http.ResponseWriter, wait time.Duration) string {
	n := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(n))
	if n == 1 {
		return "Too many tries. Wait 1 second, then try again."
	}
	return "Too many tries. Wait " + strconv.Itoa(n) + " seconds, then try again."
}

// signedOut answers somebody whose session has ended by what they did.
func (s *Pages) signedOut(w http.ResponseWriter, r *http.Request) error {
	s.Sessions.Forget(w, r)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// checkSecret returns what is wrong with a new password, and with its repetition.
func checkSecret(secret, again string) (wrong, different string) {
	if wrong = people.CheckPassword(secret); wrong == "" && again != secret {
		different = "The two are not the same."
	}
	return wrong, different
}

func badForm(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return problem.Oversized(large.Limit)
	}
	return &problem.Problem{Kind: problem.BadRequest, Title: "The form could not be read", Say: "It did not arrive as a form.",
		Do: "Go back and send it again.", Err: err}
}

func hostOf(r *http.Request) string {
	if h, _, err := net.SplitHostPort(r.Host); err == nil {
		return h
	}
	return r.Host
}

// user returns a user by ID.
func (s *Pages) user(ctx context.Context, id string) (store.User, error) {
	u, err := s.Store.User(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		err = people.ErrNoUser
	}
	return u, err
}

// besides adds to a text what is wrong with fields the form does not show errors at.
func besides(text string, fields field.Errors, shown ...string) string {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(shown, name) {
			text += " " + fields[name]
		}
	}
	return text
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
	redirect(w, r, page)
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
