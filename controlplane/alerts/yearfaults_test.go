package alerts_test

import (
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

// An expected is a message that has to come, once.
type expected struct {
	event    channels.Event
	key      alerts.Key
	from, by int64
	may      bool   // it need not come
	fault    string // that it is about
	came     bool
}

// slack is how much later than its moment something may be told.
const slack = minute

// expect has a message come within a while.
func (y *year) expect(fault string, event channels.Event, name conditions.Name, subject string, from int64,
	within time.Duration) *expected {
	c, known := conditions.Of(name)
	if !known {
		panic("there is no condition " + name)
	}
	x := &expected{event: event, key: alerts.Key{Condition: string(name), On: c.On, Subject: subject}, from: from,
		by: from + (within + slack).Milliseconds(), fault: fmt.Sprintf("%s of %s at %s", fault, subject,
			time.UnixMilli(y.now).UTC().Format(time.DateTime))}
	y.expected = append(y.expected, x)
	y.awaited[x.key] = append(y.awaited[x.key], x)
	y.count(fault)
	return x
}

func (y *year) opened(fault string, name conditions.Name, subject string, from int64, within time.Duration) {
	y.expect(fault, channels.Opened, name, subject, from, within)
}

func (y *year) over(fault string, name conditions.Name, subject string, from int64, within time.Duration) {
	y.expect(fault, channels.Recovered, name, subject, from, within)
}

// silent counts a fault, or what looks like one, that nobody is to hear of.
func (y *year) silent(fault string) { y.count(fault) }

func (y *year) count(fault string) { y.kind, y.kinds[fault] = fault, y.kinds[fault]+1 }

// nextEnd is how long it takes at most until the next backup of a group has ended.
func (y *year) nextEnd(s *source) time.Duration {
	return time.UnixMilli(s.next).Sub(time.UnixMilli(y.now)) + 10*minute + backupTakes
}

// A fault is something that goes wrong with a host or its first group for a while, or only looks as if.
// It says what is to be told of it, and returns how long it takes until all is as before.
type fault func(y *year, m *machine, s *source) time.Duration

// bad is a fault of a group's backups, until they are well again.
func bad(name string, condition conditions.Name, how ending, lasts time.Duration, more time.Duration) fault {
	return func(y *year, m *machine, s *source) time.Duration {
		s.how = how
		y.opened(name, condition, s.id, y.now, y.nextEnd(s)+more)
		y.after(lasts, func() {
			s.how = ending{}
			y.over(name, condition, s.id, y.now, y.nextEnd(s)+more)
		})
		return lasts + more + 3*day
	}
}

// of is a fault that is a fact of a host for a while.
func of(name string, condition conditions.Name, lasts time.Duration, set func(*year, *conditions.Host),
	clear func(*year, *conditions.Host)) fault {
	return func(y *year, m *machine, _ *source) time.Duration {
		set(y, &m.fact)
		m.dirty = true
		y.opened(name, condition, string(m.fact.ID), y.now, 0)
		y.after(lasts, func() {
			clear(y, &m.fact)
			m.dirty = true
			y.over(name, condition, string(m.fact.ID), y.now, 0)
		})
		return lasts + hour
	}
}

// ofServers are the faults of hosts that are always on.
var ofServers = []fault{
	bad("backups fail", conditions.BackupFailed, ending{state: topics.Failed, cause: topics.CausePassword}, 60*hour, 0),
	bad("backups fail however often they are tried", conditions.BackupFailed,
		ending{state: topics.Failed, cause: topics.CauseUnknown, again: 3},
		40*hour, 3*backupTakes+20*minute),
	bad("the source is empty", conditions.SourceEmpty, ending{cause: topics.CauseEmptySource}, 50*hour, 0),
	bad("the backup is half as large", conditions.SizeAnomaly, ending{size: 0.3}, 30*hour, 0),
	retried, brief, offline, backInTime, longOffline, flapping, paused, longPaused, changed, warned, skipped, stuck, unplanned, refused,
	restoring,
	diskFills, maintained, maintainedTooShort, unproven,
	of("the certificate is not renewed", conditions.CertificateEnding, 3*day,
		func(y *year, h *conditions.Host) { h.CertifiedUntil = y.now + (13 * day).Milliseconds() },
		func(y *year, h *conditions.Host) { h.CertifiedUntil = y.now + (400 * day).Milliseconds() }),
	of("the clock is wrong", conditions.ClockOff, 5*hour, func(_ *year, h *conditions.Host) { h.Clock = -61_000 },
		func(_ *year, h *conditions.Host) { h.Clock = 29_000 }),
	of("two machines are one host", conditions.Twins, 20*hour, func(y *year, h *conditions.Host) { h.TwinsSince = y.now },
		func(_ *year, h *conditions.Host) { h.TwinsSince = 0 }),
	of("the agent is old", conditions.AgentTooOld, 5*day, func(_ *year, h *conditions.Host) { h.TooOld = "It is too old." },
		func(_ *year, h *conditions.Host) { h.TooOld = "" }),
}

// ofLaptops are those of hosts that come and go.
var ofLaptops = []fault{
	bad("backups of a laptop fail", conditions.BackupFailed, ending{state: topics.Failed, cause: topics.CausePassword}, 4*day, 4*day),
	holiday,
}

func retried(y *year, _ *machine, s *source) time.Duration {
	y.silent("a retry helps")
	s.how = ending{state: topics.Failed, cause: topics.CauseLocked, again: 2, helps: true}
	return 3 * day
}

func brief(y *year, m *machine, _ *source) time.Duration {
	y.silent("a restart")
	y.leaves(m)
	y.after(25*minute, func() { y.returns(m) })
	return day
}

func offline(y *year, m *machine, _ *source) time.Duration {
	const name = "a server is off"
	lasts := time.Duration(40+y.rnd.IntN(19*60)) * minute
	y.leaves(m)
	y.opened(name, conditions.HostOffline, string(m.fact.ID), y.now, 30*minute)
	y.after(lasts, func() {
		y.returns(m)
		y.over(name, conditions.HostOffline, string(m.fact.ID), y.now, 0)
	})
	return lasts + 2*day
}

// backInTime is a server that is back just before the grace of the slot that it missed is over,
// and makes up for it.
func backInTime(y *year, m *machine, s *source) time.Duration {
	const name = "a server is back in time"
	y.count(name)
	slot := s.plan.Policy.Start(time.UnixMilli(s.next)).UnixMilli()
	y.at(slot-minute.Milliseconds(), func() {
		y.leaves(m)
		y.opened(name, conditions.HostOffline, string(m.fact.ID), y.now, 30*minute)
	})
	y.at(slot+(hour+8*minute).Milliseconds(), func() {
		y.returns(m)
		y.over(name, conditions.HostOffline, string(m.fact.ID), y.now, 0)
	})
	return 3 * day
}

// longOffline is a server that is away until its groups are overdue: at their third slot, or two
// days after the first that it missed.
func longOffline(y *year, m *machine, _ *source) time.Duration {
	const name, lasts = "a server is off for days", 6 * day
	y.leaves(m)
	y.opened(name, conditions.HostOffline, string(m.fact.ID), y.now, 30*minute)
	for _, s := range m.groups {
		y.opened(name, conditions.Overdue, s.id, y.now+(36*hour).Milliseconds(), 2*day)
	}
	y.after(lasts, func() {
		y.returns(m)
		y.over(name, conditions.HostOffline, string(m.fact.ID), y.now, 0)
		for _, s := range m.groups {
			y.over(name, conditions.Overdue, s.id, y.now, catchesUp+backupTakes)
		}
	})
	return lasts + 2*day
}

// flapping is a server that comes and goes: from the third time on nobody hears of each.
func flapping(y *year, m *machine, _ *source) time.Duration {
	const name, times = "a server comes and goes", 6
	id := string(m.fact.ID)
	y.count(name)
	for i := range times {
		y.after(time.Duration(i)*45*minute, func() {
			y.loses(m)
			if i < 3 {
				y.opened(name, conditions.HostOffline, id, y.now, 30*minute)
			}
		})
		y.after(time.Duration(i)*45*minute+35*minute, func() {
			y.regains(m)
			if i < 2 {
				y.over(name, conditions.HostOffline, id, y.now, 0)
			}
			if i == times-1 {
				y.over(name, conditions.HostOffline, id, y.now+hour.Milliseconds(), 0)
			}
		})
	}
	return 2 * day
}

func (y *year) pause(s *source, lasts time.Duration, resumed func()) {
	s.plan.Enabled, s.plan.PausedAt, s.of.dirty = false, y.now, true
	y.after(lasts, func() {
		s.plan.PausedFrom, s.plan.PausedAt, s.plan.Since, s.plan.Enabled, s.of.dirty = s.plan.PausedAt, 0, y.now, true, true
		s.owed = false
		y.plan(s)
		resumed()
	})
}

func paused(y *year, _ *machine, s *source) time.Duration {
	y.silent("a schedule is paused")
	y.pause(s, 20*hour, func() {})
	return 4 * day
}

// longPaused is a schedule that is paused for so long that there is no good backup within the
// limit when it goes on: while it is paused, nothing is promised.
func longPaused(y *year, _ *machine, s *source) time.Duration {
	const name = "a schedule goes on after a long pause"
	y.pause(s, 8*day, func() {
		y.opened(name, conditions.Overdue, s.id, y.now, 0)
		y.over(name, conditions.Overdue, s.id, y.now, y.nextEnd(s))
	})
	return 12 * day
}

// changed is a backup of which nearly all is new, as when somebody encrypts files.
func changed(y *year, _ *machine, s *source) time.Duration {
	const name = "most files changed at once"
	s.how = ending{added: 0.9}
	within := y.nextEnd(s)
	y.opened(name, conditions.ChangeAnomaly, s.id, y.now, within)
	y.over(name, conditions.ChangeAnomaly, s.id, y.now+(7*day).Milliseconds(), within)
	y.after(within, func() { s.how = ending{} })
	return 12 * day
}

func warned(y *year, _ *machine, s *source) time.Duration {
	const name = "the same warnings three times"
	s.how = ending{state: topics.Warnings, cause: topics.CauseUnreadable}
	y.opened(name, conditions.BackupWarnings, s.id, y.now+(2*day-2*hour).Milliseconds(), y.nextEnd(s)+3*hour)
	y.after(5*day, func() {
		s.how = ending{}
		y.over(name, conditions.BackupWarnings, s.id, y.now, y.nextEnd(s))
	})
	return 8 * day
}

// skipped is that one slot is not begun though the host is there.
func skipped(y *year, _ *machine, s *source) time.Duration {
	const name = "a slot is missed"
	s.stuck = true
	slot := s.plan.Policy.Start(time.UnixMilli(s.next)).UnixMilli()
	y.opened(name, conditions.SlotMissed, s.id, slot+hour.Milliseconds(), backupTakes)
	y.at(slot+(5*hour).Milliseconds(), func() {
		s.stuck = false
		y.over(name, conditions.SlotMissed, s.id, y.now, backupTakes)
		y.backup(s)
	})
	return 4 * day
}

func stuck(y *year, _ *machine, s *source) time.Duration {
	const name = "nothing is begun for days"
	s.stuck = true
	slot := s.plan.Policy.Start(time.UnixMilli(s.next)).UnixMilli()
	y.opened(name, conditions.SlotMissed, s.id, slot+hour.Milliseconds(), backupTakes)
	y.opened(name, conditions.Overdue, s.id, slot+(2*day-hour).Milliseconds(), 4*hour)
	y.at(slot+(4*day).Milliseconds(), func() {
		s.stuck = false
		y.over(name, conditions.SlotMissed, s.id, y.now, backupTakes)
		y.over(name, conditions.Overdue, s.id, y.now, backupTakes)
		y.backup(s)
	})
	return 8 * day
}

// unplanned is that somebody removes the only schedule, and makes it anew a while later.
func unplanned(y *year, m *machine, s *source) time.Duration {
	const name = "there is no schedule"
	s.removed, m.dirty = true, true
	y.opened(name, conditions.Unscheduled, s.id, y.now, 0)
	y.after(15*hour, func() {
		s.removed, s.plan.Made, s.plan.Since, m.dirty = false, y.now, y.now, true
		s.owed = false
		y.plan(s)
		y.over(name, conditions.Unscheduled, s.id, y.now, 0)
	})
	return 4 * day
}

func refused(y *year, m *machine, _ *source) time.Duration {
	const name = "messages are refused"
	m.fact.RefusedAt, m.fact.RefusedSays, m.dirty = y.now, "It was no message of the host.", true
	y.opened(name, conditions.MessagesRefused, string(m.fact.ID), y.now, 0)
	y.over(name, conditions.MessagesRefused, string(m.fact.ID), y.now+day.Milliseconds(), 0)
	return 3 * day
}

func restoring(y *year, m *machine, _ *source) time.Duration {
	const name = "a restore is not complete"
	m.fact.Restore = &conditions.Run{Job: "restore", State: topics.Warnings, At: y.now, Why: "A file was not brought back."}
	m.dirty = true
	y.opened(name, conditions.RestoreFailures, string(m.fact.ID), y.now, 0)
	y.over(name, conditions.RestoreFailures, string(m.fact.ID), y.now+(7*day).Milliseconds(), 0)
	return 9 * day
}

// diskFills is a disk of an agent that is almost full, then full, then emptied.
func diskFills(y *year, m *machine, _ *source) time.Duration {
	const name = "the agent's disk fills"
	id := string(m.fact.ID)
	m.fact.DiskLow, m.fact.DiskSince, m.dirty = true, y.now, true
	y.opened(name, conditions.HostDisk, id, y.now, 0)
	y.after(2*hour, func() {
		m.fact.DiskLow, m.fact.DiskFull, m.fact.DiskSince, m.dirty = false, true, y.now, true
		y.opened(name, conditions.HostDisk, id, y.now, 0) // it is worse
	})
	y.after(3*hour, func() {
		m.fact.DiskFull, m.fact.DiskSince, m.dirty = false, 0, true
		y.over(name, conditions.HostDisk, id, y.now, 0)
	})
	return 2 * day
}

// maintained is a server that is off within a pause that was announced.
func maintained(y *year, m *machine, _ *source) time.Duration {
	y.silent("a planned maintenance")
	y.hush(alerts.Pause{Kind: "host", Subject: string(m.fact.ID), From: y.now, Until: y.now + (6 * hour).Milliseconds()})
	y.after(hour, func() { y.leaves(m) })
	y.after(4*hour, func() { y.returns(m) })
	return 2 * day
}

// maintainedTooShort is one that is still off when the pause ends: it is told then.
func maintainedTooShort(y *year, m *machine, _ *source) time.Duration {
	const name = "a maintenance takes longer than planned"
	y.hush(alerts.Pause{Kind: "host", Subject: string(m.fact.ID), From: y.now, Until: y.now + (3 * hour).Milliseconds()})
	y.opened(name, conditions.HostOffline, string(m.fact.ID), y.now+(3*hour).Milliseconds(), 0)
	y.after(hour, func() { y.leaves(m) })
	y.after(5*hour, func() {
		y.returns(m)
		y.over(name, conditions.HostOffline, string(m.fact.ID), y.now, 0)
	})
	return 2 * day
}

func unproven(y *year, m *machine, s *source) time.Duration {
	const name = "a drill proves nothing"
	s.fact.Drill, m.dirty = &drills.Verdict{Job: "drill", At: y.now, Why: "A file came back as another."}, true
	y.opened(name, conditions.DrillFailed, s.id, y.now, 0)
	y.after(2*day, func() {
		s.fact.Drill, m.dirty = &drills.Verdict{Job: "drill", At: y.now, Proven: true, ProvenAt: y.now}, true
		y.over(name, conditions.DrillFailed, s.id, y.now, 0)
	})
	return 3 * day
}

// holiday is a laptop that is away for longer than it may be: it is told of when its limit of
// a week has passed, and that its groups are overdue.
func holiday(y *year, m *machine, _ *source) time.Duration {
	const name, lasts = "a laptop is away for weeks", 16 * day
	if !m.off {
		y.leaves(m)
	}
	m.asleep = y.now + lasts.Milliseconds()
	since := m.fact.SeenAt
	y.opened(name, conditions.HostOffline, string(m.fact.ID), since+(7*day).Milliseconds(), 0)
	for _, s := range m.groups {
		y.opened(name, conditions.Overdue, s.id, s.fact.LastGood+(7*day).Milliseconds(), 0)
	}
	m.woke = func() {
		y.over(name, conditions.HostOffline, string(m.fact.ID), y.now, 0)
		for _, s := range m.groups {
			y.over(name, conditions.Overdue, s.id, y.now, catchesUp+2*backupTakes)
		}
	}
	return lasts + 6*day
}

// ofVaults are the faults of repositories.
var ofVaults = []func(y *year, v *vault){
	func(y *year, v *vault) {
		verdict(y, v, "a check finds damage", conditions.RepositoryDamaged, health.Damaged, 3*day, 0)
	},
	func(y *year, v *vault) {
		verdict(y, v, "a repository is full", conditions.RepositoryFull, health.Full, day, 0)
	},
	func(y *year, v *vault) {
		verdict(y, v, "a repository is locked", conditions.RepositoryLocked, health.Locked, 10*hour, 6*hour)
	},
	func(y *year, v *vault) {
		y.silent("a repository is locked for a while")
		y.finds(v, health.Verdict{Word: health.Locked, Cause: "repository-locked", Since: y.now})
		y.after(5*hour, func() { y.mended(v, health.Locked) })
	},
	func(y *year, v *vault) { // every backup fails, and one message says it
		const name = "a repository does not answer"
		v.away = true
		y.opened(name, conditions.RepositoryUnreachable, string(v.fact.ID), y.now, 26*hour)
		y.after(30*hour, func() {
			v.away = false
			y.over(name, conditions.RepositoryUnreachable, string(v.fact.ID), y.now, 26*hour)
		})
	},
	func(y *year, v *vault) {
		const name = "a check fails"
		v.fact.Check, v.dirty = &conditions.Run{Job: "check", State: topics.Failed, At: y.now}, true
		y.opened(name, conditions.CheckFailed, string(v.fact.ID), y.now, 0)
		y.after(2*day, func() {
			v.fact.Check, v.dirty = &conditions.Run{Job: "check", State: topics.Succeeded, At: y.now}, true
			y.over(name, conditions.CheckFailed, string(v.fact.ID), y.now, 0)
		})
	},
	func(y *year, v *vault) {
		const name = "a plan waits for a person"
		v.fact.Held, v.dirty = []conditions.Held{{Since: y.now, Names: []string{"a"}, Why: "It would remove much."}}, true
		y.opened(name, conditions.PlanHeld, string(v.fact.ID), y.now, 0)
		y.after(day, func() {
			v.fact.Held, v.dirty = nil, true
			y.over(name, conditions.PlanHeld, string(v.fact.ID), y.now, 0)
		})
	},
}

// verdict is what a job found of a repository, until another job found otherwise.
func verdict(y *year, v *vault, name string, condition conditions.Name, word health.Word, lasts, after time.Duration) {
	y.finds(v, health.Verdict{Word: word, Cause: string(condition), Since: y.now, Reason: "It is so."})
	y.opened(name, condition, string(v.fact.ID), y.now+after.Milliseconds(), 0)
	y.after(lasts, func() {
		y.mended(v, word)
		y.over(name, condition, string(v.fact.ID), y.now, 0)
	})
}

// ofPlane are the faults of the control plane itself.
func ofPlane(y *year) {
	said := func(name string, n conditions.Notice, lasts time.Duration) {
		n.Since = y.now
		y.plane, y.rest = append(y.plane, n), true
		y.opened(name, n.Condition, "", y.now, 0)
		y.after(lasts, func() {
			y.plane, y.rest = nil, true
			y.over(name, n.Condition, "", y.now, 0)
		})
	}
	said("nobody hears the heartbeat", conditions.Notice{Condition: conditions.HeartbeatFailing, Severity: alerts.Warning, Say: "It fails."},
		3*hour)
	y.after(day, func() {
		said("the control plane's disk fills", conditions.Notice{Condition: conditions.PlaneDisk, Severity: alerts.Critical, Say: "It is full."},
			2*hour)
	})
	y.after(2*day, func() {
		const name = "a channel fails"
		y.channels, y.rest = []conditions.Channel{{ID: "mail", Name: "mail", FailingSince: y.now, Answer: "no"}}, true
		y.opened(name, conditions.ChannelFailing, "mail", y.now+(10*minute).Milliseconds(), 0)
		y.after(day, func() {
			y.channels[0].FailingSince, y.rest = 0, true
			y.over(name, conditions.ChannelFailing, "mail", y.now, 0)
		})
	})
	y.after(4*day, func() { // hosts go on by themselves meanwhile, and connect again within minutes
		y.silent("the control plane is stopped for hours")
		y.hears, y.stopped = false, y.now
		for _, m := range y.machines {
			if !m.off {
				m.fact.SeenAt = y.now
			}
		}
		y.after(4*hour, func() {
			y.hears, y.began = true, y.now
			for _, m := range y.machines {
				m.fact.Unknown, m.fact.Offline, m.dirty = true, false, true
				if !m.off {
					y.after(time.Duration(y.rnd.IntN(90))*time.Second, func() { m.fact.Unknown, m.fact.SeenAt, m.dirty = false, y.now, true })
				}
			}
			y.after(100*time.Second, func() {
				for _, m := range y.machines {
					if m.fact.Unknown {
						m.fact.Unknown, m.fact.Offline, m.dirty = false, true, true
					}
				}
			})
		})
	})
}
