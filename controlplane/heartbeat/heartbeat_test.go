package heartbeat

import (
	"context"
	"errors"
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

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/heartbeats"
	"github.com/restic-manager/restic-manager/store/storetest"
)

// A listener is a service elsewhere. It writes down what it is told, and answers as a test
// says.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	heard  []string // "/uuid/fail: what was wrong"
	answer http.HandlerFunc
}

func listen(t *testing.T) *listener {
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		said := r.URL.RequestURI()
		if len(body) > 0 {
			said += ": " + string(body)
		}
		l.heard = append(l.heard, said)
		answer := l.answer
		l.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) answers(f http.HandlerFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = f
}

// took returns what was heard since it was asked last.
func (l *listener) took() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	heard := l.heard
	l.heard = nil
	return heard
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

type world struct {
	*Service
	wrong string // with the control plane
	at    time.Time
}

func serve(t *testing.T) *world {
	w := &world{at: time.Now()}
	w.Service = &Service{Store: storetest.Open(t, store.Open), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Now:   func() time.Time { return w.at },
		Parts: []Part{{Name: "The database", Wrong: func(context.Context) string { return w.wrong }}, {Name: "A part", Wrong: fine}}}
	w.begin()
	return w
}

func fine(context.Context) string { return "" }

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: heard %q, want %q", what, got, want)
	}
}

func TestItBeatsOnlyWhileTheControlPlaneWorks(t *testing.T) {
	w, l := serve(t), listen(t)
	ctx := t.Context()
	if wait := w.beat(ctx); wait != idle || w.Status().On {
		t.Errorf("without an address: again after %v, %+v", wait, w.Status())
	}
	if err := w.Set(ctx, "anna", Settings{URL: l.URL + "/ping/uuid", Every: 45}, 0); err != nil {
		t.Fatal(err)
	}
	if wait := w.beat(ctx); wait != 45*time.Second {
		t.Errorf("again after %v", wait)
	}
	expect(t, "all is well", l.took(), "/ping/uuid")
	w.wrong = "cannot be written: full"
	w.beat(ctx)
	expect(t, "the disk is full", l.took(), "/ping/uuid/fail: The database cannot be written: full.")
	if s := w.Status(); !s.On || s.LastOKAt == 0 || s.Failures != 0 || s.Said == "" {
		t.Errorf("what was heard is no failure of the heartbeat: %+v", s)
	}
	w.wrong = ""
	w.beat(ctx)
	expect(t, "it works again", l.took(), "/ping/uuid")
}

func TestPeopleAreToldWhenNobodyHearsIt(t *testing.T) {
	w, l := serve(t), listen(t)
	ctx := t.Context()
	changed := 0
	w.Changed = func() { changed++ }
	if err := w.Set(ctx, "anna", Settings{URL: l.URL + "/ping/uuid"}, 0); err != nil {
		t.Fatal(err)
	}
	w.beat(ctx)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"gone":       {status(404, "no such check\x1b[31m"), "404 Not Found: no such check"},
		"redirected": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "302 Found"},
		"broken":     {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"endless":    {status(500, strings.Repeat("x", 1<<20)), "500 Internal Server Error: xxx"},
	} {
		l.answers(c.answer)
		for i := range Enough {
			if fails := len(w.Notices(ctx)) > 0; fails {
				t.Errorf("%s: told after %d failures", name, i)
			}
			w.at = w.at.Add(time.Minute)
			w.beat(ctx)
		}
		s := w.Status()
		if !strings.Contains(s.Answer, c.want) || len(s.Answer) > 2*answer || strings.Contains(s.Answer, "uuid") {
			t.Errorf("%s: the answer is %q", name, s.Answer)
		}
		if n := w.Notices(ctx); len(n) != 1 || n[0].ID != "heartbeat-failing" || w.at.UnixMilli()-s.FailingSince != 2*60_000 {
			t.Errorf("%s: told %+v, %+v", name, n, s)
		}
		again := &Service{Store: w.Store, Log: w.Log, Now: w.Now}
		again.begin()
		again.beat(ctx)
		if s := again.Status(); s.Failures != Enough+1 {
			t.Errorf("%s: after a restart there are %d failures", name, s.Failures)
		}
		l.answers(nil)
		w.beat(ctx)
		if n := w.Notices(ctx); len(n) != 0 || w.Status().FailingSince != 0 {
			t.Errorf("%s: it is heard again, and told is %+v", name, n)
		}
	}
	if changed != 8 {
		t.Errorf("pages were told of %d changes, want 8", changed)
	}
	if slices.Contains(l.took(), "/elsewhere") {
		t.Error("a redirect was followed")
	}
}

func TestSettingsAreCheckedAndKept(t *testing.T) {
	w := serve(t)
	ctx := t.Context()
	for _, bad := range []struct {
		Settings
		field string
	}{
		{Settings{URL: "hc-ping.com/uuid"}, "url"},
		{Settings{URL: "ftp://hc-ping.com/uuid"}, "url"},
		{Settings{URL: "https:///uuid"}, "url"},
		{Settings{URL: "https://x/" + strings.Repeat("u", 2000)}, "url"},
		{Settings{URL: "https://x/\u202euuid"}, "url"},
		{Settings{URL: "https://hc-ping.com/uuid", Every: 29}, "every"},
		{Settings{URL: "https://hc-ping.com/uuid", Every: 86_401}, "every"},
		{Settings{URL: "https://hc-ping.com/uuid", Kind: "pager"}, "kind"},
		{Settings{URL: "https://hc-ping.com/uuid", Kind: Kuma}, "url"},
	} {
		var wrong field.Errors
		if err := w.Set(ctx, "anna", bad.Settings, 0); !errors.As(err, &wrong) || wrong[bad.field] == "" {
			t.Errorf("%+v: %v, want something about %s", bad.Settings, err, bad.field)
		}
	}
	if err := w.Set(ctx, "anna", Settings{URL: " https://hc-ping.com/uuid "}, 0); err != nil {
		t.Fatal(err)
	}
	set, version, err := w.Get(ctx)
	if want := (Settings{URL: "https://hc-ping.com/uuid", Every: Usual, Kind: Healthchecks}); err != nil || set != want || version != 1 {
		t.Errorf("it is %+v of version %d, %v", set, version, err)
	}
	if err := w.Set(ctx, "bert", Settings{URL: "https://hc-ping.com/other"}, 0); !errors.Is(err, heartbeats.ErrMoved) {
		t.Errorf("who did not see the last change: %v", err)
	}
	if err := w.Set(ctx, "bert", Settings{}, version); err != nil {
		t.Fatal(err)
	}
	if set, version, err = w.Get(ctx); err != nil || set.URL != "" || version != 0 {
		t.Errorf("after its end: %+v of version %d, %v", set, version, err)
	}
	entries, err := w.Store.AuditEntries(ctx, store.AuditFilter{}, 10)
	said := fmt.Sprint(entries)
	if err != nil || !strings.Contains(said, "heartbeat.saved") || !strings.Contains(said, "heartbeat.removed") ||
		strings.Contains(said, "uuid") {
		t.Errorf("the audit log says %s, %v", said, err)
	}
}
