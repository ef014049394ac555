package bench

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// BenchmarkDrill compares the drill of a snapshot of 200,000 files with what restic alone
// takes for the same: to list the snapshot, and to restore as many of its files. Once the
// sources are as they were, and once they are gone, so that restic has to prove each file.
func BenchmarkDrill(b *testing.B) {
	w := newWorld(b, 0, "")
	source := filepath.Join(w.dir, "source")
	fill(b, source, 200_000, 20)
	p := w.startAgent()
	large := w.repository(p, 0, source)
	j, _, err := w.plane.Jobs.AskBackup(b.Context(), "bench", p.host, "pair-0")
	if err != nil {
		b.Fatal(err)
	}
	saved := w.wait(j.ID)
	drill := func(seed int64) (topics.Drilled, time.Duration) {
		began := time.Now()
		j, _, err := w.plane.Jobs.Ask(b.Context(), "bench", p.host, topics.DrillJob, saved.Repository, topics.Operation{
			Drill: &topics.Drill{Seed: seed, Files: topics.DrillFiles, Bytes: topics.DrillBytes}})
		if err != nil {
			b.Fatal(err)
		}
		j = w.wait(j.ID)
		d := j.Result.V.Drill
		if d.Failed > 0 || d.Files != topics.DrillFiles || !d.Complete {
			b.Fatalf("it proved %+v", d)
		}
		return *d, time.Since(began)
	}
	drill(1) // restic's cache knows the repository
	p.bare(large, "ls", "--json", "--no-lock", saved.SnapshotID)
	for b.Loop() {
		var same, gone []float64
		before := p.resident()
		for i := range pairs() {
			ls, _ := p.bare(large, "ls", "--json", "--no-lock", saved.SnapshotID)
			restore, _ := p.bare(large, "restore", "--verify", "--target", b.TempDir(), "--include", filepath.Join(source, "7", "3500"),
				saved.SnapshotID)
			d, took := drill(int64(2 + i))
			if d.Compared < topics.DrillFiles {
				b.Fatalf("it compared %+v", d)
			}
			same = append(same, took.Seconds()/(ls+restore).Seconds())
		}
		b.ReportMetric(median(same), "drill/ls+restore")
		b.ReportMetric(p.resident()-before, "agent-more-MiB")
		if err := os.Rename(source, source+"-away"); err != nil {
			b.Fatal(err)
		}
		for i := range pairs() {
			ls, _ := p.bare(large, "ls", "--json", "--no-lock", saved.SnapshotID)
			restore, _ := p.bare(large, "restore", "--verify", "--target", b.TempDir(), "--include", filepath.Join(source, "7", "3500"),
				saved.SnapshotID)
			d, took := drill(int64(2 + i))
			if d.Verified < topics.DrillFiles {
				b.Fatalf("it verified %+v", d)
			}
			gone = append(gone, took.Seconds()/(ls+restore).Seconds())
		}
		b.ReportMetric(median(gone), "without-sources/ls+restore")
		if err := os.Rename(source+"-away", source); err != nil {
			b.Fatal(err)
		}
	}
}
