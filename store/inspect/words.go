package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/store/copies"
)

// ErrUnusable is a database file that cannot be used as it is. Its text says what is
// so and what to do.
var ErrUnusable = errors.New("the database cannot be used")

// A Fault is why a database file cannot be used, in one line for people. It is
// ErrUnusable, and what caused it.
type Fault struct {
	Say string
	Err error
}

func (f *Fault) Error() string { return f.Say }

// Unwrap implements errors.
func (f *Fault) Unwrap() []error {
	if f.Err == nil {
		return []error{ErrUnusable}
	}
	return []error{ErrUnusable, f.Err}
}

func fault(err error, say string, args ...any) error {
	return &Fault{Say: strings.Join(strings.Fields(fmt.Sprintf(say, args...)), " "), Err: err}
}

// SQLite's result codes that have words of ours.
const (
	codeBusy     = 5
	codeReadonly = 8
	codeIO       = 10
	codeCorrupt  = 11
	codeFull     = 13
	codeCantOpen = 14
	codeNotADB   = 26
)

// Words says in words what SQLite says of a file, and what to do. Other errors, and
// nil, stay what they are.
func Words(err error, data, path string) error {
	var coded interface{ Code() int }
	if err == nil || errors.Is(err, ErrUnusable) || !errors.As(err, &coded) {
		return err
	}
	switch coded.Code() & 0xff {
	case codeBusy:
		return fault(err, `%s is locked by another program, such as an open sqlite3 shell, or one that copies the file: end that and try again;
			copies are made with restic-manager backup, which locks nobody out`, path)
	case codeReadonly, codeCantOpen:
		if said := access(path); said != nil {
			return said
		}
		return fault(err, `%s cannot be written (%v): see that its disk is not mounted read-only, and that its directory and the files beside it
			that begin with its name belong to the user this runs as`, path, err)
	case codeFull:
		return fault(err, "there is no space left for %s: free some on its disk and start again; nothing is lost", path)
	case codeIO:
		return fault(err, `%s cannot be read or written (%v): see the system's log for what its disk reports, and copy the data directory
			elsewhere before anything else; %s`, path, err, Restore(data))
	case codeNotADB:
		return fault(err, "%s is no database, or its beginning was overwritten (%v); nothing was changed; %s", path, err, Restore(data))
	case codeCorrupt:
		return damaged(err, data, path, err.Error())
	}
	return err
}

// Damage says what to do about damage that [Quick] or [Whole] found.
func Damage(data, path string, found []string) error {
	return damaged(nil, data, path, strings.Join(found, "; "))
}

// damaged is the fault of a file that SQLite cannot make sense of.
func damaged(err error, data, path, what string) error {
	return fault(err, `%s is damaged (%s): stop every restic-manager that uses it and keep a copy of it with its -wal file; %s;
		or save what can be read: sqlite3 %[1]s .recover | sqlite3 NEW.db`, path, what, Restore(data))
}

// Restore says which copy of a data directory's database to put in its place.
func Restore(data string) string {
	list, err := copies.List(data)
	if err != nil || len(list) == 0 {
		return "there is no copy in " + copies.Dir(data) + ": restore one that you have elsewhere, with " +
			"restic-manager restore-self FILE --replace --data " + data
	}
	return fmt.Sprintf("its newest copy is of %s: restic-manager restore-self %s --replace --data %s",
		list[0].At.Format("2006-01-02 15:04")+" UTC", list[0].Path, data)
}

// access says why a file that exists cannot be opened for writing, nil if it can.
func access(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		return f.Close()
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fault(err, "%s cannot be opened: %s", path, owner(path))
	case readOnly(err):
		return fault(err, "%s is on a disk that is mounted read-only: mount it writable (after an error of the disk, look at it first)", path)
	}
	return nil
}

func when(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05") + " UTC" }
