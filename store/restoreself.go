package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/mark"
	"github.com/restic-manager/restic-manager/store/migrations"
	"github.com/restic-manager/restic-manager/store/restored"
)

// A Restoring is what a data directory is made of.
type Restoring struct {
	Copy    string // the file
	Data    string // directory
	Key     keyring.Source
	Mark    string       // file of the mark; "" as in Options
	Replace bool         // put a database that is there aside
	Admin   string       // who confirms the others; "" is the only administrator
	Link    PasswordLink // theirs
	Actor   string
}

// A Restored is what was made.
type Restored struct {
	restored.Plane
	Admin string // whose the link is; "" if the copy knows nobody, and serve prints a link for the first
}

// Errors of RestoreFrom.
var (
	// ErrOccupied is that the directory has a database already.
	ErrOccupied = errors.New("there is a control plane's database already; nothing was changed")
	// ErrNoCopy is that a file is no copy that can be restored, and why.
	ErrNoCopy = errors.New("this is no copy of a control plane's database that can be restored; nothing was changed")
	// ErrWhichAdmin is that somebody has to say who confirms the others.
	ErrWhichAdmin = errors.New("say with --admin which administrator confirms the others")
)

// RestoreFrom makes a database in a data directory from a copy, with a new epoch, and
// writes its mark. The directory has the whole of it, or nothing new: it is made beside,
// and given its name at the end. Nobody may use the directory meanwhile.
func RestoreFrom(ctx context.Context, r Restoring) (made Restored, err error) {
	path := filepath.Join(r.Data, fileName)
	if _, err := os.Lstat(path); err == nil && !r.Replace {
		return made, fmt.Errorf("%w in %s; give --data another directory, or --replace to put that database aside", ErrOccupied, r.Data)
	}
	if r.Mark == "" {
		r.Mark = mark.Path(r.Data, r.Key.File)
	}
	if r.Key.File == "" && r.Key.Given == "" {
		r.Key.File = keyring.Beside(r.Data)
	}
	if r.Key.Given == "" {
		if _, err := os.Stat(r.Key.File); err != nil {
			return made, fmt.Errorf("%w: the key that was in use when the copy was made has to be in %s, readable for this user alone, or named "+
				"with --key-file (%w)", keyring.ErrKey, r.Key.File, err)
		}
	}
	copied, err := inspectCopy(ctx, r.Copy)
	if err != nil {
		return made, err
	}
	if err := private.MakeDir(r.Data); err != nil {
		return made, err
	}
	staging, err := os.MkdirTemp(r.Data, "restoring-") // 0700
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(staging)) }()
	within := filepath.Join(staging, "data")
	if err := os.Mkdir(within, 0o700); err != nil {
		return made, err
	}
	if err := copyFile(r.Copy, filepath.Join(within, fileName)); err != nil {
		return made, err
	}
	m, err := r.build(ctx, within, copied, &made)
	if err != nil {
		return made, err
	}
	if err := private.Own(filepath.Join(within, fileName), r.Data); err != nil {
		return made, err
	}
	aside := path + ".replaced-" + time.Now().UTC().Format("20060102T150405Z")
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return made, err
		}
	}
	if err := os.Rename(filepath.Join(within, fileName), path); err != nil {
		return made, err
	}
	if d, err := os.Open(r.Data); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	return made, m.Write(r.Mark)
}

// build makes the database of a control plane from the copy in a directory.
func (r Restoring) build(ctx context.Context, dir string, copied int64, made *Restored) (m mark.Mark, err error) {
	s, err := openCopy(ctx, dir, r.Key)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	users, err := s.Users(ctx)
	if err != nil {
		return m, err
	}
	admin := ""
	for _, u := range users {
		switch {
		case u.Role != Admin || r.Admin != "" && r.Admin != u.Name:
		case r.Admin == "" && u.DisabledAt != 0:
		case admin != "":
			return m, fmt.Errorf("%w: the copy knows %s", ErrWhichAdmin, admins(users))
		default:
			admin, made.Admin = u.ID, u.Name
		}
	}
	if admin == "" && len(users) > 0 {
		return m, fmt.Errorf("%w: the copy knows no administrator %q, but %s", ErrWhichAdmin, r.Admin, admins(users))
	}
	if was, rerr := mark.Read(r.Mark); rerr == nil {
		if err := s.rise(ctx, was.Epoch); err != nil {
			return m, err
		}
	}
	if made.Plane, err = s.RestoreSelf(ctx, r.Actor, copied, admin, r.Link); err != nil {
		return m, err
	}
	if _, err := s.w.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return m, err
	}
	return s.Mark(ctx)
}

// rise has the epoch be at least that of another database that was in this one's place.
func (s *Store) rise(ctx context.Context, epoch int64) error {
	_, err := s.w.ExecContext(ctx, `UPDATE installation SET epoch = max(epoch, $1)`, epoch)
	return err
}

// inspectCopy says when a copy was made, 0 if it does not say, or why it is none. It
// writes nothing.
func inspectCopy(ctx context.Context, path string) (at int64, err error) {
	if info, err := os.Stat(path); err != nil {
		return 0, err
	} else if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%w: %s is not a file", ErrNoCopy, path)
	}
	db, err := sqlx.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro&immutable=1")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	said, err := all[string](ctx, db, `PRAGMA integrity_check(3)`)
	if err != nil {
		return 0, fmt.Errorf("%w: %s: %w", ErrNoCopy, path, err)
	}
	if len(said) != 1 || said[0] != "ok" {
		return 0, fmt.Errorf("%w: %s is damaged: %.300q; take another copy", ErrNoCopy, path, said)
	}
	schema, err := get[int64](ctx, db, `SELECT max(version_id) FROM goose_db_version`)
	if err != nil {
		return 0, fmt.Errorf("%w: %s is another program's database", ErrNoCopy, path)
	}
	if newest := migrations.Newest(); schema > newest {
		return 0, fmt.Errorf("%w: %s was made by a newer restic-manager (schema %d, this binary knows %d); install that version or a later one",
			ErrNoCopy, path, schema, newest)
	}
	if at, err = get[int64](ctx, db, `SELECT copied_at FROM installation`); err == nil && at > 0 {
		return at, nil
	}
	// It was made before copies said so, or is the database itself: what happened last is in
	// it, to removed hosts, too.
	return get[int64](ctx, db, `SELECT max(coalesce((SELECT max(at) FROM audit), 0),
		coalesce((SELECT max(last_seen) FROM hosts /* whatever their removed_at, which older copies lack */), 0))`)
}

// openCopy opens a copy that lies in a directory of its own, whatever the mark of the
// database says that it is to replace.
func openCopy(ctx context.Context, dir string, key keyring.Source) (*Store, error) {
	return OpenWith(ctx, dir, Options{Key: key, Mark: filepath.Join(dir, "copy.mark"), Upgrade: true})
}

// admins names the administrators that may be chosen.
func admins(users []User) string {
	var names []string
	for _, u := range users {
		if u.Role == Admin {
			names = append(names, u.Name)
		}
	}
	return cmp.Or(strings.Join(names, ", "), "no administrator")
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
