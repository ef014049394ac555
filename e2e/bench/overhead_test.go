package bench

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// pairs is how often each comparison is made.
func pairs() int {
	if n, err := strconv.Atoi(os.Getenv("RESTIC_MANAGER_PAIRS")); err == nil && n > 0 {
		return n
	}
	return 3
}

// A process is an agent's own program, measured from outside.
type process struct {
	b    *testing.B
	pid  int
	host topics.HostID
	dir  string
}

// startAgent enrols a host and starts its agent as a process of its own.
func (w *world) startAgent() *process {
	w.b.Helper()
	program := filepath.Join(w.dir, "agent")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", program, "../../cmd/restic-manager-agent").CombinedOutput(); err != nil {
		w.b.Fatalf("%v: %s", err, out)
	}
	state := filepath.Join(w.dir, "state")
	_, token, err := w.plane.Desk.Issue(w.b.Context(), "bench", "", time.Hour)
	if err != nil {
		w.b.Fatal(err)
	}
	id := must(agent.Enroll(w.b.Context(), w.plane.AgentsAddr(), token.Reveal(), state, "managed"))
	cmd := exec.Command(program, "run", "--state", state)
	cmd.Stderr = must(os.Create(filepath.Join(w.dir, "agent.log")))
	if err := cmd.Start(); err != nil {
		w.b.Fatal(err)
	}
	w.b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for range time.Tick(10 * time.Millisecond) {
		if h := must(w.plane.Store.Host(w.b.Context(), id.Host)); h.HelloN > 0 {
			break
		}
	}
	return &process{b: w.b, pid: cmd.Process.Pid, host: id.Host, dir: w.dir}
}

// cpu is what the agent has used itself, and what the programs it ran have.
func (p *process) cpu() (own, children time.Duration) {
	b := must(os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid)))
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	ticks := func(i int) time.Duration { return time.Duration(must(strconv.Atoi(f[i]))) * 10 * time.Millisecond }
	return ticks(11) + ticks(12), ticks(13) + ticks(14)
}

// resident is how much memory the agent holds, in MiB.
func (p *process) resident() float64 {
	for line := range strings.Lines(string(must(os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))))) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			return float64(must(strconv.Atoi(f[1]))) / 1024
		}
	}
	return 0
}

// bare runs restic without us, with the environment it has in a job, and says how
// long that took and how much processor.
func (p *process) bare(repository string, args ...string) (wall, cpu time.Duration) {
	cmd := exec.Command("restic", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "RESTIC_REPOSITORY=" + repository,
		"RESTIC_PASSWORD=correct horse",
		"RESTIC_CACHE_DIR=" + filepath.Join(p.dir, "bare-cache"), "RESTIC_PROGRESS_FPS=1", "TMPDIR=" + p.dir}
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	began := time.Now()
	if err := cmd.Run(); err != nil {
		p.b.Fatalf("restic %v: %v", args, err)
	}
	return time.Since(began), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// BenchmarkOverhead compares a first backup by the agent, from the question to the
// committed end, with the same restic commands by themselves, in turn. On a machine that does other things as
// well the ratio of processor time says more than that of wall time.
func BenchmarkOverhead(b *testing.B) {
	for _, c := range []struct {
		name        string
		files, size int // bytes of each file
	}{
		{"10000files_1GiB", 10_000, 1 << 30 / 10_000},
		{"200000files", 200_000, 2_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := newWorld(b, 0, "")
			source := filepath.Join(w.dir, "source")
			fill(b, source, c.files, c.size)
			p := w.startAgent()
			idle := p.resident()
			for b.Loop() {
				var job, restic, confirm, ratio, same, work, share []float64
				for i := range pairs() {
					agents := func() (wall float64, cpu time.Duration) {
						repository := w.repository(p, i, source)
						own, children := p.cpu()
						began := time.Now()
						j, _, err := w.plane.Jobs.AskBackup(b.Context(), "bench", p.host, "pair-"+strconv.Itoa(i))
						if err != nil {
							b.Fatal(err)
						}
						w.wait(j.ID)
						wall = time.Since(began).Seconds()
						own2, children2 := p.cpu()
						share = append(share, float64(own2-own)/float64(children2-children)*100)
						os.RemoveAll(repository)
						return wall, own2 - own + children2 - children
					}
					bares := func() (backup, listing float64, cpu time.Duration) {
						repository := filepath.Join(w.dir, "bare-"+strconv.Itoa(i))
						p.bare(repository, "init")
						b, cpu := p.bare(repository, "backup", "--json", "--host", "bench", "--tag", "plan=bench", source)
						l, more := p.bare(repository, "snapshots", "--json", "--no-lock")
						os.RemoveAll(repository)
						return b.Seconds(), l.Seconds(), cpu + more
					}
					var a, r, l float64
					var ours, bare time.Duration
					if i%2 == 0 {
						a, ours = agents()
						r, l, bare = bares()
					} else {
						r, l, bare = bares()
						a, ours = agents()
					}
					work = append(work, float64(ours)/float64(bare))
					b.Logf("pair %d: agent %.2f s; restic backup %.2f s and snapshots %.2f s; CPU in all %.3f times bare restic's, the agent's own "+
						"%.2f %% of restic's", i+1, a, r, l, work[i], share[i])
					job, restic, confirm, ratio, same = append(job, a), append(restic, r), append(confirm, l), append(ratio, a/r), append(same, a/(r+l))
				}
				b.ReportMetric(median(job), "job-s")
				b.ReportMetric(median(restic), "restic-s")
				b.ReportMetric(median(confirm), "confirm-s")
				b.ReportMetric(median(ratio), "wall-ratio")              // to the backup alone
				b.ReportMetric(median(same), "wall-ratio-same-commands") // the job looks its snapshot up, too
				b.ReportMetric(median(work), "CPU-ratio")
				b.ReportMetric(median(share), "agent-CPU-%")
				b.ReportMetric(idle, "idle-MiB")
				b.ReportMetric(p.resident(), "after-MiB")
			}
		})
	}
}

// repository registers one that is there and empty, and the group that goes to it.
func (w *world) repository(p *process, n int, source string) string {
	path := filepath.Join(w.dir, "repository-"+strconv.Itoa(n)+"-"+password.NewKey("")[:8])
	id := topics.RepositoryID(topics.NewID(time.Now()))
	ctx := w.b.Context()
	if err := w.plane.Store.AddRepository(ctx, "bench", store.Repository{ID: id, Name: string(id)},
		store.RepositoryAccess{URL: topics.Secret(path), Password: "correct horse"}); err != nil {
		w.b.Fatal(err)
	}
	must(w.plane.Store.PutSourceGroup(ctx, "bench", store.SourceGroup{
		ID:         topics.SourceGroupID(topics.NewID(time.Now())),
		Host:       p.host,
		Name:       "pair-" + strconv.Itoa(n),
		Repository: id,
		Paths:      store.List{source},
	}))
	j, _, err := w.plane.Jobs.Ask(ctx, "bench", p.host, topics.InitJob, id, topics.Operation{})
	if err != nil {
		w.b.Fatal(err)
	}
	w.wait(j.ID)
	return path
}

// fill makes files that nothing compresses, and has the system know them.
func fill(b *testing.B, dir string, files, size int) {
	chance := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, size)
	for i := range files {
		sub := filepath.Join(dir, strconv.Itoa(i/500))
		if i%500 == 0 {
			if err := os.MkdirAll(sub, 0o700); err != nil {
				b.Fatal(err)
			}
		}
		_, _ = chance.Read(buf)
		if err := os.WriteFile(filepath.Join(sub, strconv.Itoa(i)), buf, 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}
