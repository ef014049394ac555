package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
// moment for about four seconds: a job that is held up ends later.
const steady = `ledger backup
awk 'BEGIN { while (length(pad) < 4000) pad = pad "x"; for (i = 0; i < 1000; i++) print i, pad > "/dev/stderr" }'
while [ ! -e "$0.go" ]; do sleep 0.05; done
i=0
while [ $i -lt 120 ]; do
	for n in 1 2 3 4 5; do echo "$i $n, as long as a line of restic is when it names a file that it could not read" >&2; done
	i=$((i+1))
	sleep 0.03
done
summary`

const (
	history = 1000 // lines of steady before it waits
	width   = 4000 // bytes of each
)

// count asks the control plane how many goroutines it has, and how many clients
// watch a job.
func (w *world) count() (goroutines, watching int) {
	w.t.Helper()
	p := w.plane
	before := len(p.Errs.String())
	p.Signal(syscall.SIGUSR1)
	await(w.t, "the control plane to count", func() error {
		_, answer, _ := strings.Cut(p.Errs.String()[before:], "msg=counted ")
		_, err := fmt.Sscanf(answer, "goroutines=%d watching=%d", &goroutines, &watching)
		return err
	})
	return goroutines, watching
}

// errMixed says that a client was told lines out of their order.
var errMixed = errors.New("the lines are mixed up")

// watch follows a job over WebSockets to its end, and counts the lines it was
// told. It comes back where it was when it is let go, as a client must that
// could not read for a while: on a busy machine that may be any.
func (w *world) watch(ctx context.Context, id topics.JobID, told *atomic.Int64) error {
	for {
		err := w.listen(ctx, id, told)
		if err == nil || errors.Is(err, errMixed) || ctx.Err() != nil {
			return err
		}
	}
}

func (w *world) listen(ctx context.Context, id topics.JobID, told *atomic.Int64) error {
	address := fmt.Sprintf("ws://%s/api/jobs/%s/stream?after=%d", w.http, id, told.Load())
	c, answer, err := websocket.Dial(ctx, address, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + w.token}}})
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
				return fmt.Errorf("%w: %d came where %d should", errMixed, l.N, n)
			}
		}
		if m.Type == "job.finished" {
			return nil
		}
	}
}

// stare opens a WebSocket, and once it is there does not read from it.
func (w *world) stare(id topics.JobID) net.Conn {
	w.t.Helper()
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	c, err := small.DialContext(w.t.Context(), "tcp", w.http)
	if err == nil {
		_, err = fmt.Fprintf(c, "GET /api/jobs/%s/stream HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: "+
			"Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", id, w.http, w.token)
	}
	head := make([]byte, 12)
	if err == nil {
		_, err = io.ReadFull(c, head)
	}
	if err != nil || string(head) != "HTTP/1.1 101" {
		w.t.Fatalf("the handshake was answered with %q: %v", head, err)
	}
	return c
}

// Those who never read are let go after a while. A job that ends while they are
// still there did not wait for them: that is the proof, however slow the machine
// is. How much longer it took is measured, and held to a bound where nothing else
// runs.
func TestWhoeverWatchesDoesNotSlowAJob(t *testing.T) {
	clients, deaf := 20, 2
	if soak {
		clients, deaf = 200, 20
	}
	w := newWorld(t, 6)
	h := w.enrol("host")
	h.standIn("summary")
	h.start("")
	w.awaitEnd(h.ask()) // the repository is there, everything is warm
	h.standIn(steady)
	gate := h.restic + ".go"

	run := func(watchers, starers int) (took time.Duration, waited bool) {
		t.Helper()
		id := h.ask()
		await(t, "the job to wait", func() error {
			if j := w.job(id); j.Lines < history {
				return fmt.Errorf("it is %s, with %d lines", j.State, j.Lines)
			}
			return nil
		})
		told, errs := make([]atomic.Int64, watchers), make([]error, watchers)
		var all sync.WaitGroup
		for i := range watchers {
			all.Go(func() { errs[i] = w.watch(t.Context(), id, &told[i]) })
		}
		await(t, strconv.Itoa(watchers)+" clients to have what was said so far", func() error {
			for i := range told {
				if n := told[i].Load(); n < history {
					return fmt.Errorf("client %d has %d lines", i, n)
				}
			}
			return nil
		})
		var stared []net.Conn
		for range starers {
			stared = append(stared, w.stare(id))
		}
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		j := w.awaitEnd(id)
		took = time.Since(began)
		if err := os.Remove(gate); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		_, there := w.count()
		for i := range watchers {
			if errs[i] != nil || told[i].Load() != int64(j.Lines) {
				t.Errorf("client %d was told %d of %d lines: %v", i, told[i].Load(), j.Lines, errs[i])
			}
		}
		await(t, "those who do not read to be let go", func() error {
			if _, n := w.count(); n != 0 {
				return fmt.Errorf("%d are there", n)
			}
			return nil
		})
		for _, c := range stared {
			if n, _ := io.Copy(io.Discard, c); n >= history*width { // the error is that the connection was cut
				t.Errorf("one who did not read was sent %d bytes: the kernel took it all", n)
			}
			c.Close()
		}
		return took, there < starers
	}

	http.DefaultClient.CloseIdleConnections()
	before, _ := w.count()
	var alone, watched []time.Duration
	for waited := true; waited || soak && len(watched) < 3; {
		if len(watched) == 3 {
			t.Fatalf("the job took %v, without watchers %v: it ended only when those who do not read were gone", watched, alone)
		}
		var took time.Duration
		took, _ = run(0, 0)
		alone = append(alone, took)
		took, waited = run(clients-deaf, deaf)
		watched = append(watched, took)
	}
	ratio := float64(slices.Min(watched)) / float64(slices.Min(alone))
	t.Logf("%d clients, %d of them never reading: %v, without them %v, ratio %.3f; control plane at most %d MiB",
		clients, deaf, watched, alone, ratio, w.plane.Peak())
	if soak && ratio > 1.05 {
		t.Errorf("the job took %.3f times as long with watchers, want at most 1.05", ratio)
	}
	http.DefaultClient.CloseIdleConnections()
	await(t, "its goroutines to be gone", func() error {
		if n, _ := w.count(); n > before {
			return fmt.Errorf("there are %d, before there were %d", n, before)
		}
		return nil
	})
	h.process.MustStop(time.Minute)
	w.plane.MustStop(time.Minute)
}
