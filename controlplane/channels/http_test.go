package channels

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// A heardRequest is what a server of a test was asked.
type heardRequest struct {
	method, path string
	header       http.Header
	body         []byte
}

// A far is a server of a test: it notes what it is asked, and answers as it is told.
type far struct {
	*httptest.Server
	mu    sync.Mutex
	heard []heardRequest
}

func newFar(t *testing.T, answer http.HandlerFunc) *far {
	t.Helper()
	f := &far{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.heard = append(f.heard, heardRequest{r.Method, r.URL.RequestURI(), r.Header.Clone(), body})
		f.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(func() { f.CloseClientConnections(); f.Close() })
	return f
}

func (f *far) asked() []heardRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]heardRequest(nil), f.heard...)
}

func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// webKinds are fields of each kind that speaks HTTP, at a server of a test.
func webKinds(base string) map[string]map[string]string {
	return map[string]map[string]string{
		"webhook":  {"url": base + "/hook", "secret": "a-secret-of-the-webhook", "headers": "Authorization: Bearer canary-header-1"},
		"ntfy":     {"url": base, "topic": "backups", "token": "tk_canary_ntfy"},
		"gotify":   {"url": base, "token": "canary-gotify"},
		"pushover": {"url": base, "token": "canary-app", "user": "canary-user"},
		"discord":  {"url": base + "/api/webhooks/1234567890/canary-discord-token"},
		"slack":    {"url": base + "/services/T0000/B0000/canary-slack-token"},
		"teams":    {"url": base + "/workflows/canary-teams-flow?sig=canary-teams-sig"},
		"telegram": {"url": base, "token": "123456:canary-telegram", "chats": "-100200300"},
		"matrix":   {"url": base, "token": "syt_canary_matrix", "rooms": "!room:example.net"},
		"url":      {"url": "generic+" + base + "/notify/canary-generic-token?template=json"},
	}
}

// secretsIn are those of webKinds.
var secretsIn = []string{"canary", "a-secret-of-the-webhook"}

func TestEveryKindIsToldAndItsAnswerShown(t *testing.T) {
	for name, m := range messages() {
		f := newFar(t, answers(200, `{"ok":true,"status":1,"event_id":"$1"}`+"\x1b[31m\u202e"))
		for kind, values := range webKinds(f.URL) {
			before := len(f.asked())
			a := Send(t.Context(), kind, values, m)
			if !a.OK || !strings.HasPrefix(a.Text, "200 OK: {") || strings.ContainsAny(a.Text, "\x1b\u202e") {
				t.Errorf("%s, %s: %+v", kind, name, a)
			}
			if n := len(f.asked()) - before; n != 1 {
				t.Errorf("%s, %s: asked %d times", kind, name, n)
			}
		}
	}
}

func TestWhatIsRefusedIsSaidAndWhatMayBeBetterLaterIsNotHopeless(t *testing.T) {
	date := time.Now().Add(40 * time.Minute).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		status   int
		header   string
		after    [2]int64 // milliseconds, at least and at most
		hopeless bool
	}{
		{400, "", [2]int64{}, true}, {401, "", [2]int64{}, true}, {404, "", [2]int64{}, true}, {410, "", [2]int64{}, true},
		{408, "", [2]int64{}, false}, {425, "", [2]int64{}, false}, {500, "", [2]int64{}, false}, {503, "", [2]int64{}, false},
		{429, "7", [2]int64{7000, 7000}, false}, {429, "0.5", [2]int64{500, 500}, false}, {503, date, [2]int64{1, 41 * 60_000}, false},
		{429, "99999999999", [2]int64{86_400_000, 86_400_000}, false}, {429, "-3", [2]int64{}, false}, {429, "soon", [2]int64{}, false},
	} {
		f := newFar(t, func(w http.ResponseWriter, _ *http.Request) {
			if c.header != "" {
				w.Header().Set("Retry-After", c.header)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, "no <such> thing\n")
		})
		for kind, values := range webKinds(f.URL) {
			a := Send(t.Context(), kind, values, messages()["opened"])
			if a.OK || a.Hopeless != c.hopeless || a.After < c.after[0] || a.After > c.after[1] ||
				a.Text != fmt.Sprintf("%d %s: no <such> thing", c.status, http.StatusText(c.status)) {
				t.Errorf("%s, %d, Retry-After %q: %+v", kind, c.status, c.header, a)
			}
		}
	}
}

func TestServicesSayInTheirBodiesHowLongToWait(t *testing.T) {
	for kind, body := range map[string]string{"discord": `{"retry_after": 1.5}`, "telegram": `{"ok":false,"parameters":{"retry_after":2}}`,
		"matrix": `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1700}`} {
		f := newFar(t, answers(429, body))
		if a := Send(t.Context(), kind, webKinds(f.URL)[kind], messages()["opened"]); a.OK || a.Hopeless || a.After < 1500 || a.After > 2000 {
			t.Errorf("%s: %+v", kind, a)
		}
	}
	for kind, body := range map[string]string{"telegram": `{"ok":false,"description":"chat not found"}`, "pushover": `{"status":0}`} {
		f := newFar(t, answers(200, body))
		if a := Send(t.Context(), kind, webKinds(f.URL)[kind], messages()["opened"]); a.OK {
			t.Errorf("%s: a refusal with status 200 counts: %+v", kind, a)
		}
	}
}

func TestARedirectIsAFailureAndNotFollowed(t *testing.T) {
	inner := newFar(t, answers(200, "internal"))
	for _, status := range []int{301, 302, 303, 307, 308} {
		f := newFar(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, inner.URL+"/latest/meta-data?canary-of-the-location", status)
		})
		for kind, values := range webKinds(f.URL) {
			a := Send(t.Context(), kind, values, messages()["opened"])
			if a.OK || !a.Hopeless || !strings.Contains(a.Text, strings.TrimPrefix(inner.URL, "http://")) ||
				!strings.Contains(a.Text, "redirects are not followed") || strings.Contains(a.Text, "canary") || strings.Contains(a.Text, "internal") {
				t.Errorf("%s, %d: %+v", kind, status, a)
			}
		}
	}
	if n := len(inner.asked()); n > 0 {
		t.Errorf("the target was asked %d times", n)
	}
}

func TestNoSecretIsInAnAnswer(t *testing.T) {
	// A server that repeats all it was told, in each way that it may.
	f := newFar(t, nil)
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusBadRequest)
		said, _ := json.Marshal(map[string]any{"u": r.URL.String(), "h": r.Header})
		fmt.Fprint(w, r.Header.Get("Authorization"), " ", r.Header.Get("X-Gotify-Key"), " ", r.URL, " ", url.QueryEscape(r.URL.String()), " ",
			string(said), string(body))
	})
	gone := httptest.NewServer(nil)
	gone.Close()
	for kind, values := range webKinds(f.URL) {
		a := Send(t.Context(), kind, values, messages()["opened"])
		b := Send(t.Context(), kind, webKinds(gone.URL)[kind], messages()["opened"])
		for _, text := range []string{a.Text, b.Text} {
			for _, s := range secretsIn {
				if strings.Contains(text, s) {
					t.Errorf("%s: a secret is in the answer: %s", kind, text)
				}
			}
		}
		if a.OK || b.OK || !strings.Contains(b.Text, "refused") || b.Hopeless {
			t.Errorf("%s: %+v, %+v", kind, a, b)
		}
	}
}

// impatient gives a try less time than there is, so that a test of one that hangs ends.
func impatient(t *testing.T) context.Context {
	ctx, done := context.WithTimeoutCause(t.Context(), time.Second, errSlow)
	t.Cleanup(done)
	return ctx
}

func TestAServerThatHangsHoldsNobody(t *testing.T) {
	f := newFar(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	// One that accepts and says nothing, and one that says its headers for ever.
	silent, slow := listen(t), listen(t)
	go accept(silent, func(net.Conn) {})
	go accept(slow, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
		for {
			if _, err := io.WriteString(c, "a"); err != nil {
				return
			}
		}
	})
	var wg sync.WaitGroup
	for _, base := range []string{f.URL, "http://" + silent.Addr().String(), "http://" + slow.Addr().String()} {
		for kind, values := range webKinds(base) {
			wg.Go(func() {
				a := Send(impatient(t), kind, values, messages()["opened"])
				if a.OK || a.Text == "" || a.Hopeless {
					t.Errorf("%s at %s: %+v", kind, base, a)
				}
			})
		}
	}
	wg.Wait()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { l.Close() })
	return l
}

// accept serves connections, each until the other side ends it.
func accept(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			go func() { _, _ = io.Copy(io.Discard, c) }()
			serve(c)
			_, _ = io.Copy(io.Discard, c)
		}()
	}
}

func TestABodyWithoutEndIsReadAsFarAsItCounts(t *testing.T) {
	sent := make(chan int64, 1)
	f := newFar(t, func(w http.ResponseWriter, r *http.Request) {
		var n int64
		block := bytes.Repeat([]byte("x"), 1<<16)
		for n < 10<<30 && r.Context().Err() == nil {
			k, err := w.Write(block)
			if n += int64(k); err != nil {
				break
			}
		}
		sent <- n
	})
	a := Send(t.Context(), "webhook", webKinds(f.URL)["webhook"], messages()["opened"])
	if !a.OK || len(a.Text) > shownAnswer+len("200 OK: ") || !strings.HasSuffix(a.Text, "…") {
		t.Errorf("%d bytes: %+v", len(a.Text), a)
	}
	if n := <-sent; n > 100<<20 {
		t.Errorf("%d bytes were taken", n)
	}
	// One that begins and then says nothing more: the status is known.
	f = newFar(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "tak")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	if a := Send(t.Context(), "webhook", webKinds(f.URL)["webhook"], messages()["opened"]); !a.OK || !strings.HasPrefix(a.Text, "200 OK: ") {
		t.Errorf("%+v", a)
	}
}

func TestWhyAServerCannotBeTrustedIsSaid(t *testing.T) {
	f := httptest.NewTLSServer(answers(200, "ok"))
	t.Cleanup(f.Close)
	f.Config.ErrorLog = nil
	plain := newFar(t, answers(200, "ok"))
	for base, want := range map[string]string{f.URL: "authority that this machine does not trust",
		"https://" + plain.Listener.Addr().String(): "does not speak TLS"} {
		for _, kind := range []string{"webhook", "discord", "matrix"} {
			a := Send(t.Context(), kind, webKinds(base)[kind], messages()["opened"])
			if a.OK || a.Hopeless || !strings.Contains(a.Text, want) {
				t.Errorf("%s: %+v", kind, a)
			}
		}
	}
}

func TestAWebhookIsSigned(t *testing.T) {
	f := newFar(t, answers(204, ""))
	secret := NewSecret()
	m := messages()["storm"]
	values := map[string]string{"url": f.URL + "/x?y=1", "secret": secret, "headers": "X-Team: backups\n\nAuthorization: Bearer t"}
	if a := Send(t.Context(), "webhook", values, m); !a.OK ||
		a.Text != "204 No Content" {
		t.Fatalf("%+v", a)
	}
	r := f.asked()[0]
	if r.method != "POST" || r.path != "/x?y=1" || r.header.Get("X-Team") != "backups" || r.header.Get("Authorization") != "Bearer t" ||
		!strings.HasPrefix(r.header.Get("Content-Type"), "application/json") {
		t.Errorf("asked %s %s with %v", r.method, r.path, r.header)
	}
	at, sum, _ := strings.Cut(strings.TrimPrefix(r.header.Get(signatureHeader), "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "." + string(r.body)))
	if want := hex.EncodeToString(mac.Sum(nil)); sum != want {
		t.Errorf("signature %s, want %s", r.header.Get(signatureHeader), want)
	}
	var body struct {
		Version int
		Event   string
		Alert   *Alert
		Alerts  []Alert
		More    int
		Link    string
	}
	if err := json.Unmarshal(r.body, &body); err != nil || body.Version != 1 || body.Event != "opened" || body.Alert.ID != m.Alerts[0].ID ||
		len(body.Alerts) != 10 || body.More != 27 || body.Link != m.Link {
		t.Errorf("%v: %s", err, r.body)
	}
}

func TestAMatrixUserSignsInOnce(t *testing.T) {
	good, signIns := "tok-1", 0
	var mu sync.Mutex
	f := newFar(t, nil)
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case strings.HasSuffix(r.URL.Path, "/login"):
			signIns++
			fmt.Fprintf(w, `{"access_token":%q}`, good)
		case r.Header.Get("Authorization") != "Bearer "+good:
			w.WriteHeader(401)
			fmt.Fprintf(w, `{"errcode":"M_UNKNOWN_TOKEN","was":%q}`, r.Header.Get("Authorization"))
		case strings.Contains(r.URL.Path, "/directory/room/"):
			fmt.Fprint(w, `{"room_id":"!found:example.net"}`)
		case strings.Contains(r.URL.Path, "!closed"):
			w.WriteHeader(403)
			fmt.Fprint(w, `{"errcode":"M_FORBIDDEN"}`)
		default:
			fmt.Fprint(w, `{"event_id":"$e"}`)
		}
	})
	values := map[string]string{"url": f.URL, "username": "bot", "password": "canary password", "rooms": "#ops:example.net"}
	for range 2 {
		if a := Send(t.Context(), "matrix", values, messages()["opened"]); !a.OK {
			t.Fatalf("%+v", a)
		}
	}
	mu.Lock()
	if signIns != 1 {
		t.Errorf("signed in %d times", signIns)
	}
	good = "tok-2"
	mu.Unlock()
	if a := Send(t.Context(), "matrix", values, messages()["opened"]); !a.OK {
		t.Errorf("after the token ended: %+v", a)
	}
	values["rooms"] = "!closed:example.net\n!open:example.net"
	if a := Send(t.Context(), "matrix", values, messages()["opened"]); !a.OK ||
		!strings.Contains(a.Text, "It reached 1 of them, and not !closed:example.net: 403") {
		t.Errorf("one of two rooms: %+v", a)
	}
	values["rooms"] = "!closed:example.net\n!closed2:example.net"
	if a := Send(t.Context(), "matrix", values, messages()["opened"]); a.OK || !a.Hopeless {
		t.Errorf("no room: %+v", a)
	}
}

// What a service refuses for its length is never sent to it.
func TestLongMessagesFit(t *testing.T) {
	long := messages()["storm"]
	long.Title, long.Text = strings.Repeat("ü*🔥<", 4000), strings.Repeat("a very long text, ", 4000)
	for i := range long.Alerts {
		long.Alerts[i].Title, long.Alerts[i].Cause = strings.Repeat("_<&🔥", 2000), strings.Repeat("x", 9000)
	}
	for i := range 300 {
		long.Rows = append(long.Rows, Row{Name: strings.Repeat("name", 300), Value: strings.Repeat("value*", 400),
			Lines: []string{fmt.Sprint(i), strings.Repeat("l", 5000)}})
	}
	one := messages()["opened"]
	one.Alerts = []Alert{long.Alerts[0]}
	one.Title = long.Alerts[0].Title
	one.Alerts[0].Do = strings.Repeat("do\n", 5000)
	ctx := t.Context()
	for _, m := range []Message{long, one} {
		if n := ntfyOf(ctx, inTest("ntfy", nil), m); len(n.Message) > 4096 || len(n.Title) > 250 {
			t.Errorf("ntfy: %d, %d", len(n.Message), len(n.Title))
		}
		if n := pushoverOf(ctx, inTest("pushover", nil), m); size(n.Message) > 1024 || size(n.Title) > 250 {
			t.Errorf("pushover: %d, %d", size(n.Message), size(n.Title))
		}
		e := discordOf(ctx, m).Embeds[0]
		if all := size(e.Title) + size(e.Description); size(e.Title) > 256 || size(e.Description) > 4096 || all > 6000 || len(e.Fields) > 25 {
			t.Errorf("discord: %d, %d, %d fields", size(e.Title), size(e.Description), len(e.Fields))
		}
		if n := telegramOf(ctx, m); size(n.Text) > 4096 || strings.Count(n.Text, "<b>") != strings.Count(n.Text, "</b>") {
			t.Errorf("telegram: %d", size(n.Text))
		}
		if b := must(json.Marshal(teamsOf(ctx, m))); len(b) > 28<<10 {
			t.Errorf("teams: %d", len(b))
		}
		if b := must(json.Marshal(matrixOf(ctx, m))); len(b) > 60<<10 {
			t.Errorf("matrix: %d", len(b))
		}
		s := slackOf(ctx, m)
		if size(s.Text) > 4000 || len(s.Attachments[0].Blocks) > 50 {
			t.Errorf("slack: %d", size(s.Text))
		}
		if n := gotifyOf(ctx, m); size(n.Title) > 250 {
			t.Errorf("gotify: %d", size(n.Title))
		}
	}
}
