package heartbeat

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store/heartbeats"
	"github.com/restic-manager/restic-manager/topics"
)

// What the other side says is shown without the address that it repeats, and without what
// deceives; the address lets anybody say that all is well.
func TestAnAnswerHoldsNoAddress(t *testing.T) {
	w, l := serve(t), listen(t)
	l.answers(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("Cannot GET " + r.URL.RequestURI() + " token=" + r.URL.Query().Get("token") + "\x1b[2J" +
			strings.Repeat("x", 400) + r.URL.Path + strings.Repeat("y", 100<<10)))
	})
	address := l.URL + "/beat/canary-5f3a9c/x?token=canary-77+1"
	must(0, w.Set(t.Context(), "anna", Settings{URL: address}, 0))
	w.beat(t.Context())
	got := w.Status().Answer
	if strings.Contains(got, "canary") || strings.Contains(got, "\x1b") || !strings.HasPrefix(got, "404 Not Found: Cannot GET [redacted]") ||
		len(got) > 600 {
		t.Errorf("the answer is %q", got)
	}
}

// Healthchecks answers with 200 also when nobody hears it.
func TestAnAnswerThatNobodyHeardIsAFailure(t *testing.T) {
	for _, c := range []struct {
		path, body string
		heard      bool
	}{
		{"/ping/uuid", "OK", true}, {"/ping/uuid", "OK (not found)", false}, {"/ping/uuid", "OK (rate limited)", false},
		{"/ping/uuid", "<!DOCTYPE html><title>Sign in</title>", false}, {"/api/push/token", `{"ok":true}`, true},
		{"/api/push/token", `{"ok":false,"msg":"Monitor not found or not active."}`, false}, {"/beat", "<html>", true},
	} {
		w, l := serve(t), listen(t)
		l.answers(status(http.StatusOK, c.body))
		must(0, w.Set(t.Context(), "anna", Settings{URL: l.URL + c.path}, 0))
		w.beat(t.Context())
		if s := w.Status(); (s.Failures == 0) != c.heard || !strings.Contains(s.Answer, "200 OK: ") {
			t.Errorf("%s, %q: %+v", c.path, c.body, s)
		}
	}
}

// A clock that was a year ahead and is set back keeps nothing back for a year.
func TestAClockThatIsSetBackKeepsNoPingBack(t *testing.T) {
	w, l := serve(t), listen(t)
	_, groups := w.host(t, "attic", "home")
	w.told(t, Ping{Scope: heartbeats.OfHost, Subject: string(groups[0].Host), URL: l.URL + "/beat"})
	l.answers(status(http.StatusBadGateway, ""))
	w.backup(t, groups[0], topics.Succeeded, "")
	w.at = w.at.Add(12 * time.Hour)
	must(w.Step(t.Context()))
	expect(t, "nobody is there", l.took(), "/beat")
	l.answers(nil)
	w.at = w.at.Add(-12 * time.Hour)
	w.step(t)
	expect(t, "somebody is there again", l.took(), "/beat")
}
