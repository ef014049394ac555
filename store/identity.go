package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/admission"
	"github.com/restic-manager/restic-manager/store/intake"
	"github.com/restic-manager/restic-manager/store/restored"
	"github.com/restic-manager/restic-manager/store/twins"
	"github.com/restic-manager/restic-manager/topics"
)

// An EnrollToken lets one host enrol. Only the hash of its key is stored.
type EnrollToken struct {
	ID        string        `db:"id"`
	KeyHash   []byte        `db:"key_hash"`
	Name      string        `db:"name"`     // for the host, "" to use its hostname
	ForHost   topics.HostID `db:"for_host"` // the host to enrol again; "" enrols a new host
	CreatedBy string        `db:"created_by"`
	CreatedAt int64         `db:"created_at"`
	ExpiresAt int64         `db:"expires_at"`
	UsedAt    int64         `db:"used_at"`
	Host      topics.HostID `db:"host"` // who used it
	// Drill has the new host prove that it can be restored, as often as is usual.
	Drill bool `db:"drill"`
}

// AddEnrollToken adds a token. It returns ErrNotFound if the token is for a host that
// does not exist.
func (s *Store) AddEnrollToken(ctx context.Context, t EnrollToken) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		target := t.ID
		if t.ForHost != "" {
			if _, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, t.ForHost); err != nil {
				return err
			}
			target = string(t.ForHost)
		}
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO enroll_tokens (id, key_hash, name, for_host, created_by, created_at, expires_at, drill)
			VALUES (:id, :key_hash, :name, :for_host, :created_by, :created_at, :expires_at, :drill)`, t); err != nil {
			return fmt.Errorf("add enrolment token: %w", err)
		}
		return s.audit(ctx, tx, t.CreatedBy, "enroll_token.created", target, t.Name)
	})
}

// EnrollToken returns a token by ID, for the page that waits until it is used.
func (s *Store) EnrollToken(ctx context.Context, id string) (EnrollToken, error) {
	return get[EnrollToken](ctx, s.r, `SELECT * FROM enroll_tokens WHERE id = $1`, id)
}

// EnrollTokenByKey returns a token by the hash of its key.
func (s *Store) EnrollTokenByKey(ctx context.Context, keyHash []byte) (EnrollToken, error) {
	return get[EnrollToken](ctx, s.r, `SELECT * FROM enroll_tokens WHERE key_hash = $1`, keyHash)
}

var (
	// ErrExpired and ErrUsed are why a token is refused.
	ErrExpired = errors.New("the token has expired")
	ErrUsed    = errors.New("the token has been used")

	// ErrRevoked and ErrSuperseded are why a certificate is refused.
	ErrRevoked    = errors.New("the host's certificate was revoked")
	ErrSuperseded = errors.New("the certificate is not the one the host was given last")
)

// Enroll uses up a token. A token for a new host adds h, with a number after its name
// if the name is taken. A token made for a host, which h must name, gives that host
// new keys and trusts it again; its history and settings stay. If two callers race
// for a token, exactly one wins.
func (s *Store) Enroll(ctx context.Context, keyHash []byte, h Host) (Host, error) {
	err := s.tx(ctx, func(tx *sqlx.Tx) error {
		t, err := get[EnrollToken](ctx, tx, `SELECT * FROM enroll_tokens WHERE key_hash = $1`, keyHash)
		switch {
		case err != nil:
			return err
		case t.UsedAt > 0:
			return ErrUsed
		case t.ExpiresAt < s.Now():
			return ErrExpired
		case t.ForHost != "" && t.ForHost != h.ID:
			return fmt.Errorf("%w: the token is for another host", ErrConflict)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE enroll_tokens SET used_at = $1, host = $2 WHERE id = $3`, s.Now(), h.ID, t.ID); err != nil {
			return err
		}
		if t.ForHost != "" {
			h, err = s.reenroll(ctx, tx, t, h)
			return err
		}
		name := h.Hostname
		if t.Name != "" {
			name = t.Name
		}
		if h, err = s.addHost(ctx, tx, h, name); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, t.CreatedBy, "host.enrolled", string(h.ID), h.Name); err != nil || !t.Drill {
			return err
		}
		return s.beginDrills(ctx, tx, t.CreatedBy, h)
	})
	if err != nil {
		return Host{}, fmt.Errorf("enrol: %w", err)
	}
	return h, nil
}

func (s *Store) reenroll(ctx context.Context, tx *sqlx.Tx, t EnrollToken, h Host) (Host, error) {
	if err := twins.Clear(ctx, tx, h.ID); err != nil { // whoever has the new keys is the host
		return h, err
	}
	if err := admission.Release(ctx, tx, h.ID); err != nil && !errors.Is(err, admission.ErrNotHeld) { // whoever made the token has approved
		return h, err
	}
	if _, err := tx.NamedExecContext(ctx, `UPDATE hosts SET seal_key = :seal_key, serial = :serial, next_serial = '',
		certified_until = :certified_until, generation = :generation, revoked_at = 0,
		hostname = :hostname, os = :os, arch = :arch, platform = :platform, agent_version = :agent_version,
		restic_version = :restic_version, policy = :policy, permits = :permits
		WHERE id = :id`, h); err != nil {
		return h, err
	}
	if err := restored.Forget(ctx, tx, restored.Host, string(h.ID)); err != nil { // whoever made the token has answered
		return h, err
	}
	h, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, h.ID)
	if err != nil {
		return h, err
	}
	if err := s.audit(ctx, tx, t.CreatedBy, "host.reenrolled", string(h.ID), h.Name); err != nil {
		return h, err
	}
	return h, s.replaced(ctx, tx, t.CreatedBy, h.ID)
}

// HostByName returns the host of a name, or ErrNotFound.
func (s *Store) HostByName(ctx context.Context, name string) (Host, error) {
	return get[Host](ctx, s.r, `SELECT * FROM hosts WHERE name = $1 AND removed_at = 0`, name)
}

// freeName is a name, or if it is taken that name with a number, found in few looks also
// among hundreds of one name.
func freeName(ctx context.Context, tx *sqlx.Tx, name string) (string, error) {
	if name == "" {
		name = "host"
	}
	numbered := func(n int) string {
		if n == 1 {
			return name
		}
		return fmt.Sprintf("%s-%d", name, n)
	}
	free := func(n int) (bool, error) {
		_, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE name = $1 AND removed_at = 0`, numbered(n))
		if errors.Is(err, ErrNotFound) {
			return true, nil
		}
		return false, err
	}
	taken, to := 0, 1
	for {
		ok, err := free(to)
		if err != nil {
			return "", err
		}
		if ok {
			break
		}
		taken, to = to, 2*to
	}
	for to-taken > 1 { // taken is, and to is not
		n := taken + (to-taken)/2
		ok, err := free(n)
		if err != nil {
			return "", err
		}
		if ok {
			to = n
		} else {
			taken = n
		}
	}
	return numbered(to), nil
}

// Trusts returns why a certificate with this serial is refused, nil if it is
// accepted.
func (h Host) Trusts(serial string) error {
	switch {
	case h.RevokedAt > 0:
		return ErrRevoked
	case serial == "" || serial != h.Serial && serial != h.NextSerial:
		return ErrSuperseded
	}
	return nil
}

// Renew stores the certificate that replaces the one of serial. Until it is used,
// both are accepted; an earlier one that was never used is not accepted any more.
func (s *Store) Renew(ctx context.Context, id topics.HostID, serial, next string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		h, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, id)
		if err != nil {
			return err
		}
		if err := h.Trusts(serial); err != nil {
			return err
		}
		// The host uses its renewed certificate now.
		_, err = tx.ExecContext(ctx, `UPDATE hosts SET serial = $1, next_serial = $2 WHERE id = $3`, serial, next, id)
		return err
	})
}

// UseCertificate records that a host connected with this certificate, of the CA of a
// generation. If it is the renewed one, the one before is refused from now on.
func (s *Store) UseCertificate(ctx context.Context, id topics.HostID, serial string, until, generation int64) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		h, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, id)
		if err != nil {
			return err
		}
		if err := h.Trusts(serial); err != nil {
			return err
		}
		if h.Serial == serial && h.CertifiedUntil == until && h.Generation == generation {
			return nil
		}
		next := h.NextSerial
		if next == serial {
			next = ""
			if err := twins.Renews(ctx, tx, id, ""); err != nil {
				return err
			}
			if err := s.audit(ctx, tx, "plane", "host.certificate_renewed", string(id), serial); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `UPDATE hosts SET serial = $1, next_serial = $2, certified_until = $3, generation = $4 WHERE id = $5`,
			serial, next, until, generation, id)
		return err
	})
}

// Revoke stops trusting a host and invalidates the tokens made for it. Only a new
// token lets it enrol again. Revoking twice changes nothing.
func (s *Store) Revoke(ctx context.Context, actor string, id topics.HostID) (Host, error) {
	var h Host
	err := s.tx(ctx, func(tx *sqlx.Tx) (err error) {
		h, err = s.revoke(ctx, tx, actor, id)
		return err
	})
	return h, err
}

func (s *Store) revoke(ctx context.Context, tx *sqlx.Tx, actor string, id topics.HostID) (Host, error) {
	h, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, id)
	if err != nil {
		return h, err
	}
	if h.RevokedAt > 0 {
		// One that waits for approval is not trusted yet: now it waits no more.
		if err := admission.Release(ctx, tx, id); errors.Is(err, admission.ErrNotHeld) {
			return h, nil
		} else if err != nil {
			return h, err
		}
		return h, s.audit(ctx, tx, actor, "host.revoked", string(id), h.Name)
	}
	h.RevokedAt = s.Now()
	if _, err := tx.ExecContext(ctx, `UPDATE hosts SET revoked_at = $1, next_serial = '' WHERE id = $2`, h.RevokedAt, id); err != nil {
		return h, err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE enroll_tokens SET expires_at = $1 WHERE for_host = $2 AND used_at = 0
		AND expires_at > $1`, h.RevokedAt, id); err != nil {
		return h, err
	}
	return h, s.audit(ctx, tx, actor, "host.revoked", string(id), h.Name)
}

// Revoked lists the hosts that are not trusted, with the time each was revoked or
// removed.
func (s *Store) Revoked(ctx context.Context) (map[topics.HostID]int64, error) {
	rows, err := all[Host](ctx, s.r, `SELECT * FROM hosts WHERE revoked_at > 0 UNION ALL SELECT * FROM hosts
		WHERE removed_at > 0 AND revoked_at = 0`)
	since := make(map[topics.HostID]int64, len(rows))
	for _, h := range rows {
		since[h.ID] = max(h.RevokedAt, h.RemovedAt)
	}
	return since, err
}

// Refused counts messages that were refused in a host's name, here and at the host, and
// why.
func (s *Store) Refused(ctx context.Context, id topics.HostID, here, there uint64, reasons map[string]uint64) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := change(ctx, tx, `UPDATE hosts SET refused = refused + $1, refused_there = refused_there + $2 WHERE id = $3`, here, there,
			id); err != nil {
			return err
		}
		for _, why := range slices.Sorted(maps.Keys(reasons)) {
			if err := intake.SetAside(ctx, tx, id, why, reasons[why], s.Now()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Asides lists what of a host's messages was refused, set aside or cut short, the latest
// first.
func (s *Store) Asides(ctx context.Context, id topics.HostID) ([]intake.Aside, error) {
	return intake.Asides(ctx, s.r, id)
}
