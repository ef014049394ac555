package web

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
)

// Pages' streams and jobs' sockets count together, per session and per token; whoever
// closes one may open another, and nobody's streams are in anybody else's way.
func TestASessionHasSoManyStreamsAndNoMore(t *testing.T) {
	w, _, id := running(t)
	socketOf := func(c *client) (status int, said string) {
		r := c.do("GET", "/api/jobs/"+string(id)+"/stream", nil,
			"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
		return r.StatusCode, r.text
	}
	ada := w.person(store.Viewer)
	feeds := []*feed{}
	for i := range base.MostStreams - 2 {
		feeds = append(feeds, ada.feed([]string{"/events?view=fleet", "/events?view=job&id=" + string(id)}[i%2]))
	}
	ada.socket(id, 0)
	ada.socket(id, 0)
	r := ada.do("GET", "/events?view=fleet", nil)
	if r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") == "" ||
		!strings.Contains(r.text, "Too many pages are open at once") {
		t.Errorf("one stream too many: %s, Retry-After %q: %.300s", r.Status, r.Header.Get("Retry-After"), r.text)
	}
	if status, said := socketOf(ada); status != http.StatusTooManyRequests || !strings.Contains(said, "Too many pages are open at once") {
		t.Errorf("one socket too many: %d %s", status, said)
	}
	if r := ada.do("GET", "/", nil); r.StatusCode != http.StatusOK {
		t.Errorf("the page itself: %s", r.Status)
	}
	w.person(store.Viewer).feed("/events?view=fleet")
	program := w.program(store.Viewer)
	for range base.MostStreams {
		program.socket(id, 0)
	}
	if status, _ := socketOf(program); status != http.StatusTooManyRequests {
		t.Errorf("one socket of a token too many: %d", status)
	}
	w.program(store.Viewer).socket(id, 0)
	_ = feeds[0].body.Close()
	await(t, "a place for another stream", func() error {
		r, err := ada.http.Do(ada.request("GET", "/events?view=fleet", nil))
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return fmt.Errorf("it is refused: %s", r.Status)
		}
		return nil
	})
}
