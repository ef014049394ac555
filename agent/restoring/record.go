package restoring

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// unfinished is the directory below the state for what restores have to finish, even if
// the agent is killed.
const unfinished = "restores"

// A record is what a restore selected and what was there, entry by entry, on the host's
// disk: of a snapshot with millions of files it has no place in memory. It outlives the
// agent, which finishes at its next start what was begun.
type record struct {
	path string // without its extension
	file *os.File
	to   *bufio.Writer
	err  error
}

// A header says what is to be finished.
type header struct {
	Target   string    `json:"target"`          // where the files are to be in the end
	Stage    string    `json:"stage,omitempty"` // the directory in it that they come into first
	NoOwners bool      `json:"no_owners,omitempty"`
	Owner    ownership `json:"owner"`         // of the target
	All      bool      `json:"all,omitempty"` // folders that were there get back what they had
	InPlace  bool      `json:"in_place,omitempty"`
}

func newRecord(dir string, job topics.JobID) (*record, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	r := &record{path: filepath.Join(dir, string(job))}
	f, err := os.OpenFile(r.path+".list", os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	r.file, r.to = f, bufio.NewWriterSize(f, 64<<10)
	return r, nil
}

func (r *record) add(e entry) {
	if r == nil || r.err != nil {
		return
	}
	b, err := json.Marshal(e)
	if err == nil {
		_, err = r.to.Write(append(b, '\n'))
	}
	r.err = err
}

// begin has all entries and the header on disk.
func (r *record) begin(h header) error {
	if err := errors.Join(r.err, r.to.Flush()); err != nil {
		return err
	}
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(r.path+".new", r.path+".json")
}

// each calls f with each entry, in the order they were added.
func (r *record) each(f func(entry) error) error {
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	d := json.NewDecoder(bufio.NewReaderSize(r.file, 64<<10))
	for {
		var e entry
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what was to be restored: %w", err)
		}
		if err := f(e); err != nil {
			return err
		}
	}
}

// remove drops the record of a restore that is finished.
func (r *record) remove() {
	if r == nil {
		return
	}
	r.file.Close()
	r.drop()
}

func (r *record) drop() {
	for _, ext := range []string{".json", ".new", ".list", again} {
		_ = os.Remove(r.path + ext)
	}
}

// again is the extension of the note that a restore is to be finished later, and keepTrying
// how long that is tried: what is done to files of their owner's after that is his.
const (
	again      = ".again"
	keepTrying = 7 * 24 * time.Hour
)

// finishing is held while restores are finished: two may come to the same one.
var finishing sync.Mutex

// An exchanged is a folder of a target that is not what it was, or what restic made.
type exchanged struct{ path, what string }

func (e *exchanged) Error() string {
	return fmt.Sprintf("%s was replaced by %s while the restore ran: what came after that may have gone there", e.path, e.what)
}

// Finish does what a restore had still to do when its agent was killed: files that came
// get the owner they were to have, and go to where they were to be. It returns what it did in
// a sentence, "" if there was nothing to do. What could not be done now, because a disk is
// missing or full, is left for FinishLeft.
func Finish(state string, job topics.JobID) (string, error) {
	finishing.Lock()
	defer finishing.Unlock()
	did, err := finish(state, job)
	if err != nil {
		r := &record{path: filepath.Join(state, unfinished, string(job))}
		if errors.As(err, new(*exchanged)) { // it would be so the next time
			r.drop()
		} else if werr := os.WriteFile(r.path+again, nil, 0o600); werr != nil {
			err = errors.Join(err, werr)
		}
	}
	return did, err
}

// FinishLeft tries again what Finish could not do, and returns sentences that say what
// became of it.
func FinishLeft(state string, now time.Time) (said []string) {
	left, err := filepath.Glob(filepath.Join(state, unfinished, "*"+again))
	if err != nil || len(left) == 0 {
		return nil
	}
	finishing.Lock()
	defer finishing.Unlock()
	for _, name := range left {
		job := strings.TrimSuffix(filepath.Base(name), again)
		did, err := finish(state, topics.JobID(job))
		info, old := os.Stat(name)
		switch {
		case err == nil:
			_ = os.Remove(name)
			if did != "" {
				said = append(said, did)
			}
		case errors.As(err, new(*exchanged)) || old == nil && now.Sub(info.ModTime()) > keepTrying:
			(&record{path: strings.TrimSuffix(name, again)}).drop()
			said = append(said, "the restore "+job+" is not finished, and that is not tried any more: "+err.Error())
		}
	}
	return said
}

func finish(state string, job topics.JobID) (string, error) {
	r := &record{path: filepath.Join(state, unfinished, string(job))}
	var err error
	if r.file, err = os.Open(r.path + ".list"); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	var h header
	b, err := os.ReadFile(r.path + ".json")
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	if errors.Is(err, fs.ErrNotExist) { // it had not begun
		r.remove()
		return "", nil
	} else if err != nil {
		r.file.Close()
		return "", err
	}
	at, err := reopen(h)
	if err != nil {
		r.file.Close()
		return "", err
	}
	defer at.close()
	err = at.give(r, h)
	if moved := at.finish(); err == nil {
		err = moved
	}
	if err != nil {
		r.file.Close()
		return "", err
	}
	r.remove()
	return "the restore that was interrupted is finished as far as it came: it is at " + h.Target, nil
}
