package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/admission"
	"github.com/restic-manager/restic-manager/topics"
)

// Admission returns what new hosts are let in with.
func (s *Store) Admission() admission.Rows {
	return admission.Rows{R: s.r, Tx: s.tx, Now: s.Now, Audit: s.audit}
}

// EnrollWithKey adds a host that came with an enrolment key, with a number after its name
// if that is taken, unless accepts refuses it. held is that it waits for somebody to
// approve it: until then it is not trusted. If many come at once, exactly as many are let
// in as the key may.
func (s *Store) EnrollWithKey(ctx context.Context, keyHash []byte, h Host, accepts func(admission.Key) error) (
	_ Host, held bool, err error,
) {
	plane, err := s.PlaneOf(ctx)
	if err != nil {
		return Host{}, false, err
	}
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		k, err := admission.KeyBy(ctx, tx, keyHash)
		if err != nil {
			return err
		}
		if err := errors.Join(k.Good(s.Now(), plane.RestoredAt), accepts(k)); err != nil {
			return err
		}
		if err := admission.Use(ctx, tx, k, s.Now()); err != nil {
			return err
		}
		if h, err = s.addHost(ctx, tx, h, h.Hostname); err != nil {
			return err
		}
		by := "key:" + k.Name
		if err := s.audit(ctx, tx, by, "host.enrolled", string(h.ID), h.Name); err != nil {
			return err
		}
		if len(k.Tags) > 0 {
			if _, err := tx.ExecContext(ctx, `UPDATE hosts SET tags = $1 WHERE id = $2`, k.Tags, h.ID); err != nil {
				return err
			}
			h.Tags = k.Tags
		}
		if held = k.Approve; held {
			h.RevokedAt = s.Now()
			if _, err := tx.ExecContext(ctx, `UPDATE hosts SET revoked_at = $1 WHERE id = $2`, h.RevokedAt, h.ID); err != nil {
				return err
			}
			if err := admission.Hold(ctx, tx, h.ID, k, s.Now()); err != nil {
				return err
			}
		}
		if !k.Drill {
			return nil
		}
		return s.beginDrills(ctx, tx, by, h)
	})
	if err != nil {
		return Host{}, false, fmt.Errorf("enrol with a key: %w", err)
	}
	return h, held, nil
}

// ApproveHost trusts a host that waited for that. The error is admission.ErrNotHeld if it
// does not wait.
func (s *Store) ApproveHost(ctx context.Context, actor string, id topics.HostID) (h Host, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if h, err = get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, id); err != nil {
			return err
		}
		if err := admission.Release(ctx, tx, id); err != nil {
			return err
		}
		h.RevokedAt = 0
		if _, err := tx.ExecContext(ctx, `UPDATE hosts SET revoked_at = 0 WHERE id = $1`, id); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "host.approved", string(id), h.Name)
	})
	return h, err
}

// addHost adds a row for a new host by a name, or by that name and a number.
func (s *Store) addHost(ctx context.Context, tx *sqlx.Tx, h Host, name string) (_ Host, err error) {
	if h.Name, err = freeName(ctx, tx, name); err != nil {
		return h, err
	}
	h.CreatedAt = s.Now()
	_, err = tx.NamedExecContext(ctx, `INSERT INTO hosts (id, name, created_at, seal_key, serial, certified_until, generation, hostname,
		os, arch, platform, agent_version, restic_version, policy, permits)
		VALUES (:id, :name, :created_at, :seal_key, :serial, :certified_until, :generation, :hostname, :os, :arch, :platform,
		:agent_version, :restic_version, :policy, :permits)`, h)
	return h, err
}
