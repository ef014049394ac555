package restic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// Check looks whether the repository fits together, and with ReadData or a Subset
// whether the data is what it was.
//
// It reads the index, the snapshots and the trees from the repository, into a cache of
// its own that restic makes below the host's and removes again. WithCache takes the
// host's cache instead: that is faster, and does not see that what the cache holds was
// damaged or lost in the repository.
type Check struct {
	ReadData  bool
	Subset    string // n/t, the nth of t slices of the packs
	WithCache bool
	RetryLock time.Duration // how long to wait for a lock; 0.14 cannot wait
}

// ClearChecks removes the caches that checks made for themselves and left behind when
// they were killed. No check may run.
func ClearChecks(place Place) error {
	left, err := filepath.Glob(filepath.Join(place.CacheDir, "restic-check-cache-*"))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

type check struct {
	silent
	lockless
	Check
	result topics.Checked
	first  string // what is wrong
}

var slice = regexp.MustCompile(`^[1-9][0-9]{0,3}/[1-9][0-9]{0,3}$`)

func (c *check) args(v Version, _ string) ([]string, error) {
	// With --json restic 0.18 and newer say nothing until the end, for hours: the text tells
	// the stages, and in its words what the JSON says in fields.
	args := []string{"check"}
	if c.WithCache {
		args = append(args, "--with-cache")
	}
	switch {
	case c.ReadData && c.Subset != "":
		return nil, fmt.Errorf("a check reads all of the data or a slice of it, not both")
	case c.ReadData:
		args = append(args, "--read-data")
	case c.Subset != "" && !slice.MatchString(c.Subset):
		return nil, fmt.Errorf("%.20q is no slice like 1/12", c.Subset)
	case c.Subset != "":
		args = append(args, "--read-data-subset="+c.Subset)
	}
	if c.noLock {
		return append(args, c.flags()...), nil
	}
	return append(args, retry(v, c.RetryLock)...), nil
}

func (c *check) anew() locker { return &check{Check: c.Check} }

func (c *check) words() string {
	switch {
	case c.ReadData:
		return "check --read-data"
	case c.Subset != "":
		return "check --read-data-subset=" + c.Subset
	}
	return "check"
}

func (*check) answers(v Version) bool { return v.Has(since.CheckJSON) }

func (c *check) read(o *output, line []byte) bool {
	switch {
	case bytes.HasPrefix(line, []byte("no errors were found")):
		o.answered = true
	case bytes.Contains(line, []byte("`restic prune`")): // packs that no index knows, or that hold what others do
		c.suggest("prune")
	}
	return false // it is for the log, too
}

var (
	checkError   = regexp.MustCompile(`^(error\b|pack |Pack ID |tree |blob )`)
	snapshotFile = regexp.MustCompile(`(?:failed to load snapshot |load <snapshot/)([0-9a-f]{8,64})`)
	packID       = regexp.MustCompile(`(?:^pack |^Pack ID does not match, want )([0-9a-f]{64})`)
)

func (c *check) hear(line string) {
	c.listen(line)
	if strings.HasSuffix(c.first, ":") { // that was only the headline
		c.first += " " + strings.TrimSpace(line)
	}
	if checkError.MatchString(line) {
		if c.first == "" {
			c.first = line
		}
		c.result.Errors++
	}
	if m := packID.FindStringSubmatch(line); m != nil { // those that are gone, too, which restic's own list leaves out
		c.broken(m[1])
		if strings.HasSuffix(strings.TrimSpace(line), ": does not exist") {
			note(&c.result.Missing, m[1])
		}
	}
	if m := snapshotFile.FindStringSubmatch(line); m != nil {
		note(&c.result.Snapshots, m[1])
	}
	if strings.Contains(line, "restic repair index") || strings.Contains(line, "restic rebuild-index") ||
		strings.HasPrefix(line, "error: error loading index ") { // 0.14 to 0.16 say only that
		c.suggest("repair index")
	}
}

func (c *check) broken(id string) {
	if hexID.MatchString(id) {
		note(&c.result.Broken, id)
	}
}

// note adds an ID to those that a result names.
func note(list *[]string, id string) {
	if !slices.Contains(*list, id) && len(*list) < 100 {
		*list = append(*list, id)
	}
}

func (c *check) suggest(what string) {
	if !slices.Contains(c.result.Suggest, what) {
		c.result.Suggest = append(c.result.Suggest, what)
	}
}

// found: restic counts a lock in its way as an error of the repository. Only where
// it came to look at the repository is there a result.
func (c *check) found(_ *output, e *Ending) {
	errors := e.ExitCode != nil && *e.ExitCode == 1 && c.result.Errors > 0
	if e.State == topics.Failed && errors && (e.Cause == topics.CauseUnknown || e.Cause == topics.CauseDamaged) {
		e.Cause, e.Message = topics.CauseDamaged, several(c.result.Errors, "error")+" found"
		if c.first != "" {
			e.Message += "; the first is: " + c.first
		}
		if c.noLock {
			e.Message += ". It was checked without a lock: a backup or prune at the same time can look like that"
		}
	}
	if e.State == topics.Succeeded || e.Cause == topics.CauseDamaged {
		e.Result = &topics.Result{Check: &c.result}
	}
}

// Check checks the repository. What it finds is a failure with CauseDamaged. Where no
// lock can be written it checks without one.
func (b Binary) Check(ctx context.Context, place Place, repository Repository, how Check, sink Sink) Ending {
	return b.patient(ctx, place, repository, topics.ExclusiveLock, how.RetryLock, sink, func() Ending {
		return b.unlocked(ctx, place, repository, &check{Check: how}, "checked", sink)
	})
}
