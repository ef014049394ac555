package restoring

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	treeof "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// BenchmarkRestore compares the wall time of a restore after its dry run, and of one without,
// with that of restic alone: "×bare" is the ratio in this run, and "×around" the same by what passes
// before and after the restic of the restore alone, which a busy machine disturbs less. The goal is
// 1.03 after a dry run.
func BenchmarkRestore(b *testing.B) {
	w := newWorld(b)
	tree := treeof.Big
	tree.Files = 10_000
	tree.Plant(b, w.source)
	id := w.backup()
	ended := filepath.Join(w.dir, "ended")
	w.through(`$REAL "$@"; e=$?; date +%s%N >` + ended + `; exit $e`)
	var bare, after, without, around time.Duration
	var started time.Time
	w.onStart = func() { started = time.Now() }
	spent := func(into *time.Duration, f func(to string)) {
		to := filepath.Join(w.dir, fmt.Sprint("to-", time.Now().UnixNano()))
		begun := time.Now()
		f(to)
		*into += time.Since(begun)
		if err := os.RemoveAll(to); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		spent(&without, func(to string) { w.want(w.do(topics.Operation{Snapshot: id, Target: to}), topics.Succeeded, "") })
		spent(&bare, func(to string) { w.bare("restore", id, "--target", to) })
		to := filepath.Join(w.dir, "to")
		saw := w.want(w.do(topics.Operation{Snapshot: id, Target: to, DryRun: true}), topics.Succeeded, "")
		begun := time.Now()
		run := topics.Operation{Snapshot: id, Target: to, Preview: &topics.Preview{Job: "dry-run-1", Digest: saw.Digest}}
		w.want(w.do(run), topics.Succeeded, "")
		after += time.Since(begun)
		ns, err := strconv.ParseInt(strings.TrimSpace(read(b, ended)), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		around += started.Sub(begun) + time.Since(time.Unix(0, ns))
		if err := os.RemoveAll(to); err != nil {
			b.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(w.state, listings)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(after)/float64(bare), "×bare")
	b.ReportMetric(float64(bare+around)/float64(bare), "×around")
	b.ReportMetric(float64(without)/float64(bare), "×bare-without-dry-run")
	b.ReportMetric(bare.Seconds()/float64(b.N), "s-bare")
}
