package channels

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
)

func newService(t *testing.T) *Service {
	t.Helper()
	return &Service{Store: storetest.Open(t, store.Open), PublicURL: func(context.Context) string { return public }}
}

// everything is all that somebody may read of channels: rows, deliveries, the audit log.
func everything(t *testing.T, s *Service) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, c := range must(s.List(t.Context())) {
		c.Sealed = nil
		_ = e.Encode(c)
		_ = e.Encode(must(s.Get(t.Context(), c.ID)).Settings)
		_ = e.Encode(must(s.Deliveries(t.Context(), c.ID, "", 100)))
	}
	_ = e.Encode(must(s.Store.AuditEntries(t.Context(), store.AuditFilter{}, 1000)))
	return b.String()
}

func TestNoSecretOfAChannelIsShownAgain(t *testing.T) {
	s := newService(t)
	// A server that repeats what it was told.
	f := newFar(t, nil)
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.URL, r.Header, string(body))
	})
	kinds := webKinds(f.URL)
	kinds["email"] = map[string]string{"host": "127.0.0.1", "port": "1", "security": "none", "from": "a@example.net", "to": "b@example.net",
		"username": "anna", "password": "canary-mail-password"}
	for kind, values := range kinds {
		name := "to " + kind
		row, shown, err := s.Add(t.Context(), "anna", Draft{Name: &name, Kind: kind, Fields: values})
		if err != nil || shown != "" {
			t.Fatalf("%s: %v, shown %q", kind, err, shown)
		}
		if row.Secrets != nil {
			t.Errorf("%s: it is answered with secrets", kind)
		}
		if _, err := s.Test(t.Context(), "anna", row.ID, "host-offline"); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		other := name + " and more"
		changed := map[string]string{}
		if kind == "webhook" {
			changed["secret"] = "another canary of the webhook"
		}
		if _, _, err := s.Change(t.Context(), "anna", row.ID, Draft{Name: &other, Fields: changed}); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if all := must(s.Deliveries(t.Context(), row.ID, "", 10)); len(all) != 1 || len(all[0].Tried) != 1 || all[0].Event != "test" {
			t.Errorf("%s: deliveries %+v", kind, all)
		}
	}
	text := everything(t, s)
	for _, secret := range append(secretsIn, "another canary") {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s is shown: …%s…", secret, text[max(0, i-200):min(len(text), i+60)])
		}
	}
	if !strings.Contains(text, "channel.tested") || !strings.Contains(text, "channel.changed") {
		t.Error("the audit log does not say what was done")
	}
}

func TestAWebhooksSecretIsMadeAndShownOnce(t *testing.T) {
	s, name := newService(t), "hook"
	f := newFar(t, answers(200, ""))
	row, shown, err := s.Add(t.Context(), "anna", Draft{Name: &name, Kind: "webhook", Fields: map[string]string{"url": f.URL}})
	if err != nil || len(shown) < 40 {
		t.Fatalf("%v, shown %q", err, shown)
	}
	if a, err := s.Test(t.Context(), "anna", row.ID, ""); err != nil || !a.OK || f.asked()[0].header.Get(signatureHeader) == "" {
		t.Fatalf("%+v, %v", a, err)
	}
	if c := must(s.Get(t.Context(), row.ID)); c.LastOKAt == 0 || c.FailingSince != 0 || c.LastAnswer != "200 OK" {
		t.Errorf("the row says %+v", c)
	}
	// Whatever is not named stays, and an empty text has another one made.
	_, again, err := s.Change(t.Context(), "anna", row.ID, Draft{Fields: map[string]string{"headers": "X-A: b"}})
	if err != nil || again != "" {
		t.Errorf("%v, %q", err, again)
	}
	if got := must(s.Store.Channels().Read(t.Context(), row.ID)).Secrets; got["secret"] != shown || got["headers"] != "X-A: b" {
		t.Errorf("secrets %v", got)
	}
	_, again, err = s.Change(t.Context(), "anna", row.ID, Draft{Fields: map[string]string{"secret": ""}})
	if err != nil || again == "" || again == shown {
		t.Errorf("%v, %q", err, again)
	}
}

func TestChannelsAreChangedAsAskedOnly(t *testing.T) {
	s, name := newService(t), "ops"
	ctx := t.Context()
	draft := Draft{Name: &name, Kind: "ntfy", Fields: map[string]string{"topic": "backups", "token": "tk_1"}}
	row, _, err := s.Add(ctx, "anna", draft)
	if err != nil || !row.Enabled || row.Version != 1 {
		t.Fatalf("%+v, %v", row, err)
	}
	if _, _, err := s.Add(ctx, "anna", draft); !errors.Is(err, ErrNameTaken) {
		t.Errorf("the same name: %v", err)
	}
	if _, _, err := s.Change(ctx, "anna", row.ID, Draft{Version: 9}); !errors.Is(err, ErrMoved) {
		t.Errorf("another version: %v", err)
	}
	var wrong field.Errors
	if _, _, err := s.Change(ctx, "anna", row.ID, Draft{Kind: "slack"}); !errors.As(err, &wrong) || wrong["kind"] == "" {
		t.Errorf("another kind: %v", err)
	}
	if err := s.Enable(ctx, "anna", row.ID, false); err != nil || must(s.Get(ctx, row.ID)).Enabled {
		t.Errorf("disable: %v", err)
	}
	if _, err := s.Test(ctx, "anna", row.ID, "no-such-condition"); !errors.As(err, &wrong) || wrong["condition"] == "" {
		t.Errorf("an unknown condition: %v", err)
	}
	if err := s.Remove(ctx, "anna", row.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.Test(ctx, "anna", row.ID, "")
	_, _, err2 := s.Change(ctx, "anna", row.ID, Draft{})
	if !errors.Is(err, ErrNone) || !errors.Is(err2, ErrNone) || !errors.Is(s.Remove(ctx, "anna", row.ID), ErrNone) {
		t.Errorf("of one that is gone: %v, %v", err, err2)
	}
}

func TestCheckNamesTheFieldAndRefusesWhatWouldBeAnotherRequest(t *testing.T) {
	good := webKinds("http://127.0.0.1:8080")
	good["email"] = map[string]string{"host": "smtp.example.net", "from": "Backups <b@example.net>", "to": "a@example.net\nb@example.net"}
	for kind, values := range good {
		if err := Check(kind, values); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for _, c := range []struct{ kind, field, value string }{
		{"webhook", "url", ""}, {"webhook", "url", "ftp://example.net"}, {"webhook", "url", "http://"},
		{"webhook", "url", "javascript:alert(1)"},
		{"webhook", "url", "https://user:password@example.net/x"}, {"webhook", "url", "http://a b/"},
		{"webhook", "url", "http://exa\r\nmple.net/"},
		{"webhook", "url", "http://example.net\\@evil"}, {"webhook", "url", "http:example.net"}, {"webhook", "url", "//example.net"},
		{"webhook", "url", "http://example.net/#x"}, {"webhook", "url", "http://[::1"}, {"webhook", "url", "http://example.net/\u202e"},
		{"webhook", "headers", "no colon"}, {"webhook", "headers", "A: b\r\nHost: evil"}, {"webhook", "headers", "content-length: 5"},
		{"webhook", "headers", "A b: c"}, {"webhook", "headers", "X-Restic-Manager-Signature: t=1,v1=0"}, {"webhook", "headers", "A: b\x00"},
		{"webhook", "headers", "Transfer-Encoding: chunked"}, {"webhook", "secret", "short"}, {"webhook", "other", "x"},
		{"ntfy", "topic", "a/b"}, {"ntfy", "topic", ""}, {"ntfy", "topic", "a?b"}, {"ntfy", "password", ""}, {"gotify", "token", ""},
		{"telegram", "token", "123/../456:x"}, {"telegram", "token", "nothing"}, {"telegram", "chats", "anna"}, {"telegram", "chats", "@a/b"},
		{"matrix", "rooms", "room"}, {"matrix", "rooms", "#alias"}, {"matrix", "url", "matrix.example.net"},
		{"email", "host", "smtp.example.net:25"}, {"email", "host", "smtp example"}, {"email", "host", "a\r\nRCPT TO:<x@y>"},
		{"email", "port", "0"}, {"email", "port", "70000"}, {"email", "port", "x"}, {"email", "security", "ssl"},
		{"email", "from", "nobody"}, {"email", "from", "a@b\r\nBcc: c@d"}, {"email", "to", "a@b\nnobody"}, {"email", "to", "a@b c@d"},
		{"pushover", "devices", "my phone, other"}, {"pushover", "user", "a b"},
		{"url", "url", "nosuch://x"}, {"url", "url", "logger://"}, {"url", "url", "https://example.net"}, {"url", "url", "%"},
		{"discord", "url", "discord.com/api"}, {"slack", "url", strings.Repeat("x", 9000)}, {"carrier-pigeon", "kind", ""},
	} {
		values := map[string]string{}
		for k, v := range good[c.kind] {
			values[k] = v
		}
		want := c.field
		switch {
		case c.field == "password":
			values["password"], want = "x", "username"
		case c.field != "kind":
			values[c.field] = c.value
		}
		var wrong field.Errors
		if err := Check(c.kind, values); !errors.As(err, &wrong) || wrong[want] == "" || len(wrong) != 1 {
			t.Errorf("%s %s=%q: %v", c.kind, c.field, c.value, err)
		}
		if a := Send(t.Context(), c.kind, values, messages()["opened"]); a.OK || !a.Hopeless {
			t.Errorf("%s %s=%q is sent: %+v", c.kind, c.field, c.value, a)
		}
	}
}

func TestEveryKindCanBeSent(t *testing.T) {
	for _, k := range Kinds() {
		if senders[k.Name].send == nil || senders[k.Name].check == nil {
			t.Errorf("%s has no sender", k.Name)
		}
	}
	if len(senders) != len(Kinds()) {
		t.Errorf("%d senders for %d kinds", len(senders), len(Kinds()))
	}
}
