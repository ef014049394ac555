package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/joblog"
	"github.com/restic-manager/restic-manager/topics"
)

func (s *Store) mustStep(t *testing.T, host topics.HostID, first uint64, events ...topics.Event) {
	t.Helper()
	err := s.Steps(t.Context(), func(tx protocol.PlaneTx) error {
		_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.Arrived{Host: host, Now: s.Now(),
			Events: topics.Events{Epoch: 1, First: first, Events: events}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func dispatched(t *testing.T, s *Store) Job {
	t.Helper()
	j := asked(t, s, grouped(t, s, enrolled(t, s, "h"+topics.NewID(time.Now()))))
	err := s.Steps(t.Context(), func(tx protocol.PlaneTx) error {
		_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.Tick{Now: s.Now(), Online: func(topics.HostID) bool { return true }})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// story reads a log as "first-last" of what is there, and "first-last gap".
func (s *Store) story(t *testing.T, id topics.JobID) string {
	t.Helper()
	var parts []string
	first, last := 0, 0
	flush := func() {
		if first > 0 {
			parts = append(parts, fmt.Sprintf("%d-%d", first, last))
		}
		first = 0
	}
	for _, e := range must(s.Log(t.Context(), id, 0, 1<<30)) {
		if e.GapTo > 0 {
			flush()
			parts = append(parts, fmt.Sprintf("%d-%d gap", e.N, e.GapTo))
			continue
		}
		if first > 0 && e.N != last+1 {
			parts = append(parts, "HOLE")
		}
		if first == 0 {
			first = e.N
		}
		last = e.N
		if e.Text != fmt.Sprintf("line %d", e.N) {
			parts = append(parts, fmt.Sprintf("line %d says %q", e.N, e.Text))
		}
	}
	flush()
	return strings.Join(parts, ", ")
}

func lines(first, n int) topics.Event {
	l := topics.Log{First: first}
	for i := range n {
		l.Lines = append(l.Lines, topics.Line{Level: topics.Info, Text: fmt.Sprintf("line %d", first+i)})
	}
	return topics.Event{Log: &l}
}

func TestALongLogKeepsItsFirstAndLastHalves(t *testing.T) {
	s := open(t)
	s.LogLines = 4000
	j := dispatched(t, s)
	seq, n := uint64(1), 0
	for n < 12_345 {
		e := lines(n+1, min(100, 12_345-n))
		e.Log.Job = j.ID
		s.mustStep(t, j.Host, seq, e)
		n, seq = n+len(e.Log.Lines), seq+1
		if kept := must(get[int](t.Context(), s.r, `SELECT count(*) FROM job_lines WHERE job = $1`, j.ID)); kept > 4000+joblog.Slack+100 {
			t.Fatalf("after %d lines %d are kept", n, kept)
		}
	}
	gap := topics.Event{Log: &topics.Log{Job: j.ID, First: 12_346, Gap: &topics.Gap{To: 12_400, Reason: "the host's journal was full"}}}
	end := topics.Event{Finished: &topics.Finished{Job: j.ID, State: topics.Succeeded, Lines: 12_400}}
	s.mustStep(t, j.Host, seq, gap, end)
	if got, want := s.story(t, j.ID), "1-2000, 2001-10400 gap, 10401-12345, 12346-12400 gap"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	stored := must(get[int64](t.Context(), s.r, `SELECT SUM(LENGTH(text) + $3) + (SELECT SUM(LENGTH(reason) + $2) FROM job_gaps WHERE job = $1)
		FROM job_lines WHERE job = $1`, j.ID, joblog.GapBytes, protocol.LineBytes))
	if got := must(s.Job(t.Context(), j.ID)).LogBytes; got != stored {
		t.Errorf("the row counts %d bytes, %d are stored", got, stored)
	}
}

func TestAGapInTheMiddleBecomesPartOfTheLargerOne(t *testing.T) {
	s := open(t)
	s.LogLines = 10
	j := dispatched(t, s)
	a, b := lines(1, 4), lines(31, 20)
	a.Log.Job, b.Log.Job = j.ID, j.ID
	s.mustStep(t, j.Host, 1, a, b, topics.Event{Finished: &topics.Finished{Job: j.ID, State: topics.Failed, Lines: 50}})
	if got, want := s.story(t, j.ID), "1-4, 5-45 gap, 46-50"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestOldLogsGoByAgeAndBySize(t *testing.T) {
	s := open(t)
	now := time.UnixMilli(1_790_000_000_000)
	s.now = func() time.Time { return now }
	var jobs []Job
	for range 50 {
		j := dispatched(t, s)
		e := lines(1, 10)
		e.Log.Job = j.ID
		s.mustStep(t, j.Host, 1, e, topics.Event{Finished: &topics.Finished{Job: j.ID, State: topics.Succeeded, Lines: 10}})
		jobs = append(jobs, must(s.Job(t.Context(), j.ID)))
		now = now.Add(time.Hour)
	}
	running := dispatched(t, s)
	e := lines(1, 10)
	e.Log.Job = running.ID
	s.mustStep(t, running.Host, 1, e)
	each := jobs[0].LogBytes
	for _, c := range []struct {
		what string
		r    Retention
		want int // logs of ended jobs left
	}{
		{"nothing is bound", Retention{}, 50},
		{"everything is young", Retention{Age: 100 * time.Hour, Bytes: 1 << 40}, 50},
		{"older than 40 hours", Retention{Age: 40 * time.Hour}, 40},
		{"ten logs and the running one", Retention{Bytes: 11 * each}, 10},
	} {
		if _, err := s.SweepLogs(t.Context(), c.r); err != nil {
			t.Fatal(err)
		}
		left := 0
		for i, j := range jobs {
			j = must(s.Job(t.Context(), j.ID))
			got := s.story(t, j.ID)
			if kept := i >= 50-c.want; kept != (got == "1-10") || kept != (j.LogDroppedAt == 0) {
				t.Errorf("%s: log %d is %q, dropped at %d", c.what, i, got, j.LogDroppedAt)
			}
			if j.LogDroppedAt == 0 {
				left++
			}
		}
		if left != c.want || s.story(t, running.ID) != "1-10" {
			t.Errorf("%s: %d logs are left, want %d; the running one is %q", c.what, left, c.want, s.story(t, running.ID))
		}
	}
}

// TestWhoLogsMuchLosesItsOwnFirst: neither jobs that never end, nor one host's many, push
// out what others logged.
func TestWhoLogsMuchLosesItsOwnFirst(t *testing.T) {
	s := open(t)
	now := time.UnixMilli(1_790_000_000_000)
	s.now = func() time.Time { return now }
	logs := func(j Job, n int, end bool) Job {
		e := lines(1, n)
		e.Log.Job = j.ID
		events := []topics.Event{e}
		if end {
			events = append(events, topics.Event{Finished: &topics.Finished{Job: j.ID, State: topics.Succeeded, Lines: n}})
		}
		s.mustStep(t, j.Host, must(s.Host(t.Context(), j.Host)).ReceivedSeq+1, events...)
		now = now.Add(time.Minute)
		return must(s.Job(t.Context(), j.ID))
	}
	honest := logs(dispatched(t, s), 10, true)
	small := logs(dispatched(t, s), 10, false)
	endless := logs(dispatched(t, s), 1000, false)
	if _, err := s.SweepLogs(t.Context(), Retention{Bytes: 20 * honest.LogBytes}); err != nil {
		t.Fatal(err)
	}
	if got := []string{s.story(t, honest.ID), s.story(t, small.ID), s.story(t, endless.ID)}; fmt.Sprint(got) != "[1-10 1-10 1-1000 gap]" {
		t.Errorf("when one job never ended the logs are %q", got)
	}
	if j := must(s.Job(t.Context(), endless.ID)); !j.Cut || j.LogBytes > 500 {
		t.Errorf("the job that never ends is %+v", j)
	}
	more := lines(1001, 5)
	more.Log.Job = endless.ID
	s.mustStep(t, endless.Host, must(s.Host(t.Context(), endless.Host)).ReceivedSeq+1, more,
		topics.Event{Finished: &topics.Finished{Job: endless.ID, State: topics.Succeeded, Lines: 1005}})
	if got := s.story(t, endless.ID); got != "1-1000 gap, 1001-1005" {
		t.Errorf("it goes on with %q", got)
	}

	// A thief's jobs end, all of them after the honest one.
	thief := enrolled(t, s, "thief")
	var stolen []Job
	for range 10 {
		j := asked(t, s, grouped(t, s, thief))
		if _, err := s.w.Exec(`UPDATE jobs SET state = 'running', accepted = 1 WHERE id = $1`, j.ID); err != nil {
			t.Fatal(err)
		}
		stolen = append(stolen, logs(j, 100, true))
	}
	if _, err := s.SweepLogs(t.Context(), Retention{Bytes: 40 * honest.LogBytes}); err != nil {
		t.Fatal(err)
	}
	left := 0
	for _, j := range stolen {
		if s.story(t, j.ID) != "" {
			left++
		}
	}
	if s.story(t, honest.ID) != "1-10" || left == 0 || left == len(stolen) {
		t.Errorf("of the thief's logs %d are left, of the honest host's %q", left, s.story(t, honest.ID))
	}
}

// A log of empty lines takes room as well: somebody with a host's keys could fill the disk
// with lines that count for nothing.
func TestAnEmptyLineCountsToo(t *testing.T) {
	t.Parallel()
	s := open(t)
	j := dispatched(t, s)
	s.mustStep(t, j.Host, 1, topics.Event{Log: &topics.Log{Job: j.ID, First: 1, Lines: make([]topics.Line, 1000)}})
	if got := must(s.Job(t.Context(), j.ID)).LogBytes; got < 50_000 {
		t.Errorf("a thousand empty lines count as %d bytes", got)
	}
}
