package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/controlplane/heartbeat"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/heartbeats"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// An ear is a program that people have told to: a webhook, and a heartbeat's address.
type ear struct {
	*httptest.Server
	mu    sync.Mutex
	heard []string // "opened GROUP", in order; of a heartbeat "/beat/start: …"
	more  int      // alerts that messages did not name
}

func listen(t *testing.T) *ear {
	e := &ear{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		e.mu.Lock()
		defer e.mu.Unlock()
		if r.URL.Path != "/hook" {
			e.heard = append(e.heard, r.URL.Path+": "+string(body))
			return
		}
		var said struct {
			Event  string
			Alert  *channels.Alert
			Alerts []channels.Alert
			More   int
		}
		if err = errors.Join(err, json.Unmarshal(body, &said)); err != nil {
			t.Errorf("the webhook was sent %q: %v", body, err)
			return
		}
		alerts := said.Alerts
		if len(alerts) == 0 && said.Alert != nil {
			alerts = append(alerts, *said.Alert)
		}
		e.more += said.More
		line := said.Event
		for _, a := range alerts {
			line += " " + a.Subject.ID
		}
		e.heard = append(e.heard, line)
	}))
	t.Cleanup(e.Close)
	return e
}

// all returns what was heard, in order.
func (e *ear) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

// times is how often something was heard.
func (e *ear) times(what string) (n int) {
	for _, line := range e.all() {
		if line == what {
			n++
		}
	}
	return n
}

// told has a channel tell e.
func told(t *testing.T, s *store.Store, e *ear) {
	t.Helper()
	name := "hook"
	if _, _, err := (&channels.Service{Store: s}).Add(t.Context(), "test", channels.Draft{Name: &name, Kind: "webhook",
		Fields: map[string]string{"url": e.URL + "/hook"}}); err != nil {
		t.Fatal(err)
	}
}

// groups adds a host with so many source groups in a repository of its own. Its agent was
// never started.
func groups(t *testing.T, s *store.Store, name string, n int) (rows []store.SourceGroup) {
	t.Helper()
	ctx, id := t.Context(), topics.NewID(time.Now())
	if err := s.AddEnrollToken(ctx, store.EnrollToken{ID: id, KeyHash: []byte(id), Name: name, CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000}); err != nil {
		t.Fatal(err)
	}
	h := e2e.Must(s.Enroll(ctx, []byte(id), store.Host{ID: topics.HostID(id), SealKey: []byte("k"), Serial: "1"})).ID
	if err := s.AddRepository(ctx, "test", store.Repository{ID: topics.RepositoryID(id), Name: name, CreatedAt: s.Now()},
		store.RepositoryAccess{URL: "/srv/vault", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		rows = append(rows, e2e.Must(s.PutSourceGroup(ctx, "test", store.SourceGroup{ID: topics.SourceGroupID(topics.NewID(time.Now())),
			Host: h, Name: fmt.Sprintf("group %d", i), Repository: topics.RepositoryID(id), Paths: store.List{fmt.Sprintf("/%d", i)}})))
	}
	return rows
}

// backup is one of a group from its beginning to its end, as an agent reports it.
func backup(t *testing.T, s *store.Store, g store.SourceGroup, state topics.JobState, cause topics.Cause) topics.JobID {
	t.Helper()
	ctx := t.Context()
	j, _, err := s.Ask(ctx, "anna", store.Job{ID: topics.JobID(topics.NewID(time.Now())), Host: g.Host, Kind: topics.BackupJob,
		SourceGroup: g.ID, Repository: g.Repository, QueuedAt: s.Now(), NotAfter: s.Now() + 3_600_000})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Steps(ctx, func(tx protocol.PlaneTx) error {
		p, _, err := tx.Job(j.ID)
		for _, next := range []topics.JobState{topics.Dispatched, topics.Running, state} {
			if p.State = next; err == nil {
				err = tx.PutJob(p)
			}
			if err == nil && next == topics.Running {
				err = tx.Started(p, topics.Started{}, s.Now())
			}
		}
		if err == nil {
			err = tx.Finished(p, topics.Finished{Job: j.ID, State: state, Cause: cause}, s.Now())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return j.ID
}

// TestAKillBetweenAnswerAndRecordRepeatsThatMessageAlone kills the control plane each time the
// other side has answered and nobody wrote that down.
func TestAKillBetweenAnswerAndRecordRepeatsThatMessageAlone(t *testing.T) {
	const kills = 2
	w, e := newWorld(t, 31), listen(t)
	told(t, w.store, e)
	all := groups(t, w.store, "attic", 2*kills)
	beats := &heartbeat.Service{Store: w.store, Now: time.Now}
	if err := beats.SetPing(t.Context(), "test", heartbeat.Ping{Scope: heartbeats.OfHost, Subject: string(all[0].Host),
		URL: e.URL + "/beat", Kind: heartbeat.Healthchecks}); err != nil {
		t.Fatal(err)
	}
	w.plane.MustStop(time.Minute)
	var want []string
	for i, g := range all {
		point := []string{"channel-answered", "ping-answered"}[i%2]
		w.startPlane(point)
		job := backup(t, w.store, g, topics.Failed, topics.CauseHook)
		w.plane.AwaitDeath()
		w.startPlane("")
		want = append(want, "opened "+string(g.ID), "/beat/start: Backup began, job "+string(job), "/beat/fail: Backup failed, job "+string(job))
		await(t, "all to be told and written down", func() error {
			for _, line := range want {
				if e.times(line) == 0 {
					return fmt.Errorf("%q was not heard; only %q", line, e.all())
				}
			}
			waiting, err := w.store.WaitingPings(t.Context())
			if len(waiting) > 0 {
				err = fmt.Errorf("%v are still to be said", waiting)
			}
			list := struct {
				Deliveries []struct{ State string }
			}{}
			rows, lerr := w.store.Channels().List(t.Context())
			if err = errors.Join(err, lerr); err != nil {
				return err
			}
			if err := w.api("GET", "/api/channels/"+rows[0].ID+"/deliveries", nil, &list); err != nil {
				return err
			}
			for _, d := range list.Deliveries {
				if d.State != "sent" {
					return fmt.Errorf("one is %s", d.State)
				}
			}
			return nil
		})
		w.plane.MustStop(time.Minute)
	}
	heard := e.all()
	if extra := len(heard) - len(want); extra > len(all) {
		t.Errorf("%d kills repeated %d messages", len(all), extra)
	}
	for _, line := range want {
		if n := e.times(line); n > 2 {
			t.Errorf("%q was heard %d times", line, n)
		}
	}
	for _, line := range heard {
		if !slices.Contains(want, line) {
			t.Errorf("heard %q, which nobody said", line)
		}
	}
}

// TestAThousandFailuresAreThreeMessages has a thousand backups fail within a minute.
func TestAThousandFailuresAreThreeMessages(t *testing.T) {
	const hosts, each = 50, 20
	dir := filepath.Join(t.TempDir(), "data")
	storetest.Make(t, dir, store.Open)
	p, err := controlplane.New(t.Context(), controlplane.Config{Data: dir, HTTP: "127.0.0.1:0", Agents: "127.0.0.1:0", MQTT: "127.0.0.1:0",
		Log: slog.New(slog.DiscardHandler), Timing: controlplane.DefaultTiming(), Logs: controlplane.DefaultLogs()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	defer func() {
		stop()
		if err := errors.Join(<-ended, p.Close()); err != nil {
			t.Error(err)
		}
	}()
	e := listen(t)
	told(t, p.Store, e)
	var all []store.SourceGroup
	for i := range hosts {
		all = append(all, groups(t, p.Store, fmt.Sprintf("host-%02d", i), each)...)
	}
	began := time.Now()
	for _, g := range all {
		backup(t, p.Store, g, topics.Failed, topics.CauseHook)
	}
	took := time.Since(began)
	open := func() int { return p.Alerts().Counts(t.Context()).Open }
	await(t, "all to be open and told", func() error {
		heard, named := e.all(), 0
		for _, line := range heard {
			named += len(strings.Fields(line)) - 1
		}
		e.mu.Lock()
		named += e.more
		e.mu.Unlock()
		if n := open(); n != len(all) || named < len(all) {
			return fmt.Errorf("%d are open, %d messages are about %d alerts", n, len(heard), named)
		}
		return nil
	})
	// Each gathering of thirty seconds is one message, and who fails longer than a minute is told of more.
	if n, most := len(e.all()), 2+int(took/(20*time.Second)); n > max(3, most) {
		t.Errorf("%d failures within %v are %d messages", len(all), took, n)
	}
}
