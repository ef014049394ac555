package store

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

var everyState = []topics.JobState{topics.Queued, topics.Dispatched, topics.Running, topics.Succeeded, topics.Warnings, topics.Failed,
	topics.Cancelled, topics.Interrupted, topics.Abandoned}

// history fills the database with n jobs of three hosts, some still open, several
// of which ended in the same millisecond.
func history(t testing.TB, s *Store, n int) []Job {
	t.Helper()
	chance := rand.New(rand.NewPCG(1, 2))
	var groups []SourceGroup
	for i := range 3 {
		groups = append(groups, grouped(t, s, enrolled(t, s, fmt.Sprintf("host-000%d", i))))
	}
	tx, err := s.w.BeginTxx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	jobs := make([]Job, n)
	for i := range jobs {
		g := groups[chance.IntN(len(groups))]
		queued := int64(1_000_000 + i*10)
		j := Job{
			ID:          topics.JobID(topics.NewID(time.UnixMilli(queued))),
			Host:        g.Host,
			SourceGroup: g.ID,
			Repository:  g.Repository,
			RequestedBy: "test",
			QueuedAt:    queued,
			Kind:        []topics.JobKind{"backup", "prune"}[chance.IntN(2)],
			State:       everyState[3+chance.IntN(6)],
			FinishedAt:  queued - queued%100 + 50,
		}
		if i%50 == 7 {
			j.State, j.FinishedAt = everyState[chance.IntN(3)], 0
		}
		if _, err := tx.NamedExecContext(t.Context(), `INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by,
			queued_at, not_after, finished_at)
			VALUES (:id, :host, :kind, :source_group, :repository, :state, :requested_by, :queued_at, 0, :finished_at)`, j); err != nil {
			t.Fatal(err)
		}
		jobs[i] = j
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return jobs
}

func ids(jobs []Job) []topics.JobID {
	out := make([]topics.JobID, len(jobs))
	for i, j := range jobs {
		out[i] = j.ID
	}
	return out
}

// TestListsOfJobsPageThroughWhatTheFilterFinds reads every list page by page and
// compares it with the same filter applied in Go.
func TestListsOfJobsPageThroughWhatTheFilterFinds(t *testing.T) {
	s := open(t)
	jobs := history(t, s, 700)
	one := jobs[123]
	for name, f := range map[string]JobFilter{
		"everything":      {},
		"a state":         {States: []topics.JobState{topics.Failed}},
		"several states":  {States: []topics.JobState{topics.Failed, topics.Queued, topics.Abandoned}},
		"open states":     {States: []topics.JobState{topics.Queued, topics.Running}},
		"a kind":          {Kind: "prune"},
		"a period":        {Since: 1_004_000},
		"a host":          {Search: &JobSearch{Hosts: []topics.HostID{one.Host}}},
		"a host or an ID": {Search: &JobSearch{Hosts: []topics.HostID{"nobody-0001", one.Host}, ID: string(one.ID)[:9]}},
		"a group":         {Search: &JobSearch{Groups: []topics.SourceGroupID{one.SourceGroup}}, Kind: "backup", Since: 1_002_000},
		"a beginning":     {Search: &JobSearch{ID: string(one.ID)[:9]}},
		"nothing":         {Search: &JobSearch{}},
		"all of it at once": {
			States: []topics.JobState{topics.Succeeded},
			Kind:   "backup",
			Since:  1_001_000,
			Search: &JobSearch{Hosts: []topics.HostID{one.Host}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var want, ended []Job
			counts := map[JobCount]int{}
			for _, j := range jobs {
				if !f.Matches(j) {
					continue
				}
				want = append(want, j)
				if j.FinishedAt > 0 {
					ended = append(ended, j)
					counts[JobCount{State: j.State, Kind: j.Kind}]++
				}
			}
			slices.SortFunc(want, func(a, b Job) int { return cmp.Compare(b.ID, a.ID) })
			slices.SortFunc(ended, func(a, b Job) int {
				return cmp.Or(cmp.Compare(b.FinishedAt, a.FinishedAt), cmp.Compare(b.ID, a.ID))
			})
			if (len(want) == 0) != (name == "nothing") {
				t.Fatalf("the filter finds %d jobs", len(want))
			}
			var got []Job
			for after := topics.JobID(""); ; {
				page := must(s.JobList(t.Context(), f, after, 13))
				got = append(got, page...)
				if len(page) < 13 {
					break
				}
				after = page[12].ID
			}
			if !slices.Equal(ids(got), ids(want)) {
				t.Errorf("all: %d jobs, want %d in the order they were asked for", len(got), len(want))
			}
			got = nil
			for after := (Ended{}); ; {
				page := must(s.EndedJobs(t.Context(), f, after, 13))
				got = append(got, page...)
				if len(page) < 13 {
					break
				}
				after = Ended{page[12].FinishedAt, page[12].ID}
			}
			if !slices.Equal(ids(got), ids(ended)) {
				t.Errorf("ended: %d jobs, want %d in the order they ended", len(got), len(ended))
			}
			for _, c := range must(s.CountEnded(t.Context(), f)) {
				n := c.Jobs
				c.Jobs = 0
				if counts[c] != n {
					t.Errorf("%d are counted %s, want %d", n, c.State, counts[c])
				}
				delete(counts, c)
			}
			if len(counts) > 0 {
				t.Errorf("not counted: %v", counts)
			}
		})
	}
	running := 0
	for _, j := range jobs {
		if j.State == topics.Running {
			running++
		}
	}
	if n := must(s.RunningCount(t.Context())); n != running || n == 0 {
		t.Errorf("%d run, want %d", n, running)
	}
}

// BenchmarkJobLists is what the jobs page asks of a database with a year of jobs.
func BenchmarkJobLists(b *testing.B) {
	s := open(b)
	jobs := history(b, s, 200_000)
	failed := JobFilter{States: []topics.JobState{topics.Failed}, Since: jobs[len(jobs)/2].QueuedAt}
	for name, ask := range map[string]func() (any, error){
		"page":          func() (any, error) { return s.EndedJobs(b.Context(), failed, Ended{}, 51) },
		"count all":     func() (any, error) { return s.CountEnded(b.Context(), JobFilter{Since: jobs[0].QueuedAt}) },
		"count a tenth": func() (any, error) { return s.CountEnded(b.Context(), JobFilter{Since: jobs[len(jobs)/10*9].QueuedAt}) },
		"API":           func() (any, error) { return s.JobList(b.Context(), failed, "", 100) },
		"running":       func() (any, error) { return s.RunningCount(b.Context()) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
