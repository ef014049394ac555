package restoring

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// A fate is what becomes of an entry of the selection.
type fate byte

const (
	fresh    fate = 'n' // nothing is there
	over     fate = 'o' // it goes over what is there
	same     fate = 'u' // it is there already
	kept     fate = 'k' // what is there stays
	folder   fate = 'D' // a folder that is not there
	replaced fate = 'r' // one at whose place there is something else, which goes
	standing fate = 'd' // a folder that is there
	above    fate = 'A' // a folder above an item, which is there
	made     fate = 'a' // one that is not
)

var planned = map[fate]string{fresh: topics.PlanNew, over: topics.PlanOverwrite, same: topics.PlanUnchanged, kept: topics.PlanKeep}

// An entry is one of the record: an entry of the selection and what is at its place.
type entry struct {
	Fate fate       `json:"f"`
	Path string     `json:"p"` // of the snapshot
	Type string     `json:"t,omitempty"`
	Size uint64     `json:"s,omitempty"`
	Time int64      `json:"m,omitempty"` // when a file that is to be written was changed, in ns
	Was  *ownership `json:"w,omitempty"` // of what is there and stays
}

type hardLink struct {
	inode, size uint64
	time        int64
}

// maxSeen bounds what is kept of one dry run, to be able to say what changed since.
const maxSeen = 16 << 20

// look compares a selection with what is at its place.
type look struct {
	r      *restoring
	mode   string
	hash   hash.Hash
	seen   bytes.Buffer // a line for each thing that is there, while there is room
	absent string       // a folder that is not there or no folder, with a slash: nothing below it is there

	matched, bytes, need uint64
	counts               [256]uint64 // by fate
	there                int         // files at places of files
	firstThere           string
	inTheWay             string   // a place of a folder that is none
	under                string   // a place of a file at which there is a folder that does not go
	linkAbove            string   // one of a folder above an item
	through              string   // a place of a file at which there is what restic before 0.17 would write through
	own                  string   // a place among the agent's own files
	blocked              []string // those, as the snapshot names them
	unmatched            int      // items
	firstGone            string
	aboves               map[string]bool
	inodes               map[hardLink]bool
	notable, others      []topics.Planned
}

// begin writes down what is asked for, and what is in the target beside that.
func (l *look) begin() {
	l.hash, l.aboves = sha256.New(), map[string]bool{}
	o := l.r.Operation
	asked := fmt.Sprintf("2 %q %q %q %t %t", l.r.Of, l.r.target, l.mode, o.NoOwners, o.InPlace)
	for _, one := range l.r.runs {
		asked += fmt.Sprintf(" %q %q", one.snapshot, one.named)
	}
	l.saw("", asked)
	if !o.InPlace && l.r.dirs {
		l.entries(l.r.target)
	}
}

// saw adds something that is there.
func (l *look) saw(path string, what string) {
	line := fmt.Sprintf("%q %s\n", path, what)
	l.hash.Write([]byte(line))
	if l.seen.Len()+len(line) <= maxSeen {
		l.seen.WriteString(line)
	}
}

// entries adds the names in a folder that is there: a file that comes into it is seen,
// whether the restore would meet it or not. In place the folders are in use, and only
// what the restore would meet counts.
func (l *look) entries(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		l.saw(dir, "closed")
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	slices.Sort(names)
	for _, name := range names {
		l.saw(filepath.Join(dir, name), "there")
	}
}

// above looks at the folders between the target and an item: restic makes them, or gives
// those that are there what they had in the snapshot.
func (l *look) above(item string, selected []string) {
	var parts []string
	for p := path.Dir(item); p != "/" && p != "."; p = path.Dir(p) {
		if slices.ContainsFunc(selected, func(s string) bool { return p == s || strings.HasPrefix(p, s+"/") }) {
			return // the listing has it
		}
		parts = append(parts, p)
	}
	missing := false
	for _, p := range slices.Backward(parts) {
		if l.aboves[p] {
			continue
		}
		l.aboves[p] = true
		at := place(l.r.target, p)
		info, err := os.Lstat(at)
		switch missing = missing || err != nil; {
		case missing:
			l.r.record.add(entry{Fate: made, Path: p})
		case !info.IsDir():
			l.linkAbove, missing = at, true
			l.blocked = append(l.blocked, p+"/")
			l.saw(at, words(info))
		default:
			l.r.record.add(entry{Fate: above, Path: p, Was: ownershipAt(at, info)})
		}
	}
}

// node looks at the place of an entry.
func (l *look) node(one *run, n restic.Node) {
	at := place(l.r.target, n.Path)
	if l.own == "" && l.r.ours(at) {
		l.own = at
	}
	var info fs.FileInfo
	if l.absent == "" || !strings.HasPrefix(n.Path, l.absent) {
		l.absent = ""
		if l.r.empty {
			l.absent = "/" // nothing at all is there
		} else if !slices.ContainsFunc(l.blocked, func(p string) bool { return strings.HasPrefix(n.Path, p) }) {
			info = lookAt(at)
		}
	}
	if n.Type == "dir" {
		l.dir(one, n, at, info)
		return
	}
	l.matched++
	f := l.fate(n, info)
	l.counts[f]++
	if info != nil {
		if l.there++; l.firstThere == "" {
			l.firstThere = at
		}
		l.saw(at, words(info))
		if l.through == "" && f == over && n.Type == "file" && !info.IsDir() &&
			(!info.Mode().IsRegular() || namesOf(info) > 1 || ambiguous(n.Path)) {
			l.through = at
		}
		if l.under == "" && f == over && info.IsDir() && !l.goes(n, at) {
			l.under = at
		}
	}
	if f == fresh || f == over {
		one.due++
		one.bytes += n.Size
		l.bytes += n.Size
		l.r.sampled.add(n)
		if link := (hardLink{n.Inode, n.Size, n.ModTime.UnixNano()}); n.Type != "file" || n.Inode == 0 || !l.inodes[link] {
			size := (n.Size + 4095) &^ 4095
			if info != nil && info.Mode().IsRegular() {
				size -= min(size, uint64(max(info.Size(), 0)))
			}
			l.need += size
			if n.Inode != 0 && len(l.inodes) < 1<<20 {
				l.inodes[link] = true
			}
		}
	}
	e := entry{Fate: f, Path: n.Path, Type: n.Type, Size: n.Size}
	if n.Type == "file" && (f == fresh || f == over) {
		e.Time = n.ModTime.UnixNano()
	}
	if f == same && (l.mode == "always" || l.mode == "if-changed") && !l.stays(n.Type) { // its owner and rights are set all the same
		e.Was = ownershipAt(at, info)
	}
	l.r.record.add(e)
	if !l.r.Operation.DryRun {
		return
	}
	if p := (topics.Planned{Action: planned[f], Path: at, Size: n.Size}); f == over || f == kept {
		l.note(p)
	} else if len(l.others) < topics.MaxListed {
		l.others = append(l.others, p)
	}
}

// note adds to the plan what meets something.
func (l *look) note(p topics.Planned) {
	if len(l.notable) < topics.MaxListed {
		l.notable = append(l.notable, p)
	}
}

func (l *look) dir(one *run, n restic.Node, at string, info fs.FileInfo) {
	if info != nil && info.IsDir() {
		if !l.r.Operation.InPlace {
			l.entries(at)
		}
		l.saw(at, "folder")
		l.r.record.add(entry{Fate: standing, Path: n.Path, Was: ownershipAt(at, info)})
		return
	}
	f := folder
	if info != nil {
		f, l.inTheWay = replaced, at
		l.saw(at, words(info))
		l.counts[replaced]++
		if l.r.Operation.DryRun {
			l.note(topics.Planned{Action: topics.PlanOverwrite, Path: at})
		}
	}
	if l.absent == "" {
		l.absent = n.Path + "/"
	}
	one.folders++
	l.counts[folder]++
	l.need += 4096
	l.r.record.add(entry{Fate: f, Path: n.Path})
}

// stays reports whether this restic writes no entry of a type over what is there, whatever
// that is: it fails for want of removing it first.
func (l *look) stays(kind string) bool {
	v := l.r.Binary.Version
	switch kind {
	case "symlink":
		return !v.Has(since.OverLinks)
	case "fifo", "dev", "chardev":
		return !v.Has(since.OverPipes)
	}
	return false
}

// goes reports whether this restic removes a folder that is in the way of an entry: an empty
// one, and for a file from 0.17 on.
func (l *look) goes(n restic.Node, at string) bool {
	return isEmpty(at) && (n.Type != "file" || l.r.Binary.Version.Has(since.Overwrite))
}

// fate is what restic 0.17 and newer do with an entry, and what older ones do or are made to
// do.
func (l *look) fate(n restic.Node, info fs.FileInfo) fate {
	if info == nil {
		return fresh
	}
	at := info.ModTime().UnixNano()
	alike := n.ModTime.UnixNano() == at && (n.Type == "file" && info.Mode().IsRegular() && n.Size == uint64(info.Size()) ||
		n.Type == "symlink" && info.Mode()&fs.ModeSymlink != 0 || n.Type == "fifo" && info.Mode()&fs.ModeNamedPipe != 0)
	switch {
	case l.mode == "always" && l.stays(n.Type) && alike:
		return same
	case l.mode == "always" && l.stays(n.Type):
		return kept
	case alike && (l.mode != "always" || l.r.Binary.Version.Has(since.Overwrite)):
		return same
	case l.mode == "never", l.mode == "if-newer" && n.ModTime.UnixNano() <= at:
		return kept
	}
	return over
}

func (l *look) end() { l.inodes = nil }

func (l *look) digest() string { return hex.EncodeToString(l.hash.Sum(nil)) }

// plan lists first what meets something.
func (l *look) plan() []topics.Planned {
	all := slices.Concat(l.notable, l.others)
	return all[:min(len(all), topics.MaxListed)]
}

// missing says what matched nothing.
func (l *look) missing() string {
	switch {
	case l.unmatched == 1:
		return "the snapshot holds no " + l.firstGone
	default:
		return fmt.Sprintf("the snapshots hold nothing of %d items, the first is %s", l.unmatched, l.firstGone)
	}
}

// words tells one state of a file from another. A file can be given the time it had before
// it was changed; the moment of its last change, where the system has one, nobody can set.
func words(info fs.FileInfo) string {
	return fmt.Sprintf("%s %d %d %d", info.Mode().Type(), info.Size(), info.ModTime().UnixNano(), changed(info))
}

// lookAt returns what is at a path, nil for nothing. restic lists a name that is not UTF-8
// with other characters in it: then what is there under a name that would be listed so counts.
func lookAt(at string) fs.FileInfo {
	info, err := os.Lstat(at)
	if err == nil {
		return info
	}
	if !strings.ContainsRune(at, utf8.RuneError) {
		return nil
	}
	return lookIn("/", strings.Split(strings.TrimPrefix(filepath.ToSlash(at), "/"), "/"))
}

// lookIn returns what is first found in a directory by names as they are listed.
func lookIn(dir string, names []string) fs.FileInfo {
	for _, name := range listedAs(dir, names[0]) {
		at := filepath.Join(dir, name)
		if len(names) > 1 {
			if info := lookIn(at, names[1:]); info != nil {
				return info
			}
		} else if info, err := os.Lstat(at); err == nil {
			return info
		}
	}
	return nil
}

// ambiguous reports whether several entries may be listed by a path: restic puts U+FFFD in
// place of what is not UTF-8.
func ambiguous(path string) bool { return strings.ContainsRune(path, utf8.RuneError) }

// listedAs returns the names in a directory that restic lists as this one.
func listedAs(dir, listed string) (names []string) {
	if !ambiguous(listed) {
		return []string{listed}
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	all, _ := d.Readdirnames(-1)
	for _, n := range all {
		if asListed(n) == listed {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// asListed is a name as JSON has it: each byte that is not UTF-8 is one U+FFFD.
func asListed(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strings.Map(func(r rune) rune { return r }, name)
}

// came is what a restore did.
type came struct {
	fresh, over, bytes, failed uint64
	failures                   []topics.Failure
	disowned                   int  // of the failures: what came, but not with the owner it had
	forgiven                   bool // restic named some that are none
}

// disowned reports whether restic says of something it restored that it could not give it
// to its owner: a file system may keep none.
func disowned(why string) bool {
	why = strings.TrimPrefix(strings.ToLower(why), "lchown: ") // of 0.14
	return strings.HasPrefix(why, "lchown ") && slices.ContainsFunc([]string{": operation not permitted", ": permission denied",
		": invalid argument", ": operation not supported", ": function not implemented"},
		func(end string) bool { return strings.HasSuffix(why, end) })
}

// wasThere reports whether restic says that it could not make something because there is
// something.
func wasThere(why string) bool {
	why = strings.TrimSuffix(strings.ToLower(why), ".")
	return strings.HasSuffix(why, "file exists") || strings.HasSuffix(why, "file already exists") // of Windows
}

// after looks what came of what was to be written. restic's word that something failed
// counts; and what is not there failed, if restic went through to the end. If it did not,
// a file came if it has its time, too: restic gives it its whole length when it begins it,
// and its time in the end.
func (l *look) after(at *site, failures []topics.Failure, through bool) (c came) {
	broken := map[string][]int{} // by each beginning that may be the path
	for i, f := range failures {
		whole := f.Path + ": " + f.Why
		for j := len(f.Path); j >= 0 && j < len(whole); {
			broken[whole[:j]] = append(broken[whole[:j]], i)
			next := strings.Index(whole[j+1:], ": ")
			if next < 0 {
				break
			}
			j += 1 + next
		}
	}
	longest, expected := make([]string, len(failures)), make([]bool, len(failures))
	extra := 0
	err := l.r.record.each(func(e entry) error {
		named, bad := e.Path, false
		of, said := broken[named]
		if !said {
			named = place(l.r.target, e.Path)
			of = broken[named]
		}
		for _, i := range of {
			if len(e.Path) > len(longest[i]) {
				longest[i] = e.Path
				expected[i] = (e.Fate == same || e.Fate == kept) && l.stays(e.Type) && wasThere(failures[i].Why)
			}
			why, _ := strings.CutPrefix(failures[i].Path+": "+failures[i].Why, named+": ")
			bad = bad || !disowned(why)
		}
		if e.Fate != fresh && e.Fate != over && e.Fate != replaced {
			return nil
		}
		info := lookAt(place(at.base(), e.Path))
		if e.Fate == replaced {
			if info != nil && info.IsDir() {
				c.over++
			}
			return nil
		}
		there := info != nil && (e.Type != "file" || info.Mode().IsRegular() && uint64(info.Size()) == e.Size &&
			(through || info.ModTime().UnixNano() == e.Time))
		switch {
		case bad:
			c.failed++
		case there && e.Fate == fresh:
			c.fresh++
			c.bytes += e.Size
		case there:
			c.over++
			c.bytes += e.Size
		case through:
			c.failed++
			if extra++; extra <= topics.MaxListed {
				c.failures = append(c.failures, topics.Failure{Path: place(l.r.target, e.Path),
					Why: "restic said nothing, and it is not there as in the snapshot"})
			}
		}
		return nil
	})
	if err != nil {
		c.failures = append(c.failures, topics.Failure{Path: l.r.target, Why: "what came could not be counted: " + err.Error()})
	}
	var others []topics.Failure
	for i, f := range failures {
		if expected[i] {
			continue
		}
		if p := longest[i]; len(p) > len(f.Path) && strings.HasPrefix(f.Path+": "+f.Why, p+": ") {
			f = topics.Failure{Path: p, Why: strings.TrimPrefix(f.Path+": "+f.Why, p+": ")}
		}
		others = append(others, f)
	}
	if n := len(failures) - len(others); n > 0 {
		c.forgiven = true
		l.r.Sink.Line(topics.Info, fmt.Sprintf("left as the dry run would say: %s; restic %s puts no link, FIFO or device over what is there",
			several(n, "item"), l.r.Binary.Version))
	}
	failures = others
	told := map[string]bool{} // restic may say several things of one file; the first is the reason
	failures = slices.DeleteFunc(failures, func(f topics.Failure) bool {
		again := told[f.Path]
		told[f.Path] = true
		return again
	})
	if l.r.Operation.NoOwners { // restic sets them all the same, and the agent gives what came to another
		n := len(failures)
		failures = slices.DeleteFunc(failures, func(f topics.Failure) bool { return disowned(f.Why) })
		c.forgiven = c.forgiven || len(failures) < n
	}
	for _, f := range failures {
		if disowned(f.Why) {
			c.disowned++
		}
	}
	c.failures = append(failures, c.failures...)
	return c
}
