package restic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// Diff compares two snapshots.
type Diff struct{ From, To string }

type diff struct {
	silent
	Diff
	count   int
	changes []topics.Change
	numbers topics.Diffed
}

func (d *diff) args(Version, string) ([]string, error) {
	if err := errors.Join(checkID(d.From), checkID(d.To)); err != nil {
		return nil, err
	}
	return []string{"diff", "--json", "--no-lock", "--", d.From, d.To}, nil
}
func (d *diff) words() string      { return "diff " + d.From + " " + d.To }
func (*diff) answers(Version) bool { return true }

func (d *diff) read(o *output, line []byte) bool {
	type side struct {
		Files count `json:"files"`
		Bytes count `json:"bytes"`
	}
	var m struct {
		Type     string `json:"message_type"`
		Path     text   `json:"path"`
		Modifier text   `json:"modifier"`
		Changed  count  `json:"changed_files"`
		Added    side   `json:"added"`
		Removed  side   `json:"removed"`
	}
	if line[0] != '{' || json.Unmarshal(line, &m) != nil {
		return false
	}
	switch m.Type {
	case "change":
		if d.count++; len(d.changes) < maxFound {
			d.changes = append(d.changes, topics.Change{Path: o.path(m.Path), Modifier: cut(o.safe(string(m.Modifier)), 16)})
		}
	case "statistics":
		o.answered = true
		d.numbers = topics.Diffed{ChangedFiles: uint64(m.Changed), AddedFiles: uint64(m.Added.Files), RemovedFiles: uint64(m.Removed.Files),
			AddedBytes: uint64(m.Added.Bytes), RemovedBytes: uint64(m.Removed.Bytes)}
	default:
		return false
	}
	return true
}

func (d *diff) found(_ *output, e *Ending) {
	e.Report.Changes = d.changes
	e.Result = &topics.Result{Count: d.count, Truncated: d.count > len(d.changes)}
	if e.State == topics.Succeeded {
		e.Result.Diff = &d.numbers
	}
}

// Diff compares two snapshots: the first 10,000 changes into Ending.Report, the
// numbers into Ending.Result.
func (b Binary) Diff(ctx context.Context, place Place, repository Repository, which Diff, sink Sink) Ending {
	return b.run(ctx, place, repository, &diff{Diff: which}, sink)
}

// Find looks for names in snapshots: in all of them, in some, or in those that have one of
// some tags.
type Find struct {
	Pattern    string // restic's
	Snapshots  []string
	Tags       []string
	IgnoreCase bool
	// Found, if set, gets what was found while restic runs, from time to time: whole
	// snapshots of it. The Ending has the rest.
	Found func([]topics.Match)
}

type find struct {
	silent
	Find
	count   int
	matches []topics.Match
	named   int // of matches, how many know their snapshot: it is said after them
	told    int // of those, how many Found got
	last    time.Time
}

// findPause is between two calls of Find.Found.
const findPause = 2 * time.Second

func (f *find) args(Version, string) ([]string, error) {
	if f.Pattern == "" || strings.ContainsAny(f.Pattern, "\x00\r\n") {
		return nil, errors.New("a pattern is not empty and has no line break")
	}
	args := []string{"find", "--json", "--no-lock"}
	if f.IgnoreCase {
		args = append(args, "--ignore-case")
	}
	for _, id := range f.Snapshots {
		if err := checkID(id); err != nil {
			return nil, err
		}
		args = append(args, "--snapshot", id)
	}
	for _, t := range f.Tags {
		if err := checkTag(t); err != nil {
			return nil, err
		}
		args = append(args, "--tag", t)
	}
	return append(args, "--", f.Pattern), nil
}
func (*find) words() string        { return "find" }
func (*find) depths() []int        { return []int{1, 3} }
func (*find) answers(Version) bool { return true }

func (f *find) read(o *output, line []byte) bool {
	if complete(line) {
		o.answered = true
		return true
	}
	if len(f.matches) == maxFound && line[0] == '{' && !bytes.Contains(line, []byte(`"matches":`)) { // in a string it would be escaped
		f.count++
		return true
	}
	var m struct {
		Path     text            `json:"path"`
		Type     text            `json:"type"`
		Size     count           `json:"size"`
		ModTime  text            `json:"mtime"`
		Snapshot text            `json:"snapshot"`
		Matches  json.RawMessage `json:"matches"`
	}
	if line[0] != '{' || json.Unmarshal(line, &m) != nil {
		return false
	}
	switch {
	case m.Matches != nil:
		for i := range f.matches[f.named:] {
			f.matches[f.named+i].Snapshot = hexadecimal(m.Snapshot)
		}
		f.named = len(f.matches)
		if now := o.now(); f.Found != nil && f.named > f.told && now.Sub(f.last) >= findPause {
			f.Found(f.matches[f.told:f.named:f.named])
			f.told, f.last = f.named, now
		}
	case m.Path != "":
		if f.count++; len(f.matches) < maxFound {
			match := topics.Match{Path: o.path(m.Path), Type: cut(o.safe(string(m.Type)), 40), Size: uint64(m.Size)}
			if at, err := time.Parse(time.RFC3339Nano, string(m.ModTime)); err == nil {
				match.ModTime = at.UnixMilli()
			}
			f.matches = append(f.matches, match)
		}
	default:
		return false
	}
	return true
}

func (f *find) found(_ *output, e *Ending) {
	e.Report.Matches = f.matches[f.told:f.named]
	e.Result = &topics.Result{Count: f.count, Truncated: f.count > f.named}
}

// Find looks for files by restic's pattern: the first 10,000 into Find.Found and
// Ending.Report.
func (b Binary) Find(ctx context.Context, place Place, repository Repository, what Find, sink Sink) Ending {
	return b.run(ctx, place, repository, &find{Find: what}, sink)
}

// path is a path of a snapshot as it is, save for secrets. It is not cleaned:
// whoever asks for it again has to spell it the same.
func (o *output) path(p text) string { return o.redactor.redact(cut(string(p), topics.MaxLine)) }
