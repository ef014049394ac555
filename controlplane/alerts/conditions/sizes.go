package conditions

import (
	"math"
	"slices"

	"github.com/restic-manager/restic-manager/words"
)

// How backups are compared with those before them.
const (
	// Window is how many backups before it one is compared with, and Least how many there
	// must be: what is usual is not known before.
	Window, Least = 30, 8
	// spreads is how many spreads away from the median something is outside of what differs
	// anyhow. Of figures that are spread evenly around it about one in a thousand is.
	spreads = 5
	// tinyFiles and tinyBytes: a group below both differs by anything.
	tinyFiles, tinyBytes = 20, 16 << 20
	// addedBytes and addedPart: less added, by itself or of all that is backed up, is no
	// news however little is usual.
	addedBytes, addedPart = 32 << 20, 0.05
	// mostFiles is the part of the files that is most of them.
	mostFiles = 0.5
)

// Compare says how a figure compares with those before it.
func Compare(is float64, before []float64) Compared {
	c := Compared{Is: is, N: len(before)}
	if len(before) == 0 {
		return c
	}
	c.Median = middle(before)
	off := make([]float64, len(before))
	for i, v := range before {
		off[i] = math.Abs(v - c.Median)
	}
	c.Spread = middle(off)
	return c
}

// middle is the median.
func middle(list []float64) float64 {
	list = slices.Clone(list)
	slices.Sort(list)
	n := len(list)
	if n%2 == 1 {
		return list[n/2]
	}
	return (list[n/2-1] + list[n/2]) / 2
}

// outside reports whether a figure is outside of how much those before it differ. The
// spread of a normal distribution is 1.4826 of the median of how far its values are off.
func (c Compared) outside() bool { return math.Abs(c.Is-c.Median) > spreads*1.4826*c.Spread }

// tiny reports whether the group is so small that nothing follows from a change.
func (s Size) tiny() bool {
	return max(s.Files.Median, s.Files.Is) < tinyFiles && max(s.Bytes.Median, s.Bytes.Is) < tinyBytes
}

// figures are words for a figure and what is usual.
type figures struct{ is, usual, n string }

// small reports whether the backup holds so many percent or less of the files or bytes
// that are usual, outside of how much they differ.
func (s Size) small(percent int64) (w figures, is bool) {
	if s.Files.N < Least || s.tiny() {
		return w, false
	}
	part := float64(percent) / 100
	n := words.Number(uint64(s.Files.N)) + " backups"
	switch {
	case s.Bytes.Median > 0 && s.Bytes.Is <= part*s.Bytes.Median && s.Bytes.outside() && s.Bytes.Median-s.Bytes.Is >= 1<<20:
		return figures{words.Bytes(uint64(s.Bytes.Is)), words.Bytes(uint64(s.Bytes.Median)), n}, true
	case s.Files.Median >= tinyFiles && s.Files.Is <= part*s.Files.Median && s.Files.outside():
		return figures{files(s.Files.Is), files(s.Files.Median), n}, true
	}
	return w, false
}

func files(n float64) string { return words.Count(uint64(n), "file", "files") }

// changed says, if the backup added so many times what is usual, or most of its files are
// new or other at once, in which words.
func (s Size) changed(times int64) (why string, is bool) {
	if s.Files.N < Least || s.tiny() || s.Bytes.Is == 0 {
		return "", false
	}
	part := s.Added.Is / s.Bytes.Is
	// Files that are merely moved, touched or looked at without a snapshot to compare with
	// count as changed, too, and add next to nothing.
	most := s.Files.Is >= tinyFiles && s.Changed.Is > mostFiles*s.Files.Is && s.Changed.Median <= mostFiles*s.Files.Is &&
		s.Changed.outside() && part >= addedPart && s.Added.Is >= 2*s.Added.Median && s.Added.outside()
	much := s.Added.Is >= float64(times)*s.Added.Median && s.Added.outside() && s.Added.Is >= addedBytes && part >= addedPart
	usual := words.Bytes(uint64(s.Added.Median)) + " was usual in the last " + words.Number(uint64(s.Added.N)) + " backups"
	switch {
	case most:
		return words.Number(uint64(s.Changed.Is)) + " of " + files(s.Files.Is) + " are new or other than in the backup before, and " +
			words.Bytes(uint64(s.Added.Is)) + " was added, where " + usual + ". It looks like that when somebody encrypts files.", true
	case much:
		return words.Bytes(uint64(s.Added.Is)) + " was added, where " + usual + ".", true
	}
	return "", false
}

// Odd reports whether the backup is one that somebody may be told of at some threshold:
// only such a one is worth being kept.
func (s Size) Odd() bool {
	_, is := s.changed(1)
	return is
}

// fast reports whether a repository grew so many times as much as usual.
func (c Compared) fast(times int64) bool {
	return c.N >= Least && c.Is >= addedBytes*4 && c.Is >= float64(times)*max(c.Median, 0) && c.outside()
}
