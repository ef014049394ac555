package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// What a browser may have to receive, in bytes with headers.
const (
	firstVisit = 110_000 // the fleet page of 50 hosts with all it needs, when nothing was kept
	laterPage  = 12_000  // the same page again
)

func TestPagesAreLight(t *testing.T) {
	w := newWorld(t)
	w.fleetOf(50)
	first, later := w.weigh()
	t.Logf("a first visit takes %d bytes, a later page %d", first, later)
	if first > firstVisit {
		t.Errorf("a first visit takes %d bytes, want at most %d", first, firstVisit)
	}
	if later > laterPage {
		t.Errorf("a later page takes %d bytes, want at most %d", later, laterPage)
	}
}

// BenchmarkWeight prints how much a browser receives, and what it costs to make.
func BenchmarkWeight(b *testing.B) {
	w := newWorld(b)
	w.fleetOf(50)
	first, later := w.weigh()
	c := w.person(store.Viewer)
	for b.Loop() {
		if r := c.do("GET", "/", nil); r.StatusCode != http.StatusOK {
			b.Fatal(r.Status)
		}
	}
	b.ReportMetric(float64(first), "B/first-visit")
	b.ReportMetric(float64(later), "B/later-page")
}

// fleetOf enrols hosts of every sort with a month of daily backups each.
func (w *world) fleetOf(n int) {
	w.t.Helper()
	ctx, now := w.t.Context(), time.Now()
	for i := range n {
		a := w.enrol(fmt.Sprintf("%s-%02d.example.net", []string{"web", "mail", "laptop", "db"}[i%4], i))
		if i%10 == 9 {
			continue // nothing to back up yet
		}
		g := a.group("letters")
		for day := range 30 {
			if (i+day)%11 == 0 {
				continue // it was off
			}
			j, _, err := w.store.Ask(ctx, "test", store.Job{ID: topics.JobID(topics.NewID(now)), Host: a.id, Kind: topics.BackupJob,
				SourceGroup: g.ID, Repository: g.Repository, NotAfter: 1 << 50})
			if err != nil {
				w.t.Fatal(err)
			}
			end := topics.Finished{Job: j.ID, State: topics.Succeeded,
				Summary: &topics.Summary{TotalBytes: uint64(i*7919+1) << 20, DataAdded: uint64(day+1) << 20}}
			switch {
			case i%7 == 3 && day == 0:
				end = topics.Finished{Job: j.ID, State: topics.Failed, Cause: topics.CausePassword, Message: "wrong password or no key found"}
			case (i+day)%13 == 0:
				end.State, end.Cause = topics.Warnings, topics.CauseUnreadable
			}
			if err := w.store.Steps(ctx, func(tx protocol.PlaneTx) error {
				p := protocol.PlaneJob{ID: j.ID, Host: a.id, State: topics.Dispatched}
				if err := tx.PutJob(p); err != nil {
					return err
				}
				p.State = end.State
				if err := tx.PutJob(p); err != nil {
					return err
				}
				return tx.Finished(p, end, now.AddDate(0, 0, -day).Add(-time.Duration(i*137)*time.Second).UnixMilli())
			}); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// weigh is how many bytes a browser receives that keeps nothing yet, and then
// again for the page alone.
func (w *world) weigh() (first, later int64) {
	w.t.Helper()
	c := w.person(store.Admin)
	var received atomic.Int64
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return counted{conn, &received}, err
	}}
	get := func(path string) string {
		r := c.do("GET", path, nil, "Accept-Encoding", "gzip, deflate, br")
		if r.StatusCode != http.StatusOK {
			w.t.Fatalf("%s: %s", path, r.Status)
		}
		return r.plain(w.t)
	}
	page := get("/")
	seen := map[string]bool{}
	for _, url := range regexp.MustCompile(`"(/static/[^"#]*)`).FindAllStringSubmatch(page, -1) {
		if seen[url[1]] {
			continue
		}
		seen[url[1]] = true
		text := get(url[1])
		if !strings.HasSuffix(url[1], ".css") {
			continue
		}
		for _, font := range regexp.MustCompile(`url\("([^":]*)"\)`).FindAllStringSubmatch(text, -1) {
			if url := "/static/" + font[1]; !seen[url] {
				seen[url] = true
				get(url)
			}
		}
	}
	for _, name := range []string{"geist-latin.woff2", "geist-mono-latin.woff2", "htmx.min.js", "icons.svg"} {
		if !seen[views.Asset(name)] {
			w.t.Errorf("a first visit did not fetch %s", name)
		}
	}
	first = received.Load()
	get("/")
	return first, received.Load() - first
}

type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// plain is what the answer says, whether it came gzipped or not.
func (a answer) plain(t testing.TB) string {
	t.Helper()
	if a.Header.Get("Content-Encoding") != "gzip" {
		return a.text
	}
	z, err := gzip.NewReader(strings.NewReader(a.text))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, z); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
