// Package bench measures the whole system beside what it is built on, in one
// run: ratios mean something on a shared machine, absolute numbers little.
package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "agents" {
		runAgents(os.Args[2], os.Args[3:])
		return
	}
	os.Exit(m.Run())
}

// runAgents runs an agent in each state directory until stdin ends. They have a
// process of their own so that it can be told what they cost and what the
// control plane does.
func runAgents(restic string, states []string) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, state := range states {
		running.Go(func() {
			a := agent.Agent{State: state, Restic: restic, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
			if err := a.Run(ctx); err != nil {
				panic(err)
			}
		})
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	stop()
	running.Wait()
}

// cpu is the time that a process and the children it has waited for have spent
// on a processor, in microseconds. "self" is this process.
func cpu(process string) (spent float64) {
	stat := must(os.ReadFile("/proc/" + process + "/stat"))
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')'):]) // a name may hold spaces
	for _, ticks := range fields[12:16] {
		spent += must(strconv.ParseFloat(string(ticks), 64)) * 10_000
	}
	return spent
}

// A world is a control plane in this process and its agents in another, with a
// script in restic's place: what restic itself costs is not the question here.
type world struct {
	b     *testing.B
	plane *controlplane.Plane
	dir   string
	token string
	hosts []topics.HostID
	agent string // the process of the agents
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// standIn answers like restic 0.14 as far as a backup needs, and runs body in
// the middle of it.
func standIn(dir, body string) string {
	path := filepath.Join(dir, "restic-stand-in")
	script := `#!/bin/sh
case " $* " in
*" version "*) echo "restic 0.14.0 compiled with go1.19 on linux/amd64" ;;
*" cat config "*) echo '{}' ;;
*" snapshots "*) echo '[{"time":"2026-01-01T00:00:00Z","id":"` + strings.Repeat("ab", 32) +
		`","short_id":"abababab","paths":["/"],"hostname":"h"}]' ;;
*" backup "*)
` + body + `
echo '{"message_type":"summary","files_new":1,"total_files_processed":1,"total_bytes_processed":1,"snapshot_id":"abababab"}' ;;
esac
`
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		panic(err)
	}
	return path
}

func newWorld(b *testing.B, agents int, body string) *world {
	dir := b.TempDir()
	ctx, stop := context.WithCancel(b.Context())
	logs := slog.New(slog.NewTextHandler(must(os.Create(filepath.Join(dir, "log"))), nil))
	p := must(controlplane.New(ctx, controlplane.Config{
		Data:   filepath.Join(dir, "data"),
		HTTP:   "127.0.0.1:0",
		Agents: "127.0.0.1:0",
		MQTT:   "127.0.0.1:0",
		Log:    logs,
		Timing: controlplane.DefaultTiming(),
		Logs:   controlplane.Logs{Lines: topics.MaxLines},
		Limits: protocol.Limits{},
	}))
	w := &world{b: b, plane: p, dir: dir, token: password.NewKey("rma_")}
	if _, err := p.Store.AddAPIToken(ctx, store.Maker{Name: "bench"}, store.APIToken{
		ID:      "token-0001",
		Name:    "bench",
		Role:    store.Admin,
		KeyHash: password.HashKey(w.token),
	}); err != nil {
		b.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() {
		stop()
		running.Wait()
		if err := p.Close(); err != nil {
			b.Error(err)
		}
	})
	restic := standIn(dir, body)
	if err := p.Store.AddRepository(ctx, "bench", store.Repository{ID: "vault-0001", Name: "vault"},
		store.RepositoryAccess{URL: "/srv/vault", Password: "correct horse"}); err != nil {
		b.Fatal(err)
	}
	args := []string{"agents", restic}
	for i := range agents {
		state := filepath.Join(dir, "agent-"+strconv.Itoa(i))
		_, token, err := p.Desk.Issue(ctx, "bench", "", time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		policy := must(agent.Preset(agent.PolicyBackup, state))
		policy.RepositoryRoots = []string{"/srv"}
		id := must(agent.Enrolment{Server: p.AgentsAddr(), Token: token.Reveal(), State: state, Policy: policy}.Run(ctx))
		w.hosts = append(w.hosts, id.Host)
		must(p.Store.PutSourceGroup(ctx, "bench", store.SourceGroup{
			ID:         topics.SourceGroupID(topics.NewID(time.Now())),
			Host:       id.Host,
			Name:       "all",
			Repository: "vault-0001",
			Paths:      store.List{"/"},
		}))
		args = append(args, state)
	}
	child := exec.Command(must(os.Executable()), args...)
	child.Stderr = must(os.Create(filepath.Join(dir, "agents.log")))
	stdin := must(child.StdinPipe())
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	w.agent = strconv.Itoa(child.Process.Pid)
	b.Cleanup(func() {
		if err := errors.Join(stdin.Close(), child.Wait()); err != nil {
			b.Error(err)
		}
	})
	for range time.Tick(10 * time.Millisecond) {
		online := 0
		for _, h := range must(p.Store.Hosts(ctx)) {
			if h.HelloN > 0 {
				online++
			}
		}
		if online == agents {
			return w
		}
	}
	return nil
}

// wait follows a job to its end.
func (w *world) wait(id topics.JobID) (ended store.Job) {
	err := jobs.Follow(w.b.Context(), w.plane.Store, w.plane.Hub, id, topics.MaxLines, func(e jobs.Envelope) error {
		if e.Type == jobs.JobFinished {
			ended = *e.Job
		}
		return nil
	})
	if err != nil || ended.State != topics.Succeeded {
		w.b.Fatalf("job %s ended as %q: %s, %v", id, ended.State, ended.Message, err)
	}
	return ended
}

// bareRows inserts lines into the same kind of database, in batches, and says
// how many a second.
func bareRows(b *testing.B) (rate, spent float64) {
	s := must(store.Open(b.Context(), filepath.Join(b.TempDir(), "bare"), ""))
	defer s.Close()
	s.LogLines = topics.MaxLines
	lines := make([]topics.Line, 500)
	for i := range lines {
		lines[i] = topics.Line{At: 1, Level: topics.Warn, Text: fmt.Sprintf("word %d of what restic says", i)}
	}
	began, n, before := time.Now(), 0, cpu("self")
	for time.Since(began) < 3*time.Second {
		err := s.Steps(b.Context(), func(tx protocol.PlaneTx) error { return tx.AddLines("job-000001", n+1, lines) })
		if err != nil {
			b.Fatal(err)
		}
		n += len(lines)
	}
	return float64(n) / time.Since(began).Seconds(), (cpu("self") - before) / float64(n)
}

// BenchmarkStored has 50 agents report as fast as they can: lines from a child
// process through journal, seal, broker and commit to the receipt. The ratio is
// of what a person waits for. It holds on a machine with nothing else to do; what
// a line costs in processor time, on either side, nearly everywhere.
func BenchmarkStored(b *testing.B) {
	const agents, lines = 50, 20_000
	w := newWorld(b, agents, `cat "$0.lines" >&2`)
	var text strings.Builder
	for i := range lines {
		fmt.Fprintf(&text, "word %d of what restic says\n", i)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "restic-stand-in.lines"), []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		before, spentBefore := bareRows(b)
		began, plane, agents := time.Now(), cpu("self"), cpu(w.agent)
		var asked []topics.JobID
		for _, h := range w.hosts {
			j, _, err := w.plane.Jobs.AskBackup(b.Context(), "bench", h, "all")
			if err != nil {
				b.Fatal(err)
			}
			asked = append(asked, j.ID)
		}
		stored := 0
		for _, id := range asked {
			stored += w.wait(id).Lines
		}
		n := float64(stored)
		rate := n / time.Since(began).Seconds()
		plane, agents = (cpu("self")-plane)/n, (cpu(w.agent)-agents)/n
		after, spentAfter := bareRows(b)
		bare, spent := (before+after)/2, (spentBefore+spentAfter)/2
		b.ReportMetric(rate, "lines/s")
		b.ReportMetric(bare, "bare-rows/s")
		b.ReportMetric(rate/bare, "ratio")
		b.ReportMetric(plane, "plane-cpu-µs/line")
		b.ReportMetric(agents, "agents-cpu-µs/line")
		b.ReportMetric(spent, "bare-cpu-µs/row")
	}
}

// percentiles reports p50 and p99 in milliseconds.
func percentiles(b *testing.B, what string, ds []time.Duration) {
	slices.Sort(ds)
	at := func(p float64) float64 { return float64(ds[int(p*float64(len(ds)-1))].Microseconds()) / 1000 }
	b.ReportMetric(at(0.50), what+"-p50-ms")
	b.ReportMetric(at(0.99), what+"-p99-ms")
}

// roundTrips measures a bare MQTT round trip on the public broker, of a message
// to oneself.
func (w *world) roundTrips(n int) []time.Duration {
	key := password.NewKey("")
	row := store.MQTTUser{Name: "bench", KeyHash: password.HashKey(key), MayDo: true}
	if err := w.plane.Store.AddMQTTUser(w.b.Context(), store.Maker{Name: "bench"}, row); err != nil {
		w.b.Fatal(err)
	}
	// A consumer may not read what it writes; the answer to a PUBLISH is the PUBACK.
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + w.plane.MQTTAddr()).SetClientID("bench").SetUsername("bench").
		SetPassword(key).SetProtocolVersion(4))
	if t := c.Connect(); t.Wait() && t.Error() != nil {
		w.b.Fatal(t.Error())
	}
	defer c.Disconnect(100)
	var ds []time.Duration
	for range n {
		began := time.Now()
		if t := c.Publish(topics.Root+"/do/no-such-host/cancel", 1, false, []byte{}); t.Wait() && t.Error() != nil {
			w.b.Fatal(t.Error())
		}
		ds = append(ds, time.Since(began))
	}
	return ds
}

// BenchmarkLatency measures from the API's call to the start of restic, and
// from a printed line to a WebSocket client, beside a bare MQTT publish with
// its acknowledgement.
func BenchmarkLatency(b *testing.B) {
	w := newWorld(b, 1, `date +%s%N > "$0.started"; i=0; while [ $i -lt 5 ]; do date +%s%N >&2; sleep 0.02; i=$((i+1)); done`)
	started := filepath.Join(w.dir, "restic-stand-in.started")
	for b.Loop() {
		var dispatch, line []time.Duration
		for range 100 {
			began := time.Now()
			id := w.ask()
			line = append(line, w.follow(id)...)
			ns := must(strconv.ParseInt(strings.TrimSpace(string(must(os.ReadFile(started)))), 10, 64))
			dispatch = append(dispatch, time.Unix(0, ns).Sub(began))
			w.wait(id)
		}
		percentiles(b, "dispatch", dispatch)
		percentiles(b, "line", line)
		percentiles(b, "mqtt", w.roundTrips(200))
	}
}

// ask asks for a backup as a program does.
func (w *world) ask() topics.JobID {
	req := must(http.NewRequestWithContext(w.b.Context(), "POST", "http://"+w.plane.HTTPAddr()+"/api/hosts/"+string(w.hosts[0])+"/jobs",
		bytes.NewReader([]byte(`{"kind":"backup","source_group":"all"}`))))
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Content-Type", "application/json")
	resp := must(http.DefaultClient.Do(req))
	defer resp.Body.Close()
	var answer struct{ ID topics.JobID }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusAccepted {
		w.b.Fatalf("%s, %v", resp.Status, err)
	}
	return answer.ID
}

// follow reads the job's stream to its end, and says how old each line was that
// holds its own time.
func (w *world) follow(id topics.JobID) (ages []time.Duration) {
	c, _, err := websocket.Dial(w.b.Context(), "ws://"+w.plane.HTTPAddr()+"/api/jobs/"+string(id)+"/stream",
		&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + w.token}}})
	if err != nil {
		w.b.Fatal(err)
	}
	defer c.CloseNow()
	for {
		_, msg, err := c.Read(w.b.Context())
		now := time.Now()
		if err != nil {
			w.b.Fatal(err)
		}
		var e struct {
			Type  string
			Lines []struct{ Text string }
		}
		if err := json.Unmarshal(msg, &e); err != nil {
			w.b.Fatal(err)
		}
		for _, l := range e.Lines {
			if ns, err := strconv.ParseInt(l.Text, 10, 64); err == nil {
				ages = append(ages, now.Sub(time.Unix(0, ns)))
			}
		}
		if e.Type == jobs.JobFinished {
			return ages
		}
	}
}
