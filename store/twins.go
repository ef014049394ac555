package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/twins"
	"github.com/restic-manager/restic-manager/topics"
)

// Machines lists the machines that use a host's identity, and those that did until it
// was decided who stays; none of a host that always was one machine.
func (s *Store) Machines(ctx context.Context, host topics.HostID) ([]twins.Lane, error) {
	return twins.Of(ctx, s.r, host)
}

// AllMachines lists those of every host.
func (s *Store) AllMachines(ctx context.Context) ([]twins.Lane, error) { return twins.All(ctx, s.r) }

// MachineBorn notes a session of one of them, its address and the version of its agent.
func (s *Store) MachineBorn(ctx context.Context, host topics.HostID, session topics.Session, address, version string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return twins.Born(ctx, tx, host, session, address, version, s.Now()) })
}

// MachineDied notes that a session of one of them ended.
func (s *Store) MachineDied(ctx context.Context, host topics.HostID, session topics.Session) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return twins.Died(ctx, tx, host, session) })
}

// MachineHeard notes when one of them was last heard.
func (s *Store) MachineHeard(ctx context.Context, host topics.HostID, epoch, at int64) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return twins.Heard(ctx, tx, host, epoch, at) })
}

// RenewsFor notes which process of a host's agent is to renew its certificate at once.
func (s *Store) RenewsFor(ctx context.Context, host topics.HostID, instance string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return twins.Renews(ctx, tx, host, instance) })
}

// Lanes implements protocol.PlaneTx.
func (j journal) Lanes(host topics.HostID) ([]protocol.Lane, error) {
	return twins.Lanes(j.ctx, j.q, host)
}

// PutLane implements protocol.PlaneTx. The first of a host has an audit entry.
func (j journal) PutLane(host topics.HostID, l protocol.Lane) error {
	_, err := twins.Put(j.ctx, j.tx, host, l, j.s.Now())
	if err != nil || l.Refused {
		return err
	}
	h, err := get[Host](j.ctx, j.tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, host)
	if err != nil || h.TwinsSince > 0 {
		return err
	}
	if err := twins.Flag(j.ctx, j.tx, host, j.s.Now()); err != nil {
		return err
	}
	return j.s.audit(j.ctx, j.tx, "plane", "host.twins_found", string(host), "Two machines use the identity of "+h.Name+" at once.")
}

// DropLane implements protocol.PlaneTx.
func (j journal) DropLane(host topics.HostID, epoch int64) error {
	return twins.Drop(j.ctx, j.tx, host, epoch)
}

// ErrNoTwins is the error that no two machines use the host's identity, and ErrNoMachine
// that the one which is named is none of them.
var (
	ErrNoTwins   = errors.New("no two machines use this host's identity")
	ErrNoMachine = errors.New("none of the host's machines is called that")
)

// DecideTwins says which of the machines stays the host, by twins.Lane.Name. It runs the
// protocol's step for that machine's epoch in the same transaction.
func (s *Store) DecideTwins(ctx context.Context, actor string, host topics.HostID, stays string,
	step func(protocol.PlaneTx, int64) error,
) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		h, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, host)
		if err != nil {
			return err
		}
		if h.TwinsSince == 0 {
			return ErrNoTwins
		}
		lanes, err := twins.Of(ctx, tx, host)
		if err != nil {
			return err
		}
		for _, l := range lanes {
			if l.RefusedAt > 0 || l.Name() != stays {
				continue
			}
			if err := step(newJournal(ctx, s, tx), l.Epoch); err != nil {
				return err
			}
			if err := errors.Join(twins.Stays(ctx, tx, l), twins.Flag(ctx, tx, host, 0)); err != nil {
				return err
			}
			return s.audit(ctx, tx, actor, "host.twins_decided", string(host), fmt.Sprintf("The machine %s stays %s.", l.Named(), h.Name))
		}
		return ErrNoMachine
	})
}
