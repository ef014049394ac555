package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/restic-manager/restic-manager/agent/link"
	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/agent/spool"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// A solitary agent has no control plane, a real journal, and a clock on the wall
// that the test sets. It lives in a bubble of fake time.
type solitary struct {
	t       *testing.T
	dir     string
	ahead   atomic.Int64  // nanoseconds, of the wall's clock over the bubble's
	takes   time.Duration // how long a job runs
	runs    []string      // "schedule/group slot at moment", by the wall
	problem string
	paused  topics.Config                 // as far as it is about pauses
	apart   bool                          // photos go to a repository of their own
	hangs   map[topics.SourceGroupID]bool // whose jobs never end
	runner  *runner
	stop    func()
}

const stamp = "2006-01-02 15:04:05"

// alone starts an agent at a moment of the wall's clock.
func alone(t *testing.T, wall string) *solitary {
	t.Helper()
	at, err := time.Parse(stamp, wall)
	if err != nil {
		t.Fatal(err)
	}
	s := &solitary{t: t, dir: t.TempDir()}
	s.ahead.Store(int64(time.Until(at)))
	s.start(nil)
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *solitary) wall() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())).UTC() }

// start runs an agent on the journal that is there; begin is nil for jobs that
// only take time.
func (s *solitary) start(program *program) {
	s.t.Helper()
	journal, err := spool.Open(s.dir, [32]byte{1}, s.wall)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(s.dir, policyFile)); err != nil { // its repositories are directories
		policy := preset(s.t, PolicyBackup, s.dir)
		policy.RepositoryRoots = roots()
		if err := policy.Save(s.dir); err != nil {
			s.t.Fatal(err)
		}
	}
	valid := &credentials{} // for longer than any of this takes
	valid.current.Store(&shown{leaf: &x509.Certificate{NotBefore: time.Now(), NotAfter: time.Now().AddDate(100, 0, 0)}})
	valid.identity.Store(&Identity{})
	timing := DefaultTiming()
	timing.Link.Backoff, timing.Link.BackoffCap = time.Hour, 6*time.Hour
	r := &runner{
		Timing:   timing,
		log:      slog.New(slog.DiscardHandler),
		identity: &Identity{Host: "attic-0001", Hostname: "attic"},
		state:    s.dir,
		shown:    valid,
		renewed:  make(chan struct{}, 1),
		journal:  journal,
		room:     full,
		place:    restic.Place{CacheDir: filepath.Join(s.dir, "cache"), TempDir: filepath.Join(s.dir, "tmp")},
		program:  program,
		wall:     s.wall,
		steps:    make(chan step),
		progress: make(chan progress, 8),
		jobs:     map[topics.JobID]context.CancelCauseFunc{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	note := func(e protocol.Start) {
		slot := time.UnixMilli(e.Run.Slot.At).UTC()
		s.runs = append(s.runs, fmt.Sprintf("%s/%s %s at %s", e.Run.Slot.Schedule, e.Run.Group.ID, slot.Format(stamp), s.wall().Format(stamp)))
	}
	if program == nil {
		r.begin = func(e protocol.Start) {
			note(e)
			takes := s.takes
			if s.hangs[e.Run.Group.ID] {
				takes = 1000 * time.Hour
			}
			r.work.Go(func() {
				state := topics.Succeeded
				select {
				case <-time.After(takes):
				case <-ctx.Done():
					state = topics.Interrupted
				}
				r.do(protocol.Ended{Job: e.Job, End: topics.Finished{State: state}, At: now()})
			})
		}
	} else {
		r.begin = func(e protocol.Start) {
			note(e)
			r.start(e)
		}
	}
	ended := make(chan error, 1)
	go func() {
		ended <- r.run(ctx, link.Config{Timing: timing.Link, Log: r.log, Next: func() (topics.Session, error) {
			return topics.Session{}, errors.New("there is no control plane")
		}})
	}()
	s.runner = r
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
		if err := journal.Close(); err != nil {
			s.t.Error(err)
		}
	}
	synctest.Wait()
}

// managed has the host permit everything.
func (s *solitary) managed() {
	s.t.Helper()
	p, err := Preset(PolicyManaged, s.dir)
	if err == nil {
		err = p.Save(s.dir)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// sched is a schedule of some groups, from now on.
func (s *solitary) sched(id topics.ScheduleID, cron, zone string, jitter time.Duration, groups ...topics.SourceGroupID) topics.Schedule {
	sc := topics.Schedule{ID: id, Name: string(id), Cron: cron, Zone: zone, JitterSeconds: int(jitter.Seconds())}
	for _, g := range groups {
		sc.Groups = append(sc.Groups, topics.ScheduledGroup{Group: g, After: s.wall().UnixMilli()})
	}
	return sc
}

// pause puts a config with a pause in force, which the control plane sent just now by a clock
// that is so far ahead of the host's.
func (s *solitary) pause(revision int64, ahead time.Duration, from, until string, schedules ...topics.Schedule) {
	s.t.Helper()
	at := func(text string) int64 {
		m, err := time.Parse(stamp, text)
		if err != nil {
			s.t.Fatal(err)
		}
		return m.UnixMilli()
	}
	s.paused = topics.Config{Pauses: []topics.Pause{{From: at(from), Until: at(until)}}, Sent: s.wall().Add(ahead).UnixMilli(),
		Heard: s.wall().UnixMilli()}
	s.put(revision, schedules...)
}

// put puts a config in force, as a control plane would have done before it left.
func (s *solitary) put(revision int64, schedules ...topics.Schedule) {
	s.t.Helper()
	c := topics.Config{Revision: revision, Schedules: schedules, Repositories: []topics.Repository{{
		ID:         "vault-00001",
		URL:        topics.Secret(place("/srv/vault")),
		Password:   "hunter2hunter2",
		Initialise: true,
	}}}
	for _, g := range []topics.SourceGroupID{"letters-01", "photos-001"} {
		c.Groups = append(c.Groups, topics.PlannedGroup{SourceGroup: topics.SourceGroup{ID: g, Name: string(g), Paths: []string{place("/home")}},
			Repository: "vault-00001"})
	}
	c.Pauses, c.Sent, c.Heard = s.paused.Pauses, s.paused.Sent, s.paused.Heard
	if s.apart {
		c.Repositories = append(c.Repositories, topics.Repository{ID: "attic-00001", URL: topics.Secret(place("/srv/attic")),
			Password: "hunter2hunter2"})
		c.Groups[1].Repository = "attic-00001"
	}
	_, s.problem = readPlans(c)
	s.runner.do(protocol.Configured{Config: c, Error: s.problem, At: s.wall().UnixMilli()})
	synctest.Wait()
}

// later lets time go by in the bubble; sleep lets the machine sleep: its clock goes on, its
// timers do not.
func (s *solitary) later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *solitary) sleep(d time.Duration) { s.ahead.Add(int64(d)) }

func (s *solitary) want(runs ...string) {
	s.t.Helper()
	if !slices.Equal(s.runs, runs) {
		s.t.Errorf("ran:\n\t%s\nwant:\n\t%s", strings.Join(s.runs, "\n\t"), strings.Join(runs, "\n\t"))
	}
}

func TestAnAgentFiresByItsOwnClock(t *testing.T) {
	const night, hour, day = "nightly-01", time.Hour, 24 * time.Hour
	for _, c := range []struct {
		name, begins string
		do           func(*solitary)
		want         []string
	}{
		{"every night", "2026-05-01 12:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			s.later(3 * day)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 02:30:00",
			"nightly-01/letters-01 2026-05-03 02:30:00 at 2026-05-03 02:30:00",
			"nightly-01/letters-01 2026-05-04 02:30:00 at 2026-05-04 02:30:00"}},
		{"nothing begins in a pause, and nothing of it is caught up with", "2026-05-01 12:00:00", func(s *solitary) {
			s.pause(1, 0, "2026-05-01 12:00:00", "2026-05-03 12:00:00", s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			s.later(3 * day)
		}, []string{"nightly-01/letters-01 2026-05-04 02:30:00 at 2026-05-04 02:30:00"}},
		{"a slot at the very end of a pause", "2026-05-01 12:00:00", func(s *solitary) {
			s.pause(1, 0, "2026-05-01 12:00:00", "2026-05-02 02:30:00", s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			s.later(day)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 02:30:00"}},
		{"a pause ends while the machine is off, and the agent begins anew", "2026-05-01 12:00:00", func(s *solitary) {
			s.pause(1, 0, "2026-05-01 12:00:00", "2026-05-02 12:00:00", s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			s.later(hour)
			s.stop()
			s.sleep(day)
			s.start(nil)
			s.later(day)
		}, []string{"nightly-01/letters-01 2026-05-03 02:30:00 at 2026-05-03 02:30:00"}},
		{"what was missed before a pause waits for its end", "2026-05-01 12:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			was := s.sched(night, "30 2 * * *", "UTC", 0, "letters-01")
			s.sleep(day) // a slot passes, and the machine is paused as it wakes up
			s.pause(2, 0, "2026-05-02 11:00:00", "2026-05-03 12:00:00", was)
			s.later(2 * day)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-03 12:00:00",
			"nightly-01/letters-01 2026-05-04 02:30:00 at 2026-05-04 02:30:00"}},
		{"resumed by hand, nothing of the pause is caught up with", "2026-05-01 12:00:00", func(s *solitary) {
			was := s.sched(night, "30 2 * * *", "UTC", 0, "letters-01")
			s.pause(1, 0, "2026-05-01 12:00:00", "2026-05-08 12:00:00", was)
			s.later(day)
			s.pause(2, 0, "2026-05-01 12:00:00", "2026-05-02 12:00:00", was)
			s.later(day)
		}, []string{"nightly-01/letters-01 2026-05-03 02:30:00 at 2026-05-03 02:30:00"}},
		{"a pause by a clock that is five hours ahead of the host's begins at once", "2026-05-01 12:00:00", func(s *solitary) {
			s.pause(1, 5*hour, "2026-05-01 17:00:00", "2026-05-01 18:00:00", s.sched(night, "30 * * * *", "UTC", 0, "letters-01"))
			s.later(2 * hour)
		}, []string{"nightly-01/letters-01 2026-05-01 12:30:00 at 2026-05-01 13:00:00",
			"nightly-01/letters-01 2026-05-01 13:30:00 at 2026-05-01 13:30:00"}},
		{"a pause by a clock that is five hours behind the host's begins at once, too", "2026-05-01 12:00:00", func(s *solitary) {
			s.pause(1, -5*hour, "2026-05-01 07:00:00", "2026-05-01 08:00:00", s.sched(night, "30 * * * *", "UTC", 0, "letters-01"))
			s.later(hour)
		}, []string{"nightly-01/letters-01 2026-05-01 12:30:00 at 2026-05-01 13:00:00"}},
		{"a host whose clock is of 1970 goes on after a day, too", "1970-01-02 12:00:00", func(s *solitary) {
			s.pause(1, 56*365*day, "2025-12-01 12:00:00", "2026-05-01 12:00:00", s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			s.paused.Sent = s.paused.Pauses[0].Until - day.Milliseconds()
			s.put(2, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			s.later(2 * day)
		}, []string{"nightly-01/letters-01 1970-01-04 02:30:00 at 1970-01-04 02:30:00"}},
		{"two schedules that meet are one run", "2026-05-01 12:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01", "photos-001"), s.sched("weekly-001", "30 2 * * *", "UTC", 0, "letters-01"))
			s.later(day)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 02:30:00",
			"nightly-01/photos-001 2026-05-02 02:30:00 at 2026-05-02 02:30:00"}},
		{"two schedules that were missed are caught up with by one run", "2026-05-01 12:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"), s.sched("hourly-001", "15 * * * *", "UTC", 0, "letters-01"))
			s.later(10 * time.Second)
			s.sleep(day + 5*time.Minute)
			s.later(5 * time.Minute)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 12:06:30"}},
		{"spring's gap comes right after it, once", "2026-03-28 12:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "Europe/Berlin", 0, "letters-01"))
			s.later(2 * day)
		}, []string{"nightly-01/letters-01 2026-03-29 01:00:00 at 2026-03-29 01:00:00",
			"nightly-01/letters-01 2026-03-30 00:30:00 at 2026-03-30 00:30:00"}},
		{"of autumn's two the first", "2026-10-24 12:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "Europe/Berlin", 0, "letters-01"))
			s.later(2 * day)
		}, []string{"nightly-01/letters-01 2026-10-25 00:30:00 at 2026-10-25 00:30:00",
			"nightly-01/letters-01 2026-10-26 01:30:00 at 2026-10-26 01:30:00"}},
		{"leap day", "2028-02-27 12:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "0 3 29 2 *", "UTC", 0, "letters-01"))
			s.later(4 * day)
		}, []string{"nightly-01/letters-01 2028-02-29 03:00:00 at 2028-02-29 03:00:00"}},
		{"the machine sleeps for eight hours", "2026-05-01 22:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			s.later(10 * time.Second)
			s.sleep(8 * hour)
			s.later(hour)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 06:01:30"}},
		{"the clock jumps ahead over a slot", "2026-05-01 02:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			s.later(10 * time.Second)
			s.ahead.Add(int64(hour))
			s.later(day)
		}, []string{"nightly-01/letters-01 2026-05-01 02:30:00 at 2026-05-01 03:01:30",
			"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 02:30:00"}},
		{"the clock is set back over a slot", "2026-05-01 02:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			s.later(hour)
			s.ahead.Add(-int64(hour))
			s.later(day)
		}, []string{"nightly-01/letters-01 2026-05-01 02:30:00 at 2026-05-01 02:30:00"}},
		{"the clock was two years ahead for an hour", "2026-05-01 02:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			s.later(hour)
			s.ahead.Add(int64(730 * day))
			s.later(hour)
			s.ahead.Add(-int64(730 * day))
			s.later(day)
		}, []string{"nightly-01/letters-01 2026-05-01 02:30:00 at 2026-05-01 02:30:00",
			"nightly-01/letters-01 2028-04-30 02:30:00 at 2028-04-30 03:01:30",
			"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 02:30:00"}},
		{"the clock begins in 1970, until the network has the time", "2026-05-01 12:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			s.later(day)
			s.stop()
			real := s.ahead.Load()
			s.ahead.Store(int64(time.Until(time.Unix(0, 0))))
			s.start(nil)
			s.later(5 * time.Minute)
			s.ahead.Store(real)
			s.later(day)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 02:30:00",
			"nightly-01/letters-01 2026-05-03 02:30:00 at 2026-05-03 02:30:00"}},
		{"a zone nobody knows", "2026-05-01 12:00:00", func(s *solitary) {
			s.put(1, s.sched("bad-00001", "30 2 * * *", "Mars/Olympus", 0, "letters-01"), s.sched(night, "30 2 * * *", "UTC", 0, "photos-001"))
			if !strings.Contains(s.problem, "bad-00001") || !strings.Contains(s.problem, "Mars/Olympus") {
				s.t.Errorf("the problem is told as %q", s.problem)
			}
			s.later(day)
		}, []string{"nightly-01/photos-001 2026-05-02 02:30:00 at 2026-05-02 02:30:00"}},
		{"a jitter longer than the interval", "2026-05-01 12:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "0 * * * *", "UTC", 3*hour, "letters-01")) // by its ID, 2 h 36 min 25 s late
			s.later(4*hour + 40*time.Minute)
		}, []string{"nightly-01/letters-01 2026-05-01 13:00:00 at 2026-05-01 15:36:25",
			"nightly-01/letters-01 2026-05-01 14:00:00 at 2026-05-01 16:36:25"}},
		{"a job that takes longer than the interval", "2026-05-01 12:05:00", func(s *solitary) {
			s.takes = 25 * time.Minute
			s.put(1, s.sched(night, "*/10 * * * *", "UTC", 0, "letters-01"))
			s.later(time.Hour)
		}, []string{"nightly-01/letters-01 2026-05-01 12:10:00 at 2026-05-01 12:10:00",
			"nightly-01/letters-01 2026-05-01 12:30:00 at 2026-05-01 12:35:00",
			"nightly-01/letters-01 2026-05-01 13:00:00 at 2026-05-01 13:00:00"}},
		{"groups take turns", "2026-05-01 12:00:00", func(s *solitary) {
			s.takes = 10 * time.Minute
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01", "photos-001"), s.sched("second-001", "31 2 * * *", "UTC", 0, "letters-01"))
			s.later(day)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 02:30:00",
			"nightly-01/photos-001 2026-05-02 02:30:00 at 2026-05-02 02:40:00"}}, // which serves what comes meanwhile
		{"groups of different repositories do not wait for each other", "2026-05-01 12:00:00", func(s *solitary) {
			s.apart, s.takes = true, 10*time.Minute
			s.managed()
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01", "photos-001"))
			s.later(day)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 02:30:00",
			"nightly-01/photos-001 2026-05-02 02:30:00 at 2026-05-02 02:30:00"}},
		{"a server that says nothing stops the groups of its own repository only", "2026-05-01 12:00:00", func(s *solitary) {
			s.apart, s.hangs = true, map[topics.SourceGroupID]bool{"letters-01": true}
			s.managed()
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01", "photos-001"))
			s.later(3 * day)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 02:30:00",
			"nightly-01/photos-001 2026-05-02 02:30:00 at 2026-05-02 02:30:00", "nightly-01/photos-001 2026-05-03 02:30:00 at 2026-05-03 02:30:00",
			"nightly-01/photos-001 2026-05-04 02:30:00 at 2026-05-04 02:30:00"}},
		{"until one repository is pinned none is begun beside it", "2026-05-01 12:00:00", func(s *solitary) {
			s.apart, s.takes = true, 10*time.Minute
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01", "photos-001"))
			s.later(day)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 02:30:00",
			"nightly-01/photos-001 2026-05-02 02:30:00 at 2026-05-02 02:40:00"}},
		{"a schedule is changed while it waits its turn", "2026-05-01 12:00:00", func(s *solitary) {
			s.takes = 20 * time.Minute
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"), s.sched("second-001", "31 2 * * *", "UTC", 0, "photos-001"))
			s.later(14*hour + 35*time.Minute)
			s.put(2, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"), s.sched("second-001", "0 4 * * *", "UTC", 0, "photos-001"))
			s.later(2 * hour)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 02:30:00",
			"second-001/photos-001 2026-05-02 04:00:00 at 2026-05-02 04:00:00"}},
		{"a schedule is paused", "2026-05-01 12:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			s.later(day)
			s.put(2)
			s.later(3 * day)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 02:30:00"}},
		{"ten thousand slots are missed", "2026-05-10 12:00:30", func(s *solitary) {
			sc := s.sched(night, "* * * * *", "UTC", 0, "letters-01")
			sc.Groups[0].After -= (10_000 * time.Minute).Milliseconds()
			s.takes = 30 * time.Second
			s.put(1, sc)
			s.later(time.Minute + 10*time.Second)
		}, []string{"nightly-01/letters-01 2026-05-10 12:00:00 at 2026-05-10 12:00:30",
			"nightly-01/letters-01 2026-05-10 12:01:00 at 2026-05-10 12:01:00"}},
		{"the agent was down for five nights", "2026-05-01 12:00:00", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01", "photos-001"))
			s.later(day)
			s.stop()
			s.later(5 * day)
			s.start(nil)
			s.later(hour)
		}, []string{"nightly-01/letters-01 2026-05-02 02:30:00 at 2026-05-02 02:30:00",
			"nightly-01/photos-001 2026-05-02 02:30:00 at 2026-05-02 02:30:00",
			"nightly-01/letters-01 2026-05-07 02:30:00 at 2026-05-07 12:01:00", "nightly-01/photos-001 2026-05-07 02:30:00 at 2026-05-07 12:01:00"}},
		{"the agent is started again and again around a slot", "2026-05-01 02:29:50", func(s *solitary) {
			s.put(1, s.sched(night, "30 2 * * *", "UTC", 0, "letters-01"))
			for range 10 {
				s.later(7 * time.Second)
				s.stop()
				s.start(nil)
			}
		}, []string{"nightly-01/letters-01 2026-05-01 02:30:00 at 2026-05-01 02:30:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := alone(t, c.begins)
				c.do(s)
				s.want(c.want...)
			})
		})
	}
}

// TestThirtyDaysWithoutAControlPlane has an agent run its schedules alone, with
// jobs that take a while, and compares with what the calendar says.
func TestThirtyDaysWithoutAControlPlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := alone(t, "2026-03-15 11:59:00") // daylight saving begins on the way
		s.takes = 4 * time.Minute
		s.put(1, s.sched("nightly-01", "30 2 * * *", "Europe/Berlin", 10*time.Minute, "letters-01", "photos-001"),
			s.sched("sixhours-1", "0 */6 * * *", "UTC", 0, "letters-01"), s.sched("sundays-01", "15 5 * * 0", "America/New_York", 0, "photos-001"))
		s.later(30 * 24 * time.Hour)
		count := map[string]int{}
		seen := map[string]bool{}
		for _, run := range s.runs {
			slot, _, _ := strings.Cut(run, " at ")
			if seen[slot] {
				t.Errorf("%s ran twice", slot)
			}
			seen[slot] = true
			count[run[:strings.Index(run, " ")]]++
		}
		for what, want := range map[string]int{
			"nightly-01/letters-01": 30,
			"nightly-01/photos-001": 30,
			"sixhours-1/letters-01": 120,
			"sundays-01/photos-001": 4,
		} {
			if count[what] != want {
				t.Errorf("%s ran %d times, want %d", what, count[what], want)
			}
		}
		if len(s.runs) != 184 {
			t.Errorf("%d runs", len(s.runs))
		}
		// All of it waits for the control plane, in order.
		fired := 0
		for after := uint64(0); ; {
			b, err := s.runner.journal.Batch(after)
			if err != nil {
				t.Fatal(err)
			}
			if len(b.Events) == 0 {
				break
			}
			for _, e := range b.Events {
				if strings.Contains(string(e), `"fired":{`) {
					fired++
				}
			}
			after += uint64(len(b.Events))
		}
		if fired != 184 {
			t.Errorf("%d slots will be told, want 184", fired)
		}
	})
}

// TestAWeekAloneWithResticItself is the same with restic: snapshots in the
// repository are what was planned.
func TestAWeekAloneWithResticItself(t *testing.T) {
	path, err := exec.LookPath("restic")
	if err != nil {
		t.Fatal("these tests need restic on PATH")
	}
	dir := t.TempDir()
	home, place := filepath.Join(dir, "home"), filepath.Join(dir, "vault")
	if err := errors.Join(os.MkdirAll(home, 0o700), resticrepo.Make(place, vaultPassword)); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := alone(t, "2026-05-01 12:00:00")
		s.stop()
		for _, d := range []string{"cache", "tmp"} {
			if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		s.start(&program{path: path, timing: restic.DefaultTiming})
		sc := s.sched("nightly-01", "30 2 * * *", "UTC", 0, "letters-01")
		s.runner.do(protocol.Configured{Config: topics.Config{
			Revision:  1,
			Schedules: []topics.Schedule{sc},
			Groups: []topics.PlannedGroup{{SourceGroup: topics.SourceGroup{ID: "letters-01", Name: "letters", Paths: []string{home}},
				Repository: "vault-00001"}},
			Repositories: []topics.Repository{{ID: "vault-00001", URL: topics.Secret(place), Password: vaultPassword}},
		}, At: now()})
		for day := range 7 {
			if err := os.WriteFile(filepath.Join(home, fmt.Sprint(day)), []byte("dear reader"), 0o600); err != nil {
				t.Fatal(err)
			}
			s.later(24 * time.Hour)
		}
		if len(s.runs) != 7 {
			t.Errorf("ran %v", s.runs)
		}
	})
	cmd := exec.Command(path, "-r", place, "snapshots", "--json")
	cmd.Env = append(os.Environ(), "RESTIC_PASSWORD="+vaultPassword, "RESTIC_CACHE_DIR="+t.TempDir())
	out, err := cmd.Output()
	if n := strings.Count(string(out), `"short_id"`); err != nil || n != 7 {
		t.Errorf("the repository holds %d snapshots, %v, want 7: %s", n, err, out)
	}
}

// place is a path on this system.
func place(path string) string {
	if runtime.GOOS == "windows" {
		return "C:" + filepath.FromSlash(path)
	}
	return path
}
