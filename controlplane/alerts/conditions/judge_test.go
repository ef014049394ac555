package conditions

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/pauses"
	"github.com/restic-manager/restic-manager/topics"
)

// found lists the conditions that hold, in order.
func found(f Facts, l Limits, now time.Time) (names []Name) {
	holds, _ := Judge(f, l, now)
	for _, h := range holds {
		names = append(names, Name(h.Condition))
	}
	slices.Sort(names)
	return names
}

// A neighbour is something near to a condition for which nothing must be opened.
type neighbour struct {
	what  string
	facts func(now int64) Facts
	l     Limits
	also  []Name // that hold all the same
}

// changed is a sample with something else.
func changed(name Name, change func(f *Facts, now int64)) func(int64) Facts {
	return func(now int64) Facts {
		f := samples[name](now)
		change(&f, now)
		return f
	}
}

func host(change func(h *Host, now int64)) func(f *Facts, now int64) {
	return func(f *Facts, now int64) { change(&f.Hosts[0], now) }
}

func group(change func(g *Group, now int64)) func(f *Facts, now int64) {
	return func(f *Facts, now int64) { change(&f.Hosts[0].Groups[0], now) }
}

func repository(change func(r *Repository, now int64)) func(f *Facts, now int64) {
	return func(f *Facts, now int64) { change(&f.Repositories[0], now) }
}

// cases have for every condition what ends it, and its neighbours.
var cases = map[Name]struct {
	ends       func(f *Facts, now int64)
	neighbours []neighbour
}{
	BackupFailed: {group(func(g *Group, now int64) { g.Last.State, g.FailedSince = topics.Succeeded, 0 }), []neighbour{
		{what: "it is tried again by itself", facts: changed(BackupFailed,
			group(func(g *Group, now int64) { g.GaveUp, g.Retrying = false, true }))},
		{what: "it made a snapshot with warnings", facts: changed(BackupFailed, group(func(g *Group, now int64) {
			g.Last.State, g.FailedSince, g.Warned = topics.Warnings, 0, Streak{Times: 1, Run: g.Last}
		}))},
		{what: "a person cancelled it", facts: changed(BackupFailed, group(func(g *Group, now int64) { g.Last.State = topics.Cancelled }))},
		{what: "a good backup came after it", facts: changed(BackupFailed, group(func(g *Group, now int64) { g.FailedSince = 0 }))},
		{what: "the host is retired", facts: changed(BackupFailed, host(func(h *Host, now int64) { h.Retired = true }))},
		{what: "somebody switched it off for the host", facts: samples[BackupFailed],
			l: Limits{{Condition: BackupFailed, Scope: ScopeHost, Subject: "example-host", Off: true}}},
	}},
	BackupWarnings: {group(func(g *Group, now int64) { g.Warned = Streak{} }), []neighbour{
		{what: "the second in a row", facts: changed(BackupWarnings, group(func(g *Group, now int64) { g.Warned.Times = 2 }))},
		{what: "the third, where five are let be", facts: samples[BackupWarnings],
			l: Limits{{Condition: BackupWarnings, Scope: ScopeFleet, Value: 5}}},
	}},
	Overdue: {group(func(g *Group, now int64) { g.Said, g.LastGood = nil, now }), []neighbour{
		{what: "late is not overdue", facts: changed(Overdue, group(func(g *Group, now int64) { g.Said[0].Status = protection.Late })),
			also: []Name{SlotMissed}},
		{what: "a laptop asleep within its limit, where servers have 26 h", facts: changed(Overdue, host(func(h *Host, now int64) {
			h.Intermittent, h.Offline, h.SeenAt = true, true, now-3*dayMillis
			h.Groups[0].Said = []protection.Verdict{{Status: protection.Asleep}}
		})), l: Limits{{Condition: Overdue, Scope: ScopeFleet, Value: 26 * hour}}},
		{what: "all schedules are paused", facts: changed(Overdue, group(func(g *Group, now int64) {
			g.Enabled, g.Said = 0, []protection.Verdict{{Status: protection.Paused, Cause: protection.CausePaused}}
		})), l: Limits{{Condition: Overdue, Scope: ScopeFleet, Value: 26 * hour}}},
		{what: "the host is paused, and was before the limit was over", facts: changed(Overdue, host(func(h *Host, now int64) {
			h.Pauses = pauses.List{{From: h.Groups[0].LastGood + hourMillis, Until: now + hourMillis}}
			h.Groups[0].Said = []protection.Verdict{{Status: protection.Paused, Cause: protection.CauseHostPaused}}
		})), l: Limits{{Condition: Overdue, Scope: ScopeFleet, Value: 26 * hour}}},
		{what: "its machine was replaced, and nobody has decided", facts: changed(Overdue, group(func(g *Group, now int64) {
			g.Replacing, g.Said[0].Cause = true, protection.CauseReplaced
		}))},
		{what: "the host is retired", facts: changed(Overdue, host(func(h *Host, now int64) { h.Retired = true }))},
		{what: "a threshold of a week", facts: samples[Overdue],
			l: Limits{{Condition: Overdue, Scope: ScopeHost, Subject: "example-host", Value: 7 * day}}, also: []Name{SlotMissed}},
	}},
	NeverBackedUp: {group(func(g *Group, now int64) { g.Said, g.Schedules, g.Enabled, g.LastGood = nil, 1, 1, now }), []neighbour{
		{what: "a first backup whose slot is to come", facts: changed(NeverBackedUp,
			group(func(g *Group, now int64) { g.Schedules, g.Enabled = 1, 1 }))},
		{what: "its schedules are paused", facts: changed(NeverBackedUp, group(func(g *Group, now int64) { g.Schedules = 1 }))},
		{what: "the host was enrolled today", facts: changed(NeverBackedUp,
			host(func(h *Host, now int64) { h.EnrolledAt = now - 23*hourMillis }))},
		{what: "the group was made today", facts: changed(NeverBackedUp, group(func(g *Group, now int64) { g.CreatedAt = now - hourMillis }))},
		{what: "a keeper without groups", facts: ofHost(func(h *Host, now int64) { h.Groups, h.Keeper = nil, true })},
		{what: "a new host without groups", facts: ofHost(func(h *Host, now int64) { h.Groups, h.EnrolledAt = nil, now-hourMillis })},
		{what: "a retired host without groups", facts: ofHost(func(h *Host, now int64) { h.Groups, h.Retired = nil, true })},
		{what: "its first backup runs", facts: changed(NeverBackedUp, group(func(g *Group, now int64) {
			g.Said = []protection.Verdict{{Status: protection.Running}}
		}))},
		{what: "its machine was replaced", facts: changed(NeverBackedUp, group(func(g *Group, now int64) { g.Replacing = true }))},
	}},
	Unscheduled: {group(func(g *Group, now int64) { g.Schedules, g.Enabled = 1, 1 }), []neighbour{
		{what: "its schedule is paused", facts: changed(Unscheduled, group(func(g *Group, now int64) { g.Schedules = 1 }))},
		{what: "the host is new", facts: changed(Unscheduled, host(func(h *Host, now int64) { h.EnrolledAt = now - hourMillis }))},
		{what: "its machine was replaced", facts: changed(Unscheduled, group(func(g *Group, now int64) { g.Replacing = true }))},
	}},
	SlotMissed: {group(func(g *Group, now int64) { g.Said, g.LastGood = nil, now }), []neighbour{
		{what: "the host is asleep", facts: changed(SlotMissed, group(func(g *Group, now int64) {
			g.Said = []protection.Verdict{{Status: protection.Asleep}}
		}))},
		{what: "over the limit in days, with no slot missed", facts: changed(SlotMissed, group(func(g *Group, now int64) {
			g.Said[0].Status, g.Said[0].Cause = protection.Overdue, protection.CauseOverLimit
		})), also: []Name{Overdue}},
		{what: "its machine was replaced", facts: changed(SlotMissed, group(func(g *Group, now int64) { g.Replacing = true }))},
	}},
	SnapshotsLost: {group(func(g *Group, now int64) { g.Said = nil }), []neighbour{
		{what: "the loss is acknowledged", facts: changed(SnapshotsLost, group(func(g *Group, now int64) {
			g.Said[0].Status, g.Said[0].Cause = protection.Warning, protection.CauseAcknowledged
		}))},
		{what: "the repository is gone, which is said of that", facts: changed(SnapshotsLost, group(func(g *Group, now int64) {
			g.Said[0].Cause = protection.CauseMissing
		}))},
	}},
	SourceEmpty: {group(func(g *Group, now int64) { g.Said = nil }), []neighbour{
		{what: "far fewer files", facts: changed(SourceEmpty, group(func(g *Group, now int64) {
			g.Said[0].Status, g.Said[0].Cause = protection.Warning, protection.CauseFewFiles
		}))},
	}},
	SizeAnomaly: {group(func(g *Group, now int64) { s := sampleSize(now); g.Size = &s }), []neighbour{
		{what: "a group that grows and shrinks by as much anyhow", facts: changed(SizeAnomaly, group(func(g *Group, now int64) {
			g.Size.Bytes.Spread, g.Size.Files.Spread = 20<<30, 40_000
		}))},
		{what: "seven backups before", facts: changed(SizeAnomaly, group(func(g *Group, now int64) { g.Size.Files.N, g.Size.Bytes.N = 7, 7 }))},
		{what: "the first backup", facts: changed(SizeAnomaly, group(func(g *Group, now int64) {
			g.Size.Files, g.Size.Bytes = Compared{Is: 10}, Compared{Is: 10}
		}))},
		{what: "a tiny group", facts: changed(SizeAnomaly, group(func(g *Group, now int64) {
			g.Size.Files = Compared{Is: 1, Median: 9, N: 30}
			g.Size.Bytes = Compared{Is: 1 << 10, Median: 9 << 20, N: 30}
		}))},
		{what: "accepted, or of other paths: gather gives none", facts: changed(SizeAnomaly, group(func(g *Group, now int64) { g.Size = nil }))},
		{what: "half is let be", facts: samples[SizeAnomaly], l: Limits{{Condition: SizeAnomaly, Scope: ScopeTag, Subject: "x", Value: 90},
			{Condition: SizeAnomaly, Scope: ScopeFleet, Value: 10}}},
	}},
	ChangeAnomaly: {group(func(g *Group, now int64) { g.Unusual = nil }), []neighbour{
		{what: "files that were merely touched", facts: changed(ChangeAnomaly,
			group(func(g *Group, now int64) { g.Unusual.Added.Is = 40 << 20 }))},
		{what: "a dump of which every file is another each time", facts: changed(ChangeAnomaly, group(func(g *Group, now int64) {
			g.Unusual.Changed = Compared{Is: 200_000, Median: 200_000, N: 30}
			g.Unusual.Added = Compared{Is: 93 << 30, Median: 92 << 30, Spread: 1 << 30, N: 30}
		}))},
		{what: "a hundred times of next to nothing", facts: changed(ChangeAnomaly, group(func(g *Group, now int64) {
			g.Unusual.Changed.Is, g.Unusual.Added = 10, Compared{Is: 1 << 30, Median: 4096, N: 30}
		}))},
		{what: "seven backups before", facts: changed(ChangeAnomaly, group(func(g *Group, now int64) { g.Unusual.Files.N = 7 }))},
		{what: "nine days ago", facts: changed(ChangeAnomaly, group(func(g *Group, now int64) { g.Unusual.At = now - 9*dayMillis }))},
		{what: "by a clock a year ahead", facts: changed(ChangeAnomaly, group(func(g *Group, now int64) { g.Unusual.At = now + 365*dayMillis }))},
	}},
	DrillFailed: {group(func(g *Group, now int64) { g.Drill.Proven = true }), []neighbour{
		{what: "never tried", facts: changed(DrillFailed, group(func(g *Group, now int64) { g.Drill = nil }))},
	}},
	DrillOverdue: {host(func(h *Host, now int64) { h.Proof = drills.State{Word: drills.Proven, At: now} }), []neighbour{
		{what: "no drills are planned", facts: changed(DrillOverdue, host(func(h *Host, now int64) { h.DrillPlanned = false }))},
		{what: "all schedules are paused", facts: changed(DrillOverdue, group(func(g *Group, now int64) { g.Enabled = 0 }))},
		{what: "a drill failed, which is said of the group", facts: changed(DrillOverdue,
			host(func(h *Host, now int64) { h.Proof.Word = drills.Disproved }))},
		{what: "a new group beside old ones", facts: changed(DrillOverdue, host(func(h *Host, now int64) {
			h.Proof.At, h.Groups[0].CreatedAt = 0, now-10*dayMillis
		}))},
		{what: "a keeper without groups", facts: changed(DrillOverdue, host(func(h *Host, now int64) { h.Groups, h.Keeper = nil, true }))},
		{what: "a new host", facts: changed(DrillOverdue, host(func(h *Host, now int64) { h.EnrolledAt, h.Proof.At = now-30*dayMillis, 0 }))},
	}},
	RestoreFailures: {host(func(h *Host, now int64) { h.Restore.State = topics.Succeeded }), []neighbour{
		{what: "eight days ago", facts: changed(RestoreFailures, host(func(h *Host, now int64) { h.Restore.At = now - 8*dayMillis }))},
		{what: "a person cancelled it", facts: changed(RestoreFailures, host(func(h *Host, now int64) { h.Restore.State = topics.Cancelled }))},
	}},
	HostOffline: {host(func(h *Host, now int64) { h.Offline, h.SeenAt = false, now }), []neighbour{
		{what: "for 29 minutes", facts: changed(HostOffline, host(func(h *Host, now int64) { h.SeenAt = now - 29*minuteMillis }))},
		{what: "a laptop, for six days", facts: changed(HostOffline,
			host(func(h *Host, now int64) { h.Intermittent, h.SeenAt = true, now-6*dayMillis }))},
		{what: "a laptop, beyond the fleet's threshold", facts: changed(HostOffline, host(func(h *Host, now int64) { h.Intermittent = true })),
			l: Limits{{Condition: HostOffline, Scope: ScopeFleet, Value: 60}}},
		{what: "a laptop with a limit of its own", facts: changed(HostOffline, host(func(h *Host, now int64) {
			h.Intermittent, h.OverdueDays, h.SeenAt = true, 30, now-29*dayMillis
		}))},
		{what: "revoked", facts: changed(HostOffline, host(func(h *Host, now int64) { h.Revoked = true }))},
		{what: "retired", facts: changed(HostOffline, host(func(h *Host, now int64) { h.Retired = true }))},
		{what: "the control plane was stopped meanwhile", facts: changed(HostOffline, func(f *Facts, now int64) {
			f.Stopped, f.Began = now-hourMillis, now-10*minuteMillis
		})},
		{what: "it has just started, and nobody knows yet", facts: changed(HostOffline, func(f *Facts, now int64) {
			f.Stopped, f.Began = now-hourMillis, now-minuteMillis
			f.Hosts[0].Offline, f.Hosts[0].Unknown = false, true
		})},
		{what: "it was seen by a clock that was ahead", facts: changed(HostOffline, func(f *Facts, now int64) {
			f.Began, f.Hosts[0].SeenAt = now-5*minuteMillis, now+365*dayMillis
		})},
	}},
	HostDisk: {host(func(h *Host, now int64) { h.DiskFull = false }), []neighbour{
		{what: "revoked", facts: changed(HostDisk, host(func(h *Host, now int64) { h.Revoked = true }))},
	}},
	CertificateEnding: {host(func(h *Host, now int64) { h.CertifiedUntil = now + 90*dayMillis }), []neighbour{
		{what: "in 15 days", facts: changed(CertificateEnding, host(func(h *Host, now int64) { h.CertifiedUntil = now + 15*dayMillis }))},
		{what: "of a host that was never let in", facts: changed(CertificateEnding, host(func(h *Host, now int64) { h.CertifiedUntil = 0 }))},
	}},
	AgentTooOld: {host(func(h *Host, now int64) { h.TooOld = "" }), []neighbour{
		{what: "one that is about to take its plan", facts: changed(AgentTooOld,
			host(func(h *Host, now int64) { h.EnrolledAt = now - minuteMillis }))},
	}},
	ClockOff: {host(func(h *Host, now int64) { h.Clock = 0 }), []neighbour{
		{what: "by 60 s", facts: changed(ClockOff, host(func(h *Host, now int64) { h.Clock = -60_000 }))},
		{what: "of one that is offline", facts: changed(ClockOff, host(func(h *Host, now int64) { h.Offline = true }))},
	}},
	Twins: {host(func(h *Host, now int64) { h.TwinsSince = 0 }), nil},
	MessagesRefused: {host(func(h *Host, now int64) { h.RefusedAt = 0 }), []neighbour{
		{what: "two days ago", facts: changed(MessagesRefused, host(func(h *Host, now int64) { h.RefusedAt = now - 2*dayMillis }))},
	}},
	RepositoryDamaged: {mend, nil},
	RepositoryMissing: {mend, []neighbour{{what: "one that is not made yet",
		facts: sick(health.NeverLookedAt, "never-looked-at", "No job.", 0)}}},
	RepositoryUnreadable:  {mend, nil},
	RepositoryUnreachable: {mend, nil},
	RepositoryLocked: {mend, []neighbour{{what: "for five hours", facts: changed(RepositoryLocked, repository(func(r *Repository, now int64) {
		r.Said[0].Since = now - 5*hourMillis
	}))}}},
	RepositoryFull: {mend, nil},
	RepositoryNearlyFull: {repository(func(r *Repository, now int64) { r.Used = 50 }), []neighbour{
		{what: "nobody can tell", facts: changed(RepositoryNearlyFull, repository(func(r *Repository, now int64) { r.Used = 0 }))},
		{what: "89 %", facts: changed(RepositoryNearlyFull, repository(func(r *Repository, now int64) { r.Used = 89 }))},
	}},
	CheckOverdue: {mend, nil},
	MirrorBehind: {repository(func(r *Repository, now int64) { r.Mirror.Lacks, r.Mirror.Oldest = 0, 0 }), []neighbour{
		{what: "it has no mirror", facts: changed(MirrorBehind, repository(func(r *Repository, now int64) { r.Mirror = nil }))},
		{what: "the next copy is still to come", facts: changed(MirrorBehind, repository(func(r *Repository, now int64) {
			r.Mirror.Oldest = now - dayMillis
		}))},
		{what: "a copy that failed is tried again", facts: changed(MirrorBehind, repository(func(r *Repository, now int64) {
			r.Mirror.Oldest = now - dayMillis
			r.Mirror.Copy = &Run{Job: "job", State: topics.Failed, Cause: topics.CauseLocked, At: now - hourMillis, Retrying: true}
		}))},
		{what: "the last copy failed, and all is there by now", facts: changed(MirrorBehind, repository(func(r *Repository, now int64) {
			r.Mirror = &Mirror{Name: "example-mirror", Copy: &Run{Job: "job", State: topics.Failed, Cause: topics.CauseLocked, At: now - hourMillis}}
		}))},
	}},
	RepositoryGrowth: {repository(func(r *Repository, now int64) { r.Growth.Is = 2 << 30 }), []neighbour{
		{what: "seven days before", facts: changed(RepositoryGrowth, repository(func(r *Repository, now int64) { r.Growth.N = 7 }))},
		{what: "100 MiB where nothing is usual", facts: changed(RepositoryGrowth, repository(func(r *Repository, now int64) {
			r.Growth = &Compared{Is: 100 << 20, N: 30}
		}))},
		{what: "a week ago", facts: changed(RepositoryGrowth, repository(func(r *Repository, now int64) { r.GrowthAt = now - 7*dayMillis }))},
	}},
	ForeignSnapshots: {mend, []neighbour{{what: "snapshots of ours that are missing, which is said of their group",
		facts: sick(health.Foreign, "snapshots-missing", "1 snapshot of ours is missing.", 0)}}},
	ForeignKeys:  {mend, nil},
	ForgetFailed: {repository(func(r *Repository, now int64) { r.Forget.State = topics.Succeeded }), again(ForgetFailed)},
	PruneFailed:  {repository(func(r *Repository, now int64) { r.Prune.State = topics.Succeeded }), again(PruneFailed)},
	CheckFailed:  {repository(func(r *Repository, now int64) { r.Check.State = topics.Succeeded }), again(CheckFailed)},
	PlanHeld:     {repository(func(r *Repository, now int64) { r.Held = nil }), nil},
	ChannelFailing: {func(f *Facts, _ int64) { f.Channels[0].FailingSince = 0 }, []neighbour{
		{what: "it is tried again for some minutes", facts: changed(ChannelFailing, func(f *Facts, now int64) {
			f.Channels[0].FailingSince = now - 9*minuteMillis
		})}, {what: "switched off", facts: func(int64) Facts { return Facts{} }}}},
	PlaneDisk: {nothing, nil}, PlaneDatabase: {nothing, nil}, PlaneBackupLate: {nothing, nil}, PlaneKeyExposed: {nothing, nil},
	PlaneClock: {func(f *Facts, _ int64) {
		for i := range f.Hosts {
			f.Hosts[i].Clock = 100
		}
	}, []neighbour{
		{what: "one host that is off with others that are not", facts: changed(PlaneClock, func(f *Facts, _ int64) {
			f.Hosts[0].Clock, f.Hosts[1].Clock = 100, -100
		}), also: []Name{ClockOff}},
		{what: "hosts that are off each by another span", facts: changed(PlaneClock, func(f *Facts, _ int64) {
			f.Hosts[0].Clock, f.Hosts[1].Clock = -9*minuteMillis, minuteMillis*2
		}), also: []Name{ClockOff, ClockOff, ClockOff}},
		{what: "two hosts alone", facts: changed(PlaneClock, func(f *Facts, _ int64) { f.Hosts = f.Hosts[1:] }),
			also: []Name{ClockOff, ClockOff}},
	}},
	HeartbeatFailing: {nothing, nil},
}

var mend = repository(func(r *Repository, _ int64) { r.Said = []health.Verdict{{Word: health.Healthy}} })

func nothing(f *Facts, _ int64) { f.Plane = nil }

// again are the neighbours of maintenance that fails.
func again(name Name) []neighbour {
	return []neighbour{{what: "it is tried again by itself", facts: changed(name, repository(func(r *Repository, now int64) {
		for _, run := range []*Run{r.Forget, r.Prune, r.Check} {
			if run != nil {
				run.Retrying = true
			}
		}
	}))}}
}

// Every condition is found where it holds, with its own words, and is over when what ends
// it has happened. Beside each, what must not open it is not found.
func TestEveryConditionBeginsAndEnds(t *testing.T) {
	for _, c := range Table() {
		t.Run(string(c.Name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := time.Now()
				of, known := cases[c.Name]
				if !known {
					t.Fatal("no case")
				}
				f := samples[c.Name](now.UnixMilli())
				if got := found(f, nil, now); !slices.Contains(got, c.Name) {
					t.Fatalf("it is not found, %v is", got)
				}
				of.ends(&f, now.UnixMilli())
				if got := found(f, nil, now); len(got) > 0 {
					t.Errorf("after its end %v is found", got)
				}
				for _, n := range of.neighbours {
					if got := found(n.facts(now.UnixMilli()), n.l, now); !slices.Equal(got, n.also) {
						t.Errorf("%s: %v is found, want %v", n.what, got, n.also)
					}
				}
			})
		})
	}
	for name := range cases {
		if _, known := Of(name); !known {
			t.Errorf("%s has a case, and is no condition", name)
		}
	}
}

// A fleet of which nothing is to be said opens nothing, and neither does an empty one.
func TestNothingHoldsOfAFleetThatIsWell(t *testing.T) {
	now := time.Date(2026, 3, 29, 2, 30, 0, 0, time.UTC)
	h := sampleHost(now.UnixMilli())
	laptop := sampleHost(now.UnixMilli())
	laptop.ID, laptop.Intermittent, laptop.Offline, laptop.SeenAt = "laptop", true, true, now.Add(-100*time.Hour).UnixMilli()
	keeper := Host{ID: "keeper", Name: "keeper", Keeper: true, SeenAt: now.UnixMilli()}
	for _, f := range []Facts{{}, {Hosts: []Host{h, laptop, keeper},
		Repositories: []Repository{{ID: "r", Said: []health.Verdict{{Word: health.Healthy}}}}}} {
		if got := found(f, nil, now); len(got) > 0 {
			t.Errorf("%v is found", got)
		}
	}
}

// What time alone opens is opened at the moment that Judge names, and not before.
func TestTheNextMomentIsWhenSomethingChanges(t *testing.T) {
	for name, facts := range map[Name]func(int64) Facts{
		HostOffline: ofHost(func(h *Host, now int64) { h.Offline = true }),
		BackupFailed: changed(BackupFailed, group(func(g *Group, now int64) {
			g.GaveUp, g.Retrying, g.FailedSince = false, true, now
		})),
		RepositoryLocked:  sick(health.Locked, "repository-locked", "A lock.", 0),
		CertificateEnding: ofHost(func(h *Host, now int64) { h.CertifiedUntil = now + 20*dayMillis }),
		NeverBackedUp:     changed(NeverBackedUp, host(func(h *Host, now int64) { h.EnrolledAt, h.Groups[0].CreatedAt = now, now })),
	} {
		synctest.Test(t, func(t *testing.T) {
			f := facts(time.Now().UnixMilli())
			for range 50 {
				holds, next := Judge(f, nil, time.Now())
				if len(holds) > 0 {
					if holds[0].Condition != string(name) {
						t.Errorf("%s is found, want %s", holds[0].Condition, name)
					}
					return
				}
				if next.IsZero() {
					break
				}
				time.Sleep(time.Until(next) - time.Millisecond)
				if got := found(f, nil, time.Now()); len(got) > 0 {
					t.Errorf("%v is found a moment too early", got)
				}
				time.Sleep(time.Millisecond)
			}
			t.Errorf("%s is never found", name)
		})
	}
}

// A host that was offline before the control plane was stopped is so afterwards; one that
// was not has its time anew.
func TestNobodyIsSilentWhileNobodyListens(t *testing.T) {
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) int64 { return start.Add(d).UnixMilli() }
	for _, c := range []struct {
		what           string
		seen           time.Duration // the plane stops after an hour, and begins after five
		unknown        bool
		now, opensAt   time.Duration
		alreadyOffline bool
	}{
		{what: "silent for long when it stopped", seen: 10 * time.Minute, unknown: true, now: 5*time.Hour + time.Second, alreadyOffline: true},
		{what: "and offline then", seen: 10 * time.Minute, now: 5*time.Hour + 5*time.Minute, alreadyOffline: true},
		{what: "there when it stopped", seen: time.Hour, now: 5*time.Hour + 29*time.Minute, opensAt: 5*time.Hour + 30*time.Minute},
		{what: "silent for 20 minutes when it stopped", seen: 40 * time.Minute, now: 5*time.Hour + 9*time.Minute, opensAt: 5*time.Hour +
			10*time.Minute},
	} {
		h := sampleHost(at(0))
		h.Offline, h.Unknown, h.SeenAt, h.Groups = !c.unknown, c.unknown, at(c.seen), nil
		h.Keeper = true
		f := Facts{Hosts: []Host{h}, Stopped: at(time.Hour), Began: at(5 * time.Hour)}
		if got := found(f, nil, start.Add(c.now)); (len(got) > 0) != c.alreadyOffline {
			t.Errorf("%s: %v is found", c.what, got)
		}
		if c.opensAt > 0 {
			if got := found(f, nil, start.Add(c.opensAt)); len(got) != 1 {
				t.Errorf("%s: %v is found in the end", c.what, got)
			}
		}
	}
}

// rises are conditions that are worse at times than in the table.
var rises = map[Name]int{RepositoryLocked: slices.Index(alerts.Severities, alerts.Critical)}

// What explains is as severe at least, and is about the same, or what that belongs to.
func TestOnlyWorseExplains(t *testing.T) {
	for _, c := range Table() {
		for _, name := range c.Explained {
			by, known := Of(name)
			if !known {
				t.Errorf("%s is explained by %s, which is no condition", c.Name, name)
				continue
			}
			if worst := max(slices.Index(alerts.Severities, by.Severity), rises[name]); worst < slices.Index(alerts.Severities, c.Severity) {
				t.Errorf("%s (%s) is explained by %s (%s)", c.Name, c.Severity, name, by.Severity)
			}
			f := Finding{Key: alerts.Key{Condition: string(c.Name), On: c.On, Subject: "x"}, Host: "h", Repository: "r"}
			f.Body.Reason = string(only[name])
			of := map[alerts.On]string{alerts.OnHost: "h", alerts.OnRepository: "r"}
			subject := of[by.On]
			if by.On == c.On {
				subject = "x"
			}
			if !Explains(alerts.Key{Condition: string(name), On: by.On, Subject: subject}, f) {
				t.Errorf("%s can never be explained by %s", c.Name, name)
			}
			if Explains(alerts.Key{Condition: string(name), On: by.On, Subject: "another"}, f) {
				t.Errorf("%s is explained by %s of something else", c.Name, name)
			}
		}
	}
}

// The end of a job decides the same as the next look at everything.
func TestTheEndOfAJobDecidesTheSame(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, name := range []Name{BackupFailed, BackupWarnings, SizeAnomaly, ChangeAnomaly, DrillFailed, RestoreFailures, RepositoryDamaged,
		ForgetFailed, PruneFailed, CheckFailed} {
		f := samples[name](now.UnixMilli())
		all, _ := Judge(f, nil, now)
		some, judged := OfJob(f, nil, now)
		if len(some) != 1 || len(all) != 1 || some[0].Key != all[0].Key || some[0].Body.Cause != all[0].Body.Cause {
			t.Errorf("%s: the job's end finds %+v, the look %+v", name, some, all)
		}
		if !slices.Contains(judged, all[0].Key) {
			t.Errorf("%s was not looked for", name)
		}
		cases[name].ends(&f, now.UnixMilli())
		if name == ChangeAnomaly { // gone with its facts
			continue
		}
		if some, judged := OfJob(f, nil, now); len(some) > 0 || !slices.Contains(judged, all[0].Key) {
			t.Errorf("%s: after its end %+v is found, %v was looked for", name, some, judged)
		}
	}
}

// Words name the subject, the threshold and whose it is.
func TestAFindingSaysWhichThresholdCounts(t *testing.T) {
	now := time.Now()
	f := samples[HostOffline](now.UnixMilli())
	f.Hosts[0].Tags = []string{"servers", "web"}
	l := Limits{{Condition: HostOffline, Scope: ScopeFleet, Value: 2 * hour},
		{Condition: HostOffline, Scope: ScopeTag, Subject: "servers", Value: hour / 4},
		{Condition: HostOffline, Scope: ScopeTag, Subject: "web", Value: hour / 2}}
	holds, _ := Judge(f, l, now)
	if len(holds) != 1 || holds[0].Body.Limit != "15 min, of the tag servers" || !strings.Contains(holds[0].Body.Cause, "15 min") {
		t.Errorf("%+v", holds)
	}
}
