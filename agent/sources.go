package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/agent/spool"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/patterns"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// A source is a path of a source group as it was found when its backup began. Restic
// keeps a symbolic link that is named itself as a link, so it is given where the path
// leads; that is also what the policy was asked about.
type source struct {
	topics.Source
	real    string       // where it leads; of one that is not there, as far as it does
	missing error        // why restic is not given it
	linked  []topics.Own // the agent's own files below it under a second name
}

// sources follows a group's paths, and refuses those that lead out of where the policy
// lets backups read.
func (p Policy) sources(state string, paths []string) ([]source, error) {
	var all []source
	for _, path := range paths {
		s := source{Source: topics.Source{Path: path}}
		s.real, s.missing = lead(path)
		if s.missing != nil {
			if s.Empty = topics.MissingSource; errors.Is(s.missing, fs.ErrPermission) {
				s.Empty = topics.ClosedSource
			}
		}
		if clean := filepath.Clean(path); s.real != clean && !sameSpelt(s.real, clean) {
			s.Read = s.real
		}
		if err := p.reads(state, s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// sameSpelt reports whether two paths of Windows are spellings of one.
func sameSpelt(a, b string) bool {
	return runtime.GOOS == "windows" && strings.EqualFold(location.Native(runtime.GOOS, a), location.Native(runtime.GOOS, b))
}

// reads says why a source is not to be read.
func (p Policy) reads(state string, s source) error {
	if p.managed() || s.missing != nil && !errors.Is(s.missing, fs.ErrNotExist) {
		return nil
	}
	if !leads(s.real, p.BackupRoots) {
		return forbid("%.200q leads to %.200q, outside of what this host lets backups read.", s.Path, s.real)
	}
	if _, ours := holds(ownDirectories(state, nil, location.Address{}), s.real); ours {
		return forbid("%.200q leads to the agent's own keys, and no backup reads them.", s.Path)
	}
	return nil
}

// maxLinks is how many symbolic links a path may lead through.
const maxLinks = 100

// lead follows every symbolic link of a path. If there is nothing where it leads, the
// error says so and is fs.ErrNotExist; the path is then where that would be.
func lead(path string) (string, error) {
	if runtime.GOOS == "windows" {
		path = location.Native(runtime.GOOS, path)
		if why := misspelt(path); why != "" {
			return path, errors.New(why)
		}
	}
	path = filepath.Clean(path)
	for range maxLinks {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			if real, err = junction(real); err == nil {
				return location.Native(runtime.GOOS, real), nil
			}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return path, err
		}
		next, dangling := dangles(path)
		if !dangling {
			return next, fmt.Errorf("%w", fs.ErrNotExist)
		}
		path = next
	}
	return path, errors.New("too many links")
}

// dangles resolves what there is of a path that does not exist. If a link on the way is
// what leads nowhere, it returns the path with that link followed, and true.
func dangles(path string) (next string, dangling bool) {
	rest := ""
	for {
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(path)
			if err != nil {
				return filepath.Join(path, rest), false
			}
			if !filepath.IsAbs(to) {
				to = filepath.Join(filepath.Dir(path), to)
			}
			return filepath.Join(to, rest), true
		}
		parent := filepath.Dir(path)
		if parent == path {
			return filepath.Join(path, rest), false
		}
		rest = filepath.Join(filepath.Base(path), rest)
		if real, err := filepath.EvalSymlinks(parent); err == nil {
			return filepath.Join(real, rest), false
		}
		path = parent
	}
}

// words says what is with a source that is not there.
func (s source) words() string {
	about := fmt.Sprintf("%.200q", s.Path)
	if s.Read != "" {
		about += fmt.Sprintf(" leads to %.200q, which", s.Read)
	}
	var path *fs.PathError
	switch {
	case errors.Is(s.missing, fs.ErrNotExist):
		return about + " does not exist"
	case errors.As(s.missing, new(ownSource)):
		return about + " " + s.missing.Error()
	case errors.As(s.missing, &path):
		return about + " cannot be read: " + path.Err.Error()
	}
	return about + " cannot be followed: " + s.missing.Error()
}

// empty says why nothing of a source was saved.
func (s source) empty() string {
	about := fmt.Sprintf("%.200q", or(s.Read, s.Path))
	switch s.Empty {
	case topics.MissingSource, topics.ClosedSource, topics.OwnSource:
		return s.words()
	case topics.OnlyOwn:
		return about + " holds nothing but what no backup saves: its own repository, or the agent's files"
	case topics.EmptyDirectory:
		return about + " is an empty directory"
	case topics.AllExcluded:
		return "the patterns leave out everything in " + about
	case topics.SpecialFile:
		return about + " is a FIFO, a socket or a device, which has no content to save"
	}
	return about + " holds no file, at most directories and links"
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// look finds the sources of a backup after the hooks before it, which may have mounted
// them, and compares them with the last time. An ending that is not Succeeded is the
// job's.
func (w work) look(ctx context.Context) ([]source, restic.Ending) {
	fail := func(cause topics.Cause, message string) ([]source, restic.Ending) {
		w.out.Line(topics.Error, message)
		return nil, restic.Ending{State: topics.Failed, Cause: cause, Message: message}
	}
	policy, err := LoadPolicy(w.state)
	if err != nil {
		return fail(topics.CausePolicy, err.Error())
	}
	found, err := policy.sources(w.state, w.Run.Group.Paths)
	if err != nil {
		return fail(topics.CausePolicy, err.Error())
	}
	known, err := w.journal.Sources(w.Run.Group.ID)
	if err != nil {
		w.log.Error("what is known of the sources cannot be read", "job", w.Job, "err", err)
	}
	there, cause, all := 0, topics.CauseSourceMissing, w.own()
	var why []string
	for i := range found {
		s := &found[i]
		if o, ours := holds(all, s.real); s.missing == nil && ours {
			s.missing, s.Empty = ownSource{o}, topics.OwnSource
		}
		if s.missing == nil && ofProcesses(s.real) {
			s.missing, s.Empty = ownSource{own{dir: s.real, what: ofKernel}}, topics.OwnSource
		}
		if s.missing == nil {
			s.linked = secondNames(ctx, w.state, []string{s.real})
			if slices.ContainsFunc(s.linked, func(o topics.Own) bool { return o.Path == s.real }) {
				s.missing, s.Empty = ownSource{own{dir: s.real, what: topics.OwnAgent}}, topics.OwnSource
			}
		}
		if s.missing != nil {
			why = append(why, s.words())
			switch {
			case errors.As(s.missing, new(ownSource)):
				if cause == topics.CauseSourceMissing {
					cause = topics.CauseUsage
				}
			case !errors.Is(s.missing, fs.ErrNotExist):
				cause = topics.CauseUnreadable
			}
			w.out.Line(topics.Warn, s.words()+", skipping")
			continue
		}
		there++
		if last, seen := known[s.Path]; seen && last.Read != s.real {
			s.Was = last.Read
			w.out.Line(topics.Warn, fmt.Sprintf("%q leads to %q; in the last backup it led to %q", s.Path, s.real, s.Was))
		} else if s.Read != "" {
			w.out.Line(topics.Info, fmt.Sprintf("%q leads to %q, which is what is read", s.Path, s.Read))
		}
	}
	if there == 0 {
		return fail(cause, list(why))
	}
	return found, restic.Ending{State: topics.Succeeded}
}

// own lists what no backup of this job saves.
func (w work) own() []own {
	address, _ := location.ParseHere(w.Run.Repository.URL.Reveal()) // one that is not understood is nowhere here
	return ownDirectories(w.state, []string{w.place.CacheDir, w.place.TempDir}, address)
}

// given returns what restic is told to read and what a group leaves out, and what of
// ours is left out besides.
func (w work) given(found []source) (paths, excludes []string, out []topics.Own) {
	group := w.Run.Group
	var leads []patterns.Lead
	for _, s := range found {
		if s.missing != nil {
			continue
		}
		if !slices.Contains(paths, s.real) {
			paths = append(paths, s.real)
		}
		if s.Read != "" {
			leads = append(leads, patterns.Lead{From: s.Path, To: s.Read})
		}
		out = append(out, s.linked...)
	}
	return paths, patterns.Led(group.Excludes, runtime.GOOS == "windows", leads), append(leftOut(w.own(), paths), out...)
}

// judge decides how a backup ended by what it saved of its sources.
func (w work) judge(f *topics.Finished, found []source) {
	if f.Summary == nil || f.State != topics.Succeeded && f.State != topics.Warnings {
		return
	}
	var missing, moved, hollow []string
	for _, s := range found {
		if s.missing != nil {
			missing = append(missing, s.words())
		}
		if s.Was != "" {
			moved = append(moved, fmt.Sprintf("%.200q leads to %.200q; in the last backup it led to %.200q", s.Path, s.real, s.Was))
		}
	}
	files, unread := f.Summary.TotalFiles, f.Cause == topics.CauseUnreadable
	if files == 0 || len(found) > 1 {
		known, _ := w.journal.Sources(w.Run.Group.ID) // a failure was logged before
		w.inspect(found, files == 0)
		for _, s := range found {
			if s.Empty == "" {
				continue
			}
			if level := topics.Warn; s.missing == nil {
				if w.Run.Group.AllowEmpty {
					level = topics.Info
				}
				w.out.Line(level, s.empty())
			}
			if files == 0 || s.missing == nil && s.Empty != topics.OnlyOwn && known[s.Path].Held {
				hollow = append(hollow, s.empty())
			}
		}
	}
	f.Summary.Unreadable += uint64(len(missing))
	warn := func(cause topics.Cause, message string) {
		f.State, f.Cause, f.Message = topics.Warnings, cause, message
	}
	switch {
	case files == 0 && unread: // a failure, whether it may be empty or not
	case files == 0 && !w.Run.Group.AllowEmpty:
		warn(topics.CauseEmptySource, "The snapshot holds no file: "+list(hollow)+".")
	case unread:
	case len(missing) > 0:
		warn(topics.CauseUnreadable, list(missing))
	case len(hollow) > 0 && !w.Run.Group.AllowEmpty:
		warn(topics.CauseEmptySource, "Nothing of a source was saved that held files before: "+list(hollow)+".")
	case len(moved) > 0:
		warn(topics.CauseSourceMoved, list(moved))
	}
	if _, _, out := w.given(found); len(out) > 0 {
		f.Summary.Own = out[:min(len(out), topics.MaxSources)]
	}
	for _, s := range found {
		if s.Source != (topics.Source{Path: s.Path}) && len(f.Summary.Sources) < topics.MaxSources {
			f.Summary.Sources = append(f.Summary.Sources, s.Source)
		}
	}
	*f = protocol.Judge(*f, protocol.Standard{AllowEmpty: w.Run.Group.AllowEmpty})
}

// list joins reasons, the first three of them.
func list(all []string) string {
	const most = 3
	more := ""
	if n := len(all) - most; n > 0 {
		all, more = all[:most], fmt.Sprintf("; and %d more", n)
	}
	return strings.Join(all, "; ") + more
}

// keep remembers where the sources of a backup led and which of them held files, if it
// made a snapshot.
func (r *runner) keep(group topics.SourceGroupID, found []source, end topics.Finished) {
	if end.Snapshot == nil || len(found) == 0 {
		return
	}
	known, err := r.journal.Sources(group)
	if err == nil {
		next := map[string]spool.Source{}
		for _, s := range found {
			switch last, seen := known[s.Path]; {
			case s.missing == nil:
				next[s.Path] = spool.Source{Read: s.real, Held: last.Held || s.Empty == ""}
			case seen:
				next[s.Path] = last
			}
		}
		err = r.journal.PutSources(group, next)
	}
	if err != nil {
		r.log.Error("what was found of the sources cannot be kept", "group", group, "err", err)
	}
}

// Bounds of an inspection: a tree beyond them is taken to hold a file.
const (
	maxEntries  = 20_000
	maxInspect  = 10 * time.Second
	entriesRead = 200 // at once
)

// inspect finds out why nothing was saved of a source. Of some whose backup saved
// anything it looks for the first file; if none saved anything, each is given a reason.
func (w work) inspect(found []source, nothing bool) {
	_, excludes, out := w.given(found)
	ctx, cancel := context.WithTimeout(context.Background(), maxInspect)
	defer cancel()
	i := inspection{
		excludes: patterns.Parse(excludes, runtime.GOOS == "windows"), stays: w.Run.Group.OneFileSystem, left: maxEntries, ctx: ctx,
		own: map[string]bool{},
	}
	for _, o := range out {
		i.own[o.Path] = true
	}
	for n := range found {
		s := &found[n]
		if s.missing != nil {
			continue
		}
		if s.Empty = i.empty(s.real); s.Empty == "" && nothing {
			s.Empty = topics.NoFiles
		}
	}
}

type inspection struct {
	excludes patterns.List
	own      map[string]bool // paths among them that no backup saves
	stays    bool            // on the file system of each source
	left     int             // entries that may be looked at
	ctx      context.Context
}

// empty says why restic saves no file of a path, "" if it saves one, or if that was
// not found out.
func (i *inspection) empty(path string) string {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return ""
	case i.excludes.Excludes(path) != "":
		return topics.AllExcluded
	case info.Mode().IsRegular():
		return ""
	case !info.IsDir():
		return topics.SpecialFile
	}
	disk, entries, excluded, own := device(info), 0, 0, 0
	for dirs := []string{path}; len(dirs) > 0; {
		at := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		dir, err := os.Open(at)
		if err != nil {
			return ""
		}
		for err == nil {
			var some []fs.DirEntry
			some, err = dir.ReadDir(entriesRead)
			for _, e := range some {
				entries++
				if i.left--; i.left < 0 || i.ctx.Err() != nil {
					dir.Close()
					return ""
				}
				below := filepath.Join(at, e.Name())
				if i.own[below] {
					own++
					continue
				}
				if i.excludes.Excludes(below) != "" {
					excluded++
					continue
				}
				switch {
				case e.Type().IsRegular():
					dir.Close()
					return ""
				case e.IsDir():
					if info, err := e.Info(); err == nil && (!i.stays || device(info) == disk) {
						dirs = append(dirs, below)
					}
				}
			}
		}
		dir.Close()
		if !errors.Is(err, io.EOF) {
			return ""
		}
	}
	switch {
	case entries == 0:
		return topics.EmptyDirectory
	case own > 0 && excluded == 0:
		return topics.OnlyOwn
	case excluded > 0:
		return topics.AllExcluded
	}
	return topics.NoFiles
}
