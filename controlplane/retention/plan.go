// Package retention decides which snapshots of a repository are kept.
//
// It decides by what the control plane saw. A snapshot counts if one of our jobs made
// it, or the one whose place it took when that was tagged or rewritten, and its own time
// agrees with when that job ran by our clock. Whoever can only
// add to a repository can add any snapshots, but that does not change how long ours
// are kept. Snapshots that do not count are kept and shown. For those that count, the
// rules mean what they mean to restic.
package retention

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Slack is how far a snapshot's own time may differ from its job's, because clocks
// differ.
const Slack = 2 * time.Hour

// A Verdict says whether one snapshot is kept, and why.
type Verdict struct {
	store.Planned
	Reasons []string
	Pinned  bool // no rule keeps it: it stands for what its source group held

	fallen bool // pinned because its source group holds far less now
	late   bool // its host told of it only afterwards
}

// Verdicts holds each snapshot of a repository in one of its lists, newest first.
// Flagged snapshots are never removed, and do not affect the others. Held ones are of
// source groups of which nothing is removed until a person has looked.
type Verdicts struct {
	Keep, Remove, Held, Flagged []Verdict

	falls map[topics.SourceGroupID]fall
}

// Plan decides which snapshots are kept by rules, which by themselves because their
// source group holds far less than it did, and which are removed. Days and hours are in
// now's zone. It returns an error if the rules cannot be parsed.
func Plan(k store.Keep, list []store.Planned, past Past, now time.Time) (v Verdicts, err error) {
	r, err := parse(k)
	if err != nil {
		return v, err
	}
	type bucket struct {
		group topics.SourceGroupID
		late  bool
	}
	counted := map[bucket][]store.Planned{}
	for _, s := range list {
		switch why, late := odd(s, now); {
		case len(why) > 0:
			v.Flagged = append(v.Flagged, Verdict{Planned: s, Reasons: why})
		case s.GroupKept:
			v.Keep = append(v.Keep, Verdict{Planned: s,
				Reasons: []string{"of a source group that was removed, whose snapshots were to stay; no rule removes it"}})
		case s.Replaced:
			v.Keep = append(v.Keep, Verdict{Planned: s, Reasons: []string{Replaced}})
		case !s.Seen:
			v.Keep = append(v.Keep, Verdict{Planned: s,
				Reasons: []string{"made since the repository was last listed; it counts from the next listing on"}})
		default:
			b := bucket{s.SourceGroup, late}
			counted[b] = append(counted[b], s)
		}
	}
	v.falls = map[topics.SourceGroupID]fall{}
	for b, list := range counted {
		slices.SortFunc(list, newestFirst)
		f := fallOf(list, past.Measures[b.group])
		keep, remove := r.pin(list, f, now.Location())
		keep, remove = pinReplaced(keep, remove, now)
		if b.late {
			for i := range remove {
				remove[i].late = true
			}
			for i := range keep {
				keep[i].late = true
				keep[i].Reasons = append(keep[i].Reasons, "made while the host was out of touch: thinned apart from what was witnessed")
			}
		}
		if _, known := v.falls[b.group]; !known || !b.late {
			v.falls[b.group] = f
		}
		v.Keep, v.Remove = append(v.Keep, keep...), append(v.Remove, remove...)
	}
	v.pinLone(past)
	for _, list := range [][]Verdict{v.Keep, v.Remove, v.Flagged} {
		slices.SortFunc(list, func(a, b Verdict) int { return newestFirst(a.Planned, b.Planned) })
	}
	return v, nil
}

func newestFirst(a, b store.Planned) int {
	return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.ID, b.ID))
}

// odd returns why a snapshot does not count, "" if it does. late is true if its host
// reported the job only afterwards, so that the snapshot's time is plausible but was
// not observed.
func odd(s store.Planned, now time.Time) (why []string, late bool) {
	say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	slack := Slack.Milliseconds()
	if s.Job == "" {
		say("no job of ours made it")
		for _, tag := range s.Tags {
			if strings.HasPrefix(tag, "plan=") {
				say("it carries the tag %.60s, as if it were a backup of ours", tag)
			}
		}
	}
	if s.Time > now.UnixMilli()+slack {
		say("it says it was made in the future, %s from now", words.Span(words.Between(now.UnixMilli(), s.Time)))
	}
	if s.Original != "" && s.Job == "" { // one that took the place of another has its job
		say("it was rewritten from snapshot %.8s", s.Original)
	}
	switch {
	case s.Job == "":
		return why, false
	case s.EndedAt == 0:
		say("the job that is said to have made it is not known")
	case s.Time > s.EndedAt+slack, s.Time < s.QueuedAt-slack && (s.Slot == 0 || s.Time < s.Slot-slack):
		ran := cmp.Or(s.BegunAt, s.EndedAt)
		apart, side := words.Between(s.Time, ran), "before"
		if apart < 0 {
			apart, side = -apart, "after"
		}
		say("it says it was made %s %s its job ran by our clock; set the host's clock if it is wrong", words.Span(apart), side)
	case s.Time < s.QueuedAt-slack:
		late = true
	}
	if !s.GroupThere && !s.GroupKept {
		say("its source group is gone; remove it by hand if nobody needs it any more")
	}
	if !s.Seen && s.Missing {
		say("its job says it made it, and the repository does not list it")
	}
	return why, late
}

// pin applies the rules to all but the newest snapshot from before a fall, which stays
// by itself, and keeps the newest of which it is known that it holds something.
func (r rules) pin(list []store.Planned, f fall, zone *time.Location) (keep, remove []Verdict) {
	if f.last < 0 {
		keep, remove = r.thin(list, zone)
	} else {
		p := list[f.last]
		newest := list[slices.IndexFunc(list, says)]
		keep, remove = r.thin(slices.Concat(list[:f.last], list[f.last+1:]), zone)
		keep = append(keep, Verdict{
			Planned: p,
			Reasons: []string{f.pinned(newest)},
			Pinned:  true,
			fallen:  true,
		})
	}
	known := func(v Verdict) bool { return says(v.Planned) }
	if i := slices.IndexFunc(remove, known); i >= 0 && !slices.ContainsFunc(keep, known) {
		keep = append(keep, Verdict{
			Planned: remove[i].Planned,
			Reasons: []string{"pinned: the newest of which it is known what it holds; later ones are empty, or nobody knows"},
			Pinned:  true,
		})
		remove = slices.Delete(remove, i, i+1)
	}
	if i := slices.IndexFunc(remove, takenIn); i >= 0 && !slices.ContainsFunc(keep, holdsSome) {
		keep = append(keep, Verdict{
			Planned: remove[i].Planned,
			Reasons: []string{"pinned: the newest that was taken in; those after it are empty"},
			Pinned:  true,
		})
		remove = slices.Delete(remove, i, i+1)
	}
	return keep, remove
}

// takenIn reports whether a person took a snapshot in and nobody knows what it holds, of a
// source group that is not to be empty.
func takenIn(v Verdict) bool { return v.Imported != "" && !says(v.Planned) && !v.MayBeEmpty }

// holdsSome reports whether a snapshot is not known to be empty.
func holdsSome(v Verdict) bool { return v.Files > 0 || v.Bytes > 0 || !says(v.Planned) }

// Replaced is why everything of a source group stays while a person has yet to decide.
const Replaced = "its host's machine was replaced, and it is not decided yet whether the files are back: " +
	"everything of this source group stays"

// pinReplaced keeps the newest snapshots from before a host's machine was replaced for some
// time after that was decided: what the new machine backs up may hold nothing of theirs.
func pinReplaced(keep, remove []Verdict, now time.Time) (kept, removed []Verdict) {
	for _, s := range remove {
		if s.PinUntil <= now.UnixMilli() {
			removed = append(removed, s)
			continue
		}
		kept = append(kept, Verdict{Planned: s.Planned, Pinned: true, Reasons: []string{fmt.Sprintf(
			"pinned: the newest from before its host's machine was replaced; rules go on for it in %s",
			words.Span(words.Between(now.UnixMilli(), s.PinUntil)))}})
	}
	return append(keep, kept...), removed
}

// pinLone keeps the one snapshot of a source group that holds far more than all the
// rules keep: it alone was so large, so that nobody needs to be asked.
func (v *Verdicts) pinLone(past Past) {
	keep, remove := byGroup(listed(v.Keep)), byGroup(v.Remove)
	for group, list := range remove {
		for _, w := range weigh(keep[group], list, past.Measures[group]) {
			i := -1
			if w.lone != nil {
				i = slices.IndexFunc(v.Remove, func(s Verdict) bool { return s.ID == w.lone.ID })
			}
			if i < 0 { // there is none, or it stays anyway
				continue
			}
			lone := v.Remove[i]
			lone.Reasons = []string{fmt.Sprintf("pinned: it holds %s, and what the rules keep of its source group %s at most; no rule removes it "+
				"until another holds as much; forget it by its ID if nobody needs it", sizeWords(sizeOf(lone.Planned)), sizeWords(w.kept))}
			lone.Pinned, lone.fallen = true, true
			v.Keep = append(v.Keep, lone)
			v.Remove = slices.Delete(v.Remove, i, i+1)
		}
	}
}

// thin applies the rules to the snapshots of one source group that count, newest
// first. It follows restic's procedure, except that the newest is always kept. Since
// 0.16 restic keeps the oldest, too, as long as a rule has not found as many as it
// wants; that is more than what versions before it keep, and is done for all.
func (r rules) thin(list []store.Planned, zone *time.Location) (keep, remove []Verdict) {
	if len(list) == 0 {
		return nil, nil
	}
	newest := time.UnixMilli(list[0].Time).In(zone)
	left := make([]int, len(r.list))
	in := make([]int, len(r.list))
	for i, b := range r.list {
		left[i], in[i] = b.count, -1
	}
	for n, s := range list {
		at := time.UnixMilli(s.Time).In(zone)
		var why []string
		say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
		if r.none() {
			say("there is no rule: everything stays")
		}
		if !r.window.zero() && at.After(r.window.before(newest)) {
			say("within %s of the newest", r.text)
		}
		if n < r.last {
			say("one of the last %d", r.last)
		}
		for i, b := range r.list {
			p, word := b.of(at), b.word
			if p == in[i] {
				if n < len(list)-1 {
					continue
				}
				word = "the oldest, " + word
			}
			switch {
			case b.count > 0 && left[i] > 0:
				in[i] = p
				left[i]--
				say("%s, one of %d", word, b.count)
			case !b.within.zero() && at.After(b.within.before(newest)):
				in[i] = p
				say("%s within %s", word, b.text)
			}
		}
		if n == 0 {
			say("the newest of its source group")
		}
		if len(why) > 0 {
			keep = append(keep, Verdict{Planned: s, Reasons: why})
		} else {
			remove = append(remove, Verdict{Planned: s, Reasons: []string{r.past()}})
		}
	}
	return keep, remove
}

// past returns why no rule keeps a snapshot.
func (r rules) past() string {
	switch {
	case r.window.zero():
		return "no rule keeps it"
	case r.last == 0 && len(r.list) == 0:
		return fmt.Sprintf("older than the window of %s", r.text)
	}
	return fmt.Sprintf("older than the window of %s, and a newer one stands for its time", r.text)
}
