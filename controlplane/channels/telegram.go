package channels

import (
	"context"
	"encoding/json"
	"html"
	"net/http"
	"strings"
	"unicode"

	"github.com/restic-manager/restic-manager/words"
)

type telegramMessage struct {
	Chat                string          `json:"chat_id"`
	Text                string          `json:"text"`
	ParseMode           string          `json:"parse_mode"`
	LinkPreview         telegramPreview `json:"link_preview_options"`
	DisableNotification bool            `json:"disable_notification"`
}

type telegramPreview struct {
	IsDisabled bool `json:"is_disabled"`
}

// telegramEscape makes text stand for itself in Telegram's HTML. A name after @ would call
// for somebody, so that an invisible character stands between.
func telegramEscape(text string) string {
	return html.EscapeString(apart(text))
}

// apart puts an invisible character behind each @ that begins a word, and into "<!" and
// "<@", so that no service takes what follows for somebody who is to be called.
func apart(text string) string {
	var b strings.Builder
	word := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }
	before, last := ' ', ' ' // the one before the last
	for _, r := range text {
		if last == '@' && word(r) && !word(before) || last == '<' && strings.ContainsRune("!@#&", r) {
			b.WriteRune('\u2060')
		}
		b.WriteRune(r)
		before, last = last, r
	}
	return b.String()
}

// telegramText is the most that a message holds, of 4,096 characters.
const telegramText = 4000

func telegramOf(ctx context.Context, m Message) telegramMessage {
	var text string
	p := pageOf(ctx, m).fit(func(p page) bool {
		text = telegramTextOf(p)
		return size(text) <= telegramText
	})
	return telegramMessage{Text: text, ParseMode: "HTML", LinkPreview: telegramPreview{IsDisabled: true},
		DisableNotification: p.tone == info || p.over() || p.tone == digest}
}

func telegramTextOf(p page) string {
	e := telegramEscape
	parts := []string{p.tone.emoji + " <b>" + e(p.heading()) + "</b>", e(p.intro)}
	if one, ok := p.single(); ok {
		parts = append(parts, e(one.cause))
		if one.do != "" && !p.over() {
			parts = append(parts, "<b>What to do:</b> "+e(one.do))
		}
		parts = append(parts, "<i>"+e(one.facts)+"</i>")
	} else {
		var list []string
		for _, i := range p.items {
			text := e(i.title)
			if i.link != "" {
				text = `<a href="` + html.EscapeString(i.link) + `">` + text + "</a>"
			}
			list = append(list, i.tone.emoji+" "+text)
			for _, l := range p.details(i) {
				list = append(list, e(l))
			}
		}
		parts = append(parts, strings.Join(append(list, p.moreWords()), "\n"))
	}
	var figures []string
	for _, r := range p.rows {
		figures = append(figures, "<b>"+e(r.Name)+":</b> "+e(r.Value))
		for _, l := range r.Lines {
			figures = append(figures, "  • "+e(l))
		}
	}
	parts = append(parts, strings.Join(figures, "\n"))
	switch {
	case p.link != "": // a button would be refused for a server of a name that is not public
		parts = append(parts, `<a href="`+html.EscapeString(p.link)+`">`+p.open+"</a>")
	case p.path != "":
		parts = append(parts, "In restic-manager: "+e(p.path))
	}
	return joined(parts)
}

func sendTelegram(ctx context.Context, f fields, m Message) Answer {
	message := telegramOf(ctx, m)
	return each(sameMessage(f, m), f.list("chats"), func(chat string) Answer {
		message.Chat = chat
		out := f.do(ctx, asked(http.MethodPost, strings.TrimRight(f.get("url"), "/")+"/bot"+f.get("token")+"/sendMessage", message))
		var said struct {
			OK         *bool `json:"ok"`
			Parameters struct {
				RetryAfter int64 `json:"retry_after"` // seconds
			} `json:"parameters"`
		}
		if json.Unmarshal(out.body, &said) != nil {
			return taken(out).Answer
		}
		if said.OK != nil && !*said.OK {
			out.OK = false
		}
		if n := said.Parameters.RetryAfter; !out.OK && n > 0 {
			out.Hopeless, out.After = false, max(out.After, min(n*1000, maxAfter.Milliseconds()))
		}
		return out.Answer
	})
}

func checkTelegram(f fields, wrong said) {
	f.checkURL(wrong, "url")
	id, key, ok := strings.Cut(f.get("token"), ":")
	if !ok || id == "" || key == "" || strings.Trim(id, "0123456789") != "" ||
		strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		wrong.Say("token", "A bot's token looks like 123456:ABC-DEF, as @BotFather says it.")
	}
	for _, chat := range f.list("chats") {
		number := strings.TrimPrefix(chat, "-")
		name := strings.TrimPrefix(chat, "@")
		if (number == "" || strings.Trim(number, "0123456789") != "") &&
			(name == chat || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "") {
			wrong.Say("chats", words.Visible(words.Cut(chat, 40))+" is no chat: it is a number, or @ and the name of a channel.")
		}
	}
}
