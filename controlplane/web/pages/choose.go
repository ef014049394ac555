package pages

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// choice lists hosts to choose from, by rank from 0 to 2, those that can be
// reached first: at most one more than a page suggests, which says that there are
// others.
func (s *Pages) choice(m *fleet.Moment, rank func(*fleet.Entry) int) []views.Runner {
	const most = views.MostRunners + 1
	var places [6][]*fleet.Entry
	for _, h := range m.ByName() {
		place := 2 * min(max(rank(h), 0), 2)
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
			out = append(out, s.runner(h))
		}
	}
	return out
}

// runner is a host in a choice.
func (s *Pages) runner(h *fleet.Entry) views.Runner {
	r := views.Runner{ID: string(h.ID), Name: h.Name, Host: h.Name, Policy: h.Policy, Forbids: forbids(h.Host)}
	if !s.Presence.Reachable(h.ID) {
		r.Name += " (not connected)"
	}
	return r
}

// chosen is the host that was chosen or typed: by ID or name, or by a part of it
// that is no other's. Nothing is "", and what is not known stays as it is.
func (s *Pages) chosen(ctx context.Context, text string) (topics.HostID, error) {
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

// ChooseHosts suggests hosts while a name is typed into whichever field.
func (s *Pages) ChooseHosts(w http.ResponseWriter, r *http.Request) error {
	m, err := s.Moment(r.Context())
	if err != nil {
		return err
	}
	text := ""
	for _, name := range []string{"q", "host", "keeper"} {
		if v := r.URL.Query().Get(name); v != "" {
			text = v
		}
	}
	var list []views.Runner
	for _, h := range m.Page(fleet.Filter{Text: text}, 0, views.MostRunners) {
		list = append(list, s.runner(h))
	}
	s.render(w, r, http.StatusOK, views.RunnerOptions(list))
	return nil
}
