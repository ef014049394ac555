package topics

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// ErrPayload is the error that a payload is invalid for its topic.
var ErrPayload = errors.New("payload is not what its topic carries")

// Encode encodes a payload. It cannot fail for the types of this package.
func Encode(payload any) []byte {
	b, err := json.Marshal(payload)
	if err != nil {
		panic(fmt.Sprintf("payload %T does not encode: %v", payload, err))
	}
	return b
}

// A checker is a payload with rules beyond its JSON shape.
type checker interface{ check() error }

// Decode decodes and validates a payload. It ignores unknown fields, which a newer
// version may have sent.
func Decode[T any](b []byte) (T, error) {
	var v T
	if len(b) > MaxPayload {
		return v, fmt.Errorf("%w: %d bytes", ErrPayload, len(b))
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("%w: %w", ErrPayload, err)
	}
	if c, ok := any(v).(checker); ok {
		if err := c.check(); err != nil {
			return v, fmt.Errorf("%w: %w", ErrPayload, err)
		}
	}
	return v, nil
}

func (b Birth) check() error { return b.Session.check() }
func (d Death) check() error { return d.Session.check() }
func (s Stamp) check() error { return s.Session.check() }

func (p Progress) check() error {
	if !(p.Percent >= 0 && p.Percent <= 100) {
		return fmt.Errorf("%g percent", p.Percent)
	}
	return p.Stamp.check()
}

func (s Session) check() error {
	if s.Epoch <= 0 || s.N == 0 {
		return errors.New("no session")
	}
	return nil
}

func (e Events) check() error {
	if e.Epoch <= 0 || e.First == 0 || len(e.Events) == 0 {
		return errors.New("epoch, first and events are required")
	}
	for i, ev := range e.Events {
		if err := ev.check(); err != nil {
			return fmt.Errorf("event %d: %w", e.First+uint64(i), err)
		}
	}
	return nil
}

func (e Event) check() error {
	n := 0
	var err error
	if len(e.Mark) > 40 {
		return errors.New("a mark that long is none")
	}
	if e.Hello != nil {
		n, err = n+1, e.Hello.Session.check()
	}
	if e.Facts != nil {
		n++
	}
	if e.Configured != nil {
		n++
	}
	if e.Fired != nil {
		n, err = n+1, e.Fired.check()
	}
	if e.Accepted != nil {
		n, err = n+1, checkJob(e.Accepted.Job)
	}
	if e.Started != nil {
		n, err = n+1, checkJob(e.Started.Job)
	}
	if e.Log != nil {
		n, err = n+1, e.Log.check()
	}
	if e.Report != nil {
		n, err = n+1, e.Report.check()
	}
	if e.Finished != nil {
		n, err = n+1, e.Finished.check()
	}
	if n > 1 {
		return errors.New("more than one kind at once")
	}
	// An event without any field is of a kind this version does not know: it has a
	// number and is skipped.
	return err
}

func checkJob(id JobID) error {
	_, err := ParseJobID(string(id))
	return err
}

// MaxLines bounds the numbers of a job's lines: no job has as many, and what adds to one
// of these does not overflow, on a 32-bit machine either.
const MaxLines = min(1<<40, math.MaxInt-1<<20)

func (l Log) check() error {
	if err := checkJob(l.Job); err != nil {
		return err
	}
	if l.First < 1 || l.First > MaxLines {
		return errors.New("lines are numbered from 1")
	}
	if (l.Gap != nil) == (len(l.Lines) > 0) {
		return errors.New("either lines or a gap")
	}
	if l.Gap != nil && (l.Gap.To < l.First || l.Gap.To > MaxLines) {
		return errors.New("a gap ends before it begins")
	}
	return nil
}

// MaxParts bounds the parts of one report.
const MaxParts = 10_000

func (r Report) check() error {
	if err := checkJob(r.Job); err != nil {
		return err
	}
	if r.Part < 1 || r.Part > MaxParts {
		return errors.New("parts are numbered from 1")
	}
	for _, s := range r.Snapshots {
		if !wholeID.MatchString(s.ID) {
			return fmt.Errorf("%.80q is no snapshot ID", s.ID)
		}
	}
	return nil
}

func (f Finished) check() error {
	if err := checkHostKeys(f.HostKeys); err != nil {
		return err
	}
	if err := checkJob(f.Job); err != nil {
		return err
	}
	if !f.State.Ended() {
		return fmt.Errorf("%.40q is not an ending", string(f.State))
	}
	if f.Lines < 0 || f.Lines > MaxLines {
		return errors.New("a negative number of lines")
	}
	if v := f.Summary; v != nil {
		for _, n := range []uint64{v.FilesNew, v.FilesChanged, v.FilesUnmodified, v.DataAdded,
			v.DataAddedPacked, v.TotalFiles, v.TotalBytes, v.Unreadable} {
			if n > math.MaxInt64 {
				return fmt.Errorf("%d is more than any machine holds", n)
			}
		}
	}
	return nil
}

func (c Command) check() error {
	if err := checkJob(c.Job); err != nil {
		return err
	}
	if c.Cancel == (c.Run != nil) {
		return errors.New("either run or cancel")
	}
	return c.Stamp.check()
}
