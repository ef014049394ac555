package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/store"
)

// BenchmarkBrowse compares what a person waits for with restic alone, in one run and in
// turn: a directory of a snapshot of 200,000 files, the same once more from memory, the first
// page of a folder of 10,000 entries, and the versions of a file over 50 snapshots.
func BenchmarkBrowse(b *testing.B) {
	w := newWorld(b, 0, "")
	source := filepath.Join(w.dir, "source")
	fill(b, source, 200_000, 20)
	many := filepath.Join(source, "many")
	if err := os.MkdirAll(many, 0o700); err != nil {
		b.Fatal(err)
	}
	for i := range 10_000 {
		if err := os.WriteFile(filepath.Join(many, "file-"+strconv.Itoa(i)), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	small := filepath.Join(w.dir, "small")
	fill(b, small, 1000, 20)
	p := w.startAgent()
	backup := func(n int, repository string) store.Snapshot {
		j, _, err := w.plane.Jobs.AskBackup(b.Context(), "bench", p.host, "pair-"+strconv.Itoa(n))
		if err != nil {
			b.Fatal(err)
		}
		j = w.wait(j.ID)
		return must(w.plane.Store.SnapshotByID(b.Context(), j.Repository, j.SnapshotID))
	}
	large := w.repository(p, 0, source)
	whole := backup(0, large)
	folded := w.repository(p, 1, small)
	var last store.Snapshot
	for i := range 50 {
		if err := os.WriteFile(filepath.Join(small, "0", "0"), []byte(strconv.Itoa(i/5)), 0o600); err != nil {
			b.Fatal(err)
		}
		last = backup(1, folded)
	}
	asker := queries.Client{Data: filepath.Join(w.dir, "data")}
	list := func(n store.Snapshot, dir string) (queries.FilesPage, time.Duration) {
		began := time.Now()
		page, err := asker.Files(b.Context(), queries.FilesQuery{Repository: n.Repository, Snapshot: n.ID, Path: dir})
		if err != nil {
			b.Fatal(err)
		}
		return page, time.Since(began)
	}
	versions := func(path string) (int, time.Duration) {
		began := time.Now()
		rows, err := asker.Versions(b.Context(), queries.VersionsQuery{Repository: last.Repository, Path: path, Host: p.host})
		if err != nil {
			b.Fatal(err)
		}
		return len(rows), time.Since(began)
	}
	list(whole, filepath.Join(source, "399")) // restic's cache knows the repository
	p.bare(large, "ls", "--json", "--no-lock", whole.ID, filepath.Join(source, "399"))
	for b.Loop() {
		var first, cached, folder, found []float64
		for i := range 5 {
			dir := filepath.Join(source, strconv.Itoa(i))
			bare, _ := p.bare(large, "ls", "--json", "--no-lock", whole.ID, dir)
			page, took := list(whole, dir)
			if page.Total != 500 || page.Cached {
				b.Fatalf("%d entries, cached: %t", page.Total, page.Cached)
			}
			first = append(first, took.Seconds()/bare.Seconds())
			page, took = list(whole, dir)
			if !page.Cached {
				b.Fatal("it is not kept")
			}
			cached = append(cached, float64(took.Microseconds())/1000)

			path := filepath.Join(small, "0", strconv.Itoa(i))
			bare, _ = p.bare(folded, "find", "--json", "--no-lock", path)
			n, took := versions(path)
			if n != 50 {
				b.Fatalf("%d versions", n)
			}
			found = append(found, took.Seconds()/bare.Seconds())
		}
		bare, _ := p.bare(large, "ls", "--json", "--no-lock", whole.ID, many)
		page, took := list(whole, many)
		if page.Total != 10_000 || len(page.Entries) != queries.Page {
			b.Fatalf("%d of %d entries", len(page.Entries), page.Total)
		}
		folder = append(folder, float64((took-bare).Microseconds())/1000)
		b.ReportMetric(median(first), "first/ls")      // 1.2 at most
		b.ReportMetric(median(cached), "cached-ms")    // 50 at most
		b.ReportMetric(median(folder), "folder-ls-ms") // 100 at most
		b.ReportMetric(median(found), "versions/find") // 1.1 at most
	}
}
