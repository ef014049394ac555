package topics

// Online and Offline are the payloads of the availability topics.
const (
	Online  = "online"
	Offline = "offline"
)

// HostState is what consumers read of a host: flat, so that one template line
// reads one value. Times are RFC 3339 in UTC, empty when there is none.
//
//	rm/v1/pub/host/{host}/state    plane → consumers, QoS 1, retained
type HostState struct {
	ID             HostID   `json:"id"`
	Name           string   `json:"name"`
	Online         bool     `json:"online"`
	Status         string   `json:"status"`      // one word of docs/STATUS.md
	Reason         string   `json:"reason"`      // why, in a sentence
	Cause          string   `json:"cause"`       // a stable key of the reason, such as twins; empty while protected
	Since          string   `json:"since"`       // since when; empty if that is not known
	PromisedBy     string   `json:"promised_by"` // the schedules, or the limit in days; empty for nothing
	LastGoodBackup string   `json:"last_good_backup"`
	LastJob        JobID    `json:"last_job"` // the last backup that ended; other jobs do not count
	LastResult     JobState `json:"last_result"`
	LastEnded      string   `json:"last_ended"` // when that one ended
	LastTook       int64    `json:"last_took"`  // seconds that the last good backup took
	NextRun        string   `json:"next_run"`   // when the next backup of its schedules begins; empty if none does
	Overdue        bool     `json:"overdue"`    // a source group's backup is
	OverdueSince   string   `json:"overdue_since"`
	RunningJob     JobID    `json:"running_job"`  // the one that has been at work the longest
	Percent        float64  `json:"percent"`      // of that job, 0 to 100
	RunningMore    int      `json:"running_more"` // how many more are at work
	Snapshots      int      `json:"snapshots"`
	ProtectedBytes uint64   `json:"protected_bytes"` // what restoring the last good backups would write
	StoredBytes    int64    `json:"stored_bytes"`    // what the repositories that it backs up into take, each counted whole
	Proven         string   `json:"proven"`          // by drills that it can be restored: proven, not-proven, or failed
	ProvenAt       string   `json:"proven_at"`       // since when; empty while one of its source groups never was
	DrilledAt      string   `json:"drilled_at"`      // when a drill last came to an end; empty if none did
	Alerts         int      `json:"alerts"`          // how many of it, of its source groups, are not over
	Problem        bool     `json:"problem"`         // somebody has to do something: lost, failed, overdue, empty, late or warning
	PausedUntil    string   `json:"paused_until"`    // when a pause of all its schedules ends; empty while there is none
	AddedBytes     uint64   `json:"added_bytes"`     // to its repository, by the last backup that ended
	AgentVersion   string   `json:"agent_version"`
	ResticVersion  string   `json:"restic_version"`
}

// JobPublic is what consumers see of a job as it goes by.
//
//	rm/v1/pub/host/{host}/job/{job}    plane → consumers, QoS 0; the last one QoS 1
type JobPublic struct {
	ID          JobID    `json:"id"`
	Kind        JobKind  `json:"kind"`
	State       JobState `json:"state"`
	Cause       Cause    `json:"cause,omitempty"`
	Percent     float64  `json:"percent"`             // of the stage, if it has several
	Stage       int      `json:"stage,omitempty"`     // of a running job that tells stages, from 1
	Stages      int      `json:"stages,omitempty"`    // how many there are; left out is not known
	Text        string   `json:"text,omitempty"`      // how far a running job is, in words
	Locked      bool     `json:"locked,omitempty"`    // it waits for a lock that somebody else has; Text says who
	LastTook    int64    `json:"last_took,omitempty"` // seconds that the last job took which did the same
	BytesDone   uint64   `json:"bytes_done"`
	TotalBytes  uint64   `json:"total_bytes"`
	FilesDone   uint64   `json:"files_done"`
	TotalFiles  uint64   `json:"total_files"`
	SecondsLeft uint64   `json:"seconds_left"`
	Silent      int64    `json:"silent,omitempty"`     // seconds for which it has done nothing, from a minute on
	EndsAfter   int64    `json:"ends_after,omitempty"` // so many of them after which its agent ends it; left out is never
	Trouble     string   `json:"trouble,omitempty"`    // the storage's answer to what restic is trying again just now
	SnapshotID  string   `json:"snapshot_id,omitempty"`
	DryRun      bool     `json:"dry_run"`               // it only says what would happen
	SavedFiles  *uint64  `json:"saved_files,omitempty"` // of a backup that ended
	DataAdded   uint64   `json:"data_added,omitempty"`  // bytes that a backup that ended added to the repository
	Did         string   `json:"did,omitempty"`         // of a job that ended: what it really did, in words
}

// RepositoryState is what consumers read of a repository. Times are RFC 3339 in UTC,
// empty when there is none. A repository that is removed clears its topic.
//
//	rm/v1/pub/repository/{repo}/state    plane → consumers, QoS 1, retained
type RepositoryState struct {
	ID          RepositoryID `json:"id"`
	Name        string       `json:"name"`
	Health      string       `json:"health"`  // healthy, damaged, unreadable, …: see docs/STATUS.md
	Problem     bool         `json:"problem"` // somebody has to do something about it
	Reason      string       `json:"reason"`  // why, in a sentence
	Cause       string       `json:"cause"`   // a stable key of the reason
	Since       string       `json:"since"`   // since when; of a healthy one, when it was last opened
	StoredBytes int64        `json:"stored_bytes"`
	MeasuredAt  string       `json:"measured_at"` // when that was found
	Snapshots   int          `json:"snapshots"`
	LastCheck   string       `json:"last_check"`
	CheckErrors int64        `json:"check_errors"` // that the last check found
	LastPrune   string       `json:"last_prune"`
	Locks       int          `json:"locks"` // that the last listing found
}

// FleetState counts hosts by status.
//
//	rm/v1/pub/fleet/state    plane → consumers, QoS 1, retained
type FleetState struct {
	Hosts    int            `json:"hosts"`
	Online   int            `json:"online"`
	Problems int            `json:"problems"` // how many hosts somebody has to do something about
	ByStatus map[string]int `json:"by_status"`
	// PlaneDisk is how short of space the control plane's own disk is: empty, "low" (new
	// jobs are held), "scarce" (logs and reports stay with the agents) or "none" (its
	// database cannot be written). PlaneFree is how many bytes are left.
	PlaneDisk string `json:"plane_disk"`
	PlaneFree uint64 `json:"plane_free"`
}

// An Alert is one as programs outside are told of it: by the API, a webhook and MQTT
// alike. Times are RFC 3339 in UTC. One that has ended clears its topic.
//
//	rm/v1/pub/alert/{alert}    plane → consumers, QoS 1, retained
type Alert struct {
	ID        string  `json:"id"`
	Condition string  `json:"condition" doc:"a name of docs/ALERTS.md, as backup-failed"`
	Severity  string  `json:"severity" enum:"info,warning,critical"`
	Subject   Subject `json:"subject"`
	Title     string  `json:"title" doc:"names the subject: db-prod-02: backups fail, repository locked"`
	Cause     string  `json:"cause" doc:"why, in a sentence or two"`
	Do        string  `json:"do" doc:"what to do about it"`
	State     string  `json:"state" enum:"open,acknowledged,snoozed,ended"`
	OpenedAt  string  `json:"opened_at" doc:"when it was opened first"`
	Since     string  `json:"since" doc:"since when it is so without a break, as far as that is known: after opened_at, if it came back"`
	SeenAt    string  `json:"seen_at" doc:"when the condition was last found to hold"`
	Count     int64   `json:"count" doc:"how often it began: more than 1 if it came back"`
	EndedAt   string  `json:"ended_at,omitempty" doc:"left out of one that has not"`
	EndedBy   string  `json:"ended_by,omitempty" doc:"who ended it by hand, though it may still be so; left out if the condition is over"`
	Link      string  `json:"link" doc:"of the alert's page; without its host while no public address is set"`
}

// A Subject is what an alert is about.
type Subject struct {
	Kind       string `json:"kind" enum:"host,group,repository,channel,plane" doc:"group: a source group"`
	ID         string `json:"id,omitempty" doc:"left out for the control plane itself"`
	Name       string `json:"name" doc:"for people"`
	Host       string `json:"host,omitempty" doc:"the ID of the host it belongs to"`
	Repository string `json:"repository,omitempty" doc:"the ID of the repository it is about"`
}
