package pages

import (
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/views"
)

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
		list = append(list, s.Runner(h))
	}
	s.Render(w, r, http.StatusOK, views.RunnerOptions(list))
	return nil
}

// ChooseRepositories suggests repositories while a name is typed.
func (s *Pages) ChooseRepositories(w http.ResponseWriter, r *http.Request) error {
	text := strings.ToLower(strings.TrimSpace(r.URL.Query().Get("repository")))
	rows, _, err := s.Store.RepositoryPage(r.Context(), text, 0, views.MostRunners)
	if err != nil {
		return err
	}
	var list []views.Option
	for _, row := range rows {
		list = append(list, views.Option{Value: row.Name, Text: row.Location})
	}
	s.Render(w, r, http.StatusOK, views.RepositoryOptions(list))
	return nil
}
