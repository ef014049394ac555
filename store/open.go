package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/store/copies"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/inspect"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/mark"
	"github.com/restic-manager/restic-manager/store/migrations"
	"github.com/restic-manager/restic-manager/store/prepared"
	"github.com/restic-manager/restic-manager/store/triggers"
)

// Options say how a database is opened.
type Options struct {
	Key  keyring.Source
	Mark string // file of the mark; "" is beside the key's file, or beside the directory
	// Upgrade brings an older database up to date, after a copy of it was made. Without
	// it, the error is [migrations.ErrOlder].
	Upgrade bool
	// AcceptRollback opens a database that is behind its mark, notes that in the audit
	// log and gives it a new epoch. Without it, the error is [mark.ErrBehind].
	AcceptRollback bool
}

// Files are where a data directory has its database and what belongs to it.
func Files(dir, keyFile, markFile string) inspect.Files {
	if markFile == "" {
		markFile = mark.Path(dir, keyFile)
	}
	return inspect.Files{Data: dir, Database: filepath.Join(dir, fileName), Mark: markFile}
}

// Exists reports whether a directory holds a database, or a file beside it says that
// it should. If not, Open creates a new one.
func Exists(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, fileName))
	return err == nil || keyring.Expects(dir) || !mark.Missing(mark.Path(dir, ""))
}

// Open opens the database in dir, or creates it with its key, and migrates it. key is
// the key file; "" is dir.key, beside the directory.
func Open(ctx context.Context, dir, keyFile string) (*Store, error) {
	return OpenWith(ctx, dir, Options{Key: keyring.Source{File: keyFile}, Upgrade: true})
}

// OpenWith is Open with options. It returns [keyring.ErrKey] and writes nothing if the
// database is there without its key, a key file or a mark without its database, or a
// database that is behind its mark: continuing would lose secrets or decisions, or let
// a stranger set up a new installation.
func OpenWith(ctx context.Context, dir string, o Options) (*Store, error) {
	path := filepath.Join(dir, fileName)
	if o.Mark == "" {
		o.Mark = mark.Path(dir, o.Key.File)
	}
	files := inspect.Files{Data: dir, Database: path, Mark: o.Mark}
	found, err := files.Look()
	if err != nil {
		return nil, err
	}
	m, err := keyring.Open(o.Key, dir, path, found.Fresh)
	if err != nil {
		return nil, err
	}
	if !found.Fresh {
		found, err = files.Inside(ctx, found)
	}
	switch {
	case err != nil:
		return nil, err
	case found.Lost != nil && !o.AcceptRollback:
		return nil, found.Lost
	case !found.Fresh && len(found.Schema.Missing) > 0 && !o.Upgrade:
		return nil, fmt.Errorf("%w (%s has schema %d, this binary knows %d): start restic-manager serve of this version once; it makes a copy "+
			"and brings the database up to date", migrations.ErrOlder, path, found.Schema.At, migrations.Newest())
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	s := &Store{dir: dir, mark: o.Mark, LogLines: LogLines, keys: ring{keyring.NewRing(m)}, now: time.Now}
	if s.w, err = dial(path, 1); err != nil {
		return nil, err
	}
	if s.r, err = dial(path, max(4, runtime.NumCPU())); err != nil {
		return nil, errors.Join(err, s.w.Close())
	}
	if err := s.prepare(ctx, found); err != nil {
		if err = inspect.Words(err, dir, path); !errors.Is(err, inspect.ErrUnusable) {
			err = fmt.Errorf("open %s: %w", path, err)
		}
		return nil, errors.Join(err, s.Close())
	}
	m.NoteMade(dir)
	s.Mended = slices.Concat(private.Dir(dir, fileName+"*", "*.lock"), private.Dir(copies.Dir(dir), "*"), private.Files(o.Mark))
	if say, remedy := m.Misplaced(dir); say != "" {
		s.Mended = append(s.Mended, say+" "+remedy)
	}
	if m.File != "" {
		for _, said := range private.Files(m.File) {
			s.Mended = append(s.Mended, said+"; whoever read it can read every secret in a copy of the database: restic-manager key rotate "+
				"makes a new one")
		}
	}
	return s, nil
}

// KeyMisplaced says that the key file lies inside the data directory, and what to do;
// "" if it does not.
func (s *Store) KeyMisplaced() (say, remedy string) { return s.keys.Master.Misplaced(s.dir) }

// KeyExposed says that everybody on the machine can read the key's file, and how that is
// mended; "" and "" if not.
func (s *Store) KeyExposed() (say, remedy string) { return s.keys.Master.Exposed() }

func dial(path string, conns int) (*sqlx.DB, error) {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(5000)",
		// So that what a new database begins with is in its log as a whole: a file without that
		// log holds no table then, which is noticed.
		"wal_autocheckpoint(3000)",
		"journal_size_limit(16777216)"}} // of the log, once it is in the database; else it stays as large as it ever was
	db, err := sqlx.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

func (s *Store) prepare(ctx context.Context, found inspect.State) error {
	if err := s.fits(ctx); err != nil {
		return err
	}
	if found.Fresh || len(found.Schema.Missing) > 0 {
		if err := s.upgrade(ctx, found.Schema); err != nil {
			return err
		}
	}
	steps := []func(context.Context) error{s.protectAudit, s.putTriggers, s.catchUp, s.begin, s.checkCanary}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if found.Lost == nil {
		return nil
	}
	return s.acceptRollback(ctx, found)
}

// upgrade does the migrations that a database has not. One that holds something is
// copied first, and the copy kept until the next.
func (s *Store) upgrade(ctx context.Context, from migrations.State) error {
	do := func() error { return migrations.Up(ctx, s.w.DB, func() { failpoint.Here("migrate-statement") }) }
	if from.At == 0 {
		return do()
	}
	c, err := s.before(ctx, from)
	if err != nil {
		return fmt.Errorf("the schema is to be brought from %d to %d, and the database is copied before that: %w", from.At, migrations.Newest(),
			err)
	}
	if err := do(); err != nil {
		return err
	}
	c, err = copies.Upgraded(s.dir, c)
	s.Copied = c.Path
	return err
}

// before is the copy that is made before an upgrade. One that was interrupted after some
// migrations has it already.
func (s *Store) before(ctx context.Context, from migrations.State) (copies.Copy, error) {
	list, err := copies.List(s.dir)
	if err != nil {
		return copies.Copy{}, err
	}
	note := fmt.Sprintf("schema%d", from.At)
	for _, c := range list {
		if c.Kind == copies.Upgrading && !strings.HasSuffix(c.Path, "-"+note+".db") {
			return c, nil
		}
	}
	c, err := copies.Make(ctx, s.r, s.dir, copies.Upgrading, note, s.now())
	if err == nil {
		_, err = copies.Keep(s.dir, copies.Upgrading, 1)
	}
	return c, err
}

// putTriggers has the database note changes and keep counts by itself.
func (s *Store) putTriggers(ctx context.Context) error {
	return triggers.Put(ctx, s.w, slices.Concat(triggers.HostChanges(fleetHostColumns, append(slices.Clone(fleetJobColumns), "summary")),
		triggers.ScheduleChanges(), triggers.FormerPlans(), triggers.Tallies(), triggers.GroupFacts(facts.GroupColumns), triggers.Judged()))
}

// catchUp makes the facts of source groups anew that are out of date, some in each
// transaction: after an upgrade those of all groups are.
func (s *Store) catchUp(ctx context.Context) error {
	for {
		tx, err := s.w.BeginTxx(ctx, nil)
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		n, err := facts.Update(ctx, prepared.In(tx), manyHosts, s.Now())
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil || n < manyHosts {
			return err
		}
	}
}
