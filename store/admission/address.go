// Package admission keeps what new hosts are let in with: the address that agents dial,
// and keys for many of them.
package admission

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// Rows reads and writes what is kept here. Audit writes an entry of the audit log.
type Rows struct {
	R     sqlx.QueryerContext
	Tx    func(context.Context, func(*sqlx.Tx) error) error
	Now   func() int64
	Audit func(ctx context.Context, tx *sqlx.Tx, actor, action, target, detail string) error
}

// An Address is where agents reach the control plane, as HOST:PORT.
type Address struct {
	Address string `db:"address"` // as somebody set it; "" is not set
	Flag    string `db:"flag"`    // as the control plane was told at its last start, which wins; "" is not told
}

// Address returns the zero value if nobody ever said anything.
func (r Rows) Address(ctx context.Context) (Address, error) { return address(ctx, r.R) }

func address(ctx context.Context, q sqlx.QueryerContext) (a Address, err error) {
	err = sqlx.GetContext(ctx, q, &a, `SELECT address, flag FROM agents_address WHERE one = 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return Address{}, nil
	}
	if err != nil {
		return a, fmt.Errorf("read the address of agents: %w", err)
	}
	return a, nil
}

// SetAddress sets the address; "" takes it away.
func (r Rows) SetAddress(ctx context.Context, actor, to string) error {
	return r.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := r.put(ctx, tx, actor, `INSERT INTO agents_address (one, address, flag, changed_at, changed_by) VALUES (1, $1, '', $2, $3)
			ON CONFLICT (one) DO UPDATE SET address = excluded.address, changed_at = excluded.changed_at, changed_by = excluded.changed_by`,
			to); err != nil {
			return err
		}
		return r.Audit(ctx, tx, actor, "agents_address.set", "agents", to)
	})
}

// Told keeps what the control plane was told at its start.
func (r Rows) Told(ctx context.Context, flag string) error {
	was, err := r.Address(ctx)
	if err != nil || was.Flag == flag {
		return err
	}
	return r.Tx(ctx, func(tx *sqlx.Tx) error {
		return r.put(ctx, tx, "plane", `INSERT INTO agents_address (one, address, flag, changed_at, changed_by) VALUES (1, '', $1, $2, $3)
			ON CONFLICT (one) DO UPDATE SET flag = excluded.flag`, flag)
	})
}

func (r Rows) put(ctx context.Context, tx *sqlx.Tx, actor, statement, value string) error {
	if _, err := tx.ExecContext(ctx, statement, value, r.Now(), actor); err != nil {
		return fmt.Errorf("keep the address of agents: %w", err)
	}
	return nil
}
