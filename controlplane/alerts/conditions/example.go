package conditions

import (
	"time"

	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

// Example is a condition as it would be found, with made-up names and figures: for trying
// whether and how people are told of it. ok is false if there is no such condition.
func Example(name Name, now time.Time) (f Finding, ok bool) {
	sample, known := samples[name]
	if !known {
		return Finding{}, false
	}
	all, _ := Judge(sample(now.UnixMilli()), nil, now)
	for _, f := range all {
		if f.Condition == string(name) {
			return f, true
		}
	}
	return Finding{}, false
}

const (
	minuteMillis = 60_000
	hourMillis   = hour * 1000
	dayMillis    = day * 1000
)

// sampleHost is a host of which nothing is to be said, with one group.
func sampleHost(now int64) Host {
	return Host{ID: "example-host", Name: "example-host", EnrolledAt: now - 100*dayMillis, SeenAt: now, CertifiedUntil: now + 200*dayMillis,
		Proof: drills.State{Word: drills.Proven, At: now - dayMillis},
		Groups: []Group{{ID: "example-group", Name: "files", Repository: "example-repository", CreatedAt: now - 100*dayMillis,
			LastGood: now - 2*hourMillis, Schedules: 1, Enabled: 1,
			Last: Run{Job: "example-job", State: topics.Succeeded, At: now - 2*hourMillis}}}}
}

// ofHost and ofGroup are samples of one host, and of its group.
func ofHost(change func(h *Host, now int64)) func(int64) Facts {
	return func(now int64) Facts {
		h := sampleHost(now)
		change(&h, now)
		return Facts{Hosts: []Host{h}}
	}
}

func ofGroup(change func(g *Group, now int64)) func(int64) Facts {
	return ofHost(func(h *Host, now int64) { change(&h.Groups[0], now) })
}

func says(v protection.Verdict, ago int64) func(int64) Facts {
	return ofGroup(func(g *Group, now int64) {
		v := v
		v.Since = now - ago
		g.Said = []protection.Verdict{v}
		g.LastGood = now - 3*dayMillis
	})
}

func ofRepository(change func(r *Repository, now int64)) func(int64) Facts {
	return func(now int64) Facts {
		r := Repository{ID: "example-repository", Name: "example-repository"}
		change(&r, now)
		return Facts{Repositories: []Repository{r}}
	}
}

func sick(word health.Word, cause, reason string, ago int64) func(int64) Facts {
	return ofRepository(func(r *Repository, now int64) {
		r.Said = []health.Verdict{{Word: word, Cause: cause, Reason: reason, Since: now - ago}}
	})
}

// upkeepFails is a run of maintenance that failed.
func upkeepFails(into func(*Repository) **Run) func(int64) Facts {
	return ofRepository(func(r *Repository, now int64) {
		*into(r) = &Run{Job: "example-job", State: topics.Failed, At: now - hourMillis, Brief: "The repository's server could not be reached",
			Why: "The repository's server could not be reached. Nothing was removed.",
			Do:  "Check from the host that the server is up and its name resolves."}
	})
}

func ofPlane(name Name, severity alerts.Severity, say, do string) func(int64) Facts {
	return func(int64) Facts {
		return Facts{Plane: []Notice{{Condition: name, Severity: severity, Say: say, Do: do}}}
	}
}

var samples = map[Name]func(now int64) Facts{
	BackupFailed: ofGroup(func(g *Group, now int64) {
		g.FailedSince, g.GaveUp = now-2*hourMillis, true
		g.Last = Run{Job: "example-job", State: topics.Failed, At: now - hourMillis, Brief: "The repository is locked by another process",
			Why: "The repository is locked by another process. Nothing was saved by this run. Snapshots made before are untouched.",
			Do: "Look whether another backup, check or prune of this repository is running. If nothing of that runs any more, have the locks " +
				"removed."}
	}),
	BackupWarnings: ofGroup(func(g *Group, now int64) {
		g.Warned = Streak{Times: 3, Since: now - 3*dayMillis, Run: Run{Job: "example-job", State: topics.Warnings, At: now - hourMillis,
			Brief: "Some items could not be read", Why: "Some items could not be read. A snapshot exists and holds everything else.",
			Do: "Let the agent read these items, or exclude them from the source group."}}
	}),
	Overdue: says(protection.Verdict{Status: protection.Overdue, Cause: protection.CauseMissedSlots,
		Reason: `3 slots in a row of the schedule "nightly" have passed without a good backup.`}, hourMillis),
	NeverBackedUp: ofGroup(func(g *Group, now int64) {
		g.LastGood, g.Last, g.Schedules, g.Enabled = 0, Run{}, 0, 0
		g.Said = []protection.Verdict{{Status: protection.NoBackupYet, Cause: protection.CauseNever,
			Reason: "Nothing of this group was backed up yet."}}
	}),
	Unscheduled: ofGroup(func(g *Group, now int64) { g.Schedules, g.Enabled = 0, 0 }),
	SlotMissed: says(protection.Verdict{Status: protection.Late, Cause: protection.CauseMissedSlots,
		Reason: `A slot of the schedule "nightly" has passed without a good backup.`}, hourMillis),
	SnapshotsLost: says(protection.Verdict{Status: protection.Lost, Cause: protection.CauseSnapshotsGone,
		Reason: "12 snapshots of this group are gone that no job of ours removed; 3 are left."}, hourMillis),
	SourceEmpty: says(protection.Verdict{Status: protection.Empty, Cause: protection.CauseEmpty,
		Reason: "The newest snapshot holds no file."}, hourMillis),
	SizeAnomaly: ofGroup(func(g *Group, now int64) {
		s := sampleSize(now)
		s.Bytes.Is, s.Files.Is = 41<<30, 80_000
		g.Size = &s
	}),
	ChangeAnomaly: ofGroup(func(g *Group, now int64) {
		s := sampleSize(now)
		s.Added.Is, s.Changed.Is = 80<<30, 184_210
		g.Unusual = &s
	}),
	DrillFailed: ofGroup(func(g *Group, now int64) {
		g.Drill = &drills.Verdict{Group: g.ID, Job: "example-job", At: now - hourMillis,
			Why: "2 of 60 files did not come back as they were saved."}
	}),
	DrillOverdue: ofHost(func(h *Host, now int64) {
		h.DrillPlanned, h.Proof = true, drills.State{Word: drills.Unproven, At: now - 40*dayMillis}
	}),
	RestoreFailures: ofHost(func(h *Host, now int64) {
		h.Restore = &Run{Job: "example-job", State: topics.Warnings, At: now - hourMillis, Missed: 14,
			Why: "Some files could not be brought back. Everything else is in the target.", Do: "Restore what is missing to another target."}
	}),
	HostOffline: ofHost(func(h *Host, now int64) { h.Offline, h.SeenAt = true, now-hourMillis }),
	HostDisk: ofHost(func(h *Host, now int64) {
		h.DiskFull, h.DiskSince, h.DiskSays = true, now-hourMillis, "no space left on device"
	}),
	CertificateEnding: ofHost(func(h *Host, now int64) {
		h.CertifiedUntil = now + 10*dayMillis
	}),
	AgentTooOld: ofHost(func(h *Host, now int64) {
		h.TooOld = "It cannot run schedules by itself: this server starts its backups, and none begins while it cannot be reached."
	}),
	ClockOff: ofHost(func(h *Host, now int64) { h.Clock = 5 * minuteMillis }),
	Twins:    ofHost(func(h *Host, now int64) { h.TwinsSince = now - hourMillis }),
	MessagesRefused: ofHost(func(h *Host, now int64) {
		h.RefusedAt = now - hourMillis
		h.RefusedSays = "Messages in its name, or ours there, were refused, 3 times so far: its MAC does not hold."
	}),
	RepositoryDamaged: sick(health.Damaged, "repository-damaged",
		"A check found 3 errors, and no check as large has found it whole since.", hourMillis),
	RepositoryMissing: sick(health.Missing, "repository-missing",
		"It was there, and example-host finds nothing in its place any more.", hourMillis),
	RepositoryUnreadable: sick(health.Unreadable, "repository-unreadable",
		"Its password does not open it, as example-host found out.", hourMillis),
	RepositoryUnreachable: sick(health.Unreachable, "repository-unreachable", "Its server does not answer example-host.", hourMillis),
	RepositoryLocked: sick(health.Locked, "repository-locked",
		"A lock lies in it that a process on example-host left behind.", 7*hourMillis),
	RepositoryFull:       sick(health.Full, "repository-full", "There was no space left for what example-host wrote.", hourMillis),
	RepositoryNearlyFull: ofRepository(func(r *Repository, now int64) { r.Used = 93 }),
	CheckOverdue:         sick(health.CheckOverdue, "check-overdue", "No check of it has ended within 14 days.", hourMillis),
	MirrorBehind: ofRepository(func(r *Repository, now int64) {
		r.Mirror = &Mirror{Name: "example-mirror", Lacks: 4, Oldest: now - 3*dayMillis}
	}),
	RepositoryGrowth: ofRepository(func(r *Repository, now int64) {
		r.Growth, r.GrowthAt = &Compared{Is: 120 << 30, Median: 2 << 30, Spread: 1 << 29, N: 30}, now
	}),
	ForeignSnapshots: sick(health.Foreign, "foreign-snapshots", "2 snapshots in it were not made by a job of ours.", 0),
	ForeignKeys:      sick(health.Foreign, "foreign-keys", "1 key that is not ours opens it.", hourMillis),
	ForgetFailed:     upkeepFails(func(r *Repository) **Run { return &r.Forget }),
	PruneFailed:      upkeepFails(func(r *Repository) **Run { return &r.Prune }),
	CheckFailed:      upkeepFails(func(r *Repository) **Run { return &r.Check }),
	PlanHeld: ofRepository(func(r *Repository, now int64) {
		r.Held = []Held{{Since: now - hourMillis, Names: []string{"example-host, files"}, Why: "It would remove 40 of 52 snapshots."}}
	}),
	ChannelFailing: func(now int64) Facts {
		return Facts{Channels: []Channel{{ID: "example-channel", Name: "example channel", FailingSince: now - hourMillis,
			Answer: "404 Not Found"}}}
	},
	PlaneDisk: ofPlane(PlaneDisk, alerts.Critical,
		"12 MiB left on the control plane's disk: new jobs are held, and agents keep what their backups say until there is room.",
		"Make room on the disk of the data directory; it goes on by itself then."),
	PlaneDatabase: ofPlane(PlaneDatabase, alerts.Critical,
		"The control plane's database is damaged. Backups on the hosts go on by their schedules; what is shown here may be wrong.",
		"Stop it, and restore its newest copy."),
	PlaneBackupLate: ofPlane(PlaneBackupLate, alerts.Warning,
		"The control plane's database has not been copied for more than 24 h.", "Choose Back up now, and look into the server's log."),
	PlaneKeyExposed: ofPlane(PlaneKeyExposed, alerts.Warning,
		"The key lies beside the database that it encrypts: whoever copies the one has the other.", "Stop the server, and move the key."),
	PlaneClock: func(now int64) Facts {
		var f Facts
		for _, id := range []string{"example-host", "another-host", "third-host"} {
			h := sampleHost(now)
			h.ID, h.Name, h.Clock = topics.HostID(id), id, 5*minuteMillis
			f.Hosts = append(f.Hosts, h)
		}
		return f
	},
	HeartbeatFailing: ofPlane(HeartbeatFailing, alerts.Warning,
		"The service that watches this server from outside answered 404 Not Found to the last pings.", ""),
}

func sampleSize(now int64) Size {
	return Size{Job: "example-job", At: now - hourMillis, Files: Compared{Is: 200_000, Median: 198_000, Spread: 800, N: 30},
		Bytes: Compared{Is: 92 << 30, Median: 92 << 30, Spread: 1 << 30, N: 30}, Added: Compared{Is: 1 << 30, Median: 1 << 30, Spread: 1 << 28,
			N: 30},
		Changed: Compared{Is: 1200, Median: 1200, Spread: 300, N: 30}}
}
