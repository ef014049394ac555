package store

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A JobFilter selects jobs for a list. Empty fields match everything.
type JobFilter struct {
	States []topics.JobState
	Kind   topics.JobKind
	Since  int64 // ended jobs: at or after this time
	Search *JobSearch
}

// A JobSearch matches jobs by any of its fields: host, source group, repository, or the
// beginning of an ID.
type JobSearch struct {
	Hosts      []topics.HostID
	Groups     []topics.SourceGroupID
	Repository topics.RepositoryID
	ID         string

	hosts  map[topics.HostID]bool // the same as a set, built by the first call of Matches
	groups map[topics.SourceGroupID]bool
}

// Matches reports whether the search matches a job of this host, group and ID. It is
// not safe for concurrent use.
func (x *JobSearch) Matches(j Job) bool {
	if x == nil {
		return true
	}
	if x.hosts == nil {
		x.hosts, _ = setOf(x.Hosts, nil)
		x.groups, _ = setOf(x.Groups, nil)
	}
	return x.hosts[j.Host] || x.groups[j.SourceGroup] || x.Repository != "" && j.Repository == x.Repository ||
		x.ID != "" && strings.HasPrefix(string(j.ID), x.ID)
}

// Matches reports whether a list with this filter includes the job.
func (f JobFilter) Matches(j Job) bool {
	return (len(f.States) == 0 || slices.Contains(f.States, j.State)) && (f.Kind == "" || j.Kind == f.Kind) &&
		(j.FinishedAt == 0 || j.FinishedAt >= f.Since) && f.Search.Matches(j)
}

// where returns the filter as a condition on jobs, with sqlx's "?" for lists.
func (f JobFilter) where() (cond string, args []any) {
	cond = `1 = 1`
	add := func(text string, v ...any) { cond, args = cond+" AND "+text, append(args, v...) }
	if len(f.States) > 0 {
		add(`state IN (?)`, f.States)
	}
	switch f.Kind {
	case "":
	case topics.FindJob: // as the index jobs_searches has it
		add(`kind = 'find'`)
	default:
		add(`kind = ?`, f.Kind)
	}
	if x := f.Search; x != nil {
		var any1 []string
		var found []any
		if len(x.Hosts) > 0 {
			any1, found = append(any1, `host IN (SELECT value FROM json_each(?))`), append(found, listed(x.Hosts))
		}
		if len(x.Groups) > 0 {
			any1, found = append(any1, `source_group IN (SELECT value FROM json_each(?))`), append(found, listed(x.Groups))
		}
		if x.Repository != "" {
			any1, found = append(any1, `repository = ?`), append(found, x.Repository)
		}
		if x.ID != "" {
			any1, found = append(any1, `id >= ? AND id < ?`), append(found, x.ID, x.ID+"~") // "~" sorts after every character of an ID
		}
		if len(any1) == 0 {
			any1 = []string{`1 = 0`}
		}
		add(`(`+strings.Join(any1, " OR ")+`)`, found...)
	}
	return cond, args
}

// listed encodes a list as one value for json_each, as a search may match any number
// of rows.
func listed[T ~string](list []T) string {
	b, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(b)
}

func (s *Store) filtered(query string, args ...any) (string, []any, error) {
	query, args, err := sqlx.In(query, args...)
	return sqlx.Rebind(sqlx.DOLLAR, query), args, err
}

// An Ended is a place in a list of ended jobs, after which the next page begins; the
// zero value is the beginning.
type Ended struct {
	At int64
	ID topics.JobID
}

// EndedJobs lists ended jobs after a place, most recently ended first. The place of
// an ended job never changes, so pages neither repeat nor skip any.
func (s *Store) EndedJobs(ctx context.Context, f JobFilter, after Ended, limit int) ([]Job, error) {
	cond, args := f.where()
	query := `SELECT * FROM jobs WHERE finished_at > 0 AND finished_at >= ? AND ` + cond
	args = append([]any{f.Since}, args...)
	if after.ID != "" {
		query += ` AND finished_at <= ? AND (finished_at < ? OR id < ?)`
		args = append(args, after.At, after.At, after.ID)
	}
	query, args, err := s.filtered(query+` ORDER BY finished_at DESC, id DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, err
	}
	return all[Job](ctx, s.r, query, args...)
}

// A JobCount is the number of ended jobs of a kind in a state.
type JobCount struct {
	State topics.JobState `db:"state"`
	Kind  topics.JobKind  `db:"kind"`
	Jobs  int             `db:"jobs"`
}

// CountEnded counts the ended jobs that a filter finds, by state and kind.
func (s *Store) CountEnded(ctx context.Context, f JobFilter) ([]JobCount, error) {
	if f.Search == nil {
		counts, err := s.countAllEnded(ctx, f.Since)
		return slices.DeleteFunc(counts, func(c JobCount) bool {
			return len(f.States) > 0 && !slices.Contains(f.States, c.State) || f.Kind != "" && c.Kind != f.Kind
		}), err
	}
	cond, args := f.where()
	query, args, err := s.filtered(`SELECT state, kind, count(*) AS jobs FROM jobs WHERE finished_at > 0 AND finished_at >= ? AND `+cond+
		` GROUP BY state, kind ORDER BY state, kind`, append([]any{f.Since}, args...)...)
	if err != nil {
		return nil, err
	}
	return all[JobCount](ctx, s.r, query, args...)
}

// JobList lists jobs, most recently requested first, beginning after the job after
// ("" for the beginning). A job's place never changes.
func (s *Store) JobList(ctx context.Context, f JobFilter, after topics.JobID, limit int) ([]Job, error) {
	cond, args := f.where()
	if f.Since > 0 {
		cond, args = cond+` AND (finished_at = 0 OR finished_at >= ?)`, append(args, f.Since)
	}
	if len(f.States) > 0 && !slices.ContainsFunc(f.States, topics.JobState.Ended) {
		cond += ` AND finished_at = 0` // open jobs are few, and have an index
	}
	if after != "" {
		cond, args = cond+` AND id < ?`, append(args, after)
	}
	// IDs sort by creation time.
	query, args, err := s.filtered(`SELECT * FROM jobs WHERE `+cond+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, err
	}
	return all[Job](ctx, s.r, query, args...)
}

// RunningCount counts the jobs that run.
func (s *Store) RunningCount(ctx context.Context) (int, error) {
	return get[int](ctx, s.r, `SELECT count(*) FROM jobs WHERE finished_at = 0 AND state = $1`, topics.Running)
}
