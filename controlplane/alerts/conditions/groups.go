package conditions

import (
	"time"

	"github.com/restic-manager/restic-manager/store/alerts"
)

const (
	hour = 60 * 60
	day  = 24 * hour

	begun = 24 * time.Hour // after that nobody sets a host up any more
)

var ofGroups = []Condition{
	{
		Name: BackupFailed, On: alerts.OnGroup, Severity: alerts.Critical,
		Title: "backups fail",
		When: "The last backup of a source group failed, was interrupted or was given up, and is not tried again by itself: its schedule's " +
			"retries are used up, or there are none.",
		Cause: "{why}",
		Do:    "Read in the job what was in the way, mend it, and back up again.",
		Ends:  "A backup of the group succeeds, or makes a snapshot with warnings.",
		Explained: []Name{RepositoryDamaged, RepositoryMissing, RepositoryUnreadable, RepositoryUnreachable, RepositoryLocked, RepositoryFull,
			HostDisk, Twins},
	},
	{
		Name: BackupWarnings, On: alerts.OnGroup, Severity: alerts.Warning, Measure: Times, Default: 3,
		Title:     "backups are incomplete",
		When:      "{limit} backups of a source group in a row ended with the same warnings.",
		Cause:     "{why} The last {times} backups ended with the same warnings.",
		Do:        "Look in the job at what could not be read. Let the agent read it, or exclude it from the source group.",
		Ends:      "A backup of the group makes a snapshot without these warnings.",
		Explained: []Name{BackupFailed, SourceEmpty, SnapshotsLost, RepositoryDamaged},
	},
	{
		Name: Overdue, On: alerts.OnGroup, Severity: alerts.Critical, Measure: Seconds,
		Title: "no good backup",
		When: "The last good backup of a source group is older than its schedules promise, or than the host's limit where no schedule counts. " +
			"With a threshold: older than {limit}, whatever is promised.",
		Cause: "{why}",
		Do:    "See that the host runs and its agent is connected, and that a schedule is on. Then back up now.",
		Ends:  "A good backup of the group is made.",
		Explained: []Name{BackupFailed, SourceEmpty, SnapshotsLost, RepositoryMissing, RepositoryUnreadable, RepositoryUnreachable,
			RepositoryFull,
			HostDisk, Twins},
	},
	{
		Name: NeverBackedUp, On: alerts.OnGroup, Severity: alerts.Warning, Quiet: begun,
		Title: "never backed up",
		When: "Nothing of a source group was ever backed up, and no schedule will do it; or a host that does not just look after " +
			"repositories has no source group at all.",
		Cause: "{why}",
		Do:    "Say on the host's page what is to be backed up and when, and start the first backup.",
		Ends:  "A backup is made, or a schedule is to make one. Of a host: it has a source group.",
		Explained: []Name{BackupFailed, Overdue, SnapshotsLost, SlotMissed, RepositoryMissing, RepositoryUnreadable,
			RepositoryUnreachable},
	},
	{
		Name: Unscheduled, On: alerts.OnGroup, Severity: alerts.Warning, Quiet: begun,
		Title:     "no schedule",
		When:      "A source group has a backup, and no schedule will make the next one. A schedule that is paused counts as one.",
		Cause:     "The last backup is within the limit, but no schedule will make the next one.",
		Do:        "Make a schedule on the host's page.",
		Ends:      "A schedule backs the group up.",
		Explained: []Name{NeverBackedUp, Overdue, BackupFailed, SnapshotsLost},
	},
	{
		Name: SlotMissed, On: alerts.OnGroup, Severity: alerts.Warning,
		Title: "a scheduled backup is late",
		When: "A slot of a schedule and its grace have passed without a good backup. The grace is an hour and what a backup usually takes. " +
			"Slots while a host that comes and goes is asleep, or while the schedule is paused, do not count.",
		Cause: "{why}",
		Do:    "See why on the schedule's page. If the host is about to catch up, nothing is to be done.",
		Ends:  "A good backup of the group is made.",
		Explained: []Name{Overdue, BackupFailed, SourceEmpty, SnapshotsLost, HostOffline, HostDisk, Twins, RepositoryMissing,
			RepositoryUnreadable, RepositoryUnreachable, RepositoryLocked, RepositoryFull},
	},
	{
		Name: SnapshotsLost, On: alerts.OnGroup, Severity: alerts.Critical,
		Title: "snapshots are gone",
		When: "Snapshots of a source group are gone that no job of ours removed, and nobody has acknowledged which, or none is left that " +
			"holds files.",
		Cause: "{why}",
		Do: "Look on the repository's page who removed them, and by which credential. Then acknowledge there that they are gone, and " +
			"back up anew.",
		Ends:      "An administrator acknowledges the loss on the repository's page, or the snapshots are there again.",
		Explained: []Name{RepositoryMissing, RepositoryUnreadable},
	},
	{
		Name: SourceEmpty, On: alerts.OnGroup, Severity: alerts.Critical,
		Title: "there was nothing to back up",
		When: "The newest snapshot of a source group holds no file, or less than 2 % of what those before it held, and the group may not " +
			"be empty.",
		Cause:     "{why}",
		Do:        "Look on the host whether the source is mounted and the paths are right. If it may be empty, allow that in the source group.",
		Ends:      "A backup holds files again, or the group may be empty, or somebody accepts the new size.",
		Explained: []Name{BackupFailed, SnapshotsLost, RepositoryMissing, RepositoryUnreadable},
	},
	{
		Name: SizeAnomaly, On: alerts.OnGroup, Severity: alerts.Warning, Measure: Percent, Default: 50,
		Title: "the backup is far smaller than usual",
		When: "The newest backup of a source group holds {limit} or less of the files or bytes that its last 30 good backups usually held, " +
			"and is " +
			"outside of how much they differ. There are at least 8 of them, since the group's paths were changed or its size was accepted.",
		Cause: "It holds {is}, where {usual} was usual in the last {n}.",
		Do: "Look on the host whether files are missing or a disk is not mounted; older snapshots still hold them. If it is as it should be, " +
			"accept the new size on the host's page.",
		Ends:      "A backup has the usual size again, or somebody accepts the new one.",
		Explained: []Name{BackupFailed, SourceEmpty, SnapshotsLost},
	},
	{
		Name: ChangeAnomaly, On: alerts.OnGroup, Severity: alerts.Critical, Measure: Times, Default: 10,
		Title: "far more changed than usual",
		When: "A backup of a source group added {limit} times or more what its last 30 good backups usually added, outside of how much they " +
			"differ; or most of its files changed at once. There are at least 8 of them, since the group's paths were changed or its size was " +
			"accepted.",
		Cause: "{why}",
		Do: "Look at files of the host now: if they cannot be opened, somebody may be encrypting them. Then disconnect the host, keep the " +
			"snapshots before this one, and restore from them elsewhere. If the change was meant, accept it on the host's page, or end this alert.",
		Ends: "Somebody accepts the new size on the host's page, or ends the alert; else after seven days in which no backup was unusual.",
	},
	{
		Name: DrillFailed, On: alerts.OnGroup, Severity: alerts.Critical,
		Title:     "a restore could not be proven",
		When:      "The last drill of a source group did not bring its files back as they were saved.",
		Cause:     "{why}",
		Do:        "Look in the drill at the files that were not proven, and have the repository checked with all its data.",
		Ends:      "A drill proves the group.",
		Explained: []Name{RepositoryDamaged, RepositoryMissing, RepositoryUnreadable, RepositoryUnreachable},
	},
}
