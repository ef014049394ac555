package restic

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/topics"
)

// Restore brings files of a snapshot back, below Target and by their whole names:
// /home/anna of the snapshot becomes Target/home/anna.
type Restore struct {
	Snapshot  string   // its ID
	Paths     []string // as the snapshot names them, with all below; none is everything
	Target    string   // an absolute directory, made if need be
	Overwrite string   // what may be done to a file that is there: one of topics.Overwrites, "" is never
	DryRun    bool     // only say what would be done
}

type restore struct {
	silent
	lockless
	Restore
	result topics.Restored
	summed bool // restic counted itself
}

func (r *restore) args(v Version, dir string) ([]string, error) {
	if err := checkID(r.Snapshot); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(r.Target) || strings.ContainsRune(r.Target, 0) {
		return nil, fmt.Errorf("%.200q is not an absolute path on this host", r.Target)
	}
	args := append([]string{"restore", "--json", "--target", r.Target}, r.flags()...)
	if v.AtLeast(0, 17, 0) {
		mode := or(r.Overwrite, "never")
		if !slices.Contains(topics.Overwrites, mode) {
			return nil, fmt.Errorf("%.20q is no way to overwrite: one of %s", mode, strings.Join(topics.Overwrites, ", "))
		}
		args = append(args, "--overwrite", mode)
		if r.DryRun {
			args = append(args, "--dry-run")
		}
	} else if r.DryRun {
		return nil, fmt.Errorf("restic %s cannot restore without doing it", v)
	}
	include, err := r.include(v, dir)
	return slices.Concat(args, include, []string{"--", r.Snapshot}), err
}

// include names the paths, in a file if restic can read one and the paths can be
// written into one.
func (r *restore) include(v Version, dir string) (args []string, err error) {
	file := v.AtLeast(0, 17, 0)
	var lines strings.Builder
	for _, p := range r.Paths {
		if !strings.HasPrefix(p, "/") || strings.ContainsRune(p, 0) {
			return nil, fmt.Errorf("%.200q is no path as a snapshot names it", p)
		}
		p = literal(p)
		args = append(args, "--include", p)
		line, err := excludeLine(p, runtime.GOOS)
		file = file && err == nil
		lines.WriteString(line + "\n")
	}
	if !file || len(args) == 0 {
		return args, nil
	}
	name, err := write(dir, "includes", lines.String())
	return []string{"--include-file", name}, err
}

// literal returns the pattern that matches exactly this path.
func literal(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		switch {
		case strings.IndexByte("*?[", c) >= 0:
			b.WriteString("[" + string(c) + "]")
		case c == '\\' && runtime.GOOS != "windows":
			b.WriteString(`\\`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (r *restore) words() string {
	s := "restore " + r.Snapshot + " --target " + r.Target
	if n := len(r.Paths); n > 0 {
		s += ", " + several(n, "path")
	}
	if r.DryRun {
		s += ", dry run"
	}
	return s
}

func (*restore) answers(v Version) bool { return v.AtLeast(0, 16, 0) }
func (r *restore) hear(line string)     { r.listen(line) }
func (r *restore) anew() locker         { return &restore{Restore: r.Restore, result: r.result} }

func (r *restore) read(o *output, line []byte) bool {
	if line[0] != '{' {
		return false
	}
	var m message
	if json.Unmarshal(line, &m) != nil || m.Type != "summary" {
		return false
	}
	o.answered, r.summed = true, true
	r.result = topics.Restored{Files: uint64(m.FilesRestored), Bytes: uint64(m.BytesRestored), Skipped: uint64(m.FilesSkipped)}
	return true
}

func (r *restore) found(o *output, e *Ending) {
	if o.unread > 0 && e.State == topics.Failed {
		e.Message = several(int(min(o.unread, 1<<31)), "item") + " could not be restored, the first is " + o.firstUnread
	}
	if !r.summed && (e.State != topics.Succeeded || o.unread > 0) { // 0.14 and 0.15 count nothing
		if o.unread == 0 {
			return
		}
		r.result = topics.Restored{}
	}
	r.result.Errors = o.unread
	e.Result = &topics.Result{Restore: &r.result}
}

// listing lists the contents of a snapshot, below some paths or all of it.
type listing struct {
	silent
	snapshot  string
	paths     []string
	recursive bool
	node      func(path string, dir bool, size uint64)
}

func (l *listing) args(Version, string) ([]string, error) {
	args := []string{"ls", "--json", "--no-lock"}
	if l.recursive && len(l.paths) > 0 {
		args = append(args, "--recursive")
	}
	return slices.Concat(args, []string{"--", l.snapshot}, l.paths), checkID(l.snapshot)
}
func (l *listing) words() string      { return "ls " + l.snapshot }
func (*listing) answers(Version) bool { return true }

func (l *listing) read(o *output, line []byte) bool {
	var m struct {
		Kind text  `json:"struct_type"`
		Type text  `json:"type"`
		Path text  `json:"path"`
		Size count `json:"size"`
	}
	if line[0] != '{' || json.Unmarshal(line, &m) != nil {
		return false
	}
	switch m.Kind {
	case "snapshot":
		o.answered = true
	case "node":
		l.node(string(m.Path), m.Type == "dir", uint64(m.Size))
	default:
		return false
	}
	return true
}

func (l *listing) found(o *output, e *Ending) { // before 0.15 that is no error
	if e.ExitCode != nil && *e.ExitCode == 0 && !o.answered {
		e.Message = "the repository has no snapshot " + l.snapshot
	}
}

// Restore restores files, or returns what that would do. No version of restic reports
// a path that is not in the snapshot, so Restore looks for it first. It makes up for
// what versions before 0.17 cannot do, where possible: a dry run counts what the
// snapshot lists, and where existing files must be kept, which they could only
// overwrite, it restores nothing. Where no lock can be written it restores without one.
func (b Binary) Restore(ctx context.Context, place Place, repository Repository, what Restore, sink Sink) Ending {
	old := !b.Version.AtLeast(0, 17, 0)
	op := &restore{Restore: what}
	if old || len(what.Paths) > 0 {
		if e := b.survey(ctx, place, repository, op, old, sink); e.State != topics.Succeeded || old && what.DryRun {
			return e
		}
	}
	return b.unlocked(ctx, place, repository, op, "restored", sink)
}

// survey compares what is to be restored with what the snapshot holds, and for old
// versions with what is at the target.
func (b Binary) survey(ctx context.Context, place Place, repository Repository, op *restore, old bool, sink Sink) Ending {
	missing := map[string]bool{}
	for _, p := range op.Paths {
		missing[p] = true
	}
	total, there, first := topics.Restored{}, 0, ""
	list := &listing{snapshot: op.Snapshot, paths: op.Paths, recursive: old, node: func(path string, dir bool, size uint64) {
		delete(missing, path)
		total.Files++
		total.Bytes += size
		if !old || dir || op.Overwrite == "always" {
			return
		}
		if _, err := os.Lstat(filepath.Join(op.Target, filepath.FromSlash(path))); err == nil {
			if there++; first == "" {
				first = path
			}
		}
	}}
	held := &hold{Sink: sink}
	e := b.run(ctx, place, repository, list, held)
	switch {
	case e.State != topics.Succeeded:
		held.release()
		return e
	case len(missing) > 0:
		for _, p := range op.Paths {
			if missing[p] {
				e = failed(topics.CauseUsage, fmt.Errorf("the snapshot holds no %s", p))
				break
			}
		}
	case there > 0:
		e = failed(topics.CauseUsage, fmt.Errorf("%s would be overwritten at the target, the first is %s: restic %s cannot leave them "+
			"alone. Choose an empty directory, allow to overwrite always, or install restic 0.17 or newer",
			several(there, "file"), first, b.Version))
	case old && op.DryRun:
		e.Result = &topics.Result{Restore: &total}
		sink.Line(topics.Info, fmt.Sprintf("dry run: would restore %s, %s, as the snapshot lists them",
			several(int(min(total.Files, 1<<31)), "item"), bytesInWords(total.Bytes)))
		return e
	default:
		if old {
			op.result = total // restored, unless it fails
		}
		return e
	}
	sink.Line(topics.Error, e.Message)
	return e
}
