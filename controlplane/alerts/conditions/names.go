package conditions

// The conditions of source groups.
const (
	BackupFailed   Name = "backup-failed"
	BackupWarnings Name = "backup-warnings"
	Overdue        Name = "overdue"
	NeverBackedUp  Name = "never-backed-up"
	Unscheduled    Name = "unscheduled"
	SlotMissed     Name = "slot-missed"
	SnapshotsLost  Name = "snapshots-lost"
	SourceEmpty    Name = "source-empty"
	SizeAnomaly    Name = "size-anomaly"
	ChangeAnomaly  Name = "change-anomaly"
	DrillFailed    Name = "drill-failed"
)

// The conditions of hosts.
const (
	DrillOverdue      Name = "drill-overdue"
	RestoreFailures   Name = "restore-failures"
	HostOffline       Name = "host-offline"
	HostDisk          Name = "host-disk"
	CertificateEnding Name = "certificate-ending"
	AgentTooOld       Name = "agent-too-old"
	ClockOff          Name = "clock-off"
	Twins             Name = "twins"
	MessagesRefused   Name = "messages-refused"
)

// The conditions of repositories.
const (
	RepositoryDamaged     Name = "repository-damaged"
	RepositoryMissing     Name = "repository-missing"
	RepositoryUnreadable  Name = "repository-unreadable"
	RepositoryUnreachable Name = "repository-unreachable"
	RepositoryLocked      Name = "repository-locked"
	RepositoryFull        Name = "repository-full"
	RepositoryNearlyFull  Name = "repository-nearly-full"
	MirrorBehind          Name = "mirror-behind"
	CheckOverdue          Name = "check-overdue"
	RepositoryGrowth      Name = "repository-growth"
	ForeignSnapshots      Name = "foreign-snapshots"
	ForeignKeys           Name = "foreign-keys"
	ForgetFailed          Name = "forget-failed"
	PruneFailed           Name = "prune-failed"
	CheckFailed           Name = "check-failed"
	PlanHeld              Name = "plan-held"
)

// The conditions of channels and of the control plane.
const (
	ChannelFailing   Name = "channel-failing"
	PlaneDisk        Name = "plane-disk"
	PlaneDatabase    Name = "plane-database"
	PlaneBackupLate  Name = "plane-backup-late"
	PlaneKeyExposed  Name = "plane-key-exposed"
	PlaneClock       Name = "plane-clock"
	HeartbeatFailing Name = "heartbeat-failing"
)
