// Package drills keeps when restores are tried, which snapshots a drill takes, and what
// the last one of each source group came to.
package drills

import (
	"context"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A Kind says whose plan it is.
type Kind string

// The kinds of plans. A host's own counts before those of its tags, and these before that
// of the fleet.
const (
	OfHost  Kind = "host"
	OfTag   Kind = "tag"
	OfFleet Kind = "fleet" // every host; its subject is ""
)

// What a plan is that says nothing else: weekly, in the night to Sunday.
const (
	Cron = "0 3 * * 0"
	Zone = "UTC"
)

// Usual is the plan of which nothing was said yet: it is off.
func Usual(kind Kind, subject string) Plan {
	return Plan{Kind: kind, Subject: subject, Cron: Cron, Zone: Zone, Files: topics.DrillFiles, Bytes: topics.DrillBytes}
}

// A Plan says when a host, every host with a tag, or every host, is to prove that it can be restored,
// and by how large a sample.
type Plan struct {
	Kind    Kind   `db:"kind"`
	Subject string `db:"subject"` // the host's ID, the tag, or ""
	Cron    string `db:"cron"`
	Zone    string `db:"zone"`
	Files   int    `db:"files"`
	Bytes   int64  `db:"bytes"`
	Enabled bool   `db:"enabled"`
	Since   int64  `db:"since"` // slots before this do not count
}

// A Verdict is what the last drill of a source group came to.
type Verdict struct {
	Group      topics.SourceGroupID `db:"source_group"`
	Host       topics.HostID        `db:"host"`
	Repository topics.RepositoryID  `db:"repository"`
	Job        topics.JobID         `db:"job"`
	At         int64                `db:"at"`
	Proven     bool                 `db:"proven"`
	Why        string               `db:"why"`       // if not
	ProvenAt   int64                `db:"proven_at"` // when it was proven last; 0 is never
	ProvenJob  topics.JobID         `db:"proven_job"`
	Since      int64                `db:"since"` // backups that were begun before this prove nothing of the group, see [Outgrown]
}

// Plans lists all plans.
func Plans(ctx context.Context, q sqlx.QueryerContext) ([]Plan, error) {
	rows := []Plan{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM drill_plans ORDER BY kind, subject`)
}

// PlanOf returns the plan of a host, a tag or the fleet itself, with an empty cron line if
// there is none.
func PlanOf(ctx context.Context, q sqlx.QueryerContext, kind Kind, subject string) (Plan, error) {
	rows := []Plan{}
	err := sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM drill_plans WHERE kind = $1 AND subject = $2`, kind, subject)
	if err != nil {
		return Plan{}, fmt.Errorf("plan of a drill: %w", err)
	}
	return append(rows, Plan{Kind: kind, Subject: subject})[0], nil
}

// Begin switches the usual plan on for a new host. If that of the fleet is on, it counts,
// and the host gets none of its own that would stand before it.
func Begin(ctx context.Context, tx sqlx.ExtContext, host topics.HostID, now int64) (plan Plan, fresh bool, err error) {
	fleet, err := PlanOf(ctx, tx, OfFleet, "")
	if err != nil || fleet.Enabled {
		return fleet, false, err
	}
	plan = Usual(OfHost, string(host))
	plan.Enabled, plan.Since = true, now
	return plan, true, PutPlan(ctx, tx, plan)
}

// String says what a plan is, for the audit log.
func (p Plan) String() string {
	state := map[bool]string{true: "on", false: "off"}[p.Enabled]
	return fmt.Sprintf("%s of %s %s, %s, %d files, %d bytes", state, p.Kind, p.Cron, p.Zone, p.Files, p.Bytes)
}

// PutPlan writes a plan.
func PutPlan(ctx context.Context, tx sqlx.ExtContext, p Plan) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO drill_plans (kind, subject, cron, zone, files, bytes, enabled, since)
		VALUES (:kind, :subject, :cron, :zone, :files, :bytes, :enabled, :since)
		ON CONFLICT (kind, subject) DO UPDATE SET cron = excluded.cron, zone = excluded.zone, files = excluded.files,
			bytes = excluded.bytes, enabled = excluded.enabled, since = excluded.since`, p)
	if err != nil {
		return fmt.Errorf("put a drill's plan: %w", err)
	}
	return nil
}

// DropPlan takes a plan back, if there is one.
func DropPlan(ctx context.Context, tx sqlx.ExtContext, kind Kind, subject string) (there bool, err error) {
	done, err := tx.ExecContext(ctx, `DELETE FROM drill_plans WHERE kind = $1 AND subject = $2`, kind, subject)
	if err != nil {
		return false, fmt.Errorf("take back a drill's plan: %w", err)
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// Served are the latest slots of hosts that were begun.
func Served(ctx context.Context, q sqlx.QueryerContext) (map[topics.HostID]int64, error) {
	var rows []struct {
		Host topics.HostID `db:"host"`
		Slot int64         `db:"slot"`
	}
	err := sqlx.SelectContext(ctx, q, &rows, `SELECT host, slot FROM drill_slots`)
	out := map[topics.HostID]int64{}
	for _, r := range rows {
		out[r.Host] = r.Slot
	}
	return out, err
}

// PutServed notes that a host's slot was begun.
func PutServed(ctx context.Context, tx sqlx.ExtContext, host topics.HostID, slot int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO drill_slots (host, slot) VALUES ($1, $2)
		ON CONFLICT (host) DO UPDATE SET slot = excluded.slot WHERE excluded.slot > drill_slots.slot`, host, slot)
	return err
}

// Verdicts lists what the last drills came to, of a host's groups that are there; of all
// hosts for "". Those of groups that were never tried, or not since a proof of them was
// taken back, are left out.
func Verdicts(ctx context.Context, q sqlx.QueryerContext, host topics.HostID) ([]Verdict, error) {
	rows := []Verdict{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT v.* FROM drill_verdicts v JOIN source_groups g ON g.id = v.source_group
		AND g.host = v.host AND g.repository = v.repository WHERE v.at > 0 AND ($1 = '' OR v.host = $1) ORDER BY g.name`, host)
}

// Note stores what a drill came to, in the transaction of its end. A group of which it
// says nothing, since it was cancelled or could not begin, keeps what is known. So does one
// that is none of the host's in this repository, whatever an agent says of it, and one that
// was proven by what is no proof of it any more.
func Note(ctx context.Context, tx sqlx.ExtContext, host topics.HostID, repository topics.RepositoryID, job topics.JobID,
	state topics.JobState, message string, d *topics.Drilled, at int64) error {
	if d == nil || state != topics.Succeeded && state != topics.Failed {
		return nil
	}
	var own []topics.SourceGroupID
	err := sqlx.SelectContext(ctx, tx, &own, `SELECT id FROM source_groups WHERE host = $1 AND repository = $2`, host, repository)
	if err != nil {
		return fmt.Errorf("groups that a drill proved: %w", err)
	}
	said := map[topics.SourceGroupID]bool{}
	for _, s := range d.Snapshots {
		if said[s.Group] || !slices.Contains(own, s.Group) {
			continue
		}
		said[s.Group] = true
		v := Verdict{Group: s.Group, Host: host, Repository: repository, Job: job, At: at, Proven: d.Proves(s.Group)}
		if v.Proven {
			if late, err := outdated(ctx, tx, repository, s.Group, s.Snapshot); err != nil {
				return err
			} else if late {
				continue
			}
			v.ProvenAt, v.ProvenJob = at, job
		} else if v.Why = message; s.Why != "" {
			v.Why = s.Why
		}
		if _, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO drill_verdicts
			(source_group, host, repository, job, at, proven, why, proven_at, proven_job)
			VALUES (:source_group, :host, :repository, :job, :at, :proven, :why, :proven_at, :proven_job)
			ON CONFLICT (source_group) DO UPDATE SET host = excluded.host, job = excluded.job, at = excluded.at, proven = excluded.proven,
				why = excluded.why,
				proven_at = CASE WHEN excluded.proven <> 0 THEN excluded.proven_at
					WHEN drill_verdicts.repository = excluded.repository THEN drill_verdicts.proven_at ELSE 0 END,
				proven_job = CASE WHEN excluded.proven <> 0 THEN excluded.proven_job
					WHEN drill_verdicts.repository = excluded.repository THEN drill_verdicts.proven_job ELSE '' END,
				repository = excluded.repository`, v); err != nil {
			return fmt.Errorf("note what a drill came to: %w", err)
		}
	}
	return nil
}

// made is when a snapshot was made by the control plane's clock: by that of a host that was
// wrong once, an old snapshot would be the newest for years.
const made = `CASE WHEN max(ended_at, noted_at) > 0 THEN max(ended_at, noted_at) ELSE min(time, seen_at) END`

// Groups lists the source groups of a host in a repository with the snapshots that a drill
// takes: the newest, and one of those before it, which the seed chooses.
func Groups(ctx context.Context, q sqlx.QueryerContext, host topics.HostID, repository topics.RepositoryID, seed int64) (
	[]topics.DrillGroup, error) {
	var groups []struct {
		ID   topics.SourceGroupID `db:"id"`
		Name string               `db:"name"`
	}
	if err := sqlx.SelectContext(ctx, q, &groups, `SELECT id, name FROM source_groups WHERE host = $1 AND repository = $2 ORDER BY name`,
		host, repository); err != nil {
		return nil, fmt.Errorf("groups to prove: %w", err)
	}
	out := []topics.DrillGroup{}
	for _, g := range groups {
		var ids []string
		if err := sqlx.SelectContext(ctx, q, &ids, `SELECT id FROM snapshots WHERE repository = $1 AND source_group = $2 AND host = $3
			AND gone_at = 0 AND job <> '' ORDER BY `+made+` DESC, time DESC, id`, repository, g.ID, host); err != nil {
			return nil, fmt.Errorf("snapshots to prove: %w", err)
		}
		if older := len(ids) - 1; older > 0 {
			ids = []string{ids[0], ids[1+uint64(seed)%uint64(older)]}
		}
		out = append(out, topics.DrillGroup{Group: g.ID, Name: g.Name, Snapshots: ids})
	}
	return out, nil
}
