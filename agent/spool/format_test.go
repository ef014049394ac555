package spool

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// A release on trial writes what the one before it reads; one that is kept may write more,
// and an older one then says so, and changes nothing.
func TestAJournalIsReadByTheReleaseBeforeUntilTheNewOneIsKept(t *testing.T) {
	dir, key := t.TempDir(), [32]byte{1}
	as := func(version uint64, do func(*Spool)) error {
		t.Helper()
		format = version
		defer func() { format = Format }()
		s, err := Open(dir, key, time.Now)
		if err != nil {
			return err
		}
		do(s)
		return s.Close()
	}
	job := func(id topics.JobID) func(*Spool) {
		return func(s *Spool) {
			t.Helper()
			run := &topics.Run{Kind: topics.UpdateJob}
			if _, err := s.Step(protocol.Commanded{Command: topics.Command{Job: id, Run: run}}); err != nil {
				t.Error(err)
			}
			if _, err := s.Step(protocol.Ended{Job: id, End: topics.Finished{State: topics.Succeeded}}); err != nil {
				t.Error(err)
			}
		}
	}
	knows := func(s *Spool, ids ...topics.JobID) {
		t.Helper()
		for _, id := range ids {
			if j, known, err := s.Job(id); err != nil || !known || j.End == nil {
				t.Errorf("%s: %+v, %v, %v", id, j, known, err)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(as(1, job("job-000001")))
	must(as(2, job("job-000002"))) // on trial
	must(as(1, func(s *Spool) { knows(s, "job-000001", "job-000002") }))
	must(as(2, func(s *Spool) { must(s.Raise()) })) // kept
	must(as(2, func(s *Spool) { must(s.Raise()) }))
	err := as(1, job("job-000003"))
	if !errors.Is(err, ErrNewer) || errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), "Install that version again") {
		t.Errorf("the release before says %v", err)
	}
	must(as(2, func(s *Spool) { knows(s, "job-000001", "job-000002") }))
	must(as(3, func(s *Spool) { knows(s, "job-000001", "job-000002") }))
}
