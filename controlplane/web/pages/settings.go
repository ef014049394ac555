package pages

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store/kits"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// SettingsPage shows how the server is set up.
func (s *Pages) SettingsPage(w http.ResponseWriter, r *http.Request) error {
	return s.settingsPage(w, r, http.StatusOK, s.publicAddress(r), nil)
}

func (s *Pages) publicAddress(r *http.Request) views.PublicAddress {
	return views.PublicAddress{URL: s.Alerts.PublicURL(r.Context()), Flag: s.Alerts.PublicFlag != ""}
}

// SaveAgentsAddress takes the address that agents dial.
func (s *Pages) SaveAgentsAddress(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	a := views.PublicAddress{URL: strings.TrimSpace(r.PostForm.Get("agents_public"))}
	err := s.Reach.Set(r.Context(), session.Of(r.Context()).Name, a.URL)
	var wrong field.Errors
	if errors.As(err, &wrong) {
		a.Error = wrong["agents_public"]
		return s.settingsPage(w, r, http.StatusUnprocessableEntity, s.publicAddress(r), &a)
	} else if err != nil {
		return err
	}
	layout.Redirect(w, r, "/settings#agents-public")
	return nil
}

// SavePublicURL takes the address at which people find these pages.
func (s *Pages) SavePublicURL(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	a := views.PublicAddress{URL: strings.TrimSpace(r.PostForm.Get("public_url"))}
	err := s.Alerts.SetPublicURL(r.Context(), session.Of(r.Context()).Name, a.URL)
	var wrong field.Errors
	if errors.As(err, &wrong) {
		a.Error = wrong["public_url"]
		return s.settingsPage(w, r, http.StatusUnprocessableEntity, a, nil)
	} else if err != nil {
		return err
	}
	layout.Redirect(w, r, "/settings#public-url")
	return nil
}

// settingsPage shows the settings. agents is the agents' address as it was typed, nil as it is.
func (s *Pages) settingsPage(w http.ResponseWriter, r *http.Request, status int, public views.PublicAddress,
	agents *views.PublicAddress,
) error {
	at, err := s.Reach.Of(r.Context())
	if err != nil {
		return err
	}
	if agents == nil {
		agents = &views.PublicAddress{URL: at.Set, Flag: at.Flag}
	}
	agents.Unreached = views.Unreached(at.Say, at.Do)
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
	networks := func(list []netip.Prefix) string {
		if len(list) == 0 {
			return "None"
		}
		return strings.Trim(fmt.Sprint(list), "[]")
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
				Value: networks(c.Proxies), Flag: "--trusted-proxy"},
			{Name: "Agents", Text: "Where agents connect and enrol, over TLS.", Value: c.Agents, Flag: "--agents"},
			{Name: "Consumers over MQTT",
				Text:  "Where Home Assistant and others read the public topics.",
				Value: cmp.Or(c.MQTT, "off"), Flag: "--mqtt"},
			{Name: "Certificate for consumers", Text: "For TLS with them. Read again when the file changes.",
				Value: cmp.Or(c.MQTTTLS, "None: in clear"), Flag: "--mqtt-tls-cert"},
			metricsSetting(c.MetricsToken, c.MetricsAllow)}},
		{ID: "connections", Name: "Connections", List: []views.Setting{
			{Name: "Agents", Text: "Connected at the same time. More are refused, and try again.",
				Value: words.Number(uint64(max(c.Connections[0], 0))), Flag: "--agent-connections"},
			{Name: "Consumers over MQTT", Text: "The same of them.",
				Value: words.Number(uint64(max(c.Connections[1], 0))), Flag: "--consumer-connections"},
			{Name: "Web pages and API",
				Text:  "Connections of people and programs that have signed in.",
				Value: words.Number(uint64(max(c.Connections[2], 0))), Flag: "--page-connections"},
			{Name: "Shared addresses",
				Text: "Networks in which one address stands for many hosts, as behind a NAT. Any other address may have 32 connections " +
					"that have not signed in yet; the next one closes the oldest of them.",
				Value: networks(c.Shared), Flag: "--shared-address"},
			{Name: "TCP proxies",
				Text:  "In front of the ports of agents and consumers. They must send the PROXY protocol; from elsewhere it is refused.",
				Value: networks(c.TCPProxies), Flag: "--proxy-protocol"}}},
		{ID: "jobs", Name: "Jobs", List: []views.Setting{
			{Name: "Jobs at the same time",
				Text:  "In the whole fleet. More wait for their turn.",
				Value: jobs(c.Limits.Fleet), Flag: "--fleet-jobs"},
			{Name: "Jobs at the same time per repository",
				Text:  "What must be alone on its repository waits, and is waited for, in any case.",
				Value: jobs(c.Limits.Repository), Flag: "--repo-jobs"}}},
		{ID: "space", Name: "Space", List: []views.Setting{
			{Name: "Held below",
				Text: "With less room than this on the disk of the data directory, or than " + strconv.FormatFloat(c.Space.LowPercent, 'f', -1, 64) +
					" % of it and " + words.Bytes(c.Space.LowMost) + ", new jobs are held.",
				Value: words.Bytes(c.Space.Low), Flag: "--low-space-mib"},
			{Name: "Reserve",
				Text:  "Kept on that disk for what people do when it is full. Logs and reports are not taken while as much is left beside it.",
				Value: unbounded(c.Space.Reserve > 0, words.Bytes(c.Space.Reserve)), Flag: "--reserve-mib"}}},
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
	list, paging, err := s.kitRows(r.Context(), page)
	if err != nil {
		return err
	}
	sh := s.Shell(r, "Settings", "settings", views.Link{Text: "Settings"})
	s.Render(w, r, status, views.SettingsPage(sh, groups, public, *agents, list, paging))
	return nil
}

// metricsSetting says who may read metrics, and how that is changed.
func metricsSetting(token string, allow []netip.Prefix) views.Setting {
	st := views.Setting{Name: "Prometheus", Value: "Off", Flag: "--metrics-token-file",
		Text: "Who may read /metrics at the address of these pages: whoever shows the token of a file, or asks from a network named with " +
			"--metrics-allow. With both, both must hold. Anybody else finds no such page. docs/METRICS.md says how to set it up."}
	networks := strings.Trim(fmt.Sprint(allow), "[]")
	switch {
	case token != "" && len(allow) > 0:
		st.Value = "With the token in " + token + ", from " + networks
	case token != "":
		st.Value = "With the token in " + token
	case len(allow) > 0:
		st.Value, st.Flag = "From "+networks, "--metrics-allow"
	}
	return st
}

// kitRows are a page of the emergency kits there are, for those who may see them: first the
// one of all repositories, then those of each.
func (s *Pages) kitRows(ctx context.Context, page int) (list []views.KitRow, paging views.Paging, err error) {
	if !session.Of(ctx).May(rights.Kit) {
		return nil, paging, nil
	}
	from := (max(page, 1) - 1) * views.PageSize
	rows, total, err := s.Store.RepositoryPage(ctx, "", from, views.PageSize)
	if paging = views.KitPaging(total, page); err == nil && paging.From != from {
		rows, _, err = s.Store.RepositoryPage(ctx, "", paging.From, views.PageSize)
	}
	if err != nil {
		return nil, paging, err
	}
	shown, err := s.Store.KitsShown(ctx)
	last := func(kind kits.Kind, id string) views.KitShown {
		k := shown[kits.Of{Kind: kind, Subject: id}]
		return views.KitShown{At: s.When(k.At), By: k.Actor}
	}
	if total > 0 {
		list = append(list, views.KitRow{Link: views.Link{Text: "All repositories", URL: views.AllKitsURL},
			Text: "One page to print with the secrets of every repository. A host’s page has the kit of what that host has.",
			Last: last(kits.OfAll, "")})
	}
	for _, r := range rows {
		list = append(list, views.KitRow{Link: views.Link{Text: r.Name, URL: views.KitURL(string(r.ID))},
			Text: "A page to print: the repository’s secrets, and how to have the data back with restic alone.",
			Last: last(kits.OfRepository, string(r.ID))})
	}
	return list, paging, err
}

// SupportBundle gives an administrator what helps to find a fault, without secrets. That
// somebody took it is in the audit log first.
func (s *Pages) SupportBundle(w http.ResponseWriter, r *http.Request) error {
	if s.Bundle == nil {
		return problem.NoPage
	}
	at := s.Now().UTC()
	dir := "restic-manager-support-" + at.Format("20060102-150405")
	if err := s.Store.Audit(r.Context(), session.Of(r.Context()).Name, "support_bundle.taken", "", dir); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := s.Bundle(r.Context(), &b, dir, at); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Disposition", `attachment; filename="`+dir+`.tar.gz"`)
	w.Header().Set("Cache-Control", "no-store")
	_, err := w.Write(b.Bytes())
	return base.IgnoreGone(err)
}
