package restic

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// Walk hands each entry of a snapshot to a function, in restic's order: a directory
// before what is in it. It holds none of them.
func (b Binary) Walk(ctx context.Context, place Place, repository Repository, snapshot string, each func(Node), sink Sink) Ending {
	return b.run(ctx, place, repository, &listing{snapshot: snapshot, node: each}, sink)
}

// bring restores into a directory of our own and has restic compare what it wrote with
// its own hashes.
type bring struct {
	silent
	lockless
	Bring
}

// Bring restores below a directory that is empty, by whole names.
type Bring struct {
	Snapshot  string        // its ID
	Paths     []string      // as the snapshot names them; none is everything
	Target    string        // an absolute directory
	Shown     string        // what Target is called in lines and messages; "" is Target
	RetryLock time.Duration // how long to wait for a lock; 0.14 cannot wait
	Files     []*os.File    // open in restic from descriptor 3 on, for a Target that goes through one
}

func (r *bring) args(v Version, _ string) ([]string, error) {
	if err := checkID(r.Snapshot); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(r.Target) || strings.ContainsRune(r.Target, 0) {
		return nil, fmt.Errorf("%.200q is not an absolute path on this host", r.Target)
	}
	args := append([]string{"restore", "--json", "--verify", "--target", r.Target}, r.flags()...)
	args = append(args, retry(v, r.RetryLock)...)
	for _, p := range r.Paths {
		if !strings.HasPrefix(p, "/") || strings.ContainsRune(p, 0) {
			return nil, fmt.Errorf("%.200q is no path as a snapshot names it", p)
		}
		args = append(args, "--include", literal(p))
	}
	return append(args, "--", r.Snapshot), nil
}

func (r *bring) words() string {
	if len(r.Paths) == 0 {
		return "restore " + r.Snapshot + " --verify, all of it"
	}
	return "restore " + r.Snapshot + " --verify, " + several(len(r.Paths), "path")
}
func (*bring) answers(Version) bool { return false }
func (r *bring) hear(line string)   { r.listen(line) }
func (r *bring) anew() locker       { return &bring{Bring: r.Bring} }

// read takes what restic counts, from 0.16 on: nothing of it is news but that it goes on.
func (r *bring) read(o *output, line []byte) bool {
	var m message
	return line[0] == '{' && json.Unmarshal(line, &m) == nil && (m.Type == "status" || m.Type == "summary" || m.Type == "verbose_status")
}

func (r *bring) found(o *output, e *Ending) { e.Report.Failures = o.failures }

// maxArgs bounds the bytes of paths on one command line: Windows takes 32 KiB of all.
const maxArgs = 20 << 10

// Prove restores with restic's own verification. Its failure says nothing about any one
// file but what is in the ending's Report: look at what came. Where no lock can be written
// it goes without.
func (b Binary) Prove(ctx context.Context, place Place, repository Repository, what Bring, sink Sink) Ending {
	all, paths := Ending{State: topics.Succeeded}, what.Paths
	shown := strings.NewReplacer(what.Target, or(what.Shown, what.Target))
	for first := true; first || len(paths) > 0; first = false {
		n, size := 0, 0
		for n < len(paths) && (n == 0 || size+len(paths[n]) < maxArgs) {
			size += len(paths[n]) + 12
			n++
		}
		what.Paths = slices.Clone(paths[:n])
		e := b.unlocked(ctx, place, repository, &bring{Bring: what}, "restored", renamed{sink, shown})
		e.Message = shown.Replace(e.Message)
		for i, f := range e.Report.Failures {
			e.Report.Failures[i] = topics.Failure{Path: f.Path, Why: shown.Replace(f.Why)}
		}
		failures := slices.Concat(all.Report.Failures, e.Report.Failures)
		if all.State == topics.Succeeded {
			all = e
		}
		all.Report.Failures = failures
		if ctx.Err() != nil {
			break
		}
		paths = paths[n:]
	}
	return all
}

// dump writes the content of a file of a snapshot, or of all of it as an archive. Restic
// compares each piece with its hash as it reads it.
type dump struct {
	silent
	snapshot, path string
	all            bool
	into           io.Writer
}

func (d *dump) args(Version, string) ([]string, error) {
	if err := checkID(d.snapshot); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(d.path, "/") || strings.ContainsRune(d.path, 0) {
		return nil, fmt.Errorf("%.200q is no path as a snapshot names it", d.path)
	}
	args := []string{"dump", "--no-lock"}
	if d.all {
		args = append(args, "--archive", "tar")
	}
	return append(args, "--", d.snapshot, d.path), nil
}
func (d *dump) words() string        { return "dump " + d.snapshot + " " + d.path }
func (*dump) answers(Version) bool   { return false }
func (*dump) found(*output, *Ending) {}

// Dump writes the content that a snapshot holds of a file, whose every piece restic has
// compared with its hash. What was written counts only if it ends Succeeded.
func (b Binary) Dump(ctx context.Context, place Place, repository Repository, snapshot, path string, into io.Writer, sink Sink) Ending {
	return b.run(ctx, place, repository, &dump{snapshot: snapshot, path: path, into: into}, sink)
}

// DumpAll hands the content of each file of a snapshot to a function, likewise.
func (b Binary) DumpAll(ctx context.Context, place Place, repository Repository, snapshot string,
	each func(path string, content io.Reader) error, sink Sink) Ending {
	r, w := io.Pipe()
	read := make(chan error, 1)
	go func() {
		err := untar(r, each)
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		read <- err
	}()
	e := b.run(ctx, place, repository, &dump{snapshot: snapshot, path: "/", all: true, into: w}, sink)
	w.Close()
	if err := <-read; err != nil && e.State == topics.Succeeded {
		e = failed(topics.CauseUnknown, fmt.Errorf("read what restic dumps: %w", err))
	}
	return e
}

func untar(r io.Reader, each func(path string, content io.Reader) error) error {
	for all := tar.NewReader(r); ; {
		h, err := all.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, r) // what pads it
			return err
		} else if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := each("/"+strings.TrimLeft(h.Name, "/"), all); err != nil {
			return err
		}
	}
}
