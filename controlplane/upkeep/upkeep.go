// Package upkeep looks after the database's file while the control plane runs: it
// writes the mark by which a database that lost its end is noticed, and looks for
// damage. What it finds is a notice on every page, and in the audit log.
package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/mark"
)

// Timing is how often the database is looked after.
type Timing struct {
	Mark  time.Duration // between two looks whether a new mark is due: what a lost end may take along unseen
	Again time.Duration // after which an unchanged mark is written again: somebody may have removed it
	Check time.Duration // between two looks at the whole database
	Calm  time.Duration // after a start, before the first of those
	// First is how long a start waits for a look at the pages. A larger database (about
	// 1 GiB takes 2 s from memory, much longer from a slow disk) is looked at while it is
	// served.
	First time.Duration
}

// DefaultTiming is what runs unless a test says otherwise.
func DefaultTiming() Timing {
	return Timing{Mark: 10 * time.Second, Again: time.Hour, Check: 24 * time.Hour, Calm: 10 * time.Minute, First: 2 * time.Second}
}

// A Keeper looks after one database. Start it before anything else uses the database.
type Keeper struct {
	Store    *store.Store
	Log      *slog.Logger
	Timing   Timing
	Version  string // of the program
	Accepted bool   // a lost end was to be accepted

	unseen bool // the pages were not looked at wholly when it started

	last   mark.Mark // that was written; of the goroutine that starts, runs and ends it
	lastAt time.Time

	mu      sync.Mutex
	found   string // damage, "" if there is none that we know of
	unnoted error  // why the mark could not be written
}

// checked is the action of the audit entries about looks at the whole database.
const checked = "database.checked"

// Start notes the version that serves the database, looks at its pages for as long as
// Timing.First, and writes the mark. The error is damage, which it must not run on.
func (k *Keeper) Start(ctx context.Context) error {
	if err := k.Store.Served(ctx, k.Version); err != nil { // on a full disk people can look all the same
		k.Log.Warn("note which version serves the database", "err", err)
	}
	short, cancel := context.WithTimeout(ctx, k.Timing.First)
	defer cancel()
	switch found, err := k.Store.Check(short, false); {
	case short.Err() != nil && ctx.Err() == nil:
		k.unseen = true
	case err != nil:
		return fmt.Errorf("look at the database's pages: %w", err)
	case len(found) > 0:
		return k.Store.Damage(found)
	}
	k.mark(ctx)
	return nil
}

// Run writes the mark and looks at the whole database when it is time, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	marks := time.NewTicker(k.Timing.Mark)
	defer marks.Stop()
	checks := make(chan struct{})
	go func() { // it may take minutes; the mark does not wait for it
		defer close(checks)
		k.checks(ctx)
	}()
	for {
		select {
		case <-ctx.Done():
			<-checks
			return nil
		case <-marks.C:
			k.mark(ctx)
		}
	}
}

// End writes the last mark, after everything else has ended.
func (k *Keeper) End(ctx context.Context) { k.mark(ctx) }

func (k *Keeper) mark(ctx context.Context) {
	if m, err := k.Store.Mark(ctx); err == nil && same(m, k.last) && time.Since(k.lastAt) < k.Timing.Again {
		return
	}
	m, err := k.Store.WriteMark(ctx)
	if err == nil {
		k.last, k.lastAt = m, time.Now()
	}
	if err != nil && ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	was := k.unnoted
	k.unnoted = err
	k.mu.Unlock()
	if err != nil && was == nil {
		k.Log.Warn("the mark of the database cannot be written: one that lost its end would start as if nothing had happened; make it "+
			"writable, or give another file with --mark", "file", k.Store.MarkFile(), "err", err)
	}
}

// same reports whether two marks say the same of the database, whenever they were made.
func same(a, b mark.Mark) bool {
	return a.Database == b.Database && a.Audit.String() == b.Audit.String() && a.Schema == b.Schema && a.Epoch == b.Epoch && a.Users == b.Users
}

// checks looks at the whole database once in Timing.Check, also across restarts.
func (k *Keeper) checks(ctx context.Context) {
	wait := k.Timing.Calm
	if k.unseen {
		wait = 0
	} else if last, err := k.Store.AuditEntries(ctx, store.AuditFilter{Action: checked}, 1); err == nil && len(last) > 0 {
		wait = max(wait, k.Timing.Check-time.Duration(k.Store.Now()-last[0].At)*time.Millisecond)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		k.check(ctx)
		wait = k.Timing.Check
	}
}

func (k *Keeper) check(ctx context.Context) {
	began := time.Now()
	found, err := k.Store.Check(ctx, true)
	if ctx.Err() != nil {
		return
	}
	took := time.Since(began).Round(time.Millisecond)
	said, detail := "", fmt.Sprintf("sound; it took %v", took)
	switch {
	case errors.Is(err, store.ErrUnusable):
		said, detail = err.Error(), "it cannot be read: "+err.Error()
	case err != nil:
		k.Log.Error("look at the whole database", "err", err)
		return
	case len(found) > 0:
		said, detail = k.Store.Damage(found).Error(), "damaged: "+strings.Join(found, "; ")
	}
	k.mu.Lock()
	k.found = said
	k.mu.Unlock()
	if said != "" {
		k.Log.Error("the database is damaged", "err", said)
	} else {
		k.Log.Info("the whole database was looked at, and is sound", "took", took)
	}
	if err := k.Store.Audit(ctx, "plane", checked, "", detail); err != nil && ctx.Err() == nil {
		k.Log.Error("note that the database was looked at", "err", err)
	}
}

// Notices is what people should know of the database.
func (k *Keeper) Notices(context.Context) (list []notices.Notice) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.found != "" {
		list = append(list, notices.Notice{ID: "database-damaged", Severity: notices.Failure,
			Say:    "The control plane's database is damaged. Backups on the hosts go on by their schedules; what is shown here may be wrong.",
			Remedy: k.found})
	}
	if k.unnoted != nil {
		list = append(list, notices.Notice{ID: "mark-unwritable", Severity: notices.Warning,
			Say: fmt.Sprintf("How far the database has come cannot be noted in %s (%v). If the end of the database were lost, or an older copy put "+
				"in its place, the control plane would start as if nothing had happened.", k.Store.MarkFile(), k.unnoted),
			Remedy: "Make that directory writable for the user that the control plane runs as, or start it with --mark FILE."})
	}
	if k.Accepted {
		list = append(list, notices.Notice{ID: "rollback-accepted", Severity: notices.Warning,
			Say: "The control plane was started with --accept-rollback: if the end of its database is missing, it starts all the same, and what " +
				"people decided since then is forgotten, such as hosts that were revoked.",
			Remedy: "Look through hosts, users and tokens, then start it without --accept-rollback."})
	}
	return list
}
