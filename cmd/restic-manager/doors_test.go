package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// A house is a control plane with its pages, its API and the command line beside
// it, all on one database, and a host with two source groups.
type house struct {
	t          *testing.T
	data       string
	store      *store.Store
	handler    http.Handler
	token      string
	cookies    []*http.Cookie // of an administrator who is signed in
	host       topics.HostID
	repository topics.RepositoryID
}

func newHouse(t *testing.T) *house {
	data := filepath.Join(t.TempDir(), "data")
	storetest.Make(t, data, store.Open)
	p, err := controlplane.New(t.Context(), controlplane.Config{Data: data, HTTP: "127.0.0.1:0", Agents: "127.0.0.1:0", MQTT: "127.0.0.1:0",
		Log: slog.New(slog.DiscardHandler), Timing: controlplane.DefaultTiming(), Logs: controlplane.DefaultLogs(),
		Limits: protocol.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &house{t: t, data: data, store: p.Store, handler: p.Web.Handler(), token: password.NewKey("rma_")}
	token := store.APIToken{ID: topics.NewID(time.Now()), Name: "doors", Role: store.Admin, KeyHash: password.HashKey(h.token)}
	if _, err := p.Store.AddAPIToken(t.Context(), store.Maker{Name: "test"}, token); err != nil {
		t.Fatal(err)
	}
	user := store.User{ID: topics.NewID(time.Now()), Name: "anna", Role: store.Admin}
	if err := p.Store.AddUser(t.Context(), "test", user); err != nil {
		t.Fatal(err)
	}
	link, err := p.Web.SignInLink(t.Context(), user.ID)
	if err != nil {
		t.Fatal(err)
	}
	signIn := httptest.NewRecorder()
	h.handler.ServeHTTP(signIn, httptest.NewRequestWithContext(t.Context(), "GET", link, nil))
	h.cookies = signIn.Result().Cookies()
	id := topics.NewID(time.Now())
	hash := sha256.Sum256([]byte(id))
	enroll := store.EnrollToken{ID: id, KeyHash: hash[:], Name: "attic", CreatedBy: "test", ExpiresAt: p.Store.Now() + 60_000}
	if err := p.Store.AddEnrollToken(t.Context(), enroll); err != nil {
		t.Fatal(err)
	}
	row, err := p.Store.Enroll(t.Context(), hash[:], store.Host{ID: topics.HostID(id), SealKey: []byte("k"), Serial: "1", Hostname: "attic"})
	if err != nil {
		t.Fatal(err)
	}
	h.host, h.repository = row.ID, topics.RepositoryID(id)
	access := store.RepositoryAccess{URL: "/srv/vault", Password: "correct horse"}
	if err := p.Store.AddRepository(t.Context(), "test", store.Repository{ID: h.repository, Name: "vault"}, access); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"letters", "photos"} {
		g := store.SourceGroup{
			ID:         topics.SourceGroupID(name + "-0001"),
			Host:       h.host,
			Name:       name,
			Repository: h.repository,
			Paths:      store.List{"/" + name},
		}
		if _, err := p.Store.PutSourceGroup(t.Context(), "test", g); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// ask sends a request to the pages or the API: a form if the body is one, JSON if
// it is anything else.
func (h *house) ask(method, path string, body any) (status int, text string) {
	h.t.Helper()
	var r io.Reader
	media := "application/json"
	switch b := body.(type) {
	case nil:
	case url.Values:
		r, media = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			h.t.Fatal(err)
		}
		r = strings.NewReader(string(encoded))
	}
	req := httptest.NewRequestWithContext(h.t.Context(), method, path, r)
	req.Header.Set("Content-Type", media)
	if strings.HasPrefix(path, "/api/") {
		req.Header.Set("Authorization", "Bearer "+h.token)
	} else {
		for _, c := range h.cookies {
			req.AddCookie(c)
		}
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

// tell runs the command line on the house's database.
func (h *house) tell(args ...string) (text string, code int) {
	h.t.Helper()
	return said(h.t, append(args, "--data", h.data)...)
}

func TestEveryDoorTellsTheSameNextStarts(t *testing.T) {
	h := newHouse(t)
	// All begin a while from now and once a month or so, so that the clock does not
	// pass one in the middle; a hundred of them see the clocks change many times.
	soon := time.Now().UTC().Add(26 * time.Hour)
	for name, sc := range map[string]store.Schedule{
		"plain":         {Cron: fmt.Sprintf("%d %d * * *", soon.Minute(), soon.Hour()), Zone: "UTC"},
		"spread":        {Cron: fmt.Sprintf("0 %d * * *", soon.Hour()), Zone: "UTC", JitterSeconds: 3600},
		"in its jitter": {Cron: fmt.Sprintf("%d %d * * *", soon.Minute(), soon.Add(-3*time.Hour).Hour()), Zone: "UTC", JitterSeconds: 86400},
		"just made": {
			Cron:          fmt.Sprintf("%d * * * *", soon.Add(-time.Minute).Minute()),
			Zone:          "UTC",
			JitterSeconds: 86400,
			Since:         time.Now().UnixMilli(),
		},
		"just fired": {
			Cron:          fmt.Sprintf("%d * * * *", soon.Add(-time.Minute).Minute()),
			Zone:          "UTC",
			JitterSeconds: 86400,
			LastSlot:      time.Now().UnixMilli(),
		},
		"gap and twice":    {Cron: "30 2 * * 0", Zone: "Europe/Berlin"},
		"gap, spread":      {Cron: "30 2 * * *", Zone: "America/New_York", JitterSeconds: 7200},
		"half an hour off": {Cron: "@daily", Zone: "Asia/Kolkata", JitterSeconds: 1800},
		"twice a month":    {Cron: "15 1 1,15 * *", Zone: "Australia/Lord_Howe"},
	} {
		t.Run(name, func(t *testing.T) {
			id := topics.ScheduleID(topics.NewID(time.Now()))
			row, err := h.store.PutSchedule(t.Context(), "test", h.host, name, id, func(is *store.Schedule) error {
				is.Cron, is.Zone, is.JitterSeconds, is.Enabled = sc.Cron, sc.Zone, sc.JitterSeconds, true
				is.Since, is.LastSlot = max(sc.Since, 1), sc.LastSlot // made long ago, unless it matters
				is.Groups = []topics.SourceGroupID{"letters-0001"}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			want, err := schedule.NextStarts(row, time.Now(), 100)
			if err != nil || len(want) != 100 {
				t.Fatalf("%d starts, %v", len(want), err)
			}
			same := func(door string, got []time.Time) {
				t.Helper()
				if !slices.EqualFunc(got, want[:len(got)], time.Time.Equal) || len(got) == 0 {
					t.Errorf("%s says %v, want %v", door, got, want[:max(len(got), 1)])
				}
			}
			moments := func(texts ...string) (out []time.Time) {
				for _, text := range texts {
					at, err := time.Parse(time.RFC3339, text)
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, at)
				}
				return out
			}

			at := "/api/hosts/" + string(h.host) + "/schedules/" + url.PathEscape(name)
			var one struct{ Next time.Time }
			var many struct{ Next []time.Time }
			_, text := h.ask("GET", at, nil)
			decode(t, text, &one)
			same("the API's schedule", []time.Time{one.Next})
			_, text = h.ask("GET", at+"/next?n=100", nil)
			decode(t, text, &many)
			same("the API's list", many.Next)

			text, _ = h.tell("schedule", "next", "attic", name, "-n", "100")
			same("schedule next", moments(strings.Fields(text)...))
			text, _ = h.tell("schedule", "list", "--host", "attic")
			line := regexp.MustCompile(`(?m)^attic +` + name + ` .*$`).FindString(text)
			same("schedule list", moments(regexp.MustCompile(`\d{4}-\d\d-\d\dT\S+`).FindAllString(line, -1)...))

			whole := func(html string) []time.Time { // as the page tells them to the browser
				var out []string
				for _, m := range regexp.MustCompile(`<time datetime="([^"]+)"`).FindAllStringSubmatch(html, -1) {
					out = append(out, m[1])
				}
				return moments(out...)
			}
			_, text = h.ask("GET", "/schedules", nil)
			_, row2, _ := strings.Cut(text, ">"+name+"</a>")
			row2, _, _ = strings.Cut(row2, "</tr>")
			same("the list's page", whole(row2))
			_, text = h.ask("GET", "/hosts/"+string(h.host)+"/schedules/"+url.PathEscape(name)+"/edit", nil)
			if _, preview, ok := strings.Cut(text, `id="preview"`); ok {
				same("the form's preview", whole(preview)[:5])
			} else {
				t.Error("the form has no preview")
			}
			if err := h.store.DeleteSchedule(t.Context(), "test", h.host, name); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}
