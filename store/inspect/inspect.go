// Package inspect looks at a database before it is opened: whether it is one of ours,
// whole, not behind its mark, and of which schema. It writes nothing, also not to a
// database that it refuses, and has words for each refusal.
package inspect

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/mark"
	"github.com/restic-manager/restic-manager/store/migrations"
)

// Files are what is looked at.
type Files struct {
	Data     string // directory
	Database string
	Mark     string
}

// A State is what was found.
type State struct {
	Fresh  bool             // there is no database
	Schema migrations.State // of one that is there
	Marked bool             // there is a mark
	Lost   error            // a mark.ErrBehind, with words; nil if nothing is
	Mark   mark.Mark        // if there is one
}

// Look looks at the files, and not into the database. A database that is not there is an
// error only if its mark is; whether its key is, is package keyring's to say.
func (f Files) Look() (s State, err error) {
	m, err := mark.Read(f.Mark)
	switch {
	case err == nil:
		s.Marked, s.Mark = true, m
	case !errors.Is(err, fs.ErrNotExist):
		return s, fmt.Errorf("%w: %w", keyring.ErrKey, err)
	}
	size, head, err := f.header()
	if err != nil {
		return s, err
	}
	if size == 0 {
		s.Fresh = true
		return s, f.gone(s, m)
	}
	return s, f.whole(size, head)
}

// Inside looks into a database that Look found, and adds to what that did.
func (f Files) Inside(ctx context.Context, s State) (_ State, err error) {
	db, err := f.open()
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if s.Schema, err = migrations.Look(ctx, db.DB); err != nil {
		if errors.Is(err, migrations.ErrForeign) {
			return s, fault(err, "%s: %v; give --data the directory of restic-manager's own database", f.Database, err)
		}
		return s, Words(err, f.Data, f.Database)
	}
	if !s.Marked {
		return s, f.empty(s)
	}
	err = s.Mark.Check(ctx, db)
	var behind *mark.Behind
	switch {
	case errors.As(err, &behind):
		s.Lost = f.behind(behind)
		return s, nil
	case errors.Is(err, mark.ErrOther):
		return s, fault(fmt.Errorf("%w: %w", keyring.ErrKey, err), `%s is not the database that its mark %s is of: two data directories were
			swapped,
			or a copy of another control plane was put here; put the right one back, or remove the mark if this is the one you want`,
			f.Database, f.Mark)
	}
	return s, Words(err, f.Data, f.Database)
}

// open opens the database to read it.
func (f Files) open() (*sqlx.DB, error) {
	how := "?mode=ro&_pragma=busy_timeout(5000)"
	if _, err := os.Lstat(f.Database + "-wal"); errors.Is(err, fs.ErrNotExist) {
		how += "&immutable=1" // nobody has it open, and no file is made beside it
	}
	db, err := sqlx.Open("sqlite", "file:"+(&url.URL{Path: f.Database}).EscapedPath()+how)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// header reads the beginning of the file. Its size is 0 if it is empty or not there.
func (f Files) header() (size int64, head []byte, err error) {
	// Opening something else than a file, such as a pipe, can wait for good.
	if info, err := os.Stat(f.Database); err == nil && !info.Mode().IsRegular() {
		return 0, nil, fault(nil, "%s is not a file; give --data the directory of restic-manager's database", f.Database)
	}
	file, err := os.Open(f.Database)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		if said := access(f.Database); said != nil {
			return 0, nil, said
		}
		return 0, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, nil, err
	}
	head = make([]byte, 100)
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, nil, fault(err, "%s cannot be read (%v); see the system's log for what its disk reports; %s", f.Database, err, Restore(f.Data))
	}
	return info.Size(), head[:n], nil
}

// gone is the error of a database that is not there, and should be.
func (f Files) gone(s State, m mark.Mark) error {
	what := "missing"
	if _, err := os.Lstat(f.Database); err == nil {
		what = "empty"
	}
	if s.Marked {
		return fault(keyring.ErrKey, `%s is %s, and its mark %s says that it had %d audit entries and %d users on %s: mount its disk, or put it
			back; %s; or remove the mark and the key to begin anew (every host would have to enrol again)`,
			f.Database, what, f.Mark, m.Audit.N, m.Users, when(m.At), Restore(f.Data))
	}
	if info, err := os.Lstat(f.Database + "-wal"); err == nil && info.Size() > 0 {
		return fault(keyring.ErrKey, `%[1]s is %[2]s, and %[1]s-wal is there with what was last written to it: put the database back that belongs
			to it; %[3]s; or remove the -wal file to begin anew`, f.Database, what, Restore(f.Data))
	}
	return nil
}

// empty is the error of a database without a table whose key is there: all that was in
// it was in a -wal file that is missing. There is no mark to say more.
func (f Files) empty(s State) error {
	if s.Schema.At > 0 {
		return nil
	}
	if info, err := os.Lstat(f.Database + "-wal"); err == nil && info.Size() > 0 {
		return nil // it was being made
	}
	return fault(keyring.ErrKey, `%s holds no table: what was written to it was in %[1]s-wal, which is missing, or somebody else made the file;
		put
		the -wal file back; %s; or remove both the database and its key to begin anew`, f.Database, Restore(f.Data))
}

// whole looks at the header: whether it is SQLite's, and whether the file is as long as
// it says.
func (f Files) whole(size int64, head []byte) error {
	if !strings.HasPrefix(string(head), "SQLite format 3\x00") || len(head) < 100 {
		return fault(nil, `%s is no database: its beginning was overwritten, or something else was put in its place; nothing was changed; %s`,
			f.Database, Restore(f.Data))
	}
	if info, err := os.Lstat(f.Database + "-wal"); err == nil && info.Size() > 0 {
		return nil // pages may still be there
	}
	page := int64(binary.BigEndian.Uint16(head[16:]))
	if page == 1 {
		page = 65536
	}
	pages := int64(binary.BigEndian.Uint32(head[28:]))
	if valid := binary.BigEndian.Uint32(head[24:]) == binary.BigEndian.Uint32(head[92:]); valid && size < page*pages {
		return damaged(nil, f.Data, f.Database, fmt.Sprintf("it is cut off: %d bytes of %d are there", size, page*pages))
	}
	return nil
}

// behind words that the end of a database is missing.
func (f Files) behind(b *mark.Behind) error {
	why := "an older copy was put in its place, or files beside it were lost"
	if info, err := os.Lstat(f.Database + "-wal"); err != nil || info.Size() == 0 {
		why = "its -wal file is missing or empty, or an older copy was put in its place"
	}
	return fault(fmt.Errorf("%w: %w", keyring.ErrKey, b), `%[1]s has lost what was written last: %[2]s (%[3]s knows).
		Probably %[4]s. Put back %[1]s-wal or the newest database; %[5]s; or go on with
		what is there by starting restic-manager serve --accept-rollback once: whatever people decided since is forgotten, such as hosts that
		were revoked and users who were disabled`, f.Database, b.Why, f.Mark, why, Restore(f.Data))
}

// Quick looks for damage in the pages of a database, without its indexes; Whole looks
// at those, too. They return what they found, at most ten places, nil if nothing.
// Others write and read meanwhile.
func Quick(ctx context.Context, q sqlx.QueryerContext) ([]string, error) {
	return check(ctx, q, `PRAGMA quick_check(10)`)
}

// Whole is Quick with the indexes.
func Whole(ctx context.Context, q sqlx.QueryerContext) ([]string, error) {
	return check(ctx, q, `PRAGMA integrity_check(10)`)
}

func check(ctx context.Context, q sqlx.QueryerContext, query string) ([]string, error) {
	var found []string
	if err := sqlx.SelectContext(ctx, q, &found, query); err != nil {
		return nil, err
	}
	if len(found) == 1 && found[0] == "ok" {
		return nil, nil
	}
	return found, nil
}
