package pages

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

func (s *Pages) SettingsPage(w http.ResponseWriter, r *http.Request) error {
	bytes, logs, err := s.Store.LogSize(r.Context())
	if err != nil {
		return err
	}
	c := s.Settings
	unbounded := func(bound bool, words string) string {
		if !bound {
			return "No bound"
		}
		return words
	}
	jobs := func(n int) string { return unbounded(n > 0, words.Count(uint64(max(n, 0)), "job", "jobs")) }
	proxies := "None"
	if len(c.Proxies) > 0 {
		proxies = strings.Trim(fmt.Sprint(c.Proxies), "[]")
	}
	certificate := "None: in clear"
	if c.TLS != "" {
		certificate = c.TLS
	}
	groups := []views.SettingGroup{
		{ID: "addresses", Name: "Addresses", List: []views.Setting{
			{Name: "Web pages and API",
				Text:  "Where this page comes from. Behind a proxy, people use the proxy's address.",
				Value: c.HTTP, Flag: "--http"},
			{Name: "Certificate", Text: "For TLS on the pages. Read again when the file changes.", Value: certificate, Flag: "--tls-cert"},
			{Name: "Trusted proxies",
				Text:  "Only these are believed about where a request comes from, and that it came over TLS.",
				Value: proxies, Flag: "--trusted-proxy"},
			{Name: "Agents", Text: "Where agents connect and enrol, over TLS.", Value: c.Agents, Flag: "--agents"},
			{Name: "Consumers over MQTT",
				Text:  "Where Home Assistant and others read the public topics. Only on this machine.",
				Value: c.MQTT, Flag: "--mqtt"}}},
		{ID: "jobs", Name: "Jobs", List: []views.Setting{
			{Name: "Jobs at the same time",
				Text:  "In the whole fleet. More wait for their turn.",
				Value: jobs(c.Limits.Fleet), Flag: "--fleet-jobs"},
			{Name: "Jobs at the same time per repository",
				Text:  "What must be alone on its repository waits, and is waited for, in any case.",
				Value: jobs(c.Limits.Repository), Flag: "--repo-jobs"}}},
		{ID: "logs", Name: "Logs", List: []views.Setting{
			{Name: "Lines of each job",
				Text:  "The first and the last half. What is between is recorded as a gap.",
				Value: words.Count(uint64(max(c.LogLines, 0)), "line", "lines"), Flag: "--log-lines"},
			{Name: "Age",
				Text:  "Logs of jobs that ended longer ago are removed. The jobs themselves stay.",
				Value: unbounded(c.Retention.Age > 0, words.Span(c.Retention.Age)), Flag: "--log-age"},
			{Name: "Size",
				Text:  "Beyond it, the oldest logs are removed.",
				Value: unbounded(c.Retention.Bytes > 0, words.Bytes(uint64(max(c.Retention.Bytes, 0)))), Flag: "--log-mib"},
			{Name: "Stored now",
				Text:  "Text of logs in the database.",
				Value: words.Bytes(uint64(max(bytes, 0))) + " of " + words.Count(uint64(max(logs, 0)), "job", "jobs")}}},
		{ID: "about", Name: "About", List: []views.Setting{
			{Name: "restic-manager", Text: "The version that runs.", Value: layout.Said(s.Version)},
			{Name: "A job that says nothing",
				Text:  "Is called stalled after this time.",
				Value: unbounded(s.Timing.Stalled > 0, words.Span(s.Timing.Stalled))}}},
	}
	_, page := layout.ListPlace(r.URL.Query())
	kits, paging, err := s.kitLinks(r.Context(), page)
	if err != nil {
		return err
	}
	s.Render(w, r, http.StatusOK, views.SettingsPage(s.Shell(r, "Settings", "settings", views.Link{Text: "Settings"}), groups, kits, paging))
	return nil
}

// kitLinks are a page of the emergency kits there are, for those who may see them.
func (s *Pages) kitLinks(ctx context.Context, page int) (links []views.Link, paging views.Paging, err error) {
	if !session.Of(ctx).May(rights.Kit) {
		return nil, paging, nil
	}
	from := (max(page, 1) - 1) * views.PageSize
	rows, total, err := s.Store.RepositoryPage(ctx, "", from, views.PageSize)
	if paging = views.KitPaging(total, page); err == nil && paging.From != from {
		rows, _, err = s.Store.RepositoryPage(ctx, "", paging.From, views.PageSize)
	}
	for _, r := range rows {
		links = append(links, views.Link{Text: r.Name, URL: views.KitURL(string(r.ID))})
	}
	return links, paging, err
}
