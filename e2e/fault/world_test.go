package fault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/password"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// A world is a control plane in a process of its own, a proxy before its
// agents' port, and the database opened beside it to look into.
type world struct {
	t            *testing.T
	dir, data    string
	http, agents string // addresses, kept when the control plane restarts,
	mqtt         string // of consumers, too
	store        *store.Store
	proxy        *proxy
	token        string
	plane        *e2e.Process
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	t.Logf("seed %d", seed)
	w := &world{t: t, dir: t.TempDir(), http: e2e.FreeAddress(t), agents: e2e.FreeAddress(t), mqtt: e2e.FreeAddress(t)}
	w.data = filepath.Join(w.dir, "data")
	storetest.Make(t, w.data, store.Open)
	s, err := store.Open(t.Context(), w.data, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w.store, w.token = s, password.NewKey("rma_")
	if _, err := s.AddAPIToken(t.Context(), store.Maker{Name: "test"}, store.APIToken{
		ID:        topics.NewID(time.Now()),
		Name:      "fault",
		Role:      store.Admin,
		KeyHash:   password.HashKey(w.token),
		CreatedAt: s.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	w.proxy = newProxy(t, w.agents, seed)
	w.startPlane("")
	return w
}

// startPlane starts the control plane, to die at a failpoint unless that is "".
func (w *world) startPlane(point string) {
	w.t.Helper()
	w.plane = start(w.t, "the control plane", point, "plane", w.data, w.http, w.agents, w.mqtt)
	w.plane.Await(`msg=serving`)
}

// api makes a call that must be answered with 2xx, and fills into. A control
// plane that is away is an error.
func (w *world) api(method, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.http+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if b, err = io.ReadAll(answer.Body); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, b)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(b, into)
}

// A host is one endpoint: its agent's state, and a repository of its own.
type host struct {
	w       *world
	id      topics.HostID
	dir     string
	restic  string // the stand-in
	policy  string // its preset, "" is backup
	process *e2e.Process
}

// enrol lets a host in, with a source group "all" in a repository of its own
// that is ready.
func (w *world) enrol(name string) *host {
	w.t.Helper()
	ctx := w.t.Context()
	ca, err := enroll.OpenCA(ctx, w.store, time.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	_, token, err := (&enroll.Desk{Store: w.store, CA: ca}).Issue(ctx, "test", name, time.Minute)
	if err != nil {
		w.t.Fatal(err)
	}
	h := &host{w: w, dir: filepath.Join(w.dir, name)}
	h.restic = filepath.Join(h.dir, "restic")
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	identity, err := h.enroll(ctx, token.Reveal())
	if err != nil {
		w.t.Fatal(err)
	}
	h.id = identity.Host
	repository := topics.RepositoryID(topics.NewID(time.Now()))
	err = w.store.AddRepository(ctx, "test", store.Repository{ID: repository, Name: "of " + name,
		Location: filepath.Join(h.dir, "repository")},
		store.RepositoryAccess{URL: topics.Secret(filepath.Join(h.dir, "repository")), Password: "correct horse"})
	if err == nil {
		// Jobs of these tests say when they begin and end; one that makes a repository first
		// would be in their way.
		err = w.store.SlotStep(ctx, func(tx store.Slots) error {
			ctx, x := tx.Tx()
			return places.Found(ctx, x, repository, h.id, "", w.store.Now())
		})
	}
	if err == nil {
		_, err = w.store.PutSourceGroup(ctx, "test", store.SourceGroup{
			ID:         topics.SourceGroupID(topics.NewID(time.Now())),
			Host:       h.id,
			Name:       "all",
			Repository: repository,
			Paths:      store.List{h.dir},
		})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

func (h *host) state() string { return filepath.Join(h.dir, "state") }

// start starts the agent, to die at a failpoint unless that is "".
func (h *host) start(point string) {
	h.w.t.Helper()
	h.process = start(h.w.t, "the agent of "+filepath.Base(h.dir), point, "agent", h.state(), h.restic)
}

// ask asks for a backup until the control plane has said that it took one:
// from then on the job must not be lost.
func (h *host) ask() (id topics.JobID) {
	h.w.t.Helper()
	await(h.w.t, "a backup to be accepted", func() error {
		var made struct {
			ID topics.JobID `json:"id"`
		}
		err := h.w.api("POST", "/api/hosts/"+string(h.id)+"/jobs", map[string]any{"kind": "backup", "source_group": "all"}, &made)
		id = made.ID
		return err
	})
	return id
}

func (w *world) job(id topics.JobID) store.Job {
	w.t.Helper()
	j, err := w.store.Job(context.WithoutCancel(w.t.Context()), id)
	if err != nil {
		w.t.Fatalf("job %s: %v", id, err)
	}
	return j
}

// awaitEnd waits until a job has ended.
func (w *world) awaitEnd(id topics.JobID) (j store.Job) {
	w.t.Helper()
	await(w.t, "job "+string(id)+" to end", func() error {
		if j = w.job(id); !j.State.Ended() {
			return fmt.Errorf("it is %s, with %d lines, accepted %v, sent %d times", j.State, j.Lines, j.Accepted, j.Attempts)
		}
		return nil
	})
	return j
}

// lines reads a job's log and insists that it is 1..n, each number once, n being
// what the job says. What is recorded as a gap comes as an entry with GapTo.
func (w *world) lines(id topics.JobID) (log []store.LogEntry) {
	w.t.Helper()
	at := 0
	for {
		page, err := w.store.Log(w.t.Context(), id, at, 10_000)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if e.N != at+1 {
				w.t.Errorf("job %s: line %d follows %d", id, e.N, at)
			}
			at = e.Last()
		}
		log = append(log, page...)
	}
	if n := w.job(id).Lines; n != at {
		w.t.Errorf("job %s: the log ends at line %d, the job says %d", id, at, n)
	}
	return log
}

// words are the numbers N of the lines "word N" in a log.
func words(log []store.LogEntry) (numbers []int) {
	for _, e := range log {
		if rest, ok := strings.CutPrefix(e.Text, "word "); ok {
			n, _ := strconv.Atoi(rest)
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// mustCount insists on 1, 2, 3, … and, unless n is negative, on n of them.
func (w *world) mustCount(id topics.JobID, n int) {
	w.t.Helper()
	numbers := words(w.lines(id))
	for i, got := range numbers {
		if got != i+1 {
			w.t.Fatalf("job %s: word %d stands where %d should", id, got, i+1)
		}
	}
	if n >= 0 && len(numbers) != n {
		w.t.Errorf("job %s: %d of %d words are there", id, len(numbers), n)
	}
}

// standIn writes the host's restic: a shell script that enters in a ledger what
// job it is started for, and whether it backs up or only looks at the repository.
// For a backup it does what body says; the snapshot it claims to have made is
// listed afterwards.
func (h *host) standIn(body string) {
	h.w.t.Helper()
	script := `#!/bin/sh
ledger() { echo "$RESTIC_MANAGER_JOB $1" >> "$0.ledger"; }
die() { if [ "$(cat "$0.die" 2>/dev/null)" = "$1" ]; then rm "$0.die"; kill -9 $$; fi; }
words() { i=$1; while [ $i -le $2 ]; do echo "word $i" >&2; i=$((i+1)); done; }
summary() { echo '{"message_type":"summary","files_new":1,"total_files_processed":1,"total_bytes_processed":1,"snapshot_id":"` +
		snapshot + `"}'; }
case " $* " in
" version ") echo "restic 0.16.4 compiled with go" ;;
*" backup "*)
` + body + `
;;
*" snapshots "*) ledger look; echo '[{"time":"2026-01-01T00:00:00Z","tree":"` + snapshot + `","paths":["/"],"hostname":"h","id":"` +
		snapshot + `","short_id":"` + snapshot[:8] + `"}]' ;;
*" cat config "*) ledger look; echo '{"version":2,"id":"` + snapshot + `"}' ;;
*) ledger look ;;
esac
`
	// A program that is being written cannot be run; one that is renamed can.
	if err := errors.Join(os.WriteFile(h.restic+".new", []byte(script), 0o700), os.Rename(h.restic+".new", h.restic)); err != nil {
		h.w.t.Fatal(err)
	}
}

var snapshot = strings.Repeat("ab", 32)

// starts is how often restic was started for a job: to back up, and in all.
type starts struct{ backups, all int }

// ledger tells of every job that restic was started for.
func (h *host) ledger() map[topics.JobID]starts {
	h.w.t.Helper()
	b, err := os.ReadFile(h.restic + ".ledger")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.w.t.Fatal(err)
	}
	of := map[topics.JobID]starts{}
	for line := range strings.Lines(string(b)) {
		id, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		n := of[topics.JobID(id)]
		n.all++
		if what == "backup" {
			n.backups++
		}
		of[topics.JobID(id)] = n
	}
	return of
}

// running lists the processes of a job.
func running(id topics.JobID) (pids []int) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	for _, path := range environs {
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte("RESTIC_MANAGER_JOB="+string(id))) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// patience is how long a fault may take to be overcome.
const patience = 3 * time.Minute

// start runs this test's program under a role until it ends or the test is over,
// to die at a failpoint unless that is "".
func start(t *testing.T, name, point string, args ...string) *e2e.Process {
	t.Helper()
	cmd := exec.Command(e2e.Must(os.Executable()), args...)
	cmd.Env = append(os.Environ(), failpoint.Variable+"="+point)
	if point != "" {
		name += ", to die at " + point + ","
	}
	p := e2e.Start(t, name, cmd)
	p.Patience = patience
	return p
}

// await tries until it works, and fails with the last reason.
func await(t *testing.T, what string, attempt func() error) {
	t.Helper()
	e2e.AwaitWithin(t, patience, what, attempt)
}

// enroll lets the host in under its policy; its repository is a directory.
func (h *host) enroll(ctx context.Context, token string) (*agent.Identity, error) {
	policy, err := agent.Preset(cmp.Or(h.policy, agent.PolicyBackup), h.state())
	if err != nil {
		return nil, err
	}
	policy.RepositoryRoots = []string{h.w.dir}
	return agent.Enrolment{Server: h.w.proxy.address(), Token: token, State: h.state(), Policy: policy}.Run(ctx)
}
