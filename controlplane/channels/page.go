package channels

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/words"
)

// A tone is how urgent a message is, as each kind shows it.
type tone struct {
	name   string // critical, warning, info, recovered, ended or digest
	word   string // before the title: "Critical"
	emoji  string
	tag    string // ntfy's name of the emoji
	colour int    // RGB
}

var (
	critical  = tone{"critical", "Critical", "🔴", "rotating_light", 0xdf413b}
	warning   = tone{"warning", "Warning", "🟠", "warning", 0xcd8121}
	info      = tone{"info", "Info", "🔵", "information_source", 0x008ba9}
	recovered = tone{"recovered", "Recovered", "🟢", "white_check_mark", 0x509d73}
	ended     = tone{"ended", "Ended by hand", "⚪", "white_circle", 0x7a8087}
	digest    = tone{"digest", "Summary", "📋", "bar_chart", 0x008ba9}
)

func toneOf(severity string) tone {
	switch severity {
	case "critical":
		return critical
	case "info":
		return info
	}
	return warning
}

// A page is what a message says, made fit to be looked at, before it has the form of a
// kind. Its texts have no character that deceives; only those of intro, cause and do may
// have several lines.
type page struct {
	tone  tone
	word  string // what kind of message it is: "Critical", "Reminder", "Recovered"
	title string // without the word
	intro string
	items []item
	more  int  // items that are not there
	brief bool // of few items the details are left out, too
	rows  []Row
	at    string // when it is of: "29 Nov 2026 03:12 UTC"
	link  string // absolute, or ""
	open  string // what the link is called
	path  string // where to look, if there is no link
}

// An item is one alert of a page.
type item struct {
	tone  tone
	title string
	cause string
	do    string
	facts string // one line: severity, since when, how often
	link  string // absolute, or ""
}

// heading is the page's title with the word before it.
func (p page) heading() string {
	if p.title == "" {
		return p.word
	}
	return p.word + ": " + p.title
}

// pageOf is what a message says.
func pageOf(ctx context.Context, m Message) page {
	p := page{tone: warning, title: line(m.Title), intro: lines(m.Text), more: max(m.More, 0)}
	if len(m.Alerts) > 0 {
		p.tone = toneOf(m.Alerts[0].Severity)
	}
	p.word = p.tone.word
	switch m.Event {
	case "recovered":
		p.tone = recovered
		if p.more == 0 && len(m.Alerts) > 0 && !slices.ContainsFunc(m.Alerts, func(a Alert) bool { return a.EndedBy == "" }) {
			p.tone = ended
		}
		p.word = p.tone.word
	case "digest":
		p.tone, p.word = digest, digest.word
	case "reminded":
		p.word = "Still open"
	case "test":
		p.word = "Test"
	}
	for _, said := range []string{p.word, "Critical", "Warning", "Recovered", "Ended by hand", "Reminder", "Still open", "Summary", "Digest",
		"Test"} {
		if rest, ok := strings.CutPrefix(p.title, said+": "); ok {
			p.title = rest
		}
	}
	if p.title == "" && len(m.Alerts) > 0 {
		p.title = line(m.Alerts[0].Title)
	}
	if m.At > 0 {
		p.at = stamp(ctx, words.At(m.At))
	}
	for _, a := range m.Alerts {
		i := item{tone: toneOf(a.Severity), title: line(a.Title), cause: lines(words.Beside(a.Title, a.Cause)),
			do: lines(a.Do), facts: facts(ctx, a)}
		if m.Event == "recovered" || a.EndedAt != "" {
			if i.tone = recovered; a.EndedBy != "" {
				i.tone = ended
			}
			if i.cause != "" {
				i.cause = "What it was: " + lines(a.Cause)
			}
		}
		i.link, _ = leads(a.Link)
		p.items = append(p.items, i)
	}
	for _, r := range m.Rows {
		row := Row{Name: line(r.Name), Value: line(r.Value)}
		for _, l := range r.Lines {
			row.Lines = append(row.Lines, line(l))
		}
		p.rows = append(p.rows, row)
	}
	p.open = "Open the alert"
	switch {
	case m.Event == "digest" && len(m.Alerts) == 0:
		p.open = "Open the fleet"
	case len(m.Alerts)+p.more != 1:
		p.open = "Open the alerts"
	}
	p.link, p.path = leads(m.Link)
	return p
}

// leads is a link that programs outside can follow, or else the path of the page.
func leads(text string) (link, path string) {
	u, err := url.Parse(text)
	if err != nil || text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == '<' || r == '>' }) {
		return "", ""
	}
	if (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil {
		return u.String(), ""
	}
	if u.Scheme == "" && u.Host == "" && strings.HasPrefix(u.Path, "/") {
		return "", words.Visible(text)
	}
	return "", ""
}

// facts are in one line what else is known of an alert.
func facts(ctx context.Context, a Alert) string {
	var all []string
	opened, known := moment(a.OpenedAt)
	since, begun := moment(a.Since)
	if !begun { // it waits since a version that did not say
		since, begun = opened, known
	}
	ended, over := moment(a.EndedAt)
	switch {
	case begun && over:
		all = append(all, "From "+stamp(ctx, since)+" to "+stamp(ctx, ended)+" ("+words.Duration(ended.Sub(since))+")")
	case over:
		all = append(all, "Over since "+stamp(ctx, ended))
	case begun:
		all = append(all, toneOf(a.Severity).word+", since "+stamp(ctx, since))
	default:
		all = append(all, toneOf(a.Severity).word)
	}
	if a.Count > 1 {
		often := fmt.Sprintf("began %d times", a.Count)
		if known {
			often += ", first " + stamp(ctx, opened)
		}
		all = append(all, often)
	}
	if a.State == "acknowledged" || a.State == "snoozed" {
		all = append(all, a.State)
	}
	return strings.Join(all, " · ")
}

// moment reads one as the API writes it.
func moment(text string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, text)
	return t, err == nil
}

// stamp is a moment with its zone, as people outside read it.
func stamp(ctx context.Context, t time.Time) string {
	return words.Stamp(ctx, t) + " " + t.In(words.Zone(ctx)).Format("MST")
}

// line is foreign text as one line.
func line(text string) string {
	return strings.TrimSpace(words.Visible(strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return r == '\n' || r == '\r' || r == '\t'
	}), " ")))
}

// lines is foreign text that may have several lines; empty ones are single.
func lines(text string) string {
	var all []string
	for _, l := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		l = line(l)
		if l == "" && (len(all) == 0 || all[len(all)-1] == "") {
			continue
		}
		all = append(all, l)
	}
	return strings.TrimSpace(strings.Join(all, "\n"))
}

// fit is the page with as much left out as it takes to fit: first why few alerts are
// and what to do, the lines that explain figures, then alerts and figures from the end,
// which are counted, then the ends of the longest texts. What is cut is the text, before it is put into any markup.
func (p page) fit(fits func(page) bool) page {
	p = p.bounded()
	for !fits(p) {
		smaller, ok := p.smaller()
		if !ok {
			return p
		}
		p = smaller
	}
	return p
}

// bounded is the page without what no kind would show.
func (p page) bounded() page {
	const most, title, text = 100, 400, 4000
	if n := len(p.items); n > most {
		p.items, p.more = p.items[:most], p.more+n-most
	}
	p.title, p.intro = words.Cut(p.title, title), words.Cut(p.intro, text)
	for i := range p.items {
		one := &p.items[i]
		one.title, one.cause, one.do = words.Cut(one.title, title), words.Cut(one.cause, text), words.Cut(one.do, text)
	}
	p.rows = p.rows[:min(len(p.rows), most)]
	for i := range p.rows {
		r := &p.rows[i]
		r.Name, r.Value, r.Lines = words.Cut(r.Name, title), words.Cut(r.Value, title), r.Lines[:min(len(r.Lines), most)]
		for j := range r.Lines {
			r.Lines[j] = words.Cut(r.Lines[j], title)
		}
	}
	return p
}

func (p page) smaller() (page, bool) {
	if _, one := p.single(); !one && len(p.items) > 0 && len(p.details(p.items[0])) > 0 {
		p.brief = true
		return p, true
	}
	p.items, p.rows = append([]item(nil), p.items...), append([]Row(nil), p.rows...)
	fewer := false
	for i := range p.rows {
		if n := len(p.rows[i].Lines); n > 0 {
			p.rows[i].Lines, fewer = p.rows[i].Lines[:n*3/4], true
		}
	}
	if fewer {
		return p, true
	}
	if n := len(p.items); n > 1 {
		n -= max(1, n/8)
		p.more += len(p.items) - n
		p.items = p.items[:n]
		return p, true
	}
	if n := len(p.rows); n > 6 {
		p.rows = p.rows[:n-max(1, n/8)]
		return p, true
	}
	longest := &p.intro
	try := func(text *string) {
		if utf8.RuneCountInString(*text) > utf8.RuneCountInString(*longest) {
			longest = text
		}
	}
	try(&p.title)
	for i := range p.items {
		try(&p.items[i].title)
		try(&p.items[i].cause)
		try(&p.items[i].do)
	}
	for i := range p.rows {
		try(&p.rows[i].Name)
		try(&p.rows[i].Value)
	}
	n := utf8.RuneCountInString(*longest)
	if n <= 24 {
		return p, false
	}
	*longest = words.Cut(*longest, max(24, n*3/4))
	return p, true
}

// moreWords says how many alerts are not named; "" for none.
func (p page) moreWords() string {
	switch {
	case p.more == 0:
		return ""
	case len(p.items) == 0:
		return words.Count(uint64(p.more), "alert", "alerts")
	}
	return "and " + words.Count(uint64(p.more), "more alert", "more alerts")
}

// over reports whether nothing is to be done any more about what the page says.
func (p page) over() bool { return p.tone == recovered || p.tone == ended }

// few is of how many alerts a page says also why and what to do.
const few = 3

// details are the lines of one of few alerts beside its title: why, what to do, and since
// when.
func (p page) details(i item) []string {
	all := p.reasons(i)
	if len(all) > 0 && i.facts != "" {
		all = append(all, i.facts)
	}
	return all
}

// reasons are why, and what to do.
func (p page) reasons(i item) (all []string) {
	if p.brief || p.more > 0 || len(p.items) > few || p.over() || p.tone == digest {
		return nil
	}
	all = split(i.cause)
	if i.do != "" {
		all = append(all, "What to do: "+strings.ReplaceAll(i.do, "\n", " "))
	}
	return all
}

// single is the alert of a page about one alone.
func (p page) single() (item, bool) {
	if len(p.items) == 1 && p.more == 0 && len(p.rows) == 0 {
		return p.items[0], true
	}
	return item{}, false
}

// plain is the page as text without any markup, without its heading.
func (p page) plain() string {
	var parts []string
	add := func(texts ...string) {
		if text := strings.TrimSpace(strings.Join(texts, "")); text != "" {
			parts = append(parts, text)
		}
	}
	add(p.intro)
	if one, ok := p.single(); ok {
		if one.title != p.title {
			add(one.title)
		}
		add(one.cause)
		if !p.over() && one.do != "" {
			add("What to do: ", one.do)
		}
		add(one.facts)
	} else {
		var list []string
		for _, i := range p.items {
			list = append(list, strings.Join(append([]string{i.tone.emoji + " " + i.title}, p.details(i)...), "\n"))
		}
		if more := p.moreWords(); more != "" {
			list = append(list, more)
		}
		between := "\n"
		if len(p.items) > 0 && len(p.details(p.items[0])) > 0 {
			between = "\n\n"
		}
		add(strings.Join(list, between))
	}
	var figures []string
	for _, r := range p.rows {
		figures = append(figures, strings.TrimSuffix(r.Name+": "+r.Value, ": "))
		for _, l := range r.Lines {
			figures = append(figures, "  – "+l)
		}
	}
	add(strings.Join(figures, "\n"))
	if p.path != "" {
		add("In restic-manager: ", p.path)
	}
	return strings.Join(parts, "\n\n")
}

// size is how many characters a text has as most services count them: an emoji is two.
func size(text string) (n int) {
	for _, r := range text {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}
