package fleet

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/promise"
	"github.com/restic-manager/restic-manager/topics"
)

// A Group is what is kept of a source group.
type Group struct {
	promise.Group
	protection.Verdict
	Also []protection.Verdict // all that is to be said of it, the Verdict first; nil if that is no trouble

	plans []protection.Plan
}

// LastGood is when the group's newest backup ended that can be restored whole, 0 if
// there is none.
func (g Group) LastGood() int64 { return g.Good.Ended }

// A plan is a schedule whose line was read.
type plan struct {
	row  promise.Schedule
	plan protection.Plan
}

// groups reads the schedules of some groups. What cannot be read promises nothing; no
// such schedule can be saved.
func (b *Board) groups(rows []promise.Group) []Group {
	out := make([]Group, len(rows))
	for i, row := range rows {
		out[i] = Group{Group: row}
		for _, s := range row.Schedules {
			line := s
			line.Since, line.Made, line.PausedFrom, line.Owed = 0, 0, 0, 0 // each group may have its own
			p, known := b.plans[s.ID]
			if !known || p.row != line {
				policy, err := slots.Parse(s.Cron, s.Zone, time.Duration(s.JitterSeconds)*time.Second, string(s.ID))
				if err != nil {
					continue
				}
				p = plan{line, protection.Plan{ID: s.ID, Name: s.Name, Policy: policy, Enabled: s.Enabled, PausedAt: s.PausedAt,
					Earlier: earlier(s)}}
				b.plans[s.ID] = p
			}
			p.plan.Since, p.plan.Made, p.plan.PausedFrom, p.plan.Owed = s.Since, s.Made, s.PausedFrom, s.Owed
			out[i].plans = append(out[i].plans, p.plan)
		}
	}
	return out
}

// earlier reads what a schedule promised before. What cannot be read promised nothing.
func earlier(s promise.Schedule) (plans []protection.Earlier) {
	if s.Earlier == "" {
		return nil
	}
	var rows []promise.Earlier
	if json.Unmarshal([]byte(s.Earlier), &rows) != nil {
		return nil
	}
	for _, e := range rows {
		policy, err := slots.Parse(e.Cron, e.Zone, time.Duration(e.JitterSeconds)*time.Second, string(s.ID))
		if err == nil {
			plans = append(plans, protection.Earlier{Policy: policy, Since: e.Since, Until: e.Until, Paused: e.Paused})
		}
	}
	return plans
}

// gone is since when a host is offline: when it was last heard of, 0 if it is not.
func gone(look hosts.Look) int64 {
	if look.Connection != hosts.Offline {
		return 0
	}
	return max(0, look.Seen.UnixMilli())
}

// judged is the entry with its connection and verdicts as they are now.
func (e Entry) judged(look hosts.Look, now time.Time) *Entry {
	e.Connection, e.back, e.Gone, e.Disk, e.Never = look.Connection, look.Back, gone(look), look.Disk, look.Never
	host := protection.Host{Intermittent: e.Intermittent, OverdueDays: int(e.OverdueDays), Offline: look.Connection == hosts.Offline,
		Unknown: look.Connection == hosts.Unknown, SeenAt: max(0, look.Seen.UnixMilli()), AwayUntil: look.Back.UnixMilli(),
		Keeper: e.Keeper, RetiredAt: e.RetiredAt, TwinsSince: e.TwinsSince,
		DiskFull: look.Disk.Full, DiskLow: look.Disk.Low, DiskSince: look.Disk.Since, Pauses: e.AllPauses()}
	groups, verdicts, names := make([]Group, len(e.Groups)), make([]protection.Verdict, len(e.Groups)), make([]string, len(e.Groups))
	e.LastGood, e.LastTook, e.Restorable, e.Snapshots, e.LastBackup = 0, 0, 0, 0, facts.Run{}
	ids, tried := make([]topics.SourceGroupID, len(e.Groups)), make([]drills.Verdict, 0, len(e.Groups))
	for i, g := range e.Groups {
		f := g.facts(host, e.Open)
		sick := g.repository(now)
		f.Repository = protection.Repository{Health: sick.Word, Since: sick.Since}
		if g.Verdict = protection.Judge(f, now); sick.Until > 0 && (g.Until == 0 || sick.Until < g.Until) {
			g.Until = sick.Until
		}
		if g.Also = nil; g.Status.Rank() <= protection.Unscheduled.Rank() {
			g.Also = protection.All(f, now)
		}
		groups[i], verdicts[i], names[i], ids[i] = g, g.Verdict, g.Name, g.ID
		if g.Drill != nil {
			tried = append(tried, *g.Drill)
		}
		if g.Good.Ended > e.LastGood {
			e.LastGood, e.LastTook = g.Good.Ended, (g.Good.Ended-g.Good.Begun)/1000
		}
		e.Restorable += g.Good.Bytes
		e.Snapshots += g.Facts.Snapshots
		if g.Facts.Last.EndedAt > e.LastBackup.EndedAt {
			e.LastBackup = g.Facts.Last
		}
	}
	e.Groups, e.Proof = groups, drills.Judge(ids, tried, now)
	e.Verdict = protection.OfHost(host, verdicts, names)
	if until := e.Proof.Until; until > 0 && (e.Until == 0 || until < e.Until) { // it grows too old by itself
		e.Until = until
	}
	e.rank = e.Status.Rank()
	return &e
}

// repository is what of its repository's health touches what was backed up, the worst
// for restoring first.
func (g Group) repository(now time.Time) (v health.Verdict) {
	if g.Ails == nil {
		return v
	}
	v, lost := health.Loss(*g.Ails, now)
	if !lost {
		return health.Verdict{Until: v.Until}
	}
	return v
}

// facts are what a group is judged by.
func (g Group) facts(host protection.Host, open []store.Job) protection.Facts {
	f := protection.Facts{Group: g.Facts, Name: g.Name, CreatedAt: g.CreatedAt, AllowEmpty: g.AllowEmpty, Plans: g.plans, Host: host,
		ReplacedAt: g.ReplacedAt, ServedBy: g.ServedBy, ServedSlot: g.ServedSlot, AcknowledgedAt: g.AcknowledgedAt, Elsewhere: g.Elsewhere,
		ElsewhereAt: g.ElsewhereAt}
	for _, j := range open {
		switch {
		case j.Kind != topics.BackupJob || j.SourceGroup != g.ID:
		case j.State == topics.Running:
			f.RunningSince = j.StartedAt
		default:
			f.Waiting = true
		}
	}
	if last := g.Facts.Last; last.State != topics.Succeeded && last.Cause != "" {
		f.FailedWords = jobs.Explain(topics.BackupJob, last.Cause, last.State).Cause
	}
	return f
}

// same reports whether nothing that anybody reads of two entries of a host differs.
func (e *Entry) same(o *Entry) bool {
	return shown(e.Verdict) == shown(o.Verdict) && e.Proof == o.Proof &&
		slices.EqualFunc(e.Groups, o.Groups, func(a, b Group) bool {
			return shown(a.Verdict) == shown(b.Verdict) &&
				slices.EqualFunc(a.Also, b.Also, func(a, b protection.Verdict) bool { return shown(a) == shown(b) })
		})
}

// shown is a verdict without what only the board goes by.
func shown(v protection.Verdict) protection.Verdict {
	v.Until = 0
	return v
}
