package agent

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/words"
)

// A sampler chooses what a drill restores of a snapshot, from its listing, one entry after
// the other. It holds no more entries than a few times as many as it chooses. The same
// listing and seed give the same choice.
type sampler struct {
	seed     int64
	snapshot string
	files    int    // at most so many
	bytes    uint64 // at most so much
	most     uint64 // or one file of at most so much, if none takes as little as that

	holds   uint64 // entries seen
	skipped uint64 // that cannot be asked for by their names
	few     candidates
	least   *restic.Node  // the smallest file with content
	large   *restic.Node  // the largest that fits
	empty   *candidate    // an empty file
	bare    []restic.Node // directories that hold nothing, at most two
	last    *restic.Node  // the directory that was seen last, if nothing came after it
}

// A candidate is a file or link with its place in the order that the seed gives.
type candidate struct {
	restic.Node
	order uint64
}

// candidates is a heap whose first is the one to give up first.
type candidates []candidate

func (c candidates) Len() int           { return len(c) }
func (c candidates) Less(i, j int) bool { return c[i].order > c[j].order }
func (c candidates) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)        { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// names reports whether restic can be asked for exactly this entry. What is not UTF-8
// comes as U+FFFD.
func names(p string) bool {
	return strings.HasPrefix(p, "/") && !strings.ContainsRune(p, utf8.RuneError) && !strings.ContainsRune(p, 0) && path.Clean(p) == p
}

func (s *sampler) order(p string) uint64 {
	h := sha256.New()
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(s.seed))
	h.Write(b[:])
	h.Write([]byte(s.snapshot))
	h.Write([]byte(p))
	return binary.BigEndian.Uint64(h.Sum(b[:0]))
}

// see takes the next entry of the listing.
func (s *sampler) see(n restic.Node) {
	s.holds++
	if s.last != nil && !strings.HasPrefix(n.Path, s.last.Path+"/") && len(s.bare) < 2 {
		s.bare = append(s.bare, *s.last)
	}
	s.last = nil
	if !names(n.Path) {
		s.skipped++
		return
	}
	switch n.Type {
	case "dir":
		s.last = &n
		return
	case "symlink":
		n.Size = 0
	case "file":
		if n.Size > 0 && (s.least == nil || n.Size < s.least.Size) {
			s.least = &n
		}
	default:
		return // devices and the like, which only root can make
	}
	if n.Size > s.bytes {
		return
	}
	c := candidate{n, s.order(n.Path)}
	if n.Type == "file" {
		if n.Size > 0 && (s.large == nil || n.Size > s.large.Size) {
			s.large = &n
		}
		if n.Size == 0 && (s.empty == nil || c.order < s.empty.order) {
			s.empty = &c
		}
	}
	most := 4*s.files + 16 // some may not fit beside the others
	switch {
	case len(s.few) < most:
		heap.Push(&s.few, c)
	case c.order < s.few[0].order:
		s.few[0] = c
		heap.Fix(&s.few, 0)
	}
}

// chosen returns the files and links of the sample by their paths, and apart the
// directories: those that hold nothing, and those that the files lie in.
func (s *sampler) chosen() (files, folders []restic.Node) {
	if s.last != nil && len(s.bare) < 2 {
		s.bare = append(s.bare, *s.last)
		s.last = nil
	}
	left, taken := s.bytes, map[string]bool{}
	take := func(n restic.Node) {
		if len(files) < s.files && n.Size <= left && !taken[n.Path] {
			taken[n.Path] = true
			files, left = append(files, n), left-n.Size
		}
	}
	if s.large != nil {
		take(*s.large)
	} else if s.least != nil && s.least.Size <= s.most {
		left = s.most
		take(*s.least)
		left = 0
	}
	if s.empty != nil {
		take(s.empty.Node)
	}
	few := slices.Clone(s.few)
	slices.SortFunc(few, func(a, b candidate) int { return map[bool]int{true: -1, false: 1}[a.order < b.order] })
	for _, c := range few {
		take(c.Node)
	}
	byPath := func(a, b restic.Node) int { return strings.Compare(a.Path, b.Path) }
	slices.SortFunc(files, byPath)
	in := map[string]bool{}
	for _, n := range s.bare {
		in[n.Path] = true
	}
	for _, n := range slices.Concat(files, s.bare) {
		for d := path.Dir(n.Path); d != "/" && !in[d]; d = path.Dir(d) {
			in[d] = true
		}
	}
	for d := range in {
		folders = append(folders, restic.Node{Path: d, Type: "dir"})
	}
	slices.SortFunc(folders, byPath)
	return files, folders
}

// noContent is why a snapshot proves nothing: names come back without one byte of what was
// saved, also of a disk that was not mounted when it was backed up.
const noContent = "it holds no file with content"

// none says why no file with content is among those to choose from: what else comes back
// proves little. It is "" otherwise.
func (s *sampler) none() string {
	switch {
	case s.least == nil && s.skipped > 0:
		return noContent + " whose name can be asked for"
	case s.least == nil:
		return noContent
	case s.least.Size <= max(s.bytes, s.most):
		return ""
	}
	return fmt.Sprintf("the smallest of its files with content takes %s, and the drill may restore %s of it", words.Bytes(s.least.Size),
		words.Bytes(max(s.bytes, s.most)))
}

// asked returns the paths that restic is asked for: the files, and the directories that
// hold nothing. The others come with what is in them.
func (s *sampler) asked(files []restic.Node) []string {
	var out []string
	for _, n := range slices.Concat(files, s.bare) {
		out = append(out, n.Path)
	}
	return out
}

// bytesOf is how much these take.
func bytesOf(files []restic.Node) (sum uint64) {
	for _, n := range files {
		sum += n.Size
	}
	return sum
}
