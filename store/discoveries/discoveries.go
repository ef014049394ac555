// Package discoveries keeps what people set about Home Assistant, and what brokers were told
// for it, so that it can be taken back.
package discoveries

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
)

// ErrMoved is the error that somebody changed the settings since they were read.
var ErrMoved = errors.New("somebody else changed it meanwhile")

// Settings are what people set about Home Assistant.
type Settings struct {
	Enabled   bool        `db:"enabled"`
	Prefix    string      `db:"prefix"`
	Tags      column.List `db:"tags"` // of the hosts that it is told of; none is all hosts
	Buttons   bool        `db:"buttons"`
	Version   int64       `db:"version"` // counts its changes; 0 is that nobody set anything
	ChangedAt int64       `db:"changed_at"`
	ChangedBy string      `db:"changed_by"`
}

// Get returns the settings, their zero value if nobody set any.
func Get(ctx context.Context, q sqlx.QueryerContext) (s Settings, err error) {
	rows := []Settings{}
	err = sqlx.SelectContext(ctx, q, &rows, `SELECT enabled, prefix, tags, buttons, version, changed_at, changed_by FROM home_assistant`)
	if err != nil {
		return s, fmt.Errorf("what is set about Home Assistant: %w", err)
	}
	return append(rows, s)[0], nil
}

// Put writes the settings.
func Put(ctx context.Context, tx sqlx.ExtContext, s Settings) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO home_assistant
			(one, enabled, prefix, tags, buttons, version, changed_at, changed_by)
		VALUES (1, :enabled, :prefix, :tags, :buttons, :version, :changed_at, :changed_by)
		ON CONFLICT (one) DO UPDATE SET enabled = excluded.enabled, prefix = excluded.prefix, tags = excluded.tags,
			buttons = excluded.buttons, version = excluded.version, changed_at = excluded.changed_at, changed_by = excluded.changed_by`, s)
	if err != nil {
		return fmt.Errorf("set what Home Assistant is told: %w", err)
	}
	return nil
}

// A Told is what a broker was told of a device.
type Told struct {
	Outlet     string                         `db:"outlet"`
	Topic      string                         `db:"topic"`
	Device     string                         `db:"device"`
	Components column.JSON[map[string]string] `db:"components"` // platforms by key
	Gone       column.JSON[map[string]string] `db:"gone"`       // those that were there before
	GoneAt     int64                          `db:"gone_at"`    // when the last of them went; 0 is that none did
}

// All lists what brokers were told.
func All(ctx context.Context, q sqlx.QueryerContext) ([]Told, error) {
	rows := []Told{}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM discovery_told ORDER BY outlet, topic`); err != nil {
		return nil, fmt.Errorf("what brokers were told for Home Assistant: %w", err)
	}
	return rows, nil
}

// Note writes down what a broker is told.
func Note(ctx context.Context, tx sqlx.ExtContext, t Told) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO discovery_told (outlet, topic, device, components, gone, gone_at)
		VALUES (:outlet, :topic, :device, :components, :gone, :gone_at)
		ON CONFLICT (outlet, topic) DO UPDATE SET device = excluded.device, components = excluded.components, gone = excluded.gone,
			gone_at = excluded.gone_at`, t)
	if err != nil {
		return fmt.Errorf("note what a broker is told for Home Assistant: %w", err)
	}
	return nil
}

// Forget removes what a broker was told: it was taken back.
func Forget(ctx context.Context, tx sqlx.ExecerContext, outlet, topic string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM discovery_told WHERE outlet = $1 AND topic = $2`, outlet, topic); err != nil {
		return fmt.Errorf("forget what a broker was told for Home Assistant: %w", err)
	}
	return nil
}

// Names are the beginnings of entity IDs, by device.
func Names(ctx context.Context, q sqlx.QueryerContext) (map[string]string, error) {
	rows := []struct {
		Device string `db:"device"`
		Slug   string `db:"slug"`
	}{}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT device, slug FROM discovery_names`); err != nil {
		return nil, fmt.Errorf("names of devices for Home Assistant: %w", err)
	}
	names := make(map[string]string, len(rows))
	for _, r := range rows {
		names[r.Device] = r.Slug
	}
	return names, nil
}

// Name gives a device the beginning of its entity IDs.
func Name(ctx context.Context, tx sqlx.ExecerContext, device, slug string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO discovery_names (device, slug) VALUES ($1, $2) ON CONFLICT (device) DO NOTHING`, device, slug)
	if err != nil {
		return fmt.Errorf("name a device for Home Assistant: %w", err)
	}
	return nil
}

// Unname frees the name of a device that is there no more.
func Unname(ctx context.Context, tx sqlx.ExecerContext, device string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM discovery_names WHERE device = $1`, device); err != nil {
		return fmt.Errorf("free the name of a device for Home Assistant: %w", err)
	}
	return nil
}

// A Birth is when a Home Assistant last said that it is there.
type Birth struct {
	Outlet string `db:"outlet"`
	Name   string `db:"name"` // the consumer; "" where that is not known
	At     int64  `db:"at"`
}

// Births lists them, by outlet.
func Births(ctx context.Context, q sqlx.QueryerContext) ([]Birth, error) {
	rows := []Birth{}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT outlet, name, at FROM discovery_births ORDER BY outlet`); err != nil {
		return nil, fmt.Errorf("births of Home Assistant: %w", err)
	}
	return rows, nil
}

// Born notes a birth.
func Born(ctx context.Context, tx sqlx.ExtContext, b Birth) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO discovery_births (outlet, name, at) VALUES (:outlet, :name, :at)
		ON CONFLICT (outlet) DO UPDATE SET name = excluded.name, at = excluded.at`, b)
	if err != nil {
		return fmt.Errorf("note the birth of a Home Assistant: %w", err)
	}
	return nil
}
