package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// An AmbiguousError is that more than one job can be meant.
type AmbiguousError struct {
	Text string
	Fits []topics.JobID // the oldest first, at most MostFits
	More bool           // there are others
}

// MostFits is how many of the jobs that can be meant are named.
const MostFits = 10

// Error implements error; it names the jobs that fit.
func (e *AmbiguousError) Error() string {
	names := make([]string, len(e.Fits))
	for i, id := range e.Fits {
		names[i] = string(id)
	}
	text := fmt.Sprintf("%q can be more than one job: %s", e.Text, strings.Join(names, ", "))
	if e.More {
		text += " and others"
	}
	return text
}

// between stands for what is left out of the middle of an ID.
const between = "…"

// Find returns the job that is meant by its ID, by any beginning of it that no other
// ID has, or by its beginning and its end with "…" between, as pages show it. It
// returns ErrNoJob, or an *AmbiguousError.
func Find(ctx context.Context, s *store.Store, text string) (store.Job, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	begin, end, _ := strings.Cut(strings.ReplaceAll(text, "...", between), between)
	if begin == "" || len(text) > 60 || strings.Trim(begin+end, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return store.Job{}, ErrNoJob
	}
	if end == "" {
		if j, err := s.Job(ctx, topics.JobID(begin)); !errors.Is(err, store.ErrNotFound) {
			return j, err
		}
	}
	ids, err := s.JobsNamed(ctx, begin, end, MostFits+1)
	switch {
	case err != nil:
		return store.Job{}, err
	case len(ids) == 0:
		return store.Job{}, ErrNoJob
	case len(ids) > 1:
		return store.Job{}, &AmbiguousError{Text: text, Fits: ids[:min(len(ids), MostFits)], More: len(ids) > MostFits}
	}
	j, err := s.Job(ctx, ids[0])
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoJob
	}
	return j, err
}

// ShortID is how pages show a job's ID: its first 8 characters, which say when it was
// asked for, and its last 8 as well if another job was asked for in the same moment.
// [Find] takes both.
func ShortID(ctx context.Context, s *store.Store, id topics.JobID) string {
	const n = 8
	if len(id) <= 2*n {
		return string(id)
	}
	if alike, err := s.JobsNamed(ctx, string(id[:n]), "", 2); err == nil && len(alike) < 2 {
		return string(id[:n])
	}
	return string(id[:n]) + between + string(id[len(id)-n:])
}
