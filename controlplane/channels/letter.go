package channels

import (
	"context"
	"crypto/sha256"
	_ "embed" // of the HTML
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"net/mail"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

//go:embed letter.html
var letterHTML string

var letterTemplate = template.Must(template.New("letter").Parse(letterHTML))

// A letter is a message as mail.
type letter struct {
	from *mail.Address
	to   []*mail.Address
	msg  *gomail.Msg
}

// mailOf is a message as mail, in text and in HTML. Messages about one alert are one
// conversation: the first one has an ID that the others name.
func mailOf(ctx context.Context, f fields, m Message, now time.Time) *letter {
	p := pageOf(ctx, m).fit(func(p page) bool { return len(p.plain()) <= 200<<10 && size(p.heading()) <= 400 })
	l := &letter{from: addressOf(f.get("from"))}
	if l.from.Name == "" {
		l.from.Name = "restic-manager"
	}
	id, root := threadOf(m, l.from.Address)
	l.msg = gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithBoundary("rm-"+hashed(id, 24)))
	l.msg.FromMailAddress(l.from)
	for _, to := range f.list("to") {
		all, _ := mail.ParseAddressList(to) // it was checked
		l.to = append(l.to, all...)
	}
	for _, a := range l.to {
		l.msg.AddToMailAddress(a)
	}
	l.msg.Subject(p.heading())
	l.msg.SetDateWithValue(now)
	l.msg.SetMessageIDWithValue(id)
	if root != "" {
		l.msg.SetGenHeader(gomail.HeaderInReplyTo, "<"+root+">")
		l.msg.SetGenHeader(gomail.HeaderReferences, "<"+root+">")
	}
	l.msg.SetGenHeader("Auto-Submitted", "auto-generated")
	l.msg.SetGenHeader("X-Auto-Response-Suppress", "All") // no holiday answers from Exchange
	l.msg.SetGenHeader("X-Restic-Manager-Event", m.Event)
	if p.tone == critical && (m.Event == "opened" || m.Event == "reminded" || m.Event == "test") {
		l.msg.SetImportance(gomail.ImportanceHigh)
	}
	l.msg.SetBodyString(gomail.TypeTextPlain, textOf(p))
	l.msg.AddAlternativeString(gomail.TypeTextHTML, htmlOf(p))
	return l
}

func addressOf(text string) *mail.Address {
	a, err := mail.ParseAddress(text)
	if err != nil { // it was checked
		return &mail.Address{Address: "nobody@localhost"}
	}
	return a
}

// threadOf is the ID of a message about alerts, and of the one that it follows, "" for
// none. A message that is sent again has the same ID.
func threadOf(m Message, from string) (id, root string) {
	_, domain, ok := strings.Cut(from, "@")
	if !ok || strings.Trim(domain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != "" {
		domain = "restic-manager.invalid"
	}
	if len(m.Alerts) == 1 && m.More == 0 && m.Event != "test" && m.Event != "digest" {
		root = "alert-" + hashed(m.Alerts[0].ID, 32) + "@" + domain
		if m.Event == "opened" && m.Alerts[0].Count <= 1 {
			return root, ""
		}
	}
	b, _ := json.Marshal(m) // of texts and numbers
	return "message-" + hashed(string(b), 32) + "@" + domain, root
}

func hashed(text string, n int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:n]
}

// textOf is the text part of a mail.
func textOf(p page) string {
	parts := []string{p.heading(), p.plain()}
	if p.link != "" {
		parts = append(parts, p.open+":\n"+p.link)
	}
	parts = append(parts, "-- \nrestic-manager sends this to a mail channel that was set up there, under Alerts.")
	return strings.ReplaceAll(joined(parts), "\n", "\r\n") + "\r\n"
}

// htmlOf is the HTML part of a mail. Nothing in it is loaded from anywhere.
func htmlOf(p page) string {
	type row struct {
		Name, Value string
		Lines       []string
	}
	type shown struct {
		Tone, Title, Facts string
		Link               string
		Details            []string
	}
	data := struct {
		Tone, Word, Title, Heading, Colour string
		Intro                              []string
		Cause, Do                          []string
		Facts, Link, Open, Path, More, At  string
		Items                              []shown
		Rows                               []row
	}{Tone: p.tone.name, Word: p.word, Title: p.title, Heading: p.heading(), Colour: fmt.Sprintf("#%06x", p.tone.colour),
		Intro: split(p.intro), Link: p.link, Open: p.open, Path: p.path, More: p.moreWords(), At: p.at}
	if one, ok := p.single(); ok {
		data.Cause, data.Facts = split(one.cause), one.facts
		if !p.over() {
			data.Do = split(one.do)
		}
	} else {
		for _, i := range p.items {
			data.Items = append(data.Items, shown{i.tone.name, i.title, i.facts, i.link, p.reasons(i)})
		}
		data.Facts = p.at
	}
	for _, r := range p.rows {
		data.Rows = append(data.Rows, row(r))
	}
	var b strings.Builder
	_ = letterTemplate.Execute(&b, data) // of texts alone, into memory
	return strings.ReplaceAll(b.String(), "\n", "\r\n")
}

func split(text string) (all []string) {
	for _, l := range strings.Split(text, "\n") {
		if l != "" {
			all = append(all, l)
		}
	}
	return all
}
