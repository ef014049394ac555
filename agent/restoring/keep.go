package restoring

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/topics"
)

// listings is the directory below the state for what dry runs keep for the run after them.
const listings = "listings"

// Bounds of what dry runs keep on the host's disk.
const (
	maxListing = 64 << 20  // bytes of one listing, which is for about half a million files
	maxKept    = 192 << 20 // of all
	maxAge     = 24 * time.Hour
)

// A Sweeper keeps listings of snapshots for a while. What a snapshot holds never changes,
// and the run that follows a dry run needs no second listing, which on a large snapshot
// takes minutes.
type Sweeper struct{ Dir string }

// Sweep removes what is old or too much.
func (s *Sweeper) Sweep(now time.Time) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return
	}
	type file struct {
		path string
		size int64
		at   time.Time
	}
	var all []file
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			all = append(all, file{filepath.Join(s.Dir, e.Name()), info.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b file) int { return b.at.Compare(a.at) })
	var total int64
	for _, f := range all {
		if total += f.size; total > maxKept || now.Sub(f.at) > maxAge {
			_ = os.Remove(f.path)
		}
	}
}

// nodes hands the entries of a selection to node, from a kept listing if there is one. A dry
// run keeps what it is told.
func (s *Sweeper) nodes(ctx context.Context, j Job, snapshot string, paths []string, node func(restic.Node)) restic.Ending {
	b := topics.Encode([]any{j.Of, snapshot, paths})
	name := sha256.Sum256(b)
	path := filepath.Join(s.Dir, hex.EncodeToString(name[:])+".nodes")
	if all, err := readNodes(path); err == nil {
		for _, n := range all {
			node(n)
		}
		return restic.Ending{State: topics.Succeeded}
	}
	var to bytes.Buffer
	keep := j.Operation.DryRun
	e := j.Binary.Nodes(ctx, j.Place, j.Repository, snapshot, paths, func(n restic.Node) {
		node(n)
		if keep {
			writeNode(&to, n)
			if keep = to.Len() <= maxListing; !keep {
				to = bytes.Buffer{}
			}
		}
	}, j.Sink)
	if keep && e.State == topics.Succeeded && os.MkdirAll(s.Dir, 0o700) == nil {
		to.WriteString("end\n")
		if os.WriteFile(path+".new", to.Bytes(), 0o600) != nil || os.Rename(path+".new", path) != nil {
			_ = os.Remove(path + ".new") // the run lists again
		}
	}
	return e
}

func writeNode(to *bytes.Buffer, n restic.Node) {
	fmt.Fprintf(to, "%s %d %d %d ", cmp.Or(n.Type, "-"), n.Size, n.ModTime.UnixNano(), n.Inode)
	quoted, _ := json.Marshal(n.Path) // of what was JSON
	to.Write(quoted)
	to.WriteByte('\n')
}

// readNodes reads a kept listing, which is whole or an error.
func readNodes(path string) (all []restic.Node, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err // without an end it is cut off
		}
		if line == "end\n" {
			return all, nil
		}
		var n restic.Node
		fields := strings.SplitN(line, " ", 5)
		if len(fields) != 5 {
			return nil, errors.New("it is damaged")
		}
		n.Type = fields[0]
		var bad [4]error
		var at int64
		n.Size, bad[0] = strconv.ParseUint(fields[1], 10, 64)
		at, bad[1] = strconv.ParseInt(fields[2], 10, 64)
		n.Inode, bad[2] = strconv.ParseUint(fields[3], 10, 64)
		bad[3] = json.Unmarshal([]byte(fields[4]), &n.Path)
		if err := errors.Join(bad[:]...); err != nil {
			return nil, err
		}
		n.ModTime = time.Unix(0, at)
		all = append(all, n)
	}
}

// saw keeps what a dry run saw, to be able to say what has changed since.
func (s *Sweeper) saw(digest string, l *look) {
	if os.MkdirAll(s.Dir, 0o700) == nil {
		_ = os.WriteFile(filepath.Join(s.Dir, digest+".seen"), l.seen.Bytes(), 0o600) // without it the words are fewer
	}
}

// differs says what is not as a dry run saw it.
func (s *Sweeper) differs(digest string, l *look) string {
	const begin = "since the dry run the selection or the target has changed"
	f, err := os.Open(filepath.Join(s.Dir, digest+".seen"))
	if err != nil {
		return begin
	}
	defer f.Close()
	before, err := io.ReadAll(io.LimitReader(f, maxSeen+1))
	if err != nil {
		return begin
	}
	old, now := lines(before), lines(l.seen.Bytes())
	if old.at[""] != now.at[""] {
		return "since the dry run the selection, the target or the way to restore has changed"
	}
	for path := range now.all {
		if was, there := old.at[path]; !there {
			return "since the dry run the target has changed: " + path + " has come"
		} else if was != now.at[path] {
			return "since the dry run the target has changed: " + path + " is another"
		}
	}
	for path := range old.all {
		if _, there := now.at[path]; !there {
			return "since the dry run the target has changed: " + path + " is gone"
		}
	}
	return begin
}

type seen struct {
	text []byte
	at   map[string]string
}

func lines(text []byte) seen {
	s := seen{text, map[string]string{}}
	for path, what := range s.all {
		s.at[path] += what + ";" // a folder names a file, and the file tells of itself
	}
	return s
}

// all yields what was seen, in its order.
func (s seen) all(yield func(path, what string) bool) {
	for line := range bytes.Lines(s.text) {
		quoted, err := strconv.QuotedPrefix(string(line))
		if err != nil {
			continue
		}
		path, err := strconv.Unquote(quoted)
		if err == nil && !yield(path, strings.TrimSpace(string(line[len(quoted):]))) {
			return
		}
	}
}
