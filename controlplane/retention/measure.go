package retention

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/reviews"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Less is the fraction below which a source group holds far less than before: one part
// in so many of the files or of the bytes.
const Less = 2

// window is how many snapshots say what is usual.
const window = 10

// A Past is what is known of source groups besides the snapshots that exist.
type Past struct {
	Measures map[topics.SourceGroupID]reviews.Measure
	Holds    []reviews.Hold               // those of the plan that waits for a person
	Before   map[topics.SourceGroupID]int // how many snapshots the last completed plan removed
}

func (p Past) hold(group topics.SourceGroupID) (h reviews.Hold, is bool) {
	i := slices.IndexFunc(p.Holds, func(h reviews.Hold) bool { return h.Group == group })
	if i < 0 {
		return h, false
	}
	return p.Holds[i], true
}

func sizeOf(s store.Planned) reviews.Size { return reviews.Size{Files: s.Files, Bytes: s.Bytes} }

// says reports whether a snapshot's size says something of its source group: it does not
// if it is not known, or if it is empty and the group may be.
func says(s store.Planned) bool {
	if s.Files == 0 && s.MayBeEmpty {
		return false
	}
	return s.Told != 0 || s.Files > 0 || s.Bytes > 0
}

// less reports whether one holds far less than another, by files or by bytes.
func less(a, b reviews.Size) bool { return a.Files < (b.Files+1)/Less || a.Bytes < (b.Bytes+1)/Less }

// A fall is what became of the size of a source group.
type fall struct {
	last  int          // the newest snapshot from before it, in the list; -1 if it holds as much as before
	usual reviews.Size // what those before held: the median of the last ten that did not hold far less
	low   int          // how many of the newest hold far less
	again bool         // it held far less before, and came to hold as much again by itself
}

// fallOf follows the size of a source group through its snapshots, newest first. Those
// that hold far less than usual do not become what is usual, however many there are;
// only a person makes them so, by approving a plan.
func fallOf(list []store.Planned, m reviews.Measure) fall {
	f := fall{last: -1}
	var usual []reviews.Size
	if m.Size != (reviews.Size{}) {
		usual = append(usual, m.Size)
	}
	good := -1
	for i := len(list) - 1; i >= 0; i-- {
		s := list[i]
		if !says(s) || s.Time < m.Since {
			continue
		}
		if s.Time > m.Since && len(usual) > 0 && less(sizeOf(s), median(usual)) {
			if f.low++; f.low == 1 {
				f.last, f.usual = good, median(usual)
			}
			continue
		}
		f.again = f.again || f.low > 0
		f.last, f.low, good = -1, 0, i
		if sizeOf(s) != (reviews.Size{}) {
			if usual = append(usual, sizeOf(s)); len(usual) > window {
				usual = usual[1:]
			}
		}
	}
	return f
}

// median returns the medians of files and of bytes: of an even number the lower one.
func median(list []reviews.Size) (m reviews.Size) {
	var files, bytes [window]uint64
	for i, s := range list {
		files[i], bytes[i] = s.Files, s.Bytes
	}
	slices.Sort(files[:len(list)])
	slices.Sort(bytes[:len(list)])
	return reviews.Size{Files: files[(len(list)-1)/2], Bytes: bytes[(len(list)-1)/2]}
}

// pinned says why the last snapshot from before a fall stays.
func (f fall) pinned(newest store.Planned) string {
	return fmt.Sprintf("pinned: the newest from before its source group came to hold far less, %s now and about %s before; "+
		"no rule removes it until that is approved, or the group holds as much again", sizeWords(sizeOf(newest)), sizeWords(f.usual))
}

func sizeWords(s reviews.Size) string {
	return words.Count(s.Files, "file", "files") + " of " + words.Bytes(s.Bytes)
}

// A weight compares what the rules keep of a source group with what they remove.
type weight struct {
	kept    reviews.Size // the most that one of those kept by rules holds
	removed reviews.Size // the most that one holds that is removed, or was since the last approval
	lone    *Verdict     // the only one that holds far more than those kept, if it can stand for all that is removed
	short   bool         // what is kept holds far less
}

// weigh compares those that were witnessed with each other and with what was removed
// before, and those that a host told of afterwards with all that stays: nothing told
// afterwards stands for what was witnessed.
func weigh(keep, remove []Verdict, m reviews.Measure) (list [2]weight) {
	witnessed := func(all []Verdict) []Verdict {
		return slices.DeleteFunc(slices.Clone(all), func(s Verdict) bool { return s.late })
	}
	told := slices.DeleteFunc(slices.Clone(remove), func(s Verdict) bool { return !s.late })
	list[0] = weightOf(witnessed(keep), witnessed(remove), m.Gone(), m.Since)
	list[1] = weightOf(keep, told, reviews.Size{}, m.Since)
	return list
}

func weightOf(keep, remove []Verdict, gone reviews.Size, since int64) (w weight) {
	w.removed = gone
	judged := false
	for _, s := range remove {
		if says(s.Planned) && s.Time >= since {
			w.removed, judged = w.removed.Max(sizeOf(s.Planned)), true
		}
	}
	if !judged {
		return w
	}
	for _, s := range keep {
		if says(s.Planned) && !s.fallen {
			w.kept = w.kept.Max(sizeOf(s.Planned))
		}
	}
	if w.short = less(w.kept, w.removed); !w.short {
		return w
	}
	more := 0
	for _, list := range [][]Verdict{keep, remove} {
		for i, s := range list {
			if says(s.Planned) && s.Time >= since && less(w.kept, sizeOf(s.Planned)) {
				more++
				w.lone = &list[i]
			}
		}
	}
	if more != 1 || less(w.kept.Max(sizeOf(w.lone.Planned)), w.removed) {
		w.lone = nil
	}
	return w
}

// listed leaves out what the repository has not listed yet: that it is there, and what it
// holds, is only said by its host, and nothing is removed because of that.
func listed(list []Verdict) []Verdict {
	return slices.DeleteFunc(slices.Clone(list), func(s Verdict) bool { return !s.Seen })
}

// holds decides of which source groups nothing is removed before a person has looked:
// their snapshots move to Held. It answers with these groups.
func (v *Verdicts) holds(past Past, now time.Time) (list []reviews.Hold) {
	keep, remove := byGroup(listed(v.Keep)), byGroup(v.Remove)
	for _, group := range sorted(remove) {
		h := v.hold(group, keep[group], remove[group], past)
		if len(h.Reasons) == 0 {
			continue
		}
		h.Group, h.Name = group, nameOf(slices.Concat(keep[group], remove[group]))
		if was, is := past.hold(group); is {
			h.Since = was.Since
		} else {
			h.Since = now.UnixMilli()
		}
		for _, s := range remove[group] {
			h.Remove = append(h.Remove, s.ID)
		}
		slices.Sort(h.Remove)
		list = append(list, h)
	}
	if len(list) == 0 {
		return nil
	}
	v.Remove = slices.DeleteFunc(v.Remove, func(s Verdict) bool {
		held := slices.ContainsFunc(list, func(h reviews.Hold) bool { return h.Group == s.SourceGroup })
		if held {
			s.Reasons = append(slices.Clone(s.Reasons), "its source group is held for review")
			v.Held = append(v.Held, s)
		}
		return held
	})
	return list
}

// hold returns why nothing is removed of one source group, without reasons if it is.
func (v *Verdicts) hold(group topics.SourceGroupID, keep, remove []Verdict, past Past) (h reviews.Hold) {
	m, name := past.Measures[group], nameOf(slices.Concat(keep, remove))
	h.Newest, h.NewestAt = newest(slices.Concat(keep, remove))
	h.Reasons = unusual(keep, remove, name, past.Before[group])
	f := v.falls[group]
	weights := weigh(keep, remove, m)
	short := slices.IndexFunc(weights[:], func(w weight) bool { return w.short && w.lone == nil })
	was, known := past.hold(group)
	switch {
	case short >= 0:
		w := weights[short]
		h.Held = w.removed
		h.Reasons = append(h.Reasons, fmt.Sprintf("What stays of %s holds %s at most, and what goes or went held %s.", name,
			sizeWords(w.kept), sizeWords(w.removed)))
	case f.low > 0 && (f.low > 1 || !f.again) && slices.ContainsFunc(remove, func(s Verdict) bool {
		return says(s.Planned) && s.Time >= m.Since && !less(sizeOf(s.Planned), f.usual)
	}):
		h.Held = f.usual
		h.Reasons = append(h.Reasons, shrunk(name, h.Newest, f.usual)+" What goes now may be all there is of the rest.")
	case known && was.Held != (reviews.Size{}) && h.NewestAt > m.Since && less(h.Newest, was.Held):
		h.Held = was.Held
		h.Reasons = append(h.Reasons, shrunk(name, h.Newest, was.Held)+" Nobody has approved that yet.")
	}
	return h
}

// newest returns what the newest snapshot holds of which that says something, and when
// it was taken: of those that were witnessed, if there are any.
func newest(list []Verdict) (size reviews.Size, at int64) {
	for _, want := range []func(Verdict) bool{
		func(s Verdict) bool { return says(s.Planned) && !s.late },
		func(s Verdict) bool { return says(s.Planned) },
		func(Verdict) bool { return true },
	} {
		for _, s := range list {
			if want(s) && s.Time > at {
				size, at = sizeOf(s.Planned), s.Time
			}
		}
		if at > 0 {
			break
		}
	}
	return size, at
}

// shrunk says that the newest snapshot of a group holds far less than usual.
func shrunk(name string, newest, usual reviews.Size) string {
	if newest.Files < (usual.Files+1)/Less {
		return fmt.Sprintf("The newest snapshot of %s holds %s, those before it about %s.", name,
			words.Count(newest.Files, "file", "files"), words.Number(usual.Files))
	}
	return fmt.Sprintf("The newest snapshot of %s holds %s, those before it about %s.", name, words.Bytes(newest.Bytes),
		words.Bytes(usual.Bytes))
}

// HeldSince says of which source groups nothing was removed, and since when.
// Times are in the context's zone.
func HeldSince(ctx context.Context, holds []reviews.Hold) string {
	var said []string
	for _, h := range holds {
		said = append(said, fmt.Sprintf("%s is held for review since %s", h.Name, words.Stamp(ctx, time.UnixMilli(h.Since))))
	}
	return strings.Join(said, ", ") + "; the others are done."
}
