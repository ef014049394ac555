// Package space watches how much room is left on the disk of the control plane's
// database, and says what it does no longer when it is short of it, before nothing
// works any more.
//
// A reserve, a file of random bytes beside the database, is given up when the disk is
// all but full: with its place people still sign in, cancel jobs and remove things. It
// is made again when there is room.
package space

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/store/room"
	"github.com/restic-manager/restic-manager/words"
)

// A Level says how short of room the control plane is.
type Level string

// Levels, the best first.
const (
	Well   Level = ""       // there is room
	Low    Level = "low"    // new jobs are held
	Scarce Level = "scarce" // and neither logs nor reports are taken from agents, who keep them
	None   Level = "none"   // the database cannot be written
)

// Limits say when the control plane is short of room. What the reserve takes counts as
// room that is not there.
type Limits struct {
	// Low is the level below which new jobs are held: so many bytes, or so many percent of
	// the disk unless LowMost bytes are free. A job leaves up to 64 MiB of logs and
	// reports, and the log of the database grows to some 16 MiB beside it.
	Low        uint64
	LowPercent float64
	LowMost    uint64
	// Scarce is the level below which logs and reports are not taken.
	Scarce uint64
	// Reserve is how large the reserve is; 0 keeps none, and watches nothing.
	Reserve uint64
	// Every is how often the disk is looked at.
	Every time.Duration
}

// DefaultLimits is what runs unless somebody says otherwise.
func DefaultLimits() Limits {
	return Limits{Low: 256 << 20, LowPercent: 2, LowMost: 1 << 30, Scarce: 64 << 20, Reserve: 64 << 20, Every: 5 * time.Second}
}

// LowOf is how many bytes of a disk are too few for new jobs.
func (l Limits) LowOf(total uint64) uint64 {
	return max(l.Low, min(uint64(float64(total)*l.LowPercent/100), l.LowMost))
}

// Config is what a watch needs.
type Config struct {
	Dir    string // of the database
	Limits Limits
	Log    *slog.Logger
	Try    func(context.Context) error // writes to the database, see [room.Why]
	// Relieve is called when the reserve was given up: it removes what is kept no longer.
	Relieve func(context.Context)
	// Changed is called when the level is another. It must not wait.
	Changed func()
	Now     func() time.Time
}

// A Status is how it is.
type Status struct {
	Level Level
	Cause room.Cause // why the database cannot be written, "" if it can
	Free  uint64     // bytes, without those of the reserve
	Total uint64     // bytes of the disk; 0 if nobody can say
	Since time.Time  // of the level
}

// A Watch looks at the disk. Its methods but Run may be called from any goroutine, and
// answer at once. Nil is a disk with room.
type Watch struct {
	Config
	mu  sync.Mutex
	now Status
}

// New returns a watch; it has looked once.
func New(ctx context.Context, c Config) *Watch {
	w := &Watch{Config: c}
	if c.Limits.Reserve == 0 {
		return w
	}
	w.look(ctx)
	return w
}

// Run looks again and again until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	if w.Limits.Reserve == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(w.Limits.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.look(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// Status says how it was at the last look.
func (w *Watch) Status() Status {
	if w == nil {
		return Status{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Holds reports whether new jobs are held.
func (w *Watch) Holds() bool { return w.Status().Level != Well }

// Refuses reports whether logs and reports are not taken.
func (w *Watch) Refuses() bool { l := w.Status().Level; return l == Scarce || l == None }

// Spare is how many bytes have to stay free for new jobs not to be held; 0 if nothing is
// watched.
func (w *Watch) Spare() uint64 {
	s := w.Status()
	if s.Total == 0 {
		return 0
	}
	low := w.Limits.LowOf(s.Total)
	return low + low/4
}

// ReserveName is the reserve's, beside the database.
const ReserveName = "reserve"

func (w *Watch) reserve() string { return filepath.Join(w.Dir, ReserveName) }

// last is how little room may be left before the reserve is given up: some
// transactions, so that what is being written is written.
const last = 8 << 20

// look measures, gives the reserve up or makes it again, and says what became of it.
func (w *Watch) look(ctx context.Context) {
	free, total, err := Measure(w.Dir)
	if err != nil {
		if ctx.Err() == nil {
			w.Log.Error("measuring the free space of the data directory failed", "err", err)
		}
		return
	}
	size := min(w.Limits.Reserve, total/16) // a small disk has a small reserve
	info, err := os.Lstat(w.reserve())
	there := err == nil && info.Mode().IsRegular() && uint64(info.Size()) == size
	if err == nil && !there { // half of one, or of another size
		err = os.Remove(w.reserve())
		if free, _, _ = Measure(w.Dir); err != nil {
			w.Log.Error("removing an unfinished reserve failed", "err", err)
		}
	}
	was := w.Status()
	cause := room.Cause("")
	if was.Level != Well || free < w.Limits.LowOf(total) { // nothing is written for nothing
		cause = room.Why(w.Try(ctx))
	}
	if cause == room.Locked {
		cause = "" // busy, and no matter of room
	}
	switch {
	case there && (free < last || cause == room.Full):
		if err := os.Remove(w.reserve()); err != nil {
			w.Log.Error("giving up the reserve failed", "err", err)
			break
		}
		there = false
		w.Log.Warn("the disk is full: the reserve was given up", "reserve", w.reserve(), "free", free)
		if w.Relieve != nil {
			w.Relieve(ctx)
		}
		cause = room.Why(w.Try(ctx))
		if free, total, err = Measure(w.Dir); err != nil {
			return
		}
	case !there && cause == "" && free >= size+w.Limits.Scarce+w.Limits.Scarce/4:
		if err := makeReserve(w.reserve(), int64(size)); err != nil {
			w.Log.Warn("making the reserve failed", "reserve", w.reserve(), "err", err)
			break
		}
		there = true
		free -= min(free, size)
	}
	if !there {
		free -= min(free, size)
	}
	w.set(Status{Level: w.level(was.Level, cause, free, total), Cause: cause, Free: free, Total: total})
}

// level is how short of room it is. One that is left has to be left by a quarter more,
// so that nothing begins and is held again and again.
func (w *Watch) level(was Level, cause room.Cause, free, total uint64) Level {
	more := func(mark uint64, at ...Level) uint64 {
		for _, l := range at {
			if was == l {
				return mark + mark/4
			}
		}
		return mark
	}
	switch {
	case cause != "" && cause != room.Locked:
		return None
	case free < more(w.Limits.Scarce, Scarce, None):
		return Scarce
	case free < more(w.Limits.LowOf(total), Low, Scarce, None):
		return Low
	}
	return Well
}

func (w *Watch) set(s Status) {
	w.mu.Lock()
	was := w.now
	s.Since = was.Since
	if s.Level != was.Level || was.Since.IsZero() {
		s.Since = w.Now()
	}
	w.now = s
	w.mu.Unlock()
	if s.Level == was.Level {
		return
	}
	if s.Level == Well {
		w.Log.Info("there is room on the disk of the data directory again", "free", s.Free)
	} else {
		w.Log.Warn("the disk of the data directory is short of space", "level", s.Level, "free", s.Free, "cause", s.Cause)
	}
	if w.Changed != nil {
		w.Changed()
	}
}

// makeReserve writes a file of random bytes: what can be compressed keeps no place.
func makeReserve(path string, size int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if allocate(f, size) == nil {
		return nil
	}
	block := make([]byte, 1<<20)
	for done := int64(0); done < size; {
		_, _ = rand.Read(block) // never fails
		n, err := f.Write(block[:min(int64(len(block)), size-done)])
		if err != nil {
			return fmt.Errorf("write it: %w", err)
		}
		done += int64(n)
	}
	return nil
}

// Notices is a [notices.Source].
func (w *Watch) Notices(context.Context) []notices.Notice {
	s := w.Status()
	n := notices.Notice{ID: "low-space", Everybody: true, Link: notices.Link{Text: "Settings", URL: "/settings"}}
	left := words.Bytes(s.Free) + " left on the control plane's disk"
	const goes = "Make room on the disk of the data directory; it goes on by itself then."
	switch {
	case s.Level == Low:
		n.Severity, n.Say = notices.Warning, left+": new jobs are held. What agents begin by themselves goes on."
	case s.Level == Scarce:
		n.Severity, n.Say = notices.Failure, left+": new jobs are held, and agents keep what their backups say until there is room. "+
			"Nothing of it is lost."
	case s.Level == None && s.Cause == room.Full:
		n.Severity, n.Say = notices.Failure, "The disk of the control plane is full: nothing can be saved, and new jobs are held. "+
			"Backups that agents begin go on, and agents keep what they say."
	case s.Level == None:
		n.Severity, n.Say = notices.Failure, "The control plane's database cannot be written ("+string(s.Cause)+"): nothing can be saved, and "+
			"new jobs are held. Backups that agents begin go on, and agents keep what they say."
		n.Remedy = "Look into the kernel's log, and at the disk of the data directory."
		return []notices.Notice{n}
	default:
		return nil
	}
	n.Remedy = goes
	return []notices.Notice{n}
}
