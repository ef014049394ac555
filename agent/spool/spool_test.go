package spool

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

var (
	key = [32]byte{1, 2, 3}
	day = 24 * time.Hour
)

func at(ms int64) func() time.Time { return func() time.Time { return time.UnixMilli(ms) } }

func open(t interface {
	Helper()
	Fatal(...any)
}, dir string, now func() time.Time) *Spool {
	t.Helper()
	s, err := Open(dir, key, now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func run(id topics.JobID) protocol.Commanded {
	return protocol.Commanded{At: 5, Command: topics.Command{Job: id, NotAfter: 1000, Run: &topics.Run{
		Kind: topics.BackupJob, Repository: topics.Repository{URL: "/srv/repository", Password: "correct horse battery"},
		Group: topics.SourceGroup{ID: "letters-01", Paths: []string{"/home"}},
	}}}
}

// TestTheJournalOnDiskIsTheModel drives a journal on disk and the model in
// memory with the same inputs, closing and opening the one on disk in between.
func TestTheJournalOnDiskIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "spool")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		marks := 0
		begin := func(now func() time.Time) *Spool {
			disk := open(t, dir, now)
			disk.mark = func() string { marks++; return fmt.Sprintf("m%d", marks) }
			return disk
		}
		disk := begin(at(1000))
		defer func() { disk.Close() }()
		model := protocoltest.NewAgent(1000)
		sessions := uint64(0)
		ids := []topics.JobID{"job-00002", "job-00001", "job-00003"}
		job := rapid.SampledFrom(ids)
		inputs := map[string]func(*rapid.T) protocol.AgentInput{
			"woke":   func(*rapid.T) protocol.AgentInput { return protocol.Woke{} },
			"reaped": func(t *rapid.T) protocol.AgentInput { return protocol.Reaped{Job: job.Draw(t, "job"), At: 9} },
			"welcomed": func(t *rapid.T) protocol.AgentInput {
				epoch := model.LastPlace.Epoch + rapid.Int64Range(-1, 1).Draw(t, "epoch")
				seq := rapid.Uint64Range(0, model.LastPlace.Seq+1).Draw(t, "seq")
				mark, _, _ := model.Mark(seq)
				if rapid.IntRange(0, 3).Draw(t, "other mark") == 0 {
					mark = "another"
				}
				return protocol.Welcomed{Received: topics.Received{Epoch: epoch, Seq: seq, Mark: mark},
					Session: topics.Session{Epoch: model.LastPlace.Epoch, N: 1}, At: 5, Plane: rapid.Int64Range(0, 3).Draw(t, "plane")}
			},
			"receipted": func(t *rapid.T) protocol.AgentInput {
				return protocol.Receipted{Received: topics.Received{Epoch: model.LastPlace.Epoch,
					Seq: rapid.Uint64Range(0, model.LastPlace.Seq+1).Draw(t, "seq")}}
			},
			"run": func(t *rapid.T) protocol.AgentInput {
				c := run(job.Draw(t, "job"))
				if rapid.Bool().Draw(t, "for a slot") {
					c.Command.Run.Slot = &topics.Slot{Schedule: "nightly-01", At: slotAt(t), Attempt: rapid.IntRange(0, 2).Draw(t, "attempt")}
				}
				c.At = rapid.SampledFrom([]int64{5, 2000}).Draw(t, "at")
				if rapid.IntRange(0, 4).Draw(t, "refuse") == 0 {
					c.Refuse = &protocol.Refusal{Cause: topics.CausePolicy, Message: "no"}
				}
				return c
			},
			"configured": func(t *rapid.T) protocol.AgentInput {
				c := topics.Config{Revision: rapid.Int64Range(1, 3).Draw(t, "revision"),
					Groups: []topics.PlannedGroup{{SourceGroup: topics.SourceGroup{ID: "letters-01", Paths: []string{"/home"}},
						Repository: "vault-00001"}},
					Repositories: []topics.Repository{{
						ID:         "vault-00001",
						URL:        "/srv/repository",
						Password:   "correct horse battery",
						Initialise: rapid.Bool().Draw(t, "initialise"),
					}}}
				if rapid.IntRange(0, 3).Draw(t, "scheduled") > 0 {
					c.Schedules = []topics.Schedule{{ID: "nightly-01", Groups: []topics.ScheduledGroup{{Group: "letters-01", After: slotAt(t)}}}}
				}
				return protocol.Configured{Config: c, Error: rapid.SampledFrom([]string{"", "no such zone"}).Draw(t, "error"),
					At: rapid.SampledFrom([]int64{5, 40 * day.Milliseconds()}).Draw(t, "at")}
			},
			"fired": func(t *rapid.T) protocol.AgentInput {
				in := protocol.Fired{Job: job.Draw(t, "job"), Slot: topics.Slot{Schedule: "nightly-01", At: slotAt(t)}, Group: "letters-01", At: 5}
				if rapid.Bool().Draw(t, "also") {
					in.Also = []topics.Slot{{Schedule: "weekly-001", At: slotAt(t)}}
				}
				if rapid.IntRange(0, 4).Draw(t, "refuse") == 0 {
					in.Refuse = &protocol.Refusal{Cause: topics.CausePolicy, Message: "no"}
				}
				return in
			},
			"cancel": func(t *rapid.T) protocol.AgentInput {
				return protocol.Commanded{Command: topics.Command{Job: job.Draw(t, "job"), Cancel: true}, At: 6}
			},
			"spawned": func(t *rapid.T) protocol.AgentInput {
				return protocol.Spawned{Job: job.Draw(t, "job"), Process: protocol.Process{PID: 7, Start: "boot/8"}, Restic: "0.14.0", At: 7}
			},
			"printed": func(t *rapid.T) protocol.AgentInput {
				lines := make([]topics.Line, rapid.IntRange(1, 4).Draw(t, "lines"))
				for i := range lines {
					lines[i] = topics.Line{At: 8, Level: topics.Info, Text: rapid.String().Draw(t, "text")}
				}
				return protocol.Printed{Job: job.Draw(t, "job"), Skipped: rapid.IntRange(0, 2).Draw(t, "skipped"), Lines: lines, At: 8}
			},
			"ended": func(t *rapid.T) protocol.AgentInput {
				return protocol.Ended{Job: job.Draw(t, "job"),
					End: topics.Finished{State: rapid.SampledFrom([]topics.JobState{topics.Succeeded, topics.Failed}).Draw(t, "state"),
						RepositoryReady: rapid.Bool().Draw(t, "ready")}, At: 9}
			},
		}
		actions := map[string]func(*rapid.T){
			"open again": func(t *rapid.T) {
				disk.Close()
				disk = begin(at(2000))
			},
			"forget": func(t *rapid.T) {
				model.Forget()
				if err := disk.Forget(); err != nil {
					t.Fatal(err)
				}
			},
			"session": func(t *rapid.T) {
				got, err := disk.NextSession()
				if err != nil || got.Epoch != model.LastPlace.Epoch || got.N <= sessions {
					t.Fatalf("session %+v, %v, want one of epoch %d above %d", got, err, model.LastPlace.Epoch, sessions)
				}
				sessions = got.N
			},
			"": func(t *rapid.T) {
				after, n := rapid.Uint64Range(0, model.LastPlace.Seq+1).Draw(t, "after"), rapid.IntRange(1, 5).Draw(t, "n")
				want := model.Batch(after, n)
				got, err := disk.batch(after, n)
				if err != nil || got.Epoch != want.Epoch || len(got.Events) != len(want.Events) ||
					len(want.Events) > 0 && !bytes.Equal(topics.Encode(got), topics.Encode(want)) {
					t.Fatalf("after %d: %s, %v\nwant %s", after, topics.Encode(got), err, topics.Encode(want))
				}
				for _, id := range ids {
					want, known := model.Jobs[id]
					if got, found, err := disk.Job(id); err != nil || found != known || !reflect.DeepEqual(got, want) {
						t.Fatalf("job %s is %+v, %v, %v\nwant %+v", id, got, found, err, want)
					}
				}
				wantConfig, _, _ := model.Config()
				wantSlots, _ := model.Slots()
				if c, slots, err := disk.Plan(); err != nil || !reflect.DeepEqual(c, wantConfig) || !slices.Equal(slots, wantSlots) {
					t.Fatalf("the plan is %+v %+v, %v\nwant %+v %+v", c, slots, err, wantConfig, wantSlots)
				}
				unended, _ := model.Unended()
				if open, err := disk.Open(); err != nil || len(open) != len(unended) {
					t.Fatalf("open %d, %v with %d jobs in hand", len(open), err, len(unended))
				}
				if n, err := disk.Pending(); err != nil || n != uint64(model.Pending()) {
					t.Fatalf("%d events pending, %v, want %d", n, err, model.Pending())
				}
				size, waiting := 0, 0
				for i, e := range model.Spool {
					n := len(topics.Encode(e))
					size += n
					if model.Oldest+uint64(i) > model.Got {
						waiting += n
					}
				}
				if all, n, err := disk.Size(); err != nil || all != uint64(size) || n != uint64(waiting) {
					t.Fatalf("%d of %d bytes pending, %v, want %d of %d", n, all, err, waiting, size)
				}
			},
		}
		for name, input := range inputs {
			actions[name] = func(t *rapid.T) {
				in := input(t)
				want, err := model.Step(in)
				if err != nil {
					t.Fatal(err)
				}
				got, err := disk.Step(in)
				if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
					t.Fatalf("%#v has the effects %+v, %v\nwant %+v", in, got, err, want)
				}
			}
		}
		t.Repeat(actions)
	})
}

func slotAt(t *rapid.T) int64 {
	return 1000 * rapid.Int64Range(1, 4).Draw(t, "slot")
}

func TestABatchFitsIntoOneMessage(t *testing.T) {
	s := open(t, t.TempDir(), at(1000))
	defer s.Close()
	if _, err := s.Step(run("job-00001")); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		text := strings.Repeat("x", 1+i*700)
		if _, err := s.Step(protocol.Printed{Job: "job-00001", Lines: []topics.Line{{Text: text}}}); err != nil {
			t.Fatal(err)
		}
	}
	events, batches := 0, 0
	for after := uint64(0); ; batches++ {
		b, err := s.Batch(after)
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Events) == 0 {
			break
		}
		if b.First != after+1 {
			t.Errorf("the batch after %d begins at %d", after, b.First)
		}
		if n := len(topics.Encode(b)); n > protocol.BatchBytes+200 {
			t.Errorf("a batch of %d bytes", n)
		}
		events += len(b.Events)
		after += uint64(len(b.Events))
	}
	if events != 21 || batches < 3 {
		t.Errorf("%d events in %d batches, want 21 in several", events, batches)
	}
}

func TestOneJournalServesOneAgent(t *testing.T) {
	if dir := os.Getenv("SPOOL_DIR"); dir != "" { // the second process
		_, err := Open(dir, key, time.Now)
		fmt.Println(err)
		return
	}
	dir := t.TempDir()
	s := open(t, dir, time.Now)
	defer s.Close()
	second := exec.Command(os.Args[0], "-test.run=^TestOneJournalServesOneAgent$")
	second.Env = append(os.Environ(), "SPOOL_DIR="+dir)
	out, err := second.CombinedOutput()
	if want := "another agent already runs on " + dir; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("the second process says %q, %v, want %q", out, err, want)
	}
}

func TestPasswordsAreSealedOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, at(1000))
	if _, err := s.Step(run("job-00001")); err != nil {
		t.Fatal(err)
	}
	config := topics.Config{Revision: 1,
		Repositories: []topics.Repository{{ID: "vault-00001", URL: "/srv/v", Password: "correct horse battery"}}}
	if _, err := s.Step(protocol.Configured{Config: config, At: 6}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	path := filepath.Join(dir, "journal.db")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the journal's mode is %v, %v, want 0600", info.Mode(), err)
	}
	b, err := os.ReadFile(path)
	if err != nil || bytes.Contains(b, []byte("correct horse")) || !bytes.Contains(b, []byte("job-00001")) {
		t.Errorf("the password can be read in the journal, or the job is not in it: %v", err)
	}
	if _, err := Open(dir, [32]byte{9}, at(1000)); !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), "another identity") {
		t.Errorf("opened under another key: %v", err)
	}
}

func TestADamagedJournalSaysWhatToDo(t *testing.T) {
	for what, damage := range map[string]func([]byte) []byte{
		"not a journal":       func([]byte) []byte { return bytes.Repeat([]byte("not a journal "), 4096) },
		"cut short":           func(b []byte) []byte { return b[:len(b)/2] },
		"cut to nothing much": func(b []byte) []byte { return b[:100] },
		"an event changed": func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte(`"accepted":{`), []byte(`"accepted"{{`))
		},
		"pages of zeros": func(b []byte) []byte {
			clear(b[2*os.Getpagesize():])
			return b
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, at(1000))
			for i := range 50 {
				if _, err := s.Step(run(topics.JobID(fmt.Sprintf("job-%05d", i)))); err != nil {
					t.Fatal(err)
				}
			}
			s.Close()
			path := filepath.Join(dir, "journal.db")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err = Open(dir, key, at(1000))
			if !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), "Move the file away") {
				t.Errorf("opened with %v, want an error that says what to do", err)
			}
			if err == nil {
				s.Close()
			}
		})
	}
}

// TestNoDamageCrashesTheAgent changes bytes at random. Not every change can be
// noticed; none may do more than keep the journal from opening.
func TestNoDamageCrashesTheAgent(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, at(1000))
	for i := range 30 {
		if _, err := s.Step(run(topics.JobID(fmt.Sprintf("job-%05d", i)))); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	path := filepath.Join(dir, "journal.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unreadable := 0
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		b := bytes.Clone(whole)
		page := rnd.IntN(len(b)/os.Getpagesize()) * os.Getpagesize()
		for range 1 + rnd.IntN(8) {
			b[page+rnd.IntN(64)] = byte(rnd.Uint32()) // where a page keeps what it is
		}
		dir := t.TempDir() // where bbolt panics it leaves the file locked
		if err := os.WriteFile(filepath.Join(dir, "journal.db"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, key, at(1000))
		if err != nil {
			unreadable++
			continue
		}
		s.Close()
	}
	if unreadable == 0 {
		t.Error("no damage was noticed at all")
	}
}

func TestLongEndedJobsAreForgottenOnceTheirEndIsReceived(t *testing.T) {
	dir := t.TempDir()
	begin := time.UnixMilli(1_790_000_000_000)
	now := begin
	clock := func() time.Time { return now }
	s := open(t, dir, clock)
	step := func(in protocol.AgentInput) {
		t.Helper()
		if _, err := s.Step(in); err != nil {
			t.Fatal(err)
		}
	}
	command := func(id topics.JobID) protocol.Commanded {
		c := run(id)
		c.Command.NotAfter, c.At = now.Add(day).UnixMilli(), now.UnixMilli()
		return c
	}
	ended := func(id topics.JobID) {
		step(command(id))
		step(protocol.Ended{Job: id, End: topics.Finished{State: topics.Succeeded}, At: now.UnixMilli()})
	}
	ended("old-and-received")
	step(protocol.Receipted{Received: topics.Received{Epoch: begin.UnixMilli(), Seq: 2}})
	ended("old-not-received")
	step(command("old-not-ended"))
	now = now.Add(20 * day)
	s.Close()
	s = open(t, dir, clock)
	if _, known, _ := s.Job("old-and-received"); !known {
		t.Error("a job was forgotten after 20 days")
	}
	now = now.Add(12 * day)
	s.Close()
	s = open(t, dir, clock)
	defer s.Close()
	for id, want := range map[topics.JobID]bool{"old-and-received": false, "old-not-received": true, "old-not-ended": true} {
		if _, known, err := s.Job(id); known != want || err != nil {
			t.Errorf("after 32 days %s is known: %v, %v, want %v", id, known, err, want)
		}
	}
}

// TestACopyOfTheJournalHasSessionsOfItsOwn: what is meant for one of two machines with
// the same past must not be taken by the other.
func TestACopyOfTheJournalHasSessionsOfItsOwn(t *testing.T) {
	seen := map[uint64]bool{}
	for range 8 {
		s := open(t, t.TempDir(), at(1000))
		defer s.Close()
		for range 3 {
			n, err := s.NextSession()
			if err != nil || seen[n.N] {
				t.Fatalf("session %+v, %v, in journals that began alike: %v", n, err, seen)
			}
			seen[n.N] = true
		}
	}
}

// TestWhatIsReceivedIsKeptAWhile: for a control plane that is restored from an older copy.
func TestWhatIsReceivedIsKeptAWhile(t *testing.T) {
	begin := time.UnixMilli(1_790_000_000_000)
	now := begin
	dir := t.TempDir()
	s := open(t, dir, func() time.Time { return now })
	step := func(in protocol.AgentInput) {
		t.Helper()
		if _, err := s.Step(in); err != nil {
			t.Fatal(err)
		}
	}
	receipt := func(seq uint64) {
		step(protocol.Receipted{Received: topics.Received{Epoch: begin.UnixMilli(), Seq: seq}})
	}
	first := func() uint64 {
		t.Helper()
		b, err := s.Batch(0)
		if err != nil {
			t.Fatal(err)
		}
		return b.First
	}
	command := run("job-00001")
	command.At, command.Command.NotAfter = now.UnixMilli(), 0
	step(command) // event 1
	line := protocol.Printed{Job: "job-00001", Lines: []topics.Line{{Text: strings.Repeat("x", 1000)}}}
	for range 10 { // 2 to 11
		line.At = now.UnixMilli()
		step(line)
		now = now.Add(day)
	}
	receipt(11)
	if got, want := first(), uint64(5); got != want { // of the days 0 to 9 those from the tenth day's week on
		t.Errorf("after ten days it begins at event %d, want %d: a week is kept", got, want)
	}
	if n, err := s.Pending(); n != 0 || err != nil {
		t.Errorf("%d events wait, %v; all are received", n, err)
	}
	s.keep.Bytes = 2500
	step(line)
	receipt(12)
	if got, want := first(), uint64(11); got != want {
		t.Errorf("with room for two of them it begins at %d, want %d", got, want)
	}
	step(line) // 13, and nobody has it
	s.keep.Bytes = 1
	receipt(12) // says nothing new
	if err := s.Forget(); err != nil {
		t.Fatal(err)
	}
	if got := first(); got != 13 {
		t.Errorf("where the disk is short it begins at %d, want 13: only what is received is forgotten", got)
	}
	now = now.Add(40 * day)
	s.Close()
	s = open(t, dir, func() time.Time { return now })
	defer s.Close()
	if got := first(); got != 13 {
		t.Errorf("after 40 days it begins at %d, want 13: nobody has received it", got)
	}
}

// TestAJournalOfAnOlderVersionHasNothingReceived: it has forgotten what was.
func TestAJournalOfAnOlderVersionHasNothingReceived(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, at(1000))
	defer s.Close()
	if _, err := s.Step(run("job-00001")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Step(protocol.Ended{Job: "job-00001", End: topics.Finished{State: topics.Succeeded}, At: 6}); err != nil {
		t.Fatal(err)
	}
	// The older version drops the first event and knows of no such key.
	if err := s.db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(s.transaction(tx).drop(1), tx.Bucket(metaBucket).Delete(receivedKey))
	}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Pending(); n != 1 || err != nil {
		t.Errorf("%d events wait, %v, want 1", n, err)
	}
	if _, err := s.Step(protocol.Receipted{Received: topics.Received{Epoch: 1000, Seq: 2}}); err != nil {
		t.Fatal(err)
	}
	// It renews the epoch, and the key stays as it was.
	if err := s.db.Update(func(tx *bbolt.Tx) error {
		last := topics.Received{Epoch: 2000, Seq: 2}
		return s.transaction(tx).setLast(last)
	}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Pending(); n != 1 || err != nil {
		t.Errorf("%d events wait in the new epoch, %v, want 1", n, err)
	}
}
