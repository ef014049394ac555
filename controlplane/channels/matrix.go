package channels

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/restic-manager/restic-manager/words"
)

type matrixMessage struct {
	MsgType       string         `json:"msgtype"` // m.notice makes no sound
	Body          string         `json:"body"`
	Format        string         `json:"format"`
	FormattedBody string         `json:"formatted_body"`
	Mentions      map[string]any `json:"m.mentions"` // of nobody: no text calls for anybody
}

func matrixOf(ctx context.Context, m Message) matrixMessage {
	p := pageOf(ctx, m).fit(func(p page) bool { return len(p.plain())+len(matrixHTML(p)) <= 24<<10 })
	kind := "m.text"
	if p.tone == info || p.over() || p.tone == digest {
		kind = "m.notice"
	}
	parts := []string{p.tone.emoji + " " + p.heading(), p.plain(), p.link}
	return matrixMessage{MsgType: kind, Body: joined(parts), Format: "org.matrix.custom.html", FormattedBody: matrixHTML(p),
		Mentions: map[string]any{}}
}

func matrixHTML(p page) string {
	e := func(text string) string { return strings.ReplaceAll(html.EscapeString(text), "\n", "<br>") }
	var b strings.Builder
	add := func(parts ...string) {
		if text := strings.Join(parts, ""); text != "" {
			b.WriteString("<p>" + text + "</p>")
		}
	}
	add(p.tone.emoji, " <strong>", e(p.heading()), "</strong>")
	add(e(p.intro))
	if one, ok := p.single(); ok {
		add(e(one.cause))
		if one.do != "" && !p.over() {
			add("<strong>What to do:</strong> ", e(one.do))
		}
		if one.facts != "" {
			add("<em>", e(one.facts), "</em>")
		}
	} else {
		b.WriteString("<ul>")
		for _, i := range p.items {
			text := e(i.title)
			if i.link != "" {
				text = `<a href="` + html.EscapeString(i.link) + `">` + text + "</a>"
			}
			for _, l := range p.details(i) {
				text += "<br>" + e(l)
			}
			b.WriteString("<li>" + i.tone.emoji + " " + text + "</li>")
		}
		if more := p.moreWords(); more != "" {
			b.WriteString("<li>" + e(more) + "</li>")
		}
		for _, r := range p.rows {
			b.WriteString("<li><strong>" + e(r.Name) + ":</strong> " + e(r.Value))
			if len(r.Lines) > 0 {
				b.WriteString("<ul>")
				for _, l := range r.Lines {
					b.WriteString("<li>" + e(l) + "</li>")
				}
				b.WriteString("</ul>")
			}
			b.WriteString("</li>")
		}
		b.WriteString("</ul>")
	}
	switch {
	case p.link != "":
		add(`<a href="`, html.EscapeString(p.link), `">`, p.open, "</a>")
	case p.path != "":
		add("In restic-manager: ", e(p.path))
	}
	return b.String()
}

// matrixTokens are access tokens of those who signed in with a password, by a hash of all
// that was typed: a server slows down who signs in too often.
var matrixTokens sync.Map

// matrixKey is what a token of a password is kept by.
func matrixKey(f fields) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{f.get("url"), f.get("username"), f.get("password")}, "\x00")))
	return hex.EncodeToString(sum[:])
}

// signIn returns the access token, or why there is none.
func signIn(ctx context.Context, f fields) (token string, a Answer) {
	if token := f.get("token"); token != "" {
		return token, Answer{}
	}
	if token, ok := matrixTokens.Load(matrixKey(f)); ok {
		return token.(string), Answer{}
	}
	out := f.do(ctx, asked(http.MethodPost, matrixURL(f, "login"), map[string]any{
		"type": "m.login.password", "identifier": map[string]string{"type": "m.id.user", "user": f.get("username")},
		"password": f.get("password"), "device_id": "restic-manager", "initial_device_display_name": "restic-manager"}))
	var said struct {
		AccessToken string `json:"access_token"`
	}
	if out.OK && json.Unmarshal(out.body, &said) == nil && said.AccessToken != "" {
		matrixTokens.Store(matrixKey(f), said.AccessToken)
		return said.AccessToken, Answer{}
	}
	a = matrixAfter(out)
	if out.OK { // what it said may be a token
		a = Answer{Text: "The home server let the user in and gave no access token."}
	} else if out.status != 0 {
		a.Text = "Signing in: " + a.Text
	}
	return "", a
}

// matrixURL is a URL of the client's API; each part is one segment.
func matrixURL(f fields, parts ...string) string {
	to := strings.TrimRight(f.get("url"), "/") + "/_matrix/client/v3"
	for _, p := range parts {
		to += "/" + url.PathEscape(p)
	}
	return to
}

// matrixAfter is a reply's answer, with how long the server wants to be left alone.
func matrixAfter(out reply) Answer {
	var said struct {
		RetryAfter int64 `json:"retry_after_ms"`
	}
	if !out.OK && json.Unmarshal(out.body, &said) == nil && said.RetryAfter > 0 {
		out.After, out.Hopeless = max(out.After, min(said.RetryAfter, maxAfter.Milliseconds())), false
	}
	return out.Answer
}

func sendMatrix(ctx context.Context, f fields, m Message) Answer {
	message := matrixOf(ctx, m)
	key := sameMessage(f, m)
	a, again := tellRooms(ctx, f, key, message)
	if again { // the token of before is not good any more
		matrixTokens.Delete(matrixKey(f))
		a, _ = tellRooms(ctx, f, key, message)
	}
	return a
}

// tellRooms tells every room, and says whether to sign in anew.
func tellRooms(ctx context.Context, f fields, key string, message matrixMessage) (a Answer, again bool) {
	token, a := signIn(ctx, f)
	if token == "" {
		return a, false
	}
	// The token is a secret that is in no field, if it came from a password.
	f.values = map[string]string{"token": token, "url": f.get("url"), "username": f.get("username"), "password": f.get("password"),
		"rooms": f.get("rooms")}
	given := http.Header{"Authorization": {"Bearer " + token}}
	return each(key, f.list("rooms"), func(room string) Answer {
		id := room
		if strings.HasPrefix(room, "#") {
			out := f.do(ctx, request{method: http.MethodGet, url: matrixURL(f, "directory", "room", room), header: given})
			var said struct {
				RoomID string `json:"room_id"`
			}
			if !out.OK || json.Unmarshal(out.body, &said) != nil || !strings.HasPrefix(said.RoomID, "!") {
				again = again || out.status == http.StatusUnauthorized
				a := matrixAfter(out)
				a.OK, a.Text = false, "Looking for the room: "+a.Text
				return a
			}
			id = said.RoomID
		}
		r := asked(http.MethodPut, matrixURL(f, "rooms", id, "send", "m.room.message", transaction(id, message)), message)
		r.header.Set("Authorization", "Bearer "+token)
		out := f.do(ctx, r)
		again = again || out.status == http.StatusUnauthorized
		return matrixAfter(taken(out))
	}), again && f.get("username") != ""
}

// transaction names a message for a room: the server takes one of the same name as the
// same, so that one that is sent again is not told again.
func transaction(room string, m matrixMessage) string {
	b, _ := json.Marshal(m) // of texts
	sum := sha256.Sum256(append([]byte(room+"\x00"), b...))
	return "rm-" + hex.EncodeToString(sum[:16])
}

func checkMatrix(f fields, wrong said) {
	f.checkURL(wrong, "url")
	token, name, password := f.get("token"), f.get("username"), f.get("password")
	switch {
	case token == "" && name == "" && password == "":
		wrong.Say("token", "Fill in an access token, or a user name and a password.")
	case token == "" && name == "":
		wrong.Say("username", "A password needs its user name.")
	case token == "" && password == "":
		wrong.Say("password", "A user name needs its password.")
	}
	for _, room := range f.list("rooms") {
		local, server, ok := strings.Cut(strings.TrimLeft(room, "!#"), ":")
		if len(room) > 255 || !strings.HasPrefix(room, "!") && !strings.HasPrefix(room, "#") || local == "" ||
			strings.HasPrefix(room, "#") && (!ok || server == "") || strings.ContainsAny(room, " \t") {
			wrong.Say("rooms", words.Visible(words.Cut(room, 60))+" is no room: it looks like !id:server or #alias:server.")
		}
	}
}
