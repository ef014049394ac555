package layout

import (
	"errors"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
)

// NotSavedHere is notSaved for a page whose form is not shown again. It leaves out
// the names of the fields, which a page does not show.
func NotSavedHere(what string, err error) error {
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

// Besides adds to a text what is wrong with fields the form does not show errors at.
func Besides(text string, fields field.Errors, shown ...string) string {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(shown, name) {
			text += " " + fields[name]
		}
	}
	return text
}

// Lines are the lines of a text field that say something.
func Lines(text string) []string {
	var out []string
	for line := range strings.Lines(strings.ReplaceAll(text, "\r\n", "\n")) {
		// Spaces may belong to a file's name; a line of nothing else says nothing.
		if line = strings.TrimSuffix(line, "\n"); strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	return out
}

// Redirect leads to a page, in the way the one who asked understands.
func Redirect(w http.ResponseWriter, r *http.Request, to string) {
	if base.IsHTMX(r) {
		w.Header().Set("HX-Redirect", to)
		w.WriteHeader(http.StatusOK)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func BadForm(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return problem.Oversized(large.Limit)
	}
	return &problem.Problem{Kind: problem.BadRequest, Title: "The form could not be read", Say: "It did not arrive as a form.",
		Do: "Go back and send it again.", Err: err}
}

func HostOf(r *http.Request) string {
	if h, _, err := net.SplitHostPort(r.Host); err == nil {
		return h
	}
	return r.Host
}

// ListPlace is the text that a list is searched for, and its page, as a URL has
// them.
func ListPlace(q url.Values) (text string, page int) {
	page, err := strconv.Atoi(q.Get("page"))
	if err != nil {
		page = 1
	}
	return strings.TrimSpace(q.Get("q")), page
}

// Loopback reports whether a host of an address is a machine's own name for itself.
func Loopback(host string) bool {
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}
