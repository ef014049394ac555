// Package spool is an agent's journal on disk: the jobs it has accepted, and the
// events that the control plane has not yet confirmed, or confirmed not long ago.
// protocol.AgentStep decides what is written.
//
// One step is one bbolt transaction, on disk (fsync) when Step returns. What it
// knows of a job is sealed, because a job carries the password of a repository.
package spool

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
	"go.etcd.io/bbolt"
	bolterr "go.etcd.io/bbolt/errors"
)

var (
	// ErrRunning says that another process holds the journal.
	ErrRunning = errors.New("another agent already runs")
	// ErrNewer says that a newer agent has written the journal so that this one cannot read it.
	ErrNewer = errors.New("the agent's journal was written by a newer agent")
	// ErrUnreadable says that the journal cannot be used, and what to do.
	ErrUnreadable = errors.New("the agent's journal is unreadable")
)

// remember is how long an ended job is kept after its last event: longer than a
// command that names it can be under way.
const remember = 30 * 24 * time.Hour

var (
	metaBucket    = []byte("meta")
	eventsBucket  = []byte("spool")   // number → event
	jobsBucket    = []byte("jobs")    // id → order, time, sealed protocol.AgentJob
	unendedBucket = []byte("unended") // order → id
	slotsBucket   = []byte("slots")   // schedule, 0, group → protocol.AgentSlot

	lastKey     = []byte("last")    // epoch and number of the newest event
	bytesKey    = []byte("bytes")   // of all events
	sessionsKey = []byte("session") // how many connections were attempted
	proofKey    = []byte("proof")   // sealed with the journal's key
	configKey   = []byte("config")  // sealed protocol.AgentConfig: it carries passwords
	roomKey     = []byte("room")    // when it was last looked whether anything can be written
	droppedKey  = []byte("dropped") // number and mark of the last event that was forgotten

	formatKey   = []byte("format")   // see Format; what has none is of the first
	receivedKey = []byte("received") // epoch, number up to which events are received, and bytes of those that are not
	planeKey    = []byte("plane")    // the highest epoch of a control plane
)

// Format is how journals are written. Who adds what an agent of before would stumble over
// raises it. A release on trial writes as the one before it did, so that that can go on with
// its journal: a journal is raised once the release is kept, see Raise.
const Format = 1

// format is that which this program knows; tests play programs of others.
var format uint64 = Format

// A Spool is an open journal. It is safe for concurrent use; steps take turns.
type Spool struct {
	db   *bbolt.DB
	aead cipher.AEAD
	now  func() time.Time
	mark func() string // for the next event
	skip func() uint64 // how many sessions' numbers are left out before the next
	keep Keep

	reserve reserve
}

// Keep is how much of what the control plane has received is kept, for one that is
// restored from an older copy: what is older, or more, is forgotten.
type Keep struct {
	For   time.Duration
	Bytes uint64
}

// DefaultKeep is a week, of which a copy is hardly ever older, and what a hundred busy jobs
// print.
func DefaultKeep() Keep { return Keep{For: 7 * 24 * time.Hour, Bytes: 64 << 20} }

const fileName = "journal.db"

// Retire renames the journal in dir, so that the next Open creates a new one. Nobody
// may have it open.
func Retire(dir string, now time.Time) error {
	path := filepath.Join(dir, fileName)
	err := os.Rename(path, path+"."+now.UTC().Format("20060102-150405")+".retired")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Retirable returns an error where the journal in dir cannot be renamed, as on Windows
// while anybody has it open.
func Retirable(dir string) error {
	path := filepath.Join(dir, fileName)
	if err := os.Rename(path, path+".try"); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return os.Rename(path+".try", path)
}

// Open opens the journal in dir, which exists, or begins one. Jobs are sealed
// under key. Jobs that ended long ago are forgotten. The error is ErrRunning or
// ErrUnreadable where it is one of them, and says what to do.
func Open(dir string, key [32]byte, now func() time.Time) (*Spool, error) {
	path := filepath.Join(dir, fileName)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	s := &Spool{aead: aead, now: now, mark: func() string { return rand.Text()[:10] }, reserve: reserve{dir: dir}, skip: skipped,
		keep: DefaultKeep()}
	err = guard(func() error { return s.open(path) })
	if process.FullDisk(err) && s.reserve.spend() {
		if s.db != nil {
			s.db.Close()
		}
		err = guard(func() error { return s.open(path) })
	}
	if err != nil {
		if s.db != nil {
			s.db.Close()
		}
		var refused *fs.PathError
		switch {
		case errors.Is(err, bolterr.ErrTimeout):
			return nil, fmt.Errorf("%w on %s: stop it first, or give this one a state directory of its own", ErrRunning, dir)
		case errors.Is(err, ErrNewer):
			return nil, fmt.Errorf("%w: %s. Install that version again, or a later one. Nothing is lost, and what runs goes on", err, path)
		case errors.As(err, &refused):
			return nil, fmt.Errorf("open the agent's journal: %w", err)
		}
		return nil, fmt.Errorf("%w: %s: %w. Move the file away and start the agent again: jobs it had in hand are then reported as "+
			"interrupted; no repository is touched", ErrUnreadable, path, err)
	}
	_ = s.reserve.fill() // Room says why not
	return s, nil
}

func (s *Spool) open(path string) (err error) {
	var file *os.File
	whole := false
	defer func() { // a damaged one makes bbolt panic with the file open, and Windows renames none that is
		if !whole && s.db == nil && file != nil {
			file.Close()
		}
	}()
	if s.db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
		OpenFile: func(name string, flag int, mode fs.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, mode)
			if err == nil && file == nil {
				file = f
			}
			return f, err
		}}); err != nil {
		return err
	}
	whole = true
	if info, err := os.Stat(path); err != nil {
		return err
	} else if err := s.db.View(func(tx *bbolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("%d of %d bytes are missing", tx.Size()-info.Size(), tx.Size())
		}
		return checkPages(tx)
	}); err != nil {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		t, err := s.begin(tx)
		if err != nil {
			return err
		}
		told, err := t.readAll()
		if err != nil {
			return err
		}
		received, pending, err := t.received()
		if err != nil {
			return err
		}
		if err := t.trim(received, t.size()-pending); err != nil {
			return err
		}
		return t.forget(s.now().Add(-remember), told)
	})
}

// checkPages checks the header of every page in use. bbolt trusts them, and can loop
// for ever over a damaged one.
func checkPages(tx *bbolt.Tx) error {
	pages := int(tx.Size()) / tx.DB().Info().PageSize
	for i := 0; i < pages; i++ {
		p, err := tx.Page(i)
		switch {
		case err != nil:
			return err
		case p == nil || p.Type == "free":
			continue
		case p.OverflowCount < 0 || p.OverflowCount >= pages-i || strings.HasPrefix(p.Type, "unknown"):
			return fmt.Errorf("page %d of %d is damaged", i, pages)
		}
		i += p.OverflowCount
	}
	return nil
}

// begin fills a new journal, and checks the key of an existing one.
func (s *Spool) begin(tx *bbolt.Tx) (*transaction, error) {
	for _, name := range [][]byte{metaBucket, eventsBucket, jobsBucket, unendedBucket, slotsBucket} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return nil, err
		}
	}
	t := s.transaction(tx)
	if proof := t.meta.Get(proofKey); proof != nil {
		if _, err := s.aead.Open(nil, nil, proof, proofKey); err != nil {
			return nil, errors.New("it belongs to another identity of this host")
		}
		if f := t.format(); f > format {
			return nil, fmt.Errorf("%w: it is of format %d, and this one reads %d", ErrNewer, f, format)
		}
		if _, err := t.Last(); err != nil {
			return nil, err
		}
		return t, nil
	}
	if err := t.meta.Put(proofKey, s.aead.Seal(nil, nil, nil, proofKey)); err != nil {
		return nil, err
	}
	return t, t.setLast(topics.Received{Epoch: s.now().UnixMilli()})
}

func (t *transaction) format() uint64 {
	if b := t.meta.Get(formatKey); len(b) == 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 1
}

// Raise has the journal be of the format that this program knows. From then on no older
// program reads it.
func (s *Spool) Raise() error {
	raised := false
	if err := s.view(func(t *transaction) error {
		raised = t.format() >= format
		return nil
	}); err != nil || raised {
		return err
	}
	return s.update(true, func(t *transaction) error { return t.meta.Put(formatKey, number(format)) })
}

// guard turns panics and memory faults into errors: bbolt panics on damaged pages,
// and faults on pages beyond the end of the file.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return do()
}

// Close closes the file.
func (s *Spool) Close() error { return s.db.Close() }

// Step takes one input into the journal. When it returns without an error the
// journal is on disk, and the effects are the caller's to perform.
func (s *Spool) Step(in protocol.AgentInput) (effects []protocol.AgentEffect, err error) {
	err = s.update(spares(in), func(t *transaction) error {
		effects, err = protocol.AgentStep(t, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return effects, nil
}

// skipped leaves out up to four thousand million sessions at random: a copy of this
// journal would otherwise give its connections the numbers of ours.
func skipped() uint64 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // it does not fail
	return uint64(binary.BigEndian.Uint32(b[:]))
}

// NextSession names the next connection attempt; it is on disk before it returns.
func (s *Spool) NextSession() (topics.Session, error) {
	var session topics.Session
	err := s.update(true, func(t *transaction) error {
		last, err := t.Last()
		if err != nil {
			return err
		}
		n := 1 + s.skip()
		if b := t.meta.Get(sessionsKey); len(b) == 8 {
			n += binary.BigEndian.Uint64(b)
		}
		session = topics.Session{Epoch: last.Epoch, N: n}
		return t.meta.Put(sessionsKey, number(n))
	})
	return session, err
}

// A Batch is a [topics.Events] on its way: an event is sent as it is stored.
type Batch struct {
	Epoch  int64             `json:"epoch"`
	First  uint64            `json:"first"`
	Events []json.RawMessage `json:"events"`
}

// Batch returns the events that follow number after, as many as one message
// carries; none if there are no more. An event too large to share a message comes
// alone.
func (s *Spool) Batch(after uint64) (Batch, error) {
	return s.batch(after, protocol.BatchEvents)
}

func (s *Spool) batch(after uint64, most int) (Batch, error) {
	var b Batch
	err := s.view(func(t *transaction) error {
		last, err := t.Last()
		if err != nil {
			return err
		}
		b.Epoch = last.Epoch
		size := 0
		c := t.events.Cursor()
		for k, v := c.Seek(number(after + 1)); k != nil && len(b.Events) < most; k, v = c.Next() {
			if size += len(v) + 1; size > protocol.BatchBytes && len(b.Events) > 0 {
				break
			}
			if len(k) != 8 || !json.Valid(v) {
				return fmt.Errorf("event %x is damaged", k)
			}
			if len(b.Events) == 0 {
				b.First = binary.BigEndian.Uint64(k)
			}
			b.Events = append(b.Events, bytes.Clone(v)) // v is gone with the transaction
		}
		return nil
	})
	return b, err
}

// Epoch is the journal's own.
func (s *Spool) Epoch() (int64, error) {
	var last topics.Received
	err := s.view(func(t *transaction) (err error) {
		last, err = t.Last()
		return err
	})
	return last.Epoch, err
}

// Pending is how many events have no receipt.
func (s *Spool) Pending() (uint64, error) {
	var n uint64
	err := s.view(func(t *transaction) error {
		last, err := t.Last()
		if err != nil {
			return err
		}
		received, err := t.Received()
		n = last.Seq - received
		return err
	})
	return n, err
}

// Size is how many bytes of events are in the journal, and how many of those have no
// receipt.
func (s *Spool) Size() (all, pending uint64, err error) {
	err = s.view(func(t *transaction) error {
		_, pending, err = t.received()
		all = t.size()
		return err
	})
	return all, pending, err
}

// Forget drops every event that is received, because there is need of the space.
func (s *Spool) Forget() error {
	if all, pending, err := s.Size(); err != nil || all == pending {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		t := s.transaction(tx)
		received, err := t.Received()
		if err != nil {
			return err
		}
		return t.drop(received)
	})
}

// Job returns what is known of a job.
func (s *Spool) Job(id topics.JobID) (j protocol.AgentJob, known bool, err error) {
	err = s.view(func(t *transaction) error {
		j, known, err = t.Job(id)
		return err
	})
	return j, known, err
}

// Plan returns what the host does by itself, and which slots it began last.
func (s *Spool) Plan() (c protocol.AgentConfig, slots []protocol.AgentSlot, err error) {
	err = s.view(func(t *transaction) error {
		if c, _, err = t.Config(); err != nil {
			return err
		}
		slots, err = t.Slots()
		return err
	})
	return c, slots, err
}

// Open lists the jobs in hand, in the order they were accepted.
func (s *Spool) Open() (jobs []protocol.AgentJob, err error) {
	err = s.view(func(t *transaction) (err error) {
		jobs, err = t.Unended()
		return err
	})
	return jobs, err
}

// update writes to the journal. Only what spares may be written where the disk is full.
func (s *Spool) update(spares bool, do func(*transaction) error) error {
	if !spares {
		if err := s.reserve.fill(); err != nil {
			return err
		}
	}
	write := func() error {
		return s.db.Update(func(tx *bbolt.Tx) error { return do(s.transaction(tx)) })
	}
	err := write()
	if process.FullDisk(err) && s.Forget() == nil { // it makes room in the file
		err = write()
	}
	if spares && process.FullDisk(err) && s.reserve.spend() {
		err = write()
	}
	if process.FullDisk(err) {
		err = fmt.Errorf("%w, %s: %w", ErrFull, s.reserve.dir, err)
	}
	return err
}

func (s *Spool) view(do func(*transaction) error) error {
	return s.db.View(func(tx *bbolt.Tx) error { return do(s.transaction(tx)) })
}

func (s *Spool) transaction(tx *bbolt.Tx) *transaction {
	return &transaction{
		spool: s,
		meta:  tx.Bucket(metaBucket), events: tx.Bucket(eventsBucket),
		jobs: tx.Bucket(jobsBucket), unended: tx.Bucket(unendedBucket), slots: tx.Bucket(slotsBucket),
	}
}

// A transaction implements protocol.AgentTx.
type transaction struct {
	spool                              *Spool
	meta, events, jobs, unended, slots *bbolt.Bucket
}

var _ protocol.AgentTx = (*transaction)(nil)

func (t *transaction) Last() (topics.Received, error) {
	b := t.meta.Get(lastKey)
	if len(b) != 16 {
		return topics.Received{}, errors.New("it does not say how far it goes")
	}
	return topics.Received{Epoch: int64(binary.BigEndian.Uint64(b)), Seq: binary.BigEndian.Uint64(b[8:])}, nil
}

func (t *transaction) setLast(r topics.Received) error {
	return t.meta.Put(lastKey, append(number(uint64(r.Epoch)), number(r.Seq)...))
}

func (t *transaction) Append(e topics.Event) error {
	last, err := t.Last()
	if err != nil {
		return err
	}
	last.Seq++
	t.events.FillPercent = 0.9 // numbers only rise
	e.Mark = t.spool.mark()
	b := topics.Encode(e)
	if err := t.events.Put(number(last.Seq), b); err != nil {
		return err
	}
	if err := t.resize(t.size() + uint64(len(b))); err != nil {
		return err
	}
	received, pending, err := t.received()
	if err != nil {
		return err
	}
	return errors.Join(t.setReceived(received, pending+uint64(len(b))), t.setLast(last))
}

// received returns how far the events are received, and how many bytes of them are not. A
// journal that an older version wrote last says nothing of that, or what was true of
// another epoch: nothing of what it holds is received.
func (t *transaction) received() (seq, pending uint64, err error) {
	last, err := t.Last()
	if err != nil {
		return 0, 0, err
	}
	first, err := t.First()
	if err != nil {
		return 0, 0, err
	}
	b := t.meta.Get(receivedKey)
	if len(b) != 24 || int64(binary.BigEndian.Uint64(b)) != last.Epoch {
		return first - 1, t.size(), nil
	}
	seq, pending = binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])
	if seq < first-1 { // an older version forgets what it has a receipt for
		return first - 1, t.size(), nil
	}
	return min(seq, last.Seq), min(pending, t.size()), nil
}

func (t *transaction) setReceived(seq, pending uint64) error {
	last, err := t.Last()
	if err != nil {
		return err
	}
	return t.meta.Put(receivedKey, slices.Concat(number(uint64(last.Epoch)), number(seq), number(pending)))
}

func (t *transaction) Received() (uint64, error) {
	seq, _, err := t.received()
	return seq, err
}

func (t *transaction) First() (uint64, error) {
	if k, _ := t.events.Cursor().First(); len(k) == 8 {
		return binary.BigEndian.Uint64(k), nil
	}
	last, err := t.Last()
	return last.Seq + 1, err
}

func (t *transaction) SetReceived(seq uint64) error {
	had, pending, err := t.received()
	if err != nil || seq == had {
		return err
	}
	c := t.events.Cursor()
	for k, v := c.Seek(number(min(seq, had) + 1)); k != nil && binary.BigEndian.Uint64(k) <= max(seq, had); k, v = c.Next() {
		if seq > had {
			pending -= uint64(len(v))
		} else {
			pending += uint64(len(v))
		}
	}
	if err := t.setReceived(seq, pending); err != nil {
		return err
	}
	return t.trim(seq, t.size()-pending)
}

// trim forgets the oldest of the events that are received, as long as they are too many
// or too old.
func (t *transaction) trim(received, size uint64) error {
	then := t.spool.now().Add(-t.spool.keep.For).UnixMilli()
	upTo := uint64(0)
	c := t.events.Cursor()
	for k, v := c.First(); k != nil && binary.BigEndian.Uint64(k) <= received; k, v = c.Next() {
		if size <= t.spool.keep.Bytes {
			e, err := readEvent(k, v)
			if err != nil {
				return err
			}
			if e.At >= then {
				break
			}
		}
		size -= uint64(len(v))
		upTo = binary.BigEndian.Uint64(k)
	}
	return t.drop(upTo)
}

func (t *transaction) Plane() (int64, error) {
	if b := t.meta.Get(planeKey); len(b) == 8 {
		return int64(binary.BigEndian.Uint64(b)), nil
	}
	return 0, nil
}

func (t *transaction) SetPlane(epoch int64) error { return t.meta.Put(planeKey, number(uint64(epoch))) }

func (t *transaction) size() uint64 {
	if b := t.meta.Get(bytesKey); len(b) == 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (t *transaction) resize(n uint64) error { return t.meta.Put(bytesKey, number(n)) }

// drop forgets the events up to seq, but for the mark of the last of them.
func (t *transaction) drop(seq uint64) error {
	var key, last []byte
	c, size := t.events.Cursor(), t.size()
	for k, v := c.First(); k != nil && binary.BigEndian.Uint64(k) <= seq; k, v = c.First() {
		size -= uint64(len(v))
		key, last = append(key[:0], k...), append(last[:0], v...)
		if err := t.events.Delete(k); err != nil {
			return err
		}
	}
	if key == nil {
		return nil
	}
	e, err := readEvent(key, last)
	if err != nil {
		return err
	}
	return errors.Join(t.meta.Put(droppedKey, append(key, e.Mark...)), t.resize(size))
}

func (t *transaction) Mark(seq uint64) (string, bool, error) {
	if v := t.events.Get(number(seq)); v != nil {
		e, err := readEvent(number(seq), v)
		return e.Mark, err == nil, err
	}
	if b := t.meta.Get(droppedKey); len(b) >= 8 && binary.BigEndian.Uint64(b) == seq {
		return string(b[8:]), true, nil
	}
	return "", false, nil
}

func (t *transaction) Renew(epoch int64, from uint64) error {
	var events [][]byte
	size := uint64(0)
	c := t.events.Cursor()
	for k, v := c.Seek(number(from)); k != nil; k, v = c.Next() {
		events = append(events, bytes.Clone(v))
		size += uint64(len(v))
	}
	if err := errors.Join(t.drop(math.MaxUint64), t.resize(size), t.meta.Delete(droppedKey)); err != nil {
		return err
	}
	for i, v := range events {
		if err := t.events.Put(number(uint64(i+1)), v); err != nil {
			return err
		}
	}
	return errors.Join(t.setLast(topics.Received{Epoch: epoch, Seq: uint64(len(events))}), t.setReceived(0, size))
}

func (t *transaction) Job(id topics.JobID) (protocol.AgentJob, bool, error) {
	b := t.jobs.Get([]byte(id))
	if b == nil {
		return protocol.AgentJob{}, false, nil
	}
	j, _, err := t.read(id, b)
	return j, err == nil, err
}

// read opens a job's record and tells when it was written.
func (t *transaction) read(id topics.JobID, b []byte) (j protocol.AgentJob, written time.Time, err error) {
	if len(b) < 16 {
		return j, written, fmt.Errorf("job %s is cut short", id)
	}
	plain, err := t.spool.aead.Open(nil, nil, b[16:], []byte(id))
	if err != nil {
		return j, written, fmt.Errorf("job %s does not open: %w", id, err)
	}
	if err := json.Unmarshal(plain, &j); err != nil {
		return j, written, fmt.Errorf("job %s: %w", id, err)
	}
	return j, time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:]))), nil
}

func (t *transaction) PutJob(j protocol.AgentJob) error {
	plain, err := json.Marshal(j)
	if err != nil {
		return err
	}
	id := []byte(j.ID)
	var order []byte
	if old := t.jobs.Get(id); len(old) >= 8 {
		order = append(order, old[:8]...)
	} else {
		n, err := t.jobs.NextSequence()
		if err != nil {
			return err
		}
		order = number(n)
	}
	record := append(append([]byte(nil), order...), number(uint64(t.spool.now().UnixMilli()))...)
	if err := t.jobs.Put(id, t.spool.aead.Seal(record, nil, plain, id)); err != nil {
		return err
	}
	if j.End != nil {
		return t.unended.Delete(order)
	}
	return t.unended.Put(order, id)
}

func (t *transaction) Unended() ([]protocol.AgentJob, error) {
	var jobs []protocol.AgentJob
	err := t.unended.ForEach(func(_, id []byte) error {
		j, known, err := t.Job(topics.JobID(id))
		if err == nil && !known {
			err = fmt.Errorf("job %s is missing", id)
		}
		jobs = append(jobs, j)
		return err
	})
	return jobs, err
}

func (t *transaction) Config() (c protocol.AgentConfig, known bool, err error) {
	known, err = t.unseal(configKey, &c)
	return c, known, err
}

func (t *transaction) PutConfig(c protocol.AgentConfig) error {
	plain, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return t.meta.Put(configKey, t.spool.aead.Seal(nil, nil, plain, configKey))
}

// unseal reads what is sealed under a key of meta, if it is there.
func (t *transaction) unseal(key []byte, into any) (known bool, err error) {
	sealed := t.meta.Get(key)
	if sealed == nil {
		return false, nil
	}
	plain, err := t.spool.aead.Open(nil, nil, sealed, key)
	if err == nil {
		err = json.Unmarshal(plain, into)
	}
	if err != nil {
		return false, fmt.Errorf("%s does not open: %w", key, err)
	}
	return true, nil
}

func slotKey(s topics.ScheduleID, g topics.SourceGroupID) []byte {
	return []byte(string(s) + "\x00" + string(g))
}

func (t *transaction) Slot(s topics.ScheduleID, g topics.SourceGroupID) (slot protocol.AgentSlot, known bool, err error) {
	b := t.slots.Get(slotKey(s, g))
	if b == nil {
		return slot, false, nil
	}
	if err := json.Unmarshal(b, &slot); err != nil {
		return slot, false, fmt.Errorf("slot of schedule %s: %w", s, err)
	}
	return slot, true, nil
}

func (t *transaction) PutSlot(s protocol.AgentSlot) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return t.slots.Put(slotKey(s.Schedule, s.Group), b)
}

func (t *transaction) DropSlot(s topics.ScheduleID, g topics.SourceGroupID) error {
	return t.slots.Delete(slotKey(s, g))
}

func (t *transaction) Slots() ([]protocol.AgentSlot, error) {
	var slots []protocol.AgentSlot
	err := t.slots.ForEach(func(k, b []byte) error {
		var s protocol.AgentSlot
		if err := json.Unmarshal(b, &s); err != nil {
			return fmt.Errorf("slot %q: %w", k, err)
		}
		slots = append(slots, s)
		return nil
	})
	return slots, err
}

// readAll reads every event and every open job, so that damage is found at the start.
// It returns the jobs whose end the control plane has not received yet.
func (t *transaction) readAll() (told map[topics.JobID]bool, err error) {
	last, err := t.Last()
	if err != nil {
		return nil, err
	}
	told = map[topics.JobID]bool{}
	next := uint64(0)
	if err := t.events.ForEach(func(k, v []byte) error {
		e, err := readEvent(k, v)
		if err != nil {
			return err
		}
		if e.Finished != nil {
			told[e.Finished.Job] = true
		}
		if n := binary.BigEndian.Uint64(k); next != 0 && n != next {
			return fmt.Errorf("event %d is missing", next)
		} else {
			next = n + 1
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if next != 0 && next != last.Seq+1 {
		return nil, fmt.Errorf("events end at %d, not at %d", next-1, last.Seq)
	}
	if _, _, err := t.Config(); err != nil {
		return nil, err
	}
	if _, err := t.Slots(); err != nil {
		return nil, err
	}
	_, err = t.Unended()
	return told, err
}

// forget drops ended jobs whose last word was before then, and whose story has
// been received to the end.
func (t *transaction) forget(then time.Time, told map[topics.JobID]bool) error {
	var old []topics.JobID
	err := t.jobs.ForEach(func(id, b []byte) error {
		j, written, err := t.read(topics.JobID(id), b)
		if err == nil && j.End != nil && !told[j.ID] && written.Before(then) && j.NotAfter < then.UnixMilli() {
			old = append(old, j.ID)
		}
		return err
	})
	for _, id := range old {
		if err == nil {
			err = t.jobs.Delete([]byte(id))
		}
	}
	return err
}

func readEvent(k, v []byte) (topics.Event, error) {
	var e topics.Event
	if len(k) != 8 {
		return e, fmt.Errorf("%x is no number of an event", k)
	}
	if err := json.Unmarshal(v, &e); err != nil {
		return e, fmt.Errorf("event %d: %w", binary.BigEndian.Uint64(k), err)
	}
	return e, nil
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
