package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// drillMargin is what a drill leaves free on the disk beside what it restores. Half of it
// gone to others while it restores, it stops.
const drillMargin = 128 << 20

// A drill proves that snapshots can be restored.
type drill struct {
	work
	scratch *scratchFolder
	policy  Policy
	proofs  []topics.Proof // those that are not proven first
	passed  []topics.Proof
	result  topics.Drilled
	first   string         // what is wrong with the first that is not proven
	damaged bool           // restic met damaged data
	stop    *restic.Ending // why nothing more can be proven
	nothing []string       // groups without snapshots
	unread  uint64         // entries after the damage that ended a full drill: nothing is known of them
}

// drill runs a job of kind drill. Whatever happens, what it restored is removed at the end,
// but for a full one that is to be kept.
func (w work) drill(ctx context.Context) (e restic.Ending) {
	begun := time.Now()
	ask := topics.Drill{}
	if w.Run.Drill != nil {
		ask = *w.Run.Drill
	}
	policy, err := w.runner.policy()
	if err != nil {
		return drillFailed(topics.CausePolicy, err.Error())
	}
	d := &drill{work: w, policy: policy, result: topics.Drilled{Seed: ask.Seed, Full: ask.Full}}
	if d.scratch, err = makeScratch(drillDir(w.state, w.Run, w.Job)); err != nil {
		return drillFailed(cause(err), fmt.Sprintf("make the drill's folder: %v", err))
	}
	defer d.scratch.close()
	failpoint.Here("agent-drill-made")
	if ask.Target == "" {
		defer os.Remove(filepath.Dir(d.scratch.path)) // if no other drill is in it
	}
	defer func() {
		failpoint.Here("agent-drill-judged")
		if ask.Keep && d.result.Complete {
			return
		}
		if err := d.scratch.remove(); err != nil {
			w.log.Error("what a drill restored cannot be removed", "job", w.Job, "directory", d.scratch.path, "err", err)
			w.out.Line(topics.Error, "what was restored cannot be removed, the next start of the agent tries again: "+err.Error())
		}
	}()

	if len(ask.Groups) == 0 {
		d.nothing = append(d.nothing, "this host")
	}
	for _, g := range ask.Groups {
		if len(g.Snapshots) == 0 {
			name := cmp.Or(g.Name, string(g.Group))
			d.nothing = append(d.nothing, "the source group "+name)
			d.result.Snapshots = append(d.result.Snapshots, topics.DrilledSnapshot{Group: g.Group, Name: g.Name, Why: "it has no snapshot"})
			w.out.Line(topics.Error, "the source group "+name+" has no snapshot")
			continue
		}
		if ask.Full {
			d.whole(ctx, g)
		} else {
			d.sample(ctx, g, cmp.Or(ask.Files, topics.DrillFiles), uint64(cmp.Or(ask.Bytes, topics.DrillBytes)))
		}
		if d.stop != nil || ctx.Err() != nil {
			break
		}
	}
	d.result.Seconds = int64(time.Since(begun).Round(time.Second) / time.Second)
	d.result.Complete = d.stop == nil && ctx.Err() == nil
	if ask.Keep && d.result.Complete {
		d.result.Target = d.scratch.path
	}
	return d.ending(ctx)
}

func drillFailed(cause topics.Cause, message string) restic.Ending {
	return restic.Ending{State: topics.Failed, Cause: cause, Message: message}
}

func cause(err error) topics.Cause {
	switch {
	case process.FullDisk(err):
		return topics.CauseHostDisk
	case errors.Is(err, fs.ErrPermission):
		return topics.CausePermission
	}
	return topics.CauseUnknown
}

// ending says what the drill came to.
func (d *drill) ending(ctx context.Context) restic.Ending {
	e := restic.Ending{State: topics.Succeeded}
	switch {
	case ctx.Err() != nil:
		e = restic.Ending{State: topics.Cancelled, Cause: topics.CauseCancelled, Message: "cancelled"}
	case d.result.Failed > 0:
		e = drillFailed(topics.CauseProof, fmt.Sprintf("%d of %d did not come back as saved, the first is %s", d.result.Failed,
			d.result.Failed+d.result.Proven, d.first))
		if d.unread > 0 {
			e.Message = fmt.Sprintf("%s; nothing is known of %d more, as restic read no further", e.Message, d.unread)
		}
		if d.damaged {
			e.Cause = topics.CauseDamaged
		}
	case d.stop != nil:
		e = *d.stop
	case len(d.nothing) > 0:
		e = drillFailed(topics.CauseNothing, strings.Join(d.nothing, ", ")+": there is nothing to prove")
	}
	e.Message = cutText(e.Message, 1000)
	e.Result, e.Report = &topics.Result{Drill: &d.result}, topics.Report{Proofs: slices.Concat(d.proofs, d.passed)}
	e.Result.Count = int(min(d.result.Proven+d.result.Failed, 1<<31-1))
	if n := len(d.proofs) + len(d.passed); uint64(n) < d.result.Proven+d.result.Failed {
		e.Result.Truncated = true
	}
	return e
}

// cutText shortens a text between two characters.
func cutText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xc0 == 0x80 {
		most--
	}
	return s[:most]
}

// says notes a verdict.
func (d *drill) says(s *topics.DrilledSnapshot, p topics.Proof) {
	p.Snapshot = s.Snapshot
	if p.Type == "dir" {
		d.result.Folders++
	} else {
		d.result.Files++
		s.Files++
	}
	list := &d.passed
	if p.Verdict.Proves() {
		d.result.Proven++
		s.Proven++
		d.result.Bytes += p.Bytes
		s.Bytes += p.Bytes
		switch p.Verdict {
		case topics.SameAsSource:
			d.result.Compared++
		case topics.SameAsSaved:
			d.result.Verified++
		}
	} else {
		d.result.Failed++
		s.Failed++
		list = &d.proofs
		d.first = cmp.Or(d.first, p.Path+": "+p.Why)
		d.out.Line(topics.Error, "not proven: "+p.Path+": "+p.Why)
	}
	if len(d.proofs)+len(d.passed) == topics.MaxProofs {
		if p.Verdict.Proves() || len(d.passed) == 0 {
			return
		}
		d.passed = d.passed[:len(d.passed)-1] // what is not proven has its place
	}
	*list = append(*list, p)
}

// room stops the drill if the disk has not so many bytes beside a margin.
func (d *drill) room(s *topics.DrilledSnapshot, need uint64) bool {
	free, _, err := process.Space(d.scratch.path)
	if err != nil || free >= need+drillMargin {
		return true
	}
	d.fails(s, lowDisk("%s free where the drill restores, and what it would restore next takes %s beside the %s that it leaves free: it stops",
		words.Bytes(free), words.Bytes(need), words.Bytes(drillMargin)))
	return false
}

func lowDisk(format string, args ...any) restic.Ending {
	return drillFailed(topics.CauseHostDisk, "there are only "+fmt.Sprintf(format, args...))
}

// restore restores paths of a snapshot, or all of it, into the directory of this name. It
// stops when the disk gets full while it does: others write there as well. What did not
// come for reasons that are none of the data ends the drill, and is no verdict.
func (d *drill) restore(ctx context.Context, s *topics.DrilledSnapshot, paths []string, name string) (e restic.Ending, ok bool) {
	if err := d.scratch.root.Mkdir(name, 0o700); err != nil {
		d.fails(s, drillFailed(cause(err), "make the drill's folder: "+err.Error()))
		return e, false
	}
	watched, stop := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for tick := time.Tick(200 * time.Millisecond); ; {
			select {
			case <-watched.Done():
				return
			case <-tick:
			}
			if free, _, err := process.Space(d.scratch.path); err == nil && free < drillMargin/2 {
				stop(errLowDisk)
				return
			}
		}
	})
	target, files := d.scratch.target(name)
	e = d.binary.Prove(watched, d.place, d.repository, restic.Bring{Snapshot: s.Snapshot, Paths: paths, Target: target,
		Shown: filepath.Join(d.scratch.path, name), RetryLock: retryLock, Files: files}, d.out)
	low := errors.Is(context.Cause(watched), errLowDisk)
	stop(nil)
	watch.Wait()
	failpoint.Here("agent-drill-restored")
	if ctx.Err() != nil {
		return e, false
	}
	if low {
		e = lowDisk("less than %s free where the drill restores, since others write there as well: it stops", words.Bytes(drillMargin/2))
	}
	d.damaged = d.damaged || e.Cause == topics.CauseDamaged
	return e, !(e.State == topics.Cancelled || e.State == topics.Failed && !ofData(e.Cause)) || !d.fails(s, e)
}

var errLowDisk = errors.New("the disk gets full")

// ofData reports whether a restore that failed for this cause may say something of the data,
// or of single files of it.
func ofData(c topics.Cause) bool {
	return c == topics.CauseDamaged || c == topics.CauseUnknown || c == topics.CausePermission || c == topics.CauseUnreadable
}

// fails takes an ending that is none of a file. It reports whether the drill cannot go on.
func (d *drill) fails(s *topics.DrilledSnapshot, e restic.Ending) bool {
	if e.State == topics.Succeeded {
		return false
	}
	s.Why = cutText(e.Message, 300)
	d.stop = &e
	return true
}

// sample proves a sample of a group's snapshots. The newest gets most of it.
func (d *drill) sample(ctx context.Context, g topics.DrillGroup, files int, bytes uint64) {
	for i, snapshot := range g.Snapshots {
		n, size := files, bytes
		if len(g.Snapshots) > 1 && i == 0 {
			size -= bytes / 4
			if files > 1 {
				n -= max(1, files/4)
			}
		}
		s := topics.DrilledSnapshot{Snapshot: snapshot, Group: g.Group, Name: g.Name}
		used := d.part(ctx, &s, &sampler{seed: d.result.Seed, snapshot: snapshot, files: n, bytes: size, most: bytes}, i == 0)
		d.result.Snapshots = append(d.result.Snapshots, s)
		if s.Why != "" || d.stop != nil || ctx.Err() != nil {
			return
		}
		files, bytes = max(files-used.files, 1), bytes-min(used.bytes, bytes) // of the older at least one
	}
}

type used struct {
	files int
	bytes uint64
}

// part proves what is chosen of a snapshot. In the newest there has to be a file with content
// to choose; what is left for the older one may be too little.
func (d *drill) part(ctx context.Context, s *topics.DrilledSnapshot, choose *sampler, newest bool) (u used) {
	if d.fails(s, d.binary.Walk(ctx, d.place, d.repository, s.Snapshot, choose.see, d.out)) {
		return u
	}
	files, folders := choose.chosen()
	s.Holds = choose.holds
	d.result.Skipped += choose.skipped
	u = used{len(files), bytesOf(files)}
	d.out.Line(topics.Info, fmt.Sprintf("of %d entries of snapshot %.8s the seed %d chooses %d files and links with %d bytes, and %d folders",
		choose.holds, s.Snapshot, d.result.Seed, len(files), u.bytes, len(folders)))
	if choose.skipped > 0 {
		d.out.Line(topics.Info, fmt.Sprintf("%d names that are not UTF-8, or no plain paths, are not among those to choose from",
			choose.skipped))
	}
	if why := choose.none(); why != "" && newest {
		s.Why = why
		d.nothing = append(d.nothing, fmt.Sprintf("snapshot %.8s (%s)", s.Snapshot, why))
		d.out.Line(topics.Error, fmt.Sprintf("snapshot %.8s: %s", s.Snapshot, why))
		return u
	} else if why != "" {
		d.out.Line(topics.Info, fmt.Sprintf("snapshot %.8s: %s beside the newest", s.Snapshot, why))
	}
	paths := choose.asked(files)
	if len(paths) == 0 || !d.room(s, u.bytes) {
		return u
	}
	name := s.Snapshot[:min(8, len(s.Snapshot))]
	e, ok := d.restore(ctx, s, paths, name)
	if !ok {
		return u
	}
	if e.State == topics.Failed && d.none(name, files, folders) && e.Cause != topics.CauseDamaged && e.Cause != topics.CauseUnknown {
		d.fails(s, e) // it was not the data
		return u
	}
	var open []undecided
	done := 0
	says := func(p topics.Proof) {
		d.says(s, p)
		done++
		d.out.Status(restic.Status{Scanned: true, Percent: 100 * float64(done) / float64(len(files)+len(folders)),
			TotalFiles: uint64(len(files)), FilesDone: s.Files, TotalBytes: u.bytes, BytesDone: s.Bytes})
	}
	for _, n := range slices.Concat(folders, files) {
		p, sum := d.prove(ctx, n, cameTo(name, n.Path), e)
		if ctx.Err() != nil {
			return u
		}
		if p.Verdict == "" {
			open = append(open, undecided{n, p, sum})
			continue
		}
		says(p)
	}
	if len(open) > 0 {
		d.again(ctx, s, open, name+"-again", says)
	}
	for _, dir := range []string{name, name + "-again"} {
		if err := removeIn(d.scratch.root, dir); err != nil {
			d.out.Line(topics.Warn, "what was restored stays until the end: "+err.Error())
		}
	}
	return u
}

// undecided is a file that came back, and whose source says nothing.
type undecided struct {
	restic.Node
	proof topics.Proof
	sum   []byte
}

// again has restic prove what the sources do not: it restores these files once more, all in
// one run, and compares what it wrote with its own hashes. If it says that not all is well,
// it has to say of each file what the snapshot holds.
func (d *drill) again(ctx context.Context, s *topics.DrilledSnapshot, open []undecided, name string, says func(topics.Proof)) {
	var paths []string
	need := uint64(0)
	for _, u := range open {
		paths, need = append(paths, u.Path), need+u.Size
	}
	if !d.room(s, need) {
		return
	}
	e, ok := d.restore(ctx, s, paths, name)
	if !ok {
		return
	}
	for _, u := range open {
		sum, err := []byte(nil), error(nil)
		if e.State == topics.Succeeded {
			sum, err = d.hash(ctx, cameTo(name, u.Path))
		}
		p := u.proof
		switch {
		case e.State != topics.Succeeded || err != nil:
			p = d.dumped(ctx, s, u)
		case slices.Equal(sum, u.sum):
			p.Verdict = topics.SameAsSaved
		default:
			p.Verdict, p.Why = topics.Differs, "it came back with other content than when it was restored once more"
		}
		if ctx.Err() != nil || d.stop != nil {
			return
		}
		says(p)
	}
}

// dumped has restic say what the snapshot holds of a file.
func (d *drill) dumped(ctx context.Context, s *topics.DrilledSnapshot, u undecided) topics.Proof {
	p := u.proof
	h := sha256.New()
	count := &counter{Hash: h}
	e := d.binary.Dump(ctx, d.place, d.repository, s.Snapshot, u.Path, count, hush{d.out})
	differs := func(format string, args ...any) {
		p.Verdict, p.Why = topics.Differs, cutText(fmt.Sprintf(format, args...), 300)
	}
	switch {
	case e.State == topics.Succeeded && slices.Equal(h.Sum(nil), u.sum):
		p.Verdict = topics.SameAsSaved
	case e.State == topics.Succeeded:
		differs("it came back with other content: %d bytes, and the snapshot holds %d with another hash", p.Bytes, count.n)
	case ctx.Err() != nil:
	case e.Cause == topics.CauseDamaged || e.Cause == topics.CauseUnknown || e.Cause == topics.CauseUsage:
		d.damaged = d.damaged || e.Cause == topics.CauseDamaged
		differs("restic cannot read what the snapshot holds: %s", e.Message)
	default:
		d.fails(s, e)
	}
	return p
}

// cameTo is where an entry of a snapshot comes to, below the directory of this name.
func cameTo(name, path string) string { return filepath.Join(name, filepath.FromSlash(path)) }

// none reports whether nothing at all came back.
func (d *drill) none(name string, files, folders []restic.Node) bool {
	return !slices.ContainsFunc(slices.Concat(files, folders), func(n restic.Node) bool {
		_, err := d.scratch.root.Lstat(cameTo(name, n.Path))
		return err == nil
	})
}

// lost is the verdict of what did not come back. came is how the restore ended.
func lost(p topics.Proof, came restic.Ending) topics.Proof {
	p.Verdict, p.Why = topics.NotRestored, "it did not come back"
	said := came.Message
	for _, f := range came.Report.Failures {
		if f.Path == p.Path {
			said = f.Why
			break
		}
	}
	if came.State == topics.Failed && said != "" {
		p.Why = cutText(p.Why+": "+said, 300)
	}
	return p
}

// prove gives the verdict of one entry, as far as what came and the source tell it; for a
// file of which they do not, none but its hash. came is how the restore ended.
func (d *drill) prove(ctx context.Context, n restic.Node, at string, came restic.Ending) (p topics.Proof, sum []byte) {
	p = topics.Proof{Path: n.Path, Type: n.Type}
	differs := func(format string, args ...any) topics.Proof {
		p.Verdict, p.Why = topics.Differs, cutText(fmt.Sprintf(format, args...), 300)
		return p
	}
	info, err := d.scratch.root.Lstat(at)
	if err != nil {
		return lost(p, came), nil
	}
	source, there := d.source(n.Path)
	switch n.Type {
	case "dir":
		if !info.IsDir() {
			return differs("it is a directory in the snapshot, and came back as %v", info.Mode().Type()), nil
		}
		p.Verdict = topics.ThereAsSaved
		return p, nil
	case "symlink":
		return d.link(p, n, at, source, there, differs), nil
	}
	if !info.Mode().IsRegular() {
		return differs("it is a file in the snapshot, and came back as %v", info.Mode().Type()), nil
	}
	p.Bytes = uint64(max(info.Size(), 0))
	sum, err = d.hash(ctx, at)
	if err != nil {
		return differs("it cannot be read: %v", err), nil
	}
	p.Hash = hex.EncodeToString(sum)
	if same, err := d.sameAsSource(ctx, n, source, there, sum); err == nil && same {
		p.Verdict = topics.SameAsSource
	}
	return p, sum
}

func (d *drill) link(p topics.Proof, n restic.Node, at, source string, there bool, differs func(string, ...any) topics.Proof) topics.Proof {
	to, err := d.scratch.root.Readlink(at)
	switch {
	case err != nil:
		return differs("it is a symbolic link in the snapshot, and came back as something else")
	case n.Target != "" && n.Target != to:
		return differs("it leads to %.100q, and the snapshot says %.100q", to, n.Target)
	}
	p.Verdict = topics.ThereAsSaved
	if info, err := os.Lstat(source); there && err == nil && info.ModTime().Equal(n.ModTime) {
		if was, err := os.Readlink(source); err == nil && was == to {
			p.Verdict = topics.SameAsSource
		}
	}
	return p
}

// source returns where a file of a snapshot came from, if this host may read there.
func (d *drill) source(p string) (string, bool) {
	at := filepath.FromSlash(p)
	if runtime.GOOS == "windows" {
		if len(p) < 3 || p[0] != '/' || p[2] != '/' {
			return "", false
		}
		at = p[1:2] + ":" + filepath.FromSlash(p[2:])
	}
	if !d.policy.managed() && !below(at, d.policy.BackupRoots) || within(at, d.state) {
		return "", false
	}
	return at, true
}

var errChanged = errors.New("it has changed since the snapshot")

// sameAsSource compares with the source, if that is still the file that was saved, by size
// and time, before and after it was read.
func (d *drill) sameAsSource(ctx context.Context, n restic.Node, source string, there bool, sum []byte) (bool, error) {
	if !there {
		return false, errChanged
	}
	is := func(info fs.FileInfo, err error) error {
		if err == nil && (!info.Mode().IsRegular() || uint64(info.Size()) != n.Size || !info.ModTime().Equal(n.ModTime)) {
			return errChanged
		}
		return err
	}
	if err := is(os.Lstat(source)); err != nil {
		return false, err
	}
	f, err := os.OpenFile(source, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	own, err := sumOf(ctx, f)
	if err == nil {
		err = is(os.Lstat(source))
	}
	return err == nil && slices.Equal(own, sum), err
}

// hash returns the SHA-256 of what a regular file holds that was restored.
func (d *drill) hash(ctx context.Context, at string) ([]byte, error) {
	if info, err := d.scratch.root.Lstat(at); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() { // to open some devices is to use them
		return nil, fmt.Errorf("it came back as %v", info.Mode().Type())
	}
	f, err := d.scratch.root.OpenFile(at, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return sumOf(ctx, f)
}

// sumOf returns the SHA-256 of a regular file's content. One that grows as fast as it is
// read comes to an end all the same.
func sumOf(ctx context.Context, f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, cmp.Or(err, errChanged)
	}
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, reader{ctx, io.LimitReader(f, info.Size()+1)}, make([]byte, 256<<10))
	if err == nil && n != info.Size() {
		err = errChanged
	}
	return h.Sum(nil), err
}

// A reader ends with its context.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

type counter struct {
	hash.Hash
	n uint64
}

func (c *counter) Write(b []byte) (int, error) {
	c.n += uint64(len(b))
	return c.Hash.Write(b)
}

// A hush keeps what restic says of each file out of the log, but for errors.
type hush struct{ *sink }

func (h hush) Line(level topics.Level, text string) {
	if level == topics.Error {
		h.sink.Line(level, text)
	}
}

// whole proves all of the newest snapshot of a group.
func (d *drill) whole(ctx context.Context, g topics.DrillGroup) {
	s := topics.DrilledSnapshot{Snapshot: g.Snapshots[0], Group: g.Group, Name: g.Name}
	defer func() { d.result.Snapshots = append(d.result.Snapshots, s) }()
	need, files, content := uint64(0), 0, false
	if d.fails(&s, d.binary.Walk(ctx, d.place, d.repository, s.Snapshot, func(n restic.Node) {
		s.Holds, need = s.Holds+1, need+n.Size
		if n.Type == "file" {
			files, content = files+1, content || n.Size > 0
		}
	}, d.out)) {
		return
	}
	if !content {
		s.Why = noContent
		d.nothing = append(d.nothing, fmt.Sprintf("snapshot %.8s (%s)", s.Snapshot, s.Why))
		d.out.Line(topics.Error, fmt.Sprintf("snapshot %.8s: %s", s.Snapshot, s.Why))
		return
	}
	if !d.room(&s, need) {
		return
	}
	name, before := s.Snapshot[:min(8, len(s.Snapshot))], d.result.Proven+d.result.Failed+d.result.Skipped
	came, ok := d.restore(ctx, &s, nil, name)
	if !ok {
		return
	}
	if all, err := namesAt(d.scratch.root, name); came.State == topics.Failed && (err != nil || len(all) == 0) {
		d.fails(&s, came)
		return
	}
	// What is no file first, by the listing; then the content of each file, in one go.
	e := d.binary.Walk(ctx, d.place, d.repository, s.Snapshot, func(n restic.Node) {
		if n.Type == "file" || ctx.Err() != nil {
			return
		}
		if !names(n.Path) {
			d.result.Skipped++
			return
		}
		p := topics.Proof{Path: n.Path, Type: n.Type, Verdict: topics.ThereAsSaved}
		if info, err := d.scratch.root.Lstat(cameTo(name, n.Path)); err != nil {
			p = lost(p, came)
		} else if (n.Type == "dir") != info.IsDir() || (n.Type == "symlink") != (info.Mode()&fs.ModeSymlink != 0) {
			p.Verdict, p.Why = topics.Differs, "it came back as something else"
		}
		d.says(&s, p)
	}, d.out)
	if d.fails(&s, e) {
		return
	}
	dumped := 0
	failed := map[string]string{}                             // what restic could not restore, and nothing was said of yet
	for _, f := range slices.Backward(came.Report.Failures) { // of several about a file the first is the reason
		failed[f.Path] = f.Why
	}
	e = d.binary.DumpAll(ctx, d.place, d.repository, s.Snapshot, func(path string, content io.Reader) error {
		p := topics.Proof{Path: strings.ToValidUTF8(path, "\ufffd"), Type: "file", Verdict: topics.SameAsSaved}
		h := sha256.New()
		if _, err := io.Copy(h, reader{ctx, content}); err != nil {
			return err
		}
		at := cameTo(name, path)
		sum, err := d.hash(ctx, at)
		switch info, gone := d.scratch.root.Lstat(at); {
		case gone != nil:
			p = lost(p, came)
		case err != nil:
			p.Verdict, p.Why = topics.Differs, cutText("it cannot be read: "+err.Error(), 300)
		case !slices.Equal(sum, h.Sum(nil)):
			p.Verdict, p.Why = topics.Differs, "it came back with other content"
			fallthrough
		default:
			p.Bytes, p.Hash = uint64(max(info.Size(), 0)), hex.EncodeToString(sum)
		}
		if ctx.Err() == nil {
			d.says(&s, p)
			delete(failed, p.Path)
			dumped++
		}
		return ctx.Err()
	}, d.out)
	if e.State == topics.Succeeded && dumped < files { // those were compared with nothing
		e = drillFailed(topics.CauseUnknown, fmt.Sprintf("restic's archive of snapshot %.8s has %d of its %d files: the others are not proven",
			s.Snapshot, dumped, files))
	}
	if e.State != topics.Succeeded && ctx.Err() == nil {
		d.damaged = d.damaged || e.Cause == topics.CauseDamaged
		for _, path := range slices.Sorted(maps.Keys(failed)) { // the archive ends where the data is damaged
			p := topics.Proof{Path: path, Type: "file", Verdict: topics.Differs,
				Why: cutText("restic could not restore it: "+failed[path], 300)}
			if _, err := d.scratch.root.Lstat(cameTo(name, path)); err != nil {
				p = lost(p, came)
			}
			d.says(&s, p)
		}
		if n := d.result.Proven + d.result.Failed + d.result.Skipped - before; n < s.Holds {
			d.unread += s.Holds - n
		}
		d.fails(&s, e)
	}
}
