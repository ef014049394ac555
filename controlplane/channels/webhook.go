package channels

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A hook is the body of a webhook, version 1: see docs/ALERTS.md. Fields may be added.
type hook struct {
	Version int     `json:"version"`
	Event   string  `json:"event"`
	Title   string  `json:"title"`
	Text    string  `json:"text,omitempty"`
	Alert   *Alert  `json:"alert,omitempty"`  // the worst
	Alerts  []Alert `json:"alerts,omitempty"` // all of several
	More    int     `json:"more,omitempty"`   // alerts beyond those
	Rows    []Row   `json:"rows,omitempty"`   // a digest's figures
	Link    string  `json:"link"`
}

// hookOf is the body that says a message. Programs get texts as they are.
func hookOf(m Message) hook {
	h := hook{Version: 1, Event: m.Event, Title: m.Title, Text: m.Text, More: m.More, Rows: m.Rows, Link: m.Link}
	if len(m.Alerts) > 0 {
		h.Alert = &m.Alerts[0]
	}
	if len(m.Alerts) > 1 || m.More > 0 {
		h.Alerts = m.Alerts
	}
	return h
}

// signatureHeader holds the signature of a webhook's body.
const signatureHeader = "X-Restic-Manager-Signature"

// signature is the value of that header: the moment in Unix seconds, and the HMAC-SHA256
// over it, a dot and the body.
func signature(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

func sendHook(ctx context.Context, f fields, m Message) Answer {
	r := asked(http.MethodPost, f.get("url"), hookOf(m))
	for _, h := range f.list("headers") {
		name, value, _ := strings.Cut(h, ":")
		r.header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	r.header.Set("Content-Type", "application/json; charset=utf-8")
	if secret := f.get("secret"); secret != "" {
		r.header.Set(signatureHeader, signature(secret, time.Now(), r.body))
	}
	return f.do(ctx, r).Answer
}

// ours are headers that say how the request is sent, or who sent it.
var ours = []string{"Host", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection", "Keep-Alive", "Te",
	"Trailer", "Upgrade", "Expect", "Proxy-Authorization", "Proxy-Connection", signatureHeader}

// tokenChars are the characters of a header's name.
const tokenChars = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func checkHook(f fields, wrong said) {
	f.checkURL(wrong, "url")
	for _, h := range f.list("headers") {
		name, value, ok := strings.Cut(h, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !ok || name == "" || strings.Trim(name, tokenChars) != "" || value == "":
			wrong.Say("headers", "A header is a line like Authorization: Bearer …")
		case slices.ContainsFunc(ours, func(o string) bool { return strings.EqualFold(o, name) }):
			wrong.Say("headers", "The header "+name+" is set by restic-manager itself.")
		}
	}
	if s := f.get("secret"); s != "" && len(s) < 16 {
		wrong.Say("secret", "A signing secret has at least 16 characters. Leave it empty to have one made.")
	}
}
