// Package failpoint lets a test end the process at a named point, as a power
// failure or the kernel would: at once, with nothing written and nobody told.
//
// The points are where a crash is most unpleasant: between a fact and its
// record, a commit and what follows from it. RESTIC_MANAGER_FAILPOINT=NAME or
// NAME:N, read once when the process starts, ends it the first or the Nth time
// it comes by. Without it a point costs one comparison.
package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// Variable is the environment variable that arms a point.
const Variable = "RESTIC_MANAGER_FAILPOINT"

var armed = parse(os.Getenv(Variable))

// Here is the point of this name.
func Here(name string) {
	if armed != nil && armed.due(name) {
		die()
	}
}

type point struct {
	name string
	left atomic.Int64 // times to come by, this one included
}

// parse reads NAME or NAME:N; nil is no point. What makes no sense is a point
// nobody comes by.
func parse(s string) *point {
	if s == "" {
		return nil
	}
	name, n, counted := strings.Cut(s, ":")
	p := &point{name: name}
	p.left.Store(1)
	if counted {
		left, _ := strconv.ParseInt(n, 10, 64)
		p.left.Store(left)
	}
	return p
}

func (p *point) due(name string) bool { return p.name == name && p.left.Add(-1) == 0 }

// die does not return: what is ended by a signal does nothing after it.
func die() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {}
}
