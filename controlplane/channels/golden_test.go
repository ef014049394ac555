package channels

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

const (
	public  = "https://backups.example.net"
	hostile = "a*b_c`d [x](http://evil) <b>&amp; @everyone <!channel> <@U1> @channel @here " +
		"\u202egpj.exe \x1b[31mred\x1b[0m </p>\r\nBcc: x@y \\ #1"
	theAlert = "0198a7c2d4e0aaaaaaaaaaaaaaaa"
)

var theMoment = time.Date(2026, 11, 29, 3, 12, 40, 0, time.UTC)

func anAlert() Alert {
	return Alert{ID: theAlert, Condition: "backup-failed", Severity: "critical",
		Subject: Subject{Kind: "group", ID: "0198a7c2d4e0bbbbbbbbbbbbbbbb", Name: "db-prod-02 · postgres", Host: "0198a7c2d4e0cccccccccccccccc"},
		Title:   "db-prod-02 · postgres: backups fail, repository locked",
		Cause:   "The repository is locked by nas-media, for two hours now. Four tries failed; the last good backup is of 28 Nov 2026 03:00 UTC.",
		Do:      "See whether a job still runs on nas-media. If none does, remove the lock on the repository's page and back up again.",
		State:   "open", OpenedAt: "2026-11-29T03:12:00.000Z", Since: "2026-11-29T03:12:00.000Z", SeenAt: "2026-11-29T03:12:30.000Z", Count: 1,
		Link: public + "/alerts/" + theAlert}
}

// said are the messages of the golden files.
func messages() map[string]Message {
	a := anAlert()
	at := theMoment.UnixMilli()
	open := Message{Event: "opened", Title: a.Title, Alerts: []Alert{a}, Link: a.Link, At: at}
	reminded := open
	reminded.Event, reminded.At = "reminded", theMoment.Add(24*time.Hour).UnixMilli()
	over := open
	b := a
	b.State, b.EndedAt, b.Count = "ended", "2026-11-29T05:40:00.000Z", 2
	b.Since = "2026-11-29T05:31:00.000Z" // it came back
	over.Event, over.Alerts, over.At = "recovered", []Alert{b}, theMoment.Add(148*time.Minute).UnixMilli()
	byHand := over
	c := b
	c.EndedBy = "anna"
	byHand.Text, byHand.Alerts = "db-prod-02 · postgres was ended by anna: known", []Alert{c}
	d := a
	d.ID, d.Severity, d.Title = theAlert[:27]+"z", "warning", "web-01: offline"
	d.Cause, d.Do = "Its agent was not heard of for longer than the limit of 30 min.", "See that the machine runs."
	two := Message{Event: "opened", Title: "2 alerts: 1 × backups fail, 1 × offline", Alerts: []Alert{a, d}, Link: public + "/alerts", At: at}
	storm := Message{Event: "opened", Title: "37 alerts, 4 of them critical", Text: "37 alerts began within 30 seconds. These are the worst:",
		More: 27, Link: public + "/alerts", At: at}
	for i := range 10 {
		one := a
		one.ID = theAlert[:27] + string(rune('0'+i))
		one.Title = []string{"db-prod-02", "nas-media", "web-01", "mail", "laptop-anna"}[i%5] + ": backups fail, repository unreachable"
		one.Link = public + "/alerts/" + one.ID
		if i > 3 {
			one.Severity = "warning"
		}
		storm.Alerts = append(storm.Alerts, one)
	}
	summary := Message{Event: "digest", Title: "22 of 24 hosts are protected", Text: "Since yesterday 07:00: 96 backups, 2 of them failed.",
		Rows: []Row{{Name: "Protected", Value: "22 of 24 hosts",
			Lines: []string{"laptop-anna: last good backup 9 days ago", "db-prod-02: never backed up"}},
			{Name: "Missed", Value: "1 slot", Lines: []string{"web-01, nightly, 28 Nov 2026 02:00"}},
			{Name: "Growth", Value: "+ 12.4 GiB"}, {Name: "Restore drills", Value: "6 of 6 proven"}, {Name: "Open alerts", Value: "3"}},
		Link: public + "/", At: at}
	example := must((&Service{Now: func() time.Time { return theMoment }}).Example(context.Background(), "host-offline"))
	bad := a
	bad.Title, bad.Cause, bad.Do, bad.Link = hostile+": "+hostile, hostile+"\n- list\n1. one\n# head\n> quote", hostile, "javascript:alert(1)"
	return map[string]Message{"opened": open, "reminded": reminded, "recovered": over, "ended": byHand, "two": two, "storm": storm,
		"digest": summary, "test": example,
		"hostile": {Event: "opened", Title: bad.Title, Text: hostile, Alerts: []Alert{bad}, Link: "/alerts/" + theAlert, At: at}}
}

func inTest(kind string, more map[string]string) fields {
	values := map[string]map[string]string{
		"email":    {"host": "smtp.example.net", "from": "Büro <backups@example.net>", "to": "ops@example.net\nAnna Ö <anna@example.net>"},
		"ntfy":     {"topic": "backups"},
		"pushover": {"token": "app-token", "user": "user-key"},
	}[kind]
	all := map[string]string{}
	for _, m := range []map[string]string{values, more} {
		for k, v := range m {
			all[k] = v
		}
	}
	return whole(kind, all)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is another (%v); look at it, and if it is right: go test ./controlplane/channels -run Golden -update\ngot:\n%s",
			name, err, got)
	}
}

func TestMessagesLookAsInTheGoldenFiles(t *testing.T) {
	ctx := t.Context()
	for name, m := range messages() {
		for kind, v := range map[string]any{
			"webhook": hookOf(m), "ntfy": ntfyOf(ctx, inTest("ntfy", nil), m), "gotify": gotifyOf(ctx, m),
			"pushover": pushoverOf(ctx, inTest("pushover", nil), m), "discord": discordOf(ctx, m), "slack": slackOf(ctx, m),
			"teams": teamsOf(ctx, m), "telegram": telegramOf(ctx, m), "matrix": matrixOf(ctx, m),
		} {
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			e.SetIndent("", "  ")
			if err := e.Encode(v); err != nil {
				t.Fatal(err)
			}
			golden(t, kind+"_"+name+".json", b.Bytes())
		}
		golden(t, "email_"+name+".eml", letterIn(t, m))
	}
}

func TestWhyIsLeftOutBeforeAnAlertIs(t *testing.T) {
	m := messages()["two"]
	m.Alerts[0].Cause = strings.Repeat("a long story, ", 250)
	n := ntfyOf(t.Context(), inTest("ntfy", nil), m)
	if strings.Contains(n.Message, "more alert") || !strings.Contains(n.Message, "web-01: offline") ||
		strings.Contains(n.Message, "a long story") {
		t.Errorf("it says %s", n.Message)
	}
}

func letterIn(t *testing.T, m Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := mailOf(t.Context(), inTest("email", nil), m, theMoment).msg.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// opened reads a mail as a program of the other side does.
func openedMail(t *testing.T, raw []byte) (header mail.Header, text, html string) {
	t.Helper()
	m := must(mail.ReadMessage(bytes.NewReader(raw)))
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type %s: %v", kind, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return m.Header, text, html
		}
		if err != nil {
			t.Fatal(err)
		}
		body := string(must(io.ReadAll(quotedprintable.NewReader(p))))
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
			html = body
		} else {
			text = body
		}
	}
}

func TestMailNamesItsThreadAndNobodyAnswersIt(t *testing.T) {
	all := messages()
	first, _, _ := openedMail(t, letterIn(t, all["opened"]))
	if first.Get("Auto-Submitted") != "auto-generated" || first.Get("In-Reply-To") != "" || first.Get("Message-Id") == "" {
		t.Errorf("the first: %v", first)
	}
	ids := map[string]bool{first.Get("Message-Id"): true}
	for _, name := range []string{"reminded", "recovered"} {
		h, _, _ := openedMail(t, letterIn(t, all[name]))
		if h.Get("In-Reply-To") != first.Get("Message-Id") || h.Get("References") != first.Get("Message-Id") || ids[h.Get("Message-Id")] {
			t.Errorf("%s does not follow: %v", name, h)
		}
		ids[h.Get("Message-Id")] = true
	}
	again, _, _ := openedMail(t, letterIn(t, all["opened"]))
	if again.Get("Message-Id") != first.Get("Message-Id") {
		t.Error("sent again, it is another message")
	}
}

func TestHostileTextIsOnlyTextInMail(t *testing.T) {
	h, text, html := openedMail(t, letterIn(t, messages()["hostile"]))
	if h.Get("Bcc") != "" || len(h["Subject"]) != 1 {
		t.Errorf("headers: %v", h)
	}
	subject := must(new(mime.WordDecoder).DecodeHeader(h.Get("Subject")))
	for where, s := range map[string]string{"subject": subject, "text": text, "html": html} {
		if strings.ContainsAny(s, "\u202e\x1b") {
			t.Errorf("%s deceives: %q", where, s)
		}
	}
	for _, bad := range []string{"<b>", "javascript:", "href=\"http://evil", "<img", "src=", "url("} {
		if strings.Contains(html, bad) {
			t.Errorf("the HTML has %s", bad)
		}
	}
	if !strings.Contains(text, "/alerts/"+theAlert) || !strings.Contains(html, "/alerts/"+theAlert) {
		t.Error("without a public address the path is not said")
	}
	if to := must(h.AddressList("To")); len(to) != 2 || to[1].Name != "Anna Ö" {
		t.Errorf("to: %v", to)
	}
}
