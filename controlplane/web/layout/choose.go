package layout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// Choice lists hosts to choose from, by rank from 0 to 2 and not at all below that, those
// that can be reached first: at most one more than a page suggests, which says that there are
// others.
func (s *Page) Choice(m *fleet.Moment, rank func(*fleet.Entry) int) []views.Runner {
	const most = views.MostRunners + 1
	var places [6][]*fleet.Entry
	for _, h := range m.ByName() {
		place := 2 * min(rank(h), 2)
		if place < 0 {
			continue
		}
		if !s.Presence.Reachable(h.ID) {
			place++
		}
		if len(places[place]) < most {
			places[place] = append(places[place], h)
		}
	}
	out := []views.Runner{}
	for _, list := range places {
		for _, h := range list[:min(len(list), most-len(out))] {
			out = append(out, s.Runner(h))
		}
	}
	return out
}

// Runner is a host in a choice.
func (s *Page) Runner(h *fleet.Entry) views.Runner {
	r := views.Runner{ID: string(h.ID), Name: h.Name, Host: h.Name, Policy: h.Policy, Forbids: Forbids(h.Host)}
	if !s.Presence.Reachable(h.ID) {
		r.Name += " (not connected)"
	}
	return r
}

// Chosen is the host that was chosen or typed: by ID or name, or by a part of it
// that is no other's. Nothing is "", and what is not known stays as it is.
func (s *Page) Chosen(ctx context.Context, text string) (topics.HostID, error) {
	if text = strings.TrimSpace(text); text == "" {
		return "", nil
	}
	m, err := s.Moment(ctx)
	if err != nil {
		return "", err
	}
	if h := m.Find(text); h != nil {
		return h.ID, nil
	}
	switch found := m.Search(text); len(found) {
	case 0:
		return topics.HostID(text), nil
	case 1:
		return found[0], nil
	default:
		return "", &problem.Problem{Kind: problem.Invalid, Title: "More than one host is meant",
			Say: fmt.Sprintf("%d hosts hold “%.100s” in their names.", len(found), text), Do: "Type the whole name of one and ask again."}
	}
}

// Forbids are the kinds of job a host's policy does not allow.
func Forbids(h store.Host) map[string]bool {
	no := map[string]bool{}
	for _, k := range topics.Kinds {
		no[string(k)] = !h.Permits.V.Allows(k)
	}
	return no
}

// RepositoryChoice lists repositories to choose from, some before all others, with
// what is said of each. There is one more than a page suggests if there are others.
func (s *Page) RepositoryChoice(ctx context.Context, first []topics.RepositoryID) ([]store.Repository, error) {
	const most = views.MostRunners + 1
	list, err := s.Store.RepositoriesAmong(ctx, first)
	if err != nil {
		return nil, err
	}
	rows, _, err := s.Store.RepositoryPage(ctx, "", 0, most)
	for _, r := range rows {
		if !slices.Contains(first, r.ID) {
			list = append(list, r)
		}
	}
	return list[:min(len(list), most)], err
}

// RepositoryOptions are repositories as a page offers them: as a list to choose from,
// or, if there are more than it shows, as suggestions for a name that is typed.
func RepositoryOptions(list []store.Repository, text func(store.Repository) string) (options []views.Option, many bool) {
	many = len(list) > views.MostRunners
	for _, r := range list[:min(len(list), views.MostRunners)] {
		if many {
			options = append(options, views.Option{Value: r.Name, Text: r.Location})
		} else {
			options = append(options, views.Option{Value: string(r.ID), Text: text(r)})
		}
	}
	return options, many
}

// ChosenRepository is the repository that was chosen or typed: by ID or name, or by a
// part of its name or location that is no other's. What is not known stays as it is.
func (s *Page) ChosenRepository(ctx context.Context, text string) (topics.RepositoryID, error) {
	if text = strings.TrimSpace(text); text == "" {
		return "", nil
	}
	r, err := s.Store.FindRepository(ctx, text)
	if err == nil {
		return r.ID, nil
	} else if !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	rows, total, err := s.Store.RepositoryPage(ctx, strings.ToLower(text), 0, 1)
	switch {
	case err != nil:
		return "", err
	case total == 0:
		return topics.RepositoryID(text), nil
	case total == 1:
		return rows[0].ID, nil
	}
	return "", &problem.Problem{Kind: problem.Invalid, Title: "More than one repository is meant",
		Say: fmt.Sprintf("%d repositories hold “%.100s” in their names or locations.", total, text),
		Do:  "Type the whole name of one and ask again."}
}

// WhyNot is why a host takes no job of a kind, "" if it does.
func (s *Page) WhyNot(h store.Host, k topics.JobKind) string {
	if errors.Is(jobs.MayAsk(jobs.Actor{Role: store.Admin}, h, k, nil), jobs.ErrForbidden) {
		return views.Forbidden(h.Name, h.Policy)
	}
	if !s.Presence.Permit(h).Opens(k) {
		return views.NotBefore(h.Name)
	}
	return ""
}
