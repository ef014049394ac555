package channels

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

type teamsMessage struct {
	Type        string            `json:"type"`
	Attachments []teamsAttachment `json:"attachments"`
}

type teamsAttachment struct {
	ContentType string    `json:"contentType"`
	Content     teamsCard `json:"content"`
}

type teamsCard struct {
	Schema  string           `json:"$schema"`
	Type    string           `json:"type"`
	Version string           `json:"version"`
	MSTeams map[string]any   `json:"msteams"`
	Body    []map[string]any `json:"body"`
	Actions []map[string]any `json:"actions,omitempty"`
	// FallbackText is what a client says that cannot show the card.
	FallbackText string `json:"fallbackText"`
}

// teamsSize is how many bytes a message has at most, of the 28 KiB that Teams takes.
const teamsSize = 24 << 10

// teamsText is text without markup: a text block would take asterisks and brackets for
// Markdown, runs of rich text do not.
func teamsText(runs ...map[string]any) map[string]any {
	return map[string]any{"type": "RichTextBlock", "inlines": runs}
}

func teamsRun(text string, more map[string]any) map[string]any {
	run := map[string]any{"type": "TextRun", "text": text}
	for k, v := range more {
		run[k] = v
	}
	return run
}

func teamsOf(ctx context.Context, m Message) (out teamsMessage) {
	pageOf(ctx, m).fit(func(p page) bool {
		out = teamsMessageOf(p)
		b, err := json.Marshal(out)
		return err == nil && len(b) <= teamsSize && size(p.heading()) <= 300
	})
	return out
}

func teamsMessageOf(p page) teamsMessage {
	style := map[string]string{"critical": "attention", "warning": "warning", "recovered": "good"}[p.tone.name]
	if style == "" {
		style = "accent"
	}
	bold := map[string]any{"weight": "Bolder"}
	body := []map[string]any{{"type": "Container", "style": style, "bleed": true, "items": []map[string]any{
		teamsText(teamsRun(p.tone.emoji+" "+p.heading(), map[string]any{"weight": "Bolder", "size": "Medium"}))}}}
	add := func(runs ...map[string]any) { body = append(body, teamsText(runs...)) }
	paragraphs := func(text string) {
		for _, l := range strings.Split(text, "\n") {
			if l != "" {
				add(teamsRun(l, nil))
			}
		}
	}
	paragraphs(p.intro)
	foot := p.at
	if one, ok := p.single(); ok {
		paragraphs(one.cause)
		if one.do != "" && !p.over() {
			add(teamsRun("What to do: ", bold), teamsRun(strings.ReplaceAll(one.do, "\n", " "), nil))
		}
		foot = one.facts
	} else {
		for _, i := range p.items {
			add(teamsRun(i.tone.emoji+" "+i.title, nil))
			for _, l := range p.details(i) {
				add(teamsRun(l, nil))
			}
		}
		if more := p.moreWords(); more != "" {
			add(teamsRun(more, nil))
		}
	}
	for _, r := range p.rows {
		add(teamsRun(r.Name+": ", bold), teamsRun(r.Value, nil))
		for _, l := range r.Lines {
			add(teamsRun("• "+l, nil))
		}
	}
	if p.path != "" {
		add(teamsRun("In restic-manager: "+p.path, nil))
	}
	if foot != "" {
		add(teamsRun(foot, map[string]any{"isSubtle": true, "size": "Small"}))
	}
	card := teamsCard{Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4",
		MSTeams: map[string]any{"width": "Full"}, Body: body, FallbackText: p.heading()}
	if p.link != "" {
		card.Actions = []map[string]any{{"type": "Action.OpenUrl", "title": p.open, "url": p.link}}
	}
	return teamsMessage{Type: "message",
		Attachments: []teamsAttachment{{ContentType: "application/vnd.microsoft.card.adaptive", Content: card}}}
}

func sendTeams(ctx context.Context, f fields, m Message) Answer {
	return taken(f.do(ctx, asked(http.MethodPost, f.get("url"), teamsOf(ctx, m)))).Answer
}
