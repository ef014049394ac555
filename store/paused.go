package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/pauses"
	"github.com/restic-manager/restic-manager/topics"
)

// ErrRetired is the error that a host is out of use: none of its schedules fires anyway.
var ErrRetired = errors.New("the host is retired")

// Paused returns the pause of a host's schedules that a moment lies in.
func (h Host) Paused(now int64) (pauses.Pause, bool) { return h.AllPauses().At(now) }

// AllPauses are the host's pauses that are kept, those that are over too.
func (h Host) AllPauses() pauses.List {
	if h.Pauses.V == nil {
		return nil
	}
	return *h.Pauses.V
}

// PauseHost pauses a host's schedules from now until a moment, or gives the pause that goes
// on that end.
func (s *Store) PauseHost(ctx context.Context, actor string, host topics.HostID, now, until int64) (p pauses.Pause, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		h, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, host)
		if err != nil {
			return err
		}
		if h.RetiredAt > 0 {
			return ErrRetired
		}
		was, going := h.Paused(now)
		list := h.AllPauses().Begin(actor, now, until)
		p = list[len(list)-1]
		if err := putPauses(ctx, tx, host, list, until); err != nil {
			return err
		}
		detail := h.Name + " until " + moment(until)
		if going {
			detail += fmt.Sprintf(", which %s had paused until %s", was.By, moment(was.Until))
		}
		return s.audit(ctx, tx, actor, "host.paused", string(host), detail)
	})
	return p, err
}

// ResumeHost ends the pause of a host's schedules, and reports whether there was one.
func (s *Store) ResumeHost(ctx context.Context, actor string, host topics.HostID, now int64) (was pauses.Pause, ended bool, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		h, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, host)
		if err != nil {
			return err
		}
		if was, ended = h.Paused(now); !ended {
			return nil
		}
		if err := putPauses(ctx, tx, host, h.AllPauses().End(now), 0); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "host.resumed", string(host),
			fmt.Sprintf("%s, which %s had paused until %s", h.Name, was.By, moment(was.Until)))
	})
	return was, ended, err
}

// EndPauses notes the pauses that have ended by now, with an audit entry each, and returns
// their hosts. They were over before it did.
func (t Slots) EndPauses(now int64) (hosts []topics.HostID, err error) {
	rows, err := all[Host](t.ctx, t.tx, `SELECT * FROM hosts WHERE paused_until > 0 AND paused_until <= $1 AND removed_at = 0
		ORDER BY paused_until LIMIT $2`, now, manyHosts)
	for _, h := range rows {
		if err == nil {
			err = change(t.ctx, t.tx, `UPDATE hosts SET paused_until = 0 WHERE id = $1`, h.ID)
		}
		if err == nil {
			err = t.s.audit(t.ctx, t.tx, "plane", "host.resumed", string(h.ID), h.Name+": its pause has ended")
		}
		hosts = append(hosts, h.ID)
	}
	return hosts, err
}

func putPauses(ctx context.Context, tx *sqlx.Tx, host topics.HostID, list pauses.List, until int64) error {
	column := JSON[pauses.List]{}
	if len(list) > 0 {
		column.V = &list
	}
	return change(ctx, tx, `UPDATE hosts SET pauses = $1, paused_until = $2 WHERE id = $3`, column, until, host)
}
