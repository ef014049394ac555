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

// Parent is the variable by which a process that is to die together with the one that
// started it, as both do when the power fails, names that one.
const Parent = "RESTIC_MANAGER_FAILPOINT_PARENT"

var armed = parse(os.Getenv(Variable))

// Here ends the process if the point of this name is armed and it is the time for it.
func Here(name string) {
	if armed != nil && armed.due(name) {
		die()
	}
}

type point struct {
	name string
	left atomic.Int64 // times to come by, this one included
}

// parse reads NAME or NAME:N and returns nil for "". Anything malformed becomes a
// point that is never reached.
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

// die kills the process with a signal that cannot be caught, and does not return.
func die() {
	if pid, err := strconv.Atoi(os.Getenv(Parent)); err == nil && pid > 1 {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
	}
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {}
}
