// Package copies makes copies of the database, while it is in use, and keeps some.
//
// A copy is made by VACUUM INTO: it is the database of one moment, in one file without
// a -wal. The secrets in it are sealed, and the key is not in it.
package copies

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/private"
)

// A Kind is why a copy was made. It is part of the copy's name.
type Kind string

// Kinds of copies.
const (
	Upgrade Kind = "upgrade" // before the schema was changed
	// Upgrading is one of those while the change has not ended: an upgrade that was
	// interrupted goes on without another copy, of what no version knows.
	Upgrading Kind = "upgrading"
	Daily     Kind = "daily"
)

// A Copy is a copy of the database.
type Copy struct {
	Path  string
	Kind  Kind
	At    time.Time
	Bytes int64
}

// Dir is where the copies of a data directory's database are.
func Dir(data string) string { return filepath.Join(data, "copies") }

const (
	prefix  = "restic-manager-"
	suffix  = ".db"
	partial = ".partial" // one that is being made
	stamp   = "20060102T150405Z"
)

var named = regexp.MustCompile(`^` + prefix + `([a-z]+)-([0-9]{8}T[0-9]{6}Z)(-[a-z0-9]+)?\.db$`)

// ErrRoom is the error that a disk has no room for a copy.
var ErrRoom = errors.New("there is no room for a copy of the database")

// Make makes a copy of the database in a data directory's copies, and removes what
// copies that were interrupted left there. It looks for room first: the error is
// [ErrRoom]. note is a word in the copy's name, or "".
func Make(ctx context.Context, db sqlx.ExtContext, data string, kind Kind, note string, at time.Time) (Copy, error) {
	dir := Dir(data)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Copy{}, fmt.Errorf("make the directory of copies: %w", err)
	}
	if err := private.Own(dir, data); err != nil {
		return Copy{}, fmt.Errorf("give the copies to the user of the data directory: %w", err)
	}
	_ = private.Dir(dir)
	left, err := filepath.Glob(filepath.Join(private.Quote(dir), prefix+string(kind)+"-*"+partial))
	if err != nil {
		return Copy{}, err
	}
	for _, path := range left {
		_ = os.Remove(path)
	}
	if note != "" {
		note = "-" + note
	}
	path := ""
	for { // two in one second
		path = filepath.Join(dir, prefix+string(kind)+"-"+at.UTC().Format(stamp)+note+suffix)
		if _, err := os.Lstat(path); err != nil {
			break
		}
		at = at.Add(time.Second)
	}
	if err := Into(ctx, db, path); err != nil {
		return Copy{}, err
	}
	if err := private.Own(path, dir); err != nil {
		return Copy{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return Copy{}, err
	}
	return Copy{Path: path, Kind: kind, At: at.UTC().Truncate(time.Second), Bytes: info.Size()}, nil
}

// Upgraded says that the upgrade which a copy was made for has ended. It is the only one
// of its kind that is kept.
func Upgraded(data string, c Copy) (Copy, error) {
	to := c
	to.Kind = Upgrade
	to.Path = filepath.Join(Dir(data), prefix+string(Upgrade)+strings.TrimPrefix(filepath.Base(c.Path), prefix+string(Upgrading)))
	if err := os.Rename(c.Path, to.Path); err != nil {
		return c, err
	}
	_, err := Keep(data, Upgrade, 1)
	return to, err
}

// Into copies the database into a file that is not there yet, for its owner alone.
// After a crash the whole copy is there, or only a file NAME.partial. It looks for room
// first: the error is [ErrRoom].
func Into(ctx context.Context, db sqlx.ExtContext, path string) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("copy the database: %s: %w", path, fs.ErrExist)
	}
	if err := Room(ctx, db, filepath.Dir(path)); err != nil {
		return err
	}
	temp := path + partial
	defer func() {
		if err != nil {
			err = fmt.Errorf("copy the database to %s: %w", path, err)
			if rerr := os.Remove(temp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
				err = errors.Join(err, rerr)
			}
		}
	}()
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) // an empty file is what VACUUM INTO fills
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := db.ExecContext(ctx, `VACUUM INTO $1`, temp); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil { // its name, too, where the system can
		_ = d.Sync()
		_ = d.Close()
	}
	return nil
}

// Spare is what stays free on a disk beside a copy, so that the database itself can
// grow.
const Spare = 16 << 20

// Room returns ErrRoom if a directory's disk has no room for a copy of the database.
func Room(ctx context.Context, q sqlx.QueryerContext, dir string) error {
	need, err := Size(ctx, q)
	if err != nil {
		return err
	}
	free, err := free(dir)
	if err != nil {
		return nil // where nobody can say, the copy itself shows
	}
	if uint64(need)+Spare > free {
		return fmt.Errorf("%w: it takes %d MiB with what must stay free, and %s has %d MiB; free some space there, or move the directory "+
			"to a larger disk", ErrRoom, (need+Spare)>>20, dir, free>>20)
	}
	return nil
}

// Size is about how many bytes a copy of the database takes.
func Size(ctx context.Context, q sqlx.QueryerContext) (int64, error) {
	var bytes int64
	err := sqlx.GetContext(ctx, q, &bytes, `SELECT (p.page_count - f.freelist_count) * s.page_size
		FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s`)
	return bytes, err
}

// Fewer removes the oldest copies of a kind, but for the newest, until a disk has as much
// room beside another copy as is to stay free. It returns what it removed, or [ErrRoom] if
// that is not enough: copies are there for when the disk is lost, and are not to fill it.
func Fewer(ctx context.Context, q sqlx.QueryerContext, data string, kind Kind, spare uint64) (removed []Copy, err error) {
	need, err := Size(ctx, q)
	if err != nil {
		return nil, err
	}
	list, err := List(data)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(c Copy) bool { return c.Kind != kind })
	for {
		free, err := free(data)
		if err != nil || free >= uint64(need)+spare {
			return removed, nil // where nobody can say, the copy itself shows
		}
		last := len(list) - 1
		if last < 1 {
			return removed, fmt.Errorf("%w: it takes %d MiB, %d MiB are to stay free for what hosts say, and %s has %d MiB; free some space "+
				"there, or move the directory to a larger disk", ErrRoom, need>>20, spare>>20, data, free>>20)
		}
		if err := os.Remove(list[last].Path); err != nil {
			return removed, err
		}
		removed, list = append(removed, list[last]), list[:last]
	}
}

// List lists the copies of a data directory's database, the newest first.
func List(data string) ([]Copy, error) {
	entries, err := os.ReadDir(Dir(data))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []Copy
	for _, e := range entries {
		m := named.FindStringSubmatch(e.Name())
		if m == nil || !e.Type().IsRegular() {
			continue
		}
		at, terr := time.Parse(stamp, m[2])
		info, ierr := e.Info()
		if terr == nil && ierr == nil {
			list = append(list, Copy{Path: filepath.Join(Dir(data), e.Name()), Kind: Kind(m[1]), At: at, Bytes: info.Size()})
		}
	}
	slices.SortFunc(list, func(a, b Copy) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return strings.Compare(b.Path, a.Path)
	})
	return list, err
}

// Keep removes the copies of a kind but for the newest n, and returns what it removed.
func Keep(data string, kind Kind, n int) (removed []Copy, err error) {
	list, err := List(data)
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if c.Kind != kind {
			continue
		}
		if n--; n >= 0 {
			continue
		}
		if err := os.Remove(c.Path); err != nil {
			return removed, err
		}
		removed = append(removed, c)
	}
	return removed, nil
}

// Oldest is when the oldest copy of a data directory's database was made that is kept, in Unix
// milliseconds; 0 if there is none, and 1 if that cannot be said: there may be an old one.
func Oldest(data string) int64 {
	list, err := List(data)
	if err != nil {
		return 1
	}
	oldest := int64(0)
	for _, c := range list {
		if at := c.At.UnixMilli(); oldest == 0 || at < oldest {
			oldest = at
		}
	}
	return oldest
}
