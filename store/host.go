package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/pauses"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/topics"
)

// A Host is a registered machine. Its row also holds what the fleet page and
// consumers read most, updated in the transactions that change it.
type Host struct {
	ID        topics.HostID `db:"id"`
	Name      string        `db:"name"`
	CreatedAt int64         `db:"created_at"`
	SealKey   []byte        `db:"seal_key"` // the agent's public one
	Serial    string        `db:"serial"`   // of its certificate
	// NextSerial is the serial of a renewed certificate that was not used yet. Until
	// it is used, both certificates are accepted.
	NextSerial     string `db:"next_serial"`
	RenewFor       string `db:"renew_for"`       // the process that is to renew it at once, "" if none is
	CertifiedUntil int64  `db:"certified_until"` // when the certificate in use expires
	Generation     int64  `db:"generation"`      // of the control plane's identity that the certificate in use is of
	RevokedAt      int64  `db:"revoked_at"`      // 0 while it is trusted
	// Refused and RefusedThere count messages that were invalid or not authentic:
	// here in the host's name, and at the host in ours.
	Refused       uint64               `db:"refused"`
	RefusedThere  uint64               `db:"refused_there"`
	Hostname      string               `db:"hostname"`
	OS            string               `db:"os"`
	Arch          string               `db:"arch"`
	Platform      string               `db:"platform"`
	AgentVersion  string               `db:"agent_version"`
	ResticVersion string               `db:"restic_version"`
	Policy        string               `db:"policy"`
	Permits       JSON[topics.Permits] `db:"permits"` // what the policy allows; nil from an agent that does not report it

	ReceivedEpoch int64  `db:"received_epoch"`
	ReceivedSeq   uint64 `db:"received_seq"`
	ReceivedMark  string `db:"received_mark"`
	BirthEpoch    int64  `db:"birth_epoch"`
	BirthN        uint64 `db:"birth_n"`
	DeathEpoch    int64  `db:"death_epoch"`
	DeathN        uint64 `db:"death_n"`
	HelloEpoch    int64  `db:"hello_epoch"`
	HelloN        uint64 `db:"hello_n"`
	LastSeen      int64  `db:"last_seen"` // when the host was last heard of, accurate to a minute

	LastJob     topics.JobID    `db:"last_job"` // the last that ended, except updates and those the control plane asked for itself
	LastState   topics.JobState `db:"last_state"`
	LastEndedAt int64           `db:"last_ended_at"`

	// The config the host should have and the one it has; see topics.Config.
	ConfigRevision  int64  `db:"config_revision"` // 0 is none yet
	ConfigDigest    string `db:"config_digest"`
	ConfigMadeAt    int64  `db:"config_made_at"`
	ConfigApplied   int64  `db:"config_applied"` // 0 is none yet, -1 an agent too old to run schedules
	ConfigAppliedAt int64  `db:"config_applied_at"`
	ConfigError     string `db:"config_error"` // the part of the config that the agent cannot handle

	Intermittent bool  `db:"intermittent"` // not always on, such as a laptop; being offline is no problem
	RemovedAt    int64 `db:"removed_at"`   // when it was taken out of care; 0 while it is there
	RetiredAt    int64 `db:"retired_at"`   // since when it keeps its snapshots and is judged no longer; 0 is not
	OverdueDays  int64 `db:"overdue_days"` // the limit in days without a good backup; 0 is the default
	TwinsSince   int64 `db:"twins_since"`  // since when several machines use its identity; 0 is that none do
	BackAt       int64 `db:"back_at"`      // when it was last heard of again after some minutes of silence

	Tags List `db:"tags"` // words by which people tell hosts apart, in lower case and in order; see controlplane/hosts

	JobsAtOnce int `db:"jobs_at_once"` // how many jobs it is to run at once
	AgentJobs  int `db:"agent_jobs"`   // how many its agent can; 0 is one of an older version, which runs one
	// Restoring is the control plane's epoch, if it was restored from a copy and the host
	// has not told yet what happened since that was made; else 0.
	Restoring int64 `db:"restoring"`

	Makes bool `db:"makes"` // its agent makes a repository in an init job alone, and runs hooks around it

	Can JSON[[]topics.Ability] `db:"can"` // what its agent says it can do; see Able

	Updates JSON[topics.Updates] `db:"updates"` // what its agent says of updates of itself; nil of an older version

	// Pauses are when its schedules were and are paused; PausedUntil is when the one ends that
	// goes on, until that was noted. Whether it is paused is the clock's to say: see Paused.
	Pauses      JSON[pauses.List] `db:"pauses"`
	PausedUntil int64             `db:"paused_until"`
}

// Able reports whether the host's agent has an ability. One of an older version has none.
func (h Host) Able(a topics.Ability) bool { return h.Can.V != nil && slices.Contains(*h.Can.V, a) }

// Fires reports whether the host's agent runs its schedules itself.
func (h Host) Fires() bool { return h.ConfigApplied >= 0 }

// Birth returns the highest session of the host that began.
func (h Host) Birth() topics.Session { return topics.Session{Epoch: h.BirthEpoch, N: h.BirthN} }

// Death returns the highest session of the host that ended.
func (h Host) Death() topics.Session { return topics.Session{Epoch: h.DeathEpoch, N: h.DeathN} }

// Hello returns the last session that the host authenticated.
func (h Host) Hello() topics.Session { return topics.Session{Epoch: h.HelloEpoch, N: h.HelloN} }

// Received returns how far the host's event stream is committed.
func (h Host) Received() topics.Received {
	return topics.Received{Epoch: h.ReceivedEpoch, Seq: h.ReceivedSeq, Mark: h.ReceivedMark}
}

// AnyHost returns one host, a removed one too, for the pages about its jobs.
func (s *Store) AnyHost(ctx context.Context, id topics.HostID) (Host, error) {
	h, err := get[Host](ctx, s.r, `SELECT * FROM hosts WHERE id = $1 -- removed_at: of either kind`, id)
	if err == nil && h.RemovedAt > 0 {
		h.Name, err = get[string](ctx, s.r, `SELECT name FROM host_names WHERE id = $1`, id)
	}
	return h, err
}

// Hosts lists every host, by name.
func (s *Store) Hosts(ctx context.Context) ([]Host, error) {
	return all[Host](ctx, s.r, `SELECT * FROM hosts WHERE removed_at = 0 ORDER BY name, id`)
}

// Host returns one host, or ErrNotFound.
func (s *Store) Host(ctx context.Context, id topics.HostID) (Host, error) {
	return get[Host](ctx, s.r, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, id)
}

// FindHost returns the host with this ID, else the one with this name, or
// ErrNotFound.
func (s *Store) FindHost(ctx context.Context, text string) (Host, error) {
	return get[Host](ctx, s.r, `SELECT * FROM hosts WHERE (id = $1 OR name = $1) AND removed_at = 0 ORDER BY id = $1 DESC LIMIT 1`, text)
}

// HostsTagged lists the hosts that have a tag, by name.
func (s *Store) HostsTagged(ctx context.Context, tag string) ([]Host, error) {
	return all[Host](ctx, s.r, `SELECT * FROM hosts WHERE removed_at = 0 AND tags LIKE $1 ESCAPE '!' ORDER BY name, id`,
		removal.HasTag(tag))
}

// HostCount counts hosts.
func (s *Store) HostCount(ctx context.Context) (int, error) {
	return get[int](ctx, s.r, `SELECT count(*) FROM hosts WHERE removed_at = 0`)
}

// Silence is how long nothing must be heard of a host for it to have been away.
const Silence = 5 * time.Minute

// Seen stores when hosts were last heard of, and that somebody was there to hear them. It
// takes a few hundred per transaction, because writing ten thousand at once would block
// others for a second.
func (s *Store) Seen(ctx context.Context, at map[topics.HostID]int64) error {
	for some := range slices.Chunk(slices.Sorted(maps.Keys(at)), manyHosts) {
		if err := s.tx(ctx, func(tx *sqlx.Tx) error {
			for _, id := range some {
				if _, err := tx.ExecContext(ctx, `UPDATE hosts SET back_at = CASE WHEN last_seen < $1 - $3 THEN $1 ELSE back_at END,
					last_seen = $1 WHERE id = $2 AND last_seen < $1`, at[id], id, Silence.Milliseconds()); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return s.Try(ctx)
}

// manyHosts is how many hosts one transaction updates at most.
const manyHosts = 500

// Born raises a host's highest birth and never lowers it.
func (s *Store) Born(ctx context.Context, id topics.HostID, session topics.Session) error {
	_, err := s.w.ExecContext(ctx, `UPDATE hosts SET birth_epoch = $1, birth_n = $2
		WHERE id = $3 AND (birth_epoch < $1 OR birth_epoch = $1 AND birth_n < $2)`, session.Epoch, session.N, id)
	return ours(err)
}

// Died raises a host's highest death and never lowers it.
func (s *Store) Died(ctx context.Context, id topics.HostID, session topics.Session) error {
	_, err := s.w.ExecContext(ctx, `UPDATE hosts SET death_epoch = $1, death_n = $2
		WHERE id = $3 AND (death_epoch < $1 OR death_epoch = $1 AND death_n < $2)`, session.Epoch, session.N, id)
	return ours(err)
}
