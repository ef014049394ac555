package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	rows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/storetest"
)

// A server is the other side of a webhook, which answers as it is told to.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc
	asked  []time.Time
	took   []string // the titles it took
}

func newServer(t *testing.T, answer http.HandlerFunc) *server {
	s := &server{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var body struct{ Title string }
		if err != nil || json.Unmarshal(b, &body) != nil {
			t.Errorf("%q came, %v", b, err)
		}
		s.mu.Lock()
		answer := s.answer
		s.asked = append(s.asked, time.Now())
		if answer == nil {
			s.took = append(s.took, body.Title)
		}
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = nil
}

func (s *server) state() (asked []time.Time, took []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(asked, s.asked...), append(took, s.took...)
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = fmt.Fprint(w, "not now\x1b[2J")
	}
}

// Real servers fail, hang, redirect, ask to be left alone, and recover; each gets what it
// is to hear once, and none holds up another.
func TestRealServersFailAndRecover(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	servers := map[string]*server{
		"fails":   newServer(t, status(http.StatusBadGateway)),
		"refuses": newServer(t, status(http.StatusForbidden)),
		"redirects": newServer(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusFound)
		}),
		"later": newServer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
		}),
		"hangs": newServer(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-release:
			}
		}),
		"works": newServer(t, nil),
	}
	s := storetest.Open(t, store.Open)
	service := &channels.Service{Store: s}
	ids := map[string]string{}
	for name, srv := range servers {
		kind := "webhook"
		row, _, err := service.Add(t.Context(), "test", channels.Draft{Name: &name, Kind: kind, Fields: map[string]string{"url": srv.URL}})
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = row.ID
	}
	timing := DefaultTiming()
	timing.Gather, timing.Gap, timing.Tick, timing.First = 10*time.Millisecond, 10*time.Millisecond, 50*time.Millisecond, 20*time.Millisecond
	timing.Last, timing.Limit, timing.Urgent = 200*time.Millisecond, 10*time.Second, time.Hour
	queue := &Queue{Store: s, Send: service.Tell, Said: said, Log: slog.New(slog.DiscardHandler), Timing: timing}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- queue.Run(ctx) }()
	w := &world{T: t, store: s, queue: queue}
	await := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: it never came", what)
			}
		}
	}
	took := func(name string, n int) func() bool {
		return func() bool {
			_, all := servers[name].state()
			return len(all) >= n
		}
	}
	w.open(failed("a", alerts.Critical))
	await("the server that works", took("works", 1))
	for name := range servers {
		await(name, func() bool {
			asked, _ := servers[name].state()
			return len(asked) >= 2 || name == "works" || name == "hangs" && len(asked) == 1
		})
	}
	w.end("a")
	await("the end", took("works", 2))
	w.open(failed("b", alerts.Critical))
	await("another one", took("works", 3))
	for _, srv := range servers {
		srv.recover()
	}
	for name, srv := range servers {
		await(name, took(name, 3))
		if _, got := srv.state(); fmt.Sprint(got) != "[a: backups fail Recovered: a: backups fail b: backups fail]" &&
			fmt.Sprint(got) != "[a: backups fail b: backups fail Recovered: a: backups fail]" { // gathered while the first one waited
			t.Errorf("%s took %q", name, got)
		}
	}
	asked, _ := servers["later"].state()
	if between := asked[1].Sub(asked[0]); between < 2*time.Second {
		t.Errorf("it asked for 2 s and was left alone for %s", between)
	}
	want := map[string]string{"fails": "502 Bad Gateway: not now", "hangs": "No answer came", "refuses": "403 Forbidden",
		"redirects": "redirects are not followed", "later": "429 Too Many Requests", "works": "200 OK"}
	for name, id := range ids {
		var list []rows.Delivery
		await(name+" is written down", func() bool {
			var err error
			if list, err = service.Deliveries(t.Context(), id, "", 100); err != nil || len(list) > 3 {
				t.Fatalf("%s has %d deliveries, %v", name, len(list), err)
			}
			return len(list) == 3 && !slices.ContainsFunc(list, func(d rows.Delivery) bool { return d.State == rows.Waiting })
		})
		for _, d := range list {
			if d.State != rows.Sent || int(d.Tries) != len(d.Tried) || !d.Tried[len(d.Tried)-1].OK {
				t.Errorf("%s: %+v", name, d)
			}
		}
		if first := list[2].Tried[0]; first.OK != (name == "works") || !strings.Contains(first.Answer, want[name]) {
			t.Errorf("%s: the first try is %+v, want %q", name, first, want[name])
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
