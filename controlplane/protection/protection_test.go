package protection

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/pauses"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// noon is when everything here is judged: Saturday, 2026-11-28 12:00 UTC.
var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) int64 { return noon.Add(-d).UnixMilli() }

func plan(t testing.TB, name, cron, zone string, jitter time.Duration, since int64) Plan {
	t.Helper()
	p, err := slots.Parse(cron, zone, jitter, name)
	if err != nil {
		t.Fatal(err)
	}
	return Plan{ID: topics.ScheduleID(name + "-000001"), Name: name, Policy: p, Enabled: true, Since: since}
}

// snapshot is a good one that took ten minutes.
func snapshot(begun int64) facts.Snapshot {
	return facts.Snapshot{ID: strings.Repeat("a", 64), Begun: begun, Ended: begun + 10*60_000, Files: 100, Bytes: 1_000_000,
		State: topics.Succeeded}
}

// daily is a group that is backed up every night at 2, and was last night.
func daily(t testing.TB) Facts {
	good := snapshot(ago(10 * time.Hour))
	return Facts{CreatedAt: ago(90 * day), Plans: []Plan{plan(t, "nightly", "0 2 * * *", "UTC", 0, ago(60*day))},
		Group: facts.Group{Snapshots: 8, Newest: good, Whole: good, Good: good, MeasureFiles: 100, MeasureBytes: 1_000_000, UsualSeconds: 600,
			Last: facts.Run{State: topics.Succeeded, EndedAt: good.Ended}},
		Repository: Repository{Health: health.Healthy}}
}

// holds replaces the newest snapshot.
func (f *Facts) holds(s facts.Snapshot) {
	f.Newest, f.Whole, f.Good = s, s, s
	f.Last = facts.Run{State: s.State, EndedAt: s.Ended}
	if s.State != topics.Succeeded {
		f.Good = snapshot(s.Begun - day.Milliseconds())
	}
}

// nothing has the group hold nothing.
func (f *Facts) nothing() { f.Group = facts.Group{} }

// failure has the last backup fail just now.
func (f *Facts) failure(s topics.JobState, cause topics.Cause) {
	f.Last = facts.Run{State: s, Cause: cause, EndedAt: ago(time.Hour)}
	f.FailedSince = ago(time.Hour)
}

// paused has the host be paused from a moment until another.
func (f *Facts) paused(from, until int64) {
	f.Host.Pauses = pauses.List{{From: from, Until: until, By: "mqtt:home"}}
}

// TestEachWordAndItsNeighbour has for each word what makes it, and what is nearly that
// and another.
func TestEachWordAndItsNeighbour(t *testing.T) {
	for _, c := range []struct {
		what  string
		edit  func(f *Facts)
		want  Status
		cause string
		since int64 // 0 does not matter
	}{
		{"every night, and last night", func(*Facts) {}, Protected, "", ago(10*time.Hour - 10*time.Minute)},
		{"a backup runs", func(f *Facts) { f.RunningSince = ago(time.Minute) }, Running, CauseRunning, ago(time.Minute)},

		// Lost.
		{"some vanished", func(f *Facts) { f.Group.Lost, f.LostUnacknowledged, f.LostAt = 2, 2, ago(time.Hour) }, Lost, CauseSnapshotsGone,
			ago(time.Hour)},
		{"some vanished, and it was acknowledged", func(f *Facts) { f.Group.Lost, f.AcknowledgedAt = 2, ago(time.Hour) }, Warning,
			CauseAcknowledged, ago(time.Hour)},
		{"and a good one came after that", func(f *Facts) { f.Group.Lost, f.AcknowledgedAt = 2, ago(20*time.Hour) }, Protected, "", 0},
		{"all vanished, and it was acknowledged", func(f *Facts) {
			f.nothing()
			f.Group.Lost, f.AcknowledgedAt, f.LostAt = 8, ago(time.Hour), ago(2*time.Hour)
		}, Lost, CauseSnapshotsGone, ago(2 * time.Hour)},
		{"only one that holds nothing is left", func(f *Facts) {
			f.Group.Lost, f.AcknowledgedAt = 8, ago(time.Hour)
			f.Newest.Files, f.Whole, f.Good = 0, facts.Snapshot{}, facts.Snapshot{}
		}, Lost, CauseSnapshotsGone, 0},
		{"vanished before anybody looked", func(f *Facts) { f.Group.Lost = 2 }, Protected, "", 0},
		{"the repository is gone", func(f *Facts) { f.Repository = Repository{health.Missing, ago(time.Hour)} }, Lost, CauseMissing,
			ago(time.Hour)},
		{"its key is gone", func(f *Facts) { f.Repository.Health = health.Unreadable }, Lost, CauseUnreadable, 0},
		{"the repository is gone before anything was in it", func(f *Facts) {
			f.nothing()
			f.CreatedAt, f.Plans, f.Repository.Health = ago(time.Hour), nil, health.Missing
		}, NoBackupYet, CauseNever, 0},
		{"the repository does not answer", func(f *Facts) { f.Repository.Health = health.Unreachable }, Protected, "", 0},
		{"lost goes before failed", func(f *Facts) {
			f.failure(topics.Failed, topics.CauseLocked)
			f.Group.Lost, f.LostUnacknowledged = 1, 1
		}, Lost, CauseSnapshotsGone, 0},

		// Failed.
		{"failed", func(f *Facts) { f.failure(topics.Failed, topics.CauseLocked) }, Failed, "locked", ago(time.Hour)},
		{"failed for the third time", func(f *Facts) {
			f.failure(topics.Failed, topics.CauseLocked)
			f.FailedSince = ago(30 * time.Hour)
		}, Failed, "locked", ago(30 * time.Hour)},
		{"interrupted", func(f *Facts) { f.failure(topics.Interrupted, "") }, Failed, "unknown", 0},
		{"given up", func(f *Facts) { f.failure(topics.Abandoned, topics.CauseExpired) }, Failed, "expired", 0},
		{"failed, and the next runs", func(f *Facts) {
			f.failure(topics.Failed, topics.CauseLocked)
			f.RunningSince = ago(time.Minute)
		}, Failed, "locked", 0},
		{"failed, and one that began later is whole", func(f *Facts) {
			f.failure(topics.Failed, topics.CauseLocked)
			f.Last.EndedAt = ago(11 * time.Hour)
		}, Protected, "", 0},
		{"failed, never a good one", func(f *Facts) {
			f.nothing()
			f.failure(topics.Failed, topics.CauseSourceMissing)
		}, Failed, "source-missing", 0},
		{"damaged", func(f *Facts) { f.Repository.Health = health.Damaged }, Failed, CauseDamaged, 0},
		{"a check is overdue", func(f *Facts) { f.Repository.Health = health.CheckOverdue }, Protected, "", 0},

		// Overdue.
		{"three nights missed", func(f *Facts) { f.holds(snapshot(ago(4*day + 10*time.Hour))) }, Overdue, CauseMissedSlots, 0},
		{"two days since the first missed", func(f *Facts) { f.holds(snapshot(ago(2*day + 34*time.Hour))) }, Overdue, CauseMissedSlots,
			ago(10 * time.Hour)},
		{"two nights missed", func(f *Facts) { f.holds(snapshot(ago(2*day + 10*time.Hour))) }, Late, CauseMissedSlots,
			ago(34*time.Hour - 70*time.Minute)},
		{"two nights missed, and offline", func(f *Facts) {
			f.holds(snapshot(ago(2*day + 10*time.Hour)))
			f.Host.Offline = true
		}, Late, CauseOffline, 0},
		{"three nights missed, and one runs", func(f *Facts) {
			f.holds(snapshot(ago(4*day + 10*time.Hour)))
			f.RunningSince = ago(time.Hour)
		}, Overdue, CauseMissedSlots, 0},
		{"three nights missed, limit of a week", func(f *Facts) {
			f.holds(snapshot(ago(3*day + 10*time.Hour)))
			f.Host.OverdueDays = 7
		}, Overdue, CauseMissedSlots, ago(10*time.Hour - 70*time.Minute)},
		{"monthly, and three weeks old", func(f *Facts) {
			f.holds(snapshot(ago(27*day + 10*time.Hour)))
			f.Plans[0].Policy = plan(t, "monthly", "0 2 1 * *", "UTC", 0, 0).Policy
		}, Protected, "", 0},
		{"monthly, and the first was missed long ago", func(f *Facts) {
			f.holds(snapshot(ago(40 * day)))
			f.Plans[0].Policy = plan(t, "monthly", "0 2 1 * *", "UTC", 0, 0).Policy
		}, Overdue, CauseMissedSlots, 0},

		// Late.
		{"a night missed", func(f *Facts) { f.holds(snapshot(ago(day + 10*time.Hour))) }, Late, CauseMissedSlots,
			ago(10*time.Hour - 70*time.Minute)},
		{"a slot passed an hour ago, usually done in ten minutes", func(f *Facts) {
			f.Plans[0].Policy = plan(t, "noon", "0 11 * * *", "UTC", 0, 0).Policy
		}, Protected, "", 0},
		{"the schedule was made after the slot", func(f *Facts) {
			f.holds(snapshot(ago(day + 10*time.Hour)))
			f.Plans[0].Since = ago(time.Hour)
		}, Protected, "", 0},
		{"one of two schedules was missed", func(f *Facts) {
			f.Plans = append(f.Plans, plan(t, "morning", "0 8 * * *", "UTC", 0, ago(60*day)))
		}, Late, CauseMissedSlots, 0},
		{"the later one was served by the run of the earlier", func(f *Facts) {
			f.Plans = append(f.Plans, plan(t, "quarter", "5 2 * * *", "UTC", 0, ago(60*day)))
			f.ServedBy = f.Plans[0].ID
		}, Protected, "", 0},
		{"its clock is ahead of ours", func(f *Facts) {
			f.holds(snapshot(ago(10*time.Hour + time.Minute)))
			f.ServedBy, f.ServedSlot = f.Plans[0].ID, ago(10*time.Hour)
		}, Protected, "", 0},
		{"a manual one before the slot is not for it", func(f *Facts) { f.holds(snapshot(ago(10*time.Hour + time.Minute))) }, Late,
			CauseMissedSlots, 0},
		{"incomplete ones serve their slot", func(f *Facts) {
			s := snapshot(ago(10 * time.Hour))
			s.State = topics.Warnings
			f.holds(s)
		}, Warning, CauseIncomplete, 0},
		{"empty ones do not", func(f *Facts) {
			f.Newest.Files, f.Whole = 0, snapshot(ago(4*day+10*time.Hour))
			f.Good = f.Whole
		}, Overdue, CauseMissedSlots, 0},

		// Empty.
		{"no file", func(f *Facts) { f.Newest.Files, f.Newest.Bytes = 0, 0 }, Empty, CauseEmpty, ago(10*time.Hour - 10*time.Minute)},
		{"no file of one source, and files of another", func(f *Facts) {
			f.Newest.State, f.FailedWords = topics.Warnings, "There was nothing to save"
			f.Whole, f.Good.Begun, f.Good.Ended = f.Newest, f.Newest.Begun-1, f.Newest.Ended-1
			f.Last.State, f.Last.Cause = topics.Warnings, topics.CauseEmptySource
		}, Warning, CausePartEmpty, 0},
		{"no file, which is allowed", func(f *Facts) {
			f.Newest.Files, f.Newest.Bytes, f.AllowEmpty = 0, 0, true
			f.Good = f.Newest
		}, Protected, "", 0},
		{"one file of a hundred", func(f *Facts) { f.Newest.Files = 1 }, Empty, CauseCollapsed, 0},
		{"two files of a hundred", func(f *Facts) { f.Newest.Files = 2 }, Warning, CauseFewFiles, 0},
		{"all files, and one percent of the bytes", func(f *Facts) { f.Newest.Bytes = 10_000 }, Empty, CauseCollapsed, 0},
		{"all files, and two percent of the bytes", func(f *Facts) { f.Newest.Bytes = 20_000 }, Protected, "", 0},
		{"one file, and nothing to measure it by", func(f *Facts) { f.Newest.Files, f.MeasureFiles = 1, 0 }, Protected, "", 0},

		// Warning.
		{"49 files of a hundred", func(f *Facts) { f.Newest.Files = 49 }, Warning, CauseFewFiles, 0},
		{"the last ended with warnings and made no snapshot", func(f *Facts) {
			f.Newest.Job = "job-0001"
			f.Last = facts.Run{Job: "job-0002", State: topics.Warnings, EndedAt: ago(time.Hour)}
		}, Warning, CauseIncomplete, ago(time.Hour)},
		{"one before the last did", func(f *Facts) {
			f.Newest.Job = "job-0002"
			f.Last = facts.Run{Job: "job-0001", State: topics.Warnings, EndedAt: ago(20 * time.Hour)}
		}, Protected, "", 0},
		{"half of the files", func(f *Facts) { f.Newest.Files = 50 }, Protected, "", 0},

		// No backup yet.
		{"new, and its first slot is to come", func(f *Facts) {
			f.nothing()
			f.CreatedAt, f.Plans[0].Since = ago(time.Hour), ago(time.Hour)
		}, NoBackupYet, CauseNever, ago(time.Hour)},
		{"new, and its first slot was missed", func(f *Facts) {
			f.nothing()
			f.CreatedAt, f.Plans[0].Since = ago(11*time.Hour), ago(11*time.Hour)
		}, Late, CauseMissedSlots, 0},
		{"new for a year without a schedule", func(f *Facts) {
			f.nothing()
			f.Plans = nil
		}, NoBackupYet, CauseNever, 0},
		{"new, and its first backup runs", func(f *Facts) {
			f.nothing()
			f.CreatedAt, f.Plans[0].Since, f.RunningSince = ago(11*time.Hour), ago(11*time.Hour), ago(10*time.Hour)
		}, Running, CauseRunning, 0},
		{"pointed at another repository", func(f *Facts) {
			f.nothing()
			f.Elsewhere, f.ElsewhereAt = 8, ago(9*time.Hour)
		}, NoBackupYet, CauseNever, 0},
		{"pointed at another repository four nights ago", func(f *Facts) {
			f.nothing()
			f.Elsewhere, f.ElsewhereAt = 8, ago(4*day)
		}, Overdue, CauseMissedSlots, 0},

		// Unscheduled.
		{"no schedule, last night", func(f *Facts) { f.Plans = nil }, Unscheduled, CauseNoSchedule, 0},
		{"no schedule, last night, and one runs", func(f *Facts) { f.Plans, f.RunningSince = nil, ago(time.Minute) }, Unscheduled,
			CauseNoSchedule, 0},
		{"no schedule, three days ago", func(f *Facts) {
			f.Plans = nil
			f.holds(snapshot(ago(3 * day)))
		}, Overdue, CauseOverLimit, ago(day - 10*time.Minute)},
		{"no schedule, three days ago, limit of a week", func(f *Facts) {
			f.Plans, f.Host.OverdueDays = nil, 7
			f.holds(snapshot(ago(3 * day)))
		}, Unscheduled, CauseNoSchedule, 0},
		{"no schedule, three days ago, a laptop", func(f *Facts) {
			f.Plans, f.Host.Intermittent = nil, true
			f.holds(snapshot(ago(3 * day)))
		}, Unscheduled, CauseNoSchedule, 0},

		// Paused.
		{"switched off", func(f *Facts) { f.Plans[0].Enabled, f.Plans[0].PausedAt = false, ago(time.Hour) }, Paused, CausePaused,
			ago(time.Hour)},
		{"switched off for a month", func(f *Facts) {
			f.Plans[0].Enabled, f.Plans[0].PausedAt = false, ago(30*day)
			f.holds(snapshot(ago(30*day + 10*time.Hour)))
		}, Paused, CausePaused, ago(30 * day)},
		{"the host paused an hour ago", func(f *Facts) { f.paused(ago(time.Hour), ago(-23*time.Hour)) }, Paused, CauseHostPaused,
			ago(time.Hour)},
		{"the host paused until now", func(f *Facts) { f.paused(ago(24*time.Hour), noon.UnixMilli()) }, Protected, "", 0},
		{"the host paused from a moment to come on, by a clock that was set back", func(f *Facts) { f.paused(ago(-time.Hour), ago(-day)) },
			Protected, "", 0},
		{"one of two schedules switched off", func(f *Facts) {
			f.Plans = append(f.Plans, plan(t, "weekly", "0 2 * * 0", "UTC", 0, ago(60*day)))
			f.Plans[0].Enabled, f.Plans[0].PausedAt = false, ago(time.Hour)
		}, Protected, "", 0},
		{"paused for days, and no slot was promised in them", func(f *Facts) {
			f.paused(ago(6*day), ago(-day))
			f.holds(snapshot(ago(6*day + 10*time.Hour)))
		}, Paused, CauseHostPaused, ago(6 * day)},
		{"a pause of six days that has ended, and its next slot is to come", func(f *Facts) {
			f.paused(ago(6*day), ago(time.Hour))
			f.holds(snapshot(ago(6*day + 10*time.Hour)))
		}, Protected, "", 0},
		{"and has passed", func(f *Facts) {
			f.paused(ago(7*day), ago(11*time.Hour))
			f.holds(snapshot(ago(7*day + 10*time.Hour)))
		}, Late, CauseMissedSlots, 0},
		{"and three have", func(f *Facts) {
			f.paused(ago(7*day), ago(3*day))
			f.holds(snapshot(ago(7*day + 10*time.Hour)))
		}, Overdue, CauseMissedSlots, 0},
		{"a slot was missed before the pause", func(f *Facts) {
			f.paused(ago(5*time.Hour), ago(-19*time.Hour))
			f.holds(snapshot(ago(day + 10*time.Hour)))
		}, Late, CauseMissedSlots, 0},
		{"three were missed before it", func(f *Facts) {
			f.paused(ago(5*time.Hour), ago(-19*time.Hour))
			f.holds(snapshot(ago(3*day + 10*time.Hour)))
		}, Overdue, CauseMissedSlots, 0},
		{"one was missed before it, and it takes long", func(f *Facts) { // it stays late: nothing more was promised
			f.paused(ago(6*day+5*time.Hour), ago(-19*time.Hour))
			f.holds(snapshot(ago(7*day + 10*time.Hour)))
		}, Late, CauseMissedSlots, 0},
		{"paused, and the last backup failed", func(f *Facts) {
			f.paused(ago(30*time.Minute), ago(-day))
			f.failure(topics.Failed, topics.CauseLocked)
		}, Failed, "locked", 0},
		{"paused, and somebody backs up now", func(f *Facts) {
			f.paused(ago(time.Hour), ago(-day))
			f.RunningSince = ago(time.Minute)
		}, Running, CauseRunning, 0},
		{"paused, and nothing was backed up yet", func(f *Facts) {
			f.paused(ago(time.Hour), ago(-day))
			f.nothing()
			f.CreatedAt, f.Plans[0].Since = ago(2*time.Hour), ago(2*time.Hour)
		}, NoBackupYet, CauseNever, 0},
		{"paused, and no schedule", func(f *Facts) {
			f.paused(ago(time.Hour), ago(-day))
			f.Plans = nil
		}, Unscheduled, CauseNoSchedule, 0},
		{"paused without a schedule, over the limit", func(f *Facts) { // nothing was promised that could be paused
			f.paused(ago(5*day), ago(-day))
			f.Plans = nil
			f.holds(snapshot(ago(3 * day)))
		}, Overdue, CauseOverLimit, 0},
		{"a laptop away, and paused", func(f *Facts) { // of two quiet words the first
			f.paused(ago(time.Hour), ago(-day))
			f.Host.Intermittent, f.Host.Offline, f.Host.SeenAt = true, true, ago(5*time.Hour)
		}, Paused, CauseHostPaused, 0},
		{"a laptop away, paused for longer than its limit", func(f *Facts) {
			f.paused(ago(5*day), ago(-2*day))
			f.Host.Intermittent, f.Host.Offline, f.Host.OverdueDays = true, true, 3
			f.holds(snapshot(ago(5*day + 10*time.Hour)))
		}, Paused, CauseHostPaused, 0},
		{"retired, and paused", func(f *Facts) {
			f.paused(ago(time.Hour), ago(-day))
			f.Host.RetiredAt = ago(2 * time.Hour)
		}, Retired, CauseRetired, 0},
		{"its machine replaced an hour ago", func(f *Facts) {
			f.Plans[0].Enabled, f.Plans[0].PausedAt, f.ReplacedAt = false, ago(time.Hour), ago(time.Hour)
		}, Paused, CauseReplaced, ago(time.Hour)},
		{"its machine replaced a month ago", func(f *Facts) {
			f.Plans[0].Enabled, f.Plans[0].PausedAt, f.ReplacedAt = false, ago(30*day), ago(30*day)
			f.holds(snapshot(ago(30*day + 10*time.Hour)))
		}, Overdue, CauseReplaced, 0},
		{"its machine replaced, and it had no schedule", func(f *Facts) {
			f.Plans, f.ReplacedAt = nil, ago(time.Hour)
		}, Unscheduled, CauseNoSchedule, 0},
		{"its machine replaced, and nothing was ever saved", func(f *Facts) {
			f.nothing()
			f.Plans[0].Enabled, f.ReplacedAt = false, ago(time.Hour)
		}, NoBackupYet, CauseNever, 0},
		{"one of two switched off", func(f *Facts) {
			f.Plans = append(f.Plans, f.Plans[0])
			f.Plans[1].Enabled = false
		}, Protected, "", 0},
		{"switched off after a failure", func(f *Facts) {
			f.Plans[0].Enabled = false
			f.failure(topics.Failed, topics.CauseLocked)
		}, Failed, "locked", 0},
		{"on again an hour ago after a month", func(f *Facts) {
			f.Plans[0].PausedFrom, f.Plans[0].Since = ago(30*day), ago(time.Hour)
			f.holds(snapshot(ago(30*day + 10*time.Hour)))
		}, Overdue, CauseOverLimit, 0},
		{"on again an hour ago after a night", func(f *Facts) {
			f.Plans[0].PausedFrom, f.Plans[0].Since = ago(20*time.Hour), ago(time.Hour)
			f.holds(snapshot(ago(day + 10*time.Hour)))
		}, Protected, "", 0},
		{"paused for an hour after a month of missed nights", func(f *Facts) {
			f.Plans[0].PausedFrom, f.Plans[0].Since = ago(2*time.Hour), ago(time.Hour)
			f.holds(snapshot(ago(30*day + 10*time.Hour)))
		}, Overdue, CauseOverLimit, 0},
		{"paused for an hour between two weeks", func(f *Facts) {
			f.Plans[0] = plan(t, "weekly", "0 2 * * 1", "UTC", 0, ago(time.Hour))
			f.Plans[0].PausedFrom = ago(2 * time.Hour)
			f.holds(snapshot(ago(5*day + 10*time.Hour)))
		}, Protected, "", 0},
		{"changed an hour ago after a month of missed nights", func(f *Facts) {
			f.Plans[0] = plan(t, "weekly", "0 2 * * 0", "UTC", 0, ago(time.Hour))
			f.Plans[0].Owed = ago(10 * time.Hour)
			f.holds(snapshot(ago(30*day + 10*time.Hour)))
		}, Overdue, CauseOverLimit, 0},
		{"changed an hour ago from every week to every night", func(f *Facts) {
			f.Plans[0].Since, f.Plans[0].Owed = ago(time.Hour), ago(5*day+10*time.Hour)
			f.holds(snapshot(ago(5*day + 10*time.Hour)))
		}, Protected, "", 0},
		{"changed minutes after the last of many nights that were missed", func(f *Facts) {
			was := f.Plans[0]
			f.Plans[0] = plan(t, "nightly", "50 11 * * *", "UTC", 0, ago(time.Minute))
			f.Plans[0].Earlier = []Earlier{{Policy: was.Policy, Since: ago(60 * day), Until: ago(9 * time.Hour)},
				{Policy: f.Plans[0].Policy, Since: ago(9 * time.Hour), Until: ago(time.Minute)}}
			f.holds(snapshot(ago(4*day + 10*time.Hour)))
		}, Overdue, CauseOverLimit, 0},
		{"paused, gone on with and changed after many nights that were missed", func(f *Facts) {
			was := f.Plans[0].Policy
			f.Plans[0] = plan(t, "weekly", "0 2 * * 0", "UTC", 0, ago(time.Hour))
			f.Plans[0].Earlier = []Earlier{{Policy: was, Since: ago(60 * day), Until: ago(3 * time.Hour)},
				{Policy: was, Since: ago(3 * time.Hour), Until: ago(2 * time.Hour), Paused: true},
				{Policy: was, Since: ago(2 * time.Hour), Until: ago(time.Hour)}}
			f.holds(snapshot(ago(4*day + 10*time.Hour)))
		}, Overdue, CauseOverLimit, 0},
		{"changed an hour ago from every week to every night, as it is kept now", func(f *Facts) {
			f.Plans[0].Since = ago(time.Hour)
			f.Plans[0].Earlier = []Earlier{{Policy: plan(t, "weekly", "0 2 * * 1", "UTC", 0, 0).Policy, Since: ago(60 * day), Until: ago(time.Hour)}}
			f.holds(snapshot(ago(5*day + 10*time.Hour)))
		}, Protected, "", 0},
		{"changed before the group came to the schedule", func(f *Facts) {
			f.Plans[0].Since, f.Plans[0].Made = ago(time.Hour), ago(2*time.Hour)
			f.Plans[0].Earlier = []Earlier{{Policy: f.Plans[0].Policy, Since: ago(60 * day), Until: ago(time.Hour)}}
			f.holds(snapshot(ago(36 * time.Hour)))
		}, Protected, "", 0},
		{"missed for a month, and the only backup took years by a clock that was set", func(f *Facts) {
			f.UsualSeconds = 50 * 365 * 86400
			f.holds(snapshot(ago(30*day + 10*time.Hour)))
		}, Overdue, CauseMissedSlots, 0},
		{"a backup that usually takes three days", func(f *Facts) {
			f.UsualSeconds = 3 * 86400
			f.holds(snapshot(ago(3*day + 10*time.Hour)))
		}, Protected, "", 0},

		// Asleep.
		{"a laptop away", func(f *Facts) { f.Host = Host{Intermittent: true, Offline: true, SeenAt: ago(5 * time.Hour)} }, Asleep, CauseAsleep,
			ago(5 * time.Hour)},
		{"a laptop here", func(f *Facts) { f.Host.Intermittent = true }, Protected, "", 0},
		{"a laptop of which nobody knows yet", func(f *Facts) { f.Host = Host{Intermittent: true, Unknown: true} }, Protected, "", 0},
		{"a server away", func(f *Facts) { f.Host.Offline = true }, Protected, "", 0},
		{"a laptop away for three nights", func(f *Facts) {
			f.Host = Host{Intermittent: true, Offline: true}
			f.holds(snapshot(ago(4*day + 10*time.Hour)))
		}, Asleep, CauseAsleep, 0},
		{"a laptop away for too long", func(f *Facts) {
			f.Host = Host{Intermittent: true, Offline: true}
			f.holds(snapshot(ago(8 * day)))
		}, Overdue, CauseOverLimit, ago(day - 10*time.Minute)},
		{"a laptop back from three nights away", func(f *Facts) {
			f.Host = Host{Intermittent: true, AwayUntil: ago(time.Minute)}
			f.holds(snapshot(ago(4*day + 10*time.Hour)))
		}, Protected, "", 0},
		{"a laptop that was here and missed last night", func(f *Facts) {
			f.Host = Host{Intermittent: true, AwayUntil: ago(20 * time.Hour)}
			f.holds(snapshot(ago(4*day + 10*time.Hour)))
		}, Late, CauseMissedSlots, 0},
		{"a laptop that was here and missed three nights", func(f *Facts) {
			f.Host = Host{Intermittent: true, AwayUntil: ago(3 * day)}
			f.holds(snapshot(ago(4*day + 10*time.Hour)))
		}, Overdue, CauseMissedSlots, 0},
		{"a laptop away, and its last backup failed", func(f *Facts) {
			f.Host = Host{Intermittent: true, Offline: true}
			f.failure(topics.Failed, topics.CauseLocked)
		}, Failed, "locked", 0},
		{"a laptop away, never backed up", func(f *Facts) {
			f.nothing()
			f.Host = Host{Intermittent: true, Offline: true}
			f.CreatedAt, f.Plans[0].Since = ago(day), ago(day)
		}, NoBackupYet, CauseNever, 0},
		{"a laptop away, never backed up for too long", func(f *Facts) {
			f.nothing()
			f.Host = Host{Intermittent: true, Offline: true}
		}, Overdue, CauseOverLimit, 0},
		// Retired.
		{"retired, and everything is lost", func(f *Facts) {
			f.Host.RetiredAt = ago(time.Hour)
			f.Group.Lost, f.LostUnacknowledged = 1, 1
		}, Retired, CauseRetired, ago(time.Hour)},
	} {
		t.Run(c.what, func(t *testing.T) {
			f := daily(t)
			c.edit(&f)
			v := Judge(f, noon)
			if v.Status != c.want || v.Cause != c.cause {
				t.Fatalf("%s (%s), want %s (%s): %s", v.Status, v.Cause, c.want, c.cause, v.Reason)
			}
			if c.since != 0 && v.Since != c.since {
				t.Errorf("since %s, want %s", time.UnixMilli(v.Since).UTC(), time.UnixMilli(c.since).UTC())
			}
			if v.Since > noon.UnixMilli() {
				t.Errorf("since %s, which is to come", time.UnixMilli(v.Since).UTC())
			}
			tidy(t, v)
			lasts(t, f, v)
		})
	}
}

// tidy checks what holds for every verdict.
func tidy(t interface {
	Helper()
	Errorf(format string, args ...any)
}, v Verdict) {
	t.Helper()
	if !strings.HasSuffix(v.Reason, ".") || strings.Contains(v.Reason, "..") || strings.Contains(v.Reason, "%!") {
		t.Errorf("%s has the reason %q, which is no sentence", v.Status, v.Reason)
	}
	if (v.Cause == "") != (v.Status == Protected) {
		t.Errorf("%s has the cause %q", v.Status, v.Cause)
	}
}

// lasts checks that a verdict holds to the very moment it names, and that time alone
// makes none better.
func lasts(t testing.TB, f Facts, v Verdict) {
	t.Helper()
	for range 20 {
		if v.Until == 0 {
			if later := Judge(f, noon.AddDate(30, 0, 0)); later.Status != v.Status || later.Reason != v.Reason || later.Since != v.Since {
				t.Errorf("%s is to last, and is %s 30 years later", v.Status, later.Status)
			}
			return
		}
		if last := Judge(f, time.UnixMilli(v.Until-1)); last != v {
			t.Fatalf("%+v just before its end is %+v", v, last)
		}
		next := Judge(f, time.UnixMilli(v.Until))
		if next.Status.Rank() > v.Status.Rank() && v.Cause != CauseHostPaused { // the end of a pause alone does
			t.Fatalf("%s became %s by time alone", v.Status, next.Status)
		}
		if next.Until != 0 && next.Until <= v.Until {
			t.Fatalf("at %d the next change is at %d", v.Until, next.Until)
		}
		v = next
	}
	t.Error("it changes for ever")
}

// docs/STATUS.md explains every word, in this order and in the words of pages.
func TestEveryWordIsExplained(t *testing.T) {
	page, err := os.ReadFile("../../docs/STATUS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## How well a source group is protected")
	section, _, _ = strings.Cut(section, "\n## ")
	var explained, shown []string
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.Contains(cells[2], "`") {
			continue
		}
		explained = append(explained, strings.TrimSpace(cells[1])+" "+strings.Trim(cells[2], " `"))
		if strings.TrimSpace(cells[3]) == "" || strings.TrimSpace(cells[4]) == "" {
			t.Errorf("it does not say when, or what to do: %s", line)
		}
	}
	for _, s := range Words {
		v := views.HostStatus(string(s))
		shown = append(shown, v.Word+" "+string(s))
		if v.Word == "Unknown" || v.Rank != s.Rank() || s.Trouble() && (v.Quiet || v.Tone == "ok" || v.Tone == "idle") {
			t.Errorf("pages show %s as %+v", s, v)
		}
	}
	if !slices.Equal(explained, shown) {
		t.Errorf("docs/STATUS.md explains\n%q, the code has\n%q", explained, shown)
	}
}

// A host is the worst of its groups, and looked at again when any of them may change.
func TestAHostIsTheWorstOfItsGroups(t *testing.T) {
	good, lost := Verdict{Status: Protected, Until: 70}, Verdict{Status: Lost}
	late := Verdict{Status: Late, Until: 90, Reason: "A slot passed."}
	for _, c := range []struct {
		what   string
		host   Host
		groups []Verdict
		want   Status
		reason string
		until  int64
	}{
		{"one good group", Host{}, []Verdict{good}, Protected, "", 70},
		{"a good one and a late one", Host{}, []Verdict{good, late}, Late, "Group b: A slot passed.", 70},
		{"the worst last", Host{}, []Verdict{good, late, lost}, Lost, "Group c: ", 70},
		{"a keeper with a group is judged by it", Host{Keeper: true}, []Verdict{late}, Late, "A slot passed.", 90},
		{"a keeper that backs up nothing", Host{Keeper: true}, nil, Keeper,
			"It looks after repositories, and has nothing of its own to back up.", 0},
		{"nothing to back up", Host{}, nil, NoBackupYet, "Nothing on this host is backed up: it has no source group.", 0},
		{"a full disk", Host{DiskFull: true}, []Verdict{good}, Warning,
			"There is no space left on the disk of the agent's state: no job begins there until there is room.", 70},
		{"a full disk, of a keeper", Host{DiskFull: true, Keeper: true}, nil, Warning,
			"There is no space left on the disk of the agent's state: no job begins there until there is room.", 0},
		{"a disk that is almost full", Host{DiskLow: true}, []Verdict{good}, Warning,
			"The disk of the agent's state is almost full: no job will begin there without room.", 70},
		{"a full disk beside something worse", Host{DiskFull: true}, []Verdict{good, late}, Late, "Group b: A slot passed.", 70},
		{"retired, whatever its disk", Host{DiskFull: true, RetiredAt: 5}, nil, Retired,
			"The host is retired: its snapshots are kept, and nothing is expected of it.", 0},
		{"retired, whatever was lost", Host{RetiredAt: 5}, []Verdict{lost}, Retired,
			"The host is retired: its snapshots are kept, and nothing is expected of it.", 0},
	} {
		v := OfHost(c.host, c.groups, []string{"a", "b", "c"})
		if v.Status != c.want || v.Reason != c.reason || v.Until != c.until {
			t.Errorf("%s: %+v, want %s, %q, until %d", c.what, v, c.want, c.reason, c.until)
		}
	}
}

// TestAClockThatWasFarAheadIsNotBelieved: backups that were made while our clock was years
// ahead are not new until then. One that a clock may be set back by is.
func TestAClockThatWasFarAheadIsNotBelieved(t *testing.T) {
	for ahead, want := range map[time.Duration][2]Status{10 * time.Hour: {Protected, Unscheduled}, 3650 * day: {Overdue, Overdue}} {
		f := daily(t)
		f.holds(snapshot(ago(-ahead)))
		if v := Judge(f, noon); v.Status != want[0] {
			t.Errorf("%s ahead, with a schedule: %+v", ahead, v)
		}
		f.Plans = nil
		v := Judge(f, noon)
		if v.Status != want[1] {
			t.Errorf("%s ahead, without a schedule: %+v", ahead, v)
		}
		if v.Status == Overdue && v.Until != noon.Add(ahead-day).UnixMilli() {
			t.Errorf("%s ahead, and it is to be judged again at %d", ahead, v.Until)
		}
	}
}

// What is said of a paused host names who paused it and until when, and what is said of its
// last good backup stays.
func TestAPauseSaysWhoAndUntilWhen(t *testing.T) {
	f := daily(t)
	f.paused(ago(time.Hour), ago(-24*time.Hour))
	v := Judge(f, noon)
	if v.Reason != "Paused by mqtt:home until 29 Nov 2026 12:00 UTC." || v.PromisedBy != "schedule nightly" || v.Good != f.Good {
		t.Errorf("%+v", v)
	}
	if v.Until != ago(-24*time.Hour) {
		t.Errorf("it is to be judged again at %s", time.UnixMilli(v.Until).UTC())
	}
}

// TestANewScheduleIsNoBackup: what was over the limit before its schedule was made stays
// so until that has run; what was not waits for the first slot.
func TestANewScheduleIsNoBackup(t *testing.T) {
	for age, want := range map[time.Duration]Status{3 * day: Overdue, day: Protected} {
		f := daily(t)
		f.holds(snapshot(ago(age)))
		p := plan(t, "weekly", "0 2 * * 0", "UTC", 0, ago(time.Minute))
		p.Made = ago(time.Minute)
		f.Plans = []Plan{p}
		if v := Judge(f, noon); v.Status != want {
			t.Errorf("a backup of %s ago, and a schedule of a minute ago: %+v, want %s", age, v, want)
		}
	}
}
