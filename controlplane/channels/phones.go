package channels

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/words"
)

// ntfy

type ntfyMessage struct {
	Topic    string       `json:"topic"`
	Title    string       `json:"title"`
	Message  string       `json:"message"`
	Priority int          `json:"priority"` // 1 to 5, 3 is usual
	Tags     []string     `json:"tags"`
	Click    string       `json:"click,omitempty"`
	Actions  []ntfyAction `json:"actions,omitempty"`
}

type ntfyAction struct {
	Action string `json:"action"`
	Label  string `json:"label"`
	URL    string `json:"url"`
}

// ntfyOf is a message in ntfy's form. A body of more than 4,096 bytes would become a file.
func ntfyOf(ctx context.Context, f fields, m Message) ntfyMessage {
	p := pageOf(ctx, m).fit(func(p page) bool { return len(p.plain()) <= 3800 && len(p.heading()) <= 240 })
	n := ntfyMessage{Topic: f.get("topic"), Title: p.heading(), Message: p.plain(), Tags: []string{p.tone.tag},
		Priority: map[string]int{"critical": 5, "warning": 4}[p.tone.name]}
	if n.Priority == 0 {
		n.Priority = 3
	}
	if p.tone == info || p.tone == digest {
		n.Priority = 2
	}
	if p.link != "" {
		n.Click, n.Actions = p.link, []ntfyAction{{Action: "view", Label: p.open, URL: p.link}}
	}
	return n
}

func sendNtfy(ctx context.Context, f fields, m Message) Answer {
	r := asked(http.MethodPost, f.get("url"), ntfyOf(ctx, f, m))
	switch {
	case f.get("token") != "":
		r.header.Set("Authorization", "Bearer "+f.get("token"))
	case f.get("username") != "":
		r.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(f.get("username")+":"+f.get("password"))))
	}
	return taken(f.do(ctx, r)).Answer
}

func checkNtfy(f fields, wrong said) {
	f.checkURL(wrong, "url")
	topic := f.get("topic")
	if len(topic) > 64 || strings.Trim(topic, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		wrong.Say("topic", "A topic has 1 to 64 letters, digits, - and _. The server's address is a field of its own.")
	}
	if f.get("password") != "" && f.get("username") == "" {
		wrong.Say("username", "A password needs its user name.")
	}
	if strings.Contains(f.get("username"), ":") {
		wrong.Say("username", "A user name has no colon.")
	}
}

// Gotify

type gotifyMessage struct {
	Title    string         `json:"title"`
	Message  string         `json:"message"`
	Priority int            `json:"priority"` // from 8 on a phone makes itself heard
	Extras   map[string]any `json:"extras"`
}

func gotifyOf(ctx context.Context, m Message) gotifyMessage {
	p := pageOf(ctx, m).fit(func(p page) bool { return size(p.plain()) <= 8000 && size(p.heading()) <= 240 })
	priority := map[string]int{"critical": 9, "warning": 6, "recovered": 4, "ended": 4, "digest": 2, "info": 2}
	n := gotifyMessage{Title: p.tone.emoji + " " + p.heading(), Message: p.plain(), Priority: priority[p.tone.name],
		Extras: map[string]any{"client::display": map[string]string{"contentType": "text/plain"}}}
	if p.link != "" {
		n.Message += "\n\n" + p.link
		n.Extras["client::notification"] = map[string]any{"click": map[string]string{"url": p.link}}
	}
	return n
}

func sendGotify(ctx context.Context, f fields, m Message) Answer {
	r := asked(http.MethodPost, strings.TrimRight(f.get("url"), "/")+"/message", gotifyOf(ctx, m))
	r.header.Set("X-Gotify-Key", f.get("token"))
	return taken(f.do(ctx, r)).Answer
}

// Pushover

type pushoverMessage struct {
	Token     string `json:"token"`
	User      string `json:"user"`
	Device    string `json:"device,omitempty"`
	Title     string `json:"title"`
	Message   string `json:"message"`
	Priority  int    `json:"priority"` // 1 goes through quiet hours, -1 makes no sound
	URL       string `json:"url,omitempty"`
	URLTitle  string `json:"url_title,omitempty"`
	Timestamp int64  `json:"timestamp,omitempty"`
}

func pushoverOf(ctx context.Context, f fields, m Message) pushoverMessage {
	p := pageOf(ctx, m).fit(func(p page) bool { return size(p.plain()) <= 1024 && size(p.heading()) <= 240 })
	n := pushoverMessage{Token: f.get("token"), User: f.get("user"), Device: strings.Join(f.list("devices"), ","),
		Title: p.tone.emoji + " " + p.heading(), Message: p.plain(), Timestamp: m.At / 1000,
		Priority: map[string]int{"critical": 1, "digest": -1, "info": -1}[p.tone.name]}
	if n.Message == "" {
		n.Message = p.heading()
	}
	if p.link != "" && len(p.link) <= 512 {
		n.URL, n.URLTitle = p.link, p.open
	}
	return n
}

func sendPushover(ctx context.Context, f fields, m Message) Answer {
	out := taken(f.do(ctx, asked(http.MethodPost, strings.TrimRight(f.get("url"), "/")+"/1/messages.json", pushoverOf(ctx, f, m))))
	var said struct {
		Status *int `json:"status"`
	}
	if out.OK && json.Unmarshal(out.body, &said) == nil && said.Status != nil && *said.Status != 1 {
		out.OK, out.Hopeless = false, true
	}
	return out.Answer
}

func checkPushover(f fields, wrong said) {
	f.checkURL(wrong, "url")
	for _, name := range []string{"token", "user"} {
		if s := f.get(name); strings.ContainsAny(s, " \t") || len(s) > 64 {
			wrong.Say(name, "A key of Pushover has 30 letters and digits.")
		}
	}
	for _, d := range f.list("devices") {
		if len(d) > 25 || strings.ContainsAny(d, ", ") {
			wrong.Say("devices", words.Visible(d)+" is no name of a device: it has up to 25 letters, digits, - and _.")
		}
	}
}
