// Package uplinks keeps how the user's own broker is reached, and what is retained at that
// one and at those that were left, so that nothing of ours stays behind.
package uplinks

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// ErrMoved is the error that somebody changed the settings since they were read.
var ErrMoved = errors.New("somebody else changed it meanwhile")

// ErrNoPlace is the error that there is no broker of this ID that was left and is to be cleared.
var ErrNoPlace = errors.New("nothing of ours is left at a broker of this ID")

// A FlagsError is that what the command line says of the user's broker cannot be used.
type FlagsError struct {
	Say string // what is wrong, for people
	Err error
}

// Error implements error.
func (e *FlagsError) Error() string { return e.Say }

// Unwrap returns the cause.
func (e *FlagsError) Unwrap() error { return e.Err }

// TheOne is the ID of the only row.
const TheOne = "uplink"

// Access is how a broker is reached, and as whom.
type Access struct {
	URL         string `db:"url"` // without user and password
	Account     string `db:"account"`
	CA          string `db:"ca"`          // PEM; "" is what the system trusts
	Certificate string `db:"certificate"` // PEM, of the client

	Password topics.Secret `db:"-"` // sealed in the row, with the key
	Key      topics.Secret `db:"-"` // PEM, of the certificate
	Unread   error         `db:"-"` // why these two cannot be read; nil if they can
}

// An Uplink is what somebody set. Moments are in Unix milliseconds.
type Uplink struct {
	ID string `db:"id"`
	Access
	Insecure  bool   `db:"insecure"` // in clear beyond this machine
	Prefix    string `db:"prefix"`   // of Home Assistant's discovery; "" is the usual
	Root      string `db:"root"`
	Commands  string `db:"commands"`
	Tested    string `db:"tested"`  // for what a test showed that consumers cannot write for one another
	Version   int64  `db:"version"` // counts its changes; 0 is that nothing was ever set
	ChangedAt int64  `db:"changed_at"`
	ChangedBy string `db:"changed_by"`
}

// A Row is an uplink with its secrets sealed.
type Row struct {
	Uplink
	Sealed []byte `db:"secrets"`
}

// A Place is a broker at which something retained of ours is, or may be.
type Place struct {
	ID      string `db:"id"`
	Address string `db:"address"` // host and port, and the path of a WebSocket
	Access
	LeftAt  int64  `db:"left_at"`  // 0 is the present one
	TriedAt int64  `db:"tried_at"` // when it was last tried to clear it; 0 is never
	Said    string `db:"said"`     // why that failed
	Topics  int    `db:"topics"`   // how many are retained there; read only
}

// A PlaceRow is a place with its secrets sealed.
type PlaceRow struct {
	Place
	Sealed []byte `db:"secrets"`
}

// Find returns what was set; an empty ID is that nothing ever was.
func Find(ctx context.Context, q sqlx.QueryerContext) (Row, error) {
	rows := []Row{}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM uplink`); err != nil {
		return Row{}, fmt.Errorf("uplink: %w", err)
	}
	if len(rows) == 0 {
		return Row{}, nil
	}
	return rows[0], nil
}

// Version is how often it was changed.
func Version(ctx context.Context, q sqlx.QueryerContext) (n int64, err error) {
	if err := sqlx.GetContext(ctx, q, &n, `SELECT coalesce(max(version), 0) FROM uplink`); err != nil {
		return 0, fmt.Errorf("version of the uplink: %w", err)
	}
	return n, nil
}

// Put writes what somebody set.
func Put(ctx context.Context, tx sqlx.ExtContext, r Row) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO uplink (id, url, account, secrets, ca, certificate, insecure, prefix, root,
			commands, tested, version, changed_at, changed_by)
		VALUES (:id, :url, :account, :secrets, :ca, :certificate, :insecure, :prefix, :root, :commands, :tested, :version, :changed_at,
			:changed_by)
		ON CONFLICT (id) DO UPDATE SET url = excluded.url, account = excluded.account, secrets = excluded.secrets, ca = excluded.ca,
			certificate = excluded.certificate, insecure = excluded.insecure, prefix = excluded.prefix, root = excluded.root,
			commands = excluded.commands, tested = excluded.tested, version = excluded.version, changed_at = excluded.changed_at,
			changed_by = excluded.changed_by`, r)
	if err != nil {
		return fmt.Errorf("put the uplink: %w", err)
	}
	return nil
}

// Places lists the brokers at which something of ours may be: the present one first, then
// those that were left, the first of them first.
func Places(ctx context.Context, q sqlx.QueryerContext) ([]PlaceRow, error) {
	rows := []PlaceRow{}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT p.*, (SELECT count(*) FROM uplink_topics t WHERE t.place = p.id) AS topics
		FROM uplink_places p ORDER BY p.left_at, p.id`); err != nil {
		return nil, fmt.Errorf("places of the uplink: %w", err)
	}
	return rows, nil
}

// Enter writes that a broker is the present one, and that all others were left. One that is
// known already keeps its ID and how it is reached: see Reach.
func Enter(ctx context.Context, tx sqlx.ExtContext, p PlaceRow, now int64) error {
	if err := Leave(ctx, tx, p.Address, now); err != nil {
		return err
	}
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO uplink_places (id, address, url, account, secrets, ca, certificate, left_at,
			tried_at, said)
		VALUES (:id, :address, :url, :account, :secrets, :ca, :certificate, 0, 0, '')
		ON CONFLICT (address) DO UPDATE SET left_at = 0, tried_at = 0, said = ''`, p)
	if err != nil {
		return fmt.Errorf("enter a place of the uplink: %w", err)
	}
	return nil
}

// Reach writes how a broker that is known is reached.
func Reach(ctx context.Context, tx sqlx.ExtContext, p PlaceRow) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `UPDATE uplink_places SET url = :url, account = :account, secrets = :secrets, ca = :ca,
		certificate = :certificate WHERE id = :id`, p)
	if err != nil {
		return fmt.Errorf("how a place of the uplink is reached: %w", err)
	}
	return nil
}

// Leave writes that all brokers but the one with this address were left. Those with nothing
// of ours are forgotten.
func Leave(ctx context.Context, tx sqlx.ExtContext, but string, now int64) error {
	if _, err := tx.ExecContext(ctx, `UPDATE uplink_places SET left_at = $1 WHERE left_at = 0 AND address <> $2`, now, but); err != nil {
		return fmt.Errorf("leave places of the uplink: %w", err)
	}
	return forgetClear(ctx, tx)
}

func forgetClear(ctx context.Context, tx sqlx.ExtContext) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM uplink_places WHERE left_at <> 0
		AND NOT EXISTS (SELECT 1 FROM uplink_topics t WHERE t.place = uplink_places.id)`); err != nil {
		return fmt.Errorf("forget places of the uplink that are clear: %w", err)
	}
	return nil
}

// Tried writes down that a place could not be cleared, and why.
func Tried(ctx context.Context, tx sqlx.ExtContext, id, said string, now int64) error {
	if _, err := tx.ExecContext(ctx, `UPDATE uplink_places SET tried_at = $1, said = $2 WHERE id = $3`, now, said, id); err != nil {
		return fmt.Errorf("how clearing a place of the uplink went: %w", err)
	}
	return nil
}

// Forget gives a place that was left up, with what is retained there.
func Forget(ctx context.Context, tx sqlx.ExtContext, id string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM uplink_topics WHERE place = $1`, id); err != nil {
		return fmt.Errorf("give up topics of the uplink: %w", err)
	}
	return forgetClear(ctx, tx)
}

// Topics lists what is retained at a place, sorted.
func Topics(ctx context.Context, q sqlx.QueryerContext, place string) ([]string, error) {
	names := []string{}
	if err := sqlx.SelectContext(ctx, q, &names, `SELECT topic FROM uplink_topics WHERE place = $1 ORDER BY topic`, place); err != nil {
		return nil, fmt.Errorf("topics at a place of the uplink: %w", err)
	}
	return names, nil
}

// chunk is how many topics are written with one statement.
const chunk = 400

// Add writes down that topics may be retained at a place from now on.
func Add(ctx context.Context, tx sqlx.ExtContext, place string, names []string) error {
	for from := 0; from < len(names); from += chunk {
		some := names[from:min(from+chunk, len(names))]
		rows := make([]map[string]any, len(some))
		for i, n := range some {
			rows[i] = map[string]any{"place": place, "topic": n}
		}
		if _, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO uplink_topics (place, topic) VALUES (:place, :topic)
			ON CONFLICT (place, topic) DO NOTHING`, rows); err != nil {
			return fmt.Errorf("add topics of the uplink: %w", err)
		}
	}
	return nil
}

// Drop writes down that topics are cleared at a place, and forgets the place if it was left
// and nothing else is there.
func Drop(ctx context.Context, tx sqlx.ExtContext, place string, names []string) error {
	for from := 0; from < len(names); from += chunk {
		query, args, err := sqlx.In(`DELETE FROM uplink_topics WHERE place = ? AND topic IN (?)`, place, names[from:min(from+chunk, len(names))])
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, tx.Rebind(query), args...); err != nil {
			return fmt.Errorf("drop topics of the uplink: %w", err)
		}
	}
	return forgetClear(ctx, tx)
}
