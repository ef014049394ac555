package pages

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/search"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// How much the palette lists: of each kind so many, and of all together.
const (
	mostFound        = 20
	mostFixed        = 6
	mostHosts        = 6
	mostRepositories = 4
	mostOfVerb       = 8
	longestFound     = 200 // characters of what is typed
)

// fixed are the commands and pages that are always there, the likely ones first, and by
// which other words they are found.
var fixed = []struct{ icon, text, url, also string }{
	{"archive-restore", "Restore files…", views.RestoreNewURL("", "", "", ""), "browse snapshots bring back"},
	{"search", "Find a file…", views.SearchURL("", ""), "search look"},
	{"layers", "Versions of a file…", views.VersionsFormURL("", "", ""), "history"},
	{"server", "Fleet", "/", "hosts home"},
	{"activity", "Jobs", "/jobs", "runs log"},
	{"bell", "Alerts", views.AlertsURL, "notifications problems"},
	{"database", "Repositories", "/repositories", "backends"},
	{"archive-restore", "Restore drafts", views.RestoreURL, ""},
	{"calendar-clock", "Schedules", views.SchedulesURL, "plans"},
	{"shield-check", "Restore drills", views.DrillsURL, "proven prove"},
	{"settings-2", "Settings", "/settings", "public address"},
	{"bell-off", "Pause alerts…", views.AlertPausesURL, "maintenance window snooze"},
	{"bell-ring", "Channels and rules", views.ChannelsURL, "notifications mail told alerts"},
	{"plus", "Add channel…", views.NewChannelURL, "new mail ntfy slack telegram webhook notifications"},
	{"list", "Conditions and thresholds", views.AlertConditionsURL, "alerts limits"},
	{"activity", "Watchdog", views.HeartbeatURL, "heartbeat ping healthchecks"},
	{"key-round", "Emergency kits", views.AllKitsURL, "passwords"},
	{"plus", "Add host…", "/hosts/new", "enrol new"},
	{"plus", "Add repository…", "/repositories/new", "new"},
	{"plus", "New schedule…", "/schedules/new", "add"},
	{"scroll-text", "Audit log", "/audit", ""},
	{"users", "Users", "/users", "people accounts"},
	{"radio", "MQTT", "/mqtt", "consumers broker"},
	{"trash-2", "Removed", views.RemovedURL, "deleted trash"},
	{"user", "Your account", "/account", "password sessions sign out"},
	{"server", "Control plane", "/control-plane", "server database copy"},
	{"plus", "Add user…", "/users/new", "new person"},
	{"plus", "New API token…", "/tokens/new", "add"},
	{"plus", "New MQTT credential…", "/mqtt/new", "add consumer"},
	{"lock", "Identity", "/identity", "certificate ca sealing key"},
}

// A verb is what is done with a host or a repository whose name follows the word.
type verb struct {
	icon                 string
	ofHost, ofRepository string // before its name
	end                  string // behind it
	toHost, toRepository func(id string) string
}

var (
	toOpen = verb{icon: "server", ofHost: "Open ", ofRepository: "Open ", toHost: views.HostURL, toRepository: views.RepositoryURL}

	toRestore = verb{icon: "archive-restore", ofHost: "Restore files of ", ofRepository: "Restore from ", end: "…",
		toHost:       func(id string) string { return views.RestoreNewURL("", "", id, "") },
		toRepository: func(id string) string { return views.RestoreNewURL(id, "", "", "") }}

	toFind = verb{icon: "search", ofHost: "Find a file of ", ofRepository: "Find a file in ", end: "…",
		toHost:       func(id string) string { return views.SearchURL("", id) },
		toRepository: func(id string) string { return views.SearchURL(id, "") }}

	toCompare = verb{icon: "layers", ofHost: "Versions of a file of ", ofRepository: "Versions of a file in ", end: "…",
		toHost:       func(id string) string { return views.VersionsFormURL("", id, "") },
		toRepository: func(id string) string { return views.VersionsFormURL(id, "", "") }}
)

// verbs are the words that may stand before a name; the first letters are enough.
var verbs = []struct {
	word string
	verb
}{
	{"open", toOpen}, {"restore", toRestore}, {"browse", toRestore}, {"find", toFind}, {"search", toFind}, {"versions", toCompare},
}

// between are words that may stand between a verb and a name.
var between = []string{"a", "file", "files", "of", "from", "in", "on", "host", "repository"}

// GoPage lists what the visitor can go to by what they type: as a page, or as the list in
// the dialog of every page.
func (s *Pages) GoPage(w http.ResponseWriter, r *http.Request) error {
	text := strings.TrimSpace(r.URL.Query().Get("q"))
	p, err := s.palette(r.Context(), text)
	if err != nil {
		return err
	}
	if base.IsHTMX(r) {
		s.Render(w, r, http.StatusOK, views.PaletteList(p))
		return nil
	}
	const title = "Search and commands"
	s.Render(w, r, http.StatusOK, views.PalettePage(s.Shell(r, title, "", views.Link{Text: title}), p))
	return nil
}

// A gatherer collects what is found, as far as the visitor may open it, until there is
// enough.
type gatherer struct {
	ctx context.Context
	out views.Palette
	n   int
}

// put adds a group; what it already has elsewhere and what does not fit is left out.
func (g *gatherer) put(title string, items ...views.PaletteItem) {
	var kept []views.PaletteItem
	for _, i := range items {
		known := slices.ContainsFunc(g.out.Groups, func(p views.PaletteGroup) bool {
			return slices.ContainsFunc(p.Items, func(o views.PaletteItem) bool { return o.URL == i.URL })
		})
		if g.n < mostFound && !known && views.MayOpen(g.ctx, i.URL) {
			kept = append(kept, i)
			g.n++
		}
	}
	if len(kept) > 0 {
		g.out.Groups = append(g.out.Groups, views.PaletteGroup{Title: title, Items: kept})
	}
}

// first leaves of a list the first that the visitor may open.
func (g *gatherer) first(list []views.PaletteItem, most int) (out []views.PaletteItem) {
	for _, i := range list {
		if len(out) < most && views.MayOpen(g.ctx, i.URL) {
			out = append(out, i)
		}
	}
	return out
}

// palette finds what a text may mean.
func (s *Pages) palette(ctx context.Context, text string) (views.Palette, error) {
	g := &gatherer{ctx: ctx, out: views.Palette{Text: text}}
	if text == "" {
		var commands, pages []views.PaletteItem
		for _, i := range fixedItems("") {
			if strings.HasSuffix(i.Text, "…") {
				commands = append(commands, i)
			} else {
				pages = append(pages, i)
			}
		}
		g.put("Commands", commands...)
		g.put("Pages", pages...)
		return g.out, nil
	}
	m, err := s.Moment(ctx)
	if err != nil {
		return g.out, err
	}
	text = words.Cut(text, longestFound)
	if isPath(text) {
		g.put("This path",
			views.PaletteItem{Icon: "archive-restore", Text: "Restore " + text + "…", URL: views.RestoreNewURL("", "", "", search.PathOf(text))},
			views.PaletteItem{Icon: "layers", Text: "Versions of " + text + "…", URL: views.VersionsFormURL("", "", text)},
			views.PaletteItem{Icon: "search", Text: "Find " + text + "…", URL: views.PatternURL(text)})
	}
	g.put("Commands and pages", g.first(fixedItems(text), mostFixed)...)
	if v, name := verbOf(text); name != "" {
		rows, _, err := s.Store.RepositoryPage(ctx, name, 0, mostRepositories)
		if err != nil {
			return g.out, err
		}
		g.put("Commands", append(s.withHosts(v, m.Named(name, mostOfVerb)), withRepositories(v, rows)...)...)
	}
	hosts := m.Named(text, mostHosts)
	rows, _, err := s.Store.RepositoryPage(ctx, strings.ToLower(text), 0, mostRepositories)
	if err != nil {
		return g.out, err
	}
	g.put("Hosts", s.withHosts(toOpen, hosts)...)
	g.put("Repositories", withRepositories(toOpen, rows)...)
	var more []views.PaletteItem
	for _, v := range []verb{toRestore, toFind, toCompare} {
		more = append(more, s.withHosts(v, hosts[:min(len(hosts), 2)])...)
		more = append(more, withRepositories(v, rows[:min(len(rows), 2)])...)
	}
	more = append(more, views.PaletteItem{Icon: "search", Text: "Find files named “" + text + "”…", URL: views.PatternURL(text)})
	g.put("What to do there", more...)
	return g.out, nil
}

// fixedItems lists the commands and pages of which every word of a text begins a word.
func fixedItems(text string) (out []views.PaletteItem) {
	typed := strings.Fields(strings.ToLower(text))
	for _, f := range fixed {
		has := strings.Fields(strings.ToLower(f.text + " " + f.also))
		if !slices.ContainsFunc(typed, func(t string) bool {
			return !slices.ContainsFunc(has, func(h string) bool { return strings.HasPrefix(h, t) })
		}) {
			out = append(out, views.PaletteItem{Icon: f.icon, Text: f.text, URL: f.url})
		}
	}
	return out
}

// verbOf reads a verb and the name behind it, as in "restore files of attic"; without
// both, the name is "".
func verbOf(text string) (v verb, name string) {
	all := strings.Fields(strings.ToLower(text))
	if len(all) < 2 || len(all[0]) < 2 {
		return v, ""
	}
	rest := all[1:]
	for len(rest) > 1 && slices.Contains(between, rest[0]) {
		rest = rest[1:]
	}
	for _, known := range verbs {
		if strings.HasPrefix(known.word, all[0]) {
			return known.verb, strings.Join(rest, " ")
		}
	}
	return v, ""
}

// withHosts is a verb with each of some hosts.
func (s *Pages) withHosts(v verb, list []*fleet.Entry) (out []views.PaletteItem) {
	for _, h := range list {
		note := statusOf(h.Status).Word
		if !s.Presence.Reachable(h.ID) {
			note += ", agent not connected"
		}
		out = append(out, views.PaletteItem{Icon: v.icon, Text: v.ofHost + h.Name + v.end, Note: note, URL: v.toHost(string(h.ID))})
	}
	return out
}

// withRepositories is a verb with each of some repositories.
func withRepositories(v verb, list []store.Repository) (out []views.PaletteItem) {
	for _, r := range list {
		icon := v.icon
		if icon == toOpen.icon {
			icon = "database"
		}
		out = append(out, views.PaletteItem{Icon: icon, Text: v.ofRepository + r.Name + v.end, Note: r.Location,
			URL: v.toRepository(string(r.ID))})
	}
	return out
}

// isPath reports whether a text is the whole path of a file, of either kind of system.
func isPath(text string) bool {
	return len(text) > 1 && strings.HasPrefix(search.PathOf(text), "/")
}
