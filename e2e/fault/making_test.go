package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

const making = "correct horse battery staple" // the password of what is made

// pioneer lets a host in whose restic is the real one, and which has no repository yet.
func (w *world) pioneer(name string) *host {
	w.t.Helper()
	return w.pioneerAs(name, "")
}

func (w *world) pioneerAs(name, policy string) *host {
	w.t.Helper()
	ca, err := enroll.OpenCA(w.t.Context(), w.store, time.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	_, token, err := (&enroll.Desk{Store: w.store, CA: ca}).Issue(w.t.Context(), "test", name, time.Minute)
	if err != nil {
		w.t.Fatal(err)
	}
	h := &host{w: w, dir: filepath.Join(w.dir, name), policy: policy}
	letter := filepath.Join(h.source(), "letter")
	if err := errors.Join(os.MkdirAll(h.source(), 0o700), os.WriteFile(letter, []byte("dear "+name), 0o600)); err != nil {
		w.t.Fatal(err)
	}
	identity, err := h.enroll(w.t.Context(), token.Reveal())
	if err != nil {
		w.t.Fatal(err)
	}
	h.id = identity.Host
	return h
}

func (h *host) source() string { return filepath.Join(h.dir, "source") }

// serveRestic serves a directory to restic, and returns the address.
func serveRestic(t *testing.T, dir string) string {
	t.Helper()
	address := e2e.FreeAddress(t)
	e2e.Start(t, "rclone", exec.Command("rclone", "serve", "restic", "--config", filepath.Join(t.TempDir(), "none"), "--addr", address, dir))
	await(t, "rclone to listen", func() error {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
	return "rest:http://" + address + "/"
}

// A beginning is a repository that all hosts begin together, and what is done to them
// meanwhile.
type beginning struct {
	*world
	hosts      []*host
	repository topics.RepositoryID
	group      string // its name on each host
	fired      bool   // the hosts begin by the clock, not because they are asked to
	dice       *rand.Rand

	mu     sync.Mutex
	killed map[topics.HostID]bool
}

// Where a host is killed: on its way to an init job, in it, and at its end.
var onTheWay = []string{"agent-commanded", "agent-journalled", "agent-spawned", "agent-spawn-journalled", "agent-lines",
	"agent-restic-ended", "agent-end-journalled", "agent-sent:4"}

// Hosts begin their first backups of one repository together, at a path that they share
// or over REST, asked for or by the clock, while they and the control plane are killed.
// In the end there is one repository that one key opens, and every host has its backup.
func TestHostsThatBeginTogetherMakeOneRepository(t *testing.T) {
	const seed = 11
	n, times := 4, 2
	if soak {
		n, times = 8, min(rounds, 50)
	}
	w := newWorld(t, seed)
	served := filepath.Join(w.dir, "served")
	if err := os.Mkdir(served, 0o700); err != nil {
		t.Fatal(err)
	}
	address := serveRestic(t, served)
	inits, deaths := 0, 0
	for round := range times {
		name := fmt.Sprintf("fresh%d", round)
		at, url := filepath.Join(w.dir, name), filepath.Join(w.dir, name)
		if round%2 == 1 {
			at, url = filepath.Join(served, name), address+name+"/"
		}
		var hosts []*host // new ones: a host's data goes to one repository
		for i := range n {
			hosts = append(hosts, w.pioneer(fmt.Sprintf("host%d-%d", round, i)))
		}
		b := &beginning{world: w, hosts: hosts, group: name, fired: (round+1)/2%2 == 1, killed: map[topics.HostID]bool{},
			dice: rand.New(rand.NewPCG(seed, uint64(round)))}
		began := time.Now()
		b.play(url)
		made := b.judge(at)
		inits, deaths = inits+made, deaths+len(b.killed)
		t.Logf("%s, fired %v: %d hosts, %d killed, %d init jobs, %v", url, b.fired, n, len(b.killed), made, time.Since(began).Round(time.Second))
		if t.Failed() {
			break
		}
	}
	t.Logf("%d rounds of %d hosts, %d killed: %d init jobs", times, n, deaths, inits)
	w.plane.MustStop(time.Minute)
}

// play has all hosts begin, and kills them.
func (b *beginning) play(url string) {
	b.t.Helper()
	var made struct {
		ID topics.RepositoryID `json:"id"`
	}
	b.must("POST", "/api/repositories", map[string]any{"name": b.group, "url": url, "password": making}, &made)
	b.repository = made.ID
	for _, h := range b.hosts {
		b.must("PUT", "/api/hosts/"+string(h.id)+"/source-groups/"+b.group,
			map[string]any{"repository": b.repository, "paths": []string{h.source()}, "excludes": []string{}}, nil)
		if b.fired {
			b.must("PUT", "/api/hosts/"+string(h.id)+"/schedules/"+b.group,
				map[string]any{"cron": "* * * * *", "source_groups": []string{b.group}}, nil)
		}
	}
	var all sync.WaitGroup
	for _, h := range b.hosts {
		point, after, power, away := "", b.within(4*time.Second), b.dice.IntN(2) == 0, b.within(2*time.Second)
		switch b.dice.IntN(3) {
		case 0:
			point = onTheWay[b.dice.IntN(len(onTheWay))]
		case 1:
			after = 0 // it is left alone
		}
		h.start(point)
		all.Go(func() {
			if !b.fired {
				b.ask(h)
			}
			b.kill(h, point, after, power, away)
		})
	}
	pause := time.NewTimer(b.within(3 * time.Second))
	<-pause.C
	b.plane.Kill9()
	b.startPlane("")
	all.Wait()
}

func (b *beginning) within(d time.Duration) time.Duration {
	return time.Duration(b.dice.Int64N(int64(d)))
}

// must makes a call until the control plane is there and answers.
func (b *beginning) must(method, path string, body, into any) {
	b.t.Helper()
	await(b.t, method+" "+path, func() error { return b.api(method, path, body, into) })
}

// ask asks a host for its backup.
func (b *beginning) ask(h *host) {
	b.t.Helper()
	b.must("POST", "/api/hosts/"+string(h.id)+"/jobs", map[string]any{"kind": "backup", "source_group": b.group}, nil)
}

// kill kills a host after it has begun something, or at a failpoint; with power, what its
// restic does is gone as well. Then it is started again.
func (b *beginning) kill(h *host, point string, after time.Duration, power bool, away time.Duration) {
	switch {
	case point != "":
		if e2e.Try(20*time.Second, func() error {
			if h.process.Running() {
				return errors.New("it lives")
			}
			return nil
		}) != nil {
			h.process.Kill9() // nothing took it there
		}
	case after > 0:
		_ = e2e.Try(time.Minute, func() error {
			if len(b.jobs(h)) == 0 {
				return errors.New("nothing has begun")
			}
			return nil
		})
		<-time.After(after)
		h.process.Kill9()
	default:
		return
	}
	if power {
		for _, j := range b.jobs(h) {
			for _, pid := range running(j.ID) {
				if p, err := os.FindProcess(pid); err == nil {
					_ = p.Kill() // it may have ended
				}
			}
		}
	}
	b.mu.Lock()
	b.killed[h.id] = true
	b.mu.Unlock()
	<-time.After(away)
	h.start("")
}

// jobs lists what a host did in the repository, the last first.
func (b *beginning) jobs(h *host) []store.Job {
	jobs, err := b.store.JobsOf(b.t.Context(), h.id, 10_000)
	if err != nil {
		b.t.Error(err)
	}
	return slices.DeleteFunc(jobs, func(j store.Job) bool { return j.Repository != b.repository })
}

// judge waits until every host has its backup, and looks at the repository. It returns
// how many init jobs there were.
func (b *beginning) judge(at string) (inits int) {
	b.t.Helper()
	for _, h := range b.hosts {
		asked := 0
		await(b.t, "the first backup of "+filepath.Base(h.dir), func() error {
			open, said := false, []string{}
			for _, j := range b.jobs(h) {
				if j.Kind == topics.BackupJob && j.State == topics.Succeeded {
					return nil
				}
				open = open || !j.State.Ended()
				said = append(said, fmt.Sprintf("%s %s %s (%s: %s)", j.ID, j.Kind, j.State, j.Cause, j.Message))
			}
			if !open && !b.fired && b.killed[h.id] && asked < 1 { // a backup under way when it was killed
				asked++
				b.ask(h)
			}
			return fmt.Errorf("its jobs are %s", strings.Join(said, "\n"))
		})
		if b.fired {
			b.must("DELETE", "/api/hosts/"+string(h.id)+"/schedules/"+b.group, nil, nil)
		}
	}
	for _, h := range b.hosts {
		await(b.t, "the jobs of "+filepath.Base(h.dir)+" to end", func() error {
			for _, j := range b.jobs(h) {
				if !j.State.Ended() {
					return fmt.Errorf("job %s (%s) is %s", j.ID, j.Kind, j.State)
				}
			}
			return nil
		})
		for _, j := range b.jobs(h) {
			if j.Kind == topics.InitJob {
				inits++
			}
			if j.State == topics.Failed && j.Cause != topics.CauseUnmade || j.State == topics.Interrupted && !b.killed[h.id] {
				b.t.Errorf("%s: %s %s ended as %s (%s: %s)", filepath.Base(h.dir), j.Kind, j.ID, j.State, j.Cause, j.Message)
			}
		}
		h.process.MustStop(time.Minute)
	}
	if keys, err := os.ReadDir(filepath.Join(at, "keys")); err != nil || len(keys) != 1 {
		b.t.Errorf("%s has the keys %v, %v, want one", at, keys, err)
	}
	check := exec.Command("restic", "--no-cache", "-r", at, "check")
	check.Env = append(os.Environ(), "RESTIC_PASSWORD="+making)
	if out, err := check.CombinedOutput(); err != nil {
		b.t.Errorf("check of %s: %v: %s", at, err, out)
	}
	return inits
}
