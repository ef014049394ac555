package restic

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

// A Quiet says how long restic has done nothing: no line, no progress, next to no bytes and
// next to no processor time.
type Quiet struct {
	For   time.Duration // while the machine was awake
	Limit time.Duration // when it is ended; 0 is never
	Last  string        // what it said last, "" if it never said anything
}

// A stalled is why a run was ended that did nothing for too long.
type stalled struct {
	Quiet
	trouble *Trouble // what it repeated all that time, if that is what it did
}

func (s *stalled) Error() string {
	if s.trouble != nil {
		return fmt.Sprintf("restic did nothing for %s but try again what its storage did not do, and was ended. The storage's last words: %s",
			inWords(s.For), s.trouble.Words)
	}
	text := fmt.Sprintf("restic did nothing for %s, neither sent nor read anything, and used no processor time: it was ended",
		inWords(s.For))
	if s.Last == "" {
		return text + ". " + topics.NeverAWord
	}
	return text + ". The last it said: " + s.Last
}

// inWords is a span as a person would say it, to the second below a minute.
func inWords(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.3g s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}

// What a restic that works does in a minute. Measured on a machine with two busy
// cores, restic 0.14, by minutes:
//
//	it hangs on a server that accepts and says nothing (REST, sftp, rclone)  0-10 ms of processor time, 6 B, 3 calls that read
//	the same in the middle of a backup, its status a line a second           10-40 ms, 42 B, 21 calls
//	the same, its lock refreshed every five minutes                          30 ms, 892 B in that minute, 17 calls
//	a server that answers one byte a second                                  0-10 ms, 62-205 B, 121 calls
//	backup --limit-upload 1                                                  10-30 ms, 131-142 kB, 14 calls
//	backup of 60,000 files, of which none has changed                        27 s, 2 GB
//	check --read-data, prune                                                 20-34 s, 150 MB and more
const (
	someCPU   = 500 * time.Millisecond
	someBytes = 1 << 10
	someCalls = 90 // that read, with half as many bytes at least: what trickles in
	muchCPU   = 2 * time.Second
	muchBytes = 64 << 10
)

// A restic that hangs still refreshes its lock every five minutes, and ssh asks every
// minute whether its server lives. So a little is work only where it is steady: in half
// of the windows. Much is work at once.
const (
	windows = 30 // of a limit: one is a minute
	recent  = 10 // that are looked at for what is steady
)

// A silence watches one run, and ends it when it has done nothing for too long.
type silence struct {
	limit time.Duration
	ends  bool // false: it is only told
	tell  func(Quiet)
	stop  context.CancelCauseFunc
	clock func() time.Time // awake time

	mu      sync.Mutex
	last    string        // that restic said
	heard   bool          // something since the last window
	quiet   time.Duration // so far
	locked  time.Duration // for which restic may still wait for a lock without a word
	waiting bool          // for a lock that was seen
	looked  time.Time
	before  process.Usage
	windows []bool // with some activity, the latest last
	blind   bool   // the system does not tell what restic does
	trouble *Trouble
}

// watch makes the silence of one run.
func (b Binary) watch(op operation, args []string, t Timing, stop context.CancelCauseFunc) *silence {
	_, making := op.(initialisation)
	return &silence{
		limit: t.Silence, ends: !b.Silence.Bear && !making, tell: b.Silence.Tell, stop: stop, clock: time.Now, looked: time.Now(),
		locked: lockWait(args),
	}
}

// lockWait is how long a command line lets restic wait for a lock.
func lockWait(args []string) time.Duration {
	if i := slices.Index(args, "--retry-lock"); i >= 0 && i+1 < len(args) {
		d, _ := time.ParseDuration(args[i+1]) // ours
		return d
	}
	return 0
}

// window is how long restic is looked at as a whole.
func (s *silence) window() time.Duration { return s.limit / windows }

// said notes that restic said something, or made progress: in words, unless they are
// nobody's business. While it waits for a lock, that is all it may say.
func (s *silence) said(text string) {
	if s == nil || strings.Contains(text, "already locked, waiting") {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard, s.locked = true, 0
	if text != "" {
		s.last = cut(text, 200)
	}
}

// repeated notes what restic repeats, nil if nothing, and its line of that. It is no sign
// of life: who asks again and again sends and reads a little all the time.
func (s *silence) repeated(t *Trouble, line string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble = t; line != "" {
		s.last = cut(line, 200)
	}
}

// waits notes whether restic waits for a lock that was seen.
func (s *silence) waits(does bool) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = does
}

// locks notes that restic has its lock: it waits for none any more.
func (s *silence) locks(has bool) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if has {
		s.waiting, s.locked = false, 0
	}
}

// used takes what restic has done since it was started, once in a window.
func (s *silence) used(u process.Usage) {
	s.mu.Lock()
	now := s.clock()
	// A machine that slept, and an agent that was stopped, do not count: no window is
	// longer than two.
	window := s.window()
	passed := window
	if !s.looked.IsZero() {
		passed = max(0, min(now.Sub(s.looked), 2*window))
	}
	done := u.Sub(s.before)
	s.looked, s.before = now, u
	s.blind = s.blind || !u.Known
	trouble := s.trouble
	steady, much := s.works(done, passed)
	works := s.heard || much || trouble == nil && (s.blind || steady)
	s.heard = false
	switch {
	case works:
		s.quiet, s.locked = 0, 0
	case s.waiting: // whoever has the lock decides how long that takes
		s.quiet = 0
	case s.locked > 0:
		s.locked -= passed
	default:
		s.quiet += passed
	}
	q := Quiet{For: s.quiet, Last: s.last}
	if s.ends {
		q.Limit = s.limit
	}
	s.mu.Unlock()
	if s.tell != nil {
		s.tell(q)
	}
	if s.ends && q.For >= s.limit {
		s.stop(&stalled{q, trouble})
	}
}

// works judges one window: whether a little was done steadily, or much at once.
func (s *silence) works(done process.Usage, passed time.Duration) (steady, much bool) {
	share := float64(passed) / float64(time.Minute)
	bytes := float64(done.Read + done.Written)
	some := done.CPU > 0 && float64(done.CPU) >= share*float64(someCPU) || bytes > 0 && bytes >= share*someBytes ||
		done.Read > 0 && float64(min(done.Reads, 2*done.Read)) >= share*someCalls
	s.windows = append(s.windows, some)
	if len(s.windows) > recent {
		s.windows = s.windows[1:]
	}
	active := 0
	for _, w := range s.windows {
		if w {
			active++
		}
	}
	return active >= recent/2, done.CPU > 0 && float64(done.CPU) >= share*float64(muchCPU) || bytes > 0 && bytes >= share*muchBytes
}
