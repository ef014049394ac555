package fault

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/spool"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

const (
	powerHost  = topics.HostID("attic-0001")
	powerLines = 25 // to an event
)

var powerKey = [32]byte{1, 2, 3}

// ack promises something, in one write.
func ack(words ...any) { _, _ = os.Stdout.WriteString("ack " + fmt.Sprintln(words...)) }

func powerText(job topics.JobID, n int) string { return fmt.Sprintf("%s says %d", job, n) }

func powerLog(job topics.JobID, first int) *topics.Log {
	l := &topics.Log{Job: job, First: first}
	for n := first; n < first+powerLines; n++ {
		l.Lines = append(l.Lines, topics.Line{Level: topics.Info, Text: powerText(job, n)})
	}
	return l
}

// writeStore is what a control plane writes while hosts report: ROOT JOBS. It
// acknowledges what the engine would: that a job was asked for, and how much of
// a host's stream is received.
func writeStore(ctx context.Context, args []string) (err error) {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, filepath.Join(args[0], "data"), "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	hash := sha256.Sum256([]byte("key"))
	if err := s.AddEnrollToken(ctx, store.EnrollToken{
		ID:        "token-0001",
		KeyHash:   hash[:],
		CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000,
	}); err != nil {
		return err
	}
	if _, err := s.Enroll(ctx, hash[:], store.Host{ID: powerHost, SealKey: make([]byte, 32), Hostname: "attic"}); err != nil {
		return err
	}
	ack("host")
	if err := s.AddRepository(ctx, "test", store.Repository{ID: "vault-0001", Name: "vault"},
		store.RepositoryAccess{URL: "/srv/vault", Password: "correct horse"}); err != nil {
		return err
	}
	if _, err := s.PutSourceGroup(ctx, "test", store.SourceGroup{
		ID:         "group-0001",
		Host:       powerHost,
		Name:       "letters",
		Repository: "vault-0001",
		Paths:      store.List{"/letters"},
	}); err != nil {
		return err
	}
	ack("group")
	seq, now := uint64(0), time.Now().UnixMilli()
	step := func(in protocol.PlaneInput) error {
		return s.Steps(ctx, func(tx protocol.PlaneTx) error {
			_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, in)
			return err
		})
	}
	for range n {
		j, _, err := s.Ask(ctx, "test", store.Job{ID: topics.JobID(topics.NewID(time.Now())), Host: powerHost, Kind: topics.BackupJob,
			SourceGroup: "group-0001", Repository: "vault-0001", NotAfter: now + time.Hour.Milliseconds()})
		if err != nil {
			return err
		}
		ack("job", j.ID)
		if err := step(protocol.Tick{Now: now, Online: func(topics.HostID) bool { return true }}); err != nil {
			return err
		}
		events := []topics.Event{{Accepted: &topics.Accepted{Job: j.ID}}, {Started: &topics.Started{Job: j.ID, Restic: "0.16.4"}}}
		lines := 0
		for range 8 {
			events = append(events, topics.Event{Log: powerLog(j.ID, lines+1)})
			lines += powerLines
			if err := step(protocol.Arrived{Host: powerHost, Now: now, Events: topics.Events{Epoch: 1000, First: seq + 1,
				Events: events}}); err != nil {
				return err
			}
			seq += uint64(len(events))
			ack("received", seq, j.ID, lines, topics.Running)
			events = nil
		}
		end := topics.Event{Finished: &topics.Finished{Job: j.ID, State: topics.Succeeded, Lines: lines}}
		if err := step(protocol.Arrived{Host: powerHost, Now: now, Events: topics.Events{Epoch: 1000, First: seq + 1,
			Events: []topics.Event{end}}}); err != nil {
			return err
		}
		seq++
		ack("received", seq, j.ID, lines, topics.Succeeded)
	}
	return nil
}

// checkStore opens a database after a power failure and holds it to what was
// promised before.
func checkStore(ctx context.Context, dir string, promised [][]string) (err error) {
	if len(promised) == 0 {
		return nil // a first start that was cut short may have to be begun anew
	}
	s, err := store.Open(ctx, filepath.Join(dir, "data"), "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	received := uint64(0)
	for _, p := range promised {
		switch p[0] {
		case "host":
			if _, err := s.Host(ctx, powerHost); err != nil {
				return fmt.Errorf("the host: %w", err)
			}
		case "group":
			if _, err := s.SourceGroup(ctx, "group-0001"); err != nil {
				return fmt.Errorf("its source group: %w", err)
			}
		case "job":
			if _, err := s.Job(ctx, topics.JobID(p[1])); err != nil {
				return fmt.Errorf("job %s: %w", p[1], err)
			}
		case "received":
			received, _ = strconv.ParseUint(p[1], 10, 64)
			lines, _ := strconv.Atoi(p[3])
			j, err := s.Job(ctx, topics.JobID(p[2]))
			if err != nil || j.Lines < lines || j.State.Ended() != topics.JobState(p[4]).Ended() && topics.JobState(p[4]).Ended() {
				return fmt.Errorf("job %s is %s with %d lines, and was %s with %d: %w", p[2], j.State, j.Lines, p[4], lines, err)
			}
		}
	}
	h, err := s.Host(ctx, powerHost)
	if err != nil || h.ReceivedSeq < received {
		return fmt.Errorf("%d events are received, %d had a receipt: %w", h.ReceivedSeq, received, err)
	}
	jobs, err := s.JobsOf(ctx, powerHost, 10_000)
	if err != nil {
		return err
	}
	for _, j := range jobs { // what was never promised is there as a whole, or not at all
		log, err := s.Log(ctx, j.ID, 0, 10_000)
		if err != nil || len(log) != j.Lines {
			return fmt.Errorf("job %s has %d lines of %d: %w", j.ID, len(log), j.Lines, err)
		}
		for i, e := range log {
			if e.N != i+1 || e.Text != powerText(j.ID, i+1) {
				return fmt.Errorf("line %d of job %s is number %d: %q", i+1, j.ID, e.N, e.Text)
			}
		}
	}
	return nil
}

// writeJournal is what an agent writes while it works: ROOT JOBS. It
// acknowledges every step, because restic is started on the strength of one and
// events are sent on that of another.
func writeJournal(_ context.Context, args []string) (err error) {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	s, err := spool.Open(args[0], powerKey, time.Now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	epoch, err := s.Epoch()
	if err != nil {
		return err
	}
	seq, receipted := uint64(0), uint64(0)
	step := func(in protocol.AgentInput, events uint64, words ...any) error {
		if _, err := s.Step(in); err != nil {
			return err
		}
		seq += events
		ack(append([]any{"events", seq, receipted}, words...)...)
		return nil
	}
	for i := range n {
		session, err := s.NextSession()
		if err != nil {
			return err
		}
		ack("session", session.N)
		id := topics.JobID(fmt.Sprintf("0mk3a7q2job%d", i))
		run := topics.Run{Kind: topics.BackupJob, Repository: topics.Repository{URL: "/srv/repository", Password: "correct horse battery"},
			Group: topics.SourceGroup{ID: "letters-01", Paths: []string{"/home"}}}
		if err := step(protocol.Commanded{Command: topics.Command{Job: id, Run: &run}}, 1, id, "accepted", 0); err != nil {
			return err
		}
		if err := step(protocol.Spawned{Job: id, Process: protocol.Process{PID: 1000 + i, Start: "now"}}, 1, id, "started", 0); err != nil {
			return err
		}
		lines := 0
		for range 8 {
			log := powerLog(id, lines+1)
			lines += powerLines
			if err := step(protocol.Printed{Job: id, Lines: log.Lines}, 1, id, "started", lines); err != nil {
				return err
			}
		}
		if err := step(protocol.Ended{Job: id, End: topics.Finished{State: topics.Succeeded}}, 1, id, "ended", lines); err != nil {
			return err
		}
		receipted = seq - 5
		if err := step(protocol.Receipted{Received: topics.Received{Epoch: epoch, Seq: receipted}}, 0); err != nil {
			return err
		}
	}
	return nil
}

// checkJournal opens a journal after a power failure and holds it to what was
// promised before.
func checkJournal(_ context.Context, dir string, promised [][]string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s, err := spool.Open(dir, powerKey, time.Now)
	if err != nil && len(promised) == 0 {
		return nil // the agent says so, and what to do; nothing was begun
	} else if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var events, sessions uint64
	for _, p := range promised {
		n, _ := strconv.ParseUint(p[1], 10, 64)
		if p[0] == "session" {
			sessions = n
			continue
		}
		events = n
		if len(p) < 6 {
			continue
		}
		lines, _ := strconv.Atoi(p[5])
		switch j, known, err := s.Job(topics.JobID(p[3])); {
		case err != nil || !known || j.Lines < lines:
			return fmt.Errorf("job %s is known: %v, with %d lines of %d: %v", p[3], known, j.Lines, lines, err)
		case p[4] == "started" && !j.Started, p[4] == "ended" && j.End == nil:
			return fmt.Errorf("job %s was %s, and the journal has it as %+v", p[3], p[4], j)
		}
	}
	// All events that nobody has received are there, the promised ones among them.
	var last uint64
	for at := uint64(0); ; at = last {
		b, err := s.Batch(at)
		if err != nil {
			return err
		}
		if len(b.Events) == 0 {
			break
		}
		if last != 0 && b.First != last+1 {
			return fmt.Errorf("event %d follows %d", b.First, last)
		}
		last = b.First + uint64(len(b.Events)) - 1
	}
	if last < events {
		return fmt.Errorf("events end at %d, and %d were written", last, events)
	}
	if next, err := s.NextSession(); err != nil || next.N <= sessions {
		return fmt.Errorf("session %d comes after %d: %v", next.N, sessions, err)
	}
	return nil
}

func TestAPowerFailureLosesNothingThatWasAcknowledged(t *testing.T) {
	for _, c := range []struct {
		role  string
		jobs  int
		main  string // what is synced between the first promise and the last
		check func(context.Context, string, [][]string) error
	}{
		{"write-store", 24, "data/restic-manager.db", checkStore}, // enough for checkpoints of the WAL,
		{"write-journal", 8, "journal.db", checkJournal},
	} {
		t.Run(c.role, func(t *testing.T) {
			const seed = 7
			dice := rand.New(rand.NewPCG(seed, 0))
			root, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			r := record(t, root, c.role, strconv.Itoa(c.jobs))
			acks := r.acks()
			syncs, within := 0, 0
			for i, o := range r.ops {
				if o.kind != synced {
					continue
				}
				if syncs++; o.file == c.main && i > acks[0] && i < acks[len(acks)-1] {
					within++
				}
			}
			t.Logf("seed %d: %d operations, %d of them fsyncs, %d of %s while it ran; %d promises",
				seed, len(r.ops), syncs, within, c.main, len(acks))
			if len(acks) < c.jobs*8 || syncs < len(acks) || within == 0 {
				t.Fatal("the recording is not what happened")
			}
			if err := c.check(t.Context(), r.after(t, len(r.ops), nil, nil), r.promised(len(r.ops))); err != nil {
				t.Fatalf("at the end: %v", err)
			}
			// Right after a promise it has to hold; anywhere else, too.
			for i := range rounds {
				cut, kept := acks[dice.IntN(len(acks))]+1, dice
				if i%2 == 1 {
					cut = dice.IntN(len(r.ops))
				}
				if i%4 < 2 {
					kept = nil
				}
				if err := c.check(t.Context(), r.after(t, cut, kept, nil), r.promised(cut)); err != nil {
					t.Errorf("power failure before operation %d of %d, with a part of what was not synced %v: %v", cut, len(r.ops), kept != nil, err)
				}
			}
			// A disk that only claims to obey must be found out, or all this proves nothing.
			found := 0
			for _, at := range []int{len(acks) / 4, len(acks) / 2, len(acks) - 2} {
				// Sessions rise by chance: one that was forgotten need not come again.
				for p := r.promised(acks[at] + 1); p[len(p)-1][0] == "session"; p = r.promised(acks[at] + 1) {
					at++
				}
				cut := acks[at] + 1
				last := slices.IndexFunc(r.ops[acks[at-1]:cut], func(o op) bool { return o.kind == synced }) + acks[at-1]
				if c.check(t.Context(), r.after(t, cut, nil, func(i int, _ op) bool { return i >= last }), r.promised(cut)) != nil {
					found++
				}
			}
			if found != 3 {
				t.Errorf("a disk that ignores the last fsyncs before a promise was found out %d times of 3", found)
			}
		})
	}
}
