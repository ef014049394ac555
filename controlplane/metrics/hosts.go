package metrics

import (
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/topics"
)

// A host is what is told of one.
type host struct {
	*fleet.Entry
	alerts int   // that are not over
	paused int64 // until when its schedules are, in Unix milliseconds; 0 is not
}

// A hostFamily writes the lines of a host.
type hostFamily struct {
	Family
	put func(l *lines, h host)
}

// Hosts are told apart by their IDs, which stay: a host that gets another name goes on in
// every diagram. restic_manager_host_info has the name.
var onHost = []string{"host"}

var hostFamilies = []hostFamily{
	{Family{"host_info", Gauge, []string{"host", "name", "tags", "intermittent", "os", "arch", "agent_version", "restic_version"},
		"1; what a host is called, its tags between commas, whether it comes and goes, and what runs there"}, func(l *lines, h host) {
		tags := ""
		if len(h.Tags) > 0 {
			tags = "," + strings.Join(h.Tags, ",") + ","
		}
		l.put(1, string(h.ID), h.Name, tags, yesNo(h.Intermittent), h.OS, h.Arch, h.AgentVersion, h.ResticVersion)
	}},
	{Family{"host_status", Gauge, []string{"host", "status"}, "1 for how well the host is protected, in one word of docs/STATUS.md"},
		func(l *lines, h host) { l.put(1, string(h.ID), string(h.Status)) }},
	{Family{"host_overdue", Gauge, onHost, "1 while a source group has no good backup that is as new as was promised, or as its limit asks"},
		func(l *lines, h host) { l.put(truth(overdue(h.Entry)), string(h.ID)) }},
	{Family{"host_online", Gauge, onHost, "1 while its agent is connected, 0 while it is not; absent while that is not known"},
		func(l *lines, h host) {
			if h.Connection != hosts.Unknown {
				l.put(truth(h.Connection == hosts.Online), string(h.ID))
			}
		}},
	{Family{"host_last_seen_timestamp_seconds", Gauge, onHost, "When a host that is offline was last heard of; absent while it is not"},
		func(l *lines, h host) { l.moment(h.Gone, string(h.ID)) }},
	{Family{"host_last_good_backup_timestamp_seconds", Gauge, onHost,
		"When the newest backup ended that can be restored whole; absent if there is none"},
		func(l *lines, h host) { l.moment(h.LastGood, string(h.ID)) }},
	{Family{"host_last_good_backup_duration_seconds", Gauge, onHost, "How long that backup took"}, func(l *lines, h host) {
		if h.LastGood > 0 {
			l.put(h.LastTook, string(h.ID))
		}
	}},
	{Family{"host_restorable_bytes", Gauge, onHost, "What restoring the last good backup of each source group would write"},
		func(l *lines, h host) { l.put(int64(min(h.Restorable, 1<<62)), string(h.ID)) }},
	{Family{"host_last_backup_timestamp_seconds", Gauge, onHost, "When the last backup ended, however it did; absent if none has"},
		func(l *lines, h host) { l.moment(h.LastBackup.EndedAt, string(h.ID)) }},
	{Family{"host_last_backup_result", Gauge, []string{"host", "result"},
		"1 for how that backup ended: succeeded, warnings, failed, interrupted or abandoned"}, func(l *lines, h host) {
		if h.LastBackup.State != "" {
			l.put(1, string(h.ID), string(h.LastBackup.State))
		}
	}},
	{Family{"host_snapshots", Gauge, onHost, "Snapshots of its source groups, in the repositories they are backed up to now"},
		func(l *lines, h host) { l.put(int64(h.Snapshots), string(h.ID)) }},
	{Family{"host_restore_proof", Gauge, []string{"host", "proof"},
		"1 for what drills say of restoring it: proven, failed or not-proven (never, or too long ago)"},
		func(l *lines, h host) { l.put(1, string(h.ID), string(h.Proof.Word)) }},
	{Family{"host_proven_timestamp_seconds", Gauge, onHost,
		"When the source group was proven restorable whose proof is the oldest; absent while one never was"},
		func(l *lines, h host) { l.moment(h.Proof.At, string(h.ID)) }},
	{Family{"host_paused_until_timestamp_seconds", Gauge, onHost,
		"When the pause of its schedules ends by itself; absent while they are not paused"},
		func(l *lines, h host) { l.moment(h.paused, string(h.ID)) }},
	{Family{"host_alerts", Gauge, onHost, "Alerts about the host that are not over"},
		func(l *lines, h host) { l.put(int64(h.alerts), string(h.ID)) }},
	{Family{"host_jobs_running", Gauge, onHost, "Jobs at work on the host"}, func(l *lines, h host) {
		running := int64(0)
		for i := range h.Open {
			running += truth(h.Open[i].State == topics.Running)
		}
		l.put(running, string(h.ID))
	}},
}

// overdue reports whether a source group has no backup as new as it should be, whatever
// else is worse.
func overdue(e *fleet.Entry) bool {
	return slices.ContainsFunc(e.Groups, func(g fleet.Group) bool {
		return g.Status == protection.Overdue ||
			slices.ContainsFunc(g.Also, func(v protection.Verdict) bool { return v.Status == protection.Overdue })
	})
}

// told reports whether a host is told of: one that is out of use, or not trusted any more,
// is not, so that nobody is woken for it.
func told(e *fleet.Entry) bool {
	return e.RetiredAt == 0 && e.RevokedAt == 0 && e.Status != protection.Retired
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func yesNo(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
