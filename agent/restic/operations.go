package restic

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// An operation is one restic command.
type operation interface {
	// args is the command line for version v, without the program. dir is the
	// run's own directory, for what does not belong on a command line. It fails
	// on fields that restic could misread.
	args(v Version, dir string) ([]string, error)
	// words says what args asks for, for people.
	words() string
	// read takes a line of stdout that only this operation prints, and reports
	// whether it did. The output is locked, and line is the caller's.
	read(o *output, line []byte) bool
	// hear listens to a line of text on stderr, which is taken for what it is to
	// every operation all the same.
	hear(line string)
	// depths says where the objects stand that read gets one by one, if the answer
	// is one array; see document.
	depths() []int
	// answers reports whether version v says something that read knows whenever it
	// succeeds. Without that a success is none.
	answers(v Version) bool
	// found adds to an ending what was read, once it is judged.
	found(o *output, e *Ending)
}

// silent is the part of an operation that finds nothing out.
type silent struct{}

func (silent) read(*output, []byte) bool { return false }
func (silent) hear(string)               {}
func (silent) depths() []int             { return nil }
func (silent) answers(Version) bool      { return false }
func (silent) found(*output, *Ending)    {}

// Backup makes one snapshot. Host and tags are what it is found by later; paths
// are absolute and taken literally, excludes are restic's patterns.
type Backup struct {
	silent
	Host          string
	Tags          []string
	Paths         []string
	Excludes      []string
	Never         []string // excludes that nothing takes back in; on Windows in capitals or not
	Marker        string   // NAME:BEGINNING of files whose directories are left out; "" for none
	OneFileSystem bool
	LiveFiles     bool          // on Windows: read the files themselves, not a shadow copy of their volume
	ShadowOnly    bool          // on Windows: without one nothing is saved; else the files themselves are read then
	RetryLock     time.Duration // how long to wait for a lock; 0.14 cannot wait
	Tuning        topics.Tuning

	system string // runtime.GOOS if empty
}

func (b Backup) windows() bool { return or(b.system, runtime.GOOS) == "windows" }

func (b Backup) args(v Version, dir string) ([]string, error) {
	if b.Host == "" {
		return nil, errors.New("a backup needs a host name")
	}
	if len(b.Paths) == 0 {
		return nil, errors.New("a backup needs at least one path")
	}
	windows := b.windows()
	if b.OneFileSystem && windows {
		return nil, errors.New("restic cannot stay on one file system on Windows")
	}
	args := []string{"backup", "--json", "--host", b.Host}
	for _, t := range b.Tags {
		if err := checkTag(t); err != nil {
			return nil, err
		}
		args = append(args, "--tag", t)
	}
	args = append(args, retry(v, b.RetryLock)...)
	if v.Has(since.GroupBy) && len(b.Tags) > 0 { // a changed list of paths then does not mean to read everything again
		args = append(args, "--group-by", "host,tags")
	}
	if windows && !b.LiveFiles {
		args = append(args, "--use-fs-snapshot")
	}
	if b.OneFileSystem {
		args = append(args, "--one-file-system")
	}
	if err := b.Tuning.Check(); err != nil {
		return nil, err
	}
	tuned, _ := tuning(v, b.Tuning)
	args = append(args, tuned...)
	flag := "--exclude-file"
	if windows {
		flag = "--iexclude-file"
		if v.Has(since.CloudFiles) { // the service cannot read them, and what is read of others is fetched
			args = append(args, "--exclude-cloud-files")
		}
	}
	for _, list := range []struct {
		flag, name string
		patterns   []string
	}{{flag, "excludes", b.Excludes}, {flag, "never", b.Never}} { // the last word is that of the last file
		if len(list.patterns) == 0 {
			continue
		}
		var lines strings.Builder
		for _, e := range list.patterns {
			line, err := excludeLine(e, or(b.system, runtime.GOOS))
			if err != nil {
				return nil, err
			}
			lines.WriteString(line + "\n")
		}
		file, err := write(dir, list.name, lines.String())
		if err != nil {
			return nil, err
		}
		args = append(args, list.flag, file)
	}
	if b.Marker != "" {
		args = append(args, "--exclude-if-present", b.Marker)
	}
	var paths strings.Builder
	for _, p := range b.Paths {
		if !filepath.IsAbs(p) || strings.ContainsRune(p, 0) {
			return nil, fmt.Errorf("%.200q is not an absolute path on this host", p)
		}
		paths.WriteString(p + "\x00")
	}
	// Ended by NUL, the one form that holds every file name.
	file, err := write(dir, "paths", paths.String())
	if err != nil {
		return nil, err
	}
	return append(args, "--files-from-raw", file), nil
}

func (b Backup) words() string {
	s := "backup --json --host " + b.Host
	for _, t := range b.Tags {
		s += " --tag " + t
	}
	if b.OneFileSystem {
		s += " --one-file-system"
	}
	s += " " + several(len(b.Paths), "path")
	if n := len(b.Excludes); n > 0 {
		s += ", " + several(n, "exclude")
	}
	return s
}

// retry is how restic is told to wait for another's lock; before 0.16 it cannot.
func retry(v Version, limit time.Duration) []string {
	if limit <= 0 || !v.Has(since.RetryLock) {
		return nil
	}
	return []string{"--retry-lock", limit.String()}
}

func several[N int | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func checkTag(tag string) error {
	if tag == "" || strings.ContainsAny(tag, ",\x00\n\r") || strings.TrimSpace(tag) != tag {
		return fmt.Errorf("%.80q is no tag: not empty, no comma, no line break, no space at its ends", tag)
	}
	return nil
}

// excludeLine is a pattern as restic's exclude file wants it: there # begins a
// comment, $ a variable of the environment, and spaces at the ends are dropped.
func excludeLine(pattern, system string) (string, error) {
	if strings.TrimSpace(pattern) == "" || strings.ContainsAny(pattern, "\x00\n\r") {
		return "", fmt.Errorf("%.80q is no exclude pattern: not empty, no line break", pattern)
	}
	pattern = strings.ReplaceAll(pattern, "$", "$$")
	if first, n := utf8.DecodeRuneInString(pattern); first == '#' || unicode.IsSpace(first) {
		pattern = "[" + pattern[:n] + "]" + pattern[n:]
	}
	if last, n := utf8.DecodeLastRuneInString(pattern); unicode.IsSpace(last) {
		before := pattern[:len(pattern)-n]
		if bare := strings.TrimRight(before, `\`); system != "windows" && (len(before)-len(bare))%2 == 1 {
			before = before[:len(before)-1] // a backslash that takes away the space's meaning, which the set does, too
		}
		pattern = before + "[" + pattern[len(pattern)-n:] + "]"
	}
	return pattern, nil
}

// write makes a file of the run that nobody else may read.
func write(dir, name, content string) (string, error) {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return "", fmt.Errorf("write restic's list of %s: %w", name, err)
	}
	return path, nil
}

// initialisation makes a repository of format 2 where there is none.
type initialisation struct {
	silent
	like *Repository // it cuts files where that one does; nil is at places of its own
}

func (i initialisation) other() *Repository { return i.like }

func (i initialisation) args(Version, string) ([]string, error) {
	args := []string{"init", "--json", "--repository-version", "2"}
	if i.like != nil {
		args = append(args, "--copy-chunker-params")
	}
	return args, nil
}

func (i initialisation) words() string {
	if i.like != nil {
		return "init --copy-chunker-params"
	}
	return "init"
}

// config asks whether the repository is there and opens with the password.
type config struct {
	silent
	id   string // of the repository
	cuts string // where it cuts files, as a polynomial
}

func (*config) args(Version, string) ([]string, error) {
	return []string{"cat", "config", "--json", "--no-lock"}, nil
}
func (*config) words() string        { return "cat config" }
func (*config) answers(Version) bool { return true }
func (c *config) read(o *output, line []byte) bool { // it is no line of the log: where it cuts files is nobody's business
	o.answered = true
	if m := repositoryID.FindSubmatch(line); m != nil {
		c.id = string(m[1])
	}
	if m := polynomial.FindSubmatch(line); m != nil {
		c.cuts = string(m[1])
	}
	return true
}

var (
	repositoryID = regexp.MustCompile(`"id": ?"([0-9a-f]{64})"`)
	polynomial   = regexp.MustCompile(`"chunker_polynomial": ?"([0-9a-f]{1,20})"`)
)

// Backup makes a snapshot and looks it up in the repository. Cancelling ctx
// interrupts it; see [Ending] for what is left then. It ends Succeeded only with
// a snapshot that restic named.
func (b Binary) Backup(ctx context.Context, place Place, repository Repository, backup Backup, sink Sink) Ending {
	if share := backup.share(); share != "" && backup.ShadowOnly {
		why := fmt.Sprintf("%.200q is a share of the network, of which Windows makes no shadow copy, and nothing is to be saved without one: "+
			"back it up on the machine that has it, or let this source group read the files themselves", share)
		sink.Line(topics.Error, why)
		return failed(topics.CauseShadowCopy, errors.New(why))
	}
	e := b.patient(ctx, place, repository, topics.SharedLock, backup.RetryLock, sink, func() Ending {
		return b.run(ctx, place, repository, backup, sink)
	})
	if why := e.Message; e.State == topics.Failed && e.Cause == topics.CauseShadowCopy && backup.mayRead() && ctx.Err() == nil {
		// No volume gets one, which is more than restic goes on without.
		sink.Line(topics.Warn, why+": the files themselves are read")
		backup.LiveFiles = true
		if e = b.run(ctx, place, repository, backup, sink); e.State == topics.Succeeded {
			e.State, e.Cause, e.Message = topics.Warnings, topics.CauseShadowCopy, why
		}
	}
	if e.SnapshotID == "" {
		return e
	}
	// A cancel comes too late now, the snapshot is there.
	t := b.Timing.orDefault()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.Confirm)
	defer cancel()
	held := &hold{Sink: sink}
	list := b.Snapshots(ctx, place, repository, Snapshots{ID: e.SnapshotID}, held)
	switch {
	case list.State != topics.Succeeded:
		held.release()
		sink.Line(topics.Warn, "the new snapshot could not be looked up: "+list.Message)
		if len(e.SnapshotID) == 64 {
			e.Snapshot = &topics.Snapshot{
				ID:    e.SnapshotID,
				Time:  time.Now().UnixMilli(),
				Host:  backup.Host,
				Paths: slices.Clone(backup.Paths),
				Tags:  slices.Clone(backup.Tags),
			}
		}
	case len(list.Report.Snapshots) == 0:
		e.State, e.Cause = topics.Failed, topics.CauseDamaged
		e.Message = "restic says it saved snapshot " + e.SnapshotID + ", but the repository does not list it"
		sink.Line(topics.Error, e.Message)
	default:
		e.Snapshot = &list.Report.Snapshots[0]
		sink.Line(topics.Info, "snapshot "+e.Snapshot.ID[:8]+" saved")
	}
	return e
}

// share is the first path on Windows that is one of a share, "" if none is: restic reads the
// files of those as they are, and does not say so.
func (b Backup) share() string {
	for _, p := range b.Paths {
		at := strings.ToUpper(strings.ReplaceAll(p, "/", `\`))
		if b.windows() && (strings.HasPrefix(at, `\\?\UNC\`) || strings.HasPrefix(at, `\\`) && !strings.HasPrefix(at, `\\?\`)) {
			return p
		}
	}
	return ""
}

// mayRead reports whether the files themselves may be read where no shadow copy is made.
func (b Backup) mayRead() bool { return b.windows() && !b.LiveFiles && !b.ShadowOnly }

// Exists looks whether the repository is there and opens with its password.
// Succeeded is yes, and Cause CauseNoRepository is no; everything else is no
// answer. It does not wait for a server longer than Timing.Open.
func (b Binary) Exists(ctx context.Context, place Place, repository Repository, sink Sink) Ending {
	ctx, cancel := context.WithTimeout(ctx, b.Timing.orDefault().Open)
	defer cancel()
	held := &hold{Sink: sink}
	e := b.run(ctx, place, repository, &config{}, held)
	if e.Cause != topics.CauseNoRepository { // no failure yet, whoever asked decides
		held.release()
	}
	return e
}

// Init makes the repository, which cuts files where like does, if that is given: data that is
// in both is copied as it is then. Once begun it is not interrupted for Timing.Open after ctx
// has ended: half a repository is worse than one that nobody needs.
func (b Binary) Init(ctx context.Context, place Place, repository Repository, like *Repository, sink Sink) Ending {
	if ctx.Err() != nil {
		return Ending{State: topics.Cancelled, Cause: topics.CauseCancelled, Message: "cancelled before restic was started"}
	}
	own, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(b.Timing.orDefault().Open, func() { stop(context.Cause(ctx)) })
	})()
	return b.run(own, place, repository, initialisation{like: like}, sink)
}

// Ensure sees to it that the repository is there. If there is none, it asks may, which
// says Succeeded or why none is made, and makes one. It does not mind if another host was
// quicker. Succeeded means that it is there and opens.
func (b Binary) Ensure(ctx context.Context, place Place, repository Repository, may func() Ending, sink Sink) Ending {
	return b.EnsureLike(ctx, place, repository, nil, may, sink)
}

// EnsureLike is Ensure for a repository that is to cut files where another one does, see Init.
func (b Binary) EnsureLike(ctx context.Context, place Place, repository Repository, like *Repository, may func() Ending, sink Sink) Ending {
	e := b.Exists(ctx, place, repository, sink)
	if e.Cause != topics.CauseNoRepository {
		return e
	}
	if no := may(); no.State != topics.Succeeded {
		sink.Line(topics.Error, e.Message)
		sink.Line(topics.Error, no.Message)
		return no
	}
	sink.Line(topics.Info, "there is no repository yet")
	if e, there := b.remains(ctx, place, repository, sink); there || e.State != topics.Succeeded {
		if !there {
			sink.Line(topics.Error, e.Message)
		}
		return e
	}
	e = b.Init(ctx, place, repository, like, sink)
	if e.State == topics.Failed && (strings.Contains(e.Message, "config file already exists") || strings.Contains(e.Message,
		"config already initialized")) {
		return b.Exists(ctx, place, repository, sink)
	}
	if _, local := repository.storage().(folder); e.State == topics.Succeeded && !local {
		e = b.opens(ctx, place, repository, sink)
	}
	e = refused(e)
	if e.State == topics.Succeeded {
		e.Result = &topics.Result{Made: true}
	}
	return e
}

// hold keeps the lines of a run back until it is known whether they matter. It
// keeps the first 64.
type hold struct {
	Sink
	lines []topics.Line
}

func (h *hold) Line(level topics.Level, text string) {
	if len(h.lines) < 64 {
		h.lines = append(h.lines, topics.Line{Level: level, Text: text})
	}
}

func (h *hold) release() {
	for _, l := range h.lines {
		h.Sink.Line(l.Level, l.Text)
	}
}
