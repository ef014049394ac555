package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/coder/websocket"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// A Follower reads a job's WebSocket, as a program would.
type Follower struct {
	w     *World
	id    string
	after int
	conn  *websocket.Conn
	done  chan struct{}

	mu    sync.Mutex
	story []envelope
	lines []Line
	why   error
}

type envelope struct {
	Type  string          `json:"type"`
	Raw   json.RawMessage `json:"-"`
	Lines []Line          `json:"lines"`
}

// Follow opens the stream behind line number after.
func (w *World) Follow(id string, after int) *Follower {
	w.t.Helper()
	url := fmt.Sprintf("ws://%s/api/jobs/%s/stream", w.HTTP, id)
	if after > 0 {
		url += fmt.Sprintf("?after=%d", after)
	}
	ctx, cancel := context.WithCancel(context.Background())
	conn, answer, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + w.token}}})
	if err != nil {
		cancel()
		w.t.Fatalf("%s: %v (%v)", url, err, answer)
	}
	conn.SetReadLimit(8 << 20)
	f := &Follower{w: w, id: id, after: after, conn: conn, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for {
			_, b, err := conn.Read(ctx)
			if err == nil {
				e := envelope{Raw: b}
				if err = json.Unmarshal(b, &e); err == nil {
					f.mu.Lock()
					f.story = append(f.story, e)
					f.lines = append(f.lines, e.Lines...)
					f.mu.Unlock()
					continue
				}
			}
			f.mu.Lock()
			f.why = err
			f.mu.Unlock()
			return
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-f.done
	})
	return f
}

// Drop ends it without a goodbye.
func (f *Follower) Drop() {
	_ = f.conn.CloseNow()
	<-f.done
}

// LastLine is the number of the last line it has.
func (f *Follower) LastLine() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lines) == 0 {
		return f.after
	}
	return f.lines[len(f.lines)-1].N
}

// AwaitWord waits for a line of the stand-in's.
func (f *Follower) AwaitWord(n int) {
	f.w.t.Helper()
	world.Await(f.w.t, fmt.Sprintf("word %d on the stream", n), func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.lines) > 0 {
			if got, ok := wordOf(f.lines[len(f.lines)-1].Text); ok && got >= n {
				return nil
			}
		}
		return fmt.Errorf("%d lines came, in %d messages, %v", len(f.lines), len(f.story), f.why)
	})
}

// AwaitClosed waits until the server has said all and closed the stream well.
func (f *Follower) AwaitClosed() {
	f.w.t.Helper()
	world.Await(f.w.t, "the stream to be closed", func() error {
		select {
		case <-f.done:
			return nil
		default:
			return errors.New("it is open")
		}
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if websocket.CloseStatus(f.why) != websocket.StatusNormalClosure {
		f.w.t.Errorf("the stream ended with %v, want a normal closure", f.why)
	}
}

func (f *Follower) types() (types []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.story {
		if len(types) == 0 || types[len(types)-1] != e.Type {
			types = append(types, e.Type)
		}
	}
	return types
}

// MustTell insists on these kinds of messages in this order, others and
// repetitions between them allowed, the last one last; and on every line from
// first to last, once.
func (f *Follower) MustTell(order []string, first, last int) {
	f.w.t.Helper()
	types := f.types()
	next := 0
	for _, t := range types {
		if next < len(order) && t == order[next] {
			next++
		}
	}
	if next < len(order) || len(types) == 0 || types[len(types)-1] != order[len(order)-1] {
		f.w.t.Errorf("the stream told %v, want %v in this order", types, order)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	got := make([]int, len(f.lines))
	for i, l := range f.lines {
		got[i] = l.N
	}
	var want []int
	for n := first; n <= last; n++ {
		want = append(want, n)
	}
	if !slices.Equal(got, want) {
		f.w.t.Errorf("the stream told %d lines %v…, want %d to %d", len(got), got[:min(len(got), 5)], first, last)
	}
}
