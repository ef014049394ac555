package metrics

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/space"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// must is for what cannot fail unless the test is over anyway.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A world is a page over a real database and a real board; a test says what the rest is.
type world struct {
	t     *testing.T
	store *store.Store
	page  *Page
	now   atomic.Int64
	live  func() ([]alerts.Alert, error)
	made  int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, store: storetest.Open(t, store.Open), live: func() ([]alerts.Alert, error) { return nil, nil }}
	w.now.Store(time.Now().UnixMilli())
	w.start()
	return w
}

// start starts the control plane, again too.
func (w *world) start() {
	now := func() time.Time { return time.UnixMilli(w.now.Load()) }
	presence := hosts.NewPresence(hosts.DefaultTiming(), now, must(w.store.Hosts(context.Background())))
	w.page = must(New(Config{
		Store: w.store, Fleet: fleet.NewBoard(w.store, presence, now),
		Live: func(context.Context) ([]alerts.Alert, error) { return w.live() },
		Brokers: func() map[string]broker.Stats {
			return map[string]broker.Stats{"agents": {Connected: 7, Refused: 3}, "public": {Dropped: 2}}
		},
		Inflow: func() jobs.Inflow { return jobs.Inflow{Messages: 4, Bytes: 4096, Received: 10, Refused: 1} },
		Turns:  func() map[string]time.Time { return map[string]time.Time{"jobs": now(), "alerts": {}} },
		Space:  func() space.Status { return space.Status{Level: space.Low, Free: 100, Total: 1000} },
		Outbox: func() []Outlet {
			return []Outlet{{Name: "public", Connected: true}, {Name: "uplink", Connected: true, Waiting: 3, Oldest: now().Add(-2 * time.Second)}}
		},
		Uplink:  func() Uplink { return Uplink{On: true, Connects: 2} },
		Version: "1.2.3", Log: slog.New(slog.DiscardHandler), Now: now,
	}))
}

// later lets time pass.
func (w *world) later(d time.Duration) { w.now.Add(d.Milliseconds()) }

func (w *world) enrol(name string) topics.HostID {
	ctx := context.Background()
	w.made++
	id := fmt.Sprintf("%026d", w.made)
	check(w.store.AddEnrollToken(ctx, store.EnrollToken{ID: id, KeyHash: []byte(id), Name: name, CreatedBy: "test",
		ExpiresAt: w.store.Now() + 60_000}))
	must(w.store.Enroll(ctx, []byte(id), store.Host{ID: topics.HostID(id), SealKey: []byte{1}, Serial: "1", Hostname: name, OS: "linux"}))
	check(w.store.AddRepository(ctx, "test", store.Repository{ID: topics.RepositoryID(id), Name: "of " + name,
		CreatedAt: w.store.Now(), Location: "rest:http://attic/" + id},
		store.RepositoryAccess{URL: topics.Secret("rest:http://u:canary@attic/" + id), Password: "canary"}))
	must(w.store.PutSourceGroup(ctx, "test", store.SourceGroup{ID: topics.SourceGroupID(id), Host: topics.HostID(id), Name: "all",
		Repository: topics.RepositoryID(id), Paths: store.List{"/"}}))
	return topics.HostID(id)
}

func (w *world) scrape(encoding string) *httptest.ResponseRecorder {
	r, rec := httptest.NewRequest(http.MethodGet, "/metrics", nil), httptest.NewRecorder()
	r.Header.Set("Accept-Encoding", encoding)
	w.page.ServeHTTP(rec, r)
	return rec
}

// read is what a scrape says, by family and then by labels, as "host=7,status=late".
func (w *world) read() map[string]map[string]float64 {
	w.t.Helper()
	r := w.scrape("identity")
	if r.Code != http.StatusOK {
		w.t.Fatalf("%d %s", r.Code, r.Body)
	}
	return w.parse(r.Body.Bytes())
}

func (w *world) parse(text []byte) map[string]map[string]float64 {
	w.t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		w.t.Fatalf("%v in\n%s", err, text)
	}
	out := map[string]map[string]float64{}
	for name, f := range families {
		out[name] = map[string]float64{}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			slices.Sort(labels)
			out[name][strings.Join(labels, ",")] = value(m)
		}
	}
	return out
}

func value(m *dto.Metric) float64 {
	switch {
	case m.GetCounter() != nil:
		return m.GetCounter().GetValue()
	case m.GetSummary() != nil:
		return m.GetSummary().GetSampleSum()
	case m.GetHistogram() != nil:
		return float64(m.GetHistogram().GetSampleCount())
	}
	return m.GetGauge().GetValue()
}

// about are the families with a line about a host.
func about(said map[string]map[string]float64, host topics.HostID) (names []string) {
	for name, lines := range said {
		for labels := range lines {
			if strings.Contains(labels, "host="+string(host)) {
				names = append(names, name)
				break
			}
		}
	}
	slices.Sort(names)
	return names
}

func TestHostsAreToldWhileTheyAreInCare(t *testing.T) {
	w := newWorld(t)
	attic, cellar := w.enrol(`at"tic\`), w.enrol("cellar")
	w.live = func() ([]alerts.Alert, error) {
		return []alerts.Alert{{Host: attic, Severity: alerts.Critical}, {Host: attic, Severity: alerts.Warning}}, nil
	}
	for _, id := range []topics.HostID{attic, cellar} {
		check(w.store.Born(t.Context(), id, topics.Session{Epoch: 1, N: 1}))
	}
	w.start()
	said := w.read()
	h := "host=" + string(attic)
	for name, want := range map[string]float64{"host_alerts": 2, "host_overdue": 0, "host_snapshots": 0, "host_jobs_running": 0} {
		if got, there := said[prefix+name][h]; !there || got != want {
			t.Errorf("%s of the attic is %v (%t), want %v", name, got, there, want)
		}
	}
	info := slices.Collect(maps.Keys(said[prefix+"host_info"]))
	if len(info) != 2 || !strings.Contains(strings.Join(info, "\n"), `name=at"tic\`) {
		t.Errorf("%q", info)
	}
	// Nothing is known of connections yet: that is neither online nor offline.
	if got := said[prefix+"host_online"]; len(got) > 0 || said[prefix+"hosts_connected"]["connection=unknown"] != 2 {
		t.Errorf("at the start: %v, %v", got, said[prefix+"hosts_connected"])
	}
	w.later(time.Hour)
	if got, there := w.read()[prefix+"host_online"][h]; !there || got != 0 {
		t.Errorf("an hour later the attic is online %v (%t)", got, there)
	}
	at := w.page.Now()
	must(w.store.PauseHost(t.Context(), "test", attic, at.UnixMilli(), at.Add(time.Hour).UnixMilli()))
	if got := w.read()[prefix+"host_paused_until_timestamp_seconds"][h]; int64(got) != at.Add(time.Hour).Unix() {
		t.Errorf("it is paused until %v", got)
	}
	w.later(2 * time.Hour)
	if got := w.read()[prefix+"host_paused_until_timestamp_seconds"]; len(got) > 0 {
		t.Errorf("a pause that is over is told: %v", got)
	}
	// A new name is another info, and nothing else.
	before, name := about(w.read(), attic), "loft"
	must(w.store.PutHostSettings(t.Context(), "test", attic, removal.HostSettings{Name: &name}))
	after := w.read()
	if !slices.Equal(about(after, attic), before) || len(after[prefix+"host_info"]) != 2 {
		t.Errorf("after a rename %v, before %v", about(after, attic), before)
	}
	if info := strings.Join(slices.Collect(maps.Keys(after[prefix+"host_info"])), "\n"); !strings.Contains(info, "name=loft") ||
		strings.Contains(info, `at"`) {
		t.Errorf("%s", info)
	}
	retired := true
	must(w.store.PutHostSettings(t.Context(), "test", attic, removal.HostSettings{Retired: &retired}))
	if left := about(w.read(), attic); len(left) > 0 {
		t.Errorf("of a retired host there is %v", left)
	}
	must(w.store.Revoke(t.Context(), "test", cellar))
	if left := about(w.read(), cellar); len(left) > 0 {
		t.Errorf("of a revoked host there is %v", left)
	}
}

func TestRepositoriesAndTheRestAreTold(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	_, _, err := w.store.Ask(t.Context(), "test", store.Job{ID: topics.JobID(topics.NewID(time.Now())), Host: attic, Kind: topics.BackupJob,
		SourceGroup: topics.SourceGroupID(attic), Repository: topics.RepositoryID(attic), NotAfter: 1 << 50})
	check(err)
	said, r := w.read(), "repository="+string(attic)
	for _, c := range []struct {
		name, labels string
		want         float64
	}{
		{"repository_health", "health=never-looked-at," + r, 1},
		{"repository_info", "backend=rest,name=of attic," + r, 1},
		{"repository_snapshots", r, 0},
		{"jobs_waiting", "kind=backup", 1},
		{"jobs_running", "kind=backup", 0},
		{"jobs_ended_total", "kind=backup,result=succeeded", 0},
		{"broker_connections", "broker=agents", 7},
		{"broker_dropped_total", "broker=public", 2},
		{"ingest_waiting_bytes", "", 4096},
		{"disk_short", "level=low", 1},
		{"disk_short", "level=no", 0},
		{"outbox_lag_seconds", "outlet=uplink", 2},
		{"outbox_lag_seconds", "outlet=public", 0},
		{"uplink_connected", "", 0},
		{"notifications_waiting", "", 0},
		{"build_info", "version=1.2.3", 1},
		{"read_success", "part=fleet", 1},
	} {
		if got, there := said[prefix+c.name][c.labels]; !there || got != c.want {
			t.Errorf("%s{%s} is %v (%t), want %v; there is %v", c.name, c.labels, got, there, c.want, said[prefix+c.name])
		}
	}
	if said[prefix+"database_write_seconds"][""] == 0 || said[prefix+"database_size_bytes"]["file=database"] == 0 {
		t.Error("nothing is said of the database")
	}
	for _, absent := range []string{"repository_size_bytes", "repository_last_check_timestamp_seconds", "repository_locks"} {
		if len(said[prefix+absent]) > 0 {
			t.Errorf("%s is said of a repository that nobody looked at", absent)
		}
	}
}

func TestTheTextIsAsPrometheusWantsIt(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.enrol(fmt.Sprintf("web-%d", i))
	}
	r := w.scrape("identity")
	text := r.Body.Bytes()
	if bytes.Contains(text, []byte("canary")) {
		t.Error("it tells a secret")
	}
	if r.Header().Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" || r.Header().Get("Content-Length") != length(len(text)) {
		t.Errorf("%v", r.Header())
	}
	known := map[string]Family{}
	for _, f := range Families() {
		known[prefix+f.Name] = f
	}
	last := ""
	for line := range strings.Lines(string(text)) {
		name, of, isType := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "# TYPE "), " ")
		if !isType || !strings.HasPrefix(line, "# TYPE ") {
			continue
		}
		f, is := known[name]
		if strings.HasPrefix(name, prefix) && (!is || of != string(f.Type)) {
			t.Errorf("%s is told as a %s; the table has %+v", name, of, f)
		}
		if name == last {
			t.Errorf("%s has two places", name)
		}
		last = name
	}
	// Its words are judged by Prometheus' own tool.
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = bytes.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	zipped := w.scrape("br, gzip;q=1.0")
	if zipped.Header().Get("Content-Encoding") != "gzip" || zipped.Header().Get("Content-Length") != length(zipped.Body.Len()) {
		t.Errorf("%v", zipped.Header())
	}
	z := must(gzip.NewReader(zipped.Body))
	z.Multistream(false) // there are clients that read one stream only
	plain := must(io.ReadAll(z))
	if a, b := w.parse(text), w.parse(plain); !slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) ||
		!maps.Equal(a[prefix+"host_info"], b[prefix+"host_info"]) || len(a[prefix+"host_info"]) != 100 {
		t.Error("compressed it is something else")
	}
	if got := w.scrape("gzip;q=0").Header().Get("Content-Encoding"); got != "" {
		t.Errorf("who wants no gzip gets %s", got)
	}
	head := httptest.NewRecorder()
	w.page.ServeHTTP(head, httptest.NewRequest(http.MethodHead, "/metrics", nil))
	if head.Code != 200 || head.Body.Len() > 0 {
		t.Errorf("HEAD: %d with %d bytes", head.Code, head.Body.Len())
	}
}

// TestWhatIsKeptIsWhatWouldBeWritten: after each change, a page that kept what it wrote says
// what a new one does.
func TestWhatIsKeptIsWhatWouldBeWritten(t *testing.T) {
	w := newWorld(t)
	ids := []topics.HostID{}
	for i := range 150 { // more than one doubling of blocks
		ids = append(ids, w.enrol(fmt.Sprintf("web-%d", i)))
		if i%7 != 0 {
			continue
		}
		name, away := fmt.Sprintf("name-%d", i), true
		must(w.store.PutHostSettings(t.Context(), "test", ids[i/2], removal.HostSettings{Name: &name, Intermittent: &away}))
		if i%3 == 0 {
			must(w.store.PutHostSettings(t.Context(), "test", ids[i/3], removal.HostSettings{Retired: &away}))
		}
		w.live = func() ([]alerts.Alert, error) { return []alerts.Alert{{Host: ids[i]}}, nil }
		kept := w.parse(text(must(w.page.make(t.Context())), "host_"))
		fresh := must(New(w.page.Config))
		want := w.parse(text(must(fresh.make(t.Context())), "host_"))
		if !maps.EqualFunc(kept, want, func(a, b map[string]float64) bool { return maps.Equal(a, b) }) {
			t.Fatalf("after %d hosts it says\n%v\nwant\n%v", i+1, kept, want)
		}
	}
}

// text are the parts of a scrape about families whose names begin so.
func text(s scrape, family string) (b []byte) {
	for _, p := range s {
		if bytes.HasPrefix(p.text, []byte("# HELP "+prefix+family)) || bytes.HasPrefix(p.text, []byte(prefix+family)) {
			b = append(b, p.text...)
		}
	}
	return b
}

func TestWhatDidNotChangeIsNotWrittenAgain(t *testing.T) {
	w := newWorld(t)
	var some topics.HostID
	for i := range 100 {
		some = w.enrol(fmt.Sprintf("web-%d", i))
	}
	parts := func() map[*part]bool {
		all := map[*part]bool{}
		for _, list := range w.page.blocks.update(must(w.page.Fleet.Now(t.Context())).ByID(), nil, time.Now()) {
			for _, p := range list {
				all[p] = true
			}
		}
		return all
	}
	fresh := func(before, after map[*part]bool) (n int) {
		for p := range after {
			n += int(truth(!before[p]))
		}
		return n
	}
	first := parts()
	if n := fresh(first, parts()); n != 0 {
		t.Errorf("%d parts are new although nothing changed", n)
	}
	name := "another"
	must(w.store.PutHostSettings(t.Context(), "test", some, removal.HostSettings{Name: &name}))
	if n := fresh(first, parts()); n != 1 {
		t.Errorf("%d parts are new after a host got another name, want the one with the name", n)
	}
}

func TestThoseWhoAskAtOnceShareOneScrape(t *testing.T) {
	w := newWorld(t)
	w.enrol("attic")
	made, gate := atomic.Int32{}, make(chan struct{})
	w.live = func() ([]alerts.Alert, error) {
		made.Add(1)
		<-gate
		return nil, nil
	}
	var all sync.WaitGroup
	bodies := make([]string, atOnce)
	for i := range bodies {
		all.Go(func() { bodies[i] = w.scrape("identity").Body.String() })
	}
	for end := time.Now().Add(time.Minute); len(w.page.sending) < atOnce && time.Now().Before(end); {
		<-time.After(time.Millisecond)
	}
	if r := w.scrape("identity"); r.Code != http.StatusServiceUnavailable || r.Header().Get("Retry-After") == "" {
		t.Errorf("one more than %d is answered with %d", atOnce, r.Code)
	}
	// Who asks first and goes leaves the others their answer.
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if _, err := w.page.scraped(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone gets %v", err)
	}
	close(gate)
	all.Wait()
	if n := made.Load(); n != 1 {
		t.Errorf("%d scrapes were made", n)
	}
	for _, b := range bodies {
		if b != bodies[0] || b == "" {
			t.Error("the answers are not the same")
		}
	}
	if r := w.scrape("identity"); r.Code != http.StatusOK || made.Load() != 2 {
		t.Errorf("the next is %d, and %d were made", r.Code, made.Load())
	}
}

func TestWhatCannotBeReadIsToldAsBeforeAndSaid(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	w.live = func() ([]alerts.Alert, error) { return []alerts.Alert{{Host: attic}}, nil }
	w.read()
	w.live = func() ([]alerts.Alert, error) { return nil, errors.New("the disk is gone") }
	check(w.store.Close())
	w.later(time.Second)
	said := w.read()
	if said[prefix+"host_alerts"]["host="+string(attic)] != 1 || len(said[prefix+"repository_info"]) != 1 {
		t.Error("what was known before is not told any more")
	}
	for _, part := range []string{"fleet", "alerts", "repositories", "jobs", "notifications"} {
		if got, there := said[prefix+"read_success"]["part="+part]; !there || got != 0 {
			t.Errorf("read_success of %s is %v (%t)", part, got, there)
		}
	}
}
