package restic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/topics"
)

// Reasons why there is nothing to list. restic 0.14 succeeds without the snapshot, and
// every version without the directory.
var (
	ErrNoSnapshot  = errors.New("the repository has no snapshot of this ID")
	ErrNoDirectory = errors.New("the snapshot has no directory of this path")
)

// A directory lists one directory of a snapshot.
type directory struct {
	silent
	id, path string
	most     int // entries
	early    func([]topics.Node) bool

	nodes     []topics.Node
	given     int  // how many were given away early
	links     bool // among those that were not
	there     bool // the directory itself
	truncated bool
	missing   bool // the snapshot
}

func (d *directory) args(Version, string) ([]string, error) {
	if err := checkID(d.id); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(d.path, "/") || strings.ContainsRune(d.path, 0) {
		return nil, fmt.Errorf("%.200q is no path as a snapshot names it", d.path)
	}
	return []string{"ls", "--json", "--no-lock", "--", d.id, d.path}, nil
}
func (*directory) words() string        { return "ls" }
func (*directory) answers(Version) bool { return true }

func (d *directory) hear(line string) { d.missing = d.missing || gone(d, line) != "" }

// node is an entry as ls and find print it.
type node struct {
	Struct  text  `json:"struct_type"`
	Name    text  `json:"name"`
	Type    text  `json:"type"`
	Path    text  `json:"path"`
	Size    count `json:"size"`
	Mode    count `json:"mode"`
	ModTime text  `json:"mtime"`
	UID     count `json:"uid"`
	GID     count `json:"gid"`
	User    text  `json:"user"`
	Group   text  `json:"group"`
	Target  text  `json:"linktarget"`
}

// nodeOf reads a line as restic writes it: one flat object, which is read in a tenth of the
// time, or else with encoding/json, leniently.
func nodeOf(line []byte) (n node, err error) {
	plain := flat(line, func(name, value []byte, quoted bool) bool {
		var t *text
		var c *count
		switch string(name) {
		case "struct_type":
			t = &n.Struct
		case "type":
			t = &n.Type
		case "path":
			t = &n.Path
		case "mtime":
			t = &n.ModTime
		case "user":
			t = &n.User
		case "group":
			t = &n.Group
		case "linktarget":
			t = &n.Target
		case "name":
			t = &n.Name
		case "size":
			c = &n.Size
		case "mode":
			c = &n.Mode
		case "uid":
			c = &n.UID
		case "gid":
			c = &n.GID
		default:
			return true
		}
		switch {
		case t != nil && quoted:
			*t = text(value)
		case c != nil && !quoted && len(value) < 20:
			for *c = 0; len(value) > 0; value = value[1:] {
				*c = 10**c + count(value[0]-'0')
			}
		default:
			return false
		}
		return true
	})
	if plain {
		return n, nil
	}
	n = node{}
	return n, json.Unmarshal(line, &n)
}

// flat calls field for each field of a JSON object of texts without escapes and of whole
// numbers alone. It returns false if the line is anything else, or field does.
func flat(line []byte, field func(name, value []byte, quoted bool) bool) bool {
	if !utf8.Valid(line) {
		return false
	}
	line, ok := bytes.CutPrefix(line, []byte(`{"`))
	if !ok {
		return false
	}
	for {
		name, rest, ok := textOf(line)
		if !ok || len(rest) < 3 || rest[0] != ':' {
			return false
		}
		value, quoted := rest[1:], rest[1] == '"'
		if quoted {
			if value, rest, ok = textOf(rest[2:]); !ok {
				return false
			}
		} else {
			digits := 0
			for digits < len(value) && value[digits] >= '0' && value[digits] <= '9' {
				digits++
			}
			if digits == 0 || digits > 1 && value[0] == '0' {
				return false
			}
			value, rest = value[:digits], value[digits:]
		}
		switch {
		case !field(name, value, quoted):
			return false
		case string(rest) == "}":
			return true
		case !bytes.HasPrefix(rest, []byte(`,"`)):
			return false
		}
		line = rest[2:]
	}
}

// textOf cuts a text off at its closing quotation mark. ok is false if it has an escape, or
// what JSON does not allow in a text.
func textOf(b []byte) (text, rest []byte, ok bool) {
	for i, c := range b {
		switch {
		case c == '"':
			return b[:i], b[i+1:], true
		case c == '\\' || c < ' ':
			return nil, nil, false
		}
	}
	return nil, nil, false
}

func (n node) of(o *output) topics.Node {
	out := topics.Node{Path: o.path(n.Path), Type: cut(o.safe(string(n.Type)), 40), Size: uint64(n.Size), Mode: posix(fs.FileMode(n.Mode)),
		UID: uint32(n.UID), GID: uint32(n.GID), User: cut(o.safe(string(n.User)), 255), Group: cut(o.safe(string(n.Group)), 255),
		Target: o.path(n.Target)}
	out.Name = path.Base(out.Path)
	out.Broken = strings.ContainsRune(out.Path, utf8.RuneError)
	if at, err := time.Parse(time.RFC3339Nano, string(n.ModTime)); err == nil {
		out.ModTime = at.UnixMilli()
	}
	return out
}

// posix are the twelve bits of a mode as Go writes it.
func posix(m fs.FileMode) uint32 {
	out := uint32(m.Perm())
	for _, b := range []struct {
		bit fs.FileMode
		is  uint32
	}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}} {
		if m&b.bit != 0 {
			out |= b.is
		}
	}
	return out
}

func (d *directory) read(o *output, line []byte) bool {
	if line[0] != '{' {
		return false
	}
	n, err := nodeOf(line)
	if err != nil {
		return false
	}
	switch {
	case n.Struct == "snapshot":
		o.answered = true
	case n.Struct != "node":
		return false
	case string(n.Path) == d.path:
		d.there = d.there || n.Type == "dir"
	case path.Dir(string(n.Path)) != d.path:
	case d.given+len(d.nodes) >= d.most:
		d.truncated = true
	default:
		d.nodes = append(d.nodes, n.of(o))
		d.links = d.links || n.Type == "symlink"
		d.give()
	}
	return true
}

// atOnce is how many entries of a large directory are given away together.
const atOnce = 500

// give gives entries away while restic lists more, if there are many. A link stays, and all
// behind it: what it leads to is looked up in the end.
func (d *directory) give() {
	if d.early == nil || d.links || len(d.nodes) < atOnce {
		return
	}
	d.early(d.nodes)
	d.given += len(d.nodes)
	d.nodes = nil
}

// Files lists one directory of a snapshot, at most so many entries of it. It says what a
// link leads to, and the names of users and groups where there are links: restic's listing
// has neither in any version, so that those are looked up by a second run of restic. Of a large directory
// it gives entries away early, before it is known how the listing ends, and returns the
// rest; early is nil or does not keep them waiting. It returns ErrNoSnapshot or
// ErrNoDirectory if that is why the ending is no success.
func (b Binary) Files(ctx context.Context, place Place, repository Repository, id, dir string, most int,
	early func([]topics.Node) bool, sink Sink,
) (nodes []topics.Node, truncated bool, e Ending, err error) {
	d := &directory{id: id, path: dir, most: most, there: dir == "/", early: early}
	e = b.run(ctx, place, repository, d, sink)
	switch {
	case d.missing || e.Cause == topics.CauseNoSnapshot:
		return nil, false, e, ErrNoSnapshot
	case e.State != topics.Succeeded:
		return nil, false, e, nil
	case !d.there:
		return nil, false, e, ErrNoDirectory
	}
	if paths := nameless(d.nodes); len(paths) > 0 {
		v := &located{snapshots: []string{id}, paths: paths}
		if again := b.run(ctx, place, repository, v, sink); again.State == topics.Succeeded {
			amend(d.nodes, v.matches)
		} else if ctx.Err() != nil {
			return nil, false, again, nil
		}
	}
	return d.nodes, d.truncated, e, nil
}

// mostAsked is how many bytes of paths a command line has: Windows takes 32 KiB in all.
const mostAsked = 16 << 10

// nameless returns the paths of the links among some entries, and if there are any, of one
// entry of each owner, whose name is looked up on the way.
func nameless(nodes []topics.Node) (paths []string) {
	room := mostAsked
	ask := func(n topics.Node) bool {
		if room -= len(n.Path) + 3; room < 0 || n.Broken {
			return false
		}
		paths = append(paths, n.Path)
		return true
	}
	owners := map[[2]uint32]bool{}
	for _, n := range nodes {
		if n.Type == "symlink" && ask(n) {
			owners[[2]uint32{n.UID, n.GID}] = true
		}
	}
	if len(paths) == 0 {
		return nil
	}
	for _, n := range nodes {
		if owner := [2]uint32{n.UID, n.GID}; n.Type != "dir" && !owners[owner] { // below a directory, find looks at everything
			owners[owner] = ask(n)
		}
	}
	return paths
}

// amend adds what was looked up.
func amend(nodes []topics.Node, found []match) {
	targets, names := map[string]string{}, map[[2]uint32][2]string{}
	for _, m := range found {
		targets[m.Path] = m.Target
		names[[2]uint32{m.UID, m.GID}] = [2]string{m.User, m.Group}
	}
	for i := range nodes {
		n := &nodes[i]
		if n.Type == "symlink" {
			n.Target = targets[n.Path]
		}
		who := names[[2]uint32{n.UID, n.GID}]
		n.User, n.Group = who[0], who[1]
	}
}

// A located looks for paths in some snapshots.
type located struct {
	silent
	snapshots []string // none are all
	paths     []string
	matches   []match
	named     int // of matches, how many know their snapshot: it is said after them
}

type match struct {
	topics.Node
	snapshot string
}

func (f *located) args(Version, string) ([]string, error) {
	args := []string{"find", "--json", "--no-lock"}
	for _, id := range f.snapshots {
		if err := checkID(id); err != nil {
			return nil, err
		}
		args = append(args, "--snapshot", id[:min(len(id), 20)])
	}
	args = append(args, "--")
	for _, p := range f.paths {
		if !strings.HasPrefix(p, "/") || strings.ContainsRune(p, 0) {
			return nil, fmt.Errorf("%.200q is no path as a snapshot names it", p)
		}
		args = append(args, literal(p))
	}
	return args, nil
}
func (*located) words() string        { return "find" }
func (*located) depths() []int        { return []int{1, 3} }
func (*located) answers(Version) bool { return true }

func (f *located) read(o *output, line []byte) bool {
	if complete(line) {
		o.answered = true
		return true
	}
	var m struct {
		node
		Snapshot text            `json:"snapshot"`
		Matches  json.RawMessage `json:"matches"`
	}
	if line[0] != '{' || json.Unmarshal(line, &m) != nil {
		return false
	}
	switch {
	case m.Matches != nil:
		for i := range f.matches[f.named:] {
			f.matches[f.named+i].snapshot = hexadecimal(m.Snapshot)
		}
		f.named = len(f.matches)
	case m.Path == "":
		return false
	case len(f.matches) < maxFound:
		for _, p := range f.paths { // what is below a directory matches, too
			if p == string(m.Path) {
				f.matches = append(f.matches, match{Node: m.of(o)})
				break
			}
		}
	}
	return true
}

// Versions looks for one path in some snapshots, by their whole IDs, or in all with none. One
// that is not there is left out.
func (b Binary) Versions(ctx context.Context, place Place, repository Repository, snapshots []string, path string, sink Sink) (
	[]topics.Version, Ending) {
	f := &located{snapshots: snapshots, paths: []string{path}}
	e := b.run(ctx, place, repository, f, sink)
	if e.State != topics.Succeeded {
		return nil, e
	}
	var out []topics.Version
	for _, m := range f.matches[:f.named] {
		if len(m.snapshot) == 64 {
			out = append(out, topics.Version{Snapshot: m.snapshot, Size: m.Size, ModTime: m.ModTime, Type: m.Type})
		}
	}
	return out, e
}
