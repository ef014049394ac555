// Package twins keeps the streams of several machines that use one host's identity:
// see protocol.Lane.
package twins

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
)

// A Lane is one machine, by the epoch of its journal. Times are Unix milliseconds of the
// control plane's clock.
type Lane struct {
	Host      topics.HostID               `db:"host"`
	Epoch     int64                       `db:"epoch"`
	Seq       uint64                      `db:"seq"`
	Mark      string                      `db:"mark"`
	Instance  string                      `db:"instance"`
	Greeted   bool                        `db:"greeted"`
	Jobs      column.JSON[[]topics.JobID] `db:"jobs"`
	RefusedAt int64                       `db:"refused_at"` // since when another machine stays
	BirthN    uint64                      `db:"birth_n"`
	DeathN    uint64                      `db:"death_n"`
	HelloN    uint64                      `db:"hello_n"`
	FirstAt   int64                       `db:"first_at"`
	HeardAt   int64                       `db:"heard_at"`
	Address   string                      `db:"address"` // where its connection came from
	Version   string                      `db:"version"`
	Machine   column.JSON[topics.Machine] `db:"machine"`
}

// Name is how a person and the API name the machine: by its agent's process, or by
// the journal of an agent of an older version.
func (l Lane) Name() string {
	if l.Instance != "" {
		return l.Instance
	}
	return fmt.Sprintf("journal-%d", l.Epoch)
}

// Named is the machine's name, its hostname and where it connected from, for people.
func (l Lane) Named() string {
	text := l.Name()
	if l.Machine.V != nil && l.Machine.V.Hostname != "" {
		text += " (" + l.Machine.V.Hostname + ")"
	}
	if l.Address != "" {
		text += " at " + l.Address
	}
	return text
}

// Of lists the machines of a host, those that were refused too, in the order of their
// epochs.
func Of(ctx context.Context, q sqlx.QueryerContext, host topics.HostID) ([]Lane, error) {
	rows := []Lane{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM host_lanes WHERE host = $1 ORDER BY epoch`, host)
}

// All lists the machines of every host that has any.
func All(ctx context.Context, q sqlx.QueryerContext) ([]Lane, error) {
	rows := []Lane{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM host_lanes ORDER BY host, epoch`)
}

// Lanes is what the protocol needs of them.
func Lanes(ctx context.Context, q sqlx.QueryerContext, host topics.HostID) ([]protocol.Lane, error) {
	rows, err := Of(ctx, q, host)
	var list []protocol.Lane
	for _, r := range rows {
		l := protocol.Lane{Received: topics.Received{Epoch: r.Epoch, Seq: r.Seq, Mark: r.Mark}, Instance: r.Instance, Greeted: r.Greeted,
			Refused: r.RefusedAt > 0}
		if r.Jobs.V != nil {
			l.Jobs = *r.Jobs.V
		}
		list = append(list, l)
	}
	return list, err
}

// Put writes what the protocol says of a machine. The first one of a host flags it, and
// added is true of one that was not there.
func Put(ctx context.Context, tx sqlx.ExtContext, host topics.HostID, l protocol.Lane, now int64) (added bool, err error) {
	refused := int64(0)
	if l.Refused {
		refused = now
	}
	jobs := column.JSON[[]topics.JobID]{V: &l.Jobs}
	done, err := tx.ExecContext(ctx, `UPDATE host_lanes SET seq = $1, mark = $2, instance = $3, greeted = $4, jobs = $5,
		refused_at = CASE WHEN $6 = 0 OR refused_at = 0 THEN $6 ELSE refused_at END WHERE host = $7 AND epoch = $8`,
		l.Received.Seq, l.Received.Mark, l.Instance, l.Greeted, jobs, refused, host, l.Received.Epoch)
	if err != nil {
		return false, err
	}
	if n, err := done.RowsAffected(); err != nil || n > 0 {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO host_lanes (host, epoch, seq, mark, instance, greeted, jobs, refused_at, first_at, heard_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`, host, l.Received.Epoch, l.Received.Seq, l.Received.Mark, l.Instance, l.Greeted, jobs,
		refused, now)
	return true, err
}

// Drop removes a machine.
func Drop(ctx context.Context, tx sqlx.ExecerContext, host topics.HostID, epoch int64) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM host_lanes WHERE host = $1 AND epoch = $2`, host, epoch)
	return err
}

// Flag says since when several machines use a host's identity, 0 that it is decided who
// stays.
func Flag(ctx context.Context, tx sqlx.ExecerContext, host topics.HostID, since int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE hosts SET twins_since = $1 WHERE id = $2`, since, host)
	return err
}

// Stays makes a machine's session the host's, and has its agent renew the certificate if
// it says which process it is.
func Stays(ctx context.Context, tx sqlx.ExecerContext, l Lane) error {
	_, err := tx.ExecContext(ctx, `UPDATE hosts SET birth_epoch = $1, birth_n = $2, death_epoch = $1, death_n = $3,
		hello_epoch = $1, hello_n = $4, renew_for = $5 WHERE id = $6`, l.Epoch, l.BirthN, l.DeathN, l.HelloN, l.Instance, l.Host)
	return err
}

// Renews notes which process is to renew the host's certificate, "" that it has.
func Renews(ctx context.Context, tx sqlx.ExecerContext, host topics.HostID, instance string) error {
	_, err := tx.ExecContext(ctx, `UPDATE hosts SET renew_for = $1 WHERE id = $2`, instance, host)
	return err
}

// Born raises the highest session of a machine that began, and says where it is.
func Born(ctx context.Context, tx sqlx.ExecerContext, host topics.HostID, s topics.Session, address, version string, now int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE host_lanes SET birth_n = max(birth_n, $1), address = $2, version = $3, heard_at = $4
		WHERE host = $5 AND epoch = $6`, s.N, address, version, now, host, s.Epoch)
	return err
}

// Died raises the highest session of a machine that ended.
func Died(ctx context.Context, tx sqlx.ExecerContext, host topics.HostID, s topics.Session) error {
	_, err := tx.ExecContext(ctx, `UPDATE host_lanes SET death_n = max(death_n, $1) WHERE host = $2 AND epoch = $3`, s.N, host, s.Epoch)
	return err
}

// Greeted notes what a machine says of itself. It is false if the session is no
// machine's of several.
func Greeted(ctx context.Context, tx sqlx.ExecerContext, host topics.HostID, h topics.Hello, now int64) (bool, error) {
	m := topics.Machine{Hostname: h.Facts.Hostname}
	if h.Machine != nil {
		m = *h.Machine
	}
	m.Addresses = m.Addresses[:min(len(m.Addresses), topics.MaxAddresses)]
	done, err := tx.ExecContext(ctx, `UPDATE host_lanes SET hello_n = $1, version = $2, machine = $3, heard_at = $4
		WHERE host = $5 AND epoch = $6 AND refused_at = 0`, h.Session.N, h.Facts.Agent, column.JSON[topics.Machine]{V: &m}, now, host,
		h.Session.Epoch)
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// Heard notes when machines were last heard.
func Heard(ctx context.Context, tx sqlx.ExecerContext, host topics.HostID, epoch, at int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE host_lanes SET heard_at = $1 WHERE host = $2 AND epoch = $3 AND heard_at < $1`, at, host, epoch)
	return err
}

// Clear forgets every machine of a host, which is one again: it has new keys.
func Clear(ctx context.Context, tx sqlx.ExecerContext, host topics.HostID) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM host_lanes WHERE host = $1`, host); err != nil {
		return err
	}
	if err := Renews(ctx, tx, host, ""); err != nil {
		return err
	}
	return Flag(ctx, tx, host, 0)
}
