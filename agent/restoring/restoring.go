// Package restoring is a restore as a person means it, around the restic that carries it
// out: several items of several snapshots, a look at the target before anything is
// written, and a count of what came.
//
// It takes what a snapshot holds from restic's listing, in every version, and looks itself
// at what is at the target: what a dry run says, what a run compares with the dry run that
// somebody looked at, and what a job says it did, come from the same two looks. Where the
// target is empty, restic writes into a directory that nobody else can enter, whose
// contents are moved to the target in the end; see stage.
package restoring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// A Job is one restore.
type Job struct {
	Binary     restic.Binary
	Place      restic.Place
	Repository restic.Repository
	Of         topics.RepositoryID
	Operation  topics.Operation
	State      string // the agent's directory: listings and what has to be finished are below it
	Allowed    string // a directory in State that is for restores, "" if there is none; nothing else in State is written to
	RetryLock  time.Duration
	Sink       restic.Sink

	fileSystem func(*os.File) int64 // says of what kind a directory's is; nil asks the system
}

// A run is one restic process.
type run struct {
	snapshot string
	folder   string   // of the snapshot, see restic.Restore
	paths    []string // as restic restores them
	named    []string // as the snapshot names them
	target   string   // "" is the job's
	found    int      // entries of the snapshot that it selects
	due      uint64   // files to be written
	bytes    uint64   // of them
	folders  uint64   // to be made
}

// idle reports whether restic would have nothing to do.
func (r *run) idle(mode string) bool {
	return r.found == 0 || (mode == "never" || mode == "if-newer") && r.due == 0 && r.folders == 0
}

// Do restores, or says what that would do. What is known of a job that was cancelled or
// failed is in its ending, too.
func (j Job) Do(ctx context.Context) restic.Ending {
	s := &Sweeper{Dir: filepath.Join(j.State, listings)}
	s.Sweep(time.Now())
	r, err := j.begin()
	if err != nil {
		cause := CauseOf(err)
		if cause == topics.CauseUnknown { // our own words of what was asked for
			cause = topics.CauseUsage
		}
		return failed(cause, "%v", err)
	}
	defer r.close()
	if e := r.survey(ctx, s); e.State != topics.Succeeded {
		return e
	}
	if e := r.decide(s); e.State != topics.Succeeded || j.Operation.DryRun {
		return e
	}
	return r.restore(ctx)
}

// restoring is a job at work.
type restoring struct {
	Job
	runs   []*run
	target string // where the files go, links resolved; "/" in place
	home   string // State, links resolved
	dirs   bool   // the target is there
	empty  bool   // and nothing is in it
	look   look
	record *record
	result topics.Restored
	sampled
}

func (r *restoring) close() { r.record.remove() }

func (j Job) begin() (*restoring, error) {
	r := &restoring{Job: j}
	o := j.Operation
	var err error
	if r.home, err = filepath.EvalSymlinks(j.State); err != nil {
		return nil, err
	}
	if j.Allowed != "" { // which need not be there yet
		r.Allowed = filepath.Join(r.home, filepath.Base(j.Allowed))
	}
	if o.NoOwners && runtime.GOOS == "windows" && j.Binary.Version.Has(since.OwnersAlways) {
		return nil, errors.New("on Windows restic gives files the owners and rights they had, and nothing here can leave them out: " +
			"restore with owners, or install restic 0.16, which restores none")
	}
	if o.NoOwners && runtime.GOOS == "linux" && !hasProc() {
		return nil, errors.New("/proc is not mounted on this host, and without it nothing can be given to the owner of the target: mount it, " +
			"or restore with owners")
	}
	if !o.InPlace {
		real, err := resolve(o.Target)
		if err != nil {
			return nil, fmt.Errorf("the target cannot be found: %w", err)
		}
		info, err := os.Stat(real)
		r.target, r.dirs = real, err == nil
		if err == nil && !info.IsDir() {
			return nil, fmt.Errorf("%s is no directory", o.Target)
		}
		if err == nil && isRoot(real, info) && strings.Trim(o.Target[len(filepath.VolumeName(o.Target)):], `/\.`) != "" {
			return nil, fmt.Errorf("%s leads to the root of this host's files, which is restored to by its own name only", o.Target)
		}
		r.empty = !r.dirs || isEmpty(real)
	} else if r.target, r.dirs = string(filepath.Separator), true; runtime.GOOS == "windows" {
		r.target = ""
		if !j.Binary.Version.Has(since.RestoreAnywhere) {
			return nil, fmt.Errorf("on Windows restic %s cannot restore to where files were: install restic 0.16 or newer, "+
				"or restore into a folder", j.Binary.Version)
		}
		if slices.ContainsFunc(o.Basket(), func(i topics.Item) bool { return len(i.Paths) == 0 || slices.Contains(i.Paths, "/") }) {
			return nil, errors.New("on Windows all of a snapshot cannot be restored to where it was at once: choose its drives")
		}
	}
	r.runs = r.runsOf(o.Basket())
	if !o.DryRun {
		if r.record, err = newRecord(filepath.Join(j.State, unfinished), j.Place.Job); err != nil {
			return nil, fmt.Errorf("what is restored cannot be written down: %w", err)
		}
	}
	r.look = look{r: r, mode: cmp.Or(o.Overwrite, topics.Overwrites[0]), inodes: map[hardLink]bool{}}
	return r, nil
}

// runsOf makes one run of each snapshot, with each path once; in place on Windows one of
// each item, since restic takes no drive for a directory of its target there.
func (r *restoring) runsOf(items []topics.Item) (runs []*run) {
	for _, item := range items {
		paths := item.Paths
		if slices.Contains(paths, "/") {
			paths = nil
		}
		if r.Operation.InPlace && runtime.GOOS == "windows" && len(paths) > 0 {
			for _, p := range paths {
				one := &run{snapshot: item.Snapshot, folder: p, named: []string{p}, target: place("", p)}
				if i := strings.LastIndexByte(p, '/'); i > 0 {
					one.folder, one.paths, one.target = p[:i], []string{p[i:]}, place("", p[:i])
				}
				runs = append(runs, one)
			}
			continue
		}
		i := slices.IndexFunc(runs, func(r *run) bool { return r.snapshot == item.Snapshot })
		if i < 0 {
			runs = append(runs, &run{snapshot: item.Snapshot, named: slices.Clone(paths)})
		} else if len(paths) == 0 || len(runs[i].named) == 0 {
			runs[i].named = nil
		} else {
			runs[i].named = append(runs[i].named, paths...)
		}
	}
	for _, one := range runs {
		if one.folder == "" {
			slices.Sort(one.named)
			one.named = slices.Compact(one.named)
			one.paths = one.named
		}
	}
	return runs
}

// survey looks at all that the selection holds and at what is at the target in its place.
func (r *restoring) survey(ctx context.Context, s *Sweeper) restic.Ending {
	r.look.begin()
	tell := r.scanning()
	for _, one := range r.runs {
		missing := map[string]bool{}
		for _, p := range one.named {
			missing[p] = true
			r.look.above(p, one.named)
		}
		node := func(n restic.Node) {
			one.found++
			delete(missing, n.Path)
			r.look.node(one, n)
			tell(n.Path)
		}
		if e := s.nodes(ctx, r.Job, one.snapshot, one.named, node); e.State != topics.Succeeded {
			return e
		}
		gone := topics.Item{Snapshot: one.snapshot}
		for _, p := range one.named {
			if missing[p] {
				gone.Paths = append(gone.Paths, p)
			}
		}
		r.look.unmatched += len(gone.Paths)
		if r.look.firstGone == "" && len(gone.Paths) > 0 {
			r.look.firstGone = gone.Paths[0]
		}
		if len(one.named) == 0 && one.found == 0 {
			r.look.unmatched++
			r.look.firstGone, gone.Paths = "/", nil
		} else if len(gone.Paths) == 0 {
			continue
		}
		room := topics.MaxUnmatched
		for _, u := range r.result.Unmatched {
			room -= len(u.Paths)
		}
		gone.Paths = gone.Paths[:max(0, min(len(gone.Paths), room))]
		r.result.Unmatched = append(r.result.Unmatched, gone)
	}
	r.look.end()
	return restic.Ending{State: topics.Succeeded}
}

// scanning returns what tells from time to time how far the survey is.
func (r *restoring) scanning() func(path string) {
	begun, every := time.Now(), cmp.Or(r.Binary.Timing.Status, restic.DefaultTiming.Status)
	last, n := begun, 0
	return func(path string) {
		if n++; n%64 != 0 || time.Since(last) < every {
			return
		}
		last = time.Now()
		r.Sink.Status(restic.Status{TotalFiles: r.look.matched, TotalBytes: r.look.bytes, Seconds: uint64(time.Since(begun).Seconds()),
			CurrentFiles: shown([]string{path})})
	}
}

// decide answers a dry run, and ends a run that must not begin.
func (r *restoring) decide(s *Sweeper) restic.Ending {
	l, o := &r.look, r.Operation
	v := r.Binary.Version
	result := r.planned()
	result.Digest = l.digest()
	result.FreeBytes, result.NeedBytes = r.free(), l.need
	items := 0
	for _, one := range r.runs {
		items += max(1, len(one.named))
	}
	stop := func(cause topics.Cause, format string, args ...any) restic.Ending {
		e := failed(cause, format, args...)
		r.Sink.Line(topics.Error, e.Message)
		e.Result = &topics.Result{Restore: &topics.Restored{Unmatched: result.Unmatched}}
		if o.DryRun {
			e.Result.Restore = &result
			e.Report.Planned = l.plan()
		}
		return e
	}
	closed := r.closed()
	switch {
	case o.Preview != nil && o.Preview.Digest != result.Digest:
		return stop(topics.CausePreview, "%s. Nothing was written", s.differs(o.Preview.Digest, l))
	case l.unmatched >= items && l.matched == 0:
		return stop(topics.CauseNoMatch, "%s", l.missing())
	case l.own != "":
		return stop(topics.CausePolicy, "%s is among the agent's own files, and no restore writes there. Choose another folder, or leave it out",
			l.own)
	case l.linkAbove != "":
		return stop(topics.CauseUsage, "%s is a link or no directory on this host, and in the snapshot it is one: restic would remove it or "+
			"follow it. Restore into an empty folder", l.linkAbove)
	case l.inTheWay != "" && !v.Has(since.Overwrite):
		return stop(topics.CauseUsage, "1 item would be overwritten at the target: %s is no directory there, and restic %s would follow it or "+
			"fail. Choose an empty directory", l.inTheWay, v)
	case l.inTheWay != "" && l.mode != "always":
		return stop(topics.CauseUsage, "1 item would be overwritten at the target: %s is no directory there, and restic removes what is in "+
			"the way of one. Choose an empty directory, or allow to overwrite always", l.inTheWay)
	case l.there > 0 && !v.Has(since.Overwrite) && l.mode != "always":
		return stop(topics.CauseUsage, "%s would be overwritten at the target, the first is %s: restic %s cannot leave them "+
			"alone. Choose an empty directory, allow to overwrite always, or install restic 0.17 or newer", several(l.there, "file"),
			l.firstThere, v)
	case l.through != "" && !v.Has(since.Overwrite):
		return stop(topics.CauseUsage, "1 item would be overwritten at the target through another name: %s is a link there, no plain file, or "+
			"has other names, and restic %s writes to what that leads to. Choose an empty directory, or install restic 0.17 or newer", l.through, v)
	case l.under != "" && v.Has(since.Overwrite):
		return stop(topics.CauseUsage, "1 item would be overwritten at the target: %s is a folder there with something in it, and no folder in "+
			"the snapshot. Move it away, leave it out, or choose an empty directory", l.under)
	case l.under != "":
		return stop(topics.CauseUsage, "1 item would be overwritten at the target: %s is a folder there and none in the snapshot, and restic %s "+
			"cannot put it there. Move the folder away, leave it out, or choose an empty directory", l.under, v)
	case closed != nil:
		return stop(CauseOf(closed), "the target cannot be written: %v. Nothing was written", closed)
	case !o.DryRun && result.FreeBytes > 0 && l.need > result.FreeBytes:
		return stop(topics.CauseHostDisk, "no space left at the target: what is to be written takes about %s, and %s are free. Nothing was "+
			"written", bytesInWords(l.need), bytesInWords(result.FreeBytes))
	}
	if l.unmatched > 0 {
		r.Sink.Line(topics.Warn, l.missing())
	}
	r.result = result
	if !o.DryRun {
		return restic.Ending{State: topics.Succeeded}
	}
	s.saw(result.Digest, l)
	said := fmt.Sprintf("dry run: would restore %s, %s: %d new, %d over what is there, %d unchanged, %d left alone",
		several(result.Files, "file"), bytesInWords(result.Bytes), result.Restored, result.Overwritten, result.Unchanged, result.Skipped)
	if l.need > result.FreeBytes && result.FreeBytes > 0 {
		said += fmt.Sprintf("; there is not enough space: about %s are needed, %s are free", bytesInWords(l.need), bytesInWords(result.FreeBytes))
	}
	r.Sink.Line(topics.Info, said)
	e := restic.Ending{State: topics.Succeeded, Result: &topics.Result{Restore: &result}, Report: topics.Report{Planned: l.plan()}}
	e.Result.Truncated = uint64(len(e.Report.Planned)) < l.matched
	return r.lacking(e)
}

// planned counts what the look found.
func (r *restoring) planned() topics.Restored {
	l, p := &r.look, r.result
	p.Matched, p.Restored, p.Unchanged, p.Skipped = l.matched, l.counts[fresh], l.counts[same], l.counts[kept]
	p.Overwritten = l.counts[over] + l.counts[replaced] // a folder goes over a file, too
	p.Files, p.Folders, p.Bytes, p.Estimated = p.Restored+p.Overwritten, l.counts[folder], l.bytes, true
	return p
}

// lacking makes warnings of a good end, if an item matched nothing.
func (r *restoring) lacking(e restic.Ending) restic.Ending {
	if e.State == topics.Succeeded && r.look.unmatched > 0 {
		e.State, e.Cause, e.Message = topics.Warnings, topics.CauseNoMatch, r.look.missing()
	}
	return e
}

// places lists where files would be written: the target, or where the items were.
func (r *restoring) places() (all []string) {
	if r.Operation.InPlace {
		for _, one := range r.runs {
			for _, p := range one.named {
				all = append(all, filepath.Dir(place(r.target, p)))
			}
		}
	}
	if len(all) == 0 {
		all = []string{r.target}
	}
	return all
}

// closed says why files cannot be written, nil if they can as far as can be told beforehand.
func (r *restoring) closed() error {
	for _, at := range r.places() {
		for {
			err := writable(at)
			if errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
				at = filepath.Dir(at)
				continue
			} else if err != nil {
				return &os.PathError{Op: "write", Path: at, Err: err}
			}
			break
		}
	}
	return nil
}

// free is how much space there is where files would be written, 0 if nobody can tell. Items
// that were on several disks are not told apart: it is that of the last.
func (r *restoring) free() uint64 {
	all := r.places()
	for at := all[len(all)-1]; ; at = filepath.Dir(at) {
		if free, _, err := process.Space(at); err == nil {
			return max(free, 1)
		}
		if at == filepath.Dir(at) {
			return 0
		}
	}
}

// restore has restic do it, and looks what came.
func (r *restoring) restore(ctx context.Context) restic.Ending {
	at, err := r.open()
	if err != nil {
		e := failed(CauseOf(err), "the target cannot be written: %v", err)
		r.Sink.Line(topics.Error, e.Message)
		return e
	}
	defer at.close()
	if err := r.record.begin(at.header()); err != nil {
		return failed(CauseOf(err), "what is restored cannot be written down: %v", err)
	}
	failpoint.Here("agent-restore-recorded")
	m := newMeter(r, at)
	e := restic.Ending{State: topics.Succeeded}
	var failures []topics.Failure
	var wrong restic.Ending // the worst of what went wrong in some items
	lock := ""
	for _, one := range r.runs {
		if one.idle(r.look.mode) {
			continue
		}
		m.start(one)
		e = r.Binary.Restore(ctx, r.Place, r.Repository, restic.Restore{
			Snapshot: one.snapshot, Folder: one.folder, Paths: one.paths, Target: cmp.Or(one.target, at.path()), Shown: cmp.Or(one.target, r.target),
			Overwrite: r.look.mode, RetryLock: r.RetryLock, Files: at.files(),
		}, m)
		m.stop()
		failures = append(failures, e.Report.Failures...)
		if e.Result != nil && e.Result.NoLock != "" {
			lock = e.Result.NoLock
		}
		if e.State == topics.Failed && itemsOnly(e) {
			wrong = worse(wrong, e)
			e.State, e.Cause, e.Message = topics.Succeeded, topics.CauseNone, ""
		}
		if e.State != topics.Succeeded {
			break
		}
	}
	failpoint.Here("agent-restore-came")
	through := e.State == topics.Succeeded
	came := r.look.after(at, failures, through)
	swapped, kept := at.settle(r)
	if kept != nil {
		came.failures = append(came.failures, topics.Failure{Path: r.target,
			Why: "not everything could be given to the owner it has to have: " + kept.Error()})
		wrong = worse(wrong, failed(CauseOf(kept), "%v", kept))
	}
	failpoint.Here("agent-restore-given")
	if err := at.finish(); err != nil && swapped == nil {
		came.failures = append(came.failures, topics.Failure{Path: r.target, Why: err.Error()})
		wrong = worse(wrong, failed(CauseOf(err), "%v", err))
	}
	return r.judge(e, wrong, came, swapped, lock, through)
}

// judge words the end.
func (r *restoring) judge(e, wrong restic.Ending, c came, swapped error, lock string, through bool) restic.Ending {
	n := &r.result
	n.Restored, n.Overwritten, n.Bytes, n.Failed = c.fresh, c.over, c.bytes, c.failed
	n.Files, n.Errors = n.Restored+n.Overwritten, uint64(len(c.failures)-c.disowned)
	n.Digest = ""
	n.Estimated = !through || !r.Binary.Version.Has(since.Overwrite)
	if !r.Operation.InPlace {
		n.Target = r.target
	}
	found := e.ExitCode
	switch {
	case through && len(c.failures) > 0 && c.disowned == len(c.failures):
		first := c.failures[0]
		e = restic.Ending{State: topics.Warnings, Cause: topics.CausePermission, ExitCode: found,
			Message: several(c.disowned, "item") + " came without the owner they had, the first is " + first.Path + ": " + first.Why}
	case through && len(c.failures) > 0:
		e = restic.Ending{State: topics.Warnings, Cause: topics.CauseUnreadable, ExitCode: found}
		if wrong.Cause == topics.CauseDamaged || wrong.Cause == topics.CauseHostDisk || wrong.Cause == topics.CausePermission {
			e.Cause = wrong.Cause
		}
		if n.Files+n.Unchanged+n.Skipped == 0 || e.Cause == topics.CauseHostDisk {
			e.State = topics.Failed
		}
		e.Message = several(len(c.failures), "item") + " could not be restored, the first is " + c.failures[0].Path + ": " + c.failures[0].Why
	case through && wrong.State != "" && !c.forgiven: // it counted an error and named none that is missing now
		e = wrong
	}
	if swapped != nil {
		e.State, e.Cause, e.Message = topics.Failed, topics.CauseTargetMoved, swapped.Error()
	}
	e = r.lacking(e)
	if e.State == topics.Cancelled || e.State == topics.Failed {
		if e.State == topics.Failed || n.Files > 0 {
			e.Message = strings.TrimSuffix(e.Message, ".") + fmt.Sprintf("; %s of %d came, %s", several(n.Files, "file"),
				r.look.counts[fresh]+r.look.counts[over]+r.look.counts[replaced], bytesInWords(n.Bytes))
		}
	}
	if (e.State == topics.Cancelled || e.State == topics.Failed) && isEmpty(r.target) {
		n.Target = "" // there is nothing to be found
	}
	e.Report = topics.Report{Failures: c.failures[:min(len(c.failures), topics.MaxListed)]}
	e.Result = &topics.Result{Restore: n, NoLock: lock, Truncated: len(c.failures) > topics.MaxListed}
	level := topics.Info
	if e.State != topics.Succeeded {
		level = topics.Warn
	}
	r.Sink.Line(level, fmt.Sprintf("restored %s, %s: %d new, %d over what was there; %d unchanged, %d left alone, %d failed",
		several(n.Files, "file"), bytesInWords(n.Bytes), n.Restored, n.Overwritten, n.Unchanged, n.Skipped, n.Failed))
	return e
}

// itemsOnly reports whether restic went through to the end, and failed for single items.
func itemsOnly(e restic.Ending) bool {
	return e.ExitCode != nil && *e.ExitCode == 1 && len(e.Report.Failures) > 0 && e.Result != nil && e.Result.Restore != nil &&
		e.Cause != topics.CauseLocked && e.Cause != topics.CausePassword && e.Cause != topics.CauseUnreachable
}

// worse returns of two endings the one whose cause says more.
func worse(a, b restic.Ending) restic.Ending {
	if a.State == "" || b.Cause == topics.CauseHostDisk || a.Cause == topics.CauseUnknown {
		return b
	}
	return a
}

func failed(cause topics.Cause, format string, args ...any) restic.Ending {
	return restic.Ending{State: topics.Failed, Cause: cause, Message: strings.ToValidUTF8(fmt.Sprintf(format, args...), "\uFFFD")}
}

// CauseOf returns the cause of an error of the system, while the target was made or opened
// or what is restored was written down: no place may be left, the path may be none that
// there can be, and everything else keeps the agent from writing there, as a disk that is
// mounted read-only or does not answer.
func CauseOf(err error) topics.Cause {
	var code syscall.Errno
	switch {
	case process.FullDisk(err):
		return topics.CauseHostDisk
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EINVAL):
		return topics.CauseUsage
	case errors.Is(err, os.ErrPermission), errors.As(err, &code):
		return topics.CausePermission
	}
	return topics.CauseUnknown
}

// isRoot reports whether a directory is the root of a file system that has a name of its own,
// also if that is mounted in another place.
func isRoot(dir string, info fs.FileInfo) bool {
	root, err := os.Stat(string(filepath.Separator))
	return filepath.Dir(dir) == dir || err == nil && os.SameFile(info, root)
}

// ours reports whether a place is among the agent's own files.
func (r *restoring) ours(at string) bool {
	below := func(dir string) bool {
		return strings.HasPrefix(at, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
	}
	return below(r.home) && (r.Allowed == "" || at != r.Allowed && !below(r.Allowed))
}

func isEmpty(dir string) bool {
	d, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer d.Close()
	names, _ := d.Readdirnames(1)
	return len(names) == 0
}

// resolve follows every link of a path. Of what is not there yet it keeps the names.
func resolve(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, os.ErrNotExist) {
		return real, err
	}
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("%s is a link that leads nowhere", path)
	}
	parent := filepath.Dir(path)
	if parent == path {
		return "", err
	}
	if real, err = resolve(parent); err != nil {
		return "", err
	}
	return filepath.Join(real, filepath.Base(path)), nil
}

// InPlace is where a path of a snapshot was on this host.
func InPlace(path string) string {
	if runtime.GOOS == "windows" {
		return place("", path)
	}
	return place(string(filepath.Separator), path)
}

// place is where a path of a snapshot is below a target; "" is where it was, on Windows.
func place(target, path string) string {
	if target == "" {
		drive, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		return drive + ":" + string(filepath.Separator) + filepath.FromSlash(rest)
	}
	return filepath.Join(target, filepath.FromSlash(path))
}

func several[N int | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// bytesInWords is n in the unit a person would use.
func bytesInWords(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/1024, 0
	for f >= 1024 && unit < 5 {
		f, unit = f/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTPE"[unit])
}
