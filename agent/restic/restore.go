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
	"time"

	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// Restore brings files of a snapshot back, below Target and by their whole names:
// /home/anna of the snapshot becomes Target/home/anna.
type Restore struct {
	Snapshot  string        // its ID
	Folder    string        // of the snapshot: what is in it goes into Target; "" is its root, anything else takes 0.16 or newer
	Paths     []string      // as the snapshot names them, below Folder and with all that is below them; none is everything
	Target    string        // an absolute directory, made if need be
	Shown     string        // what Target is called in lines and messages; "" is Target
	Overwrite string        // what may be done to a file that is there: one of topics.Overwrites, "" is never; before 0.17 it is always done
	RetryLock time.Duration // how long to wait for a lock; 0.14 cannot wait
	Files     []*os.File    // open in restic from descriptor 3 on, for a Target that goes through one
}

type restore struct {
	silent
	lockless
	Restore
	result  topics.Restored
	summed  bool   // restic counted itself
	current string // the file it was through with last
}

func (r *restore) args(v Version, dir string) ([]string, error) {
	if err := checkID(r.Snapshot); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(r.Target) || strings.ContainsRune(r.Target, 0) {
		return nil, fmt.Errorf("%.200q is not an absolute path on this host", r.Target)
	}
	args := append([]string{"restore", "--json", "--target", r.Target}, r.flags()...)
	args = append(args, retry(v, r.RetryLock)...)
	if v.Has(since.Sparse) {
		args = append(args, "--sparse")
	}
	if v.Has(since.Overwrite) {
		mode := or(r.Overwrite, "never")
		if !slices.Contains(topics.Overwrites, mode) {
			return nil, fmt.Errorf("%.20q is no way to overwrite: one of %s", mode, strings.Join(topics.Overwrites, ", "))
		}
		args = append(args, "--overwrite", mode, "--verbose=2") // each file as it is done
	}
	id := r.Snapshot
	if r.Folder != "" {
		if !v.Has(since.FolderOf) || !strings.HasPrefix(r.Folder, "/") || strings.ContainsRune(r.Folder, 0) {
			return nil, fmt.Errorf("restic %s cannot restore what is in %.200q of a snapshot", v, r.Folder)
		}
		id += ":" + r.Folder
	}
	include, err := r.include(v, dir)
	return slices.Concat(args, include, []string{"--", id}), err
}

// include names the paths, in a file if restic can read one and the paths can be
// written into one.
func (r *restore) include(v Version, dir string) (args []string, err error) {
	file := v.Has(since.IncludeFile)
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
	s := "restore " + r.Snapshot + " --target " + or(r.Shown, r.Target)
	if n := len(r.Paths); n > 0 {
		s += ", " + several(n, "path")
	}
	return s
}

func (*restore) answers(v Version) bool { return v.Has(since.RestoreJSON) }
func (r *restore) hear(line string)     { r.listen(line) }
func (r *restore) anew() locker         { return &restore{Restore: r.Restore, result: r.result} }

func (r *restore) read(o *output, line []byte) bool {
	if line[0] != '{' {
		return false
	}
	var m message
	if json.Unmarshal(line, &m) != nil {
		return false
	}
	if m.Type == "verbose_status" {
		r.current = string(m.Item)
		return true
	}
	if m.Type != "summary" {
		return false
	}
	o.answered, r.summed = true, true
	r.result = topics.Restored{Files: uint64(m.FilesRestored), Bytes: uint64(m.BytesRestored), Skipped: uint64(m.FilesSkipped)}
	return true
}

func (r *restore) found(o *output, e *Ending) {
	if o.unread > 0 && e.State == topics.Failed {
		e.Message = several(o.unread, "item") + " could not be restored, the first is " + o.firstUnread
	}
	e.Report.Failures = o.failures
	if !r.summed && (e.State != topics.Succeeded || o.unread > 0) { // 0.14 and 0.15 count nothing
		if o.unread == 0 {
			return
		}
		r.result = topics.Restored{}
	}
	r.result.Errors = o.unread
	e.Result = &topics.Result{Restore: &r.result}
}

// A Node is one entry of a snapshot.
type Node struct {
	Path    string // as the snapshot names it, with slashes on every system
	Type    string // file, dir, symlink, …
	Size    uint64 // bytes, of a file
	ModTime time.Time
	Target  string // of a link, if restic says it
	Inode   uint64 // from 0.16; of files with the same name, size and time it tells that they are one
}

// listing lists the contents of a snapshot, below some paths or all of it.
type listing struct {
	silent
	snapshot string
	paths    []string
	node     func(Node)
}

func (l *listing) args(Version, string) ([]string, error) {
	args := []string{"ls", "--json", "--no-lock"}
	if len(l.paths) > 0 {
		args = append(args, "--recursive")
	}
	return slices.Concat(args, []string{"--", l.snapshot}, l.paths), checkID(l.snapshot)
}
func (l *listing) words() string      { return "ls " + l.snapshot }
func (*listing) answers(Version) bool { return true }

func (l *listing) read(o *output, line []byte) bool {
	var m struct {
		Kind    text  `json:"struct_type"`
		Type    text  `json:"type"`
		Path    text  `json:"path"`
		Size    count `json:"size"`
		Inode   count `json:"inode"`
		ModTime text  `json:"mtime"`
		Target  text  `json:"linktarget"`
	}
	if line[0] != '{' || json.Unmarshal(line, &m) != nil {
		return false
	}
	switch m.Kind {
	case "snapshot":
		o.answered = true
	case "node":
		at, _ := time.Parse(time.RFC3339Nano, string(m.ModTime)) // one that is none equals no other
		l.node(Node{Path: string(m.Path), Type: string(m.Type), Size: uint64(m.Size), Inode: uint64(m.Inode), ModTime: at,
			Target: string(m.Target)})
	default:
		return false
	}
	return true
}

func (l *listing) found(o *output, e *Ending) { // before 0.15 that is no error
	if e.ExitCode != nil && *e.ExitCode == 0 && !o.answered && l.snapshot != "" {
		e.Cause, e.Message = topics.CauseNoSnapshot, noSnapshotWords(l.snapshot)
	}
}

// Nodes hands all that a snapshot holds below these paths to node, each folder before what
// is in it; no path is all of it. A path that is not there is no error.
func (b Binary) Nodes(ctx context.Context, place Place, repository Repository, snapshot string, paths []string, node func(Node),
	sink Sink,
) Ending {
	held := &hold{Sink: sink}
	e := b.run(ctx, place, repository, &listing{snapshot: snapshot, paths: paths, node: node}, held)
	if e.State != topics.Succeeded {
		held.release()
	}
	return e
}

// Restore restores files. What did not come back is in the ending's Report, with a path
// as restic names it. Where no lock can be written it restores without one.
func (b Binary) Restore(ctx context.Context, place Place, repository Repository, what Restore, sink Sink) Ending {
	shown := strings.NewReplacer(what.Target, or(what.Shown, what.Target))
	e := b.patient(ctx, place, repository, topics.SharedLock, what.RetryLock, sink, func() Ending {
		return b.unlocked(ctx, place, repository, &restore{Restore: what}, "restored", renamed{sink, shown})
	})
	e.Message = shown.Replace(e.Message)
	for i, f := range e.Report.Failures {
		e.Report.Failures[i] = topics.Failure{Path: shown.Replace(f.Path), Why: shown.Replace(f.Why)}
	}
	return e
}

// renamed is a sink whose lines have other names for places.
type renamed struct {
	Sink
	names *strings.Replacer
}

func (r renamed) Line(level topics.Level, text string) { r.Sink.Line(level, r.names.Replace(text)) }
