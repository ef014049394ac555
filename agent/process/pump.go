package process

import (
	"io"
	"os/exec"
	"sync/atomic"
	"time"
)

// capacity is more than any system keeps in a pipe.
const capacity = 1 << 20

// pumps carry what a program writes to those who read it. They own a goroutine
// for each of its streams, which ends with the stream.
type pumps []*pump

type pump struct {
	from  io.ReadCloser
	to    io.Writer
	waits atomic.Int64  // since when it waits for the program, in Unix nanoseconds; 0 while it carries
	bytes atomic.Uint64 // carried so far
	left  atomic.Int64  // how many bytes it carries before it closes the stream, if that is not negative
	done  chan struct{}
}

// newPumps takes the streams of a command that is about to be started.
func newPumps(cmd *exec.Cmd, stdout, stderr io.Writer) (pumps, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	errs, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	return pumps{{from: out, to: stdout, done: make(chan struct{})}, {from: errs, to: stderr, done: make(chan struct{})}}, nil
}

func (all pumps) start() {
	for _, p := range all {
		p.left.Store(-1)
		go p.run()
	}
}

func (p *pump) run() {
	defer close(p.done)
	defer p.from.Close()
	b := make([]byte, 32<<10)
	for {
		p.waits.Store(time.Now().UnixNano())
		n, err := p.from.Read(b)
		p.waits.Store(0)
		p.bytes.Add(uint64(n))
		_, _ = p.to.Write(b[:n]) // ours, which never fail
		if err != nil {
			return
		}
		if left := p.left.Load(); left >= 0 {
			if left -= int64(n); left <= 0 {
				return
			}
			p.left.Store(left)
		}
	}
}

// carried is how many bytes came from the program.
func (all pumps) carried() (n uint64) {
	for _, p := range all {
		n += p.bytes.Load()
	}
	return n
}

// finish returns when everything the program wrote before its end has been
// carried, however slow the reader is. A stray child may hold a stream open:
// after the grace it is ended, and what it had to say is not waited for, nor
// listened to for ever.
func (all pumps) finish(grace time.Duration, endStrays func()) {
	limit := time.NewTimer(grace)
	defer limit.Stop()
	for _, p := range all {
		select {
		case <-p.done:
			continue
		case <-limit.C:
		}
		break
	}
	if all.over() {
		return
	}
	endStrays()
	ended := time.Now()
	for _, p := range all {
		p.left.Store(capacity)
	}
	tick := time.NewTicker(max(grace/10, time.Millisecond))
	defer tick.Stop()
	for !all.over() {
		for _, p := range all {
			if since := p.waits.Load(); since != 0 && time.Since(later(time.Unix(0, since), ended)) >= grace/5 {
				_ = p.from.Close() // its reader fails, and ends
			}
		}
		<-tick.C
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// over reports whether every stream has ended.
func (all pumps) over() bool {
	for _, p := range all {
		select {
		case <-p.done:
		default:
			return false
		}
	}
	return true
}
