package channels

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// A slackMessage has the title as its text, which phones show, and the rest beside a bar
// of colour. All of it is in forms that know no markup: plain text and rich text's parts.
type slackMessage struct {
	Text        string            `json:"text"`
	Mrkdwn      bool              `json:"mrkdwn"`     // always false: asterisks are asterisks
	Parse       string            `json:"parse"`      // "none": no text is taken for a name
	LinkNames   bool              `json:"link_names"` // always false
	UnfurlLinks bool              `json:"unfurl_links"`
	UnfurlMedia bool              `json:"unfurl_media"`
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Color    string           `json:"color"`
	Fallback string           `json:"fallback"`
	Blocks   []map[string]any `json:"blocks"`
}

// slackText is how many characters the text of a block has at most; slackBlocks how many
// blocks there are.
const (
	slackText   = 3000
	slackBlocks = 50
)

// slackEscape makes text stand for itself where Slack looks for <…>.
func slackEscape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

// Parts of rich text.
func slackPart(text string) map[string]any { return map[string]any{"type": "text", "text": text} }

func slackBold(text string) map[string]any {
	return map[string]any{"type": "text", "text": text, "style": map[string]bool{"bold": true}}
}

func slackLinked(text, link string) map[string]any {
	if link == "" {
		return slackPart(text)
	}
	return map[string]any{"type": "link", "url": link, "text": text}
}

// slackBody are sections of rich text, which make one block.
func slackBody(sections ...[]map[string]any) map[string]any {
	all := []map[string]any{}
	for _, s := range sections {
		all = append(all, map[string]any{"type": "rich_text_section", "elements": s})
	}
	return map[string]any{"type": "rich_text", "elements": all}
}

func slackContext(text string) map[string]any {
	return map[string]any{"type": "context", "elements": []map[string]any{{"type": "plain_text", "text": text, "emoji": false}}}
}

func slackOf(ctx context.Context, m Message) slackMessage {
	p := pageOf(ctx, m).fit(func(p page) bool {
		return size(p.plain()) <= slackText && size(p.heading()) <= 240 && len(p.items)+3*few+2*len(p.rows) <= slackBlocks-10
	})
	title := p.tone.emoji + " " + slackEscape(p.heading())
	return slackMessage{Text: title, Parse: "none", Attachments: []slackAttachment{{
		Color: fmt.Sprintf("#%06x", p.tone.colour), Fallback: title, Blocks: slackBlocksOf(p)}}}
}

func slackBlocksOf(p page) []map[string]any {
	var blocks []map[string]any
	var sections [][]map[string]any
	add := func(parts ...map[string]any) { sections = append(sections, parts) }
	if p.intro != "" {
		add(slackPart(p.intro + "\n"))
	}
	foot := p.at
	if one, ok := p.single(); ok {
		if one.cause != "" {
			add(slackPart(one.cause + "\n"))
		}
		if one.do != "" && !p.over() {
			add(slackBold("What to do: "), slackPart(one.do))
		}
		foot = one.facts
	} else {
		for _, i := range p.items {
			add(slackPart(i.tone.emoji+" "), slackLinked(i.title, i.link))
			for _, l := range p.details(i) {
				add(slackPart(l))
			}
		}
		if more := p.moreWords(); more != "" {
			add(slackPart(more))
		}
	}
	for _, r := range p.rows {
		add(slackBold(r.Name+": "), slackPart(r.Value))
		for _, l := range r.Lines {
			add(slackPart("   • " + l))
		}
	}
	if p.path != "" {
		add(slackPart("In restic-manager: " + p.path))
	}
	if len(sections) > 0 {
		blocks = append(blocks, slackBody(sections...))
	}
	if foot != "" {
		blocks = append(blocks, slackContext(foot))
	}
	if p.link != "" && len(p.link) <= slackText {
		button := map[string]any{"type": "button", "text": map[string]any{"type": "plain_text", "text": p.open}, "url": p.link}
		if p.tone == critical {
			button["style"] = "danger"
		}
		blocks = append(blocks, map[string]any{"type": "actions", "elements": []map[string]any{button}})
	}
	return blocks
}

func sendSlack(ctx context.Context, f fields, m Message) Answer {
	return taken(f.do(ctx, asked(http.MethodPost, f.get("url"), slackOf(ctx, m)))).Answer
}
