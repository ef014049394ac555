package fleet

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/metrics"
	"github.com/restic-manager/restic-manager/store/removal"
)

// sizes are how many hosts the benchmarks have: RESTIC_MANAGER_FLEETS, separated
// by commas, else those of an ordinary run.
func sizes() []int {
	text, ok := os.LookupEnv("RESTIC_MANAGER_FLEETS")
	if !ok {
		return []int{10, 1000}
	}
	var list []int
	for _, n := range strings.Split(text, ",") {
		list = append(list, must(strconv.Atoi(n)))
	}
	return list
}

// database is a generated one, below RESTIC_MANAGER_FLEET_DIR if that is given, to
// be used again by the next run.
func database(b testing.TB, hosts int) string {
	return databaseOf(b, Size{Hosts: hosts}, "hosts"+strconv.Itoa(hosts))
}

func databaseOf(b testing.TB, size Size, name string) string {
	b.Helper()
	dir := os.Getenv("RESTIC_MANAGER_FLEET_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	dir = filepath.Join(dir, name)
	if _, err := os.Stat(filepath.Join(dir, "made")); err == nil {
		return dir
	}
	if err := Make(b.Context(), dir, size); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "made"), nil, 0o600); err != nil {
		b.Fatal(err)
	}
	return dir
}

// plane opens a control plane on a database. Nothing of it runs yet.
func plane(b testing.TB, dir string) *controlplane.Plane {
	b.Helper()
	c := controlplane.Config{Data: dir, HTTP: "127.0.0.1:0", Agents: "127.0.0.1:0", MQTT: "127.0.0.1:0",
		Log:    slog.New(slog.DiscardHandler),
		Timing: controlplane.DefaultTiming(), Logs: controlplane.DefaultLogs(),
		Metrics: metrics.Access{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}} // where httptest's requests come from
	p := must(controlplane.New(b.Context(), c))
	b.Cleanup(func() { _ = p.Close() })
	return p
}

// A browser is somebody who is signed in, without a network in between.
type browser struct {
	p       *controlplane.Plane
	cookies http.CookieJar
}

func signedIn(b testing.TB, p *controlplane.Plane) *browser {
	b.Helper()
	u := must(p.Store.UserByName(b.Context(), User))
	c := &browser{p, must(cookiejar.New(nil))}
	if r := c.get(must(p.Web.SignInLink(b.Context(), u.ID))); r.Code != http.StatusSeeOther {
		b.Fatalf("sign in: %d %s", r.Code, r.Body)
	}
	return c
}

func (c *browser) request(path string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://"+c.p.HTTPAddr()+path, nil)
	r.RequestURI = ""
	for _, cookie := range c.cookies.Cookies(r.URL) {
		r.AddCookie(cookie)
	}
	return r
}

func (c *browser) get(path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	c.p.Web.Handler().ServeHTTP(w, c.request(path))
	c.cookies.SetCookies(&url.URL{Scheme: "http", Host: c.p.HTTPAddr(), Path: "/"}, w.Result().Cookies())
	return w
}

// cpu is what this process has spent on processors.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// spentIn is what this process spends in some time.
func spentIn(d time.Duration) time.Duration {
	began := cpu()
	<-time.After(d)
	return cpu() - began
}

// pages are those whose cost is measured, with what stands for their parameters.
func pages(b testing.TB, p *controlplane.Plane) [][2]string {
	b.Helper()
	hosts := must(p.Store.Hosts(b.Context()))
	repositories := must(p.Store.Repositories(b.Context()))
	host, repository := "/hosts/"+string(hosts[0].ID), "/repositories/"+string(repositories[0].ID)
	return [][2]string{{"fleet", "/"}, {"jobs", "/jobs"}, {"jobs-of-a-month", "/jobs?period=30d"}, {"jobs-of-all-time",
		"/jobs?period=all"},
		{"jobs-found", "/jobs?q=web-0000"}, {"repositories", "/repositories"}, {"repository", repository}, {"retention",
			repository + "/retention"},
		{"schedules", "/schedules"}, {"new-schedule", "/schedules/new"}, {"host", host}, {"host-operations", host + "/operations"},
		{"audit", "/audit"}}
}

// BenchmarkPages is what each page costs the server: time on processors, and the
// size of the answer as it is and compressed.
func BenchmarkPages(b *testing.B) {
	for _, hosts := range sizes() {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			p := plane(b, database(b, hosts))
			c := signedIn(b, p)
			for _, page := range pages(b, p) {
				b.Run(page[0], func(b *testing.B) {
					if w := c.get(page[1]); w.Code != http.StatusOK { // what is shared is read now
						b.Fatalf("%s: %d", page[1], w.Code)
					}
					var last *httptest.ResponseRecorder
					began := cpu()
					for b.Loop() {
						last = c.get(page[1])
					}
					spent := cpu() - began
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(float64(spent.Microseconds())/1000/float64(b.N), "cpu-ms/op")
					plain, packed := weights(last)
					b.ReportMetric(float64(plain), "bytes")
					b.ReportMetric(float64(packed), "compressed")
				})
			}
		})
	}
}

// weights are an answer's size, as it is and compressed.
func weights(w *httptest.ResponseRecorder) (plain, packed int) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(w.Body.Bytes())
	_ = z.Close()
	return w.Body.Len(), out.Len()
}

// BenchmarkIdle is what a control plane spends while no agent is connected and
// nobody looks, in hundredths of a processor; and the same while Home Assistant is told of all
// hosts and repositories.
func BenchmarkIdle(b *testing.B) {
	for _, hosts := range sizes() {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) { idle(b, plane(b, database(b, hosts))) })
		b.Run(fmt.Sprintf("hosts=%d-assistant", hosts), func(b *testing.B) {
			p := plane(b, databaseOf(b, Size{Hosts: hosts, Days: 2}, fmt.Sprintf("hosts%ddays2", hosts)))
			was := must(p.Store.HomeAssistant(b.Context()))
			set := was
			set.Enabled, set.Prefix = true, "homeassistant"
			set = must(p.Store.PutHomeAssistant(b.Context(), "bench", set))
			idle(b, p)
			was.Version = set.Version
			must(p.Store.PutHomeAssistant(b.Context(), "bench", was))
		})
	}
}

func idle(b *testing.B, p *controlplane.Plane) {
	b.Helper()
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	const lasts = 10 * time.Second
	for range 30 { // what only the start costs
		if spentIn(2*time.Second) < 60*time.Millisecond {
			break
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(spentIn(lasts))/float64(lasts)*100, "cpu-%")
	stop()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}

// BenchmarkAlerts is what one look at all facts costs: while nothing changed, when one host
// did, and when every host did, of at most a thousand. What somebody is to be told is written by the first.
func BenchmarkAlerts(b *testing.B) {
	for _, hosts := range sizes() {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			p := plane(b, database(b, hosts))
			sweep := func() {
				if err := p.Alerts().Sweep(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			began := cpu()
			sweep()
			b.Logf("the first look took %v; %+v", cpu()-began, p.Alerts().Counts(b.Context()))
			measure := func(b *testing.B, before func()) {
				spent := time.Duration(0)
				var was, is runtime.MemStats
				for b.Loop() {
					before()
					runtime.ReadMemStats(&was)
					began := cpu()
					sweep()
					spent += cpu() - began
					runtime.ReadMemStats(&is)
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(spent.Microseconds())/1000/float64(b.N), "cpu-ms/op")
				b.ReportMetric(float64(is.TotalAlloc-was.TotalAlloc)/(1<<20), "MiB/op")
			}
			b.Run("unchanged", func(b *testing.B) { measure(b, func() {}) })
			b.Run("one", func(b *testing.B) {
				h, days := must(p.Store.Hosts(b.Context()))[0], int64(100)
				measure(b, func() {
					days++
					must(p.Store.PutHostSettings(b.Context(), "bench", h.ID, removal.HostSettings{OverdueDays: &days}))
				})
			})
			b.Run("changed", func(b *testing.B) {
				all := must(p.Store.Hosts(b.Context()))
				all = all[:min(len(all), 1000)]
				days := int64(2)
				measure(b, func() {
					days++
					for _, h := range all {
						must(p.Store.PutHostSettings(b.Context(), "bench", h.ID, removal.HostSettings{OverdueDays: &days}))
					}
				})
			})
		})
	}
}

// BenchmarkScrape is what one scrape costs the server, in time and on processors: of text,
// and compressed as Prometheus asks for it. Between two of them a hundredth of the hosts had a
// backup, more than an hourly one in half a minute, and so their repositories changed; the
// first has nothing to go by.
func BenchmarkScrape(b *testing.B) {
	for _, hosts := range sizes() {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			dir := databaseOf(b, Size{Hosts: hosts, Days: 2}, fmt.Sprintf("hosts%ddays2", hosts)) // history costs a scrape nothing
			db := must(sql.Open("sqlite", "file:"+filepath.Join(dir, "restic-manager.db")+"?_pragma=busy_timeout(5000)"))
			b.Cleanup(func() { _ = db.Close() })
			for _, encoding := range []string{"identity", "gzip"} {
				for _, changed := range []int{0, max(hosts/100, 1)} {
					b.Run(fmt.Sprintf("%s/changed=%d", encoding, changed), func(b *testing.B) { scrapes(b, plane(b, dir), db, encoding, changed) })
				}
			}
		})
	}
}

func scrapes(b *testing.B, p *controlplane.Plane, db *sql.DB, encoding string, changed int) {
	scrape := func() (w nobody) {
		r := httptest.NewRequest(http.MethodGet, "http://"+p.HTTPAddr()+"/metrics", nil)
		r.Header.Set("Accept-Encoding", encoding)
		w.header = http.Header{}
		p.Web.Handler().ServeHTTP(&w, r)
		if w.size == 0 || w.status > http.StatusOK {
			b.Fatal(w)
		}
		return w
	}
	c := signedIn(b, p)
	board := func() { // it is up to date: topics read it from the start on, and every second
		if r := c.get("/"); r.Code != http.StatusOK {
			b.Fatal(r.Code)
		}
	}
	board()
	was, began := cpu(), time.Now()
	w := scrape()
	firstSpent := cpu() - was
	first, spent, took, slowest, round := time.Since(began), time.Duration(0), time.Duration(0), time.Duration(0), 0
	for b.Loop() {
		if changed > 0 {
			round++
			must(db.Exec(`UPDATE group_facts SET good_ended = good_ended + 1000, good_bytes = good_bytes + 1, last_ended_at = last_ended_at + 1000,
				snapshots = snapshots + 1 WHERE host IN (SELECT id FROM hosts ORDER BY id LIMIT $1 OFFSET $2)`, changed, round%100*changed))
			must(db.Exec(`UPDATE repositories SET checked_at = checked_at + 1000, measured_at = measured_at + 1000, stored_bytes = stored_bytes + 1
				WHERE id IN (SELECT repository FROM source_groups WHERE host IN (SELECT id FROM hosts ORDER BY id LIMIT $1 OFFSET $2))`, changed,
				round%100*changed))
		}
		board()
		runtime.GC() // of what was before
		was, began := cpu(), time.Now()
		w = scrape()
		one := time.Since(began)
		took, slowest, spent = took+one, max(slowest, one), spent+cpu()-was
	}
	n := float64(b.N)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took.Seconds()*1000/n, "ms/scrape")
	b.ReportMetric(slowest.Seconds()*1000, "slowest-ms")
	b.ReportMetric(first.Seconds()*1000, "first-ms")
	b.ReportMetric(firstSpent.Seconds()*1000, "first-cpu-ms")
	b.ReportMetric(spent.Seconds()*1000/n, "cpu-ms/scrape")
	b.ReportMetric(float64(w.size), "bytes")
}

// nobody takes an answer and keeps nothing of it.
type nobody struct {
	header       http.Header
	status, size int
}

func (w *nobody) Header() http.Header    { return w.header }
func (w *nobody) WriteHeader(status int) { w.status = status }
func (w *nobody) Write(b []byte) (int, error) {
	w.size += len(b)
	return len(b), nil
}
