package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/restic-manager/restic-manager/topics"
)

// steady is a restic that says 4 MB, more than the kernel takes for a client who
// does not read, then waits until it may go on, and then says something every
// moment, for longer than one message to a client may take: a job that is held
// up ends later.
const steady = `ledger backup
awk 'BEGIN { while (length(pad) < 4000) pad = pad "x"; for (i = 0; i < 1000; i++) print i, pad > "/dev/stderr" }'
while [ ! -e "$0.go" ]; do sleep 0.05; done
i=0
while [ $i -lt 240 ]; do
	for n in 1 2 3 4 5; do echo "$i $n, as long as a line of restic is when it names a file that it could not read" >&2; done
	i=$((i+1))
	sleep 0.03
done
summary`

const history = 1000 // lines of steady before it waits

// count asks the control plane how many goroutines it has, and how many clients
// watch a job.
func (p *process) count() (goroutines, watching int) {
	p.t.Helper()
	before := len(p.said.String())
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		p.t.Fatal(err)
	}
	await(p.t, "the control plane to count", func() error {
		_, answer, _ := strings.Cut(p.said.String()[before:], "msg=counted ")
		_, err := fmt.Sscanf(answer, "goroutines=%d watching=%d", &goroutines, &watching)
		return err
	})
	return goroutines, watching
}

// watch follows a job over a WebSocket to its end, and counts the lines it was
// told. That they are not 1, 2, 3, … is an error.
func (w *world) watch(ctx context.Context, id topics.JobID, told *atomic.Int64) error {
	c, answer, err := websocket.Dial(ctx, "ws://"+w.http+"/api/jobs/"+string(id)+"/stream", &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + w.token}}})
	if answer != nil && answer.Body != nil {
		answer.Body.Close()
	}
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(16 << 20)
	for {
		_, b, err := c.Read(ctx)
		if err != nil {
			return err
		}
		var m struct {
			Type  string
			Lines []struct{ N int }
		}
		if err := json.Unmarshal(b, &m); err != nil {
			return err
		}
		for _, l := range m.Lines {
			if n := told.Add(1); l.N != int(n) {
				return fmt.Errorf("line %d came where %d should", l.N, n)
			}
		}
		if m.Type == "job.finished" {
			return nil
		}
	}
}

// stare opens a WebSocket and never reads from it.
func (w *world) stare(id topics.JobID) net.Conn {
	w.t.Helper()
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	c, err := small.DialContext(w.t.Context(), "tcp", w.http)
	if err == nil {
		_, err = fmt.Fprintf(c, "GET /api/jobs/%s/stream HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", id, w.http, w.token)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestWhoeverWatchesDoesNotSlowAJob(t *testing.T) {
	clients, deaf, pairs, bound := 20, 2, 1, 1.5
	if soak {
		clients, deaf, pairs, bound = 200, 20, 3, 1.05
	}
	w := newWorld(t, 6)
	h := w.enrol("host")
	h.standIn("summary")
	h.start("")
	w.awaitEnd(h.ask()) // the repository is there, everything is warm
	h.standIn(steady)
	gate := h.restic + ".go"

	run := func(watchers, starers int) time.Duration {
		t.Helper()
		id := h.ask()
		await(t, "the job to run", func() error {
			if j := w.job(id); j.State != topics.Running {
				return fmt.Errorf("it is %s", j.State)
			}
			return nil
		})
		told, errs := make([]atomic.Int64, watchers), make([]error, watchers)
		var all sync.WaitGroup
		for i := range watchers {
			all.Go(func() { errs[i] = w.watch(t.Context(), id, &told[i]) })
		}
		for range starers {
			c := w.stare(id)
			defer c.Close()
		}
		want := watchers + starers
		await(t, strconv.Itoa(want)+" clients to be there", func() error {
			if _, n := w.plane.count(); n != want {
				return fmt.Errorf("%d are", n)
			}
			for i := range told {
				if n := told[i].Load(); n < history {
					return fmt.Errorf("client %d has %d lines", i, n)
				}
			}
			return nil
		})
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if starers > 0 { // what is late costs the job nothing, and not for long
			await(t, "those who do not read to be let go", func() error {
				if w.job(id).State.Ended() {
					t.Fatal("the job has ended, and nobody was let go: this proves nothing")
				}
				if _, n := w.plane.count(); n != watchers {
					return fmt.Errorf("%d are there", n)
				}
				return nil
			})
		}
		j := w.awaitEnd(id)
		took := time.Since(began)
		if err := os.Remove(gate); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		for i := range watchers {
			if errs[i] != nil || told[i].Load() != int64(j.Lines) {
				t.Errorf("client %d was told %d of %d lines: %v", i, told[i].Load(), j.Lines, errs[i])
			}
		}
		return took
	}

	http.DefaultClient.CloseIdleConnections()
	before, _ := w.plane.count()
	var alone, watched []time.Duration
	for range pairs {
		alone = append(alone, run(0, 0))
		watched = append(watched, run(clients-deaf, deaf))
	}
	ratio := float64(slices.Min(watched)) / float64(slices.Min(alone))
	t.Logf("%d clients, %d of them never reading: %v, without them %v, ratio %.3f; control plane at most %d MiB",
		clients, deaf, watched, alone, ratio, w.plane.peak())
	if ratio > bound {
		t.Errorf("the job took %.2f times as long with watchers, want at most %.2f", ratio, bound)
	}
	http.DefaultClient.CloseIdleConnections()
	await(t, "its goroutines to be gone", func() error {
		if n, _ := w.plane.count(); n > before {
			return fmt.Errorf("there are %d, before there were %d", n, before)
		}
		return nil
	})
	h.process.mustStop()
	w.plane.mustStop()
}
