package alerts

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/life"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// Run keeps alerts true until ctx ends: it looks when something changed, when time alone
// may have changed something, and every now and then.
func (s *Service) Run(ctx context.Context) error {
	timing := s.timing()
	failing := false
	s.last.Store(&turn{at: time.Now()})
	for ctx.Err() == nil {
		began := time.Now()
		err := s.Sweep(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			s.Log.Error("looking for what somebody should be told of failed", "err", err)
		case err == nil && failing:
			s.Log.Info("looking for what somebody should be told of works again")
		}
		if failing = err != nil; !failing {
			now := time.Now()
			s.turned.Store(&now)
			s.last.Store(&turn{at: now})
		} else if ctx.Err() == nil {
			s.last.Store(&turn{at: s.last.Load().at, err: err})
		}
		gap := min(max(timing.Gap, 20*time.Since(began)), timing.Every) // it shall not take more than a twentieth of a processor
		if !s.wait(ctx, gap, timing.Every) {
			return nil
		}
	}
	return nil
}

// Turned is when Run last looked at everything and could, the zero time if it has not yet.
func (s *Service) Turned() time.Time {
	if t := s.turned.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// wait returns when the next sweep is due, false when ctx has ended.
func (s *Service) wait(ctx context.Context, gap, every time.Duration) bool {
	s.sweeping.Lock()
	next := s.next
	s.sweeping.Unlock()
	until := every
	if !next.IsZero() {
		until = min(until, next.Sub(s.Now()))
	}
	short, long := time.NewTimer(gap), time.NewTimer(max(gap, until))
	defer short.Stop()
	defer long.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-short.C:
	}
	select {
	case <-ctx.Done():
		return false
	case <-long.C:
	case <-s.bell():
	}
	return true
}

func (s *Service) timing() Timing {
	if s.Timing == (Timing{}) {
		return DefaultTiming()
	}
	return s.Timing
}

// Sweep looks at all facts once and puts right what alerts say. If that is right already,
// nothing is written. What is written follows from facts that are read while nobody else
// writes, so that a job that ends meanwhile is neither overlooked nor undone.
func (s *Service) Sweep(ctx context.Context) error {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	if s.Facts == nil {
		return nil
	}
	var out life.Outcome
	var now time.Time
	look := func(q reader) error {
		facts, err := s.Facts(ctx)
		if err != nil {
			return fmt.Errorf("read what alerts are judged by: %w", err)
		}
		now = s.Now()
		limits, err := s.limitsIn(ctx, q)
		if err != nil {
			return err
		}
		book, err := bookOf(ctx, q, now)
		if err != nil {
			return err
		}
		holds, next := s.judge(facts, limits, now)
		out = book.Step(life.Look{Holds: holds, Unsure: s.Unsure, Gone: goneOf(facts, limits), Now: now.UnixMilli(),
			NewID: func() string { return topics.NewID(now) }})
		s.next = next
		if at := time.UnixMilli(out.Next); out.Next > 0 && (next.IsZero() || at.Before(next)) {
			s.next = at
		}
		return nil
	}
	rows := s.rows()
	err := look(rows.R)
	if err == nil && len(out.Rows) > 0 {
		err = rows.Tx(ctx, func(tx alerts.Tx) error {
			if err := look(tx); err != nil {
				return err
			}
			s.stamp(out.Rows)
			if err := alerts.Put(ctx, tx, out.Rows); err != nil {
				return err
			}
			return s.note(ctx, tx, out.Changes)
		})
	}
	if err != nil {
		return err
	}
	s.found(out.Seen, now.UnixMilli())
	return s.announce(ctx)
}

// announce tells that alerts changed, if they did since it was told last.
func (s *Service) announce(ctx context.Context) error {
	mark, err := s.rows().Mark(ctx)
	if err != nil {
		return err
	}
	if mark != s.told {
		s.told = mark
		s.changed()
	}
	return nil
}

// stamp has rows say when their condition was last found to hold.
func (s *Service) stamp(rows []*alerts.Alert) {
	for _, a := range rows {
		*a = s.sighted(*a)
	}
}

// found notes that the conditions of alerts held.
func (s *Service) found(ids []string, at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := make(map[string]int64, len(ids))
	for _, id := range ids {
		seen[id] = at
	}
	live := slices.Clone(s.live) // the list is in other hands, too
	for i := range live {
		a := &live[i]
		if was := s.seen[a.ID]; was > seen[a.ID] { // it is quiet for now, or nobody can say
			seen[a.ID] = was
		}
		a.SeenAt = max(a.SeenAt, seen[a.ID])
	}
	s.seen, s.live = seen, live
}

func (s *Service) judge(f conditions.Facts, l conditions.Limits, now time.Time) ([]conditions.Finding, time.Time) {
	if s.Judge != nil {
		return s.Judge(f, l, now)
	}
	return conditions.Judge(f, l, now)
}

// JobEnded judges what the end of a job decides, in the transaction that writes it. If
// that fails for another reason than the database or the moment, the end is written all
// the same, and the next sweep has to find out.
func (s *Service) JobEnded(slots store.Slots, job store.Job) error {
	if s.Ended == nil {
		return nil
	}
	ctx, tx := slots.Alerts()
	if _, err := tx.ExecContext(ctx, `SAVEPOINT alerts`); err != nil {
		return err
	}
	err := s.jobEnded(ctx, tx, slots, job)
	if err != nil && store.Hopeless(err) {
		s.Log.Error("judging what the end of a job means for alerts failed", "job", job.ID, "host", job.Host, "err", err)
		_, err = tx.ExecContext(ctx, `ROLLBACK TO alerts`)
	}
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `RELEASE alerts`)
	return err
}

func (s *Service) jobEnded(ctx context.Context, tx alerts.Tx, slots store.Slots, job store.Job) error {
	facts, err := s.Ended(slots, job)
	if err != nil {
		return fmt.Errorf("read what the end of a job decides: %w", err)
	}
	limits, err := s.limitsIn(ctx, tx)
	if err != nil {
		return err
	}
	now := s.Now()
	ofJob := s.OfJob
	if ofJob == nil {
		ofJob = conditions.OfJob
	}
	holds, judged := ofJob(facts, limits, now)
	if len(judged) == 0 {
		return nil
	}
	book, err := bookAbout(ctx, tx, holds, judged)
	if err != nil {
		return err
	}
	out := book.Step(life.Look{Holds: holds, Judged: judged, Wait: ofOthers[job.Cause], Unsure: s.Unsure, Now: now.UnixMilli(),
		NewID: func() string { return topics.NewID(now) }})
	if err := alerts.Put(ctx, tx, out.Rows); err != nil {
		return err
	}
	return s.note(ctx, tx, out.Changes)
}

// ofOthers are the causes of a job's end that are about its repository or its whole host:
// the next sweep, which looks at these too, may say it once for all jobs that they stop.
var ofOthers = map[topics.Cause]bool{topics.CauseLocked: true, topics.CausePassword: true, topics.CauseNoRepository: true,
	topics.CauseUnmade: true, topics.CauseNotMounted: true, topics.CauseUnreachable: true, topics.CauseStalled: true,
	topics.CauseCertificate: true, topics.CauseHostKeyOther: true, topics.CauseKeyRefused: true,
	topics.CauseCredentials: true, topics.CausePermission: true, topics.CauseDiskFull: true, topics.CauseHostDisk: true,
	topics.CauseDamaged: true, topics.CauseSecrets: true, topics.CauseTwins: true}

// A reader is the database, or a transaction.
type reader = alerts.Reader

// bookOf reads all that matters for what comes next.
func bookOf(ctx context.Context, q reader, now time.Time) (*life.Book, error) {
	live, err := alerts.Live(ctx, q)
	if err != nil {
		return nil, err
	}
	late, err := alerts.Late(ctx, q, now.Add(-life.Late).UnixMilli())
	if err != nil {
		return nil, err
	}
	return life.NewBook(live, late), nil
}

// bookAbout reads what matters for some keys and what is found of them.
func bookAbout(ctx context.Context, q reader, holds []conditions.Finding, judged []alerts.Key) (*life.Book, error) {
	keys := map[alerts.Key]bool{}
	for _, k := range judged {
		keys[k] = true
	}
	for _, f := range holds {
		for _, k := range life.Explaining(f) {
			keys[k] = true
		}
	}
	var live, late []alerts.Alert
	for k := range keys {
		a, found, err := alerts.LiveOf(ctx, q, k)
		if err != nil {
			return nil, err
		}
		if found {
			live = append(live, a)
		}
		if a, found, err = alerts.LateOf(ctx, q, k); err != nil {
			return nil, err
		}
		if found {
			late = append(late, a)
		}
	}
	return life.NewBook(live, late), nil
}

// switchedOff says so if nobody is to be told of what an alert says any more.
func switchedOff(a alerts.Alert, l conditions.Limits, tags map[topics.HostID][]string) string {
	c, _ := conditions.Of(conditions.Name(a.Condition))
	host := a.Host
	if !c.OfHost() {
		host = ""
	}
	if _, off, from := l.Of(c, host, tags[host]); off {
		return "Nobody is to be told of it any more: it was switched off for " + from + "."
	}
	return ""
}

const revoked = "The host was revoked."

// heard are conditions of which nothing is heard once a host is revoked.
var heard = map[conditions.Name]bool{conditions.HostOffline: true, conditions.HostDisk: true, conditions.CertificateEnding: true,
	conditions.AgentTooOld: true, conditions.ClockOff: true, conditions.Twins: true, conditions.MessagesRefused: true}

// goneOf returns what says why the subject of an alert is no more.
func goneOf(f conditions.Facts, l conditions.Limits) func(alerts.Alert) string {
	type subject struct {
		on alerts.On
		id string
	}
	there, tags := map[subject]bool{}, map[topics.HostID][]string{}
	why := map[subject]string{}
	for _, h := range f.Hosts {
		switch {
		case h.Retired:
			why[subject{alerts.OnHost, string(h.ID)}] = "The host was retired."
			for _, g := range h.Groups {
				why[subject{alerts.OnGroup, string(g.ID)}] = "The host was retired."
			}
		case h.Revoked:
			why[subject{alerts.OnHost, string(h.ID)}] = revoked
		}
		there[subject{alerts.OnHost, string(h.ID)}], tags[h.ID] = true, h.Tags
		for _, g := range h.Groups {
			there[subject{alerts.OnGroup, string(g.ID)}] = true
		}
	}
	for _, r := range f.Repositories {
		there[subject{alerts.OnRepository, string(r.ID)}] = true
	}
	for _, c := range f.Channels {
		there[subject{alerts.OnChannel, c.ID}] = true
	}
	removed := map[alerts.On]string{alerts.OnHost: "The host was removed.", alerts.OnGroup: "The source group was removed.",
		alerts.OnRepository: "The repository was removed.", alerts.OnChannel: "The channel was removed or switched off."}
	return func(a alerts.Alert) string {
		if about := (subject{a.On, a.Subject}); there[about] {
			if !heard[conditions.Name(a.Condition)] && why[about] == revoked {
				return ""
			}
			if why[about] == "" {
				return switchedOff(a, l, tags)
			}
			return why[about]
		}
		return removed[a.On]
	}
}
