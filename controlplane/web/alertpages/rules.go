package alertpages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	rows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// A heardOf is of which host is asked who hears of what.
type heardOf struct {
	id   topics.HostID
	name string
	tags []string
}

// heardTable lays out a preview: a row for each condition, a column for each channel.
func heardTable(rules routing.Rules, list []rows.Channel, of *heardOf) views.HeardTable {
	t := views.HeardTable{}
	column, byRule := map[string]int{}, map[string]routing.Rule{}
	for i, c := range list {
		column[c.ID] = i
		t.Channels = append(t.Channels, c.Name)
	}
	for _, r := range rules.Rules {
		byRule[r.ID] = r
	}
	table := conditions.Table()
	var heard []routing.Heard
	if of != nil {
		t.Host = views.Link{Text: of.name, URL: views.HostURL(string(of.id))}
		heard = routing.Preview(table, rules, list, of.id, of.tags)
	} else {
		heard = append(routing.Preview(table, rules, list, "any", nil), routing.Preview(table, rules, list, "", nil)...)
	}
	at := map[conditions.Name]int{}
	for _, h := range heard {
		i, known := at[h.Condition]
		if !known {
			c, _ := conditions.Of(h.Condition)
			i = len(t.Rows)
			at[h.Condition] = i
			t.Rows = append(t.Rows, views.HeardRow{Condition: string(h.Condition), Title: c.Title, About: layout.AlertAbouts[c.On],
				Severity: string(h.Severity),
				Cells:    make([]views.HeardCell, len(list))})
		}
		n, there := column[h.Channel]
		if !there {
			for k := range t.Rows[i].Cells {
				t.Rows[i].Cells[k].Why = h.Why
			}
			continue
		}
		cell := views.HeardCell{Hears: true, Why: h.Why}
		if r, of := byRule[h.Rule]; of {
			cell.Note = note(r)
		}
		t.Rows[i].Cells[n] = cell
	}
	return t
}

// note is how a rule tells, in a few words.
func note(r routing.Rule) string {
	var said []string
	if r.Delay > 0 {
		said = append(said, "after "+words.Span(time.Duration(r.Delay)*time.Second))
	}
	if r.QuietFrom != "" {
		said = append(said, "not "+r.QuietFrom+"–"+r.QuietTo)
	}
	return strings.Join(said, ", ")
}

// RulesPage shows who hears of what, and of a host what comes of it.
func (s *Pages) RulesPage(w http.ResponseWriter, r *http.Request) error {
	return s.rulesPage(w, r, http.StatusOK, nil)
}

// A typedDigest is a summary that was refused, with the channels that were ticked.
type typedDigest struct {
	views.DigestForm
	to []string
}

func (s *Pages) rulesPage(w http.ResponseWriter, r *http.Request, status int, refused *typedDigest) error {
	ctx := r.Context()
	m, err := s.Moment(ctx)
	if err != nil {
		return err
	}
	rules, version, err := s.Alerts.Rules(ctx)
	if err != nil {
		return err
	}
	list, err := s.Channels.List(ctx)
	if err != nil {
		return err
	}
	v := views.AlertRules{Tabs: s.tabs(ctx, "channels"), Version: version, Host: strings.TrimSpace(r.URL.Query().Get("host")),
		NoneYet: len(list) == 0}
	names := namesOf(list)
	for i, x := range rules.Rules {
		v.Rules = append(v.Rules, ruleLine(x, m, names, i == 0, i == len(rules.Rules)-1))
	}
	for i, d := range rules.Digests {
		v.Digests = append(v.Digests, views.DigestForm{N: strconv.Itoa(i), Every: d.Every, At: d.At, Weekday: cmp.Or(d.Weekday, "monday"),
			Zone: d.Zone, Version: version, Says: digestSays(d, names), Channels: boxes(list, d.Channels)})
	}
	v.Add = views.DigestForm{Every: routing.Daily, At: "08:00", Weekday: "monday", Zone: words.Zone(ctx).String(), Version: version,
		Channels: boxes(list, nil)}
	if refused != nil {
		refused.Channels = boxes(list, refused.to)
		if at, err := strconv.Atoi(refused.N); err == nil && at < len(v.Digests) {
			refused.Says = v.Digests[at].Says
			v.Digests[at] = refused.DigestForm
		} else {
			v.Add = refused.DigestForm
		}
	}
	var of *heardOf
	if v.Host != "" {
		if e := m.Find(v.Host); e != nil {
			v.Host, of = e.Name, &heardOf{e.ID, e.Name, e.Tags}
		} else {
			v.HostErr = "There is no host of this name."
		}
	}
	if len(list) > 0 && v.HostErr == "" {
		v.Heard = heardTable(rules, list, of)
	}
	sh := s.Shell(r, "Rules", "alerts", toAlerts, toChannels, views.Link{Text: "Rules"})
	s.Render(w, r, status, views.AlertRulesPage(sh, v))
	return nil
}

// boxes are the channels to tick, each with its ID.
func boxes(list []rows.Channel, on []string) (out []views.Check) {
	for _, c := range list {
		out = append(out, views.Check{Value: c.ID, Text: c.Name, On: slices.Contains(on, c.ID)})
	}
	return out
}

func namesOf(list []rows.Channel) map[string]string {
	names := map[string]string{}
	for _, c := range list {
		names[c.ID] = c.Name
	}
	return names
}

// named are channels in a sentence.
func named(ids []string, names map[string]string) string {
	var said []string
	for _, id := range ids {
		if name := names[id]; name != "" {
			said = append(said, name)
		} else {
			said = append(said, "a channel that was removed")
		}
	}
	return joined(said)
}

// ruleLine is a rule in words.
func ruleLine(r routing.Rule, m *fleet.Moment, names map[string]string, first, last bool) views.RuleLine {
	v := views.RuleLine{ID: r.ID, Name: r.Name, First: first, Last: last}
	what := "Every alert"
	if len(r.Severities) > 0 {
		said := map[string]string{"critical": "what is critical", "warning": "warnings", "info": "information"}
		var all []string
		for _, x := range r.Severities {
			all = append(all, said[x])
		}
		what = joined(all)
		what = strings.ToUpper(what[:min(1, len(what))]) + what[min(1, len(what)):]
	}
	if n := len(r.Conditions); n > 0 {
		var said []string
		for _, x := range r.Conditions[:min(n, 4)] {
			c, _ := conditions.Of(conditions.Name(x))
			said = append(said, c.Title)
		}
		if n > 4 {
			said = append(said, fmt.Sprintf("%d more", n-4))
		}
		what += " (" + joined(said) + ")"
	}
	var of []string
	if len(r.Tags) > 0 {
		of = append(of, "hosts with the tag "+strings.Join(r.Tags, " or "))
	}
	if n := len(r.Hosts); n > 0 {
		var said []string
		for _, id := range r.Hosts[:min(n, 5)] {
			said = append(said, m.Name(topics.HostID(id)))
		}
		if n > 5 {
			said = append(said, fmt.Sprintf("%d more", n-5))
		}
		of = append(of, joined(said))
	}
	if len(of) > 0 {
		what += " of " + strings.Join(of, ", or of ")
	}
	if len(r.Channels) == 0 {
		v.Says = what + ": told to nobody."
	} else {
		v.Says = what + ": told to " + named(r.Channels, names) + "."
	}
	add := func(is bool, text string) {
		if is {
			v.Notes = append(v.Notes, text)
		}
	}
	add(r.Delay > 0, "Only if it is still open after "+words.Span(time.Duration(r.Delay)*time.Second)+".")
	quiet := "Not from " + r.QuietFrom + " to " + r.QuietTo + " (" + r.Zone + ")"
	if r.CriticalWaits {
		quiet += "; what is critical waits, too."
	} else {
		quiet += "; what is critical comes through."
	}
	add(r.QuietFrom != "", quiet)
	add(r.RepeatEvery > 0, "Again every "+words.Span(time.Duration(r.RepeatEvery)*time.Second)+" while nobody acknowledged it.")
	add(!r.Recovered, "Not that it is over.")
	add(r.Stop, "No rule below counts for it.")
	return v
}

func digestSays(d routing.Digest, names map[string]string) string {
	when := "Every day"
	if d.Every == routing.Weekly {
		when = "Every " + strings.ToUpper(d.Weekday[:min(1, len(d.Weekday))]) + d.Weekday[min(1, len(d.Weekday)):]
	}
	return when + " at " + d.At + " (" + d.Zone + ") to " + named(d.Channels, names)
}

// find is a rule by its ID, and its place; below zero if there is none.
func find(rules routing.Rules, id string) (routing.Rule, int) {
	i := slices.IndexFunc(rules.Rules, func(r routing.Rule) bool { return r.ID == id })
	if i < 0 {
		return routing.Rule{}, i
	}
	return rules.Rules[i], i
}

var noRule = &problem.Problem{Kind: problem.NotFound, Title: "There is no such rule", Say: "Somebody may have removed it.",
	Do: "Look at the rules that there are.", Link: problem.Link{Text: "Rules", URL: views.AlertRulesURL}}

var noDigest = &problem.Problem{Kind: problem.NotFound, Title: "There is no such summary", Say: "Somebody may have removed it.",
	Do: "Look at the summaries that there are.", Link: problem.Link{Text: "Rules and summaries", URL: views.AlertRulesURL + "#digests"}}

// RuleForm shows the form of a rule.
func (s *Pages) RuleForm(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	m, err := s.Moment(ctx)
	if err != nil {
		return err
	}
	rules, version, err := s.Alerts.Rules(ctx)
	if err != nil {
		return err
	}
	rule := routing.Rule{Severities: []string{"warning", "critical"}, Recovered: true, Zone: words.Zone(ctx).String()}
	if id := base.Param(r, "rule"); id != "" {
		at := 0
		if rule, at = find(rules, id); at < 0 {
			return noRule
		}
	}
	f := views.RuleForm{ID: rule.ID, Version: version, Name: rule.Name, Tags: strings.Join(rule.Tags, "\n"), QuietFrom: rule.QuietFrom,
		QuietTo: rule.QuietTo, Zone: rule.Zone, CriticalWaits: rule.CriticalWaits, Recovered: rule.Recovered, Stop: rule.Stop}
	var hosts []string
	for _, id := range rule.Hosts {
		hosts = append(hosts, m.Name(topics.HostID(id)))
	}
	f.Hosts = strings.Join(hosts, "\n")
	if rule.RepeatEvery > 0 {
		f.Repeat = strconv.FormatInt((rule.RepeatEvery+3599)/3600, 10)
	}
	if rule.Delay > 0 {
		f.Delay = strconv.FormatInt((rule.Delay+59)/60, 10)
	}
	return s.rulePage(w, r, http.StatusOK, f, rule.Severities, rule.Conditions, rule.Channels)
}

func (s *Pages) rulePage(w http.ResponseWriter, r *http.Request, status int, f views.RuleForm, severities, named, to []string) error {
	list, err := s.Channels.List(r.Context())
	if err != nil {
		return err
	}
	for _, o := range views.AlertSeverities {
		f.Severities = append(f.Severities, views.Check{Value: o.Value, Text: o.Text, On: slices.Contains(severities, o.Value)})
	}
	for _, c := range conditions.Table() {
		f.Conditions = append(f.Conditions, views.Check{Value: string(c.Name), Text: c.Title, Sub: layout.AlertAbouts[c.On] + ", " +
			strings.ToLower(views.SeverityWord(string(c.Severity))), On: slices.Contains(named, string(c.Name))})
	}
	f.Channels = boxes(list, to)
	title := "Add a rule"
	if f.ID != "" {
		title = "Change a rule"
	}
	sh := s.Shell(r, title, "alerts", toAlerts, toChannels, views.Link{Text: "Rules", URL: views.AlertRulesURL}, views.Link{Text: title})
	s.Render(w, r, status, views.RulePage(sh, f))
	return nil
}

// number reads what is typed as a whole number of so many seconds each; "" is 0.
func number(text string, unit int64, wrong field.Errors, name string) int64 {
	if text = strings.TrimSpace(text); text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<30 {
		wrong.Say(name, "Give a whole number, or leave it empty.")
		return 0
	}
	return n * unit
}

// ticked are the values of boxes, whose names may have more behind them.
func ticked(form url.Values, name string) []string { return form[name] }

// ruleOf reads a rule from its form.
func (s *Pages) ruleOf(ctx context.Context, form url.Values, m *fleet.Moment) (rule routing.Rule, f views.RuleForm, wrong field.Errors) {
	wrong = field.Errors{}
	version, _ := strconv.ParseInt(form.Get("version"), 10, 64) // what is none is refused when it is saved
	f = views.RuleForm{Version: version, Name: strings.TrimSpace(form.Get("name")), Tags: form.Get("tags"), Hosts: form.Get("hosts"),
		Repeat: form.Get("repeat"), Delay: form.Get("delay"), QuietFrom: form.Get("quiet_from"), QuietTo: form.Get("quiet_to"),
		Zone: strings.TrimSpace(form.Get("zone")), CriticalWaits: form.Get("critical_waits") != "", Recovered: form.Get("recovered") != "",
		Stop: form.Get("stop") != ""}
	rule = routing.Rule{Name: f.Name, Severities: ticked(form, "severity"), Conditions: ticked(form, "condition"),
		Channels: ticked(form, "channel"), RepeatEvery: number(f.Repeat, 3600, wrong, "repeat_every"), Delay: number(f.Delay, 60, wrong, "delay"),
		QuietFrom: f.QuietFrom, QuietTo: f.QuietTo, CriticalWaits: f.CriticalWaits, Recovered: f.Recovered, Stop: f.Stop}
	if f.QuietFrom != "" || f.QuietTo != "" {
		rule.Zone = f.Zone
	}
	for _, t := range layout.Lines(f.Tags) {
		rule.Tags = append(rule.Tags, strings.TrimSpace(t))
	}
	for _, h := range layout.Lines(f.Hosts) {
		e := m.Find(strings.TrimSpace(h))
		if e == nil {
			wrong.Say("hosts", "There is no host "+words.Quoted(strings.TrimSpace(h))+".")
			continue
		}
		rule.Hosts = append(rule.Hosts, string(e.ID))
	}
	return rule, f, wrong
}

// SaveRule adds or changes a rule.
func (s *Pages) SaveRule(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx := r.Context()
	m, err := s.Moment(ctx)
	if err != nil {
		return err
	}
	rules, _, err := s.Alerts.Rules(ctx)
	if err != nil {
		return err
	}
	rule, f, wrong := s.ruleOf(ctx, r.PostForm, m)
	f.ID, rule.ID = base.Param(r, "rule"), base.Param(r, "rule")
	at := len(rules.Rules)
	if rule.ID == "" {
		rule.ID = topics.NewID(s.Now())
		rules.Rules = append(slices.Clone(rules.Rules), rule)
	} else if _, at = find(rules, rule.ID); at < 0 {
		return noRule
	} else {
		rules.Rules = slices.Clone(rules.Rules)
		rules.Rules[at] = rule
	}
	if err = wrong.Err(); err == nil {
		_, err = s.Alerts.SetRules(ctx, s.actor(ctx), rules, f.Version)
	}
	if err == nil {
		layout.Redirect(w, r, views.AlertRulesURL)
		return nil
	}
	if !errors.As(err, &wrong) {
		return err
	}
	f.Errors, f.Problem = map[string]string{}, "The rule was not saved."
	for name, say := range wrong {
		short := strings.TrimPrefix(name, fmt.Sprintf("rules.%d.", at))
		if strings.Contains(short, ".") || !slices.Contains([]string{"name", "severities", "conditions", "tags", "hosts", "channels", "delay",
			"repeat_every", "quiet_from", "quiet_to", "zone"}, short) {
			f.Problem += " " + say
			continue
		}
		f.Errors[short] = say
	}
	return s.rulePage(w, r, http.StatusUnprocessableEntity, f, rule.Severities, rule.Conditions, rule.Channels)
}

// changeRules changes the rules as a form asks that names the version it was made from.
func (s *Pages) changeRules(w http.ResponseWriter, r *http.Request, to string, change func(*routing.Rules, url.Values) error) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx := r.Context()
	rules, _, err := s.Alerts.Rules(ctx)
	if err != nil {
		return err
	}
	rules.Rules, rules.Digests = slices.Clone(rules.Rules), slices.Clone(rules.Digests)
	if err := change(&rules, r.PostForm); err != nil {
		return err
	}
	version, _ := strconv.ParseInt(r.PostForm.Get("version"), 10, 64) // what is none is refused when it is saved
	if _, err := s.Alerts.SetRules(ctx, s.actor(ctx), rules, version); err != nil {
		return layout.NotSavedHere("rule", err)
	}
	layout.Redirect(w, r, to)
	return nil
}

// RemoveRule removes a rule.
func (s *Pages) RemoveRule(w http.ResponseWriter, r *http.Request) error {
	return s.changeRules(w, r, views.AlertRulesURL, func(rules *routing.Rules, form url.Values) error {
		_, at := find(*rules, form.Get("rule"))
		if at < 0 {
			return noRule
		}
		rules.Rules = slices.Delete(rules.Rules, at, at+1)
		return nil
	})
}

// MoveRule puts a rule before the one above it, or behind the one below.
func (s *Pages) MoveRule(w http.ResponseWriter, r *http.Request) error {
	return s.changeRules(w, r, views.AlertRulesURL, func(rules *routing.Rules, form url.Values) error {
		_, at := find(*rules, form.Get("rule"))
		if at < 0 {
			return noRule
		}
		to := at - 1
		if form.Get("down") != "" {
			to = at + 1
		}
		if to >= 0 && to < len(rules.Rules) {
			rules.Rules[to], rules.Rules[at] = rules.Rules[at], rules.Rules[to]
		}
		return nil
	})
}

// SaveDigest adds a summary, or changes one.
func (s *Pages) SaveDigest(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, form := r.Context(), r.PostForm
	rules, _, err := s.Alerts.Rules(ctx)
	if err != nil {
		return err
	}
	f := views.DigestForm{N: form.Get("n"), Every: form.Get("every"), At: form.Get("at"), Weekday: form.Get("weekday"),
		Zone: strings.TrimSpace(form.Get("zone"))}
	f.Version, _ = strconv.ParseInt(form.Get("version"), 10, 64) // what is none is refused when it is saved
	d := routing.Digest{Channels: ticked(form, "channel"), Every: f.Every, At: f.At, Zone: cmp.Or(f.Zone, words.Zone(ctx).String())}
	if d.Every == routing.Weekly {
		d.Weekday = f.Weekday
	}
	rules.Digests = slices.Clone(rules.Digests)
	at := len(rules.Digests)
	if f.N == "" {
		rules.Digests = append(rules.Digests, d)
	} else if at, err = strconv.Atoi(f.N); err != nil || at < 0 || at >= len(rules.Digests) {
		return noDigest
	} else {
		rules.Digests[at] = d
	}
	var wrong field.Errors
	switch _, err = s.Alerts.SetRules(ctx, s.actor(ctx), rules, f.Version); {
	case err == nil:
		layout.Redirect(w, r, views.AlertRulesURL+"#digests")
		return nil
	case !errors.As(err, &wrong):
		return err
	}
	f.Errors, f.Problem = map[string]string{}, "The summary was not saved."
	for name, say := range wrong {
		if short, of := strings.CutPrefix(name, fmt.Sprintf("digests.%d.", at)); of {
			f.Errors[short] = say
		} else {
			f.Problem += " " + say
		}
	}
	return s.rulesPage(w, r, http.StatusUnprocessableEntity, &typedDigest{f, d.Channels})
}

// RemoveDigest removes a summary.
func (s *Pages) RemoveDigest(w http.ResponseWriter, r *http.Request) error {
	return s.changeRules(w, r, views.AlertRulesURL+"#digests", func(rules *routing.Rules, form url.Values) error {
		at, err := strconv.Atoi(form.Get("n"))
		if err != nil || at < 0 || at >= len(rules.Digests) {
			return noDigest
		}
		rules.Digests = slices.Delete(rules.Digests, at, at+1)
		return nil
	})
}
