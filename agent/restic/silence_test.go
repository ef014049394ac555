package restic

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
)

// A minute is what restic did in one, as it was measured.
type minute = process.Usage

var (
	idle    = minute{CPU: 10 * time.Millisecond, Read: 3, Written: 3, Reads: 3, Known: true}
	ticking = minute{CPU: 40 * time.Millisecond, Read: 21, Written: 21, Reads: 21, Known: true} // a status line a second
	refresh = minute{CPU: 30 * time.Millisecond, Read: 2000, Written: 3000, Reads: 60, Known: true}
	trickle = minute{Read: 61, Written: 1, Reads: 121, Known: true} // a byte a second
	limited = minute{CPU: 10 * time.Millisecond, Read: 65_000, Written: 65_000, Reads: 14, Known: true}
	busy    = minute{CPU: 27 * time.Second, Known: true}
	asking  = minute{CPU: 10 * time.Millisecond, Read: 48, Written: 84, Reads: 5, Known: true}      // ssh, whether its server lives
	request = minute{CPU: 30 * time.Millisecond, Read: 5200, Written: 1100, Reads: 40, Known: true} // a handshake and an answer
	unknown = minute{CPU: 10 * time.Millisecond}
)

// play runs a silence through minutes, round and round, and returns after how many it
// ended the run, 0 for not within three hours.
func play(s *silence, minutes ...minute) int {
	at, ended := time.Unix(1_000_000, 0), 0
	s.clock, s.looked = func() time.Time { return at }, at
	s.stop = func(error) { ended++ }
	var sum process.Usage
	sum.Known = true
	for n := range 180 {
		m := minutes[n%len(minutes)]
		sum = process.Usage{CPU: sum.CPU + m.CPU, Read: sum.Read + m.Read, Written: sum.Written + m.Written, Reads: sum.Reads + m.Reads,
			Known: sum.Known && m.Known}
		at = at.Add(time.Minute)
		s.used(sum)
		if ended > 0 {
			return n + 1
		}
	}
	return 0
}

func TestWhatDoesNothingIsToldFromWhatIsSlow(t *testing.T) {
	for _, c := range []struct {
		what    string
		s       *silence
		minutes []minute
		want    int // minutes until it is ended; 0 is never
	}{
		{"nothing", &silence{ends: true}, []minute{idle}, 30},
		{"nothing, with a status line a second", &silence{ends: true}, []minute{ticking}, 30},
		{"nothing but a refreshed lock every five minutes", &silence{ends: true}, []minute{refresh, ticking, ticking, ticking, ticking}, 30},
		{"nothing but ssh asking whether its server lives", &silence{ends: true}, []minute{asking}, 30},
		{"a byte a second", &silence{ends: true}, []minute{trickle}, 0},
		{"one kibibyte a second, as asked for", &silence{ends: true}, []minute{limited}, 0},
		{"processor time alone", &silence{ends: true}, []minute{busy}, 0},
		{"much once in 29 minutes", &silence{ends: true}, append(slicesOf(28, idle), busy), 0},
		{"much once in 31 minutes", &silence{ends: true}, append(slicesOf(30, idle), busy), 30},
		{"half of the time a little", &silence{ends: true}, []minute{trickle, idle}, 0},
		{"nothing, of what is never ended", &silence{}, []minute{idle}, 0},
		{"nothing, where a lock may be waited for for ten minutes", &silence{ends: true, locked: 10 * time.Minute}, []minute{idle}, 40},
		{"what the system does not tell of", &silence{ends: true}, []minute{unknown}, 0},
		{"a request a minute that is answered", &silence{ends: true}, []minute{request}, 0},
		{"a request a minute that is refused", &silence{ends: true, trouble: &Trouble{}}, []minute{request}, 30},
		{"one that is refused, and others that upload", &silence{ends: true, trouble: &Trouble{}}, []minute{limited}, 0},
		{"what the system does not tell of, and is refused", &silence{ends: true, trouble: &Trouble{}}, []minute{unknown}, 30},
	} {
		t.Run(c.what, func(t *testing.T) {
			c.s.limit = 30 * time.Minute
			if got := play(c.s, c.minutes...); got != c.want {
				t.Errorf("ended after %d minutes, want %d", got, c.want)
			}
		})
	}
}

func slicesOf(n int, m minute) (out []minute) {
	for range n {
		out = append(out, m)
	}
	return out
}

// TestWhatResticSaysEndsASilence: a line and progress do; the same status with another
// second does not, and the word that it waits for a lock is no sign of work.
func TestWhatResticSaysEndsASilence(t *testing.T) {
	for _, c := range []struct {
		what, line string
		stderr     bool
		silent     bool
	}{
		{"a line", "repository 1234 opened", false, false},
		{"a warning", "unable to open cache: no space left on device", true, false},
		{"it tries again", "Load(<data/1>, 0, 0) returned error, retrying after 5s: EOF", true, true},
		{"the same status later", `{"message_type":"status","seconds_elapsed":9,"seconds_remaining":70,"files_done":3,"total_files":9}`,
			false, true},
		{"a file more", `{"message_type":"status","seconds_elapsed":9,"files_done":4,"total_files":9}`, false, false},
		{"another file", `{"message_type":"status","seconds_elapsed":9,"files_done":3,"total_files":9,"current_files":["/a"]}`, false, false},
		{"the same packs later", "[0:09] 12.50%  1 / 8 packs", false, true},
		{"a pack more", "[0:09] 25.00%  2 / 8 packs", false, false},
		{"it waits for a lock", "repo already locked, waiting up to 10m0s for the lock", false, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			o := newOutput(&check{}, newRedactor(nil), mute{}, DefaultTiming)
			o.silence = &silence{limit: 30 * time.Minute, ends: true, stop: func(error) {}, clock: time.Now, looked: time.Now()}
			for _, before := range []string{`{"message_type":"status","seconds_elapsed":8,"seconds_remaining":71,"files_done":3,"total_files":9}`,
				"[0:08] 12.50%  1 / 8 packs"} {
				if (before[0] == '{') == (c.line[0] == '{') {
					o.read([]byte(before), 0, false)
				}
			}
			o.silence.heard = false
			o.read([]byte(c.line), 0, c.stderr)
			if o.silence.heard == c.silent {
				t.Errorf("heard %t", o.silence.heard)
			}
		})
	}
}

// TestAMachineThatSleptCountsNoSilence: only windows in which it was awake do.
func TestAMachineThatSleptCountsNoSilence(t *testing.T) {
	at, ended := time.Unix(1_000_000, 0), error(nil)
	var last Quiet
	s := &silence{limit: 30 * time.Minute, ends: true, clock: func() time.Time { return at }, looked: at,
		stop: func(err error) { ended = cmp.Or(ended, err) }, tell: func(q Quiet) { last = q }}
	s.said("3 of 9 files")
	for _, passed := range []time.Duration{time.Minute, time.Minute, 9 * time.Hour, time.Minute, -time.Hour, time.Minute} {
		at = at.Add(passed)
		s.used(process.Usage{Known: true})
	}
	if ended != nil || last.For > 6*time.Minute || last.For < 2*time.Minute {
		t.Fatalf("after five minutes awake it is silent for %v, ended %v", last.For, ended)
	}
	for range 30 {
		at = at.Add(time.Minute)
		s.used(process.Usage{Known: true})
	}
	var silent *stalled
	if !errors.As(ended, &silent) || !strings.Contains(ended.Error(), "30 min") || !strings.HasSuffix(ended.Error(), ": 3 of 9 files") {
		t.Errorf("ended with %v", ended)
	}
}

func TestHowLongALockMayBeWaitedForIsReadFromTheCommandLine(t *testing.T) {
	for _, c := range []struct {
		version Version
		op      operation
		want    time.Duration
	}{
		{Version{Minor: 14}, &check{Check: Check{RetryLock: 10 * time.Minute}}, 0},
		{Version{Minor: 18}, &check{Check: Check{RetryLock: 10 * time.Minute}}, 10 * time.Minute},
		{Version{Minor: 18}, &config{}, 0},
	} {
		args, err := c.op.args(c.version, t.TempDir())
		if got := lockWait(args); err != nil || got != c.want {
			t.Errorf("%s, %v: %v, %v", c.version, args, got, err)
		}
		b := Binary{Version: c.version}
		if s := b.watch(c.op, args, DefaultTiming, func(error) {}); s.locked != c.want || !s.ends || s.window() != time.Minute {
			t.Errorf("%s: %+v", c.version, s)
		}
	}
	if s := (Binary{}).watch(initialisation{}, nil, DefaultTiming, context.CancelCauseFunc(func(error) {})); s.ends {
		t.Error("making a repository is ended for its silence")
	}
}
