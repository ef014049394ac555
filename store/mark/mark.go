// Package mark keeps, in a small file apart from the database, how far the database
// has come: the head of its audit chain, its schema and its epoch. A database that is
// behind its mark has lost its end, as when its -wal file is missing, or is an older
// copy; one with another ID is another control plane's.
//
// A mark is made of what readers see, which is committed and on disk
// (synchronous=FULL), and is written afterwards. So it may be behind the database,
// after a crash in between, and never ahead of it.
package mark

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/store/chain"
	"github.com/restic-manager/restic-manager/store/keyring"
)

// A Mark is how far a database had come at a moment.
type Mark struct {
	Database string // random ID of the database; a copy that is restored keeps it
	Audit    chain.Head
	Schema   int64 // the newest migration
	Epoch    int64 // rises when a copy is restored
	Users    int   // people who may sign in
	At       int64 // Unix milliseconds
}

// file is a mark as it is written down.
type file struct {
	What     string `json:"what"`
	Database string `json:"database"`
	Audit    string `json:"audit"` // N:HASH
	Schema   int64  `json:"schema"`
	Epoch    int64  `json:"epoch"`
	Users    int    `json:"users"`
	At       string `json:"at"`
}

const what = "how far restic-manager's database had come; it refuses to start on one that is behind"

// Path is the file of a data directory's mark: beside the key's file, or beside the
// directory if keyFile is "". One that is beside the directory already is used with any
// key: the same key may be given in different ways.
func Path(dir, keyFile string) string {
	beside := strings.TrimSuffix(keyring.Beside(dir), ".key") + ".mark"
	if keyFile == "" || !Missing(beside) {
		return beside
	}
	return strings.TrimSuffix(keyFile, ".key") + ".mark"
}

// Read reads a mark. The error is [fs.ErrNotExist] if there is none.
func Read(path string) (Mark, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrPermission) {
		return Mark{}, fmt.Errorf("%w: %w; give the file to the user this runs as", ErrDamaged, err)
	}
	if err != nil {
		return Mark{}, err
	}
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return Mark{}, damaged(path)
	}
	head, err := chain.ParseHead(f.Audit)
	at, terr := time.Parse(time.RFC3339, f.At)
	if err != nil || terr != nil || f.Database == "" {
		return Mark{}, damaged(path)
	}
	return Mark{Database: f.Database, Audit: head, Schema: f.Schema, Epoch: f.Epoch, Users: f.Users, At: at.UnixMilli()}, nil
}

// ErrDamaged is the error of a file that holds no mark.
var ErrDamaged = errors.New("the mark of the database cannot be read")

func damaged(path string) error {
	return fmt.Errorf("%w: %s is not what this program writes; if you know that the database is the newest one, remove the file", ErrDamaged,
		path)
}

// Write writes a mark for its owner alone. After a crash the file has the mark of
// before or this one.
func (m Mark) Write(path string) error {
	b, err := json.MarshalIndent(file{What: what, Database: m.Database, Audit: m.Audit.String(), Schema: m.Schema, Epoch: m.Epoch,
		Users: m.Users, At: time.UnixMilli(m.At).UTC().Format(time.RFC3339)}, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, private.Own(f.Name(), path, filepath.Dir(path)), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil { // its name, too, where the system can
		_ = d.Sync()
		_ = d.Close()
	}
	return nil
}

// Of returns the mark of a database as it is now, which readers see. Its schema is at
// least that of this package's tables.
func Of(ctx context.Context, q sqlx.QueryerContext, now int64) (Mark, error) {
	var row struct {
		Database string `db:"id"`
		Epoch    int64  `db:"epoch"`
		Schema   int64  `db:"version"`
		Users    int    `db:"users"`
		N        int64  `db:"n"`
		Hash     []byte `db:"hash"`
	}
	err := sqlx.GetContext(ctx, q, &row, `SELECT i.id, i.epoch, (SELECT max(version_id) FROM goose_db_version) AS version,
		(SELECT count(*) FROM users) AS users, coalesce(a.n, 0) AS n, coalesce(a.hash, x'') AS hash
		FROM installation i LEFT JOIN (SELECT n, hash FROM audit ORDER BY n DESC LIMIT 1) a`)
	if err != nil {
		return Mark{}, fmt.Errorf("read how far the database has come: %w", err)
	}
	return Mark{Database: row.Database, Audit: chain.Head{N: row.N, Hash: row.Hash}, Schema: row.Schema, Epoch: row.Epoch, Users: row.Users,
		At: now}, nil
}

// ErrOther is the error of a database that is not the mark's.
var ErrOther = errors.New("the database is another one than its mark is of")

// ErrBehind is the error of a database that is behind its mark.
var ErrBehind = errors.New("the database is behind its mark")

// A Behind says what of a database is missing. It is [ErrBehind].
type Behind struct {
	Mark  Mark
	Audit int64  // the last entry of the database's audit log
	Why   string // what does not fit
}

func (b *Behind) Error() string { return ErrBehind.Error() + ": " + b.Why }

// Is makes it ErrBehind.
func (b *Behind) Is(target error) bool { return target == ErrBehind }

// Check returns ErrOther or a [Behind] if a database is not the mark's, or has not
// all that the mark has seen. It may have any schema, or no table at all.
func (m Mark) Check(ctx context.Context, q sqlx.QueryerContext) error {
	has := map[string]bool{}
	var tables []string
	if err := sqlx.SelectContext(ctx, q, &tables, `SELECT name FROM sqlite_master WHERE type = 'table'`); err != nil {
		return err
	}
	for _, t := range tables {
		has[t] = true
	}
	one := func(into any, query string, args ...any) error {
		if err := sqlx.GetContext(ctx, q, into, query, args...); !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return nil
	}
	var id string
	var epoch, schema, last int64
	var hash []byte
	var errs []error
	if has["installation"] {
		errs = append(errs, one(&id, `SELECT id FROM installation`), one(&epoch, `SELECT epoch FROM installation`))
	}
	if has["goose_db_version"] {
		errs = append(errs, one(&schema, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`))
	}
	if has["audit"] {
		errs = append(errs, one(&last, `SELECT coalesce(max(n), 0) FROM audit`), one(&hash, `SELECT hash FROM audit WHERE n = $1`, m.Audit.N))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	when := time.UnixMilli(m.At).UTC().Format("2006-01-02 15:04:05") + " UTC"
	behind := func(why string, args ...any) error {
		return &Behind{Mark: m, Audit: last, Why: fmt.Sprintf(why, args...)}
	}
	switch {
	case id != "" && id != m.Database:
		return ErrOther
	case last < m.Audit.N:
		return behind("its audit log ends with entry %d, and had %d on %s", last, m.Audit.N, when)
	case !bytes.Equal(hash, m.Audit.Hash):
		return behind("entry %d of its audit log is not the one that was there on %s", m.Audit.N, when)
	case schema < m.Schema:
		return behind("its schema is %d, and was %d on %s", schema, m.Schema, when)
	case id == "":
		return behind("it has no ID, and had one on %s", when)
	case epoch < m.Epoch:
		return behind("its epoch is %d, and was %d on %s: a copy was restored since this one was made", epoch, m.Epoch, when)
	}
	return nil
}

// Missing reports whether there is no mark in a file.
func Missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
