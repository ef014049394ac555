package channels

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

type discordMessage struct {
	Username        string          `json:"username"`
	AllowedMentions discordMentions `json:"allowed_mentions"`
	Embeds          []discordEmbed  `json:"embeds"`
}

// discordMentions of an empty list let no text call for anybody.
type discordMentions struct {
	Parse []string `json:"parse"`
}

type discordEmbed struct {
	Title       string         `json:"title"`
	URL         string         `json:"url,omitempty"`
	Description string         `json:"description,omitempty"`
	Color       int            `json:"color"`
	Fields      []discordField `json:"fields,omitempty"`
	Footer      *discordFooter `json:"footer,omitempty"`
}

type discordField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type discordFooter struct {
	Text string `json:"text"`
}

// The limits of an embed.
const (
	discordTitle = 256
	discordText  = 4096
	discordValue = 1024
	discordAll   = 6000
)

// discordEscape makes text stand for itself in Discord's Markdown.
func discordEscape(text string) string {
	var b strings.Builder
	for i, l := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		if n := len(l) - len(strings.TrimLeft(l, "0123456789")); n > 0 && n < len(l) && l[n] == '.' { // a list
			b.WriteString(l[:n] + "\\")
			l = l[n:]
		} else if strings.HasPrefix(l, "-") || strings.HasPrefix(l, "+") {
			b.WriteByte('\\')
		}
		for _, r := range l {
			if strings.ContainsRune("\\`*_~|[]()<>#@", r) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

func discordOf(ctx context.Context, m Message) discordMessage {
	var e discordEmbed
	pageOf(ctx, m).fit(func(p page) bool {
		e = discordEmbedOf(p)
		all, fits := size(e.Title)+size(e.Description), size(e.Title) <= discordTitle && size(e.Description) <= discordText
		for _, f := range e.Fields {
			all, fits = all+size(f.Name)+size(f.Value), fits && size(f.Name) <= discordTitle && size(f.Value) <= discordValue
		}
		if e.Footer != nil {
			all += size(e.Footer.Text)
		}
		return fits && all <= discordAll && len(e.Fields) <= 25
	})
	return discordMessage{Username: "restic-manager", AllowedMentions: discordMentions{Parse: []string{}}, Embeds: []discordEmbed{e}}
}

func discordEmbedOf(p page) discordEmbed {
	e := discordEmbed{Title: p.tone.emoji + " " + discordEscape(p.heading()), URL: p.link, Color: p.tone.colour}
	parts := []string{discordEscape(p.intro)}
	foot := p.at
	if one, ok := p.single(); ok {
		parts = append(parts, discordEscape(one.cause))
		if one.do != "" && !p.over() {
			e.Fields = append(e.Fields, discordField{Name: "What to do", Value: discordEscape(one.do)})
		}
		foot = one.facts
	} else {
		var list []string
		for _, i := range p.items {
			text := discordEscape(i.title)
			if i.link != "" {
				text = "[" + text + "](<" + discordLink(i.link) + ">)"
			}
			list = append(list, i.tone.emoji+" "+text)
			for _, l := range p.details(i) {
				list = append(list, discordEscape(l))
			}
		}
		parts = append(parts, strings.Join(append(list, p.moreWords()), "\n"))
	}
	for _, r := range p.rows {
		value := []string{discordEscape(r.Value)}
		for _, l := range r.Lines {
			value = append(value, "• "+discordEscape(l))
		}
		e.Fields = append(e.Fields, discordField{Name: discordEscape(r.Name), Value: strings.TrimSpace(strings.Join(value, "\n"))})
	}
	switch {
	case p.link != "":
		parts = append(parts, "["+p.open+"](<"+discordLink(p.link)+">)")
	case p.path != "":
		parts = append(parts, "In restic-manager: "+discordEscape(p.path))
	}
	e.Description = joined(parts)
	if foot != "" {
		e.Footer = &discordFooter{Text: foot} // without Markdown
	}
	return e
}

// discordLink is a link that ends where it is to end.
func discordLink(link string) string {
	return strings.NewReplacer("(", "%28", ")", "%29", "<", "%3C", ">", "%3E").Replace(link)
}

// joined are those paragraphs that are not empty.
func joined(parts []string) string {
	var all []string
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" {
			all = append(all, p)
		}
	}
	return strings.Join(all, "\n\n")
}

func sendDiscord(ctx context.Context, f fields, m Message) Answer {
	out := taken(f.do(ctx, asked(http.MethodPost, f.get("url"), discordOf(ctx, m))))
	var said struct {
		RetryAfter float64 `json:"retry_after"` // seconds
	}
	if !out.OK && json.Unmarshal(out.body, &said) == nil && said.RetryAfter > 0 && out.After == 0 && !out.Hopeless {
		out.After = min(int64(said.RetryAfter*1000)+1, maxAfter.Milliseconds())
	}
	return out.Answer
}
