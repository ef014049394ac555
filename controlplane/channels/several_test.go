package channels

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Of several chats one that takes nothing now is told a little later, and the other not again.
func TestWhoWasNotReachedIsTriedAgainAlone(t *testing.T) {
	busy := true
	f := newFar(t, func(w http.ResponseWriter, r *http.Request) {})
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.heard = append(f.heard, heardRequest{body: b})
		if busy && strings.Contains(string(b), `"-2"`) {
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"ok":false,"parameters":{"retry_after":7}}`)
			return
		}
		_, _ = io.WriteString(w, `{"ok":true}`)
	})
	values := webKinds(f.URL)["telegram"]
	values["chats"] = "-1\n-2\n-3"
	m := messages()["opened"]
	m.At = time.Now().UnixNano()
	a := Send(t.Context(), "telegram", values, m)
	if a.OK || a.Hopeless || a.After != 7000 || !strings.HasPrefix(a.Text, "It reached 2 of them, and not -2: 429") {
		t.Errorf("it is %+v", a)
	}
	f.mu.Lock()
	busy = false
	f.mu.Unlock()
	if a := Send(t.Context(), "telegram", values, m); !a.OK {
		t.Errorf("then it is %+v", a)
	}
	if list := f.asked(); len(list) != 4 || !strings.Contains(string(list[3].body), `"-2"`) {
		t.Errorf("it asked %d times", len(list))
	}
}

func TestAGreylistedAddressGetsTheMailLaterAndNobodyTwice(t *testing.T) {
	const bad = "RCPT b@example.net"
	p := startPost(t, &postOffice{answers: map[string][]string{bad: {"451 4.7.1 greylisted", "451 4.7.1 greylisted", "250 ok"}}})
	values := p.fields("none", map[string]string{"to": "ops@example.net\nb@example.net\nops@example.net"})
	m := messages()["opened"]
	m.At = time.Now().UnixNano()
	for i, ok := range []bool{false, false, true} {
		if a := Send(t.Context(), "email", values, m); a.OK != ok || a.Hopeless {
			t.Errorf("try %d: %+v", i, a)
		}
	}
	if _, to := p.had(); fmt.Sprint(to) != "[[ops@example.net ops@example.net] [b@example.net]]" {
		t.Errorf("it was taken for %v", to)
	}
}

// Who is out of reach for longer holds up nothing, and another channel of the same message is another.
func TestWhoIsOutOfReachIsNotAwaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := map[string]int{}
		tell := func(one string) Answer {
			told[one]++
			return Answer{OK: one == "a", Text: "x"}
		}
		var got []bool
		for range 4 {
			got = append(got, each(t.Name(), []string{"a", "b"}, tell).OK)
			time.Sleep(2 * time.Minute)
		}
		if !slices.Equal(got, []bool{false, false, false, true}) || told["a"] != 1 || told["b"] != 4 {
			t.Errorf("it is %v, told %v", got, told)
		}
		for i := range 2 * mostHalf {
			each(fmt.Sprint(t.Name(), i), []string{"a", "b"}, tell)
		}
		if len(halves.of) > mostHalf {
			t.Errorf("it keeps %d", len(halves.of))
		}
		clear(halves.of)
	})
	a, b := whole("ntfy", map[string]string{"topic": "a"}), whole("ntfy", map[string]string{"topic": "b"})
	if m := messages()["opened"]; sameMessage(a, m) == sameMessage(b, m) {
		t.Error("two channels have the same key")
	}
}

func TestARefusalWithAStatusOfSuccessIsOne(t *testing.T) {
	page := "<!DOCTYPE html><html><title>Sign in</title></html>"
	for _, c := range []struct {
		kinds, body string
		later       bool
	}{
		{"slack teams discord ntfy gotify pushover matrix telegram", page, true},
		{"slack", "no_service", false}, {"slack", "invalid_payload", false}, {"slack", `{"ok":false,"error":"ratelimited"}`, true},
		{"slack", `{"success":false,"error":"invalid token"}`, false},
		{"teams", "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId tcid=0", true},
		{"teams", "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 403", false},
		{"gotify ntfy", `{"error":"Unauthorized","errorCode":401}`, false}, {"matrix", `{"errcode":"M_FORBIDDEN"}`, false},
	} {
		f := newFar(t, answers(200, c.body))
		for kind := range strings.FieldsSeq(c.kinds) {
			if a := Send(t.Context(), kind, webKinds(f.URL)[kind], messages()["opened"]); a.OK || a.Hopeless == c.later {
				t.Errorf("%s, %q: %+v", kind, c.body, a)
			}
		}
		if a := Send(t.Context(), "webhook", webKinds(f.URL)["webhook"], messages()["opened"]); !a.OK { // a program of one's own
			t.Errorf("webhook, %q: %+v", c.body, a)
		}
	}
	for kind, bodies := range map[string][]string{"slack": {"ok", "", `{"ok":true}`, `{"success":true}`}, "teams": {"1", ""}, "discord": {""},
		"ntfy": {`{"id":"x","event":"message"}`}, "gotify": {`{"id":5,"appid":1}`}, "matrix": {`{"event_id":"$1"}`}} {
		for _, body := range bodies {
			f := newFar(t, answers(200, body))
			if a := Send(t.Context(), kind, webKinds(f.URL)[kind], messages()["opened"]); !a.OK {
				t.Errorf("%s, %q: %+v", kind, body, a)
			}
		}
	}
}
